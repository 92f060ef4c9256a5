"""`lamplighter evidence`: all that is to be known of one campaign in one signed file, and the proof of it."""

import tempfile
from pathlib import Path
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import files, output
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, Database, Force, Out, Who
from lamplighter.cli.output import Report, Verdict
from lamplighter.cli.place import now, opened, person
from lamplighter.kit import DecodeError, Instant, LamplighterError, UsageError, VerificationError, chain
from lamplighter.kit.instant import from_iso, to_iso
from lamplighter.planning import archive, evidence_check, evidence_pack
from lamplighter.planning.operation import number, share
from lamplighter.service import keyfiles
from lamplighter.service.people import Scope
from lamplighter.store import audit
from lamplighter.store.campaigns import Campaign

app: Final = App(name="evidence", help="Pack and verify what is known of a campaign.", help_format="markdown")

_SUFFIX: Final = ".pub.pem"


@app.command
def keygen(output_: Annotated[Out, Parameter(name="--output")], /) -> Report:
    """Make an Ed25519 key pair that signs evidence: FILE (private, mode 0600) and FILE.pub.pem.

    Give the public half, or its fingerprint, to those who will verify, by a way that you both trust.

    Parameters
    ----------
    output_
        File for the private half.
    """
    public = output_.with_name(output_.name.removesuffix(".pem") + _SUFFIX)
    for path in (output_, public):
        if path.exists():
            raise UsageError(f"{path} exists already: a key is never overwritten")
    key = Ed25519PrivateKey.generate()
    keyfiles.store_evidence_key(output_, public, key)
    mark = archive.fingerprint(key.public_key())
    facts = {"private": str(output_), "public": str(public), "fingerprint": mark}
    rows = [("private", str(output_)), ("public", str(public)), ("fingerprint", mark)]
    return Report(facts, output.page("key pair", "Ed25519", output.pairs(rows)))


@app.command
def pack(
    campaign: str,
    /,
    *,
    out: Annotated[Out, Parameter(name="--output")],
    key: Annotated[
        Path, Parameter(env_var=f"{ENVIRONMENT}EVIDENCE_KEY", help="Private key that `evidence keygen` made.")
    ],
    as_of: Annotated[
        str | None,
        Parameter(
            help="Until when exposure is counted, such as 2026-11-24T09:00:00Z: not before the campaign's "
            "end, or its start while it runs. Default: now."
        ),
    ] = None,
    force: Force = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Write the evidence of one campaign: plan, approvals, audit, image hash, updates, metrics, report.

    It holds the identifiers of Devices. That it was made is itself audited.

    Parameters
    ----------
    campaign
        Name or id.
    """
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; --force replaces it")
    private = keyfiles.load_evidence_key(key)
    try:
        moment = now() if as_of is None else from_iso(as_of)
    except DecodeError as cause:
        raise UsageError(f"--as-of: {cause}") from cause
    with opened(database) as store:
        whose = person(store, by)
        whose.require(Scope.READ)
        found = store.campaigns.find(int(campaign) if campaign.isdecimal() else campaign)
        if as_of is not None:
            _within(moment, found)
        gathered = evidence_pack.gather(store, found.id, moment)
        scratch = None
        try:
            with tempfile.NamedTemporaryFile(dir=out.parent, prefix=".evidence-", delete=False) as file:
                scratch = Path(file.name)
                sealed = archive.seal(file, gathered.members, private, gathered.about)
            with store.database.writing() as connection:
                detail = f"SHA-256 {sealed.digest.hex()}"
                audit.note(
                    connection, now(), whose.name, "evidence pack", campaign=found.id, subject=found.name,
                    detail=detail,
                )  # fmt: skip
            scratch.chmod(0o644)
            scratch.replace(out)
        except OSError as cause:
            raise UsageError(f"cannot write {out}: {cause.strerror}") from cause
        finally:
            if scratch is not None:
                scratch.unlink(missing_ok=True)
    counts = gathered.metrics.total.counts
    mark = archive.fingerprint(private.public_key())
    facts = {
        "file": str(out),
        "octets": sealed.octets,
        "sha256": sealed.digest.hex(),
        "key": mark,
        "audit_head": str(gathered.head),
        "updates": counts.updates,
        "proven": counts.proven,
        "members": sealed.members,
    }
    rows = [
        ("file", f"{out}, {number(sealed.octets)} octets"),
        ("SHA-256", sealed.digest.hex()),
        ("signed by", mark),
        ("audit head", str(gathered.head)),
        ("updates", f"{number(counts.updates)}, {number(counts.proven)} proven ({share(counts.proof_rate)})"),
    ]
    return Report(facts, output.page(found.name, "evidence packed", output.pairs(rows)))


def _within(moment: Instant, campaign: Campaign) -> None:
    """Raises `UsageError` for a moment to which nothing of the campaign can be reckoned."""
    least = campaign.ended_at or campaign.started_at or campaign.created_at
    latest = now()
    if not least <= moment <= latest:
        raise UsageError(
            f"--as-of {to_iso(moment)}: allowed is {to_iso(least)}, when {campaign.name} "
            f"{'ended' if campaign.ended_at else 'began'}, to now, {to_iso(latest)}"
        )


@app.command
def verify(
    file: Path,
    /,
    *,
    key: Annotated[Path, Parameter(help="Public key of whoever signed it, in PEM.")],
    head: Annotated[
        str | None,
        Parameter(help="NUMBER:DIGEST of the audit, kept elsewhere since the campaign began.", negative=""),
    ] = None,
) -> Report:
    """Verify a pack, without a database and without a network; exit code 1 and the first thing that is wrong.

    Signature and members; then, against the chain of the audit, who wrote and approved the campaign, where it
    stands and which Devices it ordered; and each metric, reckoned anew. Last it says what the signature alone
    stands for.

    Parameters
    ----------
    file
        The pack.
    """
    public = keyfiles.load_evidence_public_key(key)
    try:
        kept = None if head is None else chain.parse_head(head)
    except DecodeError as cause:
        raise UsageError(f"--head: {cause}") from cause
    try:
        with file.open("rb") as opened_:
            found = evidence_check.verify(opened_, public, kept)
    except OSError as cause:
        raise UsageError(f"cannot read {file}: {cause.strerror}") from cause
    except (VerificationError, DecodeError) as wrong:
        return _wrong(file, wrong)
    verdicts = [Verdict(it.name, it.holds, it.said) for it in found.checks]
    total = found.facts["total"]
    facts = {
        "verified": True,
        "about": found.about,
        "form": found.form,
        "approved": found.approved,
        "checks": [it.name for it in found.checks],
        "updates": total["updates"],
        "proven": total["proven"],
        "signed_only": list(found.signed_only),
    }
    said = f"campaign {found.about.get('campaign')}, as of {found.about.get('as_of')}"
    line = Text(f"{number(total['proven'])} of {number(total['updates'])} Devices proven")
    alone = Text(
        "\n".join(("The signature alone stands for:", *(f"  {it}" for it in found.signed_only))), "dim"
    )
    return Report(facts, output.page(str(file), said, output.verdicts(verdicts), line, alone))


def _wrong(file: Path, wrong: LamplighterError) -> Report:
    check = wrong.check if isinstance(wrong, VerificationError) else "content"
    reason = str(wrong).removeprefix(f"{check}: ")
    facts = {"verified": False, "wrong": {"check": check, "reason": reason}}
    with files.about(file):
        view = output.page(str(file), "not verified", output.verdicts([Verdict(check, False, reason)]))
    return Report(facts, view, passed=False)
