"""ZCL frames of the OTA cluster: vectors, properties, and zigpy as an oracle."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, UsageError
from lamplighter.protocol import zigbee
from lamplighter.protocol.zigbee import Frame, Status, decode, encode

IMAGE = zigbee.ImageId(0x121D, 0x0084, FirmwareVersion(0xACDCACDC))
NODE = Eui64.parse("00-DB-12-34-56-78-90-A4")

VECTORS = {  # written by hand from the tables of the ZCL
    "0907000364 1d12 8400 dcacdcac": zigbee.ImageNotify(100, 0x121D, 0x0084, FirmwareVersion(0xACDCACDC)),
    "0907000001": zigbee.ImageNotify(1),
    "01070101 1d128400dcacdcac 1111": zigbee.QueryNextImageRequest(IMAGE, 0x1111),
    "01070100 1d128400dcacdcac": zigbee.QueryNextImageRequest(IMAGE),
    "09070200 1d128400dcacdcac 27010000": zigbee.NextImage(IMAGE, 295),
    "09070298": zigbee.NoNextImage(Status.NO_IMAGE_AVAILABLE),
    "01070300 1d128400dcacdcac 28000000 28": zigbee.ImageBlockRequest(IMAGE, 40, 40),
    "01070303 1d128400dcacdcac 28000000 28 a49078563412db00 f401": zigbee.ImageBlockRequest(
        IMAGE, 40, 40, NODE, 500
    ),
    "01070401 1d128400dcacdcac 28000000 28 0002 3200 a49078563412db00": zigbee.ImagePageRequest(
        IMAGE, 40, 40, 512, 50, NODE
    ),
    "09070500 1d128400dcacdcac 28000000 03 010203": zigbee.ImageBlock(IMAGE, 40, b"\1\2\3"),
    "09070597 01000000 05000000 f401": zigbee.WaitForData(1, 5, 500),
    "09070595": zigbee.AbortTransfer(),
    "01070600 1d128400dcacdcac": zigbee.UpgradeEndRequest(Status.SUCCESS, IMAGE),
    "01070696 1d128400dcacdcac": zigbee.UpgradeEndRequest(Status.INVALID_IMAGE, IMAGE),
    "090707 1d128400dcacdcac 01000000 ffffffff": zigbee.UpgradeEndResponse(IMAGE, 1, 0xFFFFFFFF),
}

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
images = st.builds(zigbee.ImageId, u16, u16, u32.map(FirmwareVersion))
nodes = st.none() | st.binary(min_size=8, max_size=8).map(Eui64)
jitters = st.integers(1, 100)
notices = st.one_of(
    st.builds(zigbee.ImageNotify, jitters),
    st.builds(zigbee.ImageNotify, jitters, u16),
    st.builds(zigbee.ImageNotify, jitters, u16, u16),
    st.builds(zigbee.ImageNotify, jitters, u16, u16, u32.map(FirmwareVersion)),
)
endings = (Status.SUCCESS, Status.INVALID_IMAGE, Status.REQUIRE_MORE_IMAGE, Status.ABORT)
commands = st.one_of(
    notices,
    st.builds(zigbee.QueryNextImageRequest, images, st.none() | u16),
    st.builds(zigbee.NextImage, images, u32),
    st.sampled_from((Status.NO_IMAGE_AVAILABLE, Status.NOT_AUTHORIZED)).map(zigbee.NoNextImage),
    st.builds(zigbee.ImageBlockRequest, images, u32, u8, nodes, st.none() | u16),
    st.builds(zigbee.ImagePageRequest, images, u32, u8, u16, u16, nodes),
    st.builds(zigbee.ImageBlock, images, u32, st.binary(max_size=255)),
    st.builds(zigbee.WaitForData, u32, u32, u16),
    st.just(zigbee.AbortTransfer()),
    st.builds(zigbee.UpgradeEndRequest, st.sampled_from(endings), images),
    st.builds(zigbee.UpgradeEndResponse, images, u32, u32),
)
frames = st.builds(Frame, u8, commands, st.booleans())


@pytest.mark.parametrize(("text", "command"), VECTORS.items(), ids=lambda v: type(v).__name__)
def test_vectors_decode_and_encode_octet_for_octet(text: str, command: zigbee.Command) -> None:
    assert Frame(7, command) == decode(bytes.fromhex(text))
    assert bytes.fromhex(text) == encode(Frame(7, command))


@given(frames)
def test_what_is_encoded_decodes_to_the_same(sent: Frame) -> None:
    assert sent == decode(encode(sent))


@given(
    st.binary(max_size=60)
    | st.builds(lambda head, tail: head + tail, frames.map(encode), st.binary(max_size=3))
)
def test_any_octets_give_a_frame_that_encodes_back_or_a_decode_error(octets: bytes) -> None:
    try:
        heard = decode(octets)
    except DecodeError:
        return
    assert octets == encode(heard)


@given(frames.map(encode), st.data())
def test_a_frame_cut_short_or_with_one_octet_changed_never_raises_anything_else(
    octets: bytes, data: Any
) -> None:
    at = data.draw(st.integers(0, len(octets) - 1))
    for damaged in (octets[:at], octets[:at] + bytes((data.draw(u8),)) + octets[at + 1 :]):
        with suppress(DecodeError):
            decode(damaged)


@pytest.mark.parametrize(
    ("text", "field", "offset"),
    [
        ("", "frame control", 0),
        ("0d07000001", "frame control", 0),  # manufacturer-specific
        ("01070598", "frame control", 0),  # a response that comes from the client
        ("090742", "command identifier", 3),
        ("0907000401", "payload type", 3),
        ("0907000065", "query jitter", 4),
        ("01070104", "field control", 3),
        ("09070599", "status", 3),
        ("0907020098", "manufacturer code", 4),
        ("0907059500", "end", 4),
    ],
)
def test_a_refusal_names_field_and_offset(text: str, field: str, offset: int) -> None:
    with pytest.raises(DecodeError) as refusal:
        decode(bytes.fromhex(text))
    assert (field, offset) == (refusal.value.field, refusal.value.offset)


@pytest.mark.parametrize(
    "wrong",
    [
        Frame(256, zigbee.AbortTransfer()),
        Frame(0, zigbee.ImageBlock(IMAGE, 1 << 32, b"")),
        Frame(0, zigbee.ImageBlock(IMAGE, 0, bytes(256))),
        Frame(0, zigbee.NoNextImage(Status.SUCCESS)),
        Frame(0, zigbee.UpgradeEndRequest(Status.WAIT_FOR_DATA, IMAGE)),
        Frame(0, zigbee.ImageNotify(0)),
        Frame(0, zigbee.ImageNotify(1, image_type=4)),
    ],
)
def test_what_does_not_fit_the_wire_is_our_own_fault(wrong: Frame) -> None:
    with pytest.raises(UsageError):
        encode(wrong)


def _zigpy(command: zigbee.Command) -> Any:
    """The same command in zigpy's words."""
    from zigpy.types import EUI64, LVBytes
    from zigpy.zcl.clusters.general import Ota

    server, client = Ota.ServerCommandDefs, Ota.ClientCommandDefs

    def named(image: zigbee.ImageId, version: str = "file_version") -> dict[str, int]:
        return {
            "manufacturer_code": image.manufacturer,
            "image_type": image.image_type,
            version: image.version.number,
        }

    def node(address: Eui64 | None) -> dict[str, Any]:
        return {} if address is None else {"request_node_addr": EUI64.convert(address.octets.hex(":"))}

    match command:
        case zigbee.ImageNotify(jitter, manufacturer, image_type, version):
            said = {
                "manufacturer_code": manufacturer,
                "image_type": image_type,
                "new_file_version": None if version is None else version.number,
            }
            said = {name: value for name, value in said.items() if value is not None}
            return client.image_notify.schema(payload_type=len(said), query_jitter=jitter, **said)
        case zigbee.QueryNextImageRequest(current, hardware):
            tail = {} if hardware is None else {"hardware_version": hardware}
            schema = server.query_next_image.schema
            return schema(field_control=len(tail), **named(current, "current_file_version"), **tail)
        case zigbee.NextImage(image, size):
            return client.query_next_image_response.schema(status=0, **named(image), image_size=size)
        case zigbee.NoNextImage(status):
            return client.query_next_image_response.schema(status=status)
        case zigbee.ImageBlockRequest(image, offset, maximum, address, period):
            tail = {} if period is None else {"minimum_block_period": period}
            return server.image_block.schema(
                field_control=len(node(address)) + 2 * len(tail),
                **named(image),
                file_offset=offset,
                maximum_data_size=maximum,
                **node(address),
                **tail,
            )
        case zigbee.ImagePageRequest(image, offset, maximum, page, spacing, address):
            return server.image_page.schema(
                field_control=len(node(address)),
                **named(image),
                file_offset=offset,
                maximum_data_size=maximum,
                page_size=page,
                response_spacing=spacing,
                **node(address),
            )
        case zigbee.ImageBlock(image, offset, data):
            schema = client.image_block_response.schema
            return schema(status=0, **named(image), file_offset=offset, image_data=LVBytes(data))
        case zigbee.WaitForData(current, request, period):
            schema = client.image_block_response.schema
            return schema(
                status=0x97, current_time=current, request_time=request, minimum_block_period=period
            )
        case zigbee.AbortTransfer():
            return client.image_block_response.schema(status=0x95)
        case zigbee.UpgradeEndRequest(status, image):
            return server.upgrade_end.schema(status=status, **named(image))
        case zigbee.UpgradeEndResponse(image, current, upgrade):
            schema = client.upgrade_end_response.schema
            return schema(**named(image), current_time=current, upgrade_time=upgrade)


@given(frames)
@settings(deadline=None)  # the first import of zigpy is slow
def test_zigpy_writes_the_same_octets_and_reads_ours(sent: Frame) -> None:
    from zigpy.zcl.foundation import ZCLHeader

    octets = encode(sent)
    theirs = _zigpy(sent.command)
    header, payload = ZCLHeader.deserialize(octets)
    assert theirs.serialize() == payload
    assert (theirs, b"") == type(theirs).deserialize(payload)
    assert (sent.transaction, sent.quiet) == (header.tsn, header.frame_control.disable_default_response)
    assert theirs.command.id == header.command_id
