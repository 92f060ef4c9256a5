"""What the pages say: fleet, releases, Devices, people; without a script, over real HTTP."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from lamplighter.campaign.state import Stage
from lamplighter.kit import Instant
from lamplighter.kit.instant import DAY
from lamplighter.protocol import image
from lamplighter.registry import Device, DeviceType
from lamplighter.service.listener import Listener
from lamplighter.service.office import Office
from lamplighter.service.people import PASSWORD_MIN, People
from lamplighter.service.web import assets
from lamplighter.service.web.app import application
from lamplighter.store import Store
from tests.service.parties import NOW
from tests.store.campaigning import PPMIDS

from .conftest import PASSWORD, text_of, token_in, typed_in
from .scene import CAMPAIGN, MODEL, OLD, OLDER, TARGET, fleet, listed, ota, ppmid

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def viewer(furnished):
    return furnished.client("viewer")


@pytest.fixture(scope="module")
def operator(furnished):
    return furnished.client("operator")


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, row by row."""
    after = page.split(heading, 1)[1]
    body = after.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    return [
        [text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


# --- on a database with nothing in it


@pytest.mark.parametrize("path", ["/", "/releases", "/devices", "/people", "/account", "/login?next=/"])
def test_every_page_reads_on_an_empty_database(site, path):
    """The first look is at nothing: it says so, and is no error; on both databases."""
    client = site.client("administrator")
    assert client.get(path).status_code in {200, 303}


@SQLITE
def test_the_first_pages_that_somebody_sees_say_how_to_begin(site):
    """Before there is anything: what to do, in which order, and where; then it is gone."""
    viewer = site.client("viewer")
    assert "how to begin Bring in the portfolio" in text_of(viewer.see("/"))
    assert "lamplighter registry import brings them in" in text_of(viewer.see("/devices"))
    assert "No page of ours has the address '/nothing'." in text_of(viewer.get("/nothing").text)
    site.store.registry.put_devices([Device(ppmid(1), ppmid(1), PPMIDS)])
    site.clock.now = Instant(NOW + DAY)  # the fleet is counted anew
    viewer = site.client("viewer")
    assert "how to begin" not in text_of(viewer.see("/"))
    assert "No Device fits." in text_of(viewer.see("/devices?region=North&type=ESME"))


@SQLITE
def test_the_door_says_how_the_first_account_is_made(database_url, site):
    """Nobody could sign in yet; once somebody can, that is no news to strangers."""
    assert "lamplighter people add" not in site.stranger().see("/login")
    store = Store.open(database_url.replace(".db", "-new.db"))
    with Listener(application(Office(store), People(store), secure=False)) as at:
        assert "lamplighter people add NAME --role administrator" in site.stranger().see(f"{at.url}/login")
    store.close()


def test_an_unknown_page_device_release_and_message_are_plain_pages(site):
    client = site.client("viewer")
    for path in (
        f"/devices/{ppmid(1)}",
        "/releases/7",
        "/messages/7",
        "/devices?campaign=nothing",
        "/nothing",
    ):
        answer = client.get(path)
        assert 404 == answer.status_code, path
        assert "There is nothing here" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/devices?sort=x",
        "/devices?after=x",
        "/devices?type=FRIDGE",
        "/devices?manufacturer=xyz",
        "/devices?firmware=zz",
        "/devices?q=xyz",
        "/devices?hub=1",
        "/devices/1",
        "/releases/x",
        "/devices?rows=many",
    ],
)
@SQLITE
def test_what_cannot_be_asked_is_said_to_be_so(site, path):
    """A mistake in an address is told, with what was expected."""
    answer = site.client("viewer").get(path)
    assert 400 == answer.status_code
    assert "That cannot be" in answer.text


@SQLITE
def test_pages_read_without_the_files_of_others(site, monkeypatch):
    """Where npm could not be asked, every page says so in a line, and can be read and used all the same."""
    monkeypatch.setattr(assets, "tag", lambda _name: "")
    page = site.client("viewer").see("/")
    assert "make assets" in page
    assert "<h1>Fleet</h1>" in page


# --- fleet


