"""`lamplighter release`: register images to be sent, see who may have them, withdraw them."""

import time
from collections import Counter
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from lamplighter.cli import image, output
from lamplighter.cli.arguments import DATABASE, Database, Keys, Source
from lamplighter.cli.output import Report, Verdict
from lamplighter.cli.registry import opened
from lamplighter.kit import FirmwareVersion, Instant, UsageError, VerificationError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol import image as images
from lamplighter.protocol.image import Layout
from lamplighter.registry import CplEntry, CplStatus, Procedure, Release
from lamplighter.registry import Verdict as Eligibility
from lamplighter.service import keyfiles
from lamplighter.store.registry import Judged, Registered

app: Final = App(name="release", help="Register, check and withdraw images.", help_format="markdown")

_PROCEDURES: Final = {Layout.SRV_11_4: Procedure.ONE_STEP, Layout.SRV_11_1: Procedure.TWO_STEP}
_NAME_MAX: Final = 64


@app.command
def add(
    file: Source,
    /,
    *,
    name: str,
    after: Annotated[list[str] | None, Parameter(negative="", metavar="HEX")] = None,
    srv: image.Srv = None,
    keys: Keys = None,
    max_octets: image.MaxOctets = images.MAX_IMAGE_OCTETS,
    database: Database = DATABASE,
) -> Report:
    """Register an image as a release; exit code 1, and nothing is registered, if a check fails.

    Parameters
    ----------
    file
        OTA file, or the DUIS XML request (11.1, 11.4) that carries one; `-` for stdin.
    name
        What to call it, at most 64 characters.
    after
        A version that it may follow; may be repeated. Default: any lower one.
    """
    if not 1 <= len(name) <= _NAME_MAX or not name.isprintable():
        raise UsageError(f"--name: expected 1 to {_NAME_MAX} printable characters, found {name[:80]!r}")
    loaded = image.load(file, srv)
    found, header = loaded.image, loaded.image.header
    release = Release(
        _PROCEDURES[found.layout],
        header.manufacturer,
        header.file_version,
        found.hash,
        header.minimum_hardware,
        header.maximum_hardware,
        loaded.octets,
        frozenset(FirmwareVersion.parse(version.removeprefix("0x")) for version in after or ()),
    )
    if release.version in release.path:
        raise UsageError(f"--after {release.version}: that is the version of the image itself")
    ring = None if keys is None else keyfiles.load(keys)
    with opened(database) as registry:
        verdicts = [
            _size(found, max_octets),
            *([image.supplier_verdict(found, ring, None)] if found.layout is Layout.SRV_11_1 else []),
            _listed(release, registry.cpl(release.version)),
        ]
        passed = output.passed(verdicts)
        number = registry.add_release(name, release) if passed else None
    listed = Registered(number or 0, name, release, len(loaded.octets), None)
    facts = {**_facts(listed), "registered": passed, "verdicts": output.verdict_facts(verdicts)}
    rows = [("version", str(release.version)), ("hash", str(release.hash)), ("SRV", release.procedure.value)]
    deed = "registered" if passed else "not registered"
    return Report(facts, output.page(name, deed, output.pairs(rows), output.verdicts(verdicts)), passed)


@app.command(name="list")
def list_(*, database: Database = DATABASE) -> Report:
    """List the releases."""
    with opened(database) as registry:
        releases = registry.releases()
    table = output.grid("name", "SRV", "manufacturer", "version", "octets", "after", "withdrawn", "hash")
    for it in releases:
        facts = _facts(it)
        table.add_row(
            it.name,
            facts["srv"],
            facts["manufacturer"],
            facts["version"],
            f"{it.octets:,}",
            " ".join(facts["after"]) or "any lower",
            facts["withdrawn_at"] or "",
            facts["hash"],
        )
    return Report([_facts(it) for it in releases], output.page("releases", f"{len(releases)}", table))


