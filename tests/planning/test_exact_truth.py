"""The calibration's campaigns in exact mode: a truth that the forecaster's model has no part in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lamplighter.planning.assumptions import Assumptions
from lamplighter.planning.calibration import Case

HOMES = 24


@pytest.fixture(scope="module")
def truth():
    """One small campaign, through all of the service."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    import exact_truth  # a script: found only by now

    case = Case("small", Assumptions(), Assumptions(), 1, 9)
    return exact_truth.trial(0, case, "a test's own", (HOMES, HOMES + 1))


def test_a_campaign_in_exact_mode_comes_to_its_end_and_brings_most_devices_to_the_release(truth):
    """It ends days after the last proof, and whoever is not proven is counted as a failure."""
    end, last, most, half, proven, failures = truth.truth
    assert end >= last >= most >= half > 0
    assert HOMES == proven + failures
    assert proven > 0.8 * HOMES


def test_it_is_held_against_a_forecast_of_the_same_registry(truth):
    """No band goes beyond the Devices that there are."""
    for band in truth.bands[4:]:
        assert 0 <= band.low <= band.middle <= band.high <= HOMES
