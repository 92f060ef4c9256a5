"""Orders: a decision carried out, all of it in one transaction, and what deadlines make evident.

Whoever forms orders does so alone (`record.fresh` waits for the others): so no two see the same Device, or
the same home, free. A decision is carried out only as far as the world is still the one that it was made for:
a campaign that stands elsewhere by now gets nothing, an update that has moved on meanwhile is left alone, and
what another campaign has taken of the room is not taken twice.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)

from lamplighter.campaign import windows
from lamplighter.campaign.decide import DATED, DEFER_MAX, FIRST_STEP, Again, Dated, Ready, call_off
from lamplighter.campaign.evidence import Cause, Fact
from lamplighter.campaign.next import (
    DEADLINES,
    DEADLINES_OF,
    QUIET,
    Action,
    Order,
    may_call_off,
    next_step,
)
from lamplighter.campaign.state import FLYING, STAGE_BITS, STAGE_SHIFT, Progress, Stage
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.campaign.tallies import Cell
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from lamplighter.registry import DeviceStatus, DeviceType, Part
from lamplighter.registry.eligibility import PARTS
from lamplighter.store import audit, record
from lamplighter.store import schema as s
from lamplighter.store.campaigns import (
    ELSEWHERE,
    LAST_DAY,
    ORDER,
    POLICY,
    RECALLED,
    RENEWED,
    RESTORED,
    UPDATES,
    change,
    note,
    outcomes,
    pools,
    recall,
    spans,
)
from lamplighter.store.registry import catch_up

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from lamplighter.campaign.decide import Decision, Make, Place, View
    from lamplighter.campaign.plan import Plan
    from lamplighter.kit import Eui64
    from lamplighter.store.campaigns import Campaign, Pool
    from lamplighter.store.database import Database, Fence

READY_MAX: Final = 10_000
"""Updates that one decision looks at."""
READS_MAX: Final = 50_000
"""Orders for single Devices in one batch."""
EXPIRE_MAX: Final = 100_000
"""Devices whose deadlines are looked at in one transaction, but one batch at least."""

_LOCK: Final = 0x4C61_6D70_436F_756E  # PostgreSQL's advisory lock of whoever gives out counters: "LampCoun"
_EXAMINED_MAX: Final = 100_000  # Devices that one commit looks at, at most: what a tick costs is bounded
_EXAMINED_MIN: Final = 2_000  # looked at in one statement, at least
_SLACK: Final = 50  # more than stand in one bucket: there are ten or so where ten million are alike
HOME_BUSY: Final = HOUR  # until a later order for a home that is busy is looked at again
_UNSENT: Final = 10 * MINUTE  # until a batch whose requests are not all answered is looked at again
STRAGGLERS: Final = HOUR  # until a batch is looked at again, all of whose deadlines have passed
NOTICE: Final = 10 * MINUTE
"""Nobody is told to activate at a time that is nearer than this: the command takes its way to the Device, and
one that comes late is carried out at once, in the middle of somebody's breakfast."""


