"""The audit in the database: chained before commit, complete, and not to be changed."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from lamplighter.campaign.board import Choice
from lamplighter.campaign.status import Act
from lamplighter.kit import FirmwareVersion, Instant, UsageError, VerificationError, chain
from lamplighter.store import Database, audit
from lamplighter.store import schema as s
from lamplighter.store.audit import Audit
from lamplighter.store.campaigns import POLICY
from tests.store.campaigning import HOUR, ONE_WAVE, START, Fleet

PG = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def database(database_url):
    """An empty database."""
    database = Database.open(database_url)
    yield database
    database.close()


@pytest.fixture
def fleet(database_url):
    """An empty registry, and a release."""
    fleet = Fleet(database_url)
    yield fleet
    fleet.close()


def say(database, *whats: str, who: str = "operator1") -> None:
    """One transaction that does these things."""
    with database.writing() as connection:
        for what in whats:
            audit.note(connection, START, who, what)


def fail(database) -> None:
    """One that does something, and comes to nothing."""
    with database.writing() as connection:
        audit.note(connection, START, "operator1", "undone")
        raise ZeroDivisionError


def raw(database, *statements: str) -> None:
    """What somebody does at a prompt, who may do anything, triggers put aside."""
    names = (
        [
            "audit_refuses_update",
            "audit_refuses_delete",
            "audit_head_refuses_delete",
            "audit_refuses_replacement",
        ]
        if database.is_sqlite
        else []
    )
    with database.engine.begin() as connection:
        for name in names:
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        if not database.is_sqlite:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for statement in statements:
            connection.execute(text(statement))


# --- how it grows


def test_what_is_noted_stands_there_once_it_commits(database):
    """In the order of the notes, numbered without gaps, each chained to the one before."""
    say(database, "one", "two")
    say(database)
    say(database, "three")
    entries = Audit(database).entries()
    assert [(1, "one"), (2, "two"), (3, "three")] == [(it.id, it.what) for it in entries]
    assert chain.Head(3, entries[-1].digest) == Audit(database).head() == chain.verify(entries)


def test_what_is_rolled_back_was_never_done(database):
    """Neither an entry nor a gap is left behind, and the next transaction knows nothing of it."""
    with pytest.raises(ZeroDivisionError):
        fail(database)
    say(database, "something")
    assert [(1, "something")] == [(it.id, it.what) for it in Audit(database).entries()]


def test_what_a_savepoint_undoes_is_not_noted(database):
    """Of several acts in one transaction, that stands which was kept."""
    with database.together():
        say(database, "kept")
        with pytest.raises(ZeroDivisionError):
            fail(database)
        say(database, "kept too")
    assert ["kept", "kept too"] == [it.what for it in Audit(database).entries()]


def test_nothing_is_noted_outside_of_a_transaction_that_writes(database):
    """A note that nobody would chain is a mistake, and says so; so is one by nobody."""
    with database.reading() as connection, pytest.raises(UsageError, match="outside"):
        audit.note(connection, START, "operator1", "look")
    for who in ("", "x" * 65):
        with pytest.raises(UsageError, match="1 to 64"):
            say(database, "act", who=who)


def test_words_that_a_database_cannot_keep_are_replaced_before_they_are_sealed(database):
    """NUL and half surrogates: what stands in the table is what the digest is of."""
    with database.writing() as connection:
        audit.note(connection, START, "operator1", "act", subject="a\0b", detail="\ud800 →")
    [entry] = Audit(database).entries()
    assert ("a\N{REPLACEMENT CHARACTER}b", "? →") == (entry.subject, entry.detail)
    assert 1 == Audit(database).verify().id


def test_writers_at_one_time_make_one_chain(database_url):
    """Four threads with a database each: no gap, no fork, nothing lost."""
    databases = [Database.open(database_url) for _ in range(4)]

    def work(database) -> None:
        for _ in range(10):
            say(database, "one", "more")

    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(work, databases))
    assert 80 == Audit(databases[0]).verify().id
    assert ["one", "more"] * 40 == [it.what for it in Audit(databases[0]).entries()]
    for database in databases:
        database.close()


@PG
def test_the_head_is_locked_from_just_before_the_commit(database_url):
    """A transaction that thinks for long holds up nobody, though it has noted something before."""
    slow, quick = Database.open(database_url), Database.open(database_url)
    with slow.writing() as connection:
        audit.note(connection, START, "operator1", "slow")
        say(quick, "quick")
    assert ["quick", "slow"] == [it.what for it in Audit(quick).entries()]
    slow.close()
    quick.close()


@PG
def test_a_connection_that_breaks_says_so_itself(database_url):
    """What is told is that the database was not reached, which may be tried again, and no mistake of ours."""
    database = Database.open(database_url)
    own = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OperationalError), database.writing() as connection:
        connection.execute(own)
    say(database, "after")
    assert ["after"] == [it.what for it in Audit(database).entries()]
    database.close()


# --- what may be done to it


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET who = 'mallory' WHERE id = 2",
        "UPDATE audit SET id = 9 WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
    ],
)
def test_the_database_refuses_to_change_what_was_done(database, statement):
    """Even for someone at a prompt of the database."""
    say(database, "one", "two", "three")
    with pytest.raises(IntegrityError, match="never changed"), database.writing() as connection:
        connection.execute(text(statement))
    assert 3 == Audit(database).verify().id


@PG
@pytest.mark.parametrize("table", ["audit", "audit_head"])
def test_the_database_refuses_to_empty_it_at_one_stroke(database, table):
    """TRUNCATE asks no row's trigger."""
    say(database, "one")
    with pytest.raises(IntegrityError, match="never changed"), database.writing() as connection:
        connection.execute(text(f"TRUNCATE {table}"))


