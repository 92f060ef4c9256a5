"""Who may come in and what they may do; threats by name."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

import argon2
import pytest
from sqlalchemy import func, select, text

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.service import people as rules
from lamplighter.service.people import ForbiddenError, People, Person, Role, Scope, UnauthenticatedError
from lamplighter.store import Store
from lamplighter.store import schema as s
from lamplighter.store.people import Limit, digest_of
from tests.store.locks import held_up

NOW = Instant(1_900_000_000 * SECOND)
PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.7"


class House:
    """A database with its people, and a clock that a test moves."""

    def __init__(self, url: str) -> None:
        self.now = NOW
        self.store = Store.open(url)
        self.people = People(self.store, lambda: self.now)
        # As few passes as may be: what a test is about is never how long argon2 takes, but in one of them.
        self.people._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.administrator1 = self.people.local("root")
        self.add("administrator1", Role.ADMINISTRATOR)
        self.administrator1 = self.people.local("administrator1")

    def add(self, name: str, *roles: Role, password: str | None = PASSWORD) -> Person:
        self.people.create(self.administrator1, name, roles, password)
        return self.people.local(name)

    def tries(
        self, name: str, password: str = PASSWORD, address: str = ADDRESS
    ) -> str | UnauthenticatedError:
        try:
            return self.people.sign_in(name, password, address)
        except UnauthenticatedError as error:
            return error

    def done(self) -> list[tuple[str, str, str]]:
        return [(it.who, it.what, it.subject) for it in self.store.audit.entries()]


@pytest.fixture
def house(database_url):
    """One administrator, administrator1."""
    house = House(database_url)
    yield house
    house.store.close()


# --- roles and accounts


def test_each_role_may_what_it_is_for_and_look():
    """Nobody's role holds another's but the viewer's; four eyes are two roles, or two people."""
    may = {role: {scope for scope in Scope if Person.of("x", [role]).may(scope)} for role in Role}
    assert {
        Role.VIEWER: {Scope.READ},
        Role.OPERATOR: {Scope.READ, Scope.OPERATE},
        Role.APPROVER: {Scope.READ, Scope.APPROVE},
        Role.ADMINISTRATOR: {Scope.READ, Scope.ADMINISTER},
    } == may
    assert frozenset() == Person.of("x", []).scopes
    with pytest.raises(ForbiddenError, match="role of approver"):
        Person.of("x", [Role.OPERATOR]).require(Scope.APPROVE)
    with pytest.raises(ForbiddenError, match="no scope of this token"):
        Person.of("x", [Role.APPROVER], [Scope.READ]).require(Scope.APPROVE)


def test_while_there_are_no_accounts_whoever_has_the_database_may_do_all(database_url):
    """And the first account must be able to make the others."""
    store = Store.open(database_url)
    people = People(store, lambda: NOW)
    me = people.local("anybody")
    assert set(Scope) == set(me.scopes)
    with pytest.raises(UsageError, match="first account"):
        people.create(me, "operator1", [Role.OPERATOR])
    people.create(me, "administrator1", [Role.ADMINISTRATOR])
    with pytest.raises(ForbiddenError, match="has no account"):
        people.local("anybody")
    assert {Scope.READ, Scope.ADMINISTER} == set(people.local("ADMINISTRATOR1").scopes)
    store.close()


@pytest.mark.parametrize(
    "act", ["create", "set_roles", "disable", "enable", "issue", "set_password", "tokens"]
)
def test_only_an_administrator_touches_others_accounts(house, act):
    """An operator who may do everything else may not make, change or read of anybody."""
    operator1 = house.add("operator1", Role.OPERATOR, Role.APPROVER)
    house.add("bob", Role.VIEWER)
    acts = {
        "create": lambda: house.people.create(operator1, "eve", [Role.ADMINISTRATOR]),
        "set_roles": lambda: house.people.set_roles(operator1, "operator1", [Role.ADMINISTRATOR]),
        "disable": lambda: house.people.disable(operator1, "bob"),
        "enable": lambda: house.people.enable(operator1, "bob"),
        "issue": lambda: house.people.issue_token(operator1, "x", [Scope.READ], Instant(NOW + DAY), "bob"),
        "set_password": lambda: house.people.set_password(operator1, "bob", PASSWORD + "!"),
        "tokens": lambda: house.people.tokens(operator1, "bob"),
    }
    before = house.done()
    with pytest.raises(ForbiddenError):
        acts[act]()
    assert before == house.done()


