"""Flow mode pinned to exact mode: the same network, the same faults, the same stages, and two samples.

Each case lets HOMES homes live in exact mode and FLEET of them in flow mode, and compares

- for every stage, the seconds from the order until the Supplier hears of it, and for every two stages the
  seconds from one to the other; "never" is the longest of all times, so that how often is compared as well;
- what the message of each stage tells, and the whole story of a Device: what was told at every stage;
- what Devices in truth run in the end;
- how many messages there are about each Device.

Times and counts are compared by the test of Kolmogorov and Smirnov in two samples, which looks both ways,
with two tolerances: flow's times may be shifted by SLACK (a constant, and a share of the time), its counts by
nothing, and the distance that is left may be DISTANCE at most. So may be the difference of two shares.

Power: with 50 against 20,000, two samples of one distribution are further apart than 0.30 in fewer than three
comparisons of ten thousand (2 exp(-2 n d^2), n = 50); there are some two thousand, most of them of what is
certain. A stage whose distribution is really 0.50 away is found with a probability above 0.99, one 0.45 away
with 0.98 (the standard error of a share of 50 is at most 0.07).
What is certain in a perfect network, such as each stage's time, is held to SLACK alone. Seeds are fixed, so
that a comparison that holds today holds tomorrow. `make long` takes four times as many homes, at 0.16.

Each case is also compared with flow mode that leaves out what the case is about, and has to fail.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pytest

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.lab import han
from lamplighter.lab.devices import Behaviour, Manner, Ppmid
from lamplighter.lab.faults import FAULTS, Scheduled
from lamplighter.lab.flow import (
    NEVER,
    TICK,
    Course,
    Fleet,
    Flow,
    Kind,
    Load,
    Mix,
    Outcome,
    Settings,
    Stage,
    Trait,
)
from lamplighter.lab.flow.mischief import Mischief
from lamplighter.lab.homes import FACTORY_VERSION, START, Estate
from lamplighter.lab.hub import Settings as HubSettings
from lamplighter.lab.wan import Link
from lamplighter.protocol.duis import CspRegion, DeviceType

from .exactly import SETTLES, Exact
from .user import NEW

HOMES = 50
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
    unknown_hardware: float = 0.0
    off: float = 0.0
    manner: Manner = Manner.SOUND
    version: FirmwareVersion = NEW
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
    "heavy losses, 11.1 and 11.3 for later": Case((HCALCS,), quality=han.Quality(loss=0.3), later=6 * HOUR),
    "heavy losses, 11.4": Case(quality=han.Quality(loss=0.3)),
    "two Devices behind each hub": Case((PPMID, HCALCS), quality=LOSSY),
    "interference": Case(quality=LOSSY, interference=han.Interference(2 * MINUTE, 8 * SECOND)),
    "links that break": Case(link=Link(outage_pause=HOUR, outage_length=HOUR // 2)),
    "hubs out of coverage": Case(link=Link(coverage=0.5)),
    "PPMIDs that sleep": Case(sleepers=1.0),
    "PPMIDs that sleep badly": Case(quality=LOSSY, sleepers=0.5),
    "hardware of another version, which the DCC knows": Case(old_hardware=0.5),
    "hardware of another version, which the hub finds out": Case(unknown_hardware=0.5),
    "an HCALCS of other hardware": Case((HCALCS,), unknown_hardware=0.5),
    "PPMIDs without power": Case(off=0.5),
    "an HCALCS without power": Case((HCALCS,), off=0.5),
    "PPMIDs that run it already": Case(version=FACTORY_VERSION),
    "PPMIDs that sleep and run it already": Case(version=FACTORY_VERSION, sleepers=1.0),
    "an HCALCS that runs it already": Case((HCALCS,), version=FACTORY_VERSION),
    "PPMIDs that sleep, of other hardware": Case(unknown_hardware=0.5, sleepers=1.0),
    "firmware that does not boot": Case(manner=Manner.NEVER_BOOTS),
    "firmware that does not boot on an HCALCS": Case((HCALCS,), manner=Manner.NEVER_BOOTS),
    "a minimum block period": Case((HCALCS,), hub=HubSettings(block_period=100)),
    "a signature that is not the Supplier's": Case((HCALCS,), forge=True),
    "lost-alert": Case(faults=fault("lost-alert", probability=0.4)),
    "lost-alert of an HCALCS": Case((HCALCS,), faults=fault("lost-alert", probability=0.4)),
    "lost-alert of an activation for later": Case(
        (HCALCS,), later=6 * HOUR, faults=fault("lost-alert", probability=0.4)
    ),
    "lost-alert on the way to the User": Case(faults=fault("lost-alert", probability=0.4, leg="user")),
    "lost-alert of an HCALCS on the way to the User": Case(
        (HCALCS,), faults=fault("lost-alert", probability=0.4, leg="user")
    ),
    "lost-alert on the way to the User of hubs out of coverage": Case(
        link=Link(coverage=0.5), faults=fault("lost-alert", probability=0.5, leg="user")
    ),
    "duplicated-alert": Case(faults=fault("duplicated-alert", probability=0.5, leg="user")),
    "delayed-alert": Case(faults=fault("delayed-alert", probability=0.5, leg="user", days=2)),
    "delayed-alert from two Devices behind each hub": Case(
        (PPMID, HCALCS), faults=fault("delayed-alert", probability=0.5, days=2)
    ),
    "reordered-alerts from two Devices behind each hub": Case(
        (PPMID, HCALCS), faults=fault("reordered-alerts", window=12 * HOUR // SECOND)
    ),
    "reordered-alerts": Case(faults=fault("reordered-alerts", leg="user")),
    "hub-swap in the crossing": Case(link=SLOW, faults=fault("hub-swap", 10 * SECOND, probability=0.5)),
    "hub-swap in the transfer": Case(faults=fault("hub-swap", 6 * SECOND, probability=0.5)),
    "ppmid-unplugged": Case(faults=fault("ppmid-unplugged", 4 * SECOND, 3 * DAY, 0.5)),
    "ppmid-unplugged for a week": Case(faults=fault("ppmid-unplugged", 4 * SECOND, 8 * DAY, 0.5)),
    "hub-discards-image": Case(quality=LOSSY, faults=fault("hub-discards-image", 0, HOUR, every=1)),
    "bricking-firmware": Case(faults=fault("bricking-firmware")),
    "bricking-firmware of an HCALCS": Case((HCALCS,), faults=fault("bricking-firmware")),
    "wrong-version-firmware": Case(faults=fault("wrong-version-firmware", version=OTHER_VERSION)),
    "wrong-version-firmware of an HCALCS": Case(
        (HCALCS,), faults=fault("wrong-version-firmware", version=OTHER_VERSION)
    ),
    "alert-storm-firmware": Case(faults=fault("alert-storm-firmware", alerts=10)),
    "alert-storm-firmware that is throttled": Case(faults=fault("alert-storm-firmware", alerts=100)),
    "alert-storm-firmware of an HCALCS": Case((HCALCS,), faults=fault("alert-storm-firmware", alerts=100)),
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
        unknown_hardware=case.unknown_hardware,
        meters=False,
        gas=0.0,
        ihds=0.0,
        sleepers=case.sleepers,
        weak_links=0.0,
        good=case.quality,
        interference=case.interference,
    )


def distance(exact: np.ndarray, flow: np.ndarray, slack: tuple[float, float] = SLACK) -> float:
    """The largest gap between two empirical distributions that no shift within `slack` explains.

    Each gap is looked for where the distribution that is ahead jumps: exact's, and flow's as far shifted to
    the right as `slack` allows.
    """
    one, other = np.sort(np.asarray(exact, float)), np.sort(flow)
    shift, stretch = slack

    def share(sample: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.searchsorted(sample, at, "right") / len(sample)

    ahead, behind = one[np.isfinite(one)], other[np.isfinite(other)]
    more = share(one, ahead) - share(other, ahead + shift + stretch * np.abs(ahead))
    less = share(other, behind) - share(one, (behind + shift) / (1 - stretch * np.sign(behind + shift)))
    return float(max(more.max(initial=0.0), less.max(initial=0.0)))


def between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The seconds from one stage to another; inf where either was never heard."""
    heard = np.isfinite(one) & np.isfinite(other)
    return np.where(heard, np.subtract(other, one, where=heard, out=np.zeros(len(one))), np.inf)


