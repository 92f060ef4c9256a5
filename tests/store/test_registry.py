"""The registry in both databases: what is put in comes out, what moves moves, verdicts count every Device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, select, text

from lamplighter.campaign import Fact
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Hub,
    Part,
    Procedure,
    Release,
    Verdict,
    bucket,
)
from lamplighter.registry.arrays import Devices, buckets
from lamplighter.store import schema as s
from lamplighter.store.database import Database
from lamplighter.store.registry import Registry, note_versions
from tests.store import campaigning
from tests.store.query_plans import analyse, explained

NOW = Instant(1_900_000_000_000_000)
OLD, NEW, OTHER = FirmwareVersion(1), FirmwareVersion(2), FirmwareVersion(3)
PPMID = Cohort(
    DeviceType.PPMID, 0x10D7, 0x0001, 0x0201, OLD, DeviceStatus.COMMISSIONED, "4.2", Part.BOTH, "", "North"
)
RELEASE = Release(
    Procedure.ONE_STEP, 0x10D7, NEW, ImageHash(bytes(32)), 0x0200, 0x02FF, b"image", frozenset()
)
LISTED = CplEntry(0x10D7, 0x0001, 0x0201, NEW, ImageHash(bytes(32)), CplStatus.ACTIVE)
HUB = Eui64.of(0xFFFF_FFFF_FFFF_FF00)


@pytest.fixture
def database(database_url):
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def registry(database):
    return Registry(database)


def device(number: int, cohort: Cohort = PPMID, hub: Eui64 = HUB) -> Device:
    return Device(Eui64.of(number), hub, cohort)


def note(database: Database, *versions: tuple[Eui64, FirmwareVersion]) -> int:
    with database.writing() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE said (device BIGINT, version BIGINT)"))
        if versions:
            connection.execute(
                text("INSERT INTO said VALUES (:device, :version)"),
                [{"device": int(eui) - (1 << 63), "version": version.number} for eui, version in versions],
            )
        moved = note_versions(database, connection, "said")
        connection.execute(text("DROP TABLE said"))
    return moved


EUIS = st.integers(0, 2**64 - 1).map(Eui64.of)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
COHORTS = st.builds(
    Cohort,
    st.sampled_from(DeviceType),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF).map(FirmwareVersion),
    st.sampled_from(DeviceStatus),
    WORDS,
    st.sampled_from(Part),
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    st.none() | st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.builds(Device, EUIS, EUIS, COHORTS), max_size=8))
def test_what_is_put_in_comes_out(registry, devices):
    """Any Devices, the extreme identifiers among them, come back as they went in; the last row counts."""
    registry.put_devices(devices)
    for eui, expected in {it.eui: it for it in devices}.items():
        assert expected == registry.device(eui)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_buckets_of_many_are_the_buckets_of_each(numbers):
    """The array arithmetic is that of `registry.bucket`, on all 64 bits."""
    assert [bucket(Eui64.of(n)) for n in numbers] == buckets(np.array(numbers, np.uint64)).tolist()


def test_importing_twice_is_importing_once(registry, database):
    """The same Devices again change no row, and make no cohort."""
    devices = [device(n, replace(PPMID, firmware=FirmwareVersion(n % 3))) for n in range(50)]
    registry.put_devices(devices)
    before = _rows(database)
    registry.put_devices(reversed(devices))
    assert before == _rows(database)


def _rows(database):
    with database.reading() as connection:
        return [
            connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in (s.device, s.cohort, s.hub)
        ]


def test_the_bucket_is_stored(registry, database):
    """The stored bucket is the one that campaigns compute with."""
    registry.put_devices([device(77)])
    with database.reading() as connection:
        assert bucket(Eui64.of(77)) == connection.execute(select(s.device.c.bucket)).scalar()


def test_a_device_that_is_not_known_is_none(registry):
    """Neither Device nor hub is made up."""
    assert (None, None) == (registry.device(HUB), registry.hub(HUB))


def test_what_a_source_does_not_tell_stays(registry):
    """Fields in `keep` stay for Devices that are known, and are taken for new ones."""
    known = replace(PPMID, tag="pilot", part=Part.IMPORT, firmware=OTHER)
    registry.put_devices([device(1, known)])
    told = replace(PPMID, tag="", part=Part.BOTH, firmware=NEW)
    registry.put_devices([device(1, told), device(2, told)], keep={"tag", "part"})
    assert replace(known, firmware=NEW) == registry.device(Eui64.of(1)).cohort
    assert told == registry.device(Eui64.of(2)).cohort


@pytest.mark.parametrize("hub_first", [True, False])
def test_devices_stand_behind_their_hubs(registry, hub_first):
    """Whichever comes first, the Device's cohort has what the hub's row tells, and keeps the rest."""
    hub = Hub(HUB, "HUB-1", "0102", "", capable=False)
    steps = [lambda: registry.put_hubs([hub]), lambda: registry.put_devices([device(1)])]
    for step in steps if hub_first else reversed(steps):
        step()
    expected = replace(PPMID, hub_model="HUB-1", hub_firmware="0102", region="North", hub_capable=False)
    assert expected == registry.device(Eui64.of(1)).cohort


def test_a_hub_that_tells_less_keeps_what_was_known(registry):
    """Empty values take nothing away, from the hub or from the Devices behind it; new ones replace."""
    registry.put_devices([device(1)])
    registry.put_hubs([Hub(HUB, "HUB-1", "0102", "South", capable=True)])
    registry.put_hubs([Hub(HUB, firmware="0103")])
    assert Hub(HUB, "HUB-1", "0103", "South", capable=True) == registry.hub(HUB)
    expected = replace(PPMID, hub_model="HUB-1", hub_firmware="0103", region="South", hub_capable=True)
    assert expected == registry.device(Eui64.of(1)).cohort


def test_a_version_that_a_device_reports_moves_it(registry, database):
    """Devices with another version move, to a cohort that differs in nothing else; strangers are nobody."""
    registry.put_devices([device(1), device(2), device(3, replace(PPMID, tag="pilot"))])
    said = [(Eui64.of(1), NEW), (Eui64.of(2), OLD), (Eui64.of(3), OTHER), (Eui64.of(4), NEW)]
    assert 2 == note(database, *said)
    expected = [
        replace(PPMID, firmware=NEW),
        PPMID,
        replace(PPMID, tag="pilot", firmware=OTHER),
    ]
    assert expected == [registry.device(Eui64.of(n)).cohort for n in (1, 2, 3)]
    assert 0 == note(database, *said)
    assert 0 == note(database)


def test_versions_can_be_noted_twice_in_one_transaction(registry, database):
    """The second set sees what the first has moved."""
    registry.put_devices([device(1)])
    with database.writing() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE said (device BIGINT, version BIGINT)"))
        for version in (2, 3):
            connection.execute(text("DELETE FROM said"))
            connection.execute(text(f"INSERT INTO said VALUES ({1 - (1 << 63)}, {version})"))
            assert 1 == note_versions(database, connection, "said")
        connection.execute(text("DROP TABLE said"))
    assert OTHER == registry.device(Eui64.of(1)).cohort.firmware


def test_devices_that_are_absent_have_left(registry):
    """All but those present are no longer ours; once, and the others stay."""
    ends = [0, 1, 2**63, 2**64 - 1]
    registry.put_devices([device(n) for n in ends])
    present = np.array([1, 2**63], np.uint64)
    assert (2, 0) == (registry.leave(present), registry.leave(present))
    parts = [registry.device(Eui64.of(n)).cohort.part for n in ends]
    assert [Part.NONE, Part.BOTH, Part.BOTH, Part.NONE] == parts


def test_work_is_cut_into_transactions(registry, monkeypatch):
    """What does not fit into one transaction goes into several, in importing, hubs and leaving alike."""
    monkeypatch.setattr("lamplighter.store.registry.DEVICES_AT_ONCE", 3)
    assert 10 == registry.put_devices(device(n, hub=Eui64.of(100 + n)) for n in range(10))
    assert 10 == registry.put_hubs(Hub(Eui64.of(100 + n), f"M{n}") for n in range(10))
    assert 9 == registry.leave(np.array([4], np.uint64))
    assert [f"M{n}" for n in range(10)] == [registry.device(Eui64.of(n)).cohort.hub_model for n in range(10)]


def test_the_first_load_is_like_any_other(registry, database):
    """One transaction without indexes: hubs before and after their Devices; then the indexes are back."""
    hubs = [Hub(Eui64.of(100 + n), f"M{n}") for n in range(3)]
    with registry.loading() as loading:
        assert loading is not registry
        loading.put_hubs(hubs[:1])
        loading.put_devices([device(n, hub=Eui64.of(100 + n)) for n in range(2)])
        loading.put_hubs(hubs[1:])
        loading.put_devices([device(2, hub=Eui64.of(102))])
        loading.put_cpl([LISTED])
    models = [registry.device(Eui64.of(n)).cohort.hub_model for n in range(3)]
    assert ["M0", "M1", "M2"] == models
    assert 1 == len(registry.cpl())
    assert_whole(database)


def assert_whole(database: Database) -> None:
    """The table of Devices has its indexes and keys."""
    schema = inspect(database.engine)
    found = {it["name"] for it in schema.get_indexes("device")}
    assert {str(index.name) for index in s.device.indexes} == found
    assert ["eui"] == schema.get_pk_constraint("device")["constrained_columns"]
    assert ["cohort"] == [it["referred_table"] for it in schema.get_foreign_keys("device")]
    with database.engine.connect() as connection:
        if database.is_sqlite:
            assert 2 == connection.exec_driver_sql("PRAGMA temp_store").scalar_one()  # 2: in memory


HUBS = st.builds(
    Hub,
    st.integers(100, 103).map(Eui64.of),
    st.sampled_from(["", "M1", "M2"]),
    st.sampled_from(["", "0102", "0103"]),
    st.sampled_from(["", "South"]),
    st.none() | st.booleans(),
)
TAKEN = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(
            st.builds(
                lambda n, tag: device(n, replace(PPMID, tag=tag), Eui64.of(100 + n // 2)),
                st.integers(0, 7),
                st.sampled_from(["a", "b"]),
            ),
            max_size=4,
        ),
    )
    | st.lists(HUBS, max_size=3),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(parts=TAKEN, at_once=st.sampled_from([2, 5, 1000]), known=st.lists(HUBS, max_size=2))
def test_a_first_load_ends_where_step_by_step_does(database, registry, monkeypatch, parts, at_once, known):
    """However parts follow each other and are gathered, Devices and hubs are those of one put at a time."""

    def take(into: Registry) -> None:
        for part in parts:
            if isinstance(part, tuple):
                is_region_told, devices = part
                if not is_region_told:
                    devices = [replace(it, cohort=replace(it.cohort, region="")) for it in devices]
                into.put_devices(devices, keep=frozenset() if is_region_told else {"region"})
            else:
                into.put_hubs(part)

    def stored() -> list[object]:
        found: list[object] = []
        for n in range(8):
            found += [registry.device(Eui64.of(n)), registry.hub(Eui64.of(100 + n))]
        with database.writing() as connection:
            for table in (s.device, s.hub):
                connection.execute(table.delete())
        return found

    with monkeypatch.context() as context:
        context.setattr("lamplighter.store.registry.LOADED_AT_ONCE", at_once)
        context.setattr("lamplighter.store.registry._PARTS_AT_ONCE", 3)
        registry.put_hubs(known)
        with registry.loading() as loading:
            assert loading is not registry
            take(loading)
    assert_whole(database)
    at_once_stored = stored()
    registry.put_hubs(known)
    take(registry)
    assert stored() == at_once_stored


def test_a_later_load_is_none_of_its_own(registry):
    """Where Devices are known it is the registry itself: each part is kept."""
    registry.put_devices([device(1)])
    with registry.loading() as loading:
        assert loading is registry


def test_a_first_load_that_fails_leaves_nothing(registry, database):
    """No Device, no hub, and the indexes as they were."""

    def fail():
        with registry.loading() as loading:
            loading.put_hubs([Hub(HUB, "M")])
            loading.put_devices([device(1)])
            raise UsageError("the file ends here")

    with pytest.raises(UsageError, match="ends here"):
        fail()
    assert (None, None) == (registry.device(Eui64.of(1)), registry.hub(HUB))
    assert_whole(database)


def test_what_a_device_itself_has_said_since_holds(database_url):
    """A file that was drawn before a Device reported its version does not take it back; a later one does."""
    fleet = campaigning.Fleet(database_url)
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    said_at = Instant(campaigning.START + HOUR)
    told = [campaigning.eui(n) for n in range(2)]
    fleet.hear(campaign, told[0], Fact.ACTIVATED, said_at, version=campaigning.TARGET)
    fleet.record.catch_up(None)
    assert campaigning.TARGET == fleet.registry.device(told[0]).cohort.firmware
    old = Devices.of(Device(eui, campaigning.hub(n), campaigning.PPMIDS) for n, eui in enumerate(told))
    fleet.registry.put_arrays(old, as_of=Instant(said_at - 1))
    versions = [fleet.registry.device(eui).cohort.firmware for eui in told]
    assert [campaigning.TARGET, campaigning.OLD] == versions
    fleet.registry.put_arrays(old, as_of=said_at)
    assert campaigning.OLD == fleet.registry.device(told[0]).cohort.firmware
    fleet.close()


EPOCHS, PIECES = 40, 5_000  # much evidence, of ten days an epoch


def much_evidence(fleet, pieces):
    """Evidence of other updates, so many pieces an epoch, up to START."""
    epoch = f"n / {pieces}"
    at = f"{campaigning.START} - CAST({EPOCHS} - {epoch} AS BIGINT) * {10 * DAY}"
    with fleet.database.writing() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n (n) AS"
            f" (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {EPOCHS * pieces - 1})"
            " INSERT INTO evidence (epoch, device_update, step, fact, at, message, cause, detail)"
            f" SELECT {epoch}, 1000000 + n, 16, 'ACCEPTED', {at}, 'I99', 0, '' FROM n"
        )


def said(fleet, epoch, at):
    """Every update's Device has said that it runs the new version."""
    with fleet.database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO evidence (epoch, device_update, step, fact, at, message, cause, detail, version)"
                " SELECT :epoch, id, 16, 'ACTIVATED', :at, 'N39', 0, '', :version FROM device_update"
            ),
            {"epoch": epoch, "at": at, "version": campaigning.TARGET.number},
        )


