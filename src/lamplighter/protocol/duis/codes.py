"""The words of DUIS: services, response codes, DCC Alert codes, and what those that concern us mean.

The lists are those of DUIS 5.4. A code without a meaning here is accepted and shown as it is; what each
E11xxxx means is not in the schema, so that none is given.
"""

from __future__ import annotations

from typing import Final

SERVICE_REFERENCES: Final = frozenset(
    """
    1.1 1.2 1.5 1.6 1.7 2.1 2.2 2.3 2.5 3.1 3.2 3.3 3.4 3.5 4.1 4.2 4.3 4.4 4.6 4.8 4.10 4.11 4.12 4.13
    4.14 4.15 4.16 4.17 4.18 5.1 5.2 5.3 6.2 6.4 6.5 6.6 6.7 6.8 6.11 6.12 6.13 6.14 6.15 6.17 6.18 6.20
    6.21 6.22 6.23 6.24 6.25 6.26 6.27 6.28 6.29 6.30 6.31 6.32 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 7.9 7.10
    7.11 7.12 7.13 7.14 7.15 7.16 8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8 8.9 8.11 8.12 8.13 8.14 9.1 11.1 11.2
    11.3 11.4 12.1 12.2 14.1
    """.split()  # noqa: SIM905 # a list literal would have a line a code
)
SERVICE_REFERENCE_VARIANTS: Final = frozenset(
    """
    1.1.1 1.1.2 1.2.1 1.2.2 1.5 1.6 1.7 2.1 2.2 2.3 2.5 3.1 3.2 3.3 3.4 3.5 4.1.1 4.1.2 4.1.3 4.1.4 4.2
    4.3 4.4.2 4.4.3 4.4.4 4.4.5 4.6.1 4.6.2 4.8.1 4.8.2 4.8.3 4.10 4.11.1 4.11.2 4.12.1 4.12.2 4.13 4.14
    4.15 4.16 4.17 4.18 5.1 5.2 5.3 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.7 6.2.8 6.2.9 6.2.10 6.4.1 6.4.2
    6.5 6.6 6.7 6.8 6.11 6.12 6.13 6.14.1 6.14.2 6.14.3 6.15.1 6.15.2 6.17 6.18.1 6.18.2 6.20.1 6.20.2
    6.21 6.22 6.23 6.24.1 6.24.2 6.25 6.26 6.27 6.28 6.29 6.30 6.31 6.32 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8
    7.9 7.10 7.11 7.12 7.13 7.14 7.15 7.16 8.1.1 8.2 8.3 8.4 8.5 8.6 8.7.1 8.7.2 8.8.1 8.8.2 8.9 8.11
    8.12.1 8.12.2 8.13 8.14.1 8.14.2 8.14.3 8.14.4 9.1 11.1 11.2 11.3 11.4 12.1 12.2 14.1
    """.split()  # noqa: SIM905 # a list literal would have a line a code
)
RESPONSE_CODES: Final = frozenset(
    """
    I0 I99 E1 E2 E3 E4 E5 E11 E12 E13 E17 E19 E20 E21 E30 E31 E40 E41 E42 E43 E44 E45 E46 E47 E48 E49
    E50 E51 E52 E53 E54 E55 E56 E57 E58 E59 E60 E61 E62 E63 E64 E65 E66 E67 E68 E69 E70 E71 E100 E1000
    E1001 E1003 E1004 E1006 E1007 E1008 E1010 E1011 E010101 E010102 E010201 E030301 E030302 E040101
    E041701 E050101 E050102 E050103 E050105 E050107 E050108 E050109 E050110 E050111 E050112 E050201
    E050202 W050201 E050301 E050302 W050301 E060501 E060502 E060701 E060801 E060802 E060803 E061301
    E061304 E061305 E061501 E061504 E061505 E061506 E061507 E061508 E061509 E061801 E061802 E061803
    E062101 E062102 E062103 E062105 E062201 E062202 E062203 E062301 E062302 E062303 E062304 E062305
    E062306 E062401 E062402 E062403 E062801 E062802 E062803 E080201 E080202 E080301 E080302 E080405
    E080406 E080407 E080408 E080409 E080410 E080411 E080412 E080413 E080414 E080415 E080501 E080502
    E080503 E080601 E080602 E080604 E080606 E080607 E080702 E080721 E080722 E080723 E080801 E080821
    E080822 E080901 E080902 E080903 E081101 E081102 E081104 E081105 E081106 E081107 E081108 E081109
    E081110 E081111 E081202 E081204 E081205 E081221 E081222 E081223 E081301 E081302 E081303 E081401
    E081402 E081405 E081406 W081401 E110101 E110102 E110103 E110105 E110106 W110101 E110401 E110402
    E110403 E110405 W110401 E120101 E120102 E120103 E120201 E120203 E120204 E120207
    """.split()  # noqa: SIM905 # a list literal would have a line a code
)
DCC_ALERT_CODES: Final = frozenset({"AD1", "N999", *(f"N{n}" for n in range(1, 66) if n != 32)})
ESME_VARIANTS: Final = frozenset(
    "A B C AD BD CD ADE BDE CDE ADF BDF CDF ADEF BDEF CDEF ADG ADEG AF BF CF AEF BEF CEF AG AEG".split()  # noqa: SIM905 # likewise
)

