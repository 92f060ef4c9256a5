"""Several whole receive processes on one port: each with its own event loop, keys and database connections.

The kernel deals connections out among them (SO_REUSEPORT). They share nothing but the database.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import socket
import threading
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from lamplighter.kit import UsageError
from lamplighter.service.listener import server

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess
    from types import TracebackType

    from lamplighter.service.receiver import Receiver

GRACE_SECONDS: Final = 10
"""So long a process that is to end may take to answer what is under way."""
READY_SECONDS: Final = 60.0
"""So long a process may take to start."""
_KILL_SECONDS: Final = GRACE_SECONDS + 5.0
_SOUND_SECONDS: Final = 10.0  # a process that has lived so long did not die of its start
_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a start, by how many failed before it

_log = structlog.get_logger(__name__)


class Processes:
    """A context manager: within it, receive processes answer at `url`. One that dies is started again.

    open_receiver  makes a receiver in each process; it must pickle: a function of a module, or a `partial`
    processes  how many, 1 or more
    port  0: any free one, which `url` then names

    Raises `UsageError` where a process does not start.
    """

    def __init__(
        self, open_receiver: Callable[[], Receiver], processes: int, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        if processes < 1:
            raise UsageError(f"at least one process must receive, not {processes}")
        self._open_receiver = open_receiver
        # Bound and never listening: it keeps the port for those that listen.
        self._keeper = _bound(host, port)
        self._slots = [_Slot() for _ in range(processes)]
        self._ending = threading.Event()
        self._wake, self._woken = multiprocessing.Pipe()
        self._watcher = threading.Thread(target=self._watch, name="receive processes", daemon=True)

    @property
    def url(self) -> str:
        """`http://host:port`."""
        host, port = self._keeper.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def pids(self) -> list[int]:
        """The processes that live."""
        return [p.pid for slot in self._slots if (p := slot.process) and p.is_alive() and p.pid is not None]

    def __enter__(self) -> Self:
        for slot in self._slots:
            self._start(slot)
        try:
            for slot in self._slots:
                if not slot.is_ready(READY_SECONDS):
                    raise UsageError("a receive process did not start: the log says why")
        except BaseException:
            self._end()
            raise
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._wake.send_bytes(b"!")
        self._watcher.join()
        self._end()

    def _start(self, slot: _Slot) -> None:
        context = multiprocessing.get_context("spawn")
        # A process sees by the end of its pipe that we have ended, however we ended.
        ours, theirs = context.Pipe()
        address = self._keeper.getsockname()[:2]
        process = context.Process(
            target=_receive, args=(self._open_receiver, address, theirs), name="receive", daemon=True
        )
        process.start()
        theirs.close()
        slot.process, slot.pipe, slot.started_at = process, ours, monotonic()

    def _watch(self) -> None:
        while not self._ending.is_set():
            now = monotonic()
            for slot in self._slots:
                if slot.process is not None and not slot.process.is_alive():
                    self._bury(slot, now)
                if slot.process is None and slot.start_at <= now:
                    self._start(slot)
            sentinels = [slot.process.sentinel for slot in self._slots if slot.process is not None]
            dues = [slot.start_at - now for slot in self._slots if slot.process is None]
            wait([*sentinels, self._woken], min(dues, default=None))

    def _bury(self, slot: _Slot, now: float) -> None:
        assert slot.process is not None
        sound = now - slot.started_at >= _SOUND_SECONDS
        slot.failures = 0 if sound else min(slot.failures + 1, len(_PAUSES) - 1)
        slot.start_at = now + _PAUSES[slot.failures]
        _log.error("receive process died", pid=slot.process.pid, exit=slot.process.exitcode)
        slot.close()

    def _end(self) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.terminate()
        due = monotonic() + _KILL_SECONDS
        for slot in self._slots:
            if slot.process is not None:
                slot.process.join(max(0.0, due - monotonic()))
                if slot.process.is_alive():
                    _log.error("receive process killed", pid=slot.process.pid)
                    slot.process.kill()
                    slot.process.join()
                slot.close()
        self._keeper.close()


class _Slot:
    """The place of one process."""

    def __init__(self) -> None:
        self.process: SpawnProcess | None = None
        self.pipe: Connection[Any, Any] | None = None
        self.started_at = 0.0
        self.start_at = 0.0
        self.failures = 0

    def is_ready(self, seconds: float) -> bool:
        """Whether the process says so, in time."""
        try:
            return self.pipe is not None and self.pipe.poll(seconds) and bool(self.pipe.recv_bytes())
        except EOFError:
            return False

    def close(self) -> None:
        """Forget a process that has ended."""
        if self.pipe is not None:
            self.pipe.close()
        self.process = self.pipe = None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    return bound


def _receive(
    open_receiver: Callable[[], Receiver], address: tuple[str, int], parent: Connection[Any, Any]
) -> None:
    """One process: serve until SIGTERM, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a whole terminal: the parent sees to our end
    receiver = open_receiver()
    gc.freeze()  # what is there by now stays: to look through it again and again costs 3 % of a message
    with _bound(*address) as listening:
        listening.listen(1024)
        running = server(receiver.application(), GRACE_SECONDS)

        def watch_parent() -> None:
            wait([parent])
            running.should_exit = True

        parent.send_bytes(b"ready")
        threading.Thread(target=watch_parent, name="parent", daemon=True).start()
        running.run([listening])
