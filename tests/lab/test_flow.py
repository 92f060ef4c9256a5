"""Flow mode by itself: repeatable however the work is cut, small, and honest about what it is asked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from lamplighter.lab.devices import BOOT_TIME, Behaviour, Manner
from lamplighter.lab.faults import FAULTS, Scheduled
from lamplighter.lab.flow import (
    NEVER,
    TICK,
    Course,
    Fleet,
    Flow,
    Kind,
    Load,
    Mix,
    Outcome,
    Settings,
    Stage,
    Trait,
    course,
    weights,
)
from lamplighter.lab.flow.chance import Chance
from lamplighter.lab.flow.transfer import Air, exchanges, follow
from lamplighter.lab.han import Interference, Quality
from lamplighter.lab.wan import LINKS, RECEIPT_OCTETS, Link

START = Instant(1_900_000_000 * SECOND)
ROUGH = Settings(
    {region.value: link for region, link in LINKS.items()},
    (Quality(loss=0.01), Quality(latency=50 * MILLISECOND, loss=0.05, lateness=0.1)),
    Interference(pause=HOUR, length=20 * SECOND),
)
MIXED = Mix(
    regions=(0.2, 0.2, 0.2, 0.2, 0.1, 0.1),
    coverage=(0.9,) * 6,
    kinds=(0.8, 0.4),
    ineligible=0.02,
    other_hardware=0.02,
    sleeping=0.3,
    off=0.02,
    qualities=(0.6, 0.4),
)
AFTER = {"start": Instant(START + 2 * MINUTE), "end": Instant(START + 3 * DAY), "probability": 0.3}
EVERYTHING = tuple(
    Scheduled(name, **AFTER)
    for name in FAULTS
    if FAULTS[name].reach.value != "manufacture" and name != "dcc-outage"
)
LOAD = Load(20_000)


def everyone(fleet: Fleet) -> np.ndarray:
    return np.arange(len(fleet), dtype=np.uint32)


def lived(fleet: Fleet, *, workers: int = 1, faults=EVERYTHING, seed: str = "flow") -> Course:
    """A day's orders, and what follows."""
    lives = Flow(ROUGH, faults, load=LOAD, seed=seed, workers=workers).over(fleet, START)
    lives.order(everyone(fleet), START)
    lives.activate_when_verified()
    return lives


def same(one: Course, other: Course) -> bool:
    return np.array_equal(one.at, other.at) and np.array_equal(one.outcome, other.outcome)


def one_device(kind: Kind = Kind.PPMID, traits: Trait = Trait.NONE) -> Fleet:
    return Fleet.of([0], region=[0], kind=[kind], traits=[traits])


# Repeatable


@pytest.mark.parametrize(("piece", "workers"), [(1 << 16, 2), (1 << 10, 1), (997, 3)])
def test_it_makes_no_difference_how_the_work_is_cut(monkeypatch, piece, workers):
    fleet = Fleet.draw("cut", 20_000, MIXED)
    whole = lived(fleet)
    monkeypatch.setattr(course, "PIECE", piece)
    assert same(whole, lived(fleet, workers=workers))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_it_makes_no_difference_in_which_order_hubs_are_ordered(seed, parts):
    fleet = Fleet.draw("order", 500, MIXED)
    whole = lived(fleet)
    apart = Flow(ROUGH, EVERYTHING, load=LOAD).over(fleet, START)
    groups = np.random.default_rng(seed).integers(0, parts, fleet.hubs)[fleet.hub]
    for group in range(parts):
        apart.order(np.flatnonzero(groups == group).astype(np.uint32), START)
    apart.activate_when_verified()
    assert same(whole, apart)


def test_another_seed_is_another_course_of_events():
    fleet = Fleet.draw("seeds", 1_000, MIXED)
    assert not same(lived(fleet), lived(fleet, seed="other"))


def test_a_larger_fleet_begins_like_a_smaller_one():
    small, large = (Fleet.draw("fleet", homes, MIXED) for homes in (70_000, 140_000))
    for name in Fleet.__slots__:
        column = getattr(large, name)[: len(small)]
        assert np.array_equal(getattr(small, name), column)


