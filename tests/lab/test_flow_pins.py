"""Flow mode pinned to exact mode: the same network, the same faults, the same stages, and two samples.

Each case lets HOMES homes live in exact mode and FLEET of them in flow mode, and compares, for every stage,
the seconds from the order until the Supplier hears of it; "never" is the longest of all times, so that how
often a stage is not reached is compared as well; and so is the share of Devices that in truth run the new
image, another version, firmware that never speaks, or what they ran before. The test is that of Kolmogorov
and Smirnov in two samples, with two tolerances: flow's distribution may be shifted by SLACK (a constant, and
a share of the time), and the distance that is left may be DISTANCE at most.

Power: with 40 against 20,000, two samples of one distribution are further apart than 0.30 in fewer than two
comparisons of a thousand (2 exp(-2 n d^2), n = 40). A stage whose distribution is really 0.55 away is found
with a probability above 0.99, one 0.45 away with 0.97 (the standard error of a share of 40 is at most 0.08).
What is certain in a perfect network, such as each stage's time, is held to SLACK alone. Seeds are fixed, so
that a comparison that holds today holds tomorrow. `make long` takes four times as many homes, at 0.16.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.lab import han
from lamplighter.lab.faults import FAULTS, Scheduled
from lamplighter.lab.flow import NEVER, TICK, Fleet, Flow, Kind, Load, Mix, Outcome, Settings, Stage
from lamplighter.lab.homes import START, Estate
from lamplighter.lab.hub import Settings as HubSettings
from lamplighter.lab.wan import Link
from lamplighter.protocol.duis import CspRegion, DeviceType

from .exactly import SETTLES, Exact

HOMES = 40
FLEET = 20_000
DISTANCE = 0.30
SLACK = 0.3, 0.01  # seconds, and share of the time
NOW = Instant(START + SETTLES)
KINDS = {DeviceType.PPMID: Kind.PPMID, DeviceType.HCALCS: Kind.HCALCS}
PPMID, HCALCS = KINDS
OTHER_VERSION = "0BAD0000"


@dataclass(frozen=True)
class Case:
    kinds: tuple[DeviceType, ...] = (PPMID,)
    link: Link = field(default_factory=Link)
    quality: han.Quality = field(default_factory=han.Quality)
    interference: han.Interference = field(default_factory=han.Interference)
    faults: tuple[Scheduled, ...] = ()
    later: int | None = None
    forge: bool = False
    sleepers: float = 0.0
    old_hardware: float = 0.0
    hub: HubSettings = field(default_factory=HubSettings)
    days: int = 20


def fault(name: str, start: int = 0, end: int | None = None, probability: float = 1.0, **parameters) -> tuple:
    """One fault, from `start` after the order to `end`."""
    until = Instant(1 << 62) if end is None else Instant(NOW + end)
    return (Scheduled(name, Instant(NOW + start), until, frozenset(), probability, parameters),)


LOSSY = han.Quality(loss=0.03, duplication=0.02, lateness=0.05)
SLOW = Link(octets_per_second=100)

CASES = {
    "a perfect network, 11.4": Case(),
    "a perfect network, 11.1 and 11.3": Case((HCALCS,)),
    "activation for later": Case((HCALCS,), later=6 * HOUR),
    "losses, 11.4": Case(quality=LOSSY),
    "losses, 11.1 and 11.3": Case((HCALCS,), quality=LOSSY),
    "two Devices behind each hub": Case((PPMID, HCALCS), quality=LOSSY),
    "interference": Case(quality=LOSSY, interference=han.Interference(2 * MINUTE, 8 * SECOND)),
    "links that break": Case(link=Link(outage_pause=HOUR, outage_length=HOUR // 2)),
    "hubs out of coverage": Case(link=Link(coverage=0.5)),
    "PPMIDs that sleep": Case(sleepers=1.0),
    "PPMIDs that sleep badly": Case(quality=LOSSY, sleepers=0.5),
    "hardware of another version": Case(old_hardware=0.5),
    "a minimum block period": Case((HCALCS,), hub=HubSettings(block_period=100)),
    "a signature that is not the Supplier's": Case((HCALCS,), forge=True),
    "lost-alert": Case(faults=fault("lost-alert", probability=0.4)),
    "lost-alert of an HCALCS": Case((HCALCS,), faults=fault("lost-alert", probability=0.4)),
    "lost-alert on the way to the User": Case(faults=fault("lost-alert", probability=0.4, leg="user")),
    "duplicated-alert": Case(faults=fault("duplicated-alert", probability=0.5, leg="user")),
    "delayed-alert": Case(faults=fault("delayed-alert", probability=0.5, leg="user", days=2)),
    "reordered-alerts": Case(faults=fault("reordered-alerts", leg="user")),
    "hub-swap in the crossing": Case(link=SLOW, faults=fault("hub-swap", 10 * SECOND, probability=0.5)),
    "hub-swap in the transfer": Case(faults=fault("hub-swap", 6 * SECOND, probability=0.5)),
    "ppmid-unplugged": Case(faults=fault("ppmid-unplugged", 4 * SECOND, 3 * DAY, 0.5)),
    "ppmid-unplugged for a week": Case(faults=fault("ppmid-unplugged", 4 * SECOND, 8 * DAY, 0.5)),
    "hub-discards-image": Case(quality=LOSSY, faults=fault("hub-discards-image", 0, HOUR, every=1)),
    "bricking-firmware": Case(faults=fault("bricking-firmware")),
    "bricking-firmware of an HCALCS": Case((HCALCS,), faults=fault("bricking-firmware")),
    "wrong-version-firmware": Case(faults=fault("wrong-version-firmware", version=OTHER_VERSION)),
    "alert-storm-firmware": Case(faults=fault("alert-storm-firmware", alerts=20)),
    "dcc-outage": Case(faults=fault("dcc-outage", 6 * SECOND, 2 * HOUR)),
    "endpoint-down": Case(faults=fault("endpoint-down", 6 * SECOND, 2 * HOUR)),
    "clock-skew": Case((HCALCS,), later=6 * HOUR, faults=fault("clock-skew", 0, None, 0.5)),
    "corrupt-block": Case(faults=fault("corrupt-block", probability=0.01)),
    "corrupt-block of an HCALCS": Case((HCALCS,), faults=fault("corrupt-block", probability=0.01)),
    "wrong-hash": Case(faults=fault("wrong-hash")),
    "slow-region": Case(faults=fault("slow-region", probability=0.5)),
}


def estate_of(case: Case) -> Estate:
    """Homes that are all alike but for what the case leaves to chance."""
    return Estate(
        regions={CspRegion.NORTH: 1.0},
        links={CspRegion.NORTH: case.link},
        incapable_hubs=0.0,
        hub=case.hub,
        old_hardware=case.old_hardware,
        meters=False,
        gas=0.0,
        ihds=0.0,
        sleepers=case.sleepers,
        weak_links=0.0,
        good=case.quality,
        interference=case.interference,
    )


def distance(exact: list[float], flow: np.ndarray) -> float:
    """The largest gap between two empirical distributions that no shift within SLACK explains.

    Each gap is looked for where the distribution that is ahead jumps: exact's, and flow's as far shifted to
    the right as SLACK allows.
    """
    one, other = np.sort(np.array(exact, float)), np.sort(flow)
    shift, stretch = SLACK

    def share(sample: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.searchsorted(sample, at, "right") / len(sample)

    ahead, behind = one[np.isfinite(one)], other[np.isfinite(other)]
    more = share(one, ahead) - share(other, ahead + shift + stretch * ahead)
    less = share(other, behind) - share(one, (behind + shift) / (1 - stretch))
    return float(max(more.max(initial=0.0), less.max(initial=0.0)))


def in_flow(case: Case, octets: int, homes: int) -> tuple[Fleet, Any]:
    """The same case in flow mode; what is ordered at once is ordered at once."""
    kinds = [1.0 if kind in case.kinds else 0.0 for kind in KINDS]
    mix = Mix(
        coverage=(case.link.coverage,), kinds=kinds, ineligible=case.old_hardware, sleeping=case.sleepers
    )
    fleet = Fleet.draw("pins", homes, mix)
    estate = estate_of(case)
    settings = Settings(
        {CspRegion.NORTH.value: case.link},
        (case.quality,),
        case.interference,
        estate.ppmid_windows,
        hub=case.hub,
    )
    flow = Flow(settings, case.faults, load=Load(octets, signed=not case.forge), seed="pins")
    course = flow.over(fleet, NOW)
    for kind in case.kinds:
        mine = np.flatnonzero(fleet.kind == KINDS[kind]).astype(np.uint32)
        course.order(mine, NOW)
    course.activate_when_verified(None if case.later is None else Instant(NOW + case.later))
    return fleet, course


IN_FLOW = in_flow

# What a Device in truth runs at the end, by flow's outcome; after any other it runs what it ran before.
ENDS = dict.fromkeys(Outcome, "as before") | {
    Outcome.UPDATED: "updated",
    Outcome.OTHER_VERSION: "another version",
    Outcome.MUTE: "mute",
}


def compare(name: str, homes: int) -> dict[str, float]:
    """The distances, by kind and stage."""
    case = CASES[name]
    exact = Exact(
        name,
        homes,
        *case.kinds,
        estate=estate_of(case),
        faults=case.faults,
        later=None if case.later is None else Instant(NOW + case.later),
        forge=case.forge,
        days=case.days,
    )
    fleet, course = in_flow(case, max(exact.octets.values()), FLEET)
    found = {}
    for kind in case.kinds:
        mine = fleet.kind == KINDS[kind]
        for stage in Stage:
            at = course.at[stage][mine]
            seconds = np.where(at == NEVER, np.inf, at * (TICK / SECOND))
            found[f"{kind.value} {stage.name}"] = distance(exact.after(kind, stage), seconds)
        shares = exact.ends(kind)
        for end in ENDS.values():
            mine_so = np.isin(course.outcome[mine], [o for o, e in ENDS.items() if e == end]).mean()
            found[f"{kind.value} {end}"] = abs(shares.get(end, 0.0) - float(mine_so))
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_stage_takes_as_long_as_in_exact_mode(name):
    found = compare(name, HOMES)
    assert {} == {stage: gap for stage, gap in found.items() if gap > DISTANCE}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_every_stage_takes_as_long_with_more_homes(name):
    found = compare(name, 4 * HOMES)
    assert {} == {stage: gap for stage, gap in found.items() if gap > DISTANCE / 2 + 0.01}


def test_every_fault_is_in_a_comparison():
    compared = {each.name for case in CASES.values() for each in case.faults}
    assert set(FAULTS) == compared


def test_a_distance_is_found_where_there_is_one():
    """The test itself can fail: other times, other shares, and no more than slack."""
    dice = np.random.default_rng(1)
    one, other = dice.exponential(100, HOMES), dice.exponential(100, FLEET)
    assert distance(list(one), other) < DISTANCE
    assert distance(list(one), other * 5) > DISTANCE
    lost = np.where(dice.random(FLEET) < 0.7, np.inf, other)
    assert distance(list(one), lost) > DISTANCE
    assert distance([10.0] * HOMES, np.full(FLEET, 10.3)) == 0
    assert distance([10.0] * HOMES, np.full(FLEET, 10.5)) == 1
    assert distance([10.5] * HOMES, np.full(FLEET, 10.0)) == 1
    assert distance([10.2] * HOMES, np.full(FLEET, 10.0)) == 0
    never = [np.inf] * HOMES
    assert distance(never, np.full(FLEET, 10.0)) == distance([10.0] * HOMES, np.full(FLEET, np.inf)) == 1
    assert distance(never[::2] + [10.0] * (HOMES // 2), np.full(FLEET, 10.0)) == 0.5
    assert distance(never, np.full(FLEET, np.inf)) == 0


# Faults that change neither when a stage is first heard nor what a Device runs: chatter, and a second copy.
UNSEEN = {"alert-storm-firmware", "duplicated-alert"}


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.faults and n not in UNSEEN])
def test_the_comparison_sees_a_flow_that_leaves_the_fault_out(name, monkeypatch):
    """Flow without the fault against exact with it: the pin of this fault can fail."""
    without = replace(CASES[name], faults=())
    monkeypatch.setitem(globals(), "in_flow", lambda _, octets, homes: IN_FLOW(without, octets, homes))
    assert max(compare(name, HOMES).values()) > DISTANCE
