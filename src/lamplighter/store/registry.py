"""The registry in the database: Devices, hubs, the Central Products List, releases, and verdicts on them all.

A Device's row says which cohort it is in and little else; what changes about a Device moves it to another.
Whoever moves Devices does so alone (`_alone`): two that moved the same ones in different orders would wait
for each other.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np
from sqlalchemy import Connection, and_, bindparam, func, insert, select, text, update

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.registry import (
    STRANDED,
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Hub,
    Part,
    Procedure,
    Release,
    Verdict,
    judge,
)
from lamplighter.registry.arrays import Devices, HubKind, Hubs, buckets
from lamplighter.store import audit
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy import Row, Table

    from lamplighter.kit import Instant
    from lamplighter.registry.arrays import Identifiers, Indices
    from lamplighter.store.database import Database

DEVICES_AT_ONCE: Final = 250_000  # in one transaction, and in memory
LOADED_AT_ONCE: Final = 16_000_000
"""Rows of a first load, 20 octets each, until they are written: the whole of a fleet as large as any."""
_PARTS_AT_ONCE: Final = 1000  # parts of a first load, the answer of one home each, until they are joined
_CODES_MAX: Final = 1 << 22  # an array of as many numbers is made
_ROWS_AT_ONCE: Final = 50_000  # read from a cursor
_BIND_MAX: Final = 500  # values in one IN (...); every database takes as many
Columns = TypeVar("Columns")
_CLOCKS_APART: Final = DAY  # how far somebody's clock may be from ours, or a message be late
_LOOKED_AT: Final = 1000  # pieces of evidence that tell how old an epoch is
_LOCK: Final = 0x4C41_4D50_0001  # of PostgreSQL's advisory locks: who moves Devices
_SIGN: Final = 1 << 63

# What a whole statement works on. Columns are whole numbers, as the database itself holds them.
_TEMPORARY: Final = {
    "moving": ("device", "cohort", "what"),
    "target": ("cohort", "what", "target"),
    "asked": ("eui",),
    "heard": ("device", "version"),
    "arriving": ("eui", "hub", "cohort", "bucket"),
    "arriving_hub": ("eui", "kind"),
}


@dataclass(frozen=True, slots=True)
class Counted:
    """A cohort, and how many Devices are in it."""

    id: int
    """In the database."""
    cohort: Cohort
    """What they have in common."""
    devices: int
    """How many; 0: they have moved on."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on some Devices of a cohort."""

    id: int
    """The cohort's, in the database."""
    cohort: Cohort
    """What they have in common."""
    verdict: Verdict
    """Whether they may have the release."""
    devices: int
    """How many, 1 or more."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A release and its place in the database."""

    id: int
    """In the database."""
    name: str
    """What operators call it."""
    release: Release
    """The release; in a list without its octets."""
    octets: int
    """Of the image."""
    withdrawn_at: Instant | None
    """Since when nothing more is ordered of it."""
    security: str | None = None
    """What it cures for security, a reference of whoever marked it; None: it is no security release."""


