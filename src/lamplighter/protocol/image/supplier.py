"""The Supplier's signature on an image for SRV 11.1: ECDSA P-256/SHA-256 over the Manufacturer Image alone.

It is made with the Supplier's digital signing key (role 02), the same key that signs critical commands, and
not with the one that signs XML. It covers neither the OTA header nor Force Replace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lamplighter.kit import UsageError, VerificationError
from lamplighter.protocol.image.ota import HEADER_OCTETS, SCHEMA_MAX_OCTETS, TRAILER_OCTETS, Image
from lamplighter.protocol.smki import is_signed_by

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from lamplighter.protocol.smki import Signer


def sign_supplier(image: Image, signer: Signer, *, force_replace: bool = False) -> Image:
    """The image in layout 11.1, signed by `signer`; a signature that it already bore is replaced."""
    manufacturer_image = image.manufacturer_image
    size = HEADER_OCTETS + len(manufacturer_image) + TRAILER_OCTETS
    if size > SCHEMA_MAX_OCTETS:
        raise UsageError(f"a signed image of {size} octets is larger than the schema's {SCHEMA_MAX_OCTETS}")
    signature = signer.sign(manufacturer_image)
    header = replace(image.header, total_size=size)
    return Image(header, image.body, signature, force_replace)


def verify_supplier(image: Image, public_key: EllipticCurvePublicKey) -> None:
    """Raise `VerificationError("supplier-signature")` unless the holder of `public_key` signed the image."""
    wanted = "an ECDSA signature over the Manufacturer Image by the Supplier's key"
    if image.signature is None:
        raise VerificationError("supplier-signature", wanted, "none: the image has layout 11.4")
    if not is_signed_by(public_key, image.manufacturer_image, image.signature):
        raise VerificationError("supplier-signature", wanted, "64 octets that are not")
