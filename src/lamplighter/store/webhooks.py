"""Whom we tell of what happens, and what has been told: deliveries, one after the other for each webhook.

Nothing is written where something happens. Each webhook has two cursors, one in the audit and one in the
evidence, and *gathers* its deliveries from there: so that none is lost, and one whose receiver is away for
days holds no more rows than `PENDING_MAX`. Both are read in the order in which they were committed: entries
of the audit are numbered one after the other, and evidence is appended by one transaction at a time.

A delivery is tried until its receiver takes it, and dead after `LIFETIME`; the next one waits for that.

Whoever changes a webhook and deliveries of it changes the webhook first: so that on PostgreSQL none of two
waits for the other.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from lamplighter.campaign import Cause, Evidence, Fact, Progress
from lamplighter.campaign.state import FINAL_SHIFT, implied
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, SECOND, to_iso
from lamplighter.store import audit
from lamplighter.store import schema as s
from lamplighter.store.record import EPOCH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Row

    from lamplighter.kit import Eui64
    from lamplighter.store.database import Database, Fence

LIFETIME: Final = 3 * DAY
"""How long a delivery is tried, microseconds."""

KEPT: Final = 30 * DAY
"""How long what was delivered can be read, and asked for again."""

BACKOFF_FIRST: Final = 10 * SECOND
BACKOFF_LONGEST: Final = HOUR
"""Pauses between two attempts: each twice as long as the one before."""

PENDING_MAX: Final = 200
"""Deliveries that wait at one webhook; what comes after them is gathered when they are fewer."""

OUTCOMES_MAX: Final = 500
"""Devices in one delivery."""

_NOTHING_TO_SEE: Final = 2**62  # the cursor of a webhook that is told nothing of this
_EVIDENCE_AT_ONCE: Final = 20_000  # pieces that one gathering looks at
_ENTRIES_AT_ONCE: Final = 100
_BIND_MAX: Final = 500
_REASON_MAX: Final = 500  # characters
_DIGEST_MARKS: Final = 8  # of what is told, in its id
_SHOWN_MARKS: Final = 12  # of SHA-256 of an address


class Kind(Enum):
    """What a webhook can be told of."""

    CAMPAIGN = "campaign"
    """A campaign was created, changed, approved, started, paused, resumed, aborted, or has ended; somebody
    has called off activations of it; or a verdict has shut out Devices that wait for it."""
    WAVE = "wave"
    """A wave was opened."""
    GATE = "gate"
    """A stratum was held, or let go on."""
    DEVICE = "device"
    """Devices have come to their end in a campaign: proven, failed, lost, withdrawn, cancelled."""


KINDS: Final = {
    "create": Kind.CAMPAIGN,
    "revise": Kind.CAMPAIGN,
    "approve": Kind.CAMPAIGN,
    "vote": Kind.CAMPAIGN,
    "start": Kind.CAMPAIGN,
    "pause": Kind.CAMPAIGN,
    "resume": Kind.CAMPAIGN,
    "abort": Kind.CAMPAIGN,
    "settle": Kind.CAMPAIGN,
    "finish": Kind.CAMPAIGN,
    "open wave": Kind.WAVE,
    "hold": Kind.GATE,
    "release hold": Kind.GATE,
    "call off": Kind.CAMPAIGN,
    "shut out": Kind.CAMPAIGN,
}
"""The entries of the audit that a webhook may be told of, by what was done."""


class Status(Enum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver, and what it is told of."""

    id: int
    """In the database."""
    url: str
    """Where deliveries are posted to."""
    kinds: frozenset[Kind]
    """What it is told of."""
    campaign: int | None
    """Of this campaign alone; None: of all."""
    inside: bool
    """Whether it may be on a loopback or private address, and plain HTTP: an administrator said so."""
    secret: str
    """What deliveries are signed with; empty: it was removed."""
    created_by: str
    """Who added it."""
    created_at: Instant
    """When."""
    removed_at: Instant | None
    """Since when it is told of nothing; None: it is."""
    failures: int
    """How often in a row it has failed."""
    due_at: Instant | None
    """Not before then is it tried again; None: at once."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that a webhook is told."""

    id: int
    """In the database."""
    webhook: int
    """Whom it is for."""
    event: str
    """What the receiver knows it by: the same at each attempt."""
    kind: Kind
    """What it is about."""
    body: str
    """JSON, as it is posted."""
    since: Instant
    """When it was gathered, or asked for again."""
    status: Status
    """Where it stands."""
    attempts: int
    """How often it was tried."""
    tried_at: Instant | None
    """When last; of one that was delivered: when it was."""
    reason: str | None
    """Why the latest attempt failed; of one that is dead: why it is."""


