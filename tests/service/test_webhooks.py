"""Webhooks: told once it has happened, signed, in order, again until heard; never where they must not go."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import event, select, update

from lamplighter.campaign import Fact
from lamplighter.campaign.status import Act
from lamplighter.client import DeliveryError, verify_delivery
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE, SECOND
from lamplighter.service import webhooks
from lamplighter.service.backup import back_up
from lamplighter.service.webhooks import Courier, check_url, may_speak_to
from lamplighter.store import Store
from lamplighter.store import schema as s
from lamplighter.store.webhooks import LIFETIME, PENDING_MAX, Kind, Status, backoff
from tests.service.hearing import Receiver
from tests.store.campaigning import START, TARGET, Fleet, eui
from tests.store.locks import held_up, while_locked

EVERYTHING = frozenset(Kind)
NOT_DEVICES = EVERYTHING - {Kind.DEVICE}
WALL = 1_950_000_000
ANSWER_SECONDS = 2  # for a receiver to answer, on a busy machine too


@pytest.fixture
def fleet(database_url):
    """A database with a release and three Devices."""
    fleet = Fleet(database_url)
    fleet.devices(range(3))
    yield fleet
    fleet.close()


@pytest.fixture
def place(fleet):
    """Its store, a clock that stands still until it is set, and a courier."""
    place = SimpleNamespace(now=START, store=Store(fleet.database), fleet=fleet)
    place.courier = Courier(
        place.store, lambda: Instant(place.now), wall=lambda: Instant(WALL * SECOND), timeout=ANSWER_SECONDS
    )
    return place


@pytest.fixture
def receiver():
    """A receiver that takes what it is given."""
    with Receiver() as receiver:
        yield receiver


def add(place, url, kinds=NOT_DEVICES, **more):
    """A webhook inside our network."""
    return webhooks.add(place.store, url, kinds, "somebody1", Instant(place.now), inside=True, **more)


def told(receiver):
    return [it.told["what"] for it in receiver.heard]


# --- what is told


def test_what_happens_to_a_campaign_is_told_in_its_order(place, receiver):
    """Creating, starting and pausing arrive as they were done, each with who did it."""
    add(place, receiver.url + "/hook?from=us")
    campaign = place.fleet.start()
    place.fleet.campaigns.act(campaign.id, Act.PAUSE, "operator", START)
    place.courier.tick()
    assert ["create", "start", "pause"] == told(receiver)
    assert {("/hook?from=us", "application/json")} == {
        (it.path, it.headers["Content-Type"]) for it in receiver.heard
    }
    assert {"id": campaign.id, "name": "C"} == receiver.heard[0].told["campaign"]
    assert "operator" == receiver.heard[0].told["who"]


def test_what_is_to_be_told_is_looked_up_while_others_may_write(place, receiver):
    """Twenty thousand pieces of evidence are read for it: only the few rows that come of them are written."""
    hook = add(place, receiver.url, set(Kind))
    campaign = place.fleet.start()
    place.fleet.make(campaign, 3)
    with while_locked(place.store.database) as run:
        assert place.store.webhooks.gather(None, hook.id, START)
    assert [] == [it for it in run if it.lstrip().startswith("SELECT")]
    assert [True] == ["INTO delivery" in it for it in run if it.startswith("INSERT")]


def test_what_two_couriers_gather_at_one_moment_is_told_once(place, receiver):
    """One whose lease has fallen still looks when the next has looked: what it found is dropped."""
    hook = add(place, receiver.url)
    place.fleet.start()
    engine, made = place.store.database.engine, []

    def overtaken(_connection, _cursor, statement, *_):
        if "FROM audit" in statement and not made:
            made.append(0)
            with ThreadPoolExecutor(1) as pool:
                made.append(pool.submit(place.store.webhooks.gather, None, hook.id, START).result(20))

    event.listen(engine, "after_cursor_execute", overtaken)
    assert 0 == place.store.webhooks.gather(None, hook.id, START)
    event.remove(engine, "after_cursor_execute", overtaken)
    assert made[1] == len(place.store.webhooks.deliveries(hook.id))
    assert 0 < made[1]


def test_waves_and_gates_are_told(place, receiver):
    """A hold that an operator releases is told as a gate."""
    add(place, receiver.url, {Kind.GATE})
    campaign = place.fleet.start()
    place.fleet.make(campaign, 3)
    with place.store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE stratum SET held_at = 1, held_because = 'it fails'")
    stratum = place.fleet.rows("SELECT name FROM stratum")[0][0]
    place.store.campaigns.release_hold(campaign.id, stratum, "somebody1", START, "seen to")
    place.courier.tick()
    assert [("gate", "release hold")] == [(it.told["kind"], it.told["what"]) for it in receiver.heard]


def test_a_device_is_told_of_once_when_it_has_come_to_its_end(place, receiver):
    """A proof that arrives three times is one outcome; what is on its way is none."""
    hook = add(place, receiver.url, {Kind.DEVICE})
    campaign = place.fleet.start()
    place.fleet.make(campaign, 3)
    place.courier.tick()
    assert [] == receiver.heard
    for at in (START + 1, START + 2):
        place.fleet.hear(campaign, eui(0), Fact.VERSION_READ, at, version=TARGET)
    place.courier.tick()
    place.fleet.hear(campaign, eui(0), Fact.VERSION_READ, START + 3, version=TARGET)
    place.fleet.hear(campaign, eui(1), Fact.GIVEN_UP, START + 3)
    place.courier.tick()
    outcomes = [device for it in receiver.heard for device in it.told["devices"]]
    assert [(str(eui(0)), "proven"), (str(eui(1)), "failed")] == [
        (it["device"], it["state"]) for it in outcomes
    ]
    assert "00000020" == outcomes[0]["version"]
    assert not place.store.webhooks.gather(None, hook.id, START)


def test_a_late_proof_is_an_outcome_of_its_own(place, receiver):
    """A Device that was given up and then proves itself is told of again."""
    add(place, receiver.url, {Kind.DEVICE})
    campaign = place.fleet.start()
    place.fleet.make(campaign, 3)
    place.fleet.hear(campaign, eui(0), Fact.LOST, START + 1)
    place.courier.tick()
    place.fleet.hear(campaign, eui(0), Fact.VERSION_READ, START + 2, version=TARGET)
    place.courier.tick()
    assert ["lost", "proven"] == [it.told["devices"][0]["state"] for it in receiver.heard]


def test_a_webhook_of_one_campaign_hears_of_no_other(place, receiver):
    """Neither its acts nor its Devices."""
    mine = place.fleet.start()
    add(place, receiver.url, EVERYTHING, campaign=mine.id)
    other = place.store.campaigns.create(
        place.fleet.campaigns.find("C").plan.__class__("D", mine.plan.waves, approvals=0),
        place.fleet.release, "operator", START,
    )  # fmt: skip
    place.store.campaigns.act(other, Act.ABORT, "operator", START)
    place.store.campaigns.act(mine.id, Act.PAUSE, "operator", START)
    place.courier.tick()
    assert [("C", "pause")] == [(it.told["campaign"]["name"], it.told["what"]) for it in receiver.heard]


def test_nothing_is_told_of_what_was_before(place, receiver):
    """A webhook hears from its beginning on."""
    place.fleet.start()
    add(place, receiver.url, EVERYTHING)
    place.courier.tick()
    assert [] == receiver.heard


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_comes_after_a_copy_was_put_back_is_not_taken_for_what_was_told(
    place, receiver, database_url, tmp_path
):
    """Numbers are given out again: a receiver that keeps the ids of what it had must hear of another act."""
    hook = add(place, receiver.url)
    campaign = place.fleet.start()
    place.courier.tick()
    back_up(database_url, tmp_path / "copy.db")
    copy = Store.open(f"sqlite:///{tmp_path / 'copy.db'}")
    events = []
    for store, act in ((place.store, Act.PAUSE), (copy, Act.ABORT)):
        store.campaigns.act(campaign.id, act, "operator", START)
        store.webhooks.gather(None, hook.id, START)
        events.append(store.webhooks.next(hook.id).event)
    copy.close()
    first, second = events
    assert first.rpartition("-")[0] == second.rpartition("-")[0]
    assert first != second


def test_two_webhooks_are_told_each_for_itself(place, receiver):
    """One that fails keeps nothing from the other."""
    with Receiver("refuse") as broken:
        add(place, broken.url)
        add(place, receiver.url)
        place.fleet.start()
        place.courier.tick()
        assert (["create"], ["create", "start"]) == (told(broken), told(receiver))


# --- signed


def test_a_delivery_is_signed_over_timestamp_and_body(place, receiver):
    """By the words of the specification, and by the function that our client brings."""
    hook = add(place, receiver.url)
    place.fleet.start()
    place.courier.tick()
    heard = receiver.heard[0]
    digest = hmac.new(hook.secret.encode(), f"{WALL}.".encode() + heard.body, hashlib.sha256).hexdigest()
    assert f"v1={digest}" == heard.headers["Webhook-Signature"]
    assert str(WALL) == heard.headers["Webhook-Timestamp"]
    assert heard.headers["Webhook-Id"] == heard.told["id"]
    assert heard.told == verify_delivery(hook.secret, heard.headers, heard.body, now=WALL + 60)


@pytest.mark.parametrize(
    "change",
    [
        lambda headers, body: (headers, body.replace(b"start", b"abort")),
        lambda headers, body: (headers | {"Webhook-Id": "audit-99"}, body),
        lambda headers, body: (headers | {"Webhook-Timestamp": str(WALL + 1)}, body),
        lambda headers, body: (headers | {"Webhook-Signature": "v1=" + "0" * 64}, body),
        lambda headers, body: (headers | {"Webhook-Signature": "v1=é"}, body),
        lambda headers, body: ({k: v for k, v in headers.items() if k != "Webhook-Signature"}, body),
        lambda headers, body: (headers | {"Webhook-Timestamp": "yesterday"}, body),
    ],
    ids=["body", "id", "timestamp", "signature", "letters", "none", "no number"],
)
def test_forged_delivery(place, receiver, change):
    """What was changed on its way, in any part, is refused by whoever verifies it."""
    hook = add(place, receiver.url)
    place.fleet.start()
    place.courier.tick()
    heard = receiver.heard[1]
    headers, body = change(heard.headers, heard.body)
    with pytest.raises(DeliveryError):
        verify_delivery(hook.secret, headers, body, now=WALL)


@pytest.mark.parametrize("age", [301, -301])
def test_replayed_delivery(place, receiver, age):
    """An old one that somebody sends again, or one from the future, is refused by its time."""
    hook = add(place, receiver.url)
    place.fleet.start()
    place.courier.tick()
    heard = receiver.heard[0]
    with pytest.raises(DeliveryError, match="seconds"):
        verify_delivery(hook.secret, heard.headers, heard.body, now=WALL + age)


# --- receivers that fail


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("refuse", "it answered 500"),
        ("redirect", "it answered 302, and redirects are not followed"),
        ("dawdle", f"it did not answer within {ANSWER_SECONDS} seconds"),
        ("endless_head", f"it did not answer within {ANSWER_SECONDS} seconds"),
        ("nonsense", "illegal"),
    ],
)
def test_what_a_receiver_does_not_take_comes_again_in_its_order(place, manner, reason):
    """One attempt, then a pause; when the receiver is well again, all comes, the first first."""
    with Receiver(manner) as receiver:
        hook = add(place, receiver.url)
        place.fleet.start()
        place.courier.tick()
        place.courier.tick()
        assert ["create"] == told(receiver), "nothing overtakes what failed, and it is left alone for a while"
        (first,) = [it for it in place.store.webhooks.deliveries() if it.attempts]
        assert reason in first.reason.lower() if reason == "illegal" else reason == first.reason
        receiver.manner = "take"
        place.now += backoff(1)
        place.courier.tick()
        assert ["create", "create", "start"] == told(receiver)
        assert receiver.heard[0].headers["Webhook-Id"] == receiver.heard[1].headers["Webhook-Id"]
        assert 0 == place.store.webhooks.find(hook.id).failures


def test_a_receiver_that_answers_endlessly_is_not_listened_to(place):
    """Its status says that it took it; not an octet of the rest is waited for."""
    with Receiver("endless") as receiver:
        add(place, receiver.url)
        place.fleet.start()
        place.courier.tick()
        assert ["create", "start"] == told(receiver)
        assert {Status.DELIVERED} == {it.status for it in place.store.webhooks.deliveries()}


def test_a_receiver_that_is_down_gets_all_when_it_is_up(place):
    """Nobody listens; then somebody does."""
    with Receiver() as gone:
        url, port = gone.url, gone.port
    add(place, url)
    place.fleet.start()
    place.courier.tick()
    assert 1 == max(it.attempts for it in place.store.webhooks.deliveries())
    with Receiver(port=port) as receiver:
        place.now += backoff(1)
        place.courier.tick()
        assert ["create", "start"] == told(receiver)


def test_pauses_grow_to_an_hour():
    """10 s, 20 s, 40 s ... and no longer than an hour, however often it has failed."""
    pauses = [backoff(failures) for failures in range(1, 12)]
    assert [10 * SECOND, 20 * SECOND, 40 * SECOND] == pauses[:3]
    assert [HOUR, HOUR] == [pauses[-1], backoff(10_000)]


def test_a_clock_that_was_put_back_keeps_nothing_waiting_for_long(place):
    """What is due far in the future was put off by a clock that was wrong."""
    with Receiver("refuse") as receiver:
        add(place, receiver.url)
        place.fleet.start()
        place.courier.tick()
        place.now -= DAY
        place.courier.tick()
        assert 2 == len(receiver.heard)


def test_what_nobody_took_for_days_is_dead_and_can_be_replayed(place):
    """It dies with its reason, what it held up with another; a replay delivers both, in their order."""
    with Receiver("refuse") as receiver:
        add(place, receiver.url)
        place.fleet.start()
        while place.now < START + LIFETIME + HOUR:
            place.courier.tick()
            place.now += HOUR
        dead = place.store.webhooks.deliveries(status=Status.DEAD)
        assert ["it answered 500", "never tried: its receiver did not take what came before it"] == sorted(
            it.reason for it in dead
        )
        receiver.manner = "take"
        receiver.heard.clear()
        assert 2 == place.store.webhooks.replay([it.id for it in dead], "somebody1", Instant(place.now))
        place.courier.tick()
        assert ["create", "start"] == told(receiver)


def test_a_receiver_that_is_away_for_long_fills_no_disk(place):
    """No more than so many deliveries wait; the rest is gathered when there is room, and none is lost."""
    with Receiver("refuse") as receiver:
        hook = add(place, receiver.url)
        campaign = place.fleet.start()
        for nth in range(PENDING_MAX + 100):
            act = Act.PAUSE if nth % 2 == 0 else Act.RESUME
            place.store.campaigns.act(campaign.id, act, "operator", START)
        for _ in range(5):
            place.courier.tick()
        assert PENDING_MAX >= len(place.store.webhooks.deliveries(limit=10_000))
        receiver.manner = "take"
        receiver.heard.clear()
        for _ in range(8):
            place.now += HOUR
            place.courier.tick()
        assert ["create", "start", *["pause", "resume"] * ((PENDING_MAX + 100) // 2)] == told(receiver)
        assert None is place.store.webhooks.next(hook.id)


def test_replaying_what_is_not_there_does_nothing(place, receiver):
    """One unknown id, and none of them is delivered again."""
    add(place, receiver.url)
    place.fleet.start()
    place.courier.tick()
    ids = [it.id for it in place.store.webhooks.deliveries()]
    with pytest.raises(UsageError, match="no delivery 999"):
        place.store.webhooks.replay([*ids, 999], "somebody1", START)
    place.courier.tick()
    assert 2 == len(receiver.heard)


def test_a_removed_webhook_is_told_nothing_more(place, receiver):
    """Its secret is gone, what waited is dead, and it cannot be asked for again."""
    hook = add(place, receiver.url)
    place.fleet.start()
    place.store.webhooks.gather(None, hook.id, START)
    removed = place.store.webhooks.remove(hook.id, "somebody1", START)
    place.courier.tick()
    assert ("", [], []) == (removed.secret, place.store.webhooks.all(), receiver.heard)
    (delivery, *_) = place.store.webhooks.deliveries()
    assert (Status.DEAD, "the webhook was removed") == (delivery.status, delivery.reason)
    with pytest.raises(UsageError, match="removed"):
        place.store.webhooks.replay([delivery.id], "somebody1", START)
    with pytest.raises(UsageError, match="no webhook"):
        place.store.webhooks.remove(hook.id, "somebody1", START)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("act", ["delivered", "failed", "replay"])
def test_a_webhook_is_removed_while_a_delivery_of_it_is_noted(place, receiver, act):
    """Both change the webhook and then its deliveries: none of two waits for the other, and one fails."""
    hook = add(place, receiver.url)
    place.fleet.start()
    place.courier._ready()
    deliveries = place.store.webhooks
    delivery = deliveries.next(hook.id)
    doing = {
        "delivered": lambda: deliveries.delivered(None, delivery, START),
        "failed": lambda: deliveries.failed(None, delivery, "because", START),
        "replay": lambda: deliveries.replay([delivery.id], "somebody1", START),
    }[act]
    if act == "replay":
        deliveries.delivered(None, delivery, START)
    row = select(s.webhook).where(s.webhook.c.id == hook.id)
    mine = update(s.delivery).where(s.delivery.c.id == delivery.id).values(reason="looked at")
    with held_up(place.fleet.database, row, doing) as removing:
        assert 1 == removing.execute(mine).rowcount


def test_a_courier_lives_on_after_a_mistake_of_ours(place, receiver, monkeypatch):
    """One look that fails, for whatever reason, is not the end of all deliveries."""
    add(place, receiver.url)
    place.fleet.start()
    gather, failed = place.store.webhooks.gather, []

    def mistaken(*given):
        if not failed:
            failed.append(given)
            raise KeyError("a mistake")
        return gather(*given)

    monkeypatch.setattr(place.store.webhooks, "gather", mistaken)
    arrived = receiver.arrived
    with Courier(place.store, lambda: Instant(place.now), poll=0.05):
        assert arrived.wait(20)
    assert failed


def test_two_couriers_deliver_nothing_twice(place, receiver):
    """One has the lease; the other waits for its end."""
    add(place, receiver.url)
    place.fleet.start()
    other = Courier(place.store, lambda: Instant(place.now), timeout=ANSWER_SECONDS)
    assert (1, 0) == (place.courier.tick(), other.tick())
    place.store.campaigns.act(place.store.campaigns.find("C").id, Act.PAUSE, "operator", START)
    place.now += 2 * MINUTE
    assert (1, 0) == (other.tick(), place.courier.tick())
    assert ["create", "start", "pause"] == told(receiver)


def test_a_courier_in_its_own_thread_delivers_and_ends(place, receiver):
    """While one receiver dawdles the other is told, and the end waits for neither."""
    with Receiver("dawdle") as slow:
        add(place, slow.url)
        add(place, receiver.url)
        arrived = receiver.arrived
        with Courier(place.store, lambda: Instant(place.now), poll=0.05, timeout=30) as courier:
            place.fleet.start()
            courier.wake()
            assert arrived.wait(20)
    assert "create" == told(receiver)[0]


# --- over TLS


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A server's context for hooks.example, and a client's that trusts whoever certified it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = certificate.public_bytes(Encoding.PEM)
    path.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


@pytest.fixture
def _at_home(monkeypatch):
    """Names that end in .example lead to this machine."""
    real = socket.getaddrinfo

    def answering(host, *rest, **more):
        return real("127.0.0.1" if str(host).endswith(".example") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answering)


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize(
    ("host", "trusted", "reason"),
    [
        ("hooks.example", True, None),
        ("other.example", True, "certificate"),  # it is the name that counts, not the address
        ("hooks.example", False, "certificate"),
    ],
)
def test_a_receiver_is_known_by_its_certificate(place, certified, host, trusted, reason):
    """One that is trusted, and for the very name in the webhook's address."""
    server, client = certified
    with Receiver(tls=server) as receiver:
        place.courier = Courier(
            place.store, lambda: Instant(place.now), timeout=5, verify=client if trusted else True
        )
        add(place, f"https://{host}:{receiver.port}/", {Kind.CAMPAIGN})
        place.fleet.start()
        place.courier.tick()
        if reason is None:
            assert ["create", "start"] == told(receiver)
        else:
            assert [] == receiver.heard
            (first,) = [it for it in place.store.webhooks.deliveries() if it.attempts]
            assert reason in first.reason.lower()


