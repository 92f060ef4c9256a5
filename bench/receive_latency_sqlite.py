"""The receive service's median latency under load, against its 99th percentile (at most 5 times)."""

from __future__ import annotations

from bench import receive

NAME = "receive service, median / 99th percentile, SQLite"
GOAL = 0.2


def rounds(count: int) -> list[float]:
    """`count` ratios, one pair a round."""
    return receive.steadiness("sqlite", count)
