"""The one lane from the outbox to the DCC: in the order of the counters, each request with effect once.

An attempt is noted before its first octet goes out. From then on the DCC may have the request, whatever
became of us or of the answer; so it is sent again under its own id, and where the DCC refuses that, it may
refuse the repetition alone. Then the request counts as handed over, and the Devices' own evidence decides: a
deadline, and a read before anything else is sent. So it does where the answer cannot be believed. Nothing
overtakes a request that could not be sent.

An activation that is dated to a quiet hour is not sent after it, nor just before: a Device that is told too
late activates at once. It is ordered anew for the next quiet hour; where it was signed, and so may have been
sent, its Device's own evidence decides.

What calls an activation off goes in the same lane, behind what it calls off, and so under a higher counter.
Once the activation is due it is sent no more: then a Device's answer would say nothing.

A transform alone has no effect. Where its pre-command was lost with us, it is asked for anew, under a fresh
counter. Once the pre-command is signed and kept its counter is spent, and only then may several go at once.

Where a key of ours cannot be used, as when a token is away, nothing goes out and nothing is refused: it all
waits as it does where the DCC is not reached.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from lamplighter.campaign import Cause, Fact, Order
from lamplighter.kit import DecodeError, LamplighterError, UsageError, VerificationError
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.protocol import duis
from lamplighter.service import meters, tracing
from lamplighter.service.gateway import NoAnswerError, NotSignedError, is_refusal
from lamplighter.service.pause import Pause
from lamplighter.service.testimony import cause_of_code
from lamplighter.store.orders import NOTICE
from lamplighter.store.outbox import Answer, Exclusion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lamplighter.kit import Eui64, Instant
    from lamplighter.registry import Release
    from lamplighter.service.gateway import Gateway
    from lamplighter.store import Fence, Store
    from lamplighter.store.outbox import OpenRequest

AT_ONE_GO: Final = 256
"""Requests in one pass; then others get their turn."""

_TOGETHER: Final = 32  # requests for one Device each whose attempts are noted in one transaction
_GIVEN_UP: Final = "given up"
_UNANSWERED: Final = "unanswered"
_NOBODY: Final = "nobody"
_UNWANTED: Final = "unwanted"
_LATE: Final = "too late"
_QUIET_MIN: Final = SECOND // 4  # after the first failure to reach the DCC; each next one doubles it
_QUIET_MAX: Final = MINUTE
_RELEASES_KEPT: Final = 4  # images in memory
_DETAIL_MAX: Final = 500  # characters of a foreign reason that are kept


class _Facts(NamedTuple):
    """What the DCC's answer to a request is evidence of."""

    handed_over: Fact
    accepted: Fact
    refused: Fact


_UPDATE: Final = _Facts(Fact.SUBMITTED, Fact.ACCEPTED, Fact.REFUSED)
_FACTS: Final = {
    Order.UPDATE_FIRMWARE: _UPDATE,
    Order.UPDATE_PPMID_FIRMWARE: _UPDATE,
    Order.ACTIVATE_FIRMWARE: _Facts(Fact.ACTIVATION_SENT, Fact.ACTIVATION_ACCEPTED, Fact.ACTIVATION_REFUSED),
    Order.CALL_OFF_ACTIVATION: _Facts(Fact.CALL_OFF_SENT, Fact.CALL_OFF_SENT, Fact.CALL_OFF_REFUSED),
    Order.READ_FIRMWARE_VERSION: _Facts(Fact.READ_SENT, Fact.READ_SENT, Fact.READ_FAILED),
}
_COMMANDS: Final = frozenset({Order.ACTIVATE_FIRMWARE, Order.CALL_OFF_ACTIVATION})
"""What goes to a Device as a command that we sign: SRV 11.3."""

_log = structlog.get_logger(__name__)


