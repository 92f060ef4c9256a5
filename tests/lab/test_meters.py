"""ESME, GSME and IHD: the meters follow the HCALCS's procedure in their own protocols, and an IHD none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lamplighter.kit import Eui64, ImageHash, Step
from lamplighter.kit.instant import DAY, MINUTE, Instant
from lamplighter.lab.devices import BOOT_TIME, Ihd, RolledBack
from lamplighter.lab.wire import Cluster, HanFrame
from lamplighter.protocol import gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import ActivationResult, AlertCode, Outcome, TransferResult

from .home import (
    ESME,
    FOR,
    GSME,
    HCALCS,
    HUB,
    NEW,
    NOW,
    OLD,
    PPMID,
    SIGNER,
    Home,
    activate,
    build,
    read_version,
)

METERS = pytest.mark.parametrize("device", [ESME, GSME])
COMMANDED = pytest.mark.parametrize("device", [HCALCS, ESME, GSME])


def _holding(device: Eui64) -> Home:
    home = Home(devices=(device,))
    home.send(FOR[device], device)
    home.run()
    return home


@pytest.mark.parametrize(
    ("device", "form"), [(HCALCS, gbcs.Form.GBZ), (ESME, gbcs.Form.DLMS), (GSME, gbcs.Form.GBZ)]
)
@pytest.mark.parametrize("good", [True, False])
def test_the_receipt_alert_is_in_the_protocol_of_the_device(device, form, good) -> None:
    home = Home(devices=(device,))
    home.send(FOR[device] if good else replace(FOR[device], signature=bytes(64)), device)
    home.run()
    (alert,) = home.said(device)
    code = AlertCode.IMAGE_VERIFIED if good else AlertCode.IMAGE_REJECTED
    assert (code, FOR[device].hash, form) == (alert.alert, alert.hash, alert.form)


def test_the_time_in_a_dlms_receipt_is_the_time_of_the_check() -> None:
    (alert,) = _holding(ESME).said(ESME)
    assert NOW <= alert.at.instant <= NOW + MINUTE


@METERS
def test_the_hub_hears_of_a_meters_image_as_of_any_other(device) -> None:
    (alert,) = _holding(device).said(HUB)
    assert (AlertCode.TRANSFER_SUCCEEDED, device, TransferResult.SUCCESS) == (
        alert.alert,
        alert.target,
        alert.result,
    )


@COMMANDED
def test_cs06_result_0_success(device) -> None:
    home = _holding(device)
    home.tell(device, activate(FOR[device].hash, 1, device=device))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.SUCCESS, NEW) == home.said(device)[-1]


@COMMANDED
def test_cs06_result_1_no_image_held(device) -> None:
    home = Home(devices=(device,))
    home.tell(device, activate(FOR[device].hash, 1, device=device))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.NO_IMAGE_HELD, OLD) == home.said(device)[-1]


@COMMANDED
def test_cs06_result_2_hash_mismatch(device) -> None:
    home = _holding(device)
    home.tell(device, activate(ImageHash(bytes(32)), 1, device=device))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.HASH_MISMATCH, OLD) == home.said(device)[-1]


@COMMANDED
def test_cs06_result_3_activation_failure(device) -> None:
    unsealed = images.sign_supplier(build(device, sealer=None), SIGNER)
    home = Home(devices=(device,))
    home.send(unsealed, device)
    home.run()
    home.tell(device, activate(unsealed.hash, 1, device=device))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.ACTIVATION_FAILURE, OLD) == home.said(device)[-1]
    assert 1 == len(home.of(RolledBack))


@METERS
def test_a_meter_activates_at_the_time_given_and_tells_by_alert(device) -> None:
    home = _holding(device)
    at = Instant(NOW + 2 * DAY)
    home.tell(device, activate(FOR[device].hash, 9, at, device=device))
    home.run(3 * DAY)
    assert gbcs.Cs06Accepted() == home.said(device)[-2]
    outcome = AlertCode.FUTURE_DATED_SUCCESS, Instant(at + BOOT_TIME), 9, ActivationResult.SUCCESS, NEW
    assert gbcs.OutcomeAlert(*outcome) == home.said(device)[-1]


def _outcome(home: Home, device: Eui64, image_hash: ImageHash) -> tuple[AlertCode, ActivationResult]:
    """What the alert says of an activation that was ordered for a later time."""
    home.tell(device, activate(image_hash, 9, Instant(NOW + 2 * DAY), device=device))
    home.run(3 * DAY)
    alert = home.said(device)[-1]
    return alert.alert, alert.result


@COMMANDED
def test_cs06_outcome_0_success(device) -> None:
    result = _outcome(_holding(device), device, FOR[device].hash)
    assert (AlertCode.FUTURE_DATED_SUCCESS, ActivationResult.SUCCESS) == result


@COMMANDED
def test_cs06_outcome_1_no_image_held(device) -> None:
    result = _outcome(Home(devices=(device,)), device, FOR[device].hash)
    assert (AlertCode.FUTURE_DATED_FAILURE, ActivationResult.NO_IMAGE_HELD) == result


@COMMANDED
def test_cs06_outcome_2_hash_mismatch(device) -> None:
    result = _outcome(_holding(device), device, ImageHash(bytes(32)))
    assert (AlertCode.FUTURE_DATED_FAILURE, ActivationResult.HASH_MISMATCH) == result


@COMMANDED
def test_cs06_outcome_3_activation_failure(device) -> None:
    unsealed = images.sign_supplier(build(device, sealer=None), SIGNER)
    home = Home(devices=(device,))
    home.send(unsealed, device)
    home.run()
    result = _outcome(home, device, unsealed.hash)
    assert (AlertCode.FUTURE_DATED_FAILURE, ActivationResult.ACTIVATION_FAILURE) == result


@METERS
def test_a_meter_forgets_an_activation_that_is_cancelled(device) -> None:
    home = _holding(device)
    home.tell(device, activate(FOR[device].hash, 9, Instant(NOW + 2 * DAY), device=device))
    home.tell(device, activate(FOR[device].hash, 10, gbcs.CANCELLED, device=device))
    home.run(3 * DAY)
    assert [gbcs.Cs06Accepted()] * 2 == home.said(device)[-2:]
    assert OLD == home.nodes[device].version


@pytest.mark.parametrize("device", [PPMID, HCALCS, ESME, GSME])
@pytest.mark.parametrize("result", list(Outcome))
def test_cs08_results_0_success_and_1_failure(device, result) -> None:
    """A Device whose image has gone bad in its flash runs on, and owns up to it."""
    home = Home(devices=(device,))
    if result is Outcome.FAILURE:
        flash = home.flashes[device]
        flash.banks[0] = flash.banks[0][:-1]
    home.tell(device, read_version(device, 5))
    home.run(MINUTE)
    assert [gbcs.Cs08Response(OLD, result)] == home.said(device)


def test_an_ihd_is_present_and_ignores_everything() -> None:
    display = Ihd(PPMID)
    assert Step() == display.start(NOW)
    for cluster in Cluster:
        assert Step() == display.receive(HanFrame(HUB, PPMID, cluster, b"\x09\x01\x00\x00\x64"), NOW)
    assert Step() == display.wake(NOW)
    assert Step() == display.stop()


def test_an_image_for_an_ihd_is_not_taken() -> None:
    home = Home(devices=(PPMID,), joined=())
    home.send(FOR[PPMID], PPMID)
    assert [False] == [receipt.delivered for receipt in home.receipts]
