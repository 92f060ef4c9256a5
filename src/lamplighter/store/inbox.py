"""What comes in: verified messages, what they say, and those that could not be applied.

Many messages are stored in one transaction (group commit): one flush to the disk stands behind them all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, func, select

from lamplighter.kit import ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.store import audit
from lamplighter.store import schema as s
from lamplighter.store.packed import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from lamplighter.campaign import Evidence
    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.store.database import Database

WEIGHT_MAX: Final = 2**31 - 1  # INTEGER on PostgreSQL; DUIS counts to 2**32 - 1
COUNTER_MAX: Final = 2**63 - 1  # BIGINT; no request of ours bears a greater one
_TIME_OCTETS: Final = 8
_REASON_MAX: Final = 64  # characters of a refusal's reason
_BIND_MAX: Final = 500  # values in one IN (...); every database takes as many
_NOTED_MAX: Final = 100  # letters that one entry of the audit names


@dataclass(frozen=True, slots=True)
class Statement:
    """One piece of evidence in a message, and whose update it belongs to."""

    device: Eui64
    """The Device that it is about."""
    evidence: Evidence
    """What is said."""
    about: FirmwareVersion | ImageHash | None = None
    """The image that it is said of; None: the message names none."""
    request: int | None = None
    """Counter of our request that it answers, 0..COUNTER_MAX; None: the message names none."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that was verified, and what could be made of it."""

    octets: bytes
    """As it came."""
    received_at: Instant
    """When."""
    sent_at: Instant
    """When the DCC wrote it."""
    code: str
    """Its alert or response code, at most 16 characters."""
    device: Eui64 | None = None
    """The one Device that it is about; None: it is about none, or several."""
    weight: int = 1
    """For how many equal ones it stands, from 1; what is above WEIGHT_MAX counts as that."""
    statements: tuple[Statement, ...] = ()
    """What it says of Devices."""
    reason: str | None = None
    """Why it cannot be applied: it goes to the dead letters; None: it can."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in the inbox."""

    id: int
    octets: bytes
    received_at: Instant
    code: str
    device: Eui64 | None
    weight: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be applied."""

    letter: Letter
    """The message."""
    since: Instant
    """Since when it lies here."""
    reason: str
    """Why."""


class Refused(NamedTuple):
    """How many messages were refused on one day for one reason."""

    day: Instant
    """The day's first instant, UTC."""
    reason: str
    messages: int


class Reading(NamedTuple):
    """What could be made of a message when it was read again."""

    statements: tuple[Statement, ...] = ()
    reason: str | None = None
    """Why it still cannot be applied."""


