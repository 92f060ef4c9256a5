"""The policy of a campaign: what to do now, as one pure function of the plan, the tallies and the time.

Per stratum: the gate rules on what has been ordered (`gates`); a stratum that fails is held alone; the next
wave opens when all of this one is ordered, the gate has passed and the soak time is over. A wave that is too
small for a verdict lends itself from the next: no more Devices are ordered of that than a verdict wants.
A wave with nobody in it is passed by for the sake of those who wait beyond it; where nobody does, all stays
as it is. So whoever is shut out by a verdict, and comes back, finds the waves where they were.

Where a stratum is held, or the campaign is at its end, activations that are still to come are called off, at
any hour: those are owed before all else. A pause alone leaves them.

Then orders, within what windows, rate and caps leave: first what is owed (give-ups, reads, activations,
later attempts), then new ones, stratum by stratum in turn. What cannot be ordered now is put off, so that
nothing waits behind it.

Jitter keeps all from going out as a window opens: new orders of a stratum begin in each region and on each
model of hub at a moment of their own, and what waited for the window comes back Device by Device.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.campaign import gates, rates, windows
from lamplighter.campaign.next import Action, Order, may_call_off, next_action, next_step
from lamplighter.campaign.state import FIRST_STEP, Progress, Stage
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.campaign.tallies import LOADING, Sums
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.registry import Procedure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lamplighter.campaign.plan import Plan
    from lamplighter.campaign.tallies import Broods, Cell, Count
    from lamplighter.registry import Verdict

DEVICES_MAX: Final = 50_000  # SRV 11.1 and 11.4, DeviceIDList: new orders of one decision
SHUT_SHARE: Final = 0.01
"""Of its Devices: where more are shut out, a campaign does not finish without them. Fewer are left for the
next one: some are always between two homes, or two Suppliers."""
BROOD_FIRST: Final = 5  # Devices of the first brood of a wave; each next holds twice as many
_LATER: Final = MINUTE  # until what found no room is looked at again
_WHILE_HELD: Final = HOUR  # until what is held is looked at again; a release of the hold looks at once
DEFER_MAX: Final = (
    DAY  # a release that is withdrawn meanwhile, or a clock that is put back, is noticed by then
)

DATED: Final = frozenset({Stage.ACTIVATION_SENT, Stage.ACTIVATION_SCHEDULED})
"""Stages in which a Device may hold an activation for later."""


class Place(NamedTuple):
    """Where Devices wait for their first order."""

    stratum: int
    wave: int
    region: str
    hub_model: str


class Busy(NamedTuple):
    """What other campaigns have on their way."""

    region: str
    hub_model: str
    devices: int


class Ready(NamedTuple):
    """One update that waits for us."""

    id: int
    cell: Cell
    progress: Progress
    since: Instant

    @property
    def ids(self) -> Sequence[int]:
        """As of `Alike`."""
        return (self.id,)


class Alike(NamedTuple):
    """Updates that wait for us, come one after another, and differ in nothing but their numbers.

    What holds for one holds for all; so a rehearsal, which has a million at a time, hands them over together.
    """

    ids: Sequence[int]
    cell: Cell
    progress: Progress
    since: Instant


class Dated(NamedTuple):
    """One update whose activation is still to come, or to be sent."""

    id: int
    cell: Cell
    progress: Progress
    execution: Instant | None
    """When the Device is to activate; None: at once."""
    unsent: bool
    """Whether its request was never attempted: then nobody needs to be told."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Devices that are judged together."""

    id: int
    name: str
    wave: int
    """The open wave, from 0."""
    settled_at: Instant | None = None
    """Since when the open wave has been good enough for the next; the soak time counts from it."""
    held: str | None = None
    """Why it is held; None: it is not."""
    pardoned: int = 0
    """Failures that an operator has looked at and let pass: when a hold was released, all there were."""


