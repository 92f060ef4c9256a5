"""Webhooks: who is told is told once it has happened, signed, in order, and again until it was heard.

A delivery is a POST of JSON with three headers: `Webhook-Id`, the same at each attempt, by which a receiver
knows what it has had already; `Webhook-Timestamp`, the second of this attempt; `Webhook-Signature`, `v1=` and
the HMAC-SHA256 of timestamp, a full stop and body, in hex. The id stands in the body too, so that it is
signed. `lamplighter.client.verify_delivery` checks all that. Any status of 2xx within `TIMEOUT_SECONDS` says
that it was taken; nothing of the answer but its status is read.

A delivery comes at least once: what was taken by a receiver whose answer was lost comes again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

import httpx2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from lamplighter import __version__
from lamplighter.kit import UsageError
from lamplighter.kit.instant import MINUTE, SECOND
from lamplighter.service import meters
from lamplighter.service.clock import wall_clock
from lamplighter.service.worker import owner_name
from lamplighter.store import LeaseLostError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection
    from types import TracebackType
    from typing import Self

    from lamplighter.kit import Instant
    from lamplighter.store import Fence, Store
    from lamplighter.store.webhooks import Delivery, Kind, Webhook

TIMEOUT_SECONDS: Final = 10.0
"""For all of one attempt: finding the address, connecting, sending, and the first line of the answer."""

URL_MAX: Final = 2048
"""Characters of a receiver's address."""

POLL_SECONDS: Final = 1.0
LEASE: Final = MINUTE
"""How long a courier that says nothing keeps its work: there is one at a time."""

_LEASE_NAME: Final = "webhooks"
_RENEWALS: Final = 3  # a lease is renewed when a third of it has passed
_VISIT_MAX: Final = 100  # deliveries to one receiver before others are asked for anew
_ADDRESSES_MAX: Final = 3  # of one name that are tried
_SECRET_OCTETS: Final = 32
_INSIDE: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
"""Networks of one's own; nothing else that is not public is ever spoken to, such as a cloud's metadata."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last four octets are an IPv4 address

_log = structlog.get_logger(__name__)


def add(
    store: Store,
    url: str,
    kinds: Collection[Kind],
    who: str,
    now: Instant,
    *,
    campaign: int | None = None,
    inside: bool = False,
) -> Webhook:
    """Tell a receiver from now on; the answer bears the secret, which is shown to nobody again.

    inside  an administrator says that it is in our own network: it may have a loopback or private address,
            and be spoken to without TLS

    Raises `UsageError` for an address that is none, or that must not be spoken to.
    """
    if not kinds:
        raise UsageError("a webhook is told of one kind of thing at least")
    check_url(url, inside=inside)
    secret = secrets.token_urlsafe(_SECRET_OCTETS)
    return store.webhooks.add(url, kinds, secret, who, now, campaign=campaign, inside=inside)


def check_url(url: str, *, inside: bool) -> SplitResult:
    """The parts of a receiver's address; raises `UsageError` that says what is wrong with it."""
    shown = repr(url[:80])
    if not 0 < len(url) <= URL_MAX or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>'):
        raise UsageError(f"{shown} is no address: 1 to {URL_MAX} printable ASCII characters, and no space")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as cause:
        raise UsageError(f"{shown} is no address: {cause}") from cause
    if parts.scheme not in ({"http", "https"} if inside else {"https"}):
        raise UsageError(
            f"{shown}: a webhook's address begins with https:// (inside our network also http://)"
        )
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise UsageError(f"{shown}: expected https://HOST[:PORT]/PATH, with no user, password or fragment")
    with suppress(ValueError):  # a name: looked up at each delivery
        address = ipaddress.ip_address(parts.hostname)
        if not may_speak_to(str(address), inside=inside):
            raise UsageError(_closed(str(address)))
    return parts


