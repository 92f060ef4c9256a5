"""May these Devices have this release? One verdict with a reason, for all Devices that are alike.

Ordered from what can never change (an IHD has no service request: replace it) to what may change tomorrow.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from lamplighter.protocol.duis import CplStatus, DeviceStatus, DeviceType
from lamplighter.registry.device import Part
from lamplighter.registry.release import Procedure

if TYPE_CHECKING:
    from lamplighter.registry.device import Cohort
    from lamplighter.registry.release import CplEntry, Release


class Verdict(Enum):
    """Whether Devices may have a release, and if not, why."""

    ELIGIBLE = "eligible"
    NO_SERVICE_REQUEST = "no service request can update this type of Device: replace it"
    WRONG_PROCEDURE = "the image is not for this type of Device"
    MANUFACTURER_MISMATCH = "the image is another manufacturer's"
    HARDWARE_MISMATCH = "the hardware version is outside the image's range"
    ALREADY_THERE = "the Device runs this version already"
    NOT_OURS = "we are not the responsible Supplier of this Device"
    LEFT = "the Device is decommissioned or withdrawn"
    RELEASE_WITHDRAWN = "the release is withdrawn"
    NOT_ON_CPL = "no entry of the CPL has this version for this model and hardware"
    HASH_MISMATCH = "the CPL has another hash for this version"
    CPL_NOT_ACTIVE = "the CPL entry is cancelled, expired or withdrawn"
    HUB_NOT_CAPABLE = "the Communications Hub cannot update Devices of this type yet"
    NOT_ON_PATH = "the image cannot follow the version that the Device runs"
    DOWNGRADE = "the Device runs a later version"
    NOT_COMMISSIONED = "the Device is not commissioned, or suspended"
    UNDER_WAY = "another update of this Device is in progress"


STRANDED: Final = frozenset(
    {Verdict.NO_SERVICE_REQUEST, Verdict.HARDWARE_MISMATCH, Verdict.HUB_NOT_CAPABLE, Verdict.NOT_ON_PATH}
)
"""Verdicts that will not change by waiting: the Device is to be replaced, or its hub."""

REVOCABLE: Final = frozenset(
    {
        Verdict.NOT_OURS,
        Verdict.NOT_ON_CPL,
        Verdict.HASH_MISMATCH,
        Verdict.CPL_NOT_ACTIVE,
        Verdict.HUB_NOT_CAPABLE,
        Verdict.NOT_COMMISSIONED,
    }
)
"""Verdicts that the next file may take back: one that was wrong may have brought them about."""


def judge(
    cohort: Cohort, release: Release, cpl: CplEntry | None, *, allow_downgrade: bool = False
) -> Verdict:
    """The verdict on a cohort's Devices; `cpl` is the entry for their model, hardware and the new version."""
    procedure = Procedure.of(cohort.type)
    if procedure is None:
        return Verdict.NO_SERVICE_REQUEST
    if procedure is not release.procedure:
        return Verdict.WRONG_PROCEDURE
    if cohort.manufacturer != release.manufacturer:
        return Verdict.MANUFACTURER_MISMATCH
    if not release.minimum_hardware <= cohort.hardware <= release.maximum_hardware:
        return Verdict.HARDWARE_MISMATCH
    if cohort.firmware == release.version:
        return Verdict.ALREADY_THERE
    if cohort.part not in PARTS[cohort.type]:
        return Verdict.NOT_OURS
    if cohort.status in {DeviceStatus.DECOMMISSIONED, DeviceStatus.WITHDRAWN}:
        return Verdict.LEFT
    if release.withdrawn:
        return Verdict.RELEASE_WITHDRAWN
    if cpl is None:
        return Verdict.NOT_ON_CPL
    if cpl.hash != release.hash:
        return Verdict.HASH_MISMATCH
    if cpl.status is not CplStatus.ACTIVE:
        return Verdict.CPL_NOT_ACTIVE
    if cohort.hub_capable is False:
        return Verdict.HUB_NOT_CAPABLE
    if release.path and cohort.firmware not in release.path:
        return Verdict.NOT_ON_PATH
    if cohort.firmware > release.version and not allow_downgrade:
        return Verdict.DOWNGRADE
    if cohort.status is not DeviceStatus.COMMISSIONED:
        return Verdict.NOT_COMMISSIONED
    return Verdict.ELIGIBLE


PARTS: Final = {
    # An HCALCS hangs off an ESME; a PPMID may be updated by either of its Suppliers.
    DeviceType.PPMID: frozenset({Part.IMPORT, Part.GAS, Part.BOTH}),
    DeviceType.HCALCS: frozenset({Part.IMPORT, Part.BOTH}),
    DeviceType.ESME: frozenset({Part.IMPORT, Part.BOTH}),
    DeviceType.GSME: frozenset({Part.GAS, Part.BOTH}),
}
"""By type of Device: the parts that make us the Supplier who may update it."""
