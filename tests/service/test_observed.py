"""Requests from outside: an id in and out, routes as declared, streams counted, no stranger's words kept."""

import asyncio

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from structlog.testing import capture_logs

from lamplighter.service import meters, tracing
from lamplighter.service.observed import NO_ROUTE, REQUEST_ID, Observed


async def plain(_):
    return PlainTextResponse("here")


async def static(scope, receive, send):
    await PlainTextResponse("a file")(scope, receive, send)


def application():
    api = FastAPI(telemetry=tracing.FASTAPI)
    app = FastAPI(telemetry=tracing.FASTAPI, routes=[Route("/healthz", plain), Mount("/static", static)])

    @app.get("/devices/{eui}")
    def device(eui: str):
        structlog.get_logger().info("looked at")
        return eui

    @app.get("/broken")
    def broken():
        raise RuntimeError("what only the log may say")

    @api.get("/devices/{eui}")
    def in_api(eui: str):
        return eui

    async def events():
        yield b"data: 1\n\n"
        yield b"data: %d\n\n" % meters.STREAMS._value.get()

    @app.get("/events/campaigns/{number}")
    def stream(number: int):
        del number
        return StreamingResponse(events(), media_type="text/event-stream")

    app.mount("/api/v1", api)
    return Observed(app)


def ask(*paths, method="GET", headers=None):
    async def asked():
        transport = httpx2.ASGITransport(app=application(), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
            return [await http.request(method, path, headers=headers) for path in paths]

    return asyncio.run(asked())


def counted():
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for sample in meters.WEB.collect()[0].samples
        if sample.name.endswith("_total")
    }


@pytest.fixture
def change():
    """What a block counts."""
    before = counted()
    return lambda: {
        key: value - before.get(key, 0) for key, value in counted().items() if value != before.get(key, 0)
    }


def test_requests_are_counted_by_the_route_that_is_declared(change):
    """Not by the path: that has Devices in it, and whatever a stranger likes to ask for."""
    ask("/devices/1", "/devices/2", "/api/v1/devices/3", "/static/app.css", "/static/x/y", "/healthz")
    ask("/wp-admin", "/../../etc/passwd", "/api/v1/nothing")
    assert {
        ("/devices/{eui}", "GET", "200"): 2,
        ("/api/v1/devices/{eui}", "GET", "200"): 1,
        ("/static/*", "GET", "200"): 2,
        ("/healthz", "GET", "200"): 1,
        (NO_ROUTE, "GET", "404"): 2,
        ("/api/v1/*", "GET", "404"): 1,
    } == change()


def test_a_made_up_method_makes_no_label(change):
    """A stranger's words become no series."""
    ask("/devices/1", method="BREW")
    assert [meters.OTHER] == [method for _, method, _ in change()]


def test_a_request_keeps_the_id_that_a_proxy_gave():
    """So that one number leads through all logs."""
    [answer] = ask("/healthz", headers={REQUEST_ID: "0123456789abcdef"})
    assert "0123456789abcdef" == answer.headers[REQUEST_ID]


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "a b c d e f g", "line\\r\\nSet-Cookie: x=1", "<script>alert"]
)
def test_an_id_that_is_none_is_not_echoed(given):
    """Header injection, and markup in whatever shows the log: a fresh one is given instead."""
    [answer] = ask("/healthz", headers={REQUEST_ID: given})
    assert given not in answer.headers[REQUEST_ID]
    assert 12 == len(answer.headers[REQUEST_ID])


def test_every_line_of_a_request_has_its_id():
    """Whoever says something in the middle of it need not know."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        [answer] = ask("/devices/1")
    assert ["looked at", "request answered"] == [line["event"] for line in lines]
    assert {answer.headers[REQUEST_ID]} == {line["request"] for line in lines}
    assert {} == structlog.contextvars.get_contextvars()


def test_what_machines_ask_for_all_day_is_no_news():
    """Unless it fails."""
    with capture_logs() as lines:
        ask("/healthz")
    assert [] == lines


def test_a_mistake_of_ours_is_counted_and_logged_with_its_id(change):
    """500, and one line with the traceback under the id of the request."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        [answer] = ask("/broken")
    failed = next(line for line in lines if line["event"] == "request failed")
    assert (500, 1) == (answer.status_code, change()["/broken", "GET", "500"])
    assert ("error", "RuntimeError") == (failed["log_level"], failed["kind"])
    assert "what only the log may say" not in answer.text


def test_streams_are_counted_while_they_are_open_and_time_nothing():
    """A stream of an hour is no slow page."""
    before = meters.WEB_SECONDS.labels("/events/campaigns/{number}", "GET")._sum.get()
    [answer] = ask("/events/campaigns/1")
    assert ("data: 1\n\ndata: 1\n\n", 0) == (answer.text, meters.STREAMS._value.get())
    assert before == meters.WEB_SECONDS.labels("/events/campaigns/{number}", "GET")._sum.get()
