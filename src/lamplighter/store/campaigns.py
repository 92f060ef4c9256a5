"""Campaigns in the database: what was asked for, who approved it, which Devices it is for, where it stands.

No list of Devices is kept. A *pool* is one cohort's part in one wave: a range of the circle of buckets,
turned by the campaign's salt. What is done here goes by cohorts, of which there are hundreds or thousands;
only the start counts Devices, in one pass over an index.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from sqlalchemy import Integer, bindparam, case, delete, func, insert, select, text, update

from lamplighter.campaign import board as boards
from lamplighter.campaign import plan as plans
from lamplighter.campaign.board import Choice
from lamplighter.campaign.decide import Busy, Place, Stratum, View, empty_waves
from lamplighter.campaign.decide import judge as judge_strata
from lamplighter.campaign.next import Order
from lamplighter.campaign.state import FINAL, Stage
from lamplighter.campaign.status import CHART, Act, CampaignStatus
from lamplighter.campaign.tallies import LOADING, Cell, Count
from lamplighter.kit import FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.registry import (
    BUCKETS,
    REVOCABLE,
    CplEntry,
    CplStatus,
    Procedure,
    Release,
    Verdict,
    judge,
)
from lamplighter.store import audit, record
from lamplighter.store import schema as s
from lamplighter.store.people import APPROVER, holders, is_any, makings
from lamplighter.store.registry import cohort_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import Connection, Row

    from lamplighter.campaign.plan import Plan
    from lamplighter.registry import Cohort
    from lamplighter.store.database import Database, Fence

EXACT_MAX: Final = 1_000
"""Up to so many Devices of a stratum, a wave ends at the very Device; above, at its share of the circle."""
UPDATES: Final = (Order.UPDATE_PPMID_FIRMWARE.value, Order.UPDATE_FIRMWARE.value)
RECALLED: Final = "recalled"
"""The answer of a request that was taken back before it was sent."""
RENEWED: Final = "renewed"
"""The answer of a request in whose place there is another one, under a fresh counter."""
RESTORED: Final = "restored"
"""The answer of a request that a copy of the database had not sent; since it was made, it may have been."""
POLICY: Final = "policy"
"""Who did it, where the plan did."""
ORDER: Final = "order"
"""What the audit calls a batch of orders."""

_LOOK_EVERY: Final = MINUTE  # how often verdicts are found anew, though no new cohort has come up
_SHUT_EVERY: Final = 10 * MINUTE  # how often those are counted for whom alone a campaign waits
LATE_MIN, LATE_MAX = 100, 1_000  # Devices that a pool which is swept again is taken for
_COUNT_EXACT: Final = 10_000  # Devices of a cohort, up to which they are counted wave by wave
_COUNT_MAX: Final = 100_000  # Devices of a cohort that came up late are counted up to here
_BIND_MAX: Final = 500
_UNDER_WAY: Final = (CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.ABORTING)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A release, a plan, and where it stands."""

    id: int
    """In the database."""
    name: str
    """Unique."""
    release: int
    """Id of the release."""
    plan: Plan
    """What was asked for."""
    digest: bytes
    """SHA-256 of image hash and plan: what an approval binds to."""
    salt: int
    """How far the circle of buckets is turned, 0..2^20-1."""
    status: CampaignStatus
    """Where it stands."""
    created_by: str
    """Who must not approve it."""
    created_at: Instant
    """When."""
    started_at: Instant | None
    """When the first order could be made; None: it was not started."""
    ended_at: Instant | None
    """When it came to its end."""


class Approval(NamedTuple):
    """Somebody's word for a campaign."""

    approver: str
    """Who."""
    at: Instant
    """When."""
    valid: bool
    """Whether it is for what the campaign is now; else the plan was changed since, and it is void."""


class Vote(NamedTuple):
    """What a member of a board said."""

    member: str
    """Who."""
    choice: Choice
    """What."""
    at: Instant
    """When."""
    valid: bool
    """Whether it counts for what the campaign is now."""


class Event(NamedTuple):
    """Something that was done to a campaign."""

    at: Instant
    """When."""
    who: str
    """A person, or `POLICY`."""
    what: str
    """A word: "create", "approve", "start", "hold", ..."""
    detail: str
    """The rest."""


class PlanVersion(NamedTuple):
    """A plan that a campaign had once, or has now."""

    number: int
    """From 1; the highest is what it has now."""
    digest: bytes
    """What an approval of it was bound to."""
    plan: Plan
    """The plan."""
    who: str
    """Who wrote it."""
    at: Instant
    """When."""
    approvers: tuple[str, ...]
    """Whose latest approval or vote was on this very plan."""


class Pool(NamedTuple):
    """One cohort's part in one wave, where its Devices may be ordered."""

    cohort: int
    place: Place
    first: int
    """First rotated bucket."""
    last: int
    """First rotated bucket that is not in it any more."""
    devices: int
    """In it when last counted."""
    waiting: int
    """Those of them that the first pass has not come to."""
    position: int | None
    """Rotated buckets below are gone through; None: all are."""
    passed: int
    """Devices that the latest pass left out."""
    swept_at: Instant | None
    """End of the latest pass; None: the first is not over."""

    @property
    def is_first(self) -> bool:
        """Whether it is gone through for the first time."""
        return self.swept_at is None

    def due(self, now: Instant, every: int) -> bool:
        """Whether it is to be gone through now. A clock that was put back since makes it so."""
        return (
            self.position is not None
            or self.swept_at is None
            or not self.swept_at <= now < self.swept_at + every
        )


def check_name(name: str) -> None:
    """Raise `UsageError` for what no new campaign can be called.

    Commands take a name or a number: one that is both would be another campaign to some of them.
    """
    if name.strip().isdecimal():
        raise UsageError(
            f"a campaign called {name!r} could not be told from the one with that number: "
            "give it a name that is not of digits alone"
        )


class _Waits(NamedTuple):
    """Who is still to be ordered, as `View` has it."""

    waiting: dict[Place, int]
    late: dict[Place, int]
    passed_over: int
    missed: frozenset[int]


class _Shut(NamedTuple):
    """Who was shut out when last counted: for a while, if nothing else changes, they are not counted anew."""

    at: Instant
    devices: dict[Verdict, int]


