"""The words that all of the API shares: values as they are spelt, pages, people, and acts done once."""

import hashlib
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import Instant, LamplighterError
from lamplighter.kit.instant import to_iso
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, Scope
from lamplighter.service.web.api import cursors
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.store.answers import UNTOLD, Answer

REPLAYED: Final = "Idempotency-Replayed"
"""Header of an answer that was given before."""
_AGAIN: Final = {REPLAYED: "true"}
ID_MAX: Final = 2**31 - 1
BIG_MAX: Final = 2**53 - 1  # what every reader of JSON takes for the number that it is
LIMIT_MAX: Final = 500
_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)

_Item = TypeVar("_Item")
_Shape = TypeVar("_Shape", bound=BaseModel)


class Given(BaseModel):
    """What a client sends: exactly these fields, each of its own kind; nothing is guessed or ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """What a client is told."""

    model_config = ConfigDict(extra="forbid")


class Page(Told, Generic[_Item]):
    """Some items of a list."""

    items: list[_Item]
    next: str | None = Field(description="`cursor` of the next page; null: this is the last.")


# --- values


def _number(value: object) -> object:
    """A number in a path or a query: digits, and no other spelling of one."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("expected digits")
    return value


def _whole(value: object) -> object:
    """A whole number in a body: to JSON, and its schema, 7.0 is one too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
_DIGITS_ONLY: Final = BeforeValidator(_number)
Id = Annotated[int, Field(ge=1, le=ID_MAX), _DIGITS_ONLY, Path(description="Its number.")]
BigId = Annotated[int, Field(ge=1, le=BIG_MAX), _DIGITS_ONLY, Path(description="Its number.")]
IdQuery = Annotated[int | None, Field(ge=1, le=ID_MAX), _DIGITS_ONLY, Query()]
After = Annotated[
    int, Field(ge=0, le=BIG_MAX), _DIGITS_ONLY, Query(description="Only what has a number above this one.")
]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX), _DIGITS_ONLY, Query(description="Items on a page at most.")]
Cursor = Annotated[
    str | None,
    Query(
        pattern="^[A-Za-z0-9_-]+$",
        max_length=cursors.LONGEST,
        description="`next` of the page before; none: the first page.",
    ),
]
EUI_PATTERN: Final = "^[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){7}$"
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""No control character, and no other end of a line."""
Reason = Annotated[
    str,
    StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
    Field(description="Why, for the record."),
]
Digest = Annotated[
    str,
    StringConstraints(pattern="^[0-9a-f]{64}$"),
    Field(description="What is approved: the campaign's `digest`, as it was read."),
]
Moment = Annotated[str, Field(description="UTC.", json_schema_extra={"format": "date-time"})]
Hex4 = Annotated[str, Field(description="Four hex digits.", pattern="^[0-9A-F]{4}$")]
Version = Annotated[str, Field(description="Firmware version, eight hex digits.", pattern="^[0-9A-F]{8}$")]
Eui = Annotated[str, Field(description="EUI-64.", pattern="^[0-9A-F]{2}(-[0-9A-F]{2}){7}$")]


def moment(at: Instant | None) -> str | None:
    """An instant that there may be."""
    return None if at is None else to_iso(at)


def page(
    of: str, filters: Mapping[str, object], found: list[_Item], limit: int, position: Callable[[int], int]
) -> tuple[list[_Item], str | None]:
    """The items of a page, and its `next`, of one item more than it holds.

    position  where the item with this index stands in the list
    """
    if len(found) <= limit:
        return found, None
    return found[:limit], cursors.encode(of, filters, position(limit - 1))


# --- who, and of what


def _office(request: Request) -> Office:
    found: Office = request.app.state.office
    return found


def _people(request: Request) -> People:
    found: People = request.app.state.people
    return found


TheOffice = Annotated[Office, Depends(_office)]
ThePeople = Annotated[People, Depends(_people)]

_BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token, as `lamplighter people token issue` or the page of one's account makes it.",
)


@cache
def needs(scope: Scope) -> Callable[..., Person]:
    """What a route depends on: whose token it is, and that it is good for this.

    The function has the attribute `scope`, by which a test finds out what each route asks for.
    """

    def asks(request: Request, _: Annotated[object, Security(_BEARER)]) -> Person:
        person: Person = request.state.person  # the door has let nobody else in
        person.require(scope)
        return person

    asks.scope = scope  # type: ignore[attr-defined] # read by the test of the role matrix
    return asks


Reader = Annotated[Person, Depends(needs(Scope.READ))]
Operator = Annotated[Person, Depends(needs(Scope.OPERATE))]
Approver = Annotated[Person, Depends(needs(Scope.APPROVE))]
Administrator = Annotated[Person, Depends(needs(Scope.ADMINISTER))]


# --- acts


class _DoneBeforeError(Exception):
    """Somebody has acted under this key since we looked."""


