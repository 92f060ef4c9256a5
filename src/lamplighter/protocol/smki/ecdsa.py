"""ECDSA on P-256 with SHA-256, signatures as 64 octets r || s (GBCS 4.3.3; XML ecdsa-sha256)."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

SIGNATURE_OCTETS: Final = 64

_VERIFY: Final = ec.ECDSA(hashes.SHA256())
# RFC 6979: no signature depends on the quality of the dice, and the lab's traces repeat octet for octet.
_SIGN: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def sign(key: ec.EllipticCurvePrivateKey, octets: bytes) -> bytes:
    """The signature r || s of `octets`."""
    r, s = decode_dss_signature(key.sign(octets, _SIGN))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def is_signed_by(key: ec.EllipticCurvePublicKey, octets: bytes, signature: bytes) -> bool:
    """Whether `signature` (any octets) is that of `octets` by the holder of `key`."""
    if len(signature) != SIGNATURE_OCTETS:
        return False
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), octets, _VERIFY)
    except InvalidSignature:
        return False
    return True
