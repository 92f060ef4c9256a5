"""Accounts, sessions, tokens, and what is counted against whoever guesses.

Secrets never lie here: of a session and of a token the digest, of a password argon2's word. What they mean,
and what a role may do, says `service.people`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from lamplighter.kit import Instant, UsageError
from lamplighter.store import audit
from lamplighter.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from lamplighter.store.database import Database

_DOUBLINGS_MAX: Final = 40  # by then any limit is reached
APPROVER: Final = "approver"
"""The role whose word counts for a campaign."""
WORDS: Final = frozenset({"approve", "administer"})
"""Scopes of a token by which whoever has it can speak for its owner, or make who does."""

# What the audit calls it, and how it says which roles and scopes: `makings` reads that again.
_CREATE, _ROLES, _PASSWORD, _TOKEN = "create account", "set roles", "set password", "issue token"
_MAKING: Final = (_CREATE, _ROLES, _PASSWORD, _TOKEN)
_HAS, _BECOME = "roles: ", " → "
_NUMBERED, _LABELLED, _FOR = "token ", ", ", ": "


def digest_of(secret: str) -> bytes:
    """What is kept of a secret that nobody can guess."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may come in."""

    id: int
    name: str
    """As it is shown, and as the audit has it."""
    roles: frozenset[str]
    """Names of roles."""
    password: str | None
    """argon2's word; None: does not sign in by password."""
    created_at: Instant
    disabled_at: Instant | None
    issuer: str | None
    """The OpenID provider that speaks for them; None: a local account."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in."""

    account: Account
    began_at: Instant
    seen_at: Instant


@dataclass(frozen=True, slots=True)
class Token:
    """What a program may do in somebody's name."""

    id: int
    account: Account
    label: str
    scopes: frozenset[str]
    """Names of scopes."""
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None
    used_at: Instant | None
    """About when it was last used; None: never."""


class Lent(NamedTuple):
    """A token that speaks for an account, issued by somebody else: they saw its secret."""

    by: str
    since: Instant
    until: Instant
    """When it was revoked, or expires."""


class Making(NamedTuple):
    """How an account came to its word, as the audit has it; each: who did it, and when."""

    created: tuple[str, Instant]
    approver: tuple[str, Instant] | None
    """Who gave it the role of approver last; None: nobody."""
    password: tuple[str, Instant] | None
    """Who else set its password last; None: nobody has since it was created.

    What is set with the account itself is no answer to it: whoever has just reset a password can sign in by
    it, and set the next one in the owner's name.
    """
    tokens: tuple[Lent, ...]

    def makers(self, name: str, at: Instant) -> set[str]:
        """Who could speak through it then, but its owner, whose name this is; as names are compared."""
        found = {it[0].casefold() for it in (self.created, self.approver, self.password) if it is not None}
        found |= {it.by.casefold() for it in self.lent(at)}
        return found - {name.casefold()}

    def lent(self, at: Instant) -> list[Lent]:
        """Those of its tokens that were good at that time."""
        return [it for it in self.tokens if it.since <= at < it.until]


class Limit(NamedTuple):
    """How failures are counted, and what they cost. Times in us."""

    free: int
    """Failures that cost nothing."""
    first: int
    """How long the next attempt waits then; twice as long after each."""
    longest: int
    """But no longer."""
    forgotten: int
    """Failures count no more when there was none for so long."""


class Login(NamedTuple):
    """A sign-in that a provider was asked about."""

    nonce: str
    verifier: str
    next: str