class InFlow:
    """The same case in flow mode; what is ordered at once is ordered at once."""

    def __init__(self, case: Case, octets: int) -> None:
        kinds = [1.0 if kind in case.kinds else 0.0 for kind in KINDS]
        mix = Mix(
            coverage=(case.link.coverage,),
            kinds=kinds,
            ineligible=case.old_hardware,
            other_hardware=case.unknown_hardware,
            sleeping=case.sleepers,
            off=case.off,
        )
        self.fleet = Fleet.draw("pins", FLEET, mix)
        if case.version == FACTORY_VERSION:
            self.fleet.traits[:] |= np.uint8(Trait.RUNS_IT)
            if not case.sleepers:
                self.fleet.phase[:] = POLLS
        settings = Settings(
            {CspRegion.NORTH.value: case.link},
            (case.quality,),
            case.interference,
            estate_of(case).ppmid_windows,
            hub=case.hub,
        )
        load = Load(octets, Behaviour(case.manner), signed=not case.forge)
        self.course: Course = Flow(settings, case.faults, load=load, seed="pins").over(self.fleet, NOW)
        for kind in case.kinds:
            self.course.order(np.flatnonzero(self.of(kind)).astype(np.uint32), NOW)
        self.course.activate_when_verified(None if case.later is None else Instant(NOW + case.later))
        told = self.course.advance(Instant(NOW + case.days * DAY))
        self.words = np.full((len(Stage), len(self.fleet)), NOTHING, np.int16)
        self.words[told.stage, told.device] = told.outcome

    def of(self, kind: DeviceType) -> np.ndarray:
        return self.fleet.kind == KINDS[kind]

    def after(self, kind: DeviceType, stage: Stage) -> np.ndarray:
        """Seconds from the order until each Device of a kind is heard at a stage; inf: never."""
        at = self.course.at[stage][self.of(kind)]
        return np.where(at == NEVER, np.inf, at * (TICK / SECOND))

    def stories(self, kind: DeviceType) -> Counter[tuple[Outcome | None, ...]]:
        """What was told at each stage, None where nothing was, and of how many Devices of a kind."""
        stories, counts = np.unique(self.words[:, self.of(kind)], axis=1, return_counts=True)
        return Counter(
            {
                tuple(None if word == NOTHING else Outcome(int(word)) for word in story): int(count)
                for story, count in zip(stories.T, counts, strict=True)
            }
        )

    def ends(self, kind: DeviceType) -> dict[str, float]:
        outcomes = self.course.outcome[self.of(kind)]
        return {
            end: float(np.isin(outcomes, [o for o, e in ENDS.items() if e == end]).mean())
            for end in set(ENDS.values())
        }

    def messages(self, kind: DeviceType) -> np.ndarray:
        """How many messages there are about each Device of a kind."""
        return (self.words[MAILED][:, self.of(kind)] != NOTHING).sum(axis=0) + self.course.more[self.of(kind)]