def test_a_fleet_is_what_its_mix_says():
    fleet = Fleet.draw("mix", 100_000, MIXED)
    assert 120_000 == pytest.approx(len(fleet), rel=0.01)
    assert 1 / 3 == pytest.approx((fleet.kind == Kind.HCALCS).mean(), abs=0.01)
    assert 0.1 == pytest.approx(((fleet.traits & Trait.UNCOVERED) != 0).mean(), abs=0.01)
    assert 0.3 == pytest.approx(
        ((fleet.traits[fleet.kind == Kind.PPMID] & Trait.SLEEPS) != 0).mean(), abs=0.01
    )
    assert 0.4 == pytest.approx((fleet.quality == 1).mean(), abs=0.01)


def test_words_are_even_and_hang_together_in_no_direction():
    count = 1 << 16
    devices = np.arange(count, dtype=np.uint32)
    chance = Chance("even", 4)
    words = [
        half / 2**32
        for purpose in range(2)
        for attempt in (1, 2)
        for half in chance.words(purpose, devices, np.full(count, attempt, np.uint8))
    ]
    for word in words:
        counts, _ = np.histogram(word, 256, (0, 1))
        assert ((counts - count / 256) ** 2 / (count / 256)).sum() < 350  # chi-square, 255: 1e-4 lies at 346
        assert abs(np.corrcoef(word[:-1], word[1:])[0, 1]) < 0.02
    between = np.corrcoef(words) - np.eye(len(words))
    assert np.abs(between).max() < 0.02


# What happens


def test_a_perfect_network_takes_what_its_parameters_say():
    link, quality = Link(), Quality()
    lives = Flow(load=LOAD).over(one_device(), START)
    lives.order(everyone(lives.fleet), START)
    at_hub = link.crossing(LOAD.octets) + link.latency
    n60 = at_hub + link.crossing(RECEIPT_OCTETS) + link.latency
    ended = at_hub + 2 * quality.latency * (exchanges(LOAD.octets) + 1)
    n62 = ended + link.crossing(weights.TRANSFER_ALERT) + link.latency
    told = ended + quality.latency
    n39 = told + BOOT_TIME + quality.latency + link.crossing(weights.PPMID_ALERT) + link.latency
    expected = {Stage.ACCEPTED: 0, Stage.AT_HUB: n60, Stage.ON_DEVICE: n62, Stage.PROVEN: n39}
    for stage, after in expected.items():
        assert after == pytest.approx(int(lives.at[stage, 0]) * TICK, abs=3 * TICK)


@pytest.mark.parametrize(
    ("traits", "outcome", "stage"),
    [
        (Trait.NONE, Outcome.UPDATED, Stage.PROVEN),
        (Trait.INELIGIBLE, Outcome.REFUSED, Stage.ACCEPTED),
        (Trait.OTHER_HARDWARE, Outcome.HARDWARE_MISMATCH, Stage.ON_DEVICE),
        (Trait.RUNS_IT, Outcome.DISCARDED, Stage.ON_DEVICE),
        (Trait.OFF, Outcome.DISCARDED, Stage.ON_DEVICE),
        (Trait.UNCOVERED, Outcome.UNDELIVERED, Stage.AT_HUB),
    ],
)
def test_each_trait_ends_in_its_own_way(traits, outcome, stage):
    lives = Flow(load=LOAD).over(one_device(traits=traits), START)
    lives.order(everyone(lives.fleet), START)
    heard = lives.advance(Instant(START + 30 * DAY))
    assert (int(stage), int(outcome)) == (heard.stage[-1], heard.outcome[-1])
    assert [NEVER] * (len(Stage) - stage - 1) == list(lives.at[stage + 1 :, 0])


def test_what_is_heard_is_told_once_and_in_its_time():
    fleet = Fleet.draw("told", 3_000, MIXED)
    lives = lived(fleet)
    told = [lives.advance(Instant(START + hours * HOUR)) for hours in (0, 1, 2, 24, 24 * 30)]
    for earlier, later in pairwise(told):
        assert not len(later.at) or later.at.min() > earlier.at.max()
    assert (lives.at != NEVER).sum() == sum(len(heard.device) for heard in told)


