"""Activations that are dated ahead, called off: which are found, what becomes of them, what is said of it."""

from dataclasses import replace

import pytest
from sqlalchemy import insert, update

from lamplighter.campaign import Cause, Evidence, Fact, Stage
from lamplighter.campaign.decide import FIRST_STEP, Decision, Hold, Make, call_off, decide
from lamplighter.campaign.next import CALL_OFF_FIRST, Order
from lamplighter.campaign.plan import Caps
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.registry import Procedure
from lamplighter.store import schema as s
from lamplighter.store.campaigns import RECALLED, RENEWED
from lamplighter.store.inbox import Inbox, Incoming, Statement
from tests.store.campaigning import ONE_WAVE, START, SWITCHES, TARGET, Fleet, eui

NIGHTLY = replace(ONE_WAVE, activate_at=(120, 180))
OFF = FIRST_STEP + CALL_OFF_FIRST
EVERYBODY = range(4)


@pytest.fixture
def fleet(database_url):
    """Four HCALCSs, each told to activate its image in the coming night."""
    fleet = Fleet(database_url, Procedure.TWO_STEP)
    fleet.devices(EVERYBODY, SWITCHES)
    yield fleet
    fleet.close()


def begun(fleet, plan=NIGHTLY, *, sent=True):
    """A campaign whose activations are ordered, and handed over."""
    campaign = fleet.start(plan)
    fleet.make(campaign, len(EVERYBODY))
    fleet.answer(START)
    for number in EVERYBODY:
        fleet.hear(campaign, eui(number), Fact.IMAGE_VERIFIED, START)
    fleet.tick(campaign, START)
    if sent:
        fleet.answer(START)
        for number in EVERYBODY:
            fleet.hear(campaign, eui(number), Fact.ACTIVATION_ACCEPTED, START)
    return campaign


def hold(fleet):
    with fleet.database.writing() as connection:
        connection.execute(update(s.stratum).values(held_at=START, held_because="harm"))


def requests(fleet, kind):
    """(counter, execution, response) of a kind of order."""
    return fleet.rows(
        "SELECT q.counter, q.execution_at, q.response_code FROM request q JOIN batch b ON b.id = q.batch"
        " WHERE b.kind = :kind ORDER BY q.counter",
        kind=kind.value,
    )


def strata_of(fleet, campaign):
    return {it.id for it in fleet.campaigns.view(campaign, START).strata}


def test_a_hold_calls_off_what_is_to_come_under_higher_counters(fleet):
    """One order for each Device, behind its activation; each says when that is due, and that is all."""
    campaign = begun(fleet)
    hold(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.CALLING_OFF: 4} == fleet.stages(campaign)
    activations, offs = requests(fleet, Order.ACTIVATE_FIRMWARE), requests(fleet, Order.CALL_OFF_ACTIVATION)
    assert max(counter for counter, *_ in activations) < min(counter for counter, *_ in offs)
    assert sorted(at for _, at, _ in activations) == sorted(at for _, at, _ in offs)
    assert OFF == fleet.progress(campaign, eui(0)).step
    assert 0 == fleet.tick(campaign, Instant(START + 2 * MINUTE))
    assert [] == fleet.record.recount(campaign.id)


@pytest.mark.parametrize("cap", [{"requests_per_day": 10_000}, {"in_flight": 10_000}])
def test_a_hold_and_its_call_offs_stand_though_another_campaign_ordered_meanwhile(fleet, cap):
    """They need no room that it could have taken; what does is left for the next decision."""
    campaign = begun(fleet, replace(NIGHTLY, caps=Caps(**cap)))
    fleet.devices(range(10, 30), SWITCHES)
    [stratum] = strata_of(fleet, campaign)
    view = fleet.campaigns.view(campaign, START)
    dated = fleet.orders.dated(campaign, {stratum}, START)
    found = call_off(campaign.plan, view, dated, START)
    place = fleet.campaigns.pools(campaign.id)[0].place
    wanted = replace(found, holds=(Hold(stratum, "harm"),), makes=(Make(place, 0, 5),))
    fleet.make(fleet.start(replace(ONE_WAVE, name="other")), 10)
    assert fleet.orders.commit(None, campaign, view, wanted, [], START, dated)
    assert {Stage.CALLING_OFF: 4} == fleet.stages(campaign)
    assert ["harm"] == [it.held for it in fleet.campaigns.view(campaign, START).strata]
    assert [] == fleet.record.recount(campaign.id)


