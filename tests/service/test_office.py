"""What persons do, through the one office: scopes, four eyes, dry runs, and what they are told."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import product

import pytest

from lamplighter.campaign import Cause, Fact
from lamplighter.campaign.board import Choice
from lamplighter.campaign.state import State
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import DAY, HOUR
from lamplighter.protocol import image
from lamplighter.registry import CplEntry, CplStatus, Verdict
from lamplighter.service.office import Office
from lamplighter.service.people import ForbiddenError, People, Person, Role, Scope
from lamplighter.store import Store
from lamplighter.store.inbox import Incoming
from tests.service import parties
from tests.store.campaigning import PPMIDS, START, SWITCHES, TARGET, Fleet, eui

TOML = """
name = "spring"
stratify = ["region"]
batch_max = 8
[target]
types = ["PPMID"]
[[wave]]
name = "canary"
share = 0.1
minimum = 3
[[wave]]
name = "everyone"
share = 1
"""


STAFF = {
    "administrator1": [Role.ADMINISTRATOR],
    "operator1": [Role.OPERATOR],
    "oscar": [Role.OPERATOR],
    "reviewer1": [Role.APPROVER],
    "viewer1": [Role.VIEWER],
    "max": [Role.OPERATOR, Role.APPROVER],
}


class Scene(Fleet):
    """A fleet, accounts of every role, and the office."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.store = Store.open(url)
        self.now = START
        self.people = People(self.store, lambda: self.now)
        self.office = Office(self.store, lambda: self.now)
        root = self.people.local("root")
        for name, roles in STAFF.items():
            self.people.create(root, name, roles)
            root = self.people.local("administrator1")

    def person(self, name: str) -> Person:
        return self.people.local(name)

    def approved(self, toml: str = TOML):
        campaign = self.office.create(self.person("operator1"), toml, "R")
        self.office.approve(self.person("reviewer1"), campaign.id, campaign.digest)
        return campaign

    def close(self) -> None:
        super().close()
        self.store.close()


@pytest.fixture
def scene(database_url):
    scene = Scene(database_url)
    yield scene
    scene.close()


SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASKS = {
    "releases": Scope.READ, "release": Scope.READ, "examine": Scope.READ, "campaigns": Scope.READ,
    "campaign": Scope.READ, "dry_run": Scope.READ, "device": Scope.READ, "message": Scope.READ,
    "dead_letters": Scope.READ, "audit": Scope.READ, "audit_head": Scope.READ,
    "add_release": Scope.OPERATE, "mark": Scope.OPERATE, "withdraw": Scope.OPERATE,
    "create": Scope.OPERATE, "revise": Scope.OPERATE,
    "act": Scope.OPERATE, "release_hold": Scope.OPERATE, "replay": Scope.OPERATE, "dismiss": Scope.OPERATE,
    "call_off": Scope.OPERATE,
    "approve": Scope.APPROVE, "vote": Scope.APPROVE,
}  # fmt: skip
ARGUMENTS = {
    "key": "spring", "campaign": "spring", "release": "R", "plan": TOML, "octets": b"x", "name": "n",
    "act": Act.PAUSE, "stratum": "s", "choice": Choice.APPROVE, "eui": eui(1), "number": 1, "ids": [1],
    "security": "CVE-2026-1234", "reason": "why",
}  # fmt: skip


@SQLITE
def test_each_act_asks_for_its_scope_before_anything_else(scene):
    """Every method of the office, with every other scope: refused, and nothing stands in the audit."""
    methods = {
        name: method
        for name, method in inspect.getmembers(Office, inspect.isfunction)
        if not name.startswith("_") and name != "clock"
    }
    assert ASKS.keys() == methods.keys()
    before = scene.store.audit.head()
    for (name, method), scope in product(methods.items(), Scope):
        if scope is ASKS[name]:
            continue
        needed = [
            ARGUMENTS[it.name]
            for it in list(inspect.signature(method).parameters.values())[2:]
            if it.default is inspect.Parameter.empty
        ]
        person = Person("x", frozenset(Role), frozenset(Scope) - {ASKS[name]})
        with pytest.raises(ForbiddenError):
            getattr(scene.office, name)(person, *needed)
    assert before == scene.store.audit.head()