@dataclass(slots=True)
class _Seen:
    """What a refresh saw last: the same need not be looked at again."""

    cohort: int
    at: Instant
    release: tuple[object, ...]


class Campaigns:
    """Campaigns, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._cohorts: dict[int, Cohort] = {}  # they never change
        self._seen: dict[int, _Seen] = {}
        self._shut: dict[int, _Shut] = {}

    # --- drafts and approvals

    def create(self, plan: Plan, release: int, who: str, now: Instant) -> int:
        """Write down a draft; returns its id.

        Raises `UsageError` for a taken name or one that looks like a number, and for an unknown release.
        """
        check_name(plan.name)
        with self._database.writing() as connection:
            taken = connection.execute(select(s.campaign.c.id).where(s.campaign.c.name == plan.name)).first()
            if taken is not None:
                raise UsageError(f"there is a campaign {plan.name!r} already: give this one another name")
            values: dict[str, Any] = {
                "name": plan.name,
                "release": release,
                "plan": plans.encode(plan),
                "digest": _digest(connection, release, plan),
                "salt": salt_of(plan.name),
                "status": CampaignStatus.DRAFT.value,
                "created_by": who,
                "created_at": now,
            }
            campaign = int(
                connection.execute(insert(s.campaign).values(values).returning(s.campaign.c.id)).scalar_one()
            )
            _keep_plan(connection, campaign, values["plan"], values["digest"], who, now)
            _check_board(plan, {who.casefold()})
            note(connection, campaign, now, who, "create", values["digest"].hex(), plan.name)
            return campaign

    def revise(self, campaign: int, plan: Plan, who: str, now: Instant) -> None:
        """Change the plan of a draft: approvals of another one are void from then on.

        The creator is whoever wrote the plan last. Raises `UsageError` where it is no draft any more.
        """
        with self._database.writing() as connection:
            row = _row(connection, campaign, lock=True)
            if row.status != CampaignStatus.DRAFT.value:
                raise UsageError(
                    f"campaign {row.name!r} is {row.status}: only the plan of a draft can change"
                )
            if plan.name != row.name:
                raise UsageError(f"the plan is of {plan.name!r}, and the campaign is {row.name!r}")
            text_, digest = plans.encode(plan), _digest(connection, row.release, plan)
            connection.execute(
                update(s.campaign)
                .where(s.campaign.c.id == campaign)
                .values(plan=text_, digest=digest, created_by=who)
            )
            _keep_plan(connection, campaign, text_, digest, who, now)
            _check_board(plan, _authors(connection, campaign))
            note(connection, campaign, now, who, "revise", digest.hex(), plan.name)

    def approve(self, campaign: int, who: str, digest: bytes, now: Instant) -> None:
        """Give one's word for what has this digest.

        Raises `UsageError` for whoever wrote it or an earlier plan of it, for another digest, where there are
        accounts and this is no approver's, and where a board decides.
        """
        with self._database.writing() as connection:
            row = _row(connection, campaign, lock=True)
            if _decoded(row.plan).board is not None:
                raise UsageError(f"campaign {row.name!r} is decided by its board: vote instead")
            _check_word(connection, row, who, digest, now)
            new = self._database.insert(s.approval).values(
                campaign=campaign, approver=who, digest=digest, at=now
            )
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["campaign", "approver"],
                    set_={"digest": new.excluded.digest, "at": new.excluded.at},
                )
            )
            note(connection, campaign, now, who, "approve", digest.hex())

    def vote(self, campaign: int, who: str, choice: Choice, digest: bytes, now: Instant) -> None:
        """Vote as a member of its board on what has this digest; a later vote takes the place of an earlier.

        Raises `UsageError` as `approve` does, and for whoever is no member.
        """
        with self._database.writing() as connection:
            row = _row(connection, campaign, lock=True)
            board = _decoded(row.plan).board
            seat = None if board is None else board.seat_of(who)
            if board is None:
                raise UsageError(f"campaign {row.name!r} has no board: approve it instead")
            if seat is None:
                raise UsageError(f"{who} has no vote in campaign {row.name!r}")
            category, member = seat
            _check_word(connection, row, who, digest, now)
            new = self._database.insert(s.vote).values(
                campaign=campaign, member=member, choice=choice.value, digest=digest, at=now
            )
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["campaign", "member"],
                    set_={key: new.excluded[key] for key in ("choice", "digest", "at")},
                )
            )
            note(connection, campaign, now, who, "vote", f"{choice.value} {digest.hex()}", category)

    def votes(self, campaign: int) -> list[Vote]:
        """How its board voted, the earliest first, and whether that still holds."""
        with self._database.reading() as connection:
            return _votes(connection, _row(connection, campaign))

    def digest_of(self, release: int, plan: Plan) -> bytes:
        """What an approval of this plan would bind to."""
        with self._database.reading() as connection:
            return _digest(connection, release, plan)

    def approvals(self, campaign: int) -> list[Approval]:
        """Who has approved it, the earliest first, and whether that still holds."""
        with self._database.reading() as connection:
            return _approvals(connection, _row(connection, campaign))

    def plans(self, campaign: int) -> list[PlanVersion]:
        """Every plan that it ever had, the first first."""
        query = select(s.plan_version).where(s.plan_version.c.campaign == campaign)
        words = (
            select(s.approval.c.approver, s.approval.c.digest).where(s.approval.c.campaign == campaign),
            select(s.vote.c.member, s.vote.c.digest).where(s.vote.c.campaign == campaign),
        )
        with self._database.reading() as connection:
            given = [(name, digest) for word in words for name, digest in connection.execute(word)]
            return [
                PlanVersion(
                    row.number,
                    row.digest,
                    _decoded(row.plan),
                    row.who,
                    Instant(row.at),
                    tuple(sorted({name for name, digest in given if digest == row.digest})),
                )
                for row in connection.execute(query.order_by(s.plan_version.c.number))
            ]

    # --- looking

    def find(self, key: int | str) -> Campaign:
        """One campaign, by id or name; raises `UsageError` where there is none."""
        with self._database.reading() as connection:
            return _campaign(_row(connection, key))

    def under_way(self) -> list[Campaign]:
        """Those that a reconciler has to look after."""
        return self.list(*_UNDER_WAY)

    def numbers_under_way(self) -> list[int]:
        """Their ids alone: one whose plan cannot be read must not hide the others."""
        query = select(s.campaign.c.id).where(s.campaign.c.status.in_([it.value for it in _UNDER_WAY]))
        with self._database.reading() as connection:
            return [number for (number,) in connection.execute(query.order_by(s.campaign.c.id))]

    def events(self, campaign: int) -> list[Event]:
        """What was done to it, the earliest first; not what it ordered, of which there is much more."""
        query = (
            select(s.audit).where(s.audit.c.campaign == campaign, text(s.IS_NO_ORDER)).order_by(s.audit.c.id)
        )
        with self._database.reading() as connection:
            return [
                Event(Instant(row.at), row.who, row.what, row.detail) for row in connection.execute(query)
            ]

    def verdicts(self, campaign: int) -> dict[Verdict, int]:
        """How many Devices each verdict is on, as counted when the campaign started or they came up."""
        query = (
            select(s.pool.c.verdict, func.sum(s.pool.c.devices))
            .where(s.pool.c.campaign == campaign)
            .group_by(s.pool.c.verdict)
        )
        with self._database.reading() as connection:
            return {Verdict[verdict]: int(devices) for verdict, devices in connection.execute(query)}

    def pools(self, campaign: int) -> list[Pool]:
        """The pools that Devices are ordered from."""
        with self._database.reading() as connection:
            return pools(connection, campaign)

    # --- what is done to it

    def act(self, campaign: int, act: Act, who: str, now: Instant, detail: str = "") -> CampaignStatus:
        """Do this to a campaign; returns where it stands then.

        START finds out which Devices it is for. PAUSE and ABORT take back what was not sent. Raises
        `UsageError` where the approvals do not suffice, and `IllegalTransitionError` where `status.CHART` has
        no such arrow.
        """
        if act is Act.START:
            return self._start(campaign, who, now, detail)
        with self._database.writing() as connection:
            row = _row(connection, campaign, lock=True)
            new = change(connection, campaign, CampaignStatus(row.status), act, who, now, detail)
            record.fresh(self._database, connection)
            if act in {Act.PAUSE, Act.ABORT}:
                recall(connection, campaign, now)
                record.append(self._database, connection, now)
            if act in {Act.ABORT, Act.RESUME}:
                # What was put off is looked at now: to be cancelled, or to go on.
                _wake(connection, campaign, now)
            return new

    def release_hold(self, campaign: int, stratum: str, who: str, now: Instant, detail: str = "") -> None:
        """Let a held stratum go on, what failed so far pardoned; raises `UsageError` where it is not held."""
        found = self.find(campaign)
        view = self.view(found, now)
        strata = [replace(it, pardoned=0) for it in view.strata]
        judged = judge_strata(found.plan, replace(view, strata=strata))
        pardoned = next((judged[it.id].total.failures for it in strata if it.name == stratum), 0)
        with self._database.writing() as connection:
            _row(connection, campaign, lock=True)
            record.fresh(self._database, connection)
            released = connection.execute(
                update(s.stratum)
                .where(
                    s.stratum.c.campaign == campaign,
                    s.stratum.c.name == stratum,
                    s.stratum.c.held_at.is_not(None),
                )
                .values(held_at=None, held_because=None, pardoned=pardoned)
            )
            if not released.rowcount:
                raise UsageError(f"campaign {found.name!r} holds no stratum {stratum!r}")
            note(
                connection, campaign, now, who, "release hold", f"{stratum}: {detail}" if detail else stratum
            )
            _wake(connection, campaign, now)

    # --- which Devices

    def _start(self, key: int, who: str, now: Instant, detail: str) -> CampaignStatus:
        campaign = self.find(key)
        CHART.fire(campaign.status, Act.START)
        with self._database.reading() as connection:
            counts = _count_devices(connection)
            found = self._judge(connection, campaign)
            strata: dict[str, list[int]] = defaultdict(list)
            for cohort, verdict in found.items():
                if verdict is Verdict.ELIGIBLE:
                    strata[campaign.plan.stratum_of(self._cohorts[cohort])].append(cohort)
            bounds = {
                name: wave_bounds(
                    campaign.plan,
                    sum(counts.get(cohort, 0) for cohort in cohorts),
                    _Nearest(connection, cohorts, campaign.salt),
                )
                for name, cohorts in strata.items()
            }
        with self._database.writing() as connection:
            row = _row(connection, key, lock=True)
            if row.digest != campaign.digest:
                raise UsageError(f"campaign {row.name!r} was changed at this moment: read it again")
            _check_approved(connection, row, campaign.plan)
            new = change(connection, key, CampaignStatus(row.status), Act.START, who, now, detail)
            ids = {name: _stratum(connection, key, name, now) for name in sorted(strata)}
            rows = []
            for cohort, verdict in found.items():
                devices = counts.get(cohort, 0)
                if verdict is Verdict.ELIGIBLE:
                    name = campaign.plan.stratum_of(self._cohorts[cohort])
                    rows += _pool_rows(
                        connection,
                        key,
                        campaign.salt,
                        cohort,
                        ids[name],
                        bounds[name],
                        devices,
                        swept_at=None if devices else now,
                    )
                else:
                    rows.append(_closed(key, cohort, verdict, devices))
            if rows:
                connection.execute(insert(s.pool), rows)
        return new

    def refresh(self, fence: Fence | None, campaign: Campaign, now: Instant) -> bool:
        """Judge cohorts that came up since, and now and then all anew; whether anything changed.

        Costs a look at the highest id of a cohort, where there is no new one.
        """
        with self._database.reading() as connection:
            newest = connection.execute(select(func.max(s.cohort.c.id))).scalar() or 0
            withdrawn = tuple(
                connection.execute(
                    select(s.release.c.withdrawn_at).where(s.release.c.id == campaign.release)
                ).one()
            )
            seen = self._seen.get(campaign.id)
            if (
                seen is not None
                and seen.cohort == newest
                and seen.release == withdrawn
                and seen.at <= now < seen.at + _LOOK_EVERY
            ):
                return False
            found = self._judge(connection, campaign)
            known = {
                cohort: Verdict[verdict]
                for cohort, verdict in connection.execute(
                    select(s.pool.c.cohort, s.pool.c.verdict).where(s.pool.c.campaign == campaign.id)
                )
            }
        changed = {cohort: verdict for cohort, verdict in found.items() if known.get(cohort) is not verdict}
        if changed:
            self._shut.pop(campaign.id, None)
            with self._database.writing(fence) as connection:
                shut: Counter[Verdict] = Counter()
                for cohort, verdict in sorted(changed.items()):
                    shut[verdict] += self._change(connection, campaign, cohort, verdict, now)
                for verdict, devices in shut.items():
                    if devices:
                        what = f"{verdict.value}: {devices:,} not ordered yet"
                        note(connection, campaign.id, now, POLICY, "shut out", what)
        self._seen[campaign.id] = _Seen(newest, now, withdrawn)
        return bool(changed)

    def _change(
        self, connection: Connection, campaign: Campaign, cohort: int, verdict: Verdict, now: Instant
    ) -> int:
        """Give a cohort pools that fit its verdict, in place of its own; how many wait no more by that."""
        here = (s.pool.c.campaign == campaign.id, s.pool.c.cohort == cohort)
        waited = connection.execute(select(func.sum(s.pool.c.waiting)).where(*here)).scalar() or 0
        had = connection.execute(delete(s.pool).where(*here)).rowcount
        some = select(s.device.c.eui).where(s.device.c.cohort == cohort).limit(_COUNT_MAX).subquery()
        devices = connection.execute(select(func.count()).select_from(some)).scalar_one()
        if verdict is not Verdict.ELIGIBLE:
            # Who is in a cohort that was not there at the start may have come from one that was let in.
            waits = int(waited) if had else devices
            connection.execute(insert(s.pool), [_closed(campaign.id, cohort, verdict, devices, waits)])
            return int(waited)
        name = campaign.plan.stratum_of(self._cohorts[cohort])
        stratum = connection.execute(
            select(s.stratum.c.id).where(s.stratum.c.campaign == campaign.id, s.stratum.c.name == name)
        ).scalar()
        bounds: list[int] | None = None
        swept_at: Instant | None = None
        if stratum is not None:
            bounds = _bounds_of(connection, stratum, len(campaign.plan.waves))
            # Due at once; but its waves go on without it: who comes late is ordered, and holds up nobody.
            swept_at = Instant(now - campaign.plan.sweep_every)
        else:
            stratum = _stratum(connection, campaign.id, name, now)
        if bounds is None:
            bounds = wave_bounds(campaign.plan, devices, _Nearest(connection, [cohort], campaign.salt))
        if not devices and not had:
            swept_at = now
        rows = _pool_rows(
            connection,
            campaign.id,
            campaign.salt,
            cohort,
            stratum,
            bounds,
            devices,
            swept_at=swept_at,
        )
        connection.execute(insert(s.pool), rows)
        return 0

    def _judge(self, connection: Connection, campaign: Campaign) -> dict[int, Verdict]:
        """The verdict on each cohort that the campaign is meant for."""
        release = _release(connection, campaign.release)
        cpl = {
            (row.manufacturer, row.model, row.hardware): CplEntry(
                row.manufacturer,
                row.model,
                row.hardware,
                row.version,
                ImageHash(row.hash),
                CplStatus(row.status),
            )
            for row in connection.execute(select(s.cpl_entry).where(s.cpl_entry.c.version == release.version))
        }
        with self._lock:
            last = max(self._cohorts, default=0)
            for row in connection.execute(select(s.cohort).where(s.cohort.c.id > last)):
                self._cohorts[row.id] = cohort_of(row)
            known = list(self._cohorts.items())
        plan = campaign.plan
        return {
            number: judge(
                it,
                release,
                cpl.get((it.manufacturer, it.model, it.hardware)),
                allow_downgrade=plan.allow_downgrade,
            )
            for number, it in known
            if plan.target.matches(it)
        }

    # --- what a decision looks at

    def view(self, campaign: Campaign, now: Instant) -> View:
        """All that a decision looks at, at one moment; what it costs does not grow with the Devices.

        But for a campaign that has nothing left to do: there those are counted who are shut out.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                select(
                    s.campaign.c.status,
                    s.campaign.c.started_at,
                    s.release.c.procedure,
                    s.release.c.withdrawn_at,
                )
                .join(s.release, s.release.c.id == s.campaign.c.release)
                .where(s.campaign.c.id == campaign.id)
            ).one()
            strata = strata_of(connection, campaign.id)
            ordered, last_hour = connection.execute(
                _ORDERED, {"campaign": campaign.id, "since": now - HOUR}
            ).one()
            last_day = connection.execute(LAST_DAY, {"since": now - DAY}).scalar_one()
            counts = [
                Count(Cell(*cell), Stage(stage), bool(again), devices)
                for *cell, stage, again, devices in connection.execute(_COUNTS, {"campaign": campaign.id})
            ]
            elsewhere = [Busy(*it) for it in connection.execute(ELSEWHERE, {"campaign": campaign.id})]
            waits = self._waits(connection, campaign, strata, {it.cell[1:3] for it in counts}, now)
            is_idle = (
                row.status == CampaignStatus.RUNNING.value
                and not (any(waits.waiting.values()) or waits.late or waits.passed_over or waits.missed)
                and all(it.stage in FINAL for it in counts)
            )
            shut: dict[Verdict, int] = {}
            if is_idle:
                shut = self._shut_out(connection, campaign, now, is_new=not strata)
            else:
                self._shut.pop(campaign.id, None)
        return View(
            status=CampaignStatus(row.status),
            procedure=Procedure(row.procedure),
            started_at=Instant(row.started_at or now),
            strata=strata,
            counts=counts,
            waiting=waits.waiting,
            ordered=ordered,
            last_hour=last_hour,
            last_day=last_day,
            elsewhere=elsewhere,
            late=waits.late,
            passed_over=waits.passed_over,
            missed=waits.missed,
            shut=shut,
            withdrawn=row.withdrawn_at is not None,
        )

    def _waits(
        self,
        connection: Connection,
        campaign: Campaign,
        strata: Sequence[Stratum],
        begun: Collection[tuple[int, int]],
        now: Instant,
    ) -> _Waits:
        """Who is still to be ordered, as the pools say; `begun`: (stratum, wave) that have orders."""
        waves = {it.id: it.wave for it in strata}
        waiting: dict[Place, int] = defaultdict(int)
        late: dict[Place, int] = defaultdict(int)
        passed = 0
        some = pools(connection, campaign.id)
        for pool in some:
            if pool.is_first:
                waiting[pool.place] += max(1, pool.waiting)  # only going through it says that there is none
            elif pool.place.wave <= waves[pool.place.stratum]:
                passed += pool.passed
                if pool.due(now, campaign.plan.sweep_every):
                    late[pool.place] += min(max(pool.waiting, pool.passed, LATE_MIN), LATE_MAX)
        missed: set[int] = set()
        if empty := empty_waves(strata, begun, waiting, late):
            # Whether a wave opens is up to who is beyond: what was counted once does not say that.
            at = {"campaign": campaign.id, "salt": campaign.salt, "strata": list(empty)}
            peopled = {(cohort, wave) for cohort, wave in connection.execute(_PEOPLED, at)}
            for pool in some:
                if (here := empty.get(pool.place.stratum)) is None:
                    continue
                is_peopled = (pool.cohort, pool.place.wave) in peopled
                if is_peopled and pool.place.wave == here:
                    missed.add(pool.place.stratum)
                elif is_peopled and not pool.is_first:
                    waiting[pool.place] += 1
                elif pool.is_first and not is_peopled:
                    waiting[pool.place] -= max(1, pool.waiting)
        return _Waits(dict(waiting), dict(late), passed, frozenset(missed))

    def _shut_out(
        self, connection: Connection, campaign: Campaign, now: Instant, *, is_new: bool
    ) -> dict[Verdict, int]:
        """How many Devices are not ordered, and shut out by a verdict that may be taken back.

        Those that were so from the start do not count, unless nobody was let in yet.
        """
        known = self._shut.get(campaign.id)
        if known is not None and known.at <= now < known.at + _SHUT_EVERY:
            return known.devices
        found: Counter[Verdict] = Counter()
        query = select(s.pool).where(
            s.pool.c.campaign == campaign.id, s.pool.c.verdict.in_(sorted(it.name for it in REVOCABLE))
        )
        for pool in connection.execute(query.order_by(s.pool.c.cohort)).all():
            were = 0 if is_new or pool.waiting else pool.devices
            in_all = connection.execute(_IN_COHORT, {"cohort": pool.cohort}).scalar_one()
            if in_all > were:
                of = {"campaign": campaign.id, "cohort": pool.cohort}
                found[Verdict[pool.verdict]] += max(
                    0, connection.execute(_NEW_IN_COHORT, of).scalar_one() - were
                )
        devices = {verdict: number for verdict, number in found.items() if number}
        self._shut[campaign.id] = _Shut(now, devices)
        return devices

    def list(self, *statuses: CampaignStatus) -> list[Campaign]:
        """All campaigns, the oldest first; or those that stand so."""
        query = select(s.campaign).order_by(s.campaign.c.id)
        if statuses:
            query = query.where(s.campaign.c.status.in_([status.value for status in statuses]))
        with self._database.reading() as connection:
            return [_campaign(row) for row in connection.execute(query)]


