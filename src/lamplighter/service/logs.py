"""What a service logs: one line an event, as JSON for machines or for a person's eyes; never a secret.

Every line has a time, a level and a fixed event; what belongs to one request has that request's id, under
which the page showed its error and the API its answer. Lines go to standard error, as systemd and containers
have it, and a log that cannot be written ends nothing.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

HIDDEN: Final = "[hidden]"
"""In the place of a secret."""

_SECRET_NAMES: Final = re.compile(
    r"(?i)(?:^|[_-])(?:password|passphrase|secret|token|authorization|cookie|session|csrf|pin"
    r"|private[_-]?key|api[_-]?key|credentials?)(?:$|[_-])"
)
"""Names under which secrets come. What is named so is hidden, whatever it holds."""

_SECRET_TEXT: Final = re.compile(
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?i:(?<=\bbearer )|(?<=\bbasic ))[\w.~+/=-]{8,}"  # an Authorization header
    r"|(?<=://)(?P<user>[^\s/:@]*):[^\s/@]+(?=@)"  # the password in a database's address
    r"|\b(?P<name>(?i:password|secret|token|code|state|client_secret)=)[^\s&\"']{4,}"  # in a URL or a form
)
_FAILURE: Final = "exc_info"  # an exception on its way to the renderer
_DEPTH_MAX: Final = 6
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


class Form(Enum):
    """How lines look."""

    CONSOLE = "console"
    JSON = "json"


class Level(Enum):
    """How grave an event must be to be logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(form: Form = Form.CONSOLE, level: Level = Level.INFO) -> None:
    """Have everything that this process logs from now on look so."""
    last: Processor = (
        structlog.processors.JSONRenderer(default=str)
        if form is Form.JSON
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
    )
    # A traceback has no values of variables, in neither form: those may be secrets.
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *((structlog.processors.ExceptionRenderer(frames),) if form is Form.JSON else ()),
            hide_secrets,
            *((_escape,) if form is Form.CONSOLE else ()),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.name]),
        logger_factory=lambda *_: Log(),
        cache_logger_on_first_use=False,
    )


class Log(structlog.PrintLogger):
    """A log on a full disk, or whose reader has gone, must not end the thread that has something to say."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)  # whatever that is by then

    def msg(self, message: str) -> None:
        """Print, if that can be."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def hide_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    """Blank what is named like a secret, and what looks like one inside any text."""
    return {
        name: said if name == _FAILURE else HIDDEN if _SECRET_NAMES.search(name) else hidden(said)
        for name, said in event.items()
    }


def hidden(said: Any, depth: int = 0) -> Any:
    """A value without the secrets in it; what is nested deeper than `_DEPTH_MAX` is left out."""
    if isinstance(said, str):
        return _SECRET_TEXT.sub(_blank, said)
    if isinstance(said, bool | int | float | None):
        return said
    if depth >= _DEPTH_MAX:
        return "..."
    if isinstance(said, Mapping):
        return {
            str(name): HIDDEN if _SECRET_NAMES.search(str(name)) else hidden(it, depth + 1)
            for name, it in said.items()
        }
    if isinstance(said, bytes):
        return f"{len(said)} octets"
    if isinstance(said, Sequence | set | frozenset):
        return [hidden(it, depth + 1) for it in said]
    return _SECRET_TEXT.sub(_blank, str(said))


def _blank(found: re.Match[str]) -> str:
    if (user := found["user"]) is not None:
        return f"{user}:{HIDDEN}"
    return (found["name"] or "") + HIDDEN


def _escape(_: Any, __: str, event: EventDict) -> EventDict:
    """What a peer said may be among the reasons: it must steer no terminal, and make no line of its own."""
    return {
        name: _UNPRINTABLE.sub(lambda it: ascii(it[0])[1:-1], said).replace("\n", "\\n")
        if isinstance(said, str) and name != "exception"
        else said
        for name, said in event.items()
    }
