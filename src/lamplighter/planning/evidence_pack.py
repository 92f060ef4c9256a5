"""The evidence pack: all that is to be known of one campaign, in one signed archive, verified offline.

`gather` takes it out of the store, `archive.seal` signs it, and `verify` checks it: first the archive, then
that what is inside agrees with itself. The audit is a chain from before the campaign's first entry to its
head at the time of packing; approvals stand in it; the digest that they are bound to follows from image and
plan; and every metric is reckoned anew from the updates. What it cannot tell is whether the store was told
the truth.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from sqlalchemy import select

from lamplighter import __version__
from lamplighter.campaign import plan as plans
from lamplighter.kit import DecodeError, Instant, VerificationError, chain
from lamplighter.kit.instant import from_iso, to_iso
from lamplighter.planning import metrics as measures
from lamplighter.planning.archive import Archive, verified
from lamplighter.planning.operation import metrics_page
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from lamplighter.store import Store

GROUPED_BY: Final = ("region", "hub-model", "model", "wave", "stratum")
_TEXT_OCTETS_MAX: Final = 100_000_000  # of a member that is read as a whole

README: Final = """\
Evidence of one campaign, as Lamplighter recorded it.

  manifest.json, manifest.sig  sizes and SHA-256 of all members, and the Ed25519 signature on them
  campaign.json   what was asked for: release, image hash, plan digest, who, when, where it stands
  plan.json       the plan, in the form that its digest is taken of; plans/ holds each version it ever had
  approvals.json  who approved or voted, when, and whether it holds
  strata.json     where each stratum stands, and why it is held
  audit.jsonl     the audit, one entry a line, from just before the campaign's first entry to the head;
                  entries of other things stand between, for without them the chain could not be followed
  audit.json      the chain's head before the first of these entries, and after the last
  updates.csv     one line a Device: EUI-64, number of its place, progress, and the time of each milestone
                  (microseconds since 1970, UTC; empty: never)
  places.csv, campaigns.csv    what the numbers in updates.csv stand for
  metrics.json, metrics.csv    what follows from the above; report.html shows it
  storms.json     alert volumes by code, and alert storms, from the campaign's first order on

To verify:  lamplighter evidence verify FILE --key PUBLIC.pem
By hand:    unzip it; sha256sum each member against manifest.json; then
            { printf 'lamplighter evidence 1\\n'; cat manifest.json; } > signed
            openssl pkeyutl -verify -pubin -inkey PUBLIC.pem -rawin -in signed -sigfile manifest.sig
The metrics are defined in report.html under "Method". The progress of an update is
            final << 18 | attempt << 14 | sub-step << 10 | stage << 5 | cause
with the stages 22 failed, 23 cancelled, 24 withdrawn, 25 lost, 26 proven.
"""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What goes into a pack."""

    members: dict[str, bytes | Iterable[bytes]]
    """Octets by name, for `archive.seal`."""
    about: dict[str, Any]
    """For its manifest."""
    metrics: measures.Metrics
    """What the report says."""
    head: chain.Head
    """Of the audit."""


