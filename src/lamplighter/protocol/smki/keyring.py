"""Who holds which certificate, and how private keys are used without being seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from lamplighter.kit import Eui64, LamplighterError, UsageError
from lamplighter.protocol.smki import ecdsa
from lamplighter.protocol.smki.certificate import Certificate, Role, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_XML_ROLES = frozenset({Role.XML_SIGNING, Role.ACB_XML_SIGNING})
_PROBE: Final = b"Lamplighter asks whether this key can sign"  # no message, image or seal begins like this


class SigningError(LamplighterError):
    """A key that is held elsewhere could not be used: nothing was signed. Later it may be."""


class Signer(Protocol):
    """Something that signs for one certificate: a key in memory, or one behind PKCS#11.

    Several threads may use it at once.
    """

    @property
    def certificate(self) -> Certificate:
        """The certificate under which it signs."""

    def sign(self, octets: bytes) -> bytes:
        """The signature r || s of `octets`; `SigningError` where the key cannot be used now."""


def prove(signer: Signer) -> None:
    """Raise `SigningError` unless the key can sign now, and is that of its certificate."""
    signature = signer.sign(_PROBE)
    if not ecdsa.is_signed_by(signer.certificate.public_key, _PROBE, signature):
        raise SigningError(f"what signs for {signer.certificate} has not the key of that certificate")


class KeyRing(Protocol):
    """What a verifier asks: the trust store, and the secrets that it shares with others."""

    def by_serial(self, issuer: str, serial: int) -> Certificate | None:
        """The trusted certificate of that issuer and serial number."""

    def message_signers(self, holder: Eui64) -> tuple[Certificate, ...]:
        """The trusted certificates under which `holder` may sign GBCS messages (not XML)."""

    def secrets(self, one: Eui64, other: Eui64) -> tuple[bytes, ...]:
        """The ECDH secrets Z of the two parties that can be computed here; empty where none can."""


class PrivateKey:
    """A private key in memory with its certificate; it signs or agrees, and never shows itself."""

    __slots__ = ("_key", "certificate")

    def __init__(self, certificate: Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        if key.public_key() != certificate.public_key:
            raise UsageError(f"this private key is not that of the certificate {certificate}")
        self.certificate = certificate
        self._key = key

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.certificate}>"

    def sign(self, octets: bytes) -> bytes:
        """The signature r || s of `octets`."""
        if self.certificate.use is not Use.DIGITAL_SIGNATURE:
            raise UsageError(f"{self.certificate} is not for signing")
        return ecdsa.sign(self._key, octets)

    def agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        """The secret Z shared with the holder of `peer`."""
        if self.certificate.use is not Use.KEY_AGREEMENT:
            raise UsageError(f"{self.certificate} is not for key agreement")
        return self._key.exchange(ec.ECDH(), peer)


class Ring:
    """A key ring in memory. Secrets are computed once for a pair of parties: the costly part of a MAC."""

    def __init__(self, certificates: Iterable[Certificate] = (), private_keys: Iterable[Signer] = ()) -> None:
        self._by_serial: dict[tuple[str, int], Certificate] = {}
        self._by_holder: dict[tuple[Eui64, Use], list[Certificate]] = {}
        self._message_signers: dict[bytes, tuple[Certificate, ...]] = {}
        self._private: dict[tuple[str, int], Signer] = {}
        self._secrets: dict[tuple[Eui64, Eui64], tuple[bytes, ...]] = {}
        for certificate in certificates:
            self.add(certificate)
        for key in private_keys:
            self.add(key.certificate)
            self._private[_name(key.certificate)] = key

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self._by_serial.values())

    def add(self, certificate: Certificate) -> None:
        """Trust a certificate; another one of the same issuer and serial number is refused."""
        known = self._by_serial.setdefault(_name(certificate), certificate)
        if known != certificate:
            raise UsageError(f"two different certificates claim to be {certificate}")
        holders = self._by_holder.setdefault((certificate.holder, certificate.use), [])
        if certificate not in holders:
            holders.append(certificate)
            self._secrets.clear()
            if certificate.use is Use.DIGITAL_SIGNATURE and certificate.role not in _XML_ROLES:
                signers = self._message_signers.get(certificate.holder.octets, ())
                self._message_signers[certificate.holder.octets] = (*signers, certificate)

    def by_serial(self, issuer: str, serial: int) -> Certificate | None:
        """The trusted certificate of that issuer and serial number."""
        return self._by_serial.get((issuer, serial)) or self._by_serial.get((_squeezed(issuer), serial))

    def certificates(self, holder: Eui64, use: Use) -> tuple[Certificate, ...]:
        """All trusted certificates of a party for one use."""
        return tuple(self._by_holder.get((holder, use), ()))

    def message_signers(self, holder: Eui64) -> tuple[Certificate, ...]:
        """The trusted certificates under which `holder` may sign GBCS messages (not XML)."""
        return self._message_signers.get(holder.octets, ())

    def private_key(self, certificate: Certificate) -> Signer | None:
        """What holds the private key of a certificate, where this ring has it."""
        return self._private.get(_name(certificate))

    def signer(self, holder: Eui64, role: int | None = None) -> Signer:
        """The signing key of `holder` in `role` (None: a Device's, or the only one)."""
        keys = [
            key
            for certificate in self.certificates(holder, Use.DIGITAL_SIGNATURE)
            if (role is None or certificate.role == role)
            and (key := self.private_key(certificate)) is not None
        ]
        if not keys:
            wanted = "a signing key" if role is None else f"a signing key in role {role:02X}"
            raise UsageError(f"the key ring holds no private key: {wanted} of {holder}")
        # The one that lasts longest: renewed certificates stand beside their forerunners.
        return max(keys, key=lambda key: key.certificate.not_after)

    def secrets(self, one: Eui64, other: Eui64) -> tuple[bytes, ...]:
        """The ECDH secrets Z of the two parties that can be computed here; empty where none can."""
        pair = (one, other) if one < other else (other, one)
        found = self._secrets.get(pair)
        if found is None:
            found = tuple(dict.fromkeys((*self._agreed(one, other), *self._agreed(other, one))))
            self._secrets[pair] = found
        return found

    def _agreed(self, own: Eui64, peer: Eui64) -> Iterator[bytes]:
        for mine in self.certificates(own, Use.KEY_AGREEMENT):
            key = self.private_key(mine)
            if isinstance(key, PrivateKey):  # one that is held elsewhere signs, and nothing else
                for theirs in self.certificates(peer, Use.KEY_AGREEMENT):
                    yield key.agree(theirs.public_key)


def _name(certificate: Certificate) -> tuple[str, int]:
    return certificate.issuer, certificate.serial


def _squeezed(issuer: str) -> str:
    return ",".join(part.strip() for part in issuer.split(","))
