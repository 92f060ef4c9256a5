"""The port of the pages under attack: connections that take a place, and give nothing for it."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from lamplighter.service import listener
from lamplighter.service.listener import Listener

PATIENCE = 10
PIECE = bytes(1 << 16)
PIECES = 256
"""More than the two kernels keep on the way between them: 16 MiB."""


class Application:
    """Answers at once, at length, or not as long as anybody is there; and knows who has left."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.left = threading.Semaphore(0)

    async def __call__(self, scope, receive, send) -> None:
        assert "http" == scope["type"], "nothing else comes through"
        headers = [(b"content-length", b"2")] if scope["path"] == "/" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        match scope["path"]:
            case "/":
                await send({"type": "http.response.body", "body": b"ok"})
            case "/whole":
                await send({"type": "http.response.body", "body": PIECE * PIECES})
            case "/pieces":
                for number in range(PIECES):
                    await send(
                        {"type": "http.response.body", "body": PIECE, "more_body": number < PIECES - 1}
                    )
            case _:  # an event stream
                await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
                self.asked.release()
                while (await receive())["type"] != "http.disconnect":
                    pass
        self.left.release()


@pytest.fixture
def app():
    return Application()


@pytest.fixture
def place(app):
    with Listener(app) as at:
        split = urlsplit(at.url)
        yield split.hostname, split.port


@contextmanager
def calling(place, path=None, *, window=None, close=False):
    """A connection; with a path it has asked for it."""
    with socket.socket() as connection:
        connection.settimeout(PATIENCE)
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.connect(place)
        if path:
            ask(connection, path, close=close)
        yield connection


def ask(connection, path, *, close=False):
    more = "Connection: close\r\n" if close else ""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())


def is_reset(connection):
    """Whether the other side gives the connection up, without a look at what has come."""
    watch = select.poll()
    watch.register(connection, 0)
    return bool(watch.poll(PATIENCE * 1000))


def is_open(place_of):
    """Whether a connection that asked nothing still gets an answer."""
    try:
        ask(place_of, "/")
        return place_of.recv(4096).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


@pytest.mark.parametrize("close", [False, True], ids=["kept", "last"])
@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_slow_read_an_answer_that_is_never_read_is_not_kept(place, app, monkeypatch, path, close):
    """Who asks for much and takes nothing is sent away, and the answer with them, the kernel's part too."""
    monkeypatch.setattr(listener, "TAKE_SECONDS", 0.2)
    with calling(place, path, window=4096, close=close) as connection:
        assert is_reset(connection)
        assert app.left.acquire(timeout=PATIENCE), "nor does anything of ours wait for them"


def test_slow_read_the_rest_of_a_trickle_is_not_waited_for(place, monkeypatch):
    """One octet now and then is not taking: the least that has to go is not met by it."""
    monkeypatch.setattr(listener, "TAKE_SECONDS", 0.2)
    with calling(place, "/whole", window=4096) as connection:
        watch = select.poll()
        watch.register(connection, 0)
        for _ in range(PATIENCE * 50):
            if watch.poll(20):  # as long as that between two octets
                break
            connection.recv(1)
        else:
            pytest.fail("it was waited for")


@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_who_takes_what_was_asked_for_gets_all_of_it(place, monkeypatch, path):
    """Through a small window too, where much waits nearly all of the time."""
    monkeypatch.setattr(listener, "TAKE_SECONDS", 1.0)
    with calling(place, path, window=16384, close=True) as connection:
        found = 0
        while part := connection.recv(1 << 16):
            found += part.count(b"\0")
        assert PIECES * len(PIECE) == found


def test_slow_loris_connections_that_ask_nothing_keep_nobody_out(place, monkeypatch):
    """With all places taken by them, who comes to ask gets the place of the first; the others stay."""
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 4)
    with ExitStack() as stack:
        idle = [stack.enter_context(calling(place)) for _ in range(3)]
        begun = stack.enter_context(calling(place))
        begun.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert is_open(stack.enter_context(calling(place)))
        assert [False, True, True] == [is_open(it) for it in idle]


def test_event_streams_without_end_leave_the_door_answering(place, app, monkeypatch):
    """Where every place is in use, the next is told so, and nobody who is at something loses their place."""
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 3)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(calling(place, "/events"))
            assert app.asked.acquire(timeout=PATIENCE)
        with calling(place, "/") as refused:
            assert refused.recv(4096).startswith(b"HTTP/1.1 503")
            assert not is_open(refused)
    for _ in range(3):
        assert app.left.acquire(timeout=PATIENCE)
    with calling(place) as later:
        assert is_open(later)


def test_a_web_socket_is_not_begun(place):
    """It would be a connection that knows none of these bounds: the request is answered like any other."""
    with calling(place) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
