"""Benchmarks whose figures are ratios against a bare primitive, taken pair by pair in one run.

A ratio survives a slow machine and a busy neighbour: both halves of a pair suffer alike. Each module here
says in its docstring what is compared, and has `NAME`, `GOAL` and `rounds(count) -> list[float]`, one ratio a
round (more is better). A module that cannot run here raises `Skipped` with the reason.
"""


class Skipped(Exception):  # noqa: N818 # not an error: the reason why a comparison is not made here
    """This benchmark cannot run here; the message says why."""
