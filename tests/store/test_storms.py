"""The register of alert storms on both databases: what is one, when it begins and ends, what cures it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamplighter.campaign.storms import Heard, StormRules, is_over, is_version_storm
from lamplighter.kit import FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.registry import Procedure, Release
from lamplighter.store.audit import Audit
from lamplighter.store.inbox import Inbox, Incoming
from lamplighter.store.leases import Leases
from lamplighter.store.storms import Storms
from tests.store.campaigning import OLD, PPMIDS, START, TARGET, Fleet, eui

HOUR0 = Instant(START - START % HOUR)
CODE = "8F3E"


class Alerts:
    """A fleet, and alerts that it raises."""

    def __init__(self, url):
        self.fleet = Fleet(url)
        self.inbox = Inbox(self.fleet.database)
        self.storms = Storms(self.fleet.database)
        self.sent = 0

    def raise_(self, device, at, count=1, code=CODE, weight=1):
        lot = []
        for _ in range(count):
            self.sent += 1
            octets = str(self.sent).encode()
            lot.append(Incoming(octets, at, at, code, eui(device), weight))
        assert all(self.inbox.take_in(lot))


@pytest.fixture
def alerts(database_url):
    alerts = Alerts(database_url)
    yield alerts
    alerts.fleet.close()


def test_a_device_that_is_throttled_storms_alone(alerts):
    """One message that stands for 500 is a storm of that Device, with all that is known of it."""
    alerts.fleet.devices(range(30))
    alerts.raise_(3, HOUR0 + MINUTE, weight=500)
    alerts.raise_(4, HOUR0 + MINUTE)
    assert 1 == alerts.storms.watch(None, HOUR0 + 10 * MINUTE)
    (storm,) = alerts.storms.list()
    assert (CODE, 0x1234, 1, 1, OLD, eui(3)) == (
        storm.code, storm.manufacturer, storm.model, storm.hardware, storm.version, storm.device,
    )  # fmt: skip
    assert (500, 500, 1, 500) == (storm.alerts, storm.throttled, storm.devices, storm.peak)
    assert (HOUR0, HOUR0 + HOUR, None) == (storm.first_at, storm.last_at, storm.ended_at)


def test_a_device_storms_from_its_twentieth_alert_in_an_hour(alerts):
    """Nineteen are none; twenty are."""
    alerts.fleet.devices(range(30))
    alerts.raise_(3, HOUR0, 19)
    assert 0 == alerts.storms.watch(None, HOUR0 + MINUTE)
    alerts.raise_(3, HOUR0 + MINUTE)
    assert 1 == alerts.storms.watch(None, HOUR0 + 2 * MINUTE)


def test_many_devices_of_a_version_are_one_storm(alerts):
    """Ten storming Devices of one version make one entry, not ten."""
    alerts.fleet.devices(range(30))
    for number in range(10):
        alerts.raise_(number, HOUR0, weight=50)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    (storm,) = alerts.storms.list()
    assert (None, OLD, 500, 10) == (storm.device, storm.version, storm.alerts, storm.devices)


def test_in_a_calmer_hour_of_its_versions_storm_a_device_has_none_of_its_own(alerts):
    """The register has one entry for the flood, and not another for each Device that goes on a while."""
    alerts.fleet.devices(range(30))
    for number in range(10):
        alerts.raise_(number, HOUR0, weight=50)
    alerts.raise_(3, HOUR0 + HOUR, weight=50)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    alerts.storms.watch(None, HOUR0 + HOUR + MINUTE)
    (storm,) = alerts.storms.list()
    assert (None, 550, HOUR0 + HOUR) == (storm.device, storm.alerts, storm.last_at)


def test_a_little_from_each_of_many_is_a_storm_by_the_rate(alerts):
    """No Device storms by itself, but half of them raise an alert within the hour."""
    alerts.fleet.devices(range(200))
    for number in range(99):
        alerts.raise_(number, HOUR0)
    assert 0 == alerts.storms.watch(None, HOUR0 + MINUTE)
    alerts.raise_(99, HOUR0)
    assert 1 == alerts.storms.watch(None, HOUR0 + MINUTE)
    assert None is alerts.storms.list()[0].device


def test_another_version_has_a_storm_of_its_own(alerts):
    """The same code on the same model, but the Devices run something else."""
    alerts.fleet.devices(range(20))
    alerts.fleet.devices(range(20, 40), replace(PPMIDS, firmware=TARGET))
    for number in range(40):
        alerts.raise_(number, HOUR0, weight=30)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    assert [OLD, TARGET] == [it.version for it in alerts.storms.list()]


def test_what_our_orders_bring_about_is_no_storm(alerts):
    """A million receipts of an image are an update; but what the DCC throttles counts, whatever it is."""
    alerts.fleet.devices(range(200))
    for number in range(200):
        alerts.raise_(number, HOUR0, 2, code="8F72")
    assert 0 == alerts.storms.watch(None, HOUR0 + MINUTE)
    alerts.raise_(3, HOUR0, code="8F72", weight=90)
    alerts.raise_(4, HOUR0, code="N62", weight=70)
    assert 2 == alerts.storms.watch(None, HOUR0 + MINUTE)
    assert {("8F72", 90), ("N62", 70)} == {(it.code, it.alerts) for it in alerts.storms.list()}


def test_an_hour_counted_twice_counts_once(alerts):
    """A look that is taken again, or comes late, changes no number."""
    alerts.fleet.devices(range(30))
    alerts.raise_(3, HOUR0, weight=500)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    alerts.raise_(3, HOUR0 + 5 * MINUTE, weight=40)
    for minutes in (6, 7, 61, 62, 70, 130):
        alerts.storms.watch(None, HOUR0 + minutes * MINUTE)
    (storm,) = alerts.storms.list()
    assert 540 == storm.alerts
    assert [(HOUR0, 540, 540, 1)] == [tuple(it) for it in alerts.storms.hours(storm)]
    assert [("8F3E", 2, 540, 540)] == [tuple(it) for it in alerts.storms.volumes(HOUR0, HOUR0 + DAY)]


def test_a_storm_goes_on_through_a_quiet_night_and_ends_after_a_day(alerts):
    """Less than a day of quiet is the same storm; a day ends it, and what comes then is another."""
    alerts.fleet.devices(range(30))
    for hours in (0, 1, 20, 50):
        alerts.raise_(3, HOUR0 + hours * HOUR, weight=100)
    for hours in range(60):
        alerts.storms.watch(None, HOUR0 + hours * HOUR + 30 * MINUTE)
    first, second = alerts.storms.list()
    assert (HOUR0 + 21 * HOUR, 300) == (first.last_at, first.alerts)
    assert HOUR0 + 45 * HOUR <= first.ended_at < HOUR0 + 47 * HOUR
    assert (HOUR0 + 50 * HOUR, None) == (second.first_at, second.ended_at)
    assert [second] == alerts.storms.list(active=True)
    assert [first] == alerts.storms.list(active=False)
    assert [first] == alerts.storms.between(HOUR0 + 5 * HOUR, HOUR0 + 49 * HOUR)


def test_days_that_nobody_looked_at_are_made_good(alerts):
    """One look after ten days finds, bit by bit, what a look each hour would have found."""
    alerts.fleet.devices(range(30))
    for hours in (0, 30, 60, 200):
        alerts.raise_(3, HOUR0 + hours * HOUR, weight=100)
    now = HOUR0 + 240 * HOUR
    for _ in range(8):
        alerts.storms.watch(None, Instant(now))
    # 30 hours apart is more than a day of quiet
    assert [0, 30, 60, 200] == [(it.first_at - HOUR0) // HOUR for it in alerts.storms.list()]


def test_the_unknown_device_is_counted_too(alerts):
    """An alert from a Device that the registry does not know has no version, and is not lost."""
    alerts.raise_(77, HOUR0, weight=60)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    (storm,) = alerts.storms.list()
    assert (-1, None, eui(77)) == (storm.manufacturer, storm.version, storm.device)
    assert [storm] == alerts.storms.of_device(eui(77))
    assert [] == alerts.storms.candidates(storm)


def test_a_device_shares_the_storm_of_its_version(alerts):
    """Each Device of the version is shown the version's storm; one of another version is not."""
    alerts.fleet.devices(range(20))
    alerts.fleet.devices(range(20, 22), replace(PPMIDS, firmware=TARGET))
    for number in range(12):
        alerts.raise_(number, HOUR0, weight=30)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    assert alerts.storms.list() == alerts.storms.of_device(eui(19))
    assert [] == alerts.storms.of_device(eui(20))


