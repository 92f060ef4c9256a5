"""What updates have come to, and when, as columns: one pass over the updates, one over their evidence.

What the numbers mean is `planning.metrics`'s business. Here is the reading: an update is one row with its
places, where it stands, and the first time that each milestone is testified, by the clock of whoever
testifies. Rows come as whole numbers in arrays, a million in seconds; names stand beside, once each.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from sqlalchemy import bindparam, func, select

from lamplighter.campaign import Fact
from lamplighter.kit import FirmwareVersion, Instant, UsageError
from lamplighter.store import schema as s
from lamplighter.store.record import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt
    from sqlalchemy import Connection

    from lamplighter.store.database import Database

    Numbers = npt.NDArray[np.int64]

NEVER: Final = np.iinfo(np.int64).max
"""The time of what has not happened."""

ORDERED, SUBMITTED, AT_HUB, ON_DEVICE, ACTIVATED, PROVEN, ENDED, LEFT = range(8)
"""Milestones, the columns of `Updates.first`; who leaves has ended, then or before."""

MILESTONES: Final = {
    Fact.ORDERED: ORDERED,
    Fact.SUBMITTED: SUBMITTED,
    Fact.AT_HUB: AT_HUB,
    Fact.ON_DEVICE: ON_DEVICE,
    Fact.IMAGE_VERIFIED: ON_DEVICE,
    Fact.IMAGE_REJECTED: ON_DEVICE,
    Fact.ACTIVATION_SCHEDULED: ON_DEVICE,
    Fact.ACTIVATED: ACTIVATED,
    Fact.GIVEN_UP: ENDED,
    Fact.LOST: ENDED,
    Fact.CANCELLED: ENDED,
    Fact.LEFT: LEFT,
}
"""What each fact testifies; a version that is the release's testifies PROVEN, whatever the fact. An ACTIVATED
with another version testifies nothing."""

_ROWS_AT_ONCE: Final = 20_000  # more fall out of the processor's cache before they are arrays
_PIECES: Final = 25
_DENSE: Final = 4  # numbers by update, up to which one is looked up in an array
_FULL_SCAN: Final = 0.05  # of all updates: above this share, reading everything is quicker than looking up
_BIND_MAX: Final = 500
_UNKNOWN: Final = -1


class Campaign(NamedTuple):
    """Whose updates they are."""

    id: int
    """In the database."""
    name: str
    """Unique."""
    version: FirmwareVersion
    """The release's."""
    started_at: Instant | None
    """When the first order could be made."""
    exposed: int
    """Devices that may have the release, as counted when it started or they came up."""
    release: str = ""
    """The release's name; empty: an evidence pack of before this was noted."""
    security: str | None = None
    """What the release cures for security, as it is marked now; None: it is no security release."""


class Place(NamedTuple):
    """What updates have in common."""

    campaign: str
    """Name of the campaign."""
    stratum: str
    """Name of the stratum."""
    wave: int
    """From 0."""
    region: str
    """CSP region; empty: unknown."""
    hub_model: str
    """Model of the Communications Hub; empty: unknown."""
    type: str
    """Device type; empty: the registry knows the Device no more."""
    manufacturer: int
    """Zigbee manufacturer code, or -1."""
    model: int
    """Model identifier, or -1."""
    hardware: int
    """Hardware version, or -1."""


@dataclass(frozen=True, slots=True)
class Updates:
    """Updates as columns, by id."""

    campaigns: tuple[Campaign, ...]
    """Those that were asked for, by id."""
    places: tuple[Place, ...]
    """Each that occurs."""
    id: Numbers
    """`device_update.id`, rising."""
    device: Numbers
    """EUI-64s as the database holds them: less 2**63."""
    place: Numbers
    """Index into `places`."""
    progress: Numbers
    """`Progress.number`: where it stands."""
    first: Numbers
    """[update, milestone]: microseconds since 1970 of the first testimony, or NEVER."""

    def __len__(self) -> int:
        return len(self.id)

    def where(self, mask: npt.NDArray[np.bool_]) -> Updates:
        """Those for which the mask is true."""
        return Updates(
            self.campaigns,
            self.places,
            self.id[mask],
            self.device[mask],
            self.place[mask],
            self.progress[mask],
            self.first[mask],
        )


