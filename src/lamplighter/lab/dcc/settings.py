"""What the DCC may be told to do otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from lamplighter.kit.instant import DAY
from lamplighter.lab.dcc.firmware import Limits
from lamplighter.lab.dcc.quarantine import AnomalyLimits
from lamplighter.lab.dcc.storm import StormLimits


@dataclass(frozen=True, slots=True)
class Settings:
    """What the DCC may be told to do otherwise. The periods are assumptions."""

    limits: Limits = field(default_factory=Limits)
    """What the network carries."""
    receipt_period: int = 3 * DAY
    """How long a hub may take to have an image; then the distribution has failed."""
    report_period: int = 14 * DAY
    """How long hub and Device may be silent about an image before the DCC stops waiting for them."""
    answer_period: int = 2 * DAY
    """How long a Device may take to answer a command."""
    dispatch_delay: int = 0
    """Microseconds for which an accepted image waits; what it is for is looked at again when it goes out."""
    memory_period: int = 30 * DAY
    """How long deliveries and commands are remembered after their end, and pre-commands that nobody signs."""
    storm: StormLimits = field(default_factory=StormLimits)
    """When alerts are throttled."""
    anomaly: AnomalyLimits = field(default_factory=AnomalyLimits)
    """When requests are held back."""
