"""What is due for a Device, stage by stage: read before resend, and no attempt too many."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import CAUSES, Action, Cause, Order, Progress, Stage, next_action
from lamplighter.campaign.next import (
    CALL_OFF_FIRST,
    CALL_OFF_LAST,
    DEADLINES,
    DEADLINES_OF,
    RECALLS_MAX,
    Due,
    Retries,
    may_call_off,
    next_step,
)
from lamplighter.campaign.state import ATTEMPTS_MAX, FINAL, FIRST_STEP, FLYING, IMPLIES, READY, SUBS
from lamplighter.registry import Procedure

HOUR = 3_600_000_000
RETRIES = Retries(attempts=3, checks=4, first=HOUR, factor=2.0, longest=3 * HOUR, retryable={})
ONE, TWO = Procedure.ONE_STEP, Procedure.TWO_STEP

SILENCES = [stage for stage in Stage if stage.name.startswith("SILENT_")]
FAILURES = [
    Stage.REFUSED,
    Stage.HUB_FAILED,
    Stage.TRANSFER_FAILED,
    Stage.IMAGE_REJECTED,
    Stage.ACTIVATION_FAILED,
    Stage.UNCHANGED,
]
STEPS = range(FIRST_STEP, (ATTEMPTS_MAX + 1) * SUBS)
MENDABLE, FOR_GOOD = Cause.OTHER_REQUEST, Cause.SIGNATURE


def due(procedure, stage, *, step=FIRST_STEP, cause=MENDABLE, retries=RETRIES):
    """What is due in a stage."""
    return next_action(procedure, Progress.of(step, stage, cause), retries)


@pytest.mark.parametrize("procedure", Procedure)
@pytest.mark.parametrize("stage", sorted(FLYING | set(FINAL)))
def test_a_device_in_flight_or_at_its_end_is_left_alone(procedure, stage):
    """Nothing is sent while an order is out, and nothing once all is over."""
    assert Due(Action.WAIT, 0) == due(procedure, stage)


@pytest.mark.parametrize("procedure", Procedure)
@pytest.mark.parametrize("stage", sorted(READY))
def test_every_stage_that_is_ours_has_an_action(procedure, stage):
    """No Device is forgotten: where we have to move, the table says how."""
    for cause, step in product(Cause, STEPS):
        what = due(procedure, stage, step=step, cause=cause)
        assert Action.WAIT is not what.action
        assert what.after >= 0


def test_a_ppmid_that_has_verified_the_image_is_asked_only_after_a_long_pause():
    """It activates by itself and says so; if not, it is asked, and never told to activate."""
    assert Due(Action.READ, RETRIES.longest) == due(ONE, Stage.IMAGE_VERIFIED)


@pytest.mark.parametrize("stage", SILENCES)
def test_a_silent_ppmid_is_read_before_anything_is_sent_again(stage):
    """An activated but silent Device is confirmed, not flashed again."""
    for sub in range(RETRIES.checks):
        assert Action.READ is due(ONE, stage, step=FIRST_STEP + sub).action


@pytest.mark.parametrize("procedure", Procedure)
@pytest.mark.parametrize("stage", SILENCES)
def test_an_update_is_never_resent_out_of_silence(procedure, stage):
    """Whatever the attempt: after silence comes a question, an activation or the end, never an image."""
    found = {due(procedure, stage, step=step).action for step in STEPS}
    assert found <= {Action.READ, Action.ACTIVATE, Action.WRITE_OFF}


def test_the_version_that_was_read_decides_about_the_resend():
    """Only a Device that says it still runs the old version gets the image again."""
    assert Due(Action.UPDATE, HOUR) == due(ONE, Stage.UNCHANGED, step=FIRST_STEP + 1)


@pytest.mark.parametrize("procedure", Procedure)
def test_a_device_that_never_answers_is_written_off(procedure):
    """The checks are used up: silence is not asked for ever; they count anew from a call-off."""
    used_up = set(range(RETRIES.checks, SUBS))
    if procedure is TWO:
        used_up -= set(range(CALL_OFF_FIRST, CALL_OFF_FIRST + RETRIES.checks))
    found = {
        sub
        for sub in range(SUBS)
        if due(procedure, Stage.SILENT_TO_READ, step=FIRST_STEP + sub) == Due(Action.WRITE_OFF, 0)
    }
    assert used_up == found


@pytest.mark.parametrize("procedure", Procedure)
@pytest.mark.parametrize("stage", [it for it in SILENCES if it is not Stage.SILENT_TO_READ])
@pytest.mark.parametrize("recalls", [0, 1, RETRIES.checks, RECALLS_MAX])
def test_a_silent_update_is_asked_about_however_often_it_was_recalled(procedure, stage, recalls):
    """Recalled orders take steps, but none of the checks: no Device is lost that nobody has asked."""
    found = due(procedure, stage, step=FIRST_STEP + recalls).action
    may_hold_the_image = stage in {Stage.SILENT_AT_HUB, Stage.SILENT_ON_DEVICE}
    assert (Action.ACTIVATE if procedure is TWO and may_hold_the_image else Action.READ) is found


def test_no_order_goes_beyond_its_attempt():
    """At the last step of an attempt there is no next question: it would be taken for another attempt."""
    for procedure, stage in product(Procedure, [*SILENCES, Stage.IMAGE_VERIFIED]):
        assert Due(Action.WRITE_OFF, 0) == due(procedure, stage, step=FIRST_STEP + SUBS - 1)


def test_recalls_leave_room_for_questions_and_end():
    """After a dozen recalls the next order counts as an attempt, and after the last attempt there is none."""
    recalled = Progress.of(FIRST_STEP + RECALLS_MAX, Stage.RECALLED)
    assert 2 * SUBS == next_step(recalled, Action.UPDATE)
    last = RETRIES.attempts * SUBS + RECALLS_MAX
    assert Due(Action.GIVE_UP, 0) == due(ONE, Stage.RECALLED, step=last)


@pytest.mark.parametrize("checks", [SUBS, 100])
def test_checks_end_where_the_step_ends(checks):
    """Whatever a plan says, an attempt has 15 checks at most: the next step would be another attempt's."""
    what = due(ONE, Stage.SILENT_TO_READ, step=FIRST_STEP + SUBS - 1, retries=RETRIES._replace(checks=checks))
    assert Action.WRITE_OFF is what.action


