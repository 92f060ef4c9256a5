"""Whom to believe and who signs, out of the keys that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.kit import UsageError
from lamplighter.protocol.smki import Certificate, Ring, Role, Signer, Use
from lamplighter.service.candidates import supplier_certificates

if TYPE_CHECKING:
    from lamplighter.kit import Eui64


def supplier_signer(ring: Ring, supplier: Eui64 | None) -> Signer:
    """The Supplier's private signing key: of the one named, or of the only one."""
    mine = [
        certificate
        for certificate in supplier_certificates(ring, None)
        if ring.private_key(certificate) is not None
    ]
    return ring.signer(_only(mine, "Supplier's private key", "--supplier", supplier), Role.SUPPLIER)


def shares_mac_secrets(ring: Ring) -> bool:
    """Whether any MAC between the ACB and a Device could be checked: a private key of either is held."""
    return any(
        certificate.use is Use.KEY_AGREEMENT
        and certificate.role in {Role.ACB, None}
        and ring.private_key(certificate) is not None
        for certificate in ring
    )


def broker(ring: Ring, named: Eui64 | None) -> Eui64 | None:
    """The ACB: the one named, or the only one among the keys; None where there is none."""
    brokers = [certificate for certificate in ring if certificate.role == Role.ACB]
    return _only(brokers, "ACB's certificate", "--acb", named) if brokers or named else None


def _only(certificates: list[Certificate], what: str, option: str, named: Eui64 | None) -> Eui64:
    if named is not None:
        return named
    holders = sorted({certificate.holder for certificate in certificates})
    match holders:
        case [one]:
            return one
        case []:
            raise UsageError(f"the key directory holds no {what}")
        case several:
            names = ", ".join(str(holder) for holder in several)
            raise UsageError(
                f"the key directory holds more than one {what} ({names}): name one with {option}"
            )