def test_the_fleet_says_who_is_exposed_and_why(viewer):
    """Withdrawn, struck off, declared vulnerable: each with how many run it, in whose words."""
    found = {row[0]: row for row in rows_of(viewer.see("/"), "Exposure</h2>")}
    assert {"release withdrawn", "no longer active on the CPL", "declared vulnerable"} == set(found)
    assert ["121D 0084", str(OLD), "Display 1.11", "163"] == found["release withdrawn"][1:5]
    assert "35" == found["declared vulnerable"][4]
    assert f"up to {OLDER}" == found["declared vulnerable"][2]
    assert "CVE-2030-1234 (operator1, 3 d 3 h ago)" in found["declared vulnerable"][3]


def test_the_fleet_names_the_security_release_that_would_cure(viewer):
    """By its reference, with how many of the exposed may have it; nothing, where none would."""
    found = {row[0]: row for row in rows_of(viewer.see("/"), "Exposure</h2>")}
    eligible = {row[0]: row[2].split()[0] for row in rows_of(viewer.see("/releases/2"), "Upgrade paths")}
    assert f"CVE-2030-1234 (Display 2.0: {eligible[str(OLD)]})" == found["release withdrawn"][7]
    assert f"CVE-2030-1234 (Display 2.0: {eligible[str(OLDER)]})" == found["declared vulnerable"][7]


def test_a_release_that_is_as_bad_cures_nothing(site):
    """Nor does one that is not marked, or withdrawn."""
    client = site.client("operator")
    fleet(site.store, 40)
    site.store.registry.put_cpl([listed(ota())])
    client.submit("/releases", {"name": "x"}, files={"file": ("f", ota())})

    def cures() -> dict[str, str]:
        return {row[2]: row[7] for row in rows_of(client.see("/"), "Exposure</h2>") if "burns" in row[3]}

    for highest in (OLDER, TARGET):
        fields = {"manufacturer": "121d", "highest": str(highest), "reason": "it burns"}
        client.submit("/fleet/advisories", fields)
    assert {f"up to {OLDER}": "", f"up to {TARGET}": ""} == cures()
    client.submit("/releases/1/mark", {"security": "GG-7"})
    assert {f"up to {OLDER}": "GG-7 (x: 6)", f"up to {TARGET}": ""} == cures()
    client.submit("/releases/1/withdraw", {"reason": "it burns too"})
    assert {f"up to {OLDER}": "", f"up to {TARGET}": ""} == cures()


def test_the_fleet_counts_no_device_twice(viewer):
    """One that is exposed for two reasons is one exposed Device."""
    assert "Run a version that nobody should 198 61.9 %" in text_of(viewer.see("/"))


def test_the_fleet_shows_versions_by_model_now_and_over_time(viewer, furnished):
    """What ran a month ago, what runs since the canary, and a line for each version."""
    page = viewer.see("/?days=90")
    text = text_of(page)
    assert f"PPMID 121D {MODEL:04X}" in text
    assert f"{TARGET} Display 2.0 32" in text
    assert 3 == len(re.findall(r'<path class="line s\d" d="M[^"]*"><title>', page))
    assert "No change since" in text, "nothing was done to the switches"
    samples = furnished.store.fleet.history(Instant(NOW - 60 * DAY))
    assert {TARGET: 32} == {it.firmware: it.devices for it in samples if it.firmware == TARGET}


def test_the_fleet_names_the_stranded_and_lists_them_as_work_orders(viewer):
    """Field force gets a row for each Device that no update will ever reach, with the reason."""
    [row] = rows_of(viewer.see("/"), "Releases and the fleet</h2>")
    assert ["Display 2.0", str(TARGET), "32", "184", "18"] == row[:5]
    answer = viewer.get("/releases/2/stranded.csv")
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert 18 == len(found)
    assert {"NO_SERVICE_REQUEST", "HUB_NOT_CAPABLE"} == {it["Verdict"] for it in found}
    assert 'attachment; filename="stranded-2.csv"' == answer.headers["content-disposition"]


