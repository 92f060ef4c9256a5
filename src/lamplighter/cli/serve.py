"""`lamplighter serve`, `receive` and `worker`: the Supplier's side, running.

Every option may stand in the environment instead, as LAMPLIGHTER_ and its name in capitals.
"""

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Self

from cyclopts import Parameter

from lamplighter.cli import output, trust
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, At, Database, Duration, Eui
from lamplighter.cli.output import Report
from lamplighter.cli.place import clock_of
from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import MINUTE
from lamplighter.protocol.smki import Role
from lamplighter.service import keyfiles, logs, tracing
from lamplighter.service.clock import wall_clock
from lamplighter.service.gateway import Gateway, Parties, Tls
from lamplighter.service.health import OUTBOX_AGE
from lamplighter.service.listener import Listener
from lamplighter.service.meters import METRICS_PATH, shared_by_processes
from lamplighter.service.people import People
from lamplighter.service.processes import Processes
from lamplighter.service.receiver import RECEIVE_PATH, Receiver
from lamplighter.service.settings import Settings, given
from lamplighter.service.webhooks import Courier
from lamplighter.service.worker import POLL_SECONDS, Worker
from lamplighter.store import Store

_TIMEOUT_SECONDS: Final = 20.0
_DEMO_HOMES: Final = 300


def _set(name: str, help_: str) -> Parameter:
    return Parameter(env_var=f"{ENVIRONMENT}{name}", help=help_, negative="")


KeysDirectory = Annotated[Path | None, _set("KEYS", "Our private keys, and the certificates that we trust.")]
Supplier = Annotated[
    Eui | None, _set("SUPPLIER", "Who we are. Default: whose private XML signing key it is.")
]
Acb = Annotated[Eui | None, _set("ACB", "The Access Control Broker. Default: the only one among the keys.")]
Dcc = Annotated[str | None, _set("DCC", "Base URL of the DCC's services, such as https://HOST/api/v1.")]
TlsCertificate = Annotated[
    Path | None, _set("TLS_CERTIFICATE", "Our client certificate with its chain, PEM.")
]
TlsKey = Annotated[Path | None, _set("TLS_KEY", "Its private key, where it is in a file of its own.")]
TlsAuthority = Annotated[
    Path | None, _set("TLS_AUTHORITY", "Whom to trust for the DCC's server. Default: the system's list.")
]
TlsInsecure = Annotated[
    bool,
    _set("TLS_INSECURE", "Do not ask the DCC's server who it is; for a lab."),
    Parameter(show_default=False),
]
Timeout = Annotated[float, _set("TIMEOUT", "Seconds that the DCC may take for an answer.")]
Lease = Annotated[
    Duration, _set("LEASE", "After how long a silent process's work is taken over; the same in all of them.")
]
Poll = Annotated[float, _set("POLL", "Seconds between two looks for work.")]
Speed = Annotated[float, _set("SPEED", "Rehearse: how many times as fast as the day time runs, as in a lab.")]
Began = Annotated[
    str | None, _set("BEGAN", "Rehearse: when time began to run so fast, such as 2026-05-01T09:00:00Z.")
]
WebAt = Annotated[At | None, _set("WEB", "Serve the pages and the API too, here, such as 127.0.0.1:8000.")]
WebUrl = Annotated[
    str | None, _set("WEB_URL", "Where browsers find the pages; https: cookies over TLS only.")
]
MetricsAt = Annotated[
    At | None,
    Parameter(name="--metrics"),
    _set("METRICS", "Where to answer /metrics, /healthz and /readyz without a token; 127.0.0.1:9100."),
]
LogForm = Annotated[logs.Form, _set("LOG_FORM", "Log lines for a person, or as JSON; they go to stderr.")]
LogLevel = Annotated[logs.Level, _set("LOG_LEVEL", "How grave an event must be to be logged.")]
Receivers = Annotated[
    int, _set("RECEIVERS", "Processes that take messages, PostgreSQL only; 0: this one does it itself.")
]
Host = Annotated[str, _set("HOST", "Where to listen for the DCC's messages.")]
Port = Annotated[int, _set("PORT", "Likewise; 0: any free port.")]
Name = Annotated[str, _set("NAME", "What this process is called in the list of leases. Default: the host.")]


