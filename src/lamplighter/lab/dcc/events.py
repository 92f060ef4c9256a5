"""What the DCC reports of itself, for whoever watches a rehearsal: nothing of it is sent to anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.dcc.refusals import Refusal
    from lamplighter.protocol import duis


@dataclass(frozen=True, slots=True)
class Requested:
    """A request was answered."""

    id: duis.RequestId
    """Its id; of a forged request only what it claimed."""
    srv: str
    """The service reference, likewise."""
    code: str
    """The response code."""
    refusal: Refusal | None
    """Why it was refused, if it was."""
    devices: tuple[Eui64, ...]
    """The Devices that it names."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something came from a home that the DCC did not believe or did not expect, and threw away."""

    hub: Eui64
    """The hub that it came from."""
    device: Eui64
    """The Device that it claims to come from, or is about."""
    check: str
    """The check that failed, or what was unexpected: a stable slug."""
    detail: str
    """The whole story, for the log."""


@dataclass(frozen=True, slots=True)
class FirmwareRecorded:
    """A Device proved which version it runs, and the inventory now says so."""

    device: Eui64
    """The Device."""
    version: FirmwareVersion
    """The version that it reported."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A home did not speak in time, and the DCC waits no longer."""

    device: Eui64
    """The Device."""
    request: duis.RequestId
    """The request that it was about."""
