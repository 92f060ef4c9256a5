"""The Receive Response service over real sockets: 204 only for what is verified, ours and stored."""

import gzip
import select
import shutil
import socket
import sqlite3
import threading
from contextlib import closing

import httpx2
import pytest
from sqlalchemy import event, make_url

from lamplighter.kit import Eui64, Instant, LamplighterError
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Role
from lamplighter.service import receiver as module
from lamplighter.service.door import Limits
from lamplighter.service.gateway import Parties
from lamplighter.service.listener import Listener
from lamplighter.service.receiver import MAX_MESSAGE_OCTETS, RECEIVE_PATH, Receiver, replay, replay_all
from lamplighter.store import Store
from lamplighter.store.inbox import Incoming

from .parties import (
    BROKER,
    DEVICES,
    HCALCS,
    HUB,
    NOW,
    PARTIES,
    PKI,
    SUPPLIER,
    activated,
    alert,
    by_dsp,
    clock,
    delivered,
    receipt,
)

STRANGE_USER = Eui64.parse("90-B3-D5-1F-30-03-00-00")
# Short, so that no test waits; long enough for a machine that does other things besides.
LIMITS = Limits(pause_seconds=0.5, request_seconds=1.0, idle_seconds=1.0, connections=20)
ON_BOTH = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
SILENCE_SECONDS = 30.0  # a test fails where the service says nothing for so long


@pytest.fixture
def database_url(request, tmp_path, _sqlite_template):
    """SQLite, unless a test asks for another: most of what is asked here is no question to a database."""
    if getattr(request, "param", "sqlite") == "sqlite":
        path = tmp_path / "lamplighter.db"
        shutil.copyfile(_sqlite_template, path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create_database(request.getfixturevalue("_postgres_template"))
    yield url
    server.drop_database(url)


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def receiver(store):
    return Receiver(PARTIES, store, clock, limits=LIMITS)


@pytest.fixture
def listener(receiver):
    with Listener(receiver.application()) as listener:
        yield listener


@pytest.fixture
def post(listener):
    with httpx2.Client(base_url=listener.url, timeout=SILENCE_SECONDS) as client:
        yield lambda octets, **more: client.post(RECEIVE_PATH, content=octets, **more)


class Wire:
    """A client that may say anything."""

    def __init__(self, listener):
        host, port = listener.url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=SILENCE_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)

    def heard(self):
        """All that the service says until it closes the connection."""
        said = b""
        try:
            while octets := self.socket.recv(65536):
                said += octets
        except ConnectionResetError:
            pass
        return said.decode()


def head(*headers, method="POST", path=RECEIVE_PATH):
    lines = [f"{method} {path} HTTP/1.1", "Host: lamplighter", *headers, "", ""]
    return "\r\n".join(lines).encode()


