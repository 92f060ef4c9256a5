"""The Data Services Provider: takes Users' requests and homes' messages, and says what follows from them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from lamplighter.kit import DecodeError, Instant, Step, UsageError, VerificationError
from lamplighter.kit.instant import DAY
from lamplighter.lab.dcc import commands, notices
from lamplighter.lab.dcc.access import RULES, Access, UserRole, is_responsible
from lamplighter.lab.dcc.broker import Broker, Counter
from lamplighter.lab.dcc.commands import Command, CommandKey, Commands, Word
from lamplighter.lab.dcc.deliveries import Deliveries, Delivery
from lamplighter.lab.dcc.distribution import Distribution
from lamplighter.lab.dcc.firmware import Accepted, Judge, Limits, Objection, numbers_of
from lamplighter.lab.dcc.life import LIFE, Life
from lamplighter.lab.dcc.notices import Failure
from lamplighter.lab.dcc.outbox import SUCCESS, Outbox
from lamplighter.lab.dcc.quarantine import AnomalyLimits, Quarantine, Quarantined
from lamplighter.lab.dcc.refusals import Reason, Refusal, code_of
from lamplighter.lab.dcc.storm import StormLimits
from lamplighter.lab.wire import (
    ToUser,
    WanDeviceLeft,
    WanGbcs,
    WanHubFirmware,
    WanImage,
    WanImageReceipt,
    WanUnreachable,
)
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.duis import DeviceStatus, DeviceType
from lamplighter.protocol.smki import SIGNATURE_OCTETS, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
    from lamplighter.lab.dcc.access import Service, User
    from lamplighter.lab.dcc.inventory import Entry, Inventory
    from lamplighter.lab.dcc.products import ProductsList
    from lamplighter.lab.dcc.quarantine import Threshold
    from lamplighter.protocol.smki import Ring

ACCEPTED: Final = "I99"
WARNINGS: Final = {"11.1": "W110101", "11.4": "W110401"}
UNREACHABLE: Final = "E20"
NO_ANSWER: Final = "E21"
FUTURE_DATED_TIME_OUT: Final = "E30"

_TYPE_2: Final = frozenset({DeviceType.IHD, DeviceType.CAD})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the DCC may be told to do otherwise. The periods are assumptions."""

    limits: Limits = field(default_factory=Limits)
    """What the network carries."""
    receipt_period: int = 3 * DAY
    """How long a hub may take to have an image; then the distribution has failed."""
    report_period: int = 14 * DAY
    """How long hub and Device may be silent about an image before the DCC stops waiting for them."""
    answer_period: int = 2 * DAY
    """How long a Device may take to answer a command."""
    dispatch_delay: int = 0
    """Microseconds for which an accepted image waits; what it is for is looked at again when it goes out."""
    memory_period: int = 30 * DAY
    """How long deliveries and commands are remembered after their end, and pre-commands that nobody signs."""
    storm: StormLimits = field(default_factory=StormLimits)
    """When alerts are throttled."""
    anomaly: AnomalyLimits = field(default_factory=AnomalyLimits)
    """When requests are held back."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A request was answered."""

    id: duis.RequestId
    """Its id; of a forged request only what it claimed."""
    srv: str
    """The service reference, likewise."""
    code: str
    """The response code."""
    refusal: Refusal | None
    """Why it was refused, if it was."""
    devices: tuple[Eui64, ...]
    """The Devices that it names."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something came from a home that the DCC did not believe or did not expect, and threw away."""

    hub: Eui64
    """The hub that it came from."""
    device: Eui64
    """The Device that it claims to come from, or is about."""
    check: str
    """The check that failed, or what was unexpected: a stable slug."""
    detail: str
    """The whole story, for the log."""


@dataclass(frozen=True, slots=True)
class FirmwareRecorded:
    """A Device proved which version it runs, and the inventory now says so."""

    device: Eui64
    """The Device."""
    version: FirmwareVersion
    """The version that it reported."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A home did not speak in time, and the DCC waits no longer."""

    device: Eui64
    """The Device."""
    request: duis.RequestId
    """The request that it was about."""


class _Answer(NamedTuple):
    """What a service says to an admitted request, and what it sends."""

    code: str
    payload: duis.Payload | None = None
    send: tuple[Any, ...] = ()


