"""A world's trace told: each frame and message decoded, in plain values that serve a terminal and JSON alike.

Decoding here believes nothing and never fails: a frame that is not what it should be, as after the fault
`corrupt-block`, is told as undecodable with the decoder's reason. Nothing is left out: an entry keeps the
octets that it was read from.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, VerificationError
from lamplighter.kit.instant import Instant, from_zigbee, to_iso
from lamplighter.lab.dcc.access import RULES
from lamplighter.protocol import duis, gbcs, zigbee
from lamplighter.protocol import image as images
from lamplighter.protocol.duis.codes import MEANINGS
from lamplighter.protocol.zigbee.commands import WAIT_FOR_COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamplighter.lab.world import Traced, World

SHOWN_OCTETS_MAX: Final = 255  # longer octet strings are told by their length; a block's data is shorter

_OTA_TITLES: Final[dict[type, str]] = {
    zigbee.ImageNotify: "Image Notify",
    zigbee.QueryNextImageRequest: "Query Next Image Request",
    zigbee.NextImage: "Query Next Image Response",
    zigbee.NoNextImage: "Query Next Image Response",
    zigbee.ImageBlockRequest: "Image Block Request",
    zigbee.ImagePageRequest: "Image Page Request",
    zigbee.ImageBlock: "Image Block Response",
    zigbee.WaitForData: "Image Block Response",
    zigbee.AbortTransfer: "Image Block Response",
    zigbee.UpgradeEndRequest: "Upgrade End Request",
    zigbee.UpgradeEndResponse: "Upgrade End Response",
}
_STATUSES: Final[dict[type, zigbee.Status]] = {
    # The answers whose status is told by their class, not by a field.
    zigbee.NextImage: zigbee.Status.SUCCESS,
    zigbee.ImageBlock: zigbee.Status.SUCCESS,
    zigbee.WaitForData: zigbee.Status.WAIT_FOR_DATA,
    zigbee.AbortTransfer: zigbee.Status.ABORT,
}
_FROM_HUB: Final = "WAN GBCS"
_GBCS_LEADS: Final = (b"\xdf", b"\xdd")  # a message, and one wrapped with a MAC
_BLOCKS: Final = frozenset({"Image Block Request", "Image Block Response"})
_ABORTED, _WAITING = "abort", "wait for data"
_HEX: Final = frozenset({"manufacturer", "image_type", "model", "hardware", "alert_code"})
_TIMES: Final = frozenset({"current", "ask_again", "upgrade"})
_DELAY_MAX: Final = 365 * 24 * 3600  # seconds: what is said as a time is far above, what is a delay far below
_ACRONYMS: Final = (("Ppmid", "PPMID"), ("Csp", "CSP"))

Told = tuple[str, dict[str, Any]]
"""A title in the industry's words, and the fields."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame or message, decoded."""

    at: Instant
    """When it was sent."""
    source: str
    """Who sent it: an EUI-64, or `DCC`."""
    destination: str
    """For whom it is."""
    devices: tuple[Eui64, ...]
    """The Devices that it concerns."""
    carrier: str
    """What carried it: the kind of frame, or the service of a request."""
    title: str
    """What it is, in the industry's words."""
    fields: dict[str, Any]
    """What it says, as plain JSON values."""
    octets: bytes
    """The frame or message itself."""

    @property
    def is_block(self) -> bool:
        """Whether it is one of the many that carry an image to a Device in pieces; an abort is not."""
        return self.title in _BLOCKS and self.fields.get("status") != _ABORTED

    @property
    def waits(self) -> bool:
        """Whether it tells the Device to ask again later."""
        return self.fields.get("status") == _WAITING


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks one after the other, folded into one."""

    first: Entry
    """The first of them."""
    last: Entry
    """The last of them."""
    count: int
    """How many frames, both ways."""
    waits: int
    """How many of them tell the Device to ask again later."""


def tell(traced: Traced) -> Entry:
    """Decode one line of the trace; total."""
    try:
        title, said = _teller(traced.what)(traced.octets)
    except (DecodeError, VerificationError) as error:
        title, said = "undecodable", {"reason": str(error)}
    return Entry(
        traced.at,
        traced.source,
        traced.destination,
        traced.devices,
        traced.what,
        title,
        said,
        traced.octets,
    )


def trace(world: World, device: Eui64) -> Iterator[Entry]:
    """Every frame and message of one Device, decoded, in order: also what its hub says of it (CCS08)."""
    entry = world.dcc.inventory.find(device)
    hub = None if entry is None else entry.hub
    for traced in world.trace:
        if device in traced.devices:
            yield tell(traced)
        elif traced.what == _FROM_HUB and traced.devices == (hub,):
            told = tell(traced)
            if told.fields.get("target") == str(device):
                yield told


def fold(entries: Iterable[Entry]) -> Iterator[Entry | Run]:
    """The same with each run of blocks as one; one alone stays as it is."""
    run: list[Entry] = []
    for entry in entries:
        if entry.is_block:
            run.append(entry)
            continue
        yield from _folded(run)
        run = []
        yield entry
    yield from _folded(run)


def _folded(run: list[Entry]) -> Iterator[Entry | Run]:
    if len(run) > 1:
        yield Run(run[0], run[-1], len(run), sum(entry.waits for entry in run))
    else:
        yield from run


def facts(entry: Entry) -> dict[str, Any]:
    """An entry as one JSON object; the names are stable."""
    return {
        "at": to_iso(entry.at),
        "from": entry.source,
        "to": entry.destination,
        "devices": [str(device) for device in entry.devices],
        "carrier": entry.carrier,
        "what": entry.title,
        "fields": entry.fields,
        "size": len(entry.octets),
    }


def plain(value: Any) -> Any:
    """Any value of the protocol as JSON has it: identifiers as text, times in ISO 8601, names of codes."""
    match value:
        case None | bool() | str():
            return value
        case Eui64() | FirmwareVersion() | ImageHash() | duis.RequestId():
            return str(value)
        case gbcs.CosemDateTime():
            return None if value.instant is None else to_iso(value.instant)
        case Enum():
            return value.name.replace("_", " ").lower()
        case bytes():
            return value.hex() if len(value) <= SHOWN_OCTETS_MAX else f"{len(value)} octets"
        case tuple() | list():
            return [plain(each) for each in value]
        case frozenset():
            return sorted(plain(each) for each in value)
    if is_dataclass(value):
        return {field.name: _field(field, getattr(value, field.name)) for field in fields(value)}
    return value


def _field(field: Field[Any], value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, Enum):
        if field.name in _HEX:
            return f"{value:04X}"
        # An Instant is an int at run time; that it is a time stands only in the annotation.
        if "Instant" in str(field.type):
            return to_iso(Instant(value))
    return plain(value)


def _teller(carrier: str) -> Callable[[bytes], Told]:
    if carrier.endswith(" request"):
        return _request
    return _TELLERS.get(carrier, _response if carrier.endswith(" response") else _unknown)


def _ota(octets: bytes) -> Told:
    frame = zigbee.decode(octets)
    command = type(frame.command)
    said = plain(frame.command)
    if command in _STATUSES:
        said = {"status": plain(_STATUSES[command]), **said}
    if "request" in said:
        said["ask_again"] = said.pop("request")
    if command in {zigbee.UpgradeEndResponse, zigbee.WaitForData}:
        said |= {name: _zigbee_time(said[name]) for name in sorted(_TIMES & said.keys())}
    return _OTA_TITLES[command], {**said, "transaction": frame.transaction}


def _zigbee_time(seconds: int) -> str:
    """A ZCL UTCTime, or a delay where it is too small to be one."""
    if seconds == WAIT_FOR_COMMAND:
        return "on command"
    return to_iso(from_zigbee(seconds)) if seconds > _DELAY_MAX else f"after {seconds} s"


def _gbcs(octets: bytes) -> Told:
    found = gbcs.decode(octets)
    message = found.message
    said = {
        "originator": str(message.originator),
        "recipient": str(message.recipient),
        "counter": message.counter,
        "signed": bool(message.signature),
        "maced": found.mac is not None,
    }
    if message.supplementary is not None:
        said["on_behalf_of"] = plain(message.supplementary)
    payload = plain(found.payload)
    if isinstance(alert := getattr(found.payload, "alert", None), int):
        payload["alert"] = f"{alert:04X} {_meaning('AlertCode', f'{alert:04X}')}".rstrip()
    if isinstance(found.payload, gbcs.Cs06Accepted):
        payload = {"result": "accepted for later"}
    return found.kind.name, {**payload, **said}


def _image(octets: bytes) -> Told:
    found = images.decode(octets, images.guess_layout(octets))
    header = found.header
    return "OTA Upgrade Image", {
        "layout": found.layout.value,
        "version": str(header.file_version),
        "manufacturer": f"{header.manufacturer:04X}",
        "image_type": f"{header.image_type:04X}",
        "hardware": f"{header.minimum_hardware:04X} to {header.maximum_hardware:04X}",
        "hash": str(found.hash),
    }


def _acknowledgement(octets: bytes) -> Told:
    return "APS acknowledgement", {"of": octets.hex()}


def _receipt(octets: bytes) -> Told:
    return "image delivery receipt", {"delivered": octets == b"\x01"}


def _hub_firmware(octets: bytes) -> Told:
    return "hub firmware updated", {"version": octets.hex().upper()}


def _device_left(_: bytes) -> Told:
    return "Device left the HAN", {}


def _unreachable(octets: bytes) -> Told:
    carried = _gbcs if octets[:1] in _GBCS_LEADS else _image
    return "hub out of reach", {"undelivered": _carried(carried, octets)}


def _request(octets: bytes) -> Told:
    request = duis.decode_request(octets)
    body = plain(request.body)
    match request.body:
        case duis.UpdateFirmware(image=image) | duis.UpdatePpmidFirmware(image=image):
            body["image"] = _carried(_image, image)
        case duis.SignedPreCommand(payload):
            body["payload"] = _carried(_gbcs, payload)
    srv = RULES[type(request.body)].srv
    return f"SRV {srv} {_title(request.body)}", {**body, "request_id": str(request.id)}


def _response(octets: bytes) -> Told:
    response = duis.decode_response(octets)
    said = {
        name: str(each)
        for name, each in (("request_id", response.request_id), ("response_id", response.response_id))
        if each is not None
    }
    match response.body:
        case duis.ResponseMessage(srv, _, payload):
            said["meaning"] = _meaning("ResponseCode", response.code)
            title = f"{response.code} for SRV {srv}"
            body = {} if payload is None else _payload(payload)
        case duis.DeviceAlert(code, payload):
            title = f"{code:04X} Device alert"
            said["meaning"] = _meaning("AlertCode", f"{code:04X}")
            body = {"payload": _carried(_gbcs, payload)}
        case duis.DccAlert(code, alert):
            title = f"{code} {_title(alert)}"
            said["meaning"] = _meaning("DCCAlertCode", code)
            body = plain(alert)
    if (throttled := getattr(response.body, "throttled", None)) is not None:
        body["throttled"] = plain(throttled)
    return title, {**body, **{name: value for name, value in said.items() if value}}


def _payload(payload: Any) -> dict[str, Any]:
    told: dict[str, Any] = plain(payload)
    for field in fields(payload):
        if isinstance(octets := getattr(payload, field.name), bytes):
            told[field.name] = _carried(_gbcs, octets)
    return told


def _carried(teller: Callable[[bytes], Told], octets: bytes) -> dict[str, Any]:
    """What a message carries inside, which may be nonsense without the message being so."""
    try:
        title, said = teller(octets)
    except (DecodeError, VerificationError) as error:
        return {"undecodable": str(error), "size": len(octets)}
    return {"what": title, **said, "size": len(octets)}


def _unknown(octets: bytes) -> Told:
    return "octets", {"octets": plain(octets)}


def _meaning(element: str, code: str) -> str:
    return MEANINGS[element].get(code, "")


def _title(value: Any) -> str:
    """The DUIS element of a body: our class has its name, but for the case of acronyms."""
    name = type(value).__name__
    for ours, theirs in _ACRONYMS:
        name = name.replace(ours, theirs)
    return name


_TELLERS: Final[dict[str, Callable[[bytes], Told]]] = {
    "OTA": _ota,
    "TUNNELING": _gbcs,
    "ACKNOWLEDGEMENT": _acknowledgement,
    "WAN GBCS": _gbcs,
    "WAN image": _image,
    "WAN image receipt": _receipt,
    "WAN hub firmware": _hub_firmware,
    "WAN device left": _device_left,
    "WAN unreachable": _unreachable,
    "to User": _response,
}
