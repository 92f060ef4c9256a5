"""The REST API: what it answers, who may ask, pages, problems, and acts that are done once."""

from __future__ import annotations

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount

from lamplighter.campaign.status import Act
from lamplighter.kit import Instant, chain
from lamplighter.service.people import Role, Scope
from lamplighter.service.web.api import PREFIX
from lamplighter.service.web.api.door import OPEN_PATHS
from lamplighter.store.answers import KEPT
from lamplighter.store.inbox import Incoming
from tests.store.locks import while_locked
from tests.web import scene
from tests.web.program import plan, problem, program, token


@pytest.fixture
def stocked(site):
    """A site with forty homes and a release for them."""
    scene.fleet(site.store, 40)
    image = scene.ota()
    site.store.registry.put_cpl([scene.listed(image)])
    added = program(site).post("/releases", params={"name": "R"}, content=image, headers=OCTETS)
    assert 201 == added.status_code, added.text
    site.release = added.json()["release"]["id"]
    return site


OCTETS = {"Content-Type": "application/octet-stream"}


def draft(site, name="C", client=None):
    """A campaign that was written down."""
    client = client or program(site)
    answer = client.post("/campaigns", json={"plan": plan(name), "release": site.release})
    assert 201 == answer.status_code, answer.text
    return answer.json()


def approved(site, name="C"):
    """A campaign that may start."""
    made = draft(site, name)
    answer = program(site, "approver").post(
        f"/campaigns/{made['id']}/approvals", json={"digest": made["digest"]}
    )
    assert 200 == answer.status_code, answer.text
    return answer.json()


def everything(client, path, **params):
    """All pages of a list."""
    found, cursor = [], None
    while True:
        answer = client.get(path, params=params | ({"cursor": cursor} if cursor else {}))
        assert 200 == answer.status_code, answer.text
        body = answer.json()
        found += body["items"]
        cursor = body["next"]
        if cursor is None:
            return found


# --- who may ask: from the routes themselves


def api_of(app):
    """The application that is mounted below the prefix."""
    return next(it.app for it in app.routes if isinstance(it, Mount) and it.path == PREFIX)


def scopes_of(route):
    """What a route asks for, as its dependencies say."""
    return [it.call.scope for it in route.dependant.dependencies if hasattr(it.call, "scope")]