def test_a_failure_is_told_by_the_message_that_tells_of_it():
    fleet = Fleet.of([0, 1], region=[0, 0], kind=[Kind.PPMID] * 2, traits=[Trait.NONE, Trait.OTHER_HARDWARE])
    lives = Flow(load=LOAD).over(fleet, START)
    lives.order(everyone(fleet), START)
    heard = lives.advance(Instant(START + DAY))
    told = {(d, s): o for d, s, _, o in zip(*heard, strict=True)}
    assert Outcome.UNDER_WAY == told[1, Stage.AT_HUB]
    assert Outcome.HARDWARE_MISMATCH == told[1, Stage.ON_DEVICE]
    assert Outcome.UNDER_WAY == told[0, Stage.ON_DEVICE]
    assert Outcome.UPDATED == told[0, Stage.PROVEN]


def test_an_order_for_a_device_that_has_one_under_way_changes_nothing():
    lives = Flow(load=LOAD).over(one_device(), START)
    lives.order(everyone(lives.fleet), START)
    before = lives.at.copy()
    lives.order(everyone(lives.fleet), Instant(START + SECOND))
    assert np.array_equal(before, lives.at)
    assert [1] == list(lives.attempts)


def test_a_device_that_failed_can_be_ordered_again_with_luck_of_its_own():
    fleet = Fleet.of(range(400), region=[0] * 400, kind=[Kind.PPMID] * 400)
    lives = Flow(faults=(Scheduled("lost-alert", probability=0.5),), load=LOAD).over(fleet, START)
    lives.order(everyone(fleet), START)
    first = lives.at[Stage.ON_DEVICE] == NEVER
    again = Instant(START + 60 * DAY)
    lives.order(everyone(fleet), again)
    second = lives.at[Stage.ON_DEVICE] == NEVER
    assert [2] * 400 == list(lives.attempts)
    assert 0.25 == pytest.approx((first & second).mean(), abs=0.1)


def test_two_devices_behind_one_hub_share_the_crossing_and_take_turns():
    fleet = Fleet.of([0, 0], region=[0, 0], kind=[Kind.PPMID] * 2)
    lives = Flow(load=LOAD).over(fleet, START)
    lives.order(everyone(fleet), START)
    receipt = Link().crossing(RECEIPT_OCTETS)
    one, other = (lives.at[:, device].astype(np.int64) * TICK for device in (0, 1))
    assert receipt == pytest.approx(other[Stage.AT_HUB] - one[Stage.AT_HUB], abs=2 * TICK)
    assert other[Stage.ON_DEVICE] > one[Stage.ON_DEVICE] + MINUTE


def test_an_activation_needs_a_verified_image():
    lives = Flow(load=LOAD).over(one_device(Kind.HCALCS), START)
    lives.activate(everyone(lives.fleet), START)
    lives.order(everyone(lives.fleet), START)
    lives.activate(everyone(lives.fleet), Instant(START + SECOND))
    assert NEVER == lives.at[Stage.ACTIVATION, 0]
    lives.activate(everyone(lives.fleet), Instant(START + HOUR))
    lives.advance(Instant(START + 2 * HOUR))
    assert Outcome.UPDATED == lives.outcome[0]


def test_a_signature_that_is_not_the_suppliers_ends_in_8f1c():
    lives = Flow(load=Load(20_000, signed=False)).over(one_device(Kind.HCALCS), START)
    lives.order(everyone(lives.fleet), START)
    heard = lives.advance(Instant(START + DAY))
    assert (Stage.VERIFIED, Outcome.REJECTED) == (heard.stage[-1], heard.outcome[-1])


