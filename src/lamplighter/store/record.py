"""The record of each Device's update: evidence appended, and all that follows from it, in sets of rows.

What evidence says of an update is `campaign.state`'s table alone; the statements here are generated from it.
Evidence is only ever appended. `device_update.progress` is the maximum of what its evidence implies, and
`tally` counts those: both are moved in the transaction that appends.

Whoever moves updates does so alone: `fresh` waits for the transaction that is at it, so that no two that
touch the same rows in different orders wait for each other, and what is read here is what is moved. A
transaction that also changes `device_update` in another way calls `fresh` before it does.

What Devices say that they run is only written down here, in `reported`: to move a Device to another cohort
touches an index anywhere, and takes as long as all the rest. The registry takes note of it in a transaction
of its own (`Record.catch_up`), and before anybody moves Devices in another way, or orders any.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, bindparam, func, select, text

from lamplighter.campaign import Cause, Evidence, Fact, Order, Progress, Stage, fold
from lamplighter.campaign.state import (
    FINAL,
    FINAL_SHIFT,
    FLYING,
    IMPLIES,
    READY,
    STAGE_BITS,
    STAGE_SHIFT,
    STEP_BITS,
    STEP_SHIFT,
)
from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.store import schema as s
from lamplighter.store.registry import catch_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

    from lamplighter.store.database import Database, Fence

APPLY_MAX: Final = 100_000
"""Statements applied in one transaction; a message that has more is applied whole all the same."""

EPOCH: Final = 1 << 20
"""Pieces of evidence in an epoch, about. `evidence` is indexed by epoch first, so that what is appended goes
to one small part of the index, wherever the updates are; a timeline asks each epoch."""

_LOCK: Final = 0x4C61_6D70_5570_6474  # PostgreSQL's advisory lock of whoever moves updates: "LampUpdt"

_POSTGRESQL: Final = (
    "jit = off",  # compiling takes longer than these statements
    "work_mem = '64MB'",  # as much as 100,000 pieces of evidence sort in
    "random_page_cost = 1.1",  # a few updates are looked up by their keys; to scan them all takes longer
)

FRESH: Final = Table(
    "fresh",
    MetaData(),
    Column("device_update", BigInteger),
    Column("step", Integer),
    Column("fact", String),
    Column("at", BigInteger),
    Column("message", String),
    Column("cause", Integer),
    Column("detail", String),
    Column("version", BigInteger),
    Column("source", BigInteger),
)
"""Evidence about to be appended: a temporary table of one connection, emptied by each `fresh`."""

COLUMNS: Final = tuple(column.name for column in FRESH.columns)
"""What whoever loads `FRESH` fills in: as in `evidence`; facts by name, versions as whole numbers."""

_NAMES: Final = ", ".join(COLUMNS)

_UNKNOWN, _OTHER_IMAGE, _NO_REQUEST, _OTHER_REQUEST = 1, 2, 3, 4
_REASONS: Final = {
    _UNKNOWN: "which is not being updated",
    _OTHER_IMAGE: "of {image}, not of the image that was sent",
    _NO_REQUEST: "about request {request}, which is none of ours",
    _OTHER_REQUEST: "about request {request}, which was not of this update",
}
"""Why a statement is attributed to no update."""

_OF_TODAY: Final = DAY
"""How old the word of a Device may be that is in no campaign, and still tell what it runs."""

# --- the one table of `campaign.state`, as SQL


def _implied(step: str, fact: str, cause: str, version: str, target: str) -> str:
    """`state.implied` as an expression: the number of the progress that one piece of evidence implies."""
    by_fact = " ".join(f"WHEN '{it.name}' THEN {_number(stage)}" for it, stage in IMPLIES.items())
    return (
        f"({step}) * {1 << STEP_SHIFT} + CASE"
        f" WHEN {version} = {target} THEN {_number(Stage.PROVEN)}"
        f" WHEN {version} IS NOT NULL AND {fact} = '{Fact.ACTIVATED.name}'"
        f" THEN {_number(Stage.ACTIVATION_FAILED) + Cause.OTHER_VERSION}"
        f" ELSE {cause} + CASE {fact} {by_fact} END END"
    )


def _number(stage: Stage) -> int:
    """A progress without step and cause."""
    return Progress.of(0, stage).number


def _stage(progress: str) -> str:
    return f"(({progress}) >> {STAGE_SHIFT} & {(1 << STAGE_BITS) - 1})"


def _step(progress: str) -> str:
    return f"(({progress}) >> {STEP_SHIFT} & {(1 << STEP_BITS) - 1})"


def _within(progress: str, stages: Iterable[Stage]) -> str:
    return f"({_stage(progress)} IN ({', '.join(str(int(stage)) for stage in sorted(stages))}))"


# --- statements

_TEMPORARY: Final = {
    "fresh": (
        "device_update BIGINT, step INTEGER, fact TEXT, at BIGINT, message TEXT, cause INTEGER, detail TEXT,"
        " version BIGINT, source BIGINT"
    ),
    # The same with what is known of the update, in the order of the updates: each is looked up once.
    "placed": (
        "device_update BIGINT, step INTEGER, fact TEXT, at BIGINT, message TEXT, cause INTEGER, detail TEXT,"
        " version BIGINT, source BIGINT,"
        " implied INTEGER, before INTEGER, flying BOOLEAN, since BIGINT, cell INTEGER, place {place},"
        " device BIGINT, target BIGINT, statement BIGINT, request BIGINT, about_version BIGINT"
    ),
    # Each update that moves, where its row lies, and the columns that change with it: see `_MOVE`.
    "moved": (
        "device_update BIGINT, place {place}, cell INTEGER, before INTEGER, after INTEGER, columns INTEGER"
    ),
}

# A row is found once, and then written where it lies: nobody else moves updates meanwhile.
_ROW: Final = {True: "rowid", False: "ctid"}  # on SQLite; on PostgreSQL
_ROW_TYPE: Final = {True: "BIGINT", False: "TID"}

_OF_UPDATE: Final = f"""
{_implied("{step}", "{fact}", "f.cause", "f.version", "r.version")},
u.progress, u.busy AND u.ready_at IS NULL, u.since, u.cell, {{place}}, {{device}}, r.version
"""

_PLACE: Final = f"""
INSERT INTO placed
SELECT u.id, f.step, f.fact, f.at, f.message, f.cause, f.detail, f.version, f.source,
       {_OF_UPDATE.format(step="f.step", fact="f.fact", place="u.{row}", device="u.device")}, NULL, NULL, NULL