@dataclass(frozen=True, slots=True)
class View:
    """All that a decision looks at."""

    status: CampaignStatus
    procedure: Procedure
    started_at: Instant
    strata: Sequence[Stratum]
    counts: Sequence[Count]
    waiting: Mapping[Place, int]
    """Devices of which no order was made yet, in the pools that are not drained: at most so many."""
    ordered: int
    """Updates that this campaign has ordered, later attempts included."""
    last_hour: int
    """Those of them that were ordered later than an hour before now."""
    last_day: int
    """Requests for Devices of all kinds that all campaigns ordered in the last 24 hours."""
    elsewhere: Sequence[Busy] = ()
    """In flight in other campaigns."""
    late: Mapping[Place, int] = field(default_factory=dict)
    """Devices that joined, or whose home was busy, after the others of their pool were ordered: so many at
    most. They are ordered too, but no wave waits for them."""
    passed_over: int = 0
    """Devices that could not be ordered so far, for their home is busy."""
    missed: frozenset[int] = frozenset()
    """Strata in whose open wave nobody was found and nobody ordered, and where somebody is by now: the next
    sweep finds them, and no wave opens before."""
    shut: Mapping[Verdict, int] = field(default_factory=dict)
    """Devices that were let in once, were not ordered, and may not have the release now, by a verdict that
    may be taken back. Only known where nothing else is left to do."""
    withdrawn: bool = False
    """The release is withdrawn: nothing more is ordered."""
    sums: Sums | None = field(default=None, compare=False, repr=False)
    """What the counts come to, where whoever keeps them has it at hand."""

    def summed(self) -> Sums:
        """What the counts come to."""
        return Sums(self.counts) if self.sums is None else self.sums


class Make(NamedTuple):
    """New orders: so many Devices of a place, at most."""

    place: Place
    brood: int
    devices: int


class Again(NamedTuple):
    """One more order for each of these, of one kind and step."""

    kind: Order
    step: int
    updates: tuple[int, ...]


class Hold(NamedTuple):
    """A stratum that is held from now on."""

    stratum: int
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, all of it in one transaction."""

    makes: tuple[Make, ...] = ()
    """First orders, all in one batch of step `FIRST_STEP`."""
    again: tuple[Again, ...] = ()
    """Later orders, a batch each."""
    give_up: tuple[int, ...] = ()
    """Updates that failed for good: evidence GIVEN_UP, with the cause that they have."""
    write_off: tuple[int, ...] = ()
    """Updates of which nothing is heard any more: evidence LOST."""
    cancel: tuple[int, ...] = ()
    """Updates that are not tried again: evidence CANCELLED."""
    defer: Mapping[int, Instant] = field(default_factory=dict)
    """Updates to look at later."""
    take_back: tuple[int, ...] = ()
    """Updates whose activation is taken back, if it was never attempted: evidence CALLED_OFF."""
    recall: bool = False
    """Take back update requests that were never attempted: evidence RECALLED."""
    holds: tuple[Hold, ...] = ()
    settles: tuple[int, ...] = ()
    """Strata whose open wave is good enough from now on: the soak time begins."""
    unsettles: tuple[int, ...] = ()
    """Strata whose wave no longer is."""
    opens: tuple[tuple[int, int], ...] = ()
    """(stratum, wave) that open now."""
    pardons: tuple[tuple[int, int], ...] = ()
    """(stratum, failures): no more than so many of those that were pardoned still stand."""
    act: Act | None = None
    """What the campaign comes to: FINISH or SETTLE."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return self != _NOTHING


_NOTHING: Final = Decision()


def decide(
    plan: Plan,
    view: View,
    ready: Sequence[Ready] | Sequence[Alike],
    now: Instant,
    dated: Sequence[Dated] = (),
) -> Decision:
    """What to do now.

    ready  the updates that wait for us, the longest waiting first, not all
    dated  of the strata in `calls_off`, updates whose activation is still to come, the next first, not all
    """
    match view.status:
        case CampaignStatus.RUNNING if not _is_over(plan, view, now):
            return _run(plan, view, ready, now, dated)
        case CampaignStatus.RUNNING:
            return _wind_up(plan, view, ready, now, dated, Act.FINISH)
        case CampaignStatus.ABORTING:
            return _wind_up(plan, view, ready, now, dated, Act.SETTLE)
        case CampaignStatus.PAUSED:
            # What was ordered goes on, but not where it does harm.
            wanted = calls_off(plan, view, now)
            off = call_off(plan, view, [item for item in dated if item.cell.stratum in wanted], now)
            return replace(off, recall=True)
        case _:
            return _NOTHING


