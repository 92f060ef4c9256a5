"""The fleet as a whole and any part of it, at any size: counted, sampled over time, looked through by pages.

No look at a page reads more than `LOOK_MAX` Devices. What is alike is one cohort, so that a table which is
sorted by something that cohorts have is a walk along cohorts, each in the order of an index that is there
anyway. Where an order by EUI-64 meets a condition that few meet, a page says how far it has looked.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, fields
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Integer, and_, bindparam, func, insert, select, text, true, update

from lamplighter.campaign.next import Order
from lamplighter.campaign.state import STAGE_BITS, STAGE_SHIFT, Progress, Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.campaign.whereabouts import Ordered
from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import HOUR
from lamplighter.registry import (
    BUCKETS,
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Part,
    Verdict,
    judge,
)
from lamplighter.registry.exposure import Range
from lamplighter.store import schema as s
from lamplighter.store.audit import note
from lamplighter.store.registry import Counted, cohort_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from lamplighter.registry import Release
    from lamplighter.store.database import Database, Fence

SAMPLE_EVERY: Final = HOUR
"""How often the fleet is counted for its history, microseconds."""
LOOKS: Final = (2_000, 18_000, 80_000, 100_000, 100_000, 100_000)
"""Rows that one page looks at, one after the other; in all some hundred milliseconds."""
LOOK_MAX: Final = sum(LOOKS)
PAGE_MAX: Final = 1_000
_CHUNK: Final = 100_000  # rows looked at by one statement
_FEW: Final = 20_000  # Devices that are read and sorted as a whole
_STALE: Final = 20  # a count that took a second is good for so many
_AT_ONCE_SECONDS: Final = 0.02  # a count that is as quick is made anew each time
_WAITED_FOR_SECONDS: Final = 0.25  # one that takes longer is made anew while the old one is shown
_REASON_MAX: Final = 500
_BRANCHES: Final = (4, 16, 64)  # cohorts that one statement looks at: the first, the second, and all others
_SIGN: Final = 1 << 63
_UNDER_WAY: Final = (CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.ABORTING)

SORTS: Final = (
    "eui", "type", "manufacturer", "model", "hardware", "firmware", "status", "region", "hub_model", "tag",
)  # fmt: skip
"""What Devices can be sorted by."""


@dataclass(frozen=True, slots=True)
class Census:
    """All Devices, by what they have in common."""

    at: Instant
    """When they were counted."""
    cohorts: tuple[Counted, ...]
    """Cohorts that any Device is in."""

    @property
    def devices(self) -> int:
        """How many there are."""
        return sum(it.devices for it in self.cohorts)


class Sample(NamedTuple):
    """So many Devices ran a version from then on, until the next sample of the same."""

    at: Instant
    type: DeviceType
    manufacturer: int
    model: int
    firmware: FirmwareVersion
    devices: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which Devices are looked for; what is None is not asked for."""

    type: DeviceType | None = None
    manufacturer: int | None = None
    model: int | None = None
    hardware: int | None = None
    firmware: FirmwareVersion | None = None
    status: DeviceStatus | None = None
    part: Part | None = None
    region: str | None = None
    hub_model: str | None = None
    tag: str | None = None
    hub: Eui64 | None = None
    prefix: str = ""
    """First hex digits of the EUI-64, without hyphens."""

    @property
    def cohorts(self) -> dict[str, Any]:
        """What is asked of cohorts."""
        return {
            field.name: value
            for field in fields(self)
            if field.name not in {"hub", "prefix"} and (value := getattr(self, field.name)) is not None
        }

    def has(self, cohort: Cohort) -> bool:
        """Whether Devices of this cohort are looked for."""
        return all(getattr(cohort, name) == value for name, value in self.cohorts.items())


class Page(NamedTuple):
    """Some Devices, and where the next ones begin."""

    devices: Sequence[Device]
    next: str | None
    """To be given as `after`; None: there are no more."""
    looked_up_to: Eui64 | None
    """Where the page is shorter than asked for, because so many were looked at: the last of them."""


