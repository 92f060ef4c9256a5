"""`lamplighter inbox`: the messages that came, and what to do about those that could not be applied."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter
from rich.text import Text

from lamplighter.cli import output, trust
from lamplighter.cli.arguments import DATABASE, ENVIRONMENT, Database, Who
from lamplighter.cli.output import Report
from lamplighter.cli.place import now, office, opened, person
from lamplighter.kit import UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.protocol.smki import Role
from lamplighter.service import keyfiles
from lamplighter.service.gateway import Parties
from lamplighter.service.office import LETTERS_MAX
from lamplighter.service.people import Scope
from lamplighter.service.receiver import replay as read_again
from lamplighter.service.receiver import replay_all
from lamplighter.store import Store

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
    after: Annotated[
        int, Parameter(show_default=False, help="Dead letters with a higher id than this: the next page.")
    ] = 0,
    database: Database = DATABASE,
) -> Report:
    """Dead letters: messages that were believed and could not be applied, and why; the oldest first."""
    if not 1 <= limit <= 100_000:  # a screenful, a report
        raise UsageError(f"--limit takes 1 to 100000, not {limit}")
    if everything and after:
        raise UsageError("--after goes through dead letters; --all shows the latest messages")
    with opened(database) as store:
        waiting, dead = store.inbox.counts()
        refused = store.inbox.refusals()
        if everything:
            rows = [(it, "") for it in store.inbox.latest(limit)]
        else:
            rows = [(it.letter, it.reason) for it in store.inbox.dead_letters(limit, after)]
        last = rows[-1][0].id if rows else 0
        more = bool(rows) and not everything and bool(store.inbox.dead_numbers(last, 1))
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
        "next": last if more else None,
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
    if more:
        parts.append(Text(f"there are more: --after {last}", "dim"))
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
        parties = Parties(own.pop(), broker, ring)
        if everything:
            asked, revived = replay_all(store, parties, now(), me.name)
        else:
            chosen = store.inbox.chosen(letters or ())
            asked, revived = len(chosen), read_again(store, parties, chosen, now(), me.name)
    return Report(
        {"asked": asked, "revived": revived},
        Text(f"{revived:,} of {asked:,} wait to be applied; the others stay where they are"),
    )


@app.command
def dismiss(
    letters: Annotated[
        list[int] | None, Parameter(help="Ids, as `inbox list` shows them.", negative="")
    ] = None,
    *,
    reason: Annotated[
        str, Parameter(show_default=False, help="Every one whose reason has these words in it.")
    ] = "",
    because: Annotated[
        str, Parameter(help="Why, for the record. It has to be said.", show_default=False)
    ] = "",
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Put dead letters away for good that are nobody's fault, such as news of another Supplier's updates.

    The messages stay in the inbox, and are not read again.
    """
    if bool(letters) == bool(reason.strip()):
        raise UsageError("say which: ids, or --reason")
    with opened(database) as store:
        me, desk = person(store, by), office(store)
        done = sum(desk.dismiss(me, some, because) for some in _pages(store, letters or (), reason.strip()))
    return Report({"dismissed": done}, Text(f"{done:,} put away"))


def _pages(store: Store, ids: Iterable[int], reason: str) -> Iterator[list[int]]:
    """The dead letters with these ids, or with these words in the reason, some at a time."""
    chosen, after = store.inbox.chosen(ids), 0
    for start in range(0, len(chosen), LETTERS_MAX):
        yield chosen[start : start + LETTERS_MAX]
    while reason and (some := store.inbox.dead_numbers(after, LETTERS_MAX, reason)):
        yield some
        after = some[-1]