class Inbox:
    """Messages from the DCC; safe to share between threads and, with a `Database` each, between processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_in(self, messages: Sequence[Incoming]) -> list[bool]:
        """Store verified messages durably, all or none; False for each whose very octets were there already.

        When it returns, all are on the disk. What the database raises goes through: then none is.
        """
        digests = [_digest(message) for message in messages]
        first = dict(zip(reversed(digests), range(len(digests) - 1, -1, -1), strict=True))
        if not first:
            return []
        store = _store_sqlite if self._database.is_sqlite else _store_postgresql
        given = [(digest, messages[index]) for digest, index in first.items()]
        given.reverse()  # in the order of their coming
        with self._database.writing() as connection:
            new = store(connection, given)
        return [digest in new and first[digest] == index for index, digest in enumerate(digests)]

    def count_refusals(self, refusals: Mapping[str, int], now: Instant) -> None:
        """Add to the count of messages that were refused, by reason; nothing of them is kept."""
        day = now - now % DAY
        rows = [
            {"day": day, "reason": reason[:_REASON_MAX], "messages": messages}
            # In one order everywhere, or two processes might wait for each other.
            for reason, messages in sorted(refusals.items())
            if messages
        ]
        if not rows:
            return
        added = self._database.insert(s.refusal)
        added = added.on_conflict_do_update(
            index_elements=[s.refusal.c.day, s.refusal.c.reason],
            set_={"messages": s.refusal.c.messages + added.excluded.messages},
        )
        with self._database.writing() as connection:
            for row in rows:
                connection.execute(added, row)

    def refusals(self) -> list[Refused]:
        """All counts of refused messages, the latest day first."""
        query = select(s.refusal).order_by(s.refusal.c.day.desc(), s.refusal.c.reason)
        with self._database.reading() as connection:
            return [Refused(Instant(row.day), row.reason, row.messages) for row in connection.execute(query)]

    def letters(self, ids: Iterable[int]) -> list[Letter]:
        """The messages with these numbers, in that order of numbers; unknown numbers are left out."""
        wanted = sorted(set(ids))
        found = []
        with self._database.reading() as connection:
            for start in range(0, len(wanted), _BIND_MAX):
                query = select(s.inbox).where(s.inbox.c.id.in_(wanted[start : start + _BIND_MAX]))
                found += [_letter(row) for row in connection.execute(query.order_by(s.inbox.c.id))]
        return found

    def latest(self, limit: int = 100) -> list[Letter]:
        """The messages that came last, the last first."""
        query = select(s.inbox).order_by(s.inbox.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_letter(row) for row in connection.execute(query)]

    def counts(self) -> tuple[int, int]:
        """How many messages wait to be applied, and how many are dead letters."""
        waiting = select(func.count(s.statement.c.inbox.distinct()))
        dead = select(func.count()).select_from(s.dead_letter)
        with self._database.reading() as connection:
            return connection.execute(waiting).scalar_one(), connection.execute(dead).scalar_one()

    def dead_letters(self, limit: int = 100, after: int = 0) -> list[DeadLetter]:
        """The messages that could not be applied, by number from above `after`, at most `limit`."""
        query = (
            select(s.inbox, s.dead_letter.c.since, s.dead_letter.c.reason)
            .join(s.dead_letter, s.dead_letter.c.inbox == s.inbox.c.id)
            .where(s.dead_letter.c.inbox > after)
            .order_by(s.dead_letter.c.inbox)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                DeadLetter(_letter(row), Instant(row.since), row.reason) for row in connection.execute(query)
            ]

    def dead_numbers(self, after: int = 0, limit: int = 1_000, saying: str = "") -> list[int]:
        """The numbers alone of dead letters, from above `after`, at most `limit`; the messages are not read.

        saying  only those with these words in the reason, in capitals or not
        """
        dead = s.dead_letter.c
        query = select(dead.inbox).where(dead.inbox > after).order_by(dead.inbox).limit(limit)
        if saying:
            query = query.where(func.lower(dead.reason).contains(saying.lower(), autoescape=True))
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def chosen(self, ids: Iterable[int]) -> list[int]:
        """These numbers, each once and in their order; `UsageError` for one that is no dead letter's."""
        wanted, dead = sorted(set(ids)), s.dead_letter.c.inbox
        found: set[int] = set()
        with self._database.reading() as connection:
            for some in _some(wanted):
                found.update(connection.execute(select(dead).where(dead.in_(some))).scalars())
        if unknown := [number for number in wanted if number not in found]:
            raise UsageError(f"no dead letter has the number {unknown[0]}")
        return wanted

    def dismiss(self, ids: Iterable[int], now: Instant, who: str, because: str) -> int:
        """Put dead letters away for good, with a word why; how many that were. The messages stay."""
        taken: list[int] = []
        dead = s.dead_letter.c.inbox
        with self._database.writing() as connection:
            for some in _some(sorted(set(ids))):
                gone = delete(s.dead_letter).where(dead.in_(some)).returning(dead)
                taken += sorted(connection.execute(gone).scalars())
            if taken:
                said = f"{len(taken)} put away ({because}): {_named(taken)}"
                audit.note(connection, now, who, "dismiss", subject="dead letters", detail=said)
        return len(taken)

    def replay(self, readings: Mapping[int, Reading], now: Instant, who: str = audit.SYSTEM) -> int:
        """Take dead letters, by number, as they were read now; how many are dead no more.

        One that still cannot be applied keeps its place with the new reason; one that is no dead letter
        (any more) is left alone.
        """
        raised = 0
        taken: list[int] = []
        with self._database.writing() as connection:
            for number, reading in sorted(readings.items()):
                at = s.dead_letter.c.inbox == number
                gone = connection.execute(delete(s.dead_letter).where(at)).rowcount
                if not gone:
                    continue
                taken.append(number)
                if reading.reason is None:
                    raised += 1
                    rows = [{"inbox": number} | _values(it) for it in reading.statements]
                    if rows:
                        connection.execute(s.statement.insert(), rows)
                else:
                    row = {"inbox": number, "since": now, "reason": reading.reason}
                    connection.execute(s.dead_letter.insert(), row)
            if taken:
                said = f"{raised} of {len(taken)} wait to be applied: {_named(taken)}"
                audit.note(connection, now, who, "replay", subject="dead letters", detail=said)
        return raised


