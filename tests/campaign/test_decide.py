"""What a campaign decides, rule by rule: one view, or one short story on paper, and what must come of it."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.campaign.ledger import OLD, TARGET, Ledger

from lamplighter.campaign import Cause, Fact, Order, Progress, Stage
from lamplighter.campaign.decide import (
    BROOD_FIRST,
    FIRST_STEP,
    Again,
    Alike,
    Busy,
    Dated,
    Decision,
    Hold,
    Make,
    Place,
    Ready,
    Stratum,
    View,
    calls_off,
    decide,
    judge,
)
from lamplighter.campaign.gates import Gate
from lamplighter.campaign.next import CALL_OFF_FIRST, CALL_OFF_LAST
from lamplighter.campaign.plan import Caps, Plan, Wave
from lamplighter.campaign.rates import Rate
from lamplighter.campaign.state import FINAL, READY, SUBS
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.campaign.tallies import LOADING, Cell, Count
from lamplighter.campaign.windows import Kind, Window, jitter, open_at
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE, from_iso
from lamplighter.registry import Procedure, Verdict

NOON = from_iso("2026-03-02T12:00:00Z")  # a Monday in winter: London's clocks show UTC
ONE, TWO = Procedure.ONE_STEP, Procedure.TWO_STEP
UPDATE, READ, ACTIVATE = Order.UPDATE_PPMID_FIRMWARE, Order.READ_FIRMWARE_VERSION, Order.ACTIVATE_FIRMWARE

ALL = Plan("all at once", (Wave("all", 1.0),))
WAVES = Plan("in waves", (Wave("canary", 0.1, soak=6 * HOUR), Wave("rest", 1.0)))
ONE_STRATUM = (Stratum(0, "s0", 0),)
CANARY, REST = Place(0, 0, "North", "A"), Place(0, 1, "North", "A")


def place(stratum=0, wave=0, region="North", hub_model="A"):
    """Where Devices wait."""
    return Place(stratum, wave, region, hub_model)


def count(stage, devices, at=CANARY, *, brood=0, again=False):
    """Devices of a place in a stage."""
    return Count(Cell(1, at.stratum, at.wave, brood, at.region, at.hub_model), stage, again, devices)


def view(*counts, waiting=None, strata=ONE_STRATUM, **others):
    """A running one-step campaign that started an hour ago, and has ordered nothing in this hour."""
    standing = {"status": CampaignStatus.RUNNING, "procedure": ONE, "started_at": Instant(NOON - HOUR)}
    standing |= {"ordered": sum(it.devices for it in counts), "last_hour": 0, "last_day": 0}
    return View(strata=strata, counts=counts, waiting=waiting or {}, **(standing | others))


def due(stage, *, step=FIRST_STEP, cause=Cause.NONE, at=CANARY, since=NOON, number=7):
    """An update that waits for us."""
    cell = Cell(1, at.stratum, at.wave, 0, at.region, at.hub_model)
    return Ready(number, cell, Progress.of(step, stage, cause), since)


def made(decision, **where):
    """How many new orders, of places with these properties."""
    return sum(
        it.devices
        for it in decision.makes
        if all(getattr(it.place, name) == value for name, value in where.items())
    )


# --- waves, gates and soak


def test_a_campaign_begins_with_its_first_wave_only():
    """Nobody but the canaries is ordered as long as nothing is known."""
    found = decide(WAVES, view(waiting={CANARY: 10, REST: 90}), (), NOON)
    assert Decision(makes=(Make(CANARY, 0, BROOD_FIRST), Make(CANARY, 1, 10 - BROOD_FIRST))) == found


def test_a_wave_that_is_good_settles_first():
    """The gate has passed: the soak time begins, and nothing else."""
    found = decide(WAVES, view(count(Stage.PROVEN, 40), waiting={REST: 90}), (), NOON)
    assert Decision(settles=(0,)) == found


@pytest.mark.parametrize(("hours", "opens"), [(5.99, ()), (6, ((0, 1),)), (60, ((0, 1),))])
def test_the_next_wave_opens_when_the_soak_time_is_over(hours, opens):
    """Not a moment before."""
    strata = (Stratum(0, "s0", 0, settled_at=Instant(NOON - int(hours * HOUR))),)
    found = decide(WAVES, view(count(Stage.PROVEN, 40), waiting={REST: 90}, strata=strata), (), NOON)
    assert Decision(opens=opens) == found


def test_a_clock_that_is_put_back_does_not_cut_the_soak_time_short():
    """A settled time in the future is no proof that time has passed: the soak time begins anew."""
    strata = (Stratum(0, "s0", 0, settled_at=Instant(NOON + 1)),)
    found = decide(WAVES, view(count(Stage.PROVEN, 40), waiting={REST: 90}, strata=strata), (), NOON)
    assert Decision(settles=(0,)) == found


@pytest.mark.parametrize("waiting", [{CANARY: 5, REST: 90}, {REST: 90}], ids=["not all ordered", "in flight"])
def test_a_wave_is_not_good_before_all_of_it_is_ordered_and_known(waiting):
    """A gate that waits, or Devices not ordered yet, keep the next wave shut, and void the soak time."""
    strata = (Stratum(0, "s0", 0, settled_at=Instant(NOON - DAY)),)
    state = view(count(Stage.AT_HUB, 40), waiting=waiting, strata=strata)
    found = decide(WAVES, state, (), NOON)
    assert ((0,), (), ()) == (found.unsettles, found.settles, found.opens)


def test_without_a_gate_a_wave_waits_for_its_soak_time_alone():
    """`gate = false` asks for no PASS; a HOLD counts all the same."""
    plan = replace(WAVES, waves=(replace(WAVES.waves[0], gated=False), WAVES.waves[1]))
    assert (0,) == decide(plan, view(count(Stage.AT_HUB, 40), waiting={REST: 90}), (), NOON).settles
    assert (0,) == tuple(it.stratum for it in decide(plan, view(count(Stage.FAILED, 40)), (), NOON).holds)


def test_a_wave_without_devices_of_a_stratum_is_passed_by():
    """A stratum of three has no part in a wave of one in a hundred: there is nothing to soak."""
    assert ((0, 1),) == decide(WAVES, view(waiting={REST: 3}), (), NOON).opens


@pytest.mark.parametrize("before", [(), (count(Stage.PROVEN, 40),)], ids=["canaries", "tenth"])
def test_no_wave_opens_for_nobody(before):
    """Whoever should be in it may be shut out for a day, and then finds the waves where they were."""
    plan = replace(WAVES, waves=(WAVES.waves[0], Wave("tenth", 0.5, soak=HOUR), WAVES.waves[1]))
    state = view(*before, strata=(Stratum(0, "s0", len(before)),))
    assert () == decide(plan, state, (), NOON).opens


def test_a_wave_that_was_missed_is_looked_for_before_the_next_opens():
    """Its Devices were away when it was gone through, and are there now; so are those beyond it."""
    state = view(waiting={REST: 90}, missed=frozenset({0}))
    assert ((), None) == ((found := decide(WAVES, state, (), NOON)).opens, found.act)


def test_who_comes_late_into_a_wave_with_nobody_in_it_is_its_first():
    """The next wave waits for them; where others were ordered before them it does not."""
    assert () == decide(WAVES, view(waiting={REST: 90}, late={CANARY: 3}), (), NOON).opens
    state = view(count(Stage.PROVEN, 40), waiting={REST: 90}, late={CANARY: 3})
    assert (0,) == decide(WAVES, state, (), NOON).settles


@pytest.mark.parametrize(("shut", "act"), [(1, Act.FINISH), (2, None), (900, None)])
def test_a_campaign_does_not_finish_without_those_who_may_come_back(shut, act):
    """But for one in a hundred: and in any case it ends with its time."""
    state = view(count(Stage.PROVEN, 99), shut={Verdict.CPL_NOT_ACTIVE: shut})
    assert act is decide(ALL, state, (), NOON).act
    over = replace(state, started_at=Instant(NOON - ALL.lasts))
    assert Act.FINISH is decide(ALL, over, (), NOON).act


def test_a_wave_too_small_for_a_verdict_borrows_from_the_next():
    """Five canaries proved nothing: as many more are ordered as a PASS wants at least, and no more."""
    found = decide(
        WAVES,
        view(count(Stage.PROVEN, 5), waiting={REST: 900}, strata=(Stratum(0, "s0", 1),)),
        (),
        NOON,
    )
    # 43 proofs without a failure are the fewest that pass: 10 (1 - 0.9^44) / (44 * 0.9^43) >= 1 / 0.05.
    assert 43 - 5 == made(found, wave=1) == made(found)


def test_a_wave_that_opened_on_a_pass_is_not_choked_by_its_own_flights():
    """Those in flight may all fail, says the gate of the next wave; this one goes on as it was allowed to."""
    flying = count(Stage.AT_HUB, 400, REST)
    state = view(count(Stage.PROVEN, 50), flying, waiting={REST: 500}, strata=(Stratum(0, "s0", 1),))
    assert 500 == made(decide(WAVES, state, (), NOON))


# --- holds


def test_a_bad_stratum_is_held_alone():
    """The other one goes on, and nothing new is ordered in this."""
    strata = (Stratum(0, "bad", 1), Stratum(1, "good", 1))
    good, bad = place(1, 1), place(0, 1)
    counts = (count(Stage.FAILED, 30, bad), count(Stage.PROVEN, 50, good))
    found = decide(WAVES, view(*counts, waiting={bad: 50, good: 50}, strata=strata), (), NOON)
    assert [0] == [it.stratum for it in found.holds]
    assert (0, 50) == (made(found, stratum=0), made(found, stratum=1))


@pytest.mark.parametrize(
    "stage", [Stage.SILENT_BEFORE_HUB, Stage.SILENT_ON_DEVICE, Stage.CHECKING, Stage.LOST]
)
def test_silence_counts_as_failure(stage):
    """Nobody complains where nobody answers: that is a hold too, and says so."""
    found = decide(ALL, view(count(stage, 20)), (), NOON)
    reason = "20 of 20 failed, 20 of them in silence: more than the acceptable 0.02 (silence 0.02) explains"
    assert (Hold(0, reason),) == found.holds


@pytest.mark.parametrize("stage", [Stage.WITHDRAWN, Stage.CANCELLED])
def test_who_left_is_no_failure(stage):
    """A change of supplier says nothing of the image."""
    assert () == decide(ALL, view(count(stage, 100), count(Stage.PROVEN, 9)), (), NOON).holds


def test_a_later_attempt_does_not_hide_a_failure():
    """A Device that has failed counts as failed until it is proven, wherever its second attempt is."""
    assert (0,) == tuple(
        it.stratum for it in decide(ALL, view(count(Stage.AT_HUB, 20, again=True)), (), NOON).holds
    )


def test_a_held_stratum_is_neither_updated_nor_activated_again_but_read():
    """What is known of a bad image is still worth knowing; nothing else goes out."""
    state = view(count(Stage.UNCHANGED, 2), strata=(Stratum(0, "s0", 0, held="bad"),), procedure=TWO)
    ready = (
        due(Stage.UNCHANGED, number=1),
        due(Stage.IMAGE_VERIFIED, number=2),
        due(Stage.SILENT_BEFORE_HUB, number=3),
    )
    found = decide(ALL, state, ready, Instant(NOON + 2 * HOUR))
    assert (Again(READ, FIRST_STEP + 1, (3,)),) == found.again
    assert {1, 2} == found.defer.keys()


def test_a_held_stratum_does_not_keep_the_room_of_the_others():
    """Silent Devices count against the caps until they are read: here they are, instead of activated."""
    strata = (Stratum(0, "bad", 0, held="bad"), Stratum(1, "good", 0))
    state = view(count(Stage.SILENT_AT_HUB, 1), strata=strata, procedure=TWO)
    found = decide(ALL, state, (due(Stage.SILENT_AT_HUB),), NOON)
    assert (Again(READ, FIRST_STEP + 1, (7,)),) == found.again


def test_a_hold_takes_back_what_was_not_sent_yet():
    """Orders of a bad stratum that still stand in the outbox are recalled, and nothing without need."""
    sent = view(count(Stage.FAILED, 30), count(Stage.AT_HUB, 5))
    unsent = view(count(Stage.FAILED, 30), count(Stage.QUEUED, 5))
    assert (False, True) == (decide(ALL, sent, (), NOON).recall, decide(ALL, unsent, (), NOON).recall)


def test_a_hold_voids_the_soak_time():
    """Or the next wave would open at the moment of the release."""
    strata = (Stratum(0, "s0", 0, settled_at=Instant(NOON - 5 * HOUR)),)
    assert (0,) == decide(WAVES, view(count(Stage.FAILED, 30), strata=strata), (), NOON).unsettles


def test_after_a_release_the_failures_so_far_are_pardoned():
    """The operator has looked at 30 failures: the stratum is held again for new ones, not for these."""
    pardoned = (Stratum(0, "s0", 0, pardoned=30),)
    old, new = count(Stage.FAILED, 30), count(Stage.FAILED, 10, brood=1)
    assert () == decide(ALL, view(old, strata=pardoned), (), NOON).holds
    assert 1 == len(decide(ALL, view(old, new, strata=pardoned), (), NOON).holds)


def test_a_pardon_is_no_reserve_for_later_failures():
    """The 30 were silent in an outage and have proved since: nothing is left to pardon."""
    state = view(count(Stage.PROVEN, 30), strata=(Stratum(0, "s0", 0, pardoned=30),))
    assert ((0, 0),) == decide(ALL, state, (), NOON).pardons


# --- caps and rates


@pytest.mark.parametrize(
    ("caps", "allowed"),
    [
        (Caps(), 100),
        (Caps(in_flight=30), 20),
        (Caps(per_region=30), 20 + 30),
        (Caps(per_hub_model=30), 20 + 30),
        (Caps(in_flight=40, per_region=25), 15 + 15),
        (Caps(requests_per_day=70), 10),
    ],
)
def test_caps_hold_at_every_level(caps, allowed):
    """10 are in flight in the North on model A; 60 requests went out today."""
    waiting = {place(): 50, place(region="South", hub_model="B"): 50}
    state = view(count(Stage.AT_HUB, 10), waiting=waiting, last_day=60)
    assert allowed == made(decide(replace(ALL, caps=caps), state, (), NOON))


@pytest.mark.parametrize("stage", [Stage.QUEUED, Stage.AT_HUB, Stage.ON_DEVICE, Stage.SILENT_AT_HUB])
def test_whatever_may_be_on_its_way_counts_against_the_caps(stage):
    """Silence does not say that nothing moves."""
    state = view(count(stage, 3), waiting={CANARY: 50})
    assert 5 == made(decide(replace(ALL, caps=Caps(in_flight=8)), state, (), NOON))


def test_other_campaigns_count_against_the_caps():
    """A hub model bears what it bears, whoever ordered it."""
    state = view(waiting={CANARY: 50}, elsewhere=(Busy("North", "A", 10),))
    assert 5 == made(decide(replace(ALL, caps=Caps(per_hub_model=15)), state, (), NOON))


@pytest.mark.parametrize("cap", ["in_flight", "per_region", "per_hub_model"])
@pytest.mark.parametrize("procedure", Procedure)
def test_caps_hold_for_later_orders_too(cap, procedure):
    """A second attempt, or an activation, loads as a first order does: without room it waits for a minute."""
    plan = replace(ALL, caps=replace(Caps(), **{cap: 10}))
    state = view(count(Stage.AT_HUB, 10), procedure=procedure)
    stage = Stage.IMAGE_VERIFIED if procedure is TWO else Stage.TRANSFER_FAILED
    ready = due(stage, cause=Cause.TRANSFER, since=Instant(NOON - DAY))
    assert Decision(defer={7: NOON + MINUTE}) == decide(plan, state, (ready,), NOON)


def test_no_hour_sees_more_than_the_rate():
    """30 of 100 an hour were ordered: 70 are left, and later attempts take their part first."""
    state = view(waiting={CANARY: 500}, last_hour=30)
    again = due(Stage.REFUSED, cause=Cause.OTHER_REQUEST, since=Instant(NOON - DAY))
    found = decide(replace(ALL, rate=Rate(per_hour=100)), state, (again,), NOON)
    assert (Again(UPDATE, 2 * SUBS, (7,)),) == found.again
    assert 69 == made(found)


def test_a_read_takes_of_the_daily_requests_and_of_nothing_else():
    """It moves no image: caps in flight do not concern it, the DCC's threshold does."""
    ready = tuple(due(Stage.SILENT_AT_HUB, number=number) for number in range(5))
    state = view(count(Stage.SILENT_AT_HUB, 5), last_day=7, last_hour=1)
    plan = replace(ALL, caps=Caps(in_flight=5, requests_per_day=10), rate=Rate(per_hour=1))
    found = decide(plan, state, ready, NOON)
    assert (Again(READ, FIRST_STEP + 1, (0, 1, 2)),) == found.again
    assert {3: NOON + MINUTE, 4: NOON + MINUTE} == found.defer