# --- four eyes


def test_four_eyes(scene):
    """Written by one, approved by another with the role, started: each with a name in the audit."""
    scene.devices(range(20))
    campaign = scene.approved()
    seen = scene.office.act(scene.person("oscar"), "spring", Act.START, "Monday")
    assert CampaignStatus.RUNNING is seen.status
    done = [(it.who, it.what) for it in scene.office.audit(scene.person("viewer1"), campaign=campaign.id)]
    assert [("operator1", "create"), ("reviewer1", "approve"), ("oscar", "start")] == done


PHRASE = "a long password"


@pytest.mark.parametrize(
    ("made", "mended"),
    [
        # By whom it is created, by whom its role and its password are given; and who gives them anew.
        (("ann", "administrator1", "administrator1"), None),
        (("administrator1", "ann", "administrator1"), ("administrator1", "administrator1")),
        (("administrator1", "administrator1", "ann"), ("administrator1", "administrator1")),
    ],
    ids=["created", "given the role", "given the password"],
)
@pytest.mark.parametrize("board", [False, True], ids=["approval", "vote"])
def test_a_second_person_whom_an_author_invented_approves_nothing_of_theirs(scene, made, mended, board):
    """An administrator who writes plans must not get around four eyes by an account of their own making."""
    people, created_by, role_by, password_by = scene.people, *made
    people.create(scene.person("administrator1"), "ann", [Role.OPERATOR, Role.ADMINISTRATOR])
    people.create(scene.person(created_by), "cat", [Role.VIEWER])
    people.set_roles(scene.person(role_by), "cat", [Role.APPROVER])
    people.set_password(scene.person(password_by), "cat", PHRASE)
    toml = TOML
    if board:
        seats = '[[board]]\ncategory = "Large Suppliers"\nmembers = ["cat"]\n[[wave]]'
        toml = toml.replace("[[wave]]", seats, 1)

    def give(campaign):
        if board:
            scene.office.vote(scene.person("cat"), campaign.id, Choice.APPROVE)
        else:
            scene.office.approve(scene.person("cat"), campaign.id)

    anns = scene.office.create(scene.person("ann"), toml, "R")
    with pytest.raises(UsageError, match="ann wrote campaign 'spring', and made the account of cat"):
        give(anns)
    give(scene.office.create(scene.person("operator1"), toml.replace("spring", "another's"), "R"))
    if mended is None:
        return
    people.set_roles(scene.person(mended[0]), "cat", [])
    people.set_roles(scene.person(mended[0]), "cat", [Role.APPROVER])
    people.set_password(scene.person(mended[1]), "cat", "another long password")
    give(anns)


def test_a_password_that_changes_hands_twice_is_still_its_first_setters(scene):
    """Whoever resets a password signs in by it and sets the next in the owner's name: that clears nothing."""
    people = scene.people
    people.create(scene.person("administrator1"), "ann", [Role.OPERATOR, Role.ADMINISTRATOR])
    people.set_password(scene.person("ann"), "reviewer1", PHRASE)
    people.set_password(scene.person("reviewer1"), "reviewer1", "another long password", PHRASE)
    # As an administrator's own: without the old one.
    people.set_roles(scene.person("administrator1"), "reviewer1", [Role.APPROVER, Role.ADMINISTRATOR])
    people.set_password(scene.person("reviewer1"), "reviewer1", "yet another password")
    anns = scene.office.create(scene.person("ann"), TOML, "R")
    with pytest.raises(UsageError, match="reset its password"):
        scene.office.approve(scene.person("reviewer1"), anns.id)
    people.set_password(scene.person("administrator1"), "reviewer1", PHRASE)
    people.set_password(scene.person("reviewer1"), "reviewer1", "another long password", PHRASE)
    scene.office.approve(scene.person("reviewer1"), anns.id)
    seen = scene.office.act(scene.person("ann"), anns.id, Act.START)
    assert CampaignStatus.RUNNING is seen.status


