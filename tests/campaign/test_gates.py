"""Gates: the mathematics against exact numbers, and the error rates that a gate states against simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign.gates import (
    DEVICES_MAX,
    Gate,
    Outcomes,
    Ruling,
    _harmless,
    _log_harm,
    has_passed,
    interval,
    log_beta_tail,
    verdict,
    wanting,
)
from lamplighter.kit import UsageError

GATE = Gate()
# Error rates that a simulation of a thousand strata can tell apart.
COARSE = Gate(
    acceptable_failure_rate=0.02,
    max_failure_rate=0.10,
    acceptable_silence_rate=0.02,
    max_silence_rate=0.10,
    false_hold_rate=0.05,
    miss_rate=0.10,
    minimum_sample=1,
)


# --- the mathematics


def heads(x, a, b):
    """P(at least a of a+b-1 coins fall heads), exactly."""
    n, x = a + b - 1, Fraction(x)
    return sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))


@pytest.mark.parametrize("x", [0.001, 0.02, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 50), (2, 3), (5, 300), (50, 50), (200, 1), (200, 300)])
def test_the_incomplete_beta_function_is_exact(x, a, b):
    """Against sums of fractions, also where the tail is 10^-300 or 1 - 10^-300."""
    exact = heads(x, a, b)
    log = math.log(exact.numerator) - math.log(exact.denominator)
    assert log == pytest.approx(log_beta_tail(x, a, b), rel=1e-11, abs=1e-11)


def test_the_ends_of_the_incomplete_beta_function():
    """No coin falls heads, or each does."""
    assert -math.inf == log_beta_tail(0, 2, 3)
    assert 0 == log_beta_tail(1, 2, 3)


@pytest.mark.parametrize(
    ("failures", "count", "low", "high"),
    [
        # Clopper and Pearson at 95 %, as in tables of the binomial distribution
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (2, 100, 0.0024, 0.0704),
        (50, 1000, 0.0373, 0.0654),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_that_of_the_tables(failures, count, low, high):
    """Clopper and Pearson's, to four places."""
    assert (low, high) == pytest.approx(interval(failures, count), abs=6e-5)


def test_an_interval_of_more_failures_than_devices_is_refused():
    """It would be our own mistake."""
    with pytest.raises(UsageError, match="3 failures of 2"):
        interval(3, 2)


def integral(places, logs):
    """log10 of the integral of exp(logs), by Simpson's rule."""
    steps = len(places) - 1
    weights = np.ones(steps + 1)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    top = logs.max()
    wide = (places[-1] - places[0]) / (3 * steps)
    return (top + math.log((np.exp(logs - top) * weights).sum() * wide)) / math.log(10)


