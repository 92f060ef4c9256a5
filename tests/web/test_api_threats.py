"""Attacks on the API, each by its name."""

from __future__ import annotations

import base64
import json
import socket
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, MINUTE
from lamplighter.service.people import Role, Scope
from lamplighter.service.web.api import PREFIX, cursors
from lamplighter.service.web.api.door import FAILURES_MAX, FORGOTTEN, Failures
from lamplighter.service.web.api.problems import ProblemError
from tests.web import scene
from tests.web.conftest import ROOT
from tests.web.program import plan, problem, program, token

JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def stocked(site):
    """A site with a release, and a draft of operator1's."""
    image = scene.ota()
    site.store.registry.put_cpl([scene.listed(image)])
    operator1 = program(site)
    site.release = operator1.post("/releases", params={"name": "R"}, content=image, headers=OCTETS).json()[
        "release"
    ]["id"]
    made = operator1.post("/campaigns", json={"plan": plan(), "release": site.release})
    site.draft = made.json()
    return site


# --- tokens


def test_token_scope(stocked):
    """A token does no more than its scopes, and no more than its person may by now."""
    path = f"/campaigns/{stocked.draft['id']}/abort"
    problem(program(stocked, "operator", {Scope.READ}).post(path, json={}), 403, "forbidden")
    wide = program(stocked, "operator", {Scope.READ, Scope.OPERATE})
    stocked.people.set_roles(ROOT, "operator1", [Role.VIEWER])
    problem(wide.post(path, json={}), 403, "forbidden")
    assert {"read"} == set(wide.get("/me").json()["scopes"])


@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
def test_a_token_that_was_found_stops_nothing_of_its_owners(site, role):
    """Neither their other tokens nor itself, whatever scopes it has but one: only an administrator's may."""
    other = program(site, role)
    found = program(site, role)
    for it in found.get("/tokens").json()["items"]:
        problem(found.delete(f"/tokens/{it['id']}"), 403, "forbidden")
    assert 200 == other.get("/me").status_code


def test_a_token_makes_no_wider_one(site):
    """Nor any at all: whoever finds it could live on by another when it is revoked."""
    asked = {"account": "operator1", "label": "mine", "scopes": ["read"], "days": 300}
    for role in ("viewer", "operator", "approver"):
        problem(program(site, role).post("/tokens", json=asked), 403, "forbidden")
    half = program(site, "administrator", {Scope.READ})
    problem(half.post("/tokens", json=asked | {"account": "administrator1"}), 403, "forbidden")
    administrator1 = program(site, "administrator")
    problem(
        administrator1.post("/tokens", json=asked | {"scopes": ["operate", "administer"]}), 409, "refused"
    )


def test_a_token_issued_in_the_approvers_name_approves_nothing(stocked):
    """Who writes plans and administers does not become their own second pair of eyes by a secret they see."""
    stocked.people.set_roles(ROOT, "operator1", [Role.OPERATOR, Role.ADMINISTRATOR])
    stocked.people.set_roles(ROOT, "reviewer1", [Role.APPROVER, Role.ADMINISTRATOR])
    ann = program(stocked)
    for scope in ("approve", "administer"):
        asked = {"account": "reviewer1", "label": "lent", "scopes": ["read", scope], "days": 1}
        said = problem(ann.post("/tokens", json=asked), 403, "forbidden")
        assert f"a token to {scope} as reviewer1 nobody issues but reviewer1" in said["detail"]
    assert [] == stocked.people.tokens(ROOT, "reviewer1")


@pytest.mark.parametrize(
    "end",
    [
        lambda site, number: site.people.revoke(ROOT, number),
        lambda site, _: site.people.disable(ROOT, "operator1"),
        lambda site, _: setattr(site.clock, "now", site.clock.now + 31 * DAY),
        lambda site, _: setattr(site.clock, "now", site.clock.now - DAY),
    ],
    ids=["revoked", "disabled", "expired", "before its time"],
)
def test_token_that_is_over(site, end):
    """From that moment on it opens nothing."""
    operator1 = program(site)
    assert 200 == operator1.get("/me").status_code
    end(site, site.people.tokens(ROOT, "operator1")[0].id)
    problem(operator1.get("/me"), 401, "unauthenticated")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Basic dmVyYTpw",
        "bearer lamp_",
        "Bearer lamp_' OR 1=1 --",
        "Bearer " + "x" * 4000,
    ],
)
def test_authorization_that_is_none(furnished, given):
    """None of them is looked up for long, and none opens anything."""
    client = program(furnished, secret="")
    problem(client.get("/me", headers={"Authorization": given}), 401, "unauthenticated")