_STANDINGS = st.tuples(
    st.sampled_from(sorted(READY)),
    st.sampled_from((Cause.NONE, Cause.TRANSFER, Cause.OTHER_REQUEST, Cause.SIGNATURE)),
    st.sampled_from((FIRST_STEP, FIRST_STEP + 1, 2 * SUBS, 3 * SUBS - 1)),
    st.sampled_from((place(), place(1, region="South"), place(2, hub_model="B"))),
    st.sampled_from((Instant(NOON - 9 * DAY), Instant(NOON - MINUTE))),
)


@given(
    groups=st.lists(st.tuples(_STANDINGS, st.integers(1, 6)), max_size=8),
    procedure=st.sampled_from((ONE, TWO)),
    caps=st.builds(
        Caps,
        in_flight=st.none() | st.integers(1, 12),
        per_hub_model=st.none() | st.integers(1, 12),
        requests_per_day=st.none() | st.integers(1, 12),
    ),
    rate=st.integers(1, 12),
    kinds=st.frozensets(st.sampled_from(Kind), min_size=1),
    status=st.sampled_from((CampaignStatus.RUNNING, CampaignStatus.ABORTING)),
)
def test_updates_that_stand_alike_may_be_handed_over_together(groups, procedure, caps, rate, kinds, status):
    """The decision is the one that is made of them row by row, whatever runs out in the middle."""
    window = Window(22 * 60, 6 * 60, kinds=kinds)
    plan = replace(ALL, caps=caps, rate=Rate(per_hour=rate), windows=(window,), jitter=HOUR)
    strata = (Stratum(0, "s0", 0), Stratum(1, "s1", 0, held="bad"), Stratum(2, "s2", 0))
    state = view(
        waiting={place(): 20, place(2, hub_model="B"): 20}, strata=strata, procedure=procedure, status=status
    )
    rows, together = [], []
    for (stage, cause, step, at, since), devices in groups:
        first = due(stage, step=step, cause=cause, at=at, since=since)
        ids = range(len(rows), len(rows) + devices)
        rows += [first._replace(id=number) for number in ids]
        together.append(Alike(list(ids), first.cell, first.progress, since))
    assert decide(plan, state, rows, NOON) == decide(plan, state, together, NOON)


