"""The command line: one module a verb group; each command parses, calls, and returns a `Report`.

`main` is the only place that prints: a report on stdout, for people or with `--json` for machines; a failure
as one line on stderr, or one JSON object. Exit codes: 0 done, 1 something failed or did not verify, 2 the
command line itself was wrong, or names what cannot be read or written. A module is imported only when one
of its commands is called, so that `lamplighter --help` is quick.
"""

import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, CycloptsError, Parameter

from lamplighter import __version__
from lamplighter.kit import LamplighterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamplighter.cli.output import Report

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

TRACEBACK_SETTING: Final = "LAMPLIGHTER_TRACEBACK"

app: Final = App(
    name="lamplighter",
    help="Over-the-air firmware updates for the small devices in smart-metered homes.",
    version=__version__,
    version_flags=["--version"],
    help_format="markdown",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command("lamplighter.cli.backup:backup", name="backup", help="Copy a SQLite database that is at work.")
app.command(
    "lamplighter.cli.campaign:app",
    name="campaign",
    help="Plan, approve, start, watch, end a campaign.",
)
app.command("lamplighter.cli.audit:app", name="audit", help="What was done, and by whom.")
app.command("lamplighter.cli.device:app", name="device", help="Where one Device is, and how it came there.")
app.command("lamplighter.cli.inbox:app", name="inbox", help="Messages that came; dead letters.")
app.command("lamplighter.cli.demo:demo", name="demo", help="Run a campaign over 300 emulated homes.")
app.command(
    "lamplighter.cli.evidence:app", name="evidence", help="Pack and verify what is known of a campaign."
)
app.command("lamplighter.cli.image:app", name="image", help="Inspect, build, sign, verify firmware images.")
app.command("lamplighter.cli.keys:app", name="keys", help="Make, import and list certificates and keys.")
app.command("lamplighter.cli.lab:app", name="lab", help="Rehearse against an emulated DCC and its homes.")
app.command("lamplighter.cli.message:app", name="message", help="Decode DUIS and GBCS messages.")
app.command("lamplighter.cli.plan:app", name="plan", help="Rehearse a campaign; reckon whether it pays.")
app.command("lamplighter.cli.people:app", name="people", help="Accounts, roles, passwords, API tokens.")
app.command("lamplighter.cli.registry:app", name="registry", help="Import and show Devices, hubs, the CPL.")
app.command("lamplighter.cli.release:app", name="release", help="Register, check and withdraw images.")
app.command("lamplighter.cli.backup:restore", name="restore", help="Put such a copy in its place.")
app.command(
    "lamplighter.cli.report:app", name="report", help="Figures: what came of updates, which alerts storm."
)
app.command("lamplighter.cli.serve:serve", name="serve", help="Run a Supplier: take messages, decide, send.")
app.command("lamplighter.cli.serve:receive", name="receive", help="Take messages, and nothing else.")
app.command("lamplighter.cli.web:web", name="web", help="Serve the pages and the API, and nothing else.")
app.command("lamplighter.cli.webhook:app", name="webhook", help="Tell programs elsewhere what happens.")
app.command("lamplighter.cli.serve:worker", name="worker", help="Decide and send, beside other workers.")

app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def _run(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print JSON, for machines; errors too.")
    ] = False,
) -> int:
    from lamplighter.cli import output  # noqa: PLC0415 # rich is slow to import, and parsing may fail first

    result: Report | int | None = app(tokens, exit_on_error=False, print_error=False)
    if isinstance(result, output.Report):
        output.show(result, as_json=json)
        if result.then is not None:
            sys.stdout.flush()
            result.then()
        return EXIT_DONE if result.passed else EXIT_FAILED
    return EXIT_DONE if result is None else result


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run one command line, by default the process's own; returns the exit code and never raises."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    options = tokens[: tokens.index("--")] if "--" in tokens else tokens
    as_json = "--json" in options
    if as_json:  # to the front: behind a missing file name it would be taken for one
        tokens = ["--json", *(t for t in options if t != "--json"), *tokens[len(options) :]]
    try:
        code: int | None = app.meta(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(EXIT_USAGE, error, {"kind": "usage"}, as_json=as_json)
    except LamplighterError as error:
        code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
        return _fail(code, error, _facts(error), as_json=as_json)
    except OSError as error:
        # Nobody reads, as with `| head`, or the disk is full; keep the interpreter from saying so again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return EXIT_FAILED
        unwritten = OSError(f"cannot write to stdout: {error.strerror or error}")
        return _fail(EXIT_FAILED, unwritten, {"kind": "output"}, as_json=as_json)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 # the last line of defence: a bug is one line too
        # File names may hold any octets; what is written down or hashed is text.
        wrong = [it for it in tokens if not _is_text(it)] if isinstance(error, UnicodeEncodeError) else []
        if wrong:
            untold = UsageError(f"{wrong[0]!a} is not UTF-8")
            return _fail(EXIT_USAGE, untold, {"kind": "usage"}, as_json=as_json)
        if os.environ.get(TRACEBACK_SETTING):
            traceback.print_exc()
        facts = {"kind": "bug", "type": type(error).__name__}
        return _fail(EXIT_FAILED, error, facts, as_json=as_json)
    return code or EXIT_DONE


def _is_text(argument: str) -> bool:
    """Whether it has no octet that the system could not read as UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in argument)


def _facts(error: LamplighterError) -> dict[str, Any]:
    kind = type(error).__name__.removesuffix("Error").lower()
    return {"kind": kind} | {name: value for name, value in vars(error).items() if not name.startswith("_")}


def _fail(code: int, error: Exception, facts: dict[str, Any], *, as_json: bool) -> int:
    from lamplighter.cli import files  # noqa: PLC0415 # start-up time

    places = getattr(error, "__notes__", [])
    message = ": ".join([*places, " ".join(str(error).split())])
    if facts["kind"] == "bug":
        message = (
            f"this is a bug in lamplighter, please report it: {facts['type']}: {message} "
            f"({TRACEBACK_SETTING}=1 shows where)"
        )
    if as_json:
        import json  # noqa: PLC0415 # start-up time

        where = {"file": places[-1]} if places else {}
        print(json.dumps({"error": facts | where | {"message": message}}), file=sys.stderr)  # noqa: T201 # the shell
    else:
        print(f"lamplighter: {files.printable(message)}", file=sys.stderr)  # noqa: T201 # the shell's one line
    return code
