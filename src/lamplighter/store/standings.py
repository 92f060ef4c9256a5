"""Where the Devices of each campaign stand, and why they fail: what lists and pages of campaigns show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import BigInteger, Integer, cast, func, select, text

from lamplighter.campaign import Cause, Stage
from lamplighter.campaign.state import CAUSE_BITS, STAGE_BITS, STAGE_SHIFT, State
from lamplighter.registry import Verdict
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from lamplighter.kit import Eui64
    from lamplighter.store.database import Database

FAILING: Final = frozenset(
    {
        Stage.REFUSED, Stage.SILENT_BEFORE_HUB, Stage.HUB_FAILED, Stage.SILENT_AT_HUB, Stage.TRANSFER_FAILED,
        Stage.SILENT_ON_DEVICE, Stage.IMAGE_REJECTED, Stage.SILENT_IN_ACTIVATION, Stage.ACTIVATION_FAILED,
        Stage.SILENT_IN_CALL_OFF, Stage.SILENT_TO_READ, Stage.UNCHANGED, Stage.FAILED, Stage.LOST,
    }
)  # fmt: skip
"""Stages in which something went wrong, whether it is tried again or not."""

_STAGE: Final = f"(u.progress >> {STAGE_SHIFT} & {(1 << STAGE_BITS) - 1})"
_CAUSE: Final = f"(u.progress & {(1 << CAUSE_BITS) - 1})"


class Failed(NamedTuple):
    """Devices that failed alike."""

    state: State
    """Where they stand now."""
    cause: Cause
    """Why."""
    devices: int
    """How many."""
    example: Eui64
    """One of them."""


@dataclass(slots=True)
class Standing:
    """Where a campaign's Devices stand."""

    states: dict[State, int] = field(default_factory=dict)
    """Devices in each state; those without an order are queued, as far as they are counted."""
    held: int = 0
    """Strata that are held."""

    @property
    def total(self) -> int:
        """All."""
        return sum(self.states.values())


class Standings:
    """Where the Devices of one database's campaigns stand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def states(self) -> dict[int, Standing]:
        """Every campaign's Devices by state, from the tallies: as cheap as there are campaigns."""
        found: dict[int, Standing] = {}
        with self._database.reading() as connection:
            for campaign, stage, devices in connection.execute(_STATES):
                states = found.setdefault(campaign, Standing()).states
                states[Stage(stage).state] = states.get(Stage(stage).state, 0) + devices
            for campaign, waiting in connection.execute(_WAITING):
                states = found.setdefault(campaign, Standing()).states
                states[State.QUEUED] = states.get(State.QUEUED, 0) + waiting
            for campaign, held in connection.execute(_HELD):
                found.setdefault(campaign, Standing()).held = held
        return found

    def causes(self, campaign: int) -> list[Failed]:
        """How many Devices fail at the moment, by where and why, the most first.

        Looks at every update of every campaign: seconds at ten million. Whoever asks again and again keeps
        the answer for a multiple of the time that it took.
        """
        with self._database.reading() as connection:
            rows = connection.execute(_CAUSES, {"campaign": campaign}).all()
        counted: dict[tuple[State, Cause], Failed] = {}
        for stage, cause, devices, example in rows:
            key = Stage(stage).state, Cause(cause)
            before = counted.get(key)
            counted[key] = Failed(*key, devices + (before.devices if before else 0), example)
        return sorted(counted.values(), key=lambda it: (-it.devices, it.state.value, it.cause))


_STATES: Final = (
    select(s.stratum.c.campaign, s.tally.c.stage, cast(func.sum(s.tally.c.devices), BigInteger))
    .join(s.cell, s.cell.c.stratum == s.stratum.c.id)
    .join(s.tally, s.tally.c.cell == s.cell.c.id)
    .where(s.tally.c.devices > 0)
    .group_by(s.stratum.c.campaign, s.tally.c.stage)
)

_WAITING: Final = (
    select(s.pool.c.campaign, cast(func.sum(s.pool.c.waiting), BigInteger))
    .where(s.pool.c.verdict == Verdict.ELIGIBLE.name, s.pool.c.waiting > 0)
    .group_by(s.pool.c.campaign)
)

_HELD: Final = (
    select(s.stratum.c.campaign, func.count())
    .where(s.stratum.c.held_at.is_not(None))
    .group_by(s.stratum.c.campaign)
)

_CAUSES: Final = text(
    f"SELECT {_STAGE} AS stage, {_CAUSE} AS cause, COUNT(*) AS devices, MIN(u.device) AS example"  # noqa: S608 # our own words
    " FROM device_update u"
    f" WHERE u.campaign = :campaign AND {_STAGE} IN ({', '.join(str(int(it)) for it in sorted(FAILING))})"
    f" GROUP BY {_STAGE}, {_CAUSE}"
).columns(stage=Integer, cause=Integer, devices=Integer, example=s.EuiColumn)
