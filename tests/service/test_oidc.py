"""Signing in at a provider: a real one over HTTP, and what an attacker tries, by name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from lamplighter.kit import Instant, UsageError
from lamplighter.service import oidc
from lamplighter.service.clock import wall_clock
from lamplighter.service.oidc import OpenId, Settings
from lamplighter.service.people import People, Role, Scope, UnauthenticatedError
from lamplighter.store import Store
from tests.service.openid_provider import CLIENT, SECRET, Provider, key_pair

BACK = "https://lamplighter.example/login/oidc/callback"
OTHER_KEY = key_pair()
HOUR = timedelta(hours=1)


class Visit:
    """A database, a provider, and a browser that goes to and fro."""

    def __init__(self, url: str) -> None:
        self.now = wall_clock()
        self.provider = Provider()
        self.store = Store.open(url)
        self.people = People(self.store, lambda: self.now)
        settings = Settings(self.provider.issuer, CLIENT, BACK, SECRET)
        self.client = httpx2.Client(timeout=10)
        self.openid = OpenId(self.store, self.people, settings, lambda: self.now, self.client)

    def away(self, next_path: str = "/campaigns") -> tuple[dict[str, str], str]:
        """To the provider and back: what the browser brings, and its cookie."""
        url, cookie = self.openid.begin(next_path)
        back = self.client.get(url).headers["Location"]
        assert back.startswith(BACK)
        return {name: it[0] for name, it in parse_qs(urlsplit(back).query).items()}, cookie

    def arrive(self):
        return self.openid.finish(*self.away())

    def refusal(self, *arguments) -> str:
        with pytest.raises(UnauthenticatedError) as caught:
            self.openid.finish(*(arguments or self.away()))
        assert [] == self.rows("session")
        return str(caught.value)

    def rows(self, table: str) -> list:
        with self.store.database.reading() as connection:
            return connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1").all()

    def close(self) -> None:
        self.client.close()
        self.store.close()
        self.provider.close()


@pytest.fixture
def visit(database_url):
    visit = Visit(database_url)
    yield visit
    visit.close()


UNBELIEVED = "cannot be believed"


def test_whoever_the_provider_vouches_for_is_in(visit):
    """With the name and the roles that it says, where they wanted to go; and the account is made once."""
    session, target = visit.arrive()
    person, _ = visit.people.of_session(session)
    assert ("operator1", {Scope.READ, Scope.OPERATE}, "/campaigns") == (
        person.name,
        set(person.scopes),
        target,
    )
    visit.arrive()
    done = [(it.who, it.what, it.subject) for it in visit.store.audit.entries()]
    assert [("system", "create account", "operator1")] + [("operator1", "sign in", "operator1")] * 2 == done


def test_roles_are_the_providers_at_each_sign_in(visit):
    """Taken away there, they are taken away here, also for open sessions; with the last one goes the door."""
    visit.provider.claims = {"roles": ["approver", "administrator", "gardener"]}
    session, _ = visit.arrive()
    assert {Role.APPROVER, Role.ADMINISTRATOR} == visit.people.of_session(session)[0].roles
    visit.provider.claims = {"roles": "viewer"}
    visit.arrive()
    assert {Scope.READ} == set(visit.people.of_session(session)[0].scopes)
    visit.provider.claims = {"roles": []}
    with pytest.raises(UnauthenticatedError, match="no role here any more"):
        visit.arrive()
    assert frozenset() == visit.people.of_session(session)[0].scopes


def test_roles_lie_where_the_settings_say(visit):
    """Deep in the claims, under the provider's own names."""
    environment = {
        "LAMPLIGHTER_OIDC_ISSUER": visit.provider.issuer,
        "LAMPLIGHTER_OIDC_CLIENT_ID": CLIENT,
        "LAMPLIGHTER_OIDC_CLIENT_SECRET": SECRET,
        "LAMPLIGHTER_OIDC_ROLES_CLAIM": "realm_access.roles",
        "LAMPLIGHTER_OIDC_ROLES": "gg-ops=operator, gg-ok=approver",
        "PATH": "/bin",
    }
    settings = oidc.settings(environment, "https://lamplighter.example/")
    assert (BACK, "127.0.0.1") == (settings.redirect_uri, settings.called)
    visit.openid = OpenId(visit.store, visit.people, settings, client=visit.client)
    visit.provider.claims = {"realm_access": {"roles": ["gg-ok", "operator", 7]}}
    session, _ = visit.arrive()
    assert {Role.APPROVER} == visit.people.of_session(session)[0].roles


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ISSUER": "http://provider.example", "CLIENT_ID": "x"}, "https"),
        ({"ISSUER": "https://provider.example"}, "client id"),
        ({"ISSUER": "https://provider.example", "CLIENT_ID": "x", "ROLES": "a=king"}, "THEIRS=ROLE"),
        ({"ISSUER": "https://provider.example", "CLIENT_ID": "x", "COLOUR": "red"}, "COLOUR"),
    ],
    ids=range(4),
)
def test_settings_that_cannot_be_are_refused(environment, words):
    """Above all one whose tokens would go over an open wire."""
    said = {f"LAMPLIGHTER_OIDC_{name}": value for name, value in environment.items()}
    with pytest.raises(UsageError, match=words):
        oidc.settings(said, "https://lamplighter.example")
    assert None is oidc.settings({}, "https://lamplighter.example")