def test_only_a_release_for_it_can_cure_a_storm(alerts):
    """Same manufacturer, hardware in range, a higher version, on its path; and that is audited."""
    alerts.fleet.devices(range(20))
    alerts.raise_(3, HOUR0, weight=500)
    alerts.storms.watch(None, HOUR0 + MINUTE)
    (storm,) = alerts.storms.list()
    one = Release(Procedure.ONE_STEP, 0x1234, FirmwareVersion(0x30), ImageHash(b"\1" * 32), 0, 9, b"x")
    add = alerts.fleet.registry.add_release
    add("other maker", replace(one, manufacturer=0x4321))
    add("other hardware", replace(one, minimum_hardware=5, hash=ImageHash(b"\2" * 32)))
    add("older", replace(one, version=OLD, hash=ImageHash(b"\3" * 32)))
    add("off the path", replace(one, path=frozenset({TARGET}), hash=ImageHash(b"\4" * 32)))
    fit = add("on the path", replace(one, path=frozenset({OLD}), hash=ImageHash(b"\5" * 32)))
    assert [fit, alerts.fleet.release] == alerts.storms.candidates(storm)
    with pytest.raises(UsageError, match="cannot cure"):
        alerts.storms.link(storm.id, fit - 1, "operator1", HOUR0)
    alerts.storms.link(storm.id, fit, "operator1", HOUR0)
    assert fit == alerts.storms.find(storm.id).cured_by
    entry = Audit(alerts.fleet.database).entries()[-1]
    assert ("operator1", "storm cure", "storm 1", f"release {fit}") == (
        entry.who, entry.what, entry.subject, entry.detail,
    )  # fmt: skip
    with pytest.raises(UsageError, match="no storm 99"):
        alerts.storms.link(99, fit, "operator1", HOUR0)


