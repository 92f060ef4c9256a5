"""The record of updates: evidence in sets of rows gives what `campaign.state` says one by one."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from itertools import count, product

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from lamplighter.campaign import Cause, Evidence, Fact, Progress, Stage, fold
from lamplighter.campaign.state import FIRST_STEP, FLYING, IMPLIES, READY, SUBS, implied
from lamplighter.kit import Eui64, FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.registry import Cohort, Device, DeviceStatus, DeviceType
from lamplighter.store import Database, Fence, LeaseLostError, record, registry
from lamplighter.store import schema as s
from lamplighter.store.record import Record, TimelineEntry, append_items
from lamplighter.store.registry import Registry

OLD, TARGET, OTHER = FirmwareVersion(0x10), FirmwareVersion(0x20), FirmwareVersion(0x30)
HASH, OTHER_HASH = bytes(32), bytes(31) + b"\1"
ORDERED_AT, LATER = Instant(1_000_000), Instant(2_000_000)
FENCE = Fence("inbox", "tester", 1)


def eui(number: int) -> Eui64:
    """Device `number`; some have their highest bit set, which no signed column holds as it is."""
    return Eui64.of((number % 2) << 63 | 0xDB_0000_0000_0000 + number)


class Estate:
    """A database with Devices, one release, and one campaign of it in which all of them are ordered."""

    def __init__(self, database: Database, devices: int = 3, cells: int = 2) -> None:
        self.database = database
        self.record = Record(database)
        self.messages = count(1)
        cohort = Cohort(DeviceType.PPMID, 0x1234, 1, 1, OLD, DeviceStatus.COMMISSIONED)
        self.registry = Registry(database)
        self.registry.put_devices(Device(eui(it), eui(1000 + it), cohort) for it in range(devices))
        with database.writing() as connection:
            connection.execute(insert(s.lease).values(name="inbox", owner="tester", fence=1, until=2**60))
            connection.execute(
                insert(s.release).values(
                    id=1, name="R", procedure="11.4", manufacturer=0x1234, version=TARGET, hash=HASH,
                    minimum_hardware=0, maximum_hardware=0xFFFF, path="", image=b"",
                )
            )  # fmt: skip
            self.campaign(connection, 1)
            connection.execute(
                insert(s.stratum).values(id=1, campaign=1, name="all", wave=0, wave_opened_at=0)
            )
            for cell in range(1, cells + 1):
                connection.execute(
                    insert(s.cell).values(id=cell, stratum=1, wave=0, brood=cell, region="", hub_model="")
                )
            self.batch(connection, 1, FIRST_STEP, ORDERED_AT)
            self.updates = [
                self.update_of(connection, it, campaign=1, batch=1, cell=1 + it % cells)
                for it in range(devices)
            ]

    def campaign(self, connection, number: int) -> None:
        connection.execute(
            insert(s.campaign).values(
                id=number, name=f"C{number}", release=1, plan="", digest=bytes(32), salt=0, status="running",
                created_by="a", created_at=0,
            )
        )  # fmt: skip

    def batch(self, connection, number: int, step: int, at: int, *, campaign: int = 1) -> None:
        connection.execute(
            insert(s.batch).values(
                id=number, campaign=campaign, kind="11.4", step=step, devices=1, created_at=at, deadline=0
            )
        )

    def update_of(self, connection, device: int, *, campaign: int, batch: int, cell: int) -> int:
        return connection.execute(
            insert(s.device_update)
            .values(
                campaign=campaign, device=eui(device), hub=eui(1000 + device), cell=cell, batch=batch,
                progress=0, since=0, busy=False,
            )
            .returning(s.device_update.c.id)
        ).scalar_one()  # fmt: skip

    def append(self, *items: tuple[int, int, Evidence], now: int = 7) -> int:
        """(index of the update, step, evidence)..."""
        with self.database.writing() as connection:
            rows = [(self.updates[index], step, item, None) for index, step, item in items]
            return append_items(self.database, connection, rows, Instant(now))

    def order(self, *devices: int, step: int = FIRST_STEP) -> None:
        self.append(*((it, step, Evidence(Fact.ORDERED, ORDERED_AT, "order")) for it in devices))

    def deliver(self, *statements: dict, code: str = "N62") -> int:
        """A message from the DCC with these statements, as the receive service leaves it; its inbox id."""
        octets = f"message {next(self.messages)}".encode()
        with self.database.writing() as connection:
            inbox = connection.execute(
                insert(s.inbox)
                .values(
                    digest=hashlib.sha256(octets).digest(), octets=octets, received_at=3, code=code, weight=1
                )
                .returning(s.inbox.c.id)
            ).scalar_one()
            whole = {"at": LATER, "message": code, "cause": 0, "detail": "", "fact": "ON_DEVICE"}
            for statement in statements:
                connection.execute(insert(s.statement).values(**(whole | {"inbox": inbox} | statement)))
        return inbox

    def apply(self, now: int = 8, **given) -> int:
        return self.record.apply(FENCE, Instant(now), **given)

    def rows(self, query):
        with self.database.reading() as connection:
            return connection.execute(query).all()

    def row(self, update_id: int):
        (found,) = self.rows(select(s.device_update).where(s.device_update.c.id == update_id))
        return found

    def tallies(self) -> dict[tuple[int, int, bool], int]:
        rows = self.rows(select(s.tally).where(s.tally.c.devices != 0))
        return {(row.cell, row.stage, row.again): row.devices for row in rows}

    def progress(self, index: int) -> Progress:
        column = s.device_update.c
        return Progress(self.rows(select(column.progress).where(column.id == self.updates[index]))[0][0])

    def dead_letters(self) -> dict[int, str]:
        return {row.inbox: row.reason for row in self.rows(select(s.dead_letter))}

    def waiting(self) -> int:
        return self.rows(select(func.count()).select_from(s.statement))[0][0]


@pytest.fixture
def database(database_url):
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def estate(database) -> Estate:
    return Estate(database)


def said(fact: Fact, at: int = LATER, **given) -> Evidence:
    return Evidence(fact, Instant(at), given.pop("message", "N62"), **given)


# --- append

steps = st.sampled_from([FIRST_STEP, FIRST_STEP + 1, 2 * SUBS, 2 * SUBS + 15, 15 * SUBS + 15])
pieces = st.builds(
    Evidence,
    st.sampled_from(Fact),
    st.integers(0, 2**53).map(Instant),
    st.sampled_from(["I99", "N60", "N62", "N39", "8F72", "CS06"]),
    st.sampled_from(Cause),
    st.sampled_from(["", "E110401", "it's: 100% \\ \t\n \N{SNOWMAN}"]),
    st.none() | st.sampled_from([OLD, TARGET, OTHER]),
)
portions = st.lists(st.lists(st.tuples(st.integers(0, 3), steps, pieces), max_size=8), max_size=6)


@settings(
    max_examples=40,
    deadline=None,  # a database on a busy machine
    phases=set(Phase) - {Phase.shrink},  # the examples share a database: the first that fails is the one
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has Devices of its own
)
@given(portions)
def test_any_evidence_in_any_portions_is_what_the_fold_says(many, given_portions):
    """Random evidence, repeated, in random order and portions: SQL and Python agree at every moment."""
    with many.database.writing() as connection:
        first = len(many.updates)
        many.updates += [
            many.update_of(connection, it, campaign=1, batch=1, cell=1 + it % 2)
            for it in range(first, first + 4)
        ]
    told: dict[int, list] = {it: [] for it in range(first, first + 4)}
    for portion in given_portions:
        items = [(first + index, step, item) for index, step, item in portion]
        assert len(items) == many.append(*items)
        for index, step, item in items:
            told[index].append((step, item))
        assert {it: fold(items, TARGET) for it, items in told.items()} == {
            it: many.progress(it) for it in told
        }
    assert [] == many.record.recount(1)


@pytest.fixture
def many(database) -> Estate:
    return Estate(database, devices=0)


def test_the_stage_decides_who_has_to_move(estate):
    """In flight the home is busy, where we have to move it is ready, at the end neither: in every stage."""
    found, expected = {}, {}
    for at, (fact, stage) in enumerate(sorted(IMPLIES.items(), key=lambda it: it[1])):
        with estate.database.writing() as connection:
            update_id = estate.update_of(connection, 100 + at, campaign=1, batch=1, cell=1)
            append_items(estate.database, connection, [(update_id, FIRST_STEP, said(fact), None)], Instant(7))
        row = estate.row(update_id)
        found[fact] = (row.busy, row.ready_at, row.since)
        expected[fact] = (stage in FLYING, 7 if stage in READY else None, 7)
    assert expected == found


def test_every_fact_with_every_kind_of_version_means_the_same_in_sql(estate):
    """One update for each: the database computes what `state.implied` says, number for number."""
    kinds = list(product(Fact, (None, OLD, TARGET, OTHER), (Cause.NONE, max(Cause)), (FIRST_STEP, 255)))
    items = [(step, said(fact, cause=cause, version=version)) for fact, version, cause, step in kinds]
    with estate.database.writing() as connection:
        ids = [
            estate.update_of(connection, 100 + at, campaign=1, batch=1, cell=1 + at % 2)
            for at in range(len(kinds))
        ]
        rows = [(update_id, step, item, None) for update_id, (step, item) in zip(ids, items, strict=True)]
        append_items(estate.database, connection, rows, Instant(7))
    found = dict(estate.rows(select(s.device_update.c.id, s.device_update.c.progress)))
    assert [implied(step, item, TARGET).number for step, item in items] == [found[it] for it in ids]
    assert [] == estate.record.recount(1)


def test_a_retry_makes_the_home_busy_again(estate):
    """Failed, then ordered anew: ready no more, busy again, counted as a later attempt."""
    estate.append((0, FIRST_STEP, said(Fact.REFUSED, cause=Cause.OTHER_REQUEST)))
    assert (False, 7) == (estate.row(estate.updates[0]).busy, estate.row(estate.updates[0]).ready_at)
    estate.append((0, 2 * SUBS, said(Fact.ORDERED)))
    assert (True, None) == (estate.row(estate.updates[0]).busy, estate.row(estate.updates[0]).ready_at)
    assert {(1, int(Stage.QUEUED), True): 1} == estate.tallies()


def test_evidence_that_changes_nothing_leaves_the_time_of_the_last_change(estate):
    """A late repetition does not put off when a Device is looked at next."""
    estate.append((0, FIRST_STEP, said(Fact.HUB_FAILED, cause=Cause.DISTRIBUTION)), now=7)
    estate.append((0, FIRST_STEP, said(Fact.HUB_FAILED, cause=Cause.DISTRIBUTION)), now=9)
    estate.append((0, FIRST_STEP, said(Fact.AT_HUB)), now=10)
    row = estate.row(estate.updates[0])
    assert (7, 7) == (row.since, row.ready_at)
    assert 3 == len(estate.rows(select(s.evidence)))


def test_tallies_count_each_update_once(estate):
    """Two updates of one cell and one of another, moved in one go and by several pieces each."""
    estate.order(0, 1, 2)
    estate.append(
        (0, FIRST_STEP, said(Fact.SUBMITTED)),
        (0, FIRST_STEP, said(Fact.AT_HUB)),
        (2, FIRST_STEP, said(Fact.AT_HUB)),
        (1, FIRST_STEP, said(Fact.REFUSED)),
    )
    at_hub, refused = int(Stage.AT_HUB), int(Stage.REFUSED)
    assert {(1, at_hub, False): 2, (2, refused, False): 1} == estate.tallies()
    assert [] == estate.record.recount(1)


def test_evidence_of_no_update_is_refused_and_nothing_is_kept(estate):
    """A number that is no update's must not vanish silently."""
    estate.updates.append(999)
    with pytest.raises((UsageError, IntegrityError), match=r"1 of 2 pieces|(?i:foreign key)"):
        estate.append((0, FIRST_STEP, said(Fact.ORDERED)), (3, FIRST_STEP, said(Fact.ORDERED)))
    assert [] == estate.rows(select(s.evidence))
    assert {} == estate.tallies()


