"""The loop against a DCC that answers as we tell it, over real HTTP and under real signatures."""

from dataclasses import replace

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from lamplighter.campaign import Fact, Order, State
from lamplighter.kit import FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import Role
from lamplighter.service.gateway import Gateway
from lamplighter.service.listener import Listener
from lamplighter.service.reconciler import Reconciler
from lamplighter.store import Store

from .parties import (
    BROKER,
    DEVICES,
    HASH,
    HCALCS,
    HCALCS_DEVICE,
    NEW,
    ONE_STEP,
    PARTIES,
    PKI,
    PPMID,
    PPMID_DEVICE,
    STRANGER,
    SUPPLIER,
    TWO_STEP,
    activated,
    activation_response,
    alert,
    answer,
    by_dsp,
    clock,
    delivered,
    receipt,
    transferred,
)

AT_DSP = PKI.acb(BROKER, [SUPPLIER], DEVICES)


class ScriptedDcc:
    """Checks every request as the DCC would, keeps it, and answers as told."""

    def __init__(self):
        self.requests = []
        self.reply = self.accept

    def application(self):
        return Starlette(routes=[Route("/api/v1/{service}", self.post, methods=["POST"])])

    async def post(self, http):
        request = duis.open_request(await http.body(), AT_DSP, now=clock()).message
        self.requests.append((http.path_params["service"], request))
        reply = self.reply(request)
        return reply if isinstance(reply, Response) else Response(reply, media_type="application/xml")

    def pre_command(self, request, **changes):
        intent = gbcs.Activation(
            request.id.originator, request.id.target, request.id.counter, request.body.hash, None
        )
        for name, value in changes.items():
            object.__setattr__(intent, name, value)
        return duis.PreCommand("4.3", gbcs.encode_message(gbcs.pre_command(intent)))

    def accept(self, request):
        if isinstance(request.body, duis.ActivateFirmware):
            return by_dsp(answer(request, "I0", self.pre_command(request)))
        return by_dsp(answer(request, "I99"))