def test_a_vulnerable_version_is_declared_and_closed(site):
    """From then on whoever runs it is exposed; on both databases, and in the audit."""
    client = site.client("operator")
    fields = {"manufacturer": "121d", "model": "84", "highest": "0x10A00", "reason": "it burns"}
    assert 303 == client.submit("/fleet/advisories", fields).status_code
    [row] = rows_of(client.see("/"), "Exposure</h2>")
    assert ["declared vulnerable", "121D 0084", "up to 00010A00"] == row[:3]
    assert 303 == client.submit("/fleet/advisories/1/close").status_code
    assert "nothing is declared vulnerable" in client.see("/")
    assert 400 == client.submit("/fleet/advisories/1/close").status_code
    assert {"declare vulnerable", "close advisory"} <= {it.what for it in site.store.audit.entries()}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("manufacturer", "12345", "manufacturer: expected 1 to 4 hex digits"),
        ("highest", "xyz", "last version: expected 1 to 8 hex digits"),
        ("lowest", "FF", "ends where it begins"),
        ("reason", "   ", "say why"),
    ],
)
@SQLITE
def test_a_declaration_that_cannot_be_is_refused(site, field, value, said):
    fields = {"manufacturer": "121D", "highest": "10", "reason": "it burns", field: value}
    answer = site.client("operator").submit("/fleet/advisories", fields)
    assert 400 == answer.status_code
    assert said in answer.text


@SQLITE
def test_what_was_typed_of_a_declaration_that_is_refused_stands_there_again(site):
    """At three in the morning nobody looks up a manufacturer twice for a version that was mistyped."""
    fields = {"manufacturer": "121D", "model": "54", "lowest": "1", "highest": "xyz", "reason": 'it "burns"'}
    page = site.client("operator").submit("/fleet/advisories", fields).text
    assert fields == {name: value for name, value in typed_in(page).items() if name in fields}
    assert "Not declared: last version: expected 1 to 8 hex digits" in text_of(page)


# --- releases


def test_an_image_becomes_a_release_and_is_opened_up(site):
    """From a file on a desk to a page with every field, its hash, the CPL and who may have it."""
    client = site.client("operator")
    octets = ota()
    site.store.registry.put_cpl([listed(octets)])
    fields = {"name": "Display 2.0", "after": f"{OLD}, {OLDER}"}
    answer = client.submit("/releases", fields, files={"file": ("display.ota", octets)})
    assert 303 == answer.status_code, answer.text
    page = client.see(answer.headers["location"])
    text = text_of(page)
    assert "Display 2.0 is registered." in text
    assert f"May follow {OLDER} {OLD}" in text
    assert "CPL passed active for 00841111" in text
    assert "upgrade file identifier" in text
    assert str(image.decode(octets, image.Layout.SRV_11_4).hash) in text
    assert "Display 2.0 is registered." not in client.see(answer.headers["location"]), "it is said once"
    assert "operator1" in {it.who for it in site.store.audit.entries(what="add release")}


def test_an_image_in_a_request_is_taken_out_of_it(site, published_requests):
    """What the DCC's own sample carries can be dropped as it is."""
    client = site.client("operator")
    path = published_requests["11.4"]
    answer = client.submit("/releases/check", {"name": ""}, files={"file": (path.name, path.read_bytes())})
    assert 200 == answer.status_code
    assert "image in the 11.4 request" in answer.text
    assert "can be registered. Nothing was yet." in text_of(answer.text)
    assert [] == site.store.registry.releases()


@pytest.mark.parametrize("end", [1, 30, 59])
@SQLITE
def test_a_refused_image_names_field_offset_expected_and_found(site, end):
    """A file that is cut says where, and shows the octets there."""
    answer = site.client("operator").submit(
        "/releases", {"name": "x"}, files={"file": ("cut.ota", ota()[:end])}
    )
    assert 422 == answer.status_code
    text = text_of(answer.text)
    for word in ("cut.ota is refused.", "What", "Field", "Offset", "Expected", "Found"):
        assert word in text


@SQLITE
def test_a_refused_image_shows_the_octet_that_is_wrong(site):
    """The very octet, marked, with those around it."""
    octets = bytearray(ota())
    octets[0] ^= 0xFF
    answer = site.client("operator").submit(
        "/releases", {"name": "x"}, files={"file": ("bad.ota", bytes(octets))}
    )
    assert "upgrade file identifier" in answer.text
    assert f"<mark>{octets[0]:02x}</mark>" in answer.text


