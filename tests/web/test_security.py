"""The web under attack: each test is named after what is tried."""

from __future__ import annotations

import gzip
import re
import socket
import zlib
from dataclasses import replace
from time import monotonic
from urllib.parse import urlsplit

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route
from structlog.testing import capture_logs

from lamplighter.kit import Instant
from lamplighter.kit.instant import HOUR
from lamplighter.registry import Device
from lamplighter.service import listener
from lamplighter.service.listener import Listener
from lamplighter.service.people import Role, Scope
from lamplighter.service.web.app import Settings, application
from lamplighter.service.web.security import (
    CONTENT_SECURITY_POLICY,
    CSRF_FIELD,
    CSRF_HEADER,
    FORM_OCTETS,
    OPEN_BELOW,
    OPEN_PATHS,
    cookie_name,
    needs,
)
from tests.service.parties import NOW, PPMID
from tests.store.campaigning import PPMIDS

from .conftest import BY_ROLE, PASSWORD, token_in
from .scene import OLDER, fleet, listed, ota

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SESSION = cookie_name("session", secure=False)
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
OTHER_PLACES = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%09/evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "///evil.example",
    "http:evil.example",
    "/login?next=/login",
    "evil.example",
    "/\x00/x",
)
ELSEWHERE = ("https://evil.example", "null", "http://127.0.0.1.evil.example")


