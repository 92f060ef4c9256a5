"""Forecasts in the database: kept, held against what happens, and an alarm where the two part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lamplighter.campaign.evidence import Fact
from lamplighter.campaign.forecast import Direction, Forecast, Three
from lamplighter.kit import Instant, UsageError
from lamplighter.store.forecasts import EVERY, Forecasts

from .campaigning import HOUR, START, TARGET, Fleet, eui

FORECAST = Forecast(
    made_at=START,
    devices=10,
    since_start=tuple(range(0, 11 * HOUR, HOUR)),
    low=tuple(range(11)),
    middle=tuple(range(11)),
    high=tuple(range(11)),
    ends=Three(HOUR, HOUR, HOUR),
    failures=Three(0, 0, 0),
    members=19,
)


@pytest.fixture
def fleet(database_url):
    fleet = Fleet(database_url)
    fleet.devices(range(10))
    yield fleet
    fleet.close()


def _prove(fleet, campaign, numbers, at):
    for number in numbers:
        fleet.hear(campaign, eui(number), Fact.ACTIVATED, at, version=TARGET)


def test_the_latest_forecast_counts(fleet):
    """One more is kept beside the first."""
    forecasts, campaign = Forecasts(fleet.database), fleet.start()
    assert forecasts.latest(campaign.id) is None
    forecasts.save(campaign.id, FORECAST, "operator", START)
    later = replace(FORECAST, made_at=Instant(START + 1))
    forecasts.save(campaign.id, later, "operator", START)
    assert later == forecasts.latest(campaign.id)
    assert "forecast" in [it.what for it in fleet.campaigns.events(campaign.id)]


def test_a_forecast_of_no_campaign_is_refused(fleet):
    """Nothing is kept."""
    with pytest.raises(UsageError, match="no campaign"):
        Forecasts(fleet.database).save(77, FORECAST, "operator", START)


def test_reality_that_leaves_the_band_is_an_entry_and_its_return_another(fleet):
    """Once each, however often one looks; by evidence, and not by what anybody says."""
    forecasts, campaign = Forecasts(fleet.database), fleet.start()
    fleet.make(campaign, 10)
    forecasts.save(campaign.id, FORECAST, "operator", START)
    assert forecasts.watch(None, campaign, START) is None
    late = Instant(START + 6 * HOUR)
    left = forecasts.watch(None, campaign, late)
    assert left is not None
    assert (Direction.BEHIND, 0) == (left.direction, left.proven)
    assert forecasts.watch(None, campaign, Instant(late + EVERY)) is not None
    assert late == forecasts.alarmed(campaign.id)
    _prove(fleet, campaign, range(6), Instant(late + EVERY))
    assert forecasts.watch(None, campaign, Instant(late + 2 * EVERY)) is None
    assert forecasts.alarmed(campaign.id) is None
    told = [it.what for it in fleet.campaigns.events(campaign.id) if it.what.startswith("forecast ")]
    assert ["forecast left", "forecast kept"] == told
    assert [(START, 0), (late, 0), (late + EVERY, 0), (late + 2 * EVERY, 6)] == forecasts.actual(campaign.id)


def test_between_two_looks_nothing_is_written(fleet):
    """However often the reconciler comes by; but a clock that is put back is looked at anew."""
    forecasts, campaign = Forecasts(fleet.database), fleet.start()
    for seconds in (0, 1, 2, 3):
        forecasts.watch(None, campaign, Instant(START + seconds * 1_000_000))
    assert 1 == len(forecasts.actual(campaign.id))
    forecasts.watch(None, campaign, Instant(START - HOUR))
    assert 2 == len(forecasts.actual(campaign.id))


def test_two_reconcilers_that_look_at_once_write_one_sample(fleet):
    """The second one's figure holds."""
    one, other, campaign = Forecasts(fleet.database), Forecasts(fleet.database), fleet.start()
    one.watch(None, campaign, START)
    other.watch(None, campaign, START)
    assert [(START, 0)] == one.actual(campaign.id)