@SQLITE
def test_an_image_that_fails_a_check_is_not_registered(site):
    """Too large for the network, or another hash on the CPL: said, and nothing is kept."""
    client = site.client("operator")
    large = ota(body=bytes(800_000))
    answer = client.submit("/releases", {"name": "large"}, files={"file": ("large.ota", large)})
    assert 422 == answer.status_code
    assert "size failed expected" in text_of(answer.text)
    site.store.registry.put_cpl([listed(ota(body=b"another"))])
    answer = client.submit("/releases", {"name": "other"}, files={"file": ("other.ota", ota())})
    assert "CPL failed expected the hash" in text_of(answer.text)
    assert [] == site.store.registry.releases()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "a release's name"),
        ({"name": "7"}, "of digits alone"),
        ({"name": "x", "after": "xyz"}, "may follow: expected 1 to 8 hex digits"),
        ({"name": "x", "after": str(TARGET)}, "cannot follow itself"),
        ({"name": "x", "srv": "11.9"}, "SRV 11.1 or 11.4"),
    ],
)
@SQLITE
def test_what_is_typed_wrong_is_said_beside_the_form(site, fields, said):
    """The form stands there as it was filled in, with what is wrong with it."""
    answer = site.client("operator").submit("/releases", fields, files={"file": ("f", ota())})
    assert 422 == answer.status_code
    assert said in text_of(answer.text)
    assert f'value="{fields["name"]}"' in answer.text or not fields["name"]


@SQLITE
def test_the_same_name_twice_is_refused(site):
    client = site.client("operator")
    client.submit("/releases", {"name": "x"}, files={"file": ("f", ota())})
    answer = client.submit("/releases", {"name": "x"}, files={"file": ("f", ota(body=b"another one"))})
    assert 422 == answer.status_code
    assert "give this one another name" in answer.text


def test_a_release_is_withdrawn_with_a_reason(site):
    client = site.client("operator")
    client.submit("/releases", {"name": "x"}, files={"file": ("f", ota())})
    assert 303 == client.submit("/releases/1/withdraw", {"reason": "it loses the tariff"}).status_code
    assert "nothing more is ordered of it" in text_of(client.see("/releases/1"))
    [entry] = site.store.audit.entries(what="withdraw release")
    assert ("operator1", "it loses the tariff") == (entry.who, entry.detail)


def test_a_release_is_marked_with_what_it_cures(site):
    """As it is brought in or later; an empty field takes the mark back. Both are in the audit."""
    client = site.client("operator")
    client.submit("/releases", {"name": "x", "security": "CVE-2030-1"}, files={"file": ("f", ota())})
    assert "CVE-2030-1" in rows_of(client.see("/releases"), "All releases")[0]
    assert 303 == client.submit("/releases/1/mark", {"security": " GG-7 "}).status_code
    page = client.see("/releases/1")
    assert "x is a security release: GG-7." in text_of(page)
    assert 'value="GG-7"' in page
    assert 303 == client.submit("/releases/1/mark", {"security": ""}).status_code
    assert "x is no security release." in text_of(client.see("/releases/1"))
    said = [(it.what, it.detail) for it in site.store.audit.entries() if "mark" in it.what]
    assert [("mark release", "security GG-7"), ("unmark release", "security GG-7")] == said
    refused = client.submit("/releases/1/mark", {"security": "x" * 65})
    assert (400, True) == (refused.status_code, "1 to 64 printable characters" in text_of(refused.text))


def test_the_release_page_says_what_stands_in_the_way(viewer):
    """Who may have it, and from which version there is a path."""
    page = viewer.see("/releases/2")
    steps = {row[0]: row for row in rows_of(page, "Upgrade paths")}
    assert {str(TARGET), str(OLD), str(OLDER)} == set(steps)
    assert "nothing" in steps[str(OLD)][2]
    assert "the Device runs this version already" in steps[str(TARGET)][2]
    assert "no Supplier: an 11.4 image bears no signature" in text_of(page)