# --- shared with `orders`


def note(
    connection: Connection,
    campaign: int,
    at: Instant,
    who: str,
    what: str,
    detail: str = "",
    subject: str = "",
) -> None:
    """Append to what was done to a campaign."""
    audit.note(connection, at, who, what, campaign=campaign, subject=subject, detail=detail)


def _keep_plan(
    connection: Connection, campaign: int, plan: str, digest: bytes, who: str, now: Instant
) -> None:
    """Append to the plans that a campaign had. The caller holds the campaign's row, or has just made it."""
    last = select(func.coalesce(func.max(s.plan_version.c.number), 0)).where(
        s.plan_version.c.campaign == campaign
    )
    number = connection.execute(last).scalar_one() + 1
    values = {"campaign": campaign, "number": number, "digest": digest, "plan": plan, "who": who, "at": now}
    connection.execute(insert(s.plan_version).values(values))


def change(
    connection: Connection,
    campaign: int,
    status: CampaignStatus,
    act: Act,
    who: str,
    now: Instant,
    detail: str = "",
) -> CampaignStatus:
    """Follow an arrow of `status.CHART` from where the campaign was seen to stand, if it still does."""
    new = CHART.fire(status, act)
    values: dict[str, Any] = {"status": new.value}
    if act is Act.START:
        values["started_at"] = now
    if new in {CampaignStatus.ABORTED, CampaignStatus.FINISHED}:
        values["ended_at"] = now
    done = connection.execute(
        update(s.campaign)
        .where(s.campaign.c.id == campaign, s.campaign.c.status == status.value)
        .values(values)
    )
    if not done.rowcount:
        raise UsageError(f"campaign {campaign} is no longer {status.value}: look at it again")
    note(connection, campaign, now, who, act.value, detail)
    return new