@pytest.mark.parametrize("stage", FAILURES)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_failure_that_can_be_mended_is_tried_again(stage, attempt):
    """Another attempt, as long as there is one."""
    assert Action.UPDATE is due(ONE, stage, step=attempt * SUBS).action


@pytest.mark.parametrize("stage", FAILURES)
def test_attempts_are_used_up(stage):
    """After as many attempts as the plan allows the Device is given up, even where it allows fewer by now."""
    for attempt in range(RETRIES.attempts, ATTEMPTS_MAX + 1):
        assert Due(Action.GIVE_UP, 0) == due(ONE, stage, step=attempt * SUBS)


def test_no_plan_allows_more_attempts_than_the_number_holds():
    """Attempt 16 does not fit beside the stage."""
    many = RETRIES._replace(attempts=1000)
    assert Action.GIVE_UP is due(ONE, Stage.REFUSED, step=ATTEMPTS_MAX * SUBS, retries=many).action


@pytest.mark.parametrize("stage", FAILURES)
def test_a_final_cause_is_not_tried_again(stage):
    """A cause that no attempt can mend ends it, as `CAUSES` says."""
    wanted = {cause: Action.UPDATE if CAUSES[cause][1] else Action.GIVE_UP for cause in Cause}
    assert wanted == {cause: due(ONE, stage, cause=cause).action for cause in Cause}


def test_the_plan_overrules_whether_a_cause_is_final():
    """An operator may know better, both ways."""
    bold = RETRIES._replace(retryable={FOR_GOOD: True, MENDABLE: False})
    assert Action.UPDATE is due(ONE, Stage.REFUSED, cause=FOR_GOOD, retries=bold).action
    assert Action.GIVE_UP is due(ONE, Stage.REFUSED, cause=MENDABLE, retries=bold).action


def test_pauses_grow_up_to_the_longest():
    """An hour, two, then three, which no pause exceeds."""
    many = RETRIES._replace(attempts=10)
    pauses = [due(ONE, Stage.REFUSED, step=it * SUBS, retries=many).after for it in (1, 2, 3, 4, 9)]
    assert [HOUR, 2 * HOUR, 3 * HOUR, 3 * HOUR, 3 * HOUR] == pauses


def test_the_first_question_is_asked_at_once():
    """Silence has lasted for a deadline already; only later questions wait."""
    pauses = [due(ONE, Stage.SILENT_TO_READ, step=FIRST_STEP + sub).after for sub in (0, 1, 2)]
    assert [0, HOUR, 2 * HOUR] == pauses


def test_only_a_verified_image_is_activated_and_never_a_ppmids():
    """SRV 11.3 is due once the Device has said 8F72, or may have said it in vain; never after SRV 11.4."""
    expected = {
        (TWO, Stage.IMAGE_VERIFIED, 0),
        (TWO, Stage.IMAGE_VERIFIED, 1),
        # The 8F72 may be lost: the activation names the image by its hash, and the answer says what is there.
        (TWO, Stage.SILENT_AT_HUB, 0),
        (TWO, Stage.SILENT_AT_HUB, 1),
        (TWO, Stage.SILENT_ON_DEVICE, 0),
        (TWO, Stage.SILENT_ON_DEVICE, 1),
        # It was asked for its version before anything was heard of the image, which it may hold by now.
        (TWO, Stage.UNCHANGED, 1),
        # It said 8F72, and was told to activate, and then not to.
        (TWO, Stage.CALLED_OFF, 0),
        (TWO, Stage.CALLED_OFF, 1),
    }
    found = {
        (procedure, stage, sub)
        for procedure in Procedure
        for stage in Stage
        for sub in (0, 1)
        if due(procedure, stage, step=FIRST_STEP + sub).action is Action.ACTIVATE
    }
    assert expected == found