def asked(route):
    """The path and the methods of a route, with something for each parameter."""
    path = route.path.format(number=999, name="nobody", eui="00-DB-12-34-00-00-00-01")
    return [(method, path) for method in sorted(route.methods)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_endpoint_refuses_the_wrong_role_and_no_token(site):
    """Derived from the routes: no token is 401, each scope but the right one is 403, and that is neither."""
    everybody = {
        scope: program(site, role.value, {scope})
        for scope, role in (
            (Scope.READ, Role.VIEWER),
            (Scope.OPERATE, Role.OPERATOR),
            (Scope.APPROVE, Role.APPROVER),
            (Scope.ADMINISTER, Role.ADMINISTRATOR),
        )
    }
    stranger, forger = program(site, secret=""), program(site, secret="lamp_" + "x" * 43)
    looked_at = 0
    for route in api_of(site.app).routes:
        if not isinstance(route, APIRoute) or route.path in OPEN_PATHS:
            continue
        (scope,) = scopes_of(route)
        for method, path in asked(route):
            # Anybody's body: who may not ask is told so before it is looked at.
            body = {"json": {}} if method in {"POST", "PUT"} else {}
            problem(stranger.request(method, path, **body), 401, "unauthenticated")
            for held, client in everybody.items():
                answer = client.request(method, path, **body)
                if held is scope:
                    assert answer.status_code != 401, path
                    assert answer.status_code != 403, path
                else:
                    problem(answer, 403, "forbidden")
            looked_at += 1
    problem(forger.get("/me"), 401, "unauthenticated")
    assert looked_at > 30


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_changes_something_asks_for_more_than_to_read(site):
    """But for a trial that keeps nothing; whoever has a say in accounts, or tells strangers, administers."""
    reading = {("POST", "/campaigns/dry-run")}
    for route in api_of(site.app).routes:
        if not isinstance(route, APIRoute) or route.path in OPEN_PATHS:
            continue
        (scope,) = scopes_of(route)
        for method in route.methods - {"GET"}:
            assert (scope is Scope.READ) == ((method, route.path) in reading), route.path
            if route.path.startswith("/tokens"):
                assert scope is Scope.ADMINISTER, route.path
        if route.path.startswith(("/webhooks", "/accounts")):
            assert scope is Scope.ADMINISTER, route.path
        if route.path.endswith(("/approvals", "/votes")):
            assert scope is Scope.APPROVE, route.path


def test_what_needs_no_token(site):
    """Health and the document, and nothing else."""
    stranger = program(site, secret="")
    assert "ok" == stranger.get("/health").json()["status"]
    assert "3.1.0" == stranger.get("/openapi.json").json()["openapi"]
    for path in ("/", "/nowhere", "/openapi.json/", "//health", "/health/../me", "/%68ealth/x"):
        assert 401 == stranger.get(path).status_code, path


def test_a_session_of_the_web_counts_for_nothing_here(site):
    """No page of another site can act through a browser that is signed in."""
    browser = site.client("administrator")
    problem(browser.get(f"{PREFIX}/me"), 401, "unauthenticated")


def test_me(site):
    """A token tells whose it is."""
    assert {"name": "operator1", "roles": ["operator"], "scopes": ["read"]} == (
        program(site, "operator", {Scope.READ}).get("/me").json()
    )


# --- what there is to do


def test_a_campaign_from_its_image_to_its_end(stocked):
    """Try, write down, approve as somebody else, start, pause, resume, abort; and the audit has it all."""
    site, operator1 = stocked, program(stocked)
    tried = operator1.post("/campaigns/dry-run", json={"plan": plan(), "release": site.release}).json()
    assert tried["eligible"] == sum(tried["waves"]) > 0
    made = draft(site)
    assert ("draft", "operator1", tried["digest"]) == (made["status"], made["created_by"], made["digest"])
    problem(operator1.post(f"/campaigns/{made['id']}/start", json={}), 409, "refused")
    seen = program(site, "approver").post(
        f"/campaigns/{made['id']}/approvals", json={"digest": made["digest"]}
    )
    assert [("reviewer1", True)] == [(it["by"], it["valid"]) for it in seen.json()["approvals"]]
    for act, status in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("abort", "aborting"),
    ):
        answer = operator1.post(f"/campaigns/{made['id']}/{act}", json={"reason": f"time to {act}"})
        assert (200, status) == (answer.status_code, answer.json()["status"])
    problem(operator1.post(f"/campaigns/{made['id']}/pause", json={}), 409, "refused")
    entries = everything(operator1, "/audit", campaign=made["id"])
    assert ["create", "approve", "start", "pause", "resume", "abort"] == [it["what"] for it in entries]
    assert "time to abort" == entries[-1]["detail"]


def test_a_plan_that_changes_voids_its_approvals(stocked):
    """The digest is another one, and what was approved is not what would be started."""
    made = approved(stocked)
    operator1 = program(stocked)
    revised = operator1.put(
        f"/campaigns/{made['id']}/plan", json={"plan": plan().replace("minimum = 1", "minimum = 2")}
    ).json()
    assert made["digest"] != revised["digest"]
    assert [False] == [it["valid"] for it in revised["approvals"]]
    problem(operator1.post(f"/campaigns/{made['id']}/start", json={}), 409, "refused")
    stale = program(stocked, "approver").post(
        f"/campaigns/{made['id']}/approvals", json={"digest": made["digest"]}
    )
    problem(stale, 409, "refused")


def test_whoever_wrote_a_plan_does_not_approve_it(stocked):
    """Also with a token that could."""
    stocked.people.set_roles(
        stocked.people.local("administrator1"), "operator1", [Role.OPERATOR, Role.APPROVER]
    )
    made = draft(stocked)
    answer = program(stocked).post(f"/campaigns/{made['id']}/approvals", json={"digest": made["digest"]})
    problem(answer, 409, "refused")


def test_a_plan_that_is_none_says_where(stocked):
    """The key, its value, and what is allowed."""
    given = {"plan": plan().replace("minimum = 1", "minimum = -1"), "release": stocked.release}
    for path in ("/campaigns", "/campaigns/dry-run"):
        found = problem(program(stocked).post(path, json=given), 422, "invalid-plan")
        assert "minimum" in found["detail"]


