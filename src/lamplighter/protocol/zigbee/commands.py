"""The eight commands of the OTA Upgrade cluster (0x0019) as values, and their payloads as octets.

All integers are little-endian (ZCL 2.4). A response whose status decides its layout is one class a layout,
so that no value can hold fields that its status forbids. Left out on purpose: Query Device Specific File
(commands 08 and 09), and octets after the last field, which the ZCL would have a receiver ignore.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from lamplighter.kit import Cursor, Eui64, FirmwareVersion, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_FOR_COMMAND: Final = 0xFFFFFFFF  # upgradeTime: hold the image until told (ZCL OTA, Upgrade End Response)
JITTER_MAX: Final = 100  # ZCL OTA, Image Notify, Query Jitter

_NODE_ADDRESS: Final = 0b01  # field control of Image Block and Image Page Request
_BLOCK_PERIOD: Final = 0b10  # field control of Image Block Request
_HARDWARE_VERSION: Final = 0b01  # field control of Query Next Image Request


class Id(IntEnum):
    """Command identifiers; the direction is fixed for each."""

    IMAGE_NOTIFY = 0x00
    QUERY_NEXT_IMAGE_REQUEST = 0x01
    QUERY_NEXT_IMAGE_RESPONSE = 0x02
    IMAGE_BLOCK_REQUEST = 0x03
    IMAGE_PAGE_REQUEST = 0x04
    IMAGE_BLOCK_RESPONSE = 0x05
    UPGRADE_END_REQUEST = 0x06
    UPGRADE_END_RESPONSE = 0x07


class Status(IntEnum):
    """ZCL status values that this cluster uses."""

    SUCCESS = 0x00
    NOT_AUTHORIZED = 0x7E
    ABORT = 0x95
    INVALID_IMAGE = 0x96
    WAIT_FOR_DATA = 0x97
    NO_IMAGE_AVAILABLE = 0x98
    REQUIRE_MORE_IMAGE = 0x99


@dataclass(frozen=True, slots=True)
class ImageId:
    """Which image: the three fields by which every command of the cluster names one."""

    manufacturer: int
    """Zigbee manufacturer code, u16."""

    image_type: int
    """Image type, u16: PPMID 0x0084."""

    version: FirmwareVersion
    """File version, u32."""


@dataclass(frozen=True, slots=True)
class ImageNotify:
    """00, server to client: there is something to ask for."""

    jitter: int
    """Query Jitter 1..100. It thins out the answers to a broadcast; a unicast always gets a query."""

    manufacturer: int | None = None
    """Manufacturer code, u16; None: any."""

    image_type: int | None = None
    """Image type, u16; only after a manufacturer code."""

    version: FirmwareVersion | None = None
    """The new file version; only after an image type."""


@dataclass(frozen=True, slots=True)
class QueryNextImageRequest:
    """01, client to server: whether there is an image for me."""

    current: ImageId
    """What the client is and what it runs."""

    hardware: int | None = None
    """Hardware version, u16."""


@dataclass(frozen=True, slots=True)
class NextImage:
    """02 with SUCCESS, server to client: there is."""

    image: ImageId
    """The image on offer."""

    size: int
    """Octets of the whole file, u32. The client allocates by it: check it against the slot first."""


@dataclass(frozen=True, slots=True)
class NoNextImage:
    """02 with any other status, server to client: there is none."""

    status: Status
    """NOT_AUTHORIZED or NO_IMAGE_AVAILABLE."""


@dataclass(frozen=True, slots=True)
class ImageBlockRequest:
    """03, client to server: give me these octets."""

    image: ImageId
    """The image being fetched."""

    offset: int
    """File offset of the first octet asked for, u32."""

    maximum: int
    """Maximum data size, u8: the answer may hold fewer."""

    node: Eui64 | None = None
    """Request node address, if said."""

    period: int | None = None
    """Minimum block period that the client keeps, milliseconds, u16, if said."""


@dataclass(frozen=True, slots=True)
class ImagePageRequest:
    """04, client to server: give me a run of blocks without asking for each."""

    image: ImageId
    """The image being fetched."""

    offset: int
    """File offset of the first octet of the page, u32."""

    maximum: int
    """Maximum data size of each block, u8."""

    page: int
    """Page size, octets, u16."""

    spacing: int
    """Response spacing, milliseconds between blocks, u16."""

    node: Eui64 | None = None
    """Request node address, if said; unlike in 03 it is the last field."""


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """05 with SUCCESS, server to client: the octets."""

    image: ImageId
    """The image that they belong to."""

    offset: int
    """File offset of the first octet, u32. Never write at it unchecked."""

    data: bytes
    """0..255 octets."""


@dataclass(frozen=True, slots=True)
class WaitForData:
    """05 with WAIT_FOR_DATA, server to client: ask again later."""

    current: int
    """The server's time, ZCL UTCTime; 0: `request` is a delay."""

    request: int
    """When to ask again, ZCL UTCTime, or a delay in seconds. Unbounded: a peer may say 136 years."""

    period: int
    """Minimum block period to keep from now on, milliseconds, u16."""


