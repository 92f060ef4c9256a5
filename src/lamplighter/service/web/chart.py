"""Progress as a chart: the points that uPlot draws, and the same as SVG, where there are no scripts.

The horizontal axis is the time since the start, so that a campaign, its forecast and another campaign lie
over each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from markupsafe import Markup

from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamplighter.campaign.forecast import Forecast
    from lamplighter.kit import Instant

POINTS_MAX: Final = 400
"""Of one line: a screen has no more room."""

_WIDTH, _HEIGHT = 720, 220  # of the drawing, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 26  # what is left for the scales
_TICKS: Final = 6
_STEPS: Final = tuple(
    [SECOND * it for it in (1, 5, 15, 30)]
    + [MINUTE * it for it in (1, 5, 15, 30)]
    + [HOUR * it for it in (1, 3, 6, 12)]
    + [DAY * it for it in (1, 2, 7, 14, 28, 91, 182, 364)]
)
_UNITS: Final = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


class Line(NamedTuple):
    """One curve."""

    name: str
    points: tuple[tuple[int, int], ...]
    """(microseconds since the start, Devices), rising in time."""
    tone: str = "s1"
    """A colour of the style sheet."""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one axis of time."""

    lines: tuple[Line, ...]
    band: tuple[tuple[int, int, int], ...] = ()
    """(microseconds since the start, low, high): what was forecast."""
    band_name: str = ""
    whole: int = 0
    """Devices at most."""
    marks: tuple[tuple[int, str], ...] = field(default=())
    """(microseconds since the start, what happened)."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.band and all(len(line.points) < 2 for line in self.lines)

    def data(self) -> dict[str, Any]:
        """For uPlot: moments in seconds, and a list for each curve, None where it has no point."""
        xs = sorted({x for line in self.lines for x, _ in line.points} | {x for x, _, _ in self.band})
        curves = [dict(line.points) for line in self.lines]
        lows = {x: low for x, low, _ in self.band}
        highs = {x: high for x, _, high in self.band}
        return {
            "x": [x / SECOND for x in xs],
            "lines": [
                {"name": line.name, "tone": line.tone, "dashed": line.dashed, "y": [curve.get(x) for x in xs]}
                for line, curve in zip(self.lines, curves, strict=True)
            ],
            "band": {
                "name": self.band_name,
                "low": [lows.get(x) for x in xs],
                "high": [highs.get(x) for x in xs],
            }
            if self.band
            else None,
            "whole": self.whole,
        }

    def svg(self, label: str) -> Markup:
        """The same, drawn."""
        last = max(
            [x for line in self.lines for x, _ in line.points] + [x for x, _, _ in self.band], default=0
        )
        most = max(
            [y for line in self.lines for _, y in line.points] + [high for _, _, high in self.band] + [1]
        )
        xs, x_most = _time_ticks(last)
        ys = _ticks(most)
        y_most = max(most, ys[-1])

        def across(x: int) -> float:
            return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / x_most

        def up(y: int) -> float:
            return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * y / y_most

        parts = [
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"></line>').format(
                _LEFT, _WIDTH - _RIGHT, up(y), up(y)
            )
            + Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                _LEFT - 6, up(y) + 4, f"{y:,}"
            )
            for y in ys
        ]
        parts += [
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                across(x), _HEIGHT - 8, span(x)
            )
            for x in xs
        ]
        if self.band:
            edge = [(x, high) for x, _, high in self.band] + [(x, low) for x, low, _ in reversed(self.band)]
            points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in edge)
            parts.append(
                Markup('<polygon class="band" points="{}"><title>{}</title></polygon>').format(
                    points, self.band_name
                )
            )
        for line in self.lines:
            points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
            kind = f"line {line.tone}{' dashed' if line.dashed else ''}"
            parts.append(
                Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>').format(
                    kind, points, line.name
                )
            )
        inside = Markup("").join(parts)
        return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            _WIDTH, _HEIGHT, label, inside
        )


def progress(
    started_at: Instant,
    actual: Iterable[tuple[Instant, int]],
    now: tuple[Instant, int],
    forecast: Forecast | None,
) -> Chart:
    """How many Devices are proven by when, and how many were forecast to be.

    now  the latest moment, and how many are proven then
    """
    points = [(0, 0), *((max(0, at - started_at), proven) for at, proven in actual)]
    points.append((max(0, now[0] - started_at), now[1]))
    lines = [Line("proven", _thin(_rising(points)))]
    band: tuple[tuple[int, int, int], ...] = ()
    name = ""
    if forecast is not None:
        curves = (forecast.since_start, forecast.low, forecast.middle, forecast.high)
        rows = _thin(list(zip(*curves, strict=True)))
        band = tuple((x, low, high) for x, low, _, high in rows)
        lines.append(Line("forecast", tuple((x, middle) for x, _, middle, _ in rows), "s2", dashed=True))
        name = f"forecast, {forecast.level:.0%} band"
    return Chart(tuple(lines), band, name, forecast.devices if forecast is not None else 0)


def _rising(points: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """One point for each moment, the last one said, in the order of time."""
    return sorted(dict(points).items())


def _thin(rows: Sequence[Any]) -> tuple[Any, ...]:
    """At most `POINTS_MAX` of them, evenly, with the first and the last."""
    if len(rows) <= POINTS_MAX:
        return tuple(rows)
    return tuple(rows[round(i * (len(rows) - 1) / (POINTS_MAX - 1))] for i in range(POINTS_MAX))


def span(length: int) -> str:
    """A span of time in its largest whole unit; 0 is the start."""
    if not length:
        return "start"
    unit, name = next((unit, name) for unit, name in _UNITS if length % unit == 0 or unit == SECOND)
    return f"{length // unit} {name}"


def _time_ticks(last: int) -> tuple[list[int], int]:
    step = next((it for it in _STEPS if last <= it * _TICKS), _STEPS[-1])
    while last > step * 2 * _TICKS:
        step *= 2
    end = max(step, last)
    return list(range(0, end + 1, step)), end


def _ticks(most: int) -> list[int]:
    """Round numbers from 0 to the greatest, four or so."""
    rough = max(most / 4, 1)
    power = 10 ** floor(log10(rough))
    step = next(int(power * it) for it in (1, 2, 5, 10) if power * it >= rough)
    return list(range(0, ceil(most / step) * step + 1, step))