def next_counter(database: Database, connection: Connection, now: Instant) -> int:
    """The first counter that may be given to a request; until the transaction ends, nobody else gets one.

    It is the time in milliseconds, and always above the last: a clock that is put back does not make the DCC
    see a counter twice. A lower one never becomes visible after a higher one.
    """
    if not database.is_sqlite:  # there BEGIN IMMEDIATE has waited
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    last = max(
        connection.execute(select(func.max(of.c.counter))).scalar_one() or 0 for of in (s.request, s.question)
    )
    return int(max(last + 1, now // MILLISECOND))


def digest_of_devices(devices: Sequence[int]) -> bytes:
    """SHA-256 of the EUI-64s of Devices, in their order, eight octets each; as the database has them."""
    euis = np.array(devices, np.int64).view(np.uint64) ^ np.uint64(1 << 63)
    return hashlib.sha256(euis.astype(">u8").tobytes()).digest()


class _Candidate(NamedTuple):
    """A Device that may be ordered."""

    device: int
    hub: int
    bucket: int
    engaged: int


@dataclass(slots=True)
class _Work:
    """What one commit is at."""

    connection: Connection
    campaign: Campaign
    now: Instant
    hubs: set[int] = field(default_factory=set)
    """Homes that this commit has ordered something for."""
    evidence: list[tuple[Any, ...]] = field(default_factory=list)
    executions: Mapping[int, Instant | None] = field(default_factory=dict)
    """When those are to activate that are called off."""
    examined: int = 0
    done: int = 0
    """How much was changed."""
    called_off: int = 0
    """Activations that were called off, or taken back."""

    @property
    def plan(self) -> Plan:
        """The campaign's."""
        return self.campaign.plan


class Orders:
    """Orders of campaigns, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ready(self, campaign: Campaign, now: Instant, limit: int = READY_MAX) -> list[Ready]:
        """The updates that wait for us, the longest waiting first."""
        with self._database.reading() as connection:
            rows = list(connection.execute(_READY, {"campaign": campaign.id, "now": now, "limit": limit}))
            if len(rows) < limit:
                # Nothing is put off for longer: this was put off by a clock that ran ahead.
                ahead = {"campaign": campaign.id, "beyond": now + DEFER_MAX, "limit": limit - len(rows)}
                rows += connection.execute(_READY_AHEAD, ahead).all()
        return [
            Ready(number, Cell(*cell), Progress(progress), Instant(since))
            for number, progress, since, *cell in rows
        ]

    def dated(
        self,
        campaign: Campaign,
        strata: Collection[int],
        now: Instant,
        device: Eui64 | None = None,
        limit: int = READS_MAX,
    ) -> list[Dated]:
        """The updates of some strata whose activation can be called off, the next to come first.

        Those that fall due too soon are not among them, nor what is sent and was not dated.
        """
        if not strata:
            return []
        query = _DATED.where(s.cell.c.stratum.in_(sorted(strata))).limit(limit)
        if device is not None:
            query = query.where(s.device_update.c.device == device)
        least = {"of": campaign.id, "least": now + campaign.plan.call_off_ahead}
        with self._database.reading() as connection:
            return [
                Dated(
                    number,
                    Cell(*cell),
                    Progress(progress),
                    None if at is None else Instant(at),
                    attempted is None,
                )
                for number, progress, at, attempted, *cell in connection.execute(query, least)
            ]

    # --- a decision

    def commit(
        self,
        fence: Fence | None,
        campaign: Campaign,
        view: View,
        decision: Decision,
        ready: Sequence[Ready],
        now: Instant,
        dated: Sequence[Dated] = (),
    ) -> int:
        """Carry out a decision that was made of this view and these updates; how much it changed.

        Where other campaigns have taken room under the caps meanwhile, what needs room is left for the next
        decision; holds and call-offs are not. 0: nothing was to be done, or the campaign no longer stands
        where it was seen. Raises `LeaseLostError`, and then nothing was done.
        """
        if not decision:
            return 0
        with self._database.writing(fence) as connection:
            work = _Work(connection, campaign, now, executions={it.id: it.execution for it in dated})
            return self._carry_out(work, view, decision, [*ready, *dated])

    def call_off(
        self, campaign: Campaign, view: View, dated: Sequence[Dated], who: str, now: Instant, detail: str
    ) -> int:
        """Call off, or take back, these activations because a person wants it; how many of them.

        Raises `UsageError` where the campaign no longer stands where it was seen.
        """
        decision = call_off(campaign.plan, view, dated, now)
        with self._database.writing() as connection:
            note(connection, campaign.id, now, who, "call off", detail)
            if not decision:
                return 0
            work = _Work(connection, campaign, now, executions={it.id: it.execution for it in dated})
            if not self._carry_out(work, view, decision, dated):
                raise UsageError(f"campaign {campaign.name!r} has moved on at this moment: look at it again")
            return work.called_off

    def put_back(self, campaign: Campaign, who: str, now: Instant, detail: str) -> bool:
        """Have a campaign of a copy that is put back wait for a person; whether it ran.

        An activation that had not left when the copy was made may have left since: it must not go out as if
        it were new, nor late. It is closed, and what the Device runs is asked before it is told to again.
        """
        with self._database.writing() as connection:
            ran = campaign.status is CampaignStatus.RUNNING
            if ran:
                change(connection, campaign.id, campaign.status, Act.PAUSE, who, now, detail)
            record.fresh(self._database, connection)
            recall(connection, campaign.id, now)
            work = _Work(connection, campaign, now)
            closed = []
            for row in connection.execute(_NOT_SIGNED, {"of": campaign.id}):
                closed.append({"of": row.counter})
                progress = Progress(row.progress)
                # As after a call-off that was not answered: it holds the image, and is asked first.
                step = next_step(progress, Action.CALL_OFF) if may_call_off(progress) else progress.step
                self._say(work, row.id, step, Fact.NO_WORD_OF_CALL_OFF, RESTORED, Cause.SILENCE)
            if closed:
                by_counter = update(s.request).where(s.request.c.counter == bindparam("of"))
                connection.execute(by_counter.values(answered_at=now, response_code=RESTORED), closed)
            self._database.load(connection, record.FRESH, record.COLUMNS, work.evidence)
            record.append(self._database, connection, now)
            return ran

    def _carry_out(
        self, work: _Work, view: View, decision: Decision, seen_as: Sequence[Ready | Dated]
    ) -> int:
        connection, campaign, now = work.connection, work.campaign, work.now
        status = connection.execute(
            select(s.campaign.c.status).where(s.campaign.c.id == campaign.id).with_for_update(read=True)
        ).scalar_one()
        if status != view.status.value:
            return 0
        record.fresh(self._database, connection)
        if (decision.makes or decision.again) and _is_outrun(connection, campaign, view, now):
            decision = _without_room(connection, campaign, decision, now)
        self._steer(work, decision)
        # At the end nobody waits for what is unsent, and nobody would look at it again.
        if decision.recall or decision.act is not None:
            work.done += recall(connection, campaign.id, now)
        self._follow_up(work, decision, seen_as)
        if decision.makes:
            self._make(work, Order.update(view.procedure), decision.makes)
        self._database.load(connection, record.FRESH, record.COLUMNS, work.evidence)
        work.done += record.append(self._database, connection, now)
        if decision.act is not None:
            ends = outcomes(connection, campaign.id)
            change(connection, campaign.id, view.status, decision.act, POLICY, now, ends)
            work.done += 1
        return work.done

    def _steer(self, work: _Work, decision: Decision) -> None:
        """Hold strata, and open waves."""
        connection, now, strata = work.connection, work.now, s.stratum.c
        for number, reason in decision.holds:
            held = connection.execute(
                update(s.stratum)
                .where(strata.id == number, strata.held_at.is_(None))
                .values(held_at=now, held_because=reason)
            ).rowcount
            if held:
                note(
                    connection,
                    work.campaign.id,
                    now,
                    POLICY,
                    "hold",
                    f"{_name(connection, number)}: {reason}",
                )
            work.done += held
        for number, at in (
            *((number, now) for number in decision.settles),
            *((number, None) for number in decision.unsettles),
        ):
            work.done += connection.execute(
                update(s.stratum).where(strata.id == number).values(wave_settled_at=at)
            ).rowcount
        for number, failures in decision.pardons:
            work.done += connection.execute(
                update(s.stratum)
                .where(strata.id == number, strata.pardoned > failures)
                .values(pardoned=failures)
            ).rowcount
        for number, wave in decision.opens:
            opened = connection.execute(
                update(s.stratum)
                .where(strata.id == number, strata.wave == wave - 1, strata.held_at.is_(None))
                .values(wave=wave, wave_opened_at=now, wave_settled_at=None)
            ).rowcount
            if opened:
                what = f"{_name(connection, number)}: {work.plan.waves[wave].name}"
                note(connection, work.campaign.id, now, POLICY, "open wave", what)
            work.done += opened

    # --- updates that were ordered before

    def _follow_up(self, work: _Work, decision: Decision, seen_as: Sequence[Ready | Dated]) -> None:
        """Later orders, give-ups and deferrals, of those that are still as they were seen."""
        ends = {
            **dict.fromkeys(decision.give_up, Fact.GIVEN_UP),
            **dict.fromkeys(decision.write_off, Fact.LOST),
            **dict.fromkeys(decision.cancel, Fact.CANCELLED),
        }
        mentioned = (
            {number for again in decision.again for number in again.updates}
            | ends.keys()
            | decision.defer.keys()
            | set(decision.take_back)
        )
        if not mentioned:
            return
        seen = {item.id: item.progress.number for item in seen_as}
        self._choose(work.connection, ((number, 0) for number in sorted(mentioned)))
        here: dict[int, _Waiting] = {}
        for row in work.connection.execute(_CHOSEN):
            waiting = _Waiting(*row)
            if waiting.progress == seen.get(waiting.id):
                here[waiting.id] = waiting
        for waiting in here.values():
            progress = Progress(waiting.progress)
            if (fact := ends.get(waiting.id)) is not None:
                self._say(work, waiting.id, progress.step, fact, POLICY, progress.cause)
            elif (cause := waiting.left) is not None:
                self._say(work, waiting.id, progress.step, Fact.LEFT, "registry", cause)
        gone = {number for number, waiting in here.items() if waiting.left is not None} | ends.keys()
        defer = {number: at for number, at in decision.defer.items() if number in here and number not in gone}
        self._take_back(work, [here[it] for it in decision.take_back if it in here and it not in gone])
        orders: list[tuple[Again, Sequence[_Waiting]]] = []
        for again in decision.again:
            some = [here[number] for number in again.updates if number in here and number not in gone]
            if again.kind not in QUIET:
                free = []
                for waiting in some:
                    if waiting.home_is_busy or waiting.hub in work.hubs:
                        defer[waiting.id] = Instant(work.now + HOME_BUSY)
                    else:
                        work.hubs.add(waiting.hub)
                        free.append(waiting)
                some = free
            orders += [(again, part) for part in _parts(some, _size(again.kind, work.plan))]
        if orders:
            self._order_again(work, orders)
        by_time: dict[Instant, list[int]] = defaultdict(list)
        for number, at in defer.items():
            by_time[at].append(number)
        if defer:
            work.done += len(defer)
            work.connection.execute(
                _DEFER, [{"of": number, "at": at} for at, numbers in by_time.items() for number in numbers]
            )

    def _take_back(self, work: _Work, updates: Sequence[_Waiting]) -> None:
        """Take back activations that were never attempted: nobody is told, and the image stays."""
        if not updates:
            return
        self._choose(work.connection, ((it.id, it.batch) for it in updates))
        # In the order of the counters, as the outbox notes its attempts: so that neither waits for the other.
        rows = work.connection.execute(_UNSENT_OF_CHOSEN).all()
        if rows:
            work.connection.execute(
                update(s.request)
                .where(s.request.c.counter == bindparam("of"))
                .values(answered_at=work.now, response_code=RECALLED),
                [{"of": row.counter} for row in rows],
            )
        steps = {it.id: Progress(it.progress).step for it in updates}
        for row in rows:
            self._say(work, row.id, steps[row.id], Fact.CALLED_OFF, RECALLED)
        work.called_off += len(rows)

    def _order_again(self, work: _Work, orders: Sequence[tuple[Again, Sequence[_Waiting]]]) -> None:
        counter = next_counter(self._database, work.connection, work.now)
        batches: list[tuple[int, int]] = []
        for again, some in orders:
            batch = self._batch(work, again.kind, again.step, [it.device for it in some], counter)
            if again.kind.value in UPDATES:
                self._requests(work, [(counter, batch, None, None)])
                counter += 1
            else:
                when = executions(again.kind, work.plan, work.now)
                if again.kind is Order.CALL_OFF_ACTIVATION:
                    times: list[int | None] = [work.executions[it.id] for it in some]
                else:
                    times = [when(nth) for nth in range(len(some))]
                self._requests(
                    work,
                    [
                        (counter + nth, batch, it.device, at)
                        for nth, (it, at) in enumerate(zip(some, times, strict=True))
                    ],
                )
                counter += len(some)
            work.called_off += len(some) * (again.kind is Order.CALL_OFF_ACTIVATION)
            batches += [(it.id, batch) for it in some]
            for it in some:
                self._say(work, it.id, again.step, again.kind.fact, f"SRV {again.kind.srv}")
        self._choose(work.connection, batches)
        work.connection.execute(_REBATCH)

    def postpone(self, fence: Fence, campaign: Campaign, counters: Iterable[int], now: Instant) -> int:
        """Order activations anew that were not sent before their time; how many.

        Each stays in its step, for nobody was told of it: that a lane stood still for nights uses nothing up.
        It gets a fresh counter, the next quiet hour, and a batch whose deadline begins anew; so those that
        were sent do not wait for it. What was recalled, answered or signed meanwhile is left alone, and for
        whom nothing is to be activated any more, nothing is ordered.
        """
        missed = _MISSED.where(s.request.c.counter.in_(sorted(counters)))
        with self._database.writing(fence) as connection:
            record.fresh(self._database, connection)
            rows = connection.execute(missed).all()
            if not rows:
                return 0
            connection.execute(
                update(s.request)
                .where(s.request.c.counter == bindparam("of"))
                .values(answered_at=now, response_code=RENEWED),
                [{"of": row.counter} for row in rows],
            )
            work = _Work(connection, campaign, now)
            steps = {row.id: row.step for row in rows if _is_in(Progress(row.progress), row.step)}
            self._choose(connection, ((number, 0) for number in sorted(steps)))
            again: dict[int, list[_Waiting]] = defaultdict(list)
            for waiting in (_Waiting(*row) for row in connection.execute(_CHOSEN)):
                if (cause := waiting.left) is not None:
                    self._say(work, waiting.id, steps[waiting.id], Fact.LEFT, "registry", cause)
                else:
                    again[steps[waiting.id]].append(waiting)
            orders = [
                (Again(Order.ACTIVATE_FIRMWARE, step, tuple(it.id for it in some)), some)
                for step, some in sorted(again.items())
            ]
            if orders:
                self._order_again(work, orders)
            self._database.load(connection, record.FRESH, record.COLUMNS, work.evidence)
            record.append(self._database, connection, now)
            done = sum(len(some) for _, some in orders)
            said = f"{done} activations to the next quiet hour, the first in place of {rows[0].counter}"
            audit.note(connection, now, audit.SYSTEM, "postpone", subject="requests", detail=said)
            return done

    # --- first orders

    def _make(self, work: _Work, kind: Order, makes: Sequence[Make]) -> None:
        """First orders for as many Devices of each place as are wanted and free."""
        catch_up(self._database, work.connection)  # whom another campaign has brought elsewhere is not here
        places: dict[Place, list[_Walk]] = defaultdict(list)
        for pool in pools(work.connection, work.campaign.id):
            if pool.due(work.now, work.plan.sweep_every):
                places[pool.place].append(_Walk.through(pool))
        # Those that nobody was ordered from before those that are swept again.
        for walks in places.values():
            walks.sort(key=lambda walk: not walk.pool.is_first)
        rows: list[tuple[int, int, int]] = []
        for make in makes:
            wanted = make.devices
            cell: int | None = None
            for walk in places.get(make.place, ()):
                if wanted < 1 or work.examined >= _EXAMINED_MAX:
                    break
                found = self._walk(work, walk, wanted)
                wanted -= len(found)
                if found and cell is None:
                    cell = self._cell(work.connection, make)
                rows += [(it.device, it.hub, cell or 0) for it in found]
        for walks in places.values():
            for walk in walks:
                work.done += self._keep(work, walk)
        counter = next_counter(self._database, work.connection, work.now) if rows else 0
        for part in _parts(rows, work.plan.batch_max):
            batch = self._batch(work, kind, FIRST_STEP, [device for device, *_ in part], counter)
            self._requests(work, [(counter, batch, None, None)])
            counter += 1
            self._database.load(
                work.connection,
                s.device_update,
                ("campaign", "device", "hub", "cell", "batch", "progress", "since", "busy"),
                (
                    (work.campaign.id, device, hub, cell, batch, 0, work.now, False)
                    for device, hub, cell in part
                ),
            )
            work.connection.execute(
                _ORDERED,
                {"batch": batch, "step": FIRST_STEP, "now": work.now, "message": f"SRV {kind.value}"},
            )

    def _walk(self, work: _Work, walk: _Walk, wanted: int) -> list[_Candidate]:
        """Go on through a pool until so many free Devices are found, or it ends, or enough was looked at."""
        found: list[_Candidate] = []
        while walk.position is not None and len(found) < wanted and work.examined < _EXAMINED_MAX:
            low, high, turn = spans(walk.position, walk.pool.last, work.campaign.salt)[0]
            looked_at = max(2 * (wanted - len(found)), _EXAMINED_MIN)
            # Whole buckets, of so many Devices in all as we mean to look at.
            there, furthest = work.connection.execute(
                _AHEAD, {"cohort": walk.pool.cohort, "low": low, "high": high, "limit": looked_at}
            ).one()
            work.examined += there
            edge = high if there < looked_at else max(furthest, low + 1)
            limit = wanted - len(found) + _SLACK
            span = {"cohort": walk.pool.cohort, "low": low, "high": edge, "limit": limit}
            rows = [
                _Candidate(*row)
                for row in work.connection.execute(_CANDIDATES, {"campaign": work.campaign.id, **span})
            ]
            if len(rows) == limit:
                # The last bucket may have more than we saw: it is left for the next time, unless it is alone.
                edge = max(rows[-1].bucket, rows[0].bucket + 1)
                rows = [it for it in rows if it.bucket < edge]
            passed: list[int] = []
            for it in rows:
                if it.device in walk.taken:
                    continue
                if len(found) == wanted:
                    edge = it.bucket
                    break
                if it.engaged or it.hub in work.hubs:
                    passed.append(it.bucket)
                else:
                    work.hubs.add(it.hub)
                    walk.taken.add(it.device)
                    found.append(it)
            # Whoever stands in a bucket that is looked at again is counted then.
            walk.passed += sum(bucket < edge for bucket in passed)
            walk.position = edge + turn if edge + turn < walk.pool.last else None
        return found

    def _keep(self, work: _Work, walk: _Walk) -> int:
        """Write down how far a pool is gone through."""
        if walk.position == walk.begun_at:
            return 0
        waiting = max(0, walk.pool.waiting - len(walk.taken) - walk.passed + walk.passed_before)
        if walk.pool.is_first and not waiting and walk.position is not None:
            # There may be more than were counted at first: how many, or none.
            waiting = self._ahead(work, walk)
            walk.position = walk.position if waiting else None
        pool = s.pool.c
        over = walk.position is None
        return work.connection.execute(
            update(s.pool)
            .where(
                pool.campaign == work.campaign.id,
                pool.cohort == walk.pool.cohort,
                pool.wave == walk.pool.place.wave,
                pool.verdict == "ELIGIBLE",
            )
            .values(
                position=walk.position,
                waiting=0 if over else waiting,
                passed=walk.passed,
                swept_at=work.now if over else walk.pool.swept_at,
            )
        ).rowcount

    def _ahead(self, work: _Work, walk: _Walk) -> int:
        """How many Devices this pass still comes to, counted up to a limit; those just found do not count."""
        assert walk.position is not None
        some = 0
        for low, high, _ in spans(walk.position, walk.pool.last, work.campaign.salt):
            here = {"cohort": walk.pool.cohort, "low": low, "high": high, "limit": _EXAMINED_MIN}
            found = work.connection.execute(_CANDIDATES, {"campaign": work.campaign.id, **here})
            some += sum(device not in walk.taken for device, *_ in found)
        return some

    def _cell(self, connection: Connection, make: Make) -> int:
        """Where the Devices of an order are counted."""
        values = {
            "stratum": make.place.stratum,
            "wave": make.place.wave,
            "brood": make.brood,
            "region": make.place.region,
            "hub_model": make.place.hub_model,
        }
        connection.execute(self._database.insert(s.cell).values(values).on_conflict_do_nothing())
        return int(
            connection.execute(
                select(s.cell.c.id).where(*(s.cell.c[name] == value for name, value in values.items()))
            ).scalar_one()
        )

    # --- both

    def _batch(self, work: _Work, kind: Order, step: int, devices: Sequence[int], counter: int) -> int:
        """A batch of orders for these Devices, whose first request bears this counter; noted as one entry."""
        name = DEADLINES_OF[kind][0]
        values = {
            "campaign": work.campaign.id,
            "kind": kind.value,
            "step": step,
            "devices": len(devices),
            "created_at": work.now,
            "deadline": 0,
            "due_at": work.now + work.plan.deadlines.of(name),
        }
        batch = int(
            work.connection.execute(insert(s.batch).values(values).returning(s.batch.c.id)).scalar_one()
        )
        said = {
            "srv": kind.srv,
            **({"calls_off": True} if kind is Order.CALL_OFF_ACTIVATION else {}),
            "step": step,
            "devices": len(devices),
            "first_counter": counter,
            "sha256": digest_of_devices(devices).hex(),
        }
        detail = json.dumps(said, separators=(",", ":"))
        note(work.connection, work.campaign.id, work.now, POLICY, ORDER, detail, f"batch {batch}")
        return batch

    def _requests(self, work: _Work, rows: Iterable[tuple[int, int, int | None, int | None]]) -> None:
        """(counter, batch, device, execution_at)."""
        self._database.load(work.connection, s.request, ("counter", "batch", "device", "execution_at"), rows)

    def _choose(self, connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
        """Put updates into the temporary table `chosen`, each with a batch."""
        at_commit = "" if self._database.is_sqlite else " ON COMMIT DELETE ROWS"
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS chosen (id BIGINT, batch INTEGER){at_commit}"
        )
        connection.exec_driver_sql("DELETE FROM chosen")
        self._database.load(connection, _CHOICE, ("id", "batch"), rows)

    @staticmethod
    def _say(
        work: _Work,
        number: int,
        step: int,
        fact: Fact,
        message: str,
        cause: Cause = Cause.NONE,
        detail: str = "",
    ) -> None:
        work.evidence.append((number, step, fact.name, work.now, message, int(cause), detail, None, None))

    # --- deadlines

    def expire(self, fence: Fence | None, campaign: Campaign, now: Instant) -> int:
        """Write down that deadlines have passed, and when the next ones do; how many batches that concerned.

        A deadline counts from the order, or from the DCC's answer to the last request of its batch where that
        came later: what was not sent can have no answer, and nobody of such a batch is silent.
        """
        longest = max(campaign.plan.deadlines.of(name) for name in DEADLINES)
        at = {"campaign": campaign.id, "now": now, "latest": now + longest + max(_UNSENT, STRAGGLERS)}
        with self._database.reading() as connection:
            if all(connection.execute(query, at).first() is None for query in (_DUE, _OF_AHEAD)):
                return 0
        with self._database.writing(fence) as connection:
            record.fresh(self._database, connection)
            # Batches of a clock that ran ahead count as made now: else their Devices would wait until then,
            # what they say would be taken for older than their orders, and the rates would be used up.
            for query in (_MADE_NOW, _DUE_NOW):
                connection.execute(query, at)
            looked_at = changed = 0
            for batch in connection.execute(_DUE, {"campaign": campaign.id, "now": now}).all():
                if looked_at and looked_at + batch.devices > EXPIRE_MAX:
                    break
                looked_at += batch.devices
                values = self._expired(connection, campaign.plan, batch, now)
                connection.execute(update(s.batch).where(s.batch.c.id == batch.id).values(values))
                changed += 1
            record.append(self._database, connection, now)
            return changed

    def _expired(self, connection: Connection, plan: Plan, batch: Any, now: Instant) -> dict[str, Any]:
        """What becomes of a batch whose deadline has passed; its evidence goes into `record.FRESH`."""
        unanswered, answered_at = connection.execute(_ANSWERS, {"batch": batch.id, "now": now}).one()
        if unanswered:
            return {"due_at": now + _UNSENT}
        names = DEADLINES_OF[Order(batch.kind)]
        begun = max(batch.created_at, answered_at or 0)
        # All of its deadlines may have passed already: then it is looked at only for stragglers.
        past = names[: batch.deadline + 1]
        due_at = begun + plan.deadlines.of(past[-1])
        if due_at > now and batch.deadline < len(names):
            return {"due_at": due_at}
        facts = {stage: fact for name in past for stage, fact in DEADLINES[name].items()}
        cases = " ".join(f"WHEN {int(stage)} THEN '{fact.name}'" for stage, fact in sorted(facts.items()))
        details = " ".join(
            f"WHEN {int(stage)} THEN '{name}'" for name in past for stage in sorted(DEADLINES[name])
        )
        connection.execute(
            text(
                _SILENT.format(
                    cases=cases, details=details, stages=", ".join(str(int(it)) for it in sorted(facts))
                )
            ),
            {"batch": batch.id, "step": batch.step, "now": now, "cause": int(Cause.SILENCE)},
        )
        following = batch.deadline + 1
        if following < len(names):
            return {"deadline": following, "due_at": begun + plan.deadlines.of(names[following])}
        # A late word may bring a silent Device back into the air: it must come down again.
        waits = connection.execute(_UNFINISHED, {"batch": batch.id}).first() is not None
        return {"deadline": len(names), "due_at": now + STRAGGLERS if waits else None}


@dataclass(slots=True)
class _Walk:
    """Going through a pool."""

    pool: Pool
    begun_at: int | None
    position: int | None
    passed_before: int
    passed: int
    taken: set[int] = field(default_factory=set)

    @classmethod
    def through(cls, pool: Pool) -> _Walk:
        """Go on where the last commit stopped, or begin anew."""
        if pool.position is None:
            return cls(pool, pool.first, pool.first, 0, 0)
        return cls(pool, pool.position, pool.position, pool.passed, pool.passed)


class _Waiting(NamedTuple):
    """An update that waits for us, or whose activation is to be called off, as it is now."""

    id: int
    device: int
    hub: int
    batch: int
    progress: int
    home_is_busy: bool
    type: str | None
    status: str | None
    part: str | None

    @property
    def left(self) -> Cause | None:
        """Why the Device is no longer ours to update; None: it is."""
        if self.status is None or self.part is None or self.type is None:
            return Cause.REMOVED
        if (cause := _LEFT.get(DeviceStatus(self.status))) is not None:
            return cause
        ours = PARTS.get(DeviceType(self.type), frozenset())
        return None if Part(self.part) in ours else Cause.SUPPLIER


_LEFT: Final = {
    DeviceStatus.DECOMMISSIONED: Cause.DECOMMISSIONED,
    DeviceStatus.WITHDRAWN: Cause.DECOMMISSIONED,
    DeviceStatus.SUSPENDED: Cause.SUSPENDED,
}
"""Statuses in the inventory that take a Device out of a campaign."""

_Item = TypeVar("_Item")


def _parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _size(kind: Order, plan: Plan) -> int:
    """How many Devices a batch may have: an update goes to all of them in one request."""
    return plan.batch_max if kind.value in UPDATES else READS_MAX


def _is_in(progress: Progress, step: int) -> bool:
    """Whether an update still waits for what comes of this step."""
    return progress.step == step and progress.stage in FLYING


def executions(kind: Order, plan: Plan, now: Instant) -> Callable[[int], int | None]:
    """When the nth Device of a batch is to activate: spread over the quiet hour, to the second.

    That is the first which begins later than `NOTICE` from now. Batches of different moments begin at
    different places of it: most are of one Device.
    """
    if kind is not Order.ACTIVATE_FIRMWARE or plan.activate_at is None:
        return lambda _: None
    quiet = (windows.Window(*plan.activate_at),)
    begins = windows.quiet_instant(*plan.activate_at, Instant(now + NOTICE))
    ends = windows.next_change(quiet, frozenset(), begins)
    wide = max(1, (begins + HOUR if ends is None else ends) - begins) // SECOND
    first = (now // SECOND * _GOLDEN % (1 << 32)) * wide >> 32
    return lambda nth: begins + (first + nth * _STRIDE) % wide * SECOND


_GOLDEN: Final = 2_654_435_769  # 2**32 by the golden ratio: whatever lies between two moments, they part
_STRIDE: Final = 97  # seconds between one and the next: prime, so that a batch fills the quiet hour evenly


def _is_outrun(connection: Connection, campaign: Campaign, view: View, now: Instant) -> bool:
    """Whether others have ordered since the view: two that saw the same room must not both take it."""
    caps = campaign.plan.caps
    if caps.requests_per_day is not None:
        last_day = connection.execute(LAST_DAY, {"since": now - DAY}).scalar_one()
        if last_day > view.last_day:
            return True
    if (caps.in_flight, caps.per_region, caps.per_hub_model) == (None, None, None):
        return False
    seen = {(region, hub_model): devices for region, hub_model, devices in view.elsewhere}
    return any(
        devices > seen.get((region, hub_model), 0)
        for region, hub_model, devices in connection.execute(ELSEWHERE, {"campaign": campaign.id})
    )


def _without_room(connection: Connection, campaign: Campaign, decision: Decision, now: Instant) -> Decision:
    """What may be done of a decision though others have ordered since: all but orders.

    Call-offs load nothing, and harm was seen: they go out as far as the day has room. Nobody else takes it at
    this moment.
    """
    most = campaign.plan.caps.requests_per_day
    left = None
    if most is not None:
        left = max(0, most - connection.execute(LAST_DAY, {"since": now - DAY}).scalar_one())
    again = []
    for it in decision.again:
        if it.kind is Order.CALL_OFF_ACTIVATION:
            again.append(it._replace(updates=it.updates[:left]))
            left = None if left is None else left - len(again[-1].updates)
    return replace(decision, makes=(), again=tuple(it for it in again if it.updates))


def _name(connection: Connection, stratum: int) -> str:
    return str(connection.execute(select(s.stratum.c.name).where(s.stratum.c.id == stratum)).scalar_one())


# --- statements

_CHOICE: Final = Table("chosen", MetaData(), Column("id", BigInteger), Column("batch", Integer))
"""Some updates, each with a batch: a temporary table of one connection."""

_STAGE: Final = f"((u.progress >> {STAGE_SHIFT}) & {(1 << STAGE_BITS) - 1})"

_WAITING: Final = (
    "SELECT u.id, u.progress, u.since, c.id, c.stratum, c.wave, c.brood, c.region, c.hub_model"
    " FROM device_update u JOIN cell c ON c.id = u.cell"
    " WHERE u.campaign = :campaign AND u.ready_at IS NOT NULL"
)
_READY: Final = text(f"{_WAITING} AND u.ready_at <= :now ORDER BY u.ready_at LIMIT :limit")
_READY_AHEAD: Final = text(f"{_WAITING} AND u.ready_at > :beyond ORDER BY u.ready_at LIMIT :limit")

# Their home is where the registry says that they are now: a Device may have a new hub since its last order.
_CHOSEN: Final = text(
    "SELECT u.id, u.device, COALESCE(d.hub, u.hub), u.batch, u.progress,"
    " (SELECT 1 FROM device_update o WHERE o.hub = COALESCE(d.hub, u.hub) AND o.busy LIMIT 1) IS NOT NULL,"
    " k.type, k.status, k.part"
    " FROM chosen c JOIN device_update u ON u.id = c.id"
    " LEFT JOIN device d ON d.eui = u.device LEFT JOIN cohort k ON k.id = d.cohort"
    " ORDER BY u.id"
)

_UNSENT_OF_CHOSEN: Final = (
    select(s.request.c.counter, s.device_update.c.id)
    .join(_CHOICE, _CHOICE.c.batch == s.request.c.batch)
    .join(
        s.device_update,
        (s.device_update.c.id == _CHOICE.c.id) & (s.device_update.c.device == s.request.c.device),
    )
    .where(s.request.c.attempted_at.is_(None), s.request.c.answered_at.is_(None))
    .order_by(s.request.c.counter)
    .with_for_update(of=s.request)
)

# Activations that nobody was told of, with the updates whose latest order they are.
_MISSED: Final = (
    select(s.request.c.counter, s.batch.c.step, s.device_update.c.id, s.device_update.c.progress)
    .join(s.batch, s.batch.c.id == s.request.c.batch)
    .join(
        s.device_update,
        (s.device_update.c.batch == s.batch.c.id) & (s.device_update.c.device == s.request.c.device),
    )
    .where(
        s.batch.c.kind == Order.ACTIVATE_FIRMWARE.value,
        s.request.c.answered_at.is_(None),
        s.request.c.command.is_(None),
    )
    .order_by(s.request.c.counter)
    .with_for_update(of=s.request)
)

# Activations that may be called off: dated far enough ahead, or not sent at all. A request in whose place
# there is another one does not count.
_DATED: Final = (
    select(s.device_update.c.id, s.device_update.c.progress)
    .add_columns(s.request.c.execution_at, s.request.c.attempted_at)
    .add_columns(*(s.cell.c[name] for name in Cell._fields))
    .join(s.batch, s.batch.c.id == s.device_update.c.batch)
    .join(
        s.request,
        (s.request.c.batch == s.batch.c.id) & (s.request.c.device == s.device_update.c.device),
    )
    .join(s.cell, s.cell.c.id == s.device_update.c.cell)
    .where(
        s.batch.c.campaign == bindparam("of"),
        s.batch.c.kind == Order.ACTIVATE_FIRMWARE.value,
        s.batch.c.due_at.is_not(None),
        s.device_update.c.progress.op(">>")(STAGE_SHIFT)
        .op("&")((1 << STAGE_BITS) - 1)
        .in_([int(stage) for stage in sorted(DATED | {Stage.QUEUED})]),
        s.request.c.response_code.is_(None) | (s.request.c.response_code != RENEWED),
        (s.request.c.execution_at >= bindparam("least"))
        | (s.request.c.attempted_at.is_(None) & s.request.c.answered_at.is_(None)),
    )
    .order_by(s.request.c.execution_at, s.device_update.c.id)
)

# Activations that cannot have had effect, as far as this database knows.
_NOT_SIGNED: Final = (
    select(s.request.c.counter, s.device_update.c.id, s.device_update.c.progress)
    .join(s.batch, s.batch.c.id == s.request.c.batch)
    .join(
        s.device_update,
        (s.device_update.c.batch == s.batch.c.id) & (s.device_update.c.device == s.request.c.device),
    )
    .where(
        s.batch.c.campaign == bindparam("of"),
        s.batch.c.kind == Order.ACTIVATE_FIRMWARE.value,
        s.request.c.answered_at.is_(None),
        s.request.c.command.is_(None),
    )
    .order_by(s.request.c.counter)
)

_DEFER: Final = text("UPDATE device_update SET ready_at = :at WHERE id = :of AND ready_at IS NOT NULL")

_REBATCH: Final = text(
    "UPDATE device_update SET batch = c.batch, ready_at = NULL,"
    " hub = COALESCE((SELECT d.hub FROM device d WHERE d.eui = device_update.device), device_update.hub)"
    " FROM chosen c WHERE c.id = device_update.id"
)

# How many Devices of a cohort stand in a range of buckets, up to a limit, and where the last of them stands.
_AHEAD: Final = text(
    "SELECT COUNT(*), MAX(bucket) FROM (SELECT bucket FROM device"
    " WHERE cohort = :cohort AND bucket >= :low AND bucket < :high ORDER BY bucket LIMIT :limit) AS ahead"
)

# Those of them that this campaign has not ordered yet, and whether another update keeps them or their home.
# Each question about a Device is a subquery of its own: as joins, a planner might read all updates for them.
_CANDIDATES: Final = text(
    "SELECT d.eui, d.hub, d.bucket, COALESCE("
    " (SELECT 1 FROM device_update o WHERE o.hub = d.hub AND o.busy LIMIT 1),"
    " (SELECT 1 FROM device_update w WHERE w.device = d.eui AND w.ready_at IS NOT NULL LIMIT 1), 0)"
    " FROM device d WHERE d.cohort = :cohort AND d.bucket >= :low AND d.bucket < :high"
    " AND (SELECT 1 FROM device_update u WHERE u.device = d.eui AND u.campaign = :campaign LIMIT 1) IS NULL"
    " ORDER BY d.bucket LIMIT :limit"
)

_ORDERED: Final = text(
    "INSERT INTO fresh (device_update, step, fact, at, message, cause, detail)"
    " SELECT id, :step, 'ORDERED', :now, :message, 0, '' FROM device_update WHERE batch = :batch"
)

_DUE: Final = text(
    "SELECT id, kind, step, devices, created_at, deadline FROM batch"
    " WHERE campaign = :campaign AND due_at <= :now ORDER BY due_at, id LIMIT 1000"
)

_OF_AHEAD: Final = text(
    "SELECT 1 FROM batch WHERE campaign = :campaign AND (created_at > :now OR due_at > :latest) LIMIT 1"
)
_MADE_NOW: Final = text("UPDATE batch SET created_at = :now WHERE campaign = :campaign AND created_at > :now")
_DUE_NOW: Final = text("UPDATE batch SET due_at = :now WHERE campaign = :campaign AND due_at > :latest")

_ANSWERS: Final = text(
    "SELECT SUM(CASE WHEN answered_at IS NULL THEN 1 ELSE 0 END),"
    " MAX(CASE WHEN answered_at <= :now THEN answered_at END)"  # later: by a clock that ran ahead
    " FROM request WHERE batch = :batch"
)

_SILENT: Final = f"""
INSERT INTO fresh (device_update, step, fact, at, message, cause, detail)
SELECT u.id, :step, CASE {_STAGE} {{cases}} END, :now, 'deadline', :cause, CASE {_STAGE} {{details}} END
FROM device_update u WHERE u.batch = :batch AND {_STAGE} IN ({{stages}})
"""  # noqa: S608 # our own words

_UNFINISHED: Final = text(
    "SELECT 1 FROM device_update WHERE batch = :batch AND (busy OR ready_at IS NOT NULL) LIMIT 1"
)
