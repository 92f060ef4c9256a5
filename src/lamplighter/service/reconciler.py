"""The level-triggered reconciler: reads what is, decides what is due, does it, and can die at any moment.

A first cut: one process, no waves, no deadlines. Each tick applies what came in, orders what is due, and
sends what is ordered. A tick that finds nothing to do changes nothing.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import httpx2
import structlog

from lamplighter.campaign import Evidence, Fact, Order, next_order
from lamplighter.kit import DecodeError, FirmwareVersion, LamplighterError, VerificationError
from lamplighter.protocol import duis
from lamplighter.service.testimony import statements_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamplighter.kit import Eui64, Instant
    from lamplighter.registry import Release
    from lamplighter.service.gateway import Gateway, Parties
    from lamplighter.service.testimony import Statement
    from lamplighter.store import InboxMessage, OpenRequest, Store, Update

MAX_DEVICES: Final = 50_000  # SRV 11.1 and 11.4, DeviceIDList
_ACCEPTED: Final = "I99"
_UNBELIEVABLE: Final = "not believed"
_WARNINGS: Final = frozenset({"W110101", "W110401"})

_log = structlog.get_logger(__name__)


class Reconciler:
    """Brings the world to what the store says that it should be."""

    def __init__(
        self, parties: Parties, store: Store, gateway: Gateway, clock: Callable[[], Instant]
    ) -> None:
        self._parties = parties
        self._store = store
        self._gateway = gateway
        self._clock = clock

    def tick(self) -> bool:
        """Do all that is due; whether anything was."""
        messages = self._store.waiting()
        for message in messages:
            self._apply(message)
        ordered = self._order()
        requests = self._store.open_requests()
        for request in requests:
            self._send(request)
        return bool(messages or ordered or requests)

    # In

    def _apply(self, message: InboxMessage) -> None:
        """Turn a message into evidence, or set it aside with the reason."""
        try:
            response = duis.decode_response(message.octets)  # verified when it was taken in
            said = statements_in(response, self._parties.ring, self._parties.broker, message.received_at)
        except LamplighterError as cause:
            self._bury(message, str(cause))
            return
        updates = self._store.open_updates_of({item.device for item in said})
        evidence: dict[int, list[Evidence]] = {}
        for item in said:
            update, release = updates.get(item.device, (None, None))
            if update is None or release is None:
                reason = f"{item.evidence.message} for {item.device}, which is not being updated"
                self._bury(message, reason)
                return
            if not _concerns(item, release):
                self._bury(
                    message, f"{item.evidence.message} of {item.about}, not of the image that was sent"
                )
                return
            evidence.setdefault(update.id, []).append(item.evidence)
        self._store.apply(message, evidence, self._clock())

    def _bury(self, message: InboxMessage, reason: str) -> None:
        _log.warning("message set aside", inbox=message.id, reason=reason)
        self._store.bury(message, reason)

    # Decide

    def _order(self) -> bool:
        """Commit the orders that are due to the outbox."""
        due = sorted(
            (
                (order.value, update.release, update)
                for update in self._store.idle_updates()
                if (order := next_order(update.procedure, update.state)) is not None
            ),
            key=lambda row: row[:2],
        )
        for (kind, release), rows in groupby(due, key=lambda row: row[:2]):
            updates = [row[2] for row in rows]
            size = 1 if Order(kind) is Order.ACTIVATE_FIRMWARE else MAX_DEVICES
            for batch in _batches(updates, size):
                self._store.commit_order(Order(kind), release, batch, self._clock())
        return bool(due)

    # Out

    def _send(self, request: OpenRequest) -> None:
        release = self._store.release(request.release)
        devices = list(request.devices)
        try:
            if request.kind is Order.ACTIVATE_FIRMWARE:
                response = self._gateway.activate(request.counter, devices[0], release.hash)
            else:
                response = self._gateway.distribute(request.counter, release, devices)
        except httpx2.HTTPError as cause:
            # It stays in the outbox under its RequestID, and is tried again at the next tick.
            _log.warning("DCC not reached", counter=request.counter, reason=str(cause))
            return
        except (DecodeError, VerificationError) as cause:
            # An answer that cannot be believed: nothing further is sent under this request.
            _log.error("request given up", counter=request.counter, reason=str(cause))
            evidence = self._outcome(request, _refused(request.kind), _UNBELIEVABLE, str(cause))
            self._store.close_request(request.counter, _UNBELIEVABLE, evidence, self._clock())
            return
        self._store.close_request(
            request.counter, response.code, self._answered(request, response), self._clock()
        )

    def _answered(self, request: OpenRequest, response: duis.Response) -> dict[int, list[Evidence]]:
        """What the DCC's synchronous answer means for each update."""
        if response.code != _ACCEPTED and response.code not in _WARNINGS:
            return self._outcome(request, _refused(request.kind), response.code)
        evidence = self._outcome(request, _accepted(request.kind), response.code)
        match response.body:
            case duis.ResponseMessage(payload=duis.FirmwareWarning() as warning):
                for reason, device in _excluded(warning):
                    if device in request.devices:
                        refused = Evidence(Fact.REFUSED, self._clock(), response.code, reason)
                        evidence[request.devices[device]] = [self._submitted(request), refused]
            case _:
                pass
        return evidence

    def _outcome(
        self, request: OpenRequest, fact: Fact, message: str, detail: str = ""
    ) -> dict[int, list[Evidence]]:
        sent = self._submitted(request)
        answer = Evidence(fact, self._clock(), message, detail)
        return {number: [sent, answer] for number in request.devices.values()}

    def _submitted(self, request: OpenRequest) -> Evidence:
        ordered_at = request.created_at
        fact = Fact.ACTIVATION_SENT if request.kind is Order.ACTIVATE_FIRMWARE else Fact.SUBMITTED
        return Evidence(fact, ordered_at, f"SRV {request.kind.value}")


def _refused(kind: Order) -> Fact:
    return Fact.ACTIVATION_REFUSED if kind is Order.ACTIVATE_FIRMWARE else Fact.REFUSED


def _accepted(kind: Order) -> Fact:
    return Fact.ACTIVATION_ACCEPTED if kind is Order.ACTIVATE_FIRMWARE else Fact.ACCEPTED


def _excluded(warning: duis.FirmwareWarning) -> Iterator[tuple[str, Eui64]]:
    """The Devices that a warning leaves out, each with its reason."""
    for reason, devices in (
        ("not valid for this request", warning.invalid),
        ("not commissioned", warning.not_commissioned),
        ("firmware not applicable", warning.not_applicable),
        ("another request in progress", warning.other_request),
        ("GBCS version not valid", warning.invalid_gbcs_version),
    ):
        for device in devices:
            yield reason, device


def _concerns(item: Statement, release: Release) -> bool:
    """Whether a statement is about the image that was sent."""
    if item.about is None:
        return True
    return item.about == (release.version if isinstance(item.about, FirmwareVersion) else release.hash)


def _batches(updates: Sequence[Update], size: int) -> Iterator[Sequence[Update]]:
    for start in range(0, len(updates), size):
        yield updates[start : start + size]
