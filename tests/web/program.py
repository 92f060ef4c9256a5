"""Programs that use the API: with tokens, over HTTP."""

from __future__ import annotations

import httpx2

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY
from lamplighter.service.people import Scope
from lamplighter.service.web.api import PREFIX
from tests.web.conftest import BY_ROLE

PROBLEM = "application/problem+json"
PLAN = """
name = "{name}"
approvals = {approvals}
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = "20 %"
minimum = 1
[[wave]]
name = "everyone"
share = 1
"""


def plan(name="C", approvals=1):
    """A plan in TOML."""
    return PLAN.format(name=name, approvals=approvals)


def token(site, role, scopes=None):
    """The secret of a token for whoever has this role: of all its scopes, or of these."""
    name = BY_ROLE[role]
    mine = site.people.local(name).scopes if scopes is None else scopes
    expires = Instant(site.clock() + 30 * DAY)
    return site.people.issue_token(site.people.local(name), "test", mine, expires)[1]


def program(site, role="operator", scopes=None, *, secret=None, **more):
    """A client of the API."""
    given = token(site, role, scopes) if secret is None else secret
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    client = httpx2.Client(base_url=site.url + PREFIX, headers=headers, timeout=30, **more)
    site.clients.append(client)
    return client


def problem(answer, status, kind):
    """Check that an answer is this problem; what it says."""
    assert (status, PROBLEM) == (answer.status_code, answer.headers["content-type"]), answer.text
    body = answer.json()
    assert (f"urn:lamplighter:problem:{kind}", status) == (body["type"], body["status"]), body
    return body


READ_ONLY = {Scope.READ}
