"""Signatures, key agreement and the MAC, against the library and against each other."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import Eui64
from lamplighter.protocol.smki import (
    PrivateKey,
    Ring,
    Role,
    Use,
    derive_key,
    gmac,
    is_signed_by,
    sign,
)

from .test_certificates import ISSUER_KEY, KEY, SUPPLIER, issued

DEVICE = Eui64.of(0x00DB1234567890A4)


@given(st.binary(max_size=200))
def test_what_is_signed_verifies(octets):
    """Round trip through r || s."""
    assert is_signed_by(KEY.public_key(), octets, sign(KEY, octets))


@given(st.binary(max_size=200))
def test_no_other_octets_are_a_signature(octets):
    """Any octets of any length are refused without an exception."""
    assert not is_signed_by(KEY.public_key(), b"message", octets)


def test_a_high_r_needs_no_der_padding_from_the_caller():
    """r and s with the top bit set, and with leading zero octets, survive the way through DER."""
    signatures = [sign(KEY, bytes((n,))) for n in range(256)]
    assert any(s[0] & 0x80 for s in signatures)
    assert any(s[0] == 0 or s[32] == 0 for s in signatures)
    assert all(is_signed_by(KEY.public_key(), bytes((n,)), s) for n, s in enumerate(signatures))


def test_the_mac_is_gcm_over_no_plaintext():
    """The fast path gives the same tag as the library's general cipher."""
    key, data = bytes(range(16)), b"authenticated"
    encryptor = Cipher(algorithms.AES(key), modes.GCM(DEVICE.octets + bytes(4))).encryptor()
    encryptor.authenticate_additional_data(data)
    encryptor.finalize()
    assert encryptor.tag[:12] == gmac(key, DEVICE, data)


@pytest.mark.parametrize("field", range(5))
def test_every_input_changes_the_key(field):
    """Secret, originator, mode, counter and recipient each separate keys."""
    base = [bytes(32), DEVICE, 1, 5, SUPPLIER]
    other = [b"\x01" + bytes(31), Eui64.of(1), 2, 6, Eui64.of(2)]
    changed = [*base[:field], other[field], *base[field + 1 :]]
    assert derive_key(*base) != derive_key(*changed)


def agreement(holder, key, serial, role=None):
    return PrivateKey(issued(role, Use.KEY_AGREEMENT, holder, serial, key), key)


def test_both_ends_find_the_same_secret():
    """The ACB's ring and the Device's ring compute one Z, whichever way round they ask."""
    broker, device = agreement(SUPPLIER, KEY, 1, Role.ACB), agreement(DEVICE, ISSUER_KEY, 2)
    at_broker = Ring([device.certificate], [broker])
    at_device = Ring([broker.certificate], [device])
    assert at_broker.secrets(SUPPLIER, DEVICE) == at_device.secrets(DEVICE, SUPPLIER)
    assert len(at_broker.secrets(DEVICE, SUPPLIER)) == 1


def test_a_new_certificate_renews_the_secrets():
    """Adding a party's second certificate is seen at once: no stale cache."""
    broker, device = agreement(SUPPLIER, KEY, 1, Role.ACB), agreement(DEVICE, ISSUER_KEY, 2)
    ring = Ring([], [broker])
    assert ring.secrets(SUPPLIER, DEVICE) == ()
    ring.add(device.certificate)
    assert len(ring.secrets(SUPPLIER, DEVICE)) == 1


def test_an_invalid_curve_point_cannot_be_a_peer():
    """Invalid-curve attack: a point that is not on P-256 never becomes a public key."""
    with pytest.raises(ValueError, match="curve"):
        ec.EllipticCurvePublicNumbers(1, 1, ec.SECP256R1()).public_key()