@SQLITE
def test_work_orders_are_no_formulas(site):
    """A region that begins like a formula is opened in a spreadsheet as text."""
    site.store.registry.put_devices(
        [Device(ppmid(1), ppmid(2), replace(PPMIDS, type=DeviceType.IHD, region="=1+1"))]
    )
    client = site.client("operator")
    client.submit("/releases", {"name": "x"}, files={"file": ("f", ota())})
    assert "'=1+1" in client.get("/releases/1/stranded.csv").text


# --- Devices


def euis(page):
    return re.findall(r'<th scope="row"><a class="eui" href="/devices/([^"]+)"', page)


def all_pages(client, path):
    """All rows of a table, as a person who goes from page to page sees them."""
    found = []
    while path:
        page = client.see(path)
        found += euis(page)
        link = re.search(r'<a href="([^"]+)" rel="next"', page)
        path = link[1].replace("&amp;", "&") if link else None
    return found


@pytest.mark.parametrize("sort", ["eui", "-eui", "firmware", "-region"])
def test_the_table_of_devices_pages_through_all_of_them(viewer, furnished, sort):
    found = all_pages(viewer, f"/devices?rows=100&sort={sort}")
    assert 320 == len(found) == len(set(found))
    assert furnished.store.fleet.count(NOW).devices == len(found)


def test_the_table_of_devices_filters_on_the_server(viewer):
    """Conditions add up, the number that fits is told, and the form keeps what was asked."""
    page = viewer.see("/devices?status=Suspended&region=North")
    assert f"{len(euis(page))} Devices fit." in text_of(page)
    assert {"North"} == {row[7] for row in rows_of(page, "<caption")}
    assert '<option value="Suspended" selected>' in page


def test_the_table_says_which_column_it_is_sorted_by(viewer):
    page = viewer.see("/devices?sort=-region")
    assert 1 == page.count('aria-sort="descending"')
    assert "sort=region" in page


def test_a_device_is_found_by_its_identifier_however_it_is_written(viewer):
    """Pasted from a mail, in lower case, without hyphens."""
    eui = ppmid(4)
    for text in (str(eui), str(eui).lower(), str(eui).replace("-", ""), f" {eui} "):
        answer = viewer.get("/devices", params={"q": text})
        assert (303, f"/devices/{eui}") == (answer.status_code, answer.headers["location"])


def test_a_hub_leads_to_the_devices_of_its_home(viewer):
    answer = viewer.get("/devices", params={"q": "00-DB-12-CF-00-00-00-03"})
    assert "/devices?hub=00-DB-12-CF-00-00-00-03" == answer.headers["location"]
    assert 2 == len(euis(viewer.see(answer.headers["location"])))


def test_the_first_digits_are_enough(viewer):
    assert 80 == len(all_pages(viewer, "/devices?q=00-DB-12-35"))


def test_the_devices_of_a_campaign_are_found_by_state_and_cause(viewer, furnished):
    """From a number on the campaign's page to the Devices behind it."""
    failed = all_pages(viewer, f"/devices?campaign={CAMPAIGN}&state=transfer+failed&rows=25")
    assert failed
    assert failed == all_pages(viewer, "/devices?campaign=1&cause=discarded")
    proven = all_pages(viewer, "/devices?campaign=1&state=proven&rows=25")
    assert 32 == len(proven)
    ordered = {str(device) for device, _ in furnished.scene.ordered}
    assert ordered == set(all_pages(viewer, "/devices?campaign=1&rows=25"))


def device_in(furnished, state):
    """A Device of the campaign that stands there."""
    stages = [it for it in Stage if it.state.value == state]
    return furnished.store.fleet.updates(1, stages).rows[0].device


