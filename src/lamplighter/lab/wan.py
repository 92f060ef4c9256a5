"""The Wide Area Network between DSP and hubs: when what is sent arrives.

Each hub has one link with a direction each way. Messages on a direction share its bandwidth and never
overtake one another. An image crosses once for a hub, however many Devices behind it are to have it. A link
may break for a while: what is on it then waits, and goes on. A hub out of coverage is never reached: the CSP
says so in the end.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, MILLISECOND, SECOND
from lamplighter.lab.wire import WanDeviceLeft, WanGbcs, WanHubFirmware, WanImage, WanImageReceipt
from lamplighter.protocol.duis import CspRegion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.kit import Eui64
    from lamplighter.lab.dice import Dice, Stream

RECEIPT_OCTETS: Final = 32  # a management message of the CSP; its real size is not published

WanFrame = WanImage | WanImageReceipt | WanGbcs | WanHubFirmware | WanDeviceLeft


@dataclass(frozen=True, slots=True)
class Link:
    """What one hub's link can carry. The figures are assumptions: the CSPs publish none."""

    latency: int = 2 * SECOND
    """Microseconds from one end to the other, whatever the size."""
    octets_per_second: int = 2_000
    """Bandwidth each way; a 750 kB image then takes about six minutes."""
    outage_pause: int = 0
    """Microseconds between two outages of a hub's link, on average; 0: there are none."""
    outage_length: int = 0
    """Microseconds that an outage lasts, on average."""
    coverage: float = 1.0
    """The share of hubs that the region reaches at all, 0..1."""

    def crossing(self, octets: int) -> int:
        """Microseconds for which a message occupies its direction of the link."""
        return -(-octets * SECOND // self.octets_per_second)


LINKS: Final[Mapping[CspRegion, Link]] = {
    # Every figure is an assumption. North is long-range radio on its own frequencies, Central and South are
    # 2G and 3G; the three 4G regions are the networks that replace them.
    CspRegion.NORTH: Link(2 * SECOND, 1_500, 30 * DAY, DAY // 8, 0.995),
    CspRegion.CENTRAL: Link(1 * SECOND, 4_000, 20 * DAY, DAY // 6, 0.993),
    CspRegion.SOUTH: Link(1 * SECOND, 4_000, 20 * DAY, DAY // 6, 0.993),
    CspRegion.NORTH_4G: Link(500 * MILLISECOND, 20_000, 40 * DAY, DAY // 12, 0.997),
    CspRegion.CENTRAL_4G: Link(500 * MILLISECOND, 20_000, 40 * DAY, DAY // 12, 0.997),
    CspRegion.SOUTH_4G: Link(500 * MILLISECOND, 20_000, 40 * DAY, DAY // 12, 0.997),
}
"""The link of a hub in each region."""


def octets_of(frame: WanFrame) -> int:
    """What a frame weighs on the link."""
    match frame:
        case WanImage():
            return len(frame.image)
        case WanGbcs():
            return len(frame.octets)
        case WanImageReceipt() | WanHubFirmware() | WanDeviceLeft():
            return RECEIPT_OCTETS


class Wan:
    """All links, first come first served in each direction of each.

    link     of every hub that has none of its own
    by_hub   the others
    covered  whether the WAN reaches a hub; by default it reaches all
    """

    __slots__ = ("_by_hub", "_dice", "_free_at", "_outages", "_uncovered", "link")

    def __init__(
        self,
        link: Link,
        by_hub: Mapping[Eui64, Link] | None = None,
        dice: Dice | None = None,
        uncovered: frozenset[Eui64] = frozenset(),
    ) -> None:
        self.link = link
        self._by_hub = by_hub or {}
        self._dice = dice
        self._uncovered = uncovered
        self._free_at: dict[tuple[Eui64, bool], Instant] = {}
        self._outages: dict[Eui64, _Outages] = {}

    @property
    def latency(self) -> int:
        """The shortest time in which anything crosses, microseconds."""
        return min(link.latency for link in (self.link, *self._by_hub.values()))

    def reaches(self, hub: Eui64) -> bool:
        """Whether the hub is in coverage."""
        return hub not in self._uncovered

    def arrival(self, frame: WanFrame, now: Instant, slower: float = 1.0) -> Instant:
        """When a frame that is sent now reaches the other end; `slower`: how many times as long it takes."""
        outbound = isinstance(frame, WanImage) or (isinstance(frame, WanGbcs) and frame.outbound)
        direction = frame.hub, outbound
        link = self._by_hub.get(frame.hub, self.link)
        begins = max(now, self._free_at.get(direction, now))
        ends = self._through(frame.hub, link, begins, int(link.crossing(octets_of(frame)) * slower))
        self._free_at[direction] = ends
        return Instant(ends + int(link.latency * slower))

    def _through(self, hub: Eui64, link: Link, begins: Instant, length: int) -> Instant:
        """When a message that has `length` microseconds of crossing to do has done them, outages apart."""
        if not link.outage_pause or self._dice is None:
            return Instant(begins + length)
        outages = self._outages.get(hub)
        if outages is None:
            outages = self._outages[hub] = _Outages(link, begins, self._dice.stream("outages", hub))
        while True:
            starts, ends = outages.next(begins)
            if begins + length <= starts:
                return Instant(begins + length)
            length -= max(starts - begins, 0)
            begins = ends


class _Outages:
    """When one link is broken: the same whoever asks, and in whatever order."""

    __slots__ = ("_dice", "_ends", "_link", "_starts")

    def __init__(self, link: Link, since: Instant, dice: Stream) -> None:
        self._link = link
        self._dice = dice
        self._starts: list[Instant] = []
        self._ends: list[Instant] = []
        self._add(since)

    def next(self, now: Instant) -> tuple[Instant, Instant]:
        """The outage of now, or else the next one."""
        while self._ends[-1] <= now:
            self._add(self._ends[-1])
        at = bisect_right(self._ends, now)
        return self._starts[at], self._ends[at]

    def _add(self, after: Instant) -> None:
        starts = after + self._dice.integer(1, 2 * self._link.outage_pause)
        self._starts.append(Instant(starts))
        self._ends.append(Instant(starts + self._dice.integer(1, 2 * self._link.outage_length)))
