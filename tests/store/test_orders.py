"""Orders: a decision is carried out whole or not at all, and nobody is ordered twice."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import update

from lamplighter.campaign import Cause, Fact, Order, Stage
from lamplighter.campaign.decide import Again, Decision, Hold, Make, decide
from lamplighter.campaign.plan import Caps, Target
from lamplighter.campaign.state import FIRST_STEP, SUBS
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, MILLISECOND, MINUTE, SECOND
from lamplighter.registry import Device, DeviceStatus, Part, Procedure
from lamplighter.store import LeaseLostError
from lamplighter.store import schema as s
from lamplighter.store.orders import next_counter
from tests.store.campaigning import (
    HOUR,
    OLD,
    ONE_WAVE,
    PPMIDS,
    START,
    SWITCHES,
    TARGET,
    Fleet,
    Wave,
    eui,
    hub,
)

READ, UPDATE, ACTIVATE = Order.READ_FIRMWARE_VERSION, Order.UPDATE_PPMID_FIRMWARE, Order.ACTIVATE_FIRMWARE


@pytest.fixture
def fleet(database_url):
    """An empty registry."""
    fleet = Fleet(database_url)
    yield fleet
    fleet.close()


@pytest.fixture
def switches(database_url):
    """The same, with a release for HCALCSs."""
    fleet = Fleet(database_url, Procedure.TWO_STEP)
    yield fleet
    fleet.close()


def after(hours: float) -> Instant:
    """So many hours after the start."""
    return Instant(START + int(hours * HOUR))


def failed(fleet, campaign, devices, at=START, fact=Fact.HUB_FAILED) -> None:
    """Each of these has failed in a way that allows another attempt."""
    for number in devices:
        fleet.hear(campaign, eui(number), fact, at)


def again(fleet, campaign, kind, step, at, **others) -> int:
    """One more order for all that wait for us."""
    updates = tuple(it.id for it in fleet.orders.ready(campaign, at))
    return fleet.decide(campaign, Decision(again=(Again(kind, step, updates),), **others), at)


# --- first orders


def test_a_batch_is_one_request_and_an_update_for_each_device(fleet):
    """Everything of an order is there at once: request, updates, evidence, tallies and the first deadline."""
    fleet.devices(range(30))
    campaign = fleet.start()
    assert fleet.make(campaign, 20)
    assert 20 == len(fleet.ordered(campaign))
    assert {Stage.QUEUED: 20} == fleet.stages(campaign)
    assert [("11.4", FIRST_STEP, 20, START, 0, START + campaign.plan.deadlines.hub)] == fleet.rows(
        "SELECT kind, step, devices, created_at, deadline, due_at FROM batch"
    )
    assert [(START // MILLISECOND, None, None)] == fleet.rows(
        "SELECT counter, device, attempted_at FROM request"
    )
    assert [("ORDERED", FIRST_STEP, "SRV 11.4", 20)] == fleet.rows(
        "SELECT fact, step, message, COUNT(*) FROM evidence GROUP BY fact, step, message"
    )
    assert [] == fleet.record.recount(campaign.id)
    assert not fleet.orders.ready(campaign, after(1000))


def test_the_rest_is_ordered_where_the_last_commit_stopped(fleet):
    """However small the bites, in the end each Device was ordered once, and the pool is drained."""
    fleet.devices(range(100))
    campaign = fleet.start()
    for _ in range(40):
        fleet.make(campaign, 7)
        waiting = sum(fleet.campaigns.view(campaign, START).waiting.values())
        assert 100 - len(fleet.ordered(campaign)) == waiting
    assert {eui(it) for it in range(100)} == fleet.ordered(campaign)
    assert {None} == {pool.position for pool in fleet.campaigns.pools(campaign.id)}
    assert 0 == fleet.make(campaign, 7)


def test_a_request_has_no_more_devices_than_the_plan_allows(fleet):
    """What is more goes into the next, under the next counter."""
    fleet.devices(range(25))
    campaign = fleet.start(replace(ONE_WAVE, batch_max=10))
    fleet.make(campaign, 25)
    first = START // MILLISECOND
    assert [(10, first), (10, first + 1), (5, first + 2)] == fleet.rows(
        "SELECT b.devices, r.counter FROM batch b JOIN request r ON r.batch = b.id ORDER BY r.counter"
    )


def test_one_device_of_a_home_at_a_time(fleet):
    """The others of the home are found by a later sweep, when it is no longer busy."""
    fleet.devices(range(30), homes=10)
    campaign = fleet.start()
    fleet.tick(campaign, START)
    first = fleet.ordered(campaign)
    assert 10 == len(first)
    assert [(10, 10)] == fleet.rows("SELECT COUNT(*), COUNT(DISTINCT hub) FROM device_update WHERE busy")
    assert 20 == fleet.campaigns.view(campaign, START).passed_over
    fleet.tick(campaign, after(6))
    assert first == fleet.ordered(campaign), "the homes are busy still"
    for sweep in (2, 3):
        for device in fleet.ordered(campaign):
            fleet.hear(campaign, device, Fact.VERSION_READ, after(6 * sweep), version=TARGET)
        fleet.tick(campaign, after(6 * sweep))
        assert 10 * sweep == len(fleet.ordered(campaign))
    assert CampaignStatus.RUNNING is fleet.campaigns.find(campaign.id).status
    for device in fleet.ordered(campaign):
        fleet.hear(campaign, device, Fact.VERSION_READ, after(19), version=TARGET)
    fleet.tick(campaign, after(19))
    assert CampaignStatus.FINISHED is fleet.campaigns.find(campaign.id).status
    assert [] == fleet.record.recount(campaign.id)


def test_a_device_that_another_campaign_has_under_way_is_not_ordered(fleet):
    """Neither in flight nor while it waits for another attempt; nor anybody behind the same hub."""
    fleet.devices(range(10), replace(PPMIDS, tag="mine"))
    fleet.devices(range(100, 104), homes=10)
    first = fleet.start(replace(ONE_WAVE, target=replace(ONE_WAVE.target, tags=frozenset({"mine"}))))
    second = fleet.start(replace(ONE_WAVE, name="D"))
    fleet.make(first, 6)
    fleet.tick(second, START)
    assert not fleet.ordered(first) & fleet.ordered(second)
    assert [(6, 6)] == fleet.rows(
        "SELECT COUNT(*), COUNT(DISTINCT hub) FROM device_update WHERE busy AND campaign = :of", of=first.id
    )
    assert [] == fleet.rows("SELECT hub FROM device_update WHERE busy GROUP BY hub HAVING COUNT(*) > 1")
    for device in fleet.ordered(first):
        fleet.hear(first, device, Fact.HUB_FAILED, after(1))
    fleet.tick(second, after(7))
    assert not fleet.ordered(first) & fleet.ordered(second)


def test_processes_that_form_orders_at_once_order_no_device_twice(fleet):
    """Four campaigns, each with a database of its own, all after the same Devices and homes."""
    fleet.devices(range(400), homes=200)
    campaigns = [fleet.start(replace(ONE_WAVE, name=f"C{it}")) for it in range(4)]
    fleets = [Fleet.__new__(Fleet) for _ in campaigns]
    for other in fleets:
        other.join(fleet.url)
    wall = threading.Barrier(len(fleets))
    faults: list[BaseException] = []

    def work(other, campaign) -> None:
        try:
            wall.wait()
            for _ in range(10):
                other.make(campaign, 10)
        except BaseException as fault:  # noqa: BLE001 # told by the test
            faults.append(fault)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(fleets, campaigns, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in fleets:
        other.close()
    assert [] == faults
    assert [] == fleet.rows("SELECT device FROM device_update GROUP BY device HAVING COUNT(*) > 1")
    assert [] == fleet.rows("SELECT hub FROM device_update WHERE busy GROUP BY hub HAVING COUNT(*) > 1")
    assert 200 == fleet.rows("SELECT COUNT(*) FROM device_update")[0][0]
    assert [(0,)] == fleet.rows(
        "SELECT COUNT(*) FROM request a JOIN request b ON a.counter > b.counter AND a.batch < b.batch"
    )
    for campaign in campaigns:
        assert [] == fleet.record.recount(campaign.id)


def test_the_counter_rises_though_the_clock_was_put_back(fleet):
    """And jumps ahead with the time, so that a database that was brought back uses none twice."""
    fleet.devices(range(30))
    campaign = fleet.start()
    fleet.make(campaign, 5, now=after(10))
    fleet.make(campaign, 5, now=START)
    fleet.make(campaign, 5, now=after(11))
    high = after(10) // MILLISECOND
    assert [(high,), (high + 1,), (after(11) // MILLISECOND,)] == fleet.rows(
        "SELECT counter FROM request ORDER BY batch"
    )
    with fleet.database.writing() as connection:
        assert after(11) // MILLISECOND + 1 == next_counter(fleet.database, connection, START)


# --- what must not be carried out


def test_under_a_fallen_fence_nothing_is_ordered(fleet):
    """A worker that slept past its lease leaves no batch, no request and no update."""
    fleet.devices(range(10))
    campaign = fleet.start()
    old = fleet.leases.take("campaign:1", "a", START, SECOND)
    fleet.leases.take("campaign:1", "b", after(1), SECOND)
    with pytest.raises(LeaseLostError):
        fleet.decide(campaign, Decision(makes=(Make(fleet.campaigns.pools(1)[0].place, 0, 5),)), fence=old)
    for table in ("batch", "request", "device_update", "evidence", "cell"):
        assert [(0,)] == fleet.rows(f"SELECT COUNT(*) FROM {table}")


def test_a_decision_from_before_a_pause_is_not_carried_out(fleet):
    """No order leaves after the operator's word, though it was decided before."""
    fleet.devices(range(10))
    campaign = fleet.start()
    view = fleet.campaigns.view(campaign, START)
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", START)
    decision = Decision(makes=(Make(fleet.campaigns.pools(campaign.id)[0].place, 0, 5),))
    assert 0 == fleet.orders.commit(None, campaign, view, decision, [], START)
    assert set() == fleet.ordered(campaign)


