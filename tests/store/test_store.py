"""The store's promises: what commits together, what is never lost, and that migrations give the schema."""

import sqlite3
from dataclasses import replace
from itertools import permutations

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from lamplighter.campaign import Evidence, Fact, Order, State
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.registry import CplEntry, CplStatus, Device, DeviceStatus, DeviceType, Procedure, Release
from lamplighter.store import Store
from lamplighter.store.schema import metadata

PPMID = Eui64.parse("FF-DB-12-34-56-78-90-A4")  # the top bit set: the column is signed
HCALCS = Eui64.parse("00-DB-12-34-56-78-90-A6")
HUB = Eui64.parse("00-DB-12-34-56-78-90-A2")
NEW = FirmwareVersion(0xACDCACDC)
DAY_ONE = Instant(1_800_000_000_000_000)


def device(eui=PPMID, kind=DeviceType.PPMID):
    return Device(eui, kind, HUB, 0x121D, 0x1111, FirmwareVersion(1), DeviceStatus.COMMISSIONED)


def release(procedure=Procedure.ONE_STEP):
    return Release(procedure, 0x121D, NEW, ImageHash(b"\x01" * 32), 0x1111, 0x1211, b"image")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'lamplighter.db'}"


@pytest.fixture
def store(url):
    store = Store.open(url)
    yield store
    store.close()


@pytest.fixture
def update(store):
    store.put_devices([device()])
    store.enrol(store.add_release(release()), [PPMID])
    [update] = store.updates()
    return update


def test_what_is_put_in_comes_out(store):
    """Devices, CPL entries and releases, all fields."""
    entry = CplEntry(0x121D, NEW, ImageHash(b"\x01" * 32), CplStatus.ACTIVE)
    store.put_devices([device()])
    store.put_cpl_entry(entry)
    assert device() == store.device(PPMID)
    assert entry == store.cpl_entry(0x121D, NEW)
    assert release() == store.release(store.add_release(release()))


def test_reimport_updates(store):
    """The second word on a Device or an entry of the CPL replaces the first."""
    entry = CplEntry(0x121D, NEW, ImageHash(b"\x01" * 32), CplStatus.ACTIVE)
    withdrawn = CplEntry(0x121D, NEW, ImageHash(b"\x02" * 32), CplStatus.WITHDRAWN)
    moved = Device(PPMID, DeviceType.PPMID, HCALCS, 1, 2, FirmwareVersion(3), DeviceStatus.SUSPENDED)
    store.put_devices([device()])
    store.put_devices([moved])
    store.put_cpl_entry(entry)
    store.put_cpl_entry(withdrawn)
    assert (moved, withdrawn) == (store.device(PPMID), store.cpl_entry(0x121D, NEW))


def test_unknown_things_are_none_or_named(store):
    """A Device or entry that is not known is None; a release asked for by number is an error."""
    assert (store.device(PPMID), store.cpl_entry(1, NEW)) == (None, None)
    with pytest.raises(UsageError, match="no release 7"):
        store.release(7)


def test_enrolling_twice_changes_nothing(store, update):
    """A Device is brought to a release once."""
    store.enrol(update.release, [PPMID])
    assert [update] == store.updates()


def test_an_open_request_keeps_its_devices_from_being_ordered_again(store, update):
    """Between order and answer no second order can be due."""
    counter = store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], DAY_ONE)
    assert [] == store.idle_updates()
    assert [(counter, {PPMID: update.id})] == [(r.counter, r.devices) for r in store.open_requests()]
    store.close_request(counter, "I99", {}, DAY_ONE)
    assert ([update], []) == (store.idle_updates(), store.open_requests())


def test_two_orders_at_once_for_one_update_become_one(store, update):
    """Two loops that saw the same idle update: the second finds it taken."""
    first = store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], DAY_ONE)
    assert store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], DAY_ONE) is None
    assert [first] == [request.counter for request in store.open_requests()]


