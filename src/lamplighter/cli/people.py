"""`lamplighter people`: accounts, their roles and passwords, and API tokens."""

import getpass
import sys
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import output
from lamplighter.cli.arguments import DATABASE, Database, Duration, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, opened, person
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, to_iso
from lamplighter.service.people import People, roles_of, scopes_of
from lamplighter.store.people import Account, Token

app: Final = App(name="people", help="Accounts, roles, passwords, API tokens.", help_format="markdown")
tokens: Final = App(name="token", help="What programs may do in somebody's name.", help_format="markdown")
app.command(tokens)

_TOKEN_AGE: Final = 90 * DAY

Name = Annotated[str, Parameter(help="The account's name.")]
Roles = Annotated[
    list[Literal["viewer", "operator", "approver", "administrator"]],
    Parameter(name="--role", negative="", help="What they are; may be repeated. Each is a viewer too."),
]
Scopes = Annotated[
    list[Literal["read", "operate", "approve", "administer"]],
    Parameter(name="--scope", negative="", help="What it is good for; may be repeated."),
]
Stdin = Annotated[
    bool,
    Parameter(
        negative="",
        show_default=False,
        help="Read the password from stdin, its first line; else it is asked for.",
    ),
]


@app.command(name="list")
def list_(*, by: Who = "", database: Database = DATABASE) -> Report:
    """All accounts, those that are disabled too."""
    with opened(database) as store:
        accounts = People(store, now).list(person(store, by))
    table = output.grid("name", "roles", "signs in", "since", "disabled")
    for it in accounts:
        facts = _facts(it)
        since, disabled = facts["created"][:10], (facts["disabled"] or "")[:10]
        table.add_row(it.name, " ".join(facts["roles"]), facts["signs_in"], since, disabled)
    none = Text(
        "there is no account: whoever has the database may do all; `people add` makes the first", "dim"
    )
    page = output.page("people", f"{len(accounts)}", table if accounts else none)
    return Report([_facts(it) for it in accounts], page)


@app.command
def add(
    name: Name,
    /,
    *,
    role: Roles,
    no_password: Annotated[
        bool, Parameter(negative="", show_default=False, help="It cannot sign in, and can have tokens.")
    ] = False,
    stdin: Stdin = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Make an account. The first one must be an administrator's; from then on only accounts do anything."""
    with opened(database, make=True) as store:
        me = person(store, by)
        password = None if no_password else _password(name, stdin=stdin)
        People(store, now).create(me, name, roles_of(role), password)
        return _said(store.people.find(name), "made")


@app.command
def password(name: Name, /, *, stdin: Stdin = False, by: Who = "", database: Database = DATABASE) -> Report:
    """Give an account another password; ends its sessions."""
    with opened(database) as store:
        me = person(store, by)
        People(store, now).set_password(me, name, _password(name, stdin=stdin))
        return _said(store.people.find(name), "has another password")


@app.command
def roles(name: Name, /, *, role: Roles, by: Who = "", database: Database = DATABASE) -> Report:
    """Give an account other roles, at once."""
    with opened(database) as store:
        People(store, now).set_roles(person(store, by), name, roles_of(role))
        return _said(store.people.find(name), "has other roles")


@app.command
def disable(name: Name, /, *, by: Who = "", database: Database = DATABASE) -> Report:
    """Keep somebody out: sessions end, tokens are good for nothing, approvals of drafts count no more."""
    with opened(database) as store:
        People(store, now).disable(person(store, by), name)
        return _said(store.people.find(name), "is disabled")


@app.command
def enable(name: Name, /, *, by: Who = "", database: Database = DATABASE) -> Report:
    """Let somebody in again."""
    with opened(database) as store:
        People(store, now).enable(person(store, by), name)
        return _said(store.people.find(name), "is enabled")


@tokens.command
def issue(
    name: Name,
    /,
    *,
    label: Annotated[str, Parameter(help="What it is for.")],
    scope: Scopes,
    expires_in: Annotated[Duration, Parameter(help="How long it is good.")] = _TOKEN_AGE,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Issue a token; its secret, the last line of the output, is printed now and never again."""
    with opened(database) as store:
        me = person(store, by)
        until = Instant(now() + expires_in)
        number, secret = People(store, now).issue_token(me, label, scopes_of(scope), until, name)
    facts = {"id": number, "name": name, "label": label, "scopes": sorted(scope), "expires": to_iso(until)}
    said = f"token {number} of {name}, good until {to_iso(until)[:10]}"
    return Report(facts | {"secret": secret}, output.stacked(Text(said), output.Uncut(Text(secret))))


@tokens.command(name="list")
def list_tokens(
    name: Annotated[str | None, Parameter(help="Whose; default: everybody's.")] = None,
    /,
    *,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """All tokens, the latest first; those that are over too."""
    with opened(database) as store:
        found = People(store, now).tokens(person(store, by), name)
        at = now()
    table = output.grid("id", "name", "label", "scopes", "issued", "expires", "last used", "", right=("id",))
    for it in found:
        facts = _token_facts(it, at)
        moments = ((facts[key] or "")[:16].replace("T", " ") for key in ("issued", "expires", "used"))
        table.add_row(str(it.id), it.account.name, it.label, " ".join(facts["scopes"]), *moments, facts["is"])
    none = Text("no token was issued", "dim")
    page = output.page("tokens", f"{len(found)}", table if found else none)
    return Report([_token_facts(it, at) for it in found], page)


@tokens.command
def revoke(
    number: Annotated[int, Parameter(help="Its id, as `people token list` shows it.")],
    /,
    *,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Make a token good for nothing, at once."""
    with opened(database) as store:
        People(store, now).revoke(person(store, by), number)
    return Report({"id": number, "revoked": True}, Text(f"token {number} is good for nothing any more"))


def _password(name: str, *, stdin: bool) -> str:
    """Never an option: the list of processes and the shell's history would have it."""
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password: --stdin reads it from there")
    first = getpass.getpass(f"password of {name}: ")
    if getpass.getpass("once more: ") != first:
        raise UsageError("the two are not the same")
    return first


def _said(account: Account | None, deed: str) -> Report:
    assert account is not None
    facts = _facts(account)
    return Report(facts, Text(f"{account.name} {deed}: {', '.join(facts['roles']) or 'no role'}"))


def _facts(it: Account) -> dict[str, Any]:
    how = f"by {it.issuer}" if it.issuer else "by password" if it.password else "not"
    return {
        "name": it.name,
        "roles": sorted(it.roles),
        "signs_in": how,
        "created": to_iso(it.created_at),
        "disabled": None if it.disabled_at is None else to_iso(it.disabled_at),
    }


def _token_facts(it: Token, at: Instant) -> dict[str, Any]:
    over = "revoked" if it.revoked_at else "expired" if it.expires_at <= at else "good"
    return {
        "id": it.id,
        "name": it.account.name,
        "label": it.label,
        "scopes": sorted(it.scopes),
        "issued": to_iso(it.created_at),
        "expires": to_iso(it.expires_at),
        "used": None if it.used_at is None else to_iso(it.used_at),
        "is": "disabled" if it.account.disabled_at else over,
    }
