"""How a page is rendered, and how one goes on to the next; what every page module starts from."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

from fastapi import Depends
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lamplighter.kit import UsageError
from lamplighter.service.office import Office
from lamplighter.service.people import People, Person, Scope
from lamplighter.service.web import assets, words
from lamplighter.service.web.security import CSRF_FIELD, cookie_name, needs

REASON_MAX: Final = 500
_SAID_SECONDS: Final = 60
_SAID_MAX: Final = 500

Reader = Annotated[Person, Depends(needs(Scope.READ))]
"""Anybody who is signed in."""
Operator = Annotated[Person, Depends(needs(Scope.OPERATE))]
Approver = Annotated[Person, Depends(needs(Scope.APPROVE))]
Administrator = Annotated[Person, Depends(needs(Scope.ADMINISTER))]

NAVIGATION: Final = (
    ("/", "Fleet", Scope.READ),
    ("/releases", "Releases", Scope.READ),
    ("/campaigns", "Campaigns", Scope.READ),
    ("/devices", "Devices", Scope.READ),
    ("/approvals", "Approvals", Scope.READ),
    ("/letters", "Dead letters", Scope.READ),
    ("/storms", "Alert storms", Scope.READ),
    ("/reports", "Reports", Scope.READ),
    ("/audit", "Audit", Scope.READ),
    ("/people", "People", Scope.ADMINISTER),
)
"""The pages that stand in the head of each: where, what, and who sees them."""


class Asked(dict[str, str]):
    """What a table was asked for; what was not said is empty."""

    def __missing__(self, _name: str) -> str:
        return ""


def environment() -> Environment:
    """The templates: all is escaped, and a name that nobody gave is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= words.FILTERS
    made.globals |= {
        "NONE": words.NONE,
        "Scope": Scope,
        "asset": assets.asset,
        "missing_assets": assets.missing,
        "missing_text": assets.MISSING,
        "navigation": NAVIGATION,
        "query": words.query,
    }
    return made


_TEMPLATES: Final = environment()


def office(request: Request) -> Office:
    """All that a person can see and do."""
    found: Office = request.app.state.office
    return found


def people(request: Request) -> People:
    """Accounts, sessions, tokens."""
    found: People = request.app.state.people
    return found


TheOffice = Annotated[Office, Depends(office)]
ThePeople = Annotated[People, Depends(people)]


def render(request: Request, template: str, status: int = HTTPStatus.OK, /, **context: Any) -> Response:
    """A page. Besides `context` a template knows `person`, `csrf`, `csrf_field`, `now`, `path`, `said`."""
    state = request.state
    name = cookie_name("said", secure=state.secure)
    tone, _, said = unquote(request.cookies.get(name, "")).partition(" ")
    values = {
        "person": state.person,
        "csrf": state.csrf,
        "csrf_field": Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, state.csrf),
        "now": request.app.state.office.clock(),
        "path": request.url.path,
        "here": str(request.url.replace(scheme="", netloc="")),
        "said": said[:_SAID_MAX],
        "said_tone": "warn" if tone == "warn" else "good",
    }
    answer = HTMLResponse(_TEMPLATES.get_template(template).render(values | context), status)
    if said:
        answer.delete_cookie(name, secure=state.secure, httponly=True, samesite="lax")
    return answer


def go(request: Request, path: str, said: str = "", tone: str = "good") -> Response:
    """On to a page of ours, where `said` stands once above all else: the answer to what was posted.

    tone  good, or warn where something was not done
    """
    answer = RedirectResponse(path, HTTPStatus.SEE_OTHER)
    if said:
        secure = request.state.secure
        answer.set_cookie(
            cookie_name("said", secure=secure),
            quote(f"{tone} {said[:_SAID_MAX]}"),
            max_age=_SAID_SECONDS,
            secure=secure,
            httponly=True,
            samesite="lax",
        )
    return answer


def reason_of(text: str, *, needed: bool) -> str:
    """What somebody gave as a reason; `UsageError` where it is too long, or missing."""
    reason = " ".join(text.split())
    if needed and not reason:
        raise UsageError("say why: the record is read by people who were not there")
    if len(reason) > REASON_MAX:
        raise UsageError(f"a reason has at most {REASON_MAX} characters, not {len(reason)}")
    return reason