def test_firmware_that_misbehaves_on_one_hardware_alone_is_not_taken_for_worse_than_it_is():
    """Flow mode knows no hardware versions, and says so."""
    lives = Flow(load=Load(20_000, Behaviour(Manner.NEVER_BOOTS, on=0x1101))).over(one_device(), START)
    with pytest.raises(UsageError, match="hardware"):
        lives.order(everyone(lives.fleet), START)


def test_nobody_can_order_while_the_dcc_is_down():
    outage = Scheduled("dcc-outage", START, Instant(START + HOUR))
    lives = Flow(faults=(outage,), load=LOAD).over(one_device(), START)
    with pytest.raises(UsageError, match="down"):
        lives.order(everyone(lives.fleet), START)
    lives.order(everyone(lives.fleet), Instant(START + HOUR))


def test_time_never_goes_back_and_has_an_end():
    lives = Flow(load=LOAD).over(one_device(), START)
    lives.advance(Instant(START + HOUR))
    for wrong in (START, Instant(START + 450 * DAY), Instant(START - DAY)):
        with pytest.raises(UsageError):
            lives.order(everyone(lives.fleet), wrong)
    with pytest.raises(UsageError):
        lives.advance(START)


@pytest.mark.parametrize("octets", [1_000_000, 42_900_000, 50_000_000])
def test_a_link_too_slow_for_the_image_is_refused_and_wraps_into_no_quick_one(octets):
    """At an octet a second fifty million take longer than ticks can count: what is left would be hours."""
    slow = Settings(regions={"North": Link(octets_per_second=1)})
    lives = Flow(slow, load=Load(octets)).over(one_device(), START)
    with pytest.raises(UsageError, match=rf"'North' takes {octets // 86_400} days for {octets:,} octets"):
        lives.order(everyone(lives.fleet), START)


def test_a_fleet_is_laid_out_hub_by_hub():
    with pytest.raises(UsageError, match="hub by hub"):
        Fleet.of([1, 0], region=[0, 0], kind=[Kind.PPMID] * 2)
    with pytest.raises(UsageError, match="equally long"):
        Fleet.of([0, 1], region=[0], kind=[Kind.PPMID] * 2)


def test_an_empty_fleet_has_an_empty_course_of_events():
    fleet = Fleet.draw("none", 0)
    results = Flow().run(fleet, START)
    assert (0, 0) == (results.at.shape[1], len(results.outcome))
    assert 0 == len(Flow().over(fleet, START).advance(START).device)


def test_it_takes_at_most_64_octets_a_device():
    fleet = Fleet.draw("small", 100_000)
    assert Flow().over(fleet, START).nbytes <= 64 * len(fleet)


# Block transfers, against a transfer that is played through frame by frame


def played(air: Air, octets: int, dice: np.random.Generator) -> float:
    """One transfer, exchange by exchange, in clear air."""
    at = 0.0
    for _ in range(exchanges(octets)):
        while True:
            if (dice.random(2) >= air.quality.loss).all():
                at += 2 * air.quality.latency
                break
            at += 5 * SECOND
    return at


def test_quantiles_are_those_of_transfers_played_through():
    air = Air(Quality(loss=0.05), Interference())
    dice = np.random.default_rng(1)
    table = follow(air, 2_000, dice)
    sample = np.sort([played(air, 2_000, dice) for _ in range(1_000)]) / TICK
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        mine = table.took[int(share * len(table.took))]
        assert np.searchsorted(sample, mine - 600) / 1_000 - 0.05 < share
        assert np.searchsorted(sample, mine + 600) / 1_000 + 0.05 > share


def test_a_link_that_loses_nearly_everything_gives_up():
    table = follow(Air(Quality(loss=0.9), Interference()), 2_000, np.random.default_rng(1))
    assert 1.0 == pytest.approx(table.gave_up, abs=0.01)


def test_a_long_burst_ends_a_transfer_and_a_short_one_does_not():
    def gave_up(length: int) -> float:
        bursts = Interference(pause=MINUTE, length=length)
        return follow(Air(Quality(), bursts), 300_000, np.random.default_rng(1)).gave_up

    assert gave_up(10 * SECOND) == 0
    assert gave_up(HOUR) == pytest.approx(1, abs=0.01)