def calls_off(plan: Plan, view: View, now: Instant) -> frozenset[int]:
    """The strata of which `decide` wants to see the activations that are to come: it calls them off."""
    match view.status:
        case CampaignStatus.RUNNING if _is_over(plan, view, now):
            strata = {stratum.id for stratum in view.strata}
        case CampaignStatus.PAUSED if view.withdrawn:
            strata = {stratum.id for stratum in view.strata}
        case CampaignStatus.ABORTING:
            strata = {stratum.id for stratum in view.strata}
        case CampaignStatus.RUNNING | CampaignStatus.PAUSED:
            strata = {stratum.id for stratum in view.strata if stratum.held is not None}
        case _:
            return frozenset()
    return frozenset(
        count.cell.stratum
        for count in view.counts
        if count.cell.stratum in strata and has_activation(plan, view.procedure, count.stage)
    )


def has_activation(plan: Plan, procedure: Procedure, stage: Stage) -> bool:
    """Whether an activation may be to come, or to be sent, for Devices in this stage."""
    if procedure is not Procedure.TWO_STEP:
        return False
    return stage is Stage.QUEUED or (stage in DATED and plan.activate_at is not None)


def call_off(plan: Plan, view: View, dated: Sequence[Dated], now: Instant) -> Decision:
    """Call off, or take back, because a person wants it: as is done by itself where a stratum is held."""
    off = _call_off(plan, dated, _Room(plan, view, view.summed(), now), now)
    return Decision(again=_all_again(off.again), take_back=tuple(off.take_back))


def judge(plan: Plan, view: View) -> dict[int, gates.Judgement]:
    """What the gate says of each stratum, with the numbers behind it."""
    return _judge(plan, view, view.summed().outcomes)


def awaited(view: View) -> int:
    """Devices shut out by a verdict that keep the campaign from finishing: they may come back until its end.

    0: they are too few for that.
    """
    shut = sum(view.shut.values())
    return shut if shut and shut > SHUT_SHARE * (shut + sum(count.devices for count in view.counts)) else 0


def empty_waves(
    strata: Iterable[Stratum], begun: Collection[tuple[int, int]], *waits: Iterable[Place]
) -> dict[int, int]:
    """The open wave of each stratum of which nobody was ordered, nor waits: no count of it is to be believed.

    begun  (stratum, wave) of which somebody was ordered
    waits  where Devices wait
    """
    found = {it.id: it.wave for it in strata if (it.id, it.wave) not in begun}
    for places in waits if found else ():
        for place in places:
            if found.get(place.stratum) == place.wave:
                del found[place.stratum]
    return found


def _judge(plan: Plan, view: View, outcomes: Mapping[int, Broods]) -> dict[int, gates.Judgement]:
    return {
        stratum.id: gates.verdict(plan.gate, _pardon(outcomes.get(stratum.id, {}), stratum.pardoned))
        for stratum in view.strata
    }


def _pardon(broods: Mapping[tuple[int, int], gates.Outcomes], pardoned: int) -> list[gates.Outcomes]:
    """The outcomes in the order of the orders, without the failures that count no more."""
    if not pardoned:
        return [brood for _, brood in sorted(broods.items())]
    left = pardoned
    judged = []
    for _, brood in sorted(broods.items()):
        silent = min(left, brood.silent)
        failed = min(left - silent, brood.failed)
        left -= silent + failed
        judged.append(
            gates.Outcomes(brood.proven, brood.failed - failed, brood.silent - silent, brood.in_flight)
        )
    return judged


def _is_over(plan: Plan, view: View, now: Instant) -> bool:
    return view.withdrawn or now >= view.started_at + plan.lasts


