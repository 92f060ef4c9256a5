"""Forecasts of campaigns, how many Devices were proven when, and the alarm where the two part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, insert, select, update

from lamplighter.campaign import forecast as forecasts
from lamplighter.campaign.state import Stage
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import MINUTE, span
from lamplighter.store import schema as s
from lamplighter.store.campaigns import POLICY, note

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lamplighter.campaign.forecast import Departure, Forecast
    from lamplighter.store.campaigns import Campaign
    from lamplighter.store.database import Database, Fence

EVERY: Final = 10 * MINUTE
"""How often it is written down how many Devices are proven, microseconds."""


class Forecasts:
    """Forecasts and what came of them, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_at: dict[int, Instant] = {}

    def save(self, campaign: int, forecast: Forecast, who: str, now: Instant) -> int:
        """Keep one more forecast of a campaign; the latest counts. Returns its id."""
        with self._database.writing() as connection:
            known = connection.execute(select(s.campaign.c.id).where(s.campaign.c.id == campaign)).first()
            if known is None:
                raise UsageError(f"there is no campaign {campaign}")
            values = {
                "campaign": campaign,
                "made_at": forecast.made_at,
                "document": forecasts.encode(forecast),
            }
            number = connection.execute(
                insert(s.forecast).values(values).returning(s.forecast.c.id)
            ).scalar_one()
            ends = forecast.ends
            note(
                connection,
                campaign,
                now,
                who,
                "forecast",
                f"of {forecast.members} rehearsals: ends {span(ends.middle)} after the start "
                f"({span(ends.low)} to {span(ends.high)}), "
                f"{forecast.failures.middle} Devices not brought to the release",
            )
        self._looked_at.pop(campaign, None)
        return int(number)

    def latest(self, campaign: int) -> Forecast | None:
        """The one that counts; None: there is none."""
        with self._database.reading() as connection:
            found = _latest(connection, campaign)
        return None if found is None else found[1]

    def alarmed(self, campaign: int) -> Instant | None:
        """Since when reality has been outside the latest forecast; None: it is not, or nobody has looked."""
        query = select(s.forecast.c.alarmed_at).where(s.forecast.c.campaign == campaign)
        with self._database.reading() as connection:
            at = connection.execute(query.order_by(s.forecast.c.id.desc()).limit(1)).scalar()
        return None if at is None else Instant(at)

    def actual(self, campaign: int) -> list[tuple[Instant, int]]:
        """How many Devices were proven when, the earliest first; about one look every `EVERY`."""
        query = select(s.sample.c.at, s.sample.c.proven).where(s.sample.c.campaign == campaign)
        with self._database.reading() as connection:
            return [(Instant(at), proven) for at, proven in connection.execute(query.order_by(s.sample.c.at))]

    def watch(self, fence: Fence | None, campaign: Campaign, now: Instant) -> Departure | None:
        """Write down how many are proven, if that is due, and raise or end the alarm.

        Cheap where nothing is due; safe to call at every tick. The alarm is an entry of the audit when
        reality leaves the latest forecast, and another when it is back.
        """
        last = self._looked_at.get(campaign.id)
        if campaign.started_at is None or (last is not None and last <= now < last + EVERY):
            return None
        with self._database.writing(fence) as connection:
            proven = _proven(connection, campaign.id)
            self._sample(connection, campaign.id, now, proven)
            departed = self._compare(connection, campaign, now, proven)
        self._looked_at[campaign.id] = now
        return departed

    def _sample(self, connection: Connection, campaign: int, now: Instant, proven: int) -> None:
        new = self._database.insert(s.sample).values(campaign=campaign, at=now, proven=proven)
        connection.execute(
            new.on_conflict_do_update(index_elements=["campaign", "at"], set_={"proven": new.excluded.proven})
        )

    @staticmethod
    def _compare(connection: Connection, campaign: Campaign, now: Instant, proven: int) -> Departure | None:
        found = _latest(connection, campaign.id)
        if found is None or campaign.started_at is None:
            return None
        number, forecast, alarmed_at = found
        departed = forecasts.departure(forecast, now - campaign.started_at, proven)
        if (departed is None) == (alarmed_at is None):
            return departed
        connection.execute(
            update(s.forecast)
            .where(s.forecast.c.id == number)
            .values(alarmed_at=None if departed is None else now)
        )
        if departed is None:
            note(
                connection, campaign.id, now, POLICY, "forecast kept", f"{proven} Devices proven, as expected"
            )
        else:
            note(connection, campaign.id, now, POLICY, "forecast left", departed.text)
        return departed


def _latest(connection: Connection, campaign: int) -> tuple[int, Forecast, Instant | None] | None:
    query = select(s.forecast).where(s.forecast.c.campaign == campaign)
    row = connection.execute(query.order_by(s.forecast.c.id.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return row.id, forecasts.decode(row.document), row.alarmed_at


def _proven(connection: Connection, campaign: int) -> int:
    """How many Devices of a campaign are proven, by the tallies."""
    counted = (
        select(func.coalesce(func.sum(s.tally.c.devices), 0))
        .join(s.cell, s.cell.c.id == s.tally.c.cell)
        .join(s.stratum, s.stratum.c.id == s.cell.c.stratum)
        .where(s.stratum.c.campaign == campaign, s.tally.c.stage == int(Stage.PROVEN))
    )
    return int(connection.execute(counted).scalar_one())