def test_every_change_of_an_account_is_an_entry(house):
    """Who did it to whom; what did not change is none."""
    house.add("operator1", Role.OPERATOR)
    people, administrator1 = house.people, house.administrator1
    people.set_roles(administrator1, "operator1", [Role.APPROVER])
    people.set_roles(administrator1, "operator1", [Role.APPROVER])
    people.set_password(administrator1, "operator1", PASSWORD + "!")
    number, _ = people.issue_token(administrator1, "ci", [Scope.READ], Instant(NOW + DAY), "operator1")
    people.revoke(administrator1, number)
    people.revoke(administrator1, number)
    people.disable(administrator1, "operator1")
    people.enable(administrator1, "operator1")
    whats = ["create account", "set roles", "set password", "issue token", "revoke token"]
    whats += ["disable account", "enable account"]
    assert [("administrator1", what, "operator1") for what in whats] == house.done()[1:]
    assert "operator → approver" == house.store.audit.entries(what="set roles")[0].detail


def test_the_last_administrator_stays(house):
    """Nobody locks everybody out, not even by mistake."""
    with pytest.raises(UsageError, match="last administrator"):
        house.people.disable(house.administrator1, "administrator1")
    with pytest.raises(UsageError, match="last administrator"):
        house.people.set_roles(house.administrator1, "administrator1", [Role.OPERATOR])
    house.add("eve", Role.ADMINISTRATOR)
    house.people.disable(house.administrator1, "administrator1")
    assert house.people.local("eve").may(Scope.ADMINISTER)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "a b", "\N{CYRILLIC SMALL LETTER A}da", "policy", "System", "-x", "a\n", "a/b", "<b>"],
)
def test_a_name_that_could_be_taken_for_another_is_none(house, name):
    """ASCII, no blanks, none of our own; the second one is Cyrillic."""
    with pytest.raises(UsageError, match="an account's name"):
        house.add(name, Role.VIEWER)


def test_another_spelling_is_no_other_account(house):
    """Four eyes are not two of one person's."""
    with pytest.raises(UsageError, match="already"):
        house.add("ADMINISTRATOR1", Role.APPROVER)


@pytest.mark.parametrize(
    "password", ["short", "x" * 257, "aaaaaaaaaaaaaa", "administrator1-password", "abababababab"]
)
def test_a_password_that_is_guessed_first_is_refused(house, password):
    """Too short, too long, of too few marks, or the name with little more."""
    with pytest.raises(UsageError, match="password"):
        house.people.set_password(house.administrator1, "administrator1", password)


def test_one_spelling_of_a_password_is_as_good_as_another(house):
    """A keyboard that composes é by itself, and one that does not."""
    house.add("operator1", Role.OPERATOR, password="caf\u00e9 au lait noir")
    assert isinstance(house.tries("operator1", "cafe\u0301 au lait noir"), str)


def test_passwords_and_secrets_do_not_lie_in_the_database(house):
    """Whoever steals a copy can sign in as nobody."""
    session = house.people.sign_in("administrator1", PASSWORD)
    _, secret = house.people.issue_token(house.administrator1, "ci", [Scope.READ], Instant(NOW + DAY))
    with house.store.database.reading() as connection:
        for table in ("person", "session", "token", "audit", "strike"):
            kept = repr(connection.execute(text(f"SELECT * FROM {table}")).all())
            assert not any(it in kept for it in (PASSWORD, session, secret)), table
        [hashed] = connection.execute(text("SELECT password FROM person")).scalars()
    assert hashed.startswith("$argon2id$")
    today = People(house.store)._hasher
    assert (64 * 1024, 3) == (today.memory_cost, today.time_cost)  # KiB, passes: RFC 9106


def test_a_password_is_hashed_anew_when_our_parameters_change(house):
    """At the next sign-in, and the password stays what it is."""
    house.people._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    assert isinstance(house.tries("administrator1"), str)
    kept = house.store.people.find("administrator1").password
    assert "m=16,t=2" in kept
    assert isinstance(house.tries("administrator1"), str)


# --- sessions


