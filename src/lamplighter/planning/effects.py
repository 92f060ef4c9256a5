"""What goes wrong by name: each fault's effect on a campaign, and what bad firmware does before a hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.lab.faults import FAULTS, Scheduled
from lamplighter.planning.rehearse import Scene, rehearse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamplighter.lab.faults import Fault
    from lamplighter.planning.assumptions import Circumstances
    from lamplighter.planning.rehearse import Course, Held

_WHEN: Final[Mapping[str, tuple[int, int, float]]] = {
    # From when to when, microseconds after the start, and how likely: an ill day, or an ill week, not the end
    # of the world. All are assumptions.
    "lost-alert": (0, 3650 * DAY, 0.05),
    "duplicated-alert": (0, 3650 * DAY, 0.05),
    "delayed-alert": (0, 3650 * DAY, 0.05),
    "reordered-alerts": (0, 3650 * DAY, 0.05),
    "hub-swap": (2 * HOUR, 3650 * DAY, 0.01),
    "ppmid-unplugged": (2 * HOUR, 7 * DAY, 0.05),
    "hub-discards-image": (0, 7 * DAY, 0.05),
    "bricking-firmware": (0, 3650 * DAY, 1.0),
    "wrong-version-firmware": (0, 3650 * DAY, 1.0),
    "alert-storm-firmware": (0, 3650 * DAY, 1.0),
    "dcc-outage": (3 * HOUR, 27 * HOUR, 1.0),
    "endpoint-down": (3 * HOUR, 27 * HOUR, 1.0),
    "clock-skew": (0, 3650 * DAY, 0.05),
    "corrupt-block": (0, 3650 * DAY, 0.00001),
    "wrong-hash": (0, 3650 * DAY, 1.0),
    "slow-region": (0, 7 * DAY, 1.0),
}

BAD: Final[Mapping[str, Manner]] = {
    "does not start": Manner.NEVER_BOOTS,
    "runs and never speaks again": Manner.NEVER_REPORTS,
}
"""Bad firmware: the Device goes back to what it had and says so; or it is bricked, to all who can tell."""


class Effect(NamedTuple):
    """What one fault changes, all else equal."""

    fault: Fault
    """Which."""
    scheduled: Scheduled
    """When, and how likely."""
    course: Course
    """How the campaign goes with it."""
    later: int
    """Microseconds by which it ends later; below 0: earlier, for less of it is done."""
    half: int | None
    """Microseconds by which it is later that half of the Devices are proven; None: that never comes."""
    fewer: int
    """Devices fewer that are proven."""
    visits: int
    """Devices more that somebody has to go and see."""
    requests: int
    """Requests more."""


def effects(
    scene: Scene,
    circumstances: Circumstances,
    seed: str,
    names: Sequence[str] = tuple(FAULTS),
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[Course, list[Effect]]:
    """The campaign in one world without faults, and with each of them: the same chance in all else."""
    bare = rehearse(scene, circumstances, seed)
    half = max(1, bare.reached // 2)
    found = []
    for number, name in enumerate(names, 1):
        begins, ends, probability = _WHEN[name]
        each = Scheduled(
            name, Instant(scene.start + begins), Instant(scene.start + ends), probability=probability
        )
        course = rehearse(scene, circumstances, seed, faults=(each,))
        found.append(
            Effect(
                FAULTS[name],
                each,
                course,
                course.end - bare.end,
                None if (then := course.reaches(half)) is None else then - (bare.reaches(half) or 0),
                bare.reached - course.reached,
                course.visits - bare.visits,
                sum(course.requests.values()) - sum(bare.requests.values()),
            )
        )
        progress(number)
    return bare, found


@dataclass(frozen=True, slots=True)
class Harm:
    """What bad firmware does to one stratum before the gate holds it."""

    stratum: str
    """Its name."""
    devices: int
    """How many are in it."""
    held: Mapping[str, Held | None]
    """By kind of bad firmware: the hold; None: it was not held."""
    ordered: Mapping[str, int]
    """By kind of bad firmware: Devices that it had reached by then, or in the end."""


def harms(scene: Scene, circumstances: Circumstances, seed: str) -> list[Harm]:
    """What each kind of bad firmware does, in every stratum; each is judged alone."""
    cohorts = range(len(scene.estate.cohorts))
    found = {
        name: rehearse(
            scene,
            circumstances,
            f"{seed}/{name}",
            bad=dict.fromkeys(cohorts, Behaviour(manner)),
            until_held=True,
        )
        for name, manner in BAD.items()
    }
    sizes: dict[str, int] = {}
    for number, cohort in enumerate(scene.estate.cohorts):
        name = scene.plan.stratum_of(cohort)
        sizes[name] = sizes.get(name, 0) + int((scene.estate.cohort == number).sum())
    held = {name: {it.stratum: it for it in course.held} for name, course in found.items()}
    return [
        Harm(
            stratum,
            devices,
            {name: held[name].get(stratum) for name in BAD},
            {
                name: it.ordered
                if (it := held[name].get(stratum)) is not None
                else found[name].ordered.get(stratum, 0)
                for name in BAD
            },
        )
        for stratum, devices in sorted(sizes.items())
    ]
