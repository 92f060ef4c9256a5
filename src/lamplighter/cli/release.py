"""`lamplighter release`: register images to be sent, see who may have them, withdraw them."""

from collections import Counter
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from lamplighter.cli import files, image, output
from lamplighter.cli.arguments import DATABASE, Database, Keys, Source, Who
from lamplighter.cli.output import Report, Verdict
from lamplighter.cli.place import office, opened, person
from lamplighter.kit import FirmwareVersion
from lamplighter.kit.instant import to_iso
from lamplighter.protocol import image as images
from lamplighter.registry import Verdict as Eligibility
from lamplighter.service import keyfiles
from lamplighter.store.registry import Judged, Registered

app: Final = App(name="release", help="Register, check and withdraw images.", help_format="markdown")

Because = Annotated[str, Parameter(help="Why, for the record.", show_default=False)]


@app.command
def add(
    file: Source,
    /,
    *,
    name: str,
    after: Annotated[list[str] | None, Parameter(negative="", metavar="HEX")] = None,
    security: Annotated[str | None, Parameter(metavar="REF")] = None,
    srv: image.Srv = None,
    keys: Keys = None,
    max_octets: image.MaxOctets = images.MAX_IMAGE_OCTETS,
    by: Who = "",
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
    security
        What it cures for security, such as CVE-2026-1234: a reference of your own, at most 64 characters.
    """
    ring = None if keys is None else keyfiles.load(keys)
    octets = files.read(file)
    versions = [FirmwareVersion.parse(version.removeprefix("0x")) for version in after or ()]
    with opened(database, make=True) as store, files.about(file):
        added = office(store).add_release(
            person(store, by),
            name,
            octets,
            after=versions,
            security=security,
            srv=srv,
            max_octets=max_octets,
            ring=ring,
        )
    release = added.candidate.release(versions)
    verdicts = [Verdict(*check) for check in added.checks]
    passed = added.registered is not None
    listed = added.registered or Registered(0, name, release, len(added.candidate.octets), None, security)
    facts = {**_facts(listed), "registered": passed, "verdicts": output.verdict_facts(verdicts)}
    rows = [("version", str(release.version)), ("hash", str(release.hash)), ("SRV", release.procedure.value)]
    if security is not None:
        rows.append(("security", security))
    deed = "registered" if passed else "not registered"
    return Report(facts, output.page(name, deed, output.pairs(rows), output.verdicts(verdicts)), passed)


@app.command(name="list")
def list_(*, database: Database = DATABASE) -> Report:
    """List the releases."""
    with opened(database, make=True) as store:
        releases = store.registry.releases()
    table = output.grid(
        "name", "SRV", "manufacturer", "version", "octets", "after", "security", "withdrawn", "hash"
    )
    for it in releases:
        facts = _facts(it)
        table.add_row(
            it.name,
            facts["srv"],
            facts["manufacturer"],
            facts["version"],
            f"{it.octets:,}",
            " ".join(facts["after"]) or "any lower",
            it.security or "",
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
    with opened(database, make=True) as store:
        judged = store.registry.verdicts(name, allow_downgrade=allow_downgrade)
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
def mark(
    name: str,
    /,
    *,
    security: Annotated[str, Parameter(metavar="REF")],
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Say what a release cures for security: reports and the fleet page tell of it by that reference.

    It orders nothing, and approvals stay as they are.

    Parameters
    ----------
    name
        Of the release.
    security
        Such as CVE-2026-1234: a reference of your own, at most 64 characters. It takes the place of another.
    """
    with opened(database, make=True) as store:
        found = office(store).mark(person(store, by), name, security)
    return Report(_facts(found), output.page(name, f"a security release: {security}"))


@app.command
def unmark(name: str, /, *, by: Who = "", database: Database = DATABASE) -> Report:
    """Take back that a release cures anything for security.

    Parameters
    ----------
    name
        Of the release.
    """
    with opened(database, make=True) as store:
        found = office(store).mark(person(store, by), name, None)
    return Report(_facts(found), output.page(name, "no security release"))


@app.command
def withdraw(name: str, /, *, by: Who = "", because: Because = "", database: Database = DATABASE) -> Report:
    """Let nothing more be ordered of a release; what the DCC has already goes on.

    Parameters
    ----------
    name
        Of the release.
    """
    with opened(database, make=True) as store:
        found = office(store).withdraw(person(store, by), name, because)
    facts = _facts(found)
    return Report(facts, output.page(name, f"withdrawn since {facts['withdrawn_at']}"))


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
        "security": it.security,
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
