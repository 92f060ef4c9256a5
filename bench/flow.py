"""A poll-and-report job for 200,000 Devices in flow mode, against simpy doing the same job.

The job: an image is ordered for a sleeping PPMID, crosses the WAN, a receipt comes back, the PPMID asks when
it next wakes, is offered the image, fetches it with losses, ends, is told to activate and boots, and hub and
PPMID report over the WAN. simpy runs one process a Device, which draws each delay as it comes to it and waits
for it: `STEPS` events a Device, no more state than that, and no contention. Flow mode works out the same
instants with all that its model has, on one core and tables included, and lets an hour at a time go by and
tells what was heard. The ratio is device events a second, flow / simpy.

`python -m bench.flow growth` shows instead what a whole campaign costs for 1, 3, 10 and 30 million homes:
fleet, twenty daily waves, SRV 11.3 for those that need it, a second try where the first failed, and every
report read hour by hour for thirty days; with losses, interference, outages, sleepers and two scheduled
faults, on two cores. It takes minutes.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import simpy

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, SECOND
from lamplighter.lab.devices import BOOT_TIME, Schedule
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.flow import ENDED, Fleet, Flow, Load, Mix, Outcome, Settings, Stage, weights
from lamplighter.lab.flow.transfer import exchanges
from lamplighter.lab.han import Interference, Quality
from lamplighter.lab.wan import LINKS, RECEIPT_OCTETS, Link
from lamplighter.protocol.zigbee.download import ANSWER_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Generator

NAME: Final = "flow mode, device events a second, vs simpy running the same poll-and-report job"
GOAL: Final = 100.0

DEVICES: Final = 200_000
STEPS: Final = 14
IMAGE_OCTETS: Final = 300_000
_START: Final = Instant(1_900_000_000 * SECOND)
_LOSS: Final = 0.01
_MILLIONS: Final = (1, 3, 10, 30)
_WAVES: Final = 20
_DAYS: Final = 30
# Instants worked out for an order of each kind, and for a command; what the campaign's events are counted by.
_ORDER_EVENTS: Final = STEPS
_COMMAND_EVENTS: Final = 6


def rounds(count: int) -> list[float]:
    """Ratios, one a round."""
    fleet = Fleet.draw("bench", DEVICES, Mix(sleeping=1.0))
    ratios = []
    for number in range(count):
        theirs = _simpy(number)
        ours = _flow(fleet, number)
        ratios.append(theirs / ours)
    return ratios


def _flow(fleet: Fleet, number: int) -> float:
    """Seconds for the job, tables and all."""
    began = perf_counter()
    settings = Settings(qualities=(Quality(loss=_LOSS),))
    course = Flow(settings, load=Load(IMAGE_OCTETS), seed=f"bench {number}").over(fleet, _START)
    course.order(np.arange(DEVICES, dtype=np.uint32), _START)
    heard = sum(len(course.advance(Instant(_START + hour * HOUR)).device) for hour in range(1, 25))
    seconds = perf_counter() - began
    assert heard > 3.9 * DEVICES, "nearly every Device is heard of four times"
    return seconds


def _simpy(number: int) -> float:
    """Seconds for the same job."""
    dice = random.Random(number)
    link, hop, period = Link(), Quality().latency, Schedule().period
    image, receipt, alert, proof = (
        link.crossing(octets)
        for octets in (IMAGE_OCTETS, RECEIPT_OCTETS, weights.TRANSFER_ALERT, weights.PPMID_ALERT)
    )
    blocks = exchanges(IMAGE_OCTETS) - 1
    again = (1 - (1 - _LOSS) ** 2) * blocks
    spread = again**0.5
    heard: list[float] = []
    environment = simpy.Environment()

    def repeats() -> float:
        return ANSWER_TIMEOUT if dice.random() < _LOSS else 0.0

    def device() -> Generator[simpy.Event, Any, None]:
        wait = environment.timeout
        yield wait(image)
        yield wait(link.latency)  # the image is at the hub
        yield wait(receipt)
        yield wait(link.latency)  # N60
        heard.append(environment.now)
        yield wait(dice.random() * period)  # it wakes
        yield wait(hop + repeats())  # its query is at the hub
        yield wait(hop)  # the offer is on the Device
        yield wait(2 * hop * blocks + ANSWER_TIMEOUT * max(0, round(dice.gauss(again, spread))))
        yield wait(hop + repeats())  # its end is at the hub
        yield wait(alert + link.latency)  # N62
        heard.append(environment.now)
        yield wait(hop + repeats())  # it is told to activate
        yield wait(BOOT_TIME)
        yield wait(hop + repeats())
        yield wait(proof + link.latency)  # N39
        heard.append(environment.now)

    began = perf_counter()
    for _ in range(DEVICES):
        environment.process(device())
    environment.run()
    seconds = perf_counter() - began
    assert len(heard) == 3 * DEVICES
    return seconds


def growth() -> None:
    """One line for each size, each in a process of its own, so that its peak is its own."""
    head = (
        "million homes",
        "Devices",
        "events",
        "a Device",
        "seconds",
        "us a home",
        "octets a Device",
        "peak GiB",
    )
    print(" ".join(f"{name:>15}" for name in head))
    for millions in _MILLIONS:
        command = [sys.executable, "-m", "bench.flow", "campaign", str(millions)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(" ".join(f"{figure:>15}" for figure in json.loads(told)), flush=True)


def campaign(homes: int) -> tuple[str, ...]:
    """A whole campaign: a PPMID in most homes, an HCALCS in some."""
    began = perf_counter()
    regions = {region.value: link for region, link in LINKS.items()}
    settings = Settings(
        regions,
        (Quality(loss=0.002), Quality(latency=40 * MILLISECOND, loss=0.02, lateness=0.05)),
        Interference(pause=6 * HOUR, length=20 * SECOND),
    )
    faults = (
        Scheduled("lost-alert", probability=0.01),
        Scheduled("slow-region", Instant(_START + 5 * DAY), Instant(_START + 6 * DAY), frozenset({"North"})),
    )
    mix = Mix(
        regions=(0.2, 0.2, 0.2, 0.13, 0.14, 0.13),
        coverage=[link.coverage for link in LINKS.values()],
        kinds=(0.8, 0.2),
        qualities=(0.7, 0.3),
        ineligible=0.02,
        sleeping=0.3,
        off=0.01,
    )
    fleet = Fleet.draw("campaign", homes, mix)
    course = Flow(settings, faults, load=Load(IMAGE_OCTETS), seed="campaign", workers=2).over(fleet, _START)
    count = len(fleet)
    ended = np.zeros(len(Outcome), bool)
    ended[list(ENDED - {Outcome.UPDATED, Outcome.REFUSED})] = True
    commands = reports = 0
    again: deque[tuple[int, np.ndarray]] = deque()
    for hour in range(_DAYS * 24):
        now = Instant(_START + hour * HOUR)
        if hour % 24 == 0 and hour < _WAVES * 24:
            wave = hour // 24
            first, last = (count * edge // _WAVES for edge in (wave, wave + 1))
            course.order(np.arange(first, last, dtype=np.uint32), now)
        while again and again[0][0] <= hour:
            course.order(np.sort(again.popleft()[1]), now)
        heard = course.advance(Instant(now + HOUR))
        reports += len(heard.device)
        verified = heard.device[(heard.stage == Stage.VERIFIED) & (heard.outcome == Outcome.UNDER_WAY)]
        if len(verified):
            commands += len(verified)
            course.activate(np.sort(verified), Instant(now + HOUR))
        failed = heard.device[ended[heard.outcome]]
        failed = failed[course.attempts[failed] == 1]
        if len(failed):
            again.append((hour + 24, failed))
    orders = int(course.attempts.sum())
    events = orders * _ORDER_EVENTS + commands * _COMMAND_EVENTS + reports
    seconds = perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    updated = float((course.outcome == Outcome.UPDATED).mean())
    assert updated > 0.9, f"only {updated:.0%} of the Devices were updated"
    return (
        f"{homes / 1e6:g}",
        f"{count:,}",
        f"{events:,}",
        f"{events / count:.1f}",
        f"{seconds:.1f}",
        f"{seconds / homes * 1e6:.2f}",
        f"{course.nbytes / count:.1f}",
        f"{peak:.2f}",
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["growth"]:
            growth()
        case ["campaign", millions]:
            print(json.dumps(campaign(int(millions) * 1_000_000)))
        case _:
            sys.exit("usage: python -m bench.flow growth; for the ratio, python -m bench --only flow")
