"""Time in flow mode: unsigned 32-bit ticks of 10 ms since the rehearsal's start, some 497 days of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, MILLISECOND

if TYPE_CHECKING:
    from numpy.typing import NDArray

TICK: Final = 10 * MILLISECOND
NEVER: Final = np.uint32(0xFFFF_FFFF)
HORIZON: Final = (
    int(NEVER) - 90 * DAY // TICK
)  # the last tick at which anything is ordered: what follows fits
CROSSING_MAX: Final = 9 * DAY
"""Of a message over a link: a fault makes it ten times slower, and those 90 days have still room for it."""


def ticks(duration: float) -> int:
    """A duration in microseconds, to the nearest tick."""
    return round(duration / TICK)


def tick_of(instant: Instant, start: Instant) -> int:
    """The tick in which an instant lies."""
    tick = (instant - start) // TICK
    if not 0 <= tick < int(NEVER):
        raise UsageError(f"a rehearsal lasts at most {int(NEVER) * TICK // DAY} days, and does not go back")
    return tick


def instants(at: NDArray[np.uint32], start: Instant) -> NDArray[np.int64]:
    """Ticks as instants; -1 for what never was."""
    return np.where(at == NEVER, np.int64(-1), at.astype(np.int64) * TICK + start)