def test_strata_share_what_there_is():
    """A large stratum does not keep a small one waiting, nor the small one the large."""
    strata = (Stratum(0, "large", 0), Stratum(1, "small", 0), Stratum(2, "tiny", 0))
    waiting = {place(0): 10_000, place(1): 500, place(2): 3}
    for plan in (replace(ALL, rate=Rate(per_hour=90)), replace(ALL, caps=Caps(in_flight=90))):
        found = decide(plan, view(waiting=waiting, strata=strata), (), NOON)
        assert [44, 43, 3] == sorted((made(found, stratum=it) for it in range(3)), reverse=True)


def test_broods_double():
    """Gates judge Devices that were ordered together: the first 5, the next 10, and so on."""
    makes = decide(ALL, view(waiting={CANARY: 40}), (), NOON).makes
    assert [(0, 5), (1, 10), (2, 20), (3, 5)] == [it[1:] for it in makes]
    makes = decide(ALL, view(count(Stage.PROVEN, 7), waiting={CANARY: 10}), (), NOON).makes
    assert [(1, 8), (2, 2)] == [it[1:] for it in makes]


# --- windows


NIGHTS = (Window(22 * 60, 6 * 60),)


def test_a_closed_window_lets_nothing_out_and_puts_off_until_it_opens():
    """No new order at noon; what is owed comes back at ten in the evening."""
    plan = replace(ALL, windows=NIGHTS)
    found = decide(plan, view(waiting={CANARY: 50}), (due(Stage.SILENT_AT_HUB),), NOON)
    assert Decision(defer={7: from_iso("2026-03-02T22:00:00Z")}) == found
    assert 50 == made(decide(plan, view(waiting={CANARY: 50}), (), Instant(NOON + 10 * HOUR)))


