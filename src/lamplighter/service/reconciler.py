"""The level-triggered reconciler: reads what is, decides what is due, does it, and can die at any moment.

Work is claimed by lease: "inbox" (what came in becomes evidence), "campaign:7" (deadlines, gates, orders),
"outbox" (what is ordered is sent), "storms" (alerts are counted now and then) and "census" (so are versions).
Any number of reconcilers may run; each does what it holds leases for, and every transaction under a lease
checks that it still holds. A tick that finds nothing to do changes nothing, and what failed is tried again
after a pause: nothing here remembers what must not be forgotten.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from lamplighter.campaign.decide import calls_off, decide
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.service import meters, tracing
from lamplighter.service.inquirer import Inquirer
from lamplighter.service.pause import Pause
from lamplighter.service.sender import Sender
from lamplighter.store import LeaseLostError, storms

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.kit import Instant
    from lamplighter.service.gateway import Gateway
    from lamplighter.store import Fence, Store

INBOX: Final = "inbox"
OUTBOX: Final = "outbox"
QUESTIONS: Final = "questions"
"""No lease of its own: questions go out under that of the outbox."""
STORMS: Final = "storms"
CENSUS: Final = "census"
LEASE: Final = MINUTE
"""How long a reconciler that says nothing keeps its work, microseconds; all must have the same."""

READY_AT_ONE_GO: Final = 10_000
"""Updates that one decision looks at; the others are looked at by the next one."""

_ASKS: Final = 5  # whether anybody has looked for storms, in the time in which somebody should
_RENEWALS: Final = 3  # a lease is renewed when a third of it has passed
_PAUSE_MIN: Final = SECOND // 4
_PAUSE_MAX: Final = MINUTE // 2

_log = structlog.get_logger(__name__)


class Reconciler:
    """Brings the world to what the store says that it should be.

    gateway  None: this one sends nothing
    clock    says what time it is; it may jump, either way
    owner    a name that no other running reconciler has, nor this one before it was started
    lease    microseconds

    `tick` does all there is; `tick_records` and `tick_outbox` may run in a thread each.
    """

    def __init__(
        self,
        store: Store,
        gateway: Gateway | None,
        clock: Callable[[], Instant],
        owner: str,
        *,
        lease: int = LEASE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._lease = lease
        self._held: dict[str, tuple[Fence, Instant]] = {}
        self._asked_at: Instant | None = None
        self._pauses: dict[str, Pause] = {}
        self._sender = None if gateway is None else Sender(store, gateway, clock)
        self._inquirer = (
            None if gateway is None or self._sender is None else Inquirer(store, gateway, clock, self._sender)
        )
        self.failures = 0
        """How often something failed that is tried again: the database, or a mistake of ours."""

    def tick(self) -> bool:
        """Do all that is due; whether anything was."""
        came = self.tick_records()
        return self.tick_outbox() or came

    def tick_records(self) -> bool:
        """Turn what came in into evidence, and decide what is due in each campaign."""
        came = self._guarded(INBOX, self._apply)
        came = self._guarded("campaigns", self._campaigns) or came
        self._guarded(STORMS, self._storms)  # what it finds gives nobody anything to do
        self._guarded(CENSUS, self._census)
        return came

    def tick_outbox(self) -> bool:
        """Send what is ordered, and where there is nothing, ask a question of somebody's."""
        sender, inquirer = self._sender, self._inquirer
        if sender is None or inquirer is None:
            return False
        sent = self._guarded(OUTBOX, lambda: sender.send(lambda: self._hold(OUTBOX)))
        return sent or self._guarded(QUESTIONS, lambda: inquirer.ask(lambda: self._hold(OUTBOX)))

    def release(self) -> None:
        """Let go of all leases, so that others need not wait for their end."""
        for name in list(self._held):
            fence, _ = self._held.pop(name)
            try:
                self._store.leases.release(fence)
            except SQLAlchemyError as error:
                _log.warning("lease not given back", lease=name, reason=str(error))

    # In

    def _apply(self) -> bool:
        applied = self._store.record.apply(self._hold(INBOX), self._clock())
        meters.APPLIED.inc(applied)
        return self._store.record.catch_up(self._hold(INBOX)) > 0 or applied > 0

    # Watch

    def _census(self) -> bool:
        """Note which versions run, now and then."""
        return self._store.fleet.sample(self._clock(), lambda: self._hold(CENSUS))

    def _storms(self) -> bool:
        """Look for alert storms, now and then; whether that is due, ask more often: others look, too."""
        now = self._clock()
        if self._asked_at is not None and self._asked_at <= now < self._asked_at + storms.EVERY // _ASKS:
            return False
        self._asked_at = now
        if not self._store.storms.is_due(now):
            return False
        return self._store.storms.watch(lambda: self._hold(STORMS), now) > 0

    # Decide

    def _campaigns(self) -> bool:
        active = self._store.campaigns.numbers_under_way()
        # One campaign that fails must not stop the others, nor one that did something.
        return sum(self._guarded(f"campaign:{number}", self._deciding(number)) for number in active) > 0

    def _deciding(self, number: int) -> Callable[[], bool]:
        return lambda: self._decide(number)

    def _decide(self, number: int) -> bool:
        """One tick of one campaign; whether it changed anything."""
        fence = self._hold(f"campaign:{number}")
        store, now = self._store, self._clock()
        campaign = store.campaigns.find(number)
        store.campaigns.refresh(fence, campaign, now)
        expired = store.orders.expire(fence, campaign, now)
        view = store.campaigns.view(campaign, now)
        ready = store.orders.ready(campaign, now, READY_AT_ONE_GO)
        dated = store.orders.dated(campaign, calls_off(campaign.plan, view, now), now)
        decision = decide(campaign.plan, view, ready, now, dated)
        done = store.orders.commit(fence, campaign, view, decision, ready, now, dated)
        # What is only looked at must not stop, or slow down, what is done.
        self._guarded(f"forecast:{number}", lambda: store.forecasts.watch(fence, campaign, now) is not None)
        return bool(done or expired)

    # Leases and failures

    def _hold(self, name: str) -> Fence:
        """The fence of a lease that is held, taken or renewed where that is due."""
        now = self._clock()
        if (held := self._held.get(name)) is not None:
            fence, since = held
            if 0 <= now - since < self._lease // _RENEWALS:
                return fence
        taken = self._store.leases.take(name, self._owner, now, self._lease)
        if taken is None:
            raise LeaseLostError(f"the lease {name!r} is another's")
        if held is not None and taken != held[0]:
            # It was another's for a while: what was in the middle of being done is to be looked at anew.
            self._held[name] = taken, now
            raise LeaseLostError(f"the lease {name!r} was another's meanwhile")
        self._held[name] = taken, now
        return taken

    def _guarded(self, name: str, work: Callable[[], bool]) -> bool:
        """Do some work; where that fails, drop it and come back to it later."""
        pause = self._pauses.get(name)
        if pause is not None and pause.left:
            return False
        kind, began = name.partition(":")[0], perf_counter()
        try:
            did = work()
        except LeaseLostError as error:
            meters.TICKS.labels(kind, "lost").inc()
            if self._held.pop(name, None) is not None:
                _log.info("work dropped", work=name, reason=str(error))
            return False
        except SQLAlchemyError as error:
            _log.warning("database not reached, or transaction refused", work=name, reason=str(error))
        except Exception:  # noqa: BLE001 # the last line of defence: a mistake in one place stops that place alone
            _log.exception("tick failed", work=name)
        else:
            meters.TICKS.labels(kind, "done" if did else "idle").inc()
            if did:
                meters.TICK_SECONDS.labels(kind).observe(perf_counter() - began)
                tracing.past(f"tick {kind}", perf_counter() - began)
            if pause is not None:
                pause.end()
            return did
        meters.TICKS.labels(kind, "failed").inc()
        self.failures += 1
        if pause is None:
            pause = self._pauses[name] = Pause(self._clock, _PAUSE_MIN, _PAUSE_MAX)
        pause.lengthen()
        return False