class Registry:
    """What is known, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def _moving(self) -> Iterator[Connection]:
        """A transaction in which only we move Devices, and what they reported before is noted."""
        with self._database.writing() as connection:
            _alone(self._database, connection)
            catch_up(self._database, connection)
            yield connection

    @contextmanager
    def _noting(self) -> Iterator[Connection]:
        """A transaction to note something in."""
        with self._database.writing() as connection:
            yield connection

    def note(self, now: Instant, who: str, what: str, subject: str, detail: str = "") -> None:
        """Say in the audit what is taken in, or was; of a first load it stands there once that is whole."""
        with self._noting() as connection:
            audit.note(connection, now, who, what, subject=subject, detail=detail)

    @contextmanager
    def loading(self) -> Iterator[Registry]:
        """A registry to put very many rows into; where no Device is known yet, in one transaction.

        Then rows are gathered, `LOADED_AT_ONCE` of them, and written in the order of identifiers, and the
        indexes are made at the end: a fraction of the time. What was put is there to read when the block has
        ended. Meanwhile nobody else reads Devices or cohorts on PostgreSQL, or writes anything on SQLite.
        Where it fails nothing of it is kept.
        """
        with ExitStack() as stack:
            connection = stack.enter_context(self._database.engine.connect())
            if self._database.is_sqlite:
                stack.enter_context(_sorting_in_files(connection))
            stack.enter_context(connection.begin())
            stack.enter_context(audit.chaining(connection))
            _alone(self._database, connection)
            if _is_any(connection, s.device):
                stack.close()
                yield self
                return
            loading = _Loading(self._database, connection)
            yield loading
            loading.finish()

    # --- Devices and hubs

    def put_devices(self, devices: Iterable[Device], *, keep: AbstractSet[str] = frozenset()) -> int:
        """Take in Devices, in place of what was known of them; returns how many rows that were.

        `keep` names fields of `Cohort` that the source does not tell: for a Device that is known they stay as
        they are. What its hub's row tells overrules what is said here of the hub. Commits every
        `DEVICES_AT_ONCE`.
        """
        rows, count = iter(devices), 0
        while chunk := Devices.of(islice(rows, DEVICES_AT_ONCE)):
            self.put_arrays(chunk, keep=keep)
            count += len(chunk)
        return count

    def put_arrays(
        self, devices: Devices, *, keep: AbstractSet[str] = frozenset(), as_of: Instant | None = None
    ) -> None:
        """Take in Devices; of one that comes twice, the last counts. Commits every `DEVICES_AT_ONCE`.

        What a Device itself has said of its version since `as_of` holds against what is said here.
        """
        for some in devices.in_order(DEVICES_AT_ONCE):
            self._put(some, keep, as_of)

    def _put(self, devices: Devices, keep: AbstractSet[str], as_of: Instant | None) -> None:
        with self._moving() as connection:
            if keep:
                devices = self._kept(connection, devices, keep)
            devices = self._with_hubs(connection, devices)
            used = np.flatnonzero(np.bincount(devices.kinds, minlength=len(devices.cohorts)))
            ids = self._ids(connection, [devices.cohorts[kind] for kind in used.tolist()])
            place = np.zeros(len(devices.cohorts), np.int64)
            place[used] = [ids[devices.cohorts[kind]] for kind in used.tolist()]
            columns = (
                _signed(devices.euis),
                _signed(devices.hubs),
                place[devices.kinds],
                buckets(devices.euis),
            )
            self._write(connection, columns)
            if as_of is not None:
                self._believe_devices(connection, devices, as_of)

    def _ids(self, connection: Connection, cohorts: Collection[Cohort]) -> Mapping[Cohort, int]:
        return _cohort_ids(connection, cohorts)

    def _write(self, connection: Connection, columns: Sequence[Indices]) -> None:
        """Write rows of Devices, in place of what was known of them."""
        if self._database.is_sqlite:
            _insert(connection, "device", _DEVICE, columns, _ON_CONFLICT)
            return
        _fill(self._database, connection, "arriving", columns)
        connection.exec_driver_sql(
            "INSERT INTO device (eui, hub, cohort, bucket) "  # noqa: S608 # our own words
            f"SELECT eui, hub, cohort, bucket FROM arriving {_ON_CONFLICT}"
        )

    def _believe_devices(self, connection: Connection, devices: Devices, as_of: Instant) -> None:
        """Note again the version that each of these Devices itself was the last to report since then."""
        if not _is_any(connection, s.device_update):
            return
        _fill(self._database, connection, "asked", [_signed(devices.euis)])
        _empty(self._database, connection, "heard")
        connection.execute(_HEARD, {"as_of": as_of, "epochs": _epochs_since(connection, as_of)})
        note_versions(self._database, connection, "heard")

    def _kept(self, connection: Connection, devices: Devices, keep: AbstractSet[str]) -> Devices:
        """For Devices that are known, the fields that the source does not tell."""
        _fill(self._database, connection, "asked", [_signed(devices.euis)])
        known = connection.exec_driver_sql(
            "SELECT device.eui, device.cohort FROM asked JOIN device ON device.eui = asked.eui"
        ).fetchall()
        if not known:
            return devices
        euis, ids = (np.array(column, np.int64) for column in zip(*known, strict=True))
        names, codes = np.unique(ids, return_inverse=True)
        before = _cohorts(connection, names.tolist())
        olds = [None, *(before[name] for name in names.tolist())]
        what = np.zeros(len(devices), np.int64)
        what[np.searchsorted(devices.euis, _unsigned(euis))] = codes + 1

        def change(cohort: Cohort, code: int) -> Cohort:
            old = olds[code]
            return cohort if old is None else replace(cohort, **{name: getattr(old, name) for name in keep})

        return _changed(devices, what, change)

    def _with_hubs(self, connection: Connection, devices: Devices) -> Devices:
        """With what the hubs' own rows tell."""
        known = self._hubs_of(connection, devices)
        if not len(known):
            return devices
        places = np.searchsorted(known.euis, devices.hubs)
        places[places == len(known)] = 0
        codes = np.where(known.euis[places] == devices.hubs, known.kinds[places] + 1, 0)
        told = [HubKind(), *known.told]
        return _changed(devices, codes, lambda cohort, code: _behind(cohort, told[code]))

    def _hubs_of(self, connection: Connection, devices: Devices) -> Hubs:
        """The hubs of these Devices that have a row, in the order of identifiers."""
        if not _is_any(connection, s.hub):
            return Hubs.of([])
        _fill(self._database, connection, "asked", [_signed(np.unique(devices.hubs))])
        return _hubs(connection, "FROM asked JOIN hub ON hub.eui = asked.eui")

    def put_hubs(self, hubs: Iterable[Hub]) -> int:
        """Take in hubs, and move the Devices behind them; what a hub's values do not tell stays as it was.

        Returns how many rows that were. Commits every `DEVICES_AT_ONCE`.
        """
        rows, count = iter(hubs), 0
        while chunk := Hubs.of(islice(rows, DEVICES_AT_ONCE)):
            self.put_hub_arrays(chunk)
            count += len(chunk)
        return count

    def put_hub_arrays(self, hubs: Hubs) -> None:
        """Take in hubs; of one that comes twice, the last counts. Commits every `DEVICES_AT_ONCE`."""
        for some in hubs.in_order(DEVICES_AT_ONCE):
            self._put_hubs(some)

    def _put_hubs(self, hubs: Hubs) -> None:
        database = self._database
        with self._moving() as connection:
            _fill(database, connection, "arriving_hub", [_signed(hubs.euis), hubs.kinds])
            connection.exec_driver_sql("CREATE TEMPORARY TABLE IF NOT EXISTS told " + _TOLD)
            connection.exec_driver_sql("DELETE FROM told")
            connection.execute(
                text("INSERT INTO told VALUES (:kind, :model, :firmware, :region, :capable)"),
                [{"kind": kind, **told._asdict()} for kind, told in enumerate(hubs.told)],
            )
            connection.exec_driver_sql(_PUT_HUBS)
            self._move_behind(connection)

    def _move_behind(self, connection: Connection) -> None:
        """Move the Devices behind the hubs asked for, where these tell another thing than their cohort."""
        kinds: dict[HubKind, int] = {}
        moving: list[tuple[int, int, int]] = []
        for rows in connection.exec_driver_sql(_BEHIND_ANOTHER).partitions(_ROWS_AT_ONCE):
            moving += [(row[0], row[1], kinds.setdefault(_hub_kind(row[2:]), len(kinds))) for row in rows]
        if moving:
            _fill(self._database, connection, "moving", list(np.array(moving, np.int64).T))
            told = list(kinds)
            _move(self._database, connection, lambda cohort, what: _behind(cohort, told[what]))

    def leave(self, present: Identifiers) -> int:
        """Mark all Devices but these as left: we play no part at their premises any more.

        Returns how many that concerned. Commits every `DEVICES_AT_ONCE`.
        """
        present, count, first = np.unique(present), 0, -_SIGN
        while True:
            with self._moving() as connection:
                rows = connection.execute(text(_OURS), {"first": first, "limit": DEVICES_AT_ONCE}).fetchall()
                if rows:
                    euis, cohorts = np.array(rows, np.int64).T
                    gone = ~np.isin(_unsigned(euis), present)
                    what = np.zeros(len(rows), np.int64)
                    _fill(self._database, connection, "moving", [euis[gone], cohorts[gone], what[gone]])
                    count += _move(
                        self._database, connection, lambda cohort, _: replace(cohort, part=Part.NONE)
                    )
            if len(rows) < DEVICES_AT_ONCE:
                return count
            first = rows[-1][0] + 1

    def device(self, eui: Eui64) -> Device | None:
        """What is known of one Device; None: nothing."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(s.device.c.hub, s.cohort)
                .join(s.cohort, s.cohort.c.id == s.device.c.cohort)
                .where(s.device.c.eui == eui)
            ).first()
        return None if row is None else Device(eui, row.hub, cohort_of(row))

    def hub(self, eui: Eui64) -> Hub | None:
        """What is known of one hub; None: nothing."""
        with self._database.reading() as connection:
            row = connection.execute(select(s.hub).where(s.hub.c.eui == eui)).first()
        return None if row is None else Hub(row.eui, row.model, row.firmware, row.region, row.capable)

    def cohorts(self) -> list[Counted]:
        """All cohorts that any Device is in, with how many are."""
        with self._database.reading() as connection:
            return _counted(connection)

    # --- the Central Products List

    def put_cpl(self, entries: Iterable[CplEntry]) -> int:
        """Take in CPL entries, each in place of one for the same product and version; returns how many."""
        rows = [
            {
                "manufacturer": it.manufacturer,
                "model": it.model,
                "hardware": it.hardware,
                "version": it.version,
                "hash": it.hash.octets,
                "status": it.status.value,
            }
            for it in entries
        ]
        if rows:
            put = self._database.insert(s.cpl_entry)
            put = put.on_conflict_do_update(
                index_elements=list(s.cpl_entry.primary_key),
                set_={"hash": put.excluded.hash, "status": put.excluded.status},
            )
            with self._moving() as connection:
                connection.execute(put, rows)
        return len(rows)

    def cpl(self, version: FirmwareVersion | None = None) -> list[CplEntry]:
        """The entries, of one version or of all."""
        with self._database.reading() as connection:
            return _cpl(connection, version)

    # --- releases

    def add_release(
        self,
        name: str,
        release: Release,
        who: str = audit.SYSTEM,
        now: Instant | None = None,
        *,
        security: str | None = None,
    ) -> int:
        """Register a release; the same one under the same name again changes nothing. Returns its id.

        now       None: this machine's time
        security  what it cures for security; None: nothing that is said

        Raises `UsageError` where the name or the image is taken, or the same one has another mark.
        """
        values = {
            "name": name,
            "procedure": release.procedure.value,
            "manufacturer": release.manufacturer,
            "version": release.version,
            "hash": release.hash.octets,
            "minimum_hardware": release.minimum_hardware,
            "maximum_hardware": release.maximum_hardware,
            "path": " ".join(map(str, sorted(release.path))),
        }
        with self._database.writing() as connection:
            put = self._database.insert(s.release).values(**values, image=release.image, security=security)
            added = connection.execute(put.on_conflict_do_nothing().returning(s.release.c.id)).scalar()
            if added is not None:
                audit.note(
                    connection,
                    audit.clock() if now is None else now,
                    who,
                    "add release",
                    subject=name,
                    detail=f"version {release.version}, hash {release.hash}"
                    + ("" if security is None else f", security {security}"),
                )
                return int(added)
            same = [
                s.release.c[key] == values[key] for key in ("procedure", "manufacturer", "version", "hash")
            ]
            for row in connection.execute(select(s.release).where((s.release.c.name == name) | and_(*same))):
                if all(getattr(row, key) == value for key, value in values.items()):
                    if security not in {None, row.security}:
                        raise UsageError(
                            f"the release {name!r} is registered already: mark it with {security!r}"
                        )
                    return int(row.id)
                if row.name == name:
                    raise UsageError(
                        f"there is a release named {name!r} already, of version {row.version} with the hash "
                        f"{row.hash.hex()}: give this one another name"
                    )
                raise UsageError(f"this image is registered already, as the release {row.name!r}")
        raise AssertionError("a conflict with no row")  # pragma: no cover

    def release(self, key: int | str) -> Release:
        """A release with its image, by id or name; raises `UsageError` where there is none."""
        return self.registered(key).release

    def registered(self, key: int | str) -> Registered:
        """A release and its place here, by id or name; raises `UsageError` where there is none."""
        with self._database.reading() as connection:
            return _registered(connection, key)

    def listed(self, key: int | str) -> Registered:
        """The same without the octets of its image, which may be a megabyte."""
        with self._database.reading() as connection:
            return _registered(connection, key, octets=False)

    def releases(self) -> list[Registered]:
        """All releases, the oldest first, without their octets."""
        with self._database.reading() as connection:
            rows = connection.execute(select(*_RELEASE, _OCTETS).order_by(s.release.c.id)).all()
        return [_release_of(row, b"") for row in rows]

    def withdraw_release(
        self, key: int | str, now: Instant, who: str = audit.SYSTEM, reason: str = ""
    ) -> Registered:
        """Let nothing more be ordered of a release; of one that is withdrawn already, the time stays."""
        with self._database.writing() as connection:
            found = _registered(connection, key)
            withdrawn = connection.execute(
                update(s.release)
                .where(s.release.c.id == found.id, s.release.c.withdrawn_at.is_(None))
                .values(withdrawn_at=now)
            )
            if withdrawn.rowcount:
                audit.note(connection, now, who, "withdraw release", subject=found.name, detail=reason)
            return _registered(connection, found.id)

    def mark_release(
        self, key: int | str, security: str | None, now: Instant, who: str = audit.SYSTEM
    ) -> Registered:
        """Say what a release cures for security; None: nothing. The same again changes nothing.

        No approval is bound to it, and no order follows from it.
        """
        with self._database.writing() as connection:
            found = _registered(connection, key, octets=False)
            marked = connection.execute(
                update(s.release)
                .where(s.release.c.id == found.id, s.release.c.security.is_distinct_from(security))
                .values(security=security)
            )
            if marked.rowcount:
                what = "unmark release" if security is None else "mark release"
                detail = f"security {found.security if security is None else security}"
                audit.note(connection, now, who, what, subject=found.name, detail=detail)
            return _registered(connection, found.id, octets=False)

    # --- verdicts

    def verdicts(
        self,
        key: int | str,
        *,
        allow_downgrade: bool = False,
        only: Callable[[Cohort], bool] = lambda _: True,
    ) -> list[Judged]:
        """The verdict on each cohort that `only` lets through, with its Devices; those under way apart."""
        with self._database.reading() as connection:
            release = _registered(connection, key).release
            verdicts = _judged(connection, release, allow_downgrade=allow_downgrade)
            busy: Mapping[int, int] = dict(map(tuple, connection.execute(text(_UNDER_WAY))))
        found = []
        for counted, verdict in verdicts:
            if not only(counted.cohort):
                continue
            under_way = min(busy.get(counted.id, 0), counted.devices) if verdict is Verdict.ELIGIBLE else 0
            for each, devices in ((verdict, counted.devices - under_way), (Verdict.UNDER_WAY, under_way)):
                if devices:
                    found.append(Judged(counted.id, counted.cohort, each, devices))
        return found

    def stranded(self, key: int | str) -> Iterator[tuple[Device, Verdict]]:
        """Each Device that will not get a release by waiting, with the reason: to be replaced, or its hub.

        Of one moment, and so in one transaction, until the last was taken: never at a client's pace.
        """
        with self._database.reading() as connection:
            release = _registered(connection, key).release
            for counted, verdict in _judged(connection, release):
                if verdict not in STRANDED:
                    continue
                devices = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(
                    select(s.device.c.eui, s.device.c.hub)
                    .where(s.device.c.cohort == counted.id)
                    .order_by(s.device.c.bucket, s.device.c.eui)
                )
                for row in devices:
                    yield Device(row.eui, row.hub, counted.cohort), verdict


class _Loading(Registry):
    """A registry that holds one transaction open. No Device was known when it began, so none was updated.

    It gathers rows, for each page of a table to be written once; and takes away, for as long as it works,
    what would be looked at for each row: indexes, and on PostgreSQL the keys.
    """

    def __init__(self, database: Database, connection: Connection) -> None:
        super().__init__(database)
        self._connection = connection
        self._keep: AbstractSet[str] = frozenset()
        self._devices = _Gathered(Devices.joined)
        self._hubs = _Gathered(Hubs.merged)
        self._rows = 0
        self._known: Hubs | None = None
        self._known_ids: dict[Cohort, int] = {}
        self._is_empty = True
        self._hubs_came_late = False
        if not database.is_sqlite:  # between two parts a file is read, for as long as that takes
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql("LOCK TABLE cohort, device")  # both at once, as readers take them
        self._indexes = sorted(s.device.indexes, key=lambda it: str(it.name))
        for index in self._indexes:
            index.drop(connection)
        self._has_keys = database.is_sqlite
        if not self._has_keys:
            connection.exec_driver_sql(_DROP_KEYS)

    @contextmanager
    def _moving(self) -> Iterator[Connection]:
        yield self._connection

    @contextmanager
    def _noting(self) -> Iterator[Connection]:
        yield self._connection

    def put_arrays(
        self,
        devices: Devices,
        *,
        keep: AbstractSet[str] = frozenset(),
        as_of: Instant | None = None,  # noqa: ARG002 # no Device has said anything yet
    ) -> None:
        """Gather Devices."""
        if keep != self._keep:
            if self._devices:
                self._flush()
            self._keep = keep
        self._devices.add(devices)
        self._count(len(devices))

    def put_hub_arrays(self, hubs: Hubs) -> None:
        """Gather hubs."""
        self._hubs.add(hubs.latest())
        self._count(len(hubs))

    def leave(self, present: Identifiers) -> int:
        """Mark all Devices but these as left."""
        self._flush()
        return super().leave(present)

    def _count(self, rows: int) -> None:
        self._rows += rows
        if self._rows >= LOADED_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        """Write what is gathered: hubs first, for Devices to know theirs."""
        self._rows = 0
        if hubs := self._hubs.take():
            self._write_hubs(hubs)
        if devices := self._devices.take():
            for some in devices.in_order(DEVICES_AT_ONCE):
                self._put(some, self._keep, None)
            self._is_empty = False
            self._add_keys()

    def _add_keys(self) -> None:
        if not self._has_keys:
            self._has_keys = True
            self._connection.exec_driver_sql(_ADD_KEYS)

    def _write_hubs(self, hubs: Hubs) -> None:
        self._hubs_came_late = self._hubs_came_late or not self._is_empty
        if _is_any(self._connection, s.hub):
            self._known = None
            super().put_hub_arrays(hubs)
            return
        self._known = hubs
        told = [np.array(column, object) for column in zip(*hubs.told, strict=True)]
        for some in hubs.in_order(DEVICES_AT_ONCE):
            columns = [_signed(some.euis), *(column[some.kinds] for column in told)]
            if self._database.is_sqlite:
                _insert(self._connection, "hub", _HUB, columns)
            else:
                _copy(self._connection, "hub", _HUB, _hub_rows(some))

    def _kept(self, connection: Connection, devices: Devices, keep: AbstractSet[str]) -> Devices:
        return devices if self._is_empty else super()._kept(connection, devices, keep)

    def _hubs_of(self, connection: Connection, devices: Devices) -> Hubs:  # noqa: ARG002 # all, once
        if self._known is None:
            self._known = _hubs(connection, "FROM hub")
        return self._known

    def _ids(self, connection: Connection, cohorts: Collection[Cohort]) -> Mapping[Cohort, int]:
        new = [cohort for cohort in cohorts if cohort not in self._known_ids]
        if new:
            self._known_ids |= super()._ids(connection, new)
        return self._known_ids

    def _write(self, connection: Connection, columns: Sequence[Indices]) -> None:
        if not self._is_empty:
            super()._write(connection, columns)
        elif self._database.is_sqlite:
            _insert(connection, "device", _DEVICE, columns)
        else:
            _copy(connection, "device", _DEVICE, _binary(columns, (8, 8, 4, 4)))

    def _move_behind(self, connection: Connection) -> None:
        """Not yet: Devices find their hubs when they are written, or at the end."""

    def finish(self) -> None:
        """Write what is left, make the indexes, and move the Devices that came before their hub."""
        self._flush()
        self._known = None  # gives back the memory
        self._add_keys()
        if not self._database.is_sqlite:
            self._connection.exec_driver_sql(_INDEX_MEMORY)
        for index in self._indexes:
            index.create(self._connection)
        if not self._database.is_sqlite:
            self._connection.exec_driver_sql("ANALYZE hub, device")
        if self._hubs_came_late:
            _empty(self._database, self._connection, "arriving_hub")
            self._connection.exec_driver_sql("INSERT INTO arriving_hub SELECT eui, 0 FROM hub")
            super()._move_behind(self._connection)


class _Gathered(Generic[Columns]):
    """Parts that wait to be written; many small ones are one."""

    def __init__(self, join: Callable[[list[Columns]], Columns]) -> None:
        self._join = join
        self._parts: list[Columns] = []
        self._latest: list[Columns] = []

    def __len__(self) -> int:
        return len(self._parts) + len(self._latest)

    def add(self, part: Columns) -> None:
        self._latest.append(part)
        if len(self._latest) >= _PARTS_AT_ONCE:
            self._parts.append(self._join(self._latest))

    def take(self) -> Columns:
        """All in one; nothing is left."""
        parts = [*self._parts, *self._latest]
        self._parts.clear()
        self._latest.clear()
        return self._join(parts)


@contextmanager
def _sorting_in_files(connection: Connection) -> Iterator[None]:
    """SQLite sorts rows for an index a cache of them at a time, and keeps the rest in a file, not in memory.

    Not within a transaction; the connection loses its temporary tables.
    """
    driver: Any = connection.connection.driver_connection
    (before,) = driver.execute("PRAGMA temp_store").fetchone()
    driver.execute("PRAGMA temp_store = FILE")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA temp_store = {before}")


def _is_any(connection: Connection, table: Table) -> bool:
    """Whether there is any row."""
    return connection.execute(select(table).limit(1)).first() is not None


def _hubs(connection: Connection, source: str) -> Hubs:
    """Hubs with their kinds, in the order of identifiers."""
    driver = connection.connection.driver_connection
    assert driver is not None
    cursor = driver.cursor()
    cursor.execute(
        f"SELECT hub.eui, model, firmware, region, capable {source} ORDER BY hub.eui"
    )  # our own words
    kinds: dict[tuple[Any, ...], int] = {}
    euis, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        euis.append(np.array([row[0] for row in rows], np.int64))
        codes.append(np.array([kinds.setdefault(row[1:], len(kinds)) for row in rows], np.int32))
    cursor.close()
    return Hubs(_unsigned(np.concatenate(euis)), np.concatenate(codes), [_hub_kind(kind) for kind in kinds])


def catch_up(database: Database, connection: Connection) -> int:
    """Note the versions that Devices have reported, of each the one said last; returns how many reports.

    When this returns, the registry knows all that was reported in transactions that have committed.
    """
    if not _is_any(connection, s.reported):  # what another one is noting is seen here until it commits
        return 0
    _alone(database, connection)
    _empty(database, connection, "heard")
    if database.is_sqlite:
        connection.exec_driver_sql(_LAST_REPORTED.format(source="reported"))
        taken = connection.exec_driver_sql("DELETE FROM reported").rowcount
    else:  # others may report meanwhile: what is noted must be what is taken away
        taken = connection.exec_driver_sql(_TAKE_REPORTED).scalar_one()
    note_versions(database, connection, "heard")
    return taken


def _epochs_since(connection: Connection, at: Instant) -> list[int]:
    """The epochs in which evidence of after `at` may be, the latest back to the first that is of before.

    What is said in an epoch is about as old as the epoch, by whoever's clock: within `_CLOCKS_APART`.
    """
    last = connection.execute(select(func.max(s.evidence.c.epoch))).scalar() or 0
    first = last
    while first > 0:
        latest = connection.execute(_LATEST, {"epoch": first}).scalar()
        if latest is not None and latest + _CLOCKS_APART < at:
            break
        first -= 1
    return list(range(first, last + 1))


def note_versions(database: Database, connection: Connection, table: str) -> int:
    """Move Devices to the cohort with the firmware that they themselves report; returns how many it moved.

    `table` has the columns `device` (as the database holds EUI-64s) and `version` (32 bits), a Device in one
    row at most. Devices that the registry does not know are passed over; cohorts are made where needed.
    """
    _alone(database, connection)
    _empty(database, connection, "moving")
    noted = connection.exec_driver_sql(
        "INSERT INTO moving (device, cohort, what) "  # noqa: S608 # the caller's own table
        f"SELECT device.eui, device.cohort, noted.version FROM {table} AS noted "
        "JOIN device ON device.eui = noted.device JOIN cohort ON cohort.id = device.cohort "
        "WHERE cohort.firmware <> noted.version"
    )
    if not noted.rowcount:
        return 0
    return _move(
        database, connection, lambda cohort, version: replace(cohort, firmware=FirmwareVersion(version))
    )


# --- moving Devices


def _alone(database: Database, connection: Connection) -> None:
    """Until this transaction ends no other one moves Devices; on SQLite none writes at all."""
    if not database.is_sqlite:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _move(database: Database, connection: Connection, change: Callable[[Cohort, int], Cohort]) -> int:
    """Move the Devices in `moving` to the cohort that `change` makes of theirs and of `what`."""
    pairs = connection.exec_driver_sql("SELECT DISTINCT cohort, what FROM moving").all()
    before = _cohorts(connection, {cohort for cohort, _ in pairs})
    after = {(cohort, what): change(before[cohort], what) for cohort, what in pairs}
    ids = _cohort_ids(connection, set(after.values()))
    targets = [(cohort, what, ids[found]) for (cohort, what), found in after.items() if ids[found] != cohort]
    if not targets:
        return 0
    _fill(database, connection, "target", list(np.array(targets, np.int64).T))
    if not database.is_sqlite:
        connection.exec_driver_sql("ANALYZE moving")
    moved = connection.exec_driver_sql(
        "UPDATE device SET cohort = target.target FROM moving "
        "JOIN target ON target.cohort = moving.cohort AND target.what = moving.what "
        "WHERE device.eui = moving.device"
    )
    return moved.rowcount


def _changed(devices: Devices, what: Indices, change: Callable[[Cohort, int], Cohort]) -> Devices:
    """The Devices with the cohorts that `change` makes of theirs and of `what`."""
    width = int(what.max(initial=0)) + 1
    codes = devices.kinds.astype(np.int64) * width + what
    size = len(devices.cohorts) * width
    if size <= _CODES_MAX:
        pairs = np.flatnonzero(np.bincount(codes, minlength=size))
        place = np.zeros(size, np.int64)
        place[pairs] = np.arange(len(pairs))
        kinds: Indices = place[codes]
    else:
        pairs, kinds = np.unique(codes, return_inverse=True)
    cohorts = [change(devices.cohorts[pair // width], pair % width) for pair in pairs.tolist()]
    return Devices(devices.euis, devices.hubs, kinds, cohorts)


def _behind(cohort: Cohort, told: HubKind) -> Cohort:
    """The cohort behind a hub of which so much is known."""
    return replace(
        cohort,
        hub_model=told.model or cohort.hub_model,
        hub_firmware=told.firmware or cohort.hub_firmware,
        region=told.region or cohort.region,
        hub_capable=cohort.hub_capable if told.capable is None else told.capable,
    )


def _hub_kind(row: Sequence[Any]) -> HubKind:
    model, firmware, region, capable = row
    return HubKind(model, firmware, region, None if capable is None else bool(capable))


# --- cohorts


def _values(cohort: Cohort) -> dict[str, Any]:
    """A cohort's columns, as the database holds them."""
    values: dict[str, Any] = {field.name: getattr(cohort, field.name) for field in fields(Cohort)}
    values |= {name: values[name].value for name in ("type", "status", "part")}
    return values | {"firmware": cohort.firmware.number}


