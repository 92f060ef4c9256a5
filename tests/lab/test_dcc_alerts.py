"""Every alert of the DCC that touches a campaign, reached by name; and who is told, in what words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import (
    AnomalyLimits,
    Dropped,
    Failure,
    Life,
    Mismatch,
    Product,
    Service,
    Threshold,
    UserRole,
    notices,
)
from lamplighter.lab.homes import FACTORY_VERSION, GAS_SUPPLIER, MAKES, SUPPLIER
from lamplighter.lab.wire import (
    WanDeviceLeft,
    WanGbcs,
    WanHubFirmware,
    WanImage,
    WanImageReceipt,
    WanUnreachable,
)
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.duis import Breach, CplStatus, DeviceStatus, DeviceType, StatusChange

from .user import NEW, Desk, a_desk, heard, ppmid_image

NOBODY = Eui64.of(0x0200_0000_FFFF_FFFF)
STRANGE = FirmwareVersion(0x0777_0000)


class Case:
    """A desk at which the update of one PPMID was accepted, and its image may be on its way."""

    def __init__(self, **settings) -> None:
        self.desk = a_desk(**settings)
        self.dcc = self.desk.dcc
        self.home = self.desk.lab.homes[0]
        self.ppmid = self.home.ppmid
        self.image = ppmid_image(self.desk.lab)
        self.desk.lab.publish(self.image)

    def update(self) -> Case:
        assert self.desk.update_ppmids(self.image, self.ppmid).code == "I99"
        return self

    def receipt(self, *, delivered: bool = True) -> Case:
        images = [frame for frame in self.desk.sent if isinstance(frame, WanImage)]
        receipt = WanImageReceipt(
            self.home.hub, images[-1].transfer, self.ppmid, delivered=delivered, at=self.desk.now
        )
        self.desk.hear(receipt)
        return self

    def transferred(self, result=gbcs.TransferResult.SUCCESS) -> Case:
        code = gbcs.AlertCode.TRANSFER_SUCCEEDED if result.value == 0 else gbcs.AlertCode.TRANSFER_FAILED
        alert = gbcs.Ccs08Alert(code, whole(self.desk.now), self.ppmid, NEW, result)
        self.desk.hear(self.desk.spoken(self.home.hub, alert, 1))
        return self

    def activated(self, version=NEW, counter: int = 1) -> Case:
        alert = gbcs.Cs09Alert(
            gbcs.AlertCode.PPMID_ACTIVATION, whole(self.desk.now), version, gbcs.Outcome.SUCCESS
        )
        self.desk.hear(self.desk.spoken(self.ppmid, alert, counter))
        return self

    def read(self, version: FirmwareVersion, device: Eui64 | None = None) -> Case:
        """Read a Device's version, which is this."""
        device = device or self.ppmid
        desk = self.desk
        assert desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), device).code == "I99"
        command = gbcs.decode([f for f in desk.sent if isinstance(f, WanGbcs)][-1].octets).message
        answer = gbcs.compose(
            gbcs.Cs08Response(version, gbcs.Outcome.SUCCESS),
            originator=device,
            recipient=command.originator,
            counter=command.counter,
            supplementary=command.supplementary,
        )
        ring = desk.lab.pki.device(device, command.originator)
        secret = ring.secrets(command.originator, device)[0]
        octets = gbcs.mac.wrap(gbcs.encode_message(answer), secret)
        hub = self.dcc.inventory.entry(device).hub
        desk.hear(WanGbcs(hub, device, octets, outbound=False))
        return self

    def live(self, device: Eui64, *words: Life) -> Case:
        for word in words:
            self.desk.take(self.dcc.change_status(device, word, self.desk.now))
        return self