def is_hung_up_on(wire, part, most):
    """Whether the service hangs up on a client that sends `part` again and again, before `most` octets."""
    try:
        for _ in range(most // len(part)):
            wire.send(part)
    except ConnectionError:
        return True
    return False


def octets_in(store):
    return [letter.octets for letter in store.inbox.latest()]


def refused(post, store, octets, check):
    reply = post(octets)
    assert (400, []) == (reply.status_code, octets_in(store))
    assert check in reply.text


# What is taken


@ON_BOTH
def test_a_signed_alert_is_taken_and_stored(post, store, receiver):
    """204, and the very octets lie in the inbox with what they say."""
    octets = by_dsp(activated())
    assert post(octets).status_code == 204
    assert [octets] == octets_in(store)
    assert (1, 0) == store.inbox.counts()
    assert {"taken": 1, "repeated": 0} == receiver.counts


@ON_BOTH
def test_a_replayed_alert_is_stored_once(post, store, receiver):
    """The DCC did not hear our 204, or somebody posts again what he saw: 204 again, stored once."""
    octets = by_dsp(activated())
    assert [204, 204] == [post(octets).status_code for _ in range(2)]
    assert ([octets], (1, 0)) == (octets_in(store), store.inbox.counts())
    assert {"taken": 1, "repeated": 1} == receiver.counts


def test_an_alert_that_the_dcc_writes_anew_is_another_message(post, store):
    """The same ResponseID in other octets: both are kept, and evidence does not mind being told twice."""
    body = activated().body
    lot = [by_dsp(alert(body, at=at)) for at in (NOW, NOW + 1_000)]
    assert [204, 204] == [post(octets).status_code for octets in lot]
    assert lot[::-1] == octets_in(store)


def test_who_wants_to_know_is_told_of_new_messages(store):
    """Once for a new one, never for one that was there."""
    told = []
    receiver = Receiver(PARTIES, store, clock, taken=lambda: told.append(1))
    octets = by_dsp(activated())
    assert [True, False] == [receiver.take(octets) for _ in range(2)]
    assert [1] == told


@ON_BOTH
def test_many_at_once_are_all_answered(listener, store, receiver):
    """Eight clients with forty messages each, one in five of them forged: each hears its own answer."""
    good = [by_dsp(delivered(eui=Eui64.of(n))) for n in range(256)]
    bad = [by_dsp(activated(eui=Eui64.of(n))).replace(b"00020000", b"00020001") for n in range(64)]
    heard = {}

    def client(number):
        with httpx2.Client(base_url=listener.url, timeout=SILENCE_SECONDS) as client:
            for octets in (*good[number::8], *bad[number::8]):
                heard[octets] = client.post(RECEIVE_PATH, content=octets).status_code

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict.fromkeys(good, 204) | dict.fromkeys(bad, 400) == heard
    assert set(good) == {letter.octets for letter in store.inbox.latest(1000)}
    assert {"taken": 256, "repeated": 0, "refused": 64} == receiver.counts


def test_a_message_in_chunks_after_a_pause_is_taken(listener, store):
    """Chunked, asked for with 100-continue, with a trailer: as RFC 9112 allows it."""
    octets = by_dsp(activated())
    with Wire(listener) as wire:
        wire.send(head("Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close"))
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == wire.socket.recv(100)
        for part in (octets[:1000], octets[1000:]):
            wire.send(f"{len(part):x}\r\n".encode(), part, b"\r\n")
        wire.send(b"0\r\nTrailer: yes\r\n\r\n")
        assert wire.heard().startswith("HTTP/1.1 204 ")
    assert [octets] == octets_in(store)


def test_a_client_that_sends_no_more_still_hears_its_answer(listener, store):
    """Half-closed behind the message, as `curl` and `nc` do."""
    octets = by_dsp(activated())
    with Wire(listener) as wire:
        wire.send(head(f"Content-Length: {len(octets)}"), octets)
        wire.end()
        assert wire.heard().startswith("HTTP/1.1 204 ")
    assert [octets] == octets_in(store)


def test_a_request_in_the_wake_of_another_is_left_to_be_sent_again(listener, store):
    """Pipelining: the first is answered, the second finds the connection closed, as RFC 9112 9.3.2 allows."""
    one, two = by_dsp(activated()), by_dsp(delivered())
    with Wire(listener) as wire:
        wire.send(
            *(part for octets in (one, two) for part in (head(f"Content-Length: {len(octets)}"), octets))
        )
        assert 1 == wire.heard().count("HTTP/1.1 204 ")
    assert [one] == octets_in(store)


def test_the_end_of_the_service_answers_what_is_under_way(receiver, store):
    """A message that was sent before the service is told to end is stored and answered."""
    octets = by_dsp(activated())
    with Listener(receiver.application()) as listener:
        wire = Wire(listener)
        wire.send(head(f"Content-Length: {len(octets)}", "Expect: 100-continue"))
        assert wire.socket.recv(100)
        wire.send(octets)
        with httpx2.Client(base_url=listener.url) as client:  # the first is read by when this is answered
            assert 404 == client.post("/").status_code
    with closing(wire.socket):
        assert wire.heard().startswith("HTTP/1.1 204 ")
    assert [octets] == octets_in(store)


# What is refused: forged, foreign, malformed


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


def test_a_foreign_message_is_refused(post, store):
    """For another User, rightly signed by the DSP, misdelivered or replayed to us."""
    body = activated().body
    refused(post, store, by_dsp(alert(body, user=STRANGE_USER)), "message-for-another")
    nobody = duis.Response(None, None, "I0", NOW, body)
    refused(post, store, by_dsp(nobody), "message-for-another")


DOCTYPE = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "decode: XML"),
        (b"hello", "decode: XML"),
        (b"\xff\xfe\x00", "xml-encoding"),
        (b"<a>", "decode: XML"),
        (b"\x1f\x8b\x08" + bytes(40), "xml-encoding"),
        ("<é/>".encode("latin-1"), "decode: XML"),
        (DOCTYPE, "xml-doctype"),
        (b"<a>" * 15_000, "xml-depth"),
        (b"<a/>" * 30_000, "xml-tags"),
    ],
    ids=["empty", "text", "utf-16", "truncated", "gzip", "not utf-8", "doctype", "deep", "tags"],
)
def test_garbage_is_refused_and_only_counted(receiver, store, octets, reason):
    """Any octets get 400 and a reason; the database holds a count, and nothing of them."""
    with Listener(receiver.application()) as listener:
        reply = httpx2.post(listener.url + RECEIVE_PATH, content=octets)
    assert (400, []) == (reply.status_code, octets_in(store))
    assert [(reason, 1)] == [(each.reason, each.messages) for each in store.inbox.refusals()]