def test_a_session_says_who_it_is_until_they_sign_out(house):
    """With a token against forged forms that belongs to it alone."""
    first, second = (
        house.people.sign_in("administrator1", PASSWORD),
        house.people.sign_in("ADMINISTRATOR1", PASSWORD),
    )
    (person, csrf), (_, other) = house.people.of_session(first), house.people.of_session(second)
    assert ("administrator1", True) == (person.name, csrf != other)
    assert csrf == house.people.of_session(first)[1]
    assert first not in csrf
    house.people.sign_out(first)
    assert (None, True) == (house.people.of_session(first), house.people.of_session(second) is not None)
    assert [("administrator1", "sign in", "administrator1")] * 2 + [
        ("administrator1", "sign out", "administrator1")
    ] == house.done()[1:]


def test_session_fixation(house):
    """Whoever plants a session before somebody signs in has nothing: each sign-in makes a new one."""
    planted = "x" * 43
    sessions = {house.people.sign_in("administrator1", PASSWORD) for _ in range(3)}
    assert (3, None) == (len(sessions), house.people.of_session(planted))
    assert all(len(it) >= 43 for it in sessions)  # 32 octets nobody guesses


def test_a_session_ends_by_idling_and_by_its_age(house):
    """Used every hour it lives; after twelve hours it ends in any case."""
    session = house.people.sign_in("administrator1", PASSWORD)
    for _ in range(11):
        house.now = Instant(house.now + HOUR)
        assert house.people.of_session(session) is not None
    house.now = Instant(house.now + HOUR)
    assert None is house.people.of_session(session)
    idle = house.people.sign_in("administrator1", PASSWORD)
    house.now = Instant(house.now + rules.SESSION_IDLE)
    assert None is house.people.of_session(idle)


def test_a_stolen_session_ends_with_another_password_and_with_the_account(house):
    """Both are what one does when one fears it."""
    house.add("operator1", Role.OPERATOR)
    stolen = house.people.sign_in("operator1", PASSWORD)
    operator1 = house.people.local("operator1")
    with pytest.raises(UnauthenticatedError, match="old password"):
        house.people.set_password(operator1, "operator1", PASSWORD + "!", "guessed by a thief")
    assert house.people.of_session(stolen) is not None
    house.people.set_password(operator1, "operator1", PASSWORD + "!", PASSWORD)
    assert None is house.people.of_session(stolen)
    again = house.people.sign_in("operator1", PASSWORD + "!")
    house.people.disable(house.administrator1, "operator1")
    assert None is house.people.of_session(again)
    assert isinstance(house.tries("operator1", PASSWORD + "!"), UnauthenticatedError)


def test_other_roles_hold_at_once(house):
    """A session that is open does not keep what was taken away."""
    house.add("operator1", Role.OPERATOR)
    session = house.people.sign_in("operator1", PASSWORD)
    house.people.set_roles(house.administrator1, "operator1", [Role.VIEWER])
    assert {Scope.READ} == set(house.people.of_session(session)[0].scopes)


# --- whoever guesses


def test_user_enumeration(house):
    """A name that does not exist, one without a password, a disabled one and a wrong password: one answer."""
    house.add("operator1", Role.OPERATOR)
    house.add("robot", Role.OPERATOR, password=None)
    house.add("gone", Role.OPERATOR)
    house.people.disable(house.administrator1, "gone")
    names = ("operator1", "robot", "gone", "nobody", "x" * 300, "\ud800", "")
    wrong = "wrong \ud800 " + PASSWORD
    answers = {str(house.tries(name, wrong, f"192.0.2.{n}")) for n, name in enumerate(names)}
    assert {"the name or the password is wrong"} == answers
    barred = {str([house.tries(name, wrong) for _ in range(7)][-1]) for name in ("operator1", "nobody")}
    assert {"too many failures: try again in 10 seconds"} == barred


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_user_enumeration_by_the_time_it_takes(house):
    """A name that does not exist costs one argon2 as well, within a factor of two of the median."""
    house.people._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)
    house.add("operator1", Role.OPERATOR)
    house.people.__dict__.pop("_nobody", None)
    house.tries("nobody", "warms up what is made but once", "203.0.113.1")
    times = {"operator1": [], "nobody": []}
    for turn in range(7):
        for name, taken in times.items():
            began = time.process_time()
            house.tries(name, "wrong " + PASSWORD, f"203.0.113.{turn}")
            taken.append(time.process_time() - began)
    assert 0.5 < median(times["nobody"]) / median(times["operator1"]) < 2


