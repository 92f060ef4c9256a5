"""The benchmarks' load generator and meter: what they say is what happened."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from bench import load
from bench.cpu import cpu_seconds

NO_CONTENT = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"
BURN = 0.3  # seconds of processor time; many ticks of 10 ms
BURNER = f"import time\nwhile time.process_time() < {BURN}: pass\n"
LINGERER = BURNER + "print(flush=True)\ninput()\n"
FAMILY = f"""
import subprocess, sys
ended = subprocess.run([sys.executable, "-c", {BURNER!r}])
living = subprocess.Popen([sys.executable, "-c", {LINGERER!r}], stdout=subprocess.PIPE)
living.stdout.readline()
print(flush=True)
input()
"""


@contextmanager
def _server(answer):
    """A server that hands each connection to `answer(connection, number)`, a thread each; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            number = 0
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=_answer, args=(connection, number), daemon=True).start()
                number += 1

        def _answer(connection, number):
            with connection:
                answer(connection, number)

        accepting = threading.Thread(target=serve)
        accepting.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    accepting.join()


def _requests_of(connection):
    """The bodies that come on a connection."""
    received = b""
    while octets := connection.recv(65536):
        received += octets
        while (end := received.find(b"\r\n\r\n")) >= 0:
            length = int(re.search(rb"Content-Length: (\d+)", received)[1])
            if len(received) < end + 4 + length:
                break
            yield received[end + 4 : end + 4 + length]
            received = received[end + 4 + length :]


def _run(port, bodies, connections=1):
    return load.run(
        "127.0.0.1", port, [load.request("POST", "/", b) for b in bodies], connections=connections
    )


def test_each_request_has_its_own_status_in_order():
    """Statuses stand in the order of sending, whoever answers first."""

    def answer(connection, _):
        for body in _requests_of(connection):
            connection.sendall(b"HTTP/1.1 %s X\r\nContent-Length: 2\r\n\r\nok" % body)

    statuses = [200 + n % 90 for n in range(500)]
    with _server(answer) as port:
        outcome = _run(port, [b"%d" % status for status in statuses], connections=7)
    assert statuses == outcome.statuses
    assert (500, True) == (len(outcome.latencies), all(0 < it <= outcome.seconds for it in outcome.latencies))


def test_an_answer_in_single_octets_and_a_large_request_are_whole():
    """What comes in pieces is put together, and what does not go out at once goes out all the same."""

    def answer(connection, _):
        for body in _requests_of(connection):
            for octet in b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (
                len(b"%d" % len(body)),
                b"%d" % len(body),
            ):
                connection.sendall(bytes([octet]))

    with _server(answer) as port:
        outcome = _run(port, [bytes(20_000_000), b"", b"abc"])
    assert [200, 200, 200] == outcome.statuses


def test_a_connection_that_ends_without_an_answer_is_counted_and_replaced():
    """The first connection is cut after half an answer: one request has none, the others go on a new one."""

    def answer(connection, number):
        for _ in _requests_of(connection):
            if number == 0:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return
            connection.sendall(NO_CONTENT)

    with _server(answer) as port:
        outcome = _run(port, [b"x"] * 3)
    assert [load.NO_ANSWER, 204, 204] == outcome.statuses


def test_an_answer_that_closes_is_an_answer():
    """A server that says `Connection: close` is taken at its word: a new connection for the next request."""
    seen = []

    def answer(connection, number):
        for _ in _requests_of(connection):
            seen.append(number)
            connection.sendall(b"HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            connection.recv(1)

    with _server(answer) as port:
        outcome = _run(port, [b"x"] * 3)
    assert ([400] * 3, [0, 1, 2]) == (outcome.statuses, seen)


def test_a_refusal_before_the_whole_request_is_sent_is_its_answer():
    """A server that has seen enough: what is left of the request is not sent into the next one."""
    seen = []

    def answer(connection, number):
        seen.append(number)
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        while connection.recv(65536):
            pass

    with _server(answer) as port:
        outcome = _run(port, [bytes(20_000_000)] * 2)
    assert ([413, 413], [0, 1]) == (outcome.statuses, seen)


def test_chunks_are_refused_rather_than_mismeasured():
    """An answer without a length would be taken as ended too early."""

    def answer(connection, _):
        for _ in _requests_of(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    with _server(answer) as port, pytest.raises(ValueError, match="chunks"):
        _run(port, [b"x"])


def test_a_percentile_is_the_latency_that_so_many_do_not_exceed():
    """Nearest rank: the median of four is the second, the 99th percentile the fourth."""
    outcome = load.Outcome([4.0, 1.0, 3.0, 2.0], [204] * 4, 1.0)
    assert (2.0, 4.0, 4.0) == (outcome.percentile(0.5), outcome.percentile(0.99), outcome.percentile(1))


def test_processor_time_is_that_of_the_whole_tree():
    """A child that has ended and one that lives count, and the parent's own idleness does not hide them."""
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as family:
        family.stdout.readline()
        spent = cpu_seconds(family.pid)
        family.communicate(b"\n")
    assert 2 * BURN - 0.05 <= spent < 4 * BURN
    with pytest.raises(ProcessLookupError):
        cpu_seconds(family.pid)
    assert cpu_seconds(os.getpid()) > 0
