"""What the API answered to acts that may be asked for twice: noted in the transaction of each act.

So there is a note if, and only if, the act was done. It is the answer; or, where that takes long to tell and
others want to write meanwhile, what the answer is told from. Then the answer is kept a moment later, by
whoever tells it first, and holds from then on. Whoever asks under the same key at the same moment waits for
the first to commit; of a refusal nothing is kept, for nothing was done.
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


UNTOLD: Final = 0
"""The status of what was done, and not answered yet."""


class Answer(NamedTuple):
    """What was answered before."""

    digest: bytes
    """SHA-256 of what was asked."""
    status: int
    """HTTP status; or `UNTOLD`."""
    body: str
    """JSON; empty: none. Of what is untold: what was done."""


class Answers:
    """The answers in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, account: str, key: str, now: Instant) -> Answer | None:
        """What was answered under this key; None: nothing, or too long ago."""
        query = select(s.answer).where(*_of(account, key), s.answer.c.at > now - KEPT)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Answer(row.digest, row.status, row.body)

    def claim(self, connection: Connection, account: str, key: str, digest: bytes, now: Instant) -> bool:
        """Whether it is ours to act under this key, and to `note` what was done; else somebody has.

        Waits for whoever acts under it at this moment.
        """
        connection.execute(delete(s.answer).where(s.answer.c.at <= now - KEPT))
        values = {"account": account, "key": key, "digest": digest, "status": UNTOLD, "body": "", "at": now}
        new = self._database.insert(s.answer).values(values).on_conflict_do_nothing()
        return connection.execute(new.returning(s.answer.c.key)).first() is not None

    def note(self, connection: Connection, account: str, key: str, status: int, body: str) -> None:
        """What this transaction has done: its whole answer, or, with `UNTOLD`, what that is told from."""
        connection.execute(update(s.answer).where(*_of(account, key)).values(status=status, body=body))

    def keep(self, account: str, key: str, status: int, body: str) -> bool:
        """What is answered; False: somebody was before us with another telling of it, which holds."""
        untold = update(s.answer).where(*_of(account, key), s.answer.c.status == UNTOLD)
        with self._database.writing() as connection:
            return bool(connection.execute(untold.values(status=status, body=body)).rowcount)


def _of(account: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return s.answer.c.account == account, s.answer.c.key == key
