"""Every kind of message that a firmware update uses: one table for decoding, checking, docs and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit import Cursor, DecodeError, UsageError
from lamplighter.protocol.gbcs import use_cases as uc
from lamplighter.protocol.gbcs.message import Cra, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.protocol.gbcs.use_cases import Payload


_CODE_OFFSET: Final = 31  # in the DF... message, before the date-time is counted


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: which messages these are, and what they must bear."""

    name: str
    """The use case and direction, in the industry's words."""
    code: int
    """Message code in the grouping header."""
    cra: Cra
    """Command, Response or Alert."""
    payload: type | tuple[type, ...]
    """What the content decodes to."""
    read: Callable[[Cursor], Any]
    """Reads the content."""
    write: Callable[[Any], bytes]
    """Writes the content."""
    signed: bool
    """Bears its originator's ECDSA signature."""
    maced: bool
    """Bears the MAC of the ACB or, in a response to it, of the Device."""


KINDS: Final = (
    Kind(
        "CS06 activate firmware, command",
        0x0012, Cra.COMMAND, uc.Cs06Command, uc.read_cs06_command, uc.write_cs06_command,
        signed=True, maced=True,
    ),
    Kind(
        "CS06 activate firmware, response",
        0x0012, Cra.RESPONSE, (uc.Cs06Response, uc.Cs06Accepted), uc.read_cs06_response,
        uc.write_cs06_response, signed=True, maced=False,
    ),
    Kind(
        "CS06 future-dated outcome, alert",
        0x00CA, Cra.ALERT, uc.OutcomeAlert, uc.read_outcome, uc.write_outcome,
        signed=True, maced=False,
    ),
    Kind(
        "FDRA firmware receipt (GBZ), alert",
        uc.Form.GBZ.value, Cra.ALERT, uc.ReceiptAlert, uc.read_receipt_gbz, uc.write_receipt,
        signed=True, maced=False,
    ),
    Kind(
        "FDRA firmware receipt (DLMS), alert",
        uc.Form.DLMS.value, Cra.ALERT, uc.ReceiptAlert, uc.read_receipt_dlms, uc.write_receipt,
        signed=True, maced=False,
    ),
    Kind(
        "CS08 read firmware version, command",
        0x0129, Cra.COMMAND, uc.Cs08Command, uc.read_cs08_command, uc.write_cs08_command,
        signed=False, maced=True,
    ),
    Kind(
        "CS08 read firmware version, response",
        0x0129, Cra.RESPONSE, uc.Cs08Response, uc.read_cs08_response, uc.write_cs08_response,
        signed=False, maced=True,
    ),
    Kind(
        "CS09 PPMID firmware activation, alert",
        0x012B, Cra.ALERT, uc.Cs09Alert, uc.read_cs09, uc.write_cs09,
        signed=True, maced=False,
    ),
    Kind(
        "CCS08 firmware transfer, alert",
        0x0128, Cra.ALERT, uc.Ccs08Alert, uc.read_ccs08, uc.write_ccs08,
        signed=True, maced=False,
    ),
)  # fmt: skip

_BY_HEADER: Final = {kind.code << 8 | kind.cra.value: kind for kind in KINDS}
_KNOWN: Final = ", ".join(f"{kind.code:04X}" for kind in KINDS if kind.cra is not Cra.RESPONSE)


def kind_of(message: Message, base: int = 0) -> Kind:
    """The row of a message that starts at `base`; a `DecodeError` where it is of no firmware update."""
    kind = _BY_HEADER.get(message.code << 8 | message.cra)
    if kind is None:
        raise DecodeError(
            "GBCS message",
            "message code",
            base + _CODE_OFFSET + len(message.date_time),
            f"a use case of a firmware update ({_KNOWN})",
            f"{message.code:04X} {message.cra.name.lower()}",
        )
    return kind


def kind_for(payload: Payload) -> Kind:
    """The row that writes this payload."""
    for kind in KINDS:
        if isinstance(payload, kind.payload) and (
            not isinstance(payload, uc.ReceiptAlert) or kind.code == payload.form.value
        ):
            return kind
    raise UsageError(f"no use case writes a {type(payload).__name__}")


def read_payload(kind: Kind, content: Cursor) -> Payload:
    """The use case's value, read from a cursor over the content."""
    payload: Payload = kind.read(content)
    content.finish()
    return payload
