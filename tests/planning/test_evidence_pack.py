"""The evidence pack: deterministic, verified offline, and what is wrong is named; threats by name.

`packs/form-1.pack` was made as `Setting` makes one, with a hub model "'=A1" and a Device that left after it
had failed, by the last version that made packs of the first form.
"""

import hashlib
import io
import json
import re
import shutil
import stat
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from tests.store.campaigning import ONE_WAVE, START, TARGET, Fleet, Wave, eui

from lamplighter.campaign import Cause, Fact, Stage
from lamplighter.campaign.board import Board, Category, Choice
from lamplighter.campaign.decide import Decision, Hold
from lamplighter.campaign.status import Act
from lamplighter.kit import DecodeError, Instant, UsageError, VerificationError, chain
from lamplighter.kit.instant import HOUR, to_iso
from lamplighter.planning import archive, evidence_check, evidence_pack, metrics
from lamplighter.planning.operation import metrics_page
from lamplighter.store import Store
from lamplighter.store.inbox import Inbox, Incoming

ROOT = Path(__file__).resolve().parents[2]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key()
AS_OF = Instant(START + 100 * HOUR)


class Setting:
    """A campaign that was approved, ran, and came to something."""

    def __init__(self, url):
        self.fleet = Fleet(url)
        self.fleet.devices(range(30))
        plan = replace(ONE_WAVE, approvals=2, batch_max=7)
        noise = self.fleet.campaigns.create(
            replace(ONE_WAVE, name="before"), self.fleet.release, "operator1", START
        )
        number = self.fleet.campaigns.create(plan, self.fleet.release, "operator1", START)
        digest = self.fleet.campaigns.find(number).digest
        self.fleet.campaigns.approve(number, "reviewer1", digest, START)
        self.fleet.campaigns.approve(number, "paul", digest, START)
        self.fleet.campaigns.act(number, Act.START, "operator1", START)
        self.campaign = self.fleet.campaigns.find(number)
        self.fleet.make(self.campaign, 20)
        for index, device in enumerate(sorted(self.fleet.ordered(self.campaign))):
            at = Instant(START + (index + 1) * HOUR)
            if index % 5:
                self.fleet.hear(self.campaign, device, Fact.VERSION_READ, at, version=TARGET)
            else:
                self.fleet.hear(self.campaign, device, Fact.GIVEN_UP, at)
        self.fleet.campaigns.revise(noise, replace(ONE_WAVE, name="before"), "operator1", START)
        (left,) = sorted(self.fleet.ordered(self.campaign))[5:6]
        self.fleet.hear(self.campaign, left, Fact.LEFT, Instant(START + 50 * HOUR), Cause.REMOVED)
        [stratum] = self.fleet.campaigns.view(self.campaign, START).strata
        self.fleet.decide(self.campaign, Decision(holds=(Hold(stratum.id, "smoke: much of it"),)))
        at = Instant(START + 2 * HOUR)
        Inbox(self.fleet.database).take_in([Incoming(b"storm", at, at, "8F3E", eui(1), 700)])
        self.store = Store(self.fleet.database)
        self.store.storms.watch(None, Instant(START + 4 * HOUR))

    def gathered(self):
        return evidence_pack.gather(self.store, self.campaign.id, AS_OF)

    def pack(self, key=KEY, **changed):
        gathered = self.gathered()
        return sealed(gathered.members | changed, key, gathered.about)


def sealed(members, key=KEY, about=None):
    file = io.BytesIO()
    archive.seal(file, members, key, about or {})
    return file.getvalue()


def verify(octets, key=PUBLIC, head=None):
    return evidence_check.verify(io.BytesIO(octets), key, head)


def wrong(octets, key=PUBLIC, head=None):
    """The check that fails first."""
    with pytest.raises((VerificationError, DecodeError)) as caught:
        verify(octets, key, head)
    return getattr(caught.value, "check", "decode"), str(caught.value)


