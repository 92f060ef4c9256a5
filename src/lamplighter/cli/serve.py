"""`lamplighter serve` and `lamplighter worker`: the Supplier's side, running.

Every option may stand in the environment instead, as LAMPLIGHTER_ and its name in capitals.
"""

import logging
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from lamplighter.cli import output, trust
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, Database, Duration, Eui
from lamplighter.cli.logs import quiet_logs
from lamplighter.cli.output import Report
from lamplighter.kit import DecodeError, Eui64, Instant, UsageError
from lamplighter.kit.instant import MINUTE, from_iso
from lamplighter.protocol.smki import Role
from lamplighter.service import keyfiles
from lamplighter.service.clock import rehearsal_clock, wall_clock
from lamplighter.service.gateway import Gateway, Parties, Tls
from lamplighter.service.listener import Listener
from lamplighter.service.processes import Processes
from lamplighter.service.receiver import RECEIVE_PATH, Receiver
from lamplighter.service.settings import Settings, given
from lamplighter.service.worker import POLL_SECONDS, Worker
from lamplighter.store import Store

_TIMEOUT_SECONDS: Final = 20.0


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
Name = Annotated[str, _set("NAME", "What this process is called in the list of leases. Default: the host.")]


def serve(
    *,
    database: Database = DATABASE,
    keys: KeysDirectory = None,
    dcc: Dcc = None,
    supplier: Supplier = None,
    acb: Acb = None,
    host: Annotated[str, _set("HOST", "Where to listen for the DCC's messages.")] = "127.0.0.1",
    port: Annotated[int, _set("PORT", "Likewise; 0: any free port.")] = 0,
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
    receivers: Annotated[
        int, _set("RECEIVERS", "Processes that take messages, PostgreSQL only; 0: this one does it itself.")
    ] = 0,
) -> Report:
    """Run everything in one process: take the DCC's messages, decide, send. Until SIGINT or SIGTERM.

    Prints the URL of the Receive Response service, to which the DCC is to post.
    """
    settings = Settings(
        database, keys, supplier, acb, dcc,
        Tls(tls_certificate, tls_key, tls_authority, not tls_insecure), timeout, lease, poll,
    )  # fmt: skip
    with ExitStack() as stack:
        clock = _clock(speed, began)
        parties, store, at_work = _start(settings, clock, name, stack)
        try:
            listener: Listener | Processes
            if receivers:
                if store.database.is_sqlite:
                    raise UsageError("--receivers needs PostgreSQL: SQLite is for one process")
                opening = partial(_open_receiver, settings, parties.supplier, speed, began)
                listener = Processes(opening, receivers, host, port)
            else:
                receiver = Receiver(parties, store, clock, at_work.wake)
                listener = Listener(receiver.application(), host, port)
        except (OSError, OverflowError) as cause:
            why = getattr(cause, "strerror", None) or cause
            raise UsageError(f"cannot listen on {host}:{port}: {why}") from cause
        running = stack.pop_all()

    def run() -> None:
        _heed(at_work)
        with running, listener:
            at_work.run()

    facts = _facts(parties, settings) | {"receiver": listener.url + RECEIVE_PATH}
    rows = [("receiver", str(facts["receiver"])), *_rows(parties, settings)]
    return Report(facts, output.page("serve", "Ctrl-C ends it", output.pairs(rows)), then=run)


def worker(
    *,
    database: Database = DATABASE,
    keys: KeysDirectory = None,
    dcc: Dcc = None,
    supplier: Supplier = None,
    acb: Acb = None,
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
    """Decide and send, beside other workers on the same PostgreSQL database. Until SIGINT or SIGTERM.

    It takes over the work of a worker that has died once that one's lease is over. Any number may run.
    """
    settings = Settings(
        database, keys, supplier, acb, dcc,
        Tls(tls_certificate, tls_key, tls_authority, not tls_insecure), timeout, lease, poll,
    )  # fmt: skip
    with ExitStack() as stack:
        parties, _, at_work = _start(settings, _clock(speed, began), name, stack)
        running = stack.pop_all()

    def run() -> None:
        _heed(at_work)
        with running:
            at_work.run()

    view = output.page("worker", "Ctrl-C ends it", output.pairs(_rows(parties, settings)))
    return Report(_facts(parties, settings), view, then=run)


def _clock(speed: float, began: str | None) -> Callable[[], Instant]:
    if began is None:
        if speed != 1:
            raise UsageError("--speed needs --began: since when time has run so fast")
        return wall_clock
    try:
        return rehearsal_clock(from_iso(began), speed)
    except DecodeError as cause:
        raise UsageError(f"--began takes an instant: {cause}") from cause


def _start(
    settings: Settings, clock: Callable[[], Instant], name: str, stack: ExitStack
) -> tuple[Parties, Store, Worker]:
    """All that both commands need, closed when the stack is."""
    settings.check().require("keys", "dcc")
    quiet_logs(logging.WARNING)
    parties = _parties(settings)
    gateway = Gateway.open(parties, given(settings.dcc), clock, timeout=settings.timeout, tls=settings.tls)
    stack.callback(gateway.close)
    store = Store.open(settings.database)
    stack.callback(store.close)
    at_work = Worker(store, gateway, clock, name, lease=settings.lease, poll=settings.poll)
    return parties, store, at_work


def _open_receiver(settings: Settings, supplier: Eui64, speed: float, began: str | None) -> Receiver:
    """What a receive process begins with: everything of its own."""
    quiet_logs(logging.WARNING)
    parties = _parties(replace(settings, supplier=supplier))
    return Receiver(parties, Store.open(settings.database), _clock(speed, began))


def _parties(settings: Settings) -> Parties:
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


def _heed(at_work: Worker) -> None:
    """From now on SIGINT and SIGTERM end it in good order."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: at_work.stop())


def _facts(parties: Parties, settings: Settings) -> dict[str, Any]:
    return {
        "supplier": str(parties.supplier),
        "acb": str(parties.broker),
        "dcc": settings.dcc,
        "keys": str(settings.keys),
    }


def _rows(parties: Parties, settings: Settings) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in _facts(parties, settings).items()]