@pytest.fixture
def store(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def dcc():
    return ScriptedDcc()


@pytest.fixture
def tick(store, dcc):
    with Listener(dcc.application()) as listener, httpx2.Client(base_url=listener.url + "/api/v1") as client:
        yield Reconciler(PARTIES, store, Gateway(PARTIES, client, clock), clock).tick


@pytest.fixture
def ppmid(store):
    store.put_devices([PPMID_DEVICE])
    store.enrol(store.add_release(ONE_STEP), [PPMID])


@pytest.fixture
def hcalcs(store):
    store.put_devices([HCALCS_DEVICE])
    store.enrol(store.add_release(TWO_STEP), [HCALCS])


def state(store):
    [update] = store.updates()
    return update.state


def details(store, device, fact):
    return [e.evidence.detail for e in store.timeline(device) if e.evidence.fact is fact]


def last(dcc):
    """The id of the latest request."""
    return dcc.requests[-1][1].id


def arrive(store, tick, *responses):
    for response in responses:
        store.take_in(by_dsp(response), clock())
    tick()


@pytest.mark.usefixtures("ppmid")
def test_a_ppmid_is_proven_in_one_request(store, dcc, tick):
    """SRV 11.4 once; N60, N62, N39; nothing more is asked."""
    tick()
    assert State.ACCEPTED is state(store)
    [(service, request)] = dcc.requests
    assert ("serviceD", (PPMID,), NEW) == (service, request.body.devices, request.body.version)
    arrive(store, tick, delivered(request=last(dcc)), transferred(), activated())
    assert State.PROVEN is state(store)
    assert (False, 1) == (tick(), len(dcc.requests))


@pytest.mark.usefixtures("hcalcs")
def test_an_hcalcs_is_activated_only_after_it_verified_the_image(store, dcc, tick):
    """SRV 11.1; 8F72; transform, signed pre-command; CS06 with the new version."""
    tick()
    arrive(store, tick, delivered(HCALCS, request=last(dcc)), transferred(HCALCS, request=last(dcc)))
    assert (State.ON_DEVICE, 1) == (state(store), len(dcc.requests))
    arrive(store, tick, receipt())
    assert State.ACTIVATION_SENT is state(store)
    services = [(service, type(request.body)) for service, request in dcc.requests]
    assert services == [
        ("serviceD", duis.UpdateFirmware),
        ("serviceT", duis.ActivateFirmware),
        ("serviceS", duis.SignedPreCommand),
    ]
    arrive(store, tick, activation_response(counter=last(dcc).counter))
    assert State.PROVEN is state(store)


@pytest.mark.usefixtures("hcalcs")
def test_the_command_bears_our_signature_and_its_requests_counter(store, dcc, tick):
    """What goes to the Send Command service is the pre-command, signed, under the transform's counter."""
    tick()
    arrive(store, tick, receipt())
    (_, transform), (_, command) = dcc.requests[1:]
    signed = gbcs.decode(command.body.payload)
    assert (transform.id, transform.id.counter) == (command.id, signed.message.counter)
    key = PARTIES.ring.signer(SUPPLIER, Role.SUPPLIER)
    assert signed.message.signature == key.sign(command.body.payload[1:-65])


@pytest.mark.usefixtures("ppmid")
@pytest.mark.parametrize("code", ["E4", "E110401", "E110402"])
def test_a_refusal_is_recorded_with_its_code_and_not_repeated(store, dcc, tick, code):
    """The DCC says no: the Device is refused, and the timeline says why."""
    dcc.reply = lambda request: by_dsp(answer(request, code))
    tick()
    [refusal] = [e.evidence for e in store.timeline(PPMID) if e.evidence.fact is Fact.REFUSED]
    assert (State.REFUSED, code) == (state(store), refusal.message)
    assert (False, 1) == (tick(), len(dcc.requests))


def test_a_warning_refuses_only_the_devices_that_it_lists(store, dcc, tick):
    """W110401: one PPMID of two is left out, the other goes on."""
    store.put_devices([PPMID_DEVICE, replace(PPMID_DEVICE, eui=STRANGER)])
    store.enrol(store.add_release(ONE_STEP), [PPMID, STRANGER])
    warning = duis.FirmwareWarning((), (), (), (PPMID,), (), ppmid=True)
    dcc.reply = lambda request: by_dsp(answer(request, "W110401", warning))
    tick()
    assert [State.REFUSED, State.ACCEPTED] == [update.state for update in store.updates()]
    assert ["another request in progress"] == details(store, PPMID, Fact.REFUSED)


@pytest.mark.usefixtures("ppmid")
def test_an_unreachable_dcc_is_asked_again_under_the_same_request_id(store):
    """Nobody listens: the order stays in the outbox, and keeps its counter."""
    with httpx2.Client(base_url="http://127.0.0.1:9") as client:
        reconciler = Reconciler(PARTIES, store, Gateway(PARTIES, client, clock), clock)
        reconciler.tick()
        first = store.open_requests()
        reconciler.tick()
    assert (State.QUEUED, first) == (state(store), store.open_requests())
    assert len(first) == 1


@pytest.mark.usefixtures("ppmid")
def test_a_dcc_in_trouble_is_asked_again_later(store, dcc):
    """HTTP 503 is no answer to the request: asked again after a pause, under the same id."""
    now = [clock()]
    dcc.reply = lambda _: Response(status_code=503)
    with Listener(dcc.application()) as listener:
        base = listener.url + "/api/v1"
        with httpx2.Client(base_url=base) as client:
            reconciler = Reconciler(PARTIES, store, Gateway(PARTIES, client, clock), lambda: now[0])
            reconciler.tick()
            reconciler.tick()
            assert len(dcc.requests) == 1
            dcc.reply = dcc.accept
            now[0] = Instant(now[0] + 10**9)
            reconciler.tick()
    assert State.ACCEPTED is state(store)
    assert len({request.id for _, request in dcc.requests}) == 1


@pytest.mark.usefixtures("hcalcs")
@pytest.mark.parametrize(
    "changes",
    [{"hash": ImageHash(b"\x66" * 32)}, {"device": STRANGER}, {"counter": 1}, {"execution": gbcs.CANCELLED}],
)
def test_a_transform_that_says_something_else_is_never_signed(store, dcc, tick, changes):
    """A compromised DSP hands us another pre-command: nothing goes to the Send Command service."""
    tick()
    dcc.reply = lambda request: by_dsp(answer(request, "I0", dcc.pre_command(request, **changes)))
    arrive(store, tick, receipt())
    assert "serviceS" not in [service for service, _ in dcc.requests]
    assert State.ACTIVATION_FAILED is state(store)
    assert "pre-command-" in details(store, HCALCS, Fact.ACTIVATION_REFUSED)[0]


@pytest.mark.usefixtures("ppmid")
def test_an_answer_to_another_request_is_not_believed(store, dcc, tick):
    """A replayed I99 of an earlier request acknowledges nothing."""
    earlier = duis.RequestId(SUPPLIER, BROKER, 1)
    dcc.reply = lambda request: by_dsp(answer(replace(request, id=earlier), "I99"))
    tick()
    assert State.REFUSED is state(store)
    assert "answer-to-another" in details(store, PPMID, Fact.REFUSED)[0]


@pytest.mark.usefixtures("ppmid")
def test_an_unsigned_acknowledgement_is_taken_as_the_dcc_sends_it(store, dcc, tick):
    """Some synchronous acknowledgements come unsigned; the proof does not rest on them."""
    dcc.reply = lambda request: duis.encode_response(answer(request, "I99"))
    tick()
    assert State.ACCEPTED is state(store)


@pytest.mark.usefixtures("hcalcs")
def test_an_unsigned_pre_command_is_not_believed(store, dcc, tick):
    """Only a bare acknowledgement may be unsigned."""
    tick()
    dcc.reply = lambda request: duis.encode_response(answer(request, "I0", dcc.pre_command(request)))
    arrive(store, tick, receipt())
    assert State.ACTIVATION_FAILED is state(store)
    assert "xml-unsigned" in details(store, HCALCS, Fact.ACTIVATION_REFUSED)[0]


@pytest.mark.usefixtures("ppmid")
@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (delivered(STRANGER), "not being updated"),
        (delivered(version=FirmwareVersion(9)), "not of the image that was sent"),
        (delivered(), "request 5, which was not made for"),
        (transferred(), "nothing was ordered yet"),
        (activated(version=FirmwareVersion(1)), "nothing was ordered yet"),
        (receipt(signer=PPMID), "signature"),
    ],
)
def test_what_cannot_be_applied_becomes_a_dead_letter(store, tick, response, reason):
    """Alerts of unknown Devices, of other images, or not to be believed: kept, with the reason."""
    before = store.updates()
    store.take_in(by_dsp(response), clock())
    tick()
    [(_, why)] = store.dead_letters()
    assert reason in why
    assert [] == store.waiting()
    assert [u.id for u in before] == [u.id for u in store.updates()]


