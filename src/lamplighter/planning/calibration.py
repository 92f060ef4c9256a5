"""Does the band hold the truth as often as it says? Forecast many campaigns, run each, and count.

Each trial is another campaign: plan, fleet and release are drawn from its number. The truth is one course of
it in flow mode, in circumstances that the forecaster does not know; the forecast is an ensemble of others. No
seed is used for both. A `Case` says what the truth is drawn from, and what the forecaster believes. Where the
truth comes from elsewhere, as from the lab's exact mode in scripts/exact_truth.py, `run` is told how.
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter.campaign import plan as plans
from lamplighter.campaign.forecast import departure
from lamplighter.kit import FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, from_iso
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.lab.flow.chance import philox
from lamplighter.planning.assumptions import Assumptions, Range, RegionalLink
from lamplighter.planning.estate import described, procedure_of
from lamplighter.planning.forecast import ensemble, forecast, three
from lamplighter.planning.rehearse import Scene, rehearse
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType
from lamplighter.registry import Cohort, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamplighter.campaign.forecast import Three
    from lamplighter.planning.rehearse import Course

TRIALS: Final = 200
SEED: Final = "calibration 2026-11"
"""The seed that is reported. What was tried while this was written had others."""
MEMBERS: Final = 19
MEMBERS_FEW: Final = 9
GOAL: Final = (0.74, 0.86)

_START: Final = from_iso("2026-01-12T09:00:00Z")
_STEP: Final = HOUR // 2
_LASTS_HELD: Final = 20 * DAY
_REGIONS: Final = tuple(region.value for region in CspRegion)[:6]

_PLAN: Final = """
name = "calibration {number}"
stratify = ["hub_model"]
approvals = 0
lasts = "60d"
batch_max = {batch}
[target]
types = ["{kind}"]
[[wave]]
name = "canary"
share = {canary}
minimum = {minimum}
soak = "{soak}h"
[[wave]]
name = "part"
share = {part}
soak = "{soak}h"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.05
max_failure_rate = 0.25
acceptable_silence_rate = 0.05
max_silence_rate = 0.25
[deadlines]
hub = "{hub}h"
device = "{device}h"
proof = "{proof}h"
[rate]
per_hour = {rate}
{window}
"""
_WINDOW: Final = """
[[window]]
from = "{begins:02d}:00"
to = "{ends:02d}:00"
orders = ["update"]
"""


class Case(NamedTuple):
    """What the truth is, and what the forecaster believes."""

    name: str
    """In the table."""
    truth: Assumptions
    """The circumstances of each truth are drawn from it."""
    belief: Assumptions
    """Those of the forecast's rehearsals from this."""
    trials: int
    """How many campaigns."""
    members: int
    """Rehearsals of each forecast."""
    bad: Range | None = None
    """The share of Devices behind the first model of hub on which the release fails: drawn anew for the truth
    and for each rehearsal. None: it is sound."""


def known(assumptions: Assumptions) -> Assumptions:
    """Each range shrunk to its middle: a forecaster who is sure of what he assumes."""

    def middle(it: Range) -> Range:
        return Range((it.low + it.high) / 2, (it.low + it.high) / 2)

    links = {
        name: RegionalLink(
            it.latency,
            middle(it.octets_per_second),
            it.outage_every,
            middle(it.outage_hours),
            middle(it.coverage),
        )
        for name, it in assumptions.regions.items()
    }
    shares: dict[str, Any] = {
        name: middle(getattr(assumptions, name)) for name in assumptions.__slots__ if name != "regions"
    }
    return Assumptions(links, **shares)


