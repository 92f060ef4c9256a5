"""The Receive Response service over real HTTP: 204 only for what is verified, ours and stored."""

import socket

import httpx2
import pytest

from lamplighter.kit import Eui64
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Role
from lamplighter.service.listener import Listener
from lamplighter.service.receiver import MAX_MESSAGE_OCTETS, RECEIVE_PATH, Receiver
from lamplighter.store import Store

from .parties import BROKER, DEVICES, NOW, PARTIES, SUPPLIER, activated, alert, by_dsp, clock, delivered

STRANGE_USER = Eui64.parse("90-B3-D5-1F-30-03-00-00")


@pytest.fixture
def store(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def receiver(store):
    return Receiver(PARTIES, store, clock)


@pytest.fixture
def post(receiver):
    with Listener(receiver.application()) as listener, httpx2.Client(base_url=listener.url) as client:
        yield lambda octets: client.post(RECEIVE_PATH, content=octets)


def refused(post, store, octets, check):
    reply = post(octets)
    assert (400, []) == (reply.status_code, store.waiting())
    assert check in reply.text


def test_a_signed_alert_is_taken_and_stored(post, store, receiver):
    """204, and the very octets lie in the inbox."""
    octets = by_dsp(activated())
    assert post(octets).status_code == 204
    assert [octets] == [message.octets for message in store.waiting()]
    assert {"taken": 1} == receiver.counts


def test_a_repeated_alert_is_taken_once(post, store, receiver):
    """The DCC did not hear our 204 and posts again: 204 again, stored once."""
    octets = by_dsp(activated())
    assert [204, 204] == [post(octets).status_code for _ in range(2)]
    assert (1, {"taken": 1, "repeated": 1}) == (len(store.waiting()), receiver.counts)


def test_a_forged_alert_is_refused(post, store, receiver):
    """One digit of the version changed after signing."""
    refused(post, store, by_dsp(activated()).replace(b"00020000", b"00020001"), "xml-digest")
    assert {"refused": 1} == receiver.counts


def test_an_alert_signed_by_a_stranger_is_refused(post, store):
    """A perfect alert, signed under another PKI."""
    stranger = Pki("another world").acb(BROKER, [SUPPLIER], DEVICES).signer(BROKER, Role.ACB_XML_SIGNING)
    forged = duis.sign(duis.encode_response(activated()), stranger)
    refused(post, store, forged, "xml-certificate-unknown")


def test_an_alert_signed_with_our_own_key_is_refused(post, store):
    """A reflected signature: our certificate is trusted, but not for the DCC's messages."""
    forged = duis.sign(duis.encode_response(activated()), PARTIES.ring.signer(SUPPLIER, Role.XML_SIGNING))
    refused(post, store, forged, "xml-certificate-role")


def test_an_unsigned_alert_is_refused(post, store):
    """What the DCC's own validator lets pass."""
    refused(post, store, duis.encode_response(activated()), "xml-unsigned")


def test_a_message_for_another_user_is_refused(post, store):
    """A foreign message, rightly signed by the DSP, misdelivered or replayed to us."""
    body = activated().body
    refused(post, store, by_dsp(alert(body, user=STRANGE_USER)), "message-for-another")
    nobody = duis.Response(None, None, "I0", NOW, body)
    refused(post, store, by_dsp(nobody), "message-for-another")


def test_an_oversized_message_is_refused_unread(post, store):
    """A gigabyte is not kept in memory: the limit cuts the stream."""
    refused(post, store, b"<" + b"a" * MAX_MESSAGE_OCTETS, "message-oversize")


@pytest.mark.parametrize(
    "octets",
    [b"", b"hello", b"\xff\xfe\x00", b"<a>", b"\x1f\x8b\x08" + bytes(40), "<é/>".encode("latin-1")],
    ids=["empty", "text", "utf-16", "truncated", "gzip", "not utf-8"],
)
def test_garbage_is_refused(post, store, octets):
    """Any octets get 400 and a reason; nothing is stored."""
    refused(post, store, octets, "")


def test_the_largest_lawful_message_fits():
    """A warning that lists 50,000 Devices is below the limit."""
    lists = [(Eui64.of(n) for n in range(50_000)), (), (), (), ()]
    warning = duis.FirmwareWarning(*(tuple(devices) for devices in lists), ppmid=True)
    request = duis.RequestId(SUPPLIER, BROKER, 5)
    body = duis.ResponseMessage("11.4", "11.4", warning)
    assert len(by_dsp(duis.Response(request, None, "W110401", NOW, body))) < MAX_MESSAGE_OCTETS


def test_other_paths_and_methods_do_not_exist(store):
    """The service has one door."""
    application = Receiver(PARTIES, store, clock).application()
    with Listener(application) as listener, httpx2.Client(base_url=listener.url) as client:
        assert [404, 405] == [client.post("/").status_code, client.get(RECEIVE_PATH).status_code]


def test_a_client_that_never_finishes_holds_up_nobody(post, receiver, store):
    """Slow loris: half a request hangs on one connection while others are served."""
    with Listener(receiver.application()) as listener:
        host, port = listener.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as loris:
            head = f"POST {RECEIVE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n<half"
            loris.sendall(head.encode())
            assert post(by_dsp(delivered())).status_code == 204
    assert len(store.waiting()) == 1
