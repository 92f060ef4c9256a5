"""When orders may go out: weekly windows and blackout dates on Great Britain's clocks, and jitter.

A window is a stretch of local time, `22:00` to `06:00`, on the days on which it begins. It is open while a
clock on the wall would say so: on the day on which the clocks go forward there is no 01:30, and a window from
01:00 to 02:00 does not open; on the day on which they go back there are two, and it is open for two hours. A
blackout date is a local day without any order, from midnight to midnight.

Between two changes of the offset from UTC, local time is UTC and a constant; so everything here is arithmetic
on the stretches of one offset, and never a step through the minutes.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import isleap
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from itertools import takewhile
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from lamplighter.campaign.next import Order
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, MINUTE, SECOND, from_datetime, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONDON: Final = ZoneInfo("Europe/London")
MINUTES_A_DAY: Final = 24 * 60
HORIZON: Final = 800 * DAY
"""How far ahead a change is looked for: two years of blackout dates, and a bit."""

_LOOK_BACK: Final = 8 * DAY  # windows come back every week
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class Kind(Enum):
    """What may be ordered in a window."""

    UPDATE = "update"
    """SRV 11.1 and 11.4."""
    ACTIVATE = "activate"
    """SRV 11.3."""
    READ = "read"
    """SRV 11.2."""


KIND_OF: Final = {
    Order.UPDATE_PPMID_FIRMWARE: Kind.UPDATE,
    Order.UPDATE_FIRMWARE: Kind.UPDATE,
    Order.ACTIVATE_FIRMWARE: Kind.ACTIVATE,
    Order.READ_FIRMWARE_VERSION: Kind.READ,
}
"""The kind of each order; what calls an activation off waits for no window."""


class Day(Enum):
    """Days of the week; the value counts from Monday, as `date.weekday` does."""

    MON = 0
    TUE = 1
    WED = 2
    THU = 3
    FRI = 4
    SAT = 5
    SUN = 6


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of local time that comes back every week."""

    start: int
    """Local minutes after midnight, 0..1439."""
    end: int
    """Local minutes after midnight, 1..1440, first one outside; at or below `start`: of the next day."""
    days: frozenset[Day] = frozenset(Day)
    """The days on which it begins."""
    kinds: frozenset[Kind] = frozenset(Kind)
    """What may be ordered in it."""

    def __post_init__(self) -> None:
        if not (0 <= self.start < MINUTES_A_DAY and 1 <= self.end <= MINUTES_A_DAY):
            raise UsageError(f"a window goes from minute 0..1439 to 1..1440, not {self.start} to {self.end}")
        if not self.days or not self.kinds:
            raise UsageError("a window needs a day of the week and a kind of order")


def open_at(
    windows: Sequence[Window], blackout: frozenset[date], instant: Instant, kind: Kind | None = None
) -> bool:
    """Whether orders (of this kind) may go out now. With no window of the kind: always, blackouts apart."""
    offset, _, _ = _stretch(instant)
    day, time = divmod(instant + offset, DAY)
    if date.fromordinal(day + _EPOCH_ORDINAL) in blackout:
        return False
    concerned = _concerned(windows, kind)
    return not concerned or any(begin <= time < end for begin, end in _spans(concerned, day))


def next_change(
    windows: Sequence[Window], blackout: frozenset[date], instant: Instant, kind: Kind | None = None
) -> Instant | None:
    """The first instant after this one at which `open_at` says something else; None: not within `HORIZON`."""
    before = open_at(windows, blackout, instant, kind)
    concerned = _concerned(windows, kind)
    if not concerned and not blackout:
        return None
    for edge in _edges(concerned, instant):
        if open_at(windows, blackout, edge, kind) is not before:
            return edge
    return None


def next_open(
    windows: Sequence[Window], blackout: frozenset[date], instant: Instant, kind: Kind | None = None
) -> Instant | None:
    """This instant where it is open, else the next at which it opens; None: not within `HORIZON`."""
    return (
        instant
        if open_at(windows, blackout, instant, kind)
        else next_change(windows, blackout, instant, kind)
    )


