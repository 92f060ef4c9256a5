"""How firmware behaves: written in the image itself, so that a fault travels as a real one does.

The payload of a Manufacturer Image may begin with one line of ASCII, at most 64 octets, ended by 0A:

    LAMPLIGHTER-LAB behaviour=never-reports           it boots, and never speaks or listens again
    LAMPLIGHTER-LAB behaviour=wrong-version 01000000  it runs, and says that it is another version
    LAMPLIGHTER-LAB behaviour=alert-storm 500         it runs, and raises so many needless alerts at each boot
    LAMPLIGHTER-LAB behaviour=never-boots             the boot loader finds that it does not start

An ` on 1101` at the end of the line makes it so on that hardware version alone; on any other it behaves.
Firmware without such a line behaves. A line that begins so and goes on otherwise is a `DecodeError`, and the
boot loader takes it for firmware that does not start, so that a slip in a fault cannot pass for health.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from lamplighter.kit import DecodeError, FirmwareVersion

_WHAT: Final = "lab firmware"
_MARK: Final = b"LAMPLIGHTER-LAB behaviour="
_LINE_MAX: Final = 64
_HARDWARE: Final = re.compile(r"[0-9A-F]{4}", re.ASCII)
STORM_MAX: Final = 1_000_000  # alerts after one boot


class Manner(Enum):
    """What kind of behaviour."""

    SOUND = "sound"
    NEVER_REPORTS = "never-reports"
    WRONG_VERSION = "wrong-version"
    ALERT_STORM = "alert-storm"
    NEVER_BOOTS = "never-boots"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one image does once it is to run."""

    manner: Manner = Manner.SOUND
    """Which kind."""
    says: FirmwareVersion | None = None
    """WRONG_VERSION: what it takes itself for."""
    storm: int = 0
    """ALERT_STORM: how many alerts."""
    on: int | None = None
    """The only hardware version on which it behaves so, 0..0xFFFF; None: on any."""

    @classmethod
    def read(cls, payload: bytes | memoryview) -> Behaviour:
        """The behaviour of the firmware that begins with these octets; total."""
        head = bytes(payload[:_LINE_MAX])
        if not head.startswith(_MARK):
            return SOUND
        line, end, _ = head[len(_MARK) :].partition(b"\n")
        said, where, hardware = line.decode("ascii", "replace").partition(" on ")
        name, _, parameter = said.partition(" ")
        if end and (not where or _HARDWARE.fullmatch(hardware)):
            on = int(hardware, 16) if hardware else None
            match name, parameter:
                case (("never-reports" | "never-boots"), ""):
                    return cls(Manner(name), on=on)
                case "wrong-version", text:
                    return cls(Manner.WRONG_VERSION, says=FirmwareVersion.parse(text), on=on)
                case "alert-storm", text if text.isdecimal() and 0 < int(text) <= STORM_MAX:
                    return cls(Manner.ALERT_STORM, storm=int(text), on=on)
        expected = "never-reports, never-boots, wrong-version VERSION or alert-storm COUNT [on HARDWARE]; 0A"
        raise DecodeError(_WHAT, "behaviour", len(_MARK), expected, repr(line[:_LINE_MAX]))

    @property
    def line(self) -> bytes:
        """What to begin a payload with, so that its firmware behaves like this."""
        match self.manner:
            case Manner.SOUND:
                return b""
            case Manner.WRONG_VERSION:
                parameter = f" {self.says}"
            case Manner.ALERT_STORM:
                parameter = f" {self.storm}"
            case _:
                parameter = ""
        where = "" if self.on is None else f" on {self.on:04X}"
        return _MARK + f"{self.manner.value}{parameter}{where}\n".encode()

    def at(self, hardware: int) -> Behaviour:
        """What it does on this hardware version."""
        return self if self.on in {None, hardware} else SOUND


SOUND: Final = Behaviour()
