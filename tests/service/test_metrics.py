"""What monitoring is told: true to the database, bounded in labels, silent about Devices; and readiness."""

import asyncio
from dataclasses import replace
from functools import partial

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update
from starlette.applications import Starlette

from lamplighter.campaign import Fact
from lamplighter.campaign.plan import Wave
from lamplighter.campaign.status import Act
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.registry import DeviceType
from lamplighter.service import meters, metrics
from lamplighter.service.health import Health, Verdict
from lamplighter.service.people import People, Person, Role, Scope
from lamplighter.service.processes import Processes
from lamplighter.service.receiver import Receiver
from lamplighter.store import Store, gauges, leases
from lamplighter.store import schema as s
from lamplighter.store.gauges import Gauges
from lamplighter.store.migration import head
from tests.store.campaigning import ONE_WAVE, START, Fleet

from .dcc import PPMID_DEVICE, Side
from .parties import NOW, PARTIES, PPMID, activated, by_dsp, clock, delivered, transferred

TWO_WAVES = replace(ONE_WAVE, waves=(Wave("canary", 0.5, minimum=1), Wave("all", 1.0)))
ROOT = Person.of("root", Role)


@pytest.fixture
def store(database_url):
    store = Store.open(database_url)
    yield store
    store.close()


@pytest.fixture
def fleet(database_url):
    fleet = Fleet(database_url)
    yield fleet
    fleet.close()


def figures(page, accept=""):
    """Samples of a page: {(name, labels): value}."""
    octets, _ = page.render(accept)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(octets.decode())
        for sample in family.samples
    }


def of(samples, name, **labels):
    return samples.get((f"lamplighter_{name}", tuple(sorted((k, str(v)) for k, v in labels.items()))))


