"""A Supplier's side of a lab: what its registry knows, and a way to the lab's DCC without a socket.

The two sides share the wire and the time of day; what the Supplier knows beforehand is handed to it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from lamplighter.campaign import plan as plans
from lamplighter.campaign.status import Act
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab import homes
from lamplighter.lab.dcc import Service
from lamplighter.lab.world import OutageError
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceStatus,
    DeviceType,
    Hub,
    Procedure,
    Release,
)
from lamplighter.service.gateway import Gateway, Parties
from lamplighter.service.receiver import Receiver
from lamplighter.service.reconciler import Reconciler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamplighter.kit import Eui64
    from lamplighter.lab.devices import Behaviour
    from lamplighter.protocol.smki import Ring
    from lamplighter.store import Store

NEW_VERSION = FirmwareVersion(0x0200_0000)
KINDS = (DeviceType.PPMID, DeviceType.HCALCS)
PAYLOAD = bytes(range(256)) * 2  # a few blocks

PLAN = """
name = "{name}"
stratify = {stratify}
approvals = 0
lasts = "{lasts}"
{dated}sweep_every = "1h"
[target]
types = ["{kind}"]
tags = {tags}
[[wave]]
name = "canary"
share = 0.2
minimum = 5
soak = "10m"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = {acceptable}
max_failure_rate = {most}
acceptable_silence_rate = {acceptable}
max_silence_rate = {most}
minimum_sample = {sample}
[deadlines]
hub = "{hub}"
device = "{device}"
proof = "{proof}"
activation = "{activation}"
read = "{read}"
[retries]
attempts_max = {attempts}
checks_max = 8
backoff_first = "{backoff}"
backoff_cap = "{longest}"
"""


def plan(kind: DeviceType, name: str = "", **changes: str | float) -> plans.Plan:
    """A small plan: a canary, then everyone; a gate that a lossy network does not trip."""
    values: dict[str, str | float] = {
        "name": name or f"{kind.value} update", "kind": kind.value, "lasts": "60d",
        "acceptable": 0.6, "most": 0.95, "sample": 3,
        "hub": "6h", "device": "1d", "proof": "2d", "activation": "1d", "read": "1d",
        "backoff": "1h", "longest": "6h", "attempts": 5, "stratify": "[]", "tags": "[]",
    } | changes  # fmt: skip
    quiet = values.pop("activate_at", None)
    return plans.parse(PLAN.format(dated=f'activate_at = "{quiet}"\n' if quiet else "", **values))


def release_of(lab: homes.Lab, kind: DeviceType, behaviour: Behaviour | None = None) -> Release:
    """New firmware for a type of Device, on the CPL, as its Supplier has it; for older hardware too."""
    newest = homes.MAKES[kind].model
    image = lab.build_firmware(
        kind,
        NEW_VERSION,
        (behaviour.line if behaviour else b"") + PAYLOAD,
        hardware=(homes.older(newest).hardware, newest.hardware),
    )
    if kind is not DeviceType.PPMID:
        image = images.sign_supplier(image, lab.ring.signer(homes.SUPPLIER, Role.SUPPLIER))
    lab.publish(image)
    header = image.header
    procedure = Procedure.of(kind)
    assert procedure is not None
    return Release(
        procedure, header.manufacturer, header.file_version, image.hash,
        header.minimum_hardware, header.maximum_hardware, images.encode(image),
    )  # fmt: skip


def devices_of(lab: homes.Lab, tags: Mapping[Eui64, str] | None = None) -> list[Device]:
    """Every PPMID and HCALCS of a lab, as the Supplier's registry has it; `tags` by the home's hub."""
    found = []
    for home in lab.homes:
        for kind in KINDS:
            device = getattr(home, kind.value.lower())
            model = lab.world.dcc.inventory.find(device).model
            cohort = Cohort(
                kind,
                model.manufacturer,
                model.model,
                model.hardware,
                homes.FACTORY_VERSION,
                DeviceStatus.COMMISSIONED,
                homes.GBCS_VERSION,
                region=home.region.value,
                hub_model="CH-A",
                hub_capable=True,
                tag=(tags or {}).get(home.hub, ""),
            )
            found.append(Device(device, home.hub, cohort))
    return found


def register(
    store: Store,
    lab: homes.Lab,
    kinds: Iterable[DeviceType] = KINDS,
    tags: Mapping[Eui64, str] | None = None,
    behaviours: Mapping[DeviceType, Behaviour] | None = None,
) -> dict[DeviceType, int]:
    """Tell the registry of all Devices, and of a release for each type; the releases' ids."""
    store.registry.put_hubs(
        Hub(home.hub, "CH-A", region=home.region.value, capable=True) for home in lab.homes
    )
    store.registry.put_devices(devices_of(lab, tags))
    releases = {}
    for kind in kinds:
        release, model = release_of(lab, kind, (behaviours or {}).get(kind)), homes.MAKES[kind].model
        store.registry.put_cpl(
            CplEntry(it.manufacturer, it.model, it.hardware, release.version, release.hash, CplStatus.ACTIVE)
            for it in (model, homes.older(model))
        )
        releases[kind] = store.registry.add_release(f"{kind.value} {release.version}", release)
    return releases


