"""`lamplighter web`: the pages and the API, beside the engine or in processes of their own.

All state is in the database, so any number of such processes may run behind one address.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from cyclopts import Parameter
from starlette.applications import Starlette

from lamplighter.cli import output
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, Address, At, Database
from lamplighter.cli.output import Report
from lamplighter.cli.place import clock_of
from lamplighter.cli.serve import (
    Acb,
    KeysDirectory,
    LogForm,
    LogLevel,
    MetricsAt,
    Supplier,
    WebUrl,
    parties_of,
)
from lamplighter.kit import UsageError
from lamplighter.service import logs, oidc, settings, tracing
from lamplighter.service import metrics as told
from lamplighter.service.clock import wall_clock
from lamplighter.service.health import OUTBOX_AGE
from lamplighter.service.listener import Listener
from lamplighter.service.meters import METRICS_PATH
from lamplighter.service.observed import Observed
from lamplighter.service.office import Office
from lamplighter.service.people import People
from lamplighter.service.web.app import Settings, application
from lamplighter.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp

    from lamplighter.kit import Instant
    from lamplighter.service.gateway import Parties
    from lamplighter.service.office import Forecaster, Reporter

_DEFAULT: Final = Address("127.0.0.1", 8000)


def _set(name: str, help_: str) -> Parameter:
    return Parameter(env_var=f"{ENVIRONMENT}{name}", help=help_, negative="")


def web(
    at: Annotated[At, _set("WEB", "Where to listen.")] = _DEFAULT,
    *,
    database: Database = DATABASE,
    keys: KeysDirectory = None,
    supplier: Supplier = None,
    acb: Acb = None,
    web_url: WebUrl = None,
    metrics: MetricsAt = None,
    log_form: LogForm = logs.Form.CONSOLE,
    log_level: LogLevel = logs.Level.INFO,
    speed: Annotated[float, _set("SPEED", "Rehearse: as for `serve`.")] = 1.0,
    began: Annotated[str | None, _set("BEGAN", "Rehearse: as for `serve`.")] = None,
) -> Report:
    """Serve the pages and the API alone, where another process decides and sends. Until SIGINT or SIGTERM.

    Any number of these may run on one database. With `--keys` they say of each message whether its signatures
    are good, and can have dead letters read again.
    """
    logs.configure(log_form, log_level)
    with ExitStack() as stack:
        stack.callback(tracing.export("web"))
        clock = clock_of(speed, began)
        store = Store.open(database)
        stack.callback(store.close)
        people = People(store, clock, wall_clock)
        parties = None if keys is None else parties_of(settings.Settings(database, keys, supplier, acb))
        age = int(OUTBOX_AGE * speed)
        app = pages(store, people, clock, at, web_url, engine=False, parties=parties, outbox_age=age)
        listeners = [listen(app, at)]
        facts: dict[str, Any] = {"web": listeners[0].url}
        if metrics is not None:
            listeners.append(listen(figures(store, clock, engine=False, outbox_age=age), metrics))
            facts["metrics"] = listeners[1].url + METRICS_PATH
        facts |= first_steps(people)
        running = stack.pop_all()

    def run() -> None:
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        with running, ExitStack() as open_:
            for each in listeners:
                open_.enter_context(each)
            ended.wait()

    return Report(facts, output.page("web", "Ctrl-C ends it", output.pairs(rows_of(facts))), then=run)


def pages(
    store: Store,
    people: People,
    clock: Callable[[], Instant],
    at: Address,
    url: str | None,
    *,
    engine: bool,
    parties: Parties | None = None,
    receivers: Path | None = None,
    outbox_age: int = OUTBOX_AGE,
) -> ASGIApp:
    """The whole application, watched.

    at      where it listens
    url     where browsers find it; None: there
    engine, outbox_age, receivers  see `metrics.routes`
    """
    split = urlsplit(url or at.url)
    if split.scheme not in {"http", "https"} or not split.hostname:
        raise UsageError(f"--web-url takes an address such as https://updates.example, not {url!r}")
    secure = split.scheme == "https"
    if not (secure or is_local(at.host)) and url is None:
        raise UsageError(
            f"{at.host} can be reached from elsewhere, and passwords would go over the wire as they are: say "
            f"where browsers come over TLS, with --web-url or {ENVIRONMENT}WEB_URL (or http://... if they "
            "truly do not)"
        )
    hosts = {split.hostname, at.host} | ({"localhost", "127.0.0.1", "::1"} if is_local(at.host) else set())
    routes = told.routes(store, clock, people, engine=engine, receivers=receivers, outbox_age=outbox_age)
    office = Office(store, clock, forecaster(), parties, reporter())
    how = Settings(hosts=frozenset(hosts) if url is not None or is_local(at.host) else frozenset())
    provider = oidc.settings(os.environ, (url or at.url).rstrip("/"))
    openid = None if provider is None else oidc.OpenId(store, people, provider)
    app = application(office, people, secure=secure, settings=how, routes=routes, openid=openid)
    return Observed(app)


def figures(
    store: Store,
    clock: Callable[[], Instant],
    *,
    engine: bool,
    receivers: Path | None = None,
    outbox_age: int = OUTBOX_AGE,
) -> ASGIApp:
    """Metrics and health on an address of their own, which a firewall is to keep for those who may ask."""
    routes = told.routes(store, clock, engine=engine, receivers=receivers, outbox_age=outbox_age)
    return Observed(Starlette(routes=routes))


def forecaster() -> Forecaster | None:
    """Who expects how a plan goes; None: planning, or what it needs, is not installed."""
    found: Forecaster | None = _of_planning("forecast", "forecaster")
    return found


def reporter() -> Reporter | None:
    """Who makes reports; None likewise."""
    found: Reporter | None = _of_planning("reporter", "reporter")
    return found


def _of_planning(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"lamplighter.planning.{module}"), name)
    except ImportError:
        return None


def listen(app: ASGIApp, at: Address) -> Listener:
    """A listener that is bound; raises `UsageError` where that cannot be."""
    try:
        return Listener(app, at.host, at.port)
    except (OSError, OverflowError) as cause:
        why = getattr(cause, "strerror", None) or cause
        raise UsageError(f"cannot listen on {at}: {why}") from cause


def is_local(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def first_steps(people: People) -> dict[str, Any]:
    """What to do before anybody can sign in; nothing where somebody can."""
    if people.any():
        return {}
    return {"first": "lamplighter people add NAME --role administrator"}


def rows_of(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Facts for people."""
    return [(name, str(said)) for name, said in facts.items()]
