"""The state of an update: a pure function of the set of evidence, whatever the order and however often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import END_STATES, Evidence, Fact, State, fold, next_order
from lamplighter.campaign.state import IMPLIES
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.registry import Procedure

TARGET = FirmwareVersion(0xACDCACDC)
OTHER = FirmwareVersion(0x00000001)

evidence = st.builds(
    Evidence,
    st.sampled_from(Fact),
    st.integers(0, 2**53).map(Instant),
    st.sampled_from(["I99", "N60", "N62", "N39", "8F72", "CS06"]),
    st.just(""),
    st.none() | st.sampled_from([TARGET, OTHER]),
)


@given(st.lists(evidence, max_size=12), st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_and_repetition_change_nothing(items, dice, copies):
    """Any permutation and duplication of the same evidence gives the same state."""
    again = items + items[:copies]
    dice.shuffle(again)
    assert fold(items, TARGET) is fold(again, TARGET)


@given(st.lists(evidence, max_size=12))
def test_only_the_version_from_the_device_proves(items):
    """Proven if and only if some evidence carries the release's version."""
    assert (fold(items, TARGET) is State.PROVEN) == any(item.version == TARGET for item in items)


@given(st.lists(evidence, max_size=8), evidence)
def test_evidence_never_takes_a_device_back(items, more):
    """What is proven stays proven, whatever arrives late."""
    before, after = fold(items, TARGET), fold([*items, more], TARGET)
    order = list(State)
    assert order.index(after) >= order.index(before)


def test_every_fact_implies_a_state():
    """No fact is forgotten in the table."""
    assert set(Fact) == set(IMPLIES)


def test_a_success_with_another_version_is_a_failure():
    """Firmware that says "activated" and runs something else has failed."""
    claim = Evidence(Fact.ACTIVATED, Instant(1), "N39", version=OTHER)
    assert State.ACTIVATION_FAILED is fold([claim], TARGET)


def test_a_success_without_a_version_is_not_a_proof():
    """Nothing but the version counts as success."""
    assert State.ACTIVATED is fold([Evidence(Fact.ACTIVATED, Instant(1), "8F66")], TARGET)


@pytest.mark.parametrize("procedure", Procedure)
def test_nothing_is_ordered_in_an_end_state(procedure):
    """A Device that has come to an end is left alone."""
    assert all(next_order(procedure, state) is None for state in END_STATES)


@pytest.mark.parametrize("procedure", Procedure)
def test_the_first_order_is_the_procedures_own_request(procedure):
    """11.4 for a PPMID, 11.1 for the others."""
    assert procedure.value == next_order(procedure, State.QUEUED).value


def test_only_a_verified_image_is_activated():
    """SRV 11.3 is due exactly once the Device has said 8F72, and never for a PPMID."""
    due = {(p, s) for p in Procedure for s in State if (o := next_order(p, s)) and o.value == "11.3"}
    assert {(Procedure.TWO_STEP, State.IMAGE_VERIFIED)} == due
