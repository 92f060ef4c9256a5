"""Accounts and tokens: who may come in, and what programs may do in whose name.

A token makes no other one and ends none, but an administrator's does: whoever finds a token could else live
on by another when it is revoked, or stop what its owner has at work. People make and end their own tokens on
the web, or on the command line.
"""

from typing import Annotated, Final, Literal, get_args

from fastapi import Path, Query
from pydantic import Field, StringConstraints
from starlette.responses import Response

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, to_iso
from lamplighter.service.people import (
    LABEL_MAX,
    PASSWORD_MAX,
    PASSWORD_MIN,
    TOKEN_AGE_MAX,
    People,
    Person,
    Role,
    Scope,
    roles_of,
    scopes_of,
)
from lamplighter.service.web.api import cursors
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import (
    PRINTABLE,
    WHOLE,
    Administrator,
    Cursor,
    Given,
    Id,
    Limit,
    Moment,
    Page,
    Reader,
    TheAct,
    TheOffice,
    ThePeople,
    Told,
    moment,
    page,
    routes_of,
)
from lamplighter.store.people import Account as StoreAccount
from lamplighter.store.people import Token as StoreToken

router: Final = routes_of("people")

_NAME: Final = "^[A-Za-z0-9]([A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?$"
Name = Annotated[str, Path(pattern=_NAME, description="The account's name.")]
RoleWord = Literal["viewer", "operator", "approver", "administrator"]
ScopeWord = Literal["read", "operate", "approve", "administer"]
Password = Annotated[
    str,
    StringConstraints(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX),
    Field(json_schema_extra={"format": "password"}),
]


class Me(Told):
    """Whose token it is, and what it is good for."""

    name: str
    roles: list[RoleWord]
    scopes: list[ScopeWord]


class Account(Told):
    """Somebody who may come in."""

    name: str
    roles: list[RoleWord]
    created_at: Moment
    disabled_at: Moment | None
    has_password: bool
    issuer: str | None = Field(description="The OpenID provider that speaks for them; null: a local account.")


class NewAccount(Given):
    """Somebody who is to come in."""

    name: Annotated[str, StringConstraints(pattern=_NAME)]
    roles: list[RoleWord] = Field(min_length=1, max_length=4)
    password: Password | None = Field(None, description="null: they sign in by tokens only.")


class Roles(Given):
    """What they are from now on."""

    roles: list[RoleWord] = Field(max_length=4)


class NewPassword(Given):
    """Another password."""

    password: Password


class Token(Told):
    """What a program may do in somebody's name."""

    id: int
    account: str
    label: str
    scopes: list[ScopeWord]
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None
    used_at: Moment | None = Field(description="About when it was last used.")


