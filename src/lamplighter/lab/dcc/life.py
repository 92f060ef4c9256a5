"""A Device's life in the Smart Metering Inventory: nine statuses, and what moves a Device between them.

The statuses are DUIS's; the arrows are put together from what the services are called (8.11 whitelist, 8.1.1
commission, 8.3 decommission, 8.5 suspend, restore) and are assumptions where two Devices might differ.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from lamplighter.kit import Chart
from lamplighter.protocol.duis import DeviceStatus


class Life(Enum):
    """What happens to a Device."""

    WHITELISTED = auto()
    """Its hub was told to let it join."""
    INSTALLED = auto()
    """It has joined its hub's HAN."""
    COMMISSIONED = auto()
    """It is in service; after recovery, in service again."""
    SUSPENDED = auto()
    """The DCC bars it: its model has left the CPL, or it is suspected."""
    RESTORED_TO_WHITELISTED = auto()
    """The bar is lifted from a Device that had been whitelisted."""
    RESTORED_TO_INSTALLED = auto()
    """The bar is lifted from a Device that had been installed."""
    RESTORED_TO_COMMISSIONED = auto()
    """The bar is lifted from a Device that had been commissioned."""
    RECOVERY_BEGUN = auto()
    """Its certificates are lost or broken, and the recovery key is being used on it."""
    RECOVERED = auto()
    """It holds sound certificates again, and waits for its Supplier's."""
    TAKEN_OUT = auto()
    """Out of service for good: decommissioned, or withdrawn where it never was in service."""


_S = DeviceStatus

LIFE: Final = Chart(
    "Device in the inventory",
    _S.PENDING,
    {
        (_S.PENDING, Life.WHITELISTED): _S.WHITELISTED,
        (_S.PENDING, Life.TAKEN_OUT): _S.WITHDRAWN,
        (_S.WHITELISTED, Life.INSTALLED): _S.INSTALLED_NOT_COMMISSIONED,
        (_S.WHITELISTED, Life.SUSPENDED): _S.SUSPENDED,
        (_S.WHITELISTED, Life.TAKEN_OUT): _S.WITHDRAWN,
        (_S.INSTALLED_NOT_COMMISSIONED, Life.COMMISSIONED): _S.COMMISSIONED,
        (_S.INSTALLED_NOT_COMMISSIONED, Life.SUSPENDED): _S.SUSPENDED,
        (_S.INSTALLED_NOT_COMMISSIONED, Life.TAKEN_OUT): _S.WITHDRAWN,
        (_S.COMMISSIONED, Life.SUSPENDED): _S.SUSPENDED,
        (_S.COMMISSIONED, Life.RECOVERY_BEGUN): _S.RECOVERY,
        (_S.COMMISSIONED, Life.TAKEN_OUT): _S.DECOMMISSIONED,
        (_S.SUSPENDED, Life.RESTORED_TO_WHITELISTED): _S.WHITELISTED,
        (_S.SUSPENDED, Life.RESTORED_TO_INSTALLED): _S.INSTALLED_NOT_COMMISSIONED,
        (_S.SUSPENDED, Life.RESTORED_TO_COMMISSIONED): _S.COMMISSIONED,
        (_S.SUSPENDED, Life.TAKEN_OUT): _S.DECOMMISSIONED,
        (_S.RECOVERY, Life.RECOVERED): _S.RECOVERED,
        (_S.RECOVERY, Life.TAKEN_OUT): _S.DECOMMISSIONED,
        (_S.RECOVERED, Life.COMMISSIONED): _S.COMMISSIONED,
        (_S.RECOVERED, Life.TAKEN_OUT): _S.DECOMMISSIONED,
    },
)

RESTORATIONS: Final = {
    _S.WHITELISTED: Life.RESTORED_TO_WHITELISTED,
    _S.INSTALLED_NOT_COMMISSIONED: Life.RESTORED_TO_INSTALLED,
    _S.COMMISSIONED: Life.RESTORED_TO_COMMISSIONED,
}
"""What restores a suspended Device, by the status that it was suspended in."""
