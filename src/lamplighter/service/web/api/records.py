"""What lies in the record: dead letters, messages, alert storms, the audit."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from lamplighter.kit import Eui64, UsageError
from lamplighter.kit.chain import Entry, encode
from lamplighter.kit.instant import to_iso
from lamplighter.service.office import LETTERS_MAX, Office
from lamplighter.service.told import Node
from lamplighter.service.web.api import cursors
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import (
    BIG_MAX,
    EUI_PATTERN,
    PRINTABLE,
    WHOLE,
    After,
    BigId,
    Cursor,
    Eui,
    Given,
    IdQuery,
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
from lamplighter.store.audit import WHAT_MAX, WHO_MAX
from lamplighter.store.storms import Storm as StoreStorm

router: Final = routes_of("record")

JSON_LINES: Final = "application/jsonl"
_ENTRIES_AT_ONCE: Final = 1_000


class Letter(Told):
    """A message that could not be applied."""

    id: int
    received_at: Moment
    code: str
    device: Eui | None
    stands_for: int = Field(description="Equal messages that it stands for.")
    octets: int
    since: Moment = Field(description="Since when it lies here.")
    reason: str


class Letters(Given):
    """Which dead letters."""

    ids: list[Annotated[int, Field(ge=1, le=BIG_MAX), WHOLE]] = Field(min_length=1, max_length=LETTERS_MAX)


class Replayed(Told):
    """What came of it."""

    asked: int
    revived: int = Field(description="So many can be applied now; the others stay, with their reason.")


class Unwanted(Letters):
    """Which are to be put away, and why."""

    reason: Reason


class Dismissed(Told):
    """What came of it."""

    dismissed: int = Field(description="So many are put away. The messages stay in the inbox.")


class MessageNode(Told):
    """A field of a message, or what fields stand in."""

    name: str
    value: str
    meaning: str
    place: str
    passed: bool | None = Field(
        description="Of a check: whether it passed; null: it is none, or was not made."
    )
    children: list["MessageNode"]


class Message(Told):
    """A message from the DCC, told."""

    id: int
    received_at: Moment
    code: str
    device: Eui | None
    dead: str | None = Field(description="Why it could not be applied; null: it could.")
    tree: MessageNode


class Storm(Told):
    """Alerts that come far too often."""

    id: int
    code: str
    manufacturer: str | None = Field(description="Four hex digits; null: unknown.")
    model: str | None
    hardware: str | None
    version: Version | None
    device: Eui | None = Field(description="The one Device; null: many that run this version.")
    first_at: Moment
    last_at: Moment
    ended_at: Moment | None = Field(description="null: it goes on.")
    alerts: int
    throttled: int
    devices: int
    peak: int
    cured_by: int | None = Field(description="The release that cures it.")


class AuditEntry(Told):
    """Something that was done."""

    id: int
    at: Moment
    who: str
    what: str
    campaign: int | None
    subject: str
    detail: str
    digest: str


class AuditHead(Told):
    """The end of the chain."""

    entries: int
    digest: str
    head: str = Field(description="As `lamplighter audit verify --head` takes it. Keep it somewhere else.")


# --- letters


@router.get("/dead-letters")
def list_dead_letters(
    person: Reader, office: TheOffice, limit: Limit = 100, cursor: Cursor = None
) -> Page[Letter]:
    """Messages that could not be applied, by number."""
    after = cursors.decode("dead-letters", {}, cursor, int) or 0
    found = list(office.dead_letters(person, after, limit + 1))
    items, more = page("dead-letters", {}, found, limit, lambda at: found[at].letter.id)
    return Page[Letter](
        items=[
            Letter(
                id=it.letter.id,
                received_at=to_iso(it.letter.received_at),
                code=it.letter.code,
                device=_eui(it.letter.device),
                stands_for=it.letter.weight,
                octets=len(it.letter.octets),
                since=to_iso(it.since),
                reason=it.reason,
            )
            for it in items
        ],
        next=more,
    )


@router.post("/dead-letters/replay", response_model=Replayed)
def replay_dead_letters(given: Letters, person: Operator, office: TheOffice, act: TheAct) -> Response:
    """Read dead letters again."""

    def do() -> Replayed:
        ids = set(given.ids)
        return Replayed(asked=len(ids), revived=office.replay(person, ids))

    return act.act(person, do)


@router.post("/dead-letters/dismiss", response_model=Dismissed)
def dismiss_dead_letters(given: Unwanted, person: Operator, office: TheOffice, act: TheAct) -> Response:
    """Put dead letters away for good that are nobody's fault."""
    return act.act(person, lambda: Dismissed(dismissed=office.dismiss(person, given.ids, given.reason)))


