"""Verifying an evidence pack offline: the archive, then what is inside, against its audit and against itself.

The signature says only who made the pack. So what is inside is held against the audit, a chain that nobody
changes unnoticed by those who kept a head of it: who wrote the campaign, who gave their word, where it
stands, which Devices were ordered. What follows from other members is reckoned anew. What is left, for which
the signature alone stands, is named in `Verified.signed_only`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from lamplighter.campaign import Stage
from lamplighter.campaign import plan as plans
from lamplighter.kit import (
    DecodeError,
    Eui64,
    FirmwareVersion,
    UsageError,
    VerificationError,
    chain,
)
from lamplighter.kit.instant import from_iso, to_iso
from lamplighter.planning import metrics as measures
from lamplighter.planning.archive import Archive, verified
from lamplighter.planning.audited import APPROVE, Audited, Word
from lamplighter.planning.evidence_pack import FORM, GROUPED_BY, MADE_BY, MEMBERS
from lamplighter.planning.operation import metrics_page
from lamplighter.planning.reports import charts
from lamplighter.store.campaigns import salt_of
from lamplighter.store.metrics import ORDERED
from lamplighter.store.storms import Storm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from lamplighter.campaign.plan import Plan

_TEXT_OCTETS_MAX: Final = 100_000_000  # of a member that is read as a whole
_PLAN: Final = re.compile(r"plans/[1-9][0-9]*\.json", re.ASCII)
_CAMPAIGN: Final = "pack-campaign"
_APPROVAL: Final = "pack-approval"

SIGNED_ONLY: Final = (
    "updates.csv: which Devices ended how, and all times but that of their order",
    "places.csv; campaign.json and campaigns.csv: how many may have the release; its name and mark",
    "approvals.json: whose word holds no more because of an account",
    "strata.json: what was pardoned",
    "as_of: until when exposure is counted",
    "storms.json, readme.txt",
)
"""What nothing stands behind but the signature, in any pack."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that went well."""

    name: str
    """What: "signature", "audit", ..."""
    said: str
    """What it says."""
    holds: bool | None = True
    """None: it says what is not so or was not compared, and nothing contradicts it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A pack that is as it was signed, and agrees with itself and with its audit."""

    about: dict[str, Any]
    """What its manifest says."""
    form: int
    """Which form it is of, 1..`FORM`."""
    checks: tuple[Check, ...]
    """All of them, in their order."""
    approved: bool
    """Whether people gave their word for the campaign as its plan asks."""
    facts: dict[str, Any]
    """Its metrics, as they were reckoned anew."""
    signed_only: tuple[str, ...]
    """What of it nothing stands behind but the signature."""


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
        form = _form(pack)
        _check_names(pack)
        campaign = _Campaign.of(pack)
        passed("digest", campaign.check_digest())
        audited, said = _check_audit(pack, campaign.id, head)
        passed("audit", said)
        passed("campaign", _check_campaign(pack, form, campaign, audited))
        words, said = _check_words(pack, audited)
        passed("approvals", said)
        plan = plans.decode(campaign.plan.decode())
        approved, said = _check_approved(plan, audited, words)
        checks.append(Check("approved", said, approved or None))
        updates = measures.read_updates(
            pack.read("campaigns.csv", _TEXT_OCTETS_MAX),
            pack.read("places.csv", _TEXT_OCTETS_MAX),
            pack.pieces("updates.csv"),
            older=form == 1,
        )
        passed("updates", _check_updates(campaign, audited, updates))
        checks.append(_check_outcomes(audited, updates))
        passed("strata", _check_strata(pack, plan, audited, updates))
        metrics, facts, said = _check_metrics(pack, form, updates)
        passed("metrics", said)
        report, alone = _check_report(pack, form, metrics)
        checks.append(report)
    except (
        LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, UsageError,
    ) as cause:  # fmt: skip
        # Signed, but by a maker that does not make packs as we do.
        raise VerificationError(
            "pack-content", "what a pack holds", f"{type(cause).__name__} {cause}"[:100]
        ) from cause
    return Verified(pack.about, form, tuple(checks), approved, facts, (*SIGNED_ONLY, *alone))


def _form(pack: Archive) -> int:
    form = pack.about.get("form", 1)
    if type(form) is not int or not 1 <= form <= FORM:
        raise VerificationError(
            "pack-version", f"a pack of form 1 to {FORM}", f"form {form!r}, by {pack.about.get('made_by')!r}"
        )
    return form


