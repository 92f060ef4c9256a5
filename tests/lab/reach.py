"""A pytest plugin that notes what each test makes the lab say: `pytest -p lab.reach --reached FILE`.

Only what the lab itself says counts: a response code that the DCC gives, an alert that it raises, a result
that a Device or hub reports, a fault that has acted upon something in a world (`Mischief.acted`), and was not
merely scheduled. What a test writes by its own hand does not.
`test_lab_coverage` holds the table in docs/lab.md against it. `what_there_is` is everything that counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lamplighter.lab.dcc import commanding, dsp
from lamplighter.lab.dcc.firmware import Objection
from lamplighter.lab.dcc.notices import CODES as ALERTS
from lamplighter.lab.dcc.refusals import Reason, code_of
from lamplighter.lab.faults import FAULTS, Mischief
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.duis.codes import MEANINGS, RESPONSE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAB = "lamplighter.lab"
_FIRMWARE_CODES = ("E1101", "E1104", "W1101", "W1104")
_LISTS = {
    Objection.INVALID: "invalid",
    Objection.NOT_COMMISSIONED: "not_commissioned",
    Objection.NOT_APPLICABLE: "not_applicable",
    Objection.IN_PROGRESS: "other_request",
    Objection.GBCS_VERSION: "invalid_gbcs_version",
}

_reached: dict[str, set[str]] = {}
_now: set[str] = set()
_at_work: list[Mischief] = []


def what_there_is() -> dict[str, list[str]]:
    """Every code, list, result and fault, by the heading under which the table has it."""
    firmware = {code for code in RESPONSE_CODES if code.startswith(_FIRMWARE_CODES)}
    refusals = {code_of(reason, srv) for reason in Reason for srv in ("11.1", "11.4")}
    refusals.add(code_of(Reason.NO_SUCH_PREMISES, "8.2"))
    codes = (firmware | refusals | MEANINGS["ResponseCode"].keys()) & RESPONSE_CODES
    results = {
        "CCS08": gbcs.TransferResult,
        "CS06": gbcs.ActivationResult,
        "CS06 outcome": gbcs.ActivationResult,
        "CS08": gbcs.Outcome,
        "CS09": gbcs.Outcome,
    }
    return {
        "Response codes": sorted(codes, key=_by_number),
        "Refusals": [f"refusal {reason.name}" for reason in Reason],
        "Warning lists": [f"{code} {each.value}" for code in ("W110101", "W110401") for each in Objection],
        "DCC Alerts": sorted(MEANINGS["DCCAlertCode"].keys() | set(ALERTS.values()), key=_by_number),
        "Device alerts": [f"{code:04X}" for code in sorted(gbcs.AlertCode)],
        "Results": [
            *(f"{use} {each.value} {each.name}" for use, kind in results.items() for each in kind),
            "CS06 accepted for later",
        ],
        "Faults": [f"fault {name}" for name in FAULTS],
    }


def _by_number(code: str) -> tuple[str, int]:
    return code.rstrip("0123456789"), int(code.lstrip("EINW"))


def _by_the_lab() -> bool:
    """Whether it was the lab that called what was wrapped."""
    return str(sys._getframe(2).f_globals["__name__"]).startswith(_LAB)


def _said(response: duis.Response) -> Iterator[str]:
    match response.body:
        case duis.DccAlert(code):
            yield code
        case duis.DeviceAlert(code):
            yield f"{code:04X}"
        case duis.ResponseMessage(_, _, payload):
            yield response.code
            if isinstance(payload, duis.FirmwareWarning):
                yield from (
                    f"{response.code} {o.value}" for o, name in _LISTS.items() if getattr(payload, name)
                )
            if isinstance(payload, duis.FutureDatedDeviceAlert):
                yield f"{payload.code:04X}"


def _reported(payload: gbcs.Payload) -> Iterator[str]:
    match payload:
        case gbcs.Ccs08Alert(alert, _, _, _, result):
            yield from (f"{alert:04X}", f"CCS08 {result.value} {result.name}")
        case gbcs.Cs09Alert(alert, _, _, result):
            yield from (f"{alert:04X}", f"CS09 {result.value} {result.name}")
        case gbcs.Cs08Response(_, result):
            yield f"CS08 {result.value} {result.name}"
        case gbcs.Cs06Response(result):
            yield f"CS06 {result.value} {result.name}"
        case gbcs.OutcomeAlert(alert, _, _, result):
            yield from (f"{alert:04X}", f"CS06 outcome {result.value} {result.name}")
        case gbcs.ReceiptAlert(alert):
            yield f"{alert:04X}"
        case gbcs.Cs06Accepted():
            yield "CS06 accepted for later"


def _listen() -> None:
    encode, compose, refuse, begin = duis.encode_response, gbcs.compose, dsp.code_of, Mischief.__init__

    def encoded(response, *rest, **named):
        if _by_the_lab():
            _now.update(_said(response))
        return encode(response, *rest, **named)

    def composed(payload, *rest, **named):
        if _by_the_lab():
            _now.update(_reported(payload))
        return compose(payload, *rest, **named)

    def refused(reason, *rest):
        _now.add(f"refusal {reason.name}")
        return refuse(reason, *rest)

    def begun(self, *rest, **named):
        _at_work.append(self)
        begin(self, *rest, **named)

    duis.encode_response, gbcs.compose, Mischief.__init__ = encoded, composed, begun
    dsp.code_of = commanding.code_of = refused


def pytest_addoption(parser):
    parser.addoption("--reached", metavar="FILE", help="where to write what each test reaches, as JSON")


def pytest_configure(config):
    if config.getoption("--reached"):
        _listen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    _now.clear()
    _at_work.clear()
    try:
        return (yield)
    finally:
        acted = {name for mischief in _at_work for name, times in mischief.acted.items() if times > 0}
        _reached[item.nodeid] = _now | {f"fault {name}" for name in acted}


def pytest_sessionfinish(session):
    path = session.config.getoption("--reached")
    if path:
        Path(path).write_text(json.dumps({test: sorted(found) for test, found in _reached.items()}))
