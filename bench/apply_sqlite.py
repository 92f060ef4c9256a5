"""On SQLite: batches of 100,000 alerts applied to 10 million updates / bare UPDATE of the same rows."""

from __future__ import annotations

from bench import apply

NAME = "apply 100,000 alerts to 10 million updates, SQLite / bare UPDATE"
GOAL = apply.GOAL


def rounds(count: int) -> list[float]:
    """`count` ratios of (time of bare UPDATEs / time of ours); `bench.apply` says what is compared."""
    return apply.rounds_on("sqlite", count)