def test_a_gzip_bomb_is_refused_unread(listener, store):
    """Ten megabytes of nothing in ten kilobytes, rightly announced: it is never unpacked."""
    bomb = gzip.compress(bytes(10_000_000))
    with Wire(listener) as wire:
        wire.send(head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}"), bomb)
        assert "http-encoding" in wire.heard()
    assert [] == octets_in(store)


def test_an_oversized_message_is_refused_unread(post, listener, store):
    """A gigabyte is not kept in memory: announced, it is refused at once; else the limit cuts the stream."""
    refused(post, store, b"<" + b"a" * MAX_MESSAGE_OCTETS, "message-oversize")
    with Wire(listener) as wire:
        wire.send(head("Content-Length: 1000000000"))
        assert "message-oversize" in wire.heard()


def test_a_message_in_endless_chunks_is_refused(listener, store):
    """The sender never stops: it hears 400, and then nobody listens any more."""
    with Wire(listener) as wire:
        wire.send(head("Transfer-Encoding: chunked"))
        assert is_hung_up_on(wire, b"10000\r\n" + bytes(0x10000) + b"\r\n", 100 * MAX_MESSAGE_OCTETS)
    assert [] == octets_in(store)


def test_chunks_of_one_octet_do_not_pass_the_limit(listener, store):
    """Six octets on the wire for one of the message, and chunk extensions that nobody reads."""
    with Wire(listener) as wire:
        wire.send(head("Transfer-Encoding: chunked"))
        assert is_hung_up_on(wire, b"1;" + b"x" * 100_000 + b"\r\n<\r\n", 100 * MAX_MESSAGE_OCTETS)
    assert [] == octets_in(store)


@pytest.mark.parametrize(
    "octets",
    [
        head(*(f"X-{n}: {'x' * 90}" for n in range(200))),
        b"POST /duis/responses HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"POST /" + b"x" * 100_000,
    ],
    ids=["many headers", "a header without end", "a path without end"],
)
def test_an_endless_head_is_refused(listener, store, octets):
    """Nothing of a head reaches the parser's caller before it is whole, and all of it is kept until then."""
    with Wire(listener) as wire:
        wire.send(octets)
        assert "http-head" in wire.heard() or octets.endswith(b"\r\n\r\n")
    assert [] == octets_in(store)


def test_a_truncated_message_is_refused(listener, receiver, store):
    """Content-Length promises more than comes before the client hangs up."""
    with Wire(listener) as wire:
        wire.send(head("Content-Length: 1000"), b"<half")
        wire.end()
        assert "http-truncated" in wire.heard()
    assert ({"refused": 1}, []) == (receiver.counts, octets_in(store))


@pytest.mark.parametrize(
    "octets",
    [b"\x16\x03\x01\x02\x00\x01", b"GARBAGE\r\n\r\n", head("Content-Length: -1"), head("Upgrade: websocket")],
    ids=["a TLS hello", "no HTTP", "a negative length", "an upgrade"],
)
def test_what_is_no_request_is_refused(listener, receiver, store, octets):
    """A client that speaks something else hears 400 and is let go."""
    with Wire(listener) as wire:
        wire.send(octets)
        wire.end()
        assert wire.heard().startswith("HTTP/1.1 400 ")
    assert ({"refused": 1}, []) == (receiver.counts, octets_in(store))


def test_a_smuggled_request_is_refused(listener, store):
    """Both a length and chunks: two servers in a row could see two different requests."""
    octets = by_dsp(activated())
    with Wire(listener) as wire:
        wire.send(head(f"Content-Length: {len(octets)}", "Transfer-Encoding: chunked"), octets)
        assert wire.heard().startswith("HTTP/1.1 400 ")
    assert [] == octets_in(store)


