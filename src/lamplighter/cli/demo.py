"""`lamplighter demo`: one PPMID and one HCALCS brought to new firmware, end to end, on the real formats.

The composition root of a rehearsal: on one side the lab, a DCC and a home behind HTTP; on the other a
Supplier with its store, gateway, receiver and reconciler. They share the wire, the time of day and nothing
else; what the Supplier knows beforehand (Devices, CPL, certificates) is handed to it here.
"""

from __future__ import annotations

import math
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import httpx2
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from lamplighter.campaign import END_STATES, State
from lamplighter.cli import files, output
from lamplighter.cli import image as image_verbs
from lamplighter.cli.logs import quiet_logs
from lamplighter.cli.output import Report
from lamplighter.kit import FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.lab import homes
from lamplighter.lab import server as lab_server
from lamplighter.protocol import duis
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role
from lamplighter.registry import (
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Procedure,
    Release,
    Verdict,
    judge,
)
from lamplighter.service import keyfiles
from lamplighter.service.gateway import Gateway, Parties
from lamplighter.service.listener import Listener
from lamplighter.service.receiver import RECEIVE_PATH, Receiver
from lamplighter.service.reconciler import Reconciler
from lamplighter.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lamplighter.store import TimelineEntry, Update

_NEW_VERSION: Final = FirmwareVersion(0x0200_0000)
_PAYLOAD_OCTETS: Final = 20_000  # large enough to be blocks by the hundred, small enough for seconds
_SPEED: Final = 120.0  # seconds in the home for each second of ours
_IDLE_SECONDS: Final = 0.05  # how long to wait for a message before looking again
_STAGES: Final = {
    # The states that a Device passes when all goes well; each moves its progress bar by one.
    Procedure.ONE_STEP: (State.ACCEPTED, State.AT_HUB, State.ON_DEVICE, State.PROVEN),
    Procedure.TWO_STEP: (
        State.ACCEPTED,
        State.AT_HUB,
        State.ON_DEVICE,
        State.IMAGE_VERIFIED,
        State.ACTIVATION_SENT,
        State.PROVEN,
    ),
}


@dataclass(frozen=True, slots=True)
class _Journey:
    """One Device at the end of the demo."""

    device: Device
    update: Update
    release: Release
    timeline: list[TimelineEntry]


def demo(
    *,
    ppmid_image: Annotated[Path | None, Parameter(help="PPMID image: OTA file or DUIS 11.4 request.")] = None,
    seed: str = "demo",
    timeout: float = 60.0,
    keep: Path | None = None,
) -> Report:
    """Update one PPMID (SRV 11.4) and one HCALCS (11.1, then 11.3) in an emulated home, over HTTP.

    Exit code 0 only if both Devices have proven the new version. Progress goes to stderr.

    Parameters
    ----------
    ppmid_image
        The image for the PPMID, such as the DCC's published one. Default: one is built.
    seed
        Any text; the same seed gives the same keys, Devices and images.
    timeout
        Seconds after which the demo gives up.
    keep
        A new directory to leave behind: `lamplighter.db` (the Supplier's database), `keys` (the certificates
        that it trusts, no private key), `images` (both OTA files), `requests` (what it sent, signed) and
        `messages` (what the DCC delivered as evidence).
    """
    if not 0 < timeout < math.inf:
        raise UsageError("--timeout takes a number of seconds above 0")
    with ExitStack() as stack:
        quiet_logs()
        place = _workplace(keep, stack)
        lab = homes.build_world(seed)
        ppmid, hcalcs = _images(lab, ppmid_image)
        for image in (ppmid, hcalcs):
            lab.publish(image)
        store = Store.open(f"sqlite:///{place / 'lamplighter.db'}")
        stack.callback(store.close)
        _register(store, lab.homes[0], ppmid, hcalcs)
        sent: list[bytes] = []
        journeys = _run(lab, store, timeout, sent.append)
        if keep is not None:
            _leave_behind(keep, lab, {"ppmid": ppmid, "hcalcs": hcalcs}, sent, journeys)
    return _report(journeys, timeout, keep)


def _workplace(keep: Path | None, stack: ExitStack) -> Path:
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamplighter-")))
    try:
        keep.mkdir(parents=True)
    except FileExistsError as cause:
        raise UsageError(f"{keep} exists already; --keep makes a new directory") from cause
    except OSError as cause:
        raise UsageError(f"cannot make {keep}: {cause.strerror}") from cause
    return keep


