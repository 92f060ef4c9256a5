"""The exact side of a comparison: a Supplier that orders, activates, and notes when it hears what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import Service
from lamplighter.lab.devices import Behaviour, Life, Manner
from lamplighter.lab.flow import Outcome, Stage
from lamplighter.lab.homes import FACTORY_VERSION, SUPPLIER, build_world
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceType

from .user import NEW, User

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion

LISTS: Final = ("invalid", "not_commissioned", "not_applicable", "other_request", "invalid_gbcs_version")
FINE: Final = Outcome.UNDER_WAY
AT_HUB: Final = {"N60": FINE, "N61": Outcome.UNDELIVERED, "N18": Outcome.UNREACHED}
ON_DEVICE: Final = {
    duis.TransferResponse.FILE_TRANSFER_SUCCESS: FINE,
    duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED: Outcome.DISCARDED,
    duis.TransferResponse.HARDWARE_VERSION_MISMATCH: Outcome.HARDWARE_MISMATCH,
    duis.TransferResponse.FILE_TRANSFER_FAILURE: Outcome.TRANSFER_FAILED,
}
PAYLOAD: Final = bytes(range(250)) * 8  # fifty blocks: enough to lose some
SETTLES: Final = 12 * HOUR  # before anything is ordered


class Exact:
    """One fleet in exact mode.

    kinds   the types of Device that are updated: PPMIDs by 11.4, HCALCSs by 11.1 and 11.3
    later   when activations are to come; None: at once
    forge   whether the signature of 11.1 images is not the Supplier's
    manner  how the new firmware behaves
    version what it is
    off     the share of Devices whose power is taken before anything is ordered
    days    how long to go on
    """

    def __init__(
        self,
        seed: str,
        homes: int,
        *kinds: DeviceType,
        later: Instant | None = None,
        forge: bool = False,
        manner: Manner = Manner.SOUND,
        version: FirmwareVersion = NEW,
        off: float = 0.0,
        days: int = 20,
        **named: Any,
    ) -> None:
        self.lab = lab = build_world(seed, homes, record=False, **named)
        self.user = User(lab)
        self.later = later
        self.version = version
        self.line = Behaviour(manner).line
        self.heard: dict[Eui64, dict[Stage, Instant]] = {}
        self.words: dict[Eui64, dict[Stage, Outcome]] = {}
        """What each Device's messages told, in flow mode's words."""
        self.mails: Counter[Eui64] = Counter()
        """How many messages there were about each Device, all told."""
        self.devices = {
            kind: [home.ppmid if kind is DeviceType.PPMID else home.hcalcs for home in lab.homes]
            for kind in kinds
        }
        for device in self.devices[kinds[0]]:  # links and HANs are in use: bursts and outages have begun
            self.user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), device)
        lab.world.run_until(Instant(lab.world.now + SETTLES))
        lab.world.mail.clear()
        for kind in kinds:
            for device in self.devices[kind][: round(off * homes)]:
                lab.world.power_off(device)
        self.start = lab.world.now
        self.octets: dict[DeviceType, int] = {}
        self.hash: dict[Eui64, Any] = {}
        for kind in kinds:
            self._order(kind, forge=forge)
        self._run(Instant(self.start + days * DAY))

    def _order(self, kind: DeviceType, *, forge: bool) -> None:
        image = self.lab.build_firmware(kind, self.version, self.line + PAYLOAD)
        self.lab.publish(image)
        if kind is not DeviceType.PPMID:
            image = self.user.signed_image(image)
            if forge:
                image = images.decode(images.encode(image)[:-1] + b"\x00", images.Layout.SRV_11_1)
        self.octets[kind] = len(images.encode(image))
        devices = self.devices[kind]
        update = self.user.update_ppmids if kind is DeviceType.PPMID else self.user.update
        answer = update(image, *devices)
        warning = answer.body.payload
        refused = set(devices) if answer.code.startswith("E") else set()
        if isinstance(warning, duis.FirmwareWarning):
            refused.update(*(getattr(warning, name) for name in LISTS))
        for device in devices:
            self.hash[device] = image.hash
            self.heard[device] = {Stage.ACCEPTED: self.start}
            self.words[device] = {Stage.ACCEPTED: Outcome.REFUSED if device in refused else FINE}

    def _run(self, until: Instant) -> None:
        world = self.lab.world
        while (at := world.next_at) is not None and at <= until:
            world.step()
            while world.mail:
                letter = world.mail.popleft()
                if letter.user == SUPPLIER:
                    response = self.user.open(letter.octets)
                    if isinstance(response.body, duis.ResponseMessage) and response.body.srv == "11.2":
                        continue  # the answer to the reading with which it all began
                    self.mails.update(letter.devices)
                    self._hear(response, letter.devices)

    def _hear(self, response: duis.Response, devices: tuple[Eui64, ...]) -> None:
        match response.body:
            case duis.DccAlert("N60" | "N61" | "N18" as code):
                stage, word = Stage.AT_HUB, AT_HUB[code]
            case duis.DccAlert("N62", body):
                stage, word = Stage.ON_DEVICE, ON_DEVICE[body.transfer.response]
            case duis.DccAlert("N39", body):
                good = body.upgrade.result is duis.ActivationResult.SUCCESS
                stage, word = Stage.PROVEN, self._proof(body.upgrade.version, good=good)
            case duis.DeviceAlert(gbcs.AlertCode.IMAGE_VERIFIED):
                stage, word = Stage.VERIFIED, FINE
            case duis.DeviceAlert(gbcs.AlertCode.IMAGE_REJECTED):
                stage, word = Stage.VERIFIED, Outcome.REJECTED
            case duis.ResponseMessage("11.3", _, None):
                assert response.code in {"E21", "E30"}
                stage, word = Stage.PROVEN, Outcome.MUTE
            case duis.ResponseMessage("11.3", _, payload):
                said = payload.octets if isinstance(payload, duis.GbcsPayload) else payload.payload
                answer = gbcs.decode(said).payload
                if isinstance(answer, gbcs.Cs06Accepted):
                    return
                good = answer.result is gbcs.ActivationResult.SUCCESS
                stage, word = Stage.PROVEN, self._proof(answer.version, good=good)
            case _:
                return
        for device in devices:
            self._note(device, stage, word)

    def _proof(self, version: FirmwareVersion, *, good: bool) -> Outcome:
        if version == self.version:
            return Outcome.UPDATED if good else Outcome.IDLE  # which flow mode never tells
        return Outcome.OTHER_VERSION if good else Outcome.ROLLED_BACK

    def _note(self, device: Eui64, stage: Stage, word: Outcome) -> None:
        now = self.lab.world.now
        if device not in self.heard or stage in self.heard[device]:
            return
        self.heard[device][stage] = now
        self.words[device][stage] = word
        if stage is Stage.VERIFIED and word is FINE:
            self.heard[device][Stage.ACTIVATION] = now
            self.words[device][Stage.ACTIVATION] = FINE
            self.user.activate(device, self.hash[device], self.later)

    def ends(self, kind: DeviceType) -> dict[str, float]:
        """The shares of Devices that in truth run the new image, something else, or nothing that speaks."""
        found = Counter(self._end(self.lab.world.node(device)) for device in self.devices[kind])
        return {end: count / found.total() for end, count in found.items()}

    def _end(self, node: Any) -> str:
        if node.life is Life.HUNG:
            return "mute"
        return {FACTORY_VERSION: "as before", NEW: "updated"}.get(node.version, "another version")

    def stories(self, kind: DeviceType) -> Counter[tuple[Outcome | None, ...]]:
        """What was told at each stage, None where nothing was, and of how many Devices of a kind."""
        return Counter(tuple(map(self.words[device].get, Stage)) for device in self.devices[kind])

    def after(self, kind: DeviceType, stage: Stage) -> list[float]:
        """Seconds from the order until each Device of a kind was heard at a stage; inf: never."""
        return [
            (self.heard[device][stage] - self.start) / 1e6 if stage in self.heard[device] else float("inf")
            for device in self.devices[kind]
        ]
