"""Spans: one for each request, in or out, and one for each batch of work.

Through OpenTelemetry's API alone. Where no SDK is set up nothing is made, and `span` costs a look at one
variable; where one is, by `export` or by whoever embeds us, spans go where it sends them. No attribute says
more than the log does: counters, counts and fixed words, never a message or a Device.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import ProxyTracerProvider, SpanKind, Status, StatusCode

from lamplighter import __version__
from lamplighter.kit import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.trace import Span

NAME: Final = "lamplighter"
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables that say where spans go: without either nobody sees any."""

_NANOSECONDS: Final = 1_000_000_000  # in a second
_NOTHING: Final = nullcontext(trace.INVALID_SPAN)

FASTAPI: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
}
"""For each `FastAPI(telemetry=...)`: its own spans and logs would tell paths and texts of exceptions."""

SERVER: Final = SpanKind.SERVER
CLIENT: Final = SpanKind.CLIENT
BATCH: Final = SpanKind.INTERNAL


def is_on() -> bool:
    """Whether somebody has set up an SDK."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider | trace.NoOpTracerProvider)


def span(
    name: str,
    kind: SpanKind = BATCH,
    headers: Mapping[str, str] | None = None,
    **attributes: str | float | bool,
) -> AbstractContextManager[Span]:
    """A span around some work; an exception that leaves it marks it as failed, by its kind alone.

    headers  of a request that came: whose trace it goes on
    """
    if not is_on():
        return _NOTHING
    return _span(name, kind, headers, attributes)


@contextmanager
def _span(
    name: str, kind: SpanKind, headers: Mapping[str, str] | None, attributes: Mapping[str, Any]
) -> Iterator[Span]:
    tracer = trace.get_tracer(NAME, __version__)
    context = None if headers is None else propagate.extract(headers)
    with tracer.start_as_current_span(
        name,
        context,
        kind,
        {f"{NAME}.{key}": value for key, value in attributes.items()},
        record_exception=False,  # its text may hold what a peer said
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def past(name: str, seconds: float, **attributes: str | float | bool) -> None:
    """A span around work that took so long up to now: for work that was no news until it was done."""
    if not is_on():
        return
    end = time.time_ns()
    tracer = trace.get_tracer(NAME, __version__)
    said = {f"{NAME}.{key}": value for key, value in attributes.items()}
    tracer.start_span(name, attributes=said, start_time=end - int(seconds * _NANOSECONDS)).end(end)


def note(current: Span, **attributes: str | float | bool) -> None:
    """Say more of a span that is under way."""
    for key, value in attributes.items():
        current.set_attribute(f"{NAME}.{key}", value)


def trace_id(current: Span) -> str | None:
    """The number under which a log line finds its trace; None: there is no trace."""
    context = current.get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def export(service: str) -> Callable[[], None]:
    """Send spans to where the environment says, if it says so (`ENDPOINTS`); returns how to end that.

    Raises `UsageError` where it does, and the extra `otel` is not installed.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return _nothing_to_end
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found,unused-ignore] # noqa: PLC0415 # the extra `otel`
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 # likewise
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as cause:
        raise UsageError(
            f"{' or '.join(ENDPOINTS)} asks for traces, which need the extra: pip install 'lamplighter[otel]'"
        ) from cause
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"{NAME}-{service}", "service.version": __version__})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _nothing_to_end() -> None:
    """Nothing was begun."""
