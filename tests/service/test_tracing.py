"""Spans, with the SDK's own exporter: one a request and a batch; and without an SDK none, at no cost."""

import asyncio
from contextlib import nullcontext
from time import perf_counter

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from lamplighter.kit import UsageError
from lamplighter.registry import DeviceType
from lamplighter.service import tracing
from lamplighter.service.listener import Listener
from lamplighter.service.receiver import RECEIVE_PATH
from lamplighter.store import Store

from .dcc import PPMID_DEVICE, Side
from .parties import activated, by_dsp, delivered
from .test_observed import application


@pytest.fixture
def spans(monkeypatch):
    """An SDK in place of none; what it was told."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter.get_finished_spans
    provider.shutdown()


@pytest.fixture
def side(database_url):
    store = Store.open(database_url)
    yield Side(store)
    store.close()


def ask(path, **headers):
    async def asked():
        transport = httpx2.ASGITransport(app=application(), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.get(path, headers=headers)

    return asyncio.run(asked())


def test_a_request_is_a_span_with_its_route_and_goes_on_with_its_trace(spans):
    """What a proxy began (traceparent), and no Device in it."""
    began = "0af7651916cd43dd8448eb211c80319c"
    answer = ask("/devices/00DB", traceparent=f"00-{began}-b7ad6b7169203331-01")
    [span] = spans()
    assert ("HTTP GET", SpanKind.SERVER) == (span.name, span.kind)
    assert began == format(span.context.trace_id, "032x")
    assert {
        "lamplighter.route": "/devices/{eui}",
        "lamplighter.status": 200,
        "lamplighter.request": answer.headers["X-Request-ID"],
    } == dict(span.attributes)


def test_a_request_that_fails_is_a_span_that_failed_and_says_no_more_than_its_kind(spans):
    """An exception's text may hold anything."""
    ask("/broken")
    [span] = spans()
    assert (StatusCode.ERROR, "RuntimeError") == (span.status.status_code, span.status.description)
    assert () == span.events


def test_batches_and_requests_out_are_spans_inside_each_other(spans, side):
    """A group of requests is sent; each request to the DCC is within it; what did nothing is no span."""
    side.register(PPMID_DEVICE)
    side.begin(DeviceType.PPMID)
    side.settle()
    side.arrive(delivered(), activated())
    by_name = {span.name: span for span in spans()}
    sent, asked = by_name["send requests"], by_name["DCC /serviceD"]
    assert sent.context.span_id == asked.parent.span_id
    assert ({"srv": "11.4", "requests": 1, "answered": 1}, SpanKind.CLIENT) == (
        {name.removeprefix("lamplighter."): said for name, said in sent.attributes.items()},
        asked.kind,
    )
    assert "I99" == asked.attributes["lamplighter.code"]
    assert {"tick inbox", "tick campaign", "tick outbox"} <= by_name.keys()
    told = len(spans())
    side.reconciler.tick()
    assert told == len(spans())


def test_a_lot_of_messages_is_verified_and_stored_in_a_span_each(spans, side):
    """Not one a message."""
    with Listener(side.receiver.application()) as listener, httpx2.Client(base_url=listener.url) as http:
        assert 204 == http.post(RECEIVE_PATH, content=by_dsp(activated())).status_code
    assert {"verify messages": 1, "store messages": 1} == {
        span.name: span.attributes["lamplighter.messages"]
        for span in spans()
        if span.attributes["lamplighter.messages"]
    }


def test_without_an_sdk_there_is_no_span_and_no_cost():
    """Measured: a hundredth of what one message takes to verify, at most; a lot has up to 256 of them."""
    assert not tracing.is_on()
    rounds, verify_seconds = 2_000, 300e-6

    def seconds(span):
        began = perf_counter()
        for _ in range(rounds):
            with span():
                pass
        return (perf_counter() - began) / rounds

    bare = min(seconds(nullcontext) for _ in range(5))
    ours = min(seconds(lambda: tracing.span("verify messages", messages=1)) for _ in range(5))
    assert ours - bare < verify_seconds / 100


def test_traces_that_are_asked_for_and_cannot_be_sent_are_said_at_the_start(monkeypatch):
    """The exporter is an extra: whoever sets the variable means it."""
    assert None is tracing.export("serve")()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with pytest.raises(UsageError, match="otel"):
        tracing.export("serve")
