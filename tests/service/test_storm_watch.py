"""The reconciler keeps the register of alert storms: now and then, one of many, in nobody's way."""

import pytest

from lamplighter.kit import Eui64, Instant
from lamplighter.kit.instant import MINUTE, from_iso
from lamplighter.service.reconciler import STORMS, Reconciler
from lamplighter.store import Store
from lamplighter.store.inbox import Incoming

NOW = from_iso("2026-11-24T10:00:00Z")


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


def storm(store, number, at):
    store.inbox.take_in([Incoming(str(number).encode(), at, at, "8F3E", Eui64.of(number), 500)])


def test_a_tick_finds_a_storm_and_does_not_look_again_at_once(store):
    """Every five minutes, by whichever reconciler comes first."""
    clock = Clock()
    one, two = Reconciler(store, None, clock, "one"), Reconciler(store, None, clock, "two")
    storm(store, 1, NOW)
    assert not one.tick_records()  # a storm gives nobody anything to do
    assert 1 == len(store.storms.list())
    storm(store, 2, NOW)
    clock.now = Instant(NOW + 4 * MINUTE)
    one.tick_records()
    two.tick_records()
    assert 1 == len(store.storms.list())
    clock.now = Instant(NOW + 6 * MINUTE)
    two.tick_records()
    assert 2 == len(store.storms.list())


def test_what_another_one_counts_is_left_to_it(store):
    """Two that count at one time would be in each other's way: there is a lease."""
    clock = Clock()
    assert store.leases.take(STORMS, "another", NOW, MINUTE) is not None
    storm(store, 1, NOW)
    reconciler = Reconciler(store, None, clock, "one")
    reconciler.tick_records()
    assert [] == store.storms.list()
    assert 0 == reconciler.failures