def _digest(cohort: Cohort) -> bytes:
    """What a cohort is found by: SHA-256 of its values, named and sorted."""
    return hashlib.sha256(json.dumps(_values(cohort), sort_keys=True).encode()).digest()


def cohort_of(row: Row[Any]) -> Cohort:
    """The cohort of a row of its table."""
    return Cohort(
        DeviceType(row.type),
        row.manufacturer,
        row.model,
        row.hardware,
        row.firmware,
        DeviceStatus(row.status),
        row.gbcs_version,
        Part(row.part),
        row.tag,
        row.region,
        row.hub_model,
        row.hub_firmware,
        row.hub_capable,
    )


def _cohorts(connection: Connection, ids: Collection[int]) -> dict[int, Cohort]:
    """Some cohorts, by id."""
    rows = (
        row
        for some in _by(ids, _BIND_MAX)
        for row in connection.execute(select(s.cohort).where(s.cohort.c.id.in_(some)))
    )
    return {row.id: cohort_of(row) for row in rows}


def _cohort_ids(connection: Connection, cohorts: Collection[Cohort]) -> dict[Cohort, int]:
    """The ids of cohorts; those that are not there yet are made. The caller is alone."""
    digests = {_digest(cohort): cohort for cohort in cohorts}
    found = _found(connection, digests)
    missing = [cohort for cohort in digests.values() if cohort not in found]
    if not missing:
        return found
    connection.execute(
        insert(s.cohort),
        [{**_values(cohort), "firmware": cohort.firmware, "digest": _digest(cohort)} for cohort in missing],
    )
    return _found(connection, digests)


