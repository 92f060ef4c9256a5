"""Whatever comes over the air, however much is lost, whenever the power fails: no Device becomes a brick."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, VerificationError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND, Instant
from lamplighter.lab.devices import Behaviour, Darkened, Flash, Forgotten, Life, Manner, Pending, Schedule
from lamplighter.lab.wire import Cluster, HanFrame
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images

from .home import ESME, HCALCS, HUB, MAKER, PKI, PLATES, PPMID, SIGNER, Home, activate, build, read_version

if TYPE_CHECKING:
    from lamplighter.kit import Step

LATEST = FirmwareVersion(0x0900_0000)
FORGER = images.SealKey(PKI.private_key("a forger"))
SLEEPY = Schedule(period=2 * HOUR, window=10 * SECOND)


class PowerCut(Exception):  # noqa: N818 # no error of anybody's
    """The lights go out."""


@cache
def _image(device: Eui64, what: str) -> bytes:
    """An image of each kind, good and bad, each of its own version."""
    number = 0x0200_0000 + _WHATS.index(what)
    options: dict[str, Any] = {}
    match what:
        case "unsealed" | "forged":
            options["sealer"] = None if what == "unsealed" else FORGER
        case "never-boots" | "never-reports":
            options["payload"] = Behaviour(Manner(what)).line
        case "misspelt":
            options["payload"] = b"LAMPLIGHTER-LAB behaviour=?\n"
        case "other hardware":
            options["hardware"] = (0x0900, 0x0A00)
    image = build(device, FirmwareVersion(number), **options)
    if device == PPMID:
        return images.encode(image)
    signed = images.encode(images.sign_supplier(image, SIGNER))
    return signed[:-1] + b"?" if what == "unsigned" else signed


_WHATS = (
    "sound",
    "unsealed",
    "forged",
    "unsigned",
    "never-boots",
    "misspelt",
    "other hardware",
    "never-reports",
)


def _boots(octets: bytes) -> bool:
    try:
        image = images.decode(octets, images.Layout.SRV_11_4)
        MAKER.verify(image)
        return Behaviour.read(image.body).manner is not Manner.NEVER_BOOTS
    except (DecodeError, VerificationError):
        return False


class _Hostile(Home):
    """A home in which the power fails before chosen writes, and the flash is looked at before each write."""

    def __init__(self, device: Eui64, **options: Any) -> None:
        self.cut_in: int | None = None
        self.said_once: set[bytes] = set()
        super().__init__(devices=(device,), all_lossy=True, **options)
        self.device = device
        self.flash = self.flashes[device]
        self.flash.before_write = self._before_write

    def _before_write(self) -> None:
        self.look()
        if self.cut_in is not None:
            self.cut_in -= 1
            if self.cut_in < 0:
                self.cut_in = None
                raise PowerCut

    def look(self) -> None:
        """There is an image to boot: the active one, or in a trial the one before it."""
        record = self.flash.record
        assert _boots(self.flash.active) or (
            record.pending is Pending.TRIAL and _boots(self.flash.banks[1 - record.active])
        )
        self.said_once.update(record.outbox)

    def take(self, node: Eui64, step: Step) -> None:
        super().take(node, step)
        if hasattr(self, "flash"):
            self.look()

    def survive(self, deed: Any, *arguments: Any) -> None:
        """Do something, and give the power back if it fails."""
        try:
            deed(*arguments)
        except PowerCut:
            self.power(self.device)

    def lie(self, octets: bytes, number: int) -> None:
        """A hub that lies serves a file under the name that makes the Device want it."""
        machine = self.nodes.get(self.device)
        if machine is None:
            return
        plate = PLATES[self.device]
        name = zigbee.ImageId(plate.manufacturer, plate.image_type, FirmwareVersion(0x0200_0000 + number))
        server = zigbee.OtaServer()
        frames = list(server.offer(zigbee.Offer(name, octets, 0, 0xFFFF, delay=0), self.now).send)
        for _ in range(400):
            if not frames:
                return
            step = machine.receive(HanFrame(HUB, self.device, Cluster.OTA, frames.pop(0)), self.now)
            self.take(self.device, step._replace(send=()))
            for frame in step.send:
                if frame.cluster is Cluster.OTA:
                    frames += server.receive(frame.octets, self.now).send


_DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("image"), st.sampled_from(_WHATS)),
        st.tuples(st.just("lie"), st.sampled_from(_WHATS)),
        st.tuples(st.just("activate"), st.sampled_from(_WHATS)),
        st.tuples(st.just("activate later"), st.sampled_from(_WHATS)),
        st.tuples(st.just("cancel"), st.none()),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("octets"), st.tuples(st.sampled_from(Cluster), st.binary(max_size=40))),
        st.tuples(st.just("cut"), st.none()),
        st.tuples(st.just("cut before write"), st.integers(0, 6)),
        st.tuples(st.just("reboot"), st.none()),
        st.tuples(st.just("discard"), st.none()),
        st.tuples(st.just("run"), st.integers(1, 2 * MINUTE)),
        st.tuples(st.just("run"), st.integers(1, 8 * HOUR)),
    ),
    max_size=25,
)


def _suffer(home: _Hostile, deed: str, argument: Any, number: int) -> None:
    device = home.device
    counter = 1000 + number
    match deed:
        case "image":
            home.send(_image(device, argument), device, transfer=number)
        case "lie":
            home.survive(home.lie, _image(device, argument), number)
        case "activate" | "activate later" | "cancel":
            octets = _image(device, argument or "sound")
            layout = images.Layout.SRV_11_4 if device == PPMID else images.Layout.SRV_11_1
            image_hash = ImageHash(bytes(32))
            with suppress(DecodeError):
                image_hash = images.decode(octets, layout).hash
            at = {"activate": None, "cancel": gbcs.CANCELLED}.get(deed, Instant(home.now + HOUR))
            home.tell(device, activate(image_hash, counter, at, device=device))
        case "read":
            home.tell(device, read_version(device, counter))
        case "octets":
            frame = HanFrame(HUB, device, *argument)
            home.survive(lambda: home.take(device, home.nodes[device].receive(frame, home.now)))
        case "cut":
            home.power(device)
        case "cut before write":
            home.cut_in = argument
        case "reboot" | "discard":
            home.do(HUB, deed)
        case "run":
            home.survive(home.run, argument)


@given(
    deeds=_DEEDS,
    device=st.sampled_from((PPMID, HCALCS, ESME)),
    loss=st.sampled_from((0.0, 0.05, 0.4)),
    seed=st.integers(0, 99),
    sleeps=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_no_sequence_of_frames_losses_and_power_cuts_leaves_a_device_without_a_bootable_image(
    deeds, device, loss, seed, sleeps
) -> None:
    home = _Hostile(device, loss=loss, seed=seed, awake={device: SLEEPY} if sleeps else None)
    for number, (deed, argument) in enumerate(deeds):
        _suffer(home, deed, argument, number)
    home.cut_in = None
    home.run(15 * DAY)
    machine = home.nodes[device]
    assert machine.life in (Life.RUNNING, Life.HUNG)
    assert [] == home.of(Darkened)
    # Every transfer has ended.
    assert () == home.memory.record.held
    if machine.life is Life.HUNG:
        return
    if not machine._client.idle:  # it is just asking, as it does now and then
        home.run(5 * MINUTE)
    assert machine._client.idle
    # What was to be said was said: with the power back, the hub has it all.
    assert () == home.flash.record.outbox
    forgotten = {event.octets for event in home.of(Forgotten)}
    assert home.said_once <= {frame.octets for frame in home.wan} | forgotten
    # And it can still be updated.
    home.loss = 0.0
    image = build(device, LATEST)
    home.send(image if device == PPMID else images.sign_supplier(image, SIGNER), device, transfer=99)
    home.run(2 * DAY)
    if device != PPMID:
        home.tell(device, activate(image.hash, 99_999, device=device))
        home.run(2 * DAY)
    assert LATEST == machine.version


@pytest.mark.parametrize("what", _WHATS)
@pytest.mark.parametrize("device", [PPMID, HCALCS, ESME])
def test_each_bad_image_is_survived(device, what) -> None:
    home = _Hostile(device)
    home.send(_image(device, what), device)
    home.run(DAY)
    octets = _image(device, what)
    layout = images.Layout.SRV_11_4 if device == PPMID else images.Layout.SRV_11_1
    home.tell(device, activate(images.decode(octets, layout).hash, 5, device=device))
    home.run(DAY)
    assert (Life.HUNG if what == "never-reports" else Life.RUNNING) is home.nodes[device].life
    assert isinstance(home.flash, Flash)
