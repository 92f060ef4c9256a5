"""Whole tables are read in turns, and never at a client's pace; attacks by name."""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus

import pytest
from starlette.exceptions import HTTPException

from lamplighter.registry import Device, DeviceType
from lamplighter.service.web.turns import AT_ONCE, FILES_EACH, FILES_MAX, Turns
from tests.store.campaigning import PPMIDS

from .conftest import text_of
from .scene import ota, ppmid

DEVICES = 2_000
TABLES = (
    ("GET", "/releases/1/stranded.csv"),
    ("GET", "/audit/export"),
    ("POST", "/audit/verify"),
    ("GET", "/reports/metrics"),
    ("GET", "/reports/storms"),
)


@pytest.fixture
def stocked(site):
    """A site with a release, and many Devices that will never have it."""
    ihds = replace(PPMIDS, type=DeviceType.IHD)
    site.store.registry.put_devices([Device(ppmid(it), ppmid(9_000_000 + it), ihds) for it in range(DEVICES)])
    operator1 = site.client("operator")
    assert 303 == operator1.submit("/releases", {"name": "x"}, files={"file": ("f", ota())}).status_code
    return site


def asked(site, path, taken):
    """Ask the application for a page; `taken` gets each piece of the answer, as slowly as it likes."""
    client = site.client("viewer")
    host = site.url.removeprefix("http://")
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", host.encode()), (b"cookie", cookies.encode())],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip

    async def receive():
        await asyncio.Event().wait()  # nothing more comes, and nobody hangs up

    async def send(message):
        if message["type"] == "http.response.start":
            assert 200 == message["status"]
        else:
            taken(message["body"])

    asyncio.run(site.app(scope, receive, send))


@pytest.mark.parametrize("path", [path for method, path in TABLES if method == "GET"])
def test_a_viewer_who_reads_slowly_holds_no_connection_of_the_database(stocked, path):
    """While the first octets are on their way to them, all connections are there for others."""
    pool = stocked.store.database.engine.pool
    held = []
    asked(stocked, path, lambda _: held.append(pool.checkedout()))
    assert len(held) > 1
    assert {0} == set(held)


def test_work_orders_are_whole_and_say_how_long_they_are(stocked):
    """Who gets less than that knows it: nothing that is cut short comes under a 200 that looks whole."""
    answer = stocked.client("viewer").get("/releases/1/stranded.csv")
    assert len(answer.content) == int(answer.headers["content-length"])
    assert DEVICES == len(list(csv.DictReader(io.StringIO(answer.text))))


@pytest.mark.parametrize(("method", "path"), TABLES)
def test_a_viewer_starves_nobody_by_asking_for_whole_tables_at_one_time(stocked, method, path):
    """Beyond so many the answer is at once a page that says when to come again; other pages go on."""
    client = stocked.client("viewer")
    ask = client.get if method == "GET" else client.submit
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            stack.enter_context(stocked.app.state.turns.reading())
        answer = ask(path)
        assert (503, "30") == (answer.status_code, answer.headers["retry-after"])
        said = text_of(answer.text)
        assert "Not at this moment Others read as much at this moment: try again in half a minute." in said
        client.see("/devices")
    assert 200 == ask(path).status_code


def write(file):
    """A little file."""
    file.write("x" * 200_000)


def handed(turns, who):
    """One for this person, that nobody has taken yet."""
    return turns.handed(who, "x.csv", "text/csv", write)


def octets_of(answer):
    """Take a file to its end; how much there was."""
    found = bytearray()

    async def waits():
        await asyncio.Event().wait()

    async def takes(message):
        found.extend(message.get("body", b""))

    asyncio.run(answer({"type": "http", "asgi": {}}, waits, takes))
    return len(found)


async def _hangs_up():
    return {"type": "http.disconnect"}


async def _takes(_message):
    pass


async def _is_gone(_message):
    raise OSError("the connection is lost")


@pytest.mark.parametrize("send", [_takes, _is_gone], ids=["hangs up", "is gone"])
def test_one_person_fills_no_disk_with_files_that_they_do_not_take(send):
    """Three at one time, and then others still have theirs; who hangs up half-way has one less at once."""
    turns = Turns()
    mine = [handed(turns, "mallory") for _ in range(FILES_EACH)]
    with pytest.raises(HTTPException, match="You are taking 3 files already") as refusal:
        handed(turns, "mallory")
    assert HTTPStatus.SERVICE_UNAVAILABLE == refusal.value.status_code
    others = [handed(turns, f"viewer{it}") for it in range(FILES_MAX - FILES_EACH)]
    with pytest.raises(HTTPException, match="Others are taking many files"):
        handed(turns, "viewer99")
    for it in (*mine, *others):
        with pytest.raises(BaseException, match="lost") if send is _is_gone else ExitStack():
            asyncio.run(it({"type": "http", "asgi": {}}, _hangs_up, send))
    assert 200_000 == octets_of(handed(turns, "mallory"))


def test_a_file_that_cannot_be_written_takes_nobodys_turn():
    """Nor one that found no turn: else the door would close for good, failure by failure."""

    def fail(_file):
        raise ZeroDivisionError

    turns = Turns()
    for _ in range(FILES_MAX + 1):
        with pytest.raises(ZeroDivisionError):
            turns.handed("viewer1", "x.csv", "text/csv", fail)
    with turns.reading(), turns.reading():
        for _ in range(FILES_MAX + 1):
            with pytest.raises(HTTPException, match="Others read as much"):
                handed(turns, "viewer1")
    assert 200_000 == octets_of(handed(turns, "viewer1"))
