"""The report of a rehearsal: one HTML file, conclusions first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.kit.instant import DAY, HOUR, to_iso
from lamplighter.planning.effects import BAD
from lamplighter.planning.forecast import holds, three
from lamplighter.planning.rehearse import total
from lamplighter.planning.reports import (
    Column,
    Definitions,
    KeyFigure,
    KeyFigures,
    Notice,
    Prose,
    Section,
    Table,
    Tone,
    charts,
    page,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from lamplighter.campaign.evidence import Cause
    from lamplighter.campaign.forecast import Forecast, Three
    from lamplighter.planning.assumptions import Assumptions
    from lamplighter.planning.effects import Effect, Harm
    from lamplighter.planning.rehearse import Course, Scene

EFFECTS_NOTE: Final = (
    "Likely: each time that it could strike. Where the gate holds, the rest is never ordered: fewer visits "
    "are no gain then, and half of the proofs may never come."
)
"""What a table of faults has to say of itself, on paper and on the screen."""
_UNITS: Final = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))
_REGIONS_SHOWN: Final = 6
_ASKED: Final = {
    "11.1": "asked to update",
    "11.2": "asked for versions",
    "11.3": "asked to activate",
    "11.4": "asked to update",
}
"""What requests are for, in plain words, by SRV."""


class Load(NamedTuple):
    """What crosses the WAN to the homes of one region, octets."""

    region: str
    """Its name."""
    days: list[int]
    """On each day since the start, the mean of all rehearsals."""
    whole: Three
    """In the whole campaign."""
    busiest: Three
    """On its busiest day, whichever that is."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """All that a rehearsal found out."""

    scene: Scene
    """What was rehearsed."""
    assumptions: Assumptions
    """What was taken for granted."""
    seed: str
    """Of all dice."""
    courses: Sequence[Course]
    """Each rehearsal."""
    forecast: Forecast
    """These, put in order."""
    effects: Sequence[Effect] = ()
    """Of each named fault; empty: it was not asked for."""
    harms: Sequence[Harm] = ()
    """Of bad firmware, by stratum; likewise."""

    @property
    def visits(self) -> Three:
        """Devices that somebody has to go and see: those that fail for good."""
        return three([course.visits for course in self.courses])

    @property
    def down(self) -> list[Load]:
        """What goes to homes, by region; regions without any are left out."""
        tables = np.array([course.down for course in self.courses])
        last = 1 + max((int(day) for day in np.flatnonzero(tables.any(axis=(0, 1)))), default=0)
        return [
            Load(
                name,
                # The mean: rehearsals differ in which day it is, and the middle of each day would be nothing.
                [round(it) for it in tables[:, place, :last].mean(axis=0).tolist()],
                three(tables[:, place].sum(axis=1).tolist()),
                three(tables[:, place].max(axis=1).tolist()),
            )
            for place, name in enumerate(sorted(self.assumptions.regions))
            if tables[:, place].any()
        ]

    @property
    def up(self) -> Three:
        """Octets from homes."""
        return three([int(course.up.sum()) for course in self.courses])


def span(microseconds: int) -> str:
    """A duration for a person: days, or hours where it is less than three."""
    if microseconds < 0:
        return f"-{span(-microseconds)}"
    return f"{microseconds / DAY:.1f} d" if microseconds >= 3 * DAY else f"{microseconds / HOUR:.1f} h"


def band(three_: Three) -> str:
    """Both ends of a band of counts."""
    return f"{three_.low:,} to {three_.high:,}" if three_.low != three_.high else f"{three_.low:,}"


def conclusion(found: Rehearsed) -> list[str]:
    """What it comes to, in sentences."""
    made, courses = found.forecast, found.courses
    least, most = (
        (made.devices - it) / max(made.devices, 1) for it in (made.failures.high, made.failures.low)
    )
    proven = (
        f"**{least:.1%} to {most:.1%}** of {made.devices:,} Devices prove the release; the campaign ends "
        f"**{span(made.ends.low)} to {span(made.ends.high)}** after its start (8 rehearsals of 10)."
    )
    rest = f"{band(found.visits)} Devices need a visit or a replacement"
    if found.visits != made.failures:
        rest += f"; {band(made.failures)} are not brought to the release in all"
    rest += "."
    said = [proven, rest]
    held = holds(courses)
    if held:
        name, times = held.most_common(1)[0]
        said.append(
            f"The gate holds strata though the firmware is sound: `{name}` in {times} of {len(courses)} "
            "rehearsals. Look at the acceptable rates of the gate, or at that stratum."
        )
    unfinished = sum(
        not course.finished or course.end >= found.scene.plan.lasts - found.scene.step for course in courses
    )
    if unfinished:
        said.append(f"In {unfinished} of {len(courses)} rehearsals the campaign runs out of time (`lasts`).")
    return said


def html(found: Rehearsed) -> str:
    """The whole file."""
    made, scene = found.forecast, found.scene
    lines = conclusion(found)
    figures = KeyFigures(
        (
            KeyFigure(
                "ends after", span(made.ends.middle), f"{span(made.ends.low)} to {span(made.ends.high)}"
            ),
            KeyFigure(
                "proven",
                f"{(made.devices - made.failures.middle) / max(1, made.devices):.1%}",
                f"of {made.devices:,} Devices",
                Tone.GOOD,
            ),
            KeyFigure("visits", f"{found.visits.middle:,}", band(found.visits), Tone.WARN),
            *(
                KeyFigure(_ASKED[srv], f"{count.middle:,}", f"{band(count)} requests of SRV {srv}")
                for srv, count in made.requests.items()
            ),
        )
    )
    sections = [
        Section(
            "", (Prose((lines[0],), lead=True), *((Prose(tuple(lines[1:])),) if lines[1:] else ()), figures)
        ),
        Section(
            "When Devices are proven",
            (charts.draw("proven", _completion(found), caption=_CAPTION, alt="band"),),
        ),
        Section("What crosses the WAN", _load(found)),
        Section("What fails", (_causes(found),)),
    ]
    if found.harms:
        sections.append(Section("If the firmware is bad", _bad(found)))
    if found.effects:
        sections.append(Section("If something goes wrong", (_effects(found),)))
    sections.append(Section("Assumptions", (_assumed(found),)))
    sections.append(Section("Method", (Prose(_METHOD), Definitions(_terms(found)))))
    return page(
        f"Rehearsal of {scene.plan.name}",
        sections,
        subtitle=f"{made.devices:,} Devices, {made.members} rehearsals, from {to_iso(scene.start)[:16]}Z",
        footer=f"Lamplighter. Seed {found.seed}; forecast of {to_iso(made.made_at)[:16]}Z.",
    )


_CAPTION: Final = (
    "Devices proven by days after the start: the middle of all rehearsals, the band of 8 in 10, and the "
    "wider one that a whole campaign keeps to and that an alarm looks at."
)
_METHOD: Final = (
    (
        "Each rehearsal runs this very plan: the same function decides as in a real campaign, over a model "
        "of the WAN, hubs, home networks and Devices that is pinned to an exact emulation by tests."
    ),
    (
        "Each draws its own figures from the ranges above, evenly, and its own dice. Of M rehearsals the "
        "band goes from the k-th lowest to the k-th highest, so that one more like them falls into it with "
        "the probability (M + 1 - 2k) / (M + 1). It is as good as the assumptions: docs/forecast.md shows "
        "how it fares where they fail."
    ),
    (
        "What nobody does in a rehearsal: release a hold, pause, change the plan. Nothing else is in flight, "
        "nobody changes Supplier, no Device joins late."
    ),
)


def _completion(found: Rehearsed):  # type: ignore[no-untyped-def] # noqa: ANN202 # a plotting function
    made = found.forecast
    days = [since / DAY for since in made.since_start]
    wide_low = [max(0.0, m - made.reach * (m - lo)) for lo, m in zip(made.low, made.middle, strict=True)]
    wide_high = [
        min(float(made.devices), m + made.reach * (hi - m))
        for m, hi in zip(made.middle, made.high, strict=True)
    ]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # the engine's
        axes = figure.subplots()
        axes.fill_between(days, wide_low, wide_high, color=charts.GRID, linewidth=0, label="alarm outside")
        axes.fill_between(
            days, made.low, made.high, color=charts.SERIES[0], alpha=0.3, linewidth=0, label="8 in 10"
        )
        axes.plot(days, made.middle, color=charts.SERIES[0], label="middle")
        axes.set_xlabel("days after the start")
        axes.set_ylim(0, made.devices * 1.05)
        axes.set_xlim(0, max(days) if days else 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(loc="lower right", ncols=1 if narrow else 3)
        charts.plain(axes, grid="y")

    return plot


def _load(found: Rehearsed):  # type: ignore[no-untyped-def] # noqa: ANN202 # blocks
    load = sorted(found.down, key=lambda it: -it.whole.middle)
    days = max((len(it.days) for it in load), default=0)
    size, unit = scale(found)

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: ARG001, FBT001 # the engine's
        axes = figure.subplots()
        base = np.zeros(days)
        for number, it in enumerate(load[:_REGIONS_SHOWN]):
            height = np.array(it.days) / size
            axes.bar(
                np.arange(days), height, bottom=base, width=0.9, color=charts.SERIES[number], label=it.region
            )
            base += height
        axes.set_xlabel("day")
        axes.set_ylabel(f"{unit} a day to homes")
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="upper right")
        charts.plain(axes, grid="y")

    rows = tuple(
        (
            it.region or "unknown",
            f"{it.whole.middle / size:,.2f}",
            volume(it.whole, size),
            volume(it.busiest, size),
        )
        for it in load
    )
    return (
        charts.draw("load", plot, caption="Images and commands to homes, by day and region.", alt="WAN load"),
        Table(
            (
                "region",
                Column(f"{unit} to homes", number=True),
                Column("8 of 10", number=True),
                Column(f"on the busiest day, {unit}, 8 of 10", number=True),
            ),
            rows,
            note=f"From homes come {found.up.middle / size:,.3f} {unit} of alerts and answers.",
        ),
    )


def scale(found: Rehearsed) -> tuple[int, str]:
    """Octets that the loads of the regions are told in, and what so many are called."""
    most = max((it.whole.middle for it in found.down), default=0)
    return next((size, name) for size, name in _UNITS if size <= most or size == 1_000)


def volume(it: Three, size: int) -> str:
    """A band of octets."""
    return f"{it.low / size:,.2f} to {it.high / size:,.2f}"


def likely(it: Effect) -> str:
    """How likely a fault strikes, each time that it could."""
    probability = it.scheduled.probability
    return f"{100 * probability:.3g} %" if probability < 1 else "sure"


def _when(it: Effect, scene: Scene) -> str:
    """From when to when after the start."""
    begins, ends = it.scheduled.start - scene.start, it.scheduled.end - scene.start
    if ends >= scene.plan.lasts:
        return "all the time" if begins <= 0 else f"from {span(begins)} on"
    return f"{span(begins)} to {span(ends)}"


def causes(found: Rehearsed) -> list[tuple[Cause, Three]]:
    """How many Devices fail for good, by cause, the most frequent first; the middles add up to no whole."""
    return [
        (cause, three([course.causes.get(cause, 0) for course in found.courses]))
        for cause, _ in total(found.courses).most_common()
    ]


def _causes(found: Rehearsed) -> Table:
    return Table(
        ("cause", Column("Devices", number=True), Column("8 of 10", number=True)),
        tuple(
            (
                cause.name.replace("_", " ").lower(),
                f"{it.middle:,}",
                band(it),
            )
            for cause, it in causes(found)
        ),
        note="Devices that failed for good, and those of which nothing was heard at all (silence). Each row "
        "has a middle and a band of its own; they need not add up to those of all.",
    )


def _bad(found: Rehearsed):  # type: ignore[no-untyped-def] # noqa: ANN202 # blocks
    rows = []
    for harm in found.harms:
        cells = [harm.stratum, f"{harm.devices:,}"]
        for name in BAD:
            held = harm.held[name]
            cells += [
                f"{harm.ordered[name]:,} ({harm.ordered[name] / max(1, harm.devices):.1%})",
                "not held" if held is None else span(held.at),
            ]
        rows.append(tuple(cells))
    columns: list[Column | str] = ["stratum", Column("Devices", number=True)]
    for name in BAD:
        columns += [Column(f"{name}: reached", number=True), Column("held after", number=True)]
    worst = max(found.harms, key=lambda it: max(it.ordered.values()))
    return (
        Notice(
            f"Bad firmware reaches {max(worst.ordered.values()):,} of {worst.devices:,} Devices of the worst "
            "stratum before it is held.",
            Tone.WARN,
        ),
        Table(
            tuple(columns),
            tuple(rows),
            note="Every stratum gets bad firmware here; each is judged alone. Held after: from the start of "
            "the campaign, so with the wait for its first window.",
        ),
    )


def _effects(found: Rehearsed) -> Table:
    return Table(
        (
            "fault",
            "how likely",
            "when, after the start",
            Column("half proven later", number=True),
            Column("ends later", number=True),
            Column("fewer proven", number=True),
            Column("more visits", number=True),
            Column("held", number=True),
        ),
        tuple(
            (
                it.fault.name,
                likely(it),
                _when(it, found.scene),
                "never" if it.half is None else span(it.half),
                span(it.later),
                f"{it.fewer:,}",
                f"{it.visits:+,}",
                f"{len(it.course.held)}",
            )
            for it in found.effects
        ),
        note="One world, once without and once with each fault, all other dice alike; see docs/lab.md. "
        + EFFECTS_NOTE,
    )


def _assumed(found: Rehearsed) -> Table:
    rows = []
    for name in found.assumptions.__slots__:
        if name != "regions":
            it = getattr(found.assumptions, name)
            rows.append((name.replace("_", " "), f"{it.low:.4g}", f"{it.high:.4g}", "share"))
    for region, link in sorted(found.assumptions.regions.items()):
        rate, hours, coverage = link.octets_per_second, link.outage_hours, link.coverage
        rows += [
            (f"{region}: WAN", f"{rate.low:,.0f}", f"{rate.high:,.0f}", "octets a second"),
            (f"{region}: outages of a link", f"{hours.low:.3g}", f"{hours.high:.3g}", "hours"),
            (f"{region}: coverage", f"{coverage.low:.4f}", f"{coverage.high:.4f}", "share of hubs"),
        ]
    return Table(
        ("assumption", Column("at least", number=True), Column("at most", number=True), "unit"),
        tuple(rows),
        note="Source of each: assumption, unless your fleet file says otherwise.",
    )


def _terms(found: Rehearsed) -> tuple[tuple[str, str], ...]:
    return (
        (
            "Devices",
            f"{len(found.scene.estate):,} eligible; left out: {sum(found.scene.estate.left_out.values()):,}",
        ),
        ("image", f"{found.scene.octets:,} octets"),
        ("step", f"{span(found.scene.step)}: a rehearsal reacts at most so much later than a real campaign"),
        ("plan", found.scene.plan.digest.hex()),
    )
