"""Ground floor: the values, errors and shapes that every other room stands on.

- `eui64`, `firmware`, `instant`: identifiers, versions, hashes and time as small immutable values.
- `cursor`: the one way in which octets are read; it cannot run past the end and names what failed.
- `machine`: the one shape of an actor (`receive`, `wake` -> `Step`) and of a state table (`Chart`).
- `toml`: the one reader of TOML, which no key of a thousand parts can drown.
- `cell`: a text in a table that people open in a spreadsheet, where nothing of it runs.
- `errors`: whose fault it is.

Nothing here does I/O, reads a clock or rolls dice.
"""

from lamplighter.kit.cursor import Cursor, Field, Record, TracingCursor
from lamplighter.kit.errors import (
    DecodeError,
    IllegalTransitionError,
    LamplighterError,
    PeerError,
    UsageError,
    VerificationError,
)
from lamplighter.kit.eui64 import Eui64
from lamplighter.kit.firmware import FirmwareVersion, ImageHash
from lamplighter.kit.instant import Instant
from lamplighter.kit.machine import Chart, Step

__all__ = [
    "Chart",
    "Cursor",
    "DecodeError",
    "Eui64",
    "Field",
    "FirmwareVersion",
    "IllegalTransitionError",
    "ImageHash",
    "Instant",
    "LamplighterError",
    "PeerError",
    "Record",
    "Step",
    "TracingCursor",
    "UsageError",
    "VerificationError",
]
