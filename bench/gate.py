"""Devices harmed by bad firmware in a stratum of 2 %, before it is held: our gate, and what others do.

A fleet of 50,000 Devices in 100 strata of very different sizes gets an update in four waves, so many Devices
an hour. 1 % of the updates fail everywhere. In one stratum the new firmware is bad and harms 100 %, 30 % or
10 % of the Devices that get it; half of those say so, half are never heard of again. Outcomes come after
hours, sleepers' after days, refusals at once, and silence is known when its deadline passes. Devices that are
in flight when a hold falls are harmed, too.

Ours asks `campaign.gates.verdict` for each stratum. The rivals are two rules in wide use, each as it is (over
the whole wave or campaign) and with our strata for its groups. All see every outcome as soon as it comes, and
all count silence:

    percent of group      hold where failed / all Devices of the group's wave reaches a threshold, as hawkBit
    percent of executed   hold where failed / those with an outcome does, from a minimum on, as AWS IoT jobs

and their next wave opens where 90 % of those ordered so far have succeeded. A campaign that stalls there
counts as held. The threshold of each rule is set so that at most 1 % of good campaigns (on other seeds) are
held or stall anywhere.

The figure is the least of the ratios, over the three kinds of bad firmware and all rivals, of the Devices
that the rival's rule harms to those that ours does. Each round is a part of the same 200 seeds.
`python -m bench.gate` prints the table.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter.campaign.gates import Gate, Outcomes, Ruling, verdict, wanting

if TYPE_CHECKING:
    from collections.abc import Callable

    Events = defaultdict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]

NAME: Final = "Devices harmed before the hold, best rival rule / our gate, at equal false holds"
GOAL: Final = 1.0

SEEDS: Final = 200
CALIBRATION: Final = 400
"""Good campaigns, on seeds of their own."""
FALSE_HOLDS: Final = 0.01
"""Of campaigns."""

DEVICES: Final = 50_000
STRATA: Final = 100
BAD: Final = 1000
"""Devices in the bad stratum: 2 %."""
SHARES: Final = (0.01, 0.1, 0.5, 1.0)
MINIMUM: Final = (50, 50, 50, 50)
"""Of each stratum, by the end of each wave."""
HARMFUL: Final = (1.0, 0.3, 0.1)
BASELINE: Final = 0.01

TICK_HOURS: Final = 2
PER_TICK: Final = 600
DEADLINE: Final = 36
"""Ticks until silence is known."""
TICKS_MAX: Final = 500

PROVEN, FAILED, SILENT = range(3)
GROUP_FIRST: Final = 5
"""Devices of a stratum's first group, and each next one holds twice as many, as the policy has it."""
GROUPS: Final = 15
NEEDED_MAX: Final = 300


@dataclass
class World:
    """Many campaigns at once: what will become of each Device, whoever orders it."""

    sizes: np.ndarray  # [campaign, stratum]
    begin: np.ndarray  # [campaign, stratum]: first Device
    kind: np.ndarray  # [Device]
    delay: np.ndarray  # [Device], ticks
    harmed: np.ndarray  # [Device]

    @classmethod
    def draw(cls, seeds: range, harm: float) -> World:
        sizes, kinds, delays, harms = [], [], [], []
        for seed in seeds:
            rng = np.random.default_rng([seed, 4])
            weights = np.exp(rng.normal(0, 1.5, STRATA - 1))
            rest = np.maximum(5, (weights / weights.sum() * (DEVICES - BAD)).astype(int))
            size = np.array([BAD, *rest])
            count = size.sum()
            bad = (rng.random(count) < harm) & (np.arange(count) < BAD)
            chance = rng.random(count)
            usual = chance < BASELINE
            share = chance / BASELINE
            kind = np.full(count, PROVEN, np.uint8)
            kind[usual] = np.where(share[usual] < 0.4, SILENT, FAILED)
            kind[bad] = np.where(rng.random(bad.sum()) < 0.5, SILENT, FAILED)
            hours = np.exp(rng.normal(np.log(4), 1.0, count))
            sleeping = rng.random(count) < 0.05
            hours = np.where(sleeping, rng.uniform(12, 60, count), hours)
            hours[usual & ~bad & (share > 0.8)] = 0.0  # refused at once
            delay = np.clip(np.ceil(hours / TICK_HOURS), 1, DEADLINE - 1)
            delay[kind == SILENT] = DEADLINE
            sizes.append(size)
            kinds.append(kind)
            delays.append(delay.astype(np.uint8))
            harms.append(bad)
        table = np.array(sizes)
        begin = np.concatenate([[0], table.ravel().cumsum()[:-1]]).reshape(table.shape)
        return cls(table, begin, *map(np.concatenate, (kinds, delays, harms)))


