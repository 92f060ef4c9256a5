"""Results: a case worked through, and every figure that the report shows.

The case itself is worked for all futures. What is changed for a purpose, an input at one end or a scenario,
is worked for the first `VARIANT_FUTURES` of the same futures, so that it differs by that change and nothing
else; save where the change is one of how many events come, or when: then it has events of its own.

What over the air must beat is its rival: the option among the others that costs less on average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import pairwise
from math import ceil, exp, log, log10, sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from lamplighter.kit import UsageError
from lamplighter.planning.business import value as knowing
from lamplighter.planning.business.case import EVENTS_MAX
from lamplighter.planning.business.closed import expected_costs
from lamplighter.planning.business.draws import BLOCK, SEED_MAX, Floats, inputs
from lamplighter.planning.business.laws import checked
from lamplighter.planning.business.model import COSTS, Figure, Option, Outcome, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamplighter.planning.business.case import Case, Scenario, Variant
    from lamplighter.planning.business.spread import Spread
    from lamplighter.planning.business.value import Value

FUTURES_MIN: Final = 1_000
FUTURES_MAX: Final = 1_000_000
VARIANT_FUTURES: Final = 10_000
_ENDS: Final = (10.0, 90.0)
"""Percentiles: between them lie 8 futures of 10."""
_FREQUENCIES: Final = 13
_GROUPS: Final = 20
BEST: Final = 0.05
"""Of the futures: what is left of the mean without the best of them."""
_Z95: Final = 1.959963984540054

OTHERS: Final = (Option.REPLACE, Option.HUB)
"""What over the air is compared with."""


class Estimate(NamedTuple):
    """A mean over futures."""

    mean: float
    error: float
    """Its standard error."""
    low: float
    """One future of ten has less."""
    middle: float
    high: float
    """One future of ten has more."""

    @property
    def is_told(self) -> bool:
        """Whether the mean can be told from 0: more than two standard errors lie between."""
        return abs(self.mean) > 2 * self.error


class Odds(NamedTuple):
    """How many futures of all."""

    share: float
    low: float
    """Wilson's interval, 95 %: what more futures could make of it."""
    high: float


class Pays(StrEnum):
    """On which side of a break-even over the air costs less."""

    FROM = "from"
    UP_TO = "up to"
    ALWAYS = "always"
    NEVER = "never"
    UNTOLD = "cannot be told"


class BreakEven(NamedTuple):
    """Where two options cost the same on average, all else as it is."""

    pays: Pays
    """Where over the air costs less: from the amount, up to it, wherever; or there is nothing to scale."""
    amount: float | None
    """None where over the air pays always or never, or it cannot be told."""
    error: float | None
    """Standard error, by jackknife."""


@dataclass(frozen=True, slots=True)
class OptionResult:
    """What one option costs."""

    option: Option
    cost: Estimate
    """Present value."""
    parts: Mapping[str, float]
    """Mean present value of: build, running, campaign, volume."""
    replaced: float
    """Mean number of Devices that are replaced."""
    visits: float
    """Mean number of visits."""
    cheapest: Odds
    """How often it alone is the cheapest of all."""


class Tie(NamedTuple):
    """Options that cost the same, and less than any other."""

    options: tuple[Option, ...]
    odds: Odds
    """How often."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Over the air against another option."""

    other: Option
    saving: Estimate
    """What the other costs more; the net present value of over the air."""
    cheaper: Odds
    """How often over the air costs less."""
    without_best: float
    """Mean saving without the futures in which it is greatest, `BEST` of all."""
    frequency: BreakEven
    """Must-fix events a year."""
    implementation: BreakEven
    """Implementation cost of over the air, final, undiscounted."""
    volume: BreakEven
    """Devices struck over the horizon."""


class AtFrequency(NamedTuple):
    """What happens at one frequency of must-fix events."""

    frequency: float
    savings: tuple[Estimate, Estimate]
    """Against each of `OTHERS`."""
    cheaper: tuple[float, float]
    """Share of futures in which over the air costs less than each of `OTHERS`."""