@pytest.fixture
def setting(database_url):
    setting = Setting(database_url)
    yield setting
    setting.fleet.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good pack, and what was gathered for it."""
    setting = Setting(f"sqlite:///{tmp_path_factory.mktemp('pack')}/l.db")
    gathered = setting.gathered()
    members = {name: it if isinstance(it, bytes) else b"".join(it) for name, it in gathered.members.items()}
    setting.fleet.close()
    return members, gathered.about


@pytest.fixture(scope="module")
def octets(good):
    return sealed(*good[:1], about=good[1])


def test_a_pack_is_verified_without_the_store(setting):
    """Signature, members, form, what was approved, audit, metrics: on both databases."""
    octets = setting.pack()
    setting.fleet.close()
    found = verify(octets)
    assert [
        "names", "signature", "members", "form", "digest", "audit", "campaign", "approvals", "approved",
        "updates", "outcomes", "strata", "metrics", "report",
    ] == [it.name for it in found.checks]  # fmt: skip
    assert (2, True, ["outcomes"]) == (
        found.form,
        found.approved,
        [it.name for it in found.checks if it.holds is None],  # it has not ended
    )
    assert (20, 16, 3) == tuple(found.facts["total"][it] for it in ("updates", "proven", "failed"))
    assert "C" == found.about["campaign"]


def test_the_same_store_gives_the_same_octets(setting):
    """Signature included; and the next entry in the audit changes them."""
    assert setting.pack() == setting.pack()
    before = setting.pack()
    setting.fleet.campaigns.act(setting.campaign.id, Act.PAUSE, "operator1", START)
    assert before != setting.pack()


def test_the_audit_is_proven_against_a_head_that_was_kept(setting):
    """The head of today, and one kept while the campaign ran; one of another chain is refused."""
    kept = setting.store.audit.head()
    setting.fleet.campaigns.act(setting.campaign.id, Act.PAUSE, "operator1", START)
    octets = setting.pack()
    verify(octets, head=setting.store.audit.head())
    found = verify(octets, head=kept)
    assert f"through the head {kept.id}" in found.checks[5].said
    check, _ = wrong(octets, head=chain.Head(kept.id, bytes(32)))
    assert "audit-head" == check
    check, _ = wrong(octets, head=chain.Head(kept.id + 100, kept.digest))
    assert "audit-truncated" == check
    check, _ = wrong(octets, head=chain.Head(1, kept.digest))
    assert "audit-head" == check


def test_what_happens_while_a_pack_is_gathered_stands_in_no_part_of_it(setting, database_url):
    """Somebody pauses the campaign after the first of many reads: all of the pack is of the moment before."""
    other = Store.open(database_url)
    head = setting.store.audit.head()

    asked = []

    @event.listens_for(setting.fleet.database.engine, "before_cursor_execute")
    def _pause(_connection, _cursor, statement, *_):
        asked.append(statement)
        if 2 == sum(each.lstrip().startswith("SELECT") for each in asked):
            other.campaigns.act(setting.campaign.id, Act.PAUSE, "operator1", AS_OF)
            asked.append("SELECT once")

    gathered = setting.gathered()
    assert "paused" == other.campaigns.find(setting.campaign.id).status.value
    other.close()
    assert "running" == json.loads(gathered.members["campaign.json"])["status"]
    assert head == gathered.head
    verify(sealed(gathered.members, about=gathered.about))


def test_votes_of_a_board_are_proven_too(database_url):
    """Each vote that counts stands in the audit with its choice."""
    fleet = Fleet(database_url)
    fleet.devices(range(3))
    board = Board((Category("Large Suppliers", ("reviewer1", "paul")),))
    number = fleet.campaigns.create(replace(ONE_WAVE, board=board), fleet.release, "operator1", START)
    digest = fleet.campaigns.find(number).digest
    fleet.campaigns.vote(number, "reviewer1", Choice.REJECT, digest, START)
    fleet.campaigns.vote(number, "reviewer1", Choice.APPROVE, digest, START)
    fleet.campaigns.vote(number, "paul", Choice.ABSTAIN, digest, Instant(START + HOUR))
    gathered = evidence_pack.gather(Store(fleet.database), number, AS_OF)
    verify(sealed(gathered.members, about=gathered.about))
    votes = json.loads(gathered.members["approvals.json"])
    fleet.close()

    def forged(said):
        members = gathered.members | {"approvals.json": json.dumps(said).encode()}
        return wrong(sealed(members, about=gathered.about))

    assert ("reviewer1", "approve") == (votes["votes"][0]["who"], votes["votes"][0]["choice"])
    votes["votes"][0]["choice"] = "reject"  # which reviewer1 did say, but earlier
    assert "pack-approval" == forged(votes)[0]
    check, text = forged({"approvals": [], "votes": votes["votes"][1:]})
    assert "pack-approval" == check
    assert "'vote approve' by reviewer1" in text


def test_every_metric_can_be_reckoned_from_the_members(good):
    """An analyst with the CSV files and a few lines of her own finds the same figures."""
    members, _ = good
    head, *lines = members["updates.csv"].decode().splitlines()
    rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]
    facts = json.loads(members["metrics.json"])["total"]
    proven = [it for it in rows if int(it["progress"]) >> 18 == 2]
    failed = [it for it in rows if int(it["progress"]) >> 5 & 31 == 22]
    assert (len(rows), len(proven), len(failed)) == (facts["updates"], facts["proven"], facts["failed"])
    took = sorted(int(it["proven"]) - int(it["ordered"]) for it in proven)
    assert facts["seconds"]["order to proof"]["p50"] == took[-(-len(took) * 50 // 100) - 1] / 1e6
    assert facts["seconds"]["order to proof"]["max"] == took[-1] / 1e6


def test_the_page_on_reports_shows_how_to_reckon_it(good, tmp_path):
    """The lines of Python in docs/reports.md find what metrics.json says."""
    members, _ = good
    page = (ROOT / "docs" / "reports.md").read_text()
    code = page.partition("In Python:\n")[2]
    (tmp_path / "updates.csv").write_bytes(members["updates.csv"])
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    rate, within = (float(line.rsplit(" ", 1)[1]) for line in ran.stdout.splitlines())
    facts = json.loads(members["metrics.json"])["total"]
    assert (facts["settled_proof_rate"], facts["seconds"]["order to proof"]["p90"]) == (rate, within)


def test_the_page_on_reports_defines_every_figure():
    """Each count, rate, time and check has its line."""
    page = (ROOT / "docs" / "reports.md").read_text()
    for name in (*metrics._RATES, *metrics.SPANS, *metrics._NUMBERS[:11], *metrics.DIMENSIONS):
        assert f"| {name} " in page or f"`{name}`" in page or f"| {name} (" in page, name
    source = (ROOT / "src/lamplighter/planning/archive.py").read_text()
    source += (ROOT / "src/lamplighter/planning/evidence_check.py").read_text()
    source += (ROOT / "src/lamplighter/planning/audited.py").read_text()
    for check in re.findall(r'"(pack-[a-z]+)"', source):
        assert check in {"pack-manifest", "pack-content"} or f"`{check}`" in page, check


# --- strangers read it


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_openssl_and_sha256_verify_it_by_hand(octets, tmp_path):
    """As the readme says, without any program of ours."""
    with zipfile.ZipFile(io.BytesIO(octets)) as opened:
        assert None is opened.testzip()
        opened.extractall(tmp_path)
    manifest = (tmp_path / "manifest.json").read_bytes()
    for name, it in json.loads(manifest)["members"].items():
        assert it["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    (tmp_path / "signed").write_bytes(b"lamplighter evidence 1\n" + manifest)
    spki = PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public.pem").write_bytes(PUBLIC.public_bytes(Encoding.PEM, spki))
    subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "signed",
         "-sigfile", "manifest.sig"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip


# --- threats


def rezipped(octets, change=lambda _name, data: data, *, added=(), dropped=(), attributes=None, date=None):
    """The same archive as an ordinary tool would write it again, with changes."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(octets)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename not in dropped:
                it = zipfile.ZipInfo(info.filename, date or (1980, 1, 1, 0, 0, 0))
                it.compress_type = zipfile.ZIP_DEFLATED
                it.external_attr = (attributes or {}).get(info.filename, info.external_attr)
                new.writestr(it, change(info.filename, old.read(info)))
        for name, data in added:
            new.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def test_threat_changed_file(octets, good):
    """One digit in any member: that member is named."""
    for victim in good[0]:

        def change(name, data, victim=victim):
            return data + b" " if name == victim else data

        check, text = wrong(rezipped(octets, change))
        assert "pack-size" == check  # longer than what was signed
        assert victim in text
        check, text = wrong(
            rezipped(octets, lambda name, data, victim=victim: data[:-1] if name == victim else data)
        )
        assert "pack-changed" == check
        assert victim in text