@SQLITE
def test_the_database_refuses_to_put_another_in_the_place_of_one(database):
    """INSERT OR REPLACE deletes, and asks no trigger of that."""
    say(database, "one", "two")
    with pytest.raises(IntegrityError, match="never changed"), database.writing() as connection:
        connection.execute(
            text(
                "INSERT OR REPLACE INTO audit"
                " SELECT id, at, 'x', what, campaign, subject, detail, digest FROM audit"
            )
        )
    assert ["operator1", "operator1"] == [it.who for it in Audit(database).entries()]


@pytest.mark.parametrize(
    ("check", "statements"),
    [
        ("audit-digest", ["UPDATE audit SET who = 'mallory' WHERE id = 2"]),
        ("audit-digest", ["UPDATE audit SET digest = (SELECT digest FROM audit WHERE id = 1) WHERE id = 2"]),
        ("audit-deleted", ["DELETE FROM audit WHERE id = 2"]),
        ("audit-digest", ["DELETE FROM audit WHERE id = 2", "UPDATE audit SET id = 2 WHERE id = 3"]),
        (
            "audit-digest",
            [
                "UPDATE audit SET id = 9 WHERE id = 1",
                "UPDATE audit SET id = 1 WHERE id = 2",
                "UPDATE audit SET id = 2 WHERE id = 9",
            ],
        ),
        ("audit-truncated", ["DELETE FROM audit WHERE id = 3"]),
        (
            "audit-digest",
            [
                (
                    "INSERT INTO audit SELECT 4, at, who, what, campaign, subject, detail, digest"
                    " FROM audit WHERE id = 3"
                )
            ],
        ),
    ],
    ids=["changed", "digest changed", "deleted", "gap closed", "reordered", "truncated", "appended by hand"],
)
def test_whoever_puts_the_triggers_aside_is_found(database, check, statements):
    """Somebody who may do anything to the database changes what was done: the chain says so."""
    say(database, "one", "two", "three")
    raw(database, *statements)
    with pytest.raises(VerificationError) as caught:
        Audit(database).verify()
    assert check == caught.value.check
    with pytest.raises(VerificationError):
        Audit(database).export(io.StringIO())


