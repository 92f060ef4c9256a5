"""What a message from the DCC testifies about Devices: pure, and only from what has been verified.

The DSP's signature covers every message. What a Device says for itself inside (a GBCS message) is believed
only under the Device's own signature; what the DSP relays decoded (N39, N62) is the DSP's word for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamplighter.campaign import Evidence, Fact
from lamplighter.kit import VerificationError
from lamplighter.protocol import duis, gbcs

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
    from lamplighter.service.gateway import Parties


@dataclass(frozen=True, slots=True)
class Statement:
    """One piece of evidence, and whose update it belongs to."""

    device: Eui64
    """The Device that it is about."""
    evidence: Evidence
    """What is said."""
    about: FirmwareVersion | ImageHash | None = None
    """The image that it is said of; None: the message names none."""
    request: int | None = None
    """Counter of our request that it answers; None: the message names none."""


def statements_in(response: duis.Response, parties: Parties, received_at: Instant) -> tuple[Statement, ...]:
    """All that a message testifies; empty where it is of no concern to an update.

    Raises `DecodeError` or `VerificationError` where what is inside cannot be believed.
    """
    match response.body:
        case duis.DccAlert(code=code, body=body):
            return _dcc_alert(code, body, parties, response.at)
        case duis.DeviceAlert(alert_code=code, payload=payload):
            return _device_message(payload, parties, received_at, code)
        case duis.ResponseMessage(payload=duis.GbcsPayload(octets=octets)):
            return _device_message(octets, parties, received_at, None)
        case duis.ResponseMessage(payload=duis.FutureDatedDeviceAlert(code=code, payload=payload)):
            return _device_message(payload, parties, received_at, code)
        case _:
            return ()


def _dcc_alert(
    code: str, body: duis.DccAlertBody, parties: Parties, sent_at: Instant
) -> tuple[Statement, ...]:
    match body:
        case duis.CspFirmwareDeliveryStatus(device=device, version=version, at=at, status=status):
            fact = Fact.AT_HUB if status is duis.TransferStatus.SUCCESS else Fact.HUB_FAILED
            return (Statement(device, Evidence(fact, at, code), version, _ours(body.request, parties)),)
        case duis.FirmwareDistributionFailure(request=request, devices=devices):
            evidence = Evidence(Fact.HUB_FAILED, sent_at, code)
            counter = _ours(request, parties)
            return tuple(Statement(device, evidence, request=counter) for device in devices)
        case duis.CommsHubAlert(at=at, transfer=duis.FirmwareTransferAlert() as transfer):
            passed = transfer.response is duis.TransferResponse.FILE_TRANSFER_SUCCESS
            expected = gbcs.AlertCode.TRANSFER_SUCCEEDED if passed else gbcs.AlertCode.TRANSFER_FAILED
            _agree("N62 alert code", expected, body.alert_code)
            fact = Fact.ON_DEVICE if passed else Fact.TRANSFER_FAILED
            detail = "" if passed else transfer.response.value
            evidence = Evidence(fact, sent_at if at is None else at, code, detail)
            about = None if transfer.request is None else _ours(transfer.request, parties)
            return (Statement(transfer.device, evidence, transfer.version, about),)
        case duis.PpmidAlert(device=device, at=at, upgrade=duis.PpmidFirmwareUpgradeAlert() as upgrade):
            _agree("N39 alert code", gbcs.AlertCode.PPMID_ACTIVATION, body.alert_code)
            succeeded = upgrade.result is duis.ActivationResult.SUCCESS
            fact = Fact.ACTIVATED if succeeded else Fact.ACTIVATION_FAILED
            moment = sent_at if at is None else at
            return (Statement(device, Evidence(fact, moment, code, version=upgrade.version)),)
        case _:
            return ()


def _device_message(
    octets: bytes, parties: Parties, received_at: Instant, code: int | None
) -> tuple[Statement, ...]:
    """A Device's own message; `code` is the alert code that the DCC put beside it."""
    opened = gbcs.open_message(octets, parties.ring, broker=parties.broker)
    message, payload = opened.message, opened.payload
    if message.recipient != parties.supplier:
        raise VerificationError(
            "gbcs-recipient", f"a message to {parties.supplier}", f"one to {message.recipient}"
        )
    device = message.originator
    match payload:
        case gbcs.ReceiptAlert(alert=alert, hash=image_hash):
            _agree_code(alert, code)
            fact = Fact.IMAGE_VERIFIED if alert is gbcs.AlertCode.IMAGE_VERIFIED else Fact.IMAGE_REJECTED
            # A COSEM date-time may leave parts open: then the time of receipt has to do.
            at = payload.at.instant if isinstance(payload.at, gbcs.CosemDateTime) else payload.at
            evidence = Evidence(fact, received_at if at is None else at, f"{alert:04X}")
            return (Statement(device, evidence, image_hash),)
        case gbcs.Cs06Response(result=result, version=version):
            evidence = _activation(result, version, received_at, "CS06")
            return (Statement(device, evidence, request=message.counter),)
        case gbcs.Cs06Accepted():
            evidence = Evidence(Fact.ACTIVATION_SCHEDULED, received_at, "CS06")
            return (Statement(device, evidence, request=message.counter),)
        case gbcs.OutcomeAlert(alert=alert, at=at, command_counter=counter, result=result, version=version):
            _agree_code(alert, code)
            done = result is gbcs.ActivationResult.SUCCESS
            succeeded, failed = gbcs.AlertCode.FUTURE_DATED_SUCCESS, gbcs.AlertCode.FUTURE_DATED_FAILURE
            _agree("outcome alert code", succeeded if done else failed, alert)
            return (Statement(device, _activation(result, version, at, f"{alert:04X}"), request=counter),)
        case _:
            return ()


def _activation(
    result: gbcs.ActivationResult, version: FirmwareVersion, at: Instant, message: str
) -> Evidence:
    if result is gbcs.ActivationResult.SUCCESS:
        return Evidence(Fact.ACTIVATED, at, message, version=version)
    detail = result.name.replace("_", " ").lower()
    return Evidence(Fact.ACTIVATION_FAILED, at, message, detail, version)


def _ours(request: duis.RequestId, parties: Parties) -> int:
    """The counter of a request, which must be one of ours."""
    if request.originator != parties.supplier:
        raise VerificationError("request-of-another", f"a request of {parties.supplier}", str(request))
    return request.counter


def _agree_code(alert: gbcs.AlertCode, beside: int | None) -> None:
    if beside is not None:
        _agree("alert-code", alert, beside)


def _agree(what: str, expected: gbcs.AlertCode, found: int) -> None:
    """A code must say what the rest of the message says."""
    if expected != found:
        raise VerificationError(what, f"{expected:04X}", f"{found:04X}")
