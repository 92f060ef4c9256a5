"""The exact side of a comparison: a Supplier that orders, activates, and notes when it hears what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import Service
from lamplighter.lab.devices import Life
from lamplighter.lab.flow import Stage
from lamplighter.lab.homes import FACTORY_VERSION, SUPPLIER, build_world
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceType

from .user import NEW, User

if TYPE_CHECKING:
    from lamplighter.kit import Eui64

PAYLOAD: Final = bytes(range(250)) * 8  # fifty blocks: enough to lose some
SETTLES: Final = 12 * HOUR  # before anything is ordered


class Exact:
    """One fleet in exact mode.

    kinds   the types of Device that are updated: PPMIDs by 11.4, HCALCSs by 11.1 and 11.3
    later   when activations are to come; None: at once
    forge   whether the signature of 11.1 images is not the Supplier's
    days    how long to go on
    """

    def __init__(
        self,
        seed: str,
        homes: int,
        *kinds: DeviceType,
        later: Instant | None = None,
        forge: bool = False,
        days: int = 20,
        **named: Any,
    ) -> None:
        self.lab = lab = build_world(seed, homes, record=False, **named)
        self.user = User(lab)
        self.later = later
        self.heard: dict[Eui64, dict[Stage, Instant]] = {}
        self.devices = {
            kind: [home.ppmid if kind is DeviceType.PPMID else home.hcalcs for home in lab.homes]
            for kind in kinds
        }
        for device in self.devices[
            kinds[0]
        ]:  # links and HANs are in use: their bursts and outages have begun
            self.user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), device)
        lab.world.run_until(Instant(lab.world.now + SETTLES))
        lab.world.mail.clear()
        self.start = lab.world.now
        self.octets: dict[DeviceType, int] = {}
        self.hash: dict[Eui64, Any] = {}
        for kind in kinds:
            self._order(kind, forge=forge)
        self._run(Instant(self.start + days * DAY))

    def _order(self, kind: DeviceType, *, forge: bool) -> None:
        image = self.lab.build_firmware(kind, NEW, PAYLOAD)
        self.lab.publish(image)
        if kind is not DeviceType.PPMID:
            image = self.user.signed_image(image)
            if forge:
                image = images.decode(images.encode(image)[:-1] + b"\x00", images.Layout.SRV_11_1)
        self.octets[kind] = len(images.encode(image))
        devices = self.devices[kind]
        update = self.user.update_ppmids if kind is DeviceType.PPMID else self.user.update
        update(image, *devices)
        for device in devices:
            self.hash[device] = image.hash
            self.heard[device] = {Stage.ACCEPTED: self.start}

    def _run(self, until: Instant) -> None:
        world = self.lab.world
        while (at := world.next_at) is not None and at <= until:
            world.step()
            while world.mail:
                letter = world.mail.popleft()
                if letter.user == SUPPLIER:
                    self._hear(self.user.open(letter.octets), letter.devices)

    def _hear(self, response: duis.Response, devices: tuple[Eui64, ...]) -> None:
        match response.body:
            case duis.DccAlert("N60" | "N61" | "N18" | "N19" as code):
                stage, word = Stage.AT_HUB, code
            case duis.DccAlert("N62", body):
                stage, word = Stage.ON_DEVICE, body.transfer.response.value
            case duis.DccAlert("N39", body):
                right = body.upgrade.version == NEW
                stage, word = Stage.PROVEN, f"{body.upgrade.result.value} {'new' if right else 'other'}"
            case duis.DeviceAlert(gbcs.AlertCode.IMAGE_VERIFIED | gbcs.AlertCode.IMAGE_REJECTED as code):
                stage, word = Stage.VERIFIED, f"{code:04X}"
            case duis.ResponseMessage("11.3", _, payload):
                if isinstance(payload, duis.GbcsPayload) and isinstance(
                    gbcs.decode(payload.octets).payload, gbcs.Cs06Accepted
                ):
                    return
                stage, word = Stage.PROVEN, response.code
            case _:
                return
        for device in devices:
            self._note(device, stage, word)

    def _note(self, device: Eui64, stage: Stage, word: str) -> None:
        now = self.lab.world.now
        if device not in self.heard or stage in self.heard[device]:
            return
        self.heard[device][stage] = now
        if stage is Stage.VERIFIED and word == "8F72":
            self.heard[device][Stage.ACTIVATION] = now
            self.user.activate(device, self.hash[device], self.later)

    def ends(self, kind: DeviceType) -> dict[str, float]:
        """The shares of Devices that in truth run the new image, something else, or nothing that speaks."""
        found = Counter(self._end(self.lab.world.node(device)) for device in self.devices[kind])
        return {end: count / found.total() for end, count in found.items()}

    def _end(self, node: Any) -> str:
        if node.life is Life.HUNG:
            return "mute"
        return {NEW: "updated", FACTORY_VERSION: "as before"}.get(node.version, "another version")

    def after(self, kind: DeviceType, stage: Stage) -> list[float]:
        """Seconds from the order until each Device of a kind was heard at a stage; inf: never."""
        return [
            (self.heard[device][stage] - self.start) / 1e6 if stage in self.heard[device] else float("inf")
            for device in self.devices[kind]
        ]
