"""The tallies of a campaign, and what they come to: for its gates, for the caps, for its end."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.campaign.gates import Outcomes
from lamplighter.campaign.state import FINAL, FLYING, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FAILED: Final = frozenset(
    {
        Stage.REFUSED,
        Stage.HUB_FAILED,
        Stage.TRANSFER_FAILED,
        Stage.IMAGE_REJECTED,
        Stage.ACTIVATION_FAILED,
        Stage.UNCHANGED,
        Stage.FAILED,
    }
)
_SILENT: Final = frozenset(
    {
        Stage.SILENT_BEFORE_HUB,
        Stage.SILENT_AT_HUB,
        Stage.SILENT_ON_DEVICE,
        Stage.SILENT_IN_ACTIVATION,
        Stage.SILENT_IN_CALL_OFF,
        Stage.SILENT_TO_READ,
        Stage.CHECKING,
        Stage.LOST,
    }
)
_GONE: Final = frozenset({Stage.CANCELLED, Stage.WITHDRAWN})

LOADING: Final = (FLYING | _SILENT) - {Stage.CHECKING, Stage.SILENT_TO_READ, Stage.LOST}
"""Stages that count against the caps: an image or an activation is on its way, or may be, for all that was
heard. A read moves nothing."""


class Cell(NamedTuple):
    """Where ordered Devices are counted."""

    id: int
    stratum: int
    wave: int
    brood: int
    region: str
    hub_model: str


class Count(NamedTuple):
    """One row of the tallies."""

    cell: Cell
    stage: Stage
    again: bool
    """Of a later attempt: the Device has failed before."""
    devices: int


class _Column(IntEnum):
    """What a Device is to the gate."""

    PROVEN = 0
    FAILED = 1
    SILENT = 2
    IN_FLIGHT = 3
    GONE = 4


def _column(stage: Stage, again: bool) -> _Column:  # noqa: FBT001 # a row's
    if stage is Stage.PROVEN:
        return _Column.PROVEN
    if stage in _GONE:
        return _Column.GONE
    if stage in _SILENT:
        return _Column.SILENT
    # A Device that has failed once counts as failed until it is proven.
    return _Column.FAILED if stage in _FAILED or again else _Column.IN_FLIGHT


_COLUMNS: Final = [[int(_column(stage, again)) for stage in Stage] for again in (False, True)]
"""By whether it is a later attempt's, and by stage."""
_IS_FINAL: Final = [stage in FINAL for stage in Stage]
_LOADS: Final = [stage in LOADING for stage in Stage]

Broods = dict[tuple[int, int], Outcomes]
"""What came of Devices, by wave and brood."""


class Sums:
    """What a decision wants to know of the tallies, added up row by row, once or as they change."""

    def __init__(self, counts: Iterable[Count] = ()) -> None:
        self.ordered: dict[tuple[int, int], int] = {}
        """Devices by stratum and wave, whatever came of them."""
        self.in_flight: dict[tuple[int, int], int] = {}
        """Those of whom the gate does not know yet, likewise."""
        self.loading: dict[tuple[str, str], int] = {}
        """Devices that count against the caps, by region and model of hub."""
        self.unfinished = 0
        """Devices that have not come to their end."""
        self._queued: dict[int, int] = {}
        self._rows: dict[tuple[int, int, int], list[int]] = {}  # columns by stratum, wave and brood
        self._changed: set[tuple[int, int, int]] = set()
        self._outcomes: dict[int, Broods] = {}
        for count in counts:
            self.add(*count)

    def add(self, cell: Cell, stage: Stage, again: bool, devices: int) -> None:  # noqa: FBT001 # a row's
        """So many Devices more, or fewer, stand here."""
        brood, wave = cell[1:4], cell[1:3]
        column = _COLUMNS[again][stage]
        if (row := self._rows.get(brood)) is None:
            row = self._rows[brood] = [0] * len(_Column)
        row[column] += devices
        self._changed.add(brood)
        self.ordered[wave] = self.ordered.get(wave, 0) + devices
        if _IS_FINAL[stage]:
            return
        self.unfinished += devices
        if column == _Column.IN_FLIGHT:
            self.in_flight[wave] = self.in_flight.get(wave, 0) + devices
        if _LOADS[stage]:
            place = cell.region, cell.hub_model
            self.loading[place] = self.loading.get(place, 0) + devices
        if stage is Stage.QUEUED:
            self._queued[cell.stratum] = self._queued.get(cell.stratum, 0) + devices

    @property
    def queued(self) -> set[int]:
        """Strata with an order that is not handed over."""
        return {stratum for stratum, devices in self._queued.items() if devices}

    @property
    def outcomes(self) -> Mapping[int, Broods]:
        """What came of each stratum of which somebody was ordered."""
        for stratum, wave, brood in self._changed:
            proven, failed, silent, in_flight, _ = self._rows[stratum, wave, brood]
            broods = self._outcomes.setdefault(stratum, {})
            broods[wave, brood] = Outcomes(proven, failed, silent, in_flight)
        self._changed.clear()
        return self._outcomes
