"""What this process did, counted as it does it: the instruments that its loops and doors hold.

One set a process, as is Prometheus's way. Labels are fixed words, and none is by Device or campaign.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from lamplighter import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

METRICS_PATH: Final = "/metrics"
"""Where the figures are told."""

CHECKS_MAX: Final = 60
"""Reasons for a refusal that are told apart; one that comes up later is "other"."""
OTHER: Final = "other"

RECEIVER: Final = "lamplighter_receiver_"
"""What the names of all figures of receive processes begin with."""

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_SLOW: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0)
_LOTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client: a time series more for each, and of no use here
REGISTRY: Final = CollectorRegistry(auto_describe=True)
"""What this process did, since it was started."""

RECEIVED: Final = Counter(
    "lamplighter_receiver_messages",
    "Messages from the DCC: taken, repeated, refused, unstored (503) or busy (503).",
    ["outcome"],
    registry=REGISTRY,
)
REFUSED: Final = Counter(
    "lamplighter_receiver_refusals",
    "Messages and requests that were refused at the door, by the check that failed.",
    ["check"],
    registry=REGISTRY,
)
LOT: Final = Histogram(
    "lamplighter_receiver_lot_messages",
    "Messages that were verified together.",
    buckets=_LOTS,
    registry=REGISTRY,
)
LOT_SECONDS: Final = Histogram(
    "lamplighter_receiver_lot_seconds",
    "Seconds that a lot of messages took to verify, and to store.",
    ["step"],
    buckets=_FAST,
    registry=REGISTRY,
)
ANSWER_SECONDS: Final = Histogram(
    "lamplighter_sender_answer_seconds",
    "Seconds until the DCC answered a request, or did not.",
    ["service"],
    buckets=_SLOW,
    registry=REGISTRY,
)
SENT: Final = Counter(
    "lamplighter_sender_requests",
    "Requests, by service request variant, and what came of them.",
    ["srv", "outcome"],
    registry=REGISTRY,
)
PAUSE: Final = Gauge(
    "lamplighter_sender_pause_seconds",
    "How long the DCC is left alone, since it was last not reached; 0: it is not.",
    registry=REGISTRY,
)
TICKS: Final = Counter(
    "lamplighter_reconciler_ticks",
    "Looks at one kind of work: done, idle, failed, or lost to another process.",
    ["work", "outcome"],
    registry=REGISTRY,
)
TICK_SECONDS: Final = Histogram(
    "lamplighter_reconciler_tick_seconds",
    "Seconds of a look at one kind of work that found something to do.",
    ["work"],
    buckets=_SLOW,
    registry=REGISTRY,
)
APPLIED: Final = Counter(
    "lamplighter_reconciler_statements",
    "Statements of messages that became evidence.",
    registry=REGISTRY,
)
DELIVERED: Final = Counter(
    "lamplighter_webhook_deliveries",
    "Attempts to deliver to a webhook: delivered, or failed and to be tried again.",
    ["outcome"],
    registry=REGISTRY,
)
WEB: Final = Counter(
    "lamplighter_web_requests",
    "Requests to pages and API, by route (as it is declared), method and status.",
    ["route", "method", "status"],
    registry=REGISTRY,
)
WEB_SECONDS: Final = Histogram(
    "lamplighter_web_request_seconds",
    "Seconds until a page or an answer of the API was whole; event streams are left out.",
    ["route", "method"],
    buckets=_FAST,
    registry=REGISTRY,
)
STREAMS: Final = Gauge(
    "lamplighter_web_streams",
    "Event streams that are open: browsers that watch a campaign.",
    registry=REGISTRY,
)
ABOUT: Final = Gauge(
    "lamplighter_build_info",
    "Always 1; its label says which version runs.",
    ["version"],
    registry=REGISTRY,
)
ABOUT.labels(__version__).set(1)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_checks: set[str] = set()


def refused(check: str) -> None:
    """Count a refusal; the words are ours, but some are made of several, so their number is bounded."""
    if check not in _checks:
        if len(_checks) >= CHECKS_MAX:
            check = OTHER
        _checks.add(check)
    REFUSED.labels(check).inc()


_SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own


@contextmanager
def shared_by_processes() -> Iterator[Path]:
    """Within it, processes that are started count into the folder that is given."""
    with tempfile.TemporaryDirectory(prefix="lamplighter-metrics-") as name:
        before = os.environ.get(_SHARED)
        os.environ[_SHARED] = name
        try:
            yield Path(name)
        finally:
            if before is None:
                del os.environ[_SHARED]
            else:
                os.environ[_SHARED] = before


def names() -> dict[str, frozenset[str]]:
    """Every figure that a page can have, by the name that a query uses, with its labels."""
    found: dict[str, frozenset[str]] = {}
    for metric in (
        RECEIVED, REFUSED, LOT, LOT_SECONDS, ANSWER_SECONDS, SENT, PAUSE, TICKS, TICK_SECONDS, APPLIED,
        DELIVERED, WEB, WEB_SECONDS, STREAMS, ABOUT,
    ):  # fmt: skip
        labels = frozenset(metric._labelnames)  # noqa: SLF001 # it has no other word for them
        [family] = metric.describe()
        for suffix in _SUFFIXES[family.type]:
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


_SUFFIXES: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