class NewToken(Given):
    """What a program is to do."""

    account: Annotated[str, StringConstraints(pattern=_NAME)]
    label: Annotated[str, StringConstraints(min_length=1, max_length=LABEL_MAX, pattern=PRINTABLE)]
    scopes: list[ScopeWord] = Field(min_length=1, max_length=4)
    days: Annotated[int, Field(ge=1, le=TOKEN_AGE_MAX // DAY, description="How long it is good."), WHOLE]


class IssuedToken(Told):
    """A token, and its secret: this once."""

    id: int
    secret: str | None = Field(description="Shown once; null where this was answered before.")


@router.get("/me")
def me(person: Reader) -> Me:
    """Whose token this is, and what it is good for."""
    return Me(
        name=person.name,
        roles=[role.value for role in Role if role in person.roles],
        scopes=[scope.value for scope in Scope if scope in person.scopes],
    )


@router.get("/accounts")
def list_accounts(
    person: Administrator, people: ThePeople, limit: Limit = 100, cursor: Cursor = None
) -> Page[Account]:
    """All accounts, by name."""
    after = cursors.decode("accounts", {}, cursor, int) or 0
    found = sorted((it for it in people.list(person) if it.id > after), key=lambda it: it.id)
    items, more = page("accounts", {}, found[: limit + 1], limit, lambda at: found[at].id)
    return Page[Account](items=[_account(it) for it in items], next=more)


@router.post("/accounts", status_code=201)
def create_account(given: NewAccount, person: Administrator, people: ThePeople) -> Account:
    """Let somebody in."""
    people.create(person, given.name, roles_of(given.roles), given.password)
    return _account(_known(people, person, given.name))


@router.put("/accounts/{name}/roles")
def set_roles(name: Name, given: Roles, person: Administrator, people: ThePeople) -> Account:
    """What somebody may do from now on."""
    _known(people, person, name)
    people.set_roles(person, name, roles_of(given.roles))
    return _account(_known(people, person, name))


@router.put(
    "/accounts/{name}/password",
    status_code=204,
)
def set_password(name: Name, given: NewPassword, person: Administrator, people: ThePeople) -> None:
    """Another password, which ends all sessions of that name."""
    _known(people, person, name)
    people.set_password(person, name, given.password)


@router.post("/accounts/{name}/disable")
def disable_account(name: Name, person: Administrator, people: ThePeople) -> Account:
    """Keep somebody out."""
    _known(people, person, name)
    people.disable(person, name)
    return _account(_known(people, person, name))


@router.post("/accounts/{name}/enable")
def enable_account(name: Name, person: Administrator, people: ThePeople) -> Account:
    """Let somebody in again."""
    _known(people, person, name)
    people.enable(person, name)
    return _account(_known(people, person, name))


@router.get("/tokens")
def list_tokens(
    person: Reader,
    people: ThePeople,
    account: Annotated[
        str | None, Query(pattern=_NAME, description="Whose; none: one's own. Of others: for administrators.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Token]:
    """One's own tokens, or somebody's; the latest first."""
    filters = {"account": account}
    before = cursors.decode("tokens", filters, cursor, int)
    whose = person.name if account is None else account
    found = sorted(
        (it for it in people.tokens(person, whose) if before is None or it.id < before),
        key=lambda it: -it.id,
    )
    items, more = page("tokens", filters, found[: limit + 1], limit, lambda at: found[at].id)
    return Page[Token](items=[_token(it) for it in items], next=more)


@router.post(
    "/tokens",
    status_code=201,
    response_model=IssuedToken,
)
def issue_token(
    given: NewToken, person: Administrator, people: ThePeople, office: TheOffice, act: TheAct
) -> Response:
    """A token for somebody's program; the answer alone has its secret."""

    def do() -> IssuedToken:
        _known(people, person, given.account)
        expires = Instant(office.clock() + given.days * DAY)
        number, secret = people.issue_token(
            person, given.label, scopes_of(given.scopes), expires, given.account
        )
        return IssuedToken(id=number, secret=secret)

    # An answer that is kept lies in the database, where no secret may be.
    return act.act(person, do, 201, kept=lambda it: it.model_copy(update={"secret": None}))


@router.delete("/tokens/{number}", status_code=204)
def revoke_token(number: Id, person: Administrator, people: ThePeople) -> None:
    """Let a token be good for nothing from now on, whosever it is."""
    if not any(it.id == number for it in people.tokens(person)):
        raise ProblemError(Kind.NOT_FOUND, f"There is no token {number}.")
    people.revoke(person, number)


def _known(people: People, person: Person, name: str) -> StoreAccount:
    for it in people.list(person):
        if it.name.casefold() == name.casefold():
            return it
    raise ProblemError(Kind.NOT_FOUND, f"There is no account {name}.")


def _account(it: StoreAccount) -> Account:
    return Account(
        name=it.name,
        roles=[word for word in get_args(RoleWord) if word in it.roles],
        created_at=to_iso(it.created_at),
        disabled_at=moment(it.disabled_at),
        has_password=it.password is not None,
        issuer=it.issuer,
    )


def _token(it: StoreToken) -> Token:
    return Token(
        id=it.id,
        account=it.account.name,
        label=it.label,
        scopes=[word for word in get_args(ScopeWord) if word in it.scopes],
        created_at=to_iso(it.created_at),
        expires_at=to_iso(it.expires_at),
        revoked_at=moment(it.revoked_at),
        used_at=moment(it.used_at),
    )
