"""`lamplighter inbox`: the messages that came, those that could not be applied, and another try at them."""

from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import output, trust
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, Database, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, opened, person
from lamplighter.kit import UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol.smki import Role
from lamplighter.service import keyfiles
from lamplighter.service.gateway import Parties
from lamplighter.service.people import Scope
from lamplighter.service.receiver import replay as read_again

app: Final = App(
    name="inbox", help="Messages that came, and those that could not be applied.", help_format="markdown"
)

_SHOWN: Final = 50


@app.command(name="list")
def list_(
    *,
    everything: Annotated[
        bool,
        Parameter(name="--all", negative="", show_default=False, help="The latest, dead or not."),
    ] = False,
    limit: Annotated[int, Parameter(help="At most so many.")] = _SHOWN,
    database: Database = DATABASE,
) -> Report:
    """Dead letters: messages that were believed and could not be applied, with the reason."""
    if not 1 <= limit <= 100_000:  # a screenful, a report
        raise UsageError(f"--limit takes 1 to 100000, not {limit}")
    with opened(database) as store:
        waiting, dead = store.inbox.counts()
        refused = store.inbox.refusals()
        if everything:
            rows = [(it, "") for it in store.inbox.latest(limit)]
        else:
            rows = [(it.letter, it.reason) for it in store.inbox.dead_letters(limit)]
    facts: dict[str, Any] = {
        "waiting": waiting,
        "dead": dead,
        "refused": [
            {"day": to_iso(it.day)[:10], "reason": it.reason, "messages": it.messages} for it in refused
        ],
        "messages": [
            {
                "id": letter.id,
                "received": to_iso(letter.received_at),
                "code": letter.code,
                "device": None if letter.device is None else str(letter.device),
                "stands_for": letter.weight,
                "octets": len(letter.octets),
                "reason": reason or None,
            }
            for letter, reason in rows
        ],
    }
    table = output.grid("id", "received", "code", "Device", "stands for", "" if everything else "reason")
    for letter, reason in rows:
        table.add_row(
            str(letter.id),
            to_iso(letter.received_at)[:19].replace("T", " "),
            letter.code,
            "" if letter.device is None else str(letter.device),
            str(letter.weight),
            reason,
        )
    parts: list[Any] = [table if rows else Text("nothing lies here", "dim")]
    if refused:
        gate = output.grid("day", "refused at the door", "messages", right=("messages",))
        for it in refused:
            gate.add_row(to_iso(it.day)[:10], it.reason, f"{it.messages:,}")
        parts.append(gate)
    title = "inbox" if everything else "dead letters"
    return Report(facts, output.page(title, f"{dead:,} dead, {waiting:,} wait to be applied", *parts))


@app.command
def replay(
    letters: Annotated[
        list[int] | None, Parameter(help="Ids, as `inbox list` shows them.", negative="")
    ] = None,
    *,
    everything: Annotated[
        bool, Parameter(name="--all", negative="", show_default=False, help="Every dead letter.")
    ] = False,
    keys: Annotated[
        Path | None, Parameter(env_var=f"{ENVIRONMENT}KEYS", help="The key directory that `serve` uses.")
    ] = None,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Read dead letters once more, say after a certificate or a Device was added.

    What can be applied now is, at the next look of `serve` or `worker`; the others stay, with the reason.
    """
    if bool(letters) == everything:
        raise UsageError("say which: ids, or --all")
    if keys is None:
        raise UsageError(f"missing: --keys or {ENVIRONMENT}KEYS: what is inside a message is verified anew")
    ring = keyfiles.load(keys)
    own = {it.holder for it in ring if it.role == Role.XML_SIGNING and ring.private_key(it) is not None}
    broker = trust.broker(ring, None)
    if len(own) != 1 or broker is None:
        raise UsageError(
            f"{keys} does not say who we are: it must hold one private XML signing key, and the ACB"
        )
    with opened(database) as store:
        me = person(store, by)
        me.require(Scope.OPERATE)
        known = {it.letter.id for it in store.inbox.dead_letters(1_000_000)}
        asked = known if everything else set(letters or ())
        if unknown := sorted(asked - known):
            raise UsageError(f"no dead letter has the id {unknown[0]}; `inbox list` shows them")
        revived = read_again(store, Parties(own.pop(), broker, ring), sorted(asked), now(), me.name)
    return Report(
        {"asked": len(asked), "revived": revived},
        Text(f"{revived} of {len(asked)} wait to be applied; the others stay where they are"),
    )
