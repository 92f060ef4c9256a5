"""Hub and Devices together: each procedure's happy path, and each refusal that this cut knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, Step
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.devices import BOOT_TIME, Booted
from lamplighter.lab.hub import SLOTS, Activation, Hub, Passed, Stray, Unfit
from lamplighter.lab.wire import Cluster, HanFrame, WanGbcs, WanImage, acknowledge
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import ActivationResult, AlertCode, Outcome, TransferResult

from .home import (
    ACB,
    AT_HUB,
    FOR,
    FOR_HCALCS,
    FOR_PPMID,
    HCALCS,
    HUB,
    NEW,
    NOW,
    OLD,
    PPMID,
    Home,
    activate,
    build,
)


def _transferred(home: Home) -> list[tuple[AlertCode, Eui64, FirmwareVersion, TransferResult]]:
    alerts = [said for said in home.said(HUB) if isinstance(said, gbcs.Ccs08Alert)]
    return [(alert.alert, alert.target, alert.version, alert.result) for alert in alerts]


def _hub(*devices: Eui64, **options: Any) -> Hub:
    """A hub that runs."""
    hub = Hub(HUB, AT_HUB, acb=ACB, devices=dict.fromkeys(devices, Activation.AT_ONCE), **options)
    hub.start(NOW)
    return hub


def test_a_ppmid_is_updated_in_one_step_and_proves_it_by_ccs08_code_0_and_cs09_result_0() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.run()
    assert [(PPMID, True)] == [(receipt.device, receipt.delivered) for receipt in home.receipts]
    assert [(AlertCode.TRANSFER_SUCCEEDED, PPMID, NEW, TransferResult.SUCCESS)] == _transferred(home)
    (proof,) = home.said(PPMID)
    assert (AlertCode.PPMID_ACTIVATION, NEW, Outcome.SUCCESS) == (proof.alert, proof.version, proof.result)
    assert NEW == home.nodes[PPMID].version


def test_an_hcalcs_keeps_the_image_until_it_is_told_and_proves_it() -> None:
    home = Home()
    home.send(FOR_HCALCS, HCALCS)
    home.run()
    assert [(AlertCode.TRANSFER_SUCCEEDED, HCALCS, NEW, TransferResult.SUCCESS)] == _transferred(home)
    (receipt,) = home.said(HCALCS)
    assert (AlertCode.IMAGE_VERIFIED, FOR_HCALCS.hash) == (receipt.alert, receipt.hash)
    assert OLD == home.nodes[HCALCS].version
    home.tell(HCALCS, activate(FOR_HCALCS.hash, 1000))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.SUCCESS, NEW) == home.said(HCALCS)[-1]
    assert NEW == home.nodes[HCALCS].version


def test_one_image_from_the_wan_serves_all_its_devices() -> None:
    hub = _hub(PPMID, Eui64.of(7))
    step = hub.receive(WanImage(HUB, 5, images.encode(FOR_PPMID), (PPMID, Eui64.of(7), Eui64.of(8))), NOW)
    receipts = [(r.transfer, r.device, r.delivered) for r in step.send if not isinstance(r, HanFrame)]
    assert [(5, PPMID, True), (5, Eui64.of(7), True), (5, Eui64.of(8), False)] == receipts
    assert [PPMID, Eui64.of(7)] == [f.destination for f in step.send if isinstance(f, HanFrame)]


@pytest.mark.parametrize("device", list(FOR))
def test_ccs08_code_0_success(device) -> None:
    home = Home(devices=(device,))
    home.send(FOR[device], device)
    home.run()
    assert [(AlertCode.TRANSFER_SUCCEEDED, device, NEW, TransferResult.SUCCESS)] == _transferred(home)


@pytest.mark.parametrize("hardware", [(0x0000, 0x0100), (0x0102, 0xFFFF)])
@pytest.mark.parametrize("device", [PPMID, HCALCS])
def test_ccs08_code_2_hardware_version_mismatch_and_nothing_is_transferred(device, hardware) -> None:
    home = Home()
    home.send(build(device, hardware=hardware), device)
    home.run()
    expected = (AlertCode.TRANSFER_FAILED, device, NEW, TransferResult.HARDWARE_VERSION_MISMATCH)
    assert [expected] == _transferred(home)
    assert OLD == home.nodes[device].version


def test_ccs08_code_1_image_discarded_that_its_device_runs_already() -> None:
    home = Home()
    home.send(build(PPMID, OLD, payload=b"the same version, other octets"), PPMID)
    home.run(2 * DAY)  # it does not follow a notice of its own version, but it polls
    assert [(AlertCode.TRANSFER_FAILED, PPMID, OLD, TransferResult.IMAGE_DISCARDED)] == _transferred(home)


def test_ccs08_code_3_file_transfer_failure_where_the_device_finds_the_image_invalid() -> None:
    home = Home()
    home.send(build(PPMID, sealer=None), PPMID)
    home.run()
    expected = (AlertCode.TRANSFER_FAILED, PPMID, NEW, TransferResult.FILE_TRANSFER_FAILURE)
    assert [expected] == _transferred(home)


def test_ccs08_code_1_image_discarded_for_which_nobody_ever_asks() -> None:
    home = Home()
    home.nodes[PPMID] = _Deaf()
    home.wakes[PPMID] = None
    home.air.clear()
    home.send(FOR_PPMID, PPMID)
    home.run(8 * DAY)
    expected = (AlertCode.TRANSFER_FAILED, PPMID, NEW, TransferResult.IMAGE_DISCARDED)
    assert [expected] == _transferred(home)


class _Deaf:
    def receive(self, _frame, _now) -> Step:
        return Step()


def test_a_bad_supplier_signature_reaches_the_supplier_as_8f1c_though_the_transfer_was_good() -> None:
    home = Home()
    home.send(replace(FOR_HCALCS, signature=bytes(64)), HCALCS)
    home.run()
    assert [(AlertCode.TRANSFER_SUCCEEDED, HCALCS, NEW, TransferResult.SUCCESS)] == _transferred(home)
    (receipt,) = home.said(HCALCS)
    assert (AlertCode.IMAGE_REJECTED, FOR_HCALCS.hash) == (receipt.alert, receipt.hash)
    home.tell(HCALCS, activate(FOR_HCALCS.hash, 1000))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.NO_IMAGE_HELD, OLD) == home.said(HCALCS)[-1]


def test_both_devices_of_a_home_are_updated_at_the_same_time() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.send(FOR_HCALCS, HCALCS)
    home.run()
    home.tell(HCALCS, activate(FOR_HCALCS.hash, 1))
    home.run()
    assert [NEW, NEW] == [home.nodes[device].version for device in (PPMID, HCALCS)]


def test_an_image_gets_through_a_link_that_loses_every_tenth_frame() -> None:
    for seed in range(5):
        home = Home(loss=0.1, seed=seed)
        home.send(FOR_PPMID, PPMID)
        home.run(3 * DAY)
        assert NEW == home.nodes[PPMID].version, seed


def test_a_device_that_is_busy_with_an_image_gets_no_other() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.send(build(PPMID, FirmwareVersion(3)), PPMID, transfer=2)
    assert [(1, True), (2, False)] == [(receipt.transfer, receipt.delivered) for receipt in home.receipts]
    home.run()
    assert NEW == home.nodes[PPMID].version


def test_a_hub_holds_so_many_images_and_no_more() -> None:
    devices = [Eui64.of(number) for number in range(SLOTS + 2)]
    hub = _hub(*devices)
    delivered = []
    for number, device in enumerate(devices[:-1]):
        octets = images.encode(build(PPMID, FirmwareVersion(number)))
        delivered.append(hub.receive(WanImage(HUB, number, octets, (device,)), NOW).send[0].delivered)
    assert [True] * SLOTS + [False] == delivered
    held = images.encode(build(PPMID, FirmwareVersion(0)))
    assert hub.receive(WanImage(HUB, 9, held, (devices[-1],)), NOW).send[0].delivered


def test_octets_that_are_no_image_are_delivered_to_nobody() -> None:
    home = Home()
    home.send(b"no image", PPMID, HCALCS)
    assert [False, False] == [receipt.delivered for receipt in home.receipts]
    assert 1 == len(home.of(Unfit))


def test_alerts_of_a_hub_are_signed_and_count_upwards() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.send(FOR_HCALCS, HCALCS)
    home.run()
    alerts = [gbcs.decode(frame.octets).message for frame in home.wan if frame.device == HUB]
    assert [1, 2] == [alert.counter for alert in alerts]
    assert {(HUB, ACB)} == {(alert.originator, alert.recipient) for alert in alerts}
    assert 2 == len(home.of(Passed))


def test_gbcs_passes_through_unread() -> None:
    hub = _hub(PPMID)
    inward = hub.receive(WanGbcs(HUB, PPMID, b"anything", outbound=True), NOW)
    assert (HanFrame(HUB, PPMID, Cluster.TUNNELING, b"anything"),) == inward.send
    frame = HanFrame(PPMID, HUB, Cluster.TUNNELING, b"at all")
    outward = hub.receive(frame, NOW)
    assert (WanGbcs(HUB, PPMID, b"at all", outbound=False), acknowledge(frame)) == outward.send


def test_a_stranger_on_the_han_is_not_served() -> None:
    hub = _hub(PPMID)
    for frame in (
        HanFrame(HCALCS, HUB, Cluster.OTA, b""),
        HanFrame(HCALCS, HUB, Cluster.TUNNELING, b""),
        WanGbcs(HUB, HCALCS, b"", outbound=True),
    ):
        assert Step((), (Stray(HCALCS),)) == hub.receive(frame, NOW)


def test_the_proof_comes_after_the_reboot_and_not_before() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    home.run()
    transferred, proof = home.said(HUB)[0], home.said(PPMID)[0]
    assert BOOT_TIME <= proof.at - transferred.at <= BOOT_TIME + HOUR // 60
    assert [OLD, OLD, NEW] == [event.version for event in home.of(Booted)]
