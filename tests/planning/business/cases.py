"""Cases for the tests: the example, with what a test wants otherwise."""

from __future__ import annotations

from dataclasses import replace

from lamplighter.planning import business
from lamplighter.planning.business.laws import Law, checked
from lamplighter.planning.business.results import fixed

EXAMPLE = business.parse(business.example())


def changed(case, laws=None, **others):
    """The case with other laws: a number, or a kind and its parameters."""
    assumptions = dict(case.assumptions)
    for key, what in (laws or {}).items():
        old = assumptions[key]
        kind, *parameters = what if isinstance(what, tuple) else ("value", what)
        law = checked(kind, tuple(map(float, parameters)), old.law.low, old.law.high)
        assumptions[key] = replace(old, law=law, per_event=old.per_event and not law.is_fixed)
    return replace(case, assumptions=assumptions, **others)


def plain(laws=None, **others):
    """The example without any uncertainty but when events come, and how each differs."""
    return changed(fixed(EXAMPLE), laws, **others)


def law(kind, *parameters, low=0.0, high=1e12) -> Law:
    """A law of a wide input."""
    return checked(kind, tuple(map(float, parameters)), low, high)
