"""`lamplighter lab`: a lab is served to a stranger, and looked at from within."""

import asyncio
import http.server
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from lamplighter.cli import lab_pages
from lamplighter.kit import Eui64
from lamplighter.lab import dcc, homes, snapshot
from lamplighter.lab import server as lab_server
from lamplighter.lab.dcc.quarantine import AnomalyLimits
from lamplighter.lab.faults import FAULTS
from lamplighter.lab.rehearsal import Rehearsal
from lamplighter.protocol import duis
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role
from lamplighter.service import keyfiles

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 30
PPMID = "02-00-00-00-00-00-00-11"


class Served:
    """A lab in a process of its own."""

    def __init__(self, *arguments):
        command = "import sys; from lamplighter.cli import main; sys.exit(main())"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "lab", "serve", "--json", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = []
        while line := self.process.stdout.readline():
            lines.append(line)
            if line == "}\n":
                break
        assert lines, self.process.stderr.read()
        self.facts = json.loads("".join(lines))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self, number):
        """(exit code, what was said on stderr)."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_served_lab_ends_cleanly(number):
    """Exit code 0 and no complaint, whichever way it is told to end."""
    with Served() as lab:
        assert (0, "") == lab.end(number)


@pytest.fixture
def receiver():
    """A Receive Response service that takes everything: (its URL, a queue of what came)."""
    came = queue.Queue()

    class Receive(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            came.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receive)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/receive", came
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stranger_can_update_a_device(tmp_path, receiver):
    """With the keys and the image that it wrote, and nothing else of ours but the codec, up to N39."""
    keys, built = tmp_path / "keys", tmp_path / "images"
    url, came = receiver
    told = ("--seed", "stranger", "--estate", "plain", "--homes", 2, "--speed", 0, "--receiver", url)
    with Served(*told, "--keys-out", keys, "--images-out", built) as lab:
        ring = keyfiles.load(keys)
        supplier, acb = Eui64.parse(lab.facts["supplier"]), Eui64.parse(lab.facts["acb"])
        octets = (built / "ppmid.ota").read_bytes()
        version = images.decode(octets).header.file_version
        body = duis.UpdatePpmidFirmware(octets, version, (Eui64.parse(PPMID),))
        request = duis.Request(duis.RequestId(supplier, acb, 1), body)
        signed = duis.sign(duis.encode_request(request), ring.signer(supplier, Role.XML_SIGNING))
        reply = httpx2.post(
            lab.facts["services"]["non_device"], content=signed, headers={"content-type": "application/xml"}
        )
        answer = duis.open_response(reply.content, ring, now=None, dcc=acb).message
        assert (200, "I99") == (reply.status_code, answer.code)
        alerts = [
            duis.open_response(came.get(timeout=PATIENCE_SECONDS), ring, now=None, dcc=acb).message.body
            for _ in range(3)
        ]
    assert ["N60", "N62", "N39"] == [alert.code for alert in alerts]
    assert version == alerts[-1].body.upgrade.version


def test_the_supplier_gets_its_own_private_keys_alone(tmp_path, run):
    """The ACB's and the Devices' private keys stay in the lab."""
    with Served("--keys-out", tmp_path / "keys"):
        entries = keyfiles.entries(tmp_path / "keys")
    assert {homes.SUPPLIER} == {entry.certificate.holder for entry in entries if entry.private}
    assert homes.ACB in {entry.certificate.holder for entry in entries}
    assert run("keys", "list", tmp_path / "keys").code == 0


def test_a_served_lab_tells_its_state(run):
    """`dump --url` shows the same as a lab in process: here, nothing has happened yet."""
    with Served("--homes", 2, "--speed", "1") as lab:
        served = run("lab", "dump", "--url", lab.facts["state"], "--json")
        bare = run("lab", "dump", "--url", lab.facts["state"].removesuffix(lab_server.STATE_PATH), "--json")
        assert bare.facts.keys() == served.facts.keys()
    assert (0, 2) == (served.code, len(served.facts["hubs"]))
    assert run("lab", "dump", "--homes", 2, "--until", "1s", "--json").facts.keys() == served.facts.keys()


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403)])
def test_the_state_is_told_on_this_machine_alone(host, status):
    """Whoever asks from elsewhere is refused, wherever the lab listens."""
    said = []

    async def send(message):
        said.append(message)

    async def ask():
        scope = {"type": "http", "method": "GET", "path": lab_server.STATE_PATH, "headers": []}
        await server._application()(scope | {"client": (host, 1), "query_string": b""}, None, send)

    server = lab_server.LabServer(homes.build_world("state").world, {})
    asyncio.run(ask())
    server.stop()
    assert status == said[0]["status"]


def test_a_directory_that_exists_is_left_alone(run, tmp_path):
    """Keys are never written among others."""
    outcome = run("lab", "serve", "--keys-out", tmp_path)
    assert (2, True) == (outcome.code, "exists already" in outcome.err)


def test_dump_shows_what_became_of_every_device(run):
    """After an hour of the standard campaign both Devices run the new version, and the DCC knows it."""
    facts = run("lab", "dump", "--json").facts
    assert {"02000000"} == {d["version"] for d in facts["devices"] if d["kind"] in {"Ppmid", "Hcalcs"}}
    inventory = {entry["type"]: entry["firmware"] for entry in facts["dcc"]["inventory"]}
    assert ("02000000", "02000000") == (inventory["ppmid"], inventory["hcalcs"])
    assert {"settled"} == {delivery["stage"] for delivery in facts["dcc"]["deliveries"]}


def test_every_fault_is_documented(run):
    """What happens, and each parameter with its default and unit, for people and for machines."""
    facts = run("lab", "faults", "list", "--json").facts["faults"]
    assert list(FAULTS) == [fault["name"] for fault in facts]
    assert all(fault["description"] for fault in facts)
    assert all(each["unit"] for fault in facts for each in fault["parameters"])
    out = run("lab", "faults", "list").out
    assert 80 >= max(map(len, out.splitlines()))
    assert all(f"\n{name}\n" in out for name in FAULTS)


def test_a_fault_shows_in_the_trace(run):
    """A block altered on its way: the PPMID refuses the file, and the hub says transfer failure."""
    out = run("lab", "trace", "ppmid", "--fault", "corrupt-block:probability=1@0s..1h", "--json").out
    alerts = [
        line["fields"] for line in map(json.loads, out.splitlines()) if line["what"].startswith("CCS08")
    ]
    assert {"file transfer failure"} == {alert["result"] for alert in alerts}


def test_faults_act_where_and_when_they_were_told(run):
    """The second home's hub is swapped after two hours; the first keeps its own."""
    told = ("--homes", 2, "--until", "3h", "--fault", "hub-swap:where=02-00-00-00-00-00-00-20@2h..3h")
    hubs = [hub["hub"] for hub in run("lab", "dump", *told, "--json").facts["hubs"]]
    assert "02-00-00-00-00-00-00-10" in hubs
    assert "02-00-00-00-00-00-00-20" not in hubs
    assert 2 == len(hubs)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("gremlins", "no such fault"),
        ("lost-alert:much=1", "'much'"),
        ("lost-alert:probability=2", "0..1"),
        ("lost-alert:probability", "parameter=value"),
        ("delayed-alert:days=many", "a number"),
        ("lost-alert@1h", "START..END"),
        ("lost-alert@2h..1h", "ends after it starts"),
        ("lost-alert@soon..", "1d12h"),
    ],
)
def test_a_fault_that_is_none_is_refused(run, fault, said):
    """With the fault as it was given, and what is wrong with it."""
    outcome = run("lab", "dump", "--fault", fault)
    assert (2, True, True) == (outcome.code, f"--fault {fault}: " in outcome.err, said in outcome.err)


