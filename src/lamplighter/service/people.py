"""Who may do what: roles, accounts with passwords, sessions, tokens.

A person has roles, and what they do asks for a scope. A token carries scopes of its own, and is good for
those that its person has too, at the moment of use. Whoever signs in gets a new session, and loses it by
idling, by its age, by another password, by being disabled. Nobody learns from an answer, or from how long it
takes, whether there is an account of a name; and whoever guesses waits, longer each time.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import argon2

from lamplighter.kit import Instant, LamplighterError, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.service.clock import wall_clock
from lamplighter.store.audit import SYSTEM
from lamplighter.store.campaigns import POLICY
from lamplighter.store.people import WORDS, Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lamplighter.store import Store
    from lamplighter.store.people import Account, Token


class UnauthenticatedError(LamplighterError):
    """Nobody knows who this is: the name, the password, the session or the token is good for nothing."""


class ForbiddenError(LamplighterError):
    """It is known who this is, and they may not do it."""


class Scope(Enum):
    """What an act asks for; tokens carry some."""

    READ = "read"
    """See everything but secrets."""
    OPERATE = "operate"
    """Write plans, start, pause, resume, abort, release holds; releases, imports, dead letters."""
    APPROVE = "approve"
    """Give one's word, or one's vote, for what somebody else wrote."""
    ADMINISTER = "administer"
    """Accounts, tokens of others, webhooks."""


class Role(Enum):
    """What a person is; each is a viewer too."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMINISTRATOR = "administrator"

    @property
    def scopes(self) -> frozenset[Scope]:
        """What it may do."""
        return _SCOPES[self]


_SCOPES: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.OPERATE}),
    Role.APPROVER: frozenset({Scope.READ, Scope.APPROVE}),
    Role.ADMINISTRATOR: frozenset({Scope.READ, Scope.ADMINISTER}),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does something, now."""

    name: str
    """As the audit has it."""
    roles: frozenset[Role]
    """Theirs."""
    scopes: frozenset[Scope]
    """What they may do here and now: by their roles, and by their token where they came with one."""
    until: Instant | None = None
    """When the token ends that they came with; None: they came without."""

    @classmethod
    def of(
        cls,
        name: str,
        roles: Iterable[Role],
        only: Iterable[Scope] | None = None,
        until: Instant | None = None,
    ) -> Person:
        """With all scopes of these roles, or with only some of them."""
        mine = frozenset(roles)
        scopes = frozenset(scope for role in mine for scope in role.scopes)
        return cls(name, mine, scopes if only is None else scopes & frozenset(only), until)

    @property
    def is_program(self) -> bool:
        """Whether it is a program that came in their name, with a token."""
        return self.until is not None

    def may(self, scope: Scope) -> bool:
        """Whether they may do what asks for this."""
        return scope in self.scopes

    def is_themselves(self, name: str) -> bool:
        """Whether that is their own account, and they came in person: no token has a say in its owner's."""
        return not self.is_program and self.name.casefold() == name.casefold()

    def require(self, scope: Scope) -> None:
        """Raise `ForbiddenError` where they may not."""
        if scope not in self.scopes:
            by_role = any(scope in role.scopes for role in self.roles)
            roles = ", ".join(sorted(role.value for role in Role if scope in role.scopes))
            why = "is no scope of this token" if by_role else f"asks for the role of {roles}"
            raise ForbiddenError(f"{self.name} may not do that: to {scope.value} {why}")


ATTEMPTS: Final[Mapping[str, Limit]] = {
    # Whoever tries passwords for one name from one place.
    "name and address": Limit(5, 10 * SECOND, 15 * MINUTE, DAY),
    # From many places: later, and never for long, or anybody could lock out anybody.
    "name": Limit(50, 10 * SECOND, MINUTE, DAY),
    # One place that tries many names; an office may stand behind one address.
    "address": Limit(50, 10 * SECOND, 15 * MINUTE, HOUR),
}

PASSWORD_MIN, PASSWORD_MAX = (
    12,
    256,
)  # characters; NIST SP 800-63B asks for 8 at least, and for 64 to be possible
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?", re.ASCII)
"""What an account may be called: nothing that looks like another one."""
LABEL_MAX: Final = 64
SESSION_IDLE: Final = 2 * HOUR
SESSION_AGE: Final = 12 * HOUR
"""Sessions end when they were not used for so long, and in any case after so long, us."""
TOKEN_AGE_MAX: Final = 366 * DAY
TOKEN_PREFIX: Final = "lamp_"  # noqa: S105 # so that scanners of repositories know one when they see it

