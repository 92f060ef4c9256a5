"""A study as a page: conclusions first, method last. The same study gives the same octets."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter import __version__
from lamplighter.planning.business import words
from lamplighter.planning.business.case import ASSUMPTION, UNDATED
from lamplighter.planning.business.draws import BLOCK
from lamplighter.planning.business.model import Option
from lamplighter.planning.business.results import BEST, OTHERS, VARIANT_FUTURES, Pays
from lamplighter.planning.reports import (
    Bar,
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
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lamplighter.planning.business.case import Assumption, Change
    from lamplighter.planning.business.results import BreakEven, Estimate, Study, Swing

_SHOWN_SWINGS: Final = 12
_COLOURS: Final = {
    Option.OVER_THE_AIR: charts.SERIES[0],
    Option.REPLACE: charts.SERIES[1],
    Option.HUB: charts.SERIES[3],
}
_NEARLY: Final = 0.8  # of a swing, from which another is nearly as wide
_TONES: Final = {True: Tone.GOOD, False: Tone.BAD, None: Tone.WARN}


def html(study: Study) -> str:
    """The page."""
    sections = [
        Section("", _conclusion(study)),
        Section("Does it pay?", _pays(study)),
        Section("From which event frequency?", _frequency(study)),
        Section("Which assumption matters most?", _matters(study)),
    ]
    if study.scenarios:
        sections.append(Section("What was said, and what follows", _objections(study)))
    if study.parties:
        sections.append(Section("Who pays, who gains", _parties(study)))
    sections += [
        Section("When it pays back", (_payback_chart(study), Prose((_payback(study),)))),
        Section("Every assumption", _assumptions(study)),
        Section("Method", _method(study)),
    ]
    case = study.case
    footer = (
        f"Lamplighter {__version__}, plan business-case, {study.futures:,} futures, seed {study.seed}. "
        "The same case, seed and number of futures give the same report."
    )
    return page(f"Business case: {case.name}", sections, subtitle=case.question, footer=footer)


def conclusion(study: Study) -> tuple[str, ...]:
    """What a reader should take away, as sentences: whether it pays, from when, what matters most."""
    rival = study.rival
    other = next(it for it in study.comparisons if it is not rival)
    typical = _saves(study, rival.saving.middle)
    best = _saves(study, rival.without_best, "would save", "would cost")
    pays = (
        f"**{words.verdict(study)}** On average it {_saves(study, rival.saving.mean)} over "
        f"{study.case.years} years, in present value, against {_INSTEAD[rival.other]}, the cheaper of its "
        f"two rivals; in the median future it {typical}. It costs less in "
        f"{words.of_hundred(rival.cheaper.share)}, and without the best {round(100 * BEST)} of 100 it {best} "
        f"on average. Against {_INSTEAD[other.other]} it {_saves(study, other.saving.mean)} on average, and "
        f"costs less in {words.of_hundred(other.cheaper.share)}."
    )
    return pays, _when(study), _most(study)


_INSTEAD: Final = {Option.REPLACE: "replacing Devices as required", Option.HUB: "fixing the hub instead"}
_THAN: Final = {Option.REPLACE: "replacing", Option.HUB: "fixing the hub"}


def _saves(study: Study, saving: float, gain: str = "saves", loss: str = "costs") -> str:
    amount = words.money(abs(saving), study.case.currency)
    return f"{gain} {amount}" if saving >= 0 else f"{loss} {amount} more"


def _when(study: Study) -> str:
    it = study.rival
    than, amount = _THAN[it.other], it.frequency.amount
    if it.frequency.pays is Pays.UNTOLD:
        return "From which event frequency it pays cannot be told: no must-fix event came in any future."
    if amount is None:
        never = it.frequency.pays is Pays.NEVER
        how = "There is no event frequency from which it pays" if never else "It pays at any event frequency"
        return f"{how}, on average against {than}."
    often, surely = f"**{words.frequency(amount, 'must-fix event')}**", ""
    if it.frequency.pays is Pays.FROM and (half := study.even_odds(it.other)) is not None:
        surely = f" To pay in half of the futures it would take {words.frequency(half)}."
    return (
        f"It pays on average {it.frequency.pays.value} {often}: a fault in firmware, somewhere in the fleet, "
        f"that cannot be left as it is. Assumed is {_assumed(study)}; all else is as assumed.{surely}"
    )


def _assumed(study: Study) -> str:
    it = study.frequency
    if it.low == it.high:
        return words.frequency(it.mean)
    return f"{words.frequency(it.mean)} on average, {words.frequency(it.middle)} in the median"


def _most(study: Study) -> str:
    if not study.swings:
        return "No assumption is uncertain."
    first, *others = study.swings
    said = f"What matters most for the mean saving: {_swing(study, first)}."
    if others:
        near = ", and nearly as much" if others[0].width >= _NEARLY * first.width else ""
        said = f"{said} Next{near}: {_swing(study, others[0])}."
    of = "These are their" if others else "These are its"
    return f"{said} {of} 10th and 90th percentile, with all else as uncertain as it is."


def _swing(study: Study, it: Swing) -> str:
    what, currency = study.case.assumptions[it.key], study.case.currency
    low, high = (words.money(saving, currency, signed=True) for saving in it.savings)
    alike = ", for all events alike" if what.per_event else ""
    first, last = (_number(value, what) for value in it.values)
    return f"**{what.meaning}**, from {low} at {first} to {high} at {last}{_unit(what)}{alike}"


def _kept(text: str) -> str:
    """A text whose amounts stay on one line: `+\u2060\u00a326.5\u00a0million`."""
    return _UNIT.sub("\u00a0", _signed(text))


def _signed(text: str) -> str:
    """A text in which no sign stands at the end of a line, and its amount on the next."""
    return _SIGN.sub("\\g<0>\u2060", text)


_SIGN: Final = re.compile("[+\u2212](?=[^\\s\\d])")
_UNIT: Final = re.compile(r"(?<=\d) (?=(?:thousand|million|billion|k|M|bn)\b|%)")


def _conclusion(study: Study) -> tuple[Prose | Notice | KeyFigures, ...]:
    rival, currency = study.rival, study.case.currency
    other = next(it for it in study.comparisons if it is not rival)
    saving, build, even = rival.saving, rival.implementation, rival.frequency
    low, high = (words.money(it, currency, short=True, signed=True) for it in (saving.low, saving.high))
    figures = [
        KeyFigure(
            f"Saving against {_THAN[rival.other]}",
            words.money(saving.mean, currency, signed=True),
            f"on average; 8 futures of 10 lie from {low} to {high}",
            Tone.WARN if words.pays(rival) and rival.cheaper.share < 0.5 else _TONES[words.pays(rival)],
        ),
        KeyFigure(
            f"Costs less than {_THAN[rival.other]}",
            words.of_hundred(rival.cheaper.share).removesuffix(" futures"),
            f"futures; less than {_THAN[other.other]}: {words.of_hundred(other.cheaper.share)}",
        ),
        KeyFigure(
            "Pays on average" if even.amount is None else f"Pays on average {even.pays.value}",
            even.pays.value if even.amount is None else words.frequency(even.amount),
            _pays_note(study),
        ),
        KeyFigure(
            "Pays on average up to an implementation cost of",
            words.money(build.amount, currency) if build.amount is not None else "—",
            f"assumed: {words.money(study.implementation.mean, currency, short=True)} on average",
        ),
    ]
    if study.swings:
        most = study.case.assumptions[study.swings[0].key]
        figures.append(KeyFigure("Matters most", most.meaning, _value_of_knowing(study)))
    guessed = sum(it.source == ASSUMPTION for it in study.case.assumptions.values())
    notice = Notice(
        f"{guessed} of {len(study.case.assumptions)} inputs are assumptions that nobody has measured. They "
        "are listed below, each with what it is; put other figures in their place and run it again.",
        Tone.PLAIN,
    )
    kept = (replace(it, value=_signed(it.value), note=_kept(it.note)) for it in figures)
    return Prose(tuple(map(_kept, conclusion(study))), lead=True), notice, KeyFigures(tuple(kept))


def _pays_note(study: Study) -> str:
    half = study.even_odds(study.rival.other)
    surely = f"in half of the futures from {words.frequency(half)}; " if half is not None else ""
    return f"must-fix events; {surely}assumed: {_assumed(study)}"


def _value_of_knowing(study: Study) -> str:
    told = [(key, it) for key, it in study.values if it.is_told]
    if not told:
        return "to know any one input better would not change the decision"
    key, it = told[0]
    worth = words.money(it.amount, study.case.currency, short=True)
    if study.swings and key == study.swings[0].key:
        return f"to know it beforehand is worth up to {worth}"
    return f"to find out before deciding: {study.case.assumptions[key].meaning}, worth up to {worth}"


def _pays(study: Study) -> tuple[Picture | Table | Prose, ...]:
    currency = study.case.currency
    rows: list[tuple[str, ...]] = []
    for it in study.options:
        parts = it.parts
        ends = (words.money(end, currency, short=True) for end in (it.cost.low, it.cost.high))
        rows.append(
            (
                f"{words.LETTERS[it.option]} {words.OPTIONS[it.option]}",
                words.money(it.cost.mean, currency, short=True),
                (" to ".join(ends)),
                words.money(parts.get("build", 0.0) + parts.get("running", 0.0), currency, short=True),
                words.money(parts["campaign"] + parts["volume"], currency, short=True),
                words.count(it.replaced),
                words.count(it.visits),
                words.percent(it.cheapest.share),
            )
        )
    rows += [(words.alike(it), *[""] * 6, words.percent(it.odds.share)) for it in study.ties]
    columns = (
        "Option",
        Column("Cost, mean", number=True),
        Column("8 futures of 10", number=True),
        Column("Build and run", number=True),
        Column("For events", number=True),
        Column("Devices replaced", number=True),
        Column("Visits", number=True),
        Column("Cheapest in", number=True),
    )
    return (
        _histogram_chart(study),
        Table(
            columns,
            tuple(rows),
            f"What each option costs over {study.case.years} years, present value",
            f"Means of {study.futures:,} futures with {words.three(study.events.mean)} must-fix events each, "
            "which strike "
            f"{words.count(study.struck.mean)} Devices. {_TIED if study.ties else ''}".strip(),
        ),
    )


_TIED: Final = (
    "Alike: they cost the same in these futures, and less than the rest; no option is given what it shares."
)


def _histogram_chart(study: Study) -> Picture:
    edges, counts = study.histogram
    saving = study.rival
    than = _THAN[saving.other]
    shares = [100 * it / study.futures for it in counts]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # the shape that charts.draw calls
        axes = figure.subplots()
        charts.plain(axes)
        left = np.array(edges[:-1]) / 1e6
        width = np.diff(np.array(edges)) / 1e6
        middle = left + width / 2
        colours = [charts.GOOD if it > 0 else charts.BAD for it in middle]
        axes.bar(left, shares, width * 0.92, align="edge", color=colours)
        axes.axvline(saving.saving.mean / 1e6, color=charts.INK, linewidth=1.2)
        top = max(shares)
        axes.set_ylim(0, top * 1.18)
        axes.annotate(
            f"mean {words.money(saving.saving.mean, study.case.currency, short=True, signed=True)}",
            (saving.saving.mean / 1e6, top * 1.14),
            (5, 0),
            textcoords="offset points",
            color=charts.INK,
            ha="left",
            va="top",
        )
        axes.set_xlabel(f"saving against {than}, million {study.case.currency}")
        axes.set_ylabel("futures, %")
        if narrow:
            axes.locator_params(axis="x", nbins=5)

    loses = words.of_hundred(1 - saving.cheaper.share)
    return charts.draw(
        "saving",
        plot,
        caption=f"What over the air saves against {than}, in each future: **red** where it costs more, "
        f"**green** where it costs less. It costs more in {loses}; the far right is where it earns. "
        "The outermost futures, one of a hundred at either end, are not drawn.",
        alt=f"Histogram of the saving: mean {words.money(saving.saving.mean, study.case.currency)}, "
        f"negative in {loses}.",
    )


def _frequency(study: Study) -> tuple[Picture | Table | Prose, ...]:
    rows = [
        (
            words.OPTIONS[it.other],
            _even(it.frequency, words.frequency),
            words.frequency(half) if (half := study.even_odds(it.other)) is not None else "—",
            _even(it.implementation, lambda amount: words.money(amount, study.case.currency)),
            _even(it.volume, words.count),
        )
        for it in study.comparisons
    ]
    assumed = (study.frequency, study.implementation, study.struck)
    for name, of in (("mean", "on average"), ("middle", "in the median")):
        often, cost, struck = (getattr(it, name) for it in assumed)
        money = words.money(cost, study.case.currency)
        rows.append((f"assumed, {of}", words.frequency(often), "", money, words.count(struck)))
    columns = (
        "Against",
        Column("Must-fix events", number=True),
        Column("In half of the futures, from", number=True),
        Column("Implementation cost", number=True),
        Column(f"Devices to be fixed in {study.case.years} years", number=True),
    )
    return (
        _frequency_chart(study),
        Table(
            columns,
            tuple(rows),
            "Where over the air pays on average, one thing changed and all else as assumed",
            "± is the standard error of the simulation, not the uncertainty of the assumptions. A dash: it "
            "cannot be told.",
        ),
    )


def _even(it: BreakEven, say: Callable[[float], str]) -> str:
    if it.amount is None:
        return "—" if it.pays is Pays.UNTOLD else it.pays.value
    amount = f"{it.pays.value} {say(it.amount)}"
    return f"{amount} ± {100 * it.error / it.amount:.0f} %" if it.error and it.amount else amount


def _frequency_chart(study: Study) -> Picture:
    even, than = study.rival.frequency.amount, _THAN[study.rival.other]
    assumed = study.frequency.mean
    index = OTHERS.index(study.rival.other)
    at = [it.frequency for it in study.frequencies]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # the shape that charts.draw calls
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        low, middle, high = (
            [getattr(it.savings[index], end) / 1e6 for it in study.frequencies]
            for end in ("low", "mean", "high")
        )
        for axes in (top, bottom):
            charts.plain(axes)
            axes.set_xscale("log")
        top.fill_between(at, low, high, color=charts.SERIES[0], alpha=0.18, linewidth=0)
        top.plot(at, middle, color=charts.SERIES[0])
        top.axhline(0, color=charts.INK, linewidth=0.9)
        top.set_ylabel(f"saving,\nmillion {study.case.currency}")
        if even is not None and at[0] <= even <= at[-1]:
            _mark(top, even, "breaks even", 0.97, left=even < assumed)
        if at[0] <= assumed <= at[-1]:
            _mark(top, assumed, "assumed, mean", 0.84, left=even is None or even >= assumed)
        for row, (option, style) in enumerate(zip(OTHERS, ("-", "--"), strict=True)):
            bottom.plot(
                at,
                [100 * it.cheaper[row] for it in study.frequencies],
                style,
                color=_COLOURS[option],
                label=f"than {_THAN[option]}",
            )
        bottom.axhline(50, color=charts.MUTED, linewidth=1.0, linestyle=":")
        bottom.legend(loc="upper left")
        bottom.set_ylim(0, 100)
        bottom.set_ylabel("costs less in\n% of futures")
        bottom.set_xlabel("must-fix events")
        ticks = [it for it in _TICKS if at[0] * 0.95 <= it <= at[-1] * 1.05]
        if narrow:
            ticks = ticks[:: max(1, -(-len(ticks) // 4))]
        bottom.set_xticks(ticks, [_tick(it) for it in ticks])
        bottom.minorticks_off()

    return charts.draw(
        "frequency",
        plot,
        caption=f"Above: the saving against {than}, its mean as a line and 8 futures of 10 as a band, by "
        "how often "
        "something must be fixed. Below: in how many futures over the air costs less.",
        alt=f"Saving against {than} by frequency of must-fix events; it breaks even at "
        f"{words.frequency(even) if even is not None else 'no frequency'}.",
        wide=(9.0, 5.2),
        narrow=(4.0, 5.0),
    )


_TICKS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def _tick(frequency: float) -> str:
    return f"{frequency:g}\na year" if frequency >= 1 else f"1 in\n{1 / frequency:g} years"


def _mark(axes: Axes, where: float, text: str, height: float, *, left: bool) -> None:
    axes.axvline(where, color=charts.MUTED, linewidth=1.0, linestyle=":")
    axes.annotate(
        text,
        (where, height),
        (-5 if left else 5, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        color=charts.INK,
        ha="right" if left else "left",
        va="top",
    )


def _matters(study: Study) -> tuple[Picture | Table | Prose, ...]:
    if not study.swings:
        return (Prose(("No assumption is uncertain.",)),)
    case = study.case
    told = [(key, it) for key, it in study.values if it.is_told][:8]
    rows = [
        (
            _name(case.assumptions[key]),
            words.money(it.amount, case.currency, short=True),
            f"± {words.money(it.error, case.currency, short=True)}",
        )
        for key, it in told
    ]
    if len(told) < len(study.values):
        rows.append((f"Any other of the {len(study.values)}", "not to be told from 0", ""))
    return (
        _tornado(study),
        Table(
            (
                "If this were known before deciding",
                Column("Worth at most", number=True),
                Column("Error", number=True),
            ),
            tuple(rows),
            "What a study would be worth that found out one of them",
            f"Expected value of partial perfect information, over the choice between all three options. To "
            "know everything, "
            f"luck included, would be worth {words.money(study.perfect, case.currency)}: no study is worth "
            "more. What differs from event to event is luck, and no study finds it out.",
        ),
    )


def _tornado(study: Study) -> Picture:
    swings = [it for it in study.swings if it.width > 0][:_SHOWN_SWINGS]
    case = study.case
    mean, than = study.rival.saving.mean / 1e6, _THAN[study.rival.other]

    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # the shape that charts.draw calls
        axes = figure.subplots()
        charts.plain(axes, grid="x")
        for row, it in enumerate(swings):
            for end, colour in ((0, charts.SERIES[1]), (1, charts.SERIES[0])):
                axes.barh(
                    row,
                    it.savings[end] / 1e6 - mean,
                    0.62,
                    left=mean,
                    color=colour,
                    zorder=2 - _wider(it, end, mean * 1e6),
                )
        axes.axvline(mean, color=charts.INK, linewidth=1.0)
        axes.axvline(0, color=charts.MUTED, linewidth=1.0, linestyle=":")
        names = [_label(case.assumptions[it.key], it, narrow) for it in swings]
        axes.set_yticks(range(len(swings)), names)
        axes.tick_params(axis="y", length=0)
        if narrow:
            axes.tick_params(axis="y", labelsize=8)
            axes.locator_params(axis="x", nbins=4)
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        against = "" if narrow else f" against {than}"
        axes.set_xlabel(f"mean saving{against}, million {case.currency}")

    return charts.draw(
        "swings",
        plot,
        caption=f"The mean saving against {than} with one assumption at its 10th percentile (**orange**, "
        "the first number) "
        "and at its 90th (**blue**, the second), all others as uncertain as ever. The solid line is the mean "
        "of all; left of "
        "the dotted one over the air costs more.",
        alt="Tornado chart; widest: " + "; ".join(words.swung(case.assumptions[it.key]) for it in swings[:3]),
        wide=(9.0, 0.9 + 0.36 * len(swings)),
        narrow=(4.4, 0.9 + 0.46 * len(swings)),
    )


def _wider(it: Swing, end: int, mean: float) -> int:
    """Bars on one side of the mean lie on each other: the shorter in front."""
    return int(abs(it.savings[end] - mean) > abs(it.savings[1 - end] - mean))


def _label(what: Assumption, it: Swing, narrow: bool) -> str:  # noqa: FBT001 # as charts.draw calls it
    low, high = (_number(value, what) for value in it.values)
    text = _capital(words.swung(what))
    if not narrow:
        return f"{text}: {low} to {high}"
    words_of, lines = text.split(), [""]
    for word in words_of:
        if len(lines[-1]) + len(word) > 22:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines[:3])


def _name(what: Assumption) -> str:
    return _capital(what.meaning)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _number(value: float, what: Assumption) -> str:
    if what.unit.startswith("share"):
        return f"{words.two(100 * value)} %"
    if abs(value) >= 1e6:
        return f"{words.two(value / 1e6)} M"
    return words.two(value)


def _unit(what: Assumption) -> str:
    unit = what.unit.removeprefix("share") if what.unit.startswith("share") else f" {what.unit}"
    return "" if "/" in unit else unit


def _objections(study: Study) -> tuple[Table | Prose | Definitions, ...]:
    savings = tuple(it.saving for it in study.comparisons)
    cheaper = tuple(it.cheaper.share for it in study.comparisons)
    rows = [_row(study, "As assumed", savings, cheaper, study.cheapest)]
    rows += [_row(study, it.scenario.name, it.savings, it.cheaper, it.cheapest) for it in study.scenarios]
    columns: list[Column | str] = ["If this is right"]
    for other in OTHERS:
        columns.append(Column(f"Saves against {_THAN[other]}", number=True))
        columns.append(Column("Costs less in", number=True))
    columns.append("Cheapest on average")
    said = []
    for it in study.scenarios:
        changes = "; ".join(_change(study, change) for change in it.scenario.changes)
        quoted = f"“{it.scenario.objection}” — {it.scenario.source}."
        said.append((it.scenario.name, f"{quoted} In the model: {changes}."))
    stays = sum(it.cheapest is Option.OVER_THE_AIR for it in study.scenarios)
    open_ = sum(it.cheapest is None for it in study.scenarios)
    untold = f", and in {open_} that cannot be told from so many futures" if open_ else ""
    told = (
        "Each is put into the model as if it were right, all else as assumed. "
        f"In {stays} of {len(study.scenarios)} over the air stays the cheapest on average{untold}."
    )
    note = "± is the standard error of the simulation. Within two of them it cannot be told which costs less."
    return (
        Prose((told,)),
        Table(tuple(columns), tuple(rows), "What over the air saves on average if it is right", note),
        Definitions(tuple(said)),
    )


def _row(
    study: Study,
    name: str,
    savings: tuple[Estimate, ...],
    cheaper: tuple[float, ...],
    cheapest: Option | None,
) -> tuple[str | Bar, ...]:
    cells: list[str | Bar] = [name]
    for saving, share in zip(savings, cheaper, strict=True):
        amount = words.money(saving.mean, study.case.currency, short=True, signed=True)
        error = words.money(saving.error, study.case.currency, short=True)
        cells += [f"{amount} ± {error}", Bar(words.percent(share), share)]
    return (*cells, "cannot be told" if cheapest is None else words.OPTIONS[cheapest].lower())


def _change(study: Study, change: Change) -> str:
    """What a scenario changes, in words."""
    key, verb, number = change
    what = study.case.assumptions[key]
    if verb == "times":
        return f"{what.meaning}, times {number:g}"
    return f"{what.meaning} = {_number(number, what)}{_unit(what)}"


def _parties(study: Study) -> tuple[Table | Prose, ...]:
    currency = study.case.currency
    rows = [
        (
            it.name,
            words.percent(it.costs),
            words.percent(it.savings),
            words.money(it.gain.mean, currency, short=True, signed=True),
            (
                f"{words.money(it.gain.low, currency, short=True)} to "
                f"{words.money(it.gain.high, currency, short=True)}"
            ),
            words.percent(it.pays.share),
        )
        for it in study.parties
    ]
    columns = (
        "Party",
        Column("Share of the cost", number=True),
        Column("Share of the saving", number=True),
        Column("Gains, mean", number=True),
        Column("8 futures of 10", number=True),
        Column("Gains in", number=True),
    )
    return (
        Table(
            columns,
            tuple(rows),
            "Over the air against replacing, by who bears it; present value",
            "Cost is building and running; saving is what recalls would have cost, less campaigns and the "
            "Devices that are "
            "replaced all the same. A party that saves nothing loses in every future, however good the case "
            "is for all.",
        ),
    )


def _payback(study: Study) -> str:
    month, than = study.paid_back, _THAN[study.rival.other]
    if month is None:
        return f"On average over the air has not cost less than {than} after {study.case.years} years."
    return f"On average over the air has cost less than {than} from year {(month - 1) // 12 + 1}."


def _payback_chart(study: Study) -> Picture:
    def plot(figure: Figure, narrow: bool) -> None:  # noqa: FBT001 # the shape that charts.draw calls
        axes = figure.subplots()
        charts.plain(axes)
        for option, line in study.cumulative.items():
            years = (np.arange(len(line)) + 1) / 12
            axes.plot(
                [0, *years],
                [0, *(np.array(line) / 1e6)],
                color=_COLOURS[option],
                linestyle="--" if option is Option.HUB else "-",
                label=words.OPTIONS[option],
            )
        axes.set_xlim(0, study.case.years)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
        axes.set_xlabel("years")
        axes.set_ylabel(f"spent so far, million {study.case.currency}")
        if narrow:
            axes.locator_params(axis="x", nbins=6)

    return charts.draw(
        "payback",
        plot,
        caption="What has been spent by then, present value, mean of all futures.",
        alt="Cumulative cost of the three options. " + _payback(study),
    )


def _assumptions(study: Study) -> tuple[Prose | Definitions, ...]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, it in study.case.assumptions.items():
        section, second, *_ = key.split(".")
        group = _GROUPS.get(section, second)
        dated = f", {it.dated}" if it.dated and it.dated != UNDATED else ""
        said = "Assumption" if it.source == ASSUMPTION else it.source + (dated or " (undated)")
        each = "; differs from event to event" if it.per_event else ""
        meaning = f"**{it.law}**, {it.unit}{each}. {said}." + (f" {it.note}" if it.note else "")
        groups.setdefault(group, []).append((_name(it), meaning))
    count = len(study.case.assumptions)
    said = (
        f"All {count} inputs; there are no others. PERT is a beta distribution whose mode counts four times "
    )
    parts: list[Prose | Definitions] = [Prose((f"{said}as much as either end.",))]
    for group, items in groups.items():
        parts += [Prose((f"**{group}**",)), Definitions(tuple(items))]
    return tuple(parts)


_GROUPS: Final = {
    "fleet": "The fleet",
    "events": "What goes wrong",
    "over_the_air": "(a) over the air",
    "replace": "(b) replace as required",
    "hub": "(c) fix the hub instead",
    "harm": "What waiting does",
    "discount": "Discounting",
}
"""Sections of a case; kinds of Device and parties are their own."""


def _method(study: Study) -> tuple[Table | Prose, ...]:
    currency = study.case.currency
    rows = tuple(
        (
            words.OPTIONS[it.option],
            words.money(it.simulated, currency),
            f"± {words.money(it.error, currency)}",
            words.money(it.exact, currency),
            f"{(it.simulated - it.exact) / it.error:+.1f}" if it.error else "0",
        )
        for it in study.checks
    )
    return (
        Prose((_HOW, _figures(study), _EXACT, _WHAT_NOT)),
        Table(
            (
                "Option",
                Column("Simulated", number=True),
                Column("Standard error", number=True),
                Column("Exact", number=True),
                Column("Apart, in standard errors", number=True),
            ),
            rows,
            "Check: every input at its mean, simulated against closed form",
        ),
    )


_HOW: Final = (
    "A future is one draw of every uncertain input, and of the must-fix events of each month: when they "
    "come, which kind of Device they strike and how many, and whether over the air, or the hub, can cure "
    "them. Each option is then costed month by month. (b) replaces every Device that is struck. (a) and (c) "
    "cure what they can once they are ready, and replace the rest. All money is at constant prices and "
    "discounted monthly."
)
_EXACT: Final = (
    "Break-even points are exact for means: what events cost is in proportion to how often they come, and "
    "what Devices cost to how many are struck. What it is worth to know an input is estimated by regression "
    "on a natural cubic spline (Strong, Oakley and Brennan 2014)."
)
_WHAT_NOT: Final = (
    "Not in it: what harm Devices do while they wait, unless the case says so; features that only updates "
    "can bring; what is saved in other changes, such as MP122B, of which the Change Board was told; Devices "
    "that are replaced by age; and that cheap updates may be made more often than must be. The formulae and "
    "the limits are in `docs/business-case.md`."
)


def _figures(study: Study) -> str:
    sample = min(study.futures, VARIANT_FUTURES)
    return (
        f"{study.futures:,} futures, in blocks of {BLOCK:,}. Each input draws from a stream of its own in "
        f"each block (Philox, keyed by seed {study.seed} and the input's name), so that the figures do not "
        f"depend on who worked them. Swings, curves and scenarios use the first {sample:,} of these futures "
        "with one thing changed, and differ from the case by that alone. Where it changes how many events "
        "come, or when, other events are drawn: such a difference holds the full error of the simulation."
    )