def _found(connection: Connection, digests: Mapping[bytes, Cohort]) -> dict[Cohort, int]:
    rows = (
        row
        for some in _by(digests, _BIND_MAX)
        for row in connection.execute(
            select(s.cohort.c.id, s.cohort.c.digest).where(s.cohort.c.digest.in_(some))
        )
    )
    return {digests[row.digest]: row.id for row in rows}


def _counted(connection: Connection) -> list[Counted]:
    counts = select(s.device.c.cohort, func.count().label("devices")).group_by(s.device.c.cohort).subquery()
    rows = connection.execute(
        select(s.cohort, counts.c.devices)
        .join(counts, counts.c.cohort == s.cohort.c.id)
        .order_by(s.cohort.c.id)
    )
    return [Counted(row.id, cohort_of(row), row.devices) for row in rows]


# --- releases and verdicts


_RELEASE: Final = tuple(column for column in s.release.c if column.name != "image")
_OCTETS: Final = func.length(s.release.c.image).label("octets")


def _registered(connection: Connection, key: int | str, *, octets: bool = True) -> Registered:
    its = s.release.c.id == s.number(key) if isinstance(key, int) else s.release.c.name == key
    wanted = [s.release] if octets else _RELEASE
    row = connection.execute(select(*wanted, _OCTETS).where(its)).first()
    if row is None:
        names = connection.execute(select(s.release.c.name).order_by(s.release.c.name)).scalars().all()
        known = f"known are {', '.join(map(repr, names))}" if names else "none is registered"
        raise UsageError(f"there is no release {key!r}; {known}")
    return _release_of(row, row.image if octets else b"")