def test_an_image_that_is_none_says_why(site):
    """The field, what was expected, what was found; and nothing is registered."""
    operator1 = program(site)
    answer = operator1.post("/releases", params={"name": "R"}, content=b"\0" * 200, headers=OCTETS)
    assert "expected" in problem(answer, 422, "image-refused")["detail"]
    problem(operator1.post("/releases", params={"name": "R"}, content=b"x"), 415, "media-type")
    assert [] == everything(operator1, "/releases")


def test_releases(stocked):
    """Shown with what is in them; withdrawn once."""
    operator1 = program(stocked)
    seen = operator1.get(f"/releases/{stocked.release}").json()
    assert ("R", "11.4", "00020000") == (seen["name"], seen["srv"], seen["version"])
    assert seen["fields"]
    assert seen["verdicts"]["eligible"] > 0
    gone = operator1.post(f"/releases/{stocked.release}/withdraw", json={"reason": "it bricks"}).json()
    assert gone["withdrawn_at"] is not None
    problem(operator1.get("/releases/999"), 404, "not-found")


def test_a_release_is_marked_with_what_it_cures(site):
    """As it is registered or later, and not any more; shown wherever a release is."""
    operator1 = program(site)
    given = {"name": "R", "security": "CVE-2026-1234"}
    added = operator1.post("/releases", params=given, content=scene.ota(), headers=OCTETS).json()["release"]
    assert "CVE-2026-1234" == added["security"]
    path = f"/releases/{added['id']}"
    assert "CVE-2026-1234" == operator1.get(path).json()["security"]
    for security in ("GG-7", None):
        assert security == operator1.post(f"{path}/mark", json={"security": security}).json()["security"]
        assert [security] == [it["security"] for it in everything(operator1, "/releases")]
    problem(operator1.post("/releases/999/mark", json={"security": "GG-7"}), 404, "not-found")


@pytest.mark.parametrize(
    "reference", ["", "x" * 65, "CVE\x00", "CVE\n2026", "\x1b[2J", "CVE\u2028", "\u202e4321-6202-EVC", " "]
)
def test_control_characters_in_a_security_reference_are_refused(stocked, reference):
    """Whether a release is registered with it or marked with it."""
    operator1 = program(stocked)
    given = {"name": "S", "security": reference}
    answer = operator1.post("/releases", params=given, content=scene.ota(), headers=OCTETS)
    assert answer.status_code in {409, 422}
    answer = operator1.post(f"/releases/{stocked.release}/mark", json={"security": reference})
    assert answer.status_code in {409, 422}
    assert [None] == [it["security"] for it in everything(operator1, "/releases")]


def test_devices_are_found_page_by_page(stocked):
    """Each once, in their order, whatever the size of a page; and only those that are looked for."""
    viewer1 = program(stocked, "viewer")
    everyone = everything(viewer1, "/devices", limit=500)
    assert len(everyone) > 40
    assert everyone == everything(viewer1, "/devices", limit=7)
    assert sorted(it["eui"] for it in everyone) == [it["eui"] for it in everyone]
    north = everything(viewer1, "/devices", region="North", type="PPMID", limit=5)
    assert north == [it for it in everyone if (it["region"], it["type"]) == ("North", "PPMID")]
    by_version = everything(viewer1, "/devices", sort="-firmware", limit=9)
    assert sorted((it["firmware"] for it in everyone), reverse=True) == [it["firmware"] for it in by_version]
    assert {it["eui"] for it in everyone} == {it["eui"] for it in by_version}
    one = viewer1.get(f"/devices/{everyone[0]['eui'].lower()}").json()
    assert (everyone[0], []) == (one["registry"], one["journeys"])
    problem(viewer1.get("/devices/FF-FF-FF-FF-FF-FF-FF-FF"), 404, "not-found")


def test_lists_of_campaigns_and_audit_go_on_where_they_stopped(stocked):
    """Pages of one, and what was added meanwhile comes at the end."""
    operator1 = program(stocked)
    for number in range(3):
        draft(stocked, f"C{number}", operator1)
    first = operator1.get("/campaigns", params={"limit": 2}).json()
    draft(stocked, "C3", operator1)
    rest = operator1.get("/campaigns", params={"limit": 2, "cursor": first["next"]}).json()
    assert ["C0", "C1", "C2", "C3"] == [it["name"] for it in first["items"] + rest["items"]]
    assert None is rest["next"]
    assert list(range(1, 1 + stocked.store.audit.head().id)) == [
        it["id"] for it in everything(operator1, "/audit", limit=3)
    ]