def test_each_kind_of_order_has_its_own_windows():
    """Updates wait for the night; a read that has no window goes at any time."""
    plan = replace(ALL, windows=(replace(NIGHTS[0], kinds=frozenset({Kind.UPDATE})),))
    found = decide(plan, view(waiting={CANARY: 50}), (due(Stage.SILENT_AT_HUB),), NOON)
    assert Decision(again=(Again(READ, FIRST_STEP + 1, (7,)),)) == found


def test_a_blackout_day_sees_no_order():
    """Not one, window or no window, until midnight in London."""
    plan = replace(ALL, blackout=frozenset({date(2026, 3, 2)}))
    found = decide(plan, view(waiting={CANARY: 50}), (due(Stage.SILENT_AT_HUB),), NOON)
    assert Decision(defer={7: from_iso("2026-03-03T00:00:00Z")}) == found


def test_jitter_spreads_the_beginning_and_starves_nobody():
    """Each region and model of hub begins at a moment of its own, and before half of the window is over."""
    plan = replace(ALL, windows=(Window(13 * 60, 15 * 60),), jitter=DAY)
    places = [place(region=region, hub_model=model) for region in ("N", "C", "S") for model in "AB"]
    begun = []
    for minutes in range(60, 121):
        now = Instant(NOON + minutes * MINUTE)
        begun.append(len(decide(plan, view(waiting=dict.fromkeys(places, 1)), (), now).makes))
    assert begun == sorted(begun)
    assert (6, 4) < (begun[-1], len(set(begun)))


