"""A strict reader and writer for the few DER types that GBCS use cases are made of.

INTEGER (not negative), OCTET STRING, NULL, GeneralizedTime and SEQUENCE; definite minimal lengths only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lamplighter.kit import DecodeError
from lamplighter.kit.instant import Instant, from_generalized, to_generalized

if TYPE_CHECKING:
    from lamplighter.kit import Cursor

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30

_LENGTH_OCTETS_MAX: Final = 4  # a GBCS message is far below 2**32 octets
_TIME_OCTETS: Final = 15  # YYYYMMDDhhmmssZ


def read_length(cursor: Cursor, field: str) -> int:
    """A BER length in its one shortest form, as GBCS uses it outside DER too."""
    first = cursor.u8(field)
    return first if first < 0x80 else _long_length(cursor, first, field)


def _long_length(cursor: Cursor, first: int, field: str) -> int:
    at = cursor.at - 1
    count = first & 0x7F
    if not 1 <= count <= _LENGTH_OCTETS_MAX:
        cursor.fail(field, f"a length of 1 to {_LENGTH_OCTETS_MAX} octets", f"{first:02X}", at=at)
    length = cursor.big(count, field)
    if length < 0x80 or length >> 8 * (count - 1) == 0:
        cursor.fail(field, "the shortest form of a length", f"{length} in {count} octets", at=at)
    return length


def length(count: int) -> bytes:
    """The BER length `count` (>= 0) in its shortest form."""
    if count < 0x80:
        return bytes((count,))
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def _read(cursor: Cursor, tag: int, field: str) -> int:
    """The tag, which must be this one, and the length, which is returned."""
    found = cursor.u8("tag")
    if found != tag:
        cursor.fail(field, f"tag {tag:02X}", f"{found:02X}", at=cursor.at - 1)
    first = cursor.u8("length")
    return first if first < 0x80 else _long_length(cursor, first, "length")


def enter(cursor: Cursor, field: str) -> None:
    """Step into a SEQUENCE that fills all that is left, as every SEQUENCE here does."""
    at = cursor.at
    count = _read(cursor, SEQUENCE, field)
    if count != cursor.left:
        cursor.fail(field, f"a SEQUENCE of the {cursor.left} octets left", f"{count}", at=at)


def read_integer(cursor: Cursor, field: str, limit: int) -> int:
    """An INTEGER, 0..`limit`."""
    count = _read(cursor, INTEGER, field)
    at = cursor.at
    octets = cursor.take(count, field)
    if not octets or octets[0] & 0x80 or (count > 1 and octets[0] == 0 and not octets[1] & 0x80):
        cursor.fail(field, "a minimal INTEGER that is not negative", octets.hex() or "no octets", at=at)
    value = int.from_bytes(octets, "big")
    if value > limit:
        cursor.fail(field, f"0..{limit:X} hex", f"{value:X}", at=at)
    return value


def read_octets(cursor: Cursor, field: str, count: int) -> bytes:
    """An OCTET STRING of `count` octets."""
    at = cursor.at
    found = _read(cursor, OCTET_STRING, field)
    if found != count:
        cursor.fail(field, f"{count} octets", f"{found}", at=at)
    return cursor.take(count, field)


def read_time(cursor: Cursor, field: str) -> Instant:
    """A GeneralizedTime in whole seconds UTC."""
    at = cursor.at
    count = _read(cursor, GENERALIZED_TIME, field)
    if count != _TIME_OCTETS:
        cursor.fail(field, f"{_TIME_OCTETS} octets", f"{count}", at=at)
    octets = cursor.take(count, field)
    try:
        return from_generalized(octets.decode("latin-1"))
    except DecodeError as cause:
        cursor.fail(field, cause.expected, cause.found, at=at)


def read_null(cursor: Cursor, field: str) -> None:
    """A NULL."""
    if _read(cursor, NULL, field):
        cursor.fail(field, "NULL of no octets", "content")


def integer(value: int) -> bytes:
    """An INTEGER that is not negative."""
    count = value.bit_length() // 8 + 1  # one more bit, for the sign
    return bytes((INTEGER, count)) + value.to_bytes(count, "big")


def octet_string(octets: bytes) -> bytes:
    """An OCTET STRING."""
    return bytes((OCTET_STRING,)) + length(len(octets)) + octets


def time(instant: Instant) -> bytes:
    """A GeneralizedTime."""
    return bytes((GENERALIZED_TIME, _TIME_OCTETS)) + to_generalized(instant).encode()


def null() -> bytes:
    """A NULL."""
    return bytes((NULL, 0))


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of encoded parts."""
    content = b"".join(parts)
    return bytes((SEQUENCE,)) + length(len(content)) + content
