"""How the lab looks on a terminal: a trace line by line, and a world's state table by table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from lamplighter.cli import output
from lamplighter.kit.instant import to_iso
from lamplighter.lab import homes
from lamplighter.lab.chronicle import Entry, Run
from lamplighter.lab.dcc import Service
from lamplighter.lab.world import DCC_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

    from lamplighter.lab.faults import Fault


_SHOWN_DEVICES_MAX: Final = 3
_HASH_DIGITS: Final = 8
_SILENT: Final = frozenset(
    # For machines: what stands in the heading or the columns, or helps nobody who reads.
    """
    alert_code device device_type devices gbcs_version hub invoke_id layout maced node on_behalf_of originator
    recipient request request_id response_id signed target transaction what
    """.split()  # noqa: SIM905 # a list literal would have a line a name
)
_IMAGES: Final = frozenset({"image", "current"})
_MOMENTS: Final = frozenset({"ask_again", "at", "current", "execution", "upgrade"})
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})


def trace(told: Iterable[Entry | Run], names: Mapping[str, str]) -> RenderableType:
    """A line for each entry; a heading for each day."""
    parts: list[RenderableType] = []
    table, day = None, ""
    for each in told:
        first = each.first if isinstance(each, Run) else each
        date, _, time = to_iso(first.at).removesuffix("Z").partition("T")
        if table is None or date != day:
            day, table = date, output.grid("time", "from → to", "what")
            parts += (
                [Text(), Text(day, "bold"), output.indented(table)]
                if parts
                else [
                    Text(day, "bold"),
                    output.indented(table),
                ]
            )
        ends = f"{name(first.source, names)} → {name(first.destination, names)}"
        table.add_row(Text(time, "dim"), ends, _run(each) if isinstance(each, Run) else _entry(each))
    return output.stacked(*parts) if parts else Text("nothing was sent", "dim")


def name(party: str, names: Mapping[str, str]) -> str:
    """A party in a word, where it has one."""
    return names.get(party, party)


def parties(inventory: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What to call everybody who appears in a trace of one home."""
    return {
        DCC_NAME: "DCC",
        str(homes.SUPPLIER): "Supplier",
        str(homes.GAS_SUPPLIER): "Gas Supplier",
        **{each["device"]: "hub" if each["type"] == "chf" else each["type"].upper() for each in inventory},
    }


def _entry(entry: Entry) -> Text:
    said = ", ".join(_said(entry.fields, to_iso(entry.at)[:10]))
    return Text.assemble(entry.title, ("  " if said else "", ""), (said, "dim"))


def _run(run: Run) -> Text:
    first, last = (each.fields.get("offset", 0) for each in (run.first, run.last))
    until = to_iso(run.last.at).partition("T")[2].removesuffix("Z")
    said = f"until {until}, offsets {first} to {last}"
    said += f", {run.waits} times told to wait" if run.waits else ""
    return Text.assemble(f"{run.count} Image Block frames  ", (said, "dim"))


def _said(fields: Mapping[str, Any], day: str) -> Iterable[str]:
    """The fields for people: flat, without those that are only for machines."""
    for key, value in fields.items():
        if value in _NOTHING or key in _SILENT:
            continue
        label = key.replace("_", " ")
        if key in _IMAGES and isinstance(value, dict) and "what" not in value:
            yield " ".join((label, *map(str, value.values())))
        elif isinstance(value, dict):
            inner = [value["what"], *_said(value, day)] if "what" in value else list(_said(value, day))
            yield f"{label} ({', '.join(inner)})"
        elif isinstance(value, list):
            yield f"{label} {_listed(value)}"
        elif key == "meaning":
            yield value
        elif key in {"hash", "of"} and isinstance(value, str):
            yield f"{label} {value[:_HASH_DIGITS]}…"
        elif key in _MOMENTS:
            yield f"{label} {_moment(value, day)}"
        elif key == "data":
            yield f"{len(value) // 2} octets"
        else:
            yield f"{label} {_short(value)}"


def _moment(value: str, day: str) -> str:
    """A time without the day under whose heading it stands."""
    return (
        value.removeprefix(f"{day}T").removesuffix("Z").removesuffix(".000")
        if value.startswith(day)
        else value
    )


