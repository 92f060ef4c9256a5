"""A HAN link between one OTA client and one OTA server, on a virtual clock: it loses, repeats and delays."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from lamplighter.kit import FirmwareVersion, Instant
from lamplighter.protocol import zigbee

if TYPE_CHECKING:
    from random import Random

    from lamplighter.kit import Step

NOW = Instant(1_900_000_000_000_000)
OLD = zigbee.ImageId(0x121D, 0x0084, FirmwareVersion(0x01000000))
NEW = zigbee.ImageId(0x121D, 0x0084, FirmwareVersion(0x02000000))
HARDWARE = 0x0101
FILE = bytes(range(256)) * 4 + b"the end"


def client(**options: Any) -> zigbee.OtaClient:
    return zigbee.OtaClient(OLD, HARDWARE, **{"slot": 4096, "block": 64, **options})


def offer(octets: bytes = FILE, *, delay: int | None = 0, hardware: tuple[int, int] = (0x0100, 0x0200)):
    return zigbee.Offer(NEW, octets, *hardware, delay=delay)


@dataclass
class Link:
    """Chances are in 0..1; `latest` is the longest delay in microseconds."""

    random: Random
    loss: float = 0.0
    repeat: float = 0.0
    latest: int = 0
    good: bool = True
    """The client's holder accepts what it fetched."""

    now: Instant = NOW
    heard: list[Any] = field(default_factory=list)
    """Events of both ends, in order."""

    steps: int = 0

    def run(
        self, device: zigbee.OtaClient, hub: zigbee.OtaServer, first: Step, budget: int = 200_000
    ) -> None:
        """Carry frames and wake both ends until nothing is left to do."""
        order = count()
        air: list[tuple[Instant, int, Any, bytes]] = []

        def took(actor: Any, step: Step) -> None:
            assert step.wake == actor.due
            peer = hub if actor is device else device
            for octets in step.send:
                if self.random.random() < self.loss:
                    continue
                for _ in range(2 if self.random.random() < self.repeat else 1):
                    at = Instant(self.now + self.random.randint(0, self.latest))
                    heapq.heappush(air, (at, next(order), peer, octets))
            for event in step.events:
                self.heard.append(event)
                if isinstance(event, zigbee.Fetched):
                    took(device, device.accept(self.now) if self.good else device.reject())

        took(hub, first)
        while True:
            alarms = [(actor.due, actor) for actor in (device, hub) if actor.due is not None]
            alarm = min(alarms, key=lambda pair: pair[0], default=None)
            if not air and alarm is None:
                return
            self.steps += 1
            assert self.steps < budget, "the conversation does not end"
            if air and (alarm is None or air[0][0] <= alarm[0]):
                self.now, _, actor, octets = heapq.heappop(air)
                took(actor, actor.receive(octets, self.now))
            else:
                assert alarm is not None
                self.now = max(self.now, alarm[0])
                took(alarm[1], alarm[1].wake(self.now))

    def of(self, *kinds: type) -> list[Any]:
        """The events of these kinds."""
        return [event for event in self.heard if isinstance(event, kinds)]


OUTCOMES = (zigbee.Delivered, zigbee.HardwareMismatch, zigbee.NotNeeded, zigbee.Undelivered)
