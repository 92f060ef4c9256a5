"""What both demos are made of: a lab with its homes, what a Supplier is told of it, and a wire between them.

The composition root of a rehearsal: on one side the lab, a DCC and its homes behind HTTP; on the other a
Supplier with its database, receive service, worker and gateway. They share the wire, the time of day and
nothing else; what the Supplier knows beforehand (Devices, CPL, certificates) is handed to it here.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Final

import httpx2

from lamplighter.campaign import plan as plans
from lamplighter.campaign.status import Act
from lamplighter.cli import image as image_verbs
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import MINUTE
from lamplighter.lab import homes
from lamplighter.lab import server as lab_server
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Role
from lamplighter.registry import (
    Cohort,
    CplEntry,
    CplStatus,
    Device,
    DeviceType,
    Hub,
    Part,
    Procedure,
    Release,
)
from lamplighter.service.gateway import Gateway, Parties
from lamplighter.service.listener import Listener
from lamplighter.service.receiver import RECEIVE_PATH, Receiver
from lamplighter.service.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lamplighter.lab.dcc import Entry
    from lamplighter.store import Store

HOMES: Final = 300
HOMES_MAX: Final = 5_000
SPEED: Final = 900.0  # seconds in the homes for each second of ours
LOOK_SECONDS: Final = 0.25  # between two looks at how it goes
OPERATOR: Final = "operator"
APPROVER: Final = "approver"
NEW_VERSION: Final = FirmwareVersion(0x0200_0000)
_PAYLOAD_OCTETS: Final = 4_096  # blocks by the dozen: a rehearsal of the campaign, not of the radio
_LEASE: Final = int(SPEED) * MINUTE
_OLD: Final = 0.15  # the share of homes with the older hardware
_ESTATE: Final = replace(
    homes.Estate(), old_hardware=_OLD, incapable_hubs=0.0, meters=False, gas=0.0, ihds=0.1,
    sleepers=0.0, weak_links=0.0,
)  # fmt: skip

_PLAN: Final = """
name = "{name}"
stratify = ["hardware"]
approvals = 1
lasts = "20d"
sweep_every = "10m"
[target]
types = ["{kind}"]
{region}
[[wave]]
name = "canary"
share = {canary}
minimum = 10
soak = "20m"
[[wave]]
name = "half"
share = 0.5
soak = "20m"
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.05
max_failure_rate = 0.25
acceptable_silence_rate = 0.05
max_silence_rate = 0.25
[deadlines]
hub = "12h"
device = "24h"
proof = "36h"
activation = "24h"
read = "12h"
"""


@dataclass(frozen=True, slots=True)
class Cast:
    """One campaign of the demo."""

    name: str
    kind: DeviceType
    image: images.Image
    plan: plans.Plan


def build(seed: str, count: int, start: Instant = homes.START) -> homes.Lab:
    """A lab of so many homes, in some of which the hardware is the older one."""
    return homes.build_world(seed, count, start=start, estate=_ESTATE, record=False)


def casting(lab: homes.Lab, ppmid_image: Path | None) -> list[Cast]:
    """Both campaigns: the PPMIDs' image as the manufacturer made it, the HCALCSs' with our signature."""
    today = homes.MAKES[DeviceType.PPMID].model
    old, new = homes.older(today).hardware, today.hardware
    payload = bytes(range(256)) * (_PAYLOAD_OCTETS // 256)
    if ppmid_image is None:
        bad = Behaviour(Manner.NEVER_BOOTS, on=old).line
        ppmid = homes.build_firmware(
            lab.pki, DeviceType.PPMID, NEW_VERSION, bad + payload, hardware=(old, new)
        )
    else:
        ppmid = image_verbs.load(ppmid_image, "11.4").image
    plain = homes.build_firmware(lab.pki, DeviceType.HCALCS, NEW_VERSION, payload, hardware=(old, new))
    hcalcs = images.sign_supplier(plain, lab.ring.signer(homes.SUPPLIER, Role.SUPPLIER))
    north = lab.homes[0].region.value
    return [
        Cast(
            name,
            kind,
            image,
            plans.parse(_PLAN.format(name=name, kind=kind.value, canary=canary, region=region)),
        )
        for name, kind, image, canary, region in (
            ("displays", DeviceType.PPMID, ppmid, 0.1, ""),
            ("switches", DeviceType.HCALCS, hcalcs, 0.25, f'regions = ["{north}"]'),
        )
    ]


def register(store: Store, lab: homes.Lab, casts: Iterable[Cast]) -> None:
    """Tell the Supplier's registry what it knows beforehand, and create, approve and start the campaigns."""
    entries = list(lab.world.dcc.inventory)
    now = lab.world.now
    store.registry.put_hubs(
        Hub(entry.device, f"CH {entry.gbcs_version}", region=entry.region.value, capable=True)
        for entry in entries
        if entry.type is DeviceType.CHF
    )
    store.registry.put_devices(_device(entry) for entry in entries if entry.type is not DeviceType.CHF)
    for cast in casts:
        lab.publish(cast.image)
        header = cast.image.header
        makes = {entry.model for entry in entries if entry.type is cast.kind}
        store.registry.put_cpl(
            CplEntry(
                it.manufacturer, it.model, it.hardware, header.file_version, cast.image.hash, CplStatus.ACTIVE
            )
            for it in makes
        )
        release = store.registry.add_release(_name_of(cast), _release(cast.image))
        campaign = store.campaigns.create(cast.plan, release, OPERATOR, now)
        store.campaigns.approve(campaign, APPROVER, store.campaigns.find(campaign).digest, now)
        store.campaigns.act(campaign, Act.START, OPERATOR, now)


