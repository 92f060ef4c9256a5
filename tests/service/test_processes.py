"""Several receive processes on one port: they share the work, are replaced, and end when told."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx2
import pytest

from lamplighter.kit import Eui64, UsageError
from lamplighter.service.processes import Processes
from lamplighter.service.receiver import RECEIVE_PATH, Receiver
from lamplighter.store import Store

from .parties import PARTIES, activated, by_dsp, clock, delivered

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


def open_receiver(url):
    return Receiver(PARTIES, Store.open(url), clock)


def fail():
    raise UsageError("no keys")


def post(url, octets):
    """Try as the DCC does, until there is an answer: a process that died takes its connections with it."""
    due = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < due:
        try:
            reply = httpx2.post(url + RECEIVE_PATH, content=octets, timeout=PATIENCE_SECONDS)
        except httpx2.TransportError:
            continue
        if reply.status_code != 503:
            return reply.status_code
    return None


def until(condition):
    due = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < due
        os.sched_yield()  # what is awaited is another process's work


def is_alive(pid):
    try:
        return "Z" != Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_processes_share_a_port_and_a_database(database_url):
    """Each connection is dealt to one of two: a replay is known to both; a kill loses nothing answered."""
    lot = [by_dsp(delivered(eui=Eui64.of(n))) for n in range(24)]
    with Processes(partial(open_receiver, database_url), 2) as processes:
        first = processes.pids
        assert 2 == len(first)
        assert [204] * 12 == [post(processes.url, octets) for octets in lot[:12]]
        os.kill(first[0], signal.SIGKILL)
        assert [204] * 24 == [post(processes.url, octets) for octets in lot]
        until(lambda: len(processes.pids) == 2)
        assert first[0] not in processes.pids
        last = processes.pids
    assert not any(is_alive(pid) for pid in last)
    store = Store.open(database_url)
    assert set(lot) == {letter.octets for letter in store.inbox.latest()}
    assert (24, 0) == store.inbox.counts()
    store.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_processes_end_with_their_parent(database_url):
    """kill -9 of the parent: nobody is left behind on the port."""
    program = (
        "import sys\n"
        "from functools import partial\n"
        "from lamplighter.service.processes import Processes\n"
        "from tests.service.test_processes import open_receiver\n"
        "if __name__ == '__main__':\n"
        "    with Processes(partial(open_receiver, sys.argv[1]), 1) as processes:\n"
        "        print(*processes.pids, processes.url, flush=True)\n"
        "        sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, database_url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid, url = parent.stdout.readline().split()
        assert 204 == post(url, by_dsp(activated()))
        parent.kill()
    until(lambda: not is_alive(int(pid)))


def test_a_process_that_does_not_start_is_said_at_once():
    """No keys, no database: the error comes from the start, and not from a service that is deaf."""
    with pytest.raises(UsageError, match="did not start"), Processes(fail, 1):
        pass


def test_no_process_is_no_service():
    """Zero is refused."""
    with pytest.raises(UsageError, match="at least one"):
        Processes(fail, 0)
