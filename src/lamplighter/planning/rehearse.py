"""A rehearsal: the very plan, decided by `campaign.decide`, over flow mode's homes and networks.

One rehearsal is one world (`assumptions.Circumstances`) and one course of chance in it. Time goes in steps;
in each, what was heard becomes progress, deadlines pass, and decisions are made until there is nothing left
to decide, as a reconciler does. Steps in which nothing can happen are passed over. So a rehearsal reacts up
to one step later than a reconciler, which looks every second or so.

Flow mode has no SRV 11.2; here a read is answered after its way over the WAN by what the Device runs in
truth, unless it is off, out of coverage or mute. An activation of a Device that holds no image is answered
likewise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.campaign import rates, windows
from lamplighter.campaign.decide import decide
from lamplighter.campaign.evidence import Cause
from lamplighter.campaign.next import Order
from lamplighter.campaign.state import Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.lab.flow import NEVER, TICK, Fleet, Flow, Load, Outcome, Trait, weights
from lamplighter.lab.flow import Kind as FlowKind
from lamplighter.lab.flow import Stage as Heard
from lamplighter.lab.flow.chance import philox
from lamplighter.lab.wan import RECEIPT_OCTETS
from lamplighter.planning.paper import Paper, index, kinds, look_up, runs
from lamplighter.registry import Procedure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lamplighter.campaign.decide import View
    from lamplighter.campaign.plan import Plan
    from lamplighter.lab.devices import Behaviour
    from lamplighter.lab.faults import Scheduled
    from lamplighter.planning.assumptions import Circumstances
    from lamplighter.planning.estate import Estate
    from lamplighter.planning.paper import Handed, Places

STEP: Final = HOUR // 2
"""The usual length of a step."""
STEP_MIN, STEP_MAX = MINUTE, 6 * HOUR
READY_AT_ONE_GO: Final = 10_000
"""As the reconciler's."""
_DECISIONS_MAX: Final = 10_000  # in one step: more is a plan that decides in a circle
_SPREAD: Final = 12  # activations for a quiet hour go by as many moments as this
_FEW: Final = 1 << 18  # Devices up to which it is cheap to ask what is heard next

_MEANS: Final = {
    (Heard.ACCEPTED, Outcome.UNDER_WAY): (Stage.ACCEPTED, Cause.NONE),
    (Heard.ACCEPTED, Outcome.REFUSED): (Stage.REFUSED, Cause.INVALID),
    (Heard.AT_HUB, Outcome.UNDER_WAY): (Stage.AT_HUB, Cause.NONE),
    (Heard.AT_HUB, Outcome.UNREACHED): (Stage.HUB_FAILED, Cause.DISTRIBUTION),
    (Heard.AT_HUB, Outcome.UNDELIVERED): (Stage.HUB_FAILED, Cause.DISTRIBUTION),
    (Heard.ON_DEVICE, Outcome.UNDER_WAY): (Stage.ON_DEVICE, Cause.NONE),
    (Heard.ON_DEVICE, Outcome.DISCARDED): (Stage.TRANSFER_FAILED, Cause.DISCARDED),
    (Heard.ON_DEVICE, Outcome.HARDWARE_MISMATCH): (Stage.TRANSFER_FAILED, Cause.HARDWARE),
    (Heard.ON_DEVICE, Outcome.TRANSFER_FAILED): (Stage.TRANSFER_FAILED, Cause.TRANSFER),
    (Heard.VERIFIED, Outcome.UNDER_WAY): (Stage.IMAGE_VERIFIED, Cause.NONE),
    (Heard.VERIFIED, Outcome.REJECTED): (Stage.IMAGE_REJECTED, Cause.SIGNATURE),
    (Heard.ACTIVATION, Outcome.UNDER_WAY): (Stage.ACTIVATION_SENT, Cause.NONE),
    (Heard.PROVEN, Outcome.UPDATED): (Stage.PROVEN, Cause.NONE),
    (Heard.PROVEN, Outcome.ROLLED_BACK): (Stage.ACTIVATION_FAILED, Cause.ACTIVATION),
    (Heard.PROVEN, Outcome.OTHER_VERSION): (Stage.ACTIVATION_FAILED, Cause.OTHER_VERSION),
    (Heard.PROVEN, Outcome.MUTE): (Stage.SILENT_IN_ACTIVATION, Cause.UNREACHABLE),
}
"""What a message of flow mode is evidence of, as `service.testimony` and `campaign.state` have it."""

