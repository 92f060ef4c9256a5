"""The lab's Communications Hub, exact: OTA server for its Devices, and post office between WAN and HAN.

`Hub` takes an image from the WAN once for all Devices that are to have it, answers with a receipt for each,
offers it to each by an OTA server of its own, and tells the ACB of every outcome in a signed CCS08 alert:

    0 success                     the Device has it
    1 image discarded             the Device runs it already, or never asked for it
    2 hardware version mismatch   the Device's hardware lies outside the range in the OTA header
    3 file transfer failure       anything else

GBCS messages pass through it unread, both ways. Left out in this first cut: flash and power of the hub
itself, the buffering of messages for a Device that sleeps, and commands to the CHF.
"""

from lamplighter.lab.hub.hub import SLOTS, Activation, Hub, Passed, Stray, Unfit

__all__ = ["SLOTS", "Activation", "Hub", "Passed", "Stray", "Unfit"]
