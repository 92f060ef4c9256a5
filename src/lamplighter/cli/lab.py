"""`lamplighter lab`: serve an emulated DCC with its homes, or look at one: faults, state, traces."""

import signal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import httpx2
from cyclopts import App, Parameter

from lamplighter.cli import files, lab_pages, output
from lamplighter.cli.arguments import Duration, Force, duration
from lamplighter.cli.logs import quiet_logs
from lamplighter.cli.output import Report
from lamplighter.kit import DecodeError, Eui64, Instant, LamplighterError, UsageError
from lamplighter.kit.instant import HOUR, to_iso
from lamplighter.lab import capture, chronicle, homes, snapshot
from lamplighter.lab import server as lab_server
from lamplighter.lab.dcc import Service
from lamplighter.lab.faults import EVER, FAULTS, Scheduled
from lamplighter.lab.rehearsal import Rehearsal
from lamplighter.protocol import image as images
from lamplighter.service import keyfiles
from lamplighter.service.clock import wall_clock

app: Final = App(name="lab", help="Rehearse against an emulated DCC and its homes.", help_format="markdown")
faults_app: Final = App(name="faults", help="What can be made to go wrong.")
app.command(faults_app)

_URL_SECONDS: Final = 30.0

Homes = Annotated[int, Parameter(help="How many homes.")]
Seed = Annotated[str, Parameter(help="Any text: the same seed gives the same keys, homes and dice.")]
Until = Annotated[Duration, Parameter(help="How long the rehearsal lasts, in the homes' time.")]
EstateName = Literal["plain", "mixed"]
EstateOption = Annotated[
    EstateName,
    Parameter(
        help="Plain: all homes alike, nothing gets lost. Mixed: as homes are, with weak links, sleeping "
        "Devices, meters, old hardware, and hubs that cannot update their Devices."
    ),
]
Only = Literal["ota", "gbcs", "wan", "duis"]

_CARRIERS: Final[dict[str, tuple[str, ...]]] = {
    "ota": ("OTA",),
    "gbcs": ("TUNNELING", "ACKNOWLEDGEMENT", "WAN GBCS"),
    "wan": ("WAN",),
    "duis": ("service", "to User"),
}
"""For each word of `--only`, how the carriers' names begin."""


Faults = Annotated[
    list[str] | None,
    Parameter(
        name="fault",
        negative="",
        help="A fault, as NAME:parameter=value,…@START..END; once for each. `lab faults list` has them.",
    ),
]


@faults_app.command(name="list")
def list_faults() -> Report:
    """Document each fault: what happens, where it may strike, its parameters with units and defaults.

    A fault is written `NAME`, or with as much as is needed of
    `NAME:probability=0.5,where=North+South,PARAMETER=VALUE@START..END`. START and END count from the start of
    the lab, such as `@1h..2d`; without them it is on all the time.
    """
    facts = {
        "faults": [
            {
                "name": fault.name,
                "description": fault.doc,
                "reach": fault.reach.value,
                "where": fault.where,
                "probability_for": fault.each,
                "parameters": [
                    {"name": each.name, "default": each.default, "unit": each.unit}
                    for each in fault.parameters
                ],
            }
            for fault in FAULTS.values()
        ]
    }
    title = f"{len(FAULTS)}, written NAME:parameter=value,…@START..END"
    return Report(facts, output.page("faults", title, *map(lab_pages.fault, FAULTS.values())))


def _faults(texts: list[str] | None, start: Instant) -> tuple[Scheduled, ...]:
    return tuple(_fault(text, start) for text in texts or ())


def _fault(text: str, start: Instant) -> Scheduled:
    """`NAME:parameter=value,…@START..END`, counted from the start of the lab."""
    head, at, span = text.partition("@")
    name, _, listed = head.partition(":")
    begins, dots, ends = span.partition("..")
    try:
        if at and not dots:
            raise UsageError("a time is START..END, such as 1h..2d; either may be left out")
        values = dict(_assigned(part) for part in filter(None, listed.split(",")))
        numbers = {p.name for p in FAULTS[name].parameters if not isinstance(p.default, str)} & values.keys()
        return Scheduled(
            name,
            Instant(start + duration(begins or "0s")),
            Instant(start + duration(ends)) if ends else EVER,
            frozenset(filter(None, values.pop("where", "").split("+"))),
            _number("probability", values.pop("probability", "1")),
            {key: _number(key, value) if key in numbers else value for key, value in values.items()},
        )
    except KeyError as cause:
        raise UsageError(f"--fault {text}: there is no such fault; `lamplighter lab faults list`") from cause
    except LamplighterError as cause:
        raise UsageError(f"--fault {text}: {cause}") from cause


def _assigned(part: str) -> tuple[str, str]:
    key, equals, value = (text.strip() for text in part.partition("="))
    if not equals:
        raise UsageError(f"{part} is no parameter=value")
    return key, value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as cause:
        raise UsageError(f"{name} is a number, not {text!r}") from cause


