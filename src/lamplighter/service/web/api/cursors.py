"""Where a page of a list ends, as a word that the client hands back.

A cursor says nothing but after what the next page begins, and of which list it is: of these filters, and no
others. It gives no right to anything. Whoever makes one up gets a page that they could have had, or a 400.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Final, TypeVar

from lamplighter.service.web.api.problems import Kind, ProblemError

LONGEST: Final = 512
"""Characters."""
POSITION_MAX: Final = 2**63 - 1
_TAG_DIGITS: Final = 16
_Position = TypeVar("_Position", int, str)


def encode(of: str, filters: Mapping[str, object], position: int | str) -> str:
    """The cursor of the page after `position`: a number from 0 to 2**63-1, or a word of the store's."""
    octets = json.dumps([_tag(of, filters), position], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def decode(
    of: str, filters: Mapping[str, object], cursor: str | None, kind: type[_Position]
) -> _Position | None:
    """Where to go on; None: at the beginning. Raises `ProblemError` for a cursor that is not of this list."""
    if cursor is None:
        return None
    try:
        octets = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        _, position = json.loads(octets)
    except (ValueError, TypeError, RecursionError, binascii.Error) as cause:
        raise wrong() from cause
    if type(position) is not kind:
        raise wrong()
    if type(position) is int and not 0 <= position <= POSITION_MAX:
        raise wrong()
    if cursor != encode(of, filters, position):  # of this list, and in its one spelling
        raise wrong()
    return position


def _tag(of: str, filters: Mapping[str, object]) -> str:
    words = json.dumps([of, {name: str(value) for name, value in filters.items() if value is not None}])
    return hashlib.sha256(words.encode()).hexdigest()[:_TAG_DIGITS]


def wrong() -> ProblemError:
    """What is answered to a cursor that is none of ours."""
    return ProblemError(
        Kind.CURSOR, "Take the cursor from `next` of the page before, and leave the filters as they are."
    )