# --- threats


def test_login_csrf(visit):
    """Whoever sends a victim an answer of their own: the victim's browser has not begun that sign-in."""
    query, _ = visit.away()
    _, victims = visit.away()
    for cookie in (victims, None, ""):
        assert "not begun in this browser" in visit.refusal(query, cookie)


def test_replayed_state(visit):
    """An answer is good once, whoever brings it."""
    query, cookie = visit.away()
    visit.openid.finish(query, cookie)
    with pytest.raises(UnauthenticatedError, match="is over"):
        visit.openid.finish(query, cookie)


def test_a_state_that_was_never_begun(visit):
    """Nor does one that somebody made up work, though browser and answer agree."""
    query, _ = visit.away()
    assert "is over" in visit.refusal(query | {"state": "made-up"}, "made-up")


def test_a_state_that_is_too_old(visit):
    """Who comes back an hour later begins again."""
    query, cookie = visit.away()
    visit.now = Instant(visit.now + oidc.AWAY_MAX + 1)
    assert "took too long" in visit.refusal(query, cookie)


def test_replayed_nonce(visit):
    """An ID token of another sign-in, injected with a code of this one."""
    visit.provider.claims = {"nonce": "of-another-sign-in"}
    assert UNBELIEVED in visit.refusal()


def test_an_authorization_code_that_was_injected(visit):
    """A victim's code in the attacker's sign-in: PKCE does not fit it."""
    stolen, _ = visit.away()
    mine, cookie = visit.away()
    assert UNBELIEVED in visit.refusal(mine | {"code": stolen["code"]}, cookie)


def test_mix_up(visit):
    """An answer that says that it comes from another provider (RFC 9207)."""
    query, cookie = visit.away()
    assert "another provider" in visit.refusal(query | {"iss": "https://evil.example"}, cookie)


def _unsigned(claims, _provider) -> str:
    def part(value) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': 'one'})}.{part(claims)}."


