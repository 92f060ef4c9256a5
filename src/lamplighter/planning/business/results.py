"""Results: a case worked through, and every figure that the report shows.

The case itself is worked for all futures. What is changed for a purpose, an input at one end or a scenario,
is worked for the first `VARIANT_FUTURES` of the same futures, so that it differs by that change and nothing
else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import ceil, log10, sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lamplighter.kit import UsageError
from lamplighter.planning.business import value as knowing
from lamplighter.planning.business.closed import expected_costs
from lamplighter.planning.business.draws import BLOCK, SEED_MAX, Floats, constants
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


class Odds(NamedTuple):
    """How many futures of all."""

    share: float
    low: float
    """Wilson's interval, 95 %: what more futures could make of it."""
    high: float


class BreakEven(NamedTuple):
    """Where two options cost the same on average, all else as it is; None: nowhere."""

    amount: float | None
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
    """How often it is the cheapest of all."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Over the air against another option."""

    other: Option
    saving: Estimate
    """What the other costs more; the net present value of over the air."""
    cheaper: Odds
    """How often over the air costs less."""
    frequency: BreakEven
    """Must-fix events a year."""
    implementation: BreakEven
    """Implementation cost of over the air, final, undiscounted."""
    volume: BreakEven
    """Devices struck over the horizon."""


class AtFrequency(NamedTuple):
    """What happens at one frequency of must-fix events."""

    frequency: float
    saving: Estimate
    """Against replacing."""
    cheaper: tuple[float, float]
    """Share of futures in which over the air costs less than replacing, than fixing the hub."""


class Swing(NamedTuple):
    """What one uncertain input does to the mean saving against replacing."""

    key: str
    values: tuple[float, float]
    """Its 10th and 90th percentile."""
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
    savings: tuple[float, float]
    """Mean saving against replacing, against fixing the hub."""
    cheaper: tuple[float, float]
    """Share of futures in which over the air costs less."""


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
    implementation: Estimate
    """Implementation cost of over the air, final, undiscounted."""
    options: tuple[OptionResult, ...]
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
    """Edges and counts of the saving against replacing, the outermost hundredths cut off."""
    checks: tuple[Check, ...]

    def against(self, other: Option) -> Comparison:
        """The comparison with one of `OTHERS`."""
        return next(it for it in self.comparisons if it.other is other)

    @property
    def paid_back(self) -> int | None:
        """Months until over the air has cost less than replacing, on average and for good; None: never."""
        ahead = np.subtract(self.cumulative[Option.REPLACE], self.cumulative[Option.OVER_THE_AIR]) >= 0
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
    outcomes = list(spread.map(partial(_whole, case, seed), range(ceil(futures / BLOCK))))
    figures = np.concatenate([it.figures for it in outcomes], axis=1)[:, :futures]
    costs = _costs(figures)
    drawn = _inputs(case, seed, futures)
    savings = {other: costs[other] - costs[Option.OVER_THE_AIR] for other in OTHERS}
    implementation = _product(case, seed, futures)

    sample = min(futures, VARIANT_FUTURES)
    ends = {key: tuple(map(float, np.percentile(drawn[key], _ENDS))) for key in case.uncertain}
    comparisons = tuple(_compare(case, figures, other, savings[other], implementation) for other in OTHERS)
    grid = _grid(case, comparisons[0].frequency.amount, figures)
    variants: list[Variant] = [
        *(((key, "set", end),) for key in case.uncertain for end in ends[key]),
        *((("events.frequency", "set", frequency),) for frequency in grid),
        *(it.changes for it in case.scenarios),
    ]
    found = iter(_variants(case, seed, variants, sample, spread))
    swings = [Swing(key, ends[key], (_saved(next(found)), _saved(next(found)))) for key in case.uncertain]  # type: ignore[arg-type] # two ends
    at_frequency = tuple(_at_frequency(frequency, next(found)) for frequency in grid)
    scenarios = tuple(_scenario(it, next(found)) for it in case.scenarios)
    values = [(key, knowing.partial(costs, drawn[key], key, seed)) for key in case.uncertain]
    return Study(
        case=case,
        seed=seed,
        futures=futures,
        events=_estimate(figures[Figure.EVENTS]),
        struck=_estimate(figures[Figure.STRUCK]),
        implementation=_estimate(implementation),
        options=tuple(_option(figures, costs, option) for option in Option),
        comparisons=comparisons,
        frequencies=at_frequency,
        swings=tuple(sorted(swings, key=lambda it: -it.width)),
        perfect=knowing.perfect(costs),
        values=tuple(sorted(values, key=lambda it: -it[1].amount)),
        scenarios=scenarios,
        parties=tuple(_party(case, figures, name) for name in case.parties),
        cumulative=_cumulative(outcomes),
        histogram=_histogram(savings[Option.REPLACE]),
        checks=_checks(case, seed, sample, spread),
    )


def _whole(case: Case, seed: int, block: int) -> Outcome:
    return evaluate(case, (), seed, block, monthly=True)


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


def _inputs(case: Case, seed: int, futures: int) -> dict[str, Floats]:
    """What was drawn for each uncertain input: drawn again, which is quicker than to send it."""
    blocks = [constants(case, (), seed, block) for block in range(ceil(futures / BLOCK))]
    return {
        key: np.concatenate([np.broadcast_to(it[key], BLOCK) for it in blocks])[:futures]
        for key in case.uncertain
    }