def test_other_paths_and_methods_do_not_exist(listener):
    """The service has one door."""
    with httpx2.Client(base_url=listener.url) as client:
        replies = [client.post("/"), client.get(RECEIVE_PATH), client.put(RECEIVE_PATH, content=b"x" * 9)]
    assert [404, 405, 405] == [reply.status_code for reply in replies]
    assert "POST" == replies[1].headers["allow"]


def test_the_largest_lawful_message_fits():
    """A warning that lists 50,000 Devices is below the limit."""
    lists = [(Eui64.of(n) for n in range(50_000)), (), (), (), ()]
    warning = duis.FirmwareWarning(*(tuple(devices) for devices in lists), ppmid=True)
    request = duis.RequestId(SUPPLIER, BROKER, 5)
    body = duis.ResponseMessage("11.4", "11.4", warning)
    assert len(by_dsp(duis.Response(request, None, "W110401", NOW, body))) < MAX_MESSAGE_OCTETS


# Who takes his time


def test_a_slow_loris_is_sent_away_and_holds_up_nobody(listener, post, store):
    """Half a head, half a body, and nothing at all: others are served, and each is sent away in time."""
    octets = by_dsp(delivered())
    with Wire(listener) as in_head, Wire(listener) as in_body, Wire(listener) as idle:
        in_head.send(head()[:30])
        in_body.send(head("Content-Length: 1000"), b"<half")
        assert post(octets).status_code == 204
        assert "http-timeout" in in_head.heard()
        assert "http-timeout" in in_body.heard()
        assert "" == idle.heard()
    assert [octets] == octets_in(store)


def test_an_octet_now_and_then_does_not_keep_a_request_alive(listener):
    """The whole of a request has its time, too."""
    with Wire(listener) as wire:
        wire.send(head("Content-Length: 1000"))
        wire.socket.settimeout(LIMITS.pause_seconds / 5)
        said = b""
        while not said:
            wire.send(b"<")
            try:
                said = wire.socket.recv(65536)
            except TimeoutError:
                continue
        assert b"http-timeout" in said


def test_too_many_connections_are_turned_away(listener, post):
    """A crowd that says nothing: who comes later hears 503, and is served once they are gone."""
    octets = by_dsp(delivered())
    crowd = [Wire(listener) for _ in range(LIMITS.connections)]
    with Wire(listener) as late:
        assert "HTTP/1.1 503" in late.heard()
    for wire in crowd:
        assert "" == wire.heard()
        wire.socket.close()
    assert post(octets).status_code == 204


def test_more_than_can_wait_are_put_off(receiver, listener, monkeypatch, store):
    """The store stands still: beyond the queue's length the DCC is asked to come again; nothing is lost."""
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    gate, entered = threading.Event(), threading.Event()
    store_now = receiver.store

    def stuck(messages):
        entered.set()
        assert gate.wait(SILENCE_SECONDS)
        return store_now(messages)

    receiver.store = stuck
    lot = [by_dsp(delivered(eui=Eui64.of(n))) for n in range(12)]
    wires = [Wire(listener) for _ in lot]
    requests = [head(f"Content-Length: {len(octets)}", "Connection: close") + octets for octets in lot]
    wires[0].send(requests[0])
    assert entered.wait(SILENCE_SECONDS)
    for wire, request in zip(wires[1:], requests[1:], strict=True):
        wire.send(request)
    put_off = []
    turned_away, _, _ = select.select([wire.socket for wire in wires[1:]], [], [], SILENCE_SECONDS)
    assert turned_away
    gate.set()
    for wire in wires:
        put_off.append("HTTP/1.1 503" in wire.heard())
        wire.socket.close()
    assert receiver.counts["busy"] == sum(put_off)
    assert {octets for octets, late in zip(lot, put_off, strict=True) if not late} == set(octets_in(store))


# When the store fails


def test_a_full_disk_puts_off_and_loses_nothing(post, store, receiver):
    """503 while there is no room, so that the DCC tries again; 204 when it does, with room again."""
    lot = [by_dsp(delivered(eui=Eui64.of(n))) for n in range(40)]
    assert post(lot[0]).status_code == 204
    with store.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    statuses = [post(octets).status_code for octets in lot[1:]]
    assert 503 == statuses[-1]
    stored = 1 + statuses.count(204)
    assert (stored, len(lot) - stored) == (len(octets_in(store)), receiver.counts["unstored"])
    with store.database.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA max_page_count = 1073741823").fetchone()
    assert {204} == {post(octets).status_code for octets in lot}
    assert set(lot) == set(octets_in(store))


