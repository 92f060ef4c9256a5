"""One ZCL frame of the OTA cluster: frame control, transaction, command identifier, payload (ZCL 2.4.1).

Only cluster commands without a manufacturer code exist here, and each goes one way: the client sends 01, 03,
04, 06, the server sends 00, 02, 05, 07. A frame that says otherwise is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Cursor, UsageError
from lamplighter.protocol.zigbee import commands
from lamplighter.protocol.zigbee.commands import Id

if TYPE_CHECKING:
    from lamplighter.protocol.zigbee.commands import Command

TO_SERVER: Final = 0x01  # frame type 01 (cluster), direction 0
TO_CLIENT: Final = 0x09  # frame type 01 (cluster), direction 1
QUIET: Final = 0x10  # disable default response

_SENT_BY_CLIENT: Final = frozenset(
    (Id.QUERY_NEXT_IMAGE_REQUEST, Id.IMAGE_BLOCK_REQUEST, Id.IMAGE_PAGE_REQUEST, Id.UPGRADE_END_REQUEST)
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One command on its way."""

    transaction: int
    """Transaction sequence number, u8: an answer repeats that of its question."""

    command: Command
    """What is said."""

    quiet: bool = False
    """Disable default response; answers set it."""


def encode(frame: Frame) -> bytes:
    """The octets of a frame."""
    identifier, payload = commands.encode(frame.command)
    if not 0 <= frame.transaction <= 0xFF:
        raise UsageError(f"a transaction sequence number has 8 bits; {frame.transaction} does not fit")
    control = _direction(identifier) | (QUIET if frame.quiet else 0)
    return bytes((control, frame.transaction, identifier)) + payload


def decode(octets: bytes) -> Frame:
    """The frame that `octets` are. Total."""
    cursor = Cursor("OTA cluster frame", octets)
    control = cursor.u8("frame control")
    if control & ~QUIET not in (TO_SERVER, TO_CLIENT):
        cursor.fail("frame control", "01, 11, 09 or 19", f"{control:02x}", at=0)
    transaction = cursor.u8("transaction sequence number")
    identifier = cursor.u8("command identifier")
    due = _direction(identifier)
    if control & ~QUIET != due:
        cursor.fail("frame control", f"{due:02x} for command {identifier:02x}", f"{control:02x}", at=0)
    return Frame(transaction, commands.decode(identifier, cursor), bool(control & QUIET))


def _direction(identifier: int) -> int:
    return TO_SERVER if identifier in _SENT_BY_CLIENT else TO_CLIENT
