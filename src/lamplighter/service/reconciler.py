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
from lamplighter.kit import FirmwareVersion, Instant, LamplighterError
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.protocol import duis
from lamplighter.service.gateway import is_refusal
from lamplighter.service.testimony import statements_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lamplighter.kit import Eui64
    from lamplighter.registry import Release
    from lamplighter.service.gateway import Gateway, Parties
    from lamplighter.service.testimony import Statement
    from lamplighter.store import InboxMessage, OpenRequest, Store, Update

MAX_DEVICES: Final = 50_000  # SRV 11.1 and 11.4, DeviceIDList
_GIVEN_UP: Final = "given up"
_QUIET_MIN: Final = SECOND // 4  # after the first failure to reach the DCC; each next one doubles it
_QUIET_MAX: Final = MINUTE
_SHOWN_OBJECTIONS: Final = 5

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
        self._quiet = _QUIET_MIN
        self._quiet_until = Instant(0)

    def tick(self) -> bool:
        """Do all that is due; whether anything was."""
        messages = self._store.waiting()
        for message in messages:
            self._apply(message)
        ordered = self._order()
        requests = self._store.open_requests()
        self._send_all(requests)
        return bool(messages or ordered or requests)

    # In

    def _apply(self, message: InboxMessage) -> None:
        """Turn what concerns us in a message into evidence; set it aside with the reason if nothing does."""
        try:
            response = duis.decode_response(message.octets)  # verified when it was taken in
            said = statements_in(response, self._parties, message.received_at)
        except LamplighterError as cause:
            self._bury(message, str(cause))
            return
        updates = self._store.open_updates_of({item.device for item in said})
        requests = self._store.requests_for(update.id for update, _ in updates.values())
        evidence: dict[int, list[Evidence]] = {}
        objections = []
        for item in said:
            update, release = updates.get(item.device, (None, None))
            if update is None or release is None:
                objections.append(f"{item.evidence.message} for {item.device}, which is not being updated")
            elif objection := _objection(item, release, requests.get(update.id, {})):
                objections.append(objection)
            else:
                evidence.setdefault(update.id, []).append(item.evidence)
        if objections and not evidence:
            self._bury(message, "; ".join(objections[:_SHOWN_OBJECTIONS]))
        else:
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

    def _send_all(self, requests: Sequence[OpenRequest]) -> None:
        """Send what is ordered, in the order of the counters: the DCC takes no lower one after a higher."""
        if self._clock() < self._quiet_until:
            return
        for request in requests:
            try:
                self._send(request)
            except httpx2.HTTPError as cause:
                # It stays in the outbox under its RequestID, and nothing overtakes it.
                self._quiet_until = Instant(self._clock() + self._quiet)
                self._quiet = min(2 * self._quiet, _QUIET_MAX)
                _log.warning("DCC not reached", counter=request.counter, reason=str(cause))
                return
            self._quiet = _QUIET_MIN

    def _send(self, request: OpenRequest) -> None:
        self._store.note_attempt(request.counter, self._clock())
        try:
            response = self._ask(request)
        except LamplighterError as cause:
            # Ours cannot be built, or theirs cannot be believed: nothing further is sent under this request.
            _log.error("request given up", counter=request.counter, reason=str(cause))
            self._close(
                request, _GIVEN_UP, self._outcome(request, _refused(request.kind), _GIVEN_UP, str(cause))
            )
            return
        if is_refusal(response.code) and request.attempted_at is not None:
            self._close(request, response.code, self._after_repetition(request, response.code))
        else:
            self._close(request, response.code, self._answered(request, response))

    def _ask(self, request: OpenRequest) -> duis.Response:
        release = self._store.release(request.release)
        devices = list(request.devices)
        if request.kind is not Order.ACTIVATE_FIRMWARE:
            return self._gateway.distribute(request.counter, release, devices)
        command = request.command
        if command is None:
            signed = self._gateway.transform(request.counter, devices[0], release.hash)
            if isinstance(signed, duis.Response):
                return signed
            self._store.keep_command(request.counter, signed)
            command = signed
        return self._gateway.send_command(request.counter, devices[0], command)

    def _close(self, request: OpenRequest, code: str, evidence: dict[int, list[Evidence]]) -> None:
        self._store.close_request(request.counter, code, evidence, self._clock())

    def _after_repetition(self, request: OpenRequest, code: str) -> dict[int, list[Evidence]]:
        """What a refusal means where an earlier attempt got no answer: the DCC may have that one.

        It may be refused only as a repetition. So it counts as sent, and the Devices' own evidence decides.
        A transform alone has no effect: where its pre-command was never signed, it is simply asked anew.
        """
        if request.kind is Order.ACTIVATE_FIRMWARE and request.command is None:
            return {}
        _log.warning("repetition refused", counter=request.counter, code=code)
        return {number: [self._submitted(request)] for number in request.devices.values()}

    def _answered(self, request: OpenRequest, response: duis.Response) -> dict[int, list[Evidence]]:
        """What the DCC's synchronous answer means for each update."""
        if is_refusal(response.code):
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


def _objection(item: Statement, release: Release, requests: Mapping[int, Instant]) -> str | None:
    """Why a statement is not about what we ordered; None where it is."""
    message, evidence = item.evidence.message, item.evidence
    if item.about is not None:
        sent = release.version if isinstance(item.about, FirmwareVersion) else release.hash
        if item.about != sent:
            return f"{message} of {item.about}, not of the image that was sent"
    if evidence.version == release.version and item.request is None:
        return None  # the Device runs it, whoever brought it there
    if item.request is not None and item.request not in requests:
        return f"{message} about request {item.request}, which was not made for {item.device}"
    if not requests:
        return f"{message} for {item.device}, for which nothing was ordered yet"
    if evidence.version is not None and evidence.at < min(requests.values()):
        return f"{message} for {item.device} from before the first order"
    return None


def _batches(updates: Sequence[Update], size: int) -> Iterator[Sequence[Update]]:
    for start in range(0, len(updates), size):
        yield updates[start : start + size]
