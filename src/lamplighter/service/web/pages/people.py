"""Accounts: who may come in, and what they may do."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import UsageError
from lamplighter.service.people import PASSWORD_MIN, Role, roles_of
from lamplighter.service.web.page import Administrator, ThePeople, go, render

router: Final = APIRouter()

MEANINGS: Final = {
    Role.VIEWER: "sees everything but secrets",
    Role.OPERATOR: "releases, campaigns, dead letters",
    Role.APPROVER: "gives their word for what somebody else wrote",
    Role.ADMINISTRATOR: "accounts, tokens of others, webhooks",
}


class Given(NamedTuple):
    """What was typed for a new account, to be shown again; never its password."""

    name: str
    roles: Sequence[str]


@router.get("/people")
def show(request: Request, people: ThePeople, person: Administrator) -> Response:
    """All accounts, and the tokens of all."""
    return _page(request, people, person)


@router.post("/people")
def create(
    request: Request,
    people: ThePeople,
    person: Administrator,
    name: Annotated[str, Form()],
    password: Annotated[str, Form()] = "",
    role: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """A new account."""
    return _done(
        request,
        people,
        person,
        lambda: people.create(person, name.strip(), roles_of(role or ()), password or None),
        f"{name.strip()} has an account now.",
        Given(name, role or ()),
    )


@router.post("/people/{name}/roles")
def set_roles(
    request: Request,
    people: ThePeople,
    person: Administrator,
    name: str,
    role: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Other roles for somebody."""
    return _done(
        request,
        people,
        person,
        lambda: people.set_roles(person, name, roles_of(role or ())),
        f"The roles of {name} are changed.",
    )


@router.post("/people/{name}/password")
def set_password(
    request: Request,
    people: ThePeople,
    person: Administrator,
    name: str,
    password: Annotated[str, Form()],
) -> Response:
    """Another password for somebody who has forgotten theirs."""
    return _done(
        request,
        people,
        person,
        lambda: people.set_password(person, name, password),
        f"{name} has another password, and is signed out everywhere.",
    )


@router.post("/people/{name}/disable")
def disable(request: Request, people: ThePeople, person: Administrator, name: str) -> Response:
    """Keep somebody out."""
    return _done(request, people, person, lambda: people.disable(person, name), f"{name} is disabled.")


@router.post("/people/{name}/enable")
def enable(request: Request, people: ThePeople, person: Administrator, name: str) -> Response:
    """Let somebody in again."""
    return _done(request, people, person, lambda: people.enable(person, name), f"{name} is enabled.")


@router.post("/people/tokens/{number}/revoke")
def revoke(request: Request, people: ThePeople, person: Administrator, number: int) -> Response:
    """End anybody's token."""
    said = f"Token {number} is revoked."
    return _done(request, people, person, lambda: people.revoke(person, number), said)


def _done(
    request: Request,
    people: ThePeople,
    person: Administrator,
    act: Callable[[], object],
    said: str,
    given: Given | None = None,
) -> Response:
    """Do it, and go on; or the page again, with why it cannot be, and what was typed."""
    try:
        act()
    except UsageError as error:
        return _page(request, people, person, error, given)
    return go(request, "/people", said)


def _page(
    request: Request,
    people: ThePeople,
    person: Administrator,
    refusal: UsageError | None = None,
    given: Given | None = None,
) -> Response:
    return render(
        request,
        "people.html",
        HTTPStatus.OK if refusal is None else HTTPStatus.BAD_REQUEST,
        accounts=people.list(person),
        tokens=[it for it in people.tokens(person) if it.revoked_at is None],
        roles=MEANINGS,
        password_min=PASSWORD_MIN,
        refusal=str(refusal or ""),
        given=given,
    )