def test_an_update_that_moved_on_meanwhile_is_left_alone(fleet):
    """What came between the look and the commit counts: a proof, or a failure that no attempt can mend."""
    fleet.devices(range(3))
    campaign = fleet.start()
    fleet.make(campaign, 3)
    failed(fleet, campaign, range(3))
    view, ready = fleet.campaigns.view(campaign, after(2)), fleet.orders.ready(campaign, after(2))
    fleet.hear(campaign, eui(1), Fact.VERSION_READ, after(1), version=TARGET)
    fleet.hear(campaign, eui(2), Fact.IMAGE_REJECTED, after(1), Cause.SIGNATURE)
    decision = Decision(again=(Again(UPDATE, 2 * SUBS, tuple(it.id for it in ready)),))
    fleet.orders.commit(None, campaign, view, decision, ready, after(2))
    assert {Stage.QUEUED: 1, Stage.PROVEN: 1, Stage.IMAGE_REJECTED: 1} == fleet.stages(campaign)
    assert [] == fleet.record.recount(campaign.id)


# --- later orders


def test_a_later_attempt_is_a_batch_of_its_own_step(fleet):
    """The update goes on under the new batch, and its tally says that it failed before."""
    fleet.devices(range(5))
    campaign = fleet.start()
    fleet.make(campaign, 5)
    failed(fleet, campaign, range(5))
    assert again(fleet, campaign, UPDATE, 2 * SUBS, after(1))
    assert 2 * SUBS == fleet.progress(campaign, eui(0)).step
    assert [(5, 2 * SUBS, 5)] == fleet.rows(
        "SELECT b.devices, b.step, COUNT(*) FROM batch b JOIN device_update u ON u.batch = b.id"
        " GROUP BY b.devices, b.step"
    )
    assert {True} == {count.again for count in fleet.campaigns.view(campaign, START).counts}
    assert [] == fleet.record.recount(campaign.id)


