"""The two nights on which the clocks change, from the plan to the Device: no order goes out at a wrong time.

Everything runs in this thread on the lab's virtual clock, with the real octets: days pass in seconds.
"""

from dataclasses import replace
from datetime import date

import pytest

from lamplighter.campaign import Stage
from lamplighter.campaign.windows import LONDON, Kind, Window
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, from_iso, to_datetime
from lamplighter.lab import homes
from lamplighter.lab.dcc.dsp import Requested
from lamplighter.lab.devices import events
from lamplighter.store import Store

from . import truth
from .estate import KINDS, NEW_VERSION, Supplier, begin, plan, register

ONE = (60, 120)  # local minutes: the hour that is missing in March, and comes twice in October
HOMES = 4


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


def run(store, start):
    """Update every Device, with orders and activations in that hour alone; the world that it was done in."""
    lab = homes.build_world(f"clocks {start}", HOMES, start=from_iso(start))
    supplier = Supplier(lab, store)
    for kind, release in register(store, lab).items():
        in_that_hour = {
            "windows": (Window(*ONE, kinds=frozenset({Kind.UPDATE})),),
            "activate_at": ONE if kind.value == "HCALCS" else None,
        }
        begin(store, release, replace(plan(kind, activation="3d"), **in_that_hour), lab.world.now)
    assert supplier.run(Instant(lab.world.now + 30 * DAY)), "a campaign has not ended"
    assert 0 == supplier.reconciler.failures
    return lab


def local(at):
    return to_datetime(at).astimezone(LONDON)


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("2026-03-28T12:00:00Z", date(2026, 3, 30)),  # of the 29th there is no such hour
        ("2026-10-24T12:00:00Z", date(2026, 10, 25)),
    ],
)
def test_no_order_goes_out_at_a_wrong_time_though_the_clocks_change(store, start, first):
    """By the clocks where people live, all is ordered and activated between one and two; none is lost."""
    lab = run(store, start)
    ordered = [
        local(at)
        for at, _, event in lab.world.events
        if isinstance(event, Requested) and event.srv in {"11.1", "11.4"} and event.refusal is None
    ]
    switches = {str(home.hcalcs) for home in lab.homes}
    activated = [
        local(at)
        for at, source, event in lab.world.events
        if isinstance(event, events.Booted) and source in switches and event.version == NEW_VERSION
    ]
    assert {1} == {at.hour for at in ordered}
    assert first == min(ordered).date()
    assert {1} == {at.hour for at in activated}
    everyone = [getattr(home, kind.value.lower()) for home in lab.homes for kind in KINDS]
    assert {Stage.PROVEN: 2 * HOMES} == truth.stages(store, everyone)
    assert dict.fromkeys(map(str, everyone), 1) == truth.activations(lab, everyone)
