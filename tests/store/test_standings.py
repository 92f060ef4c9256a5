"""Where Devices stand, and why they fail: counted from the tallies, and from the updates themselves."""

from __future__ import annotations

import pytest

from lamplighter.campaign import Cause, Fact, State
from lamplighter.store.standings import Standings
from tests.store.campaigning import HOUR, START, Fleet, Instant, Plan, Wave, eui


@pytest.fixture
def fleet(database_url):
    """Ten Devices, in a campaign that has ordered eight of them."""
    found = Fleet(database_url)
    found.devices(range(10))
    yield found
    found.close()


def test_states_and_causes(fleet):
    """Every campaign's Devices by state; failures by cause with an example, the most first."""
    campaign = fleet.start(Plan("C", (Wave("all", 1.0),), approvals=0))
    fleet.make(campaign, 8)
    ordered = sorted(fleet.ordered(campaign))
    at = Instant(START + HOUR)
    for device in ordered[:3]:
        fleet.hear(campaign, device, Fact.TRANSFER_FAILED, at, Cause.TRANSFER)
    fleet.hear(campaign, ordered[3], Fact.REFUSED, at, Cause.ACCESS)
    standings = Standings(fleet.database)
    found = standings.states()[campaign.id]
    counted = [found.states[it] for it in (State.TRANSFER_FAILED, State.REFUSED, State.QUEUED)]
    assert [3, 1, 6] == counted, "four that were ordered are queued, and two that no order was made for"
    assert (10, 0) == (found.total, found.held)
    most, least = standings.causes(campaign.id)
    assert (State.TRANSFER_FAILED, Cause.TRANSFER, 3) == most[:3]
    assert (State.REFUSED, Cause.ACCESS, 1, ordered[3]) == least
    assert most.example in ordered[:3]


def test_another_campaigns_failures_are_its_own(fleet):
    """Nothing is counted twice, and a campaign without Devices has no standing."""
    one = fleet.start(Plan("one", (Wave("all", 1.0),), approvals=0))
    fleet.make(one, 10)
    fleet.hear(one, eui(1), Fact.REFUSED, Instant(START + 1), Cause.ACCESS)
    two = fleet.campaigns.create(Plan("two", (Wave("all", 1.0),), approvals=0), fleet.release, "o", START)
    standings = Standings(fleet.database)
    assert [] == standings.causes(two)
    assert two not in standings.states()


def test_every_plan_that_a_draft_had_is_kept(fleet):
    """With who wrote it, who gave their word for it, and in their order."""
    first = Plan("C", (Wave("all", 1.0),), approvals=1)
    second = Plan("C", (Wave("all", 1.0),), approvals=1, batch_max=7)
    number = fleet.campaigns.create(first, fleet.release, "operator1", START)
    fleet.campaigns.approve(number, "reviewer1", fleet.campaigns.find(number).digest, START)
    fleet.campaigns.revise(number, second, "deputy1", Instant(START + 1))
    one, two = fleet.campaigns.plans(number)
    assert (1, first, "operator1", ("reviewer1",)) == (one.number, one.plan, one.who, one.approvers)
    assert (2, second, "deputy1", ()) == (two.number, two.plan, two.who, two.approvers)
    assert fleet.campaigns.find(number).digest == two.digest