def test_threat_added_file(octets):
    """What was not signed is named, be it ever so small."""
    check, text = wrong(rezipped(octets, added=[("extra.txt", b"")]))
    assert "pack-added" == check
    assert "extra.txt" in text


def test_threat_missing_file(octets, good):
    """Each member that was signed must be there."""
    for name in (*good[0], "manifest.json", "manifest.sig"):
        check, text = wrong(rezipped(octets, dropped=[name]))
        assert "pack-missing" == check
        assert name in text


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "/etc/passwd", "a/../../b", "..\\evil.txt", "C:/evil", "plans/../../x", "x\0.txt", "./a",
     "Metrics.json", "a//b", "plans/", "é.txt", "a/b/c", "." * 3, "con .txt", "a" * 300],
)  # fmt: skip
def test_threat_zip_slip(octets, name):
    """A name that climbs, that is absolute, or that another system reads as one: refused before anything."""
    file = io.BytesIO(octets)
    with zipfile.ZipFile(file, "a") as opened:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        opened.writestr(info, b"evil")
    check, _ = wrong(file.getvalue())
    assert "pack-name" == check


def test_threat_zip_bomb(octets):
    """A gigabyte of zeros in the place of a member, by true and by false headers: not unpacked."""
    small = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    bomb = b"".join(small.compress(zeros) for _ in range(1_024)) + small.flush()
    for name in ("manifest.json", "manifest.sig", "metrics.json"):
        for claimed in (1 << 30, 10):
            check, text = wrong(replaced(octets, name, bomb, claimed))
            assert check in {"pack-size", "pack-changed"}
            assert name in text


def replaced(octets, name, data, size):
    """The archive with other compressed data for a member, and a size that its headers claim."""
    parts, directory = [], []
    offset = 0
    with zipfile.ZipFile(io.BytesIO(octets)) as opened:
        infos = opened.infolist()
    for info in infos:
        start = info.header_offset + 30 + len(info.filename)
        raw, crc, length = octets[start : start + info.compress_size], info.CRC, info.file_size
        if info.filename == name:
            raw, length = data, size
        said = info.filename.encode(), crc, len(raw), length
        directory.append(archive._central(*said, offset))
        parts += [archive._local(*said), raw]
        offset += len(parts[-2]) + len(raw)
    tail = b"".join(directory)
    return b"".join([*parts, tail, archive._end(len(infos), len(tail), offset)])


