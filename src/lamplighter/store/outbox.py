"""The outbox: what was ordered and what the DCC said to it. One lane, in the order of the counters.

The DCC takes no counter that is not above a User's last. So whoever holds the lease "outbox" sends what was
ordered in the order of its counters, and notes each attempt before the first octet goes out: after a crash
or a time-out a request is sent again under the id that it has, and the DCC refuses it if it has it already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, func, insert, literal, or_, select, update

from lamplighter.campaign import Cause, Fact, Order
from lamplighter.campaign.next import QUIET
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Instant
from lamplighter.store import audit, record
from lamplighter.store import schema as s
from lamplighter.store.campaigns import RENEWED
from lamplighter.store.orders import next_counter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from lamplighter.kit import Eui64
    from lamplighter.store.database import Database, Fence

_UPDATES: Final = tuple(kind.value for kind in (Order.UPDATE_FIRMWARE, Order.UPDATE_PPMID_FIRMWARE))
_BIND_MAX: Final = 5_000  # values in one statement


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that is ordered and not yet answered."""

    counter: int
    """Counter of its RequestID."""
    kind: Order
    """What it asks for."""
    campaign: int
    """Whose it is."""
    release: int
    """What it is to bring."""
    batch: int
    """The batch whose Devices it is for."""
    device: Eui64 | None
    """The one Device of an 11.2 or 11.3; None: all that are still in the batch."""
    execution_at: Instant | None
    """SRV 11.3: when to activate; None: at once. Of an order that calls one off: when that one is due."""
    attempted_at: Instant | None
    """When it was first sent; from then on the DCC may have it."""
    command: bytes | None
    """SRV 11.3: its signed pre-command, where it came that far."""
    wanted: bool
    """Whether the campaign still wants it sent: not an update of a paused one, and of an aborted one or of a
    withdrawn release no activation either; nor one that was called off since."""


class Exclusion(NamedTuple):
    """Why the DCC left a Device out of a request that it accepted for others."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request."""

    counter: int
    """Which one."""
    code: str
    """The response code, or our own word where there was none; at most 16 characters."""
    fact: Fact | None
    """What that means for all its Devices; None: nothing."""
    message: str = ""
    """Whose word that is, where it is not the code."""
    cause: Cause = Cause.NONE
    """Why, where it is a failure."""
    detail: str = ""
    """The whole story, where it is a failure."""
    excluded: Mapping[Eui64, Exclusion] = field(default_factory=dict)
    """The Devices that were refused all the same."""


