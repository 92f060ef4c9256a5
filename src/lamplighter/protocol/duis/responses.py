"""What the DCC answers and tells: responses, warnings, pre-commands, device alerts and DCC Alerts.

A refusal is a value here: a response whose code is not I0 or I99 is as well-formed as any.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from lamplighter.protocol.duis.alerts import DCC_ALERT
from lamplighter.protocol.duis.codes import (
    DCC_ALERT_CODES,
    RESPONSE_CODES,
    SERVICE_REFERENCE_VARIANTS,
    SERVICE_REFERENCES,
)
from lamplighter.protocol.duis.document import SCHEMA_VERSION, decode_document, encode_document
from lamplighter.protocol.duis.grammar import Choice, Particle, Sequence, maybe, one
from lamplighter.protocol.duis.inventory import INVENTORY, DspInventory
from lamplighter.protocol.duis.reader import read
from lamplighter.protocol.duis.simple_types import (
    ALERT_CODE,
    BASE64,
    EUIS,
    REQUEST_ID,
    TEXT,
    TIME,
    code_of,
    octets_as,
    unsigned,
    word,
)

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.protocol.duis.alerts import DccAlertBody
    from lamplighter.protocol.duis.grammar import Node
    from lamplighter.protocol.duis.identifiers import RequestId

_U16: Final = 2**16 - 1
_U32: Final = 2**32 - 1


class FutureDatedCode(IntEnum):
    """How a future-dated command ended, as the Device's alert says."""

    SUCCESS = 0x8F66
    FAILURE = 0x8F67


@dataclass(frozen=True, slots=True)
class FirmwareWarning:
    """W110101 or W110401: the request is accepted, but for these Devices. An absent list is empty."""

    invalid: tuple[Eui64, ...]
    """Not Devices of the right type, or not of this Supplier."""
    not_commissioned: tuple[Eui64, ...]
    """Not commissioned."""
    not_applicable: tuple[Eui64, ...]
    """The firmware is not for this model."""
    other_request: tuple[Eui64, ...]
    """Another update is in progress."""
    invalid_gbcs_version: tuple[Eui64, ...]
    """The Device or its hub is of a GBCS version that does not know this update."""
    ppmid: bool
    """Whether it answers SRV 11.4 (DSPUpdatePPMIDFirmwareWarning)."""


@dataclass(frozen=True, slots=True)
class PreCommand:
    """What the Transform service makes of a critical request, for the Supplier to check and sign."""

    gbcs_version: str
    """The GBCS version it is made for."""
    octets: bytes
    """The GBCS message, unsigned."""


@dataclass(frozen=True, slots=True)
class GbcsPayload:
    """The Device's own answer."""

    octets: bytes
    """The GBCS message."""


@dataclass(frozen=True, slots=True)
class FutureDatedDeviceAlert:
    """The outcome of a future-dated command."""

    code: FutureDatedCode
    """How it ended."""
    payload: bytes
    """The GBCS alert of the Device."""
    instruction_number: int
    """Which instruction of the command, 0..65535."""
    total_instructions: int
    """How many it has, 0..65535."""


Payload: TypeAlias = DspInventory | FirmwareWarning | FutureDatedDeviceAlert | GbcsPayload | PreCommand


@dataclass(frozen=True, slots=True)
class ResponseMessage:
    """The answer to a request; without payload a bare acknowledgement or refusal."""

    srv: str
    """The service reference, such as `11.2`."""
    variant: str
    """The service reference variant, here always the same as `srv`."""
    payload: Payload | None = None
    """What is answered."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Alert storm protection: this alert stands for copies that the DCC discarded."""

    sequence: int | None
    """ThrottledAlertSequenceId, 0..2**32-1."""
    count: int | None
    """ThrottledAlertCount: how many it stands for, 0..2**32-1."""


@dataclass(frozen=True, slots=True)
class DeviceAlert:
    """A Device's own alert."""

    alert_code: int
    """What the DCC read in it, such as 8F72."""
    payload: bytes
    """The GBCS alert."""
    throttled: Throttled | None = None
    """None: it stands for itself alone."""


@dataclass(frozen=True, slots=True)
class DccAlert:
    """An alert of the DCC."""

    code: str
    """AD1, N1 to N65 or N999; the schema ties no code to a body."""
    body: DccAlertBody
    """What happened."""
    throttled: Throttled | None = None
    """None: it stands for itself alone."""


@dataclass(frozen=True, slots=True)
class Response:
    """One document from the DCC."""

    request_id: RequestId | None
    """The request that it answers; alerts have none."""
    response_id: RequestId | None
    """The request id with originator and target swapped, where a Device answered."""
    code: str
    """The response code, such as `I99`."""
    at: Instant
    """When the DCC wrote it."""
    body: ResponseMessage | DeviceAlert | DccAlert
    """What it says."""
    schema_version: str = SCHEMA_VERSION
    """The DUIS version that the document claims."""