FROM fresh f
JOIN device_update u ON u.id = f.device_update
JOIN campaign c ON c.id = u.campaign
JOIN release r ON r.id = c.release
ORDER BY u.id
"""  # noqa: S608 # our own tables' words

_APPEND: Final = f"INSERT INTO evidence (epoch, {_NAMES}) SELECT :epoch, {_NAMES} FROM placed"  # noqa: S608

# What an update in flight becomes touches no index: 0, still in flight; 1, at its end. What is not is 2.
_MOVE: Final = f"""
INSERT INTO moved
SELECT device_update, place, cell, before, after,
       CASE WHEN NOT flying OR {_within("after", READY)} THEN 2
            WHEN {_within("after", FLYING)} THEN 0 ELSE 1 END
FROM (
    SELECT device_update, place, cell, before, flying, MAX(implied) AS after
    FROM placed GROUP BY device_update, place, cell, before, flying
) AS n
WHERE after > before
"""  # noqa: S608

_READY_AT: Final = f"CASE WHEN {_within('m.after', READY)} THEN CAST(:now AS BIGINT) END"
_CHANGES: Final = (
    "",
    ", busy = FALSE",
    f", busy = {_within('m.after', FLYING)}, ready_at = {_READY_AT}",
)
_UPDATE: Final = """
UPDATE device_update SET progress = m.after, since = :now{changes}
FROM moved m WHERE device_update.{row} = m.place AND m.columns = {columns}
"""

_MOVES: Final = """
SELECT cell, before, after, columns, COUNT(*) AS devices FROM moved GROUP BY cell, before, after, columns
"""

# What Devices said; but once its update is proven, an older word that comes late says nothing of today.
_REPORT: Final = f"""
INSERT INTO reported (device, version, at)
SELECT device, version, at FROM placed
WHERE version IS NOT NULL
  AND (version = target OR at > since OR before >> {FINAL_SHIFT} < {FINAL[Stage.PROVEN]})
