"""The verbs of a campaign: what they ask for, what they refuse and what they show."""

from dataclasses import replace

import pytest
from tests.store.campaigning import PPMIDS, START, TARGET, Fleet, eui

from lamplighter.campaign import Cause, Fact
from lamplighter.campaign import plan as plans
from lamplighter.kit.instant import HOUR, to_iso
from lamplighter.store.inbox import Inbox, Incoming

PLAN = """
name = "spring"
stratify = ["region"]
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = 0.2
[[wave]]
name = "everyone"
share = 1
"""


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """Forty PPMIDs and a release for them, in the database that the commands find in the environment."""
    url = f"sqlite:///{tmp_path / 'supplier.db'}"
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", url)
    monkeypatch.setenv("LAMPLIGHTER_USER", "operator")
    monkeypatch.setenv("LAMPLIGHTER_BEGAN", to_iso(START))  # long to come: time stands near it
    monkeypatch.setenv("LAMPLIGHTER_SPEED", "0.000001")
    fleet = Fleet(url)
    fleet.devices(range(40))
    yield fleet
    fleet.close()


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def draft(fleet, plan, run):
    """A campaign that was created, and nothing else."""
    outcome = run("campaign", "create", plan, "--release", "R")
    assert 0 == outcome.code, outcome.err
    return fleet


@pytest.fixture
def running(draft, run):
    """A campaign that somebody else approved, and that was started."""
    assert 0 == run("campaign", "approve", "spring", "--by", "approver").code
    assert 0 == run("campaign", "start", "spring").code
    return draft


def test_the_example_is_a_plan_that_parses(run):
    """`campaign create --example` prints what one may begin from."""
    printed = run("campaign", "create", "--example").out
    assert plans.parse(plans.EXAMPLE) == plans.parse(printed)


def test_a_draft_says_whom_it_is_for_before_anything_is_ordered(draft, run):
    """The dry run: eligible Devices, the digest to approve, and nothing in the outbox."""
    facts = run("campaign", "show", "spring", "--json").facts
    assert ("draft", {"eligible": 40}) == (facts["status"], facts["verdicts"])
    assert [] == draft.rows("SELECT * FROM batch")
    shown = run("campaign", "show", "spring").out
    assert facts["digest"] in shown
    assert "40 eligible" in shown


def test_a_malformed_plan_is_refused_by_key_value_and_what_is_allowed(fleet, tmp_path, run):
    """The error names the file, the key, what it holds and what it may hold; nothing is written."""
    path = tmp_path / "bad.toml"
    path.write_text(PLAN.replace("share = 0.2", "share = 1.2"))
    outcome = run("campaign", "create", path, "--release", "R")
    assert 2 == outcome.code
    assert all(part in outcome.err for part in ("bad.toml", "wave", "share", "1.2"))
    assert [] == fleet.campaigns.list()


@pytest.mark.usefixtures("fleet")
def test_a_plan_that_is_not_text_is_refused(tmp_path, run):
    """Latin-1 is no UTF-8."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe9t\xe9"')
    outcome = run("campaign", "create", path, "--release", "R")
    assert (2, True) == (outcome.code, "octet 8" in outcome.err)


@pytest.mark.usefixtures("fleet")
def test_an_unknown_release_is_named(plan, run):
    """And the command line is told to be wrong."""
    outcome = run("campaign", "create", plan, "--release", "nonesuch")
    assert (2, True) == (outcome.code, "nonesuch" in outcome.err)


@pytest.mark.usefixtures("draft")
def test_the_creator_cannot_approve(run):
    """Four eyes: the one who wrote it is not the one who lets it go."""
    outcome = run("campaign", "approve", "spring")
    assert (2, True) == (outcome.code, "operator" in outcome.err)


@pytest.mark.usefixtures("draft")
def test_nothing_starts_without_approval(run):
    """The error says how many are missing."""
    outcome = run("campaign", "start", "spring")
    assert (2, True) == (outcome.code, "needs 1 approval" in outcome.err)


@pytest.mark.usefixtures("draft")
def test_a_revised_plan_voids_its_approvals(plan, run):
    """What was approved is not what it is now."""
    assert 0 == run("campaign", "approve", "spring", "--by", "approver").code
    plan.write_text(PLAN.replace("0.2", "0.5"))
    assert 0 == run("campaign", "create", plan, "--release", "R", "--revise").code
    facts = run("campaign", "show", "spring", "--json").facts
    assert [False] == [it["valid"] for it in facts["approvals"]]
    assert 2 == run("campaign", "start", "spring").code


@pytest.mark.usefixtures("draft")
def test_an_approval_of_another_digest_is_refused(run):
    """Whoever read an older text does not approve this one."""
    outcome = run("campaign", "approve", "spring", "--by", "approver", "--digest", "00" * 32)
    assert (2, True) == (outcome.code, "it was changed" in outcome.err)


@pytest.mark.parametrize(("verb", "status"), [("pause", "paused"), ("abort", "aborting")])
@pytest.mark.usefixtures("running")
def test_an_act_says_what_becomes_of_what_is_in_flight(run, verb, status):
    """The stated effect is printed with the new status, and the record says who did it and why."""
    outcome = run("campaign", verb, "spring", "--because", "alert storm", "--json")
    facts = outcome.facts
    assert (0, status, True) == (outcome.code, facts["status"], "What the DCC has goes on" in facts["effect"])
    assert ("operator", verb, "alert storm") == tuple(
        facts["events"][-1][key] for key in ("who", "what", "detail")
    )


@pytest.mark.usefixtures("running")
def test_an_act_that_does_not_fit_is_refused_with_where_it_stands(run):
    """A running campaign cannot be resumed."""
    outcome = run("campaign", "resume", "spring")
    assert (2, True) == (outcome.code, "'spring' is running: it cannot resume from there" in outcome.err)


@pytest.mark.usefixtures("running")
def test_a_paused_campaign_goes_on_when_it_is_resumed(run):
    """Pause and resume are each other's undoing."""
    assert 0 == run("campaign", "pause", "spring").code
    assert "running" == run("campaign", "resume", "spring", "--json").facts["status"]


