"""A described fleet, as commented TOML: who is out there, and what is known of homes and networks.

A file may come from anybody: whatever it says, reading it ends in a `Fleet` or in a `UsageError` that names
the key, the value and what is allowed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from lamplighter.campaign.plan import PLAN_CHARACTERS_MAX
from lamplighter.kit import FirmwareVersion, ImageHash, UsageError, toml
from lamplighter.kit.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from lamplighter.planning.assumptions import USUAL, Assumptions, Circumstances, Range, RegionalLink
from lamplighter.planning.estate import COHORTS_MAX, DEVICES_MAX
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType
from lamplighter.registry import Cohort, Part, Procedure, Release

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_OCTETS_MAX: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a fleet file says."""

    devices: Mapping[Cohort, int] = field(default_factory=dict)
    """Devices of each cohort; empty: those of the registry are meant."""
    version: FirmwareVersion = field(default_factory=lambda: FirmwareVersion(0x0200_0000))
    """Of the release."""
    hardware: tuple[int, int] = (0, 0xFFFF)
    """The hardware versions that it is for."""
    octets: int = 300_000
    """Of its image."""
    assumptions: Assumptions = field(default_factory=Assumptions)
    """What nobody knows exactly."""

    def release(self, procedure: Procedure) -> Release:
        """A release as the file has it, of the manufacturer of most Devices."""
        made: dict[int, int] = {}
        for cohort, devices in self.devices.items():
            made[cohort.manufacturer] = made.get(cohort.manufacturer, 0) + devices
        return Release(
            procedure,
            max(made, key=lambda it: (made[it], it)) if made else 0,
            self.version,
            ImageHash(bytes(32)),
            *self.hardware,
            b"",
        )


def parse(text: str) -> Fleet:
    """Read a fleet file."""
    document = toml.document("fleet", text, PLAN_CHARACTERS_MAX)
    top = _table("", document, ("devices", "release", "unknown", "region"))
    release = _table("release", top.get("release", {}), ("version", "hardware", "octets"))
    hardware = release.get("hardware", "0000-FFFF")
    if not isinstance(hardware, str):
        raise _wrong("release.hardware", hardware, 'versions such as "1101", or "1101-11FF"')
    low, _, high = hardware.partition("-")
    lowest, highest = _hex("release.hardware", low, 4), _hex("release.hardware", high or low, 4)
    if lowest > highest:
        raise _wrong("release.hardware", hardware, "the lower hardware version first")
    return Fleet(
        _devices(top.get("devices", [])),
        FirmwareVersion(_hex("release.version", release.get("version", "02000000"), 8)),
        (lowest, highest),
        _whole("release.octets", release.get("octets", 300_000), 1, IMAGE_OCTETS_MAX),
        _assumptions(top.get("unknown", {}), top.get("region", {})),
    )


def _devices(value: object) -> dict[Cohort, int]:
    if not isinstance(value, list) or len(value) > COHORTS_MAX:
        raise _wrong("devices", value, f"up to {COHORTS_MAX:,} tables, each under [[devices]]")
    found: dict[Cohort, int] = {}
    for number, entry in enumerate(value, 1):
        where = f"devices[{number}]"
        it = _table(where, entry, _DEVICE)
        for key in ("count", "type"):
            if key not in it:
                raise UsageError(f"fleet: {where}.{key} is missing")
        count = _whole(f"{where}.count", it["count"], 1, DEVICES_MAX)
        kind = it["type"]
        types = [each.value for each in DeviceType if each is not DeviceType.CHF]
        if not isinstance(kind, str) or kind not in types:
            raise _wrong(f"{where}.type", kind, f"one of {', '.join(types)}")
        capable = it.get("hub_capable", True)
        if not isinstance(capable, bool):
            raise _wrong(f"{where}.hub_capable", capable, "true or false")
        shares = _regions(f"{where}.regions", it.get("regions", {"": 1.0}))
        for region, devices in _shared(count, shares).items():
            cohort = Cohort(
                DeviceType(kind),
                _hex(f"{where}.manufacturer", it.get("manufacturer", "121D"), 4),
                _hex(f"{where}.model", it.get("model", "0001"), 4),
                _hex(f"{where}.hardware", it.get("hardware", "0001"), 4),
                FirmwareVersion(_hex(f"{where}.firmware", it.get("firmware", "01000000"), 8)),
                DeviceStatus.COMMISSIONED,
                _word(f"{where}.gbcs_version", it.get("gbcs_version", ""), 16),
                Part.BOTH,
                _word(f"{where}.tag", it.get("tag", ""), 64),
                region,
                _word(f"{where}.hub_model", it.get("hub_model", ""), 32),
                _word(f"{where}.hub_firmware", it.get("hub_firmware", ""), 8),
                capable,
            )
            if cohort in found:
                raise _wrong(
                    where, region or "everywhere", "Devices that no other entry has described already"
                )
            if devices:
                found[cohort] = devices
    if sum(found.values()) > DEVICES_MAX:
        raise _wrong("devices", sum(found.values()), f"{DEVICES_MAX:,} Devices in all")
    return found


