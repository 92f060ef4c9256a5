"""A database on either of two servers: transactions, fences, and the ways to move many rows at once."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError

from lamplighter.kit import LamplighterError, UsageError
from lamplighter.store import audit
from lamplighter.store import schema as s
from lamplighter.store.migration import upgrade
from lamplighter.store.packed import adapt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Engine, Table

_BUSY_SECONDS: Final = 30.0
_IDLE_SECONDS: Final = 30  # between two statements of a transaction
_READS: Final = "lamplighter_reads"
_PAGE_OCTETS: Final = 8192
_JOURNAL_PAGES: Final = 4096  # 32 MiB: a page that changes often is copied back to the file but now and then
_CACHE_KIBIBYTES: Final = 64 * 1024  # of a SQLite connection


class LeaseLostError(LamplighterError):
    """Work was done under a lease that another process has by now: nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Fence:
    """What a worker must still hold for its transaction to commit."""

    name: str
    """The lease."""
    owner: str
    """Who took it."""
    number: int
    """Which taking of it."""


class Database:
    """One Supplier's database. Safe to share between threads, not between processes: open it in each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # Readers do not wait for the writer, nor it for them; what they see is of one moment.
        options: dict[str, Any] = {_READS: True}
        if engine.dialect.name != "sqlite":  # there a transaction sees one moment in any case
            options["isolation_level"] = "REPEATABLE READ"
        self._readers = engine.execution_options(**options)
        self._joined: ContextVar[_Joint | None] = ContextVar("joined", default=None)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the database at `url` (`sqlite:///file`, `postgresql+psycopg://...`), and bring it up to date.

        Raises `UsageError` where the address is none, or the database cannot be reached or migrated.
        """
        try:
            address = make_url(url)
            if (kind := address.get_backend_name()) not in {"sqlite", "postgresql"}:
                raise UsageError(f"{kind!r} is no database that we know: sqlite or postgresql+psycopg")
            is_sqlite = kind == "sqlite"
            engine = create_engine(address, connect_args={"timeout": _BUSY_SECONDS} if is_sqlite else {})
        except (ArgumentError, ImportError) as cause:
            raise UsageError(f"this is no address of a database: {cause}") from cause
        if is_sqlite:
            _prepare_sqlite(engine)
        else:
            _prepare_postgresql(engine)
        try:
            upgrade(engine)
        except (DatabaseError, CommandError) as cause:
            engine.dispose()
            raise UsageError(f"cannot open {engine.url}: {getattr(cause, 'orig', cause)}") from cause
        return cls(engine)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite; else it is PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def writing(self, fence: Fence | None = None) -> Iterator[Connection]:
        """A transaction that may write; under a fence it raises `LeaseLostError` where that has fallen.

        What is noted in it (`audit.note`) stands in the audit once it commits.
        """
        if (joint := self._joined.get()) is not None:
            joined = joint.begun()
            # What fails here is undone here, whoever catches it.
            with joined.begin_nested(), audit.nested(joined):
                if fence is not None:
                    _check(joined, fence)
                yield joined
            return
        with self.engine.begin() as connection, audit.chaining(connection):
            if fence is not None:
                _check(connection, fence)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, all at one moment."""
        if (joint := self._joined.get()) is not None and joint.connection is not None:
            yield joint.connection  # sees what was written together with it
            return
        with self._readers.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let each `reading` within see one and the same moment. For one thread, and nothing is written."""
        with self.reading() as connection:
            token = self._joined.set(_Joint(_refuse, connection))
            try:
                yield
            finally:
                self._joined.reset(token)

    @contextmanager
    def together(
        self, first: Callable[[Connection], object] = lambda _: None
    ) -> Iterator[Callable[[], Connection]]:
        """One transaction around several: from the first `writing` within, all are part of it.

        Before that others may write, for nothing is locked: what is read and reckoned until then is as old as
        if it had been done before. `first` is done when the transaction begins; what it raises goes through
        whoever wanted to write. What is yielded begins it, if nothing has, and gives its connection.

        For one thread. All that is written within is kept, or none of it.
        """
        with ExitStack() as stack:

            def begin() -> Connection:
                connection = stack.enter_context(self.engine.begin())
                stack.enter_context(audit.chaining(connection))
                first(connection)
                return connection

            joint = _Joint(begin)
            token = self._joined.set(joint)
            try:
                yield joint.begun
            finally:
                self._joined.reset(token)

    def insert(self, table: Any) -> Any:
        """An INSERT that can say what to do about a row which is there already."""
        return (sqlite if self.is_sqlite else postgresql).insert(table)

    def load(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Write many rows, as fast as the server takes them: COPY, or one prepared statement.

        Values are the database's own (`schema.EuiColumn` and `VersionColumn` as whole numbers): no type of
        ours is asked.
        """
        names = ", ".join(columns)
        raw = connection.connection.driver_connection
        assert raw is not None
        if self.is_sqlite:
            marks = ", ".join("?" * len(columns))
            raw.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608 # our own names
            return
        with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


class _Joint:
    """A transaction that several are part of, and that begins with the first to write."""

    def __init__(self, begin: Callable[[], Connection], reads: Connection | None = None) -> None:
        self._begin = begin
        self._written: Connection | None = None
        self._reads = reads

    @property
    def connection(self) -> Connection | None:
        """What is read through; None: each who reads sees a moment of its own."""
        return self._written or self._reads

    def begun(self) -> Connection:
        """What is written through."""
        if self._written is None:
            self._written = self._begin()
        return self._written


def _refuse() -> Connection:
    raise RuntimeError("nothing is written within a snapshot")


def _check(connection: Connection, fence: Fence) -> None:
    """Hold the lease's row until the transaction ends, or learn that it is another's."""
    held = connection.execute(
        select(s.lease.c.fence)
        .where(s.lease.c.name == fence.name, s.lease.c.owner == fence.owner, s.lease.c.fence == fence.number)
        .with_for_update(read=True)
    ).first()
    if held is None:
        raise LeaseLostError(f"the lease {fence.name!r} that {fence.owner} took is another's by now")


def _prepare_postgresql(engine: Engine) -> None:
    """A process that is stopped in the middle of a transaction must not stop all others for good."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        adapt(connection)
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
        connection.commit()


def _prepare_sqlite(engine: Engine) -> None:
    """Durable and concurrent: WAL, every commit on disk, and transactions that begin when they say so."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin or commit on its own
        for pragma in (
            # Of a new file only, and before the journal. A message has 2,000 octets: one would fill a page of
            # 4,096, and three go into this one.
            f"page_size = {_PAGE_OCTETS}",
            "journal_mode = WAL",
            f"wal_autocheckpoint = {_JOURNAL_PAGES}",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"cache_size = -{_CACHE_KIBIBYTES}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
