"""The value of knowing, against cases whose answer is known."""

from __future__ import annotations

from math import exp, pi, sqrt

import numpy as np
import pytest

from lamplighter.planning.business import value
from lamplighter.planning.business.draws import BLOCK, inputs, stream
from lamplighter.planning.business.model import COSTS, Option, evaluate
from lamplighter.planning.business.value import Value
from planning.business.cases import EXAMPLE, changed

FUTURES = 10_000


def dice(seed):
    """A generator of the test's own."""
    return stream(seed, "test of value", 0)


def two_options(seed, noise=1.0, shift=0.0):
    """Costs 0, and x + noise + shift; x is uniform on -1..1."""
    draw = dice(seed)
    x = draw.uniform(-1, 1, FUTURES)
    return np.stack([np.zeros(FUTURES), x + shift + noise * draw.standard_normal(FUTURES)]), x


def test_a_known_answer_is_found_through_noise():
    """With x uniform on -1..1, to know it saves E[max(0, -x)] = 1/4, whatever the noise."""
    costs, x = two_options(1, noise=2.0)
    found = value.partial(costs, x, "x", 1)
    assert abs(found.amount - 0.25) < 3 * found.error
    assert found.is_told


def test_the_error_is_as_large_as_estimates_differ():
    """Over forty samples the estimates scatter as much as each says it may be off."""
    # Shifted: where two options cost the same, choosing the better of the sample flatters it.
    found = [value.partial(*two_options(seed, shift=0.1), "x", seed) for seed in range(40)]
    scatter = np.std([it.amount for it in found])
    assert pytest.approx(scatter, rel=0.35) == np.mean([it.error for it in found])
    assert abs(np.mean([it.amount for it in found]) - 0.9**2 / 4) < 4 * scatter / sqrt(40)


def test_a_straight_choice_between_three_normals():
    """Three options, two of which hang on x: the mean of the best of them is known in closed form."""
    draw = dice(7)
    x = draw.standard_normal(FUTURES)
    costs = np.stack([np.zeros(FUTURES), x, -x]) + 0.5 * draw.standard_normal((3, FUTURES))
    found = value.partial(costs, x, "x", 1)
    # E[max(0, x, -x)] = E|x|.
    assert abs(found.amount - sqrt(2 / pi)) < 3 * max(found.error, 0.008)


def test_a_curve_is_followed():
    """The gain need not be straight in the input: here it is a parabola."""
    draw = dice(2)
    x = draw.uniform(-1, 1, FUTURES)
    costs = np.stack([np.zeros(FUTURES), x**2 - 0.25 + 0.3 * draw.standard_normal(FUTURES)])
    # E[max(0, 1/4 - x^2)] = integral from -1/2 to 1/2, over 2.
    found = value.partial(costs, x, "x", 1)
    assert abs(found.amount - (0.25 - 2 * 0.5**3 / 3) / 2) < 4 * found.error


def test_a_few_values_have_a_mean_each():
    """An input with three values is not smoothed: each value's own gain counts."""
    draw = dice(3)
    x = draw.integers(0, 3, FUTURES).astype(float)
    gain = np.array([-1.0, 2.0, -1.5])[x.astype(int)]
    costs = np.stack([np.zeros(FUTURES), gain + draw.standard_normal(FUTURES)])
    found = value.partial(costs, x, "x", 1)
    # The best without knowing is the second, at -1/6 on average; with it, (-1 + 0 - 1.5) / 3.
    assert abs(found.amount - (2.5 / 3 - 0.5 / 3)) < 4 * max(found.error, 0.01)


def test_what_decides_nothing_is_worth_nothing():
    """An input that changes the costs but never the decision has no value, however much it matters."""
    costs, x = two_options(5, noise=0.1, shift=5.0)
    assert pytest.approx(0.0, abs=1e-12) == value.partial(costs, x, "x", 1).amount
    assert not value.partial(costs, x, "x", 1).is_told