def test_an_attempt_and_a_signed_command_are_remembered(store, update):
    """What a crash between two sends must not forget; the first attempt is the one that counts."""
    counter = store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], DAY_ONE)
    assert (None, None) == (store.open_requests()[0].attempted_at, store.open_requests()[0].command)
    store.note_attempt(counter, DAY_ONE)
    store.note_attempt(counter, Instant(DAY_ONE + 5))
    store.keep_command(counter, b"signed")
    assert (DAY_ONE, b"signed") == (store.open_requests()[0].attempted_at, store.open_requests()[0].command)


def test_evidence_that_differs_in_anything_is_kept(store, update):
    """Two N39 of the same second, the second with the proof: both stand."""
    other = FirmwareVersion(1)
    for number, version in enumerate((other, NEW)):
        store.take_in(b"alert %d" % number, DAY_ONE)
        item = Evidence(Fact.ACTIVATED, DAY_ONE, "N39", version=version)
        store.apply(store.waiting()[0], {update.id: [item]}, DAY_ONE)
    assert (2, State.PROVEN) == (len(store.timeline(PPMID)), store.updates()[0].state)


def test_a_batch_of_thousands_is_applied_in_one_go(store):
    """More Devices than one statement binds: every state is derived."""
    devices = [Eui64.of(5000 + n) for n in range(1200)]
    store.put_devices([device(eui) for eui in devices])
    number = store.add_release(release())
    store.enrol(number, devices)
    counter = store.commit_order(Order.UPDATE_PPMID_FIRMWARE, number, store.idle_updates(), DAY_ONE)
    evidence = {u.id: [Evidence(Fact.ACCEPTED, DAY_ONE, "I99")] for u in store.updates()}
    store.close_request(counter, "I99", evidence, DAY_ONE)
    assert {State.ACCEPTED} == {update.state for update in store.updates()}
    assert len(devices) == len(store.open_updates_of(devices))


def test_an_image_that_no_request_carries_is_no_release(store):
    """One octet above the schema's limit is refused at the door, before it can hold up the outbox."""
    with pytest.raises(UsageError, match="10240001"):
        store.add_release(replace(release(), image=bytes(10_240_001)))


@pytest.mark.parametrize("url", ["", "nonsense", "mongodb://x/y"])
def test_a_wrong_address_is_our_own_error(url):
    """A database that cannot be is named, not raised as somebody else's exception."""
    with pytest.raises(UsageError, match="address of a database"):
        Store.open(url)


def test_a_clock_put_back_never_repeats_a_counter(store, update):
    """Counters go up whatever the clock says: the DCC would refuse a repeated one as a replay."""
    clock = [DAY_ONE, DAY_ONE, Instant(DAY_ONE - 10**12), Instant(0), Instant(DAY_ONE + 10**9)]
    counters = []
    for now in clock:
        counters.append(store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], now))
        store.close_request(counters[-1], "I99", {}, now)
    assert sorted(set(counters)) == counters


def test_a_message_delivered_twice_counts_once(store, update):
    """The DCC delivers at least once."""
    assert [True, False] == [store.take_in(b"<alert/>", DAY_ONE) for _ in range(2)]
    [message] = store.waiting()
    store.apply(message, {update.id: [Evidence(Fact.AT_HUB, DAY_ONE, "N60")]}, DAY_ONE)
    assert [] == store.waiting()
    assert [(Fact.AT_HUB, b"<alert/>")] == [(e.evidence.fact, e.source) for e in store.timeline(PPMID)]


def test_a_dead_letter_keeps_its_reason(store):
    """A message that cannot be applied is set aside, not lost."""
    store.take_in(b"<odd/>", DAY_ONE)
    [message] = store.waiting()
    store.bury(message, "unknown Device")
    assert ([], [(message, "unknown Device")]) == (store.waiting(), store.dead_letters())


