"""Transactions in each other's way.

On PostgreSQL one holds a row, and the other waits for it (`held_up`). On SQLite whoever writes holds up all
others who want to, and what they do meanwhile is to be little (`while_locked`).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from lamplighter.store import Database

_SECONDS = 20.0
_READS = "lamplighter_reads"
_WAITS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextmanager
def held_up(database: Database, row: Any, work: Callable[[], Any]) -> Iterator[Connection]:
    """A transaction that has locked `row`, a SELECT, while `work` in another thread waits for it.

    When the block ends, so does the transaction; `work` then goes on, and what it raises comes out here.
    """
    with ThreadPoolExecutor(1) as pool:
        with database.engine.begin() as holder:
            holder.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert holder.execute(row.with_for_update()).all()
            working = pool.submit(work)
            until = time.monotonic() + _SECONDS
            with database.engine.connect() as watcher:
                while not watcher.execute(_WAITS).scalar_one():
                    watcher.rollback()  # else it would see the same for ever
                    assert not working.done(), "it waited for nothing"
                    assert time.monotonic() < until
            yield holder
        working.result(_SECONDS)


@contextmanager
def while_locked(database: Database) -> Iterator[list[str]]:
    """The statements that run in transactions which write: on SQLite all others wait who want to write."""
    run: list[str] = []

    def note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not connection.get_execution_options().get(_READS):
            run.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield run
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
