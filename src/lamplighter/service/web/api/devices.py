"""Devices: find some among ten million, and see where one stands, how it came there, and what comes next."""

from typing import Annotated, Final, Literal, get_args

from fastapi import Path, Query
from pydantic import Field

from lamplighter.campaign.state import Progress
from lamplighter.kit import Eui64, FirmwareVersion, UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol.duis import DeviceStatus, DeviceType
from lamplighter.registry import Device as RegistryDevice
from lamplighter.registry import Part
from lamplighter.service.office import Journey as OfficeJourney
from lamplighter.service.web.api import cursors
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import (
    EUI_PATTERN,
    PRINTABLE,
    Cursor,
    Eui,
    Hex4,
    Limit,
    Moment,
    Page,
    Reader,
    TheOffice,
    Told,
    Version,
    routes_of,
)
from lamplighter.store.fleet import SORTS, Wanted

router: Final = routes_of("devices")

_HEX4: Final = "^[0-9A-Fa-f]{4}$"
_Sort = Literal[
    "eui", "type", "manufacturer", "model", "hardware", "firmware", "status", "region", "hub_model", "tag",
    "-eui", "-type", "-manufacturer", "-model", "-hardware", "-firmware", "-status", "-region", "-hub_model",
    "-tag",
]  # fmt: skip
assert set(SORTS) | {f"-{sort}" for sort in SORTS} == set(get_args(_Sort))


class DeviceLine(Told):
    """A Device as the registry knows it."""

    eui: Eui
    type: str
    hub: Eui
    manufacturer: Hex4
    model: Hex4
    hardware: Hex4
    firmware: Version
    status: str
    gbcs_version: str
    part: str = Field(description="The part that we play at its premises: none, import, gas, both.")
    tag: str
    region: str
    hub_model: str
    hub_firmware: str
    hub_capable: bool | None = Field(description="Whether its hub can update it; null: unknown.")


class Event(Told):
    """A piece of evidence."""

    at: Moment
    attempt: int
    fact: str
    message: str
    cause: str
    detail: str
    version: Version | None
    octets: int | None = Field(description="Of the message that says so; null: it was our own doing.")


class Journey(Told):
    """A Device's way through one campaign."""

    campaign: int
    name: str = Field(description="The campaign's.")
    version: Version = Field(description="What it is to be brought to.")
    state: str
    cause: str
    attempt: int
    since: Moment = Field(description="When it was last heard of.")
    waits_for: str
    timeline: list[Event]


class Device(Told):
    """All that is known of one Device."""

    eui: Eui
    registry: DeviceLine | None = Field(description="null: it is not in the registry any more.")
    journeys: list[Journey]


@router.get("/devices")
def list_devices(
    person: Reader,  # noqa: ARG001 # it is that which lets them in
    office: TheOffice,
    type_: Annotated[DeviceType | None, Query(alias="type")] = None,
    manufacturer: Annotated[str | None, Query(pattern=_HEX4)] = None,
    model: Annotated[str | None, Query(pattern=_HEX4)] = None,
    hardware: Annotated[str | None, Query(pattern=_HEX4)] = None,
    firmware: Annotated[str | None, Query(pattern="^[0-9A-Fa-f]{8}$")] = None,
    status: Annotated[DeviceStatus | None, Query()] = None,
    part: Annotated[Part | None, Query()] = None,
    region: Annotated[str | None, Query(max_length=16, pattern=PRINTABLE)] = None,
    hub_model: Annotated[str | None, Query(max_length=32, pattern=PRINTABLE)] = None,
    tag: Annotated[str | None, Query(max_length=64, pattern=PRINTABLE)] = None,
    hub: Annotated[str | None, Query(pattern=EUI_PATTERN)] = None,
    prefix: Annotated[
        str | None, Query(pattern="^[0-9A-Fa-f]{1,16}$", description="First hex digits of the EUI-64.")
    ] = None,
    sort: Annotated[_Sort, Query(description="With a hyphen before it: from the last to the first.")] = "eui",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeviceLine]:
    """Devices that are looked for.

    A page may be shorter than `limit` where very many had to be looked at: go on while there is a `next`.
    """
    filters = {
        "type": type_, "manufacturer": manufacturer, "model": model, "hardware": hardware,
        "firmware": firmware, "status": status, "part": part, "region": region, "hub_model": hub_model,
        "tag": tag, "hub": hub, "prefix": prefix, "sort": sort,
    }  # fmt: skip
    after = cursors.decode("devices", filters, cursor, str)
    wanted = Wanted(
        type_,
        _hex(manufacturer),
        _hex(model),
        _hex(hardware),
        None if firmware is None else FirmwareVersion.parse(firmware),
        status,
        part,
        region,
        hub_model,
        tag,
        None if hub is None else Eui64.parse(hub),
        prefix or "",
    )
    try:
        found = office.store.fleet.search(wanted, sort, after, limit)
    except UsageError as cause:
        raise cursors.wrong() from cause
    more = None if found.next is None else cursors.encode("devices", filters, found.next)
    return Page[DeviceLine](items=[_line(it) for it in found.devices], next=more)


@router.get("/devices/{eui}")
def show_device(
    eui: Annotated[str, Path(pattern=EUI_PATTERN, description="EUI-64.")], person: Reader, office: TheOffice
) -> Device:
    """Where one Device is, how it came there, and what comes next."""
    try:
        seen = office.device(person, Eui64.parse(eui))
    except UsageError as cause:
        raise ProblemError(Kind.NOT_FOUND, str(cause)) from cause
    return Device(
        eui=str(seen.eui),
        registry=None if seen.device is None else _line(seen.device),
        journeys=[_journey(it) for it in seen.journeys],
    )


def _hex(digits: str | None) -> int | None:
    return None if digits is None else int(digits, 16)


def _line(it: RegistryDevice) -> DeviceLine:
    cohort = it.cohort
    return DeviceLine(
        eui=str(it.eui),
        type=cohort.type.value,
        hub=str(it.hub),
        manufacturer=f"{cohort.manufacturer:04X}",
        model=f"{cohort.model:04X}",
        hardware=f"{cohort.hardware:04X}",
        firmware=str(cohort.firmware),
        status=cohort.status.value,
        gbcs_version=cohort.gbcs_version,
        part=cohort.part.value,
        tag=cohort.tag,
        region=cohort.region,
        hub_model=cohort.hub_model,
        hub_firmware=cohort.hub_firmware,
        hub_capable=cohort.hub_capable,
    )


def _journey(it: OfficeJourney) -> Journey:
    return Journey(
        campaign=it.campaign.id,
        name=it.campaign.name,
        version=str(it.version),
        state=it.progress.state.value,
        cause=it.progress.cause.name.lower(),
        attempt=it.progress.attempt,
        since=to_iso(it.since),
        waits_for=it.waits_for,
        timeline=[
            Event(
                at=to_iso(entry.evidence.at),
                attempt=Progress.of(entry.step, it.progress.stage).attempt,
                fact=entry.evidence.fact.name.lower(),
                message=entry.evidence.message,
                cause=entry.evidence.cause.name.lower(),
                detail=entry.evidence.detail,
                version=None if entry.evidence.version is None else str(entry.evidence.version),
                octets=None if entry.octets is None else len(entry.octets),
            )
            for entry in it.entries
        ],
    )
