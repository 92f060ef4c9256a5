"""The lab's Communications Hub, exact: OTA server for its Devices, and post office between WAN and HAN.

- `memory`: what survives a reboot: firmware, images, messages for Devices, and what it has just said.
- `post`: messages for Devices, awake or asleep.
- `settings`, `events`: what makes one hub unlike another, and what it reports.
- `hub`: the machine.

`Hub` takes an image from the WAN once for all Devices that are to have it, answers with a receipt for each,
offers it to each by an OTA server of its own, serves one of them at a time (the others are told to wait), and
tells the ACB of every outcome in a signed CCS08 alert:

    0 success                     the Device has it
    1 image discarded             the Device runs it already or never asked for it, or a rule of the hub's own
    2 hardware version mismatch   the Device's hardware lies outside the range in the OTA header
    3 file transfer failure       anything else

Before its own upgrade a hub may not be able to update PPMIDs and HCALCSs: it then takes no image for them.
GBCS messages pass through it unread, both ways: from a Device they are acknowledged and passed on once, for a
Device they are kept until it acknowledges them, so that one that sleeps gets them when it wakes. Left out on
purpose: commands to the CHF itself.
"""

from lamplighter.lab.hub.events import Discard, Passed, Rebooted, Returned, Stray, Unfit
from lamplighter.lab.hub.hub import BOOT_TIME, FIRMWARE, Hub, Life
from lamplighter.lab.hub.memory import Held, Letter, Memory, Record
from lamplighter.lab.hub.settings import SLOTS, Activation, Settings

__all__ = [
    "BOOT_TIME",
    "FIRMWARE",
    "SLOTS",
    "Activation",
    "Discard",
    "Held",
    "Hub",
    "Letter",
    "Life",
    "Memory",
    "Passed",
    "Rebooted",
    "Record",
    "Returned",
    "Settings",
    "Stray",
    "Unfit",
]
