"""`lamplighter audit`: what was done, by whom; to look at, to keep, and to verify without a database."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from lamplighter.cli import files, output
from lamplighter.cli.arguments import DATABASE, Database, Force, Source, Who
from lamplighter.cli.output import Report, Verdict
from lamplighter.cli.place import office, opened, person
from lamplighter.kit import UsageError, VerificationError, chain
from lamplighter.kit.instant import to_iso
from lamplighter.service.people import Scope
from lamplighter.store.audit import ENTRIES_MAX

app: Final = App(name="audit", help="What was done, and by whom.", help_format="markdown")

_SHOWN: Final = 50
_DETAIL: Final = 60  # characters on a line

Head = Annotated[
    str | None,
    Parameter(
        metavar="NUMBER:DIGEST", help="A head that was kept elsewhere: the chain must pass through it."
    ),
]


@app.command(name="list")
def list_(
    *,
    campaign: Annotated[str | None, Parameter(help="Of this campaign.")] = None,
    who: Annotated[str | None, Parameter(help="By this person.", name="--who")] = None,
    what: Annotated[str | None, Parameter(help='Of this kind, such as "approve" or "set roles".')] = None,
    after: Annotated[int, Parameter(help="Above this number, in order; default: the latest ones.")] = 0,
    limit: Annotated[int, Parameter(help="At most so many.")] = _SHOWN,
    by: Who = "",
    database: Database = DATABASE,
) -> Report:
    """Entries of the audit, in their order."""
    if not 1 <= limit <= ENTRIES_MAX:
        raise UsageError(f"--limit takes 1 to {ENTRIES_MAX}, not {limit}")
    with opened(database) as store:
        me = person(store, by)
        number = None if campaign is None else store.campaigns.find(campaign).id
        head = store.audit.head()
        asked: dict[str, Any] = {"campaign": number, "who": who, "what": what}
        if after:
            entries = list(office(store).audit(me, after, limit, **asked))
        else:
            entries = list(office(store).audit(me, 0, limit, before=head.id + 1, **asked))[::-1]
        names = {it.id: it.name for it in store.campaigns.list()}
    table = output.grid("id", "when", "who", "what", "to what", "", right=("id",))
    for it in entries:
        of = names.get(it.campaign, "") if it.campaign is not None else ""
        subject = ", ".join(filter(None, dict.fromkeys((of, it.subject))))
        detail = it.detail if len(it.detail) <= _DETAIL else f"{it.detail[:_DETAIL]}…"
        table.add_row(str(it.id), to_iso(it.at)[:19].replace("T", " "), it.who, it.what, subject, detail)
    page = output.page("audit", f"{head.id:,} entries", output.pairs([("head", str(head))]), table)
    return Report([_facts(it, names) for it in entries], page)


@app.command
def export(
    out: Annotated[Path | None, Parameter(help="Default: stdout, and then the lines alone.")] = None,
    /,
    *,
    force: Force = False,
    by: Who = "",
    database: Database = DATABASE,
) -> Report | None:
    """Write the whole audit as JSON lines, verified on the way, and print its head: keep that elsewhere.

    With the file and a head that was kept where nobody could change it, `audit verify` tells later, without
    any database, whether anything was changed, taken out, put in, moved or cut off.
    """
    with opened(database) as store:
        person(store, by).require(Scope.READ)
        if out is None:
            store.audit.export(sys.stdout)
            return None
        if out.exists() and not force:
            raise UsageError(f"{out} exists already; --force replaces it")
        scratch = out.with_name(f".{out.name}.part")
        try:
            with scratch.open("w", encoding="ascii", newline="\n") as file:
                head = store.audit.export(file)
            scratch.replace(out)
        except OSError as cause:
            raise UsageError(f"cannot write {out}: {cause.strerror}") from cause
        finally:
            scratch.unlink(missing_ok=True)
    facts = {"file": str(out), "entries": head.id, "head": str(head)}
    return Report(facts, output.page(str(out), f"{head.id:,} entries", output.pairs([("head", str(head))])))


@app.command
def verify(file: Source, /, *, head: Head = None) -> Report:
    """Verify an export, without any database; exit code 1 where anything was done to it.

    Found is any entry that was changed, taken out, put in or moved. That entries were cut off at the end, or
    all was made anew, only a head tells that was kept elsewhere: give it with --head.

    Parameters
    ----------
    file
        What `audit export` wrote; `-` for stdin.
    """
    kept = None if head is None else chain.parse_head(head)
    with files.about(file):
        try:
            end = chain.verify(chain.read(_lines(file)), head=kept)
        except VerificationError as refusal:
            facts = {
                "file": files.name_of(file),
                "verified": False,
                "check": refusal.check,
                "reason": str(refusal),
            }
            verdict = Verdict(refusal.check, False, f"expected {refusal.expected}, found {refusal.found}")
            page = output.page(files.name_of(file), "not as it was", output.verdicts([verdict]))
            return Report(facts, page, passed=False)
    through = "no --head was given: whether entries were cut off at the end is not known"
    verdicts = [
        Verdict("chain", True, f"{end.id:,} entries, each as it was written"),
        Verdict(
            "head", None if kept is None else True, through if kept is None else f"passes through {kept}"
        ),
    ]
    facts = {"file": files.name_of(file), "verified": True, "entries": end.id, "head": str(end)}
    facts |= {"verdicts": output.verdict_facts(verdicts)}
    page = output.page(files.name_of(file), f"head {end}", output.verdicts(verdicts))
    return Report(facts, page)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, one at a time: an audit may be larger than memory."""
    try:
        if str(path) == files.STDIN:
            yield from _bounded(sys.stdin.buffer)
            return
        with path.open("rb") as file:
            yield from _bounded(file)
    except OSError as cause:
        raise UsageError(f"cannot read {files.name_of(path)}: {cause.strerror}") from cause


def _bounded(file: Any) -> Iterator[bytes]:
    """Lines; of one that is too long its beginning, which is then refused."""
    while line := file.readline(chain.LINE_OCTETS_MAX + 1):
        yield line


def _facts(it: chain.Entry, names: dict[int, str]) -> dict[str, Any]:
    return {
        "id": it.id,
        "at": to_iso(it.at),
        "who": it.who,
        "what": it.what,
        "campaign": None if it.campaign is None else names.get(it.campaign, str(it.campaign)),
        "subject": it.subject,
        "detail": it.detail,
        "digest": it.digest.hex(),
    }
