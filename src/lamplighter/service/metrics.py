"""What a monitoring system is told, in Prometheus's format.

Two kinds of figures. What this process did is counted as it does it (`meters`). How
things stand in the database is read when somebody asks (`store.gauges`), at most every `FRESH_SECONDS`; every
process that is asked says the same of it, so a query takes the maximum, never the sum.

Labels are bounded: campaigns (`gauges.CAMPAIGNS_MAX`), waves, stages, fixed words. Nothing is by Device, and
nothing that a stranger sends becomes a label.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lamplighter.kit.instant import SECOND
from lamplighter.service.health import OUTBOX_AGE, Health
from lamplighter.service.meters import METRICS_PATH, RECEIVER, REGISTRY
from lamplighter.service.people import Scope
from lamplighter.store.gauges import Gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from lamplighter.kit import Instant
    from lamplighter.service.people import People
    from lamplighter.store import Store
    from lamplighter.store.gauges import Snapshot

ALIVE_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"

FRESH_SECONDS: Final = 5.0
"""So long what was read of the database is told again: any number of askers costs it one look."""
_WORK: Final = frozenset({"inbox", "outbox", "campaign"})  # told of even where nobody does it

_log = structlog.get_logger(__name__)


class StoreCollector(Collector):
    """How things stand in the database, whenever somebody asks."""

    def __init__(self, store: Store, clock: Callable[[], Instant]) -> None:
        self._gauges = Gauges(store.database)
        self._clock = clock
        self._lock = Lock()
        self._seen: Snapshot | None = None
        self._at = -FRESH_SECONDS

    def collect(self) -> Iterable[Metric]:
        """The figures; where the database is not reached, that alone."""
        seen = self._look()
        reached = GaugeMetricFamily("lamplighter_database_up", "Whether the database answers.")
        reached.add_metric([], 0 if seen is None else 1)
        return [reached] if seen is None else [reached, *_families(seen, self._clock())]

    def describe(self) -> Iterable[Metric]:
        """Nothing is looked at when it is registered."""
        return []

    def _look(self) -> Snapshot | None:
        with self._lock:  # who comes meanwhile waits for the same look
            if monotonic() - self._at >= FRESH_SECONDS:
                try:
                    self._seen = self._gauges.read(self._clock())
                except Exception as error:  # noqa: BLE001 # whatever: the process's own figures are told all the same
                    _log.warning("database not reached for metrics", reason=str(error).partition("\n")[0])
                    self._seen = None
                self._at = monotonic()
            return self._seen


def _families(seen: Snapshot, now: Instant) -> Iterator[Metric]:
    """One family for each noun of a snapshot."""

    def gauge(name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[Any, float]]) -> Metric:
        family = GaugeMetricFamily(f"lamplighter_{name}", text, labels=labels)
        for said, value in values:
            family.add_metric([str(it) for it in said], value)
        return family

    yield gauge(
        "campaign_info", "Always 1; its labels say where a campaign stands.", ("campaign", "status"),
        (((name, status.value), 1) for name, status in seen.campaigns.items()),
    )  # fmt: skip
    yield gauge(
        "campaign_devices", "Devices that were ordered, by campaign, wave (from 1) and stage.",
        ("campaign", "wave", "stage"),
        (((it.campaign, it.wave + 1, it.stage.name.lower()), n) for it, n in seen.devices.items()),
    )  # fmt: skip
    yield gauge(
        "campaign_waiting_devices", "Devices that wait to be ordered, by campaign and wave (from 1).",
        ("campaign", "wave"), (((name, wave + 1), n) for (name, wave), n in seen.waiting.items()),
    )  # fmt: skip
    yield gauge(
        "campaign_held_strata", "Strata that are held, of campaigns under way.", ("campaign",),
        (((name,), seen.held.get(name, 0)) for name in seen.campaigns),
    )  # fmt: skip
    yield gauge(
        "leases_held", "Leases that somebody holds now, by kind of work.", ("work",),
        (((work,), seen.leases.get(work, 0)) for work in sorted(_WORK | set(seen.leases))),
    )  # fmt: skip
    yield gauge(
        "outbox_requests", "Requests that are wanted and not answered: unsent, or attempted.", ("state",),
        ((("unsent",), seen.to_send - seen.attempted), (("attempted",), seen.attempted)),
    )  # fmt: skip
    oldest = seen.oldest_request
    yield gauge(
        "outbox_oldest_seconds", "How long ago the oldest request that is not answered was ordered.", (),
        (((), 0 if oldest is None else max(0, now - oldest) / SECOND),),
    )  # fmt: skip
    yield gauge(
        "inbox_waiting_statements", "Statements of messages that are not evidence yet.", (),
        (((), seen.to_apply),),
    )  # fmt: skip
    yield gauge("dead_letters", "Messages that could not be applied.", (), (((), seen.dead_letters),))


class _Receivers(Collector):
    """What receive processes of their own did: they share a folder, for none of them can be asked alone."""

    def __init__(self, folder: Path) -> None:
        self._read = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call] # prometheus_client

    def collect(self) -> Iterable[Metric]:
        """The figures of a receiver, summed over all processes, those that have died too."""
        families = self._read.collect()  # type: ignore[no-untyped-call] # prometheus_client
        return [it for it in families if it.name.startswith(RECEIVER)]


class _Own(Collector):
    """What this process did, less what others do in its place."""

    def __init__(self, *, receives: bool) -> None:
        self._receives = receives

    def collect(self) -> Iterable[Metric]:
        """The figures."""
        return [it for it in REGISTRY.collect() if self._receives or not it.name.startswith(RECEIVER)]


class Page:
    """All figures as one page.

    receivers  the folder of `meters.shared_by_processes`, where others receive in this process's place
    """

    def __init__(self, store: Store, clock: Callable[[], Instant], receivers: Path | None = None) -> None:
        self._all = CollectorRegistry(auto_describe=False)
        self._all.register(_Own(receives=receivers is None))
        self._all.register(StoreCollector(store, clock))
        if receivers is not None:
            self._all.register(_Receivers(receivers))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its media type, in the format that the asker would rather have."""
        encoder, media_type = choose_encoder(accept)
        return encoder(self._all), media_type


