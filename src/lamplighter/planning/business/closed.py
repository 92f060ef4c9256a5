"""Closed form: what each option is expected to cost, where nothing is uncertain but when events come.

No draw and no random number: sums over months and kinds of Device. It holds for cases whose inputs are all
fixed, but for those that differ from event to event, which enter by their mean. The Monte Carlo is tested
against it, and each report shows both.
"""

from __future__ import annotations

from math import exp, log1p
from typing import TYPE_CHECKING

from lamplighter.kit import UsageError
from lamplighter.planning.business.model import Option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.planning.business.case import Case


def expected_costs(case: Case) -> dict[Option, float]:
    """Expected present value of each option's cost.

    Raises `UsageError` where an input is uncertain: `fixed` makes a case without such.
    """
    if case.uncertain:
        raise UsageError(f"no closed form: {case.uncertain[0]} is uncertain")
    x = {key: it.law.mean for key, it in case.assumptions.items()}
    share = case.assumptions["events.reach"].law.mean_times(x["events.severity"])
    decay, growth = log1p(x["discount.rate"]) / 12, log1p(x["fleet.growth"]) / 12
    worth = [exp(-decay * (month + 0.5)) for month in range(case.months)]
    costs = {
        Option.OVER_THE_AIR: _one_off(x, "over_the_air", worth),
        Option.REPLACE: 0.0,
        Option.HUB: _one_off(x, "hub", worth),
    }
    for month, value in enumerate(worth):
        fleet = min(x["fleet.devices"] * exp(growth * month), x["fleet.ceiling"])
        for device in case.devices:
            of = {key: x[f"device.{device.name}.{key}"] for key in _DEVICE}
            rate = x["events.frequency"] / 12 * of["events"]
            struck = share * fleet * of["share"]
            visit = of["visited"] * x["replace.visit"] / (1 - x["replace.no_access"])
            replacing = of["price"] + of["logistics"] + visit + x["harm.cost"] * x["harm.months_replace"]
            recall = x["replace.campaign"] + struck * replacing
            costs[Option.REPLACE] += value * rate * recall
            reach = {Option.OVER_THE_AIR: _offered(x, month) if device.over_the_air else 0.0, Option.HUB: 1.0}
            for option, section in _SECTION.items():
                can = (option is Option.HUB or device.over_the_air) and month >= round(
                    x[f"{section}.build_months"]
                )
                likely = x[f"{section}.curable"] if can else 0.0
                cured = reach[option] * x[f"{section}.success"]
                treated = (
                    x[f"{section}.campaign"]
                    + struck * reach[option] * x[f"{section}.message"]
                    + struck * cured * x["harm.cost"] * x[_WAIT[option]]
                    + (1 - cured) * recall
                )
                costs[option] += value * rate * (likely * treated + (1 - likely) * recall)
    return costs


_DEVICE = ("share", "events", "price", "logistics", "visited")
_SECTION = {Option.OVER_THE_AIR: "over_the_air", Option.HUB: "hub"}
_WAIT = {Option.OVER_THE_AIR: "harm.months_over_the_air", Option.HUB: "harm.months_hub"}


def _one_off(x: Mapping[str, float], section: str, worth: list[float]) -> float:
    ready = round(x[f"{section}.build_months"])
    built = min(max(ready, 1), len(worth))
    total = x[f"{section}.first_estimate"] * x[f"{section}.growth"]
    return total / built * sum(worth[:built]) + x[f"{section}.running"] / 12 * sum(worth[ready:])


def _offered(x: Mapping[str, float], month: int) -> float:
    first, last, months = (x[f"over_the_air.stranded_{key}"] for key in ("first", "last", "months"))
    return 1 - (first + (last - first) * min(1.0, month / months) if months else last)
