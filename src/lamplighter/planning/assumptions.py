"""What nobody knows exactly about homes and networks: each figure with a range, drawn for each rehearsal.

Every range is an assumption, for no CSP and no manufacturer publishes such figures; a fleet file may replace
each by what one has measured. A figure is even within its range: nothing else is claimed of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, SECOND
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.flow import Settings
from lamplighter.lab.flow.chance import philox
from lamplighter.lab.han import Quality
from lamplighter.lab.wan import LINKS, Link

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that lies somewhere in between; `low` equal to `high`: it is known."""

    low: float
    """At least."""
    high: float
    """At most."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < float("inf"):
            raise UsageError(f"a range goes from 0 or more up, not from {self.low:g} to {self.high:g}")

    def draw(self, dice: np.random.Generator) -> float:
        """One figure out of it."""
        # Drawn in any case, so that a range which becomes known changes none of the others.
        return self.low + (self.high - self.low) * float(dice.random())

    def widened(self, times: float) -> Range:
        """As many times as wide about the same middle; never below 0."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2 * times
        return Range(max(0.0, middle - half), middle + half)


@dataclass(frozen=True, slots=True)
class RegionalLink:
    """What a hub's WAN link may be like in one region."""

    latency: int = 2 * SECOND
    """Microseconds from one end to the other."""
    octets_per_second: Range = Range(1_500, 2_500)
    """Bandwidth each way."""
    outage_every: int = 20 * DAY
    """Microseconds between two outages of a link, on average; 0: there are none."""
    outage_hours: Range = Range(2.0, 6.0)
    """Hours that one lasts, on average."""
    coverage: Range = Range(0.99, 0.998)
    """The share of hubs that the region reaches at all."""

    @classmethod
    def about(cls, link: Link) -> RegionalLink:
        """Half as much and half as much again as the lab assumes."""
        rate, hours = float(link.octets_per_second), link.outage_length / HOUR
        gap = 1 - link.coverage
        return cls(
            link.latency,
            Range(0.5 * rate, 1.5 * rate),
            link.outage_pause,
            Range(0.5 * hours, 1.5 * hours),
            Range(1 - 1.5 * gap, 1 - 0.5 * gap),
        )


USUAL: Final[Mapping[str, RegionalLink]] = {
    region.value: RegionalLink.about(link) for region, link in LINKS.items()
}


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All that a rehearsal takes for granted, beside plan and Devices."""

    regions: Mapping[str, RegionalLink] = field(default_factory=lambda: USUAL)
    """The WAN, by CSP region."""
    off: Range = Range(0.005, 0.02)
    """The share of Devices that are in a drawer or without power."""
    sleeping: Range = Range(0.1, 0.3)
    """The share of PPMIDs whose radio is on in windows only."""
    refused: Range = Range(0.002, 0.01)
    """The share of eligible Devices that the DCC refuses: the inventory knows better than the registry."""
    misfit: Range = Range(0.0, 0.005)
    """The share whose hardware is not what the inventory says: the hub finds out."""
    weak: Range = Range(0.05, 0.2)
    """The share of Devices that hear their hub badly."""
    loss: Range = Range(0.0005, 0.002)
    """Frames lost on a good HAN link."""
    weak_loss: Range = Range(0.02, 0.04)
    """Frames lost on a bad one."""
    alerts_lost: Range = Range(0.0, 0.01)
    """Alerts that never arrive."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            if getattr(self, name).high > 1:
                raise UsageError(f"{name}: a share lies in 0..1")
        if self.off.high + self.refused.high + self.misfit.high >= 1:
            raise UsageError("off, refused and misfit together are less than all Devices")

    def draw(self, seed: str) -> Circumstances:
        """One world out of all that may be."""
        dice = philox(seed, "circumstances")
        shares = {name: min(1.0, getattr(self, name).draw(dice)) for name in _SHARES}
        links = {}
        for name in sorted(self.regions):
            it = self.regions[name]
            rate, hours, coverage = (
                part.draw(dice) for part in (it.octets_per_second, it.outage_hours, it.coverage)
            )
            links[name] = Link(
                it.latency, max(1, int(rate)), it.outage_every, max(1, int(hours * HOUR)), min(1.0, coverage)
            )
        return Circumstances(links, **shares)

    def widened(self, times: float) -> Assumptions:
        """Every range so many times as wide: what a forecaster has to fear who is too sure."""
        links = {
            name: RegionalLink(
                it.latency,
                Range(max(100.0, (wide := it.octets_per_second.widened(times)).low), wide.high),
                it.outage_every,
                it.outage_hours.widened(times),
                Range((wide := it.coverage.widened(times)).low, min(1.0, wide.high)),
            )
            for name, it in self.regions.items()
        }
        shares = {}
        for name in _SHARES:
            wide = getattr(self, name).widened(times)
            shares[name] = Range(wide.low, min(1.0, wide.high))
        return Assumptions(links, **shares)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """One world: every figure as it is there."""

    links: Mapping[str, Link]
    """The WAN, by region."""
    off: float
    sleeping: float
    refused: float
    misfit: float
    weak: float
    loss: float
    weak_loss: float
    alerts_lost: float

    @property
    def settings(self) -> Settings:
        """The network for flow mode. Devices of an unknown region are on the first link."""
        return Settings(
            dict(self.links),
            (Quality(loss=self.loss), Quality(latency=40 * MILLISECOND, loss=self.weak_loss, lateness=0.05)),
        )

    @property
    def faults(self) -> tuple[Scheduled, ...]:
        """What goes wrong all the time."""
        lost = Scheduled("lost-alert", probability=self.alerts_lost)
        return (lost,) if self.alerts_lost else ()


_SHARES: Final = tuple(each.name for each in fields(Circumstances) if each.name != "links")
