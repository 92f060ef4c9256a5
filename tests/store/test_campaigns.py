"""Campaigns in the database: approvals, the status chart, waves as ranges of buckets, and for whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import Fact, Stage
from lamplighter.campaign.status import CHART, Act, CampaignStatus
from lamplighter.kit import IllegalTransitionError, Instant, UsageError
from lamplighter.kit.instant import SECOND
from lamplighter.registry import BUCKETS, CplStatus, DeviceStatus, Part, Verdict, bucket
from lamplighter.store.campaigns import note, spans
from tests.store.campaigning import HOUR, ONE_WAVE, PPMIDS, START, SWITCHES, TARGET, Fleet, Wave, eui
from tests.store.query_plans import analyse, explained

CANARY = replace(ONE_WAVE, waves=(Wave("canary", 0.01, 5), Wave("tenth", 0.1), Wave("all", 1.0)))


@pytest.fixture
def fleet(database_url):
    """An empty registry."""
    fleet = Fleet(database_url)
    yield fleet
    fleet.close()


# --- drafts and approvals


@pytest.mark.parametrize("name", ["7", "007", "1", "٣", " 12 "])
def test_a_campaign_is_not_called_as_another_is_numbered(fleet, name):
    """Commands take a name or a number, and each must be one campaign's."""
    with pytest.raises(UsageError, match="of digits alone"):
        fleet.campaigns.create(replace(ONE_WAVE, name=name), 1, "operator1", START)
    fleet.campaigns.create(replace(ONE_WAVE, name="Winter 7"), 1, "operator1", START)
    assert ["Winter 7"] == [it.name for it in fleet.campaigns.list()]


def test_a_draft_is_what_was_asked_for(fleet):
    """A campaign comes back as it was created, by id and by name."""
    number = fleet.campaigns.create(CANARY, fleet.release, "operator", START)
    found = fleet.campaigns.find("C")
    assert (number, CANARY, CampaignStatus.DRAFT) == (found.id, found.plan, found.status)
    assert found == fleet.campaigns.find(number)
    assert [found] == fleet.campaigns.list()
    with pytest.raises(UsageError, match="already"):
        fleet.campaigns.create(CANARY, fleet.release, "operator", START)
    with pytest.raises(UsageError, match="no release 99"):
        fleet.campaigns.create(replace(CANARY, name="D"), 99, "operator", START)
    with pytest.raises(UsageError, match="there are 'C'"):
        fleet.campaigns.find("X")


def test_whoever_wrote_it_cannot_approve_it(fleet):
    """Nor does one approval do where two are needed."""
    plan = replace(ONE_WAVE, approvals=2)
    number = fleet.campaigns.create(plan, fleet.release, "operator", START)
    digest = fleet.campaigns.find(number).digest
    with pytest.raises(UsageError, match="somebody else"):
        fleet.campaigns.approve(number, "operator", digest, START)
    with pytest.raises(UsageError, match="wrote campaign"):
        fleet.campaigns.approve(number, "Operator", digest, START)  # another spelling is nobody else
    fleet.campaigns.approve(number, "approver", digest, START)
    fleet.campaigns.approve(number, "approver", digest, START)
    with pytest.raises(UsageError, match="needs 2 approvals of what it is now, and has 1: approver"):
        fleet.campaigns.act(number, Act.START, "operator", START)
    fleet.campaigns.approve(number, "second approver", digest, START)
    assert CampaignStatus.RUNNING is fleet.campaigns.act(number, Act.START, "operator", START)


