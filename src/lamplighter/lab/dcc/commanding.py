"""SRV 11.2 and 11.3 after admission: commands that go out to Devices, and the answers that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from lamplighter.kit import Instant, VerificationError
from lamplighter.lab.dcc import commands
from lamplighter.lab.dcc.commands import Command, CommandKey, Commands, Word
from lamplighter.lab.dcc.outbox import SUCCESS
from lamplighter.lab.dcc.refusals import Reason, Refusal, code_of
from lamplighter.lab.wire import ToUser, WanGbcs
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import SIGNATURE_OCTETS

if TYPE_CHECKING:
    from lamplighter.kit import Eui64
    from lamplighter.lab.dcc.access import Access
    from lamplighter.lab.dcc.broker import Broker
    from lamplighter.lab.dcc.events import FirmwareRecorded
    from lamplighter.lab.dcc.inventory import Inventory
    from lamplighter.lab.dcc.outbox import Outbox
    from lamplighter.lab.dcc.registrar import Registrar

UNREACHABLE: Final = "E20"
NO_ANSWER: Final = "E21"
FUTURE_DATED_TIME_OUT: Final = "E30"

Answer = gbcs.OutcomeAlert | gbcs.Cs06Accepted | gbcs.Cs06Response | gbcs.Cs08Response
"""What answers a command."""


class Outbound(NamedTuple):
    """A command as it goes to its Device, at once or later."""

    at: Instant
    """When."""
    request: duis.Request
    """Who asked for it: if it goes later, whether that User may then still send it is looked at again."""
    command: CommandKey
    """Which it is."""
    octets: bytes
    """The message itself."""


class Commanding:
    """Commands under way, from the request to the answer.

    answer_period  how long a Device may take to answer
    """

    __slots__ = ("_access", "_answer_period", "_broker", "_inventory", "_outbox", "_registrar", "commands")

    def __init__(
        self,
        inventory: Inventory,
        access: Access,
        broker: Broker,
        outbox: Outbox,
        registrar: Registrar,
        commands: Commands,
        *,
        answer_period: int,
    ) -> None:
        self.commands = commands
        self._inventory = inventory
        self._access = access
        self._broker = broker
        self._outbox = outbox
        self._registrar = registrar
        self._answer_period = answer_period

    # Out

    def read_version(self, request: duis.Request, execution: Instant | None, now: Instant) -> Outbound:
        """SRV 11.2: a CS08 command, at once or at the time given."""
        at = Instant(max(now, execution or now))
        due = Instant(at + self._answer_period)
        command = Command(_key(request), request.id, "11.2", b"", commands.Stage.SENT, due)
        self._begin(command, now)
        octets = self._broker.read_version(request, now)
        return Outbound(at, request, command.key, octets)

    def transform(self, request: duis.Request, body: duis.ActivateFirmware, now: Instant) -> bytes:
        """SRV 11.3 as a transform: the pre-command that the Supplier is to correlate and sign."""
        pre_command = self._broker.pre_command(request, body)
        command = Command(
            _key(request),
            request.id,
            "11.3",
            pre_command,
            commands.Stage.TRANSFORMED,
            now,
            None if body.execution == duis.CANCEL else body.execution,
            body.hash,
        )
        self._begin(command, now)
        return pre_command

    def complete(
        self, request: duis.Request, body: duis.SignedPreCommand, now: Instant
    ) -> Outbound | Refusal:
        """SRV 11.3 as a command: the very pre-command, signed, gets its MAC and goes out.

        Whether the signature is good is for the Device to say.
        """
        command = self.commands.find(_key(request))
        if command is None or command.stage is not commands.Stage.TRANSFORMED:
            return Refusal(Reason.NOT_TRANSFORMED, str(request.id))
        lead = command.pre_command + bytes((SIGNATURE_OCTETS,))
        if not body.payload.startswith(lead) or len(body.payload) != len(lead) + SIGNATURE_OCTETS:
            return Refusal(Reason.PRE_COMMAND_DIFFERS, str(request.id))
        at = Instant(max(now, body.execution or now))
        self._hear(command, Word.SIGNED, Instant(at + self._answer_period))
        return Outbound(at, request, command.key, self._broker.complete(body.payload, command.key.device))

    def frame(self, outbound: Outbound) -> WanGbcs:
        """A command on its way to the hub that its Device is behind now."""
        device = outbound.command.device
        return WanGbcs(self._inventory.entry(device).hub, device, outbound.octets, outbound=True)

    def send(self, postponed: Outbound, now: Instant) -> tuple[WanGbcs | ToUser, ...]:
        """Send a command that had to wait, unless its User may no longer do so."""
        command = self.commands.find(postponed.command)
        admitted = self._access.target(postponed.request)
        if not isinstance(admitted, Refusal):
            return (self.frame(postponed),)
        if command is None or self.commands.hear(command, Word.RETURNED, now) is None:
            return ()
        return (self._answer_to(command, code_of(admitted.reason, command.srv), None, now),)

    # Back

    def take_back(self, frame: WanGbcs, now: Instant) -> ToUser:
        """The CSP could not bring a command to its hub.

        Raises `DecodeError` or `VerificationError` where it is none, or none that is under way.
        """
        message = gbcs.decode(frame.octets).message
        party, counter = message.originator, message.counter
        if message.supplementary is not None:
            party, counter = message.supplementary.party, message.supplementary.counter
        command = self.commands.find(CommandKey(frame.device, party, counter))
        if command is None or self.commands.hear(command, Word.RETURNED, now) is None:
            raise VerificationError("return-unexpected", "a command under way", f"{party} {counter}")
        return self._answer_to(command, UNREACHABLE, None, now)

    def take_answer(
        self, octets: bytes, message: gbcs.Message, answer: Answer, now: Instant
    ) -> tuple[list[ToUser], tuple[FirmwareRecorded, ...]]:
        """A Device answers: what its User and Suppliers are told, and which version is recorded.

        Raises `VerificationError` where no such answer is due.
        """
        device, user, counter = message.originator, message.recipient, message.counter
        if isinstance(answer, gbcs.OutcomeAlert):
            counter = answer.command_counter
        elif isinstance(answer, gbcs.Cs08Response):
            if message.supplementary is None:
                raise VerificationError("response-supplementary", "the User and its counter", "none")
            user, counter = message.supplementary.party, message.supplementary.counter
        command = self._awaited(CommandKey(device, user, counter))
        payload: duis.Payload = duis.GbcsPayload(octets)
        told: list[ToUser] = []
        recorded: tuple[FirmwareRecorded, ...] = ()
        match answer:
            case gbcs.Cs06Accepted():
                deferred = command.execution is not None
                due = Instant(max(now, command.execution or now) + self._answer_period)
                self._hear(command, Word.DEFERRED if deferred else Word.ANSWERED, due)
                self._supersede(command, now)
            case gbcs.Cs06Response(result, version):
                self._hear(command, Word.ANSWERED, now)
                if result is gbcs.ActivationResult.SUCCESS:
                    self._supersede(command, now)
                told, recorded = self._registrar.record(device, version, now, activated=command.hash)
            case gbcs.OutcomeAlert():
                self._hear(command, Word.ANSWERED, now)
                success = answer.alert is gbcs.AlertCode.FUTURE_DATED_SUCCESS
                code = duis.FutureDatedCode.SUCCESS if success else duis.FutureDatedCode.FAILURE
                payload = duis.FutureDatedDeviceAlert(code, octets, 1, 1)
                told, recorded = self._registrar.record(device, answer.version, now, activated=command.hash)
            case gbcs.Cs08Response(version, result):
                self._hear(command, Word.ANSWERED, now)
                if result is gbcs.Outcome.SUCCESS:
                    told, recorded = self._registrar.record(device, version, now)
        return [self._answer_to(command, SUCCESS, payload, now), *told], recorded

    def lapse(self, now: Instant) -> tuple[tuple[Command, ...], list[ToUser]]:
        """Wait no longer for what is overdue: the commands, and what is told of them."""
        overdue = self.commands.overdue(now)
        told = []
        for command in overdue:
            self.commands.hear(command, Word.OVERDUE, now)
            deferred = command.stage is commands.Stage.DEFERRED
            told.append(self._answer_to(command, FUTURE_DATED_TIME_OUT if deferred else NO_ANSWER, None, now))
        return overdue, told

    def _begin(self, command: Command, now: Instant) -> None:
        self.commands.forget(now)
        self.commands.begin(command)

    def _awaited(self, key: CommandKey) -> Command:
        """The command that a Device answers, if an answer is due at all."""
        command = self.commands.find(key)
        if command is None or command.stage not in {commands.Stage.SENT, commands.Stage.DEFERRED}:
            raise VerificationError(
                "answer-unexpected", "a command that awaits one", f"{key.user} {key.counter}"
            )
        return command

    def _hear(self, command: Command, word: Word, due: Instant) -> None:
        if self.commands.hear(command, word, due) is None:
            raise VerificationError(
                "answer-repeated", f"no {word.name} after {command.stage.name}", "another"
            )

    def _supersede(self, command: Command, now: Instant) -> None:
        """A Device keeps one activation in mind: the latest."""
        for earlier in self.commands.deferred(command.key.device):
            if earlier.key != command.key:
                self.commands.hear(earlier, Word.SUPERSEDED, now)

    def _answer_to(self, command: Command, code: str, payload: duis.Payload | None, now: Instant) -> ToUser:
        """The asynchronous Response to a command."""
        device: tuple[Eui64, ...] = (command.key.device,)
        return self._outbox.answer(
            command.request, command.srv, code, payload, device, now, by_device=payload is not None
        )


def _key(request: duis.Request) -> CommandKey:
    return CommandKey(request.id.target, request.id.originator, request.id.counter)
