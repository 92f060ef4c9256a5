"""A text in a cell of a table that people open in a spreadsheet: nothing in it runs, and it can be had back.

A spreadsheet takes a cell that begins in certain ways for a formula. An apostrophe before it makes it a text;
so that it can be taken off again, a text that begins with an apostrophe gets one too.
"""

from __future__ import annotations

from typing import Final

_MARK: Final = "'"
_STARTS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 # OWASP, CSV injection: the full-width ones too


def guard(text: str) -> str:
    """A cell that no spreadsheet runs; for texts, not for numbers of ours."""
    return f"{_MARK}{text}" if text.startswith((_MARK, *_STARTS_A_FORMULA)) else text


def unguard(cell: str) -> str:
    """The text that `guard` made a cell of."""
    return cell.removeprefix(_MARK)
