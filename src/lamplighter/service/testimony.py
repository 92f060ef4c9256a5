"""What a message from the DCC testifies about Devices: pure, and only from what has been verified.

The DSP's signature covers every message. What a Device says for itself inside (a GBCS message) is believed
only under the Device's own signature; what the DSP relays decoded (N39, N62) is the DSP's word for it. So is
the answer to SRV 11.2 (CS08): it bears no signature but the Device's MAC for the ACB, and a Supplier does not
share their secret. Where a key ring can compute it all the same, the MAC is checked.

Some messages say nothing of a Device's update and only stay in the inbox: N59 and N64; N49 to N52, by which
the DCC says what a Device runs, which proves nothing; N46 to N48 about an SRV 11.1 or 11.4, which name the
request and none of its Devices; what happens to a hub; that a Device was restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from lamplighter.campaign import Cause, Evidence, Fact
from lamplighter.kit import DecodeError, VerificationError
from lamplighter.protocol import duis, gbcs
from lamplighter.store.inbox import COUNTER_MAX, Incoming, Statement

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.service.gateway import Parties

__all__ = ["Statement", "cause_of_code", "incoming", "statements_in"]

_TRANSFERS: Final = {
    duis.TransferResponse.FILE_TRANSFER_SUCCESS: (
        Fact.ON_DEVICE, Cause.NONE, gbcs.AlertCode.TRANSFER_SUCCEEDED,
    ),
    duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED: (
        Fact.TRANSFER_FAILED, Cause.DISCARDED, gbcs.AlertCode.TRANSFER_FAILED,
    ),
    duis.TransferResponse.HARDWARE_VERSION_MISMATCH: (
        Fact.TRANSFER_FAILED, Cause.HARDWARE, gbcs.AlertCode.TRANSFER_FAILED,
    ),
    duis.TransferResponse.FILE_TRANSFER_FAILURE: (
        Fact.TRANSFER_FAILED, Cause.TRANSFER, gbcs.AlertCode.TRANSFER_FAILED,
    ),
}  # fmt: skip
"""N62: what each transfer response means, and the alert code that must stand beside it."""

_RECEIPTS: Final = {
    gbcs.AlertCode.IMAGE_VERIFIED: (Fact.IMAGE_VERIFIED, Cause.NONE),
    gbcs.AlertCode.IMAGE_REJECTED: (Fact.IMAGE_REJECTED, Cause.SIGNATURE),
}

_ACTIVATIONS: Final = {
    gbcs.ActivationResult.SUCCESS: (Fact.ACTIVATED, Cause.NONE),
    gbcs.ActivationResult.NO_IMAGE_HELD: (Fact.ACTIVATION_FAILED, Cause.NO_IMAGE),
    gbcs.ActivationResult.HASH_MISMATCH: (Fact.ACTIVATION_FAILED, Cause.HASH),
    gbcs.ActivationResult.ACTIVATION_FAILURE: (Fact.ACTIVATION_FAILED, Cause.ACTIVATION),
}

_DEPARTURES: Final = {
    duis.StatusChange.REMOVED_FROM_INVENTORY: Cause.REMOVED,
    duis.StatusChange.SUSPENDED: Cause.SUSPENDED,
}
"""Changes of status that take a Device out; `CHFDecommissioning` names no Device behind the hub."""

_CODES: Final = {
    "E1": Cause.ACCESS,
    "E2": Cause.ACCESS,
    "E3": Cause.ACCESS,
    "E4": Cause.ACCESS,
    "E5": Cause.NOT_COMMISSIONED,
    "E11": Cause.INVALID,
    "E19": Cause.INVALID,
    "E20": Cause.UNREACHABLE,
    "E21": Cause.UNREACHABLE,
    "E30": Cause.UNREACHABLE,
}


def cause_of_code(code: str) -> Cause:
    """Why, where the DCC refuses a request for one Device, or gives up on it, with this response code."""
    return _CODES.get(code, Cause.REQUEST)


def incoming(octets: bytes, response: duis.Response, parties: Parties, received_at: Instant) -> Incoming:
    """A verified message for the inbox: with what it says, or the reason why that cannot be believed."""
    code, device, weight = _heading(response, parties)
    try:
        statements = statements_in(response, parties)
    except (DecodeError, VerificationError) as error:
        return Incoming(octets, received_at, response.at, code, device, weight, reason=str(error))
    return Incoming(octets, received_at, response.at, code, device, weight, statements)


def _heading(response: duis.Response, parties: Parties) -> tuple[str, Eui64 | None, int]:
    """The alert or response code, the one Device that it is about, and how many alerts it stands for."""
    match response.body:
        case duis.DccAlert(code=code, body=body, throttled=throttled):
            return code, _device_of(body), _weight(throttled)
        case duis.DeviceAlert(alert_code=alert, throttled=throttled):
            speaker = None if response.response_id is None else response.response_id.originator
            return f"{alert:04X}", speaker, _weight(throttled)
        case duis.ResponseMessage():
            target = None if response.request_id is None else response.request_id.target
            return response.code, None if target == parties.broker else target, 1
        case body:
            assert_never(body)


def _device_of(body: duis.DccAlertBody) -> Eui64 | None:
    match body:
        case duis.CommsHubAlert(hub=hub, transfer=transfer):
            return hub if transfer is None else transfer.device
        case duis.CommsHubFirmwareActivation(hub=hub):
            return hub
        case (
            duis.FirmwareUpgradeRequested(devices=devices) | duis.FirmwareDistributionFailure(devices=devices)
        ):
            return devices[0] if len(devices) == 1 else None
        case duis.QuarantinedRequest() | duis.ChangeOfSupplier():
            return None
        case body:
            return body.device


def _weight(throttled: duis.Throttled | None) -> int:
    return 1 if throttled is None else throttled.count or 1


def statements_in(response: duis.Response, parties: Parties) -> tuple[Statement, ...]:
    """All that a message testifies; empty where it is of no concern to an update.

    Raises `DecodeError` or `VerificationError` where what is inside cannot be believed.
    """
    match response.body:
        case duis.DccAlert(code=code, body=body):
            return _dcc_alert(code, body, parties, response.at)
        case duis.DeviceAlert(alert_code=code, payload=payload):
            return _device_message(payload, parties, response.at, code)
        case duis.ResponseMessage(srv="11.2", payload=duis.GbcsPayload(octets=octets)):
            return _reading(octets, parties, response.at)
        case duis.ResponseMessage(payload=duis.GbcsPayload(octets=octets)):
            return _device_message(octets, parties, response.at, None)
        case duis.ResponseMessage(payload=duis.FutureDatedDeviceAlert(code=code, payload=payload)):
            return _device_message(payload, parties, response.at, code)
        case duis.ResponseMessage(srv=srv, payload=None):
            return _no_answer(srv, response, parties)
        case _:
            return ()


def _dcc_alert(
    code: str, body: duis.DccAlertBody, parties: Parties, sent_at: Instant
) -> tuple[Statement, ...]:
    match body:
        case duis.CspFirmwareDeliveryStatus(device=device, version=version, at=at, status=status):
            delivered = status is duis.TransferStatus.SUCCESS
            fact, cause = (Fact.AT_HUB, Cause.NONE) if delivered else (Fact.HUB_FAILED, Cause.DISTRIBUTION)
            return (
                Statement(device, Evidence(fact, at, code, cause), version, _ours(body.request, parties)),
            )
        case duis.FirmwareDistributionFailure(request=request, devices=devices):
            evidence = Evidence(Fact.HUB_FAILED, sent_at, code, Cause.DISTRIBUTION)
            counter = _ours(request, parties)
            return tuple(Statement(device, evidence, request=counter) for device in devices)
        case duis.CommsHubAlert(at=at, transfer=duis.FirmwareTransferAlert() as transfer):
            fact, cause, alert = _TRANSFERS[transfer.response]
            _agree("N62 alert code", alert, body.alert_code)
            detail = "" if cause is Cause.NONE else transfer.response.value
            evidence = Evidence(fact, sent_at if at is None else at, code, cause, detail)
            asked = None if transfer.request is None else _ours(transfer.request, parties)
            return (Statement(transfer.device, evidence, transfer.version, asked),)
        case duis.PpmidAlert(device=device, at=at, upgrade=duis.PpmidFirmwareUpgradeAlert() as upgrade):
            _agree("N39 alert code", gbcs.AlertCode.PPMID_ACTIVATION, body.alert_code)
            succeeded = upgrade.result is duis.ActivationResult.SUCCESS
            fact, cause = (
                (Fact.ACTIVATED, Cause.NONE) if succeeded else (Fact.ACTIVATION_FAILED, Cause.ACTIVATION)
            )
            moment = sent_at if at is None else at
            return (Statement(device, Evidence(fact, moment, code, cause, version=upgrade.version)),)
        case duis.QuarantinedRequest(request=request, breach=breach) if request.target != parties.broker:
            evidence = Evidence(Fact.QUARANTINED, sent_at, code, Cause.QUARANTINE, breach.value)
            return (Statement(request.target, evidence, request=_ours(request, parties)),)
        case duis.PpmidRemoval(device=device):
            return (_left(device, code, Cause.REMOVED, sent_at),)
        case duis.DeviceChangeOfSupplier(device=device):
            # To the Supplier that loses it; the one that gains it is told of its own request instead.
            return (_left(device, code, Cause.SUPPLIER, sent_at),)
        case duis.DeviceStatusChangeEvent(device=device, change=duis.StatusChange() as change):
            gone = _DEPARTURES.get(change)
            return () if gone is None else (_left(device, code, gone, sent_at),)
        case duis.DeviceStatusChangeEvent(device=device, change=duis.MeterDecommissioned() as change):
            # What goes with a meter goes out of service with it.
            gone_with_it = dict.fromkeys((device, *(each.device for each in change.associated)))
            return tuple(_left(each, code, Cause.DECOMMISSIONED, sent_at) for each in gone_with_it)
        case _:
            return ()


def _left(device: Eui64, code: str, cause: Cause, at: Instant) -> Statement:
    return Statement(device, Evidence(Fact.LEFT, at, code, cause))


def _no_answer(srv: str, response: duis.Response, parties: Parties) -> tuple[Statement, ...]:
    """What the DCC says in the place of a Device that did not answer."""
    request = response.request_id
    if request is None or not response.code.startswith("E"):
        return ()
    cause = cause_of_code(response.code)
    match srv:
        case "11.2":
            fact = Fact.READ_FAILED
        case "11.3" if cause is Cause.UNREACHABLE:
            # The command may have been carried out all the same, so that its outcome is unknown.
            fact = Fact.NO_WORD_OF_ACTIVATION
        case "11.3":
            fact = Fact.ACTIVATION_REFUSED
        case _:
            return ()
    evidence = Evidence(fact, response.at, f"SRV {srv}", cause, response.code)
    return (Statement(request.target, evidence, request=_ours(request, parties)),)


def _reading(octets: bytes, parties: Parties, sent_at: Instant) -> tuple[Statement, ...]:
    """The answer to SRV 11.2: from the Device to the ACB, on our behalf."""
    decoded = gbcs.decode(octets)
    message = decoded.message
    if parties.ring.secrets(parties.broker, message.originator):
        gbcs.open_message(octets, parties.ring, broker=parties.broker)
    if not isinstance(decoded.payload, gbcs.Cs08Response):
        raise VerificationError("gbcs-kind", "CS08, response", decoded.kind.name)
    behalf = message.supplementary
    if message.recipient != parties.broker or behalf is None or behalf.party != parties.supplier:
        found = f"one to {message.recipient} for {None if behalf is None else behalf.party}"
        expected = f"an answer to {parties.broker} for {parties.supplier}"
        raise VerificationError("gbcs-recipient", expected, found)
    if decoded.payload.result is gbcs.Outcome.SUCCESS:
        evidence = Evidence(Fact.VERSION_READ, sent_at, "CS08", version=decoded.payload.version)
    else:
        evidence = Evidence(Fact.READ_FAILED, sent_at, "CS08", Cause.UNBELIEVABLE, "failure")
    return (Statement(message.originator, evidence, request=_counter(behalf.counter)),)


def _device_message(
    octets: bytes, parties: Parties, sent_at: Instant, code: int | None
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
            fact, cause = _RECEIPTS[alert]
            # A COSEM date-time may leave parts open: then the DCC's own time has to do.
            at = payload.at.instant if isinstance(payload.at, gbcs.CosemDateTime) else payload.at
            evidence = Evidence(fact, sent_at if at is None else at, f"{alert:04X}", cause)
            return (Statement(device, evidence, image_hash),)
        case gbcs.Cs06Response(result=result):
            evidence = _activation(payload, sent_at, "CS06")
            return (Statement(device, evidence, request=_counter(message.counter)),)
        case gbcs.Cs06Accepted():
            evidence = Evidence(Fact.ACTIVATION_SCHEDULED, sent_at, "CS06")
            return (Statement(device, evidence, request=_counter(message.counter)),)
        case gbcs.OutcomeAlert(alert=alert, at=at, command_counter=counter, result=result):
            _agree_code(alert, code)
            done = result is gbcs.ActivationResult.SUCCESS
            succeeded, failed = gbcs.AlertCode.FUTURE_DATED_SUCCESS, gbcs.AlertCode.FUTURE_DATED_FAILURE
            _agree("outcome alert code", succeeded if done else failed, alert)
            evidence = _activation(payload, at, f"{alert:04X}")
            return (Statement(device, evidence, request=_counter(counter)),)
        case _:
            return ()


def _activation(said: gbcs.Cs06Response | gbcs.OutcomeAlert, at: Instant, message: str) -> Evidence:
    fact, cause = _ACTIVATIONS[said.result]
    detail = "" if cause is Cause.NONE else said.result.name.replace("_", " ").lower()
    return Evidence(fact, at, message, cause, detail, said.version)


def _ours(request: duis.RequestId, parties: Parties) -> int:
    """The counter of a request, which must be one of ours."""
    if request.originator != parties.supplier:
        raise VerificationError("request-of-another", f"a request of {parties.supplier}", str(request))
    return _counter(request.counter)


def _counter(counter: int) -> int:
    """A counter that we can have allocated."""
    if counter > COUNTER_MAX:
        raise VerificationError("request-counter", f"at most {COUNTER_MAX}", str(counter))
    return counter


def _agree_code(alert: gbcs.AlertCode, beside: int | None) -> None:
    if beside is not None:
        _agree("alert-code", alert, beside)


def _agree(what: str, expected: gbcs.AlertCode, found: int) -> None:
    """A code must say what the rest of the message says."""
    if expected != found:
        raise VerificationError(what, f"{expected:04X}", f"{found:04X}")
