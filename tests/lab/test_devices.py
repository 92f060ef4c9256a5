"""PPMID and HCALCS: orders obeyed and refused, future-dated activation, power cuts, and attacks by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Step
from lamplighter.kit.instant import DAY, HOUR, MINUTE, Instant
from lamplighter.lab.devices import (
    BOOT_TIME,
    Booted,
    ByHub,
    Darkened,
    Discarded,
    Flash,
    Kept,
    Maker,
    Pending,
    Ppmid,
    Refused,
    RolledBack,
)
from lamplighter.lab.devices import device as device_machine
from lamplighter.lab.devices import flash as flash_machine
from lamplighter.lab.wire import Cluster, HanFrame
from lamplighter.protocol import gbcs, zigbee
from lamplighter.protocol import image as images
from lamplighter.protocol.gbcs import ActivationResult, AlertCode, Outcome

from .home import (
    ACB,
    AT_ACB,
    AT_PPMID,
    FACTORY,
    FOR_HCALCS,
    FOR_PPMID,
    HCALCS,
    HUB,
    MAKER,
    NEW,
    NOW,
    OLD,
    PKI,
    PLATES,
    PPMID,
    RIVAL,
    RIVAL_SIGNER,
    SEALER,
    SIGNER,
    SUPPLIER,
    Home,
    activate,
    build,
    read_version,
)


@pytest.fixture
def holding() -> Home:
    """An HCALCS that holds the new image."""
    home = Home()
    home.send(FOR_HCALCS, HCALCS)
    home.run()
    assert [Kept(NEW, FOR_HCALCS.hash)] == home.of(Kept)
    home.wan.clear()
    return home


def _checks(home: Home) -> list[str]:
    return [event.error.check for event in home.of(Refused)]


# Activation of an HCALCS (CS06)


def test_the_answer_repeats_the_counter_and_bears_time_and_signature(holding) -> None:
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 1000))
    holding.run()
    (frame,) = holding.wan
    answer = gbcs.open_message(frame.octets, AT_ACB, broker=ACB).message
    assert (1000, HCALCS, SUPPLIER) == (answer.counter, answer.originator, answer.recipient)
    assert 12 == len(answer.date_time)


@pytest.mark.parametrize(
    ("image_hash", "result"),
    [(FOR_HCALCS.hash, ActivationResult.SUCCESS), (ImageHash(bytes(32)), ActivationResult.HASH_MISMATCH)],
)
def test_activation_at_once(holding, image_hash, result) -> None:
    holding.tell(HCALCS, activate(image_hash, 1))
    holding.run()
    version = NEW if result is ActivationResult.SUCCESS else OLD
    assert [gbcs.Cs06Response(result, version)] == holding.said()


def test_activation_without_an_image_is_result_1() -> None:
    home = Home()
    home.run(MINUTE)
    home.tell(HCALCS, activate(FOR_HCALCS.hash, 1))
    home.run()
    assert [gbcs.Cs06Response(ActivationResult.NO_IMAGE_HELD, OLD)] == home.said()


def test_an_image_that_does_not_boot_is_result_3_and_the_old_one_runs_on() -> None:
    unsealed = images.sign_supplier(build(HCALCS, sealer=None), SIGNER)
    home = Home()
    home.send(unsealed, HCALCS)
    home.run()
    home.tell(HCALCS, activate(unsealed.hash, 1))
    home.run()
    assert gbcs.Cs06Response(ActivationResult.ACTIVATION_FAILURE, OLD) == home.said()[-1]
    assert 1 == len(home.of(RolledBack))


def test_an_activation_dated_in_the_future_is_accepted_and_told_by_alert(holding) -> None:
    at = Instant(NOW + 2 * DAY)
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 9, at))
    holding.run()
    assert [gbcs.Cs06Accepted()] == holding.said()
    assert OLD == holding.nodes[HCALCS].version
    holding.run(3 * DAY)
    alert = holding.said()[-1]
    assert gbcs.OutcomeAlert(
        AlertCode.FUTURE_DATED_SUCCESS, Instant(at + BOOT_TIME), 9, ActivationResult.SUCCESS, NEW
    ) == replace(alert)


def test_a_future_dated_activation_of_another_image_fails_by_alert(holding) -> None:
    at = Instant(NOW + 2 * DAY)
    holding.tell(HCALCS, activate(ImageHash(bytes(32)), 9, at))
    holding.run(3 * DAY)
    failure = gbcs.OutcomeAlert(AlertCode.FUTURE_DATED_FAILURE, at, 9, ActivationResult.HASH_MISMATCH, OLD)
    assert [gbcs.Cs06Accepted(), failure] == holding.said()
    assert [None] == [holding.flashes[HCALCS].record.order]


def test_a_cancelled_activation_does_not_happen(holding) -> None:
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 9, Instant(NOW + 2 * DAY)))
    holding.run()
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 10, gbcs.CANCELLED))
    holding.run(3 * DAY)
    assert [gbcs.Cs06Accepted(), gbcs.Cs06Accepted()] == holding.said()
    assert OLD == holding.nodes[HCALCS].version
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 11))
    holding.run()
    assert NEW == holding.nodes[HCALCS].version


def test_a_date_that_has_passed_means_at_once(holding) -> None:
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 9, Instant(NOW - DAY)))
    holding.run()
    assert [gbcs.Cs06Response(ActivationResult.SUCCESS, NEW)] == holding.said()


def test_an_activation_that_falls_due_without_power_is_made_up_for(holding) -> None:
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, 9, Instant(NOW + 2 * DAY)))
    holding.run()
    holding.wakes[HCALCS] = None
    holding.run(3 * DAY)
    holding.power(HCALCS)
    holding.run()
    assert NEW == holding.nodes[HCALCS].version
    assert AlertCode.FUTURE_DATED_SUCCESS is holding.said()[-1].alert


# Reading the version (CS08)


@pytest.mark.parametrize("device", [PPMID, HCALCS])
def test_each_device_tells_its_version_under_its_mac(device) -> None:
    home = Home()
    home.run(MINUTE)
    home.tell(device, read_version(device, 5))
    home.run(MINUTE)
    (frame,) = home.wan
    opened = gbcs.open_message(frame.octets, AT_ACB, broker=ACB)
    assert gbcs.Cs08Response(OLD, Outcome.SUCCESS) == opened.payload
    assert (5, gbcs.Supplementary(SUPPLIER, 77)) == (opened.message.counter, opened.message.supplementary)


# Attacks


@pytest.mark.parametrize("counter", [999, 1000])
def test_a_replayed_counter_is_refused(holding, counter) -> None:
    holding.tell(HCALCS, activate(ImageHash(bytes(32)), 1000))
    holding.run(MINUTE)
    holding.tell(HCALCS, activate(FOR_HCALCS.hash, counter))
    holding.run()
    assert ["command-counter"] == _checks(holding)
    assert OLD == holding.nodes[HCALCS].version


def test_a_replay_after_a_power_cut_is_refused(holding) -> None:
    command = activate(ImageHash(bytes(32)), 1000)
    holding.tell(HCALCS, command)
    holding.run(MINUTE)
    holding.power(HCALCS)
    holding.tell(HCALCS, command)
    holding.run()
    assert ["command-counter"] == _checks(holding)


def test_a_replayed_read_is_refused() -> None:
    home = Home()
    home.run(MINUTE)
    for _ in range(2):
        home.tell(PPMID, read_version(PPMID, 5))
        home.run(MINUTE)
    assert ["command-counter"] == _checks(home)
    assert 1 == len(home.wan)


def _flipped(octets: bytes, at: int) -> bytes:
    return octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]


@pytest.mark.parametrize(
    ("command", "check"),
    [
        (_flipped(activate(FOR_HCALCS.hash, 1), 160), "mac"),
        (activate(FOR_HCALCS.hash, 1, signer=RIVAL_SIGNER), "signature"),
        (activate(FOR_HCALCS.hash, 1, signer=RIVAL_SIGNER, supplier=RIVAL), "signature-key"),
        (
            activate(
                FOR_HCALCS.hash,
                1,
                signer=AT_ACB.signer(ACB, 4),
                supplier=ACB,
            ),
            "command-originator",
        ),
        (gbcs.mac.unwrap(activate(FOR_HCALCS.hash, 1))[0], "mac-missing"),
        (read_version(PPMID, 1), "mac-key"),
    ],
    ids=["forged MAC", "rival's signature", "rival", "ACB in the Supplier's place", "no MAC", "not for it"],
)
def test_a_command_that_is_not_the_suppliers_own_is_refused(holding, command, check) -> None:
    holding.tell(HCALCS, command)
    holding.run()
    assert [check] == _checks(holding)
    assert [] == holding.wan
    assert -1 == holding.flashes[HCALCS].record.last_heard(SUPPLIER)


def test_a_content_counter_that_differs_from_the_headers_is_refused(holding) -> None:
    message = gbcs.compose(
        gbcs.Cs06Command(FOR_HCALCS.hash, 2, None), originator=SUPPLIER, recipient=HCALCS, counter=1
    )
    wrapped = gbcs.mac.wrap(gbcs.sign(message, SIGNER), AT_ACB.secrets(ACB, HCALCS)[0])
    holding.tell(HCALCS, wrapped)
    holding.run()
    assert ["command-content-counter"] == _checks(holding)


def test_a_ppmid_takes_no_activation_command() -> None:
    home = Home()
    home.run(MINUTE)
    home.tell(PPMID, activate(FOR_PPMID.hash, 1, device=PPMID))
    home.run()
    assert ["signature-key"] == _checks(home)  # it does not even know a Supplier
    message = gbcs.compose(
        gbcs.Cs06Command(FOR_PPMID.hash, 1, None), originator=ACB, recipient=PPMID, counter=1
    )
    secret = AT_ACB.secrets(ACB, PPMID)[0]
    home.tell(PPMID, gbcs.mac.wrap(gbcs.sign(message, AT_ACB.signer(ACB, 4)), secret))
    home.run()
    assert "command-supported" == _checks(home)[-1]


def test_a_hub_that_tells_an_hcalcs_to_activate_is_not_obeyed(holding) -> None:
    image = zigbee.ImageId(0x121D, 0x0085, NEW)
    now = zigbee.encode(zigbee.Frame(0, zigbee.UpgradeEndResponse(image, 0, 0)))
    holding.take(HCALCS, holding.nodes[HCALCS].receive(HanFrame(HUB, HCALCS, Cluster.OTA, now), holding.now))
    holding.run()
    assert ["activation-order"] == _checks(holding)
    assert OLD == holding.nodes[HCALCS].version


def test_a_device_hears_its_hub_alone() -> None:
    home = Home()
    home.run(MINUTE)
    notice = zigbee.encode(zigbee.Frame(0, zigbee.ImageNotify(1)))
    for frame in (
        HanFrame(HCALCS, PPMID, Cluster.OTA, notice),
        HanFrame(HUB, HCALCS, Cluster.OTA, notice),
    ):
        assert () == home.nodes[PPMID].receive(frame, home.now).send


@pytest.mark.parametrize(
    ("image", "check"),
    [
        (build(PPMID, sealer=None), "manufacturer-seal"),
        (build(PPMID, sealer=images.SealKey(PKI.private_key("a forger"))), "manufacturer-seal"),
        (build(PPMID, sealer=RIVAL_SIGNER), "manufacturer-seal"),
    ],
)
def test_a_ppmid_discards_what_its_maker_did_not_seal(image, check) -> None:
    home = Home()
    home.send(image, PPMID)
    home.run()
    assert [check] == [event.error.check for event in home.of(Discarded)]
    assert Pending.EMPTY is home.flashes[PPMID].record.pending


def test_a_suppliers_image_signature_is_no_seal_and_a_seal_no_signature() -> None:
    home = Home()
    plain = build(HCALCS)
    home.send(replace(FOR_HCALCS, signature=SEALER.sign(plain.manufacturer_image)), HCALCS)
    home.run()
    assert ["supplier-signature"] == [event.error.check for event in home.of(Discarded)]


def _fetch(home: Home, device: Eui64, offered: zigbee.ImageId, octets: bytes) -> list[object]:
    """What a Device makes of a file that a lying hub serves under another name."""
    server = zigbee.OtaServer()
    home.run(MINUTE)
    machine = home.nodes[device]
    frames = list(server.offer(zigbee.Offer(offered, octets, 0, 0xFFFF, delay=0), home.now).send)
    events: list[object] = []
    while frames:
        step = machine.receive(HanFrame(HUB, device, Cluster.OTA, frames.pop(0)), home.now)
        events += step.events
        for frame in step.send:
            if frame.cluster is Cluster.OTA:
                frames += server.receive(frame.octets, home.now).send
    return events


@pytest.mark.parametrize(
    ("image", "version", "check"),
    [
        (build(PPMID), FirmwareVersion(7), "image-offered"),
        (build(HCALCS), NEW, "image-offered"),
        (build(PPMID, hardware=(0x0300, 0x0400)), NEW, "image-hardware"),
    ],
    ids=["another version", "another type", "other hardware"],
)
def test_a_file_that_is_not_what_the_hub_said_is_discarded(image, version, check) -> None:
    plate = PLATES[PPMID]
    offered = zigbee.ImageId(plate.manufacturer, plate.image_type, version)
    events = _fetch(Home(), PPMID, offered, images.encode(image))
    assert [check] == [event.error.check for event in events if isinstance(event, Discarded)]


def test_octets_that_are_no_file_are_discarded() -> None:
    plate = PLATES[HCALCS]
    events = _fetch(Home(), HCALCS, zigbee.ImageId(plate.manufacturer, plate.image_type, NEW), b"junk")
    assert 1 == len([event for event in events if isinstance(event, Discarded)])


def test_a_detached_seal_vouches_for_a_published_image() -> None:
    published = build(PPMID, sealer=None)
    seals = {published.hash: images.seal_detached(published.manufacturer_image, SEALER)}
    flash = Flash.factory(FACTORY[PPMID])
    maker = Maker(SEALER.public_key, seals)
    machine = Ppmid(PLATES[PPMID], flash, maker, AT_PPMID, hub=HUB, acb=ACB)
    home = Home()
    home.nodes[PPMID] = machine
    home.take(PPMID, machine.start(home.now))
    home.send(published, PPMID)
    home.run()
    assert NEW == machine.version


def test_alert_counters_increase_strictly_even_over_power_cuts() -> None:
    home = Home()
    for number in range(3):
        image = images.sign_supplier(build(HCALCS, FirmwareVersion(0x02000000 + number)), SIGNER)
        home.send(image, HCALCS)
        home.run()
        home.power(HCALCS)
    counters = [gbcs.decode(f.octets).message.counter for f in home.wan if f.device == HCALCS]
    assert [1, 2, 3] == counters


# Power


class PowerCut(Exception):  # noqa: N818 # no error of anybody's
    """The lights go out."""


class _Supply:
    """Power that fails just before the write of a number, and then holds."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def __call__(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise PowerCut