class Sender:
    """Sends what is ordered, for as long as it holds the lease "outbox".

    It remembers nothing that matters: another one may go on where it was stopped.
    """

    def __init__(self, store: Store, gateway: Gateway, clock: Callable[[], Instant]) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._releases: dict[int, Release] = {}
        self._lane: Fence | None = None
        self._last = 0
        self.pause = Pause(clock, _QUIET_MIN, _QUIET_MAX)
        """How long the DCC is left alone after it was not reached."""

    def send(self, hold: Callable[[], Fence]) -> bool:
        """Send what is ordered, up to `AT_ONE_GO` requests; whether there was anything that could be done.

        hold  the fence of the outbox, renewed where it is due; raises `LeaseLostError` where it has fallen
        """
        fence = hold()
        meters.PAUSE.set(self.pause.left / SECOND)
        if self.pause.left:
            return False
        outbox = self._store.outbox
        if fence != self._lane:
            self._lane, self._last = fence, outbox.last_attempted()
        requests = outbox.open_requests(AT_ONE_GO)
        # The DCC may have them or not. To send them again could order what nobody wants any more.
        abandoned = [
            Answer(it.counter, _UNANSWERED, _FACTS[it.kind].handed_over, f"SRV {it.kind.srv}")
            for it in requests
            if not it.wanted and _may_have_effect(it)
        ]
        # An update that was never attempted is taken back by whoever decides; an activation here.
        abandoned += [
            Answer(it.counter, _UNWANTED, Fact.ACTIVATION_REFUSED, _UNWANTED, Cause.OPERATOR)
            for it in requests
            if not it.wanted and it.kind is Order.ACTIVATE_FIRMWARE and not _may_have_effect(it)
        ]
        late = [it for it in requests if it.wanted and self._is_too_late(it)]
        abandoned += [
            Answer(it.counter, _UNANSWERED, _FACTS[it.kind].handed_over, f"SRV {it.kind.srv}")
            for it in late
            if _may_have_effect(it)
        ]
        unsent = [it for it in late if not _may_have_effect(it)]
        abandoned += [
            Answer(it.counter, _LATE, Fact.CALL_OFF_REFUSED, _LATE, Cause.TOO_LATE)
            for it in unsent
            if it.kind is Order.CALL_OFF_ACTIVATION
        ]
        if abandoned:
            outbox.answer(fence, abandoned, self._clock())
        self._postpone(fence, [it for it in unsent if it.kind is Order.ACTIVATE_FIRMWARE])
        gone = {it.counter for it in late}
        wanted = [it for it in requests if it.wanted and it.counter not in gone]
        overtaken = [it.counter for it in wanted if it.attempted_at is None and it.counter <= self._last]
        if overtaken:
            outbox.renew(fence, overtaken, self._clock())
            return True
        for group in _groups(wanted):
            if not self._send_group(hold, group):
                self.pause.lengthen()
                break
            self.pause.end()
        return bool(wanted or abandoned or late)

    def note_spent(self, fence: Fence, counter: int) -> None:
        """A counter was sent beside the orders: one that is lower and was not is overtaken."""
        if fence == self._lane:
            self._last = max(self._last, counter)

    def _is_too_late(self, request: OpenRequest) -> bool:
        """Whether a Device can no longer be told in time to activate; or not to, where it is due by now."""
        at = request.execution_at
        if at is None:
            return False
        notice = 0 if request.kind is Order.CALL_OFF_ACTIVATION else NOTICE
        return at <= self._clock() + notice

    def _postpone(self, fence: Fence, missed: Iterable[OpenRequest]) -> None:
        """Order activations anew, whose time has come before they were sent, for the next quiet hour."""
        by_campaign: dict[int, list[int]] = defaultdict(list)
        for request in missed:
            by_campaign[request.campaign].append(request.counter)
        for number, counters in sorted(by_campaign.items()):
            campaign, now = self._store.campaigns.find(number), self._clock()
            done = self._store.orders.postpone(fence, campaign, counters, now)
            _log.warning("activations not sent in time", campaign=campaign.name, postponed=done)

    def _send_group(self, hold: Callable[[], Fence], group: Sequence[OpenRequest]) -> bool:
        """Send some requests of one kind; whether the DCC answered them all, and could be believed."""
        fence = hold()
        may = self._store.outbox.note_attempts(fence, [it.counter for it in group], self._clock())
        group = [it for it in group if it.counter in may]
        if not group:
            return True
        done, srv = _Pass(), group[0].kind.srv
        with tracing.span("send requests", srv=srv, requests=len(group)) as span:
            if group[0].kind in _COMMANDS:
                self._activate(hold, group, done)
            else:
                self._ask_each(hold, group, done, self._distribute_or_read)
            self._settle(fence, done)
            tracing.note(span, answered=len(done.answers))
        for answer in done.answers:
            meters.SENT.labels(srv, _outcome(answer)).inc()
        if done.unanswered:
            meters.SENT.labels(srv, _UNANSWERED).inc()
        return not (done.unanswered or done.doubtful)

    def _settle(self, fence: Fence, done: _Pass) -> None:
        """Write down what came of it."""
        outbox, now = self._store.outbox, self._clock()
        if done.answers:
            outbox.answer(fence, done.answers, now)
        if done.lost:
            outbox.renew(fence, done.lost, now)
        if done.unsent:
            outbox.take_back_attempts(fence, done.unsent)

    def _ask_each(
        self,
        hold: Callable[[], Fence],
        group: Sequence[OpenRequest],
        done: _Pass,
        ask: Callable[[OpenRequest, _Pass], None],
    ) -> None:
        """One after the other, until one is not answered; those behind it were never sent."""
        for number, request in enumerate(group):
            hold()  # whoever was stopped for longer than the lease lasts must not go on in another's lane
            try:
                ask(request, done)
            except NoAnswerError as error:
                say_unanswered(request.counter, error)
                done.unanswered = True
                never = group[number if error.unsent else number + 1 :]
                done.unsent += [it.counter for it in never if it.attempted_at is None]
                return
            except LamplighterError as error:
                # Ours cannot be built, or theirs cannot be believed: nothing more is sent under this request.
                self._give_up(request, error, done, has_effect=ask != self._transform)
            self._last = max(self._last, request.counter)

    def _distribute_or_read(self, request: OpenRequest, done: _Pass) -> None:
        if request.kind is Order.READ_FIRMWARE_VERSION:
            assert request.device is not None
            response = self._gateway.read_version(request.counter, request.device)
        else:
            devices = self._store.outbox.devices_of(request)
            if not devices:
                # All have gone on to later orders since, and the DCC has nothing of this one.
                done.answers.append(Answer(request.counter, _NOBODY, None))
                return
            response = self._gateway.distribute(request.counter, self._release(request.release), devices)
        done.answers.append(_answer(request, response, repeated=request.attempted_at is not None))

    def _activate(self, hold: Callable[[], Fence], group: Sequence[OpenRequest], done: _Pass) -> None:
        """SRV 11.3: pre-commands one after the other, kept, and then all sent at once."""
        self._ask_each(hold, group, done, self._transform)
        # Transforms take their time. What is late by now is not sent; the next pass sees to it.
        done.signed = [it for it in done.signed if not self._is_too_late(it[0])]
        self._store.outbox.keep_commands(hold(), {it.counter: octets for it, octets in done.signed})
        outcomes = self._gateway.send_commands(
            [(it.counter, _device_of(it), octets) for it, octets in done.signed]
        )
        for (request, _), outcome in zip(done.signed, outcomes, strict=True):
            match outcome:
                case NoAnswerError():
                    say_unanswered(request.counter, outcome)
                    done.unanswered = True
                case LamplighterError():
                    self._give_up(request, outcome, done, has_effect=True)
                case response:
                    repeated = request.command is not None
                    done.answers.append(_answer(request, response, repeated=repeated))

    @staticmethod
    def _give_up(request: OpenRequest, error: LamplighterError, done: _Pass, *, has_effect: bool) -> None:
        """Close a request that is not sent again; where the DCC may have taken it, that is not known."""
        _log.error("request given up", counter=request.counter, reason=str(error))
        doubtful = isinstance(error, VerificationError | DecodeError)
        if has_effect and (doubtful or request.attempted_at is not None):
            fact, detail = _FACTS[request.kind].handed_over, f"{_GIVEN_UP}: {error}"[:_DETAIL_MAX]
            answer = Answer(request.counter, _GIVEN_UP, fact, f"SRV {request.kind.srv}", detail=detail)
            done.doubtful = True
        else:
            answer = _given_up(request, error)
        done.answers.append(answer)

    def _transform(self, request: OpenRequest, done: _Pass) -> None:
        if request.command is not None:
            done.signed.append((request, request.command))
            return
        release = self._release(request.release)
        execution = duis.CANCEL if request.kind is Order.CALL_OFF_ACTIVATION else request.execution_at
        signed = self._gateway.transform(request.counter, _device_of(request), release.hash, execution)
        if not isinstance(signed, duis.Response):
            done.signed.append((request, signed))
        elif request.attempted_at is None:
            done.answers.append(_answer(request, signed, repeated=False))
        else:
            _log.info("pre-command asked for anew", counter=request.counter, code=signed.code)
            done.lost.append(request.counter)

    def _release(self, number: int) -> Release:
        """A release with its image; the latest few are kept."""
        found = self._releases.pop(number, None) or self._store.registry.release(number)
        self._releases[number] = found
        if len(self._releases) > _RELEASES_KEPT:
            del self._releases[next(iter(self._releases))]
        return found


