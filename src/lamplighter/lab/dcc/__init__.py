"""The emulated DCC: what Users' requests become, and what homes' messages become, without any I/O.

    SRV 11.1, 11.4    access  ->  quarantine  ->  firmware  ->  distribution      ->  WanImage
    SRV 11.2, 11.3    access  ->  quarantine  ->  broker    ->  commanding        ->  WanGbcs
    from a home       broker  ->  distribution, commanding, registrar ->  notices ->  ToUser
    to a User         notices ->  storm  ->  outbox                               ->  postman

- `inventory`: the SMI, every Device and whose it is; `life`: its statuses, and what moves it between them;
  `products`: the CPL, which firmware may run on what, and after which.
- `access`: which User may ask what, and each request once; `refusals`: why not, and the code for it.
- `quarantine`: anomaly detection, which holds requests back until somebody decides.
- `firmware`: the judgement on an image and its Devices; `distribution`: images that go out, and what is told
  of them; `deliveries`: how far each has come.
- `broker`: the ACB, which makes, completes and believes GBCS messages; `commanding`: commands that go out,
  and their answers; `commands`: how far each has come.
- `registrar`: the inventory kept up to date, by people and by what homes say, and who is told of it.
- `notices`: DCC Alerts; `storm`: alerts that come too often; `outbox`: messages made; `postman`: delivered.
- `dsp`: `Dcc`, where all of it meets; `settings`: what it may be told to do otherwise; `events`: what it
  reports. Users ask by `request`; homes tell by `receive`; people at the DCC act by `release`, `delete`,
  `set_threshold`, `change_status`, `restore`, `remove`, `swap_hub` and `change_supplier`.

What is remembered: the inventory and the CPL; of each User its last counter and what it has not taken yet; of
each Device its last alert counter, and its latest delivery; commands. Deliveries and commands are forgotten
`Settings.memory_period` after they have ended, alerts after a storm's window, and what anomaly detection has
counted after its period.

Left out on purpose: sequenced requests, and the Suppliers' certificates on Devices.
"""

from lamplighter.lab.dcc.access import Service, User, UserRole
from lamplighter.lab.dcc.dsp import Dcc
from lamplighter.lab.dcc.events import Dropped, FirmwareRecorded, Lapsed, Requested
from lamplighter.lab.dcc.firmware import Limits, Objection
from lamplighter.lab.dcc.inventory import Entry, Inventory
from lamplighter.lab.dcc.life import LIFE, Life
from lamplighter.lab.dcc.notices import Failure, Mismatch
from lamplighter.lab.dcc.postman import Letter, Outcome, Postman, PostmanSettings
from lamplighter.lab.dcc.products import Model, Product, ProductsList
from lamplighter.lab.dcc.quarantine import AnomalyLimits, Counting, Quarantined, Threshold
from lamplighter.lab.dcc.refusals import CODES, Reason, Refusal, code_of
from lamplighter.lab.dcc.settings import Settings
from lamplighter.lab.dcc.storm import StormLimits

__all__ = [
    "CODES",
    "LIFE",
    "AnomalyLimits",
    "Counting",
    "Dcc",
    "Dropped",
    "Entry",
    "Failure",
    "FirmwareRecorded",
    "Inventory",
    "Lapsed",
    "Letter",
    "Life",
    "Limits",
    "Mismatch",
    "Model",
    "Objection",
    "Outcome",
    "Postman",
    "PostmanSettings",
    "Product",
    "ProductsList",
    "Quarantined",
    "Reason",
    "Refusal",
    "Requested",
    "Service",
    "Settings",
    "StormLimits",
    "Threshold",
    "User",
    "UserRole",
    "code_of",
]