def test_nothing_to_append_changes_nothing(estate):
    """An empty set is no error."""
    assert 0 == estate.append()


def test_two_portions_in_one_transaction(estate):
    """What was appended is not appended again by the next portion."""
    with estate.database.writing() as connection:
        for fact in (Fact.ORDERED, Fact.SUBMITTED):
            items = [(estate.updates[0], FIRST_STEP, said(fact), None)]
            assert 1 == append_items(estate.database, connection, items, Instant(7))
    assert 2 == len(estate.rows(select(s.evidence)))


def test_a_transaction_that_fails_leaves_nothing_behind(estate):
    """Evidence, state and tallies stand or fall together, and the next transaction starts clean."""
    items = [(estate.updates[0], FIRST_STEP, said(Fact.ORDERED), None)]
    with estate.database.engine.connect() as connection:
        append_items(estate.database, connection, items, Instant(7))
        connection.rollback()
    assert ([], {}, 0) == (
        estate.rows(select(s.evidence)), estate.tallies(), estate.progress(0).number
    )  # fmt: skip
    estate.order(0)
    assert [] == estate.record.recount(1)


# --- the cohort that a Device is in


def firmware(estate, index) -> FirmwareVersion:
    """What the registry says, when it has caught up."""
    estate.record.catch_up(FENCE)
    return estate.registry.device(eui(index)).cohort.firmware