class _Pass:
    """What came of a group of requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.signed: list[tuple[OpenRequest, bytes]] = []
        self.lost: list[int] = []
        """Transforms that the DCC has answered to nobody: asked for anew."""
        self.unsent: list[int] = []
        """Noted as attempted, and yet never sent."""
        self.unanswered = False
        self.doubtful = False
        """Whether an answer could not be believed: the next ones may be no better."""


def _groups(requests: Sequence[OpenRequest]) -> Iterator[list[OpenRequest]]:
    """Runs of one kind: large requests alone, small ones some at a time."""
    for kind, run in groupby(requests, key=lambda it: it.kind):
        size = 1 if _FACTS[kind] is _UPDATE else _TOGETHER
        listed = list(run)
        for start in range(0, len(listed), size):
            yield listed[start : start + size]


def say_unanswered(counter: int, error: NoAnswerError) -> None:
    """Note in the log whose fault it is that a request has no answer."""
    if isinstance(error, NotSignedError):
        _log.error("request not signed", counter=counter, reason=str(error))
    else:
        _log.warning("DCC not reached", counter=counter, reason=str(error))


def _outcome(answer: Answer) -> str:
    """What came of a request, in a word of ours: response codes are the DCC's, and in the log."""
    if answer.code in {_GIVEN_UP, _NOBODY}:
        return answer.code
    if not is_refusal(answer.code):
        return "accepted"
    return "refused" if answer.cause is not Cause.NONE else "repeated"