class Metrics:
    """Reads updates of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def updates(
        self,
        campaigns: Sequence[int] | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> Updates:
        """All updates of some campaigns (None: of all) whose first order was made in [start, end).

        Raises `UsageError` where there is no such campaign.
        """
        with self._database.reading() as connection:
            known = _campaigns(connection)
            wanted = sorted(known) if campaigns is None else sorted(set(campaigns))
            if missing := [it for it in wanted if it not in known]:
                raise UsageError(f"there is no campaign {missing[0]}")
            if campaigns is None:
                wanted = _active(connection, wanted, start, end)
            found = self._read(connection, [known[it] for it in wanted])
        ordered = found.first[:, ORDERED]
        mask = ordered < NEVER
        if start is not None:
            mask &= ordered >= start
        if end is not None:
            mask &= ordered < end
        return found if mask.all() else found.where(mask)

    def count(
        self, campaigns: Sequence[int] | None = None, start: Instant | None = None, end: Instant | None = None
    ) -> int:
        """How many updates there are at most for `updates` to read, from the tallies."""
        query = (
            select(func.coalesce(func.sum(s.tally.c.devices), 0))
            .join(s.cell, s.cell.c.id == s.tally.c.cell)
            .join(s.stratum, s.stratum.c.id == s.cell.c.stratum)
        )
        with self._database.reading() as connection:
            if campaigns is None:
                campaigns = _active(connection, list(_campaigns(connection)), start, end)
            return int(connection.execute(query.where(s.stratum.c.campaign.in_(campaigns))).scalar_one())

    def _read(self, connection: Connection, campaigns: Sequence[Campaign]) -> Updates:
        numbers = [it.id for it in campaigns]
        pieces = [
            self._rows(connection, _UPDATES.format(campaigns=", ".join(map(str, chunk))), 6)
            for chunk in _chunks(set(numbers))
        ]
        rows = np.concatenate([np.zeros((0, 6), np.int64), *(it for piece in pieces for it in piece)])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        ids, devices, owners, cells, cohorts, progress = np.ascontiguousarray(rows.T)
        del rows, pieces
        places, place = _places(connection, campaigns, owners, cells, cohorts)
        first = np.full((len(ids), LEFT + 1), NEVER)
        if len(ids):
            index_of = _index(ids)
            targets = sorted({it.version.number for it in campaigns})
            of_campaign = np.zeros(max(numbers) + 1, np.int64)
            for it in campaigns:
                of_campaign[it.id] = targets.index(it.version.number)
            target = of_campaign[owners]
            for keys, at in self._evidence(connection, ids, targets):
                update, said = np.divmod(keys, len(targets) + LEFT + 1)
                index = index_of(update)
                # Of another campaign; or a version that is not its own release's.
                counts = index >= 0
                version = said - LEFT - 1
                counts &= (version < 0) | (version == target[index])
                milestone = np.where(version >= 0, PROVEN, said)
                np.minimum.at(first, (index[counts], milestone[counts]), at[counts])
        first[:, ENDED] = first[:, [ENDED, LEFT]].min(axis=1)
        return Updates(tuple(campaigns), places, ids, devices, place, progress, first)

    def _evidence(
        self, connection: Connection, ids: Numbers, targets: Sequence[int]
    ) -> Iterator[tuple[Numbers, Numbers]]:
        """Who says what, packed as update * kinds + kind, and when.

        The kinds are the milestones, and then the targets: versions that Devices said they run.
        """
        low, high = int(ids[0]), int(ids[-1])
        last = connection.execute(select(func.max(s.evidence.c.id))).scalar() or 0
        newest = connection.execute(select(func.max(s.device_update.c.id))).scalar_one()
        which = [f"device_update BETWEEN {low} AND {high}"]
        if self._database.is_sqlite:
            if high - low + 1 > _FULL_SCAN * newest:
                which = [f"+{which[0]}"]  # the plus keeps it from the index
            else:
                which = [f"epoch = {epoch} AND {which[0]}" for epoch in range(last // EPOCH + 1)]
        versions = " ".join(
            f"WHEN version = {version} THEN {LEFT + 1 + index}" for index, version in enumerate(targets)
        )
        kind = f"CASE {versions} {_MILESTONE} ELSE -1 END"
        wanted = f"fact IN ({_FACTS}) OR version IN ({', '.join(map(str, targets))})"
        for where in which:
            query = _EVIDENCE.format(kinds=len(targets) + LEFT + 1, kind=kind, which=where, wanted=wanted)
            for rows in self._rows(connection, query, 2):
                yield rows[:, 0], rows[:, 1]

    def _rows(self, connection: Connection, query: str, width: int) -> Iterator[Numbers]:
        if self._database.is_sqlite:
            return _fetched(connection, query, width)
        return self._copied(connection, query)

    def _copied(self, connection: Connection, query: str) -> Iterator[Numbers]:
        """Rows of whole numbers, none NULL, from PostgreSQL's binary COPY: each has the same length."""
        raw = connection.connection.driver_connection
        assert raw is not None
        with raw.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
            kept = bytearray()
            skip = _COPY_HEAD
            for data in copy:
                kept += data
                if skip:
                    if len(kept) < skip:
                        continue
                    del kept[:skip]
                    skip = 0
                if len(kept) >= _COPY_OCTETS:
                    yield _parsed(kept)
            if len(kept) > len(_COPY_END):
                yield _parsed(kept)
            assert kept == _COPY_END