def test_whoever_appends_past_the_head_is_found(database):
    """An entry that is sealed well, and that no transaction of ours made."""
    say(database, "one")
    digest = chain.seal(Audit(database).head().digest, 2, 0, "mallory", "approve", None, "", "")
    values = f"2, 0, 'mallory', 'approve', NULL, '', '', {_octets(database, digest)}"
    raw(database, f"INSERT INTO audit VALUES ({values})")
    with pytest.raises(VerificationError, match="audit-head"):
        Audit(database).verify()


def _octets(database, octets: bytes) -> str:
    return f"x'{octets.hex()}'" if database.is_sqlite else f"decode('{octets.hex()}', 'hex')"


def test_whoever_also_moves_the_head_is_found_by_one_that_was_kept(database):
    """The last entry is taken away, and the head moved back: only what lies elsewhere tells."""
    say(database, "one", "two", "three")
    kept = Audit(database).head()
    raw(
        database,
        "DELETE FROM audit WHERE id = 3",
        "UPDATE audit_head SET entries = 2, digest = (SELECT digest FROM audit WHERE id = 2)",
    )
    assert 2 == Audit(database).verify().id
    with pytest.raises(VerificationError, match="audit-truncated"):
        Audit(database).verify(head=kept)


# --- reading it


def test_an_export_verifies_without_the_database(database):
    """Whole, or from a head on; both end where the database says."""
    say(database, *(f"act {number}" for number in range(7)))
    whole, rest = io.StringIO(), io.StringIO()
    head = Audit(database).export(whole)
    lines = whole.getvalue().splitlines()
    assert head == chain.verify(chain.read(lines), head=head)
    third = chain.Head(3, chain.decode(lines[2]).digest)
    assert head == Audit(database).export(rest, third)
    assert lines[3:] == rest.getvalue().splitlines()


def test_entries_are_found_by_whom_of_what_and_page_by_page(database):
    """Forwards above a number, or the latest first below one."""
    for number in range(6):
        say(database, "even" if number % 2 == 0 else "odd", who="operator1" if number < 4 else "reviewer1")
    found = Audit(database)
    assert [3, 4] == [it.id for it in found.entries(after=2, limit=2)]
    assert [6, 5] == [it.id for it in found.entries(before=7, limit=2)]
    assert [1, 3] == [it.id for it in found.entries(who="operator1", what="even")]
    assert [5] == [it.id for it in found.entries(who="reviewer1", what="even", before=6)]
    assert [] == found.entries(campaign=1)


# --- what stands in it


def test_every_act_on_a_campaign_is_an_entry(fleet):
    """Who, what, and what an approval was bound to."""
    plan = ONE_WAVE.__class__("D", ONE_WAVE.waves, approvals=1)
    number = fleet.campaigns.create(plan, fleet.release, "operator1", START)
    first = fleet.campaigns.find(number).digest
    fleet.campaigns.revise(
        number, plan.__class__("D", plan.waves, approvals=1, batch_max=7), "operator1", START
    )
    digest = fleet.campaigns.find(number).digest
    fleet.campaigns.approve(number, "reviewer1", digest, START)
    for act in (Act.START, Act.PAUSE, Act.RESUME, Act.ABORT):
        fleet.campaigns.act(number, act, "operator1", START, f"why {act.value}")
    entries = Audit(fleet.database).entries(campaign=number)
    expected = [
        ("operator1", "create", "D", first.hex()),
        ("operator1", "revise", "D", digest.hex()),
        ("reviewer1", "approve", "", digest.hex()),
        *(("operator1", it, "", f"why {it}") for it in ("start", "pause", "resume", "abort")),
    ]
    assert expected == [(it.who, it.what, it.subject, it.detail) for it in entries]


