"""The inbox on both databases: lots of messages, each stored once; dead letters; refusals."""

import sqlite3
import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from lamplighter.campaign import Cause, Evidence, Fact
from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, from_iso
from lamplighter.store import Store
from lamplighter.store import schema as s
from lamplighter.store.inbox import (
    COUNTER_MAX,
    WEIGHT_MAX,
    DeadLetter,
    Inbox,
    Incoming,
    Letter,
    Reading,
    Refused,
    Statement,
)

NOW = from_iso("2026-11-23T10:00:00Z")
LOW, HIGH = Eui64.of(0), Eui64.of(2**64 - 1)


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def inbox(store):
    return store.inbox


def statement(device=LOW, fact=Fact.AT_HUB, **more):
    return Statement(device, Evidence(fact, NOW, "N60"), **more)


def message(octets, *statements, reason=None, device=None, weight=1, sent_at=NOW):
    return Incoming(octets, NOW, sent_at, "N60", device, weight, statements, reason)


def stored(store):
    """All statements with the octets of their messages."""
    with store.database.reading() as connection:
        query = select(s.inbox.c.octets, s.statement).join(s.inbox, s.inbox.c.id == s.statement.c.inbox)
        return connection.execute(query.order_by(s.statement.c.id)).all()


def test_a_lot_is_stored_with_all_that_it_says(store, inbox):
    """Every column of every message and statement comes back as it went in."""
    full = Statement(
        HIGH,
        Evidence(
            Fact.ACTIVATION_FAILED, NOW, "CS06", Cause.HASH, "hash mismatch", FirmwareVersion(2**32 - 1)
        ),
        ImageHash(b"\x07" * 32),
        COUNTER_MAX,
    )
    about = statement(LOW, about=FirmwareVersion(3), request=5)
    lot = [
        message(b"one", full, about),
        message(b"two", device=HIGH, weight=2**32 - 1),
        message(b"", statement()),
    ]
    assert [True, True, True] == inbox.take_in(lot)

    assert [
        (
            b"one",
            HIGH,
            "ACTIVATION_FAILED",
            NOW,
            "CS06",
            Cause.HASH,
            "hash mismatch",
            FirmwareVersion(2**32 - 1),
            None,
            b"\x07" * 32,
            COUNTER_MAX,
        ),
        (b"one", LOW, "AT_HUB", NOW, "N60", 0, "", None, FirmwareVersion(3), None, 5),
        (b"", LOW, "AT_HUB", NOW, "N60", 0, "", None, None, None, None),
    ] == [(row.octets, *row[3:]) for row in stored(store)]
    assert [
        Letter(3, b"", NOW, "N60", None, 1),
        Letter(2, b"two", NOW, "N60", HIGH, WEIGHT_MAX),
        Letter(1, b"one", NOW, "N60", None, 1),
    ] == inbox.latest()
    assert (2, 0) == inbox.counts()


def test_the_same_octets_are_stored_once(store, inbox):
    """Twice in one lot, and again in a later one: False, and no statement is doubled."""
    one, two = message(b"one", statement()), message(b"two", statement())
    assert [True, False, True] == inbox.take_in([one, one, two])
    assert [False, True, False] == inbox.take_in([two, message(b"three"), one])
    assert [b"one", b"two"] == [row.octets for row in stored(store)]


def test_an_empty_lot_is_no_work(inbox):
    """Nothing in, nothing out."""
    assert [] == inbox.take_in([])


@pytest.mark.parametrize("count", [1, 2, 7, 255, 256, 257, 1000])
def test_lots_of_any_size_are_stored_in_the_order_of_their_coming(inbox, count):
    """The portions in which rows are inserted neither lose nor reorder any."""
    lot = [message(b"%d" % n, statement(Eui64.of(n)), sent_at=Instant(NOW - n)) for n in range(count)]
    assert [True] * count == inbox.take_in(lot)
    assert [each.octets for each in lot] == [letter.octets for letter in inbox.letters(range(count + 1))]
    assert (count, 0) == inbox.counts()


def test_a_message_of_any_time_is_taken(inbox):
    """The digest begins with the DCC's time: the year 1 is one, too."""
    times = [from_iso("0001-01-01T00:00:00Z"), Instant(-1), Instant(0), from_iso("9999-12-31T00:00:00Z")]
    assert [True] * 4 == inbox.take_in([message(b"x", sent_at=at) for at in times])


def test_a_lot_is_stored_whole_or_not_at_all(store, inbox):
    """The last message of a lot breaks a rule of the schema: none of the others is there."""
    broken = message(b"bad", Statement(LOW, Evidence(Fact.AT_HUB, NOW, "N60"), request=2**63))
    with pytest.raises((DatabaseError, OverflowError)):
        inbox.take_in([message(b"good", statement()), broken])
    assert ([], []) == (inbox.latest(), stored(store))
    assert [True] == inbox.take_in([message(b"good", statement())])


