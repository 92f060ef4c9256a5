"""A client of the REST API: thin, typed, and for programs that run beside Lamplighter.

    with Client("https://lamplighter.example", token) as lamp:
        for device in lamp.devices(status="Commissioned", region="North"):
            print(device["eui"], device["firmware"])

Answers are what the API says, as dictionaries with the keys of its OpenAPI document. Lists are iterators that
fetch page by page. Each act bears an Idempotency-Key of its own, so that it is tried again where the network
fails, and is done once. What the API refuses is an `ApiError`, whose `type` never changes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack, cast

import httpx2

from lamplighter import __version__
from lamplighter.kit import LamplighterError, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import BinaryIO, Self

PREFIX: Final = "/api/v1"
TRIES: Final = 3
"""Attempts where the network fails, or the server says that it cannot at this moment."""
DELIVERY_SECONDS_MAX: Final = 300
"""How old a webhook's delivery may be, and how far ahead of our clock."""
_PAUSE_SECONDS: Final = 0.5
_PAUSE_MAX: Final = 10.0
_TIMEOUT_SECONDS: Final = 30.0

Choice = Literal["approve", "reject", "abstain"]
Role = Literal["viewer", "operator", "approver", "administrator"]
Scope = Literal["read", "operate", "approve", "administer"]
Dimension = Literal["campaign", "region", "hub-model", "model", "wave", "stratum"]
EventKind = Literal["campaign", "wave", "gate", "device"]


