"""Webhooks: who is told of what, and what they were told."""

from typing import Annotated, Final, Literal

from fastapi import Query
from pydantic import Field, StringConstraints
from starlette.responses import Response

from lamplighter.kit import UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.service import webhooks
from lamplighter.service.office import Office
from lamplighter.service.web.api import cursors
from lamplighter.service.web.api.problems import Kind, ProblemError
from lamplighter.service.web.api.shapes import (
    BIG_MAX,
    ID_MAX,
    WHOLE,
    Administrator,
    Cursor,
    Given,
    Id,
    Limit,
    Moment,
    Page,
    TheAct,
    TheOffice,
    Told,
    moment,
    page,
    routes_of,
)
from lamplighter.store.webhooks import Delivery as StoreDelivery
from lamplighter.store.webhooks import Kind as EventKind
from lamplighter.store.webhooks import Status
from lamplighter.store.webhooks import Webhook as StoreWebhook

router: Final = routes_of("webhooks")

KindWord = Literal["campaign", "wave", "gate", "device"]
_REPLAY_MAX: Final = 1_000


class Webhook(Told):
    """A receiver, and what it is told of."""

    id: int
    url: str
    kinds: list[KindWord]
    campaign: int | None = Field(description="Of this campaign alone; null: of all.")
    inside: bool
    created_by: str
    created_at: Moment
    failures: int = Field(description="How often in a row it has failed.")
    due_at: Moment | None = Field(description="Not before then is it tried again; null: at once.")


class NewWebhook(Given):
    """A receiver that is to be told."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=webhooks.URL_MAX)] = Field(
        description="https://HOST/PATH, of a public address."
    )
    kinds: list[KindWord] = Field(min_length=1, max_length=4)
    campaign: Annotated[int, Field(ge=1, le=ID_MAX), WHOLE] | None = None
    inside: bool = Field(
        default=False,
        description="It is in our own network: a loopback or private address, and plain HTTP, are allowed.",
    )


class AddedWebhook(Told):
    """A webhook, and its secret: this once."""

    webhook: Webhook
    secret: str | None = Field(
        description="What deliveries are signed with. Shown once; null where this was answered before."
    )


class Delivery(Told):
    """One thing that a webhook was told, or is to be."""

    id: int
    webhook: int
    event: str = Field(description="What the receiver knows it by: `Webhook-Id`.")
    kind: KindWord
    status: Literal["pending", "delivered", "dead"]
    attempts: int
    since: Moment
    tried_at: Moment | None
    reason: str | None = Field(description="Why the latest attempt failed.")
    body: str = Field(description="As it is posted.")


class Deliveries(Given):
    """Which are to be delivered once more."""

    ids: list[Annotated[int, Field(ge=1, le=BIG_MAX), WHOLE]] = Field(min_length=1, max_length=_REPLAY_MAX)


class ReplayedDeliveries(Told):
    """What came of it."""

    again: int = Field(description="So many are delivered once more; the others wait already.")


@router.get("/webhooks")
def list_webhooks(
    person: Administrator,  # noqa: ARG001 # it is that which lets them in
    office: TheOffice,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Webhook]:
    """Who is told of what, the oldest first."""
    after = cursors.decode("webhooks", {}, cursor, int) or 0
    found = [it for it in office.store.webhooks.all() if it.id > after]
    items, more = page("webhooks", {}, found[: limit + 1], limit, lambda at: found[at].id)
    return Page[Webhook](items=[_webhook(it) for it in items], next=more)


@router.post(
    "/webhooks",
    status_code=201,
    response_model=AddedWebhook,
)
def add_webhook(given: NewWebhook, person: Administrator, office: TheOffice, act: TheAct) -> Response:
    """Tell a receiver from now on; the answer alone has its secret."""

    def do() -> AddedWebhook:
        try:
            webhooks.check_url(given.url, inside=given.inside)
        except UsageError as cause:
            raise ProblemError(Kind.INVALID, f"body.url: {cause}") from cause
        added = webhooks.add(
            office.store,
            given.url,
            set(map(EventKind, given.kinds)),
            person.name,
            office.clock(),
            campaign=given.campaign,
            inside=given.inside,
        )
        return AddedWebhook(webhook=_webhook(added), secret=added.secret)

    return act.act(person, do, 201, kept=lambda it: it.model_copy(update={"secret": None}))


@router.get("/webhooks/{number}")
def show_webhook(number: Id, person: Administrator, office: TheOffice) -> Webhook:  # noqa: ARG001 # as above
    """One webhook."""
    return _webhook(_known(office, number))


@router.delete("/webhooks/{number}", status_code=204)
def remove_webhook(number: Id, person: Administrator, office: TheOffice) -> None:
    """Tell it nothing more."""
    _known(office, number)
    office.store.webhooks.remove(number, person.name, office.clock())


@router.get("/webhooks/{number}/deliveries")
def list_deliveries(
    number: Id,
    person: Administrator,  # noqa: ARG001 # as above
    office: TheOffice,
    status: Annotated[Status | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Delivery]:
    """What it was told, the latest first."""
    _known(office, number)
    filters = {"webhook": number, "status": status}
    before = cursors.decode("deliveries", filters, cursor, int)
    found = office.store.webhooks.deliveries(number, status, before=before, limit=limit + 1)
    items, more = page("deliveries", filters, found, limit, lambda at: found[at].id)
    return Page[Delivery](items=[_delivery(it) for it in items], next=more)


@router.post(
    "/webhooks/{number}/replay",
    response_model=ReplayedDeliveries,
)
def replay_deliveries(
    number: Id, given: Deliveries, person: Administrator, office: TheOffice, act: TheAct
) -> Response:
    """Deliver once more, in their order."""

    def do() -> ReplayedDeliveries:
        _known(office, number)
        again = office.store.webhooks.replay(given.ids, person.name, office.clock(), webhook=number)
        return ReplayedDeliveries(again=again)

    return act.act(person, do)


def _known(office: Office, number: int) -> StoreWebhook:
    try:
        return office.store.webhooks.find(number)
    except UsageError as cause:
        raise ProblemError(Kind.NOT_FOUND, f"There is no webhook {number}.") from cause


def _webhook(it: StoreWebhook) -> Webhook:
    return Webhook(
        id=it.id,
        url=it.url,
        kinds=[kind.value for kind in EventKind if kind in it.kinds],
        campaign=it.campaign,
        inside=it.inside,
        created_by=it.created_by,
        created_at=to_iso(it.created_at),
        failures=it.failures,
        due_at=moment(it.due_at),
    )


def _delivery(it: StoreDelivery) -> Delivery:
    return Delivery(
        id=it.id,
        webhook=it.webhook,
        event=it.event,
        kind=it.kind.value,
        status=it.status.value,
        attempts=it.attempts,
        since=to_iso(it.since),
        tried_at=moment(it.tried_at),
        reason=it.reason,
        body=it.body,
    )