def serve(
    *,
    demo: Annotated[
        bool, Parameter(negative="", show_default=False, help="Bring a lab along, with a campaign under way.")
    ] = False,
    homes: Annotated[int, Parameter(help="--demo: how many homes.")] = _DEMO_HOMES,
    seed: Annotated[str, Parameter(help="--demo: any text; the same gives the same Devices.")] = "demo",
    database: Database = DATABASE,
    keys: KeysDirectory = None,
    dcc: Dcc = None,
    supplier: Supplier = None,
    acb: Acb = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    web: WebAt = None,
    web_url: WebUrl = None,
    metrics: MetricsAt = None,
    log_form: LogForm = logs.Form.CONSOLE,
    log_level: LogLevel = logs.Level.WARNING,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_authority: TlsAuthority = None,
    tls_insecure: TlsInsecure = False,
    timeout: Timeout = _TIMEOUT_SECONDS,
    lease: Lease = MINUTE,
    poll: Poll = POLL_SECONDS,
    speed: Speed = 1.0,
    began: Began = None,
    name: Name = "",
    receivers: Receivers = 0,
) -> Report:
    """Run everything in one process: take the DCC's messages, decide, send, deliver webhooks. Until Ctrl-C.

    Prints the URL of the Receive Response service, to which the DCC is to post, and with `--web` that of the
    pages. With `--demo` it needs nothing else: it makes a lab of homes, a database and an account of each
    role, all of which are gone when it ends.
    """
    logs.configure(log_form, log_level)
    if demo:
        from lamplighter.cli.demo_serve import open_demo  # noqa: PLC0415 # the lab is slow to import

        return open_demo(homes, seed, web, web_url, metrics)
    settings = Settings(
        database, keys, supplier, acb, dcc,
        Tls(tls_certificate, tls_key, tls_authority, not tls_insecure), timeout, lease, poll,
    )  # fmt: skip
    with ExitStack() as stack:
        clock = clock_of(speed, began)
        engine = _start(settings, clock, name, "serve", stack)
        side = _Side(stack, clock, speed, engine=True)
        open_receiver = partial(
            _open_receiver, settings, engine.parties.supplier, speed, began, log_form, log_level
        )
        listener = side.receive(
            engine.parties, engine.store, engine.worker.wake, receivers, open_receiver, host, port
        )
        facts = _facts(engine.parties, settings) | {"receiver": listener.url + RECEIVE_PATH}
        facts |= side.show(engine.store, web, web_url, metrics, engine.parties)
        running = stack.pop_all()

    def run() -> None:
        _heed(engine.worker.stop)
        with running, side, engine.courier:
            engine.worker.run()

    return Report(facts, output.page("serve", "Ctrl-C ends it", output.pairs(_rows(facts))), then=run)


def receive(
    *,
    database: Database = DATABASE,
    keys: KeysDirectory = None,
    supplier: Supplier = None,
    acb: Acb = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    metrics: MetricsAt = None,
    log_form: LogForm = logs.Form.CONSOLE,
    log_level: LogLevel = logs.Level.WARNING,
    speed: Speed = 1.0,
    began: Began = None,
    receivers: Receivers = 0,
) -> Report:
    """Take the DCC's messages, and nothing else: workers on the same PostgreSQL database do the rest.

    Prints the URL of the Receive Response service. Any number may run. Until SIGINT or SIGTERM.
    """
    logs.configure(log_form, log_level)
    settings = Settings(database, keys, supplier, acb)
    settings.check().require("keys")
    with ExitStack() as stack:
        stack.callback(tracing.export("receive"))
        clock = clock_of(speed, began)
        parties = parties_of(settings)
        store = Store.open(settings.database)
        stack.callback(store.close)
        side = _Side(stack, clock, speed, engine=False)
        open_receiver = partial(_open_receiver, settings, parties.supplier, speed, began, log_form, log_level)
        listener = side.receive(parties, store, lambda: None, receivers, open_receiver, host, port)
        facts = _facts(parties, settings) | {"receiver": listener.url + RECEIVE_PATH}
        facts |= side.show(store, None, None, metrics, parties)
        running = stack.pop_all()

    def run() -> None:
        ended = threading.Event()
        _heed(ended.set)
        with running, side:
            ended.wait()

    return Report(facts, output.page("receive", "Ctrl-C ends it", output.pairs(_rows(facts))), then=run)


def worker(
    *,
    database: Database = DATABASE,
    keys: KeysDirectory = None,
    dcc: Dcc = None,
    supplier: Supplier = None,
    acb: Acb = None,
    metrics: MetricsAt = None,
    log_form: LogForm = logs.Form.CONSOLE,
    log_level: LogLevel = logs.Level.WARNING,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_authority: TlsAuthority = None,
    tls_insecure: TlsInsecure = False,
    timeout: Timeout = _TIMEOUT_SECONDS,
    lease: Lease = MINUTE,
    poll: Poll = POLL_SECONDS,
    speed: Speed = 1.0,
    began: Began = None,
    name: Name = "",
) -> Report:
    """Decide, send, and deliver webhooks, beside other workers on the same PostgreSQL database.

    It takes over the work of a worker that has died once that one's lease is over. Any number may run. Until
    SIGINT or SIGTERM.
    """
    logs.configure(log_form, log_level)
    settings = Settings(
        database, keys, supplier, acb, dcc,
        Tls(tls_certificate, tls_key, tls_authority, not tls_insecure), timeout, lease, poll,
    )  # fmt: skip
    with ExitStack() as stack:
        clock = clock_of(speed, began)
        engine = _start(settings, clock, name, "worker", stack)
        side = _Side(stack, clock, speed, engine=True)
        facts = _facts(engine.parties, settings) | side.show(
            engine.store, None, None, metrics, engine.parties
        )
        running = stack.pop_all()

    def run() -> None:
        _heed(engine.worker.stop)
        with running, side, engine.courier:
            engine.worker.run()

    return Report(facts, output.page("worker", "Ctrl-C ends it", output.pairs(_rows(facts))), then=run)