class ApiError(LamplighterError):
    """What the API did not do, and why.

    type     a URI for this kind of problem, such as "urn:lamplighter:problem:not-found"
    status   the HTTP status
    detail   what happened, for people
    places   what is wrong in the request, where it is the request
    """

    def __init__(
        self, type_: str, status: int, title: str, detail: str, places: Iterable[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.type = type_
        self.status = status
        self.title = title
        self.detail = detail
        self.places = [dict(place) for place in places]


class DeliveryError(PeerError):
    """A webhook's delivery that must not be believed."""


# --- what is answered: the schemas of the OpenAPI document, which a test compares with these


class ReleaseLine(TypedDict):
    """A release in a list."""

    id: int
    name: str
    srv: str
    manufacturer: str
    version: str
    hash: str
    minimum_hardware: str
    maximum_hardware: str
    after: list[str]
    octets: int
    security: str | None
    withdrawn_at: str | None


class Checked(TypedDict):
    """A check, and how it went; None: it could not be made."""

    check: str
    passed: bool | None
    reason: str


class Release(ReleaseLine):
    """A release, opened up."""

    checks: list[Checked]
    cpl: list[dict[str, str]]
    verdicts: dict[str, int]
    fields: list[dict[str, Any]]
    campaigns: list[dict[str, Any]]


class AddedRelease(TypedDict):
    """A release that was registered."""

    release: ReleaseLine
    checks: list[Checked]


class DeviceLine(TypedDict):
    """A Device as the registry knows it."""

    eui: str
    type: str
    hub: str
    manufacturer: str
    model: str
    hardware: str
    firmware: str
    status: str
    gbcs_version: str
    part: str
    tag: str
    region: str
    hub_model: str
    hub_firmware: str
    hub_capable: bool | None


class Event(TypedDict):
    """A piece of evidence."""

    at: str
    attempt: int
    fact: str
    message: str
    cause: str
    detail: str
    version: str | None
    octets: int | None


class Journey(TypedDict):
    """A Device's way through one campaign."""

    campaign: int
    name: str
    version: str
    state: str
    cause: str
    attempt: int
    since: str
    waits_for: str
    timeline: list[Event]


class Device(TypedDict):
    """All that is known of one Device."""

    eui: str
    registry: DeviceLine | None
    journeys: list[Journey]


class NamedRelease(TypedDict):
    """A release, by name."""

    id: int
    name: str
    version: str


class CampaignLine(TypedDict):
    """A campaign in a list."""

    id: int
    name: str
    status: str
    release: NamedRelease
    digest: str
    created_by: str
    created_at: str
    started_at: str | None
    ended_at: str | None


class GivenApproval(TypedDict):
    """Somebody's word."""

    by: str
    at: str
    valid: bool


class GivenVote(GivenApproval):
    """Somebody's vote."""

    choice: Choice


class VoteCount(TypedDict):
    """How the vote of a board stands."""

    categories: list[dict[str, Any]]
    cast: int
    needed: int
    outcome: Choice
    approved: bool


class StratumLine(TypedDict):
    """Devices that are judged together."""

    name: str
    wave: str
    held: str | None
    ruling: str
    reason: str
    ordered: int
    proven: int
    failed: int
    silent: int
    in_flight: int
    failure_rate: float
    failure_interval: list[float]
    silence_rate: float
    harm: float
    harm_bound: float
    health: float
    health_bound: float
    states: dict[str, int]


class NextThing(TypedDict):
    """What happens next, or is waited for."""

    at: str | None
    what: str
    stratum: str
    person: bool


class Campaign(CampaignLine):
    """A campaign at one moment."""

    plan: dict[str, Any]
    approved: bool
    approvals: list[GivenApproval]
    votes: list[GivenVote]
    ballot: VoteCount | None
    devices: int
    states: dict[str, int]
    verdicts: dict[str, int]
    strata: list[StratumLine]
    next: list[NextThing]


class Range(TypedDict):
    """A value with its band."""

    low: int
    middle: int
    high: int


class Forecast(TypedDict):
    """What is expected."""

    made_at: str
    level: float
    devices: int
    seconds: list[int]
    low: list[int]
    middle: list[int]
    high: list[int]
    ends: Range
    failures: Range


class DryRun(TypedDict):
    """What a plan would do; nothing of it is kept."""

    name: str
    digest: str
    release: NamedRelease
    eligible: int
    verdicts: dict[str, int]
    groups: list[dict[str, Any]]
    strata: list[dict[str, Any]]
    waves: list[int]
    requests: dict[str, int]
    forecast: Forecast | None
    unforeseen: str


class Point(TypedDict):
    """So many were proven by then."""

    at: str
    proven: int


class Series(TypedDict):
    """How a campaign went."""

    campaign: int
    points: list[Point]
    alarmed_at: str | None
    states: dict[str, int]


class Letter(TypedDict):
    """A message that could not be applied."""

    id: int
    received_at: str
    code: str
    device: str | None
    stands_for: int
    octets: int
    since: str
    reason: str


class Replayed(TypedDict):
    """What came of reading dead letters again."""

    asked: int
    revived: int


class Dismissed(TypedDict):
    """What came of putting dead letters away."""

    dismissed: int


class MessageNode(TypedDict):
    """A field of a message, or what fields stand in."""

    name: str
    value: str
    meaning: str
    place: str
    passed: bool | None
    children: list[MessageNode]


class Message(TypedDict):
    """A message from the DCC, told."""

    id: int
    received_at: str
    code: str
    device: str | None
    dead: str | None
    tree: MessageNode


class Storm(TypedDict):
    """Alerts that come far too often."""

    id: int
    code: str
    manufacturer: str | None
    model: str | None
    hardware: str | None
    version: str | None
    device: str | None
    first_at: str
    last_at: str
    ended_at: str | None
    alerts: int
    throttled: int
    devices: int
    peak: int
    cured_by: int | None


class AuditEntry(TypedDict):
    """Something that was done."""

    id: int
    at: str
    who: str
    what: str
    campaign: int | None
    subject: str
    detail: str
    digest: str


class AuditHead(TypedDict):
    """The end of the audit's chain."""

    entries: int
    digest: str
    head: str


class Me(TypedDict):
    """Whose token it is, and what it is good for."""

    name: str
    roles: list[Role]
    scopes: list[Scope]


class Account(TypedDict):
    """Somebody who may come in."""

    name: str
    roles: list[Role]
    created_at: str
    disabled_at: str | None
    has_password: bool
    issuer: str | None


class Token(TypedDict):
    """What a program may do in somebody's name."""

    id: int
    account: str
    label: str
    scopes: list[Scope]
    created_at: str
    expires_at: str
    revoked_at: str | None
    used_at: str | None


class IssuedToken(TypedDict):
    """A token, and its secret: this once."""

    id: int
    secret: str | None


class Webhook(TypedDict):
    """A receiver, and what it is told of."""

    id: int
    url: str
    kinds: list[EventKind]
    campaign: int | None
    inside: bool
    created_by: str
    created_at: str
    failures: int
    due_at: str | None


class AddedWebhook(TypedDict):
    """A webhook, and its secret: this once."""

    webhook: Webhook
    secret: str | None


class Delivery(TypedDict):
    """One thing that a webhook was told, or is to be."""

    id: int
    webhook: int
    event: str
    kind: EventKind
    status: str
    attempts: int
    since: str
    tried_at: str | None
    reason: str | None
    body: str


class ReplayedDeliveries(TypedDict):
    """What came of asking for deliveries once more."""

    again: int


class Health(TypedDict):
    """Whether the API and its database answer."""

    status: str
    version: str


class DeviceFilter(TypedDict, total=False):
    """Which Devices are looked for; `sort` with a hyphen goes from the last to the first."""

    type: str
    manufacturer: str
    model: str
    hardware: str
    firmware: str
    status: str
    part: str
    region: str
    hub_model: str
    tag: str
    hub: str
    prefix: str
    sort: str


class Client:
    """The API at `url`, such as `https://lamplighter.example`, in the name of whose token it is.

    timeout    seconds for each request
    transport  another way to the server; for tests
    pause      seconds before the second attempt; twice as long before the third
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        transport: httpx2.BaseTransport | None = None,
        pause: float = _PAUSE_SECONDS,
    ) -> None:
        self._pause = pause
        self._http = httpx2.Client(
            base_url=url.rstrip("/") + PREFIX,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"lamplighter-client/{__version__}"},
            timeout=timeout,
            transport=transport,
        )

    def close(self) -> None:
        """Let go of all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- about this client

    def health(self) -> Health:
        """Whether the API and its database answer."""
        return cast("Health", self._get("/health"))

    def me(self) -> Me:
        """Whose token this is, and what it is good for."""
        return cast("Me", self._get("/me"))

    # --- releases

    def releases(self) -> Iterator[ReleaseLine]:
        """All releases, the oldest first."""
        return self._all("/releases")

    def release(self, number: int) -> Release:
        """One release, opened up."""
        return cast("Release", self._get(f"/releases/{number}"))

    def add_release(
        self,
        name: str,
        octets: bytes,
        *,
        after: Iterable[str] = (),
        security: str | None = None,
        srv: Literal["11.1", "11.4"] | None = None,
    ) -> AddedRelease:
        """Register an image: an OTA file, or the DUIS request that carries one.

        security  what it cures for security, a reference of one's own; None: nothing that is said
        """
        more = {"security": security, "srv": srv}
        given = {"name": name, "after": list(after)} | {key: it for key, it in more.items() if it is not None}
        return cast(
            "AddedRelease",
            self._act("POST", "/releases", params=given, octets=octets),
        )

    def mark_release(self, number: int, security: str | None) -> ReleaseLine:
        """Say what a release cures for security; None: nothing."""
        return cast("ReleaseLine", self._act("POST", f"/releases/{number}/mark", {"security": security}))

    def withdraw_release(self, number: int, reason: str = "") -> ReleaseLine:
        """Order nothing more of a release."""
        return cast("ReleaseLine", self._act("POST", f"/releases/{number}/withdraw", {"reason": reason}))

    # --- Devices

    def devices(self, *, page: int = 500, **wanted: Unpack[DeviceFilter]) -> Iterator[DeviceLine]:
        """Devices that are looked for."""
        return self._all("/devices", wanted, page)

    def device(self, eui: str) -> Device:
        """Where one Device is, how it came there, and what comes next."""
        return cast("Device", self._get(f"/devices/{eui}"))

    # --- campaigns

    def campaigns(self, status: str | None = None) -> Iterator[CampaignLine]:
        """All campaigns, the oldest first; or those that stand so."""
        return self._all("/campaigns", {} if status is None else {"status": status})

    def campaign(self, number: int) -> Campaign:
        """Where a campaign stands, and why."""
        return cast("Campaign", self._get(f"/campaigns/{number}"))

    def dry_run(self, plan: str, release: int) -> DryRun:
        """What a plan, in TOML, would do; nothing of it is kept."""
        given = {"plan": plan, "release": release}
        return cast("DryRun", self._answer("POST", "/campaigns/dry-run", json=given))

    def create_campaign(self, plan: str, release: int) -> Campaign:
        """Write down a draft."""
        return cast("Campaign", self._act("POST", "/campaigns", {"plan": plan, "release": release}))

    def revise_campaign(self, number: int, plan: str) -> Campaign:
        """Change the plan of a draft, which makes approvals and votes void."""
        return cast("Campaign", self._act("PUT", f"/campaigns/{number}/plan", {"plan": plan}))

    def approve_campaign(self, number: int, digest: str) -> Campaign:
        """Give one's word for what has this digest."""
        return cast("Campaign", self._act("POST", f"/campaigns/{number}/approvals", {"digest": digest}))

    def vote(self, number: int, choice: Choice, digest: str) -> Campaign:
        """Vote as a member of its board."""
        given = {"choice": choice, "digest": digest}
        return cast("Campaign", self._act("POST", f"/campaigns/{number}/votes", given))

    def start_campaign(self, number: int, reason: str = "") -> Campaign:
        """Start an approved draft."""
        return self._do(number, "start", reason)

    def pause_campaign(self, number: int, reason: str = "") -> Campaign:
        """Order nothing more for now."""
        return self._do(number, "pause", reason)

    def resume_campaign(self, number: int, reason: str = "") -> Campaign:
        """Go on with a paused campaign."""
        return self._do(number, "resume", reason)

    def abort_campaign(self, number: int, reason: str = "") -> Campaign:
        """End a campaign for good."""
        return self._do(number, "abort", reason)

    def release_hold(self, number: int, stratum: str, reason: str = "") -> Campaign:
        """Let a held stratum go on; its failures so far are pardoned."""
        given = {"stratum": stratum, "reason": reason}
        return cast("Campaign", self._act("POST", f"/campaigns/{number}/release-hold", given))

    def call_off(
        self, number: int, stratum: str | None = None, device: str | None = None, reason: str = ""
    ) -> Campaign:
        """Call off activations of a paused campaign that are dated ahead."""
        given = {"stratum": stratum, "device": device, "reason": reason}
        return cast("Campaign", self._act("POST", f"/campaigns/{number}/call-off", given))

    def series(self, number: int) -> Series:
        """How many were proven when."""
        return cast("Series", self._get(f"/campaigns/{number}/series"))

    def forecast(self, number: int) -> Forecast:
        """The latest forecast of a campaign."""
        return cast("Forecast", self._get(f"/campaigns/{number}/forecast"))

    def _do(self, number: int, act: str, reason: str) -> Campaign:
        return cast("Campaign", self._act("POST", f"/campaigns/{number}/{act}", {"reason": reason}))

    # --- the record

    def dead_letters(self) -> Iterator[Letter]:
        """Messages that could not be applied."""
        return self._all("/dead-letters")

    def replay_dead_letters(self, ids: Iterable[int]) -> Replayed:
        """Read dead letters again."""
        return cast("Replayed", self._act("POST", "/dead-letters/replay", {"ids": list(ids)}))

    def dismiss_dead_letters(self, ids: Iterable[int], reason: str) -> Dismissed:
        """Put dead letters away for good that are nobody's fault."""
        return cast(
            "Dismissed", self._act("POST", "/dead-letters/dismiss", {"ids": list(ids), "reason": reason})
        )

    def message(self, number: int) -> Message:
        """A message with every field, and what its signatures are worth."""
        return cast("Message", self._get(f"/messages/{number}"))

    def storms(self, *, active: bool | None = None, device: str | None = None) -> Iterator[Storm]:
        """Alert storms, the earliest first."""
        given = {} if active is None else {"active": str(active).lower()}
        return self._all("/storms", given | ({} if device is None else {"device": device}))

    def metrics(
        self,
        campaign: int | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        by: Dimension | Iterable[Dimension] = (),
    ) -> dict[str, Any]:
        """What came of the updates of a campaign, or of all, first ordered from a day on and before another.

        start, end  such as "2026-11-24", UTC
        by          what is grouped by; none: region, hub-model, model and wave
        """
        given = {
            "campaign": campaign,
            "from": start,
            "to": end,
            "by": [by] if isinstance(by, str) else list(by),
        }
        wanted = {name: value for name, value in given.items() if value}
        return cast("dict[str, Any]", self._get("/reports/metrics", wanted))

    def audit(
        self, *, campaign: int | None = None, who: str | None = None, what: str | None = None
    ) -> Iterator[AuditEntry]:
        """What was done, by whom, in its order."""
        given = {"campaign": campaign, "who": who, "what": what}
        return self._all("/audit", {name: str(value) for name, value in given.items() if value is not None})

    def audit_head(self) -> AuditHead:
        """The end of the audit's chain: keep it somewhere else."""
        return cast("AuditHead", self._get("/audit/head"))

    def export_audit(self, file: BinaryIO, after: int = 0) -> None:
        """Write the audit as JSON lines, to be checked by `lamplighter audit verify`."""
        with self._http.stream("GET", "/audit/export", params={"after": after}) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _problem(answer)
            file.writelines(answer.iter_bytes())

    # --- people

    def accounts(self) -> Iterator[Account]:
        """All accounts."""
        return self._all("/accounts")

    def create_account(self, name: str, roles: Iterable[Role], password: str | None = None) -> Account:
        """Let somebody in."""
        given = {"name": name, "roles": list(roles), "password": password}
        return cast("Account", self._answer("POST", "/accounts", json=given, tries=1))

    def set_roles(self, name: str, roles: Iterable[Role]) -> Account:
        """What somebody may do from now on."""
        return cast("Account", self._answer("PUT", f"/accounts/{name}/roles", json={"roles": list(roles)}))

    def set_password(self, name: str, password: str) -> None:
        """Another password, which ends all sessions of that name."""
        self._answer("PUT", f"/accounts/{name}/password", json={"password": password})

    def disable_account(self, name: str) -> Account:
        """Keep somebody out."""
        return cast("Account", self._answer("POST", f"/accounts/{name}/disable"))

    def enable_account(self, name: str) -> Account:
        """Let somebody in again."""
        return cast("Account", self._answer("POST", f"/accounts/{name}/enable"))

    def tokens(self, account: str | None = None) -> Iterator[Token]:
        """One's own tokens, or somebody's; the latest first."""
        return self._all("/tokens", {} if account is None else {"account": account})

    def issue_token(self, account: str, label: str, scopes: Iterable[Scope], days: int) -> IssuedToken:
        """A token for somebody's program; the answer alone has its secret."""
        given = {"account": account, "label": label, "scopes": list(scopes), "days": days}
        return cast("IssuedToken", self._act("POST", "/tokens", given))

    def revoke_token(self, number: int) -> None:
        """Let a token be good for nothing from now on."""
        self._answer("DELETE", f"/tokens/{number}")

    # --- webhooks

    def webhooks(self) -> Iterator[Webhook]:
        """Who is told of what."""
        return self._all("/webhooks")

    def webhook(self, number: int) -> Webhook:
        """One webhook."""
        return cast("Webhook", self._get(f"/webhooks/{number}"))

    def add_webhook(
        self, url: str, kinds: Iterable[EventKind], *, campaign: int | None = None, inside: bool = False
    ) -> AddedWebhook:
        """Tell a receiver from now on; the answer alone has its secret."""
        given = {"url": url, "kinds": list(kinds), "campaign": campaign, "inside": inside}
        return cast("AddedWebhook", self._act("POST", "/webhooks", given))

    def remove_webhook(self, number: int) -> None:
        """Tell it nothing more."""
        self._answer("DELETE", f"/webhooks/{number}")

    def deliveries(self, webhook: int, status: str | None = None) -> Iterator[Delivery]:
        """What it was told, the latest first."""
        return self._all(f"/webhooks/{webhook}/deliveries", {} if status is None else {"status": status})

    def replay_deliveries(self, webhook: int, ids: Iterable[int]) -> ReplayedDeliveries:
        """Deliver once more, in their order."""
        return cast(
            "ReplayedDeliveries", self._act("POST", f"/webhooks/{webhook}/replay", {"ids": list(ids)})
        )

    # --- inside

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._answer("GET", path, params=params)

    def _all(self, path: str, params: Mapping[str, Any] | None = None, page: int = 500) -> Iterator[Any]:
        given = dict(params or {}) | {"limit": page}
        while True:
            answer = self._get(path, given)
            yield from answer["items"]
            if answer["next"] is None:
                return
            given["cursor"] = answer["next"]

    def _act(
        self,
        method: str,
        path: str,
        json: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        octets: bytes | None = None,
    ) -> Any:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        if octets is not None:
            headers["Content-Type"] = "application/octet-stream"
        return self._answer(method, path, params=params, json=json, octets=octets, headers=headers)

    def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        octets: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        tries: int = TRIES,
    ) -> Any:
        """Ask, and again where the network fails: what is asked does nothing twice."""
        pause = self._pause
        for left in range(tries - 1, -1, -1):
            try:
                answer = self._http.request(
                    method, path, params=params, json=json, content=octets, headers=headers
                )
            except httpx2.TransportError:
                if not left:
                    raise
            else:
                if answer.status_code != 503 or not left:
                    break
                pause = max(pause, _seconds(answer.headers.get("retry-after")))
            time.sleep(min(pause, _PAUSE_MAX))
            pause *= 2
        if not answer.is_success:
            raise _problem(answer)
        return answer.json() if answer.content else None


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdecimal() and len(text) < 6 else 0.0


def _problem(answer: httpx2.Response) -> ApiError:
    """What was answered, as an error; also where it is no problem of ours, but a proxy's page."""
    try:
        found = answer.json()
        return ApiError(
            found["type"], answer.status_code, found["title"], found["detail"], found.get("places") or ()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError("about:blank", answer.status_code, f"HTTP {answer.status_code}", answer.reason_phrase)


# --- webhooks


def verify_delivery(
    secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None
) -> dict[str, Any]:
    """What a webhook tells, once it is known to come from whom the secret is shared with.

    headers  of the request; in capitals or not
    now      seconds since 1970; None: by this machine's clock

    Keep the `id` of what you have acted on: the same comes again where your answer was lost. Raises
    `DeliveryError`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        raise DeliveryError("Webhook-Timestamp: expected seconds since 1970")
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    signature = given.get("webhook-signature", "")
    if not hmac.compare_digest(f"v1={digest}".encode(), signature.encode("utf-8", "replace")):
        raise DeliveryError("Webhook-Signature: it is not that of this timestamp and body")
    age = (time.time() if now is None else now) - int(stamp)
    if abs(age) > DELIVERY_SECONDS_MAX:
        raise DeliveryError(
            f"Webhook-Timestamp: {age:.0f} seconds old, and at most {DELIVERY_SECONDS_MAX} are allowed"
        )
    told: dict[str, Any] = json.loads(body)
    if told.get("id") != given.get("webhook-id"):
        raise DeliveryError("Webhook-Id: it is not the id in the body")
    return told
