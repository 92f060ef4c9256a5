"""As `bench.rehearsal`, with ten million Devices."""

from __future__ import annotations

from typing import Final

from bench import rehearsal

NAME: Final = "CPU seconds of the flow model alone, vs rehearsal of 10 million Devices"
GOAL: Final = rehearsal.GOAL
DEVICES: Final = 10_000_000


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    return rehearsal.rounds(count, DEVICES)