def _product(case: Case, seed: int, futures: int) -> Floats:
    parts = []
    for block in range(ceil(futures / BLOCK)):
        known = constants(case, (), seed, block)
        total = known["over_the_air.first_estimate"] * known["over_the_air.growth"]
        parts.append(np.broadcast_to(total, BLOCK))
    return np.concatenate(parts)[:futures]


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
        _odds(costs.argmin(axis=0) == option),
    )


def _compare(
    case: Case, figures: Floats, other: Option, saving: Floats, implementation: Floats
) -> Comparison:
    return Comparison(
        other,
        _estimate(saving),
        _odds(saving > 0),
        _jackknife(figures, implementation, lambda it, _: _even_frequency(case, it, other)),
        _jackknife(figures, implementation, lambda it, total: _even_implementation(it, total, other)),
        _jackknife(figures, implementation, lambda it, _: _even_volume(it, other)),
    )


def _jackknife(
    figures: Floats, implementation: Floats, found: Callable[[Floats, float], float | None]
) -> BreakEven:
    """A function of means, and its standard error from leaving out one twentieth after the other."""
    amount = found(figures.mean(axis=1), float(implementation.mean()))
    size = figures.shape[1] // _GROUPS
    whole, total = figures.sum(axis=1), implementation.sum()
    left = figures.shape[1] - size
    others = []
    for first in range(0, size * _GROUPS, size):
        without = (whole - figures[:, first : first + size].sum(axis=1)) / left
        others.append(found(without, float((total - implementation[first : first + size].sum()) / left)))
    known = np.array([it for it in others if it is not None])
    if amount is None or len(known) < _GROUPS:
        return BreakEven(amount, None)
    return BreakEven(amount, float(np.sqrt((_GROUPS - 1) * known.var())))


def _fixed(means: Floats, option: Option) -> float:
    return 0.0 if option is Option.REPLACE else float(means[list(COSTS[option][:2])].sum())


def _of_events(means: Floats, option: Option) -> float:
    return float(means[list(COSTS[option][-2:])].sum())


def _even_frequency(case: Case, means: Floats, other: Option) -> float | None:
    """All that events cost is in proportion to how often they come."""
    more = _fixed(means, Option.OVER_THE_AIR) - _fixed(means, other)
    saved = _of_events(means, other) - _of_events(means, Option.OVER_THE_AIR)
    if saved <= 0 or more < 0:
        return None
    return float(means[Figure.EVENTS]) / case.years * more / saved


def _even_implementation(means: Floats, total: float, other: Option) -> float | None:
    build = float(means[Figure.BUILD_A])
    spare = _fixed(means, other) + _of_events(means, other)
    spare -= float(means[Figure.RUNNING_A]) + _of_events(means, Option.OVER_THE_AIR)
    return total * spare / build if build > 0 and spare >= 0 else None


def _even_volume(means: Floats, other: Option) -> float | None:
    """What Devices cost is in proportion to how many are struck; campaigns and implementation are not."""
    campaign, volume = COSTS[other][-2:]
    more = _fixed(means, Option.OVER_THE_AIR) - _fixed(means, other)
    more += float(means[Figure.CAMPAIGN_A] - means[campaign])
    saved = float(means[volume] - means[Figure.VOLUME_A])
    return float(means[Figure.STRUCK]) * more / saved if saved > 0 and more >= 0 else None


def _grid(case: Case, even: float | None, figures: Floats) -> tuple[float, ...]:
    """Frequencies for the curve: around what is assumed and where it breaks even, two figures each."""
    assumed = max(float(figures[Figure.EVENTS].mean()) / case.years, 1e-3)
    marks = [assumed] + ([even] if even else [])
    low, high = max(min(marks) / 5, 1e-3), min(max(marks) * 5, 52.0)
    points = np.geomspace(low, high, _FREQUENCIES)
    return tuple(dict.fromkeys(round(it, 1 - int(np.floor(log10(it)))) for it in map(float, points)))


def _saved(costs: Floats) -> float:
    return float((costs[Option.REPLACE] - costs[Option.OVER_THE_AIR]).mean())


def _cheaper(costs: Floats) -> tuple[float, float]:
    first, second = (float((costs[Option.OVER_THE_AIR] < costs[other]).mean()) for other in OTHERS)
    return first, second


def _at_frequency(frequency: float, costs: Floats) -> AtFrequency:
    saving = costs[Option.REPLACE] - costs[Option.OVER_THE_AIR]
    return AtFrequency(frequency, _estimate(saving), _cheaper(costs))


def _scenario(scenario: Scenario, costs: Floats) -> ScenarioResult:
    against_hub = float((costs[Option.HUB] - costs[Option.OVER_THE_AIR]).mean())
    return ScenarioResult(scenario, (_saved(costs), against_hub), _cheaper(costs))


def _party(case: Case, figures: Floats, name: str) -> PartyResult:
    costs, savings = (case.assumptions[f"party.{name}.{key}"].law.mean for key in ("costs", "savings"))
    paid = figures[Figure.BUILD_A] + figures[Figure.RUNNING_A]
    saved = figures[list(COSTS[Option.REPLACE])].sum(axis=0) - figures[
        [Figure.CAMPAIGN_A, Figure.VOLUME_A]
    ].sum(axis=0)
    gain = savings * saved - costs * paid
    return PartyResult(name, costs, savings, _estimate(gain), _odds(gain > 0))


def _cumulative(outcomes: Sequence[Outcome]) -> dict[Option, tuple[float, ...]]:
    profiles = [it.monthly for it in outcomes if it.monthly is not None]
    mean = sum(profiles[1:], profiles[0]) / (BLOCK * len(profiles))
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
