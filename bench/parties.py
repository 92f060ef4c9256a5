"""Parties with real keys for the benchmarks: an ACB and a Device, and one key ring that knows both."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter.kit import Eui64, Instant
from lamplighter.protocol.smki import PrivateKey, Ring, Role, Use, issue

BROKER = Eui64.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = Eui64.parse("00-DB-12-34-56-78-90-A4")

_ISSUER = ec.derive_private_key(0x15, ec.SECP256R1())


def private_key(holder: Eui64, role: int | None, use: Use, scalar: int) -> PrivateKey:
    """A key pair with a certificate of its own."""
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    certificate = issue(
        issuer="CN=BENCH,OU=07",
        issuer_key=_ISSUER,
        holder=holder,
        role=role,
        use=use,
        public_key=key.public_key(),
        serial=scalar,
        not_before=Instant(0),
        not_after=Instant(2**52),
    )
    return PrivateKey(certificate, key)


BROKER_AGREEMENT = private_key(BROKER, Role.ACB, Use.KEY_AGREEMENT, 0x1001)
DEVICE_AGREEMENT = private_key(DEVICE, None, Use.KEY_AGREEMENT, 0x1002)
DEVICE_SIGNING = private_key(DEVICE, None, Use.DIGITAL_SIGNATURE, 0x1003)


def ring() -> Ring:
    """What the ACB knows: its own agreement key and the Device's certificates."""
    return Ring([DEVICE_SIGNING.certificate, DEVICE_AGREEMENT.certificate], [BROKER_AGREEMENT])
