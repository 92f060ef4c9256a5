"""The model: what each option costs in each future of a block.

For every must-fix event, Devices are struck: a share of the fleet of that month. Replacing cures all of them;
an update over the air or a fix of the hub cures some, if it can cure this event and is ready by then, and the
rest are replaced. All money is at constant prices, discounted monthly from the middle of each month.
`docs/business-case.md` has the formulae; `closed` has their expected values without any draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter.planning.business.draws import BLOCK, Events, Floats, at, constants, events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.planning.business.case import Case, Variant


_KEPT: Final = 31 << 20  # octets: beyond 32 MiB glibc learns nothing from it


class Option(IntEnum):
    """What can be done; a row of many tables."""

    OVER_THE_AIR = 0
    REPLACE = 1
    HUB = 2


class Figure(IntEnum):
    """What is kept of each future; a row of `Outcome.figures`. Money is present value."""

    BUILD_A = 0
    RUNNING_A = 1
    CAMPAIGN_A = 2
    VOLUME_A = 3
    CAMPAIGN_B = 4
    VOLUME_B = 5
    BUILD_C = 6
    RUNNING_C = 7
    CAMPAIGN_C = 8
    VOLUME_C = 9
    EVENTS = 10
    STRUCK = 11
    REPLACED_A = 12
    REPLACED_C = 13
    VISITS_A = 14
    VISITS_B = 15
    VISITS_C = 16
    MEANT = 17
    """Devices of the kinds that events struck, at the time: no more could be struck."""


COSTS: Final[Mapping[Option, tuple[Figure, ...]]] = {
    Option.OVER_THE_AIR: (Figure.BUILD_A, Figure.RUNNING_A, Figure.CAMPAIGN_A, Figure.VOLUME_A),
    Option.REPLACE: (Figure.CAMPAIGN_B, Figure.VOLUME_B),
    Option.HUB: (Figure.BUILD_C, Figure.RUNNING_C, Figure.CAMPAIGN_C, Figure.VOLUME_C),
}
"""What the cost of an option is made of."""

_SECTION: Final = {Option.OVER_THE_AIR: "over_the_air", Option.HUB: "hub"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a block comes to."""

    figures: Floats
    """One row a `Figure`, one column a future."""
    monthly: Floats | None
    """Present value of each option's cost in each month, summed over as many futures as were asked for."""


@cache
def _keep_memory() -> None:
    """Let this process keep what one block frees, for the next.

    The C library gives the end of the heap back to the system wherever it is larger than what was ever freed
    in one piece, and a block whose memory has to be had anew takes a quarter longer. So one large piece is
    freed first, which is never touched and costs nothing. Where another C library is used, nothing happens.
    """
    np.empty(_KEPT, np.uint8)


def evaluate(case: Case, variant: Variant, seed: int, block: int, *, monthly: int = 0) -> Outcome:
    """Work one block. The same arguments give the same bits, whoever asks.

    monthly  of how many of its futures the costs are wanted month by month
    """
    _keep_memory()
    known = constants(case, variant, seed, block)
    return work(case, known, events(case, variant, seed, block, known), monthly=monthly)


