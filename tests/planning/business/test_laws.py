"""Laws: they draw what they say, and within what the input allows."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import UsageError
from lamplighter.planning.business.draws import stream
from lamplighter.planning.business.laws import KINDS, checked
from planning.business.cases import law

DRAWS = 200_000
LAWS = [
    law("uniform", 2, 5),
    law("triangular", 1, 1.5, 7),
    law("triangular", 0, 0, 1),
    law("pert", 10, 12, 30),
    law("pert", 0, 1, 1),
    law("lognormal", 0.5, 8),
    law("lognormal", 0.1, 2, high=1.5 + 1),
    law("lognormal", 0.2, 0.9, low=0.1, high=1),
    law("beta", 2, 5, high=1),
    law("beta", 0.5, 0.5, high=1),
    law("choice", 1, 2, 10, 5, 3, 2),
]


@pytest.mark.parametrize("it", LAWS, ids=str)
def test_draws_have_the_mean_that_the_law_says(it):
    """The mean of many draws is the law's mean, within four standard errors, what is cut included."""
    drawn = it.draw(stream(3, str(it), 0), DRAWS)
    assert abs(drawn.mean() - it.mean) < 4 * drawn.std() / sqrt(DRAWS)
    assert it.low <= drawn.min()
    assert it.high >= drawn.max()


def test_a_lognormal_has_the_percentiles_it_is_given_by():
    """Eight draws of ten lie between the two numbers, one below and one above."""
    drawn = law("lognormal", 3, 40).draw(stream(1, "x", 0), DRAWS)
    low, high = np.percentile(drawn, (10, 90))
    assert pytest.approx(3, rel=0.02) == low
    assert pytest.approx(40, rel=0.02) == high


def test_a_choice_has_the_shares_of_its_weights():
    """Values come as often as their weights say, whatever those add up to."""
    drawn = law("choice", 1, 2, 7, 21).draw(stream(1, "x", 0), DRAWS)
    assert pytest.approx(0.25, abs=0.005) == (drawn == 1).mean()


def test_what_is_fixed_is_one_number_for_all():
    """A fixed law is not drawn: one number stands for all futures."""
    assert [7.0] == law("value", 7).draw(stream(1, "x", 0), DRAWS).tolist()


_NUMBER = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-3, 3).map(float)


@given(st.sampled_from(list(KINDS)), st.lists(_NUMBER, max_size=6).map(tuple), st.booleans())
def test_any_numbers_make_a_law_or_an_error(kind, parameters, is_share):
    """A law that is made draws numbers within its range, and nothing else ever comes out."""
    low, high = (0.0, 1.0) if is_share else (0.0, 1e12)
    try:
        it = checked(kind, parameters, low, high)
    except UsageError:
        return
    drawn = it.draw(stream(1, "x", 0), 50)
    assert np.isfinite(drawn).all()
    slack = 1e-9 * max(1.0, abs(it.mean))
    assert low - slack <= drawn.min()
    assert high + slack >= drawn.max()
    assert low - slack <= it.mean <= high + slack
    assert str(it)