@pytest.mark.parametrize(("since", "version"), [(25 * DAY, campaigning.TARGET), (15 * DAY, campaigning.OLD)])
def test_what_a_device_said_epochs_ago_holds_against_a_file_that_is_older(database_url, since, version):
    """Not the latest epoch alone is asked, but each that may hold a word of after the file."""
    fleet = campaigning.Fleet(database_url)
    fleet.devices(range(2))
    fleet.make(fleet.start(), 2)
    much_evidence(fleet, 3)
    said(fleet, EPOCHS - 2, campaigning.START - 20 * DAY)
    old = Devices.of([Device(campaigning.eui(0), campaigning.hub(0), campaigning.PPMIDS)])
    fleet.registry.put_arrays(old, as_of=Instant(campaigning.START - since))
    assert version == fleet.registry.device(campaigning.eui(0)).cohort.firmware
    fleet.close()


def test_what_a_device_said_is_looked_up_and_not_looked_for_in_all_evidence(database_url):
    """Each answer of the DCC, and each part of an import, asks; and only the latest epochs."""
    fleet = campaigning.Fleet(database_url)
    fleet.devices(range(40))
    campaign = fleet.start()
    fleet.make(campaign, 40)
    much_evidence(fleet, PIECES)
    said(fleet, EPOCHS, campaigning.START)
    analyse(fleet.database)
    old = Devices.of([Device(campaigning.eui(0), campaigning.hub(0), campaigning.PPMIDS)])
    with (
        explained(fleet.database, "INSERT INTO heard", "evidence") as plans,
        explained(fleet.database, "SELECT MAX(looked.at)") as looks,
    ):
        fleet.registry.put_arrays(old, as_of=Instant(campaigning.START - HOUR))
    assert campaigning.TARGET == fleet.registry.device(campaigning.eui(0)).cohort.firmware
    assert (1, 2) == (len(plans), len(looks))
    for plan in (*plans, *looks):
        assert "ix_evidence_epoch" in plan
        assert not any(word in plan for word in ("Seq Scan on evidence", "SCAN evidence", "AUTOMATIC"))
    fleet.close()


