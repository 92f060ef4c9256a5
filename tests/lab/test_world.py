"""Both procedures from end to end in virtual time: real XML, GBCS and OTA frames, and no wall clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from lamplighter.kit import Instant, Step, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.lab import han
from lamplighter.lab.dcc import Dropped, FirmwareRecorded, Lapsed, Service
from lamplighter.lab.dcc.postman import PostmanSettings
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.homes import FACTORY_VERSION, GAS_SUPPLIER, START, SUPPLIER
from lamplighter.lab.hub import Passed
from lamplighter.lab.wire import WanGbcs, WanImage
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.smki import Use

from .user import NEW, User, a_lab, hcalcs_image, heard, ppmid_image


def activated(response: duis.Response, lab) -> gbcs.Payload:
    """What the Device says, once its signature is verified with the Supplier's key ring."""
    return gbcs.open_message(response.body.payload.octets, lab.ring, broker=lab.world.dcc.acb).payload


def proven_ppmid(lab, user):
    image = ppmid_image(lab)
    lab.publish(image)
    answer = user.update_ppmids(image, lab.homes[0].ppmid)
    return answer, user.wait()


def held_hcalcs(lab, user):
    image = hcalcs_image(lab)
    lab.publish(image)
    answer = user.update(user.signed_image(image), lab.homes[0].hcalcs)
    return image, answer, user.wait()


def test_a_ppmid_goes_from_11_4_to_n39():
    lab, user = a_lab()
    answer, mail = proven_ppmid(lab, user)
    assert answer.code == "I99"
    assert heard(mail) == ["N60", "N62", "N39"]
    delivered, transferred, ran = (response.body.body for response in mail)
    assert answer.request_id == delivered.request == transferred.transfer.request
    assert transferred.transfer.response is duis.TransferResponse.FILE_TRANSFER_SUCCESS
    assert ran.upgrade == duis.PpmidFirmwareUpgradeAlert(NEW, duis.ActivationResult.SUCCESS)
    assert lab.world.dcc.inventory.find(lab.homes[0].ppmid).firmware == NEW


def test_the_other_supplier_of_a_ppmid_hears_of_it():
    lab, user = a_lab()
    proven_ppmid(lab, user)
    other = User(lab, GAS_SUPPLIER)
    told, ran = other.mail()
    expected = duis.FirmwareUpgradeRequested(duis.DeviceType.PPMID, NEW, (lab.homes[0].ppmid,))
    assert told.body == duis.DccAlert("N59", expected)
    assert heard([ran]) == ["N39"]


def test_an_hcalcs_holds_its_image_and_says_so():
    lab, user = a_lab()
    image, answer, mail = held_hcalcs(lab, user)
    assert answer.code == "I99"
    assert heard(mail) == ["N60", "N62", "8F72"]
    opened = gbcs.open_message(mail[2].body.payload, lab.ring, broker=lab.world.dcc.acb)
    assert opened.payload.hash == image.hash
    assert lab.world.dcc.inventory.find(lab.homes[0].hcalcs).firmware == FACTORY_VERSION


def test_an_hcalcs_activates_at_once_and_proves_it():
    lab, user = a_lab()
    image, *_ = held_hcalcs(lab, user)
    answer = user.activate(lab.homes[0].hcalcs, image.hash)
    (response,) = user.wait()
    assert answer.code == "I99"
    assert answer.request_id == response.request_id
    assert answer.request_id.swapped == response.response_id
    assert activated(response, lab) == gbcs.Cs06Response(gbcs.ActivationResult.SUCCESS, NEW)
    assert lab.world.dcc.inventory.find(lab.homes[0].hcalcs).firmware == NEW