def test_jitter_spreads_what_waited_for_the_window():
    """Updates that were put off come back one by one, in the first quarter of an hour."""
    plan = replace(ALL, windows=NIGHTS, jitter=15 * MINUTE)
    opens = from_iso("2026-03-02T22:00:00Z")
    ready = [due(Stage.SILENT_AT_HUB, number=number) for number in range(20)]
    found = decide(plan, view(), ready, NOON).defer
    assert {number: opens + jitter(f"{number} {opens}", 15 * MINUTE) for number in range(20)} == found
    assert 20 == len(set(found.values()))
    assert all(open_at(plan.windows, plan.blackout, at) for at in found.values())


# --- what is owed to one Device


def test_a_silent_device_is_read_before_anything_is_sent_again():
    """Proven, it is done; unchanged, it gets another attempt; and nothing goes out between."""
    ledger = Ledger(ALL, ONE, {CANARY: 2}, NOON)
    ledger.tick()
    ledger.now += ALL.deadlines.hub
    ledger.tick()
    assert [UPDATE, READ] == [kind for _, kind, _ in ledger.ordered]
    awake, asleep = ledger.updates
    ledger.say(awake, Fact.VERSION_READ, version=TARGET)
    ledger.say(asleep, Fact.VERSION_READ, version=OLD)
    ledger.now += HOUR
    ledger.tick()
    assert [UPDATE, READ, UPDATE] == [kind for _, kind, _ in ledger.ordered]
    assert (Stage.PROVEN, Stage.QUEUED) == (awake.progress.stage, asleep.progress.stage)
    assert (1, 2) == (awake.progress.attempt, asleep.progress.attempt)


