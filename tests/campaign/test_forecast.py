"""Forecasts as values: what is between two moments, when reality has left, and what the store may hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign.forecast import (
    Direction,
    Forecast,
    Three,
    decode,
    departure,
    encode,
    first_departure,
)
from lamplighter.kit import Instant, UsageError

START = Instant(1_900_000_000_000_000)


def made(**changes):
    """Nobody by 0, all by 200, give or take 10 in the middle."""
    values = {
        "made_at": START,
        "devices": 100,
        "since_start": (0, 100, 200),
        "low": (0, 40, 100),
        "middle": (0, 50, 100),
        "high": (0, 60, 100),
        "ends": Three(150, 200, 250),
        "failures": Three(0, 1, 2),
        "requests": {"11.4": Three(1, 2, 3)},
        "reach": 2.0,
        "sure": 0.95,
        "members": 19,
    }
    return Forecast(**(values | changes))


def test_what_is_stored_comes_back():
    """A forecast is the same after the store."""
    assert made() == decode(encode(made()))


def test_between_two_moments_the_band_is_straight():
    """Halfway to the second moment, half of it; before and after, the ends."""
    assert Three(20, 25, 30) == made().at(50)
    assert Three(0, 0, 0) == made().at(-5)
    assert Three(100, 100, 100) == made().at(10_000)


@pytest.mark.parametrize(
    ("since", "proven", "expected"),
    [
        (-1, 99, None),
        (200, 29, None),  # what was due a step before: 50 less 2 times 10, and one
        (200, 28, Direction.BEHIND),
        (0, 71, None),  # what is due a step later
        (0, 72, Direction.AHEAD),
        (10_000, 98, Direction.BEHIND),
        (10_000, 99, None),
    ],
)
def test_an_alarm_looks_at_the_wider_band_one_step_and_one_device_off(since, proven, expected):
    """Not at the 80 % band, which any campaign leaves now and then."""
    found = departure(made(), since, proven)
    assert expected == (None if found is None else found.direction)


def test_the_first_departure_of_a_series_is_told():
    """Whatever comes after."""
    series = [(Instant(START + 10), 1), (Instant(START + 300), 20), (Instant(START + 400), 10)]
    found = first_departure(made(), START, series)
    assert found is not None
    assert (300, 20) == (found.since, found.proven)
    assert "behind the forecast: 20 Devices proven" in found.text
    assert first_departure(made(), START, series[:1]) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"low": (0, 40)},
        {"since_start": (0, 0, 200)},
        {"since_start": (-1, 0, 200)},
        {"low": (0, 70, 100)},
        {"low": (-1, 40, 100)},
        {"level": 1.0},
        {"reach": 0.5},
        {"reach": float("nan")},
        {"since_start": (), "low": (), "middle": (), "high": ()},
    ],
)
def test_a_band_that_is_none_is_refused(changes):
    """Wherever it comes from."""
    with pytest.raises(UsageError, match="forecast"):
        made(**changes)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)
    )
)
def test_no_document_in_the_store_can_do_more_than_be_refused(document):
    """Reading is total."""
    with pytest.raises(UsageError):
        decode(json.dumps(document))


@given(st.sampled_from(sorted(json.loads(encode(made())))), st.none() | st.text("xyz") | st.lists(st.none()))
def test_a_document_with_one_bad_value_is_refused(key, value):
    """Each key is read with suspicion."""
    document = json.loads(encode(made())) | {key: value}
    with pytest.raises(UsageError):
        decode(json.dumps(document))
