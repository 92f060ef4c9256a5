"""Questions to the DCC's inventory: SRV 8.2 for some premises, one by one, behind all that campaigns ordered.

A question is a wish until the lane is free: it gets its counter in the transaction that notes its attempt,
and not before, so that a hundred thousand that wait spend no counter, and no order waits for more than the
one that is out. 8.2 only reads: where it is not known whether the DCC had a question, it is asked again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, insert, literal, or_, select, true, update

from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.protocol.duis import Mpxn, Uprn
from lamplighter.registry import Part
from lamplighter.store import audit
from lamplighter.store import schema as s
from lamplighter.store.campaigns import LAST_DAY
from lamplighter.store.orders import next_counter
from lamplighter.store.outbox import is_wanted, last_attempted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from sqlalchemy import Connection, Row

    from lamplighter.store.database import Database, Fence
    from lamplighter.store.fleet import Wanted

QUESTIONS_MAX: Final = 100_000
"""Premises of one inquiry."""
PER_HOUR: Final = 2_000
"""Questions of all inquiries in an hour, where nothing else is said: 48,000 a day."""
TRIES_MAX: Final = 3
"""How often a question is sent that the DCC may have had and did not answer."""
TOLD: Final = "I0"
"""The code of a question that was answered with an inventory."""
CANCELLED: Final = "cancelled"
"""The code of a question that was not asked any more."""
UNANSWERED: Final = "unanswered"
"""The code of a question that the DCC did not answer, `TRIES_MAX` times."""

_DETAIL_MAX: Final = 500  # characters
_ROWS_AT_ONCE: Final = 1_000
_SIGN: Final = 1 << 63  # `schema.EuiColumn`

Premises: TypeAlias = "Eui64 | Mpxn | Uprn"
"""What is asked by. Not by address: it would have to be spelt as the inventory has it."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What somebody wants to know, and how far that has come."""

    id: int
    """In the database."""
    who: str
    """Who asked."""
    at: Instant
    """When."""
    what: str
    """How the premises were chosen."""
    per_hour: int
    """None of its questions goes out where so many of all inquiries did in the hour before."""
    questions: int
    """Premises."""
    codes: Mapping[str, int]
    """How many questions have ended with each code."""
    devices: int
    """Devices that answers told of and that were taken in."""
    bad: int
    """Rows of answers that were not."""
    ended_at: Instant | None
    """When none was open any more."""

    @property
    def told(self) -> int:
        """How many premises the DCC has told of."""
        return self.codes.get(TOLD, 0)

    @property
    def open(self) -> int:
        """How many wait."""
        return self.questions - sum(self.codes.values())

    @property
    def cancelled(self) -> int:
        """How many are not asked any more."""
        return self.codes.get(CANCELLED, 0)

    @property
    def failed(self) -> int:
        """How many were refused, or came to nothing otherwise."""
        return self.questions - self.open - self.told - self.cancelled


class Question(NamedTuple):
    """A question that is to be sent now."""

    id: int
    """In the database."""
    counter: int
    """Of its RequestID."""
    of: Premises
    """Which premises."""
    at: Instant
    """When it is sent: what Devices say of themselves from then on is newer than the answer."""
    again: bool
    """Whether the DCC may have had it already, under this very counter."""


class Outcome(NamedTuple):
    """What came of a question."""

    of: Premises
    code: str
    answered_at: Instant
    devices: int
    bad: int
    detail: str


class Told(NamedTuple):
    """What an answer told, and what was taken in of it."""

    hub: Eui64 | None
    """The hub of the premises."""
    named: Collection[Eui64]
    """All Devices that it names: who waits to be asked about one of them need not be."""
    devices: int
    """Devices and hubs that were taken in."""
    bad: int
    """Rows that were not."""