def may_speak_to(address: str, *, inside: bool) -> bool:
    """Whether we post to this IP address: a public one, or where it is allowed one of our own network."""
    found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found.sixtofour is not None or found.teredo is not None:
            return False  # tunnels to an IPv4 address that we would have to trust
        elif found in _NAT64:
            found = ipaddress.IPv4Address(found.packed[-4:])
    if found.is_global and not found.is_multicast and not found.is_reserved:
        return True
    return inside and (found.is_loopback or any(found in network for network in _INSIDE))


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `Webhook-Signature`."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Courier:
    """Delivers: one thread, and a task for each webhook, so that a slow receiver delays no other.

    clock    the estate's, which in a rehearsal runs faster: retries go by it
    wall     the day's: timestamps go by it
    timeout  seconds for one attempt
    verify   whom to trust, over TLS

    Use `run` in the thread that is to do the work, or the courier as a context manager; `tick` does all that
    is due, once.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], Instant] = wall_clock,
        name: str = "",
        *,
        wall: Callable[[], Instant] = wall_clock,
        timeout: float = TIMEOUT_SECONDS,
        poll: float = POLL_SECONDS,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall = wall
        self._owner = owner_name(name)
        self._timeout = timeout
        self._poll = poll
        self._verify = verify
        self._held: tuple[Fence, Instant] | None = None
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # --- running

    def tick(self) -> int:
        """Gather, and try all that is due, once; how many webhooks were visited."""
        return asyncio.run(self._once())

    def run(self) -> None:
        """Deliver until stopped."""
        try:
            asyncio.run(self._forever())
        finally:
            self._release()

    def wake(self) -> None:
        """Something has happened: look now. From any thread."""
        loop, news = self._loop, self._news
        if loop is not None and news is not None:
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(news.set)

    def stop(self) -> None:
        """End soon. What is on its way is given up, and comes again. From any thread."""
        self._stopped.set()
        self.wake()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="courier", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        assert self._thread is not None
        self._thread.join()

    async def _once(self) -> int:
        async with self._client() as client:
            ready = await asyncio.to_thread(self._ready)
            if ready is None:
                return 0
            fence, hooks = ready
            await asyncio.gather(*(self._visit(client, fence, hook) for hook in hooks))
            return len(hooks)

    async def _forever(self) -> None:
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        visits: dict[int, asyncio.Task[None]] = {}
        async with self._client() as client:
            while not self._stopped.is_set():
                self._news.clear()
                visits = {number: task for number, task in visits.items() if not task.done()}
                ready = await asyncio.to_thread(self._looked)
                if ready is not None:
                    fence, hooks = ready
                    for hook in hooks:
                        if hook.id not in visits:
                            visits[hook.id] = asyncio.create_task(self._visited(client, fence, hook))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), self._poll)
            for task in visits.values():
                task.cancel()
            await asyncio.gather(*visits.values(), return_exceptions=True)

    def _client(self) -> httpx2.AsyncClient:
        # No connection is kept: two names may have one address, and a kept one would be taken for both.
        return httpx2.AsyncClient(
            verify=self._verify,
            trust_env=False,
            follow_redirects=False,
            timeout=self._timeout,
            limits=httpx2.Limits(max_keepalive_connections=0),
            headers={"User-Agent": f"lamplighter/{__version__}"},
        )

    # --- what is due

    def _looked(self) -> tuple[Fence, list[Webhook]] | None:
        try:
            return self._ready()
        except (SQLAlchemyError, LeaseLostError) as error:
            _log.warning("webhooks not looked at", reason=str(error))
        except Exception:  # noqa: BLE001 # a mistake of ours must not end all deliveries for good
            _log.exception("webhooks not looked at")
        self._held = None
        return None

    def _ready(self) -> tuple[Fence, list[Webhook]] | None:
        """What is to be visited, under our lease; None: nothing, or another courier does it."""
        hooks = self._store.webhooks.all()
        if not hooks:
            return None
        fence = self._hold()
        if fence is None:
            return None
        now = self._clock()
        self._store.webhooks.expire(fence, now)
        for hook in hooks:
            self._store.webhooks.gather(fence, hook.id, now)
        return fence, self._store.webhooks.due(now)

    def _hold(self) -> Fence | None:
        now = self._clock()
        if (held := self._held) is not None:  # once: a visit that failed may let go of it at this moment
            fence, since = held
            if 0 <= now - since < LEASE // _RENEWALS:
                return fence
        taken = self._store.leases.take(_LEASE_NAME, self._owner, now, LEASE)
        self._held = None if taken is None else (taken, now)
        return taken

    def _release(self) -> None:
        if self._held is not None:
            with suppress(SQLAlchemyError):
                self._store.leases.release(self._held[0])
            self._held = None

    # --- delivering

    async def _visited(self, client: httpx2.AsyncClient, fence: Fence, hook: Webhook) -> None:
        try:
            await self._visit(client, fence, hook)
        except (SQLAlchemyError, LeaseLostError) as error:
            _log.warning("delivery not noted", webhook=hook.id, reason=str(error))
            self._held = None
        except Exception:  # noqa: BLE001 # as above
            _log.exception("not delivered", webhook=hook.id)

    async def _visit(self, client: httpx2.AsyncClient, fence: Fence, hook: Webhook) -> None:
        """Deliver what waits for one webhook, until one attempt fails."""
        webhooks = self._store.webhooks
        for _ in range(_VISIT_MAX):
            delivery = await asyncio.to_thread(webhooks.next, hook.id)
            if delivery is None:
                return
            reason = await self._post(client, hook, delivery)
            if reason is not None:
                await asyncio.to_thread(webhooks.failed, fence, delivery, reason, self._clock())
                meters.DELIVERED.labels("failed").inc()
                _log.info("webhook failed", webhook=hook.id, delivery=delivery.id, reason=reason)
                return
            await asyncio.to_thread(webhooks.delivered, fence, delivery, self._clock())
            meters.DELIVERED.labels("delivered").inc()

    async def _post(self, client: httpx2.AsyncClient, hook: Webhook, delivery: Delivery) -> str | None:
        """One attempt; why it failed, or None."""
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._status(client, hook, delivery)
        except TimeoutError:
            return f"it did not answer within {self._timeout:g} seconds"
        except (UsageError, httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            return str(error) or type(error).__name__
        if 200 <= status < 300:
            return None
        more = ", and redirects are not followed" if 300 <= status < 400 else ""
        return f"it answered {status}{more}"

    async def _status(self, client: httpx2.AsyncClient, hook: Webhook, delivery: Delivery) -> int:
        parts = check_url(hook.url, inside=hook.inside)
        host = parts.hostname
        assert host is not None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        body = delivery.body.encode()
        timestamp = str(self._wall() // SECOND)
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "Webhook-Id": delivery.event,
            "Webhook-Timestamp": timestamp,
            "Webhook-Signature": sign(hook.secret, timestamp, body),
        }
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        failure: httpx2.TransportError | None = None
        for address in (await _addresses(host, port, inside=hook.inside))[:_ADDRESSES_MAX]:
            # To the very address that was looked at: the name may have another one a moment later.
            at = f"[{address}]" if ":" in address else address
            try:
                async with client.stream(
                    "POST",
                    f"{parts.scheme}://{at}:{port}{path}",
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": host},
                ) as answer:
                    return answer.status_code
            except httpx2.ConnectError as error:
                failure = error
        assert failure is not None
        raise failure


async def _addresses(host: str, port: int, *, inside: bool) -> list[str]:
    """The addresses of a name; raises `UsageError` where one must not be spoken to, or there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not may_speak_to(address, inside=inside):
            raise UsageError(_closed(address))
    if not addresses:
        raise UsageError(f"{host} has no address")
    return addresses


def _closed(address: str) -> str:
    return (
        f"{address} is no public address; an administrator can add a webhook that is inside our network, for "
        "loopback and private ones"
    )
