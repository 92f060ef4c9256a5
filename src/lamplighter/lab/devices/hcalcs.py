"""HCALCS, the load control switch: it hangs off an ESME and takes orders from the Import Supplier.

It never sleeps. That its receipt alerts are in GBZ form, like a GSME's, is an assumption.
"""

from __future__ import annotations

from typing import ClassVar

from lamplighter.lab.devices.commanded import Commanded
from lamplighter.protocol import gbcs


class Hcalcs(Commanded):
    """One HCALCS. `supplier` is its Import Supplier."""

    FORM: ClassVar[gbcs.Form] = gbcs.Form.GBZ
