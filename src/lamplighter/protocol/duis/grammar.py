"""One grammar for both ways: a table per element, read as a decoder and as an encoder.

A `Leaf` is an element with text, a `Sequence` one with children in a fixed order. A `Sequence` names the
value that it stands for, whose fields are in the order of the children. `Literal` is an empty element that
means something by its name, and `Fork` an element with two different contents.

The decoder is strict: an unknown, missing, repeated or misplaced element, an attribute, stray text, or a
text outside its type is a `DecodeError` that names the element and the line. What it accepts, the official
schema accepts; where our side never needs it, it accepts less (xs:token and xs:integer in one spelling
only). The encoder reads back each text that it writes, so that it cannot write what cannot be read.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol, TypeVar

from lamplighter.kit import DecodeError, LamplighterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMESPACE: Final = "http://www.dccinterface.co.uk/ServiceUserGateway"
SR: Final = f"{{{NAMESPACE}}}"
SPACE: Final = " \t\r\n"
UNBOUNDED: Final = 2**31

_SHOWN: Final = 40  # characters of foreign text in an error
_NAME: Final = 80  # and of a foreign name
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Value = TypeVar("Value")


class Decoder(Protocol):
    """What is to be read of an element."""

    def decode(self, element: Any) -> Any:
        """The value of an element."""


class Node(Decoder, Protocol):
    """What an element may contain."""

    def encode(self, name: str, value: Any) -> str:
        """The element `name` with this value."""

    def holds(self, value: Any) -> bool:
        """Whether this is a value of this node, where a choice has to be made."""


class Leaf:
    """An element with text and no children.

    expected  what the text must be, for errors
    read      text -> value; any `ValueError` or error of ours refuses
    write     value -> text
    type      the value's type, where the leaf is an alternative in a choice
    certain   for long texts: whether a value is one whose text needs no escape and is sure to be read as it
    """

    __slots__ = ("certain", "expected", "read", "type", "write")

    def __init__(
        self,
        expected: str,
        read: Callable[[str], Any],
        write: Callable[[Any], str],
        type: type = object,  # noqa: A002 # the very word
        certain: Callable[[Any], bool] | None = None,
    ) -> None:
        self.expected = expected
        self.read = read
        self.write = write
        self.type = type
        self.certain = certain

    def decode(self, element: Any) -> Any:
        """The value of an element."""
        if len(element):
            fail(element, self.expected, describe(element[0]))
        if element.keys():
            fail(element, "no attribute", element.keys()[0][:_SHOWN])
        text = element.text or ""
        try:
            return self.read(text)
        except (ValueError, LamplighterError) as cause:
            raise failure(element, self.expected, repr(text[:_SHOWN])) from cause

    def encode(self, name: str, value: Any) -> str:
        """The element `name` with this value."""
        if self.certain is not None and self.certain(value):
            return f"<sr:{name}>{self.write(value)}</sr:{name}>"
        try:
            text = self.write(value)
            same = self.read(text) == value
        except (ValueError, LamplighterError) as cause:
            raise UsageError(f"{name}: {value!r:.{_SHOWN}} is not {self.expected}") from cause
        if not same:
            raise UsageError(f"{name}: {value!r:.{_SHOWN}} would be read as another value")
        return f"<sr:{name}>{escape(text)}</sr:{name}>" if text else f"<sr:{name}/>"

    def holds(self, value: Any) -> bool:
        """Whether this is a value of this node."""
        return isinstance(value, self.type)


class Particle(NamedTuple):
    """One place in a sequence.

    nodes  the elements that may stand there, by name
    least  how many of them at least
    most   how many at most; above one the value is a tuple
    """

    nodes: Mapping[str, Node]
    least: int = 1
    most: int = 1


def one(name: str, node: Node) -> Particle:
    """Exactly one element."""
    return Particle({name: node})


def maybe(name: str, node: Node) -> Particle:
    """One element or none."""
    return Particle({name: node}, 0)


def many(name: str, node: Node, least: int, most: int) -> Particle:
    """A list."""
    return Particle({name: node}, least, most)


class Sequence:
    """An element with children in order.

    type       the value's type; its fields are in the order of the particles
    particles  what may stand in it
    build      particles' values -> value, where the two differ in shape; it knows the constants itself
    parts      value -> particles' values, likewise
    constants  fields that the element's very name settles
    """

    __slots__ = ("_build", "_constants", "_particles", "_parts", "_places", "_type")

    def __init__(
        self,
        type: type,  # noqa: A002 # the very word
        *particles: Particle,
        build: Callable[..., Any] | None = None,
        parts: Callable[[Any], tuple[Any, ...]] | None = None,
        **constants: Any,
    ) -> None:
        self._type = type
        self._particles = particles
        self._places = [
            ({SR + name: node for name, node in p.nodes.items()}, p.least, p.most) for p in particles
        ]
        self._build = build or (partial(type, **constants) if constants else type)
        self._parts = parts or _fields(type, len(particles))
        self._constants = constants

    def decode(self, element: Any) -> Any:
        """The value of an element."""
        if element.keys():
            fail(element, "no attribute", element.keys()[0][:_SHOWN])
        if (text := element.text) and text.strip(SPACE):
            fail(element, "no text of its own", repr(text[:_SHOWN]))
        children = iter(element)
        child = next(children, None)
        values: list[Any] = []
        for nodes, least, most in self._places:
            listed: list[Any] = []
            while child is not None and (node := nodes.get(child.tag)) is not None and len(listed) < most:
                listed.append(node.decode(child))
                if (text := child.tail) and text.strip(SPACE):
                    fail(child, "no text behind it", repr(text[:_SHOWN]))
                child = next(children, None)
            if len(listed) < least:
                _fail_place(element, child, nodes)
            values.append(tuple(listed) if most > 1 else listed[0] if listed else None)
        if child is not None:
            _fail_place(element, child, {})
        return self._build(*values)

    def encode(self, name: str, value: Any) -> str:
        """The element `name` with this value."""
        if not isinstance(value, self._type):
            raise UsageError(f"{name}: expected {self._type.__name__}, found {value!r:.{_SHOWN}}")
        content = []
        for (nodes, least, most), part in zip(self._particles, self._parts(value), strict=True):
            listed = part if most > 1 else (part,) if part is not None else ()
            if not least <= len(listed) <= most:
                raise UsageError(f"{name}: {len(listed)} of {' or '.join(nodes)}, not {least} to {most}")
            content += [_encode_one(nodes, item) for item in listed]
        return f"<sr:{name}>{''.join(content)}</sr:{name}>" if content else f"<sr:{name}/>"

    def holds(self, value: Any) -> bool:
        """Whether this is a value of this node."""
        return isinstance(value, self._type) and all(
            getattr(value, key) == constant for key, constant in self._constants.items()
        )


class Choice(Sequence):
    """An element that holds exactly one of several others, and means what that one means."""

    __slots__ = ()

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        super().__init__(object, Particle(nodes), build=_itself, parts=_alone)

    def holds(self, value: Any) -> bool:
        """Whether this is a value of one of the nodes."""
        return any(node.holds(value) for node in self._particles[0].nodes.values())


class Literal:
    """An empty element whose name is its meaning."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def decode(self, element: Any) -> Any:
        """The value of an element."""
        if len(element) or element.keys() or (element.text or "").strip(SPACE):
            fail(element, "nothing inside", "something")
        return self._value

    def encode(self, name: str, value: Any) -> str:  # noqa: ARG002 # there is only one
        """The element `name` with this value."""
        return f"<sr:{name}/>"

    def holds(self, value: Any) -> bool:
        """Whether this is a value of this node."""
        return bool(value == self._value)


