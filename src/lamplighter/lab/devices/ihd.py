"""IHD, the plain in-home display: on the HAN, and beyond the reach of every service request.

A Type 2 Device: it has no keys that a party could talk to, takes no image, and answers nothing. Whoever wants
new firmware on it must replace it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.kit import Step

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.lab.wire import HanFrame


class Ihd:
    """One IHD."""

    def __init__(self, eui64: Eui64) -> None:
        self.eui64 = eui64

    def start(self, now: Instant) -> Step:  # noqa: ARG002 # the shape of every node
        """Power on."""
        return Step()

    def stop(self) -> Step:
        """Power off."""
        return Step()

    def receive(self, frame: HanFrame, now: Instant) -> Step:  # noqa: ARG002 # it understands nothing
        """Take a frame, and ignore it."""
        return Step()

    def wake(self, now: Instant) -> Step:  # noqa: ARG002 # it never asked
        """Do nothing."""
        return Step()
