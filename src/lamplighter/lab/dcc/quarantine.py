"""Anomaly detection: requests beyond a threshold are held back until somebody at the DCC decides.

Three limits, each with its alert: what one User may ask of a service in a period, what all Users together
may, and how many Devices one request may name. Only what goes out to homes is counted: SRV 11.1, 11.2, 11.4
and the signed command of 11.3, not the transform and not 8.2, which are answered at once. What is held back
is not counted, and neither is it when it is released. The counting rule for long lists is not published, and
is a setting. A held request stays until it is released or deleted by hand.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from lamplighter.kit import UsageError
from lamplighter.kit.instant import DAY
from lamplighter.protocol import duis
from lamplighter.protocol.duis import Breach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.kit import Eui64, Instant

COUNTED: Final[dict[type, str]] = {
    duis.UpdateFirmware: "11.1",
    duis.ReadFirmwareVersion: "11.2",
    duis.SignedPreCommand: "11.3",
    duis.UpdatePpmidFirmware: "11.4",
}
"""The service reference of each request that is counted."""


_Key: TypeAlias = "tuple[Eui64 | None, str]"


class Counting(Enum):
    """What a request to many Devices counts as."""

    REQUESTS = "one"
    DEVICES = "as many as it names"


@dataclass(frozen=True, slots=True)
class Threshold:
    """How much is not yet an anomaly."""

    most: int
    """The highest count in a period that passes."""
    period: int = DAY
    """Microseconds."""


@dataclass(frozen=True, slots=True)
class AnomalyLimits:
    """The thresholds that hold from the start; by default there are none."""

    by_user: Mapping[tuple[Eui64, str], Threshold] = field(default_factory=dict)
    """For a User and a service reference, as the User notified it: breach gives N46."""
    by_service: Mapping[str, Threshold] = field(default_factory=dict)
    """For a service reference, over all Users: breach gives N47."""
    devices_most: Mapping[str, int] = field(default_factory=dict)
    """For a service reference, how many Devices one request may name: breach gives N48."""
    counting: Counting = Counting.DEVICES
    """How a request to many Devices counts; an assumption."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A request that is held back; also the event that it was."""

    reference: str
    """The DCC's reference of the event, digits: what to release or delete it by."""
    request: duis.Request
    """The request, admitted and not yet served."""
    breach: Breach
    """Which limit it ran into."""


class _Tally:
    """What has passed within a period; what is older is forgotten."""

    __slots__ = ("_passed", "_total")

    def __init__(self) -> None:
        self._passed: deque[tuple[Instant, int]] = deque()
        self._total = 0

    def count(self, period: int, now: Instant) -> int:
        """How much has passed in the period that ends now."""
        while self._passed and self._passed[0][0] + period <= now:
            self._total -= self._passed.popleft()[1]
        return self._total

    def add(self, weight: int, now: Instant) -> None:
        """So much passes."""
        self._passed.append((now, weight))
        self._total += weight


class Quarantine:
    """What has passed of late, and what is held back."""

    __slots__ = ("_held", "_limits", "_references", "_tallies", "_thresholds")

    def __init__(self, limits: AnomalyLimits) -> None:
        self._limits = limits
        self._thresholds = dict(limits.by_user)
        self._tallies: dict[_Key, _Tally] = {}
        self._held: dict[str, Quarantined] = {}
        self._references = 0

    @property
    def held(self) -> tuple[Quarantined, ...]:
        """What waits for a decision, the oldest first."""
        return tuple(self._held.values())

    def set_threshold(self, user: Eui64, srv: str, threshold: Threshold | None) -> None:
        """A User notifies the DCC of its threshold for a service; None: no longer any."""
        if threshold is None:
            self._thresholds.pop((user, srv), None)
        else:
            self._thresholds[user, srv] = threshold

    def inspect(self, request: duis.Request, now: Instant) -> Quarantined | None:
        """Let an admitted request pass and count it, or hold it back."""
        srv = COUNTED.get(type(request.body))
        if srv is None:
            return None
        match request.body:
            case duis.UpdateFirmware(devices=devices) | duis.UpdatePpmidFirmware(devices=devices):
                named = len(devices)
            case _:
                named = 1
        if named > self._limits.devices_most.get(srv, named):
            return self._hold(request, Breach.ATTRIBUTE_LIMITS)
        weight = named if self._limits.counting is Counting.DEVICES else 1
        bounds = self._bounds(request.id.originator, srv)
        for key, threshold, breach in bounds:
            if self._tallies.setdefault(key, _Tally()).count(threshold.period, now) + weight > threshold.most:
                return self._hold(request, breach)
        for key, _, _ in bounds:
            self._tallies[key].add(weight, now)
        return None

    def take(self, reference: str) -> Quarantined:
        """Give a request that was held back, which is held no longer."""
        try:
            return self._held.pop(reference)
        except KeyError:
            raise UsageError(f"nothing is held back under {reference}") from None

    def _bounds(self, user: Eui64, srv: str) -> list[tuple[_Key, Threshold, Breach]]:
        bounds = (
            ((user, srv), self._thresholds.get((user, srv)), Breach.USER_THRESHOLD),
            ((None, srv), self._limits.by_service.get(srv), Breach.DCC_THRESHOLD),
        )
        return [(key, threshold, breach) for key, threshold, breach in bounds if threshold is not None]

    def _hold(self, request: duis.Request, breach: Breach) -> Quarantined:
        self._references += 1
        held = self._held[str(self._references)] = Quarantined(str(self._references), request, breach)
        return held