class Fork:
    """An element with two possible contents, told apart by the first child."""

    __slots__ = ("_first", "_one", "_other")

    def __init__(self, first: str, one: Node, other: Node) -> None:
        self._first = SR + first
        self._one = one
        self._other = other

    def decode(self, element: Any) -> Any:
        """The value of an element."""
        node = self._one if len(element) and element[0].tag == self._first else self._other
        return node.decode(element)

    def encode(self, name: str, value: Any) -> str:
        """The element `name` with this value."""
        return (self._one if self._one.holds(value) else self._other).encode(name, value)

    def holds(self, value: Any) -> bool:
        """Whether this is a value of this node."""
        return self._one.holds(value) or self._other.holds(value)


def escape(text: str) -> str:
    """Text as character data that a parser gives back unchanged."""
    if not (text.isascii() and text.isprintable()) and (found := _NOT_XML.search(text)):
        raise UsageError(f"XML cannot hold the character {found[0]!r}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


def failure(element: Any, expected: str, found: str) -> DecodeError:
    """The error for this element."""
    parent = element.getparent()
    what = "document" if parent is None else local(parent)
    return DecodeError(what, local(element), element.sourceline or 0, expected, found)


def fail(element: Any, expected: str, found: str) -> NoReturn:
    """Refuse this element."""
    raise failure(element, expected, found)


def local(element: Any) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2][:_NAME] if isinstance(element.tag, str) else "a comment"


def describe(element: Any) -> str:
    """An element as errors show it: one in a foreign namespace with that."""
    tag = element.tag
    if not isinstance(tag, str):
        return "a comment or instruction"
    return f"<{tag.removeprefix(SR)[:_NAME]}>"


def _fail_place(element: Any, found: Any, nodes: Mapping[str, Node]) -> NoReturn:
    expected = " or ".join(f"<{name.removeprefix(SR)}>" for name in nodes) or "nothing more"
    if found is None:
        end = f"the end of <{local(element)}>"
        raise DecodeError(local(element), "end", element.sourceline or 0, expected, end)
    raise DecodeError(local(element), local(found), found.sourceline or 0, expected, describe(found))


def _encode_one(nodes: Mapping[str, Node], value: Any) -> str:
    if len(nodes) == 1:
        ((name, node),) = nodes.items()
        return node.encode(name, value)
    for name, node in nodes.items():
        if node.holds(value):
            return node.encode(name, value)
    raise UsageError(f"{value!r:.{_SHOWN}} is none of {', '.join(nodes)}")


def _fields(type_: type, count: int) -> Callable[[Any], tuple[Any, ...]]:
    names = type_.__match_args__[:count]  # type: ignore[attr-defined] # dataclasses and named tuples have it
    return lambda value: tuple(getattr(value, name) for name in names)


def _itself(value: Value) -> Value:
    return value


def _alone(value: Value) -> tuple[Value]:
    return (value,)
