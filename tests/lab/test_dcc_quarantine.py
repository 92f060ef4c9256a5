"""Anomaly detection: what is held back, what is counted, and what becomes of it by hand."""

from __future__ import annotations

import pytest

from lamplighter.kit import ImageHash, UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import (
    AnomalyLimits,
    Counting,
    Life,
    Quarantined,
    Service,
    Threshold,
    UserRole,
)
from lamplighter.lab.homes import SUPPLIER
from lamplighter.lab.wire import WanGbcs, WanImage
from lamplighter.protocol import duis

from .user import Desk, a_desk, heard, ppmid_image


def read(desk: Desk) -> str:
    """Read the version of a PPMID: the code, and N46 where it is held back."""
    target = desk.lab.homes[0].ppmid
    code = desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), target).code
    return " ".join((code, *heard(desk.told())))


def limited(most: int, srv: str = "11.2", **settings) -> Desk:
    by_user = {(SUPPLIER, srv): Threshold(most, DAY)}
    return a_desk(anomaly=AnomalyLimits(by_user=by_user, **settings))


def published(desk: Desk):
    image = ppmid_image(desk.lab)
    desk.lab.publish(image)
    return image


def test_without_thresholds_nothing_is_held_back():
    desk = a_desk()
    assert ["I99"] * 50 == [read(desk) for _ in range(50)]


def test_above_a_users_threshold_requests_are_held_back_and_the_user_is_told():
    desk = limited(2)
    assert ["I99", "I99", "I99 N46", "I99 N46"] == [read(desk) for _ in range(4)]
    assert 2 == len([frame for frame in desk.sent if isinstance(frame, WanGbcs)])
    assert ["1", "2"] == [held.reference for held in desk.dcc.quarantined]


def test_the_alert_names_request_reference_and_breach():
    desk = limited(0)
    desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), desk.lab.homes[0].ppmid)
    (alert,) = desk.told()
    (held,) = desk.dcc.quarantined
    assert duis.QuarantinedRequest(held.request.id, "1", duis.Breach.USER_THRESHOLD) == alert.body.body
    assert [held] == [event for event in desk.events if isinstance(event, Quarantined)]


def test_what_was_asked_before_the_period_no_longer_counts():
    desk = limited(1)
    assert ["I99", "I99 N46"] == [read(desk), read(desk)]
    desk.later(DAY)
    desk.told()
    assert ["I99", "I99 N46"] == [read(desk), read(desk)]


def test_a_user_sets_its_own_threshold_and_takes_it_back():
    desk = a_desk()
    desk.dcc.set_threshold(SUPPLIER, "11.2", Threshold(0))
    assert read(desk) == "I99 N46"
    desk.dcc.set_threshold(SUPPLIER, "11.2", None)
    assert read(desk) == "I99"


def test_one_users_requests_do_not_count_against_another():
    desk = limited(0)
    other = desk.gas_supplier()
    assert ["I99 N46", "I99"] == [read(desk), read(other)]


def test_a_threshold_of_the_dcc_counts_all_users():
    desk = a_desk(anomaly=AnomalyLimits(by_service={"11.2": Threshold(2)}))
    other = desk.gas_supplier()
    assert ["I99", "I99", "I99 N47", "I99 N47"] == [read(desk), read(other), read(desk), read(other)]


@pytest.mark.parametrize(
    ("counting", "told"), [(Counting.DEVICES, ["N46"]), (Counting.REQUESTS, [])], ids=str
)
def test_a_request_to_many_devices_counts_as_the_setting_says(counting, told):
    by_user = {(SUPPLIER, "11.4"): Threshold(2)}
    desk = a_desk(homes=3, anomaly=AnomalyLimits(by_user=by_user, counting=counting))
    ppmids = [home.ppmid for home in desk.lab.homes]
    assert desk.update_ppmids(published(desk), *ppmids).code == "I99"
    assert told == heard(desk.told())


def test_what_the_dcc_answers_at_once_is_never_held_back():
    limits = {(SUPPLIER, srv): Threshold(0) for srv in ("8.2", "11.3")}
    desk = a_desk(anomaly=AnomalyLimits(by_user=limits))
    home = desk.lab.homes[0]
    assert desk.ask(Service.NON_DEVICE, duis.ReadInventory(home.ppmid)).code == "I0"
    id_ = desk.next_id(home.hcalcs)
    signed = desk.signed_pre_command(id_, ImageHash(bytes(32)))
    assert desk.send(id_, signed).code == "I99"
    assert ["N46"] == heard(desk.told())


def test_a_request_that_is_refused_anyway_is_not_held_back():
    desk = limited(0)
    desk.dcc.inventory.remove(desk.lab.homes[0].ppmid)
    assert read(desk) == "E19"
    assert () == desk.dcc.quarantined


def test_a_released_request_goes_on_as_if_it_came_now():
    desk = limited(0)
    read(desk)
    desk.take(desk.dcc.release("1", desk.now))
    assert 1 == len([frame for frame in desk.sent if isinstance(frame, WanGbcs)])
    assert [] == desk.told()
    assert () == desk.dcc.quarantined
    assert read(desk) == "I99 N46"


def test_a_released_distribution_tells_the_other_supplier_and_warns_late():
    desk = limited(0, "11.4")
    home = desk.lab.homes[0]
    assert desk.update_ppmids(published(desk), home.ppmid, home.esme).code == "I99"
    desk.told()
    desk.take(desk.dcc.release("1", desk.now))
    assert [(home.ppmid,)] == [frame.devices for frame in desk.sent if isinstance(frame, WanImage)]
    (warning,) = desk.told()
    assert ("W110401", (home.esme,)) == (warning.code, warning.body.payload.invalid)


def test_a_released_request_is_judged_by_how_things_stand_then():
    desk = limited(0)
    read(desk)
    device = desk.lab.homes[0].ppmid
    desk.take(desk.dcc.change_status(device, Life.TAKEN_OUT, desk.now))
    desk.take(desk.dcc.release("1", desk.now))
    assert ["E5 11.2"] == heard(desk.told())


def test_after_a_change_of_supplier_a_released_request_is_refused():
    desk = limited(0)
    home = desk.lab.homes[0]
    desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), home.hcalcs)
    other = desk.gas_supplier()
    request = duis.RequestId(other.user, home.esme, 1)
    desk.dcc.change_supplier(request, UserRole.IMPORT_SUPPLIER, desk.now)
    desk.told()
    desk.take(desk.dcc.release("1", desk.now))
    assert ["E4 11.2"] == heard(desk.told())


def test_a_deleted_request_is_gone():
    desk = limited(0)
    read(desk)
    assert "1" == desk.dcc.delete("1").reference
    assert () == desk.dcc.quarantined
    with pytest.raises(UsageError):
        desk.dcc.release("1", desk.now)
    desk.later(HOUR)
    assert [] == desk.sent


def test_a_request_that_is_held_back_has_spent_its_counter():
    desk = limited(0)
    read(desk)
    desk.counter -= 1
    assert read(desk) == "E57"
