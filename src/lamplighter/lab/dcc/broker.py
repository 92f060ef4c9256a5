"""The Access Control Broker: commands made, completed and MACed, and Devices' messages believed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError, VerificationError
from lamplighter.kit.instant import MILLISECOND
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.duis import DeviceType

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.lab.dcc.inventory import Inventory
    from lamplighter.lab.wire import WanGbcs
    from lamplighter.protocol.smki import KeyRing

_METERS_AND_SWITCHES: Final = frozenset({DeviceType.ESME, DeviceType.GSME, DeviceType.HCALCS})

SPEAKERS: Final[dict[type, frozenset[DeviceType]]] = {
    gbcs.Ccs08Alert: frozenset({DeviceType.CHF}),
    gbcs.Cs09Alert: frozenset({DeviceType.PPMID}),
    gbcs.ReceiptAlert: _METERS_AND_SWITCHES,
    gbcs.OutcomeAlert: _METERS_AND_SWITCHES,
    gbcs.Cs06Response: _METERS_AND_SWITCHES,
    gbcs.Cs06Accepted: _METERS_AND_SWITCHES,
    gbcs.Cs08Response: frozenset(DeviceType),
}
"""Which Devices may say what; a command comes from none of them."""


class Counter:
    """The broker's own counter: milliseconds of the time, and always above the last."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: Instant) -> int:
        """A counter never used before."""
        self._last = max(self._last + 1, now // MILLISECOND)
        return self._last


class Broker:
    """What only the ACB can do, because only it shares a secret with each Device."""

    __slots__ = ("_alert_counters", "_counter", "_inventory", "_ring", "acb")

    def __init__(self, acb: Eui64, ring: KeyRing, inventory: Inventory, counter: Counter) -> None:
        self.acb = acb
        self._ring = ring
        self._inventory = inventory
        self._counter = counter
        self._alert_counters: dict[Eui64, int] = {}

    def pre_command(self, request: duis.Request, body: duis.ActivateFirmware) -> bytes:
        """Transform SRV 11.3 into the CS06 pre-command that the Supplier is to check and sign."""
        execution = gbcs.CANCELLED if body.execution == duis.CANCEL else body.execution
        return gbcs.encode_message(
            gbcs.pre_command(
                gbcs.Activation(
                    request.id.originator, request.id.target, request.id.counter, body.hash, execution
                )
            )
        )

    def complete(self, signed: bytes, device: Eui64) -> bytes:
        """Put the ACB's MAC on a signed pre-command: now it is a command."""
        return gbcs.mac.wrap(signed, self._secret(device))

    def read_version(self, request: duis.Request, now: Instant) -> bytes:
        """The CS08 command for SRV 11.2, which the ACB originates on the User's behalf."""
        user, device = request.id.originator, request.id.target
        message = gbcs.compose(
            gbcs.Cs08Command(),
            originator=self.acb,
            recipient=device,
            counter=self._counter.next(now),
            supplementary=gbcs.Supplementary(user, request.id.counter),
        )
        return self.complete(gbcs.encode_message(message), device)

    def open(self, frame: WanGbcs) -> gbcs.Opened:
        """Believe what a Device says, after every check: keys, speaker, home, and each alert once.

        Raises `DecodeError` or `VerificationError`.
        """
        opened = gbcs.open_message(frame.octets, self._ring, broker=self.acb)
        message = opened.message
        entry = self._inventory.find(message.originator)
        if entry is None or message.originator != frame.device or entry.hub != frame.hub:
            raise VerificationError(
                "device-home", f"{frame.device} behind {frame.hub}", f"a message of {message.originator}"
            )
        if entry.type not in SPEAKERS.get(type(opened.payload), ()):
            raise VerificationError(
                "device-speaker", type(opened.payload).__name__, f"from a {entry.type.value}"
            )
        if message.cra is gbcs.Cra.ALERT:
            last = self._alert_counters.get(entry.device, -1)
            if message.counter <= last:
                raise VerificationError("alert-counter", f"above {last}", str(message.counter))
            self._alert_counters[entry.device] = message.counter
        return opened

    def _secret(self, device: Eui64) -> bytes:
        secrets = self._ring.secrets(self.acb, device)
        if not secrets:
            raise UsageError(f"the ACB's key ring has no secret shared with {device}")
        return secrets[0]
