"""GBCS over the HAN: nothing is lost between Device and WAN, by loss, sleep or power cut."""

from __future__ import annotations

import pytest

from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND, Instant
from lamplighter.lab.devices import Forgotten, Refused, Schedule
from lamplighter.lab.devices.flash import OUTBOX_MAX
from lamplighter.lab.hub import Returned, Settings
from lamplighter.lab.wire import Cluster, HanFrame, digest
from lamplighter.protocol import gbcs
from lamplighter.protocol.gbcs import ActivationResult, AlertCode, Outcome

from .home import (
    ESME,
    FOR,
    FOR_HCALCS,
    FOR_PPMID,
    GSME,
    HCALCS,
    HUB,
    NEW,
    NOW,
    OLD,
    PPMID,
    Home,
    activate,
    read_version,
)

SLEEPY = Schedule(period=6 * HOUR, window=10 * SECOND, phase=NOW % (6 * HOUR) + HOUR)  # first awake at 1 h


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("device", [PPMID, HCALCS, ESME])
def test_no_word_is_lost_on_a_han_that_loses_every_third_frame(device, seed) -> None:
    home = Home(devices=(device,), loss=0.3, all_lossy=True, seed=seed)
    home.tell(device, read_version(device, 5))
    home.run(DAY)
    assert [gbcs.Cs08Response(OLD, Outcome.SUCCESS)] == home.said(device)
    assert () == home.flashes[device].record.outbox
    assert () == home.memory.record.mail


def test_a_message_whose_acknowledgement_is_lost_is_said_again_and_passed_on_once() -> None:
    home = Home(devices=(PPMID,))
    home.run(MINUTE)
    home.tell(PPMID, read_version(PPMID, 5))
    home.run(20_000)
    home.air = [entry for entry in home.air if entry[2].cluster is not Cluster.ACKNOWLEDGEMENT]
    assert 1 == len(home.wan)
    home.run(HOUR)
    assert 1 == len(home.wan)
    assert () == home.flashes[PPMID].record.outbox


def test_an_acknowledgement_of_something_else_changes_nothing() -> None:
    home = Home(devices=(PPMID,), joined=())
    machine = home.nodes[PPMID]
    home.tell_device(PPMID, read_version(PPMID, 5))
    before = home.flashes[PPMID].record.outbox
    assert 1 == len(before)
    home.take(PPMID, machine.receive(HanFrame(HUB, PPMID, Cluster.ACKNOWLEDGEMENT, digest(b"x")), home.now))
    assert before == home.flashes[PPMID].record.outbox


@pytest.mark.parametrize("away", [HOUR, 30 * DAY])
def test_the_proof_of_an_activation_waits_for_a_hub_that_is_away(away) -> None:
    home = Home(devices=(PPMID,))
    home.send(FOR_PPMID, PPMID)
    home.run(10 * SECOND)
    home.unplug(HUB)
    home.run(away)
    assert NEW == home.nodes[PPMID].version
    assert [] == home.said(PPMID)
    home.power(HUB)
    home.run(6 * HOUR)
    assert [Outcome.SUCCESS] == [said.result for said in home.said(PPMID)]


def test_an_alert_that_was_not_heard_is_said_again_after_a_power_cut_with_the_same_octets() -> None:
    home = Home(devices=(HCALCS,))
    home.send(FOR_HCALCS, HCALCS)
    while not home.flashes[HCALCS].record.outbox:
        home.run(1_000)
    (alert,) = home.flashes[HCALCS].record.outbox
    home.power(HCALCS)
    home.run(MINUTE)
    assert alert == next(frame.octets for frame in home.wan if frame.device == HCALCS)


def test_an_outbox_that_is_full_forgets_its_oldest_and_says_so() -> None:
    home = Home(devices=(PPMID,))
    home.run(MINUTE)
    home.unplug(HUB)
    for number in range(OUTBOX_MAX + 1):
        home.tell_device(PPMID, read_version(PPMID, 5 + number))
    assert OUTBOX_MAX == len(home.flashes[PPMID].record.outbox)
    assert [5] == [gbcs.decode(event.octets).message.counter for event in home.of(Forgotten)]


# Sleep


def test_a_sleeping_ppmid_hears_nothing_until_it_wakes_and_then_everything_in_order() -> None:
    home = Home(devices=(PPMID,), awake={PPMID: SLEEPY})
    home.run(MINUTE)
    for counter in range(5, 8):
        home.tell(PPMID, read_version(PPMID, counter))
    home.run(50 * MINUTE)
    assert [] == home.wan
    home.run(10 * MINUTE)
    counters = [gbcs.decode(frame.octets).message.counter for frame in home.wan]
    assert [5, 6, 7] == counters
    assert [] == home.of(Refused)


def test_a_sleeping_ppmid_is_updated_when_it_wakes() -> None:
    home = Home(devices=(PPMID,), awake={PPMID: SLEEPY})
    home.run(MINUTE)
    home.send(FOR_PPMID, PPMID)
    home.run(50 * MINUTE)
    assert OLD == home.nodes[PPMID].version
    home.run(HOUR)
    assert NEW == home.nodes[PPMID].version
    assert [Outcome.SUCCESS] == [said.result for said in home.said(PPMID)]


def test_a_sleeping_gas_meter_activates_on_time_though_its_command_had_to_wait() -> None:
    home = Home(devices=(GSME,), awake={GSME: SLEEPY})
    home.run(MINUTE)
    home.send(FOR[GSME], GSME)
    home.tell(GSME, activate(FOR[GSME].hash, 1, Instant(NOW + 10 * HOUR), device=GSME))
    home.run(11 * HOUR)
    kinds = [getattr(said, "alert", None) for said in home.said(GSME)]
    assert AlertCode.FUTURE_DATED_SUCCESS is kinds[-1]
    assert ActivationResult.SUCCESS is home.said(GSME)[-1].result


def test_what_a_sleeping_device_is_sent_outlives_a_reboot_of_the_hub() -> None:
    home = Home(devices=(PPMID,), awake={PPMID: SLEEPY})
    home.run(MINUTE)
    home.tell(PPMID, read_version(PPMID, 5))
    home.run(MINUTE)
    home.do(HUB, "reboot")
    home.run(HOUR)
    assert [gbcs.Cs08Response(OLD, Outcome.SUCCESS)] == home.said(PPMID)


def test_a_message_that_nobody_comes_for_is_thrown_away_in_the_end() -> None:
    home = Home(devices=(PPMID,))
    home.unplug(PPMID)
    home.tell(PPMID, read_version(PPMID, 5))
    home.run(8 * DAY)
    assert [Returned(PPMID)] == home.of(Returned)
    assert () == home.memory.record.mail


def test_a_hub_keeps_so_many_messages_for_one_device() -> None:
    home = Home(devices=(PPMID, HCALCS), hub={"settings": Settings(mail=2)})
    home.unplug(PPMID)
    for counter in range(3):
        home.tell(PPMID, read_version(PPMID, 5 + counter))
    home.tell(HCALCS, read_version(HCALCS, 5))
    assert [Returned(PPMID)] == home.of(Returned)
    assert [PPMID, PPMID, HCALCS] == [letter.device for letter in home.memory.record.mail]


def test_a_window_of_wakefulness_comes_round_every_period() -> None:
    schedule = Schedule(period=100, window=10, phase=7)
    assert [7, 107, 207] == [schedule.following(Instant(now)) for now in (0, 7, 150)]
    assert [True, True, False, False, True] == [schedule.awake(Instant(now)) for now in (7, 16, 17, 106, 107)]
