"""A campaign on paper: what the store does with a decision, in dictionaries, to try the policy on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from lamplighter.campaign.decide import (
    FIRST_STEP,
    Dated,
    Ready,
    Stratum,
    View,
    call_off,
    calls_off,
    decide,
    empty_waves,
    judge,
)
from lamplighter.campaign.evidence import Evidence, Fact
from lamplighter.campaign.next import DEADLINES, DEADLINES_OF, Order
from lamplighter.campaign.state import FINAL, READY, Stage, fold
from lamplighter.campaign.status import CHART, CampaignStatus
from lamplighter.campaign.tallies import LOADING, Cell, Count
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.registry import Verdict
from lamplighter.store.orders import executions

TARGET = FirmwareVersion(0x0200_0000)
OLD = FirmwareVersion(0x0100_0000)


@dataclass
class Update:
    """One Device's way."""

    id: int
    cell: Cell
    since: Instant
    ready_at: Instant | None = None
    batch: Batch | None = None
    evidence: list = field(default_factory=list)
    was: Stage | None = None
    """Its stage when it was ordered last."""
    execution: Instant | None = None
    """When it is to activate; None: at once, or it was never told."""
    orders: list = field(default_factory=list)
    """What was ordered for it, in turn."""
    folded: tuple = (-1, None)
    """How much evidence was folded last, and what came of it: it is only ever appended."""

    @property
    def progress(self):
        if self.folded[0] != len(self.evidence):
            self.folded = len(self.evidence), fold(self.evidence, TARGET)
        return self.folded[1]

    @property
    def retried(self):
        return self.progress.attempt > 1


@dataclass
class Batch:
    """Orders made at one time."""

    kind: Order
    step: int
    made_at: Instant
    updates: list
    deadline: int = 0
    attempted: bool = False


