"""A home in time: the straight way of a block transfer is the general way, only faster."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lamplighter.kit import Eui64, Instant, Step
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from lamplighter.lab import han, hub
from lamplighter.lab.dice import Dice
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.han import Han
from lamplighter.lab.homes import START, Estate, build_world
from lamplighter.lab.house import Diary, House, Unclaimed
from lamplighter.lab.rehearsal import Rehearsal
from lamplighter.lab.wan import LINKS, Link
from lamplighter.lab.wire import Cluster, HanFrame

from .user import a_lab, heard, ppmid_image

HUB, DEVICE = Eui64.of(1), Eui64.of(2)


def lived(*, straight: bool, octets: int = 2_000, hours: int = 6, **named) -> tuple:
    """What a rehearsal leaves behind, with or without the straight way."""
    lab = build_world("house", 2, **named)
    general = patch.object(House, "_converse", lambda *_: False)
    if not straight:
        general.start()
    try:
        Rehearsal(lab, payload_octets=octets).run(Instant(lab.world.now + hours * HOUR))
    finally:
        if not straight:
            general.stop()
    told = [(event.at, event.source, str(event.event)) for event in lab.world.events]
    return lab.world.digest(), told, lab.world.busy, len(lab.world.trace)


SHARE = st.sampled_from((0.0, 0.001, 0.05, 0.3))
QUALITY = st.builds(
    han.Quality,
    latency=st.integers(1 * MILLISECOND, 200 * MILLISECOND),
    loss=SHARE,
    duplication=SHARE,
    lateness=SHARE,
)
INTERFERENCE = st.just(han.Interference()) | st.builds(
    han.Interference, pause=st.integers(1 * SECOND, HOUR), length=st.integers(1 * SECOND, 1 * MINUTE)
)


@settings(max_examples=8, deadline=None)
@given(QUALITY, INTERFERENCE, st.integers(100, 3_000))
@example(han.Quality(), han.Interference(2 * SECOND, 200 * MILLISECOND), 3_000)  # bursts inside the transfer
def test_frames_that_go_straight_leave_the_same_trace(quality, interference, octets):
    named = {"quality": han.Settings(quality, interference), "octets": octets}
    assert lived(straight=False, **named) == lived(straight=True, **named)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2), st.sampled_from((0, 0, 300)), st.integers(1, 3 * HOUR), st.integers(1, HOUR))
def test_nothing_that_happens_meanwhile_makes_a_difference(which, period, start, length):
    at = Instant(START + start)
    fault = ("ppmid-unplugged", "hub-discards-image", "corrupt-block")[which]
    faults = (Scheduled(fault, at, Instant(at + length), probability=0.5),)
    estate = Estate(hub=hub.Settings(block_period=period), incapable_hubs=0.0)
    named = {"faults": faults, "estate": estate, "hours": 4}
    assert lived(straight=False, **named) == lived(straight=True, **named)


@settings(max_examples=3, deadline=None)
@given(st.integers(1 * MILLISECOND, 5 * SECOND))
def test_how_far_homes_run_ahead_changes_nothing_but_the_wan(latency):
    """Homes may run ahead by the WAN's latency: one slow hub more or less must not show."""
    links = dict.fromkeys(LINKS, Link(latency, 4_000))
    named = {"estate": Estate(links=links, incapable_hubs=0.0), "hours": 2}
    with patch("lamplighter.lab.wan.Wan.latency", 1 * MILLISECOND):
        step_by_step = lived(straight=True, **named)
    assert step_by_step == lived(straight=True, **named)


def test_most_of_a_transfer_goes_straight():
    lab, user = a_lab()
    image = ppmid_image(lab, bytes(20_000))
    lab.publish(image)
    user.update_ppmids(image, lab.homes[0].ppmid)
    machine = lab.world.node(lab.homes[0].ppmid)
    with patch.object(machine, "receive", wraps=machine.receive) as received:
        assert heard(user.wait()) == ["N60", "N62", "N39"]
    assert received.call_count < 40 < 20_000 // 40


class Parrot:
    """A machine that says what it is told to, and keeps what it hears."""

    def __init__(self, *says):
        self.says = says
        self.heard = []

    def start(self, now):
        return Step(self.says, (), Instant(now + DAY))

    def stop(self):
        return Step()

    def receive(self, frame, now):
        self.heard.append((now, frame))
        return Step()

    def wake(self, now):
        self.heard.append((now, None))
        return Step()


def house(**nodes):
    made = House(HUB, {HUB: nodes["hub"], DEVICE: nodes["device"]}, Han(HUB, Dice("house")))
    made.diary = Diary(None)
    made.start(Instant(0))
    return made


def test_a_frame_takes_the_latency_of_its_link_and_an_alarm_comes_in_its_time():
    frame = HanFrame(HUB, DEVICE, Cluster.TUNNELING, b"hello")
    device = Parrot()
    made = house(hub=Parrot(frame), device=device)
    assert made.next_at == 20 * MILLISECOND
    made.run(Instant(2 * DAY))
    assert [(20 * MILLISECOND, frame), (DAY, None)] == device.heard
    assert made.in_flight == 0


def test_a_frame_for_nobody_in_the_home_is_reported():
    made = house(hub=Parrot(HanFrame(HUB, Eui64.of(9), Cluster.OTA, b"")), device=Parrot())
    made.run(Instant(1 * SECOND))
    assert [Unclaimed] == [type(reported.event) for reported in made.diary.events]


def test_a_skewed_clock_shows_in_what_a_machine_is_told_and_not_in_when():
    device = Parrot()
    made = house(hub=Parrot(), device=device)
    made.skew(DEVICE, HOUR, Instant(0))
    made.run(Instant(2 * DAY))
    assert [(HOUR, None), (DAY + HOUR, None)] == device.heard


def test_power_that_is_gone_wakes_nobody():
    device = Parrot()
    made = house(hub=Parrot(), device=device)
    made.power_off(DEVICE)
    made.run(Instant(2 * DAY))
    assert device.heard == []
