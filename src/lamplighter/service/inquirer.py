"""Questions to the DCC's inventory, SRV 8.2: one at a time, in the lane of the orders and behind all of them.

What the DCC tells goes the way that the same answer goes as a file: `imports`. A question only reads, so
where it is not known whether the DCC had it, it is asked again: under its own id, and where the DCC refuses
that as a repetition, under a fresh one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from lamplighter.kit import DecodeError, LamplighterError, VerificationError
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.protocol import duis
from lamplighter.protocol.duis.codes import MEANINGS
from lamplighter.service import meters, tracing
from lamplighter.service.gateway import NoAnswerError, is_refusal
from lamplighter.service.imports import Import
from lamplighter.service.pause import Pause
from lamplighter.service.sender import say_unanswered
from lamplighter.store.questions import TOLD, Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.kit import Instant
    from lamplighter.registry.columns import BadRow
    from lamplighter.service.gateway import Gateway
    from lamplighter.service.sender import Sender
    from lamplighter.store import Fence, Store
    from lamplighter.store.questions import Question

SRV: Final = "8.2"
UNBELIEVABLE: Final = "unbelievable"
"""The code of a question whose answer could not be believed."""
GIVEN_UP: Final = "given up"
"""The code of a question that could not be asked."""

_HELD_BACK: Final = "accepted without an inventory: anomaly detection may hold it back"
_QUIET_MIN: Final = SECOND  # after a first failure; each next one doubles it
_QUIET_MAX: Final = 5 * MINUTE

_log = structlog.get_logger(__name__)


class Inquirer:
    """Asks what somebody wants to know, while the sender has nothing to send.

    It remembers nothing that matters, as the sender does not.
    """

    def __init__(self, store: Store, gateway: Gateway, clock: Callable[[], Instant], sender: Sender) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._sender = sender
        self.pause = Pause(clock, _QUIET_MIN, _QUIET_MAX)
        """How long no question goes out after one that came to nothing; orders go out all the same."""

    def ask(self, hold: Callable[[], Fence]) -> bool:
        """Ask the next question, if one may go out; whether one did.

        hold  the fence of the outbox, renewed where it is due; raises `LeaseLostError` where it has fallen
        """
        now = self._clock()
        if self.pause.left or self._sender.pause.left or not self._store.questions.is_any_due(now):
            return False
        if not self._is_room(now):
            return False
        fence = hold()
        question = self._store.questions.next(fence, now)
        if question is None:
            return False
        self._sender.note_spent(fence, question.counter)
        with tracing.span("ask inventory", counter=question.counter) as span:
            outcome = self._ask(hold, question)
            tracing.note(span, outcome=outcome)
        meters.SENT.labels(SRV, outcome).inc()
        return True

    def _is_room(self, now: Instant) -> bool:
        """Whether the caps of campaigns under way leave room; no campaign waits for a question's sake."""
        caps = [
            cap
            for number in self._store.campaigns.numbers_under_way()
            if (cap := self._cap(number)) is not None
        ]
        return not caps or self._store.questions.last_day(now) < min(caps)

    def _cap(self, campaign: int) -> int | None:
        try:
            return self._store.campaigns.find(campaign).plan.caps.requests_per_day
        except LamplighterError:
            return None  # its plan cannot be read, and so it orders nothing

    def _ask(self, hold: Callable[[], Fence], question: Question) -> str:
        """Send a question, and write down what came of it; what that was, in a word of ours."""
        questions = self._store.questions
        try:
            answer = self._gateway.read_inventory(question.counter, question.of)
        except NoAnswerError as error:
            say_unanswered(question.counter, error)
            if error.unsent:
                questions.take_back(hold(), question)
            self.pause.lengthen()
            return "unanswered"
        except LamplighterError as error:
            _log.error("question given up", counter=question.counter, reason=str(error))
            doubtful = isinstance(error, VerificationError | DecodeError)
            code = UNBELIEVABLE if doubtful else GIVEN_UP
            questions.answer(hold(), question, code, self._clock(), str(error))
            self.pause.lengthen()  # the next answers may be no better
            return "given up"
        if isinstance(answer, duis.DspInventory):
            self._take(hold(), question, answer)
            self.pause.end()
            return "accepted"
        code = answer.code
        if is_refusal(code) and question.again:
            _log.info("question asked anew", counter=question.counter, code=code)
            questions.renew(hold(), question, self._clock())
            return "repeated"
        if is_refusal(code):
            said = MEANINGS["ResponseCode"].get(code, "refused by the DCC")
            questions.answer(hold(), question, code, self._clock(), said)
            self.pause.end()
            return "refused"
        questions.answer(hold(), question, code, self._clock(), _HELD_BACK)
        self.pause.lengthen()  # more of them would be held back, too
        return "accepted"

    def _take(self, fence: Fence, question: Question, inventory: duis.DspInventory) -> None:
        """Take in what an answer tells, and close the question, both or neither."""
        bad: list[BadRow] = []
        devices = inventory.devices
        hub = next((it.device for it in devices if it.type is duis.DeviceType.CHF), None)
        with self._store.database.together():
            done = Import(self._store.registry, bad.append, as_of=question.at).answer(inventory)
            told = Told(hub, [it.device for it in devices], done.devices + done.hubs, done.bad)
            why = "; ".join(f"row {row.line}, {row.column}: {row.reason}" for row in bad)
            self._store.questions.answer(fence, question, TOLD, self._clock(), why, told)