def test_dump_in_the_middle_shows_work_under_way(run):
    """A second after the start the images are still on the WAN."""
    facts = run("lab", "dump", "--until", "1s", "--json").facts
    assert {"crossing"} == {delivery["stage"] for delivery in facts["dcc"]["deliveries"]}
    assert facts["clock"]["busy"] is True


def test_dump_fits_a_terminal(run):
    """80 columns, with a heading for each part of the world."""
    out = run("lab", "dump").out
    assert 80 >= max(map(len, out.splitlines()))
    for heading in ("clock", "DCC: inventory", "DCC: deliveries", "hubs", "Devices"):
        assert f"\n{heading}\n" in out


def test_a_request_held_back_is_in_the_state():
    """Who asked, under which counter, and which limit it ran into."""
    limits = AnomalyLimits(devices_most={"11.4": 1})
    lab = homes.build_world("held", 2, dcc_settings=dcc.Settings(anomaly=limits))
    Rehearsal(lab).run(lab.world.now)
    facts = snapshot.take(lab.world)
    [held] = facts["dcc"]["quarantine"]
    assert ("1", "attribute limits") == (held["reference"], held["breach"])
    console = Console(width=80, file=io.StringIO())
    console.print(lab_pages.state(facts))
    [line] = [line for line in console.file.getvalue().splitlines() if "attribute limits" in line]
    assert str(homes.SUPPLIER) in line