def test_a_later_attempt_too_waits_for_its_home(fleet):
    """Of two that failed behind one hub one is ordered; the other is looked at later."""
    fleet.devices(range(2), homes=1)
    campaign = fleet.start(replace(ONE_WAVE, sweep_every=MINUTE))
    fleet.make(campaign, 2)
    for device in fleet.ordered(campaign):
        fleet.hear(campaign, device, Fact.HUB_FAILED, after(1))
    fleet.make(campaign, 2, now=after(2))
    for device in fleet.ordered(campaign):
        fleet.hear(campaign, device, Fact.HUB_FAILED, after(3))
    again(fleet, campaign, UPDATE, 2 * SUBS, after(4))
    assert {Stage.QUEUED: 1, Stage.HUB_FAILED: 1} == fleet.stages(campaign)
    assert [] == fleet.orders.ready(campaign, after(4.9))
    assert 1 == len(fleet.orders.ready(campaign, after(5)))
    assert [] == fleet.record.recount(campaign.id)


def test_a_read_is_a_request_for_each_device(fleet):
    """SRV 11.2 names one Device; the counters follow each other."""
    fleet.devices(range(4))
    campaign = fleet.start()
    fleet.make(campaign, 4)
    failed(fleet, campaign, range(4), fact=Fact.NO_WORD_OF_HUB)
    again(fleet, campaign, READ, FIRST_STEP + 1, after(1))
    rows = fleet.rows(
        "SELECT counter, device, execution_at FROM request WHERE device IS NOT NULL ORDER BY counter"
    )
    first = after(1) // MILLISECOND
    assert [first + it for it in range(4)] == [row[0] for row in rows]
    assert 4 == len({row[1] for row in rows})
    assert {None} == {row[2] for row in rows}


