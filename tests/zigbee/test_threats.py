"""A hostile hub and a hostile Device, each attack by its name."""

from __future__ import annotations

import pytest

from lamplighter.kit import FirmwareVersion, Step
from lamplighter.kit.instant import DAY
from lamplighter.protocol import zigbee
from lamplighter.protocol.zigbee import download, upload

from .link import FILE, HARDWARE, NEW, NOW, OLD, client, offer


def _say(command: zigbee.Command, transaction: int = 1) -> bytes:
    return zigbee.encode(zigbee.Frame(transaction, command, quiet=True))


def _asking() -> tuple[zigbee.OtaClient, zigbee.Frame]:
    """A client that waits for its first block, and its request."""
    device = client()
    (query,) = device.query(NOW).send
    step = device.receive(_say(zigbee.NextImage(NEW, len(FILE)), query[1]), NOW)
    return device, zigbee.decode(step.send[0])


def _serving() -> zigbee.OtaServer:
    """A server that has offered its image to a client."""
    hub = zigbee.OtaServer()
    hub.offer(offer(), NOW)
    hub.receive(_say(zigbee.QueryNextImageRequest(OLD, HARDWARE)), NOW)
    return hub


def _silence(device: zigbee.OtaClient) -> list[object]:
    """What happens when nothing more comes."""
    events: list[object] = []
    while device.due is not None:
        events += device.wake(device.due).events
    return events


@pytest.mark.parametrize(
    ("image", "size", "reason"),
    [
        (NEW, 4097, zigbee.Reason.TOO_LARGE),
        (NEW, 0xFFFFFFFF, zigbee.Reason.TOO_LARGE),
        (NEW, 0, zigbee.Reason.TOO_LARGE),
        (zigbee.ImageId(0x1234, 0x0084, NEW.version), 100, zigbee.Reason.OTHER_IMAGE),
        (zigbee.ImageId(0x121D, 0x0000, NEW.version), 100, zigbee.Reason.OTHER_IMAGE),
        (OLD, 100, zigbee.Reason.SAME_VERSION),
    ],
)
def test_an_offer_too_large_or_of_another_maker_is_not_begun(image, size, reason) -> None:
    device = client()
    (query,) = device.query(NOW).send
    step = device.receive(_say(zigbee.NextImage(image, size), query[1]), NOW)
    assert Step((), (zigbee.Failed(reason),)) == step


def test_an_offer_that_answers_no_question_is_not_begun() -> None:
    device = client()
    assert Step() == device.receive(_say(zigbee.NextImage(NEW, 100), 0), NOW)
    (query,) = device.query(NOW).send
    stale = device.receive(_say(zigbee.NextImage(NEW, 100), query[1] ^ 1), NOW)
    assert () == stale.send


@pytest.mark.parametrize(
    ("offset", "data"),
    [(64, FILE[64:128]), (0xFFFFFFC0, FILE[:64]), (0, b""), (0, FILE[:65]), (0, bytes(255))],
    ids=["next offset", "offset at the end of the world", "empty", "longer than asked", "far longer"],
)
def test_a_block_at_a_wrong_offset_or_of_a_wrong_length_is_never_stored_and_buys_no_time(
    offset, data
) -> None:
    device, request = _asking()
    due = device.due
    step = device.receive(_say(zigbee.ImageBlock(NEW, offset, data), request.transaction), NOW + 1)
    assert Step((), (), due) == step
    assert 0 == device._download.offset
    assert [zigbee.Failed(zigbee.Reason.NO_ANSWER)] == _silence(device)


def test_a_replayed_block_is_stored_once() -> None:
    device, request = _asking()
    block = _say(zigbee.ImageBlock(NEW, 0, FILE[:64]), request.transaction)
    device.receive(block, NOW)
    due = device.due
    assert Step((), (), due) == device.receive(block, NOW + 1)
    assert 64 == device._download.offset


def test_an_image_swapped_for_another_version_mid_transfer_ends_the_transfer() -> None:
    device, request = _asking()
    swapped = zigbee.ImageId(NEW.manufacturer, NEW.image_type, FirmwareVersion(0x02000001))
    step = device.receive(_say(zigbee.ImageBlock(swapped, 0, FILE[:64]), request.transaction), NOW)
    assert (zigbee.Failed(zigbee.Reason.OTHER_IMAGE),) == step.events
    assert zigbee.UpgradeEndRequest(zigbee.Status.ABORT, NEW) == zigbee.decode(step.send[0]).command


