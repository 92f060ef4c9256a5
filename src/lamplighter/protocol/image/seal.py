"""The seal: a manufacturer's signature on firmware, inside the Manufacturer Image or beside it.

GBCS gives a PPMID no Supplier signature to check and leaves the protection of its firmware to the
manufacturer. This is the format that the emulated Devices check and that `image build` can put on.

Embedded, the Manufacturer Image is (n >= 1; the payload comes first, so that it can be run in place):

    offset   octets
    0        n       payload: the firmware proper
    n        64      signature r ‖ s
    n + 64   1       format, 01
    n + 65   8       mark, ASCII `LampSeal`

Detached, the Manufacturer Image is the payload itself, as a published image's is, and the seal is the 64
octets r ‖ s on their own, kept beside the file.

Either way the signature is ECDSA P-256/SHA-256 by the manufacturer's key over these 72 octets:

    offset   octets
    0        31      domain, ASCII `Lamplighter manufacturer seal 1` (1 is the format)
    31       1       form: 01 embedded, 02 detached
    32       8       n, big-endian
    40       32      SHA-256 of the payload

What is signed starts with a domain of its own, so that no seal can pass for a Supplier's signature on an
image, a GBCS message or anything else that the same key might sign, nor the other way round; and the form
keeps an embedded seal from being taken off and presented as a detached one. An HSM only ever sees 72 octets.
The seal does not cover the OTA header.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from lamplighter.kit import DecodeError, UsageError, VerificationError
from lamplighter.protocol.smki import SIGNATURE_OCTETS, is_signed_by, sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

_DOMAIN: Final = b"Lamplighter manufacturer seal 1"
_EMBEDDED: Final = b"\x01"
_DETACHED: Final = b"\x02"
_MARK: Final = b"\x01LampSeal"  # format and mark

SEAL_OCTETS: Final = SIGNATURE_OCTETS + len(_MARK)


class Sealer(Protocol):
    """What signs for a manufacturer: any `smki.Signer`, or a `SealKey`, which has no certificate."""

    def sign(self, octets: bytes) -> bytes:
        """The signature r ‖ s of `octets`."""


class SealKey:
    """A manufacturer's private key in memory, outside SMKI and so without a certificate; never shown."""

    __slots__ = ("_key",)

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> EllipticCurvePublicKey:
        """The half with which Devices check the seal."""
        return self._key.public_key()

    def sign(self, octets: bytes) -> bytes:
        """The signature r ‖ s of `octets`."""
        return sign(self._key, octets)


def is_sealed(octets: bytes) -> bool:
    """Whether a Manufacturer Image (or an 11.4 file) ends as one with an embedded seal does."""
    return octets[-len(_MARK) :] == _MARK


def seal(payload: bytes, sealer: Sealer) -> bytes:
    """The Manufacturer Image that carries `payload` and the manufacturer's seal on it."""
    if not payload:
        raise UsageError("a seal needs a payload of at least one octet")
    return b"".join((payload, sealer.sign(_signed(_EMBEDDED, payload)), _MARK))


def verify_seal(manufacturer_image: bytes, public_key: EllipticCurvePublicKey) -> bytes:
    """The payload of a sealed Manufacturer Image.

    Octets that are not a sealed image are a `DecodeError`; a seal that is not by `public_key` over this
    payload is `VerificationError("manufacturer-seal")`.
    """
    start = len(manufacturer_image) - SEAL_OCTETS
    if start < 1:
        shape = f"at least 1 octet of payload and {SEAL_OCTETS} of seal"
        raise DecodeError("sealed image", "size", 0, shape, f"{len(manufacturer_image)} octets")
    if not is_sealed(manufacturer_image):
        found = manufacturer_image[-len(_MARK) :].hex()
        raise DecodeError("sealed image", "format and mark", start + SIGNATURE_OCTETS, _MARK.hex(), found)
    payload = manufacturer_image[:start]
    signature = manufacturer_image[start : start + SIGNATURE_OCTETS]
    _verify(_EMBEDDED, payload, signature, public_key)
    return payload


def seal_detached(manufacturer_image: bytes, sealer: Sealer) -> bytes:
    """The 64 octets that vouch for a Manufacturer Image from beside it."""
    return sealer.sign(_signed(_DETACHED, manufacturer_image))


def verify_detached_seal(manufacturer_image: bytes, seal: bytes, public_key: EllipticCurvePublicKey) -> None:
    """Raise `VerificationError("manufacturer-seal")` unless `seal` vouches for this Manufacturer Image."""
    _verify(_DETACHED, manufacturer_image, seal, public_key)


def _signed(form: bytes, payload: bytes) -> bytes:
    size = len(payload).to_bytes(8, "big")
    return b"".join((_DOMAIN, form, size, hashlib.sha256(payload).digest()))


def _verify(form: bytes, payload: bytes, signature: bytes, public_key: EllipticCurvePublicKey) -> None:
    if not is_signed_by(public_key, _signed(form, payload), signature):
        raise VerificationError(
            "manufacturer-seal", "a seal on this image by the manufacturer's key", "octets that are none"
        )
