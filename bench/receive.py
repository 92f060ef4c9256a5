"""The receive service under load, over HTTP, on both databases: what `receive_*` measure, pair by pair.

A load generator posts distinct signed alerts (N60, N62, N39) over connections that are kept alive, and each
must be answered 204: verified, and durably committed. Server CPU is that of the receive processes and of the
database.

    python -m bench.receive --rounds 3      prints every figure
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Final

from tests import postgres

from bench import Skipped, apply, load
from bench.cpu import cpu_seconds
from lamplighter.kit import Eui64, Instant
from lamplighter.kit.instant import from_iso
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis, gbcs, smki
from lamplighter.service.gateway import Parties
from lamplighter.service.processes import Processes
from lamplighter.service.receiver import RECEIVE_PATH, Receiver
from lamplighter.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamplighter.store.inbox import Incoming

BACKENDS: Final = ("sqlite", "postgresql")
MESSAGES: Final = 3000  # in one half of a pair: half a second of the server's, or more
CONNECTIONS: Final = 64
CROWD: Final = 256  # connections where it is the rate that counts, and not the time of a message
WARM_UP: Final = 200  # messages before the first pair

SUPPLIER, BROKER = Eui64.parse("90-B3-D5-1F-30-01-00-00"), Eui64.parse("90-B3-D5-1F-30-00-00-02")
NOW: Final = from_iso("2026-06-01T00:00:00Z")
VERSION: Final = apply.TARGET  # and request 1, and Devices from this one on: as `apply.prepare` has them
FIRST_DEVICE: Final = 0x00DB_0000_0000_0000

_SIGNER = Pki("bench").issued(BROKER, smki.Role.ACB_XML_SIGNING, smki.Use.DIGITAL_SIGNATURE)
_PARTIES = Parties(SUPPLIER, BROKER, smki.Ring([_SIGNER.certificate]))


def _body(index: int) -> duis.DccAlert:
    device, hub = Eui64.of(FIRST_DEVICE + index // 3), Eui64.of(0x8873_8457_0000_0000 + index // 3)
    request = duis.RequestId(SUPPLIER, BROKER, 1)
    match index % 3:
        case 0:
            status = duis.TransferStatus.SUCCESS
            return duis.DccAlert(
                "N60", duis.CspFirmwareDeliveryStatus(request, hub, device, VERSION, NOW, status)
            )
        case 1:
            response = duis.TransferResponse.FILE_TRANSFER_SUCCESS
            transfer = duis.FirmwareTransferAlert(request, device, VERSION, response)
            code = gbcs.AlertCode.TRANSFER_SUCCEEDED
            return duis.DccAlert("N62", duis.CommsHubAlert(hub, code, NOW, transfer))
        case _:
            upgrade = duis.PpmidFirmwareUpgradeAlert(VERSION, duis.ActivationResult.SUCCESS)
            code = gbcs.AlertCode.PPMID_ACTIVATION
            return duis.DccAlert("N39", duis.PpmidAlert(device, code, NOW, upgrade))


@cache
def messages(count: int) -> tuple[bytes, ...]:
    """So many different alerts, signed by the DSP: one a millisecond."""

    def alert(index: int) -> bytes:
        response = duis.Response(
            None, duis.RequestId(BROKER, SUPPLIER, index), "I0", Instant(NOW + 1000 * index), _body(index)
        )
        return duis.sign(duis.encode_response(response), _SIGNER)

    return tuple(alert(index) for index in range(count))


def open_receiver(url: str) -> Receiver:
    """The service, in each of its processes."""
    return Receiver(_PARTIES, Store.open(url), lambda: NOW)


def open_forgetful_receiver(url: str) -> Receiver:
    """The same service, which stores nothing."""
    receiver = open_receiver(url)
    receiver.store = _forget  # type: ignore[method-assign, assignment] # that is the comparison
    return receiver


def _forget(lot: Sequence[Incoming]) -> list[bool]:
    return [True] * len(lot)


@contextmanager
def database(backend: str) -> Iterator[tuple[str, int | None]]:
    """The address of a new database, migrated, and the process of its server if it has one."""
    if backend == "sqlite":
        folder = tempfile.mkdtemp(prefix="lamplighter-bench-")
        try:
            url = f"sqlite:///{folder}/lamplighter.db"
            Store.open(url).close()
            yield url, None
        finally:
            shutil.rmtree(folder)
        return
    try:
        with postgres.server(parent=Path(tempfile.gettempdir())) as server:
            url = server.create_database()
            Store.open(url).close()
            yield url, server.pid
    except postgres.UnavailableError as reason:
        raise Skipped(str(reason)) from reason


@dataclass(frozen=True, slots=True)
class Figures:
    """What one half of a pair came to."""

    messages: int
    service_seconds: float
    """CPU of the receive processes."""
    database_seconds: float
    """CPU of the database's server; 0 where it is in the processes."""
    load_seconds: float
    """CPU of the load generator, on the same machine."""
    outcome: load.Outcome

    @property
    def each(self) -> float:
        """CPU-seconds of all servers for one message."""
        return (self.service_seconds + self.database_seconds) / self.messages

    def at_most(self, cores: int) -> float:
        """Messages a second of so many cores that are never idle: they bear the load generator, too."""
        spent = self.service_seconds + self.database_seconds + self.load_seconds
        return cores * self.messages / spent


