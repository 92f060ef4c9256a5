"""A DUIS document for a human: every element with its line, and what its codes mean.

Works for any well-formed document, also for services and alerts that have no value type here. It says what
stands there; whether it is true is for `open_request` and `open_response` to say.
"""

from __future__ import annotations

from typing import NamedTuple

from lamplighter.protocol.duis.codes import MEANINGS
from lamplighter.protocol.duis.grammar import SPACE, local
from lamplighter.protocol.duis.reader import read


class Line(NamedTuple):
    """One element or attribute.

    number   the line in the document
    depth    0 for the root
    name     the element's name without its prefix; an attribute's with `@`
    text     its text; empty where it has only children
    meaning  what a code means; empty where there is nothing to say
    """

    number: int
    depth: int
    name: str
    text: str
    meaning: str


def explain(octets: bytes) -> tuple[Line, ...]:
    """Every element in document order; total like `decode_request`."""
    lines = []
    pending = [(read(octets, comments=True), 0)]
    while pending:
        element, depth = pending.pop()
        number, name, text = element.sourceline or 0, local(element), (element.text or "").strip(SPACE)
        lines.append(Line(number, depth, name, text, MEANINGS.get(name, {}).get(text.upper(), "")))
        if isinstance(element.tag, str):
            lines += [Line(number, depth + 1, f"@{key}", value, "") for key, value in element.items()]
            pending += [(child, depth + 1) for child in reversed(element)]
    return tuple(lines)
