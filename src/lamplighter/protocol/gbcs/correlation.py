"""Signing a pre-command, and only one that says exactly what was asked (DUIS correlation).

A critical command is built by the DCC and signed by the Supplier. The Supplier therefore rebuilds the
pre-command from its own intent and refuses to sign anything else, so that not even a compromised DCC gets a
signature on a command that nobody ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamplighter.kit import Eui64, ImageHash, UsageError, VerificationError
from lamplighter.protocol.gbcs import envelope, message
from lamplighter.protocol.gbcs.use_cases import Cs06Command

if TYPE_CHECKING:
    from lamplighter.kit import Instant
    from lamplighter.protocol.smki import Signer


@dataclass(frozen=True, slots=True)
class Activation:
    """What the Supplier asked for in SRV 11.3."""

    supplier: Eui64
    """Originator of the command."""
    device: Eui64
    """The Device to activate."""
    counter: int
    """Counter of the request id, which becomes the originator counter."""
    hash: ImageHash
    """Manufacturer Image Hash."""
    execution: Instant | None
    """When, None: at once, `CANCELLED`: never."""


def pre_command(intent: Activation) -> message.Message:
    """The one pre-command that says what was asked; its signature length octet is left out."""
    return envelope.compose(
        Cs06Command(intent.hash, intent.counter, intent.execution),
        originator=intent.supplier,
        recipient=intent.device,
        counter=intent.counter,
        signature=None,
    )


def sign_pre_command(octets: bytes, intent: Activation, signer: Signer) -> bytes:
    """The signed pre-command, if `octets` say exactly what `intent` says.

    Raises `DecodeError` for what is no message, and `VerificationError` "pre-command-already-signed",
    "pre-command-wrapped" or "pre-command-FIELD" that names the first field which differs.
    """
    if signer.certificate.holder != intent.supplier:
        raise UsageError(
            f"{signer.certificate.holder} cannot sign a command that {intent.supplier} originates"
        )
    found = envelope.decode(octets)
    if found.mac is not None:
        raise VerificationError("pre-command-wrapped", "no MAC on a pre-command", found.mac.hex())
    if found.message.signature:
        raise VerificationError("pre-command-already-signed", "no signature yet", "one")
    wanted = pre_command(intent)
    _compare_headers(wanted, found.message)
    payload = found.payload
    if not isinstance(payload, Cs06Command):
        raise VerificationError("pre-command-use-case", "CS06 activate firmware", type(payload).__name__)
    _same("hash", intent.hash, payload.hash)
    _same("content-counter", intent.counter, payload.counter)
    _same("execution", intent.execution, payload.execution)
    _same("content", wanted.content.hex(), found.message.content.hex())
    # What is signed is what we built ourselves; the comparison above shows that it is what came.
    return envelope.sign(wanted, signer)


def _compare_headers(wanted: message.Message, found: message.Message) -> None:
    for field in ("code", "cra", "originator", "recipient", "counter", "supplementary", "date_time"):
        _same(field, getattr(wanted, field), getattr(found, field))


def _same(field: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise VerificationError(f"pre-command-{field.replace('_', '-')}", str(wanted), str(found))