def test_activations_are_spread_over_the_quiet_hour(switches):
    """SRV 11.3 of a plan with a quiet hour is dated into it, to the second."""
    switches.devices(range(20), SWITCHES)
    campaign = switches.start(replace(ONE_WAVE, activate_at=(120, 180)))
    switches.make(campaign, 20)
    failed(switches, campaign, range(20), fact=Fact.IMAGE_VERIFIED)
    again(switches, campaign, ACTIVATE, FIRST_STEP + 1, after(1))
    dates = [row[0] for row in switches.rows("SELECT execution_at FROM request WHERE device IS NOT NULL")]
    assert 20 == len(set(dates))
    assert max(dates) - min(dates) < HOUR
    assert all(START < it <= START + 26 * HOUR and it % SECOND == 0 for it in dates)
    assert all(it % DAY // HOUR == 2 for it in dates), "in March the clocks in London show UTC"


def test_activations_that_are_ordered_one_by_one_are_spread_over_the_quiet_hour_too(switches):
    """Images are verified one after the other, and each activation is a batch of its own."""
    switches.devices(range(20), SWITCHES)
    campaign = switches.start(replace(ONE_WAVE, activate_at=(120, 180)))
    switches.make(campaign, 20)
    for number in range(20):
        failed(switches, campaign, [number], fact=Fact.IMAGE_VERIFIED)
        again(switches, campaign, ACTIVATE, FIRST_STEP + 1, after(1 + number))
    dates = [row[0] for row in switches.rows("SELECT execution_at FROM request WHERE device IS NOT NULL")]
    assert 20 == len(set(dates))


def test_an_activation_is_never_dated_to_a_quiet_hour_that_is_about_to_begin(switches):
    """Five minutes before it there is no time to tell the Device: the next night."""
    night = Instant(START - START % DAY + DAY)
    switches.devices(range(2), SWITCHES)
    campaign = switches.start(replace(ONE_WAVE, activate_at=(120, 180)))
    switches.make(campaign, 2)
    failed(switches, campaign, range(2), fact=Fact.IMAGE_VERIFIED)
    again(switches, campaign, ACTIVATE, FIRST_STEP + 1, Instant(night + 2 * HOUR - 5 * MINUTE))
    dates = [row[0] for row in switches.rows("SELECT execution_at FROM request WHERE device IS NOT NULL")]
    assert {(night // DAY + 1, 2)} == {(it // DAY, it % DAY // HOUR) for it in dates}


@pytest.fixture
def unsent(switches):
    """A campaign of four HCALCSs whose activations, one batch, are ordered for the night and not sent."""
    switches.devices(range(4), SWITCHES)
    campaign = switches.start(replace(ONE_WAVE, activate_at=(120, 180)))
    switches.make(campaign, 4)
    switches.answer(START)
    failed(switches, campaign, range(4), fact=Fact.IMAGE_VERIFIED)
    again(switches, campaign, ACTIVATE, FIRST_STEP + 1, after(1))
    return campaign


def activations(switches):
    """(counter, batch, Device, execution, response) of each, by counter."""
    return switches.rows(
        "SELECT q.counter, q.batch, q.device, q.execution_at, q.response_code FROM request q"
        " JOIN batch b ON b.id = q.batch WHERE b.kind = '11.3' ORDER BY q.counter"
    )


def postpone(switches, campaign, counters, now):
    fence = switches.leases.take("outbox", "lane", now, HOUR)
    return switches.orders.postpone(fence, campaign, counters, now)


def test_what_is_postponed_leaves_its_batch_and_stays_in_its_step(switches, unsent):
    """Those that were sent in time have their deadline; the others get a night and a deadline anew."""
    before = [row[0] for row in activations(switches)]
    progress = switches.progress(unsent, eui(0))
    assert 2 == postpone(switches, unsent, before[:2], after(24))
    rows = activations(switches)
    assert ["renewed", "renewed", None, None, None, None] == [row[4] for row in rows]
    assert [row[2] for row in rows[:2]] == [row[2] for row in rows[4:]]
    assert {1} == {new[3] // DAY - old[3] // DAY for old, new in zip(rows[:2], rows[4:], strict=True)}
    assert progress == switches.progress(unsent, eui(0))
    sizes = "SELECT COUNT(*) FROM device_update u JOIN batch b ON b.id = u.batch GROUP BY b.id ORDER BY b.id"
    assert [(2,), (2,)] == switches.rows(sizes)
    [(due,)] = switches.rows("SELECT due_at FROM batch ORDER BY id DESC LIMIT 1")
    assert after(24) + unsent.plan.deadlines.activation == due
    assert [] == switches.record.recount(unsent.id)
    whole = switches.rows("SELECT detail FROM audit WHERE what = 'postpone'")
    assert [(f"2 activations to the next quiet hour, the first in place of {before[0]}",)] == whole


def test_what_is_no_longer_to_be_activated_is_not_postponed(switches, unsent):
    """Recalled, signed, proven by its own word, and gone from the portfolio: none is ordered anew."""
    counters = {row[2]: row[0] for row in activations(switches)}
    of = [counters[int(eui(number)) - (1 << 63)] for number in range(4)]
    with switches.database.writing() as connection:
        request = s.request.c.counter
        taken_back = {"answered_at": START, "response_code": "recalled"}
        connection.execute(update(s.request).where(request == of[0]).values(taken_back))
        connection.execute(update(s.request).where(request == of[1]).values(command=b"signed"))
    switches.hear(unsent, eui(2), Fact.VERSION_READ, after(2), version=TARGET)
    switches.registry.put_devices(
        [Device(eui(3), hub(3), replace(SWITCHES, status=DeviceStatus.DECOMMISSIONED))]
    )
    assert 0 == postpone(switches, unsent, of, after(24))
    assert 4 == len(activations(switches))
    stages = [switches.progress(unsent, eui(number)).stage for number in range(4)]
    assert [Stage.QUEUED, Stage.QUEUED, Stage.PROVEN, Stage.WITHDRAWN] == stages
    assert [] == switches.record.recount(unsent.id)


def test_threat_a_sender_that_has_lost_its_lane_postpones_nothing(switches, unsent):
    """Another one may have sent them in the meantime."""
    before = activations(switches)
    fence = switches.leases.take("outbox", "one", START, HOUR)
    switches.leases.take("outbox", "two", after(2), HOUR)
    with pytest.raises(LeaseLostError):
        switches.orders.postpone(fence, unsent, [row[0] for row in before], after(24))
    assert before == activations(switches)


def test_ends_and_deferrals(fleet):
    """Each end has the step and the cause of the update; what is put off is looked at then."""
    fleet.devices(range(4))
    campaign = fleet.start()
    fleet.make(campaign, 4)
    for number in range(4):
        fleet.hear(campaign, eui(number), Fact.HUB_FAILED, START, Cause.HARDWARE)
    one, two, three, four = (it.id for it in fleet.orders.ready(campaign, START))
    decision = Decision(give_up=(one,), write_off=(two,), cancel=(three,), defer={four: after(3)})
    assert 4 == fleet.decide(campaign, decision)
    assert {Stage.FAILED: 1, Stage.LOST: 1, Stage.CANCELLED: 1, Stage.HUB_FAILED: 1} == fleet.stages(campaign)
    assert [(int(Cause.HARDWARE), "policy", 3)] == fleet.rows(
        "SELECT cause, message, COUNT(*) FROM evidence WHERE fact IN ('GIVEN_UP', 'LOST', 'CANCELLED')"
        " GROUP BY cause, message"
    )
    assert [] == fleet.orders.ready(campaign, after(2))
    assert [four] == [it.id for it in fleet.orders.ready(campaign, after(3))]
    assert [] == fleet.record.recount(campaign.id)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"status": DeviceStatus.DECOMMISSIONED}, Cause.DECOMMISSIONED),
        ({"status": DeviceStatus.WITHDRAWN}, Cause.DECOMMISSIONED),
        ({"status": DeviceStatus.SUSPENDED}, Cause.SUSPENDED),
        ({"part": Part.NONE}, Cause.SUPPLIER),
    ],
)
def test_a_device_that_has_left_is_not_tried_again(fleet, change, cause):
    """What the registry says by now outweighs what was decided."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    failed(fleet, campaign, range(2))
    fleet.devices([1], replace(PPMIDS, **change))
    again(fleet, campaign, UPDATE, 2 * SUBS, after(1))
    progress = fleet.progress(campaign, eui(1))
    assert (Stage.WITHDRAWN, cause) == (progress.stage, progress.cause)
    assert Stage.QUEUED is fleet.progress(campaign, eui(0)).stage


def test_a_device_that_proves_itself_vanishes_from_its_pool(fleet):
    """It runs the release's version by now, so it is of another cohort: nothing is ordered for it."""
    fleet.devices(range(3))
    campaign = fleet.start()
    fleet.devices([1], replace(PPMIDS, firmware=TARGET))
    fleet.tick(campaign, START)
    assert {eui(0), eui(2)} == fleet.ordered(campaign)