def ratios(q, failures, successes, reference):
    """Logs of the likelihood ratios of q to the reference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        good = successes * np.log((1 - q) / (1 - reference)) if successes else 0 * q
        return good + (failures * np.log(q / reference) if failures else 0)


@pytest.mark.parametrize(
    ("failures", "successes"), [(1, 0), (3, 0), (5, 1), (6, 14), (12, 88), (20, 180), (2, 43), (90, 800)]
)
def test_the_statistics_are_the_integrals_of_the_formula(failures, successes):
    """M and N as documented, integrated by somebody else."""
    found = verdict(GATE, Outcomes(successes, failures))
    q = np.linspace(0.1, 1, 100_001)
    harm = integral(q, ratios(q, failures, successes, 0.02) - np.log(q * math.log(10)))
    # No silence: of the mean of both M only this one is left.
    assert max(harm - math.log10(2), 0) == pytest.approx(found.harm, abs=1e-5)
    q = np.linspace(0, 0.1, 100_001)
    assert integral(q, ratios(q, failures, successes, 0.1) - math.log(0.1)) == pytest.approx(
        found.health, abs=1e-5
    )


@pytest.mark.parametrize(("failures", "successes"), [(3, 0), (5, 2), (12, 60), (60, 500)])
def test_one_more_device_changes_nothing_on_average(failures, successes):
    """M at p0, and N at p1: a fair game, on which the whole proof rests."""

    def after(more_failures, more_successes):
        # Failures by silence alone and others alone, so that one M of the two is all.
        return verdict(GATE, Outcomes(successes + more_successes, failures + more_failures))

    here, failed, proven = after(0, 0), after(1, 0), after(0, 1)
    assert 10**here.harm == pytest.approx(0.02 * 10**failed.harm + 0.98 * 10**proven.harm, rel=1e-9)
    assert 10**here.health == pytest.approx(0.10 * 10**failed.health + 0.90 * 10**proven.health, rel=1e-9)


# --- rulings


def test_a_stratum_that_fails_altogether_is_held_at_the_minimum_sample():
    """Five Devices are enough, and four would do without a minimum, or three that are silent."""
    assert Ruling.WAIT is verdict(GATE, Outcomes(failed=4)).ruling
    assert Ruling.HOLD is verdict(GATE, Outcomes(failed=5)).ruling
    assert Ruling.HOLD is verdict(Gate(minimum_sample=1), Outcomes(failed=4)).ruling
    assert Ruling.HOLD is verdict(Gate(minimum_sample=1), Outcomes(silent=3)).ruling


def test_a_stratum_without_failures_passes_at_43():
    """The size of a canary: less than this can never pass by itself."""
    assert 43 == wanting(GATE, Outcomes())
    assert Ruling.WAIT is verdict(GATE, Outcomes(proven=42)).ruling
    assert Ruling.PASS is verdict(GATE, Outcomes(proven=43)).ruling


@given(
    st.integers(1, 3_000),
    st.data(),
    st.floats(0.001, 0.6),
    st.floats(0.001, 0.3),
)
def test_what_is_passed_over_unreckoned_could_not_have_grown(ordered, data, good, more):
    """Where either rate explains as well how many fail, the likelihood ratio is at most 1 for any above."""
    bad = good + more
    most = int(_harmless(good, bad) * ordered)
    assert good < _harmless(good, bad) < bad
    assert _log_harm(data.draw(st.integers(0, most)), ordered, good, bad) <= 1e-9


def test_nothing_is_wanted_while_failures_speak_of_harm_and_more_is_to_be_heard():
    """A stratum that looks bad does not get more Devices ordered just to be sure."""
    assert 0 < wanting(GATE, Outcomes(48, 2))
    assert 0 < wanting(GATE, Outcomes(41, 2, in_flight=1))
    assert 0 == wanting(GATE, Outcomes(35, 8, in_flight=7))
    assert 0 < wanting(GATE, Outcomes(42, 8))


def test_silence_alone_can_hold():
    """Where silence is less acceptable than failure, it is held by its own limit."""
    gate = Gate(acceptable_failure_rate=0.2, max_failure_rate=0.5, acceptable_silence_rate=0.01)
    assert Ruling.HOLD is verdict(gate, Outcomes(proven=50, silent=9)).ruling
    assert Ruling.HOLD is not verdict(gate, Outcomes(proven=50, failed=9)).ruling


def test_silence_alone_can_keep_from_passing():
    """A rate of silence that may be harmful is not hidden by a limit of failures that is generous."""
    gate = Gate(acceptable_failure_rate=0.2, max_failure_rate=0.5)
    assert Ruling.PASS is verdict(gate, Outcomes(proven=180, failed=20)).ruling
    assert Ruling.PASS is not verdict(gate, Outcomes(proven=180, silent=20)).ruling


def test_the_devices_in_flight_count_against_either_conclusion():
    """Neither the first to fail nor the first to succeed speak for those who have not spoken."""
    assert Ruling.HOLD is verdict(GATE, Outcomes(proven=20, failed=7)).ruling
    assert Ruling.WAIT is verdict(GATE, Outcomes(proven=20, failed=6, in_flight=1000)).ruling
    assert Ruling.PASS is verdict(GATE, Outcomes(proven=60)).ruling
    assert Ruling.WAIT is verdict(GATE, Outcomes(proven=60, in_flight=20)).ruling


def test_the_young_do_not_dilute_the_old():
    """A first group that failed is held, however many were ordered after it."""
    assert Ruling.HOLD is verdict(GATE, [Outcomes(proven=20, failed=7), Outcomes(in_flight=1000)]).ruling
    assert Ruling.WAIT is verdict(GATE, [Outcomes(in_flight=1000), Outcomes(proven=20, failed=7)]).ruling


def test_a_large_stratum_is_not_held_for_a_rate_a_little_over_the_acceptable():
    """Numbers alone do not hold: 3 % of a million is no harm where harm begins at 10 %."""
    assert Ruling.PASS is verdict(GATE, Outcomes(proven=970_000, failed=30_000)).ruling
    assert Ruling.HOLD is verdict(GATE, Outcomes(proven=920_000, failed=80_000)).ruling


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.02, 0.04, 0.049, 0.051, 0.06, 0.08, 0.10, 0.3, 1.0])
def test_every_rate_gets_its_ruling_in_the_end(rate):
    """No stratum waits for ever, wherever its rate lies."""
    failed = round(100_000 * rate)
    expected = Ruling.PASS if rate < 0.05 else Ruling.HOLD
    ruling = verdict(GATE, Outcomes(100_000 - failed, failed)).ruling
    assert expected is ruling or (0.05 < rate < 0.08 and ruling is Ruling.PASS)


def test_without_outcomes_there_is_no_ruling():
    """The first look finds nothing, and can print it."""
    for nothing in (Outcomes(), [], Outcomes(in_flight=10)):
        found = verdict(GATE, nothing)
        assert Ruling.WAIT is found.ruling
        assert (0.0, (0.0, 1.0), 0.0, 0.0) == (
            found.failure_rate,
            found.failure_interval,
            found.silence_rate,
            found.harm,
        )


def test_the_numbers_and_the_reason_are_for_people():
    """A person sees what was counted, what it was held against, and what is waited for."""
    held = verdict(GATE, Outcomes(19, 5, 2))
    assert (
        "7 of 26 failed, 2 of them in silence: more than the acceptable 0.02 (silence 0.02) explains"
        == held.reason
    )
    assert (7 / 26, 2 / 26) == (held.failure_rate, held.silence_rate)
    assert held.failure_interval[0] < held.failure_rate < held.failure_interval[1]
    assert held.silence_interval[0] < held.silence_rate < held.silence_interval[1]
    assert held.harm >= held.harm_bound == 4
    passed = verdict(GATE, Outcomes(100, in_flight=1))
    assert "below the harmful 0.1 (silence 0.1) even if the 1 in flight fail" in passed.reason
    assert passed.health >= passed.health_bound == pytest.approx(math.log10(20))
    assert "no ruling before 5" in verdict(GATE, Outcomes(1)).reason
    assert (
        "waits for 5 in flight and at least 18 not yet ordered"
        in verdict(GATE, Outcomes(20, in_flight=5)).reason
    )


outcomes = st.builds(
    Outcomes, st.integers(0, 300), st.integers(0, 20), st.integers(0, 20), st.integers(0, 300)
)
gates = st.builds(
    lambda p0, p1, s0, s1, alpha, beta, least: Gate(
        acceptable_failure_rate=p0,
        max_failure_rate=p0 + (1 - p0) * p1,
        acceptable_silence_rate=s0,
        max_silence_rate=s0 + (1 - s0) * s1,
        false_hold_rate=alpha,
        miss_rate=beta,
        minimum_sample=least,
    ),
    *[st.floats(0.001, 0.3)] * 4,
    *[st.floats(1e-6, 0.5)] * 2,
    st.integers(1, 20),
)


@given(gates, st.lists(outcomes, max_size=5))
def test_what_is_wanted_is_enough_and_no_less_is(gate, groups):
    """If all in flight and as many more succeed, it passes; with one fewer it does not."""
    total = sum(groups, Outcomes())
    settled = Outcomes(total.proven + total.in_flight, total.failed, total.silent)
    more = wanting(gate, settled)
    assert wanting(gate, groups) in {0, more}
    best = Outcomes(total.proven + total.in_flight + more, total.failed, total.silent)
    found = verdict(gate, best)
    # To the last digit only, since the one works with log10 and the other with log.
    assert found.ruling is not Ruling.WAIT or found.health >= found.health_bound - 1e-9
    if more:
        fewer = verdict(gate, Outcomes(best.proven - 1, best.failed, best.silent))
        assert fewer.ruling is not Ruling.PASS or fewer.health < fewer.health_bound + 1e-9


@given(gates, st.lists(outcomes, min_size=1, max_size=5), st.data())
def test_what_is_seen_never_exceeds_what_will_be_known(gate, groups, data):
    """However those in flight end, M and N only grow: this is why delays cannot deceive the gate."""
    ended = []
    for group in groups:
        failed = data.draw(st.integers(0, group.in_flight))
        silent = data.draw(st.integers(0, group.in_flight - failed))
        rest = group.in_flight - failed - silent
        ended.append(Outcomes(group.proven + rest, group.failed + failed, group.silent + silent))
    before, after = verdict(gate, groups), verdict(gate, ended)
    assert before.harm <= after.harm + 1e-9
    assert before.health <= after.health + 1e-9

    assert has_passed(gate, groups) <= has_passed(gate, ended)


def test_a_pass_of_the_first_groups_stands_whatever_flies_since():
    """A thousand in the air do not stop what the first hundred have earned; a bad hundred earn nothing."""
    flying = Outcomes(in_flight=1000)
    assert has_passed(GATE, [Outcomes(100), flying])
    assert Ruling.WAIT is verdict(GATE, [Outcomes(100), flying]).ruling
    assert not has_passed(GATE, [Outcomes(80, 20), flying])
    assert not has_passed(GATE, [flying, Outcomes(100)])
    assert not has_passed(Gate(minimum_sample=101), [Outcomes(100), flying])


@given(gates, outcomes)
def test_a_failure_more_never_helps(gate, group):
    """Nor does a success less."""
    one, worse = (
        Outcomes(group.proven + 1, group.failed, group.silent),
        Outcomes(group.proven, group.failed + 1, group.silent),
    )
    assert verdict(gate, one).harm <= verdict(gate, worse).harm + 1e-9
    assert verdict(gate, one).health >= verdict(gate, worse).health - 1e-9


def test_a_whole_country_is_judged_without_overflow():
    """A billion Devices, and every one of them failed, or none."""
    assert Ruling.PASS is verdict(GATE, Outcomes(proven=DEVICES_MAX)).ruling
    assert Ruling.HOLD is verdict(GATE, Outcomes(silent=DEVICES_MAX)).ruling
    assert Ruling.HOLD is verdict(GATE, Outcomes(DEVICES_MAX // 2, DEVICES_MAX // 4, DEVICES_MAX // 4)).ruling


@pytest.mark.parametrize("counts", [(-1, 0, 0, 0), (0, 0, 0, -1), (DEVICES_MAX, 1, 0, 0)])
def test_impossible_counts_are_refused(counts):
    """A negative tally would be a mistake of ours."""
    with pytest.raises(UsageError, match="counts from 0"):
        Outcomes(*counts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"acceptable_failure_rate": 0.1},
        {"acceptable_failure_rate": 0.0},
        {"max_failure_rate": 1.0},
        {"max_silence_rate": float("nan")},
        {"false_hold_rate": 0.0},
        {"false_hold_rate": 0.6},
        {"miss_rate": -0.1},
        {"minimum_sample": 0},
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(wrong):
    """Also where no plan was parsed."""
    with pytest.raises(UsageError, match="gate: "):
        Gate(**wrong)


# --- error rates, by simulation

STRATA = 500
GROUPS, GROUP = 12, 40  # one stratum: so many groups of so many Devices, ordered one an hour
LATE = 24  # hours


def rulings(rng, gate, failure_rate, silent_share, delays):
    """The first rulings of strata that are looked at every hour; `delays`: of success, failure, silence."""
    first = []
    for _ in range(STRATA):
        kinds = rng.choice(
            3,
            (GROUPS, GROUP),
            p=[1 - failure_rate, failure_rate * (1 - silent_share), failure_rate * silent_share],
        )
        due = (
            np.arange(GROUPS)[:, None]
            + np.array([delays[kind](rng, kinds.shape) for kind in range(3)])[
                kinds, np.arange(GROUPS)[:, None], np.arange(GROUP)[None, :]
            ]
        )
        first.append(first_ruling(gate, kinds, due))
    return first


def first_ruling(gate, kinds, due):
    before = None
    for hour in range(GROUPS + LATE + 1):
        there = due[: hour + 1] <= hour
        counts = [((kinds[: hour + 1] == kind) & there).sum(axis=1) for kind in range(3)]
        now = np.array([*counts, GROUP - sum(counts)]).T
        if before is not None and now.shape == before.shape and (now == before).all():
            continue
        before = now
        ruling = verdict(gate, [Outcomes(*map(int, row)) for row in now]).ruling
        if ruling is not Ruling.WAIT:
            return ruling
    return Ruling.WAIT


def spread(low, high):
    return lambda rng, shape: rng.integers(low, high + 1, shape)


QUICK, SLOW = spread(0, 2), spread(6, LATE)
DELAYS = {
    "alike": (spread(0, 12),) * 3,
    "failures first": (SLOW, QUICK, QUICK),
    "failures last": (QUICK, SLOW, spread(LATE, LATE)),
}


def at_most(rate, count):
    """So many of `count` are not more than `rate` explains: three standard errors."""
    return rate * count + 3 * math.sqrt(count * rate * (1 - rate))


@pytest.mark.parametrize("order", DELAYS)
@pytest.mark.parametrize("silent_share", [0.0, 1.0])
def test_acceptable_strata_are_held_no_more_often_than_stated(order, silent_share):
    """At p0, looked at after every batch, whatever is heard of first: at most alpha."""
    found = rulings(np.random.default_rng(1), COARSE, 0.02, silent_share, DELAYS[order])
    held = found.count(Ruling.HOLD)
    assert held <= at_most(COARSE.false_hold_rate, STRATA)


@pytest.mark.parametrize("order", DELAYS)
@pytest.mark.parametrize("silent_share", [0.0, 1.0])
def test_harmful_strata_pass_no_more_often_than_stated(order, silent_share):
    """At p1, looked at after every batch, whatever is heard of first: at most beta; the others are held."""
    found = rulings(np.random.default_rng(2), COARSE, 0.10, silent_share, DELAYS[order])
    missed = found.count(Ruling.PASS)
    assert missed <= at_most(COARSE.miss_rate, STRATA)
    assert found.count(Ruling.HOLD) >= 0.85 * STRATA


def test_a_gate_that_believed_the_first_to_answer_would_err_far_more_often():
    """The simulation can tell: the same statistic over those with an outcome alone breaks both promises."""

    def naive(gate, kinds, due):
        for hour in range(GROUPS + LATE + 1):
            there = due[: hour + 1] <= hour
            counts = [int(((kinds[: hour + 1] == kind) & there).sum()) for kind in range(3)]
            ruling = verdict(gate, Outcomes(*counts)).ruling
            if ruling is not Ruling.WAIT:
                return ruling
        return Ruling.WAIT

    rng = np.random.default_rng(3)
    wrong = {}
    for order, rate, error in (("failures first", 0.02, Ruling.HOLD), ("failures last", 0.10, Ruling.PASS)):
        found = []
        for _ in range(200):
            kinds = rng.choice(2, (GROUPS, GROUP), p=[1 - rate, rate])
            success, failure, _ = DELAYS[order]
            due = np.where(kinds == 0, success(rng, kinds.shape), failure(rng, kinds.shape))
            found.append(naive(COARSE, kinds, due + np.arange(GROUPS)[:, None]))
        wrong[order] = found.count(error) / 200
    assert wrong["failures first"] > 0.5
    assert wrong["failures last"] > 0.5


@pytest.mark.parametrize("size", [5, 40])
def test_harmful_strata_pass_by_no_beginning_more_often_than_stated(size):
    """At p1, over all leading groups together: the miss rate is that of the whole course."""
    rng = np.random.default_rng(20261124)
    failed = rng.random((STRATA, GROUPS * GROUP // size, size)) < GATE.max_failure_rate
    misses = sum(
        has_passed(GATE, [Outcomes(size - int(bad), int(bad)) for bad in stratum])
        for stratum in failed.sum(axis=2)
    )
    assert 0 < misses <= at_most(GATE.miss_rate, STRATA)