def raw(site, request: bytes) -> bytes:
    """What the server says to these very octets."""
    place = urlsplit(site.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            if b"\r\n\r\n" in answer:
                break
        return answer


# --- CSRF


def test_csrf_a_form_of_another_site_has_no_token(site):
    """Signed in as an administrator, and led to a page that posts in the background: nothing happens."""
    client = site.client("administrator")
    fields = {"name": "mallory", "password": "a password of hers", "role": "administrator"}
    for token in ({}, {CSRF_FIELD: ""}, {CSRF_FIELD: "0" * 64}):
        answer = client.post("/people", data=fields | token)
        assert 403 == answer.status_code
    assert site.store.people.find("mallory") is None
    assert 303 == client.submit("/people", fields).status_code, "with its token it is done"
    assert site.store.people.find("mallory") is not None


def test_csrf_the_token_of_another_person_is_no_good(site):
    """A token belongs to one session: an operator's own is no use against an administrator."""
    client, other = site.client("administrator"), site.client("operator")
    assert client.csrf != other.csrf
    answer = client.post("/people/viewer1/disable", data={CSRF_FIELD: other.csrf})
    assert 403 == answer.status_code
    assert site.store.people.find("viewer1").disabled_at is None


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_csrf_what_another_site_sends_is_refused_even_with_the_token(site, origin):
    client = site.client("administrator")
    answer = client.submit("/people/viewer1/disable", headers={"Origin": origin})
    assert 403 == answer.status_code
    assert site.store.people.find("viewer1").disabled_at is None


@pytest.mark.parametrize("fetch_site", ["cross-site", "same-site"])
def test_csrf_what_a_browser_calls_another_site_is_refused(site, fetch_site):
    """A neighbour on a sister host is another site too."""
    client = site.client("administrator")
    assert 403 == client.submit("/logout", headers={"Sec-Fetch-Site": fetch_site}).status_code


def test_csrf_a_script_of_ours_sends_the_token_in_a_header(site):
    client = site.client("administrator")
    answer = client.post("/people/viewer1/disable", headers={CSRF_HEADER: client.csrf, "Origin": site.url})
    assert 303 == answer.status_code


def test_csrf_nobody_is_signed_in_to_another_account_behind_their_back(site):
    """A page that posts the attacker's own name and password to the door gets no session from it."""
    victim = site.stranger()
    answer = victim.post("/login", data={"name": "viewer1", "password": PASSWORD})
    assert 403 == answer.status_code
    assert SESSION not in victim.cookies
    theirs = token_in(site.stranger().see("/login"))
    victim.see("/login")
    assert (
        403
        == victim.post(
            "/login", data={"name": "viewer1", "password": PASSWORD, CSRF_FIELD: theirs}
        ).status_code
    )


def test_csrf_no_page_that_is_only_looked_at_changes_anything(site):
    """Every route that changes something is a POST: a picture's address can be put into any mail."""
    changing = [r for r in routes(site.app) if r.methods & {"POST", "PUT", "PATCH", "DELETE"}]
    reading = {r.path for r in routes(site.app) if r.methods & {"GET"}}
    assert changing
    for path in ("/logout", "/people/{name}/disable", "/releases/{number}/withdraw"):
        assert path not in reading


# --- XSS


def test_xss_a_release_name_is_text_wherever_it_stands(site):
    """A name out of a file, or typed by somebody, is never markup."""
    client = site.client("operator")
    answer = client.submit("/releases", {"name": EVIL[:60]}, files={"file": (EVIL, ota())})
    assert 303 == answer.status_code, answer.text
    for path in ("/releases", answer.headers["location"], "/", "/audit"):
        page = client.get(path).text
        assert EVIL[:20] not in page
        assert "<img src=x" not in page
    assert "&lt;script&gt;" in client.see("/releases")


def test_xss_the_name_of_a_file_is_text(site):
    """The page that says why a file is refused shows its name."""
    client = site.client("operator")
    answer = client.submit("/releases", {"name": "good"}, files={"file": (EVIL, b"not an image")})
    assert 422 == answer.status_code
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x" in answer.text


def test_xss_a_security_reference_is_text(site):
    """It stands on the pages of releases, in their forms, on the fleet page and in the audit."""
    client = site.client("operator")
    fleet(site.store, 40)
    site.store.registry.put_cpl([listed(ota())])
    client.submit("/releases", {"name": "x", "security": EVIL[:60]}, files={"file": ("f", ota())})
    fields = {"manufacturer": "121d", "highest": str(OLDER), "reason": "it burns"}
    client.submit("/fleet/advisories", fields)
    for path in ("/", "/releases", "/releases/1", "/audit"):
        page = client.see(path)
        assert "&lt;script&gt;alert(1)" in page, path
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path


@pytest.mark.parametrize("reference", ["CVE\x00", "CVE\n2026", "\x1b[2J", "\u202e4321-6202-EVC"])
def test_control_characters_in_a_security_reference_are_refused(site, reference):
    """By the form that brings an image in, and by the form that marks a release."""
    client = site.client("operator")
    answer = client.submit("/releases", {"name": "x", "security": reference}, files={"file": ("f", ota())})
    assert (422, []) == (answer.status_code, site.store.registry.releases())
    client.submit("/releases", {"name": "x"}, files={"file": ("f", ota())})
    assert 400 == client.submit("/releases/1/mark", {"security": reference}).status_code
    assert None is site.store.registry.listed("x").security


def test_xss_device_properties_are_text(site):
    """Tags, regions and hub models come from files of other people."""
    odd = replace(
        PPMIDS, tag=EVIL[:60], region='"><svg onload', hub_model="'><b onclick=x>", gbcs_version="<i>"
    )
    site.store.registry.put_devices([Device(PPMID, PPMID, odd)])
    client = site.client("viewer")
    for path in ("/", "/devices", f"/devices/{PPMID}", f"/devices?region={EVIL}&q=&tag={EVIL}"):
        page = client.see(path)
        for piece in ("<script>alert", "<svg onload", "<b onclick", "<i>", "<img src=x"):
            assert piece not in page, path


@pytest.mark.parametrize(
    "path",
    [
        "/devices?q={}",
        "/devices?sort={}",
        "/devices?firmware={}",
        "/devices?campaign={}",
        "/devices/{}",
        "/login?next=/{}",
        "/{}",
    ],
)
def test_xss_what_stands_in_an_address_is_text(site, path):
    """A link in a mail cannot bring a script along."""
    client = site.client("viewer")
    answer = client.get(path.format(EVIL.replace("/", "%2F")))
    assert answer.status_code < 500
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text


def test_xss_a_browser_runs_no_script_that_is_in_a_page(site):
    """The last line of defence: what slipped through is not run, for the policy knows files of ours alone."""
    for path in ("/login", "/nothing", "/static/app.js", "/static/nothing"):
        policy = site.stranger().get(path).headers["content-security-policy"]
        assert CONTENT_SECURITY_POLICY == policy
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'self'" in CONTENT_SECURITY_POLICY
    pages = [
        site.client("administrator").see(path)
        for path in ("/", "/releases", "/devices", "/people", "/account")
    ]
    for page in pages:
        assert [] == re.findall(r"<script(?![^>]*\bsrc=)", page), "no script stands in a page"
        assert [] == re.findall(r"\son\w+=|\sstyle=|javascript:", page), "no handler, no style"


def test_xss_an_upload_is_never_shown_as_a_page(site):
    """Nothing that a person brought in is served as it is."""
    for answer in (site.stranger().get("/login"), site.client("viewer").get("/devices")):
        assert "nosniff" == answer.headers["x-content-type-options"]


# --- clickjacking


@pytest.mark.parametrize("path", ["/login", "/", "/nothing", "/static/app.css", "/healthz"])
def test_clickjacking_nobody_may_frame_a_page(site, path):
    """An invisible button of ours over a visible one of theirs."""
    headers = site.client("viewer").get(path).headers
    assert "DENY" == headers["x-frame-options"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


# --- upload


@pytest.mark.parametrize(
    "name", ["../../../../etc/cron.d/evil", "/etc/passwd", "..\\..\\evil.exe", "a\x00b", "%2e%2e%2f", ""]
)
def test_path_traversal_on_upload_a_file_name_is_never_a_path(site, name, tmp_path, monkeypatch):
    """The name of a file that is sent is shown, and nothing is ever written under it."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    client = site.client("operator")
    body = (
        b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n' + client.csrf.encode() + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\n\r\n'
        + ota()
        + b"\r\n--b--\r\n"
    )
    answer = client.post(
        "/releases", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code < 500
    assert before == sorted(tmp_path.rglob("*"))
    assert [] == [it for it in site.store.registry.releases() if it.name != "x"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fapp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
    ],
)
def test_path_traversal_only_files_of_the_static_folder_are_served(site, path):
    answer = raw(site, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1] in {b"404", b"303", b"400"}
    assert b"root:" not in answer
    assert b"FastAPI" not in answer


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip", "zstd"])
def test_decompression_bomb_nothing_that_is_compressed_is_unpacked(site, encoding):
    """A kilobyte that becomes a gigabyte is not even looked at."""
    client = site.client("operator")
    bomb = gzip.compress(bytes(10_000_000)) if "gzip" in encoding else zlib.compress(bytes(10_000_000))
    for path in ("/releases", "/login", "/people", "/api/v1/releases"):
        answer = client.post(path, content=bomb, headers={"Content-Encoding": encoding})
        assert 415 == answer.status_code, path


def test_decompression_bomb_a_compressed_image_is_no_image(site):
    """What looks like an archive in the place of an image is refused as what it is."""
    client = site.client("operator")
    answer = client.submit(
        "/releases", {"name": "x"}, files={"file": ("x.gz", gzip.compress(bytes(1_000_000)))}
    )
    assert 422 == answer.status_code
    assert "upgrade file identifier" in answer.text


@pytest.mark.parametrize("path", ["/login", "/people", "/account/tokens", "/logout", "/nothing"])
def test_oversized_body_is_refused_unread(site, path):
    """What is larger than any form of ours is not taken into memory."""
    client = site.client("administrator")
    answer = client.post(path, content=bytes(FORM_OCTETS + 1))
    assert 413 == answer.status_code
    assert "at most" in answer.text


def test_oversized_body_without_a_length_is_cut_off(site):
    """Who sends in pieces, and says not how many, is stopped at the same place."""
    client = site.client("administrator")
    pieces = (bytes(10_000) for _ in range(FORM_OCTETS // 10_000 + 2))
    assert 413 == client.post("/people", content=pieces).status_code


@pytest.mark.parametrize("length", ["-1", "1e9", "+5", "0x10", "99999999999999999999"])
def test_oversized_body_with_a_made_up_length_is_refused(site, length):
    head = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    assert raw(site, head.encode()).split()[1] in {b"400", b"413"}


def test_oversized_form_of_very_many_fields_is_refused(site):
    """A hundred thousand empty fields cost more than they weigh."""
    client = site.client("administrator")
    body = "&".join("a=" for _ in range(20_000)) + f"&{CSRF_FIELD}={client.csrf}"
    answer = client.post(
        "/people", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in {400, 403}


# --- headers


@pytest.mark.parametrize(
    "evil", ["x%0d%0aSet-Cookie:%20a=b", "x%0aX-Evil:%201", "%e5%98%8a%e5%98%8dSet-Cookie:a=b"]
)
def test_header_injection_no_input_ends_a_header(site, evil):
    """A line break in an address does not become one in an answer."""
    client = site.stranger()
    for path in (f"/login?next=/{evil}", f"/{evil}", f"/devices?q={evil}", f"/releases/{evil}"):
        headers = client.get(path).headers
        assert "x-evil" not in headers
        assert all("a=b" not in it for it in headers.get_list("set-cookie"))


def test_header_injection_a_name_of_ours_does_not_break_a_cookie(site):
    """What is said once on the next page travels in a cookie: quoted, whatever it holds."""
    client = site.client("operator")
    name = "x;Path=/;\tDomain=evil — ”é"
    answer = client.submit("/releases", {"name": name.replace("\t", " ")}, files={"file": ("f", ota())})
    assert 303 == answer.status_code
    [cookie] = [it for it in answer.headers.get_list("set-cookie") if "said" in it]
    assert "Domain=evil" not in cookie
    assert "Domain=evil — ”é is registered." in client.see(answer.headers["location"])


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:80", "", "a b", "localhost@evil.example"),
        *("[", "[::1", "lamp.example/x", "lamp.example#x", "lamp.example?x", "lamp.example:80@evil.example"),
        *("lamp.example:port", "[v1.x]"),
    ],
)
def test_host_header_of_another_name_is_refused(site, host):
    """DNS rebinding: a name of theirs that leads to our address."""
    app = application(
        site.office, site.people, secure=True, settings=Settings(hosts=frozenset({"lamp.example"}))
    )
    with Listener(app) as listener:
        place = urlsplit(listener.url)
        with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
            connection.sendall(f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert b"400" == connection.recv(4096).split()[1]


# --- connections that never come to the point


def rest_of(connection: socket.socket) -> bytes:
    """What still comes until the other side closes, however it does."""
    heard = b""
    try:
        while part := connection.recv(65536):
            heard += part
    except ConnectionError:
        pass
    return heard


def test_a_head_without_end_is_not_kept(site):
    """Line after line, or one line for ever: no process grows by it."""
    place = urlsplit(site.url)
    for line in (b"X-%d: " + b"a" * 8000 + b"\r\n", b"a" * 8000):
        with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
            connection.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\nX-Long: a\r\nX-Longer: ")
            endless = b"".join(line.replace(b"%d", b"%d" % number) for number in range(8_000))  # 64 MB
            with pytest.raises(ConnectionError):
                connection.sendall(endless)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /login HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nname=",
        b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\nGET /login HTTP/1.1\r\nHost: local",
    ],
)
def test_a_slow_request_is_not_waited_for(site, monkeypatch, begun):
    """Many connections that send next to nothing would hold what others need."""
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(listener, "BODY_SECONDS", 0.3)
    place = urlsplit(site.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(begun)
        began = monotonic()
        heard = rest_of(connection)
        assert monotonic() - began < 4, "sooner than an idle connection is closed"
        assert begun.count(b"\r\n\r\nGET") == heard.count(b"HTTP/1.1 200")


# --- open redirect


@pytest.mark.parametrize("target", OTHER_PLACES)
def test_open_redirect_after_signing_in_one_stays_here(site, target):
    """A link to our own door must not lead on to another's."""
    client = site.stranger()
    client.csrf = token_in(client.see("/login", params={"next": target}))
    answer = client.submit("/login", {"name": "viewer1", "password": PASSWORD, "next": target})
    assert 303 == answer.status_code
    location = answer.headers["location"]
    assert location == "/" or (location.startswith("/%09/") and "evil" in location), location
    assert "" == urlsplit(location).netloc


def test_open_redirect_one_comes_back_to_where_one_wanted_to_be(site):
    """Who was sent to the door from a page lands on it."""
    client = site.stranger()
    answer = client.get("/devices?region=North&q=")
    assert (303, "/login?next=%2Fdevices%3Fregion%3DNorth%26q%3D") == (
        answer.status_code,
        answer.headers["location"],
    )
    client.csrf = token_in(client.see(answer.headers["location"]))
    target = re.search(r'name="next" value="([^"]*)"', client.see(answer.headers["location"]))[1].replace(
        "&amp;", "&"
    )
    answer = client.submit("/login", {"name": "viewer1", "password": PASSWORD, "next": target})
    assert "/devices?region=North&q=" == answer.headers["location"]


@pytest.mark.parametrize(
    ("referer", "next_"),
    [
        ("{url}/releases?sort=name#top", "/login?next=%2Freleases%3Fsort%3Dname"),
        ("{url}/", "/login"),
        ("{url}/campaigns/1/act", "/login"),  # the answer to a form, which cannot be asked for
        ("{url}//evil.example/releases", "/login"),
        ("https://evil.example/releases", "/login"),
        ("http://[", "/login"),
        ("", "/login"),
    ],
)
def test_open_redirect_after_a_form_of_who_was_signed_out_only_our_pages(site, referer, next_):
    """They are told that nothing was saved, and come back to the page that they were on, if it is ours."""
    client = site.stranger()
    headers = {"Referer": referer.format(url=site.url)} if referer else {}
    answer = client.post("/releases/1/withdraw", data={"reason": "x"}, headers=headers)
    assert (303, next_) == (answer.status_code, answer.headers["location"])
    assert '<p class="notice warn" role="status">You were signed out meanwhile, and' in client.see(next_)
    assert "nothing was saved" not in client.see(next_)


def test_a_refusal_leads_back_to_our_own_page_alone(site):
    """The page that says why something cannot be has a way back, and never to where another site says."""
    client = site.client("operator")
    for referer, there in ((site.url + "/devices?q=a%22b", True), ("https://evil.example/devices", False)):
        page = client.submit("/releases/1/withdraw", {"reason": "x"}, headers={"Referer": referer}).text
        assert there == ('<a href="/devices?q=a%22b">Back to where you were</a>' in page)
        assert "evil.example" not in page


# --- sessions


def test_session_fixation_signing_in_gives_a_session_that_nobody_knew(site):
    """A cookie that was planted before is worth nothing after."""
    client = site.stranger()
    client.cookies.set(SESSION, "planted-by-mallory", domain="127.0.0.1", path="/")
    client.csrf = token_in(client.see("/login"))
    client.submit("/login", {"name": "viewer1", "password": PASSWORD})
    mallory = site.stranger()
    mallory.cookies.set(SESSION, "planted-by-mallory", domain="127.0.0.1", path="/")
    assert 303 == mallory.get("/").status_code


def test_session_ends_when_one_signs_out_whatever_a_browser_keeps(site):
    client = site.client("viewer")
    kept = client.cookies[SESSION]
    assert 303 == client.submit("/logout").status_code
    thief = site.stranger()
    thief.cookies.set(SESSION, kept, domain="127.0.0.1", path="/")
    assert "/login" in thief.get("/").headers["location"]


def test_session_that_idles_ends(site):
    client = site.client("viewer")
    site.clock.now = Instant(NOW + 3 * HOUR)
    assert 303 == client.get("/").status_code


def test_session_cookies_are_out_of_reach_of_scripts_and_of_other_sites(site):
    client = site.stranger()
    client.csrf = token_in(client.see("/login"))
    answer = client.submit("/login", {"name": "viewer1", "password": PASSWORD})
    [cookie] = [it for it in answer.headers.get_list("set-cookie") if it.startswith(SESSION)]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))