@pytest.mark.parametrize("recalls", [0, 1, 5])
def test_a_two_step_device_whose_8f72_was_lost_gets_its_activation(recalls):
    """However often its order was taken back before it went out."""
    ledger = Ledger(ALL, TWO, {CANARY: 1}, NOON)
    for _ in range(recalls):
        ledger.tick()
        ledger.act(Act.PAUSE)
        ledger.tick()
        ledger.act(Act.RESUME)
    ledger.tick()
    [device] = ledger.updates
    ledger.say(device, Fact.AT_HUB)
    ledger.say(device, Fact.ON_DEVICE)
    ledger.now += ALL.deadlines.proof
    ledger.tick()
    assert ACTIVATE is ledger.ordered[-1][1]


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Cause.TRANSFER, Decision(again=(Again(UPDATE, 2 * SUBS, (7,)),))),
        (Cause.HARDWARE, Decision(give_up=(7,))),
    ],
)
def test_retryable_and_final_causes(cause, expected):
    """A lost transfer is tried again, an hour later; a hardware mismatch never."""
    ready = due(Stage.TRANSFER_FAILED, cause=cause, since=Instant(NOON - HOUR))
    assert expected == decide(ALL, view(count(Stage.TRANSFER_FAILED, 1)), (ready,), NOON)


def test_attempts_are_used_up():
    """The third of three is the last."""
    ready = due(Stage.TRANSFER_FAILED, step=3 * SUBS, cause=Cause.TRANSFER, since=Instant(NOON - DAY))
    assert Decision(give_up=(7,)) == decide(ALL, view(count(Stage.TRANSFER_FAILED, 1)), (ready,), NOON)


def test_a_device_that_answers_no_read_is_written_off():
    """Four questions, and then it is lost, which is not the same as failed."""
    ready = due(Stage.SILENT_TO_READ, step=FIRST_STEP + 4)
    assert Decision(write_off=(7,)) == decide(ALL, view(count(Stage.SILENT_TO_READ, 1)), (ready,), NOON)


def test_a_pause_grows_with_each_attempt():
    """An hour after the first failure, two after the second."""
    ready = [
        due(Stage.TRANSFER_FAILED, step=attempt * SUBS, cause=Cause.TRANSFER, number=attempt)
        for attempt in (1, 2)
    ]
    assert {1: NOON + HOUR, 2: NOON + 2 * HOUR} == decide(ALL, view(), ready, NOON).defer


def test_a_clock_that_is_put_back_puts_off_no_longer_than_the_pause():
    """A failure "of next year" is tried again an hour from now."""
    ready = due(Stage.TRANSFER_FAILED, cause=Cause.TRANSFER, since=Instant(NOON + 365 * DAY))
    assert {7: NOON + HOUR} == decide(ALL, view(), (ready,), NOON).defer


def test_nothing_is_put_off_beyond_a_day_nor_beyond_the_end():
    """A release that is withdrawn meanwhile is noticed, and a campaign ends when its plan says."""
    far = replace(ALL, blackout=frozenset(date(2026, 3, day) for day in range(1, 31)))
    for started_at, expected in ((NOON - HOUR, NOON + DAY), (NOON + HOUR - far.lasts, NOON + HOUR)):
        state = view(started_at=Instant(started_at))
        assert {7: expected} == decide(far, state, (due(Stage.SILENT_AT_HUB),), NOON).defer


# --- operators, and the end


def test_paused_means_no_new_order():
    """What was not sent is taken back; nothing else is done, not even a hold."""
    state = view(count(Stage.FAILED, 50), waiting={CANARY: 50}, status=CampaignStatus.PAUSED)
    assert Decision(recall=True) == decide(ALL, state, (due(Stage.SILENT_AT_HUB),), NOON)


def test_an_aborted_campaign_waits_for_what_is_in_flight():
    """What waits for us is cancelled; what the DCC has comes to its end; then it is over."""
    aborting = {"status": CampaignStatus.ABORTING}
    flying = view(count(Stage.AT_HUB, 3), count(Stage.UNCHANGED, 1), waiting={CANARY: 50}, **aborting)
    assert Decision(cancel=(7,), recall=True) == decide(ALL, flying, (due(Stage.UNCHANGED),), NOON)
    over = view(count(Stage.CANCELLED, 4), waiting={CANARY: 50}, **aborting)
    assert Decision(recall=True, act=Act.SETTLE) == decide(ALL, over, (), NOON)


def test_a_campaign_does_not_end_in_the_breath_that_cancels_the_last():
    """A word may come between, and bring one back into the air: that must be seen first."""
    state = view(count(Stage.UNCHANGED, 1), status=CampaignStatus.ABORTING)
    assert Decision(cancel=(7,), recall=True) == decide(ALL, state, (due(Stage.UNCHANGED),), NOON)


@pytest.mark.parametrize("why", [{"withdrawn": True}, {"started_at": Instant(NOON - ALL.lasts)}])
def test_a_withdrawn_release_and_an_overdue_campaign_end(why):
    """Nothing new is ordered, held strata and waiting Devices are let go, and it finishes."""
    held = (Stratum(0, "s0", 0, held="bad"),)
    state = view(count(Stage.UNCHANGED, 1), waiting={CANARY: 50}, strata=held, **why)
    assert Decision(cancel=(7,), recall=True) == decide(ALL, state, (due(Stage.UNCHANGED),), NOON)
    state = view(count(Stage.CANCELLED, 1), waiting={CANARY: 50}, strata=held, **why)
    assert Decision(recall=True, act=Act.FINISH) == decide(ALL, state, (), NOON)


