"""A message told to a person, as a tree: every field, its place and meaning, and what it carries inside."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lamplighter.kit import DecodeError, LamplighterError, VerificationError
from lamplighter.protocol import duis, gbcs, image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamplighter.kit import Eui64
    from lamplighter.protocol.smki import Ring

_TEXT_MAX: Final = 120  # longer than any identifier, hash or signature; what is cut is decoded below
_TEXT_START: Final = 24
_OCTETS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Node:
    """A field, or what fields stand in."""

    name: str
    """In the words of the specification."""
    value: str = ""
    """As it stands there; hex where it is octets. Cut where it is long."""
    meaning: str = ""
    """What that means; empty where there is nothing to say."""
    place: str = ""
    """Where: "line 7" of XML, "octet 12" of a message."""
    passed: bool | None = None
    """Of a check: True passed, False failed; None: it is none, or could not be made."""
    children: tuple[Node, ...] = ()
    """What stands in it."""


@dataclass(slots=True)
class _Open:
    """A node whose children are still coming."""

    line: duis.Line
    children: list[Node]


def tell(octets: bytes, ring: Ring | None = None, broker: Eui64 | None = None) -> Node:
    """The whole message; `DecodeError` where it is no DUIS document."""
    lines = duis.explain(octets)
    open_: list[_Open] = []
    root: Node | None = None
    for line in (*lines, None):
        depth = 0 if line is None else line.depth
        while len(open_) > depth:
            done = _node(open_.pop(), ring, broker)
            if open_:
                open_[-1].children.append(done)
            else:
                root = done
        if line is not None:
            open_.append(_Open(line, []))
    assert root is not None
    return (
        root
        if ring is None
        else replace(root, children=(*root.children, _signature(octets, root.name, ring)))
    )


def _signature(octets: bytes, kind: str, ring: Ring) -> Node:
    """Whether the document bears the signature of who may say this; expired certificates are as good here."""
    check = "XML signature"
    try:
        opened = (duis.open_request if kind == "Request" else duis.open_response)(octets, ring, now=None)
    except VerificationError as refusal:
        return Node(check, "", str(refusal), passed=False)
    except DecodeError as refusal:
        return Node(check, "", f"not checked: {refusal}")
    return Node(check, "", f"by {opened.signer}", passed=True)


def _node(done: _Open, ring: Ring | None, broker: Eui64 | None) -> Node:
    line = done.line
    value = line.text
    children = [*done.children, *_carried(line, ring, broker)]
    if len(value) > _TEXT_MAX:
        value = f"{value[:_TEXT_START]}… {len(value)} characters"
    return Node(line.name, value, line.meaning, f"line {line.number}", None, tuple(children))


def _carried(line: duis.Line, ring: Ring | None, broker: Eui64 | None) -> Sequence[Node]:
    """What an element carries in base64."""
    if not line.text or line.name not in {"GBCSPayload", "FirmwareImage"}:
        return ()
    try:
        octets = base64.b64decode("".join(line.text.split()), validate=True)
        if line.name == "FirmwareImage":
            found = image.decode(octets)
            return [
                Node("version", str(found.header.file_version)),
                Node("layout", found.layout.value),
                Node("hash", str(found.hash)),
                Node("size", f"{found.header.total_size} octets"),
            ]
        return _gbcs(octets, ring, broker)
    except (binascii.Error, DecodeError) as refusal:
        return [Node("not decoded", "", str(refusal))]
    except LamplighterError as refusal:
        return [Node("not decoded", "", str(refusal), passed=False)]


def _gbcs(octets: bytes, ring: Ring | None, broker: Eui64 | None) -> list[Node]:
    told = gbcs.explain(octets, ring, broker)
    fields = []
    for line in told.lines:
        field = line.field
        value = field.octets.hex() if len(field.octets) <= _OCTETS_MAX else f"{len(field.octets)} octets"
        fields.append(Node(field.name, value, line.meaning, f"octet {field.offset}"))
    verdicts = [Node(it.check, "", it.reason, "", it.passed) for it in told.verdicts]
    return [Node("GBCS", told.kind, children=tuple(fields)), *verdicts]