@dataclass
class State:
    """Where many campaigns are."""

    world: World
    ends: np.ndarray  # [wave, campaign, stratum]: Devices ordered by the end of the wave
    ordered: np.ndarray = field(init=False)  # [campaign, stratum]
    wave: np.ndarray = field(init=False)  # [campaign, stratum]
    held: np.ndarray = field(init=False)  # [campaign, stratum]
    counts: np.ndarray = field(init=False)  # [campaign, stratum, group, kind]
    in_group: np.ndarray = field(init=False)  # [campaign, stratum, group]: ordered
    in_wave: np.ndarray = field(init=False)  # [campaign, stratum, wave, kind]
    lent: np.ndarray = field(init=False)  # [campaign, stratum]: Devices that may be ordered before their wave

    def __post_init__(self) -> None:
        shape = self.world.sizes.shape
        self.ordered, self.wave = np.zeros(shape, int), np.zeros(shape, int)
        self.held = np.zeros(shape, bool)
        self.counts = np.zeros((*shape, GROUPS, 3), int)
        self.in_group = np.zeros((*shape, GROUPS), int)
        self.in_wave = np.zeros((*shape, len(SHARES), 3), int)
        self.lent = np.zeros(shape, int)

    def end(self, wave: np.ndarray) -> np.ndarray:
        return np.asarray(np.take_along_axis(self.ends, wave[None], 0)[0])


class Rule:
    """When to hold, and when the next wave opens; `scores` are what its threshold is calibrated against."""

    advance = 0.9

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def look(self, state: State, _changed: np.ndarray) -> np.ndarray:
        """The score of each stratum, or of each campaign in column 0."""
        raise NotImplementedError

    def limit(self, state: State) -> np.ndarray:
        """How many Devices of each stratum may be ordered."""
        return state.end(state.wave)

    def open(self, state: State) -> None:
        raise NotImplementedError


class PerStratum(Rule):
    """A rival with our strata as its groups."""

    def open(self, state: State) -> None:
        proven = state.counts[..., PROVEN].sum(2)
        here = state.end(state.wave)
        done = (state.ordered >= here) & (proven >= self.advance * here)
        state.wave += done & (state.wave < len(SHARES) - 1)


class Whole(Rule):
    """A rival as it is: all strata are one group."""

    def open(self, state: State) -> None:
        proven = state.counts[..., PROVEN].sum((1, 2))
        here = state.end(state.wave)
        done = (state.ordered >= here).all(1) & (proven >= self.advance * here.sum(1))
        state.wave += (done & (state.wave[:, 0] < len(SHARES) - 1))[:, None]


class GroupStratum(PerStratum):
    def look(self, state: State, _changed: np.ndarray) -> np.ndarray:
        sizes = np.diff(state.ends, axis=0, prepend=0)
        failed = state.in_wave[..., FAILED] + state.in_wave[..., SILENT]
        return np.asarray((failed / np.maximum(np.moveaxis(sizes, 0, 2), 1)).max(2))