def test_a_persons_call_off_stands_though_another_campaign_ordered_meanwhile(fleet):
    """It is not told that the campaign has moved on: it has not."""
    campaign = begun(fleet, replace(NIGHTLY, caps=Caps(requests_per_day=10_000)))
    fleet.devices(range(10, 30), SWITCHES)
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", START)
    view = fleet.campaigns.view(campaign, START)
    dated = fleet.orders.dated(campaign, strata_of(fleet, campaign), START)
    fleet.make(fleet.start(replace(ONE_WAVE, name="other")), 10)
    assert 4 == fleet.orders.call_off(campaign, view, dated, "operator", START, "smoke")
    assert {Stage.CALLING_OFF: 4} == fleet.stages(campaign)


def test_call_offs_take_no_more_of_a_day_than_another_campaign_left(fleet):
    """The DCC holds back all that is above its threshold: the next to activate come first."""
    campaign = begun(fleet, replace(NIGHTLY, caps=Caps(requests_per_day=20)))  # 8 of them are used
    fleet.devices(range(10, 30), SWITCHES)
    hold(fleet)
    view = fleet.campaigns.view(campaign, START)
    dated = fleet.orders.dated(campaign, strata_of(fleet, campaign), START)
    found = decide(campaign.plan, view, [], START, dated)
    fleet.make(fleet.start(replace(ONE_WAVE, name="other")), 10)
    assert fleet.orders.commit(None, campaign, view, found, [], START, dated)
    times = sorted(at for _, at, _ in requests(fleet, Order.ACTIVATE_FIRMWARE))
    assert times[:2] == [at for _, at, _ in requests(fleet, Order.CALL_OFF_ACTIVATION)]


def test_nothing_is_called_off_where_nothing_is_held(fleet):
    """Nor by a pause."""
    campaign = begun(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", START)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.ACTIVATION_SENT: 4} == fleet.stages(campaign)


def test_what_falls_due_too_soon_is_left(fleet):
    """The first of the night is nearer than the lead that the plan asks for; the others are not."""
    campaign = begun(fleet)
    times = sorted(at for _, at, _ in requests(fleet, Order.ACTIVATE_FIRMWARE))
    hold(fleet)
    fleet.tick(campaign, Instant(times[0] + 1 - campaign.plan.call_off_ahead))
    assert {Stage.ACTIVATION_SENT: 1, Stage.CALLING_OFF: 3} == fleet.stages(campaign)
    assert times[1:] == sorted(at for _, at, _ in requests(fleet, Order.CALL_OFF_ACTIVATION))


def test_what_was_never_attempted_is_taken_back_and_nobody_is_told(fleet):
    """No message: the image lies where it lies, and the activation is due again after the hold."""
    campaign = begun(fleet, sent=False)
    hold(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.CALLED_OFF: 4} == fleet.stages(campaign)
    assert {RECALLED} == {code for *_, code in requests(fleet, Order.ACTIVATE_FIRMWARE)}
    assert [] == requests(fleet, Order.CALL_OFF_ACTIVATION)
    assert [] == fleet.record.recount(campaign.id)


def test_what_is_taken_back_may_have_been_dated_or_not(fleet):
    """An activation at once is bad news as well, as long as it lies in the outbox."""
    campaign = begun(fleet, ONE_WAVE, sent=False)
    hold(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.CALLED_OFF: 4} == fleet.stages(campaign)


def test_an_attempt_in_the_same_moment_wins(fleet):
    """The decision was made of an activation that was unsent; by now the DCC may have it."""
    campaign = begun(fleet, sent=False)
    hold(fleet)
    view = fleet.campaigns.view(campaign, START)
    dated = fleet.orders.dated(campaign, strata_of(fleet, campaign), START)
    assert {True} == {it.unsent for it in dated}
    with fleet.database.writing() as connection:
        connection.execute(update(s.request).values(attempted_at=START))
    taking_back = Decision(take_back=tuple(it.id for it in dated))
    assert 0 == fleet.orders.commit(None, campaign, view, taking_back, [], START, dated)
    assert {Stage.QUEUED: 4} == fleet.stages(campaign)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.CALLING_OFF: 4} == fleet.stages(campaign)


def test_a_request_that_was_renewed_is_found_once(fleet):
    """Under its fresh counter: the Device is told once not to activate."""
    campaign = begun(fleet)
    with fleet.database.writing() as connection:
        rows = connection.execute(
            s.request.select().where(s.request.c.execution_at.is_not(None)).order_by(s.request.c.counter)
        ).all()
        connection.execute(
            update(s.request).where(s.request.c.execution_at.is_not(None)).values(response_code=RENEWED)
        )
        last = max(row.counter for row in rows)
        fresh = [
            {
                "counter": last + nth,
                "batch": row.batch,
                "device": row.device,
                "execution_at": row.execution_at,
            }
            | {"attempted_at": START, "answered_at": START, "response_code": "I99"}
            for nth, row in enumerate(rows, 1)
        ]
        connection.execute(insert(s.request), fresh)
    assert 4 == len(fleet.orders.dated(campaign, strata_of(fleet, campaign), START))


