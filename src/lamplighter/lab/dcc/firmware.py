"""SRV 11.1 and 11.4: is the image on the CPL, and which of the Devices listed can have it.

Nothing here looks at the Supplier's signature on an 11.1 image: that is the Device's to check (8F72, 8F1C),
as the range of hardware versions in the OTA header is the hub's (CCS08).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from lamplighter.kit import DecodeError, VerificationError
from lamplighter.lab.dcc.refusals import Reason, Refusal
from lamplighter.protocol import duis, image
from lamplighter.protocol.duis import DeviceStatus, DeviceType
from lamplighter.protocol.image import Image, Layout

if TYPE_CHECKING:
    from lamplighter.kit import Eui64
    from lamplighter.lab.dcc.deliveries import Deliveries
    from lamplighter.lab.dcc.inventory import Entry, Inventory
    from lamplighter.lab.dcc.products import ProductsList

LAYOUTS: Final = {"11.1": Layout.SRV_11_1, "11.4": Layout.SRV_11_4}
_TYPES: Final = {
    "11.1": frozenset({DeviceType.ESME, DeviceType.GSME, DeviceType.HCALCS}),
    "11.4": frozenset({DeviceType.PPMID}),
}


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
    """The largest whole OTA file."""
    max_devices: int = 50_000
    """The longest list of Devices; the schema's 1,199,999 characters hold as many."""
    least_gbcs_version: str = "4.0"
    """The version from which a hub's Devices can be updated by 11.4; an assumption."""


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
        self, user: Eui64, srv: str, body: duis.UpdateFirmware | duis.UpdatePpmidFirmware
    ) -> Accepted | Refusal:
        """What becomes of a request of `user` to distribute an image."""
        if len(body.devices) > self._limits.max_devices:
            return Refusal(
                Reason.IMAGE_TOO_LARGE, f"{len(body.devices)} Devices, at most {self._limits.max_devices}"
            )
        found = self._image(srv, body)
        if isinstance(found, Refusal):
            return found
        products = self._products.of(found.header.manufacturer, body.version)
        if not products:
            return Refusal(
                Reason.VERSION_NOT_ON_CPL, f"{body.version} of manufacturer {found.header.manufacturer:04X}"
            )
        models = {product.model for product in products if product.hash == found.hash}
        if not models:
            return Refusal(
                Reason.HASH_NOT_ON_CPL,
                f"{found.hash}; the CPL has {', '.join(str(p.hash) for p in products)}",
            )
        entries: list[Entry] = []
        objections: dict[Objection, list[Eui64]] = {}
        for device in dict.fromkeys(body.devices):
            entry = self._inventory.find(device)
            if entry is None or entry.type not in _TYPES[srv] or user not in entry.suppliers:
                objections.setdefault(Objection.INVALID, []).append(device)
            elif (objection := self._objection(srv, entry, applicable=entry.model in models)) is not None:
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
            missing = layout is Layout.SRV_11_1 and image.guess_layout(body.image) is Layout.SRV_11_4
            return Refusal(Reason.SIGNATURE_MISSING if missing else Reason.IMAGE_MALFORMED, str(cause))
        except VerificationError as cause:
            large = cause.check == "image-size"
            return Refusal(Reason.IMAGE_TOO_LARGE if large else Reason.IMAGE_MALFORMED, str(cause))
        if found.header.file_version != body.version:
            return Refusal(Reason.VERSION_NOT_IN_IMAGE, f"{body.version}, not {found.header.file_version}")
        return found

    def _objection(self, srv: str, entry: Entry, *, applicable: bool) -> Objection | None:
        if entry.status is not DeviceStatus.COMMISSIONED:
            return Objection.NOT_COMMISSIONED
        if not applicable:
            return Objection.NOT_APPLICABLE
        if self._deliveries.in_progress(entry.device):
            return Objection.IN_PROGRESS
        least = _numbers(self._limits.least_gbcs_version)
        if srv == "11.4" and _numbers(entry.gbcs_version) < least:
            return Objection.GBCS_VERSION
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