@router.get("/messages/{number}")
def show_message(number: BigId, person: Reader, office: TheOffice) -> Message:
    """A message with every field, and what its signatures are worth."""
    try:
        seen = office.message(person, number)
    except UsageError as cause:
        raise ProblemError(Kind.NOT_FOUND, str(cause)) from cause
    return Message(
        id=seen.letter.id,
        received_at=to_iso(seen.letter.received_at),
        code=seen.letter.code,
        device=_eui(seen.letter.device),
        dead=seen.dead,
        tree=_node(seen.tree),
    )


# --- storms


@router.get("/storms")
def list_storms(
    person: Reader,  # noqa: ARG001 # it is that which lets them in
    office: TheOffice,
    active: Annotated[bool | None, Query(description="Only those that go on, or that are over.")] = None,
    device: Annotated[str | None, Query(pattern=EUI_PATTERN, description="Only this Device's.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Storm]:
    """Alert storms, the earliest first."""
    filters = {"active": active, "device": device}
    after = cursors.decode("storms", filters, cursor, int) or 0
    storms = office.store.storms
    if device is None:
        found = storms.list(after, limit + 1, active=active)
    else:
        mine = sorted(storms.of_device(Eui64.parse(device)), key=lambda it: it.id)
        found = [it for it in mine if it.id > after and active in {None, it.is_open}][: limit + 1]
    items, more = page("storms", filters, found, limit, lambda at: found[at].id)
    return Page[Storm](items=[_storm(it) for it in items], next=more)


# --- the audit


@router.get("/audit")
def list_audit(
    person: Reader,
    office: TheOffice,
    campaign: IdQuery = None,
    who: Annotated[str | None, Query(min_length=1, max_length=WHO_MAX, pattern=PRINTABLE)] = None,
    what: Annotated[str | None, Query(min_length=1, max_length=WHAT_MAX, pattern=PRINTABLE)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """What was done, by whom, in its order."""
    filters = {"campaign": campaign, "who": who, "what": what}
    after = cursors.decode("audit", filters, cursor, int) or 0
    found = list(office.audit(person, after, limit + 1, campaign=campaign, who=who, what=what))
    items, more = page("audit", filters, found, limit, lambda at: found[at].id)
    return Page[AuditEntry](items=[_entry(it) for it in items], next=more)


@router.get("/audit/head")
def audit_head(person: Reader, office: TheOffice) -> AuditHead:
    """The end of the audit's chain, to be kept somewhere else."""
    head = office.audit_head(person)
    return AuditHead(entries=head.id, digest=head.digest.hex(), head=str(head))


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One entry a line, as `lamplighter audit verify` reads it.",
            "content": {JSON_LINES: {"schema": {"type": "string"}}},
        }
    },
)
def export_audit(
    person: Reader,
    office: TheOffice,
    after: After = 0,
) -> StreamingResponse:
    """The audit as JSON lines, to be verified anywhere."""
    return StreamingResponse(
        _lines(office, person, after),
        media_type=JSON_LINES,
        headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'},
    )


def _lines(office: Office, person: Any, after: int) -> Iterator[str]:
    while entries := office.audit(person, after, _ENTRIES_AT_ONCE):
        yield "".join(encode(it) + "\n" for it in entries)
        after = entries[-1].id


# --- rows


def _eui(device: Eui64 | None) -> str | None:
    return None if device is None else str(device)


def _node(it: Node) -> MessageNode:
    return MessageNode(
        name=it.name,
        value=it.value,
        meaning=it.meaning,
        place=it.place,
        passed=it.passed,
        children=[_node(child) for child in it.children],
    )


def _hex4(number: int) -> str | None:
    return None if number < 0 else f"{number:04X}"


def _storm(it: StoreStorm) -> Storm:
    return Storm(
        id=it.id,
        code=it.code,
        manufacturer=_hex4(it.manufacturer),
        model=_hex4(it.model),
        hardware=_hex4(it.hardware),
        version=None if it.version is None else str(it.version),
        device=_eui(it.device),
        first_at=to_iso(it.first_at),
        last_at=to_iso(it.last_at),
        ended_at=moment(it.ended_at),
        alerts=it.alerts,
        throttled=it.throttled,
        devices=it.devices,
        peak=it.peak,
        cured_by=it.cured_by,
    )


def _entry(it: Entry) -> AuditEntry:
    return AuditEntry(
        id=it.id,
        at=to_iso(it.at),
        who=it.who,
        what=it.what,
        campaign=it.campaign,
        subject=it.subject,
        detail=it.detail,
        digest=it.digest.hex(),
    )
