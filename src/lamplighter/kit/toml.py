"""TOML of a person, or of an attacker: read without what would never end; and what errors show of it."""

import json
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from lamplighter.kit.errors import UsageError

KEYS_MAX: Final = 16
"""Names in one dotted key. The reader takes memory by their square: gigabytes for a file of 100 kB."""

_SHOWN: Final = 160  # characters of what is not as it must be
_MEANT: Final = 64  # characters of a word that was meant to be another: to compare takes their square
# Each quantifier keeps what it took, so that a long line is gone over once.
_PART: Final = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+"""
_TOO_MANY: Final = re.compile(rf"(?<![\w-])(?:{_PART}\.[ \t]*+){{{KEYS_MAX}}}{_PART}[=.\]]")


def loads(text: str) -> dict[str, Any]:
    """The document.

    Raises `ValueError` for what is no TOML, with the line, or has more than `KEYS_MAX` names in one key, and
    `RecursionError` for brackets in brackets by the thousand.
    """
    if (found := _TOO_MANY.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"more than {KEYS_MAX} names in one key, with dots between (at line {line})")
    return tomllib.loads(text)


def document(what: str, text: str, most: int) -> dict[str, Any]:
    """What a person wrote; raises `UsageError`, which names what it was to be, for no TOML or too much."""
    if len(text) > most:
        raise UsageError(f"{what}: {len(text)} characters: allowed are {most}")
    try:
        return loads(text)
    except (ValueError, RecursionError) as cause:  # also numbers of thousands of digits, and brackets as many
        raise UsageError(f"{what}: not TOML: {short(str(cause) or 'nested too deep')}") from cause


def shown(value: object) -> str:
    """A value as its author wrote it, or near enough, on one line."""
    try:
        return short(json.dumps(value, default=str, ensure_ascii=True))
    except (ValueError, RecursionError):  # a number too long to print, brackets too deep to follow
        return f"a {type(value).__name__} beyond printing"


def meant(word: object, words: Iterable[str]) -> str:
    """For the end of an error: which of the words this nearly is, if any."""
    near = get_close_matches(word[:_MEANT], list(words), 1) if isinstance(word, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def short(text: str) -> str:
    """A text for one line of an error."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
