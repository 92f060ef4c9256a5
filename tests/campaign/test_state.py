"""The state of an update: a pure function of the set of evidence, whatever the order and however often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import CAUSES, END_STATES, Cause, Evidence, Fact, Progress, Stage, State, fold
from lamplighter.campaign.next import CALL_OFF_FIRST
from lamplighter.campaign.state import (
    ATTEMPTS_MAX,
    FINAL,
    FIRST_STEP,
    FLYING,
    IMPLIES,
    QUEUED,
    READY,
    SUBS,
    implied,
)
from lamplighter.kit import FirmwareVersion, Instant, UsageError

TARGET = FirmwareVersion(0xACDCACDC)
OTHER = FirmwareVersion(0x00000001)

steps = st.integers(FIRST_STEP, ATTEMPTS_MAX * SUBS + SUBS - 1)
pieces = st.builds(
    Evidence,
    st.sampled_from(Fact),
    st.integers(0, 2**53).map(Instant),
    st.sampled_from(["I99", "N60", "N62", "N39", "8F72", "CS06"]),
    st.sampled_from(Cause),
    st.just(""),
    st.none() | st.sampled_from([TARGET, OTHER]),
)
evidence = st.lists(st.tuples(steps, pieces), max_size=12)


def said(fact, *, step=FIRST_STEP, cause=Cause.NONE, version=None):
    """One piece of evidence in a step."""
    return step, Evidence(fact, Instant(1), "x", cause, version=version)


@given(evidence, st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_and_repetition_change_nothing(items, dice, copies):
    """Any permutation and duplication of the same evidence gives the same progress."""
    again = items + items[:copies]
    dice.shuffle(again)
    assert fold(items, TARGET) == fold(again, TARGET)


@given(evidence, evidence)
def test_evidence_may_come_in_any_portions(first, second):
    """The fold of two portions is the greater of their folds: what the database relies on."""
    assert max(fold(first, TARGET), fold(second, TARGET)) == fold(first + second, TARGET)


@given(evidence)
def test_only_the_version_from_the_device_proves(items):
    """Proven if and only if some evidence carries the release's version."""
    proof = any(item.version == TARGET for _, item in items)
    assert proof == (fold(items, TARGET).state is State.PROVEN)


@given(evidence, st.tuples(steps, pieces))
def test_evidence_never_takes_a_device_back(items, more):
    """What is known stays known, whatever arrives late; what is proven stays proven."""
    before, after = fold(items, TARGET), fold([*items, more], TARGET)
    assert before <= after
    assert before.stage is not Stage.PROVEN or after.stage is Stage.PROVEN


@given(evidence, st.tuples(steps, pieces))
def test_an_end_is_left_by_a_proof_alone(items, more):
    """A Device that was given up stays so, unless it says itself that it runs the release."""
    before, after = fold(items, TARGET), fold([*items, more], TARGET)
    if before.state in END_STATES:
        assert after.state in END_STATES
        assert before.state is not State.PROVEN or after.state is State.PROVEN


