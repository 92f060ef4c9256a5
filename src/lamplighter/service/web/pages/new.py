"""A new campaign: a form over the plan, the plan as TOML, and a dry run of it before anything is saved."""

import hashlib
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.campaign import plan as plans
from lamplighter.kit import UsageError
from lamplighter.registry import STRANDED, Verdict
from lamplighter.service.office import DryRun, Office
from lamplighter.service.people import Person
from lamplighter.service.web import plan_form
from lamplighter.service.web.page import Operator, TheOffice, go, render
from lamplighter.service.web.plan_form import Fields
from lamplighter.service.web.security import whole
from lamplighter.store.registry import Registered

router: Final = APIRouter()

_GROUPS_SHOWN: Final = 100
_STRATA_SHOWN: Final = 100
_UNTRIED: Final = "The plan is not the one that was tried: look at this dry run first."
_USUAL: Final = """\
name = ""
approvals = 1
lasts = "60d"
[[wave]]
name = "canary"
share = "1 %"
minimum = 50
soak = "24h"
[[wave]]
name = "tenth"
share = "10 %"
minimum = 200
soak = "12h"
[[wave]]
name = "everyone"
share = "100 %"
"""
"""What a form begins with; the rest is as `campaign.plan` has it."""


async def fields(request: Request) -> Fields:
    """What a form says, field by field."""
    async with request.form() as form:
        return plan_form.grouped(
            (name, value) for name, value in form.multi_items() if isinstance(value, str)
        )


Given = Annotated[Fields, Depends(fields)]


@router.get("/campaigns/new")
def blank(
    request: Request, person: Operator, office: TheOffice, like: int = 0, revise: int = 0, release: str = ""
) -> Response:
    """An empty form, or one filled in with the plan of a campaign: to write another, or to revise a draft."""
    if like or revise:
        try:
            known = office.campaign(person, like or revise)
        except UsageError as cause:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(cause)) from cause
        plan = known.campaign.plan
        found = plan_form.fields_of(plan)
        if like:
            found["name"] = [""]
        return _page(
            request, person, office, found, plan_form.document_of(plan), known.registered.name, revise=revise
        )
    plan = plans.parse(_USUAL.replace('name = ""', 'name = "-"', 1))
    found = plan_form.fields_of(plan) | {"name": [""]}
    if release and all(it.name != release for it in _offered(office, person)):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no release {release[:80]!r} that is in use.")
    return _page(request, person, office, found, "", release)


@router.post("/campaigns/new")
def tried(request: Request, person: Operator, office: TheOffice, given: Given) -> Response:
    """Try a plan, and create the draft where that very plan was tried before."""
    act = _one(given, "do")
    release = _one(given, "release")
    revise = whole(_one(given, "revise")) or 0
    text = _one(given, "toml").replace("\r\n", "\n")
    if act in {"try form", "fill"}:
        try:
            text = plan_form.to_toml(given, text)
        except UsageError as refusal:
            return _page(request, person, office, given, text, release, revise=revise, refusal=str(refusal))
    try:
        plan = plans.parse(text)
        shown = plan_form.fields_of(plan)
        if act == "fill":
            return _page(request, person, office, shown, text, release, revise=revise, open_text=True)
        run = office.dry_run(person, plan, release)
        if act == "create" and _one(given, "tried") == _mark(text, release):
            return _keep(request, person, office, text, release, revise, run)
    except UsageError as refusal:
        known = given if act in {"try form", "fill"} else _read(text, given)
        is_text = act not in {"try form", "fill"}
        return _page(
            request, person, office, known, text, release,
            revise=revise, refusal=str(refusal), open_text=is_text,
        )  # fmt: skip
    return _page(
        request, person, office, shown, text, release, revise=revise, run=run, open_text=act == "try text",
        refusal=_UNTRIED if act == "create" else "",
    )  # fmt: skip


def _keep(
    request: Request, person: Person, office: Office, text: str, release: str, revise: int, run: DryRun
) -> Response:
    if revise:
        made = office.revise(person, revise, text, release)
        said = f"The plan of {made.name} was changed: it is to be approved anew. Nothing is ordered yet."
    else:
        made = office.create(person, text, release)
        said = f"{made.name} is a draft: somebody else has to approve it. Nothing is ordered yet."
    if run.forecast is not None:  # counts from the start, whenever that is: the chart draws it then
        office.store.forecasts.save(made.id, run.forecast, person.name, office.clock())
    return go(request, f"/campaigns/{made.id}", said)


def _read(text: str, given: Fields) -> Fields:
    """The form as the text has it, or as it was where the text cannot be read."""
    try:
        return plan_form.fields_of(plans.parse(text))
    except UsageError:
        return given


def _page(
    request: Request,
    person: Person,
    office: Office,
    found: Fields,
    text: str,
    release: str,
    *,
    revise: int = 0,
    run: DryRun | None = None,
    refusal: str = "",
    open_text: bool = False,
) -> Response:
    releases = _offered(office, person)
    try:
        numbers = {name: plan_form.rows(name, found) for name in ("wave", "window")}
    except UsageError:
        numbers = {"wave": [], "window": []}
    return render(
        request,
        "new.html",
        HTTPStatus.BAD_REQUEST if refusal and run is None else HTTPStatus.OK,
        fields=found,
        text=text,
        release=release,
        releases=releases,
        chosen=any(it.name == release for it in releases),
        revise=revise,
        run=run,
        tried=_mark(text, release) if run is not None else "",
        refusal=refusal,
        open_text=open_text,
        choices=plan_form.CHOICES,
        numbers=numbers,
        groups_shown=_GROUPS_SHOWN,
        strata_shown=_STRATA_SHOWN,
        out=[] if run is None else _out(run),
        stranded=STRANDED,
    )


def _offered(office: Office, person: Person) -> list[Registered]:
    """Releases that a campaign may bring, the latest first."""
    return [it for it in reversed(office.releases(person)) if it.withdrawn_at is None]


def _out(run: DryRun) -> list[tuple[Verdict, int]]:
    """Who is out, by the reason, the most first."""
    return sorted(
        ((it, devices) for it, devices in run.verdicts.items() if devices and it is not Verdict.ELIGIBLE),
        key=lambda it: -it[1],
    )


def _one(given: Fields, name: str) -> str:
    values = given.get(name) or [""]
    return values[0]


def _mark(text: str, release: str) -> str:
    """What tells one plan and release from another; no secret: who sends it can try the plan as well."""
    return hashlib.sha256(f"{release}\n{text}".encode()).hexdigest()
