"""What the world and the evidence say at the end of a siege."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from lamplighter.campaign import Fact, Progress
from lamplighter.lab import homes
from lamplighter.lab.dcc.dsp import Requested
from lamplighter.lab.devices import events
from lamplighter.store import schema as s

from .estate import NEW_VERSION

if TYPE_CHECKING:
    from collections.abc import Collection

    from lamplighter.campaign import Stage
    from lamplighter.kit import Eui64, Instant
    from lamplighter.store import Store

_UPDATES = {"11.1", "11.4"}


class Sent(NamedTuple):
    """A Device in an update request that the DCC accepted."""

    counter: int
    device: str


def activations(lab: homes.Lab, devices: Collection[Eui64]) -> Counter[str]:
    """How often each of these has started the new firmware for the first time after running another one."""
    running: dict[str, object] = {}
    found: Counter[str] = Counter()
    names = set(map(str, devices))
    for event in lab.world.events:
        if isinstance(event.event, events.Booted) and event.source in names:
            if event.event.version == NEW_VERSION != running.get(event.source, homes.FACTORY_VERSION):
                found[event.source] += 1
            running[event.source] = event.event.version
    return found


def sent_with_effect(lab: homes.Lab) -> Counter[tuple[str, str]]:
    """How often the DCC accepted what bore each request id and response code."""
    return Counter(
        (str(event.event.id), event.event.code)
        for event in lab.world.events
        if isinstance(event.event, Requested) and event.event.refusal is None
    )


def sent_in_vain(lab: homes.Lab, devices: Collection[Eui64]) -> list[Sent]:
    """Accepted update requests for those of these that ran the new firmware by then."""
    names = set(map(str, devices))
    proven: set[str] = set()
    found: list[Sent] = []
    for _, source, event in lab.world.events:
        match event:
            case events.Booted(version=version) if version == NEW_VERSION:
                proven.add(source)
            case Requested(srv=srv, refusal=None) if srv in _UPDATES:
                sent = {str(device) for device in event.devices} & proven & names
                found += [Sent(event.id.counter, device) for device in sorted(sent)]
            case _:
                pass
    return found


def sent_between(lab: homes.Lab, devices: Collection[Eui64], after: Instant, before: Instant) -> list[Sent]:
    """Accepted update requests for any of these within a stretch of time."""
    return [
        Sent(event.id.counter, str(device))
        for at, _, event in lab.world.events
        if after < at < before and isinstance(event, Requested) and event.refusal is None
        if event.srv in _UPDATES
        for device in event.devices
        if device in devices
    ]


def ordered_between(
    store: Store, devices: Collection[Eui64], after: Instant, before: Instant
) -> list[tuple[Eui64, Instant]]:
    """Orders for any of these that were made within a stretch of time."""
    e, u = s.evidence.c, s.device_update.c
    query = (
        select(u.device, e.at)
        .join(s.evidence, e.device_update == u.id)
        .where(u.device.in_(devices), e.fact == Fact.ORDERED.name, e.at > after, e.at < before)
    )
    with store.database.reading() as connection:
        return [(device, at) for device, at in connection.execute(query)]


def stages(store: Store, devices: Collection[Eui64]) -> Counter[Stage]:
    """How many updates of these Devices stand at each stage, as the Supplier has it."""
    query = select(s.device_update.c.progress).where(s.device_update.c.device.in_(devices))
    with store.database.reading() as connection:
        return Counter(Progress(number).stage for number in connection.execute(query).scalars())


def refused(store: Store, devices: Collection[Eui64]) -> list[str]:
    """The codes with which the DCC refused a first attempt for these: it has no reason to."""
    facts = [Fact.REFUSED.name, Fact.ACTIVATION_REFUSED.name, Fact.READ_FAILED.name]
    query = (
        select(s.evidence.c.message)
        .join(s.device_update, s.device_update.c.id == s.evidence.c.device_update)
        .where(s.evidence.c.fact.in_(facts), s.device_update.c.device.in_(devices))
    )
    with store.database.reading() as connection:
        return list(connection.execute(query).scalars())