@pytest.mark.usefixtures("hcalcs")
def test_a_receipt_for_another_image_activates_nothing(store, dcc, tick):
    """8F72 with another hash: the Device holds something that we did not send."""
    tick()
    arrive(store, tick, receipt(image_hash=ImageHash(b"\x66" * 32)))
    assert (State.ACCEPTED, 1) == (state(store), len(dcc.requests))
    assert HASH != ImageHash(b"\x66" * 32)


@pytest.mark.usefixtures("ppmid")
def test_a_proof_counts_whoever_brought_the_version(store, dcc, tick):
    """The other Supplier was quicker: N39 names our version before we ordered, and nothing is ordered."""
    store.take_in(by_dsp(activated()), clock())
    tick()
    assert (State.PROVEN, []) == (state(store), dcc.requests)


@pytest.mark.usefixtures("ppmid")
def test_an_old_failure_does_not_end_a_new_update(store, tick):
    """N39 of another version, from before the order and delivered late: set aside."""
    tick()
    arrive(store, tick, activated(version=FirmwareVersion(1), at=clock() - 10**12))
    assert State.ACCEPTED is state(store)
    [(_, why)] = store.dead_letters()
    assert "from before the first order" in why


@pytest.mark.usefixtures("hcalcs")
def test_an_answer_to_a_command_that_we_never_gave_proves_nothing(store, tick):
    """A genuine CS06 response with a counter of another time: the HCALCS stays where it was."""
    tick()
    arrive(store, tick, activation_response(counter=3))
    assert State.ACCEPTED is state(store)
    [(_, why)] = store.dead_letters()
    assert "request 3, which was not made for" in why


def test_one_unknown_device_does_not_hide_the_others(store, dcc, tick):
    """N18 for ours and a stranger: ours has failed, whatever the other one is."""
    store.put_devices([PPMID_DEVICE])
    store.enrol(store.add_release(ONE_STEP), [PPMID])
    tick()
    failure = duis.FirmwareDistributionFailure(last(dcc), (STRANGER, PPMID))
    arrive(store, tick, alert(duis.DccAlert("N18", failure)))
    assert (State.HUB_FAILED, []) == (state(store), store.dead_letters())


