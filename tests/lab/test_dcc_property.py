"""Whatever Users, homes and people at the DCC do, in whatever order: it goes on, says only what the schema
knows, and in the end waits for nobody."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import AnomalyLimits, Life, Service, StormLimits, Threshold, UserRole
from lamplighter.lab.homes import FACTORY_VERSION, GAS_SUPPLIER, SUPPLIER
from lamplighter.lab.wire import (
    WanDeviceLeft,
    WanGbcs,
    WanHubFirmware,
    WanImage,
    WanImageReceipt,
    WanUnreachable,
)
from lamplighter.protocol import duis, gbcs

from .user import NEW, Desk, a_desk, hcalcs_image, ppmid_image

NO_HASH = ImageHash(bytes(32))
SPARE = 0x0400_0000_0000_0000


class Chaos:
    """A desk for two homes, and the things that may happen there, each by a number that picks its object."""

    def __init__(self, delay: int) -> None:
        self.desk = a_desk(
            homes=2,
            dispatch_delay=delay,
            memory_period=2 * DAY,
            storm=StormLimits(most=2),
            anomaly=AnomalyLimits(by_user={(SUPPLIER, "11.2"): Threshold(2)}, devices_most={"11.4": 1}),
        )
        self.dcc = self.desk.dcc
        self.other = self.desk.gas_supplier()
        self.homes = self.desk.lab.homes
        self.devices = [d for home in self.homes for d in (home.hub, home.ppmid, home.hcalcs, home.esme)]
        self.images = ppmid_image(self.desk.lab), hcalcs_image(self.desk.lab)
        for image in self.images:
            self.desk.lab.publish(image)
        self.frames: list = []
        self.counter = 0

    def asker(self, pick: int) -> Desk:
        return (self.desk, self.other)[pick % 2]

    def device(self, pick: int) -> Eui64:
        return self.devices[pick % len(self.devices)]

    def update_ppmids(self, pick: int) -> None:
        ppmids = [home.ppmid for home in self.homes][: pick % 2 + 1]
        self.asker(pick).update_ppmids(self.images[0], *ppmids)

    def update(self, pick: int) -> None:
        self.desk.update(self.desk.signed_image(self.images[1]), self.homes[pick % 2].hcalcs)

    def read(self, pick: int) -> None:
        at = Instant((self.desk.now // 1_000_000 + 3600) * 1_000_000) if pick % 3 == 0 else None
        body = duis.ReadFirmwareVersion(at)
        self.asker(pick).ask(Service.SEND_COMMAND, body, self.device(pick))

    def activate(self, pick: int) -> None:
        id_ = self.desk.next_id(self.homes[pick % 2].hcalcs)
        answer = self.desk.ask(Service.TRANSFORM, duis.ActivateFirmware(self.images[1].hash), id_=id_)
        if answer.code == "I0" and pick % 3:
            self.desk.send(id_, answer.body.payload.octets + b"\x40" + bytes(64))

    def receipt(self, pick: int) -> None:
        images = [frame for frame in self.frames if isinstance(frame, WanImage)]
        if images:
            image = images[pick % len(images)]
            for device in image.devices:
                self.hear(
                    WanImageReceipt(
                        image.hub, image.transfer, device, delivered=pick % 3 > 0, at=self.desk.now
                    )
                )

    def unreachable(self, pick: int) -> None:
        if self.frames:
            self.hear(WanUnreachable(self.frames[pick % len(self.frames)]))

    def nonsense(self, pick: int) -> None:
        frame = WanGbcs(self.homes[0].hub, self.device(pick), b"nonsense", outbound=bool(pick % 2))
        self.hear(WanUnreachable(frame) if pick % 3 else frame)

    def speak(self, pick: int) -> None:
        home = self.homes[pick % 2]
        at, version = Instant(self.desk.now // 1_000_000 * 1_000_000), (NEW, FACTORY_VERSION)[pick % 3 % 2]
        results = tuple(gbcs.TransferResult)
        spoken = (
            (
                home.ppmid,
                gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, at, version, gbcs.Outcome.SUCCESS),
            ),
            (home.hcalcs, gbcs.ReceiptAlert(gbcs.AlertCode.IMAGE_VERIFIED, at, self.images[1].hash)),
            (
                home.hub,
                gbcs.Ccs08Alert(
                    gbcs.AlertCode.TRANSFER_FAILED, at, home.ppmid, version, results[1 + pick % 3]
                ),
            ),
        )
        device, payload = spoken[pick % 3]
        if self.dcc.inventory.find(device) is not None:
            self.counter += 1
            to = SUPPLIER if isinstance(payload, gbcs.ReceiptAlert) else self.dcc.acb
            self.hear(self.desk.spoken(device, payload, self.counter, to))

    def hub_firmware(self, pick: int) -> None:
        self.hear(WanHubFirmware(self.device(pick), FirmwareVersion(pick), capable=bool(pick % 2)))

    def leave(self, pick: int) -> None:
        self.hear(WanDeviceLeft(self.homes[pick % 2].hub, self.device(pick)))

    def live(self, pick: int) -> None:
        self.decide(lambda: self.dcc.change_status(self.device(pick), list(Life)[pick % 10], self.desk.now))

    def restore(self, pick: int) -> None:
        self.decide(lambda: self.dcc.restore(self.device(pick), self.desk.now))

    def remove(self, pick: int) -> None:
        self.decide(lambda: self.dcc.remove(self.device(pick), self.desk.now))

    def swap(self, pick: int) -> None:
        old, new = self.homes[pick % 2].hub, Eui64.of(SPARE + pick)
        entry = self.dcc.inventory.find(old)
        if entry is not None:
            spare = replace(entry, device=new, hub=new)
            self.decide(lambda: self.dcc.swap_hub(old, spare, self.desk.now))

    def sell(self, pick: int) -> None:
        role = (UserRole.IMPORT_SUPPLIER, UserRole.GAS_SUPPLIER)[pick % 2]
        id_ = duis.RequestId((SUPPLIER, GAS_SUPPLIER)[pick // 2 % 2], self.device(pick), pick)
        self.decide(lambda: self.dcc.change_supplier(id_, role, self.desk.now))

    def release(self, _: int) -> None:
        for held in self.dcc.quarantined[:1]:
            self.decide(lambda reference=held.reference: self.dcc.release(reference, self.desk.now))

    def delete(self, _: int) -> None:
        for held in self.dcc.quarantined[:1]:
            self.dcc.delete(held.reference)

    def wait(self, pick: int) -> None:
        self.desk.later(HOUR * (1, 5, 30)[pick % 3])
        self.other.now = self.desk.now

    def hear(self, frame) -> None:
        self.desk.hear(frame)

    def decide(self, decision) -> None:
        """People may ask for what cannot be; then nothing is done."""
        try:
            self.desk.take(decision())
        except UsageError:
            return

    def read_all(self) -> None:
        """Each User opens what it was told, which checks signature and schema."""
        for desk in (self.desk, self.other):
            self.frames += [f for f in desk.sent if isinstance(f, (WanImage, WanGbcs))]
        self.desk.sent += self.other.sent
        self.other.sent = []
        for user in (SUPPLIER, GAS_SUPPLIER):
            self.desk.told(user)
        self.desk.sent.clear()


DOINGS = [name for name, doing in vars(Chaos).items() if callable(doing) and doing.__code__.co_argcount == 2]
DOINGS = [name for name in DOINGS if name not in {"__init__", "asker", "device", "hear", "decide"}]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, 999)), max_size=40),
    st.sampled_from([0, HOUR]),
)
def test_whatever_happens_the_dcc_goes_on_and_comes_to_an_end(doings, delay):
    chaos = Chaos(delay)
    for name, pick in doings:
        getattr(chaos, name)(pick)
        chaos.read_all()
    chaos.desk.later(60 * DAY)
    chaos.read_all()
    dcc = chaos.dcc
    assert 0 == dcc.open
    assert (0, 0) == (len(dcc._deliveries), len(dcc._commands))
    assert not dcc._held
    assert dcc.wake(chaos.desk.now).wake is None