class Once:
    """An act that is done once, however often it is asked for under one Idempotency-Key.

    With a key, all that is written is one transaction, and what was done is noted in it: after a crash too an
    act was done, and will be answered, or it was not. The transaction begins where the act begins to write.
    """

    def __init__(self, office: Office, key: str | None, digest: bytes) -> None:
        self._office = office
        self._key = key
        self._digest = digest

    def act(
        self,
        person: Person,
        do: Callable[[], _Shape],
        status: int = 200,
        *,
        kept: Callable[[_Shape], _Shape] = lambda it: it,
    ) -> Response:
        """Do it and answer what it returns, or what was answered before.

        kept  takes out what must not lie in a database
        """
        if self._key is None:
            return _json(do().model_dump_json(), status)
        done: list[_Shape] = []

        def noted() -> tuple[int, str]:
            done.append(do())
            return status, kept(done[-1]).model_dump_json()

        before = self._claimed(person, self._key, noted)
        if before is None:
            return _json(done[-1].model_dump_json(), status)
        return _json(before.body, before.status, _AGAIN)

    def act_then_tell(
        self, person: Person, do: Callable[[], int], tell: Callable[[int], _Shape], status: int = 200
    ) -> Response:
        """Do it and answer what `tell` makes of the number that it returns, or what was answered before.

        It is told when all is written: it may take its time, and nobody else waits for it.
        """
        if self._key is None:
            return _json(tell(do()).model_dump_json(), status)
        before = self._claimed(person, self._key, lambda: (UNTOLD, str(do())))
        more = {} if before is None else _AGAIN
        answer = self._found(person, self._key) if before is None else before
        assert answer is not None
        if answer.status == UNTOLD:
            body = tell(int(answer.body)).model_dump_json()
            if self._office.store.answers.keep(_account(person), self._key, status, body):
                return _json(body, status, more)
            answer = self._found(person, self._key)
            assert answer is not None
        return _json(answer.body, answer.status, more)

    def _claimed(self, person: Person, key: str, do: Callable[[], tuple[int, str]]) -> Answer | None:
        """Do it and note what was done; or what was done before."""
        store, now = self._office.store, self._office.clock()

        def claim(connection: Connection) -> None:
            if not store.answers.claim(connection, _account(person), key, self._digest, now):
                raise _DoneBeforeError

        before = self._found(person, key)
        if before is None:
            try:
                with store.database.together(claim) as begun:
                    status, body = do()
                    store.answers.note(begun(), _account(person), key, status, body)
            except (_DoneBeforeError, LamplighterError, ProblemError):
                # Perhaps it cannot be done just because it was, by the same request, since we looked.
                before = self._found(person, key)
                if before is None:
                    raise
        return before

    def _found(self, person: Person, key: str) -> Answer | None:
        found = self._office.store.answers.find(_account(person), key, self._office.clock())
        if found is not None and found.digest != self._digest:
            raise ProblemError(
                Kind.KEY_REUSED, "Take a new Idempotency-Key for each act; this is another one."
            )
        return found


def _account(person: Person) -> str:
    """Whose keys they are."""
    return person.name.casefold()


async def _once(
    request: Request,
    office: TheOffice,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern="^[!-~]+$",
            min_length=1,
            max_length=128,
            description="Chosen by you. What is asked for twice under one key within a day is done once.",
        ),
    ] = None,
) -> Once:
    digest = hashlib.sha256(
        b"\0".join(
            (
                request.method.encode(),
                request.url.path.encode(),
                request.url.query.encode(),
                await request.body(),
            )
        )
    )
    return Once(office, idempotency_key, digest.digest())


TheAct = Annotated[Once, Depends(_once)]


def _json(body: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


# --- routes


class StrictRoute(APIRoute):
    """A route that refuses a query which it would otherwise ignore.

    A filter that is spelt wrong must not give everything.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the route's own, after a look at the query."""
        inner = super().get_route_handler()
        single, several = _queries(self.dependant)

        async def handle(request: Request) -> Response:
            given = [name for name, _ in request.query_params.multi_items()]
            for name in given:
                if name not in single | several:
                    raise _bad_query(
                        name, f"there is no such parameter; there are {sorted(single | several)}"
                    )
                if name not in several and given.count(name) > 1:
                    raise _bad_query(name, "it stands there more than once")
            return await inner(request)

        return handle


def routes_of(tag: str) -> APIRouter:
    """A module's routes; an operation is named as its function is."""
    return APIRouter(
        route_class=StrictRoute, tags=[tag], generate_unique_id_function=lambda route: route.name
    )


def _queries(dependant: Dependant) -> tuple[set[str], set[str]]:
    """The query parameters that may come once, and those that may come more often."""
    single = {it.alias for it in dependant.query_params if not _is_list(it)}
    several = {it.alias for it in dependant.query_params if _is_list(it)}
    for inner in dependant.dependencies:
        some, more = _queries(inner)
        single |= some
        several |= more
    return single, several


def _is_list(field: Any) -> bool:
    return "list" in str(field.field_info.annotation)


def _bad_query(name: str, what: str) -> ProblemError:
    shown = name if name.isprintable() and len(name) <= 40 else "a parameter"
    return ProblemError(Kind.INVALID, f"query.{shown}: {what}")
