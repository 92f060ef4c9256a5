"""A hub's slots, rules, turns and reboots: what it holds, for how long, for whom, and what it says of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import FirmwareVersion, Instant, Step
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.lab.hub import BOOT_TIME, Activation, Discard, Life, Passed, Rebooted, Settings
from lamplighter.lab.hub import hub as hub_machine
from lamplighter.lab.wire import Cluster, HanFrame, WanDeviceLeft, WanHubFirmware
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import Outcome, TransferResult

from .home import (
    ESME,
    FOR,
    FOR_HCALCS,
    FOR_PPMID,
    GSME,
    HCALCS,
    HUB,
    NEW,
    OLD,
    PPMID,
    SIGNER,
    Home,
    build,
    read_version,
)

LARGE = build(PPMID, payload=bytes(range(256)) * 80)  # half a thousand blocks: some seconds
EVERYBODY = (PPMID, HCALCS, ESME, GSME)
NEWER = FirmwareVersion(0x0500_0000)


def _codes(home: Home) -> list[TransferResult]:
    return [said.result for said in home.said(HUB) if isinstance(said, gbcs.Ccs08Alert)]


# Capability


@pytest.mark.parametrize("device", [PPMID, HCALCS])
def test_a_hub_before_its_own_upgrade_takes_no_image_for_a_ppmid_or_hcalcs(device) -> None:
    home = Home(capable=False)
    home.send(FOR[device], device)
    assert [False] == [receipt.delivered for receipt in home.receipts]


@pytest.mark.parametrize("device", [ESME, GSME])
def test_any_hub_takes_an_image_for_a_meter(device) -> None:
    home = Home(devices=(device,), capable=False)
    home.send(FOR[device], device)
    home.run()
    assert [TransferResult.SUCCESS] == _codes(home)


def test_an_upgraded_hub_tells_the_dsp_once_it_runs_and_takes_images_from_then_on() -> None:
    home = Home(capable=False)
    home.do(HUB, "upgrade", NEWER)
    assert [] == home.told
    home.run(BOOT_TIME)
    assert [WanHubFirmware(HUB, NEWER, capable=True)] == home.told
    assert Rebooted(NEWER) == home.of(Rebooted)[-1]
    assert (NEWER, True) == (home.nodes[HUB].firmware, home.nodes[HUB].capable)
    home.send(FOR_PPMID, PPMID)
    home.run(2 * HOUR)
    assert NEW == home.nodes[PPMID].version


def test_an_upgrade_without_power_is_not_forgotten() -> None:
    home = Home(capable=False)
    hub = home.nodes[HUB]
    home.take(HUB, hub.stop())
    home.do(HUB, "upgrade", NEWER)
    assert (NEWER, []) == (hub.firmware, home.told)
    home.take(HUB, hub.start(home.now))
    assert [WanHubFirmware(HUB, NEWER, capable=True)] == home.told


# Reboots


def test_a_hub_that_reboots_hears_nothing_until_it_runs() -> None:
    home = Home()
    home.do(HUB, "reboot")
    assert Life.BOOTING is home.nodes[HUB].life
    home.send(FOR_PPMID, PPMID)
    home.tell(PPMID, read_version(PPMID, 5))
    assert ([], []) == (home.receipts, home.wan)
    home.run(BOOT_TIME)
    assert Life.RUNNING is home.nodes[HUB].life


def test_an_image_outlives_a_reboot_in_mid_transfer_and_gets_there() -> None:
    home = Home()
    home.send(LARGE, PPMID)
    home.run(2 * SECOND)
    assert home.nodes[HUB].memory.record.held
    home.do(HUB, "reboot")
    home.run(DAY)
    assert [TransferResult.SUCCESS] == _codes(home)
    assert NEW == home.nodes[PPMID].version


def test_a_hub_whose_images_do_not_outlive_a_reboot_says_so_with_code_1() -> None:
    home = Home(hub={"settings": Settings(keeps_over_reboot=False)})
    home.send(LARGE, PPMID)
    home.run(2 * SECOND)
    home.do(HUB, "reboot")
    home.run(DAY)
    assert [TransferResult.IMAGE_DISCARDED] == _codes(home)
    assert [Discard.REBOOT] == [event.why for event in home.of(Passed)]


def test_a_reboot_does_not_lengthen_the_life_of_an_offer() -> None:
    home = Home(hub={"settings": Settings(hold=2 * DAY)})
    home.unplug(PPMID)
    home.send(FOR_PPMID, PPMID)
    for _ in range(3):
        home.run(DAY - HOUR)
        home.do(HUB, "reboot")
    home.run(HOUR)
    assert [TransferResult.IMAGE_DISCARDED] == _codes(home)
    assert () == home.memory.record.held


def test_an_alert_that_the_power_cut_short_is_said_again_under_the_same_counter() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    while not home.said(HUB):
        home.run(1_000)
    home.power(HUB)
    home.run(DAY)
    alerts = [frame.octets for frame in home.wan if frame.device == HUB]
    assert alerts[0] == alerts[1]
    assert {1} == {gbcs.decode(octets).message.counter for octets in alerts}
    assert () == home.memory.record.outbox


def test_alert_counters_go_on_after_a_reboot() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.run()
    home.do(HUB, "reboot")
    home.run()
    home.send(FOR_HCALCS, HCALCS)
    home.run()
    assert [1, 2] == [gbcs.decode(f.octets).message.counter for f in home.wan if f.device == HUB]


def test_a_hub_without_power_says_nothing_and_goes_on_where_it_was() -> None:
    home = Home()
    home.send(LARGE, PPMID)
    home.run(2 * SECOND)
    hub = home.nodes[HUB]
    home.take(HUB, hub.stop())
    for deed in ("reboot", "discard"):
        home.do(HUB, deed)
    assert (Life.OFF, None) == (hub.life, home.wakes[HUB])
    home.take(HUB, hub.start(home.now))
    home.run(DAY)
    assert [TransferResult.SUCCESS] == _codes(home)


class PowerCut(Exception):  # noqa: N818 # no error of anybody's
    """The lights go out."""


@pytest.mark.parametrize("writes", range(12))
@pytest.mark.parametrize("device", [PPMID, HCALCS])
def test_a_power_cut_before_any_write_of_the_hub_loses_no_outcome(device, writes) -> None:
    home = Home()
    left = [writes]

    def cut() -> None:
        left[0] -= 1
        if left[0] == -1:
            raise PowerCut

    home.memory.before_write = cut
    try:
        home.send(FOR[device], device)
    except PowerCut:
        home.power(HUB)
        home.send(FOR[device], device)
    home.tell(device, read_version(device, 5)) if left[0] > 0 else None
    for _ in range(3):
        try:
            home.run(2 * DAY)
        except PowerCut:
            home.power(HUB)
    assert {TransferResult.SUCCESS, TransferResult.IMAGE_DISCARDED} >= set(_codes(home))
    assert _codes(home)
    assert () == home.memory.record.held


# Rules


def test_a_hub_that_is_told_to_discard_its_images_says_so_with_code_1() -> None:
    home = Home()
    home.send(LARGE, PPMID)
    home.send(FOR_HCALCS, HCALCS)
    home.do(HUB, "discard")
    home.run(DAY)
    assert [TransferResult.IMAGE_DISCARDED] * 2 == _codes(home)
    assert [Discard.ORDERED] * 2 == [event.why for event in home.of(Passed)]
    assert [OLD, OLD] == [home.nodes[device].version for device in (PPMID, HCALCS)]


def test_a_discarded_image_can_be_sent_again() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.do(HUB, "discard")
    home.run(2 * DAY)
    home.send(FOR_PPMID, PPMID)
    home.run()
    assert [TransferResult.IMAGE_DISCARDED, TransferResult.SUCCESS] == _codes(home)
    assert [Outcome.SUCCESS] == [said.result for said in home.said(PPMID)]


def test_a_device_that_leaves_takes_its_image_and_its_messages_with_it() -> None:
    home = Home()
    home.unplug(PPMID)
    home.send(FOR_PPMID, PPMID)
    home.tell(PPMID, read_version(PPMID, 5))
    home.do(HUB, "leave", PPMID)
    assert [WanDeviceLeft(HUB, PPMID)] == home.told
    assert [Discard.LEFT] == [event.why for event in home.of(Passed)]
    assert ((), ()) == (home.memory.record.held, home.memory.record.mail)
    home.send(FOR_PPMID, PPMID)
    assert [True, False] == [receipt.delivered for receipt in home.receipts]


def test_an_image_for_a_device_that_left_while_the_hub_was_dark_is_discarded() -> None:
    home = Home()
    home.unplug(PPMID)
    home.send(FOR_PPMID, PPMID)
    home.joined = (HCALCS,)
    home.power(HUB)
    assert [TransferResult.IMAGE_DISCARDED] == _codes(home)


def test_a_device_that_joins_is_served() -> None:
    home = Home(joined=(HCALCS,))
    home.run(MINUTE)
    for _ in range(2):  # to join again changes nothing
        home.take(HUB, home.nodes[HUB].join(PPMID, Activation.AT_ONCE))
    home.send(FOR_PPMID, PPMID)
    home.run()
    assert NEW == home.nodes[PPMID].version


def test_a_device_under_a_new_hub_says_there_what_the_old_one_did_not_hear() -> None:
    home = Home(devices=(PPMID,))
    home.run(MINUTE)
    home.unplug(HUB)
    home.tell_device(PPMID, read_version(PPMID, 5))
    assert 1 == len(home.flashes[PPMID].record.outbox)
    home.power(HUB)
    home.do(PPMID, "join", HUB)
    home.run(SECOND)
    assert [gbcs.Cs08Response(OLD, Outcome.SUCCESS)] == home.said(PPMID)


def test_a_device_that_is_moved_to_another_hub_without_power_is_served_there() -> None:
    home = Home(devices=(PPMID,))
    machine = home.nodes[PPMID]
    home.take(PPMID, machine.stop())
    home.do(PPMID, "join", HUB)
    for _ in range(2):  # power that is there already changes nothing
        home.take(PPMID, machine.start(home.now))
        home.take(HUB, home.nodes[HUB].start(home.now))
    home.send(FOR_PPMID, PPMID)
    home.run()
    assert NEW == machine.version


# One transfer at a time


class _Watched(Home):
    """A home that notes to whom each block goes."""

    def __init__(self, **options: object) -> None:
        self.blocks: list[tuple[int, object]] = []
        super().__init__(**options)  # type: ignore[arg-type]

    def take(self, node, step) -> None:
        for frame in step.send:
            ota = node == HUB and getattr(frame, "cluster", None) is Cluster.OTA
            if ota and isinstance(zigbee.decode(frame.octets).command, zigbee.ImageBlock):
                self.blocks.append((self.now, frame.destination))
        super().take(node, step)


def test_a_hub_serves_one_device_at_a_time_and_the_others_wait() -> None:
    home = _Watched(devices=EVERYBODY)
    home.run(MINUTE)
    for device in EVERYBODY:
        image = build(device, payload=bytes(range(256)) * 20)
        home.send(image if device == PPMID else images.sign_supplier(image, SIGNER), device)
    home.run(DAY)
    order = [device for _, device in home.blocks]
    turns = [device for number, device in enumerate(order) if number == 0 or order[number - 1] != device]
    assert set(EVERYBODY) == set(turns)
    assert len(EVERYBODY) == len(turns)
    assert [TransferResult.SUCCESS] * 4 == _codes(home)


def test_a_transfer_that_stalls_loses_its_turn() -> None:
    home = Home()
    home.run(MINUTE)
    home.send(LARGE, PPMID)
    home.run(2 * SECOND)
    home.unplug(PPMID)
    home.send(FOR_HCALCS, HCALCS)
    home.run(HOUR)
    assert [TransferResult.SUCCESS] == _codes(home)
    home.power(PPMID)
    home.run(DAY)
    assert NEW == home.nodes[PPMID].version


def test_a_transfer_that_gets_on_keeps_its_turn_however_long_it_takes() -> None:
    home = _Watched(hub={"settings": Settings(block_period=5_000)})
    home.run(MINUTE)
    home.send(LARGE, PPMID)
    home.run(SECOND)
    home.send(FOR_HCALCS, HCALCS)
    home.run(DAY)
    order = [device for _, device in home.blocks]
    assert order.index(HCALCS) > max(n for n, device in enumerate(order) if device == PPMID)
    assert [TransferResult.SUCCESS] * 2 == _codes(home)


# Minimum block period and pages


@pytest.mark.parametrize("period", [0, 100])
def test_a_hub_answers_page_requests(period) -> None:
    """A Device that asks for pages, without the rest of one."""
    home = _Watched(devices=(), joined=(PPMID,), hub={"settings": Settings(block_period=period)})
    home.nodes[PPMID] = pager = _Pager()
    home.send(FOR_PPMID, PPMID)
    home.run()
    assert [images.encode(FOR_PPMID)] == pager.fetched
    assert [TransferResult.SUCCESS] == _codes(home)
    times = [at for at, _ in home.blocks]
    assert period * 1_000 <= min(after - before for before, after in pairwise(times))


class _Pager:
    """An OTA client behind a radio."""

    def __init__(self) -> None:
        self.client = zigbee.OtaClient(
            zigbee.ImageId(0x121D, 0x0084, OLD), 0x0101, slot=100_000, block=40, page=200
        )
        self.fetched: list[bytes] = []

    def receive(self, frame: HanFrame, now: Instant) -> Step:
        return self._step(self.client.receive(frame.octets, now), now)

    def wake(self, now: Instant) -> Step:
        return self._step(self.client.wake(now), now)

    def _step(self, step: Step, now: Instant) -> Step:
        for event in step.events:
            if isinstance(event, zigbee.Fetched):
                self.fetched.append(event.octets)
                step = self.client.accept(now)
        return Step(tuple(HanFrame(PPMID, HUB, Cluster.OTA, o) for o in step.send), (), step.wake)


@pytest.mark.parametrize("period", [100, 1_500])
def test_a_hub_keeps_its_minimum_block_period(period) -> None:
    home = _Watched(hub={"settings": Settings(block_period=period)})
    home.run(MINUTE)
    home.send(FOR_PPMID, PPMID)
    home.run()
    times = [at for at, _ in home.blocks]
    assert min(after - before for before, after in pairwise(times)) >= period * 1_000
    assert NEW == home.nodes[PPMID].version


# What it owes as a machine


@given(
    deeds=st.lists(
        st.tuples(
            st.sampled_from(("reboot", "power", "discard", "image", "letter", "unplug", "plug", "run")),
            st.integers(1, 3 * HOUR),
        ),
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_to_a_hub_every_offer_and_letter_ends(deeds) -> None:
    home = Home()
    for number, (deed, length) in enumerate(deeds):
        match deed:
            case "reboot" | "discard":
                home.do(HUB, deed)
            case "power":
                home.power(HUB)
            case "image":
                home.send(build(PPMID, FirmwareVersion(0x0300_0000 + number)), PPMID, transfer=number)
            case "letter":
                home.tell(PPMID, read_version(PPMID, 5 + number))
            case "unplug":
                home.unplug(PPMID)
            case "plug":
                home.power(PPMID)
        home.run(length)
    home.run(15 * DAY)
    record = home.memory.record
    assert ((), (), ()) == (record.held, record.mail, record.outbox)
    taken = {receipt.transfer for receipt in home.receipts if receipt.delivered}
    alerts = {frame.octets for frame in home.wan if frame.device == HUB}  # copies count as one
    assert len(taken) == len(alerts)


def test_every_state_of_the_hubs_table_can_be_reached() -> None:
    reached, fresh = set(), {hub_machine.CHART.start}
    while fresh:
        reached |= fresh
        fresh = {end for (state, _), end in hub_machine.CHART.arrows.items() if state in reached} - reached
    assert set(Life) == reached
