"""Signing in at an OpenID provider: authorization code, PKCE, state and nonce (OpenID Connect Core 1.0, 3.1).

The provider says who somebody is, and by a claim which roles they have; the account here is made, or its
roles are renewed, at each sign-in. Believed is an ID token that came from the token endpoint itself, is
signed by a key of the provider with an algorithm of our list, was made for us, for this very sign-in, and is
fresh. A state is good for one answer, in the browser that asked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx2
import jwt
import structlog

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.service.clock import wall_clock
from lamplighter.service.people import NAME, Role, UnauthenticatedError
from lamplighter.store.people import Limit, Login

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamplighter.service.people import People
    from lamplighter.store import Store

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Those of a private key alone: never "none", and no HMAC, whose key might be taken from a public one."""
AWAY_MAX: Final = 10 * MINUTE
"""How long a sign-in at the provider may take, us."""
BEGUN: Final = Limit(200, 10 * SECOND, 15 * MINUTE, HOUR)
"""Sign-ins that one address may begin and not end; an office may stand behind one address."""
LEEWAY_SECONDS: Final = 60
"""By how much the provider's clock and ours may differ."""
ENVIRONMENT: Final = "LAMPLIGHTER_OIDC_"

_BODY_MAX: Final = 1_000_000  # octets of any answer
_SECONDS: Final = 10.0  # for any answer
_DISCOVERY_SECONDS: Final = 3600  # how long what the provider says of itself is kept
_KEYS_SECONDS: Final = 60  # keys are asked for anew at most so often, where a token names an unknown one
_KEYS_MAX: Final = 100
_RSA_BITS_MIN: Final = 2048
_AGE_SECONDS: Final = 600  # an ID token is made when it is asked for

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Which provider, and what it says of persons."""

    issuer: str
    """Its address, as its tokens name it."""
    client_id: str
    """What it calls us."""
    redirect_uri: str
    """Where it sends browsers back to: our own address, ending in /login/oidc/callback."""
    client_secret: str | None = field(default=None, repr=False)
    """How we prove that it is us; None: a public client, by PKCE alone."""
    name_claim: str = "preferred_username"
    """The claim with the name of the account."""
    roles_claim: str = "roles"
    """The claim with the roles: a list, or words. Dots lead into it: `realm_access.roles`."""
    roles: Mapping[str, Role] = field(default_factory=lambda: {role.value: role for role in Role})
    """What the provider calls each role."""
    scopes: tuple[str, ...] = ("openid", "profile")
    """What is asked for."""
    title: str = ""
    """What it is called on the page to sign in; empty: by its host."""

    def check(self) -> Settings:
        """These settings; `UsageError` where tokens would go over an open wire."""
        for name, url in (("issuer", self.issuer), ("redirect URI", self.redirect_uri)):
            if not _is_safe(url):
                raise UsageError(f"the OpenID {name} {url!r} is no https:// address")
        if not self.client_id:
            raise UsageError("the OpenID provider knows us by no name: say which client id")
        return self

    @property
    def called(self) -> str:
        """What people call it."""
        return self.title or urlsplit(self.issuer).hostname or self.issuer


def settings(environment: Mapping[str, str], address: str) -> Settings | None:
    """What the environment says of a provider; None: nothing. `address` is our own, as browsers have it.

    LAMPLIGHTER_OIDC_ISSUER and _CLIENT_ID; and _CLIENT_SECRET, _TITLE, _NAME_CLAIM, _ROLES_CLAIM,
    and _ROLES, such as "gg-operators=operator,gg-admins=administrator".
    """
    said = {
        key.removeprefix(ENVIRONMENT).lower(): value
        for key, value in environment.items()
        if key.startswith(ENVIRONMENT) and value
    }
    if "issuer" not in said:
        return None
    known = {"issuer", "client_id", "client_secret", "title", "name_claim", "roles_claim"}
    if unknown := sorted(said.keys() - known - {"roles"}):
        raise UsageError(f"{ENVIRONMENT}{unknown[0].upper()} is no setting of ours")
    roles: dict[str, Role] = {}
    for pair in filter(None, said.pop("roles", "").split(",")):
        theirs, _, ours = pair.partition("=")
        if ours.strip() not in {role.value for role in Role} or not theirs.strip():
            raise UsageError(f"{ENVIRONMENT}ROLES: expected THEIRS=ROLE, found {pair!r}")
        roles[theirs.strip()] = Role(ours.strip())
    values: dict[str, Any] = {"client_id": "", **said} | ({"roles": roles} if roles else {})
    return Settings(redirect_uri=f"{address.rstrip('/')}/login/oidc/callback", **values).check()


class Departure(NamedTuple):
    """Somebody is sent to the provider."""

    url: str
    """Where to."""
    cookie: str
    """What their browser keeps meanwhile: HttpOnly, SameSite=Lax, for `AWAY_MAX`."""


class Arrival(NamedTuple):
    """Somebody came back, and is known."""

    session: str
    """A new session, as by `People.sign_in`."""
    next: str
    """Where they wanted to go, as `begin` was told."""


class OpenId:
    """One provider, as we see it. Safe to share between threads.

    client  for the way to the provider; None: one of our own
    """

    def __init__(
        self,
        store: Store,
        people: People,
        provider: Settings,
        clock: Callable[[], Instant] = wall_clock,
        client: httpx2.Client | None = None,
    ) -> None:
        self.settings = provider.check()
        self._store = store.people
        self._people = people
        self._clock = clock
        self._client = client or httpx2.Client(timeout=_SECONDS, follow_redirects=False)
        self._lock = threading.Lock()
        self._discovered: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, list[jwt.PyJWK]] | None = None

    def close(self) -> None:
        """Let go of connections to the provider."""
        self._client.close()

    def begin(self, next_path: str = "/", address: str = "") -> Departure:
        """Send somebody away who comes from this address.

        Raises `UnauthenticatedError` where the provider cannot be reached, or too many were sent from there.
        """
        endpoint = self._endpoint("authorization_endpoint")
        now = self._clock()
        wait, _ = self._store.admit({_begun(address): BEGUN}, now)
        if wait:
            raise _refused(
                f"too many sign-ins were begun from where you are: try again in {-(-wait // SECOND)} seconds",
                f"too many begun from {address}",
            )
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._store.begin_login(state, Login(nonce, verifier, next_path), Instant(now + AWAY_MAX), now)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.settings.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(endpoint).query else "?"
        return Departure(f"{endpoint}{joint}{urlencode(query)}", state)

    def finish(self, query: Mapping[str, str], cookie: str | None, address: str = "") -> Arrival:
        """Take somebody in who comes back with this query; else raises `UnauthenticatedError`.

        The words of the error are fit to be shown; what exactly was wrong with a token stands in the log.
        """
        state = query.get("state", "")
        if not cookie or not hmac.compare_digest(
            state.encode("utf-8", "replace"), cookie.encode("utf-8", "replace")
        ):
            raise _refused(
                "this sign-in was not begun in this browser: begin it again", "state and cookie differ"
            )
        login = self._store.end_login(state, self._clock())
        if login is None:
            raise _refused("this sign-in is over, or took too long: begin it again", "state unknown or used")
        if (issuer := query.get("iss")) is not None and issuer != self.settings.issuer:  # RFC 9207
            raise _refused("another provider answered", f"iss is {issuer[:200]!r}")
        if "error" in query or not query.get("code"):
            raise _refused("the provider did not let you in", query.get("error", "no code")[:200])
        claims = self._redeem(query["code"], login)
        name, roles = self._who(claims)
        try:
            session = self._people.arrive(self.settings.issuer, claims["sub"], name, roles)
        except UsageError as cause:
            raise UnauthenticatedError(f"{self.settings.called} calls you {name!r}: {cause}") from cause
        self._store.forgive(_begun(address), (), Instant(self._clock() - DAY))
        return Arrival(session, login.next)

    # --- the token

    def _redeem(self, code: str, login: Login) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "code_verifier": login.verifier,
            "client_id": self.settings.client_id,
        }
        secret = self.settings.client_secret
        answer = self._fetch(
            "POST",
            self._endpoint("token_endpoint"),
            data=form,
            auth=None if secret is None else (self.settings.client_id, secret),
        )
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise _refused(_UNBELIEVED, "no id_token in the answer")
        return self._believed(token, login.nonce)

    def _believed(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token, after all checks."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise _refused(_UNBELIEVED, f"signed with {str(algorithm)[:40]!r}")
            key = self._key(header.get("kid"), algorithm)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.settings.client_id,
                issuer=self.settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]},
            )
        except jwt.PyJWTError as cause:
            raise _refused(_UNBELIEVED, f"{type(cause).__name__}: {cause}") from cause
        said = claims["nonce"]
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise _refused(_UNBELIEVED, "the nonce is of another sign-in")
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise _refused(_UNBELIEVED, "sub is no text of 1 to 255 characters")
        party = claims.get("azp")
        if (isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and party is None) or (
            party is not None and party != self.settings.client_id
        ):
            raise _refused(_UNBELIEVED, f"made for {party!r}")
        if time.time() - claims["iat"] > _AGE_SECONDS + LEEWAY_SECONDS:
            raise _refused(_UNBELIEVED, "made long ago")
        return claims

    def _key(self, name: object, algorithm: str) -> jwt.PyJWK:
        """The provider's key of that name; asked for anew where it is not among those that we know."""
        for refresh in (False, True):
            found = [
                key
                for key in self._known_keys(refresh=refresh)
                if (name is None or key.key_id == name) and _fits(key, algorithm)
            ]
            if len(found) == 1:
                return found[0]
        raise _refused(
            _UNBELIEVED, f"signed with the key {str(name)[:80]!r}, of which there are {len(found)}"
        )

    def _known_keys(self, *, refresh: bool) -> list[jwt.PyJWK]:
        with self._lock:
            kept = self._keys
        now = time.monotonic()
        if kept is not None and (not refresh or now - kept[0] < _KEYS_SECONDS):
            return kept[1]
        answer = self._fetch("GET", self._endpoint("jwks_uri"))
        keys = []
        listed = answer.get("keys")
        for item in (listed if isinstance(listed, list) else [])[:_KEYS_MAX]:
            try:
                key = jwt.PyJWK(item)
            except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
                continue  # of a kind that is not known here, such as one for encryption
            if item.get("use", "sig") == "sig" and item.get("kty") != "oct":
                keys.append(key)
        with self._lock:
            self._keys = now, keys
        return keys

    def _who(self, claims: Mapping[str, Any]) -> tuple[str, frozenset[Role]]:
        name = claims.get(self.settings.name_claim)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            claim = self.settings.name_claim
            raise UnauthenticatedError(f"{self.settings.called} gives no name for an account, in {claim}")
        said: Any = claims
        for step in self.settings.roles_claim.split("."):
            said = said.get(step) if isinstance(said, dict) else None
        words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        roles = self.settings.roles
        return name, frozenset(roles[word] for word in words if isinstance(word, str) and word in roles)

    # --- the way there

    def _endpoint(self, name: str) -> str:
        with self._lock:
            kept = self._discovered
        if kept is None or time.monotonic() - kept[0] > _DISCOVERY_SECONDS:
            answer = self._fetch(
                "GET", f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            )
            if answer.get("issuer") != self.settings.issuer:
                raise _refused(_UNREACHED, f"it calls itself {str(answer.get('issuer'))[:200]!r}")
            kept = time.monotonic(), answer
            with self._lock:
                self._discovered = kept
        endpoint = kept[1].get(name)
        if not isinstance(endpoint, str) or not _is_safe(endpoint):
            raise _refused(_UNREACHED, f"its {name} is {str(endpoint)[:200]!r}")
        return endpoint

    def _fetch(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """A JSON object from the provider, of bounded size."""
        octets = b""
        try:
            with self._client.stream(method, url, headers={"Accept": "application/json"}, **more) as answer:
                for part in answer.iter_bytes():
                    octets += part
                    if len(octets) > _BODY_MAX:
                        raise _refused(_UNREACHED, f"{url} answers with more than {_BODY_MAX} octets")
                status = answer.status_code
        except httpx2.HTTPError as cause:
            raise _refused(_UNREACHED, f"{url}: {type(cause).__name__}: {cause}") from cause
        if status != httpx2.codes.OK:
            shown = _UNBELIEVED if method == "POST" else _UNREACHED
            raise _refused(shown, f"{url} answers {status}: {octets[:200]!r}")
        try:
            found = json.loads(octets)
        except (ValueError, RecursionError) as cause:
            raise _refused(_UNREACHED, f"{url} answers with no JSON") from cause
        if not isinstance(found, dict):
            raise _refused(_UNREACHED, f"{url} answers with no JSON object")
        return found


_UNBELIEVED: Final = "what the provider says of you cannot be believed: begin again, or tell an administrator"
_UNREACHED: Final = "the provider cannot be reached, or is not set up as it must be: tell an administrator"


def _begun(address: str) -> str:
    """What the sign-ins that an address begins are counted under."""
    return f"begun\0{address}"


def _refused(shown: str, reason: str) -> UnauthenticatedError:
    _log.warning("openid sign-in refused", reason=reason)
    return UnauthenticatedError(shown)


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """Whether a key is for this algorithm, and strong enough."""
    kinds = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
    bits = getattr(key.key, "key_size", _RSA_BITS_MIN) if key.key_type == "RSA" else _RSA_BITS_MIN
    named = key.algorithm_name
    return (
        key.key_type == kinds[algorithm[:2]]
        and bits >= _RSA_BITS_MIN
        and (named == algorithm or key.key_type == "RSA")
    )


def _is_safe(url: str) -> bool:
    """Whether an address is of TLS, or of this very machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    try:
        return parts.scheme == "http" and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False