class Service:
    """Receive processes that run, and a load for them."""

    def __init__(self, processes: Processes, database_pid: int | None) -> None:
        self._processes = processes
        self._database_pid = database_pid

    def take(self, octets: Sequence[bytes], connections: int = CONNECTIONS) -> Figures:
        """Have messages taken, every one."""
        host, port = self._processes.url.removeprefix("http://").split(":")
        requests = [load.request("POST", RECEIVE_PATH, each) for each in octets]
        service, base = self._cpu()
        start = process_time()
        outcome = load.run(host, int(port), requests, connections=connections)
        loading = process_time() - start
        service_after, base_after = self._cpu()
        if outcome.tally != {204: len(octets)}:
            raise RuntimeError(f"not every message was taken: {outcome.tally}")
        return Figures(len(octets), service_after - service, base_after - base, loading, outcome)

    def _cpu(self) -> tuple[float, float]:
        service = sum(cpu_seconds(pid) for pid in self._processes.pids)
        return service, 0.0 if self._database_pid is None else cpu_seconds(self._database_pid)


@contextmanager
def service(
    url: str, database_pid: int | None, processes: int = 1, *, stores: bool = True, warm_up: int = 0
) -> Iterator[Service]:
    """The service, warm. `warm_up` numbers the messages that warm it: a database knows them but once."""
    make = open_receiver if stores else open_forgetful_receiver
    with Processes(partial(make, url), processes) as running:
        made = Service(running, database_pid)
        made.take(messages(WARM_UP * (warm_up + 1))[WARM_UP * warm_up :], connections=8 * processes)
        yield made


def _lots(count: int, skip: int) -> list[tuple[bytes, ...]]:
    """`count` lots of MESSAGES, after those of the first `skip` warm-ups."""
    first = WARM_UP * skip
    all_of_them = messages(first + count * MESSAGES)
    return [all_of_them[at : at + MESSAGES] for at in range(first, len(all_of_them), MESSAGES)]


def verify_seconds(octets: Sequence[bytes]) -> float:
    """CPU-seconds to open one of these messages in this very process, in a loop that does nothing else."""
    start = process_time()
    for each in octets:
        duis.open_response(each, _PARTIES.ring, now=NOW, dcc=BROKER)
    return (process_time() - start) / len(octets)


