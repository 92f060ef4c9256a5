"""The command line as a whole: help, exit codes, errors in one line, and quick start-up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.text import Text
from tests.store.campaigning import Fleet

from lamplighter import __version__
from lamplighter.cli import output
from lamplighter.cli.logs import quiet_logs
from lamplighter.kit import DecodeError, Eui64, Instant
from lamplighter.protocol.smki import Role, Use, issue
from lamplighter.service import keyfiles

INSTALLED = Path(sys.executable).with_name("lamplighter")

COMMANDS = {
    "demo": (),
    "image": ("inspect", "build", "sign", "seal", "verify", "extract", "compare"),
    "keys": ("init", "import", "list"),
    "message": ("decode",),
}
EVERY = [(group, *verb) for group, verbs in COMMANDS.items() for verb in ([(v,) for v in verbs] or [()])]


def test_bare_call_shows_every_verb_group(run):
    outcome = run()
    assert outcome.code == 0
    assert all(f"│ {group} " in outcome.out for group in COMMANDS)


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_has_help_that_fits_80_columns_and_offers_json(run, command):
    outcome = run(*command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: lamplighter {' '.join(command)}")
    assert "--json" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("command", [c for c in EVERY if c != ("demo",)], ids=" ".join)
def test_every_parameter_is_explained(run, command):
    lines = run(*command, "--help").out.splitlines()
    for line in lines:
        if line.startswith("│") and ("--" in line[:8] or "*" in line[:4]):
            assert "  " in line[6:].strip(" │"), f"no help beside: {line}"


@pytest.mark.parametrize("group", [group for group, verbs in COMMANDS.items() if verbs])
def test_every_verb_group_lists_its_verbs(run, group):
    outcome = run(group)
    assert outcome.code == 0
    assert all(f"│ {verb} " in outcome.out for verb in COMMANDS[group])


def test_version_is_the_packages_own(run):
    assert run("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("imag",), 'Unknown command "imag"'),
        (("image", "inspect"), "FILE"),
        (("image", "inspect", "x.ota", "--colour"), "--colour"),
        (("image", "inspect", "/nowhere/x.ota"), "cannot read /nowhere/x.ota: No such file or directory"),
        (("image", "verify", "x.ota", "--hash", "12"), "expected 64 hex digits, found '12'"),
        (("keys", "list", "/nowhere"), "there is no key directory /nowhere"),
        (("image", "inspect", "--srv", "11.2", "x.ota"), "11.2"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_wrong_command_line_is_one_line_on_stderr_and_exit_code_2(run, arguments, named):
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert named in outcome.err
    assert outcome.err.count("\n") == 1
    as_json = run(*arguments, "--json")
    assert as_json.code == 2
    assert as_json.error["kind"] == "usage"
    assert named in as_json.error["message"]


def test_a_refused_input_names_file_structure_field_offset_expected_and_found(run, built):
    octets = bytearray(built.read_bytes())
    octets[6] = 61
    built.write_bytes(octets)
    outcome = run("image", "inspect", built)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"lamplighter: {built}: OTA Upgrade Image: header length at 6: expected 0x003C, found 0x003D\n"
    )
    assert run("--json", "image", "inspect", built).error == {
        "kind": "decode",
        "what": "OTA Upgrade Image",
        "field": "header length",
        "offset": 6,
        "expected": "0x003C",
        "found": "0x003D",
        "file": str(built),
        "message": f"{built}: OTA Upgrade Image: header length at 6: expected 0x003C, found 0x003D",
    }


def test_a_bug_is_one_line_too(run, built, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a slip")

    monkeypatch.setattr("lamplighter.protocol.image.decode", broken)
    outcome = run("image", "inspect", built)
    assert outcome.code == 1
    assert outcome.err.startswith(
        "lamplighter: this is a bug in lamplighter, please report it: ZeroDivisionError"
    )
    assert outcome.err.count("\n") == 1
    assert "kind" in run("image", "inspect", built, "--json").error


def test_an_argument_that_is_no_text_is_no_bug_of_ours(run, tmp_path):
    """A seed or a name is hashed and written down; only a file name may hold any octets."""
    database = f"sqlite:///{tmp_path / 'l.db'}"
    Fleet(database).close()
    outcome = run("report", "metrics", "--campaign", "a\udcff", "--database", database)
    assert (2, "lamplighter: 'a\\udcff' is not UTF-8\n") == (outcome.code, outcome.err)


def test_a_bug_shows_its_traceback_where_asked(run, built, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a slip")

    monkeypatch.setattr("lamplighter.protocol.image.decode", broken)
    monkeypatch.setenv("LAMPLIGHTER_TRACEBACK", "1")
    assert "Traceback" in run("image", "inspect", built).err


def test_interruption_has_the_shells_exit_code(run, built, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lamplighter.protocol.image.decode", interrupted)
    assert run("image", "inspect", built).code == 130


def test_nothing_in_a_file_can_steer_the_terminal(run, built, tmp_path):
    hostile = bytearray(built.read_bytes())
    hostile[20:52] = b"\x1b]0;pwned\x07\x1b[31m[red]x[/red]".ljust(32, b"\xff")
    path = tmp_path / "hostile.ota"
    path.write_bytes(hostile)
    outcome = run("image", "inspect", path)
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    assert "\x07" not in outcome.out
    assert "[red]" in outcome.out


def test_refusals_are_pickled_with_their_notes_for_nobody_but_keep_their_parts():
    refusal = DecodeError("a", "b", 1, "c", "d")
    refusal.add_note("file")
    assert str(refusal) == "a: b at 1: expected c, found d"


def test_the_installed_script_is_the_same_program(built):
    done = subprocess.run(
        [INSTALLED, "image", "inspect", built, "--json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"file_version": "00000002"' in done.stdout


def test_a_reader_that_goes_away_is_no_traceback(built):
    script = f"'{INSTALLED}' image inspect '{built}' | true"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_full_disk_is_one_line(built):
    done = subprocess.run(
        ["sh", "-c", f"'{INSTALLED}' image inspect '{built}' > /dev/full"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "lamplighter: cannot write to stdout: No space left on device\n"


def test_a_pipe_is_not_folded_and_a_terminal_is(built):
    """Who reads a pipe has no width; COLUMNS gives it one."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    calls = [environment, environment | {"COLUMNS": "60"}]
    command = [INSTALLED, "image", "verify", built, "--hash", "00" * 32]
    piped, narrow = (
        subprocess.run(command, capture_output=True, text=True, env=each, check=False).stdout.splitlines()
        for each in calls
    )
    assert len(piped) < len(narrow)
    assert max(map(len, narrow)) <= 60 < max(map(len, piped))


