"""The evidence pack: deterministic, verified offline, and what is wrong is named; threats by name."""

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

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from tests.store.campaigning import ONE_WAVE, START, TARGET, Fleet

from lamplighter.campaign import Fact
from lamplighter.campaign.board import Board, Category, Choice
from lamplighter.campaign.status import Act
from lamplighter.kit import DecodeError, Instant, UsageError, VerificationError, chain
from lamplighter.kit.instant import HOUR
from lamplighter.planning import archive, evidence_pack, metrics
from lamplighter.store import Store

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
        plan = replace(ONE_WAVE, approvals=2)
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
        self.store = Store(self.fleet.database)

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
    return evidence_pack.verify(io.BytesIO(octets), key, head)


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
    assert ["names", "signature", "members", "form", "approved", "audit", "metrics"] == [
        it.name for it in found.checks
    ]
    assert (20, 16, 4) == tuple(found.facts["total"][it] for it in ("updates", "proven", "failed"))
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
    fleet.campaigns.vote(number, "paul", Choice.ABSTAIN, digest, START)
    gathered = evidence_pack.gather(Store(fleet.database), number, AS_OF)
    verify(sealed(gathered.members, about=gathered.about))
    votes = json.loads(gathered.members["approvals.json"])
    votes["votes"][0]["choice"] = "reject" if votes["votes"][0]["choice"] != "reject" else "approve"
    forged = gathered.members | {"approvals.json": json.dumps(votes).encode()}
    assert "pack-approval" == wrong(sealed(forged))[0]
    fleet.close()


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
    source += (ROOT / "src/lamplighter/planning/evidence_pack.py").read_text()
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
    """Signed with the right key all the same: metrics must follow from the updates."""
    check, text = wrong(lied(good, "metrics.json", b'"proven": 16', b'"proven": 19'))
    assert "pack-metrics" == check
    assert "16" in text
    members, about = good
    fewer = members["updates.csv"].rsplit(b"\n", 2)[0] + b"\n"
    assert "pack-metrics" == wrong(sealed(members | {"updates.csv": fewer}, about=about))[0]


def test_threat_the_signer_calls_it_a_security_release(good):
    """In one member, and not in the other."""
    assert "pack-metrics" == wrong(lied(good, "campaigns.csv", b",R,", b",R,CVE-2026-1234"))[0]
    assert "pack-metrics" == wrong(lied(good, "metrics.json", b'"security": null', b'"security": "CVE"'))[0]


def test_a_pack_of_before_releases_could_be_marked_is_verified(good):
    """It says nothing of the release beside the campaign, neither in its columns nor in its metrics."""
    members, about = good
    metrics = json.loads(members["metrics.json"])
    for it in metrics["exposure"]:
        del it["release"], it["security"]
    campaigns = members["campaigns.csv"].replace(b",release,security\n", b"\n").replace(b",R,\n", b"\n")
    older = members | {"campaigns.csv": campaigns, "metrics.json": json.dumps(metrics).encode()}
    assert metrics == verify(sealed(older, about=about)).facts


def test_threat_the_signer_exchanges_plan_or_image(good):
    """What was approved is bound to both."""
    members, _ = good
    check, _ = wrong(lied(good, "plan.json", b'"approvals":2', b'"approvals":1'))
    assert "pack-approved" == check
    hash_ = json.loads(members["campaign.json"])["release"]["image_hash"].encode()
    check, _ = wrong(lied(good, "campaign.json", hash_, b"ab" * 32))
    assert "pack-approved" == check


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


@pytest.mark.parametrize("name", ["campaign.json", "approvals.json", "audit.json", "metrics.json"])
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