def test_a_device_that_reports_its_version_moves_to_the_cohort_that_has_it(estate):
    """The registry believes the Device, whether that proves the update or not."""
    estate.append(
        (0, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)),
        (1, FIRST_STEP, said(Fact.VERSION_READ, version=OTHER)),
        (2, FIRST_STEP, said(Fact.ON_DEVICE)),
    )
    assert [TARGET, OTHER, OLD] == [firmware(estate, it) for it in range(3)]


def test_the_last_word_on_the_version_counts(estate):
    """Of several versions the one that was said last is what runs, in whatever portions they come."""
    words = [(30, OTHER), (20, OLD)]
    estate.append(*((0, FIRST_STEP, said(Fact.VERSION_READ, at, version=it)) for at, it in words))
    for at, version in words:
        estate.append((1, FIRST_STEP, said(Fact.VERSION_READ, at, version=version)))
    for at, version in reversed(words):
        estate.append((2, FIRST_STEP, said(Fact.VERSION_READ, at, version=version)))
    assert [OTHER] * 3 == [firmware(estate, it) for it in range(3)]


@pytest.mark.parametrize("at_once", [False, True])
def test_threat_a_delayed_old_version_does_not_put_a_proven_device_up_for_another_update(estate, at_once):
    """After the proof comes an answer from before it: the Device still counts as running the release.

    Whether the registry has caught up after each portion, or only at the end.
    """
    for portion, (at, fact, version, expected) in enumerate(
        [
            (50, Fact.ACTIVATED, TARGET, TARGET),
            (40, Fact.VERSION_READ, OLD, TARGET),
            (80, Fact.VERSION_READ, OTHER, OTHER),  # what it says later is believed
            (45, Fact.VERSION_READ, OLD, OTHER),
        ]
    ):
        estate.append((0, FIRST_STEP, said(fact, at, version=version)), now=60 + portion)
        assert at_once or expected == firmware(estate, 0)
    assert OTHER == firmware(estate, 0)


