"""The receive service that stores durably, against the same service storing nothing, per second."""

from __future__ import annotations

from bench import receive

NAME = "receive service, durable / storing nothing, PostgreSQL"
GOAL = 0.65


def rounds(count: int) -> list[float]:
    """`count` ratios, one pair a round."""
    return receive.against_forgetting("postgresql", count)
