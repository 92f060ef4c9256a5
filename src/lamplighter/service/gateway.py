"""The way out: requests built, signed and sent to the DCC's three services; answers verified before use."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

import httpx2
import structlog

from lamplighter.kit import LamplighterError, PeerError, UsageError, VerificationError
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import Role, SigningError, prove
from lamplighter.registry import Procedure
from lamplighter.service import meters, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from lamplighter.kit import Eui64, ImageHash, Instant
    from lamplighter.protocol.smki import Ring, Signer
    from lamplighter.registry import Release

AT_ONCE: Final = 8
"""Signed pre-commands on their way at one time: their counters are spent, so their order is free."""

_NON_DEVICE: Final = "/serviceD"
_SEND_COMMAND: Final = "/serviceS"
_TRANSFORM: Final = "/serviceT"
_HEADERS: Final = {
    "Content-Type": "application/xml",
    "Accept-Encoding": "identity",  # what is small on the wire must not be large in memory
}
_CONNECT_SECONDS: Final = 10.0
_SIGNING_SECONDS_MAX: Final = (
    10.0  # what took a token longer is not sent: our lease may have fallen meanwhile
)
_OUR_FAULT: Final = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431})
"""HTTP statuses that say of a request itself that it cannot be taken, however often it is sent."""
_NOT_LET_IN: Final = frozenset({401, 403, 404, 407, 429, 495, 496, 497})
"""HTTP statuses with which something before the DCC turned a request away: the DCC has not seen it."""

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


@dataclass(frozen=True, slots=True)
class Tls:
    """Mutual TLS towards the DCC. The files are PEM."""

    certificate: Path | None = None
    """Our client certificate, with its chain."""
    key: Path | None = None
    """Its private key; None: it is in the same file."""
    authority: Path | None = None
    """Whom to trust for the DCC's server certificate; None: whom the system trusts."""
    verify: bool = True
    """Whether the server must prove who it is. Messages are signed either way; False is for a lab."""

    def context(self) -> ssl.SSLContext:
        """The settings as OpenSSL takes them; `UsageError` where a file cannot be used."""
        try:
            context = ssl.create_default_context(
                cafile=None if self.authority is None else str(self.authority)
            )
        except (OSError, ssl.SSLError) as cause:
            raise UsageError(f"{self.authority} holds no certificates to trust: {cause}") from cause
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError) as cause:
                files = f"{self.certificate}" + ("" if self.key is None else f" and {self.key}")
                raise UsageError(f"{files} are no client certificate with its key: {cause}") from cause
        elif self.key is not None:
            raise UsageError(f"{self.key} is a client's key without its certificate")
        return context


class NoAnswerError(LamplighterError):
    """The DCC gave no answer: the request is to be sent again, under the same id."""

    def __init__(self, reason: str, *, unsent: bool) -> None:
        super().__init__(reason)
        self.unsent = unsent
        """Whether the DCC certainly has nothing of the request."""


class NotSignedError(NoAnswerError):
    """A key of ours could not be used now: nothing was sent, and nobody but us is at fault."""