def test_a_device_that_is_being_updated_is_under_way(database_url):
    """It is eligible, and taken: counted apart from those that are free."""
    fleet = campaigning.Fleet(database_url)
    fleet.devices(range(5))
    fleet.make(fleet.start(), 2)
    counts = {it.verdict: it.devices for it in fleet.registry.verdicts("R")}
    assert {Verdict.ELIGIBLE: 3, Verdict.UNDER_WAY: 2} == counts
    fleet.close()


def test_cohorts_are_counted(registry):
    """Each cohort that holds Devices, with how many; one that all have left is not there."""
    registry.put_devices([device(1), device(2), device(3, replace(PPMID, tag="pilot"))])
    registry.put_devices([device(3)])
    assert [(PPMID, 3)] == [(it.cohort, it.devices) for it in registry.cohorts()]


def test_cpl_entries_are_replaced(registry):
    """An entry for the same product and version takes the other's place."""
    withdrawn = replace(LISTED, status=CplStatus.WITHDRAWN)
    other = replace(LISTED, version=OTHER)
    assert 2 == registry.put_cpl([LISTED, other])
    registry.put_cpl([withdrawn])
    registry.put_cpl([])
    assert [withdrawn, other] == registry.cpl()
    assert [other] == registry.cpl(OTHER)