def another_draft(store: Store, casts: Iterable[Cast], now: Instant) -> None:
    """A campaign that waits for somebody's word: the switches' release, in all regions."""
    name = "all-switches"
    plan = _PLAN.format(name=name, kind=DeviceType.HCALCS.value, canary=0.1, region="")
    for cast in casts:
        if cast.kind is DeviceType.HCALCS:
            release = store.registry.listed(_name_of(cast)).id
            store.campaigns.create(plans.parse(plan), release, OPERATOR, now)


def _name_of(cast: Cast) -> str:
    """What a release is called."""
    return f"{cast.name} {cast.image.header.file_version}"


def _device(entry: Entry) -> Device:
    """A Device as the inventory (SRV 8.2) tells it."""
    model = entry.model
    return Device(
        entry.device,
        entry.hub,
        Cohort(
            entry.type, model.manufacturer, model.model, model.hardware, entry.firmware, entry.status,
            entry.gbcs_version, Part.BOTH, "", entry.region.value,
        ),
    )  # fmt: skip


def _release(image: images.Image) -> Release:
    header = image.header
    return Release(
        Procedure.TWO_STEP if image.layout is images.Layout.SRV_11_1 else Procedure.ONE_STEP,
        header.manufacturer,
        header.file_version,
        image.hash,
        header.minimum_hardware,
        header.maximum_hardware,
        images.encode(image),
    )


@dataclass(frozen=True, slots=True)
class Meeting:
    """The two sides, while they meet over HTTP."""

    parties: Parties
    """Who the Supplier is."""
    clock: Callable[[], Instant]
    """What time it is in the homes, and so for the Supplier."""
    lab: lab_server.LabServer
    """The DCC and its homes."""
    receiver: str
    """Where the Supplier takes messages: a URL."""
    worker: Worker
    """Who decides and sends."""
    news: Event
    """Set when messages have come."""


@contextmanager
def meeting(
    lab: homes.Lab, store: Store, sent: Callable[[bytes], object] = lambda _: None
) -> Iterator[Meeting]:
    """Let the two sides meet for as long as the block lasts; who waits for `news` wakes the worker.

    sent  called with each request as it goes out
    """

    def clock() -> Instant:
        return lab.world.now

    parties = Parties(homes.SUPPLIER, homes.ACB, lab.ring)
    with ExitStack() as stack:
        news = Event()
        receiver = Receiver(parties, store, clock, news.set)
        listener = stack.enter_context(Listener(receiver.application()))
        url = listener.url + RECEIVE_PATH
        server = stack.enter_context(
            lab_server.LabServer(lab.world, {homes.SUPPLIER: url}, lab_server.Settings(speed=SPEED))
        )
        hooks = {"request": [lambda request: sent(request.content)]}
        client = stack.enter_context(httpx2.Client(base_url=server.url, timeout=30.0, event_hooks=hooks))
        gateway = stack.enter_context(Gateway(parties, client, clock))
        # In the homes a lease of a minute would be over between two looks.
        worker = Worker(store, gateway, clock, "demo", poll=LOOK_SECONDS, lease=_LEASE)
        stack.enter_context(worker)
        yield Meeting(parties, clock, server, url, worker, news)
