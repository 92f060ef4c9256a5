"""The lab's own SMKI: every key and certificate of a rehearsal, derived from one seed.

Two authorities issue, as in SMKI: one for organisations, one for Devices. A private scalar depends on the
seed, its holder, role and use and on nothing else, so that the same seed gives the same certificates,
signatures and messages octet for octet. These keys protect nothing: whoever knows the seed holds them all.

Each party gets a `Ring` of what it may know: its own private keys, and of others only certificates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lamplighter.kit.instant import from_iso
from lamplighter.protocol import smki
from lamplighter.protocol.smki import Certificate, PrivateKey, Ring, Role, Use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.kit import Eui64


ORGANISATION_AUTHORITY: Final = "CN=LAB,OU=07"
DEVICE_AUTHORITY: Final = "CN=LAB-D,OU=07"

NOT_BEFORE: Final = from_iso("2020-01-01T00:00:00Z")
NOT_AFTER: Final = from_iso("2049-12-31T23:59:59Z")

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SCALAR_OCTETS: Final = 40  # 64 bits more than the order, so that its remainder is even (FIPS 186-5 A.2.1)
_SERIAL_OCTETS: Final = 15  # well inside the 20 octets that X.509 allows, and never negative
_SALT: Final = b"lamplighter lab pki"

_SUPPLIER_KEYS: Final = (
    (Role.SUPPLIER, Use.DIGITAL_SIGNATURE),
    (Role.SUPPLIER, Use.KEY_AGREEMENT),
    (Role.XML_SIGNING, Use.DIGITAL_SIGNATURE),
)
_ACB_KEYS: Final = (
    (Role.ACB, Use.DIGITAL_SIGNATURE),
    (Role.ACB, Use.KEY_AGREEMENT),
    (Role.ACB_XML_SIGNING, Use.DIGITAL_SIGNATURE),
)
_DEVICE_KEYS: Final = ((None, Use.DIGITAL_SIGNATURE), (None, Use.KEY_AGREEMENT))


class Pki:
    """All keys of one rehearsal.

    seed  any text; it is the whole secret
    """

    __slots__ = ("_issued", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._issued: dict[tuple[Eui64, int | None, Use], PrivateKey] = {}

    def private_key(self, label: str) -> ec.EllipticCurvePrivateKey:
        """The bare P-256 key of `label`, for a holder outside SMKI such as a manufacturer."""
        number = int.from_bytes(self._derive(_SCALAR_OCTETS, f"key {label}"), "big")
        return ec.derive_private_key(number % (_P256_ORDER - 1) + 1, ec.SECP256R1())

    def issued(self, holder: Eui64, role: int | None, use: Use) -> PrivateKey:
        """The key of `holder` in `role` (None: a Device) for `use`, with its certificate."""
        found = self._issued.get((holder, role, use))
        if found is None:
            label = f"{holder} {'device' if role is None else f'{role:02X}'} {use.value}"
            key = self.private_key(label)
            authority = DEVICE_AUTHORITY if role is None else ORGANISATION_AUTHORITY
            certificate = smki.issue(
                issuer=authority,
                issuer_key=self.private_key(authority),
                holder=holder,
                role=role,
                use=use,
                public_key=key.public_key(),
                serial=int.from_bytes(self._derive(_SERIAL_OCTETS, f"serial {label}"), "big"),
                not_before=NOT_BEFORE,
                not_after=NOT_AFTER,
            )
            found = self._issued[holder, role, use] = PrivateKey(certificate, key)
        return found

    def supplier(self, supplier: Eui64, acb: Eui64, devices: Iterable[Eui64]) -> Ring:
        """What a Supplier may know: its own keys, the ACB's and the DSP's certificates, the Devices'."""
        return Ring(
            (*self._certificates(acb, _ACB_KEYS), *self._of_devices(devices)),
            self._keys(supplier, _SUPPLIER_KEYS),
        )

    def acb(self, acb: Eui64, suppliers: Iterable[Eui64], devices: Iterable[Eui64]) -> Ring:
        """What the DSP, as Access Control Broker, knows: its own keys and everybody's certificates."""
        return Ring(
            (
                *(c for supplier in suppliers for c in self._certificates(supplier, _SUPPLIER_KEYS)),
                *self._of_devices(devices),
            ),
            self._keys(acb, _ACB_KEYS),
        )

    def device(self, device: Eui64, acb: Eui64, supplier: Eui64 | None = None) -> Ring:
        """What a Device knows: its own keys, the ACB's certificates and, where it is set, its Supplier's.

        A meter or HCALCS holds its Supplier's credentials; a PPMID and a CHF take orders from the ACB alone.
        """
        own = () if supplier is None else self._certificates(supplier, _SUPPLIER_KEYS[:2])
        return Ring((*self._certificates(acb, _ACB_KEYS[:2]), *own), self._keys(device, _DEVICE_KEYS))

    def _of_devices(self, devices: Iterable[Eui64]) -> tuple[Certificate, ...]:
        return tuple(c for device in devices for c in self._certificates(device, _DEVICE_KEYS))

    def _certificates(
        self, holder: Eui64, keys: tuple[tuple[int | None, Use], ...]
    ) -> tuple[Certificate, ...]:
        return tuple(self.issued(holder, role, use).certificate for role, use in keys)

    def _keys(self, holder: Eui64, keys: tuple[tuple[int | None, Use], ...]) -> tuple[PrivateKey, ...]:
        return tuple(self.issued(holder, role, use) for role, use in keys)

    def _derive(self, octets: int, label: str) -> bytes:
        return HKDF(hashes.SHA256(), octets, _SALT, label.encode()).derive(self._seed)
