"""kill -9 of any process at any moment, and SIGSTOP past its lease, against real processes and a real lab.

At the end no Device is lost and none updated twice, every request id had effect once at most, what is counted
is what the evidence says, and every campaign has ended.
"""

import sys
from collections import Counter
from time import monotonic

import pytest

from lamplighter.campaign import Stage
from lamplighter.store import Store

from .processes import Rig, names, refused, schedule

WORKERS = {"sqlite": 0, "postgresql": 2}  # beside `serve`; SQLite has one process


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


def say(text):
    """For whoever has to find out why: pytest shows it where a test fails."""
    sys.stdout.write(f"{text}\n")


def matrix(database_url, store, tmp_path, *, seed, homes, strikes, seconds):
    workers = WORKERS[database_url.partition(":")[0].partition("+")[0]]
    planned = schedule(seed, workers + 1, strikes)
    say(f"seed {seed}, {homes} homes, {workers + 1} processes, {strikes} strikes")
    with Rig(tmp_path, database_url, workers, homes, f"matrix {seed}", store) as rig:
        began = monotonic()
        landed = rig.strike_all(planned, seconds)
        struck = monotonic()
        rig.finish(seconds)
        say(f"seed {seed}: struck for {struck - began:.1f} s, over after {monotonic() - struck:.1f} s more")
        starts = sum(process.starts for process in rig.processes)
        say(f"seed {seed}: {landed} strikes landed, {starts} starts, {rig.asked} requests")
    everyone = names(rig.lab)
    assert Counter({Stage.PROVEN: len(everyone)}) == rig.stages()
    assert Counter(dict.fromkeys(everyone, 1)) == rig.activations()
    assert [] == rig.sent_in_vain()
    assert [] == refused(store)
    assert 1 == max(rig.sent_with_effect().values())
    assert [] == [it for campaign in rig.campaigns for it in store.record.recount(campaign)]
    # The campaigns end when they end; but a siege of few strikes would prove little.
    assert landed >= strikes // 4


@pytest.mark.parametrize("seed", [7])  # a process dies of its very first request
def test_nothing_is_lost_or_done_twice_whoever_is_killed(database_url, store, tmp_path, seed):
    """A few homes, and a few strikes."""
    matrix(database_url, store, tmp_path, seed=seed, homes=6, strikes=5, seconds=120)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 16))
def test_nothing_is_lost_or_done_twice_in_a_long_siege(database_url, store, tmp_path, seed):
    """Fifty homes, and strikes to the end of the campaigns."""
    matrix(database_url, store, tmp_path, seed=seed, homes=50, strikes=40, seconds=420)
