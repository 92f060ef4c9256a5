"""One OTA block exchange by our two machines, against zigpy's codec of the same two frames.

Ours: the server machine receives the client machine's Image Block Request, checks it and makes the Image
Block Response; the client machine receives that, checks frame control, transaction, command, status,
manufacturer, image type, version, offset and length, stores the block, moves its deadline and makes the next
request. zigpy's: each of the same two frames, with the same fields, is built, serialised and deserialised
(header and command), and nothing is checked or stored. Both in one process, in turn, a ratio a round.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from zigpy.zcl import foundation
from zigpy.zcl.clusters.general import Ota

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.protocol import zigbee

if TYPE_CHECKING:
    from collections.abc import Callable

NAME: Final = "OTA block exchange, client and server machines with all their checks, against zigpy's codec"
GOAL: Final = 60.0
UNIT: Final = "times as fast"

BLOCK: Final = 40  # octets, as is usual on a HAN
OURS_A_ROUND: Final = 15_000
THEIRS_A_ROUND: Final = 300

_IMAGE: Final = zigbee.ImageId(0x121D, 0x0084, FirmwareVersion(0x02000001))
_OLD: Final = zigbee.ImageId(0x121D, 0x0084, FirmwareVersion(0x01000001))
_NOW: Final = Instant(1_900_000_000_000_000)


def rounds(count: int) -> list[float]:
    """Ratios, one a round; above 1 we are faster."""
    theirs = _theirs()
    ratios = []
    for _ in range(count):
        ours = _ours()
        ratios.append(_seconds(theirs, THEIRS_A_ROUND) / _seconds(ours, OURS_A_ROUND))
    return ratios


def _seconds(exchange: Callable[[int], None], count: int) -> float:
    began = perf_counter()
    exchange(count)
    return (perf_counter() - began) / count


def _ours() -> Callable[[int], None]:
    octets = bytes(range(256)) * (OURS_A_ROUND * BLOCK // 256 + 2)
    client = zigbee.OtaClient(_OLD, 0x0101, slot=len(octets), block=BLOCK)
    server = zigbee.OtaServer()
    server.offer(zigbee.Offer(_IMAGE, octets, 0x0100, 0x0200, delay=0), _NOW)
    (query,) = client.query(_NOW).send
    (offer,) = server.receive(query, _NOW).send
    request = client.receive(offer, _NOW).send[0]

    def exchange(count: int) -> None:
        asked = request
        for _ in range(count):
            answer = server.receive(asked, _NOW).send[0]
            asked = client.receive(answer, _NOW).send[0]

    return exchange


def _theirs() -> Callable[[int], None]:
    header: Any = foundation.ZCLHeader
    request: Any = Ota.ServerCommandDefs.image_block.schema
    response: Any = Ota.ClientCommandDefs.image_block_response.schema
    same: dict[str, Any] = {
        "manufacturer_code": _IMAGE.manufacturer,
        "image_type": _IMAGE.image_type,
        "file_version": _IMAGE.version.number,
    }
    data = bytes(range(BLOCK))
    to_client = foundation.Direction.Server_to_Client

    def exchange(count: int) -> None:
        for number in range(count):
            offset = number * BLOCK
            asked = header.cluster(tsn=number & 0xFF, command_id=3).serialize()
            asked += request(field_control=0, **same, file_offset=offset, maximum_data_size=BLOCK).serialize()
            request.deserialize(header.deserialize(asked)[1])
            answer = header.cluster(tsn=number & 0xFF, command_id=5, direction=to_client).serialize()
            answer += response(
                status=foundation.Status.SUCCESS, **same, file_offset=offset, image_data=data
            ).serialize()
            response.deserialize(header.deserialize(answer)[1])

    return exchange