def test_one_device_alone_can_be_called_off(fleet):
    """An operator's word about one, with a name and a reason; the others activate."""
    campaign = begun(fleet)
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", START)
    view = fleet.campaigns.view(campaign, START)
    dated = fleet.orders.dated(campaign, strata_of(fleet, campaign), START, eui(1))
    assert 1 == fleet.orders.call_off(campaign, view, dated, "operator", START, f"{eui(1)}: a complaint")
    assert {Stage.CALLING_OFF: 1, Stage.ACTIVATION_SENT: 3} == fleet.stages(campaign)
    event = fleet.campaigns.events(campaign.id)[-1]
    assert ("operator", "call off", f"{eui(1)}: a complaint") == (event.who, event.what, event.detail)


def test_a_person_who_looked_too_long_is_told(fleet):
    """The campaign was resumed meanwhile: nothing is done, and nothing stands in the audit."""
    campaign = begun(fleet)
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", START)
    view = fleet.campaigns.view(campaign, START)
    dated = fleet.orders.dated(campaign, strata_of(fleet, campaign), START)
    fleet.campaigns.act(campaign.id, Act.RESUME, "operator", START)
    with pytest.raises(UsageError, match="moved on"):
        fleet.orders.call_off(campaign, view, dated, "operator", START, "")
    assert "call off" not in {it.what for it in fleet.campaigns.events(campaign.id)}


def test_call_offs_go_before_all_else_under_the_limit_of_a_day(fleet):
    """What is left of the day's requests is for them; the others follow when the day is over."""
    campaign = begun(fleet, replace(NIGHTLY, caps=Caps(requests_per_day=10)))
    hold(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.CALLING_OFF: 2, Stage.ACTIVATION_SENT: 2} == fleet.stages(campaign)


def test_an_abort_calls_off_and_then_cancels(fleet):
    """The campaign ends once each Device has dropped its activation."""
    campaign = begun(fleet)
    fleet.campaigns.act(campaign.id, Act.ABORT, "operator", START)
    fleet.tick(campaign, Instant(START + MINUTE))
    assert {Stage.CALLING_OFF: 4} == fleet.stages(campaign)
    for number in EVERYBODY:
        fleet.hear(campaign, eui(number), Fact.CALLED_OFF, Instant(START + 2 * MINUTE))
    while fleet.tick(campaign, Instant(START + 3 * MINUTE)):
        pass
    assert {Stage.CANCELLED: 4} == fleet.stages(campaign)
    assert CampaignStatus.ABORTED is fleet.campaigns.find(campaign.id).status