def test_a_block_of_an_earlier_transfer_that_arrives_late_does_no_harm() -> None:
    device, request = _asking()
    late = zigbee.ImageBlock(OLD, 0, FILE[:64])
    step = device.receive(_say(late, (request.transaction - 1) & 0xFF), NOW)
    assert Step((), (), device.due) == step


def test_endless_wait_for_data_is_given_up() -> None:
    device, request = _asking()
    waits = 1
    while not (step := device.receive(_say(zigbee.WaitForData(0, 0, 0), request.transaction), NOW)).events:
        request = zigbee.decode(device.wake(device.due).send[0])
        waits += 1
    assert (zigbee.Failed(zigbee.Reason.ENDLESS_WAIT),) == step.events
    assert download.WAITS == waits


def test_a_wait_of_136_years_is_not_kept() -> None:
    device, request = _asking()
    step = device.receive(_say(zigbee.WaitForData(0, 0xFFFFFFFF, 0), request.transaction), NOW)
    assert (zigbee.Failed(zigbee.Reason.ENDLESS_WAIT),) == step.events


def test_an_abort_by_the_server_leaves_the_client_free_to_ask_again() -> None:
    device, request = _asking()
    step = device.receive(_say(zigbee.AbortTransfer(), request.transaction), NOW)
    assert Step((), (zigbee.Failed(zigbee.Reason.ABORTED_BY_SERVER),)) == step
    assert device.query(NOW).send


def test_a_client_that_aborts_tells_the_server_which_closes_the_offer() -> None:
    device, _ = _asking()
    hub = _serving()
    step = device.abort()
    assert (zigbee.Failed(zigbee.Reason.ABORTED),) == step.events
    assert (zigbee.Undelivered(NEW, zigbee.Cause.ABORTED),) == hub.receive(step.send[0], NOW).events


@pytest.mark.parametrize("begun", [False, True])
def test_an_order_to_activate_what_was_not_fetched_is_not_obeyed(begun) -> None:
    device = _asking()[0] if begun else client()
    step = device.receive(_say(zigbee.UpgradeEndResponse(NEW, 0, 0)), NOW)
    assert Step((), (), device.due) == step


def test_an_activation_in_136_years_does_not_lock_the_device_out() -> None:
    device, request = _asking()
    while not device.receive(_say(_block(request), request.transaction), NOW).events:
        request = zigbee.decode(device._download._request)
    device.accept(NOW)
    other = zigbee.ImageId(NEW.manufacturer, NEW.image_type, FirmwareVersion(9))
    assert () == device.receive(_say(zigbee.UpgradeEndResponse(other, 0, 0)), NOW).events
    step = device.receive(_say(zigbee.UpgradeEndResponse(NEW, 0, 0xFFFFFFFE)), NOW)
    assert Step((), (zigbee.Hold(NEW),)) == step
    assert device.query(NOW).send


def _block(request: zigbee.Frame) -> zigbee.ImageBlock:
    assert isinstance(request.command, zigbee.ImageBlockRequest)
    offset = request.command.offset
    return zigbee.ImageBlock(NEW, offset, FILE[offset : offset + request.command.maximum])


def test_a_client_that_asks_for_one_block_for_ever_is_aborted() -> None:
    hub = _serving()
    request = _say(zigbee.ImageBlockRequest(NEW, 0, 64))
    budget = upload.REPEATS_MIN + len(FILE) // upload.OCTETS_A_REPEAT
    asked = 1
    while not (step := hub.receive(request, NOW)).events:
        asked += 1
    assert (zigbee.Undelivered(NEW, zigbee.Cause.EXHAUSTED),) == step.events
    assert zigbee.AbortTransfer() == zigbee.decode(step.send[0]).command
    assert budget + 1 == asked
    assert zigbee.AbortTransfer() == zigbee.decode(hub.receive(request, NOW).send[0]).command


def test_pages_asked_for_without_end_are_aborted() -> None:
    hub = _serving()
    request = _say(zigbee.ImagePageRequest(NEW, 0, 1, 0xFFFF, 0))
    events: list[object] = []
    while not events:
        events += hub.receive(request, NOW).events
    assert [zigbee.Undelivered(NEW, zigbee.Cause.EXHAUSTED)] == events


