"""The WAN: in order, at its bandwidth, and an image once for a hub."""

from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64, Instant
from lamplighter.kit.instant import SECOND
from lamplighter.lab.wan import Link, Wan
from lamplighter.lab.wire import WanGbcs, WanImage, WanImageReceipt

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
    assert wan.arrival(WanImageReceipt(HUB, 1, DEVICES[0], delivered=True), Instant(0)) < 2 * SECOND


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 5 * SECOND))))
def test_no_message_overtakes_another(messages):
    wan, now, last = Wan(Link()), Instant(0), Instant(0)
    for octets, pause in messages:
        now = Instant(now + pause)
        arrival = wan.arrival(WanGbcs(HUB, DEVICES[0], bytes(octets), outbound=True), now)
        assert arrival >= max(last, now)
        last = arrival
