"""Rehearsals and forecasts: the same dice the same course, bad firmware held, bands as they say."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lamplighter.campaign import plan as plans
from lamplighter.campaign.forecast import Three, departure
from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY, HOUR, from_iso
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.planning import fleet as fleets
from lamplighter.planning.assumptions import Assumptions, Range
from lamplighter.planning.calibration import (
    MEASURES,
    OF_A_HOLD,
    Case,
    cover,
    figures,
    known,
    run,
    scene,
    tables,
    wilson,
)
from lamplighter.planning.effects import BAD, effects, harms
from lamplighter.planning.estate import described, procedure_of
from lamplighter.planning.forecast import ensemble, forecast, rank, three
from lamplighter.planning.rehearse import STEP, Scene, rehearse

START = from_iso("2026-01-12T09:00:00Z")
PLAN = plans.parse(
    """
name = "rehearsed"
stratify = ["hub_model"]
lasts = "40d"
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = 0.1
minimum = 20
soak = "6h"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.06
max_failure_rate = 0.3
acceptable_silence_rate = 0.06
max_silence_rate = 0.3
"""
)
FLEET = fleets.parse(
    """
[[devices]]
count = 300
type = "PPMID"
hub_model = "A"
regions = { North = 0.5, South = 0.5 }
[[devices]]
count = 200
type = "PPMID"
hub_model = "B"
regions = { "4G South" = 1.0 }
[[devices]]
count = 7
type = "IHD"
"""
)


def stage(plan=PLAN, step=HOUR):
    release = FLEET.release(procedure_of(plan))
    return Scene(plan, release.procedure, 100_000, described(plan, release, FLEET.devices), START, step)


def test_the_same_seed_gives_the_same_course_and_another_one_does_not():
    """To the last Device."""
    its, world = stage(), Assumptions().draw("one")
    one, same, other = (rehearse(its, world, seed) for seed in ("a", "a", "b"))
    assert (one.since.tolist(), one.proven.tolist()) == (same.since.tolist(), same.proven.tolist())
    assert (one.end, one.requests) == (same.end, same.requests)
    assert one.end != other.end


def test_everybody_is_proven_where_nothing_is_the_matter():
    """Each Device is named in one request, and its image crosses the WAN once."""
    its = stage()
    nothing = Range(0, 0)
    world = Assumptions(
        off=nothing, refused=nothing, misfit=nothing, weak=nothing, loss=nothing, alerts_lost=nothing
    ).draw("fair")
    links = {name: replace(link, coverage=1.0, outage_pause=0) for name, link in world.links.items()}
    course = rehearse(its, replace(world, links=links), "fair")
    assert 500 == course.reached == course.orders
    assert {} == dict(course.causes)
    assert 500 * 100_000 == course.down.sum()
    assert course.finished
    assert course.end < 2 * DAY


def test_a_step_may_be_shorter_and_the_campaign_is_the_same_but_for_it():
    """What a shorter step changes is less than a step a stage."""
    world = Assumptions(off=Range(0, 0)).draw("steps")
    halves = [rehearse(stage(step=step), world, "steps").when(0.5) for step in (HOUR // 4, HOUR)]
    assert abs(halves[0] - halves[1]) < 4 * HOUR


def test_bad_firmware_is_held_and_reaches_no_more_than_the_canaries():
    """In each stratum alone: of firmware that does not start, and of one that is never heard of again."""
    found = harms(stage(), Assumptions().draw("bad"), "bad")
    assert ["hub_model=A", "hub_model=B"] == [it.stratum for it in found]
    for harm in found:
        for name in BAD:
            assert harm.held[name] is not None, f"{harm.stratum} with firmware that {name}"
            assert harm.ordered[name] <= 30 < harm.devices
    quick, slow = (found[0].held[name].at for name in BAD)
    assert quick < DAY < slow, "what says nothing is known to fail only by its deadline"


def test_bad_firmware_in_one_stratum_holds_that_one_alone():
    """The others get sound firmware, and come to their end."""
    its = stage()
    bad = [n for n, it in enumerate(its.estate.cohorts) if it.hub_model == "B"]
    course = rehearse(
        its, Assumptions().draw("b"), "b", bad=dict.fromkeys(bad, Behaviour(Manner.NEVER_BOOTS))
    )
    assert ["hub_model=B"] == [it.stratum for it in course.held]
    assert 270 < course.reached <= 300


def test_firmware_that_fails_on_a_share_of_devices_fails_on_that_share():
    """Half of stratum B, with a gate that lets it pass: about half of its Devices are proven."""
    gate = replace(PLAN.gate, acceptable_failure_rate=0.7, max_failure_rate=0.95)
    its = stage(replace(PLAN, gate=gate))
    bad = {n: Behaviour(Manner.NEVER_BOOTS) for n, it in enumerate(its.estate.cohorts) if it.hub_model == "B"}
    sizes = np.bincount(its.estate.cohort)
    inside = sum(int(sizes[n]) for n in bad)
    course = rehearse(its, Assumptions().draw("b"), "b", bad=bad, bad_share=0.5)
    spared = course.reached - (len(its.estate) - inside)
    assert () == course.held
    assert 0.35 * inside < spared < 0.55 * inside


def test_a_fault_is_told_apart_from_chance():
    """With lost alerts it takes longer or fewer are proven; a fault that is not there changes nothing."""
    world = Assumptions(alerts_lost=Range(0, 0)).draw("effects")
    bare, found = effects(stage(), world, "effects", ("duplicated-alert", "dcc-outage", "wrong-hash"))
    doubled, down, misfiled = found
    assert (0, 0, 0) == (doubled.later, doubled.fewer, doubled.requests)
    assert down.half is not None
    assert down.half > 0
    assert bare.reached == misfiled.fewer
    assert misfiled.half is None


def test_a_forecast_does_not_depend_on_how_many_share_the_work():
    """One process or two: the same curve."""
    its = stage()
    alone, shared = (
        forecast(its, ensemble(its, Assumptions(), seed="s", members=9, workers=workers), START)
        for workers in (1, 2)
    )
    assert alone == shared


def test_the_band_of_nine_goes_from_the_least_to_the_greatest():
    """That is 80 % of the places that a tenth can take; of nineteen, the second and the last but one."""
    assert Three(1, 5, 9) == three(list(range(9, 0, -1)))
    assert Three(2, 10, 18) == three(list(range(1, 20)))
    assert [1, 2, 4] == [rank(members) for members in (9, 19, 39)]


@pytest.mark.parametrize("members", [0, 1, 8, 10, 20, 1_009, -1])
def test_a_number_of_rehearsals_whose_band_is_not_80_percent_is_refused(members):
    """It says which ones are taken."""
    with pytest.raises(UsageError, match="9, 19"):
        rank(members)


def test_most_members_keep_to_what_an_alarm_looks_at():
    """Of nine at least eight, for the band is made so wide; at their start nobody is behind."""
    its = stage()
    courses = ensemble(its, Assumptions(), seed="keep", members=9)
    made = forecast(its, courses, START)
    left = [
        any(
            departure(made, since, proven) is not None
            for since, proven in zip(course.since.tolist(), course.proven.tolist(), strict=True)
        )
        for course in courses
    ]
    assert sum(left) <= 1
    assert np.all(np.diff(made.middle) >= 0)


def test_a_plan_for_two_procedures_is_refused_where_no_release_says_which():
    """It says what to put there."""
    both = replace(PLAN, target=replace(PLAN.target, types=frozenset()))
    with pytest.raises(UsageError, match=r"target\.types"):
        procedure_of(both)


def test_a_calibration_counts_what_it_ran():
    """A tiny one: every campaign is another, and truth and forecast share no dice."""
    case = Case("tiny", Assumptions(), known(Assumptions()), 2, 9)
    trials = run(case, "a test's own")
    assert 2 == len(trials)
    assert scene(0, "a test's own").plan != scene(1, "a test's own").plan
    kept = {"tiny": {"seed": "a test's own", "members": 9} | figures(trials)}
    for it in cover(trials):
        assert 2 == it.within + it.below + it.above
    assert "**tiny**: 2 campaigns" in tables(kept)


def test_a_calibration_of_bad_releases_has_holds_and_what_was_ordered_before_them():
    """A gate holds in truth, and one more line is in the table."""
    case = Case("bad", Assumptions(), Assumptions(), 3, 9, Range(0.5, 0.8))
    trials = run(case, "a test's own")
    assert any(each.held for each in trials)
    assert [*MEASURES, OF_A_HOLD] == [it.measure for it in cover(trials)]
    assert all(each.truth[-1] > 0 for each in trials if each.held)


def test_wilsons_interval():
    """As published for 8 of 10: 49 % to 94 %."""
    low, high = wilson(8, 10)
    assert (0.49, 0.943) == (round(low, 2), round(high, 3))


@pytest.mark.parametrize(("members", "expected"), [(9, 0.1), (19, 0.05)])
def test_an_alarm_is_as_rare_as_it_says_for_one_more_curve_of_the_same_kind(members, expected):
    """Curves that are drawn, not rehearsed: with 9 the band of all of them would be left by four in ten."""
    dice = np.random.default_rng(7)
    since = np.arange(0, 960) * STEP
    its = SimpleNamespace(step=STEP, estate=range(1_000_000))

    def course():
        middle, wide = dice.normal(200, 30) * HOUR, dice.uniform(20, 40) * HOUR
        proven = np.round(970_000 / (1 + np.exp((middle - since) / wide))).astype(np.int64)
        return SimpleNamespace(
            end=int(since[-1]), failures=30_000, requests={}, proven=proven,
            at=lambda at: proven[np.minimum(at // STEP, len(proven) - 1)],
        )  # fmt: skip

    trials, alarms = 200, 0
    for _ in range(trials):
        made = forecast(its, [course() for _ in range(members)], START)
        assert made.reach > 1
        truth = course()
        alarms += any(
            departure(made, int(at), int(proven)) is not None
            for at, proven in zip(since, truth.proven, strict=True)
        )
    assert alarms / trials < expected + 3 * math.sqrt(expected * (1 - expected) / trials)