@pytest.mark.parametrize("scope", [Scope.APPROVE, Scope.ADMINISTER])
@pytest.mark.parametrize("board", [False, True], ids=["approval", "vote"])
def test_a_token_in_the_approvers_name_that_an_author_once_issued_gives_no_word(scene, board, scope):
    """From when it could be issued: no word counts that was given while it was good, revoked since or not."""
    people, store = scene.people, scene.store
    people.create(scene.person("administrator1"), "ann", [Role.OPERATOR, Role.ADMINISTRATOR])
    scopes = [Scope.READ.value, scope.value]
    number = store.people.issue("reviewer1", "x: read", scopes, "lamp_x", Instant(START + DAY), "ANN", START)
    toml = TOML
    if board:
        seats = '[[board]]\ncategory = "Large Suppliers"\nmembers = ["reviewer1"]\n[[wave]]'
        toml = toml.replace("[[wave]]", seats, 1)

    def give(campaign):
        person = scene.person("reviewer1")
        if board:
            scene.office.vote(person, campaign.id, Choice.APPROVE)
        else:
            scene.office.approve(person, campaign.id)

    anns = scene.office.create(scene.person("ann"), toml, "R")
    with pytest.raises(UsageError, match="issued a token that speaks for it"):
        give(anns)
    another = scene.office.create(scene.person("operator1"), toml.replace("spring", "another's"), "R")
    give(another)
    scene.now = Instant(START + HOUR)
    people.revoke(scene.person("administrator1"), number)
    # To the letter, so that the digest stays: she becomes an author when her token has spoken, and is gone.
    scene.office.revise(scene.person("ann"), another.id, toml.replace("spring", "another's"))
    with pytest.raises(UsageError, match="needs"):
        scene.office.act(scene.person("operator1"), another.id, Act.START)
    for campaign in (anns, another):
        give(campaign)
        assert (
            CampaignStatus.RUNNING is scene.office.act(scene.person("oscar"), campaign.id, Act.START).status
        )


def test_an_author_who_joins_later_makes_no_approval_of_their_making_count(scene):
    """Approved by an account that ann made; then she revises: it is void, and cannot be given again."""
    scene.people.create(scene.person("administrator1"), "ann", [Role.OPERATOR, Role.ADMINISTRATOR])
    scene.people.create(scene.person("ann"), "cat", [Role.APPROVER])
    campaign = scene.office.create(scene.person("operator1"), TOML, "R")
    scene.office.approve(scene.person("cat"), campaign.id)
    scene.office.revise(scene.person("ann"), campaign.id, TOML)  # to the letter, so that the digest stays
    with pytest.raises(UsageError, match="needs 1 approval of what it is now, and has 0"):
        scene.office.act(scene.person("operator1"), campaign.id, Act.START)
    with pytest.raises(UsageError, match="ann wrote"):
        scene.office.approve(scene.person("cat"), campaign.id)


def test_nobody_approves_what_they_wrote_at_any_level(scene):
    """Not through the office, not at the store, with both roles, or once somebody else has revised it."""
    campaign = scene.office.create(scene.person("max"), TOML, "R")
    with pytest.raises(UsageError, match="max wrote"):
        scene.office.approve(scene.person("max"), "spring")
    with pytest.raises(UsageError, match="MAX wrote"):
        scene.store.campaigns.approve(campaign.id, "MAX", campaign.digest, START)
    # The creator has a colleague change a comma, and is the last author no more.
    scene.office.revise(scene.person("operator1"), "spring", TOML.replace("batch_max = 8", "batch_max = 9"))
    with pytest.raises(UsageError, match="max wrote"):
        scene.office.approve(scene.person("max"), "spring")
    with pytest.raises(UsageError, match="needs 1 approval"):
        scene.office.act(scene.person("operator1"), "spring", Act.START)