class GroupWhole(Whole):
    def look(self, state: State, _changed: np.ndarray) -> np.ndarray:
        sizes = np.diff(state.ends, axis=0, prepend=0).sum(2).T
        failed = (state.in_wave[..., FAILED] + state.in_wave[..., SILENT]).sum(1)
        return np.asarray((failed / np.maximum(sizes, 1)).max(1)[:, None])


class ExecutedStratum(PerStratum):
    def __init__(self, threshold: float, minimum: int) -> None:
        super().__init__(threshold)
        self.minimum = minimum

    def look(self, state: State, _changed: np.ndarray) -> np.ndarray:
        executed = state.counts.sum((2, 3))
        failed = executed - state.counts[..., PROVEN].sum(2)
        return np.where(executed >= self.minimum, failed / np.maximum(executed, 1), 0.0)


class ExecutedWhole(Whole):
    def __init__(self, threshold: float, minimum: int) -> None:
        super().__init__(threshold)
        self.minimum = minimum

    def look(self, state: State, _changed: np.ndarray) -> np.ndarray:
        executed = state.counts.sum((1, 2, 3))
        failed = executed - state.counts[..., PROVEN].sum((1, 2))
        return np.where(executed >= self.minimum, failed / np.maximum(executed, 1), 0.0)[:, None]


class Ours(Rule):
    """`gates.verdict` for each stratum: HOLD holds, PASS opens the next wave, WAIT lends from it."""

    def __init__(self, threshold: float, gate: Gate) -> None:
        super().__init__(threshold)
        # The threshold is log10 of 1/alpha.
        self.gate = replace(gate, false_hold_rate=float(np.clip(10.0**-threshold, 1e-300, 0.5)))
        self.passed: list[tuple[int, int]] = []

    def groups(self, state: State, at: tuple[int, int]) -> list[Outcomes]:
        ordered = state.in_group[at]
        last = int(np.count_nonzero(ordered))
        return [
            Outcomes(proven, failed, silent, count - proven - failed - silent)
            for (proven, failed, silent), count in zip(
                state.counts[at][:last].tolist(), ordered[:last].tolist(), strict=True
            )
        ]

    def look(self, state: State, changed: np.ndarray) -> np.ndarray:
        scores = np.zeros(state.held.shape)
        self.passed = []
        proven = state.counts[..., PROVEN].sum(2)
        failures = state.counts.sum((2, 3)) - proven
        asks = (state.ordered >= self.limit(state)) & (state.ordered < state.world.sizes)
        # Where the gate would say WAIT and want nothing, it need not be asked, which saves most of the time.
        passes = asks & (state.ordered >= needed(self.gate, state.ordered - proven))
        # The policy lends from the next wave once nothing of this one is in flight.
        lends = asks & (state.ordered == proven + failures) & (state.ordered < needed(self.gate, failures))
        for at in map(tuple, np.argwhere((changed | passes | lends) & ~state.held)):
            found = verdict(self.gate, self.groups(state, at))
            if found.total.resolved >= self.gate.minimum_sample:
                scores[at] = found.harm
            if asks[at] and found.ruling is Ruling.PASS:
                self.passed.append(at)
            elif lends[at] and found.ruling is Ruling.WAIT:
                state.lent[at] = max(
                    int(state.lent[at]), int(state.ordered[at]) + wanting(self.gate, found.total)
                )
        return scores

    def limit(self, state: State) -> np.ndarray:
        return np.asarray(np.minimum(np.maximum(state.end(state.wave), state.lent), state.world.sizes))

    def open(self, state: State) -> None:
        for at in self.passed:
            state.wave[at] += 1


def needed(gate: Gate, bad: np.ndarray) -> np.ndarray:
    """How many Devices must be ordered for a PASS, with so many failures among them; for many, a few less."""
    table = _needed(gate)
    more = (bad - NEEDED_MAX) / gate.max_failure_rate
    return np.asarray(np.where(bad <= NEEDED_MAX, table[np.minimum(bad, NEEDED_MAX)], table[-1] + more))


