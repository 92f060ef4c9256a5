"""`lamplighter plan business-case`: does over the air pay, from when on, and what does that hang on."""

import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from rich.console import Group
from rich.text import Text

from lamplighter.cli import files, output
from lamplighter.cli.arguments import Force
from lamplighter.cli.output import Report
from lamplighter.kit import DecodeError, UsageError
from lamplighter.planning import business
from lamplighter.planning.business import report as page
from lamplighter.planning.business import spread, words
from lamplighter.planning.business.facts import facts
from lamplighter.planning.business.results import FUTURES_MAX, FUTURES_MIN
from lamplighter.planning.reports import charts, to_pdf

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN_SWINGS: Final = 5


def business_case(
    case: Annotated[Path | None, Parameter(metavar="CASE.toml", allow_leading_hyphen=True)] = None,
    /,
    *,
    replicas: int = 10_000,
    seed: int = 1,
    workers: int = 1,
    dask: Annotated[str | None, Parameter(metavar="ADDRESS")] = None,
    html: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    pdf: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    force: Force = False,
    example: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> Report:
    """Whether over-the-air updates pay, against replacing Devices as required and against fixing the hub.

    Monte Carlo over the assumptions of a case: what each option costs over its years, how often over the air
    costs less, where it breaks even, which assumption matters most, and what it is worth to know one better.
    The same case, replicas and seed give the same figures, whoever works them and however many they are.
    `docs/business-case.md` has the formulae.

    Parameters
    ----------
    case
        The case; `-` for stdin. `--example` prints one with every key and what it means.
    replicas
        Futures to draw, 1,000 to 1,000,000.
    seed
        Another seed draws other futures.
    workers
        Processes of this machine that share the work; of a local Dask cluster, with `--dask local`.
    dask
        Let the workers of this Dask scheduler do it, such as `tcp://10.0.0.1:8786`; `local` for a cluster of
        this machine.
    html
        Write the report to this file: one page with all in it.
    pdf
        Write the report to this file too, printed by Chromium.
    example
        Print the commented example case, and do nothing else.
    """
    if example:
        text = business.example()
        return Report({"example": text}, output.Uncut(Text(text.rstrip())))
    if case is None:
        raise UsageError(
            "missing: a file with a case; `plan business-case --example` prints one to begin from"
        )
    if not FUTURES_MIN <= replicas <= FUTURES_MAX:
        raise UsageError(f"--replicas {replicas}: allowed are {FUTURES_MIN} to {FUTURES_MAX}")
    for path in (html, pdf):
        if path is not None and path.exists() and not force:  # before minutes of work, not after
            raise UsageError(f"{path} exists already; --force replaces it")
    if html is not None or pdf is not None:
        charts.required()
    with files.about(case):
        read = business.parse(_text(case), lambda name: _campaign(case, name))
    with _spread(workers, dask) as working:
        study = business.study(read, seed=seed, futures=replicas, spread=working)
    written = _write(study, html, pdf, force=force)
    return Report(facts(study) | {"files": [str(path) for path in written]}, _view(study, written))


def _spread(workers: int, address: str | None) -> AbstractContextManager[spread.Spread]:
    return spread.processes(workers) if address is None else spread.dask(address, workers)


def _text(path: Path) -> str:
    try:
        return files.read(path).decode()
    except UnicodeDecodeError as cause:
        found = f"octet {cause.object[cause.start]:02X}"
        raise DecodeError("file", "text", cause.start, "UTF-8", found) from cause


def _campaign(case: Path, name: str) -> str:
    """A campaign's file, which is named from where the case lies."""
    return _text(Path(name) if str(case) == files.STDIN else case.parent / name)


def _write(study: business.Study, html: Path | None, pdf: Path | None, *, force: bool) -> list[Path]:
    if html is None and pdf is None:
        return []
    shown = page.html(study)
    if html is not None:
        files.write(html, shown.encode(), force=force)
    if pdf is not None:
        with tempfile.TemporaryDirectory(prefix="lamplighter-case-") as folder:
            printed = Path(folder, "report.pdf")
            to_pdf(shown, printed)
            files.write(pdf, printed.read_bytes(), force=force)
    return [path for path in (html, pdf) if path is not None]


def _view(study: business.Study, written: list[Path]) -> Group:
    currency = study.case.currency
    said = [Text(line.replace("**", "")) for line in page.conclusion(study)]
    said[0].stylize("bold", 0, len(words.verdict(study)))
    options = output.grid(
        "option", "cost, mean", "8 futures of 10", "Devices replaced", "cheapest in", right=_RIGHT
    )
    for it in study.options:
        low, high = (words.money(end, currency, short=True) for end in (it.cost.low, it.cost.high))
        options.add_row(
            f"{words.LETTERS[it.option]} {words.OPTIONS[it.option].lower()}",
            words.money(it.cost.mean, currency, short=True),
            f"{low} to {high}",
            words.count(it.replaced),
            words.percent(it.cheapest.share),
        )
    for tie in study.ties:
        options.add_row(words.alike(tie), "", "", "", words.percent(tie.odds.share))
    swings = output.grid(
        "saving, at 10 %", "at 90 %", "of this assumption", right=("saving, at 10 %", "at 90 %")
    )
    for swing in study.swings[:_SHOWN_SWINGS]:
        low, high = (words.money(it, currency, short=True, signed=True) for it in swing.savings)
        swings.add_row(low, high, words.swung(study.case.assumptions[swing.key]))
    parts: list[RenderableType] = [output.stacked(*said), options]
    if study.swings:
        parts.append(swings)
    if written:
        parts.append(Text("written: " + ", ".join(map(str, written)), overflow="fold"))
    return output.page(
        f"business case: {study.case.name}",
        f"{study.case.years} years, {study.futures:,} futures, seed {study.seed}",
        *parts,
    )


_RIGHT: Final = ("cost, mean", "8 futures of 10", "Devices replaced", "cheapest in")
