"""A GBCS MAC check between parties that have met before, against working everything out anew.

Ours: `gbcs.mac.check` of a CS08 command, header read, key derived, GMAC compared, with the pair's ECDH secret
remembered by the key ring. Theirs: ECDH with `cryptography`, the same key derivation and the same GMAC,
nothing else. The ratio is their time / our time.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from bench.parties import BROKER, BROKER_AGREEMENT, DEVICE, DEVICE_AGREEMENT, ring
from lamplighter.protocol import gbcs
from lamplighter.protocol.smki import derive_key, gmac

NAME: Final = "GBCS MAC check, pair known, vs ECDH + KDF + GMAC"
GOAL: Final = 8.0

_REPEATS: Final = 2_000


def rounds(count: int) -> list[float]:
    """Time from scratch / our time, one ratio a round."""
    counter = 1300
    message = gbcs.encode_message(
        gbcs.compose(gbcs.Cs08Command(), originator=BROKER, recipient=DEVICE, counter=counter)
    )
    keys = ring()
    peer = DEVICE_AGREEMENT.certificate.public_key
    mac = gbcs.mac.mac_of(message, BROKER_AGREEMENT.agree(peer))
    authenticated = bytes.fromhex("110000000000") + message

    ratios = []
    for _ in range(count):
        start = perf_counter()
        for _ in range(_REPEATS):
            secret = BROKER_AGREEMENT.agree(peer)
            gmac(derive_key(secret, BROKER, 1, counter, DEVICE), BROKER, authenticated)
        middle = perf_counter()
        for _ in range(_REPEATS):
            gbcs.mac.check(message, mac, keys, BROKER)
        ratios.append((middle - start) / (perf_counter() - middle))
    return ratios
