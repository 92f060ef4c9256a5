"""Activations dated to a quiet hour, called off before it or late for it: real octets; the lab's DCC, hubs.

The Supplier and the lab meet at the DCC's services alone; nights pass in seconds on the lab's clock.
"""

from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import update

from lamplighter.campaign import Stage
from lamplighter.campaign.plan import Wave
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.campaign.windows import Kind, Window
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.lab import homes
from lamplighter.lab.devices import events
from lamplighter.lab.faults import Scheduled
from lamplighter.protocol import duis
from lamplighter.registry import DeviceType
from lamplighter.service.office import Office
from lamplighter.service.people import Person, Role, Scope
from lamplighter.store import Store
from lamplighter.store import schema as s

from .estate import NEW_VERSION, Supplier, begin, plan, register
from .test_chaos import stages_of

SWITCHES = DeviceType.HCALCS
NIGHTLY = replace(
    plan(SWITCHES, activation="3d", acceptable=0.05, most=0.5),
    waves=(Wave("everyone", 1.0),),
    activate_at=(120, 240),
)
OPERATOR = Person("operator", frozenset({Role.OPERATOR}), frozenset(Scope))


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


class Night:
    """A campaign for all HCALCSs of a lab; half of them are of a kind of their own to the plan."""

    def __init__(self, store, seed, *, count=6, faults=(), **changes):
        self.lab = homes.build_world(seed, count, faults=faults)
        self.store = store
        self.supplier = Supplier(self.lab, store)
        releases = register(store, self.lab, [SWITCHES])
        self.switches = [home.hcalcs for home in self.lab.homes]
        self.kinds = {eui: "AB"[number % 2] for number, eui in enumerate(self.switches)}
        tagged = [
            replace(device, cohort=replace(device.cohort, tag=self.kinds[eui]))
            for eui in self.switches
            if (device := store.registry.device(eui)) is not None
        ]
        store.registry.put_devices(tagged)
        plan_ = replace(NIGHTLY, **changes)
        self.campaign = begin(store, releases[SWITCHES], plan_, self.lab.world.now)

    def until(self, stages, hours=48):
        """Let time pass until all stand in these stages."""
        for _ in range(hours * 6):
            self.supplier.settle()
            found = stages_of(self.store)
            if len(found) == len(self.switches) and set(found.values()) <= stages:
                return found
            self.supplier.wait(10 * MINUTE)
        raise AssertionError(f"they never stand in {stages}: {found}")

    def pass_(self, length):
        """Let time pass, and take what comes."""
        end = Instant(self.lab.world.now + length)
        while self.lab.world.now < end:
            self.supplier.settle()
            self.supplier.wait(HOUR)
        self.supplier.settle()

    def act(self, act):
        self.store.campaigns.act(self.campaign, act, "operator", self.lab.world.now)

    def hold(self, name):
        """What the gate does when it has seen enough."""
        with self.store.database.writing() as connection:
            connection.execute(
                update(s.stratum)
                .where(s.stratum.c.name == name)
                .values(held_at=self.lab.world.now, held_because="it does harm")
            )

    def runs(self, kind=None):
        """How many run the new version."""
        mine = [eui for eui in self.switches if kind in {None, self.kinds[eui]}]
        return sum(version == NEW_VERSION for version in self.supplier.truth(mine).values())

    def holds_image(self):
        """The Devices that hold an image which is not activated, and no order to activate it."""
        found = set()
        for eui in self.switches:
            flash = self.lab.world.node(eui).flash
            if flash.held is not None and flash.record.order is None:
                found.add(eui)
        return found

    def commands(self):
        """(Device, counter, execution) of each SRV 11.3, in turn; how often each was sent the image."""
        commands, images = [], Counter()
        ring = self.lab.ring
        for _, octets in self.supplier.transport.requests:
            request = duis.open_request(octets, ring, now=None).message
            match request.body:
                case duis.ActivateFirmware(execution=execution):
                    commands.append((request.id.target, request.id.counter, execution))
                case duis.UpdateFirmware(devices=devices):
                    images.update(devices)
        return commands, images


def test_a_campaign_that_is_aborted_before_the_hour_activates_nothing(store):
    """Each Device is told not to, under a higher counter; it keeps the image; the campaign ends cancelled."""
    night = Night(store, "abort")
    night.until({Stage.ACTIVATION_SCHEDULED})
    night.act(Act.ABORT)
    night.until({Stage.CANCELLED})
    night.supplier.settle()
    assert CampaignStatus.ABORTED is store.campaigns.find(night.campaign).status
    night.pass_(2 * DAY)
    assert (0, set(night.switches)) == (night.runs(), night.holds_image())
    commands, images = night.commands()
    first, second = commands[: len(night.switches)], commands[len(night.switches) :]
    assert dict.fromkeys(night.switches, duis.CANCEL) == {eui: at for eui, _, at in second}
    counters = {eui: counter for eui, counter, _ in first}
    assert all(counters[eui] < counter for eui, counter, _ in second)
    assert {1} == set(images.values())
    assert [] == store.record.recount(night.campaign)


