"""ESME and GSME, the meters: the same procedure as an HCALCS, each in its own protocol.

What they measure is left out on purpose. A GSME runs on a battery: give it an `awake` schedule.
"""

from __future__ import annotations

from typing import ClassVar

from lamplighter.lab.devices.commanded import Commanded
from lamplighter.protocol import gbcs


class Esme(Commanded):
    """One electricity meter. `supplier` is its Import Supplier."""

    FORM: ClassVar[gbcs.Form] = gbcs.Form.DLMS


class Gsme(Commanded):
    """One gas meter. `supplier` is its Gas Supplier."""

    FORM: ClassVar[gbcs.Form] = gbcs.Form.GBZ