class Swing(NamedTuple):
    """What one uncertain input does to the mean saving against the rival."""

    key: str
    values: tuple[float, float]
    """Its 10th and 90th percentile; of what differs from event to event, all events alike."""
    savings: tuple[float, float]
    """Mean saving with the one and the other."""

    @property
    def width(self) -> float:
        """How far apart they are."""
        return abs(self.savings[1] - self.savings[0])


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What comes of an objection if it is right."""

    scenario: Scenario
    savings: tuple[Estimate, Estimate]
    """Against each of `OTHERS`, future by future."""
    cheaper: tuple[float, float]
    """Share of futures in which over the air costs less than each of `OTHERS`."""
    cheapest: Option | None
    """On average; None: the futures are too few to tell."""


@dataclass(frozen=True, slots=True)
class PartyResult:
    """What one party pays and saves."""

    name: str
    costs: float
    """Its share of implementation and running cost."""
    savings: float
    """Its share of what is saved on recalls."""
    gain: Estimate
    """Saved less paid, present value, against replacing."""
    pays: Odds
    """How often it gains."""


class Check(NamedTuple):
    """Monte Carlo against closed form, with every input at its mean."""

    option: Option
    simulated: float
    error: float
    exact: float


@dataclass(frozen=True, slots=True)
class Study:
    """All that is found."""

    case: Case
    seed: int
    futures: int
    events: Estimate
    """Must-fix events in a future."""
    struck: Estimate
    """Devices struck in a future, each as often as it is."""
    frequency: Estimate
    """Must-fix events a year, as assumed."""
    implementation: Estimate
    """Implementation cost of over the air, final, undiscounted."""
    options: tuple[OptionResult, ...]
    ties: tuple[Tie, ...]
    """Futures in which no option alone is the cheapest, the most frequent first."""
    cheapest: Option | None
    """On average; None: the futures are too few to tell."""
    comparisons: tuple[Comparison, ...]
    frequencies: tuple[AtFrequency, ...]
    swings: tuple[Swing, ...]
    """The widest first."""
    perfect: float
    """The value of knowing all."""
    values: tuple[tuple[str, Value], ...]
    """The value of knowing each uncertain input, the most first."""
    scenarios: tuple[ScenarioResult, ...]
    parties: tuple[PartyResult, ...]
    cumulative: Mapping[Option, tuple[float, ...]]
    """Mean present value spent up to the end of each month."""
    histogram: tuple[tuple[float, ...], tuple[int, ...]]
    """Edges and counts of the saving against the rival, the outermost hundredths cut off."""
    checks: tuple[Check, ...]

    def against(self, other: Option) -> Comparison:
        """The comparison with one of `OTHERS`."""
        return next(it for it in self.comparisons if it.other is other)

    @property
    def rival(self) -> Comparison:
        """The comparison with the cheaper of the others, on average: what over the air must beat."""
        return min(self.comparisons, key=lambda it: it.saving.mean)

    def even_odds(self, other: Option) -> float | None:
        """Must-fix events a year from which over the air costs less in half of the futures.

        On the curve, straight between two logarithms of frequencies; None: the curve does not reach it.
        """
        index = OTHERS.index(other)
        curve = ((log(it.frequency), it.cheaper[index]) for it in self.frequencies)
        for (left, fewer), (right, more) in pairwise(curve):
            if fewer < 0.5 <= more:
                return exp(left + (right - left) * (0.5 - fewer) / (more - fewer))
        return None

    @property
    def paid_back(self) -> int | None:
        """Months until over the air has cost less than its rival, on average and for good; None: never."""
        ahead = np.subtract(self.cumulative[self.rival.other], self.cumulative[Option.OVER_THE_AIR]) >= 0
        if not ahead[-1]:
            return None
        behind = np.flatnonzero(~ahead)
        return int(behind[-1]) + 2 if len(behind) else 1


def study(case: Case, *, seed: int, futures: int, spread: Spread) -> Study:
    """Work a case through.

    futures  replicas, `FUTURES_MIN` to `FUTURES_MAX`

    The same case, seed and futures give the same bits, whoever works. Raises `UsageError` for a number of
    futures or a seed that cannot be.
    """
    if not FUTURES_MIN <= futures <= FUTURES_MAX:
        raise UsageError(f"{futures} replicas: allowed are {FUTURES_MIN} to {FUTURES_MAX}")
    if not 0 <= seed <= SEED_MAX:
        raise UsageError(f"seed {seed}: allowed is 0 to {SEED_MAX}")
    outcomes = list(spread.map(partial(_whole, case, seed, futures), range(ceil(futures / BLOCK))))
    figures = np.concatenate([it.figures for it in outcomes], axis=1)[:, :futures]
    costs = _costs(figures)
    drawn = inputs(case, seed, futures)
    savings = _savings(costs)
    frequency = _of(case, drawn, "events.frequency", futures)
    implementation = _of(case, drawn, "over_the_air.first_estimate", futures) * _of(
        case, drawn, "over_the_air.growth", futures
    )

    sample = min(futures, VARIANT_FUTURES)
    swung = (*case.uncertain, *case.per_event)
    ends = {key: tuple(map(float, np.percentile(drawn[key], _ENDS))) for key in swung}
    comparisons = tuple(_compare(case, figures, other, savings[other], implementation) for other in OTHERS)
    rival = min(OTHERS, key=lambda other: float(savings[other].mean()))
    grid = _grid(case.years, float(frequency.mean()), [it.frequency.amount for it in comparisons])
    variants: list[Variant] = [
        *(((key, "set", end),) for key in swung for end in ends[key]),
        *((("events.frequency", "set", number),) for number in grid),
        *(it.changes for it in case.scenarios),
    ]
    found = iter(_variants(case, seed, variants, sample, spread))
    swings = []
    for key in swung:
        low, high = (float(_savings(next(found))[rival].mean()) for _ in ends[key])
        swings.append(Swing(key, ends[key], (low, high)))  # type: ignore[arg-type] # two ends
    at_frequency = tuple(_at_frequency(number, next(found)) for number in grid)
    scenarios = tuple(_scenario(it, next(found)) for it in case.scenarios)
    values = [(key, knowing.partial(costs, drawn[key], key, seed)) for key in case.uncertain]
    return Study(
        case=case,
        seed=seed,
        futures=futures,
        events=_estimate(figures[Figure.EVENTS]),
        struck=_estimate(figures[Figure.STRUCK]),
        frequency=_estimate(frequency),
        implementation=_estimate(implementation),
        options=tuple(_option(figures, costs, option) for option in Option),
        ties=_ties(costs),
        cheapest=_cheapest(costs),
        comparisons=comparisons,
        frequencies=at_frequency,
        swings=tuple(sorted(swings, key=lambda it: -it.width)),
        perfect=knowing.perfect(costs),
        values=tuple(sorted(values, key=lambda it: -it[1].amount)),
        scenarios=scenarios,
        parties=tuple(_party(case, figures, name) for name in case.parties),
        cumulative=_cumulative(outcomes, futures),
        histogram=_histogram(savings[rival]),
        checks=_checks(case, seed, sample, spread),
    )


def _whole(case: Case, seed: int, futures: int, block: int) -> Outcome:
    return evaluate(case, (), seed, block, monthly=min(BLOCK, futures - block * BLOCK))


def costs_of(case: Case, seed: int, task: tuple[Variant, int]) -> Floats:
    """Present value of each option, a row each, in the futures of one block of a variant."""
    return _costs(evaluate(case, task[0], seed, task[1]).figures)


def _costs(figures: Floats) -> Floats:
    """Present value of each option, a row each."""
    return np.stack([figures[list(COSTS[option])].sum(axis=0) for option in Option])


def _variants(
    case: Case, seed: int, variants: Sequence[Variant], futures: int, spread: Spread
) -> list[Floats]:
    blocks = ceil(futures / BLOCK)
    tasks = [(variant, block) for variant in variants for block in range(blocks)]
    parts = list(spread.map(partial(costs_of, case, seed), tasks))
    return [
        np.concatenate(parts[first : first + blocks], axis=1)[:, :futures]
        for first in range(0, len(parts), blocks)
    ]


def _of(case: Case, drawn: Mapping[str, Floats], key: str, futures: int) -> Floats:
    """An input in each future, be it drawn or fixed."""
    return drawn[key] if key in drawn else np.full(futures, case.assumptions[key].law.mean)


def _savings(costs: Floats) -> dict[Option, Floats]:
    """What over the air saves against each of the others, future by future."""
    return {other: costs[other] - costs[Option.OVER_THE_AIR] for other in OTHERS}


def _estimate(amounts: Floats) -> Estimate:
    low, middle, high = np.percentile(amounts, (_ENDS[0], 50.0, _ENDS[1]))
    error = amounts.std(ddof=1) / sqrt(len(amounts))
    return Estimate(float(amounts.mean()), float(error), float(low), float(middle), float(high))


def _odds(happens: np.ndarray[Any, Any]) -> Odds:
    count, share = len(happens), float(happens.mean())
    square = _Z95**2 / count
    middle, half = share + square / 2, _Z95 * sqrt(share * (1 - share) / count + square / (4 * count))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return Odds(share, max(0.0, low) if share > 0 else 0.0, min(1.0, high) if share < 1 else 1.0)


def _option(figures: Floats, costs: Floats, option: Option) -> OptionResult:
    names = ("build", "running", "campaign", "volume")[-len(COSTS[option]) :]
    replaced, visits = {
        Option.OVER_THE_AIR: (Figure.REPLACED_A, Figure.VISITS_A),
        Option.REPLACE: (Figure.STRUCK, Figure.VISITS_B),
        Option.HUB: (Figure.REPLACED_C, Figure.VISITS_C),
    }[option]
    return OptionResult(
        option,
        _estimate(costs[option]),
        {name: float(figures[row].mean()) for name, row in zip(names, COSTS[option], strict=True)},
        float(figures[replaced].mean()),
        float(figures[visits].mean()),
        _odds((np.delete(costs, option, axis=0) > costs[option]).all(axis=0)),
    )


def _ties(costs: Floats) -> tuple[Tie, ...]:
    """What `OptionResult.cheapest` leaves out: no option is given what it shares."""
    best = costs == costs.min(axis=0)
    shared, counts = np.unique(best[:, best.sum(axis=0) > 1], axis=1, return_counts=True)
    found = [
        Tie(
            tuple(option for option in Option if column[option]),
            _odds((best == column[:, np.newaxis]).all(axis=0)),
        )
        for column in shared.T[np.argsort(-counts, kind="stable")]
    ]
    return tuple(found)


def _cheapest(costs: Floats) -> Option | None:
    """The option that costs least on average, if the futures, compared one by one, can tell."""
    best = Option(int(costs.mean(axis=1).argmin()))
    more = [_estimate(costs[option] - costs[best]) for option in Option if option is not best]
    return best if all(it.is_told for it in more) else None


def _compare(
    case: Case, figures: Floats, other: Option, saving: Floats, implementation: Floats
) -> Comparison:
    return Comparison(
        other,
        _estimate(saving),
        _odds(saving > 0),
        float(np.sort(saving)[: ceil(len(saving) * (1 - BEST))].mean()),
        _jackknife(figures, implementation, lambda it, _: _even_frequency(case, it, other)),
        _jackknife(figures, implementation, lambda it, total: _even_implementation(it, total, other)),
        _jackknife(figures, implementation, lambda it, _: _even_volume(it, other)),
    )


def _jackknife(
    figures: Floats, implementation: Floats, found: Callable[[Floats, float], _Crossing]
) -> BreakEven:
    """A function of means, and its standard error from leaving out one twentieth after the other."""
    pays, amount = found(figures.mean(axis=1), float(implementation.mean()))
    size = figures.shape[1] // _GROUPS
    whole, total = figures.sum(axis=1), implementation.sum()
    left = figures.shape[1] - size
    others = []
    for first in range(0, size * _GROUPS, size):
        without = (whole - figures[:, first : first + size].sum(axis=1)) / left
        others.append(found(without, float((total - implementation[first : first + size].sum()) / left)))
    known = np.array([it for side, it in others if side is pays and it is not None])
    if amount is None or len(known) < _GROUPS:
        return BreakEven(pays, amount, None)
    return BreakEven(pays, amount, float(np.sqrt((_GROUPS - 1) * known.var())))


def _fixed(means: Floats, option: Option) -> float:
    return 0.0 if option is Option.REPLACE else float(means[list(COSTS[option][:2])].sum())


def _of_events(means: Floats, option: Option) -> float:
    return float(means[list(COSTS[option][-2:])].sum())


_Crossing: TypeAlias = "tuple[Pays, float | None]"


def _crossing(more: float, saved: float, scale: float) -> _Crossing:
    """Where over the air, which costs so much more beforehand, has saved it again."""
    if more < 0 and saved >= 0:
        return Pays.ALWAYS, None
    if more >= 0 and saved <= 0:
        return Pays.NEVER, None
    return Pays.FROM if saved > 0 else Pays.UP_TO, scale * more / saved


def _even_frequency(case: Case, means: Floats, other: Option) -> _Crossing:
    """All that events cost is in proportion to how often they come, if any came."""
    if not means[Figure.EVENTS]:
        return Pays.UNTOLD, None
    more = _fixed(means, Option.OVER_THE_AIR) - _fixed(means, other)
    saved = _of_events(means, other) - _of_events(means, Option.OVER_THE_AIR)
    return _crossing(more, saved, float(means[Figure.EVENTS]) / case.years)


def _even_implementation(means: Floats, total: float, other: Option) -> _Crossing:
    build = float(means[Figure.BUILD_A])
    spare = _fixed(means, other) + _of_events(means, other)
    spare -= float(means[Figure.RUNNING_A]) + _of_events(means, Option.OVER_THE_AIR)
    if spare < 0:
        return Pays.NEVER, None
    return (Pays.UP_TO, total * spare / build) if build > 0 else (Pays.UNTOLD, None)


def _even_volume(means: Floats, other: Option) -> _Crossing:
    """What Devices cost is in proportion to how many are struck; campaigns and implementation are not.

    An event strikes the Devices of one kind at most: beyond that there is nothing to scale.
    """
    if not means[Figure.STRUCK]:
        return Pays.UNTOLD, None
    campaign, volume = COSTS[other][-2:]
    more = _fixed(means, Option.OVER_THE_AIR) - _fixed(means, other)
    more += float(means[Figure.CAMPAIGN_A] - means[campaign])
    saved = float(means[volume] - means[Figure.VOLUME_A])
    pays, amount = _crossing(more, saved, float(means[Figure.STRUCK]))
    if amount is not None and amount > means[Figure.MEANT]:
        return (Pays.NEVER if pays is Pays.FROM else Pays.ALWAYS), None
    return pays, amount


def _grid(years: int, assumed: float, evens: Sequence[float | None]) -> tuple[float, ...]:
    """Frequencies for the curve: around what is assumed and where it breaks even, two figures each."""
    marks = [max(assumed, 1e-3), *filter(None, evens)]
    low, high = max(min(marks) / 5, 1e-3), min(max(marks) * 5, 52.0, EVENTS_MAX / years)
    points = np.geomspace(low, high, _FREQUENCIES)
    return tuple(dict.fromkeys(round(it, 1 - int(np.floor(log10(it)))) for it in map(float, points)))


def _against(costs: Floats) -> tuple[tuple[Estimate, Estimate], tuple[float, float]]:
    """Against each of the others: what is saved, and in what share of the futures anything is."""
    replacing, hub = _savings(costs).values()
    return (_estimate(replacing), _estimate(hub)), (float((replacing > 0).mean()), float((hub > 0).mean()))


def _at_frequency(frequency: float, costs: Floats) -> AtFrequency:
    return AtFrequency(frequency, *_against(costs))


def _scenario(scenario: Scenario, costs: Floats) -> ScenarioResult:
    return ScenarioResult(scenario, *_against(costs), _cheapest(costs))


def _party(case: Case, figures: Floats, name: str) -> PartyResult:
    costs, savings = (case.assumptions[f"party.{name}.{key}"].law.mean for key in ("costs", "savings"))
    paid = figures[Figure.BUILD_A] + figures[Figure.RUNNING_A]
    saved = figures[list(COSTS[Option.REPLACE])].sum(axis=0) - figures[
        [Figure.CAMPAIGN_A, Figure.VOLUME_A]
    ].sum(axis=0)
    gain = savings * saved - costs * paid
    return PartyResult(name, costs, savings, _estimate(gain), _odds(gain > 0))


def _cumulative(outcomes: Sequence[Outcome], futures: int) -> dict[Option, tuple[float, ...]]:
    profiles = [it.monthly for it in outcomes if it.monthly is not None]
    mean = sum(profiles[1:], profiles[0]) / futures
    return {option: tuple(map(float, np.cumsum(mean[option]))) for option in Option}


def _histogram(saving: Floats) -> tuple[tuple[float, ...], tuple[int, ...]]:
    low, high = np.percentile(saving, (1.0, 99.0))
    least = max(1.0, 1e-6 * max(abs(low), abs(high)))  # futures that differ by less are drawn as one bar
    if high - low < least:
        low, high = low - least, high + least
    counts, edges = np.histogram(saving, 48, (low, high))
    return tuple(map(float, edges)), tuple(map(int, counts))


def fixed(case: Case) -> Case:
    """The case with every input at its mean, but for those that differ from event to event."""
    assumptions = {}
    for key, it in case.assumptions.items():
        law = it.law
        if not it.per_event and not law.is_fixed:
            law = checked("value", (min(max(law.mean, law.low), law.high),), law.low, law.high)
        assumptions[key] = replace(it, law=law)
    for part in ("share", "events"):
        keys = [f"device.{device.name}.{part}" for device in case.devices]
        total = sum(assumptions[key].law.mean for key in keys)
        for key in keys:
            law = assumptions[key].law
            assumptions[key] = replace(assumptions[key], law=replace(law, parameters=(law.mean / total,)))
    return replace(case, assumptions=assumptions)


def _checks(case: Case, seed: int, futures: int, spread: Spread) -> tuple[Check, ...]:
    plain = fixed(case)
    (costs,) = _variants(plain, seed, [()], futures, spread)
    exact = expected_costs(plain)
    found = ((option, _estimate(costs[option])) for option in Option)
    return tuple(Check(option, it.mean, it.error, exact[option]) for option, it in found)