class Ledger:
    """The campaign."""

    def __init__(self, plan, procedure, waiting, now):
        self.plan = plan
        self.procedure = procedure
        self.now = Instant(now)
        self.started_at = Instant(now)
        self.status = CampaignStatus.RUNNING
        self.withdrawn = False
        self.waiting = Counter(waiting)
        self.late = Counter()
        self.shut = Counter()
        self.strata = {place.stratum: Stratum(place.stratum, f"s{place.stratum}", 0) for place in waiting}
        self.updates = []
        self.batches = []
        self.cells = {}
        self.ordered = []  # (when, kind, Devices)

    # The view, counted from the evidence each time

    def view(self):
        counts = Counter()
        for update in self.updates:
            counts[update.cell, update.progress.stage, update.retried] += 1
        updates = [(at, n) for at, kind, n in self.ordered if kind is Order.update(self.procedure)]
        strata = tuple(self.strata.values())
        waiting = Counter({place: n for place, n in self.waiting.items() if n})
        late = {at: n for at, n in self.late.items() if n and at.wave <= self.strata[at.stratum].wave}
        empty = empty_waves(strata, {(u.cell.stratum, u.cell.wave) for u in self.updates}, waiting, late)
        for place, devices in self.late.items():
            if place.stratum in empty:  # all of it is in waves beyond
                waiting[place] += devices
        return View(
            self.status,
            self.procedure,
            self.started_at,
            strata,
            tuple(Count(*key, devices) for key, devices in sorted(counts.items())),
            {place: n for place, n in waiting.items() if n},
            sum(n for _, n in updates),
            sum(n for at, n in updates if at > self.now - HOUR),
            sum(n for at, _, n in self.ordered if at > self.now - DAY),
            late=late,
            shut={Verdict.HUB_NOT_CAPABLE: self.shut.total()} if self.shut.total() else {},
            withdrawn=self.withdrawn,
        )

    def ready(self, limit=1000):
        due = [u for u in self.updates if u.ready_at is not None and u.ready_at <= self.now]
        due.sort(key=lambda u: (u.ready_at, u.id))
        return [Ready(u.id, u.cell, u.progress, u.since) for u in due[:limit]]

    def dated(self):
        """Of the strata that a decision asks for."""
        return self.to_come(calls_off(self.plan, self.view(), self.now))

    def to_come(self, strata):
        """Activations that are to come, or to be sent, as far as they can be called off."""
        return [
            Dated(u.id, u.cell, u.progress, u.execution, not u.batch.attempted)
            for u in self.updates
            if u.cell.stratum in strata
            and u.batch.kind is Order.ACTIVATE_FIRMWARE
            and u.progress.stage in {Stage.QUEUED, Stage.ACTIVATION_SENT, Stage.ACTIVATION_SCHEDULED}
            and (
                not u.batch.attempted
                or (u.execution is not None and u.execution >= self.now + self.plan.call_off_ahead)
            )
        ]

    def in_flight(self, **where):
        return sum(
            update.progress.stage in LOADING
            and all(getattr(update.cell, name) == value for name, value in where.items())
            for update in self.updates
        )

    # What is done

    def tick(self):
        """Decide, and do it; what was decided."""
        self.expire()
        decision = decide(self.plan, self.view(), self.ready(), self.now, self.dated())
        self.carry_out(decision)
        return decision

    def call_off(self):
        """What an operator does about a paused campaign: all that can be called off is."""
        self.carry_out(call_off(self.plan, self.view(), self.to_come(self.strata), self.now))

    def carry_out(self, decision):
        """Do what was decided."""
        for place, brood, most in decision.makes:
            devices = min(most, self.waiting[place] + self.late[place])
            first = min(devices, self.waiting[place])
            self.waiting[place] -= first
            self.late[place] -= devices - first
            key = (place.stratum, place.wave, brood, place.region, place.hub_model)
            cell = self.cells.setdefault(key, Cell(len(self.cells), *key))
            new = [Update(len(self.updates) + n, cell, self.now) for n in range(devices)]
            self.updates += new
            self._order(Order.update(self.procedure), FIRST_STEP, new)
        for kind, step, ids in decision.again:
            self._order(kind, step, [self.updates[n] for n in ids])
        for n in decision.take_back:
            assert not self.updates[n].batch.attempted
            self.say(self.updates[n], Fact.CALLED_OFF)
        for fact, ids in (
            (Fact.GIVEN_UP, decision.give_up),
            (Fact.LOST, decision.write_off),
            (Fact.CANCELLED, decision.cancel),
        ):
            for n in ids:
                self.say(self.updates[n], fact, cause=self.updates[n].progress.cause)
        for n, at in decision.defer.items():
            assert at > self.now
            self.updates[n].ready_at = at
        if decision.recall:
            for batch in self.batches:
                if not batch.attempted and batch.kind is Order.update(self.procedure):
                    batch.attempted = True
                    for update in batch.updates:
                        self.say(update, Fact.RECALLED, step=batch.step)
        for stratum, reason in decision.holds:
            self._change(stratum, held=reason)
        for stratum in decision.settles:
            self._change(stratum, settled_at=self.now)
        for stratum in decision.unsettles:
            self._change(stratum, settled_at=None)
        for stratum, wave in decision.opens:
            self._change(stratum, wave=wave, settled_at=None)
        for stratum, failures in decision.pardons:
            self._change(stratum, pardoned=min(failures, self.strata[stratum].pardoned))
        if decision.act is not None:
            self.act(decision.act)

    def shut_out(self, stratum, regions):
        """What a verdict does to those that wait: they have no pool any more."""
        for pools in (self.waiting, self.late):
            for place, devices in pools.items():
                if place.stratum == stratum and place.region in regions:
                    self.shut[place] += devices
                    pools[place] = 0

    def let_in(self):
        """What the next verdict does: they come late, and no wave that has begun waits for them."""
        self.late += self.shut
        self.shut.clear()

    def act(self, act):
        self.status = CHART.fire(self.status, act)

    def hold(self, stratum):
        """What the gate does."""
        self._change(stratum, held="harm", settled_at=None)

    def release(self, stratum):
        """What the operator does about a hold: failures so far are pardoned, and all is looked at anew."""
        if self.strata[stratum].held is None:
            return
        view = self.view()
        strata = [replace(it, pardoned=0) for it in view.strata]
        found = judge(self.plan, replace(view, strata=strata))[stratum]
        self._change(stratum, held=None, pardoned=found.total.failures)
        for update in self.updates:
            if update.ready_at is not None:
                update.ready_at = min(update.ready_at, self.now)

    def _change(self, stratum, **values):
        self.strata[stratum] = replace(self.strata[stratum], **values)

    def _order(self, kind, step, updates):
        if not updates:
            return
        batch = Batch(kind, step, self.now, updates)
        self.batches.append(batch)
        self.ordered.append((self.now, kind, len(updates)))
        when = executions(kind, self.plan, self.now)
        for nth, update in enumerate(updates):
            update.batch = batch
            if kind is Order.ACTIVATE_FIRMWARE:
                update.execution = when(nth)
            update.orders.append(kind)
            update.was = update.progress.stage
            assert update.was not in FINAL, "nothing is ordered for a Device at its end"
            self.say(update, kind.fact, step=step)

    def say(self, update, fact, *, step=None, version=None, **more):
        """A piece of evidence."""
        before = update.progress
        step = before.step if step is None else step
        update.evidence.append((step, Evidence(fact, self.now, "test", version=version, **more)))
        after = update.progress
        assert after >= before
        if after > before:
            update.since = self.now
            update.ready_at = self.now if after.stage in READY else None

    def expire(self):
        """Deadlines that have passed, as `next.DEADLINES` has them."""
        for batch in self.batches:
            names = DEADLINES_OF[batch.kind]
            while batch.deadline < len(names) and self.now >= batch.made_at + self.plan.deadlines.of(
                names[batch.deadline]
            ):
                passed = [DEADLINES[name] for name in names[: batch.deadline + 1]]
                batch.deadline += 1
                for update in batch.updates:
                    progress = update.progress
                    if progress.step != batch.step:
                        continue
                    for table in passed:
                        if progress.stage in table:
                            self.say(update, table[progress.stage])
                            break