NOTHING = -1
POLLS = (Ppmid.POLL - SETTLES) * 65536 // Ppmid.POLL  # in exact mode all PPMIDs boot when the world begins
MAILED = [Stage.AT_HUB, Stage.ON_DEVICE, Stage.VERIFIED, Stage.PROVEN]

# What a Device in truth runs at the end, by flow's outcome; after any other it runs what it ran before.
ENDS = dict.fromkeys(Outcome, "as before") | {
    Outcome.UPDATED: "updated",
    Outcome.OTHER_VERSION: "another version",
    Outcome.MUTE: "mute",
}


def in_exact(name: str, homes: int) -> Exact:
    """A case in exact mode."""
    case = CASES[name]
    return Exact(
        name,
        homes,
        *case.kinds,
        estate=estate_of(case),
        faults=case.faults,
        later=None if case.later is None else Instant(NOW + case.later),
        forge=case.forge,
        manner=case.manner,
        version=case.version,
        off=case.off,
        days=case.days,
    )


def compare(exact: Exact, flow: InFlow, kinds: tuple[DeviceType, ...]) -> dict[str, float]:
    """All distances, by kind and what is compared."""
    found = {}
    for kind in kinds:
        theirs = {stage: np.array(exact.after(kind, stage)) for stage in Stage}
        ours = {stage: flow.after(kind, stage) for stage in Stage}
        gaps = {stage.name: distance(theirs[stage], ours[stage]) for stage in Stage}
        for one, other in combinations(Stage, 2):
            gap = distance(between(theirs[one], theirs[other]), between(ours[one], ours[other]))
            gaps[f"{one.name} to {other.name}"] = gap
        gaps |= apart("runs", exact.ends(kind), flow.ends(kind))
        stories, told = exact.stories(kind), flow.stories(kind)
        gaps |= apart("story", shares(stories), shares(told))
        for stage in Stage:
            gaps |= apart(stage.name, words(stories, stage), words(told, stage))
        messages = np.array([exact.mails[device] for device in exact.devices[kind]])
        gaps["messages"] = distance(messages, flow.messages(kind), (0, 0))
        found |= {f"{kind.value} {what}": gap for what, gap in gaps.items()}
    return found


