"""Write docs/machines.md: every state machine of the package, from the tables that the code runs by."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import Any, Final

import lamplighter
from lamplighter.campaign import Fact, Order, Stage
from lamplighter.campaign.next import DEADLINES, DEADLINES_OF
from lamplighter.campaign.state import FINAL, FLYING, IMPLIES
from lamplighter.kit import Chart

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "machines.md"

HEAD: Final = """\
# State machines

Written by `make docs` from the tables in the code; not edited by hand. Each arrow is one entry of a `Chart`:
in this state, on this signal, to that state. A signal without an arrow is an error, and changes nothing.

A Device's update is not a machine. Its state is a function of the set of evidence about it, in whatever order
that came. Each order is a step (attempt 1, its activations and questions, attempt 2, ...), each fact belongs
to a step and implies a stage of it, and the furthest holds: an end before a later step, a later step before
an earlier one, and within a step the stage that stands last in this table. A proof is further than all.

| stage | told as | implied by | whose move it is |
|---|---|---|---|
"""

DEADLINES_HEAD: Final = """
Where the world has to move, it has until the deadlines of the order. What has come no further by then is
silence, and then it is our move.

| order | deadline | in these stages | it is evidence that |
|---|---|---|---|
"""


def charts() -> list[tuple[str, Chart[Any, Any]]]:
    """Every chart with the module that defines it, by name."""
    found: dict[int, tuple[str, Chart[Any, Any]]] = {}
    for info in pkgutil.walk_packages(lamplighter.__path__, "lamplighter."):
        if info.name.endswith(".__main__"):
            continue
        module = importlib.import_module(info.name)
        if "= Chart(" not in inspect.getsource(module):
            continue  # it may import one
        for value in vars(module).values():
            if isinstance(value, Chart):
                found[id(value)] = (info.name, value)
    return sorted(found.values(), key=lambda it: it[1].name)


def stages() -> str:
    """The rows of the table of an update's stages."""
    rows = []
    for stage in Stage:
        facts = "; ".join(fact.value for fact, implied in IMPLIES.items() if implied is stage)
        if stage is Stage.PROVEN:
            facts = "any evidence with the version that the Device itself reports, if it is the release's"
        name = stage.name.replace("_", " ").lower()
        rows.append(f"| {name} | {stage.state.value} | {facts} | {_mover(stage)} |")
    return "\n".join(rows) + "\n"


def _mover(stage: Stage) -> str:
    if stage in FINAL:
        return "nobody's: the end" + ("" if stage is Stage.PROVEN else ", unless a proof comes")
    return "the world's" if stage in FLYING else "ours"


_AGAINST: Final = {Order.CALL_OFF_ACTIVATION: ", to call one off"}


def deadlines() -> str:
    """The rows of the table of deadlines: those that say the same thing of several stages in one."""
    rows = []
    for order, names in DEADLINES_OF.items():
        for name in names:
            by_fact: dict[Fact, list[str]] = {}
            for stage, fact in sorted(DEADLINES[name].items()):
                by_fact.setdefault(fact, []).append(stage.name.replace("_", " ").lower())
            rows += [
                f"| SRV {order.srv}{_AGAINST.get(order, '')} | {name} | {', '.join(where)} | {fact.value} |"
                for fact, where in by_fact.items()
            ]
    return "\n".join(rows) + "\n"


def page() -> str:
    """The whole page."""
    parts = [HEAD + stages() + DEADLINES_HEAD + deadlines()]
    for module, chart in charts():
        about = (sys.modules[module].__doc__ or "").partition("\n")[0]
        parts.append(f"## {chart.name}\n\n`{module}`: {about}\n\n```mermaid\n{chart.mermaid()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