def test_a_campaign_lasts_until_its_last_moment():
    """A microsecond before its end it still orders."""
    state = view(waiting={CANARY: 50}, started_at=Instant(NOON - ALL.lasts + 1))
    assert 50 == made(decide(ALL, state, (), NOON))


@pytest.mark.parametrize(
    "open_end",
    [
        {"waiting": {CANARY: 1}},
        {"late": {CANARY: 1}},
        {"passed_over": 1},
        {"strata": (Stratum(0, "s0", 0, held="bad"),)},
    ],
    ids=["waiting", "late", "home busy", "held"],
)
def test_a_campaign_finishes_when_nothing_is_left(open_end):
    """All Devices at their end, nobody waits, joined late, or was passed over, and nothing is held."""
    done = view(count(Stage.PROVEN, 9), count(Stage.WITHDRAWN, 1))
    assert Decision(act=Act.FINISH) == decide(ALL, done, (), NOON)
    assert decide(ALL, replace(done, **open_end), (), NOON).act is None
    flying = view(count(Stage.PROVEN, 9), count(Stage.CHECKING, 1))
    assert Decision() == decide(ALL, flying, (), NOON)


@pytest.mark.parametrize("devices", [0, 1, 3, 40])
@pytest.mark.parametrize("minimum_sample", [1, 10**9])
def test_small_strata_end(devices, minimum_sample):
    """Too few for any verdict, and a gate that may never give one: they go through the waves all the same."""
    canaries = min(1, devices)
    waiting = {Place(0, 0, "N", "A"): canaries, Place(0, 2, "N", "A"): devices - canaries}
    waves = (Wave("canary", 0.01, soak=HOUR), Wave("tenth", 0.1, soak=HOUR), Wave("rest", 1.0))
    gate = Gate(max_failure_rate=1e-9, acceptable_failure_rate=1e-10, minimum_sample=minimum_sample)
    ledger = Ledger(replace(WAVES, waves=waves, gate=gate), ONE, waiting, NOON)
    for _ in range(200):
        ledger.tick()
        for update in ledger.updates:
            if update.progress.stage not in FINAL:
                ledger.say(update, Fact.ACTIVATED, version=TARGET)
        ledger.now += HOUR
        if ledger.status is CampaignStatus.FINISHED:
            break
    assert (CampaignStatus.FINISHED, devices) == (ledger.status, len(ledger.updates))


def test_judge_shows_what_decide_goes_by():
    """The numbers behind a hold are those that an operator sees."""
    state = view(
        count(Stage.FAILED, 10), count(Stage.LOST, 5), count(Stage.PROVEN, 5), count(Stage.AT_HUB, 7)
    )
    found = judge(ALL, state)[0].total
    assert (5, 10, 5, 7) == (found.proven, found.failed, found.silent, found.in_flight)


# --- activations that are called off

NIGHTLY = replace(ALL, activate_at=(120, 240))
OFF = FIRST_STEP + CALL_OFF_FIRST
CALL_OFF = Order.CALL_OFF_ACTIVATION
HELD = (Stratum(0, "s0", 0, held="harm"),)


def to_come(hours=14.0, *, number=7, stage=Stage.ACTIVATION_SCHEDULED, step=FIRST_STEP + 1, **others):
    """An activation so many hours from now."""
    at = others.pop("at", CANARY)
    cell = Cell(1, at.stratum, at.wave, 0, at.region, at.hub_model)
    execution = Instant(NOON + int(hours * HOUR))
    return Dated(number, cell, Progress.of(step, stage), execution, others.pop("unsent", False))


def nightly(*counts, **others):
    """A two-step campaign with Devices that were told to activate in the night."""
    counts = counts or (count(Stage.ACTIVATION_SCHEDULED, 1),)
    return view(*counts, **({"procedure": TWO} | others))


@pytest.mark.parametrize(
    ("seen", "called_off"),
    [
        ({}, False),
        ({"strata": HELD}, True),
        ({"withdrawn": True}, True),
        ({"started_at": Instant(NOON - 61 * DAY)}, True),
        ({"status": CampaignStatus.ABORTING}, True),
        ({"status": CampaignStatus.PAUSED}, False),
        ({"status": CampaignStatus.PAUSED, "strata": HELD}, True),
        ({"status": CampaignStatus.PAUSED, "withdrawn": True}, True),
    ],
)
def test_activations_are_called_off_where_harm_was_seen_or_at_the_end_and_by_no_pause(seen, called_off):
    """What is asked for, and what is decided of it, agree."""
    state = nightly(**seen)
    assert (frozenset({0}) if called_off else frozenset()) == calls_off(NIGHTLY, state, NOON)
    found = decide(NIGHTLY, state, (), NOON, [to_come()] if called_off else [])
    assert ((Again(CALL_OFF, OFF, (7,)),) if called_off else ()) == found.again