class Gateway:
    """One Supplier's way to one DCC. Safe to share between threads.

    client  carries the base address (`https://HOST/api/v1`), time-outs and TLS
    clock   says what time it is, for the expiry of certificates

    Every way out returns the DCC's verified answer, a refusal included, and raises

    - `NoAnswerError` where there was none: send it again; `NotSignedError` where it was our own key;
    - `VerificationError` or `DecodeError` where what came cannot be believed;
    - `PeerError` where the DCC cannot take such a request at all;
    - `UsageError` where the request cannot be built.
    """

    def __init__(self, parties: Parties, client: httpx2.Client, clock: Callable[[], Instant]) -> None:
        self._parties = parties
        self._client = client
        self._clock = clock
        # Fetched and tried now, so that a key that cannot be used is known before anything is ordered.
        self._xml_signer = parties.ring.signer(parties.supplier, Role.XML_SIGNING)
        self._command_signer = parties.ring.signer(parties.supplier, Role.SUPPLIER)
        prove(self._xml_signer)
        prove(self._command_signer)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gateway")

    @classmethod
    def open(
        cls,
        parties: Parties,
        url: str,
        clock: Callable[[], Instant],
        *,
        timeout: float,
        tls: Tls | None = None,
    ) -> Self:
        """A gateway with a client of its own.

        url      the base of the three services
        timeout  seconds that the DCC may take for one answer

        Raises `UsageError` where the URL is none, a TLS file cannot be used, or a key is missing;
        `SigningError` where a key is on a token and cannot be used.
        """
        try:
            address = httpx2.URL(url)
        except httpx2.InvalidURL as cause:
            raise UsageError(f"{url!r} is no URL of the DCC's services: {cause}") from cause
        if address.scheme not in {"http", "https"} or not address.host:
            raise UsageError(f"the DCC's services have a URL such as https://HOST/api/v1, not {url!r}")
        verify = (tls or Tls()).context() if address.scheme == "https" else False
        client = httpx2.Client(
            base_url=address,
            verify=verify,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            limits=httpx2.Limits(max_connections=AT_ONCE + 1, max_keepalive_connections=AT_ONCE + 1),
            trust_env=False,  # a proxy that happens to be set on this machine is nobody's decision
        )
        return cls(parties, client, clock)

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.shutdown()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def distribute(self, counter: int, release: Release, devices: Sequence[Eui64]) -> duis.Response:
        """SRV 11.1 or 11.4, by the release's procedure; the DCC's synchronous answer."""
        body = duis.UpdatePpmidFirmware if release.procedure is Procedure.ONE_STEP else duis.UpdateFirmware
        return self._ask(
            _NON_DEVICE, self._parties.broker, counter, body(release.image, release.version, tuple(devices))
        )

    def read_version(self, counter: int, device: Eui64) -> duis.Response:
        """SRV 11.2: have a Device asked which version it runs; its answer comes later."""
        return self._ask(_SEND_COMMAND, device, counter, duis.ReadFirmwareVersion())

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
                sign = partial(gbcs.sign_pre_command, octets, intent)
                return _signed(sign, self._command_signer, unsent=False)
            case _ if is_refusal(answer.code):
                return answer
            case _:
                raise VerificationError("pre-command-missing", "a pre-command", f"{answer.code} without one")

    def send_command(self, counter: int, device: Eui64, command: bytes) -> duis.Response:
        """SRV 11.3, second half: the signed pre-command, under the counter of its transform.

        The counter is that of the GBCS message, so the request bears it a second time.
        """
        return self._ask(_SEND_COMMAND, device, counter, duis.SignedPreCommand(command))

    def send_commands(
        self, commands: Iterable[tuple[int, Eui64, bytes]]
    ) -> list[duis.Response | LamplighterError]:
        """Signed pre-commands, `AT_ONCE` at a time: what came of each, in the order given."""

        def send(item: tuple[int, Eui64, bytes]) -> duis.Response | LamplighterError:
            try:
                return self.send_command(*item)
            except LamplighterError as error:
                return error

        return list(self._pool.map(send, commands))

    def read_inventory(self, counter: int, of: duis.Premises) -> duis.DspInventory | duis.Response:
        """SRV 8.2: what the inventory knows of a premises; or the DCC's answer without an inventory.

        Raises `VerificationError` "inventory-..." where the answer is of another service, has no inventory
        though it claims success, or does not name the Device, or the meter point, that was asked by.
        """
        answer = self._ask(_NON_DEVICE, self._parties.broker, counter, duis.ReadInventory(of))
        match answer.body:
            case duis.ResponseMessage(srv="8.2", payload=None):
                if answer.code == "I0":
                    raise VerificationError("inventory-missing", "an inventory", "I0 without one")
                return answer
            case duis.ResponseMessage(srv="8.2", payload=duis.DspInventory() as inventory) if (
                answer.code == "I0"
            ):
                _check_inventory(inventory, of)
                return inventory
            case duis.ResponseMessage(srv=srv):
                found = f"{answer.code} of {srv} with something else"
            case _:
                found = "an alert"
        raise VerificationError("inventory-answer", "I0 of 8.2 with an inventory, or a refusal", found)

    def _ask(self, path: str, target: Eui64, counter: int, body: duis.RequestBody) -> duis.Response:
        parties = self._parties
        request = duis.Request(duis.RequestId(parties.supplier, target, counter), body)
        octets = _signed(partial(duis.sign_request, request), self._xml_signer, unsent=True)
        with tracing.span(f"DCC {path}", tracing.CLIENT, counter=counter, octets=len(octets)) as span:
            began = perf_counter()
            try:
                content = self._post(path, octets)
            finally:
                meters.ANSWER_SECONDS.labels(path).observe(perf_counter() - began)
            answer = duis.open_acknowledgement(content, parties.ring, now=self._clock(), dcc=parties.broker)
            response = answer.message if isinstance(answer, duis.Opened) else answer
            if response.request_id != request.id:
                raise VerificationError("answer-to-another", str(request.id), str(response.request_id))
            tracing.note(span, code=response.code)
        _log.info("request answered", request=str(request.id), path=path, code=response.code)
        return response

    def _post(self, path: str, octets: bytes) -> bytes:
        try:
            with self._client.stream("POST", path, content=octets, headers=_HEADERS) as reply:
                content = _content(reply)
        except httpx2.TransportError as cause:
            unsent = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise NoAnswerError(f"{type(cause).__name__}: {cause}", unsent=unsent) from cause
        except httpx2.HTTPError as cause:
            raise NoAnswerError(f"{type(cause).__name__}: {cause}", unsent=False) from cause
        if reply.is_success:
            if len(content) > duis.MAX_OCTETS:
                raise VerificationError("answer-oversize", f"at most {duis.MAX_OCTETS} octets", "more")
            return content
        said = f"HTTP {reply.status_code} from the DCC: {content[:200].decode(errors='replace').strip()!r}"
        if reply.status_code in _OUR_FAULT:
            raise PeerError(said)
        raise NoAnswerError(said, unsent=reply.status_code in _NOT_LET_IN or reply.is_redirect)


