"""A small real OpenID provider over HTTP: discovery, keys, codes bound to PKCE, tokens signed with RS256."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "lamplighter", "between the two of us"


def key_pair() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Provider:
    """What it knows of persons, what it does wrong if a test says so, and how it is reached."""

    claims: dict[str, Any] = field(default_factory=dict)
    """What it says of whoever signs in, besides what every token has; it overrules that."""
    sign: Any = None
    """(claims, provider) -> token, in place of the honest way."""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """What it answers at a path, in place of the honest way."""
    asked: list[str] = field(default_factory=list)
    """Paths that were asked for."""

    def __post_init__(self) -> None:
        self.keys = {"one": key_pair()}
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(urlsplit(self.path).path)
                self._answer(*provider.get(urlsplit(self.path)))

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                fields = {name: values[0] for name, values in parse_qs(form).items()}
                self._answer(*provider.token(fields, self.headers.get("Authorization", "")))

            def _answer(self, status: int, body: bytes, location: str = "") -> None:
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, url) -> tuple[int, bytes, str] | tuple[int, bytes]:
        if url.path in self.answers:
            return self.answers[url.path]
        if url.path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            found = {name: f"{self.issuer}/{path}" for name, path in names.items()}
            return 200, json.dumps({"issuer": self.issuer} | found).encode()
        if url.path == "/keys":
            keys = [
                json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}
                for kid, key in self.keys.items()
            ]
            return 200, json.dumps({"keys": keys}).encode()
        if url.path == "/authorize":
            return self._authorize({name: it[0] for name, it in parse_qs(url.query).items()})
        return 404, b"{}"

    def _authorize(self, query: dict[str, str]) -> tuple[int, bytes, str]:
        """Whoever comes is signed in at once, and sent back with a code."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        back = urlencode({"code": code, "state": query["state"], "iss": self.issuer})
        return 303, b"", f"{query['redirect_uri']}?{back}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        if "/token" in self.answers:
            return self.answers["/token"]
        asked = self._codes.pop(form.get("code", ""), None)
        proof = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or authorization != f"Basic {proof}"
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or made.decode().rstrip("=") != asked["code_challenge"]
        ):
            return 400, b'{"error": "invalid_grant"}'
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], "preferred_username": "operator1", "roles": ["operator"],
        }  # fmt: skip
        claims = {name: it for name, it in (claims | self.claims).items() if it is not None}
        token = self.sign(claims, self) if self.sign else self.signed(claims)
        return 200, json.dumps({"id_token": token, "access_token": "x", "token_type": "Bearer"}).encode()

    def signed(self, claims: dict[str, Any], kid: str = "one") -> str:
        return jwt.encode(claims, self.keys[kid], "RS256", {"kid": kid})
