"""Live through one fixed rehearsal and print the digest of its trace: `python -m lab.digest`.

A program of its own, so that another interpreter can run it: `test_determinism` compares what they print.
"""

from __future__ import annotations

import sys

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.faults import FAULTS, Scheduled
from lamplighter.lab.homes import START, Estate, build_world
from lamplighter.lab.rehearsal import Rehearsal

SEED = "the same"
HOMES = 8
DAYS = 3
OUTAGE = Scheduled("dcc-outage", Instant(START + 2 * HOUR), Instant(START + 3 * HOUR))


def digest(seed: str = SEED) -> tuple[str, int]:
    """Mixed homes with all faults at once, some days long; and how many frames and messages there were."""
    often = [
        Scheduled(name, Instant(START + HOUR // 60), Instant(START + DAY), probability=0.2)
        for name in FAULTS
        if name != OUTAGE.name
    ]
    lab = build_world(seed, HOMES, estate=Estate(), faults=(*often, OUTAGE))
    Rehearsal(lab).run(Instant(lab.world.now + DAYS * DAY))
    return lab.world.digest(), len(lab.world.trace)


if __name__ == "__main__":
    print(sys.version.split()[0], *digest(*sys.argv[1:]))  # noqa: T201 # a program for one test