def test_whose_word_counts_the_accounts_say_at_the_store_too(scene):
    """A stranger, an operator, a disabled approver: nobody's word but an approver's."""
    campaign = scene.office.create(scene.person("operator1"), TOML, "R")
    for name in ("nobody", "oscar", "viewer1", "administrator1"):
        with pytest.raises(UsageError, match="is no approver"):
            scene.store.campaigns.approve(campaign.id, name, campaign.digest, START)
    scene.office.approve(scene.person("reviewer1"), campaign.id)
    scene.people.disable(scene.person("administrator1"), "reviewer1")
    assert [False] == [it.valid for it in scene.store.campaigns.approvals(campaign.id)]
    with pytest.raises(UsageError, match="needs 1 approval"):
        scene.office.act(scene.person("operator1"), "spring", Act.START)
    scene.people.enable(scene.person("administrator1"), "reviewer1")
    scene.office.act(scene.person("operator1"), "spring", Act.START)


def test_a_plan_cannot_ask_for_nobodys_approval_where_there_are_accounts(scene):
    """Whoever writes `approvals = 0` needs a second pair of eyes all the same."""
    scene.office.create(scene.person("max"), TOML.replace("batch_max", "approvals = 0\nbatch_max"), "R")
    with pytest.raises(UsageError, match="needs 1 approval of what it is now, and has 0"):
        scene.office.act(scene.person("max"), "spring", Act.START)


@pytest.mark.parametrize("change", ["batch_max = 9", 'batch_max = 8\nstratify = ["model"]', "target"])
def test_any_change_of_targets_or_policy_voids_the_approval(scene, change):
    """The digest is of image and plan; an approval of another digest is refused."""
    campaign = scene.approved()
    text = TOML.replace("batch_max = 8", change) if change != "target" else TOML.replace("PPMID", "HCALCS")
    text = text.replace('stratify = ["region"]\n', "") if "model" in change else text
    scene.office.revise(scene.person("operator1"), "spring", text)
    seen = scene.office.campaign(scene.person("viewer1"), "spring")
    assert ([False], False) == ([it.valid for it in seen.approvals], seen.approved)
    with pytest.raises(UsageError, match="it was changed"):
        scene.office.approve(scene.person("reviewer1"), "spring", campaign.digest)


def test_another_image_is_another_digest(scene):
    """The same plan of another release has nothing of the first one's approval."""
    release = replace(
        scene.registry.release("R"), hash=ImageHash(b"\x01" * 32), version=FirmwareVersion(0x21)
    )
    scene.registry.add_release("S", release)
    viewer1 = scene.person("viewer1")
    digests = {scene.office.dry_run(viewer1, TOML, name).digest for name in ("R", "S")}
    assert 2 == len(digests)
    scene.office.create(scene.person("operator1"), TOML, "R")
    with pytest.raises(UsageError, match="of another release"):
        scene.office.revise(scene.person("operator1"), "spring", TOML, "S")


def test_a_board_votes_through_the_office(scene):
    """Members are approvers; the ballot is shown as it stands."""
    toml = TOML.replace('name = "spring"', 'name = "spring"\nquorum = 1').replace(
        "[[wave]]", '[[board]]\ncategory = "Large Suppliers"\nmembers = ["reviewer1", "oscar"]\n[[wave]]', 1
    )
    scene.office.create(scene.person("operator1"), toml, "R")
    with pytest.raises(ForbiddenError):
        scene.office.vote(scene.person("oscar"), "spring", Choice.APPROVE)
    with pytest.raises(UsageError, match="no approver"):
        scene.store.campaigns.vote(1, "oscar", Choice.APPROVE, scene.store.campaigns.find(1).digest, START)
    scene.office.vote(scene.person("reviewer1"), "spring", Choice.APPROVE)
    seen = scene.office.campaign(scene.person("viewer1"), "spring")
    assert (True, 1, [("reviewer1", Choice.APPROVE)]) == (
        seen.approved, seen.ballot.categories[0].approve, [(it.member, it.choice) for it in seen.votes]
    )  # fmt: skip
    scene.office.act(scene.person("operator1"), "spring", Act.START)


@pytest.mark.parametrize("act", [Act.SETTLE, Act.FINISH])
def test_what_follows_by_itself_nobody_does(scene, act):
    """A campaign cannot be called finished by hand."""
    scene.devices(range(3))
    scene.approved()
    scene.office.act(scene.person("operator1"), "spring", Act.START)
    with pytest.raises(UsageError, match="follows by itself"):
        scene.office.act(scene.person("operator1"), "spring", act)