# --- where it must not go


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1", "2001:0:7f00:1::1", "2001:db8::1", "198.18.0.1", "240.0.0.1",
    ],
)  # fmt: skip
def test_server_side_request_forgery(address):
    """No address of this machine, of a private network, or that stands for one, is posted to."""
    assert not may_speak_to(address, inside=False)


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::", "ff02::1"])
def test_what_even_an_administrator_cannot_allow(address):
    """A cloud's metadata, everybody at once, nobody."""
    assert not may_speak_to(address, inside=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_public_addresses_are_spoken_to(address):
    """Also where they are written in another way."""
    assert may_speak_to(address, inside=False)


@pytest.mark.parametrize(
    "name", ["localhost", "2130706433", "0x7f.1", "127.1", "017700000001"], ids=lambda it: f"name {it}"
)
def test_a_name_of_this_machine_is_found_out_at_delivery(place, name):
    """Whatever way the loopback address is spelt in, it is what the name leads to that counts."""
    with Receiver() as receiver:
        place.store.webhooks.add(
            f"https://{name}:{receiver.port}/", {Kind.CAMPAIGN}, "secret", "somebody1", Instant(place.now)
        )
        place.fleet.start()
        place.courier.tick()
        assert [] == receiver.heard
        (first,) = [it for it in place.store.webhooks.deliveries() if it.attempts]
        assert "127.0.0.1 is no public address" in first.reason or "::1 is" in first.reason


def test_a_name_that_changes_its_address_after_it_was_looked_at(place, monkeypatch):
    """The connection goes to the address that was looked at: the name is asked once (DNS rebinding)."""
    asked = []
    real = socket.getaddrinfo

    def answering(host, *rest, **more):
        if host == "hooks.example":
            asked.append(host)
            host = "127.0.0.1"
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answering)
    with Receiver() as receiver:
        add(place, f"http://hooks.example:{receiver.port}/", {Kind.CAMPAIGN})
        place.fleet.start()
        place.courier.tick()
        assert ["hooks.example"] * 2 == asked  # once for each of two deliveries
        assert f"hooks.example:{receiver.port}" == receiver.heard[0].headers["Host"]


