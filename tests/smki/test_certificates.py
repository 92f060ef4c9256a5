"""Certificates: the published ones, those we issue, and octets that are none."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Eui64, Instant, UsageError
from lamplighter.kit.instant import from_iso, to_datetime
from lamplighter.protocol.smki import PrivateKey, Ring, Role, Use, decode_certificate, issue

ISSUER_KEY = ec.derive_private_key(0x1234, ec.SECP256R1())
KEY = ec.derive_private_key(0x5678, ec.SECP256R1())
SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")


def issued(role=Role.SUPPLIER, use=Use.DIGITAL_SIGNATURE, holder=SUPPLIER, serial=7, key=KEY, until=10**15):
    return issue(
        issuer="CN=TEST,OU=07",
        issuer_key=ISSUER_KEY,
        holder=holder,
        role=role,
        use=use,
        public_key=key.public_key(),
        serial=serial,
        not_before=Instant(0),
        not_after=Instant(until),
    )


def test_published_device_certificates_name_their_device(shared):
    """The EUI-64 of a Device stands in the subject alternative name, and the file is named after it."""
    paths = sorted((shared / "vectors" / "devices").glob("*.pem"))
    assert len(paths) == 10
    for path in paths:
        certificate = decode_certificate(path.read_bytes())
        eui, use = path.stem.split("-")
        assert (Eui64.parse(eui), None, Use(use)) == (certificate.holder, certificate.role, certificate.use)


def test_published_dsp_certificates_are_the_brokers_for_xml(shared):
    """Role 89 is read from OU both as two hex digits and as the decimal 137 of an old certificate."""
    for path in sorted((shared / "vectors" / "duis").glob("*.pem")):
        certificate = decode_certificate(path.read_bytes())
        assert (Role.ACB_XML_SIGNING, "90-B3-D5-1F-30-00-00-02") == (
            certificate.role,
            str(certificate.holder),
        )


@pytest.mark.parametrize("role", [Role.SUPPLIER, Role.ACB, Role.XML_SIGNING, Role.ACB_XML_SIGNING, None])
@pytest.mark.parametrize("use", Use)
def test_an_issued_certificate_says_what_was_asked(role, use):
    """Both profiles, read back from DER and from PEM."""
    certificate = issued(role, use)
    assert (SUPPLIER, role, use, "CN=TEST,OU=07", 7) == (
        certificate.holder, certificate.role, certificate.use, certificate.issuer, certificate.serial,
    )  # fmt: skip
    assert certificate == decode_certificate(certificate.pem)


def test_issuing_is_repeatable():
    """RFC 6979 signatures: the lab's PKI is the same octets for the same seed."""
    assert issued().der == issued().der


@given(st.binary(max_size=400))
def test_any_octets_are_a_certificate_or_a_decode_error(octets):
    """The decoder is total."""
    with pytest.raises(DecodeError):
        decode_certificate(octets)


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused_by_name(data):
    """One changed octet gives a certificate or a DecodeError, never another exception."""
    der = bytearray(issued(role=None).der)
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode_certificate(bytes(der))
    except DecodeError as refusal:
        assert refusal.what == "certificate"


def foreign(*, key=KEY, subject=None, usage=(True, False), san=None):
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name.from_rfc4514_string("CN=X"))
        .subject_name(x509.Name(subject or []))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(to_datetime(from_iso("2020-01-01T00:00:00Z")))
        .not_valid_after(to_datetime(from_iso("2030-01-01T00:00:00Z")))
    )
    if usage:
        signing, agreement = usage
        builder = builder.add_extension(
            x509.KeyUsage(signing, False, False, False, agreement, False, False, False, False), critical=True
        )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=True)
    return builder.sign(ISSUER_KEY, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"key": rsa.generate_private_key(65537, 2048)}, "public key"),
        ({"key": ec.generate_private_key(ec.SECP384R1())}, "public key"),
        ({}, "holder"),
        ({"san": x509.DNSName("x.example")}, "holder"),
        ({"usage": (True, True), "san": x509.DNSName("x.example")}, "holder"),
        (
            {"san": x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), b"\x04\x02ab")},
            "hwSerialNum",
        ),
    ],
)
def test_a_certificate_of_another_world_is_refused_by_field(arguments, field):
    """RSA keys, other curves, no holder, a short serial number."""
    with pytest.raises(DecodeError) as refusal:
        decode_certificate(foreign(**arguments))
    assert field == refusal.value.field


@pytest.mark.parametrize("usage", [None, (True, True), (False, False)])
def test_a_key_that_may_do_everything_is_refused(usage):
    """SMKI keeps signing and key agreement apart; so do we."""
    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "02")
    identifier = x509.NameAttribute(
        NameOID.X500_UNIQUE_IDENTIFIER, b"\x00" + SUPPLIER.octets, _type=x509.name._ASN1Type.BitString
    )
    with pytest.raises(DecodeError, match="key usage"):
        decode_certificate(foreign(subject=[unit, identifier], usage=usage))


def test_a_private_key_needs_its_own_certificate():
    """A key of another certificate is refused before it can sign anything."""
    with pytest.raises(UsageError, match="not that of the certificate"):
        PrivateKey(issued(), ISSUER_KEY)


def test_a_private_key_never_shows_itself():
    """Neither repr nor str of a private key or its ring holds the secret number."""
    key = PrivateKey(issued(), KEY)
    secret = f"{KEY.private_numbers().private_value:x}"
    assert all(secret not in shown for shown in (repr(key), str(key), repr(Ring([], [key]))))


def test_use_is_enforced():
    """A signing key does not agree, an agreement key does not sign."""
    with pytest.raises(UsageError, match="not for key agreement"):
        PrivateKey(issued(), KEY).agree(KEY.public_key())
    with pytest.raises(UsageError, match="not for signing"):
        PrivateKey(issued(use=Use.KEY_AGREEMENT), KEY).sign(b"")


def test_two_certificates_may_not_claim_one_name():
    """Issuer and serial number name one certificate: a second one cannot slip in under the first's name."""
    other = ec.derive_private_key(0x9999, ec.SECP256R1())
    with pytest.raises(UsageError, match="two different certificates"):
        Ring([issued(), issued(key=other)])


def test_an_issuer_name_is_found_with_or_without_spaces():
    """X509IssuerName is written both `CN=TEST,OU=07` and `CN=TEST, OU=07`."""
    ring = Ring([issued()])
    assert issued() == ring.by_serial("CN=TEST, OU=07", 7)
    assert ring.by_serial("CN=TEST,OU=07", 8) is None


def test_the_longest_lasting_signing_key_is_used():
    """A renewed certificate takes over from its forerunner."""
    old, new = issued(serial=1, until=10**15), issued(serial=2, until=2 * 10**15)
    ring = Ring([], [PrivateKey(new, KEY), PrivateKey(old, KEY)])
    assert new == ring.signer(SUPPLIER, Role.SUPPLIER).certificate


def test_a_missing_key_is_named():
    """The error says whose key in which role is missing."""
    with pytest.raises(UsageError, match=r"role 87 of 90-B3-D5-1F-30-01-00-00"):
        Ring().signer(SUPPLIER, Role.XML_SIGNING)


def test_xml_certificates_never_sign_gbcs_messages():
    """A stolen XML key is no use for forging a Device command."""
    ring = Ring([issued(role=Role.XML_SIGNING)])
    assert ring.message_signers(SUPPLIER) == ()