def test_threat_many_members():
    """More members than any pack has: refused by their number."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for number in range(archive.MEMBERS_MAX + 1):
            opened.writestr(f"m{number}", b"")
    assert "pack-size" == wrong(file.getvalue())[0]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_threat_duplicate_member_names(octets):
    """The signed member and another of its name, before or behind: no two readers see the same."""
    check, text = wrong(rezipped(octets, added=[("metrics.json", b"{}")]))
    assert "pack-duplicate" == check
    assert "metrics.json" in text
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("metrics.json", b"{}")
        with zipfile.ZipFile(io.BytesIO(octets)) as old:
            for info in old.infolist():
                opened.writestr(info.filename, old.read(info))
    assert "pack-duplicate" == wrong(file.getvalue())[0]


def test_threat_resigned_by_another_key(octets, good):
    """The whole pack made anew by somebody else; or only the signature, over what names our key."""
    check, text = wrong(sealed(good[0], OTHER, good[1]))
    assert "pack-key" == check
    assert archive.fingerprint(OTHER.public_key()) in text
    with zipfile.ZipFile(io.BytesIO(octets)) as opened:
        manifest = opened.read("manifest.json")
    forged = OTHER.sign(b"lamplighter evidence 1\n" + manifest)
    check, _ = wrong(rezipped(octets, lambda name, data: forged if name == "manifest.sig" else data))
    assert "pack-signature" == check
    plain = KEY.sign(manifest)  # of another kind of document
    check, _ = wrong(rezipped(octets, lambda name, data: plain if name == "manifest.sig" else data))
    assert "pack-signature" == check


def test_threat_symlink(octets):
    """A member that unpacks as a link, a folder, a device: refused, whatever it points to."""
    for kind in (stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO):
        check, text = wrong(rezipped(octets, attributes={"plan.json": (kind | 0o777) << 16}))
        assert "pack-link" == check
        assert "plan.json" in text


def test_threat_something_before_between_or_behind(octets):
    """Octets that no member has: room for another document in the same file."""
    assert "pack-form" == wrong(b"#!/bin/sh\n" + octets)[0]
    assert "pack-form" == wrong(octets[:-2] + struct.pack("<H", 5) + b"hello")[0]
    assert "pack-form" == wrong(octets + b"\n")[0]
    # Written again by another tool, with a date: the members are right, and the file is not ours.
    assert "pack-form" == wrong(rezipped(octets, date=(2026, 11, 24, 9, 0, 0)))[0]


def test_threat_manifest_of_another_campaign(octets, good):
    """A member of one pack in another: the signature is over all members together."""
    members, about = good
    other = sealed(members | {"approvals.json": b"{}"}, about=about)
    with zipfile.ZipFile(io.BytesIO(other)) as opened:
        stolen = opened.read("manifest.json")
    check, _ = wrong(rezipped(octets, lambda name, data: stolen if name == "manifest.json" else data))
    assert "pack-signature" == check


def lied(good, name, old, new):
    members, about = good
    assert old in members[name]
    return sealed(members | {name: members[name].replace(old, new, 1)}, about=about)


def test_threat_the_signer_improves_the_figures(good):
    """Signed with the right key all the same: metrics must follow from the updates, in JSON and CSV."""
    check, text = wrong(lied(good, "metrics.json", b'"proven": 16', b'"proven": 19'))
    assert "pack-metrics" == check
    assert "16" in text
    check, text = wrong(lied(good, "metrics.csv", b"all,all,20,", b"all,all,90,"))
    assert "pack-metrics" == check
    assert "metrics.csv" in text


def resealed(good, change):
    """The whole pack made anew, all that follows from the updates with it, after somebody changed those."""
    members, about = good
    given = (members["campaigns.csv"], members["places.csv"], [members["updates.csv"]])
    updates = change(metrics.read_updates(*given))
    found = metrics.measure(updates, AS_OF, by=evidence_pack.GROUPED_BY)
    *_, lines = metrics.write_updates(updates)
    forged = {
        "updates.csv": b"".join(lines),
        "metrics.json": evidence_pack._json(metrics.as_facts(found)),
        "metrics.csv": metrics.as_csv(found).encode(),
        "report.html": metrics_page(found).encode(),
    }
    return sealed(members | forged, about=about)


def test_threat_the_signer_leaves_out_devices_that_failed(good):
    """All figures made anew without them: the audit has the orders that they were in."""
    check, text = wrong(resealed(good, lambda it: it.where(it.progress >> 5 & 31 != Stage.FAILED)))
    assert "pack-orders" == check
    assert "batch" in text


def test_threat_the_signer_leaves_out_the_last_devices(good):
    """A whole batch of them, so that no other one is touched."""
    assert "pack-orders" == wrong(resealed(good, lambda it: it.where(np.arange(len(it)) < 14)))[0]


def test_threat_the_signer_invents_devices(good):
    """Proven ones, behind those that were ordered; or in the place of others."""

    def more(it):
        return replace(
            it.where(np.arange(len(it)) >= 0),
            **{name: np.concatenate([getattr(it, name), getattr(it, name)[-1:]])
               for name in ("id", "device", "place", "progress", "first")},
        )  # fmt: skip

    def others(it):
        return replace(it, device=np.where(it.progress >> 5 & 31 == Stage.FAILED, it.device + 1, it.device))

    assert "pack-orders" == wrong(resealed(good, more))[0]
    assert "pack-orders" == wrong(resealed(good, others))[0]


def test_threat_the_signer_orders_devices_later_than_he_did(good):
    """So that the way to the proof looks shorter."""

    def later(it):
        first = it.first.copy()
        first[:, 0] += HOUR
        return replace(it, first=first)

    assert "pack-orders" == wrong(resealed(good, later))[0]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A good pack of a campaign that has come to its end, and what was gathered for it."""
    setting = Setting(f"sqlite:///{tmp_path_factory.mktemp('ended')}/l.db")
    setting.fleet.decide(setting.campaign, Decision(act=Act.FINISH))
    gathered = setting.gathered()
    members = {name: it if isinstance(it, bytes) else b"".join(it) for name, it in gathered.members.items()}
    setting.fleet.close()
    return members, gathered.about