def test_the_audit_is_exported_whole(stocked):
    """Its lines verify to the head that the API tells, from the beginning and from any entry on."""
    viewer1 = program(stocked, "viewer")
    draft(stocked)
    head = chain.parse_head(viewer1.get("/audit/head").json()["head"])
    exported = viewer1.get("/audit/export")
    assert "application/jsonl" in exported.headers["content-type"]
    entries = list(chain.read(io.BytesIO(exported.content)))
    assert head == chain.verify(entries, head=head)
    assert entries[3:] == list(chain.read(io.BytesIO(viewer1.get("/audit/export?after=3").content)))


def test_series_and_forecast(stocked):
    """A draft has a series of nothing, and no forecast where nobody makes one."""
    made = draft(stocked)
    operator1 = program(stocked)
    seen = operator1.get(f"/campaigns/{made['id']}/series").json()
    assert ([], None) == (seen["points"], seen["alarmed_at"])
    problem(operator1.get(f"/campaigns/{made['id']}/forecast"), 404, "not-found")


def test_accounts_and_tokens(site):
    """Let somebody in, let their program in, keep both out."""
    administrator1 = program(site, "administrator")
    made = administrator1.post(
        "/accounts", json={"name": "nils", "roles": ["operator"], "password": "a long password"}
    )
    assert (201, True, ["operator"]) == (
        made.status_code,
        made.json()["has_password"],
        made.json()["roles"],
    )
    asked = {"account": "nils", "label": "nightly", "scopes": ["read"], "days": 30}
    issued = administrator1.post("/tokens", json=asked).json()
    nils = program(site, secret=issued["secret"])
    assert {"name": "nils", "roles": ["operator"], "scopes": ["read"]} == nils.get("/me").json()
    assert ["nightly"] == [it["label"] for it in everything(nils, "/tokens")]
    assert (
        204
        == administrator1.put("/accounts/nils/password", json={"password": "another password"}).status_code
    )
    assert ["viewer"] == administrator1.put("/accounts/nils/roles", json={"roles": ["viewer"]}).json()[
        "roles"
    ]
    problem(nils.delete(f"/tokens/{issued['id']}"), 403, "forbidden")
    assert 204 == administrator1.delete(f"/tokens/{issued['id']}").status_code
    problem(administrator1.delete("/tokens/999"), 404, "not-found")
    problem(nils.get("/me"), 401, "unauthenticated")
    assert None is not administrator1.post("/accounts/nils/disable").json()["disabled_at"]
    assert None is administrator1.post("/accounts/nils/enable").json()["disabled_at"]
    problem(administrator1.post("/accounts/nobody/disable"), 404, "not-found")
    problem(administrator1.post("/accounts", json={"name": "nils", "roles": ["viewer"]}), 409, "refused")


def test_webhooks(stocked):
    """Add one, see what it is told, ask for it once more, remove it."""
    administrator1 = program(stocked, "administrator")
    asked = {"url": "https://hooks.example/lamp", "kinds": ["campaign", "gate"]}
    added = administrator1.post("/webhooks", json=asked).json()
    number = added["webhook"]["id"]
    assert len(added["secret"]) > 40
    draft(stocked)
    stocked.store.webhooks.gather(None, number, stocked.clock())
    (told,) = everything(administrator1, f"/webhooks/{number}/deliveries")
    assert ("create", "pending") == (json.loads(told["body"])["what"], told["status"])
    again = administrator1.post(f"/webhooks/{number}/replay", json={"ids": [told["id"]]})
    assert {"again": 0} == again.json()
    assert [number] == [it["id"] for it in everything(administrator1, "/webhooks")]
    assert "secret" not in administrator1.get(f"/webhooks/{number}").json()
    assert 204 == administrator1.delete(f"/webhooks/{number}").status_code
    problem(administrator1.get(f"/webhooks/{number}"), 404, "not-found")
    inside = administrator1.post("/webhooks", json=asked | {"url": "http://127.0.0.1:9/"})
    problem(inside, 422, "invalid")
    assert (
        201
        == administrator1.post(
            "/webhooks", json=asked | {"url": "http://127.0.0.1:9/", "inside": True}
        ).status_code
    )


