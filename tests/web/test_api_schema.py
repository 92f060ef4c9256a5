"""The OpenAPI document is exactly true: what is asked by it is answered by it, and nothing breaks the server.

schemathesis makes requests of the document, right and wrong ones, and holds the answers against it. The
application is the real one, with a fleet that has a past. A few examples an operation here; very many in
`make long`.
"""

from __future__ import annotations

import os
import typing
import uuid
from urllib.parse import parse_qs, urlsplit

import hypothesis
import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config._checks import NegativeDataRejectionConfig, PositiveDataAcceptanceConfig
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from lamplighter import client as clients
from lamplighter.service.web.api import PREFIX, application, door
from tests.web.program import program, token

FEW, MANY = 12, int(os.environ.get("LAMPLIGHTER_EXAMPLES", "200"))
REFUSALS = [400, 401, 404, 405, 409, 413, 415, 422]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    unsupported_method,
]
# A plan, an image and an address mean more than a schema can say: what is none is refused.
MEANT = {
    ("POST", "/campaigns"),
    ("POST", "/campaigns/dry-run"),
    ("PUT", "/campaigns/{number}/plan"),
    ("POST", "/releases"),
    ("POST", "/webhooks"),
}
# A token to approve or to administer is for its owner alone to issue, whoever else asks and however rightly.
FORBIDDEN = {("POST", "/tokens"): (403,)}
DOCUMENT = application(None, None).openapi()  # type: ignore[arg-type] # the document needs neither
OPERATIONS = [
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method != "parameters"
]


def examine(site, method, path, examples, role="administrator"):
    """Ask one operation so often, rightly and wrongly."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.base_url = site.url + PREFIX
    schema.config.checks.negative_data_rejection = NegativeDataRejectionConfig(expected_statuses=REFUSALS)
    # What is right by its schema may still be of another list, unknown, or not to be done as things stand.
    schema.config.checks.positive_data_acceptance = PositiveDataAcceptanceConfig(
        expected_statuses=["2xx", 400, 404, 409, *FORBIDDEN.get((method, path), ())]
    )
    checks = CHECKS if (method, path) in MEANT else [*CHECKS, positive_data_acceptance]
    operation = schema[path][method]
    secrets = {who: token(site, who) for who in ("operator", "approver", "administrator")}
    headers = {"Authorization": f"Bearer {secrets[role]}"}

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(
        case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    )
    def ask(case):
        is_right = case.meta.generation.mode is GenerationMode.POSITIVE
        if is_right and "idempotency-key" in {name.lower() for name in case.headers}:
            case.headers["Idempotency-Key"] = uuid.uuid4().hex  # else it would be another act's
        answer = case.call(headers=headers, timeout=30)
        held = checks
        sent = parse_qs(urlsplit(answer.request.url).query, keep_blank_values=True)
        if not is_right and (set(case.query or ()) - set(sent) or not (case.body or "{" in path or sent)):
            # What was wrong with it, a parameter without any value, did not come as far as the address.
            held = [check for check in checks if check is not negative_data_rejection]
        case.validate_response(answer, checks=held, headers=headers)

    ask()


@pytest.fixture(autouse=True)
def _guesses(monkeypatch):
    """To ask without a good token again and again is a part of these tests."""
    monkeypatch.setattr(door, "FAILURES_MAX", 1_000_000)


def role_for(method, path):
    """Whose token may do it."""
    scope = SCOPES[method, path]
    return {"operate": "operator", "approve": "approver"}.get(scope, "administrator")


def _scopes():
    found = {}
    for route in application(None, None).routes:  # type: ignore[arg-type]
        if isinstance(route, APIRoute):
            scopes = [it.call.scope.value for it in route.dependant.dependencies if hasattr(it.call, "scope")]
            for method in route.methods:
                found[method, route.path] = scopes[0] if scopes else ""
    return found


SCOPES = _scopes()


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda it: it)
def test_every_operation_does_what_its_document_says(furnished, method, path):
    """No answer of 5xx, none that the document does not have, and nothing wrong that is taken for right."""
    examine(furnished, method, path, FEW, role_for(method, path))


@pytest.mark.long
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda it: it)
def test_every_operation_does_what_its_document_says_at_length(furnished, method, path):
    """The same with hundreds of requests each; LAMPLIGHTER_EXAMPLES says how many."""
    examine(furnished, method, path, MANY, role_for(method, path))


def test_the_document_lists_every_route():
    """And no other: what is answered is documented."""
    assert set(SCOPES) == set(OPERATIONS) | {("GET", "/openapi.json")}


def test_the_document_is_what_is_served(furnished):
    """To whoever asks, also without a token."""
    assert DOCUMENT == program(furnished, secret="").get("/openapi.json").json()


def test_every_operation_has_a_name_of_its_own():
    """Generators of clients take these for the names of their functions."""
    names = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


_TYPES = {
    name: kind
    for name, kind in vars(clients).items()
    if typing.is_typeddict(kind) and name not in {"DeviceFilter", "TypedDict"}
}


@pytest.mark.parametrize("name", sorted(_TYPES))
def test_the_client_knows_what_is_answered(name):
    """Each of its types has the very fields of the document's schema of that name."""
    schema = DOCUMENT["components"]["schemas"][name]
    assert set(schema["properties"]) == set(typing.get_type_hints(_TYPES[name]))


def test_the_client_has_a_method_for_every_operation():
    """Under the operation's name, or nearly so."""
    methods = {name for name in vars(clients.Client) if not name.startswith("_")}
    renamed = {"vote": "vote", "dry_run": "dry_run"}
    missing = []
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            name = operation["operationId"]
            plain = name.removeprefix("list_").removeprefix("show_")
            if not {renamed.get(name, name), plain} & methods:
                missing.append(name)
    assert [] == missing


def test_the_client_filters_devices_by_what_there_is():
    """Its filter has the parameters of the operation, without those of paging."""
    given = {it["name"] for it in DOCUMENT["paths"]["/devices"]["get"]["parameters"]} - {"limit", "cursor"}
    assert given == set(typing.get_type_hints(clients.DeviceFilter))