def _may_have_effect(request: OpenRequest) -> bool:
    """Whether the DCC may have what it would act on; a transform alone has no effect."""
    if request.kind in _COMMANDS:
        return request.command is not None
    return request.attempted_at is not None


def _device_of(request: OpenRequest) -> Eui64:
    assert request.device is not None
    return request.device


def _answer(request: OpenRequest, response: duis.Response, *, repeated: bool) -> Answer:
    """What the DCC's synchronous answer means for each Device."""
    counter, code, facts = request.counter, response.code, _FACTS[request.kind]
    if is_refusal(code) and repeated:
        _log.warning("repetition refused", counter=counter, code=code)
        return Answer(counter, code, facts.handed_over, f"SRV {request.kind.srv}", detail=f"again: {code}")
    if is_refusal(code):
        return Answer(counter, code, facts.refused, cause=cause_of_code(code), detail=code)
    match response.body:
        case duis.ResponseMessage(payload=duis.FirmwareWarning() as warning):
            return Answer(counter, code, facts.accepted, excluded=_excluded(warning))
        case _:
            return Answer(counter, code, facts.accepted)


def _given_up(request: OpenRequest, error: LamplighterError) -> Answer:
    cause = Cause.REQUEST if isinstance(error, UsageError) else Cause.UNBELIEVABLE
    detail = str(error)[:_DETAIL_MAX]
    return Answer(request.counter, _GIVEN_UP, _FACTS[request.kind].refused, _GIVEN_UP, cause, detail)


def _excluded(warning: duis.FirmwareWarning) -> Mapping[Eui64, Exclusion]:
    """The Devices that a warning leaves out, each with its reason."""
    return {
        device: Exclusion(cause, detail)
        for cause, detail, devices in (
            (Cause.INVALID, "not valid for this request", warning.invalid),
            (Cause.NOT_COMMISSIONED, "not commissioned", warning.not_commissioned),
            (Cause.NOT_APPLICABLE, "firmware not applicable", warning.not_applicable),
            (Cause.OTHER_REQUEST, "another request in progress", warning.other_request),
            (Cause.GBCS_VERSION, "GBCS version not valid", warning.invalid_gbcs_version),
        )
        for device in devices
    }