def test_an_activation_for_the_night_is_accepted_now_and_proven_then():
    lab, user = a_lab()
    image, *_ = held_hcalcs(lab, user)
    night = Instant((lab.world.now // HOUR + 15) * HOUR)
    user.activate(lab.homes[0].hcalcs, image.hash, night)
    accepted, outcome = user.wait()
    assert activated(accepted, lab) == gbcs.Cs06Accepted()
    assert heard([outcome]) == ["8F66 11.3"]
    assert accepted.request_id == outcome.request_id
    said = gbcs.decode(outcome.body.payload.payload).payload
    assert (gbcs.ActivationResult.SUCCESS, NEW) == (said.result, said.version)
    assert night <= lab.world.now < night + HOUR


def test_an_activation_that_was_cancelled_never_happens():
    lab, user = a_lab()
    image, *_ = held_hcalcs(lab, user)
    night = Instant((lab.world.now // HOUR + 15) * HOUR)
    user.activate(lab.homes[0].hcalcs, image.hash, night)
    lab.world.run_until(Instant(lab.world.now + HOUR))
    user.activate(lab.homes[0].hcalcs, image.hash, duis.CANCEL)
    assert [gbcs.Cs06Accepted()] * 2 == [activated(response, lab) for response in user.wait()]
    lab.world.run_until(Instant(night + DAY))
    assert user.mail() == []
    assert lab.world.dcc.inventory.find(lab.homes[0].hcalcs).firmware == FACTORY_VERSION


def test_the_version_of_each_device_can_be_read_at_any_time():
    lab, user = a_lab()
    proven_ppmid(lab, user)
    for device, version in ((lab.homes[0].ppmid, NEW), (lab.homes[0].hcalcs, FACTORY_VERSION)):
        assert user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), device).code == "I99"
        (response,) = user.wait()
        read = gbcs.decode(response.body.payload.octets).payload
        assert gbcs.Cs08Response(version, gbcs.Outcome.SUCCESS) == read


def test_a_read_for_later_is_sent_later():
    lab, user = a_lab()
    later = Instant((lab.world.now // HOUR + 3) * HOUR)
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(later), lab.homes[0].ppmid)
    user.wait()
    (sent,) = (traced for traced in lab.world.trace if traced.what == "WAN GBCS" and traced.source == "DCC")
    assert later == sent.at


def test_a_meter_that_nobody_emulates_gives_no_answer():
    lab, user = a_lab()
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].esme)
    (response,) = user.wait()
    assert (response.code, response.response_id) == ("E21", None)


def test_the_inventory_tells_the_whole_home():
    lab, user = a_lab()
    proven_ppmid(lab, user)
    answer = user.ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].hcalcs))
    devices = {device.device: device for device in answer.body.payload.devices}
    home = lab.homes[0]
    assert {home.hub, home.ppmid, home.hcalcs, home.esme} == set(devices)
    assert devices[home.ppmid].firmware_version == str(NEW)
    assert devices[home.ppmid].cpl_status is duis.CplStatus.ACTIVE


def test_two_homes_get_an_image_each_once_and_both_are_proven():
    lab, user = a_lab(homes=2)
    image = ppmid_image(lab)
    lab.publish(image)
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    assert sorted(heard(user.wait())) == ["N39", "N39", "N60", "N60", "N62", "N62"]
    crossings = [traced.destination for traced in lab.world.trace if traced.what == "WAN image"]
    assert [str(home.hub) for home in lab.homes] == crossings


def test_the_world_of_a_device_is_in_its_trace():
    lab, user = a_lab()
    proven_ppmid(lab, user)
    whats = {traced.what for traced in lab.world.trace_of(lab.homes[0].ppmid)}
    expected = {"serviceD request", "serviceD response", "WAN image", "WAN image receipt"}
    assert expected | {"OTA", "TUNNELING", "ACKNOWLEDGEMENT", "WAN GBCS", "to User"} == whats
    assert not [t for t in lab.world.trace_of(lab.homes[0].hcalcs) if t.what == "TUNNELING"]


def both_procedures(seed: str) -> str:
    lab, user = a_lab(seed)
    proven_ppmid(lab, user)
    image, *_ = held_hcalcs(lab, user)
    user.activate(lab.homes[0].hcalcs, image.hash)
    user.wait()
    return lab.world.digest()


@settings(max_examples=3, deadline=None)
@given(st.text(max_size=8))
def test_the_same_seed_gives_the_same_trace(seed):
    assert both_procedures(seed) == both_procedures(seed)


IN_ANOTHER_PROCESS = "from lab.test_world import both_procedures; print(both_procedures('seed'))"


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_trace_does_not_hang_on_the_process_that_makes_it(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert both_procedures("seed") == said.stdout.strip()


def test_another_seed_gives_another_trace():
    assert both_procedures("one") != both_procedures("other")


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 90 * MINUTE), max_size=40))
def test_it_makes_no_difference_in_which_strides_time_is_driven(strides):
    def drive(pauses):
        lab, user = a_lab()
        image = ppmid_image(lab)
        lab.publish(image)
        user.update_ppmids(image, lab.homes[0].ppmid)
        end = Instant(lab.world.now + 2 * DAY)
        for pause in pauses:
            lab.world.run_until(min(Instant(lab.world.now + pause), end))
        lab.world.run_until(end)
        return lab.world.digest()

    assert drive([]) == drive(strides)


