"""The client over real HTTP: what it asks is done, page by page, once, and what is refused it says."""

from __future__ import annotations

import io

import httpx2
import pytest

from lamplighter.client import TRIES, ApiError, Client
from lamplighter.kit import chain
from tests.web import scene
from tests.web.program import plan, token


def client(site, role="operator", **more):
    """In the name of whoever has this role."""
    made = Client(site.url, token(site, role), pause=0, **more)
    site.clients.append(made)
    return made


def test_a_round_trip(site):
    """From an image to a campaign that runs, with the lists, the record and the end of it all."""
    scene.fleet(site.store, 40)
    image = scene.ota()
    site.store.registry.put_cpl([scene.listed(image)])
    operator1, reviewer1, administrator1 = (
        client(site),
        client(site, "approver"),
        client(site, "administrator"),
    )
    assert "ok" == operator1.health()["status"]
    assert ["operate", "read"] == sorted(operator1.me()["scopes"])

    added = operator1.add_release(
        "R", image, after=["00010A00", "00010B00"], security="CVE-2026-1234", srv="11.4"
    )
    number = added["release"]["id"]
    assert "CVE-2026-1234" == added["release"]["security"]
    assert "GG-7" == operator1.mark_release(number, "GG-7")["security"]
    assert None is operator1.mark_release(number, None)["security"]
    assert ["00010A00", "00010B00"] == operator1.release(number)["after"]
    assert ["R"] == [it["name"] for it in operator1.releases()]

    devices = list(operator1.devices(page=7, type="PPMID"))
    assert len(devices) == len(list(operator1.devices(type="PPMID", sort="-eui"))) > 30
    assert devices[0] == operator1.device(devices[0]["eui"])["registry"]

    hook = administrator1.add_webhook("https://hooks.example/", ["campaign"])
    tried = operator1.dry_run(plan(), number)
    made = operator1.create_campaign(plan(), number)
    assert tried["digest"] == made["digest"]
    revised = operator1.revise_campaign(made["id"], plan().replace("minimum = 1", "minimum = 2"))
    reviewer1.approve_campaign(made["id"], revised["digest"])
    assert "running" == operator1.start_campaign(made["id"], "it is time")["status"]
    assert "paused" == operator1.pause_campaign(made["id"])["status"]
    assert "paused" == operator1.call_off(made["id"], reason="to be sure")["status"]
    assert "running" == operator1.resume_campaign(made["id"])["status"]
    assert [] == operator1.series(made["id"])["points"]
    with pytest.raises(ApiError) as refused:
        operator1.forecast(made["id"])
    assert ("urn:lamplighter:problem:not-found", 404) == (refused.value.type, refused.value.status)
    with pytest.raises(ApiError, match="holds no stratum"):
        operator1.release_hold(made["id"], "nothing")
    assert "aborting" == operator1.abort_campaign(made["id"])["status"]
    assert ["C"] == [it["name"] for it in operator1.campaigns("aborting")]
    assert "aborting" == operator1.campaign(made["id"])["status"]
    assert operator1.withdraw_release(number, "it was bad")["withdrawn_at"]

    assert ([], []) == (list(operator1.dead_letters()), list(operator1.storms(active=True)))
    acts = [it["what"] for it in operator1.audit(campaign=made["id"])]
    assert ["create", "revise", "approve", "start", "pause", "call off", "resume", "abort"] == acts
    file = io.BytesIO()
    operator1.export_audit(file)
    file.seek(0)
    head = chain.parse_head(operator1.audit_head()["head"])
    assert head == chain.verify(chain.read(file), head=head)

    site.store.webhooks.gather(None, hook["webhook"]["id"], site.clock())
    told = list(administrator1.deliveries(hook["webhook"]["id"]))
    assert len(acts) == len(told)
    assert {"again": 0} == administrator1.replay_deliveries(hook["webhook"]["id"], [told[0]["id"]])
    assert "hooks.example" in administrator1.webhook(hook["webhook"]["id"])["url"]
    administrator1.remove_webhook(hook["webhook"]["id"])
    assert [] == list(administrator1.webhooks())


def test_people_by_the_client(site):
    """Let somebody in and out."""
    administrator1 = client(site, "administrator")
    assert "nils" == administrator1.create_account("nils", ["viewer"])["name"]
    assert ["operator"] == administrator1.set_roles("nils", ["operator"])["roles"]
    administrator1.set_password("nils", "a password that is long")
    issued = administrator1.issue_token("nils", "nightly", ["read"], 7)
    with Client(site.url, issued["secret"]) as nils:
        assert "nils" == nils.me()["name"]
        assert ["nightly"] == [it["label"] for it in nils.tokens()]
    administrator1.revoke_token(issued["id"])
    assert administrator1.disable_account("nils")["disabled_at"]
    assert None is administrator1.enable_account("nils")["disabled_at"]
    assert 5 == len(list(administrator1.accounts()))


def test_a_message_with_all_its_fields(furnished):
    """As the pages show it."""
    letter = furnished.store.inbox.latest(1)[0]
    assert client(furnished).message(letter.id)["tree"]["children"]


class Flaky(httpx2.BaseTransport):
    """A network that loses the answers to the first few requests, after they were acted on."""

    def __init__(self, lost, status=None) -> None:
        self.lost, self.status = lost, status
        self.real = httpx2.HTTPTransport()
        self.keys = []

    def handle_request(self, request):
        self.keys.append(request.headers.get("idempotency-key"))
        answer = self.real.handle_request(request)
        if len(self.keys) > self.lost:
            return answer
        answer.close()
        if self.status:
            return httpx2.Response(self.status, headers={"Retry-After": "0"})
        raise httpx2.ReadTimeout("the answer was lost", request=request)

    def close(self):
        self.real.close()


@pytest.mark.parametrize("status", [None, 503])
def test_an_answer_that_is_lost_is_asked_for_again(site, status):
    """Under the same key: the act is done once, and its answer comes."""
    image = scene.ota()
    site.store.registry.put_cpl([scene.listed(image)])
    added = client(site).add_release("R", image)
    network = Flaky(TRIES - 1, status)
    made = client(site, transport=network).create_campaign(plan(), added["release"]["id"])
    assert (TRIES, 1) == (len(network.keys), len(set(network.keys)))
    assert [made["id"]] == [it.id for it in site.store.campaigns.list()]
    assert 1 == len(site.store.audit.entries(what="create"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_network_that_is_down_is_said_so(site):
    """After as many attempts as there are."""
    network = Flaky(TRIES)
    with pytest.raises(httpx2.ReadTimeout):
        client(site, transport=network).me()
    assert TRIES == len(network.keys)


@pytest.mark.parametrize("page", [b"<html>gateway</html>", b"[]", b'{"type": 1}', b"\xff"])
def test_what_is_no_answer_of_ours_is_an_error_all_the_same(page):
    """A proxy's own page, say."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(502, content=page))
    with Client("http://lamplighter.example", "token", transport=transport) as lamp:
        with pytest.raises(ApiError) as error:
            lamp.me()
        assert ("about:blank", 502) == (error.value.type, error.value.status)
