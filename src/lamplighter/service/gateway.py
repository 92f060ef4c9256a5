"""The way out: requests built, signed and sent to the DCC's three services; answers verified before use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from lamplighter.kit import VerificationError
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import Role
from lamplighter.registry import Procedure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx2

    from lamplighter.kit import Eui64, ImageHash, Instant
    from lamplighter.protocol.smki import Ring
    from lamplighter.registry import Release

_NON_DEVICE: Final = "/serviceD"
_SEND_COMMAND: Final = "/serviceS"
_TRANSFORM: Final = "/serviceT"
_HEADERS: Final = {"Content-Type": "application/xml"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who we are, who the DCC is, and the keys with which the two know each other."""

    supplier: Eui64
    """Our own EUI-64, originator of every request."""
    broker: Eui64
    """The ACB: target of Non-Device requests, signer of responses."""
    ring: Ring
    """Our signing keys, and the certificates that we trust."""


class Gateway:
    """One Supplier's way to one DCC.

    client  carries the base address (`https://HOST/api/v1`), time-outs and TLS
    clock   says what time it is, for the expiry of certificates
    """

    def __init__(self, parties: Parties, client: httpx2.Client, clock: Callable[[], Instant]) -> None:
        self._parties = parties
        self._client = client
        self._clock = clock
        # Fetched now, so that a missing key is known before anything is ordered.
        self._xml_signer = parties.ring.signer(parties.supplier, Role.XML_SIGNING)
        self._command_signer = parties.ring.signer(parties.supplier, Role.SUPPLIER)

    def distribute(self, counter: int, release: Release, devices: Sequence[Eui64]) -> duis.Response:
        """SRV 11.1 or 11.4, by the release's procedure; the DCC's synchronous answer."""
        body = duis.UpdatePpmidFirmware if release.procedure is Procedure.ONE_STEP else duis.UpdateFirmware
        return self._ask(
            _NON_DEVICE, self._parties.broker, counter, body(release.image, release.version, tuple(devices))
        )

    def transform(
        self, counter: int, device: Eui64, image_hash: ImageHash, execution: Instant | None = None
    ) -> bytes | duis.Response:
        """SRV 11.3, first half: the pre-command, correlated and signed; or the DCC's refusal.

        Raises `VerificationError` "pre-command-..." where the pre-command says anything but what was asked,
        or is missing from an answer that is no refusal.
        """
        answer = self._ask(_TRANSFORM, device, counter, duis.ActivateFirmware(image_hash, execution))
        match answer.body:
            case duis.ResponseMessage(payload=duis.PreCommand(octets=octets)):
                activation = gbcs.CANCELLED if execution == duis.CANCEL else execution
                intent = gbcs.Activation(self._parties.supplier, device, counter, image_hash, activation)
                return gbcs.sign_pre_command(octets, intent, self._command_signer)
            case _ if is_refusal(answer.code):
                return answer
            case _:
                raise VerificationError("pre-command-missing", "a pre-command", f"{answer.code} without one")

    def send_command(self, counter: int, device: Eui64, command: bytes) -> duis.Response:
        """SRV 11.3, second half: the signed pre-command, under the counter of its transform.

        The counter is that of the GBCS message, so the request bears it a second time.
        """
        return self._ask(_SEND_COMMAND, device, counter, duis.SignedPreCommand(command))

    def _ask(self, path: str, target: Eui64, counter: int, body: duis.RequestBody) -> duis.Response:
        parties = self._parties
        request = duis.Request(duis.RequestId(parties.supplier, target, counter), body)
        octets = duis.sign(duis.encode_request(request), self._xml_signer)
        reply = self._client.post(path, content=octets, headers=_HEADERS)
        reply.raise_for_status()
        answer = duis.open_acknowledgement(reply.content, parties.ring, now=self._clock(), dcc=parties.broker)
        response = answer.message if isinstance(answer, duis.Opened) else answer
        if response.request_id != request.id:
            raise VerificationError("answer-to-another", str(request.id), str(response.request_id))
        _log.info("request answered", request=str(request.id), path=path, code=response.code)
        return response


def is_refusal(code: str) -> bool:
    """Whether a response code says that nothing was accepted."""
    return code.startswith("E")