def test_what_a_device_reports_waits_until_the_registry_has_noted_it(estate):
    """Written down in the transaction that proves, noted in the next, and then taken away: once."""
    estate.deliver({"device": eui(0), "fact": "ACTIVATED", "version": TARGET}, code="N39")
    estate.apply()
    assert (Stage.PROVEN, OLD) == (estate.progress(0).stage, estate.registry.device(eui(0)).cohort.firmware)
    assert [(eui(0), TARGET, LATER)] == estate.rows(select(s.reported))
    assert [1, 0] == [estate.record.catch_up(FENCE) for _ in range(2)]
    assert TARGET == estate.registry.device(eui(0)).cohort.firmware
    assert [] == estate.rows(select(s.reported))


def test_a_failure_while_noting_keeps_what_was_reported(estate, monkeypatch):
    """Full disk, lost connection: the report waits as before, and is noted the next time."""

    def fail(*_args):
        raise OSError("disk full")

    estate.append((0, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)))
    monkeypatch.setattr(registry, "note_versions", fail)
    with pytest.raises(OSError, match="disk full"):
        estate.record.catch_up(FENCE)
    monkeypatch.undo()
    assert 1 == len(estate.rows(select(s.reported)))
    assert TARGET == firmware(estate, 0)


def test_threat_a_worker_whose_lease_has_fallen_notes_nothing(estate):
    """As it applies nothing."""
    estate.append((0, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)))
    with pytest.raises(LeaseLostError):
        estate.record.catch_up(replace(FENCE, number=2))
    assert OLD == estate.registry.device(eui(0)).cohort.firmware


def test_what_an_inventory_says_is_not_overruled_by_what_was_reported_before(estate):
    """A report that waits is noted before Devices are put, so that what comes later holds."""
    estate.append((0, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)))
    now = replace(estate.registry.device(eui(0)).cohort, firmware=OTHER)
    estate.registry.put_devices([Device(eui(0), eui(1000), now)])
    assert OTHER == firmware(estate, 0)