def client(app):
    """In-process: no socket matters here."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://here")


async def ask(app, path, **headers):
    async with client(app) as http:
        return await http.get(path, headers=headers)


def get(app, path, **headers):
    return asyncio.run(ask(app, path, **headers))


def test_the_page_says_what_the_database_says(fleet, store):
    """Devices by campaign, wave and stage, those that wait, the outbox: as a count over the rows has it."""
    fleet.devices(range(40))
    campaign = fleet.start(TWO_WAVES)
    fleet.make(campaign, 12)
    now = START + 10 * MINUTE
    samples = figures(metrics.Page(store, lambda: now))
    ordered = {
        (wave + 1, stage): n
        for wave, stage, n in fleet.rows(
            "SELECT c.wave, t.stage, SUM(t.devices) FROM cell c JOIN tally t ON t.cell = c.id"
            " WHERE t.devices > 0 GROUP BY c.wave, t.stage"
        )
    }
    assert {(1, 0): 12} == ordered
    assert 12 == of(samples, "campaign_devices", campaign="C", wave=1, stage="queued")
    waiting = [of(samples, "campaign_waiting_devices", campaign="C", wave=wave) for wave in (1, 2)]
    assert 28 == sum(waiting)
    assert 1 == of(samples, "campaign_info", campaign="C", status="running")
    assert 0 == of(samples, "campaign_held_strata", campaign="C")
    assert (1, 0) == (
        of(samples, "outbox_requests", state="unsent"),
        of(samples, "outbox_requests", state="attempted"),
    )
    assert 600 == of(samples, "outbox_oldest_seconds")
    assert 1 == of(samples, "database_up")


def test_a_stratum_that_is_held_counts_until_its_campaign_has_ended(fleet, store):
    """Bad firmware stays held in a campaign that was aborted: nobody is to be told of it for months."""
    fleet.devices(range(4))
    campaign = fleet.start()
    now = START + 10 * MINUTE
    with store.database.writing() as connection:
        connection.execute(s.stratum.update().values(held_at=now, held_because="harm"))
    held = Gauges(store.database)
    assert {"C": 1} == held.read(now).held
    fleet.campaigns.act(campaign.id, Act.ABORT, "ann", now)
    assert {"C": 1} == held.read(now).held
    fleet.campaigns.act(campaign.id, Act.SETTLE, "policy", now)
    assert {} == held.read(now).held


def test_a_paused_campaigns_requests_make_no_outbox_old(fleet, store):
    """What is not wanted is not late: nobody is to be woken for it."""
    fleet.devices(range(4))
    campaign = fleet.start()
    fleet.make(campaign, 4)
    with store.database.writing() as connection:  # what was never attempted is recalled in any case
        connection.execute(update(s.request).values(attempted_at=START))
    assert START == Gauges(store.database).read(START + DAY).oldest_request
    fleet.campaigns.act(campaign.id, Act.PAUSE, "somebody", START)
    assert Gauges(store.database).read(START + DAY).oldest_request is None


def test_labels_stay_few_however_many_campaigns_there_were(fleet, store, monkeypatch):
    """Those under way come first, then the latest, and no more than the bound."""
    monkeypatch.setattr(gauges, "CAMPAIGNS_MAX", 3)
    fleet.devices(range(4))
    fleet.start(replace(ONE_WAVE, name="running"))
    for number in range(5):
        fleet.campaigns.create(replace(ONE_WAVE, name=f"draft {number}"), 1, "somebody", START)
    assert {"running", "draft 4", "draft 3"} == set(Gauges(store.database).read(START).campaigns)


def test_nothing_is_by_device(fleet, store):
    """No label of any figure is an identifier, and no value of a label is one."""
    fleet.devices(range(6))
    fleet.make(fleet.start(), 6)
    samples = figures(metrics.Page(store, lambda: START))
    labels = {name for _, pairs in samples for name, _ in pairs}
    assert set() == labels & {"device", "eui", "hub", "serial"}
    assert [] == [
        pairs for _, pairs in samples if any("DB-" in value or "00DB" in value for _, value in pairs)
    ]


def test_reasons_for_refusals_are_bounded():
    """A stranger cannot make a series for each thing that he sends."""
    for number in range(2 * meters.CHECKS_MAX):
        meters.refused(f"made up {number}")
    checks = {sample.labels["check"] for sample in meters.REFUSED.collect()[0].samples}
    assert len(checks) <= meters.CHECKS_MAX + 1
    assert meters.OTHER in checks


def test_a_page_is_read_from_the_database_but_now_and_then(store, monkeypatch):
    """Any number of askers costs one look in five seconds."""
    looks = []
    real = Gauges.read
    monkeypatch.setattr(Gauges, "read", lambda self, now: looks.append(now) or real(self, now))
    page = metrics.Page(store, lambda: START)
    for _ in range(10):
        page.render()
    assert 1 == len(looks)


def test_a_database_that_is_gone_is_told_and_the_rest_too(store):
    """The process's own figures are needed most then."""
    page = metrics.Page(store, lambda: NOW)
    store.database.engine.dispose()
    store.database._readers = None
    samples = figures(page)
    assert 0 == of(samples, "database_up")
    assert of(samples, "receiver_messages_total", outcome="taken") is not None


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text; version=1.0.0"])
def test_the_page_comes_in_the_format_that_is_asked_for(store, accept):
    """Prometheus asks for OpenMetrics, a person for nothing."""
    app = Starlette(routes=metrics.routes(store, lambda: NOW))
    answer = get(app, "/metrics", accept=accept)
    assert (200, "openmetrics" in accept) == (answer.status_code, answer.text.endswith("# EOF\n"))


def test_on_the_pages_address_figures_want_a_token_that_may_read(store):
    """Campaigns have names, and the pages' address is everybody's."""
    people = People(store)
    people.create(ROOT, "administrator1", {Role.ADMINISTRATOR}, "correct horse battery")
    app = Starlette(routes=metrics.routes(store, lambda: NOW, people))
    _, good = people.issue_token(
        people.local("administrator1"), "prometheus", {Scope.READ}, people._clock() + DAY
    )
    answers = [
        get(app, "/metrics", **headers).status_code for headers in ({}, {"authorization": "Bearer nonsense"})
    ]
    assert [401, 401] == answers
    assert 200 == get(app, "/metrics", authorization=f"Bearer {good}").status_code
    assert [200, 503] == [get(app, path).status_code for path in ("/healthz", "/readyz")]


# --- readiness


def verdicts(health):
    return {it.name: it.passed for it in health.look().checks}