def test_noise_is_not_told_from_nothing():
    """An input that has nothing to do with the costs is not given a value."""
    told = 0
    for seed in range(30):
        costs, _ = two_options(seed, shift=0.1)
        told += value.partial(costs, dice(seed + 1000).standard_normal(FUTURES), "noise", 1).is_told
    assert told <= 6


def test_an_input_that_is_always_the_same_is_worth_nothing():
    """What is known already is not worth asking for."""
    costs, _ = two_options(1)
    assert Value(0.0, 0.0) == value.partial(costs, np.full(FUTURES, 3.0), "x", 1)


def test_an_input_that_is_mostly_the_same_is_not_a_crash():
    """Quantiles that fall together make a straight line of the spline."""
    costs, x = two_options(1)
    mostly = np.where(np.arange(FUTURES) % 50 == 0, x, 0.0)
    assert value.partial(costs, mostly, "x", 1).amount >= 0


@pytest.mark.parametrize("ratio", [4, 400, 40_000])
@pytest.mark.parametrize("seed", range(5))
def test_a_skewed_input_is_no_crash(ratio, seed):
    """A lognormal over orders of magnitude makes curves that are nearly alike; its value is found."""
    sigma = np.log(ratio) / (2 * 1.2815515655446004)
    draw = dice(seed)
    x = np.exp(sigma * draw.standard_normal(FUTURES))
    gain = x / x.mean() - 0.7
    costs = np.stack([gain + draw.standard_normal(FUTURES), np.zeros(FUTURES)])
    # In proportion, as costs are to what happens: knowing saves what is lost where there is less.
    exact = np.maximum(-gain, 0).mean()
    found = value.partial(costs, x, "x", seed)
    assert found.error > 0
    assert abs(found.amount - exact) < 4 * found.error + 0.02 * exact


@pytest.mark.parametrize(
    "laws",
    [
        {"events.frequency": ("lognormal", 0.005, 2.0)},
        {"events.frequency": ("lognormal", 0.01, 3.0)},
        {"events.severity": ("lognormal", 0.02, 8.0)},
    ],
)
def test_a_study_of_a_skewed_case_is_no_crash(laws):
    """What a person may write of rare events is worked through, whatever the seed."""
    for seed in (1, 2, 3):
        case = changed(EXAMPLE, laws, scenarios=())
        (key,) = laws
        figures = [evaluate(case, (), seed, block).figures for block in range(2)]
        costs = np.concatenate(
            [np.stack([it[list(COSTS[option])].sum(axis=0) for option in Option]) for it in figures], axis=1
        )
        found = value.partial(costs, inputs(case, seed, 2 * BLOCK)[key], key, seed)
        assert 0 <= found.error < np.inf
        assert 0 < found.amount <= value.perfect(costs)


def test_to_know_all_is_worth_the_best_of_each_future():
    """E[min] against min E: for two independent normals, 1/sqrt(pi) times their spread."""
    costs = dice(1).standard_normal((2, 100_000))
    assert pytest.approx(1 / sqrt(pi), abs=0.02) == value.perfect(costs)
    assert 0 <= value.perfect(np.exp(costs)) <= exp(0.5)


def test_no_input_is_worth_more_than_all_together():
    """A curve that fits badly swings beyond the truth; the report would contradict itself."""
    x = dice(11).uniform(0, 600, FUTURES)
    costs = np.stack([np.zeros(FUTURES), np.where(x < 120, 5e6 * (1 - x / 120), 0.0)])
    assert 0.0 == value.perfect(costs)
    assert 0.0 == value.partial(costs, x, "x", 1).amount


def test_where_most_futures_have_one_value_the_others_still_bend_the_curve():
    """Quantiles fall together there; knots among the different values are still apart."""
    x = np.where(dice(12).random(FUTURES) < 0.7, 6.0, dice(13).integers(0, 13, FUTURES))
    gain = 40.0 - 20.0 * np.abs(x - 6.0)
    costs = np.stack([np.zeros(FUTURES), gain])
    truth = value.perfect(costs)
    assert pytest.approx(truth, rel=0.25) == value.partial(costs, x, "x", 1).amount