@dataclass(frozen=True, slots=True)
class Update:
    """One Device's way through one campaign, in a list."""

    id: int
    """In the database."""
    device: Eui64
    """Which Device."""
    hub: Eui64
    """Its hub."""
    stratum: str
    """Its stratum."""
    wave: int
    """Its wave, from 0."""
    region: str
    """Its region."""
    progress: Progress
    """How far it has come."""
    since: Instant
    """When that last changed."""


@dataclass(frozen=True, slots=True)
class Updates:
    """Some of them, and where the next ones begin."""

    rows: tuple[Update, ...]
    """In the order of their first orders."""
    next: int | None
    """To be given as `after`; None: there are no more."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A Device's place in a campaign that has ordered nothing for it yet."""

    campaign: int
    """Its id."""
    name: str
    """Its name."""
    status: CampaignStatus
    """Where the campaign stands."""
    verdict: Verdict
    """Whether the Device is in it at all."""
    wave: int
    """Its wave, from 0."""
    stratum: str | None
    """Its stratum; None: it is in none."""
    open_wave: int | None
    """The wave that is open for that stratum."""
    held: str | None
    """Why the stratum is held; None: it is not."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """Versions that somebody has declared vulnerable."""

    id: int
    """In the database."""
    range: Range
    """Which."""
    reason: str
    """Why."""
    who: str
    """Who said so."""
    at: Instant
    """When."""
    closed_at: Instant | None
    """Since when it is of no concern any more."""


class Fleet:
    """All Devices of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._census: Census | None = None
        self._counted_at = -inf
        self._cost = 0.0
        self._cohorts: dict[int, Cohort] = {}  # they never change
        self._sampled_at: Instant | None = None

    # --- all of it

    def count(self, now: Instant) -> Census:
        """All Devices by cohort: at most as old as twenty times the time that it takes to count them.

        Where that is a quarter of a second or more, an old count is given while a new one is made.
        """
        with self._lock:
            census, age, cost = self._census, monotonic() - self._counted_at, self._cost
        if census is not None and cost > _AT_ONCE_SECONDS and age < cost * _STALE:
            return census
        if census is None or cost < _WAITED_FOR_SECONDS:
            with self._counting:
                return self._count(now)
        if self._counting.acquire(blocking=False):
            threading.Thread(target=self._count_aside, args=(now,), name="census", daemon=True).start()
        return census

    def _count_aside(self, now: Instant) -> None:
        try:
            with suppress(Exception):  # the next look tries again, and says what fails
                self._count(now)
        finally:
            self._counting.release()

    def _count(self, now: Instant) -> Census:
        began = monotonic()
        with self._database.reading() as connection:
            counts = connection.execute(
                select(s.device.c.cohort, func.count().label("devices")).group_by(s.device.c.cohort)
            ).all()
            cohorts = self._known(connection)
        census = Census(now, tuple(Counted(row.cohort, cohorts[row.cohort], row.devices) for row in counts))
        with self._lock:
            self._census, self._counted_at, self._cost = census, monotonic(), monotonic() - began
        return census

    def _known(self, connection: Connection) -> Mapping[int, Cohort]:
        """All cohorts by id; only those that are new are read."""
        last = max(self._cohorts, default=0)
        new = {
            row.id: cohort_of(row) for row in connection.execute(select(s.cohort).where(s.cohort.c.id > last))
        }
        self._cohorts = {**self._cohorts, **new} if new else self._cohorts
        return self._cohorts

    def verdicts(self, release: Release, now: Instant) -> Mapping[Verdict, int]:
        """Devices by what they could have of a release; whether an update is under way is not asked.

        As old as `count`, and as cheap: it goes by cohorts.
        """
        found: Counter[Verdict] = Counter()
        for it, verdict in self.judged(release, self.count(now)):
            found[verdict] += it.devices
        return found

    def judged(self, release: Release, census: Census) -> list[tuple[Counted, Verdict]]:
        """Each cohort with the verdict on it."""
        with self._database.reading() as connection:
            rows = connection.execute(select(s.cpl_entry).where(s.cpl_entry.c.version == release.version))
            cpl = {
                (row.manufacturer, row.model, row.hardware): CplEntry(
                    row.manufacturer,
                    row.model,
                    row.hardware,
                    row.version,
                    ImageHash(row.hash),
                    CplStatus(row.status),
                )
                for row in rows
            }
        return [(it, judge(it.cohort, release, cpl.get(_product(it.cohort)))) for it in census.cohorts]

    # --- over time

    def sample(self, now: Instant, hold: Callable[[], Fence] | None = None) -> bool:
        """Note how many Devices run which version, where this was not asked within `SAMPLE_EVERY`.

        hold  gives the fence under which it is noted; it is asked for one only where it is time

        Returns whether anything had changed. Raises `LeaseLostError`: then another one notes it.
        """
        if self._sampled_at is not None and 0 <= now - self._sampled_at < SAMPLE_EVERY:
            return False
        self._sampled_at = now
        fence = None if hold is None else hold()
        counts: Counter[tuple[Any, ...]] = Counter()
        with self._database.reading() as connection:
            for row in connection.execute(_VERSIONS):
                counts[row.type, row.manufacturer, row.model, row.firmware] += row.devices
            before = {_key(row): row.devices for row in connection.execute(_LATEST, {"until": now})}
        rows = [
            {
                "at": now, "type": key[0], "manufacturer": key[1], "model": key[2], "firmware": key[3],
                "devices": counts[key],
            }
            for key in before.keys() | counts.keys()
            if counts[key] != before.get(key, 0)
        ]  # fmt: skip
        if not rows:
            return False
        new = self._database.insert(s.census)
        new = new.on_conflict_do_update(
            index_elements=list(s.census.primary_key), set_={"devices": new.excluded.devices}
        )
        with self._database.writing(fence) as connection:
            connection.execute(new, rows)
        return True

    def history(self, since: Instant) -> list[Sample]:
        """How many Devices ran which version, by time: what held at `since` comes first."""
        with self._database.reading() as connection:
            before = [_sample(row) for row in connection.execute(_LATEST, {"until": since}) if row.devices]
            later = connection.execute(
                select(s.census).where(s.census.c.at > since).order_by(*s.census.primary_key)
            )
            return [it._replace(at=since) for it in before] + [_sample(row) for row in later]

    # --- part of it

    def search(self, wanted: Wanted, sort: str = "eui", after: str | None = None, limit: int = 50) -> Page:
        """Devices that are looked for: a page of at most `limit` (1 to `PAGE_MAX`).

        sort   one of `SORTS`; with a hyphen before it from the last to the first
        after  what the page before said to be `next`

        Raises `UsageError` for another order, or for an `after` that no page has said.
        """
        key, down = sort.removeprefix("-"), sort.startswith("-")
        if key not in SORTS:
            raise UsageError(f"Devices can be sorted by {', '.join(SORTS)}, not by {key[:40]!r}")
        limit = max(1, min(limit, PAGE_MAX))
        first, last = _range(wanted.prefix)
        with self._database.reading() as connection:
            cohorts = self._known(connection)
            some = {it: cohort for it, cohort in cohorts.items() if wanted.has(cohort)}
            if wanted.hub is not None:
                return _of_home(connection, wanted.hub, some, (first, last))
            if key == "eui":
                walk = _ByEui(
                    connection,
                    some,
                    few=None if len(some) == len(cohorts) else self._few(some),
                    down=down,
                )
                return walk.page((first, last), after, limit)
            walks = _ByCohort(connection, some, key, down=down)
            return walks.page((first, last), after, limit)

    def _few(self, cohorts: Collection[int]) -> bool:
        """Whether so few Devices are in these cohorts that all of them can be read."""
        with self._lock:
            census = self._census
        if census is None:
            return False
        return sum(it.devices for it in census.cohorts if it.id in cohorts) <= _FEW

    def updates(
        self,
        campaign: int,
        stages: Collection[Stage] = (),
        *,
        cause: int | None = None,
        stratum: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> Updates:
        """Devices of a campaign that have come so far (in any of `stages`; none: all that were ordered)."""
        limit = max(1, min(limit, PAGE_MAX))
        progress = s.device_update.c.progress
        asked = [s.device_update.c.campaign == campaign]
        if stages:
            code = (progress // (1 << STAGE_SHIFT)) % (1 << STAGE_BITS)
            asked.append(code.in_([int(it) for it in stages]))
        if cause is not None:
            asked.append(progress % (1 << STAGE_SHIFT) == cause)
        if stratum is not None:
            asked.append(s.stratum.c.name == stratum)
        query = (
            select(s.device_update, s.stratum.c.name, s.cell.c.wave, s.cell.c.region)
            .join(s.cell, s.cell.c.id == s.device_update.c.cell)
            .join(s.stratum, s.stratum.c.id == s.cell.c.stratum)
            .where(
                *asked,
                s.device_update.c.id > bindparam("first", type_=Integer),
                s.device_update.c.id <= bindparam("last", type_=Integer),
            )
            .order_by(s.device_update.c.id)
        )
        rows: list[Update] = []
        looked = 0
        with self._database.reading() as connection:
            end = connection.execute(select(func.max(s.device_update.c.id))).scalar() or 0
            while after < end and looked < LOOK_MAX:
                chunk = {"first": after, "last": after + _CHUNK}
                for row in connection.execute(query.limit(limit + 1 - len(rows)), chunk):
                    if len(rows) == limit:
                        return Updates(tuple(rows), rows[-1].id)
                    rows.append(_update(row))
                after += _CHUNK
                looked += _CHUNK
        return Updates(tuple(rows), after if after < end else None)

    # --- one of it

    def orders(self, device: Eui64) -> dict[int, tuple[Instant, Ordered]]:
        """By campaign: since when a Device's update stands where it does, and its latest order."""
        query = (
            select(
                s.device_update.c.campaign,
                s.device_update.c.since,
                s.device_update.c.ready_at,
                s.batch.c.kind,
                s.batch.c.created_at,
                s.campaign.c.status,
                s.stratum.c.held_because,
                _EXECUTION,
            )
            .join(s.batch, s.batch.c.id == s.device_update.c.batch)
            .join(s.campaign, s.campaign.c.id == s.device_update.c.campaign)
            .join(s.cell, s.cell.c.id == s.device_update.c.cell)
            .join(s.stratum, s.stratum.c.id == s.cell.c.stratum)
            .where(s.device_update.c.device == device)
        )
        with self._database.reading() as connection:
            return {
                row.campaign: (
                    Instant(row.since),
                    Ordered(
                        Order(row.kind),
                        Instant(row.created_at),
                        None if row.ready_at is None else Instant(row.ready_at),
                        CampaignStatus(row.status),
                        row.held_because,
                        None if row.execution_at is None else Instant(row.execution_at),
                    ),
                )
                for row in connection.execute(query)
            }

    def queues(self, device: Eui64) -> list[Queued]:
        """Campaigns under way that have a place for a Device, and have ordered nothing for it yet."""
        ordered = select(s.device_update.c.campaign).where(s.device_update.c.device == device)
        query = (
            select(
                s.campaign.c.id,
                s.campaign.c.name,
                s.campaign.c.salt,
                s.campaign.c.status,
                s.device.c.bucket,
                s.pool.c.wave,
                s.pool.c.verdict,
                s.pool.c.first,
                s.pool.c.last,
                s.stratum.c.name.label("stratum"),
                s.stratum.c.wave.label("open"),
                s.stratum.c.held_because,
            )
            .join(s.pool, s.pool.c.cohort == s.device.c.cohort)
            .join(s.campaign, s.campaign.c.id == s.pool.c.campaign)
            .outerjoin(s.stratum, s.stratum.c.id == s.pool.c.stratum)
            .where(
                s.device.c.eui == device,
                s.campaign.c.status.in_([it.value for it in _UNDER_WAY]),
                s.campaign.c.id.not_in(ordered),
            )
            .order_by(s.campaign.c.id, s.pool.c.wave)
        )
        with self._database.reading() as connection:
            return [
                Queued(
                    row.id,
                    row.name,
                    CampaignStatus(row.status),
                    Verdict[row.verdict],
                    row.wave,
                    row.stratum,
                    row.open,
                    row.held_because,
                )
                for row in connection.execute(query)
                if Verdict[row.verdict] is not Verdict.ELIGIBLE
                or row.first <= (row.bucket + row.salt) % BUCKETS < row.last
            ]

    # --- what should not be run

    def advisories(self) -> list[Advisory]:
        """Those that are open, the earliest first."""
        query = select(s.advisory).where(s.advisory.c.closed_at.is_(None)).order_by(s.advisory.c.id)
        with self._database.reading() as connection:
            return [
                Advisory(
                    row.id, Range(row.manufacturer, row.model, row.lowest, row.highest), row.reason, row.who,
                    Instant(row.at), None,
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def advise(self, which: Range, reason: str, who: str, now: Instant) -> int:
        """Declare versions vulnerable; returns the id. Raises `UsageError` where no reason is given."""
        reason = reason.strip()
        if not 1 <= len(reason) <= _REASON_MAX:
            raise UsageError(f"say why, in 1 to {_REASON_MAX} characters")
        values = {
            "manufacturer": which.manufacturer,
            "model": which.model,
            "lowest": which.lowest,
            "highest": which.highest,
            "reason": reason,
            "who": who,
            "at": now,
        }
        model = "any model" if which.model is None else f"model {which.model:04X}"
        subject = f"{which.manufacturer:04X} {model}, {which.lowest} to {which.highest}"
        with self._database.writing() as connection:
            number = connection.execute(
                insert(s.advisory).values(values).returning(s.advisory.c.id)
            ).scalar_one()
            note(connection, now, who, "declare vulnerable", subject=subject, detail=reason)
            return int(number)

    def close_advisory(self, number: int, who: str, now: Instant) -> None:
        """Let an advisory be of no concern any more; raises `UsageError` where there is none open."""
        with self._database.writing() as connection:
            closed = connection.execute(
                update(s.advisory)
                .where(s.advisory.c.id == number, s.advisory.c.closed_at.is_(None))
                .values(closed_at=now)
            )
            if not closed.rowcount:
                raise UsageError(f"there is no open advisory {number}")
            note(connection, now, who, "close advisory", subject=str(number))


_COUNTED: Final = (
    select(s.device.c.cohort, func.count().label("devices")).group_by(s.device.c.cohort).subquery("counted")
)
_VERSIONS: Final = select(
    s.cohort.c.type, s.cohort.c.manufacturer, s.cohort.c.model, s.cohort.c.firmware, _COUNTED.c.devices
).join(_COUNTED, _COUNTED.c.cohort == s.cohort.c.id)

_SAME: Final = ("type", "manufacturer", "model", "firmware")
_NEWEST: Final = (
    select(*(s.census.c[name] for name in _SAME), func.max(s.census.c.at).label("at"))
    .where(s.census.c.at <= bindparam("until"))
    .group_by(*(s.census.c[name] for name in _SAME))
    .subquery("newest")
)
_LATEST: Final = select(s.census).join(
    _NEWEST, and_(true(), *(s.census.c[name] == _NEWEST.c[name] for name in (*_SAME, "at")))
)


def _product(cohort: Cohort) -> tuple[int, int, int]:
    return cohort.manufacturer, cohort.model, cohort.hardware


def _key(row: Any) -> tuple[Any, ...]:
    return row.type, row.manufacturer, row.model, row.firmware


def _sample(row: Any) -> Sample:
    return Sample(
        Instant(row.at), DeviceType(row.type), row.manufacturer, row.model, row.firmware, row.devices
    )


def _update(row: Any) -> Update:
    return Update(
        row.id,
        row.device,
        row.hub,
        row.name,
        row.wave,
        row.region,
        Progress(row.progress),
        Instant(row.since),
    )


# --- walks through Devices; EUI-64s are whole numbers here, as the database holds them


def _range(prefix: str) -> tuple[int, int]:
    """The first and the last identifier that begin with these hex digits."""
    digits = prefix.replace("-", "").upper()
    if len(digits) > 16 or set(digits) - set("0123456789ABCDEF"):
        raise UsageError(f"an EUI-64 begins with up to 16 hex digits, not with {prefix[:40]!r}")
    return int(digits.ljust(16, "0"), 16) - _SIGN, int(digits.ljust(16, "F"), 16) - _SIGN


def _device(row: Any, cohorts: Mapping[int, Cohort]) -> Device:
    return Device(Eui64.of(row.eui + _SIGN), Eui64.of(row.hub + _SIGN), cohorts[row.cohort])


def _of_home(
    connection: Connection, hub: Eui64, cohorts: Mapping[int, Cohort], bounds: tuple[int, int]
) -> Page:
    """The Devices of one home: so few that they are one page."""
    rows = connection.execute(
        text("SELECT eui, hub, cohort FROM device WHERE hub = :hub ORDER BY eui"), {"hub": int(hub) - _SIGN}
    )
    found = [row for row in rows if row.cohort in cohorts and bounds[0] <= row.eui <= bounds[1]]
    return Page([_device(row, cohorts) for row in found], None, None)


class _ByEui:
    """A walk in the order of identifiers.

    few  whether all that is looked for can be read at once; None: every Device is looked for
    """

    def __init__(
        self,
        connection: Connection,
        cohorts: Mapping[int, Cohort],
        *,
        few: bool | None,
        down: bool,
    ) -> None:
        self._connection = connection
        self._cohorts = cohorts
        self._few = few
        self._down = down

    def page(self, bounds: tuple[int, int], after: str | None, limit: int) -> Page:
        """The next ones."""
        low, high = bounds
        if after is not None:
            at = _after_eui(after)
            low, high = (low, min(high, at - 1)) if self._down else (max(low, at + 1), high)
            if low > high:
                return Page([], None, None)
        rows, looked_up_to = self._rows(low, high, limit + 1)
        devices = [_device(row, self._cohorts) for row in rows[:limit]]
        if len(rows) > limit:
            return Page(devices, f"e{int(devices[-1].eui):016X}", None)
        if looked_up_to is None:
            return Page(devices, None, None)
        eui = Eui64.of(looked_up_to + _SIGN)
        return Page(devices, f"e{int(eui):016X}", eui)

    def _rows(self, low: int, high: int, limit: int) -> tuple[list[Any], int | None]:
        order = "DESC" if self._down else "ASC"
        values = {"low": low, "high": high, "limit": limit}
        between = "eui BETWEEN :low AND :high"
        if self._few is None:
            query = f"SELECT eui, hub, cohort FROM device WHERE {between} ORDER BY eui {order} LIMIT :limit"  # noqa: S608 # ours
            return list(self._connection.execute(text(query), values)), None
        ids = ", ".join(map(str, self._cohorts)) or "NULL"
        if self._few:
            query = (
                "WITH chosen AS MATERIALIZED (SELECT eui, hub, cohort FROM device "  # noqa: S608 # whole numbers
                f"WHERE cohort IN ({ids})) "
                f"SELECT * FROM chosen WHERE {between} ORDER BY eui {order} LIMIT :limit"
            )
            return list(self._connection.execute(text(query), values)), None
        return self._looked_through(ids, values, order)

    def _looked_through(self, ids: str, values: dict[str, int], order: str) -> tuple[list[Any], int | None]:
        """Piece by piece of all Devices, until there are enough, or so many were looked at."""
        end = "min" if self._down else "max"
        piece = (
            f"SELECT {end}(eui) AS last, count(*) AS rows FROM (SELECT eui FROM device "  # noqa: S608 # our own words
            f"WHERE eui BETWEEN :low AND :high ORDER BY eui {order} LIMIT :rows) AS piece"
        )
        # The plus keeps a database from going by the index of cohorts, which has them in another order.
        query = (
            "SELECT eui, hub, cohort FROM device WHERE eui BETWEEN :low AND :high "  # noqa: S608 # whole numbers
            f"AND +cohort IN ({ids}) ORDER BY eui {order} LIMIT :limit"
        )
        low, high, limit = values["low"], values["high"], values["limit"]
        found: list[Any] = []
        for size in LOOKS:
            last, rows = self._connection.execute(text(piece), {"low": low, "high": high, "rows": size}).one()
            if not rows:
                return found, None
            bounds = {"low": last, "high": high} if self._down else {"low": low, "high": last}
            found += self._connection.execute(text(query), {**bounds, "limit": limit - len(found)})
            low, high = (low, last - 1) if self._down else (last + 1, high)
            if len(found) == limit or rows < size or low > high:
                return found, None
        return found, last


class _ByCohort:
    """A walk along cohorts, in the order of something that they have; in each by bucket, as its index is."""

    def __init__(
        self, connection: Connection, cohorts: Mapping[int, Cohort], key: str, *, down: bool
    ) -> None:
        self._connection = connection
        self._cohorts = cohorts
        self._key = key
        self._down = down

    def _place(self, cohort: int) -> tuple[Any, int]:
        value = getattr(self._cohorts[cohort], self._key)
        return getattr(value, "value", value), cohort

    def page(self, bounds: tuple[int, int], after: str | None, limit: int) -> Page:
        """The next ones."""
        ids = sorted(self._cohorts, key=self._place, reverse=self._down)
        since: tuple[int, int] = (-1, 0)
        if after is not None:
            cohort, *since_ = _after_cohort(after)
            if cohort not in self._cohorts:
                raise _stale()
            ids = ids[ids.index(cohort) :]
            since = (since_[0], since_[1])
        rows: list[Any] = []
        for some in self._some(ids):
            rows += self._walk(some, ids[0], since, bounds, limit + 1 - len(rows))
            if len(rows) > limit:
                last = rows[limit - 1]
                cursor = f"c{last.cohort}.{last.bucket}.{last.eui + _SIGN:016X}"
                return Page([_device(row, self._cohorts) for row in rows[:limit]], cursor, None)
        return Page([_device(row, self._cohorts) for row in rows], None, None)

    @staticmethod
    def _some(ids: Sequence[int]) -> Iterator[Sequence[int]]:
        at, turn = 0, 0
        while at < len(ids):
            size = _BRANCHES[min(turn, len(_BRANCHES) - 1)]
            yield ids[at : at + size]
            at, turn = at + size, turn + 1

    def _walk(
        self, cohorts: Sequence[int], first: int, since: tuple[int, int], bounds: tuple[int, int], limit: int
    ) -> list[Any]:
        branch = (
            "SELECT * FROM (SELECT {at} AS place, eui, hub, cohort, bucket FROM device "
            "WHERE cohort = {cohort} AND +eui BETWEEN :low AND :high{since} "
            "ORDER BY bucket, eui LIMIT :limit) AS chosen{at}"
        )
        later = " AND (bucket, eui) > (:bucket, :eui)"
        query = " UNION ALL ".join(
            branch.format(at=at, cohort=cohort, since=later if cohort == first and since[0] >= 0 else "")
            for at, cohort in enumerate(cohorts)
        )
        values: dict[str, int] = {"low": bounds[0], "high": bounds[1], "limit": limit}
        if ":bucket" in query:
            values |= {"bucket": since[0], "eui": since[1]}
        rows = self._connection.execute(text(f"{query} ORDER BY place, bucket, eui"), values)
        return list(rows)[:limit]


# When a Device is to activate, by its latest order.
_EXECUTION: Final = (
    select(func.max(s.request.c.execution_at))
    .where(s.request.c.batch == s.device_update.c.batch, s.request.c.device == s.device_update.c.device)
    .correlate(s.device_update)
    .scalar_subquery()
    .label("execution_at")
)


def _stale() -> UsageError:
    return UsageError("this page of the table is no more: begin at the first")


def _after_eui(text_: str) -> int:
    try:
        return int(Eui64.parse(text_[1:])) - _SIGN if text_[:1] == "e" else _refuse()
    except DecodeError as cause:
        raise _stale() from cause


def _after_cohort(text_: str) -> tuple[int, int, int]:
    parts = text_[1:].split(".")
    if (
        text_[:1] != "c"
        or len(parts) != 3
        or not all(part.isascii() and part.isdigit() for part in parts[:2])
    ):
        _refuse()
    try:
        return int(parts[0]), int(parts[1]), int(Eui64.parse(parts[2])) - _SIGN
    except DecodeError as cause:
        raise _stale() from cause


def _refuse() -> int:
    raise _stale()
