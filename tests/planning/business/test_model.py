"""The model against closed forms, against a sum by hand, and against itself."""

from __future__ import annotations

import numpy as np
import pytest

from lamplighter.kit import UsageError
from lamplighter.planning.business import draws, model
from lamplighter.planning.business.closed import expected_costs
from lamplighter.planning.business.draws import BLOCK, constants, events
from lamplighter.planning.business.model import COSTS, Figure, Option, evaluate
from planning.business.cases import EXAMPLE, changed, plain

BLOCKS = 20


def costs(case, blocks=BLOCKS, seed=1):
    """Cost of each option in each future, one row an option."""
    figures = np.concatenate([evaluate(case, (), seed, block).figures for block in range(blocks)], axis=1)
    return np.stack([figures[list(COSTS[option])].sum(axis=0) for option in Option])


TWISTS = {
    "the example at its means": {},
    "no discount": {"discount.rate": 0},
    "a discount of a third": {"discount.rate": 1 / 3},
    "a fleet that shrinks": {"fleet.growth": -0.2},
    "a fleet that is full at once": {"fleet.growth": 2, "fleet.ceiling": 9e6},
    "events that come in swarms": {"events.clustering": 8, "events.cluster_months": 60},
    "swarms in one month": {"events.clustering": 3, "events.cluster_months": 0},
    "swarms that outlast the horizon": {"events.clustering": 5, "events.cluster_months": 120},
    "many events": {"events.frequency": 20},
    "ready at once": {"over_the_air.build_months": 0, "hub.build_months": 0},
    "never ready": {"over_the_air.build_months": 600, "over_the_air.running": 1e6},
    "a hub that takes building": {"hub.build_months": 30.4, "hub.first_estimate": 3e6, "hub.running": 2e5},
    "nobody stranded from half a month on": {
        "over_the_air.stranded_first": 1,
        "over_the_air.stranded_last": 0,
        "over_the_air.stranded_months": 0.5,
    },
    "none stranded": {"over_the_air.stranded_first": 0, "over_the_air.stranded_last": 0,
                      "over_the_air.stranded_months": 0},
    "harm while they wait": {"harm.cost": 4},
    "nothing can be cured": {"over_the_air.curable": 0, "hub.curable": 0},
    "everything can be cured": {"over_the_air.curable": 1, "hub.curable": 1, "over_the_air.success": 1,
                                "hub.success": 1},
    "nobody at home": {"replace.no_access": 0.95},
    "events half as severe": {"events.severity": 0.5},
    "events three times as severe, cut to all Devices": {"events.severity": 3},
}  # fmt: skip


@pytest.mark.parametrize("twist", TWISTS)
def test_the_mean_equals_the_closed_form(twist):
    """With fixed inputs the Monte Carlo mean is the analytic cost, within four of its standard errors."""
    case = plain(TWISTS[twist])
    found = costs(case)
    exact = expected_costs(case)
    for option in Option:
        error = found[option].std(ddof=1) / np.sqrt(found.shape[1])
        assert abs(found[option].mean() - exact[option]) < 4 * error + 1e-6 * exact[option], option.name


def test_an_uncertain_severity_has_the_mean_of_the_product():
    """Reach and severity are independent: where nothing is cut, their means multiply."""
    laws = {"events.reach": 0.02, "events.severity": ("triangular", 0.2, 0.5, 4)}
    found = costs(changed(plain(), laws))
    exact = expected_costs(plain(laws | {"events.severity": 4.7 / 3}))
    for option in Option:
        error = found[option].std(ddof=1) / np.sqrt(found.shape[1])
        assert abs(found[option].mean() - exact[option]) < 4 * error, option.name


def test_no_event_strikes_more_devices_than_there_are():
    """However severe, an event strikes all Devices of its kind at most."""
    known = constants(changed(EXAMPLE, {"events.severity": 100}), (), 1, 0)
    assert 1.0 == events(EXAMPLE, (), 1, 0, known).reach.max()


def test_an_input_that_differs_by_event_can_be_made_alike_for_all():
    """A swing or a scenario sets it for every event, which then costs what a case with that value does."""
    alike = evaluate(EXAMPLE, (("events.reach", "set", 0.01),), 1, 0).figures
    assert np.array_equal(evaluate(changed(EXAMPLE, {"events.reach": 0.01}), (), 1, 0).figures, alike)


def test_without_events_the_cost_is_exact():
    """Where nothing goes wrong there is nothing random: every future costs the closed form to the penny."""
    case = plain({"events.frequency": 0, "hub.first_estimate": 1e6})
    exact = expected_costs(case)
    assert 0 == exact[Option.REPLACE]
    for option in Option:
        assert costs(case, 1)[option] == pytest.approx(exact[option], rel=1e-12)


