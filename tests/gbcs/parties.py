"""Parties with keys for the GBCS tests: a Supplier, the ACB, a Device, and what each of them knows."""

from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter.kit import Eui64, Instant
from lamplighter.protocol.smki import PrivateKey, Ring, Role, Use, issue

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
BROKER = Eui64.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = Eui64.parse("00-DB-12-34-56-78-90-A0")

_ISSUER = ec.derive_private_key(0x15, ec.SECP256R1())


def private_key(holder, role, use, scalar):
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    certificate = issue(
        issuer="CN=TEST,OU=07",
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


SUPPLIER_SIGNING = private_key(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE, 0x101)
SUPPLIER_XML = private_key(SUPPLIER, Role.XML_SIGNING, Use.DIGITAL_SIGNATURE, 0x102)
BROKER_AGREEMENT = private_key(BROKER, Role.ACB, Use.KEY_AGREEMENT, 0x103)
DEVICE_SIGNING = private_key(DEVICE, None, Use.DIGITAL_SIGNATURE, 0x104)
DEVICE_AGREEMENT = private_key(DEVICE, None, Use.KEY_AGREEMENT, 0x105)

PUBLIC = [
    key.certificate
    for key in (SUPPLIER_SIGNING, SUPPLIER_XML, BROKER_AGREEMENT, DEVICE_SIGNING, DEVICE_AGREEMENT)
]
AT_BROKER = Ring(PUBLIC, [BROKER_AGREEMENT])
AT_DEVICE = Ring(PUBLIC, [DEVICE_SIGNING, DEVICE_AGREEMENT])
AT_SUPPLIER = Ring(PUBLIC, [SUPPLIER_SIGNING])
SECRET = AT_BROKER.secrets(BROKER, DEVICE)[0]
