"""The simple types of DUIS as leaves of the grammar: each text to its value and back."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import MILLISECOND, SECOND, from_datetime, from_iso, to_datetime, to_iso
from lamplighter.protocol.duis.grammar import Leaf
from lamplighter.protocol.duis.identifiers import RequestId, read_eui64

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from enum import Enum, IntEnum

MAX_DEVICES: Final = 50_000
"""Device ids that one request may list: UpdateFirmware/DeviceIDList has at most 1,199,999 characters."""
MAX_IMAGE_OCTETS: Final = 10_240_000
"""Octets of a FirmwareImage in the schema; in practice the DCC takes some 750 kB."""

_EUI64_TEXT: Final = 23
_DCC_TIME: Final = len("2025-12-28T16:51:01.185Z")
_UPRN_DIGITS: Final = 12
_EARLIEST: Final = from_iso("0001-01-01T00:00:00Z")
_LATEST: Final = from_iso("9999-12-31T23:59:59.999999Z")
_OFFSET_MAX: Final = "14:00"  # XML Schema 1.0 part 2, 3.2.7.3
_WHITESPACE: Final = dict.fromkeys(map(ord, " \t\r\n"))
_HEX4: Final = re.compile(r"[0-9A-Fa-f]{4}")
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))?", re.ASCII)


def read_base64(text: str) -> bytes:
    """Strict base64 with nothing but white space between; the last digit's unused bits must be zero."""
    try:
        octets = a2b_base64(text, strict_mode=True)
    except ValueError:
        text = text.translate(_WHITESPACE)
        octets = a2b_base64(text, strict_mode=True)
    if write_base64(octets) != text:
        raise ValueError("not the base64 of any octets")
    return octets


def write_base64(octets: bytes) -> str:
    """Base64 in one line."""
    return b2a_base64(octets, newline=False).decode()


def _read_image(text: str) -> bytes:
    octets = read_base64(text)
    if len(octets) > MAX_IMAGE_OCTETS:
        raise ValueError("too long")
    return octets


def _read_euis(text: str) -> tuple[Eui64, ...]:
    octets = bytes.fromhex(text.replace("-", "").replace(",", ""))
    found = tuple([Eui64(octets[at : at + 8]) for at in range(0, len(octets), 8)])
    if not found or _write_euis(found) != text.upper():
        raise ValueError("not a list of EUI-64")
    return found


def _read_some_euis(text: str) -> tuple[Eui64, ...]:
    if len(text) > MAX_DEVICES * (_EUI64_TEXT + 1) - 1:
        raise ValueError("too many")
    return _read_euis(text)


def _write_euis(devices: tuple[Eui64, ...]) -> str:
    # All at once, with a hyphen behind each octet but the last; every eighth of them becomes a comma.
    text = bytearray(b"".join([device.octets for device in devices]).hex("-").upper(), "ascii")
    text[_EUI64_TEXT :: _EUI64_TEXT + 1] = b"," * (len(devices) - 1)
    return text.decode("ascii")


def _are_some_euis(devices: object) -> bool:
    return type(devices) is tuple and 0 < len(devices) <= MAX_DEVICES and set(map(type, devices)) == {Eui64}


def _is_image(octets: object) -> bool:
    return type(octets) is bytes and 0 < len(octets) <= MAX_IMAGE_OCTETS


def _read_time(text: str) -> Instant:
    if len(text) == _DCC_TIME and text[4:20:3] == "--T::." and text[23] == "Z":
        return from_datetime(datetime.fromisoformat(text))  # the DCC's own spelling, three times as fast
    if text[-6:-5] in {"+", "-"} and text[-5:] > _OFFSET_MAX:
        raise ValueError("no such time zone")
    instant = from_iso(text)
    if not _EARLIEST <= instant <= _LATEST:
        raise ValueError("outside the years 1 to 9999 in UTC")
    return instant


def _write_time(instant: Instant) -> str:
    if instant % MILLISECOND:
        return to_datetime(instant).isoformat(timespec="microseconds")[:26] + "Z"
    return to_iso(instant)


