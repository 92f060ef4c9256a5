"""`lamplighter report` and `lamplighter evidence`, on a small campaign, from the command line."""

import csv
import shutil
import stat

import pytest
from tests.store.campaigning import START, TARGET, Fleet, eui

from lamplighter.campaign import Fact
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY, HOUR, to_iso
from lamplighter.store.inbox import Inbox, Incoming


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Twenty Devices, ten of them ordered, eight proven; and one of the others storms."""
    url = f"sqlite:///{tmp_path / 'l.db'}"
    fleet = Fleet(url)
    fleet.devices(range(20))
    campaign = fleet.start()
    fleet.make(campaign, 10)
    ordered = sorted(fleet.ordered(campaign))
    for number, device in enumerate(ordered[:8], 1):
        fleet.hear(campaign, device, Fact.VERSION_READ, Instant(START + number * HOUR), version=TARGET)
    fleet.hear(campaign, ordered[8], Fact.GIVEN_UP, Instant(START + HOUR))
    storming = next(eui(it) for it in range(20) if eui(it) not in set(ordered))
    at = Instant(START + 2 * HOUR)
    Inbox(fleet.database).take_in([Incoming(b"storm", at, at, "8F3E", storming, 700)])
    fleet.close()
    monkeypatch.setenv("LAMPLIGHTER_DATABASE", url)
    monkeypatch.setattr("lamplighter.cli.report.now", lambda: Instant(START + DAY))
    monkeypatch.setenv("LAMPLIGHTER_USER", "operator1")
    return url


@pytest.mark.usefixtures("database")
def test_metrics_as_text_json_csv_and_report(run, tmp_path):
    """The same figures in each."""
    shown = run("report", "metrics")
    assert 0 == shown.code, shown.err
    assert "8 of 10 (80.0 %)" in shown.out
    facts = run("report", "metrics", "--campaign", "C", "--by", "wave", "--json").facts
    assert (10, 8, 1, 1) == tuple(facts["total"][it] for it in ("updates", "proven", "failed", "in_flight"))
    assert ["wave"] == list(facts["by"])
    assert [{"code": "8F3E", "messages": 1, "alerts": 700, "throttled": 700}] == facts["alerts"]
    done = run("report", "metrics", "--csv", tmp_path / "m.csv", "--html", tmp_path / "m.html")
    assert 0 == done.code, done.err
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert ("all", "8") == (rows[0]["dimension"], rows[0]["proven"])
    html = (tmp_path / "m.html").read_text()
    assert "<strong>8</strong> of 10 Devices are proven" in html
    assert "Alert storms" in html
    again = run("report", "metrics", "--html", tmp_path / "m.html")
    assert 2 == again.code
    assert "--force" in again.err


@pytest.mark.usefixtures("database")
def test_a_security_release_has_its_half_life_by_its_reference(run, tmp_path):
    """Marked after the fact, and said in text, JSON, CSV and report; taken back, it is a release as any."""
    assert 0 == run("release", "mark", "R", "--security", "CVE-2026-1234").code
    done = run("report", "metrics", "--csv", tmp_path / "m.csv", "--html", tmp_path / "m.html")
    assert "security CVE-2026-1234" in done.out
    row = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))[-1]
    assert ("exposure", "C", "R", "CVE-2026-1234", "20", "8", "") == tuple(
        row[it]
        for it in ("dimension", "value", "release", "security", "exposed", "proven", "half_life_seconds")
    )
    assert "CVE-2026-1234: 40.0 % of the exposed are proven so far" in (tmp_path / "m.html").read_text()
    [facts] = run("report", "metrics", "--json").facts["exposure"]
    assert ("R", "CVE-2026-1234", None) == (facts["release"], facts["security"], facts["half_life_seconds"])
    assert 0 == run("release", "unmark", "R").code
    assert "CVE" not in run("report", "metrics").out


@pytest.mark.usefixtures("database")
def test_a_period_takes_what_was_first_ordered_in_it(run):
    """A date or a moment; from is within, to is not."""
    day = to_iso(START)[:10]
    assert 10 == run("report", "metrics", "--from", day, "--json").facts["total"]["updates"]
    assert 0 == run("report", "metrics", "--to", to_iso(START), "--json").facts["total"]["updates"]
    for options, reason in (
        (("--from", "soon"), "takes a date"),
        (("--from", day, "--to", day), "is not after"),
        (("--campaign", "nothing"), "there is no campaign 'nothing'"),
        (("--by", "moon"), "nothing is grouped by 'moon'"),
    ):
        refused = run("report", "metrics", *options)
        assert 2 == refused.code
        assert reason in refused.err


@pytest.mark.usefixtures("database")
def test_a_storm_is_listed_and_cured(run, tmp_path):
    """Found without a reconciler, shown with what could cure it; linked, and that is audited."""
    listed = run("report", "storms", "--json").facts["storms"]
    assert [("8F3E", 700, None, [1])] == [
        (it["code"], it["alerts"], it["cured_by"], it["candidates"]) for it in listed
    ]
    linked = run(
        "report", "storms", "--storm", "1", "--cured-by", "R", "--html", tmp_path / "s.html", "--json"
    )
    assert 0 == linked.code, linked.err
    assert 1 == linked.facts["storms"][0]["cured_by"]
    assert "is named as its cure" in (tmp_path / "s.html").read_text()
    assert (
        None
        is run("report", "storms", "--storm", "1", "--cured-by", "-", "--json").facts["storms"][0]["cured_by"]
    )
    assert 2 == run("report", "storms", "--cured-by", "R").code
    assert 2 == run("report", "storms", "--storm", "7").code
    assert 0 == run("report", "storms", "--to", "2020-01-01").code


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
@pytest.mark.usefixtures("database")
def test_a_report_as_pdf(run, tmp_path):
    """Printed by Chromium; an older file is kept unless forced."""
    assert 0 == run("report", "storms", "--pdf", tmp_path / "s.pdf").code
    assert (tmp_path / "s.pdf").read_bytes().startswith(b"%PDF-")
    assert 2 == run("report", "storms", "--pdf", tmp_path / "s.pdf").code


def test_evidence_is_packed_and_verified(run, database, tmp_path):
    """A key, a pack, its verification without the database; and that it was made stands in the audit."""
    made = run("evidence", "keygen", tmp_path / "key.pem", "--json")
    assert 0 == made.code, made.err
    assert 0o600 == stat.S_IMODE((tmp_path / "key.pem").stat().st_mode)
    assert 2 == run("evidence", "keygen", tmp_path / "key.pem").code
    pack = ("evidence", "pack", "C", "-o", tmp_path / "c.zip", "--key", tmp_path / "key.pem", "--json")
    packed = run(*pack)
    assert 0 == packed.code, packed.err
    assert made.facts["fingerprint"] == packed.facts["key"]
    assert 2 == run(*pack).code  # never over another
    for moment in ("2020-01-01T00:00:00Z", "9999-12-31T00:00:00Z"):
        refused = run(*pack[:-1], "--force", "--as-of", moment)
        assert 2 == refused.code
        assert f"--as-of {moment[:-1]}.000Z: allowed is 20" in refused.err
    assert ["c.zip", "key.pem", "key.pub.pem", "l.db"] == sorted(
        it.name for it in tmp_path.iterdir() if not it.name.startswith("l.db-")
    )
    (tmp_path / "l.db").rename(tmp_path / "elsewhere.db")
    verify = ("evidence", "verify", tmp_path / "c.zip", "--key", tmp_path / "key.pub.pem")
    good = run(*verify, "--head", packed.facts["audit_head"])
    assert 0 == good.code, good.err
    assert "8 of 10 Devices proven" in good.out
    assert "·  approved   no: nobody, of 0 that the plan asks for" in good.out
    assert "The signature alone stands for:\n  updates.csv: which Devices ended how" in good.out
    facts = run(*verify, "--json").facts
    assert (2, False, True) == (facts["form"], facts["approved"], facts["verified"])
    assert any(it.startswith("storms.json") for it in facts["signed_only"])
    assert 2 == run(*verify, "--head", "nonsense").code
    octets = bytearray((tmp_path / "c.zip").read_bytes())
    octets[len(octets) // 2] ^= 1
    (tmp_path / "c.zip").write_bytes(octets)
    bad = run(*verify, "--json")
    assert 1 == bad.code
    assert False is bad.facts["verified"]
    assert bad.facts["wrong"]["check"].startswith("pack-")
    (tmp_path / "elsewhere.db").rename(tmp_path / "l.db")
    from lamplighter.store import Store

    store = Store.open(database)
    last = store.audit.entries(campaign=1)[-1]
    store.close()
    assert ("operator1", "evidence pack", f"SHA-256 {packed.facts['sha256']}") == (
        last.who,
        last.what,
        last.detail,
    )


@pytest.mark.usefixtures("database")
def test_a_key_that_others_can_read_signs_nothing(run, tmp_path):
    """Neither does a public one, nor one of another kind."""
    run("evidence", "keygen", tmp_path / "key.pem")
    pack = ("evidence", "pack", "C", "-o", tmp_path / "c.zip", "--key")
    (tmp_path / "key.pem").chmod(0o644)
    refused = run(*pack, tmp_path / "key.pem")
    assert 2 == refused.code
    assert "others can read" in refused.err
    assert 2 == run(*pack, tmp_path / "key.pub.pem").code
    assert 2 == run("evidence", "verify", tmp_path / "none.zip", "--key", tmp_path / "key.pub.pem").code
    assert not (tmp_path / "c.zip").exists()