def test_before_and_after_the_cure(alerts):
    """Alerts by day since each Device was proven: many before, few after, and only days that are over."""
    from lamplighter.campaign import Fact

    alerts.fleet.devices(range(20))
    campaign = alerts.fleet.start()
    alerts.fleet.make(campaign, 2)
    for number in range(20):
        alerts.raise_(number, START - 2 * DAY, 5)
    proven = sorted(alerts.fleet.ordered(campaign))
    for device in proven:
        alerts.fleet.hear(campaign, device, Fact.VERSION_READ, START + HOUR, version=TARGET)
    numbers = [number for number in range(20) if eui(number) in set(proven)]
    alerts.raise_(numbers[0], START + 2 * HOUR, 3)
    alerts.raise_(next(it for it in range(20) if it not in numbers), START + 2 * HOUR, 9)
    alerts.storms.watch(None, START + 3 * HOUR)
    alerts.raise_(numbers[0], START + 2 * HOUR, weight=50)
    alerts.storms.watch(None, START + 3 * HOUR)
    storm = next(it for it in alerts.storms.list() if it.code == CODE)
    found = alerts.storms.relative(storm, alerts.fleet.release, 4, START + 2 * DAY)
    assert [(-4, 0, 2), (-3, 10, 2), (-2, 0, 2), (-1, 0, 2), (0, 53, 2), (1, 0, 0), (2, 0, 0), (3, 0, 0)] == [
        tuple(it) for it in found
    ]


def test_looking_is_due_now_and_then(alerts):
    """At first, and five minutes after the last look; also where the clock was put back."""
    storms = alerts.storms
    assert storms.is_due(HOUR0)
    storms.watch(None, HOUR0)
    assert not storms.is_due(HOUR0 + MINUTE)
    assert storms.is_due(HOUR0 + 5 * MINUTE)
    assert storms.is_due(HOUR0 - MINUTE)
    storms.watch(None, HOUR0 - DAY)  # and nothing breaks


def test_rules_that_make_no_sense_are_refused():
    """A storm of one alert is none."""
    with pytest.raises(UsageError, match="no such rules"):
        StormRules(device_hour=1)
    with pytest.raises(UsageError, match="no such rules"):
        StormRules(quiet=MINUTE)


def test_a_few_devices_do_not_make_their_version_storm_by_the_rate():
    """Two Devices with a hundred alerts each are two storms of Devices."""
    assert not is_version_storm(StormRules(), Heard(210, 210, 0, 2, 2, 10), 4)
    assert is_version_storm(StormRules(), Heard(310, 310, 0, 4, 2, 110), 220)
    assert not is_over(StormRules(), HOUR0, HOUR0 + DAY - 1)
    assert is_over(StormRules(), HOUR0, HOUR0 + DAY)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raised=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 60)), min_size=1, max_size=25
    )
)
def test_no_alert_is_lost_or_counted_twice(tmp_path_factory, raised):
    """However looks fall, the volumes add up to what was raised."""
    alerts = Alerts(f"sqlite:///{tmp_path_factory.mktemp('storms')}/l.db")
    alerts.fleet.devices(range(6))
    for hour, device, weight in sorted(raised):
        at = HOUR0 + hour * HOUR + 20 * MINUTE
        alerts.raise_(device, at, weight=weight)
        alerts.storms.watch(None, at + MINUTE)
    volumes = alerts.storms.volumes(HOUR0, HOUR0 + DAY)
    assert sum(weight for *_, weight in raised) == sum(it.alerts for it in volumes)
    for storm in alerts.storms.list():
        assert storm.alerts == sum(it.alerts for it in alerts.storms.hours(storm))
    alerts.fleet.close()


def test_more_codes_than_anybody_has_defined_are_counted(alerts):
    """Each code that ever came stands in a statement: SQLite takes no more than 1,000 ORs."""
    alerts.fleet.devices(range(1))
    for number in range(1_100):
        alerts.raise_(0, HOUR0, code=f"{number:04X}")
    alerts.storms.watch(None, HOUR0 + MINUTE)
    assert 1_000 < sum(it.alerts for it in alerts.storms.volumes(HOUR0, HOUR0 + HOUR))


def test_a_count_that_takes_longer_than_a_lease_is_kept(alerts):
    """The lease is held on to from hour to hour: else each of two would lose what it counted to the other."""
    leases, moments = Leases(alerts.fleet.database), [HOUR0]

    def hold():
        moments.append(Instant(moments[-1] + 50 * SECOND))  # so long an hour's count takes
        assert leases.take("storms", "another", moments[-1], MINUTE) is None
        return leases.take("storms", "one", moments[-1], MINUTE)

    alerts.fleet.devices(range(1))
    alerts.raise_(0, HOUR0 - 5 * HOUR, weight=500)
    assert leases.take("storms", "one", HOUR0, MINUTE) is not None
    assert 1 <= alerts.storms.watch(hold, HOUR0)
    assert moments[-1] > HOUR0 + 2 * MINUTE
