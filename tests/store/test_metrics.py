"""Updates as columns, on both databases, against evidence that is read one piece at a time."""

import random
from dataclasses import replace

import numpy as np
import pytest

from lamplighter.campaign import Cause, Evidence, Fact, Progress, Stage, fold
from lamplighter.campaign.plan import Wave
from lamplighter.kit import FirmwareVersion, UsageError
from lamplighter.kit.instant import HOUR, MINUTE
from lamplighter.store import metrics as columns
from lamplighter.store.metrics import ENDED, LEFT, MILESTONES, NEVER, ORDERED, PROVEN, Metrics
from lamplighter.store.record import append_items
from tests.store.campaigning import ONE_WAVE, PPMIDS, START, SWITCHES, TARGET, Fleet

FACTS = [it for it in Fact if it not in {Fact.ORDERED, Fact.RECALLED, Fact.VERSION_READ, Fact.ACTIVATED}]


@pytest.fixture
def fleet(database_url):
    fleet = Fleet(database_url)
    yield fleet
    fleet.close()


def some_evidence(fleet, campaign, rng, pieces=6):
    """Facts in any order, versions right and wrong; what is ordered gets no second order."""
    rows = fleet.rows("SELECT id, progress FROM device_update WHERE campaign = :c ORDER BY id", c=campaign.id)
    items = []
    for number, progress in rows:
        for _ in range(rng.randrange(pieces)):
            at = START + rng.randrange(100) * MINUTE
            step = Progress(progress).step
            kind = rng.random()
            if kind < 0.25:
                version = rng.choice([TARGET, FirmwareVersion(0x11)])
                fact = rng.choice([Fact.ACTIVATED, Fact.VERSION_READ])
                items.append((number, step, Evidence(fact, at, "test", version=version), None))
            elif kind < 0.35:
                items.append((number, step, Evidence(Fact.ACTIVATED, at, "test"), None))
            else:
                cause = rng.choice([Cause.NONE, Cause.TRANSFER, Cause.SILENCE])
                items.append((number, step, Evidence(rng.choice(FACTS), at, "test", cause), None))
    with fleet.database.writing() as connection:
        append_items(fleet.database, connection, items, START + 3 * HOUR)


def by_hand(fleet, campaign):
    """Each update's device, progress and first testimonies, from the rows of evidence alone."""
    found = {}
    for number, device in fleet.rows(
        "SELECT id, device FROM device_update WHERE campaign = :c ORDER BY id", c=campaign.id
    ):
        rows = fleet.rows(
            "SELECT step, fact, at, cause, version FROM evidence WHERE device_update = :u", u=number
        )
        first = [NEVER] * (LEFT + 1)
        pieces = []
        for step, name, at, cause, said in rows:
            fact = Fact[name]
            version = None if said is None else FirmwareVersion(said)
            pieces.append((step, Evidence(fact, at, "", Cause(cause), "", version)))
            milestone = MILESTONES.get(fact)
            if version == TARGET:
                milestone = PROVEN
            elif fact is Fact.ACTIVATED and version is not None:
                milestone = None
            if milestone is not None:
                first[milestone] = min(first[milestone], at)
        first[ENDED] = min(first[ENDED], first[LEFT])
        found[number] = device, fold(pieces, TARGET).number, first
    return found


@pytest.mark.parametrize("full_scan", [0.0, 10.0])
def test_columns_are_what_the_evidence_says(fleet, monkeypatch, full_scan):
    """Whether all evidence is read or some of it is looked up, each update's row is that of its evidence."""
    monkeypatch.setattr(columns, "_FULL_SCAN", full_scan)
    rng = random.Random(20261124)
    fleet.devices(range(40))
    fleet.devices(range(40, 60), replace(PPMIDS, region="South", hub_model="B", model=2))
    first = fleet.start()
    fleet.make(first, 30)
    other = fleet.start(replace(ONE_WAVE, name="D"))
    some_evidence(fleet, first, rng)
    with fleet.database.writing() as connection:  # their homes are free for the other campaign
        connection.exec_driver_sql("UPDATE device_update SET busy = FALSE, ready_at = NULL")
    fleet.make(other, 30)
    some_evidence(fleet, other, rng)
    for campaigns in ([first], [other], [first, other]):
        found = Metrics(fleet.database).updates([it.id for it in campaigns])
        expected = {}
        for it in campaigns:
            expected |= by_hand(fleet, it)
        assert len(expected) > 20
        assert sorted(expected) == found.id.tolist()
        rows = zip(found.device.tolist(), found.progress.tolist(), found.first.tolist(), strict=True)
        assert [expected[it] for it in sorted(expected)] == list(rows)
        assert [it.name for it in campaigns] == [it.name for it in found.campaigns]