def test_two_authorizations(furnished):
    """A good one beside another one is refused: who reads which of them would depend on who reads."""
    secret = token(furnished, "viewer")
    answer = program(furnished, secret="").get(
        "/me", headers=[("Authorization", f"Bearer {secret}"), ("Authorization", "Bearer other")]
    )
    problem(answer, 401, "unauthenticated")


def test_token_in_the_address(furnished):
    """An address is written into logs: a token in it counts for nothing."""
    secret = token(furnished, "viewer")
    client = program(furnished, secret="")
    problem(client.get("/me", params={"access_token": secret}), 401, "unauthenticated")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_guessing_tokens(site):
    """After so many an address waits, and whoever is at work from there goes on."""
    worker, guesser = program(site), program(site, secret="lamp_guess")
    assert 200 == worker.get("/me").status_code
    for _ in range(FAILURES_MAX):
        problem(guesser.get("/me"), 401, "unauthenticated")
    answer = guesser.get("/me")
    problem(answer, 429, "too-many-failures")
    assert 0 < int(answer.headers["retry-after"]) <= FORGOTTEN // 1_000_000
    assert 200 == worker.get("/me").status_code


def test_guessing_is_forgotten_after_a_while_and_remembered_for_few():
    """A minute later it may be tried again; a million addresses are not kept in mind."""
    place = SimpleNamespace(now=Instant(0))
    failures = Failures(lambda: place.now)
    for _ in range(FAILURES_MAX):
        failures.failed("198.51.100.1")
    assert MINUTE == failures.wait("198.51.100.1", "guess")
    assert 0 == failures.wait("198.51.100.2", "guess")
    place.now = Instant(FORGOTTEN)
    assert 0 == failures.wait("198.51.100.1", "guess")
    for number in range(20_000):
        failures.failed(f"address {number}")
    assert 10_000 == len(failures._failures)


# --- bodies


@pytest.mark.parametrize(
    ("path", "body", "extra"),
    [
        ("/campaigns", {"plan": plan("D"), "release": 1}, {"status": "running"}),
        ("/campaigns", {"plan": plan("D"), "release": 1}, {"created_by": "somebody else"}),
        ("/campaigns", {"plan": plan("D"), "release": 1}, {"approvals": [{"by": "reviewer1"}]}),
        ("/campaigns/1/abort", {"reason": "x"}, {"who": "somebody else"}),
        ("/campaigns/1/start", {"reason": "x"}, {"digest": "0" * 64}),
    ],
)
def test_mass_assignment(stocked, path, body, extra):
    """A field that is not asked for is refused, and nothing is done."""
    answer = program(stocked).post(path, json=body | extra)
    found = problem(answer, 422, "invalid")
    assert [f"body.{next(iter(extra))}"] == [it["where"] for it in found["places"]]
    assert ["draft"] == [it.status.value for it in stocked.store.campaigns.list()]