def test_dead_letters_storms_and_messages(site):
    """Empty lists, and what is not there."""
    operator1 = program(site)
    assert ([], []) == (everything(operator1, "/dead-letters"), everything(operator1, "/storms", active=True))
    problem(operator1.post("/dead-letters/replay", json={"ids": [7]}), 409, "refused")
    problem(operator1.post("/dead-letters/dismiss", json={"ids": [7], "reason": "x"}), 409, "refused")
    site.store.inbox.take_in(
        [Incoming(b"<x>", Instant(1), Instant(1), "N39", None, 1, (), "which is not being updated")]
    )
    [letter] = everything(operator1, "/dead-letters")
    given = {"ids": [letter["id"]], "reason": "the other Supplier's"}
    assert {"dismissed": 1} == operator1.post("/dead-letters/dismiss", json=given).json()
    assert [] == everything(operator1, "/dead-letters")
    problem(operator1.get("/messages/7"), 404, "not-found")


def test_a_device_with_a_past(furnished):
    """Its journeys, its messages with all their fields, and letters that nobody could apply."""
    operator1 = program(furnished)
    ordered = furnished.store.fleet.updates(1, limit=1).rows or furnished.store.fleet.updates(2, limit=1).rows
    seen = operator1.get(f"/devices/{ordered[0].device}").json()
    assert seen["journeys"][0]["timeline"]
    letter = furnished.store.inbox.latest(1)[0]
    told = operator1.get(f"/messages/{letter.id}").json()
    assert told["tree"]["children"]
    for path in ("/dead-letters", "/storms", "/campaigns", "/releases"):
        everything(operator1, path, limit=1)
    for campaign in everything(operator1, "/campaigns"):
        assert 200 == operator1.get(f"/campaigns/{campaign['id']}").status_code


# --- what is wrong with a request


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/campaigns/", 404, "not-found"),
        ("GET", "/campaigns/0", 422, "invalid"),
        ("GET", "/campaigns/x", 422, "invalid"),
        ("GET", "/campaigns/1.0", 422, "invalid"),
        ("GET", "/campaigns/+1", 422, "invalid"),
        ("GET", "/campaigns/99999999999999999999", 422, "invalid"),
        ("GET", "/campaigns/%D9%A1", 422, "invalid"),
        ("GET", "/campaigns?limit=0", 422, "invalid"),
        ("GET", "/campaigns?limit=-1", 422, "invalid"),
        ("GET", "/campaigns?limit=1000000", 422, "invalid"),
        ("GET", "/campaigns?limit=1&limit=2", 422, "invalid"),
        ("GET", "/campaigns?limt=1", 422, "invalid"),
        ("GET", "/devices?firmware=%00", 422, "invalid"),
        ("GET", "/devices?region=%0d%0aX-Evil:%201", 422, "invalid"),
        ("GET", "/devices/xx", 422, "invalid"),
        ("PATCH", "/campaigns", 405, "method-not-allowed"),
        ("DELETE", "/releases/1", 405, "method-not-allowed"),
    ],
)
def test_what_cannot_be_asked(furnished, method, path, status, kind):
    """Each is a problem of its own kind, and no page of HTML."""
    problem(program(furnished).request(method, path), status, kind)


def test_another_method_says_which_there_are(furnished):
    """All of a path, though each has a route of its own."""
    answer = program(furnished).put("/campaigns")
    assert "GET, POST" == answer.headers["allow"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "bad-request"),
        (b"", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"\xff\xfe", 400, "bad-request"),
        (b'{"plan": "x"}', 422, "invalid"),
        (b'{"plan": "x", "release": "1"}', 422, "invalid"),
        (b'{"plan": "x", "release": true}', 422, "invalid"),
        (b'{"plan": "x", "release": 1.5}', 422, "invalid"),
        (b'{"plan": "x", "release": 1e400}', 422, "invalid"),
        (b'{"plan": "x", "release": 99999999999999999999}', 422, "invalid"),
        (b'{"plan": "\\ud800", "release": 1}', 422, "invalid"),
        (b'{"plan": ["x"], "release": 1}', 422, "invalid"),
    ],
)
def test_bodies_that_are_not_what_they_must_be(furnished, body, status, kind):
    """Nothing is guessed: a number in quotes is no number."""
    answer = program(furnished).post("/campaigns", content=body, headers={"Content-Type": "application/json"})
    problem(answer, status, kind)


