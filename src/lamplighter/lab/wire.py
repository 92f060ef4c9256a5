"""What passes between the lab's actors: the only thing that dcc, hub and devices have in common.

    User  --HTTP XML-->  dcc  --Wan*-->  hub  --HanFrame-->  device
    User  <--ToUser----  dcc  <--Wan*--  hub  <--HanFrame--  device

The world carries these; an actor only ever sees its own end. A GBCS message on the HAN is answered by an
acknowledgement (`acknowledge`), and said again until there is one: the HAN may lose either.

What a hub tells the DSP beyond receipts and GBCS: `WanHubFirmware` when its own firmware was updated (N64),
`WanDeviceLeft` when a Device has left its HAN (N43). What the CSP tells the DSP: `WanUnreachable`, when it
gives up on a hub (E20, N61). All three go to `Dcc.receive`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion, Instant


class Cluster(Enum):
    """The Zigbee cluster that a HAN frame belongs to."""

    OTA = 0x0019
    """OTA Upgrade: `octets` is one ZCL frame."""

    TUNNELING = 0x0704
    """Tunneling: `octets` is one whole GBCS message. Its fragmentation is left out on purpose."""

    ACKNOWLEDGEMENT = 0xFFFF
    """Of no cluster: what an APS acknowledgement does, for the GBCS message whose digest `octets` is."""


class HanFrame(NamedTuple):
    """One frame on the Home Area Network."""

    source: Eui64
    destination: Eui64
    cluster: Cluster
    octets: bytes


def digest(octets: bytes) -> bytes:
    """What stands for a GBCS message in its acknowledgement."""
    return hashlib.sha256(octets).digest()[:8]


def acknowledge(frame: HanFrame) -> HanFrame:
    """The word back that this GBCS message was taken."""
    return HanFrame(frame.destination, frame.source, Cluster.ACKNOWLEDGEMENT, digest(frame.octets))


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
    at: Instant
    """When, by the hub's clock."""


@dataclass(frozen=True, slots=True)
class WanGbcs:
    """A GBCS message between the DSP and a Device (or the CHF itself); `outbound` means towards the home."""

    hub: Eui64
    device: Eui64
    octets: bytes
    outbound: bool


@dataclass(frozen=True, slots=True)
class WanDeviceLeft:
    """Hub -> DSP: a Device is no longer joined to the hub's HAN."""

    hub: Eui64
    device: Eui64


@dataclass(frozen=True, slots=True)
class WanUnreachable:
    """CSP -> DSP: this could not be handed to its hub, and will not be tried again."""

    frame: WanImage | WanGbcs


@dataclass(frozen=True, slots=True)
class WanHubFirmware:
    """Hub -> DSP, through the CSP: the hub now runs this firmware (N64)."""

    hub: Eui64
    version: FirmwareVersion
    capable: bool
    """Whether it can now update PPMIDs and HCALCSs."""


@dataclass(frozen=True, slots=True)
class ToUser:
    """A signed DUIS message for a User's Receive Response service.

    devices  the Devices that it is about: for the world's trace, and never sent
    """

    user: Eui64
    octets: bytes
    devices: tuple[Eui64, ...] = ()
