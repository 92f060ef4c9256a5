"""A signed GBCS alert, against the bare signature check inside it.

Ours: the octets of a CCS08 alert decoded to its value, every structural check made, the originator's
certificate found in a key ring and the ECDSA signature verified (`gbcs.open_message`).
Theirs: `cryptography` verifying the same signature over the same octets with a key object that is ready.
The ratio is bare time / our time: 1 would mean that all the rest is free.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bench.parties import BROKER, DEVICE, DEVICE_SIGNING, ring
from lamplighter.kit import Eui64, FirmwareVersion, Instant
from lamplighter.protocol import gbcs

NAME: Final = "GBCS alert opened vs bare ECDSA verify"
GOAL: Final = 0.8

_REPEATS: Final = 2_000


def rounds(count: int) -> list[float]:
    """Bare time / our time, one ratio a round."""
    payload = gbcs.Ccs08Alert(
        gbcs.AlertCode.TRANSFER_SUCCEEDED,
        Instant(1_800_000_000_000_000),
        Eui64.of(7),
        FirmwareVersion(0x0123ABCD),
        gbcs.TransferResult.SUCCESS,
    )
    message = gbcs.compose(payload, originator=DEVICE, recipient=BROKER, counter=4000)
    alert = gbcs.sign(message, DEVICE_SIGNING)
    keys = ring()
    key, algorithm = DEVICE_SIGNING.certificate.public_key, ec.ECDSA(hashes.SHA256())
    signed, raw = alert[1:-65], alert[-64:]
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    ratios = []
    for _ in range(count):
        start = perf_counter()
        for _ in range(_REPEATS):
            key.verify(signature, signed, algorithm)
        middle = perf_counter()
        for _ in range(_REPEATS):
            gbcs.open_message(alert, keys, broker=BROKER)
        ratios.append((middle - start) / (perf_counter() - middle))
    return ratios