class _Cursed(Home):
    """A home in which the power of a Device fails while it writes, or at a time."""

    def take(self, node: Eui64, step: Step) -> None:
        super().take(node, step)
        for flash in self.flashes.values():
            record = flash.record
            running = images.decode(flash.banks[record.active], images.Layout.SRV_11_4)
            MAKER.verify(running)  # there is an image to boot, at every step
            if flash.held is not None:
                images.decode(flash.held, images.Layout.SRV_11_4)


def _update(home: Home, device: Eui64) -> None:
    """Run one Device's update, and put the power back on where it fails."""
    home.send(FOR_PPMID if device == PPMID else FOR_HCALCS, device)
    for counter in range(1, 5):
        for _ in range(3):
            try:
                home.run(2 * DAY)
            except PowerCut:
                home.power(device)
        if device == HCALCS and home.nodes[device].version == OLD:
            home.tell(HCALCS, activate(FOR_HCALCS.hash, counter))


@pytest.mark.parametrize("device", [PPMID, HCALCS])
@pytest.mark.parametrize("writes", range(9))
def test_a_power_cut_before_any_write_leaves_a_device_that_boots_and_gets_there(device, writes) -> None:
    home = _Cursed()
    home.flashes[device].before_write = _Supply(writes)
    _update(home, device)
    assert NEW == home.nodes[device].version
    assert Pending.EMPTY is home.flashes[device].record.pending


