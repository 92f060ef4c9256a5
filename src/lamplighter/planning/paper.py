"""A campaign on paper: what stands in for the store in a rehearsal, in arrays.

The view that `campaign.decide` looks at is built from them, and what it decides is carried out upon them, by
the rules of `store.campaigns` and `store.orders`: the same waves on the same circle of buckets, pools gone
through in the same order, one update at a time at each hub, the same deadlines batch by batch, the same
progress numbers and tallies. `tests/planning/test_paper.py` holds both against each other, decision by
decision.

Activations that are dated ahead are not called off: nobody is shown to `decide`, which then leaves them.

What is left out, since it does not happen in a rehearsal: other campaigns, Devices that join late or leave,
people, clocks that jump. Orders are handed over in the instant in which they are made, unless the DCC is
down.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from functools import cache
from heapq import heappop, heappush
from itertools import count as counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lamplighter.campaign.decide import FIRST_STEP, Alike, Place, Stratum, View, empty_waves
from lamplighter.campaign.evidence import Cause, Fact
from lamplighter.campaign.next import DEADLINES, DEADLINES_OF, Order
from lamplighter.campaign.state import (
    FINAL,
    FINAL_SHIFT,
    FLYING,
    IMPLIES,
    READY,
    STAGE_BITS,
    STAGE_SHIFT,
    STEP_BITS,
    STEP_SHIFT,
    SUBS,
    Progress,
    Stage,
)
from lamplighter.campaign.status import CHART, Act, CampaignStatus
from lamplighter.campaign.tallies import Cell, Count, Sums
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.registry import BUCKETS
from lamplighter.store.campaigns import LATE_MAX, LATE_MIN, UPDATES, wave_bounds
from lamplighter.store.orders import HOME_BUSY, NOTICE, READS_MAX, STRAGGLERS, executions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lamplighter.campaign.decide import Decision, Hold, Make
    from lamplighter.campaign.plan import Plan
    from lamplighter.planning.estate import Estate
    from lamplighter.registry import Procedure

    Places = NDArray[np.uint32]

_UNSENT: Final = 10 * MINUTE  # until a batch that could not be handed over is looked at again
_SLOTS: Final = 2 * len(Stage)  # columns of the tallies: each stage, and of a later attempt
_STAGE_MASK: Final = (1 << STAGE_BITS) - 1
_STEP_MASK: Final = (1 << STEP_BITS) - 1
_SECOND: Final = 2 * SUBS  # the first step of a later attempt
_ENDS: Final = 1 << FINAL_SHIFT  # the least progress of those that have ended


class Handed(NamedTuple):
    """Orders that go to the DCC now."""

    kind: Order
    devices: Places
    """Places in the estate, in the order of the batch."""
    execution_at: NDArray[np.int64] | None
    """SRV 11.3: when each is to activate; None: at once."""


@dataclass(slots=True)
class _Batch:
    """Orders of one kind and step made at one time."""

    kind: Order
    step: int
    devices: Places
    created_at: Instant
    sent_at: Instant | None = None
    deadline: int = 0


@dataclass(slots=True)
class _Pool:
    """One cohort's part in one wave."""

    place: Place
    devices: Places
    """In the order of the turned circle."""
    at: int = 0
    """Those before are gone through."""
    passed: list[Places] = field(default_factory=list)
    """Left out by the pass that goes on, or by the latest."""
    left: int = 0
    """How many these are."""
    swept_at: Instant | None = None
    """End of the latest pass; None: the first is not over."""
    is_open: bool = True
    """Whether a pass is under way."""

    def due(self, now: Instant, every: int) -> bool:
        """As `store.campaigns.Pool.due`."""
        return self.is_open or self.swept_at is None or not self.swept_at <= now < self.swept_at + every


class _Nearest:
    """The Devices of a stratum that come first on the turned circle."""

    def __init__(self, cohorts: Sequence[NDArray[np.uint32]]) -> None:
        self._cohorts = cohorts  # the buckets of each, in their order

    def bound(self, devices: int) -> int:
        """The bucket below which so many stand."""
        return bisect_left(range(BUCKETS), devices, key=self._below)

    def _below(self, bucket: int) -> int:
        return sum(int(np.searchsorted(its, np.uint32(bucket))) for its in self._cohorts)