def test_brute_force(house):
    """Five guesses are free; then each waits twice as long as the one before, up to a quarter of an hour."""
    waits = []
    for _ in range(14):
        while "too many" in str(found := house.tries("administrator1", "wrong " + PASSWORD)):
            seconds = int(str(found).split()[-2])
            waits.append(seconds)
            house.now = Instant(house.now + seconds * SECOND)
    assert [10, 20, 40, 80, 160, 320, 640, 900, 900] == waits[:9]
    assert "too many" in str(house.tries("administrator1"))  # the right one has to wait too
    barred = [it for it in house.done() if it[1] == "sign-in barred"]
    assert [("system", "sign-in barred", "administrator1")] == barred  # once, not for each guess
    house.now = Instant(house.now + 15 * MINUTE)
    assert isinstance(house.tries("administrator1"), str)
    assert "wrong" in str(house.tries("administrator1", "wrong " + PASSWORD))  # forgotten with the success


def test_brute_force_in_parallel(house):
    """Many guesses at one moment are not all let through before the first is counted."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: str(house.tries("administrator1", "wrong " + PASSWORD)), range(16)))
    assert 5 == sum("wrong" in it for it in answers)


def test_a_thief_of_a_session_does_not_guess_the_old_password(house):
    """Whoever is signed in is asked for the password before it is changed, and waits like anybody."""
    operator1 = house.add("operator1", Role.OPERATOR)
    for _ in range(5):
        with pytest.raises(UnauthenticatedError, match="old password"):
            house.people.set_password(operator1, "operator1", PASSWORD + "!", "wrong " + PASSWORD)
    with pytest.raises(UnauthenticatedError, match="too many"):
        house.people.set_password(operator1, "operator1", PASSWORD + "!", PASSWORD)
    assert isinstance(house.tries("operator1"), str)  # and operator1 herself is not locked out


def test_an_office_that_signs_in_is_not_taken_for_one_that_guesses(house):
    """What succeeds is not counted, however many come from one address."""
    house.add("operator1", Role.OPERATOR)
    assert all(isinstance(house.tries(name), str) for name in ("administrator1", "operator1") * 30)


def test_brute_force_from_many_addresses(house):
    """One name from many places is slowed too, but never for more than a minute: nobody is locked out."""
    for number in range(60):
        house.tries("administrator1", "wrong " + PASSWORD, f"198.51.100.{number}")
    found = house.tries("administrator1", PASSWORD, ADDRESS)
    assert "too many" in str(found)
    assert int(str(found).split()[-2]) <= 60
    house.now = Instant(house.now + MINUTE)
    assert isinstance(house.tries("administrator1", PASSWORD, ADDRESS), str)


def test_password_spraying(house):
    """One place that tries one password on many names is barred, also for names that do not exist."""
    for number in range(51):
        house.tries(f"user{number}", PASSWORD)
    assert "too many" in str(house.tries("administrator1"))
    assert isinstance(house.tries("administrator1", address="198.51.100.1"), str)


def test_names_made_up_to_fill_the_disk(house):
    """Whoever has to wait leaves nothing behind, however many names they try."""
    for number in range(51):
        house.tries(f"user{number}", PASSWORD)
    counted = select(func.count()).select_from(s.strike)
    with house.store.database.reading() as connection:
        before = connection.execute(counted).scalar_one()
    for number in range(100):
        assert "too many" in str(house.tries(f"another{number}", PASSWORD))
    with house.store.database.reading() as connection:
        assert before == connection.execute(counted).scalar_one()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_that_sign_in_at_one_time_do_not_wait_for_each_other(house):
    """Whoever is forgiven locks what is counted in the same order as whoever is admitted."""
    people, limits = (
        house.store.people,
        {"a": Limit(5, SECOND, SECOND, DAY), "b": Limit(5, SECOND, SECOND, DAY)},
    )
    people.admit(limits, NOW)
    first, last = (select(s.strike).where(s.strike.c.digest == digest_of(key)) for key in limits)
    for whole, other in (("a", "b"), ("b", "a")):
        people.admit(limits, NOW)
        forgive = partial(people.forgive, whole, [other], NOW)
        with held_up(house.store.database, first, forgive) as admitted:
            assert admitted.execute(last.with_for_update()).first() is not None


def test_a_password_of_a_megabyte_costs_no_more(house):
    """What is longer than any password is not hashed as a whole."""
    assert "wrong" in str(house.tries("administrator1", "x" * 1_000_000))


def test_in_a_rehearsal_persons_live_by_the_day_and_what_they_do_stands_in_its_time(house):
    """Thirty hours pass there within one: nobody is signed out, and the audit and tokens are of one time."""
    day, lab = [NOW], [Instant(NOW - DAY)]
    people = People(house.store, lambda: lab[0], lambda: day[0])
    people._hasher = house.people._hasher
    operator1 = house.add("operator1", Role.OPERATOR)
    session = people.sign_in("operator1", PASSWORD)
    done = house.store.audit.entries()[-1]
    assert ("sign in", NOW - DAY) == (done.what, done.at)
    day[0], lab[0] = Instant(NOW + HOUR), Instant(NOW - DAY + 30 * HOUR)
    assert people.of_session(session) is not None
    _, secret = people.issue_token(operator1, "ci", [Scope.READ], Instant(lab[0] + DAY))
    assert people.of_token(secret) is not None
    [token] = people.tokens(operator1, "operator1")
    assert {lab[0]} == {token.created_at, token.used_at}
    day[0] = Instant(NOW + HOUR + 2 * HOUR)
    assert None is people.of_session(session)


# --- tokens


def test_token_scope(house):
    """A token is good for its scopes, and for no more than its person may at the moment of use."""
    operator1 = house.add("operator1", Role.OPERATOR, Role.APPROVER)
    until = Instant(NOW + DAY)
    _, secret = house.people.issue_token(operator1, "ci", [Scope.READ, Scope.OPERATE], until)
    found = house.people.of_token(secret)
    assert {Scope.READ, Scope.OPERATE} == set(found.scopes)
    with pytest.raises(ForbiddenError):
        found.require(Scope.APPROVE)
    house.people.set_roles(house.administrator1, "operator1", [Role.APPROVER])
    assert {Scope.READ} == set(house.people.of_token(secret).scopes)


def test_a_token_makes_no_wider_token(house):
    """Who comes with a token that only reads cannot issue one that operates."""
    operator1 = house.add("operator1", Role.OPERATOR)
    _, narrow = house.people.issue_token(operator1, "narrow", [Scope.READ], Instant(NOW + DAY))
    with pytest.raises(ForbiddenError):
        house.people.issue_token(house.people.of_token(narrow), "wide", [Scope.OPERATE], Instant(NOW + DAY))
    house.people.set_roles(house.administrator1, "operator1", [Role.OPERATOR, Role.ADMINISTRATOR])
    administrator1 = house.people.local("operator1")
    _, wide = house.people.issue_token(
        administrator1, "wide", [Scope.READ, Scope.ADMINISTER], Instant(NOW + DAY)
    )
    with pytest.raises(ForbiddenError, match="ends no later"):
        house.people.issue_token(house.people.of_token(wide), "longer", [Scope.READ], Instant(NOW + 2 * DAY))
    with pytest.raises(UsageError, match="operator1 may not approve"):
        house.people.issue_token(house.administrator1, "x", [Scope.APPROVE], Instant(NOW + DAY), "operator1")


@pytest.mark.parametrize("scope", [Scope.APPROVE, Scope.ADMINISTER])
def test_an_administrator_issues_no_token_that_speaks_for_somebody_else(house, scope):
    """They would see its secret, and give a second person's word; its owner issues it, signed in."""
    house.add("cat", Role.APPROVER, Role.ADMINISTRATOR)
    until = Instant(NOW + DAY)
    _, secret = house.people.issue_token(
        house.administrator1, "ci", [Scope.READ, Scope.ADMINISTER], until, "administrator1"
    )
    before = house.done()
    for ann in (house.administrator1, house.people.of_token(secret)):
        with pytest.raises(ForbiddenError, match=f"a token to {scope.value} as cat nobody issues but cat"):
            house.people.issue_token(ann, "cats", [Scope.READ, scope], until, "CAT")
    assert before == house.done()
    cat, _ = house.people.of_session(house.people.sign_in("cat", PASSWORD))
    _, secret = house.people.issue_token(cat, "cats", [scope], until)
    assert {scope} == set(house.people.of_token(secret).scopes)


