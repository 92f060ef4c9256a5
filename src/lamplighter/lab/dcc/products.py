"""The Central Products List: which firmware may run on which hardware, and by what hash it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamplighter.protocol.duis import CplStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamplighter.kit import FirmwareVersion, ImageHash


@dataclass(frozen=True, slots=True)
class Model:
    """A Device model as the CPL and the SMI name it."""

    manufacturer: int
    """Zigbee manufacturer code, 16 bits; four hex digits in DUIS."""
    model: int
    """Model identifier, 16 bits: the first four hex digits of DUIS DeviceModel."""
    hardware: int
    """Hardware version and revision octet, 16 bits: the last four hex digits of DUIS DeviceModel."""


@dataclass(frozen=True, slots=True)
class Product:
    """One entry: this firmware on this model."""

    model: Model
    """The hardware on which it may run."""
    version: FirmwareVersion
    """The OTA file version."""
    hash: ImageHash
    """Manufacturer Image Hash, as the manufacturer submitted it."""
    status: CplStatus = CplStatus.ACTIVE
    """Only an active entry admits an update."""
    after: frozenset[FirmwareVersion] | None = None
    """The upgrade path: the versions that it may come after; None: any."""

    def may_follow(self, version: FirmwareVersion) -> bool:
        """Whether a Device that runs `version` may be updated to this one."""
        return self.after is None or version in self.after


class ProductsList:
    """The entries, found by what a request names."""

    __slots__ = ("_by_version",)

    def __init__(self, products: Iterable[Product] = ()) -> None:
        self._by_version: dict[FirmwareVersion, dict[Model, Product]] = {}
        for product in products:
            self.put(product)

    def __iter__(self) -> Iterator[Product]:
        return (product for products in self._by_version.values() for product in products.values())

    def put(self, product: Product) -> None:
        """Enter a product, in place of an earlier entry for the same model and version."""
        self._by_version.setdefault(product.version, {})[product.model] = product

    def of(self, manufacturer: int, version: FirmwareVersion) -> tuple[Product, ...]:
        """The entries of a manufacturer's version, whatever their status."""
        return tuple(
            product
            for product in self._by_version.get(version, {}).values()
            if product.model.manufacturer == manufacturer
        )

    def find(self, model: Model, version: FirmwareVersion) -> Product | None:
        """The entry of a version on a model, whatever its status."""
        return self._by_version.get(version, {}).get(model)

    def admits(self, model: Model, version: FirmwareVersion, image_hash: ImageHash) -> bool:
        """Whether this very image may be put on this model now."""
        product = self.find(model, version)
        return product is not None and (product.status, product.hash) == (CplStatus.ACTIVE, image_hash)