"""  # noqa: S608


_REPORT_UNKNOWN: Final = f"""
INSERT INTO reported (device, version, at)
SELECT device, version, at FROM placed
WHERE device_update = -{_UNKNOWN} AND version IS NOT NULL AND at > :since
"""  # noqa: S608


def fresh(database: Database, connection: Connection) -> None:
    """Begin to move updates: wait until nobody else does, and make `FRESH` ready, empty.

    Fill it by `database.load(connection, FRESH, COLUMNS, rows)` or a statement, then call `append`.
    """
    if not database.is_sqlite:  # there BEGIN IMMEDIATE has waited
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        for setting in _POSTGRESQL:
            connection.exec_driver_sql(f"SET LOCAL {setting}")
    at_commit = "" if database.is_sqlite else " ON COMMIT DELETE ROWS"
    for name, template in _TEMPORARY.items():
        columns = template.format(place=_ROW_TYPE[database.is_sqlite])
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns}){at_commit}")
    _empty(connection)


def append(database: Database, connection: Connection, now: Instant) -> int:
    """Append what is in `FRESH`, and move the updates and tallies that it concerns.

    The table is empty afterwards. Returns how many pieces of evidence were appended. Raises `UsageError` if
    one is of an update that does not exist; then the transaction must not commit.
    """
    placed = connection.execute(text(_PLACE.format(row=_ROW[database.is_sqlite]))).rowcount
    pieces: int = connection.execute(text("SELECT COUNT(*) FROM fresh")).scalar_one()
    if placed != pieces:
        raise UsageError(f"{pieces - placed} of {pieces} pieces of evidence are of no update that exists")
    _settle(database, connection, now)
    _empty(connection)
    return pieces


def _settle(database: Database, connection: Connection, now: Instant) -> None:
    """Append what is in `placed`, and move all that it moves."""
    epoch = connection.execute(text(f"SELECT COALESCE(MAX(id), 0) / {EPOCH} FROM evidence")).scalar_one()  # noqa: S608
    connection.execute(text(_APPEND), {"epoch": epoch})
    connection.execute(text(_MOVE))
    changes = _count(database, connection)
    connection.execute(text(_REPORT))
    for columns, updates in sorted(changes.items()):
        row = _ROW[database.is_sqlite]
        statement = _UPDATE.format(changes=_CHANGES[columns], columns=columns, row=row)
        moved = connection.execute(text(statement), {"now": now}).rowcount
        if moved != updates:
            raise RuntimeError(f"{moved} of {updates} updates moved: somebody else has moved some")


def _empty(connection: Connection) -> None:
    for name in _TEMPORARY:
        connection.exec_driver_sql(f"DELETE FROM {name}")  # noqa: S608


def append_items(
    database: Database,
    connection: Connection,
    items: Iterable[tuple[int, int, Evidence, int | None]],
    now: Instant,
) -> int:
    """Append pieces of evidence, each with its update (`device_update.id`), step and message (`inbox.id`).

    Returns how many; raises `UsageError` as `append` does.
    """
    fresh(database, connection)
    rows = ((update, step, *_row(item), source) for update, step, item, source in items)
    database.load(connection, FRESH, COLUMNS, rows)
    return append(database, connection, now)


def _row(item: Evidence) -> tuple[Any, ...]:
    version = None if item.version is None else item.version.number
    return (item.fact.name, item.at, item.message, int(item.cause), item.detail, version)


def _count(database: Database, connection: Connection) -> Counter[int]:
    """Move the tallies as the updates are about to move; how many change which columns, see `_MOVE`."""
    moves: Counter[tuple[int, int, bool]] = Counter()
    changes: Counter[int] = Counter()
    for cell, before, after, columns, devices in connection.execute(text(_MOVES)):
        changes[columns] += devices
        moves[cell, *_counted(Progress(after))] += devices
        if before:  # nothing was ordered until now: it was not counted
            moves[cell, *_counted(Progress(before))] -= devices
    rows = [
        {"of_cell": cell, "of_stage": stage, "of_again": again, "by": by}
        for (cell, stage, again), by in sorted(moves.items())
        if by
    ]
    if rows:
        _add(database, connection, rows)
    return changes


def _add(database: Database, connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Add to tallies; those that are not there yet begin at 0."""
    place = (
        s.tally.c.cell == bindparam("of_cell"),
        s.tally.c.stage == bindparam("of_stage"),
        s.tally.c.again == bindparam("of_again"),
    )
    new = database.insert(s.tally).values(
        cell=bindparam("of_cell"), stage=bindparam("of_stage"), again=bindparam("of_again"), devices=0
    )
    connection.execute(new.on_conflict_do_nothing(), rows)
    connection.execute(
        s.tally.update().where(*place).values(devices=s.tally.c.devices + bindparam("by")), rows
    )


