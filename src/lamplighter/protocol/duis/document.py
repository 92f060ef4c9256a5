"""The frame of every DUIS document: root, schemaVersion, Header, Body; the signature is not read here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit import UsageError
from lamplighter.protocol.duis.grammar import NAMESPACE, SPACE, SR, describe, fail

if TYPE_CHECKING:
    from lamplighter.protocol.duis.grammar import Decoder

SCHEMA_VERSION: Final = "5.4"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
SIGNATURE: Final = f"{{{DSIG}}}Signature"

_RESPONSE_AND_ALERT: Final = "http://www.dccinterface.co.uk/ResponseAndAlert"
_DECIMAL: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_OPENINGS: Final = {
    "Request": f'<?xml version="1.0" encoding="UTF-8"?><sr:Request xmlns:sr="{NAMESPACE}" schemaVersion="',
    # Octet for octet what the DCC writes, two idle prefixes included: a digest depends on them.
    "Response": (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
        f'<sr:Response xmlns:sr="{NAMESPACE}" xmlns:ns3="{DSIG}" xmlns:ra="{_RESPONSE_AND_ALERT}"'
        ' schemaVersion="'
    ),
}


def decode_document(root: Any, name: str, header: Decoder, body: Decoder) -> tuple[Any, Any, str]:
    """Header, body and schemaVersion of the document whose root must be `name`."""
    if root.tag != SR + name:
        fail(root, f"<{name}>", describe(root))
    version = root.get("schemaVersion")
    if version is None or len(root.keys()) != 1:
        fail(root, "the attribute schemaVersion alone", ", ".join(root.keys()[:5])[:80] or "none")
    if _DECIMAL.fullmatch(version) is None:
        fail(root, "a schemaVersion such as 5.4", repr(version[:20]))
    children = list(root)
    for text in (root.text, *(child.tail for child in children)):
        if text and text.strip(SPACE):
            fail(root, "no text of its own", repr(text[:20]))
    if len(children) == 3 and children[2].tag == SIGNATURE:
        children.pop()
    tags = [child.tag for child in children]
    if tags != [f"{SR}Header", f"{SR}Body"]:
        fail(
            root,
            "<Header>, <Body> and perhaps a signature",
            ", ".join(map(describe, children[:5])) or "nothing",
        )
    return header.decode(children[0]), body.decode(children[1]), version


def encode_document(name: str, header: str, body: str, version: str) -> bytes:
    """The whole document, unsigned."""
    if _DECIMAL.fullmatch(version) is None:
        raise UsageError(f"{version!r} is not a schemaVersion such as 5.4")
    return f'{_OPENINGS[name]}{version}">{header}{body}</sr:{name}>'.encode()