@given(cut=st.integers(0, 3 * MINUTE), device=st.sampled_from((PPMID, HCALCS)), again=st.integers(0, MINUTE))
@settings(max_examples=25, deadline=None)
def test_a_power_cut_at_any_instant_leaves_a_device_that_boots_and_gets_there(cut, device, again) -> None:
    home = _Cursed()
    home.send(FOR_PPMID if device == PPMID else FOR_HCALCS, device)
    home.run(cut)
    home.power(device)
    home.run(again)
    home.power(device)
    home.run(2 * DAY)
    for counter in range(1, 3) if device == HCALCS else ():
        home.tell(HCALCS, activate(FOR_HCALCS.hash, counter))
        home.run(again)
        home.power(device)
        home.run(HOUR)
    assert NEW == home.nodes[device].version


class _EndsLost(Home):
    """A home whose HAN loses one kind of OTA command for ever."""

    def __init__(self, lost: type) -> None:
        self.lost = lost
        super().__init__()

    def take(self, node: Eui64, step: Step) -> None:
        kept = tuple(
            frame
            for frame in step.send
            if not isinstance(frame, HanFrame)
            or frame.cluster is not Cluster.OTA
            or not isinstance(zigbee.decode(frame.octets).command, self.lost)
        )
        super().take(node, step._replace(send=kept))


