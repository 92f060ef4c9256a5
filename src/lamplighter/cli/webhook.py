"""`lamplighter webhook`: whom we tell of what happens, what they were told, and telling it once more."""

from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import output
from lamplighter.cli.arguments import DATABASE, Database, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, opened, person
from lamplighter.kit import UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.service import webhooks
from lamplighter.service.people import Scope
from lamplighter.store.webhooks import Delivery, Kind, Status, Webhook

app: Final = App(
    name="webhook",
    help="Tell programs elsewhere what happens to campaigns and Devices.",
    help_format="markdown",
)

_SHOWN: Final = 50
_AT_ONCE: Final = 1_000
_REASON: Final = 60  # characters on a line

Number = Annotated[int, Parameter(help="The webhook's, as `webhook list` shows it.")]


@app.command
def add(
    url: Annotated[str, Parameter(help="Where to post to: https://HOST/PATH.")],
    /,
    *,
    kind: Annotated[
        list[Literal["campaign", "wave", "gate", "device"]] | None,
        Parameter(negative="", help="What to tell; may be repeated. Default: all but device."),
    ] = None,
    campaign: Annotated[str | None, Parameter(help="Only of this campaign.")] = None,
    inside: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="It is in our own network: a loopback or private address, and plain HTTP, are allowed.",
        ),
    ] = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Tell a receiver from now on. Prints the secret that deliveries are signed with: this once.

    `lamplighter serve` and `worker` deliver. A delivery is tried for three days, with pauses up to an hour;
    the next one waits for it.
    """
    with opened(database) as store:
        me = person(store, by)
        me.require(Scope.ADMINISTER)
        kinds = {Kind(it) for it in kind} if kind else set(Kind) - {Kind.DEVICE}
        number = None if campaign is None else store.campaigns.find(campaign).id
        added = webhooks.add(store, url, kinds, me.name, now(), campaign=number, inside=inside)
    facts = _facts(added) | {"secret": added.secret}
    rows = [("url", added.url), ("tells", " ".join(facts["kinds"])), ("secret", added.secret)]
    note = Text("the secret is shown this once: keep it where the receiver has it", "dim")
    return Report(facts, output.page(f"webhook {added.id}", "added", output.pairs(rows), note))


@app.command(name="list")
def list_(*, by: Who = "", database: Database = DATABASE) -> Report:
    """Whom we tell of what."""
    with opened(database) as store:
        person(store, by).require(Scope.ADMINISTER)
        found = store.webhooks.all()
        names = {it.id: it.name for it in store.campaigns.list()}
    table = output.grid("id", "url", "tells", "of", "by", "failures in a row", right=("id",))
    for it in found:
        facts = _facts(it)
        of = "all campaigns" if it.campaign is None else names.get(it.campaign, "")
        table.add_row(str(it.id), it.url, " ".join(facts["kinds"]), of, it.created_by, str(it.failures))
    none = Text("nobody is told of anything; `webhook add URL` changes that", "dim")
    page = output.page("webhooks", f"{len(found)}", table if found else none)
    return Report([_facts(it) for it in found], page)


@app.command
def remove(number: Number, /, *, by: Who = "", database: Database = DATABASE) -> Report:
    """Tell a receiver nothing more; what waits for it is dead."""
    with opened(database) as store:
        me = person(store, by)
        me.require(Scope.ADMINISTER)
        removed = store.webhooks.remove(number, me.name, now())
    return Report(_facts(removed), Text(f"webhook {number} was removed: {removed.url}"))


@app.command
def deliveries(
    number: Number,
    /,
    *,
    status: Annotated[
        Literal["pending", "delivered", "dead"] | None, Parameter(help="Only those that stand so.")
    ] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = _SHOWN,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """What a receiver was told, the latest first; why a delivery failed, and how to send it once more."""
    if not 1 <= limit <= _AT_ONCE:
        raise UsageError(f"--limit takes 1 to {_AT_ONCE}, not {limit}")
    with opened(database) as store:
        person(store, by).require(Scope.ADMINISTER)
        store.webhooks.find(number)
        found = store.webhooks.deliveries(number, None if status is None else Status(status), limit=limit)
    table = output.grid("id", "event", "kind", "status", "attempts", "tried", "reason", right=("id",))
    for it in found:
        reason = it.reason or ""
        table.add_row(
            str(it.id),
            it.event,
            it.kind.value,
            it.status.value,
            str(it.attempts),
            "" if it.tried_at is None else to_iso(it.tried_at)[:19].replace("T", " "),
            reason if len(reason) <= _REASON else f"{reason[:_REASON]}…",
        )
    parts: list[Any] = [table if found else Text("nothing yet", "dim")]
    if dead := [it.id for it in found if it.status is Status.DEAD]:
        parts.append(Text(f"lamplighter webhook replay {number} {dead[-1]}   sends a dead one again", "dim"))
    page = output.page(f"deliveries of webhook {number}", f"{len(found)}", *parts)
    return Report([_delivery_facts(it) for it in found], page)


@app.command
def replay(
    number: Number,
    ids: Annotated[
        list[int] | None,
        Parameter(help="Deliveries, as `webhook deliveries` shows them.", negative=""),
    ] = None,
    /,
    *,
    dead: Annotated[
        bool, Parameter(negative="", show_default=False, help="All of its dead ones, up to 1,000.")
    ] = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Send deliveries once more, in their order and before what is newer, and at once."""
    if bool(ids) == dead:
        raise UsageError("say which: ids, or --dead")
    with opened(database) as store:
        me = person(store, by)
        me.require(Scope.ADMINISTER)
        store.webhooks.find(number)
        asked = list(ids or ())
        if dead:
            asked = [it.id for it in store.webhooks.deliveries(number, Status.DEAD, limit=_AT_ONCE)]
        again = store.webhooks.replay(asked, me.name, now(), webhook=number) if asked else 0
    return Report({"asked": len(asked), "again": again}, Text(f"{again} of {len(asked)} are sent once more"))


def _facts(it: Webhook) -> dict[str, Any]:
    return {
        "id": it.id,
        "url": it.url,
        "kinds": [kind.value for kind in Kind if kind in it.kinds],
        "campaign": it.campaign,
        "inside": it.inside,
        "created_by": it.created_by,
        "created": to_iso(it.created_at),
        "removed": None if it.removed_at is None else to_iso(it.removed_at),
        "failures": it.failures,
    }


def _delivery_facts(it: Delivery) -> dict[str, Any]:
    return {
        "id": it.id,
        "event": it.event,
        "kind": it.kind.value,
        "status": it.status.value,
        "attempts": it.attempts,
        "tried": None if it.tried_at is None else to_iso(it.tried_at),
        "reason": it.reason,
        "body": it.body,
    }