@pytest.mark.parametrize(
    "act",
    [
        lambda people, lent, *_: people.issue_token(lent, "another", [Scope.READ], Instant(NOW + DAY)),
        lambda people, lent, _, other: people.revoke(lent, other),
        lambda people, lent, itself, _: people.revoke(lent, itself),
        lambda people, lent, *_: people.set_password(lent, "operator1", "another long password", PASSWORD),
    ],
    ids=["issue", "revoke", "revoke itself", "set password"],
)
@pytest.mark.parametrize("scopes", [[Scope.READ], [Scope.READ, Scope.OPERATE]], ids=["read", "operate"])
def test_a_token_has_no_say_in_its_owners_account(house, act, scopes):
    """A program that was lent to read can neither stop its owner's other programs nor live on by another."""
    operator1 = house.add("operator1", Role.OPERATOR)
    until = Instant(NOW + DAY)
    other, _ = house.people.issue_token(operator1, "nightly", [Scope.READ], until)
    number, secret = house.people.issue_token(operator1, "lent", scopes, until)
    lent = house.people.of_token(secret)
    before = house.done()
    with pytest.raises(ForbiddenError, match="to administer asks"):
        act(house.people, lent, number, other)
    assert before == house.done()
    house.people.revoke(operator1, other)
    assert ("operator1", "revoke token", "operator1") == house.done()[-1], "in person it is theirs to do"