def test_a_release_comes_out_as_it_went_in(registry):
    """By name or id, its path and image with it; a list leaves the image in the database."""
    release = replace(RELEASE, path=frozenset({OLD, OTHER}))
    made = registry.add_release("summer", release)
    assert made == registry.add_release("summer", release)
    assert release == registry.release("summer") == registry.release(made)
    [listed] = registry.releases()
    assert (made, "summer", replace(release, image=b""), 5, None) == (
        listed.id, listed.name, listed.release, listed.octets, listed.withdrawn_at,
    )  # fmt: skip


def test_a_release_is_registered_under_one_name(registry):
    """A name means one image, and an image has one name."""
    registry.add_release("summer", RELEASE)
    with pytest.raises(UsageError, match=r"named 'summer' already, of version 00000002"):
        registry.add_release("summer", replace(RELEASE, version=OTHER))
    with pytest.raises(UsageError, match=r"registered already, as the release 'summer'"):
        registry.add_release("autumn", RELEASE)


def test_an_unknown_release_is_an_error_that_names_the_known(registry):
    """Whether there are none or some."""
    with pytest.raises(UsageError, match=r"no release 'winter'; none is registered"):
        registry.release("winter")
    registry.add_release("summer", RELEASE)
    with pytest.raises(UsageError, match=r"no release 9; known are 'summer'"):
        registry.release(9)