def _wind_up(
    plan: Plan,
    view: View,
    ready: Sequence[Ready] | Sequence[Alike],
    now: Instant,
    dated: Sequence[Dated],
    act: Act,
) -> Decision:
    """Nothing new; what is in flight comes to its end, or is called off; what waits for us is cancelled.

    Where it is not known whether an activation was called off, the Device is first asked for its version, if
    it may be asked now.
    """
    sums = view.summed()
    room = _Room(plan, view, sums, now)
    off = _call_off(plan, dated, room, now)
    cancel: list[int] = []
    for item in ready:
        asked = 0
        if item.progress.stage is Stage.SILENT_IN_CALL_OFF and room.is_open(windows.Kind.READ):
            asked = room.daily(len(item.ids))
        if asked:
            step = next_step(item.progress, Action.READ)
            off.again[Order.READ_FIRMWARE_VERSION, step].extend(item.ids[:asked])
        cancel += item.ids[asked:]
    return Decision(
        again=_all_again(off.again),
        cancel=tuple(cancel),
        take_back=tuple(off.take_back),
        recall=True,
        # Not as the last are cancelled: a word may come just then, and bring one back into the air.
        act=None if sums.unfinished else act,
    )


def _run(
    plan: Plan,
    view: View,
    ready: Sequence[Ready] | Sequence[Alike],
    now: Instant,
    dated: Sequence[Dated],
) -> Decision:
    sums = view.summed()
    course = _waves(plan, view, sums, now)
    held = {stratum.id for stratum in view.strata if stratum.held is not None}
    held |= {hold.stratum for hold in course.holds}
    room = _Room(plan, view, sums, now)
    off = _call_off(plan, [item for item in dated if item.cell.stratum in held], room, now)
    owed = _owed(plan, view, ready, room, held, now)
    owed.again.update(off.again)
    makes = _new(view, course, room, held, sums)
    done = (
        not sums.unfinished
        and not any(view.waiting.values())
        and not any(view.late.values())
        and not view.passed_over
        and not view.missed
        and not held
        and not course.opens
        and not course.soaking
        and not awaited(view)
    )
    return Decision(
        makes=makes,
        again=_all_again(owed.again),
        give_up=tuple(owed.give_up),
        write_off=tuple(owed.write_off),
        defer=owed.defer,
        take_back=tuple(off.take_back),
        # One request names Devices of many strata: all that is unsent is taken back; the others are ordered
        # anew.
        recall=not sums.queued.isdisjoint(hold.stratum for hold in course.holds),
        holds=course.holds,
        settles=course.settles,
        unsettles=course.unsettles,
        opens=course.opens,
        pardons=course.pardons,
        act=Act.FINISH if done else None,
    )


def _all_again(again: Mapping[tuple[Order, int], Sequence[int]]) -> tuple[Again, ...]:
    return tuple(
        Again(kind, step, tuple(updates))
        for (kind, step), updates in sorted(again.items(), key=_order)
        if updates
    )


def _order(item: tuple[tuple[Order, int], object]) -> tuple[str, int]:
    (kind, step), _ = item
    return kind.value, step


@dataclass(slots=True)
class _Course:
    """What becomes of the waves."""

    holds: tuple[Hold, ...] = ()
    settles: tuple[int, ...] = ()
    unsettles: tuple[int, ...] = ()
    opens: tuple[tuple[int, int], ...] = ()
    pardons: tuple[tuple[int, int], ...] = ()
    limits: dict[int, int] = field(default_factory=dict)
    """How many more Devices a stratum may order; absent: as many as there are."""
    soaking: bool = False
    """A stratum waits only for its soak time."""