def _hmac_with_the_public_key(claims, provider) -> str:
    """RS256 turned into HS256, signed with what everybody knows."""
    public = (
        provider.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body, _ = _unsigned(claims, provider).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').decode().rstrip("=")
    mark = hmac.digest(public, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


FORGERIES = {
    "alg none": _unsigned,
    "alg None": lambda claims, it: _unsigned(claims, it).replace(
        "eyJhbGciOiAibm9uZSI", "eyJhbGciOiAiTm9uZSI"
    ),
    "algorithm confusion": _hmac_with_the_public_key,
    "another's key": lambda claims, _: jwt.encode(claims, OTHER_KEY, "RS256", {"kid": "one"}),
    "unknown key": lambda claims, _: jwt.encode(claims, OTHER_KEY, "RS256", {"kid": "two"}),
    "key inside the token": lambda claims, _: jwt.encode(
        claims,
        OTHER_KEY,
        "RS256",
        {"kid": "one", "jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_KEY.public_key()))},
    ),
    "signature cut": lambda claims, it: it.signed(claims).rpartition(".")[0] + ".",
    "body changed": lambda claims, it: it.signed(claims).replace(".ey", ".eyJ9", 1),
    "no token": lambda *_: None,
    "nonsense": lambda *_: "a.b.c",
    "a list": lambda *_: ["x"],
}


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_token_that_the_provider_did_not_sign(visit, name):
    """Whatever its header says of itself."""
    visit.provider.sign = FORGERIES[name]
    assert UNBELIEVED in visit.refusal()


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"]},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"azp": "another client"},
        {"iss": "https://evil.example"},
        {"exp": -HOUR, "iat": -2 * HOUR},
        {"iat": -HOUR, "exp": HOUR},
        {"iat": HOUR, "exp": 2 * HOUR},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"nonce": None},
        {"sub": ""},
        {"sub": "x" * 300},
        {"nonce": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_token_that_is_not_for_us_now(visit, claims):
    """For another client, of another provider, too old, of the future, or without what it must have."""
    now = time.time()
    visit.provider.claims = {
        name: int(now + value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in claims.items()
    }
    assert UNBELIEVED in visit.refusal()


@pytest.mark.parametrize("name", [None, "", 7, "a b", "<script>", "policy", "system", "x" * 65])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_name_that_is_none(visit, name):
    """What the provider calls somebody becomes a name in the audit: it is checked like any other."""
    visit.provider.claims = {"preferred_username": name}
    assert "name" in visit.refusal()


def test_account_takeover(visit):
    """A provider's user who calls themselves as a local account does is not let in as that one."""
    root = visit.people.local("root")
    visit.people.create(root, "administrator1", [Role.ADMINISTRATOR], "correct horse battery")
    visit.provider.claims = {"preferred_username": "ADMINISTRATOR1", "roles": ["administrator"]}
    assert "already" in visit.refusal()
    visit.provider.claims = {"preferred_username": "operator1"}
    session, _ = visit.arrive()
    visit.people.sign_out(session)
    # The same person under another name stays the same account; another person under theirs is nobody.
    visit.provider.claims = {"preferred_username": "administrator1"}
    session, _ = visit.arrive()
    assert "operator1" == visit.people.of_session(session)[0].name
    visit.people.sign_out(session)
    visit.provider.claims = {"preferred_username": "operator1", "sub": "u-2"}
    assert "already" in visit.refusal()


def test_whoever_is_disabled_here_stays_out(visit):
    """Whatever the provider says."""
    session, _ = visit.arrive()
    root = visit.store.people
    root.create("administrator1", ["administrator"], None, "test", visit.now)
    root.disable("operator1", "administrator1", visit.now)
    assert None is visit.people.of_session(session)
    assert "disabled here" in visit.refusal()


def test_a_provider_has_no_password_here(visit):
    """An account of a provider cannot be given one, and does not sign in by one."""
    visit.provider.claims = {"roles": ["administrator"]}
    session, _ = visit.arrive()
    operator1, _ = visit.people.of_session(session)
    with pytest.raises(UsageError, match="which keeps the password"):
        visit.people.set_password(operator1, "operator1", "correct horse battery")
    with pytest.raises(UnauthenticatedError, match="wrong"):
        visit.people.sign_in("operator1", "")


def test_keys_that_were_changed_are_fetched_anew_and_not_for_each_token(visit, monkeypatch):
    """A rotation is followed; a flood of unknown keys is no flood of requests to the provider."""
    visit.arrive()
    visit.provider.keys = {"two": key_pair()}
    visit.provider.sign = lambda claims, it: it.signed(claims, "two")
    monkeypatch.setattr(oidc, "_KEYS_SECONDS", 0)
    visit.arrive()
    monkeypatch.setattr(oidc, "_KEYS_SECONDS", 60)
    asked = visit.provider.asked.count("/keys")
    visit.provider.sign = FORGERIES["another's key"]
    visit.provider.keys = {}
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            visit.arrive()
    assert asked == visit.provider.asked.count("/keys")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", (500, b"")),
        ("/.well-known/openid-configuration", (200, b"<html>")),
        ("/.well-known/openid-configuration", (200, b"[]")),
        ("/.well-known/openid-configuration", (200, b'{"issuer": "https://evil.example"}')),
        ("/.well-known/openid-configuration", (200, b" " * 1_100_000)),
        ("/.well-known/openid-configuration", (302, b"")),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_provider_that_answers_nonsense(visit, path, answer):
    """Too much, of another, or nothing at all: nobody is sent anywhere."""
    visit.provider.answers[path] = answer
    with pytest.raises(UnauthenticatedError, match="cannot be reached"):
        visit.openid.begin("/")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_endpoints_over_an_open_wire_are_not_used(visit):
    """A provider that names an endpoint without TLS is not set up as it must be."""
    found = {"issuer": visit.provider.issuer, "authorization_endpoint": "http://provider.example/authorize"}
    visit.provider.answers["/.well-known/openid-configuration"] = 200, json.dumps(found).encode()
    with pytest.raises(UnauthenticatedError, match="set up as it must be"):
        visit.openid.begin("/")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_provider_that_is_gone(visit):
    """Says so, and the local accounts go on."""
    visit.provider.close()
    with pytest.raises(UnauthenticatedError, match="cannot be reached"):
        visit.openid.begin("/")


def test_a_flood_of_sign_ins_that_are_begun(visit):
    """From one address: after so many it waits and leaves no row; others come in, and so does its own."""
    for _ in range(oidc.BEGUN.free):
        visit.openid.begin("/", "192.0.2.7")
    query, cookie = visit.away()  # from elsewhere
    last = visit.rows("login")
    for _ in range(3):
        with pytest.raises(UnauthenticatedError, match="try again in 10 seconds"):
            visit.openid.begin("/", "192.0.2.7")
    assert last == visit.rows("login")
    visit.openid.finish(query, cookie, "192.0.2.7")
    visit.openid.begin("/", "192.0.2.7")


def test_whoever_the_provider_turns_away(visit):
    """Its refusal is a refusal; what it says of the reason is not shown to anybody."""
    query, cookie = visit.away()
    answer = {"state": query["state"], "error": "access_denied<script>"}
    assert "the provider did not let you in" == visit.refusal(answer, cookie)
