"""How many Devices ran which version over time, as a drawing that needs no script."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from markupsafe import Markup

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE, to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamplighter.registry import DeviceType
    from lamplighter.store.fleet import Sample

COLOURS: Final = 8
"""Colours that versions have; the ninth has the first again, dashed."""
_WIDTH, _HEIGHT = 640, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 8, 20
_TICKS: Final = (
    (6 * HOUR, HOUR, "%H:%M"),
    (DAY, 4 * HOUR, "%H:%M"),
    (3 * DAY, 12 * HOUR, "%d %b %H:%M"),
    (10 * DAY, DAY, "%d %b"),
    (35 * DAY, 7 * DAY, "%d %b"),
    (100 * DAY, 14 * DAY, "%d %b"),
    (400 * DAY, 61 * DAY, "%d %b %y"),
)
"""Up to so long a time, a mark so often, written so."""
_YEARS: Final = (366 * DAY, "%b %Y")
_SAME_MOMENT: Final = MINUTE


class Model(NamedTuple):
    """What versions are counted for."""

    type: DeviceType
    manufacturer: int
    model: int


class Series(NamedTuple):
    """One version, over time."""

    version: FirmwareVersion
    points: tuple[tuple[Instant, int], ...]
    """From each moment on, so many Devices."""


@dataclass(frozen=True, slots=True)
class History:
    """The versions of one model, over time."""

    series: Sequence[Series]
    """By version."""
    since: Instant
    """Where it begins."""
    until: Instant
    """Where it ends."""

    def colour(self, version: FirmwareVersion) -> str:
        """The colour of a version, as the style sheet calls it."""
        versions = [it.version for it in self.series]
        at = versions.index(version) if version in versions else len(versions)
        return f"s{at % COLOURS + 1}{' dashed' if at >= COLOURS else ''}"

    @property
    def is_flat(self) -> bool:
        """Whether nothing has changed, so that there is nothing to draw."""
        moved = any(len({count for _, count in it.points}) > 1 for it in self.series)
        return not moved or self.until - self.since < _SAME_MOMENT

    def svg(self, label: str) -> Markup:
        """Steps, one line a version."""
        most = max((count for it in self.series for _, count in it.points), default=1) or 1
        length = max(1, self.until - self.since)

        def across(at: int) -> float:
            return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, (at - self.since) / length))

        def up(count: float) -> float:
            return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * count / most

        parts = [_grid(up(count), f"{count:,.0f}") for count in (0, most / 2, most) if count == int(count)]
        parts += [_mark(across(at), text) for at, text in _ticks(self.since, self.until)]
        parts += [
            Markup('<path class="line {}" d="{}"><title>{}</title></path>').format(
                self.colour(it.version), _steps(it.points, self.until, across, up), it.version
            )
            for it in self.series
        ]
        return Markup('<svg class="history" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            _WIDTH, _HEIGHT, label, Markup("").join(parts)
        )


def histories(samples: Iterable[Sample], since: Instant, until: Instant) -> Mapping[Model, History]:
    """Samples by model and version; the drawing begins with the first of them."""
    found: dict[Model, dict[FirmwareVersion, list[tuple[Instant, int]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for it in samples:
        found[Model(it.type, it.manufacturer, it.model)][it.firmware].append((it.at, it.devices))
    made = {}
    for model, versions in found.items():
        begin = max(since, min(at for points in versions.values() for at, _ in points))
        series = [Series(version, tuple(sorted(points))) for version, points in sorted(versions.items())]
        made[model] = History(series, begin, max(until, begin))
    return made


def at_moment(series: Series, at: Instant) -> int:
    """How many Devices ran a version at a moment."""
    found = bisect_right(series.points, at, key=lambda it: it[0])
    return series.points[found - 1][1] if found else 0


def _steps(points: Sequence[tuple[Instant, int]], until: Instant, across: object, up: object) -> str:
    assert callable(across)
    assert callable(up)
    first, count = points[0]
    said = [f"M{across(first):.1f},{up(count):.1f}"]
    for at, devices in points[1:]:
        said.append(f"H{across(at):.1f}V{up(devices):.1f}")
    said.append(f"H{across(until):.1f}")
    return "".join(said)


def _grid(y: float, text: str) -> Markup:
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"></line>'
        '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
    ).format(_LEFT, _WIDTH - _RIGHT, y, y, _LEFT - 6, y + 4, text)


def _mark(x: float, text: str) -> Markup:
    return Markup(
        '<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"></line>'
        '<text class="tick" x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>'
    ).format(x, _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM + 4, _HEIGHT - 4, text)


def _ticks(since: Instant, until: Instant) -> list[tuple[Instant, str]]:
    """Moments to be marked, at whole units, a handful."""
    length = until - since
    _, every, form = next((it for it in _TICKS if length <= it[0]), (0, *_YEARS))
    first = -(-since // every) * every
    room = (until - since) // 24  # none where its words would leave the drawing
    return [
        (Instant(at), to_datetime(Instant(at)).strftime(form))
        for at in range(first, until + 1, every)
        if since + room <= at <= until - room
    ]