# --- done once


def test_the_same_act_under_the_same_key_is_done_once(stocked):
    """The second is told what the first was, and that it is; another act takes another key."""
    operator1 = program(stocked)
    asked = {"json": {"plan": plan(), "release": stocked.release}, "headers": {"Idempotency-Key": "k1"}}
    first, second = (operator1.post("/campaigns", **asked) for _ in range(2))
    assert (201, 201) == (first.status_code, second.status_code)
    assert first.json() == second.json()
    assert (None, "true") == tuple(it.headers.get("idempotency-replayed") for it in (first, second))
    assert 1 == len(everything(operator1, "/campaigns"))
    other = {"plan": plan("D"), "release": stocked.release}
    problem(operator1.post("/campaigns", json=other, headers={"Idempotency-Key": "k1"}), 422, "key-reused")
    # The same words to another path are another act.
    problem(
        operator1.post("/campaigns/1/abort", json=asked["json"], headers={"Idempotency-Key": "k1"}),
        422,
        "invalid",
    )
    problem(
        operator1.post("/campaigns/1/abort", json={}, headers={"Idempotency-Key": "k1"}), 422, "key-reused"
    )


def test_many_at_once_under_one_key_are_one_act(stocked):
    """Eight threads ask at the same moment: one campaign, and all are told of it."""
    secret = token(stocked, "operator")
    clients = [program(stocked, secret=secret) for _ in range(8)]
    asked = {"json": {"plan": plan(), "release": stocked.release}, "headers": {"Idempotency-Key": "k1"}}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda client: client.post("/campaigns", **asked), clients))
    assert {201} == {it.status_code for it in answers}, [it.text for it in answers]
    assert 1 == len({it.json()["id"] for it in answers})
    assert 7 == sum(it.headers.get("idempotency-replayed") == "true" for it in answers)
    assert 1 == len(stocked.store.campaigns.list())
    assert 1 == len(stocked.store.audit.entries(what="create"))


def test_what_was_refused_may_be_asked_again_under_its_key(stocked):
    """Nothing was done, and nothing is remembered: once it can be done, it is."""
    made = draft(stocked)
    operator1, key = program(stocked), {"Idempotency-Key": "start-it"}
    problem(operator1.post(f"/campaigns/{made['id']}/start", json={}, headers=key), 409, "refused")
    program(stocked, "approver").post(f"/campaigns/{made['id']}/approvals", json={"digest": made["digest"]})
    assert 200 == operator1.post(f"/campaigns/{made['id']}/start", json={}, headers=key).status_code


def test_an_act_and_what_is_noted_of_it_are_kept_together_or_not_at_all(stocked, monkeypatch):
    """Where it cannot be noted that it was done it is not done either."""
    operator1 = program(stocked)
    asked = {"json": {"plan": plan(), "release": stocked.release}, "headers": {"Idempotency-Key": "k1"}}
    with monkeypatch.context() as patch:
        patch.setattr(stocked.store.answers, "note", full_disk)
        problem(operator1.post("/campaigns", **asked), 500, "our-mistake")
    assert ([], []) == (stocked.store.campaigns.list(), stocked.store.audit.entries(what="create"))
    assert 201 == operator1.post("/campaigns", **asked).status_code


def full_disk(*_, **__):
    raise OSError("no space left on device")


def test_an_act_that_was_done_before_a_crash_is_answered_after_it(stocked, monkeypatch):
    """It ended between the deed and its answer: that is done once, and from then on one answer holds."""
    operator1 = program(stocked)
    asked = {"json": {"plan": plan(), "release": stocked.release}, "headers": {"Idempotency-Key": "k1"}}
    with monkeypatch.context() as patch:
        patch.setattr(stocked.store.answers, "keep", full_disk)
        problem(operator1.post("/campaigns", **asked), 500, "our-mistake")
    assert 1 == len(stocked.store.campaigns.list())
    other = {"json": {"plan": plan("D"), "release": stocked.release}, "headers": asked["headers"]}
    problem(operator1.post("/campaigns", **other), 422, "key-reused")
    second = operator1.post("/campaigns", **asked)
    assert (201, "true") == (second.status_code, second.headers["idempotency-replayed"])
    program(stocked, "operator").post(f"/campaigns/{second.json()['id']}/abort", json={})
    assert second.json() == operator1.post("/campaigns", **asked).json(), "though it stands otherwise by now"
    assert 1 == len(stocked.store.audit.entries(what="create"))


