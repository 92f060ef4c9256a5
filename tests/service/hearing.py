"""A receiver of webhooks: a real HTTP server that takes, refuses, redirects, dawdles, or never ends."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import NamedTuple


class Heard(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self):
        return json.loads(self.body)


class Receiver:
    """A context manager: within it the receiver listens at `url`, and behaves as `manner` says."""

    def __init__(self, manner="take", port=0, tls=None):
        self.manner = manner
        self.heard: list[Heard] = []
        self.arrived = threading.Event()
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.heard.append(Heard(self.path, dict(self.headers), body))
                outer.arrived.set()
                getattr(self, outer.manner)()

            do_GET = do_POST  # noqa: N815 # http.server's own names

            def take(self):
                self._answer(204)

            def refuse(self):
                self._answer(500)

            def redirect(self):
                self._answer(302, Location=f"{outer.url}/elsewhere")

            def dawdle(self):
                outer.over.wait(60)

            def endless(self):
                self.send_response(200)
                self.end_headers()
                self._go_on(b"x" * 65_536)

            def endless_head(self):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                for nth in count():
                    if not self._go_on(f"X-Header-{nth}: {'y' * 50}\r\n".encode(), 1) or outer.over.wait(
                        0.01
                    ):
                        return

            def nonsense(self):
                self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")

            def _go_on(self, octets, times=1 << 30):
                try:
                    for _ in range(times):
                        self.wfile.write(octets)
                        if outer.over.is_set():
                            return False
                except OSError:
                    return False
                return True

            def _answer(self, status, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # who goes away in the middle is what these tests are about

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def port(self):
        return self._server.server_port

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
