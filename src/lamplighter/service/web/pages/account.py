"""One's own account: roles, password, API tokens."""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.service.people import PASSWORD_MIN, Scope, UnauthenticatedError, scopes_of
from lamplighter.service.web.page import Reader, ThePeople, go, render

router: Final = APIRouter()

_DAYS: Final = (7, 30, 90, 365)


class Given(NamedTuple):
    """What was typed for a new token, to be shown again."""

    label: str
    days: int
    scopes: Sequence[str]


_NOTHING_GIVEN: Final = Given("", 90, (Scope.READ.value,))


@router.get("/account")
def show(request: Request, people: ThePeople, person: Reader) -> Response:
    """What one may do, and the tokens that may do it in one's name."""
    return _page(request, people, person)


@router.post("/account/password")
def set_password(
    request: Request,
    people: ThePeople,
    person: Reader,
    old: Annotated[str, Form()],
    new: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Another password, which ends all sessions, this one too."""
    if new != again:
        return _page(request, people, person, refusal="The two new passwords are not the same.")
    try:
        people.set_password(person, person.name, new, old)
    except (UnauthenticatedError, UsageError) as error:
        return _page(request, people, person, refusal=_sentence(error))
    return go(request, "/login", "Your password is changed: sign in with it.")


@router.post("/account/tokens")
def issue(
    request: Request,
    people: ThePeople,
    person: Reader,
    label: Annotated[str, Form()],
    days: Annotated[int, Form()],
    scope: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """A token; its secret stands on this one page and nowhere else."""
    expires = Instant(request.app.state.office.clock() + days * DAY)
    try:
        _, secret = people.issue_token(person, label.strip(), scopes_of(scope or ()), expires)
    except UsageError as error:
        given = Given(label, days, scope or ())
        return _page(request, people, person, refusal=_sentence(error), given=given)
    return _page(request, people, person, secret=secret)


@router.post("/account/tokens/{number}/revoke")
def revoke(request: Request, people: ThePeople, person: Reader, number: int) -> Response:
    """End a token of one's own."""
    people.revoke(person, number)
    return go(request, "/account", f"Token {number} is revoked.")


def _page(
    request: Request,
    people: ThePeople,
    person: Reader,
    *,
    secret: str = "",
    refusal: str = "",
    given: Given = _NOTHING_GIVEN,
) -> Response:
    return render(
        request,
        "account.html",
        400 if refusal else 200,
        tokens=people.tokens(person, person.name),
        scopes=[scope for scope in Scope if person.may(scope)],
        days=_DAYS,
        secret=secret,
        refusal=refusal,
        given=given,
        password_min=PASSWORD_MIN,
    )


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