def test_an_act_that_does_not_fit_says_where_the_campaign_stands(scene):
    """A draft cannot be paused."""
    scene.approved()
    with pytest.raises(UsageError, match="'spring' is draft: it cannot pause"):
        scene.office.act(scene.person("operator1"), "spring", Act.PAUSE)


# --- dry runs


def test_a_dry_run_says_who_is_in_and_who_is_out_and_keeps_nothing(scene):
    """Verdicts, groups that are alike, strata, waves and requests; no campaign, no entry."""
    scene.devices(range(40))
    scene.devices(range(40, 60), replace(PPMIDS, region="South"))
    scene.devices(range(60, 65), replace(PPMIDS, firmware=TARGET))
    scene.devices(range(65, 70), SWITCHES)
    before = scene.store.audit.head()
    found = scene.office.dry_run(scene.person("viewer1"), TOML, "R")
    assert {Verdict.ELIGIBLE: 60, Verdict.ALREADY_THERE: 5} == dict(found.verdicts)
    assert [("North", 40, (4, 36)), ("South", 20, (3, 17))] == [
        (it.stratum.removeprefix("region="), it.devices, it.waves) for it in found.strata
    ]
    assert ([7, 53], {"11.4": 1 + 7}) == (found.waves, found.requests)
    first = found.groups[0]
    assert (40, Verdict.ELIGIBLE, "North", "1234") == (
        first.devices, first.verdict, first.what["region"], first.what["manufacturer"]
    )  # fmt: skip
    assert (before, []) == (scene.store.audit.head(), list(scene.office.campaigns(scene.person("viewer1"))))


def test_a_dry_run_agrees_with_the_campaign_that_follows(scene):
    """What is foretold of the waves is what the pools of the started campaign hold."""
    scene.devices(range(50))
    foretold = scene.office.dry_run(scene.person("viewer1"), TOML, "R")
    campaign = scene.approved()
    scene.office.act(scene.person("operator1"), "spring", Act.START)
    held = [0, 0]
    for pool in scene.campaigns.pools(campaign.id):
        held[pool.place.wave] += pool.devices
    assert (foretold.waves, foretold.digest) == (held, campaign.digest)


def test_a_forecaster_that_cannot_foresee_does_not_stop_a_dry_run(scene):
    """Its reason is told instead; it gets the eligible Devices alone, by cohort."""
    scene.devices(range(10))
    scene.devices(range(10, 14), replace(PPMIDS, firmware=TARGET))
    asked = []

    def forecaster(plan, release, devices, start):
        asked.append((plan.name, release.name, sum(devices.values()), start))
        raise UsageError("no rehearsal fits")

    scene.office.forecaster = forecaster
    found = scene.office.dry_run(scene.person("viewer1"), TOML, "R")
    assert (None, "no rehearsal fits", [("spring", "R", 10, START)]) == (
        found.forecast,
        found.unforeseen,
        asked,
    )


# --- releases


def built(version: int = 2) -> bytes:
    made = image.build(
        b"firmware" * 20, manufacturer=0x121D, image_type=0x84, file_version=FirmwareVersion(version),
        minimum_hardware=0x100, maximum_hardware=0x1FF, text=b"a display", stack_version=2,
    )  # fmt: skip
    return image.encode(made)


def test_an_image_becomes_a_release_if_no_check_fails(scene):
    """It is opened up field by field, and stands in the audit with who added it."""
    added = scene.office.add_release(scene.person("operator1"), "summer", built(), after=[FirmwareVersion(1)])
    assert ({"size": True, "CPL": None}, "summer") == (
        {it.check: it.passed for it in added.checks}, added.registered.name
    )  # fmt: skip
    seen = scene.office.release(scene.person("viewer1"), "summer")
    assert ("00000002", True) == (str(seen.candidate.image.header.file_version), len(seen.fields) > 10)
    entry = scene.store.audit.entries(what="add release")[-1]
    assert ("operator1", "summer") == (entry.who, entry.subject)


