"""A fifth of all alerts lost, doubled and reordered: the Supplier ends up knowing what the world really is.

Everything runs in this thread on the lab's virtual clock, with the real octets: days pass in seconds.
"""

import pytest
from sqlalchemy import select

from lamplighter.campaign import Progress, Stage
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY
from lamplighter.lab import homes
from lamplighter.lab.dcc.dsp import Requested
from lamplighter.lab.devices import events
from lamplighter.lab.faults import Leg, Scheduled
from lamplighter.store import Store
from lamplighter.store import schema as s

from .estate import KINDS, NEW_VERSION, Supplier, begin, plan, register

FIFTH = 0.2
MESSY = [
    Scheduled(name, probability=FIFTH, parameters={"leg": leg.value})
    for name in ("lost-alert", "duplicated-alert", "reordered-alerts")
    for leg in Leg
]
LATE = [Scheduled("delayed-alert", probability=FIFTH, parameters={"leg": leg.value}) for leg in Leg]


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


def run(store, seed, faults, count=12):
    lab = homes.build_world(seed, count, faults=faults)
    releases = register(store, lab)
    supplier = Supplier(lab, store)
    campaigns = [begin(store, releases[kind], plan(kind), lab.world.now) for kind in KINDS]
    assert supplier.run(Instant(lab.world.now + 60 * DAY)), "a campaign has not ended"
    assert 0 == supplier.reconciler.failures
    assert [] == [it for campaign in campaigns for it in store.record.recount(campaign)]
    return supplier


def stages_of(store):
    """What the Supplier says of each Device at the end."""
    columns = s.device_update.c
    with store.database.reading() as connection:
        rows = connection.execute(select(columns.device, columns.progress))
        return {device: Progress(progress).stage for device, progress in rows}


def flashed_again(lab):
    """Devices that were sent the image, by an accepted request, when the DCC had told us that they run it."""
    proven, found = set(), []
    for _, source, event in lab.world.events:
        match event:
            case events.Booted(version=version) if version == NEW_VERSION:
                proven.add(source)
            case Requested(srv="11.1" | "11.4", refusal=None, devices=devices):
                found += [device for device in devices if str(device) in proven]
            case _:
                pass
    return found


@pytest.mark.parametrize("seed", ["chaos 1", "chaos 2"])
def test_with_a_fifth_of_alerts_lost_doubled_and_reordered_we_know_what_the_world_is(store, seed):
    """Every Device ends in the state that the world really has, and none is flashed that runs the image."""
    supplier = run(store, seed, MESSY)
    acted = supplier.lab.mischief.acted
    assert {"lost-alert", "duplicated-alert", "reordered-alerts"} == {name for name in acted if acted[name]}
    stages = stages_of(store)
    truth = supplier.truth(stages)
    assert 2 * len(supplier.lab.homes) == len(stages)
    wrong = {
        device: (stage, truth[device])
        for device, stage in stages.items()
        if (stage is Stage.PROVEN) != (truth[device] == NEW_VERSION)
    }
    assert {} == wrong
    assert set(stages.values()) == {Stage.PROVEN}
    assert [] == flashed_again(supplier.lab)


def test_what_comes_days_late_changes_nothing_that_is_proven(store):
    """A fifth of alerts is three days late besides: the same holds, and old words take no proof back."""
    supplier = run(store, "late", MESSY + LATE)
    stages = stages_of(store)
    truth = supplier.truth(stages)
    assert {device: stage is Stage.PROVEN for device, stage in stages.items()} == {
        device: version == NEW_VERSION for device, version in truth.items()
    }
    supplier.lab.world.run_until(Instant(supplier.clock() + 5 * DAY))
    supplier.settle()
    assert stages == stages_of(store)
    assert [] == flashed_again(supplier.lab)