@cache
def _needed(gate: Gate) -> np.ndarray:
    return np.array([bad + wanting(gate, Outcomes(failed=bad)) for bad in range(NEEDED_MAX + 1)])


@dataclass
class Course:
    """How many campaigns went."""

    score: np.ndarray
    """The highest score of each campaign."""
    stopped: np.ndarray
    """Whether each was held anywhere, or stalled."""
    harmed: np.ndarray
    """Devices that the bad firmware harmed, in each."""
    behind: np.ndarray
    """Devices of good strata that were left without the update, in each."""
    ticks: float
    """Until the last order, on average."""


def run(world: World, rule: Rule) -> Course:
    """Campaigns from their first order to their last outcome."""
    sizes = world.sizes
    floors = [
        np.minimum(sizes, np.maximum(np.ceil(share * sizes), least))
        for share, least in zip(SHARES, MINIMUM, strict=True)
    ]
    state = State(world, np.array(floors).astype(int))
    campaigns = len(sizes)
    events: Events = defaultdict(list)
    score = np.zeros(campaigns)
    last = np.zeros(campaigns)
    quiet = 0
    for tick in range(TICKS_MAX):
        changed = np.zeros(sizes.shape, bool)
        for cell, group_kind, wave_kind in events.pop(tick, ()):
            np.add.at(state.counts.reshape(-1), group_kind, 1)
            np.add.at(state.in_wave.reshape(-1), wave_kind, 1)
            changed.reshape(-1)[cell[group_kind % 3 != PROVEN]] = True
        scores = rule.look(state, changed)
        score = np.maximum(score, scores.max(1))
        state.held |= scores >= rule.threshold
        rule.open(state)
        wish = np.where(state.held, 0, np.maximum(rule.limit(state) - state.ordered, 0))
        total = wish.sum(1, keepdims=True)
        take = np.ceil(wish * np.minimum(1, PER_TICK / np.maximum(total, 1))).astype(int)
        if not take.any():
            quiet += 1
            if quiet > DEADLINE + 1 and not events:
                break
            continue
        quiet = 0
        last[take.any(1)] = tick
        order(state, take, tick, events)
    at_bad = np.arange(campaigns)
    harmed = np.add.reduceat(
        world.harmed
        & (
            np.arange(len(world.harmed)) - np.repeat(world.begin[:, 0], sizes.sum(1))
            < np.repeat(state.ordered[at_bad, 0], sizes.sum(1))
        ),
        world.begin[:, 0],
    )
    left = state.world.sizes - state.ordered
    return Course(
        score, (left > 0).any(1) | state.held.any(1), harmed, left[:, 1:].sum(1), float(last.mean())
    )


def order(state: State, take: np.ndarray, tick: int, events: Events) -> None:
    """Order Devices, and note when what will be heard of them."""
    flat = take.ravel()
    cell = np.repeat(np.arange(flat.size), flat)
    within = np.arange(flat.sum()) - np.repeat(flat.cumsum() - flat, flat)
    place = within + state.ordered.ravel()[cell]
    device = place + state.world.begin.ravel()[cell]
    group = np.log2(place / GROUP_FIRST + 1).astype(int)
    wave = (place[None] >= state.ends.reshape(len(SHARES), -1)[:, cell]).sum(0)
    np.add.at(state.in_group.reshape(-1), cell * GROUPS + group, 1)
    state.ordered += take
    kind, delay = state.world.kind[device], state.world.delay[device]
    group_kind, wave_kind = (cell * GROUPS + group) * 3 + kind, (cell * len(SHARES) + wave) * 3 + kind
    by = np.argsort(delay, kind="stable")
    edges = np.flatnonzero(np.diff(delay[by], prepend=-1, append=255))
    for first, end in pairwise(edges):
        part = by[first:end]
        events[tick + int(delay[part[0]])].append((cell[part], group_kind[part], wave_kind[part]))