def test_over_tls_a_cookie_can_come_from_nowhere_else_and_go_nowhere_else(site):
    """With `__Host-` no sister host can plant one, and without TLS none is sent."""
    with Listener(application(site.office, site.people, secure=True)) as listener:
        client = site.stranger()
        answer = client.get(f"{listener.url}/login")
        [cookie] = answer.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-lamplighter-entry=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
        assert "includeSubDomains" in answer.headers["strict-transport-security"]


def test_passwords_that_are_guessed_are_slowed_down_by_the_page_too(site):
    client = site.stranger()
    client.csrf = token_in(client.see("/login"))
    answers = [client.submit("/login", {"name": "viewer1", "password": f"guess {it}"}) for it in range(8)]
    assert {401} == {it.status_code for it in answers}
    assert "too many failures" in answers[-1].text
    assert "too many failures" in client.submit("/login", {"name": "viewer1", "password": PASSWORD}).text


def test_no_page_is_kept_by_anybody_in_between(site):
    assert "no-store" == site.client("viewer").get("/devices").headers["cache-control"]


# --- who may do what


def routes(app):
    """Every route of ours, those of the mounted API left to its own tests."""
    for route in app.router.routes:
        if isinstance(route, Mount):
            continue
        yield from _flat(route)


def _flat(route):
    """A route, or those of a router that was included."""
    inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
    if isinstance(route, (APIRoute, Route)) or inner is None:
        yield route
        return
    for it in inner:
        yield from _flat(it)


