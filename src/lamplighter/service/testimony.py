"""What a message from the DCC testifies about Devices: pure, and only from what has been verified.

The DSP's signature covers every message. What a Device says for itself inside (a GBCS message) is believed
only under the Device's own signature; what the DSP relays decoded (N39, N62) is the DSP's word for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamplighter.campaign import Evidence, Fact
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, VerificationError
from lamplighter.protocol import duis, gbcs

if TYPE_CHECKING:
    from lamplighter.protocol.smki import KeyRing


@dataclass(frozen=True, slots=True)
class Statement:
    """One piece of evidence, and whose update it belongs to."""

    device: Eui64
    """The Device that it is about."""
    evidence: Evidence
    """What is said."""
    about: FirmwareVersion | ImageHash | None
    """The image that it is said of; None: the message names none."""


def statements_in(
    response: duis.Response, ring: KeyRing, broker: Eui64, received_at: Instant
) -> tuple[Statement, ...]:
    """All that a message testifies; empty where it is of no concern to an update.

    Raises `DecodeError` or `VerificationError` where what is inside cannot be believed.
    """
    match response.body:
        case duis.DccAlert(code=code, body=body):
            return _dcc_alert(code, body, response.at)
        case duis.DeviceAlert(alert_code=code, payload=payload):
            return _device_message(payload, ring, broker, received_at, code)
        case duis.ResponseMessage(payload=duis.GbcsPayload(octets=octets)):
            return _device_message(octets, ring, broker, received_at, None)
        case duis.ResponseMessage(payload=duis.FutureDatedDeviceAlert(code=code, payload=payload)):
            return _device_message(payload, ring, broker, received_at, code)
        case _:
            return ()


def _dcc_alert(code: str, alert: object, sent_at: Instant) -> tuple[Statement, ...]:
    match alert:
        case duis.CspFirmwareDeliveryStatus(device=device, version=version, at=at, status=status):
            fact = Fact.AT_HUB if status is duis.TransferStatus.SUCCESS else Fact.HUB_FAILED
            return (Statement(device, Evidence(fact, at, code), version),)
        case duis.FirmwareDistributionFailure(devices=devices):
            evidence = Evidence(Fact.HUB_FAILED, sent_at, code)
            return tuple(Statement(device, evidence, None) for device in devices)
        case duis.CommsHubAlert(at=at, transfer=duis.FirmwareTransferAlert() as transfer):
            passed = transfer.response is duis.TransferResponse.FILE_TRANSFER_SUCCESS
            fact = Fact.ON_DEVICE if passed else Fact.TRANSFER_FAILED
            detail = "" if passed else transfer.response.value
            evidence = Evidence(fact, sent_at if at is None else at, code, detail)
            return (Statement(transfer.device, evidence, transfer.version),)
        case duis.PpmidAlert(device=device, at=at, upgrade=duis.PpmidFirmwareUpgradeAlert() as upgrade):
            succeeded = upgrade.result is duis.ActivationResult.SUCCESS
            fact = Fact.ACTIVATED if succeeded else Fact.ACTIVATION_FAILED
            moment = sent_at if at is None else at
            return (Statement(device, Evidence(fact, moment, code, version=upgrade.version), None),)
        case _:
            return ()


def _device_message(
    octets: bytes, ring: KeyRing, broker: Eui64, received_at: Instant, code: int | None
) -> tuple[Statement, ...]:
    """A Device's own message; `code` is the alert code that the DCC put beside it."""
    opened = gbcs.open_message(octets, ring, broker=broker)
    device, payload = opened.message.originator, opened.payload
    match payload:
        case gbcs.ReceiptAlert(alert=alert, hash=image_hash):
            _same_code(code, alert)
            fact = Fact.IMAGE_VERIFIED if alert is gbcs.AlertCode.IMAGE_VERIFIED else Fact.IMAGE_REJECTED
            # A COSEM date-time may leave parts open: then the time of receipt has to do.
            at = payload.at.instant if isinstance(payload.at, gbcs.CosemDateTime) else payload.at
            evidence = Evidence(fact, received_at if at is None else at, f"{alert:04X}")
            return (Statement(device, evidence, image_hash),)
        case gbcs.Cs06Response(result=result, version=version):
            return (Statement(device, _activation(result, version, received_at, "CS06"), None),)
        case gbcs.Cs06Accepted():
            return (Statement(device, Evidence(Fact.ACTIVATION_SCHEDULED, received_at, "CS06"), None),)
        case gbcs.OutcomeAlert(alert=alert, at=at, result=result, version=version):
            _same_code(code, alert)
            return (Statement(device, _activation(result, version, at, f"{alert:04X}"), None),)
        case _:
            return ()


def _activation(
    result: gbcs.ActivationResult, version: FirmwareVersion, at: Instant, message: str
) -> Evidence:
    if result is gbcs.ActivationResult.SUCCESS:
        return Evidence(Fact.ACTIVATED, at, message, version=version)
    detail = result.name.replace("_", " ").lower()
    return Evidence(Fact.ACTIVATION_FAILED, at, message, detail, version)


def _same_code(claimed: int | None, alert: gbcs.AlertCode) -> None:
    if claimed is not None and claimed != alert:
        raise VerificationError("alert-code", f"the Device's own {alert:04X}", f"{claimed:04X} beside it")
