"""`lamplighter demo`: a campaign over a few hundred homes, one stratum of which gets bad firmware."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lamplighter.campaign.state import FINAL, Stage, State
from lamplighter.campaign.status import CampaignStatus
from lamplighter.cli import campaign_pages as pages
from lamplighter.cli import files, output
from lamplighter.cli.demo_lab import (
    HOMES,
    HOMES_MAX,
    LOOK_SECONDS,
    Cast,
    build,
    casting,
    meeting,
    register,
)
from lamplighter.cli.device import Journey, journeys_of
from lamplighter.cli.logs import quiet_logs
from lamplighter.cli.output import Report
from lamplighter.kit import UsageError
from lamplighter.lab import homes
from lamplighter.protocol import duis
from lamplighter.protocol import image as images
from lamplighter.registry import (
    DeviceType,
)
from lamplighter.service import keyfiles
from lamplighter.service.office import look
from lamplighter.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamplighter.kit import Eui64


def demo(
    *,
    homes_: Annotated[int, Parameter(name="--homes", help="How many homes.")] = HOMES,
    ppmid_image: Annotated[Path | None, Parameter(help="PPMID image: OTA file or DUIS 11.4 request.")] = None,
    seed: str = "demo",
    timeout: float = 120.0,
    keep: Path | None = None,
) -> Report:
    """Run two campaigns over emulated homes, over HTTP: PPMIDs (SRV 11.4) and HCALCSs (11.1, then 11.3).

    Each goes through a canary and two waves. The PPMID firmware does not start on the older hardware: the
    gate holds that stratum, and the others go on. Exit code 0 only if every other Device has proven its new
    version. Progress goes to stderr.

    Parameters
    ----------
    ppmid_image
        The image for the PPMIDs, such as the DCC's published one. Default: one is built, which fails on the
        older hardware.
    seed
        Any text; the same seed gives the same keys, Devices and images.
    timeout
        Seconds after which the demo gives up.
    keep
        A new directory to leave behind: `lamplighter.db` (the Supplier's database), `keys` (the certificates
        that it trusts, no private key), `images` (both OTA files), `requests` (the first that it sent of each
        kind, signed) and `messages` (what the DCC delivered as evidence of one PPMID and one HCALCS).
    """
    if not 0 < timeout < math.inf:
        raise UsageError("--timeout takes a number of seconds above 0")
    if not 1 <= homes_ <= HOMES_MAX:
        raise UsageError(f"--homes takes 1 to {HOMES_MAX}, not {homes_}")
    began = time.monotonic()
    with ExitStack() as stack:
        quiet_logs()
        place = _workplace(keep, stack)
        lab = build(seed, homes_)
        casts = casting(lab, ppmid_image)
        store = Store.open(f"sqlite:///{place / 'lamplighter.db'}")
        stack.callback(store.close)
        register(store, lab, casts)
        sent: list[bytes] = []
        in_time = _run(lab, store, casts, began + timeout, sent.append)
        seen = [look(store, cast.name, lab.world.now) for cast in casts]
        ended = _Ending(seen, _journeys(store, lab, casts), in_time, time.monotonic() - began)
        if keep is not None:
            _leave_behind(keep, lab, casts, sent, ended)
    return _report(ended, timeout, keep)


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


def _run(
    lab: homes.Lab,
    store: Store,
    casts: Iterable[Cast],
    end: float,
    sent: Callable[[bytes], object] = lambda _: None,
) -> bool:
    """Let the two sides meet until nothing more will happen; False: time was up first.

    sent  called with each request as it goes out
    """
    with meeting(lab, store, sent) as met, _live() as live:
        while time.monotonic() < end:
            seen = [look(store, cast.name, met.clock()) for cast in casts]
            if live is not None:
                live.update(output.stacked(*(pages.page(it, short=True) for it in seen)), refresh=True)
            if all(map(_is_over, seen)):
                return True
            if met.news.wait(LOOK_SECONDS):
                met.news.clear()
                met.worker.wake()
    return False


def _live() -> Any:
    """A view that changes in place, on a terminal; None: nobody looks."""
    if not sys.stderr.isatty():
        return nullcontext()
    return Live(console=Console(stderr=True), auto_refresh=False, transient=True)


def _is_over(seen: pages.Seen) -> bool:
    """Whether nothing more will happen by itself: only what is held still waits."""
    if seen.campaign.status is not CampaignStatus.RUNNING:
        return True
    held = {stratum.id for stratum in seen.view.strata if stratum.held is not None}
    going = [it for it in seen.view.counts if it.cell.stratum not in held and it.stage not in FINAL]
    waiting = [place for place, devices in seen.view.waiting.items() if devices and place.stratum not in held]
    return bool(held) and not going and not waiting


@dataclass(frozen=True, slots=True)
class _Ending:
    """How the demo ended."""

    seen: list[pages.Seen]
    journeys: list[Journey]
    """Of one proven Device of each campaign, and of one that failed."""
    in_time: bool
    seconds: float

    @property
    def held(self) -> list[str]:
        """Strata that are held."""
        return [stratum.name for it in self.seen for stratum in it.view.strata if stratum.held is not None]

    def devices(self, *, held: bool, ordered: bool, stages: frozenset[Stage] = frozenset(Stage)) -> int:
        """Devices in held strata or the others, ordered or still waiting."""
        total = 0
        for it in self.seen:
            those = {stratum.id for stratum in it.view.strata if (stratum.held is not None) is held}
            if ordered:
                counts = [count for count in it.view.counts if count.stage in stages]
                total += sum(count.devices for count in counts if count.cell.stratum in those)
            else:
                total += sum(n for place, n in it.view.waiting.items() if place.stratum in those)
        return total

    @property
    def passed(self) -> bool:
        """Whether every Device that is not held has proven the new version."""
        everyone = self.devices(held=False, ordered=True) + self.devices(held=False, ordered=False)
        proven = self.devices(held=False, ordered=True, stages=frozenset({Stage.PROVEN}))
        return self.in_time and everyone == proven


def _journeys(store: Store, lab: homes.Lab, casts: Iterable[Cast]) -> list[Journey]:
    """One proven Device of each type, and the first that failed."""
    found: dict[tuple[DeviceType, bool], Journey] = {}
    for home in lab.homes:
        for cast in casts:
            eui: Eui64 = home.ppmid if cast.kind is DeviceType.PPMID else home.hcalcs
            for journey in journeys_of(store, eui):
                state = journey.progress.state
                if state in {State.PROVEN, State.FAILED}:
                    found.setdefault((cast.kind, state is State.PROVEN), journey)
        if len(found) == len(list(casts)) + 1:
            break
    return [found[key] for key in sorted(found, key=lambda it: (it[0].value, it[1]), reverse=True)]


def _report(ended: _Ending, timeout: float, keep: Path | None) -> Report:
    proven = sum(it.states[State.PROVEN] for it in ended.seen)
    harmed = ended.devices(held=True, ordered=True)
    spared = ended.devices(held=True, ordered=False)
    facts: dict[str, Any] = {
        "passed": ended.passed,
        "timed_out": not ended.in_time,
        "seconds": round(ended.seconds, 1),
        "proven": proven,
        "held": ended.held,
        "harmed": harmed,
        "spared": spared,
        "campaigns": [pages.facts(it) for it in ended.seen],
        "devices": [{"device": str(it.device)} | it.facts() for it in ended.journeys],
    }
    title = f"{proven} Devices have proven their new version"
    if ended.held:
        title += f"; a gate held {harmed + spared} after {harmed} had got bad firmware, and spared {spared}"
    if stray := ended.devices(held=False, ordered=True, stages=frozenset(FINAL) - {Stage.PROVEN}):
        title += f"; {stray} failed, too few of a kind for a gate to hold (--homes {HOMES} has enough)"
    if not ended.in_time:
        title += f"; gave up after {timeout:g} s (--timeout)"
    parts: list[Any] = [pages.page(it, short=True) for it in ended.seen]
    parts += [it.view(title=f"{it.device}  {it.campaign}") for it in ended.journeys]
    if keep is not None:
        facts["kept"] = str(keep)
        parts.append(Text(f"kept in {keep}", "dim"))
    return Report(facts, output.page("demo", title, *parts), ended.passed)


def _leave_behind(
    keep: Path,
    lab: homes.Lab,
    casts: Iterable[Cast],
    sent: Iterable[bytes],
    ended: _Ending,
) -> None:
    """What the tutorial goes on with: certificates, images, requests, and each message that was evidence."""
    keyfiles.create(keep / "keys")
    told: dict[str, bytes] = {}
    first: dict[str, bytes] = {}
    for octets in sent:
        first.setdefault(_name(octets), octets)
    told |= {
        f"requests/{number}-{name}.xml": octets for number, (name, octets) in enumerate(first.items(), 1)
    }
    told |= {f"images/{it.kind.value.lower()}.ota": images.encode(it.image) for it in casts}
    speakers = {homes.SUPPLIER, homes.ACB}
    for journey in ended.journeys:
        if journey.progress.state is not State.PROVEN:
            continue
        speakers.add(journey.device)
        kind = next(it.kind for it in casts if it.name == journey.campaign).value.lower()
        heard = [it for it in journey.entries if it.octets is not None]
        for number, entry in enumerate(heard, 1):
            told[f"messages/{kind}-{number}-{entry.evidence.message}.xml"] = entry.octets or b""
    for certificate in lab.ring:
        if certificate.holder in speakers:
            keyfiles.store(keep / "keys", certificate)
    for folder in ("images", "requests", "messages"):
        (keep / folder).mkdir()
    for name, octets in told.items():
        files.write(keep / name, octets, force=False)


def _name(request: bytes) -> str:
    """A request's service and command variant, as in `11.3-CV4`: one service may be asked for twice."""
    said = {line.name: line.text for line in duis.explain(request)}
    return f"{said['ServiceReference']}-CV{said['CommandVariant']}"
