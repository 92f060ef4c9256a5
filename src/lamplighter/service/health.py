"""Whether a process can do its work: what a load balancer, systemd or a person asks.

Alive is who answers at all. Ready is who can be given work. The checks, in the order in which one of them is
the cause of the next: the database answers; it is at the migration that this program was made for; somebody
holds the lease "inbox", which a reconciler holds as long as it runs, with or without a campaign; no request
lies in the outbox for too long.

The last two are about the engine, which may be another process. A process that only shows pages stays ready
without it: nobody must lose the pages in the hour in which they are needed most.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.store.gauges import Gauges

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamplighter.kit import Instant
    from lamplighter.store import Store

FRESH_SECONDS: Final = 1.0
"""So long a verdict is told again."""
OUTBOX_AGE: Final = 15 * MINUTE
"""A request that was ordered so long ago, and is not answered, says that the DCC is not reached."""


class Check(NamedTuple):
    """One check."""

    name: str
    """A fixed word."""
    passed: bool
    """How it went."""
    detail: str
    """The figure behind it; no secret and no name."""
    counts: bool
    """Whether it decides over readiness."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether all passed that count."""
        return all(it.passed for it in self.checks if it.counts)

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "ready": self.ready,
            "checks": {
                it.name: {"passed": it.passed, "detail": it.detail} | ({} if it.counts else {"counts": False})
                for it in self.checks
            },
        }


class Health:
    """The checks of one process.

    engine  whether the checks of the engine count
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], Instant],
        *,
        engine: bool = True,
        outbox_age: int = OUTBOX_AGE,
    ) -> None:
        self._gauges = Gauges(store.database)
        self._clock = clock
        self._engine = engine
        self._outbox_age = outbox_age
        self._lock = Lock()
        self._seen: Verdict | None = None
        self._at = 0.0

    def recent(self) -> Verdict:
        """What a look said less than a second ago, or a new one: anybody may ask, as often as they like."""
        with self._lock:
            if self._seen is None or monotonic() - self._at >= FRESH_SECONDS:
                self._seen, self._at = self.look(), monotonic()
            return self._seen

    def look(self) -> Verdict:
        """Make them all; those behind one that failed are made only where they can be."""
        now, gauges = self._clock(), self._gauges
        try:
            found, wanted = gauges.revision()
        except Exception as error:  # noqa: BLE001 # whatever it is, the database does not answer
            return Verdict((Check("database", False, type(error).__name__, True),))
        checks = [
            Check("database", True, "answers", True),
            Check("migrations", found == wanted, f"at {found}, made for {wanted}", True),
        ]
        if found != wanted:
            return Verdict(tuple(checks))
        leases = gauges.leases(now)
        checks.append(Check("lease", bool(leases.get("inbox")), f"{sum(leases.values())} held", self._engine))
        oldest = gauges.oldest_request()
        age = 0 if oldest is None else max(0, now - oldest)
        checks.append(Check("outbox", age <= self._outbox_age, f"{age // SECOND} s old", self._engine))
        return Verdict(tuple(checks))
