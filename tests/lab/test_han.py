"""The HAN: perfect unless told otherwise, and as bad as it was told to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64, Instant
from lamplighter.kit.instant import HOUR, MINUTE, SECOND
from lamplighter.lab.dice import Dice
from lamplighter.lab.han import Han, Interference, Quality, Settings
from lamplighter.lab.wire import Cluster, HanFrame

HUB, NEAR, FAR = Eui64.of(1), Eui64.of(2), Eui64.of(3)
FRAMES = 8_000


def frame(device=NEAR, *, up=True):
    return HanFrame(device, HUB, Cluster.OTA, b"") if up else HanFrame(HUB, device, Cluster.OTA, b"")


def network(quality=None, interference=None, seed="han", **qualities):
    settings = Settings(quality or Quality(), interference or Interference())
    return Han(HUB, Dice(seed), settings, qualities.get("of"))


def arrivals(han, count=FRAMES, device=NEAR):
    return [han.carry(frame(device, up=n % 2 == 0), Instant(n * SECOND)) for n in range(count)]


def test_a_perfect_han_brings_each_frame_once_after_its_latency():
    assert all(
        ((Instant(n * SECOND + 20_000), frame(up=n % 2 == 0)),) == came
        for n, came in enumerate(arrivals(network(), 100))
    )


@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
def test_frames_are_lost_doubled_and_late_as_often_as_they_should(share):
    lost = [len(came) for came in arrivals(network(Quality(loss=share)))]
    doubled = [len(came) for came in arrivals(network(Quality(duplication=share)))]
    late = [came[0][0] % SECOND > 20_000 for came in arrivals(network(Quality(lateness=share)))]
    for count in (lost.count(0), doubled.count(2), late.count(True)):
        assert abs(count / FRAMES - share) < 0.02


def test_a_frame_may_be_late_and_doubled_as_often_as_chance_has_it():
    """Loss, duplication and lateness are independent of each other, but that what is lost is neither."""
    came = [
        [when % SECOND > 20_000 for when, _ in each]
        for each in arrivals(network(Quality(loss=0.2, duplication=0.3, lateness=0.4)))
    ]
    shares = {
        "lost": ([], 0.2),
        "late": ([True], 0.8 * 0.4 * 0.7),
        "late and doubled": ([True, True], 0.8 * 0.4 * 0.3),
        "doubled": ([False, True], 0.8 * 0.6 * 0.3),
        "neither": ([False], 0.8 * 0.6 * 0.7),
    }
    for what, (whens, share) in shares.items():
        assert abs(came.count(whens) / FRAMES - share) < 0.02, what


def test_a_late_frame_is_overtaken():
    han = network(Quality(lateness=0.3))
    came = [when for n in range(200) for when, _ in han.carry(frame(), Instant(n * 10_000))]
    assert came != sorted(came)


def test_each_device_has_a_link_of_its_own():
    han = network(of={FAR: Quality(loss=1.0)})
    assert [1] * 10 == [len(came) for came in arrivals(han, 10)]
    assert [0] * 10 == [len(came) for came in arrivals(han, 10, FAR)]


def test_one_device_s_luck_does_not_hang_on_another_s():
    quality = Quality(loss=0.2)
    alone, together = network(quality), network(quality)
    for n in range(100):
        together.carry(frame(FAR), Instant(n))
    assert arrivals(alone, 100) == arrivals(together, 100)


def test_bursts_come_over_all_links_at_once():
    pattern = Interference(pause=10 * MINUTE, length=MINUTE)
    near, far = (arrivals(network(interference=pattern), 7_200, device) for device in (NEAR, FAR))
    silent = [not came for came in near]
    assert silent == [not came for came in far]
    assert 0.04 < sum(silent) / len(silent) < 0.2


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 200))
def test_a_clear_stretch_is_clear(loss, duplication, skipped):
    han = network(Quality(loss=loss, duplication=duplication))
    for n in range(skipped):
        han.carry(frame(), Instant(n))
    frames, until, latency = han.clear(NEAR, Instant(skipped))
    assert until > HOUR
    for n in range(min(frames, 50)):
        assert ((Instant(skipped + n + latency), frame()),) == han.carry(frame(), Instant(skipped + n))


def test_a_stretch_that_is_used_up_counts_as_carried():
    quality = Quality(loss=0.05)
    one, other = network(quality), network(quality)
    frames, *_ = other.clear(NEAR, Instant(0))
    assert all(one.carry(frame(), Instant(0)) for _ in range(frames))
    other.passed(NEAR, frames)
    assert () == one.carry(frame(), Instant(0)) == other.carry(frame(), Instant(0))
