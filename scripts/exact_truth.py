"""One campaign whose truth is the lab's exact mode, through all of the service: for scripts/calibration.py.

Nothing of the forecast's model has a part in it. A Supplier with a database of its own, registry, reconciler,
gateway and receive service runs the plan against the lab's DCC, hubs and Devices, frame by frame, and hears
of them what comes as signed messages. What it does not have is HTTP: requests are handed to the DCC, and
messages to the receive service, as octets in one process, so that a month goes by in seconds.

The homes are drawn from the same figures as those of a rehearsal. The forecaster knows the registry alone: of
the share of hardware that the inventory knows better, of what is off, asleep, badly heard or out of coverage,
he has the ranges.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import httpx2
import numpy as np
import structlog

from lamplighter.campaign.state import Stage
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.lab import homes
from lamplighter.lab.dcc import Service
from lamplighter.lab.devices import Schedule
from lamplighter.lab.flow.chance import philox
from lamplighter.lab.world import OutageError
from lamplighter.planning import calibration
from lamplighter.planning.estate import registered
from lamplighter.planning.forecast import ensemble
from lamplighter.planning.rehearse import Course, Scene
from lamplighter.protocol import duis
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import CspRegion, DeviceStatus, DeviceType
from lamplighter.protocol.smki import Role
from lamplighter.registry import Cohort, CplEntry, CplStatus, Device, Hub, Procedure, Release
from lamplighter.service.gateway import Gateway, Parties
from lamplighter.service.receiver import Receiver
from lamplighter.service.reconciler import Reconciler
from lamplighter.store import Store

if TYPE_CHECKING:
    from lamplighter.planning.assumptions import Circumstances
    from lamplighter.planning.calibration import Case, Trial

HOMES: Final = (100, 200)
SETTLES: Final = 12 * HOUR  # before anything is ordered: outages have begun by then
HEARS: Final = 5 * MINUTE  # until the reconciler looks at what came
LOOK: Final = HOUR // 2  # until it looks though nothing came
_NEW: Final = FirmwareVersion(0x0200_0000)
_LEASE: Final = 365 * DAY
_WHO: Final = "calibration"


def trial(number: int, case: Case, seed: str, homes_between: tuple[int, int] = HOMES) -> Trial:
    """Forecast one campaign from its registry, and run it in exact mode."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )  # a line a request
    seed = f"{seed}/exact"
    drawn = calibration.scene(number, seed)
    name = f"{seed}/truth/{number}"
    world = case.truth.draw(name)
    with TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'store.db'}")
        try:
            supplier = _Supplier(store, drawn, world, name, homes_between)
            its = replace(drawn, octets=supplier.octets, estate=supplier.estate)
            courses = ensemble(its, case.belief, seed=f"{seed}/forecast/{number}", members=case.members)
            return calibration.compare(its, supplier.run(), courses)
        finally:
            store.close()


class _Wire(httpx2.BaseTransport):
    """The way to the lab's DCC, without a network."""

    def __init__(self, lab: homes.Lab) -> None:
        self._lab = lab

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        service = Service(request.url.path.rpartition("/")[2])
        try:
            return httpx2.Response(200, content=self._lab.world.request(service, request.read()))
        except OutageError as error:
            return httpx2.Response(503, text=str(error))


