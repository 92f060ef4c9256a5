"""Leases: one owner at a time, and a fence that falls when the owner changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select

from lamplighter.kit import Instant
from lamplighter.kit.instant import SECOND
from lamplighter.store import Database, Fence, LeaseLostError
from lamplighter.store import schema as s
from lamplighter.store.leases import Lease, Leases

NOW = Instant(1_900_000_000 * SECOND)
TTL = 10 * SECOND


@pytest.fixture
def database(database_url):
    """An empty database."""
    database = Database.open(database_url)
    yield database
    database.close()


@pytest.fixture
def leases(database) -> Leases:
    """Its leases."""
    return Leases(database)


def later(seconds: float) -> Instant:
    """So many seconds after `NOW`."""
    return Instant(NOW + int(seconds * SECOND))


def test_a_lease_has_one_owner_until_it_ends(leases):
    """Another gets it when it is over, not before, and under a higher fence."""
    assert Fence("inbox", "a", 1) == leases.take("inbox", "a", NOW, TTL)
    assert leases.take("inbox", "b", later(9.9), TTL) is None
    assert Fence("outbox", "b", 1) == leases.take("outbox", "b", NOW, TTL)
    assert Fence("inbox", "b", 2) == leases.take("inbox", "b", later(10), TTL)
    assert leases.take("inbox", "a", later(10), TTL) is None
    assert [
        Lease(Fence("inbox", "b", 2), later(20)), Lease(Fence("outbox", "b", 1), later(10)),
    ] == leases.list()  # fmt: skip


def test_the_owner_holds_on_to_it(leases):
    """Taking what one has, or renewing it, keeps the fence and moves the end."""
    fence = leases.take("inbox", "a", NOW, TTL)
    assert fence == leases.take("inbox", "a", later(5), TTL)
    assert leases.renew(fence, later(12), TTL)
    assert leases.take("inbox", "b", later(21.9), TTL) is None
    assert leases.take("inbox", "b", later(22), TTL) is not None
    assert not leases.renew(fence, later(23), TTL)


def test_what_is_released_can_be_taken_at_once(leases):
    """A process that ends in order keeps nobody waiting; and who lost it releases nothing."""
    fence = leases.take("inbox", "a", NOW, TTL)
    leases.release(fence)
    other = leases.take("inbox", "b", NOW, TTL)
    assert Fence("inbox", "b", 2) == other
    leases.release(fence)
    assert leases.take("inbox", "c", later(1), TTL) is None


def test_a_clock_that_ran_ahead_does_not_block_for_long(leases):
    """A lease that ends later than any that is taken now counts as ended."""
    leases.take("inbox", "a", later(1_000_000), TTL)
    assert Fence("inbox", "b", 2) == leases.take("inbox", "b", NOW, TTL)


def test_whoever_looked_at_the_clock_a_moment_ago_takes_no_lease_that_lives(leases):
    """A slow look, or a clock that is a little behind, is no reason to put out an owner that has renewed."""
    fence = leases.take("inbox", "a", NOW, TTL)
    assert fence == leases.take("inbox", "a", later(1), TTL)
    assert leases.take("inbox", "b", NOW, TTL) is None


def test_a_fallen_fence_writes_nothing(database, leases):
    """A worker that wakes up after its lease has gone to another finds that nothing of its work is kept."""
    old = leases.take("campaign:1", "a", NOW, TTL)
    leases.take("campaign:1", "b", later(11), TTL)
    with pytest.raises(LeaseLostError), database.writing(old) as connection:
        connection.execute(insert(s.refusal).values(day=0, reason="x", messages=1))
    with database.reading() as connection:
        assert connection.execute(select(s.refusal)).first() is None


def test_many_that_ask_at_once_and_one_that_gets_it(database_url):
    """Eight takers, each with connections of its own: one fence."""
    databases = [Database.open(database_url) for _ in range(8)]
    with ThreadPoolExecutor(len(databases)) as pool:
        fences = list(
            pool.map(lambda it: Leases(it[1]).take("inbox", f"o{it[0]}", NOW, TTL), enumerate(databases))
        )
    for database in databases:
        database.close()
    assert 1 == sum(fence is not None for fence in fences)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_owner_that_hangs_in_a_transaction_hangs_nobody_else(database, leases):
    """While work is under way under a lease, who asks for it is told no and does not wait."""
    fence = leases.take("inbox", "a", NOW, TTL)
    with database.writing(fence):
        assert leases.take("inbox", "b", later(11), TTL) is None
    assert leases.take("inbox", "b", later(11), TTL) is not None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_owner_renews_while_another_looks_at_its_lease(database, leases):
    """Who asks for a lease locks it for a moment: the owner waits that out, and does not believe it lost."""
    fence = leases.take("inbox", "a", NOW, TTL)
    with ThreadPoolExecutor(1) as pool:
        with database.writing() as connection:
            connection.execute(select(s.lease.c.name).with_for_update()).all()
            renewed = pool.submit(leases.take, "inbox", "a", later(1), TTL)
            with pytest.raises(TimeoutError):
                renewed.result(0.2)
        assert fence == renewed.result(10)