def test_threat_a_device_that_one_campaign_has_proven_is_not_flashed_again_by_another(fleet):
    """Its report waits for the registry, where it is still among those with the old version."""
    fleet.devices(range(3))
    first, second = fleet.start(), fleet.start(replace(ONE_WAVE, name="D"))
    fleet.make(first, 1)
    (proven,) = fleet.ordered(first)
    fleet.hear(first, proven, Fact.ACTIVATED, after(1), version=TARGET)
    assert OLD == fleet.registry.device(proven).cohort.firmware
    fleet.make(second, 3, now=after(2))
    assert {eui(it) for it in range(3)} - {proven} == fleet.ordered(second)
    assert TARGET == fleet.registry.device(proven).cohort.firmware


def test_a_withdrawn_release_is_ordered_no_more(fleet):
    """What flies lands, what waits is cancelled, and the campaign is over."""
    fleet.devices(range(6))
    campaign = fleet.start()
    fleet.make(campaign, 3)
    fleet.registry.withdraw_release("R", after(1))
    for _ in range(4):
        fleet.tick(campaign, after(1))
    assert {Stage.CANCELLED: 3} == fleet.stages(campaign)
    assert CampaignStatus.FINISHED is fleet.campaigns.find(campaign.id).status


# --- strata


def test_holds_and_waves_are_written_once_and_noted(fleet):
    """A stratum that is held opens nothing; each step of the policy is an event."""
    fleet.devices(range(100))
    waves = (Wave("canary", 0.1, gated=False), Wave("all", 1.0))
    campaign = fleet.start(replace(ONE_WAVE, waves=waves))
    stratum = fleet.campaigns.view(campaign, START).strata[0].id
    assert 1 == fleet.decide(campaign, Decision(settles=(stratum,)), after(1))
    assert after(1) == fleet.campaigns.view(campaign, START).strata[0].settled_at
    assert 1 == fleet.decide(campaign, Decision(opens=((stratum, 1),)), after(2))
    assert 0 == fleet.decide(campaign, Decision(opens=((stratum, 1),)), after(2))
    assert 1 == fleet.decide(campaign, Decision(holds=(Hold(stratum, "smoke"),)), after(3))
    assert 0 == fleet.decide(campaign, Decision(holds=(Hold(stratum, "fire"),)), after(3))
    found = fleet.campaigns.view(campaign, START).strata[0]
    assert (1, None, "smoke") == (found.wave, found.settled_at, found.held)
    assert ["open wave", "hold"] == [it.what for it in fleet.campaigns.events(campaign.id)][-2:]


