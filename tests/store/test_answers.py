"""Acts that are done once, and several transactions as one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select

from lamplighter.kit import Instant, UsageError
from lamplighter.store import Store, audit
from lamplighter.store import schema as s
from lamplighter.store.answers import KEPT, UNTOLD
from tests.store.campaigning import ONE_WAVE, START, Fleet

DIGEST = b"\x01" * 32


@pytest.fixture
def store(database_url):
    """A database with a release."""
    fleet = Fleet(database_url)
    yield Store(fleet.database)
    fleet.close()


def names(store):
    """The campaigns that there are."""
    return [it.name for it in store.campaigns.list()]


# --- together


def test_several_transactions_are_kept_together(store):
    """What one writes the next one reads, and the audit has all of it in its order."""
    with store.database.together():
        number = store.campaigns.create(ONE_WAVE, 1, "operator1", START)
        assert "C" == store.campaigns.find(number).name
        store.campaigns.revise(number, ONE_WAVE, "operator1", START)
    assert ["C"] == names(store)
    assert ["create", "revise"] == [it.what for it in store.audit.entries(campaign=number)]
    store.audit.verify()


def test_or_none_of_them_is(store):
    """Neither rows nor entries of the audit, where the last of them fails."""
    before = store.audit.head()

    def twice():
        with store.database.together():
            store.campaigns.create(ONE_WAVE, 1, "operator1", START)
            store.campaigns.create(ONE_WAVE, 1, "operator1", START)

    with pytest.raises(UsageError):
        twice()
    assert ([], before) == (names(store), store.audit.head())


def test_what_fails_within_and_is_caught_is_undone_alone(store):
    """As it would be by itself: its rows and what it noted, and nothing before or after."""

    def failing():
        with store.database.writing() as connection:
            audit.note(connection, START, "operator1", "fail")
            connection.execute(s.answer.insert().values(_row("gone")))
            raise UsageError("no")

    with store.database.together() as begun:
        begun().execute(s.answer.insert().values(_row("before")))
        with pytest.raises(UsageError):
            failing()
        begun().execute(s.answer.insert().values(_row("after")))
    with store.database.reading() as connection:
        kept = connection.execute(select(s.answer.c.key).order_by(s.answer.c.key)).scalars().all()
    assert ["after", "before"] == kept
    assert [] == store.audit.entries(what="fail")


def test_until_the_first_of_them_writes_nothing_is_locked(store):
    """Whoever reckons for long before they write keeps nobody else from writing."""
    first = []
    with store.database.together(first.append):
        assert [] == names(store)
        with ThreadPoolExecutor(1) as pool:
            create = pool.submit(store.campaigns.create, ONE_WAVE, 1, "operator1", START)
            campaign = create.result(20)
        assert (["C"], []) == (names(store), first)
        store.campaigns.revise(campaign, ONE_WAVE, "operator1", START)
        assert 1 == len(first), "it is done as the transaction begins"
        store.campaigns.revise(campaign, ONE_WAVE, "operator1", START)
        assert 1 == len(first)


def test_what_is_first_refused_is_not_begun(store):
    """What it raises goes through whoever wanted to write, and nothing is kept."""

    def refused(_):
        raise UsageError("not again")

    def both():
        with store.database.together(refused):
            store.campaigns.create(ONE_WAVE, 1, "operator1", START)

    with pytest.raises(UsageError, match="not again"):
        both()
    assert [] == names(store)


def test_another_thread_is_not_drawn_in(store):
    """It has transactions of its own, and sees what was committed."""
    with store.database.together():
        with ThreadPoolExecutor(1) as pool:
            store.campaigns.create(ONE_WAVE, 1, "operator1", START)
            assert [] == pool.submit(names, store).result(20)
        assert ["C"] == names(store)


# --- answers


def _row(key):
    return {"account": "a", "key": key, "digest": DIGEST, "status": 200, "body": "", "at": START}


class _TakenError(Exception):
    """The key is somebody's."""


def ask(store, key, body="done", now=START, account="operator1"):
    """An act under a key; what it is told."""

    def claim(connection):
        if not store.answers.claim(connection, account, key, DIGEST, now):
            raise _TakenError

    try:
        with store.database.together(claim) as begun:
            store.answers.note(begun(), account, key, 201, body)
    except _TakenError:
        pass
    return store.answers.find(account, key, now).body


def test_the_first_answer_is_the_answer(store):
    """Of one account, for a day."""
    assert ["first", "first"] == [ask(store, "k", "first"), ask(store, "k", "second")]
    assert "theirs" == ask(store, "k", "theirs", account="otto")
    assert "first" == ask(store, "k", "late", Instant(START + KEPT - 1))
    assert "anew" == ask(store, "k", "anew", Instant(START + KEPT))


def test_of_what_failed_there_is_no_answer(store):
    """It may be asked for again."""

    def refused():
        with store.database.together(
            lambda connection: store.answers.claim(connection, "operator1", "k", DIGEST, START)
        ) as begun:
            begun()
            raise UsageError("it cannot be done yet")

    with pytest.raises(UsageError):
        refused()
    assert None is store.answers.find("operator1", "k", START)
    assert "done" == ask(store, "k")


def test_who_asks_at_the_same_moment_waits_for_the_answer(store):
    """Six threads, one act, one answer."""
    together = Barrier(6)

    def one(number):
        together.wait()
        return ask(store, "k", str(number))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(6)))
    assert 1 == len(set(answers))


def test_what_is_told_first_of_what_was_done_holds(store):
    """Two that come after a crash tell it each in their way: the answer is one of the two, and stays."""
    with store.database.together(
        lambda connection: store.answers.claim(connection, "operator1", "k", DIGEST, START)
    ) as begun:
        store.answers.note(begun(), "operator1", "k", UNTOLD, "7")
    assert (UNTOLD, "7") == store.answers.find("operator1", "k", START)[1:]
    assert [True, False] == [store.answers.keep("operator1", "k", 201, it) for it in ("one", "other")]
    assert (201, "one") == store.answers.find("operator1", "k", START)[1:]
