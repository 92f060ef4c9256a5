"""The manufacturer's mark of trust on its firmware, as its Devices check it.

A built image carries its seal inside. A published one carries none, so its detached seal is given to the
Device as part of what it trusts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lamplighter.kit import ImageHash, VerificationError
from lamplighter.protocol import image as images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Maker:
    """What a Device knows of its manufacturer."""

    public_key: EllipticCurvePublicKey
    """The key that seals firmware."""
    detached: Mapping[ImageHash, bytes] = field(default_factory=dict)
    """Detached seals, by the hash of the Manufacturer Image that they vouch for."""

    def verify(self, image: images.Image) -> None:
        """Raise `VerificationError` unless the manufacturer vouches for the image."""
        octets = image.manufacturer_image
        if images.is_sealed(octets):
            images.verify_seal(octets, self.public_key)
            return
        seal = self.detached.get(image.hash)
        if seal is None:
            raise VerificationError("manufacturer-seal", "a seal, inside the image or beside it", "none")
        images.verify_detached_seal(octets, seal, self.public_key)
