"""A forecast: many rehearsals of one plan, each in a world of its own, put in order.

Of M rehearsals that are as good as the truth itself, the truth falls between the k-th lowest and the k-th
highest with the probability (M + 1 - 2k) / (M + 1), whatever the distribution: of 19 with k = 2, and of 9
with k = 1, exactly 80 %. So only such numbers of rehearsals are taken. "As good as the truth" is the
assumption that it all stands on: the figures of `assumptions.Assumptions` lie in their ranges, and homes and
networks behave as flow mode does. docs/forecast.md shows what becomes of the band where they do not.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

import numpy as np

from lamplighter.campaign.forecast import LEVEL, Forecast, Three
from lamplighter.kit import Instant, UsageError
from lamplighter.planning.assumptions import Assumptions
from lamplighter.planning.estate import described
from lamplighter.planning.rehearse import STEP, Course, Scene, rehearse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from lamplighter.campaign.plan import Plan
    from lamplighter.registry import Cohort
    from lamplighter.store.registry import Registered

MEMBERS: Final = 19
"""Rehearsals of a forecast, if nothing else is said."""
MEMBERS_MAX: Final = 999
SURE: Final = 0.95
"""The probability with which a whole curve is to keep to the band that an alarm looks at."""

_POINTS: Final = 240  # moments of a forecast
_AT_ONCE: Final = 200_000  # Devices up to which a forecast is made while somebody waits


def members_for(devices: int) -> int:
    """How many rehearsals of so many Devices are worth their time."""
    return 39 if devices <= 50_000 else MEMBERS if devices <= 1_000_000 else 9


def rank(members: int, level: float = LEVEL) -> int:
    """The k of the k-th lowest and k-th highest; raises `UsageError` where the level is not met exactly."""
    k = (members + 1) * (1 - level) / 2
    if not 1 <= members <= MEMBERS_MAX or round(k) < 1 or abs(k - round(k)) > 1e-9:
        raise UsageError(
            f"a band of {level:.0%} wants 9, 19, 29, 39, ... rehearsals, up to {MEMBERS_MAX}, not {members}"
        )
    return round(k)


def ensemble(
    scene: Scene,
    assumptions: Assumptions,
    *,
    seed: str,
    members: int,
    workers: int = 1,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Course]:
    """So many rehearsals, each with figures drawn anew; the same for any number of worker processes."""
    seeds = [f"{seed}/{number}" for number in range(members)]
    courses: list[Course] = []
    if workers <= 1 or members < 2:
        for each in seeds:
            courses.append(rehearse(scene, assumptions.draw(each), each))
            progress(len(courses))
        return courses
    context = get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, members), context, initializer=_settle_in, initargs=(scene, assumptions)
    ) as pool:
        for course in pool.map(_one, seeds):
            courses.append(course)
            progress(len(courses))
    return courses


_HERE: dict[str, tuple[Scene, Assumptions]] = {}


def _settle_in(scene: Scene, assumptions: Assumptions) -> None:
    _HERE["scene"] = scene, assumptions


def _one(seed: str) -> Course:
    scene, assumptions = _HERE["scene"]
    return rehearse(scene, assumptions.draw(seed), seed)


def forecast(scene: Scene, courses: Sequence[Course], made_at: Instant) -> Forecast:
    """Put rehearsals in order."""
    k = rank(len(courses))
    last = max(course.end for course in courses)
    step = max(scene.step, -(-last // _POINTS // scene.step) * scene.step)
    since = np.arange(0, last + step, step, dtype=np.int64)
    curves = np.array([course.at(since) for course in courses])
    ordered = np.sort(curves, axis=0)
    middle = np.median(ordered, axis=0).astype(np.int64)
    low, high = ordered[k - 1], ordered[-k]
    reach, sure = _reach(curves, middle, ordered, k)
    kinds = sorted({srv for course in courses for srv in course.requests})
    return Forecast(
        made_at=made_at,
        devices=len(scene.estate),
        since_start=tuple(since.tolist()),
        low=tuple(low.tolist()),
        middle=tuple(middle.tolist()),
        high=tuple(high.tolist()),
        ends=three([course.end for course in courses]),
        failures=three([course.failures for course in courses]),
        requests={srv: three([course.requests.get(srv, 0) for course in courses]) for srv in kinds},
        level=LEVEL,
        reach=reach,
        sure=sure,
        members=len(courses),
    )


def three(values: Sequence[int]) -> Three:
    """The band of a number, and its middle."""
    k = rank(len(values))
    ordered = sorted(values)
    return Three(ordered[k - 1], int(np.median(ordered)), ordered[-k])


def _reach(
    curves: NDArray[np.int64], middle: NDArray[np.int64], ordered: NDArray[np.int64], k: int
) -> tuple[float, float]:
    """How many times as wide the band must be for a whole curve, and how surely that keeps to it.

    The greatest excess of each rehearsal over the band of the others, put in order: one more like them keeps
    to the j-th lowest with the probability j / (M + 1), about. (Over a band that it had helped to make, none
    of 9 would ever stand out.) A band without width counts as one Device wide.

    ordered  the curves, in order at each moment
    k        the band goes from the k-th lowest to the k-th highest
    """
    low, high = ordered[k - 1], ordered[-k]
    up = np.maximum(np.where(curves >= high, ordered[-k - 1], high) - middle, 1)
    down = np.maximum(middle - np.where(curves <= low, ordered[k], low), 1)
    off = np.where(curves > middle, (curves - middle) / up, (middle - curves) / down)
    excess = np.sort(off.max(axis=1))
    members = len(excess)
    place = min(members, int(np.ceil(SURE * (members + 1))))
    return max(1.0, min(float(excess[place - 1]), 1e5)), place / (members + 1)


@dataclass(frozen=True, slots=True)
class Forecaster:
    """Makes a forecast of a plan while somebody waits for it, as the web pages ask before a campaign is made.

    `service.office` asks for one by its protocol; the command line hands this one in.
    """

    assumptions: Assumptions = field(default_factory=Assumptions)
    """What is taken for granted."""
    members: int = 9
    """Rehearsals."""

    def __call__(
        self, plan: Plan, release: Registered, devices: Mapping[Cohort, int], start: Instant
    ) -> Forecast:
        """Raises `UsageError` for more Devices than anybody would wait for."""
        if (count := sum(devices.values())) > _AT_ONCE:
            raise UsageError(
                f"a forecast for {count:,} Devices takes its time: `plan rehearse --campaign NAME` makes it"
            )
        its = release.release
        estate = described(plan, its, devices)
        if not len(estate):
            raise UsageError("no Device may have this release: there is nothing to forecast")
        scene = Scene(plan, its.procedure, max(1, release.octets), estate, start, 2 * STEP)
        courses = ensemble(scene, self.assumptions, seed=plan.name, members=self.members)
        return forecast(scene, courses, start)


forecaster: Final = Forecaster()
"""With what is usually assumed."""


def holds(courses: Sequence[Course]) -> Counter[str]:
    """In how many rehearsals each stratum was held."""
    return Counter(held.stratum for course in courses for held in course.held)


def cores() -> int:
    """Processes that may work beside each other."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
