"""A fleet with a past: what the pages are looked at with. Real images, requests, messages and evidence.

The Devices of a canary have been ordered, and the DCC has spoken of most of them; everything went through the
reconciler and the receiver, as in the service's own tests.
"""

from __future__ import annotations

from dataclasses import replace

from lamplighter.campaign import plan as plans
from lamplighter.campaign.status import Act
from lamplighter.kit import Eui64, FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.protocol import duis, image
from lamplighter.registry import Cohort, CplEntry, CplStatus, Device, DeviceStatus, DeviceType, Hub
from lamplighter.registry.exposure import Range
from lamplighter.service.candidates import read
from tests.service.dcc import Side
from tests.service.parties import BROKER, NOW, SUPPLIER, activated, delivered, transferred

OLDER, OLD, TARGET = (FirmwareVersion(it) for it in (0x00010A00, 0x00010B00, 0x00020000))
MANUFACTURER, MODEL, HARDWARE = 0x121D, 0x0084, 0x1111
CAMPAIGN = "Display fix, winter"
PLAN = f"""
name = "{CAMPAIGN}"
approvals = 0
stratify = ["hub_model", "region"]
sweep_every = "6h"
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = "20 %"
minimum = 6
soak = "4h"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.05
max_failure_rate = 0.3
acceptable_silence_rate = 0.05
max_silence_rate = 0.3
"""


def ota(version=TARGET, *, manufacturer=MANUFACTURER, body=b"the new firmware of a display, " * 40) -> bytes:
    """An image for a PPMID."""
    built = image.build(
        body,
        manufacturer=manufacturer,
        image_type=0x0084,
        file_version=version,
        minimum_hardware=0x1100,
        maximum_hardware=0x11FF,
        text=b"display",
        stack_version=2,
    )
    return image.encode(built)


def listed(octets: bytes, status: CplStatus = CplStatus.ACTIVE, model: int = MODEL) -> CplEntry:
    """The CPL's entry for an image."""
    release = read(octets, "11.4").release()
    return CplEntry(release.manufacturer, model, HARDWARE, release.version, release.hash, status)


def ppmid(number: int) -> Eui64:
    """Display `number`."""
    return Eui64.of(0x00DB_1234_0000_0000 + number)


def home(number: int) -> Eui64:
    """The hub of home `number`."""
    return Eui64.of(0x00DB_12CF_0000_0000 + number)


REGIONS, HUB_MODELS = ("North", "Central", "South"), ("CH-A", "CH-B")


def fleet(store, homes: int = 240) -> None:
    """Displays, switches and IHDs in so many homes."""
    base = Cohort(
        DeviceType.PPMID, MANUFACTURER, MODEL, HARDWARE, OLD, DeviceStatus.COMMISSIONED, gbcs_version="4.2"
    )
    hubs, devices = [], []
    for number in range(homes):
        region, model = REGIONS[number % 7 % 3], HUB_MODELS[number % 5 == 0]
        hubs.append(Hub(home(number), model, "1.2" if number % 4 else "1.3", region, number % 31 != 0))
        cohort = replace(base, region=region, firmware=OLDER if number % 6 == 0 else OLD)
        if number % 40 == 7:
            cohort = replace(cohort, status=DeviceStatus.SUSPENDED)
        if number % 24 == 5:
            cohort = replace(cohort, type=DeviceType.IHD, manufacturer=0x10C7, model=0x0003)
        devices.append(Device(ppmid(number), home(number), cohort))
        if number % 3 == 0:
            switch = replace(
                base, type=DeviceType.HCALCS, manufacturer=0x1246, model=0x0201, region=region, firmware=OLD
            )
            devices.append(Device(Eui64.of(0x00DB_1235_0000_0000 + number), home(number), switch))
    store.registry.put_hubs(hubs)
    store.registry.put_devices(devices)


class Scene:
    """The fleet, two releases, and a campaign in the middle of its canary."""

    def __init__(self, store, now: Instant = NOW) -> None:
        self.store = store
        self.side = Side(store)
        self.side.now = Instant(now - 30 * DAY)
        fleet(store)
        store.fleet.sample(self.side.now)
        bad = ota(OLD, body=b"an image that was no good " * 40)
        good = ota()
        store.registry.put_cpl([listed(bad, CplStatus.WITHDRAWN), listed(good)])
        withdrawn = store.registry.add_release(
            "Display 1.11", read(bad, "11.4").release(), "operator1", self.side.now
        )
        self.release = store.registry.add_release(
            "Display 2.0",
            read(good, "11.4").release([OLD, OLDER]),
            "operator1",
            self.side.now,
            security="CVE-2030-1234",
        )
        store.registry.withdraw_release(
            withdrawn, Instant(now - 9 * DAY), "operator1", "loses the tariff at midnight"
        )
        store.fleet.advise(
            Range(MANUFACTURER, MODEL, FirmwareVersion(0), OLDER),
            "answers unsigned commands on the HAN: CVE-2030-1234",
            "operator1",
            Instant(now - 3 * DAY),
        )
        self.side.now = now
        self.campaign = store.campaigns.create(plans.parse(PLAN), self.release, "operator1", self.side.now)
        self.side.act(self.campaign, Act.START)
        self.side.settle()
        self._speak()
        store.fleet.sample(Instant(now + 2 * HOUR))

    @property
    def ordered(self) -> list[tuple[Eui64, int]]:
        """Devices that were ordered, each with the counter of its request."""
        return [
            (device, request.id.counter)
            for _, request in self.side.dcc.requests
            if isinstance(request.body, duis.UpdatePpmidFirmware)
            for device in request.body.devices
        ]

    def _speak(self) -> None:
        """What the DCC says of them: most go well."""
        side = self.side
        version = TARGET
        for turn, (device, counter) in enumerate(self.ordered):
            request = duis.RequestId(SUPPLIER, BROKER, counter)
            at = Instant(side.now + (turn + 1) * MINUTE)
            says = [delivered(device, version=version, request=request, at=at)]
            if turn % 9 == 4:
                failed = duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED
                says.append(transferred(device, failed, version, Instant(at + 20 * MINUTE), request=request))
            elif turn % 7 != 3:
                good = Instant(at + 20 * MINUTE)
                says.append(transferred(device, version=version, at=good, request=request))
                if turn % 5 != 2:
                    says.append(activated(device, version, at=Instant(at + 50 * MINUTE)))
            side.arrive(*says)
