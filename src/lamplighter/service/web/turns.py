"""Turns at what reads a whole table: a few at one time, and none of them for as long as a client reads.

Who reads a table holds a connection of the database, of which a process has fifteen, the engine beside the
pages too. So what is to be handed out is written to a file first, in a turn; the client takes it from there,
in hours if it likes. Such a file lies on the disk meanwhile: of these too there are so many and no more.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import contextmanager
from http import HTTPStatus
from io import TextIOWrapper
from threading import Lock
from typing import IO, TYPE_CHECKING, Annotated, Final, TextIO

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 # FastAPI reads it from the annotation
from starlette.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Scope, Send

AT_ONCE: Final = 2
"""Whole tables read at one time in one process."""
FILES_MAX: Final = 20
"""Files being handed out at one time by one process."""
FILES_EACH: Final = 3
"""Of one person: nobody keeps the others from theirs."""
RETRY_SECONDS: Final = 30

_CHUNK: Final = 65_536


class Turns:
    """The turns of one process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reading = 0
        self._files: Counter[str] = Counter()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A turn at a whole table; raises a 503 where all are taken."""
        with self._lock:
            if self._reading >= AT_ONCE:
                raise _busy("Others read as much at this moment: try again in half a minute.")
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1

    def handed(self, who: str, name: str, media_type: str, write: Callable[[TextIO], object]) -> Handed:
        """What `write` wrote, as a file of this name for this person; raises a 503 where there is no turn.

        Whatever goes wrong, goes wrong before the first octet: nobody gets half a file for the whole.
        """
        self._take(who)
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115 # the answer closes it
            try:
                with self.reading():
                    text = TextIOWrapper(file, "utf-8", newline="")
                    write(text)
                    text.detach()
                return Handed(file, name, media_type, lambda: self._give(who))
            except BaseException:
                file.close()
                raise
        except BaseException:
            self._give(who)
            raise

    def _take(self, who: str) -> None:
        with self._lock:
            if self._files[who] >= FILES_EACH:
                raise _busy(f"You are taking {FILES_EACH} files already: take them to their end first.")
            if self._files.total() >= FILES_MAX:
                raise _busy("Others are taking many files at this moment: try again in half a minute.")
            self._files[who] += 1

    def _give(self, who: str) -> None:
        with self._lock:
            self._files -= Counter((who,))


def _turns(request: Request) -> Turns:
    found: Turns = request.app.state.turns
    return found


TheTurns = Annotated[Turns, Depends(_turns)]
"""Those of the process, for a page or the API."""


class Handed(StreamingResponse):
    """A file that is gone when it was handed out, or nobody takes it any more."""

    def __init__(self, file: IO[bytes], name: str, media_type: str, done: Callable[[], None]) -> None:
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(file.tell()),
        }
        file.seek(0)
        super().__init__(iter(lambda: file.read(_CHUNK), b""), headers=headers, media_type=media_type)
        self._file = file
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
            self._done()


def _busy(text: str) -> HTTPException:
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": str(RETRY_SECONDS)})