_NOT_ACCOUNTS: Final = frozenset({SYSTEM, POLICY})
_MARKS_MIN: Final = 5  # different characters of a password
_TOUCH: Final = 5 * MINUTE  # how exactly it is known when a session or a token was last used
_HASHERS: Final = threading.BoundedSemaphore(2)  # each takes 64 MiB, for 50 ms
_AT_HOME: Final = "signed in"  # where a failure comes from that a session's owner makes
_WRONG: Final = "the name or the password is wrong"


class People:
    """Everybody who may come in, and how.

    clock  what time it is, on all that is written and shown
    wall   what time it is for whoever sits there: sessions end by it, and waits; None: the same. In a
           rehearsal the two differ, and nobody is to be signed out thirty times as fast.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], Instant] = wall_clock,
        wall: Callable[[], Instant] | None = None,
    ) -> None:
        self._store = store.people
        self._clock = clock
        self._wall = wall or clock
        self._hasher = argon2.PasswordHasher()  # RFC 9106's second choice: 64 MiB, 3 passes

    # --- accounts

    def any(self) -> bool:
        """Whether there are accounts: then only they may do anything, on the command line too."""
        return self._store.any()

    def list(self, person: Person) -> list[Account]:
        """All accounts, for whoever may see things, or administers them."""
        if not person.may(Scope.ADMINISTER):
            person.require(Scope.READ)
        return self._store.list()

    def create(self, person: Person, name: str, roles: Iterable[Role], password: str | None = None) -> None:
        """An account; without a password it cannot sign in, and can have tokens."""
        person.require(Scope.ADMINISTER)
        _check_name(name)
        roles = frozenset(roles)
        hashed = None if password is None else self._hashed(name, password)
        if not self._store.any() and Role.ADMINISTRATOR not in roles:
            raise UsageError("the first account must be an administrator's: somebody has to make the others")
        self._store.create(name, _words(roles), hashed, person.name, self._clock())

    def set_password(self, person: Person, name: str, password: str, old: str | None = None) -> None:
        """Another password, which ends all sessions: one's own, with the old one, or as administrator any."""
        account = self._known(name)
        if person.is_themselves(name) and not (old is None and person.may(Scope.ADMINISTER)):
            self._prove(account.name, old or "", _AT_HOME, "the old password is wrong")
        else:
            person.require(Scope.ADMINISTER)
        self._store.set_password(name, self._hashed(account.name, password), person.name, self._clock())

    def set_roles(self, person: Person, name: str, roles: Iterable[Role]) -> None:
        """Other roles, at once."""
        person.require(Scope.ADMINISTER)
        self._store.set_roles(name, _words(roles), person.name, self._clock())

    def disable(self, person: Person, name: str) -> None:
        """Keep somebody out: sessions end, tokens are good for nothing, approvals count no more."""
        person.require(Scope.ADMINISTER)
        self._store.disable(name, person.name, self._clock())

    def enable(self, person: Person, name: str) -> None:
        """Let somebody in again."""
        person.require(Scope.ADMINISTER)
        self._store.enable(name, person.name, self._clock())

    # --- sessions

    def sign_in(self, name: str, password: str, address: str = "") -> str:
        """A new session, never one that was there before: what its cookie holds.

        address  where they come from, as far as is known

        Raises `UnauthenticatedError`: the same, after the same time, for a name that does not exist.
        """
        account = self._prove(name, password, address, _WRONG)
        return self._begin(account, f"by password{f' from {address}' if address else ''}")

    def arrive(self, issuer: str, subject: str, name: str, roles: Iterable[Role]) -> str:
        """A new session for whom an OpenID provider vouched; the account is made, or its roles are renewed.

        Raises `UnauthenticatedError` for whom it gives no role, or who is disabled here, and `UsageError`
        where the name is another account's.
        """
        now = self._clock()
        roles = frozenset(roles)
        account = self._store.of_provider(issuer, subject)
        if account is None:
            if not roles:
                raise UnauthenticatedError(f"{issuer} gives {name!r} no role here")
            _check_name(name)
            self._store.create(name, _words(roles), None, SYSTEM, now, (issuer, subject))
        elif account.disabled_at is not None:
            raise UnauthenticatedError(f"{account.name} is disabled here")
        else:
            self._store.set_roles(account.name, _words(roles), SYSTEM, now, by_provider=True)
        if not roles:
            raise UnauthenticatedError(f"{issuer} gives {name!r} no role here any more")
        account = self._store.of_provider(issuer, subject)
        assert account is not None
        return self._begin(account, f"by {issuer}")

    def of_session(self, token: str) -> tuple[Person, str] | None:
        """Whose session it is, and the token that its forms must bear against forgery; None: nobody's."""
        session = self._store.session(token)
        now = self._wall()
        if session is None or session.account.disabled_at is not None:
            return None
        if now >= session.seen_at + SESSION_IDLE or now >= session.began_at + SESSION_AGE:
            return None
        if now >= session.seen_at + _TOUCH:
            self._store.touch_session(token, now)
        csrf = hmac.new(token.encode("utf-8", "replace"), b"csrf", "sha256").hexdigest()
        return _person(session.account), csrf

    def sign_out(self, token: str) -> None:
        """End a session."""
        self._store.end_session(token, self._clock())

    # --- tokens

    def issue_token(
        self, person: Person, label: str, scopes: Iterable[Scope], expires: Instant, name: str | None = None
    ) -> tuple[int, str]:
        """A token of one's own, or as administrator of somebody; its id, and the secret, which is shown once.

        Its scopes are among those of whom it is for, and of whoever issues it where that is the same person:
        a token makes no wider one, and none that outlives it. To make one at all it needs to administer:
        whoever finds a token could else live on by another when it is revoked. For somebody else nobody makes
        one that approves or administers: whoever issues it sees its secret, and could be two people by it.
        """
        now = self._clock()
        wanted = frozenset(scopes)
        mine = name is None or name.casefold() == person.name.casefold()
        if mine:
            for scope in sorted(wanted, key=lambda it: it.value):
                person.require(scope)
        if not mine or person.is_program:
            person.require(Scope.ADMINISTER)
        account = self._known(person.name if name is None else name)
        if extra := wanted - _person(account).scopes:
            raise UsageError(f"{account.name} may not {', '.join(sorted(it.value for it in extra))}")
        if not mine and (theirs := sorted(WORDS & {it.value for it in wanted})):
            raise ForbiddenError(
                f"{person.name} may not do that: a token to {' or '.join(theirs)} as {account.name} nobody "
                f"issues but {account.name}"
            )
        if not wanted:
            raise UsageError("a token without any scope is good for nothing")
        if not 0 < len(label) <= LABEL_MAX or not label.isprintable():
            raise UsageError(f"a token's label has 1 to {LABEL_MAX} printable characters")
        if mine and person.until is not None and expires > person.until:
            raise ForbiddenError(f"{person.name} came with a token: one that it makes ends no later")
        if not now < expires <= now + TOKEN_AGE_MAX:
            raise UsageError(f"a token ends within {TOKEN_AGE_MAX // DAY} days")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        words = [scope.value for scope in wanted]
        return self._store.issue(account.name, label, words, secret, expires, person.name, now), secret

    def of_token(self, secret: str) -> Person | None:
        """Who comes with it, and what they may do with it; None: it is good for nothing."""
        if not secret.startswith(TOKEN_PREFIX) or len(secret) > 100:
            return None
        token = self._store.token(secret)
        now = self._clock()
        if token is None or token.revoked_at is not None or token.account.disabled_at is not None:
            return None
        if not token.created_at <= now < token.expires_at:
            return None
        if token.used_at is None or now >= token.used_at + _TOUCH:
            self._store.touch_token(token.id, now)
        return _person(token.account, map(Scope, token.scopes), token.expires_at)

    def tokens(self, person: Person, name: str | None = None) -> Sequence[Token]:
        """One's own tokens; as administrator those of `name`, or of all."""
        mine = name is not None and name.casefold() == person.name.casefold()
        person.require(Scope.READ if mine else Scope.ADMINISTER)
        return self._store.tokens(name)

    def revoke(self, person: Person, number: int) -> None:
        """End a token of one's own, or as administrator any; a token ends others only if it administers."""
        if person.is_program or not any(it.id == number for it in self._store.tokens(person.name)):
            person.require(Scope.ADMINISTER)
        self._store.revoke(number, person.name, self._clock())

    # --- the command line

    def local(self, name: str) -> Person:
        """Whoever works on the database itself: may do all while there are no accounts, then what theirs may.

        Who it is, the operating system says, or they do: whoever can write to the database is believed.
        Raises `ForbiddenError` for a name that is no account, where there are any.
        """
        account = self._find(name)
        if account is not None and account.disabled_at is None:
            return _person(account)
        if self._store.any():
            raise ForbiddenError(
                f"{name!r} has no account here{', or a disabled one' if account else ''}: "
                "say in whose name, with --by, or LAMPLIGHTER_TOKEN"
            )
        return Person.of(name, Role)

    # --- inside

    def _begin(self, account: Account, how: str) -> str:
        secret = secrets.token_urlsafe(32)
        idle_and_age = (SESSION_IDLE, SESSION_AGE)
        self._store.begin_session(account, secret, self._wall(), idle_and_age, how, self._clock())
        return secret

    def _prove(self, name: str, password: str, address: str, wrong: str) -> Account:
        """The account whose password it is; else `UnauthenticatedError`, and the failure is counted."""
        now = self._wall()
        counted = _counted(name, address)
        wait, barred = self._store.admit({key: ATTEMPTS[kind] for kind, key in counted.items()}, now)
        if wait:
            raise UnauthenticatedError(f"too many failures: try again in {-(-wait // SECOND)} seconds")
        account = self._find(name)
        if account is None or not self._matches(account, password):
            if account is None:
                self._matches(None, password)  # takes as long
            if barred:
                self._store.note_barred(name if account else "an unknown name", self._clock())
            raise UnauthenticatedError(wrong)
        self._store.forgive(counted.pop("name and address"), counted.values(), Instant(now - DAY))
        return account

    def _known(self, name: str) -> Account:
        account = self._find(name)
        if account is None:
            raise UsageError(f"there is no account {name[:80]!r}")
        return account

    def _find(self, name: str) -> Account | None:
        """An account; a name that no account can have is not even looked for."""
        return self._store.find(name) if NAME.fullmatch(name) else None

    @cached_property
    def _nobody(self) -> str:
        """The hash that is compared where there is no account: it costs the same."""
        return self._hasher.hash(secrets.token_urlsafe(16))

    def _hashed(self, name: str, password: str) -> str:
        text = _normal(password)
        if not PASSWORD_MIN <= len(text) <= PASSWORD_MAX:
            raise UsageError(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")
        named = name.casefold() in text.casefold() and len(text) < len(name) + PASSWORD_MIN
        if named or len(set(text)) < _MARKS_MIN:
            raise UsageError("that password is the first one to be guessed: take another")
        with _HASHERS:
            return self._hasher.hash(_octets(text))

    def _matches(self, account: Account | None, password: str) -> bool:
        """Whether it is their password; takes as long where there is no such account, or it has none."""
        text = _normal(password[: PASSWORD_MAX + 1])
        kept = None if account is None or account.disabled_at is not None else account.password
        nobody = self._nobody
        try:
            with _HASHERS:
                self._hasher.verify(nobody if kept is None else kept, _octets(text))
        except argon2.exceptions.VerificationError:
            return False
        if kept is None:  # pragma: no cover # nobody guesses 16 octets
            return False
        assert account is not None
        if self._hasher.check_needs_rehash(kept):
            self._store.rehash(account.id, kept, self._hashed(account.name, password))
        return True


def roles_of(words: Iterable[str]) -> frozenset[Role]:
    """Roles by their names; raises `UsageError` for a word that is none."""
    known = {role.value: role for role in Role}
    names = list(words)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no role {unknown[0]!r}; there are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def scopes_of(words: Iterable[str]) -> frozenset[Scope]:
    """Scopes by their names; raises `UsageError` for a word that is none."""
    known = {scope.value: scope for scope in Scope}
    names = list(words)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no scope {unknown[0]!r}; there are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def _person(account: Account, only: Iterable[Scope] | None = None, until: Instant | None = None) -> Person:
    known = {role.value for role in Role}
    return Person.of(account.name, (Role(it) for it in account.roles if it in known), only, until)


def _words(roles: Iterable[Role]) -> list[str]:
    return sorted({role.value for role in roles})


def _counted(name: str, address: str) -> dict[str, str]:
    """What a failure is counted for; a name counts whether or not it exists."""
    key = name[:256].casefold()
    return {
        "name and address": f"both\0{key}\0{address}",
        "name": f"name\0{key}",
        "address": f"address\0{address}",
    }


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or name.casefold() in _NOT_ACCOUNTS:
        raise UsageError(
            "an account's name has 1 to 64 letters, digits and . _ @ + - (not at its ends), "
            f"and is neither of {', '.join(sorted(_NOT_ACCOUNTS))}: not {name[:80]!r}"
        )


def _normal(password: str) -> str:
    """The same password, however the keyboard composes it."""
    return unicodedata.normalize("NFKC", password)


def _octets(text: str) -> bytes:
    """Whatever a form may hold, half of a surrogate pair too."""
    return text.encode("utf-8", "surrogatepass")
