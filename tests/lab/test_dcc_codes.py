"""Every response code that concerns a firmware update, reached; and the five lists of the warnings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import Limits, Product, Reason, Requested, Service, UserRole
from lamplighter.lab.dcc import User as Registered
from lamplighter.lab.homes import ACB, MAKES, SUPPLIER
from lamplighter.lab.wire import WanGbcs, WanUnreachable
from lamplighter.protocol import duis
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import CplStatus, DeviceStatus, DeviceType
from lamplighter.protocol.smki import Role

from .user import NEW, Desk, a_desk, a_lab, hcalcs_image, ppmid_image, signed_request

NOBODY = Eui64.of(0x0200_0000_FFFF_FFFF)
NO_HASH = ImageHash(bytes(32))


class Case:
    """A desk with an image for each service, and the Devices of one home."""

    def __init__(self, homes: int = 1, **settings) -> None:
        self.desk = a_desk(homes, **settings)
        self.lab, self.dcc = self.desk.lab, self.desk.dcc
        self.home = self.lab.homes[0]
        self.ppmid, self.hcalcs = ppmid_image(self.lab), hcalcs_image(self.lab)
        self.signed = self.desk.signed_image(self.hcalcs)

    def publish(self) -> Case:
        self.lab.publish(self.ppmid)
        self.lab.publish(self.hcalcs)
        return self

    def register(self, **changes) -> Case:
        self.dcc._users[SUPPLIER] = Registered(SUPPLIER, **changes)
        return self

    def change(self, device: Eui64, **changes) -> None:
        entries = self.dcc.inventory._entries
        entries[device] = replace(entries[device], **changes)

    def put(self, status: CplStatus, image=None) -> None:
        for kind, published in ((DeviceType.PPMID, self.ppmid), (DeviceType.HCALCS, self.hcalcs)):
            image_hash = published.hash if image is None else image
            self.dcc.products.put(Product(MAKES[kind].model, NEW, image_hash, status))

    def distribute(self, srv: str, *devices: Eui64, image=None) -> duis.Response:
        """Ask for the update that goes with a service; by default of the home's own Device."""
        if srv == "11.4":
            return self.desk.update_ppmids(image or self.ppmid, *(devices or (self.home.ppmid,)))
        return self.desk.update(image or self.signed, *(devices or (self.home.hcalcs,)))

    def read(self, device: Eui64 | None = None) -> duis.Response:
        target = device or self.home.ppmid
        return self.desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), target)

    def transform(self, device: Eui64 | None = None) -> duis.Response:
        target = device or self.home.hcalcs
        return self.desk.ask(Service.TRANSFORM, duis.ActivateFirmware(NO_HASH), target)

    def inventory(self) -> duis.Response:
        return self.desk.ask(Service.NON_DEVICE, duis.ReadInventory(self.home.ppmid))


def unknown_user():
    case = Case()
    del case.dcc._users[SUPPLIER]
    return case.inventory()


def user_in_no_role_of_the_service():
    return Case().publish().register(roles=frozenset({UserRole.OTHER_USER})).distribute("11.4")


def suspended_user():
    return Case().register(suspended=True).inventory()


def another_suppliers_device():
    case = Case()
    case.change(case.home.hcalcs, import_supplier=NOBODY)
    return case.transform()


def device_that_is_not_commissioned():
    case = Case()
    case.change(case.home.hcalcs, status=DeviceStatus.PENDING)
    return case.transform()


def activation_of_a_ppmid():
    case = Case()
    return case.transform(case.home.ppmid)


def wrong_variant():
    case = Case()
    request = duis.Request(case.desk.next_id(), duis.ReadInventory(case.home.ppmid))
    xml = duis.encode_request(request).replace(b"CommandVariant>8<", b"CommandVariant>1<")
    octets = duis.sign(xml, case.desk.ring.signer(SUPPLIER, Role.XML_SIGNING))
    answer, _ = case.dcc.request(Service.NON_DEVICE, octets, case.desk.now)
    return case.desk.open(answer)


def wrong_service():
    case = Case()
    return case.desk.ask(Service.TRANSFORM, duis.ReadInventory(case.home.ppmid))