def _listed(values: list[Any]) -> str:
    if len(values) > _SHOWN_DEVICES_MAX:
        return f"{len(values)}"
    return " ".join(map(str, values))


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def fault(fault: Fault) -> RenderableType:
    """One fault: what happens, where and how likely, and what can be set."""
    rows = [
        ("where", fault.where),
        ("probability", f"for each {fault.each}; 1 unless given"),
        *((each.name, f"{each.unit}; {_short(each.default)} unless given") for each in fault.parameters),
    ]
    return output.stacked(
        Text(fault.name, "bold"), output.indented(Text(fault.doc)), output.indented(output.pairs(rows))
    )


def state(facts: Mapping[str, Any]) -> RenderableType:
    """A world's state: clock, DCC, hubs, Devices."""
    dcc = facts["dcc"]
    return output.stacked(
        *_section(
            "clock", output.pairs((key.replace("_", " "), _short(v)) for key, v in facts["clock"].items())
        ),
        *_section("DCC: inventory", _table(dcc["inventory"], _INVENTORY)),
        *_section("DCC: Central Products List", _table(dcc["cpl"], _CPL)),
        *_section("DCC: deliveries", _table(dcc["deliveries"], _DELIVERIES)),
        *_section("DCC: commands", _table(dcc["commands"], _COMMANDS)),
        *_section("DCC: quarantine", _table(dcc["quarantine"], _QUARANTINE)),
        *_section("hubs", _table(facts["hubs"], _HUBS)),
        *_section("Devices", _table(facts["devices"], _DEVICES), last=True),
    )


def _section(title: str, part: RenderableType, *, last: bool = False) -> list[RenderableType]:
    return [Text(title, "bold"), output.indented(part), *([] if last else [Text()])]


def _table(rows: list[dict[str, Any]], columns: Mapping[str, Any]) -> RenderableType:
    if not rows:
        return Text("none", "dim")
    table = output.grid(*columns)
    for row in rows:
        table.add_row(*(_cell(read(row)) for read in columns.values()))
    return table


def _cell(value: Any) -> str:
    return "-" if value in _NOTHING else str(value)


def _model(row: Mapping[str, Any]) -> str:
    model = row["model"]
    return f"{model['manufacturer']} {model['model']} {model['hardware']}"


def _bank(image: Mapping[str, Any]) -> str:
    if not image["size"]:
        return "empty"
    return image["version"] or f"{image['size']} octets of nonsense"


def _pending(row: Mapping[str, Any]) -> str:
    """The other bank, with what it is if it is anything."""
    other = _bank(row["banks"][1 - row["active"]])
    return other if row["pending"] == "empty" else f"{other} {row['pending']}"


def _slots(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{_bank(slot)} for {_listed(slot['devices'])}" for slot in row["slots"]) or "all free"


_INVENTORY: Final = {
    "Device": lambda row: row["device"],
    "type": lambda row: "CHF" if row["type"] == "chf" else row["type"].upper(),
    "firmware": lambda row: row["firmware"],
    "region": lambda row: row["region"],
    "status": lambda row: row["status"],
}
_CPL: Final = {
    "model": _model,
    "version": lambda row: row["version"],
    "hash": lambda row: f"{row['hash'][:16]}…",
    "status": lambda row: row["status"],
}
_DELIVERIES: Final = {
    "Device": lambda row: row["device"],
    "version": lambda row: row["version"],
    "transfer": lambda row: row["transfer"],
    "stage": lambda row: row["stage"],
}
_COMMANDS: Final = {
    "Device": lambda row: row["device"],
    "SRV": lambda row: row["srv"],
    "counter": lambda row: row["request"].rpartition(":")[2],
    "stage": lambda row: row["stage"],
}
_QUARANTINE: Final = {
    "reference": lambda row: row["reference"],
    "User": lambda row: row["request"]["id"].partition(":")[0],
    "counter": lambda row: row["request"]["id"].rpartition(":")[2],
    "breach": lambda row: row["breach"],
}
_HUBS: Final = {
    "hub": lambda row: row["hub"],
    "life": lambda row: row["life"],
    "firmware": lambda row: row["firmware"],
    "capable": lambda row: _short(row["capable"]),
    "slots": _slots,
}
_DEVICES: Final = {
    "Device": lambda row: row["device"],
    "kind": lambda row: row["kind"].upper(),
    "life": lambda row: row["life"],
    "runs": lambda row: row["version"],
    "other bank": _pending,
    "alerts": lambda row: row["alerts"],
}
SERVICES: Final = {
    Service.NON_DEVICE: "Non-Device",
    Service.SEND_COMMAND: "Send Command",
    Service.TRANSFORM: "Transform",
}