# --- deadlines


@pytest.mark.parametrize(
    ("heard", "hours", "silent"),
    [
        ((), 24, Stage.SILENT_BEFORE_HUB),
        ((Fact.SUBMITTED, Fact.ACCEPTED), 24, Stage.SILENT_BEFORE_HUB),
        ((Fact.AT_HUB,), 96, Stage.SILENT_AT_HUB),
        ((Fact.AT_HUB, Fact.ON_DEVICE), 120, Stage.SILENT_ON_DEVICE),
    ],
)
def test_each_deadline_is_evidence_of_silence(fleet, heard, hours, silent):
    """Not a second before; and whoever has come far enough is not silent."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    fleet.answer(START)
    fleet.hear(campaign, eui(1), Fact.IMAGE_VERIFIED, START)
    for fact in heard:
        fleet.hear(campaign, eui(0), fact, START)
    for hour in (24, 96, 120):
        if hour <= hours:
            fleet.orders.expire(None, campaign, Instant(after(hour) - 1))
            assert "SILENT" not in fleet.progress(campaign, eui(0)).stage.name
            fleet.orders.expire(None, campaign, after(hour))
    progress = fleet.progress(campaign, eui(0))
    assert (silent, Cause.SILENCE) == (progress.stage, progress.cause)
    assert Stage.IMAGE_VERIFIED is fleet.progress(campaign, eui(1)).stage
    assert [] == fleet.record.recount(campaign.id)


def test_what_was_not_sent_cannot_be_silent(fleet):
    """Through an outage of the DCC deadlines stand still; then they count from its answer."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    fleet.orders.expire(None, campaign, after(30))
    assert {Stage.QUEUED: 2} == fleet.stages(campaign)
    fleet.answer(after(31))
    fleet.orders.expire(None, campaign, after(32))
    fleet.orders.expire(None, campaign, Instant(after(55) - 1))
    assert {Stage.QUEUED: 2} == fleet.stages(campaign)
    fleet.orders.expire(None, campaign, after(55))
    assert {Stage.SILENT_BEFORE_HUB: 2} == fleet.stages(campaign)