def outcomes(connection: Connection, campaign: int) -> str:
    """How many of its updates are in each stage, in words, by the tallies: "16 proven, 4 failed".

    Noted at the end of a campaign, it stands in the audit for whoever is told other outcomes later.
    """
    return ", ".join(
        f"{devices} {Stage(stage).name.lower()}"
        for stage, devices in connection.execute(_OUTCOMES, {"campaign": campaign})
    )


def recall(connection: Connection, campaign: int, now: Instant) -> int:
    """Take back the update requests of a campaign that were never attempted; how many.

    The evidence goes into `record.FRESH`; the caller has called `record.fresh`, and appends.
    """
    batches = select(s.batch.c.id).where(
        s.batch.c.campaign == campaign, s.batch.c.kind.in_(UPDATES), s.batch.c.due_at.is_not(None)
    )
    unsent = (
        s.request.c.batch.in_(batches),
        s.request.c.attempted_at.is_(None),
        s.request.c.answered_at.is_(None),
    )
    # In the order of the counters, as the outbox notes its attempts: so that neither waits for the other.
    mine = select(s.request.c.counter).where(*unsent).order_by(s.request.c.counter).with_for_update()
    connection.execute(mine).all()
    taken = (
        connection.execute(
            update(s.request)
            .where(*unsent)
            .values(answered_at=now, response_code=RECALLED)
            .returning(s.request.c.batch)
        )
        .scalars()
        .all()
    )
    # Their deadlines go on: a late word of an earlier order may have been taken for one of this order, and
    # what is in the air by that must come down again.
    for batch in sorted(set(taken)):
        connection.execute(_TAKE_BACK, {"batch": batch, "now": now})
    return len(taken)


