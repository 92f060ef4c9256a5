"""The WAN: in order, at its bandwidth, and an image once for a hub."""

from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64, Instant
from lamplighter.kit.instant import HOUR, MILLISECOND, MINUTE, SECOND
from lamplighter.lab.dice import Dice
from lamplighter.lab.wan import LINKS, Link, Wan
from lamplighter.lab.wire import WanGbcs, WanImage, WanImageReceipt
from lamplighter.protocol.duis import CspRegion

HUB, OTHER_HUB = Eui64.of(1), Eui64.of(2)
DEVICES = Eui64.of(10), Eui64.of(11)


def image(octets, devices=DEVICES, hub=HUB):
    return WanImage(hub, 1, bytes(octets), devices)


def test_an_image_takes_its_size_over_the_bandwidth_and_the_latency():
    wan = Wan(Link(latency=2 * SECOND, octets_per_second=1000))
    assert wan.arrival(image(5000), Instant(0)) == 7 * SECOND


def test_an_image_for_two_devices_of_a_hub_crosses_once():
    one, two = Wan(Link()), Wan(Link())
    assert one.arrival(image(5000, DEVICES[:1]), Instant(0)) == two.arrival(image(5000), Instant(0))


def test_two_hubs_do_not_share_a_link():
    wan = Wan(Link())
    assert wan.arrival(image(5000), Instant(0)) == wan.arrival(image(5000, hub=OTHER_HUB), Instant(0))


def test_the_way_home_is_not_held_up_by_the_way_out():
    wan = Wan(Link(latency=SECOND, octets_per_second=1000))
    wan.arrival(image(100_000), Instant(0))
    assert (
        wan.arrival(WanImageReceipt(HUB, 1, DEVICES[0], delivered=True, at=Instant(0)), Instant(0))
        < 2 * SECOND
    )


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 5 * SECOND))))
def test_no_message_overtakes_another(messages):
    wan, now, last = Wan(Link()), Instant(0), Instant(0)
    for octets, pause in messages:
        now = Instant(now + pause)
        arrival = wan.arrival(WanGbcs(HUB, DEVICES[0], bytes(octets), outbound=True), now)
        assert arrival >= max(last, now)
        last = arrival


BROKEN = Link(SECOND, 1_000, outage_pause=HOUR, outage_length=10 * MINUTE)


def test_a_link_that_breaks_holds_messages_up_and_loses_none():
    wan, sound = Wan(BROKEN, dice=Dice("wan")), Wan(Link(SECOND, 1_000))
    late = 0
    for n in range(200):
        now = Instant(n * 10 * MINUTE)
        expected, found = (w.arrival(image(1_000), now) for w in (sound, wan))
        assert expected <= found < expected + 2 * HOUR
        late += found > expected
    assert 5 < late < 100


def test_outages_are_the_same_whichever_way_is_asked_first():
    def arrivals(order):
        wan = Wan(BROKEN, dice=Dice("wan"))
        out = {n: wan.arrival(image(1), Instant(n * HOUR)) for n in order if n % 2}
        receipt = WanImageReceipt(HUB, 1, DEVICES[0], delivered=True, at=Instant(0))
        return out, {n: wan.arrival(receipt, Instant(n * HOUR)) for n in order if not n % 2}

    assert arrivals(range(60)) == arrivals(range(60))


def test_each_hub_has_the_link_of_its_region():
    wan = Wan(Link(), {OTHER_HUB: LINKS[CspRegion.SOUTH_4G]})
    assert wan.arrival(image(40_000), Instant(0)) == 22 * SECOND
    assert wan.arrival(image(40_000, hub=OTHER_HUB), Instant(0)) == 2 * SECOND + 500 * MILLISECOND
    assert wan.latency == 500 * MILLISECOND


def test_every_region_has_a_link():
    assert {"North", "Central", "South", "4G North", "4G Central", "4G South"} == {r.value for r in LINKS}


def test_a_slow_link_takes_so_many_times_as_long():
    assert Wan(Link()).arrival(image(2_000), Instant(0), 10.0) == 10 * 3 * SECOND


def test_a_hub_out_of_coverage_is_not_reached():
    wan = Wan(Link(), uncovered=frozenset({OTHER_HUB}))
    assert (True, False) == (wan.reaches(HUB), wan.reaches(OTHER_HUB))