@dataclass(frozen=True, slots=True)
class _Engine:
    """Who decides, sends and delivers."""

    parties: Parties
    store: Store
    worker: Worker
    courier: Courier


class _Side:
    """What listens beside the work: the receive service, pages, figures. A context manager."""

    def __init__(self, stack: ExitStack, clock: Callable[[], Instant], speed: float, *, engine: bool) -> None:
        self._stack = stack
        self._open = ExitStack()
        self._clock = clock
        self._engine = engine
        self._age = int(OUTBOX_AGE * speed)
        self._listeners: list[Listener | Processes] = []
        self._folder: Path | None = None

    def receive(
        self,
        parties: Parties,
        store: Store,
        taken: Callable[[], object],
        receivers: int,
        open_receiver: Callable[[], Receiver],
        host: str,
        port: int,
    ) -> Listener | Processes:
        """The receive service, in this process or in `receivers` of its own; bound, and not yet answering."""
        if receivers and store.database.is_sqlite:
            raise UsageError("--receivers needs PostgreSQL: SQLite is for one process")
        try:
            listener: Listener | Processes
            if receivers:
                self._folder = self._stack.enter_context(shared_by_processes())
                listener = Processes(open_receiver, receivers, host, port)
            else:
                receiver = Receiver(parties, store, self._clock, taken)
                listener = Listener(receiver.application(), host, port)
        except (OSError, OverflowError) as cause:
            why = getattr(cause, "strerror", None) or cause
            raise UsageError(f"cannot listen on {host}:{port}: {why}") from cause
        self._listeners.append(listener)
        return listener

    def show(
        self, store: Store, web: At | None, web_url: str | None, metrics: At | None, parties: Parties
    ) -> dict[str, Any]:
        """Pages and figures, where they are asked for; what to say of them."""
        said: dict[str, Any] = {}
        if web is None and metrics is None:
            return said
        from lamplighter.cli import web as pages  # noqa: PLC0415 # FastAPI is slow to import

        if web is not None:
            people = People(store, self._clock, wall_clock)
            app = pages.pages(
                store, people, self._clock, web, web_url,
                engine=self._engine, parties=parties, receivers=self._folder, outbox_age=self._age,
            )  # fmt: skip
            said |= {"web": self._listen(pages.listen(app, web))} | pages.first_steps(people)
        if metrics is not None:
            figures = pages.figures(
                store, self._clock, engine=self._engine, receivers=self._folder, outbox_age=self._age
            )
            said["metrics"] = self._listen(pages.listen(figures, metrics)) + METRICS_PATH
        return said

    def _listen(self, listener: Listener) -> str:
        self._listeners.append(listener)
        return listener.url

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for listener in self._listeners:
                stack.enter_context(listener)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()


def _start(
    settings: Settings, clock: Callable[[], Instant], name: str, service: str, stack: ExitStack
) -> _Engine:
    """All that both commands need, closed when the stack is."""
    settings.check().require("keys", "dcc")
    stack.callback(tracing.export(service))
    parties = parties_of(settings)
    gateway = Gateway.open(parties, given(settings.dcc), clock, timeout=settings.timeout, tls=settings.tls)
    stack.callback(gateway.close)
    store = Store.open(settings.database)
    stack.callback(store.close)
    at_work = Worker(store, gateway, clock, name, lease=settings.lease, poll=settings.poll)
    return _Engine(parties, store, at_work, Courier(store, clock, name))


def _open_receiver(
    settings: Settings, supplier: Eui64, speed: float, began: str | None, form: logs.Form, level: logs.Level
) -> Receiver:
    """What a receive process begins with: everything of its own."""
    logs.configure(form, level)
    parties = parties_of(replace(settings, supplier=supplier))
    return Receiver(parties, Store.open(settings.database), clock_of(speed, began))


def parties_of(settings: Settings) -> Parties:
    """Who we are and whom we trust; raises `UsageError` where the key directory does not say."""
    ring = keyfiles.load(given(settings.keys))
    own = sorted(
        {it.holder for it in ring if it.role == Role.XML_SIGNING and ring.private_key(it) is not None}
    )
    supplier = settings.supplier
    if supplier is None:
        if len(own) != 1:
            found = ", ".join(map(str, own)) or "none"
            raise UsageError(
                f"missing: --supplier or {ENVIRONMENT}SUPPLIER: the key directory does not say who we are "
                f"(holders of private XML signing keys: {found})"
            )
        supplier = own[0]
    broker = trust.broker(ring, settings.acb)
    if broker is None:
        raise UsageError(
            f"missing: --acb or {ENVIRONMENT}ACB: the key directory holds no certificate of an "
            "Access Control Broker"
        )
    return Parties(supplier, broker, ring)


def _heed(end: Callable[[], object]) -> None:
    """From now on SIGINT and SIGTERM end it in good order."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end())


def _facts(parties: Parties, settings: Settings) -> dict[str, Any]:
    return {
        "supplier": str(parties.supplier),
        "acb": str(parties.broker),
        "dcc": settings.dcc,
        "keys": str(settings.keys),
    }


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in facts.items() if value is not None]