def whole(now: Instant) -> Instant:
    return Instant(now // 1_000_000 * 1_000_000)


# How each comes about


def hub_says_nothing() -> Case:
    case = Case().update()
    case.desk.later(4 * DAY)
    return case


def held_until(change) -> Case:
    """An image that is to go out in an hour, and what happens in between."""
    case = Case(dispatch_delay=HOUR).update()
    assert not [frame for frame in case.desk.sent if isinstance(frame, WanImage)]
    change(case)
    case.desk.told()
    case.desk.later(2 * HOUR)
    assert not [frame for frame in case.desk.sent if isinstance(frame, WanImage)]
    return case


def suspended_before_it_went_out() -> Case:
    return held_until(lambda case: case.live(case.ppmid, Life.SUSPENDED))


def sold_before_it_went_out() -> Case:
    def sell(case: Case) -> None:
        entries = case.dcc.inventory._entries
        entries[case.ppmid] = replace(entries[case.ppmid], import_supplier=NOBODY)

    return held_until(sell)


def withdrawn_from_the_cpl_before_it_went_out() -> Case:
    def withdraw(case: Case) -> None:
        model = MAKES[DeviceType.PPMID].model
        case.dcc.products.put(Product(model, NEW, case.image.hash, CplStatus.WITHDRAWN))

    return held_until(withdraw)


def hub_swapped_meanwhile() -> Case:
    case = Case().update()
    case.desk.told()
    new = replace(case.dcc.inventory.entry(case.home.hub), device=NOBODY, hub=NOBODY)
    case.desk.take(case.dcc.swap_hub(case.home.hub, new, case.desk.now))
    assert NOBODY == case.dcc.inventory.entry(case.ppmid).hub
    return case


def taken_out_meanwhile() -> Case:
    case = Case().update()
    return case.live(case.ppmid, Life.TAKEN_OUT)


def change_supplier(case: Case, to: Eui64 = SUPPLIER, role=UserRole.GAS_SUPPLIER) -> Case:
    request = duis.RequestId(to, case.home.esme, 77)
    case.desk.take(case.dcc.change_supplier(request, role, case.desk.now))
    return case


def gained_a_home() -> Case:
    return change_supplier(Case())


def lost_a_home() -> Case:
    return change_supplier(Case(), GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)


def ppmid_spoke() -> Case:
    return Case().update().receipt().activated()


def ppmid_left() -> Case:
    case = Case()
    case.desk.hear(WanDeviceLeft(case.home.hub, case.ppmid))
    return case


def beyond(**limits) -> Case:
    case = Case(anomaly=AnomalyLimits(**limits))
    assert case.desk.update_ppmids(case.image, case.ppmid).code == "I99"
    assert case.dcc.open == 0
    return case


def more_than_the_user_allowed() -> Case:
    return beyond(by_user={(SUPPLIER, "11.4"): Threshold(0)})


def more_than_the_dcc_allows() -> Case:
    return beyond(by_service={"11.4": Threshold(0)})


def more_devices_than_a_request_may_name() -> Case:
    return beyond(devices_most={"11.4": 0})


def runs_what_is_no_longer_active() -> Case:
    case = Case()
    product = Product(MAKES[DeviceType.PPMID].model, STRANGE, ImageHash(bytes(32)), CplStatus.EXPIRED)
    case.dcc.products.put(product)
    return case.read(STRANGE)


def runs_what_nobody_knows() -> Case:
    return Case().read(STRANGE)


def runs_what_nobody_put_there() -> Case:
    return Case().read(NEW)


def gas_meter_runs_what_nobody_put_there() -> Case:
    case = Case()
    entries, device = case.dcc.inventory._entries, case.home.esme
    model = MAKES[DeviceType.ESME].model
    entries[device] = replace(entries[device], type=DeviceType.GSME, gas_supplier=SUPPLIER)
    case.dcc.products.put(Product(model, NEW, ImageHash(bytes(32))))
    return case.read(NEW, device)


def other_supplier_asked() -> Case:
    case = Case()
    other = case.desk.gas_supplier()
    assert other.update_ppmids(case.image, case.ppmid).code == "I99"
    case.desk.sent = other.sent
    return case


def image_at_the_hub() -> Case:
    return Case().update().receipt()


def image_not_at_the_hub() -> Case:
    return Case().update().receipt(delivered=False)


def hub_has_passed_it_on() -> Case:
    return Case().update().receipt().transferred()


def hub_was_updated() -> Case:
    case = Case()
    case.desk.hear(WanHubFirmware(case.home.hub, NEW, capable=True))
    return case


def life_of(which: str, *words: Life, status=DeviceStatus.COMMISSIONED):
    def run() -> Case:
        case = Case()
        device = getattr(case.home, which)
        case.dcc.inventory.record_status(device, status)
        return case.live(device, *words)

    return run


def struck_out() -> Case:
    case = Case()
    case.desk.take(case.dcc.remove(case.ppmid, case.desk.now))
    assert case.dcc.inventory.find(case.ppmid) is None
    return case


REACHED = {
    "N18": hub_says_nothing,
    "N19": suspended_before_it_went_out,
    "N20": sold_before_it_went_out,
    "N21": withdrawn_from_the_cpl_before_it_went_out,
    "N22": hub_swapped_meanwhile,
    "N23": taken_out_meanwhile,
    "N26": gained_a_home,
    "N27": lost_a_home,
    "N39": ppmid_spoke,
    "N43": ppmid_left,
    "N46": more_than_the_user_allowed,
    "N47": more_than_the_dcc_allows,
    "N48": more_devices_than_a_request_may_name,
    "N49": runs_what_is_no_longer_active,
    "N50": runs_what_nobody_knows,
    "N51": runs_what_nobody_put_there,
    "N52": gas_meter_runs_what_nobody_put_there,
    "N59": other_supplier_asked,
    "N60": image_at_the_hub,
    "N61": image_not_at_the_hub,
    "N62": hub_has_passed_it_on,
    "N64": hub_was_updated,
    "N1": life_of("hub", Life.TAKEN_OUT),
    "N2": life_of("esme", Life.TAKEN_OUT),
    "N6": struck_out,
    "N8": life_of("ppmid", Life.SUSPENDED),
    "N9": life_of("ppmid", Life.SUSPENDED, Life.RESTORED_TO_COMMISSIONED),
    "N16": life_of("esme", Life.COMMISSIONED, status=DeviceStatus.INSTALLED_NOT_COMMISSIONED),
    "N29": life_of("ppmid", Life.RECOVERY_BEGUN, Life.RECOVERED),
    "N30": life_of("hcalcs", Life.RECOVERY_BEGUN, Life.RECOVERED),
}


@pytest.mark.parametrize("code", REACHED)
def test_dcc_alert(code):
    """Each in the way that its entry in the table is named for; last among what the User is told."""
    assert code == [response.body.code for response in said(REACHED[code]())][-1]


def said(case: Case) -> list[duis.Response]:
    return [response for response in case.desk.told() if isinstance(response.body, duis.DccAlert)]


def last(case: Case):
    return said(case)[-1].body.body


def test_every_alert_that_can_be_sent_is_reached():
    assert set(notices.CODES.values()) == set(REACHED)


def test_no_two_events_share_a_code():
    assert len(notices.CODES) == len(set(notices.CODES.values()))
    named = {*notices.Event, *Failure, *Mismatch, *Breach, *StatusChange}
    assert named == set(notices.CODES)


def test_a_device_status_change_names_the_device_and_the_change():
    case = REACHED["N8"]()
    assert duis.DeviceStatusChangeEvent(case.ppmid, StatusChange.SUSPENDED) == last(case)


def test_an_electricity_meter_takes_its_switches_along():
    case = REACHED["N2"]()
    change = last(case).change
    assert (duis.AssociatedDevice(case.home.hcalcs, DeviceType.HCALCS),) == change.associated


def test_both_suppliers_of_a_ppmid_hear_of_it():
    for code in ("N8", "N39", "N43", "N51", "N64"):
        case = REACHED[code]()
        other = case.desk.gas_supplier()
        assert code in [r.body.code for r in other_told(case, other)]


def other_told(case: Case, other: Desk) -> list[duis.Response]:
    other.sent = case.desk.sent
    return [r for r in other.told() if isinstance(r.body, duis.DccAlert)]


def test_a_silent_hub_is_told_of_once_for_all_its_devices():
    desk = a_desk(homes=3)
    image = ppmid_image(desk.lab)
    desk.lab.publish(image)
    ppmids = tuple(home.ppmid for home in desk.lab.homes)
    desk.update_ppmids(image, *ppmids)
    desk.later(4 * DAY)
    (alert,) = desk.told()
    assert ("N18", ppmids) == (alert.body.code, alert.body.body.devices)


def test_an_image_that_waits_goes_out_to_those_who_may_still_have_it():
    desk = a_desk(homes=2, dispatch_delay=HOUR)
    image = ppmid_image(desk.lab)
    desk.lab.publish(image)
    stays, goes = (home.ppmid for home in desk.lab.homes)
    desk.update_ppmids(image, stays, goes)
    desk.take(desk.dcc.change_status(goes, Life.SUSPENDED, desk.now))
    desk.later(2 * HOUR)
    assert [(stays,)] == [frame.devices for frame in desk.sent if isinstance(frame, WanImage)]
    assert ["N8", "N19"] == heard(desk.told())


def test_an_image_for_a_hub_out_of_reach_is_not_delivered():
    case = Case().update()
    (image,) = [frame for frame in case.desk.sent if isinstance(frame, WanImage)]
    case.desk.hear(WanUnreachable(image))
    assert ["N61"] == heard(case.desk.told())
    assert case.dcc.open == 0


# N49 to N52


def test_an_activation_that_was_asked_for_is_no_mismatch():
    case = Case().update().receipt().activated(NEW)
    assert ["N60", "N39"] == heard(case.desk.told())
    assert NEW == case.dcc.inventory.entry(case.ppmid).firmware


def test_a_ppmid_that_activates_another_version_than_it_was_sent_is_told_of():
    case = Case().update().receipt().activated(STRANGE)
    assert ["N60", "N39", "N50"] == heard(case.desk.told())


def test_a_version_that_the_inventory_has_is_no_mismatch():
    case = Case().read(FACTORY_VERSION)
    assert ["I0 11.2"] == heard(case.desk.told())


def test_a_mismatch_says_what_the_inventory_had_and_what_the_device_says():
    case = REACHED["N50"]()
    body = duis.FirmwareVersionMismatch(case.ppmid, DeviceType.PPMID, FACTORY_VERSION, STRANGE)
    assert body == last(case)
    assert STRANGE == case.dcc.inventory.entry(case.ppmid).firmware
    assert heard(case.read(STRANGE).desk.told())[-1] == "I0 11.2"


# N26, N27: change of supplier in mid-update


def test_the_loser_is_told_of_each_device_and_the_gainer_of_its_request():
    case = change_supplier(Case(), GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    lost = {response.body.body.device for response in said(case)}
    assert {case.home.hub, case.ppmid, case.home.hcalcs, case.home.esme} == lost
    other = case.desk.gas_supplier()
    (gained,) = other_told(case, other)
    assert duis.ChangeOfSupplier(duis.RequestId(GAS_SUPPLIER, case.home.esme, 77)) == gained.body.body


def test_who_supplies_the_other_fuel_too_loses_nothing_and_stands_there_once():
    case = change_supplier(Case(), SUPPLIER, UserRole.GAS_SUPPLIER)
    assert ["N26"] == [response.body.code for response in said(case)]
    assert (SUPPLIER,) == case.dcc.inventory.entry(case.ppmid).suppliers


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda case: case.dcc._users.pop(GAS_SUPPLIER), "E04"),
        (lambda case: case.dcc.inventory.record_status(case.home.esme, DeviceStatus.SUSPENDED), "E05"),
        (lambda case: case.dcc.inventory.remove(case.home.esme), "E19"),
    ],
)
def test_a_change_of_supplier_that_fails_changes_nothing(spoil, error):
    case = Case()
    spoil(case)
    change_supplier(case, GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    assert [] == said(case)
    (told,) = other_told(case, case.desk.gas_supplier())
    assert error == told.body.body.error_code
    assert SUPPLIER == case.dcc.inventory.entry(case.ppmid).import_supplier


def test_an_image_on_its_way_arrives_and_the_new_supplier_hears_of_it():
    case = Case().update().receipt()
    assert ["N60"] == heard(case.desk.told())
    change_supplier(case, GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    case.desk.told()
    case.transferred().activated()
    assert [] == said(case)
    other = case.desk.gas_supplier()
    assert ["N59", "N26", "N62", "N39"] == [r.body.code for r in other_told(case, other)]


def test_the_new_supplier_waits_for_the_end_of_the_old_ones_update():
    case = Case().update()
    change_supplier(case, GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    other = case.desk.gas_supplier()
    answer = other.update_ppmids(case.image, case.ppmid)
    assert answer.code == "E110403"
    case.receipt().transferred()
    assert other.update_ppmids(case.image, case.ppmid).code == "I99"


def test_an_image_that_has_not_gone_out_does_not():
    case = Case(dispatch_delay=HOUR).update()
    change_supplier(case, GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    case.desk.told()
    case.desk.later(2 * HOUR)
    assert ["N20"] == heard(case.desk.told())


def test_a_pre_command_transformed_for_the_old_supplier_is_not_sent():
    case = Case()
    id_ = case.desk.next_id(case.home.hcalcs)
    signed = case.desk.signed_pre_command(id_, ImageHash(bytes(32)))
    change_supplier(case, GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    assert case.desk.send(id_, signed).code == "E4"


def test_a_command_that_was_to_be_sent_later_is_answered_with_e4():
    case = Case()
    at = Instant(whole(case.desk.now) + DAY)
    body = duis.ReadFirmwareVersion(at)
    assert case.desk.ask(Service.SEND_COMMAND, body, case.home.hcalcs).code == "I99"
    change_supplier(case, GAS_SUPPLIER, UserRole.IMPORT_SUPPLIER)
    case.desk.told()
    case.desk.later(2 * DAY)
    assert ["E4 11.2"] == heard(case.desk.told())
    assert [] == [frame for frame in case.desk.sent if isinstance(frame, WanGbcs)]
    assert case.dcc.open == 0


def test_a_command_that_was_to_be_sent_later_is_sent_then():
    case = Case()
    at = Instant(whole(case.desk.now) + DAY)
    case.desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(at), case.home.hcalcs)
    case.desk.later(DAY - HOUR)
    assert [] == case.desk.sent
    case.desk.later(HOUR)
    assert 1 == len(case.desk.sent)


# Words that nobody may say


@pytest.mark.parametrize(
    ("frame", "check"),
    [
        (lambda home: WanDeviceLeft(home.hub, NOBODY), "leave-unexpected"),
        (lambda home: WanDeviceLeft(NOBODY, home.ppmid), "leave-unexpected"),
        (lambda home: WanHubFirmware(home.ppmid, NEW, capable=True), "hub-unknown"),
        (lambda _: WanHubFirmware(NOBODY, NEW, capable=True), "hub-unknown"),
        (lambda home: WanHubFirmware(home.hub, FACTORY_VERSION, capable=True), "hub-firmware-repeated"),
    ],
)
def test_a_word_that_fits_no_home_is_dropped(frame, check):
    case = Case()
    case.desk.hear(frame(case.home))
    assert [] == case.desk.sent
    assert [check] == [event.check for event in case.desk.events if isinstance(event, Dropped)]


def test_a_device_leaves_once():
    case = REACHED["N43"]()
    assert DeviceStatus.DECOMMISSIONED is case.dcc.inventory.entry(case.ppmid).status
    case.desk.told()
    case.desk.hear(WanDeviceLeft(case.home.hub, case.ppmid))
    assert [] == case.desk.told()


def test_a_hub_that_was_updated_makes_its_devices_updatable():
    case = Case()
    case.dcc.inventory.record_gbcs_version(case.home.hub, "3.2")
    assert case.desk.update_ppmids(case.image, case.ppmid).code == "E110403"
    case.desk.hear(WanHubFirmware(case.home.hub, NEW, capable=True))
    assert case.desk.update_ppmids(case.image, case.ppmid).code == "I99"
