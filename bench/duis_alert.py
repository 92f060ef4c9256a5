"""A signed DUIS alert read, checked, verified and decoded, against a bare ECDSA P-256 verify."""

from __future__ import annotations

import hashlib
import statistics
from time import perf_counter
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter.kit import Eui64, FirmwareVersion
from lamplighter.kit.instant import from_iso
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis, smki

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "DUIS alert: read, check, verify, decode / ECDSA verify"
GOAL = 0.40

MESSAGES = 16  # different Devices, so that nothing is gained by remembering one
PAIRS = 12  # passes over all messages in a round; each half of a pair runs right after the other

SUPPLIER, ACB = Eui64.parse("90-B3-D5-1F-30-01-00-00"), Eui64.parse("90-B3-D5-1F-30-00-00-02")
NOW = from_iso("2026-06-01T00:00:00Z")


def transfer_alert(index: int) -> duis.Response:
    """N62: the hub of Device `index` has transferred an image to it."""
    device, hub = Eui64.of(0x00DB123456780000 + index), Eui64.of(0x8873845700200000 + index)
    transfer = duis.FirmwareTransferAlert(
        duis.RequestId(SUPPLIER, ACB, 1000 + index),
        device,
        FirmwareVersion(0x0A0B0C00 + index),
        duis.TransferResponse.FILE_TRANSFER_SUCCESS,
    )
    return _alert(device, index, duis.DccAlert("N62", duis.CommsHubAlert(hub, 0x8F8A, NOW, transfer)))


def receipt_alert(index: int) -> duis.Response:
    """8F72: Device `index` has verified an image."""
    device = Eui64.of(0x00DB123456780000 + index)
    return _alert(device, index, duis.DeviceAlert(0x8F72, hashlib.shake_256(device.octets).digest(140)))


def _alert(device: Eui64, index: int, body: duis.DccAlert | duis.DeviceAlert) -> duis.Response:
    return duis.Response(None, duis.RequestId(device, SUPPLIER, index), "I0", NOW, body)


def rounds(count: int) -> list[float]:
    """`count` ratios, each the median over pairs of (time of bare verifies / time of ours)."""
    key = Pki("bench").issued(ACB, smki.Role.ACB_XML_SIGNING, smki.Use.DIGITAL_SIGNATURE)
    ring = smki.Ring([key.certificate])
    alerts = [(receipt_alert if index % 2 else transfer_alert)(index) for index in range(MESSAGES)]
    octets = [duis.sign(duis.encode_response(alert), key) for alert in alerts]

    def ours() -> None:
        for message in octets:
            duis.open_response(message, ring, now=NOW, dcc=ACB)

    return [_round(_bare(len(octets)), ours) for _ in range(count)]


def _bare(count: int) -> Callable[[], None]:
    private = ec.derive_private_key(7, ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    octets = bytes(700)  # about as long as a canonical SignedInfo
    signature, public = private.sign(octets, algorithm), private.public_key()

    def verify() -> None:
        for _ in range(count):
            public.verify(signature, octets, algorithm)

    return verify


def _round(bare: Callable[[], None], ours: Callable[[], None]) -> float:
    return statistics.median(_seconds(bare) / _seconds(ours) for _ in range(PAIRS))


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
