"""As `web_pages`, over ten million Devices: pages and API answers against bare primary-key lookups.

The first look at the fleet counts all Devices, once a minute at most and however many people look; here, as
there, that first look is not counted.
"""

from __future__ import annotations

from typing import Final

from bench import web_pages

NAME: Final = "slowest page or API answer vs a primary-key lookup, 10 million Devices"
GOAL: Final = web_pages.GOAL
DEVICES: Final = 10_000_000


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    return web_pages.rounds(count, DEVICES)
