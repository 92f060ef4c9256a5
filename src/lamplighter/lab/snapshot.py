"""A world's state at one instant, as plain JSON values: what `lab dump` prints, and a served lab tells.

Read only, and taken between two steps of the world. Names and shapes are stable; images are told by version,
size and hash, keys not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamplighter.kit import DecodeError
from lamplighter.kit.instant import to_iso
from lamplighter.lab.chronicle import plain
from lamplighter.lab.devices import Device
from lamplighter.lab.hub import Hub
from lamplighter.protocol import image as images

if TYPE_CHECKING:
    from lamplighter.kit import Instant
    from lamplighter.lab.dcc import Dcc
    from lamplighter.lab.world import World


def take(world: World) -> dict[str, Any]:
    """Everything that the world remembers, at this instant."""
    nodes = [world.node(entry.device) for entry in world.dcc.inventory]
    return {
        "clock": _clock(world),
        "dcc": _dcc(world.dcc),
        "hubs": [_hub(node) for node in nodes if isinstance(node, Hub)],
        "devices": [_device(node) for node in nodes if isinstance(node, Device)],
    }


def _clock(world: World) -> dict[str, Any]:
    return {
        "now": to_iso(world.now),
        "next_at": _time(world.next_at),
        "busy": world.busy,
        "mail": len(world.mail),
        "traced": len(world.trace),
    }


def _dcc(dcc: Dcc) -> dict[str, Any]:
    return {
        "inventory": [plain(entry) for entry in dcc.inventory],
        "cpl": [plain(product) for product in dcc.products],
        "deliveries": [plain(delivery) for delivery in dcc.deliveries],
        "commands": [
            {
                "device": str(command.key.device),
                "user": str(command.key.user),
                "request": str(command.request),
                "srv": command.srv,
                "stage": plain(command.stage),
                "due": to_iso(command.due),
                "execution": _time(command.execution),
            }
            for command in dcc.commands
        ],
        "quarantine": [plain(held) for held in dcc.quarantined],
    }


def _hub(hub: Hub) -> dict[str, Any]:
    record = hub.memory.record
    slots: dict[bytes, list[str]] = {}
    for held in record.held:
        slots.setdefault(held.octets, []).append(str(held.device))
    return {
        "hub": str(hub.eui64),
        "life": plain(hub.life),
        "firmware": str(record.firmware),
        "capable": record.capable,
        "slots": [{**_image(octets), "devices": devices} for octets, devices in slots.items()],
        "mail": [str(letter.device) for letter in record.mail],
        "alerts": record.alerts,
    }


def _device(device: Device) -> dict[str, Any]:
    record = device.flash.record
    return {
        "device": str(device.plate.eui64),
        "kind": type(device).__name__,
        "life": plain(device.life),
        "version": plain(device.version),
        "hardware": f"{device.plate.hardware:04X}",
        "banks": [_image(octets) for octets in device.flash.banks],
        "active": record.active,
        "pending": plain(record.pending),
        "order": plain(record.order),
        "alerts": record.alerts,
        "outbox": len(record.outbox),
        "heard": {str(party): counter for party, counter in record.heard},
    }


def _image(octets: bytes) -> dict[str, Any]:
    """What an image file is; an erased bank and nonsense are something too."""
    if not octets:
        return {"version": None, "hash": None, "size": 0}
    try:
        found = images.decode(octets, images.guess_layout(octets))
    except DecodeError:
        return {"version": None, "hash": None, "size": len(octets)}
    return {"version": str(found.header.file_version), "hash": str(found.hash), "size": len(octets)}


def _time(instant: Instant | None) -> str | None:
    return None if instant is None else to_iso(instant)
