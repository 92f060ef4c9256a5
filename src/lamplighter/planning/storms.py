"""The report of alert storms: what storms, how bad it is, what would cure it, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lamplighter.campaign.storms import RULES, StormRules
from lamplighter.kit.instant import HOUR, to_iso
from lamplighter.planning.operation import duration, moment, number, of_whom, storm_table
from lamplighter.planning.reports import (
    Block,
    Definitions,
    KeyFigure,
    KeyFigures,
    Notice,
    Picture,
    Prose,
    Section,
    Tone,
    charts,
    page,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from lamplighter.kit import Instant
    from lamplighter.store.storms import Relative, Storm, StormHour

DAYS: Final = 14
"""Days before and after the cure that are compared."""
_CHARTED: Final = 6  # storms with a section of their own: those that go on, and the greatest
_SAID: Final = 6  # blocks of the conclusion
_BINS: Final = 400  # bars in a chart: of longer storms hours are added up


@dataclass(frozen=True, slots=True)
class Told:
    """A storm with all that is to be told of it."""

    storm: Storm
    """From the register."""
    hours: tuple[StormHour, ...]
    """Its hours with alerts."""
    candidates: tuple[int, ...]
    """Releases that its Devices may be brought to."""
    relative: tuple[Relative, ...] = ()
    """Days before and after the cure, where there is one."""


@dataclass(frozen=True, slots=True)
class Cure:
    """Alerts by Device and day, before and after."""

    before: float
    after: float
    devices_before: int
    """Device-days that were watched."""
    devices_after: int

    @property
    def falls_by(self) -> float | None:
        """Share of the alerts that are gone; negative: more came. None: there were none before."""
        return 1 - self.after / self.before if self.before else None


def cure(relative: Sequence[Relative]) -> Cure | None:
    """Alerts a Device and day before and after its proof; None where either side was not watched a day."""

    def rate(days: Sequence[Relative]) -> tuple[float, int]:
        # Of a day that is not over for all Devices the alerts of those would count without their day.
        watched = [it for it in days if it.devices]
        device_days = sum(it.devices for it in watched)
        return (sum(it.alerts for it in watched) / device_days if device_days else 0.0), device_days

    before, watched_before = rate([it for it in relative if it.day < 0])
    after, watched_after = rate([it for it in relative if it.day >= 0])
    if not watched_before or not watched_after:
        return None
    return Cure(before, after, watched_before, watched_after)


def storms_page(
    told: Sequence[Told],
    as_of: Instant,
    releases: Mapping[int, str],
    *,
    rules: StormRules = RULES,
    footer: str = "",
) -> str:
    """The report of some storms; releases: names by id."""
    told = sorted(told, key=lambda it: (not it.storm.is_open, -it.storm.alerts, it.storm.id))
    going = [it for it in told if it.storm.is_open]
    sections = [Section("", tuple(_conclusion(told, going, releases)))]
    if told:
        sections.append(Section("The register", (storm_table([it.storm for it in told]),)))
    sections += [Section(_name(it.storm), tuple(_one(it, releases))) for it in told[:_CHARTED]]
    sections.append(Section("Method", tuple(_method(rules))))
    return page(
        "Alert storms",
        sections,
        subtitle=f"as of {moment(as_of)}",
        footer=footer or f"Lamplighter, from the register as of {moment(as_of)}. Times are UTC.",
    )


def as_facts(told: Told) -> dict[str, Any]:
    """A storm as plain JSON."""
    storm = told.storm
    found = cure(told.relative)
    return {
        "id": storm.id,
        "code": storm.code,
        "manufacturer": _hex(storm.manufacturer),
        "model": _hex(storm.model),
        "hardware": _hex(storm.hardware),
        "version": None if storm.version is None else str(storm.version),
        "device": None if storm.device is None else str(storm.device),
        "first_at": to_iso(storm.first_at),
        "last_at": to_iso(storm.last_at),
        "ended_at": None if storm.ended_at is None else to_iso(storm.ended_at),
        "alerts": storm.alerts,
        "throttled": storm.throttled,
        "devices": storm.devices,
        "peak": storm.peak,
        "cured_by": storm.cured_by,
        "candidates": list(told.candidates),
        "alerts_per_device_day": None if found is None else {"before": found.before, "after": found.after},
    }


def _hex(number: int) -> str | None:
    return None if number < 0 else f"{number:04X}"


def _name(storm: Storm) -> str:
    version = "" if storm.version is None else f" on version {storm.version}"
    return f"Storm {storm.id}: {storm.code} from {of_whom(storm)}{'' if storm.device else version}"


def _conclusion(told: Sequence[Told], going: Sequence[Told], releases: Mapping[int, str]) -> list[Block]:
    if not told:
        return [Prose(("No alert storm is in the register for that time.",), lead=True)]
    alerts = sum(it.storm.alerts for it in told)
    incurable = [it for it in going if it.storm.cured_by is None]
    said = f"**{number(len(told))}** storms with {number(alerts)} alerts; **{number(len(going))}** go on."
    blocks: list[Block] = [
        Prose((said,), lead=True),
        KeyFigures(
            (
                KeyFigure(
                    "go on", number(len(going)), f"of {number(len(told))}", Tone.BAD if going else Tone.GOOD
                ),
                KeyFigure("alerts", number(alerts), "throttled ones by what they stand for"),
                KeyFigure(
                    "no cure named",
                    number(len(incurable)),
                    "of those that go on",
                    Tone.WARN if incurable else Tone.PLAIN,
                ),
            )
        ),
    ]
    if going:
        worst = max(going, key=lambda it: it.storm.peak)
        blocks.append(
            Notice(
                f"The worst that goes on is storm {worst.storm.id}: code {worst.storm.code} from "
                f"{of_whom(worst.storm)}, {number(worst.storm.peak)} alerts in its worst hour.",
                Tone.BAD,
            )
        )
    for it in told:
        release = it.storm.cured_by
        found = None if release is None else cure(it.relative)
        if release is not None and found is not None and found.falls_by is not None and len(blocks) < _SAID:
            blocks.append(_fell(it, found, releases.get(release, f"release {release}")))
    return blocks


def _one(told: Told, releases: Mapping[int, str]) -> list[Block]:
    storm = told.storm
    lasted = duration((storm.last_at - storm.first_at) / 1_000_000)
    blocks: list[Block] = [
        Prose(
            (
                (
                    f"From {moment(storm.first_at)} to {moment(storm.last_at)} ({lasted}) "
                    f"{'and goes on' if storm.is_open else 'and is over'}: {number(storm.alerts)} alerts, "
                    f"{number(storm.throttled)} of them summed up by the DCC; at most "
                    f"{number(storm.devices)} "
                    f"{'Device' if storm.devices == 1 else 'Devices'} and {number(storm.peak)} alerts in an "
                    "hour."
                ),
            )
        )
    ]
    if len(told.hours) > 1:
        blocks.append(_course(told))
    if storm.cured_by is not None:
        blocks += _cured(told, releases.get(storm.cured_by, f"release {storm.cured_by}"))
    elif told.candidates:
        names = ", ".join(f"`{releases.get(it, str(it))}`" for it in told.candidates[:5])
        blocks.append(
            Notice(
                f"No cure is named. Its Devices may be brought to {names}: where one of them cures it, say "
                "so with "
                f"`lamplighter report storms --storm {storm.id} --cured-by RELEASE`.",
            )
        )
    else:
        blocks.append(Notice("No release is registered that its Devices may be brought to.", Tone.BAD))
    return blocks


def _cured(told: Told, release: str) -> list[Block]:
    found = cure(told.relative)
    if found is None:
        return [
            Notice(f"`{release}` is named as its cure; no Device has run it for a whole day yet.", Tone.PLAIN)
        ]
    fall = found.falls_by
    if fall is None:
        text = f"`{release}` is named as its cure; its Devices raised none in the {DAYS} days before it."
        return [Notice(text), _before_after(told, release)]
    return [_fell(told, found, release), _before_after(told, release)]


def _fell(told: Told, found: Cure, release: str) -> Notice:
    """What the cure did, in a sentence."""
    fall = found.falls_by or 0.0
    text = (
        f"Storm {told.storm.id}: with `{release}` alerts **{'fell' if fall >= 0 else 'rose'} by "
        f"{abs(fall) * 100:.0f} %**, from {found.before:.3g} by Device and day before the proof to "
        f"{found.after:.3g} after ({number(found.devices_before)} and {number(found.devices_after)} "
        "Device-days)."
    )
    return Notice(text, Tone.GOOD if fall >= 0.5 else Tone.WARN if fall >= 0 else Tone.BAD)


def _course(told: Told) -> Picture:
    first = told.hours[0].hour
    span = (told.hours[-1].hour - first) // HOUR + 1
    bin_hours = -(-span // _BINS)
    counts: dict[int, list[int]] = {}
    for it in told.hours:
        at = counts.setdefault((it.hour - first) // HOUR // bin_hours, [0, 0])
        at[0] += it.alerts - it.throttled
        at[1] += it.throttled
    unit, size = ("days", 24) if span > 72 else ("hours", 1)

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # as `charts.draw` calls it
        axes = figure.add_subplot()
        charts.plain(axes)
        at = [index * bin_hours / size for index in counts]
        width = bin_hours / size * 0.9
        alone = [pair[0] for pair in counts.values()]
        summed = [pair[1] for pair in counts.values()]
        axes.bar(at, alone, width=width, align="edge", color=charts.SERIES[0], label="sent one by one")
        axes.bar(
            at, summed, width=width, align="edge", bottom=alone, color=charts.SERIES[1],
            label="summed up by the DCC",
        )  # fmt: skip
        axes.set_xlim(0, max(span / size, 1))
        axes.set_xlabel(f"{unit} since {moment(first)}")
        axes.set_ylabel(
            "" if narrow else f"alerts in {'an hour' if bin_hours == 1 else f'{bin_hours} hours'}"
        )
        axes.legend(loc="upper right", ncols=1 if narrow else 2)
        axes.margins(y=0.25)
        _whole(axes)

    return charts.draw(
        f"storm-{told.storm.id}",
        plot,
        caption=f"Alerts by {'hour' if bin_hours == 1 else f'{bin_hours} hours'}.",
        alt=f"{number(told.storm.alerts)} alerts over {duration(span * 3_600)}",
        wide=(9.0, 2.8),
        narrow=(4.0, 2.8),
    )


def _before_after(told: Told, release: str) -> Picture:
    days = [it for it in told.relative if it.devices]
    rates = [it.alerts / it.devices for it in days]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001
        axes = figure.add_subplot()
        charts.plain(axes)
        colours = [charts.SERIES[1] if it.day < 0 else charts.SERIES[2] for it in days]
        axes.bar([it.day + 0.5 for it in days], rates, width=0.86, color=colours)
        axes.axvline(0, color=charts.INK, linewidth=1)
        axes.set_xlim(min(it.day for it in days), DAYS)
        top = max([*rates, 1e-9])
        axes.set_ylim(0, top * 1.18)
        axes.text(-0.15, top * 1.08, "before", ha="right", color=charts.SERIES[1])
        axes.text(0.15, top * 1.08, "after", ha="left", color=charts.SERIES[2])
        axes.set_xlabel("days since the Device was proven" + ("" if narrow else f" to run {release}"))
        axes.set_ylabel("" if narrow else "alerts by Device and day")

    return charts.draw(
        f"cure-{told.storm.id}",
        plot,
        caption="Alerts by Device and day, with each Device's own proof as day 0.",
        alt="Before and after: "
        + ", ".join(f"day {it.day}: {rate:.2g}" for it, rate in zip(days, rates, strict=True)),
        wide=(9.0, 2.8),
        narrow=(4.0, 2.8),
    )


def _whole(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415 # slow to import

    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(int(value))))


def _method(rules: StormRules) -> list[Block]:
    about = (
        (
            "Alerts are counted by the hour in which we received them, by code, product and the version "
            "that the "
            "Device ran when they were counted. A message that the DCC sent for several equal ones stands "
            "for "
            "as many "
            "as it says. Alerts that our own orders bring about are left out, unless the DCC throttled them."
        ),
        "The thresholds below are assumptions: nobody publishes such numbers.",
    )
    items = (
        (
            "storm of a Device",
            f"at least {rules.device_hour} alerts of one code from it in an hour, or a throttled one",
        ),
        (
            "storm of a version",
            (
                f"at least {rules.many} such Devices of one version in an hour; or, from Devices that do not "
                "storm by "
                f"themselves, at least {rules.version_hour} alerts in an hour and {rules.version_rate:g} by "
                "Device "
                "that runs the version"
            ),
        ),
        ("end", f"{duration(rules.quiet / 1_000_000)} without a stormy hour"),
        ("Devices", "different ones in the hour that had most of them"),
        (
            "before and after",
            (
                f"alerts of the code by the Devices of that product which campaigns have proven to run the "
                "cure, by day "
                f"since each one's proof, {DAYS} days either way; a day counts for a Device once it is over"
            ),
        ),
        (
            "precision",
            "an alert that is stored more than 2 min after its hour is over is not counted",
        ),
        ("horizon", "the first look goes back 35 days"),
    )
    return [Prose(about), Definitions(items)]