def test_the_report_of_a_device_that_is_not_in_the_registry_is_passed_over(estate):
    """It does not stay for ever, nor hold up the others."""
    with estate.database.writing() as connection:
        update_id = estate.update_of(connection, 77, campaign=1, batch=1, cell=1)
        items = [(update_id, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET), None)]
        append_items(estate.database, connection, items, Instant(7))
    estate.append((0, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)))
    assert 2 == estate.record.catch_up(FENCE)
    assert (TARGET, None) == (firmware(estate, 0), estate.registry.device(eui(77)))
    assert [] == estate.rows(select(s.reported))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_is_reported_while_the_registry_catches_up_is_not_lost(estate):
    """One note under way, one report that commits meanwhile: the next note has it."""
    estate.append((0, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)))
    with estate.database.writing() as connection:
        assert 1 == registry.catch_up(estate.database, connection)
        estate.append((1, FIRST_STEP, said(Fact.ACTIVATED, version=TARGET)))
    assert 1 == len(estate.rows(select(s.reported)))
    assert [TARGET, TARGET, OLD] == [firmware(estate, it) for it in range(3)]


# --- which update a statement belongs to


@pytest.fixture
def ordered(estate) -> Estate:
    """All Devices ordered at `ORDERED_AT` in batch 1, by request 11."""
    estate.order(0, 1, 2)
    with estate.database.writing() as connection:
        connection.execute(insert(s.request).values(counter=11, batch=1))
    return estate


def evidence_of(estate, index) -> list[tuple[int, str]]:
    """Steps and facts of an update, without the orders."""
    column = s.evidence.c
    query = select(column.step, column.fact).where(column.device_update == estate.updates[index])
    return [tuple(row) for row in estate.rows(query.order_by(column.id)) if row.fact != "ORDERED"]


def again(estate, *, at: int, step: int = 2 * SUBS, index: int = 0) -> None:
    """A second order for a Device, in batch 2, by request 22."""
    with estate.database.writing() as connection:
        estate.batch(connection, 2, step, at)
        connection.execute(insert(s.request).values(counter=22, batch=2))
        record.fresh(estate.database, connection)
        mine = s.device_update.c.id == estate.updates[index]
        connection.execute(update(s.device_update).where(mine).values(batch=2))
        items = [(estate.updates[index], step, Evidence(Fact.ORDERED, Instant(at), "order"), None)]
        append_items(estate.database, connection, items, Instant(at))


def test_a_message_that_names_the_image_belongs_to_the_step_that_was_under_way(ordered):
    """N62 names Device and version, nothing else."""
    ordered.deliver({"device": eui(0), "about_version": TARGET})
    ordered.deliver({"device": eui(1), "about_hash": HASH, "fact": "IMAGE_VERIFIED"}, code="8F72")
    assert 2 == ordered.apply()
    assert [(FIRST_STEP, "ON_DEVICE")] == evidence_of(ordered, 0)
    assert [(FIRST_STEP, "IMAGE_VERIFIED")] == evidence_of(ordered, 1)
    assert ({}, 0) == (ordered.dead_letters(), ordered.waiting())
    assert [] == ordered.record.recount(1)


def test_what_was_said_before_the_order_belongs_to_the_step_before(ordered):
    """A message from before the second attempt does not speak for it."""
    again(ordered, at=3_000_000)
    ordered.deliver({"device": eui(0), "about_version": TARGET, "at": 2_999_999})
    ordered.apply()
    assert [(2 * SUBS - 1, "ON_DEVICE")] == evidence_of(ordered, 0)
    assert Progress.of(2 * SUBS, Stage.QUEUED) == ordered.progress(0)
    ordered.deliver({"device": eui(0), "about_version": TARGET, "at": 3_000_000})
    ordered.apply()
    assert Progress.of(2 * SUBS, Stage.ON_DEVICE) == ordered.progress(0)


def test_a_message_that_names_our_request_belongs_to_its_step(ordered):
    """Whenever it was said: the request says which step it is about."""
    again(ordered, at=3_000_000)
    ordered.deliver({"device": eui(0), "request": 11, "at": 9_000_000, "fact": "REFUSED"}, code="E110405")
    ordered.deliver({"device": eui(0), "request": 22, "at": 0, "fact": "AT_HUB"}, code="N60")
    ordered.apply()
    assert [(FIRST_STEP, "REFUSED"), (2 * SUBS, "AT_HUB")] == sorted(evidence_of(ordered, 0))
    assert Progress.of(2 * SUBS, Stage.AT_HUB) == ordered.progress(0)


