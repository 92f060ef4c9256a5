"""What a database means to do for a statement, asked in the very place where it is executed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from lamplighter.store import Database


@contextmanager
def explained(database: Database, *words: str) -> Iterator[list[str]]:
    """The plan of each statement that has all of these words in it, executed within the block."""
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"

    def ask(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if all(word in statement for word in words) and not statement.startswith(explain):
            rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
            plans.append("\n".join(str(row[-1]) for row in rows))

    event.listen(database.engine, "before_cursor_execute", ask)
    try:
        yield plans
    finally:
        event.remove(database.engine, "before_cursor_execute", ask)


def analyse(database: Database) -> None:
    """Let the database look at its tables, as it does by itself sooner or later."""
    with database.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
