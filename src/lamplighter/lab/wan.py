"""The Wide Area Network between DSP and hubs: when what is sent arrives. A first cut: it loses nothing.

Each hub has one link with a direction each way. Messages on a direction share its bandwidth and never
overtake one another. An image crosses once for a hub, however many Devices behind it are to have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Instant
from lamplighter.kit.instant import SECOND
from lamplighter.lab.wire import WanGbcs, WanImage, WanImageReceipt

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

RECEIPT_OCTETS: Final = 32  # a management message of the CSP; its real size is not published

WanFrame = WanImage | WanImageReceipt | WanGbcs


@dataclass(frozen=True, slots=True)
class Link:
    """What one hub's link can carry. The figures are assumptions: the CSPs publish none."""

    latency: int = 2 * SECOND
    """Microseconds from one end to the other, whatever the size."""
    octets_per_second: int = 2_000
    """Bandwidth each way; a 750 kB image then takes about six minutes."""

    def crossing(self, octets: int) -> int:
        """Microseconds for which a message occupies its direction of the link."""
        return -(-octets * SECOND // self.octets_per_second)


def octets_of(frame: WanFrame) -> int:
    """What a frame weighs on the link."""
    match frame:
        case WanImage():
            return len(frame.image)
        case WanGbcs():
            return len(frame.octets)
        case WanImageReceipt():
            return RECEIPT_OCTETS


class Wan:
    """All links, first come first served in each direction of each."""

    __slots__ = ("_free_at", "link")

    def __init__(self, link: Link) -> None:
        self.link = link
        self._free_at: dict[tuple[Eui64, bool], Instant] = {}

    def arrival(self, frame: WanFrame, now: Instant) -> Instant:
        """When a frame that is sent now reaches the other end."""
        outbound = isinstance(frame, WanImage) or (isinstance(frame, WanGbcs) and frame.outbound)
        direction = frame.hub, outbound
        begins = max(now, self._free_at.get(direction, now))
        ends = Instant(begins + self.link.crossing(octets_of(frame)))
        self._free_at[direction] = ends
        return Instant(ends + self.link.latency)