def pools(connection: Connection, campaign: int) -> list[Pool]:
    """The pools of a campaign that Devices are ordered from."""
    return [
        Pool(cohort, Place(stratum, wave, region, hub_model), *rest)
        for cohort, stratum, wave, region, hub_model, *rest in connection.execute(
            _POOLS, {"campaign": campaign}
        )
    ]


def strata_of(connection: Connection, campaign: int) -> list[Stratum]:
    """The strata of a campaign, by id."""
    query = select(s.stratum).where(s.stratum.c.campaign == campaign).order_by(s.stratum.c.id)
    return [
        Stratum(row.id, row.name, row.wave, _instant(row.wave_settled_at), row.held_because, row.pardoned)
        for row in connection.execute(query)
    ]


# --- statements

_TAKE_BACK: Final = text(
    "INSERT INTO fresh (device_update, step, fact, at, message, cause, detail)"
    " SELECT u.id, b.step, 'RECALLED', CAST(:now AS BIGINT), 'recalled', 0, ''"
    " FROM batch b JOIN device_update u ON u.batch = b.id WHERE b.id = :batch"
)

_COUNTS: Final = text(
    "SELECT c.id, c.stratum, c.wave, c.brood, c.region, c.hub_model, t.stage, t.again, t.devices"
    " FROM stratum s JOIN cell c ON c.stratum = s.id JOIN tally t ON t.cell = c.id"
    " WHERE s.campaign = :campaign AND t.devices > 0 ORDER BY c.id, t.stage, t.again"
)

