"""The exchange that happens ten thousand times: a plain Image Block Request and the block that answers it.

                    0   1   2   3         4..5   6..7   8..11    12..15   16       17..
    request         01  tsn 03  control   manuf  type   version  offset   maximum
    answer          19  tsn 05  status    manuf  type   version  offset   length   data

Octets 4..15 of the two frames are the same octets. So a client knows the first 16 octets of the only right
answer when it asks, and one comparison checks frame control, transaction, command, status, manufacturer,
image type, version and offset together. Whatever compares unequal is not refused but read with care by
`frame.decode`; the machines come to the same verdict either way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from lamplighter.kit import Instant, Step
from lamplighter.protocol.zigbee.commands import Id, Status
from lamplighter.protocol.zigbee.frame import QUIET, TO_CLIENT, TO_SERVER

Straight: TypeAlias = Callable[[bytes, Instant], Step | None]
"""A machine's fast path: the next frame in, one frame out; None: untouched, look closer."""

REQUEST: Final = struct.Struct("<BBBBHHIIB")  # with field control 00: no node address, no block period
REQUEST_OCTETS: Final = REQUEST.size
ANSWER_OCTETS: Final = 17  # of a block before its data

REQUEST_CONTROL: Final = TO_SERVER
REQUEST_ID: Final = int(Id.IMAGE_BLOCK_REQUEST)
ANSWER_HEADS: Final = tuple(
    bytes((TO_CLIENT | QUIET, transaction, Id.IMAGE_BLOCK_RESPONSE, Status.SUCCESS))
    for transaction in range(256)
)
"""The first four octets of the answer, by transaction."""
