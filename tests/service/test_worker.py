"""The loop in threads: it wakes, ends in good order, and outlives its database and its DCC."""

import threading
from time import monotonic

import httpx2
import pytest

from lamplighter.campaign import Stage
from lamplighter.campaign.status import Act
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import HOUR, MINUTE, SECOND
from lamplighter.registry import DeviceType
from lamplighter.service.clock import rehearsal_clock, wall_clock
from lamplighter.service.gateway import Gateway, Tls
from lamplighter.service.settings import Settings
from lamplighter.service.worker import Worker, owner_name
from lamplighter.store import Store

from .dcc import PPMID_DEVICE, ScriptedDcc, Side, unreachable
from .parties import PARTIES, activated, by_dsp, clock

PATIENCE_SECONDS = 60.0


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def side(store):
    side = Side(store)
    side.now = wall_clock()
    side.register(PPMID_DEVICE)
    return side


def worker(side, **named):
    client = httpx2.Client(transport=side.dcc, base_url="http://dcc/api/v1")
    return Worker(side.store, Gateway(PARTIES, client, clock), **{"poll": 0.05} | named)


def until(condition):
    """Look until something is so, or time is up."""
    end, never = monotonic() + PATIENCE_SECONDS, threading.Event()
    while not condition():
        assert monotonic() < end, "it is still not so"
        never.wait(0.02)


def test_a_worker_brings_an_order_out_and_a_word_in(side):
    """Started beside a running campaign: the request is sent; the proof is taken when there is word of it."""
    campaign = side.begin(DeviceType.PPMID)
    with worker(side) as at_work:
        until(lambda: Stage.ACCEPTED in side.stages().values())
        side.receiver.store([side.receiver.read(by_dsp(activated()))])
        at_work.wake()
        until(lambda: Stage.PROVEN in side.stages().values())
    assert ["UpdatePpmidFirmware"] == side.dcc.asked
    assert [] == side.store.record.recount(campaign)


def test_a_stopped_worker_leaves_its_work_to_the_next_at_once(side):
    """Its leases last an hour, and yet another one goes on without waiting."""
    side.begin(DeviceType.PPMID)
    side.dcc.reply = unreachable
    with worker(side, lease=HOUR):
        until(lambda: side.dcc.requests)
    side.dcc.reply = side.dcc.accept
    with worker(side, lease=HOUR):
        until(lambda: Stage.ACCEPTED in side.stages().values())


def test_a_campaign_that_is_started_meanwhile_is_seen(side):
    """Nobody tells the worker of it: it looks now and then. Abort likewise."""
    with worker(side) as at_work:
        campaign = side.begin(DeviceType.PPMID)
        until(lambda: side.dcc.requests)
        side.store.campaigns.act(campaign, Act.ABORT, "operator", wall_clock())
        side.receiver.store([side.receiver.read(by_dsp(activated()))])
        until(lambda: not side.store.campaigns.under_way())
        assert 0 == at_work.reconciler.failures


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_outlives_a_crash_of_its_database(side, database_url, postgres_server):
    """Every connection breaks in the middle of the work: it backs off, and goes on with the server."""
    side.begin(DeviceType.PPMID)
    side.dcc.reply = unreachable
    own = Store.open(database_url)
    with worker(Side(own, side.dcc)) as at_work:
        until(lambda: side.dcc.requests)
        postgres_server.restart("immediate")
        until(lambda: at_work.reconciler.failures)
        side.dcc.reply = side.dcc.accept
        side.store.database.engine.dispose()  # the test's own connections broke as well
        until(lambda: Stage.ACCEPTED in side.stages().values())
    own.close()
    assert 1 == len(set(side.dcc.counters))


def test_many_workers_send_each_request_once(side, database_url):
    """Four of them on one database: one request, whoever sent it."""
    stores = [Store.open(database_url) for _ in range(4)]
    crowd = []
    for store in stores:
        another = Side(store, side.dcc)
        another.now = side.now
        crowd.append(worker(another))
    side.begin(DeviceType.PPMID)
    for each in crowd:
        each.__enter__()
    try:
        until(lambda: Stage.ACCEPTED in side.stages().values())
    finally:
        for each in crowd:
            each.__exit__(None, None, None)
        for store in stores:
            store.close()
    assert ["UpdatePpmidFirmware"] == side.dcc.asked


def test_no_two_runs_have_one_name():
    """A process that is started again must not take its own old leases for its own."""
    names = {owner_name("x" * 100) for _ in range(100)}
    assert (100, True) == (len(names), all(len(name) <= 64 for name in names))


def test_a_rehearsals_clock_runs_faster_from_when_it_began():
    """Ten seconds of ours are two hours of the lab's at 720 times."""
    began = Instant(wall_clock() - 10 * SECOND)
    assert 2 * HOUR <= rehearsal_clock(began, 720.0)() - began < 2 * HOUR + HOUR
    with pytest.raises(UsageError, match="times"):
        rehearsal_clock(began, 0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"lease": SECOND // 2}, "--lease"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": 50.0}, "--timeout"),
        ({"poll": 0.0}, "--poll"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_at_the_start(wrong, named):
    """A lease that falls while the DCC is waited for would have two workers in one lane."""
    with pytest.raises(UsageError, match=named):
        Settings("sqlite://", **{"lease": MINUTE} | wrong).check()


def test_all_that_is_missing_is_named_at_once():
    """Not one after the other, at one start after the other; and how to say it."""
    with pytest.raises(UsageError, match=r"--keys or LAMPLIGHTER_KEYS .*; --dcc or LAMPLIGHTER_DCC"):
        Settings("sqlite://", tls=Tls()).require("keys", "dcc")


def test_a_worker_without_a_gateway_decides_and_sends_nothing(side):
    """Orders stand in the outbox for another one."""
    side.begin(DeviceType.PPMID)
    with Worker(side.store, None, poll=0.05):
        until(lambda: side.store.outbox.counts() == (1, 0))
    assert [] == ScriptedDcc().requests == side.dcc.requests