def _release_of(row: Any, image: bytes) -> Registered:
    release = Release(
        Procedure(row.procedure),
        row.manufacturer,
        row.version,
        ImageHash(row.hash),
        row.minimum_hardware,
        row.maximum_hardware,
        image,
        frozenset(map(FirmwareVersion.parse, row.path.split())),
        row.withdrawn_at is not None,
    )
    return Registered(row.id, row.name, release, row.octets, row.withdrawn_at, row.security)


def _cpl(connection: Connection, version: FirmwareVersion | None) -> list[CplEntry]:
    query = select(s.cpl_entry).order_by(*s.cpl_entry.primary_key)
    if version is not None:
        query = query.where(s.cpl_entry.c.version == version)
    return [
        CplEntry(
            row.manufacturer, row.model, row.hardware, row.version, ImageHash(row.hash), CplStatus(row.status)
        )
        for row in connection.execute(query)
    ]


def _judged(
    connection: Connection, release: Release, *, allow_downgrade: bool = False
) -> list[tuple[Counted, Verdict]]:
    cpl = {(it.manufacturer, it.model, it.hardware): it for it in _cpl(connection, release.version)}
    return [
        (it, judge(it.cohort, release, cpl.get(_product(it.cohort)), allow_downgrade=allow_downgrade))
        for it in _counted(connection)
    ]


