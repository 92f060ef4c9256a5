"""Two transactions in each other's way on PostgreSQL: one holds a row, the other waits for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from lamplighter.store import Database

_SECONDS = 20.0
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