def test_a_stratum_that_is_not_held_is_left_alone_whoever_asks():
    """Each stratum is judged alone."""
    strata = (Stratum(0, "s0", 0, held="harm"), Stratum(1, "s1", 0))
    state = nightly(strata=strata)
    found = decide(NIGHTLY, state, (), NOON, [to_come(), to_come(number=8, at=place(1))])
    assert (Again(CALL_OFF, OFF, (7,)),) == found.again


@pytest.mark.parametrize(("hours", "called_off"), [(2, True), (1, True), (0.99, False), (-1, False)])
def test_what_falls_due_too_soon_is_not_called_off(hours, called_off):
    """The word has to get there; the plan says how long that may take."""
    found = decide(NIGHTLY, nightly(strata=HELD), (), NOON, [to_come(hours)])
    assert bool(found.again) == called_off


def test_what_was_not_attempted_is_taken_back_without_a_word():
    """However near it is."""
    queued = to_come(0.1, stage=Stage.QUEUED, unsent=True)
    found = decide(NIGHTLY, nightly(count(Stage.QUEUED, 1), strata=HELD), (), NOON, [queued])
    assert ((), (7,)) == (found.again, found.take_back)


def test_an_attempt_without_steps_to_go_on_from_is_left_to_its_activation():
    """What is called off has to be activated, asked and written off within the attempt."""
    last = to_come(step=FIRST_STEP + CALL_OFF_LAST)
    assert () == decide(NIGHTLY, nightly(strata=HELD), (), NOON, [last]).again


def test_call_offs_take_what_is_left_of_the_day_before_all_else():
    """A read that has waited comes after; no window and no blackout day keeps a call-off."""
    caps = Caps(requests_per_day=5)
    plan = replace(NIGHTLY, caps=caps, blackout=frozenset({date(2026, 3, 2)}), windows=(Window(60, 120),))
    some = [to_come(number=number) for number in range(4)]
    state = nightly(count(Stage.ACTIVATION_SCHEDULED, 4), strata=HELD, last_day=2)
    found = decide(plan, state, [due(Stage.SILENT_TO_READ, number=9)], NOON, some)
    assert (Again(CALL_OFF, OFF, (0, 1, 2)),) == found.again


def test_a_called_off_device_waits_while_held_and_is_activated_after():
    """The image lies there: SRV 11.3 is due, and no update."""
    waiting = [due(Stage.CALLED_OFF, step=OFF)]
    state = nightly(count(Stage.CALLED_OFF, 1), strata=HELD)
    assert {7: Instant(NOON + HOUR)} == decide(NIGHTLY, state, waiting, NOON).defer
    state = nightly(count(Stage.CALLED_OFF, 1))
    assert (Again(ACTIVATE, OFF + 1, (7,)),) == decide(NIGHTLY, state, waiting, NOON).again


@pytest.mark.parametrize("stage", [Stage.CALLED_OFF, Stage.UNCHANGED, Stage.SILENT_TO_READ])
def test_what_was_called_off_is_cancelled_at_the_end(stage):
    """Nobody wants the image activated any more."""
    state = nightly(count(stage, 1), status=CampaignStatus.ABORTING)
    assert (7,) == decide(NIGHTLY, state, [due(stage, step=OFF)], NOON).cancel


READS_AT_NIGHT = (Window(60, 120, kinds=frozenset({Kind.READ})),)


@pytest.mark.parametrize(
    ("last_day", "windows", "asked"), [(0, (), True), (5, (), False), (0, READS_AT_NIGHT, False)]
)
def test_a_call_off_of_unknown_outcome_is_asked_about_at_the_end_if_it_may_be(last_day, windows, asked):
    """Once, before it is cancelled; but the campaign must come to its end."""
    plan = replace(NIGHTLY, caps=Caps(requests_per_day=5), windows=windows)
    seen = count(Stage.SILENT_IN_CALL_OFF, 1)
    state = nightly(seen, status=CampaignStatus.ABORTING, last_day=last_day)
    found = decide(plan, state, [due(Stage.SILENT_IN_CALL_OFF, step=OFF)], NOON)
    assert ((Again(READ, OFF + 1, (7,)),) if asked else ()) == found.again
    assert (() if asked else (7,)) == found.cancel


def test_what_is_being_called_off_counts_against_the_caps_and_what_is_not():
    """It may activate until the Device has said that it will not; then it loads nothing."""
    assert Stage.CALLING_OFF in LOADING
    assert Stage.SILENT_IN_CALL_OFF in LOADING
    assert Stage.CALLED_OFF not in LOADING


@pytest.mark.parametrize("procedure", Procedure)
def test_the_store_is_asked_for_activations_only_where_there_may_be_any(procedure):
    """A PPMID has none; one that goes at once can only be taken back unsent."""
    for stage in Stage:
        found = calls_off(ALL, nightly(count(stage, 1), strata=HELD, procedure=procedure), NOON)
        assert bool(found) == (procedure is TWO and stage is Stage.QUEUED)