def test_a_budget_used_up_between_two_blocks_of_a_page_ends_the_offer_too() -> None:
    """Pages of one octet a block, each waited out: the end comes in a wake, and is told like any other."""
    hub = _serving()
    request = _say(zigbee.ImagePageRequest(NEW, 0, 1, len(FILE), 0))
    now, events = NOW, []
    while not events:
        step = hub.receive(request, now)
        events += step.events
        while not events and step.wake is not None and step.wake < NOW + DAY:
            now = step.wake
            step = hub.wake(now)
            events += step.events
    assert ([zigbee.Undelivered(NEW, zigbee.Cause.EXHAUSTED)], False) == (events, hub.busy)


@pytest.mark.parametrize(
    "request_",
    [
        zigbee.ImageBlockRequest(NEW, len(FILE), 64),
        zigbee.ImageBlockRequest(NEW, 0xFFFFFFFF, 255),
        zigbee.ImageBlockRequest(NEW, 0, 0),
        zigbee.ImageBlockRequest(OLD, 0, 64),
        zigbee.ImagePageRequest(NEW, len(FILE), 64, 1, 0),
        zigbee.ImagePageRequest(NEW, 0, 0, 64, 0),
    ],
)
def test_a_request_beyond_the_image_or_for_another_is_aborted(request_) -> None:
    step = _serving().receive(_say(request_), NOW)
    assert [zigbee.AbortTransfer()] == [zigbee.decode(octets).command for octets in step.send]


def test_a_block_request_without_a_query_gets_nothing() -> None:
    hub = zigbee.OtaServer()
    hub.offer(offer(), NOW)
    (octets,) = hub.receive(_say(zigbee.ImageBlockRequest(NEW, 0, 64)), NOW).send
    assert zigbee.AbortTransfer() == zigbee.decode(octets).command


def test_a_success_claimed_without_the_image_is_not_believed() -> None:
    hub = _serving()
    assert Step((), (), hub.due) == hub.receive(
        _say(zigbee.UpgradeEndRequest(zigbee.Status.SUCCESS, NEW)), NOW
    )
    assert hub.busy


def test_an_abort_after_delivery_changes_nothing() -> None:
    hub = _serving()
    for offset in range(0, len(FILE), 64):
        hub.receive(_say(zigbee.ImageBlockRequest(NEW, offset, 64)), NOW)
    end = _say(zigbee.UpgradeEndRequest(zigbee.Status.SUCCESS, NEW))
    first = hub.receive(end, NOW)
    assert (zigbee.Delivered(NEW),) == first.events
    assert Step() == hub.receive(_say(zigbee.UpgradeEndRequest(zigbee.Status.ABORT, NEW)), NOW)
    assert Step(first.send) == hub.receive(end, NOW)


def test_a_page_of_no_octets_sends_no_more_than_nothing() -> None:
    hub = _serving()
    step = hub.receive(_say(zigbee.ImagePageRequest(NEW, 0, 64, 0, 0)), NOW)
    assert [zigbee.AbortTransfer()] == [zigbee.decode(octets).command for octets in step.send]


def test_another_query_in_mid_transfer_does_not_refill_the_budget() -> None:
    hub = _serving()
    query = _say(zigbee.QueryNextImageRequest(OLD, HARDWARE))
    request = _say(zigbee.ImageBlockRequest(NEW, 0, 64))
    asked = 0
    while not hub.receive(request, NOW).events:
        hub.receive(query, NOW)
        asked += 1
        assert asked < 10_000
    assert not hub.busy


def test_an_offer_ends_on_its_day_though_the_client_keeps_on_asking() -> None:
    hub = _serving()
    hub.receive(_say(zigbee.ImageBlockRequest(NEW, 0, 64)), NOW + 6 * DAY)
    step = hub.wake(hub.due)
    assert (zigbee.Undelivered(NEW, zigbee.Cause.UNFINISHED),) == step.events


def test_a_servers_own_frames_sent_back_to_it_are_passed_over() -> None:
    hub = _serving()
    (nonsense,) = hub.receive(b"\x09\x01\x05", NOW).events
    assert isinstance(nonsense, zigbee.Nonsense)
    assert Step((), (), hub.due) == hub.receive(_say(zigbee.AbortTransfer()), NOW)