def cases(trials: int = TRIALS) -> tuple[Case, ...]:
    """What is reported."""
    usual = Assumptions()
    fewer = max(1, trials // 4)
    return (
        Case("as assumed", usual, usual, trials, MEMBERS),
        Case("the world is twice as varied as assumed", usual.widened(2), usual, fewer, MEMBERS_FEW),
        Case("the forecaster draws nothing: middle figures", usual, known(usual), fewer, MEMBERS_FEW),
        Case("a release that fails in one stratum", usual, usual, fewer, MEMBERS_FEW, Range(0.3, 0.8)),
    )


MEASURES: Final = (
    "end",
    "last proof",
    "90 % of the proofs",
    "half of the proofs",
    "proven in the end",
    "failures",
)
"""What is forecast and held against the truth; the first is the campaign's completion."""
OF_A_HOLD: Final = "ordered before the hold"
"""Devices of held strata, where a release is bad."""
_BAD: Final = (Manner.NEVER_BOOTS, Manner.NEVER_REPORTS)


def measured(course: Course) -> tuple[int, ...]:
    """One course, by `MEASURES`."""
    return (
        course.end,
        course.when(1.0) or 0,
        course.when(0.9) or 0,
        course.when(0.5) or 0,
        course.reached,
        course.failures,
    )


class Trial(NamedTuple):
    """One campaign, forecast and run."""

    truth: tuple[int, ...]
    """By `MEASURES`."""
    bands: tuple[Three, ...]
    """Likewise."""
    left: bool
    """Whether the truth's curve ever left what an alarm looks at."""
    sure: float
    """With what probability it was to keep to it."""
    held: bool
    """Whether the gate held any stratum in truth."""


def scene(number: int, seed: str) -> Scene:
    """The campaign of one trial."""
    dice = philox(seed, "scene", number)
    kind = DeviceType.PPMID if dice.random() < 0.7 else DeviceType.HCALCS
    homes = int(dice.integers(200, 800))
    models = int(dice.integers(1, 4))
    device = int(dice.integers(48, 120))
    begins = int(dice.integers(6, 12))
    text = _PLAN.format(
        number=number,
        kind=kind.value,
        batch=int(dice.integers(50, 1_000)),
        canary=round(float(dice.uniform(0.02, 0.1)), 3),
        minimum=int(dice.integers(20, 60)),
        part=round(float(dice.uniform(0.2, 0.6)), 3),
        soak=int(dice.integers(0, 25)),
        hub=int(dice.integers(18, 48)),
        device=device,
        proof=device + int(dice.integers(6, 48)),
        rate=int(dice.integers(20, 400)),
        window=_WINDOW.format(begins=begins, ends=begins + int(dice.integers(6, 12)))
        if dice.random() < 0.5
        else "",
    )
    plan = plans.parse(text)
    names = [str(name) for name in dice.permutation(_REGIONS)[: int(dice.integers(1, 4))]]
    devices = {
        Cohort(
            kind, 0x121D, 1, 0x1111, FirmwareVersion(0x0100_0000), DeviceStatus.COMMISSIONED, region=region,
            hub_model=f"CH-{model}",
        ): int(dice.integers(1, 2 * homes // (models * len(names)) + 2))
        for model in range(models)
        for region in names
    }  # fmt: skip
    procedure = procedure_of(plan)
    release = Release(procedure, 0x121D, FirmwareVersion(0x0200_0000), ImageHash(bytes(32)), 0, 0xFFFF, b"")
    octets = int(dice.integers(50_000, 750_000))
    estate = described(plan, release, devices, f"{seed}/{number}")
    return Scene(plan, procedure, octets, estate, Instant(_START + int(dice.integers(0, 168)) * HOUR), _STEP)


def in_flow(number: int, case: Case, seed: str) -> Trial:
    """Forecast one campaign, and run it, both in flow mode."""
    its = scene(number, seed)
    name = f"{seed}/truth/{number}"
    if case.bad is None:
        truth = rehearse(its, case.truth.draw(name), name)
        courses = ensemble(its, case.belief, seed=f"{seed}/forecast/{number}", members=case.members)
        return compare(its, truth, courses)
    # Nobody releases a hold: what stays held is waited for until the plan is over.
    its = replace(its, plan=replace(its.plan, lasts=_LASTS_HELD))
    truth = _spoilt(its, case.truth, case.bad, number, name)
    members = [f"{seed}/forecast/{number}/{member}" for member in range(case.members)]
    courses = [_spoilt(its, case.belief, case.bad, number, each) for each in members]
    return compare(its, truth, courses, [_of_a_hold(course) for course in (truth, *courses)])


def _spoilt(its: Scene, drawn_from: Assumptions, share: Range, number: int, seed: str) -> Course:
    """One course in which the release fails on some Devices behind the first model of hub."""
    behaviour = Behaviour(_BAD[number % len(_BAD)])
    model = its.estate.cohorts[0].hub_model
    bad = {place: behaviour for place, it in enumerate(its.estate.cohorts) if it.hub_model == model}
    return rehearse(
        its, drawn_from.draw(seed), seed, bad=bad, bad_share=share.draw(philox(seed, "bad share"))
    )


def _of_a_hold(course: Course) -> int:
    return sum(held.ordered for held in course.held)


def compare(its: Scene, truth: Course, courses: Sequence[Course], more: Sequence[int] = ()) -> Trial:
    """One truth against one forecast.

    more  one more measure, of the truth and of each course
    """
    made = forecast(its, courses, its.start)
    rows = [measured(course) for course in courses]
    true = measured(truth)
    if more:
        true = (*true, more[0])
        rows = [(*row, one) for row, one in zip(rows, more[1:], strict=True)]
    left = any(
        departure(made, since, proven) is not None
        for since, proven in zip(truth.since.tolist(), truth.proven.tolist(), strict=True)
    )
    return Trial(true, tuple(map(three, zip(*rows, strict=True))), left, made.sure, bool(truth.held))


def _one(number: int, case: Case, seed: str, trial: Callable[[int, Case, str], Trial]) -> Trial:
    return trial(number, case, seed)


def run(
    case: Case,
    seed: str = SEED,
    *,
    workers: int = 1,
    progress: Callable[[int], object] = lambda _: None,
    trial: Callable[[int, Case, str], Trial] = in_flow,
) -> list[Trial]:
    """All trials of a case; the same for any number of worker processes.

    trial  forecasts one campaign, by its number, and runs it
    """
    one = partial(_one, case=case, seed=seed, trial=trial)
    if case.trials < 1:
        raise UsageError("a calibration is of one trial at least")
    found: list[Trial] = []
    if workers <= 1:
        trials: Iterable[Trial] = map(one, range(case.trials))
        for each in trials:
            found.append(each)
            progress(len(found))
        return found
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for each in pool.map(one, range(case.trials)):
            found.append(each)
            progress(len(found))
    return found


class Cover(NamedTuple):
    """How often a band held the truth."""

    measure: str
    trials: int
    within: int
    below: int
    """Truths below the band."""
    above: int
    edges: int
    """Truths within that lie on an edge of the band: where many rehearsals agree to the step, the band holds
    more than its level."""

    @property
    def share(self) -> float:
        """Of the trials."""
        return self.within / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Of a share seen in so many trials: Wilson's interval at 95 %."""
        return wilson(self.within, self.trials)


def cover(trials: Sequence[Trial]) -> list[Cover]:
    """Count, by `MEASURES`."""
    found = []
    for place, name in enumerate((*MEASURES, OF_A_HOLD)[: len(trials[0].truth)]):
        pairs = [(each.truth[place], each.bands[place]) for each in trials]
        below = sum(truth < band.low for truth, band in pairs)
        above = sum(truth > band.high for truth, band in pairs)
        edges = sum(truth in {band.low, band.high} for truth, band in pairs)
        found.append(Cover(name, len(pairs), len(pairs) - below - above, below, above, edges))
    return found


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


# --- what is kept, and shown


def figures(trials: Sequence[Trial]) -> dict[str, Any]:
    """What is kept of a case: all that the tables show."""
    return {
        "trials": len(trials),
        "covers": [[*it] for it in cover(trials)],
        "left": sum(each.left for each in trials),
        "sure": sum(each.sure for each in trials) / len(trials),
        "held": sum(each.held for each in trials),
        "widths": [
            sorted((band.high - band.low) / HOUR for band in (each.bands[place] for each in trials))[
                len(trials) // 2
            ]
            for place in range(4)
        ],
    }


def tables(kept: dict[str, Any]) -> str:
    """The figures as Markdown."""
    parts = []
    for name, it in kept.items():
        rows = []
        for row in it["covers"]:
            found = Cover(*row)
            low, high = found.interval
            rows.append(
                f"| {found.measure} | {found.share:.1%} ({found.within}) | {low:.1%} to {high:.1%} "
                f"| {found.below} | {found.above} |"
            )
        low, high = wilson(it["left"], it["trials"])
        wide, half = it["widths"][0], it["widths"][3]
        parts.append(
            _TABLE.format(
                name=name,
                low=low,
                high=high,
                wide=wide,
                half=half,
                rows="\n".join(rows),
                share=it["left"] / it["trials"],
                due=1 - it["sure"],
                **it,
            )
        )
    return "\n".join(parts)


_TABLE: Final = """\
**{name}**: {trials} campaigns, {members} rehearsals for each forecast, seed `{seed}`.
The gate held a stratum in {held} of them.

| what | within the 80 % band | 95 % interval | below | above |
|---|---|---|---|---|
{rows}

An alarm was raised at any time in {left} of them, {share:.1%} ({low:.1%} to {high:.1%}); {due:.1%} are to be
expected. The band of the end is {wide:.0f} h wide in the middle of all campaigns, that of half of the proofs
{half:.0f} h.
"""
