"""Rates: no hour sees more than its rate, whatever the clock, the windows and the pauses do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign.rates import PER_HOUR_MAX, Growth, Rate, allowance, per_hour
from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE

CONSTANT = Rate(Growth.CONSTANT, 100)
STEPPED = Rate(Growth.STEPPED, 100, step=50, every=2 * HOUR, cap=220)
DOUBLING = Rate(Growth.EXPONENTIAL, 100, factor=2.0, every=HOUR, cap=1000)

rates = st.one_of(
    st.builds(
        lambda first, cap: Rate(Growth.CONSTANT, min(first, cap)), st.integers(1, 5000), st.integers(1, 5000)
    ),
    st.builds(
        lambda first, step, every, more: Rate(
            Growth.STEPPED, first, step=step, every=every * HOUR, cap=first + more
        ),
        st.integers(1, 500),
        st.integers(1, 500),
        st.integers(1, 48),
        st.integers(0, 5000),
    ),
    st.builds(
        lambda first, factor, every, more: Rate(
            Growth.EXPONENTIAL, first, factor=factor, every=every * HOUR, cap=first + more
        ),
        st.integers(1, 500),
        st.floats(1.01, 10),
        st.integers(1, 48),
        st.integers(0, 5000),
    ),
)


@pytest.mark.parametrize(
    ("rate", "by_hour"),
    [
        (CONSTANT, [100] * 8),
        (STEPPED, [100, 100, 150, 150, 200, 200, 220, 220]),
        (DOUBLING, [100, 200, 400, 800, 1000, 1000, 1000, 1000]),
        (Rate(Growth.EXPONENTIAL, 1, factor=1.5, every=HOUR, cap=6), [1, 1, 2, 3, 5, 6, 6, 6]),
    ],
)
def test_ordered_without_a_break_a_rate_grows_in_time(rate, by_hour):
    """What the plan says of days comes true where orders go out all the time."""
    ordered, hours = 0, []
    for _ in by_hour:
        hours.append(allowance(rate, ordered, 0))
        ordered += hours[-1]
    assert by_hour == hours


def test_a_pause_neither_saves_up_nor_grows():
    """After a week without orders there is one hour's worth, at the rate of the hour before."""
    assert 200 == allowance(DOUBLING, 100, 0)
    assert 200 == per_hour(DOUBLING, 299)
    assert 400 == per_hour(DOUBLING, 300)


def test_what_was_ordered_in_the_last_hour_counts():
    """The rest of the hour's worth is left, and never less than none."""
    assert 60 == allowance(CONSTANT, 5000, 40)
    assert 0 == allowance(CONSTANT, 5000, 100)
    assert 0 == allowance(CONSTANT, 5000, 10_000)


def test_a_clock_that_jumps_back_gives_nothing():
    """Orders of the future count in the last hour, so that nothing goes out until they are past."""
    orders = [(10 * HOUR, 100)]
    assert 0 == allowance(CONSTANT, 100, last_hour(orders, 5 * HOUR))
    assert 100 == allowance(CONSTANT, 100, last_hour(orders, 11 * HOUR))


def test_a_clock_that_jumps_forward_gives_no_more_than_an_hours_worth():
    """A year is worth an hour."""
    assert 100 == allowance(CONSTANT, 100, last_hour([(0, 100)], 365 * DAY))


def last_hour(orders, now):
    """As the store counts it."""
    return sum(count for at, count in orders if at > now - HOUR)


@given(rates, st.lists(st.integers(-3 * HOUR, 9 * HOUR), min_size=1, max_size=40))
def test_no_hour_sees_more_than_its_rate(rate, jumps):
    """However the clock goes, no sixty minutes have more orders than the rate at their end."""
    now, orders = 100 * DAY, []
    for jump in [0, *jumps]:
        now += jump if abs(jump) > HOUR else abs(jump)
        ordered = sum(count for _, count in orders)
        may = allowance(rate, ordered, last_hour(orders, now))
        if may:
            orders.append((now, may))
            total = ordered + may
            assert last_hour(orders, now) <= per_hour(rate, total) <= rate.cap


@given(rates, st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_rate_never_falls(rate, one, other):
    """More ordered is no slower, and both ends are kept."""
    low, high = sorted((one, other))
    assert rate.per_hour <= per_hour(rate, low) <= per_hour(rate, high) <= max(rate.cap, rate.per_hour)


@given(rates, st.lists(st.integers(1, 59), min_size=1, max_size=30))
def test_smaller_ticks_order_as_much(rate, ticks):
    """How often the policy is asked does not change what it gives in an hour."""
    orders = []
    for at in sorted(set(ticks)):
        ordered = sum(count for _, count in orders)
        may = allowance(rate, ordered, last_hour(orders, at * MINUTE))
        if may:
            orders.append((at * MINUTE, may))
    assert sum(count for _, count in orders) >= rate.per_hour


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_hour": 0},
        {"per_hour": PER_HOUR_MAX + 1},
        {"per_hour": 10, "cap": 9},
        {"every": HOUR - 1},
        {"growth": Growth.STEPPED},
        {"growth": Growth.EXPONENTIAL},
        {"growth": Growth.EXPONENTIAL, "factor": float("nan")},
        {"factor": 0.5},
        {"step": -1},
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(wrong):
    """Also where no plan was parsed."""
    with pytest.raises(UsageError, match="Rate"):
        Rate(**wrong)