class _Header(NamedTuple):
    request_id: RequestId | None
    response_id: RequestId | None
    code: str
    at: Instant


def _throttled(sequence: int | None, count: int | None) -> Throttled | None:
    return None if sequence is None and count is None else Throttled(sequence, count)


def _unthrottled(throttled: Throttled | None) -> tuple[int | None, int | None]:
    return (None, None) if throttled is None else (throttled.sequence, throttled.count)


def _lists(warning: FirmwareWarning) -> tuple[tuple[Eui64, ...] | None, ...]:
    lists = (
        warning.invalid,
        warning.not_commissioned,
        warning.not_applicable,
        warning.other_request,
        warning.invalid_gbcs_version,
    )
    return tuple(devices or None for devices in lists)


def _warning(*, ppmid: bool) -> Sequence:
    def build(*lists: tuple[Eui64, ...] | None) -> FirmwareWarning:
        a, b, c, d, e = (devices or () for devices in lists)
        return FirmwareWarning(a, b, c, d, e, ppmid)

    return Sequence(
        FirmwareWarning,
        maybe("InvalidDeviceIDList", EUIS),
        maybe("NotCommissionedDeviceIDList", EUIS),
        maybe("NotApplicableFirmwareDeviceIDList", EUIS),
        maybe("OtherRequestInProgressList", EUIS),
        maybe("InvalidGBCSVersionList", EUIS),
        build=build,
        parts=_lists,
        ppmid=ppmid,
    )


_HEADER: Final = Sequence(
    _Header,
    maybe("RequestID", REQUEST_ID),
    maybe("ResponseID", REQUEST_ID),
    one("ResponseCode", word(RESPONSE_CODES, "a DUIS response code")),
    one("ResponseDateTime", TIME),
)
_PAYLOADS: Final[dict[str, Node]] = {
    "DSPInventory": INVENTORY,
    "DSPUpdateFirmwareWarning": _warning(ppmid=False),
    "DSPUpdatePPMIDFirmwareWarning": _warning(ppmid=True),
    "FutureDatedDeviceAlertMessage": Sequence(
        FutureDatedDeviceAlert,
        one("FutureDatedAlertCode", code_of(FutureDatedCode)),
        one("GBCSPayload", BASE64),
        one("InstructionNumber", unsigned(_U16)),
        one("TotalCommandInstructions", unsigned(_U16)),
    ),
    "GBCSPayload": octets_as(GbcsPayload),
    "PreCommand": Sequence(PreCommand, one("GBCSVersion", TEXT), one("GBCSPayload", BASE64)),
}
_THROTTLED: Final = (
    maybe("ThrottledAlertSequenceId", unsigned(_U32)),
    maybe("ThrottledAlertCount", unsigned(_U32)),
)
_BODY: Final = Choice(
    {
        "ResponseMessage": Sequence(
            ResponseMessage,
            one("ServiceReference", word(SERVICE_REFERENCES, "a service reference")),
            one("ServiceReferenceVariant", word(SERVICE_REFERENCE_VARIANTS, "a service reference variant")),
            Particle(_PAYLOADS, 0),
        ),
        "DeviceAlertMessage": Sequence(
            DeviceAlert,
            one("AlertCode", ALERT_CODE),
            *_THROTTLED,
            one("GBCSPayload", BASE64),
            build=lambda code, sequence, count, payload: DeviceAlert(
                code, payload, _throttled(sequence, count)
            ),
            parts=lambda alert: (alert.alert_code, *_unthrottled(alert.throttled), alert.payload),
        ),
        "DCCAlertMessage": Sequence(
            DccAlert,
            one("DCCAlertCode", word(DCC_ALERT_CODES, "a DCC Alert code")),
            *_THROTTLED,
            one("DCCAlert", DCC_ALERT),
            build=lambda code, sequence, count, body: DccAlert(code, body, _throttled(sequence, count)),
            parts=lambda alert: (alert.code, *_unthrottled(alert.throttled), alert.body),
        ),
    }
)


def decode_response(octets: bytes) -> Response:
    """Read a response or an alert without believing it: a signature is passed over, unread."""
    return response_in(read(octets, comments=True))


def response_in(root: Any) -> Response:
    """The response in a document."""
    header, body, version = decode_document(root, "Response", _HEADER, _BODY)
    return Response(header.request_id, header.response_id, header.code, header.at, body, version)


def encode_response(response: Response) -> bytes:
    """The response as XML in the DCC's own form, not yet signed."""
    header = _Header(response.request_id, response.response_id, response.code, response.at)
    return encode_document(
        "Response",
        _HEADER.encode("Header", header),
        _BODY.encode("Body", response.body),
        response.schema_version,
    )