def test_places_are_those_of_cell_and_device(fleet):
    """Region and hub model are the cell's, wave and stratum its own, type and model the Device's."""
    fleet.devices(range(20))
    fleet.devices(range(20, 30), replace(PPMIDS, region="South", hub_model="B", model=3, hardware=1))
    campaign = fleet.start(replace(ONE_WAVE, waves=(Wave("a", 0.4), Wave("b", 1.0))))
    fleet.make(campaign, 50)
    found = Metrics(fleet.database).updates([campaign.id])
    places = {found.places[it] for it in found.place}
    assert {("C", 0, "North", "A", "PPMID", 0x1234, 1, 1), ("C", 0, "South", "B", "PPMID", 0x1234, 3, 1)} == {
        (it.campaign, it.wave, it.region, it.hub_model, it.type, it.manufacturer, it.model, it.hardware)
        for it in places
    }
    assert found.campaigns[0].exposed == 30
    assert found.campaigns[0].started_at == START


def test_a_device_that_the_registry_no_longer_knows_is_counted(fleet):
    """Its update stays, and so does its place; only its model is unknown."""
    fleet.devices(range(3))
    campaign = fleet.start()
    fleet.make(campaign, 3)
    with fleet.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM device")
    found = Metrics(fleet.database).updates([campaign.id])
    assert 3 == len(found)
    assert ("", -1, "North") == (found.places[0].type, found.places[0].model, found.places[0].region)


def test_a_campaign_says_what_its_release_cures(fleet):
    """As the release is marked when it is asked, whenever that was done."""
    fleet.devices(range(3))
    fleet.make(fleet.start(), 3)
    read = Metrics(fleet.database)
    assert [("R", None)] == [(it.release, it.security) for it in read.updates().campaigns]
    fleet.registry.mark_release("R", "CVE-2026-1234", START)
    assert [("R", "CVE-2026-1234")] == [(it.release, it.security) for it in read.updates().campaigns]


def test_an_update_belongs_to_the_period_of_its_first_order(fleet):
    """From is within, to is not; and campaigns that ordered nothing then are not there."""
    fleet.devices(range(30))
    early = fleet.start()
    fleet.make(early, 10)
    fleet.make(early, 5, now=START + 2 * HOUR)
    late = fleet.start(replace(ONE_WAVE, name="D"), START + 5 * HOUR)
    metrics = Metrics(fleet.database)
    assert 15 == len(metrics.updates())
    assert 10 == len(metrics.updates(end=START + HOUR))
    assert 10 == len(metrics.updates(start=START, end=START + 2 * HOUR))
    assert 5 == len(metrics.updates(start=START + 2 * HOUR))
    assert 0 == len(metrics.updates(start=START + 3 * HOUR))
    assert 0 == len(metrics.updates([late.id]))
    assert ["C"] == [it.name for it in metrics.updates().campaigns]
    with pytest.raises(UsageError, match="no campaign 99"):
        metrics.updates([99])


def test_two_step_updates_have_the_same_columns(database_url):
    """An HCALCS reports its version, and that alone is its proof."""
    from lamplighter.registry import Procedure

    fleet = Fleet(database_url, Procedure.TWO_STEP)
    fleet.devices(range(2), SWITCHES)
    campaign = fleet.start()
    fleet.make(campaign, 2)
    device = min(fleet.ordered(campaign))
    fleet.hear(campaign, device, Fact.IMAGE_VERIFIED, START + HOUR)
    fleet.hear(campaign, device, Fact.ACTIVATED, START + 2 * HOUR, version=TARGET)
    found = Metrics(fleet.database).updates([campaign.id])
    times = np.sort(found.first, axis=0)[0].tolist()
    assert [START, NEVER, NEVER, START + HOUR, NEVER, START + 2 * HOUR, NEVER, NEVER] == times
    assert Stage.PROVEN == Progress(int(found.progress.max())).stage
    assert ORDERED == 0
    fleet.close()
