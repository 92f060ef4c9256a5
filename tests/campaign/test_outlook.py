"""What a person is told of the next hours: what the policy is about to do, at every stand of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.campaign.test_decide import CANARY, NOON, ONE_STRATUM, REST, WAVES, count, view

from lamplighter.campaign import Stage
from lamplighter.campaign.decide import Busy, Stratum
from lamplighter.campaign.outlook import outlook
from lamplighter.campaign.plan import Caps, Plan, Wave
from lamplighter.campaign.rates import Rate
from lamplighter.campaign.status import CampaignStatus
from lamplighter.campaign.windows import Window
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.registry import Procedure, Verdict

SOAKING = (Stratum(0, "s0", 0, settled_at=Instant(NOON - HOUR)),)
HELD = (Stratum(0, "s0", 0, held="6 of 6 failed"),)


def told(plan: Plan, seen, **others) -> list[str]:
    """All that is said, in its order."""
    return [it.what for it in outlook(plan, seen, NOON, **others).next]


def test_a_wave_that_soaks_is_followed_at_its_time():
    """The next wave's opening is the soak time after the wave was good; times come first."""
    found = outlook(WAVES, view(count(Stage.PROVEN, 50), waiting={REST: 450}, strata=SOAKING), NOON)
    assert (Instant(NOON + 5 * HOUR), "s0") == (found.next[0].at, found.next[0].stratum)
    assert "Wave 'rest' opens" in found.next[0].what


def test_an_empty_wave_waits_for_no_gate():
    """It is passed by for those beyond it, or its Devices are found first; or there is nothing to say."""
    assert "Wave 'rest' opens: nobody is in 'canary'." == told(WAVES, view(waiting={REST: 9}))[0]
    missed = view(waiting={REST: 9}, missed=frozenset({0}))
    assert "Devices of wave 'canary' are found in the next sweep." == told(WAVES, missed)[0]
    assert 1 == len(told(WAVES, view())), "but for its end in any case"


def test_a_campaign_that_waits_for_the_shut_out_says_why_and_until_when():
    """A person can mend the registry, or end it; a few keep nobody waiting, and are not worth a word."""
    state = view(count(Stage.PROVEN, 99), shut={Verdict.CPL_NOT_ACTIVE: 900})
    [first, *_] = outlook(Plan("one", (Wave("all", 1.0),)), state, NOON).next
    assert (True, None) == (first.person, first.at)
    assert "900 Devices not ordered" in first.what
    assert Verdict.CPL_NOT_ACTIVE.value in first.what
    few = replace(state, shut={Verdict.CPL_NOT_ACTIVE: 1})
    assert not any("not ordered" in it for it in told(WAVES, few))


def test_a_held_stratum_waits_for_a_person_and_stands_first():
    """Nothing by the clock comes before what only a person can do."""
    found = outlook(WAVES, view(count(Stage.FAILED, 6), waiting={CANARY: 44}, strata=HELD), NOON)
    assert (True, "s0") == (found.next[0].person, found.next[0].stratum)
    assert "until somebody releases the hold" in found.next[0].what


def test_a_held_stratum_with_nothing_left_says_that_the_campaign_waits_for_it():
    """The end itself waits for a person: that is no riddle to be solved at night."""
    [first, *_] = told(WAVES, view(count(Stage.FAILED, 6), strata=HELD))
    assert "none of it is left to order" in first


def test_the_gate_is_waited_for_with_its_own_words():
    """What is missing for a verdict is in the sentence."""
    said = told(WAVES, view(count(Stage.PROVEN, 3), count(Stage.AT_HUB, 2)))
    assert any("Wave 'rest' waits for the gate: 0 of 3 failed" in it for it in said)
    assert "2 Devices in flight: word is awaited from the DCC, the hub or the Device." in said


def test_a_closed_window_says_when_it_opens():
    """At noon, with a window from 20:00: eight hours, in winter, when London has UTC."""
    plan = replace(WAVES, windows=(Window(20 * 60, 22 * 60),))
    found = outlook(plan, view(waiting={CANARY: 50}), NOON)
    assert Instant(NOON + 8 * HOUR) in [it.at for it in found.next if "opens" in it.what]
    assert [False] * len(found.openings) == [it.is_open for it in found.openings]


