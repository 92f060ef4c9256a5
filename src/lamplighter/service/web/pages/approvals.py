"""Approvals: what one is asked to approve, what exactly is bound by that, and what changed since."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.campaign.board import Choice
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.registry import Verdict
from lamplighter.service.office import CampaignView, Office
from lamplighter.service.people import Person, Scope
from lamplighter.service.web import plan_form
from lamplighter.service.web.page import Approver, Reader, TheOffice, go, render
from lamplighter.service.web.pages.compare import diff
from lamplighter.store.campaigns import PlanVersion
from lamplighter.store.people import Making

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

router: Final = APIRouter()

_DIGEST_DIGITS: Final = 64
_DECIDED_SHOWN: Final = 10
YOUNG: Final = 7 * DAY
"""What happened to an account so short a time before its word is pointed out."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who gave their word, and how their account came to it: four eyes are to be two people's."""

    name: str
    making: Making | None
    """None: it has no account, for there was none when it gave its word."""
    warnings: tuple[str, ...]
    """What whoever relies on that word should know first."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A draft that somebody is to give their word for."""

    seen: CampaignView
    versions: tuple[PlanVersion, ...]
    """Every plan that it had."""
    approved: PlanVersion | None
    """The latest one that anybody approved, where it is not the present one."""
    plan: str
    """The present one, as TOML."""
    changes: tuple[tuple[str, str], ...]
    """What changed since `approved`."""
    why_not: str
    """Why this person cannot approve it; empty: they can."""
    mine: str
    """What this person has said of it as it is now."""
    voices: tuple[Voice, ...]
    """Who has given their word for it as it is now, whichever word."""

    @property
    def eligible(self) -> int:
        """Devices that it is for, as the registry has them now."""
        return self.seen.verdicts.get(Verdict.ELIGIBLE, 0)


@router.get("/approvals")
def approvals(request: Request, person: Reader, office: TheOffice) -> Response:
    """Drafts: first those that wait for this very person."""
    everything = office.campaigns(person)
    drafts = [_asked(office, person, it.id) for it in everything if it.status is CampaignStatus.DRAFT]
    waiting = [it for it in drafts if not it.why_not and not it.mine and not it.seen.approved]
    decided = [it for it in reversed(everything) if it.status is not CampaignStatus.DRAFT][:_DECIDED_SHOWN]
    return render(
        request,
        "approvals.html",
        waiting=waiting,
        others=[it for it in drafts if it not in waiting],
        decided=[(it, _voices(office, it.id)) for it in decided],
        choices=[(it.value, it.value.title()) for it in Choice],
    )


@router.post("/approvals/{number:int}")
def approve(
    request: Request, person: Approver, office: TheOffice, number: int, digest: Annotated[str, Form()]
) -> Response:
    """Give one's word for what has this digest."""
    office.approve(person, number, _digest(digest))
    seen = office.campaign(person, number)
    said = "It can be started." if seen.approved else "It needs more approvals."
    return go(request, f"/approvals#campaign-{number}", f"You have approved {seen.campaign.name}. {said}")


@router.post("/approvals/{number:int}/vote")
def vote(
    request: Request,
    person: Approver,
    office: TheOffice,
    number: int,
    digest: Annotated[str, Form()],
    choice: Annotated[str, Form()],
) -> Response:
    """Vote, as a member of its board."""
    wanted = next((it for it in Choice if it.value == choice), None)
    if wanted is None:
        raise UsageError(f"a vote is {', '.join(it.value for it in Choice)}, not {choice[:40]!r}")
    seen = office.vote(person, number, wanted, _digest(digest))
    return go(request, f"/approvals#campaign-{number}", f"You voted {wanted.value} on {seen.name}.")


def _digest(text: str) -> bytes:
    """What was shown to the person: what they approve is this, and not whatever it is by now."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) * 2 != _DIGEST_DIGITS:
        raise UsageError(f"a digest has {_DIGEST_DIGITS} hex digits: load the page again")
    return found


def _asked(office: Office, person: Person, number: int) -> Asked:
    seen = office.campaign(person, number)
    versions = tuple(office.store.campaigns.plans(number))
    plan = plan_form.document_of(seen.campaign.plan)
    earlier = [it for it in versions if it.approvers and it.digest != seen.campaign.digest]
    approved = max(earlier, key=lambda it: it.number, default=None)
    changes = diff(plan_form.document_of(approved.plan), plan) if approved is not None else []
    own = office.store.people.makings([person.name]).get(person.name.casefold())
    made_by = own.makers(person.name, office.clock()) if own is not None else set()
    why_not = _why_not(seen, versions, person, made_by)
    return Asked(
        seen, versions, approved, plan, tuple(changes), why_not, _mine(seen, person), _voices(office, number)
    )


def _voices(office: Office, number: int) -> tuple[Voice, ...]:
    """Who has given their word for a campaign as it is now."""
    campaigns = office.store.campaigns
    given = {it.approver: it.at for it in campaigns.approvals(number) if it.valid}
    given |= {it.member: it.at for it in campaigns.votes(number) if it.valid}
    authors = {it.who for it in campaigns.plans(number)}
    makings = office.store.people.makings(given)
    return tuple(
        Voice(name, making, tuple(_warnings(making, name, at, authors)) if making is not None else ())
        for name, at in sorted(given.items(), key=lambda it: it[1])
        for making in (makings.get(name.casefold()),)
    )


def _warnings(making: Making, name: str, at: Instant, authors: set[str]) -> "Iterator[str]":
    for author in sorted(authors):
        if author.casefold() in making.makers(name, at):
            yield f"the making of {author}, who wrote the plan"
    for it in making.lent(at):
        yield f"{it.by} could speak for it, by a token"
    for what, did in (
        ("made", making.created),
        ("made an approver", making.approver),
        ("given a password", making.password),
    ):
        if did is not None and at < did[1] + YOUNG:
            yield f"{what} less than {YOUNG // DAY} days before"
            return


def _why_not(seen: CampaignView, versions: "Iterable[PlanVersion]", person: Person, made_by: set[str]) -> str:
    campaign = seen.campaign
    name = person.name.casefold()
    if not person.may(Scope.APPROVE):
        return "Approvers do that; you are none."
    if name == campaign.created_by.casefold():
        return "You wrote it: somebody else must approve it."
    if any(it.who.casefold() == name for it in versions):
        return "You wrote an earlier version of its plan: somebody else must approve it."
    for author in (campaign.created_by, *(it.who for it in versions)):
        if author.casefold() in made_by:
            return (
                f"{author}, who wrote it, made your account, gave it the role of approver, reset its "
                "password or issued a token that speaks for it: somebody must approve it who is not "
                "their making."
            )
    board = campaign.plan.board
    if board is not None and board.seat_of(person.name) is None:
        return "Its board votes on it, and you are not a member."
    return ""


def _mine(seen: CampaignView, person: Person) -> str:
    name = person.name.casefold()
    for vote in seen.votes:
        if vote.valid and vote.member.casefold() == name:
            return f"You voted {vote.choice.value}."
    if any(it.valid and it.approver.casefold() == name for it in seen.approvals):
        return "You have approved it."
    return ""