class People:
    """The accounts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- accounts

    def any(self) -> bool:
        """Whether there is any account: from then on only accounts may do anything."""
        with self._database.reading() as connection:
            return is_any(connection)

    def list(self) -> list[Account]:
        """All of them, by name; those that are disabled too."""
        with self._database.reading() as connection:
            return [_account(row) for row in connection.execute(select(s.person).order_by(s.person.c.key))]

    def find(self, name: str) -> Account | None:
        """One by name, however it is spelt; None: there is none."""
        with self._database.reading() as connection:
            row = connection.execute(select(s.person).where(s.person.c.key == name.casefold())).first()
        return None if row is None else _account(row)

    def makings(self, names: Collection[str]) -> dict[str, Making]:
        """How these accounts came to their word, by their names as they are compared."""
        with self._database.reading() as connection:
            return makings(connection, names)

    def of_provider(self, issuer: str, subject: str) -> Account | None:
        """Whoever the provider calls so."""
        query = select(s.person).where(s.person.c.issuer == issuer, s.person.c.subject == subject)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else _account(row)

    def create(
        self,
        name: str,
        roles: Iterable[str],
        password: str | None,
        who: str,
        now: Instant,
        provider: tuple[str, str] | None = None,
    ) -> int:
        """An account; returns its id. Raises `UsageError` where the name is taken, in whatever spelling."""
        issuer, subject = provider or (None, None)
        values = {
            "name": name, "key": name.casefold(), "roles": _words(roles), "password": password,
            "created_at": now, "issuer": issuer, "subject": subject,
        }  # fmt: skip
        try:
            with self._database.writing() as connection:
                number = connection.execute(
                    insert(s.person).values(values).returning(s.person.c.id)
                ).scalar_one()
                said = f"{_HAS}{_words(roles) or 'none'}" + (f"; by {issuer}" if issuer else "")
                audit.note(connection, now, who, _CREATE, subject=name, detail=said)
        except IntegrityError as cause:
            raise UsageError(f"there is an account {name!r} already") from cause
        return int(number)

    def set_roles(
        self, name: str, roles: Iterable[str], who: str, now: Instant, *, by_provider: bool = False
    ) -> None:
        """Other roles from now on, for sessions and tokens that there are too.

        The last administrator stays one, unless a provider takes it away, which must not be overruled.
        """
        with self._database.writing() as connection:
            row = _row(connection, name, everybody=True)
            if row.roles == _words(roles):
                return
            _change(connection, row.id, roles=_words(roles))
            if not by_provider:
                _keep_one(connection)
            said = f"{row.roles or 'none'}{_BECOME}{_words(roles) or 'none'}"
            audit.note(connection, now, who, _ROLES, subject=row.name, detail=said)

    def set_password(self, name: str, password: str, who: str, now: Instant) -> None:
        """Another password; ends all sessions."""
        with self._database.writing() as connection:
            row = _row(connection, name)
            if row.issuer is not None:
                raise UsageError(f"{row.name} signs in with {row.issuer}, which keeps the password")
            _change(connection, row.id, password=password)
            connection.execute(delete(s.session).where(s.session.c.person == row.id))
            audit.note(connection, now, who, _PASSWORD, subject=row.name)

    def rehash(self, number: int, before: str, password: str) -> None:
        """The same password, hashed with today's parameters."""
        with self._database.writing() as connection:
            connection.execute(
                update(s.person)
                .where(s.person.c.id == number, s.person.c.password == before)
                .values(password=password)
            )

    def disable(self, name: str, who: str, now: Instant) -> None:
        """Nothing more may be done in this name; ends all sessions, and the tokens are good for nothing."""
        with self._database.writing() as connection:
            row = _row(connection, name, everybody=True)
            if row.disabled_at is not None:
                return
            _change(connection, row.id, disabled_at=now)
            _keep_one(connection)
            connection.execute(delete(s.session).where(s.session.c.person == row.id))
            audit.note(connection, now, who, "disable account", subject=row.name)

    def enable(self, name: str, who: str, now: Instant) -> None:
        """Undo a `disable`; tokens that were not revoked are good again."""
        with self._database.writing() as connection:
            row = _row(connection, name)
            if row.disabled_at is not None:
                _change(connection, row.id, disabled_at=None)
                audit.note(connection, now, who, "enable account", subject=row.name)

    # --- sessions

    def begin_session(
        self, account: Account, secret: str, now: Instant, stale: tuple[int, int], how: str, at: Instant
    ) -> None:
        """Somebody is signed in; sessions are forgotten that were not used, or began, so long ago (us).

        at  when, as the audit has it
        """
        idle, age = stale
        with self._database.writing() as connection:
            connection.execute(
                delete(s.session).where(
                    or_(s.session.c.seen_at < now - idle, s.session.c.began_at < now - age)
                )
            )
            values = {"digest": digest_of(secret), "person": account.id, "began_at": now, "seen_at": now}
            connection.execute(insert(s.session).values(values))
            audit.note(connection, at, account.name, "sign in", subject=account.name, detail=how)

    def session(self, secret: str) -> Session | None:
        """Whose session it is; None: nobody's. Whether it is over, the caller knows."""
        query = (
            select(s.person, s.session.c.began_at, s.session.c.seen_at)
            .join(s.session, s.session.c.person == s.person.c.id)
            .where(s.session.c.digest == digest_of(secret))
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Session(_account(row), Instant(row.began_at), Instant(row.seen_at))

    def touch_session(self, secret: str, now: Instant) -> None:
        """It is in use."""
        with self._database.writing() as connection:
            connection.execute(
                update(s.session).where(s.session.c.digest == digest_of(secret)).values(seen_at=now)
            )

    def end_session(self, secret: str, now: Instant) -> None:
        """Sign out; of no session: nothing."""
        at = s.session.c.digest == digest_of(secret)
        with self._database.writing() as connection:
            query = select(s.person.c.name).join(s.session, s.session.c.person == s.person.c.id).where(at)
            name = connection.execute(query).scalar()
            if name is not None:
                connection.execute(delete(s.session).where(at))
                audit.note(connection, now, name, "sign out", subject=name)

    # --- tokens

    def issue(
        self,
        name: str,
        label: str,
        scopes: Iterable[str],
        secret: str,
        expires_at: Instant,
        who: str,
        now: Instant,
    ) -> int:
        """A token; returns its id."""
        with self._database.writing() as connection:
            row = _row(connection, name)
            values = {
                "person": row.id, "label": label, "digest": digest_of(secret), "scopes": _words(scopes),
                "created_at": now, "expires_at": expires_at,
            }  # fmt: skip
            number = int(
                connection.execute(insert(s.token).values(values).returning(s.token.c.id)).scalar_one()
            )
            said = f"{_NUMBERED}{number}{_LABELLED}{label}{_FOR}{_words(scopes)}"
            audit.note(connection, now, who, _TOKEN, subject=row.name, detail=said)
            return number

    def token(self, secret: str) -> Token | None:
        """What was issued with this secret; None: nothing. Whether it is over, the caller knows."""
        with self._database.reading() as connection:
            row = connection.execute(_tokens().where(s.token.c.digest == digest_of(secret))).first()
        return None if row is None else _token(row)

    def tokens(self, name: str | None = None) -> Sequence[Token]:
        """All tokens, or one person's, the latest first; those that are over too."""
        query = _tokens().order_by(s.token.c.id.desc())
        if name is not None:
            query = query.where(s.person.c.key == name.casefold())
        with self._database.reading() as connection:
            return [_token(row) for row in connection.execute(query)]

    def touch_token(self, number: int, now: Instant) -> None:
        """It is in use."""
        with self._database.writing() as connection:
            connection.execute(update(s.token).where(s.token.c.id == number).values(used_at=now))

    def revoke(self, number: int, who: str, now: Instant) -> None:
        """A token is good for nothing from now on; raises `UsageError` where there is none."""
        with self._database.writing() as connection:
            row = connection.execute(_tokens().where(s.token.c.id == s.number(number))).first()
            if row is None:
                raise UsageError(f"there is no token {number}")
            done = connection.execute(
                update(s.token)
                .where(s.token.c.id == number, s.token.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            if done.rowcount:
                said = f"token {number}, {row.label}"
                audit.note(connection, now, who, "revoke token", subject=row.name, detail=said)

    # --- who guesses

    def admit(self, limits: Mapping[str, Limit], now: Instant) -> tuple[int, bool]:
        """Count an attempt of each of these, before it is known how it ends; or say how long it waits, us.

        Counted first, so that many at one time are not all let through. Also says whether, if this one fails,
        it is the one from which on the next waits.
        """
        strikes = s.strike.c
        with self._database.writing() as connection:
            rows = {}
            for key in sorted(limits):  # in one order everywhere, or two would wait for each other
                new = self._database.insert(s.strike).values(
                    digest=digest_of(key), failures=0, last_at=now, until=0
                )
                # At one stroke: between two statements somebody might forget it (`forgive`).
                kept = new.on_conflict_do_update(index_elements=["digest"], set_={"until": strikes.until})
                rows[key] = connection.execute(kept.returning(s.strike)).one()
            wait = max(row.until for row in rows.values()) - now
            if wait > 0:
                # Whoever waits costs nothing: else anybody could fill the disk with names that they make up.
                connection.execute(
                    delete(s.strike).where(
                        strikes.digest.in_([row.digest for row in rows.values()]), strikes.failures == 0
                    )
                )
                return wait, False
            barred = False
            for key, row in rows.items():
                limit = limits[key]
                failures = 1 if row.last_at < now - limit.forgotten else row.failures + 1
                over = failures - limit.free
                until = 0 if over < 0 else now + min(limit.longest, limit.first << min(over, _DOUBLINGS_MAX))
                barred = barred or over == 0
                connection.execute(
                    update(s.strike)
                    .where(strikes.digest == row.digest)
                    .values(failures=failures, last_at=now, until=until)
                )
            return 0, barred

    def note_barred(self, name: str, now: Instant) -> None:
        """Somebody guesses: once, not for each guess, or they would fill the audit."""
        with self._database.writing() as connection:
            said = "too many failures: the next attempts wait"
            audit.note(connection, now, audit.SYSTEM, "sign-in barred", subject=name, detail=said)

    def forgive(self, whole: str, others: Iterable[str], before: Instant) -> None:
        """It was right: forget what was counted of `whole`, this attempt of the others, and what is older."""
        strikes = s.strike.c
        shared = [*others]
        with self._database.writing() as connection:
            for key in sorted((whole, *shared)):  # as `admit`
                connection.execute(
                    select(strikes.digest).where(strikes.digest == digest_of(key)).with_for_update()
                ).all()
            connection.execute(
                update(s.strike)
                .where(strikes.digest.in_([*map(digest_of, shared)]), strikes.failures > 0)
                .values(failures=strikes.failures - 1, until=0)
            )
            connection.execute(delete(s.strike).where(strikes.digest == digest_of(whole)))
            # What somebody else is at may be forgotten another time.
            old = select(strikes.digest).where(strikes.last_at < before).with_for_update(skip_locked=True)
            connection.execute(delete(s.strike).where(strikes.digest.in_(old)))

    # --- who is away at a provider

    def begin_login(self, state: str, login: Login, until: Instant, now: Instant) -> None:
        """A provider is asked; those that it did not answer in time are forgotten."""
        with self._database.writing() as connection:
            connection.execute(delete(s.login).where(s.login.c.until < now))
            connection.execute(
                insert(s.login).values(digest=digest_of(state), until=until, **login._asdict())
            )

    def end_login(self, state: str, now: Instant) -> Login | None:
        """The one sign-in that this state is of; None: there is none, or it was answered before."""
        at = s.login.c.digest == digest_of(state)
        with self._database.writing() as connection:
            row = connection.execute(delete(s.login).where(at).returning(*s.login.c)).first()
        if row is None or row.until < now:
            return None
        return Login(row.nonce, row.verifier, row.next)


# --- shared with `campaigns`


def is_any(connection: Connection) -> bool:
    """Whether there is any account."""
    return connection.execute(select(s.person.c.id).limit(1)).first() is not None


def holders(connection: Connection, role: str) -> dict[str, str]:
    """The enabled accounts with this role: name as it is compared → name."""
    query = select(s.person.c.key, s.person.c.name, s.person.c.roles).where(s.person.c.disabled_at.is_(None))
    return {row.key: row.name for row in connection.execute(query) if role in row.roles.split()}


def makings(connection: Connection, names: Collection[str]) -> dict[str, Making]:
    """Whose doing accounts are; of a name that is no account, nothing."""
    keys = {name.casefold() for name in names}
    accounts = connection.execute(select(s.person.c.name).where(s.person.c.key.in_(keys))).scalars().all()
    query = (
        select(s.audit)
        # Of no campaign, which the index knows: orders are nearly all that there is.
        .where(s.audit.c.campaign.is_(None), s.audit.c.what.in_(_MAKING), s.audit.c.subject.in_(accounts))
        .order_by(s.audit.c.id)
    )
    ends = _ends(connection, keys)
    found: dict[str, Making] = {}
    for row in connection.execute(query):
        key, did = row.subject.casefold(), (row.who, Instant(row.at))
        is_own = row.who.casefold() == key
        before = found.get(key, Making(did, None, None, ()))
        if row.what == _PASSWORD:
            found[key] = before if is_own else before._replace(password=did)
        elif row.what == _TOKEN:
            number, scopes = _issued(row.detail)
            if WORDS & scopes and not is_own:
                found[key] = before._replace(tokens=(*before.tokens, Lent(*did, ends[number])))
        elif APPROVER in _given(row.detail):
            found[key] = before._replace(approver=did)
        else:
            found[key] = before
    return found


def _given(detail: str) -> list[str]:
    """The roles that an account had after an entry of `_CREATE` or `_ROLES`."""
    return detail.removeprefix(_HAS).partition(";")[0].rpartition(_BECOME)[2].split()


def _issued(detail: str) -> tuple[int, set[str]]:
    """The number and the scopes of a token, after an entry of `_TOKEN`."""
    said, _, scopes = detail.rpartition(_FOR)
    return int(said.removeprefix(_NUMBERED).partition(_LABELLED)[0]), set(scopes.split())


def _ends(connection: Connection, keys: Collection[str]) -> dict[int, Instant]:
    """From when on the tokens of these accounts are good for nothing."""
    token = s.token.c
    query = (
        select(token.id, token.expires_at, token.revoked_at)
        .join(s.person, s.person.c.id == token.person)
        .where(s.person.c.key.in_(keys))
    )
    return {
        row.id: Instant(row.expires_at if row.revoked_at is None else min(row.expires_at, row.revoked_at))
        for row in connection.execute(query)
    }


# --- rows


def _words(words: Iterable[str]) -> str:
    return " ".join(sorted(words))


def _row(connection: Connection, name: str, *, everybody: bool = False) -> Row[Any]:
    """One account, locked; or all, so that no two administrators put each other out at one time."""
    if everybody:
        connection.execute(select(s.person.c.id).order_by(s.person.c.id).with_for_update()).all()
    row = connection.execute(
        select(s.person).where(s.person.c.key == name.casefold()).with_for_update()
    ).first()
    if row is None:
        raise UsageError(f"there is no account {name!r}")
    return row


def _change(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(update(s.person).where(s.person.c.id == number).values(**values))


def _keep_one(connection: Connection) -> None:
    """Somebody must be left who can let others in."""
    if not holders(connection, "administrator"):
        raise UsageError("this is the last administrator: make somebody else one first")


def _account(row: Any) -> Account:
    return Account(
        row.id,
        row.name,
        frozenset(row.roles.split()),
        row.password,
        Instant(row.created_at),
        None if row.disabled_at is None else Instant(row.disabled_at),
        row.issuer,
    )


def _tokens() -> Any:
    token = s.token.c
    return select(
        s.person,
        token.id.label("token"), token.label, token.scopes, token.created_at.label("issued_at"),
        token.expires_at, token.revoked_at, token.used_at,
    ).join(s.token, token.person == s.person.c.id)  # fmt: skip


def _token(row: Any) -> Token:
    return Token(
        row.token,
        _account(row),
        row.label,
        frozenset(row.scopes.split()),
        Instant(row.issued_at),
        Instant(row.expires_at),
        None if row.revoked_at is None else Instant(row.revoked_at),
        None if row.used_at is None else Instant(row.used_at),
    )
