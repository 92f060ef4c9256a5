"""Alerts verified, stored and applied to their Devices' states / feedback posts to goosebit, per CPU-second.

Both on SQLite, which is both's default; goosebit verifies no signature. `bench.goosebit` says how it is run.
"""

from __future__ import annotations

from bench import goosebit, receive

NAME = "alerts verified, durable, state changed / goosebit feedback posts, per CPU-second"
GOAL = 12.0
POSTS = 400  # goosebit's of a round


def rounds(count: int) -> list[float]:
    """`count` ratios, one pair a round."""
    return [ours / goosebit.posts_per_cpu_second(POSTS) for ours in receive.applied("sqlite", count)]