def test_a_changed_plan_makes_approvals_void(fleet):
    """What somebody approved is not what would be done; and nobody approves what they have not read."""
    plan = replace(ONE_WAVE, approvals=1)
    number = fleet.campaigns.create(plan, fleet.release, "operator", START)
    before = fleet.campaigns.find(number).digest
    fleet.campaigns.approve(number, "approver", before, START)
    fleet.campaigns.revise(number, replace(plan, batch_max=7), "operator", START)
    assert [False] == [it.valid for it in fleet.campaigns.approvals(number)]
    with pytest.raises(UsageError, match="has 0"):
        fleet.campaigns.act(number, Act.START, "operator", START)
    with pytest.raises(UsageError, match="it was changed"):
        fleet.campaigns.approve(number, "approver", before, START)
    fleet.campaigns.approve(number, "approver", fleet.campaigns.find(number).digest, START)
    fleet.campaigns.act(number, Act.START, "operator", START)
    with pytest.raises(UsageError, match="only the plan of a draft"):
        fleet.campaigns.revise(number, plan, "operator", START)


def test_a_mark_for_security_leaves_approvals_as_they_are(fleet):
    """It changes nothing of what is done to a Device: neither the digest nor anybody's word."""
    number = fleet.campaigns.create(replace(ONE_WAVE, approvals=1), fleet.release, "operator", START)
    digest = fleet.campaigns.find(number).digest
    fleet.campaigns.approve(number, "approver", digest, START)
    for security in ("CVE-2026-1234", "GG-7", None):
        fleet.registry.mark_release("R", security, START, "operator")
        assert digest == fleet.campaigns.find(number).digest
        assert [True] == [it.valid for it in fleet.campaigns.approvals(number)]
    fleet.registry.mark_release("R", "GG-7", START, "operator")
    fleet.campaigns.act(number, Act.START, "operator", START)


def test_an_approver_who_then_rewrites_it_has_not_approved_it(fleet):
    """The last author's own approval counts for nothing, even where the plan is the approved one again."""
    plan = replace(ONE_WAVE, approvals=1)
    number = fleet.campaigns.create(plan, fleet.release, "operator", START)
    fleet.campaigns.approve(number, "approver", fleet.campaigns.find(number).digest, START)
    fleet.campaigns.revise(number, plan, "approver", START)
    with pytest.raises(UsageError, match="has 0"):
        fleet.campaigns.act(number, Act.START, "approver", START)


@pytest.mark.parametrize("act", [it for it in Act if it is not Act.START])
def test_the_chart_alone_says_what_may_be_done(fleet, act):
    """From every status that a test can reach, an act is allowed where the chart has its arrow."""
    ways = {
        CampaignStatus.DRAFT: (),
        CampaignStatus.RUNNING: (Act.START,),
        CampaignStatus.PAUSED: (Act.START, Act.PAUSE),
        CampaignStatus.ABORTING: (Act.START, Act.ABORT),
        CampaignStatus.ABORTED: (Act.ABORT,),
        CampaignStatus.FINISHED: (Act.START, Act.FINISH),
    }
    for status, way in ways.items():
        number = fleet.campaigns.create(
            replace(ONE_WAVE, name=status.value), fleet.release, "operator", START
        )
        for step in way:
            fleet.campaigns.act(number, step, "operator", START)
        if CHART.allows(status, act):
            assert CHART.fire(status, act) is fleet.campaigns.act(number, act, "operator", START)
            assert (act.value, "operator") == (last := fleet.campaigns.events(number)[-1])[2:0:-1], last
        else:
            with pytest.raises(IllegalTransitionError):
                fleet.campaigns.act(number, act, "operator", START)
            assert status is fleet.campaigns.find(number).status


# --- which Devices


@given(
    first=st.integers(0, BUCKETS - 1),
    wide=st.integers(1, BUCKETS),
    salt=st.integers(0, BUCKETS - 1),
    at=st.integers(0, BUCKETS - 1),
)
def test_a_turned_range_is_one_or_two_ranges(first, wide, salt, at):
    """A bucket is in the ranges if, and only if, it is in the turned range; and they come in its order."""
    last = min(first + wide, BUCKETS)
    found = spans(first, last, salt)
    turned = (at + salt) % BUCKETS
    assert (first <= turned < last) == any(low <= at < high for low, high, _ in found)
    assert all(turned == at + turn for low, high, turn in found if low <= at < high)
    assert last - first == sum(high - low for low, high, _ in found)
    assert [low + turn for low, _, turn in found] == sorted(low + turn for low, _, turn in found)
    assert all(0 <= low < high <= BUCKETS for low, high, _ in found)