def unknown_device():
    return Case().read(NOBODY)


def unknown_premises():
    case = Case()
    return case.desk.ask(Service.NON_DEVICE, duis.ReadInventory(duis.Mpxn("9" * 13)))


def sent_command(case: Case) -> WanGbcs:
    (command,) = [frame for frame in case.desk.sent if isinstance(frame, WanGbcs)]
    return command


def hub_out_of_reach():
    case = Case()
    assert case.read().code == "I99"
    case.desk.hear(WanUnreachable(sent_command(case)))
    (answer,) = case.desk.told()
    assert case.dcc.open == 0
    return answer


def silent_device():
    case = Case()
    case.read()
    case.desk.later(3 * DAY)
    (answer,) = case.desk.told()
    return answer


def future_dated_and_never_heard_of_again():
    lab, user = a_lab()
    image, device = hcalcs_image(lab), lab.homes[0].hcalcs
    lab.publish(image)
    user.update(user.signed_image(image), device)
    user.wait()
    user.activate(device, image.hash, Instant((lab.world.now // 1_000_000 + 86_400) * 1_000_000))
    lab.world.run_until(Instant(lab.world.now + HOUR))
    assert ["I0"] == [response.code for response in user.mail()]
    desk = Desk(lab)
    desk.later(4 * DAY)
    (answer,) = desk.told()
    return answer


def accepted():
    return Case().publish().distribute("11.4")


def succeeded():
    return Case().inventory()


REACHED = {
    "E1": unknown_user,
    "E2": user_in_no_role_of_the_service,
    "E3": suspended_user,
    "E4": another_suppliers_device,
    "E5": device_that_is_not_commissioned,
    "E11": activation_of_a_ppmid,
    "E12": wrong_variant,
    "E13": wrong_service,
    "E19": unknown_device,
    "E080201": unknown_premises,
    "E20": hub_out_of_reach,
    "E21": silent_device,
    "E30": future_dated_and_never_heard_of_again,
    "I0": succeeded,
    "I99": accepted,
}


@pytest.mark.parametrize("code", REACHED)
def test_response_code(code):
    """Each in the way that its entry in the table is named for."""
    assert code == REACHED[code]().code


def why(case: Case) -> Reason | None:
    (event,) = [e for e in case.desk.events if isinstance(e, Requested)][-1:]
    return event.refusal and event.refusal.reason


def not_on_cpl(case: Case, srv: str):
    return case.distribute(srv)


def other_hash(case: Case, srv: str):
    case.put(CplStatus.ACTIVE, NO_HASH)
    return case.distribute(srv)


def no_valid_device(case: Case, srv: str):
    return case.publish().distribute(srv, NOBODY, case.home.esme if srv == "11.4" else case.home.ppmid)


def malformed(case: Case, srv: str):
    kind = duis.UpdatePpmidFirmware if srv == "11.4" else duis.UpdateFirmware
    return case.desk.ask(Service.NON_DEVICE, kind(b"no image at all", NEW, (case.home.ppmid,)))


def without_signature(case: Case, srv: str):
    return case.publish().distribute(srv, image=case.hcalcs)


def partly(case: Case, srv: str):
    own = case.home.ppmid if srv == "11.4" else case.home.hcalcs
    return case.publish().distribute(srv, own, NOBODY)


DISTRIBUTION = {
    "E110101": ("11.1", not_on_cpl, Reason.VERSION_NOT_ON_CPL),
    "E110102": ("11.1", other_hash, Reason.HASH_NOT_ON_CPL),
    "E110103": ("11.1", no_valid_device, Reason.NO_VALID_DEVICE),
    "E110105": ("11.1", malformed, Reason.IMAGE_MALFORMED),
    "E110106": ("11.1", without_signature, Reason.SIGNATURE_MISSING),
    "W110101": ("11.1", partly, None),
    "E110401": ("11.4", not_on_cpl, Reason.VERSION_NOT_ON_CPL),
    "E110402": ("11.4", other_hash, Reason.HASH_NOT_ON_CPL),
    "E110403": ("11.4", no_valid_device, Reason.NO_VALID_DEVICE),
    "E110405": ("11.4", malformed, Reason.IMAGE_MALFORMED),
    "W110401": ("11.4", partly, None),
}


@pytest.mark.parametrize("code", DISTRIBUTION)
def test_distribution_code(code):
    """Each with the reason that the DCC's own event names."""
    srv, ask, reason = DISTRIBUTION[code]
    case = Case()
    assert code == ask(case, srv).code
    assert reason is why(case)
    assert bool(case.dcc.open) == (reason is None)


@pytest.mark.parametrize("srv", ["11.1", "11.4"])
@pytest.mark.parametrize("status", [status for status in CplStatus if status is not CplStatus.ACTIVE])
def test_only_an_active_entry_of_the_cpl_admits_an_update(srv, status):
    case = Case()
    case.put(status)
    assert {"11.1": "E110101", "11.4": "E110401"}[srv] == case.distribute(srv).code
    assert Reason.VERSION_NOT_ACTIVE is why(case)


# Warnings


def foreign(case: Case, device: Eui64):
    case.change(device, import_supplier=NOBODY, gas_supplier=NOBODY)


def suspended(case: Case, device: Eui64):
    case.change(device, status=DeviceStatus.SUSPENDED)


def of_another_model(case: Case, device: Eui64):
    case.change(device, model=replace(case.dcc.inventory.entry(device).model, hardware=1))


def off_the_upgrade_path(case: Case, device: Eui64):
    case.change(device, firmware=FirmwareVersion(0x0050_0000))


def being_updated(case: Case, device: Eui64):
    case.distribute("11.4" if case.dcc.inventory.entry(device).type is DeviceType.PPMID else "11.1", device)


def of_an_old_gbcs_version(case: Case, device: Eui64):
    case.change(device, gbcs_version="3.2")


def behind_an_old_hub(case: Case, device: Eui64):
    case.change(case.dcc.inventory.entry(device).hub, gbcs_version="3.10")


LISTS = [
    ("InvalidDeviceIDList", "invalid", foreign),
    ("NotCommissionedDeviceIDList", "not_commissioned", suspended),
    ("NotApplicableFirmwareDeviceIDList", "not_applicable", of_another_model),
    ("NotApplicableFirmwareDeviceIDList", "not_applicable", off_the_upgrade_path),
    ("OtherRequestInProgressList", "other_request", being_updated),
    ("InvalidGBCSVersionList", "invalid_gbcs_version", of_an_old_gbcs_version),
    ("InvalidGBCSVersionList", "invalid_gbcs_version", behind_an_old_hub),
]


@pytest.mark.parametrize("code", ["W110101", "W110401"])
@pytest.mark.parametrize(
    ("field", "spoil"), [(f, s) for _, f, s in LISTS], ids=[f"{n}-{s.__name__}" for n, _, s in LISTS]
)
def test_warning_list(code, field, spoil):
    """One Device is left out and named in this list alone; the other gets its image."""
    case = Case(homes=2).publish()
    kind, which, srv = {
        "W110401": (DeviceType.PPMID, "ppmid", "11.4"),
        "W110101": (DeviceType.HCALCS, "hcalcs", "11.1"),
    }[code]
    published = case.ppmid if kind is DeviceType.PPMID else case.hcalcs
    path = frozenset({case.dcc.inventory.entry(case.home.hub).firmware})
    case.dcc.products.put(Product(MAKES[kind].model, NEW, published.hash, after=path))
    good, bad = (getattr(home, which) for home in case.lab.homes)
    spoil(case, bad)
    answer = case.distribute(srv, good, bad)
    lists = dict.fromkeys(
        ("invalid", "not_commissioned", "not_applicable", "other_request", "invalid_gbcs_version"), ()
    )
    assert code == answer.code
    assert duis.FirmwareWarning(**{**lists, field: (bad,)}, ppmid=srv == "11.4") == answer.body.payload
    assert case.dcc._deliveries.in_progress(good)


def test_a_meter_needs_no_capable_hub():
    case = Case()
    esme = case.dcc.inventory.entry(case.home.esme)
    behind_an_old_hub(case, case.home.esme)
    model = Product(esme.model, NEW, NO_HASH)
    assert case.dcc._judge._objection(esme, model) is None
    hcalcs = case.dcc.inventory.entry(case.home.hcalcs)
    assert case.dcc._judge._objection(hcalcs, model).value == "InvalidGBCSVersionList"


@pytest.mark.parametrize("status", DeviceStatus)
def test_only_a_commissioned_device_takes_part_in_an_update(status):
    case = Case().publish()
    case.change(case.home.ppmid, status=status)
    expected = "I99" if status is DeviceStatus.COMMISSIONED else "E110403"
    assert expected == case.distribute("11.4").code


# Registration


@pytest.mark.parametrize(
    ("role", "kind", "code"),
    [
        (UserRole.IMPORT_SUPPLIER, "ppmid", "I99"),
        (UserRole.GAS_SUPPLIER, "ppmid", "E110403"),
        (UserRole.IMPORT_SUPPLIER, "hcalcs", "I99"),
        (UserRole.GAS_SUPPLIER, "hcalcs", "E110103"),
    ],
)
def test_an_import_supplier_acts_in_the_role_that_it_is_registered_in(role, kind, code):
    """The party is the home's Import Supplier; as a Gas Supplier it has nothing to say there."""
    case = Case().publish().register(roles=frozenset({role}))
    assert code == case.distribute("11.4" if kind == "ppmid" else "11.1").code


@pytest.mark.parametrize(("side", "code"), [("import_supplier", "I99"), ("gas_supplier", "I99")])
def test_either_supplier_of_a_ppmid_may_update_it(side, code):
    case = Case().publish()
    other = {"import_supplier": "gas_supplier", "gas_supplier": "import_supplier"}[side]
    case.change(case.home.ppmid, **{side: SUPPLIER, other: NOBODY})
    assert code == case.distribute("11.4").code


def test_the_gas_supplier_may_not_update_an_hcalcs_even_alone():
    case = Case().publish()
    case.change(case.home.hcalcs, import_supplier=None, gas_supplier=SUPPLIER)
    assert case.distribute("11.1").code == "E110103"


def test_a_network_operator_may_read_a_version_and_no_more():
    case = Case().publish().register(roles=frozenset({UserRole.NETWORK_OPERATOR}))
    assert ["I99", "E2", "E2"] == [case.read().code, case.transform().code, case.distribute("11.1").code]


# Size


def test_a_list_of_50_000_devices_is_answered_at_once():
    """One image for each hub, one answer that names who was left out, and N59 for the other Supplier."""
    case = Case().publish()
    inventory = case.dcc.inventory
    like = inventory.entry(case.home.ppmid)
    hub = inventory.entry(case.home.hub)
    devices = []
    for number in range(50_000):
        base = 0x0300_0000_0000_0000 + 2 * number
        inventory.add(replace(hub, device=Eui64.of(base), hub=Eui64.of(base)))
        status = DeviceStatus.SUSPENDED if number % 10 == 0 else DeviceStatus.COMMISSIONED
        inventory.add(replace(like, device=Eui64.of(base + 1), hub=Eui64.of(base), status=status))
        devices.append(Eui64.of(base + 1))
    body = duis.UpdatePpmidFirmware(images.encode(case.ppmid), NEW, tuple(devices))
    octets = signed_request(case.desk.ring, duis.Request(case.desk.next_id(ACB), body))
    answer, step = case.dcc.request(Service.NON_DEVICE, octets, case.desk.now)
    opened = case.desk.open(answer)
    assert ("W110401", 5_000) == (opened.code, len(opened.body.payload.not_commissioned))
    assert 45_000 + 1 == len(step.send)
    assert 45_000 == case.dcc.open


def test_one_device_more_than_50_000_is_refused():
    case = Case(limits=Limits(max_devices=2), homes=3).publish()
    assert case.distribute("11.4", *(home.ppmid for home in case.lab.homes)).code == "E110405"
    assert Reason.IMAGE_TOO_LARGE is why(case)