def _counted(progress: Progress) -> tuple[int, bool]:
    """Under what an update is counted: its stage, and whether an attempt has failed before."""
    return int(progress.stage), progress.attempt > 1


# --- the applier

_ALL: Final = 1 << 62  # a LIMIT that limits nothing: it keeps SQLite from forgetting the order
_RECOUNT_ROWS: Final = 10_000  # in memory at a time

_LAST: Final = select(s.statement.c.inbox).order_by(s.statement.c.inbox)

# What a Device says to the order to call its activation off: only before the time of that activation is it
# known that it has not activated.
_FACT: Final = (
    f"CASE WHEN f.fact = '{Fact.ACTIVATION_SCHEDULED.name}' AND qb.kind = '{Order.CALL_OFF_ACTIVATION.value}'"
    f" AND f.at < q.execution_at THEN '{Fact.CALLED_OFF.name}' ELSE f.fact END"
)

_OURS: Final = "qb.campaign = u.campaign AND (q.device IS NULL OR q.device = f.device)"
_NOW: Final = _step("u.progress")
_STEP: Final = (
    f"CASE WHEN {_OURS} THEN qb.step WHEN f.at >= b.created_at OR {_NOW} = 0 THEN {_NOW} ELSE {_NOW} - 1 END"
)

# A version from the Device that is the release's counts whatever else the message names.
_ATTRIBUTE: Final = f"""
{{taken}}
INSERT INTO placed
SELECT CASE WHEN u.id IS NULL THEN -{_UNKNOWN}
            WHEN f.version = r.version THEN u.id
            WHEN f.request IS NOT NULL AND q.counter IS NULL THEN -{_NO_REQUEST}
            WHEN f.request IS NOT NULL AND NOT ({_OURS}) THEN -{_OTHER_REQUEST}
            WHEN f.about_version <> r.version OR f.about_hash <> r.hash THEN -{_OTHER_IMAGE}
            ELSE u.id END,
       {_STEP}, {_FACT}, f.at, f.message, f.cause, f.detail, f.version, f.inbox,
       {_OF_UPDATE.format(step=_STEP, fact=_FACT, place="u.{row}", device="f.device")},
       f.id, f.request, f.about_version
{{waiting}}
LEFT JOIN batch b ON b.id = u.batch
LEFT JOIN campaign c ON c.id = u.campaign
LEFT JOIN release r ON r.id = c.release
LEFT JOIN request q ON q.counter = f.request
LEFT JOIN batch qb ON qb.id = q.batch
{{order}}
"""

# Each statement f with its Device's latest update u. On SQLite first the key alone, from the index, and then
# the rows in the order of their keys; PostgreSQL has to visit the row in any case, to know that it is alive.
_WAITING_SQLITE: Final = f"""
FROM (
    SELECT st.id, (SELECT MAX(d.id) FROM device_update d WHERE d.device = st.device) AS newest
    FROM (SELECT id, device FROM statement WHERE inbox <= :last ORDER BY device LIMIT {_ALL}) AS st
    ORDER BY newest LIMIT {_ALL}
) a
JOIN statement f ON f.id = a.id
LEFT JOIN device_update u ON u.id = a.newest
"""  # noqa: S608
_TAKE: Final = "DELETE FROM statement WHERE inbox <= :last"
_TAKEN_POSTGRESQL: Final = f"WITH taken AS ({_TAKE} RETURNING *)"
_WAITING_POSTGRESQL: Final = """
FROM (SELECT * FROM taken ORDER BY device) f
LEFT JOIN LATERAL (
    SELECT d.*, d.ctid FROM device_update d WHERE d.device = f.device ORDER BY d.id DESC LIMIT 1
) u ON TRUE
"""

_ATTRIBUTED: Final = {
    True: _ATTRIBUTE.format(taken="", waiting=_WAITING_SQLITE, order="", row=_ROW[True]),
    False: _ATTRIBUTE.format(
        taken=_TAKEN_POSTGRESQL, waiting=_WAITING_POSTGRESQL, order="ORDER BY u.id", row=_ROW[False]
    ),
}

