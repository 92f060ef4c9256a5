"""The way in: the User's Receive Response service, to which the DCC posts responses and alerts.

204 means: verified, and on our disk. 400 means: refused, and why; nothing was stored. Nothing else is said.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lamplighter.kit import LamplighterError, VerificationError
from lamplighter.protocol import duis

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lamplighter.kit import Instant
    from lamplighter.service.gateway import Parties
    from lamplighter.store import Store

RECEIVE_PATH: Final = "/duis/responses"

MAX_MESSAGE_OCTETS: Final = 2_000_000
"""Larger messages are refused unread; the largest lawful one is a warning that lists 50,000 Devices."""

_log = structlog.get_logger(__name__)


class Receiver:
    """Verifies what is posted, stores it durably, then says so.

    taken  called after each new message, from any thread: somebody may want to look at the inbox
    """

    def __init__(
        self,
        parties: Parties,
        store: Store,
        clock: Callable[[], Instant],
        taken: Callable[[], object] = lambda: None,
    ) -> None:
        self._parties = parties
        self._store = store
        self._clock = clock
        self._taken = taken
        self.counts: Counter[str] = Counter()
        """How many messages were "taken", "repeated" and "refused"."""

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route(RECEIVE_PATH, self._post, methods=["POST"])])

    async def _post(self, request: Request) -> Response:
        try:
            octets = await _body(request)
            # Verification and the disk both block: neither may hold up the other connections.
            new = await run_in_threadpool(self.take, octets)
        except LamplighterError as refusal:
            self.counts["refused"] += 1
            _log.warning("message refused", reason=str(refusal))
            return PlainTextResponse(f"{refusal}\n", status_code=400)
        self.counts["taken" if new else "repeated"] += 1
        if new:
            self._taken()
        return Response(status_code=204)

    def take(self, octets: bytes) -> bool:
        """Verify a message for us and store it; False where it was here already.

        Raises `DecodeError` or `VerificationError` where it must be refused.
        """
        now = self._clock()
        parties = self._parties
        response = duis.open_response(octets, parties.ring, now=now, dcc=parties.broker).message
        addressee = _addressee(response)
        if addressee != parties.supplier:
            raise VerificationError(
                "message-for-another", f"a message for {parties.supplier}", f"one for {addressee}"
            )
        return self._store.take_in(octets, now)


def _addressee(response: duis.Response) -> object:
    """The User that a message is for: who asked, or who is told."""
    if response.request_id is not None:
        return response.request_id.originator
    return None if response.response_id is None else response.response_id.target


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_MESSAGE_OCTETS:
            raise VerificationError("message-oversize", f"at most {MAX_MESSAGE_OCTETS} octets", "more")
        chunks.append(chunk)
    return b"".join(chunks)
