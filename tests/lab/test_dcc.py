"""The DCC's answers: each refusal under its own name, and the state tables behind them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, Instant, LamplighterError
from lamplighter.kit.instant import DAY
from lamplighter.lab.dcc import (
    CODES,
    Limits,
    Product,
    Reason,
    Requested,
    Service,
    Settings,
    UserRole,
    code_of,
    commands,
    deliveries,
)
from lamplighter.lab.dcc import User as Registered
from lamplighter.lab.homes import ACB, FACTORY_VERSION, GAS_SUPPLIER, MAKES, SUPPLIER
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceStatus, DeviceType
from lamplighter.protocol.smki import Role

from .user import NEW, User, a_lab, hcalcs_image, heard, ppmid_image, signed_request

STRANGER = Eui64.of(0x0000_5EEF_1000_00FF)
NOBODY = Eui64.of(0x0200_0000_FFFF_FFFF)


def reason(lab) -> Reason:
    """Why the latest request was refused."""
    requested = [r.event for r in lab.world.events if isinstance(r.event, Requested)]
    return requested[-1].refusal.reason


def published(lab):
    image = ppmid_image(lab)
    lab.publish(image)
    return image


# Attacks on the interface


def forged(octets: bytes, old: bytes, new: bytes) -> bytes:
    assert octets.count(old) == 1
    return octets.replace(old, new)


def test_a_request_that_was_changed_after_signing_is_refused():
    lab, user = a_lab()
    image = published(lab)
    body = duis.UpdatePpmidFirmware(images.encode(image), NEW, (lab.homes[0].ppmid,))
    octets = signed_request(user.ring, duis.Request(user.next_id(), body))
    octets = forged(octets, str(lab.homes[0].ppmid).encode(), str(lab.homes[0].hcalcs).encode())
    answer = user.open(lab.world.request(Service.NON_DEVICE, octets))
    assert (answer.code, reason(lab)) == ("E1", Reason.NOT_AUTHENTIC)
    assert lab.world.dcc.open == 0


def test_a_request_without_a_signature_is_refused():
    lab, user = a_lab()
    request = duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
    answer = user.open(lab.world.request(Service.NON_DEVICE, duis.encode_request(request)))
    assert (answer.request_id, answer.code) == (request.id, "E1")
    assert reason(lab) is Reason.NOT_AUTHENTIC


def test_a_supplier_cannot_ask_in_the_name_of_another():
    lab, user = a_lab()
    request = duis.Request(duis.RequestId(GAS_SUPPLIER, ACB, 1), duis.ReadInventory(lab.homes[0].ppmid))
    octets = duis.sign(duis.encode_request(request), user.ring.signer(SUPPLIER, Role.XML_SIGNING))
    assert user.open(lab.world.request(Service.NON_DEVICE, octets)).code == "E1"
    assert reason(lab) is Reason.NOT_AUTHENTIC


def test_the_key_for_commands_does_not_sign_requests():
    lab, user = a_lab()
    request = duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
    octets = duis.sign(duis.encode_request(request), user.ring.signer(SUPPLIER, Role.SUPPLIER))
    assert user.open(lab.world.request(Service.NON_DEVICE, octets)).code == "E1"


def test_a_replayed_request_is_refused():
    lab, user = a_lab()
    request = duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
    octets = signed_request(user.ring, request)
    assert user.open(lab.world.request(Service.NON_DEVICE, octets)).code == "I0"
    assert user.open(lab.world.request(Service.NON_DEVICE, octets)).code == CODES[Reason.COUNTER_NOT_ABOVE]
    assert reason(lab) is Reason.COUNTER_NOT_ABOVE


def test_a_counter_that_goes_back_is_refused_even_for_another_device():
    lab, user = a_lab()
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].ppmid)
    user.counter -= 2
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].hcalcs)
    assert reason(lab) is Reason.COUNTER_NOT_ABOVE


def test_a_signed_pre_command_is_sent_once():
    lab, user = a_lab()
    device = lab.homes[0].hcalcs
    id_ = user.next_id(device)
    signed = user.signed_pre_command(id_, ImageHash(bytes(32)))
    assert user.send(id_, signed).code == "I99"
    assert user.send(id_, signed).code == CODES[Reason.NOT_TRANSFORMED]
    assert reason(lab) is Reason.NOT_TRANSFORMED


def test_a_pre_command_that_was_never_transformed_is_refused():
    lab, user = a_lab()
    id_ = user.next_id(lab.homes[0].hcalcs)
    intent = gbcs.Activation(SUPPLIER, id_.target, id_.counter, ImageHash(bytes(32)), None)
    signed = gbcs.sign(gbcs.pre_command(intent), user.ring.signer(SUPPLIER, Role.SUPPLIER))
    user.send(id_, signed)
    assert reason(lab) is Reason.NOT_TRANSFORMED


def test_a_pre_command_other_than_the_transformed_one_is_refused():
    lab, user = a_lab()
    id_ = user.next_id(lab.homes[0].hcalcs)
    user.signed_pre_command(id_, ImageHash(bytes(32)))
    intent = gbcs.Activation(SUPPLIER, id_.target, id_.counter, ImageHash(b"\xff" * 32), None)
    signed = gbcs.sign(gbcs.pre_command(intent), user.ring.signer(SUPPLIER, Role.SUPPLIER))
    user.send(id_, signed)
    assert reason(lab) is Reason.PRE_COMMAND_DIFFERS


def test_an_unsigned_pre_command_is_refused():
    lab, user = a_lab()
    id_ = user.next_id(lab.homes[0].hcalcs)
    signed = user.signed_pre_command(id_, ImageHash(bytes(32)))
    user.send(id_, signed[:-65])
    assert reason(lab) is Reason.PRE_COMMAND_DIFFERS


LAB, USER = a_lab("property")


@given(st.binary(max_size=300))
def test_no_octets_upset_the_dcc(octets):
    with pytest.raises(LamplighterError):
        LAB.world.request(Service.NON_DEVICE, octets)


@given(st.data())
def test_a_request_with_any_octet_changed_is_never_obeyed(data):
    request = duis.Request(USER.next_id(), duis.ReadInventory(LAB.homes[0].ppmid))
    octets = bytearray(signed_request(USER.ring, request))
    at = data.draw(st.integers(octets.index(b"<sr:Header"), octets.index(b"</sr:Body>") - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    try:
        code = USER.open(LAB.world.request(Service.NON_DEVICE, bytes(octets))).code
    except LamplighterError:
        return
    assert code == "E1"


# Access control


@pytest.mark.parametrize("service", [Service.SEND_COMMAND, Service.TRANSFORM])
def test_a_request_to_the_wrong_service_is_refused(service):
    lab, user = a_lab()
    answer = user.ask(service, duis.ReadInventory(lab.homes[0].ppmid))
    assert (answer.code, reason(lab)) == ("E13", Reason.WRONG_SERVICE)


def test_a_wrong_command_variant_is_refused():
    lab, user = a_lab()
    request = duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
    xml = forged(duis.encode_request(request), b"CommandVariant>8<", b"CommandVariant>1<")
    octets = duis.sign(xml, user.ring.signer(SUPPLIER, Role.XML_SIGNING))
    answer = user.open(lab.world.request(Service.NON_DEVICE, octets))
    assert (answer.request_id, answer.code) == (request.id, "E12")


def test_a_body_that_the_schema_does_not_have_is_no_request():
    lab, user = a_lab()
    request = duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
    xml = duis.encode_request(request).replace(b"ReadInventory", b"WriteInventory")
    octets = duis.sign(xml, user.ring.signer(SUPPLIER, Role.XML_SIGNING))
    with pytest.raises(DecodeError):
        lab.world.request(Service.NON_DEVICE, octets)


def as_user(lab, **changes) -> User:
    """The Supplier, registered otherwise."""
    lab.world.dcc._users[SUPPLIER] = Registered(SUPPLIER, **changes)
    return User(lab)


def test_a_party_that_is_no_user_is_refused():
    lab, user = a_lab()
    del lab.world.dcc._users[SUPPLIER]
    answer = user.ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].ppmid))
    assert (answer.code, reason(lab)) == ("E1", Reason.UNKNOWN_USER)


def test_a_role_that_may_not_use_the_service_is_refused():
    lab, _ = a_lab()
    user = as_user(lab, roles=frozenset({UserRole.NETWORK_OPERATOR}))
    answer = user.update_ppmids(published(lab), lab.homes[0].ppmid)
    assert (answer.code, reason(lab)) == ("E2", Reason.ROLE_NOT_PERMITTED)


def test_a_suspended_user_is_refused():
    lab, _ = a_lab()
    answer = as_user(lab, suspended=True).ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].ppmid))
    assert (answer.code, reason(lab)) == ("E3", Reason.USER_SUSPENDED)


def gas_supplier(lab) -> User:
    ring = lab.pki.supplier(GAS_SUPPLIER, ACB, [home.hcalcs for home in lab.homes])
    return User(lab, GAS_SUPPLIER, ring)


def test_the_gas_supplier_may_not_command_an_hcalcs():
    lab, _ = a_lab()
    user = gas_supplier(lab)
    answer = user.ask(Service.TRANSFORM, duis.ActivateFirmware(ImageHash(bytes(32))), lab.homes[0].hcalcs)
    assert (answer.code, reason(lab)) == ("E4", Reason.NOT_RESPONSIBLE)


def test_the_gas_supplier_may_update_a_ppmid_and_the_import_supplier_is_told():
    lab, user = a_lab()
    assert gas_supplier(lab).update_ppmids(published(lab), lab.homes[0].ppmid).code == "I99"
    assert heard(user.mail()) == ["N59"]


def with_status(lab, device, status):
    lab.world.dcc.inventory.record_status(device, status)


@pytest.mark.parametrize("status", [DeviceStatus.SUSPENDED, DeviceStatus.DECOMMISSIONED])
def test_a_device_that_is_not_commissioned_is_not_activated(status):
    lab, user = a_lab()
    with_status(lab, lab.homes[0].hcalcs, status)
    answer = user.ask(Service.TRANSFORM, duis.ActivateFirmware(ImageHash(bytes(32))), lab.homes[0].hcalcs)
    assert (answer.code, reason(lab)) == ("E5", Reason.DEVICE_STATUS)


def test_a_ppmid_cannot_be_activated_by_command():
    lab, user = a_lab()
    answer = user.ask(Service.TRANSFORM, duis.ActivateFirmware(ImageHash(bytes(32))), lab.homes[0].ppmid)
    assert (answer.code, reason(lab)) == ("E11", Reason.WRONG_DEVICE_TYPE)


def test_a_command_for_an_unknown_device_is_refused():
    lab, user = a_lab()
    answer = user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), NOBODY)
    assert (answer.code, reason(lab)) == ("E19", Reason.NO_SUCH_DEVICE)
    answer = user.ask(Service.NON_DEVICE, duis.ReadInventory(NOBODY))
    assert (answer.code, reason(lab)) == ("E19", Reason.NO_SUCH_DEVICE)


def test_a_home_of_other_suppliers_is_not_shown():
    lab, _ = a_lab()
    inventory = lab.world.dcc.inventory
    for entry in tuple(inventory):
        inventory._entries[entry.device] = replace(entry, import_supplier=STRANGER)
    answer = User(lab).ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].ppmid))
    assert (answer.code, reason(lab)) == ("E4", Reason.NOT_RESPONSIBLE)


def test_a_home_is_found_by_its_meter_point():
    """The same answer as by a Device; only meters have a meter point in it."""
    lab, user = a_lab()
    by_device = user.ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].ppmid))
    [point] = [it.import_mpxn for it in by_device.body.payload.devices if it.import_mpxn is not None]
    by_point = user.ask(Service.NON_DEVICE, duis.ReadInventory(duis.Mpxn(point)))
    assert ("I0", by_device.body.payload) == (by_point.code, by_point.body.payload)


@pytest.mark.parametrize(
    "of", [duis.Mpxn("9" * 13), duis.Uprn("123456789012"), duis.PropertyFilter("AB1 2CD", "12")]
)
def test_premises_that_the_inventory_does_not_know_are_refused(of):
    """By an unknown meter point, and by UPRN or address, which no home of the lab has."""
    lab, user = a_lab()
    answer = user.ask(Service.NON_DEVICE, duis.ReadInventory(of))
    assert (answer.code, reason(lab)) == ("E080201", Reason.NO_SUCH_PREMISES)


def test_a_home_of_other_suppliers_is_not_found_by_its_meter_point_either():
    """Who knows an MPxN does not learn by it what stands there."""
    lab, _ = a_lab()
    inventory = lab.world.dcc.inventory
    for entry in tuple(inventory):
        inventory._entries[entry.device] = replace(entry, import_supplier=STRANGER)
    point = inventory.entry(lab.homes[0].esme).points.import_mpxn
    answer = User(lab).ask(Service.NON_DEVICE, duis.ReadInventory(duis.Mpxn(point)))
    assert (answer.code, reason(lab)) == ("E4", Reason.NOT_RESPONSIBLE)


def test_a_non_device_request_is_for_the_acb():
    lab, user = a_lab()
    user.ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].ppmid), lab.homes[0].ppmid)
    assert reason(lab) is Reason.WRONG_TARGET


def test_a_refused_request_has_spent_its_counter():
    lab, user = a_lab()
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), NOBODY)
    user.counter -= 1
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].ppmid)
    assert reason(lab) is Reason.COUNTER_NOT_ABOVE


# Images


def test_a_version_that_is_not_on_the_cpl_is_refused():
    lab, user = a_lab()
    answer = user.update_ppmids(ppmid_image(lab), lab.homes[0].ppmid)
    assert (answer.code, reason(lab)) == ("E110401", Reason.VERSION_NOT_ON_CPL)
    answer = user.update(user.signed_image(hcalcs_image(lab)), lab.homes[0].hcalcs)
    assert (answer.code, reason(lab)) == ("E110101", Reason.VERSION_NOT_ON_CPL)


def test_a_version_withdrawn_from_the_cpl_is_refused():
    lab, user = a_lab()
    image = published(lab)
    model = MAKES[DeviceType.PPMID].model
    lab.world.dcc.products.put(Product(model, NEW, image.hash, duis.CplStatus.WITHDRAWN))
    assert user.update_ppmids(image, lab.homes[0].ppmid).code == "E110401"


def test_an_image_whose_hash_is_not_the_cpls_is_refused():
    lab, user = a_lab()
    published(lab)
    lab.publish(hcalcs_image(lab))
    answer = user.update_ppmids(ppmid_image(lab, b"another payload"), lab.homes[0].ppmid)
    assert (answer.code, reason(lab)) == ("E110402", Reason.HASH_NOT_ON_CPL)
    other = user.signed_image(hcalcs_image(lab, b"another payload"))
    assert user.update(other, lab.homes[0].hcalcs).code == "E110102"


@pytest.mark.parametrize("which", ["unknown", "hcalcs", "esme", "hub"])
def test_an_image_for_no_valid_device_is_refused(which):
    lab, user = a_lab()
    device = NOBODY if which == "unknown" else getattr(lab.homes[0], which)
    answer = user.update_ppmids(published(lab), device)
    assert (answer.code, reason(lab)) == ("E110403", Reason.NO_VALID_DEVICE)
    assert lab.world.dcc.open == 0


def test_octets_that_are_no_image_are_refused():
    lab, user = a_lab()
    body = duis.UpdatePpmidFirmware(b"no image", NEW, (lab.homes[0].ppmid,))
    assert user.ask(Service.NON_DEVICE, body).code == "E110405"
    assert reason(lab) is Reason.IMAGE_MALFORMED


def test_an_image_without_the_suppliers_signature_is_refused_for_11_1():
    lab, user = a_lab()
    image = hcalcs_image(lab)
    lab.publish(image)
    answer = user.update(image, lab.homes[0].hcalcs)
    assert (answer.code, reason(lab)) == ("E110106", Reason.SIGNATURE_MISSING)


def test_an_image_with_a_suppliers_signature_is_refused_for_11_4():
    lab, user = a_lab()
    image = user.signed_image(published(lab))
    assert user.update_ppmids(image, lab.homes[0].ppmid).code == "E110405"


def test_a_request_whose_version_is_not_the_headers_is_refused():
    lab, user = a_lab()
    image = published(lab)
    body = duis.UpdatePpmidFirmware(images.encode(image), FirmwareVersion(7), (lab.homes[0].ppmid,))
    assert user.ask(Service.NON_DEVICE, body).code == "E110405"
    assert reason(lab) is Reason.VERSION_NOT_IN_IMAGE


def test_limits_are_settings():
    limits = Limits(max_image_octets=100, max_devices=1)
    lab, user = a_lab(homes=2, dcc_settings=Settings(limits=limits))
    image = published(lab)
    user.update_ppmids(image, lab.homes[0].ppmid)
    assert reason(lab) is Reason.IMAGE_TOO_LARGE
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    assert reason(lab) is Reason.IMAGE_TOO_LARGE


def test_the_warning_names_each_device_that_was_left_out_and_why():
    lab, user = a_lab(homes=6)
    fine, foreign, suspended, old_model, old_gbcs, busy = (home.ppmid for home in lab.homes)
    inventory = lab.world.dcc.inventory
    image = published(lab)

    def change(device, **changes):
        inventory._entries[device] = replace(inventory.find(device), **changes)

    user.update_ppmids(image, busy)
    change(foreign, import_supplier=None)
    change(suspended, status=DeviceStatus.SUSPENDED)
    change(old_model, model=replace(MAKES[DeviceType.PPMID].model, hardware=0x0001))
    change(old_gbcs, gbcs_version="3.2")
    answer = user.update_ppmids(image, fine, NOBODY, foreign, suspended, old_model, old_gbcs, busy, fine)
    assert answer.code == "W110401"
    assert answer.body.payload == duis.FirmwareWarning(
        (NOBODY, foreign), (suspended,), (old_model,), (busy,), (old_gbcs,), ppmid=True
    )
    assert sorted(heard(user.wait())) == sorted(["N60", "N62", "N39"] * 2)
    assert inventory.find(fine).firmware == NEW


def test_the_warning_of_11_1_has_a_code_of_its_own():
    lab, user = a_lab()
    image = hcalcs_image(lab)
    lab.publish(image)
    answer = user.update(user.signed_image(image), lab.homes[0].hcalcs, lab.homes[0].ppmid)
    assert answer.code == "W110101"
    assert answer.body.payload == duis.FirmwareWarning((lab.homes[0].ppmid,), (), (), (), (), ppmid=False)


# What hub and Devices refuse


def test_hardware_outside_the_images_range_is_refused_by_the_hub():
    lab, user = a_lab()
    image = ppmid_image(lab)
    other = replace(image.header, minimum_hardware=0x2000, maximum_hardware=0x2FFF)
    image = replace(image, header=other)
    lab.publish(image)
    user.update_ppmids(image, lab.homes[0].ppmid)
    mail = user.wait()
    assert heard(mail) == ["N60", "N62"]
    transfer = mail[1].body.body.transfer
    assert transfer.response is duis.TransferResponse.HARDWARE_VERSION_MISMATCH
    assert lab.world.dcc.inventory.find(lab.homes[0].ppmid).firmware == FACTORY_VERSION


def test_an_image_signed_by_another_supplier_is_rejected_by_the_hcalcs():
    lab, user = a_lab()
    image = hcalcs_image(lab)
    lab.publish(image)
    key = lab.pki.supplier(GAS_SUPPLIER, ACB, []).signer(GAS_SUPPLIER, Role.SUPPLIER)
    assert user.update(images.sign_supplier(image, key), lab.homes[0].hcalcs).code == "I99"
    assert heard(user.wait()) == ["N60", "N62", "8F1C"]
    user.activate(lab.homes[0].hcalcs, image.hash)
    (response,) = user.wait()
    said = gbcs.decode(response.body.payload.octets).payload
    assert gbcs.Cs06Response(gbcs.ActivationResult.NO_IMAGE_HELD, FACTORY_VERSION) == said


def test_activating_another_hash_than_that_held_is_refused_by_the_hcalcs():
    lab, user = a_lab()
    image = hcalcs_image(lab)
    lab.publish(image)
    user.update(user.signed_image(image), lab.homes[0].hcalcs)
    user.wait()
    user.activate(lab.homes[0].hcalcs, ImageHash(bytes(32)))
    (response,) = user.wait()
    said = gbcs.decode(response.body.payload.octets).payload
    assert gbcs.Cs06Response(gbcs.ActivationResult.HASH_MISMATCH, FACTORY_VERSION) == said


def test_a_command_with_a_forged_signature_is_left_unanswered_by_the_hcalcs():
    lab, user = a_lab()
    id_ = user.next_id(lab.homes[0].hcalcs)
    signed = user.signed_pre_command(id_, ImageHash(bytes(32)))
    assert user.send(id_, signed[:-1] + bytes((signed[-1] ^ 1,))).code == "I99"
    (response,) = user.wait()
    assert (response.request_id, response.code) == (id_, "E21")


def test_a_command_that_comes_twice_is_obeyed_once():
    lab, user = a_lab()
    device = lab.homes[0].hcalcs
    user.activate(device, ImageHash(bytes(32)))
    user.wait()
    sent = [t for t in lab.world.trace_of(device) if t.what == "WAN GBCS" and t.source == "DCC"]
    before = len(lab.world.trace)
    lab.world.carry("DCC", lab_frame(lab, device, sent[0].octets))
    lab.world.run_until(Instant(lab.world.now + DAY // 2))
    said = [t for t in lab.world.trace[before:] if t.what == "WAN GBCS" and t.destination == "DCC"]
    assert said == []


def lab_frame(lab, device, octets):
    from lamplighter.lab.wire import WanGbcs

    return WanGbcs(lab.homes[0].hub, device, octets, outbound=True)


# Tables


def test_every_reason_has_a_code_of_the_schema():
    for srv in ("11.1", "11.4"):
        for why in Reason:
            if srv == "11.4" and why is Reason.SIGNATURE_MISSING:
                continue
            code = code_of(why, srv)
            duis.encode_response(duis.Response(None, None, code, Instant(0), duis.ResponseMessage(srv, srv)))


@pytest.mark.parametrize("states", [deliveries, commands])
@given(data=st.data())
def test_whatever_comes_a_chart_moves_along_its_arrows_and_ends(states, data):
    chart = states.CHART
    stage, moves = chart.start, 0
    for word in data.draw(st.lists(st.sampled_from(states.Word), max_size=30)):
        if chart.allows(stage, word):
            stage, moves = chart.fire(stage, word), moves + 1
    assert moves < len(states.Stage)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(deliveries.Word), st.integers(0, 10))))
def test_the_number_of_open_deliveries_is_that_of_those_which_have_not_ended(steps):
    book = deliveries.Deliveries(DAY)
    devices = [Eui64.of(n) for n in range(4)]
    id_ = duis.RequestId(SUPPLIER, ACB, 1)
    begun = {}
    for transfer, (which, word, due) in enumerate(steps):
        device = devices[which]
        latest = book.latest(device)
        if latest is None or not any(chart_from is latest.stage for chart_from, _ in deliveries.CHART.arrows):
            begun[device] = deliveries.Delivery(
                transfer, id_, device, NOBODY, NEW, ImageHash(bytes(32)), Instant(due)
            )
            book.begin(begun[device])
        else:
            book.hear(latest, word, Instant(due))
    ends = {deliveries.Stage.CROSSING, deliveries.Stage.AT_HUB, deliveries.Stage.ON_DEVICE}
    assert sum(book.latest(device).stage in ends for device in begun) == book.open
    assert {d.device for d in book.overdue(Instant(11))} == {
        device for device in begun if book.latest(device).stage in ends
    }