def test_any_order_of_evidence_gives_the_same_state(store):
    """Every permutation of a whole update, stored message by message, ends proven."""
    evidence = [
        Evidence(Fact.ACCEPTED, DAY_ONE, "I99"),
        Evidence(Fact.AT_HUB, Instant(DAY_ONE + 1), "N60"),
        Evidence(Fact.ON_DEVICE, Instant(DAY_ONE + 2), "N62"),
        Evidence(Fact.ACTIVATED, Instant(DAY_ONE + 3), "N39", version=NEW),
    ]
    for n, order in enumerate(permutations(evidence)):
        eui = Eui64.of(1000 + n)
        store.put_devices([device(eui)])
        store.enrol(store.add_release(release()), [eui])
        update = store.updates()[-1]
        for item in order:
            store.take_in(f"{n} {item.message}".encode(), DAY_ONE)
            store.apply(store.waiting()[0], {update.id: [item]}, DAY_ONE)
        assert State.PROVEN is store.updates()[-1].state
        assert NEW == store.device(eui).firmware


def test_two_connections_see_one_truth(url, store, update):
    """A second process on the same file sees what the first committed."""
    other = Store.open(url)
    store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], DAY_ONE)
    assert [] == other.idle_updates()
    other.close()


def test_migrations_give_exactly_the_schema(tmp_path):
    """A database that came through all migrations equals one made from the tables at once."""

    def described(engine):
        looked = inspect(engine)
        return {
            name: (
                [{**c, "type": str(c["type"])} for c in looked.get_columns(name)],
                looked.get_pk_constraint(name),
                sorted(map(str, looked.get_foreign_keys(name))),
                sorted(map(str, looked.get_unique_constraints(name))),
                sorted(str(c["sqltext"]) for c in looked.get_check_constraints(name)),
                sorted(map(str, looked.get_indexes(name))),
            )
            for name in looked.get_table_names()
            if name != "alembic_version"
        }

    made = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    metadata.create_all(made)
    migrated_url = f"sqlite:///{tmp_path / 'migrated.db'}"
    Store.open(migrated_url).close()
    migrated = create_engine(migrated_url)
    assert described(made) == described(migrated)
    made.dispose()
    migrated.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE device_update SET state = 'nearly'",
        "UPDATE device SET type = 'TOASTER'",
        "INSERT INTO evidence (device_update, fact, at, message, detail) VALUES (1, 'HOPED', 0, '', '')",
        "INSERT INTO request (counter, kind, release, created_at, answered_at) VALUES (1, '11.4', 1, 0, 0)",
        "INSERT INTO evidence (device_update, fact, at, message, detail) VALUES (99, 'AT_HUB', 0, '', '')",
    ],
)
@pytest.mark.usefixtures("update")
def test_the_schema_refuses_what_cannot_be(store, statement):
    """Invariants hold even for someone at a database prompt of our own connection."""
    with pytest.raises(IntegrityError), store._engine.begin() as connection:
        connection.execute(text(statement))


def test_every_commit_reaches_the_disk(store):
    """WAL with synchronous FULL: an acknowledged message survives a power cut."""
    with store._engine.connect() as connection:
        assert (2, "wal") == (
            connection.execute(text("PRAGMA synchronous")).scalar_one(),
            connection.execute(text("PRAGMA journal_mode")).scalar_one(),
        )


def test_a_failed_transaction_leaves_nothing(store, update):
    """Applying a message to an update that does not exist changes neither inbox nor evidence."""
    store.take_in(b"<alert/>", DAY_ONE)
    [message] = store.waiting()
    with pytest.raises(IntegrityError):
        store.apply(message, {update.id + 99: [Evidence(Fact.AT_HUB, DAY_ONE, "N60")]}, DAY_ONE)
    assert ([message], []) == (store.waiting(), store.timeline(PPMID))


def test_a_foreign_file_is_no_database(tmp_path):
    """A file that is no database is not touched, and the error says so."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear operations team," * 100)
    with pytest.raises(UsageError, match="not a database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_text().startswith("Dear operations team")
    assert sqlite3.sqlite_version_info > (3, 35)
