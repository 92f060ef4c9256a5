"""The GBCS message: grouping header, content, signature (GBCS 7.2).

DF 09 CRA counter(8)  08 originator(8)  08 recipient(8)  00 | 0C date-time(12)
02 code(2) | 12 code(2) supplementary-party(8) supplementary-counter(8)
length content  00 | 40 signature(64)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple, NoReturn

from lamplighter.kit import Cursor, Eui64, Record
from lamplighter.kit.eui64 import EUI64_OCTETS
from lamplighter.protocol.gbcs import der

_WHAT: Final = "GBCS message"

TAG: Final = 0xDF
COUNTER_MAX: Final = 2**64 - 1
_OTHER_INFO_PLAIN: Final = 2
_OTHER_INFO_SUPPLEMENTED: Final = 18
_TRANSACTION_ID_OCTETS: Final = 9
_DATE_TIME_LENGTHS: Final = b"\x00\x0c"
_OTHER_INFO_LENGTHS: Final = bytes((_OTHER_INFO_PLAIN, _OTHER_INFO_SUPPLEMENTED))
_SIGNATURE_LENGTHS: Final = b"\x00\x40"


class Cra(IntEnum):
    """Command, Response or Alert: the first octet of the transaction id."""

    COMMAND = 1
    RESPONSE = 2
    ALERT = 3


_CRAS: Final = {cra.value: cra for cra in Cra}

_HEAD: Final = Record(
    ">",
    ("B", "tag"),
    ("B", "transaction id length"),
    ("B", "CRA flag"),
    ("Q", "originator counter"),
    ("B", "originator length"),
    ("8s", "originator"),
    ("B", "recipient length"),
    ("8s", "recipient"),
    ("B", "date-time length"),
)
_HEAD_OCTETS: Final = {
    # What the one-octet fields of the head may hold.
    "tag": bytes((TAG,)),
    "transaction id length": bytes((_TRANSACTION_ID_OCTETS,)),
    "CRA flag": bytes(_CRAS),
    "originator length": bytes((EUI64_OCTETS,)),
    "recipient length": bytes((EUI64_OCTETS,)),
    "date-time length": _DATE_TIME_LENGTHS,
}


@dataclass(frozen=True, slots=True)
class Supplementary:
    """On whose behalf the ACB asks: the party and its own counter (CS08)."""

    party: Eui64
    counter: int


class Message(NamedTuple):
    """One message without its MAC wrapping."""

    cra: Cra
    """Command, Response or Alert."""
    counter: int
    """Originator counter, 0..2**64-1; a Device refuses a command whose counter is not above the last."""
    originator: Eui64
    """Who made the message; for a Response, the Device."""
    recipient: Eui64
    """Whom it is for."""
    code: int
    """Message code, 0..0xFFFF: the use case."""
    content: bytes
    """The use case's own octets."""
    signature: bytes | None
    """r || s; b"" where the length octet is 00; None where even that is missing (some pre-commands)."""
    supplementary: Supplementary | None = None
    """Present in what the ACB originates for another party."""
    date_time: bytes = b""
    """COSEM date-time of 12 octets, or none."""


def encode_signed(message: Message) -> bytes:
    """What the signature covers: all from the octet after DF up to and including the content."""
    if message.supplementary is None:
        other = bytes((_OTHER_INFO_PLAIN,)) + message.code.to_bytes(2, "big")
    else:
        other = (
            bytes((_OTHER_INFO_SUPPLEMENTED,))
            + message.code.to_bytes(2, "big")
            + message.supplementary.party.octets
            + message.supplementary.counter.to_bytes(8, "big")
        )
    return b"".join(
        (
            bytes((9, message.cra)),
            message.counter.to_bytes(8, "big"),
            b"\x08",
            message.originator.octets,
            b"\x08",
            message.recipient.octets,
            bytes((len(message.date_time),)),
            message.date_time,
            other,
            der.length(len(message.content)),
            message.content,
        )
    )


def encode(message: Message) -> bytes:
    """The message, octet for octet."""
    signature = message.signature
    tail = b"" if signature is None else bytes((len(signature),)) + signature
    return bytes((TAG,)) + encode_signed(message) + tail


def content_offset(message: Message, size: int) -> int:
    """Where the content starts in the DF... message, which has `size` octets."""
    tail = 0 if message.signature is None else 1 + len(message.signature)
    return size - tail - len(message.content)


def read(cursor: Cursor) -> Message:
    """Decode the message that fills the cursor to its end."""
    start = cursor.at
    head = cursor.unpack(_HEAD)
    tag, id_length, kind, counter, from_length, originator, to_length, recipient, count = head
    if (
        tag != TAG
        or id_length != _TRANSACTION_ID_OCTETS
        or kind not in _CRAS
        or from_length != EUI64_OCTETS
        or to_length != EUI64_OCTETS
        or count not in _DATE_TIME_LENGTHS
    ):
        _refuse(cursor, start, head)
    date_time = cursor.take(count, "date-time")
    count = cursor.one_of(_OTHER_INFO_LENGTHS, "other information length")
    code = cursor.big(2, "message code")
    supplementary = None
    if count == _OTHER_INFO_SUPPLEMENTED:
        supplementary = Supplementary(
            Eui64(cursor.take(8, "supplementary party")), cursor.big(8, "supplementary counter")
        )
    content = cursor.take(der.read_length(cursor, "content length"), "content")
    signature = _read_signature(cursor)
    cursor.finish()
    return Message(
        _CRAS[kind],
        counter,
        Eui64(originator),
        Eui64(recipient),
        code,
        content,
        signature,
        supplementary,
        date_time,
    )


def _refuse(cursor: Cursor, start: int, head: tuple[Any, ...]) -> NoReturn:
    """Name the first field of the head that holds what it may not."""
    for (_, field), value in zip(_HEAD.fields, head, strict=True):
        allowed = _HEAD_OCTETS.get(field)
        if allowed is not None and value not in allowed:
            wanted = " or ".join(f"{octet:02X}" for octet in allowed)
            cursor.fail(field, wanted, f"{value:02X}", at=start + _HEAD.offsets[field])
    raise AssertionError(head)


def _read_signature(cursor: Cursor) -> bytes | None:
    if not cursor.left:
        return None
    return cursor.take(cursor.one_of(_SIGNATURE_LENGTHS, "signature length"), "signature")


def decode(octets: bytes) -> Message:
    """Read one message without MAC wrapping; total."""
    return read(Cursor(_WHAT, octets))
