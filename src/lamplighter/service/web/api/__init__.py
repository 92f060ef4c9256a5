"""The REST API, version 1: what the web can do, for programs.

An application of its own, mounted below `/api/v1`. Every request but for health and the document passes the
`door`, which knows bearer tokens and nothing else: no cookie counts here, so that no page of another site can
act by one. Then each route says which scope it needs; the office checks it once more. Errors are `problems`,
lists come in pages with `cursors`, and an act that bears an Idempotency-Key is done once (`shapes.Once`).

What is answered is what the OpenAPI document says: tests hold the two together.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from lamplighter import __version__
from lamplighter.kit import LamplighterError
from lamplighter.service import tracing
from lamplighter.service.office import Office
from lamplighter.service.people import People
from lamplighter.service.web.api import (
    accounts,
    campaigns,
    devices,
    hooks,
    problems,
    records,
    releases,
    reports,
)
from lamplighter.service.web.api.door import OPEN_PATHS, Door, Failures
from lamplighter.service.web.api.problems import MEDIA_TYPE, Kind, Problem, ProblemError
from lamplighter.service.web.api.shapes import REPLAYED, StrictRoute, TheOffice, Told
from lamplighter.service.web.turns import Turns

PREFIX: Final = "/api/v1"
"""Where it is mounted."""

_ROUTERS: Final = (releases, devices, campaigns, records, reports, accounts, hooks)
_SAFE: Final = frozenset({"get", "head"})
_COMMON: Final = (Kind.BAD_REQUEST, Kind.INVALID, Kind.OUR_MISTAKE, Kind.UNAVAILABLE)
_CLOSED: Final = (Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.FAILURES)


class Health(Told):
    """Whether the API and its database answer."""

    status: str = Field(description="`ok`.")
    version: str = Field(description="Lamplighter's.")


def application(
    office: Office,
    people: People,
    settings: object = None,
    *,
    failures: Failures | None = None,
    turns: Turns | None = None,
) -> FastAPI:
    """The API over one office.

    turns     those of the process, where it serves pages too
    failures  counts tokens that are good for nothing; a test brings its own clock in it
    """
    del settings  # the guard before us has what limits there are
    api = FastAPI(
        title="Lamplighter",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry=tracing.FASTAPI,
    )
    api.state.office = office
    api.state.people = people
    api.state.turns = turns or Turns()
    api.router.route_class = StrictRoute
    for module in _ROUTERS:
        api.router.routes.extend(module.router.routes)

    @api.get("/health", tags=["health"])
    def health(here: TheOffice) -> Health:
        """Whether the API and its database answer."""
        here.store.audit.head()
        return Health(status="ok", version=__version__)

    @api.get("/openapi.json", include_in_schema=False)
    def document() -> dict[str, Any]:
        return api.openapi()

    api.openapi = lambda: _document(api)  # type: ignore[method-assign] # as FastAPI's manual has it
    for error in (
        ProblemError, RequestValidationError, HTTPException, LamplighterError, OperationalError
    ):  # fmt: skip
        api.add_exception_handler(error, problems.of_error)
    api.add_middleware(Door, people=people, failures=failures or Failures())
    return api


def _document(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with every status that a route can answer."""
    if api.openapi_schema is None:
        made = get_openapi(
            title=api.title,
            version=api.version,
            description=__doc__.partition("\n")[0],
            routes=api.routes,
            servers=[{"url": PREFIX}],
        )
        schemas = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        given = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= given.pop("$defs", {})
        schemas["Problem"] = given
        for path, item in made["paths"].items():
            for method, operation in item.items():
                _complete(path, method, operation)
        api.openapi_schema = made
    return api.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Say what else may be answered to an operation."""
    kinds = set(_COMMON)
    if path not in OPEN_PATHS:
        kinds |= set(_CLOSED)
    if "{" in path:
        kinds.add(Kind.NOT_FOUND)
    if method not in _SAFE:
        kinds |= {Kind.NOT_FOUND, Kind.REFUSED}
    if "requestBody" in operation:
        kinds |= {Kind.TOO_LARGE, Kind.MEDIA}
    responses = operation["responses"]
    kinds |= {kind for kind in Kind if str(kind.status.value) in responses}  # what a route says of itself
    for kind in sorted(kinds, key=lambda it: it.status):
        responses[str(kind.status.value)] = {
            "description": kind.status.phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    for parameter in operation.get("parameters", ()):
        # It may be left out; but no address and no header has a null in it.
        some = [it for it in parameter["schema"].pop("anyOf", ()) if it != {"type": "null"}]
        if some:
            parameter["schema"] |= some[0] if len(some) == 1 else {"anyOf": some}
    keys = {it["name"].lower() for it in operation.get("parameters", ())}
    if "idempotency-key" in keys:
        for status, response in responses.items():
            if status.startswith("2"):
                response["headers"] = {
                    REPLAYED: {
                        "description": "`true`: this was answered before, and nothing was done now.",
                        "schema": {"type": "string", "enum": ["true"]},
                    }
                }
