"""A GBCS message told to a human: every field, its place and meaning, and what to believe.

The fields come from the decoder itself, run on a tracing cursor: there is no second grammar to go stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Eui64, Field, TracingCursor, VerificationError
from lamplighter.kit.instant import from_zigbee, to_iso
from lamplighter.protocol.gbcs import mac as macs
from lamplighter.protocol.gbcs import message as messages
from lamplighter.protocol.gbcs.catalogue import kind_of, read_payload
from lamplighter.protocol.gbcs.envelope import verify_signature
from lamplighter.protocol.gbcs.message import Cra
from lamplighter.protocol.gbcs.use_cases import (
    ActivationResult,
    AlertCode,
    CosemDateTime,
    Outcome,
    TransferResult,
)

if TYPE_CHECKING:
    from enum import IntEnum

    from lamplighter.protocol.gbcs.catalogue import Kind
    from lamplighter.protocol.gbcs.message import Message
    from lamplighter.protocol.smki import KeyRing

_PARTIES: Final = frozenset({"originator", "recipient", "supplementary party", "target Device"})
_NUMBERS: Final = frozenset(
    {"originator counter", "supplementary counter", "command counter", "long-invoke-id-and-priority"}
)
_CRA: Final = "CRA flag"
_CODE: Final = "message code"


@dataclass(frozen=True, slots=True)
class Line:
    """One field with its meaning in words; "" where the octets say it all."""

    field: Field
    meaning: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check and how it went: True passed, False failed, None could not be made."""

    check: str
    passed: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A whole message, explained."""

    kind: str
    lines: tuple[Line, ...]
    verdicts: tuple[Verdict, ...]


def explain(octets: bytes, ring: KeyRing | None = None, broker: Eui64 | None = None) -> Explanation:
    """Every field of a message and the verdict on its signature and MAC.

    ring, broker  keys to check with, and the ACB's id; without them verdicts say that they could not be made

    Raises `DecodeError` where the octets are no message of a firmware update.
    """
    trace: list[Field] = []
    cursor = TracingCursor("GBCS message", octets, fields=trace)
    mac, inner_octets = None, octets
    inner = cursor
    if octets[:1] == macs.WRAPPER:
        cursor.what = "MAC wrapping"
        inner_cursor, mac = macs.read_wrapping(cursor)
        assert isinstance(inner_cursor, TracingCursor)
        inner, inner_octets = inner_cursor, macs.unwrap(octets)[0]
    message = messages.read(inner)
    kind = kind_of(message, inner.base)
    content_at = inner.base + messages.content_offset(message, len(inner_octets))
    fields = [field for field in trace if field.name != "content"]
    read_payload(kind, TracingCursor(kind.name, message.content, content_at, fields))
    fields.sort(key=lambda field: field.offset)
    lines = tuple(Line(field, _meaning(field, kind, message)) for field in fields)
    return Explanation(kind.name, lines, _verdicts(kind, message, inner_octets, mac, ring, broker))


def _meaning(field: Field, kind: Kind, message: Message) -> str:
    name, octets = field.name, field.octets
    number = int.from_bytes(octets, "big")
    if name in _PARTIES:
        return str(Eui64(octets))
    if name in _NUMBERS:
        return str(number)
    if name == _CRA:
        return message.cra.name.capitalize()
    if name == _CODE:
        return kind.name
    if name == "alert code":
        return _named(AlertCode, number)
    if name in {"alert time", "activation time", "date-time"}:
        return _time(octets)
    if name == "firmware version":
        return f"{number:08X}"
    if name == "transfer response code":
        return _named(TransferResult, number)
    if name == "result code":
        return _named(ActivationResult if kind.code in (0x0012, 0x00CA) else Outcome, number)
    if name.endswith("length"):
        return f"{number} octets" if octets[0] < 0x80 or name.startswith("other") else ""
    return ""


def _named(kind: type[IntEnum], number: int) -> str:
    try:
        return kind(number).name.replace("_", " ").lower()
    except ValueError:
        return "unknown"


def _time(octets: bytes) -> str:
    if len(octets) == 4:
        return to_iso(from_zigbee(int.from_bytes(octets, "big")))
    if len(octets) == 12:
        moment = CosemDateTime(octets).instant
        return to_iso(moment) if moment is not None else "partly unspecified"
    return octets.decode("ascii", "replace")


def _verdicts(
    kind: Kind, message: Message, inner: bytes, mac: bytes | None, ring: KeyRing | None, broker: Eui64 | None
) -> tuple[Verdict, ...]:
    verdicts = []
    if kind.maced or mac is not None:
        verdicts.append(_mac_verdict(message, inner, mac, ring, broker))
    if kind.signed or message.signature:
        verdicts.append(_signature_verdict(message, inner, ring))
    return tuple(verdicts)


def _mac_verdict(
    message: Message, inner: bytes, mac: bytes | None, ring: KeyRing | None, broker: Eui64 | None
) -> Verdict:
    if mac is None:
        return Verdict("MAC", None, "not wrapped yet: the ACB adds the MAC")
    if ring is None or broker is None:
        return Verdict("MAC", None, "no keys were given")
    try:
        macs.check(inner, mac, ring, broker)
    except VerificationError as refusal:
        return Verdict("MAC", None if refusal.check == "mac-key" else False, str(refusal))
    parties = "the ACB and the Device"
    return Verdict("MAC", True, f"by {parties} ({broker}; {_device(message)})")


def _device(message: Message) -> Eui64:
    return message.recipient if message.cra is Cra.COMMAND else message.originator


def _signature_verdict(message: Message, inner: bytes, ring: KeyRing | None) -> Verdict:
    if not message.signature:
        return Verdict("signature", None, "not signed yet: a pre-command")
    if ring is None:
        return Verdict("signature", None, "no keys were given")
    try:
        signer = verify_signature(inner, message, ring)
    except VerificationError as refusal:
        return Verdict("signature", None if refusal.check == "signature-key" else False, str(refusal))
    return Verdict("signature", True, f"by {signer}")