def told(client, device):
    """What the page of a Device says first: where, whom it waits for, since when, what is next."""
    page = client.see(f"/devices/{device}")
    box = page.split('<dl class="where">', 1)[1].split("</dl>", 1)[0]
    return {text_of(a): text_of(b) for a, b in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", box, re.DOTALL)}


def test_a_device_that_is_proven_waits_for_nobody(viewer, furnished):
    said = told(viewer, device_in(furnished, "proven"))
    assert "running: the Device itself said so" == said["Where its update is"]
    assert "nobody: it is done" == said["Waits for"]
    assert "nothing" == said["Comes next"]


def test_a_device_at_the_hub_says_until_when_silence_is_patience(viewer, furnished):
    """Where it is, whom it waits for, and what we do if nobody speaks, with the moment."""
    said = told(viewer, device_in(furnished, "at hub"))
    assert "at the Communications Hub" == said["Where its update is"]
    assert said["Waits for"].startswith("the hub:")
    assert (
        "if none has come: silence, and the Device is asked for its version (SRV 11.2)" in said["Comes next"]
    )
    assert "2026-11-27 10:00 UTC" in said["Comes next"], "four days after the order, as the plan says"


def test_a_device_whose_transfer_failed_says_why_and_when_it_is_tried_again(viewer, furnished):
    said = told(viewer, device_in(furnished, "transfer failed"))
    assert "us, because the hub discarded the image" == said["Waits for"]
    assert "the image is ordered again" in said["Comes next"]
    assert "2026-11-23 11:00 UTC" in said["Comes next"], "the first pause of the plan is an hour"


def test_a_device_that_was_not_ordered_yet_says_its_wave(viewer, furnished):
    ordered = {device for device, _ in furnished.scene.ordered}
    waiting = next(ppmid(it) for it in (1, 2, 3, 9, 10, 11) if ppmid(it) not in ordered)
    said = told(viewer, waiting)
    assert "not ordered yet" == said["Where its update is"]
    assert f"wave 2 of {CAMPAIGN}; wave 1 is open" == said["Waits for"]


def test_a_device_that_is_kept_out_says_why(viewer):
    text = text_of(viewer.see(f"/devices/{ppmid(7)}"))
    assert f"Not in {CAMPAIGN}: the Device is not commissioned, or suspended." in text
    assert "Where its update is nothing was ordered for it" in text


def test_the_timeline_leads_to_every_message_decoded(viewer, furnished):
    """Each thing that was said, in order, and the message that said it, field by field."""
    device = device_in(furnished, "proven")
    page = viewer.see(f"/devices/{device}")
    messages = re.findall(r'<a href="(/messages/\d+)"', page)
    assert 3 == len(messages)
    text = text_of(viewer.see(messages[0]))
    assert "DCCAlertCode N60 image delivered to the hub" in text
    assert f"TargetDeviceID {device}" in text
    piece = viewer.get(messages[0], headers={"HX-Request": "true"}).text
    assert "<html" not in piece
    assert "N60" in piece


# --- people


def test_an_account_is_made_changed_disabled_and_enabled(site):
    """An administrator lets somebody in, and keeps them out again; on both databases."""
    client = site.client("administrator")
    fields = {"name": "nora", "password": "twelve letters", "role": ["viewer", "operator"]}
    assert 303 == client.submit("/people", fields).status_code
    assert {"viewer", "operator"} == site.store.people.find("nora").roles
    assert 303 == client.submit("/people/nora/roles", {"role": "approver"}).status_code
    assert {"approver"} == site.store.people.find("nora").roles
    assert 303 == client.submit("/people/nora/disable").status_code
    door = site.stranger()
    door.csrf = token_in(door.see("/login"))
    assert 401 == door.submit("/login", {"name": "nora", "password": "twelve letters"}).status_code
    assert 303 == client.submit("/people/nora/enable").status_code
    assert 303 == client.submit("/people/nora/password", {"password": "other twelve letters"}).status_code
    assert 303 == door.submit("/login", {"name": "nora", "password": "other twelve letters"}).status_code
    assert "nora" in client.see("/people")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a b", "password": "twelve letters"},
        {"name": "nora", "password": "short"},
        {"name": "viewer1", "password": "twelve letters"},
        {"name": "nora", "password": "twelve letters", "role": "king"},
    ],
)
@SQLITE
def test_an_account_that_cannot_be_is_refused(site, fields):
    answer = site.client("administrator").submit("/people", fields)
    assert 400 == answer.status_code
    assert site.store.people.find("nora") is None
    assert fields["name"] == typed_in(answer.text)["name"]


