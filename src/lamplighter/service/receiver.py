"""The way in: the User's Receive Response service, to which the DCC posts responses and alerts.

204 means: verified, and on our disk. 400 means: refused, and why; nothing of it was stored but a count. 503
means: not now, so that the DCC tries again. Nothing else is said of a message.

What comes while a lot of messages is looked at is the next lot. One thread verifies the messages of a lot,
another stores all of them in one transaction, with one flush to the disk, while the first has the next lot.
Lots are made for the processor, too: between two naps a message costs half as much again to verify.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from queue import Queue, SimpleQueue
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from lamplighter.kit import DecodeError, LamplighterError, VerificationError
from lamplighter.protocol import duis
from lamplighter.service import meters, tracing
from lamplighter.service.door import Door, Limits
from lamplighter.service.testimony import incoming
from lamplighter.store.audit import SYSTEM
from lamplighter.store.inbox import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamplighter.kit import Instant
    from lamplighter.service.gateway import Parties
    from lamplighter.store import Store
    from lamplighter.store.inbox import Incoming

RECEIVE_PATH: Final = "/duis/responses"

MAX_MESSAGE_OCTETS: Final = Limits().body_octets
"""Larger messages are refused unread; the largest lawful one is a warning that lists 50,000 Devices."""

REPLAYED_AT_ONCE: Final = 1_000
"""Dead letters that are in memory, and read again in one transaction."""
LOT_MAX: Final = 256
"""Messages stored in one transaction at most."""
LOT_GOOD: Final = 64
"""So many messages wait for no more to come."""
LINGER_SECONDS: Final = 0.005
"""So long fewer wait for others: about as long as a flush to the disk takes anyhow."""
WAITING_MAX: Final = 2000
"""Messages that wait to be stored; beyond that the DCC is asked to come again."""
WAITING_OCTETS_MAX: Final = 64_000_000
REFUSALS_SECONDS: Final = 1.0
"""Counts of refusals are stored no more often."""

_CLOSE_SECONDS: Final = 60.0
_SHOWN: Final = 300

_TAKEN: Final = (204, "")
_UNSTORED: Final = (503, "unstored: the message could not be stored")
_UNREAD: Final = (503, "unread: the message could not be looked at")

_TAKEN_METER, _REPEATED_METER, _REFUSED_METER, _UNSTORED_METER, _BUSY_METER = (
    meters.RECEIVED.labels(outcome) for outcome in ("taken", "repeated", "refused", "unstored", "busy")
)
_VERIFY_METER, _STORE_METER = (meters.LOT_SECONDS.labels(step) for step in ("verify", "store"))

_log = structlog.get_logger(__name__)


class Receiver:
    """Verifies what is posted, stores it durably, then says so.

    taken  called after new messages were stored, from any thread: somebody may want to look at the inbox
    limits  what a client may ask of the service
    """

    def __init__(
        self,
        parties: Parties,
        store: Store,
        clock: Callable[[], Instant],
        taken: Callable[[], object] = lambda: None,
        limits: Limits | None = None,
    ) -> None:
        self._parties = parties
        self._inbox = store.inbox
        self._clock = clock
        self._taken = taken
        self._limits = limits
        self._refusals: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        """How many messages were "taken", "repeated", "refused", put off because of the store ("unstored") or
        because too many wait ("busy")."""

    def application(self) -> Door:
        """What a `Listener` serves."""
        return Door(RECEIVE_PATH, lambda: _Desk(self, asyncio.get_running_loop()), self._limits)

    def take(self, octets: bytes) -> bool:
        """Verify a message for us and store it; False where it was here already.

        Raises `DecodeError` or `VerificationError` where it must be refused.
        """
        return self.store([self.read(octets)])[0]

    def read(self, octets: bytes) -> Incoming:
        """Verify a message for us, and see what it says.

        Raises `DecodeError` or `VerificationError` where it must be refused. What a Device says inside may
        still be beyond belief: then it is taken, and is a dead letter.
        """
        now = self._clock()
        parties = self._parties
        response = duis.open_response(octets, parties.ring, now=now, dcc=parties.broker).message
        addressee = _addressee(response)
        if addressee != parties.supplier:
            raise VerificationError(
                "message-for-another", f"a message for {parties.supplier}", f"one for {addressee}"
            )
        return incoming(octets, response, parties, now)

    def store(self, messages: Sequence[Incoming]) -> list[bool]:
        """Store messages durably, all or none; False for each that was here already."""
        new = self._inbox.take_in(messages)
        taken = sum(new)
        self.counts["taken"] += taken
        self.counts["repeated"] += len(new) - taken
        _TAKEN_METER.inc(taken)
        _REPEATED_METER.inc(len(new) - taken)
        if taken:
            self._taken()
        return new

    def refuse(self, check: str, text: str) -> None:
        """Note a refusal: in the log, and in the count that is stored by and by."""
        with self._lock:
            self.counts["refused"] += 1
            self._refusals[check] += 1
        _REFUSED_METER.inc()
        meters.refused(check)
        _log.warning("message refused", check=check, reason=text)

    def store_refusals(self) -> None:
        """Store the counts of refusals that are not stored yet; they are kept where that fails."""
        with self._lock:
            refusals, self._refusals = self._refusals, Counter()
        try:
            self._inbox.count_refusals(refusals, self._clock())
        except Exception:
            with self._lock:
                self._refusals.update(refusals)
            raise

    @property
    def has_refusals(self) -> bool:
        """Whether there are refusals whose count is not stored yet."""
        return bool(self._refusals)


def replay(store: Store, parties: Parties, ids: Iterable[int], now: Instant, who: str = SYSTEM) -> int:
    """Read dead letters again, by their numbers: a key may be there by now; how many are dead no more.

    What they say is applied as if they had come now. Their signatures were verified when they came, and a
    certificate may have expired since. `REPLAYED_AT_ONCE` are in memory at a time, and committed together.
    """
    inbox, wanted = store.inbox, sorted(set(ids))
    revived = 0
    for start in range(0, len(wanted), REPLAYED_AT_ONCE):
        readings = {}
        for letter in inbox.letters(wanted[start : start + REPLAYED_AT_ONCE]):
            again = incoming(letter.octets, duis.decode_response(letter.octets), parties, letter.received_at)
            readings[letter.id] = Reading(again.statements, again.reason)
        revived += inbox.replay(readings, now, who)
    return revived


def replay_all(store: Store, parties: Parties, now: Instant, who: str = SYSTEM) -> tuple[int, int]:
    """Read every dead letter again, as `replay` does; how many there were, and how many are dead no more."""
    asked = revived = after = 0
    while numbers := store.inbox.dead_numbers(after, REPLAYED_AT_ONCE):
        asked, after = asked + len(numbers), numbers[-1]
        revived += replay(store, parties, numbers, now, who)
    return asked, revived


class _Waiting(NamedTuple):
    octets: bytes
    answer: Callable[[int, str], None]


class _Verified(NamedTuple):
    lot: list[_Waiting]
    answers: list[tuple[int, str]]
    """One for each of the lot, if what is to be stored is stored."""
    messages: list[Incoming]


class _Desk:
    """One event loop's queue, and two threads that work it off, `_verify` and `_store`."""

    def __init__(self, receiver: Receiver, loop: asyncio.AbstractEventLoop) -> None:
        self._receiver = receiver
        self._loop = loop
        self._waiting: list[_Waiting] = []
        self._octets = 0
        self._verifying = False
        self._timer: asyncio.TimerHandle | None = None
        self._lots: SimpleQueue[list[_Waiting] | None] = SimpleQueue()
        self._verified: Queue[_Verified | None] = Queue(maxsize=1)
        self._refusals_stored_at = -REFUSALS_SECONDS
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._verify, "verify"), (self._store, "inbox"))
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, octets: bytes, answer: Callable[[int, str], None]) -> None:
        """Have a message verified and stored."""
        if len(self._waiting) >= WAITING_MAX or self._octets >= WAITING_OCTETS_MAX:
            self._receiver.counts["busy"] += 1
            _BUSY_METER.inc()
            answer(503, "busy: too many messages wait")
            return
        self._waiting.append(_Waiting(octets, answer))
        self._octets += len(octets)
        self._stir()

    def turn_away(self, check: str, text: str) -> None:
        """Note a request that brought no message."""
        self._receiver.refuse(check, text)
        self._stir()

    def close(self) -> None:
        """Work off what waits, and end the threads."""
        if self._timer is not None:
            self._timer.cancel()
        self._lots.put(self._waiting)
        self._lots.put(None)
        self._waiting = []
        for thread in self._threads:
            thread.join(_CLOSE_SECONDS)

    def _stir(self) -> None:
        """See to it that what waits is handed over, soon."""
        if self._verifying:
            return
        if len(self._waiting) >= LOT_GOOD:
            self._hand_over()
        elif self._timer is None:
            self._timer = self._loop.call_later(LINGER_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lot, self._waiting = self._waiting[:LOT_MAX], self._waiting[LOT_MAX:]
        self._octets -= sum(len(each.octets) for each in lot)
        self._verifying = True
        self._lots.put(lot)

    def _handed_on(self) -> None:
        self._verifying = False
        if self._waiting:
            self._stir()

    def _done(self, lot: list[_Waiting], answers: list[tuple[int, str]]) -> None:
        for each, (status, text) in zip(lot, answers, strict=True):
            each.answer(status, text)

    def _in_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop has ended meanwhile: nobody waits for an answer any more
            _log.warning("answers lost")

    def _verify(self) -> None:
        """One thread: verify each message of a lot; wait where the store is two lots behind."""
        while (lot := self._lots.get()) is not None:
            began = perf_counter()
            with tracing.span("verify messages", messages=len(lot)):
                looked_at = self._looked_at(lot)
            if lot:
                meters.LOT.observe(len(lot))
                _VERIFY_METER.observe(perf_counter() - began)
            self._verified.put(looked_at)
            self._in_loop(self._handed_on)
        self._verified.put(None)

    def _looked_at(self, lot: list[_Waiting]) -> _Verified:
        receiver = self._receiver
        answers = [_TAKEN] * len(lot)
        messages = []
        for index, each in enumerate(lot):
            try:
                messages.append(receiver.read(each.octets))
            except LamplighterError as refusal:
                receiver.refuse(_check_of(refusal), str(refusal))
                answers[index] = 400, str(refusal)
            except Exception as error:  # noqa: BLE001 # a fault of ours, and no other message may suffer from it
                _log.error("message not read", reason=_first_line(error))
                answers[index] = _UNREAD
        return _Verified(lot, answers, messages)

    def _store(self) -> None:
        """The other thread: store all of a lot, or none."""
        while (verified := self._verified.get()) is not None:
            lot, answers, messages = verified
            if messages and not self._is_stored(messages):
                answers = [_UNSTORED if answer == _TAKEN else answer for answer in answers]
            self._in_loop(self._done, lot, answers)
            if monotonic() - self._refusals_stored_at >= REFUSALS_SECONDS:
                self._store_refusals()
        self._store_refusals()

    def _is_stored(self, messages: list[Incoming]) -> bool:
        began = perf_counter()
        try:
            with tracing.span("store messages", messages=len(messages)):
                self._receiver.store(messages)
        except Exception as error:  # noqa: BLE001 # whatever: they are not on the disk, and the DCC must hear so
            self._receiver.counts["unstored"] += len(messages)
            _UNSTORED_METER.inc(len(messages))
            _log.error("messages not stored", messages=len(messages), reason=_first_line(error))
            return False
        _STORE_METER.observe(perf_counter() - began)
        return True

    def _store_refusals(self) -> None:
        if self._receiver.has_refusals:
            self._refusals_stored_at = monotonic()
            try:
                self._receiver.store_refusals()
            except Exception as error:  # noqa: BLE001 # the thread must live on; they are kept, and stored later
                _log.error("counts of refusals not stored", reason=_first_line(error))


def _first_line(error: Exception) -> str:
    """What went wrong; the rest of a database's error is our own statement, with every message in it."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:_SHOWN]


def _check_of(refusal: LamplighterError) -> str:
    """A short, fixed word for a refusal."""
    match refusal:
        case VerificationError(check=check):
            return check
        case DecodeError(what=what):
            return f"decode: {what}"
        case _:
            return type(refusal).__name__


def _addressee(response: duis.Response) -> object:
    """The User that a message is for: who asked, or who is told."""
    if response.request_id is not None:
        return response.request_id.originator
    return None if response.response_id is None else response.response_id.target
