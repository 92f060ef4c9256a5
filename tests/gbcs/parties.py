"""Parties with keys for the GBCS tests: a Supplier, the ACB, a Device, and what each of them knows."""

from lamplighter.kit import Eui64
from lamplighter.lab.pki import Pki
from lamplighter.protocol.smki import Ring, Role, Use

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
BROKER = Eui64.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = Eui64.parse("00-DB-12-34-56-78-90-A0")

PKI = Pki("gbcs tests")

SUPPLIER_SIGNING = PKI.issued(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
SUPPLIER_XML = PKI.issued(SUPPLIER, Role.XML_SIGNING, Use.DIGITAL_SIGNATURE)
BROKER_AGREEMENT = PKI.issued(BROKER, Role.ACB, Use.KEY_AGREEMENT)
DEVICE_SIGNING = PKI.issued(DEVICE, None, Use.DIGITAL_SIGNATURE)
DEVICE_AGREEMENT = PKI.issued(DEVICE, None, Use.KEY_AGREEMENT)

PUBLIC = [
    key.certificate
    for key in (SUPPLIER_SIGNING, SUPPLIER_XML, BROKER_AGREEMENT, DEVICE_SIGNING, DEVICE_AGREEMENT)
]
AT_BROKER = Ring(PUBLIC, [BROKER_AGREEMENT])
AT_DEVICE = Ring(PUBLIC, [DEVICE_SIGNING, DEVICE_AGREEMENT])
AT_SUPPLIER = Ring(PUBLIC, [SUPPLIER_SIGNING])
SECRET = AT_BROKER.secrets(BROKER, DEVICE)[0]