def verified(backend: str, count: int) -> Iterator[tuple[float, Figures]]:
    """For each round: CPU-seconds to verify a message in-process, and what the whole service needed."""
    lots = _lots(count, 1)
    with database(backend) as (url, pid), service(url, pid) as running:
        for lot in lots:
            before = verify_seconds(lot[: MESSAGES // 2])
            figures = running.take(lot)
            yield (before + verify_seconds(lot[MESSAGES // 2 :])) / 2, figures


def against_verify(backend: str, count: int) -> list[float]:
    """Messages per server CPU-second / messages verified in-process per CPU-second."""
    return [verify / figures.each for verify, figures in verified(backend, count)]


def against_forgetting(backend: str, count: int) -> list[float]:
    """Messages per second / those of the same service storing nothing."""
    lots = _lots(count, 1)
    with (
        database(backend) as (url, pid),
        service(url, pid) as storing,
        service(url, pid, stores=False) as forgetting,
    ):
        ratios = []
        for lot in lots:
            nothing = forgetting.take(lot, CROWD)
            ratios.append(nothing.outcome.seconds / storing.take(lot, CROWD).outcome.seconds)
        return ratios


def against_one(backend: str, count: int) -> list[float]:
    """Messages per second of two processes / of one."""
    return [one.outcome.seconds / two.outcome.seconds for one, two in one_and_two(backend, count)]


def one_and_two(backend: str, count: int) -> Iterator[tuple[Figures, Figures]]:
    """For each round what one process and what two processes came to, on one database."""
    lots = _lots(2 * count, 2)
    with (
        database(backend) as (url, pid),
        service(url, pid) as one,
        service(url, pid, 2, warm_up=1) as two,
    ):
        for first, second in zip(lots[::2], lots[1::2], strict=True):
            yield one.take(first, CROWD), two.take(second, CROWD)


def steadiness(backend: str, count: int) -> list[float]:
    """The median latency / the 99th percentile, under load."""
    return [
        figures.outcome.percentile(0.5) / figures.outcome.percentile(0.99)
        for _, figures in verified(backend, count)
    ]


def applied(backend: str, count: int) -> Iterator[float]:
    """For each round, messages per CPU-second that were verified, stored, and moved their Devices' states.

    The statements are applied after all messages of the round were taken, and not beside that: the load
    generator and the applier share this process.
    """
    lots = _lots(count, 1)
    with database(backend) as (url, pid):
        store = Store.open(url)
        apply.prepare(store.database, (WARM_UP + count * MESSAGES) // 3 + 1)
        with service(url, pid) as running:
            store.record.apply(None, NOW, WARM_UP)
            for lot in lots:
                figures = running.take(lot)
                start, start_base = process_time(), 0.0 if pid is None else cpu_seconds(pid)
                moved = store.record.apply(None, NOW, MESSAGES)
                seconds = process_time() - start + (0.0 if pid is None else cpu_seconds(pid) - start_base)
                if moved != MESSAGES or store.inbox.counts() != (0, 0):
                    raise RuntimeError(
                        f"{moved} of {MESSAGES} messages moved a state: {store.inbox.counts()}"
                    )
                yield MESSAGES / (figures.each * MESSAGES + seconds)
        store.close()


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="bench.receive", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for backend in BACKENDS:
        for verify, figures in verified(backend, given.rounds):
            outcome, each = figures.outcome, figures.each
            print(
                f"{backend}: verify {verify * 1e6:.0f} us, "
                f"service {figures.service_seconds / MESSAGES * 1e6:.0f} us, "
                f"database {figures.database_seconds / MESSAGES * 1e6:.0f} us, ratio {verify / each:.2f}; "
                f"{MESSAGES / outcome.seconds:.0f} messages a second, "
                f"median {outcome.percentile(0.5) * 1e3:.1f} ms, p99 {outcome.percentile(0.99) * 1e3:.1f} ms",
                flush=True,
            )
        kept = against_forgetting(backend, given.rounds)
        print(f"{backend}: storing / storing nothing {statistics.median(kept):.2f} {kept}", flush=True)
        cores = os.cpu_count() or 1
        for one, two in one_and_two(backend, given.rounds):
            print(
                f"{backend}: two processes / one: wall {one.outcome.seconds / two.outcome.seconds:.2f}, "
                f"of at most {two.at_most(cores) * one.outcome.seconds / MESSAGES:.2f} on {cores} cores; "
                f"messages per CPU-second {one.each / two.each:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