def test_a_stratum_that_is_held_before_the_hour_does_not_activate_and_the_others_do(store):
    """Bad news in the evening: that kind keeps its firmware. Released, it goes the next night."""
    night = Night(store, "held", stratify=("tag",))
    night.until({Stage.ACTIVATION_SCHEDULED})
    night.hold("tag=A")
    night.pass_(DAY)
    assert (0, 3) == (night.runs("A"), night.runs("B"))
    stages = stages_of(store)
    kinds = {night.kinds[eui]: stages[eui] for eui in night.switches}
    assert {"A": Stage.CALLED_OFF, "B": Stage.PROVEN} == kinds
    assert {eui for eui in night.switches if night.kinds[eui] == "A"} == night.holds_image()

    now = night.lab.world.now
    store.campaigns.release_hold(night.campaign, "tag=A", "operator", now, "harmless after all")
    night.until({Stage.PROVEN})
    assert len(night.switches) == night.runs()
    commands, images = night.commands()
    again = [at for eui, _, at in commands if night.kinds[eui] == "A"][-3:]
    assert {2, 3} >= {(at - at // DAY * DAY) // HOUR for at in again}, "in the quiet hour"
    assert all(at > now for at in again)
    assert {1} == set(images.values())
    assert [] == store.record.recount(night.campaign)


def test_a_gate_that_sees_harm_within_the_hour_spares_those_whose_time_is_to_come(store):
    """Firmware that says that it is another version: the first of the night fail, the rest keep theirs."""
    wrong = Scheduled("wrong-version-firmware", parameters={"version": "01000000"})
    evening = Window(20 * 60, 23 * 60, kinds=frozenset({Kind.ACTIVATE}))  # all are ordered together
    night = Night(store, "harm", count=12, faults=[wrong], call_off_ahead=2 * MINUTE, windows=(evening,))
    night.until({Stage.ACTIVATION_SCHEDULED})
    night.until({Stage.FAILED, Stage.CALLED_OFF})
    night.pass_(DAY)
    stages = Counter(stages_of(store).values())
    spared = {eui for eui, stage in stages_of(store).items() if stage is Stage.CALLED_OFF}
    assert {Stage.FAILED, Stage.CALLED_OFF} == set(stages)
    assert stages[Stage.CALLED_OFF] >= 4
    assert spared == night.holds_image()
    assert store.campaigns.view(store.campaigns.find(night.campaign), night.lab.world.now).strata[0].held


def test_a_pause_leaves_activations_and_an_operator_calls_them_off(store):
    """One by hand, then all; after the pause they activate in the night that comes."""
    night = Night(store, "pause")
    night.until({Stage.ACTIVATION_SCHEDULED})
    night.act(Act.PAUSE)
    office = Office(store, clock=night.supplier.clock)
    first, *others = night.switches
    assert 1 == office.call_off(OPERATOR, night.campaign, device=first, reason="a complaint")
    night.pass_(DAY)
    assert {first} == night.holds_image()
    assert len(others) == night.runs()
    night.act(Act.RESUME)
    night.until({Stage.PROVEN})
    _, images = night.commands()
    assert (len(night.switches), {1}) == (night.runs(), set(images.values()))


def test_a_word_that_comes_too_late_is_overruled_by_what_the_device_runs(store):
    """We are out from before the hour until after it: what has activated is proven, though aborted."""
    night = Night(store, "late", call_off_ahead=MINUTE)
    night.until({Stage.ACTIVATION_SCHEDULED})
    commands, _ = night.commands()
    due = min(at for _, _, at in commands)
    world = night.lab.world
    while world.now < due - 2 * MINUTE:
        night.supplier.settle()
        night.supplier.wait(due - 2 * MINUTE - world.now)
    night.act(Act.ABORT)
    night.supplier.reconciler.tick_records()  # decided in time, and not sent: our own outage
    world.run_until(Instant(due + HOUR))
    night.until({Stage.PROVEN, Stage.CANCELLED}, hours=24 * 7)
    stages = stages_of(store)
    truth = night.supplier.truth(night.switches)
    assert {eui: stage is Stage.PROVEN for eui, stage in stages.items()} == {
        eui: version == NEW_VERSION for eui, version in truth.items()
    }
    assert Stage.PROVEN in stages.values()


def test_activations_that_the_dcc_was_away_for_wait_for_the_next_quiet_hour(store):
    """From ten at night to eight in the morning nobody can send: no switch reboots at breakfast."""
    midnight = Instant(homes.START - homes.START % DAY + DAY)
    away = Scheduled("dcc-outage", Instant(midnight - 2 * HOUR), Instant(midnight + 8 * HOUR))
    late = Window(21 * 60 + 59, 22 * 60 + 30, kinds=frozenset({Kind.ACTIVATE}))  # as it goes away
    night = Night(store, "away", faults=[away], windows=(late,))
    night.until({Stage.PROVEN})
    booted = [
        at
        for at, source, event in night.lab.world.events
        if isinstance(event, events.Booted)
        and event.version == NEW_VERSION
        and source in map(str, night.switches)
    ]
    assert [(midnight // DAY + 1, True)] * 6 == [(at // DAY, 2 <= at % DAY // HOUR < 4) for at in booted]
    commands, images = night.commands()  # with those that the DCC was not there for
    assert {1} == {at // DAY - midnight // DAY for _, _, at in commands[-len(night.switches) :]}
    assert {1} == set(images.values())
    assert [] == store.record.recount(night.campaign)
