"""Time as an argument: microseconds since 1970-01-01T00:00:00Z, and its three spellings on the wire.

An `Instant` is an int, so that it sorts, subtracts and stores as one. Durations are ints of microseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

from lamplighter.kit.errors import DecodeError, UsageError

Instant = NewType("Instant", int)

MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_SPANS: Final = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))

ZIGBEE_EPOCH: Final = Instant(946_684_800 * SECOND)  # 2000-01-01T00:00:00Z, ZCL UTCTime

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime."""
    if moment.tzinfo is None:
        raise UsageError("a datetime without a time zone names no instant")
    since = moment - _EPOCH
    return Instant(since.days * DAY + since.seconds * SECOND + since.microseconds)


def to_datetime(instant: Instant) -> datetime:
    """An aware datetime in UTC."""
    try:
        return _EPOCH + timedelta(microseconds=instant)
    except OverflowError as cause:
        raise UsageError(f"instant {instant} is outside the years 1 to 9999") from cause


def from_day(text: str) -> Instant:
    """Read a date, such as `2030-01-15`: the instant in which it begins, UTC."""
    return from_iso(f"{text}T00:00:00Z")


def from_iso(text: str) -> Instant:
    """Read an XML dateTime with a zone, such as `2030-01-15T09:00:00.00Z`; digits past 1 us are dropped."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise DecodeError("time", "dateTime", 0, "YYYY-MM-DDThh:mm:ss[.f](Z|+hh:mm)", repr(text[:40]))
    *whole, fraction, zone = match.groups()
    micros = int((fraction or "").ljust(6, "0")[:6])
    try:
        moment = datetime(*map(int, whole), tzinfo=UTC)  # type: ignore[misc, arg-type] # six numbers by the pattern
        offset = 0
        if zone != "Z":
            hours, minutes = int(zone[1:3]), int(zone[4:6])
            if hours * 60 + minutes > 14 * 60 or minutes > 59:
                raise ValueError(zone)
            offset = (hours * 60 + minutes) * MINUTE * (-1 if zone[0] == "-" else 1)
    except ValueError as cause:
        raise DecodeError("time", "dateTime", 0, "a real calendar date and time", repr(text[:40])) from cause
    return Instant(from_datetime(moment) + micros - offset)


def to_iso(instant: Instant) -> str:
    """Milliseconds and Z, as the DCC writes them: `2025-12-28T16:51:01.185Z`."""
    return to_datetime(instant).isoformat(timespec="milliseconds")[:23] + "Z"


def from_generalized(text: str) -> Instant:
    """Read a GBCS GeneralizedTime, `20300115090000Z`."""
    if len(text) == 15 and text[14] == "Z" and text[:14].isdigit() and text.isascii():
        try:
            moment = datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
        except ValueError as cause:
            raise DecodeError("time", "GeneralizedTime", 0, "a real calendar date", repr(text)) from cause
        return Instant(int(moment.timestamp()) * SECOND)
    raise DecodeError("time", "GeneralizedTime", 0, "YYYYMMDDhhmmssZ", repr(text[:40]))


def to_generalized(instant: Instant) -> str:
    """Whole seconds, `20300115090000Z`."""
    moment = to_datetime(instant)
    return f"{moment.year:04d}{moment:%m%d%H%M%S}Z"


def from_zigbee(seconds: int) -> Instant:
    """Read a ZCL UTCTime, 0..0xFFFFFFFF seconds since 2000."""
    return Instant(ZIGBEE_EPOCH + seconds * SECOND)


def to_zigbee(instant: Instant) -> int:
    """Seconds since 2000, which must fit 32 bits."""
    seconds = (instant - ZIGBEE_EPOCH) // SECOND
    if not 0 <= seconds <= 0xFFFFFFFF:
        raise UsageError(f"{to_iso(instant)} does not fit a ZCL UTCTime (2000 to 2136)")
    return seconds


def span(microseconds: int) -> str:
    """A span of time for a person, in its two largest units: `2 d 4 h`, `3 min 20 s`; or `0 s`."""
    left, said = max(0, microseconds), []
    for size, unit in _SPANS:
        count, left = divmod(left, size)
        if count:
            said.append(f"{count} {unit}")
        elif said:
            break
        if len(said) == 2:
            break
    return " ".join(said) or "0 s"