def wave_sizes(fleet, campaign) -> dict[int, int]:
    """How many Devices stand in each wave's range of buckets."""
    sizes: dict[int, int] = {}
    for pool in fleet.campaigns.pools(campaign.id):
        inside = fleet.rows(
            "SELECT COUNT(*) FROM device WHERE cohort = :cohort"
            " AND (bucket + :salt) % 1048576 >= :first AND (bucket + :salt) % 1048576 < :last",
            cohort=pool.cohort, salt=campaign.salt, first=pool.first, last=pool.last,
        )[0][0]  # fmt: skip
        sizes[pool.place.wave] = sizes.get(pool.place.wave, 0) + inside
    return sizes


def test_waves_are_the_shares_of_each_stratum(fleet):
    """Small ones to the very Device, with the minimum; together all of it, each Device once."""
    fleet.devices(range(3000))
    campaign = fleet.start(CANARY)
    assert {0: 30, 1: 270, 2: 2700} == wave_sizes(fleet, campaign)
    assert [30, 270, 2700] == [pool.waiting for pool in fleet.campaigns.pools(campaign.id)]
    fleet.devices(range(5000, 5100), replace(PPMIDS, hub_model="small"))
    fleet.devices(range(6000, 6003), replace(PPMIDS, hub_model="tiny"))
    other = fleet.start(replace(CANARY, name="D"))
    assert {0: 30 + 5 + 3, 1: 270 + 5, 2: 2700 + 90} == wave_sizes(fleet, other)


def test_large_waves_are_their_share_of_the_circle(fleet):
    """Above a thousand Devices, within what chance leaves: five standard deviations."""
    fleet.devices(range(6000))
    campaign = fleet.start(replace(ONE_WAVE, waves=(Wave("half", 0.5, gated=False), Wave("all", 1.0))))
    sizes = wave_sizes(fleet, campaign)
    assert 6000 == sum(sizes.values())
    assert abs(sizes[0] - 3000) < 5 * (6000 * 0.25) ** 0.5


def test_campaigns_turn_the_circle_each_their_own_way(fleet):
    """The canaries of one are not those of the next."""
    fleet.devices(range(2000))
    first, second = fleet.start(CANARY), fleet.start(replace(CANARY, name="D"))
    assert first.salt != second.salt
    canaries = [
        {
            it for it in range(2000)
            for pool in fleet.campaigns.pools(campaign.id)
            if pool.place.wave == 0 and pool.first <= (bucket(eui(it)) + campaign.salt) % BUCKETS < pool.last
        }
        for campaign in (first, second)
    ]  # fmt: skip
    assert [20, 20] == [len(it) for it in canaries]
    assert len(canaries[0] & canaries[1]) < 5


def test_the_ineligible_stay_out_with_their_reason(fleet):
    """Verdicts count all Devices that the target filter lets through, and only the eligible have pools."""
    fleet.devices(range(10))
    fleet.devices(range(10, 13), replace(PPMIDS, firmware=TARGET))
    fleet.devices(range(13, 15), SWITCHES)
    fleet.devices(range(15, 16), replace(PPMIDS, status=DeviceStatus.SUSPENDED))
    fleet.devices(range(20, 30), replace(PPMIDS, region="South"))
    plan = replace(ONE_WAVE, target=replace(ONE_WAVE.target, regions=frozenset({"North"})))
    campaign = fleet.start(plan)
    assert {
        Verdict.ELIGIBLE: 10, Verdict.ALREADY_THERE: 3,
        Verdict.WRONG_PROCEDURE: 2, Verdict.NOT_COMMISSIONED: 1,
    } == fleet.campaigns.verdicts(campaign.id)  # fmt: skip
    fleet.tick(campaign, START)
    assert {eui(it) for it in range(10)} == fleet.ordered(campaign)


