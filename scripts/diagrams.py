"""Write docs/machines.md: every state machine of the package, from the tables that the code runs by."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any, Final

import lamplighter
from lamplighter.campaign.state import END_STATES, IMPLIES, State
from lamplighter.kit import Chart

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "machines.md"

HEAD: Final = """\
# State machines

Written by `make docs` from the tables in the code; not edited by hand. Each arrow is one entry of a `Chart`:
in this state, on this signal, to that state. A signal without an arrow is an error, and changes nothing.

A Device's update is not a machine. Its state is a function of the set of evidence about it, in whatever order
that came: the last state in this table that some evidence implies.

| state | implied by | the end |
|---|---|---|
"""


def charts() -> list[tuple[str, Chart[Any, Any]]]:
    """Every chart with the module that defines it, by name."""
    found: dict[int, tuple[str, Chart[Any, Any]]] = {}
    for info in pkgutil.walk_packages(lamplighter.__path__, "lamplighter."):
        if info.name.endswith(".__main__"):
            continue
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, Chart):
                # The package that re-exports a chart is walked first; the deepest module is its home.
                known = found.get(id(value), (info.name, value))[0]
                found[id(value)] = (max(known, info.name, key=lambda name: name.count(".")), value)
    return sorted(found.values(), key=lambda it: it[1].name)


def states() -> str:
    """The rows of the table of a Device's states."""
    rows = []
    for state in State:
        facts = "; ".join(fact.value for fact, implied in IMPLIES.items() if implied is state)
        if state is State.PROVEN:
            facts = "any evidence with the version that the Device itself reports, if it is the release's"
        rows.append(f"| {state.value} | {facts or 'nothing yet'} | {'yes' if state in END_STATES else ''} |")
    return "\n".join(rows)


def page() -> str:
    """The whole page."""
    parts = [HEAD + states() + "\n"]
    for module, chart in charts():
        about = (sys.modules[module].__doc__ or "").partition("\n")[0]
        parts.append(f"## {chart.name}\n\n`{module}`: {about}\n\n```mermaid\n{chart.mermaid()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