@pytest.mark.parametrize("how", ["expired", "revoked", "disabled", "not yet", "changed", "cut", "a session"])
def test_a_token_that_is_over_is_nobodys(house, how):
    """Or that never was one."""
    operator1 = house.add("operator1", Role.OPERATOR)
    number, secret = house.people.issue_token(operator1, "ci", [Scope.READ], Instant(NOW + DAY))
    assert house.people.of_token(secret) is not None
    match how:
        case "expired":
            house.now = Instant(NOW + DAY)
        case "revoked":
            house.people.revoke(operator1, number)
        case "disabled":
            house.people.disable(house.administrator1, "operator1")
        case "not yet":
            house.now = Instant(NOW - 1)
        case "changed":
            secret = secret[:-1] + ("A" if secret[-1] != "A" else "B")
        case "cut":
            secret = secret[:-1]
        case "a session":
            secret = house.people.sign_in("operator1", PASSWORD)
    assert None is house.people.of_token(secret)


def test_a_token_is_no_session(house):
    """It opens no page, where a browser would carry it about."""
    _, secret = house.people.issue_token(house.administrator1, "ci", [Scope.READ], Instant(NOW + DAY))
    assert None is house.people.of_session(secret)


def test_a_token_of_somebody_else_is_revoked_by_an_administrator_alone(house):
    """One's own by anybody."""
    operator1, bob = house.add("operator1", Role.OPERATOR), house.add("bob", Role.OPERATOR)
    number, secret = house.people.issue_token(operator1, "ci", [Scope.READ], Instant(NOW + DAY))
    with pytest.raises(ForbiddenError):
        house.people.revoke(bob, number)
    with pytest.raises(ForbiddenError):
        house.people.tokens(bob)
    assert [number] == [it.id for it in house.people.tokens(operator1, "operator1")]
    house.people.revoke(house.administrator1, number)
    assert None is house.people.of_token(secret)


@pytest.mark.parametrize(
    ("label", "scopes", "age"),
    [("", [Scope.READ], DAY), ("x" * 65, [Scope.READ], DAY), ("a\nb", [Scope.READ], DAY), ("x", [], DAY),
     ("x", [Scope.READ], 0), ("x", [Scope.READ], 400 * DAY)],
    ids=range(6),
)  # fmt: skip
def test_a_token_that_cannot_be_is_refused(house, label, scopes, age):
    """Without a name, without a scope, for ever."""
    with pytest.raises(UsageError):
        house.people.issue_token(house.administrator1, label, scopes, Instant(NOW + age))
