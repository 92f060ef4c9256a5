"""A campaign as its audit alone tells it: who wrote it, who gave their word, what was done, who was ordered.

`Audited.hear` takes the entries of the chain, in their order. What it holds at the end owes nothing to any
other part of an evidence pack, so that those can be held against it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lamplighter.campaign import board as boards
from lamplighter.campaign.board import Choice
from lamplighter.campaign.state import FIRST_STEP
from lamplighter.campaign.status import CHART, Act, CampaignStatus
from lamplighter.kit import Instant, VerificationError
from lamplighter.store.campaigns import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from lamplighter.campaign.plan import Plan
    from lamplighter.kit.chain import Entry

    Numbers = npt.NDArray[np.int64]

APPROVE: Final = "approve"
_VOTE: Final = "vote "
_CREATE: Final = "create"
_OF_A_DRAFT: Final = frozenset({"revise", "approve", "vote"})
_ACTS: Final = {act.value: act for act in Act}
_COUNTED: Final = frozenset({Act.FINISH, Act.SETTLE})
_ENDS: Final = frozenset({CampaignStatus.ABORTED, CampaignStatus.FINISHED})
_SIGN: Final = np.uint64(1 << 63)


class Written(NamedTuple):
    """A plan that somebody wrote."""

    who: str
    at: Instant
    digest: str
    """What an approval of it is bound to, in hex."""


class Word(NamedTuple):
    """An approval, or a vote."""

    who: str
    """Whoever said it; of a vote as names are compared, for the board may spell its member otherwise."""
    said: str
    """`APPROVE`, or "vote" and a `Choice`."""
    at: Instant
    digest: str
    """Of what it was said."""


class Batch(NamedTuple):
    """Devices that were ordered for the first time, together."""

    subject: str
    """"batch 17"."""
    at: Instant
    devices: int
    sha256: str
    """Of their EUI-64s, in their order."""


@dataclass(slots=True)
class Audited:
    """One campaign."""

    id: int
    """Which, in the database."""
    entries: int = 0
    """That were about it."""
    name: str = ""
    plans: list[Written] = field(default_factory=list)
    """The last is what it has now."""
    words: list[Word] = field(default_factory=list)
    """All that were ever given."""
    status: CampaignStatus = CHART.start
    started_at: Instant | None = None
    ended_at: Instant | None = None
    outcomes: dict[str, int] | None = None
    """How many updates were in each stage at its end; None: it has not ended, or before that was noted."""
    batches: list[Batch] = field(default_factory=list)
    """Of first orders."""
    order_times: list[Instant] = field(default_factory=list)
    """Of all orders."""
    steered: list[tuple[str, str]] = field(default_factory=list)
    """What was done to strata: "hold", "release hold", "open wave"; and the words, its name first."""

    def hear(self, entry: Entry) -> None:
        """Take in the next entry of the chain; `VerificationError` for one that no campaign has there."""
        if entry.campaign != self.id:
            return
        self.entries += 1
        if (entry.what == _CREATE) != (not self.plans):
            expected = "its creation as the first entry of the campaign, and once"
            raise VerificationError("pack-campaign", expected, f"{entry.what!r} at entry {entry.id}")
        match entry.what:
            case what if what in _OF_A_DRAFT and self.status is not CHART.start:
                raise self._misplaced(entry)
            case "create" | "revise":
                self.name = entry.subject
                self.plans.append(Written(entry.who, entry.at, entry.detail))
            case "approve":
                self.words.append(Word(entry.who, APPROVE, entry.at, entry.detail))
            case "vote":
                choice, _, digest = entry.detail.partition(" ")
                self.words.append(Word(entry.who.casefold(), f"{_VOTE}{choice}", entry.at, digest))
            case "hold" | "release hold" | "open wave":
                self.steered.append((entry.what, entry.detail))
            case what if what == ORDER:
                self._order(entry)
            case what if what in _ACTS:
                act = _ACTS[what]
                if not CHART.allows(self.status, act):
                    raise self._misplaced(entry)
                self.status = CHART.fire(self.status, act)
                if act is Act.START:
                    self.started_at = entry.at
                if self.status in _ENDS:
                    self.ended_at = entry.at
                if act in _COUNTED and entry.detail:
                    parts = (part.partition(" ") for part in entry.detail.split(", "))
                    self.outcomes = {stage: int(devices) for devices, _, stage in parts}

    def _misplaced(self, entry: Entry) -> VerificationError:
        expected = f"no {entry.what!r} of a campaign that is {self.status.value}"
        return VerificationError("pack-campaign", expected, f"one at entry {entry.id}")

    def _order(self, entry: Entry) -> None:
        self.order_times.append(entry.at)
        said = json.loads(entry.detail)
        if said["step"] == FIRST_STEP:
            if type(said["devices"]) is not int or said["devices"] < 1:
                raise ValueError(f"entry {entry.id} orders {said['devices']!r} Devices")
            self.batches.append(Batch(entry.subject, entry.at, said["devices"], said["sha256"]))

    # --- who gave their word

    @property
    def authors(self) -> set[str]:
        """Everybody who wrote a plan of it, as names are compared."""
        return {it.who.casefold() for it in self.plans}

    @property
    def latest(self) -> list[Word]:
        """The last approval and the last vote of each."""
        return list({(it.said == APPROVE, it.who): it for it in self.words}.values())

    @property
    def good(self) -> list[Word]:
        """The last words that are of what it is now, of people who did not write it.

        Whether the account of each was good for that, the audit of a campaign does not tell.
        """
        digest, authors = self.plans[-1].digest, self.authors
        return [it for it in self.latest if it.digest == digest and it.who.casefold() not in authors]

    def approved(self, plan: Plan, words: Iterable[Word]) -> tuple[bool, str]:
        """Whether these good words are what the plan asks for, and somebody's at least; in a sentence."""
        board = plan.board
        if board is None:
            given = [it.who for it in words if it.said == APPROVE]
            said = f"{', '.join(given) or 'nobody'}, of {plan.approvals} that the plan asks for"
            return bool(given) and len(given) >= plan.approvals, said
        votes = {it.who: Choice(it.said.removeprefix(_VOTE)) for it in words if it.said != APPROVE}
        ballot = boards.count(board, votes)
        told = ", ".join(f"{who} {choice.value}" for who, choice in votes.items()) or "nobody"
        return ballot.approved, f"{told}, {ballot.cast} of {ballot.needed} votes that the board needs"

    # --- who was ordered

    def check_ordered(self, devices: Numbers, ordered: Numbers) -> None:
        """That these are the Devices of its first orders, all of them and no others, ordered then.

        devices  EUI-64s less 2**63, in the order of their updates, which is that of the batches
        ordered  when each was ordered first, microseconds since 1970
        """
        octets = (devices.view(np.uint64) ^ _SIGN).astype(">u8")
        times = np.array(self.order_times, np.int64)
        start = 0
        for batch in self.batches:
            part = slice(start, start + batch.devices)
            found = hashlib.sha256(octets[part].tobytes()).hexdigest()
            if found != batch.sha256:
                raise VerificationError(
                    "pack-orders",
                    f"{batch.devices} Devices from line {start + 2} of updates.csv on, the {batch.subject} "
                    f"with SHA-256 {batch.sha256} in the audit",
                    f"{len(octets[part])} with {found}",
                )
            # A clock that was put back before a later attempt makes that one the first.
            at = ordered[part]
            if not ((at == batch.at) | ((at < batch.at) & np.isin(at, times))).all():
                raise VerificationError(
                    "pack-orders", f"{batch.subject} ordered at {batch.at}, as the audit says", "another time"
                )
            start += batch.devices
        if start != len(devices):
            raise VerificationError(
                "pack-orders", f"{start} Devices, as the audit has first orders for", f"{len(devices)}"
            )
