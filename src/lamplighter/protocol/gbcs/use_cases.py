"""The use cases of a firmware update: what each message's content says, and how it is read and written.

    CS06   activate firmware: command, response, outcome alert (message codes 0012 and 00CA)
    CS08   read firmware version: command and response (0129)
    CS09   a PPMID has activated, or could not (012B)
    CCS08  a Communications Hub has passed an image on, or could not (0128)
    FDRA   a Device has received an image and checked its Supplier signature: 8F72, 8F1C (00CE DLMS, 00CF GBZ)

CS08 and CS09 put the version first, CS06 the code: the specification's own difference, not a slip.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final, TypeVar

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, UsageError
from lamplighter.kit.instant import (
    Instant,
    from_generalized,
    from_iso,
    from_zigbee,
    to_datetime,
    to_zigbee,
)
from lamplighter.protocol.gbcs import der
from lamplighter.protocol.gbcs.message import COUNTER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamplighter.kit import Cursor

CANCELLED: Final = from_generalized("99991231235959Z")
"""The activation time that cancels a pending activation (DUIS writes it as the year 3000)."""


class AlertCode(IntEnum):
    """Device alert codes of a firmware update."""

    IMAGE_REJECTED = 0x8F1C
    """Firmware verification failed: the image was discarded."""
    IMAGE_VERIFIED = 0x8F72
    """Firmware verified and kept, waiting for its activation."""
    FUTURE_DATED_SUCCESS = 0x8F66
    """A future-dated command was carried out."""
    FUTURE_DATED_FAILURE = 0x8F67
    """A future-dated command could not be carried out."""
    TRANSFER_FAILED = 0x8F89
    """The hub could not pass the image to the Device."""
    TRANSFER_SUCCEEDED = 0x8F8A
    """The hub has passed the image to the Device."""
    PPMID_ACTIVATION = 0x8F8B
    """A PPMID reports how its activation went."""


class ActivationResult(IntEnum):
    """How a CS06 activation went."""

    SUCCESS = 0
    NO_IMAGE_HELD = 1
    HASH_MISMATCH = 2
    ACTIVATION_FAILURE = 3


class TransferResult(IntEnum):
    """How a hub's transfer to a Device went (CCS08)."""

    SUCCESS = 0
    IMAGE_DISCARDED = 1
    HARDWARE_VERSION_MISMATCH = 2
    FILE_TRANSFER_FAILURE = 3


class Outcome(IntEnum):
    """Success or failure (CS08, CS09)."""

    SUCCESS = 0
    FAILURE = 1


class Form(Enum):
    """Which protocol a receipt alert is written in."""

    GBZ = 0x00CF
    """Zigbee: GSME, and HCALCS by assumption."""
    DLMS = 0x00CE
    """COSEM: ESME."""


@dataclass(frozen=True, slots=True)
class Cs06Command:
    """Activate the image that has this hash, now or at a time."""

    hash: ImageHash
    """Manufacturer Image Hash of the image that the Device must hold."""
    counter: int
    """The originator counter again, which binds the content to the header."""
    execution: Instant | None
    """When to activate; None: now; `CANCELLED`: forget a pending activation."""


@dataclass(frozen=True, slots=True)
class Cs06Accepted:
    """A future-dated activation was taken down; its outcome comes as an alert."""


@dataclass(frozen=True, slots=True)
class Cs06Response:
    """How an immediate activation went."""

    result: ActivationResult
    """Success, or why not."""
    version: FirmwareVersion
    """The version that now runs, whatever the result: the proof."""


@dataclass(frozen=True, slots=True)
class OutcomeAlert:
    """How a future-dated activation went."""

    alert: AlertCode
    """8F66 or 8F67."""
    at: Instant
    """When it was carried out."""
    command_counter: int
    """Originator counter of the command that it answers."""
    result: ActivationResult
    """Success, or why not."""
    version: FirmwareVersion
    """The version that now runs."""