def _some(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many of them at a time as one statement takes."""
    return (numbers[start : start + _BIND_MAX] for start in range(0, len(numbers), _BIND_MAX))


def _named(numbers: Sequence[int]) -> str:
    """The numbers of letters, for the audit."""
    return ", ".join(map(str, numbers[:_NOTED_MAX])) + (", ..." if len(numbers) > _NOTED_MAX else "")


def _digest(message: Incoming) -> bytes:
    """As `schema.inbox` says."""
    sent_at = message.sent_at.to_bytes(_TIME_OCTETS, "big", signed=True)
    return sent_at + hashlib.sha256(message.octets).digest()[_TIME_OCTETS:]


def _letter(row: Any) -> Letter:
    return Letter(row.id, row.octets, Instant(row.received_at), row.code, row.device, row.weight)


def _values(statement: Statement) -> dict[str, Any]:
    return dict(zip(_SAID, _said(statement), strict=True))


# --- many rows at once: values as the database holds them, in as few statements as can be

_INBOX: Final = ("digest", "octets", "received_at", "code", "device", "weight")
_SAID: Final = (
    "device", "fact", "at", "message", "cause", "detail", "version", "about_version", "about_hash", "request",
)  # fmt: skip
_DEAD: Final = ("inbox", "since", "reason")
_SIGN: Final = 1 << 63  # as `schema.EuiColumn`
_PORTIONS: Final = tuple(
    1 << power for power in range(8, -1, -1)
)  # rows in one statement: few lengths, so that each is prepared but once


def _store_sqlite(connection: Connection, given: Sequence[tuple[bytes, Incoming]]) -> set[bytes]:
    driver = connection.connection.driver_connection
    assert driver is not None
    cursor = driver.cursor()
    rows = [(digest, *_letter_row(message)) for digest, message in given]
    tail = "ON CONFLICT DO NOTHING RETURNING digest, id"
    numbers = dict(_insert(cursor, "inbox", _INBOX, rows, tail))
    said, dead = _consequences(given, numbers)
    _insert(cursor, "statement", ("inbox", *_SAID), said)
    _insert(cursor, "dead_letter", _DEAD, dead)
    return set(numbers)


def _insert(
    cursor: Any, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], tail: str = ""
) -> list[Any]:
    """Insert rows, many in one statement: the interpreter lock is let go once, not once a row."""
    marks = f"({', '.join('?' * len(columns))})"
    found: list[Any] = []
    start = 0
    for portion in _PORTIONS:
        while len(rows) - start >= portion:
            values = ", ".join([marks] * portion)
            text = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values} {tail}"  # noqa: S608 # our own names
            given = tuple(value for row in rows[start : start + portion] for value in row)
            found += cursor.execute(text, given).fetchall()
            start += portion
    return found


def _consequences(
    given: Sequence[tuple[bytes, Incoming]], numbers: Mapping[bytes, int]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of `statement` and of `dead_letter` for the messages that are new."""
    said, dead = [], []
    for digest, message in given:
        number = numbers.get(digest)
        if number is None:
            continue
        if message.reason is not None:
            dead.append((number, message.received_at, message.reason))
        else:
            said += [(number, *_raw_said(statement)) for statement in message.statements]
    return said, dead


def _letter_row(message: Incoming) -> tuple[Any, ...]:
    device = None if message.device is None else int(message.device) - _SIGN
    weight = max(1, min(message.weight, WEIGHT_MAX))
    return message.octets, message.received_at, message.code, device, weight


def _said(statement: Statement) -> tuple[Any, ...]:
    """The values of `_SAID`."""
    evidence, about = statement.evidence, statement.about
    version, image_hash = (None, about.octets) if isinstance(about, ImageHash) else (about, None)
    return (
        statement.device, evidence.fact.name, evidence.at, evidence.message, int(evidence.cause),
        evidence.detail, evidence.version, version, image_hash, statement.request,
    )  # fmt: skip


def _raw_said(statement: Statement) -> tuple[Any, ...]:
    device, fact, at, message, cause, detail, version, about, image_hash, request = _said(statement)
    return (
        int(device) - _SIGN, fact, at, message, cause, detail,
        None if version is None else version.number,
        None if about is None else about.number,
        image_hash, request,
    )  # fmt: skip


_TYPES: Final = {
    "digest": "bytea", "octets": "bytea", "received_at": "bigint", "code": "text", "device": "bigint",
    "weight": "integer", "number": "integer", "fact": "text", "at": "bigint", "message": "text",
    "cause": "smallint", "detail": "text", "version": "bigint", "about_version": "bigint",
    "about_hash": "bytea", "request": "bigint", "since": "bigint", "reason": "text",
}  # fmt: skip


def _unnest(columns: Sequence[str]) -> str:
    return ", ".join(f"%b::{_TYPES[column]}[]" for column in columns)


_POSTGRESQL: Final = f"""
WITH new AS (
    INSERT INTO inbox ({", ".join(_INBOX)}) SELECT * FROM unnest({_unnest(_INBOX)})
    ON CONFLICT DO NOTHING RETURNING id, digest
), said AS (
    INSERT INTO statement (inbox, {", ".join(_SAID)})
    SELECT new.id, {", ".join(f"given.{column}" for column in _SAID)}
    FROM unnest({_unnest(("digest", *_SAID))}) WITH ORDINALITY AS given (digest, {", ".join(_SAID)}, place)
    JOIN new ON new.digest = given.digest ORDER BY given.place
), dead AS (
    INSERT INTO dead_letter (inbox, since, reason)
    SELECT new.id, given.since, given.reason
    FROM unnest({_unnest(("digest", "since", "reason"))}) AS given (digest, since, reason)
    JOIN new ON new.digest = given.digest
)
SELECT digest FROM new
"""  # noqa: S608 # our own names


def _store_postgresql(connection: Connection, given: Sequence[tuple[bytes, Incoming]]) -> set[bytes]:
    """All of it in one statement: one way to the server and back."""
    letters = [(digest, *_letter_row(message)) for digest, message in given]
    said = [
        (digest, *_raw_said(statement))
        for digest, message in given
        if message.reason is None
        for statement in message.statements
    ]
    dead = [
        (digest, message.received_at, message.reason)
        for digest, message in given
        if message.reason is not None
    ]
    arrays = tuple(
        pack(_TYPES[name], column)
        for rows, names in ((letters, _INBOX), (said, ("digest", *_SAID)), (dead, ("digest", *_DEAD[1:])))
        for name, column in zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True)
    )
    driver = connection.connection.driver_connection
    assert driver is not None
    return {digest for (digest,) in driver.execute(_POSTGRESQL, arrays)}