def test_the_clock_never_goes_back():
    lab, _ = a_lab()
    with pytest.raises(UsageError):
        lab.world.run_until(Instant(lab.world.now - 1))


def test_a_hub_that_says_nothing_of_an_image_is_reported():
    lab, user = a_lab()
    lab.world.install(lab.homes[0].hub, Mute())
    image = ppmid_image(lab)
    lab.publish(image)
    answer = user.update_ppmids(image, lab.homes[0].ppmid)
    (failure,) = user.wait()
    assert failure.body.code == "N18"
    expected = duis.FirmwareDistributionFailure(answer.request_id, (lab.homes[0].ppmid,))
    assert expected == failure.body.body


class Mute:
    """A hub without power."""

    def start(self, _now):
        return Step()

    def stop(self):
        return Step()

    def receive(self, _frame, _now):
        return Step()

    def wake(self, _now):
        return Step()


def test_a_device_that_says_nothing_is_waited_for_only_so_long():
    lab, user = a_lab()
    image = ppmid_image(lab)
    lab.publish(image)
    lab.world.install(lab.homes[0].ppmid, Mute())
    user.update_ppmids(image, lab.homes[0].ppmid)
    heard_of = heard(user.wait())
    assert heard_of[0] == "N60"
    assert "N39" not in heard_of


