"""The report of operational metrics: what came of the updates, where it stuck, how each number is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND, span, to_iso
from lamplighter.planning.metrics import DEFINITIONS, SPANS, Counts, Exposure, Group, Metrics
from lamplighter.planning.reports import (
    Bar,
    Block,
    Column,
    Definitions,
    KeyFigure,
    KeyFigures,
    Notice,
    Picture,
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

    from lamplighter.store.storms import Storm

_SHOWN: Final = 40  # rows of a table; the CSV has all
_CHARTED: Final = 12
_FEW: Final = 30  # settled updates, below which a rate says little
_TITLES: Final = {
    "campaign": "By campaign",
    "region": "By region",
    "hub-model": "By hub model",
    "model": "By Device model",
    "wave": "By wave",
    "stratum": "By stratum",
}


def metrics_page(metrics: Metrics, *, storms: Sequence[Storm] = (), footer: str = "") -> str:
    """The report of some updates, with the alert storms of its time; the same values, the same octets."""
    total = metrics.total.counts
    sections = [Section("", tuple(_conclusion(metrics)))]
    if metrics.of_security:
        sections.append(Section("Exposure: security releases", (_security(metrics.of_security),)))
    if total.updates:
        sections += [
            Section("How far they came", (_funnel(total), *_how_fast(metrics))),
            Section("How long it took", tuple(_times(metrics))),
            *(
                Section(_TITLES[name], tuple(_by(name, groups, total)))
                for name, groups in metrics.groups.items()
                if groups
            ),
            Section("Why updates ended without a proof", tuple(_causes(metrics))),
        ]
    if metrics.alerts or storms:
        sections.append(Section("Alerts in that time", tuple(_alerts(metrics, storms))))
    sections.append(Section("Method", tuple(_method(metrics))))
    return page(
        _title(metrics.campaigns), sections, subtitle=_subtitle(metrics), footer=footer or _footer(metrics)
    )


# --- conclusions


def _title(campaigns: Sequence[str]) -> str:
    if len(campaigns) == 1:
        return f"Operational metrics: {campaigns[0]}"
    return f"Operational metrics of {number(len(campaigns))} campaigns"


def _subtitle(metrics: Metrics) -> str:
    parts = []
    if metrics.start is not None or metrics.end is not None:
        start = "the beginning" if metrics.start is None else moment(metrics.start)
        end = "now" if metrics.end is None else moment(metrics.end)
        parts.append(f"first ordered from {start} to {end}")
    if 1 < len(metrics.campaigns) <= 4:
        parts.append(", ".join(metrics.campaigns))
    parts.append(f"as of {moment(metrics.as_of)}")
    return "; ".join(parts)


def _footer(metrics: Metrics) -> str:
    return f"Lamplighter, from the record as of {moment(metrics.as_of)}. Times are UTC."


def _conclusion(metrics: Metrics) -> list[Block]:
    counts = metrics.total.counts
    if not counts.updates:
        return [Notice("No update was first ordered in that time: there is nothing to measure.", Tone.PLAIN)]
    whole = metrics.total.times["order to proof"]
    said = (
        f"**{number(counts.proven)}** of {number(counts.updates)} Devices are proven to run the release "
        f"({share(counts.proof_rate)})"
    )
    if whole is not None:
        said += (
            f", half of them within {duration(whole.p50)} of the order and 90 % within {duration(whole.p90)}"
        )
    said += "."
    rest = [
        f"{number(count)} {word}"
        for count, word in (
            (counts.in_flight, "are under way"),
            (counts.failed, "failed"),
            (counts.lost, "fell silent"),
            (counts.withdrawn, "left"),
            (counts.cancelled, "were cancelled"),
        )
        if count
    ]
    if rest:
        said += f" Of the others, {_listed(rest)}."
    figures = [
        KeyFigure(
            "settled proof rate",
            share(counts.settled_proof_rate),
            f"of {number(counts.settled)} that are settled; 95 % interval {interval(counts)}",
        ),
        KeyFigure(
            "visits avoided", number(counts.visits_avoided), "proven without anybody going there", Tone.GOOD
        ),
        KeyFigure(
            "visits due",
            number(counts.visits_due),
            "failed or silent: visit or replace",
            Tone.BAD if counts.visits_due else Tone.PLAIN,
        ),
    ]
    figures += [_half_life(it) for it in (metrics.of_security or metrics.exposures)[:1]]
    blocks: list[Block] = [Prose((said,), lead=True), KeyFigures(tuple(figures))]
    worst = _worst(metrics)
    if worst:
        blocks.append(Notice(worst))
    return blocks


def _half_life(exposure: Exposure) -> KeyFigure:
    whose = "" if exposure.security is None else f"{exposure.security}: "
    if exposure.half_life is None:
        reached = share(exposure.proven / exposure.stayed if exposure.stayed else None)
        return KeyFigure(
            "exposure half-life",
            "not reached",
            f"{whose}{reached} of the exposed are proven so far{_gone(exposure)}",
            Tone.WARN,
        )
    more = "" if exposure.to_90 is None else f"; 90 % after {duration(exposure.to_90)}"
    return KeyFigure(
        "exposure half-life",
        duration(exposure.half_life),
        f"{whose}from the start to half of {number(exposure.stayed)} exposed Devices{_gone(exposure)}{more}",
    )


def _gone(exposure: Exposure) -> str:
    return f", {number(exposure.left)} that left not counted" if exposure.left else ""


def _security(exposures: Sequence[Exposure]) -> Table:
    """Campaigns that bring security releases, one a row."""
    heads = (
        *map(Column, ("Cures", "Release", "Campaign", "Started")),
        *_heads("", "exposed", "left", "proven", "half-life", "90 %", "exposed Device-days")[1:],
    )
    rows = tuple(
        (
            it.security or "",
            it.release,
            it.campaign,
            "not yet" if it.started_at is None else moment(it.started_at),
            number(it.exposed),
            number(it.left or 0),
            number(it.proven),
            "not reached" if it.half_life is None else duration(it.half_life),
            "not reached" if it.to_90 is None else duration(it.to_90),
            f"{it.device_days:,.1f}",
        )
        for it in exposures[:_SHOWN]
    )
    notes = [
        "Exposed: the Devices that may have the release.",
        "Who left unproven was exposed until then, and is no part of what half-life and 90 % are shares of.",
        "A release that several campaigns bring has a line for each: a Device may be in more than one.",
    ]
    if len(exposures) > _SHOWN:
        notes.append(f"The first {_SHOWN} of {number(len(exposures))}; `--csv` and `--json` have all.")
    return Table(heads, rows, note=" ".join(notes))


def _worst(metrics: Metrics) -> str:
    """The group that stands out, if any: its whole interval lies below that of all."""
    overall = metrics.total.counts.proof_interval
    found: tuple[float, str] | None = None
    for name, groups in metrics.groups.items():
        if name in {"campaign", "wave"} or len(groups) < 2:
            continue
        for group in groups:
            low_high = group.counts.proof_interval
            if overall is None or low_high is None or group.counts.settled < _FEW:
                continue
            if low_high[1] < overall[0] and (found is None or low_high[1] < found[0]):
                kind = {"region": "Region", "hub-model": "Hub model", "model": "Model"}.get(name, "Stratum")
                text = (
                    f"**{kind} {group.value}** stands out: of {number(group.counts.settled)} settled there, "
                    f"{share(group.counts.settled_proof_rate)} are proven, against "
                    f"{share(metrics.total.counts.settled_proof_rate)} of all."
                )
                found = low_high[1], text
    return found[1] if found else ""


# --- how far, how fast


def _funnel(counts: Counts) -> Picture:
    steps = [
        ("ordered", counts.updates),
        ("at the hub", counts.delivered),
        ("on the Device", counts.transferred),
        ("activated", counts.activated),
        ("proven", counts.proven),
    ]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # as `charts.draw` calls it
        axes = figure.add_subplot()
        charts.plain(axes, grid="x")
        names = [name for name, _ in steps]
        values = [value for _, value in steps]
        axes.barh(names, values, color=charts.SERIES[0], height=0.62)
        axes.invert_yaxis()
        axes.set_xlim(0, counts.updates * (1.3 if narrow else 1.16))
        for index, value in enumerate(values):
            text = number(value) if narrow else f"{number(value)}  ({share(value / counts.updates)})"
            axes.text(value + counts.updates * 0.012, index, text, va="center")
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="x", length=0, labelbottom=False)
        axes.grid(visible=False)

    return charts.draw(
        "funnel",
        plot,
        caption="Updates that reached each milestone; a later one implies those before.",
        alt="Funnel: " + ", ".join(f"{name} {number(value)}" for name, value in steps),
        wide=(9.0, 2.5),
        narrow=(4.0, 2.4),
    )


def _how_fast(metrics: Metrics) -> list[Block]:
    if len(metrics.curve) < 3:
        return []
    unit, size = _unit(metrics.curve[-1][0])
    total = metrics.total.counts.updates
    days = [seconds / size for seconds, _ in metrics.curve]
    proven = [count for _, count in metrics.curve]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001
        axes = figure.add_subplot()
        charts.plain(axes)
        axes.step(days, proven, where="post", color=charts.SERIES[0])
        axes.fill_between(days, proven, step="post", color=charts.SERIES[0], alpha=0.12, linewidth=0)
        axes.axhline(total, color=charts.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(days[-1], total, f"{number(total)} ordered ", ha="right", va="bottom", color=charts.MUTED)
        axes.set_ylim(0, total * 1.12)
        axes.set_xlim(0, days[-1])
        axes.set_xlabel(f"{unit} since the first order")
        axes.set_ylabel("" if narrow else "proven Devices")
        _thousands(axes)

    return [
        charts.draw(
            "curve",
            plot,
            caption="Devices proven to run the release, by time since the first order.",
            alt=f"{number(proven[-1])} Devices proven in {days[-1]:.1f} {unit}",
        )
    ]


def _times(metrics: Metrics) -> list[Block]:
    known = [(name, it) for name in SPANS if (it := metrics.total.times[name]) is not None]
    if not known:
        return [Prose(("Of no update both ends of any of these times are known.",))]
    rows = tuple(
        (name, number(it.updates), *(duration(value) for value in (it.p50, it.p90, it.p95, it.p99, it.max)))
        for name, it in known
    )
    shown = [(name, it) for name, it in known if it.p99 > 0]
    blocks: list[Block] = []
    if shown:

        def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001
            axes = figure.add_subplot()
            charts.plain(axes, grid="x")
            floor = (
                max(min(it.p50 for _, it in shown if it.p50 > 0), 1.0) / 3
                if any(it.p50 > 0 for _, it in shown)
                else 0.5
            )
            for index, (_, it) in enumerate(shown):
                low, middle, high = (max(value, floor) for value in (it.p50, it.p90, it.p99))
                axes.plot([low, high], [index, index], color=charts.SERIES[0], linewidth=2.2, alpha=0.5)
                for at, marker, size in ((low, "o", 8.5), (middle, "o", 6.0), (high, "|", 10.0)):
                    axes.plot([at], [index], marker=marker, markersize=size, color=charts.SERIES[0])
            axes.set_xscale("log")
            ticks = [it for it in _TICKS if floor <= it <= max(it.p99 for _, it in shown) * 1.5]
            if narrow:
                ticks = ticks[::2]
            axes.set_xticks(ticks, [duration(it) for it in ticks])
            axes.minorticks_off()
            axes.set_yticks(range(len(shown)), [name for name, _ in shown])
            axes.set_ylim(len(shown) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)

        blocks.append(
            charts.draw(
                "times",
                plot,
                caption="From the large dot (half of the updates) over the small one (90 %) to the stroke "
                "(99 %); the scale is logarithmic.",
                alt="; ".join(
                    f"{name}: half within {duration(it.p50)}, 90 % {duration(it.p90)}" for name, it in shown
                ),
                wide=(9.0, 0.9 + 0.42 * len(shown)),
                narrow=(4.0, 0.9 + 0.42 * len(shown)),
            )
        )
    heads = _heads("Time", "updates", "50 %", "90 %", "95 %", "99 %", "longest")
    blocks.append(
        Table(
            heads,
            rows,
            note="Each is the least time that so many of the updates with both ends do not exceed.",
        )
    )
    return blocks


# --- groups and causes


def _by(name: str, groups: Sequence[Group], total: Counts) -> list[Block]:
    heads = _heads(
        _TITLES[name].removeprefix("By ").capitalize() if name != "model" else "Device model",
        "updates", "delivery", "transfer", "activation", "proof", "settled proof",
        "failed", "silent", "under way", "half in", "90 % in",
    )  # fmt: skip
    rows = []
    for group in groups[:_SHOWN]:
        counts, whole = group.counts, group.times["order to proof"]
        rows.append(
            (
                group.value,
                number(counts.updates),
                share(counts.delivery_rate),
                share(counts.transfer_rate),
                share(counts.activation_rate),
                share(counts.proof_rate),
                share(counts.settled_proof_rate),
                number(counts.failed),
                number(counts.lost),
                number(counts.in_flight),
                "–" if whole is None else duration(whole.p50),  # noqa: RUF001 # a dash
                "–" if whole is None else duration(whole.p90),  # noqa: RUF001
            )
        )
    notes = ["The last two columns: from the first order to the proof, for those that are proven."]
    if len(groups) > _SHOWN:
        notes.append(f"The {_SHOWN} largest of {number(len(groups))}; `--csv` and `--json` have all.")
    if any(it.counts.settled < _FEW for it in groups):
        notes.append(f"Where fewer than {_FEW} are settled a rate says little: see its interval.")
    blocks: list[Block] = []
    charted = [it for it in groups if it.counts.settled][:_CHARTED]
    if len(charted) > 1:
        blocks.append(_rates(name, charted, total))
    blocks.append(Table(heads, tuple(rows), note=" ".join(notes)))
    return blocks


def _rates(name: str, groups: Sequence[Group], total: Counts) -> Picture:
    overall = total.settled_proof_rate or 0.0
    points = [
        (it.value, it.counts.settled_proof_rate or 0.0, it.counts.proof_interval or (0.0, 1.0))
        for it in groups
    ]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001
        axes = figure.add_subplot()
        charts.plain(axes, grid="x")
        axes.axvline(overall * 100, color=charts.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for index, (_, rate, (low, high)) in enumerate(points):
            colour = charts.BAD if high < overall else charts.GOOD if low > overall else charts.SERIES[0]
            axes.plot([low * 100, high * 100], [index, index], color=colour, linewidth=2.2)
            axes.plot([rate * 100], [index], marker="o", markersize=6.5, color=colour)
        limit = 16 if narrow else 40
        axes.set_yticks(range(len(points)), [_cut(value, limit) for value, *_ in points])
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        lowest = 100 * min(overall, *(low for _, _, (low, _) in points))
        highest = 100 * max(overall, *(high for _, _, (_, high) in points))
        room = max((highest - lowest) * 0.08, 0.1)
        axes.set_xlim(max(0.0, lowest - room), min(100.0 + room / 2, highest + room))
        axes.set_xlabel("settled proof rate, %")

    return charts.draw(
        f"rates-{name}",
        plot,
        caption="Settled proof rate with its 95 % interval; the dashed line is that of all updates, red lies "
        "below it and green above.",
        alt="; ".join(f"{value}: {share(rate)}" for value, rate, _ in points),
        wide=(9.0, 0.9 + 0.36 * len(points)),
        narrow=(4.0, 0.9 + 0.36 * len(points)),
    )


def _causes(metrics: Metrics) -> list[Block]:
    if not metrics.endings:
        return [Prose(("None did.",))]
    ended = sum(it.updates for it in metrics.endings)
    heads = _heads("Cause", "updates", "of those", "failed", "silent", "left", "cancelled")
    rows = tuple(
        (
            it.meaning,
            number(it.updates),
            Bar(share(it.updates / ended), it.updates / ended, Tone.BAD),
            number(it.failed),
            number(it.lost),
            number(it.withdrawn),
            number(it.cancelled),
        )
        for it in metrics.endings
    )
    note = "The last cause of each; what an attempt failed of before a later one succeeded is not counted."
    return [Table(heads, rows, note=note)]


# --- alerts


def _alerts(metrics: Metrics, storms: Sequence[Storm]) -> list[Block]:
    blocks: list[Block] = []
    if metrics.alerts:
        heads = _heads("Code", "messages", "alerts", "of them throttled")
        rows = tuple(
            (it.code, number(it.messages), number(it.alerts), number(it.throttled))
            for it in metrics.alerts[:_SHOWN]
        )
        note = (
            "Alerts that Devices raise of themselves, and throttled ones: a message stands for as many "
            "alerts as "
            "the DCC says. What our own orders bring about is not counted here."
        )
        blocks.append(Table(heads, rows, caption="Volumes by code", note=note))
    if storms:
        blocks.append(storm_table(storms))
    return blocks


def storm_table(storms: Sequence[Storm]) -> Table:
    """Storms, one a row."""
    heads = (
        *map(Column, ("Storm", "Code", "Of", "Version")),
        *_heads("", "from", "to", "alerts", "throttled", "Devices", "worst hour")[1:],
        Column("Cured by"),
    )
    rows = tuple(
        (
            str(it.id),
            it.code,
            of_whom(it),
            "unknown" if it.version is None else str(it.version),
            moment(it.first_at),
            "goes on" if it.is_open else moment(it.last_at),
            number(it.alerts),
            number(it.throttled),
            number(it.devices),
            number(it.peak),
            "–" if it.cured_by is None else f"release {it.cured_by}",  # noqa: RUF001 # a dash
        )
        for it in storms[:_SHOWN]
    )
    note = f"The first {_SHOWN} of {number(len(storms))}." if len(storms) > _SHOWN else ""
    return Table(heads, rows, caption="Alert storms", note=note)


def of_whom(storm: Storm) -> str:
    """What a storm is of, in a few words."""
    if storm.device is not None:
        return f"Device {storm.device}"
    if storm.manufacturer < 0:
        return "unknown Devices"
    return f"{storm.manufacturer:04X}:{storm.model:04X}:{storm.hardware:04X}"


# --- method


def _method(metrics: Metrics) -> list[Block]:
    about = (
        "An update is one Device's way through one campaign; it is counted with all that the record holds of "
        f"it as of {moment(metrics.as_of)}. Times are by the clock of whoever testifies: the DCC for N60 "
        "and N62, "
        "the Device for its own alerts, ourselves for orders. Rates that are not settled include what is "
        "still "
        "under way, so they rise until the campaign ends."
    )
    return [Prose((about,)), Definitions(tuple(DEFINITIONS.items()))]


# --- words and numbers


def _heads(*titles: str) -> tuple[Column, ...]:
    """Columns of numbers, but the first."""
    return tuple(Column(title, number=index > 0) for index, title in enumerate(titles))


_TICKS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 4 * 3_600.0, 12 * 3_600.0, 86_400.0,
                 3 * 86_400.0, 7 * 86_400.0, 14 * 86_400.0, 30 * 86_400.0, 90 * 86_400.0)  # fmt: skip
_UNITS: Final = (
    ("days", DAY // SECOND),
    ("hours", HOUR // SECOND),
    ("minutes", MINUTE // SECOND),
    ("seconds", 1),
)


def number(value: int) -> str:
    """A whole number with commas."""
    return f"{value:,}"


def share(value: float | None) -> str:
    """A rate as per cent; what rounds to 100 % and is less says so."""
    if value is None:
        return "–"  # noqa: RUF001 # a dash
    text = f"{100 * value:.1f} %"
    if text == "100.0 %":
        return "100 %" if value == 1 else "> 99.9 %"
    if text == "0.0 %":
        return "0 %" if value == 0 else "< 0.1 %"
    return text


def interval(counts: Counts) -> str:
    """The 95 % interval of the settled proof rate."""
    found = counts.proof_interval
    return "–" if found is None else f"{100 * found[0]:.1f}–{100 * found[1]:.1f} %"  # noqa: RUF001 # from-to


def duration(seconds: float) -> str:
    """A time in at most two units."""
    if seconds < 1:
        return "0 s" if seconds == 0 else "< 1 s"
    return span(round(seconds) * SECOND)


def moment(instant: int) -> str:
    """A moment to the minute, UTC."""
    return to_iso(instant)[:16].replace("T", " ")  # type: ignore[arg-type] # an Instant is an int


def _unit(seconds: float) -> tuple[str, int]:
    return next(((name, size) for name, size in _UNITS if seconds >= 2 * size), _UNITS[-1])


def _thousands(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415 # slow to import

    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(int(value))))


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _cut(text: str, limit: int) -> str:
    """In the middle: names of kinds begin alike, and differ in their ends."""
    if len(text) <= limit:
        return text
    end = (limit - 1) * 2 // 3
    return f"{text[: limit - 1 - end]}…{text[-end:]}"
