"""Forecast many campaigns, run each, and write into docs/forecast.md how often the bands held the truth.

`make calibration` runs it: about an hour on two cores. `--render` only writes the tables anew, from the
figures that were kept. The seeds are in `lamplighter.planning.calibration`: whoever runs it again gets the
same tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import monotonic

from lamplighter.planning import calibration
from lamplighter.planning.forecast import cores

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "forecast.md"
FIGURES = ROOT / "docs" / "calibration.json"
BEGIN, END = "<!-- calibration: written by `make calibration` -->\n", "<!-- end of calibration -->\n"
EXACT = 24


def main() -> None:
    """Run, keep the figures, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=calibration.TRIALS, help="campaigns of the first case")
    parser.add_argument("--exact", type=int, default=EXACT, help="campaigns in exact mode")
    parser.add_argument("--workers", type=int, default=cores(), help="processes")
    parser.add_argument("--only", type=int, action="append", help="this case alone, from 0; may be repeated")
    parser.add_argument("--seed", default=calibration.SEED, help="another seed, to practise on")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where the figures are kept")
    parser.add_argument(
        "--render", action="store_true", help="write the tables from the figures that are kept"
    )
    given = parser.parse_args()
    kept = json.loads(given.figures.read_text()) if given.figures.exists() else {}
    if not given.render:
        cases = calibration.cases(given.trials)
        for number, case in enumerate(cases):
            if given.only and number not in given.only:
                continue
            if not case.trials:
                continue
            began = monotonic()
            trials = calibration.run(
                case,
                given.seed,
                workers=given.workers,
                progress=lambda done, case=case: print(f"\r{case.name}: {done}", end="", file=sys.stderr),
            )
            print(f"  {monotonic() - began:.0f} s", file=sys.stderr)
            kept[case.name] = {"seed": given.seed, "members": case.members} | calibration.figures(trials)
            given.figures.write_text(json.dumps(kept, indent=1) + "\n")
    if given.seed == calibration.SEED and given.figures == FIGURES:
        text = PAGE.read_text()
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(before + BEGIN + calibration.tables(kept) + END + after)
    print(calibration.tables(kept))


if __name__ == "__main__":
    main()
