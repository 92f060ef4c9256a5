"""What the image tests build with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter.kit import FirmwareVersion
from lamplighter.protocol import image


def built(payload=b"firmware", **changes):
    """An 11.4 image with plausible header fields."""
    fields = {
        "manufacturer": 0x121D,
        "image_type": 0x0084,
        "file_version": FirmwareVersion(0x00000002),
        "minimum_hardware": 0x0100,
        "maximum_hardware": 0x0203,
        "text": b"a display",
    }
    return image.build(payload, **fields | changes)


def key(secret):
    """A signer without a certificate: the seal and the trailer need none."""
    return image.SealKey(ec.derive_private_key(secret, ec.SECP256R1()))


@pytest.fixture(scope="session")
def keys():
    """Two parties that do not know each other's private keys."""
    return SimpleNamespace(ours=key(11), theirs=key(12))


@pytest.fixture(scope="session")
def build():
    return built
