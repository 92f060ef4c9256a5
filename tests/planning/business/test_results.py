"""A whole study: the same for any workers, true to its own break-evens, and consistent in itself."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal

import numpy as np
import pytest

from lamplighter.kit import UsageError
from lamplighter.planning.business import facts, spread, study
from lamplighter.planning.business.model import Option, evaluate
from lamplighter.planning.business.results import (
    OTHERS,
    BreakEven,
    Estimate,
    Odds,
    Pays,
    _cheapest,
    _estimate,
    _even_frequency,
    _jackknife,
    _odds,
    costs_of,
)
from planning.business.cases import EXAMPLE, changed, plain

FUTURES = 4_500  # not a whole number of blocks


def told(case, working, seed=1, futures=FUTURES):
    """All figures of a study, to the last bit."""
    return json.dumps(facts.facts(study(case, seed=seed, futures=futures, spread=working)), allow_nan=False)


@pytest.fixture(scope="module")
def alone():
    """The example, worked by one."""
    return told(EXAMPLE, spread.Here())


@pytest.fixture(scope="module")
def worked():
    """The example, with more futures."""
    return study(EXAMPLE, seed=1, futures=10_000, spread=spread.Here())


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_results_are_the_same_bits_for_any_number_of_processes(alone, workers):
    """One, two and four processes find the same figures, to the last bit."""
    with spread.processes(workers) as working:
        assert alone == told(EXAMPLE, working)


def test_the_results_are_the_same_bits_on_a_dask_cluster(alone):
    """A local Dask cluster finds the same figures, to the last bit."""
    with spread.dask(spread.LOCAL, 2) as working:
        assert alone == told(EXAMPLE, working)


def test_the_workers_of_a_scheduler_that_runs_already_do_the_same(alone):
    """A scheduler is asked by its address, and all its workers work."""
    import warnings

    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask's own affairs, as in `spread.dask`
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, spread.dask(cluster.scheduler_address, 8) as working:
        assert 1 == working.workers
        assert alone == told(EXAMPLE, working)


def test_another_seed_finds_other_figures(alone):
    """The seed is what the figures hang on."""
    assert alone != told(EXAMPLE, spread.Here(), seed=2)


def test_fewer_futures_are_the_first_of_more():
    """A study of more futures begins with those of one of fewer."""
    costs = [
        study(plain({}, scenarios=()), seed=1, futures=futures, spread=spread.Here()).events
        for futures in (2_000, 4_000)
    ]
    assert costs[0] != costs[1]
    first = study(plain({}, scenarios=()), seed=1, futures=2_000, spread=spread.Here()).events
    assert costs[0] == first


def test_an_address_without_scheduler_is_an_error_that_says_so():
    """Nobody listens there: one line, not a page of Dask."""
    with (
        pytest.raises((spread.SpreadError, UsageError), match=r"no Dask scheduler at nonsense://x"),
        spread.dask("nonsense://x", 1),
    ):
        pass


def test_numbers_of_workers_that_cannot_be_are_refused():
    """None, fewer than none, or a thousand million."""
    for workers in (0, -1, 10**9):
        with pytest.raises(UsageError, match="workers: allowed are 1 to"), spread.processes(workers):
            pass


def _dies(_task):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_an_error_and_no_hang():
    """A process that dies for want of memory ends the study with a word about it."""
    with spread.processes(2) as working, pytest.raises(spread.SpreadError, match="a worker process died"):
        list(working.map(_dies, [1, 2, 3]))


@pytest.mark.parametrize(("futures", "seed"), [(999, 1), (1_000_001, 1), (1_000, -1), (1_000, 2**64)])
def test_futures_and_seeds_that_cannot_be_are_refused(futures, seed):
    """Too few to say anything, too many to hold, or no seed at all."""
    with pytest.raises(UsageError, match="allowed"):
        study(EXAMPLE, seed=seed, futures=futures, spread=spread.Here())


def again(laws, other=Option.REPLACE, seed=9):
    """The saving against another option, with other laws, over 20,000 futures."""
    case = changed(EXAMPLE, laws)
    costs = np.concatenate([costs_of(case, seed, ((), block)) for block in range(10)], axis=1)
    return _estimate(costs[other] - costs[Option.OVER_THE_AIR])


@pytest.mark.parametrize("other", [Option.REPLACE, Option.HUB])
def test_at_the_break_even_frequency_nothing_is_saved(worked, other):
    """Worked again with that frequency, the mean saving is none, within its error."""
    even = worked.against(other).frequency.amount
    saving = again({"events.frequency": even}, other)
    assert abs(saving.mean) < 4 * saving.error


def test_at_the_break_even_implementation_cost_nothing_is_saved(worked):
    """Worked again with that cost, the mean saving is none, within its error."""
    even = worked.against(Option.REPLACE).implementation.amount
    laws = {"over_the_air.first_estimate": even, "over_the_air.growth": 1}
    saving = again(laws, seed=9)
    assert abs(saving.mean) < 4 * saving.error


def test_at_the_break_even_volume_nothing_is_saved(worked):
    """Worked again with the fleet scaled to that volume, the mean saving is none, within its error."""
    even = worked.against(Option.REPLACE).volume
    factor = even.amount / worked.struck.mean
    laws = {}
    for key in ("fleet.devices", "fleet.ceiling"):
        law = EXAMPLE.assumptions[key].law
        laws[key] = (law.kind, *(number * factor for number in law.parameters))
    saving = again(laws, seed=1)
    assert abs(saving.mean) < 4 * saving.error


def test_the_error_of_a_break_even_is_as_large_as_it_scatters():
    """Over twenty seeds break-evens differ as much as each says it may be off."""
    found = []
    for seed in range(20):
        figures = evaluate(EXAMPLE, (), seed, 0).figures
        found.append(
            _jackknife(figures, figures[0], lambda it, _: _even_frequency(EXAMPLE, it, Option.REPLACE))
        )
    scatter = np.std([it.amount for it in found], ddof=1)
    assert pytest.approx(scatter, rel=0.4) == np.mean([it.error for it in found])


def test_there_is_no_break_even_where_nothing_can_be_saved():
    """If over the air cures nothing, no frequency, no cost and no volume make it pay."""
    case = plain({"over_the_air.curable": 0}, scenarios=())
    it = study(case, seed=1, futures=1_000, spread=spread.Here()).against(Option.REPLACE)
    assert BreakEven(Pays.NEVER, None, None) == it.frequency
    assert BreakEven(Pays.NEVER, None, None) == it.volume
    assert BreakEven(Pays.NEVER, None, None) == it.implementation


def test_always_is_not_printed_as_nowhere():
    """Where the hub costs more to build and cures less, over the air pays at any frequency, and says so."""
    case = plain({"hub.first_estimate": 60e6}, scenarios=())
    it = study(case, seed=1, futures=1_000, spread=spread.Here()).against(Option.HUB)
    assert it.saving.mean > 0
    assert BreakEven(Pays.ALWAYS, None, None) == it.frequency
    assert BreakEven(Pays.ALWAYS, None, None) == it.volume
    assert Pays.UP_TO is it.implementation.pays


def test_what_is_cheap_to_build_and_dear_to_use_pays_up_to_a_frequency():
    """Less beforehand and more an event: the break-even is a most, and not a least."""
    laws = {"hub.first_estimate": 60e6, "hub.curable": 0.9, "hub.campaign": 0, "hub.build_months": 12,
            "over_the_air.curable": 0.4}  # fmt: skip
    it = study(plain(laws, scenarios=()), seed=1, futures=2_000, spread=spread.Here()).against(Option.HUB)
    assert Pays.UP_TO is it.frequency.pays
    for factor, pays in ((0.5, True), (2.0, False)):
        rare = plain(laws | {"events.frequency": factor * it.frequency.amount}, scenarios=())
        found = study(rare, seed=1, futures=2_000, spread=spread.Here()).against(Option.HUB)
        assert pays == (found.saving.mean > 0)


def test_a_free_cure_pays_always_and_breaks_even_at_nothing():
    """Without cost it is cheaper wherever something happens, and never dearer."""
    free = {
        f"over_the_air.{key}": 0
        for key in ("first_estimate", "running", "campaign", "message", "build_months")
    }
    found = study(plain(free, scenarios=()), seed=1, futures=1_000, spread=spread.Here())
    it = found.against(Option.REPLACE)
    assert 0.0 == it.frequency.amount
    assert it.saving.low >= 0


def test_the_widest_swing_comes_first_and_its_ends_are_the_inputs_own(worked):
    """The tornado is sorted, and each bar is at the input's 10th and 90th percentile."""
    widths = [it.width for it in worked.swings]
    assert sorted(widths, reverse=True) == widths
    frequency = next(it for it in worked.swings if it.key == "events.frequency")
    assert frequency.values == pytest.approx((0.1, 1.0), rel=0.06)


