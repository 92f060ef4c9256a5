"""Signing in and out."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lamplighter.kit import UsageError
from lamplighter.service.oidc import OpenId
from lamplighter.service.people import UnauthenticatedError
from lamplighter.service.web.page import Reader, ThePeople, go, render
from lamplighter.service.web.page import people as people_of
from lamplighter.service.web.security import address_of, cookie_name, local_path

router: Final = APIRouter()

_FIELD_MAX: Final = 512
_AWAY_SECONDS: Final = 600


@router.get("/login")
def show(request: Request, next: str = "") -> Response:  # noqa: A002 # as it stands in the address
    """The door."""
    target = local_path(next)
    if request.state.person is not None:
        return go(request, target)
    return _page(request, target)


@router.post("/login")
def sign_in(
    request: Request,
    people: ThePeople,
    name: Annotated[str, Form(max_length=_FIELD_MAX)] = "",
    password: Annotated[str, Form(max_length=_FIELD_MAX)] = "",
    next: Annotated[str, Form()] = "",  # noqa: A002
) -> Response:
    """In, with a session that is new; or why not."""
    target = local_path(next)
    try:
        session = people.sign_in(name.strip(), password, address_of(request))
    except UnauthenticatedError as error:
        return _page(request, target, name=name, refusal=str(error), status=HTTPStatus.UNAUTHORIZED)
    return _let_in(request, people, target, session)


@router.post("/logout")
def sign_out(request: Request, people: ThePeople, _person: Reader) -> Response:
    """Out: the session ends here, whatever a browser keeps."""
    name = cookie_name("session", secure=request.state.secure)
    people.sign_out(request.cookies[name])
    answer = go(request, "/login", "You are signed out.")
    answer.delete_cookie(name, secure=request.state.secure, httponly=True, samesite="lax")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


@router.get("/login/oidc")
def depart(request: Request, next: str = "") -> Response:  # noqa: A002
    """To the provider, that says who it is."""
    openid = _openid(request)
    try:
        url, cookie = openid.begin(local_path(next), address_of(request))
    except UnauthenticatedError as error:
        return _page(request, local_path(next), refusal=str(error), status=HTTPStatus.BAD_GATEWAY)
    answer = RedirectResponse(url, HTTPStatus.SEE_OTHER)
    secure = request.state.secure
    answer.set_cookie(
        cookie_name("oidc", secure=secure),
        cookie,
        max_age=_AWAY_SECONDS,
        secure=secure,
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get("/login/oidc/callback")
def arrive(request: Request, people: ThePeople) -> Response:
    """Back from the provider."""
    openid = _openid(request)
    secure = request.state.secure
    name = cookie_name("oidc", secure=secure)
    try:
        session, target = openid.finish(
            dict(request.query_params), request.cookies.get(name), address_of(request)
        )
    except (UnauthenticatedError, UsageError) as error:
        answer = _page(request, "/", refusal=str(error), status=HTTPStatus.UNAUTHORIZED)
    else:
        answer = _let_in(request, people, local_path(target), session)
    answer.delete_cookie(name, secure=secure, httponly=True, samesite="lax")
    return answer


def _openid(request: Request) -> OpenId:
    openid: OpenId | None = request.app.state.openid
    if openid is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "Nobody but us says here who somebody is.")
    return openid


def _let_in(request: Request, people: ThePeople, target: str, session: str) -> Response:
    """On to a page with a new session; the one that the browser came with is over, and the door's cookie."""
    secure = request.state.secure
    name = cookie_name("session", secure=secure)
    if request.state.person is not None:
        people.sign_out(request.cookies[name])
    answer = go(request, target)
    answer.set_cookie(name, session, secure=secure, httponly=True, samesite="lax")
    answer.delete_cookie(cookie_name("entry", secure=secure), secure=secure, httponly=True, samesite="lax")
    return answer


def _page(
    request: Request, target: str, *, name: str = "", refusal: str = "", status: int = HTTPStatus.OK
) -> Response:
    openid: OpenId | None = request.app.state.openid
    provider = None if openid is None else openid.settings.called
    return render(
        request,
        "login.html",
        status,
        next=target,
        name=name,
        refusal=refusal,
        provider=provider,
        nobody=not people_of(request).any(),
    )
