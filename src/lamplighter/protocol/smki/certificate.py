"""SMKI certificates: who holds the key, in which role, for which use.

Organisations carry their EUI-64 in the subject's x500UniqueIdentifier and their role in OU; Devices have an
empty subject and carry it in the subject alternative name (hardwareModuleName, RFC 4108).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from lamplighter.kit import DecodeError, Eui64, Instant
from lamplighter.kit.instant import from_datetime, to_datetime

if TYPE_CHECKING:
    from datetime import datetime

_WHAT: Final = "certificate"
_PEM_LEAD: Final = b"-----BEGIN"
_HARDWARE_MODULE_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
_DEVICE_HARDWARE_TYPE: Final = bytes.fromhex("06072a863a00018f7a")  # OID 1.2.826.0.1.2042, named by nobody
_POLICY: Final = x509.ObjectIdentifier("1.2.826.0.1.8641679.1.2.1.4")


class Use(Enum):
    """What the key may do; SMKI keeps the two apart."""

    DIGITAL_SIGNATURE = "ds"
    KEY_AGREEMENT = "ka"


class Role(IntEnum):
    """Remote party roles as OU holds them in hex; a certificate may hold others."""

    RECOVERY = 0x01
    SUPPLIER = 0x02
    NETWORK_OPERATOR = 0x03
    ACB = 0x04
    TRANSITIONAL_COS = 0x05
    WAN_PROVIDER = 0x06
    LOAD_CONTROLLER = 0x08
    OTHER_USER = 0x7F
    XML_SIGNING = 0x87
    ACB_XML_SIGNING = 0x89


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One certificate, as far as the network's rules look at it."""

    der: bytes
    """The whole certificate, DER."""
    holder: Eui64
    """The party or Device that holds the private key."""
    role: int | None
    """The remote party role, 0x00..0xFF; None for a Device."""
    use: Use
    """Digital signature or key agreement."""
    issuer: str
    """The issuer's name as X509IssuerName spells it: `CN=Z1,OU=07`."""
    serial: int
    """The serial number, unique for its issuer."""
    public_key: ec.EllipticCurvePublicKey
    """The P-256 public key."""
    not_before: Instant
    """First instant of validity."""
    not_after: Instant
    """Last instant of validity."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __str__(self) -> str:
        role = "Device" if self.role is None else f"role {self.role:02X}"
        return f"{self.holder} {role} {self.use.value} ({self.issuer}, {self.serial})"

    @property
    def pem(self) -> bytes:
        """The certificate as PEM text."""
        return x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM)


def decode_certificate(octets: bytes) -> Certificate:
    """Read one PEM or DER certificate; anything that is not an SMKI certificate is a `DecodeError`."""
    try:
        pem = octets.lstrip().startswith(_PEM_LEAD)
        parsed = (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(octets)
        public_key = parsed.public_key()
        subject, extensions, issuer = parsed.subject, parsed.extensions, parsed.issuer.rfc4514_string()
        not_before, not_after = parsed.not_valid_before_utc, parsed.not_valid_after_utc
        der, serial = parsed.public_bytes(Encoding.DER), parsed.serial_number
    except Exception as cause:  # the library raises many kinds for hostile input
        reason = str(cause).partition(":")[0][:120]  # after it come the library's own structures
        raise DecodeError(_WHAT, "X.509", 0, "a certificate in PEM or DER", reason) from cause
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise DecodeError(_WHAT, "public key", 0, "P-256", type(public_key).__name__)
    if serial <= 0:
        raise DecodeError(_WHAT, "serial number", 0, "a positive number", str(serial))
    holder, role = _holder(subject, extensions)
    return Certificate(
        der,
        holder,
        role,
        _use(extensions),
        issuer,
        serial,
        public_key,
        from_datetime(not_before),
        from_datetime(not_after),
    )


def _use(extensions: x509.Extensions) -> Use:
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as cause:
        raise DecodeError(_WHAT, "key usage", 0, "an extension", "none") from cause
    if usage.digital_signature == usage.key_agreement:
        raise DecodeError(_WHAT, "key usage", 0, "digital signature or key agreement, not both", "otherwise")
    return Use.DIGITAL_SIGNATURE if usage.digital_signature else Use.KEY_AGREEMENT


def _holder(subject: x509.Name, extensions: x509.Extensions) -> tuple[Eui64, int | None]:
    identifiers = subject.get_attributes_for_oid(NameOID.X500_UNIQUE_IDENTIFIER)
    if identifiers:
        bits = identifiers[0].value
        if not isinstance(bits, bytes) or len(bits) != 9 or bits[0] != 0:
            raise DecodeError(_WHAT, "x500UniqueIdentifier", 0, "a BIT STRING of 64 bits", repr(bits)[:60])
        return Eui64(bits[1:]), _role(subject)
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as cause:
        raise DecodeError(
            _WHAT, "holder", 0, "x500UniqueIdentifier or subject alternative name", "neither"
        ) from cause
    for name in names.get_values_for_type(x509.OtherName):
        if name.type_id == _HARDWARE_MODULE_NAME:
            value = name.value  # SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING (8) }
            if len(value) < 10 or value[-10:-8] != b"\x04\x08":
                raise DecodeError(_WHAT, "hwSerialNum", 0, "8 octets", value.hex()[:80])
            return Eui64(value[-8:]), None
    raise DecodeError(_WHAT, "holder", 0, "hardwareModuleName", "other names only")


def _role(subject: x509.Name) -> int:
    units = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    text = str(units[0].value) if units else ""
    try:
        # Two hex digits; one old DCC test certificate says 137 in decimal.
        role = int(text, 10 if len(text) == 3 else 16)
    except ValueError as cause:
        raise DecodeError(_WHAT, "OU", 0, "the role in two hex digits", repr(text[:20])) from cause
    if not 0 <= role <= 0xFF:
        raise DecodeError(_WHAT, "OU", 0, "a role up to FF", repr(text[:20]))
    return role


def issue(
    *,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    holder: Eui64,
    role: int | None,
    use: Use,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    not_before: Instant,
    not_after: Instant,
) -> Certificate:
    """Issue a certificate of the organisation (`role` 0x00..0xFF) or Device (`role` None) profile.

    issuer  the issuer's name in RFC 4514 text, such as `CN=LAB,OU=07`
    serial  1..2**127-1, chosen by the caller: nothing here rolls dice
    """
    signing = use is Use.DIGITAL_SIGNATURE
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name.from_rfc4514_string(issuer))
        .subject_name(_subject(holder, role))
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(_naive(not_before))
        .not_valid_after(_naive(not_after))
        .add_extension(
            x509.KeyUsage(
                digital_signature=signing,
                key_agreement=not signing,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier(_key_identifier(public_key)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier(_key_identifier(issuer_key.public_key()), None, None), critical=False
        )
        .add_extension(x509.CertificatePolicies([x509.PolicyInformation(_POLICY, None)]), critical=True)
    )
    if role is None:
        module = _DEVICE_HARDWARE_TYPE + b"\x04\x08" + holder.octets
        name = x509.OtherName(_HARDWARE_MODULE_NAME, b"\x30" + bytes((len(module),)) + module)
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=True)
    issued = builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)
    return decode_certificate(issued.public_bytes(Encoding.DER))


def _subject(holder: Eui64, role: int | None) -> x509.Name:
    if role is None:
        return x509.Name([])
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}"),
            x509.NameAttribute(
                NameOID.X500_UNIQUE_IDENTIFIER, b"\x00" + holder.octets, _type=_ASN1Type.BitString
            ),
        ]
    )


def _key_identifier(key: ec.EllipticCurvePublicKey) -> bytes:
    """RFC 5280 4.2.1.2 method (2): 0100 and the low 60 bits of the SHA-1 of the public key."""
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    low = bytearray(hashlib.sha1(point, usedforsecurity=False).digest()[-8:])
    low[0] = 0x40 | low[0] & 0x0F
    return bytes(low)


def _naive(instant: Instant) -> datetime:
    return to_datetime(instant).replace(tzinfo=None, microsecond=0)