def routes(
    store: Store,
    clock: Callable[[], Instant],
    people: People | None = None,
    *,
    engine: bool = True,
    receivers: Path | None = None,
    outbox_age: int = OUTBOX_AGE,
) -> list[Route]:
    """`/metrics`, `/healthz` and `/readyz`, for a web application or for a listener of their own.

    people  where given, `/metrics` wants a bearer token that may read: campaigns have names
    engine, outbox_age  when it is not ready: see `health.Health`
    receivers  see `Page`
    """
    page = Page(store, clock, receivers)
    health = Health(store, clock, engine=engine, outbox_age=outbox_age)

    def tell(request: Request) -> Response:
        if people is not None and (refusal := _refusal(people, request)) is not None:
            return refusal
        octets, media_type = page.render(request.headers.get("accept", ""))
        return Response(octets, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    def ready(_: Request) -> Response:
        verdict = health.recent()
        return JSONResponse(verdict.facts(), 200 if verdict.ready else 503, {"Cache-Control": "no-store"})

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    return [
        Route(METRICS_PATH, _threaded(tell), methods=["GET"], name="metrics"),
        Route(ALIVE_PATH, alive, methods=["GET"], name="alive"),
        Route(READY_PATH, _threaded(ready), methods=["GET"], name="ready"),
    ]


def _threaded(work: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """Whoever asks the database must not stop the event loop."""

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(work, request)

    return answer


def _refusal(people: People, request: Request) -> Response | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    person = people.of_token(secret.strip()) if scheme.lower() == "bearer" else None
    if person is None:
        return PlainTextResponse(
            "metrics want a bearer token\n", 401, {"WWW-Authenticate": 'Bearer realm="lamplighter"'}
        )
    if not person.may(Scope.READ):
        return PlainTextResponse("this token may not read\n", 403)
    return None