def begin(store: Store, release: int, plan_: plans.Plan, now: Instant) -> int:
    """Create a campaign and start it; its id."""
    campaign = store.campaigns.create(plan_, release, "operator", now)
    store.campaigns.act(campaign, Act.START, "operator", now)
    return campaign


class LabTransport(httpx2.BaseTransport):
    """The DCC User Interface of a world, for an HTTP client in the same thread; `requests` is what came."""

    def __init__(self, lab: homes.Lab) -> None:
        self._world = lab.world
        self.requests: list[tuple[Service, bytes]] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        service, octets = Service(request.url.path.rpartition("/")[2]), request.read()
        self.requests.append((service, octets))
        try:
            answer = self._world.request(service, octets)
        except OutageError as error:
            return httpx2.Response(503, text=str(error))
        return httpx2.Response(200, content=answer)


@dataclass
class Supplier:
    """A Supplier in the same thread as its lab: takes messages, ticks, and lets time pass."""

    lab: homes.Lab
    store: Store
    ring: Ring | None = None
    """Our keys; None: as the lab made them."""
    carrier: type[LabTransport] = LabTransport
    """What brings requests to the DCC."""

    def __post_init__(self) -> None:
        self.parties = Parties(homes.SUPPLIER, homes.ACB, self.ring or self.lab.ring)
        self.transport = self.carrier(self.lab)
        client = httpx2.Client(transport=self.transport, base_url="http://lab/api/v1")
        self.gateway = Gateway(self.parties, client, self.clock)
        self.receiver = Receiver(self.parties, self.store, self.clock)
        self.reconciler = Reconciler(self.store, self.gateway, self.clock, "supplier", lease=DAY)

    def clock(self) -> Instant:
        return self.lab.world.now

    def take_mail(self) -> None:
        """Take all messages that have left the DCC for us."""
        mail = self.lab.world.mail
        taken = []
        while mail:
            letter = mail.popleft()
            if letter.user == homes.SUPPLIER:
                taken.append(self.receiver.read(letter.octets))
        if taken:
            self.receiver.store(taken)

    def settle(self) -> None:
        """Take, tick and send until there is nothing more to do now."""
        self.take_mail()
        while self.reconciler.tick() or self.lab.world.mail:
            self.take_mail()

    def run(self, until: Instant) -> bool:
        """Let time pass until every campaign has ended; False: one has not by `until`."""
        world = self.lab.world
        while world.now < until:
            self.settle()
            if not self.store.campaigns.under_way():
                return True
            self.wait(HOUR)
        return False

    def wait(self, longest: int) -> None:
        """Let time pass until there is a message for us, and at most so many microseconds."""
        world, end = self.lab.world, Instant(self.clock() + longest)
        while not world.mail and (at := world.next_at) is not None and at <= end:
            world.step()
        if not world.mail:
            world.run_until(end)

    def truth(self, devices: Iterable[Eui64]) -> dict[Eui64, FirmwareVersion]:
        """What Devices really run."""
        return {device: self.lab.world.node(device).version for device in devices}