class _Supplier:
    """A Supplier, its campaign, and the lab that it does not see into."""

    def __init__(
        self, store: Store, drawn: Scene, world: Circumstances, name: str, homes_between: tuple[int, int]
    ) -> None:
        self._store, self._drawn = store, drawn
        dice = philox(name, "exact")
        self._kind = DeviceType.PPMID if drawn.procedure is Procedure.ONE_STEP else DeviceType.HCALCS
        self.lab = lab = _lab(drawn, world, name, int(dice.integers(*homes_between)))
        parties = Parties(homes.SUPPLIER, homes.ACB, lab.ring)
        self._devices = [it.ppmid if self._kind is DeviceType.PPMID else it.hcalcs for it in lab.homes]
        self._warm_up(parties)
        for device in self._devices:
            if dice.random() < world.off:
                lab.world.power_off(device)
        self._receiver = Receiver(parties, store, self._clock)
        gateway = Gateway(
            parties, httpx2.Client(base_url="http://dcc/api/v1", transport=_Wire(lab)), self._clock
        )
        self._reconciler = Reconciler(store, gateway, self._clock, _WHO, lease=_LEASE)
        release, image = self._register(dice)
        self.octets = len(images.encode(image))
        self.estate = registered(store, drawn.plan, release)
        self._campaign = store.campaigns.create(
            drawn.plan, store.registry.add_release("new", release), _WHO, lab.world.now
        )
        store.campaigns.act(self._campaign, Act.START, _WHO, lab.world.now)

    def _clock(self) -> Instant:
        return self.lab.world.now

    def _warm_up(self, parties: Parties) -> None:
        """Have every Device asked for its version once: then links are in use, and break."""
        world, signer = self.lab.world, parties.ring.signer(parties.supplier, Role.XML_SIGNING)
        for number, device in enumerate(self._devices, 1):
            request = duis.Request(
                duis.RequestId(parties.supplier, device, number), duis.ReadFirmwareVersion()
            )
            world.request(Service.SEND_COMMAND, duis.sign_request(request, signer))
        world.run_until(self._drawn.start)
        world.mail.clear()

    def _register(self, dice: np.random.Generator) -> tuple[Release, images.Image]:
        """What the Supplier knows: the hardware as the inventory should have it, and models of hubs."""
        store, lab, make = self._store, self.lab, homes.MAKES[self._kind]
        model = make.model
        hub_models = sorted({it.hub_model for it in self._drawn.estate.cohorts})
        store.registry.put_hubs(
            Hub(
                it.hub,
                hub_models[int(dice.integers(len(hub_models)))],
                region=it.region.value,
                capable=True,
            )
            for it in lab.homes
        )
        store.registry.put_devices(
            Device(
                device,
                home.hub,
                Cohort(
                    self._kind, model.manufacturer, model.model, model.hardware, homes.FACTORY_VERSION,
                    DeviceStatus.COMMISSIONED, homes.GBCS_VERSION, region=home.region.value,
                ),
            )
            for home, device in zip(lab.homes, self._devices, strict=True)
        )  # fmt: skip
        image = lab.build_firmware(self._kind, _NEW, bytes(int(dice.integers(2_000, 20_000))))
        if self._kind is not DeviceType.PPMID:
            image = images.sign_supplier(image, lab.ring.signer(homes.SUPPLIER, Role.SUPPLIER))
        lab.publish(image)
        header = image.header
        store.registry.put_cpl(
            [CplEntry(model.manufacturer, model.model, model.hardware, _NEW, image.hash, CplStatus.ACTIVE)]
        )
        release = Release(
            self._drawn.procedure, header.manufacturer, _NEW, image.hash,
            header.minimum_hardware, header.maximum_hardware, images.encode(image),
        )  # fmt: skip
        return release, image

    def run(self) -> Course:
        """The campaign, to its end."""
        start, lasts = self._drawn.start, self._drawn.plan.lasts
        since, proven = [0], [0]
        while True:
            while self._reconciler.tick():
                pass
            now = self._clock()
            campaign = self._store.campaigns.find(self._campaign)
            view = self._store.campaigns.view(campaign, now)
            done = sum(count.devices for count in view.counts if count.stage is Stage.PROVEN)
            if done != proven[-1]:
                since.append(now - start)
                proven.append(done)
            is_over = campaign.status is not CampaignStatus.RUNNING
            if is_over or now > start + lasts + 30 * DAY:
                break
            while not self._heard(Instant(self._clock() + HEARS)) and self._clock() < now + LOOK:
                pass
        if self._reconciler.failures:
            raise RuntimeError(f"{self._reconciler.failures} ticks failed")
        since.append(now - start)
        proven.append(done)
        nothing = np.zeros((1, 1), np.int64)
        return Course(
            devices=len(self.estate), since=np.array(since, np.int64), proven=np.array(proven, np.int64),
            end=now - start, finished=is_over, requests={}, orders=0, down=nothing, up=nothing, ordered={},
            held=(), causes={}, lost=0,
        )  # fmt: skip

    def _heard(self, until: Instant) -> int:
        """Let time pass, and take what comes in it; how many messages that were."""
        world = self.lab.world
        world.run_until(until)
        mine = [letter for letter in world.mail if letter.user == homes.SUPPLIER]
        world.mail.clear()
        if mine:
            self._receiver.store([self._receiver.read(letter.octets) for letter in mine])
        return len(mine)


def _lab(drawn: Scene, world: Circumstances, name: str, count: int) -> homes.Lab:
    """Homes in the regions of the scene, as they are in this world."""
    good, weak = world.settings.qualities
    regions = sorted({it.region for it in drawn.estate.cohorts})
    estate = homes.Estate(
        regions={CspRegion(region): 1.0 for region in regions},
        links={CspRegion(region): world.links[region] for region in regions},
        incapable_hubs=0.0,
        old_hardware=world.refused,
        unknown_hardware=world.misfit,
        meters=False,
        gas=0.0,
        ihds=0.0,
        sleepers=world.sleeping,
        ppmid_windows=Schedule(),
        weak_links=world.weak,
        good=good,
        weak=weak,
    )
    return homes.build_world(
        name,
        count,
        start=Instant(drawn.start - SETTLES),
        estate=estate,
        faults=world.faults,
        record=False,
    )