def outcome(found):
    """What is said of the outcomes."""
    [check] = [it for it in found.checks if it.name == "outcomes"]
    return check.holds, check.said


def test_the_audit_counts_how_updates_ended(ended):
    """At the end of the campaign, and the pack is held against it."""
    found = verify(sealed(ended[0], about=ended[1]))
    said = "3 failed, 16 proven, 1 withdrawn, as the audit counted at the campaign's end"
    assert (True, said) == outcome(found)


def test_threat_the_signer_calls_failures_proofs(ended):
    """It may be late word, so that it is not refused: it is said, with both counts."""

    def better(it):
        failed = it.progress >> 5 & 31 == Stage.FAILED
        first = it.first.copy()
        first[failed, 5] = first[failed, 6]
        proof = it.progress[it.first[:, 5] < metrics.NEVER][0]
        return replace(it, progress=np.where(failed, proof, it.progress), first=first)

    members, about = ended
    forged = resealed((members, about | {"made_by": "lamplighter 99"}), better)
    holds, said = outcome(verify(forged))
    assert None is holds
    assert "the audit counted 3 failed, 16 proven, 1 withdrawn at the campaign's end" in said
    assert "here are 19 proven, 1 withdrawn, by late word or by the signer's" in said


def test_threat_the_signer_calls_proofs_failures(ended):
    """No word takes a proof back, however late."""

    def worse(it):
        first = it.first.copy()
        first[:, 5] = metrics.NEVER
        failure = it.progress[it.progress >> 5 & 31 == Stage.FAILED][0]
        return replace(it, progress=np.full(len(it), failure), first=first)

    assert "pack-outcomes" == wrong(resealed(ended, worse))[0]


def test_threat_the_signer_writes_a_report_of_his_own(good):
    """All proven, no failures: the page must say what the figures say, and no more charts than they give."""
    members, about = good
    page = b"<h1>100 % proven, no failures</h1>"
    assert "pack-report" == wrong(sealed(members | {"report.html": page}, about=about))[0]
    assert (
        "pack-report" == wrong(lied(good, "report.html", b"<strong>16</strong>", b"<strong>20</strong>"))[0]
    )
    chart = b'<svg role="img"><text>100 %</text></svg></main>'
    assert "pack-report" == wrong(lied(good, "report.html", b"</main>", chart))[0]


def test_charts_that_are_drawn_otherwise_are_said_to_be_signed_alone(good):
    """Another matplotlib draws other paths: that is no forgery, and is not called checked either."""
    found = verify(lied(good, "report.html", b"<path ", b"<path  "))
    assert ("report", None) == (found.checks[-1].name, found.checks[-1].holds)
    assert "report.html: the charts" in found.signed_only


def test_a_report_by_another_version_is_said_to_be_signed_alone(good):
    """Its words may be others; who claims another version gets no more than that."""
    members, about = good
    forged = members | {"report.html": b"all well"}
    found = verify(sealed(forged, about=about | {"made_by": "lamplighter 99"}))
    assert "not compared: lamplighter 99 wrote it" in found.checks[-1].said
    assert (None, "report.html") == (found.checks[-1].holds, found.signed_only[-1])


def test_a_pack_is_verified_where_there_is_no_matplotlib(good, octets, monkeypatch):
    """The report's words are checked all the same; its charts are signed alone."""
    monkeypatch.setattr(evidence_check, "find_spec", lambda _: None)
    assert "report.html: the charts" in verify(octets).signed_only
    assert (
        "pack-report" == wrong(lied(good, "report.html", b"<strong>16</strong>", b"<strong>20</strong>"))[0]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created_by", "reviewer9"),
        ("created_at", "2020-01-01T00:00:00.000Z"),
        ("status", "finished"),
        ("started_at", None),
        ("ended_at", "2031-01-01T00:00:00.000Z"),
        ("name", "D"),
        ("salt", 1),
        ("plan_digest", "00"),
    ],
)
def test_threat_the_signer_rewrites_the_campaign(good, name, value):
    """Who wrote it, when, where it stands: each must be as the audit says."""
    members, about = good
    facts = json.loads(members["campaign.json"])
    assert value != facts[name]
    forged = members | {"campaign.json": json.dumps(facts | {name: value}).encode()}
    check, text = wrong(sealed(forged, about=about))
    assert "pack-campaign" == check
    assert name in text


