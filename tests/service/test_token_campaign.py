"""Campaigns whose keys are on a token: it goes and comes back, and nothing is lost, refused or sent twice."""

import httpx2
import pytest
from sqlalchemy import select

from lamplighter.campaign import Stage
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, MINUTE
from lamplighter.lab import homes
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Role, SigningError, Use
from lamplighter.registry import DeviceType
from lamplighter.service import keyfiles
from lamplighter.service.gateway import Gateway, NotSignedError, Parties
from lamplighter.store import Store
from lamplighter.store import schema as s
from tests.matrix import estate

from .dcc import HCALCS_DEVICE, ONE_STEP, PPMID_DEVICE, Side, refuse
from .parties import BROKER, PARTIES, PKI, PPMID, SUPPLIER, clock, receipt


def ring_of(hsm, directory, certificates, keys, roles=(Role.SUPPLIER, Role.XML_SIGNING)):
    """The ring of a key directory, where the token holds the signing keys in these roles."""
    keyfiles.create(directory)
    on_token = {it: key for it, key in keys.items() if it.use is Use.DIGITAL_SIGNATURE and it.role in roles}
    for certificate in certificates:
        key = None if certificate in on_token else keys.get(certificate)
        keyfiles.store(directory, certificate, key)
    hsm.keep(directory, on_token)
    return keyfiles.load(directory)


@pytest.fixture
def parties(hsm, tmp_path, request):
    """Ourselves, with keys on the token: both, or those in the roles that the test names."""
    roles = getattr(request, "param", (Role.SUPPLIER, Role.XML_SIGNING))
    ring = ring_of(hsm, tmp_path / "keys", PARTIES.ring, dict(PKI.supplier_keys(SUPPLIER)), roles)
    return Parties(SUPPLIER, BROKER, ring)


@pytest.fixture
def side(database_url, parties):
    store = Store.open(database_url)
    yield Side(store, parties=parties)
    store.close()


def test_a_request_that_cannot_be_signed_waits_and_is_refused_by_nobody(side, hsm):
    """The token is away: nothing goes out, the order stays as if never tried, and is sent later."""
    side.register(PPMID_DEVICE)
    side.begin(DeviceType.PPMID)
    hsm.take_away()
    for _ in range(4):
        side.settle()
        side.pass_(MINUTE)
    [waiting] = side.open()
    assert ([], Stage.QUEUED, None) == (side.dcc.requests, side.stage(), waiting.attempted_at)
    assert side.reconciler.failures == 0
    hsm.bring_back()
    side.settle()
    assert (Stage.ACCEPTED, [waiting.counter]) == (side.stage(), side.dcc.counters)


@pytest.mark.parametrize("parties", [(Role.SUPPLIER,)], indirect=True)
def test_a_command_that_cannot_be_signed_is_asked_for_anew(side, hsm):
    """The token goes between transform and signature: later another transform, under a fresh counter."""
    side.register(HCALCS_DEVICE)
    side.begin(DeviceType.HCALCS)
    side.settle()

    def reply(request):
        if not any(hsm.folder.glob("away")):
            hsm.take_away()
        return side.dcc.accept(request)

    side.dcc.reply = reply
    side.arrive(receipt())
    assert (["UpdateFirmware", "ActivateFirmware"], Stage.QUEUED) == (side.dcc.asked, side.stage())
    hsm.bring_back()
    spent = side.dcc.counters[-1]
    side.dcc.reply = lambda request: (
        side.dcc.accept(request) if request.id.counter > spent else refuse("E57")(request)
    )
    side.pass_(MINUTE)
    side.settle()
    assert ["ActivateFirmware", "ActivateFirmware", "SignedPreCommand"] == side.dcc.asked[2:]
    assert spent == side.dcc.counters[2] < side.dcc.counters[3] == side.dcc.counters[4]
    assert Stage.ACTIVATION_SENT is side.stage()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_kept_command_goes_out_when_the_token_is_back(side, hsm):
    """Signed and kept, and its request cannot be signed: the same command is sent later, once."""
    side.register(HCALCS_DEVICE)
    side.begin(DeviceType.HCALCS)
    side.settle()
    kept = side.store.outbox.keep_commands

    def keep(fence, commands):
        kept(fence, commands)
        hsm.take_away()

    side.store.outbox.keep_commands = keep
    side.arrive(receipt())
    side.store.outbox.keep_commands = kept
    [waiting] = side.open()
    assert "SignedPreCommand" not in side.dcc.asked
    hsm.bring_back()
    side.pass_(MINUTE)
    side.settle()
    commands = [it.body.payload for _, it in side.dcc.requests if isinstance(it.body, duis.SignedPreCommand)]
    assert [waiting.command] == commands
    assert Stage.ACTIVATION_SENT is side.stage()


def test_a_token_that_cannot_sign_is_said_before_anything_is_ordered(parties, hsm):
    """At the start, with the reason; and later it is nobody's fault but ours, and nothing was sent."""
    client = httpx2.Client(base_url="http://127.0.0.1:9")
    with Gateway(parties, client, clock) as gateway:
        hsm.take_away()
        with pytest.raises(NotSignedError, match="supplier's own") as raised:
            gateway.distribute(7, ONE_STEP, [PPMID])
        assert raised.value.unsent
    with pytest.raises(SigningError, match="no PKCS#11 module that works"):
        Gateway(parties, client, clock)


class LossyTransport(estate.LabTransport):
    """The lab's DCC; the answer to the first request is lost after it has done its work."""

    lost = False

    def handle_request(self, request):
        answer = super().handle_request(request)
        if not self.lost:
            self.lost = True
            raise httpx2.ReadTimeout("lost")
        return answer


def test_a_fleet_is_updated_with_keys_on_a_token(hsm, tmp_path):
    """Both procedures over the lab, to proof. A repeated request is signed anew, and has effect once."""
    lab = homes.build_world("token", homes=6)
    store = Store.open(f"sqlite:///{tmp_path / 'lamplighter.db'}")
    ring = ring_of(hsm, tmp_path / "keys", lab.ring, dict(lab.pki.supplier_keys(homes.SUPPLIER)))
    supplier = estate.Supplier(lab, store, ring, LossyTransport)
    releases = estate.register(store, lab)
    for kind, release in releases.items():
        estate.begin(store, release, estate.plan(kind), supplier.clock())
    assert supplier.run(Instant(supplier.clock() + 60 * DAY))
    devices = [getattr(home, kind.value.lower()) for home in lab.homes for kind in estate.KINDS]
    assert {estate.NEW_VERSION} == set(supplier.truth(devices).values())
    first, second = [octets for _, octets in supplier.transport.requests[:2]]
    opened = [duis.open_request(it, lab.ring, now=None).message for it in (first, second)]
    assert (True, opened[0]) == (first != second, opened[1])
    with store.database.reading() as connection:
        codes = list(connection.execute(select(s.request.c.response_code)).scalars())
    assert "given up" not in codes
    store.close()
