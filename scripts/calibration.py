"""Forecast many campaigns, run each, and write into docs/forecast.md how often the bands held the truth.

`make calibration` runs it; `--render` only writes the tables anew, from the figures that were kept. The seeds
are in `lamplighter.planning.calibration`: whoever runs it again gets the same tables. For a seed that nobody
has looked at: `make calibration ARGS="--seed mine"`, which prints the tables and writes no page.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import exact_truth

from lamplighter.planning import calibration
from lamplighter.planning.assumptions import Assumptions
from lamplighter.planning.forecast import cores

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "forecast.md"
FIGURES = ROOT / "docs" / "calibration.json"
BEGIN, END = "<!-- calibration: written by `make calibration` -->\n", "<!-- end of calibration -->\n"
CAMPAIGNS_EXACT: Final = 24


def main() -> None:
    """Run, keep the figures, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--campaigns", type=int, default=calibration.TRIALS, help="of the first case; the next have a quarter"
    )
    parser.add_argument("--exact", type=int, default=CAMPAIGNS_EXACT, help="campaigns in exact mode")
    parser.add_argument("--workers", type=int, default=cores(), help="processes")
    parser.add_argument("--only", type=int, action="append", help="this case alone, from 0; may be repeated")
    parser.add_argument("--seed", default=calibration.SEED, help="another seed, that nobody has looked at")
    parser.add_argument("--figures", type=Path, help="where the figures are kept; else in docs/, of our seed")
    parser.add_argument(
        "--render", action="store_true", help="write the tables from the figures that are kept"
    )
    given = parser.parse_args()
    is_ours = given.seed == calibration.SEED and given.figures is None
    figures = FIGURES if is_ours else given.figures
    kept = json.loads(figures.read_text()) if figures is not None and figures.exists() else {}
    cases = [(case, calibration.in_flow) for case in calibration.cases(given.campaigns)]
    usual = Assumptions()
    exact = calibration.Case(
        "the truth in exact mode, through all of the service", usual, usual, given.exact, calibration.MEMBERS
    )
    cases.append((exact, exact_truth.trial))
    for number, (case, trial) in enumerate(cases):
        if given.render or not case.trials or (given.only and number not in given.only):
            continue
        began = monotonic()
        trials = calibration.run(
            case,
            given.seed,
            workers=given.workers,
            progress=partial(progress, case.name),
            trial=trial,
        )
        print(f"  {monotonic() - began:.0f} s", file=sys.stderr)
        kept[case.name] = {"seed": given.seed, "members": case.members} | calibration.figures(trials)
        if figures is not None:
            figures.write_text(json.dumps(kept, indent=1) + "\n")
    kept = {case.name: kept[case.name] for case, _ in cases if case.name in kept}
    if is_ours:
        text = PAGE.read_text()
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + calibration.tables(kept) + END + after)
    print(calibration.tables(kept))


def progress(name: str, done: int) -> None:
    """How far a case has come."""
    print(f"\r{name}: {done}", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