def test_threat_the_signer_rewrites_whom_the_release_is_for(good):
    """How many may have it is said in two places, and they must agree."""
    assert "pack-updates" == wrong(lied(good, "campaign.json", b'"ELIGIBLE": 30', b'"ELIGIBLE": 20'))[0]
    assert "pack-updates" == wrong(lied(good, "campaigns.csv", b",30,R,", b",20,R,"))[0]


def test_threat_the_signer_gives_it_another_name_on_the_outside(good):
    """What the manifest says of campaign, audit and moment is what the members say."""
    members, about = good
    for name, check in (
        ("campaign", "pack-campaign"),
        ("audit_head", "pack-campaign"),
        ("as_of", "pack-metrics"),
    ):
        assert check == wrong(sealed(members, about=about | {name: "D"}))[0]


def test_threat_the_signer_rewrites_an_older_plan(good):
    """Who wrote each version, and what stood in it."""
    assert "pack-campaign" == wrong(lied(good, "plans/1.json", b'"operator1"', b'"operator9"'))[0]
    assert "pack-digest" == wrong(lied(good, "plans/1.json", b'"approvals": 2', b'"approvals": 0'))[0]
    members, about = good
    assert (
        "pack-campaign" == wrong(sealed(members | {"plans/2.json": members["plans/1.json"]}, about=about))[0]
    )


def test_threat_the_signer_adds_a_page_of_his_own(good):
    """A member that no pack has, signed with the rest: nobody shall take it for evidence."""
    members, about = good
    check, text = wrong(sealed(members | {"summary.html": b"all well"}, about=about))
    assert ("pack-member", True) == (check, "summary.html" in text)


def test_threat_the_signer_leaves_out_a_stratum_or_its_hold(good):
    """Those of the updates and of the audit must be there, held as they are held."""
    members, about = good
    assert "pack-strata" == wrong(sealed(members | {"strata.json": b"[]"}, about=about))[0]
    assert "pack-strata" == wrong(lied(good, "strata.json", b'"smoke: much of it"', b"null"))[0]
    assert "pack-strata" == wrong(lied(good, "strata.json", b'"wave": 0', b'"wave": 1'))[0]


def test_threat_the_signer_leaves_out_the_storms(good):
    """The report shows them, and is made of them."""
    members, about = good
    assert "pack-content" == wrong(sealed(members | {"storms.json": b"{}"}, about=about))[0]
    storms = json.loads(members["storms.json"])
    assert 1 == len(storms["storms"])
    none = json.dumps(storms | {"storms": []}).encode()
    assert "pack-report" == wrong(sealed(members | {"storms.json": none}, about=about))[0]


def test_threat_the_signer_calls_it_a_security_release(good):
    """In one member, and not in the other."""
    assert "pack-updates" == wrong(lied(good, "campaigns.csv", b",R,", b",R,CVE-2026-1234"))[0]
    assert "pack-metrics" == wrong(lied(good, "metrics.json", b'"security": null', b'"security": "CVE"'))[0]


# --- packs of before


