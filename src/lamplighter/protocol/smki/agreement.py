"""Key agreement: ECDH on P-256, the GBCS key derivation, and the Message Authentication Code (GBCS 4.3.3).

Z    = x-coordinate of the shared point, 32 octets
key  = first 16 octets of SHA-256( 00000001 || Z || OtherInfo )
MAC  = AES-128-GCM tag, 12 octets, over no plaintext
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

MAC_OCTETS: Final = 12

_KDF_ROUND: Final = bytes.fromhex("00000001")
_ALGORITHM_ID: Final = bytes.fromhex("60857406080300")  # AES-128-GCM, as OtherInfo names it
_TRANSACTION_ID_LEAD: Final = b"\x09"
_INVOCATION_FIELD: Final = bytes(4)


def derive_key(secret: bytes, originator: Eui64, mode: int, counter: int, recipient: Eui64) -> bytes:
    """The 16-octet key of one message, from the pair's secret Z (32 octets) and the originator counter."""
    other_info = b"".join(
        (
            _ALGORITHM_ID,
            originator.octets,
            _TRANSACTION_ID_LEAD,
            bytes((mode,)),
            counter.to_bytes(8, "big"),
            recipient.octets,
        )
    )
    return hashlib.sha256(_KDF_ROUND + secret + other_info).digest()[:16]


def gmac(key: bytes, originator: Eui64, authenticated: bytes) -> bytes:
    """The 12-octet tag over `authenticated`; the IV is the originator's id and four zero octets.

    A key serves one message only, which is what makes the fixed IV safe.
    """
    tag = AESGCM(key).encrypt(originator.octets + _INVOCATION_FIELD, b"", authenticated)
    return tag[:MAC_OCTETS]