def _check_names(pack: Archive) -> None:
    """That there is what a pack has, and nothing beside it that somebody might take for a part of it."""
    for name in sorted(pack.members.keys() | MEMBERS):
        if name not in pack.members:
            raise VerificationError("pack-missing", f"a member {name}", "none")
        if name not in MEMBERS and not _PLAN.fullmatch(name):
            raise VerificationError("pack-member", "no member but those of a pack", name)


def _equal(check: str, where: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if found[name] != value:
            raise VerificationError(check, f"{name} = {value!r} in {where}", repr(found[name])[:100])


# --- what was asked for, done and approved


@dataclass(frozen=True, slots=True)
class _Campaign:
    id: int
    facts: dict[str, Any]
    """campaign.json."""
    plan: bytes

    @classmethod
    def of(cls, pack: Archive) -> _Campaign:
        facts = _object(pack, "campaign.json")
        return cls(int(facts["id"]), facts, pack.read("plan.json", _TEXT_OCTETS_MAX))

    def digest_of(self, plan: bytes) -> str:
        """What an approval of this image with a plan is bound to."""
        image = bytes.fromhex(self.facts["release"]["image_hash"])
        return hashlib.sha256(image + hashlib.sha256(plan).digest()).hexdigest()

    def check_digest(self) -> str:
        """That what could be approved is this image with this plan."""
        digest = self.digest_of(self.plan)
        if digest != self.facts["digest"]:
            raise VerificationError(
                "pack-digest", f"the digest {digest}, of image and plan", str(self.facts["digest"])
            )
        return f"{digest} is of the image's hash and the plan"


def _check_audit(pack: Archive, campaign: int, head: chain.Head | None) -> tuple[Audited, str]:
    facts = _object(pack, "audit.json")
    before, end = chain.parse_head(facts["before"]), chain.parse_head(facts["head"])
    audited = Audited(campaign)

    def entries() -> Iterator[chain.Entry]:
        for entry in chain.read(_lines(pack.pieces("audit.jsonl"))):
            yield entry
            audited.hear(entry)  # once it is known to be the next of the chain

    if head is not None and head.id <= before.id:
        raise VerificationError(
            "audit-head", f"a head from entry {before.id + 1} on, where the pack begins", f"entry {head.id}"
        )
    last = chain.verify(entries(), after=before, head=head)
    if last != end:
        raise VerificationError("audit-head", f"an end at {end}, as audit.json says", str(last))
    kept = "" if head is None else f", through the head {head.id} that was kept elsewhere"
    own = f"{audited.entries} of them of the campaign"
    return audited, f"entries {before.id + 1} to {last.id} are one chain, {own}{kept}"


def _check_campaign(pack: Archive, form: int, campaign: _Campaign, audited: Audited) -> str:
    """That it is who wrote it, what became of it and when, as the audit says."""
    if not audited.plans:
        raise VerificationError(
            _CAMPAIGN, f"that campaign {campaign.id} was made, in the audit", "nothing of it"
        )
    now = audited.plans[-1]
    wanted: dict[str, Any] = {
        "name": audited.name,
        "digest": now.digest,
        "created_by": now.who,
        "created_at": to_iso(audited.plans[0].at),
        "status": audited.status.value,
        "started_at": None if audited.started_at is None else to_iso(audited.started_at),
        "ended_at": None if audited.ended_at is None else to_iso(audited.ended_at),
    }
    _equal(_CAMPAIGN, "campaign.json, from the audit", wanted, campaign.facts)
    wanted = {"plan_digest": hashlib.sha256(campaign.plan).hexdigest(), "salt": salt_of(audited.name)}
    _equal(_CAMPAIGN, "campaign.json, from plan and name", wanted, campaign.facts)
    head = _object(pack, "audit.json")["head"]
    _equal(_CAMPAIGN, "the manifest", {"campaign": audited.name, "audit_head": head}, pack.about)
    if (count := sum(name not in MEMBERS for name in pack.members)) != len(audited.plans):
        raise VerificationError(_CAMPAIGN, f"{len(audited.plans)} plans, as in the audit", f"{count}")
    for number, written in enumerate(audited.plans, 1):
        found = _object(pack, f"plans/{number}.json")
        wanted = {"number": number, "who": written.who, "at": to_iso(written.at), "digest": written.digest}
        _equal(_CAMPAIGN, f"plans/{number}.json, from the audit", wanted, found)
        # In the first form an older plan may stand there in words that it was not written down in.
        text = json.dumps(found["plan"], sort_keys=True, separators=(",", ":")).encode()
        if form > 1 and campaign.digest_of(text) != written.digest:
            raise VerificationError(
                "pack-digest",
                f"plans/{number}.json to be the plan of {written.digest}",
                campaign.digest_of(text),
            )
    return f"by {now.who}, {audited.status.value}, {len(audited.plans)} versions of the plan: as in the audit"


def _check_words(pack: Archive, audited: Audited) -> tuple[list[Word], str]:
    """That each approval and vote stands in the audit, and the audit's last ones here; those that hold."""
    said = _object(pack, "approvals.json")
    claimed = [((it["who"], APPROVE, it["at"]), it["valid"]) for it in said["approvals"]]
    claimed += [
        ((it["who"].casefold(), f"vote {it['choice']}", it["at"]), it["valid"]) for it in said["votes"]
    ]
    heard = {_key(it) for it in audited.words}
    good = {_key(it): it for it in audited.good}
    for key, valid in claimed:
        if key not in heard:
            raise VerificationError(_APPROVAL, f"{_said(key)} in the audit", "no such entry")
        if valid and key not in good:
            raise VerificationError(
                _APPROVAL,
                f"{_said(key)} to hold no more: it is of another plan, by an author, or not the last",
                "one that holds",
            )
    there = {key for key, _ in claimed}
    if len(there) < len(claimed):
        raise VerificationError(_APPROVAL, "each approval and vote once", "one twice")
    for it in audited.latest:
        if _key(it) not in there:
            raise VerificationError(_APPROVAL, f"{_said(_key(it))}, as the audit has it", "nothing")
    holding = [good[key] for key, valid in claimed if valid]
    text = f"{len(claimed)}, all that the audit has; {len(holding)} hold"
    if barred := [key[0] for key, valid in claimed if not valid and key in good]:
        text += f"; those of {', '.join(barred)} do not because of accounts, which this audit does not tell"
    return holding, text


def _key(word: Word) -> tuple[str, str, str]:
    return word.who, word.said, to_iso(word.at)


def _said(key: tuple[str, str, str]) -> str:
    return f"{key[1]!r} by {key[0]} at {key[2]}"


def _check_approved(plan: Plan, audited: Audited, holding: list[Word]) -> tuple[bool, str]:
    """Whether it was approved; that it was, where it has started and the plan asks for it."""
    if audited.started_at is None:
        approved, said = audited.approved(plan, holding)
        return approved, f"{'yes' if approved else 'no, nor was it started'}: {said}"
    # Words were counted then: that an account was shut since takes nothing away.
    approved, said = audited.approved(plan, audited.good)
    if not approved and (plan.board is not None or plan.approvals):
        raise VerificationError(_APPROVAL, "the words that its plan asks for, before it was started", said)
    return approved, f"{'yes, before it was started' if approved else 'no'}: {said}"


def _check_strata(pack: Archive, plan: Plan, audited: Audited, updates: measures.Updates) -> str:
    """That each stratum that is spoken of is there, in the wave and held as the audit says."""
    strata = {it["name"]: it for it in json.loads(pack.read("strata.json", _TEXT_OCTETS_MAX))}
    waves, held = dict.fromkeys(strata, 0), dict.fromkeys(strata)
    for missing in sorted({it.stratum for it in updates.places} - strata.keys()):
        raise VerificationError("pack-strata", f"the stratum {missing!r} of updates.csv", "none")
    for what, detail in audited.steered:
        mine = [name for name in strata if detail == name or detail.startswith(f"{name}: ")]
        if not mine:
            raise VerificationError(
                "pack-strata", f"the stratum of {what!r}, {detail[:80]!r} in the audit", "none"
            )
        name = max(mine, key=len)
        reason = detail.removeprefix(name).removeprefix(": ")
        if what == "open wave":
            waves[name] += 1
        else:
            held[name] = reason if what == "hold" else None
    for name, it in strata.items():
        wanted = {"wave": waves[name], "held_because": held[name]}
        _equal("pack-strata", f"strata.json of {name!r}, from the audit", wanted, it)
    count = sum(it is not None for it in held.values())
    return f"{len(strata)}, each in its wave of {len(plan.waves)}, {count} held: as in the audit"


# --- what came of it


def _check_updates(campaign: _Campaign, audited: Audited, updates: measures.Updates) -> str:
    """That these are all the Devices that were ordered, and of this campaign and release."""
    (it,) = updates.campaigns
    release = campaign.facts["release"]
    wanted: dict[str, Any] = {
        "id": campaign.id,
        "name": audited.name,
        "version": release["version"],
        "started_at": audited.started_at,
        "exposed": campaign.facts["verdicts"].get("ELIGIBLE", 0),
    }
    if it.release:
        wanted |= {"release": release["name"], "security": release["security"]}
    found = it._asdict() | {"version": str(it.version)}
    _equal("pack-updates", "campaigns.csv, from campaign.json", wanted, found)
    for place in updates.places:
        _equal("pack-updates", "places.csv", {"campaign": audited.name}, place._asdict())
    audited.check_ordered(updates.device, updates.first[:, ORDERED])
    batches = f"{len(audited.batches)} batches"
    return f"the {len(updates):,} Devices are those of {batches} of first orders in the audit, ordered then"


def _check_outcomes(audited: Audited, updates: measures.Updates) -> Check:
    """That no fewer are proven than the audit counted at the end; and whether all ended as it did."""
    stages, counts = np.unique(measures.stages(updates), return_counts=True)
    now = {
        Stage(stage).name.lower(): count
        for stage, count in zip(stages.tolist(), counts.tolist(), strict=True)
    }
    then = audited.outcomes
    if then is None:
        return Check("outcomes", f"{_counted(now)}: the audit has no count of them at an end", None)
    if sum(then.values()) != len(updates) or now.get("proven", 0) < then.get("proven", 0):
        expected = f"{_counted(then)}, as the audit counted at the campaign's end, or more proven since"
        raise VerificationError("pack-outcomes", expected, _counted(now))
    if now != then:
        said = f"the audit counted {_counted(then)} at the campaign's end; here are {_counted(now)}"
        return Check("outcomes", f"{said}, by late word or by the signer's", None)
    return Check("outcomes", f"{_counted(now)}, as the audit counted at the campaign's end")


def _counted(stages: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {stage}" for stage, count in sorted(stages.items())) or "none"


def _check_metrics(
    pack: Archive, form: int, updates: measures.Updates
) -> tuple[measures.Metrics, dict[str, Any], str]:
    claimed = _object(pack, "metrics.json")
    _equal("pack-metrics", "metrics.json, from the manifest", {"as_of": pack.about["as_of"]}, claimed)
    metrics = measures.measure(updates, from_iso(claimed["as_of"]), by=GROUPED_BY, departures=form > 1)
    facts = json.loads(json.dumps(measures.as_facts(metrics)))
    where = _differs(facts, claimed, "")
    if where is not None:
        raise VerificationError("pack-metrics", f"{where[0]} = {where[1]}, from updates.csv", str(where[2]))
    said = f"metrics.json follows from the {len(updates):,} updates"
    if form == 1:
        return metrics, facts, f"{said}, by the first form: who left stays exposed"
    if pack.read("metrics.csv", _TEXT_OCTETS_MAX) != measures.as_csv(metrics).encode():
        raise VerificationError("pack-metrics", "metrics.csv as it follows from updates.csv", "another one")
    return metrics, facts, f"{said}, and so does metrics.csv"


def _check_report(pack: Archive, form: int, metrics: measures.Metrics) -> tuple[Check, tuple[str, ...]]:
    """That the page says what the figures say, if this version wrote it; and what of it does not follow."""
    if form == 1:
        alone = ("metrics.csv, report.html; plans/: the plans but the last",)
        return Check("report", "not compared: the pack is of form 1", None), alone
    page, maker = pack.read("report.html", _TEXT_OCTETS_MAX).decode(), pack.about["made_by"]
    storms = _storms(pack)
    with charts.left_out():
        words = metrics_page(metrics, storms=storms)
    if charts.cut(page) != words:
        if maker == MADE_BY:
            expected = f"report.html in the words that {MADE_BY} has for these figures"
            raise VerificationError("pack-report", expected, "other words")
        return Check("report", f"not compared: {maker} wrote it, and this is {MADE_BY}", None), (
            "report.html",
        )
    if find_spec("matplotlib") is not None and metrics_page(metrics, storms=storms) == page:
        return Check("report", "report.html follows from the figures, octet for octet"), ()
    said = "report.html follows from the figures, but for its charts: they are drawn otherwise here"
    return Check("report", said, None), ("report.html: the charts",)


def _storms(pack: Archive) -> list[Storm]:
    return [
        Storm(
            **it
            | {
                "version": None if it["version"] is None else FirmwareVersion.parse(it["version"]),
                "device": None if it["device"] is None else Eui64.parse(it["device"]),
                "first_at": from_iso(it["first_at"]),
                "last_at": from_iso(it["last_at"]),
                "ended_at": None if it["ended_at"] is None else from_iso(it["ended_at"]),
            }
        )
        for it in _object(pack, "storms.json")["storms"]
    ]


# --- reading


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


__all__ = ["SIGNED_ONLY", "Check", "Verified", "verify"]
