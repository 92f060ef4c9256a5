"""The pages in Chromium: accessible in both schemes, reachable by the keyboard, and what scripts add."""

from __future__ import annotations

import re

import pytest

from lamplighter.campaign.state import Stage

from .conftest import BY_ROLE, PASSWORD, signed_in
from .scene import ota, ppmid

PAGES = {
    "fleet": "/",
    "releases": "/releases",
    "release": "/releases/2",
    "withdrawn release": "/releases/1",
    "devices": "/devices?region=North",
    "devices, none": "/devices?tag=nothing",
    "devices of a campaign": "/devices?campaign=1",
    "device": "/devices/{proven}",
    "device that waits": f"/devices/{ppmid(1)}",
    "message": "/messages/1",
    "people": "/people",
    "account": "/account",
    "error": "/devices?sort=nothing",
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""Of axe-core: WCAG 2.2 at level AA, and what its makers hold to be good besides."""
BROKEN_PAGE = "/devices?sort=nothing"


@pytest.fixture(scope="session")
def axe(npm_package) -> str:
    """axe-core, as a script."""
    return (npm_package("axe-core", "4.14.1") / "axe.min.js").read_text()


def violations(page, axe: str) -> list[str]:
    """What axe finds wrong with a page as it stands, each with the elements."""
    page.evaluate(axe)
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']}).then(it => it.violations)",
        RULES,
    )
    return [
        f"{it['id']}: {it['help']}: "
        + "; ".join(f"{n['html'][:160]} {n['failureSummary'][:300]}" for n in it["nodes"][:4])
        for it in found
    ]


@pytest.fixture(scope="module")
def proven(furnished):
    """A Device with a whole timeline."""
    return furnished.store.fleet.updates(1, [Stage.PROVEN]).rows[0].device


def go(page, furnished, path: str) -> None:
    answer = page.goto(f"{furnished.url}{path}")
    assert answer.status < 500


@pytest.mark.npm
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_wrong(lenient_page, furnished, axe, proven, name, scheme):
    """WCAG 2.2 AA in both schemes: contrast, labels, headings, tables, landmarks, names of links."""
    page = lenient_page
    page.emulate_media(color_scheme=scheme)
    signed_in(page, furnished, "administrator" if name in {"people", "account"} else "operator")
    go(page, furnished, PAGES[name].format(proven=proven))
    page.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true; })")
    page.wait_for_load_state("networkidle")
    assert [] == violations(page, axe)


@pytest.mark.npm
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong_at_the_door(lenient_page, furnished, axe, scheme):
    """Before and after a refusal."""
    page = lenient_page
    page.emulate_media(color_scheme=scheme)
    go(page, furnished, "/login")
    assert [] == violations(page, axe)
    page.fill("#field-name", "viewer1")
    page.fill("#field-password", "wrong password")
    page.click("main button")
    assert "Not signed in" in page.inner_text("[role=alert]")
    assert [] == violations(page, axe)


@pytest.mark.npm
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_a_refused_image(lenient_page, furnished, axe, scheme):
    """The refusal, with the octets; and what could be registered."""
    page = lenient_page
    page.emulate_media(color_scheme=scheme)
    signed_in(page, furnished)
    go(page, furnished, "/releases")
    for octets, word in ((b"\x00" + ota()[1:], "refused"), (ota(), "can be registered")):
        page.set_input_files(
            "#field-file", {"name": "x.ota", "mimeType": "application/octet-stream", "buffer": octets}
        )
        page.wait_for_selector(f"#verdict :text('{word}')")
        assert [] == violations(page, axe)


def test_one_signs_in_looks_around_and_signs_out_by_the_keyboard_alone(page, furnished):
    """Every step by Tab, Enter and typing: no page needs a mouse."""
    go(page, furnished, "/devices")
    assert "/login?next=" in page.url
    page.focus("#field-name")
    page.keyboard.type(BY_ROLE["viewer"])
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/devices")
    page.keyboard.press("Tab")
    assert "Skip to the content" == page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    assert "content" == page.evaluate("document.activeElement.id")
    for _ in range(60):
        page.keyboard.press("Tab")
        if "eui" in page.evaluate("document.activeElement.className"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert "solid" == outline, "where one is can be seen"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/devices/00-DB"))
    page.focus(".who button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login")


def test_an_image_that_is_dropped_is_checked_at_once(page, furnished):
    """What is wrong with it stands there before anything is sent for good."""
    signed_in(page, furnished)
    go(page, furnished, "/releases")
    data = page.evaluate_handle(
        """octets => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(octets)], "dropped.ota"));
            return data;
        }""",
        list(ota()[:40]),
    )
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": data})
    page.wait_for_selector("#verdict [role=alert]")
    said = page.inner_text("#verdict")
    assert "dropped.ota is refused." in said
    assert "Offset" in said
    assert page.url.endswith("/releases"), "nobody has left the page"
    assert 2 == len(furnished.store.registry.releases())


def test_a_message_is_decoded_where_it_stands(page, furnished, proven):
    """A click opens it, once; the page stays."""
    signed_in(page, furnished, "viewer")
    go(page, furnished, f"/devices/{proven}")
    page.click("summary >> nth=0")
    page.wait_for_selector(".decoded .tree")
    assert "N60" in page.inner_text(".decoded >> nth=0")
    assert page.url.endswith(str(proven))


def test_a_filter_changes_the_table_and_the_address(page, furnished):
    """What one sees can be sent to somebody else as a link."""
    signed_in(page, furnished, "viewer")
    go(page, furnished, "/devices")
    page.select_option("#field-status", "Suspended")
    page.wait_for_url("**status=Suspended**")
    page.wait_for_function("document.querySelectorAll('#rows tbody tr').length < 20")
    rows = page.locator("#rows tbody tr").count()
    page.reload()
    assert rows == page.locator("#rows tbody tr").count()


def test_no_page_is_wider_than_a_narrow_screen(page, furnished, proven):
    """On a telephone at three in the morning: what is wide scrolls within itself."""
    page.set_viewport_size({"width": 380, "height": 800})
    signed_in(page, furnished, "administrator")
    for name, path in PAGES.items():
        if path == BROKEN_PAGE:
            continue  # the browser says of it, rightly, that it was refused
        go(page, furnished, path.format(proven=proven))
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 380, (name, wide)


def test_pages_read_without_scripts(browser, furnished, proven):
    """Everything can be seen and done with links and forms alone."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    signed_in(page, furnished, "operator")
    page.goto(f"{furnished.url}/devices/{proven}")
    page.click("summary >> nth=0")
    page.click(".decoded a >> nth=0")
    assert "N60" in page.inner_text("main")
    page.goto(f"{furnished.url}/releases")
    page.set_input_files("#field-file", {"name": "x.ota", "mimeType": "", "buffer": ota()[:10]})
    page.click("text=Check only")
    assert "x.ota is refused." in page.inner_text("#verdict")
    context.close()