def _product(cohort: Cohort) -> tuple[int, int, int]:
    return cohort.manufacturer, cohort.model, cohort.hardware


# --- many rows at once


def _empty(database: Database, connection: Connection, table: str) -> None:
    """A temporary table of whole numbers, with nothing in it."""
    columns = ", ".join(f"{name} BIGINT NOT NULL" for name in _TEMPORARY[table])
    ends = "" if database.is_sqlite else " ON COMMIT DELETE ROWS"
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns}){ends}")
    connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 # our own names


def _fill(database: Database, connection: Connection, table: str, columns: Sequence[Indices]) -> None:
    """A temporary table of whole numbers, with these columns: one prepared statement, or a binary COPY."""
    _empty(database, connection, table)
    if database.is_sqlite:
        _insert(connection, table, _TEMPORARY[table], columns)
    else:
        _copy(connection, table, _TEMPORARY[table], _binary(columns, (8,) * len(columns)))


def _insert(
    connection: Connection, table: str, names: Sequence[str], columns: Sequence[Any], otherwise: str = ""
) -> None:
    """Rows into a table of SQLite, with one prepared statement."""
    driver = connection.connection.driver_connection
    assert driver is not None
    marks = ", ".join("?" * len(names))
    driver.executemany(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) {otherwise}",  # noqa: S608 # our own words
        zip(*(column.tolist() for column in columns), strict=True),
    )