def test_no_uncertain_input_is_left_out_of_what_matters_most(worked):
    """What differs from event to event is swung too, all events alike: in the example it moves the most."""
    assert {*EXAMPLE.uncertain, *EXAMPLE.per_event} == {it.key for it in worked.swings}
    assert set(EXAMPLE.uncertain) == {key for key, _ in worked.values}
    reach = worked.swings[0]
    assert "events.reach" == reach.key
    assert reach.values == pytest.approx((0.0003, 0.06), rel=0.1)
    told = {key for key, it in worked.values if it.is_told}
    assert {"events.frequency", "events.severity"} <= told


def test_severity_that_nobody_knows_makes_the_odds_wider():
    """What is not known of the reach as a whole does not average out over the events of a future."""
    known, unknown = (
        study(changed(EXAMPLE, laws, scenarios=()), seed=1, futures=2_000, spread=spread.Here())
        for laws in ({"events.severity": 1}, {})
    )
    rare, wide = (it.struck.high / it.struck.middle for it in (known, unknown))
    assert wide > 1.2 * rare


def test_each_future_keeps_its_own_inputs(worked):
    """What was drawn in a future stands beside what it cost: else no input would be worth knowing."""
    whole = dict(worked.values)["events.frequency"]
    block = dict(study(EXAMPLE, seed=2, futures=2_000, spread=spread.Here()).values)["events.frequency"]
    assert whole.is_told
    assert abs(whole.amount - block.amount) < 3 * (whole.error + block.error)
    assert whole.amount > 6 * whole.error


