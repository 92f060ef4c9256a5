"""Homes to rehearse on: hubs, their Devices, and the DCC that knows them, all from one seed.

Without an `Estate` all homes are alike: a PPMID and an HCALCS behind a capable hub, and an ESME in the
inventory off which the HCALCS hangs; that one is not emulated and answers nothing. An `Estate` describes a
mix, as there is out there: regions, hubs before and after their own upgrade, old hardware, meters, two
Suppliers, displays that sleep, and radio links good and bad. One manufacturer makes all Devices, and its key
seals their firmware.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, UsageError
from lamplighter.kit.instant import HOUR, MINUTE, from_iso
from lamplighter.lab import han, hub
from lamplighter.lab.dcc import Dcc, Entry, Inventory, Model, Product, ProductsList, User
from lamplighter.lab.dcc.postman import Postman, PostmanSettings
from lamplighter.lab.devices import Esme, Flash, Gsme, Hcalcs, Ihd, Maker, Nameplate, Ppmid, Schedule
from lamplighter.lab.dice import Dice
from lamplighter.lab.faults import Mischief, another_hub
from lamplighter.lab.han import Han, Quality
from lamplighter.lab.house import House
from lamplighter.lab.hub import Activation, Hub
from lamplighter.lab.pki import Pki
from lamplighter.lab.wan import LINKS, Link, Wan
from lamplighter.lab.world import World
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType
from lamplighter.protocol.smki import PrivateKey, Ring, Role, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamplighter.kit import Instant
    from lamplighter.lab import dcc
    from lamplighter.lab.dice import Stream
    from lamplighter.lab.faults import Scheduled
    from lamplighter.lab.house import Node

# Organisations have EUI-64s out of the block for documentation (RFC 9542), Devices locally administered ones.
ACB: Final = Eui64.of(0x0000_5EEF_1000_0004)
SUPPLIER: Final = Eui64.of(0x0000_5EEF_1000_0002)
GAS_SUPPLIER: Final = Eui64.of(0x0000_5EEF_1000_0012)
MANUFACTURER: Final = Eui64.of(0x0000_5EEF_1000_007F)

START: Final = from_iso("2026-01-12T09:00:00Z")
GBCS_VERSION: Final = "4.2"
OLD_GBCS_VERSION: Final = "3.2"  # of a hub before its own upgrade, where the DCC knows of it
FACTORY_VERSION: Final = FirmwareVersion(0x0100_0000)

_DEVICE_BLOCK: Final = 0x0200_0000_0000_0000  # the bit of local administration
_HOME_STEP: Final = 0x10
_KINDS: Final = (
    DeviceType.CHF,
    DeviceType.PPMID,
    DeviceType.HCALCS,
    DeviceType.ESME,
    DeviceType.GSME,
    DeviceType.IHD,
)
_OLD_HARDWARE_STEP: Final = 0x0010  # by which the hardware version of old Devices lies below
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
    DeviceType.ESME: Make(Model(0x121D, 0x0001, 0x1111), 0x0001),
    DeviceType.GSME: Make(Model(0x121D, 0x0002, 0x1111), 0x0002),
    DeviceType.IHD: Make(Model(0x121D, 0x0003, 0x1111), 0x0003),
    DeviceType.CHF: Make(Model(0x121D, 0x0010, 0x0100), 0x0010),
}


@dataclass(frozen=True, slots=True)
class Estate:
    """A mix of homes; each home is drawn from it by dice of its own. All figures are assumptions."""

    regions: Mapping[CspRegion, float] = field(
        default_factory=lambda: {
            CspRegion.NORTH: 0.25,
            CspRegion.CENTRAL: 0.25,
            CspRegion.SOUTH: 0.25,
            CspRegion.NORTH_4G: 0.05,
            CspRegion.CENTRAL_4G: 0.1,
            CspRegion.SOUTH_4G: 0.1,
        }
    )
    """How many homes lie in each region, by weight."""
    links: Mapping[CspRegion, Link] = field(default_factory=lambda: LINKS)
    """The WAN in each region."""
    incapable_hubs: float = 0.1
    """The share of hubs whose own firmware cannot update PPMIDs and HCALCSs."""
    known_incapable: float = 0.5
    """The share of those that the inventory knows by an old GBCS version: the DCC leaves their Devices out
    (InvalidGBCSVersionList). Of the others only the hub itself knows, and refuses the image (N61)."""
    hub: hub.Settings = field(default_factory=hub.Settings)
    """What kind of hub they all are."""
    old_hardware: float = 0.1
    """The share of PPMIDs and HCALCSs of an older hardware version, for which today's images are not."""
    unknown_hardware: float = 0.0
    """The share of the other PPMIDs and HCALCSs that are of that older hardware, and entered in the inventory
    as today's: the DCC accepts them, and the hub finds out (CCS08 code 2)."""
    meters: bool = True
    """Whether ESMEs are emulated, and not in the inventory only."""
    gas: float = 0.8
    """The share of homes with a GSME, and with the Gas Supplier."""
    ihds: float = 0.5
    """The share of homes that have an IHD beside the PPMID."""
    other_gas_supplier: float = 0.3
    """The share of those with gas whose Gas Supplier is not their Import Supplier."""
    other_import_supplier: float = 0.0
    """The share of homes whose Import Supplier is the other of the two."""
    sleepers: float = 0.2
    """The share of PPMIDs whose radio is on in windows only."""
    ppmid_windows: Schedule = field(default_factory=lambda: Schedule(6 * HOUR, 1 * MINUTE))
    """When those are awake; each has a phase of its own."""
    gsme_windows: Schedule = field(default_factory=lambda: Schedule(HOUR // 2, 1 * MINUTE))
    """When GSMEs are, for they run on batteries; likewise."""
    weak_links: float = 0.1
    """The share of Devices that hear their hub badly."""
    good: Quality = field(default_factory=lambda: Quality(loss=0.001, duplication=0.0005, lateness=0.002))
    """How well the others hear it."""
    weak: Quality = field(default_factory=lambda: Quality(loss=0.03, duplication=0.01, lateness=0.05))
    """How badly."""
    interference: han.Interference = field(default_factory=han.Interference)
    """What comes over a whole HAN now and then."""


@dataclass(frozen=True, slots=True)
class Home:
    """The Devices of one home."""

    hub: Eui64
    """Its Communications Hub, whose CHF has the same id; a swapped hub has another."""
    ppmid: Eui64
    """Its in-home display."""
    hcalcs: Eui64
    """Its load control switch."""
    esme: Eui64
    """Its electricity meter, without an `Estate` in the inventory only."""
    gsme: Eui64 | None = None
    """Its gas meter, if it has one."""
    ihd: Eui64 | None = None
    """Its plain display, if it has one."""
    region: CspRegion = CspRegion.NORTH
    """Whose WAN it is on."""


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
    mischief: Mischief
    """What goes wrong in it."""

    @property
    def manufacturer(self) -> PrivateKey:
        """The key that seals the firmware of all Devices: `image.seal(payload, lab.manufacturer)`."""
        return _manufacturer(self.pki)

    def build_firmware(
        self,
        kind: DeviceType,
        version: FirmwareVersion,
        payload: bytes,
        *,
        hardware: tuple[int, int] | None = None,
    ) -> images.Image:
        """Firmware as the manufacturer builds it now: with the faults that it suffers from now."""
        line = self.mischief.behaviour(kind.value, self.world.now).line
        return build_firmware(self.pki, kind, version, line + payload, hardware=hardware)

    def publish(self, image: images.Image) -> None:
        """The manufacturer submits an image: it vouches for it, and it goes onto the CPL.

        An image without a seal inside gets a detached one, which all Devices know at once.
        """
        manufacturer_image = image.manufacturer_image
        if not images.is_sealed(manufacturer_image):
            self.detached[image.hash] = images.seal_detached(manufacturer_image, self.manufacturer)
        header = image.header
        for kind, make in MAKES.items():
            if (make.model.manufacturer, make.image_type) == (header.manufacturer, header.image_type):
                known_as = self.mischief.submitted(kind.value, image.hash, self.world.now)
                for model in (make.model, older(make.model)):
                    if header.accepts_hardware(model.hardware) or model == make.model:
                        self.world.dcc.products.put(Product(model, header.file_version, known_as))
                return
        raise UsageError(
            f"no Device of this lab is of manufacturer {header.manufacturer:04X} "
            f"and image type {header.image_type:04X}"
        )


def build_firmware(
    pki: Pki,
    kind: DeviceType,
    version: FirmwareVersion,
    payload: bytes,
    *,
    hardware: tuple[int, int] | None = None,
) -> images.Image:
    """A sealed image in layout 11.4 for the Devices of one type; `sign_supplier` makes it one of 11.1.

    hardware  the lowest and highest hardware version that it is for; None: that of today
    """
    make = MAKES[kind]
    lowest, highest = hardware or (make.model.hardware, make.model.hardware)
    return images.build(
        images.seal(payload, _manufacturer(pki)),
        manufacturer=make.model.manufacturer,
        image_type=make.image_type,
        file_version=version,
        minimum_hardware=lowest,
        maximum_hardware=highest,
        text=f"Lamplighter {kind.value} {version}".encode(),
    )


def build_world(
    seed: str,
    homes: int = 1,
    *,
    start: Instant = START,
    estate: Estate | None = None,
    faults: Iterable[Scheduled] = (),
    link: Link | None = None,
    quality: han.Settings | None = None,
    post: PostmanSettings | None = None,
    dcc_settings: dcc.Settings | None = None,
    record: bool = True,
    keep: int | None = None,
) -> Lab:
    """A world of so many homes, in which every Device runs its factory firmware.

    estate   what mix of homes; None: all alike
    faults   what goes wrong
    link     the WAN, where the estate has no other
    quality  the HANs, where there is no estate
    post     how messages leave the DCC
    record   whether frames and events are written down, and of the latest so many (`keep`; None: all)
    """
    pki, dice = Pki(seed), Dice(seed)
    detached: dict[ImageHash, bytes] = {}
    maker = Maker(_manufacturer(pki).certificate.public_key, detached)
    builder = _Builder(pki, dice, maker, estate, quality)
    built = [builder.home(number) for number in range(homes)]
    entries = [entry for each in built for entry in each.entries]
    suppliers = (SUPPLIER, GAS_SUPPLIER)
    everyone = [entry.device for entry in entries]
    center = Dcc(
        ACB,
        pki.acb(ACB, suppliers, (*everyone, *(another_hub(each.home.hub) for each in built))),
        map(User, suppliers),
        Inventory(entries),
        ProductsList(builder.factory_products()),
        dcc_settings,
    )
    region_of = {each.home.hub: each.home.region for each in built}
    mischief = Mischief(
        faults,
        dice,
        {name: region.value for old, region in region_of.items() for name in (old, another_hub(old))},
    )
    world = World(
        center,
        [each.house for each in built],
        start=start,
        wan=_wan(link or Link(), region_of, estate, dice),
        mischief=mischief if mischief.scheduled else None,
        postman=Postman(post, dice.stream("post")),
        record=record,
        keep=keep,
    )
    ring = pki.supplier(SUPPLIER, ACB, everyone)
    return Lab(world, tuple(each.home for each in built), pki, ring, maker, detached, mischief)


def _wan(link: Link, region_of: Mapping[Eui64, CspRegion], estate: Estate | None, dice: Dice) -> Wan:
    if estate is None:
        return Wan(link)
    links = {hub: estate.links.get(region, link) for hub, region in region_of.items()}
    uncovered = frozenset(
        hub for hub, its in links.items() if not dice.stream("coverage", hub).chance(its.coverage)
    )
    both = {name: its for old, its in links.items() for name in (old, another_hub(old))}
    return Wan(next(iter(links.values()), link), both, dice, uncovered)


class _Built(NamedTuple):
    """One home, as everybody knows it."""

    home: Home
    house: House
    entries: tuple[Entry, ...]


class _Builder:
    """Makes homes, one after the other; what all have in common is made once."""

    def __init__(
        self, pki: Pki, dice: Dice, maker: Maker, estate: Estate | None, quality: han.Settings | None
    ) -> None:
        self._pki = pki
        self._dice = dice
        self._maker = maker
        self._estate = estate
        self._quality = quality or (
            None if estate is None else han.Settings(estate.good, estate.interference)
        )
        self._factory: dict[Model, tuple[images.Image, bytes]] = {}

    def factory_products(self) -> Iterable[Product]:
        """What the CPL has of the firmware with which Devices leave the factory."""
        for kind in (DeviceType.PPMID, DeviceType.HCALCS):
            self._firmware(kind, MAKES[kind].model)
        return [Product(model, FACTORY_VERSION, image.hash) for model, (image, _) in self._factory.items()]

    def home(self, number: int) -> _Built:
        """The home of this number."""
        base = _DEVICE_BLOCK + (number + 1) * _HOME_STEP
        ids = dict(zip(_KINDS, (Eui64.of(base + offset) for offset in range(len(_KINDS))), strict=True))
        drawn = self._draw(number)
        kinds = [kind for kind in _KINDS if kind not in drawn.without]
        home = Home(
            ids[DeviceType.CHF],
            ids[DeviceType.PPMID],
            ids[DeviceType.HCALCS],
            ids[DeviceType.ESME],
            gsme=ids[DeviceType.GSME] if DeviceType.GSME in kinds else None,
            ihd=ids[DeviceType.IHD] if DeviceType.IHD in kinds else None,
            region=drawn.region,
        )
        models = {kind: drawn.models.get(kind, MAKES[kind].model) for kind in kinds}
        entries = tuple(
            Entry(
                ids[kind],
                kind,
                home.hub,
                models[kind],
                FACTORY_VERSION,
                DeviceStatus.COMMISSIONED,
                drawn.gbcs_version if kind is DeviceType.CHF else GBCS_VERSION,
                drawn.region,
                drawn.import_supplier,
                drawn.gas_supplier,
            )
            for kind in kinds
        )
        devices = {ids[kind]: kind for kind in kinds if kind is not DeviceType.CHF}
        if self._estate is None or not self._estate.meters:
            del devices[home.esme]
        another = partial(self._hub, devices, drawn)
        nodes: dict[Eui64, Node] = {home.hub: another(home.hub)}
        for device, kind in devices.items():
            true = older(models[kind]) if kind in drawn.mistaken else models[kind]
            nodes[device] = self._device(device, kind, true, home.hub, drawn)
        network = Han(home.hub, self._dice, self._quality, drawn.qualities(devices))
        return _Built(home, House(home.hub, nodes, network, another), entries)

    def _draw(self, number: int) -> _Drawn:
        if self._estate is None:
            return _Drawn(
                _REGIONS[number % len(_REGIONS)], SUPPLIER, GAS_SUPPLIER, without=_NOT_IN_PLAIN_HOMES
            )
        return _drawn(self._estate, self._dice.stream("home", number))

    def _hub(self, devices: Mapping[Eui64, DeviceType], drawn: _Drawn, eui64: Eui64) -> Hub:
        return Hub(
            eui64,
            self._pki.signer(eui64),
            acb=ACB,
            devices={device: _ACTIVATIONS[kind] for device, kind in devices.items() if kind in _ACTIVATIONS},
            capable=drawn.capable,
            settings=None if self._estate is None else self._estate.hub,
        )

    def _device(self, device: Eui64, kind: DeviceType, model: Model, at_hub: Eui64, drawn: _Drawn) -> Node:
        if kind is DeviceType.IHD:
            return Ihd(device)
        plate = Nameplate(device, model.manufacturer, MAKES[kind].image_type, model.hardware)
        flash = Flash.factory(self._firmware(kind, model)[1])
        awake = drawn.awake.get(kind)
        if kind is DeviceType.PPMID:
            ring = self._pki.device(device, ACB)
            return Ppmid(plate, flash, self._maker, ring, hub=at_hub, acb=ACB, awake=awake)
        supplier = drawn.gas_supplier if kind is DeviceType.GSME else drawn.import_supplier
        if supplier is None:
            raise UsageError(f"{device} is a {kind.value} and has no Supplier")
        machine: Any = {DeviceType.HCALCS: Hcalcs, DeviceType.ESME: Esme, DeviceType.GSME: Gsme}[kind]
        node: Node = machine(
            plate,
            flash,
            self._maker,
            self._pki.device(device, ACB, supplier),
            hub=at_hub,
            acb=ACB,
            supplier=supplier,
            awake=awake,
        )
        return node

    def _firmware(self, kind: DeviceType, model: Model) -> tuple[images.Image, bytes]:
        """The factory image of a model, built once, and its octets."""
        found = self._factory.get(model)
        if found is None:
            image = build_firmware(
                self._pki,
                kind,
                FACTORY_VERSION,
                b"factory firmware of a " + kind.value.encode(),
                hardware=(model.hardware, model.hardware),
            )
            found = self._factory[model] = image, images.encode(image)
        return found


_NOT_IN_PLAIN_HOMES: Final = frozenset({DeviceType.GSME, DeviceType.IHD})
_ACTIVATIONS: Final = {
    DeviceType.PPMID: Activation.AT_ONCE,
    DeviceType.HCALCS: Activation.ON_COMMAND,
    DeviceType.ESME: Activation.METER,
    DeviceType.GSME: Activation.METER,
}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What the dice say of one home."""

    region: CspRegion
    import_supplier: Eui64
    gas_supplier: Eui64 | None
    without: frozenset[DeviceType]
    capable: bool = True
    models: Mapping[DeviceType, Model] = field(default_factory=dict)
    awake: Mapping[DeviceType, Schedule] = field(default_factory=dict)
    weak: frozenset[DeviceType] = frozenset()
    weakness: Quality = field(default_factory=Quality)
    gbcs_version: str = GBCS_VERSION
    """Of the hub, as the inventory has it."""
    mistaken: frozenset[DeviceType] = frozenset()
    """Of whose hardware the inventory is wrong."""

    def qualities(self, devices: Mapping[Eui64, DeviceType]) -> dict[Eui64, Quality]:
        """The links that are not like the others."""
        return {device: self.weakness for device, kind in devices.items() if kind in self.weak}


def _drawn(estate: Estate, dice: Stream) -> _Drawn:
    """One home of the mix."""
    region = dice.weighted(tuple(estate.regions.items()))
    ours, other = SUPPLIER, GAS_SUPPLIER
    if dice.chance(estate.other_import_supplier):
        ours, other = other, ours
    gas, ihd = dice.chance(estate.gas), dice.chance(estate.ihds)
    shared = not dice.chance(estate.other_gas_supplier)
    awake = {DeviceType.GSME: _phased(estate.gsme_windows, dice)}
    sleeps = dice.chance(estate.sleepers)
    if sleeps:
        awake[DeviceType.PPMID] = _phased(estate.ppmid_windows, dice)
    old = [k for k in (DeviceType.PPMID, DeviceType.HCALCS) if dice.chance(estate.old_hardware)]
    absent = {DeviceType.GSME: not gas, DeviceType.IHD: not ihd}
    incapable = dice.chance(estate.incapable_hubs)
    weak = frozenset(kind for kind in _KINDS[1:] if dice.chance(estate.weak_links))
    known = dice.chance(estate.known_incapable)
    mistaken = [k for k in (DeviceType.PPMID, DeviceType.HCALCS) if dice.chance(estate.unknown_hardware)]
    return _Drawn(
        region,
        ours,
        (ours if shared else other) if gas else None,
        frozenset(kind for kind, is_absent in absent.items() if is_absent),
        not incapable,
        {kind: older(MAKES[kind].model) for kind in old},
        awake,
        weak,
        estate.weak,
        OLD_GBCS_VERSION if incapable and known else GBCS_VERSION,
        frozenset(mistaken).difference(old),
    )


def _phased(windows: Schedule, dice: Stream) -> Schedule:
    return Schedule(windows.period, windows.window, dice.integer(0, windows.period - 1))


def older(model: Model) -> Model:
    """The same model on the older hardware."""
    return Model(model.manufacturer, model.model, model.hardware - _OLD_HARDWARE_STEP)


def _manufacturer(pki: Pki) -> PrivateKey:
    return pki.issued(MANUFACTURER, Role.OTHER_USER, Use.DIGITAL_SIGNATURE)