def gather(store: Store, campaign: int, as_of: Instant) -> Gathered:
    """Everything of one campaign, as of a moment; the same store and moment give the same octets.

    Raises `VerificationError` where the store's own audit is broken, `UsageError` for an unknown campaign.
    """
    # All of one moment, so that no member knows what another does not; and read without a pause, for a
    # database breaks off who keeps a transaction open and asks nothing.
    with store.database.snapshot(), store.database.reading() as connection:
        found = store.campaigns.find(campaign)
        listed = store.registry.listed(found.release)
        before, head, export = _audit(store, found.id)
        updates = store.metrics.updates([found.id])
        first = Instant(int(updates.first[:, 0].min())) if len(updates) else found.created_at
        storms, volumes = store.storms.between(first, as_of), store.storms.volumes(first, as_of)
        plan = (
            connection.execute(select(s.campaign.c.plan).where(s.campaign.c.id == found.id))
            .scalar_one()
            .encode()
        )
        verdicts = store.campaigns.verdicts(found.id)
        approvals, votes = store.campaigns.approvals(found.id), store.campaigns.votes(found.id)
        strata = store.campaigns.view(found, as_of).strata
        versions = store.campaigns.plans(found.id)
    release = listed.release
    metrics = measures.measure(updates, as_of, by=GROUPED_BY)
    campaigns, places, lines = measures.write_updates(updates)
    members: dict[str, bytes | Iterable[bytes]] = {
        "readme.txt": README.encode(),
        "campaign.json": _json(
            {
                "id": found.id,
                "name": found.name,
                "status": found.status.value,
                "digest": found.digest.hex(),
                "plan_digest": hashlib.sha256(plan).hexdigest(),
                "salt": found.salt,
                "created_by": found.created_by,
                "created_at": to_iso(found.created_at),
                "started_at": None if found.started_at is None else to_iso(found.started_at),
                "ended_at": None if found.ended_at is None else to_iso(found.ended_at),
                "verdicts": {
                    it.name: devices for it, devices in sorted(verdicts.items(), key=lambda it: it[0].name)
                },
                "release": {
                    "id": listed.id,
                    "name": listed.name,
                    "procedure": release.procedure.value,
                    "manufacturer": f"{release.manufacturer:04X}",
                    "version": str(release.version),
                    "image_hash": str(release.hash),
                    "image_octets": listed.octets,
                    "hardware": [release.minimum_hardware, release.maximum_hardware],
                    "after": sorted(map(str, release.path)),
                    "security": listed.security,
                    "withdrawn_at": None if listed.withdrawn_at is None else to_iso(listed.withdrawn_at),
                },
            }
        ),
        # Not encoded anew: its digest is of the text that was written down then.
        "plan.json": plan,
        "approvals.json": _json(
            {
                "approvals": [
                    {"who": it.approver, "at": to_iso(it.at), "valid": it.valid} for it in approvals
                ],
                "votes": [
                    {"who": it.member, "choice": it.choice.value, "at": to_iso(it.at), "valid": it.valid}
                    for it in votes
                ],
            }
        ),
        "strata.json": _json(
            [
                {"name": it.name, "wave": it.wave, "held_because": it.held, "pardoned": it.pardoned}
                for it in strata
            ]
        ),
        "campaigns.csv": campaigns,
        "places.csv": places,
        "updates.csv": lines,
        "metrics.json": _json(measures.as_facts(metrics)),
        "metrics.csv": measures.as_csv(metrics).encode(),
        "report.html": metrics_page(metrics, storms=storms).encode(),
        "storms.json": _json(
            {
                "volumes": [it._asdict() for it in volumes],
                "storms": [
                    {
                        "id": it.id,
                        "code": it.code,
                        "device": None if it.device is None else str(it.device),
                        "version": None if it.version is None else str(it.version),
                        "first_at": to_iso(it.first_at),
                        "last_at": to_iso(it.last_at),
                        "alerts": it.alerts,
                        "throttled": it.throttled,
                    }
                    for it in storms
                ],
            }
        ),
    }
    for version in versions:
        members[f"plans/{version.number}.json"] = _json(
            {
                "number": version.number,
                "digest": version.digest.hex(),
                "who": version.who,
                "at": to_iso(version.at),
                "plan": json.loads(plans.encode(version.plan)),
            }
        )
    members["audit.jsonl"] = export
    members["audit.json"] = _json({"before": str(before), "head": str(head)})
    about = {
        "campaign": found.name,
        "as_of": to_iso(as_of),
        "made_by": f"lamplighter {__version__}",
        "audit_head": str(head),
    }
    return Gathered(members, about, metrics, head)


def _audit(store: Store, campaign: int) -> tuple[chain.Head, chain.Head, bytes]:
    """The chain from before a campaign's first entry to its head."""
    own = store.audit.entries(limit=1, campaign=campaign)
    before = chain.START
    if own and own[0].id > 1:
        (last,) = store.audit.entries(after=own[0].id - 2, limit=1)
        before = chain.Head(last.id, last.digest)
    lines = io.StringIO()
    head = store.audit.export(lines, before)
    return before, head, lines.getvalue().encode()


def _json(facts: Any) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


# --- verifying


@dataclass(frozen=True, slots=True)
class Check:
    """A check that went well."""

    name: str
    """What: "signature", "audit", ..."""
    said: str
    """What it says."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A pack that is as it was signed, and agrees with itself."""

    about: dict[str, Any]
    """What its manifest says."""
    checks: tuple[Check, ...]
    """All of them, in their order."""
    facts: dict[str, Any]
    """Its metrics, as they were reckoned anew."""


def verify(file: IO[bytes], key: Ed25519PublicKey, head: chain.Head | None = None) -> Verified:
    """Check a pack against a public key, without a store and without a network.

    head  of the audit, kept elsewhere at some time since the campaign began: the chain must pass through it

    Raises `VerificationError`, or `DecodeError` of a member that is not what it should be: in either case the
    first thing that is wrong.
    """
    checks: list[Check] = []

    def passed(name: str, said: str) -> None:
        checks.append(Check(name, said))

    pack = verified(file, key, passed)
    try:
        campaign = _Campaign.of(pack)
        passed("approved", campaign.check_digest())
        passed("audit", _check_audit(pack, campaign, head))
        facts, said = _check_metrics(pack)
        passed("metrics", said)
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        # Signed, but by a maker that does not make packs as we do.
        raise VerificationError(
            "pack-content", "what a pack holds", f"{type(cause).__name__} {cause}"[:100]
        ) from cause
    return Verified(pack.about, tuple(checks), facts)


