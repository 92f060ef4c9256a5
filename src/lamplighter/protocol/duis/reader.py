"""The safe reader: octets that came from anybody, to an XML tree that can do no harm.

Refused by name, before any meaning is looked at: too many octets, tags, attributes or namespaces, another
encoding than UTF-8, XML 1.1, a DOCTYPE, entities, CDATA sections, nesting deeper than any DUIS message, and
(unless the caller allows them) comments and processing instructions. Any other fault of the XML is a
`DecodeError` with its line.
"""

from __future__ import annotations

import re
from typing import Any, Final

from lxml import etree

from lamplighter.kit import DecodeError, VerificationError

MAX_OCTETS: Final = 16 * 1024 * 1024  # a 10,240,000-octet image as base64 and 50,000 Device ids, and room
MAX_TAGS: Final = 20_000  # an inventory of 17 Devices has under 1,000, and each costs memory
MAX_ATTRIBUTES: Final = 1_000  # a message has some twenty; libxml2 canonicalises them in quadratic time
MAX_NAMESPACES: Final = 32  # a message declares four; their canonical form costs declarations times elements
MAX_DEPTH: Final = 16  # the deepest message of ours has nine levels, its signature seven

_BOM: Final = b"\xef\xbb\xbf"
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")  # UTF-16 and UTF-32
_DECLARATION_MAX: Final = 200  # octets in which an XML declaration must end
_DECLARATION: Final = re.compile(
    rb"""<\?xml\s+version\s*=\s*(["'])1\.0\1"""
    rb"""(?:\s+encoding\s*=\s*(["'])[Uu][Tt][Ff]-8\2)?"""
    rb"""(?:\s+standalone\s*=\s*(["'])(?:yes|no)\3)?\s*\?>"""
)
_ENTITY: Final = re.compile(rb"&(?!#|lt;|gt;|amp;|quot;|apos;)")
_MARKUP: Final = re.compile(rb"<!(?:(--)|(\[CDATA\[))?")
_SHOWN: Final = 40

# No DTD, network or entity is ever loaded. `huge_tree` lifts libxml2's limit of 10 MB a text, which an image
# may exceed; the caps above stand in its place.
_PARSER: Final = etree.XMLParser(
    encoding="UTF-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=True,
    collect_ids=False,
)
_TOO_DEEP: Final = etree.XPath(f"boolean({'/*' * (MAX_DEPTH + 1)})")
_EXCESSIVE_DEPTH: Final = 114  # libxml2 XML_ERR_RESOURCE_LIMIT


def read(octets: bytes, *, comments: bool = False) -> Any:
    """The root element of a document.

    comments  whether comments and processing instructions may stand in it (nothing signed may hold them)
    """
    if len(octets) > MAX_OCTETS:
        raise VerificationError("xml-oversize", f"at most {MAX_OCTETS} octets", str(len(octets)))
    if octets.count(b"<") > MAX_TAGS:
        raise VerificationError("xml-tags", f"at most {MAX_TAGS} tags", "more")
    # Counted in the octets: more than there are, where a text holds the like, and never fewer.
    if octets.count(b"xmlns") > MAX_NAMESPACES:
        raise VerificationError("xml-namespaces", f"at most {MAX_NAMESPACES} namespace declarations", "more")
    if octets.count(b"=") > MAX_ATTRIBUTES:
        raise VerificationError("xml-attributes", f"at most {MAX_ATTRIBUTES} attributes", "more")
    start = _after_declaration(octets)
    # Where one octet's absence settles it, two need not be looked for.
    if b"!" in octets and b"<!" in octets:
        _check_markup(octets, comments=comments)
    if not comments and octets.find(b"?", start) >= 0 and (at := octets.find(b"<?", start)) >= 0:
        raise VerificationError("xml-instruction", "no processing instruction", _shown(octets[at:]))
    if b"&" in octets and (entity := _ENTITY.search(octets)):
        raise VerificationError(
            "xml-entity", "no entity but the five of XML itself", _shown(octets[entity.start() :])
        )
    try:
        root = etree.fromstring(octets, _PARSER)
    except etree.XMLSyntaxError as cause:
        if cause.code == _EXCESSIVE_DEPTH:  # type: ignore[attr-defined] # the stubs forget it
            raise VerificationError("xml-depth", f"at most {MAX_DEPTH} levels", "thousands") from cause
        raise DecodeError("XML", "document", cause.lineno or 0, "well-formed XML", str(cause.msg)) from cause
    if _TOO_DEEP(root):
        raise VerificationError("xml-depth", f"at most {MAX_DEPTH} levels", "more")
    return root


def _after_declaration(octets: bytes) -> int:
    """Where the document starts. UTF-8 and nothing else: another encoding would be another reading."""
    start = len(_BOM) if octets.startswith(_BOM) else 0
    head = octets[start : start + _DECLARATION_MAX]
    if b"\0" in head or head.startswith(_OTHER_BOMS):
        raise VerificationError("xml-encoding", "UTF-8", _shown(head))
    if not head.startswith(b"<?xml"):
        return start
    declaration = _DECLARATION.match(head)
    if declaration is None:
        raise VerificationError("xml-encoding", "XML 1.0 in UTF-8", _shown(head.partition(b"?>")[0]))
    return start + declaration.end()


def _check_markup(octets: bytes, *, comments: bool) -> None:
    for found in _MARKUP.finditer(octets):
        shown = _shown(octets[found.start() :])
        if found[2]:
            raise VerificationError("xml-cdata", "no CDATA section", shown)
        if not found[1]:
            raise VerificationError("xml-doctype", "no DOCTYPE", shown)
        if not comments:
            raise VerificationError("xml-comment", "no comment", shown)


def _shown(octets: bytes) -> str:
    return repr(bytes(octets[:_SHOWN]))[1:]
