"""Releases: register an image, see what there is and who may have it, withdraw."""

from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import DecodeError, FirmwareVersion, VerificationError
from lamplighter.protocol.image import MAX_IMAGE_OCTETS
from lamplighter.service import candidates
from lamplighter.service.candidates import Check
from lamplighter.service.office import Office
from lamplighter.service.web.api import cursors
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import (
    PRINTABLE,
    Cursor,
    Given,
    Hex4,
    Id,
    Limit,
    Moment,
    Operator,
    Page,
    Reader,
    Reason,
    TheAct,
    TheOffice,
    Told,
    Version,
    moment,
    page,
    routes_of,
)
from lamplighter.store.registry import Registered

router: Final = routes_of("releases")

_OCTETS: Final = "application/octet-stream"
_UPLOAD_MAX: Final = 4 * MAX_IMAGE_OCTETS  # a DUIS request carries its image in Base64, with more around it
_AFTER_MAX: Final = 100

Security = Annotated[
    str, StringConstraints(min_length=1, max_length=candidates.SECURITY_MAX, pattern=PRINTABLE)
]


class ReleaseLine(Told):
    """A release in a list."""

    id: int
    name: str
    srv: str = Field(description="11.4: distributed and activated in one; 11.1: activated by 11.3.")
    manufacturer: Hex4
    version: Version
    hash: str = Field(description="Manufacturer Image Hash, hex.")
    minimum_hardware: Hex4
    maximum_hardware: Hex4
    after: list[Version] = Field(description="Versions that it may follow; none: any lower one.")
    octets: int = Field(description="Of the image.")
    security: str | None = Field(description="What it cures for security; null: it is no security release.")
    withdrawn_at: Moment | None


class Checked(Told):
    """A check, and how it went."""

    check: str
    passed: bool | None = Field(description="null: it could not be made.")
    reason: str


class CplLine(Told):
    """An entry of the Central Products List."""

    manufacturer: Hex4
    model: Hex4
    hardware: Hex4
    status: str
    hash: str


class ImageField(Told):
    """A field of the image."""

    name: str
    offset: int
    value: str
    meaning: str


class NamedCampaign(Told):
    """A campaign, by name."""

    id: int
    name: str


class Release(ReleaseLine):
    """A release, opened up."""

    checks: list[Checked]
    cpl: list[CplLine] = Field(description="The CPL's entries of its version.")
    verdicts: dict[str, int] = Field(description="Devices by verdict, now.")
    fields: list[ImageField]
    campaigns: list[NamedCampaign]


class AddedRelease(Told):
    """A release that was registered."""

    release: ReleaseLine
    checks: list[Checked]


class Withdrawal(Given):
    """Why it is withdrawn."""

    reason: Reason = ""


class Mark(Given):
    """What it cures for security."""

    security: Security | None = Field(description="null: nothing; a mark is taken back.")


@router.get("/releases")
def list_releases(
    person: Reader, office: TheOffice, limit: Limit = 100, cursor: Cursor = None
) -> Page[ReleaseLine]:
    """All releases, the oldest first."""
    after = cursors.decode("releases", {}, cursor, int) or 0
    found = [it for it in office.releases(person) if it.id > after]
    items, more = page("releases", {}, found[: limit + 1], limit, lambda at: found[at].id)
    return Page[ReleaseLine](items=[line(it) for it in items], next=more)


@router.get("/releases/{number}")
def show_release(number: Id, person: Reader, office: TheOffice) -> Release:
    """One release, opened up."""
    known(office, number)
    seen = office.release(person, number)
    return Release(
        **_values(seen.registered),
        checks=[_checked(it) for it in seen.checks],
        cpl=[
            CplLine(
                manufacturer=f"{it.manufacturer:04X}",
                model=f"{it.model:04X}",
                hardware=f"{it.hardware:04X}",
                status=it.status.value,
                hash=str(it.hash),
            )
            for it in seen.cpl
        ],
        verdicts={verdict.name.lower(): n for verdict, n in seen.verdicts.items() if n},
        fields=[
            ImageField(name=name, offset=offset, value=value, meaning=meaning)
            for name, offset, value, meaning in seen.fields
        ],
        campaigns=[NamedCampaign(id=it.id, name=it.name) for it in seen.campaigns],
    )


