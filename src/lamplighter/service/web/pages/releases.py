"""Releases: what is in an image, who signed it, what the CPL says, who may have it; and bringing one in."""

import csv
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple, TextIO

from fastapi import APIRouter, File, Form, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import DecodeError, FirmwareVersion, LamplighterError, UsageError
from lamplighter.kit.cell import guard
from lamplighter.registry import STRANDED, Procedure, Release, Verdict
from lamplighter.registry.columns import device_cells
from lamplighter.service.office import Added
from lamplighter.service.web.page import Operator, Reader, TheOffice, go, render
from lamplighter.service.web.pages.fleet import version
from lamplighter.service.web.turns import TheTurns
from lamplighter.store.fleet import Census

router: Final = APIRouter()

_AROUND: Final = 16  # octets shown before and after the one that is wrong, in whole lines
_NAME_SHOWN: Final = 100
_WORK_ORDER: Final = (
    *("DeviceID", "Hub", "DeviceType", "DeviceManufacturer", "DeviceModel"),
    *("DeviceFirmwareVersion", "CSPRegion"),
)


class Octets(NamedTuple):
    """A line of a file, where something in it is wrong."""

    offset: int
    before: str
    wrong: str
    after: str


class Refusal(NamedTuple):
    """Why a file is no image that could be a release."""

    text: str
    decode: DecodeError | None
    """Where in the file; None: it is not about a place in it."""
    lines: tuple[Octets, ...]
    """What stands there."""


class Given(NamedTuple):
    """What was typed, to be shown again."""

    file_name: str = ""
    """Shown, and used for nothing else."""
    name: str = ""
    srv: str = ""
    after: str = ""
    security: str = ""


class Step(NamedTuple):
    """A version that runs today, and whether a release may follow it."""

    version: FirmwareVersion
    devices: int
    verdicts: list[tuple[Verdict, int]]


@router.get("/releases")
def show(request: Request, office: TheOffice, person: Reader) -> Response:
    """All releases, and a place to drop an image."""
    return _list(request, office, person)


@router.post("/releases/check")
def check(
    request: Request,
    office: TheOffice,
    person: Operator,
    file: Annotated[UploadFile, File()],
    srv: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    after: Annotated[str, Form()] = "",
    security: Annotated[str, Form()] = "",
) -> Response:
    """See what would become of an image; nothing is kept."""
    octets = file.file.read()
    given = _given(file, name, srv, after, security)
    try:
        found = office.examine(person, octets, _srv(srv))
    except LamplighterError as error:
        return _list(request, office, person, given=given, refusal=_refusal(error, octets))
    return _list(request, office, person, given=given, added=found)


@router.post("/releases")
def add(
    request: Request,
    office: TheOffice,
    person: Operator,
    file: Annotated[UploadFile, File()],
    name: Annotated[str, Form()] = "",
    srv: Annotated[str, Form()] = "",
    after: Annotated[str, Form()] = "",
    security: Annotated[str, Form()] = "",
) -> Response:
    """Make a release of an image, if no check fails."""
    octets = file.file.read()
    given = _given(file, name, srv, after, security)
    try:
        path = [version("may follow", it) for it in after.replace(",", " ").split()]
        cures = security.strip() or None
        found = office.add_release(person, name.strip(), octets, after=path, security=cures, srv=_srv(srv))
    except LamplighterError as error:
        return _list(request, office, person, given=given, refusal=_refusal(error, octets))
    if found.registered is None:
        return _list(request, office, person, given=given, added=found)
    return go(request, f"/releases/{found.registered.id}", f"{found.registered.name} is registered.")


@router.get("/releases/{number}")
def one(request: Request, office: TheOffice, person: Reader, number: int) -> Response:
    """One release, opened up."""
    try:
        found = office.release(person, number)
    except UsageError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error
    now = office.clock()
    census = office.store.fleet.count(now)
    return render(
        request,
        "release.html",
        found=found,
        release=found.registered.release,
        census=census,
        verdicts=[(it, found.verdicts.get(it, 0)) for it in Verdict if found.verdicts.get(it)],
        stranded=sum(devices for it, devices in found.verdicts.items() if it in STRANDED),
        steps=_steps(office, found.registered.release, census),
    )


