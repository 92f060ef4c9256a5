"""A DCC that answers as it is told, and a Supplier's store beside it: what the loops are tested against."""

from __future__ import annotations

from dataclasses import replace

import httpx2

from lamplighter.campaign import Progress
from lamplighter.campaign import plan as plans
from lamplighter.campaign.status import Act
from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.protocol import duis, gbcs
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
from lamplighter.service.gateway import Gateway
from lamplighter.service.receiver import Receiver
from lamplighter.service.reconciler import Reconciler

from .parties import (
    BROKER,
    DEVICES,
    HASH,
    HCALCS,
    HUB,
    NEW,
    NOW,
    PARTIES,
    PKI,
    PPMID,
    SUPPLIER,
    answer,
    by_dsp,
)


def device(eui, kind):
    cohort = Cohort(
        kind, 0x121D, 0x0084, 0x1111, FirmwareVersion(1), DeviceStatus.COMMISSIONED, region="North"
    )
    return Device(eui, HUB, cohort)


def release(procedure):
    return Release(procedure, 0x121D, NEW, HASH, 0, 0xFFFF, b"image of " + procedure.value.encode())


PPMID_DEVICE, HCALCS_DEVICE = device(PPMID, DeviceType.PPMID), device(HCALCS, DeviceType.HCALCS)
ONE_STEP, TWO_STEP = release(Procedure.ONE_STEP), release(Procedure.TWO_STEP)
AT_DSP = PKI.acb(BROKER, [SUPPLIER], DEVICES)
PLAN = """
name = "{name}"
approvals = 0
stratify = []
[target]
types = ["{kind}"]
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.6
max_failure_rate = 0.95
acceptable_silence_rate = 0.6
max_silence_rate = 0.95
"""


class ScriptedDcc(httpx2.BaseTransport):
    """Checks every request as the DCC would, keeps it, and answers as told."""

    def __init__(self):
        self.requests = []
        self.reply = self.accept

    def handle_request(self, http):
        request = duis.open_request(http.read(), AT_DSP, now=NOW).message
        self.requests.append((http.url.path.rpartition("/")[2], request))
        reply = self.reply(request)
        return reply if isinstance(reply, httpx2.Response) else httpx2.Response(200, content=reply)

    def pre_command(self, request, **changes):
        execution = gbcs.CANCELLED if request.body.execution == duis.CANCEL else request.body.execution
        intent = gbcs.Activation(
            request.id.originator, request.id.target, request.id.counter, request.body.hash, execution
        )
        for name, value in changes.items():
            object.__setattr__(intent, name, value)
        return duis.PreCommand("4.3", gbcs.encode_message(gbcs.pre_command(intent)))

    def accept(self, request):
        if isinstance(request.body, duis.ActivateFirmware):
            return by_dsp(answer(request, "I0", self.pre_command(request)))
        return by_dsp(answer(request, "I99"))

    @property
    def asked(self):
        """What was asked, by the kind of its body."""
        return [type(request.body).__name__ for _, request in self.requests]

    @property
    def counters(self):
        return [request.id.counter for _, request in self.requests]


def refuse(code):
    """A DCC that refuses everything."""
    return lambda request: by_dsp(answer(request, code))


def trouble(_):
    """A DCC in trouble."""
    return httpx2.Response(503)


def unreachable(_):
    """A DCC that nobody can connect to."""
    raise httpx2.ConnectError("connection refused")


def unacceptable(_):
    """A DCC that can take no such request, however often it comes."""
    return httpx2.Response(413)


def no_answer(_):
    """A DCC that takes a request, and whose answer is lost."""
    raise httpx2.ReadTimeout("timed out")


class Side:
    """A Supplier: its store, its reconciler, and a clock that only moves when told."""

    def __init__(self, store, dcc=None, owner="one", parties=PARTIES):
        self.store = store
        self.dcc = dcc or ScriptedDcc()
        self.now = NOW
        client = httpx2.Client(transport=self.dcc, base_url="http://dcc/api/v1")
        self.gateway = Gateway(parties, client, lambda: NOW)
        self.reconciler = self.another(owner)
        self.receiver = Receiver(PARTIES, store, lambda: self.now)

    def another(self, owner):
        """One more reconciler on the same store, as after a crash or in another process."""
        return Reconciler(self.store, self.gateway, lambda: self.now, owner)

    def register(self, *devices):
        self.store.registry.put_hubs([Hub(HUB, "CH-A", region="North", capable=True)])
        self.store.registry.put_devices(devices)

    def begin(self, kind, name="update", **changes):
        """A campaign for all Devices of a type, started."""
        release = ONE_STEP if kind is DeviceType.PPMID else TWO_STEP
        entry = CplEntry(0x121D, 0x0084, 0x1111, NEW, HASH, CplStatus.ACTIVE)
        self.store.registry.put_cpl([entry])
        number = self.store.registry.add_release(f"release for {kind.value}", release)
        plan = replace(plans.parse(PLAN.format(name=name, kind=kind.value)), **changes)
        campaign = self.store.campaigns.create(plan, number, "operator", self.now)
        self.act(campaign, Act.START)
        return campaign

    def act(self, campaign, act):
        self.store.campaigns.act(campaign, act, "operator", self.now)

    def settle(self, reconciler=None):
        """Tick until there is nothing more to do; how many ticks did something."""
        ticks = 0
        while (reconciler or self.reconciler).tick():
            ticks += 1
            assert ticks < 50, "it never comes to rest"
        return ticks

    def arrive(self, *responses):
        self.receiver.store([self.receiver.read(by_dsp(response)) for response in responses])
        self.settle()

    def pass_(self, microseconds):
        self.now = Instant(self.now + microseconds)

    def progress(self):
        """How far every update is, by Device."""
        from sqlalchemy import select

        from lamplighter.store import schema as s

        columns = s.device_update.c
        with self.store.database.reading() as connection:
            rows = connection.execute(select(columns.device, columns.progress))
            return {device: Progress(progress) for device, progress in rows}

    def stages(self):
        """Where every update stands, by Device."""
        return {device: progress.stage for device, progress in self.progress().items()}

    def stage(self):
        """Where the only update stands."""
        [stage] = self.stages().values()
        return stage

    def facts(self, eui):
        return [entry.evidence.fact for entry in self.store.record.timeline(eui)]

    def evidence(self, eui, fact):
        return [entry.evidence for entry in self.store.record.timeline(eui) if entry.evidence.fact is fact]

    def open(self):
        return self.store.outbox.open_requests()


def of_another_home(eui, hub, kind=DeviceType.PPMID):
    return replace(device(eui, kind), hub=hub)