def test_the_latest_update_of_a_device_is_the_one(ordered):
    """A Device that is in its second campaign has left the first one behind."""
    with ordered.database.writing() as connection:
        ordered.campaign(connection, 2)
        ordered.batch(connection, 2, FIRST_STEP, ORDERED_AT, campaign=2)
        ordered.updates.append(ordered.update_of(connection, 0, campaign=2, batch=2, cell=1))
    ordered.order(3)
    ordered.deliver({"device": eui(0), "about_version": TARGET})
    ordered.apply()
    assert [] == evidence_of(ordered, 0)
    assert [(FIRST_STEP, "ON_DEVICE")] == evidence_of(ordered, 3)


def test_a_statement_keeps_all_its_words(ordered):
    """Cause, detail, version and source arrive in the evidence as they were stated."""
    inbox = ordered.deliver(
        {"device": eui(0), "fact": "ACTIVATION_FAILED", "cause": 16, "detail": "x: 'y'", "version": OTHER},
        code="CS06",
    )
    ordered.apply()
    (row,) = ordered.rows(select(s.evidence).where(s.evidence.c.source == inbox))
    assert ("ACTIVATION_FAILED", LATER, "CS06", Cause.HASH, "x: 'y'", OTHER) == (
        row.fact, row.at, row.message, row.cause, row.detail, row.version,
    )  # fmt: skip


def test_the_devices_own_version_counts_whatever_else_the_message_names(ordered):
    """A proof is a proof: with a request or an image of another's, and from before the order."""
    ordered.deliver({"device": eui(0), "fact": "ACTIVATED", "version": TARGET, "request": 99}, code="N39")
    ordered.deliver({"device": eui(1), "fact": "ACTIVATED", "version": TARGET, "about_hash": OTHER_HASH})
    ordered.deliver({"device": eui(2), "fact": "VERSION_READ", "version": TARGET, "at": 0})
    ordered.apply()
    assert {} == ordered.dead_letters()
    assert [Stage.PROVEN] * 3 == [ordered.progress(it).stage for it in range(3)]
    assert [] == ordered.record.recount(1)


# --- dead letters

D0 = "80-DB-00-00-00-00-00-01"  # what `eui(1)` prints


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            {"device": Eui64.of(77), "about_version": TARGET},
            "N62 for 00-00-00-00-00-00-00-4D, which is not being updated",
        ),
        (
            {"device": eui(1), "about_version": OTHER},
            f"N62 for {D0}, of version 00000030, not of the image that was sent",
        ),
        (
            {"device": eui(1), "about_hash": OTHER_HASH},
            f"N62 for {D0}, of another image, not of the image that was sent",
        ),
        ({"device": eui(1), "request": 99}, f"N62 for {D0}, about request 99, which is none of ours"),
        (
            {"device": eui(1), "request": 33},
            f"N62 for {D0}, about request 33, which was not of this update",
        ),
        (
            {"device": eui(1), "request": 44},
            f"N62 for {D0}, about request 44, which was not of this update",
        ),
        (
            {"device": eui(1), "request": 11, "about_version": OTHER},
            f"N62 for {D0}, of version 00000030, not of the image that was sent",
        ),
        (
            {"device": eui(1), "request": 99, "version": OTHER},
            f"N62 for {D0}, about request 99, which is none of ours",
        ),
    ],
)
def test_what_belongs_to_no_update_is_a_dead_letter_with_its_reason(ordered, words, reason):
    """It changes nothing, is not lost, and a person is told why."""
    with ordered.database.writing() as connection:
        ordered.campaign(connection, 2)
        ordered.batch(connection, 3, FIRST_STEP, ORDERED_AT, campaign=2)
        connection.execute(insert(s.request).values(counter=33, batch=3))
        connection.execute(insert(s.request).values(counter=44, batch=1, device=eui(2)))
    inbox = ordered.deliver(words)
    assert 1 == ordered.apply()
    assert {inbox: reason} == ordered.dead_letters()
    assert (0, []) == (ordered.waiting(), evidence_of(ordered, 1))
    assert Stage.QUEUED is ordered.progress(1).stage


