"""The way out over real HTTP and TLS: what is sent, and what becomes of each kind of answer."""

import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lamplighter.kit import LamplighterError, PeerError, UsageError, VerificationError
from lamplighter.protocol import duis
from lamplighter.service.gateway import AT_ONCE, Gateway, NoAnswerError, NotSignedError, Tls

from .dcc import AT_DSP, ONE_STEP
from .parties import HASH, HCALCS, NOW, PARTIES, PPMID, answer, by_dsp, clock


class Dcc(ThreadingHTTPServer):
    """Opens what is posted, and answers as told: (status, octets)."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, reply, context=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.asked = []
        self.peers = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, address):
        """A client that breaks off is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # the library's name
        request = duis.open_request(
            self.rfile.read(int(self.headers["Content-Length"])), AT_DSP, now=NOW
        ).message
        self.server.asked.append((self.path, request))
        if isinstance(self.connection, ssl.SSLSocket):
            self.server.peers.append(self.connection.getpeercert())
        status, octets = self.server.reply(request)
        self.send_response(status)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_):
        """Nothing on stderr."""


def accept(request):
    return 200, by_dsp(answer(request, "I99"))


@contextmanager
def served(reply=accept, context=None):
    dcc = Dcc(reply, context)
    thread = threading.Thread(target=dcc.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield dcc
    finally:
        dcc.shutdown()
        dcc.server_close()
        thread.join()


def way_to(dcc, scheme="http", **named):
    url = f"{scheme}://localhost:{dcc.server_port}/api/v1"
    return Gateway.open(PARTIES, url, clock, timeout=named.pop("timeout", 10), **named)


def test_each_request_goes_to_its_service_under_its_counter():
    """11.4 to Non-Device for the ACB, 11.2 to Send Command for the Device."""
    with served() as dcc, way_to(dcc) as gateway:
        gateway.distribute(7, ONE_STEP, [PPMID])
        gateway.read_version(8, HCALCS)
    (path, update), (other_path, read) = dcc.asked
    assert ("/api/v1/serviceD", PARTIES.broker, 7) == (path, update.id.target, update.id.counter)
    assert ("/api/v1/serviceS", HCALCS, 8) == (other_path, read.id.target, read.id.counter)
    assert (duis.ReadFirmwareVersion(), (PPMID,)) == (read.body, update.body.devices)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_dcc_in_trouble_may_have_the_request(status):
    """It is to be asked again, and a refusal then may be of the repetition."""
    with (
        served(lambda _: (status, b"trouble")) as dcc,
        way_to(dcc) as gateway,
        pytest.raises(NoAnswerError, match=str(status)) as raised,
    ):
        gateway.read_version(8, HCALCS)
    assert not raised.value.unsent


@pytest.mark.parametrize("status", [401, 403, 404, 429, 301])
def test_what_was_not_let_in_was_not_sent(status):
    """A proxy, a wrong address, a certificate that has expired: the DCC has not seen it."""
    with (
        served(lambda _: (status, b"")) as dcc,
        way_to(dcc) as gateway,
        pytest.raises(NoAnswerError) as raised,
    ):
        gateway.read_version(8, HCALCS)
    assert raised.value.unsent


@pytest.mark.parametrize("status", [400, 413, 415])
def test_what_the_dcc_cannot_take_is_not_to_be_sent_again(status):
    """However often it is sent, it stays the same."""
    with (
        served(lambda _: (status, b"too large")) as dcc,
        way_to(dcc) as gateway,
        pytest.raises(PeerError, match="too large"),
    ):
        gateway.read_version(8, HCALCS)


def test_where_nobody_listens_nothing_was_sent():
    """Connection refused."""
    with served() as dcc:
        gateway = way_to(dcc)
    with gateway, pytest.raises(NoAnswerError, match="ConnectError") as raised:
        gateway.read_version(8, HCALCS)
    assert raised.value.unsent


def test_a_dcc_that_does_not_answer_in_time_may_have_the_request():
    """A time-out while reading says nothing of what the DCC did."""
    done = threading.Event()

    def never(request):
        done.wait(10)
        return accept(request)

    with served(never) as dcc, way_to(dcc, timeout=0.2) as gateway:
        with pytest.raises(NoAnswerError, match="ReadTimeout") as raised:
            gateway.read_version(8, HCALCS)
        done.set()
    assert not raised.value.unsent


@pytest.mark.parametrize(
    "reply",
    [
        lambda request: (200, by_dsp(answer(request, "I99"))[:-20]),
        lambda _: (200, b""),
        lambda request: (200, by_dsp(answer(request, "I99")).replace(b"I99", b"I0")),
    ],
    ids=["cut short", "empty", "altered"],
)
def test_an_answer_that_cannot_be_believed_is_none(reply):
    """Truncated, empty, or changed on its way."""
    with served(reply) as dcc, way_to(dcc) as gateway, pytest.raises((VerificationError, PeerError)):
        gateway.read_version(8, HCALCS)


def test_signed_commands_go_some_at_a_time_and_never_more():
    """All of a lot are on their way together, up to the bound; each outcome stands where its command did."""
    together, most, lock = [0], [0], threading.Lock()
    full = threading.Barrier(AT_ONCE)

    def reply(request):
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        full.wait(10)  # passes only where as many as may be are here at one time
        with lock:
            together[0] -= 1
        if request.id.counter % 2:
            return 503, b""
        return accept(request)

    lot = [(counter, HCALCS, b"signed") for counter in range(2 * AT_ONCE)]
    with served(reply) as dcc, way_to(dcc) as gateway:
        outcomes = gateway.send_commands(lot)
    assert AT_ONCE == most[0]
    assert [it[0] for it in lot if it[0] % 2] == [
        counter for counter, it in enumerate(outcomes) if isinstance(it, LamplighterError)
    ]


@pytest.mark.parametrize("url", ["", "dcc.example", "ftp://dcc.example/api", "http://", "https://[::1"])
def test_what_is_no_url_is_said_at_the_start(url):
    """Not when the first request is due."""
    with pytest.raises(UsageError, match="URL"):
        Gateway.open(PARTIES, url, clock, timeout=1)


# Mutual TLS


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """An authority, a server `localhost` and a client, as PEM files."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    for name, extra in (
        ("server", "subjectAltName=DNS:localhost"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        issuer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", extra]
        subject = ["-subj", f"/CN={name}", "-days", "3650"]
        openssl("req", "-x509", *new_key, *issuer, *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return folder


def server_context(pem):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pem / "ca.pem")
    context.load_cert_chain(pem / "server.pem", pem / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_both_sides_prove_who_they_are(pem):
    """Mutual TLS: our client certificate reaches the DCC."""
    tls = Tls(pem / "client.pem", pem / "client.key", pem / "ca.pem")
    with served(context=server_context(pem)) as dcc, way_to(dcc, "https", tls=tls) as gateway:
        assert "I99" == gateway.read_version(8, HCALCS).code
    [peer] = dcc.peers
    assert ((("commonName", "client"),),) == peer["subject"]


@pytest.mark.parametrize(
    "tls",
    [lambda pem: Tls(authority=pem / "ca.pem"), lambda pem: Tls(pem / "client.pem", pem / "client.key")],
)
def test_a_stranger_hears_nothing(pem, tls):
    """Without our certificate the server will not talk, and without its authority we will not."""
    with (
        served(context=server_context(pem)) as dcc,
        way_to(dcc, "https", tls=tls(pem)) as gateway,
        pytest.raises(NoAnswerError),
    ):
        gateway.read_version(8, HCALCS)
    assert [] == dcc.asked


@pytest.mark.parametrize(
    ("tls", "named"),
    [
        (lambda pem: Tls(pem / "none.pem"), "none.pem"),
        (lambda pem: Tls(pem / "client.pem", pem / "server.key"), "client.pem and"),
        (lambda pem: Tls(authority=pem / "ca.key"), "ca.key"),
        (lambda pem: Tls(key=pem / "client.key"), "without its certificate"),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_named_at_the_start(pem, tls, named):
    """Missing, mismatched, or something else than it should be."""
    with pytest.raises(UsageError, match=named):
        tls(pem).context()


def test_the_hash_of_an_activation_is_the_releases():
    """A refused transform is a value: the DCC's answer."""
    with served(lambda request: (200, by_dsp(answer(request, "E5")))) as dcc, way_to(dcc) as gateway:
        refusal = gateway.transform(9, HCALCS, HASH)
    assert ("E5", HASH) == (refusal.code, dcc.asked[0][1].body.hash)


def test_a_signature_that_took_too_long_is_not_sent(monkeypatch):
    """A token that hangs: by then another worker may have our lane."""
    with served() as dcc, way_to(dcc) as gateway:
        monkeypatch.setattr("lamplighter.service.gateway._SIGNING_SECONDS_MAX", 0)
        with pytest.raises(NotSignedError, match="thrown away") as raised:
            gateway.read_version(8, HCALCS)
    assert (True, []) == (raised.value.unsent, dcc.asked)