def shares(counts: Counter) -> dict:
    return {each: count / counts.total() for each, count in counts.items()}


def words(stories: Counter, stage: Stage) -> dict:
    """The share of each word at a stage."""
    told: Counter = Counter()
    for story, count in stories.items():
        told[story[stage]] += count
    return shares(told)


def apart(name: str, one: dict, other: dict) -> dict[str, float]:
    """By how much each share differs."""
    return {f"{name}: {_said(each)}": abs(one.get(each, 0) - other.get(each, 0)) for each in one | other}


def _said(what: object) -> str:
    return " ".join(map(_said, what)) if isinstance(what, tuple) else getattr(what, "name", str(what))


def too_far(name: str, exact: Exact, most: float, flow: Case | None = None) -> dict[str, float]:
    """The distances above `most` between a case in exact mode, and in flow mode the same or another one."""
    case = CASES[name]
    ours = InFlow(flow or case, max(exact.octets.values()))
    return {what: gap for what, gap in compare(exact, ours, case.kinds).items() if gap > most}


@pytest.fixture(scope="module", params=CASES)
def lived(request):
    """The name of a case, and its homes in exact mode."""
    return request.param, in_exact(request.param, HOMES)


def test_every_stage_takes_as_long_as_in_exact_mode(lived):
    """Times, words, what runs in the end, and how many messages there are."""
    assert {} == too_far(*lived, DISTANCE)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_every_stage_takes_as_long_with_more_homes(name):
    """The same, more sharply."""
    assert {} == too_far(name, in_exact(name, 4 * HOMES), DISTANCE / 2 + 0.01)


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


# What flow mode is given in place of a case, so that it knows nothing of what the case is about.
OTHER_LINK = Link(latency=3 * SECOND)
IGNORANT = {name: Case(case.kinds, later=case.later) for name, case in CASES.items()} | {
    "a perfect network, 11.4": Case(link=OTHER_LINK),
    "a perfect network, 11.1 and 11.3": Case((HCALCS,), link=OTHER_LINK),
    "activation for later": Case((HCALCS,)),
    "lost-alert on the way to the User of hubs out of coverage": Case(link=Link(coverage=0.5)),
    "hub-swap in the crossing": Case(link=SLOW),
    "hub-discards-image": Case(quality=LOSSY),
}


def test_the_comparison_sees_a_flow_that_leaves_out_what_the_case_is_about(lived):
    """Each pin can fail."""
    name, exact = lived
    assert too_far(name, exact, DISTANCE, IGNORANT[name])


# What flow mode works out in one place each, and the case that would notice if it did not.
PARTS = {
    "overtaken alerts are dropped": (
        Course,
        "_drop_overtaken",
        lambda *_: None,
        "reordered-alerts from two Devices behind each hub",
    ),
    "storms are throttled": (
        Flow,
        "let_through",
        lambda _, __, alerts: alerts,
        "alert-storm-firmware that is throttled",
    ),
    "copies are counted": (
        Mischief,
        "copies",
        lambda _, batch, *__: np.zeros(len(batch.device), np.uint16),
        "duplicated-alert",
    ),
    "the DCC gives up on a command": (
        Mischief,
        "to_dcc",
        lambda _, __, ___, ____, heard: heard,
        "lost-alert of an activation for later",
    ),
    "hubs repeat, and Devices do": (
        Flow,
        "silence",
        lambda _, quality, __: np.zeros(len(quality), np.uint32),
        "heavy losses, 11.1 and 11.3 for later",
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_the_comparison_sees_a_flow_that_lacks_a_part(part, monkeypatch):
    """Some parts show in a corner only: the pin of that corner fails without them."""
    owner, method, instead, name = PARTS[part]
    monkeypatch.setattr(owner, method, instead)
    assert too_far(name, in_exact(name, HOMES), DISTANCE)
