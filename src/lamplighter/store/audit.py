"""The audit: who did what, each entry chained to all before it, in the transaction that does it.

An entry is noted on the connection while a transaction runs (`note`), and `Database.writing` chains all of
them just before it commits. For that it locks the one row of `audit_head`: always the last lock that a
transaction takes, and for no longer than the commit, so that nobody waits for a transaction that thinks.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from lamplighter.kit import Instant, UsageError, VerificationError
from lamplighter.kit import chain as links
from lamplighter.kit.chain import Entry, Head
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from sqlalchemy import Connection

    from lamplighter.store.database import Database

SYSTEM: Final = "system"
"""Who did it, where no person did."""
WHO_MAX, WHAT_MAX = 64, 32  # characters, as in the schema
ENTRIES_MAX: Final = 1_000
"""Entries that one look gives at most."""

_NOTES: Final = "lamplighter_notes"  # in the connection's own dictionary
_ROWS_AT_ONCE: Final = 5_000


def clock() -> Instant:
    """What time it is by this machine's clock, where nobody said when."""
    return Instant(time.time_ns() // 1_000)


@dataclass(frozen=True, slots=True)
class Note:
    """An entry to be."""

    at: Instant
    who: str
    what: str
    campaign: int | None
    subject: str
    detail: str


def note(
    connection: Connection,
    at: Instant,
    who: str,
    what: str,
    *,
    campaign: int | None = None,
    subject: str = "",
    detail: str = "",
) -> None:
    """Say what this transaction does: it stands in the audit if, and only if, that commits.

    Raises `UsageError` outside `Database.writing`, and where `who` is nobody or too long a name.
    """
    notes = connection.info.get(_NOTES)
    if notes is None:
        raise UsageError(f"{what!r} by {who!r} cannot be noted outside of a transaction that writes")
    if not 0 < len(who) <= WHO_MAX:
        raise UsageError(f"who does it has 1 to {WHO_MAX} characters, not {len(who)}: {who[:80]!r}")
    assert 0 < len(what) <= WHAT_MAX
    notes.append(Note(at, _plain(who), what, campaign, _plain(subject), _plain(detail)))


@contextmanager
def chaining(connection: Connection) -> Iterator[None]:
    """Inside it may be noted what is done; at its end that is chained, and the transaction is to commit.

    Where it fails, nothing was noted.
    """
    notes: list[Note] = []
    info = connection.info  # one that has broken down meanwhile would not give it again, and hide why it did
    info[_NOTES] = notes
    try:
        yield
        if notes:
            _chain(connection, notes)
    finally:
        info.pop(_NOTES, None)  # the connection goes back to its pool


@contextmanager
def nested(connection: Connection) -> Iterator[None]:
    """What is noted inside a savepoint is forgotten with it, where that fails."""
    notes: list[Note] = connection.info[_NOTES]
    before = len(notes)
    try:
        yield
    except BaseException:
        del notes[before:]
        raise


def _chain(connection: Connection, notes: Sequence[Note]) -> None:
    at = s.audit_head.c.id == 1
    number, digest = connection.execute(
        select(s.audit_head.c.entries, s.audit_head.c.digest).where(at).with_for_update()
    ).one()
    rows = []
    for number, it in enumerate(notes, number + 1):  # noqa: B020 # counted on from the head
        digest = links.seal(digest, number, it.at, it.who, it.what, it.campaign, it.subject, it.detail)
        rows.append(
            {
                "id": number, "at": it.at, "who": it.who, "what": it.what, "campaign": it.campaign,
                "subject": it.subject, "detail": it.detail, "digest": digest,
            }
        )  # fmt: skip
    connection.execute(insert(s.audit), rows)
    connection.execute(update(s.audit_head).where(at).values(entries=number, digest=digest))


class Audit:
    """The audit of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(
        self,
        after: int = 0,
        limit: int = ENTRIES_MAX,
        *,
        campaign: int | None = None,
        who: str | None = None,
        what: str | None = None,
        before: int | None = None,
    ) -> list[Entry]:
        """Entries in their order, above `after`, at most `limit`; of one campaign, person, kind of act.

        before  the last ones below this number instead, the latest first
        """
        query = select(s.audit).limit(max(1, min(limit, ENTRIES_MAX)))
        of = None if campaign is None else s.number(campaign)
        for column, value in ((s.audit.c.campaign, of), (s.audit.c.who, who), (s.audit.c.what, what)):
            if value is not None:
                query = query.where(column == value)
        if before is None:
            query = query.where(s.audit.c.id > after).order_by(s.audit.c.id)
        else:
            query = query.where(s.audit.c.id > after, s.audit.c.id < before).order_by(s.audit.c.id.desc())
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def head(self) -> Head:
        """The end of the chain: keep it elsewhere, to know later that nothing before it was touched."""
        with self._database.reading() as connection:
            return _head(connection)

    def export(self, file: TextIO, after: Head = links.START) -> Head:
        """Write all entries above `after` as JSON lines, verified on the way; returns their end.

        Raises `VerificationError` where the chain is broken, or does not end at its head: the lines so far
        are written.
        """
        with self._database.reading() as connection:
            return _followed(connection, _written(_all(connection, after), file), after)

    def verify(self, after: Head = links.START, head: Head | None = None) -> Head:
        """Follow the chain to its head, and through `head`, kept elsewhere, where there is one; its end."""
        with self._database.reading() as connection:
            if head is not None:
                links.verify(_all(connection, after), after=after, head=head)
            return _followed(connection, _all(connection, after), after)


def _followed(connection: Connection, entries: Iterator[Entry], after: Head) -> Head:
    """Follow a chain to where `audit_head` says that it ends."""
    head = _head(connection)
    end = links.verify(entries, after=after, head=head)
    if end != head:
        raise VerificationError("audit-head", f"an end at {head}, as audit_head says", str(end))
    return end


def _all(connection: Connection, after: Head) -> Iterator[Entry]:
    """All above a number, so many at one time: no cursor is left open where somebody stops half-way."""
    last = after.id
    query = select(s.audit).order_by(s.audit.c.id).limit(_ROWS_AT_ONCE)
    while rows := connection.execute(query.where(s.audit.c.id > last)).all():
        for row in rows:
            yield _entry(row)
        last = rows[-1].id


def _written(entries: Iterator[Entry], file: TextIO) -> Iterator[Entry]:
    for entry in entries:
        file.write(links.encode(entry) + "\n")
        yield entry


def _head(connection: Connection) -> Head:
    row = connection.execute(select(s.audit_head).where(s.audit_head.c.id == 1)).one()
    return Head(row.entries, row.digest)


def _entry(row: Any) -> Entry:
    return Entry(
        row.id, Instant(row.at), row.who, row.what, row.campaign, row.subject, row.detail, row.digest
    )


def _plain(text: str) -> str:
    """What both databases keep as it is: no NUL, and no half of a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
