"""Client and server over a link that loses, repeats and delays; and the tables that both stand on."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import FirmwareVersion, Instant, Step
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, SECOND
from lamplighter.protocol import zigbee
from lamplighter.protocol.zigbee import client as client_machine
from lamplighter.protocol.zigbee import download, server, upload

from .link import FILE, HARDWARE, NEW, NOW, OLD, OUTCOMES, Link, client, offer


def _update(link: Link, device: zigbee.OtaClient, thing: zigbee.Offer) -> zigbee.OtaServer:
    hub = zigbee.OtaServer()
    link.run(device, hub, hub.offer(thing, NOW))
    return hub


@pytest.mark.parametrize("block", [1, 40, 64, 255])
@pytest.mark.parametrize("page", [0, 200, 4096])
def test_an_image_arrives_whole_block_by_block_or_page_by_page(block: int, page: int) -> None:
    link = Link(Random(0))
    device = client(block=block, page=page)
    hub = _update(link, device, offer())
    assert [zigbee.Fetched(NEW, FILE), zigbee.Delivered(NEW), zigbee.Activate(NEW)] == link.heard
    assert server.State.DELIVERED is hub.state
    assert client_machine.State.IDLE is device.state


def test_a_client_told_to_wait_for_a_command_never_activates_by_itself() -> None:
    link = Link(Random(0))
    device = client()
    _update(link, device, offer(delay=None))
    assert [zigbee.Hold(NEW)] == link.of(zigbee.Hold, zigbee.Activate)
    assert device.due is None


def test_a_client_told_a_time_activates_then_and_not_before() -> None:
    link = Link(Random(0))
    _update(link, client(), offer(delay=3600))
    assert [zigbee.Activate(NEW)] == link.of(zigbee.Hold, zigbee.Activate)
    assert NOW + HOUR == link.now


def test_an_image_found_invalid_is_reported_to_the_server() -> None:
    link = Link(Random(0), good=False)
    _update(link, client(), offer())
    assert [zigbee.Undelivered(NEW, zigbee.Cause.REJECTED)] == link.of(*OUTCOMES)
    assert [zigbee.Failed(zigbee.Reason.REJECTED)] == link.of(zigbee.Failed)


@pytest.mark.parametrize("low_high", [(0x0000, 0x0100), (0x0102, 0xFFFF)])
def test_hardware_outside_the_range_gets_no_image_and_the_hub_learns_why(low_high: tuple[int, int]) -> None:
    link = Link(Random(0))
    _update(link, client(), offer(hardware=low_high))
    assert [
        zigbee.HardwareMismatch(NEW, HARDWARE),
        zigbee.NoImage(zigbee.Status.NO_IMAGE_AVAILABLE),
    ] == link.heard


def test_a_client_that_runs_the_version_already_needs_no_image() -> None:
    device, hub = zigbee.OtaClient(NEW, HARDWARE, slot=4096), zigbee.OtaServer()
    (notice,) = hub.offer(offer(), NOW).send
    assert () == device.receive(notice, NOW).send
    answered = hub.receive(device.query(NOW).send[0], NOW)
    assert (zigbee.NotNeeded(NEW),) == answered.events
    told = device.receive(answered.send[0], NOW)
    assert (zigbee.NoImage(zigbee.Status.NO_IMAGE_AVAILABLE),) == told.events


def test_an_offer_that_nobody_asks_for_is_noticed_hourly_and_then_closed() -> None:
    link = Link(Random(0), loss=1.0)
    _update(link, client(), offer())
    assert [zigbee.Undelivered(NEW, zigbee.Cause.UNASKED)] == link.heard
    assert NOW + server.LIFETIME == link.now
    assert 7 * 24 == link.steps


def test_a_client_that_lost_power_starts_again_and_gets_the_image() -> None:
    hub = zigbee.OtaServer()
    first, again = client(), client()
    step = hub.offer(offer(), NOW)
    for _ in range(7):
        step = hub.receive(first.receive(step.send[0], NOW).send[0], NOW)
    step = again.query(NOW)
    while step.send:
        step = again.receive(hub.receive(step.send[0], NOW).send[0], NOW)
    assert (zigbee.Fetched(NEW, FILE),) == step.events
    step = hub.receive(again.accept(NOW).send[0], NOW)
    assert (zigbee.Delivered(NEW),) == step.events


chances = st.floats(0, 0.35)


@given(
    st.integers(0, 1 << 32).map(Random),
    chances,
    chances,
    st.integers(0, 20 * SECOND),
    st.sampled_from((1, 40, 64)),
    st.sampled_from((0, 100)),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_over_any_link_both_ends_end_and_never_disagree(
    random, loss, repeat, latest, block, page, good
) -> None:
    link = Link(random, loss, repeat, latest, good)
    device = client(block=block, page=page)
    hub = _update(link, device, offer(FILE[:300]))
    outcomes = link.of(*OUTCOMES)
    assert 1 == len(outcomes)
    assert all(fetched.octets == FILE[:300] for fetched in link.of(zigbee.Fetched))
    if link.of(zigbee.Activate):
        assert [zigbee.Delivered(NEW)] == outcomes
    assert not hub.busy
    assert device.idle


@given(st.integers(0, 1 << 32).map(Random), st.sampled_from((0, 100)))
@settings(max_examples=30, deadline=None)
def test_a_link_that_only_repeats_and_delays_a_little_always_delivers(random, page) -> None:
    link = Link(random, 0.0, 0.3, 2 * SECOND)
    _update(link, client(page=page), offer())
    assert [zigbee.Delivered(NEW)] == link.of(*OUTCOMES)
    assert [zigbee.Activate(NEW)] == link.of(zigbee.Activate)


def test_a_wait_is_kept_to_the_second_and_the_block_period_from_then_on() -> None:
    device, hub = client(), zigbee.OtaServer()
    hub.offer(offer(), NOW)
    (query,) = device.query(NOW).send
    (found,) = hub.receive(query, NOW).send
    (request,) = device.receive(found, NOW).send
    wait = zigbee.Frame(request[1], zigbee.WaitForData(1000, 1060, 500), quiet=True)
    told = device.receive(zigbee.encode(wait), NOW)
    assert ((), NOW + 60 * SECOND) == (told.send, told.wake)
    assert () == device.wake(NOW + 59 * SECOND).send
    (again,) = device.wake(NOW + 60 * SECOND).send
    assert zigbee.ImageBlockRequest(NEW, 0, 64, None, 500) == zigbee.decode(again).command
    (block,) = hub.receive(again, NOW).send
    stored = device.receive(block, NOW + 61 * SECOND)
    assert ((), NOW + 61 * SECOND + 500 * MILLISECOND) == (stored.send, stored.wake)


@pytest.mark.parametrize("page", [0, 200])
@pytest.mark.parametrize("period", [1, 300, 2_000])
def test_a_server_keeps_its_minimum_block_period_and_the_client_learns_it(period: int, page: int) -> None:
    link = Link(Random(0))
    device, hub = client(page=page), zigbee.OtaServer(period)
    served = []
    straight = hub.receive

    class Watched:
        due = property(lambda _: hub.due)
        wake = staticmethod(hub.wake)

        def receive(self, octets: bytes, now: Instant) -> Step:
            step = straight(octets, now)
            served.extend(now for o in step.send if isinstance(zigbee.decode(o).command, zigbee.ImageBlock))
            return step

    link.run(device, Watched(), hub.offer(offer(), NOW))
    assert [zigbee.Fetched(NEW, FILE), zigbee.Delivered(NEW), zigbee.Activate(NEW)] == link.heard
    assert period * MILLISECOND <= min((b - a for a, b in pairwise(served)), default=period * MILLISECOND)


def test_a_client_that_knows_no_block_period_is_told_to_wait_each_time() -> None:
    hub = zigbee.OtaServer(1_500)
    hub.offer(offer(), NOW)
    hub.receive(zigbee.encode(zigbee.Frame(1, zigbee.QueryNextImageRequest(OLD, HARDWARE))), NOW)
    request = zigbee.encode(zigbee.Frame(2, zigbee.ImageBlockRequest(NEW, 0, 64)))
    answers = [
        zigbee.decode(hub.receive(request, NOW + seconds * SECOND).send[0]).command for seconds in range(4)
    ]
    assert [zigbee.ImageBlock, zigbee.WaitForData, zigbee.ImageBlock, zigbee.WaitForData] == [
        type(answer) for answer in answers
    ]
    waits = [answer for answer in answers if isinstance(answer, zigbee.WaitForData)]
    assert [(1, 1_500), (1, 1_500)] == [(wait.request - wait.current, wait.period) for wait in waits]


def test_a_client_whose_turn_it_is_not_waits_and_is_served_after() -> None:
    device, hub = client(), zigbee.OtaServer()
    hub.offer(offer(), NOW)
    (query,) = device.query(NOW).send
    hub.held = True
    (request,) = device.receive(hub.receive(query, NOW).send[0], NOW).send
    assert hub.serving
    assert hub.lane() is None
    told = device.receive(hub.receive(request, NOW).send[0], NOW)
    assert ((), NOW + server.HOLD_SECONDS * SECOND) == (told.send, told.wake)
    hub.held = False
    (again,) = device.wake(told.wake).send
    device.receive(hub.receive(again, told.wake).send[0], told.wake)
    assert 64 == hub.reached


@pytest.mark.parametrize("block", [1, 7, 40, 64])
def test_the_lanes_carry_a_transfer_to_its_last_block_and_no_further(block: int) -> None:
    device, hub = client(block=block), zigbee.OtaServer()
    assert (None, None, 0) == (device.lane(), hub.lane(), hub.reached)
    hub.offer(offer(), NOW)
    step = device.receive(hub.receive(device.query(NOW).send[0], NOW).send[0], NOW)
    serve, (fetch, blocks) = hub.lane(), device.lane()
    for _ in range(blocks):
        step = fetch(serve(step.send[0], NOW).send[0], NOW)
        assert (1, ()) == (len(step.send), step.events)
    assert device.lane() is None
    step = device.receive(hub.receive(step.send[0], NOW).send[0], NOW)
    assert (zigbee.Fetched(NEW, FILE),) == step.events


def test_the_blocks_of_a_page_are_spaced_as_asked() -> None:
    hub = zigbee.OtaServer()
    hub.offer(offer(), NOW)
    hub.receive(zigbee.encode(zigbee.Frame(1, zigbee.QueryNextImageRequest(OLD, HARDWARE))), NOW)
    page = zigbee.Frame(2, zigbee.ImagePageRequest(NEW, 64, 40, 100, 50))
    step = hub.receive(zigbee.encode(page), NOW)
    said = []
    while step.send:
        said.append((zigbee.decode(step.send[0]), step.wake))
        step = hub.wake(step.wake) if hub.due != NOW + server.LIFETIME else Step()
    spaced = [NOW + 50 * MILLISECOND, NOW + 100 * MILLISECOND, NOW + server.LIFETIME]
    cuts = [(64, FILE[64:104]), (104, FILE[104:144]), (144, FILE[144:164])]
    assert [
        (zigbee.Frame(2, zigbee.ImageBlock(NEW, offset, data), quiet=True), wake)
        for (offset, data), wake in zip(cuts, spaced, strict=True)
    ] == said


@pytest.mark.parametrize("control", [0x09, 0x19])
def test_the_straight_and_the_careful_path_come_to_the_same_state(control: int) -> None:
    device, hub = client(), zigbee.OtaServer()
    hub.offer(offer(), NOW)
    step = device.query(NOW)
    while not any(isinstance(event, zigbee.Fetched) for event in step.events):
        (answer,) = hub.receive(step.send[0], NOW).send
        step = device.receive(bytes((control,)) + answer[1:], NOW)
    assert (zigbee.Fetched(NEW, FILE),) == step.events


@given(st.lists(st.binary(max_size=30) | st.integers(0, DAY), max_size=40), st.booleans())
def test_any_input_in_any_state_is_taken(inputs, begun) -> None:
    device, hub = client(), zigbee.OtaServer()
    now = NOW
    if begun:
        (notice,) = hub.offer(offer(), now).send
        device.receive(hub.receive(device.receive(notice, now).send[0], now).send[0], now)
    for given_ in inputs:
        for actor in (device, hub):
            step = actor.wake(now) if isinstance(given_, int) else actor.receive(given_, now)
            assert step.wake == actor.due
        now = now + given_ if isinstance(given_, int) else now


@pytest.mark.parametrize(
    ("chart", "states"),
    [
        (client_machine.CHART, client_machine.State),
        (server.CHART, server.State),
        (download.CHART, download.State),
        (upload.CHART, upload.State),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_state_of_a_table_can_be_reached(chart, states) -> None:
    reached, fresh = set(), {chart.start}
    while fresh:
        reached |= fresh
        fresh = {end for (state, _), end in chart.arrows.items() if state in reached} - reached
    assert set(states) == reached


def test_a_newer_image_can_be_fetched_while_one_is_held() -> None:
    link = Link(Random(0))
    device = client()
    hub = _update(link, device, offer(delay=None))
    newer = zigbee.ImageId(NEW.manufacturer, NEW.image_type, FirmwareVersion(3))
    link.run(device, hub, hub.offer(zigbee.Offer(newer, FILE, 0, 0xFFFF, delay=0), link.now))
    assert [zigbee.Hold(NEW), zigbee.Activate(newer)] == link.of(zigbee.Hold, zigbee.Activate)
