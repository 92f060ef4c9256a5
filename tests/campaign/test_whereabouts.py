"""Where an update is, whom it waits for, what comes next: an answer for every stage, no promise in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import Cause, Progress, Stage
from lamplighter.campaign.next import DEADLINES, DEADLINES_OF, Action, Order, next_action
from lamplighter.campaign.plan import Plan, Wave
from lamplighter.campaign.state import FINAL, FIRST_STEP, FLYING, IMPLIES
from lamplighter.campaign.status import CampaignStatus
from lamplighter.campaign.whereabouts import Ordered, whereabouts
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, SECOND
from lamplighter.registry import Procedure

NOW = Instant(1_900_000_000 * SECOND)
PLAN = Plan("C", (Wave("all", 1.0),), approvals=0)
KINDS = {
    Procedure.ONE_STEP: (Order.UPDATE_PPMID_FIRMWARE, Order.READ_FIRMWARE_VERSION),
    Procedure.TWO_STEP: (
        Order.UPDATE_FIRMWARE,
        Order.ACTIVATE_FIRMWARE,
        Order.CALL_OFF_ACTIVATION,
        Order.READ_FIRMWARE_VERSION,
    ),
}
RUNNING = CampaignStatus.RUNNING


def ordered(kind=Order.UPDATE_PPMID_FIRMWARE, ready_at=None, status=RUNNING, held=None):
    return Ordered(kind, NOW, ready_at, status, held)


@given(
    stage=st.sampled_from(Stage),
    cause=st.sampled_from(Cause),
    attempt=st.integers(1, 15),
    sub=st.integers(0, 15),
    procedure=st.sampled_from(Procedure),
    kind=st.integers(0, 3),
    status=st.sampled_from(CampaignStatus),
    held=st.none() | st.just("too many failures"),
    ready_at=st.none() | st.just(NOW),
)
def test_every_update_is_somewhere_and_waits_for_somebody(
    stage, cause, attempt, sub, procedure, kind, status, held, ready_at
):
    """Whatever the evidence, a person who asks gets an answer; and what is over promises nothing."""
    kinds = KINDS[procedure]
    progress = Progress.of(attempt * FIRST_STEP + sub, stage, cause)
    found = whereabouts(
        procedure, PLAN, progress, ordered(kinds[kind % len(kinds)], ready_at, status, held), NOW
    )
    assert found.where
    assert found.waits
    assert (stage in FINAL) == (found.next == ())
    assert found.waits.startswith("nobody") == (stage in FINAL)


@pytest.mark.parametrize("stage", sorted(FLYING))
def test_what_flies_has_a_deadline_and_what_follows_it(stage):
    """Nothing waits for ever: the moment and the step are those that the reconciler goes by."""
    for procedure, kinds in KINDS.items():
        for kind in kinds:
            progress = Progress.of(FIRST_STEP, stage)
            found = whereabouts(procedure, PLAN, progress, ordered(kind), NOW)
            names = [name for name in DEADLINES_OF[kind] if stage in DEADLINES[name]]
            if not names:
                continue  # a stage that this order does not lead to
            assert NOW + PLAN.deadlines.of(names[0]) == found.next[-1].at
            silent = Progress.of(FIRST_STEP, IMPLIES[DEADLINES[names[0]][stage]])
            action = next_action(procedure, silent, PLAN.retries).action
            word = {Action.READ: "11.2", Action.ACTIVATE: "11.3"}.get(action, "")
            assert word in found.next[-1].what


def test_a_failure_says_why_and_when_it_is_tried_again():
    progress = Progress.of(FIRST_STEP, Stage.TRANSFER_FAILED, Cause.TRANSFER)
    ready = Instant(NOW + HOUR)
    found = whereabouts(Procedure.ONE_STEP, PLAN, progress, ordered(ready_at=ready), NOW)
    assert "us, because the hub could not transfer the image" == found.waits
    assert [(ready, "the image is ordered again")] == [tuple(it) for it in found.next]


def test_a_final_cause_is_given_up():
    progress = Progress.of(FIRST_STEP, Stage.TRANSFER_FAILED, Cause.HARDWARE)
    found = whereabouts(Procedure.ONE_STEP, PLAN, progress, ordered(), NOW)
    assert "it is given up, and counts as failed" == found.next[0].what


@pytest.mark.parametrize(
    ("status", "held", "said"),
    [
        (CampaignStatus.PAUSED, None, "the campaign is paused"),
        (CampaignStatus.ABORTING, None, "the campaign is being aborted"),
        (RUNNING, "12 of 20 failed", "its stratum is held: 12 of 20 failed"),
    ],
)
def test_whatever_stops_the_next_order_is_said(status, held, said):
    """At three in the morning: it is not that nobody has noticed."""
    progress = Progress.of(FIRST_STEP, Stage.TRANSFER_FAILED, Cause.TRANSFER)
    found = whereabouts(Procedure.ONE_STEP, PLAN, progress, ordered(status=status, held=held), NOW)
    assert said in found.waits


def test_the_deadline_counts_from_the_order():
    progress = Progress.of(FIRST_STEP, Stage.ACCEPTED)
    found = whereabouts(Procedure.ONE_STEP, PLAN, progress, ordered(), NOW)
    assert NOW + DAY == found.next[-1].at


QUIET_HOUR = Instant(NOW + 8 * HOUR)
SCHEDULED = Progress.of(FIRST_STEP + 1, Stage.ACTIVATION_SCHEDULED)


@pytest.mark.parametrize(
    ("hours", "held", "said"),
    [
        (0, None, ["until then the activation can be called off", "it activates"]),
        (0, "harm", ["the activation is called off (SRV 11.3)"]),
        (7.5, None, ["it activates"]),
        (7.5, "harm", ["it activates; that is too near to be called off"]),
        (8, "harm", []),
    ],
)
def test_an_activation_ahead_is_told_with_what_may_become_of_it(hours, held, said):
    """Whether it is called off, can be, or falls due too soon."""
    told = replace(ordered(Order.ACTIVATE_FIRMWARE, held=held), execution=QUIET_HOUR)
    found = whereabouts(Procedure.TWO_STEP, PLAN, SCHEDULED, told, Instant(NOW + int(hours * HOUR)))
    assert said == [it.what for it in found.next[:-2]]


def test_a_call_off_that_was_refused_says_why_and_what_comes():
    """The Device may still do what it was told."""
    told = replace(ordered(Order.CALL_OFF_ACTIVATION), execution=QUIET_HOUR)
    refused = Progress.of(FIRST_STEP + 8, Stage.CALLING_OFF, Cause.ACCESS)
    found = whereabouts(Procedure.TWO_STEP, PLAN, refused, told, NOW)
    assert "not authorised" in found.waits
    assert (QUIET_HOUR, "it activates, unless it is told in time not to") == found.next[0]
