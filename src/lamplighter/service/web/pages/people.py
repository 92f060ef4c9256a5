"""Accounts: who may come in, and what they may do."""

from collections.abc import Sequence
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
    try:
        people.create(person, name.strip(), roles_of(role or ()), password or None)
    except UsageError as error:
        return _page(request, people, person, error, Given(name, role or ()))
    return go(request, "/people", f"{name.strip()} has an account now.")


@router.post("/people/{name}/roles")
def set_roles(
    request: Request,
    people: ThePeople,
    person: Administrator,
    name: str,
    role: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Other roles for somebody."""
    try:
        people.set_roles(person, name, roles_of(role or ()))
    except UsageError as error:
        return _page(request, people, person, error)
    return go(request, "/people", f"The roles of {name} are changed.")


@router.post("/people/{name}/password")
def set_password(
    request: Request,
    people: ThePeople,
    person: Administrator,
    name: str,
    password: Annotated[str, Form()],
) -> Response:
    """Another password for somebody who has forgotten theirs."""
    try:
        people.set_password(person, name, password)
    except UsageError as error:
        return _page(request, people, person, error)
    return go(request, "/people", f"{name} has another password, and is signed out everywhere.")


@router.post("/people/{name}/disable")
def disable(request: Request, people: ThePeople, person: Administrator, name: str) -> Response:
    """Keep somebody out."""
    try:
        people.disable(person, name)
    except UsageError as error:
        return _page(request, people, person, error)
    return go(request, "/people", f"{name} is disabled.")


@router.post("/people/{name}/enable")
def enable(request: Request, people: ThePeople, person: Administrator, name: str) -> Response:
    """Let somebody in again."""
    people.enable(person, name)
    return go(request, "/people", f"{name} is enabled.")


@router.post("/people/tokens/{number}/revoke")
def revoke(request: Request, people: ThePeople, person: Administrator, number: int) -> Response:
    """End anybody's token."""
    people.revoke(person, number)
    return go(request, "/people", f"Token {number} is revoked.")


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
