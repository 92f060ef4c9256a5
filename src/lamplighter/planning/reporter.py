"""What reports are made of, for the command line, and whole reports for somebody at the pages who waits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import HOUR
from lamplighter.planning import metrics as measures
from lamplighter.planning.operation import metrics_page
from lamplighter.planning.storms import DAYS, Told, storms_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamplighter.store import Store
    from lamplighter.store.storms import Storm

BY: Final = ("region", "hub-model", "model", "wave")
"""What is grouped by where nobody says."""
STORMS_MAX: Final = 1_000
"""Of the register, the latest."""
_AT_ONCE: Final = 2_000_000  # updates: more than that is nothing to wait for


class Gathered(NamedTuple):
    """What a report of updates says."""

    metrics: measures.Metrics
    storms: Sequence[Storm]
    """Alert storms of the same time."""


def gather(
    store: Store,
    campaigns: Sequence[int] | None,
    start: Instant | None,
    end: Instant | None,
    by: Sequence[str],
    clock: Callable[[], Instant],
) -> Gathered:
    """What came of the updates of some campaigns (None: of all) that were first ordered in [start, end)."""
    updates = store.metrics.updates(campaigns, start, end)
    as_of = clock()  # nothing that was read is later
    low, high = _span(updates, start, end, as_of)
    volumes = store.storms.volumes(low, high)
    found = measures.measure(updates, as_of, by=by, start=start, end=end, alerts=volumes)
    return Gathered(found, store.storms.between(low, high))


def tell_of(store: Store, storm: Storm, as_of: Instant) -> Told:
    """All that a report says of one storm."""
    relative = (
        () if storm.cured_by is None else tuple(store.storms.relative(storm, storm.cured_by, DAYS, as_of))
    )
    return Told(storm, tuple(store.storms.hours(storm)), tuple(store.storms.candidates(storm)), relative)


def _span(
    updates: measures.Updates, start: Instant | None, end: Instant | None, as_of: Instant
) -> tuple[Instant, Instant]:
    """The time whose alerts are of interest: the period, or from the first order on."""
    low = start
    if low is None:
        low = Instant(int(updates.first[:, 0].min())) if len(updates) else Instant(0)
    return Instant(low - low % HOUR), Instant(as_of + 1) if end is None else end


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes reports while somebody waits.

    `service.office` asks for them by its protocol; the command line hands this one in.
    """

    dimensions: tuple[str, ...] = tuple(measures.DIMENSIONS)
    """What updates can be grouped by."""

    def metrics(
        self,
        store: Store,
        campaigns: Sequence[int] | None,
        start: Instant | None,
        end: Instant | None,
        by: Sequence[str],
        clock: Callable[[], Instant],
        form: str,
    ) -> str:
        """Of what `gather` finds: a page, a table or all figures, as `form` is html, csv or json.

        Raises `UsageError` for more updates than anybody would wait for.
        """
        if (count := store.metrics.count(campaigns, start, end)) > _AT_ONCE:
            raise UsageError(
                f"a report of up to {count:,} updates takes its time: `lamplighter report metrics` makes it"
            )
        found = gather(store, campaigns, start, end, by or BY, clock)
        match form:
            case "html":
                return metrics_page(found.metrics, storms=found.storms)
            case "csv":
                return measures.as_csv(found.metrics)
            case "json":
                return json.dumps(measures.as_facts(found.metrics), indent=1) + "\n"
        raise UsageError(f"a report is html, csv or json, not {form[:40]!r}")

    def storms(self, store: Store, as_of: Instant) -> str:
        """The register of alert storms as a page."""
        found = store.storms.between(Instant(0), Instant(as_of + 1))[-STORMS_MAX:]
        names = {it.id: it.name for it in store.registry.releases()}
        return storms_page([tell_of(store, it, as_of) for it in found], as_of, names)


reporter: Final = Reporter()
