"""Dead letters: messages that were believed and could not be applied, why, and what to do about them."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Form, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import LamplighterError, UsageError
from lamplighter.service.web.page import REASON_MAX, Operator, Reader, TheOffice, go, reason_of, render

router: Final = APIRouter()

_SHOWN: Final = 50
_OCTETS_SHOWN: Final = 20_000


@router.get("/letters")
def letters(request: Request, person: Reader, office: TheOffice, after: int = 0) -> Response:
    """Those that lie here, the oldest first."""
    after = max(0, min(after, 2**62))
    found = office.dead_letters(person, after, _SHOWN + 1)
    inbox = office.store.inbox
    waiting, dead = inbox.counts()
    return render(
        request,
        "letters.html",
        letters=found[:_SHOWN],
        next=found[_SHOWN - 1].letter.id if len(found) > _SHOWN else "",
        asked={"after": after or ""},
        waiting=waiting,
        dead=dead,
        refusals=inbox.refusals()[:_SHOWN],
        can_read=office.parties is not None,
        reason_max=REASON_MAX,
    )


@router.get("/letters/{number:int}")
def letter(request: Request, person: Reader, office: TheOffice, number: int) -> Response:
    """One message, decoded as far as it goes."""
    letters = office.store.inbox.letters([number])
    if not letters:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no message {number}")
    found, refusal, dead = None, "", None
    try:
        page = office.message(person, number)
        found, dead = page._replace(dead=None), page.dead  # why it is dead stands above all else
    except LamplighterError as error:  # what cannot be read is shown as it came
        refusal = str(error)
    text = letters[0].octets.decode("utf-8", "replace")
    return render(
        request,
        "letter.html",
        letter=letters[0],
        found=found,
        refusal=refusal,
        dead=dead,
        octets=text[:_OCTETS_SHOWN],
        is_cut=len(text) > _OCTETS_SHOWN,
        can_read=office.parties is not None,
    )


@router.post("/letters/replay")
def replay(
    request: Request, person: Operator, office: TheOffice, letter: Annotated[list[int] | None, Form()] = None
) -> Response:
    """Read some of them once more."""
    if not letter:
        raise UsageError("choose the letters that are to be read again")
    revived = office.replay(person, letter)
    stay = len(set(letter)) - revived
    said = f"{revived} of {len(set(letter))} wait to be applied now."
    if stay:
        said += f" {stay} could not be: the reason beside each is the new one."
    return go(request, "/letters", said)


@router.post("/letters/dismiss")
def dismiss(
    request: Request,
    person: Operator,
    office: TheOffice,
    letter: Annotated[list[int] | None, Form()] = None,
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Put some of them away for good."""
    if not letter:
        raise UsageError("choose the letters that are to be put away")
    done = office.dismiss(person, letter, reason_of(reason, needed=True))
    return go(request, "/letters", f"{done} put away; the audit says why.")