def test_what_was_answered_is_on_the_disk(database_url, receiver):
    """Another process reads the file while the service runs: what had its 204 is there."""
    octets = by_dsp(activated())
    with Listener(receiver.application()) as listener:
        assert httpx2.post(listener.url + RECEIVE_PATH, content=octets).status_code == 204
        with closing(sqlite3.connect(make_url(database_url).database)) as other:
            assert [(octets,)] == other.execute("SELECT octets FROM inbox").fetchall()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_crash_of_the_database_puts_off_and_loses_nothing(post, store, postgres_server):
    """What was answered is still there; what comes next is put off at most once, and then taken."""
    lot = [by_dsp(delivered(eui=Eui64.of(n))) for n in range(3)]
    assert post(lot[0]).status_code == 204
    postgres_server.restart("immediate")
    statuses = [post(octets).status_code for octets in (lot[1], lot[1], lot[2])]
    assert [503, 204, 204] == statuses
    assert lot[::-1] == octets_in(store)


def test_a_fault_of_ours_spoils_no_other_message(receiver, post, store, monkeypatch):
    """One message makes us stumble: it is put off, and the one beside it is taken."""
    read = receiver.read

    def stumbling(octets):
        if b"N39" in octets:
            raise ZeroDivisionError
        return read(octets)

    monkeypatch.setattr(receiver, "read", stumbling)
    good = by_dsp(delivered())
    assert [503, 204] == [post(octets).status_code for octets in (by_dsp(activated()), good)]
    assert [good] == octets_in(store)


# Dead letters


@ON_BOTH
def test_a_device_that_is_unknown_yet_is_heard_once_its_key_is_there(store):
    """The DSP's envelope is good, the Device's certificate missing: a dead letter, until it is imported."""
    octets = by_dsp(receipt())
    knowing = Parties(SUPPLIER, BROKER, PKI.supplier(SUPPLIER, BROKER, DEVICES))
    ignorant = Parties(SUPPLIER, BROKER, PKI.supplier(SUPPLIER, BROKER, ()))
    receiver = Receiver(ignorant, store, clock)
    assert receiver.take(octets)
    assert (0, 1) == store.inbox.counts()
    (letter,) = store.inbox.dead_letters()
    assert str(HCALCS) in letter.reason
    assert 0 == replay(store, ignorant, [letter.letter.id], NOW)
    assert (0, 1) == store.inbox.counts()
    assert 1 == replay(store, knowing, [letter.letter.id], NOW)
    assert (1, 0) == store.inbox.counts()


@ON_BOTH
def test_all_dead_letters_are_read_again_in_pages_each_with_its_own_commit(store, monkeypatch):
    """However many lie there, few are in memory; those that stay dead are not read twice."""
    monkeypatch.setattr(module, "REPLAYED_AT_ONCE", 20)
    octets = by_dsp(delivered())
    lot = [
        # Equal but for when the DCC wrote them.
        Incoming(octets, NOW, Instant(NOW + number), "N60", None, 1, (), "no certificate of it is known")
        for number in range(50)
    ]
    store.inbox.take_in(lot)
    read = []

    def note(_connection, _cursor, statement, parameters, *_):
        if "inbox.octets" in statement:
            read.append(len(parameters))

    event.listen(store.database.engine, "before_cursor_execute", note)
    assert (50, 50) == replay_all(store, PARTIES, NOW, "operator1")
    assert [20, 20, 10] == read
    details = [it.detail.partition(":")[0] for it in store.audit.entries(what="replay")]
    assert ["20 of 20 wait to be applied"] * 2 + ["10 of 10 wait to be applied"] == details
    assert (50, 0) == store.inbox.counts()
    assert (0, 0) == replay_all(store, PARTIES, NOW)


def test_a_device_that_lies_is_a_dead_letter_and_no_refusal(post, store):
    """The DCC delivered it rightly: 204, and nothing of it is believed."""
    assert post(by_dsp(receipt(signer=HUB))).status_code == 204
    assert (0, 1) == store.inbox.counts()


def test_a_refusal_in_process_raises(receiver, store):
    """`take` is the same without HTTP."""
    with pytest.raises(LamplighterError, match="xml-digest"):
        receiver.take(by_dsp(activated()).replace(b"00020000", b"00020001"))
    assert [] == octets_in(store)