def test_word_that_a_device_of_no_campaign_has_left_is_no_letter(ordered):
    """The DCC tells of all Devices that leave; a stranger among those of a campaign is nobody's concern."""
    ordered.deliver({"device": Eui64.of(5), "fact": "LEFT", "cause": int(Cause.REMOVED)}, code="N8")
    ordered.deliver({"device": eui(0), "fact": "LEFT", "cause": int(Cause.REMOVED)}, code="N8")
    assert 2 == ordered.apply()
    assert ({}, 0) == (ordered.dead_letters(), ordered.waiting())
    assert (Stage.WITHDRAWN, Cause.REMOVED) == (ordered.progress(0).stage, ordered.progress(0).cause)


def test_a_message_of_many_devices_is_applied_to_those_that_it_can_be(ordered):
    """One stranger in a list does not hold up the others, and the letter says how many it is about."""
    strangers = [{"device": Eui64.of(it)} for it in (5, 6, 7)]
    inbox = ordered.deliver({"device": eui(0)}, *strangers, {"device": eui(1)})
    assert 5 == ordered.apply()
    first = "N62 for 00-00-00-00-00-00-00-05, which is not being updated"
    assert {inbox: f"{first}; and 2 more like it"} == ordered.dead_letters()
    assert [Stage.ON_DEVICE] * 2 + [Stage.QUEUED] == [ordered.progress(it).stage for it in range(3)]


def test_a_device_that_another_supplier_updates_still_says_what_it_runs(ordered):
    """N39 of one that is in no campaign: a dead letter, and the registry hears of the version."""
    words = {"device": Eui64.of(5), "fact": "ACTIVATED", "version": OTHER}
    inbox = ordered.deliver(words, {"device": Eui64.of(6)}, code="N39")
    ordered.apply()
    assert [inbox] == list(ordered.dead_letters())
    assert [(Eui64.of(5), OTHER, LATER)] == ordered.rows(select(s.reported))


def test_a_letter_of_long_ago_that_is_read_again_says_nothing_of_what_a_device_runs_today(ordered):
    """It may have been updated since, and the registry may know."""
    ordered.deliver({"device": Eui64.of(5), "fact": "ACTIVATED", "version": OTHER}, code="N39")
    ordered.apply(now=LATER + DAY)
    assert [] == ordered.rows(select(s.reported))


def test_a_replayed_letter_that_fails_again_has_its_reason_renewed(ordered):
    """The reason is that of the last try."""
    inbox = ordered.deliver({"device": Eui64.of(5)})
    with ordered.database.writing() as connection:
        connection.execute(insert(s.dead_letter).values(inbox=inbox, since=1, reason="old"))
    ordered.apply(now=9)
    (row,) = ordered.rows(select(s.dead_letter))
    assert (9, "N62 for 00-00-00-00-00-00-00-05, which is not being updated") == (row.since, row.reason)


# --- applying


def test_nothing_waits(ordered):
    """An empty inbox is no work."""
    assert 0 == ordered.apply()


def test_messages_are_applied_whole_and_oldest_first(ordered):
    """A limit inside a message takes all of that message; the next ones wait."""
    facts = [{"device": eui(0), "fact": fact} for fact in ("SUBMITTED", "ACCEPTED", "AT_HUB")]
    ordered.deliver(*facts)
    ordered.deliver({"device": eui(1)})
    ordered.deliver({"device": eui(2)})
    assert 3 == ordered.apply(limit=1)
    assert 2 == ordered.waiting()
    assert 1 == ordered.apply(limit=1)
    assert [Stage.AT_HUB, Stage.ON_DEVICE, Stage.QUEUED] == [ordered.progress(it).stage for it in range(3)]
    assert [1, 0] == [ordered.apply(limit=5) for _ in range(2)]


def test_the_same_statements_in_any_order_make_the_same_record(ordered):
    """The applier may be behind, ahead, or fed twice: at the end all Devices are where the words put them."""
    words = [("AT_HUB", None), ("ON_DEVICE", None), ("ACTIVATED", TARGET), ("HUB_FAILED", None)]
    for index in range(3):
        turned = words[index:] + words[:index]
        for fact, version in turned * 2:
            ordered.deliver({"device": eui(index), "fact": fact, "version": version})
    while ordered.apply(limit=4):
        pass
    assert [Stage.PROVEN] * 3 == [ordered.progress(it).stage for it in range(3)]
    assert [] == ordered.record.recount(1)


