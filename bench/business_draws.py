"""10,000 futures of a 10-year monthly business case, against numpy drawing the same random numbers bare.

Both draw as many numbers of the same distributions with Philox: the case in blocks, each input from a stream
of its own, and then costs every event under three options; the other one array at a time, and no more. The
ratio is time of the bare draws / time of the case: 0.2 is five times as long.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from time import perf_counter
from typing import Final

import numpy as np
from numpy.random import Generator, Philox

from lamplighter.planning import business
from lamplighter.planning.business.draws import BLOCK, constants
from lamplighter.planning.business.model import Figure, evaluate

NAME: Final = "business case, 10,000 futures of 10 years monthly, vs the bare draws of its random numbers"
GOAL: Final = 0.2

FUTURES: Final = 10_000
YEARS: Final = 10
_BLOCKS: Final = ceil(FUTURES / BLOCK)


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    case = replace(business.parse(business.example()), years=YEARS)
    events = _case(case, 0)[1]
    _bare(case, events)  # what is done once only, such as tables, is done before
    return [_bare(case, events) / _case(case, number)[0] for number in range(count)]


def _case(case: business.Case, seed: int) -> tuple[float, int]:
    """Seconds for all futures, and how many events they had."""
    began = perf_counter()
    figures = [evaluate(case, (), seed, block).figures for block in range(_BLOCKS)]
    seconds = perf_counter() - began
    return seconds, int(sum(it[Figure.EVENTS].sum() for it in figures))


def _bare(case: business.Case, events: int) -> float:
    """Seconds for the same numbers of the same distributions, an array each."""
    mean = {key: float(values.mean()) for key, values in constants(case, (), 0, 0).items()}
    months, spread = case.months, mean["events.cluster_months"]
    expected = mean["events.frequency"] / 12 * (months + spread) / mean["events.clustering"]
    dice = Generator(Philox(key=np.array([1, 2], dtype=np.uint64)))
    began = perf_counter()
    for it in case.assumptions.values():
        if not it.law.is_fixed:
            it.law.draw(dice, events if it.per_event else FUTURES)
    causes = int(dice.poisson(expected, FUTURES).sum())
    dice.random(causes)  # when each begins
    dice.poisson(mean["events.clustering"] - 1, causes)
    for _ in range(4):  # when each event comes, which kind it strikes, what can cure it
        dice.random(events)
    return perf_counter() - began
