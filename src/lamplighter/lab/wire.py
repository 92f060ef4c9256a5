"""What passes between the lab's actors: the only thing that dcc, hub and devices have in common.

    User  --HTTP XML-->  dcc  --Wan*-->  hub  --HanFrame-->  device
    User  <--ToUser----  dcc  <--Wan*--  hub  <--HanFrame--  device

The world carries these; an actor only ever sees its own end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamplighter.kit import Eui64


class Cluster(Enum):
    """The Zigbee cluster that a HAN frame belongs to."""

    OTA = 0x0019
    """OTA Upgrade: `octets` is one ZCL frame."""

    TUNNELING = 0x0704
    """Tunneling: `octets` is one whole GBCS message. Its fragmentation is left out on purpose."""


@dataclass(frozen=True, slots=True)
class HanFrame:
    """One frame on the Home Area Network."""

    source: Eui64
    destination: Eui64
    cluster: Cluster
    octets: bytes


@dataclass(frozen=True, slots=True)
class WanImage:
    """DSP -> hub, through the CSP: an OTA Upgrade Image for Devices behind this hub.

    transfer  the DSP's own number for this distribution, echoed in receipts
    devices   the Devices on this hub that are to have it
    """

    hub: Eui64
    transfer: int
    image: bytes
    devices: tuple[Eui64, ...]


@dataclass(frozen=True, slots=True)
class WanImageReceipt:
    """Hub -> DSP, through the CSP: whether the image lies at the hub for this Device (N60 or N61)."""

    hub: Eui64
    transfer: int
    device: Eui64
    delivered: bool


@dataclass(frozen=True, slots=True)
class WanGbcs:
    """A GBCS message between the DSP and a Device (or the CHF itself); `outbound` means towards the home."""

    hub: Eui64
    device: Eui64
    octets: bytes
    outbound: bool


@dataclass(frozen=True, slots=True)
class ToUser:
    """A signed DUIS message for a User's Receive Response service.

    devices  the Devices that it is about: for the world's trace, and never sent
    """

    user: Eui64
    octets: bytes
    devices: tuple[Eui64, ...] = ()
