"""The Data Services Provider: takes Users' requests and homes' messages, and says what follows from them."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from lamplighter.kit import DecodeError, Eui64, Instant, Step, UsageError, VerificationError
from lamplighter.lab.dcc import notices
from lamplighter.lab.dcc.access import RULES, Access, UserRole
from lamplighter.lab.dcc.broker import Broker, Counter
from lamplighter.lab.dcc.commanding import Commanding, Outbound
from lamplighter.lab.dcc.commands import Command, Commands
from lamplighter.lab.dcc.deliveries import Deliveries, Delivery
from lamplighter.lab.dcc.distribution import Distribution
from lamplighter.lab.dcc.events import Dropped, Lapsed, Requested
from lamplighter.lab.dcc.firmware import Accepted, Judge, Objection
from lamplighter.lab.dcc.outbox import SUCCESS, Outbox
from lamplighter.lab.dcc.quarantine import Quarantine, Quarantined
from lamplighter.lab.dcc.refusals import Reason, Refusal, code_of
from lamplighter.lab.dcc.registrar import Registrar
from lamplighter.lab.dcc.settings import Settings
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
from lamplighter.protocol.smki import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamplighter.kit import FirmwareVersion
    from lamplighter.lab.dcc.access import Service, User
    from lamplighter.lab.dcc.inventory import Entry, Inventory
    from lamplighter.lab.dcc.life import Life
    from lamplighter.lab.dcc.products import ProductsList
    from lamplighter.lab.dcc.quarantine import Threshold
    from lamplighter.protocol.smki import Ring

ACCEPTED: Final = "I99"
WARNINGS: Final = {"11.1": "W110101", "11.4": "W110401"}


class _Answer(NamedTuple):
    """What a service says to an admitted request, and what it sends."""

    code: str
    payload: duis.Payload | None = None
    send: tuple[Any, ...] = ()


class _Parcel(NamedTuple):
    """An image that goes out later, to those Devices that may then still have it."""

    frame: WanImage


class _Held(NamedTuple):
    """What the DSP sends later; the number keeps the order among equals."""

    at: Instant
    number: int
    what: Outbound | _Parcel


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
        self._registrar = Registrar(
            inventory,
            products,
            self._users,
            self._outbox,
            self._deliveries,
            self._distribution,
            least_gbcs_version=self._settings.limits.least_gbcs_version,
        )
        self._commanding = Commanding(
            inventory,
            self._access,
            self._broker,
            self._outbox,
            self._registrar,
            self._commands,
            answer_period=self._settings.answer_period,
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
            case duis.ReadInventory(of):
                found = self._registrar.read(request.id.originator, of)
                return found if isinstance(found, Refusal) else _Answer(SUCCESS, found)
            case duis.ReadFirmwareVersion(execution):
                return self._sent(self._commanding.read_version(request, execution, now), now)
            case duis.ActivateFirmware() as body:
                pre_command = self._commanding.transform(request, body, now)
                return _Answer(SUCCESS, duis.PreCommand(_entry(target).gbcs_version, pre_command))
            case duis.SignedPreCommand() as body:
                outbound = self._commanding.complete(request, body, now)
                return outbound if isinstance(outbound, Refusal) else self._sent(outbound, now)
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

    def _sent(self, outbound: Outbound, now: Instant) -> _Answer:
        """A command goes out, at once or at its time."""
        if outbound.at <= now:
            return _Answer(ACCEPTED, None, (self._commanding.frame(outbound),))
        self._hold(outbound.at, outbound, now)
        return _Answer(ACCEPTED)

    def _hold(self, at: Instant, what: Outbound | _Parcel, now: Instant) -> None:
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
        return self._step(self._registrar.change_status(device, word, now))

    def restore(self, device: Eui64, now: Instant) -> Step:
        """Lift the bar from a suspended Device: it is again what it was."""
        return self.change_status(device, self.inventory.restoration(self.inventory.entry(device)), now)

    def remove(self, device: Eui64, now: Instant) -> Step:
        """Strike a Device out of the inventory; its Suppliers are told."""
        return self._step(self._registrar.remove(device, now))

    def swap_hub(self, old: Eui64, new: Entry, now: Instant) -> Step:
        """A home gets another hub; its Devices join that one, and what lay at the old one is lost."""
        return self._step(self._registrar.swap_hub(old, new, now))

    def change_supplier(self, request: duis.RequestId, role: UserRole, now: Instant) -> Step:
        """A Supplier gains a home: the originator of `request`, whose target is a Device of the home.

        What is under way goes on, for the Device cannot tell: an image that has gone out arrives, and alerts
        about it go to the new Supplier. What has not gone out does not: images give N20, commands E4, and a
        pre-command that was transformed before cannot be sent any more.
        """
        return self._step(self._registrar.change_supplier(request, role, now))

    # What homes say

    def receive(
        self,
        frame: WanImageReceipt | WanGbcs | WanHubFirmware | WanDeviceLeft | WanUnreachable,
        now: Instant,
    ) -> Step:
        """Take what a home says: tell the Users whom it concerns, or drop it and report why."""
        try:
            return self._take(frame, now)
        except (DecodeError, VerificationError) as error:
            about = frame.frame if isinstance(frame, WanUnreachable) else frame
            device = about.hub if isinstance(about, (WanHubFirmware, WanImage)) else about.device
            check = error.check if isinstance(error, VerificationError) else "gbcs-malformed"
            return self._drop(about.hub, device, check, str(error))

    def _take(
        self,
        frame: WanImageReceipt | WanGbcs | WanHubFirmware | WanDeviceLeft | WanUnreachable,
        now: Instant,
    ) -> Step:
        match frame:
            case WanImageReceipt():
                told = self._distribution.take_receipt(frame, now)
                if isinstance(told, str):
                    return self._drop(frame.hub, frame.device, told, f"of transfer {frame.transfer}")
                return self._step(told)
            case WanGbcs():
                return self._take_message(frame, self._broker.open(frame), now)
            case WanHubFirmware():
                told, recorded = self._registrar.take_hub_firmware(frame, now)
                return self._step(told, (recorded,))
            case WanDeviceLeft():
                return self._step(self._registrar.take_leave(frame, now))
            case WanUnreachable(returned):
                if isinstance(returned, WanImage):
                    return self._step(self._distribution.take_back(returned, now))
                return self._step((self._commanding.take_back(returned, now),))
            case _:
                assert_never(frame)

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
            case (
                gbcs.OutcomeAlert()
                | gbcs.Cs06Accepted()
                | gbcs.Cs06Response()
                | gbcs.Cs08Response() as answer
            ):
                return self._step(*self._commanding.take_answer(frame.octets, message, answer, now))
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
        told, recorded = self._registrar.record(device, alert.version, now, expected=True)
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

    def _drop(self, hub: Eui64, device: Eui64, check: str, detail: str) -> Step:
        return self._step((), (Dropped(hub, device, check, detail),))

    # Time

    def wake(self, now: Instant) -> Step:
        """Send what was to be sent now, and stop waiting for what is overdue."""
        send: list[Any] = []
        events: list[Any] = []
        while self._held and self._held[0].at <= now:
            match heapq.heappop(self._held).what:
                case Outbound() as postponed:
                    send += self._commanding.send(postponed, now)
                case _Parcel(frame):
                    send += self._distribution.send(frame, now)
        lapsed, told = self._distribution.lapse(now)
        events += [Lapsed(delivery.device, delivery.request) for delivery in lapsed]
        send += told
        unanswered, told = self._commanding.lapse(now)
        events += [Lapsed(command.key.device, command.request) for command in unanswered]
        send += told
        send += self._outbox.wake(now)
        self._deliveries.forget(now)
        self._commands.forget(now)
        return self._step(send, events)

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
        case duis.ReadInventory(of):
            named = (of,) if isinstance(of, Eui64) else ()
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
