"""What the API answered to acts that may be asked for twice: each is written in the transaction of its act.

So there is an answer if, and only if, the act was done. Whoever asks again under the same key at the same
moment waits for the first to commit, and gets its answer; of a refusal nothing is kept, for nothing was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, select, update

from lamplighter.kit.instant import DAY
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from lamplighter.kit import Instant
    from lamplighter.store.database import Database

KEPT: Final = DAY
"""How long an answer is remembered, microseconds; after that the same key is a new one."""


class Answer(NamedTuple):
    """What was answered before."""

    digest: bytes
    """SHA-256 of what was asked."""
    status: int
    """HTTP status."""
    body: str
    """JSON; empty: none."""


class Answers:
    """The answers in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, connection: Connection, account: str, key: str, digest: bytes, now: Instant
    ) -> Answer | None:
        """What was answered under this key, or None: then it is ours to act, and to `keep` what we answer.

        Waits for whoever acts under the same key at this moment. Within `Database.together`.
        """
        connection.execute(delete(s.answer).where(s.answer.c.at <= now - KEPT))
        values = {"account": account, "key": key, "digest": digest, "status": 0, "body": "", "at": now}
        new = self._database.insert(s.answer).values(values).on_conflict_do_nothing()
        if connection.execute(new.returning(s.answer.c.key)).first() is not None:
            return None
        row = connection.execute(select(s.answer).where(*_of(account, key))).one()
        return Answer(row.digest, row.status, row.body)

    def keep(self, connection: Connection, account: str, key: str, status: int, body: str) -> None:
        """What is answered to the act that this transaction does."""
        connection.execute(update(s.answer).where(*_of(account, key)).values(status=status, body=body))


def _of(account: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return s.answer.c.account == account, s.answer.c.key == key
