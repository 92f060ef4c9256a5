"""Which Devices run a version that nobody should: withdrawn, struck off the CPL, or declared vulnerable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from lamplighter.kit import FirmwareVersion, UsageError
from lamplighter.protocol.duis import CplStatus
from lamplighter.registry.device import Part
from lamplighter.registry.eligibility import PARTS, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamplighter.registry.device import Cohort
    from lamplighter.registry.release import CplEntry, Release


class Hazard(Enum):
    """Why a version should not be run."""

    VULNERABLE = "declared vulnerable"
    RELEASE_WITHDRAWN = "release withdrawn"
    OFF_CPL = "no longer active on the CPL"


@dataclass(frozen=True, slots=True)
class Range:
    """Versions of a manufacturer's products."""

    manufacturer: int
    """Zigbee manufacturer code, 0..0xFFFF."""
    model: int | None
    """Model identifier, 0..0xFFFF; None: all models."""
    lowest: FirmwareVersion
    """The first version."""
    highest: FirmwareVersion
    """The last version, itself in it."""
    hardware: tuple[int, int] = (0, 0xFFFF)
    """Lowest and highest hardware version."""

    def __post_init__(self) -> None:
        if self.lowest > self.highest:
            raise UsageError(
                f"a range of versions ends where it begins, or later: not {self.lowest} to {self.highest}"
            )

    def has(self, cohort: Cohort) -> bool:
        """Whether Devices of this cohort run such a version."""
        return (
            cohort.manufacturer == self.manufacturer
            and self.model in {None, cohort.model}
            and self.lowest <= cohort.firmware <= self.highest
            and self.hardware[0] <= cohort.hardware <= self.hardware[1]
        )


@dataclass(frozen=True, slots=True)
class Risk:
    """A range of versions that should not be run, and why."""

    hazard: Hazard
    """What is wrong with it."""
    range: Range
    """Which."""
    name: str
    """Of the release; else who said so."""
    reason: str
    """In the words of whoever said so; empty: nothing was said."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """A risk, and the Devices that bear it."""

    risk: Risk
    """What should not be run."""
    devices: int
    """That run it, and that we may update."""
    others: int
    """That run it, and are not ours to update, or have left."""


def cured(risk: Risk, release: Release, judged: Iterable[tuple[Cohort, Verdict, int]]) -> int:
    """How many Devices a release would take out of a risk: they bear it, may have it, and then do not.

    judged  cohorts, the verdict on each for this release, and how many Devices are in it
    """
    return sum(
        devices
        for cohort, verdict, devices in judged
        if verdict is Verdict.ELIGIBLE
        and risk.range.has(cohort)
        and not risk.range.has(replace(cohort, firmware=release.version))
    )


def off_cpl(entries: Iterable[CplEntry]) -> list[Risk]:
    """What the CPL has struck off."""
    return [
        Risk(
            Hazard.OFF_CPL,
            Range(it.manufacturer, it.model, it.version, it.version, (it.hardware, it.hardware)),
            "CPL",
            it.status.value,
        )
        for it in entries
        if it.status is not CplStatus.ACTIVE
    ]


def exposures(risks: Iterable[Risk], cohorts: Mapping[Cohort, int]) -> list[Exposure]:
    """How many Devices bear each risk, the most exposed first; one that nobody bears any more stays in it."""
    found = []
    for risk in risks:
        ours = others = 0
        for cohort, devices in cohorts.items():
            if not risk.range.has(cohort):
                continue
            if cohort.part in PARTS.get(cohort.type, frozenset({Part.IMPORT, Part.GAS, Part.BOTH})):
                ours += devices
            else:
                others += devices
        found.append(Exposure(risk, ours, others))
    return sorted(found, key=lambda it: -it.devices)
