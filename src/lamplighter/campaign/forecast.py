"""What is expected of a campaign, with bands, and whether reality has left them: pure.

A forecast is an ensemble of rehearsals put in order. `low` to `high` is the band at each moment: it holds the
truth with the probability `level`, at that moment. Over a whole campaign a curve has many moments to leave
such a band, so an alarm looks at a wider one: the same, `reach` times as wide about the middle, which a whole
curve keeps to with the probability `sure`. Both are no more certain than what the rehearsals assumed
(docs/forecast.md).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter.kit import Instant, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POINTS_MAX: Final = 10_000
"""Moments of one forecast."""
LEVEL: Final = 0.8
"""The probability that a band is made for."""

_FORMAT: Final = 1


class Three(NamedTuple):
    """The lower end of a band, its middle, the upper end."""

    low: int
    middle: int
    high: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of one campaign."""

    made_at: Instant
    """When."""
    devices: int
    """Devices that the campaign is for."""
    since_start: tuple[int, ...]
    """Moments, microseconds since the campaign's start, rising from 0."""
    low: tuple[int, ...]
    """Devices proven by each moment: the lower end of the band."""
    middle: tuple[int, ...]
    """The middle."""
    high: tuple[int, ...]
    """The upper end."""
    ends: Three
    """When the campaign comes to its end, microseconds since its start."""
    failures: Three
    """Devices that it does not bring to the release."""
    requests: Mapping[str, Three] = field(default_factory=dict)
    """Requests by SRV, such as "11.4"."""
    level: float = LEVEL
    """The probability of the band, at any one moment."""
    reach: float = 1.0
    """How many times as wide, about the middle, the band is that a whole curve keeps to."""
    sure: float = LEVEL
    """The probability with which it does."""
    members: int = 0
    """Rehearsals that it was made of."""

    def __post_init__(self) -> None:
        lengths = {len(self.since_start), len(self.low), len(self.middle), len(self.high)}
        if len(lengths) != 1 or not 1 <= len(self.since_start) <= POINTS_MAX:
            raise UsageError(f"forecast: 1 to {POINTS_MAX} moments, and as many values of each curve")
        rising = all(a < b for a, b in zip(self.since_start, self.since_start[1:], strict=False))
        if self.since_start[0] < 0 or not rising:
            raise UsageError("forecast: its moments rise from 0")
        if any(not 0 <= a <= b <= c for a, b, c in zip(self.low, self.middle, self.high, strict=True)):
            raise UsageError("forecast: low, middle and high lie in this order, and none below 0")
        if not (0 < self.level < 1 and 0 < self.sure < 1 and 1 <= self.reach < _REACH_MAX):
            raise UsageError("forecast: level and sure are probabilities, reach is 1 or more")

    def at(self, since: int) -> Three:
        """The band so many microseconds after the start, between two moments by a straight line."""
        return Three(*(round(_between(self.since_start, curve, since)) for curve in self._curves))

    @property
    def step(self) -> int:
        """The widest gap between two moments, microseconds: events are known no more exactly."""
        gaps = (b - a for a, b in zip(self.since_start, self.since_start[1:], strict=False))
        return max(gaps, default=0)

    @property
    def _curves(self) -> tuple[tuple[int, ...], ...]:
        return self.low, self.middle, self.high


_REACH_MAX: Final = 1e6


class Direction(Enum):
    """Which side of the band reality is on."""

    BEHIND = "behind"
    AHEAD = "ahead"


_SAID: Final = {Direction.BEHIND: "behind", Direction.AHEAD: "ahead of"}


class Departure(NamedTuple):
    """Reality has left the band."""

    direction: Direction
    """To which side."""
    since: int
    """Microseconds since the campaign's start."""
    proven: int
    """Devices proven in truth."""
    low: int
    """As few could be expected."""
    high: int
    """As many."""

    @property
    def text(self) -> str:
        """One line for a person."""
        return (
            f"{_SAID[self.direction]} the forecast: {self.proven:,} Devices proven, "
            f"{self.low:,} to {self.high:,} expected by now"
        )


def departure(forecast: Forecast, since: int, proven: int) -> Departure | None:
    """Whether so many proven Devices, so long after the start, lie outside what the whole curve keeps to.

    None: they do not, or the campaign has not begun. The curve may be early or late by one step of the
    forecast, and wrong by one Device, for the forecast is no finer than that.
    """
    if since < 0:
        return None
    slow, fast = forecast.at(max(0, since - forecast.step)), forecast.at(since + forecast.step)
    low = max(0, int(slow.middle - forecast.reach * (slow.middle - slow.low)) - 1)
    high = int(fast.middle + forecast.reach * (fast.high - fast.middle)) + 1
    if low <= proven <= high:
        return None
    return Departure(Direction.BEHIND if proven < low else Direction.AHEAD, since, proven, low, high)


def first_departure(
    forecast: Forecast, started_at: Instant, actual: Sequence[tuple[Instant, int]]
) -> Departure | None:
    """The first moment of a series at which reality has left the band; None: it has not."""
    for at, proven in actual:
        if (found := departure(forecast, at - started_at, proven)) is not None:
            return found
    return None


def encode(forecast: Forecast) -> str:
    """As JSON, for the store."""
    return json.dumps(
        {
            "format": _FORMAT,
            "made_at": forecast.made_at,
            "devices": forecast.devices,
            "since_start": forecast.since_start,
            "low": forecast.low,
            "middle": forecast.middle,
            "high": forecast.high,
            "ends": forecast.ends,
            "failures": forecast.failures,
            "requests": dict(forecast.requests),
            "level": forecast.level,
            "reach": forecast.reach,
            "sure": forecast.sure,
            "members": forecast.members,
        },
        allow_nan=False,
        separators=(",", ":"),
    )


def decode(text: str) -> Forecast:
    """Read what `encode` wrote; raises `UsageError` for anything else."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found.pop("format") != _FORMAT:
            raise UsageError(f"forecast: format {_FORMAT} is expected")
        curves: dict[str, Any] = {
            name: tuple(map(int, found.pop(name))) for name in ("since_start", "low", "middle", "high")
        }
        threes: dict[str, Any] = {name: Three(*map(int, found.pop(name))) for name in ("ends", "failures")}
        requests = {str(srv): Three(*map(int, three)) for srv, three in found.pop("requests").items()}
        numbers: dict[str, Any] = {name: int(found.pop(name)) for name in ("devices", "members")}
        shares: dict[str, Any] = {name: float(found.pop(name)) for name in ("level", "reach", "sure")}
        return Forecast(
            made_at=Instant(int(found.pop("made_at"))),
            **curves,
            **threes,
            **numbers,
            **shares,
            requests=requests,
            **found,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as cause:
        raise UsageError(f"forecast: not one that was stored: {type(cause).__name__}") from cause


def _between(xs: Sequence[int], ys: Sequence[int], x: int) -> float:
    place = bisect_right(xs, x)
    if place == 0:
        return float(ys[0])
    if place == len(xs):
        return float(ys[-1])
    share = (x - xs[place - 1]) / (xs[place] - xs[place - 1])
    return ys[place - 1] + share * (ys[place] - ys[place - 1])