def test_a_late_word_does_not_leave_a_device_in_the_air_for_ever(fleet):
    """Brought back after its last deadline, it comes down again: every campaign ends."""
    fleet.devices(range(1))
    campaign = fleet.start()
    fleet.make(campaign, 1)
    fleet.answer(START)
    for hour in (24, 96, 120):
        fleet.orders.expire(None, campaign, after(hour))
    assert {Stage.SILENT_BEFORE_HUB: 1} == fleet.stages(campaign)
    fleet.hear(campaign, eui(0), Fact.AT_HUB, after(120.5))
    assert {Stage.AT_HUB: 1} == fleet.stages(campaign)
    fleet.orders.expire(None, campaign, after(121))
    assert {Stage.SILENT_AT_HUB: 1} == fleet.stages(campaign)


def test_a_read_that_is_not_answered_is_silent_too(fleet):
    """Its deadline is that of the read, and concerns that step only."""
    fleet.devices(range(3))
    campaign = fleet.start()
    fleet.make(campaign, 3)
    fleet.answer(START)
    fleet.orders.expire(None, campaign, after(24))
    again(fleet, campaign, READ, FIRST_STEP + 1, after(24))
    fleet.answer(after(24))
    fleet.hear(campaign, eui(0), Fact.READ_SENT, after(24))
    fleet.hear(campaign, eui(1), Fact.VERSION_READ, after(25), version=TARGET)
    fleet.orders.expire(None, campaign, after(48))
    assert {Stage.SILENT_TO_READ: 2, Stage.PROVEN: 1} == fleet.stages(campaign)
    assert [] == fleet.record.recount(campaign.id)


def test_what_is_not_due_is_not_looked_at(fleet):
    """An expiry with nothing due does not write, not even under a fence that has fallen."""
    fleet.devices(range(1))
    campaign = fleet.start()
    fleet.make(campaign, 1)
    with fleet.database.writing() as connection:
        connection.execute(update(s.batch).values(due_at=None))
    assert 0 == fleet.orders.expire(None, campaign, after(1000))


# --- found in review


