"""Copies of a database at work, and the way back: whole, checked, paused; never over somebody's head."""

import shutil
import sqlite3
import threading
from dataclasses import replace

import pytest

from lamplighter.campaign import Fact, Order, Stage
from lamplighter.campaign.status import Act, CampaignStatus
from lamplighter.kit import UsageError, VerificationError
from lamplighter.kit.instant import HOUR
from lamplighter.registry import Procedure
from lamplighter.service import backup as copies
from lamplighter.store import Store
from lamplighter.store.leases import Leases
from lamplighter.store.outbox import Outbox
from tests.store.campaigning import OLD, ONE_WAVE, START, SWITCHES, TARGET, Fleet, eui


@pytest.fixture
def place(tmp_path, _sqlite_template):
    path = tmp_path / "lamplighter.db"
    shutil.copyfile(_sqlite_template, path)
    return path


@pytest.fixture
def url(place):
    return f"sqlite:///{place}"


@pytest.fixture
def fleet(url):
    """A campaign that runs, with orders."""
    fleet = Fleet(url)
    fleet.devices(range(20))
    fleet.make(fleet.start(), 20)
    yield fleet
    fleet.close()


def counted(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return [connection.execute(f"SELECT COUNT(*) FROM {it}").fetchone()[0] for it in ("device", "audit")]


def test_a_copy_is_of_one_moment_while_others_write(fleet, url, tmp_path):
    """A writer goes on all the time; the copy is sound, and its audit is whole to its end."""
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            draft = replace(ONE_WAVE, name=f"draft {number}")
            fleet.campaigns.create(draft, fleet.release, "somebody", START)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = copies.back_up(url, tmp_path / "copy.db")
    finally:
        stop.set()
        writer.join()
    assert counted(tmp_path / "copy.db") == [20, found.audited]
    assert found.head.startswith(f"{found.audited}:")
    assert ["copy.db"] == [it.name for it in tmp_path.iterdir() if "copy" in it.name]
    assert 0o600 == (tmp_path / "copy.db").stat().st_mode & 0o777


@pytest.mark.usefixtures("fleet")
def test_a_copy_takes_no_others_place(url, tmp_path):
    """A second Monday must not eat the first."""
    (tmp_path / "copy.db").write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        copies.back_up(url, tmp_path / "copy.db")
    assert b"precious" == (tmp_path / "copy.db").read_bytes()


def test_what_runs_in_a_copy_is_paused_when_it_is_put_back(fleet, url, place, tmp_path):
    """With an entry that says why; drafts and the rest stay as they were, and what was there is kept."""
    copies.back_up(url, tmp_path / "copy.db")
    fleet.devices(range(20, 40))
    fleet.close()
    octets = (tmp_path / "copy.db").read_bytes()
    found, paused = copies.restore(tmp_path / "copy.db", url, "administrator1", START, force=True)
    assert (["C"], octets) == (paused, (tmp_path / "copy.db").read_bytes())
    store = Store.open(url)
    [campaign] = store.campaigns.list()
    last = store.campaigns.events(campaign.id)[-1]
    assert (CampaignStatus.PAUSED, "administrator1", "pause") == (campaign.status, last.who, last.what)
    assert str(found.audited) in last.detail
    assert found.audited < store.audit.verify().id
    store.close()
    assert 20 == counted(place)[0]
    assert 40 == counted(place.with_name(f"{place.name}.before-restore-{START}"))[0]


@pytest.mark.parametrize("version", [OLD, TARGET])
def test_an_activation_that_a_copy_had_not_sent_is_read_before_it_is_sent(url, tmp_path, version):
    """It may have gone out since: nothing goes to the Device but a question, and that only after a resume.

    If it runs the old version it is told to activate, without the image; else it is proven.
    """
    fleet = Fleet(url, Procedure.TWO_STEP)
    fleet.devices([0], SWITCHES)
    campaign = fleet.start()
    fleet.make(campaign, 1)
    fleet.answer(START)
    fleet.hear(campaign, eui(0), Fact.IMAGE_VERIFIED, START)
    fleet.tick(campaign, START)
    copies.back_up(url, tmp_path / "copy.db")
    fleet.close()
    copies.restore(tmp_path / "copy.db", url, "administrator1", START, force=True)

    fleet.join(url)
    assert Stage.SILENT_IN_CALL_OFF is fleet.progress(campaign, eui(0)).stage
    outbox = Outbox(fleet.database)
    assert [] == outbox.open_requests(10)
    assert 0 == fleet.tick(campaign, START)
    fleet.campaigns.act(campaign.id, Act.RESUME, "operator", START)
    fleet.tick(campaign, START)
    assert [Order.READ_FIRMWARE_VERSION] == [it.kind for it in outbox.open_requests(10)]
    fleet.answer(START)
    fleet.hear(campaign, eui(0), Fact.VERSION_READ, START, version=version)
    fleet.tick(campaign, START)
    then = [it.kind for it in outbox.open_requests(10)]
    assert ([Order.ACTIVATE_FIRMWARE] if version == OLD else []) == then
    assert [] == fleet.record.recount(campaign.id)
    fleet.close()


def test_nothing_is_put_over_a_database_that_somebody_works_on(fleet, url, tmp_path):
    """A lease says so; and without --force nothing is replaced at all."""
    copies.back_up(url, tmp_path / "copy.db")
    with pytest.raises(UsageError, match="--force"):
        copies.restore(tmp_path / "copy.db", url, "administrator1", START)
    Leases(fleet.database).take("inbox", "worker", START, HOUR)
    with pytest.raises(UsageError, match="somebody is at work"):
        copies.restore(tmp_path / "copy.db", url, "administrator1", START, force=True)
    assert CampaignStatus.RUNNING is fleet.campaigns.list()[0].status


def test_a_journal_of_the_old_database_is_not_played_into_the_new_one(fleet, url, place, tmp_path):
    """A file beside it that was left by a crash belongs to what was replaced."""
    copies.back_up(url, tmp_path / "copy.db")
    fleet.devices(range(20, 40))
    wal = place.with_name(place.name + "-wal")
    kept = wal.read_bytes()
    assert kept
    fleet.close()
    wal.write_bytes(kept)
    copies.restore(tmp_path / "copy.db", url, "administrator1", START, force=True)
    assert 20 == counted(place)[0]


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\x00" + bytes(200)])
def test_what_is_no_copy_is_refused_and_nothing_changes(content, url, place, tmp_path):
    """Whatever lies there by mistake."""
    (tmp_path / "copy.db").write_bytes(content)
    before = place.read_bytes()
    with pytest.raises(UsageError, match="no database of Lamplighter"):
        copies.restore(tmp_path / "copy.db", url, "administrator1", START, force=True)
    assert before == place.read_bytes()


@pytest.mark.usefixtures("fleet")
def test_a_copy_that_was_damaged_is_refused(url, tmp_path):
    """Bits rot, and tapes are cut."""
    copy = tmp_path / "copy.db"
    copies.back_up(url, copy)
    octets = bytearray(copy.read_bytes())
    page = 8192
    for start in range(page * 4, len(octets), page):
        octets[start : start + 64] = b"\xff" * 64
    copy.write_bytes(octets)
    with pytest.raises((VerificationError, UsageError)):
        copies.restore(copy, url, "administrator1", START, force=True)


@pytest.mark.usefixtures("fleet")
def test_a_copy_whose_audit_was_tampered_with_is_refused(url, tmp_path):
    """Whoever can write a copy could else rewrite history by a restore."""
    copy = tmp_path / "copy.db"
    copies.back_up(url, copy)
    with sqlite3.connect(copy) as connection:
        triggers = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ]
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit SET who = 'nobody' WHERE id = 1")
    with pytest.raises(VerificationError):
        copies.restore(copy, url, "administrator1", START, force=True)


def test_postgresql_has_tools_of_its_own(tmp_path):
    """And the error says where they are written down."""
    with pytest.raises(UsageError, match=r"docs/deployment\.md"):
        copies.back_up("postgresql+psycopg://somebody@/lamplighter", tmp_path / "copy.db")