def test_an_image_that_fails_a_check_is_shown_with_the_reason_and_is_no_release(scene):
    """The CPL has another hash of this version for every hardware that it is for."""
    scene.registry.put_cpl(
        [CplEntry(0x121D, 1, 0x101, FirmwareVersion(2), ImageHash(bytes(32)), CplStatus.ACTIVE)]
    )
    before = scene.store.audit.head()
    added = scene.office.add_release(scene.person("operator1"), "summer", built())
    assert (None, False) == (added.registered, {it.check: it.passed for it in added.checks}["CPL"])
    assert added.checks == scene.office.examine(scene.person("viewer1"), built()).checks
    assert before == scene.store.audit.head()


@pytest.mark.parametrize("octets", [b"", b"x", b"<a/>", built()[:-1], b"\0" * 100])
def test_what_is_no_image_is_refused_by_field(scene, octets):
    """Whatever somebody drags into the page."""
    with pytest.raises((DecodeError, UsageError)):
        scene.office.add_release(scene.person("operator1"), "summer", octets)


# --- Devices and messages


def test_a_device_is_told_with_its_way_and_what_it_waits_for(scene):
    """In the registry, on its way, and unknown."""
    scene.devices(range(8))
    scene.approved()
    campaign = scene.office.act(scene.person("operator1"), "spring", Act.START)
    scene.tick(campaign, START)
    scene.answer(START)
    device = min(scene.ordered(campaign), key=str)
    scene.hear(campaign, device, Fact.TRANSFER_FAILED, START, Cause.HARDWARE)
    page = scene.office.device(scene.person("viewer1"), device)
    [way] = page.journeys
    assert ("spring", State.TRANSFER_FAILED, "us: give up", START) == (
        way.campaign.name, way.progress.state, way.waits_for, way.since
    )  # fmt: skip
    waiting = next(it for it in map(eui, range(8)) if it not in scene.ordered(campaign))
    assert ([], "PPMID") == (
        list(scene.office.device(scene.person("viewer1"), waiting).journeys),
        scene.office.device(scene.person("viewer1"), waiting).device.cohort.type.value,
    )
    with pytest.raises(UsageError, match="not in the registry"):
        scene.office.device(scene.person("viewer1"), Eui64.of(1))


def dead(scene, octets: bytes, reason: str = "which is not being updated") -> int:
    scene.store.inbox.take_in([Incoming(octets, START, START, "N60", None, 1, (), reason)])
    return scene.store.inbox.dead_letters()[-1].letter.id


def leaves(node):
    return [node] if not node.children else [it for child in node.children for it in leaves(child)]


def test_a_message_is_told_field_by_field_with_what_it_carries(scene):
    """The DUIS document, the GBCS message in it, and why it could not be applied."""
    octets = parties.by_dsp(parties.read_answer())
    number = dead(scene, octets)
    page = scene.office.message(scene.person("viewer1"), number)
    told = {it.name: (it.value, it.meaning, it.place) for it in leaves(page.tree)}
    assert ("which is not being updated", "Response") == (page.dead, page.tree.name)
    assert ("I0", "success", "line 1") == told["ResponseCode"]
    assert ("00020000", "00020000", "octet 67") == told["firmware version"]
    assert "XML signature" not in told
    scene.office.parties = parties.PARTIES
    checks = {it.name: it.passed for it in leaves(scene.office.message(scene.person("viewer1"), number).tree)}
    assert True is checks["XML signature"]
    forged = dead(scene, octets.replace(b">I0<", b">I1<"))
    checks = {it.name: it.passed for it in leaves(scene.office.message(scene.person("viewer1"), forged).tree)}
    assert False is checks["XML signature"]
    with pytest.raises(UsageError, match="no message 99"):
        scene.office.message(scene.person("viewer1"), 99)


