"""The Devices that a campaign is rehearsed over, as arrays: those of the registry, or of a described fleet.

Eligibility is judged as everywhere, cohort by cohort; where a Device stands in the order of the waves is its
bucket. Of a fleet that is only described, buckets are drawn evenly, and each Device has a home of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import func, select

from lamplighter.kit import ImageHash, UsageError
from lamplighter.lab.flow.chance import philox
from lamplighter.registry import BUCKETS, CplEntry, CplStatus, Procedure, Verdict, judge
from lamplighter.store import schema as s
from lamplighter.store.campaigns import salt_of
from lamplighter.store.registry import cohort_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from lamplighter.campaign.plan import Plan
    from lamplighter.registry import Cohort, Release
    from lamplighter.store import Store

DEVICES_MAX: Final = 50_000_000
"""Devices of one rehearsal: more homes than Great Britain has."""
COHORTS_MAX: Final = 50_000
_AT_ONCE: Final = 500_000  # rows read at one time


@dataclass(frozen=True, slots=True)
class Estate:
    """Devices, one element each: hub by hub, as flow mode wants them."""

    cohorts: tuple[Cohort, ...]
    """What Devices have in common."""
    cohort: NDArray[np.uint16]
    """The place of each Device's cohort in `cohorts`."""
    hub: NDArray[np.uint32]
    """The number of its hub; never falls from one Device to the next."""
    bucket: NDArray[np.uint32]
    """Where it stands on the turned circle of buckets: what waves are ranges of."""
    left_out: Mapping[Verdict, int]
    """Devices that the plan is meant for and that may not have the release, by reason."""
    is_shared: bool
    """Whether any home has two of these Devices."""

    def __len__(self) -> int:
        return len(self.hub)


def described(plan: Plan, release: Release, devices: Mapping[Cohort, int], seed: str = "estate") -> Estate:
    """So many Devices of each cohort, each in a home of its own."""
    total = sum(devices.values())
    if not 0 < total <= DEVICES_MAX or len(devices) > COHORTS_MAX or min(devices.values()) < 0:
        raise UsageError(
            f"a rehearsal is of 1 to {DEVICES_MAX:,} Devices of up to {COHORTS_MAX:,} cohorts, "
            f"not of {total:,} of {len(devices):,}"
        )
    verdicts = {cohort: _judged(plan, release, cohort) for cohort in devices if plan.target.matches(cohort)}
    meant = [
        cohort for cohort, verdict in verdicts.items() if verdict is Verdict.ELIGIBLE and devices[cohort]
    ]
    buckets = []
    for number, cohort in enumerate(meant):
        drawn = philox(seed, "buckets", number).integers(0, BUCKETS, devices[cohort], dtype=np.uint32)
        # In the order in which they are ordered: they are alike, and a stretch is quicker to work on.
        drawn.sort()
        buckets.append(drawn)
    counts = [devices[cohort] for cohort in meant]
    count = sum(counts)
    return Estate(
        tuple(meant),
        np.repeat(np.arange(len(meant), dtype=np.uint16), counts),
        np.arange(count, dtype=np.uint32),
        np.concatenate([np.zeros(0, np.uint32), *buckets]),
        _left_out(verdicts, devices),
        is_shared=False,
    )


def registered(store: Store, plan: Plan, release: Release) -> Estate:
    """The Devices of the registry, as they are now; read in one pass."""
    devices: dict[int, int] = {}
    with store.database.reading() as connection:
        cohorts = {row.id: cohort_of(row) for row in connection.execute(select(s.cohort))}
        cpl = {
            (row.manufacturer, row.model, row.hardware): CplEntry(
                row.manufacturer, row.model, row.hardware, row.version, ImageHash(row.hash),
                CplStatus(row.status),
            )
            for row in connection.execute(select(s.cpl_entry).where(s.cpl_entry.c.version == release.version))
        }  # fmt: skip
        verdicts = {
            number: judge(
                it, release, cpl.get((it.manufacturer, it.model, it.hardware)),
                allow_downgrade=plan.allow_downgrade,
            )
            for number, it in cohorts.items()
            if plan.target.matches(it)
        }  # fmt: skip
        for number, count in connection.execute(
            select(s.device.c.cohort, func.count()).group_by(s.device.c.cohort)
        ):
            devices[number] = int(count)
        meant = [
            number
            for number, verdict in verdicts.items()
            if verdict is Verdict.ELIGIBLE and devices.get(number)
        ]
        if len(meant) > COHORTS_MAX:
            raise UsageError(f"a rehearsal is of up to {COHORTS_MAX:,} cohorts, not of {len(meant):,}")
        place = {number: at for at, number in enumerate(meant)}
        parts: list[NDArray[np.int64]] = []
        # The raw numbers: as Python objects, ten million identifiers would not fit.
        raw = connection.exec_driver_sql("SELECT cohort, hub, bucket FROM device ORDER BY eui")
        while rows := raw.fetchmany(_AT_ONCE):
            some = np.array([tuple(row) for row in rows], np.int64)
            parts.append(some[np.isin(some[:, 0], meant)])
    table = np.concatenate([np.zeros((0, 3), np.int64), *parts])
    if not len(table):
        return Estate(
            (), np.zeros(0, np.uint16), np.zeros(0, np.uint32), np.zeros(0, np.uint32),
            _counted(verdicts, devices), is_shared=False,
        )  # fmt: skip
    hubs, hub = np.unique(table[:, 1], return_inverse=True)
    order = np.argsort(hub, kind="stable")
    to_place = np.zeros(max(meant) + 1, np.uint16)
    to_place[list(place)] = list(place.values())
    turned = (table[order, 2] + salt_of(plan.name)) % BUCKETS
    return Estate(
        tuple(cohorts[number] for number in meant),
        to_place[table[order, 0]],
        hub[order].astype(np.uint32),
        turned.astype(np.uint32),
        _counted(verdicts, devices),
        is_shared=len(hubs) < len(table),
    )


def procedure_of(plan: Plan) -> Procedure:
    """Which service a plan's types of Device are updated by; raises `UsageError` where that is not one."""
    found = {Procedure.of(kind) for kind in plan.target.types} - {None}
    if len(found) != 1:
        raise UsageError(
            "plan: target.types: a rehearsal without a release needs types of Device with one procedure: "
            "PPMID alone, or some of HCALCS, ESME, GSME"
        )
    procedure = found.pop()
    assert procedure is not None
    return procedure


def _judged(plan: Plan, release: Release, cohort: Cohort) -> Verdict:
    """The verdict on Devices of a described fleet, for which the CPL has the release."""
    entry = CplEntry(
        cohort.manufacturer, cohort.model, cohort.hardware, release.version, release.hash, CplStatus.ACTIVE
    )
    return judge(cohort, release, entry, allow_downgrade=plan.allow_downgrade)


def _left_out(verdicts: Mapping[Cohort, Verdict], devices: Mapping[Cohort, int]) -> dict[Verdict, int]:
    found: dict[Verdict, int] = {}
    for cohort, verdict in verdicts.items():
        if verdict is not Verdict.ELIGIBLE and devices[cohort]:
            found[verdict] = found.get(verdict, 0) + devices[cohort]
    return found


def _counted(verdicts: Mapping[int, Verdict], devices: Mapping[int, int]) -> dict[Verdict, int]:
    found: dict[Verdict, int] = {}
    for number, verdict in verdicts.items():
        if verdict is not Verdict.ELIGIBLE and devices.get(number):
            found[verdict] = found.get(verdict, 0) + devices[number]
    return found