def test_an_activation_for_later_that_is_never_heard_of_again_times_out():
    lab, user = a_lab()
    image, *_ = held_hcalcs(lab, user)
    device = lab.homes[0].hcalcs
    user.activate(device, image.hash, Instant((lab.world.now // HOUR + 15) * HOUR))
    lab.world.run_until(Instant(lab.world.now + HOUR))
    assert heard(user.mail()) == ["I0 11.3"]
    lab.world.install(device, Mute())
    assert heard(user.wait()) == ["E30 11.3"]


def test_a_ppmid_runs_the_published_image(published_images):
    lab, user = a_lab()
    image = images.decode(published_images["11.4"], images.Layout.SRV_11_4)
    lab.publish(image)
    user.update_ppmids(image, lab.homes[0].ppmid)
    *_, ran = user.wait()
    assert str(ran.body.body.upgrade.version) == "ACDCACDC"
    assert ran.body.body.upgrade.result is duis.ActivationResult.SUCCESS


def test_an_image_that_the_manufacturer_has_not_sealed_is_not_run(published_images):
    lab, user = a_lab()
    image = images.decode(published_images["11.4"], images.Layout.SRV_11_4)
    lab.publish(image)
    lab.detached.clear()
    user.update_ppmids(image, lab.homes[0].ppmid)
    mail = user.wait()
    assert heard(mail) == ["N60", "N62"]
    assert mail[1].body.body.transfer.response is not duis.TransferResponse.FILE_TRANSFER_SUCCESS


def test_all_that_the_dcc_says_is_in_the_schema(shared):
    schema = etree.XMLSchema(etree.parse(shared / "spec" / "duis-5.4.xsd"))
    lab, user = a_lab(homes=2)
    proven_ppmid(lab, user)
    image, *_ = held_hcalcs(lab, user)
    user.activate(lab.homes[0].hcalcs, image.hash, Instant((lab.world.now // HOUR + 15) * HOUR))
    user.wait()
    user.update_ppmids(ppmid_image(lab), lab.homes[0].ppmid, lab.homes[0].esme)
    user.update_ppmids(ppmid_image(lab), lab.homes[0].esme)
    user.ask(Service.NON_DEVICE, duis.ReadInventory(lab.homes[0].ppmid))
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].esme)
    user.wait()
    said = [t.octets for t in lab.world.trace if t.what == "to User" or t.what.endswith("response")]
    assert len(said) > 15
    for octets in said:
        schema.assertValid(etree.fromstring(octets))


def test_a_frame_for_nobody_is_reported():
    lab, _ = a_lab()
    world = lab.world
    world.carry("DCC", WanImage(lab.homes[0].esme, 1, b"", ()))
    world.run_until(Instant(world.now + MINUTE))
    assert any(type(reported.event).__name__ == "Unclaimed" for reported in world.events)


# Attacks


def inject(lab, hub, device, octets):
    """A message that comes to the DCC out of a home."""
    lab.world.carry(str(hub), WanGbcs(hub, device, octets, outbound=False))
    lab.world.run_until(Instant(lab.world.now + MINUTE))
    return [reported.event for reported in lab.world.events if isinstance(reported.event, Dropped)]


def said_by(lab, device, source="WAN GBCS"):
    """The last message that a Device sent to the DCC."""
    return [t.octets for t in lab.world.trace_of(device) if t.what == source and t.destination == "DCC"][-1]


def test_a_replayed_activation_alert_is_dropped():
    lab, user = a_lab()
    proven_ppmid(lab, user)
    home = lab.homes[0]
    (dropped,) = inject(lab, home.hub, home.ppmid, said_by(lab, home.ppmid))
    assert dropped.check == "alert-counter"
    assert user.mail() == []


def test_a_forged_activation_alert_is_dropped_and_the_inventory_stays():
    lab, user = a_lab()
    home = lab.homes[0]
    alert = gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, lab.world.now, NEW, gbcs.Outcome.SUCCESS)
    forger = lab.pki.issued(home.hcalcs, None, Use.DIGITAL_SIGNATURE).sign
    message = gbcs.compose(alert, originator=home.ppmid, recipient=lab.world.dcc.acb, counter=99)
    octets = gbcs.encode_message(message)[:-1] + b"\x40" + forger(b"something else")
    (dropped,) = inject(lab, home.hub, home.ppmid, octets)
    assert dropped.check == "signature"
    assert user.mail() == []
    assert lab.world.dcc.inventory.find(home.ppmid).firmware == FACTORY_VERSION


def signed_by(lab, device, payload, recipient, counter=99):
    message = gbcs.compose(payload, originator=device, recipient=recipient, counter=counter)
    return gbcs.sign(message, lab.pki.issued(device, None, Use.DIGITAL_SIGNATURE))


def test_an_hcalcs_cannot_speak_as_a_hub():
    lab, _ = a_lab()
    home = lab.homes[0]
    transfer = gbcs.Ccs08Alert(
        gbcs.AlertCode.TRANSFER_SUCCEEDED, lab.world.now, home.ppmid, NEW, gbcs.TransferResult.SUCCESS
    )
    octets = signed_by(lab, home.hcalcs, transfer, lab.world.dcc.acb)
    (dropped,) = inject(lab, home.hub, home.hcalcs, octets)
    assert dropped.check == "device-speaker"


def test_a_hub_cannot_tell_of_a_device_in_another_home():
    lab, _ = a_lab(homes=2)
    mine, other = lab.homes
    transfer = gbcs.Ccs08Alert(
        gbcs.AlertCode.TRANSFER_FAILED, lab.world.now, other.ppmid, NEW, gbcs.TransferResult.IMAGE_DISCARDED
    )
    (dropped,) = inject(lab, mine.hub, mine.hub, signed_by(lab, mine.hub, transfer, lab.world.dcc.acb))
    assert dropped.check == "transfer-target"


def test_a_device_cannot_speak_through_another_home():
    lab, _ = a_lab(homes=2)
    mine, other = lab.homes
    alert = gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, lab.world.now, NEW, gbcs.Outcome.SUCCESS)
    octets = signed_by(lab, mine.ppmid, alert, lab.world.dcc.acb)
    (dropped,) = inject(lab, other.hub, mine.ppmid, octets)
    assert dropped.check == "device-home"


def test_an_answer_that_nobody_asked_for_is_dropped():
    lab, user = a_lab()
    home = lab.homes[0]
    response = gbcs.Cs06Response(gbcs.ActivationResult.SUCCESS, NEW)
    (dropped,) = inject(lab, home.hub, home.hcalcs, signed_by(lab, home.hcalcs, response, SUPPLIER, 1001))
    assert dropped.check == "answer-unexpected"
    assert user.mail() == []


@given(st.binary(max_size=200))
def test_no_octets_from_a_home_upset_the_dcc(octets):
    lab, _ = LAB
    home = lab.homes[0]
    step = lab.world.dcc.receive(WanGbcs(home.hub, home.ppmid, octets, outbound=False), lab.world.now)
    assert step.send == ()
    assert isinstance(step.events[0], Dropped)


LAB = a_lab()


def test_a_proof_and_a_silence_are_events():
    lab, user = a_lab()
    proven_ppmid(lab, user)
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].esme)
    user.wait()
    events = [reported.event for reported in lab.world.events]
    assert FirmwareRecorded(lab.homes[0].ppmid, NEW) in events
    assert [lab.homes[0].esme] == [event.device for event in events if isinstance(event, Lapsed)]