@pytest.mark.parametrize(
    "url",
    [
        "", "https://", "ftp://hooks.example/", "http://hooks.example/", "https://user:word@hooks.example/",
        "https://hooks.example/#part", "https://hooks.example/\r\nX-Evil: 1", "https://hooks.example/ a",
        "https://ho oks.example/", "https://[::1", "https://hooks.example:99999/", "https://127.0.0.1/",
        "https://[::1]/", "javascript:alert(1)", "file:///etc/passwd", "https://hooks.example\\@127.0.0.1/",
        "https://exämple.example/", "https://hooks.example/" + "a" * 2048,
        "https:///path", "//hooks.example/",
    ],
)  # fmt: skip
def test_addresses_that_are_refused_at_once(url):
    """With a word on what is wrong."""
    with pytest.raises(UsageError):
        check_url(url, inside=False)


def test_a_webhook_needs_something_to_be_told_of_and_a_campaign_that_is_there(place):
    """Nothing is written where either is missing."""
    with pytest.raises(UsageError, match="one kind"):
        webhooks.add(place.store, "https://hooks.example/", set(), "somebody1", START)
    with pytest.raises(UsageError, match="no campaign 9"):
        webhooks.add(place.store, "https://hooks.example/", NOT_DEVICES, "somebody1", START, campaign=9)
    assert [] == place.store.webhooks.all()


def test_adding_and_removing_stand_in_the_audit(place, receiver):
    """Who did it, and where to; never the secret."""
    hook = add(place, receiver.url)
    place.store.webhooks.remove(hook.id, "somebody2", START)
    entries = [it for it in place.store.audit.entries() if "webhook" in it.what]
    assert [("somebody1", "add webhook"), ("somebody2", "remove webhook")] == [
        (it.who, it.what) for it in entries
    ]
    assert hook.secret not in json.dumps([it.detail + it.subject for it in entries])


def test_a_viewer_reads_no_address_in_the_audit_by_which_they_could_post(place):
    """A chat's address is its whole secret: there stand its host, and by which digest to know it again."""
    url = "https://hooks.slack.example:8443/services/T00/B00/XXXXXXXX?key=YYYY"
    hook = webhooks.add(place.store, url, NOT_DEVICES, "somebody1", START)
    place.store.webhooks.remove(hook.id, "somebody2", START)
    said = f"https://hooks.slack.example:8443, SHA-256 {hashlib.sha256(url.encode()).hexdigest()[:12]}"
    assert [said] * 2 == [it.detail for it in place.store.audit.entries() if "webhook" in it.what]