def scopes_of(route):
    """What a route asks for, by what it depends on."""
    return [it.call.scope for it in route.dependant.dependencies if hasattr(it.call, "scope")]


def test_every_route_says_what_it_asks_for(site):
    """No page can be added that forgot to ask who is there."""
    found = [it for it in routes(site.app) if isinstance(it, APIRoute)]
    assert len(found) > 20
    for route in found:
        is_open = route.path in OPEN_PATHS or route.path.startswith(OPEN_BELOW)
        assert is_open or 1 == len(scopes_of(route)), route.path


def test_what_changes_something_asks_for_more_than_to_see(site):
    """But for what is one's own, signed in and in person, and a check of the audit, which keeps nothing."""
    mine = {
        "/logout",
        "/account/password",
        "/account/tokens",
        "/account/tokens/{number}/revoke",
        "/audit/verify",
    }
    found = {
        route.path
        for route in routes(site.app)
        if isinstance(route, APIRoute) and route.methods - {"GET", "HEAD"} and Scope.READ in scopes_of(route)
    }
    assert mine == found


def _fill(path):
    return re.sub(r"\{[^}]*\}", "1", path)


@pytest.mark.parametrize("role", Role, ids=lambda it: it.value)
def test_every_route_refuses_the_wrong_role(site, role):
    """The matrix of who may do what, derived from the routes themselves, and tried over HTTP."""
    client = site.client(role.value)
    refused = 0
    for route in routes(site.app):
        if not isinstance(route, APIRoute) or not scopes_of(route):
            continue
        [scope] = scopes_of(route)
        for method in route.methods & {"GET", "POST"}:
            if method == "POST":
                answer = client.submit(_fill(route.path))
            elif scope in role.scopes:
                continue  # that pages can be seen is tested with each page; some of them never end
            else:
                answer = client.get(_fill(route.path))
            if scope in role.scopes:  # another's token, say, is refused for another scope
                assert f"to {scope.value} asks" not in answer.text, route.path
            else:
                refused += 1
                assert 403 == answer.status_code, (route.path, answer.status_code)
                assert f"to {scope.value} asks" in answer.text
        if "/logout" in route.path:
            client = site.client(role.value)
    assert refused or role is Role.OPERATOR