class Paper:
    """A campaign over an estate, from its start.

    plan       as approved
    procedure  of its release
    estate     whom it is for
    now        when it starts
    """

    def __init__(self, plan: Plan, procedure: Procedure, estate: Estate, now: Instant) -> None:
        self.plan = plan
        self.procedure = procedure
        self.estate = estate
        self.started_at = now
        self.status = CampaignStatus.RUNNING
        self.ended_at: Instant | None = None
        self.held_at: dict[int, tuple[Instant, str, int]] = {}
        """By stratum: when it was held, why, and how many of its Devices were ordered by then."""
        self.requests: Counter[Order] = Counter()
        """Requests by kind."""
        self.named = 0
        """Devices named in requests."""
        self.changed = True
        """Whether anything has happened since the last decision that one could depend on."""
        count = len(estate)
        # Of most Devices most of these are never written: numpy's zeros take no room until then.
        self.progress = np.zeros(count, np.int32)
        self.ids = np.zeros(count, np.int32)
        self._since = np.zeros(count, np.int64)
        self._ready_at = np.zeros(count, np.int64)
        self._cell = np.zeros(count, np.int32)
        self._batch = np.zeros(count, np.int32)
        self._numbered = 0
        self._device_of: Places = np.zeros(count, np.uint32)  # by number, from 1
        self._busy = np.zeros(int(estate.hub[-1]) + 1 if estate.is_shared and count else 0, np.int16)
        self._cells: list[Cell] = []
        self._cell_ids: dict[tuple[int, int, int, str, str], int] = {}
        self._begun: set[tuple[int, int]] = set()
        self._tally = np.zeros(0, np.int64)
        self._shown = np.zeros(0, np.int64)
        self._counts: dict[int, Count] = {}
        self._sums = Sums()
        self._batches: dict[int, _Batch] = {}
        self._numbers = counter(1)
        self._deadlines: list[tuple[Instant, int]] = []
        self._unsent: list[int] = []
        self._is_up = False
        self._coming: list[tuple[int, int, Places]] = []
        self._tie = counter()
        self._waiting: Places = np.zeros(0, np.uint32)
        self._orders: deque[tuple[Instant, int]] = deque()  # of the last day
        self._updates: deque[tuple[Instant, int]] = deque()  # of the last hour
        self._ordered = self._last_hour = self._last_day = 0
        self.strata, self.pools = self._lay_out()
        self.ordered_of: Counter[int] = Counter()
        """By stratum: Devices ordered."""
        self._by_place: dict[Place, list[_Pool]] = defaultdict(list)
        for pool in self.pools:
            self._by_place[pool.place].append(pool)

    def _lay_out(self) -> tuple[dict[int, Stratum], list[_Pool]]:
        """Strata by name, pools by stratum, wave and cohort, as a start makes them."""
        estate, plan = self.estate, self.plan
        of: dict[str, list[int]] = defaultdict(list)
        for number, cohort in enumerate(estate.cohorts):
            of[plan.stratum_of(cohort)].append(number)
        everyone = np.arange(len(estate), dtype=np.uint32)
        member_of, bucket = estate.cohort, estate.bucket
        if (member_of[1:] < member_of[:-1]).any():
            everyone = np.argsort(member_of, kind="stable").astype(np.uint32)
            member_of, bucket = member_of[everyone], bucket[everyone]
        ends = np.searchsorted(member_of, np.arange(1, len(estate.cohorts), dtype=np.uint16))
        members, turned = np.split(everyone, ends), np.split(bucket, ends)
        for number, buckets in enumerate(turned):
            if (buckets[1:] < buckets[:-1]).any():
                order = np.argsort(buckets, kind="stable")
                members[number], turned[number] = members[number][order], buckets[order]
        strata: dict[int, Stratum] = {}
        pools: list[_Pool] = []
        for number, name in enumerate(sorted(of), 1):
            strata[number] = Stratum(number, name, 0)
            devices = sum(len(members[it]) for it in of[name])
            bounds = wave_bounds(plan, devices, _Nearest([turned[it] for it in of[name]]))
            rows = []
            for place_ in of[name]:
                its = estate.cohorts[place_]
                cuts = np.searchsorted(turned[place_], bounds)
                first, begin = 0, 0
                for wave, (bound, end) in enumerate(zip(bounds, cuts.tolist(), strict=True)):
                    if bound > first:
                        place = Place(number, wave, its.region, its.hub_model)
                        rows.append((wave, place_, _Pool(place, members[place_][begin:end])))
                        first, begin = bound, end
            pools += [pool for _, _, pool in sorted(rows, key=lambda row: row[:2])]
        return strata, pools

    # --- what a decision looks at

    def view(self, now: Instant) -> View:
        """As `store.campaigns.Campaigns.view`."""
        waiting: dict[Place, int] = defaultdict(int)
        late: dict[Place, int] = defaultdict(int)
        passed = 0
        for pool in self.pools:
            if pool.swept_at is None:
                waiting[pool.place] += max(1, len(pool.devices) - pool.at)
            elif pool.place.wave <= self.strata[pool.place.stratum].wave:
                passed += pool.left
                if pool.due(now, self.plan.sweep_every):
                    late[pool.place] += min(max(pool.left, LATE_MIN), LATE_MAX)
        empty = empty_waves(self.strata.values(), self._begun, waiting, late)
        if empty:
            for pool in self.pools:
                if pool.swept_at is None and not pool.devices.size and pool.place.stratum in empty:
                    waiting[pool.place] -= 1  # nobody: it was only taken for one
        self._forget(now)
        return View(
            status=self.status,
            procedure=self.procedure,
            started_at=self.started_at,
            strata=tuple(self.strata.values()),
            counts=self._counted(),
            waiting=dict(waiting),
            ordered=self._ordered,
            last_hour=self._last_hour,
            last_day=self._last_day,
            late=dict(late),
            passed_over=passed,
            sums=self._sums,
        )

    def _counted(self) -> list[Count]:
        changed = np.flatnonzero(self._tally != self._shown)
        for key in changed.tolist():
            devices = int(self._tally[key])
            cell, slot = divmod(key, _SLOTS)
            stage, again = divmod(slot, 2)
            count = Count(self._cells[cell], Stage(stage), bool(again), devices)
            self._sums.add(*count[:3], devices - int(self._shown[key]))
            if devices:
                self._counts[key] = count
            else:
                del self._counts[key]
        self._shown[changed] = self._tally[changed]
        return list(self._counts.values())

    def _forget(self, now: Instant) -> None:
        while self._orders and self._orders[0][0] <= now - DAY:
            self._last_day -= self._orders.popleft()[1]
        while self._updates and self._updates[0][0] <= now - HOUR:
            self._last_hour -= self._updates.popleft()[1]

    def ready(self, now: Instant, limit: int) -> list[Alike]:
        """As `store.orders.Orders.ready`, those together that stand alike and come one after another."""
        fresh: list[Places] = []
        while self._coming and self._coming[0][0] <= now:
            at, _, devices = heappop(self._coming)
            fresh.append(devices[self._ready_at.take(devices) == at])
        found = np.concatenate([self._waiting, *fresh]) if fresh else self._waiting
        times = self._ready_at.take(found)
        waits = (times > 0) & (times <= now)
        found = found[waits]
        if fresh:  # else they are in their order
            found = found[np.lexsort((self.ids.take(found), times[waits]))]
            found = found[runs(found)[0]]  # some wait already
        self._waiting = found
        some = found[:limit].astype(np.intp)
        numbers = self.ids.take(some).tolist()
        cells, progress, since = self._cell.take(some), self.progress.take(some), self._since.take(some)
        begins, lengths = runs(cells, progress, since)
        far = progress[begins].tolist()
        few = {number: Progress(number) for number in set(far)}
        rows = zip(
            [
                numbers[first:end]
                for first, end in zip(begins.tolist(), (begins + lengths).tolist(), strict=True)
            ],
            map(self._cells.__getitem__, cells[begins].tolist()),
            map(few.__getitem__, far),
            since[begins].tolist(),
            strict=True,
        )
        return list(map(Alike._make, rows))

    @property
    def proven(self) -> int:
        """Devices that are."""
        return self.count(Stage.PROVEN)

    def count(self, *stages: Stage) -> int:
        """Devices in these stages."""
        table = self._tally.reshape(-1, _SLOTS)
        return int(sum(table[:, 2 * stage : 2 * stage + 2].sum() for stage in stages))

    def flying(self) -> int:
        """Devices with an order on its way."""
        return self.count(*FLYING)

    # --- what becomes known

    def tell(
        self, devices: Places, stage: Stage, now: Instant, cause: Cause = Cause.NONE, step: int | None = None
    ) -> Places:
        """Evidence that implies a stage in the step of each Device; whom it has brought further."""
        at = index(devices)
        old = look_up(self.progress, at)
        becomes = FINAL.get(stage, 0) << FINAL_SHIFT | stage << STAGE_SHIFT | cause
        new: NDArray[np.int32] | int = step << STEP_SHIFT | becomes if step is not None else 0
        if step is None:
            new = old & (_STEP_MASK << STEP_SHIFT)
            new |= becomes
        moved = old < new
        if not moved.all():
            which = moved.nonzero()[0]
            devices, old = devices.take(which), old.take(which)
            at = at.take(which) if isinstance(at, np.ndarray) else index(devices)
            if isinstance(new, np.ndarray):
                new = new.take(which)
        if len(devices):
            self._move(devices, at, old, new, stage, now)
        return devices

    def _move(
        self,
        devices: Places,
        at: NDArray[np.intp] | slice,
        old: NDArray[np.int32],
        new: NDArray[np.int32] | int,
        stage: Stage,
        now: Instant,
    ) -> None:
        self.progress[at] = new
        cells = look_up(self._cell, at)
        # Neighbours mostly stand alike: one sum for many. Who stood alike and hears the same, stands alike.
        begins, lengths = runs(cells, old)
        some, stood = cells[begins] * np.intp(_SLOTS), old[begins] >> STAGE_SHIFT
        stands = (new[begins] if isinstance(new, np.ndarray) else np.full(1, new, np.int32)) >> STAGE_SHIFT
        known = stood > 0
        np.subtract.at(self._tally, (some + _SLOT_OF.take(stood))[known], lengths[known])
        np.add.at(self._tally, some + _SLOT_OF.take(stands), lengths)
        if len(self._busy):
            flew = _IS_FLYING.take(old >> STAGE_SHIFT)
            if stage in FLYING:
                np.add.at(self._busy, self.estate.hub[devices[~flew]], 1)
            else:
                np.add.at(self._busy, self.estate.hub[devices[flew]], -1)
        if stage in READY:
            self.changed = True
            self._since[at] = now
            self._put(devices, now, at)
            return
        if _IS_READY.take(stood).any():
            self._ready_at[index(devices[_IS_READY.take(old >> STAGE_SHIFT)])] = 0
            self.changed = True
        self.changed |= stage not in FLYING

    def _put(self, devices: Places, until: int, at: NDArray[np.intp] | slice | None = None) -> None:
        """These wait for us from then on; `at`: what they are looked up by, where it is known."""
        self._ready_at[index(devices) if at is None else at] = until
        heappush(self._coming, (until, next(self._tie), devices))

    def expire(self, now: Instant) -> None:
        """As `store.orders.Orders.expire`."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number = heappop(self._deadlines)
            due_at = self._expired(number, self._batches[number], now)
            if due_at is None:
                del self._batches[number]
            else:
                heappush(self._deadlines, (due_at, number))

    def _expired(self, number: int, batch: _Batch, now: Instant) -> Instant | None:
        if batch.sent_at is None:
            return Instant(now + _UNSENT)
        names = DEADLINES_OF[batch.kind]
        begun = max(batch.created_at, batch.sent_at)
        past = names[: batch.deadline + 1]
        due_at = Instant(begun + self.plan.deadlines.of(past[-1]))
        if due_at > now and batch.deadline < len(names):
            return due_at
        mine = batch.devices[look_up(self.progress, index(batch.devices)) < _ENDS]  # most have ended
        batch.devices = mine = mine[self._batch.take(mine) == number]
        if not len(mine):
            return None
        facts = _facts(past)
        stages = self.progress.take(mine) >> STAGE_SHIFT & _STAGE_MASK
        for stage in kinds(stages):
            if (fact := facts.get(Stage(stage))) is not None:
                self.tell(mine[stages == stage], IMPLIES[fact], now, Cause.SILENCE, batch.step)
        following = batch.deadline + 1
        if following < len(names):
            batch.deadline = following
            return Instant(begun + self.plan.deadlines.of(names[following]))
        batch.deadline = len(names)
        return Instant(now + STRAGGLERS)

    # --- what is decided

    def commit(self, decision: Decision, now: Instant, *, is_up: bool = False) -> bool:
        """As `store.orders.Orders.commit`; whether it changed anything. `hand_over` then has the orders.

        is_up  the DCC takes them in this very instant: nobody sees them before
        """
        if not decision:
            return False
        self._is_up = is_up
        self._steer(decision, now)
        done = any((decision.holds, decision.settles, decision.unsettles, decision.pardons, decision.opens))
        if decision.recall or decision.act is not None:
            done |= self._recall(now)
        taken: set[int] = set()
        done |= self._follow_up(decision, taken, now)
        if decision.makes:
            done |= self._make(decision.makes, taken, now)
        if decision.act is not None:
            self.act(decision.act, now)
            done = True
        return done

    def act(self, act: Act, now: Instant) -> None:
        """Follow an arrow of the chart."""
        self.status = CHART.fire(self.status, act)
        if self.status in {CampaignStatus.FINISHED, CampaignStatus.ABORTED}:
            self.ended_at = now

    def _steer(self, decision: Decision, now: Instant) -> None:
        def change(number: int, **values: object) -> None:
            self.strata[number] = replace(self.strata[number], **values)  # type: ignore[arg-type] # a field's

        hold: Hold
        for hold in decision.holds:
            change(hold.stratum, held=hold.reason)
            self.held_at[hold.stratum] = now, hold.reason, self.ordered_of[hold.stratum]
        for number in decision.settles:
            change(number, settled_at=now)
        for number in decision.unsettles:
            change(number, settled_at=None)
        for number, failures in decision.pardons:
            change(number, pardoned=min(failures, self.strata[number].pardoned))
        for number, wave in decision.opens:
            if self.strata[number].held is None:
                change(number, wave=wave, settled_at=None)

    def _recall(self, now: Instant) -> bool:
        done = False
        for number in [it for it in self._unsent if self._batches[it].kind.value in UPDATES]:
            batch = self._batches[number]
            batch.sent_at = now  # its answer: taken back
            self._unsent.remove(number)
            mine = batch.devices[self._batch[batch.devices] == number]
            done |= bool(len(self.tell(mine, Stage.RECALLED, now, step=batch.step)))
        return done

    def _follow_up(self, decision: Decision, taken: set[int], now: Instant) -> bool:
        done = False
        for numbers, stage in (
            (decision.give_up, Stage.FAILED),
            (decision.write_off, Stage.LOST),
            (decision.cancel, Stage.CANCELLED),
        ):
            if not numbers:
                continue
            devices = self._devices(numbers)
            causes = self.progress.take(devices) & ((1 << STAGE_SHIFT) - 1)
            for cause in kinds(causes):
                done |= bool(len(self.tell(devices[causes == cause], stage, now, Cause(cause))))
        defer: dict[int, int] = dict(decision.defer)
        for again in decision.again:
            devices = self._devices(again.updates)
            if again.kind is not Order.READ_FIRMWARE_VERSION and len(self._busy):
                free = self._free(devices, taken)
                defer |= dict.fromkeys(self.ids[devices[~free]].tolist(), now + HOME_BUSY)
                devices = devices[free]
            size = self.plan.batch_max if again.kind.value in UPDATES else READS_MAX
            for start in range(0, len(devices), size):
                self._order(again.kind, again.step, devices[start : start + size], now)
                done = True
        if defer:
            devices = self._devices(list(defer))
            times = np.fromiter(defer.values(), np.int64, len(defer))
            order = np.argsort(times, kind="stable")
            devices, times = devices[order], times[order]
            begins, _ = runs(times)
            for at, part in zip(times[begins].tolist(), np.split(devices, begins[1:]), strict=True):
                self._put(part, at)
            done = True
        return done

    def _free(self, devices: Places, taken: set[int]) -> NDArray[np.bool_]:
        """Whose home is not busy, one Device of each home; these homes are taken then."""
        free = np.zeros(len(devices), bool)
        for at, hub in enumerate(self.estate.hub[devices].tolist()):
            if not self._busy[hub] and hub not in taken:
                taken.add(hub)
                free[at] = True
        return free

    def _devices(self, numbers: Sequence[int]) -> Places:
        return self._device_of.take(np.fromiter(numbers, np.int64, len(numbers)) - 1)

    def _make(self, makes: Iterable[Make], taken: set[int], now: Instant) -> bool:
        every = self.plan.sweep_every
        walks: dict[Place, list[_Pool]] = {}
        rows: list[Places] = []
        done = False
        for make in makes:
            if make.place not in walks:
                mine = [pool for pool in self._by_place[make.place] if pool.due(now, every)]
                walks[make.place] = sorted(mine, key=lambda pool: pool.swept_at is not None)
            wanted = make.devices
            for pool in walks[make.place]:
                if wanted < 1:
                    break
                found = self._walk(pool, wanted, taken, now)
                done = True
                if len(found):
                    wanted -= len(found)
                    at = index(found)
                    self._cell[at] = self._cell_of(make)
                    first, self._numbered = self._numbered, self._numbered + len(found)
                    self.ids[at] = np.arange(first + 1, self._numbered + 1, dtype=np.int32)
                    self._device_of[first : self._numbered] = found
                    self.ordered_of[make.place.stratum] += len(found)
                    rows.append(found)
        if rows:
            rows.sort(key=lambda its: int(its[0]))  # in the order of the estate, for those who take it over
            everyone = np.concatenate(rows)
            kind = Order.update(self.procedure)
            for start in range(0, len(everyone), self.plan.batch_max):
                self._order(kind, FIRST_STEP, everyone[start : start + self.plan.batch_max], now)
        return done

    def _walk(self, pool: _Pool, wanted: int, taken: set[int], now: Instant) -> Places:
        """Go on through a pool until so many free Devices are found, or it ends."""
        if not pool.is_open:  # once more, over those that were left out
            pool.devices = np.concatenate([np.zeros(0, np.uint32), *pool.passed])
            pool.at, pool.passed, pool.left, pool.is_open = 0, [], 0, True
        found: list[Places] = []
        while wanted and pool.at < len(pool.devices):
            some = pool.devices[pool.at : pool.at + wanted]
            if len(self._busy):
                free = self._free(some, taken)
                pool.passed.append(some[~free])
                pool.left += int((~free).sum())
                kept = some[free]
            else:
                kept = some
            pool.at += len(some)
            wanted -= len(kept)
            found.append(kept)
        if pool.at == len(pool.devices):
            pool.is_open, pool.swept_at = False, now
        return np.concatenate([np.zeros(0, np.uint32), *found])

    def _cell_of(self, make: Make) -> int:
        place = make.place
        key = place.stratum, place.wave, make.brood, place.region, place.hub_model
        number = self._cell_ids.get(key)
        if number is None:
            number = self._cell_ids[key] = len(self._cells)
            self._begun.add(key[:2])
            self._cells.append(Cell(number + 1, *key))
            if len(self._tally) < len(self._cells) * _SLOTS:
                more = np.zeros(max(64 * _SLOTS, len(self._tally)), np.int64)
                self._tally = np.concatenate([self._tally, more])
                self._shown = np.concatenate([self._shown, more])
        return number

    def _order(self, kind: Order, step: int, devices: Places, now: Instant) -> None:
        number = next(self._numbers)
        self._batches[number] = _Batch(kind, step, devices, now, now if self._is_up else None)
        due_at = Instant(now + self.plan.deadlines.of(DEADLINES_OF[kind][0]))
        heappush(self._deadlines, (due_at, number))
        self._batch[index(devices)] = number
        self._unsent.append(number)
        is_update = kind.value in UPDATES
        self.requests[kind] += 1 if is_update else len(devices)
        self._orders.append((now, len(devices)))
        self._last_day += len(devices)
        self.named += len(devices)
        if is_update:
            self._updates.append((now, len(devices)))
            self._last_hour += len(devices)
            self._ordered += len(devices)
        self.tell(devices, _SENT[kind] if self._is_up else IMPLIES[kind.fact], now, step=step)

    def hand_over(self, now: Instant) -> Iterator[Handed]:
        """The orders that were not handed over yet: the DCC takes them now."""
        for number in self._unsent:
            batch = self._batches[number]
            if batch.sent_at is None:
                batch.sent_at = now
                self.tell(batch.devices, _SENT[batch.kind], now, step=batch.step)
            later = self._executions(batch, batch.created_at)
            if later is not None and (missed := later <= now + NOTICE).any():
                # As `Orders.postpone`: what was not sent in time goes to the next quiet hour.
                fresh = self._executions(batch, now)
                assert fresh is not None
                later = np.where(missed, fresh, later)
            yield Handed(batch.kind, batch.devices, later)
        self._unsent = []

    def _executions(self, batch: _Batch, ordered_at: Instant) -> NDArray[np.int64] | None:
        """When each Device of a batch is to activate; None: at once, or there is nothing to activate."""
        when = executions(batch.kind, self.plan, ordered_at)
        if not len(batch.devices) or when(0) is None:
            return None
        return np.array([when(nth) or 0 for nth in range(len(batch.devices))], np.int64)

    @property
    def has_unsent(self) -> bool:
        """Whether any order waits for the DCC."""
        return bool(self._unsent)

    def step_of(self, devices: Places) -> NDArray[np.int32]:
        """The step that each Device is in."""
        return self.progress.take(devices) >> STEP_SHIFT & _STEP_MASK

    # --- when to look again

    def is_awaited(self, now: Instant) -> bool:
        """Whether a Device is to be looked at by now."""
        return bool(len(self._waiting)) or (bool(self._coming) and self._coming[0][0] <= now)

    def sweeps(self) -> list[int]:
        """When pools are looked at again in which some were left out."""
        return [
            it.swept_at + self.plan.sweep_every for it in self.pools if it.left and it.swept_at is not None
        ]

    def next_at(self, now: Instant) -> Instant | None:
        """The earliest deadline, or moment at which a Device is to be looked at; None: none."""
        times = [heap[0][0] for heap in (self._deadlines, self._coming) if heap]
        if len(self._waiting):
            at = self._ready_at[self._waiting]
            if ((at > 0) & (at <= now)).any():
                times.append(now)
        return Instant(min(times)) if times else None

    def causes(self) -> Counter[Cause]:
        """Why Devices failed for good."""
        final = self.progress[(self.progress >= _ENDS) & (self.progress < 2 * _ENDS)]
        failed = final[np.isin(final >> STAGE_SHIFT & _STAGE_MASK, (Stage.FAILED, Stage.LOST))]
        found = np.bincount(failed & ((1 << STAGE_SHIFT) - 1), minlength=1)
        return Counter({Cause(number): int(some) for number, some in enumerate(found) if some})


def index(devices: Places) -> NDArray[np.intp] | slice:
    """What numpy looks these up by: a stretch, where they are one."""
    if len(devices):
        first, last = int(devices[0]), int(devices[-1])
        if last - first == len(devices) - 1 and (devices[1:] > devices[:-1]).all():
            return slice(first, last + 1)
    return devices.astype(np.intp)  # else it would make one for each array


def look_up(column: NDArray[Any], at: NDArray[np.intp] | slice) -> NDArray[Any]:
    """A copy of these elements."""
    return column[at].copy() if isinstance(at, slice) else column.take(at)


@cache
def _facts(past: tuple[str, ...]) -> dict[Stage, Fact]:
    """What silence is evidence of, once these deadlines are past."""
    return {stage: fact for name in past for stage, fact in DEADLINES[name].items()}


def runs(*columns: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where rows begin that differ from the one before, and how many in a row are alike from there."""
    count = len(columns[0])
    if not count:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    differs = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        differs |= column[1:] != column[:-1]
    changes = differs.nonzero()[0]
    edges = np.empty(len(changes) + 2, np.intp)
    edges[0], edges[-1] = 0, count
    np.add(changes, 1, out=edges[1:-1])
    return edges[:-1], edges[1:] - edges[:-1]