def test_late_joiners_fall_into_place(fleet):
    """One of a new cohort is ordered at the next tick, one of a known cohort when its pool is swept again."""
    fleet.devices(range(50))
    campaign = fleet.start()
    fleet.tick(campaign, START)
    fleet.devices(range(50, 52), replace(PPMIDS, model=2))
    assert fleet.tick(campaign, Instant(START + HOUR))
    assert eui(51) in fleet.ordered(campaign)
    fleet.devices(range(60, 62))
    fleet.tick(campaign, Instant(START + 2 * HOUR))
    assert eui(60) not in fleet.ordered(campaign)
    fleet.tick(campaign, Instant(START + 6 * HOUR))
    assert {eui(it) for it in (*range(52), 60, 61)} == fleet.ordered(campaign)
    assert 0 == fleet.tick(campaign, Instant(START + 6 * HOUR))


def test_a_new_kind_of_device_makes_a_stratum_of_its_own(fleet):
    """And begins with its own canaries, whatever wave the others are in."""
    fleet.devices(range(500))
    campaign = fleet.start(CANARY)
    fleet.tick(campaign, START)
    fleet.devices(range(1000, 1500), replace(PPMIDS, hub_model="B"))
    fleet.tick(campaign, Instant(START + HOUR))
    view = fleet.campaigns.view(campaign, Instant(START + HOUR))
    assert [0, 0] == [it.wave for it in view.strata]
    assert 5 == sum(number.octets[-2:] >= (1000).to_bytes(2, "big") for number in fleet.ordered(campaign))


def test_a_verdict_that_changes_closes_a_cohort_and_opens_it_again(fleet):
    """A CPL entry that is withdrawn keeps further Devices out, until it is active again."""
    fleet.devices(range(20))
    campaign = fleet.start()
    fleet.make(campaign, 5)
    entry = next(it for it in fleet.registry.cpl() if it.model == PPMIDS.model)
    fleet.registry.put_cpl([replace(entry, status=type(entry.status).WITHDRAWN)])
    later = Instant(START + HOUR)
    fleet.campaigns.refresh(None, campaign, later)
    assert {Verdict.CPL_NOT_ACTIVE: 20} == fleet.campaigns.verdicts(campaign.id)
    fleet.tick(campaign, later)
    assert 5 == len(fleet.ordered(campaign))
    fleet.registry.put_cpl([entry])
    fleet.tick(campaign, Instant(START + 2 * HOUR))
    assert 20 == len(fleet.ordered(campaign))


IN_WAVES = replace(
    ONE_WAVE,
    waves=(Wave("canary", 0.01, 5, soak=HOUR), Wave("tenth", 0.1, soak=HOUR), Wave("all", 1.0)),
)
SHUT_OUT = {
    "hub": ({"hub_capable": False}, Verdict.HUB_NOT_CAPABLE),
    "suspended": ({"status": DeviceStatus.SUSPENDED}, Verdict.NOT_COMMISSIONED),
    "supplier": ({"part": Part.NONE}, Verdict.NOT_OURS),
    "CPL": ({}, Verdict.CPL_NOT_ACTIVE),
}


def shut_out(fleet, campaign, words, *, few=None):
    """A file says so of all Devices that are not ordered, or of a few; with no words, the CPL does."""
    if not words:
        entry = next(it for it in fleet.registry.cpl() if it.model == PPMIDS.model)
        fleet.registry.put_cpl([replace(entry, status=CplStatus.WITHDRAWN)])
        return
    done = fleet.ordered(campaign)
    fleet.devices([it for it in range(500) if eui(it) not in done][:few], replace(PPMIDS, **words))


def let_in(fleet, campaign, words):
    """The next file has it right."""
    if not words:
        entry = next(it for it in fleet.registry.cpl() if it.model == PPMIDS.model)
        fleet.registry.put_cpl([replace(entry, status=CplStatus.ACTIVE)])
        return
    done = fleet.ordered(campaign)
    fleet.devices(it for it in range(500) if eui(it) not in done)