def test_what_does_not_concern_replacing_moves_nothing_there():
    """Variants share their futures: an input of the hub leaves the saving against replacing to the bit."""
    plain_costs, dear = (
        costs_of(EXAMPLE, 1, (variant, 0)) for variant in ((), (("hub.campaign", "set", 6e6),))
    )
    assert np.array_equal(plain_costs[: Option.HUB], dear[: Option.HUB])
    assert (plain_costs[Option.HUB] < dear[Option.HUB]).any()


def test_parties_together_gain_what_the_case_saves(worked):
    """Costs and savings are divided among the parties, and none is lost."""
    total = sum(it.gain.mean for it in worked.parties)
    assert pytest.approx(worked.against(Option.REPLACE).saving.mean) == total


def test_a_party_that_saves_nothing_loses_always(worked):
    """Who pays and has no Devices to replace gains in no future: why some abstained."""
    network = next(it for it in worked.parties if it.name == "Network Parties")
    assert 0 == network.pays.share
    assert network.gain.high < 0


def test_a_tie_is_not_given_to_any_option(worked):
    """Each future has one cheapest option, or several alike that are shown as such."""
    alone = sum(it.cheapest.share for it in worked.options)
    assert pytest.approx(1) == alone + sum(it.odds.share for it in worked.ties)
    (tie,) = worked.ties
    assert (Option.REPLACE, Option.HUB) == tie.options
    assert tie.odds.share > max(it.cheapest.share for it in worked.options)


