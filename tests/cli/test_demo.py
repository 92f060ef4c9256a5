"""The whole of it, Supplier and lab over real HTTP: campaigns end, bad firmware is held, all is kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lamplighter.campaign import State
from lamplighter.service import keyfiles
from lamplighter.store import Store

HOMES = 80  # enough for a canary and two waves of both hardware versions, few enough for seconds


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """One demo for all that is asked of it, as a person runs it: its facts, what it wrote, what it kept."""
    kept = tmp_path_factory.mktemp("demo") / "kept"
    program = Path(sys.executable).with_name("lamplighter")
    command = (program, "demo", "--homes", str(HOMES), "--keep", kept, "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout), kept


def test_all_that_is_not_held_is_proven(walk):
    """Exit code 0, and for machines where every Device of both campaigns is."""
    done, facts, _ = walk
    assert (0, True, False) == (done.returncode, facts["passed"], facts["timed_out"])
    displays, switches = facts["campaigns"]
    assert {"proven": facts["proven"] - displays["states"]["proven"]} == switches["states"]
    assert ("running", "finished") == (displays["status"], switches["status"])


def test_bad_firmware_is_held_in_its_stratum_alone(walk):
    """The older hardware is held by its gate, with the reason; the newer passed, to the last wave."""
    _, facts, _ = walk
    strata = {it["name"]: it for it in facts["campaigns"][0]["strata"]}
    bad, good = strata["hardware=1101"], strata["hardware=1111"]
    assert ["hardware=1101"] == facts["held"]
    assert ("hold", "canary", True) == (bad["ruling"], bad["wave"], "failed" in bad["held"])
    assert ("everyone", {"proven"}) == (good["wave"], set(good["states"]))
    assert (facts["harmed"], {"failed"}) == (bad["states"]["failed"], set(bad["states"]))


def test_each_way_is_told_from_order_to_proof(walk):
    """A PPMID in one step, an HCALCS in two, and the proof is the version from the Device itself."""
    _, facts, _ = walk
    ways = {(it["campaign"], it["state"]): it for it in facts["devices"]}
    messages = _as_if_in_order(ways["displays", "proven"]["timeline"])
    assert ["SRV 11.4", "I99", "N60", "N62", "N39"] == messages
    messages = _as_if_in_order(ways["switches", "proven"]["timeline"])
    assert ["SRV 11.1", "I99", "N60", "N62", "8F72", "SRV 11.3", "I99", "CS06"] == messages
    assert "01000000" == ways["displays", "failed"]["timeline"][-2]["version"]
    for name in ("displays", "switches"):
        assert "02000000" == ways[name, "proven"]["timeline"][-1]["version"]


def _as_if_in_order(timeline):
    """The messages' names; the DCC's first alert may overtake its answer, which goes another way."""
    messages = [it["message"] for it in timeline]
    return [messages[0], *sorted(messages[1:3]), *messages[3:]]


def test_too_few_of_a_kind_for_a_gate_is_no_success_and_says_why(run):
    """Of twelve homes two have the older hardware: they fail, no gate may hold them; exit code 1."""
    result = run("demo", "--homes", 12, "--seed", "few")
    assert (1, True) == (result.code, "too few of a kind for a gate to hold" in " ".join(result.out.split()))


def test_nothing_is_written_on_stderr_that_is_no_terminal(walk):
    """Progress is for who watches; a log gets none, not even an empty line."""
    assert "" == walk[0].stderr


def test_what_is_left_behind_can_be_decoded(walk, run):
    """All that was sent and received is believed again with the kept certificates; no private key is kept."""
    _, _, kept = walk
    messages, requests = (sorted((kept / name).iterdir()) for name in ("messages", "requests"))
    assert {"ppmid", "hcalcs"} == {path.name.split("-")[0] for path in messages}
    services = {path.stem.split("-", 1)[1] for path in requests}
    assert {"11.4-CV8", "11.1-CV8", "11.3-CV4", "11.3-CV5"} == services
    for path in messages + requests:
        outcome = run("message", "decode", path, "--keys", kept / "keys")
        assert (0, 2) == (outcome.code, outcome.out.count("✓  contents") + outcome.out.count("✓  XML"))
    assert not any(entry.private for entry in keyfiles.entries(kept / "keys"))


def test_the_database_that_is_left_behind_is_what_the_evidence_says(walk, run):
    """`campaign show --verify` on the kept database: every state and tally follows from the evidence."""
    _, _, kept = walk
    url = f"sqlite:///{kept / 'lamplighter.db'}"
    for name in ("displays", "switches"):
        assert 0 == run("campaign", "show", name, "--verify", "--database", url).code
    store = Store.open(url)
    assert (0, 0) == (len(store.inbox.dead_letters()), len(store.inbox.refusals()))
    store.close()


def test_the_published_image_ends_up_running(run, templates):
    """The DCC's own PPMID image, out of its sample request, is proven; no hardware is harmed by it."""
    [template] = templates.glob("11.4_*.XML")
    result = run("demo", "--json", "--homes", 6, "--ppmid-image", template)
    assert (0, []) == (result.code, result.facts["held"])
    displays = result.facts["campaigns"][0]
    assert ("ACDCACDC", "finished") == (displays["version"], displays["status"])


def test_the_demo_overwrites_nothing(run, tmp_path):
    """--keep wants a new directory."""
    result = run("demo", "--keep", tmp_path)
    assert (2, True) == (result.code, "exists already" in result.err)


def test_a_demo_that_runs_out_of_time_fails_and_says_so(run):
    """Not proven is exit code 1; it is no verdict on the Devices."""
    result = run("demo", "--homes", 2, "--json", "--timeout", "0.001")
    assert (1, False, True) == (result.code, result.facts["passed"], result.facts["timed_out"])
    told = " ".join(run("demo", "--homes", 2, "--timeout", "0.001").out.split())
    assert "gave up after 0.001 s (--timeout)" in told


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf"])
def test_a_demo_without_an_end_or_a_beginning_is_refused(run, timeout):
    """A time-out is a number of seconds."""
    result = run("demo", "--timeout", timeout)
    assert (2, True) == (result.code, "--timeout takes a number of seconds above 0" in result.err)


@pytest.mark.parametrize("homes", ["0", "-3", "5001"])
def test_a_demo_of_no_homes_or_too_many_is_refused(run, homes):
    """It is a demo: a fleet is for `lab serve` and `serve`."""
    result = run("demo", "--homes", homes)
    assert (2, True) == (result.code, "--homes takes 1 to 5000" in result.err)


def test_states_are_spelt_for_machines_as_people_read_them():
    """One spelling everywhere: `at hub`."""
    assert all(state.name.lower().replace("_", " ") == state.value for state in State)