@router.post("/releases/{number}/mark")
def mark(
    request: Request,
    office: TheOffice,
    person: Operator,
    number: int,
    security: Annotated[str, Form()] = "",
) -> Response:
    """Say what it cures for security; nothing: it is no security release."""
    found = office.mark(person, number, security.strip() or None)
    said = "no security release" if found.security is None else f"a security release: {found.security}"
    return go(request, f"/releases/{number}", f"{found.name} is {said}.")


@router.post("/releases/{number}/withdraw")
def withdraw(
    request: Request,
    office: TheOffice,
    person: Operator,
    number: int,
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Let nothing more be ordered of it."""
    found = office.withdraw(person, number, reason.strip())
    return go(request, f"/releases/{number}", f"{found.name} is withdrawn: nothing more is ordered of it.")


@router.get("/releases/{number}/stranded.csv")
def stranded(office: TheOffice, turns: TheTurns, person: Reader, number: int) -> Response:
    """A work order for each Device that will never have it."""
    office.store.registry.listed(number)

    def write(file: TextIO) -> None:
        writer = csv.writer(file)
        writer.writerow((*_WORK_ORDER, "Verdict", "Reason"))
        for device, verdict in office.store.registry.stranded(number):
            cells = device_cells(device.eui, device.hub, device.cohort)
            writer.writerow([*(guard(cells[title]) for title in _WORK_ORDER), verdict.name, verdict.value])

    return turns.handed(person.name, f"stranded-{number}.csv", "text/csv; charset=utf-8", write)


def _list(
    request: Request,
    office: TheOffice,
    person: Reader,
    *,
    given: Given | None = None,
    refusal: Refusal | None = None,
    added: Added | None = None,
) -> Response:
    refused = refusal is not None or (added is not None and any(it.passed is False for it in added.checks))
    context: dict[str, Any] = {
        "refusal": refusal,
        "added": added,
        "refused": refused,
        **(given or Given())._asdict(),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK
    if request.headers.get("hx-request"):
        return render(request, "release_verdict.html", HTTPStatus.OK, **context)
    releases = list(reversed(office.releases(person)))
    return render(request, "releases.html", status, releases=releases, **context)


def _given(file: UploadFile, name: str, srv: str, after: str, security: str) -> Given:
    return Given((file.filename or "")[:_NAME_SHOWN], name, srv, after, security)


def _srv(text: str) -> str | None:
    if text not in {"", *(it.value for it in Procedure)}:
        raise UsageError(f"an image is for SRV 11.1 or 11.4, not for {text[:40]!r}")
    return text or None


def _refusal(error: LamplighterError, octets: bytes) -> Refusal:
    if not isinstance(error, DecodeError):
        return Refusal(str(error), None, ())
    is_text = octets.lstrip()[:1] == b"<"
    return Refusal(str(error), error, () if is_text else _lines(octets, error.offset))


def _lines(octets: bytes, at: int) -> tuple[Octets, ...]:
    """The line of the file that the refusal is about, and those beside it."""
    if not 0 <= at <= len(octets):
        return ()
    first = max(0, (at // _AROUND - 1) * _AROUND)
    found = []
    for start in range(first, min(first + 3 * _AROUND, len(octets)), _AROUND):
        line = octets[start : start + _AROUND]
        here = at - start
        if 0 <= here < len(line):
            parts = line[:here], line[here : here + 1], line[here + 1 :]
        else:
            parts = line, b"", b""
        found.append(Octets(start, *(part.hex(" ") for part in parts)))
    return tuple(found)


def _steps(office: TheOffice, release: Release, census: Census) -> list[Step]:
    """The versions that the release's own products run, and whether it may follow them."""
    by_cohort = office.store.fleet.judged(release, census)
    versions: dict[FirmwareVersion, dict[Verdict, int]] = {}
    for it, verdict in by_cohort:
        cohort = it.cohort
        fits = release.minimum_hardware <= cohort.hardware <= release.maximum_hardware
        if cohort.manufacturer != release.manufacturer or not fits or verdict is Verdict.WRONG_PROCEDURE:
            continue
        counts = versions.setdefault(cohort.firmware, {})
        counts[verdict] = counts.get(verdict, 0) + it.devices
    return [
        Step(number, sum(counts.values()), sorted(counts.items(), key=lambda it: -it[1]))
        for number, counts in sorted(versions.items(), reverse=True)
    ]