def test_two_that_store_the_same_at_once_store_it_once(database_url):
    """Two processes get the same delivery: one has it new, the other has it known."""
    stores = [Store.open(database_url) for _ in range(2)]
    lot = [message(b"%d" % n, statement()) for n in range(200)]
    found = [[], []]

    def take(index):
        for start in range(0, 200, 20):
            found[index] += stores[index].inbox.take_in(lot[start : start + 20])

    threads = [threading.Thread(target=take, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [1] * 200 == [sum(pair) for pair in zip(*found, strict=True)]
    assert (200, 0) == stores[0].inbox.counts()
    for store in stores:
        store.close()


def test_what_cannot_be_applied_is_a_dead_letter(store, inbox):
    """With its reason, in the order of its coming, page by page; what it might say is not believed."""
    inbox.take_in(
        [message(b"one", reason="no key"), message(b"two"), message(b"three", statement(), reason="why")]
    )
    one, three = inbox.dead_letters()
    assert DeadLetter(Letter(1, b"one", NOW, "N60", None, 1), NOW, "no key") == one
    assert (3, "why") == (three.letter.id, three.reason)
    assert [three] == inbox.dead_letters(after=1)
    assert [one] == inbox.dead_letters(limit=1)
    assert ([], (0, 2)) == (stored(store), inbox.counts())


def test_a_replay_raises_the_dead_or_renews_the_reason(store, inbox):
    """One can be read now, one cannot, one was never dead, one does not exist."""
    inbox.take_in([message(b"one", reason="no key"), message(b"two", reason="no key"), message(b"three")])
    later = Instant(NOW + 1)
    said = Reading((statement(HIGH, request=5), statement()))
    readings = {1: said, 2: Reading(reason="still no key"), 3: said, 9: said}
    assert 1 == inbox.replay(readings, later)
    assert [(2, later, "still no key")] == [(d.letter.id, d.since, d.reason) for d in inbox.dead_letters()]
    assert [(b"one", HIGH, 5), (b"one", LOW, None)] == [
        (r.octets, r.device, r.request) for r in stored(store)
    ]
    assert 0 == inbox.replay({1: said}, later)
    assert 2 == len(stored(store))


def test_what_is_put_away_is_dead_no_more_and_the_message_stays(store, inbox):
    """With a name and a word why in the audit; what is no dead letter is left alone."""
    inbox.take_in([message(b"one", reason="not ours"), message(b"two", reason="why"), message(b"three")])
    assert 1 == inbox.dismiss([1, 3, 9], Instant(NOW + 1), "operator1", "the other Supplier's")
    assert ([2], 3) == (inbox.dead_numbers(), len(inbox.letters([1, 2, 3])))
    assert 0 == inbox.dismiss([1], Instant(NOW + 2), "operator1", "again")
    [entry] = store.audit.entries(what="dismiss")
    assert ("operator1", "dead letters", "1 put away (the other Supplier's): 1") == (
        entry.who, entry.subject, entry.detail,
    )  # fmt: skip
    assert [False] == inbox.take_in([message(b"one", reason="not ours")])
    assert [2] == inbox.dead_numbers()


def test_dead_letters_are_found_by_words_in_their_reason(inbox):
    """In capitals or not, page by page; a sign that means something to the database means itself."""
    reasons = ["N39 for X, which is not being updated", "100 % odd", "n39, NOT BEING UPDATED", "100 what odd"]
    inbox.take_in([message(reason.encode(), reason=reason) for reason in reasons])
    assert [1, 3] == inbox.dead_numbers(saying="Not being updated")
    assert ([3], [1]) == (inbox.dead_numbers(1, saying="being"), inbox.dead_numbers(0, 1, "being"))
    assert [2] == inbox.dead_numbers(saying="100 %")


def test_no_number_is_taken_for_a_dead_letters_that_is_none(inbox):
    """Each once and in order; the first that is none is named, however many stand around it."""
    inbox.take_in([message(str(number).encode(), reason="odd") for number in range(1_200)])
    assert [1, 4, 1_200] == inbox.chosen([4, 1_200, 1, 4])
    assert [] == inbox.chosen([])
    for wrong, named in (([0, 1], 0), ([*range(1, 1_201), 1_202, 1_201], 1_201)):
        with pytest.raises(UsageError, match=f"no dead letter has the number {named}$"):
            inbox.chosen(wrong)
    assert 1_199 == inbox.dismiss(range(2, 3_000), NOW, "operator1", "nobody's fault")
    assert [1] == inbox.dead_numbers()


def test_refusals_are_counted_by_day_and_reason(inbox):
    """Sums, not rows; a reason that is too long is cut."""
    inbox.count_refusals({"xml-digest": 2, "xml-signer": 1}, NOW)
    inbox.count_refusals({"xml-digest": 3, "never": 0, "x" * 100: 1}, Instant(NOW + 1))
    inbox.count_refusals({"xml-digest": 1}, Instant(NOW + DAY))
    inbox.count_refusals({}, NOW)
    day = from_iso("2026-11-23T00:00:00Z")
    assert [
        Refused(Instant(day + DAY), "xml-digest", 1),
        Refused(day, "xml-digest", 5),
        Refused(day, "xml-signer", 1),
        Refused(day, "x" * 64, 1),
    ] == inbox.refusals()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_stores_nothing_and_harms_nothing(store, inbox):
    """SQLite may grow no further: the lot is refused whole; with room again it is taken."""
    inbox.take_in([message(b"before", statement())])
    with store.database.writing() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    _limit_pages(store, pages)
    lot = [message(b"%d" % n + bytes(20_000), statement()) for n in range(20)]
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        inbox.take_in(lot)
    assert [b"before"] == [row.octets for row in stored(store)]
    _limit_pages(store, 2**30)
    assert [True] * 20 == inbox.take_in(lot)


def _limit_pages(store, pages):
    """On the one connection that the pool has made so far."""
    with store.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw.execute(f"PRAGMA max_page_count = {pages}").fetchone()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_restarted_database_loses_one_lot_at_most(store, inbox, postgres_server):
    """The connection breaks under the next lot; the one after it finds a new connection."""
    assert [True] == inbox.take_in([message(b"before")])
    postgres_server.restart("immediate")
    with pytest.raises(DatabaseError):
        inbox.take_in([message(b"lost")])
    assert [True] == inbox.take_in([message(b"lost")])
    assert [b"lost", b"before"] == [letter.octets for letter in Inbox(store.database).latest()]
