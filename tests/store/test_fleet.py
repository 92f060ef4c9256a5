"""The fleet, counted, sampled and looked through, on both databases."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamplighter.campaign import Cause, Fact, Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Eui64, FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.registry import Device, DeviceStatus, DeviceType, Verdict
from lamplighter.registry.exposure import Range
from lamplighter.store import LeaseLostError
from lamplighter.store import fleet as fleets
from lamplighter.store.audit import Audit
from lamplighter.store.fleet import SAMPLE_EVERY, SORTS, Wanted
from lamplighter.store.fleet import Fleet as Whole
from lamplighter.store.registry import Registry

from .campaigning import OLD, PPMIDS, START, SWITCHES, TARGET, Fleet, Plan, Wave, eui, hub

KINDS = [
    PPMIDS,
    replace(PPMIDS, region="South", hub_model="B", firmware=TARGET),
    replace(PPMIDS, model=2, hardware=3, tag="friends"),
    replace(SWITCHES, region="Central", status=DeviceStatus.SUSPENDED),
    replace(PPMIDS, type=DeviceType.IHD, region="", hub_model=""),
]


@pytest.fixture
def fleet(database_url):
    fleet = Fleet(database_url)
    yield fleet
    fleet.close()


@pytest.fixture
def mixed(fleet):
    """60 Devices of five kinds, two a home; and the whole of them."""
    devices = [Device(eui(it), hub(it // 2), KINDS[it * it % 5]) for it in range(60)]
    fleet.registry.put_devices(devices)
    return Whole(fleet.database), devices


def walk(whole, wanted=None, sort="eui", limit=7):
    """All pages of a table."""
    found, after, pages = [], None, 0
    while True:
        page = whole.search(wanted or Wanted(), sort, after, limit)
        assert len(page.devices) <= limit
        found += page.devices
        pages += 1
        assert pages < 100, "it never ends"
        if page.next is None:
            return found
        after = page.next


def value(device, sort):
    if sort == "eui":
        return device.eui
    found = getattr(device.cohort, sort)
    return getattr(found, "value", found)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_pages_go_through_all_devices_once_in_the_order_asked_for(mixed, sort, down):
    """Whatever the order, no Device is left out, told twice, or out of its place."""
    whole, devices = mixed
    found = walk(whole, sort=f"-{sort}" if down else sort)
    assert {it.eui: it for it in devices} == {it.eui: it for it in found}
    assert len(devices) == len(found)
    steps = list(pairwise(value(it, sort) for it in found))
    assert all((a >= b) if down else (a <= b) for a, b in steps)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(type=DeviceType.HCALCS),
        Wanted(region="South", firmware=TARGET),
        Wanted(status=DeviceStatus.SUSPENDED, manufacturer=0x1234),
        Wanted(tag="friends", model=2, hardware=3),
        Wanted(hub_model="B"),
        Wanted(hub=hub(4)),
        Wanted(prefix="80DB"),
        Wanted(prefix="00-DB-00", region="North"),
        Wanted(region="Nowhere"),
    ],
)
@pytest.mark.parametrize("sort", ["eui", "-region"])
@pytest.mark.parametrize("few", [True, False])
def test_conditions_let_through_what_fits_and_nothing_else(mixed, wanted, sort, few, monkeypatch):
    """The same Devices as a plain look at all of them finds, whether they are few or many."""
    whole, devices = mixed
    if few:
        whole.count(START)  # then it is known how many there are
    else:
        monkeypatch.setattr(fleets, "LOOKS", (3, 11))
    expected = {
        it.eui
        for it in devices
        if wanted.has(it.cohort)
        and wanted.hub in {None, it.hub}
        and str(it.eui).replace("-", "").startswith(wanted.prefix.replace("-", ""))
    }
    assert sorted(expected) == sorted(it.eui for it in walk(whole, wanted, sort))


def test_a_page_says_how_far_it_has_looked_where_few_devices_fit(mixed, monkeypatch):
    """No page reads more than its share, however rare what is looked for is; the next goes on from there."""
    whole, devices = mixed
    monkeypatch.setattr(fleets, "LOOKS", (5, 5))
    last = max(it.eui for it in devices)
    rare = replace(PPMIDS, tag="rare")
    Registry(whole._database).put_devices([Device(last, hub(1), rare)])
    page = whole.search(Wanted(tag="rare"), limit=5)
    assert [] == list(page.devices)
    assert sorted(it.eui for it in devices)[9] == page.looked_up_to
    assert [last] == [it.eui for it in walk(whole, Wanted(tag="rare"))]


@pytest.mark.parametrize(
    "after", ["", "x", "e12", "c1.2", "c1.2.3", "c9999.1.00DB000000000000", "c1.x.00", "e" * 900]
)
@pytest.mark.parametrize("sort", ["eui", "region"])
def test_an_after_that_no_page_has_said_is_refused(mixed, after, sort):
    """A page of a table that is made up is a plain refusal, and no error of the database."""
    whole, _ = mixed
    with pytest.raises(UsageError, match="begin at the first"):
        whole.search(Wanted(), sort, after)


@pytest.mark.parametrize(("sort", "after"), [("-eui", "e0000000000000000"), ("eui", "eFFFFFFFFFFFFFFFF")])
def test_there_is_nothing_beyond_the_last_identifier(mixed, sort, after):
    """Not even a number that the database cannot hold."""
    assert ([], None) == mixed[0].search(Wanted(region="North"), sort, after)[:2]
    assert ([], None) == mixed[0].search(Wanted(), sort, after)[:2]


@pytest.mark.parametrize("sort", ["", "bucket", "eui; DROP TABLE device", "--eui"])
def test_an_order_that_there_is_not_is_refused(mixed, sort):
    with pytest.raises(UsageError, match="can be sorted by"):
        mixed[0].search(Wanted(), sort)


@given(
    asked=st.lists(
        st.tuples(st.sampled_from(SORTS), st.booleans(), st.integers(1, 30)), min_size=1, max_size=3
    ),
    region=st.sampled_from([None, "North", "South", ""]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_size_of_page_gives_the_same_devices(mixed, asked, region):
    """What is found depends on the conditions alone."""
    whole, devices = mixed
    wanted = Wanted(region=region)
    expected = sorted(it.eui for it in devices if wanted.has(it.cohort))
    for sort, down, limit in asked:
        assert expected == sorted(it.eui for it in walk(whole, wanted, f"-{sort}" if down else sort, limit))


def test_a_count_is_made_anew_while_that_is_quick(mixed, fleet):
    """What was imported a moment ago is counted."""
    whole, devices = mixed
    assert len(devices) == whole.count(START).devices
    fleet.devices([100])
    assert len(devices) + 1 == whole.count(START).devices


def test_a_slow_count_is_given_again_until_it_is_stale(mixed, fleet):
    """At ten million Devices no page waits for a count that was made a moment ago."""
    whole, devices = mixed
    whole.count(START)
    whole._cost = 60.0
    fleet.devices([100])
    assert len(devices) == whole.count(START).devices
    whole._counted_at -= 60 * fleets._STALE + 1
    assert len(devices) == whole.count(START).devices, "the old one is given while a new one is made"
    with whole._counting:
        pass
    for _ in range(500):
        whole._counting.acquire()
        whole._counting.release()
        if whole._census.devices == len(devices) + 1:
            break
    assert len(devices) + 1 == whole._census.devices


def test_verdicts_are_those_of_the_registry(mixed, fleet):
    """Counted by cohort, they are what the registry says of each Device."""
    whole, _ = mixed
    expected: dict[Verdict, int] = {}
    for it in fleet.registry.verdicts(fleet.release):
        expected[it.verdict] = expected.get(it.verdict, 0) + it.devices
    release = fleet.registry.release(fleet.release)
    assert expected == dict(whole.verdicts(release, START))


def test_the_history_has_a_row_where_a_number_changed_and_no_other(mixed, fleet):
    """Versions over time are kept for years: an hour in which nothing happens costs nothing."""
    whole, devices = mixed
    assert whole.sample(START)
    assert not whole.sample(Instant(START + SAMPLE_EVERY - 1)), "it is not time yet"
    assert not whole.sample(Instant(START + SAMPLE_EVERY)), "nothing has changed"
    before = fleet.rows("SELECT count(*) FROM census")
    fleet.registry.put_devices([replace(devices[0], cohort=replace(devices[0].cohort, firmware=TARGET))])
    assert Whole(fleet.database).sample(Instant(START + 2 * SAMPLE_EVERY)), "another process goes on"
    [(rows,)] = fleet.rows("SELECT count(*) FROM census")
    assert before[0][0] + 2 == rows
    later = [it for it in whole.history(START) if it.at > START]
    assert {(OLD, -1), (TARGET, 1)} == {
        (
            it.firmware,
            it.devices
            - sum(
                d.cohort.firmware == it.firmware and d.cohort.type is it.type and d.cohort.model == it.model
                for d in devices
            ),
        )
        for it in later
    }


def test_the_history_begins_with_what_held_then(mixed):
    """Who asks for a week sees what ran at its beginning, though nothing was noted in it."""
    whole, devices = mixed
    whole.sample(START)
    since = Instant(START + 30 * DAY)
    found = whole.history(since)
    assert {since} == {it.at for it in found}
    assert len(devices) == sum(it.devices for it in found)
    assert [] == [it for it in whole.history(Instant(START - DAY)) if it.at < START]


def test_a_version_that_nobody_runs_any_more_ends_in_the_history(fleet):
    """The last Device that leaves a version is a sample of 0."""
    fleet.devices([1])
    whole = Whole(fleet.database)
    whole.sample(START)
    fleet.devices([1], replace(PPMIDS, firmware=TARGET))
    whole.sample(Instant(START + HOUR))
    assert [(OLD, 1), (OLD, 0), (TARGET, 1)] == sorted(
        ((it.firmware, it.devices) for it in whole.history(START)), key=lambda it: (it[0], -it[1])
    )


def test_another_process_that_holds_the_lease_notes_the_fleet(mixed):
    """Who does not get the lease notes nothing, and asks again in an hour and not at once."""
    whole, _ = mixed
    asked = []

    def lost():
        asked.append(1)
        raise LeaseLostError("another's")

    with pytest.raises(LeaseLostError):
        whole.sample(START, lost)
    assert not whole.sample(Instant(START + 1), lost)
    assert [1] == asked
    assert [] == whole.history(Instant(0))


TWO_WAVES = Plan("C", (Wave("first", 0.5), Wave("rest", 1.0)), stratify=("region",), approvals=0)


@pytest.fixture
def under_way(fleet):
    """A campaign with a first wave ordered, and word of some."""
    fleet.devices(range(12))
    fleet.devices(range(12, 16), replace(PPMIDS, region="South"))
    campaign = fleet.start(TWO_WAVES)
    fleet.make(campaign, 8)
    ordered = sorted(fleet.ordered(campaign))
    fleet.hear(campaign, ordered[0], Fact.ON_DEVICE, START)
    fleet.hear(campaign, ordered[1], Fact.TRANSFER_FAILED, START, Cause.HARDWARE)
    fleet.hear(campaign, ordered[2], Fact.VERSION_READ, START, version=TARGET)
    return campaign, ordered


def test_devices_of_a_campaign_are_found_by_state_cause_and_stratum(fleet, under_way):
    """Whoever sees a failure cause sees the Devices that have it."""
    campaign, ordered = under_way
    whole = Whole(fleet.database)
    assert ordered == sorted(it.device for it in whole.updates(campaign.id).rows)
    [failed] = whole.updates(campaign.id, [Stage.TRANSFER_FAILED]).rows
    assert (ordered[1], Cause.HARDWARE) == (failed.device, failed.progress.cause)
    assert [failed] == list(whole.updates(campaign.id, cause=Cause.HARDWARE).rows)
    assert () == whole.updates(campaign.id, [Stage.PROVEN], cause=Cause.HARDWARE).rows
    south = whole.updates(campaign.id, stratum=failed.stratum).rows
    assert {failed.stratum} == {it.stratum for it in south}
    assert () == whole.updates(campaign.id + 1).rows


def test_pages_of_a_campaign_go_through_all_of_it(fleet, under_way, monkeypatch):
    """However small the pages and the looks are, no Device is left out or told twice."""
    campaign, ordered = under_way
    monkeypatch.setattr(fleets, "_CHUNK", 3)
    monkeypatch.setattr(fleets, "LOOK_MAX", 3)
    whole = Whole(fleet.database)
    found, after = [], 0
    for _ in range(100):
        page = whole.updates(campaign.id, after=after, limit=2)
        found += [it.device for it in page.rows]
        if page.next is None:
            break
        after = page.next
    assert ordered == sorted(found)
    assert len(ordered) == len(found)


def test_the_latest_order_of_a_device_is_found(fleet, under_way):
    campaign, ordered = under_way
    whole = Whole(fleet.database)
    since, order = whole.orders(ordered[1])[campaign.id]
    assert (START, START, "11.4", CampaignStatus.RUNNING, None) == (
        since, order.at, order.kind.value, order.status, order.held,
    )  # fmt: skip
    assert {} == whole.orders(Eui64.of(1))


def test_a_device_that_waits_is_told_its_wave(fleet, under_way):
    """Each Device without an order stands in exactly one wave of the campaign: its bucket says which."""
    campaign, ordered = under_way
    whole = Whole(fleet.database)
    waves = []
    for number in range(16):
        places = whole.queues(eui(number))
        if eui(number) in ordered:
            assert [] == places
            continue
        [place] = places
        assert (campaign.id, Verdict.ELIGIBLE, 0) == (place.campaign, place.verdict, place.open_wave)
        waves.append(place.wave)
    assert {1} == set(waves), "the first wave was ordered whole"


def test_advisories_stand_until_they_are_closed(fleet):
    """Declared by somebody, with a reason, in the audit; closed once."""
    whole = Whole(fleet.database)
    which = Range(0x1234, 1, FirmwareVersion(0), OLD)
    number = whole.advise(which, " loses its keys ", "operator1", START)
    [found] = whole.advisories()
    assert (which, "loses its keys", "operator1", START) == (found.range, found.reason, found.who, found.at)
    whole.close_advisory(number, "olaf", Instant(START + 1))
    assert [] == whole.advisories()
    with pytest.raises(UsageError, match="no open advisory"):
        whole.close_advisory(number, "olaf", START)
    assert [("operator1", "declare vulnerable"), ("olaf", "close advisory")] == [
        (it.who, it.what)
        for it in Audit(fleet.database).entries()
        if "vulnerable" in it.what or "advisory" in it.what
    ]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_an_advisory_without_a_reason_is_none(fleet, reason):
    with pytest.raises(UsageError, match="say why"):
        Whole(fleet.database).advise(Range(1, None, OLD, TARGET), reason, "operator1", START)


def test_a_range_of_versions_does_not_end_before_it_begins():
    with pytest.raises(UsageError, match="ends where it begins"):
        Range(1, None, TARGET, OLD)