def _images(lab: homes.Lab, ppmid_image: Path | None) -> tuple[images.Image, images.Image]:
    """The PPMID's image as the manufacturer made it, and the HCALCS's with the Supplier's signature."""
    payload = bytes(range(256)) * (_PAYLOAD_OCTETS // 256)
    if ppmid_image is None:
        ppmid = homes.build_firmware(lab.pki, DeviceType.PPMID, _NEW_VERSION, payload)
    else:
        ppmid = image_verbs.load(ppmid_image, "11.4").image
    unsigned = homes.build_firmware(lab.pki, DeviceType.HCALCS, _NEW_VERSION, payload)
    signer = lab.ring.signer(homes.SUPPLIER, Role.SUPPLIER)
    return ppmid, images.sign_supplier(unsigned, signer)


def _register(store: Store, home: homes.Home, ppmid: images.Image, hcalcs: images.Image) -> None:
    """Tell the Supplier's registry what it knows beforehand, and enrol each Device for its release."""
    for eui, kind, image in (
        (home.ppmid, DeviceType.PPMID, ppmid),
        (home.hcalcs, DeviceType.HCALCS, hcalcs),
    ):
        header = image.header
        model = homes.MAKES[kind].model
        device = Device(
            eui,
            kind,
            home.hub,
            model.manufacturer,
            model.hardware,
            homes.FACTORY_VERSION,
            DeviceStatus.COMMISSIONED,
        )
        release = Release(
            Procedure.TWO_STEP if image.layout is images.Layout.SRV_11_1 else Procedure.ONE_STEP,
            header.manufacturer,
            header.file_version,
            image.hash,
            header.minimum_hardware,
            header.maximum_hardware,
            images.encode(image),
        )
        entry = CplEntry(header.manufacturer, header.file_version, image.hash, CplStatus.ACTIVE)
        store.put_devices([device])
        store.put_cpl_entry(entry)
        if (verdict := judge(device, release, entry)) is not Verdict.ELIGIBLE:
            raise UsageError(f"{kind.value} {eui} cannot have {header.file_version}: {verdict.value}")
        store.enrol(store.add_release(release), [eui])


def _run(
    lab: homes.Lab, store: Store, timeout: float, sent: Callable[[bytes], object] = lambda _: None
) -> list[_Journey]:
    """Let the two sides meet over HTTP until every update has come to an end, or time is up.

    sent  called with each request as it goes out
    """

    def clock() -> Instant:
        return lab.world.now

    parties = Parties(homes.SUPPLIER, homes.ACB, lab.ring)
    news = threading.Event()
    receiver = Receiver(parties, store, clock, news.set)
    deadline = time.monotonic() + timeout
    with (
        Listener(receiver.application()) as listener,
        lab_server.LabServer(
            lab.world,
            {homes.SUPPLIER: listener.url + RECEIVE_PATH},
            lab_server.Settings(speed=_SPEED),
        ) as server,
        httpx2.Client(
            base_url=server.url,
            timeout=timeout,
            event_hooks={"request": [lambda request: sent(request.content)]},
        ) as client,
        _Bars(store) as bars,
    ):
        reconciler = Reconciler(parties, store, Gateway(parties, client, clock), clock)
        while time.monotonic() < deadline:
            news.clear()
            reconciler.tick()
            if bars.show():
                break
            news.wait(_IDLE_SECONDS)
    return [
        _Journey(device, update, store.release(update.release), store.timeline(update.device))
        for update in store.updates()
        if (device := store.device(update.device)) is not None
    ]


class _Bars:
    """A progress bar for each Device, on stderr."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._progress = Progress(
            TextColumn("{task.fields[kind]:<6} {task.fields[device]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]:<20}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks = {}
        for update in store.updates():
            device = store.device(update.device)
            self._tasks[update.id] = self._progress.add_task(
                "",
                total=len(_STAGES[update.procedure]),
                kind="" if device is None else device.type.value,
                device=str(update.device),
                state=update.state.value,
            )

    def __enter__(self) -> _Bars:
        if sys.stderr.isatty():
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.live.is_started:  # where it is not, stopping it would write an empty line
            self._progress.stop()

    def show(self) -> bool:
        """Show where every Device is; whether all have come to an end."""
        updates = self._store.updates()
        order = list(State)
        for update in updates:
            reached = order.index(update.state)
            passed = sum(order.index(stage) <= reached for stage in _STAGES[update.procedure])
            self._progress.update(self._tasks[update.id], completed=passed, state=update.state.value)
        return all(update.state in END_STATES for update in updates)


def _report(journeys: list[_Journey], timeout: float, keep: Path | None) -> Report:
    count = sum(journey.update.state is State.PROVEN for journey in journeys)
    proven = count == len(journeys)
    timed_out = any(journey.update.state not in END_STATES for journey in journeys)
    facts = {"proven": proven, "timed_out": timed_out, "devices": [_facts(journey) for journey in journeys]}
    parts: list[Any] = [_table(journey) for journey in journeys]
    if keep is not None:
        facts["kept"] = str(keep)
        parts.append(Text(f"kept in {keep}", "dim"))
    title = "every Device has proven its new version" if proven else "not every Device is proven"
    if timed_out:
        title += f"; gave up after {timeout:g} s (--timeout)"
    return Report(facts, output.page("demo", f"{count} of {len(journeys)}: {title}", *parts), proven)


def _table(journey: _Journey) -> Any:
    device, update, release = journey.device, journey.update, journey.release
    passed = update.state is State.PROVEN
    ended = update.state in END_STATES
    state = update.state.value if ended else f"not proven, last: {update.state.value}"
    heading = Text.assemble(
        (f"{device.type.value} {device.eui}", "bold"),
        f"  SRV {release.procedure.value}  version {release.version}  ",
        ("✓ " if passed else "✗ ", "green" if passed else "bold red"),
        (state, "green" if passed else "bold red"),
    )
    table = output.grid("time", "message", "stage", "version", folded=2)
    for entry in journey.timeline:
        evidence = entry.evidence
        detail = f" ({evidence.detail})" if evidence.detail else ""
        table.add_row(
            to_iso(evidence.at).replace("T", " ").removesuffix("Z"),
            evidence.message,
            evidence.fact.name.replace("_", " ").lower() + detail,
            "" if evidence.version is None else str(evidence.version),
        )
    return output.stacked(heading, output.indented(table))


def _facts(journey: _Journey) -> dict[str, Any]:
    return {
        "device": str(journey.device.eui),
        "type": journey.device.type.value,
        "service": journey.release.procedure.value,
        "version": str(journey.release.version),
        "hash": str(journey.release.hash),
        "state": journey.update.state.name.lower(),
        "timeline": [
            {
                "at": to_iso(entry.evidence.at),
                "fact": entry.evidence.fact.name.lower(),
                "message": entry.evidence.message,
                "detail": entry.evidence.detail,
                "version": None if entry.evidence.version is None else str(entry.evidence.version),
            }
            for entry in journey.timeline
        ],
    }


def _leave_behind(
    keep: Path,
    lab: homes.Lab,
    built: Mapping[str, images.Image],
    sent: Iterable[bytes],
    journeys: list[_Journey],
) -> None:
    """What the tutorial goes on with: certificates, images, requests, and each message that was evidence."""
    keyfiles.create(keep / "keys")
    for certificate in lab.ring:
        keyfiles.store(keep / "keys", certificate)
    kept = {f"images/{name}.ota": images.encode(image) for name, image in built.items()}
    kept |= {f"requests/{number}-{_name(octets)}.xml": octets for number, octets in enumerate(sent, 1)}
    for journey in journeys:
        kind = journey.device.type.value.lower()
        sources = [entry for entry in journey.timeline if entry.source is not None]
        for number, entry in enumerate(sources, 1):
            kept[f"messages/{kind}-{number}-{entry.evidence.message}.xml"] = entry.source or b""
    for folder in ("images", "requests", "messages"):
        (keep / folder).mkdir()
    for name, octets in kept.items():
        files.write(keep / name, octets, force=False)


def _name(request: bytes) -> str:
    """A request's service and command variant, as in `11.3-CV4`: one service may be asked for twice."""
    said = {line.name: line.text for line in duis.explain(request)}
    return f"{said['ServiceReference']}-CV{said['CommandVariant']}"
