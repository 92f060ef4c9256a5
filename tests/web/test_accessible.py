"""Every page by axe-core, light and dark, wide and narrow, on a live lab: WCAG 2.1 AA, and best practice."""

from __future__ import annotations

import pytest

from lamplighter.campaign.status import Act
from lamplighter.service.people import Person, Role
from lamplighter.store.inbox import Incoming

from .stage import PLAN, stage

PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
OPERATOR, REVIEWER = Person.of("operator1", [Role.OPERATOR]), Person.of("reviewer1", [Role.APPROVER])
PAGES = {
    "/campaigns": "operator1",
    "/campaigns/{running}": "operator1",
    "/campaigns/{running}?act=abort": "operator1",
    "/campaigns/{draft}": "viewer1",
    "/campaigns/new": "operator1",
    "/campaigns/new?like={running}": "operator1",
    "/campaigns/{running}/compare?with={other}": "viewer1",
    "/approvals": "reviewer1",
    "/letters": "operator1",
    "/letters/1": "operator1",
    "/storms": "operator1",
    "/reports": "viewer1",
    "/audit": "viewer1",
}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """Two campaigns that run, a draft that was revised, a dead letter."""
    with stage(tmp_path_factory.mktemp("axe"), homes=40) as found:
        office = found.office
        made = {}
        for key, kind in (("running", "displays"), ("other", "switches"), ("draft", "displays")):
            plan = PLAN.format(name=key, kind={"displays": "PPMID", "switches": "HCALCS"}[kind])
            campaign = office.create(OPERATOR, plan, found.releases[kind])
            office.approve(REVIEWER, campaign.id)
            if key == "draft":
                office.revise(OPERATOR, campaign.id, plan.replace("5000", "900"))
            else:
                office.act(OPERATOR, campaign.id, Act.START)
            made[key] = campaign.id
        now = office.clock()
        found.store.inbox.take_in([Incoming(b"<a/>", now, now, "N62", None, 1, (), "no such request")])
        letter = found.store.inbox.dead_letters(1)[0].letter.id
        found.paths = {
            path.format(**made).replace("/letters/1", f"/letters/{letter}"): who
            for path, who in PAGES.items()
        }
        yield found


@pytest.fixture(scope="module")
def axe(npm_package) -> str:
    """The checker's source, from the pinned package."""
    return (npm_package("axe-core", "4.14.1") / "axe.min.js").read_text()


@pytest.mark.npm
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1440),
        ("dark", 400),
        # Contrast is a matter of the scheme, and all else of the width.
        pytest.param("light", 400, marks=pytest.mark.long),
        pytest.param("dark", 1440, marks=pytest.mark.long),
    ],
)
def test_no_page_breaks_a_rule(live, axe, browser, scheme, width):
    """Contrast, names, labels, headings, landmarks, order: nothing is found on any page."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    found = []
    for path, who in live.paths.items():
        context.clear_cookies()
        context.add_cookies([{"name": "lamplighter-session", "value": live.session(who), "url": live.url}])
        answer = page.goto(live.url + path)
        assert answer.ok, path
        page.evaluate(PAINTED)
        page.evaluate(axe)
        result = page.evaluate("(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", RULES)
        found += [
            f"{path}: {it['id']}: {it['help']}: {node['html'][:160]}"
            for it in result["violations"]
            for node in it["nodes"][:3]
        ]
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    context.close()
    assert [] == found, "\n".join(found)
