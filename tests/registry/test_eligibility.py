"""One verdict for all Devices that are alike, with the reason that matters most."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import FirmwareVersion, ImageHash
from lamplighter.registry import (
    STRANDED,
    Cohort,
    CplEntry,
    CplStatus,
    DeviceStatus,
    DeviceType,
    Part,
    Procedure,
    Release,
    Verdict,
    judge,
)

HASH = ImageHash(b"\x01" * 32)
PPMID = Cohort(DeviceType.PPMID, 0x121D, 0x1111, 0x1150, FirmwareVersion(5), DeviceStatus.COMMISSIONED)
RELEASE = Release(Procedure.ONE_STEP, 0x121D, FirmwareVersion(6), HASH, 0x1111, 0x1211, b"")
TWO_STEP = replace(RELEASE, procedure=Procedure.TWO_STEP)
ENTRY = CplEntry(0x121D, 0x1111, 0x1150, FirmwareVersion(6), HASH, CplStatus.ACTIVE)


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
        ({"firmware": FirmwareVersion(6)}, Verdict.ALREADY_THERE),
        ({"part": Part.NONE}, Verdict.NOT_OURS),
        ({"part": Part.GAS}, Verdict.ELIGIBLE),
        ({"status": DeviceStatus.WITHDRAWN}, Verdict.LEFT),
        ({"status": DeviceStatus.DECOMMISSIONED}, Verdict.LEFT),
        ({"hub_capable": False}, Verdict.HUB_NOT_CAPABLE),
        ({"hub_capable": True}, Verdict.ELIGIBLE),
        ({"firmware": FirmwareVersion(7)}, Verdict.DOWNGRADE),
        ({"status": DeviceStatus.SUSPENDED}, Verdict.NOT_COMMISSIONED),
        ({"tag": "pilot", "region": "North", "hub_model": "H", "gbcs_version": "4.2"}, Verdict.ELIGIBLE),
    ],
)
def test_a_device_that_does_not_fit_is_told_why(change, verdict):
    """Each way in which a Device can be wrong for a release."""
    assert verdict is judge(replace(PPMID, **change), RELEASE, ENTRY)


@pytest.mark.parametrize(
    ("kind", "part", "verdict"),
    [
        (DeviceType.ESME, Part.IMPORT, Verdict.ELIGIBLE),
        (DeviceType.ESME, Part.GAS, Verdict.NOT_OURS),
        (DeviceType.GSME, Part.GAS, Verdict.ELIGIBLE),
        (DeviceType.GSME, Part.IMPORT, Verdict.NOT_OURS),
        (DeviceType.HCALCS, Part.IMPORT, Verdict.ELIGIBLE),
        (DeviceType.HCALCS, Part.GAS, Verdict.NOT_OURS),
    ],
)
def test_each_supplier_updates_its_own(kind, part, verdict):
    """A meter is its fuel's; an HCALCS hangs off the electricity meter."""
    assert verdict is judge(replace(PPMID, type=kind, part=part), TWO_STEP, ENTRY)


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


def test_a_release_that_is_withdrawn_is_for_nobody():
    """Whatever the CPL says."""
    assert Verdict.RELEASE_WITHDRAWN is judge(PPMID, replace(RELEASE, withdrawn=True), ENTRY)


def test_the_path_says_what_may_come_before():
    """A version that is not on it is stranded, a lower one too."""
    assert Verdict.ELIGIBLE is judge(PPMID, replace(RELEASE, path=frozenset({PPMID.firmware})), ENTRY)
    off = replace(RELEASE, path=frozenset({FirmwareVersion(4)}))
    assert Verdict.NOT_ON_PATH is judge(PPMID, off, ENTRY)


def test_a_downgrade_must_be_allowed():
    """By the plan, and by nothing else."""
    later = replace(PPMID, firmware=FirmwareVersion(7))
    assert Verdict.ELIGIBLE is judge(later, RELEASE, ENTRY, allow_downgrade=True)


def test_a_stranded_device_is_stranded_whatever_else_is_wrong():
    """An IHD that is suspended is still first of all an IHD: it goes to the replacement list."""
    stranded = replace(PPMID, type=DeviceType.IHD, status=DeviceStatus.SUSPENDED)
    assert Verdict.NO_SERVICE_REQUEST is judge(stranded, RELEASE, None)


DEFECTS = (
    ({"type": DeviceType.IHD}, Verdict.NO_SERVICE_REQUEST),
    ({"manufacturer": 1}, Verdict.MANUFACTURER_MISMATCH),
    ({"hardware": 0}, Verdict.HARDWARE_MISMATCH),
    ({"part": Part.NONE}, Verdict.NOT_OURS),
    ({"hub_capable": False}, Verdict.HUB_NOT_CAPABLE),
    ({"firmware": FirmwareVersion(9)}, Verdict.DOWNGRADE),
    ({"status": DeviceStatus.PENDING}, Verdict.NOT_COMMISSIONED),
)


@given(st.sets(st.integers(0, len(DEFECTS) - 1), min_size=1))
def test_of_several_reasons_the_most_lasting_is_told(chosen):
    """What waiting cannot mend comes before what it can."""
    cohort = PPMID
    for place in chosen:
        cohort = replace(cohort, **DEFECTS[place][0])
    assert DEFECTS[min(chosen)][1] is judge(cohort, RELEASE, ENTRY)


def test_only_what_waiting_cannot_mend_is_stranded():
    """The replacement list: four reasons, none of them a matter of time, of the CPL or of the Supplier."""
    assert {"NO_SERVICE_REQUEST", "HARDWARE_MISMATCH", "HUB_NOT_CAPABLE", "NOT_ON_PATH"} == {
        it.name for it in STRANDED
    }