@app.command
def serve(
    *,
    homes_: Annotated[int, Parameter(name="homes")] = 10,
    speed: float = 60.0,
    seed: Seed = "7",
    estate: EstateOption = "mixed",
    receiver: str | None = None,
    keys_out: Path | None = None,
    images_out: Path | None = None,
    fault: Faults = None,
    publish: Annotated[list[Path] | None, Parameter(negative="")] = None,
    port: int = 0,
) -> Report:
    """Serve the DCC User Interface of a lab over HTTP, until SIGINT or SIGTERM.

    Prints the three services' URLs, and by which options `lamplighter serve` keeps the same time; then lets
    time pass. It listens on this machine alone: the keys of a lab
    follow from its seed and protect nothing.

    Parameters
    ----------
    homes_
        How many homes.
    speed
        Seconds in the homes for each of ours; 0: as fast as it goes while there is work, and else at rest.
    receiver
        URL of the Supplier's Receive Response service. Without one nothing is delivered to it.
    keys_out
        A new directory for the Supplier's private keys, and the certificates of the ACB and all Devices.
    images_out
        A new directory for an image for each type of Device, sealed, signed where due, and on the CPL.
    publish
        An OTA file that the manufacturer puts on the CPL; give it once for each.
    port
        Where to listen; 0: any free port.
    """
    quiet_logs()
    lab = _build(homes_, seed, estate, fault, record=False)
    built = {} if images_out is None else Rehearsal(lab).images
    for path in publish or ():
        with files.about(path):
            lab.publish(images.decode(files.read(path)))
    if keys_out is not None:
        _write_keys(keys_out, lab)
    if images_out is not None:
        _make_directory(images_out)
        for kind, image in built.items():
            files.write(images_out / f"{kind.value.lower()}.ota", images.encode(image), force=False)
    receivers = {} if receiver is None else {homes.SUPPLIER: receiver}
    settings = lab_server.Settings(port=port, speed=speed or None)
    server = lab_server.LabServer(lab.world, receivers, settings)
    facts = {
        "services": {service.name.lower(): f"{server.url}/{service.value}" for service in Service},
        "receiver": receiver,
        "supplier": str(homes.SUPPLIER),
        "acb": str(homes.ACB),
        "keys": None if keys_out is None else str(keys_out),
        "images": None if images_out is None else str(images_out),
        "state": server.url.removesuffix(lab_server.BASE_PATH) + lab_server.STATE_PATH,
        "homes": homes_,
        "seed": seed,
        "speed": speed,
        "now": to_iso(lab.world.now),
        "began": None if (began := _began(lab.world.now, speed)) is None else to_iso(began),
    }
    rows = [
        *((lab_pages.SERVICES[service], f"{server.url}/{service.value}") for service in Service),
        ("Receive Response", receiver or "none: nothing is delivered to the Supplier"),
        ("Supplier", str(homes.SUPPLIER)),
        ("ACB", str(homes.ACB)),
        *((name, str(path)) for name, path in (("keys", keys_out), ("images", images_out)) if path),
        ("state", str(facts["state"])),
        *([("clock", f"--speed {speed:g} --began {facts['began']}")] if began is not None else []),
    ]
    pace = f"{speed:g} times as fast as the day" if speed else "as fast as it goes"
    view = output.page("lab", f"{homes_} homes, seed {seed}, {pace}; Ctrl-C ends it", output.pairs(rows))
    for number in (signal.SIGINT, signal.SIGTERM):
        # While it serves, uvicorn listens to both, ends in good order, and then raises them again for us.
        signal.signal(number, lambda *_: server.end())
    return Report(facts, view, then=server.run)


def _began(now: Instant, speed: float) -> Instant | None:
    """For `lamplighter serve --began`: the moment at which this lab's time and the day's are the same.

    None where they never meet: at the speed of the day, or at none.
    """
    return None if speed in {0, 1} else Instant(round((wall_clock() * speed - now) / (speed - 1)))


def _write_keys(directory: Path, lab: homes.Lab) -> None:
    _make_directory(directory, mode=0o700)
    own = dict(lab.pki.supplier_keys(homes.SUPPLIER))
    for certificate in lab.ring:
        keyfiles.store(directory, certificate, own.get(certificate))


def _make_directory(directory: Path, mode: int = 0o777) -> None:
    try:
        directory.mkdir(mode=mode, parents=True)
    except FileExistsError as cause:
        raise UsageError(f"{directory} exists already; name a new directory") from cause
    except OSError as cause:
        raise UsageError(f"cannot make {directory}: {cause.strerror}") from cause


