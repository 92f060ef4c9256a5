"""The business case on two worker processes that run already, against this process alone: futures a second.

The same blocks of the example case, two at a time or one after the other. Two cores that are shared, or are
two threads of one, give less than twice as much, and no program can help it.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Final

from lamplighter.planning import business
from lamplighter.planning.business.draws import BLOCK
from lamplighter.planning.business.results import costs_of
from lamplighter.planning.business.spread import Here, Spread, processes

NAME: Final = "business case, two worker processes vs one"
GOAL: Final = 1.7

FUTURES: Final = 400_000


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    case = business.parse(business.example())
    ratios = []
    with processes(2) as two:
        _seconds(case, two, 0)  # they start
        for number in range(count):
            one = _seconds(case, Here(), number + 1)
            ratios.append(one / _seconds(case, two, number + 1))
    return ratios


def _seconds(case: business.Case, working: Spread, seed: int) -> float:
    """Seconds for all futures; each block answers with its costs, as it does in a study."""
    began = perf_counter()
    answers = list(
        working.map(partial(costs_of, case, seed), [((), block) for block in range(FUTURES // BLOCK)])
    )
    seconds = perf_counter() - began
    assert len(answers) == FUTURES // BLOCK
    return seconds