def test_a_limit_that_is_reached_is_named():
    """Rate and caps, those of other campaigns included."""
    plan = replace(WAVES, rate=Rate(per_hour=10), caps=Caps(in_flight=5, per_region=9))
    busy = view(
        count(Stage.AT_HUB, 3), waiting={CANARY: 40}, last_hour=10, elsewhere=(Busy("North", "A", 2),)
    )
    found = outlook(plan, busy, NOON)
    assert {"orders in the last hour": 0, "in flight, all campaigns": 0, "in flight in region North": 4} == {
        it.name: it.left for it in found.limits
    }
    assert 2 == sum("The limit is reached" in it.what for it in found.next)
    assert 10 == found.per_hour


def test_no_rate_and_no_cap_is_no_limit():
    """A plan that says nothing has none."""
    assert ((), None) == (outlook(WAVES, view(), NOON).limits, outlook(WAVES, view(), NOON).per_hour)


@pytest.mark.parametrize(
    ("status", "word", "person"),
    [
        (CampaignStatus.PAUSED, "until somebody resumes it", True),
        (
            CampaignStatus.ABORTING,
            "2 Devices in flight come to an end, then what is left is cancelled",
            False,
        ),
        (CampaignStatus.ABORTED, "it was aborted", False),
        (CampaignStatus.FINISHED, "it is finished", False),
    ],
)
def test_every_stand_has_its_sentence(status, word, person):
    """Whoever comes to the page knows whether they are waited for."""
    found = outlook(WAVES, view(count(Stage.AT_HUB, 2), status=status), NOON)
    assert word in found.next[0].what
    assert person is found.next[0].person


def test_a_draft_says_how_many_must_approve_it():
    """And then that somebody has to start it."""
    plan = replace(WAVES, approvals=2)
    draft = view(status=CampaignStatus.DRAFT)
    assert "2 more people must approve it; its creator cannot." == told(plan, draft)[0]
    assert "1 more person must approve it; its creator cannot." == told(plan, draft, approvals=1)[0]
    assert ["Somebody starts it."] == told(plan, draft, approvals=2)
    assert outlook(plan, draft, NOON).ends_at is None


def test_the_end_in_any_case_is_told():
    """`lasts` after the start."""
    found = outlook(WAVES, view(), NOON)
    assert Instant(NOON - HOUR + 60 * DAY) == found.ends_at
    assert found.next[-1].at in {found.ends_at, None}


def test_a_withdrawn_release_orders_nothing_more():
    """Nothing of waves is told that will never come."""
    said = told(WAVES, view(count(Stage.AT_HUB, 1), waiting={REST: 5}, withdrawn=True, strata=ONE_STRATUM))
    assert (
        "The release is withdrawn: 1 Device in flight comes to an end, then the campaign finishes." == said[0]
    )
    assert not any("Wave" in it for it in said)


def test_the_last_wave_has_no_next_one():
    """Only what flies is waited for."""
    plan = Plan("one", (Wave("all", 1.0),))
    assert not any("Wave" in it for it in told(plan, view(count(Stage.AT_HUB, 4))))


NIGHTLY = replace(WAVES, activate_at=(120, 240))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"strata": HELD}, "told to activate later: called off, but for what is due within 60 minutes"),
        ({"status": CampaignStatus.ABORTING}, "told to activate later: called off"),
        ({"status": CampaignStatus.PAUSED}, "activate in spite of the pause"),
    ],
)
def test_what_becomes_of_activations_ahead_is_said(seen, words):
    """Nobody has to guess what happens at two in the morning."""
    found = told(NIGHTLY, view(count(Stage.ACTIVATION_SCHEDULED, 7), procedure=Procedure.TWO_STEP, **seen))
    assert any("7 Devices" in line and words in line for line in found)


def test_what_is_being_called_off_is_said():
    """Until the Devices have answered."""
    found = told(NIGHTLY, view(count(Stage.CALLING_OFF, 7), procedure=Procedure.TWO_STEP, strata=HELD))
    assert any("7 Devices told to drop the activation" in line for line in found)