@pytest.mark.parametrize(
    "fallen", [replace(FENCE, number=2), replace(FENCE, owner="x"), replace(FENCE, name="outbox")]
)
def test_threat_a_worker_whose_lease_has_fallen_writes_nothing(ordered, fallen):
    """SIGSTOP past the lease, then SIGCONT: the late worker is refused before it changes a row."""
    ordered.deliver({"device": eui(0)})
    with pytest.raises(LeaseLostError):
        ordered.record.apply(fallen, Instant(8))
    assert (1, Stage.QUEUED) == (ordered.waiting(), ordered.progress(0).stage)
    assert 1 == ordered.apply()


def test_a_failure_in_the_middle_keeps_all_statements(ordered, monkeypatch):
    """Full disk, lost connection: either all of a portion is applied or it waits as before."""

    def fail(*_args):
        raise OSError("disk full")

    ordered.deliver({"device": eui(0)})
    monkeypatch.setattr(record, "_count", fail)
    with pytest.raises(OSError, match="disk full"):
        ordered.apply()
    monkeypatch.undo()
    assert (1, Stage.QUEUED) == (ordered.waiting(), ordered.progress(0).stage)
    assert [] == ordered.record.recount(1)
    assert 1 == ordered.apply()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_those_who_move_updates_wait_for_each_other(ordered):
    """The applier and an order of the same Devices, in opposite order, at once: no deadlock, no lost move."""
    entered, done = threading.Event(), []

    def apply() -> None:
        entered.set()
        done.append(ordered.apply())

    for index in range(3):
        ordered.deliver({"device": eui(index)})
    with ordered.database.writing() as connection:
        record.fresh(ordered.database, connection)
        applier = threading.Thread(target=apply)
        applier.start()
        assert entered.wait(30)
        rows = [(it, FIRST_STEP, said(Fact.IMAGE_VERIFIED), None) for it in reversed(ordered.updates)]
        append_items(ordered.database, connection, rows, Instant(8))
    applier.join(30)
    assert [3] == done
    assert [Stage.IMAGE_VERIFIED] * 3 == [ordered.progress(it).stage for it in range(3)]
    assert [] == ordered.record.recount(1)


# --- what a person is shown


def test_the_timeline_tells_all_of_a_device_by_time(ordered):
    """In the order in which it happened, not in which it was heard, each with its message."""
    ordered.deliver({"device": eui(0), "fact": "ON_DEVICE", "at": 5_000_000})
    ordered.apply()
    ordered.deliver({"device": eui(0), "fact": "AT_HUB", "at": 4_000_000}, code="N60")
    ordered.apply()
    assert [
        TimelineEntry(Evidence(Fact.ORDERED, ORDERED_AT, "order"), FIRST_STEP, "C1", None),
        TimelineEntry(Evidence(Fact.AT_HUB, Instant(4_000_000), "N60"), FIRST_STEP, "C1", b"message 2", 2),
        TimelineEntry(Evidence(Fact.ON_DEVICE, Instant(5_000_000), "N62"), FIRST_STEP, "C1", b"message 1", 1),
    ] == ordered.record.timeline(eui(0))
    assert [] == ordered.record.timeline(Eui64.of(5))


def test_a_message_that_was_applied_twice_is_told_once(ordered):
    """A replay repeats evidence, and changes neither the state nor what a person reads."""
    inbox = ordered.deliver({"device": eui(0)})
    ordered.apply()
    once = ordered.record.timeline(eui(0))
    with ordered.database.writing() as connection:
        words = {"at": LATER, "message": "N62", "cause": 0, "detail": "", "fact": "ON_DEVICE"}
        connection.execute(insert(s.statement).values(inbox=inbox, device=eui(0), **words))
    ordered.apply()
    assert once == ordered.record.timeline(eui(0))
    assert [] == ordered.record.recount(1)


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ("UPDATE device_update SET progress = progress + 64 WHERE id = 1", "update of"),
        ("UPDATE device_update SET busy = FALSE WHERE id = 1", "update of"),
        ("UPDATE tally SET devices = devices + 1 WHERE cell = 2", "tally of cell 2, QUEUED"),
        ("DELETE FROM tally WHERE cell = 1", "tally of cell 1, QUEUED"),
        ("INSERT INTO tally VALUES (1, 26, TRUE, 1)", "tally of cell 1, PROVEN again"),
        ("DELETE FROM evidence WHERE device_update = 1", "update of"),
    ],
)
def test_a_recount_finds_what_was_written_by_hand(ordered, tampering, what):
    """The recount can fail: it sees what no append has written."""
    assert [] == ordered.record.recount(1)
    with ordered.database.writing() as connection:
        connection.execute(text(tampering))
    assert what in ordered.record.recount(1)[0].what
