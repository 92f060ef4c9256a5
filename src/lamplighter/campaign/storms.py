"""What an alert storm is: pure rules over alerts counted by the hour.

The DCC throttles equal alerts of one Device and sends one for many, with their count. So a storm shows in two
ways: a Device raises far more alerts of one code than it should (or the DCC says that it had to throttle it),
or many Devices that run one version raise it, each a little, and together it is a flood. The first is a
Device's storm while few Devices of a version have it, and the version's where many do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.protocol import gbcs

if TYPE_CHECKING:
    from lamplighter.kit import Instant

EXPECTED: Final = frozenset(f"{code:04X}" for code in gbcs.AlertCode)
"""Device alerts that our own orders bring about: an update of a million Devices is no storm of 8F72. Where
the DCC throttles one of them all the same, it counts as any other."""


@dataclass(frozen=True, slots=True)
class StormRules:
    """When alerts are a storm. Nobody publishes such numbers: these are assumptions, made to be changed."""

    device_hour: int = 20
    """Alerts of one code by one Device in one hour, from which on it storms; if throttled, from the first."""
    many: int = 10
    """So many storming Devices that run one version are a storm of the version, and no longer of each."""
    version_hour: int = 100
    """Alerts of one code in one hour by Devices of one version that do not storm by themselves: with fewer,
    no rate is a storm."""
    version_rate: float = 0.5
    """Alerts in an hour by Device that runs the version, from which on it is a storm."""
    quiet: int = DAY
    """Microseconds without a stormy hour after which a storm is over."""

    def __post_init__(self) -> None:
        low = self.device_hour < 2 or self.many < 1 or self.version_hour < 1 or self.version_rate <= 0
        if low or self.quiet < HOUR:
            raise UsageError(f"no such rules for storms: {self}")


RULES: Final = StormRules()


class Kind(NamedTuple):
    """What is counted together."""

    code: str
    """The alert's code: "8F3E", "N62"."""
    manufacturer: int
    """Zigbee manufacturer code; -1: the registry does not know the Device."""
    model: int
    """Model identifier, or -1."""
    hardware: int
    """Hardware version, or -1."""
    version: int
    """Firmware version as a whole number, or -1."""


class Heard(NamedTuple):
    """What Devices of one version raised in one hour."""

    messages: int
    """That came."""
    alerts: int
    """That they stand for."""
    throttled: int
    """Those of them that the DCC summed up."""
    devices: int
    """Different ones."""
    storming: int
    """Those of them with `device_hour` alerts or more, or with a throttled one."""
    calm: int
    """Alerts of the others."""


def is_version_storm(rules: StormRules, heard: Heard, running: int) -> bool:
    """Whether this hour is a storm of the version; `running`: Devices that run it, 0 where nobody knows."""
    if heard.storming >= rules.many:
        return True
    # Not by all alerts: where few Devices raise most of them, each has a storm of its own.
    return heard.calm >= rules.version_hour and 0 < rules.version_rate * running <= heard.calm


def is_over(rules: StormRules, last_at: Instant, now: Instant) -> bool:
    """Whether a storm whose last stormy hour ended at `last_at` is over."""
    return now - last_at >= rules.quiet