def test_every_batch_of_orders_is_one_entry_with_the_digest_of_its_devices(fleet):
    """First orders and later ones: SRV, step, first counter, and which Devices, in their order."""
    fleet.devices(range(20))
    campaign = fleet.start(ONE_WAVE.__class__("C", ONE_WAVE.waves, approvals=0, batch_max=8))
    fleet.make(campaign, 20)
    entries = Audit(fleet.database).entries(what="order")
    said = [json.loads(it.detail) for it in entries]
    assert [(8, "11.4"), (8, "11.4"), (4, "11.4")] == [(it["devices"], it["srv"]) for it in said]
    assert {POLICY} == {it.who for it in entries}
    with fleet.database.reading() as connection:
        for entry, it in zip(entries, said, strict=True):
            batch = int(entry.subject.removeprefix("batch "))
            query = select(s.device_update.c.device).where(s.device_update.c.batch == batch)
            euis = connection.execute(query.order_by(s.device_update.c.id)).scalars()
            assert (
                hashlib.sha256(b"".join(map(bytes, (eui.octets for eui in euis)))).hexdigest() == it["sha256"]
            )
            counter = select(s.request.c.counter).where(s.request.c.batch == batch)
            assert connection.execute(counter).scalar_one() == it["first_counter"]
    # All fall silent: each is asked for its version, in one more batch.
    fleet.answer(START)
    later = Instant(START + 30 * 24 * HOUR)
    for _ in range(4):
        fleet.tick(campaign, later)
    later_said = [json.loads(it.detail) for it in Audit(fleet.database).entries(what="order")][3:]
    assert ("11.2", 20) == (later_said[0]["srv"], sum(it["devices"] for it in later_said))
    assert Audit(fleet.database).verify().id > 6
    assert "order" not in {it.what for it in fleet.campaigns.events(campaign.id)}


def test_an_order_that_came_to_nothing_is_no_entry(fleet):
    """A commit under a lease that has fallen leaves neither order nor entry."""
    from lamplighter.store import Fence, LeaseLostError

    fleet.devices(range(3))
    campaign = fleet.start()
    before = Audit(fleet.database).head()
    from lamplighter.campaign.decide import Decision, Make

    place = fleet.campaigns.pools(campaign.id)[0].place
    with pytest.raises(LeaseLostError):
        fleet.decide(campaign, Decision(makes=(Make(place, 0, 3),)), fence=Fence("campaign:1", "gone", 9))
    assert before == Audit(fleet.database).head()


def test_releases_and_imports_are_entries(fleet):
    """Added once though it is registered twice; withdrawn once; a file begun and taken in."""
    registry = fleet.registry
    registry.add_release("R", registry.release("R"), "operator1", START)
    registry.withdraw_release("R", START, "operator1", "bricks displays")
    registry.withdraw_release("R", START, "operator1", "again")
    with registry.loading() as loading:
        loading.note(START, "operator1", "import begun", "fleet.csv")
    said = [(it.who, it.what, it.subject) for it in Audit(fleet.database).entries()]
    assert [
        ("system", "add release", "R"),
        ("operator1", "withdraw release", "R"),
        ("operator1", "import begun", "fleet.csv"),
    ] == said


def test_what_a_release_cures_is_an_entry(fleet):
    """Marked, marked otherwise and unmarked, each with its reference; the same again is none."""
    registry = fleet.registry
    registry.add_release(
        "S", replace(registry.release("R"), version=FirmwareVersion(9)), security="CVE-2026-1"
    )
    for security in ("CVE-2026-1", "CVE-2026-2", "CVE-2026-2", None, None):
        registry.mark_release("S", security, START, "operator1")
    said = [(it.who, it.what, it.subject, it.detail) for it in Audit(fleet.database).entries()]
    assert [
        ("operator1", "mark release", "S", "security CVE-2026-2"),
        ("operator1", "unmark release", "S", "security CVE-2026-2"),
    ] == said[-2:]
    assert ("add release", True) == (said[-3][1], said[-3][3].endswith(", security CVE-2026-1"))