@dataclass(frozen=True, slots=True)
class CosemDateTime:
    """A COSEM date-time as it came: 12 octets in which any part may be "not specified"."""

    octets: bytes

    @classmethod
    def of(cls, instant: Instant) -> CosemDateTime:
        """Whole seconds; day of week, deviation and status not specified."""
        at = to_datetime(instant)
        date = at.year.to_bytes(2, "big") + bytes((at.month, at.day, 0xFF))
        return cls(date + bytes((at.hour, at.minute, at.second, 0x00, 0x80, 0x00, 0xFF)))

    @property
    def instant(self) -> Instant | None:
        """The instant, where date and time are fully given; an unspecified deviation counts as UTC."""
        year, month, day = int.from_bytes(self.octets[:2], "big"), self.octets[2], self.octets[3]
        hour, minute, second = self.octets[5:8]
        try:
            return from_iso(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z")
        except DecodeError:
            return None


@dataclass(frozen=True, slots=True)
class ReceiptAlert:
    """A Device took an image and checked the Supplier's signature on it."""

    alert: AlertCode
    """8F72 verified, 8F1C rejected."""
    at: Instant | CosemDateTime
    """When: seconds for GBZ, a COSEM date-time for DLMS."""
    hash: ImageHash
    """Manufacturer Image Hash of the image received."""
    invoke_id: int | None = None
    """DLMS only: long-invoke-id-and-priority, 32 bits."""

    @property
    def form(self) -> Form:
        """DLMS carries an invoke id, GBZ none."""
        return Form.GBZ if self.invoke_id is None else Form.DLMS


@dataclass(frozen=True, slots=True)
class Cs08Command:
    """Read the firmware version."""


@dataclass(frozen=True, slots=True)
class Cs08Response:
    """The version that runs."""

    version: FirmwareVersion
    result: Outcome


@dataclass(frozen=True, slots=True)
class Cs09Alert:
    """A PPMID's own word on its activation: the proof of SRV 11.4."""

    alert: AlertCode
    """8F8B."""
    at: Instant
    """When the activation was done or given up."""
    version: FirmwareVersion
    """The version that now runs."""
    result: Outcome
    """Whether the new image was activated."""


@dataclass(frozen=True, slots=True)
class Ccs08Alert:
    """A hub's word on passing an image to a Device."""

    alert: AlertCode
    """8F8A success, 8F89 failure."""
    at: Instant
    """When the transfer ended."""
    target: Eui64
    """The Device that the image was for."""
    version: FirmwareVersion
    """The image's version."""
    result: TransferResult
    """How it went."""


Payload = (
    Cs06Command
    | Cs06Accepted
    | Cs06Response
    | OutcomeAlert
    | ReceiptAlert
    | Cs08Command
    | Cs08Response
    | Cs09Alert
    | Ccs08Alert
)

_Code = TypeVar("_Code", bound=IntEnum)


def _by_value(codes: Iterable[_Code]) -> Mapping[int, _Code]:
    return {code.value: code for code in codes}


_ACTIVATION_RESULTS: Final = _by_value(ActivationResult)
_TRANSFER_RESULTS: Final = _by_value(TransferResult)
_OUTCOMES: Final = _by_value(Outcome)
# Which alert codes each alert may carry.
_RECEIPTS: Final = _by_value((AlertCode.IMAGE_VERIFIED, AlertCode.IMAGE_REJECTED))
_FUTURE_DATED: Final = _by_value((AlertCode.FUTURE_DATED_SUCCESS, AlertCode.FUTURE_DATED_FAILURE))
_ACTIVATIONS: Final = _by_value((AlertCode.PPMID_ACTIVATION,))
_TRANSFERS: Final = _by_value((AlertCode.TRANSFER_SUCCEEDED, AlertCode.TRANSFER_FAILED))

_GBZ_LEAD: Final = b"\x01\x09\x01"
_HASH_LEAD: Final = b"\x09\x20"
_DLMS_LEAD: Final = b"\x0f"
_DLMS_BODY_LEAD: Final = b"\x00\x02\x03\x12"  # no date-time, structure of 3, long-unsigned
_COSEM_LEAD: Final = b"\x09\x0c"


def _coded(cursor: Cursor, codes: Mapping[int, _Code], field: str) -> _Code:
    """An INTEGER that must be one of `codes`."""
    at = cursor.at
    return _among(cursor, at, der.read_integer(cursor, field, 0xFFFF), codes, field)


def _among(cursor: Cursor, at: int, value: int, codes: Mapping[int, _Code], field: str) -> _Code:
    """The code of this value, which stood at `at`."""
    code = codes.get(value)
    if code is None:
        names = " or ".join(f"{code.value:X} ({code.name})" for code in codes.values())
        cursor.fail(field, names, f"{value:X}", at=at)
    return code


def _version(cursor: Cursor) -> FirmwareVersion:
    return FirmwareVersion(int.from_bytes(der.read_octets(cursor, "firmware version", 4), "big"))


def read_cs06_command(cursor: Cursor) -> Cs06Command:
    """`SEQUENCE { OCTET STRING hash, INTEGER originatorCounter, GeneralizedTime? }`."""
    der.enter(cursor, "activate firmware")
    image_hash = ImageHash(der.read_octets(cursor, "Manufacturer Image Hash", 32))
    counter = der.read_integer(cursor, "originator counter", COUNTER_MAX)
    execution = der.read_time(cursor, "activation time") if cursor.left else None
    return Cs06Command(image_hash, counter, execution)


def write_cs06_command(payload: Cs06Command) -> bytes:
    """The content of a CS06 command."""
    parts = [der.octet_string(payload.hash.octets), der.integer(payload.counter)]
    if payload.execution is not None:
        parts.append(der.time(payload.execution))
    return der.sequence(*parts)


def read_cs06_response(cursor: Cursor) -> Cs06Response | Cs06Accepted:
    """NULL, or `SEQUENCE { INTEGER code, OCTET STRING version }`."""
    if cursor.left == len(der.null()):
        der.read_null(cursor, "accepted")
        return Cs06Accepted()
    return _read_result(cursor)


def _read_result(cursor: Cursor) -> Cs06Response:
    der.enter(cursor, "activation result")
    result = _coded(cursor, _ACTIVATION_RESULTS, "result code")
    version = _version(cursor)
    return Cs06Response(result, version)


def write_cs06_response(payload: Cs06Response | Cs06Accepted) -> bytes:
    """The content of a CS06 response."""
    if isinstance(payload, Cs06Accepted):
        return der.null()
    return der.sequence(der.integer(payload.result), der.octet_string(payload.version.octets))


def read_outcome(cursor: Cursor) -> OutcomeAlert:
    """`SEQUENCE { alertCode, GeneralizedTime, commandCounter, SEQUENCE { code, version } }`."""
    der.enter(cursor, "outcome alert")
    alert = _coded(cursor, _FUTURE_DATED, "alert code")
    at = der.read_time(cursor, "alert time")
    counter = der.read_integer(cursor, "command counter", COUNTER_MAX)
    response = _read_result(cursor)
    return OutcomeAlert(alert, at, counter, response.result, response.version)


def write_outcome(payload: OutcomeAlert) -> bytes:
    """The content of an outcome alert."""
    return der.sequence(
        der.integer(payload.alert),
        der.time(payload.at),
        der.integer(payload.command_counter),
        write_cs06_response(Cs06Response(payload.result, payload.version)),
    )


def read_receipt_gbz(cursor: Cursor) -> ReceiptAlert:
    """`01 09 01` alertCode(2) UTCTime(4) `09 20` hash(32)."""
    cursor.exactly(_GBZ_LEAD, "GBZ header")
    at = cursor.at
    alert = _among(cursor, at, cursor.big(2, "alert code"), _RECEIPTS, "alert code")
    moment = from_zigbee(cursor.big(4, "alert time"))
    cursor.exactly(_HASH_LEAD, "octet string of 32")
    return ReceiptAlert(alert, moment, ImageHash(cursor.take(32, "Manufacturer Image Hash")))


def read_receipt_dlms(cursor: Cursor) -> ReceiptAlert:
    """`0F` invokeId(4) `00 02 03 12` alertCode(2) `09 0C` date-time(12) `09 20` hash(32)."""
    cursor.exactly(_DLMS_LEAD, "data-notification")
    invoke_id = cursor.big(4, "long-invoke-id-and-priority")
    cursor.exactly(_DLMS_BODY_LEAD, "structure of 3")
    at = cursor.at
    alert = _among(cursor, at, cursor.big(2, "alert code"), _RECEIPTS, "alert code")
    cursor.exactly(_COSEM_LEAD, "octet string of 12")
    moment = CosemDateTime(cursor.take(12, "alert time"))
    cursor.exactly(_HASH_LEAD, "octet string of 32")
    return ReceiptAlert(alert, moment, ImageHash(cursor.take(32, "Manufacturer Image Hash")), invoke_id)


def write_receipt(payload: ReceiptAlert) -> bytes:
    """The content of a receipt alert in its form."""
    code = int(payload.alert).to_bytes(2, "big")
    tail = _HASH_LEAD + payload.hash.octets
    match payload:
        case ReceiptAlert(at=CosemDateTime(octets), invoke_id=int(invoke_id)):
            lead = _DLMS_LEAD + invoke_id.to_bytes(4, "big") + _DLMS_BODY_LEAD
            return lead + code + _COSEM_LEAD + octets + tail
        case ReceiptAlert(at=int(moment), invoke_id=None):
            return _GBZ_LEAD + code + to_zigbee(Instant(moment)).to_bytes(4, "big") + tail
    raise UsageError("a receipt alert has a COSEM date-time and an invoke id (DLMS), or neither (GBZ)")


def read_cs08_command(cursor: Cursor) -> Cs08Command:
    """NULL."""
    der.read_null(cursor, "read firmware version")
    return Cs08Command()


def write_cs08_command(_: Cs08Command) -> bytes:
    """The content of a CS08 command."""
    return der.null()


def read_cs08_response(cursor: Cursor) -> Cs08Response:
    """`SEQUENCE { OCTET STRING version, INTEGER code }`."""
    der.enter(cursor, "answer")
    version = _version(cursor)
    result = _coded(cursor, _OUTCOMES, "result code")
    return Cs08Response(version, result)


def write_cs08_response(payload: Cs08Response) -> bytes:
    """The content of a CS08 response."""
    return der.sequence(der.octet_string(payload.version.octets), der.integer(payload.result))


def read_cs09(cursor: Cursor) -> Cs09Alert:
    """`SEQUENCE { alertCode, GeneralizedTime, OCTET STRING version, INTEGER result }`."""
    der.enter(cursor, "PPMID activation alert")
    alert = _coded(cursor, _ACTIVATIONS, "alert code")
    at = der.read_time(cursor, "alert time")
    version = _version(cursor)
    result = _coded(cursor, _OUTCOMES, "result code")
    return Cs09Alert(alert, at, version, result)


def write_cs09(payload: Cs09Alert) -> bytes:
    """The content of a CS09 alert."""
    return der.sequence(
        der.integer(payload.alert),
        der.time(payload.at),
        der.octet_string(payload.version.octets),
        der.integer(payload.result),
    )


def read_ccs08(cursor: Cursor) -> Ccs08Alert:
    """`SEQUENCE { alertCode, GeneralizedTime, OCTET STRING target, OCTET STRING version, INTEGER code }`."""
    der.enter(cursor, "firmware transfer alert")
    alert = _coded(cursor, _TRANSFERS, "alert code")
    at = der.read_time(cursor, "alert time")
    target = Eui64(der.read_octets(cursor, "target Device", 8))
    version = _version(cursor)
    result = _coded(cursor, _TRANSFER_RESULTS, "transfer response code")
    return Ccs08Alert(alert, at, target, version, result)


def write_ccs08(payload: Ccs08Alert) -> bytes:
    """The content of a CCS08 alert."""
    return der.sequence(
        der.integer(payload.alert),
        der.time(payload.at),
        der.octet_string(payload.target.octets),
        der.octet_string(payload.version.octets),
        der.integer(payload.result),
    )