def test_a_word_before_the_order_was_sent_and_then_a_recall_leave_nobody_in_the_air(fleet):
    """A late word of an earlier attempt may be taken for one of this; deadlines must go on for it."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    fleet.hear(campaign, eui(0), Fact.ON_DEVICE, after(1))
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", after(2))
    assert {Stage.ON_DEVICE: 1, Stage.RECALLED: 1} == fleet.stages(campaign)
    for hour in (26, 98, 122, 124):
        fleet.orders.expire(None, campaign, after(hour))
    assert {Stage.SILENT_ON_DEVICE: 1, Stage.RECALLED: 1} == fleet.stages(campaign)
    assert [] == fleet.record.recount(campaign.id)


def test_an_order_that_nobody_needs_any_more_does_not_stay_in_the_outbox_for_ever(fleet):
    """All its Devices proved themselves before it was sent, and the campaign is over."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    for number in range(2):
        fleet.hear(campaign, eui(number), Fact.VERSION_READ, after(1), version=TARGET)
    for hour in (2, 200, 201):
        fleet.tick(campaign, after(hour))
    assert CampaignStatus.FINISHED is fleet.campaigns.find(campaign.id).status
    assert [] == fleet.rows("SELECT counter FROM request WHERE answered_at IS NULL")
    assert {Stage.PROVEN: 2} == fleet.stages(campaign)


def test_orders_of_a_clock_that_ran_ahead_are_not_silent_years_later(fleet):
    """It is put right, and the deadlines count from then; nor do the rates count them for years."""
    fleet.devices(range(3))
    campaign = fleet.start()
    years = after(10 * 365 * 24)
    fleet.make(campaign, 2, now=years)
    fleet.answer(years)
    fleet.orders.expire(None, campaign, after(1))
    fleet.orders.expire(None, campaign, after(24))
    assert {Stage.QUEUED: 2} == fleet.stages(campaign)
    fleet.orders.expire(None, campaign, after(25))
    assert {Stage.SILENT_BEFORE_HUB: 2} == fleet.stages(campaign)
    view = fleet.campaigns.view(campaign, after(26))
    assert (2, 0) == (view.ordered, view.last_hour)


def test_what_was_put_off_by_a_clock_that_ran_ahead_is_looked_at(fleet):
    """Nothing is put off for longer than a day."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    failed(fleet, campaign, range(2))
    [first, second] = fleet.orders.ready(campaign, START)
    defer = {first.id: after(10 * 365 * 24), second.id: after(24)}
    fleet.decide(campaign, Decision(defer=defer), START)
    assert [first.id] == [it.id for it in fleet.orders.ready(campaign, START)]


def test_a_later_attempt_looks_at_the_home_where_the_device_is_now(fleet):
    """Its hub was replaced by that of its neighbour: one update at a hub at a time, at the new one."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 1)
    [number] = (it for it in range(2) if eui(it) in fleet.ordered(campaign))
    failed(fleet, campaign, [number])
    fleet.registry.put_devices([Device(eui(number), hub(1 - number), PPMIDS)])
    fleet.make(campaign, 1)  # the neighbour's
    assert 2 == len(fleet.ordered(campaign))
    again(fleet, campaign, UPDATE, FIRST_STEP + SUBS, after(1))
    assert {Stage.HUB_FAILED: 1, Stage.QUEUED: 1} == fleet.stages(campaign)
    fleet.hear(campaign, eui(1 - number), Fact.VERSION_READ, after(2), version=TARGET)
    again(fleet, campaign, UPDATE, FIRST_STEP + SUBS, after(3))
    homes = fleet.rows("SELECT COUNT(*), COUNT(DISTINCT hub) FROM device_update")
    assert ([(2, 1)], {Stage.QUEUED: 1, Stage.PROVEN: 1}) == (homes, fleet.stages(campaign))


@pytest.mark.parametrize(
    "caps", [Caps(in_flight=3), Caps(per_region=3), Caps(per_hub_model=3), Caps(requests_per_day=3)]
)
def test_two_campaigns_that_see_the_same_room_do_not_both_take_it(fleet, caps):
    """Two workers look at one moment, and order one after the other: the second finds the room gone."""
    fleet.devices(range(4))
    fleet.devices(range(4, 8), replace(PPMIDS, model=2))
    one = fleet.start(replace(ONE_WAVE, caps=caps, target=Target(models=frozenset({1}))))
    two = fleet.start(replace(ONE_WAVE, name="D", caps=caps, target=Target(models=frozenset({2}))))
    looks = [(it, fleet.campaigns.view(it, START)) for it in (one, two)]
    for campaign, view in looks:
        fleet.orders.commit(None, campaign, view, decide(campaign.plan, view, [], START), [], START)
    assert (3, 0) == (len(fleet.ordered(one)), len(fleet.ordered(two)))
    fleet.tick(two, START)
    assert 0 == len(fleet.ordered(two))
