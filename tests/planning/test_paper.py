"""The campaign on paper against the store: the same small world, decision by decision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select, text
from tests.store.campaigning import PPMIDS, SWITCHES, TARGET, Fleet

from lamplighter.campaign import plan as plans
from lamplighter.campaign.decide import decide
from lamplighter.campaign.evidence import Evidence, Fact
from lamplighter.campaign.next import Order
from lamplighter.campaign.state import IMPLIES, Stage
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, from_iso
from lamplighter.lab.devices import Behaviour, Manner
from lamplighter.lab.faults import Scheduled
from lamplighter.planning.assumptions import Assumptions, Range
from lamplighter.planning.estate import registered
from lamplighter.planning.paper import Handed, Paper
from lamplighter.planning.rehearse import Scene, World
from lamplighter.registry import Procedure
from lamplighter.store import schema as s
from lamplighter.store.record import append_items

START = from_iso("2026-01-12T09:00:00Z")
STEP = HOUR
ROUGH = Assumptions(off=Range(0.06, 0.06), refused=Range(0.04, 0.04), alerts_lost=Range(0.1, 0.1))
PLAN = """
name = "twice the same"
stratify = ["hub_model"]
approvals = 0
lasts = "40d"
batch_max = 40
sweep_every = "3h"
{more}
[target]
types = ["{kind}"]
[[wave]]
name = "canary"
share = 0.1
minimum = 12
soak = "5h"
[[wave]]
name = "half"
share = 0.5
[[wave]]
name = "everyone"
share = 1
[gate]
acceptable_failure_rate = 0.1
max_failure_rate = 0.4
acceptable_silence_rate = 0.1
max_silence_rate = 0.4
[deadlines]
hub = "1d"
device = "2d"
proof = "3d"
[retries]
attempts_max = 3
checks_max = 3
[rate]
per_hour = 60
"""
_FACTS = {stage: fact for fact, stage in reversed(IMPLIES.items())} | {Stage.PROVEN: Fact.ACTIVATED}


class Behind:
    """The store in the place of the paper, for a world to hand things over to."""

    def __init__(self, fleet, campaign, euis):
        self.fleet, self.campaign, self.euis = fleet, campaign, euis
        self.place = {eui: at for at, eui in enumerate(euis)}

    def _rows(self, sql, **values):
        return self.fleet.rows(sql, **values)

    def updates(self):
        """By place in the estate: the number of its update, its step."""
        with self.fleet.database.reading() as connection:
            rows = connection.execute(
                select(s.device_update.c.device, s.device_update.c.id, s.device_update.c.progress)
            )
            return {self.place[eui]: (number, progress >> 10 & 255) for eui, number, progress in rows}

    def step_of(self, devices):
        known = self.updates()
        return np.array([known[it][1] for it in devices.tolist()])

    def tell(self, devices, stage, now, cause, step=None):
        known = self.updates()
        version = TARGET if stage is Stage.PROVEN else None
        items = []
        for it in devices.tolist():
            number, here = known[it]
            evidence = Evidence(_FACTS[stage], now, "test", cause, "", version)
            items.append((number, here if step is None else step, evidence, None))
        with self.fleet.database.writing() as connection:
            append_items(self.fleet.database, connection, items, now)

    def hand_over(self, now):
        with self.fleet.database.writing() as connection:
            batches = connection.execute(
                text(
                    "SELECT DISTINCT b.id, b.kind, b.step FROM batch b JOIN request r ON r.batch = b.id"
                    " WHERE r.answered_at IS NULL ORDER BY b.id"
                )
            ).all()
            devices = {
                batch.id: [
                    (eui, number)
                    for eui, number in connection.execute(
                        select(s.device_update.c.device, s.device_update.c.id)
                        .where(s.device_update.c.batch == batch.id)
                        .order_by(s.device_update.c.id)
                    )
                ]
                for batch in batches
            }
            when = dict(
                connection.execute(
                    select(s.request.c.device, s.request.c.execution_at).where(
                        s.request.c.answered_at.is_(None), s.request.c.device.is_not(None)
                    )
                ).all()
            )
        self.fleet.answer(now)
        for batch in batches:
            kind = Order(batch.kind)
            some = devices[batch.id]
            if kind is not Order.READ_FIRMWARE_VERSION:
                fact = Fact.ACTIVATION_SENT if kind is Order.ACTIVATE_FIRMWARE else Fact.SUBMITTED
                with self.fleet.database.writing() as connection:
                    items = [(number, batch.step, Evidence(fact, now, "test"), None) for _, number in some]
                    append_items(self.fleet.database, connection, items, now)
            later = [when.get(eui) for eui, _ in some]
            at = np.array(later, np.int64) if later and later[0] is not None else None
            yield Handed(kind, np.array([self.place[eui] for eui, _ in some], np.uint32), at)


def _told(decision, place_of):
    """What was decided, in places of the estate."""
    return {
        "makes": decision.makes,
        "again": sorted((it.kind.value, it.step, sorted(map(place_of, it.updates))) for it in decision.again),
        "give up": sorted(map(place_of, decision.give_up)),
        "write off": sorted(map(place_of, decision.write_off)),
        "cancel": sorted(map(place_of, decision.cancel)),
        "defer": sorted((place_of(number), at) for number, at in decision.defer.items()),
        "holds": decision.holds,
        "settles": decision.settles,
        "unsettles": decision.unsettles,
        "opens": decision.opens,
        "recall": decision.recall,
        "act": decision.act,
    }


def _summed(sums):
    loading, in_flight = ({it: n for it, n in its.items() if n} for its in (sums.loading, sums.in_flight))
    return sums.outcomes, sums.ordered, in_flight, loading, sums.unfinished, sums.queued


def _seen(view):
    """What was looked at; cells by what they are, not by number."""
    return _summed(view.summed()), replace(
        view,
        strata=tuple(view.strata),
        counts=sorted((it.cell[1:], it.stage, it.again, it.devices) for it in view.counts),
        elsewhere=(),
    )


CASES = {
    "one step": ("PPMID", "", {}, (), None),
    "two steps": ("HCALCS", "", {}, (), None),
    "shared homes": ("PPMID", "", {"homes": 170}, (), None),
    "a window, caps and a blackout": (
        "PPMID",
        (
            "blackout = [2026-01-14]\n[caps]\nin_flight = 50\nper_hub_model = 35\nrequests_per_day = 200\n"
            '[[window]]\nfrom = "08:00"\nto = "20:00"\norders = ["update"]\n'
        ),
        {},
        (),
        None,
    ),
    "a quiet hour": ("HCALCS", 'activate_at = "02:00-04:00"\n', {}, (), None),
    "bad firmware": ("PPMID", "", {}, (), Behaviour(Manner.NEVER_BOOTS)),
    "mute firmware in two steps": ("HCALCS", "", {}, (), Behaviour(Manner.NEVER_REPORTS)),
    "the DCC is down": (
        "PPMID",
        "",
        {},
        (Scheduled("dcc-outage", Instant(START + 2 * HOUR), Instant(START + 30 * HOUR)),),
        None,
    ),
}


SLOW = ("a quiet hour", "mute firmware in two steps", "the DCC is down")


@pytest.mark.parametrize(
    "case", [pytest.param(it, marks=[pytest.mark.long] if it in SLOW else []) for it in CASES]
)
def test_the_paper_decides_as_the_store_does(tmp_path, case):
    """In every step: the same view, and the same decisions, until both campaigns have ended."""
    kind, more, homes, faults, bad = CASES[case]
    procedure = Procedure.ONE_STEP if kind == "PPMID" else Procedure.TWO_STEP
    top, _, tables = more.partition("\n[")
    body = PLAN.format(kind=kind, more=top) + (f"\n[{tables}" if tables else "")
    if "activate_at" in more:
        body = body.replace('proof = "3d"', 'proof = "3d"\nactivation = "3d"')
    plan = plans.parse(body)
    fleet = Fleet(f"sqlite:///{tmp_path / 'db'}", procedure)
    base = PPMIDS if kind == "PPMID" else SWITCHES
    cohorts = [base, replace(base, region="South"), replace(base, hub_model="B", region="4G North")]
    for number, cohort in enumerate(cohorts):
        fleet.devices(range(number * 100, number * 100 + 100), cohort, **homes)
    campaign = fleet.start(plan, START)
    release = fleet.registry.release("R")
    from lamplighter.store import Store

    estate = registered(Store(fleet.database), plan, release)
    with fleet.database.reading() as connection:
        euis = list(
            connection.execute(select(s.device.c.eui).order_by(s.device.c.hub, s.device.c.eui)).scalars()
        )
    assert 300 == len(estate) == len(euis)
    assert bool(homes) == estate.is_shared
    scene = Scene(plan, procedure, 200_000, estate, START, STEP)
    behaviours = {} if bad is None else dict.fromkeys(range(2), bad)
    ours, theirs = (
        World(scene, ROUGH.draw("twice"), "twice", faults=faults, bad=behaviours) for _ in range(2)
    )
    paper = Paper(plan, procedure, estate, START)
    behind = Behind(fleet, campaign, euis)
    decisions = 0
    for step in range(24 * 41):
        now = Instant(START + step * STEP)
        ours.hear(paper, now)
        theirs.hear(behind, now)
        paper.expire(now)
        fleet.orders.expire(None, campaign, now)
        while True:
            view, expected = paper.view(now), fleet.campaigns.view(campaign, now)
            assert _seen(expected) == _seen(view), f"{case}, hour {step}"
            ready, awaited = paper.ready(now, 10_000), fleet.orders.ready(campaign, now)
            decision, decided = decide(plan, view, ready, now), decide(plan, expected, awaited, now)
            of = {number: place for place, (number, _) in behind.updates().items()}
            mine = {int(paper.ids[place]): place for place in of.values()}
            assert _told(decided, of.__getitem__) == _told(decision, mine.__getitem__), f"{case}, hour {step}"
            did = paper.commit(decision, now)
            done = fleet.orders.commit(None, campaign, expected, decided, awaited, now)
            assert bool(done) == did, f"{case}, hour {step}"
            ours.take(paper, now)
            theirs.take(behind, now)
            decisions += 1
            if not did:
                break
        campaign = fleet.campaigns.find(campaign.id)
        assert campaign.status is paper.status
        if paper.status is not CampaignStatus.RUNNING:
            break
    assert CampaignStatus.FINISHED is paper.status
    assert decisions > 100
    if bad is not None:
        assert paper.held_at, "bad firmware is held"
    fleet.close()


def test_on_paper_too_nothing_is_activated_after_the_quiet_hour_that_the_dcc_was_away_for(tmp_path):
    """Handed over at eight in the morning: dated to the coming night, as the store's own are."""
    body = PLAN.format(kind="HCALCS", more='activate_at = "02:00-04:00"\n')
    plan = plans.parse(body.replace('proof = "3d"', 'proof = "3d"\nactivation = "3d"'))
    fleet = Fleet(f"sqlite:///{tmp_path / 'db'}", Procedure.TWO_STEP)
    fleet.devices(range(40), SWITCHES)
    from lamplighter.store import Store

    paper = Paper(
        plan,
        Procedure.TWO_STEP,
        registered(Store(fleet.database), plan, fleet.registry.release("R")),
        START,
    )
    paper.commit(decide(plan, paper.view(START), [], START), START)
    [update] = paper.hand_over(START)
    evening, morning = Instant(START + 10 * HOUR), Instant(START + 23 * HOUR)
    paper.tell(update.devices, Stage.IMAGE_VERIFIED, evening)
    assert paper.commit(decide(plan, paper.view(evening), paper.ready(evening, 100), evening), evening)
    [handed] = paper.hand_over(morning)
    assert Order.ACTIVATE_FIRMWARE is handed.kind
    assert {(morning // DAY + 1, True)} == {
        (at // DAY, 2 <= at % DAY // HOUR < 4) for at in handed.execution_at
    }
    fleet.close()