def test_all_options_alike_are_one_tie():
    """Nothing happens and nothing is built: all three cost nothing."""
    laws = {"events.frequency": 0, "over_the_air.first_estimate": 0, "over_the_air.running": 0}
    found = study(plain(laws, scenarios=()), seed=1, futures=1_000, spread=spread.Here())
    assert [(tuple(Option), 1.0)] == [(it.options, it.odds.share) for it in found.ties]
    assert {0.0} == {it.cheapest.share for it in found.options}
    assert found.cheapest is None


def test_costs_are_the_sum_of_their_parts(worked):
    """What an option costs is what it is made of."""
    for it in worked.options:
        assert pytest.approx(it.cost.mean) == sum(it.parts.values())


def test_the_cumulative_cost_ends_at_the_mean_cost():
    """The curves of the report end where its table says, where the futures are whole blocks."""
    found = study(EXAMPLE, seed=1, futures=2_000, spread=spread.Here())
    for it in found.options:
        assert pytest.approx(it.cost.mean) == found.cumulative[it.option][-1]
        assert EXAMPLE.months == len(found.cumulative[it.option])


def test_more_events_make_it_pay_more_often(worked):
    """The curve rises with the frequency, and crosses nothing at the break-even."""
    odds = [it.cheaper[0] for it in worked.frequencies]
    assert sorted(odds) == odds
    for index, other in enumerate(OTHERS):
        even = worked.against(other).frequency.amount
        for it in worked.frequencies:
            saving = it.savings[index]
            if abs(saving.mean) > 4 * saving.error:
                assert (saving.mean > 0) == (it.frequency > even)


@pytest.mark.parametrize("other", OTHERS)
def test_to_pay_on_average_and_to_pay_in_half_of_the_futures_are_two_things(worked, other):
    """At the frequency that is named for half of the futures, drawn anew, it costs less in half of them."""
    even = worked.even_odds(other)
    assert even > 1.5 * worked.against(other).frequency.amount
    case = changed(EXAMPLE, {"events.frequency": even})
    costs = np.concatenate([costs_of(case, 9, ((), block)) for block in range(5)], axis=1)
    assert pytest.approx(0.5, abs=0.025) == (costs[other] > costs[Option.OVER_THE_AIR]).mean()


def test_half_of_the_futures_that_the_curve_does_not_reach_are_not_named():
    """Where over the air cures nothing there is no such frequency."""
    case = plain({"over_the_air.curable": 0}, scenarios=())
    assert study(case, seed=1, futures=1_000, spread=spread.Here()).even_odds(Option.REPLACE) is None


def test_the_rival_is_the_cheaper_of_the_others(worked):
    """What is shown first is shown against the harder of the two."""
    assert Option.HUB is worked.rival.other
    assert worked.against(Option.HUB).saving.mean < worked.against(Option.REPLACE).saving.mean


def test_what_is_left_without_the_best_futures_is_shown(worked):
    """A mean that one future of twenty makes is told from one that all make."""
    costs = np.concatenate([costs_of(EXAMPLE, 1, ((), block)) for block in range(5)], axis=1)
    saving = np.sort(costs[Option.HUB] - costs[Option.OVER_THE_AIR])
    assert pytest.approx(saving[:9_500].mean()) == worked.rival.without_best


def test_a_scenario_within_its_error_has_no_cheapest_option(worked):
    """A difference of less than two standard errors, future by future, is no verdict."""
    for it in worked.scenarios:
        told = all(saving.mean > 2 * saving.error for saving in it.savings)
        assert told == (it.cheapest is Option.OVER_THE_AIR), it.scenario.name
    dice = np.random.default_rng(1)
    noise = dice.standard_normal((3, 1_000))
    assert _cheapest(noise) is None
    assert Option.REPLACE is _cheapest(noise - np.array([[0.0], [1.0], [0.0]]))
    # What all options share is no error of their difference.
    assert Option.HUB is _cheapest(1e6 * noise[0] + np.array([[2.0], [1.5], [1.0]]))


