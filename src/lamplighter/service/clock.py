"""What time it is: the day's, or that of a rehearsal in which time runs faster."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Instant, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_NANOSECONDS: Final = 1_000  # in a microsecond


def wall_clock() -> Instant:
    """What time it is, by this machine's clock."""
    return Instant(time.time_ns() // _NANOSECONDS)


def rehearsal_clock(began: Instant, speed: float) -> Callable[[], Instant]:
    """A clock that agreed with this machine's when the rehearsal began, and runs `speed` times as fast.

    A lab that began at the same instant and lets time pass as fast keeps the same time.
    """
    if not 0 < speed < math.inf:
        raise UsageError(f"time runs a number of times above 0 as fast as the day, not {speed:g}")
    return lambda: Instant(began + int((wall_clock() - began) * speed))
