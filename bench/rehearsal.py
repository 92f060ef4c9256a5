"""A rehearsal of a whole campaign against the flow model alone: the same homes, orders, activations and
looks.

A campaign for PPMIDs in three waves, with its gates, reads and later attempts, is rehearsed. Beside it flow
mode does the same by itself: it has drawn the same homes, orders the same Devices at the same times and lets
the same hours go by, and nobody looks at what it hears. The ratio is CPU seconds, flow alone / rehearsal;
what is missing to 1 is policy, tallies and deadlines.

The two take turns every second or so, so that a neighbour who takes the memory for a while slows both.
All of it in a process of its own that touches at first as much memory as both take, and gives none back. A
virtual machine hands free memory to its host within seconds, and whoever touches two megabytes of it again
waits milliseconds: a second and more in all, which falls on the one or the other by chance.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import process_time
from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter.campaign import plan as plans
from lamplighter.kit import FirmwareVersion
from lamplighter.kit.instant import from_iso
from lamplighter.planning import rehearse
from lamplighter.planning.assumptions import Assumptions
from lamplighter.planning.estate import described
from lamplighter.planning.fleet import Fleet
from lamplighter.planning.paper import Paper
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType
from lamplighter.registry import Cohort, Procedure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lamplighter.kit import Instant
    from lamplighter.planning.assumptions import Circumstances

NAME: Final = "CPU seconds of the flow model alone, vs rehearsal of 10 million Devices"
GOAL: Final = 0.667  # the rehearsal costs at most one and a half of it
DEVICES: Final = 10_000_000
_OCTETS_A_DEVICE: Final = 220  # a little more than two worlds and a campaign take at the most
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # mallopt(3)
_TURN: Final = 32  # looks and orders after which the other has its turn
_START: Final = from_iso("2026-01-12T09:00:00Z")
_PLAN: Final = """
name = "rehearsed"
stratify = ["hub_model", "hub_firmware"]
approvals = 0
batch_max = 50000
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = 0.01
minimum = 200
soak = "24h"
[[wave]]
name = "tenth"
share = 0.1
soak = "12h"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.05
max_failure_rate = 0.2
acceptable_silence_rate = 0.05
max_silence_rate = 0.2
[rate]
per_hour = {rate}
"""


class Doubled(rehearse.World):
    """A world beside which flow mode does the same by itself, some looks and orders later."""

    def __init__(self, its: rehearse.Scene, world: Circumstances, seed: str) -> None:
        super().__init__(its, world, seed)
        began = process_time()
        self._alone = rehearse.World(its, world, seed).course
        self.alone_seconds = process_time() - began
        self._script: list[tuple[Instant, NDArray[np.uint32] | None]] = []

    def hear(self, paper: Paper, now: Instant) -> None:
        if len(self._script) >= _TURN:
            self.catch_up()
        self._script.append((now, None))
        super().hear(paper, now)

    def _update(self, paper: Paper, devices: NDArray[np.uint32], now: Instant) -> None:
        self._script.append((now, devices))
        super()._update(paper, devices, now)

    def catch_up(self) -> None:
        """Let flow mode do what it has not done yet."""
        began = process_time()
        for at, ordered in self._script:
            if ordered is None:
                self._alone.advance(at)
            else:
                self._alone.order(ordered, at)
        self._script.clear()
        self.alone_seconds += process_time() - began


def scene(devices: int) -> rehearse.Scene:
    plan = plans.parse(_PLAN.format(rate=max(100, devices // 100)))
    counts = {
        Cohort(
            DeviceType.PPMID, 0x121D, 1, 0x1111, FirmwareVersion(0x0100_0000), DeviceStatus.COMMISSIONED,
            region=region.value, hub_model=f"CH-{model}",
        ): devices // 12
        for region in list(CspRegion)[:6]
        for model in "AB"
    }  # fmt: skip
    release = Fleet(counts).release(Procedure.ONE_STEP)
    return rehearse.Scene(plan, Procedure.ONE_STEP, 300_000, described(plan, release, counts), _START)


def once(devices: int, number: int) -> tuple[float, float]:
    """CPU seconds: rehearsal, flow alone."""
    its, seed = scene(devices), f"bench {number}"
    circumstances = Assumptions().draw(seed)
    began = process_time()
    world = Doubled(its, circumstances, seed)
    course = rehearse.play(its, Paper(its.plan, its.procedure, its.estate, its.start), world)
    world.catch_up()
    both = process_time() - began
    assert course.finished
    assert course.reached > 0.9 * devices
    return both - world.alone_seconds, world.alone_seconds


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    ratios = []
    with ProcessPoolExecutor(1, get_context("spawn"), _keep_memory, (DEVICES,)) as apart:
        for number in range(count):
            ours, theirs = apart.submit(once, DEVICES, number).result()
            ratios.append(theirs / ours)
    return ratios


def _keep_memory(devices: int) -> None:
    """Touch what a round takes, and let the C library keep all of it from now on."""
    if platform.libc_ver()[0] == "glibc":
        ours = ctypes.CDLL(None)
        assert ours.mallopt(_M_MMAP_MAX, 0)
        assert ours.mallopt(_M_TRIM_THRESHOLD, -1)
    np.full(devices * _OCTETS_A_DEVICE, 1, np.uint8)


if __name__ == "__main__":
    fleet = int(sys.argv[1])
    _keep_memory(fleet)
    ours, theirs = once(fleet, 0)
    print(f"{fleet:,} Devices: rehearsal {ours:.1f} s, flow alone {theirs:.1f} s: {theirs / ours:.2f}")