_OUTCOMES: Final = text(
    "SELECT t.stage, CAST(SUM(t.devices) AS BIGINT)"
    " FROM stratum s JOIN cell c ON c.stratum = s.id JOIN tally t ON t.cell = c.id"
    " WHERE s.campaign = :campaign AND t.devices > 0 GROUP BY t.stage ORDER BY t.stage DESC"
)

ELSEWHERE: Final = text(
    "SELECT c.region, c.hub_model, CAST(SUM(t.devices) AS INTEGER)"  # noqa: S608 # our own words
    " FROM campaign k JOIN stratum s ON s.campaign = k.id JOIN cell c ON c.stratum = s.id"
    " JOIN tally t ON t.cell = c.id"
    f" WHERE k.id <> :campaign AND k.status IN {tuple(it.value for it in _UNDER_WAY)}"
    f" AND t.devices > 0 AND t.stage IN {tuple(int(it) for it in sorted(LOADING))}"
    " GROUP BY c.region, c.hub_model"
)

_POOLS: Final = text(
    "SELECT p.cohort, p.stratum, p.wave, c.region, c.hub_model,"
    " p.first, p.last, p.devices, p.waiting, p.position, p.passed, p.swept_at"
    " FROM pool p JOIN cohort c ON c.id = p.cohort"
    " WHERE p.campaign = :campaign AND p.verdict = 'ELIGIBLE' ORDER BY p.stratum, p.wave, p.cohort"
)

_IS_NEW: Final = (
    "(SELECT 1 FROM device_update u WHERE u.device = d.eui AND u.campaign = :campaign LIMIT 1) IS NULL"
)
_NEW_IN: Final = (
    "(SELECT 1 FROM device d WHERE d.cohort = p.cohort AND d.bucket >= p.first - :salt {turn}"  # noqa: S608 # our own words
    f" AND d.bucket < p.last - :salt {{turn}} AND {_IS_NEW} LIMIT 1)"
)
# The pools, from the open wave on, in which somebody stands who was not ordered: a look at an index for most.
# The circle of buckets is turned by the salt, so that a pool is up to two ranges of it.
_PEOPLED: Final = text(
    "SELECT p.cohort, p.wave FROM pool p JOIN stratum s ON s.id = p.stratum"  # noqa: S608 # our own words
    " WHERE p.campaign = :campaign AND s.id IN :strata AND p.wave >= s.wave"
    " AND (SELECT 1 FROM device d WHERE d.cohort = p.cohort LIMIT 1) IS NOT NULL"
    f" AND COALESCE({_NEW_IN.format(turn='')}, {_NEW_IN.format(turn=f'+ {BUCKETS}')}) IS NOT NULL"
).bindparams(bindparam("strata", expanding=True))
_IN_COHORT: Final = text("SELECT COUNT(*) FROM device WHERE cohort = :cohort")
_NEW_IN_COHORT: Final = text(
    f"SELECT COUNT(*) FROM device d WHERE d.cohort = :cohort AND {_IS_NEW}"  # noqa: S608 # our own words
)

_ORDERED: Final = select(
    func.coalesce(func.sum(s.batch.c.devices), 0).cast(Integer),
    func.coalesce(
        func.sum(case((s.batch.c.created_at > bindparam("since"), s.batch.c.devices), else_=0)), 0
    ).cast(Integer),
).where(s.batch.c.campaign == bindparam("campaign"), text(s.IS_UPDATE))

LAST_DAY: Final = select(func.coalesce(func.sum(s.batch.c.devices), 0).cast(Integer)).where(
    s.batch.c.campaign.in_(select(s.campaign.c.id)), s.batch.c.created_at > bindparam("since")
)


# --- rows


def _row(connection: Connection, key: int | str, *, lock: bool = False) -> Row[Any]:
    its = s.campaign.c.id == s.number(key) if isinstance(key, int) else s.campaign.c.name == key
    query = select(s.campaign).where(its)
    row = connection.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        names = connection.execute(select(s.campaign.c.name).order_by(s.campaign.c.id)).scalars().all()
        known = f"there are {', '.join(map(repr, names))}" if names else "there is none at all"
        raise UsageError(f"there is no campaign {key!r}; {known}")
    return row