@app.command
def dump(
    *,
    homes_: Annotated[int, Parameter(name="homes")] = 1,
    seed: Seed = "7",
    estate: EstateOption = "plain",
    fault: Faults = None,
    until: Until = HOUR,
    url: str | None = None,
) -> Report:
    """Show a world's state: the DCC's inventory, CPL and work, hubs with slots, Devices with flash, clocks.

    Of a lab that runs a small standard campaign in this process, or of one that is served.

    Parameters
    ----------
    homes_
        How many homes.
    url
        The state URL that `lab serve` prints; the other options then mean nothing.
    """
    quiet_logs()
    if url is not None:
        facts = _fetch(url)
        return Report(facts, output.page("lab", url, lab_pages.state(facts)))
    lab = _rehearsed(homes_, seed, estate, fault, until)
    facts = snapshot.take(lab.world)
    return Report(facts, output.page("lab", f"{homes_} homes, seed {seed}", lab_pages.state(facts)))


def _fetch(url: str) -> dict[str, Any]:
    try:
        address = httpx2.URL(url)
        if address.path in {"", "/"}:
            address = address.copy_with(path=lab_server.STATE_PATH)
        reply = httpx2.get(address, timeout=_URL_SECONDS)
        reply.raise_for_status()
        facts: dict[str, Any] = reply.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as cause:
        raise UsageError(f"{url} tells no state of a lab: {cause}") from cause
    return facts


@app.command
def trace(
    device: str,
    /,
    *,
    homes_: Annotated[int, Parameter(name="homes")] = 1,
    seed: Seed = "7",
    estate: EstateOption = "plain",
    fault: Faults = None,
    until: Until = HOUR,
    only: Annotated[list[Only] | None, Parameter(negative="")] = None,
    match: str = "",
    fold: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    pcap: Path | None = None,
    force: Force = False,
) -> Report:
    """Show every frame and message of one Device in order, decoded; with --json as JSON lines.

    The lab runs a small standard campaign in this process: images go to all Devices that can be updated, and
    those that verify theirs are told to activate it.

    Parameters
    ----------
    device
        EUI-64, or a type with the number of its home: `ppmid`, `hcalcs:3`.
    homes_
        How many homes.
    only
        Only Zigbee OTA frames, GBCS messages, what crosses the WAN, or DUIS messages; may be given often.
    match
        Only what has this text in its title, in either case.
    fold
        Show a run of Image Blocks as one line.
    pcap
        Write all frames of the HAN to this file too, for Wireshark (IEEE 802.15.4, ZigBee).
    """
    quiet_logs()
    lab = _rehearsed(homes_, seed, estate, fault, until)
    eui = _device(lab, device)
    if pcap is not None:
        files.write(pcap, b"".join(capture.pcap(lab.world.trace_of(eui))), force=force)
    entries = [entry for entry in chronicle.trace(lab.world, eui) if _wanted(entry, only, match)]
    names = lab_pages.parties(map(chronicle.plain, lab.world.dcc.inventory))
    shown = chronicle.fold(entries) if fold else entries
    said = f"{names.get(str(eui), 'not in the inventory')}, {len(entries)} frames and messages"
    view = output.page(f"trace {eui}", said, lab_pages.trace(shown, names))
    return Report([chronicle.facts(entry) for entry in entries], view)


def _wanted(entry: chronicle.Entry, only: list[Only] | None, match: str) -> bool:
    carried = only is None or any(entry.carrier.startswith(_CARRIERS[word]) for word in only)
    return carried and match.lower() in entry.title.lower()


def _build(
    count: int, seed: str, estate: EstateName, fault: list[str] | None, *, record: bool = True
) -> homes.Lab:
    mix = homes.Estate() if estate == "mixed" else None
    return homes.build_world(seed, count, estate=mix, faults=_faults(fault, homes.START), record=record)


def _rehearsed(count: int, seed: str, estate: EstateName, fault: list[str] | None, until: int) -> homes.Lab:
    lab = _build(count, seed, estate, fault)
    Rehearsal(lab).run(Instant(lab.world.now + until))
    return lab


def _device(lab: homes.Lab, text: str) -> Eui64:
    """The Device that is meant by an EUI-64, or by a type and the number of a home."""
    kind, _, number = text.lower().partition(":")
    home = int(number) if number.isdecimal() else 1
    if kind in {"ppmid", "hcalcs", "esme", "hub"} and (not number or number.isdecimal()):
        if not 1 <= home <= len(lab.homes):
            raise UsageError(f"{text}: the homes are numbered 1 to {len(lab.homes)}")
        found: Eui64 = getattr(lab.homes[home - 1], kind)
        return found
    try:
        eui = Eui64.parse(text)
    except DecodeError as cause:
        raise UsageError(f"a Device is an EUI-64, or as `ppmid` or `hcalcs:3`, not {text!r}") from cause
    if lab.world.dcc.inventory.find(eui) is None:
        raise UsageError(f"there is no Device {eui} in this lab; `lamplighter lab dump` lists them")
    return eui