def test_the_check_is_within_its_error(worked):
    """Every input at its mean: simulation and closed form agree."""
    for it in worked.checks:
        assert abs(it.simulated - it.exact) < 4 * it.error


def test_wilsons_interval_holds_at_the_ends():
    """No futures of many is not proof of none."""
    none = _odds(np.zeros(1_000, dtype=bool))
    assert Odds(0.0, 0.0, pytest.approx(0.003827, rel=1e-3)) == none
    half = _odds(np.arange(1_000) % 2 == 0)
    assert (pytest.approx(0.4691, abs=1e-4), pytest.approx(0.5309, abs=1e-4)) == half[1:]


def test_a_case_without_uncertainty_is_a_study_too():
    """All inputs fixed, nobody to share, nothing said against it: figures, and no swings."""
    laws = {key: it.law.mean for key, it in EXAMPLE.assumptions.items() if it.per_event}
    found = study(plain(laws, scenarios=(), parties=()), seed=1, futures=1_000, spread=spread.Here())
    assert () == found.swings == found.values == found.parties == found.scenarios
    assert isinstance(found.events, Estimate)


@pytest.mark.parametrize("laws", [{"events.frequency": 0}, {"over_the_air.curable": 0, "hub.curable": 0}])
def test_facts_are_numbers_whatever_happens(laws):
    """No infinity and no NaN reaches the JSON, even where nothing happens or nothing can be cured."""
    assert told(plain(laws, scenarios=()), spread.Here(), futures=1_000)


def faults(blocks):
    """Pages that some blocks had to be given, after one has been worked."""
    costs_of(EXAMPLE, 1, ((), 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for block in range(blocks):
        costs_of(EXAMPLE, 1, ((), block))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


IS_GLIBC = platform.libc_ver()[0] == "glibc"


@pytest.mark.skipif(not IS_GLIBC, reason="other C libraries keep what is freed as they like")
def test_a_fresh_worker_keeps_the_memory_of_a_block_for_the_next(monkeypatch):
    """Else each block would be given a thousand pages anew, and a worker would be a quarter slower for it."""
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # Dask leaves it behind, and it has its way
    with spread.processes(2) as working:
        for few in working.map(faults, [20, 20]):
            assert few < 20 * 100


def test_what_is_spent_by_the_end_is_what_the_options_cost():
    """Also where the futures fill no whole block: no figure is of other futures than the next."""
    for futures in (1_000, 2_500):
        found = study(EXAMPLE, seed=1, futures=futures, spread=spread.Here())
        for it in found.options:
            assert pytest.approx(it.cost.mean, rel=1e-9) == found.cumulative[it.option][-1]


def test_without_any_event_no_frequency_is_told():
    """Where none was drawn, nothing says from which frequency it would pay: that is not "never"."""
    found = study(changed(EXAMPLE, {"events.frequency": 0}), seed=1, futures=1_000, spread=spread.Here())
    for it in found.comparisons:
        assert (Pays.UNTOLD, None) == it.frequency[:2]
        assert (Pays.UNTOLD, None) == it.volume[:2]


def test_what_costs_nothing_to_build_has_no_break_even_of_building():
    """There is nothing to scale: a dash in the table, and no most that it may cost."""
    case = plain({"over_the_air.first_estimate": 0}, scenarios=())
    it = study(case, seed=1, futures=1_000, spread=spread.Here()).against(Option.REPLACE)
    assert it.saving.mean > 0
    assert BreakEven(Pays.UNTOLD, None, None) == it.implementation


def test_a_volume_that_no_event_can_strike_is_no_threshold():
    """An event strikes the Devices of one kind at most: where it takes more than all, it never pays."""
    rare = changed(EXAMPLE, {"events.frequency": 0.0005})
    found = study(rare, seed=1, futures=10_000, spread=spread.Here()).against(Option.REPLACE)
    assert found.saving.mean < 0
    assert (Pays.NEVER, None) == found.volume[:2]