@pytest.mark.parametrize("lost", [zigbee.UpgradeEndRequest, zigbee.UpgradeEndResponse])
def test_a_ppmid_whose_last_words_with_the_hub_are_lost_is_updated_all_the_same(lost) -> None:
    home = _EndsLost(lost)
    home.send(FOR_PPMID, PPMID)
    home.run(2 * DAY)
    assert NEW == home.nodes[PPMID].version
    assert [gbcs.TransferResult.SUCCESS] == [said.result for said in home.said(HUB)]
    assert [Outcome.SUCCESS] == [said.result for said in home.said(PPMID)]


def test_cs09_result_1_where_a_new_image_was_damaged_in_flash_and_rolled_back() -> None:
    home = Home()
    home.send(FOR_PPMID, PPMID)
    flash = home.flashes[PPMID]
    while flash.record.pending is not Pending.TRIAL:
        home.run(1)
        home.run(20_000)
    flash.banks[flash.record.active] = _flipped(flash.active, 70)
    home.run()
    (report,) = home.said(PPMID)
    assert (OLD, Outcome.FAILURE) == (report.version, report.result)
    assert 1 == len(home.of(RolledBack))


def test_a_device_whose_only_image_is_damaged_stays_dark() -> None:
    flash = Flash.factory(_flipped(FACTORY[PPMID], 70))
    machine = Ppmid(PLATES[PPMID], flash, MAKER, AT_PPMID, hub=HUB, acb=ACB)
    step = machine.start(NOW)
    assert [Darkened] == [type(event) for event in step.events]
    assert Step() == machine.receive(HanFrame(HUB, PPMID, Cluster.OTA, b""), NOW)
    assert Step() == machine.wake(NOW)


