"""What is known: Devices, releases, the Central Products List, and who may have what. Pure values, no SQL."""

from lamplighter.registry.device import Device, DeviceStatus, DeviceType
from lamplighter.registry.eligibility import Verdict, judge
from lamplighter.registry.release import CplEntry, CplStatus, Procedure, Release

__all__ = [
    "CplEntry",
    "CplStatus",
    "Device",
    "DeviceStatus",
    "DeviceType",
    "Procedure",
    "Release",
    "Verdict",
    "judge",
]