def _campaign(row: Row[Any]) -> Campaign:
    return Campaign(
        row.id,
        row.name,
        row.release,
        _decoded(row.plan),
        row.digest,
        row.salt,
        CampaignStatus(row.status),
        row.created_by,
        Instant(row.created_at),
        _instant(row.started_at),
        _instant(row.ended_at),
    )


_decoded: Final = lru_cache(maxsize=64)(plans.decode)


def _instant(value: int | None) -> Instant | None:
    return None if value is None else Instant(value)


def _approvals(connection: Connection, campaign: Row[Any]) -> list[Approval]:
    query = (
        select(s.approval)
        .where(s.approval.c.campaign == campaign.id)
        .order_by(s.approval.c.at, s.approval.c.approver)
    )
    is_good = _is_good(connection, campaign)
    return [
        Approval(row.approver, Instant(row.at), is_good(row.approver, row.digest, Instant(row.at)))
        for row in connection.execute(query)
    ]


def _votes(connection: Connection, campaign: Row[Any]) -> list[Vote]:
    query = select(s.vote).where(s.vote.c.campaign == campaign.id).order_by(s.vote.c.at, s.vote.c.member)
    is_good = _is_good(connection, campaign)
    board = _decoded(campaign.plan).board
    return [
        Vote(
            row.member,
            Choice(row.choice),
            Instant(row.at),
            board is not None
            and board.seat_of(row.member) is not None
            and is_good(row.member, row.digest, Instant(row.at)),
        )
        for row in connection.execute(query)
    ]


def _authors(connection: Connection, campaign: int) -> set[str]:
    """Everybody who wrote a plan of it, as names are compared: none of them gives their word for it."""
    query = select(s.plan_version.c.who).where(s.plan_version.c.campaign == campaign).distinct()
    return {name.casefold() for name in connection.execute(query).scalars()}


def _givers(connection: Connection) -> dict[str, str] | None:
    """Whose word counts, where there are accounts; None: there are none, and everybody's does."""
    return holders(connection, APPROVER) if is_any(connection) else None


def _is_good(connection: Connection, campaign: Row[Any]) -> Callable[[str, bytes, Instant], bool]:
    """Whether somebody's word for a digest, given at a time, holds for the campaign as it is."""
    authors = _authors(connection, campaign.id) | {campaign.created_by.casefold()}
    givers = _givers(connection)
    is_draft = campaign.status == CampaignStatus.DRAFT.value  # once it has begun its words have been counted

    def is_good(who: str, digest: bytes, at: Instant) -> bool:
        key = who.casefold()
        if digest != campaign.digest or key in authors or (givers is not None and key not in givers):
            return False
        return not (is_draft and _makers(connection, who, at) & authors)

    return is_good


def _makers(connection: Connection, who: str, at: Instant) -> set[str]:
    """Who could speak through this account at that time; see `Making`."""
    making = makings(connection, [who]).get(who.casefold())
    return set() if making is None else making.makers(who, at)


def _check_word(connection: Connection, row: Row[Any], who: str, digest: bytes, now: Instant) -> None:
    """Raise `UsageError` where somebody cannot give their word for what has this digest."""
    if row.status != CampaignStatus.DRAFT.value:
        raise UsageError(f"campaign {row.name!r} is {row.status}: only a draft can be approved")
    authors = _authors(connection, row.id) | {row.created_by.casefold()}
    if who.casefold() in authors:
        raise UsageError(f"{who} wrote campaign {row.name!r}: somebody else must approve it")
    givers = _givers(connection)
    if givers is not None and who.casefold() not in givers:
        raise UsageError(f"{who} is no approver, by the accounts that there are")
    if same := _makers(connection, who, now) & authors:
        raise UsageError(
            f"{min(same)} wrote campaign {row.name!r}, and made the account of {who}, gave it the role of "
            "approver, reset its password or issued a token that speaks for it: somebody must approve it who "
            "is not their making"
        )
    if digest != row.digest:
        raise UsageError(
            f"campaign {row.name!r} has the digest {row.digest.hex()}, not {digest.hex()}: "
            "it was changed, read it again"
        )


def _check_approved(connection: Connection, row: Row[Any], plan: Plan) -> None:
    """Raise `UsageError` where those have not given their word whom the plan asks for.

    Where there are accounts, somebody has to in any case: a plan that asks for nobody does not start there.
    """
    if plan.board is not None:
        votes = {it.member: it.choice for it in _votes(connection, row) if it.valid}
        ballot = boards.count(plan.board, votes)
        if not ballot.approved:
            said = (
                f"{ballot.cast} of {ballot.needed} votes are cast, and the outcome is {ballot.outcome.value}"
            )
            raise UsageError(f"campaign {row.name!r} needs its board's approval of what it is now: {said}")
        return
    needed = max(plan.approvals, 1) if is_any(connection) else plan.approvals
    valid = [it.approver for it in _approvals(connection, row) if it.valid]
    if len(valid) < needed:
        raise UsageError(
            f"campaign {row.name!r} needs {needed} approval{'s' if needed > 1 else ''} of what it is now, "
            f"and has {len(valid)}{': ' + ', '.join(valid) if valid else ''}"
        )


def _check_board(plan: Plan, authors: Collection[str]) -> None:
    """Raise `UsageError` where those who wrote the plan keep its board from ever being quorate."""
    if plan.board is None:
        return
    voters = [name for name in plan.board.members if name.casefold() not in authors]
    if len(voters) < plan.board.needed:
        raise UsageError(
            f"plan: {plan.board.needed} members must vote, and {len(voters)} can: "
            "whoever writes the plan has no vote on it"
        )


def _digest(connection: Connection, release: int, plan: Plan) -> bytes:
    """What an approval binds to: the image, and all of the plan."""
    image = connection.execute(select(s.release.c.hash).where(s.release.c.id == release)).scalar()
    if image is None:
        raise UsageError(f"there is no release {release}")
    return hashlib.sha256(image + plan.digest).digest()


def salt_of(name: str) -> int:
    """How far to turn the circle: the same Devices must not be the canaries of every campaign."""
    return int.from_bytes(hashlib.sha256(b"salt of " + name.encode()).digest()[:8], "big") % BUCKETS