@given(writes=st.integers(0, 12), kept=st.lists(st.binary(min_size=1, max_size=8), max_size=4))
def test_a_slot_write_is_complete_or_absent(writes, kept) -> None:
    flash = Flash([b"factory", b""], before_write=_Supply(writes))
    last = None

    def keep(octets: bytes) -> None:
        flash.commit(flash.record.discard())
        flash.write(octets)
        flash.commit(flash.record.keep())

    try:
        for octets in kept:
            keep(octets)
            last = octets
    except PowerCut:
        assert flash.held in (None, last)
    else:
        assert last == flash.held
    assert b"factory" == flash.active
    flash.before_write = lambda: None
    keep(b"the next")
    flash.commit(flash.record.swap(ByHub()))
    assert b"the next" == flash.active
    flash.commit(flash.record.roll_back())
    assert b"factory" == flash.active


@pytest.mark.parametrize(
    ("chart", "states"),
    [
        (device_machine.CHART, device_machine.Life),
        (flash_machine.CHART, flash_machine.Pending),
    ],
)
def test_every_state_of_a_table_can_be_reached(chart, states) -> None:
    reached, fresh = set(), {chart.start}
    while fresh:
        reached |= fresh
        fresh = {end for (state, _), end in chart.arrows.items() if state in reached} - reached
    assert set(states) == reached


@given(st.lists(st.tuples(st.sampled_from(Cluster), st.binary(max_size=40)), max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_device_takes_any_octets_from_its_hub(frames) -> None:
    flash = Flash.factory(FACTORY[PPMID])
    machine = Ppmid(PLATES[PPMID], flash, MAKER, AT_PPMID, hub=HUB, acb=ACB)
    assert [Booted(OLD)] == list(machine.start(NOW).events)
    for cluster, octets in frames:
        machine.receive(HanFrame(HUB, PPMID, cluster, octets), NOW)
    assert OLD == machine.version
