"""Homes to rehearse on: hubs with a PPMID and an HCALCS, and the DCC that knows them, from one seed.

Each home has an ESME in the inventory, off which its HCALCS hangs; the ESME itself is not emulated and
answers nothing. One manufacturer makes all Devices, and its key seals their firmware.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, UsageError
from lamplighter.kit.instant import from_iso
from lamplighter.lab.dcc import Dcc, Entry, Inventory, Model, Product, ProductsList, User
from lamplighter.lab.devices import Flash, Hcalcs, Maker, Nameplate, Ppmid
from lamplighter.lab.hub import Activation, Hub
from lamplighter.lab.pki import Pki
from lamplighter.lab.world import World
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType
from lamplighter.protocol.smki import PrivateKey, Ring, Role, Use

if TYPE_CHECKING:
    from lamplighter.kit import Instant
    from lamplighter.lab import dcc, world
    from lamplighter.lab.world import Node

# Organisations have EUI-64s out of the block for documentation (RFC 9542), Devices locally administered ones.
ACB: Final = Eui64.of(0x0000_5EEF_1000_0004)
SUPPLIER: Final = Eui64.of(0x0000_5EEF_1000_0002)
GAS_SUPPLIER: Final = Eui64.of(0x0000_5EEF_1000_0012)
MANUFACTURER: Final = Eui64.of(0x0000_5EEF_1000_007F)

START: Final = from_iso("2026-01-12T09:00:00Z")
GBCS_VERSION: Final = "4.2"
FACTORY_VERSION: Final = FirmwareVersion(0x0100_0000)

_DEVICE_BLOCK: Final = 0x0200_0000_0000_0000  # the bit of local administration
_HOME_STEP: Final = 0x10
_KINDS: Final = (DeviceType.CHF, DeviceType.PPMID, DeviceType.HCALCS, DeviceType.ESME)
_REGIONS: Final = (CspRegion.NORTH, CspRegion.CENTRAL_4G, CspRegion.SOUTH)


@dataclass(frozen=True, slots=True)
class Make:
    """What all Devices of one type have in common."""

    model: Model
    """As the CPL and the SMI name it."""
    image_type: int
    """OTA image type, u16."""


MAKES: Final = {
    # The PPMIDs can run the published PPMID image: manufacturer, image type and hardware are from there.
    DeviceType.PPMID: Make(Model(0x121D, 0x0084, 0x1111), 0x0084),
    DeviceType.HCALCS: Make(Model(0x121D, 0x0085, 0x1111), 0x0085),
    DeviceType.ESME: Make(Model(0x121D, 0x0001, 0x1111), 0x0000),
    DeviceType.CHF: Make(Model(0x121D, 0x0010, 0x0100), 0x0010),
}


@dataclass(frozen=True, slots=True)
class Home:
    """The Devices of one home."""

    hub: Eui64
    """Its Communications Hub, whose CHF has the same id."""
    ppmid: Eui64
    """Its in-home display."""
    hcalcs: Eui64
    """Its load control switch."""
    esme: Eui64
    """Its electricity meter, in the inventory only."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A world and the keys to it."""

    world: World
    """The world, powered on."""
    homes: tuple[Home, ...]
    """Its homes."""
    pki: Pki
    """Every key there is."""
    ring: Ring
    """What the Supplier knows: its private keys, and everybody's certificates."""
    maker: Maker
    """What Devices know of their manufacturer; `publish` adds detached seals to it."""
    detached: dict[ImageHash, bytes]
    """Those seals."""

    @property
    def manufacturer(self) -> PrivateKey:
        """The key that seals the firmware of all Devices: `image.seal(payload, lab.manufacturer)`."""
        return _manufacturer(self.pki)

    def publish(self, image: images.Image) -> None:
        """The manufacturer submits an image: it vouches for it, and it goes onto the CPL.

        An image without a seal inside gets a detached one, which all Devices know at once.
        """
        manufacturer_image = image.manufacturer_image
        if not images.is_sealed(manufacturer_image):
            self.detached[image.hash] = images.seal_detached(manufacturer_image, self.manufacturer)
        for make in MAKES.values():
            if (make.model.manufacturer, make.image_type) == (
                image.header.manufacturer,
                image.header.image_type,
            ):
                self.world.dcc.products.put(Product(make.model, image.header.file_version, image.hash))
                return
        raise UsageError(
            f"no Device of this lab is of manufacturer {image.header.manufacturer:04X} "
            f"and image type {image.header.image_type:04X}"
        )