class Webhooks:
    """The webhooks of one database, and their deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- whom

    def add(
        self,
        url: str,
        kinds: Collection[Kind],
        secret: str,
        who: str,
        now: Instant,
        *,
        campaign: int | None = None,
        inside: bool = False,
    ) -> Webhook:
        """From now on, tell this receiver. Raises `UsageError` for an unknown campaign."""
        with self._database.writing() as connection:
            if campaign is not None:
                known = select(s.campaign.c.id).where(s.campaign.c.id == campaign)
                if connection.execute(known).first() is None:
                    raise UsageError(f"there is no campaign {campaign}")
            # What is committed later has a greater number.
            seen = connection.execute(select(s.audit_head.c.entries)).scalar_one()
            evidence = connection.execute(select(func.coalesce(func.max(s.evidence.c.id), 0))).scalar_one()
            values = {
                "url": url, "kinds": " ".join(it.value for it in Kind if it in kinds), "campaign": campaign,
                "inside": inside, "secret": secret, "created_by": who, "created_at": now,
                "audit_seen": seen if set(kinds) - {Kind.DEVICE} else _NOTHING_TO_SEE,
                "evidence_seen": evidence if Kind.DEVICE in kinds else _NOTHING_TO_SEE,
            }  # fmt: skip
            row = connection.execute(insert(s.webhook).values(values).returning(s.webhook)).one()
            audit.note(connection, now, who, "add webhook", subject=f"webhook {row.id}", detail=_shown(url))
            return _webhook(row)

    def remove(self, number: int, who: str, now: Instant) -> Webhook:
        """Tell it nothing more; what waits for it is dead. Raises `UsageError` where there is none."""
        with self._database.writing() as connection:
            row = connection.execute(
                update(s.webhook)
                .where(s.webhook.c.id == number, s.webhook.c.removed_at.is_(None))
                .values(removed_at=now, secret="")
                .returning(s.webhook)
            ).first()
            if row is None:
                raise UsageError(f"there is no webhook {number}; `webhook list` shows them")
            _bury(connection, number, "the webhook was removed")
            said = _shown(row.url)
            audit.note(connection, now, who, "remove webhook", subject=f"webhook {number}", detail=said)
            return _webhook(row)

    def all(self) -> list[Webhook]:
        """All that are told of anything, the oldest first."""
        query = select(s.webhook).where(s.webhook.c.removed_at.is_(None)).order_by(s.webhook.c.id)
        with self._database.reading() as connection:
            return [_webhook(row) for row in connection.execute(query)]

    def find(self, number: int) -> Webhook:
        """One webhook; raises `UsageError` where there is none, or it was removed."""
        query = select(s.webhook).where(s.webhook.c.id == number, s.webhook.c.removed_at.is_(None))
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise UsageError(f"there is no webhook {number}; `webhook list` shows them")
        return _webhook(row)

    # --- what

    def deliveries(
        self,
        webhook: int | None = None,
        status: Status | None = None,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Delivery]:
        """Deliveries, the latest first: of one webhook, in one status, with ids below `before`; or of all."""
        query = select(s.delivery).order_by(s.delivery.c.id.desc()).limit(limit)
        if webhook is not None:
            query = query.where(s.delivery.c.webhook == webhook)
        if status is not None:
            query = query.where(s.delivery.c.status == status.value)
        if before is not None:
            query = query.where(s.delivery.c.id < before)
        with self._database.reading() as connection:
            return [_delivery(row) for row in connection.execute(query)]

    def replay(self, ids: Iterable[int], who: str, now: Instant, webhook: int | None = None) -> int:
        """Deliver these once more, in the order of their ids and before what is newer; how many.

        Those that wait already are left alone. Raises `UsageError` where one is unknown, or its webhook was
        removed, or is another one than `webhook`; then none is.
        """
        wanted = sorted(set(ids))
        again = 0
        with self._database.writing() as connection:
            known: dict[int, Row[Any]] = {}
            for start in range(0, len(wanted), _BIND_MAX):
                query = select(s.delivery.c.id, s.delivery.c.webhook, s.webhook.c.removed_at).join(
                    s.webhook, s.webhook.c.id == s.delivery.c.webhook
                )
                some = s.delivery.c.id.in_(wanted[start : start + _BIND_MAX])
                known |= {row.id: row for row in connection.execute(query.where(some))}
            for number in wanted:
                if number not in known or webhook not in {None, known[number].webhook}:
                    raise UsageError(f"there is no delivery {number}; `webhook deliveries` shows them")
                if known[number].removed_at is not None:
                    raise UsageError(f"delivery {number} is of a webhook that was removed")
            webhooks = sorted({row.webhook for row in known.values()})
            for one in webhooks:
                connection.execute(update(s.webhook).where(s.webhook.c.id == one).values(due_at=None))
            for number in wanted:
                again += connection.execute(
                    update(s.delivery)
                    .where(s.delivery.c.id == number, s.delivery.c.status != Status.PENDING.value)
                    .values(status=Status.PENDING.value, since=now)
                ).rowcount
            for one in webhooks:
                mine = [number for number in wanted if known[number].webhook == one]
                audit.note(
                    connection, now, who, "replay deliveries",
                    subject=f"webhook {one}", detail=f"{len(mine)} from {mine[0]} to {mine[-1]}",
                )  # fmt: skip
        return again

    # --- for the courier

    def gather(self, fence: Fence | None, number: int, now: Instant) -> int:
        """Make deliveries of what has happened since the last time; how many.

        Raises `LeaseLostError`, and then nothing was done.
        """
        live = (s.webhook.c.id == number, s.webhook.c.removed_at.is_(None))
        with self._database.reading() as connection:
            if not connection.execute(_NEWS, {"of": number}).scalar_one():
                return 0
            row = connection.execute(select(s.webhook).where(*live)).first()
            if row is None:
                return 0
            room = PENDING_MAX - connection.execute(_PENDING, {"of": number}).scalar_one()
            if room <= 0:
                return 0
            hook, seen = _webhook(row), (row.evidence_seen, row.audit_seen)
            made, now_seen = _news(connection, hook, *seen, min(room, _ENTRIES_AT_ONCE))
        if now_seen == seen:
            return 0
        # All is found by now: whoever else wants to write waits for a few rows, and for no look-up.
        with self._database.writing(fence) as connection:
            unchanged = (s.webhook.c.evidence_seen == seen[0], s.webhook.c.audit_seen == seen[1])
            moved = connection.execute(
                update(s.webhook)
                .where(*live, *unchanged)
                .values(evidence_seen=now_seen[0], audit_seen=now_seen[1])
            )
            if not moved.rowcount:
                return 0  # it was removed, or gathered for, since we looked
            if made:
                values = [
                    {"webhook": number, "since": now, "status": Status.PENDING.value} | it for it in made
                ]
                connection.execute(insert(s.delivery), values)
            return len(made)

    def due(self, now: Instant) -> list[Webhook]:
        """The webhooks that something waits for, and that may be tried now."""
        waits = exists().where(
            s.delivery.c.webhook == s.webhook.c.id, s.delivery.c.status == Status.PENDING.value
        )
        # A clock that was put back must not keep anything for longer than the longest pause.
        when = (
            s.webhook.c.due_at.is_(None)
            | (s.webhook.c.due_at <= now)
            | (s.webhook.c.due_at > now + BACKOFF_LONGEST)
        )
        query = select(s.webhook).where(s.webhook.c.removed_at.is_(None), when, waits)
        with self._database.reading() as connection:
            return [_webhook(row) for row in connection.execute(query.order_by(s.webhook.c.id))]

    def next(self, webhook: int) -> Delivery | None:
        """The first that waits for this webhook."""
        query = (
            select(s.delivery)
            .where(s.delivery.c.webhook == webhook, s.delivery.c.status == Status.PENDING.value)
            .order_by(s.delivery.c.id)
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else _delivery(row)

    def delivered(self, fence: Fence | None, delivery: Delivery, now: Instant) -> None:
        """Its receiver has taken it."""
        with self._database.writing(fence) as connection:
            connection.execute(
                update(s.webhook).where(s.webhook.c.id == delivery.webhook).values(failures=0, due_at=None)
            )
            _tried(connection, delivery, now, Status.DELIVERED, None)

    def failed(self, fence: Fence | None, delivery: Delivery, reason: str, now: Instant) -> None:
        """Its receiver has not; the webhook is left alone for a while, each time a longer one."""
        with self._database.writing(fence) as connection:
            failures = connection.execute(
                update(s.webhook)
                .where(s.webhook.c.id == delivery.webhook)
                .values(failures=s.webhook.c.failures + 1)
                .returning(s.webhook.c.failures)
            ).scalar_one()
            connection.execute(
                update(s.webhook)
                .where(s.webhook.c.id == delivery.webhook)
                .values(due_at=now + backoff(failures))
            )
            _tried(connection, delivery, now, Status.PENDING, reason[:_REASON_MAX])

    def expire(self, fence: Fence | None, now: Instant) -> int:
        """Let what was tried for too long be dead, and forget what was delivered long ago; how many died."""
        late = (s.delivery.c.status == Status.PENDING.value, s.delivery.c.since <= now - LIFETIME)
        old = (s.delivery.c.status == Status.DELIVERED.value, s.delivery.c.tried_at <= now - KEPT)
        with self._database.reading() as connection:
            failing = select(s.webhook.c.id).where(s.webhook.c.failures > 0)
            numbers = (
                connection.execute(
                    select(s.delivery.c.webhook).where(*late, s.delivery.c.webhook.in_(failing)).distinct()
                )
                .scalars()
                .all()
            )
            is_old = connection.execute(select(s.delivery.c.id).where(*old).limit(1)).first() is not None
        if not numbers and not is_old:
            return 0
        died = 0
        with self._database.writing(fence) as connection:
            for number in sorted(numbers):
                died += _bury(
                    connection, number, "never tried: its receiver did not take what came before it", *late
                )
            connection.execute(delete(s.delivery).where(*old))
        return died


def backoff(failures: int) -> int:
    """Microseconds to leave a webhook alone that has failed so often in a row, 1 or more."""
    return int(min(BACKOFF_FIRST << min(failures - 1, 32), BACKOFF_LONGEST))


_PENDING: Final = select(func.count()).where(
    s.delivery.c.webhook == bindparam("of"), s.delivery.c.status == Status.PENDING.value
)

_NEWS: Final = select(
    exists().where(
        s.webhook.c.id == bindparam("of"),
        (s.webhook.c.audit_seen < select(s.audit_head.c.entries).scalar_subquery())
        | (s.webhook.c.evidence_seen < select(func.max(s.evidence.c.id)).scalar_subquery()),
    )
)
"""Whether anything has happened that a webhook has not seen."""


def _tried(
    connection: Connection, delivery: Delivery, now: Instant, status: Status, reason: str | None
) -> None:
    # Only what still waits: it may have been buried, with its webhook, while it was on its way.
    connection.execute(
        update(s.delivery)
        .where(s.delivery.c.id == delivery.id, s.delivery.c.status == Status.PENDING.value)
        .values(status=status.value, attempts=s.delivery.c.attempts + 1, tried_at=now, reason=reason)
    )


def _bury(connection: Connection, webhook: int, reason: str, *which: Any) -> int:
    """What waits for a webhook is dead: for the reason of its latest failure, or this one."""
    return connection.execute(
        update(s.delivery)
        .where(s.delivery.c.webhook == webhook, s.delivery.c.status == Status.PENDING.value, *which)
        .values(status=Status.DEAD.value, reason=func.coalesce(s.delivery.c.reason, reason))
    ).rowcount


# --- what is told


def _news(
    connection: Connection, hook: Webhook, evidence_seen: int, audit_seen: int, limit: int
) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    """Deliveries of what a webhook has not seen, and up to which evidence and entry that was."""
    made: list[dict[str, Any]] = []
    if Kind.DEVICE in hook.kinds:
        made, evidence_seen = _outcomes(connection, hook, evidence_seen)
    if hook.kinds - {Kind.DEVICE}:
        entries, audit_seen = _entries(connection, hook, audit_seen, limit)
        made += entries
    return made, (evidence_seen, audit_seen)


def _entries(
    connection: Connection, hook: Webhook, seen: int, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """Deliveries of the entries of the audit after `seen`, and up to which that was."""
    query = (
        select(s.audit, s.campaign.c.name)
        .outerjoin(s.campaign, s.campaign.c.id == s.audit.c.campaign)
        .where(s.audit.c.id > seen)
        .order_by(s.audit.c.id)
        .limit(limit)
    )
    made = []
    for row in connection.execute(query):
        seen = row.id
        kind = KINDS.get(row.what)
        if row.campaign is None or kind not in hook.kinds or hook.campaign not in {None, row.campaign}:
            continue
        told = {
            "what": row.what,
            "who": row.who,
            "subject": row.subject,
            "detail": row.detail,
        }
        made.append(_made(f"audit-{row.id}", kind, Instant(row.at), row.campaign, row.name, told))
    return made, seen


def _outcomes(connection: Connection, hook: Webhook, seen: int) -> tuple[list[dict[str, Any]], int]:
    """Deliveries of the Devices that came to their end by the evidence after `seen`."""
    last = connection.execute(select(func.max(s.evidence.c.id))).scalar() or 0
    last = min(last, seen + _EVIDENCE_AT_ONCE)
    if last <= seen:
        return [], seen
    query = (
        select(s.evidence, s.device_update.c.device, s.device_update.c.campaign, s.device_update.c.progress)
        .add_columns(s.release.c.version.label("target"), s.campaign.c.name)
        .join(s.device_update, s.device_update.c.id == s.evidence.c.device_update)
        .join(s.campaign, s.campaign.c.id == s.device_update.c.campaign)
        .join(s.release, s.release.c.id == s.campaign.c.release)
        .where(s.evidence.c.id > seen, s.evidence.c.id <= last)
        .where(s.device_update.c.progress >= 1 << FINAL_SHIFT)
        .order_by(s.evidence.c.id)
    )
    if hook.campaign is not None:
        query = query.where(s.device_update.c.campaign == hook.campaign)
    ends: dict[int, Row[Any]] = {}
    for row in connection.execute(query):
        if _implies_its_end(row):
            ends.setdefault(row.device_update, row)
    for known in _told_before(connection, ends, seen):
        del ends[known]
    names: dict[int, str] = {}
    by_campaign: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in ends.values():
        names[row.campaign] = row.name
        by_campaign[row.campaign].append(row)
    made = []
    for campaign, rows in sorted(by_campaign.items()):
        for start in range(0, len(rows), OUTCOMES_MAX):
            part = rows[start : start + OUTCOMES_MAX]
            told = {"what": "outcome", "devices": [_outcome(row) for row in part]}
            event = f"outcome-{campaign}-{part[-1].id}"
            at = Instant(max(row.at for row in part))
            made.append(_made(event, Kind.DEVICE, at, campaign, names[campaign], told))
    return made, last


def _implies_its_end(row: Row[Any]) -> bool:
    """Whether this piece of evidence is what brought its update where it stands."""
    return bool(implied(row.step, _evidence(row), row.target).number == row.progress)


def _told_before(connection: Connection, ends: dict[int, Row[Any]], seen: int) -> set[int]:
    """Those of them whose end older evidence implied already: the same word came twice."""
    found = set()
    updates = sorted(ends)
    for start in range(0, len(updates), _BIND_MAX):
        query = select(s.evidence).where(
            s.evidence.c.epoch.in_(range(seen // EPOCH + 1)),
            s.evidence.c.device_update.in_(updates[start : start + _BIND_MAX]),
            s.evidence.c.id <= seen,
        )
        for row in connection.execute(query):
            end = ends[row.device_update]
            if implied(row.step, _evidence(row), end.target).number == end.progress:
                found.add(row.device_update)
    return found


def _evidence(row: Row[Any]) -> Evidence:
    return Evidence(Fact[row.fact], Instant(row.at), row.message, Cause(row.cause), row.detail, row.version)


def _outcome(row: Row[Any]) -> dict[str, Any]:
    progress = Progress(row.progress)
    device: Eui64 = row.device
    return {
        "device": str(device),
        "state": progress.state.value,
        "cause": progress.cause.name.lower(),
        "attempt": progress.attempt,
        "version": None if row.version is None else str(row.version),
        "at": to_iso(Instant(row.at)),
    }


def _made(
    event: str, kind: Kind | None, at: Instant, campaign: int, name: str, told: dict[str, Any]
) -> dict[str, Any]:
    assert kind is not None
    said = {"kind": kind.value, "at": to_iso(at), "campaign": {"id": campaign, "name": name}} | told
    # Where a copy of the database was put back, its numbers are given out again, to what nobody was told of.
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    event = f"{event}-{digest[:_DIGEST_MARKS]}"
    body = json.dumps({"id": event} | said, separators=(",", ":"))
    return {"event": event, "kind": kind.value, "body": body}


def _shown(url: str) -> str:
    """An address as the audit has it, which every viewer reads, for good: by the whole anybody could post."""
    parts = urlsplit(url)
    digest = hashlib.sha256(url.encode()).hexdigest()
    return f"{parts.scheme}://{parts.netloc}, SHA-256 {digest[:_SHOWN_MARKS]}"


# --- rows


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        row.id,
        row.url,
        frozenset(map(Kind, row.kinds.split())),
        row.campaign,
        row.inside,
        row.secret,
        row.created_by,
        Instant(row.created_at),
        None if row.removed_at is None else Instant(row.removed_at),
        row.failures,
        None if row.due_at is None else Instant(row.due_at),
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.id,
        row.webhook,
        row.event,
        Kind(row.kind),
        row.body,
        Instant(row.since),
        Status(row.status),
        row.attempts,
        None if row.tried_at is None else Instant(row.tried_at),
        row.reason,
    )