def test_one_event_costs_what_a_sum_by_hand_says():
    """The formulae, one by one, for an event in the seventh month that strikes half of the PPMIDs."""
    laws = {
        "fleet.devices": 1_000_000, "fleet.growth": 0, "fleet.ceiling": 1_000_000, "discount.rate": 0.1,
        "over_the_air.first_estimate": 2e6, "over_the_air.growth": 1.5, "over_the_air.build_months": 3,
        "over_the_air.running": 120_000, "over_the_air.campaign": 50_000, "over_the_air.message": 0.2,
        "over_the_air.stranded_first": 0.4, "over_the_air.stranded_last": 0.1,
        "over_the_air.stranded_months": 12, "replace.campaign": 30_000, "replace.visit": 60,
        "replace.no_access": 0.25, "hub.campaign": 700_000, "hub.message": 0.1, "harm.cost": 2,
        "harm.months_over_the_air": 1, "harm.months_replace": 5, "harm.months_hub": 3,
        "device.PPMID.share": 0.9, "device.HCALCS.share": 0.05, "device.IHD.share": 0.05,
        "device.PPMID.price": 20, "device.PPMID.logistics": 5, "device.PPMID.visited": 0.3,
    }  # fmt: skip
    case = plain(laws, years=1)
    known = constants(case, (), 1, 0)
    one = draws.Events(
        future=np.array([4]),
        month=np.array([6.0]),
        kind=np.array([0]),
        reach=np.array([0.5]),
        curable=(np.array([True]), np.array([True])),
        success=(np.array([0.8]), np.array([0.9])),
    )
    figures = model.work(case, known, one).figures
    worth = 1.1 ** -(6.5 / 12)
    struck = 0.5 * 900_000
    replacement = 20 + 5 + 0.3 * 60 / 0.75 + 2 * 5
    offered = 1 - (0.4 - 0.3 * 6 / 12)
    cured_a, cured_c = offered * 0.8, 0.9
    expected = {
        Figure.BUILD_A: sum(1e6 * 1.1 ** -((month + 0.5) / 12) for month in range(3)),
        Figure.RUNNING_A: sum(10_000 * 1.1 ** -((month + 0.5) / 12) for month in range(3, 12)),
        Figure.CAMPAIGN_A: worth * (50_000 + (1 - cured_a) * 30_000),
        Figure.VOLUME_A: worth * struck * (offered * 0.2 + cured_a * 2 * 1 + (1 - cured_a) * replacement),
        Figure.CAMPAIGN_B: worth * 30_000,
        Figure.VOLUME_B: worth * struck * replacement,
        Figure.BUILD_C: 0.0,
        Figure.RUNNING_C: 0.0,
        Figure.CAMPAIGN_C: worth * (700_000 + 0.1 * 30_000),
        Figure.VOLUME_C: worth * struck * (0.1 + cured_c * 2 * 3 + 0.1 * replacement),
        Figure.EVENTS: 1,
        Figure.STRUCK: struck,
        Figure.REPLACED_A: struck * (1 - cured_a),
        Figure.REPLACED_C: struck * (1 - cured_c),
        Figure.VISITS_A: struck * (1 - cured_a) * 0.3 / 0.75,
        Figure.VISITS_B: struck * 0.3 / 0.75,
        Figure.VISITS_C: struck * (1 - cured_c) * 0.3 / 0.75,
    }
    for figure, amount in expected.items():
        assert pytest.approx(amount, rel=1e-12) == figures[figure, 4], figure.name


def test_what_cannot_be_updated_is_replaced_under_over_the_air_too():
    """An IHD has no procedure: an event that strikes it costs over the air what it costs without."""
    only = {f"device.{name}.{part}": float(name == "IHD") for name in ("PPMID", "HCALCS", "IHD")
            for part in ("share", "events")}  # fmt: skip
    figures = evaluate(plain(only), (), 1, 0).figures
    assert np.array_equal(figures[Figure.VOLUME_A], figures[Figure.VOLUME_B])
    assert np.array_equal(figures[Figure.STRUCK], figures[Figure.REPLACED_A])


@pytest.mark.parametrize("size", [1.0, 4.0])
def test_events_come_as_often_as_said_and_swarm_as_much_as_said(size):
    """The number of events has the mean of a Poisson process, and the dispersion of its swarms."""
    case = plain({"events.frequency": 2, "events.clustering": size, "events.cluster_months": 0}, years=10)
    counts = np.concatenate([evaluate(case, (), 1, block).figures[Figure.EVENTS] for block in range(BLOCKS)])
    # Swarms of one and a Poisson number of others: E[M(M-1)] / E[M] more than a Poisson process.
    dispersion = 1 + (size**2 - 1) / size
    assert pytest.approx(20, abs=4 * np.sqrt(20 * dispersion / len(counts))) == counts.mean()
    assert pytest.approx(20 * dispersion, rel=0.06) == counts.var()


@pytest.mark.parametrize("size", [1.0, 4.0])
def test_events_are_as_likely_in_each_month(size):
    """Swarms that began before the horizon reach into it, so that its first months are like its last."""
    case = plain({"events.frequency": 5, "events.clustering": size, "events.cluster_months": 24}, years=5)
    months = np.concatenate(
        [events(case, (), 1, block, constants(case, (), 1, block)).month for block in range(BLOCKS)]
    )
    counts = np.bincount(months.astype(int), minlength=60)
    assert 60 == len(counts)
    expected = 5 / 12 * BLOCK * BLOCKS
    assert counts == pytest.approx(np.full(60, expected), abs=5 * np.sqrt(expected * size * 1.3))


