"""Style and script files: ours, and those of others that `scripts/assets.py` fetches when a wheel is built.

They are asked for by a name that changes with what they hold, so that a browser may keep them for good. Where
those of others were not fetched, pages read as well without them, and say so.
"""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    import os

    from starlette.responses import Response
    from starlette.types import Scope

STATIC: Final = Path(__file__).parent / "static"
VENDOR: Final = (
    "vendor/htmx.min.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
    "vendor/pico.min.css",
)
"""Files of others; `scripts/assets.py` says where they come from."""
MISSING: Final = (
    "The style and script files of this page were not fetched. All can be read and done without them; "
    "`make assets` fetches them, and then the server is to be started again."
)
_KEEP: Final = "public, max-age=31536000, immutable"
_TAG_DIGITS: Final = 12


@cache
def tag(name: str) -> str:
    """What a file's address ends with: a few digits of its SHA-256; empty where there is no such file."""
    try:
        return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:_TAG_DIGITS]
    except OSError:
        return ""


def asset(name: str) -> str:
    """The address of a file; of one that is missing too, and there is nothing to be found there."""
    return f"/static/{name}?v={tag(name)}"


def missing() -> list[str]:
    """The files of others that were not fetched."""
    return [name for name in VENDOR if not tag(name)]


class Static(StaticFiles):
    """Files that a browser may keep where it asks for them by what they hold."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = HTTPStatus.OK,
    ) -> Response:
        """One file."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        is_tagged = scope.get("query_string", b"").startswith(b"v=")
        answer.headers["Cache-Control"] = _KEEP if is_tagged else "no-cache"
        return answer