RIVALS: Final[dict[str, Callable[[float], Rule]]] = {
    "percent of group, whole wave": GroupWhole,
    "percent of group, by stratum": GroupStratum,
    "percent of executed, whole campaign, 1000 at least": partial(ExecutedWhole, minimum=1000),
    "percent of executed, by stratum, 10 at least": partial(ExecutedStratum, minimum=10),
    "percent of executed, by stratum, 20 at least": partial(ExecutedStratum, minimum=20),
    "percent of executed, by stratum, 40 at least": partial(ExecutedStratum, minimum=40),
}
OURS: Final = "our gate"
RULES: Final[dict[str, Callable[[float], Rule]]] = {OURS: partial(Ours, gate=Gate()), **RIVALS}


@dataclass
class Line:
    """One rule's part of the table."""

    threshold: float
    good: Course
    """The calibration campaigns."""
    held: int
    """How many of them are held or stall."""
    courses: dict[float, Course]
    """By the probability of harm."""


def calibrate(rule: Callable[[float], Rule]) -> tuple[float, Course, int]:
    """The threshold at which 1 % of good campaigns are held or stall, or a few less."""
    # Until a hold falls a campaign goes alike whatever the threshold, so that its highest score says enough.
    good = run(World.draw(range(10_000, 10_000 + CALIBRATION), 0.0), rule(np.inf))
    allowed = int(FALSE_HOLDS * CALIBRATION) - int(good.stopped.sum())
    if allowed < 0:
        return np.inf, good, int(good.stopped.sum())
    scores = np.sort(np.where(good.stopped, 0.0, good.score))[::-1]
    threshold = float(scores[allowed]) + 1e-9
    return threshold, good, int(((good.score >= threshold) | good.stopped).sum())


def measure() -> dict[str, Line]:
    """Every rule, calibrated and then let loose on the same bad firmware."""
    worlds = {harm: World.draw(range(SEEDS), harm) for harm in HARMFUL}
    lines = {}
    for name, rule in RULES.items():
        print(f"  {name} ...", file=sys.stderr, flush=True)
        threshold, good, held = calibrate(rule)
        lines[name] = Line(
            threshold, good, held, {harm: run(world, rule(threshold)) for harm, world in worlds.items()}
        )
    return lines


def rounds(count: int) -> list[float]:
    """The least ratio, of each part of the seeds."""
    lines = measure()
    parts = np.array_split(np.arange(SEEDS), count)
    return [
        min(
            float(
                lines[rival].courses[harm].harmed[part].mean() / lines[OURS].courses[harm].harmed[part].mean()
            )
            for rival in RIVALS
            for harm in HARMFUL
        )
        for part in parts
    ]


def table(lines: dict[str, Line]) -> str:
    """For people."""
    head = f"{'Devices harmed, mean (95th percentile)':<52}" + "".join(f"{harm:>15.0%}" for harm in HARMFUL)
    text = [head + f"{'good ones kept':>16}{'days':>6}{'false':>7}{'threshold':>11}"]
    for name, line in lines.items():
        harmed = [line.courses[harm].harmed for harm in HARMFUL]
        cells = "".join(f"{it.mean():>9.1f} ({np.percentile(it, 95):.0f})".rjust(15) for it in harmed)
        kept = np.mean([line.courses[harm].behind.mean() for harm in HARMFUL])
        days = line.good.ticks * TICK_HOURS / 24
        false = line.held / CALIBRATION
        text.append(f"{name:<52}{cells}{kept:>16,.0f}{days:>6.1f}{false:>7.1%}{line.threshold:>11.4f}")
    text += [
        "",
        f"{SEEDS} seeds; {BAD} Devices in the bad stratum, of {DEVICES}; good ones kept: others held back;",
        "days: to the last order of a good campaign; false: good campaigns held; ours: log10(1/alpha)",
    ]
    return "\n".join(text)


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("usage: python -m bench.gate; for the ratio, python -m bench --only gate")
    print(table(measure()))