_WEIGHTS: Final = {
    Heard.AT_HUB: RECEIPT_OCTETS,
    Heard.ON_DEVICE: weights.TRANSFER_ALERT,
    Heard.VERIFIED: weights.RECEIPT_ALERT,
    Heard.PROVEN: weights.PPMID_ALERT,
}
"""Octets of each message from home."""
_UNREACHABLE: Final = np.uint8(Trait.OFF | Trait.UNCOVERED)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is rehearsed: the same in each of many rehearsals."""

    plan: Plan
    procedure: Procedure
    """Of the release."""
    octets: int
    """Of the image."""
    estate: Estate
    """Whom it is for."""
    start: Instant
    """When the campaign starts."""
    step: int = STEP
    """Microseconds from one look to the next."""

    def __post_init__(self) -> None:
        if not STEP_MIN <= self.step <= STEP_MAX:
            raise UsageError("a rehearsal looks every minute at most, and every six hours at least")
        if not 1 <= self.octets <= 50_000_000:
            raise UsageError(f"an image has 1 to 50,000,000 octets, not {self.octets:,}")


class Held(NamedTuple):
    """A stratum that the gate has held."""

    stratum: str
    at: int
    """Microseconds after the start."""
    reason: str
    ordered: int
    """Devices of it that were ordered by then."""


@dataclass(frozen=True, slots=True)
class Course:
    """How one rehearsal went."""

    devices: int
    """Whom it was for."""
    since: NDArray[np.int64]
    """Microseconds after the start, rising."""
    proven: NDArray[np.int64]
    """Devices proven by then."""
    end: int
    """When it ended, microseconds after the start. What is seen at the end of a step fell somewhere in it:
    the moment is drawn, evenly."""
    finished: bool
    """Whether it came to its end; else it was cut off."""
    requests: Mapping[str, int]
    """Requests by SRV."""
    orders: int
    """Devices named in requests."""
    down: NDArray[np.int64]
    """Octets to homes, by region and day."""
    up: NDArray[np.int64]
    """Octets from homes, by region and day."""
    ordered: Mapping[str, int]
    """Devices ordered, by stratum."""
    held: tuple[Held, ...]
    """Strata that were held."""
    causes: Mapping[Cause, int]
    """Devices that failed for good, by cause."""
    lost: int
    """Of these, those of which nothing is heard any more."""
    early: int = 0
    """How much before the end of its step each moment fell, microseconds."""

    @property
    def reached(self) -> int:
        """Devices proven in the end."""
        return int(self.proven[-1])

    @property
    def failures(self) -> int:
        """Devices that are not brought to the release."""
        return self.devices - self.reached

    @property
    def visits(self) -> int:
        """Devices that somebody has to go and see: they failed for good, or nobody hears of them."""
        return sum(self.causes.values())

    def when(self, share: float) -> int | None:
        """When such a share of those ever proven were, microseconds after the start; None: nobody is."""
        return self.reaches(max(1, round(share * self.reached)))

    def reaches(self, devices: int) -> int | None:
        """When so many Devices were proven, microseconds after the start; None: never."""
        place = int(np.searchsorted(self.proven, devices))
        return None if place == len(self.since) else max(0, int(self.since[place]) - self.early)

    def at(self, since: NDArray[np.int64]) -> NDArray[np.int64]:
        """Devices proven by each of these moments."""
        place = np.searchsorted(self.since, since, "right") - 1
        return np.where(place >= 0, self.proven[np.maximum(place, 0)], 0)


class World:
    """Homes and networks of one rehearsal, behind what a campaign hands over and hears.

    bad        how the firmware behaves in some strata, by the places of their cohorts; others get it sound
    bad_share  on how many of their Devices it does, each by a throw of its own
    """

    def __init__(
        self,
        scene: Scene,
        circumstances: Circumstances,
        seed: str,
        *,
        faults: Sequence[Scheduled] = (),
        bad: Mapping[int, Behaviour] | None = None,
        bad_share: float = 1.0,
        workers: int = 1,
    ) -> None:
        self._scene = scene
        settings = circumstances.settings
        load = Load(scene.octets)
        flow = Flow(settings, (*circumstances.faults, *faults), load=load, seed=seed, workers=workers)
        self.regions = tuple(settings.regions)
        self.fleet = _fleet(scene, circumstances, seed, self.regions)
        self.course = flow.over(self.fleet, scene.start)
        begins, _ = runs(self.fleet.region)
        # Where neighbours in one region begin and end, and which it is.
        self._stretches = np.append(begins, len(self.fleet)).astype(np.uint32), self.fleet.region[begins]
        self._sleep = settings.schedule.period
        self._round_trip = 2 * (flow.latency.astype(np.int64) + flow.crossing(weights.COMMAND)) * TICK
        self._loads: dict[Behaviour | None, Load] = {None: load}
        self._load_of = np.zeros(len(scene.estate.cohorts), np.uint8)
        self._behaviours: list[Behaviour | None] = [None]
        for cohort, behaviour in (bad or {}).items():
            if behaviour not in self._behaviours:
                self._behaviours.append(behaviour)
                self._loads[behaviour] = Load(scene.octets, behaviour)
            self._load_of[cohort] = self._behaviours.index(behaviour)
        self._mixed = len(self._behaviours) > 1
        self._spared: NDArray[np.bool_] | None = None
        if self._mixed and bad_share < 1:
            self._spared = philox(seed, "spared").random(len(scene.estate), np.float32) >= bad_share
        self._answers: list[tuple[int, int, Places, int, Stage, Cause]] = []
        self._tie = count()
        self._days = 2 + scene.plan.lasts // DAY
        self.down = np.zeros((len(self.regions), self._days), np.int64)
        self.up = np.zeros((len(self.regions), self._days), np.int64)

    def take(self, paper: Paper, now: Instant) -> bool:
        """Take over what is ordered; False: the DCC is down, and it is to be tried again."""
        if not self.course.takes_requests(now):
            return False
        updates: list[Places] = []
        for handed in paper.hand_over(now):
            match handed.kind:
                case Order.UPDATE_FIRMWARE | Order.UPDATE_PPMID_FIRMWARE:
                    updates.append(handed.devices)
                case Order.ACTIVATE_FIRMWARE:
                    self._activate(paper, handed, now)
                case Order.READ_FIRMWARE_VERSION:
                    self._read(paper, handed.devices, now)
        if updates:
            everyone = np.concatenate(updates)
            if (everyone[1:] < everyone[:-1]).any():
                everyone.sort()
            self._update(paper, everyone, now)
        return True

    def _update(self, paper: Paper, devices: Places, now: Instant) -> None:
        at = index(devices)
        before = look_up(self.course.attempts, at)
        if self._mixed:
            which = self._load_of[self._scene.estate.cohort[devices]]
            if self._spared is not None:
                which[self._spared[devices]] = 0
            for number, behaviour in enumerate(self._behaviours):
                self.course.order(devices[which == number], now, self._loads[behaviour])
        else:
            self.course.order(devices, now)
        accepted = look_up(self.course.attempts, at) != before
        self._carry(self.down, devices if accepted.all() else devices[accepted], self._scene.octets, now)
        if not accepted.all():
            left = devices[~accepted]
            busy = left[self.course.outcome[left] != Outcome.REFUSED]
            # An earlier image is still on its way: the DCC leaves the Device out.
            self._say(paper, busy, now, Stage.REFUSED, Cause.OTHER_REQUEST)

    def _activate(self, paper: Paper, handed: Handed, now: Instant) -> None:
        devices = handed.devices
        verified = self.course.at[Heard.VERIFIED, devices]
        tick = (now - self._scene.start) // TICK
        holds = (self.course.outcome[devices] == Outcome.HELD) & ((verified <= tick) | (verified == NEVER))
        if handed.execution_at is None:
            self.course.activate(np.sort(devices[holds]), now)
        else:
            then = handed.execution_at[holds]
            order = np.argsort(then, kind="stable")
            for part in np.array_split(order, min(_SPREAD, max(1, len(order)))):
                if len(part):
                    middle = Instant(int(then[part[len(part) // 2]]))
                    self.course.activate(np.sort(devices[holds][part]), now, middle)
        self._carry(self.down, devices, weights.COMMAND, now)
        others = devices[~holds]
        others = others[self.fleet.traits[others] & _UNREACHABLE == 0]
        # It has installed what it was sent, or never had it: it says so in either case.
        runs = self._runs(others, now)
        self._say(paper, others[runs], now, Stage.PROVEN)
        self._say(paper, others[~runs], now, Stage.ACTIVATION_FAILED, Cause.NO_IMAGE)

    def _read(self, paper: Paper, devices: Places, now: Instant) -> None:
        self._carry(self.down, devices, weights.COMMAND, now)
        hears = devices[self.fleet.traits[devices] & _UNREACHABLE == 0]
        hears = hears[self.course.outcome[hears] != Outcome.MUTE]
        runs = self._runs(hears, now)
        self._say(paper, hears[runs], now, Stage.PROVEN)
        self._say(paper, hears[~runs], now, Stage.UNCHANGED)

    def _runs(self, devices: Places, now: Instant) -> NDArray[np.bool_]:
        """Who runs the release by now, heard or not."""
        tick = (now - self._scene.start) // TICK
        said = self.course.at[Heard.PROVEN, devices]
        runs: NDArray[np.bool_] = (self.course.outcome[devices] == Outcome.UPDATED) & (
            (said <= tick) | (said == NEVER)
        )
        return runs

    def _say(
        self, paper: Paper, devices: Places, now: Instant, stage: Stage, cause: Cause = Cause.NONE
    ) -> None:
        """Devices answer, each after its way; what sleeps, once it wakes."""
        if not len(devices):
            return
        wait = self._round_trip[self.fleet.region[devices]]
        asleep = self.fleet.traits[devices] & np.uint8(Trait.SLEEPS) != 0
        if asleep.any():
            phase = self.fleet.phase[devices].astype(np.int64) * self._sleep >> 16
            wait = wait + asleep * ((phase - (now - self._scene.start)) % self._sleep)
        looks = -(-(now + wait) // self._scene.step)  # from one to the next is a step of time
        first = int(looks.min())
        steps = paper.step_of(devices)
        for later in kinds(looks - first):
            told = looks == first + later
            for step in kinds(steps[told]):
                mine = devices[told & (steps == step)]
                then = (first + later) * self._scene.step
                heappush(self._answers, (then, next(self._tie), mine, step, stage, cause))

    def hear(self, paper: Paper, now: Instant) -> None:
        """Let time pass up to now, and tell the campaign what was heard."""
        reports = self.course.advance(now)
        edges = np.searchsorted(reports.stage, np.arange(len(Heard) + 1))
        # The furthest first: what else is heard of the same Device by now brings it no further.
        for heard in reversed(Heard):
            first, last = edges[heard], edges[heard + 1]
            if first == last:
                continue
            devices, outcomes = reports.device[first:last], reports.outcome[first:last]
            told = kinds(outcomes)
            for outcome in told:
                mine = devices if len(told) == 1 else devices[outcomes == outcome]
                stage, cause = _MEANS[heard, Outcome(outcome)]
                paper.tell(mine, stage, now, cause)
            if (weight := _WEIGHTS.get(heard)) is not None:
                self._carry(self.up, devices, weight, now)
        while self._answers and self._answers[0][0] <= now:
            _, _, devices, step, stage, cause = heappop(self._answers)
            paper.tell(devices, stage, now, cause, step)
            self._carry(self.up, devices, weights.ANSWER, now)

    def next_at(self, now: Instant) -> Instant:
        """Not before then is anything heard, if nothing more is ordered."""
        times: list[int] = [it[0] for it in self._answers[:1]]
        if len(self.fleet) > _FEW:
            return now  # to ask costs as much as to look
        if (heard := self.course.next_at()) is not None:
            times.append(heard)
        return Instant(min(times)) if times else Instant(now + DAY)

    def _carry(self, table: NDArray[np.int64], devices: Places, octets: int, now: Instant) -> None:
        day = min((now - self._scene.start) // DAY, self._days - 1)
        edges, regions = self._stretches
        if len(edges) < len(devices) and (devices[1:] > devices[:-1]).all():
            lengths = np.diff(np.searchsorted(devices, edges))
        else:
            found = look_up(self.fleet.region, index(devices))
            begins, lengths = runs(found)
            regions = found[begins]
        np.add.at(table[:, day], regions, octets * lengths)


def rehearse(
    scene: Scene,
    circumstances: Circumstances,
    seed: str,
    *,
    faults: Sequence[Scheduled] = (),
    bad: Mapping[int, Behaviour] | None = None,
    bad_share: float = 1.0,
    until_held: bool = False,
    workers: int = 1,
) -> Course:
    """Run one campaign from its start to its end.

    seed        any text: the same gives the same course
    faults      what goes wrong beside the circumstances
    bad         how the firmware behaves in some cohorts, by their places
    bad_share   on how many of their Devices, 0 to 1
    until_held  stop once every stratum is held: for what bad firmware does, the rest is of no interest
    workers     threads that share flow mode's work
    """
    world = World(scene, circumstances, seed, faults=faults, bad=bad, bad_share=bad_share, workers=workers)
    paper = Paper(scene.plan, scene.procedure, scene.estate, scene.start)
    early = int(philox(seed, "moment").integers(0, scene.step))
    return play(scene, paper, world, until_held=until_held, early=early)


def play(scene: Scene, paper: Paper, world: World, *, until_held: bool = False, early: int = 0) -> Course:
    """Let a campaign on paper and a world go on together to the end."""
    now = scene.start
    since, proven = [0], [0]
    wake: int = now
    while True:
        world.hear(paper, now)
        paper.expire(now)
        if (done := paper.proven) != proven[-1]:
            since.append(now - scene.start)
            proven.append(done)
        if paper.changed or now >= wake or paper.is_awaited(now):
            wake = _settle(paper, world, now)
        if paper.ended_at is not None or (until_held and len(paper.held_at) == len(paper.strata)):
            break
        following = min(wake, paper.next_at(now) or wake, world.next_at(now))
        now = _on_grid(scene, max(following, now + 1))
    since.append(now - scene.start)
    proven.append(paper.proven)
    return Course(
        devices=len(scene.estate),
        since=np.array(since, np.int64),
        proven=np.array(proven, np.int64),
        end=max(0, now - scene.start - early),
        early=early,
        finished=paper.ended_at is not None,
        requests={
            kind.value: number for kind, number in sorted(paper.requests.items(), key=lambda it: it[0].value)
        },
        orders=paper.named,
        down=world.down,
        up=world.up,
        ordered={paper.strata[number].name: some for number, some in sorted(paper.ordered_of.items())},
        held=tuple(
            Held(paper.strata[number].name, at - scene.start, reason, ordered)
            for number, (at, reason, ordered) in sorted(paper.held_at.items())
        ),
        causes=dict(paper.causes()),
        lost=paper.count(Stage.LOST),
    )


def _on_grid(scene: Scene, at: int) -> Instant:
    return Instant(scene.start + -(-(at - scene.start) // scene.step) * scene.step)


def _settle(paper: Paper, world: World, now: Instant) -> int:
    """Decide until nothing is left to decide; when to decide again though nothing is heard."""
    for _ in range(_DECISIONS_MAX):
        paper.changed = False
        view = paper.view(now)
        ready = paper.ready(now, READY_AT_ONE_GO)
        decision = decide(paper.plan, view, ready, now)
        did = paper.commit(decision, now, is_up=world.course.takes_requests(now))
        world.take(paper, now)
        if paper.status is not CampaignStatus.RUNNING:
            return int(now)
        if not did:
            return _wakes(paper, view, now)
    raise UsageError("plan: its decisions go round in a circle: report it, with the plan")


def _wakes(paper: Paper, view: View, now: Instant) -> int:
    """The next moment at which a decision can be another one by the passing of time alone."""
    plan = paper.plan
    end = paper.started_at + plan.lasts
    times = [end]
    if paper.has_unsent:
        times.append(now + 1)
    open_waves = {it.id: it.wave for it in view.strata if it.held is None}
    times += [
        it.settled_at + plan.waves[it.wave].soak
        for it in view.strata
        if it.held is None and it.settled_at is not None
    ]
    wanting = (*view.waiting.items(), *view.late.items())  # of what is late nothing is left while it is open
    if any(n and place.wave <= open_waves.get(place.stratum, -1) for place, n in wanting):
        kind = windows.Kind.UPDATE
        opens = windows.next_open(plan.windows, plan.blackout, now, kind)
        if opens is None:
            times.append(now + DAY)
        elif opens > now:
            times.append(opens)
        elif (
            plan.jitter
            or plan.caps != type(plan.caps)()
            or rates.allowance(plan.rate, view.ordered, view.last_hour) < 1
        ):
            times.append(now + 1)
        # Else only what is heard can let more be ordered; but the window may close, and open anew.
    times += [it for it in paper.sweeps() if it > now]
    return int(min(times))


def _fleet(scene: Scene, circumstances: Circumstances, seed: str, regions: Sequence[str]) -> Fleet:
    """What is the matter with each Device, in this world."""
    estate = scene.estate
    count_ = len(estate)
    place = {name: number for number, name in enumerate(regions)}
    region = np.array([place.get(it.region, 0) for it in estate.cohorts], np.uint8)
    covered = np.array([link.coverage for link in circumstances.links.values()], np.float32)
    dice = philox(seed, "homes")
    traits = np.zeros(count_, np.uint8)
    luck = dice.random(count_, np.float32)
    bounds = np.cumsum((circumstances.refused, circumstances.misfit, circumstances.off))
    some = np.flatnonzero(luck < bounds[2])
    traits[some] = np.where(
        luck[some] < bounds[0],
        np.uint8(Trait.INELIGIBLE),
        np.where(luck[some] < bounds[1], np.uint8(Trait.OTHER_HARDWARE), np.uint8(Trait.OFF)),
    )
    in_region = region[estate.cohort]
    if scene.procedure is Procedure.ONE_STEP:
        kind = np.full(count_, FlowKind.PPMID, np.uint8)
        traits |= (dice.random(count_, np.float32) < circumstances.sleeping) * np.uint8(Trait.SLEEPS)
    else:
        kind = np.full(count_, FlowKind.HCALCS, np.uint8)
    if (covered < 1).any():
        reached = dice.random(int(estate.hub[-1]) + 1 if count_ else 0, np.float32)
        traits |= (reached[estate.hub] >= covered[in_region]) * np.uint8(Trait.UNCOVERED)
    quality = (dice.random(count_, np.float32) < circumstances.weak).astype(np.uint8)
    phase = dice.integers(0, 1 << 16, count_, dtype=np.uint16)
    return Fleet(estate.hub, in_region, kind, quality, traits, phase)


def total(courses: Sequence[Course]) -> Counter[Cause]:
    """Failures of some rehearsals, by cause."""
    found: Counter[Cause] = Counter()
    for course in courses:
        found.update(course.causes)
    return found