def test_a_load_that_failed_was_none(fleet):
    """The first load is one transaction, and its entry goes with it."""
    before = Audit(fleet.database).head()

    def load() -> None:
        with fleet.registry.loading() as loading:
            loading.note(START, "operator1", "import", "fleet.csv")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load()
    assert before == Audit(fleet.database).head()


# --- board votes


BOARD = """
name = "V"
[[board]]
category = "Large Suppliers"
members = ["ann", "bob"]
[[board]]
category = "Network Parties"
members = ["cat"]
[[wave]]
name = "all"
share = 1
"""


def test_a_board_decides_and_its_votes_are_bound_to_what_was_voted_on(fleet):
    """Nobody approves it besides; it starts once all have voted and approve; a change voids every vote."""
    from lamplighter.campaign import plan as plans

    plan = plans.parse(BOARD)
    number = fleet.campaigns.create(plan, fleet.release, "operator1", START)
    digest = fleet.campaigns.find(number).digest
    with pytest.raises(UsageError, match="decided by its board"):
        fleet.campaigns.approve(number, "reviewer1", digest, START)
    with pytest.raises(UsageError, match="has no vote"):
        fleet.campaigns.vote(number, "operator1", Choice.APPROVE, digest, START)
    with pytest.raises(UsageError, match="it was changed"):
        fleet.campaigns.vote(number, "ann", Choice.APPROVE, bytes(32), START)
    fleet.campaigns.vote(number, "Ann", Choice.APPROVE, digest, START)
    fleet.campaigns.vote(number, "bob", Choice.ABSTAIN, digest, START)
    with pytest.raises(UsageError, match="2 of 3 votes are cast"):
        fleet.campaigns.act(number, Act.START, "operator1", START)
    fleet.campaigns.vote(number, "cat", Choice.REJECT, digest, START)
    with pytest.raises(UsageError, match="the outcome is reject"):
        fleet.campaigns.act(number, Act.START, "operator1", START)
    fleet.campaigns.vote(number, "cat", Choice.APPROVE, digest, START)
    fleet.campaigns.revise(
        number, plans.parse(BOARD.replace("share = 1", "share = 1\nminimum = 1")), "operator1", START
    )
    assert [False] * 3 == [it.valid for it in fleet.campaigns.votes(number)]
    with pytest.raises(UsageError, match="0 of 3 votes are cast"):
        fleet.campaigns.act(number, Act.START, "operator1", START)
    digest = fleet.campaigns.find(number).digest
    for member in ("ann", "bob", "cat"):
        fleet.campaigns.vote(number, member, Choice.APPROVE, digest, START)
    fleet.campaigns.act(number, Act.START, "operator1", START)
    cast = [(it.who, it.subject, it.detail.split()[0]) for it in Audit(fleet.database).entries(what="vote")]
    assert [("Ann", "Large Suppliers", "approve"), ("bob", "Large Suppliers", "abstain")] == cast[:2]
    assert 7 == len(cast)


def test_whoever_writes_a_plan_has_no_vote_on_it(fleet):
    """Not even with a seat on the board; and a board that could not be quorate without them is refused."""
    from lamplighter.campaign import plan as plans

    with pytest.raises(UsageError, match="3 members must vote, and 2 can"):
        fleet.campaigns.create(plans.parse(BOARD), fleet.release, "ann", START)
    plan = plans.parse(BOARD.replace('name = "V"', 'name = "V"\nquorum = 2'))
    number = fleet.campaigns.create(plan, fleet.release, "ann", START)
    digest = fleet.campaigns.find(number).digest
    with pytest.raises(UsageError, match="somebody else"):
        fleet.campaigns.vote(number, "ann", Choice.APPROVE, digest, START)
