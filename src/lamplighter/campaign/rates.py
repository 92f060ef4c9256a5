"""How many Devices may be ordered: constant, stepped or exponential growth, with nothing saved up.

A rate grows with what has been *ordered*, not with the clock. Period 0 lasts until as many Devices are
ordered as its rate makes in `every`, then comes period 1 at its own rate, and so on. Ordered without a
break, that is growth in time. But a night, a pause or a fault leaves the rate where it was: it has proved
nothing meanwhile.

No hour sees more orders than the rate of that hour: what counts against it is what was ordered in the sixty
minutes before now. So a closed window earns no more than one hour's worth, a clock that jumps forward
likewise, and after one that jumps back the orders "of the future" still count, and nothing goes out until
they are past.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final

from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY, HOUR

PER_HOUR_MAX: Final = 10_000_000
"""As good as no limit: all homes of a large supplier in an hour."""
FACTOR_MAX: Final = 100.0
EVERY_MAX: Final = 365 * DAY


class Growth(Enum):
    """How a rate changes from period to period."""

    CONSTANT = "constant"
    """It does not."""
    STEPPED = "stepped"
    """By as much each time."""
    EXPONENTIAL = "exponential"
    """By the same factor each time."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, and how it grows."""

    growth: Growth = Growth.CONSTANT
    """How it changes."""
    per_hour: int = PER_HOUR_MAX
    """Devices an hour at first, 1..`PER_HOUR_MAX`."""
    step: int = 0
    """Stepped: Devices an hour more in each period, 1..`PER_HOUR_MAX`."""
    factor: float = 1.0
    """Exponential: times as many in each period, more than 1, at most `FACTOR_MAX`."""
    every: int = DAY
    """Length of a period, us: an hour to a year. Only time in which orders go out at the full rate counts."""
    cap: int = PER_HOUR_MAX
    """Devices an hour that it never exceeds, `per_hour`..`PER_HOUR_MAX`."""

    def __post_init__(self) -> None:
        if not (
            1 <= self.per_hour <= self.cap <= PER_HOUR_MAX
            and 0 <= self.step <= PER_HOUR_MAX
            and 1 <= self.factor <= FACTOR_MAX
            and HOUR <= self.every <= EVERY_MAX
        ):
            raise UsageError(
                f"{self}: allowed is per_hour <= cap <= {PER_HOUR_MAX}, growth, and periods of 1 h up"
            )
        grows = {Growth.CONSTANT: True, Growth.STEPPED: self.step > 0, Growth.EXPONENTIAL: self.factor > 1}
        if not grows[self.growth]:
            raise UsageError(f"{self}: a rate that is {self.growth.value} must grow")


def per_hour(rate: Rate, ordered: int) -> int:
    """Devices an hour, once so many have been ordered."""
    if rate.growth is Growth.CONSTANT:
        return rate.per_hour
    left = Fraction(max(ordered, 0))
    hours = Fraction(rate.every, HOUR)
    here = Fraction(rate.per_hour)
    factor = Fraction(rate.factor)
    while here < rate.cap:
        left -= int(here) * hours
        if left < 0:
            break
        grown = here + rate.step if rate.growth is Growth.STEPPED else here * factor
        # A rate of a few an hour times 1.1 must not stand still for being rounded; it need not be exact.
        here = min(grown.limit_denominator(1000), Fraction(rate.cap))
    return int(here)


def allowance(rate: Rate, ordered: int, last_hour: int) -> int:
    """How many Devices may be ordered now.

    ordered    Devices that were ordered so far, first orders and later attempts
    last_hour  those of them that were ordered later than an hour before now, which is also: in the future
    """
    return max(0, per_hour(rate, ordered) - max(last_hour, 0))