@app.command
def check(
    name: str,
    /,
    *,
    allow_downgrade: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    database: Database = DATABASE,
) -> Report:
    """Show how many Devices may have a release, and why the others may not.

    Parameters
    ----------
    name
        Of the release.
    allow_downgrade
        Count Devices that run a later version as eligible.
    """
    with opened(database) as registry:
        judged = registry.verdicts(name, allow_downgrade=allow_downgrade)
    counts: Counter[Eligibility] = Counter()
    for it in judged:
        counts[it.verdict] += it.devices
    table = output.grid("Devices", "verdict", "reason", right=("Devices",))
    for verdict in Eligibility:
        if counts[verdict]:
            table.add_row(f"{counts[verdict]:,}", verdict.name.lower(), verdict.value)
    facts = {
        "release": name,
        "devices": counts.total(),
        "verdicts": {verdict.name.lower(): counts[verdict] for verdict in Eligibility if counts[verdict]},
        "cohorts": [_judged(it) for it in judged],
    }
    said = f"{counts[Eligibility.ELIGIBLE]:,} of {counts.total():,} Devices are eligible"
    return Report(facts, output.page(name, said, table))


@app.command
def withdraw(name: str, /, *, database: Database = DATABASE) -> Report:
    """Let nothing more be ordered of a release; what the DCC has already goes on.

    Parameters
    ----------
    name
        Of the release.
    """
    with opened(database) as registry:
        found = registry.withdraw_release(name, Instant(time.time_ns() // 1000))
    facts = _facts(found)
    return Report(facts, output.page(name, f"withdrawn since {facts['withdrawn_at']}"))


def _size(found: images.Image, limit: int) -> Verdict:
    size = found.header.total_size
    try:
        images.check(found, max_image_octets=limit)
    except VerificationError as refusal:
        return Verdict("size", False, f"expected {refusal.expected}, found {refusal.found}")
    return Verdict("size", True, f"{size} octets, limit {limit}")


def _listed(release: Release, entries: list[CplEntry]) -> Verdict:
    """What the Central Products List says of an image."""
    ours = [it for it in entries if it.manufacturer == release.manufacturer]
    ours = [it for it in ours if release.minimum_hardware <= it.hardware <= release.maximum_hardware]
    other = sorted({str(it.hash) for it in ours if it.hash != release.hash})
    active = [it for it in ours if it.hash == release.hash and it.status is CplStatus.ACTIVE]
    if other and not active:  # where it is listed, another hash of the version is another model's
        return Verdict("CPL", False, f"expected the hash {release.hash}, found {', '.join(other)}")
    if not active:
        return Verdict("CPL", None, "no active entry has this version and hash yet: no Device is eligible")
    models = ", ".join(sorted(f"{it.model:04X}{it.hardware:04X}" for it in active))
    return Verdict("CPL", True, f"active for {models}")


def _facts(it: Registered) -> dict[str, Any]:
    release = it.release
    return {
        "name": it.name,
        "srv": release.procedure.value,
        "manufacturer": f"{release.manufacturer:04X}",
        "version": str(release.version),
        "hash": str(release.hash),
        "minimum_hardware": f"{release.minimum_hardware:04X}",
        "maximum_hardware": f"{release.maximum_hardware:04X}",
        "after": [str(version) for version in sorted(release.path)],
        "octets": it.octets,
        "withdrawn_at": None if it.withdrawn_at is None else to_iso(it.withdrawn_at),
    }


def _judged(it: Judged) -> dict[str, Any]:
    cohort = it.cohort
    return {
        "type": cohort.type.value,
        "manufacturer": f"{cohort.manufacturer:04X}",
        "model": f"{cohort.model:04X}{cohort.hardware:04X}",
        "firmware": str(cohort.firmware),
        "region": cohort.region,
        "hub_model": cohort.hub_model,
        "tag": cohort.tag,
        "verdict": it.verdict.name.lower(),
        "devices": it.devices,
    }
