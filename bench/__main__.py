"""Run the benchmarks: a table for people, JSON for machines. `python -m bench --help`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.backends.openssl import backend

from bench import Skipped

MODULES: Final = (
    "duis_alert",
    "duis_java",
    "gbcs_alert",
    "gbcs_mac",
    "ota_exchange",
    "image_parse",
    "exact_mode",
    "flow",
    "rehearsal",
    "order_build",
    "receive_verify_sqlite",
    "receive_verify_postgresql",
    "receive_ingest_sqlite",
    "receive_ingest_postgresql",
    "receive_scale_sqlite",
    "receive_scale_postgresql",
    "receive_latency_sqlite",
    "receive_latency_postgresql",
    "receive_goosebit",
    "web_pages",
    "web_streams",
    "metrics",
    "business_draws",
    "business_workers",
)
SCALE: Final = (
    # A fleet of ten million: minutes each, gigabytes of disk.
    "apply_sqlite",
    "apply_postgresql",
    "registry_load",
    "tick",
    "gate",
    "web_pages_scale",
)
ROUNDS_MIN: Final = 5
LATEST: Final = Path(__file__).parent / "results" / "latest.json"
LIBRARIES: Final = ("cryptography", "lxml", "zigpy")


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one benchmark, or why there are none."""

    module: str
    name: str
    compared: str
    goal: float
    unit: str
    ratios: tuple[float, ...] = ()
    skipped: str | None = None

    @property
    def median(self) -> float | None:
        """The figure that counts; None where nothing was measured."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None where nothing was measured."""
        return None if self.median is None else self.median >= self.goal


def measure(name: str, rounds: int) -> Result:
    """Run one module."""
    module = importlib.import_module(f"bench.{name}")
    compared = " ".join((module.__doc__ or "").split())
    result = Result(name, module.NAME, compared, module.GOAL, getattr(module, "UNIT", "x"))
    try:
        return replace(result, ratios=tuple(module.rounds(rounds)))
    except Skipped as reason:
        return replace(result, skipped=str(reason))


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "java": _java(),
        "openssl": backend.openssl_version_text(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _cpu_model() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _java() -> str | None:
    try:
        answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stderr.partition("\n")[0]


def table(results: list[Result]) -> str:
    """One line a benchmark."""
    wide = max(len(it.name) for it in results)
    lines = [f"{'benchmark':<{wide}} {'median':>9} {'min .. max':>19} {'goal':>9}  met"]
    for it in results:
        goal = f"{it.goal:g} {it.unit}"
        if it.median is None:
            lines.append(f"{it.name:<{wide}} {'-':>9} {'-':>19} {goal:>9}  skipped: {it.skipped}")
            continue
        spread = f"{min(it.ratios):.3g} .. {max(it.ratios):.3g}"
        median = f"{it.median:.3g} {it.unit}"
        lines.append(f"{it.name:<{wide}} {median:>9} {spread:>19} {goal:>9}  {'yes' if it.met else 'NO'}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write; 0 even where a goal is missed, unless `--strict`."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=MODULES + SCALE, help="this one; may be repeated")
    parser.add_argument("--scale", action="store_true", help="those of a fleet of ten million instead")
    parser.add_argument("--rounds", type=int, default=ROUNDS_MIN, help=f"at least {ROUNDS_MIN}, the default")
    parser.add_argument("--json", type=Path, default=LATEST, help="where the results go")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a goal is missed")
    given = parser.parse_args()

    results = []
    for name in given.only or (SCALE if given.scale else MODULES):
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        results.append(measure(name, max(given.rounds, ROUNDS_MIN)))
    facts = machine()
    figures = [asdict(it) | {"median": it.median, "met": it.met} for it in results]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"machine": facts, "results": figures}, indent=2) + "\n")

    print(table(results))
    print(f"\n{facts['cpu']}, {facts['cores']} cores, load {facts['load']:.2f}")
    print(f"{facts['python']}, {facts['openssl']}, {facts['java'] or 'no Java'}")
    print(f"results: {given.json}")
    missed = [it.name for it in results if it.met is False]
    if missed:
        print(f"{len(missed)} of {len(results)} goals MISSED: {'; '.join(missed)}")
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
