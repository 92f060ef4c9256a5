"""Homes by the thousand: a mix from one seed, keys only for those who need them, and no memory to spare."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import Service
from lamplighter.lab.devices import Esme, Gsme, Hcalcs, Ihd, Ppmid
from lamplighter.lab.homes import (
    FACTORY_VERSION,
    GAS_SUPPLIER,
    MAKES,
    OLD_GBCS_VERSION,
    START,
    SUPPLIER,
    Estate,
    build_firmware,
    build_world,
)
from lamplighter.lab.rehearsal import Rehearsal
from lamplighter.lab.wan import LINKS, Link
from lamplighter.lab.world import CSP_PATIENCE
from lamplighter.protocol import duis
from lamplighter.protocol.duis import CspRegion, DeviceType

from .user import NEW, User, a_lab, hcalcs_image, heard, ppmid_image

MANY = 300


@pytest.fixture(scope="module")
def mixed():
    return build_world("mixed", MANY, estate=Estate())


def share(found):
    return found / MANY


def test_without_an_estate_all_homes_are_alike():
    lab, _ = a_lab(homes=4)
    kinds = Counter(type(node) for node in lab.world.devices.values())
    assert {Ppmid: 4, Hcalcs: 4} == kinds
    assert all(hub.capable for hub in lab.world.hubs.values())
    assert [None] * 4 == [home.gsme for home in lab.homes]


def test_a_mix_has_every_kind_of_device_in_about_its_share(mixed):
    kinds = Counter(type(node) for node in mixed.world.devices.values())
    assert [MANY] * 3 == [kinds[kind] for kind in (Ppmid, Hcalcs, Esme)]
    assert abs(share(kinds[Gsme]) - 0.8) < 0.1
    assert abs(share(kinds[Ihd]) - 0.5) < 0.1


def test_a_mix_has_hubs_that_can_and_hubs_that_cannot(mixed):
    cannot = sum(not hub.capable for hub in mixed.world.hubs.values())
    assert abs(share(cannot) - 0.1) < 0.06


def test_a_mix_has_old_hardware_that_is_on_the_cpl_as_such(mixed):
    entries = [entry for entry in mixed.world.dcc.inventory if entry.type is DeviceType.PPMID]
    old = [entry for entry in entries if entry.model != MAKES[DeviceType.PPMID].model]
    assert abs(share(len(old)) - 0.1) < 0.06
    assert all(mixed.world.dcc.products.find(entry.model, FACTORY_VERSION) for entry in old)
    assert all(mixed.world.node(entry.device).plate.hardware == entry.model.hardware for entry in old)


def test_a_mix_has_two_suppliers_and_homes_without_gas(mixed):
    homes = Counter(
        (entry.import_supplier, entry.gas_supplier)
        for entry in mixed.world.dcc.inventory
        if entry.type is DeviceType.CHF
    )
    assert {(SUPPLIER, SUPPLIER), (SUPPLIER, GAS_SUPPLIER), (SUPPLIER, None)} == set(homes)
    assert {home.gsme is None for home in mixed.homes} == {True, False}


def test_a_mix_lies_in_every_region(mixed):
    assert set(LINKS) == {home.region for home in mixed.homes}


def test_a_home_does_not_hang_on_how_many_there_are(mixed):
    fewer = build_world("mixed", 20, estate=Estate())
    assert list(islice(mixed.homes, 20)) == list(fewer.homes)
    for home in fewer.homes:
        assert fewer.world.dcc.inventory.find(home.ppmid) == mixed.world.dcc.inventory.find(home.ppmid)


def test_keys_are_issued_to_those_who_speak_and_to_nobody_else():
    lab, user = a_lab(homes=50)
    before = len(lab.pki._issued)
    image = ppmid_image(lab)
    lab.publish(image)
    user.update_ppmids(image, lab.homes[7].ppmid)
    user.wait()
    assert len(lab.pki._issued) - before <= 4


def test_a_ring_tells_all_certificates_to_whoever_asks_for_all():
    lab, _ = a_lab(homes=3)
    held = {(certificate.holder, certificate.use) for certificate in lab.ring}
    for entry in lab.world.dcc.inventory:
        assert 2 == sum(holder == entry.device for holder, _ in held)
    assert all(lab.ring.by_serial(c.issuer, c.serial) == c for c in lab.ring)


def test_a_campaign_over_a_mix_proves_what_can_be_proven():
    lab = build_world("mix", 30, estate=Estate(incapable_hubs=0.2, old_hardware=0.2))
    Rehearsal(lab).run(Instant(START + 2 * DAY))
    for entry in lab.world.dcc.inventory:
        if entry.type in (DeviceType.PPMID, DeviceType.HCALCS):
            able = lab.world.hubs[entry.hub].capable and entry.model == MAKES[entry.type].model
            assert (NEW if able else FACTORY_VERSION) == entry.firmware


def test_an_image_for_a_range_of_hardware_is_for_the_old_ones_too():
    lab = build_world("old", 3, estate=Estate(old_hardware=1.0, incapable_hubs=0.0, sleepers=0.0))
    user = User(lab)
    image = build_firmware(lab.pki, DeviceType.PPMID, NEW, b"for all", hardware=(0x1000, 0x1FFF))
    lab.publish(image)
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    assert {"N60", "N62", "N39"} == set(heard(user.wait()))


@pytest.fixture
def nowhere():
    """A home that the WAN does not reach."""
    links = dict.fromkeys(CspRegion, Link(coverage=0.0))
    lab = build_world("nowhere", 1, estate=Estate(links=links, incapable_hubs=0.0, old_hardware=0.0))
    return lab, User(lab)


def test_a_hub_out_of_coverage_is_reported_after_a_while(nowhere):
    """The CSP gives up, and the image has failed to get to the hub: N61."""
    lab, user = nowhere
    image = ppmid_image(lab)
    lab.publish(image)
    user.update_ppmids(image, lab.homes[0].ppmid)
    assert ["N61"] == heard(user.wait())
    assert CSP_PATIENCE == lab.world.now - START


def test_a_command_for_a_hub_out_of_coverage_comes_back(nowhere):
    """The CSP gives up, and the answer says so: E20, without a ResponseID, since no Device has spoken."""
    lab, user = nowhere
    asked = user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].ppmid)
    (answer,) = user.wait()
    assert ("E20", None) == (answer.code, answer.response_id)
    assert asked.request_id == answer.request_id
    assert CSP_PATIENCE == lab.world.now - START


def updated(seed, homes=12, **shares):
    """Homes of which all are alike but in what `shares` says, after an update of both Devices in each."""
    plain = {"incapable_hubs": 0.0, "old_hardware": 0.0, "sleepers": 0.0, "weak_links": 0.0}
    lab = build_world(seed, homes, estate=Estate(**plain | shares))
    user = User(lab)
    display, switch = ppmid_image(lab), hcalcs_image(lab)
    for image in (display, switch):
        lab.publish(image)
    answers = [
        user.update_ppmids(display, *(home.ppmid for home in lab.homes)),
        user.update(user.signed_image(switch), *(home.hcalcs for home in lab.homes)),
    ]
    return lab, answers, user.wait()


def test_a_hub_of_an_old_gbcs_version_has_its_devices_left_out_at_once():
    """The inventory knows: InvalidGBCSVersionList, and nothing is sent."""
    lab, answers, mail = updated("known", incapable_hubs=1.0, known_incapable=1.0)
    assert ["E110403", "E110103"] == [answer.code for answer in answers]
    assert ([], set()) == (mail, {t.what for t in lab.world.trace} & {"WAN image"})
    assert {OLD_GBCS_VERSION} == {lab.world.dcc.inventory.find(home.hub).gbcs_version for home in lab.homes}


def test_a_hub_that_cannot_and_of_which_nobody_knows_refuses_the_image_itself():
    """The inventory has it wrong: the image crosses, and N61 tells what the hub says."""
    _, answers, mail = updated("unknown", incapable_hubs=1.0, known_incapable=0.0)
    assert ["I99", "I99"] == [answer.code for answer in answers]
    assert {"N61": 2 * 12} == Counter(heard(mail))


def test_of_hubs_that_cannot_some_are_known_and_some_find_out():
    """Both ways in one request: each Device is left out or refused, and none is updated."""
    lab, answers, mail = updated("both", incapable_hubs=1.0, known_incapable=0.5)
    for answer, kind in zip(answers, ("ppmid", "hcalcs"), strict=True):
        left_out = set(answer.body.payload.invalid_gbcs_version)
        everyone = {getattr(home, kind) for home in lab.homes}
        refused = {response.body.body.device for response in mail} & everyone
        assert left_out
        assert refused
        assert (everyone, set()) == (left_out | refused, left_out & refused)


def test_hardware_of_which_the_inventory_is_wrong_is_found_out_by_the_hub():
    """The DCC accepts the Device, the hub has the image, and no block of it is sent: CCS08 code 2."""
    lab, answers, mail = updated("mistaken", unknown_hardware=1.0)
    assert ["I99", "I99"] == [answer.code for answer in answers]
    assert {"N60": 2 * 12, "N62": 2 * 12} == Counter(heard(mail))
    outcomes = {r.body.body.transfer.response for r in mail if heard([r]) == ["N62"]}
    assert {duis.TransferResponse.HARDWARE_VERSION_MISMATCH} == outcomes
    assert all(lab.world.node(home.ppmid).version == FACTORY_VERSION for home in lab.homes)


def test_what_is_not_recorded_leaves_nothing_and_changes_nothing():
    def lived(**named):
        lab, user = a_lab(homes=2, **named)
        image = ppmid_image(lab)
        lab.publish(image)
        user.update_ppmids(image, *(home.ppmid for home in lab.homes))
        return lab, heard(user.wait()), lab.world.now

    (all_, *said), (none, *also) = lived(), lived(record=False)
    assert said == also
    assert ([], []) == (none.world.trace, none.world.events)
    some, *kept = lived(keep=5)
    assert said == kept
    assert len(some.world.trace) <= 5 * 3 < len(all_.world.trace)


def test_an_idle_day_of_many_homes_is_soon_over(mixed):
    """Sixteen polls a home and a day: what nobody asks for costs next to nothing."""
    before = mixed.world.now
    mixed.world.run_until(Instant(before + 2 * HOUR))
    assert mixed.world.now == before + 2 * HOUR


def test_versions_are_as_the_images_have_them():
    lab, _ = a_lab()
    image = lab.build_firmware(DeviceType.ESME, FirmwareVersion(7), b"meter")
    assert (FirmwareVersion(7), MAKES[DeviceType.ESME].image_type) == (
        image.header.file_version,
        image.header.image_type,
    )