@dataclass(frozen=True, slots=True)
class AbortTransfer:
    """05 with ABORT, server to client: this transfer is over."""


@dataclass(frozen=True, slots=True)
class UpgradeEndRequest:
    """06, client to server: how the transfer ended."""

    status: Status
    """SUCCESS, INVALID_IMAGE, REQUIRE_MORE_IMAGE or ABORT."""

    image: ImageId
    """The image that was fetched."""


@dataclass(frozen=True, slots=True)
class UpgradeEndResponse:
    """07, server to client: when to activate."""

    image: ImageId
    """The image that was fetched."""

    current: int
    """The server's time, ZCL UTCTime; 0: `upgrade` is a delay."""

    upgrade: int
    """When to activate, ZCL UTCTime or a delay in seconds; 0xFFFFFFFF: wait for a command."""


Command: TypeAlias = (
    ImageNotify
    | QueryNextImageRequest
    | NextImage
    | NoNextImage
    | ImageBlockRequest
    | ImagePageRequest
    | ImageBlock
    | WaitForData
    | AbortTransfer
    | UpgradeEndRequest
    | UpgradeEndResponse
)

_NO_IMAGE: Final = (Status.NOT_AUTHORIZED, Status.NO_IMAGE_AVAILABLE)
_ENDINGS: Final = (Status.SUCCESS, Status.INVALID_IMAGE, Status.REQUIRE_MORE_IMAGE, Status.ABORT)


def encode(command: Command) -> tuple[Id, bytes]:
    """The command identifier and its payload."""
    try:
        return _encode(command)
    except struct.error as cause:
        raise UsageError(f"a field of {command} does not fit its width: {cause}") from cause


