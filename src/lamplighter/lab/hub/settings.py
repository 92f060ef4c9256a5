"""What makes one hub unlike another, and one Device on its HAN unlike another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from lamplighter.kit.instant import DAY, MINUTE
from lamplighter.lab.hub.post import MAIL, MAIL_HOLD

SLOTS: Final = 4  # different images that a hub holds at once; an assumption


class Activation(Enum):
    """How a Device is updated, by its kind."""

    AT_ONCE = "PPMID"
    """The Upgrade End Response says: now."""
    ON_COMMAND = "HCALCS"
    """It says: wait for a command."""
    METER = "ESME, GSME"
    """The same, and every hub can do it, whatever firmware it runs."""

    @property
    def delay(self) -> int | None:
        """What the Upgrade End Response says: seconds to wait, or None for a command."""
        return 0 if self is Activation.AT_ONCE else None


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes one kind of hub unlike another."""

    slots: int = SLOTS
    """Different images that it holds at once; an assumption."""
    hold: int = 7 * DAY
    """Microseconds for which it keeps an image for a Device; an assumption."""
    keeps_over_reboot: bool = True
    """Whether images outlive a reboot; if not, they are discarded (CCS08 code 1); an assumption."""
    block_period: int = 0
    """Minimum block period of its OTA server, milliseconds; 0: none. An assumption."""
    stall: int = 10 * MINUTE
    """Microseconds of silence after which a transfer loses its turn to another Device's; an assumption."""
    mail: int = MAIL
    """GBCS messages that it keeps for one Device; an assumption."""
    mail_hold: int = MAIL_HOLD
    """Microseconds for which it keeps one; an assumption."""