def test_events_of_one_future_follow_those_of_another():
    """The events of a block stand in the order of its futures, whole months within the horizon."""
    found = events(EXAMPLE, (), 1, 0, constants(EXAMPLE, (), 1, 0))
    assert (np.diff(found.future) >= 0).all()
    assert set(np.unique(found.month)) <= set(range(EXAMPLE.months))
    assert {0, 1, 2} == set(np.unique(found.kind))


def test_another_value_of_one_input_moves_nothing_else():
    """Each input has a stream of its own: what one draws, another does not feel."""
    one = constants(EXAMPLE, (), 1, 0)
    other = constants(EXAMPLE, (("replace.visit", "set", 50.0),), 1, 0)
    assert [50.0] == other["replace.visit"].tolist()
    for key, values in one.items():
        if key != "replace.visit":
            assert np.array_equal(values, other[key]), key
    first, second = (events(EXAMPLE, (), 1, 0, known) for known in (one, other))
    assert np.array_equal(first.reach, second.reach)
    assert np.array_equal(first.month, second.month)


def test_a_factor_multiplies_what_is_drawn_and_stays_in_range():
    """`times` scales an input in every future, and cuts what leaves the input's range."""
    one = constants(EXAMPLE, (), 1, 0)["over_the_air.curable"]
    other = constants(EXAMPLE, (("over_the_air.curable", "times", 1.3),), 1, 0)["over_the_air.curable"]
    assert np.array_equal(np.minimum(one * 1.3, 1.0), other)
    assert 1.0 == other.max()


def test_blocks_and_seeds_draw_different_numbers():
    """No two blocks, and no two seeds, share their futures."""
    drawn = [constants(EXAMPLE, (), seed, block)["replace.visit"] for seed, block in ((1, 0), (1, 1), (2, 0))]
    for number, one in enumerate(drawn):
        for other in drawn[number + 1 :]:
            assert not np.intersect1d(one, other).size


def test_uncertain_shares_of_kinds_make_a_whole_in_each_future():
    """Where shares are uncertain, those of one future still add up to 1."""
    case = changed(EXAMPLE, {"device.PPMID.share": ("uniform", 0.7, 0.95)})
    known = constants(case, (), 1, 0)
    total = sum(known[f"device.{it.name}.share"] for it in case.devices)
    assert total == pytest.approx(np.ones(BLOCK))


def test_a_share_that_is_set_is_what_it_says_and_the_others_have_the_rest():
    """Else a scenario of half the fleet would be told as one, and worked with a third."""
    case = changed(EXAMPLE, {"device.PPMID.share": ("uniform", 0.7, 0.95)})
    keys = [f"device.{it.name}.share" for it in case.devices]
    drawn = constants(case, (), 1, 0)
    known = constants(case, ((keys[0], "set", 0.5),), 1, 0)
    assert [0.5] == known[keys[0]].tolist()
    assert np.allclose(sum(known[key] for key in keys[1:]), 0.5)
    assert np.allclose(known[keys[1]] * drawn[keys[2]], known[keys[2]] * drawn[keys[1]])


@pytest.mark.parametrize("futures", [1, 1_000, BLOCK])
def test_the_monthly_profile_adds_up_to_the_costs(futures):
    """What is spent month by month is what is spent in all, of as many futures as are asked for."""
    found = evaluate(EXAMPLE, (), 1, 0, monthly=futures)
    for option in Option:
        total = found.figures[list(COSTS[option]), :futures].sum()
        assert pytest.approx(total, rel=1e-9) == found.monthly[option].sum()


def test_no_closed_form_where_something_is_uncertain():
    """The closed form does not pretend: it says which input has no value."""
    with pytest.raises(UsageError, match=r"no closed form: fleet\.devices is uncertain"):
        expected_costs(EXAMPLE)


def test_the_largest_case_that_the_reader_lets_through_is_finite():
    """All inputs at their greatest: numbers, no infinities, no warnings."""
    laws = {key: it.law.high for key, it in EXAMPLE.assumptions.items()
            if not key.startswith(("device.", "party.", "events.frequency"))}  # fmt: skip
    figures = evaluate(plain(laws | {"events.frequency": 16}, years=60), (), 1, 0).figures
    assert np.isfinite(figures).all()
    smallest = {key: it.law.low for key, it in EXAMPLE.assumptions.items()
                if not key.startswith(("device.", "party."))}  # fmt: skip
    assert np.isfinite(evaluate(plain(smallest, years=1), (), 1, 0).figures).all()


def test_what_differs_from_event_to_event_is_drawn_for_each():
    """An input `per = "event"` has as many values as there are events, save for those that are cut."""
    found = events(EXAMPLE, (), 1, 0, constants(EXAMPLE, (), 1, 0))
    uncut = found.reach[found.reach < 1]
    assert len(uncut) == len(np.unique(uncut))
