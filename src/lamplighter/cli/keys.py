"""`lamplighter keys`: make, import, list and try certificates and private keys."""

import secrets
import time
from pathlib import Path
from typing import Annotated, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import output
from lamplighter.cli.arguments import Eui, Euis
from lamplighter.cli.logs import quiet_logs
from lamplighter.cli.output import Report
from lamplighter.kit import Eui64, Instant, UsageError
from lamplighter.kit.instant import DAY, SECOND, to_iso
from lamplighter.protocol.smki import Certificate, Role, Signer, SigningError, Use, issue, prove
from lamplighter.service import keyfiles
from lamplighter.service.keyfiles import Entry

app: Final = App(
    name="keys", help="Make, import, list and try certificates and keys.", help_format="markdown"
)

TEST_SUPPLIER: Final = Eui64.parse("90-B3-D5-1F-30-01-00-00")
TEST_ACB: Final = Eui64.parse("90-B3-D5-1F-30-00-00-02")
ORGANISATION_AUTHORITY: Final = "CN=LAMPLIGHTER-TEST,OU=07"
DEVICE_AUTHORITY: Final = "CN=LAMPLIGHTER-TEST-D,OU=07"
VALIDITY: Final = 10 * 365 * DAY
SERIAL_BITS: Final = 120  # positive, and well inside the 20 octets that X.509 allows
MANUFACTURER: Final = "manufacturer"

_SIGNING, _AGREEMENT = Use.DIGITAL_SIGNATURE, Use.KEY_AGREEMENT
_SUPPLIER_KEYS: Final = (
    (Role.SUPPLIER, _SIGNING),
    (Role.SUPPLIER, _AGREEMENT),
    (Role.XML_SIGNING, _SIGNING),
)
_ACB_KEYS: Final = ((Role.ACB, _SIGNING), (Role.ACB, _AGREEMENT), (Role.ACB_XML_SIGNING, _SIGNING))
_DEVICE_KEYS: Final = ((None, _SIGNING), (None, _AGREEMENT))

Directory = Annotated[Path, Parameter(help="The key directory.")]