def kinds(column: NDArray[Any]) -> list[int]:
    """Which small numbers occur, rising."""
    if not len(column):
        return []
    first = int(column[0])
    others = column[column != first]  # mostly few, or none
    return sorted([first, *np.bincount(others).nonzero()[0].tolist()]) if len(others) else [first]


_SENT: Final = {
    Order.UPDATE_FIRMWARE: Stage.SUBMITTED,
    Order.UPDATE_PPMID_FIRMWARE: Stage.SUBMITTED,
    Order.ACTIVATE_FIRMWARE: Stage.ACTIVATION_SENT,
    Order.READ_FIRMWARE_VERSION: Stage.CHECKING,
}
"""Where a Device stands once its order is with the DCC."""
_STANDING: Final = np.arange(1 << FINAL_SHIFT - STAGE_SHIFT + 2)
"""Everything above the cause in a progress number: final, step and stage."""
_IS_FLYING: Final = np.isin(_STANDING & _STAGE_MASK, list(FLYING)) & (_STANDING > 0)
_IS_READY: Final = np.isin(_STANDING & _STAGE_MASK, list(READY))
_SLOT_OF: Final = 2 * (_STANDING & _STAGE_MASK) + ((_STANDING >> STAGE_BITS & _STEP_MASK) >= _SECOND)
"""The column of the tallies for each."""
