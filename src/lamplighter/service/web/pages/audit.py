"""The audit: who did what, whether its chain holds, and an export that anybody can verify elsewhere."""

from contextlib import suppress
from typing import Annotated, Any, Final, TextIO

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import DecodeError, UsageError, VerificationError
from lamplighter.kit.chain import parse_head
from lamplighter.service.office import Office
from lamplighter.service.people import Person
from lamplighter.service.web.page import Reader, TheOffice, render
from lamplighter.service.web.security import whole
from lamplighter.service.web.turns import TheTurns

router: Final = APIRouter()

_SHOWN: Final = 50
_NUMBER_MAX: Final = 2**62
_WORDS: Final = (
    "create", "revise", "approve", "vote", "start", "pause", "resume", "abort", "finish", "hold",
    "release hold", "call off", "shut out", "open wave", "order", "add release", "withdraw release", "import",
    "ask inventory", "replay", "dismiss", "sign in", "sign-in barred", "create account", "set roles",
    "set password", "disable account", "enable account", "issue token", "revoke token", "forecast left",
    "forecast kept", "storm cure",
)  # fmt: skip
"""What is done most: offered, and not all that there is."""


@router.get("/audit")
def audit(
    request: Request,
    person: Reader,
    office: TheOffice,
    before: str = "",
    campaign: str = "",
    who: str = "",
    what: str = "",
) -> Response:
    """Entries, the latest first."""
    return _page(request, person, office, before, campaign, who, what)


@router.post("/audit/verify")
def verify(
    request: Request, person: Reader, office: TheOffice, turns: TheTurns, head: Annotated[str, Form()] = ""
) -> Response:
    """Follow the whole chain; through a head that was kept somewhere else, where there is one."""
    try:
        known = parse_head(head) if head.strip() else None
    except DecodeError as cause:
        raise UsageError(f"a head that was kept reads NUMBER:DIGEST: {cause}") from cause
    try:
        with turns.reading():
            end = office.store.audit.verify(head=known)
    except VerificationError as refusal:
        return _page(request, person, office, broken=str(refusal), check=refusal.check)
    return _page(
        request, person, office, verified=str(end), entries_verified=end.id, through=known is not None
    )


@router.get("/audit/export")
def export(person: Reader, office: TheOffice, turns: TheTurns) -> Response:
    """The whole of it as JSON lines."""
    office.audit_head(person)

    def write(file: TextIO) -> None:
        # What is there is what is handed out: whoever verifies it finds the same fault.
        with suppress(VerificationError):
            office.store.audit.export(file)

    return turns.handed(person.name, "audit.jsonl", "application/jsonl", write)


def _page(
    request: Request,
    person: Person,
    office: Office,
    before: str = "",
    campaign: str = "",
    who: str = "",
    what: str = "",
    **more: Any,
) -> Response:
    campaigns = office.campaigns(person)
    last = _number(before, "before")
    found = office.audit(
        person,
        0,
        _SHOWN + 1,
        campaign=_number(campaign, "campaign"),
        who=who or None,
        what=what or None,
        before=_NUMBER_MAX if last is None else last,
    )
    none: dict[str, Any] = {
        "broken": "", "check": "", "verified": "", "entries_verified": 0, "through": False,
    }  # fmt: skip
    return render(
        request,
        "audit.html",
        entries=found[:_SHOWN],
        next=found[_SHOWN - 1].id if len(found) > _SHOWN else "",
        head=office.audit_head(person),
        asked={"campaign": campaign, "who": who, "what": what, "before": before},
        words=_WORDS,
        campaigns=[(it.id, it.name) for it in reversed(campaigns)],
        names={it.id: it.name for it in campaigns},
        **(none | more),
    )


def _number(text: str, name: str) -> int | None:
    if not text:
        return None
    if (found := whole(text)) is None:
        raise UsageError(f"{name} is a number, not {text[:40]!r}")
    return found
