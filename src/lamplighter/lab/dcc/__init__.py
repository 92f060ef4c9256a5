"""The emulated DCC: what Users' requests become, and what homes' messages become, without any I/O.

    SRV 11.1, 11.4    access  ->  firmware  ->  deliveries                        ->  WanImage
    SRV 11.2, 11.3    access  ->  broker    ->  commands                          ->  WanGbcs
    from a home       broker  ->  deliveries, commands, inventory  ->  notices    ->  ToUser

- `inventory`: the SMI, every Device and whose it is; `products`: the CPL, which firmware may run on what.
- `access`: which User may ask what, and each request once; `refusals`: why not, and the code for it.
- `firmware`: the judgement on an image and its Devices; `deliveries`: images on their way.
- `broker`: the ACB, which makes, completes and believes GBCS messages; `commands`: answers awaited.
- `notices`: DCC Alerts; `dsp`: `Dcc`, where all of it meets.

Left out on purpose: alert storm protection, anomaly detection, sequenced requests, change of supplier,
and the Suppliers' certificates on Devices.
"""

from lamplighter.lab.dcc.access import Service, User, UserRole
from lamplighter.lab.dcc.dsp import Dcc, Dropped, FirmwareRecorded, Lapsed, Requested, Settings
from lamplighter.lab.dcc.firmware import Limits, Objection
from lamplighter.lab.dcc.inventory import Entry, Inventory
from lamplighter.lab.dcc.products import Model, Product, ProductsList
from lamplighter.lab.dcc.refusals import CODES, Reason, Refusal, code_of

__all__ = [
    "CODES",
    "Dcc",
    "Dropped",
    "Entry",
    "FirmwareRecorded",
    "Inventory",
    "Lapsed",
    "Limits",
    "Model",
    "Objection",
    "Product",
    "ProductsList",
    "Reason",
    "Refusal",
    "Requested",
    "Service",
    "Settings",
    "User",
    "UserRole",
    "code_of",
]