def work(case: Case, known: Mapping[str, Floats], found: Events, *, monthly: int = 0) -> Outcome:
    """Work a block whose numbers have been drawn."""
    figures = np.zeros((len(Figure), BLOCK))
    decay = np.log1p(known["discount.rate"]) / 12
    profile = np.zeros((len(Option), case.months)) if monthly else None
    ready = {}
    for option, section in _SECTION.items():
        build, running = COSTS[option][:2]
        ready[option] = np.maximum(np.rint(known[f"{section}.build_months"]), 0.0)
        length = np.minimum(np.maximum(ready[option], 1.0), case.months)
        total = known[f"{section}.first_estimate"] * known[f"{section}.growth"]
        figures[build] = total / length * _annuity(decay, 0.0, length)
        start = np.minimum(ready[option], case.months)
        yearly = known[f"{section}.running"]
        figures[running] = yearly / 12 * _annuity(decay, start, case.months)
        if profile is not None:
            profile[option] = _spread(case.months, decay, total / length, 0.0, length, monthly) + _spread(
                case.months, decay, yearly / 12, start, float(case.months), monthly
            )

    future, month = found.future, found.month
    worth = np.exp((month + 0.5) * at(-decay, future))
    growth = np.log1p(known["fleet.growth"]) / 12
    fleet = at(known["fleet.devices"], future) * np.exp(month * at(growth, future))
    np.minimum(fleet, at(known["fleet.ceiling"], future), out=fleet)
    each = _kinds(case, known)
    meant = fleet * _of_kind(each["share"], found)
    struck = found.reach * meant
    visits = _of_kind(each["visits"], found)
    harm = known["harm.cost"]
    replacing = _of_kind(each["replacement"], found)
    recall = at(known["replace.campaign"], future)
    updatable = np.array([float(it.over_the_air) for it in case.devices])[found.kind] > 0

    def add(figure: Figure, amounts: Floats) -> None:
        figures[figure] = np.bincount(future, amounts, BLOCK)

    counted = future < monthly
    spent_in = month[counted].astype(np.int64)

    def note(option: Option, amounts: Floats) -> None:
        if profile is not None:
            profile[option] += np.bincount(spent_in, amounts[counted], case.months)

    worth_recall = worth * recall
    worth_struck = worth * struck
    volume = worth_struck * replacing
    add(Figure.CAMPAIGN_B, worth_recall)
    add(Figure.VOLUME_B, volume)
    figures[Figure.EVENTS] = np.bincount(future, minlength=BLOCK)
    add(Figure.STRUCK, struck)
    add(Figure.MEANT, meant)
    add(Figure.VISITS_B, struck * visits)
    note(Option.REPLACE, worth_recall + volume)

    offered = _offered(known, found)
    for option, section in _SECTION.items():
        is_air = option is Option.OVER_THE_AIR
        does = found.curable[option is Option.HUB] & (month >= at(ready[option], future))
        reached: Floats = np.ones(1)
        if is_air:
            does = does & updatable
            reached = offered
        tried = does * reached
        cured = tried * found.success[option is Option.HUB]
        rest = 1.0 - cured
        wait = harm * known["harm.months_over_the_air" if is_air else "harm.months_hub"]
        campaign = worth * does * at(known[f"{section}.campaign"], future) + worth_recall * rest
        treated = tried * at(known[f"{section}.message"], future) + cured * at(wait, future)
        spent = worth_struck * (treated + rest * replacing)
        left = struck * rest
        _, _, on_campaign, on_volume = COSTS[option]
        add(on_campaign, campaign)
        add(on_volume, spent)
        add(Figure.REPLACED_A if is_air else Figure.REPLACED_C, left)
        add(Figure.VISITS_A if is_air else Figure.VISITS_C, left * visits)
        note(option, campaign + spent)
    return Outcome(figures, profile)


def _kinds(case: Case, known: Mapping[str, Floats]) -> dict[str, list[Floats]]:
    """By kind of Device: its share, visits for one replacement, and what that costs with all it takes."""
    waiting = known["harm.cost"] * known["harm.months_replace"]
    found: dict[str, list[Floats]] = {"share": [], "visits": [], "replacement": []}
    for device in case.devices:
        of = {key: known[f"device.{device.name}.{key}"] for key in ("share", "price", "logistics", "visited")}
        # Nobody at home: another visit, until somebody is. The number of visits is geometric.
        visits = of["visited"] / (1.0 - known["replace.no_access"])
        found["share"].append(of["share"])
        found["visits"].append(visits)
        found["replacement"].append(of["price"] + of["logistics"] + visits * known["replace.visit"] + waiting)
    return found


def _of_kind(values: list[Floats], found: Events) -> Floats:
    if all(len(it) == 1 for it in values):
        return np.concatenate(values)[found.kind]
    table = np.stack([np.broadcast_to(it, BLOCK) for it in values])
    return table[found.kind, found.future]


def _offered(known: Mapping[str, Floats], found: Events) -> Floats:
    """Share of the Devices that can be updated in that month: not stranded behind an old hub or hardware."""
    first, last, months = (known[f"over_the_air.stranded_{key}"] for key in ("first", "last", "months"))
    slope = (first - last) / np.where(months > 0, months, 1.0)
    fall = np.minimum(found.month, at(months, found.future)) * at(slope, found.future)
    done = at(months, found.future) <= 0
    return np.where(done, 1.0 - at(last, found.future), 1.0 - at(first, found.future) + fall)


def _annuity(decay: Floats, start: Floats | float, end: Floats | float) -> Floats:
    """Present value of 1 in the middle of each month from `start` up to `end`, whole numbers."""
    length = np.maximum(np.asarray(end) - start, 0.0)
    small = decay < _NO_DISCOUNT
    rate = np.where(small, 1.0, decay)
    total = np.exp(-rate * (np.asarray(start) + 0.5)) * np.expm1(-rate * length) / np.expm1(-rate)
    return np.where(small, length, total)


_NO_DISCOUNT: Final = 1e-12


def _spread(
    months: int, decay: Floats, amount: Floats, start: Floats | float, end: Floats | float, futures: int
) -> Floats:
    """What `_annuity` sums, month by month, over the first so many futures."""
    index = np.arange(months)[:, np.newaxis]
    paid = (index >= start) & (index < end)
    shape = np.broadcast_shapes(amount.shape, decay.shape, paid.shape[1:], (1,))
    worth = np.exp(-decay * (index + 0.5)) * amount * paid
    total: Floats = worth[:, :futures].sum(axis=1)
    return total if shape[0] > 1 else total * futures