def _signed(sign: Callable[[Signer], bytes], signer: Signer, *, unsent: bool) -> bytes:
    """What `signer` signs; `NotSignedError` where its key cannot be used now.

    unsent  whether nothing of the request has gone out before
    """
    began = perf_counter()
    try:
        octets = sign(signer)
    except SigningError as cause:
        raise NotSignedError(str(cause), unsent=unsent) from cause
    if (took := perf_counter() - began) > _SIGNING_SECONDS_MAX:
        raise NotSignedError(f"the signature took {took:.0f} s, and is thrown away", unsent=unsent)
    return octets


def _content(reply: httpx2.Response) -> bytes:
    """What was answered, as far as it may be read: where there is too much, somewhat more than may be."""
    if (encoding := reply.headers.get("Content-Encoding", "identity")) != "identity":
        raise VerificationError("answer-encoding", "an answer as it is", encoding[:40])
    content = bytearray()
    for part in reply.iter_bytes():
        content += part
        if len(content) > duis.MAX_OCTETS:
            break
    return bytes(content)


def _check_inventory(inventory: duis.DspInventory, of: duis.Premises) -> None:
    """Whether an inventory is of the premises asked about, as far as it says itself."""
    match of:
        case duis.Mpxn(number):
            points = {
                point
                for it in inventory.devices
                for point in (it.import_mpxn, it.secondary_import_mpan, it.export_mpan)
                if point is not None
            }
            is_it = not points or number in points
        case duis.Uprn(number):
            numbers = {int(it.uprn) for it in inventory.devices if it.uprn is not None}
            is_it = not numbers or int(number) in numbers
        case duis.PropertyFilter():
            is_it = True  # who spells an address how, is nobody's promise
        case device:
            is_it = any(it.device == device for it in inventory.devices)
    if not is_it:
        named = ", ".join(str(it.device) for it in inventory.devices)
        raise VerificationError("inventory-of-another", f"the premises of {of}", named)


def is_refusal(code: str) -> bool:
    """Whether a response code says that nothing was accepted."""
    return code.startswith("E")
