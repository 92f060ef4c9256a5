"""Who lives where, and which campaign is for whom: enough work for every strike to find somebody at it.

Half of the town has a campaign from the beginning. Its old displays are a stratum of their own, for which the
new firmware may be bad; its switches are activated by commands that are dated ahead. The other half is
streets: the operator starts a street's campaigns as a strike is laid, so that there are requests and messages
to strike at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from lamplighter.campaign.windows import LONDON
from lamplighter.kit.instant import to_datetime
from lamplighter.lab import homes
from lamplighter.lab.devices import Behaviour
from lamplighter.lab.han import Quality
from lamplighter.registry import DeviceType

from .estate import KINDS, plan, register

if TYPE_CHECKING:
    from lamplighter.campaign.plan import Plan
    from lamplighter.kit import Eui64, Instant
    from lamplighter.store import Store

    from .strikes import Case

OLD = 6
"""Homes of the first half whose display is of the older hardware: enough for a hold, and more after it."""
NEW = 3
STREET = 2  # homes
MIXED = "mixed"
BAD_STRATUM = f"hardware={homes.older(homes.MAKES[DeviceType.PPMID].model).hardware:04X}"
_MIX = homes.Estate(
    incapable_hubs=0, old_hardware=0.3, meters=False, gas=0, ihds=0, sleepers=0, weak_links=0,
    good=Quality(),
)  # fmt: skip
HURRIED: dict[str, str | float] = {
    "hub": "2h", "device": "4h", "proof": "6h", "activation": "4h", "read": "2h",
    "backoff": "5m", "longest": "20m",
    "sample": 50_000,  # on a busy machine silence proves nothing: no gate is to hold for it
}  # fmt: skip
"""Deadlines that pass within seconds of ours."""
GATED: dict[str, str | float] = {
    "stratify": '["hardware"]', "attempts": 2,
    "acceptable": 0.02, "most": 0.1, "sample": 3,
    # Nobody is silent for so long: what the gate holds for has said that it failed.
    "hub": "12h", "device": "12h", "proof": "12h", "activation": "12h", "read": "12h",
    "backoff": "5m", "longest": "20m",
}  # fmt: skip
_AHEAD = timedelta(hours=10)  # until the switches' images lie on them, and more; a minute of ours
_WIDE = timedelta(hours=2)


class Work(NamedTuple):
    """A campaign that is written down and not yet started."""

    release: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class Town:
    """A lab, what its Supplier knows of it, and the work that there is."""

    lab: homes.Lab
    bad: frozenset[Eui64]
    """Displays for which the new firmware is bad."""
    good: frozenset[Eui64]
    """All others that are to be updated."""
    first: tuple[Work, ...]
    """From the beginning; the first may meet bad firmware."""
    streets: tuple[tuple[Work, ...], ...]
    """As a strike is laid."""


def build(store: Store, case: Case, began: Instant) -> Town:
    """The town of a case; each has one of its own."""
    streets, manner = len(case.strikes), case.manner
    lab = homes.build_world(f"matrix {case.seed}", 4 * OLD + NEW + STREET * streets, start=began, estate=_MIX)
    oldest = [home for home in lab.homes if _is_old(lab, home)][:OLD]
    newer = [home for home in lab.homes if not _is_old(lab, home)]
    assert len(oldest) == OLD, "the dice have dealt too few old displays"
    mixed, rest = [*oldest, *newer[:NEW]], newer[NEW:]
    rows = [rest[number * STREET :][:STREET] for number in range(streets)]
    tags = {home.hub: MIXED for home in mixed}
    tags |= {home.hub: f"street {number}" for number, row in enumerate(rows) for home in row}
    hardware = homes.older(homes.MAKES[DeviceType.PPMID].model).hardware
    line = f"LAMPLIGHTER-LAB behaviour={manner} on {hardware:04X}\n".encode()
    behaviours = {DeviceType.PPMID: Behaviour.read(line)} if manner else None
    releases = register(store, lab, tags=tags, behaviours=behaviours)

    def work(kind: DeviceType, tag: str, **changes: str | float) -> Work:
        return Work(releases[kind], plan(kind, f"{kind.value} {tag}", tags=f'["{tag}"]', **changes))

    dated = {"activate_at": _quiet(began), "activation": "30h"} if case.dated else {}
    everyone = {getattr(home, kind.value.lower()) for kind in KINDS for row in (mixed, *rows) for home in row}
    bad = {home.ppmid for home in oldest} if manner else set()
    return Town(
        lab,
        frozenset(bad),
        frozenset(everyone - bad),
        (work(DeviceType.PPMID, MIXED, **GATED), work(DeviceType.HCALCS, MIXED, **HURRIED | dated)),
        tuple(tuple(work(kind, f"street {n}", **HURRIED) for kind in KINDS) for n in range(streets)),
    )


def _is_old(lab: homes.Lab, home: homes.Home) -> bool:
    return lab.world.dcc.inventory.find(home.ppmid).model != homes.MAKES[DeviceType.PPMID].model


def _quiet(began: Instant) -> str:
    start = to_datetime(began).astimezone(LONDON) + _AHEAD
    end = start + _WIDE
    return f"{start:%H:%M}-{end:%H:%M}" if f"{end:%H:%M}" != "00:00" else f"{start:%H:%M}-00:01"
