"""Run each target for a short, stated time. Exit code 1 where one of them found something."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from fuzz.targets import CORPUS, TARGETS

HERE: Final = Path(__file__).parent
FINDINGS: Final = HERE / "findings"
GROWN: Final = HERE.parent / ".cache" / "fuzz"
OCTETS_MAX: Final = 8192  # small enough for speed, large enough for every message we make
SLOW_SECONDS: Final = 5  # one input that takes longer is a finding
SHOWN: Final = 4000  # characters of the fuzzer's last words


def run(name: str, seconds: int) -> bool:
    """Whether the target stood for so long."""
    grown = GROWN / name
    grown.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "fuzz.one", name, f"-max_total_time={seconds}", f"-max_len={OCTETS_MAX}"]
    command += [f"-timeout={SLOW_SECONDS}", f"-artifact_prefix={FINDINGS}/{name}-", "-print_final_stats=1"]
    command += [str(grown), str(CORPUS / name)]
    done = subprocess.run(
        command,
        cwd=HERE.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    stood = done.returncode == 0
    inputs = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    print(
        f"fuzz: {name} {'stood' if stood else 'FELL'} after {inputs[1] if inputs else 'no'} inputs",
        flush=True,
    )
    if not stood:
        print("\n".join(line for line in done.stdout.splitlines() if not line.startswith("#"))[-SHOWN:])
    return stood


def main() -> int:
    """Run all targets, or those that are named."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), help="this one; may be repeated")
    given = parser.parse_args()

    fell = [name for name in given.only or TARGETS if not run(name, given.seconds)]
    print(
        f"fuzz: {', '.join(fell)} fell; see {FINDINGS}" if fell else f"fuzz: all stood {given.seconds} s each"
    )
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main())
