"""What is known: Devices, releases, the Central Products List, and who may have what. Pure values, no SQL.

Types and statuses are the inventory's own (SRV 8.2), as `protocol.duis` spells them.
"""

from lamplighter.protocol.duis import CplStatus, DeviceStatus, DeviceType
from lamplighter.registry.device import BUCKETS, Cohort, Device, Hub, Part, bucket
from lamplighter.registry.eligibility import REVOCABLE, STRANDED, Verdict, judge
from lamplighter.registry.release import CplEntry, Procedure, Release

__all__ = [
    "BUCKETS",
    "REVOCABLE",
    "STRANDED",
    "Cohort",
    "CplEntry",
    "CplStatus",
    "Device",
    "DeviceStatus",
    "DeviceType",
    "Hub",
    "Part",
    "Procedure",
    "Release",
    "Verdict",
    "bucket",
    "judge",
]
