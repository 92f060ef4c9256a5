"""One verdict for each Device, with the reason that matters most."""

from dataclasses import replace

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
from lamplighter.registry import (
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Procedure,
    Release,
    Verdict,
    judge,
)

PPMID = Device(
    Eui64.of(1), DeviceType.PPMID, Eui64.of(2), 0x121D, 0x1150, FirmwareVersion(5), DeviceStatus.COMMISSIONED
)
RELEASE = Release(
    Procedure.ONE_STEP, 0x121D, FirmwareVersion(6), ImageHash(b"\x01" * 32), 0x1111, 0x1211, b""
)
ENTRY = CplEntry(0x121D, FirmwareVersion(6), ImageHash(b"\x01" * 32), CplStatus.ACTIVE)


def test_the_plain_case_is_eligible():
    """The control: everything fits."""
    assert Verdict.ELIGIBLE is judge(PPMID, RELEASE, ENTRY)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"type": DeviceType.IHD}, Verdict.NO_SERVICE_REQUEST),
        ({"type": DeviceType.CAD}, Verdict.NO_SERVICE_REQUEST),
        ({"type": DeviceType.HCALCS}, Verdict.WRONG_PROCEDURE),
        ({"manufacturer": 0x1234}, Verdict.MANUFACTURER_MISMATCH),
        ({"hardware": 0x1110}, Verdict.HARDWARE_MISMATCH),
        ({"hardware": 0x1212}, Verdict.HARDWARE_MISMATCH),
        ({"hardware": 0x1111}, Verdict.ELIGIBLE),
        ({"hardware": 0x1211}, Verdict.ELIGIBLE),
        ({"status": DeviceStatus.SUSPENDED}, Verdict.NOT_COMMISSIONED),
        ({"firmware": FirmwareVersion(6)}, Verdict.ALREADY_THERE),
        ({"firmware": FirmwareVersion(7)}, Verdict.DOWNGRADE),
    ],
)
def test_a_device_that_does_not_fit_is_told_why(change, verdict):
    """Each way in which a Device can be wrong for a release."""
    assert verdict is judge(replace(PPMID, **change), RELEASE, ENTRY)


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        (None, Verdict.NOT_ON_CPL),
        (replace(ENTRY, hash=ImageHash(b"\x02" * 32)), Verdict.HASH_MISMATCH),
        *((replace(ENTRY, status=s), Verdict.CPL_NOT_ACTIVE) for s in CplStatus if s is not CplStatus.ACTIVE),
    ],
)
def test_the_cpl_must_permit_the_very_image(entry, verdict):
    """No entry, another hash, or an entry that is no longer active."""
    assert verdict is judge(PPMID, RELEASE, entry)


def test_a_stranded_device_is_stranded_whatever_else_is_wrong():
    """An IHD that is suspended is still first of all an IHD: it goes to the replacement list."""
    stranded = replace(PPMID, type=DeviceType.IHD, status=DeviceStatus.SUSPENDED)
    assert Verdict.NO_SERVICE_REQUEST is judge(stranded, RELEASE, None)
