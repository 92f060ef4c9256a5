"""What leaves the DCC for Users: numbered, signed, and throttled where a Device raises a storm."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.lab.dcc.storm import StormKey, StormLimits, Throttle
from lamplighter.lab.wire import ToUser
from lamplighter.protocol import duis

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, Instant
    from lamplighter.lab.dcc.broker import Counter
    from lamplighter.protocol.smki import Signer

SUCCESS: Final = "I0"


class _Notice(NamedTuple):
    """An alert that a Device gave rise to."""

    user: Eui64
    body: duis.DeviceAlert | duis.DccAlert
    devices: tuple[Eui64, ...]
    id: duis.RequestId | None
    """The id of a Device's own alert; the DCC's get theirs when they are sent."""


class Outbox:
    """The one place where messages to Users are made."""

    __slots__ = ("_acb", "_counter", "_signer", "_throttle")

    def __init__(self, acb: Eui64, signer: Signer, counter: Counter, limits: StormLimits) -> None:
        self._acb = acb
        self._signer = signer
        self._counter = counter
        self._throttle: Throttle[_Notice] = Throttle(limits)

    @property
    def pending(self) -> int:
        """Storms whose latest alerts are still to be told."""
        return self._throttle.pending

    @property
    def next_due(self) -> Instant | None:
        """When to tell of storms again."""
        return self._throttle.next_due

    def sign(self, response: duis.Response) -> bytes:
        """A message as it goes over the wire."""
        return duis.sign(duis.encode_response(response), self._signer)

    def answer(
        self,
        request: duis.RequestId,
        srv: str,
        code: str,
        payload: duis.Payload | None,
        devices: tuple[Eui64, ...],
        now: Instant,
        *,
        by_device: bool = False,
    ) -> ToUser:
        """The asynchronous Response to a request; only a Device's answer has a ResponseID."""
        answered = request.swapped if by_device else None
        body = duis.ResponseMessage(srv, srv, payload)
        return ToUser(
            request.originator, self.sign(duis.Response(request, answered, code, now, body)), devices
        )

    def alert(self, user: Eui64, alert: duis.DccAlert, devices: tuple[Eui64, ...], now: Instant) -> ToUser:
        """A DCC Alert."""
        return self._sent(_Notice(user, alert, devices, None), now)

    def raised(
        self,
        code: int,
        user: Eui64,
        body: duis.DeviceAlert | duis.DccAlert,
        device: Eui64,
        now: Instant,
        id_: duis.RequestId | None = None,
    ) -> tuple[ToUser, ...]:
        """An alert that a Device gave rise to; nothing while it raises a storm of them.

        code  the Device's own alert code
        id_   the id of a Device's own alert
        """
        notice = _Notice(user, body, (device,), id_)
        if self._throttle.admit(StormKey(user, device, code), notice, now):
            return (self._sent(notice, now),)
        return ()

    def wake(self, now: Instant) -> list[ToUser]:
        """What is to be told of storms by now."""
        return [
            self._sent(notice._replace(body=replace(notice.body, throttled=throttled)), now)
            for notice, throttled in self._throttle.wake(now)
        ]

    def _sent(self, notice: _Notice, now: Instant) -> ToUser:
        id_ = notice.id or duis.RequestId(self._acb, notice.user, self._counter.next(now))
        octets = self.sign(duis.Response(None, id_, SUCCESS, now, notice.body))
        return ToUser(notice.user, octets, notice.devices)
