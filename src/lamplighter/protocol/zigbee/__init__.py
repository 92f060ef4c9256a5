"""Zigbee OTA Upgrade cluster (0x0019): how an image goes from a Communications Hub to a Device on the HAN.

- `commands`, `frame`: the eight commands as values, and the ZCL frame round them.
- `exchange`: how a block request and its answer lie over each other, which makes the long run fast.
- `download`, `upload`: the two halves of a block transfer, each a machine of its own.
- `client`, `server`: the update around it: query, verdict, Upgrade End; notice, offer, outcome.

The conversation, client on the left:

    <- Image Notify                      there is something
    -> Query Next Image Request          who I am, what I run, my hardware version
    <- Query Next Image Response         this image, this many octets; or none
    -> Image Block Request               these octets, please            } until
    <- Image Block Response              here; or wait; or abort         } all are here
       (the holder of the client checks the file: `accept` or `reject`)
    -> Upgrade End Request               good; or invalid
    <- Upgrade End Response              activate now, at a time, or on command

Both machines are sans-IO: `receive(octets, now)`, `wake(now)` -> `Step`. Neither trusts its peer: every
decoder is total, only progress moves a deadline, and each repetition has a budget, so that both end against
any peer. Frames carry no authentication of their own on this level; the image's signature does.
"""

from lamplighter.protocol.zigbee.client import (
    Activate,
    ClientEvent,
    Failed,
    Fetched,
    Hold,
    NoImage,
    Nonsense,
    OtaClient,
)
from lamplighter.protocol.zigbee.commands import (
    AbortTransfer,
    Command,
    ImageBlock,
    ImageBlockRequest,
    ImageId,
    ImageNotify,
    ImagePageRequest,
    NextImage,
    NoNextImage,
    QueryNextImageRequest,
    Status,
    UpgradeEndRequest,
    UpgradeEndResponse,
    WaitForData,
)
from lamplighter.protocol.zigbee.download import Reason
from lamplighter.protocol.zigbee.exchange import Straight
from lamplighter.protocol.zigbee.frame import Frame, decode, encode
from lamplighter.protocol.zigbee.server import (
    Cause,
    Delivered,
    HardwareMismatch,
    NotNeeded,
    Offer,
    OtaServer,
    ServerEvent,
    Undelivered,
)

__all__ = [
    "AbortTransfer",
    "Activate",
    "Cause",
    "ClientEvent",
    "Command",
    "Delivered",
    "Failed",
    "Fetched",
    "Frame",
    "HardwareMismatch",
    "Hold",
    "ImageBlock",
    "ImageBlockRequest",
    "ImageId",
    "ImageNotify",
    "ImagePageRequest",
    "NextImage",
    "NoImage",
    "NoNextImage",
    "Nonsense",
    "NotNeeded",
    "Offer",
    "OtaClient",
    "OtaServer",
    "QueryNextImageRequest",
    "Reason",
    "ServerEvent",
    "Status",
    "Straight",
    "Undelivered",
    "UpgradeEndRequest",
    "UpgradeEndResponse",
    "WaitForData",
    "decode",
    "encode",
]