def _read_whole_second(text: str) -> Instant:
    instant = _read_time(text)
    if instant % SECOND:
        raise ValueError("a fraction of a second, which no command can carry")
    return instant


def _write_whole_second(instant: Instant) -> str:
    return f"{to_datetime(instant).isoformat(timespec='seconds')[:19]}.00Z"


def _read_code(text: str) -> int:
    if _HEX4.fullmatch(text) is None:
        raise ValueError("not two octets")
    return int(text, 16)


def _read_date(text: str) -> str:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    date.fromisoformat(match[1])
    return text


def _read_uprn(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= _UPRN_DIGITS and text.strip("0")):
        raise ValueError("not a positive number of 12 digits")
    return text


def string(least: int = 0, most: int | None = None) -> Leaf:
    """A text of so many characters."""

    def read(text: str) -> str:
        if len(text) < least or (most is not None and len(text) > most):
            raise ValueError("not that long")
        return text

    bounds = "any text" if most is None else f"a text of {least} to {most} characters"
    return Leaf(bounds, read, str)


def digits(least: int, most: int) -> Leaf:
    """A number that is a name: so many decimal digits, kept as they are."""

    def read(text: str) -> str:
        if not (text.isascii() and text.isdigit() and least <= len(text) <= most):
            raise ValueError("not so many digits")
        return text

    return Leaf(f"{least} to {most} digits", read, str)


def unsigned(most: int) -> Leaf:
    """A number 0..`most`."""
    width = len(str(most))

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= width) or (number := int(text)) > most:
            raise ValueError("out of range")
        return number

    return Leaf(f"a number up to {most}", read, str)


def member(members: Iterable[Enum]) -> Leaf:
    """One word of an enumeration, or of some members of it."""
    words = {item.value: item for item in members}

    def read(text: str) -> Enum:
        if (item := words.get(text)) is None:
            raise ValueError("not in the list")
        return item

    return Leaf(" | ".join(words), read, lambda item: str(item.value))


def code_of(members: Iterable[IntEnum]) -> Leaf:
    """One of a few alert codes."""
    codes = {int(item): item for item in members}

    def read(text: str) -> IntEnum:
        if (item := codes.get(_read_code(text))) is None:
            raise ValueError("not in the list")
        return item

    return Leaf(" | ".join(f"{code:04X}" for code in codes), read, "{:04X}".format)


def word(words: Collection[str], expected: str) -> Leaf:
    """One of a long list of codes."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError("not in the list")
        return text

    return Leaf(expected, read, str)


def octets_as(type_: type) -> Leaf:
    """Base64 of a value that has `octets` and nothing else, told from its neighbours by its type."""
    return Leaf(
        "base64", lambda text: type_(read_base64(text)), lambda value: write_base64(value.octets), type_
    )


EUI: Final = Leaf("EUI-64 as xx-xx-xx-xx-xx-xx-xx-xx", read_eui64, str)
EUIS: Final = Leaf("EUI-64s separated by commas", _read_euis, _write_euis)
SOME_EUIS: Final = Leaf(
    f"at most {MAX_DEVICES} EUI-64s separated by commas",
    _read_some_euis,
    _write_euis,
    certain=_are_some_euis,
)
REQUEST_ID: Final = Leaf("originator:target:counter", RequestId.parse, str)
VERSION: Final = Leaf("1 to 8 hex digits", FirmwareVersion.parse, str)
TIME: Final = Leaf("a dateTime with time zone", _read_time, _write_time)
EXECUTION_TIME: Final = Leaf("a dateTime of a whole second", _read_whole_second, _write_whole_second)
DATE: Final = Leaf("a date", _read_date, str)
BASE64: Final = Leaf("base64", read_base64, write_base64)
IMAGE: Final = Leaf(
    f"base64 of at most {MAX_IMAGE_OCTETS} octets", _read_image, write_base64, certain=_is_image
)
HASH: Final = Leaf("64 hex digits", ImageHash.parse, lambda value: str(value).upper())
ALERT_CODE: Final = Leaf("4 hex digits", _read_code, "{:04X}".format)
TEXT: Final = string()
UPRN: Final = Leaf("a number of 1 to 12 digits, not zero", _read_uprn, str)
