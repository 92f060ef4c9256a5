"""SMKI: the certificates of the smart metering network and what is done with their keys. No disk here.

- `certificate`: what a certificate says of its holder; reading one, and issuing one of the right profile.
- `ecdsa`: P-256/SHA-256 signatures as raw r || s.
- `agreement`: ECDH, the GBCS key derivation, and the 12-octet GMAC.
- `keyring`: who holds which certificate, and the protocols by which private keys are used.

A certificate is trusted because it is in the key ring, never because a message carries or names it.
"""

from lamplighter.protocol.smki.agreement import MAC_OCTETS, derive_key, gmac
from lamplighter.protocol.smki.certificate import Certificate, Role, Use, decode_certificate, issue
from lamplighter.protocol.smki.ecdsa import SIGNATURE_OCTETS, is_signed_by, sign
from lamplighter.protocol.smki.keyring import KeyRing, PrivateKey, Ring, Signer, SigningError, prove

__all__ = [
    "MAC_OCTETS",
    "SIGNATURE_OCTETS",
    "Certificate",
    "KeyRing",
    "PrivateKey",
    "Ring",
    "Role",
    "Signer",
    "SigningError",
    "Use",
    "decode_certificate",
    "derive_key",
    "gmac",
    "is_signed_by",
    "issue",
    "prove",
    "sign",
]
