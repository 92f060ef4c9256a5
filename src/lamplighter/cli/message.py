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
from lamplighter.protocol.duis.grammar import NAMESPACE, SR, describe
from lamplighter.protocol.duis.reader import read
from lamplighter.protocol.duis.signature import verify
from lamplighter.protocol.smki import Ring, Role
from lamplighter.service import keyfiles

app: Final = App(name="message", help="Decode DUIS and GBCS messages.", help_format="markdown")

_GBCS_LEADS: Final = (b"\xdf", b"\xdd")  # a message, and one wrapped with a MAC
_HEX: Final = frozenset(string.hexdigits.encode())
_CARRIAGE_RETURN: Final = b"&#13;"  # what stays in base64 that was cut out of XML
_TEXT_MAX: Final = 120  # longer than any identifier, hash or signature; what is cut is decoded below
_TEXT_START: Final = 24
_REQUEST: Final = "Request"
_ROOTS: Final[dict[str, Callable[[bytes], duis.Request | duis.Response]]] = {
    f"{SR}Request": duis.decode_request,
    f"{SR}Response": duis.decode_response,
}
_SERVICE: Final = "ServiceReference"
_SERVICES: Final = frozenset({"8.2", "11.1", "11.2", "11.3", "11.4"})  # those of which there are values here
_SIGNATURE: Final = "Signature"
_SIGNER: Final = frozenset({"X509IssuerName", "X509SerialNumber"})
_CODE: Final = "message code"  # the field that says which use case a GBCS message is of
_MAC, _GBCS_SIGNATURE = "MAC", "signature"  # what `gbcs.explain` calls its checks
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
    """Show every field of a message with its offset and meaning; exit code 1 if a check fails.

    Reads DUIS requests, responses and alerts (XML), and GBCS messages as octets, hex or base64. A GBCS
    message inside a DUIS one is decoded too. With --keys a signature that is missing, or by nobody known,
    has failed.

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
    root = read(octets, comments=True)
    if root.tag not in _ROOTS:
        expected = f"<Request> or <Response> in the namespace {NAMESPACE}"
        raise DecodeError("DUIS", "root", root.sourceline or 0, expected, describe(root))
    lines = duis.explain(octets)
    table = output.grid("line", "element", "value", right=("line",), folded=2)
    for line in _shown(lines, everything=everything):
        value = line.text
        if len(value) > _TEXT_MAX:
            value = f"{value[:_TEXT_START]}… {len(value)} characters"
        said = Text.assemble(value, "  " if value and line.meaning else "", (line.meaning, "dim"))
        table.add_row(str(line.number), "  " * line.depth + line.name, said)
    verdicts = [_contents_verdict(octets, lines, _ROOTS[root.tag])]
    verdicts += _xml_verdicts(octets, lines, trusted.ring)
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
        "fields": [
            {
                "line": line.number,
                "depth": line.depth,
                "name": line.name,
                "text": line.text,
                "meaning": line.meaning,
            }
            for line in lines
        ],
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


def _contents_verdict(
    octets: bytes, lines: Sequence[duis.Line], decode: Callable[[bytes], duis.Request | duis.Response]
) -> Verdict:
    """Whether the document says what its kind may say, element for element."""
    check = "contents"
    try:
        decoded = decode(octets)
    except DecodeError as refusal:
        service = next((line.text for line in lines if line.name == _SERVICE), None)
        if service is not None and service not in _SERVICES:
            return Verdict(check, None, f"no decoder here for service {service}")
        return Verdict(check, False, str(refusal))
    return Verdict(check, True, f"{type(decoded.body).__name__}, schema version {decoded.schema_version}")


def _xml_verdicts(octets: bytes, lines: Sequence[duis.Line], ring: Ring | None) -> list[Verdict]:
    check = "XML signature"
    signed = any(line.name == _SIGNATURE for line in lines)
    if ring is None:
        reason = "present, not checked: no --keys were given" if signed else "none"
        return [Verdict(check, None, reason)]
    if not signed:
        return [Verdict(check, False, "none: nothing says whose this is")]
    is_request = lines[0].name == _REQUEST
    try:
        # Expiry is judged apart: a message may be older than the end of its signer's certificate.
        door = duis.open_request if is_request else duis.open_response
        signer = door(octets, ring, now=None).signer
    except VerificationError as refusal:
        return [Verdict(check, False, str(refusal))]
    except DecodeError:
        role = Role.XML_SIGNING if is_request else Role.ACB_XML_SIGNING
        return [_bare_signature_verdict(octets, ring, role)]
    until = to_iso(signer.not_after)[:10]
    valid = signer.not_after >= time.time_ns() // 1_000
    expiry = Verdict(
        "certificate", True if valid else None, f"valid until {until}" if valid else f"expired {until}"
    )
    return [Verdict(check, True, f"by {signer}"), expiry]


def _bare_signature_verdict(octets: bytes, ring: Ring, role: Role) -> Verdict:
    """Of contents that cannot be read: whether the signature holds. Who may say this, they cannot tell."""
    check = "XML signature"
    try:
        _, signer = verify(octets, ring, role=role, now=None)
    except (DecodeError, VerificationError) as refusal:
        return Verdict(check, False, str(refusal))
    return Verdict(check, None, f"good, by {signer}; whether they may say this is not known: see contents")


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
        # Messages of other use cases are none of ours; what is broken has failed, or spoiling would hide it.
        verdict = Verdict("inner contents", False, reason)
        if refusal.field == _CODE:
            verdict = Verdict("inner contents", None, f"no decoder here for message code {refusal.found}")
        return Told({"format": None, "element": line.name, "reason": reason}, view, (verdict,))


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
    return Told(facts, table, _gbcs_verdicts(octets, told, trusted), f"GBCS, {told.kind}")


def _gbcs_verdicts(octets: bytes, told: gbcs.Explanation, trusted: Trusted) -> tuple[Verdict, ...]:
    """What was found, where keys were given strictly: what the message leaves out or misnames has failed.

    Only what the keys lack is undecided, never what the message lacks: who can alter it must not be able to
    turn ✗ into ·.
    """
    found = tuple(Verdict(verdict.check, verdict.passed, verdict.reason) for verdict in told.verdicts)
    if trusted.ring is None:
        return found
    _, message, _, mac = gbcs.decode(octets)
    bears = {_MAC: mac is not None, _GBCS_SIGNATURE: bool(message.signature)}
    # It may be a pre-command still, which the Supplier signs and the ACB then wraps.
    unfinished = message.cra is gbcs.Cra.COMMAND and mac is None
    judged = []
    for verdict in found:
        judgement = verdict
        if verdict.passed is None and not (unfinished and not bears[verdict.check]):
            why_not = _mac_is_beyond(trusted.ring, trusted.broker) if verdict.check == _MAC else None
            reason = verdict.reason if bears[verdict.check] else "none, and only a pre-command goes without"
            judgement = verdict._replace(passed=None if why_not else False, reason=why_not or reason)
        judged.append(judgement)
    return tuple(judged)


def _mac_is_beyond(ring: Ring, broker: Eui64 | None) -> str | None:
    """Why these keys can check no MAC, whatever the message says; None: they can."""
    if broker is None:
        return "not checked: no certificate of the ACB among the keys"
    if not trust.shares_mac_secrets(ring):
        return "not checked: the ACB and the Device share its key, and the keys hold neither's private one"
    return None


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