async def _octets(request: Request) -> bytes:
    """The image, as it was sent."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _OCTETS:
        raise ProblemError(Kind.MEDIA, f"Send the image as it is, with `Content-Type: {_OCTETS}`.")
    body = await request.body()
    if len(body) > _UPLOAD_MAX:
        raise ProblemError(Kind.TOO_LARGE, f"At most {_UPLOAD_MAX} octets are taken.")
    return body


@router.post(
    "/releases",
    status_code=201,
    response_model=AddedRelease,
    openapi_extra={
        "requestBody": {
            "description": "An OTA file, or the DUIS XML request (11.1, 11.4) that carries one.",
            "required": True,
            "content": {_OCTETS: {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
        }
    },
)
def add_release(
    person: Operator,
    office: TheOffice,
    act: TheAct,
    octets: Annotated[bytes, Depends(_octets)],
    name: Annotated[
        str, Query(min_length=1, max_length=64, pattern=PRINTABLE, description="What to call it.")
    ],
    after: Annotated[
        list[Version] | None,
        Query(max_length=_AFTER_MAX, description="A version that it may follow; none: any lower one."),
    ] = None,
    security: Annotated[
        Security | None,
        Query(description="What it cures for security, such as CVE-2026-1234: a reference of your own."),
    ] = None,
    srv: Annotated[
        Literal["11.1", "11.4"] | None, Query(description="What it is for; none: as it looks.")
    ] = None,
) -> Response:
    """Register an image, if no check fails."""

    def do() -> AddedRelease:
        path = [FirmwareVersion.parse(it) for it in after or ()]
        try:
            candidates.check_name(name)
            added = office.add_release(person, name, octets, after=path, security=security, srv=srv)
        except (DecodeError, VerificationError) as refusal:
            raise ProblemError(Kind.IMAGE, str(refusal)) from refusal
        if added.registered is None:
            failed = "; ".join(f"{it.check}: {it.reason}" for it in added.checks if it.passed is False)
            raise ProblemError(Kind.IMAGE, failed)
        return AddedRelease(release=line(added.registered), checks=[_checked(it) for it in added.checks])

    return act.act(person, do, 201)


@router.post("/releases/{number}/mark", response_model=ReleaseLine)
def mark_release(number: Id, given: Mark, person: Operator, office: TheOffice, act: TheAct) -> Response:
    """Say what a release cures for security. It orders nothing, and approvals stay as they are."""

    def do() -> ReleaseLine:
        known(office, number)
        return line(office.mark(person, number, given.security))

    return act.act(person, do)


@router.post("/releases/{number}/withdraw", response_model=ReleaseLine)
def withdraw_release(
    number: Id, given: Withdrawal, person: Operator, office: TheOffice, act: TheAct
) -> Response:
    """Order nothing more of a release."""

    def do() -> ReleaseLine:
        known(office, number)
        return line(office.withdraw(person, number, given.reason))

    return act.act(person, do)


def known(office: Office, number: int) -> Registered:
    """A release without its octets; raises `ProblemError` where there is none."""
    for it in office.store.registry.releases():
        if it.id == number:
            return it
    raise ProblemError(Kind.NOT_FOUND, f"There is no release {number}.")


def line(it: Registered) -> ReleaseLine:
    """A release in a list."""
    return ReleaseLine(**_values(it))


def _values(it: Registered) -> dict[str, Any]:
    release = it.release
    return {
        "id": it.id,
        "name": it.name,
        "srv": release.procedure.value,
        "manufacturer": f"{release.manufacturer:04X}",
        "version": str(release.version),
        "hash": str(release.hash),
        "minimum_hardware": f"{release.minimum_hardware:04X}",
        "maximum_hardware": f"{release.maximum_hardware:04X}",
        "after": [str(version) for version in sorted(release.path)],
        "octets": it.octets,
        "security": it.security,
        "withdrawn_at": moment(it.withdrawn_at),
    }


def _checked(it: Check) -> Checked:
    return Checked(check=it.check, passed=it.passed, reason=it.reason)
