"""When a Device that sleeps has its radio on: short windows, in each of which it asks for an image."""

from __future__ import annotations

from dataclasses import dataclass

from lamplighter.kit import Instant
from lamplighter.kit.instant import HOUR, SECOND


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows of wakefulness. What it sleeps through, the hub keeps for it, and sends once it is heard."""

    period: int = 6 * HOUR
    """Microseconds from one window to the next, above 0; an assumption."""
    window: int = 10 * SECOND
    """Microseconds for which it listens, if nothing keeps it awake longer; an assumption."""
    phase: int = 0
    """Microseconds by which the windows are shifted, so that not all Devices wake at once; an assumption."""

    def awake(self, now: Instant) -> bool:
        """Whether a window is open."""
        return (now - self.phase) % self.period < self.window

    def following(self, now: Instant) -> Instant:
        """When the next window opens."""
        return Instant(now + self.period - (now - self.phase) % self.period)