class Outbox:
    """The statements on requests. All that change something need the fence of the lease "outbox"."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_requests(self, limit: int = 1_000) -> list[OpenRequest]:
        """What is ordered and not answered, the lowest counter first, wanted or not; at most `limit`."""
        wanted = is_wanted().label("wanted")
        query = (
            select(s.request, s.batch.c.kind, s.batch.c.campaign, s.campaign.c.release, wanted)
            .join(s.batch, s.batch.c.id == s.request.c.batch)
            .join(s.campaign, s.campaign.c.id == s.batch.c.campaign)
            .join(s.release, s.release.c.id == s.campaign.c.release)
            .where(s.request.c.answered_at.is_(None))
            .order_by(s.request.c.counter)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                OpenRequest(
                    row.counter, Order(row.kind), row.campaign, row.release, row.batch, row.device,
                    _instant(row.execution_at), _instant(row.attempted_at), row.command, bool(row.wanted),
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def devices_of(self, request: OpenRequest) -> tuple[Eui64, ...]:
        """The Devices that a request is for now: those whose latest order it is."""
        here = _of_request(request)
        with self._database.reading() as connection:
            rows = connection.execute(
                select(s.device_update.c.device).where(here).order_by(s.device_update.c.device)
            )
            return tuple(rows.scalars())

    def last_attempted(self) -> int:
        """The highest counter that the DCC may have, of orders and of questions; 0: none."""
        with self._database.reading() as connection:
            return last_attempted(connection)

    def note_attempts(self, fence: Fence, counters: Collection[int], now: Instant) -> frozenset[int]:
        """Note that requests are about to be sent, and say which of them may be.

        Left out is what was recalled or answered meanwhile, and what its campaign no longer wants.
        """
        ids = sorted(counters)
        with self._database.writing(fence) as connection:
            for some in _slices(ids):
                connection.execute(
                    update(s.request)
                    .where(
                        s.request.c.counter.in_(some),
                        s.request.c.attempted_at.is_(None),
                        s.request.c.answered_at.is_(None),
                        _wanted_batch().exists(),
                    )
                    .values(attempted_at=now)
                )
            return frozenset(
                counter
                for some in _slices(ids)
                for counter in connection.execute(
                    select(s.request.c.counter).where(
                        s.request.c.counter.in_(some),
                        s.request.c.attempted_at.is_not(None),
                        s.request.c.answered_at.is_(None),
                    )
                ).scalars()
            )

    def take_back_attempts(self, fence: Fence, counters: Iterable[int]) -> None:
        """Note that an attempt never left this machine: the request may be recalled again."""
        with self._database.writing(fence) as connection:
            for some in _slices(counters):
                connection.execute(
                    update(s.request)
                    .where(
                        s.request.c.counter.in_(some),
                        s.request.c.answered_at.is_(None),
                        s.request.c.command.is_(None),
                    )
                    .values(attempted_at=None)
                )

    def keep_commands(self, fence: Fence, commands: Mapping[int, bytes]) -> None:
        """Keep the signed pre-commands of requests, by counter, before any is sent."""
        if not commands:
            return
        with self._database.writing(fence) as connection:
            connection.execute(
                update(s.request)
                .where(s.request.c.counter == bindparam("number"), s.request.c.answered_at.is_(None))
                .values(command=bindparam("octets")),
                [{"number": counter, "octets": octets} for counter, octets in commands.items()],
            )

    def answer(self, fence: Fence, answers: Sequence[Answer], now: Instant) -> None:
        """Close requests, and append what that means for their Devices; a closed one is left as it is."""
        with self._database.writing(fence) as connection:
            record.fresh(self._database, connection)
            closed = [answer for answer in answers if _close(connection, answer.counter, answer.code, now)]
            alike: dict[tuple[Fact, str, Cause, str], list[int]] = {}
            for answer in closed:
                if answer.fact is not None:
                    said = (answer.fact, answer.message or answer.code, answer.cause, answer.detail)
                    alike.setdefault(said, []).append(answer.counter)
            for said, counters in alike.items():
                for some in _slices(counters):
                    _say(connection, some, now, *said)
            for answer in closed:
                _exclude(connection, answer)
            record.append(self._database, connection, now)

    def renew(self, fence: Fence, counters: Collection[int], now: Instant) -> None:
        """Put requests that can have had no effect under fresh counters; nothing else of them changes.

        One that was overtaken, which the DCC would refuse; or a transform whose pre-command we lost.
        """
        with self._database.writing(fence) as connection:
            # First the rows and then the counters: in the order of whoever recalls some and orders others.
            rows = [
                row
                for some in _slices(sorted(counters))
                for row in connection.execute(
                    select(s.request)
                    .where(
                        s.request.c.counter.in_(some),
                        s.request.c.answered_at.is_(None),
                        s.request.c.command.is_(None),
                    )
                    .order_by(s.request.c.counter)
                )
                if _close(connection, row.counter, RENEWED, now)
            ]
            if not rows:
                return
            first = next_counter(self._database, connection, now)
            connection.execute(
                insert(s.request),
                [
                    {
                        "counter": first + number, "batch": row.batch, "device": row.device,
                        "execution_at": row.execution_at,
                    }
                    for number, row in enumerate(rows)
                ],
            )  # fmt: skip
            said = f"{len(rows)} under fresh counters from {first}, the first in place of {rows[0].counter}"
            audit.note(connection, now, audit.SYSTEM, "renew", subject="requests", detail=said)

    def counts(self) -> tuple[int, int]:
        """How many requests wait to be sent, and how many of those were attempted."""
        query = select(func.count(), func.count(s.request.c.attempted_at)).where(
            s.request.c.answered_at.is_(None)
        )
        with self._database.reading() as connection:
            waiting, attempted = connection.execute(query).one()
        return waiting, attempted


def last_attempted(connection: Connection) -> int:
    """The highest counter that the DCC may have, of orders and of questions; 0: none."""
    sent = (
        # Not of all that wait to get one: PostgreSQL has these at the end of the index where it begins.
        (s.question.c.counter, s.question.c.asked_at.is_not(None) & s.question.c.counter.is_not(None)),
        (s.request.c.counter, s.request.c.attempted_at.is_not(None)),
    )
    return max(
        connection.execute(select(counter).where(is_sent).order_by(counter.desc()).limit(1)).scalar() or 0
        for counter, is_sent in sent
    )


def is_wanted() -> ColumnElement[bool]:
    """Whether a request, joined with its batch, campaign and release, may be sent for the first time."""
    kind, status = s.batch.c.kind, s.campaign.c.status
    good = s.release.c.withdrawn_at.is_(None)
    goes_on = status.in_((CampaignStatus.RUNNING.value, CampaignStatus.PAUSED.value))
    return or_(
        kind.in_(tuple(it.value for it in QUIET)),
        kind.in_(_UPDATES) & (status == CampaignStatus.RUNNING.value) & good,
        # A pause lets go out what was ordered: the images lie on the Devices. An end does not. And what was
        # ordered since, to call it off, must not be overtaken by it under a fresh counter.
        (kind == Order.ACTIVATE_FIRMWARE.value) & goes_on & good & _is_latest(),
    )


def _is_latest() -> ColumnElement[bool]:
    """Whether nothing was ordered for the Device of a request since."""
    mine = select(s.device_update.c.id).where(
        s.device_update.c.batch == s.request.c.batch, s.device_update.c.device == s.request.c.device
    )
    return mine.correlate(s.request).exists()


def _wanted_batch() -> Any:
    """The batch of a request, where that is wanted."""
    return (
        select(s.batch.c.id)
        .join(s.campaign, s.campaign.c.id == s.batch.c.campaign)
        .join(s.release, s.release.c.id == s.campaign.c.release)
        .where(s.batch.c.id == s.request.c.batch, is_wanted())
        .correlate(s.request)
    )


def _of_request(request: OpenRequest) -> ColumnElement[bool]:
    here = s.device_update.c.batch == request.batch
    return here if request.device is None else here & (s.device_update.c.device == request.device)


def _close(connection: Connection, counter: int, code: str, now: Instant) -> bool:
    done = connection.execute(
        update(s.request)
        .where(s.request.c.counter == counter, s.request.c.answered_at.is_(None))
        .values(answered_at=now, response_code=code)
    )
    return done.rowcount == 1


def _say(
    connection: Connection,
    counters: Sequence[int],
    now: Instant,
    fact: Fact,
    message: str,
    cause: Cause,
    detail: str,
) -> None:
    """The same of all Devices of these requests."""
    connection.execute(
        insert(record.FRESH).from_select(
            ["device_update", "step", "fact", "at", "message", "cause", "detail"],
            select(
                s.device_update.c.id,
                s.batch.c.step,
                literal(fact.name),
                literal(int(now)),
                literal(message),
                literal(int(cause)),
                literal(detail),
            )
            .select_from(s.request)
            .join(s.batch, s.batch.c.id == s.request.c.batch)
            .join(s.device_update, s.device_update.c.batch == s.batch.c.id)
            .where(
                s.request.c.counter.in_(counters),
                s.request.c.device.is_(None) | (s.request.c.device == s.device_update.c.device),
            ),
        )
    )


def _exclude(connection: Connection, answer: Answer) -> None:
    """What was said of all is not so of these."""
    by_reason: dict[Exclusion, list[Eui64]] = {}
    for device, exclusion in answer.excluded.items():
        by_reason.setdefault(exclusion, []).append(device)
    for (cause, detail), devices in by_reason.items():
        for some in _slices(devices):
            theirs = (
                select(s.device_update.c.id)
                .join(s.request, s.request.c.batch == s.device_update.c.batch)
                .where(s.request.c.counter == answer.counter, s.device_update.c.device.in_(some))
            )
            connection.execute(
                update(record.FRESH)
                .where(record.FRESH.c.device_update.in_(theirs))
                .values(fact=Fact.REFUSED.name, cause=int(cause), detail=detail)
            )


def _slices(values: Iterable[Any]) -> Iterator[list[Any]]:
    ordered = list(values)
    for start in range(0, len(ordered), _BIND_MAX):
        yield ordered[start : start + _BIND_MAX]


def _instant(value: int | None) -> Instant | None:
    return None if value is None else Instant(value)
