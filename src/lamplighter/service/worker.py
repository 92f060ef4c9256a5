"""A worker: a reconciler in a loop, with a thread that decides and a thread that sends.

It looks when there is word of something new, and now and then where there is none. It may be killed at any
moment; asked to stop, it ends what it is at, gives its leases back, and returns.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Final

import structlog

from lamplighter.service.clock import wall_clock
from lamplighter.service.reconciler import LEASE, Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from lamplighter.kit import Instant
    from lamplighter.service.gateway import Gateway
    from lamplighter.store import Store

POLL_SECONDS: Final = 0.5
_OWNER_MAX: Final = 64  # characters, lease.owner

_log = structlog.get_logger(__name__)


def owner_name(name: str = "") -> str:
    """A name that no other run of any process has: leases are held under it."""
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    return f"{(name or socket.gethostname())[: _OWNER_MAX - len(unique) - 1]}-{unique}"


class Worker:
    """A reconciler that goes on until it is told to stop.

    gateway  None: this one sends nothing
    poll     seconds between two looks where there is no word of anything new

    Use `run` in the thread that is to do the work, or the worker as a context manager: then it has threads of
    its own.
    """

    def __init__(
        self,
        store: Store,
        gateway: Gateway | None,
        clock: Callable[[], Instant] = wall_clock,
        name: str = "",
        *,
        lease: int = LEASE,
        poll: float = POLL_SECONDS,
    ) -> None:
        self.reconciler = Reconciler(store, gateway, clock, owner_name(name), lease=lease)
        self._poll = poll
        self._sends = gateway is not None
        self._news = (threading.Event(), threading.Event())
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Something has come in, or was done to a campaign: look now. From any thread."""
        for news in self._news:
            news.set()

    def stop(self) -> None:
        """End soon. From any thread, and from a signal handler."""
        self._stopped.set()
        self.wake()

    def run(self) -> None:
        """Work until stopped."""
        reconciler, (records, outbox) = self.reconciler, self._news
        sender = threading.Thread(
            target=self._loop, args=(reconciler.tick_outbox, outbox, ()), name="sender", daemon=True
        )
        if self._sends:
            sender.start()
        try:
            # What was decided is to be sent: the sender hears of it at once.
            self._loop(reconciler.tick_records, records, (outbox,))
        finally:
            self.stop()
            if self._sends:
                sender.join()
            reconciler.release()

    def _loop(
        self, tick: Callable[[], bool], news: threading.Event, tell: tuple[threading.Event, ...]
    ) -> None:
        while not self._stopped.is_set():
            news.clear()
            if tick():
                for each in tell:
                    each.set()
            else:
                news.wait(self._poll)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="worker", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()
