"""Alerts taken over HTTP, verified, committed and answered / verified in-process, per CPU-second."""

from __future__ import annotations

from bench import receive

NAME = "receive service / in-process verify, per CPU-second, PostgreSQL"
GOAL = 0.65


def rounds(count: int) -> list[float]:
    """`count` ratios, one pair a round."""
    return receive.against_verify("postgresql", count)