@dataclass(frozen=True, slots=True)
class _Campaign:
    id: int
    digest: str
    image_hash: str
    plan: bytes
    words: tuple[tuple[str, str], ...]
    """Who said what that still holds: "approve", "vote reject"."""

    @classmethod
    def of(cls, pack: Archive) -> _Campaign:
        facts = _object(pack, "campaign.json")
        said = _object(pack, "approvals.json")
        words = [(it["who"].casefold(), "approve") for it in said["approvals"] if it["valid"]]
        words += [(it["who"].casefold(), f"vote {it['choice']}") for it in said["votes"] if it["valid"]]
        plan = pack.read("plan.json", _TEXT_OCTETS_MAX)
        return cls(int(facts["id"]), facts["digest"], facts["release"]["image_hash"], plan, tuple(words))

    def check_digest(self) -> str:
        """That what was approved is this image with this plan."""
        plan = hashlib.sha256(self.plan).digest()
        digest = hashlib.sha256(bytes.fromhex(self.image_hash) + plan).hexdigest()
        if digest != self.digest:
            raise VerificationError(
                "pack-approved", f"the digest {digest}, which follows from image and plan", str(self.digest)
            )
        return f"the digest {digest} follows from the image's hash and the plan"


def _check_audit(pack: Archive, campaign: _Campaign, head: chain.Head | None) -> str:
    facts = _object(pack, "audit.json")
    before, end = chain.parse_head(facts["before"]), chain.parse_head(facts["head"])
    own = 0
    spoken: dict[str, str] = {}

    def entries() -> Iterator[chain.Entry]:
        nonlocal own
        for entry in chain.read(_lines(pack.pieces("audit.jsonl"))):
            if entry.campaign == campaign.id:
                own += 1
                if entry.what == "approve" and entry.detail == campaign.digest:
                    spoken[entry.who.casefold()] = "approve"
                elif entry.what == "vote":
                    choice, _, digest = entry.detail.partition(" ")
                    if digest == campaign.digest:
                        spoken[entry.who.casefold()] = f"vote {choice}"
            yield entry

    if head is not None and head.id <= before.id:
        raise VerificationError(
            "audit-head", f"a head from entry {before.id + 1} on, where the pack begins", f"entry {head.id}"
        )
    last = chain.verify(entries(), after=before, head=head)
    if last != end:
        raise VerificationError("audit-head", f"an end at {end}, as audit.json says", str(last))
    for who, word in campaign.words:
        if spoken.get(who) != word:
            raise VerificationError(
                "pack-approval",
                f"{word!r} by {who} on {campaign.digest} in the audit",
                spoken.get(who, "nothing"),
            )
    kept = "" if head is None else f", through the head {head.id} that was kept elsewhere"
    return f"entries {before.id + 1} to {last.id} are one chain, {own} of them of the campaign{kept}"


def _check_metrics(pack: Archive) -> tuple[dict[str, Any], str]:
    updates = measures.read_updates(
        pack.read("campaigns.csv", _TEXT_OCTETS_MAX),
        pack.read("places.csv", _TEXT_OCTETS_MAX),
        pack.pieces("updates.csv"),
    )
    claimed = _object(pack, "metrics.json")
    as_of = from_iso(claimed["as_of"])
    facts = json.loads(_json(measures.as_facts(measures.measure(updates, as_of, by=GROUPED_BY))))
    where = _differs(facts, claimed, "")
    if where is not None:
        raise VerificationError("pack-metrics", f"{where[0]} = {where[1]}, from updates.csv", str(where[2]))
    return facts, f"all follow from the {len(updates):,} updates"


def _differs(wanted: Any, found: Any, path: str) -> tuple[str, Any, Any] | None:
    """The first place where two JSON values differ."""
    if type(wanted) is not type(found):
        return path or "it", wanted, found
    if isinstance(wanted, dict):
        for key in sorted(wanted.keys() | found.keys()):
            if key not in wanted or key not in found:
                return f"{path}.{key}".lstrip("."), wanted.get(key), found.get(key)
            where = _differs(wanted[key], found[key], f"{path}.{key}".lstrip("."))
            if where is not None:
                return where
        return None
    if isinstance(wanted, list):
        if len(wanted) != len(found):
            return f"{path} (its length)", len(wanted), len(found)
        for index, (left, right) in enumerate(zip(wanted, found, strict=True)):
            where = _differs(left, right, f"{path}[{index}]")
            if where is not None:
                return where
        return None
    return None if wanted == found else (path, wanted, found)


def _object(pack: Archive, name: str) -> dict[str, Any]:
    try:
        found = json.loads(pack.read(name, _TEXT_OCTETS_MAX))
    except (ValueError, RecursionError) as cause:
        raise DecodeError(name, "JSON", 0, "an object", str(cause)[:100]) from cause
    if not isinstance(found, dict):
        raise DecodeError(name, "JSON", 0, "an object", type(found).__name__)
    return found


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text that comes in pieces; an endless one is no line."""
    kept = b""
    for piece in pieces:
        *whole, kept = (kept + piece).split(b"\n")
        if len(kept) > chain.LINE_OCTETS_MAX:
            raise DecodeError("audit.jsonl", "line", 0, f"at most {chain.LINE_OCTETS_MAX} octets", "more")
        yield from whole
    if kept:
        yield kept


__all__ = ["Check", "Gathered", "Verified", "gather", "verify"]