def test_ready_is_who_can_be_given_work(fleet, store):
    """All four checks: none with the lease gone, or with a request that is too old."""
    fleet.devices(range(2))
    campaign = fleet.start()
    fleet.make(campaign, 2)
    now = START
    health = Health(store, lambda: now)
    assert {"database": True, "migrations": True, "lease": False, "outbox": True} == verdicts(health)
    leases.Leases(store.database).take("inbox", "worker", START, HOUR)
    assert health.look().ready
    now = START + HOUR - 1
    assert {"database": True, "migrations": True, "lease": True, "outbox": False} == verdicts(health)
    now = START + HOUR
    assert not verdicts(health)["lease"]


def test_pages_stay_ready_without_an_engine(store):
    """It is told, and does not count: nobody must lose the pages in the hour of need."""
    verdict = Health(store, lambda: NOW, engine=False).look()
    assert (True, False) == (verdict.ready, verdict.facts()["checks"]["lease"]["passed"])


def test_whoever_asks_all_the_time_costs_a_look_a_second(store, monkeypatch):
    """The address needs no account: it must not be a way to keep the database busy."""
    looks = []
    monkeypatch.setattr(Health, "look", lambda _: looks.append(1) or Verdict(()))
    health = Health(store, lambda: NOW)
    assert {True} == {health.recent().ready for _ in range(100)}
    assert len(looks) < 100


def test_a_database_of_another_version_is_not_ready(store):
    """An old process beside a database that a new one has migrated."""
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    health = Health(store, lambda: NOW)
    assert (False, {"database": True, "migrations": False}) == (health.look().ready, verdicts(health))
    assert head() in health.look().checks[1].detail


def test_a_database_that_is_gone_is_not_ready_and_no_secret_is_told(store):
    """The kind of failure, and not its text: that may hold the address with its password."""
    health = Health(store, lambda: NOW)
    store.database._readers = None
    assert [("database", False, "AttributeError", True)] == [tuple(it) for it in health.look().checks]


# --- the loops count


def open_receiver(url):
    return Receiver(PARTIES, Store.open(url), clock)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_receive_processes_are_counted_where_nobody_can_ask_them(database_url, store):
    """Two processes on one port, one page: what both took, and what both refused."""
    messages = [by_dsp(activated(at=Instant(NOW + number))) for number in range(12)]
    with (
        meters.shared_by_processes() as folder,
        Processes(partial(open_receiver, database_url), 2) as processes,
        httpx2.Client(base_url=processes.url, timeout=60) as http,
    ):
        codes = [
            http.post("/duis/responses", content=octets, headers={"Connection": "close"}).status_code
            for octets in [*messages, *[b"nonsense"] * 3]
        ]
        samples = figures(metrics.Page(store, lambda: NOW, folder))
    assert [204] * 12 + [400] * 3 == codes
    assert 12 == of(samples, "receiver_messages_total", outcome="taken")
    assert 3 == of(samples, "receiver_messages_total", outcome="refused")
    assert 12 + 3 == of(samples, "receiver_lot_messages_sum")


def test_the_loops_count_what_they_do(store):
    """Sent, taken, applied: one update from its order to its proof, counted at each place."""
    counters = {
        "sent": meters.SENT.labels("11.4", "accepted"),
        "answered": meters.RECEIVED.labels("taken"),
        "applied": meters.APPLIED,
        "inbox": meters.TICKS.labels("inbox", "done"),
        "outbox": meters.TICKS.labels("outbox", "done"),
    }
    before = {name: it._value.get() for name, it in counters.items()}
    side = Side(store)
    side.register(PPMID_DEVICE)
    side.begin(DeviceType.PPMID)
    side.settle()
    side.arrive(delivered(), transferred(), activated())
    counted = {name: it._value.get() - before[name] for name, it in counters.items()}
    assert Fact.ACTIVATED in side.facts(PPMID)
    assert (1, 3, 3) == (counted["sent"], counted["answered"], counted["applied"])
    assert counted["inbox"] >= 1
    assert counted["outbox"] >= 1


def test_a_tick_that_fails_is_counted_by_its_work(store, monkeypatch):
    """By a fixed word, with the campaign's number left out."""
    failed = meters.TICKS.labels("campaigns", "failed")
    before = failed._value.get()
    side = Side(store)
    monkeypatch.setattr(store.campaigns, "numbers_under_way", lambda: 1 / 0)
    side.reconciler.tick()
    assert before + 1 == failed._value.get()
