"""Who runs what nobody should: ranges of versions held against cohorts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import FirmwareVersion, ImageHash, UsageError
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    DeviceStatus,
    DeviceType,
    Part,
    Procedure,
    Release,
    Verdict,
)
from lamplighter.registry.exposure import Hazard, Range, Risk, cured, exposures, off_cpl

COHORT = Cohort(DeviceType.PPMID, 0x121D, 0x84, 0x1111, FirmwareVersion(0x10), DeviceStatus.COMMISSIONED)


def range_of(low=0, high=0x10, **changes):
    return replace(Range(0x121D, 0x84, FirmwareVersion(low), FirmwareVersion(high)), **changes)


def risk(which):
    return Risk(Hazard.VULNERABLE, which, "operator1", "it burns")


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_both_ends_of_a_range_are_in_it(low, high, version):
    """Whoever writes "up to 10" means 10 too."""
    if low > high:
        with pytest.raises(UsageError, match="ends where it begins"):
            range_of(low, high)
        return
    cohort = replace(COHORT, firmware=FirmwareVersion(version))
    assert (low <= version <= high) == range_of(low, high).has(cohort)


@pytest.mark.parametrize(
    ("which", "exposed"),
    [
        (range_of(), True),
        (range_of(model=None), True),
        (range_of(model=0x85), False),
        (range_of(manufacturer=0x121E), False),
        (range_of(hardware=(0x1111, 0x1111)), True),
        (range_of(hardware=(0x1112, 0xFFFF)), False),
        (range_of(0x11, 0x20), False),
    ],
)
def test_a_range_is_of_one_manufacturers_products(which, exposed):
    assert exposed == which.has(COHORT)


def test_devices_of_others_are_counted_apart():
    """They are exposed too, and somebody else has to update them."""
    [found] = exposures(
        [risk(range_of())],
        {
            COHORT: 5,
            replace(COHORT, part=Part.NONE): 3,
            replace(COHORT, type=DeviceType.HCALCS, part=Part.GAS): 2,
        },
    )
    assert (5, 5) == (found.devices, found.others)


def test_a_release_cures_who_bears_the_risk_may_have_it_and_is_then_out_of_it():
    """Not who bears another risk, may not have it, or would run what is no better."""
    release = Release(Procedure.ONE_STEP, 0x121D, FirmwareVersion(0x20), ImageHash(bytes(32)), 0, 0xFFFF, b"")
    judged = [
        (COHORT, Verdict.ELIGIBLE, 5),
        (replace(COHORT, region="North"), Verdict.HUB_NOT_CAPABLE, 3),
        (replace(COHORT, firmware=FirmwareVersion(0x11)), Verdict.ELIGIBLE, 2),
    ]
    assert [5, 7, 0, 0] == [
        cured(risk(which), release, judged)
        for which in (range_of(), range_of(high=0x1F), range_of(high=0x20), range_of(model=0x85))
    ]


def test_the_most_exposed_come_first_and_the_cured_stay():
    """A hazard that nobody bears any more is good news, and news."""
    found = exposures([risk(range_of(0, 1)), risk(range_of())], {COHORT: 5})
    assert [5, 0] == [it.devices for it in found]


@pytest.mark.parametrize("status", CplStatus)
def test_what_the_cpl_has_struck_off_is_a_hazard(status):
    entry = CplEntry(0x121D, 0x84, 0x1111, FirmwareVersion(0x10), ImageHash(bytes(32)), status)
    found = off_cpl([entry])
    assert (status is not CplStatus.ACTIVE) == bool(found)
    if found:
        assert found[0].range.has(COHORT)
        assert not found[0].range.has(replace(COHORT, hardware=0x1112))
