"""A Device's life in the inventory: nine statuses, and no way between them but the table's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import UsageError
from lamplighter.kit.errors import IllegalTransitionError
from lamplighter.lab.dcc import LIFE, Life, Service
from lamplighter.lab.dcc.life import RESTORATIONS
from lamplighter.protocol import duis
from lamplighter.protocol.duis import DeviceStatus, DeviceType

from .user import a_desk

ENDS = {DeviceStatus.DECOMMISSIONED, DeviceStatus.WITHDRAWN}


@pytest.mark.parametrize("status", DeviceStatus, ids=lambda status: status.value)
def test_status_is_reached_from_pending(status):
    reached, seen = {LIFE.start}, set()
    while reached - seen:
        at = (reached - seen).pop()
        seen.add(at)
        reached |= {to for (start, _), to in LIFE.arrows.items() if start is at}
    assert status in seen


def test_a_life_ends_with_withdrawal_or_decommissioning_and_nowhere_else():
    assert ENDS == set(DeviceStatus) - {start for start, _ in LIFE.arrows}


def test_only_what_was_in_service_is_decommissioned():
    before = {s for (s, word) in LIFE.arrows if LIFE.arrows[s, word] is DeviceStatus.WITHDRAWN}
    assert {
        DeviceStatus.PENDING,
        DeviceStatus.WHITELISTED,
        DeviceStatus.INSTALLED_NOT_COMMISSIONED,
    } == before


@pytest.mark.parametrize("status", RESTORATIONS, ids=lambda status: status.value)
def test_a_restored_device_is_again_what_it_was(status):
    desk = a_desk()
    device = desk.lab.homes[0].ppmid
    desk.dcc.inventory.record_status(device, status)
    desk.take(desk.dcc.change_status(device, Life.SUSPENDED, desk.now))
    assert DeviceStatus.SUSPENDED is desk.dcc.inventory.entry(device).status
    desk.take(desk.dcc.restore(device, desk.now))
    entry = desk.dcc.inventory.entry(device)
    assert (status, None) == (entry.status, entry.suspended_from)


def test_a_suspended_device_is_not_restored_to_more_than_it_was():
    desk = a_desk()
    device = desk.lab.homes[0].ppmid
    desk.dcc.inventory.record_status(device, DeviceStatus.WHITELISTED)
    desk.dcc.change_status(device, Life.SUSPENDED, desk.now)
    with pytest.raises(UsageError, match="RESTORED_TO_WHITELISTED"):
        desk.dcc.change_status(device, Life.RESTORED_TO_COMMISSIONED, desk.now)


@given(st.lists(st.sampled_from(Life), max_size=40), st.sampled_from(["hub", "ppmid", "hcalcs", "esme"]))
def test_whatever_happens_a_status_moves_along_the_arrows_or_not_at_all(words, which):
    desk = a_desk()
    inventory = desk.dcc.inventory
    device = getattr(desk.lab.homes[0], which)
    inventory.record_status(device, DeviceStatus.PENDING)
    for word in words:
        before = inventory.entry(device)
        try:
            desk.take(desk.dcc.change_status(device, word, desk.now))
        except IllegalTransitionError:
            assert not LIFE.allows(before.status, word)
        except UsageError:
            assert word in RESTORATIONS.values()
        else:
            assert LIFE.arrows[before.status, word] is inventory.entry(device).status
            continue
        assert before == inventory.entry(device)
    desk.told()


def test_a_display_that_the_dcc_does_not_manage_has_no_status():
    desk = a_desk()
    home = desk.lab.homes[0]
    entries = desk.dcc.inventory._entries
    entries[home.ppmid] = replace(entries[home.ppmid], type=DeviceType.IHD)
    answer = desk.ask(Service.NON_DEVICE, duis.ReadInventory(home.ppmid))
    (ihd,) = [each for each in answer.body.payload.devices if each.type is DeviceType.IHD]
    assert ihd.status is None


@pytest.mark.parametrize("entry", list(LIFE.arrows), ids=lambda a: f"{a[0].value}-{a[1].name}")
def test_every_arrow_tells_what_the_schema_knows(entry):
    """Whatever is told of a change is a message that the User can open."""
    status, word = entry
    for which in ("hub", "ppmid", "hcalcs", "esme"):
        desk = a_desk()
        device = getattr(desk.lab.homes[0], which)
        desk.dcc.inventory.record_status(device, status)
        if word in RESTORATIONS.values():
            desk.dcc.inventory.record_status(device, LIFE.arrows[entry])
            desk.dcc.change_status(device, Life.SUSPENDED, desk.now)
        desk.take(desk.dcc.change_status(device, word, desk.now))
        assert len(desk.told()) <= 1
