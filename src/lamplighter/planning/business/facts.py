"""A study as plain JSON: every figure of the report, in full precision, and the assumptions it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamplighter.planning.business import words
from lamplighter.planning.business.model import Option

if TYPE_CHECKING:
    from lamplighter.planning.business.results import BreakEven, Estimate, Odds, Study

_NAMES = {Option.OVER_THE_AIR: "over_the_air", Option.REPLACE: "replace", Option.HUB: "hub"}


def facts(study: Study) -> dict[str, Any]:
    """For `--json`; names and shapes are stable. Money is present value in the case's currency."""
    case = study.case
    return {
        "case": case.name,
        "question": case.question,
        "currency": case.currency,
        "years": case.years,
        "seed": study.seed,
        "replicas": study.futures,
        "verdict": words.verdict(study),
        "events": _estimate(study.events),
        "events_a_year": _estimate(study.frequency),
        "devices_struck": _estimate(study.struck),
        "implementation": _estimate(study.implementation),
        "options": {
            _NAMES[it.option]: {
                "cost": _estimate(it.cost),
                "parts": dict(it.parts),
                "devices_replaced": it.replaced,
                "visits": it.visits,
                "cheapest": _odds(it.cheapest),
            }
            for it in study.options
        },
        "cheapest_together": [
            {"options": [_NAMES[option] for option in it.options], "share": _odds(it.odds)}
            for it in study.ties
        ],
        "cheapest": _NAMES[study.cheapest] if study.cheapest is not None else None,
        "rival": _NAMES[study.rival.other],
        "over_the_air_against": {
            _NAMES[it.other]: {
                "saving": _estimate(it.saving),
                "cheaper": _odds(it.cheaper),
                "saving_without_best": it.without_best,
                "half_of_futures_from": study.even_odds(it.other),
                "break_even": {
                    "events_a_year": _even(it.frequency),
                    "implementation": _even(it.implementation),
                    "devices_struck": _even(it.volume),
                },
            }
            for it in study.comparisons
        },
        "by_frequency": [
            {
                "events_a_year": it.frequency,
                "saving_against_replace": _estimate(it.savings[0]),
                "saving_against_hub": _estimate(it.savings[1]),
                "cheaper_than_replace": it.cheaper[0],
                "cheaper_than_hub": it.cheaper[1],
            }
            for it in study.frequencies
        ],
        "swings": [
            {
                "input": it.key,
                "per": "event" if case.assumptions[it.key].per_event else "case",
                "values": list(it.values),
                "savings": list(it.savings),
            }
            for it in study.swings
        ],
        "value_of_knowing": {
            "everything": study.perfect,
            "inputs": [{"input": key, "amount": it.amount, "error": it.error} for key, it in study.values],
        },
        "scenarios": [
            {
                "name": it.scenario.name,
                "objection": it.scenario.objection,
                "source": it.scenario.source,
                "changes": [{"input": key, verb: number} for key, verb, number in it.scenario.changes],
                "saving_against_replace": _estimate(it.savings[0]),
                "saving_against_hub": _estimate(it.savings[1]),
                "cheaper_than_replace": it.cheaper[0],
                "cheaper_than_hub": it.cheaper[1],
                "cheapest": _NAMES[it.cheapest] if it.cheapest is not None else None,
            }
            for it in study.scenarios
        ],
        "parties": [
            {
                "name": it.name,
                "costs": it.costs,
                "savings": it.savings,
                "gain": _estimate(it.gain),
                "gains": _odds(it.pays),
            }
            for it in study.parties
        ],
        "paid_back_month": study.paid_back,
        "spent_by_year": {_NAMES[option]: list(line[11::12]) for option, line in study.cumulative.items()},
        "check": [
            {"option": _NAMES[it.option], "simulated": it.simulated, "error": it.error, "exact": it.exact}
            for it in study.checks
        ],
        "assumptions": [
            {
                "input": it.key,
                "meaning": it.meaning,
                "law": it.law.kind,
                "parameters": list(it.law.parameters),
                "unit": it.unit,
                "per": "event" if it.per_event else "case",
                "source": it.source,
                "date": it.dated or None,
                "note": it.note or None,
            }
            for it in case.assumptions.values()
        ],
    }


def _estimate(it: Estimate) -> dict[str, float]:
    return {"mean": it.mean, "error": it.error, "p10": it.low, "p50": it.middle, "p90": it.high}


def _odds(it: Odds) -> dict[str, float]:
    return {"share": it.share, "low": it.low, "high": it.high}


def _even(it: BreakEven) -> dict[str, float | str | None]:
    return {"pays": it.pays.value, "amount": it.amount, "error": it.error}
