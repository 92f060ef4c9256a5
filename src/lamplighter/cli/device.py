"""`lamplighter device`: where one Device is, how it came there, and what comes next."""

from typing import Any, Final

from cyclopts import App
from rich.text import Text

from lamplighter.campaign.evidence import CAUSES
from lamplighter.campaign.state import FINAL, Progress
from lamplighter.cli import output
from lamplighter.cli.arguments import DATABASE, Database
from lamplighter.cli.arguments import Eui as EuiOption
from lamplighter.cli.output import Report
from lamplighter.cli.place import opened
from lamplighter.kit import Eui64, UsageError
from lamplighter.kit.instant import to_iso
from lamplighter.registry import Device
from lamplighter.service import office
from lamplighter.service.office import journeys
from lamplighter.store import Store

app: Final = App(name="device", help="Where one Device is, and how it came there.", help_format="markdown")


@app.command
def show(device: EuiOption, /, *, database: Database = DATABASE) -> Report:
    """What is known of a Device, and the evidence of its updates in the order of time.

    Parameters
    ----------
    device
        Its EUI-64, such as 00-DB-12-34-56-78-90-A4.
    """
    with opened(database) as store:
        found = store.registry.device(device)
        updates = journeys_of(store, device)
        if found is None and not updates:
            raise UsageError(f"{device} is not in the registry, and no campaign knows it")
    facts = {"device": str(device), "registry": _facts(found), "updates": [it.facts() for it in updates]}
    known = output.pairs(_rows(found)) if found else Text("not in the registry any more", "dim")
    none = [Text("no order was made for it yet", "dim")] if not updates else []
    title = f"{found.cohort.type.value} {device}" if found else str(device)
    return Report(facts, output.page(title, "", known, *(it.view() for it in updates), *none))


def journeys_of(store: Store, device: Eui64) -> "list[Journey]":
    """A Device's way through each campaign that ordered something for it."""
    return [Journey(device, way) for way in journeys(store, device)]


class Journey:
    """A Device's way through one campaign, told."""

    def __init__(self, device: Eui64, way: office.Journey) -> None:
        self.device = device
        self.campaign = way.campaign.name
        self.entries = way.entries
        self.version = way.version
        self.progress = way.progress
        self.waits_for = way.waits_for

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "campaign": self.campaign,
            "version": str(self.version),
            "state": self.progress.state.value,
            "cause": self.progress.cause.name.lower(),
            "attempt": self.progress.attempt,
            "waits_for": self.waits_for,
            "timeline": [
                {
                    "at": to_iso(it.evidence.at),
                    "attempt": Progress.of(it.step, self.progress.stage).attempt,
                    "fact": it.evidence.fact.name.lower(),
                    "message": it.evidence.message,
                    "cause": it.evidence.cause.name.lower(),
                    "detail": it.evidence.detail,
                    "version": None if it.evidence.version is None else str(it.evidence.version),
                    "octets": None if it.octets is None else len(it.octets),
                }
                for it in self.entries
            ],
        }

    def view(self, title: str = "") -> Any:
        """For people."""
        progress = self.progress
        color = (
            "green"
            if progress.state.value == "proven"
            else "yellow"
            if progress.stage not in FINAL
            else "red"
        )
        heading = Text.assemble(
            (title or f"campaign {self.campaign}", "bold"),
            f"  version {self.version}  attempt {progress.attempt}  ",
            (progress.state.value, color),
            (f"  {CAUSES[progress.cause][0]}" if progress.cause else "", "dim"),
            "" if progress.stage in FINAL else f"  waits for {self.waits_for}",
        )
        table = output.grid("time", "message", "what", folded=1)
        for it in self.entries:
            evidence = it.evidence
            more = [evidence.detail, "" if evidence.version is None else f"version {evidence.version}"]
            said = ", ".join(filter(None, more))
            table.add_row(
                to_iso(evidence.at).replace("T", " ").removesuffix("Z"),
                evidence.message,
                evidence.fact.value.rpartition(": ")[2] + (f" ({said})" if said else ""),
            )
        return output.stacked(heading, output.indented(table))


def _rows(device: Device) -> list[tuple[str, Any]]:
    cohort = device.cohort
    capable = {
        True: "can update it",
        False: "cannot update it",
        None: "whether it can update it is not known",
    }
    return [
        ("make", f"{cohort.manufacturer:04X} {cohort.model:04X}, hardware {cohort.hardware:04X}"),
        ("firmware", str(cohort.firmware)),
        ("status", cohort.status.value),
        ("hub", _hub(device)),
        ("", capable[cohort.hub_capable]),
        ("region", cohort.region or "unknown"),
        ("our part", cohort.part.value),
        *([("tag", cohort.tag)] if cohort.tag else []),
    ]


def _hub(device: Device) -> str:
    cohort = device.cohort
    model = f", model {cohort.hub_model}" if cohort.hub_model else ""
    firmware = f", firmware {cohort.hub_firmware}" if cohort.hub_firmware else ""
    return f"{device.hub}{model}{firmware}"


def _facts(device: Device | None) -> dict[str, Any] | None:
    if device is None:
        return None
    cohort = device.cohort
    return {
        "type": cohort.type.value,
        "hub": str(device.hub),
        "manufacturer": f"{cohort.manufacturer:04X}",
        "model": f"{cohort.model:04X}",
        "hardware": f"{cohort.hardware:04X}",
        "firmware": str(cohort.firmware),
        "status": cohort.status.value,
        "gbcs_version": cohort.gbcs_version,
        "part": cohort.part.value,
        "tag": cohort.tag,
        "region": cohort.region,
        "hub_model": cohort.hub_model,
        "hub_firmware": cohort.hub_firmware,
        "hub_capable": cohort.hub_capable,
    }