class Questions:
    """The statements on questions. Those that send need the fence of the lease "outbox"."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- asking

    def ask(
        self, premises: Sequence[Premises], what: str, who: str, now: Instant, per_hour: int = PER_HOUR
    ) -> Inquiry:
        """Ask about these premises, in their order; one that is named twice is asked about once.

        what  how they were chosen, in words

        Raises `UsageError` where there are none, or more than `QUESTIONS_MAX`.
        """
        distinct = list(dict.fromkeys(premises))
        _check(len(distinct), per_hour)
        with self._database.writing() as connection:
            number = _inquiry(connection, what, who, now, per_hour, len(distinct))
            rows = ((number, *_key(it)) for it in distinct)
            self._database.load(connection, s.question, ("inquiry", "device", "mpxn", "uprn"), rows)
            return _inquiries(connection, number)[0]

    def ask_about(
        self,
        wanted: Wanted,
        what: str,
        who: str,
        now: Instant,
        *,
        unheard_since: Instant | None = None,
        per_hour: int = PER_HOUR,
    ) -> Inquiry:
        """Ask about the homes of all Devices that are looked for, each home by one of them.

        unheard_since  only homes of which the DCC has told nothing, when asked, since then

        Who has left the portfolio is asked about only where that very part is looked for. Raises `UsageError`
        where there is no such home, or more than `QUESTIONS_MAX`.
        """
        columns = {
            name: value.value if isinstance(value, Enum) else value for name, value in wanted.cohorts.items()
        }
        where = [s.cohort.c[name] == value for name, value in columns.items()]
        if wanted.part is None:
            where.append(s.cohort.c.part != Part.NONE.value)
        if wanted.hub is not None:
            where.append(s.device.c.hub == wanted.hub)
        if unheard_since is not None:
            heard = (
                select(s.question.c.id)
                .where(
                    s.question.c.hub == s.device.c.hub,
                    s.question.c.code == TOLD,
                    s.question.c.answered_at >= unheard_since,
                )
                .exists()
            )
            where.append(~heard)
        homes = (
            select(func.min(s.device.c.eui).label("device"))
            .join(s.cohort, s.cohort.c.id == s.device.c.cohort)
            .where(*where)
            .group_by(s.device.c.hub)
        )
        with self._database.writing() as connection:
            number = _inquiry(connection, what, who, now, per_hour, 0)
            chosen = homes.order_by("device").limit(QUESTIONS_MAX + 1).subquery()
            rows = select(literal(number), chosen.c.device)
            connection.execute(insert(s.question).from_select(["inquiry", "device"], rows))
            mine = select(func.count()).where(s.question.c.inquiry == number)
            found = connection.execute(mine).scalar_one()
            _check(found, per_hour)  # what is refused here is undone with the transaction
            connection.execute(update(s.inquiry).where(s.inquiry.c.id == number).values(questions=found))
            return _inquiries(connection, number)[0]

    def cancel(self, number: int, who: str, now: Instant) -> Inquiry:
        """Ask nothing more of an inquiry; of one that has ended nothing changes.

        One that is out at this moment is answered all the same. Raises `UsageError` where there is none.
        """
        with self._database.writing() as connection:
            _lock(connection)
            [before] = _inquiries(connection, number)
            cancelled = connection.execute(
                update(s.question)
                .where(s.question.c.inquiry == number, s.question.c.answered_at.is_(None))
                .values(answered_at=now, code=CANCELLED)
            ).rowcount
            if before.ended_at is None:
                detail = f"{cancelled} not asked"
                audit.note(connection, now, who, "stop asking", subject=f"inquiry {number}", detail=detail)
            _end(connection, [number], now)
            return _inquiries(connection, number)[0]

    # --- looking

    def inquiries(self) -> list[Inquiry]:
        """All of them, the latest first."""
        with self._database.reading() as connection:
            return _inquiries(connection)

    def inquiry(self, number: int) -> Inquiry:
        """One of them; raises `UsageError` where there is none."""
        with self._database.reading() as connection:
            return _inquiries(connection, number)[0]

    def outcomes(self, number: int, *, bad_only: bool = False) -> Iterator[Outcome]:
        """What came of each question that has ended, in their order.

        bad_only  those alone that were refused or came to nothing, or whose answer was not taken in whole
        """
        query = (
            select(s.question)
            .where(s.question.c.inquiry == number, s.question.c.answered_at.is_not(None))
            .order_by(s.question.c.id)
        )
        if bad_only:
            query = query.where(
                or_(s.question.c.bad > 0, s.question.c.code.not_in((TOLD, CANCELLED))),
            )
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query):
                yield Outcome(
                    _premises(row), row.code, Instant(row.answered_at), row.devices, row.bad, row.detail
                )

    def last_day(self, now: Instant) -> int:
        """What campaigns ordered in the last 24 hours, in Devices, and what was asked in them."""
        asked = select(func.count()).where(s.question.c.asked_at > now - DAY, s.question.c.asked_at <= now)
        with self._database.reading() as connection:
            ordered = connection.execute(LAST_DAY, {"since": now - DAY}).scalar_one()
            return int(ordered + connection.execute(asked).scalar_one())

    # --- sending

    def is_any_due(self, now: Instant) -> bool:
        """Whether an inquiry has a question that may go out now, as far as its rate goes."""
        with self._database.reading() as connection:
            return _due(connection, now) is not None

    def next(self, fence: Fence, now: Instant) -> Question | None:
        """Note the attempt of the next question, and give it to be sent at once; None: none may be sent.

        Not while an order waits that may be sent. The smallest inquiry comes first: whoever asks about one
        home does not wait for a hundred thousand. Only while nothing was sent after it, a question that was
        not answered goes again under the counter that it has.
        """
        with self._database.writing(fence) as connection:
            inquiry = _due(connection, now)
            if inquiry is None:
                return None
            # First the lock of counters: whatever is ordered from here on gets a higher one than ours.
            fresh = next_counter(self._database, connection, now)
            if connection.execute(_OWED).first() is not None:
                return None
            row = connection.execute(
                select(s.question)
                .where(s.question.c.inquiry == inquiry, s.question.c.answered_at.is_(None))
                .order_by(s.question.c.id)
                .limit(1)
            ).first()
            if row is None:  # pragma: no cover # an inquiry ends with its last question
                return None
            if row.tries >= TRIES_MAX:
                values = {"code": UNANSWERED, "detail": f"sent {row.tries} times"}
                _lock(connection)
                _close(connection, row.id, now, values)
                _end(connection, [inquiry], now)
                return None
            stands = row.counter is not None and row.counter >= last_attempted(connection)
            counter = row.counter if stands else fresh
            connection.execute(
                update(s.question)
                .where(s.question.c.id == row.id)
                .values(counter=counter, asked_at=now, tries=row.tries + 1)
            )
            return Question(row.id, counter, _premises(row), now, stands and row.asked_at is not None)

    def take_back(self, fence: Fence, question: Question) -> None:
        """Note that an attempt never left this machine."""
        with self._database.writing(fence) as connection:
            asked_at = s.question.c.asked_at if question.again else None
            connection.execute(
                update(s.question)
                .where(s.question.c.id == question.id, s.question.c.answered_at.is_(None))
                .values(asked_at=asked_at, tries=s.question.c.tries - 1)
            )

    def renew(self, fence: Fence, question: Question, now: Instant) -> None:
        """Put a question under a fresh counter: the DCC has refused that it comes a second time."""
        with self._database.writing(fence) as connection:
            connection.execute(
                update(s.question)
                .where(s.question.c.id == question.id, s.question.c.answered_at.is_(None))
                .values(counter=next_counter(self._database, connection, now), asked_at=None)
            )

    def answer(
        self,
        fence: Fence,
        question: Question,
        code: str,
        now: Instant,
        detail: str = "",
        told: Told | None = None,
    ) -> None:
        """Close a question; with it all that wait to be asked about a Device of which the answer tells."""
        with self._database.writing(fence) as connection:
            _lock(connection)
            values: dict[str, Any] = {"code": code, "detail": detail[:_DETAIL_MAX]}
            ended = set()
            if told is not None:
                values |= {"hub": told.hub, "devices": told.devices, "bad": told.bad}
                same = {"code": code, "hub": told.hub, "detail": f"told with question {question.id}"}
                waiting = connection.execute(
                    select(s.question.c.id, s.question.c.inquiry).where(
                        s.question.c.device.in_(list(told.named)),
                        s.question.c.answered_at.is_(None),
                        s.question.c.id != question.id,
                    )
                ).all()
                for row in waiting:
                    _close(connection, row.id, now, same)
                ended = {row.inquiry for row in waiting}
            _close(connection, question.id, now, values)
            ended.add(
                connection.execute(
                    select(s.question.c.inquiry).where(s.question.c.id == question.id)
                ).scalar_one()
            )
            _end(connection, sorted(ended), now)


_OWED: Final = (
    select(s.request.c.counter)
    .join(s.batch, s.batch.c.id == s.request.c.batch)
    .join(s.campaign, s.campaign.c.id == s.batch.c.campaign)
    .join(s.release, s.release.c.id == s.campaign.c.release)
    .where(s.request.c.answered_at.is_(None), is_wanted())
    .limit(1)
)
"""An order that may be sent."""


def _check(questions: int, per_hour: int) -> None:
    if not questions:
        raise UsageError("there is nobody to ask about: no home fits")
    if questions > QUESTIONS_MAX:
        raise UsageError(
            f"one inquiry asks about at most {QUESTIONS_MAX:,} homes, and more fit: narrow it, or ask about "
            "those first of which least has been heard"
        )
    if per_hour < 1:
        raise UsageError(f"at least one question an hour must go out, not {per_hour}")


def _inquiry(connection: Connection, what: str, who: str, now: Instant, per_hour: int, questions: int) -> int:
    values = {"who": who, "at": now, "what": what, "per_hour": per_hour, "questions": questions}
    number = int(connection.execute(insert(s.inquiry).values(values).returning(s.inquiry.c.id)).scalar_one())
    audit.note(connection, now, who, "ask inventory", subject=f"inquiry {number}", detail=what)
    return number


def _key(premises: Premises) -> tuple[int | None, str | None, str | None]:
    """Device, MPxN and UPRN, as the database holds them."""
    match premises:
        case Mpxn(number):
            return None, number, None
        case Uprn(number):
            return None, None, number
        case device:
            return int(device) - _SIGN, None, None


def _premises(row: Row[Any]) -> Premises:
    if row.mpxn is not None:
        return Mpxn(row.mpxn)
    if row.uprn is not None:
        return Uprn(row.uprn)
    device: Eui64 = row.device
    return device


def _due(connection: Connection, now: Instant) -> int | None:
    """The inquiry whose turn it is; those of a clock that ran ahead do not count as asked."""
    rows = connection.execute(
        select(s.inquiry.c.id, s.inquiry.c.per_hour)
        .where(s.inquiry.c.ended_at.is_(None))
        .order_by(s.inquiry.c.questions, s.inquiry.c.id)
    ).all()
    if not rows:
        return None
    asked = connection.execute(
        select(func.count()).where(s.question.c.asked_at > now - HOUR, s.question.c.asked_at <= now)
    ).scalar_one()
    return next((row.id for row in rows if asked < row.per_hour), None)


def _lock(connection: Connection) -> None:
    """Let nobody else close questions until this transaction ends: two would wait for each other's rows."""
    connection.execute(
        select(s.inquiry.c.id)
        .where(s.inquiry.c.ended_at.is_(None))
        .order_by(s.inquiry.c.id)
        .with_for_update()
    ).all()