def all_goes_well(fleet, campaign, now):
    """Whoever is in flight has the new version."""
    for number in fleet.ordered(campaign):
        if fleet.progress(campaign, number).stage is not Stage.PROVEN:
            fleet.hear(campaign, number, Fact.VERSION_READ, now, version=TARGET)


def wave_of(fleet, campaign):
    """The open one."""
    [stratum] = fleet.campaigns.view(campaign, START).strata
    return stratum.wave


@pytest.mark.parametrize("why", SHUT_OUT)
def test_a_bad_file_neither_finishes_a_campaign_nor_opens_its_waves(fleet, why):
    """Nothing is in flight, the canaries are proven, and for a day a file shuts out all who wait.

    When they are let in again, each wave has its Devices, its outcome and its soak time, as ever.
    """
    words, verdict = SHUT_OUT[why]
    fleet.devices(range(500))
    campaign = fleet.start(IN_WAVES)
    fleet.tick(campaign, START)
    all_goes_well(fleet, campaign, START)
    fleet.tick(campaign, START)
    assert 5 == len(fleet.ordered(campaign))
    shut_out(fleet, campaign, words)
    for hour in range(1, 25):
        fleet.tick(campaign, now := Instant(START + hour * HOUR))
    assert CampaignStatus.RUNNING is fleet.campaigns.find(campaign.id).status
    tenth = 50 if words else 5 + 50  # a cohort that is let in as a whole is shared out anew
    assert ({verdict: 495}, 1) == (fleet.campaigns.view(campaign, now).shut, wave_of(fleet, campaign))

    let_in(fleet, campaign, words)
    while 1 == wave_of(fleet, campaign):
        assert tenth >= len(fleet.ordered(campaign)), "nobody of the wave beyond"
        fleet.tick(campaign, now := Instant(now + HOUR // 2))
        all_goes_well(fleet, campaign, now)
    assert tenth == len(fleet.ordered(campaign))
    [(proven,)] = fleet.rows("SELECT MAX(at) FROM evidence WHERE fact = 'VERSION_READ'")
    [*_, (opened,)] = fleet.rows("SELECT at FROM audit WHERE what = 'open wave' ORDER BY id")
    assert opened >= proven + HOUR, "all of it proven, and the soak time over"
    while 500 > len(fleet.ordered(campaign)):
        fleet.tick(campaign, now := Instant(now + HOUR))
    all_goes_well(fleet, campaign, now)
    fleet.tick(campaign, now)
    assert CampaignStatus.FINISHED is fleet.campaigns.find(campaign.id).status


@pytest.mark.parametrize("why", SHUT_OUT)
def test_whoever_was_shut_out_before_any_order_begins_with_the_canaries(fleet, why):
    """Not with all at once, in the last wave."""
    words, _ = SHUT_OUT[why]
    fleet.devices(range(500))
    campaign = fleet.start(IN_WAVES)
    shut_out(fleet, campaign, words)
    for hour in range(24):
        fleet.tick(campaign, Instant(START + hour * HOUR))
    assert 0 == wave_of(fleet, campaign)
    let_in(fleet, campaign, words)
    for hour in range(24, 31):
        fleet.tick(campaign, Instant(START + hour * HOUR))
    assert 5 == len(fleet.ordered(campaign))


def test_a_campaign_that_starts_before_its_cpl_entry_waits_for_it(fleet):
    """Nobody is let in yet: that is no end."""
    fleet.devices(range(500))
    shut_out(fleet, None, {})
    campaign = fleet.start(IN_WAVES)
    for hour in range(24):
        fleet.tick(campaign, now := Instant(START + hour * HOUR))
    assert {Verdict.CPL_NOT_ACTIVE: 500} == fleet.campaigns.view(campaign, now).shut
    let_in(fleet, campaign, {})
    fleet.tick(campaign, Instant(now + HOUR))
    assert 5 == len(fleet.ordered(campaign))


def test_a_campaign_that_waits_for_the_shut_out_ends_with_its_time(fleet):
    """Every campaign ends, though nobody ever lets them in."""
    fleet.devices(range(500))
    campaign = fleet.start(IN_WAVES)
    shut_out(fleet, campaign, {})
    fleet.tick(campaign, Instant(START + IN_WAVES.lasts - 1))
    assert CampaignStatus.RUNNING is fleet.campaigns.find(campaign.id).status
    fleet.tick(campaign, Instant(START + IN_WAVES.lasts))
    assert CampaignStatus.FINISHED is fleet.campaigns.find(campaign.id).status


def test_a_few_that_are_shut_out_are_left_for_the_next_campaign(fleet):
    """One in a hundred keeps nobody waiting; nor do those who were out of it from the start."""
    fleet.devices(range(500))
    fleet.devices(range(1000, 1400), replace(PPMIDS, hub_capable=False))
    campaign = fleet.start()
    shut_out(fleet, campaign, {"hub_capable": False}, few=5)
    fleet.tick(campaign, START)
    all_goes_well(fleet, campaign, START)
    assert {Verdict.HUB_NOT_CAPABLE: 5} == fleet.campaigns.view(campaign, START).shut
    fleet.tick(campaign, START)
    assert CampaignStatus.FINISHED is fleet.campaigns.find(campaign.id).status


def test_who_is_shut_out_is_told(fleet):
    """An event says how many waited, and why they may not have the release now."""
    fleet.devices(range(500))
    campaign = fleet.start(IN_WAVES)
    fleet.tick(campaign, START)
    shut_out(fleet, campaign, {})
    fleet.tick(campaign, Instant(START + HOUR))
    [event] = [it for it in fleet.campaigns.events(campaign.id) if it.what == "shut out"]
    assert ("policy", f"{Verdict.CPL_NOT_ACTIVE.value}: 495 not ordered yet") == (event.who, event.detail)


def test_a_refresh_that_finds_nothing_new_changes_nothing(fleet):
    """Nor does it write."""
    fleet.devices(range(5))
    campaign = fleet.start()
    assert not fleet.campaigns.refresh(None, campaign, START)
    assert not fleet.campaigns.refresh(None, campaign, START)


# --- pause, abort, holds


def test_a_pause_takes_back_what_was_not_sent(fleet):
    """The request is closed, its Devices are recalled, and what was sent stays; a resume orders anew."""
    fleet.devices(range(20))
    campaign = fleet.start()
    fleet.make(campaign, 5)
    fleet.answer(START)
    fleet.make(campaign, 5)
    later = Instant(START + HOUR)
    fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", later)
    assert {Stage.QUEUED: 5, Stage.RECALLED: 5} == fleet.stages(campaign)
    assert [("I99",), ("recalled",)] == fleet.rows("SELECT response_code FROM request ORDER BY counter")
    assert 0 == fleet.tick(campaign, later)
    fleet.campaigns.act(campaign.id, Act.RESUME, "operator", later)
    fleet.tick(campaign, later)
    assert {Stage.QUEUED: 20} == fleet.stages(campaign)
    assert [] == fleet.record.recount(campaign.id)


def test_an_abort_lets_what_flies_land_and_cancels_the_rest(fleet):
    """It is over when the last Device in flight has come to an end."""
    fleet.devices(range(10))
    campaign = fleet.start()
    fleet.make(campaign, 4)
    fleet.answer(START)
    fleet.make(campaign, 6)
    later = Instant(START + HOUR)
    fleet.campaigns.act(campaign.id, Act.ABORT, "operator", later)
    fleet.tick(campaign, later)
    assert {Stage.QUEUED: 4, Stage.CANCELLED: 6} == fleet.stages(campaign)
    assert CampaignStatus.ABORTING is fleet.campaigns.find(campaign.id).status
    for number in range(10):
        if fleet.progress(campaign, eui(number)).stage is Stage.QUEUED:
            fleet.hear(campaign, eui(number), Fact.VERSION_READ, later, version=TARGET)
    fleet.tick(campaign, later)
    assert CampaignStatus.ABORTED is fleet.campaigns.find(campaign.id).status
    assert {Stage.PROVEN: 4, Stage.CANCELLED: 6} == fleet.stages(campaign)
    assert [] == fleet.record.recount(campaign.id)


def test_a_hold_is_released_by_name_and_noted(fleet):
    """What is not held cannot be released."""
    fleet.devices(range(300))
    campaign = fleet.start()
    fleet.tick(campaign, START)
    for number in range(100):
        fleet.hear(campaign, eui(number), Fact.HUB_FAILED, START)
    fleet.tick(campaign, START)
    stratum = fleet.campaigns.view(campaign, START).strata[0]
    assert stratum.held is not None
    fleet.campaigns.release_hold(campaign.id, stratum.name, "operator", START, "hub mended")
    assert fleet.campaigns.view(campaign, START).strata[0].held is None
    assert "release hold" == fleet.campaigns.events(campaign.id)[-1].what
    fleet.tick(campaign, START)
    assert fleet.campaigns.view(campaign, START).strata[0].held is None, "what was pardoned holds it no more"
    with pytest.raises(UsageError, match="holds no stratum"):
        fleet.campaigns.release_hold(campaign.id, stratum.name, "operator", START)


def test_a_pardon_lapses_as_failures_come_right(fleet):
    """It is for those that were there when the hold was released, and no reserve for others."""
    fleet.devices(range(300))
    campaign = fleet.start()
    fleet.tick(campaign, START)
    for number in range(100):
        fleet.hear(campaign, eui(number), Fact.HUB_FAILED, START)
    fleet.tick(campaign, START)
    stratum = fleet.campaigns.view(campaign, START).strata[0]
    fleet.campaigns.release_hold(campaign.id, stratum.name, "operator", START)
    assert 100 == fleet.campaigns.view(campaign, START).strata[0].pardoned
    for number in range(60):
        fleet.hear(campaign, eui(number), Fact.VERSION_READ, START, version=TARGET)
    fleet.tick(campaign, START)
    assert 40 == fleet.campaigns.view(campaign, START).strata[0].pardoned


# --- what it costs


def test_a_look_at_a_campaign_does_not_go_through_its_reads_and_activations(fleet):
    """They come one or a few a batch, and a batch is an entry of the audit: both by their own indexes."""
    fleet.devices(range(20))
    campaign = fleet.start()
    fleet.make(campaign, 20)
    many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)"
    with fleet.database.writing() as connection:
        connection.exec_driver_sql(
            f"{many} INSERT INTO batch (campaign, kind, step, devices, created_at, deadline)"
            f" SELECT {campaign.id}, '11.2', 17, 1, {START} - n * CAST({130 * SECOND} AS BIGINT), 1 FROM n"
        )
        for _ in range(2_000):
            note(connection, campaign.id, START, "policy", "order", "{}", "batch 1")
    analyse(fleet.database)
    with (
        explained(fleet.database, "sum(CASE WHEN") as ordered,
        explained(fleet.database, "sum(batch.devices)", "FROM campaign") as last_day,
        explained(fleet.database, "FROM audit") as acts,
    ):
        view = fleet.campaigns.view(campaign, Instant(START + HOUR // 2))
        events = fleet.campaigns.events(campaign.id)
    assert (20, 20, 20 + 650) == (view.ordered, view.last_hour, view.last_day)
    assert ["create", "start"] == [it.what for it in events]
    assert ["ix_batch_updates"] == [_index(plan) for plan in ordered]
    assert ["ix_batch_campaign"] == [_index(plan) for plan in last_day]
    assert ["ix_audit_acts"] == [_index(plan) for plan in acts]


def _index(plan):
    """The index of batches, or of the audit, that a plan goes by."""
    found = {it.strip("():,") for it in plan.split() if it.startswith(("ix_batch_", "ix_audit_"))}
    assert 1 == len(found), plan
    return found.pop()
