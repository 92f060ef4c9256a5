"""The Data Services Provider: takes Users' requests and homes' messages, and says what follows from them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from lamplighter.kit import DecodeError, Instant, Step, UsageError, VerificationError
from lamplighter.kit.instant import DAY
from lamplighter.lab.dcc import commands, deliveries, notices
from lamplighter.lab.dcc.access import RULES, Access
from lamplighter.lab.dcc.broker import Broker, Counter
from lamplighter.lab.dcc.commands import Command, CommandKey, Commands
from lamplighter.lab.dcc.deliveries import Deliveries, Delivery
from lamplighter.lab.dcc.firmware import Accepted, Judge, Limits, Objection
from lamplighter.lab.dcc.refusals import Reason, Refusal, code_of
from lamplighter.lab.wire import ToUser, WanGbcs, WanImage, WanImageReceipt
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import SIGNATURE_OCTETS, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.kit import Eui64, FirmwareVersion
    from lamplighter.lab.dcc.access import Service, User
    from lamplighter.lab.dcc.inventory import Entry, Inventory
    from lamplighter.lab.dcc.products import ProductsList
    from lamplighter.protocol.smki import Ring

SUCCESS: Final = "I0"
ACCEPTED: Final = "I99"
WARNINGS: Final = {"11.1": "W110101", "11.4": "W110401"}
NO_ANSWER: Final = "E21"
FUTURE_DATED_TIME_OUT: Final = "E30"


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


class _Held(NamedTuple):
    """A command that the DSP sends later; the number keeps the order among equals."""

    at: Instant
    number: int
    frame: WanGbcs


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
        self._signer = ring.signer(acb, Role.ACB_XML_SIGNING)
        self._settings = settings or Settings()
        self._users = {user.user: user for user in users}
        self._access = Access(acb, self._users, inventory)
        self._counter = Counter()
        self._broker = Broker(acb, ring, inventory, self._counter)
        self._deliveries = Deliveries()
        self._commands = Commands()
        self._judge = Judge(inventory, products, self._deliveries, self._settings.limits)
        self._held: list[_Held] = []
        self._transfers = 0

    @property
    def open(self) -> int:
        """How many deliveries and commands await word from a home."""
        return self._deliveries.open + self._commands.open

    # What Users ask

    def request(self, service: Service, octets: bytes, now: Instant) -> tuple[bytes, Step]:
        """Answer a User's request: the signed synchronous Response, and what follows.

        Raises `DecodeError` or `VerificationError` for octets that are no Request at all: there is nobody and
        nothing to answer.
        """
        try:
            request = duis.open_request(octets, self._ring, now=now).message
        except DecodeError as error:
            claim = _header_of(octets) if error.field == "Header" else None
            if claim is None:
                raise
            return self._refuse(claim, Refusal(Reason.WRONG_VARIANT, str(error)), now)
        except VerificationError as error:
            # The id of a forged request is an echo, so that whoever sent it can tell which one it was.
            claim = _claim_of(duis.decode_request(octets))
            return self._refuse(claim, Refusal(Reason.NOT_AUTHENTIC, str(error)), now)
        claim = _claim_of(request)
        admitted = self._access.admit(request, service)
        answer = admitted if isinstance(admitted, Refusal) else self._serve(request, admitted, now)
        if isinstance(answer, Refusal):
            return self._refuse(claim, answer, now)
        return self._answered(claim, answer, None, now)

    def _refuse(self, claim: _Claim, refusal: Refusal, now: Instant) -> tuple[bytes, Step]:
        return self._answered(claim, _Answer(code_of(refusal.reason, claim.srv)), refusal, now)

    def _answered(
        self, claim: _Claim, answer: _Answer, refusal: Refusal | None, now: Instant
    ) -> tuple[bytes, Step]:
        body = duis.ResponseMessage(claim.srv, claim.srv, answer.payload)
        signed = self._signed(duis.Response(claim.id, None, answer.code, now, body))
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
        verdict = self._judge.judge(user, srv, body)
        if isinstance(verdict, Refusal):
            return verdict
        due = Instant(now + self._settings.receipt_period)
        by_hub: dict[Eui64, list[Eui64]] = {}
        for entry in verdict.entries:
            by_hub.setdefault(entry.hub, []).append(entry.device)
        send: list[Any] = []
        for hub, devices in by_hub.items():
            self._transfers += 1
            for device in devices:
                self._deliveries.begin(
                    Delivery(self._transfers, request.id, device, hub, body.version, verdict.image.hash, due)
                )
            send.append(WanImage(hub, self._transfers, body.image, tuple(devices)))
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
            self._alert(supplier, notices.upgrade_requested(version, tuple(devices)), tuple(devices), now)
            for supplier, devices in others.items()
        ]

    def _read_inventory(self, user: Eui64, device: Eui64) -> _Answer | Refusal:
        """SRV 8.2: the whole home of a Device."""
        entry = self.inventory.find(device)
        if entry is None:
            return Refusal(Reason.NO_SUCH_DEVICE, str(device))
        home = self.inventory.home_of(entry)
        if not any(user in each.suppliers for each in home):
            return Refusal(Reason.NOT_RESPONSIBLE, f"{user} for the home of {device}")
        return _Answer(SUCCESS, duis.DspInventory(tuple(map(self._described, home))))

    def _described(self, entry: Entry) -> duis.InventoryDevice:
        product = self.products.find(entry.model, entry.firmware)
        status = None if product is None else product.status
        return duis.InventoryDevice(
            entry.device,
            entry.type,
            entry.status,
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
        at = max(now, execution or now)
        self._commands.begin(
            Command(
                CommandKey(target.device, request.id.originator, request.id.counter),
                request.id,
                "11.2",
                b"",
                commands.Stage.SENT,
                Instant(at + self._settings.answer_period),
            )
        )
        return self._outbound(target, self._broker.read_version(request, now), at, now)

    def _transform(
        self, request: duis.Request, body: duis.ActivateFirmware, target: Entry, now: Instant
    ) -> _Answer:
        """SRV 11.3 as a transform: the pre-command that the Supplier is to correlate and sign."""
        pre_command = self._broker.pre_command(request, body)
        self._commands.begin(
            Command(
                CommandKey(target.device, request.id.originator, request.id.counter),
                request.id,
                "11.3",
                pre_command,
                commands.Stage.TRANSFORMED,
                now,
                None if body.execution == duis.CANCEL else body.execution,
            )
        )
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
        at = max(now, body.execution or now)
        self._hear(command, commands.Word.SIGNED, Instant(at + self._settings.answer_period))
        return self._outbound(target, self._broker.complete(body.payload, target.device), at, now)

    def _outbound(self, target: Entry, octets: bytes, at: Instant, now: Instant) -> _Answer:
        frame = WanGbcs(target.hub, target.device, octets, outbound=True)
        if at <= now:
            return _Answer(ACCEPTED, None, (frame,))
        heapq.heappush(self._held, _Held(at, self._counter.next(now), frame))
        return _Answer(ACCEPTED)

    # What homes say

    def receive(self, frame: WanImageReceipt | WanGbcs, now: Instant) -> Step:
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
                    return self._drop(frame, check, str(error))
            case _:
                assert_never(frame)

    def _take_receipt(self, frame: WanImageReceipt, now: Instant) -> Step:
        delivery = self._deliveries.latest(frame.device)
        if delivery is None or (delivery.transfer, delivery.hub) != (frame.transfer, frame.hub):
            return self._drop(frame, "receipt-unexpected", f"of transfer {frame.transfer}")
        word = deliveries.Word.DELIVERED if frame.delivered else deliveries.Word.NOT_DELIVERED
        if self._deliveries.hear(delivery, word, Instant(now + self._settings.report_period)) is None:
            return self._drop(frame, "receipt-repeated", f"of transfer {frame.transfer}")
        alert = notices.delivery_status(delivery, now, delivered=frame.delivered)
        return self._step((self._alert(delivery.request.originator, alert, (frame.device,), now),))

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
                self._hear(command, commands.Word.ANSWERED, now)
                success = alert.alert is gbcs.AlertCode.FUTURE_DATED_SUCCESS
                code = duis.FutureDatedCode.SUCCESS if success else duis.FutureDatedCode.FAILURE
                outcome = duis.FutureDatedDeviceAlert(code, frame.octets, 1, 1)
                recorded = self._record(device, alert.version)
                return self._step((self._answer_to(command, SUCCESS, outcome, now),), recorded)
            case gbcs.Cs06Accepted():
                command = self._awaited(device, message.recipient, message.counter)
                deferred = command.execution is not None
                word = commands.Word.DEFERRED if deferred else commands.Word.ANSWERED
                due = Instant(max(now, command.execution or now) + self._settings.answer_period)
                self._hear(command, word, due)
                self._supersede(command, now)
                answer = duis.GbcsPayload(frame.octets)
                return self._step((self._answer_to(command, SUCCESS, answer, now),))
            case gbcs.Cs06Response(result, version):
                command = self._awaited(device, message.recipient, message.counter)
                self._hear(command, commands.Word.ANSWERED, now)
                if result is gbcs.ActivationResult.SUCCESS:
                    self._supersede(command, now)
                answer = duis.GbcsPayload(frame.octets)
                recorded = self._record(device, version)
                return self._step((self._answer_to(command, SUCCESS, answer, now),), recorded)
            case gbcs.Cs08Response(version, result):
                behalf = message.supplementary
                if behalf is None:
                    raise VerificationError("response-supplementary", "the User and its counter", "none")
                command = self._awaited(device, behalf.party, behalf.counter)
                self._hear(command, commands.Word.ANSWERED, now)
                read = result is gbcs.Outcome.SUCCESS
                recorded = self._record(device, version) if read else ()
                answer = duis.GbcsPayload(frame.octets)
                return self._step((self._answer_to(command, SUCCESS, answer, now),), recorded)
            case gbcs.Cs06Command() | gbcs.Cs08Command() as command:
                raise VerificationError("device-speaker", "a response or an alert", type(command).__name__)
            case payload:
                assert_never(payload)

    def _take_transfer(self, frame: WanGbcs, alert: gbcs.Ccs08Alert, now: Instant) -> Step:
        target = self.inventory.find(alert.target)
        if target is None or target.hub != frame.hub:
            raise VerificationError("transfer-target", f"a Device behind {frame.hub}", str(alert.target))
        delivery = self._deliveries.latest(alert.target)
        if delivery is not None and delivery.version == alert.version:
            success = alert.result is gbcs.TransferResult.SUCCESS
            word = deliveries.Word.TRANSFERRED if success else deliveries.Word.NOT_TRANSFERRED
            self._deliveries.hear(delivery, word, Instant(now + self._settings.report_period))
            whom: tuple[Eui64, ...] = (delivery.request.originator,)
            notice = notices.transfer(frame.hub, alert, delivery.request)
        else:
            whom, notice = target.suppliers, notices.transfer(frame.hub, alert, None)
        return self._step([self._alert(user, notice, (alert.target,), now) for user in whom])

    def _take_activation(self, device: Eui64, alert: gbcs.Cs09Alert, now: Instant) -> Step:
        recorded = self._record(device, alert.version)
        self._settle(device, now)
        notice = notices.ppmid_activation(device, alert)
        suppliers = _entry(self.inventory.find(device)).suppliers
        return self._step([self._alert(user, notice, (device,), now) for user in suppliers], recorded)

    def _take_verification(
        self, frame: WanGbcs, message: gbcs.Message, alert: gbcs.ReceiptAlert, now: Instant
    ) -> Step:
        if message.recipient not in self._users:
            raise VerificationError("alert-recipient", "a User", str(message.recipient))
        delivery = self._deliveries.latest(frame.device)
        if delivery is not None and delivery.hash == alert.hash:
            self._settle(frame.device, now)
        response_id = duis.RequestId(frame.device, message.recipient, message.counter)
        body = duis.DeviceAlert(alert.alert, frame.octets)
        octets = self._signed(duis.Response(None, response_id, SUCCESS, now, body))
        return self._step((ToUser(message.recipient, octets, (frame.device,)),))

    def _awaited(self, device: Eui64, user: Eui64, counter: int) -> Command:
        """The command that a Device answers, if an answer is due at all."""
        command = self._commands.find(CommandKey(device, user, counter))
        if command is None or command.stage not in {commands.Stage.SENT, commands.Stage.DEFERRED}:
            raise VerificationError("answer-unexpected", "a command that awaits one", f"{user} {counter}")
        return command

    def _hear(self, command: Command, word: commands.Word, due: Instant) -> None:
        if self._commands.hear(command, word, due) is None:
            raise VerificationError(
                "answer-repeated", f"no {word.name} after {command.stage.name}", "another"
            )

    def _supersede(self, command: Command, now: Instant) -> None:
        """A Device keeps one activation in mind: the latest."""
        for earlier in self._commands.deferred(command.key.device):
            if earlier.key != command.key:
                self._commands.hear(earlier, commands.Word.SUPERSEDED, now)

    def _settle(self, device: Eui64, now: Instant) -> None:
        delivery = self._deliveries.latest(device)
        if delivery is not None:
            self._deliveries.hear(delivery, deliveries.Word.DEVICE_SPOKE, now)

    def _record(self, device: Eui64, version: FirmwareVersion) -> tuple[FirmwareRecorded, ...]:
        if _entry(self.inventory.find(device)).firmware == version:
            return ()
        self.inventory.record_firmware(device, version)
        return (FirmwareRecorded(device, version),)

    def _drop(self, frame: WanGbcs | WanImageReceipt, check: str, detail: str) -> Step:
        return self._step((), (Dropped(frame.hub, frame.device, check, detail),))

    # Time

    def wake(self, now: Instant) -> Step:
        """Send what was to be sent now, and stop waiting for what is overdue."""
        send: list[Any] = []
        events: list[Any] = []
        while self._held and self._held[0].at <= now:
            send.append(heapq.heappop(self._held).frame)
        for delivery in self._deliveries.overdue(now):
            self._deliveries.hear(delivery, deliveries.Word.OVERDUE, now)
            events.append(Lapsed(delivery.device, delivery.request))
            # A Device's silence is the Supplier's to notice; a hub's is the DCC's to report.
            if delivery.stage is deliveries.Stage.CROSSING:
                alert = notices.distribution_failed(delivery)
                send.append(self._alert(delivery.request.originator, alert, (delivery.device,), now))
        for command in self._commands.overdue(now):
            self._commands.hear(command, commands.Word.OVERDUE, now)
            events.append(Lapsed(command.key.device, command.request))
            deferred = command.stage is commands.Stage.DEFERRED
            send.append(self._answer_to(command, FUTURE_DATED_TIME_OUT if deferred else NO_ANSWER, None, now))
        return self._step(send, events)

    # What the DCC says

    def _answer_to(self, command: Command, code: str, payload: duis.Payload | None, now: Instant) -> ToUser:
        """The asynchronous Response to a command; only a Device's answer has a ResponseID."""
        answered = None if payload is None else command.request.swapped
        body = duis.ResponseMessage(command.srv, command.srv, payload)
        octets = self._signed(duis.Response(command.request, answered, code, now, body))
        return ToUser(command.key.user, octets, (command.key.device,))

    def _alert(self, user: Eui64, alert: duis.DccAlert, devices: tuple[Eui64, ...], now: Instant) -> ToUser:
        alert_id = duis.RequestId(self.acb, user, self._counter.next(now))
        return ToUser(user, self._signed(duis.Response(None, alert_id, SUCCESS, now, alert)), devices)

    def _signed(self, response: duis.Response) -> bytes:
        return duis.sign(duis.encode_response(response), self._signer)

    def _step(self, send: Iterable[Any] = (), events: Iterable[Any] = ()) -> Step:
        held = self._held[0].at if self._held else None
        dues = (held, self._deliveries.next_due, self._commands.next_due)
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


def _header_of(octets: bytes) -> _Claim | None:
    """The claim of a request whose body is not what its header says; None where it is not even that."""
    header = {line.name: line.text for line in reversed(duis.explain(octets)) if line.depth == 2}
    try:
        return _Claim(duis.RequestId.parse(header["RequestID"]), header["ServiceReference"], ())
    except (KeyError, DecodeError):
        return None


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