@pytest.mark.usefixtures("ppmid", "hcalcs")
def test_nothing_overtakes_a_request_that_could_not_be_sent(store, dcc, tick):
    """The first post fails: the second is not sent before it, for the DCC takes no lower counter later."""
    answers = iter([Response(status_code=503)])
    dcc.reply = lambda request: next(answers, None) or dcc.accept(request)
    tick()
    assert len(dcc.requests) == 1
    later = [Instant(clock() + 10**9)]
    with Listener(dcc.application()) as listener:
        base = listener.url + "/api/v1"
        with httpx2.Client(base_url=base) as client:
            gateway = Gateway(PARTIES, client, clock)
            Reconciler(PARTIES, store, gateway, lambda: later[0]).tick()
    counters = [request.id.counter for _, request in dcc.requests]
    assert sorted(counters) == counters
    assert {State.ACCEPTED} == {update.state for update in store.updates()}


@pytest.mark.usefixtures("ppmid")
def test_a_refused_repetition_is_no_refusal_of_the_first(store, dcc, tick):
    """The answer was lost and the DCC refuses the same counter again: the Devices' own evidence decides."""
    [update] = store.updates()
    counter = store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], clock())
    store.note_attempt(counter, clock())
    dcc.reply = lambda request: by_dsp(answer(request, "E57"))
    tick()
    assert State.SUBMITTED is state(store)
    arrive(store, tick, delivered(request=last(dcc)), activated())
    assert (State.PROVEN, 1) == (state(store), len(dcc.requests))


@pytest.mark.usefixtures("hcalcs")
def test_a_signed_command_survives_a_crash_between_its_two_sends(store, dcc, tick):
    """Transform answered, Send failed: the kept command is sent, and no second transform is asked for."""
    tick()
    dcc.reply = lambda request: (
        Response(status_code=503) if isinstance(request.body, duis.SignedPreCommand) else dcc.accept(request)
    )
    arrive(store, tick, receipt())
    [request] = store.open_requests()
    assert request.command is not None
    dcc.reply = dcc.accept
    with Listener(dcc.application()) as listener:
        base = listener.url + "/api/v1"
        with httpx2.Client(base_url=base) as client:
            later = Instant(clock() + 10**9)
            Reconciler(PARTIES, store, Gateway(PARTIES, client, clock), lambda: later).tick()
    services = [service for service, _ in dcc.requests]
    assert services == ["serviceD", "serviceT", "serviceS", "serviceS"]
    assert State.ACTIVATION_SENT is state(store)


@pytest.mark.usefixtures("hcalcs")
def test_a_transform_whose_answer_was_lost_is_asked_anew(store, dcc, tick):
    """Nothing was signed, so nothing was done: a new counter, and no failure for the Device."""
    tick()
    store.take_in(by_dsp(receipt()), clock())
    refusals = iter(["lost", "repeated"])

    def reply(request):
        match next(refusals, None):
            case "lost":
                return Response(status_code=503)
            case "repeated":
                return by_dsp(answer(request, "E57"))
        return dcc.accept(request)

    dcc.reply = reply
    with Listener(dcc.application()) as listener:
        base = listener.url + "/api/v1"
        with httpx2.Client(base_url=base) as client:
            now = [clock()]
            reconciler = Reconciler(PARTIES, store, Gateway(PARTIES, client, clock), lambda: now[0])
            for _ in range(3):
                reconciler.tick()
                now[0] = Instant(now[0] + 10**9)
    transforms = [request.id.counter for service, request in dcc.requests if service == "serviceT"]
    assert (State.ACTIVATION_SENT, 3, 2) == (state(store), len(transforms), len(set(transforms)))


@pytest.mark.usefixtures("hcalcs")
@pytest.mark.parametrize("code", ["I0", "I99"])
def test_an_acknowledgement_in_place_of_a_pre_command_activates_nothing(store, dcc, tick, code):
    """An unsigned I99 to the Transform: nothing was signed or sent, and the timeline does not say so."""
    tick()
    dcc.reply = lambda request: duis.encode_response(answer(request, code))
    arrive(store, tick, receipt())
    assert State.ACTIVATION_FAILED is state(store)
    assert "pre-command-missing" in details(store, HCALCS, Fact.ACTIVATION_REFUSED)[0]


def test_a_missing_key_is_known_before_anything_is_ordered():
    """A gateway without our signing key does not come to be."""
    with pytest.raises(UsageError, match="private key"):
        Gateway(replace(PARTIES, supplier=STRANGER), httpx2.Client(), clock)


@pytest.mark.usefixtures("ppmid")
def test_a_dead_process_takes_up_where_it_stopped(store, dcc, tick):
    """The order was committed, the process died before sending: the next one sends it, once."""
    [update] = store.updates()
    counter = store.commit_order(Order.UPDATE_PPMID_FIRMWARE, update.release, [update], clock())
    tick()
    assert [counter] == [request.id.counter for _, request in dcc.requests]