def open_since(
    windows: Sequence[Window], blackout: frozenset[date], instant: Instant, kind: Kind | None = None
) -> Instant | None:
    """When it opened, where it is open at this instant; None: it is not, or has been for more than a week."""
    if not open_at(windows, blackout, instant, kind):
        return None
    edges = takewhile(
        lambda edge: edge <= instant, _edges(_concerned(windows, kind), Instant(instant - _LOOK_BACK))
    )
    opened = (it for it in reversed(list(edges)) if not open_at(windows, blackout, Instant(it - 1), kind))
    return next(opened, None)


def jitter(key: str, width: int) -> int:
    """A delay in 0..width-1 us that follows from the key alone (a Device, a batch), spread evenly."""
    if width <= 0:
        return 0
    return int.from_bytes(blake2b(key.encode(), digest_size=16).digest(), "big") % width


def quiet_instant(start: int, end: int, after: Instant, key: str = "") -> Instant:
    """An instant in the first stretch from `start` to `end` (local minutes) that begins after `after`.

    For future-dated activation in a quiet hour. Where in it, follows from the key; without, at its start.
    A quiet hour that the clocks skip when they go forward is passed over, until the next day.
    """
    window = (Window(start, end),)
    nothing: frozenset[date] = frozenset()
    begins = next_change(window, nothing, after)
    if begins is not None and not open_at(window, nothing, begins):
        begins = next_change(window, nothing, begins)
    if begins is None:
        raise UsageError("a quiet hour of 24 hours has no beginning; use an hour")
    ends = next_change(window, nothing, begins)
    assert ends is not None
    wide = ends - begins
    # Whole seconds: GeneralizedTime has no more (SRV 11.3 ExecutionDateTime).
    whole = -(-begins // SECOND) * SECOND
    return Instant(whole + jitter(key, wide) // SECOND * SECOND) if key else Instant(whole)


def _concerned(windows: Sequence[Window], kind: Kind | None) -> tuple[Window, ...]:
    return tuple(window for window in windows if kind is None or kind in window.kinds)


def _spans(windows: Sequence[Window], day: int) -> Iterator[tuple[int, int]]:
    """The open stretches [begin, end) of a local day (count from 1970), us after its midnight."""
    today = Day((day + 3) % 7)  # 1970-01-01 was a Thursday
    yesterday = Day((day + 2) % 7)
    for window in windows:
        overnight = window.end <= window.start
        if today in window.days:
            yield window.start * MINUTE, (MINUTES_A_DAY if overnight else window.end) * MINUTE
        if overnight and yesterday in window.days:
            yield 0, window.end * MINUTE


def _edges(windows: Sequence[Window], instant: Instant) -> Iterator[Instant]:
    """Every instant after this one at which something may change, in order, as far as `HORIZON`."""
    last = Instant(instant + HORIZON)
    here = instant
    while here < last:
        offset, begins, ends = _stretch(here)
        if begins > instant:
            yield begins
        first, final = (here + offset) // DAY, (min(ends, last) + offset) // DAY
        for day in range(first, final + 1):
            marks = {0} | {mark for span in _spans(windows, day) for mark in span}
            for mark in sorted(marks):
                edge = day * DAY + mark - offset
                if max(begins, instant) < edge < ends:
                    yield Instant(edge)
        here = ends


@lru_cache(maxsize=256)  # a decision asks of one instant for each kind of order, and more than once
def _stretch(instant: Instant) -> tuple[int, Instant, Instant]:
    """The offset from UTC in us, and from when until when (exclusive); cut at the turn of the year."""
    marks = _changes(to_datetime(instant).year)
    at = bisect_right(marks, instant)
    return _offset(instant), marks[at - 1], marks[at]


@lru_cache(maxsize=64)
def _changes(year: int) -> tuple[Instant, ...]:
    """The beginning of a year (UTC), the instants in it at which the offset changes, and its end."""
    begin = from_datetime(datetime(year, 1, 1, tzinfo=UTC))
    end = Instant(begin + (366 if isleap(year) else 365) * DAY)
    changes = []
    for midnight in range(begin, end, DAY):
        low, high = midnight, min(midnight + DAY, end - 1)
        if _offset(Instant(low)) == _offset(Instant(high)):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(Instant(middle)) == _offset(Instant(low)) else (low, middle)
        changes.append(Instant(high))
    return begin, *changes, end


def _offset(instant: Instant) -> int:
    offset = to_datetime(instant).astimezone(LONDON).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)
