"""Devices of the lab, exact: what a PPMID and an HCALCS do with an image, octet for octet.

- `flash`: what survives a power cut: two banks, one record, and never a moment without an image to boot.
- `maker`: the manufacturer's seal, which every image must bear to boot.
- `device`: what they share: power, boot, OTA client, GBCS.
- `ppmid`, `hcalcs`: what tells them apart.

    image from the hub      PPMID                           HCALCS
    file and header         checked, else INVALID_IMAGE     the same
    manufacturer's seal     at receipt, and at boot         at boot
    Supplier's signature    none                            at receipt: 8F72 or 8F1C to the Supplier
    activates               when the hub says so            on CS06 alone, now or at a time
    tells how it went       CS09 8F8B to the ACB            CS06 response, or 8F66/8F67, to the Supplier

A power cut takes the machine and leaves its `Flash`: make a new machine on the same flash and `start` it.
"""

from lamplighter.lab.devices.device import (
    BOOT_TIME,
    Booted,
    Darkened,
    Device,
    Discarded,
    Kept,
    Nameplate,
    Refused,
    RolledBack,
)
from lamplighter.lab.devices.flash import ByCommand, ByHub, Flash, Pending, Record
from lamplighter.lab.devices.hcalcs import Hcalcs
from lamplighter.lab.devices.maker import Maker
from lamplighter.lab.devices.ppmid import Ppmid

__all__ = [
    "BOOT_TIME",
    "Booted",
    "ByCommand",
    "ByHub",
    "Darkened",
    "Device",
    "Discarded",
    "Flash",
    "Hcalcs",
    "Kept",
    "Maker",
    "Nameplate",
    "Pending",
    "Ppmid",
    "Record",
    "Refused",
    "RolledBack",
]