def _encode(command: Command) -> tuple[Id, bytes]:
    match command:
        case ImageNotify(jitter, manufacturer, image_type, version):
            return Id.IMAGE_NOTIFY, _encode_notify(jitter, manufacturer, image_type, version)
        case QueryNextImageRequest(current, hardware):
            control = 0 if hardware is None else _HARDWARE_VERSION
            tail = b"" if hardware is None else struct.pack("<H", hardware)
            return Id.QUERY_NEXT_IMAGE_REQUEST, struct.pack("<B", control) + _image(current) + tail
        case NextImage(image, size):
            payload = struct.pack("<B", Status.SUCCESS) + _image(image) + struct.pack("<I", size)
            return Id.QUERY_NEXT_IMAGE_RESPONSE, payload
        case NoNextImage(status):
            return Id.QUERY_NEXT_IMAGE_RESPONSE, struct.pack("<B", _allowed(status, _NO_IMAGE))
        case ImageBlockRequest(image, offset, maximum, node, period):
            control = (node is not None and _NODE_ADDRESS) | (period is not None and _BLOCK_PERIOD)
            payload = struct.pack("<B", control) + _image(image) + struct.pack("<IB", offset, maximum)
            tail = b"" if period is None else struct.pack("<H", period)
            return Id.IMAGE_BLOCK_REQUEST, payload + _node(node) + tail
        case ImagePageRequest(image, offset, maximum, page, spacing, node):
            control = 0 if node is None else _NODE_ADDRESS
            tail = struct.pack("<IBHH", offset, maximum, page, spacing)
            return Id.IMAGE_PAGE_REQUEST, struct.pack("<B", control) + _image(image) + tail + _node(node)
        case ImageBlock(image, offset, data):
            head = struct.pack("<B", Status.SUCCESS) + _image(image) + struct.pack("<IB", offset, len(data))
            return Id.IMAGE_BLOCK_RESPONSE, head + data
        case WaitForData(current_time, request_time, block_period):
            layout = "<BIIH"
            payload = struct.pack(layout, Status.WAIT_FOR_DATA, current_time, request_time, block_period)
            return Id.IMAGE_BLOCK_RESPONSE, payload
        case AbortTransfer():
            return Id.IMAGE_BLOCK_RESPONSE, struct.pack("<B", Status.ABORT)
        case UpgradeEndRequest(status, image):
            return Id.UPGRADE_END_REQUEST, struct.pack("<B", _allowed(status, _ENDINGS)) + _image(image)
        case UpgradeEndResponse(image, current_time, upgrade_time):
            return Id.UPGRADE_END_RESPONSE, _image(image) + struct.pack("<II", current_time, upgrade_time)


def _encode_notify(
    jitter: int, manufacturer: int | None, image_type: int | None, version: FirmwareVersion | None
) -> bytes:
    if not 1 <= jitter <= JITTER_MAX:
        raise UsageError(f"a query jitter is 1 to {JITTER_MAX}, not {jitter}")
    match manufacturer, image_type, version:
        case None, None, None:
            return struct.pack("<BB", 0, jitter)
        case int(), None, None:
            return struct.pack("<BBH", 1, jitter, manufacturer)
        case int(), int(), None:
            return struct.pack("<BBHH", 2, jitter, manufacturer, image_type)
        case int(), int(), FirmwareVersion(number):
            return struct.pack("<BBHHI", 3, jitter, manufacturer, image_type, number)
        case _:
            raise UsageError(
                "an Image Notify names a type only after a manufacturer, a version only after both"
            )


def _image(image: ImageId) -> bytes:
    return struct.pack("<HHI", image.manufacturer, image.image_type, image.version.number)


def _node(node: Eui64 | None) -> bytes:
    return b"" if node is None else node.octets[::-1]


def _allowed(status: Status, allowed: tuple[Status, ...]) -> Status:
    if status not in allowed:
        raise UsageError(f"{status.name} is not a status here; {', '.join(s.name for s in allowed)} are")
    return status


def decode(identifier: int, cursor: Cursor) -> Command:
    """The command that `cursor` holds, to its last octet. Total."""
    read = _READERS.get(identifier)
    if read is None:
        cursor.fail("command identifier", "00 to 07", f"{identifier:02x}")
    command = read(cursor)
    cursor.finish()
    return command


def _read_notify(cursor: Cursor) -> ImageNotify:
    kind = _bounded(cursor, "payload type", 0, 3)
    jitter = _bounded(cursor, "query jitter", 1, JITTER_MAX)
    return ImageNotify(
        jitter,
        cursor.little(2, "manufacturer code") if kind >= 1 else None,
        cursor.little(2, "image type") if kind >= 2 else None,
        FirmwareVersion(cursor.little(4, "file version")) if kind == 3 else None,
    )


def _read_query(cursor: Cursor) -> QueryNextImageRequest:
    control = _control(cursor, _HARDWARE_VERSION)
    current = _read_image(cursor)
    return QueryNextImageRequest(current, cursor.little(2, "hardware version") if control else None)