def test_the_page_shows_each_stratum_with_the_gates_numbers(running, run):
    """After a tick the canaries are ordered; one failed, and the page counts it."""
    campaign = running.campaigns.find("spring")
    running.tick(campaign, START)
    running.answer(START)
    ordered = sorted(running.ordered(campaign), key=str)
    running.hear(campaign, ordered[0], Fact.TRANSFER_FAILED, START, Cause.HARDWARE)
    running.hear(campaign, ordered[1], Fact.ACTIVATED, START, version=TARGET)
    facts = run("campaign", "show", "spring", "--json").facts
    [stratum] = facts["strata"]
    assert ("region=North", "canary", "wait") == tuple(stratum[key] for key in ("name", "wave", "ruling"))
    assert (1, 1) == (stratum["states"]["transfer failed"], stratum["states"]["proven"])
    assert 40 == sum(facts["states"].values())
    shown = run("campaign", "show", "spring").out
    assert "1 of 2 failed" in " ".join(shown.split())


def test_a_tally_that_was_written_by_hand_is_found(running, run):
    """`--verify` derives everything anew from the evidence; exit code 1 where one differs."""
    campaign = running.campaigns.find("spring")
    running.tick(campaign, START)
    assert 0 == run("campaign", "show", "spring", "--verify").code
    with running.database.writing() as connection:
        connection.exec_driver_sql("UPDATE tally SET devices = devices + 1")
    outcome = run("campaign", "show", "spring", "--verify", "--json")
    assert (1, True) == (outcome.code, len(outcome.facts["differences"]) > 0)


def test_a_held_stratum_is_released_by_name_and_its_failures_are_pardoned(running, run):
    """The hold has a reason; once it is released the stratum goes on, and is not held again at once."""
    campaign = running.campaigns.find("spring")
    running.tick(campaign, START)
    running.answer(START)
    for device in running.ordered(campaign):
        running.hear(campaign, device, Fact.TRANSFER_FAILED, START, Cause.HARDWARE)
    running.tick(campaign, START)
    [held] = run("campaign", "show", "spring", "--json").facts["strata"]
    assert ("hold", True) == (held["ruling"], "failed" in held["held"])
    outcome = run("campaign", "release-hold", "spring", held["name"], "--because", "known, harmless")
    assert 0 == outcome.code, outcome.err
    running.tick(campaign, START + HOUR)
    [free] = run("campaign", "show", "spring", "--json").facts["strata"]
    assert free["held"] is None


@pytest.mark.usefixtures("running")
def test_activations_are_called_off_while_a_campaign_is_paused(run):
    """How many is said first; where nothing can come of it, why."""
    refused = run("campaign", "call-off", "spring")
    assert (2, True) == (refused.code, "pause it first" in " ".join(refused.err.split()))
    run("campaign", "pause", "spring")
    assert "0 activations called off." in run("campaign", "call-off", "spring", "--device", eui(1)).out
    assert 0 == run("campaign", "call-off", "spring", "--json", "--because", "x").facts["called_off"]


@pytest.mark.usefixtures("fleet")
def test_all_campaigns_are_listed_and_an_empty_list_says_what_to_do(run):
    """Nobody is left before an empty screen."""
    assert "--example" in run("campaign", "list").out
    assert "" == run("campaign", "list", "--json").out


@pytest.mark.parametrize(
    "words", [("campaign", "list"), ("device", "show", eui(1)), ("inbox", "list")], ids=lambda it: it[0]
)
def test_where_there_is_no_database_none_is_made(run, tmp_path, monkeypatch, words):
    """A command in the wrong directory says so, and leaves no empty database behind."""
    monkeypatch.chdir(tmp_path)
    outcome = run(*words)
    assert (2, []) == (outcome.code, list(tmp_path.iterdir()))
    assert all(part in outcome.err for part in ("lamplighter.db", "registry import", "LAMPLIGHTER_DATABASE"))