_COPY_HEAD: Final = 19  # octets: signature, flags, length of the extension, of which there is none
_COPY_END: Final = b"\xff\xff"
_COPY_OCTETS: Final = 1 << 24


def _parsed(kept: bytearray) -> Numbers:
    """The whole rows at the beginning of `kept`, which loses them."""
    fields = int.from_bytes(kept[:2], "big")
    row = np.dtype([("fields", ">i2"), ("columns", [("octets", ">i4"), ("value", ">i8")], (fields,))])
    count = len(kept) // row.itemsize
    rows = np.frombuffer(bytes(kept[: count * row.itemsize]), row)
    del kept[: count * row.itemsize]
    return np.ascontiguousarray(rows["columns"]["value"].astype(np.int64))


def _fetched(connection: Connection, query: str, width: int) -> Iterator[Numbers]:
    """Rows of whole numbers from SQLite, some at a time."""
    raw = connection.connection.driver_connection
    assert raw is not None
    cursor = raw.cursor()
    try:
        cursor.execute(query)
        while True:
            pieces: list[Numbers] = []
            while len(pieces) < _PIECES and (rows := cursor.fetchmany(_ROWS_AT_ONCE)):
                flat = np.fromiter(chain.from_iterable(rows), np.int64, width * len(rows))
                pieces.append(flat.reshape(-1, width))
            if not pieces:
                return
            yield np.concatenate(pieces)
    finally:
        cursor.close()


def _index(ids: Numbers) -> Callable[[Numbers], Numbers]:
    """Where an id stands in `ids`, which rise; -1: nowhere. The ids asked for lie between first and last."""
    low, span = int(ids[0]), int(ids[-1] - ids[0]) + 1
    if span <= _DENSE * len(ids):
        table = np.full(span, -1, np.int64)
        table[ids - low] = np.arange(len(ids))
        return lambda wanted: table[wanted - low]

    def search(wanted: Numbers) -> Numbers:
        found = np.searchsorted(ids, wanted)
        found[ids[found] != wanted] = -1
        return found

    return search


# --- names


def _campaigns(connection: Connection) -> dict[int, Campaign]:
    exposed = (
        select(s.pool.c.campaign, func.sum(s.pool.c.devices))
        .where(s.pool.c.verdict == "ELIGIBLE")
        .group_by(s.pool.c.campaign)
    )
    devices: dict[int, Any] = dict(connection.execute(exposed).all())
    query = (
        select(
            s.campaign.c.id,
            s.campaign.c.name,
            s.campaign.c.started_at,
            s.release.c.version,
            s.release.c.name.label("release"),
            s.release.c.security,
        )
        .join(s.release, s.release.c.id == s.campaign.c.release)
        .order_by(s.campaign.c.id)
    )
    return {
        row.id: Campaign(
            row.id,
            row.name,
            row.version,
            None if row.started_at is None else Instant(row.started_at),
            int(devices.get(row.id, 0)),
            row.release,
            row.security,
        )
        for row in connection.execute(query)
    }