@app.command
def init(
    directory: Directory,
    /,
    *,
    supplier: Eui = TEST_SUPPLIER,
    acb: Eui = TEST_ACB,
    device: Euis = None,
) -> Report:
    """Make a test PKI: a Supplier, an ACB, Devices, and a manufacturer's seal key.

    All keys are new and random, certificates are of the SMKI profile and last ten years, and the authority
    that issued them is thrown away. For rehearsal only: no real party trusts them.

    Parameters
    ----------
    supplier
        EUI-64 of the Supplier: message signing, key agreement and XML signing.
    acb
        EUI-64 of the DCC's Access Control Broker: the same three.
    device
        EUI-64 of a Device, such as a PPMID; give it once for each.
    """
    keyfiles.create(directory)
    if keyfiles.entries(directory):
        raise UsageError(f"{directory} holds keys already; choose a new directory")
    authority = ec.generate_private_key(ec.SECP256R1())
    now = Instant(time.time_ns() // 1_000 // SECOND * SECOND)
    wanted = [
        *((supplier, role, use) for role, use in _SUPPLIER_KEYS),
        *((acb, role, use) for role, use in _ACB_KEYS),
        *((one, role, use) for one in dict.fromkeys(device or ()) for role, use in _DEVICE_KEYS),
    ]
    made = [_make(directory, authority, now, *each) for each in wanted]
    private, public = keyfiles.store_seal_key(
        directory, MANUFACTURER, ec.generate_private_key(ec.SECP256R1())
    )
    facts = {
        "directory": str(directory),
        "keys": [_facts(entry) for entry in made],
        "manufacturer_key": str(private),
        "manufacturer_public_key": str(public),
    }
    seal = output.pairs(
        [("manufacturer's seal key", private.name), ("its public half, for Devices", public.name)]
    )
    title = f"{len(made)} certificates with private keys, for tests only"
    return Report(facts, output.page(str(directory), title, _table(made, now), seal))


@app.command(name="import")
def import_(directory: Directory, /, *file: Path) -> Report:
    """Import keys; what cannot be read is reported and left out, and the rest is taken.

    Entries that the directory holds already are left as they are.

    Parameters
    ----------
    file
        The DCC's test keystore (keystore.json), or PEM: certificates with private keys or without.
    """
    if not file:
        raise UsageError("name at least one file to import")
    done = [keyfiles.import_file(directory, path) for path in file]
    added = [entry for each in done for entry in each.added]
    known = [entry for each in done for entry in each.known]
    rejected = [entry for each in done for entry in each.rejected]
    facts = {
        "directory": str(directory),
        "added": [_facts(entry) for entry in added],
        "known": [_facts(entry) for entry in known],
        "rejected": [{"name": entry.name, "reason": entry.reason} for entry in rejected],
    }
    parts: list[Any] = [_table(added, _now())] if added else []
    if rejected:
        left_out = output.grid("left out", "because", folded=2)
        for entry in rejected:
            left_out.add_row(entry.name, Text(entry.reason, "red"))
        parts.append(left_out)
    counts = f"{len(added)} imported, {len(known)} known already, {len(rejected)} left out"
    return Report(facts, output.page(str(directory), counts, *parts), passed=bool(added or known))


@app.command(name="list")
def list_(directory: Directory, /) -> Report:
    """List the certificates in a key directory, and which private keys are ours to use.

    Of a token it says what `token.toml` says; `keys check` asks the token.
    """
    found = keyfiles.entries(directory)
    facts = {"directory": str(directory), "keys": [_facts(entry) for entry in found]}
    private = sum(entry.private for entry in found)
    held = sum(entry.token is not None for entry in found)
    title = f"{len(found)} certificates, {private} with private keys" + (
        f", {held} on a token" if held else ""
    )
    return Report(facts, output.page(str(directory), title, _table(found, _now())))


@app.command
def check(directory: Directory, /) -> Report:
    """Have every private signing key sign something that means nothing, and verify it under its certificate.

    Opens the token, where there is one: all that `serve` needs of it is needed here, too. Exit code 1 where a
    key cannot be used.
    """
    quiet_logs()
    ring = keyfiles.load(directory)
    table = output.grid("holder", "role", "private", "verdict", folded=4)
    facts = []
    for entry in keyfiles.entries(directory):
        signer = ring.private_key(entry.certificate)
        if signer is None or entry.certificate.use is not _SIGNING:
            continue
        reason = _reason_against(signer)
        facts.append(_facts(entry) | {"good": reason is None, "reason": reason})
        table.add_row(
            str(entry.certificate.holder),
            keyfiles.role_name(entry.certificate.role),
            _where(entry),
            Text("good", "green") if reason is None else Text(reason, "red"),
        )
    bad = sum(not each["good"] for each in facts)
    title = f"{len(facts)} signing keys, {bad or 'none'} that cannot be used"
    view = output.page(str(directory), title, *([table] if facts else []))
    return Report({"directory": str(directory), "keys": facts}, view, passed=bool(facts) and not bad)


def _reason_against(signer: Signer) -> str | None:
    try:
        prove(signer)
    except SigningError as error:
        return str(error)
    return None


def _where(entry: Entry) -> Text:
    if entry.token is not None:
        return Text("token", "green")
    return Text("yes", "green") if entry.private else Text("no", "dim")


def _make(
    directory: Path,
    authority: ec.EllipticCurvePrivateKey,
    now: Instant,
    holder: Eui64,
    role: Role | None,
    use: Use,
) -> Entry:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(
        issuer=DEVICE_AUTHORITY if role is None else ORGANISATION_AUTHORITY,
        issuer_key=authority,
        holder=holder,
        role=role,
        use=use,
        public_key=key.public_key(),
        serial=secrets.randbits(SERIAL_BITS) | 1,
        not_before=now,
        not_after=Instant(now + VALIDITY),
    )
    return keyfiles.store(directory, certificate, key)


def _now() -> Instant:
    return Instant(time.time_ns() // 1_000)


def _table(found: Any, now: Instant) -> Any:
    table = output.grid("holder", "role", "use", "private", "valid until", "digest")
    for entry in found:
        certificate: Certificate = entry.certificate
        until = to_iso(certificate.not_after)[:10]
        expired = certificate.not_after < now
        table.add_row(
            str(certificate.holder),
            keyfiles.role_name(certificate.role),
            certificate.use.value,
            _where(entry),
            Text(until + " ✗" if expired else until, "red" if expired else ""),
            entry.path.stem.rpartition("-")[2],
        )
    return output.Uncut(table)


def _facts(entry: Entry) -> dict[str, Any]:
    certificate = entry.certificate
    return {
        "file": str(entry.path),
        "holder": str(certificate.holder),
        "role": None if certificate.role is None else f"{certificate.role:02X}",
        "role_name": keyfiles.role_name(certificate.role),
        "use": certificate.use.value,
        "private": entry.private,
        "token": entry.token,
        "issuer": certificate.issuer,
        "serial": str(certificate.serial),
        "not_before": to_iso(certificate.not_before),
        "not_after": to_iso(certificate.not_after),
    }