def test_dead_letters_are_read_again_by_an_operator_and_noted(scene):
    """Without keys nobody reads them; a number that is none is named; a Device came meanwhile."""
    number = dead(scene, parties.by_dsp(parties.delivered()))
    with pytest.raises(UsageError, match="no keys here"):
        scene.office.replay(scene.person("operator1"), [number])
    scene.office.parties = parties.PARTIES
    with pytest.raises(UsageError, match=f"number {number + 1}"):
        scene.office.replay(scene.person("operator1"), [number, number + 1])
    with pytest.raises(UsageError, match="1 to 1000"):
        scene.office.replay(scene.person("operator1"), range(2_000))
    assert 1 == scene.office.replay(scene.person("operator1"), [number])
    entry = scene.store.audit.entries(what="replay")[-1]
    assert ("operator1", f"1 of 1 wait to be applied: {number}") == (entry.who, entry.detail)
    assert [] == list(scene.office.dead_letters(scene.person("viewer1")))


def test_dead_letters_that_are_nobodys_fault_are_put_away_by_an_operator_who_says_why(scene):
    """Nothing said, a number that is none, and too many: refused, and none is put away."""
    number = dead(scene, b"news of another Supplier's")
    operator = scene.person("operator1")
    for ids, reason, said in (
        ([number], " ", "say why"),
        ([number, number + 1], "not ours", f"number {number + 1}"),
        (range(2_000), "not ours", "1 to 1000"),
    ):
        with pytest.raises(UsageError, match=said):
            scene.office.dismiss(operator, ids, reason)
    assert (0, 1) == scene.store.inbox.counts()
    assert 1 == scene.office.dismiss(operator, [number], "not ours")
    [entry] = scene.store.audit.entries(what="dismiss")
    assert ("operator1", f"1 put away (not ours): {number}") == (entry.who, entry.detail)
    assert (0, 0) == scene.store.inbox.counts()


def test_a_held_stratum_is_released_with_a_name_and_a_reason(scene):
    """And only if it is held."""
    scene.devices(range(8))
    scene.approved()
    scene.office.act(scene.person("operator1"), "spring", Act.START)
    with pytest.raises(UsageError, match="holds no stratum"):
        scene.office.release_hold(scene.person("operator1"), "spring", "region=North")
    with scene.database.writing() as connection:
        connection.exec_driver_sql("UPDATE stratum SET held_at = 0, held_because = 'bad'")
    scene.office.release_hold(scene.person("oscar"), "spring", "region=North", "known, harmless")
    entry = scene.store.audit.entries(what="release hold")[-1]
    assert ("oscar", "region=North: known, harmless") == (entry.who, entry.detail)


def test_activations_are_called_off_while_a_campaign_is_paused_and_of_strata_that_it_has(scene):
    """A running one would order them again at once; a misspelt stratum is not taken for none."""
    scene.devices(range(8))
    scene.approved()
    operator = scene.person("operator1")
    scene.office.act(operator, "spring", Act.START)
    with pytest.raises(UsageError, match="pause it first"):
        scene.office.call_off(operator, "spring")
    scene.office.act(operator, "spring", Act.PAUSE)
    with pytest.raises(UsageError, match="no stratum 'region=Nowhere'"):
        scene.office.call_off(operator, "spring", "region=Nowhere")
    assert 0 == scene.office.call_off(scene.person("oscar"), "spring", "region=North", reason="rumours")
    assert CampaignStatus.PAUSED is scene.office.campaign(operator, "spring").campaign.status
    entry = scene.store.audit.entries(what="call off")[-1]
    assert ("oscar", "region=North: rumours") == (entry.who, entry.detail)


def test_a_look_at_a_campaign_tells_its_states_and_what_comes_next(scene):
    """All of one moment, at the office's time."""
    scene.devices(range(20))
    scene.approved()
    draft = scene.office.campaign(scene.person("viewer1"), "spring")
    assert (True, 20, 0, START) == (draft.approved, draft.verdicts[Verdict.ELIGIBLE], draft.total, draft.at)
    campaign = scene.office.act(scene.person("operator1"), "spring", Act.START)
    scene.tick(campaign, START)
    seen = scene.office.campaign(scene.person("viewer1"), "spring")
    assert (20, 3) == (seen.total, len(scene.ordered(campaign)))
    assert seen.outlook.ends_at == Instant(START + campaign.plan.lasts)
    assert b"" == seen.registered.release.image  # a page that is looked at often carries no megabyte about