@given(steps, st.sampled_from(Stage), st.sampled_from(Cause))
def test_a_progress_unpacks_to_what_it_was_packed_from(step, stage, cause):
    """Step, stage and cause share a number without loss."""
    progress = Progress.of(step, stage, cause)
    assert (step, stage, cause) == (progress.step, progress.stage, progress.cause)
    assert (step // SUBS, step % SUBS) == (progress.attempt, progress.sub)


@pytest.mark.parametrize("step", [-1, 256])
def test_a_step_beyond_the_number_is_refused(step):
    """A step that does not fit would read as another step, or as a proof."""
    with pytest.raises(UsageError, match=r"0\.\.255"):
        Progress.of(step, Stage.QUEUED)


def test_every_cause_and_stage_fits_its_bits():
    """No stage or cause spills into its neighbour."""
    assert max(Cause) < 32
    assert max(Stage) < 32


@given(steps, st.sampled_from(Stage), st.sampled_from(Stage), st.sampled_from(Cause))
def test_a_later_step_is_further_than_an_earlier_one(step, earlier, later, cause):
    """What an earlier order led to is overtaken by the next order, unless it was the end."""
    if step > FIRST_STEP and earlier not in FINAL:
        assert Progress.of(step - 1, earlier, cause) < Progress.of(step, later)


def test_every_fact_implies_a_stage():
    """No fact is forgotten in the table, and no stage but the proof is without a fact."""
    assert set(Fact) == set(IMPLIES)
    assert {Stage.PROVEN} == set(Stage) - set(IMPLIES.values())


def test_every_cause_says_something():
    """Each cause has its words, and says whether another attempt can mend it."""
    assert set(Cause) == set(CAUSES)
    assert {Cause.NONE} == {cause for cause, (words, _) in CAUSES.items() if not words}


def test_someone_has_to_move_unless_it_is_over():
    """Each stage is the world's turn, ours, or the end; never two of them."""
    assert set(Stage) == FLYING | READY | set(FINAL)
    assert not FLYING & READY
    assert not FLYING & set(FINAL)


def test_every_stage_has_a_state_for_people():
    """A person is told a state in every stage; only being excluded is no stage of an update."""
    assert set(State) - {State.EXCLUDED} == {stage.state for stage in Stage}


@pytest.mark.parametrize(
    ("silence", "late_word"),
    [
        (Fact.NO_WORD_OF_HUB, Fact.AT_HUB),
        (Fact.NO_WORD_OF_HUB, Fact.ON_DEVICE),
        (Fact.NO_WORD_OF_TRANSFER, Fact.ON_DEVICE),
        (Fact.NO_WORD_OF_TRANSFER, Fact.TRANSFER_FAILED),
        (Fact.NO_WORD_OF_DEVICE, Fact.IMAGE_VERIFIED),
        (Fact.NO_WORD_OF_ACTIVATION, Fact.ACTIVATION_FAILED),
        (Fact.NO_WORD_OF_CALL_OFF, Fact.CALLED_OFF),
        (Fact.NO_ANSWER, Fact.VERSION_READ),
    ],
)
def test_a_late_word_breaks_a_silence(silence, late_word):
    """Silence holds until something further is heard in the same step."""
    items = [said(silence)]
    assert fold(items, TARGET).state is State.SILENT
    assert IMPLIES[late_word] is fold([*items, said(late_word)], TARGET).stage


def test_a_late_word_of_an_earlier_step_changes_nothing():
    """While a Device is asked for its version, a late N60 of the update does not undo the question."""
    items = [said(Fact.READ_SENT, step=FIRST_STEP + 1), said(Fact.AT_HUB)]
    assert Progress.of(FIRST_STEP + 1, Stage.CHECKING) == fold(items, TARGET)


def test_a_success_with_another_version_is_a_failure():
    """Firmware that says "activated" and runs something else has failed, for good."""
    claim = said(Fact.ACTIVATED, version=OTHER)
    assert Progress.of(FIRST_STEP, Stage.ACTIVATION_FAILED, Cause.OTHER_VERSION) == fold([claim], TARGET)


def test_a_success_without_a_version_is_not_a_proof():
    """Nothing but the version counts as success."""
    assert State.ACTIVATED is fold([said(Fact.ACTIVATED)], TARGET).state


def test_a_failure_that_names_the_new_version_is_a_proof():
    """What runs is what counts: the Device's version outweighs what it calls its own result."""
    claim = said(Fact.ACTIVATION_FAILED, cause=Cause.ACTIVATION, version=TARGET)
    assert State.PROVEN is fold([claim], TARGET).state


def test_a_late_proof_of_the_first_attempt_overrules_the_second():
    """The Device said long ago that it runs the release: the attempt that was made since is moot."""
    items = [said(Fact.AT_HUB, step=2 * SUBS), said(Fact.ACTIVATED, version=TARGET)]
    assert Progress.of(FIRST_STEP, Stage.PROVEN) == fold(items, TARGET)


def test_a_proof_overrules_giving_up():
    """A Device that was called lost and then says that it runs the release is proven."""
    items = [said(Fact.LOST, step=FIRST_STEP + 3), said(Fact.VERSION_READ, version=TARGET)]
    assert State.PROVEN is fold(items, TARGET).state


OFF = FIRST_STEP + CALL_OFF_FIRST


@pytest.mark.parametrize("said_of_it", [Fact.CALL_OFF_ORDERED, Fact.CALLED_OFF, Fact.NO_WORD_OF_CALL_OFF])
def test_a_call_off_that_came_too_late_is_overruled_by_the_proof(said_of_it):
    """8F66 with the new version comes all the same: the Device runs it, whatever was called off."""
    items = [said(said_of_it, step=OFF), said(Fact.ACTIVATED, step=FIRST_STEP + 1, version=TARGET)]
    assert Progress.of(FIRST_STEP + 1, Stage.PROVEN) == fold(items, TARGET)


@pytest.mark.parametrize("late", [Fact.ACTIVATION_SCHEDULED, Fact.NO_WORD_OF_ACTIVATION])
def test_a_late_word_of_the_activation_does_not_undo_that_it_was_called_off(late):
    """The Device's answer to the activation may overtake nothing: the later order is further."""
    items = [said(Fact.CALLED_OFF, step=OFF), said(late, step=FIRST_STEP + 1)]
    assert State.CALLED_OFF is fold(items, TARGET).state


def test_a_call_off_that_was_refused_leaves_the_device_to_what_it_was_told():
    """The activation may still come: the home stays busy until the Device speaks, or the deadline does."""
    items = [said(Fact.CALL_OFF_ORDERED, step=OFF), said(Fact.CALL_OFF_REFUSED, step=OFF, cause=Cause.ACCESS)]
    assert Progress.of(OFF, Stage.CALLING_OFF, Cause.ACCESS) == fold(items, TARGET)


def test_what_was_called_off_is_activated_in_a_later_step():
    """The new activation is further than all that was said of the one that was called off."""
    items = [said(Fact.CALLED_OFF, step=OFF), said(Fact.ORDERED, step=OFF + 1)]
    assert Progress.of(OFF + 1, Stage.QUEUED) == fold(items, TARGET)


def test_a_version_that_was_there_before_is_unchanged():
    """A Device that was asked and runs the old version is to be updated again, not called done."""
    assert State.UNCHANGED is fold([said(Fact.VERSION_READ, version=OTHER)], TARGET).state


def test_nothing_is_known_at_first():
    """Without evidence an update has not begun."""
    assert QUEUED == fold([], TARGET)
    assert implied(FIRST_STEP, said(Fact.ORDERED)[1], TARGET) > QUEUED
