"""The statements. Each method is one transaction; what must be true together commits together."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from alembic.util import CommandError
from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    create_engine,
    event,
    exists,
    func,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError

from lamplighter.campaign import Evidence, Fact, Order, State, fold
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import MILLISECOND
from lamplighter.registry import CplEntry, CplStatus, Device, DeviceStatus, DeviceType, Procedure, Release
from lamplighter.store import schema as s
from lamplighter.store.migration import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Engine, Row

_BUSY_SECONDS: Final = 30.0
_READS: Final = "lamplighter_reads"
_BIND_MAX: Final = 500  # values in one IN (...); every database takes as many

MAX_IMAGE_OCTETS: Final = 10_240_000  # DUIS, FirmwareImage


_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Update:
    """One Device's way to one release."""

    id: int
    device: Eui64
    release: int
    procedure: Procedure
    state: State


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An order that the DCC has not answered yet."""

    counter: int
    kind: Order
    release: int
    created_at: Instant
    attempted_at: Instant | None
    """When it was first sent; None: never."""
    command: bytes | None
    """SRV 11.3: the signed pre-command that is to be sent; None: not signed yet."""
    devices: Mapping[Eui64, int]
    """Device -> id of its update."""


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A verified message that waits to be applied."""

    id: int
    octets: bytes
    received_at: Instant


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One piece of evidence of one Device, with the message that it came from."""

    evidence: Evidence
    source: bytes | None
    """The octets of the message; None: it was our own doing."""


class Store:
    """A database of one Supplier. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Readers do not wait for the writer, nor it for them.
        self._readers = engine.execution_options(**{_READS: True})

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database at `url` (`sqlite:///file` or `postgresql+psycopg://...`), up to date."""
        try:
            address = make_url(url)
            is_sqlite = address.get_backend_name() == "sqlite"
            engine = create_engine(address, connect_args={"timeout": _BUSY_SECONDS} if is_sqlite else {})
        except (ArgumentError, ImportError) as cause:
            raise UsageError(f"this is no address of a database: {cause}") from cause
        if is_sqlite:
            _prepare_sqlite(engine)
        try:
            upgrade(engine)
        except (DatabaseError, CommandError) as cause:
            engine.dispose()
            raise UsageError(f"cannot open {engine.url}: {getattr(cause, 'orig', cause)}") from cause
        return cls(engine)

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._readers.begin() as connection:
            yield connection

    def _insert(self, table: Any) -> Any:
        """An INSERT that can say what to do about a row which is there already."""
        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(table)

    # What is known

    def put_devices(self, devices: Iterable[Device]) -> None:
        """Add Devices; those that are known take the new values."""
        rows = [
            {
                "eui": d.eui, "type": d.type.value, "hub": d.hub, "manufacturer": d.manufacturer,
                "hardware": d.hardware, "firmware": d.firmware, "status": d.status.value,
            }
            for d in devices
        ]  # fmt: skip
        statement = self._insert(s.device)
        columns = {c.name: c for c in statement.excluded if c.name != "eui"}
        if rows:
            with self._transaction() as connection:
                connection.execute(
                    statement.on_conflict_do_update(index_elements=["eui"], set_=columns), rows
                )

    def device(self, eui: Eui64) -> Device | None:
        """One Device."""
        with self._reading() as connection:
            row = connection.execute(select(s.device).where(s.device.c.eui == eui)).one_or_none()
        if row is None:
            return None
        return Device(
            row.eui, DeviceType(row.type), row.hub, row.manufacturer, row.hardware, row.firmware,
            DeviceStatus(row.status),
        )  # fmt: skip

    def put_cpl_entry(self, entry: CplEntry) -> None:
        """Add an entry of the CPL, or renew it."""
        statement = self._insert(s.cpl_entry).values(
            manufacturer=entry.manufacturer,
            version=entry.version,
            hash=entry.hash.octets,
            status=entry.status.value,
        )
        with self._transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["manufacturer", "version"],
                    set_={"hash": statement.excluded.hash, "status": statement.excluded.status},
                )
            )

    def cpl_entry(self, manufacturer: int, version: FirmwareVersion) -> CplEntry | None:
        """The CPL entry of a manufacturer's version."""
        table = s.cpl_entry
        with self._reading() as connection:
            row = connection.execute(
                select(table).where(table.c.manufacturer == manufacturer, table.c.version == version)
            ).one_or_none()
        if row is None:
            return None
        return CplEntry(row.manufacturer, row.version, ImageHash(row.hash), CplStatus(row.status))

    def add_release(self, release: Release) -> int:
        """Register a release; its number, also where it was registered before."""
        if len(release.image) > MAX_IMAGE_OCTETS:
            raise UsageError(
                f"no request carries an image of {len(release.image)} octets: at most {MAX_IMAGE_OCTETS}"
            )
        values = {
            "procedure": release.procedure.value, "manufacturer": release.manufacturer,
            "version": release.version, "hash": release.hash.octets,
            "minimum_hardware": release.minimum_hardware, "maximum_hardware": release.maximum_hardware,
        }  # fmt: skip
        same = [
            s.release.c[name] == values[name] for name in ("procedure", "manufacturer", "version", "hash")
        ]
        with self._transaction() as connection:
            connection.execute(
                self._insert(s.release).values(**values, image=release.image).on_conflict_do_nothing()
            )
            return int(connection.execute(select(s.release.c.id).where(*same)).scalar_one())

    def release(self, number: int) -> Release:
        """One release with its image."""
        with self._reading() as connection:
            row = connection.execute(select(s.release).where(s.release.c.id == number)).one_or_none()
        if row is None:
            raise UsageError(f"there is no release {number}")
        return _release(row, row.image)

    # What is under way

    def enrol(self, release: int, devices: Iterable[Eui64]) -> None:
        """Put Devices on their way to a release; those that are on it stay where they are."""
        rows = [{"device": d, "release": release, "state": State.QUEUED.value} for d in devices]
        if rows:
            with self._transaction() as connection:
                connection.execute(self._insert(s.device_update).on_conflict_do_nothing(), rows)

    def updates(self) -> list[Update]:
        """Every update, in the order of enrolment."""
        return self._updates()

    def idle_updates(self) -> list[Update]:
        """The updates that no unanswered request is for: those that an order may be due for."""
        return self._updates(
            ~exists(_unanswered().where(s.request_device.c.device_update == s.device_update.c.id))
        )

    def _updates(self, *conditions: Any) -> list[Update]:
        query = (
            select(s.device_update, s.release.c.procedure)
            .join(s.release, s.release.c.id == s.device_update.c.release)
            .where(*conditions)
            .order_by(s.device_update.c.id)
        )
        with self._reading() as connection:
            return [_update(row) for row in connection.execute(query)]

    def open_updates_of(self, devices: Iterable[Eui64]) -> dict[Eui64, tuple[Update, Release]]:
        """The latest update of each Device, with what its release says (its image left out)."""
        found: dict[Eui64, tuple[Update, Release]] = {}
        with self._reading() as connection:
            for some in _slices(devices):
                query = (
                    select(s.device_update, *(c for c in s.release.c if c.name not in {"id", "image"}))
                    .join(s.release, s.release.c.id == s.device_update.c.release)
                    .where(s.device_update.c.device.in_(some))
                    .order_by(s.device_update.c.id)
                )
                for row in connection.execute(query):
                    found[row.device] = _update(row), _release(row, b"")
        return found

    def requests_for(self, updates: Iterable[int]) -> dict[int, dict[int, Instant]]:
        """For each update the counters of the requests that were made for it, and when."""
        found: dict[int, dict[int, Instant]] = {}
        with self._reading() as connection:
            for some in _slices(updates):
                query = (
                    select(s.request_device.c.device_update, s.request.c.counter, s.request.c.created_at)
                    .join(s.request, s.request.c.counter == s.request_device.c.request)
                    .where(s.request_device.c.device_update.in_(some))
                )
                for row in connection.execute(query):
                    found.setdefault(row.device_update, {})[row.counter] = Instant(row.created_at)
        return found

    def commit_order(self, kind: Order, release: int, updates: Sequence[Update], now: Instant) -> int | None:
        """Write an order to the outbox with the RequestID counter that it will bear.

        An update that an unanswered request is for by now is left out; None where none is left. The counter
        is the time in milliseconds, and always above the last: a clock that is put back, or a database that
        is brought back, does not make the DCC see a counter twice.
        """
        with self._transaction() as connection:
            ids = [update.id for update in updates]
            taken = {
                row.device_update
                for some in _slices(ids)
                for row in connection.execute(_unanswered().where(s.request_device.c.device_update.in_(some)))
            }
            free = [number for number in ids if number not in taken]
            if not free:
                return None
            last = connection.execute(select(func.max(s.request.c.counter))).scalar_one() or 0
            counter = int(max(last + 1, now // MILLISECOND))
            connection.execute(
                insert(s.request).values(counter=counter, kind=kind.value, release=release, created_at=now)
            )
            connection.execute(
                insert(s.request_device),
                [{"request": counter, "device_update": number} for number in free],
            )
        return counter

    def note_attempt(self, counter: int, now: Instant) -> None:
        """Note that a request is about to be sent; its first time counts."""
        with self._transaction() as connection:
            connection.execute(
                update(s.request)
                .where(s.request.c.counter == counter, s.request.c.attempted_at.is_(None))
                .values(attempted_at=now)
            )

    def keep_command(self, counter: int, command: bytes) -> None:
        """Keep the signed pre-command of a request before it is sent."""
        with self._transaction() as connection:
            connection.execute(
                update(s.request).where(s.request.c.counter == counter).values(command=command)
            )

    def open_requests(self) -> list[OpenRequest]:
        """What is ordered and not yet answered, the oldest first."""
        query = (
            select(s.request, s.request_device.c.device_update, s.device_update.c.device)
            .join(s.request_device, s.request_device.c.request == s.request.c.counter)
            .join(s.device_update, s.device_update.c.id == s.request_device.c.device_update)
            .where(s.request.c.answered_at.is_(None))
            .order_by(s.request.c.counter, s.request_device.c.device_update)
        )
        devices: dict[int, dict[Eui64, int]] = {}
        heads: dict[int, Row[Any]] = {}
        with self._reading() as connection:
            for row in connection.execute(query):
                heads[row.counter] = row
                devices.setdefault(row.counter, {})[row.device] = row.device_update
        return [_open_request(row, devices[counter]) for counter, row in heads.items()]

    def close_request(
        self, counter: int, code: str, evidence: Mapping[int, Sequence[Evidence]], now: Instant
    ) -> None:
        """Note the DCC's answer and what it means for each update."""
        with self._transaction() as connection:
            connection.execute(
                update(s.request)
                .where(s.request.c.counter == counter, s.request.c.answered_at.is_(None))
                .values(answered_at=now, response_code=code)
            )
            self._append(connection, evidence, None)

    # What comes in

    def take_in(self, octets: bytes, now: Instant) -> bool:
        """Store a verified message durably; False: it was there already."""
        digest = hashlib.sha256(octets).digest()
        with self._transaction() as connection:
            done = connection.execute(
                self._insert(s.inbox)
                .values(digest=digest, octets=octets, received_at=now)
                .on_conflict_do_nothing()
            )
        return bool(done.rowcount)

    def waiting(self, limit: int = 100) -> list[InboxMessage]:
        """Messages that are neither applied nor dead, the oldest first."""
        query = (
            select(s.inbox)
            .where(s.inbox.c.applied_at.is_(None), s.inbox.c.dead_reason.is_(None))
            .order_by(s.inbox.c.id)
            .limit(limit)
        )
        with self._reading() as connection:
            return [InboxMessage(row.id, row.octets, row.received_at) for row in connection.execute(query)]

    def apply(self, message: InboxMessage, evidence: Mapping[int, Sequence[Evidence]], now: Instant) -> None:
        """Turn a message into evidence; both or neither."""
        with self._transaction() as connection:
            connection.execute(update(s.inbox).where(s.inbox.c.id == message.id).values(applied_at=now))
            self._append(connection, evidence, message.id)

    def bury(self, message: InboxMessage, reason: str) -> None:
        """Set a message aside that cannot be applied, with the reason."""
        with self._transaction() as connection:
            connection.execute(update(s.inbox).where(s.inbox.c.id == message.id).values(dead_reason=reason))

    def dead_letters(self) -> list[tuple[InboxMessage, str]]:
        """The messages that could not be applied, with their reasons."""
        query = select(s.inbox).where(s.inbox.c.dead_reason.is_not(None)).order_by(s.inbox.c.id)
        with self._reading() as connection:
            return [
                (InboxMessage(row.id, row.octets, row.received_at), row.dead_reason)
                for row in connection.execute(query)
            ]

    # What is known of a Device

    def timeline(self, device: Eui64) -> list[TimelineEntry]:
        """All evidence of a Device's updates, by time."""
        query = (
            select(s.evidence, s.inbox.c.octets)
            .join(s.device_update, s.device_update.c.id == s.evidence.c.device_update)
            .outerjoin(s.inbox, s.inbox.c.id == s.evidence.c.source)
            .where(s.device_update.c.device == device)
            .order_by(s.evidence.c.at, s.evidence.c.id)
        )
        with self._reading() as connection:
            return [TimelineEntry(_evidence(row), row.octets) for row in connection.execute(query)]

    def _append(
        self, connection: Connection, evidence: Mapping[int, Sequence[Evidence]], source: int | None
    ) -> None:
        """Append evidence and derive the states that it changes."""
        rows = [
            {
                "device_update": number, "fact": item.fact.name, "at": item.at, "message": item.message,
                "detail": item.detail, "version": item.version, "source": source, "digest": _digest(item),
            }
            for number, items in evidence.items()
            for item in items
        ]  # fmt: skip
        if rows:
            connection.execute(self._insert(s.evidence).on_conflict_do_nothing(), rows)
            for some in _slices(evidence):
                _derive(connection, some)


def _derive(connection: Connection, updates: Sequence[int]) -> None:
    """Write the states that updates' evidence means, and the versions that their Devices reported."""
    targets = {
        row.id: (row.version, row.device)
        for row in connection.execute(
            select(s.device_update.c.id, s.device_update.c.device, s.release.c.version)
            .join(s.release, s.release.c.id == s.device_update.c.release)
            .where(s.device_update.c.id.in_(updates))
        )
    }
    known: dict[int, list[Evidence]] = {}
    for row in connection.execute(select(s.evidence).where(s.evidence.c.device_update.in_(updates))):
        known.setdefault(row.device_update, []).append(_evidence(row))
    states = [{"key": n, "state": fold(items, targets[n][0]).value} for n, items in known.items()]
    connection.execute(
        update(s.device_update).where(s.device_update.c.id == bindparam("key", type_=Integer)), states
    )
    reported = [
        {"key": targets[number][1], "firmware": last.version}
        for number, items in known.items()
        if (last := max((e for e in items if e.version is not None), key=lambda e: e.at, default=None))
    ]
    if reported:
        connection.execute(
            update(s.device).where(s.device.c.eui == bindparam("key", type_=s.EuiColumn)), reported
        )


def _prepare_sqlite(engine: Engine) -> None:
    """Durable and concurrent: WAL, every commit on disk, and transactions that begin when they say so."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin or commit on its own
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _slices(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """All values, as many at a time as one statement takes."""
    ordered = list(values)
    for start in range(0, len(ordered), _BIND_MAX):
        yield ordered[start : start + _BIND_MAX]


def _unanswered() -> Any:
    """The updates that unanswered requests are for."""
    return (
        select(s.request_device.c.device_update)
        .join(s.request, s.request.c.counter == s.request_device.c.request)
        .where(s.request.c.answered_at.is_(None))
    )


def _digest(item: Evidence) -> bytes:
    said = (item.fact.name, str(item.at), item.message, item.detail, str(item.version))
    return hashlib.sha256("\0".join(said).encode()).digest()


def _release(row: Row[Any], image: bytes) -> Release:
    return Release(
        Procedure(row.procedure), row.manufacturer, row.version, ImageHash(row.hash),
        row.minimum_hardware, row.maximum_hardware, image,
    )  # fmt: skip


def _open_request(row: Row[Any], devices: Mapping[Eui64, int]) -> OpenRequest:
    return OpenRequest(
        row.counter, Order(row.kind), row.release, Instant(row.created_at),
        None if row.attempted_at is None else Instant(row.attempted_at), row.command, devices,
    )  # fmt: skip


def _update(row: Row[Any]) -> Update:
    return Update(row.id, row.device, row.release, Procedure(row.procedure), State(row.state))


def _evidence(row: Row[Any]) -> Evidence:
    return Evidence(Fact[row.fact], Instant(row.at), row.message, row.detail, row.version)
