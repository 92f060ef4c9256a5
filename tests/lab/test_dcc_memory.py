"""What the DCC remembers is bounded: what has ended is forgotten by rule, and not before."""

from __future__ import annotations

from lamplighter.kit import ImageHash, Instant
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.lab.dcc import Service
from lamplighter.lab.wire import WanGbcs, WanImage, WanImageReceipt
from lamplighter.protocol import duis, gbcs

from .user import Desk, a_desk, heard, ppmid_image

MEMORY = 10 * DAY


def read(desk: Desk, device) -> None:
    assert desk.ask(Service.SEND_COMMAND, duis.ReadFirmwareVersion(), device).code == "I99"


def test_commands_that_have_ended_are_forgotten():
    desk = a_desk(memory_period=MEMORY)
    for _ in range(100):
        read(desk, desk.lab.homes[0].ppmid)
        desk.later(DAY)
        desk.sent.clear()
    # Two are still awaited; of the others those that lapsed within the memory period are known.
    assert len(desk.dcc._commands) <= 2 + MEMORY // DAY + 1
    desk.later(MEMORY + 3 * DAY)
    assert (0, 0) == (len(desk.dcc._commands), desk.dcc.open)
    assert not desk.dcc._commands._past
    assert not desk.dcc._commands._due


def test_pre_commands_that_nobody_signs_are_forgotten_and_can_then_not_be_sent():
    desk = a_desk(memory_period=MEMORY)
    device = desk.lab.homes[0].hcalcs
    id_ = desk.next_id(device)
    signed = desk.signed_pre_command(id_, ImageHash(bytes(32)))
    desk.later(MEMORY + HOUR)
    assert 0 == len(desk.dcc._commands)
    assert desk.send(id_, signed).code == "E58"


def test_a_pre_command_may_be_signed_within_the_memory_period():
    desk = a_desk(memory_period=MEMORY)
    id_ = desk.next_id(desk.lab.homes[0].hcalcs)
    signed = desk.signed_pre_command(id_, ImageHash(bytes(32)))
    desk.later(MEMORY - HOUR)
    assert desk.send(id_, signed).code == "I99"
    desk.later(HOUR)
    assert 1 == len(desk.dcc._commands)


def test_deliveries_that_have_ended_are_forgotten():
    desk = a_desk(homes=20, memory_period=MEMORY)
    image = ppmid_image(desk.lab)
    desk.lab.publish(image)
    desk.update_ppmids(image, *(home.ppmid for home in desk.lab.homes))
    desk.later(4 * DAY)
    assert (20, 0) == (len(desk.dcc._deliveries), desk.dcc.open)
    desk.later(MEMORY)
    assert 0 == len(desk.dcc._deliveries)
    assert not desk.dcc._deliveries._past


def test_a_delivery_that_is_under_way_is_never_forgotten():
    desk = a_desk(memory_period=HOUR)
    image = ppmid_image(desk.lab)
    desk.lab.publish(image)
    device = desk.lab.homes[0].ppmid
    desk.update_ppmids(image, device)
    (frame,) = [frame for frame in desk.sent if isinstance(frame, WanImage)]
    desk.later(DAY)
    desk.hear(WanImageReceipt(frame.hub, frame.transfer, device, delivered=True, at=desk.now))
    desk.later(10 * DAY)
    assert 1 == len(desk.dcc._deliveries)
    assert desk.update_ppmids(image, device).code == "E110403"


def test_a_device_that_speaks_of_a_forgotten_command_is_not_heard():
    desk = a_desk(memory_period=MEMORY)
    device = desk.lab.homes[0].hcalcs
    id_ = desk.next_id(device)
    desk.send(id_, desk.signed_pre_command(id_, ImageHash(bytes(32))))
    (command,) = [frame for frame in desk.sent if isinstance(frame, WanGbcs)]
    assert id_.counter == gbcs.decode(command.octets).message.counter
    desk.later(3 * DAY)
    assert ["E21 11.3"] == heard(desk.told())
    desk.later(MEMORY)
    answer = gbcs.compose(
        gbcs.Cs06Response(gbcs.ActivationResult.NO_IMAGE_HELD, desk.dcc.inventory.entry(device).firmware),
        originator=device,
        recipient=desk.user,
        counter=id_.counter,
        date_time=gbcs.CosemDateTime.of(Instant(desk.now)).octets,
    )
    octets = gbcs.sign(answer, desk.lab.pki.device(device, desk.dcc.acb).signer(device))
    desk.hear(WanGbcs(command.hub, device, octets, outbound=False))
    assert [] == desk.told()
    assert "answer-unexpected" == desk.events[-1].check
