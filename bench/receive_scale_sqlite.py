"""Two receive processes on one port and one database, against one, per second."""

from __future__ import annotations

from bench import receive

NAME = "two receive processes / one, SQLite"
GOAL = 1.7


def rounds(count: int) -> list[float]:
    """`count` ratios, one pair a round."""
    return receive.against_one("sqlite", count)
