"""The Home Area Network of one hub: when a frame arrives, and whether it does, once or twice.

Each Device has a link of its own quality with the hub; interference comes over all of them at once, in
bursts. By default the HAN is perfect. Nothing here is measured: the CSPs and manufacturers publish no
figures.

A link rolls one die for the number of frames until the next that something happens to, rather than one for
each frame. So `clear` can promise a stretch of undisturbed frames, in which a block transfer runs freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Instant
from lamplighter.kit.instant import MILLISECOND
from lamplighter.lab.dice import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.kit import Eui64
    from lamplighter.lab.dice import Dice, Stream
    from lamplighter.lab.wire import HanFrame

_EVER: Final = Instant(1 << 62)


@dataclass(frozen=True, slots=True)
class Quality:
    """How well one Device and its hub hear each other."""

    latency: int = 20 * MILLISECOND
    """Microseconds that a frame takes; an assumption."""
    loss: float = 0.0
    """Probability that a frame is lost after all retries of the radio, 0..1; an assumption."""
    duplication: float = 0.0
    """Probability that a frame arrives twice, because its acknowledgement was lost, 0..1; an assumption."""
    lateness: float = 0.0
    """Probability that a frame is held up by retries and routing, 0..1; an assumption."""
    late_most: int = 500 * MILLISECOND
    """Microseconds by which such a frame is late at most, so that others overtake it; an assumption."""


@dataclass(frozen=True, slots=True)
class Interference:
    """Bursts that come over a whole home: a microwave oven, a neighbour's wireless network."""

    pause: int = 0
    """Microseconds between two bursts, on average; 0: there are none. An assumption."""
    length: int = 0
    """Microseconds that a burst lasts, on average; an assumption."""
    loss: float = 1.0
    """Probability that a frame sent in a burst is lost, 0..1; an assumption."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How well homes hear; perfect unless told otherwise."""

    quality: Quality = Quality()
    """Of every link that has no quality of its own."""
    interference: Interference = Interference()
    """In every home, at times of its own."""


class _Link:
    """One Device's link, and the frames until something next happens on it."""

    __slots__ = ("dice", "left", "quality")

    def __init__(self, quality: Quality, dice: Stream) -> None:
        self.quality = quality
        self.dice = dice
        self.left = 0
        self.roll()

    def roll(self) -> None:
        quality = self.quality
        smooth = (1 - quality.loss) * (1 - quality.duplication) * (1 - quality.lateness)
        self.left = self.dice.failures(1 - smooth) if smooth < 1 else NEVER


class Han:
    """One hub's HAN.

    qualities  of the links that are not as the settings have it
    """

    __slots__ = ("_bursts", "_dice", "_ends", "_links", "_name", "_qualities", "_settings", "_starts", "hub")

    def __init__(
        self,
        hub: Eui64,
        dice: Dice,
        settings: Settings | None = None,
        qualities: Mapping[Eui64, Quality] | None = None,
    ) -> None:
        self.hub = hub
        """Its id; a swapped hub has another, and its Devices keep their links."""
        self._name = hub
        self._dice = dice
        self._settings = settings or Settings()
        self._qualities = qualities or {}
        self._links: dict[Eui64, _Link] = {}
        self._starts = _EVER
        self._ends = _EVER
        self._bursts: Stream | None = None

    def carry(self, frame: HanFrame, now: Instant) -> tuple[tuple[Instant, HanFrame], ...]:
        """When the frame arrives, which may be twice, or never. `now` never goes back."""
        device = frame.destination if frame.source == self.hub else frame.source
        link = self._links.get(device) or self._link(device)
        arrival = Instant(now + link.quality.latency)
        if self._interfered(now) and link.dice.chance(self._settings.interference.loss):
            return ()
        if link.left:
            link.left -= 1
            return ((arrival, frame),)
        return self._disturbed(link, frame, arrival)

    def clear(self, device: Eui64, now: Instant) -> tuple[int, Instant, int]:
        """A stretch without disturbance: of how many frames, until when, and the latency of each."""
        link = self._links.get(device) or self._link(device)
        if self._interfered(now):
            return 0, now, link.quality.latency
        return link.left, self._starts, link.quality.latency

    def passed(self, device: Eui64, frames: int) -> None:
        """So many frames of such a stretch have been carried."""
        self._links[device].left -= frames

    def _link(self, device: Eui64) -> _Link:
        quality = self._qualities.get(device, self._settings.quality)
        link = self._links[device] = _Link(quality, self._dice.stream("han", self._name, device))
        return link

    def _disturbed(
        self, link: _Link, frame: HanFrame, arrival: Instant
    ) -> tuple[tuple[Instant, HanFrame], ...]:
        """At least one of three independent things happens; each is rolled for, as likely as it then is."""
        quality, dice = link.quality, link.dice
        other = 1 - (1 - quality.duplication) * (1 - quality.lateness)
        lost = not other or dice.chance(quality.loss / (quality.loss + (1 - quality.loss) * other))
        late = not lost and dice.chance(quality.lateness / other)
        twice = not lost and (not late or dice.chance(quality.duplication))
        link.roll()
        if lost:
            return ()
        if late:
            arrival = Instant(arrival + dice.integer(1, quality.late_most))
        if twice:
            return (arrival, frame), (Instant(arrival + dice.integer(1, quality.late_most)), frame)
        return ((arrival, frame),)

    def _interfered(self, now: Instant) -> bool:
        pattern = self._settings.interference
        if not pattern.pause:
            return False
        if self._bursts is None:
            self._bursts = self._dice.stream("interference", self._name)
            self._ends = now
            self._next_burst(self._bursts)
        while now >= self._ends:
            self._next_burst(self._bursts)
        return now >= self._starts

    def _next_burst(self, dice: Stream) -> None:
        pattern = self._settings.interference
        self._starts = Instant(self._ends + dice.integer(1, 2 * pattern.pause))
        self._ends = Instant(self._starts + dice.integer(1, 2 * pattern.length))
