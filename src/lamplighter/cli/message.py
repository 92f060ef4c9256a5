"""`lamplighter message`: decode any DUIS or GBCS message of a firmware update for a human."""

import base64
import binascii
import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, NamedTuple

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from lamplighter.cli import files, output, trust
from lamplighter.cli.arguments import Eui, Keys, Source
from lamplighter.cli.image import supplier_verdict
from lamplighter.cli.output import Report, Verdict
from lamplighter.kit import DecodeError, Eui64, VerificationError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol import duis, gbcs, image
from lamplighter.protocol.smki import Ring
from lamplighter.service import keyfiles

app: Final = App(name="message", help="Decode DUIS and GBCS messages.", help_format="markdown")

_GBCS_LEADS: Final = (b"\xdf", b"\xdd")  # a message, and one wrapped with a MAC
_HEX: Final = frozenset(string.hexdigits.encode())
_CARRIAGE_RETURN: Final = b"&#13;"  # what stays in base64 that was cut out of XML
_TEXT_MAX: Final = 120  # longer than any identifier, hash or signature; what is cut is decoded below
_TEXT_START: Final = 24
_SIGNATURE: Final = "Signature"
_SIGNER: Final = frozenset({"X509IssuerName", "X509SerialNumber"})
_TELLING: Final = frozenset({"ServiceReference", "DCCAlertCode", "AlertCode", "ResponseCode"})


class Trusted(NamedTuple):
    """What signatures and MACs are checked with."""

    ring: Ring | None
    broker: Eui64 | None


@dataclass(frozen=True, slots=True)
class Told:
    """One message or image, explained."""

    facts: dict[str, Any]
    view: RenderableType
    verdicts: tuple[Verdict, ...]
    what: str = ""

    def under(self, heading: str) -> "Told":
        """The same as a part of the message that carries it."""
        verdicts = tuple(verdict._replace(check=f"inner {verdict.check}") for verdict in self.verdicts)
        facts = {**self.facts, "element": heading.partition(",")[0]}
        return replace(self, facts=facts, view=output.page(heading, self.what, self.view), verdicts=verdicts)


@app.command
def decode(
    file: Source,
    /,
    *,
    keys: Keys = None,
    acb: Eui | None = None,
    everything: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
) -> Report:
    """Show every field of a message with its offset and meaning; exit code 1 if a signature or MAC is bad.

    Reads DUIS requests, responses and alerts (XML), and GBCS messages as octets, hex or base64. A GBCS
    message inside a DUIS one is decoded too.

    Parameters
    ----------
    file
        The message; `-` for stdin.
    acb
        EUI-64 of the DCC's Access Control Broker, where the key directory holds several.
    everything
        Show the inside of the XML signature too.
    """
    octets = files.read(file)
    ring = None if keys is None else keyfiles.load(keys)
    trusted = Trusted(ring, None if ring is None else trust.broker(ring, acb))
    with files.about(file):
        octets = _plain(octets)
        if files.is_xml(octets):
            return _duis(octets, files.name_of(file), trusted, everything=everything)
        return _gbcs(octets, files.name_of(file), trusted)


def _plain(octets: bytes) -> bytes:
    """The message itself, out of hex or base64 if it came so."""
    if octets[:1] in _GBCS_LEADS or files.is_xml(octets):
        return octets
    text = b"".join(octets.replace(_CARRIAGE_RETURN, b"").split())
    if text and not set(text) - _HEX and len(text) % 2 == 0:
        return bytes.fromhex(text.decode())
    try:
        plain = base64.b64decode(text, validate=True)
    except binascii.Error:
        plain = b""
    if not plain:
        found = ascii(octets[:20].decode("ascii", "replace")) if octets else "nothing"
        raise DecodeError("message", "format", 0, "DUIS XML, or GBCS as octets, hex or base64", found)
    return plain


def _gbcs(octets: bytes, name: str, trusted: Trusted) -> Report:
    told = _tell_gbcs(octets, trusted)
    facts = {"file": name, **told.facts, "verdicts": output.verdict_facts(told.verdicts)}
    view = output.page(name, told.what, told.view, output.verdicts(told.verdicts))
    return Report(facts, view, output.passed(told.verdicts))