def _active(
    connection: Connection, campaigns: Sequence[int], start: Instant | None, end: Instant | None
) -> list[int]:
    """Those that ordered anything in [start, end)."""
    query = select(s.batch.c.campaign).distinct()
    if start is not None:
        query = query.where(s.batch.c.created_at >= start)
    if end is not None:
        query = query.where(s.batch.c.created_at < end)
    found = set(connection.execute(query).scalars())
    return [it for it in campaigns if it in found]


def _places(
    connection: Connection, campaigns: Sequence[Campaign], owners: Numbers, cells: Numbers, cohorts: Numbers
) -> tuple[tuple[Place, ...], Numbers]:
    """The places that occur, and which of them each update has."""
    if not len(owners):
        return (), np.zeros(0, np.int64)
    names = {it.id: it.name for it in campaigns}
    combined = np.stack([owners, cells, cohorts], axis=1)
    # Three small numbers as one: to sort whole numbers is many times quicker than to sort rows.
    width = int(cohorts.max()) + 2
    packed = (owners * (int(cells.max()) + 1) + cells) * width + cohorts + 1
    _, where, inverse = np.unique(packed, return_index=True, return_inverse=True)
    kinds = combined[where]
    of_cell = {
        row.id: row
        for chunk in _chunks({int(it) for it in kinds[:, 1]})
        for row in connection.execute(_CELLS, {"ids": chunk})
    }
    of_cohort = {
        row.id: row
        for chunk in _chunks({int(it) for it in kinds[:, 2]} - {_UNKNOWN})
        for row in connection.execute(_COHORTS, {"ids": chunk})
    }
    places: dict[Place, int] = {}
    mapping = np.zeros(len(kinds), np.int64)
    for index, (owner, cell, cohort) in enumerate(kinds.tolist()):
        at, what = of_cell[cell], of_cohort.get(cohort)
        product: tuple[Any, ...] = ("", _UNKNOWN, _UNKNOWN, _UNKNOWN)
        if what is not None:
            product = (what.type, what.manufacturer, what.model, what.hardware)
        place = Place(names[owner], at.name, at.wave, at.region, at.hub_model, *product)
        mapping[index] = places.setdefault(place, len(places))
    return tuple(places), mapping[inverse]


def _chunks(ids: set[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _BIND_MAX):
        yield ordered[start : start + _BIND_MAX]


# --- statements

_CELLS: Final = (
    select(s.cell.c.id, s.cell.c.wave, s.cell.c.region, s.cell.c.hub_model, s.stratum.c.name)
    .join(s.stratum, s.stratum.c.id == s.cell.c.stratum)
    .where(s.cell.c.id.in_(bindparam("ids", expanding=True)))
)
_COHORTS: Final = select(
    s.cohort.c.id, s.cohort.c.type, s.cohort.c.manufacturer, s.cohort.c.model, s.cohort.c.hardware
).where(s.cohort.c.id.in_(bindparam("ids", expanding=True)))


def _whole(expression: str) -> str:
    return f"CAST({expression} AS BIGINT)"


# Eight octets each, so that rows have one length.
_UPDATES: Final = (
    "SELECT "  # noqa: S608 # our own words
    + ", ".join(
        map(
            _whole,
            ("u.id", "u.device", "u.campaign", "u.cell", f"COALESCE(d.cohort, {_UNKNOWN})", "u.progress"),
        )
    )
    + " FROM device_update u LEFT JOIN device d ON d.eui = u.device WHERE u.campaign IN ({campaigns})"
)

# An ACTIVATED that names a version counts only where it is the release's, and then as its proof too.
_MILESTONE: Final = " ".join(
    f"WHEN fact = '{fact.name}'{' AND version IS NULL' if fact is Fact.ACTIVATED else ''} THEN {milestone}"
    for fact, milestone in MILESTONES.items()
)
_FACTS: Final = ", ".join(f"'{fact.name}'" for fact in MILESTONES)
_EVIDENCE: Final = (
    f"SELECT {_whole('device_update')} * {{kinds}} + said, at FROM ("  # noqa: S608 # our own words
    "SELECT device_update, {kind} AS said, at FROM evidence WHERE {which} AND ({wanted})) AS e"
    " WHERE said >= 0"
)
