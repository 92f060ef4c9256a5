"""What a monitoring system asks of the database: few numbers, at a cost that does not grow with the Devices.

Everything here is counted by campaign, wave and stage, or is one number; nothing is by Device.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, select

from lamplighter.campaign.state import Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Instant
from lamplighter.registry import Verdict
from lamplighter.store import schema as s
from lamplighter.store.migration import current, head
from lamplighter.store.outbox import is_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from lamplighter.store.database import Database

CAMPAIGNS_MAX: Final = 50
"""Campaigns that are told of one by one: those under way first, then the latest. Each costs labels."""

_UNDER_WAY: Final = (CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.ABORTING)
_COUNTED_MAX: Final = 1_000_000  # rows of a backlog that are counted; above, all is said


class Cell(NamedTuple):
    """Where some Devices of a campaign stand."""

    campaign: str
    """The campaign's name."""
    wave: int
    """From 0."""
    stage: Stage
    """How far they have come."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things stand in one database, at one moment."""

    campaigns: Mapping[str, CampaignStatus]
    """Where each campaign stands, by name; at most `CAMPAIGNS_MAX`."""
    devices: Mapping[Cell, int]
    """Devices that were ordered."""
    waiting: Mapping[tuple[str, int], int]
    """Devices that wait to be ordered, by campaign and wave."""
    held: Mapping[str, int]
    """Strata that are held, by campaign under way: what an ended one holds is for nobody to do."""
    leases: Mapping[str, int]
    """Leases that somebody holds now, by kind of work: "inbox", "outbox", "campaign"."""
    to_send: int
    """Requests that are wanted and not answered."""
    attempted: int
    """Of those, the ones that may be with the DCC."""
    oldest_request: Instant | None
    """When the oldest of them was ordered; None: there is none."""
    to_apply: int
    """Statements of messages that are not evidence yet; counted up to a million."""
    dead_letters: int
    """Messages that could not be applied; counted up to a million."""


class Gauges:
    """The numbers, from one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, now: Instant) -> Snapshot:
        """All of them, as of one moment; raises what the database raises."""
        with self._database.reading() as connection:
            names = _names(connection)
            wanted = tuple(names)
            cells: Counter[Cell] = Counter()
            waiting: Counter[tuple[str, int]] = Counter()
            held: Counter[str] = Counter()
            if wanted:
                of = s.stratum.c.campaign.in_(wanted)
                for number, wave, stage, devices in connection.execute(_DEVICES.where(of)):
                    cells[Cell(names[number][0], wave, Stage(stage))] += int(devices)
                ours = s.pool.c.campaign.in_(wanted)
                for number, wave, devices in connection.execute(_WAITING.where(ours)):
                    waiting[names[number][0], wave] += int(devices)
                for number, strata in connection.execute(_HELD.where(of)):
                    held[names[number][0]] += strata
            to_send, attempted, oldest = connection.execute(_OUTBOX).one()
            return Snapshot(
                campaigns=dict(names.values()),
                devices=cells,
                waiting=waiting,
                held=held,
                leases=_leases(connection, now),
                to_send=to_send,
                attempted=attempted,
                oldest_request=None if oldest is None else Instant(oldest),
                to_apply=_count(connection, s.statement.c.id),
                dead_letters=_count(connection, s.dead_letter.c.inbox),
            )

    def revision(self) -> tuple[str | None, str]:
        """The migration that the database is at, and the one that this program was made for."""
        with self._database.reading() as connection:
            return current(connection), head()

    def leases(self, now: Instant) -> Mapping[str, int]:
        """Leases that somebody holds now, by kind of work."""
        with self._database.reading() as connection:
            return _leases(connection, now)

    def oldest_request(self) -> Instant | None:
        """When the oldest request that is wanted and not answered was ordered; None: there is none."""
        with self._database.reading() as connection:
            oldest = connection.execute(_OUTBOX).one()[2]
        return None if oldest is None else Instant(oldest)


def _names(connection: Connection) -> dict[int, tuple[str, CampaignStatus]]:
    under_way = s.campaign.c.status.in_([it.value for it in _UNDER_WAY])
    query = (
        select(s.campaign.c.id, s.campaign.c.name, s.campaign.c.status)
        .order_by(under_way.desc(), s.campaign.c.id.desc())
        .limit(CAMPAIGNS_MAX)
    )
    return {number: (name, CampaignStatus(status)) for number, name, status in connection.execute(query)}


def _leases(connection: Connection, now: Instant) -> dict[str, int]:
    names = connection.execute(select(s.lease.c.name).where(s.lease.c.until > now)).scalars()
    return dict(Counter(name.partition(":")[0] for name in names))


def _count(connection: Connection, column: Any) -> int:
    some = select(column).limit(_COUNTED_MAX).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


_DEVICES: Final = (
    select(s.stratum.c.campaign, s.cell.c.wave, s.tally.c.stage, func.sum(s.tally.c.devices))
    .join(s.cell, s.cell.c.stratum == s.stratum.c.id)
    .join(s.tally, s.tally.c.cell == s.cell.c.id)
    .where(s.tally.c.devices > 0)
    .group_by(s.stratum.c.campaign, s.cell.c.wave, s.tally.c.stage)
)

_WAITING: Final = (
    select(s.pool.c.campaign, s.pool.c.wave, func.sum(s.pool.c.waiting))
    .where(s.pool.c.verdict == Verdict.ELIGIBLE.name)
    .group_by(s.pool.c.campaign, s.pool.c.wave)
)

_HELD: Final = (
    select(s.stratum.c.campaign, func.count())
    .join(s.campaign, s.campaign.c.id == s.stratum.c.campaign)
    .where(s.stratum.c.held_at.is_not(None), s.campaign.c.status.in_([it.value for it in _UNDER_WAY]))
    .group_by(s.stratum.c.campaign)
)

_OUTBOX: Final = (
    select(func.count(), func.count(s.request.c.attempted_at), func.min(s.batch.c.created_at))
    .select_from(s.request)
    .join(s.batch, s.batch.c.id == s.request.c.batch)
    .join(s.campaign, s.campaign.c.id == s.batch.c.campaign)
    .join(s.release, s.release.c.id == s.campaign.c.release)
    .where(s.request.c.answered_at.is_(None), is_wanted())
)
