"""Devices of the lab, exact: what each kind does with an image, octet for octet.

- `flash`: what survives a power cut: two banks, one record, and never a moment without an image to boot.
- `maker`: the manufacturer's seal, which every image must bear to boot.
- `firmware`: how an image behaves once it runs, well or badly, as a line in the image itself says.
- `schedule`: when a Device that sleeps listens.
- `events`: what they report.
- `device`: what they share: power, boot, OTA client, GBCS, and an outbox that no power cut empties.
- `ppmid`, `commanded`: the two procedures. `hcalcs`, `meters` (ESME, GSME) follow the second, and `ihd` none.

    image from the hub      PPMID                           HCALCS, ESME, GSME
    file and header         checked, else INVALID_IMAGE     the same
    manufacturer's seal     at receipt, and at boot         at boot
    Supplier's signature    none                            at receipt: 8F72 or 8F1C to the Supplier
    activates               when the hub says so            on CS06 alone, now or at a time
    tells how it went       CS09 8F8B to the ACB            CS06 response, or 8F66/8F67, to the Supplier

A power cut takes the machine and leaves its `Flash`: `stop` it and `start` it again, or make a new machine on
the same flash.
"""

from lamplighter.lab.devices.device import BOOT_TIME, Device, Life, Nameplate
from lamplighter.lab.devices.events import (
    Booted,
    Darkened,
    Discarded,
    Forgotten,
    Hung,
    Kept,
    Refused,
    RolledBack,
)
from lamplighter.lab.devices.firmware import Behaviour, Manner
from lamplighter.lab.devices.flash import ByCommand, ByHub, Flash, Pending, Record
from lamplighter.lab.devices.hcalcs import Hcalcs
from lamplighter.lab.devices.ihd import Ihd
from lamplighter.lab.devices.maker import Maker
from lamplighter.lab.devices.meters import Esme, Gsme
from lamplighter.lab.devices.ppmid import Ppmid
from lamplighter.lab.devices.schedule import Schedule

__all__ = [
    "BOOT_TIME",
    "Behaviour",
    "Booted",
    "ByCommand",
    "ByHub",
    "Darkened",
    "Device",
    "Discarded",
    "Esme",
    "Flash",
    "Forgotten",
    "Gsme",
    "Hcalcs",
    "Hung",
    "Ihd",
    "Kept",
    "Life",
    "Maker",
    "Manner",
    "Nameplate",
    "Pending",
    "Ppmid",
    "Record",
    "Refused",
    "RolledBack",
    "Schedule",
]
