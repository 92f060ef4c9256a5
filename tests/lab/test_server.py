"""The lab over real HTTP: a User posts requests and has its messages posted back."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.lab.dcc import Reason, Requested
from lamplighter.lab.dcc.postman import PostmanSettings
from lamplighter.lab.faults import Scheduled
from lamplighter.lab.homes import START, SUPPLIER
from lamplighter.lab.server import MEDIA_TYPE, LabServer, Settings
from lamplighter.protocol import duis
from lamplighter.protocol import image as images

from .user import NEW, a_lab, hcalcs_image, heard, ppmid_image, signed_request

PATIENCE = 20  # seconds until a test that hangs has failed
EAGER = Settings(retry_first_seconds=0.01, retry_most_seconds=0.02, patience_seconds=0.2)


class Receiver:
    """A Receive Response service with an answer for each delivery; 204 once they are used up."""

    def __init__(self, *answers: int, port: int = 0) -> None:
        answers_left = list(answers)
        self.taken: queue.Queue[bytes] = queue.Queue()
        self.tries = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["content-length"])
                octets = self.rfile.read(length)
                if len(octets) < length:
                    return  # the sender gave up in the middle: nothing was said
                outer.tries += 1
                status = answers_left.pop(0) if answers_left else 204
                if status == 204 and self.headers["content-type"] == MEDIA_TYPE:
                    outer.taken.put(octets)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self, user):
        return user.open(self.taken.get(timeout=PATIENCE))


@contextmanager
def served(*answers: int, settings: Settings = EAGER):
    lab, user = a_lab()
    with (
        Receiver(*answers) as receiver,
        LabServer(lab.world, {SUPPLIER: receiver.url}, settings) as server,
        httpx2.Client(timeout=PATIENCE) as client,
    ):
        yield lab, user, receiver, server, client


def post(client, server, service, octets, media_type=MEDIA_TYPE):
    return client.post(f"{server.url}/{service}", content=octets, headers={"content-type": media_type})


def ask(client, server, user, service, body, id_=None):
    octets = signed_request(user.ring, duis.Request(id_ or user.next_id(), body))
    reply = post(client, server, service, octets)
    assert (reply.status_code, reply.headers["content-type"]) == (200, MEDIA_TYPE)
    return user.open(reply.content)


def update_ppmid(client, server, user, lab):
    image = ppmid_image(lab)
    lab.publish(image)
    body = duis.UpdatePpmidFirmware(images.encode(image), NEW, (lab.homes[0].ppmid,))
    return ask(client, server, user, "serviceD", body)


def test_a_ppmid_is_updated_over_http():
    with served() as (lab, user, receiver, server, client):
        assert update_ppmid(client, server, user, lab).code == "I99"
        assert [heard([receiver.next(user)])[0] for _ in range(3)] == ["N60", "N62", "N39"]


def test_an_hcalcs_is_updated_and_activated_over_http():
    with served() as (lab, user, receiver, server, client):
        image = hcalcs_image(lab)
        lab.publish(image)
        device = lab.homes[0].hcalcs
        body = duis.UpdateFirmware(images.encode(user.signed_image(image)), NEW, (device,))
        assert ask(client, server, user, "serviceD", body).code == "I99"
        assert [heard([receiver.next(user)])[0] for _ in range(3)] == ["N60", "N62", "8F72"]
        id_ = user.next_id(device)
        user.ask = lambda _, body, id_: ask(client, server, user, "serviceT", body, id_)
        signed = user.signed_pre_command(id_, image.hash)
        assert ask(client, server, user, "serviceS", duis.SignedPreCommand(signed), id_).code == "I99"
        assert receiver.next(user).request_id == id_


def test_a_message_is_delivered_until_it_is_taken():
    with served(500, 503, 302) as (lab, user, receiver, server, client):
        update_ppmid(client, server, user, lab)
        assert [heard([receiver.next(user)])[0] for _ in range(3)] == ["N60", "N62", "N39"]
        assert receiver.tries == 6


def test_a_user_that_is_away_gets_its_messages_when_it_is_back():
    lab, user = a_lab()
    with Receiver() as away:
        port, url = away.port, away.url
    with LabServer(lab.world, {SUPPLIER: url}, EAGER) as server, httpx2.Client(timeout=60) as client:
        update_ppmid(client, server, user, lab)
        with Receiver(port=port) as back:
            assert [heard([back.next(user)])[0] for _ in range(3)] == ["N60", "N62", "N39"]


def test_a_refused_message_is_not_sent_again():
    with served(400) as (lab, user, receiver, server, client):
        update_ppmid(client, server, user, lab)
        assert [heard([receiver.next(user)])[0] for _ in range(2)] == ["N62", "N39"]
        assert server.refused == 1


def test_time_at_a_scaled_speed_brings_the_same_messages():
    scaled = Settings(speed=2_000.0, retry_first_seconds=0.01)
    with served(settings=scaled) as (lab, user, receiver, server, client):
        update_ppmid(client, server, user, lab)
        assert [heard([receiver.next(user)])[0] for _ in range(3)] == ["N60", "N62", "N39"]


def test_a_forged_request_is_answered_and_refused():
    with served() as (lab, user, _, server, client):
        request = duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
        octets = signed_request(user.ring, request).replace(
            str(lab.homes[0].ppmid).encode(), str(lab.homes[0].hub).encode()
        )
        reply = post(client, server, "serviceD", octets)
        assert user.open(reply.content).code == "E1"
        (requested,) = (r.event for r in lab.world.events if isinstance(r.event, Requested))
        assert requested.refusal.reason is Reason.NOT_AUTHENTIC


@pytest.mark.parametrize(
    ("service", "octets", "media_type", "status"),
    [
        ("serviceD", b"not XML", MEDIA_TYPE, 400),
        ("serviceD", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', MEDIA_TYPE, 400),
        ("serviceX", b"<a/>", MEDIA_TYPE, 404),
        ("serviceD", b"<a/>", "text/plain", 415),
        ("serviceD", bytes(2_000), MEDIA_TYPE, 413),
    ],
)
def test_what_is_no_request_is_refused_by_http(service, octets, media_type, status):
    small = Settings(max_body_octets=1_000)
    with served(settings=small) as (_, _, _, server, client):
        assert post(client, server, service, octets, media_type).status_code == status


def test_nothing_but_post_is_served():
    with served() as (_, _, _, server, client):
        assert client.get(f"{server.url}/serviceD").status_code == 405


def test_two_labs_listen_on_ports_of_their_own():
    with served() as (*_, one, _), served() as (*_, other, _):
        assert one.url != other.url


PROCESS = """
import sys
from lamplighter.lab.homes import build_world
from lamplighter.lab.server import LabServer
server = LabServer(build_world("process").world, {})
print(server.url, flush=True)
server.run()
"""


def test_a_world_whose_clock_fails_takes_the_server_with_it():
    lab, user = a_lab()
    with LabServer(lab.world, {}, EAGER) as server, httpx2.Client(timeout=60) as client:
        lab.world.step = lambda: 1 // 0
        update_ppmid(client, server, user, lab)
        server._thread.join(PATIENCE)
        assert not server._thread.is_alive()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_its_own_ends_when_it_is_told_to(how):
    command = [sys.executable, "-c", PROCESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        with httpx2.Client(timeout=60) as client:
            reply = client.post(f"{url}/serviceD", content=b"<a/>", headers={"content-type": MEDIA_TYPE})
            assert reply.status_code == 400
            process.send_signal(how)
            process.communicate(timeout=PATIENCE)
    assert process.returncode in {0, -how}


# Scaled, and at work on many homes


def test_many_homes_are_updated_over_http_in_scaled_time():
    lab, user = a_lab(homes=40, record=False)
    scaled = Settings(speed=4_000.0)
    with Receiver() as receiver, LabServer(lab.world, {SUPPLIER: receiver.url}, scaled) as server:
        image = ppmid_image(lab)
        lab.publish(image)
        devices = tuple(home.ppmid for home in lab.homes)
        body = duis.UpdatePpmidFirmware(images.encode(image), NEW, devices)
        with httpx2.Client(timeout=PATIENCE) as client:
            assert ask(client, server, user, "serviceD", body).code == "I99"
            names = [heard([receiver.next(user)])[0] for _ in range(3 * len(devices))]
    assert {"N60": 40, "N62": 40, "N39": 40} == {name: names.count(name) for name in names}


def test_in_scaled_time_the_pauses_between_two_tries_are_scaled_too():
    """Ten virtual minutes after each failure are over in a few of our milliseconds."""
    patient = PostmanSettings(first_pause=10 * MINUTE, longest_pause=HOUR)
    with served(500, 500, 500, settings=Settings(speed=40_000.0, post=patient)) as (
        lab,
        user,
        receiver,
        server,
        client,
    ):
        update_ppmid(client, server, user, lab)
        assert [heard([receiver.next(user)])[0] for _ in range(3)] == ["N60", "N62", "N39"]
        assert receiver.tries == 6
        assert lab.world.now > START + 70 * MINUTE


def test_time_may_run_at_another_pace_from_now_on():
    """Slowly at first: at a second a second nothing would come for hours; then fast, and never backwards."""
    with served(settings=Settings(speed=1.0)) as (lab, user, receiver, server, client):
        update_ppmid(client, server, user, lab)
        before = lab.world.now
        assert before < START + HOUR
        server.pace(40_000.0)
        assert [heard([receiver.next(user)])[0] for _ in range(3)] == ["N60", "N62", "N39"]
        assert lab.world.now > before


@pytest.mark.parametrize("speed", [0.0, -1.0])
def test_time_does_not_stand_still_nor_run_backwards(speed):
    server = LabServer(a_lab()[0].world, {}, Settings(speed=60.0))
    with pytest.raises(UsageError):
        server.pace(speed)
    server.stop()


def test_time_that_rests_has_no_pace():
    server = LabServer(a_lab()[0].world, {}, EAGER)
    with pytest.raises(UsageError):
        server.pace(60.0)
    server.stop()


def test_a_dcc_that_is_down_answers_503():
    lab, user = a_lab(faults=(Scheduled("dcc-outage", START, Instant(START + DAY)),))
    with LabServer(lab.world, {}, EAGER) as server, httpx2.Client(timeout=PATIENCE) as client:
        octets = signed_request(
            user.ring, duis.Request(user.next_id(), duis.ReadInventory(lab.homes[0].ppmid))
        )
        down = post(client, server, "serviceD", octets)
        assert (503, b"2026-01-13T09:00" in down.content) == (down.status_code, True)
        assert user.open(post(client, server, "serviceD", octets).content).code == "I0"


def test_the_servers_postman_may_be_told_to_duplicate_and_reorder():
    """What the settings offer can be had: they come with dice of their own."""
    post = PostmanSettings(duplicate=0.5, reorder=0.5)
    LabServer(a_lab()[0].world, {}, Settings(speed=60.0, post=post)).stop()