def _close(connection: Connection, question: int, now: Instant, values: Mapping[str, Any]) -> None:
    connection.execute(
        update(s.question)
        .where(s.question.c.id == question, s.question.c.answered_at.is_(None))
        .values(answered_at=now, **values)
    )


def _end(connection: Connection, inquiries: Sequence[int], now: Instant) -> None:
    """Close the inquiries of these that have no open question, and say so in the audit."""
    is_open = (
        select(s.question.c.id)
        .where(s.question.c.inquiry == s.inquiry.c.id, s.question.c.answered_at.is_(None))
        .exists()
    )
    ended = connection.execute(
        update(s.inquiry)
        .where(s.inquiry.c.id.in_(inquiries), s.inquiry.c.ended_at.is_(None), ~is_open)
        .values(ended_at=now)
        .returning(s.inquiry.c.id)
    ).scalars()
    for number in sorted(ended):
        [found] = _inquiries(connection, number)
        counts = f"{found.told} told, {found.failed} failed, {found.cancelled} cancelled"
        detail = f"{found.questions} premises: {counts}"
        audit.note(
            connection, now, audit.SYSTEM, "inventory asked", subject=f"inquiry {number}", detail=detail
        )


def _inquiries(connection: Connection, number: int | None = None) -> list[Inquiry]:
    """One inquiry, or all, the latest first, with their progress."""
    asked = true() if number is None else s.inquiry.c.id == number
    rows = connection.execute(select(s.inquiry).where(asked).order_by(s.inquiry.c.id.desc())).all()
    if number is not None and not rows:
        raise UsageError(f"there is no inquiry {number}: `registry asked` lists them")
    columns = s.question.c
    theirs = true() if number is None else columns.inquiry == number
    query = (
        select(columns.inquiry, columns.code, func.count(), func.sum(columns.devices), func.sum(columns.bad))
        .where(columns.code.is_not(None), theirs)
        .group_by(columns.inquiry, columns.code)
    )
    codes: dict[int, dict[str, int]] = defaultdict(dict)
    devices: dict[int, int] = defaultdict(int)
    bad: dict[int, int] = defaultdict(int)
    for inquiry, code, count, taken, wrong in connection.execute(query):
        codes[inquiry][code] = count
        devices[inquiry] += taken
        bad[inquiry] += wrong
    return [
        Inquiry(
            row.id, row.who, Instant(row.at), row.what, row.per_hour, row.questions, codes[row.id],
            int(devices[row.id]), int(bad[row.id]),
            None if row.ended_at is None else Instant(row.ended_at),
        )
        for row in rows
    ]  # fmt: skip
