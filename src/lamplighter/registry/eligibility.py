"""May this Device have this release? One verdict with a reason.

Ordered from what can never change (an IHD has no service request: replace it) to what may change tomorrow.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from lamplighter.protocol.duis import CplStatus, DeviceStatus
from lamplighter.registry.release import Procedure

if TYPE_CHECKING:
    from lamplighter.registry.device import Device
    from lamplighter.registry.release import CplEntry, Release


class Verdict(Enum):
    """Whether a Device may have a release, and if not, why."""

    ELIGIBLE = "eligible"
    NO_SERVICE_REQUEST = "no service request can update this type of Device: replace it"
    WRONG_PROCEDURE = "the image is not for this type of Device"
    MANUFACTURER_MISMATCH = "the image is another manufacturer's"
    HARDWARE_MISMATCH = "the hardware version is outside the image's range"
    NOT_ON_CPL = "no entry of the CPL has this manufacturer and version"
    HASH_MISMATCH = "the CPL has another hash for this version"
    CPL_NOT_ACTIVE = "the CPL entry is cancelled, expired or withdrawn"
    NOT_COMMISSIONED = "the Device is not commissioned"
    ALREADY_THERE = "the Device runs this version already"
    DOWNGRADE = "the Device runs a later version"


def judge(device: Device, release: Release, cpl: CplEntry | None) -> Verdict:
    """The verdict on one Device; `cpl` is the entry for the release's manufacturer and version, if any."""
    procedure = Procedure.of(device.type)
    if procedure is None:
        return Verdict.NO_SERVICE_REQUEST
    if procedure is not release.procedure:
        return Verdict.WRONG_PROCEDURE
    if device.manufacturer != release.manufacturer:
        return Verdict.MANUFACTURER_MISMATCH
    if not release.minimum_hardware <= device.hardware <= release.maximum_hardware:
        return Verdict.HARDWARE_MISMATCH
    if cpl is None:
        return Verdict.NOT_ON_CPL
    if cpl.hash != release.hash:
        return Verdict.HASH_MISMATCH
    if cpl.status is not CplStatus.ACTIVE:
        return Verdict.CPL_NOT_ACTIVE
    if device.status is not DeviceStatus.COMMISSIONED:
        return Verdict.NOT_COMMISSIONED
    if device.firmware == release.version:
        return Verdict.ALREADY_THERE
    if device.firmware > release.version:
        return Verdict.DOWNGRADE
    return Verdict.ELIGIBLE