# Promises


SHARES = st.sampled_from((0.0, 0.02, 0.2))


@settings(max_examples=12, deadline=None)
@given(
    st.builds(han.Quality, loss=SHARES, duplication=SHARES, lateness=SHARES),
    st.lists(st.tuples(st.integers(0, 20 * HOUR), st.integers(1, 6 * HOUR)), max_size=3),
    st.integers(1, 4_000),
    st.none() | st.integers(2, 40),
)
def test_every_transfer_ends_and_no_alert_is_lost_on_its_way_to_an_endpoint_that_comes_back(
    quality, outages, size, hours
):
    """Whatever the HAN does, and however often the endpoint is away; 11.4, and 11.1 with 11.3 now or then."""
    away = [
        Scheduled("endpoint-down", Instant(START + at), Instant(START + at + for_)) for at, for_ in outages
    ]
    post = PostmanSettings(duplicate=0.3, reorder=0.3)
    lab, user = a_lab(homes=2, quality=han.Settings(quality), faults=away, post=post)
    world = lab.world
    display, switch = ppmid_image(lab, bytes(size)), hcalcs_image(lab, bytes(size))
    for image in (display, switch):
        lab.publish(image)
    user.update_ppmids(display, *(home.ppmid for home in lab.homes))
    user.update(user.signed_image(switch), *(home.hcalcs for home in lab.homes))
    came, activated = [], set()
    while True:
        while world.mail:
            letter = world.mail.popleft()
            came.append(letter.octets)
            if letter.user != SUPPLIER or heard([user.open(letter.octets)]) != ["8F72"]:
                continue
            (device,) = letter.devices
            if device not in activated:
                activated.add(device)
                at = None if hours is None else Instant((world.now // HOUR + hours) * HOUR)
                user.activate(device, switch.hash, at)
        if not world.busy and not any(world.node(home.hub).memory.record.held for home in lab.homes):
            break  # the DCC may hear of the new version before the hub hears that the transfer has ended
        assert world.step()
        assert world.now < START + 30 * DAY
    passed = [r.event.device for r in world.events if isinstance(r.event, Passed)]
    devices = [device for home in lab.homes for device in (home.ppmid, home.hcalcs)]
    assert sorted(devices) == sorted(passed)
    fetched = {r.event.device for r in world.events if isinstance(r.event, Passed) and went_well(r.event)}
    assert {home.hcalcs for home in lab.homes} & fetched == activated
    for device in devices:
        assert (NEW if device in fetched else FACTORY_VERSION) == world.node(device).version
        assert world.node(device).version == world.dcc.inventory.find(device).firmware
    assert {traced.octets for traced in world.trace if traced.what == "to User"} == set(came)


def went_well(passed):
    return passed.result is gbcs.TransferResult.SUCCESS


def test_two_homes_that_run_ahead_come_back_to_one_clock():
    lab, user = a_lab(homes=2)
    image = ppmid_image(lab, bytes(10_000))
    lab.publish(image)
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    lab.world.run_while_busy(Instant(lab.world.now + DAY))
    at = [traced.at for traced in lab.world.trace]
    assert sorted(at) == at
    assert at[-1] <= lab.world.now


def test_an_hour_of_many_block_transfers_is_seconds():
    """An hour of HAN time, 20 homes, 100 kB each: 100,000 frames; generous, for a machine that is busy."""
    lab, user = a_lab(homes=20, record=False)
    image = ppmid_image(lab, bytes(100_000))
    lab.publish(image)
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    began = process_time()
    lab.world.run_until(Instant(lab.world.now + HOUR))
    assert process_time() - began < 10
    assert all(lab.world.node(home.ppmid).version == NEW for home in lab.homes)