def test_a_call_off_of_which_nothing_is_heard_ends_in_a_question(fleet):
    """By its deadline the time of the activation is past: the version says what has come of it."""
    campaign = begun(fleet)
    hold(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    fleet.answer(Instant(START + MINUTE))
    due = Instant(START + 2 * MINUTE + campaign.plan.deadlines.activation)
    assert due > max(at for _, at, _ in requests(fleet, Order.CALL_OFF_ACTIVATION))
    fleet.orders.expire(None, campaign, due)
    assert {Stage.SILENT_IN_CALL_OFF: 4} == fleet.stages(campaign)
    fleet.tick(campaign, due)
    assert {Stage.CHECKING: 4} == fleet.stages(campaign)
    for number in EVERYBODY:
        fleet.hear(campaign, eui(number), Fact.VERSION_READ, due, version=SWITCHES.firmware)
    fleet.campaigns.release_hold(campaign.id, _name(fleet), "operator", due)
    fleet.tick(campaign, due)
    assert [(4,)] == fleet.rows("SELECT SUM(devices) FROM batch WHERE kind = '11.1'")
    assert [(8,)] == fleet.rows("SELECT SUM(devices) FROM batch WHERE kind = '11.3'")


def _name(fleet):
    [(name,)] = fleet.rows("SELECT name FROM stratum")
    return name


# --- what the Device says


def say(fleet, number, at, *, counter, fact=Fact.ACTIVATION_SCHEDULED, version=None):
    """The Device's own answer to a request, as the receiver stores it."""
    statement = Statement(eui(number), Evidence(fact, at, "CS06", version=version), request=counter)
    octets = f"{number} {counter} {fact.name}".encode()
    Inbox(fleet.database).take_in([Incoming(octets, at, at, "I0", eui(number), 1, (statement,))])
    fleet.record.apply(None, at)


def counter_of(fleet, kind, number):
    [(counter, at)] = fleet.rows(
        "SELECT q.counter, q.execution_at FROM request q JOIN batch b ON b.id = q.batch"
        " WHERE b.kind = :kind AND q.device = :device",
        kind=kind.value,
        device=int(eui(number)) - (1 << 63),
    )
    return counter, at


def held_and_called_off(fleet):
    campaign = begun(fleet)
    hold(fleet)
    fleet.tick(campaign, Instant(START + MINUTE))
    return campaign


def test_the_same_answer_means_two_things(fleet):
    """NULL to the activation: it will come. NULL to what calls it off: it will not."""
    campaign = held_and_called_off(fleet)
    at = Instant(START + HOUR)
    say(fleet, 0, at, counter=counter_of(fleet, Order.ACTIVATE_FIRMWARE, 0)[0])
    assert Stage.CALLING_OFF is fleet.progress(campaign, eui(0)).stage
    say(fleet, 0, at, counter=counter_of(fleet, Order.CALL_OFF_ACTIVATION, 0)[0])
    assert Stage.CALLED_OFF is fleet.progress(campaign, eui(0)).stage
    assert [] == fleet.record.recount(campaign.id)
    facts = [it.evidence.fact for it in fleet.record.timeline(eui(0))]
    assert 1 == facts.count(Fact.ACTIVATION_SCHEDULED) == facts.count(Fact.CALLED_OFF)


@pytest.mark.parametrize(("late", "stage"), [(-SECOND, Stage.CALLED_OFF), (0, Stage.CALLING_OFF)])
def test_an_answer_after_the_time_says_nothing_of_whether_it_activated(fleet, late, stage):
    """A Device that has activated answers NULL as well: only before the time is it a word."""
    campaign = held_and_called_off(fleet)
    counter, due = counter_of(fleet, Order.CALL_OFF_ACTIVATION, 2)
    say(fleet, 2, Instant(due + late), counter=counter)
    assert stage is fleet.progress(campaign, eui(2)).stage


def test_threat_a_device_that_called_off_and_activated_all_the_same_is_proven(fleet):
    """8F66 with the new version, after the word that it would not: what runs is what counts."""
    campaign = held_and_called_off(fleet)
    say(fleet, 1, Instant(START + HOUR), counter=counter_of(fleet, Order.CALL_OFF_ACTIVATION, 1)[0])
    activation, due = counter_of(fleet, Order.ACTIVATE_FIRMWARE, 1)
    say(fleet, 1, Instant(due + SECOND), counter=activation, fact=Fact.ACTIVATED, version=TARGET)
    assert Stage.PROVEN is fleet.progress(campaign, eui(1)).stage
    assert [] == fleet.record.recount(campaign.id)


def test_after_the_hold_it_is_activated_in_the_next_quiet_hour_and_not_sent_again(fleet):
    """The image lies on the Device: one more SRV 11.3, and no more 11.1."""
    campaign = held_and_called_off(fleet)
    for number in EVERYBODY:
        say(
            fleet,
            number,
            Instant(START + HOUR),
            counter=counter_of(fleet, Order.CALL_OFF_ACTIVATION, number)[0],
        )
    fleet.tick(campaign, Instant(START + HOUR))
    assert {Stage.CALLED_OFF: 4} == fleet.stages(campaign)
    later = Instant(START + 2 * DAY)
    fleet.campaigns.release_hold(campaign.id, _name(fleet), "operator", later, "harmless")
    fleet.tick(campaign, later)
    assert {Stage.QUEUED: 4} == fleet.stages(campaign)
    times = [at for _, at, _ in requests(fleet, Order.ACTIVATE_FIRMWARE)]
    assert {2} == {times[number + 4] // DAY - times[number] // DAY for number in EVERYBODY}
    assert [(4,)] == fleet.rows("SELECT SUM(devices) FROM batch WHERE kind = '11.1'")


def test_a_refusal_is_written_down_and_leaves_the_device_to_its_activation(fleet):
    """The home stays busy until the Device speaks, or the deadline does."""
    campaign = held_and_called_off(fleet)
    fleet.hear(campaign, eui(0), Fact.CALL_OFF_REFUSED, START, Cause.ACCESS)
    assert (Stage.CALLING_OFF, Cause.ACCESS) == (
        fleet.progress(campaign, eui(0)).stage,
        fleet.progress(campaign, eui(0)).cause,
    )