def test_a_release_is_withdrawn_once(registry):
    """The first time holds."""
    registry.add_release("summer", RELEASE)
    assert NOW == registry.withdraw_release("summer", NOW).withdrawn_at
    assert NOW == registry.withdraw_release("summer", Instant(NOW + 1)).withdrawn_at
    assert registry.release("summer").withdrawn


def test_a_release_says_what_it_cures_for_security(registry):
    """From the start or later; another reference takes its place, and it is taken back. The rest stays."""
    registry.add_release("summer", RELEASE, security="CVE-2026-1234")
    before = registry.registered("summer")
    assert ("CVE-2026-1234", RELEASE) == (before.security, before.release)
    assert "GG-7" == registry.mark_release("summer", "GG-7", NOW).security
    assert replace(before, security="GG-7") == registry.registered("summer")
    assert None is registry.mark_release("summer", None, NOW).security
    assert [None] == [it.security for it in registry.releases()]
    with pytest.raises(UsageError, match="no release 'winter'"):
        registry.mark_release("winter", "GG-7", NOW)


def test_a_release_that_is_registered_twice_has_one_mark(registry):
    """Who registers it again without a word of security changes nothing; with another reference, is told."""
    made = registry.add_release("summer", RELEASE, security="CVE-2026-1234")
    assert made == registry.add_release("summer", RELEASE)
    assert made == registry.add_release("summer", RELEASE, security="CVE-2026-1234")
    with pytest.raises(UsageError, match="'summer' is registered already: mark it with 'GG-7'"):
        registry.add_release("summer", RELEASE, security="GG-7")
    assert "CVE-2026-1234" == registry.listed("summer").security