def _copy(connection: Connection, table: str, names: Sequence[str], rows: bytes) -> None:
    """Rows into a table of PostgreSQL, as a binary COPY has them."""
    driver = connection.connection.driver_connection
    assert driver is not None
    order = f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(order) as copy:
        copy.write(_COPY_HEAD)
        copy.write(rows)
        copy.write(_COPY_TAIL)


def _binary(columns: Sequence[Indices], widths: Sequence[int]) -> bytes:
    """Rows of whole numbers, each column so wide, in octets: a count of fields, then each with its length."""
    row = [("fields", ">i2")]
    for at, width in enumerate(widths):
        row += [(f"length{at}", ">i4"), (f"value{at}", f">i{width}")]
    rows = np.zeros(len(columns[0]), np.dtype(row))
    rows["fields"] = len(columns)
    for at, (column, width) in enumerate(zip(columns, widths, strict=True)):
        rows[f"length{at}"] = width
        rows[f"value{at}"] = column
    return rows.tobytes()


def _hub_rows(hubs: Hubs) -> bytes:
    """Rows of hubs: what follows the identifier is the same for all hubs of a kind."""
    tails = np.array([b"".join(map(_field, told)) for told in hubs.told], object)
    heads = np.zeros(len(hubs), np.dtype([("fields", ">i2"), ("length", ">i4"), ("eui", ">i8")]))
    heads["fields"], heads["length"], heads["eui"] = len(_HUB), 8, _signed(hubs.euis)
    return b"".join(chain.from_iterable(zip(_octets(heads), tails[hubs.kinds].tolist(), strict=True)))