def test_an_image_that_arrives_while_the_version_is_read_is_activated_once_not_sent_again():
    """The old version was read: an activation finds out whether the image is there; then another attempt."""
    assert Due(Action.ACTIVATE, 0) == due(TWO, Stage.UNCHANGED, step=FIRST_STEP + 1)
    for later in range(2, CALL_OFF_FIRST + 1):
        assert Due(Action.UPDATE, HOUR) == due(TWO, Stage.UNCHANGED, step=FIRST_STEP + later)


@pytest.mark.parametrize("checks", range(1, SUBS))
def test_a_device_is_never_sent_the_image_again_because_its_activation_was_called_off(checks):
    """Whatever becomes of a call-off and the questions after it, an activation comes next, or the end."""
    retries = RETRIES._replace(checks=checks)
    for sub in range(CALL_OFF_FIRST, CALL_OFF_LAST + 1):
        to_do = [
            Progress.of(FIRST_STEP + sub, stage) for stage in (Stage.CALLED_OFF, Stage.SILENT_IN_CALL_OFF)
        ]
        while to_do:
            progress = to_do.pop()
            action = next_action(TWO, progress, retries).action
            assert action in {Action.READ, Action.ACTIVATE, Action.WRITE_OFF}
            if action is Action.READ:
                step = next_step(progress, action)
                assert progress.attempt == step // SUBS, "within the attempt"
                to_do += [Progress.of(step, stage) for stage in (Stage.UNCHANGED, Stage.SILENT_TO_READ)]


@given(st.integers(FIRST_STEP, ATTEMPTS_MAX * SUBS + SUBS - 1))
def test_what_calls_off_is_a_later_step_of_the_same_attempt(step):
    """It is known of each step from there that the Device holds the image; and there is room to go on."""
    progress = Progress.of(step, Stage.ACTIVATION_SCHEDULED)
    found = next_step(progress, Action.CALL_OFF)
    if may_call_off(progress):
        assert step < found
        assert progress.attempt == found // SUBS
        assert CALL_OFF_FIRST <= found % SUBS <= CALL_OFF_LAST


def test_a_call_off_of_which_nothing_is_heard_is_followed_by_a_question():
    """The version says what has come of it, once the deadline has passed."""
    found = due(TWO, Stage.SILENT_IN_CALL_OFF, step=FIRST_STEP + CALL_OFF_FIRST)
    assert Due(Action.READ, 0) == found


def test_orders_have_the_service_reference_of_their_request():
    """What calls an activation off is SRV 11.3, too."""
    assert ["11.4", "11.1", "11.3", "11.2", "11.3"] == [order.srv for order in Order]


def test_a_silent_activation_is_followed_by_a_question():
    """Once an activation was sent in vain, the version is read: the Device may have activated."""
    assert Action.READ is due(TWO, Stage.SILENT_IN_ACTIVATION, step=FIRST_STEP + 1).action


def test_what_was_recalled_was_no_attempt():
    """An order that was taken back before it was sent is made again at once, within the same attempt."""
    recalled = Progress.of(FIRST_STEP, Stage.RECALLED)
    assert Due(Action.UPDATE, 0) == next_action(ONE, recalled, RETRIES._replace(attempts=1))
    assert FIRST_STEP + 1 == next_step(recalled, Action.UPDATE)
    assert 1 == Progress.of(next_step(recalled, Action.UPDATE), Stage.QUEUED).attempt


@given(st.integers(FIRST_STEP, ATTEMPTS_MAX * SUBS - 1), st.sampled_from(FAILURES))
def test_a_new_update_begins_a_new_attempt(step, stage):
    """Sub-step 0 of the next attempt, further than all of this one."""
    found = next_step(Progress.of(step, stage), Action.UPDATE)
    assert (step // SUBS + 1, 0) == divmod(found, SUBS)


@given(st.integers(FIRST_STEP, ATTEMPTS_MAX * SUBS), st.sampled_from([Action.READ, Action.ACTIVATE]))
def test_a_question_is_the_next_step(step, action):
    """Reads and activations stay in order behind what they follow."""
    assert step + 1 == next_step(Progress.of(step, Stage.SILENT_TO_READ), action)


def test_the_first_order_is_the_procedures_own_request():
    """11.4 for a PPMID, 11.1 for the others."""
    assert {ONE: Order.UPDATE_PPMID_FIRMWARE, TWO: Order.UPDATE_FIRMWARE} == {
        procedure: Order.update(procedure) for procedure in Procedure
    }


def test_a_deadline_turns_flight_into_a_silence_of_the_same_step():
    """At each deadline a stage in flight, and nothing else, becomes a silence that stands above it."""
    for deadline, facts in DEADLINES.items():
        for stage, fact in facts.items():
            assert stage in FLYING, deadline
            assert IMPLIES[fact] in SILENCES, deadline
            assert stage < IMPLIES[fact], deadline


def test_every_order_has_deadlines_and_every_deadline_an_order():
    """No order waits for ever, and no deadline is idle."""
    assert set(Order) == set(DEADLINES_OF)
    assert set(DEADLINES) == {name for names in DEADLINES_OF.values() for name in names}
