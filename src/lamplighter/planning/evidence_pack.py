"""The evidence pack: all that is to be known of one campaign, for one signed archive.

`gather` takes it out of the store, `archive.seal` signs it, and `evidence_check.verify` checks it offline, by
holding what it says against its audit and against itself: so all of it is of one moment.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from lamplighter import __version__
from lamplighter.kit import Instant, chain
from lamplighter.kit.instant import MILLISECOND, to_iso
from lamplighter.planning import metrics as measures
from lamplighter.planning.operation import metrics_page
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.store import Store

GROUPED_BY: Final = ("region", "hub-model", "model", "wave", "stratum")
FORM: Final = 2
"""Of a pack's members, as its manifest says; one that says nothing is of form 1. There Devices that left stay
exposed, texts in CSV are not guarded, and storms are told in fewer words."""
MADE_BY: Final = f"lamplighter {__version__}"
MEMBERS: Final = frozenset(
    {
        "readme.txt", "campaign.json", "plan.json", "approvals.json", "strata.json", "audit.jsonl",
        "audit.json", "updates.csv", "places.csv", "campaigns.csv", "metrics.json", "metrics.csv",
        "report.html", "storms.json",
    }
)  # fmt: skip
"""Of every pack, besides the plans."""

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
  places.csv, campaigns.csv    what the numbers in updates.csv stand for; here and in metrics.csv a text that
                  a spreadsheet would take for a formula has an apostrophe before it, as has one that begins
                  with an apostrophe
  metrics.json, metrics.csv    what follows from the above; report.html shows it
  storms.json     alert volumes by code, and alert storms, from the campaign's first order on

To verify:  lamplighter evidence verify FILE --key PUBLIC.pem; it says what it has held against the audit,
            what it has reckoned anew, and what the signature alone stands for
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

    as_of  until when exposure is counted; to the millisecond, as it is written down

    Raises `VerificationError` where the store's own audit is broken, `UsageError` for an unknown campaign.
    """
    as_of = Instant(as_of - as_of % MILLISECOND)  # else nobody could reckon the same anew
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
        # As they were written down: what an approval was bound to is a digest of that text.
        texts = dict(
            connection.execute(
                select(s.plan_version.c.number, s.plan_version.c.plan).where(
                    s.plan_version.c.campaign == found.id
                )
            ).all()
        )
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
                        "manufacturer": it.manufacturer,
                        "model": it.model,
                        "hardware": it.hardware,
                        "device": None if it.device is None else str(it.device),
                        "version": None if it.version is None else str(it.version),
                        "first_at": to_iso(it.first_at),
                        "last_at": to_iso(it.last_at),
                        "ended_at": None if it.ended_at is None else to_iso(it.ended_at),
                        "alerts": it.alerts,
                        "throttled": it.throttled,
                        "devices": it.devices,
                        "peak": it.peak,
                        "cured_by": it.cured_by,
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
                "plan": json.loads(texts[version.number]),
            }
        )
    members["audit.jsonl"] = export
    members["audit.json"] = _json({"before": str(before), "head": str(head)})
    about = {
        "form": FORM,
        "campaign": found.name,
        "as_of": to_iso(as_of),
        "made_by": MADE_BY,
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


__all__ = ["FORM", "GROUPED_BY", "MADE_BY", "MEMBERS", "Gathered", "gather"]