def _waves(plan: Plan, view: View, sums: Sums, now: Instant) -> _Course:
    course = _Course()
    outcomes = sums.outcomes
    judgements = _judge(plan, view, outcomes)
    waiting: dict[tuple[int, int], int] = defaultdict(int)
    for place, devices in view.waiting.items():
        waiting[place.stratum, place.wave] += devices
    for place, devices in view.late.items():
        if (here := (place.stratum, place.wave)) not in sums.ordered:  # else the wave goes on without them
            waiting[here] += devices
    furthest: dict[int, int] = {}
    for (of, number), devices in waiting.items():
        if devices:
            furthest[of] = max(number, furthest.get(of, 0))
    last = len(plan.waves) - 1
    for stratum in view.strata:
        if stratum.pardoned:
            standing = sum(brood.failures for brood in outcomes.get(stratum.id, {}).values())
            if standing < stratum.pardoned:
                # Some have come right since: their pardon is not for failures that nobody has looked at.
                course.pardons += ((stratum.id, standing),)
        if stratum.held is not None:
            continue
        found = judgements[stratum.id]
        if found.ruling is gates.Ruling.HOLD:
            course.holds += (Hold(stratum.id, found.reason),)
            if stratum.settled_at is not None:
                course.unsettles += (stratum.id,)  # after a release the soak time begins anew
            continue
        here = stratum.id, stratum.wave
        gated = plan.waves[stratum.wave - 1].gated if stratum.wave else False
        if (
            gated
            and found.ruling is gates.Ruling.WAIT
            and not gates.has_passed(plan.gate, _pardon(outcomes.get(stratum.id, {}), stratum.pardoned))
        ):
            course.limits[stratum.id] = gates.wanting(plan.gate, found.total)
        if stratum.wave >= last:
            continue
        wave = plan.waves[stratum.wave]
        good = not waiting[here] and (
            found.ruling is gates.Ruling.PASS or not wave.gated or not sums.in_flight.get(here)
        )
        if not good:
            if stratum.settled_at is not None:
                course.unsettles += (stratum.id,)
        elif here not in sums.ordered:
            # Nothing is to soak. But it may be empty for its Devices are shut out: nothing opens for nobody.
            if furthest.get(stratum.id, 0) > stratum.wave and stratum.id not in view.missed:
                course.opens += ((stratum.id, stratum.wave + 1),)
        elif stratum.settled_at is not None and stratum.settled_at + wave.soak <= now:
            course.opens += ((stratum.id, stratum.wave + 1),)
        elif stratum.settled_at is None or now < stratum.settled_at:
            # A clock that was put back makes the soak time begin anew: longer by that, and never shorter.
            course.settles += (stratum.id,)
            course.soaking = True
        else:
            course.soaking = True
    return course


