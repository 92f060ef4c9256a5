"""kill -9 of any process at any moment, and SIGSTOP past its lease, against real processes and a real lab.

So are the database server, and the pages through which the operator acts; disks are full for a while. At
the end no Device is lost and none updated twice, every request id had effect once at most, what is counted is
what the evidence says, nobody was harmed after a hold, every act was done once, and every campaign has ended.
"""

import sys
from collections import Counter
from dataclasses import replace
from time import monotonic

import pytest

from lamplighter.campaign import Stage
from lamplighter.store import Store

from . import truth
from .processes import LEASE_MICROSECONDS, Rig
from .strikes import DECKS, STRIKES, Blow, Case, Ending, Moment, Strike, Victim, deal

SEEDS = range(12, 18)  # a whole deck for each database
SHORT = {
    "sqlite": Case(
        7,
        (
            Strike(Victim.SENDER, Blow.KILL, Moment.ASKED),  # a process dies of its very first request
            Strike(Victim.SERVE, Blow.FILL, Moment.BROUGHT),
            Strike(Victim.WEB, Blow.KILL, Moment.DONE),
        ),
        Ending.RELEASED,
        "never-boots",
        dated=False,
    ),
    "postgresql": Case(
        7,
        (
            Strike(Victim.SENDER, Blow.STOP, Moment.CARRIED_OUT, update=True),
            Strike(Victim.RECEIVER, Blow.KILL, Moment.BROUGHT),
            Strike(Victim.DATABASE, Blow.CRASH, Moment.CARRIED_OUT, 2),
        ),
        Ending.ABORTED,
        "never-boots",
        dated=False,
    ),
}


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def server(request, database_url):
    """The database server; None: there is none."""
    return None if database_url.startswith("sqlite") else request.getfixturevalue("postgres_server")


def say(text):
    """For whoever has to find out why: pytest shows it where a test fails, and `-rA` always."""
    sys.stdout.write(f"{text}\n")


def besiege(case, database_url, store, server, tmp_path):
    with Rig(tmp_path, database_url, store, case, server) as rig:
        said = f"seed {case.seed} on {rig.kind}"
        say(f"{said}: {case.ending.name} {case.manner}; planned: {'; '.join(map(str, case.strikes))}")
        began = monotonic()
        rig.begin(rig.town.first)
        rig.strike_all()
        struck = monotonic()
        rig.finish()
        say(f"{said}: struck for {struck - began:.1f} s, over after {monotonic() - struck:.1f} s more")
        starts = sum(process.starts for process in rig.processes)
        say(f"{said}: landed {rig.landed.total()} of {len(case.strikes)}; {starts} starts")
        say(f"{said}: {rig.asked} requests, {rig.put_off} messages put off")
        say(f"{said}: {rig.taken_over} taken over, {rig.late_writes_refused} late writes refused")
    assert Counter(map(str, case.strikes)) == rig.landed
    stops = sum(it.victim is Victim.SENDER and it.blow is Blow.STOP for it in case.strikes)
    if server is not None:  # else there is nobody else to take over
        assert stops == rig.taken_over
        assert stops <= rig.late_writes_refused
    check_good(rig, store)
    check_bad(rig, store)
    assert 1 == max(truth.sent_with_effect(rig.lab).values())
    assert [] == [it for campaign in rig.campaigns for it in store.record.recount(campaign)]
    acts = Counter((number, it.what) for number in rig.campaigns for it in store.campaigns.events(number))
    assert {1} == {acts[number, "start"] for number in rig.campaigns}


def check_good(rig, store):
    """Whoever gets firmware that works runs it at the end, was sent it once, and has started it once."""
    good = rig.town.good
    assert Counter({Stage.PROVEN: len(good)}) == truth.stages(store, good)
    assert Counter(dict.fromkeys(map(str, good), 1)) == truth.activations(rig.lab, good)
    assert [] == truth.sent_in_vain(rig.lab, good)
    assert [] == truth.refused(store, good)


def check_bad(rig, store):
    """Whoever is held is left alone until the operator has said what to do, and is no success afterwards."""
    bad, case = rig.town.bad, rig.case
    if case.ending is Ending.SOUND:
        assert (frozenset(), None) == (bad, rig.held_at)
        return
    held, seen_to = rig.held_at, rig.seen_to_at
    assert [] == truth.ordered_between(store, bad, held, seen_to)
    # Whatever the DCC was being handed as the hold fell, it has within a lease.
    assert [] == truth.sent_between(rig.lab, bad, held + LEASE_MICROSECONDS, seen_to)
    stages = truth.stages(store, bad)
    assert not stages[Stage.PROVEN]
    if case.ending is Ending.RELEASED:
        assert Counter({Stage.FAILED: len(bad)}) == stages
    else:
        assert {Stage.FAILED, Stage.CANCELLED} >= set(stages)
        assert 0 < stages.total() < len(bad)


@pytest.mark.parametrize("kind", DECKS)
def test_the_cases_together_do_everything_to_everybody(kind):
    """Each card falls, each ending comes, firmware is bad in both ways, and activation is dated or not."""
    cases = [deal(seed, kind) for seed in SEEDS]
    assert {replace(card, nth=1) for card in DECKS[kind]} == {
        replace(strike, nth=1) for case in cases for strike in case.strikes
    }
    assert {STRIKES} == {len(case.strikes) for case in cases}
    assert dict.fromkeys(Ending, 2) == Counter(case.ending for case in cases)
    assert 2 == len({case.manner for case in cases if case.manner})
    assert {True, False} == {case.dated for case in cases}


def test_nothing_is_lost_or_done_twice_whoever_is_struck(database_url, store, server, tmp_path):
    """A few strikes, the same each time."""
    kind = "sqlite" if server is None else "postgresql"
    besiege(SHORT[kind], database_url, store, server, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_done_twice_in_a_long_siege(database_url, store, server, tmp_path, seed):
    """As many strikes as a case has, drawn by its seed."""
    kind = "sqlite" if server is None else "postgresql"
    besiege(deal(seed, kind), database_url, store, server, tmp_path)
