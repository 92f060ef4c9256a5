"""Firmware that misbehaves: what the image says of itself, and what becomes of a Device that runs it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.lab.devices import Behaviour, Booted, Flash, Hung, Life, Manner, Pending, RolledBack
from lamplighter.lab.devices.flash import OUTBOX_MAX
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import ActivationResult, AlertCode, Outcome

from .home import ESME, HCALCS, HUB, NEW, OLD, PPMID, SIGNER, Home, activate, build, read_version

NEVER_REPORTS = Behaviour(Manner.NEVER_REPORTS)
NEVER_BOOTS = Behaviour(Manner.NEVER_BOOTS)
LIAR = Behaviour(Manner.WRONG_VERSION, says=FirmwareVersion(0x0BADCAFE))
STORM = Behaviour(Manner.ALERT_STORM, storm=100)


def _image(device: Eui64, behaviour: Behaviour) -> images.Image:
    image = build(device, payload=behaviour.line + b"firmware " * 9)
    return image if device == PPMID else images.sign_supplier(image, SIGNER)


def _updated(device: Eui64, behaviour: Behaviour, length: int = HOUR) -> Home:
    """A home whose Device was given this firmware, and told to activate it."""
    image = _image(device, behaviour)
    home = Home(devices=(device,))
    home.send(image, device)
    home.run()
    if device != PPMID:
        home.tell(device, activate(image.hash, 1000, device=device))
    home.run(length)
    return home


@pytest.mark.parametrize(
    "behaviour", [Behaviour(), NEVER_REPORTS, NEVER_BOOTS, LIAR, STORM, replace(LIAR, on=0x1101)]
)
def test_a_behaviour_is_read_from_the_line_that_it_writes(behaviour) -> None:
    assert behaviour == Behaviour.read(behaviour.line + b"code")


@pytest.mark.parametrize(
    "line",
    [b"", b"never-reports", b"never-reports 1\n", b"flies\n", b"alert-storm\n", b"alert-storm -1\n",
     b"alert-storm 0\n", b"alert-storm 9999999\n", b"wrong-version\n", b"wrong-version x\n",
     b"wrong-version " + b"1" * 50 + b"\n", b"never-boots on 11\n",
     b"never-boots on 11GG\n", b"never-boots on \n"],
)  # fmt: skip
def test_a_behaviour_that_is_none_is_refused(line) -> None:
    with pytest.raises(DecodeError):
        Behaviour.read(b"LAMPLIGHTER-LAB behaviour=" + line)


@pytest.mark.parametrize(("hardware", "expected"), [(0x1111, NEVER_BOOTS), (0x1101, Behaviour())])
def test_a_fault_of_one_hardware_version_leaves_the_others_alone(hardware, expected) -> None:
    behaviour = Behaviour.read(replace(NEVER_BOOTS, on=0x1111).line).at(hardware)
    assert expected.manner is behaviour.manner


@given(st.binary(max_size=80))
def test_any_payload_is_read_or_refused(octets) -> None:
    for payload in (octets, b"LAMPLIGHTER-LAB behaviour=" + octets):
        with suppress(DecodeError):
            Behaviour.read(payload)


@pytest.mark.parametrize("device", [PPMID, HCALCS])
def test_firmware_that_never_reports_leaves_a_device_that_is_never_heard_again(device) -> None:
    home = _updated(device, NEVER_REPORTS, DAY)
    assert [NEW] == [event.version for event in home.of(Hung)]
    before = len(home.wan)
    home.power(device)
    home.tell(device, read_version(device, 99))
    home.run(2 * DAY)
    assert before == len(home.wan)
    assert [] == [said for said in home.said(device) if isinstance(said, gbcs.Cs09Alert | gbcs.Cs06Response)]
    assert Life.HUNG is home.nodes[device].life


def test_firmware_that_never_boots_is_rolled_back_and_a_ppmid_reports_failure() -> None:
    home = _updated(PPMID, NEVER_BOOTS)
    (report,) = home.said(PPMID)
    assert (OLD, Outcome.FAILURE) == (report.version, report.result)
    assert ["firmware-starts"] == [event.error.check for event in home.of(RolledBack)]
    assert Pending.EMPTY is home.flashes[PPMID].record.pending


def test_firmware_that_never_boots_is_rolled_back_and_a_meter_reports_failure() -> None:
    home = _updated(ESME, NEVER_BOOTS)
    assert gbcs.Cs06Response(ActivationResult.ACTIVATION_FAILURE, OLD) == home.said(ESME)[-1]


def test_a_behaviour_with_a_slip_in_it_does_not_boot() -> None:
    image = build(PPMID, payload=b"LAMPLIGHTER-LAB behaviour=never-repents\n")
    home = Home(devices=(PPMID,))
    home.send(image, PPMID)
    home.run()
    assert [DecodeError] == [type(event.error) for event in home.of(RolledBack)]
    assert OLD == home.nodes[PPMID].version


def test_firmware_that_reports_the_wrong_version_says_it_everywhere() -> None:
    home = _updated(PPMID, LIAR)
    home.tell(PPMID, read_version(PPMID, 5))
    home.run()
    report, answer = home.said(PPMID)
    assert [LIAR.says] * 3 == [report.version, answer.version, home.nodes[PPMID].version]
    assert NEW == home.of(Booted)[-1].version


@pytest.mark.parametrize(
    ("device", "code"), [(PPMID, AlertCode.PPMID_ACTIVATION), (HCALCS, AlertCode.IMAGE_REJECTED)]
)
def test_firmware_that_storms_raises_so_many_alerts_and_no_more(device, code) -> None:
    home = _updated(device, STORM)
    alerts = [said for said in home.said(device) if getattr(said, "alert", None) is code]
    assert STORM.storm + (device == PPMID) == len(alerts)
    counters = [gbcs.decode(frame.octets).message.counter for frame in home.wan if frame.device == device]
    assert sorted(set(counters)) == sorted(counters)


def test_a_storm_that_nobody_takes_does_not_push_the_proof_out_of_the_outbox() -> None:
    image = _image(PPMID, STORM)
    home = Home(devices=(PPMID,))
    home.send(image, PPMID)
    home.run(10 * MINUTE // 600)
    while home.flashes[PPMID].record.pending is not Pending.TRIAL:
        home.run(MINUTE // 60)
    home.unplug(HUB)
    home.run(HOUR)
    outbox = home.flashes[PPMID].record.outbox
    assert OUTBOX_MAX // 2 == len(outbox)
    assert 1 == gbcs.decode(outbox[0]).message.counter


def test_a_ppmid_that_storms_can_be_updated_again() -> None:
    home = _updated(PPMID, Behaviour(Manner.ALERT_STORM, storm=100_000), MINUTE)
    assert isinstance(home.flashes[PPMID], Flash)
    home.send(build(PPMID, FirmwareVersion(0x03000000)), PPMID)
    home.run(10 * MINUTE)
    assert FirmwareVersion(0x03000000) == home.nodes[PPMID].version
