"""Every fault by its name: what it does, as far as it can be seen from outside."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.kit import FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.lab.dcc import Dropped, Service
from lamplighter.lab.devices.device import BLOCK_OCTETS
from lamplighter.lab.faults import FAULTS, Scheduled, another_hub
from lamplighter.lab.homes import FACTORY_VERSION, START, SUPPLIER
from lamplighter.lab.world import OutageError
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol import image as images
from lamplighter.protocol.duis import DeviceType

from .user import NEW, a_lab, hcalcs_image, heard, ppmid_image

ALL = ["N60", "N62", "N39"]


def suffering(name, *, start=START, end=START + 365 * DAY, where=(), probability=1.0, homes=1, **parameters):
    """A lab in which one fault is at work from the start."""
    place = frozenset(map(str, where))
    fault = Scheduled(name, Instant(start), Instant(end), place, probability, parameters)
    return a_lab(homes=homes, faults=(fault,))


def updating(name, payload=b"display " * 20, **named):
    """The same, with a PPMID update under way."""
    lab, user = suffering(name, **named)
    image = ppmid_image(lab, payload)
    lab.publish(image)
    assert user.update_ppmids(image, *(home.ppmid for home in lab.homes)).code == "I99"
    return lab, user


def built_under(name, **named):
    """The same, with an image that the manufacturer built while the fault was at work."""
    lab, user = suffering(name, **named)
    image = lab.build_firmware(DeviceType.PPMID, NEW, b"display " * 20)
    lab.publish(image)
    assert user.update_ppmids(image, lab.homes[0].ppmid).code == "I99"
    return lab, user


def when(lab, what):
    """When messages of a kind were sent, in order."""
    return [traced.at for traced in lab.world.trace if traced.what == what]


def of(lab, kind):
    return [reported.event for reported in lab.world.events if isinstance(reported.event, kind)]


# Alerts


def test_a_lost_alert_is_never_heard_of():
    lab, user = updating("lost-alert")
    assert heard(user.wait())[0] == "N60"
    assert {"N62", "N39"}.isdisjoint(heard(user.mail()))
    assert lab.world.node(lab.homes[0].ppmid).version == NEW
    assert FACTORY_VERSION == lab.world.dcc.inventory.find(lab.homes[0].ppmid).firmware


def test_a_message_lost_on_its_way_to_the_user_leaves_the_dcc_none_the_wiser():
    lab, user = updating("lost-alert", leg="user", where=(SUPPLIER,))
    assert user.wait() == []
    assert NEW == lab.world.dcc.inventory.find(lab.homes[0].ppmid).firmware


def test_an_alert_is_lost_in_the_home_that_is_named_and_in_no_other():
    lab, user = updating("lost-alert", homes=2, where=(another_home(1),))
    mail = user.wait()
    assert sorted(heard(mail))[:2] == ["N39", "N60"]
    (proof,) = (m for m in mail if heard([m]) == ["N39"])
    assert lab.homes[0].ppmid == proof.body.body.device


def another_home(number):
    return a_lab(homes=2)[0].homes[number].hub


def test_a_duplicated_alert_from_a_home_is_dropped_by_the_dcc():
    lab, user = updating("duplicated-alert")
    assert ALL == heard(user.wait())
    lab.world.run_until(Instant(lab.world.now + HOUR))
    assert ["alert-counter"] * 2 == [dropped.check for dropped in of(lab, Dropped)]
    assert user.mail() == []


def test_a_duplicated_message_reaches_the_user_twice():
    _, user = updating("duplicated-alert", leg="user", after=30 * DAY // SECOND)
    assert ALL + ALL == heard(user.wait(60))


def test_a_delayed_alert_arrives_days_later():
    lab, user = updating("delayed-alert", days=2)
    assert ALL == heard(user.wait())
    assert 2 * DAY < lab.world.now - START < 2 * DAY + HOUR


def test_reordered_alerts_arrive_in_another_order():
    _, user = updating("reordered-alerts", leg="user", window=3 * DAY // SECOND)
    mail = heard(user.wait())
    assert sorted(ALL) == sorted(mail)
    assert ALL != mail


# Homes


def test_a_swapped_hub_takes_the_image_with_it_and_serves_the_next_one():
    lab, user = updating("hub-swap", bytes(40_000), start=START + 40 * SECOND)
    old, new = lab.homes[0].hub, another_hub(lab.homes[0].hub)
    assert heard(user.wait())[0] == "N60"
    assert "N39" not in heard(user.mail())
    assert (old in lab.world.hubs, new in lab.world.hubs) == (False, True)
    assert new == lab.world.dcc.inventory.find(lab.homes[0].ppmid).hub
    image = ppmid_image(lab, b"again")
    lab.publish(image)
    user.update_ppmids(image, lab.homes[0].ppmid)
    assert ALL == heard(user.wait())


def test_an_unplugged_ppmid_is_updated_when_it_is_back():
    week = START + 5 * DAY
    lab, user = updating("ppmid-unplugged", end=week)
    assert ALL == heard(user.wait())
    assert lab.world.now > week


def test_a_hub_that_discards_the_image_says_so():
    _, user = updating("hub-discards-image", bytes(40_000), start=START + 40 * SECOND)
    mail = user.wait()
    assert ["N60", "N62"] == heard(mail)
    assert duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED is mail[1].body.body.transfer.response


def test_a_skewed_clock_shows_in_the_alert():
    lab, user = updating("clock-skew", seconds=3 * HOUR // SECOND)
    assert ALL == heard(user.wait())
    said = (gbcs.decode(traced.octets).payload for traced in lab.world.trace if traced.what == "TUNNELING")
    proof, *_ = (payload for payload in said if isinstance(payload, gbcs.Cs09Alert))
    assert abs(proof.at - lab.world.now - 3 * HOUR) < MINUTE


def test_a_skewed_clock_activates_too_early():
    lab, user = suffering("clock-skew", seconds=HOUR // SECOND)
    image = hcalcs_image(lab)
    lab.publish(image)
    user.update(user.signed_image(image), lab.homes[0].hcalcs)
    user.wait()
    night = Instant((lab.world.now // HOUR + 15) * HOUR)
    user.activate(lab.homes[0].hcalcs, image.hash, night)
    assert ["I0 11.3", "8F66 11.3"] == heard(user.wait())
    assert night - HOUR <= lab.world.now < night


def test_a_corrupt_block_makes_the_ppmid_refuse_the_file():
    _, user = updating("corrupt-block")
    mail = user.wait()
    assert ["N60", "N62"] == heard(mail)
    assert duis.TransferResponse.FILE_TRANSFER_FAILURE is mail[1].body.body.transfer.response


def test_a_corrupt_block_makes_the_hcalcs_reject_the_image():
    lab, user = suffering("corrupt-block", probability=0.05)
    image = hcalcs_image(lab, bytes(2_000))
    lab.publish(image)
    user.update(user.signed_image(image), lab.homes[0].hcalcs)
    assert "8F1C" in heard(user.wait())


# Manufacture


def test_bricking_firmware_is_never_heard_of_again():
    lab, user = built_under("bricking-firmware")
    assert ["N60", "N62"] == heard(user.wait())
    user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].ppmid)
    assert ["E21 11.2"] == heard(user.wait())


def test_firmware_that_says_another_version_is_recorded_as_what_it_says():
    lab, user = built_under("wrong-version-firmware", version="09090909")
    mail = user.wait()
    says, device = FirmwareVersion.parse("09090909"), lab.homes[0].ppmid
    assert ["N60", "N62", "N39", "N50"] == heard(mail)
    assert says == mail[2].body.body.upgrade.version
    assert (says, says) == (lab.world.node(device).version, lab.world.dcc.inventory.find(device).firmware)


def test_an_alert_storm_is_throttled():
    lab, user = built_under("alert-storm-firmware", alerts=100)
    user.wait()
    lab.world.run_until(Instant(lab.world.now + DAY))
    mail = user.mail()
    said = [t for t in lab.world.trace if t.what == "WAN GBCS" and t.source == str(lab.homes[0].hub)]
    assert len(said) > 100
    assert len(mail) < 100


def test_a_wrong_hash_on_the_cpl_has_the_request_refused_until_it_is_put_right():
    lab, user = suffering("wrong-hash", end=START + HOUR)
    image = ppmid_image(lab)
    lab.publish(image)
    assert user.update_ppmids(image, lab.homes[0].ppmid).code == "E110402"
    lab.world.run_until(Instant(START + 2 * HOUR))
    lab.publish(image)
    assert user.update_ppmids(image, lab.homes[0].ppmid).code == "I99"


# Services


def test_a_dcc_that_is_down_answers_nobody_and_hears_homes_later():
    down = START + 10 * SECOND
    lab, user = updating("dcc-outage", start=down, end=down + DAY)
    assert ALL == heard(user.wait())
    assert lab.world.now >= down + DAY
    assert not [at for at in when(lab, "to User") if down <= at < down + DAY]


def test_a_request_during_an_outage_raises():
    lab, user = suffering("dcc-outage", end=START + HOUR)
    with pytest.raises(OutageError, match="2026-01-12T10:00"):
        user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].ppmid)
    lab.world.run_until(Instant(START + HOUR))
    assert user.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), lab.homes[0].ppmid).code == "I99"


def test_an_endpoint_that_is_down_for_days_gets_everything_when_it_is_back():
    lab, user = updating("endpoint-down", end=START + 9 * DAY, where=(SUPPLIER,))
    lab.world.run_until(Instant(START + 8 * DAY))
    assert user.mail() == []
    assert ALL == heard(user.wait())


def test_a_slow_region_takes_its_time():
    def took(**named):
        lab, user = updating("slow-region", factor=50, **named)
        assert ALL == heard(user.wait())
        return lab.world.now - START

    elsewhere, everywhere = took(where=("South",)), took(where=("North",))
    assert everywhere > elsewhere + 49 * 2 * SECOND


# All of them


def test_every_fault_has_a_test_here():
    tests = [made for name, made in globals().items() if name.startswith("test_")]
    sources = "".join(inspect.getsource(made) for made in tests)
    assert [] == [name for name in FAULTS if f'"{name}"' not in sources]


def test_faults_act_together_and_fall_the_same_each_time():
    def digest():
        names = ("lost-alert", "duplicated-alert", "reordered-alerts", "corrupt-block", "hub-discards-image")
        faults = [Scheduled(name, probability=0.3, where=frozenset()) for name in names]
        lab, user = a_lab(homes=3, faults=faults)
        image = ppmid_image(lab)
        lab.publish(image)
        user.update_ppmids(image, *(home.ppmid for home in lab.homes))
        lab.world.run_until(Instant(START + 3 * DAY))
        return lab.world.digest(), tuple(heard(user.mail()))

    assert digest() == digest()


def test_what_a_fault_does_is_counted():
    """Once for each alert, hub, build or submission upon which it acted, and not before."""

    def acted(lab):
        return dict(+lab.mischief.acted)

    lab, user = suffering("lost-alert", homes=2)
    assert {} == acted(lab)
    image = ppmid_image(lab)
    lab.publish(image)
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    user.wait()
    assert {"lost-alert": 4} == acted(lab)  # CCS08 and CS09 of each home
    lab, user = updating("hub-swap", homes=3, where=(another_home(1),))
    user.wait()
    assert {"hub-swap": 1} == acted(lab)
    lab, user = built_under("bricking-firmware")
    assert {"bricking-firmware": 1} == acted(lab)
    lab, user = updating("corrupt-block")
    user.wait()
    blocks = -(-len(images.encode(ppmid_image(lab))) // BLOCK_OCTETS)
    assert {"corrupt-block": blocks} == acted(lab)


def test_a_fault_that_never_strikes_changes_nothing():
    plain, user = a_lab()
    struck, other = a_lab(faults=[Scheduled(name, probability=0.0) for name in FAULTS])
    for lab, whose in ((plain, user), (struck, other)):
        image = ppmid_image(lab)
        lab.publish(image)
        whose.update_ppmids(image, lab.homes[0].ppmid)
        lab.world.run_until(Instant(START + DAY))
    assert plain.world.digest() == struck.world.digest()
    assert not +struck.mischief.acted


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda name, at, for_, probability: Scheduled(
                name, Instant(START + at), Instant(START + at + for_), probability=probability
            ),
            st.sampled_from(sorted(FAULTS)),
            st.integers(0, DAY) | st.integers(0, MINUTE),
            st.integers(1, 2 * DAY),
            st.sampled_from((0.3, 1.0)),
        ),
        max_size=5,
    )
)
def test_whatever_goes_wrong_together_the_world_goes_on_and_comes_to_rest(faults):
    lab, user = a_lab(homes=2, faults=faults)
    lab.world.run_until(Instant(START + 3 * DAY))
    image = ppmid_image(lab)
    lab.publish(image)
    user.update_ppmids(image, *(home.ppmid for home in lab.homes))
    user.wait(60)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "no-such-fault"},
        {"name": "lost-alert", "probability": 1.5},
        {"name": "lost-alert", "end": Instant(-1)},
        {"name": "lost-alert", "parameters": {"factor": 2}},
    ],
)
def test_a_fault_that_is_not_documented_cannot_be_scheduled(wrong):
    with pytest.raises(UsageError):
        Scheduled(**wrong)
