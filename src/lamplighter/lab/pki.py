"""The lab's own SMKI: every key and certificate of a rehearsal, derived from one seed.

Two authorities issue, as in SMKI: one for organisations, one for Devices. A private scalar depends on the
seed, its holder, role and use and on nothing else, so that the same seed gives the same certificates,
signatures and messages octet for octet. These keys protect nothing: whoever knows the seed holds them all.

Each party gets a `Ring` of what it may know: its own private keys, and of others only certificates. Of
Devices there may be many thousands, most of which never sign anything: what is theirs is issued when it is
first asked for, and as it depends on nothing but the seed, nobody can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lamplighter.kit.instant import from_iso
from lamplighter.protocol import smki
from lamplighter.protocol.smki import Certificate, PrivateKey, Ring, Role, Signer, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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

    __slots__ = ("_authorities", "_issued", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._issued: dict[tuple[Eui64, int | None, Use], PrivateKey] = {}
        self._authorities = {
            name: self.private_key(name) for name in (ORGANISATION_AUTHORITY, DEVICE_AUTHORITY)
        }

    def private_key(self, label: str) -> ec.EllipticCurvePrivateKey:
        """The bare P-256 key of `label`, for a holder outside SMKI such as a manufacturer."""
        number = int.from_bytes(self._derive(_SCALAR_OCTETS, f"key {label}"), "big")
        return ec.derive_private_key(number % (_P256_ORDER - 1) + 1, ec.SECP256R1())

    def issued(self, holder: Eui64, role: int | None, use: Use) -> PrivateKey:
        """The key of `holder` in `role` (None: a Device) for `use`, with its certificate."""
        found = self._issued.get((holder, role, use))
        if found is None:
            label = _label(holder, role, use)
            key = self.private_key(label)
            authority = DEVICE_AUTHORITY if role is None else ORGANISATION_AUTHORITY
            certificate = smki.issue(
                issuer=authority,
                issuer_key=self._authorities[authority],
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

    def supplier_keys(self, supplier: Eui64) -> tuple[tuple[Certificate, ec.EllipticCurvePrivateKey], ...]:
        """A Supplier's certificates with their bare keys, for a supplier system outside the lab."""
        return tuple(
            (self.issued(supplier, role, use).certificate, self.private_key(_label(supplier, role, use)))
            for role, use in _SUPPLIER_KEYS
        )

    def supplier(self, supplier: Eui64, acb: Eui64, devices: Iterable[Eui64]) -> Ring:
        """What a Supplier may know: its own keys, the ACB's and the DSP's certificates, the Devices'."""
        return _Issuing(
            self, devices, self._certificates(acb, _ACB_KEYS), self._keys(supplier, _SUPPLIER_KEYS)
        )

    def acb(self, acb: Eui64, suppliers: Iterable[Eui64], devices: Iterable[Eui64]) -> Ring:
        """What the DSP, as Access Control Broker, knows: its own keys and everybody's certificates."""
        known = tuple(c for supplier in suppliers for c in self._certificates(supplier, _SUPPLIER_KEYS))
        return _Issuing(self, devices, known, self._keys(acb, _ACB_KEYS))

    def device(self, device: Eui64, acb: Eui64, supplier: Eui64 | None = None) -> Ring:
        """What a Device knows: its own keys, the ACB's certificates and, where it is set, its Supplier's.

        A meter or HCALCS holds its Supplier's credentials; a PPMID and a CHF take orders from the ACB alone.
        """

        def fill() -> tuple[tuple[Certificate, ...], tuple[PrivateKey, ...]]:
            own = () if supplier is None else self._certificates(supplier, _SUPPLIER_KEYS[:2])
            return (*self._certificates(acb, _ACB_KEYS[:2]), *own), self._keys(device, _DEVICE_KEYS)

        return _Later(fill)

    def signer(self, device: Eui64) -> Signer:
        """A Device's signing key, issued when it first signs."""
        return _LateSigner(self, device)

    def of_device(self, device: Eui64) -> tuple[Certificate, ...]:
        """A Device's certificates."""
        return self._certificates(device, _DEVICE_KEYS)

    def _certificates(
        self, holder: Eui64, keys: tuple[tuple[int | None, Use], ...]
    ) -> tuple[Certificate, ...]:
        return tuple(self.issued(holder, role, use).certificate for role, use in keys)

    def _keys(self, holder: Eui64, keys: tuple[tuple[int | None, Use], ...]) -> tuple[PrivateKey, ...]:
        return tuple(self.issued(holder, role, use) for role, use in keys)

    def _derive(self, octets: int, label: str) -> bytes:
        return HKDF(hashes.SHA256(), octets, _SALT, label.encode()).derive(self._seed)


class _Later(Ring):
    """A ring that is filled when it is first looked into."""

    def __init__(self, fill: Callable[[], tuple[Iterable[Certificate], Iterable[PrivateKey]]]) -> None:
        self._fill = fill

    def __getattr__(self, name: str) -> object:
        fill = self.__dict__.pop("_fill", None)
        if fill is None:
            raise AttributeError(name)
        super().__init__(*fill())
        return getattr(self, name)


class _Issuing(Ring):
    """A ring to which a Device's certificates are added when somebody first asks for the Device."""

    def __init__(
        self,
        pki: Pki,
        devices: Iterable[Eui64],
        certificates: Iterable[Certificate],
        private_keys: Iterable[PrivateKey],
    ) -> None:
        super().__init__(certificates, private_keys)
        self._pki = pki
        self._unissued = dict.fromkeys(devices)

    def __iter__(self) -> Iterator[Certificate]:
        self._issue_all()
        return super().__iter__()

    def by_serial(self, issuer: str, serial: int) -> Certificate | None:
        """The trusted certificate of that issuer and serial number."""
        if issuer == DEVICE_AUTHORITY:
            self._issue_all()
        return super().by_serial(issuer, serial)

    def certificates(self, holder: Eui64, use: Use) -> tuple[Certificate, ...]:
        """All trusted certificates of a party for one use."""
        self._issue(holder)
        return super().certificates(holder, use)

    def message_signers(self, holder: Eui64) -> tuple[Certificate, ...]:
        """The trusted certificates under which `holder` may sign GBCS messages (not XML)."""
        self._issue(holder)
        return super().message_signers(holder)

    def _issue(self, holder: Eui64) -> None:
        if holder in self._unissued:
            del self._unissued[holder]
            # Nobody shares a secret yet with a party that was unknown until now: those there are stay.
            secrets, self._secrets = self._secrets, {}
            for certificate in self._pki.of_device(holder):
                self.add(certificate)
            self._secrets = secrets

    def _issue_all(self) -> None:
        for holder in tuple(self._unissued):
            self._issue(holder)


class _LateSigner:
    """A Device's signing key that is issued when it is first used."""

    __slots__ = ("_device", "_pki")

    def __init__(self, pki: Pki, device: Eui64) -> None:
        self._pki = pki
        self._device = device

    @property
    def certificate(self) -> Certificate:
        """The certificate under which it signs."""
        return self._pki.issued(self._device, None, Use.DIGITAL_SIGNATURE).certificate

    def sign(self, octets: bytes) -> bytes:
        """The signature r || s of `octets`."""
        return self._pki.issued(self._device, None, Use.DIGITAL_SIGNATURE).sign(octets)


def _label(holder: Eui64, role: int | None, use: Use) -> str:
    return f"{holder} {'device' if role is None else f'{role:02X}'} {use.value}"