def _release(connection: Connection, number: int) -> Release:
    """A release without its octets."""
    # Nor what stands behind them in its row: SQLite reads through the octets to come to it.
    columns = [column for column in s.release.c if column.name not in {"image", "security"}]
    row = connection.execute(select(*columns).where(s.release.c.id == number)).one()
    return Release(
        Procedure(row.procedure),
        row.manufacturer,
        row.version,
        ImageHash(row.hash),
        row.minimum_hardware,
        row.maximum_hardware,
        b"",
        frozenset(map(FirmwareVersion.parse, row.path.split())),
        row.withdrawn_at is not None,
    )


def _stratum(connection: Connection, campaign: int, name: str, now: Instant) -> int:
    values = {"campaign": campaign, "name": name, "wave": 0, "wave_opened_at": now}
    return int(connection.execute(insert(s.stratum).values(values).returning(s.stratum.c.id)).scalar_one())


def _closed(campaign: int, cohort: int, verdict: Verdict, devices: int, waiting: int = 0) -> dict[str, Any]:
    """The row of a cohort that may not have the release; of whose Devices so many waited before."""
    return {
        "campaign": campaign, "cohort": cohort, "wave": 0, "verdict": verdict.name, "stratum": None,
        "first": 0, "last": BUCKETS, "devices": devices, "waiting": waiting, "position": None, "passed": 0,
        "swept_at": None,
    }  # fmt: skip


def _pool_rows(
    connection: Connection,
    campaign: int,
    salt: int,
    cohort: int,
    stratum: int,
    bounds: Sequence[int],
    devices: int,
    *,
    swept_at: Instant | None,
) -> list[dict[str, Any]]:
    """The rows of a cohort that may have the release: one for each wave that has a part of the circle."""
    rows = []
    first = 0
    for wave, last in enumerate(bounds):
        if last > first:
            part = last * devices // BUCKETS - first * devices // BUCKETS
            if 0 < devices <= _COUNT_EXACT and last - first < BUCKETS:
                part = sum(
                    connection.execute(
                        select(func.count()).where(
                            s.device.c.cohort == cohort, s.device.c.bucket >= low, s.device.c.bucket < high
                        )
                    ).scalar_one()
                    for low, high, _ in spans(first, last, salt)
                )
            row = {
                "campaign": campaign, "cohort": cohort, "wave": wave, "verdict": Verdict.ELIGIBLE.name,
                "stratum": stratum, "first": first, "last": last, "devices": part, "waiting": part,
                "position": None if swept_at is not None else first, "passed": 0, "swept_at": swept_at,
            }  # fmt: skip
            rows.append(row)
            first = last
    return rows


def _wake(connection: Connection, campaign: int, now: Instant) -> None:
    connection.execute(
        update(s.device_update)
        .where(s.device_update.c.campaign == campaign, s.device_update.c.ready_at > now)
        .values(ready_at=now)
    )


# --- waves


def _count_devices(connection: Connection) -> dict[int, int]:
    """How many Devices are in each cohort: one pass over the index of cohorts."""
    query = select(s.device.c.cohort, func.count()).group_by(s.device.c.cohort)
    return dict(connection.execute(query).all())


class Nearest(Protocol):
    """The Devices of a stratum that come first on the turned circle."""

    def bound(self, devices: int) -> int:
        """The rotated bucket below which so many Devices stand, 1..`EXACT_MAX`, or a few more."""
        ...


class _Nearest:
    """The Devices of a stratum that come first on the turned circle."""

    def __init__(self, connection: Connection, cohorts: Iterable[int], salt: int) -> None:
        self._connection = connection
        self._cohorts = list(cohorts)
        self._salt = salt
        self._buckets: list[int] | None = None

    def bound(self, devices: int) -> int:
        """The rotated bucket below which so many Devices stand, 1..`EXACT_MAX`, or a few more."""
        if self._buckets is None:
            found: list[int] = []
            for cohort in self._cohorts:
                mine: list[int] = []
                for low, high, turn in spans(0, BUCKETS, self._salt):
                    query = (
                        select(s.device.c.bucket)
                        .where(
                            s.device.c.cohort == cohort, s.device.c.bucket >= low, s.device.c.bucket < high
                        )
                        .order_by(s.device.c.bucket)
                        .limit(EXACT_MAX - len(mine))
                    )
                    if len(mine) < EXACT_MAX:
                        mine += [bucket + turn for bucket in self._connection.execute(query).scalars()]
                found += mine
            self._buckets = sorted(found)
        if len(self._buckets) < devices:  # some have left since they were counted
            return BUCKETS
        return self._buckets[devices - 1] + 1


def wave_bounds(plan: Plan, devices: int, nearest: Nearest) -> list[int]:
    """Where each wave ends on the turned circle, for a stratum of so many Devices."""
    bounds: list[int] = []
    for wave in plan.waves[:-1]:
        wanted = max(ceil(wave.share * devices), min(wave.minimum, devices))
        if not devices:
            bound = round(wave.share * BUCKETS)
        elif wanted >= devices:
            bound = BUCKETS
        elif wanted <= EXACT_MAX:
            bound = nearest.bound(wanted)
        else:
            bound = ceil(max(wave.share, wave.minimum / devices) * BUCKETS)
        bounds.append(max([bound, *bounds]))
    return [*bounds, BUCKETS]


def _bounds_of(connection: Connection, stratum: int, waves: int) -> list[int] | None:
    """Where the waves of a stratum end, as its pools say; None: it has none at the moment."""
    query = select(s.pool.c.wave, s.pool.c.last).where(s.pool.c.stratum == stratum).distinct()
    lasts = dict(connection.execute(query).all())
    if not lasts:
        return None
    bounds = []
    last = 0
    for wave in range(waves):
        last = lasts.get(wave, last)
        bounds.append(last)
    return bounds


def spans(first: int, last: int, salt: int) -> list[tuple[int, int, int]]:
    """A range of rotated buckets as (low, high, turn), in its order: rotated = bucket + turn.

    One range of buckets [low, high), or two where the rotation wraps in it.
    """
    wrap = salt % BUCKETS  # the rotated bucket of bucket 0
    parts = []
    if first < min(last, wrap):
        turn = wrap - BUCKETS
        parts.append((first - turn, min(last, wrap) - turn, turn))
    if max(first, wrap) < last:
        parts.append((max(first, wrap) - wrap, last - wrap, wrap))
    return parts