def test_a_long_name_of_a_stratum_is_shown_in_full(fleet, tmp_path, run):
    """Eighty columns, and a name that takes most of them: it is what `release-hold` asks for."""
    fleet.devices(range(40, 50), replace(PPMIDS, hub_model="CH-A 4G dual band", hub_firmware="00090A01"))
    path = tmp_path / "long.toml"
    path.write_text(PLAN.replace('["region"]', '["hub_model", "hub_firmware", "hardware"]'))
    assert 0 == run("campaign", "create", path, "--release", "R").code
    assert 0 == run("campaign", "approve", "spring", "--by", "approver").code
    assert 0 == run("campaign", "start", "spring").code
    lines = run("campaign", "show", "spring").out.splitlines()
    assert "hub_model=CH-A 4G dual band hub_firmware=00090A01 hardware=0001" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("draft")
def test_a_watch_ends_with_its_time(run):
    """A draft does not move by itself; the last page is printed."""
    outcome = run("campaign", "watch", "spring", "--every", "0.1", "--timeout", "0")
    assert (0, True) == (outcome.code, "draft" in outcome.out)


def test_a_device_tells_its_way(running, run):
    """Where it is, why, and each piece of evidence in the order of time."""
    campaign = running.campaigns.find("spring")
    running.tick(campaign, START)
    running.answer(START)
    device = min(running.ordered(campaign), key=str)
    running.hear(campaign, device, Fact.TRANSFER_FAILED, START, Cause.HARDWARE)
    facts = run("device", "show", device, "--json").facts
    [update] = facts["updates"]
    assert ("transfer failed", "hardware", "us: give up") == tuple(
        update[key] for key in ("state", "cause", "waits_for")
    )
    assert ["ordered", "transfer_failed"] == [it["fact"] for it in update["timeline"]]
    shown = run("device", "show", device).out
    assert "hardware version mismatch" in " ".join(shown.split())


@pytest.mark.usefixtures("fleet")
def test_a_device_without_an_order_and_one_that_nobody_knows(run):
    """The first is shown as the registry has it; the second is an error that names it."""
    known = run("device", "show", eui(1), "--json").facts
    assert ("PPMID", []) == (known["registry"]["type"], known["updates"])
    unknown = run("device", "show", "00-00-00-00-00-00-00-01")
    assert (2, True) == (unknown.code, "00-00-00-00-00-00-00-01" in unknown.err)


@pytest.mark.usefixtures("fleet")
def test_an_empty_inbox_says_so(run):
    """Nothing taken, nothing dead, nothing refused."""
    outcome = run("inbox", "list", "--json")
    assert (0, {"waiting": 0, "dead": 0, "refused": [], "messages": [], "next": None}) == (
        outcome.code,
        outcome.facts,
    )


@pytest.mark.usefixtures("fleet")
def test_a_replay_wants_to_know_which(pki, run):
    """Ids or all, never neither; an id that is no dead letter is named."""
    assert 2 == run("inbox", "replay").code
    outcome = run("inbox", "replay", "7", "--keys", pki)
    assert 2 == outcome.code


@pytest.fixture
def letters(fleet):
    """Five dead letters: three about another Supplier's updates."""
    reasons = ["N39 for X, which is not being updated"] * 3 + ["no certificate"] * 2
    Inbox(fleet.database).take_in(
        [
            Incoming(f"letter {number}".encode(), START, START, "N39", None, 1, (), reason)
            for number, reason in enumerate(reasons)
        ]
    )


@pytest.mark.usefixtures("letters")
def test_dead_letters_are_listed_page_by_page(run):
    """Each page says where the next begins; the last one, that there is none."""
    first = run("inbox", "list", "--limit", "3", "--json").facts
    assert ([1, 2, 3], 3) == ([it["id"] for it in first["messages"]], first["next"])
    second = run("inbox", "list", "--limit", "3", "--after", "3", "--json").facts
    assert ([4, 5], None) == ([it["id"] for it in second["messages"]], second["next"])
    assert 2 == run("inbox", "list", "--all", "--after", "3").code


@pytest.mark.usefixtures("letters")
def test_dead_letters_are_put_away_by_id_or_by_words_of_their_reason(run):
    """One of the two, and never without a word why; an id that is no dead letter is named."""
    assert 2 == run("inbox", "dismiss", "--because", "x").code
    assert 2 == run("inbox", "dismiss", "4", "--reason", "x", "--because", "x").code
    assert 2 == run("inbox", "dismiss", "4").code
    outcome = run("inbox", "dismiss", "4", "77", "--because", "x")
    assert (2, True) == (outcome.code, "no dead letter has the number 77" in outcome.err)
    assert {"dismissed": 1} == run("inbox", "dismiss", "4", "--because", "x", "--json").facts
    words = ("--reason", "not being updated", "--because", "the other Supplier's")
    assert {"dismissed": 3} == run("inbox", "dismiss", *words, "--json").facts
    assert {"dismissed": 0} == run("inbox", "dismiss", *words, "--json").facts
    assert [5] == [it["id"] for it in run("inbox", "list", "--json").facts["messages"]]