class _Postponed(NamedTuple):
    """A command that the DSP sends later, if the User may then still send it."""

    request: duis.Request
    command: CommandKey
    octets: bytes


class _Parcel(NamedTuple):
    """An image that goes out later, to those Devices that may then still have it."""

    frame: WanImage


class _Held(NamedTuple):
    """What the DSP sends later; the number keeps the order among equals."""

    at: Instant
    number: int
    what: _Postponed | _Parcel


class Dcc:
    """The DCC as Users and homes meet it; sans-IO.

    acb    the EUI-64 of DSP and Access Control Broker
    ring   its own keys, and everybody's certificates
    users  the parties that may use the DCC User Interface
    """

    def __init__(
        self,
        acb: Eui64,
        ring: Ring,
        users: Iterable[User],
        inventory: Inventory,
        products: ProductsList,
        settings: Settings | None = None,
    ) -> None:
        self.acb = acb
        self.inventory = inventory
        self.products = products
        self._ring = ring
        self._settings = settings or Settings()
        self._users = {user.user: user for user in users}
        self._access = Access(acb, self._users, inventory)
        self._counter = Counter()
        self._broker = Broker(acb, ring, inventory, self._counter)
        signer = ring.signer(acb, Role.ACB_XML_SIGNING)
        self._outbox = Outbox(acb, signer, self._counter, self._settings.storm)
        self._deliveries = Deliveries(self._settings.memory_period)
        self._commands = Commands(self._settings.memory_period)
        self._quarantine = Quarantine(self._settings.anomaly)
        self._judge = Judge(inventory, products, self._deliveries, self._settings.limits)
        self._distribution = Distribution(
            inventory,
            products,
            self._users,
            self._outbox,
            self._deliveries,
            receipt_period=self._settings.receipt_period,
            report_period=self._settings.report_period,
        )
        self._held: list[_Held] = []

    @property
    def open(self) -> int:
        """How many deliveries and commands await word from a home, and storms await being told of."""
        return self._deliveries.open + self._commands.open + self._outbox.pending

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The latest delivery of each Device that is not forgotten."""
        return tuple(self._deliveries)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands that are not forgotten."""
        return tuple(self._commands)

    @property
    def quarantined(self) -> tuple[Quarantined, ...]:
        """The requests that are held back, the oldest first."""
        return self._quarantine.held

    # What Users ask

    def request(self, service: Service, octets: bytes, now: Instant) -> tuple[bytes, Step]:
        """Answer a User's request: the signed synchronous Response, and what follows.

        Raises `DecodeError` or `VerificationError` for octets that are no Request at all: there is nobody and
        nothing to answer.
        """
        try:
            request = duis.open_request(octets, self._ring, now=now).message
        except DecodeError as error:
            # What has no readable header cannot be answered; what has a sound one is wrong in its body.
            header = duis.decode_header(octets)
            if header.suits_body:
                raise
            claim = _Claim(header.id, header.service, ())
            return self._refuse(claim, Refusal(Reason.WRONG_VARIANT, str(error)), now)
        except VerificationError as error:
            # The id of a forged request is an echo, so that whoever sent it can tell which one it was.
            claim = _claim_of(duis.decode_request(octets))
            return self._refuse(claim, Refusal(Reason.NOT_AUTHENTIC, str(error)), now)
        claim = _claim_of(request)
        admitted = self._access.admit(request, service)
        if isinstance(admitted, Refusal):
            return self._refuse(claim, admitted, now)
        held = self._quarantine.inspect(request, now)
        if held is not None:
            return self._hold_back(claim, held, now)
        answer = self._serve(request, admitted, now)
        if isinstance(answer, Refusal):
            return self._refuse(claim, answer, now)
        return self._answered(claim, answer, None, now)

    def _refuse(self, claim: _Claim, refusal: Refusal, now: Instant) -> tuple[bytes, Step]:
        return self._answered(claim, _Answer(code_of(refusal.reason, claim.srv)), refusal, now)

    def _hold_back(self, claim: _Claim, held: Quarantined, now: Instant) -> tuple[bytes, Step]:
        notice = notices.quarantined(claim.id, held.reference, held.breach)
        alert = self._outbox.alert(claim.id.originator, notice, claim.devices, now)
        signed, step = self._answered(claim, _Answer(ACCEPTED, None, (alert,)), None, now)
        return signed, step._replace(events=(*step.events, held))

    def _answered(
        self, claim: _Claim, answer: _Answer, refusal: Refusal | None, now: Instant
    ) -> tuple[bytes, Step]:
        body = duis.ResponseMessage(claim.srv, claim.srv, answer.payload)
        signed = self._outbox.sign(duis.Response(claim.id, None, answer.code, now, body))
        requested = Requested(claim.id, claim.srv, answer.code, refusal, claim.devices)
        return signed, self._step(answer.send, (requested,))

    def _serve(self, request: duis.Request, target: Entry | None, now: Instant) -> _Answer | Refusal:
        match request.body:
            case duis.UpdateFirmware() | duis.UpdatePpmidFirmware() as body:
                return self._distribute(request, body, now)
            case duis.ReadInventory(device):
                return self._read_inventory(request.id.originator, device)
            case duis.ReadFirmwareVersion(execution):
                return self._read_version(request, _entry(target), execution, now)
            case duis.ActivateFirmware() as body:
                return self._transform(request, body, _entry(target), now)
            case duis.SignedPreCommand() as body:
                return self._complete(request, body, _entry(target), now)
            case body:
                assert_never(body)

    def _distribute(
        self, request: duis.Request, body: duis.UpdateFirmware | duis.UpdatePpmidFirmware, now: Instant
    ) -> _Answer | Refusal:
        """SRV 11.1 and 11.4: the image goes out, once for each hub."""
        user, srv = request.id.originator, RULES[type(body)].srv
        verdict = self._judge.judge(self._users[user], srv, body)
        if isinstance(verdict, Refusal):
            return verdict
        out_at = Instant(now + self._settings.dispatch_delay)
        self._deliveries.forget(now)
        images = self._distribution.begin(request.id, body.version, body.image, verdict, out_at)
        send: list[Any] = []
        if out_at > now:
            for image in images:
                self._hold(out_at, _Parcel(image), now)
        else:
            send += images
        if isinstance(body, duis.UpdatePpmidFirmware):
            send += self._tell_other_suppliers(user, body.version, verdict.entries, now)
        if verdict.objections:
            ppmid = isinstance(body, duis.UpdatePpmidFirmware)
            return _Answer(WARNINGS[srv], _warning(verdict, ppmid=ppmid), tuple(send))
        return _Answer(ACCEPTED, None, tuple(send))

    def _tell_other_suppliers(
        self, requester: Eui64, version: FirmwareVersion, entries: Iterable[Entry], now: Instant
    ) -> list[ToUser]:
        others: dict[Eui64, list[Eui64]] = {}
        for entry in entries:
            for supplier in entry.suppliers:
                if supplier != requester:
                    others.setdefault(supplier, []).append(entry.device)
        return [
            self._outbox.alert(
                supplier, notices.upgrade_requested(version, tuple(devices)), tuple(devices), now
            )
            for supplier, devices in others.items()
        ]

    def _read_inventory(self, user: Eui64, device: Eui64) -> _Answer | Refusal:
        """SRV 8.2: the whole home of a Device."""
        entry = self.inventory.find(device)
        if entry is None:
            return Refusal(Reason.NO_SUCH_DEVICE, str(device))
        home = self.inventory.home_of(entry)
        if not any(is_responsible(self._users[user], each) for each in home):
            return Refusal(Reason.NOT_RESPONSIBLE, f"{user} for the home of {device}")
        return _Answer(SUCCESS, duis.DspInventory(tuple(map(self._described, home))))

    def _described(self, entry: Entry) -> duis.InventoryDevice:
        product = self.products.find(entry.model, entry.firmware)
        status = None if product is None else product.status
        return duis.InventoryDevice(
            entry.device,
            entry.type,
            None if entry.type in _TYPE_2 else entry.status,
            f"{entry.model.manufacturer:04X}",
            f"{entry.model.model:04X}{entry.model.hardware:04X}",
            firmware_version=str(entry.firmware),
            firmware_status=status,
            cpl_status=status,
            region=entry.region,
            gbcs_version=entry.gbcs_version,
        )

    def _read_version(
        self, request: duis.Request, target: Entry, execution: Instant | None, now: Instant
    ) -> _Answer:
        """SRV 11.2: a CS08 command, at once or at the time given."""
        at = Instant(max(now, execution or now))
        command = Command(
            CommandKey(target.device, request.id.originator, request.id.counter),
            request.id,
            "11.2",
            b"",
            commands.Stage.SENT,
            Instant(at + self._settings.answer_period),
        )
        self._begin(command, now)
        return self._outbound(request, command, self._broker.read_version(request, now), at, now)

    def _transform(
        self, request: duis.Request, body: duis.ActivateFirmware, target: Entry, now: Instant
    ) -> _Answer:
        """SRV 11.3 as a transform: the pre-command that the Supplier is to correlate and sign."""
        pre_command = self._broker.pre_command(request, body)
        command = Command(
            CommandKey(target.device, request.id.originator, request.id.counter),
            request.id,
            "11.3",
            pre_command,
            commands.Stage.TRANSFORMED,
            now,
            None if body.execution == duis.CANCEL else body.execution,
            body.hash,
        )
        self._begin(command, now)
        return _Answer(SUCCESS, duis.PreCommand(target.gbcs_version, pre_command))

    def _complete(
        self, request: duis.Request, body: duis.SignedPreCommand, target: Entry, now: Instant
    ) -> _Answer | Refusal:
        """SRV 11.3 as a command: the very pre-command, signed, gets its MAC and goes out.

        Whether the signature is good is for the Device to say.
        """
        command = self._commands.find(CommandKey(target.device, request.id.originator, request.id.counter))
        if command is None or command.stage is not commands.Stage.TRANSFORMED:
            return Refusal(Reason.NOT_TRANSFORMED, str(request.id))
        lead = command.pre_command + bytes((SIGNATURE_OCTETS,))
        if not body.payload.startswith(lead) or len(body.payload) != len(lead) + SIGNATURE_OCTETS:
            return Refusal(Reason.PRE_COMMAND_DIFFERS, str(request.id))
        at = Instant(max(now, body.execution or now))
        self._hear(command, Word.SIGNED, Instant(at + self._settings.answer_period))
        return self._outbound(request, command, self._broker.complete(body.payload, target.device), at, now)

    def _begin(self, command: Command, now: Instant) -> None:
        self._commands.forget(now)
        self._commands.begin(command)

    def _outbound(
        self, request: duis.Request, command: Command, octets: bytes, at: Instant, now: Instant
    ) -> _Answer:
        postponed = _Postponed(request, command.key, octets)
        if at <= now:
            return _Answer(ACCEPTED, None, (self._frame(postponed),))
        self._hold(at, postponed, now)
        return _Answer(ACCEPTED)

    def _frame(self, postponed: _Postponed) -> WanGbcs:
        device = postponed.command.device
        return WanGbcs(self.inventory.entry(device).hub, device, postponed.octets, outbound=True)

    def _hold(self, at: Instant, what: _Postponed | _Parcel, now: Instant) -> None:
        heapq.heappush(self._held, _Held(at, self._counter.next(now), what))

    # What people at the DCC decide

    def set_threshold(self, user: Eui64, srv: str, threshold: Threshold | None) -> None:
        """A User notifies its anomaly-detection threshold for a service; None: no longer any."""
        self._quarantine.set_threshold(user, srv, threshold)

    def release(self, reference: str, now: Instant) -> Step:
        """Let a request go on that was held back; what the User was not told at once, it is told now."""
        request = self._quarantine.take(reference).request
        claim = _claim_of(request)
        admitted = self._access.target(request)
        answer = admitted if isinstance(admitted, Refusal) else self._serve(request, admitted, now)
        refusal = answer if isinstance(answer, Refusal) else None
        if isinstance(answer, Refusal):
            answer = _Answer(code_of(answer.reason, claim.srv))
        send = answer.send
        if answer.code != ACCEPTED:
            said = self._outbox.answer(request.id, claim.srv, answer.code, answer.payload, claim.devices, now)
            send = (said, *send)
        return self._step(send, (Requested(request.id, claim.srv, answer.code, refusal, claim.devices),))

    def delete(self, reference: str) -> Quarantined:
        """Throw a request away that was held back. Its User is told by other means, or not at all."""
        return self._quarantine.take(reference)

    def change_status(self, device: Eui64, word: Life, now: Instant) -> Step:
        """A Device's life goes on; its Suppliers are told."""
        before = self.inventory.entry(device)
        home = self.inventory.home_of(before)
        entry = self.inventory.live(device, word)
        alert = notices.status_change(entry, word, home)
        send = [] if alert is None else self._tell_suppliers(entry, alert, now)
        if word is Life.TAKEN_OUT:
            send += self._distribution.withdraw((device,), Failure.DEVICE_GONE, now)
        return self._step(send)

    def restore(self, device: Eui64, now: Instant) -> Step:
        """Lift the bar from a suspended Device: it is again what it was."""
        return self.change_status(device, self.inventory.restoration(self.inventory.entry(device)), now)

    def remove(self, device: Eui64, now: Instant) -> Step:
        """Strike a Device out of the inventory; its Suppliers are told."""
        send = self._distribution.withdraw((device,), Failure.DEVICE_GONE, now)
        entry = self.inventory.remove(device)
        return self._step((*self._tell_suppliers(entry, notices.removed(entry), now), *send))

    def swap_hub(self, old: Eui64, new: Entry, now: Instant) -> Step:
        """A home gets another hub; its Devices join that one, and what lay at the old one is lost."""
        gone = self.inventory.entry(old)
        moved = tuple(each.device for each in self.inventory.home_of(gone) if each.device != old)
        send = self.change_status(old, Life.TAKEN_OUT, now).send
        self.inventory.add(new)
        for device in moved:
            self.inventory.move(device, new.device)
        return self._step((*send, *self._distribution.withdraw(moved, Failure.DEVICE_MOVED, now)))

    def change_supplier(self, request: duis.RequestId, role: UserRole, now: Instant) -> Step:
        """A Supplier gains a home: the originator of `request`, whose target is a Device of the home.

        What is under way goes on, for the Device cannot tell: an image that has gone out arrives, and alerts
        about it go to the new Supplier. What has not gone out does not: images give N20, commands E4, and a
        pre-command that was transformed before cannot be sent any more.
        """
        user, entry = self._users.get(request.originator), self.inventory.find(request.target)
        if entry is None:
            return self._step(self._gained(request, "E19", now))
        if user is None or role not in user.roles:
            return self._step(self._gained(request, "E04", now))
        if entry.status is not DeviceStatus.COMMISSIONED:
            return self._step(self._gained(request, "E05", now))
        send = self._gained(request, None, now)
        for before in self.inventory.home_of(entry):
            import_side, gas_side = before.import_supplier, before.gas_supplier
            if role is UserRole.IMPORT_SUPPLIER:
                import_side = user.user
            else:
                gas_side = user.user
            after = self.inventory.record_suppliers(before.device, import_side, gas_side)
            send += [
                self._outbox.alert(loser, notices.supplier_lost(before), (before.device,), now)
                for loser in before.suppliers
                if loser not in after.suppliers
            ]
        return self._step(send)

    def _gained(self, request: duis.RequestId, error_code: str | None, now: Instant) -> list[ToUser]:
        notice = notices.supplier_gained(request, error_code)
        return [self._outbox.alert(request.originator, notice, (request.target,), now)]

    def _tell_suppliers(self, entry: Entry, alert: duis.DccAlert, now: Instant) -> list[ToUser]:
        return [self._outbox.alert(user, alert, (entry.device,), now) for user in entry.suppliers]

    # What homes say

    def receive(
        self,
        frame: WanImageReceipt | WanGbcs | WanHubFirmware | WanDeviceLeft | WanUnreachable,
        now: Instant,
    ) -> Step:
        """Take what a home says: tell the Users whom it concerns, or drop it and report why."""
        match frame:
            case WanImageReceipt():
                return self._take_receipt(frame, now)
            case WanGbcs():
                try:
                    opened = self._broker.open(frame)
                    return self._take_message(frame, opened, now)
                except (DecodeError, VerificationError) as error:
                    check = error.check if isinstance(error, VerificationError) else "gbcs-malformed"
                    return self._drop(frame.hub, frame.device, check, str(error))
            case WanHubFirmware():
                return self._take_hub_firmware(frame, now)
            case WanDeviceLeft():
                return self._take_leave(frame, now)
            case WanUnreachable(returned):
                if isinstance(returned, WanImage):
                    return self._step(self._distribution.take_back(returned, now))
                return self._take_command_back(returned, now)
            case _:
                assert_never(frame)

    def _take_receipt(self, frame: WanImageReceipt, now: Instant) -> Step:
        told = self._distribution.take_receipt(frame, now)
        if isinstance(told, str):
            return self._drop(frame.hub, frame.device, told, f"of transfer {frame.transfer}")
        return self._step(told)

    def _take_hub_firmware(self, frame: WanHubFirmware, now: Instant) -> Step:
        entry = self.inventory.find(frame.hub)
        if entry is None or entry.type is not DeviceType.CHF:
            return self._drop(frame.hub, frame.hub, "hub-unknown", f"runs {frame.version}")
        least = self._settings.limits.least_gbcs_version
        gains = frame.capable and numbers_of(entry.gbcs_version) < numbers_of(least)
        if entry.firmware == frame.version and not gains:
            return self._drop(frame.hub, frame.hub, "hub-firmware-repeated", f"{frame.version} again")
        self.inventory.record_firmware(frame.hub, frame.version)
        if gains:
            self.inventory.record_gbcs_version(frame.hub, least)
        told = self._tell_suppliers(entry, notices.hub_firmware(frame.hub, frame.version), now)
        return self._step(told, (FirmwareRecorded(frame.hub, frame.version),))

    def _take_leave(self, frame: WanDeviceLeft, now: Instant) -> Step:
        entry = self.inventory.find(frame.device)
        if entry is None or entry.hub != frame.hub or not LIFE.allows(entry.status, Life.TAKEN_OUT):
            return self._drop(frame.hub, frame.device, "leave-unexpected", "no Device in service there")
        send = self.change_status(frame.device, Life.TAKEN_OUT, now).send
        if entry.type is DeviceType.PPMID:
            send = (*self._tell_suppliers(entry, notices.ppmid_removal(entry), now), *send)
        return self._step(send)

    def _take_command_back(self, frame: WanGbcs, now: Instant) -> Step:
        try:
            message = gbcs.decode(frame.octets).message
        except DecodeError as error:
            return self._drop(frame.hub, frame.device, "gbcs-malformed", str(error))
        party, counter = message.originator, message.counter
        if message.supplementary is not None:
            party, counter = message.supplementary.party, message.supplementary.counter
        command = self._commands.find(CommandKey(frame.device, party, counter))
        if command is None or self._commands.hear(command, Word.RETURNED, now) is None:
            return self._drop(frame.hub, frame.device, "return-unexpected", f"{party} {counter}")
        return self._step((self._answer_to(command, UNREACHABLE, None, now),))

    def _take_message(self, frame: WanGbcs, opened: gbcs.Opened, now: Instant) -> Step:
        message = opened.message
        device = message.originator
        match opened.payload:
            case gbcs.Ccs08Alert() as alert:
                return self._take_transfer(frame, alert, now)
            case gbcs.Cs09Alert() as alert:
                return self._take_activation(device, alert, now)
            case gbcs.ReceiptAlert() as alert:
                return self._take_verification(frame, message, alert, now)
            case gbcs.OutcomeAlert() as alert:
                command = self._awaited(device, message.recipient, alert.command_counter)
                self._hear(command, Word.ANSWERED, now)
                success = alert.alert is gbcs.AlertCode.FUTURE_DATED_SUCCESS
                code = duis.FutureDatedCode.SUCCESS if success else duis.FutureDatedCode.FAILURE
                outcome = duis.FutureDatedDeviceAlert(code, frame.octets, 1, 1)
                told, recorded = self._record(device, alert.version, now, activated=command.hash)
                return self._step((self._answer_to(command, SUCCESS, outcome, now), *told), recorded)
            case gbcs.Cs06Accepted():
                command = self._awaited(device, message.recipient, message.counter)
                deferred = command.execution is not None
                word = Word.DEFERRED if deferred else commands.Word.ANSWERED
                due = Instant(max(now, command.execution or now) + self._settings.answer_period)
                self._hear(command, word, due)
                self._supersede(command, now)
                answer = duis.GbcsPayload(frame.octets)
                return self._step((self._answer_to(command, SUCCESS, answer, now),))
            case gbcs.Cs06Response(result, version):
                command = self._awaited(device, message.recipient, message.counter)
                self._hear(command, Word.ANSWERED, now)
                if result is gbcs.ActivationResult.SUCCESS:
                    self._supersede(command, now)
                answer = duis.GbcsPayload(frame.octets)
                told, recorded = self._record(device, version, now, activated=command.hash)
                return self._step((self._answer_to(command, SUCCESS, answer, now), *told), recorded)
            case gbcs.Cs08Response(version, result):
                behalf = message.supplementary
                if behalf is None:
                    raise VerificationError("response-supplementary", "the User and its counter", "none")
                command = self._awaited(device, behalf.party, behalf.counter)
                self._hear(command, Word.ANSWERED, now)
                read = result is gbcs.Outcome.SUCCESS
                told, recorded = self._record(device, version, now) if read else ((), ())
                answer = duis.GbcsPayload(frame.octets)
                return self._step((self._answer_to(command, SUCCESS, answer, now), *told), recorded)
            case gbcs.Cs06Command() | gbcs.Cs08Command() as command:
                raise VerificationError("device-speaker", "a response or an alert", type(command).__name__)
            case payload:
                assert_never(payload)

    def _take_transfer(self, frame: WanGbcs, alert: gbcs.Ccs08Alert, now: Instant) -> Step:
        target = self.inventory.find(alert.target)
        if target is None or target.hub != frame.hub:
            raise VerificationError("transfer-target", f"a Device behind {frame.hub}", str(alert.target))
        whom, notice = self._distribution.take_transfer(frame.hub, alert, now)
        return self._raised(alert.alert, whom, notice, alert.target, now)

    def _take_activation(self, device: Eui64, alert: gbcs.Cs09Alert, now: Instant) -> Step:
        told, recorded = self._record(device, alert.version, now, expected=True)
        self._distribution.settle(device, now)
        suppliers = self.inventory.entry(device).suppliers
        step = self._raised(alert.alert, suppliers, notices.ppmid_activation(device, alert), device, now)
        return self._step((*step.send, *told), recorded)

    def _raised(
        self, code: int, users: Iterable[Eui64], alert: duis.DccAlert, device: Eui64, now: Instant
    ) -> Step:
        return self._step([m for user in users for m in self._outbox.raised(code, user, alert, device, now)])

    def _take_verification(
        self, frame: WanGbcs, message: gbcs.Message, alert: gbcs.ReceiptAlert, now: Instant
    ) -> Step:
        if message.recipient not in self._users:
            raise VerificationError("alert-recipient", "a User", str(message.recipient))
        delivery = self._deliveries.latest(frame.device)
        if delivery is not None and delivery.hash == alert.hash:
            self._distribution.settle(frame.device, now)
        response_id = duis.RequestId(frame.device, message.recipient, message.counter)
        body = duis.DeviceAlert(alert.alert, frame.octets)
        return self._step(
            self._outbox.raised(alert.alert, message.recipient, body, frame.device, now, response_id)
        )

    def _awaited(self, device: Eui64, user: Eui64, counter: int) -> Command:
        """The command that a Device answers, if an answer is due at all."""
        command = self._commands.find(CommandKey(device, user, counter))
        if command is None or command.stage not in {commands.Stage.SENT, commands.Stage.DEFERRED}:
            raise VerificationError("answer-unexpected", "a command that awaits one", f"{user} {counter}")
        return command

    def _hear(self, command: Command, word: Word, due: Instant) -> None:
        if self._commands.hear(command, word, due) is None:
            raise VerificationError(
                "answer-repeated", f"no {word.name} after {command.stage.name}", "another"
            )

    def _supersede(self, command: Command, now: Instant) -> None:
        """A Device keeps one activation in mind: the latest."""
        for earlier in self._commands.deferred(command.key.device):
            if earlier.key != command.key:
                self._commands.hear(earlier, Word.SUPERSEDED, now)

    def _record(
        self,
        device: Eui64,
        version: FirmwareVersion,
        now: Instant,
        *,
        activated: ImageHash | None = None,
        expected: bool = False,
    ) -> tuple[Sequence[ToUser], tuple[FirmwareRecorded, ...]]:
        """Note which version a Device says it runs; what nothing explains, its Suppliers are told (N49 on).

        activated  the hash that the Device was told to activate: the version that the CPL has for it explains
        expected   the image of the latest delivery explains; a mere reading is never explained
        """
        entry = self.inventory.entry(device)
        if entry.firmware == version:
            return (), ()
        self.inventory.record_firmware(device, version)
        recorded = (FirmwareRecorded(device, version),)
        product = self.products.find(entry.model, version)
        if activated is not None and product is not None and product.hash == activated:
            return (), recorded
        delivery = self._deliveries.latest(device)
        if (expected or activated is not None) and delivery is not None and delivery.version == version:
            return (), recorded
        mismatch = notices.mismatch_of(entry, product)
        alert = notices.firmware_mismatch(entry, version, mismatch)
        return self._tell_suppliers(entry, alert, now), recorded

    def _drop(self, hub: Eui64, device: Eui64, check: str, detail: str) -> Step:
        return self._step((), (Dropped(hub, device, check, detail),))

    # Time

    def wake(self, now: Instant) -> Step:
        """Send what was to be sent now, and stop waiting for what is overdue."""
        send: list[Any] = []
        events: list[Any] = []
        while self._held and self._held[0].at <= now:
            match heapq.heappop(self._held).what:
                case _Postponed() as postponed:
                    send += self._send_postponed(postponed, now)
                case _Parcel(frame):
                    send += self._distribution.send(frame, now)
        lapsed, told = self._distribution.lapse(now)
        events += [Lapsed(delivery.device, delivery.request) for delivery in lapsed]
        send += told
        for command in self._commands.overdue(now):
            self._commands.hear(command, Word.OVERDUE, now)
            events.append(Lapsed(command.key.device, command.request))
            deferred = command.stage is commands.Stage.DEFERRED
            send.append(self._answer_to(command, FUTURE_DATED_TIME_OUT if deferred else NO_ANSWER, None, now))
        send += self._outbox.wake(now)
        self._deliveries.forget(now)
        self._commands.forget(now)
        return self._step(send, events)

    def _send_postponed(self, postponed: _Postponed, now: Instant) -> tuple[WanGbcs | ToUser, ...]:
        """Send a command now, unless its User may no longer do so."""
        command = self._commands.find(postponed.command)
        admitted = self._access.target(postponed.request)
        if not isinstance(admitted, Refusal):
            return (self._frame(postponed),)
        if command is None or self._commands.hear(command, Word.RETURNED, now) is None:
            return ()
        return (self._answer_to(command, code_of(admitted.reason, command.srv), None, now),)

    def _answer_to(self, command: Command, code: str, payload: duis.Payload | None, now: Instant) -> ToUser:
        """The asynchronous Response to a command."""
        device = command.key.device
        return self._outbox.answer(
            command.request, command.srv, code, payload, (device,), now, by_device=payload is not None
        )

    def _step(self, send: Iterable[Any] = (), events: Iterable[Any] = ()) -> Step:
        held = self._held[0].at if self._held else None
        dues = (held, self._deliveries.next_due, self._commands.next_due, self._outbox.next_due)
        return Step(tuple(send), tuple(events), min((due for due in dues if due is not None), default=None))


class _Claim(NamedTuple):
    """What a request says of itself, for its answer; nothing here is believed."""

    id: duis.RequestId
    srv: str
    devices: tuple[Eui64, ...]


def _claim_of(request: duis.Request) -> _Claim:
    match request.body:
        case duis.UpdateFirmware(devices=devices) | duis.UpdatePpmidFirmware(devices=devices):
            named = devices
        case duis.ReadInventory(device):
            named = (device,)
        case _:
            named = (request.id.target,)
    return _Claim(request.id, RULES[type(request.body)].srv, named)


def _warning(accepted: Accepted, *, ppmid: bool) -> duis.FirmwareWarning:
    left = accepted.objections
    return duis.FirmwareWarning(
        invalid=left.get(Objection.INVALID, ()),
        not_commissioned=left.get(Objection.NOT_COMMISSIONED, ()),
        not_applicable=left.get(Objection.NOT_APPLICABLE, ()),
        other_request=left.get(Objection.IN_PROGRESS, ()),
        invalid_gbcs_version=left.get(Objection.GBCS_VERSION, ()),
        ppmid=ppmid,
    )


def _entry(entry: Entry | None) -> Entry:
    if entry is None:
        raise UsageError("a command was admitted without a target")
    return entry