def _read_query_response(cursor: Cursor) -> NextImage | NoNextImage:
    status = _read_status(cursor, (Status.SUCCESS, *_NO_IMAGE))
    if status is not Status.SUCCESS:
        return NoNextImage(status)
    return NextImage(_read_image(cursor), cursor.little(4, "image size"))


def _read_block_request(cursor: Cursor) -> ImageBlockRequest:
    control = _control(cursor, _NODE_ADDRESS | _BLOCK_PERIOD)
    return ImageBlockRequest(
        _read_image(cursor),
        cursor.little(4, "file offset"),
        cursor.u8("maximum data size"),
        _read_node(cursor) if control & _NODE_ADDRESS else None,
        cursor.little(2, "minimum block period") if control & _BLOCK_PERIOD else None,
    )


def _read_page_request(cursor: Cursor) -> ImagePageRequest:
    control = _control(cursor, _NODE_ADDRESS)
    return ImagePageRequest(
        _read_image(cursor),
        cursor.little(4, "file offset"),
        cursor.u8("maximum data size"),
        cursor.little(2, "page size"),
        cursor.little(2, "response spacing"),
        _read_node(cursor) if control else None,
    )


def _read_block_response(cursor: Cursor) -> ImageBlock | WaitForData | AbortTransfer:
    status = _read_status(cursor, (Status.SUCCESS, Status.WAIT_FOR_DATA, Status.ABORT))
    if status is Status.ABORT:
        return AbortTransfer()
    if status is Status.WAIT_FOR_DATA:
        return WaitForData(
            cursor.little(4, "current time"),
            cursor.little(4, "request time"),
            cursor.little(2, "minimum block period"),
        )
    image = _read_image(cursor)
    offset = cursor.little(4, "file offset")
    return ImageBlock(image, offset, cursor.take(cursor.u8("data size"), "image data"))


def _read_end_request(cursor: Cursor) -> UpgradeEndRequest:
    return UpgradeEndRequest(_read_status(cursor, _ENDINGS), _read_image(cursor))


def _read_end_response(cursor: Cursor) -> UpgradeEndResponse:
    return UpgradeEndResponse(
        _read_image(cursor), cursor.little(4, "current time"), cursor.little(4, "upgrade time")
    )


def _read_image(cursor: Cursor) -> ImageId:
    return ImageId(
        cursor.little(2, "manufacturer code"),
        cursor.little(2, "image type"),
        FirmwareVersion(cursor.little(4, "file version")),
    )


def _read_node(cursor: Cursor) -> Eui64:
    return Eui64(cursor.take(8, "request node address")[::-1])


def _read_status(cursor: Cursor, allowed: tuple[Status, ...]) -> Status:
    at = cursor.at
    octet = cursor.u8("status")
    for status in allowed:
        if status == octet:
            return status
    cursor.fail("status", " or ".join(f"{s:02x} {s.name}" for s in allowed), f"{octet:02x}", at=at)


def _control(cursor: Cursor, known: int) -> int:
    at = cursor.at
    control = cursor.u8("field control")
    if control & ~known:
        cursor.fail("field control", f"no bits beyond {known:#04b}", f"{control:#010b}", at=at)
    return control


def _bounded(cursor: Cursor, field: str, low: int, high: int) -> int:
    at = cursor.at
    value = cursor.u8(field)
    if not low <= value <= high:
        cursor.fail(field, f"{low} to {high}", str(value), at=at)
    return value


_READERS: Final[dict[int, Callable[[Cursor], Command]]] = {
    Id.IMAGE_NOTIFY: _read_notify,
    Id.QUERY_NEXT_IMAGE_REQUEST: _read_query,
    Id.QUERY_NEXT_IMAGE_RESPONSE: _read_query_response,
    Id.IMAGE_BLOCK_REQUEST: _read_block_request,
    Id.IMAGE_PAGE_REQUEST: _read_page_request,
    Id.IMAGE_BLOCK_RESPONSE: _read_block_response,
    Id.UPGRADE_END_REQUEST: _read_end_request,
    Id.UPGRADE_END_RESPONSE: _read_end_response,
}