class _Room:
    """What windows, rate and caps leave; each order takes its part."""

    def __init__(self, plan: Plan, view: View, sums: Sums, now: Instant) -> None:
        caps = plan.caps
        self._plan = plan
        self._now = now
        self._end = Instant(view.started_at + plan.lasts)
        self._next_opens: dict[windows.Kind, tuple[Instant, int] | None] = {}
        self.updates = 0
        self._opens = {
            kind: windows.open_at(plan.windows, plan.blackout, now, kind)
            for kind in (windows.Kind.UPDATE, windows.Kind.ACTIVATE, windows.Kind.READ)
        }
        if self._opens[windows.Kind.UPDATE]:
            self.updates = min(DEVICES_MAX, rates.allowance(plan.rate, view.ordered, view.last_hour))
        self._daily = _left(caps.requests_per_day, view.last_day)
        self._estate = _left(caps.in_flight, 0)
        self._regions: dict[str, int] = defaultdict(lambda: _left(caps.per_region, 0))
        self._hub_models: dict[str, int] = defaultdict(lambda: _left(caps.per_hub_model, 0))
        for (region, hub_model), devices in sums.loading.items():
            self._load(region, hub_model, devices)
        for region, hub_model, devices in view.elsewhere:
            self._load(region, hub_model, devices)

    def is_open(self, kind: windows.Kind) -> bool:
        """Whether orders of this kind may go out now."""
        return self._opens[kind]

    def until_open(self, kind: windows.Kind, number: int) -> Instant:
        """When an update that waits for a window is looked at again: its opening, and some of the jitter."""
        if kind not in self._next_opens:
            plan = self._plan
            opens = windows.next_open(plan.windows, plan.blackout, self._now, kind)
            self._next_opens[kind] = None if opens is None else (opens, self._spread(opens, kind))
        if (found := self._next_opens[kind]) is None:
            return Instant(self._now + _WHILE_HELD)
        opens, wide = found
        return Instant(opens + windows.jitter(f"{number} {opens}", wide))

    def at_last(self, instant: int) -> Instant:
        """No later than the campaign's end, and than what may have changed is to be noticed."""
        return Instant(min(instant, self._end, self._now + DEFER_MAX))

    def begun(self, places: Iterable[Place]) -> set[Place]:
        """The places whose jitter is over: where new orders may go out in this window."""
        plan, kind = self._plan, windows.Kind.UPDATE
        opened = None
        if plan.jitter and self._opens[kind]:
            opened = windows.open_since(plan.windows, plan.blackout, self._now, kind)
        if opened is None:
            return set(places)
        wide = self._spread(opened, kind)
        return {
            place
            for place in places
            if self._now
            >= opened + windows.jitter(f"{place.stratum} {place.region} {place.hub_model} {opened}", wide)
        }

    def _spread(self, opens: Instant, kind: windows.Kind) -> int:
        """The plan's jitter, but no more than half of the time for which it is open from then."""
        if not self._plan.jitter:
            return 0
        closes = windows.next_change(self._plan.windows, self._plan.blackout, opens, kind)
        return self._plan.jitter if closes is None else min(self._plan.jitter, (closes - opens) // 2)

    def left(self) -> int:
        """How many updates there is room for at most, whichever they are."""
        return max(0, min(self.updates, self._daily, self._estate))

    def daily(self, wanted: int) -> int:
        """Take room for requests that load no more than was loading; how many there is room for."""
        some = wanted if wanted <= self._daily else max(0, self._daily)
        self._daily -= some
        return some

    def load(self, region: str, hub_model: str, wanted: int) -> int:
        """Take room for updates or activations; how many there is room for."""
        some = max(
            0, min(wanted, self._daily, self._estate, self._regions[region], self._hub_models[hub_model])
        )
        self._load(region, hub_model, some)
        self._daily -= some
        return some

    def _load(self, region: str, hub_model: str, devices: int) -> None:
        self._estate -= devices
        self._regions[region] -= devices
        self._hub_models[hub_model] -= devices


_UNBOUNDED: Final = 1 << 62


def _left(cap: int | None, used: int) -> int:
    return _UNBOUNDED if cap is None else cap - used


@dataclass(slots=True)
class _Owed:
    again: dict[tuple[Order, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    give_up: list[int] = field(default_factory=list)
    write_off: list[int] = field(default_factory=list)
    defer: dict[int, Instant] = field(default_factory=dict)

    def put_off(self, ids: Sequence[int], until: Instant) -> None:
        for number in ids:
            self.defer[number] = until


@dataclass(slots=True)
class _Off:
    again: dict[tuple[Order, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    take_back: list[int] = field(default_factory=list)


def _call_off(plan: Plan, dated: Iterable[Dated], room: _Room, now: Instant) -> _Off:
    """Call off activations that are to come, as far as there is time, room, and a step to go on from."""
    off = _Off()
    for item in dated:
        if not may_call_off(item.progress):
            continue
        if item.unsent:
            off.take_back.append(item.id)
        elif can_be_called_off(plan, item.execution, now) and room.daily(1):
            step = next_step(item.progress, Action.CALL_OFF)
            off.again[Order.CALL_OFF_ACTIVATION, step].append(item.id)
    return off


def can_be_called_off(plan: Plan, execution: Instant | None, now: Instant) -> bool:
    """Whether there is time for it: the activation lies far enough ahead."""
    return execution is not None and execution - now >= plan.call_off_ahead


_KINDS: Final = {
    Action.UPDATE: windows.Kind.UPDATE,
    Action.ACTIVATE: windows.Kind.ACTIVATE,
    Action.READ: windows.Kind.READ,
}
_ORDERS: Final = {Action.ACTIVATE: Order.ACTIVATE_FIRMWARE, Action.READ: Order.READ_FIRMWARE_VERSION}


class _Fate(NamedTuple):
    """What is to be done for those who stand alike, have for as long, and are held alike."""

    action: Action
    until: Instant | None
    """Not before then; None: now."""
    is_open: bool
    """Whether such orders may go out now."""
    orders: list[int]
    """Those of its kind and step."""


def _fate(
    plan: Plan, view: View, item: Ready | Alike, room: _Room, owed: _Owed, now: Instant, *, is_held: bool
) -> _Fate:
    action, pause = next_action(view.procedure, item.progress, plan.retries)
    if action in {Action.GIVE_UP, Action.WRITE_OFF}:
        return _Fate(action, None, is_open=True, orders=[])
    if is_held and action is Action.ACTIVATE and item.progress.stage in LOADING:
        # It may not be activated, and must not take room from other strata until the hold is released.
        action, pause = Action.READ, 0
    after = min(item.since, now) + pause  # a `since` to come is of a clock that was put back
    until = None
    if after > now:
        until = room.at_last(after)
    elif is_held and action is not Action.READ:
        until = room.at_last(now + _WHILE_HELD)
    kind = Order.update(view.procedure) if action is Action.UPDATE else _ORDERS[action]
    orders = owed.again[kind, next_step(item.progress, action)]
    return _Fate(action, until, room.is_open(_KINDS[action]), orders)


def _owed(
    plan: Plan, view: View, ready: Iterable[Ready | Alike], room: _Room, held: set[int], now: Instant
) -> _Owed:
    """What is due for Devices that were ordered before."""
    owed = _Owed()
    fates: dict[tuple[int, Instant, bool], _Fate] = {}  # few among many
    for item in ready:
        ids, is_held = item.ids, item.cell.stratum in held
        like = item.progress.number, item.since, is_held
        if (fate := fates.get(like)) is None:
            fate = fates[like] = _fate(plan, view, item, room, owed, now, is_held=is_held)
        action, until, is_open, orders = fate
        if action is Action.GIVE_UP:
            owed.give_up += ids
        elif action is Action.WRITE_OFF:
            owed.write_off += ids
        elif until is not None:
            owed.put_off(ids, until)
        elif not is_open:
            for number in ids:
                owed.defer[number] = room.at_last(room.until_open(_KINDS[action], number))
        else:
            some = _takes(action, item, room)
            orders += ids[:some]
            if some < len(ids):
                owed.put_off(ids[some:], room.at_last(now + _LATER))
    return owed


def _takes(action: Action, item: Ready | Alike, room: _Room) -> int:
    """Take room for an action; for how many of those that stand alike there is room."""
    cell, wanted = item.cell, len(item.ids)
    if action is Action.READ:
        return room.daily(wanted)
    if action is Action.UPDATE:
        wanted = min(wanted, room.updates)
    # What loads already has its room.
    if item.progress.stage in LOADING:
        some = room.daily(wanted)
    else:
        some = room.load(cell.region, cell.hub_model, wanted)
    if action is Action.UPDATE:
        room.updates -= some
    return some


def _new(view: View, course: _Course, room: _Room, held: set[int], sums: Sums) -> tuple[Make, ...]:
    """First orders: strata in turn get even shares, so that a large one does not keep a small one waiting."""
    open_waves = {stratum.id: stratum.wave for stratum in view.strata if stratum.id not in held}
    places: dict[int, list[tuple[Place, int]]] = defaultdict(list)
    sizes: dict[int, int] = defaultdict(int)
    all_places = dict(view.waiting)
    for place, devices in view.late.items():
        all_places[place] = all_places.get(place, 0) + devices
    begun = room.begun(all_places)
    for place, devices in all_places.items():
        if devices > 0 and place in begun and place.wave <= open_waves.get(place.stratum, -1):
            places[place.stratum].append((place, devices))
            sizes[place.stratum] += devices
    ordered = defaultdict(int, sums.ordered)
    makes: list[Make] = []
    shares = len(places)
    # The smallest first: what it leaves of its share goes to the others.
    for stratum in sorted(places, key=lambda it: (sizes[it], it)):
        share = min(-(-room.left() // shares), course.limits.get(stratum, _UNBOUNDED))
        shares -= 1
        for place, devices in sorted(places[stratum]):
            some = room.load(place.region, place.hub_model, min(devices, share))
            room.updates -= some
            share -= some
            key = place.stratum, place.wave
            while some:
                brood, left = _brood(ordered[key])
                part = min(some, left)
                makes.append(Make(place, brood, part))
                ordered[key] += part
                some -= part
    return tuple(makes)


def _brood(ordered: int) -> tuple[int, int]:
    """The brood of the next Device of a wave, and how many more it takes."""
    brood, end = 0, BROOD_FIRST
    while ordered >= end:
        brood += 1
        end += BROOD_FIRST << brood
    return brood, end - ordered


__all__ = [
    "FIRST_STEP",
    "Again",
    "Alike",
    "Busy",
    "Dated",
    "Decision",
    "Hold",
    "Make",
    "Place",
    "Ready",
    "Stratum",
    "View",
    "awaited",
    "call_off",
    "calls_off",
    "decide",
    "empty_waves",
    "judge",
]
