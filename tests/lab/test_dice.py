"""Dice: the same everywhere, fair enough, and each stream on its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import UsageError
from lamplighter.lab.dice import NEVER, Dice

LABELS = st.lists(st.text(max_size=6) | st.integers(), max_size=3)


def numbers(stream, count=40):
    return [stream.integer(0, 10**12) for _ in range(count)]


def test_the_numbers_are_these_on_every_machine():
    stream = Dice("seed").stream("han", 7)
    assert [4, 51, 37, 35] == [stream.integer(0, 99) for _ in range(4)]
    assert Dice("seed").stream("han", 7).uniform(0, 1) == 0.032261240390837664


@given(st.text(max_size=8), LABELS)
def test_a_stream_is_the_same_whenever_it_is_asked_for(seed, labels):
    assert numbers(Dice(seed).stream(*labels)) == numbers(Dice(seed).stream(*labels))


@given(LABELS, LABELS)
def test_streams_of_other_labels_have_nothing_in_common(one, other):
    if list(map(str, one)) != list(map(str, other)):
        assert numbers(Dice("").stream(*one), 8) != numbers(Dice("").stream(*other), 8)


def test_labels_do_not_run_into_one_another():
    assert numbers(Dice("").stream("ab", "c")) != numbers(Dice("").stream("a", "bc"))


@given(st.integers(-(10**20), 10**20), st.integers(0, 10**20))
def test_whole_numbers_lie_within_their_bounds(low, span):
    stream = Dice("bounds").stream(low, span)
    assert all(low <= stream.integer(low, low + span) <= low + span for _ in range(10))


def test_no_number_lies_between_bounds_that_are_the_wrong_way_round():
    with pytest.raises(UsageError):
        Dice("").stream().integer(2, 1)


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_a_chance_comes_as_often_as_it_should(probability):
    stream = Dice("chance").stream(probability)
    share = sum(stream.chance(probability) for _ in range(20_000)) / 20_000
    assert abs(share - probability) < 0.012


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.97])
def test_one_roll_for_many_failures_is_like_many_rolls(probability):
    stream = Dice("failures").stream(probability)
    mean = sum(stream.failures(probability) for _ in range(20_000)) / 20_000
    assert abs(mean - (1 - probability) / probability) < 0.05 * (1 / probability)


def test_what_is_sure_never_fails_and_what_cannot_be_always_does():
    stream = Dice("sure").stream()
    assert (0, NEVER) == (stream.failures(1.0), stream.failures(0.0))


def test_choices_follow_their_weights():
    stream = Dice("weights").stream()
    drawn = [stream.weighted((("a", 3.0), ("b", 1.0), ("c", 0.0))) for _ in range(8_000)]
    assert abs(drawn.count("a") - 6_000) < 200
    assert "c" not in drawn
    assert {"x", "y"} == {stream.choose("xy") for _ in range(40)}