def _regions(where: str, value: object) -> dict[str, float]:
    if value == {"": 1.0}:
        return {"": 1.0}
    known = [region.value for region in CspRegion]
    if not isinstance(value, dict) or not value:
        raise _wrong(where, value, f"shares such as {{ North = 0.4, South = 0.6 }} out of {', '.join(known)}")
    for name, share in value.items():
        if name not in known:
            raise _wrong(f"{where}.{toml.short(name)}", share, f"one of the regions {', '.join(known)}")
        _number(f"{where}.{name}", share, 0, 1)
    if abs((total := math.fsum(value.values())) - 1) > 1e-6:
        raise _wrong(where, total, "shares that add up to 1")
    return {name: float(share) for name, share in value.items()}


def _shared(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole Devices by largest remainder: they add up."""
    whole = math.fsum(shares.values())  # 1, or nearly so
    exact = {name: count * share / whole for name, share in shares.items()}
    found = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda it: (found[it] - exact[it], it))[: count - sum(found.values())]:
        found[name] += 1
    return found


def _assumptions(unknown: object, region: object) -> Assumptions:
    ranges = {
        name: _range(f"unknown.{name}", value, 1.0)
        for name, value in _table("unknown", unknown, _SHARES).items()
    }
    links = dict(USUAL)
    for name, entry in _table("region", region, tuple(USUAL)).items():
        where = f'region."{name}"'
        it = _table(where, entry, tuple(each.name for each in fields(RegionalLink)))
        usual = USUAL[name]
        rate = (
            _range(f"{where}.octets_per_second", it["octets_per_second"], 1e9)
            if "octets_per_second" in it
            else None
        )
        if rate is not None and rate.low < 1:
            raise _wrong(f"{where}.octets_per_second", it["octets_per_second"], "1 octet a second at least")
        links[name] = RegionalLink(
            _duration(f"{where}.latency", it["latency"], HOUR) if "latency" in it else usual.latency,
            rate or usual.octets_per_second,
            _duration(f"{where}.outage_every", it["outage_every"], 3650 * DAY)
            if "outage_every" in it
            else usual.outage_every,
            _range(f"{where}.outage_hours", it["outage_hours"], 720)
            if "outage_hours" in it
            else usual.outage_hours,
            _range(f"{where}.coverage", it["coverage"], 1) if "coverage" in it else usual.coverage,
        )
    return Assumptions(links, **ranges)


# --- readers


def _wrong(where: str, value: object, allowed: str) -> UsageError:
    return UsageError(f"fleet: {where} = {toml.shown(value)}: allowed is {allowed}")


def _table(where: str, value: object, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, value, f"a table with {', '.join(keys)}")
    for key in value:
        if key not in keys:
            name = f"{where}.{toml.short(key)}" if where else toml.short(key)
            hint = toml.meant(key, keys)
            raise UsageError(f"fleet: {name}: no such key{hint}; there are {', '.join(keys)}")
    return value


def _whole(where: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise _wrong(where, value, f"a whole number from {low:,} to {high:,}")
    return value


def _number(where: str, value: object, low: float, high: float) -> float:
    if type(value) not in {int, float} or not low <= value <= high:  # type: ignore[operator] # a number; NaN fails
        raise _wrong(where, value, f"a number from {low:g} to {high:g}")
    return float(value)  # type: ignore[arg-type] # a number


def _range(where: str, value: object, high: float) -> Range:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2:
        raise _wrong(where, value, "a number, or two: [at least, at most]")
    first, last = (_number(where, end, 0, high) for end in ends)
    if first > last:
        raise _wrong(where, value, "the lower end first")
    return Range(first, last)


def _hex(where: str, value: object, digits: int) -> int:
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", value, re.ASCII):
        raise _wrong(where, value, f"{digits} hex digits in quotes")
    return int(value, 16)


def _word(where: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or (value and not value.isprintable()):
        raise _wrong(where, value, f"up to {longest} printable characters")
    return value


def _duration(where: str, value: object, high: int) -> int:
    match = re.fullmatch(r"(\d{1,9})(ms|d|h|m|s)", value, re.ASCII) if isinstance(value, str) else None
    length = int(match[1]) * _UNITS[match[2]] if match else -1
    if not 0 <= length <= high:
        raise _wrong(where, value, 'a duration such as "500ms", "2s" or "30d", and not too long')
    return length


_UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND}
_SHARES: Final = tuple(each.name for each in fields(Circumstances) if each.name != "links")
_DEVICE: Final = (
    "count", "type", "manufacturer", "model", "hardware", "firmware", "gbcs_version", "tag", "hub_model",
    "hub_firmware", "hub_capable", "regions",
)  # fmt: skip

EXAMPLE: Final = """\
# A fleet to rehearse a campaign on:
#     lamplighter plan rehearse PLAN.toml --fleet FLEET.toml
# With --database the Devices are those of the registry, and this file needs no [[devices]]: what it says of
# the rest still counts.
#
# [[devices]]: Devices that are alike. Numbers of four and eight digits are hex, as the inventory has them.
# `regions` shares them out; the shares add up to 1.

[[devices]]
count = 60000
type = "PPMID"                # PPMID, HCALCS, ESME, GSME, IHD
manufacturer = "121D"
model = "0084"
hardware = "1111"
firmware = "01000000"         # what they run now
gbcs_version = "4.2"
hub_model = "CH-A"
hub_firmware = "01020304"
hub_capable = true            # whether these hubs can update them
regions = { North = 0.3, Central = 0.35, South = 0.35 }

[[devices]]
count = 30000
type = "PPMID"
manufacturer = "121D"
model = "0084"
hardware = "1111"
firmware = "01000000"
gbcs_version = "4.2"
hub_model = "CH-B"
hub_firmware = "02000100"
hub_capable = true
regions = { "4G North" = 0.2, "4G Central" = 0.4, "4G South" = 0.4 }

[[devices]]
count = 10000
type = "PPMID"
manufacturer = "121D"
model = "0084"
hardware = "1101"             # older hardware: a stratum of its own in most plans
firmware = "01000000"
gbcs_version = "4.2"
hub_model = "CH-A"
hub_firmware = "01020304"
hub_capable = true
regions = { North = 0.4, South = 0.6 }

# The release, where it is not named by --release; left out, it is as shown here.
[release]
version = "02000000"
hardware = "1101-1111"        # lowest and highest hardware version
octets = 300000               # of the whole OTA file

# What nobody knows exactly: a number, where you know it after all, or [at least, at most]. Each rehearsal
# draws its own figures from these, evenly; that is what the bands of a forecast are made of. What is left out
# has the value shown here. Every figure is an assumption: put in what you have measured.
[unknown]
off = [0.005, 0.02]           # share of Devices that are without power, in a drawer
sleeping = [0.1, 0.3]         # share of PPMIDs whose radio is on in windows only
refused = [0.002, 0.01]       # share that the DCC refuses, knowing better than the registry
misfit = [0.0, 0.005]         # share whose hardware is not what the inventory says
weak = [0.05, 0.2]            # share that hears its hub badly
loss = [0.0005, 0.002]        # frames lost on a good HAN link
weak_loss = [0.02, 0.04]      # frames lost on a bad one
alerts_lost = [0.0, 0.01]     # alerts that never arrive

# The WAN link of a hub, by region; others keep what the lab assumes, half as much and half as much again.
[region."North"]
latency = "2s"
octets_per_second = [750, 2250]
outage_every = "30d"          # between two outages of one hub's link, on average
outage_hours = [1.5, 4.5]     # that one lasts, on average
coverage = [0.9925, 0.9975]   # share of hubs that are reached at all
"""
"""A fleet with every key and what it means; `plan rehearse --example` prints it."""