def test_a_terminal_without_unicode_still_gets_its_answer(built):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [INSTALLED, "image", "inspect", built], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2713  size" in done.stdout


@pytest.mark.parametrize("name", ["line\nbreak.ota", "esc\x1b[31m.ota", "not-utf8-\udcff.ota"], ids=ascii)
def test_no_file_name_can_steer_the_terminal(run, built, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(built.read_bytes())
    missing = path.with_name(f"missing-{name}")
    for outcome in (run("image", "inspect", path), run("image", "inspect", missing)):
        assert "\x1b" not in outcome.out + outcome.err
        assert outcome.err.count("\n") <= 1
    assert run("image", "inspect", path, "--json").facts["file"] == str(path)


STEERING = "\x1b[31m\x9b2J\u202egnp.\x07\r\n✓  size  as it should be"
ESCAPED = r"\x1b[31m\x9b2J\u202egnp."


def steers(text):
    """Whether anything but plain lines is in it."""
    return any(not line.isprintable() for line in text.split("\n"))


def test_no_part_of_a_view_can_steer_the_terminal_or_forge_a_line(capsys, monkeypatch):
    """Whatever a command shows, wherever it stands: heading, cell, verdict or a part of its own."""
    monkeypatch.setenv("COLUMNS", "200")
    table = output.grid("column")
    table.add_row(STEERING)
    table.add_row(Text.assemble("a ", (STEERING, "dim"), " z"))
    view = output.page(
        STEERING,
        STEERING,
        table,
        output.pairs([(STEERING, STEERING)]),
        output.verdicts([output.Verdict(STEERING, False, STEERING)]),
        output.indented(Text(STEERING, "yellow")),
    )
    output.show(output.Report({"text": STEERING}, output.Uncut(view)), as_json=False)
    shown = capsys.readouterr().out
    assert not steers(shown)
    assert 9 == shown.count(ESCAPED)
    assert not any(line.startswith("✓") for line in shown.splitlines())
    output.show(output.Report({"text": STEERING}, view), as_json=True)
    exact = capsys.readouterr().out
    assert exact.isascii()
    assert {"text": STEERING} == json.loads(exact)


def test_styles_stay_on_their_words_beside_what_is_escaped():
    table = output.grid("column")
    table.add_row(Text.assemble(("\x9b", "red"), ("good", "green"), "\x9b"))
    console = Console(force_terminal=True, color_system="standard", legacy_windows=False, no_color=False)
    with console.capture() as captured:
        console.print(table)
    assert "\x1b[31m\\x9b\x1b[0m\x1b[32mgood\x1b[0m\\x9b" in captured.get()


def test_no_message_can_steer_the_terminal(run):
    """XML may hold a C1 control and a turn of the writing direction as character references."""
    xml = (
        '<sr:Request xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">'
        "<sr:Header><sr:RequestID>a&#x9b;31m&#x202e;rtl&#10;✓  XML signature  by the DCC</sr:RequestID>"
        "</sr:Header></sr:Request>"
    )
    outcome = run("message", "decode", "-", stdin=xml.encode())
    assert r"a\x9b31m\u202ertl" in outcome.out
    assert not steers(outcome.out + outcome.err)
    assert not any(line.startswith("✓") for line in outcome.out.splitlines())


def test_no_peer_can_steer_the_terminal_through_the_log(capsys):
    quiet_logs()
    structlog.get_logger().error("request given up", reason=STEERING, bare="\x9b31m\u202egnp")
    said = capsys.readouterr().err
    assert r"bare=\x9b31m\u202egnp" in said
    assert not {"\x9b", "\u202e", "\r"} & set(said)
    assert 1 == said.count("\n")


def test_no_issuer_can_steer_the_terminal(run, tmp_path, built):
    key = ec.derive_private_key(77, ec.SECP256R1())
    certificate = issue(
        issuer="CN=\x1b[31mTrusted\x1b[2J",
        issuer_key=key,
        holder=Eui64.of(7),
        role=Role.SUPPLIER,
        use=Use.DIGITAL_SIGNATURE,
        public_key=key.public_key(),
        serial=5,
        not_before=Instant(0),
        not_after=Instant(10**16),
    )
    keyfiles.create(tmp_path / "keys")
    keyfiles.store(tmp_path / "keys", certificate, key)
    signed = tmp_path / "signed.ota"
    assert run("image", "sign", built, "-o", signed, "--keys", tmp_path / "keys").code == 0
    outcome = run("image", "verify", signed, "--keys", tmp_path / "keys")
    assert r"\x1b[31mTrusted" in outcome.out
    assert not steers(outcome.out)


def test_help_imports_no_protocol_and_no_verb():
    script = (
        "import sys; from lamplighter.cli import main; main(['--help']);"
        "late = ('lamplighter.protocol', 'lamplighter.cli.', 'lxml');"
        "print([name for name in sys.modules if name.startswith(late)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