def test_mass_assignment_of_an_account(site):
    """Nobody becomes what they are not by saying so beside something else."""
    administrator1 = program(site, "administrator")
    for extra in (
        {"id": 1},
        {"disabled_at": None},
        {"issuer": "https://evil.example"},
        {"scopes": ["administer"]},
    ):
        problem(
            administrator1.post("/accounts", json={"name": "nils", "roles": ["viewer"]} | extra),
            422,
            "invalid",
        )
    problem(
        administrator1.put("/accounts/viewer1/roles", json={"roles": ["viewer"], "name": "administrator1"}),
        422,
        "invalid",
    )
    assert None is site.store.people.find("nils")


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"plan":[', "[[[{"])
def test_json_nested_very_deep(furnished, opening):
    """Tens of thousands of brackets are refused like any other nonsense, and the server lives on."""
    operator1 = program(furnished)
    body = (opening * (100_000 // len(opening))).encode()
    answer = operator1.post("/campaigns", content=body, headers=JSON)
    assert 400 <= answer.status_code < 500
    assert 200 == operator1.get("/me").status_code


@pytest.mark.parametrize("digits", ["9" * 5_000, "-" + "9" * 5_000, "1" + "0" * 5_000 + ".5", "1e999999"])
def test_numbers_with_thousands_of_digits(furnished, digits):
    """They are refused, and not reckoned with."""
    body = f'{{"plan": "x", "release": {digits}}}'.encode()
    answer = program(furnished).post("/campaigns", content=body, headers=JSON)
    assert answer.status_code in {400, 422}


def test_body_without_an_end(furnished):
    """A body that is too large is refused before it has come whole."""
    host, port = urlsplit(furnished.url).hostname, urlsplit(furnished.url).port
    secret = token(furnished, "operator")
    with socket.create_connection((host, port), timeout=20) as wire:
        wire.sendall(
            f"POST {PREFIX}/campaigns HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {10**12}\r\n\r\n{{".encode()
        )
        assert b" 413 " in wire.recv(4096).split(b"\r\n")[0]


def test_decompression_bomb(furnished):
    """What is sent compressed is not unpacked."""
    answer = program(furnished).post(
        "/campaigns", content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": "gzip"}
    )
    assert 415 == answer.status_code


def test_password_in_an_error(site):
    """What is wrong with a request is told without what was in it."""
    secret = "hunter2-hunter2-hunter2"
    given = {"name": "nils", "roles": ["viewer"], "password": [secret]}
    answer = program(site, "administrator").post("/accounts", json=given)
    problem(answer, 422, "invalid")
    assert secret not in answer.text


# --- cursors


@pytest.mark.parametrize(
    "forged",
    [
        "x",
        "AAAA",
        base64.urlsafe_b64encode(b"[]").decode().rstrip("="),
        base64.urlsafe_b64encode(b'["", 1]').decode().rstrip("="),
        base64.urlsafe_b64encode(b"[" * 300).decode().rstrip("="),
        base64.urlsafe_b64encode(b"\xff" * 30).decode().rstrip("="),
        base64.urlsafe_b64encode(json.dumps(["x", {"id": 1}]).encode()).decode().rstrip("="),
    ],
)
def test_cursor_forgery(furnished, forged):
    """Made up: refused wherever there are pages."""
    administrator1 = program(furnished, "administrator")
    for path in (
        "/releases", "/devices", "/campaigns", "/dead-letters", "/storms", "/audit", "/accounts", "/tokens",
        "/webhooks",
    ):  # fmt: skip
        problem(administrator1.get(path, params={"cursor": forged}), 400, "cursor")


def test_cursor_of_another_list(furnished):
    """A page's end is one of its list and its filters, and of nothing else."""
    viewer1 = program(furnished, "viewer")
    ours = viewer1.get("/devices", params={"region": "North", "limit": 1}).json()["next"]
    assert 200 == viewer1.get("/devices", params={"region": "North", "cursor": ours}).status_code
    for path, params in (
        ("/devices", {"region": "South"}),
        ("/devices", {}),
        ("/audit", {}),
        ("/campaigns", {}),
    ):
        problem(viewer1.get(path, params=params | {"cursor": ours}), 400, "cursor")


@pytest.mark.parametrize("position", [-1, 2**63, 10**40, 1.5, True, None, "1", [1], {"a": 1}])
def test_cursor_with_another_position(position):
    """Of the right list, but pointing at what is no place in it."""
    made = cursors.encode("audit", {}, position)
    with pytest.raises(ProblemError):
        cursors.decode("audit", {}, made, int)


def test_cursor_in_another_spelling():
    """There is one cursor for a place, and not several that a cache would keep apart."""
    made = cursors.encode("audit", {}, 7)
    assert 7 == cursors.decode("audit", {}, made, int)
    for other in (made + "=", made + "==", made.swapcase(), made + "\n", " " + made):
        with pytest.raises(ProblemError):
            cursors.decode("audit", {}, other, int)


# --- limits


@pytest.mark.parametrize(
    "limit", ["-1", "0", "501", "1e3", "0x10", "1.0", "", " 5", "99999999999999999999", "NaN", "true"]
)
def test_negative_and_other_limits(furnished, limit):
    """A page has 1 to 500 items, and the number is written in digits."""
    administrator1 = program(furnished, "administrator")
    for path in ("/devices", "/campaigns", "/audit", "/dead-letters", "/storms", "/webhooks"):
        problem(administrator1.get(path, params={"limit": limit}), 422, "invalid")


# --- idempotency


def test_idempotency_across_accounts(stocked):
    """A key is its account's: another person with the same one does their own act, and sees only that."""
    stocked.people.create(ROOT, "otto", [Role.OPERATOR])
    otto = stocked.people.issue_token(
        ROOT, "t", {Scope.READ, Scope.OPERATE}, Instant(stocked.clock() + DAY), "otto"
    )[1]
    key = {"Idempotency-Key": "the-same"}
    mine = program(stocked).post("/campaigns", json={"plan": plan("mine"), "release": 1}, headers=key)
    theirs = program(stocked, secret=otto).post(
        "/campaigns", json={"plan": plan("theirs"), "release": 1}, headers=key
    )
    assert (["mine", "operator1"], ["theirs", "otto"]) == tuple(
        [it.json()["name"], it.json()["created_by"]] for it in (mine, theirs)
    )


def test_idempotency_key_of_somebody_who_may_no_more(stocked):
    """An answer that was given before is not given to whoever has lost the right to ask for it."""
    asked = {"json": {"plan": plan("mine"), "release": 1}, "headers": {"Idempotency-Key": "k"}}
    operator1 = program(stocked)
    assert 201 == operator1.post("/campaigns", **asked).status_code
    stocked.people.set_roles(ROOT, "operator1", [Role.VIEWER])
    problem(operator1.post("/campaigns", **asked), 403, "forbidden")


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "é"])
def test_idempotency_keys_that_are_none(furnished, key):
    """1 to 128 printable characters without blanks."""
    answer = program(furnished).post(
        "/campaigns/1/abort", json={}, headers=[("Idempotency-Key", key.encode("latin-1"))]
    )
    problem(answer, 422, "invalid")


# --- names


@pytest.mark.parametrize(
    "name", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\x1b[31mred", "a\u2028b", "\x7f", " a", "a ", ""]
)
def test_header_injection_in_names(furnished, name):
    """A name that would end a line, or steer a terminal, is none; no answer has a header of its making."""
    answer = program(furnished).post("/releases", params={"name": name}, content=scene.ota(), headers=OCTETS)
    assert answer.status_code in {409, 422}
    assert "x-evil" not in answer.headers


def test_header_injection_in_reasons(stocked):
    """What stands in the audit has no line of somebody else's making."""
    given = {"reason": "a\r\n2026-01-01 reviewer1 approve"}
    answer = program(stocked).post(f"/campaigns/{stocked.draft['id']}/abort", json=given)
    problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    "path", ["/../admin", "/releases/../../login", "/releases/%2e%2e/1", "/devices/..%2f..%2f"]
)
def test_path_traversal(furnished, path):
    """There is nothing beside the API's own paths."""
    host, port = urlsplit(furnished.url).hostname, urlsplit(furnished.url).port
    secret = token(furnished, "viewer")
    with socket.create_connection((host, port), timeout=20) as wire:
        wire.sendall(
            f"GET {PREFIX}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {secret}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        status = int(wire.recv(4096).split()[1])
    assert status in {303, 404, 422}


def test_sql_in_every_word(furnished):
    """It is a word like any other."""
    viewer1 = program(furnished, "viewer")
    word = "x' OR '1'='1"
    for params in ({"region": word}, {"tag": word}, {"hub_model": word}):
        assert [] == viewer1.get("/devices", params=params).json()["items"]
    for params in ({"who": word}, {"what": word}):
        assert [] == viewer1.get("/audit", params=params).json()["items"]