def test_every_route_sends_a_stranger_to_the_door(site):
    """With no session there is nothing to be seen and nothing to be done."""
    client = site.stranger()
    for route in routes(site.app):
        if not isinstance(route, APIRoute) or route.path in OPEN_PATHS or route.path.startswith(OPEN_BELOW):
            continue
        for method in route.methods & {"GET", "POST"}:
            answer = client.request(method, _fill(route.path))
            assert 303 == answer.status_code, route.path
            assert answer.headers["location"].startswith("/login"), route.path


def test_what_nobody_has_thought_of_asks_for_a_session(site):
    """A path that is not known to be open is closed, whether or not there is anything."""
    assert 303 == site.stranger().get("/nothing/at/all").status_code


def test_a_role_that_is_taken_away_is_gone_at_once(site):
    client = site.client("operator")
    site.people.set_roles(
        site.people.of_session(site.client("administrator").cookies[SESSION])[0],
        BY_ROLE["operator"],
        [Role.VIEWER],
    )
    assert 403 == client.submit("/fleet/advisories", {}).status_code


def test_an_error_of_ours_tells_a_stranger_nothing(site, monkeypatch):
    """What went wrong stands in the log; a page has neither a path nor a name of it, and all its headers."""

    def broken(*_):
        raise RuntimeError("secret of the house")

    client = site.client("viewer")
    monkeypatch.setattr(site.store.fleet, "count", broken)
    with capture_logs() as logs:
        answer = client.get("/devices")
    assert ["request failed"] == [it["event"] for it in logs if it["log_level"] == "error"]
    assert 500 == answer.status_code
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert CONTENT_SECURITY_POLICY == answer.headers["content-security-policy"]


def test_a_scope_is_asked_for_by_one_function(site):
    """Two routes that ask for the same depend on the same: a test can tell what each asks for."""
    del site
    assert needs(Scope.READ) is needs(Scope.READ)
    assert needs(Scope.READ) is not needs(Scope.OPERATE)
