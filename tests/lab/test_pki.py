"""The lab's PKI: repeatable from its seed, of the right profile, and nobody holds another's private key."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import Eui64, UsageError
from lamplighter.lab.pki import Pki
from lamplighter.protocol.smki import Role, Use, decode_certificate, is_signed_by

SUPPLIER = Eui64.of(0x90B3D51F30010000)
ACB = Eui64.of(0x90B3D51F30000002)
PPMID = Eui64.of(0x00DB1234567890A4)
HCALCS = Eui64.of(0x00DB1234567890A0)


@settings(max_examples=5)
@given(st.text())
def test_the_same_seed_gives_the_same_certificates_and_signatures(seed):
    one, other = (Pki(seed).issued(PPMID, None, Use.DIGITAL_SIGNATURE) for _ in range(2))
    assert one.certificate.der == other.certificate.der
    assert one.sign(b"alert") == other.sign(b"alert")


def test_another_seed_gives_other_keys():
    one, other = (Pki(seed).issued(ACB, Role.ACB, Use.DIGITAL_SIGNATURE) for seed in ("a", "b"))
    assert one.certificate.public_key != other.certificate.public_key
    assert one.certificate.serial != other.certificate.serial


@pytest.mark.parametrize("use", Use)
@pytest.mark.parametrize("role", [None, Role.SUPPLIER, Role.ACB])
def test_a_certificate_says_what_it_was_issued_for(role, use):
    certificate = Pki("seed").issued(SUPPLIER, role, use).certificate
    read = decode_certificate(certificate.pem)
    assert (SUPPLIER, role, use) == (read.holder, read.role, read.use)


def test_each_key_of_a_party_is_another_one():
    pki = Pki("seed")
    keys = [
        pki.issued(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE),
        pki.issued(SUPPLIER, Role.SUPPLIER, Use.KEY_AGREEMENT),
        pki.issued(SUPPLIER, Role.XML_SIGNING, Use.DIGITAL_SIGNATURE),
    ]
    assert len({key.certificate.public_key.public_numbers().x for key in keys}) == 3


def test_both_ends_of_a_pair_agree_on_its_secret():
    pki = Pki("seed")
    at_the_acb = pki.acb(ACB, [SUPPLIER], [PPMID]).secrets(ACB, PPMID)
    assert len(at_the_acb) == 1
    assert at_the_acb == pki.device(PPMID, ACB).secrets(PPMID, ACB)


def test_what_the_supplier_signs_the_dsp_can_verify():
    pki = Pki("seed")
    signer = pki.supplier(SUPPLIER, ACB, [PPMID]).signer(SUPPLIER, Role.XML_SIGNING)
    trusted = pki.acb(ACB, [SUPPLIER], [PPMID]).by_serial(
        signer.certificate.issuer, signer.certificate.serial
    )
    assert is_signed_by(trusted.public_key, b"request", signer.sign(b"request"))


@pytest.mark.parametrize("other", [ACB, PPMID, HCALCS])
def test_a_supplier_cannot_sign_for_another_party(other):
    ring = Pki("seed").supplier(SUPPLIER, ACB, [PPMID, HCALCS])
    with pytest.raises(UsageError):
        ring.signer(other)


def test_a_supplier_cannot_compute_the_secret_of_the_acb_and_a_device():
    assert Pki("seed").supplier(SUPPLIER, ACB, [PPMID]).secrets(ACB, PPMID) == ()


def test_a_device_cannot_sign_for_its_neighbour():
    with pytest.raises(UsageError):
        Pki("seed").device(PPMID, ACB).signer(HCALCS)


def test_a_ppmid_knows_no_supplier_and_an_hcalcs_knows_its_own():
    pki = Pki("seed")
    assert pki.device(PPMID, ACB).message_signers(SUPPLIER) == ()
    assert len(pki.device(HCALCS, ACB, SUPPLIER).message_signers(SUPPLIER)) == 1