def test_every_device_has_one_verdict(registry):
    """The counts add up to the Devices, cohort by cohort, by the verdicts of `judge`."""
    ihd = replace(PPMID, type=DeviceType.IHD)
    registry.put_devices([device(1), device(2), device(3, replace(PPMID, firmware=NEW)), device(4, ihd)])
    registry.add_release("summer", RELEASE)
    verdicts = {Verdict.NOT_ON_CPL: 2, Verdict.ALREADY_THERE: 1, Verdict.NO_SERVICE_REQUEST: 1}
    assert verdicts == {it.verdict: it.devices for it in registry.verdicts("summer")}
    registry.put_cpl([LISTED])
    only = registry.verdicts("summer", only=lambda cohort: cohort.type is DeviceType.PPMID)
    assert {Verdict.ELIGIBLE: 2, Verdict.ALREADY_THERE: 1} == {it.verdict: it.devices for it in only}


def test_a_downgrade_is_eligible_where_it_is_allowed(registry):
    """What the plan allows is asked of the registry."""
    registry.put_devices([device(1, replace(PPMID, firmware=OTHER))])
    registry.put_cpl([LISTED])
    registry.add_release("summer", RELEASE)
    assert [Verdict.DOWNGRADE] == [it.verdict for it in registry.verdicts("summer")]
    allowed = registry.verdicts("summer", allow_downgrade=True)
    assert [Verdict.ELIGIBLE] == [it.verdict for it in allowed]


def test_the_stranded_are_listed_with_the_reason(registry):
    """Each Device that waiting will not help, and no other."""
    worn = replace(PPMID, hardware=0x0100)
    behind = replace(PPMID, hub_capable=False)
    registry.put_devices([device(1), device(2, worn), device(3, behind), device(4, worn)])
    registry.put_cpl([LISTED])
    registry.add_release("summer", RELEASE)
    expected = {
        (device(2, worn), Verdict.HARDWARE_MISMATCH),
        (device(4, worn), Verdict.HARDWARE_MISMATCH),
        (device(3, behind), Verdict.HUB_NOT_CAPABLE),
    }
    listed = list(registry.stranded("summer"))
    assert (3, expected) == (len(listed), set(listed))


def test_devices_as_columns():
    """An empty set is one too, and the last row of a Device counts."""
    assert [] == list(Devices.of([]).in_order(9))
    (twice,) = Devices.of([device(2), device(1), device(2, replace(PPMID, tag="b"))]).in_order(9)
    assert ([1, 2], ["", "b"]) == (twice.euis.tolist(), [twice.cohorts[k].tag for k in twice.kinds])