def _duis(octets: bytes, name: str, trusted: Trusted, *, everything: bool) -> Report:
    lines = duis.explain(octets)
    table = output.grid("line", "element", "value", right=("line",), folded=2)
    for line in _shown(lines, everything=everything):
        value = line.text
        if len(value) > _TEXT_MAX:
            value = f"{value[:_TEXT_START]}… {len(value)} characters"
        said = Text.assemble(value, "  " if value and line.meaning else "", (line.meaning, "dim"))
        table.add_row(str(line.number), "  " * line.depth + line.name, said)
    verdicts = _xml_verdicts(octets, lines, trusted.ring)
    parts: list[RenderableType] = [table]
    inner: list[dict[str, Any]] = []
    for line in lines:
        told = _carried(line, trusted)
        if told is not None:
            inner.append(told.facts)
            parts.append(told.view)
            verdicts += told.verdicts
    facts = {
        "file": name,
        "format": "duis",
        "kind": _kind(lines),
        "fields": [line._asdict() for line in lines],
        "verdicts": output.verdict_facts(verdicts),
        "inner": inner,
    }
    view = output.page(name, f"DUIS, {_kind(lines)}", *parts, output.verdicts(verdicts))
    return Report(facts, view, output.passed(verdicts))


def _shown(lines: Sequence[duis.Line], *, everything: bool) -> Iterator[duis.Line]:
    """The lines for people: of the XML signature only that it is there and whose it claims to be."""
    within = None
    for line in lines:
        if within is not None and line.depth > within and not everything:
            if line.name in _SIGNER:
                yield line._replace(depth=within + 1)
            continue
        within = line.depth if line.name == _SIGNATURE else None
        yield line


def _kind(lines: Sequence[duis.Line]) -> str:
    said = next((line for line in lines if line.name in _TELLING), None)
    what = "" if said is None else f", {said.text} {said.meaning}".rstrip()
    return f"{lines[0].name}{what}"


def _xml_verdicts(octets: bytes, lines: Sequence[duis.Line], ring: Ring | None) -> list[Verdict]:
    check = "XML signature"
    if not any(line.name == _SIGNATURE for line in lines):
        return [Verdict(check, None, "none")]
    if ring is None:
        return [Verdict(check, None, "present, not checked: no --keys were given")]
    try:
        # Expiry is judged apart: a message may be older than the end of its signer's certificate.
        if lines[0].name == "Request":
            signer = duis.open_request(octets, ring, now=None).signer
        else:
            signer = duis.open_response(octets, ring, now=None).signer
    except VerificationError as refusal:
        unknown = refusal.check == "xml-certificate-unknown"
        return [Verdict(check, None if unknown else False, str(refusal))]
    except DecodeError as refusal:
        return [Verdict(check, None, f"not checked: {refusal}")]
    until = to_iso(signer.not_after)[:10]
    valid = signer.not_after >= time.time_ns() // 1_000
    expiry = Verdict(
        "certificate", True if valid else None, f"valid until {until}" if valid else f"expired {until}"
    )
    return [Verdict(check, True, f"by {signer}"), expiry]


def _carried(line: duis.Line, trusted: Trusted) -> Told | None:
    """What an element carries in base64: a GBCS message or a firmware image."""
    if line.name not in _CARRIERS or not line.text:
        return None
    heading = f"{line.name}, line {line.number}"
    try:
        octets = _plain(line.text.encode("ascii", "replace"))
        return _CARRIERS[line.name](octets, trusted).under(heading)
    except DecodeError as refusal:
        reason = str(refusal)
        view = output.page(heading, "not decoded", output.indented(Text(reason, "yellow")))
        return Told({"format": None, "element": line.name, "reason": reason}, view, ())


def _tell_gbcs(octets: bytes, trusted: Trusted) -> Told:
    told = gbcs.explain(octets, trusted.ring, trusted.broker)
    table = output.grid("offset", "octets", "field", "meaning", right=("offset",))
    for line in told.lines:
        field = line.field
        shown = output.hexed(field.octets)
        meaning = line.meaning or ("" if shown == field.octets.hex() else field.octets.hex())
        table.add_row(str(field.offset), shown, field.name, meaning)
    facts = {
        "format": "gbcs",
        "kind": told.kind,
        "fields": [
            {
                "structure": line.field.what,
                "name": line.field.name,
                "offset": line.field.offset,
                "octets": line.field.octets.hex(),
                "meaning": line.meaning,
            }
            for line in told.lines
        ],
    }
    verdicts = tuple(Verdict(verdict.check, verdict.passed, verdict.reason) for verdict in told.verdicts)
    return Told(facts, table, verdicts, f"GBCS, {told.kind}")


def _tell_image(octets: bytes, trusted: Trusted) -> Told:
    found = image.decode(octets)
    rows = [
        ("layout", found.layout.value),
        ("file version", str(found.header.file_version)),
        ("size", f"{found.header.total_size} octets"),
        ("hash", str(found.hash)),
    ]
    facts = {"format": "image", **{name.replace(" ", "_"): value for name, value in rows}}
    verdicts = (supplier_verdict(found, trusted.ring, None),)
    return Told(facts, output.pairs(rows), verdicts, "OTA Upgrade Image")


_CARRIERS: Final[dict[str, Callable[[bytes, Trusted], Told]]] = {
    "GBCSPayload": _tell_gbcs,
    "FirmwareImage": _tell_image,
}