_SERVICES: Final = {
    "8.2": "read inventory",
    "11.1": "update firmware of a meter or HCALCS",
    "11.2": "read firmware version",
    "11.3": "activate firmware",
    "11.4": "update PPMID firmware",
}
_RESPONSES: Final = {
    "I0": "success",
    "I99": "accepted; the answer comes later",
    "E1": "unknown user or role",
    "E2": "this role may not use this service",
    "E3": "the user's status does not permit it",
    "E4": "not authorised for that Device",
    "E5": "the Device's status does not permit it",
    "E11": "wrong Device type",
    "E12": "wrong command variant",
    "E13": "wrong service",
    "E19": "no such Device",
    "E20": "the Device cannot be reached",
    "E21": "no answer from the Device",
    "E30": "future-dated command timed out",
    "W110101": "accepted, but for the listed Devices",
    "W110401": "accepted, but for the listed Devices",
}
_DCC_ALERTS: Final = {
    **dict.fromkeys(("N18", "N19", "N20", "N21", "N22", "N23"), "firmware distribution failed"),
    **dict.fromkeys(("N26", "N27"), "change of supplier"),
    "N39": "PPMID activated firmware, or failed to",
    "N43": "PPMID left the HAN",
    **dict.fromkeys(("N46", "N47", "N48"), "request held back by anomaly detection"),
    **dict.fromkeys(("N49", "N50", "N51", "N52"), "firmware differs from the inventory"),
    "N59": "another supplier requested a firmware upgrade",
    "N60": "image delivered to the hub",
    "N61": "image not delivered to the hub",
    "N62": "hub tells of a transfer to its Device",
    "N64": "the hub's own firmware was updated",
}
_DEVICE_ALERTS: Final = {
    "8F1C": "image failed verification and is discarded",
    "8F66": "future-dated command carried out",
    "8F67": "future-dated command failed",
    "8F72": "image verified",
    "8F89": "image not transferred to the Device",
    "8F8A": "image transferred to the Device",
    "8F8B": "activation result of a PPMID",
}
MEANINGS: Final = {
    "ServiceReference": _SERVICES,
    "ServiceReferenceVariant": _SERVICES,
    "ResponseCode": _RESPONSES,
    "DCCAlertCode": _DCC_ALERTS,
    "AlertCode": _DEVICE_ALERTS,
    "DeviceAlertCode": _DEVICE_ALERTS,
    "FutureDatedAlertCode": _DEVICE_ALERTS,
    "CommandVariant": {
        "1": "command",
        "4": "transform to a pre-command",
        "5": "signed pre-command",
        "8": "the DCC itself answers",
    },
}
"""Element name -> its text -> what it means."""