def build_firmware(pki: Pki, kind: DeviceType, version: FirmwareVersion, payload: bytes) -> images.Image:
    """A sealed image in layout 11.4 for the Devices of one type; `sign_supplier` makes it one of 11.1."""
    make = MAKES[kind]
    return images.build(
        images.seal(payload, _manufacturer(pki)),
        manufacturer=make.model.manufacturer,
        image_type=make.image_type,
        file_version=version,
        minimum_hardware=make.model.hardware,
        maximum_hardware=make.model.hardware,
        text=f"Lamplighter {kind.value} {version}".encode(),
    )


def build_world(
    seed: str,
    homes: int = 1,
    *,
    start: Instant = START,
    world_settings: world.Settings | None = None,
    dcc_settings: dcc.Settings | None = None,
) -> Lab:
    """A world of so many homes, in which every Device runs its factory firmware."""
    pki = Pki(seed)
    built = tuple(_home(number) for number in range(homes))
    everyone = [device for home in built for device in (home.hub, home.ppmid, home.hcalcs, home.esme)]
    detached: dict[ImageHash, bytes] = {}
    maker = Maker(_manufacturer(pki).certificate.public_key, detached)
    factory = {
        kind: build_firmware(pki, kind, FACTORY_VERSION, b"factory firmware of a " + kind.value.encode())
        for kind in (DeviceType.PPMID, DeviceType.HCALCS)
    }
    products = ProductsList(
        Product(MAKES[kind].model, FACTORY_VERSION, image.hash) for kind, image in factory.items()
    )
    entries = (
        Entry(
            device,
            kind,
            home.hub,
            MAKES[kind].model,
            FACTORY_VERSION,
            DeviceStatus.COMMISSIONED,
            GBCS_VERSION,
            _REGIONS[number % len(_REGIONS)],
            SUPPLIER,
            GAS_SUPPLIER,
        )
        for number, home in enumerate(built)
        for kind, device in zip(_KINDS, (home.hub, home.ppmid, home.hcalcs, home.esme), strict=True)
    )
    suppliers = (SUPPLIER, GAS_SUPPLIER)
    center = Dcc(
        ACB,
        pki.acb(ACB, suppliers, everyone),
        map(User, suppliers),
        Inventory(entries),
        products,
        dcc_settings,
    )
    hubs: dict[Eui64, Node] = {}
    devices: dict[Eui64, Node] = {}
    for home in built:
        signer = pki.issued(home.hub, None, Use.DIGITAL_SIGNATURE)
        joined = {home.ppmid: Activation.AT_ONCE, home.hcalcs: Activation.ON_COMMAND}
        hubs[home.hub] = Hub(home.hub, signer, acb=ACB, devices=joined)
        devices[home.ppmid] = Ppmid(
            _plate(home.ppmid, DeviceType.PPMID),
            _flash(factory[DeviceType.PPMID]),
            maker,
            pki.device(home.ppmid, ACB),
            hub=home.hub,
            acb=ACB,
        )
        devices[home.hcalcs] = Hcalcs(
            _plate(home.hcalcs, DeviceType.HCALCS),
            _flash(factory[DeviceType.HCALCS]),
            maker,
            pki.device(home.hcalcs, ACB, SUPPLIER),
            hub=home.hub,
            acb=ACB,
            supplier=SUPPLIER,
        )
    powered = World(center, hubs, devices, start=start, settings=world_settings)
    return Lab(powered, built, pki, pki.supplier(SUPPLIER, ACB, everyone), maker, detached)


def _home(number: int) -> Home:
    base = _DEVICE_BLOCK + (number + 1) * _HOME_STEP
    return Home(*(Eui64.of(base + offset) for offset in range(len(_KINDS))))


def _plate(device: Eui64, kind: DeviceType) -> Nameplate:
    make = MAKES[kind]
    return Nameplate(device, make.model.manufacturer, make.image_type, make.model.hardware)


def _flash(image: images.Image) -> Flash:
    return Flash.factory(images.encode(image))


def _manufacturer(pki: Pki) -> PrivateKey:
    return pki.issued(MANUFACTURER, Role.OTHER_USER, Use.DIGITAL_SIGNATURE)