def test_an_act_that_was_done_meanwhile_is_no_refusal(stocked, monkeypatch):
    """Both looked, and one was first: the other cannot do it any more, for it was done, and is told so."""
    operator1, made = program(stocked), approved(stocked)
    asked = {"json": {}, "headers": {"Idempotency-Key": "k1"}}
    found, looks = stocked.store.answers.find, []

    def looked(*arguments):
        answer = found(*arguments)
        if not looks:  # between this look and the deed the same is asked for, and done
            looks.append(answer)
            assert 200 == operator1.post(f"/campaigns/{made['id']}/start", **asked).status_code
        return answer

    monkeypatch.setattr(stocked.store.answers, "find", looked)
    late = operator1.post(f"/campaigns/{made['id']}/start", **asked)
    assert (200, "true") == (late.status_code, late.headers["idempotency-replayed"])
    assert 1 == len(stocked.store.audit.entries(what="start"))


def test_an_act_under_a_key_keeps_nobody_waiting_while_it_reckons(stocked):
    """Checks before and the answer after are not part of what locks: only what writes, and is a moment."""
    operator1, made = program(stocked), approved(stocked)
    other = scene.ota(body=b"another firmware of a display, " * 40)
    stocked.store.registry.put_cpl([scene.listed(other)])
    acts = [
        ("/campaigns", {"json": {"plan": plan("D"), "release": stocked.release}}),
        (f"/campaigns/{made['id']}/start", {"json": {}}),
        ("/releases", {"params": {"name": "S"}, "content": other, "headers": OCTETS}),
    ]
    for number, (path, asked) in enumerate(acts):
        headers = asked.pop("headers", {}) | {"Idempotency-Key": f"k{number}"}
        with while_locked(stocked.store.database) as run:
            assert operator1.post(path, headers=headers, **asked).status_code in {200, 201}
        assert [it for it in run if "INTO answer" in it], "what is asked for is done"
        assert [] == [it for it in run if re.search(r"FROM (cohort|device|cpl|inbox|pool|evidence)\b", it)], (
            path
        )


def test_a_key_is_forgotten_after_a_day(stocked):
    """Then the same one is a new one, and the act is refused by itself: the name is taken."""
    operator1 = program(stocked)
    asked = {"json": {"plan": plan(), "release": stocked.release}, "headers": {"Idempotency-Key": "k1"}}
    operator1.post("/campaigns", **asked)
    stocked.clock.now += KEPT
    problem(operator1.post("/campaigns", **asked), 409, "refused")


def test_a_secret_is_told_once_and_lies_nowhere(site):
    """Asked for again under its key, a token's or webhook's secret is null; the database has neither."""
    administrator1 = program(site, "administrator")
    acts = {
        "/tokens": {"account": "viewer1", "label": "t", "scopes": ["read"], "days": 1},
        "/webhooks": {"url": "https://hooks.example/", "kinds": ["gate"]},
    }
    for path, body in acts.items():
        first, second = (
            administrator1.post(path, json=body, headers={"Idempotency-Key": path}).json() for _ in range(2)
        )
        assert (True, None) == (bool(first["secret"]), second["secret"])
        with site.store.database.reading() as connection:
            kept = connection.exec_driver_sql("SELECT body FROM answer").scalars().all()
        assert first["secret"] not in json.dumps(kept)


def test_what_the_web_does_and_what_the_api_does_is_one_thing(stocked):
    """A campaign that the API wrote down is started by the office, and the API sees it run."""
    made = approved(stocked)
    stocked.office.act(stocked.people.local("operator1"), made["id"], Act.START)
    seen = program(stocked, "viewer").get(f"/campaigns/{made['id']}").json()
    assert "running" == seen["status"]
    assert seen["strata"]
