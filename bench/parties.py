"""Parties with real keys for the benchmarks: an ACB and a Device, and one key ring that knows both."""

from __future__ import annotations

from lamplighter.kit import Eui64
from lamplighter.lab.pki import Pki
from lamplighter.protocol.smki import Ring, Role, Use

BROKER = Eui64.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = Eui64.parse("00-DB-12-34-56-78-90-A4")

_PKI = Pki("bench")

BROKER_AGREEMENT = _PKI.issued(BROKER, Role.ACB, Use.KEY_AGREEMENT)
DEVICE_AGREEMENT = _PKI.issued(DEVICE, None, Use.KEY_AGREEMENT)
DEVICE_SIGNING = _PKI.issued(DEVICE, None, Use.DIGITAL_SIGNATURE)


def ring() -> Ring:
    """What the ACB knows: its own agreement key and the Device's certificates."""
    return Ring([DEVICE_SIGNING.certificate, DEVICE_AGREEMENT.certificate], [BROKER_AGREEMENT])