def test_trace_prints_every_frame_as_json_lines(run):
    """One object a line, from the request to the Device's own word."""
    out = run("lab", "trace", PPMID, "--json").out
    lines = [json.loads(line) for line in out.splitlines()]
    what = [line["what"] for line in lines]
    assert {"SRV 11.4 UpdatePPMIDFirmware", "Image Block Request", "N39 PPMIDAlert"} <= set(what)
    assert what.count("Image Block Request") == what.count("Image Block Response") > 50


def test_a_device_can_be_named_by_its_home(run):
    """`ppmid` is that of the first home."""
    assert run("lab", "trace", PPMID).out == run("lab", "trace", "ppmid").out


def test_a_trace_can_be_narrowed(run):
    """By what carries it, and by a word in its title; folding hides blocks behind their number."""
    only = run("lab", "trace", "hcalcs", "--only", "gbcs", "--json").out.splitlines()
    assert {"TUNNELING", "WAN GBCS"} <= {json.loads(line)["carrier"] for line in only}
    match = run("lab", "trace", "hcalcs", "--match", "cs06", "--json").out.splitlines()
    assert match
    assert all("CS06" in json.loads(line)["what"] for line in match)
    folded = run("lab", "trace", "hcalcs", "--fold").out
    assert "Image Block frames" in folded
    assert "Image Block Request" not in folded


def test_trace_fits_a_terminal(run):
    """80 columns, under the day's heading."""
    out = run("lab", "trace", "ppmid").out
    assert 80 >= max(map(len, out.splitlines()))
    assert "\n2026-01-12\n" in out


def test_trace_writes_a_capture(run, tmp_path):
    """A pcap of link type 230, and never over a file that is there."""
    path = tmp_path / "han.pcap"
    assert run("lab", "trace", "ppmid", "--pcap", path).code == 0
    assert (230).to_bytes(4, "little") == path.read_bytes()[20:24]
    assert run("lab", "trace", "ppmid", "--pcap", path).code == 2
    assert run("lab", "trace", "ppmid", "--pcap", path, "--force").code == 0


@pytest.mark.parametrize(
    ("device", "said"),
    [("toaster", "EUI-64"), ("ppmid:2", "numbered 1 to 1"), ("00-00-5E-EF-10-00-00-99", "no Device")],
)
def test_a_device_that_is_none_is_refused(run, device, said):
    """With what would have been one."""
    outcome = run("lab", "trace", device)
    assert (2, True) == (outcome.code, said in outcome.err)


@pytest.mark.parametrize("until", ["soon", "-1h", "5 m", ""])
def test_a_duration_that_is_none_is_refused(run, until):
    """With an example of one."""
    outcome = run("lab", "dump", f"--until={until}")
    assert (2, True) == (outcome.code, "1d12h" in outcome.err)