_LEFT_OVER: Final = text("""
SELECT -device_update AS why, source, device, fact, message, request, about_version
FROM placed WHERE device_update < 0 ORDER BY source, statement
""").columns(
    why=Integer,
    source=BigInteger,
    device=s.EuiColumn,
    fact=String,
    message=String,
    request=BigInteger,
    about_version=s.VersionColumn,
)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One piece of evidence of one Device, with the message that it came from."""

    evidence: Evidence
    """What is known."""
    step: int
    """The step that it belongs to: attempt * 16 + sub-step."""
    campaign: str
    """Name of the campaign."""
    octets: bytes | None
    """The message; None: it was our own doing."""
    source: int | None = None
    """The message's number in the inbox."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something derived that is not what the evidence says: somebody has written by hand."""

    what: str
    """Which: an update's progress, a tally."""
    kept: str
    """What the database holds."""
    counted: str
    """What follows from the evidence."""


class Record:
    """The evidence of all updates."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(self, fence: Fence | None, now: Instant, limit: int = APPLY_MAX) -> int:
        """Turn waiting statements into evidence; what belongs to no update becomes a dead letter.

        Whole messages, oldest first, until there are at least `limit` statements (1 or more). A message of
        many Devices is applied to those that it can be, and is a dead letter for the others. Returns how many
        statements were taken away; 0: none waits. Raises `LeaseLostError`, and then nothing was done.
        """
        with self._database.writing(fence) as connection:
            last = connection.execute(_LAST.limit(1).offset(limit - 1)).scalar()
            if last is None:
                last = connection.execute(
                    _LAST.order_by(None).order_by(s.statement.c.inbox.desc()).limit(1)
                ).scalar()
            if last is None:
                return 0
            fresh(self._database, connection)
            attributed = text(_ATTRIBUTED[self._database.is_sqlite])
            taken = connection.execute(attributed, {"last": last}).rowcount
            if self._database.is_sqlite:  # PostgreSQL has taken them away by the same statement
                connection.execute(text(_TAKE), {"last": last})
            left_over = connection.execute(_LEFT_OVER).all()
            if left_over:
                self._bury(connection, left_over, now)
            _settle(self._database, connection, now)
            _empty(connection)
            return taken

    def catch_up(self, fence: Fence | None) -> int:
        """Let the registry take note of the versions that Devices have reported.

        Returns how many reports were taken away; 0: none waits. Raises `LeaseLostError`, and then nothing was
        done.
        """
        with self._database.reading() as connection:
            if connection.execute(select(s.reported).limit(1)).first() is None:
                return 0
        with self._database.writing(fence) as connection:
            return catch_up(self._database, connection)

    def _bury(self, connection: Connection, left_over: Sequence[Row[Any]], now: Instant) -> None:
        """Note why messages cannot be applied; and all the same, what Devices in them say that they run."""
        letters: dict[int, list[str]] = {}
        for row in left_over:
            if row.why == _UNKNOWN and row.fact == Fact.LEFT.name:
                continue  # the DCC tells of all that leave, and most of them are in no campaign
            image = "another image" if row.about_version is None else f"version {row.about_version}"
            reason = _REASONS[row.why].format(image=image, request=row.request)
            letters.setdefault(row.source, []).append(f"{row.message} for {row.device}, {reason}")
        # Whoever updates a Device, it says here what it runs; but a letter of long ago, read again, does not.
        connection.execute(text(_REPORT_UNKNOWN), {"since": now - _OF_TODAY})
        connection.execute(text("DELETE FROM placed WHERE device_update < 0"))
        if not letters:
            return
        new = self._database.insert(s.dead_letter)
        connection.execute(
            new.on_conflict_do_update(
                index_elements=["inbox"], set_={"since": new.excluded.since, "reason": new.excluded.reason}
            ),
            [
                {"inbox": inbox, "since": now, "reason": _summed_up(reasons)}
                for inbox, reasons in letters.items()
            ],
        )

    def timeline(self, device: Eui64) -> list[TimelineEntry]:
        """All evidence of a Device's updates, by time. A message that was applied twice is told once."""
        query = (
            select(s.evidence, s.campaign.c.name, s.inbox.c.octets)
            .join(s.device_update, s.device_update.c.id == s.evidence.c.device_update)
            .join(s.campaign, s.campaign.c.id == s.device_update.c.campaign)
            .outerjoin(s.inbox, s.inbox.c.id == s.evidence.c.source)
            .where(
                s.device_update.c.device == device,
                s.evidence.c.epoch.in_(bindparam("epochs", expanding=True)),
            )
            .order_by(s.evidence.c.at, s.evidence.c.id)
        )
        with self._database.reading() as connection:
            last = connection.execute(select(func.max(s.evidence.c.id))).scalar()
            epochs = range((last or 0) // EPOCH + 1)
            entries = [
                TimelineEntry(_evidence(row), row.step, row.name, row.octets, row.source)
                for row in connection.execute(query, {"epochs": list(epochs)})
            ]
        told: set[TimelineEntry] = set()
        return [
            it
            for it in entries
            if it.octets is None or not (it in told or told.add(it))  # type: ignore[func-returns-value] # adds on the way
        ]

    def recount(self, campaign: int) -> list[Difference]:
        """Fold all evidence of a campaign anew, and say where what is derived from it differs."""
        u, e = s.device_update.c, s.evidence.c
        target_of = (
            select(s.release.c.version)
            .join(s.campaign, s.campaign.c.release == s.release.c.id)
            .where(s.campaign.c.id == campaign)
        )
        pieces = (
            select(u.id, u.device, u.cell, u.progress, u.ready_at, u.busy)
            .add_columns(e.step, e.fact, e.at, e.message, e.cause, e.detail, e.version)
            .outerjoin(s.evidence, e.device_update == u.id)
            .where(u.campaign == campaign)
            .order_by(u.id)
            .execution_options(yield_per=_RECOUNT_ROWS)
        )
        tallies = (
            select(s.tally)
            .join(s.cell, s.cell.c.id == s.tally.c.cell)
            .join(s.stratum, s.stratum.c.id == s.cell.c.stratum)
            .where(s.stratum.c.campaign == campaign, s.tally.c.devices != 0)
        )
        differences: list[Difference] = []
        counted: Counter[tuple[int, int, bool]] = Counter()
        with self._database.reading() as connection:
            target = connection.execute(target_of).scalar_one()
            for _, rows in groupby(connection.execute(pieces), lambda row: row.id):
                first = next(rows)
                evidence = [(row.step, _evidence(row)) for row in (first, *rows) if row.fact is not None]
                progress = fold(evidence, target)
                if evidence:
                    counted[first.cell, *_counted(progress)] += 1
                kept = _told(Progress(first.progress), busy=first.busy, ready=first.ready_at is not None)
                stage = progress.stage
                # Looking at a Device may put off when it is ready, and say that it waits for nothing.
                ready = first.ready_at is not None and stage in READY
                # Where nothing is known yet, nothing follows.
                busy = stage in FLYING if evidence else first.busy
                wanted = _told(progress, busy=busy, ready=ready)
                if kept != wanted:
                    differences.append(Difference(f"update of {first.device}", kept, wanted))
            kept_tallies = {
                (row.cell, row.stage, row.again): row.devices for row in connection.execute(tallies)
            }
        for place in sorted(counted.keys() | kept_tallies.keys()):
            cell, code, again = place
            if counted[place] != kept_tallies.get(place, 0):
                what = f"tally of cell {cell}, {Stage(code).name}{' again' if again else ''}"
                differences.append(Difference(what, str(kept_tallies.get(place, 0)), str(counted[place])))
        return differences


def _told(progress: Progress, *, busy: bool, ready: bool) -> str:
    """An update's derived values, for a person."""
    where = f"step {progress.step} {progress.stage.name} ({progress.cause.name}), number {progress.number}"
    return f"{where}{', busy' if busy else ''}{', ready' if ready else ''}"


def _summed_up(reasons: Sequence[str]) -> str:
    """The first reason, and how many Devices more the message is about in vain."""
    return reasons[0] if len(reasons) == 1 else f"{reasons[0]}; and {len(reasons) - 1} more like it"


def _evidence(row: Any) -> Evidence:
    return Evidence(Fact[row.fact], Instant(row.at), row.message, Cause(row.cause), row.detail, row.version)