def _octets(rows: Any) -> Iterator[bytes]:
    """Those of each row of an array."""
    octets, width = rows.tobytes(), rows.dtype.itemsize
    return (octets[start : start + width] for start in range(0, len(octets), width))


def _field(value: str | bool | None) -> bytes:  # noqa: FBT001 # a column's value
    """A text or a truth value, with its length; or NULL."""
    if value is None:
        return b"\xff\xff\xff\xff"
    octets = bytes([value]) if isinstance(value, bool) else value.encode()
    return len(octets).to_bytes(4, "big") + octets


_COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TAIL: Final = b"\xff\xff"


def _signed(euis: Identifiers) -> Indices:
    """EUI-64s as the database holds them (`schema.EuiColumn`)."""
    return (euis ^ np.uint64(_SIGN)).view(np.int64)


def _unsigned(values: Indices) -> Identifiers:
    return values.view(np.uint64) ^ np.uint64(_SIGN)


def _by(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


_DEVICE: Final = ("eui", "hub", "cohort", "bucket")
_HUB: Final = ("eui", *HubKind._fields)

# What PostgreSQL would look at for each row: with these, a million rows took 7 s instead of 1.
_DROP_KEYS: Final = "ALTER TABLE device DROP CONSTRAINT pk_device, DROP CONSTRAINT fk_device_cohort"
_INDEX_MEMORY: Final = "SET LOCAL maintenance_work_mem = '256MB'"
_ADD_KEYS: Final = f"""
    {_INDEX_MEMORY};
    ALTER TABLE device
        ADD CONSTRAINT pk_device PRIMARY KEY (eui),
        ADD CONSTRAINT fk_device_cohort FOREIGN KEY (cohort) REFERENCES cohort (id)
"""

_ON_CONFLICT: Final = (
    "ON CONFLICT (eui) DO UPDATE SET hub = excluded.hub, cohort = excluded.cohort "
    "WHERE device.hub <> excluded.hub OR device.cohort <> excluded.cohort"
)

_TOLD: Final = """
    (kind BIGINT NOT NULL, model TEXT NOT NULL, firmware TEXT NOT NULL, region TEXT NOT NULL, capable BOOLEAN)
"""

_PUT_HUBS: Final = """
    INSERT INTO hub (eui, model, firmware, region, capable)
    SELECT arriving_hub.eui, told.model, told.firmware, told.region, told.capable
    FROM arriving_hub JOIN told ON told.kind = arriving_hub.kind
    WHERE true
    ON CONFLICT (eui) DO UPDATE SET
        model = COALESCE(NULLIF(excluded.model, ''), hub.model),
        firmware = COALESCE(NULLIF(excluded.firmware, ''), hub.firmware),
        region = COALESCE(NULLIF(excluded.region, ''), hub.region),
        capable = COALESCE(excluded.capable, hub.capable)
"""

_BEHIND_ANOTHER: Final = """
    SELECT device.eui, device.cohort, hub.model, hub.firmware, hub.region, hub.capable
    FROM arriving_hub
    JOIN hub ON hub.eui = arriving_hub.eui
    JOIN device ON device.hub = arriving_hub.eui
    JOIN cohort ON cohort.id = device.cohort
    WHERE hub.model NOT IN ('', cohort.hub_model)
       OR hub.firmware NOT IN ('', cohort.hub_firmware)
       OR hub.region NOT IN ('', cohort.region)
       OR hub.capable <> cohort.hub_capable
       OR (hub.capable IS NOT NULL AND cohort.hub_capable IS NULL)
"""

_OURS: Final = """
    SELECT device.eui, device.cohort
    FROM device JOIN cohort ON cohort.id = device.cohort
    WHERE device.eui >= :first AND cohort.part <> 'none'
    ORDER BY device.eui LIMIT :limit
"""

# The index of evidence begins with the epoch: without one, all of it would be read, or sorted, each time.
_HEARD: Final = text("""
    INSERT INTO heard (device, version)
    SELECT device, version FROM (
        SELECT device_update.device, evidence.version, row_number() OVER (
            PARTITION BY device_update.device ORDER BY evidence.at DESC, evidence.id DESC
        ) AS place
        FROM asked
        JOIN device_update ON device_update.device = asked.eui
        JOIN evidence ON evidence.device_update = device_update.id
        WHERE evidence.version IS NOT NULL AND evidence.at > :as_of AND evidence.epoch IN :epochs
    ) AS said
    WHERE place = 1
""").bindparams(bindparam("epochs", expanding=True))

# Of some rows; in the order of the index, or PostgreSQL might look for them from the table's beginning.
_LATEST: Final = text(f"""
    SELECT MAX(looked.at) FROM (
        SELECT at FROM evidence WHERE epoch = :epoch ORDER BY device_update LIMIT {_LOOKED_AT}
    ) AS looked
""")  # noqa: S608 # a number of ours

_LAST_REPORTED: Final = """
    INSERT INTO heard (device, version)
    SELECT device, version FROM (
        SELECT device, version,
               row_number() OVER (PARTITION BY device ORDER BY at DESC, version DESC) AS place
        FROM {source}
    ) AS said
    WHERE place = 1
"""

_TAKE_REPORTED: Final = f"""
    WITH taken AS (DELETE FROM reported RETURNING device, version, at),
    noted AS ({_LAST_REPORTED.format(source="taken")})
    SELECT count(*) FROM taken
"""  # noqa: S608 # our own words

_UNDER_WAY: Final = """
    SELECT device.cohort, count(DISTINCT device.eui)
    FROM device_update JOIN device ON device.eui = device_update.device
    WHERE device_update.busy
    GROUP BY device.cohort
"""
