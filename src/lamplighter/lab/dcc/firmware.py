"""SRV 11.1 and 11.4: is the image on the CPL, and which of the Devices listed can have it.

Nothing here looks at the Supplier's signature on an 11.1 image: that is the Device's to check (8F72, 8F1C),
as the range of hardware versions in the OTA header is the hub's (CCS08). An upgrade path that does not lead
from what a Device runs makes the firmware not applicable to it (assumed: no list is known to be for that).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final

from lamplighter.kit import DecodeError, VerificationError
from lamplighter.lab.dcc.access import is_responsible
from lamplighter.lab.dcc.refusals import Reason, Refusal
from lamplighter.protocol import duis, image
from lamplighter.protocol.duis import CplStatus, DeviceStatus, DeviceType
from lamplighter.protocol.image import Image, Layout

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.dcc.access import User
    from lamplighter.lab.dcc.deliveries import Deliveries
    from lamplighter.lab.dcc.inventory import Entry, Inventory
    from lamplighter.lab.dcc.products import Model, Product, ProductsList

LAYOUTS: Final = {"11.1": Layout.SRV_11_1, "11.4": Layout.SRV_11_4}
_TYPES: Final = {
    "11.1": frozenset({DeviceType.ESME, DeviceType.GSME, DeviceType.HCALCS}),
    "11.4": frozenset({DeviceType.PPMID}),
}
_NEEDS_A_CAPABLE_HUB: Final = frozenset({DeviceType.PPMID, DeviceType.HCALCS})


class Objection(Enum):
    """Why one Device is left out: the five lists of the warning."""

    INVALID = "InvalidDeviceIDList"
    NOT_COMMISSIONED = "NotCommissionedDeviceIDList"
    NOT_APPLICABLE = "NotApplicableFirmwareDeviceIDList"
    IN_PROGRESS = "OtherRequestInProgressList"
    GBCS_VERSION = "InvalidGBCSVersionList"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the network carries; public memory, so settings."""

    max_image_octets: int = image.MAX_IMAGE_OCTETS
    """The largest whole OTA file, as is said in practice; an assumption."""
    max_devices: int = 50_000
    """The longest list of Devices; the schema's 1,199,999 characters hold as many."""
    least_gbcs_version: str = "4.0"
    """The GBCS version that a PPMID or HCALCS and its hub must have; an assumption."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that goes out, to some Devices at least."""

    image: Image
    """The image as it was read."""
    entries: tuple[Entry, ...]
    """The Devices that are to have it, in the order of the request, each once."""
    objections: dict[Objection, tuple[Eui64, ...]]
    """The Devices left out, by reason; empty: accepted for all."""


class Judge:
    """The rules of both services, over the inventory, the CPL and what is under way."""

    __slots__ = ("_deliveries", "_inventory", "_limits", "_products")

    def __init__(
        self, inventory: Inventory, products: ProductsList, deliveries: Deliveries, limits: Limits
    ) -> None:
        self._inventory = inventory
        self._products = products
        self._deliveries = deliveries
        self._limits = limits

    def judge(
        self, user: User, srv: str, body: duis.UpdateFirmware | duis.UpdatePpmidFirmware
    ) -> Accepted | Refusal:
        """What becomes of a request of `user` to distribute an image."""
        if len(body.devices) > self._limits.max_devices:
            return Refusal(
                Reason.IMAGE_TOO_LARGE, f"{len(body.devices)} Devices, at most {self._limits.max_devices}"
            )
        found = self._image(srv, body)
        if isinstance(found, Refusal):
            return found
        models = self._models(found, body.version)
        if isinstance(models, Refusal):
            return models
        entries: list[Entry] = []
        objections: dict[Objection, list[Eui64]] = {}
        for device in dict.fromkeys(body.devices):
            entry = self._inventory.find(device)
            if entry is None or entry.type not in _TYPES[srv] or not is_responsible(user, entry):
                objections.setdefault(Objection.INVALID, []).append(device)
            elif (objection := self._objection(entry, models.get(entry.model))) is not None:
                objections.setdefault(objection, []).append(device)
            else:
                entries.append(entry)
        if not entries:
            said = ", ".join(f"{objection.value} {len(left)}" for objection, left in objections.items())
            return Refusal(Reason.NO_VALID_DEVICE, said)
        return Accepted(found, tuple(entries), {why: tuple(left) for why, left in objections.items()})

    def _image(self, srv: str, body: duis.UpdateFirmware | duis.UpdatePpmidFirmware) -> Image | Refusal:
        layout = LAYOUTS[srv]
        try:
            found = image.decode(body.image, layout)
            image.check(found, layout=layout, max_image_octets=self._limits.max_image_octets)
        except DecodeError as cause:
            missing = layout is Layout.SRV_11_1 and _is_unsigned(body.image)
            return Refusal(Reason.SIGNATURE_MISSING if missing else Reason.IMAGE_MALFORMED, str(cause))
        except VerificationError as cause:
            large = cause.check == "image-size"
            return Refusal(Reason.IMAGE_TOO_LARGE if large else Reason.IMAGE_MALFORMED, str(cause))
        if found.header.file_version != body.version:
            return Refusal(Reason.VERSION_NOT_IN_IMAGE, f"{body.version}, not {found.header.file_version}")
        return found

    def _models(self, found: Image, version: FirmwareVersion) -> dict[Model, Product] | Refusal:
        """The models that the CPL has this very image for."""
        manufacturer = found.header.manufacturer
        products = self._products.of(manufacturer, version)
        if not products:
            return Refusal(Reason.VERSION_NOT_ON_CPL, f"{version} of manufacturer {manufacturer:04X}")
        active = [product for product in products if product.status is CplStatus.ACTIVE]
        if not active:
            said = ", ".join(product.status.value for product in products)
            return Refusal(Reason.VERSION_NOT_ACTIVE, f"{version} of manufacturer {manufacturer:04X}: {said}")
        models = {product.model: product for product in active if product.hash == found.hash}
        if not models:
            said = ", ".join(str(product.hash) for product in active)
            return Refusal(Reason.HASH_NOT_ON_CPL, f"{found.hash}; the CPL has {said}")
        return models

    def _objection(self, entry: Entry, product: Product | None) -> Objection | None:
        if entry.status is not DeviceStatus.COMMISSIONED:
            return Objection.NOT_COMMISSIONED
        if product is None or not product.may_follow(entry.firmware):
            return Objection.NOT_APPLICABLE
        if self._deliveries.in_progress(entry.device):
            return Objection.IN_PROGRESS
        if entry.type in _NEEDS_A_CAPABLE_HUB and not self._is_capable(entry):
            return Objection.GBCS_VERSION
        return None

    def _is_capable(self, entry: Entry) -> bool:
        hub = self._inventory.find(entry.hub)
        least = numbers_of(self._limits.least_gbcs_version)
        return min(numbers_of(each.gbcs_version) for each in (entry, hub) if each is not None) >= least


def _is_unsigned(octets: bytes) -> bool:
    """Whether an image is sound but for the Supplier's signature, which it lacks."""
    try:
        image.decode(octets, Layout.SRV_11_4)
    except DecodeError:
        return False
    return True


@cache
def numbers_of(version: str) -> tuple[int, ...]:
    """A GBCS version as what orders it: `4.10` comes after `4.2`."""
    return tuple(int(part) for part in version.split("."))