@pytest.fixture(scope="module")
def first_form():
    """The members of a pack of the first form, and what its manifest says."""
    octets = (Path(__file__).parent / "packs" / "form-1.pack").read_bytes()
    with zipfile.ZipFile(io.BytesIO(octets)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    assert octets[:4] == b"PK\3\4"
    about = json.loads(members.pop("manifest.json"))["about"]
    del members["manifest.sig"]
    return octets, members, about


def test_a_pack_of_the_first_form_is_verified(first_form):
    """By the figures of then, where who left stays exposed; and it says what it does not compare."""
    octets, members, _ = first_form
    found = verify(octets)
    assert (1, True) == (found.form, found.approved)
    assert json.loads(members["metrics.json"]) == found.facts
    assert "left" not in found.facts["exposure"][0]
    assert ["North/'=A1"] == [
        f"{found.facts['by']['region'][0]['value']}/{found.facts['by']['hub-model'][0]['value']}"
    ]
    assert "form 1" in found.checks[-1].said
    assert any(it.startswith("metrics.csv, report.html") for it in found.signed_only)


def test_a_pack_of_before_releases_could_be_marked_is_verified(first_form):
    """It says nothing of the release beside the campaign, neither in its columns nor in its metrics."""
    _, members, about = first_form
    metrics = json.loads(members["metrics.json"])
    for it in metrics["exposure"]:
        del it["release"], it["security"]
    campaigns = members["campaigns.csv"].replace(b",release,security\n", b"\n").replace(b",R,\n", b"\n")
    older = members | {"campaigns.csv": campaigns, "metrics.json": json.dumps(metrics).encode()}
    assert metrics == verify(sealed(older, about=about)).facts


def test_a_pack_of_a_later_form_is_called_so(good):
    """No riddle, but the form that it is of and those that are read."""
    members, about = good
    check, text = wrong(sealed(members, about=about | {"form": 3}))
    assert "pack-version" == check
    assert "form 1 to 2, found form 3" in text


def test_threat_the_signer_goes_back_to_the_first_form(good, first_form):
    """What is not compared there must not pass for more; the audit is held against it as ever."""
    members, about = good
    assert wrong(sealed(members, about={name: about[name] for name in about if name != "form"}))[0]
    _, members, about = first_form
    lied = verify(sealed(members | {"report.html": b"all well"}, about=about))
    assert (1, None) == (lied.form, lied.checks[-1].holds)
    assert (
        "pack-approval"
        == wrong(sealed(members | {"approvals.json": b'{"approvals": [], "votes": []}'}, about=about))[0]
    )
    lines = members["updates.csv"].splitlines(keepends=True)
    assert "pack-orders" == wrong(sealed(members | {"updates.csv": b"".join(lines[:-1])}, about=about))[0]


def test_threat_the_signer_exchanges_plan_or_image(good):
    """What was approved is bound to both."""
    members, _ = good
    check, _ = wrong(lied(good, "plan.json", b'"approvals":2', b'"approvals":1'))
    assert "pack-digest" == check
    hash_ = json.loads(members["campaign.json"])["release"]["image_hash"].encode()
    check, _ = wrong(lied(good, "campaign.json", hash_, b"ab" * 32))
    assert "pack-digest" == check


def test_threat_the_signer_invents_an_approval(good):
    """Who approved must stand in the audit; and nobody can be put into that."""
    check, text = wrong(lied(good, "approvals.json", b'"paul"', b'"petra"'))
    assert "pack-approval" == check
    assert "petra" in text
    check, _ = wrong(lied(good, "audit.jsonl", b'"paul"', b'"petra"'))
    assert "audit-digest" == check
    members, about = good
    lines = members["audit.jsonl"].splitlines(keepends=True)
    for cut in (lines[1:], lines[:-1], lines[:2] + lines[3:], [lines[1], lines[0], *lines[2:]]):
        check, _ = wrong(sealed(members | {"audit.jsonl": b"".join(cut)}, about=about))
        assert check.startswith("audit-")


def test_threat_the_signer_leaves_out_an_approval(good):
    """All of them, or one; or says that one holds no more, which is told, for only accounts could do that."""
    members, about = good
    none = b'{"approvals": [], "votes": []}'
    check, text = wrong(sealed(members | {"approvals.json": none}, about=about))
    assert "pack-approval" == check
    assert "reviewer1" in text
    said = json.loads(members["approvals.json"])
    for forged in (said["approvals"][:1], said["approvals"][:1] * 2):
        text = json.dumps(said | {"approvals": forged}).encode()
        assert "pack-approval" == wrong(sealed(members | {"approvals.json": text}, about=about))[0]
    found = verify(lied(good, "approvals.json", b'"valid": true', b'"valid": false'))
    [check] = [it for it in found.checks if it.name == "approvals"]
    assert "do not because of accounts" in check.said


def test_threat_the_signer_leaves_out_a_vote_against(database_url):
    """Who rejected stands in the audit, and is missed; nor does a vote on an earlier plan hold."""
    fleet = Fleet(database_url)
    fleet.devices(range(3))
    board = Board((Category("Large Suppliers", ("reviewer1", "paul", "petra")),), 2)
    plan = replace(ONE_WAVE, board=board)
    number = fleet.campaigns.create(plan, fleet.release, "operator1", START)
    fleet.campaigns.vote(number, "petra", Choice.APPROVE, fleet.campaigns.find(number).digest, START)
    fleet.campaigns.revise(number, replace(plan, batch_max=3), "operator1", START)
    digest = fleet.campaigns.find(number).digest
    fleet.campaigns.vote(number, "Paul", Choice.REJECT, digest, START)
    fleet.campaigns.vote(number, "reviewer1", Choice.APPROVE, digest, START)
    gathered = evidence_pack.gather(Store(fleet.database), number, AS_OF)
    fleet.close()
    found = verify(sealed(gathered.members, about=gathered.about))
    assert False is found.approved
    [said] = [it.said for it in found.checks if it.name == "approved"]
    assert "no, nor was it started" in said
    assert "paul reject" in said
    votes = json.loads(gathered.members["approvals.json"])

    def forged(changed):
        members = gathered.members | {
            "approvals.json": json.dumps({"approvals": [], "votes": changed}).encode()
        }
        return wrong(sealed(members, about=gathered.about))

    check, text = forged([it for it in votes["votes"] if it["choice"] != "reject"])
    assert ("pack-approval", True) == (check, "'vote reject' by paul" in text)
    check, text = forged([it | {"valid": True} for it in votes["votes"]])
    assert ("pack-approval", True) == (check, "'vote approve' by petra" in text)


@pytest.mark.parametrize("approvals", [0, 2])
def test_a_campaign_that_nobody_approved_is_said_to_be_none(database_url, approvals):
    """A draft that waits for it, or one that was started because its plan asks for nobody."""
    fleet = Fleet(database_url)
    fleet.devices(range(3))
    number = fleet.campaigns.create(replace(ONE_WAVE, approvals=approvals), fleet.release, "operator1", START)
    if not approvals:
        fleet.campaigns.act(number, Act.START, "operator1", START)
    gathered = evidence_pack.gather(Store(fleet.database), number, AS_OF)
    fleet.close()
    found = verify(sealed(gathered.members, about=gathered.about))
    [check] = [it for it in found.checks if it.name == "approved"]
    assert (False, None) == (found.approved, check.holds)
    assert f"no{', nor was it started' if approvals else ''}: nobody, of {approvals}" in check.said


def rechained(good, change, **forged):
    """The pack with a whole new audit, of what somebody made of its entries."""
    members, about = good
    before = chain.parse_head(json.loads(members["audit.json"])["before"])
    number, digest, lines = before.id, before.digest, []
    for it in change(list(chain.read(members["audit.jsonl"].splitlines()))):
        number += 1
        digest = chain.seal(digest, number, it.at, it.who, it.what, it.campaign, it.subject, it.detail)
        lines.append(chain.encode(replace(it, id=number, digest=digest)))
    head = str(chain.Head(number, digest))
    audit = {
        "audit.jsonl": "\n".join(lines).encode(),
        "audit.json": json.dumps({"before": str(before), "head": head}).encode(),
    }
    return sealed(members | audit | forged, about=about | {"audit_head": head})


def test_threat_the_signer_makes_an_audit_without_approvals(good):
    """A chain of his own, where nobody approved: no campaign of ours has started so."""
    none = {"approvals.json": b'{"approvals": [], "votes": []}'}
    check, text = wrong(rechained(good, lambda them: [it for it in them if it.what != "approve"], **none))
    assert "pack-approval" == check
    assert "nobody, of 2" in text


def test_threat_the_signer_approves_after_the_start(good):
    """A chain of his own, with the words behind what they were to come before."""
    check, text = wrong(rechained(good, lambda them: sorted(them, key=lambda it: it.what == "approve")))
    assert "pack-campaign" == check
    assert "no 'approve' of a campaign that is running" in text


@pytest.mark.parametrize("what", ["create", "start"])
def test_threat_the_signer_begins_the_audit_too_late(good, what):
    """Without its creation nobody knows whose plan it was; without its start it has none."""
    assert "pack-campaign" == wrong(rechained(good, lambda them: [it for it in them if it.what != what]))[0]


def test_waves_and_holds_that_were_released_are_proven(database_url):
    """Each stratum in the wave that the audit opened last, held or not."""
    fleet = Fleet(database_url)
    fleet.devices(range(30))
    campaign = fleet.start(replace(ONE_WAVE, waves=(Wave("a", 0.4), Wave("b", 1.0))))
    [stratum] = fleet.campaigns.view(campaign, START).strata
    fleet.decide(campaign, Decision(opens=((stratum.id, 1),)))
    fleet.decide(campaign, Decision(holds=(Hold(stratum.id, "smoke"),)))
    fleet.campaigns.release_hold(campaign.id, stratum.name, "operator1", START, "none seen")
    fleet.make(campaign, 20)
    gathered = evidence_pack.gather(Store(fleet.database), campaign.id, AS_OF)
    fleet.close()
    found = verify(sealed(gathered.members, about=gathered.about))
    [said] = [it.said for it in found.checks if it.name == "strata"]
    assert "1, each in its wave of 2, 0 held: as in the audit" == said
    [facts] = json.loads(gathered.members["strata.json"])
    assert 1 == facts["wave"]


@pytest.mark.parametrize(
    "name", ["strata.json", "storms.json", "campaign.json", "approvals.json", "audit.json", "metrics.json"]
)
@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"nonsense", b'{"id": null}', b"[" * 100_000])
def test_members_that_are_not_what_they_should_be_are_named(good, name, text):
    """Signed nonsense is refused as any other, with an error and not a crash."""
    members, about = good
    assert wrong(sealed(members | {name: text}, about=about))[0]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_verification_is_total(octets):
    """Any octets are refused with an error of ours."""
    assert wrong(octets)[0].startswith("pack-")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_octet_of_a_pack_can_be_changed(octets, data):
    """Any one bit, anywhere in the file, and it is refused."""
    at = data.draw(st.integers(0, len(octets) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(octets)
    changed[at] ^= 1 << bit
    assert wrong(bytes(changed))[0]


def test_names_that_would_be_refused_are_not_written():
    """What `verified` refuses, `seal` does not write."""
    for name in ("../x", "A", "manifest.json", "", "a/b/c"):
        with pytest.raises(UsageError, match="no name for a member"):
            sealed({name: b""})


def test_a_pack_that_was_made_between_two_milliseconds_is_verified(setting):
    """A clock has microseconds, what is written down has not; and Devices that are exposed count by both."""
    gathered = evidence_pack.gather(setting.store, setting.campaign.id, Instant(AS_OF + 123_456))
    [exposure] = gathered.metrics.exposures
    assert exposure.exposed > exposure.proven + (exposure.left or 0)
    assert to_iso(AS_OF + 123_000) == gathered.about["as_of"]
    verify(sealed(gathered.members, about=gathered.about))