@SQLITE
def test_what_was_typed_of_an_account_that_is_refused_stands_there_again(site):
    """With its roles and why not; but for the password, which no page ever holds."""
    fields = {"name": "nora", "password": "too short", "role": ["operator", "viewer"]}
    page = site.client("administrator").submit("/people", fields).text
    assert "Not created: a password has 12 to 256 characters." in text_of(page)
    form = page.partition("<h2>New account</h2>")[2].partition("</form>")[0]
    assert ["viewer", "operator"] == re.findall(r'name="role" value="(\w+)" checked', form)
    assert 'name="password" type="password" value=""' in form
    assert "too short" not in page
    page = site.client("administrator").submit("/people/viewer1/password", {"password": "short"}).text
    assert "a password has 12 to 256 characters." in text_of(page)


@SQLITE
def test_the_last_administrator_stays(site):
    """Nobody can lock everybody out."""
    assert 400 == site.client("administrator").submit("/people/administrator1/disable").status_code


@SQLITE
def test_one_signs_in_and_out_by_the_forms(site):
    client = site.stranger()
    client.csrf = token_in(client.see("/login"))
    answer = client.submit("/login", {"name": "viewer1", "password": "wrong"})
    assert 401 == answer.status_code
    assert "Not signed in: the name or the password is wrong." in text_of(answer.text)
    answer = client.submit("/login", {"name": " viewer1 ", "password": PASSWORD})
    assert (303, "/") == (answer.status_code, answer.headers["location"])
    page = client.see("/account")
    client.csrf = token_in(page)
    assert "/login" == client.submit("/logout").headers["location"]
    assert "You are signed out." in client.see("/login")


@SQLITE
def test_a_changed_password_ends_all_sessions(site):
    """Whoever has stolen one is out."""
    client, elsewhere = site.client("viewer"), site.client("viewer")
    new = "another good password"
    for old, first, second, said in (
        ("wrong", new, new, "The old password is wrong."),
        (PASSWORD, new, new + "x", "not the same"),
    ):
        answer = client.submit("/account/password", {"old": old, "new": first, "again": second})
        assert 400 == answer.status_code
        assert said in answer.text
    assert (
        400
        == client.submit(
            "/account/password",
            {"old": PASSWORD, "new": "x" * (PASSWORD_MIN - 1), "again": "x" * (PASSWORD_MIN - 1)},
        ).status_code
    )
    assert 303 == client.submit("/account/password", {"old": PASSWORD, "new": new, "again": new}).status_code
    assert 303 == elsewhere.get("/").status_code


def test_a_token_is_shown_once_and_revoked(site):
    """Its secret stands on one page; afterwards there is its label, and a way to end it."""
    client = site.client("operator")
    answer = client.submit(
        "/account/tokens", {"label": "night job", "days": "7", "scope": ["read", "operate"]}
    )
    assert 200 == answer.status_code
    secret = re.search(r"<code>([^<]+)</code>", answer.text)[1]
    assert "operator1" == site.people.of_token(secret).name
    page = client.see("/account")
    assert secret not in page
    assert "night job" in page
    assert 303 == client.submit("/account/tokens/1/revoke").status_code
    assert site.people.of_token(secret) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"label": "x", "days": "7"},
        {"label": "", "days": "7", "scope": "read"},
        {"label": "x", "days": "9999", "scope": "read"},
        {"label": "x", "days": "7", "scope": "administer"},
        {"label": "x", "days": "soon", "scope": "read"},
    ],
)
@SQLITE
def test_a_token_that_cannot_be_is_refused(site, fields):
    assert site.client("operator").submit("/account/tokens", fields).status_code in {400, 403}
    assert [] == list(site.store.people.tokens())


@SQLITE
def test_what_was_typed_of_a_token_that_is_refused_stands_there_again(site):
    """Its label, for how long, and that nothing was ticked."""
    page = site.client("operator").submit("/account/tokens", {"label": "night job", "days": "365"}).text
    assert "A token without any scope is good for nothing." in text_of(page)
    form = page.partition("<h2>New token</h2>")[2].partition("</form>")[0]
    assert ("night job", ["365"], []) == (
        typed_in(form)["label"],
        re.findall(r'value="(\d+)" selected', form),
        re.findall(r'name="scope" value="(\w+)" checked', form),
    )
