"""Pictures of every page, light and dark: `python scripts/screenshots.py [--narrow] [PAGE ...]`.

A lab with its homes, a campaign that is held, one that runs, a draft that was changed after it was approved:
all live, in scaled time, looked at by Chromium. A script that fails, or a page that is wider than the window,
is told, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from PIL import Image  # noqa: E402 # matplotlib brings it
from playwright.sync_api import sync_playwright  # noqa: E402
from tests.web.stage import PLAN, Stage, stage  # noqa: E402
from tests.web.stage import ROOT as EVERYBODY  # noqa: E402

from lamplighter.campaign.state import State  # noqa: E402
from lamplighter.campaign.status import Act  # noqa: E402
from lamplighter.cli.logs import quiet_logs  # noqa: E402
from lamplighter.planning.forecast import forecaster  # noqa: E402
from lamplighter.service.people import Person, Role  # noqa: E402
from lamplighter.service.web.security import cookie_name  # noqa: E402
from lamplighter.store.inbox import Incoming  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT: Final = ROOT / "docs" / "screenshots"
CHROMIUM: Final = "/usr/bin/chromium"
WIDE, NARROW = (1360, 860), (400, 800)  # a laptop, a telephone; CSS pixels
COLOURS: Final = 96
TALL: Final = 2_400  # longer pages are cut
HELD_SECONDS: Final = 90  # until the gate must have held its stratum
SETTLE_MILLISECONDS: Final = 900  # for the first event of a stream, and the chart

OPERATOR, REVIEWER = Person.of("operator1", [Role.OPERATOR]), Person.of("reviewer1", [Role.APPROVER])


@dataclass(frozen=True)
class Shot:
    """One page, and who looks at it."""

    name: str
    path: str
    who: str = "operator1"
    steps: tuple[tuple[str, str, str], ...] = ()
    """(what to do, where, with what), once the page is there."""


def act(found: Stage) -> dict[str, int]:
    """What is going on when the pictures are taken; campaigns by name."""
    office = found.office
    plans = {
        "Displays 2.0, winter": ("displays", PLAN, "PPMID"),
        "Switches, everywhere": ("switches", PLAN, "HCALCS"),
        "Displays, second try": ("displays", PLAN, "PPMID"),
    }
    made = {}
    for name, (release, plan, kind) in plans.items():
        campaign = office.create(OPERATOR, plan.format(name=name, kind=kind), found.releases[release])
        office.approve(REVIEWER, campaign.id)
        made[name] = campaign.id
        expected = office.dry_run(OPERATOR, campaign.plan, campaign.release).forecast
        if expected is not None:
            found.store.forecasts.save(campaign.id, expected, OPERATOR.name, office.clock())
    changed = PLAN.format(name="Displays, second try", kind="PPMID").replace(
        "per_hour = 5000", "per_hour = 900"
    )
    office.revise(OPERATOR, made["Displays, second try"], changed.replace('soak = "20m"', 'soak = "6h"', 1))
    for name in ("Displays 2.0, winter", "Switches, everywhere"):
        office.act(OPERATOR, made[name], Act.START, "agreed with the call centre")
    now = office.clock()
    stray = b"<?xml version='1.0'?><Response>an answer to a request of which nothing is known</Response>"
    reason = "no request of ours has the counter 1768213301250: it was sent by another system"
    found.store.inbox.take_in([Incoming(stray, now, now, "I99", None, 1, (), reason)])
    found.store.inbox.count_refusals({"xml-signature": 3, "message-for-another": 1}, now)
    until = time.monotonic() + HELD_SECONDS
    held = made["Displays 2.0, winter"]
    while not any(it.held for it in office.campaign(EVERYBODY, held).view.strata):
        if time.monotonic() > until:
            raise SystemExit("screenshots: no gate has held its stratum: look at tests/web/stage.py")
        time.sleep(0.2)
    return made


def shots(found: Stage, made: dict[str, int]) -> Iterator[Shot]:
    """Every page."""
    held, other = made["Displays 2.0, winter"], made["Switches, everywhere"]
    failed = office_device(found, held)
    plan = PLAN.format(name="Displays, west", kind="PPMID")
    yield Shot("login", "/login", "")
    yield Shot("fleet", "/")
    yield Shot("releases", "/releases")
    yield Shot("release", f"/releases/{found.releases['displays']}")
    yield Shot("campaigns", "/campaigns")
    yield Shot("campaign", f"/campaigns/{held}")
    yield Shot("campaign-two-step", f"/campaigns/{other}")
    yield Shot("campaign-release-hold", f"/campaigns/{held}?act=release")
    yield Shot("campaign-draft", f"/campaigns/{made['Displays, second try']}", "reviewer1")
    yield Shot("campaign-new", "/campaigns/new")
    yield Shot(
        "campaign-dry-run",
        "/campaigns/new",
        steps=(
            ("click", "#toml-part > summary", ""),
            ("fill", "#toml", plan),
            ("choose", "#f-release", "displays 2.0"),
            ("click", "#toml-part button", ""),
        ),
    )
    yield Shot("compare", f"/campaigns/{held}/compare?with={other}")
    yield Shot("devices", "/devices")
    yield Shot("devices-failed", "/devices?campaign=Displays+2.0%2C+winter&state=failed")
    yield Shot("device", f"/devices/{failed}")
    yield Shot("approvals", "/approvals", "reviewer1")
    yield Shot("dead-letters", "/letters")
    yield Shot("dead-letter", f"/letters/{found.store.inbox.dead_letters(1)[0].letter.id}")
    yield Shot("storms", "/storms")
    yield Shot("reports", "/reports")
    yield Shot("audit", "/audit")
    yield Shot("audit-verified", "/audit", steps=(("click", "form[action='/audit/verify'] button", ""),))
    yield Shot("people", "/people", "administrator1")
    yield Shot("account", "/account")


def office_device(found: Stage, campaign: int) -> str:
    """A Device of which the update failed."""
    return next(str(it.example) for it in found.store.standings.causes(campaign) if it.state is State.FAILED)


def take(page: Any, url: str, shot: Shot, file: Path | None) -> list[str]:
    """One picture; what is wrong with the page."""
    wrong = []
    answer = page.goto(url + shot.path)
    if answer is None or not answer.ok:
        wrong.append(f"{shot.name}: {answer and answer.status}")
    for what, where, value in shot.steps:
        place = page.locator(where).first
        if what == "fill":
            place.fill(value)
        elif what == "choose":
            place.select_option(value)
        else:
            place.click()
    page.wait_for_load_state()
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if over > 0:
        wrong.append(f"{shot.name}: {over} pixels wider than the window")
    if file is not None:
        height = min(TALL, page.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        page.screenshot(path=str(file), full_page=True, clip=clip)
        with Image.open(file) as picture:  # a page has few colours: a third of the octets
            small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(file, optimize=True)
    return wrong


def listen(page: Any, wrong: list[str]) -> None:
    """Note what fails in scripts, and what the browser refuses."""
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("console", lambda it: wrong.append(it.text) if it.type == "error" else None)


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="only these")
    parser.add_argument("--narrow", action="store_true", help="in a narrow window too")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    quiet_logs()
    sizes = {"": WIDE} | ({"-narrow": NARROW} if asked.narrow else {})
    wrong: list[str] = []
    taken = 0
    with (
        tempfile.TemporaryDirectory(prefix="lamplighter-") as folder,
        stage(Path(folder), homes=150, seed="pictures", forecaster=forecaster) as found,
        sync_playwright() as playwright,
    ):
        made = act(found)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        sessions = {name: found.session(name) for name in ("operator1", "reviewer1", "administrator1")}
        for scheme in ("light", "dark"):
            for end, (width, height) in sizes.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
                )
                page = context.new_page()
                listen(page, wrong)
                for shot in shots(found, made):
                    if asked.pages and shot.name not in asked.pages:
                        continue
                    context.clear_cookies()
                    if shot.who:
                        cookie = {"name": cookie_name("session", secure=False), "value": sessions[shot.who]}
                        context.add_cookies([cookie | {"url": found.url}])
                    wrong += take(page, found.url, shot, asked.out / f"{shot.name}-{scheme}{end}.png")
                    taken += 1
                context.close()
        browser.close()
    for line in sorted(set(wrong)):
        print(f"screenshots: {line}", file=sys.stderr)
    print(f"{taken} pictures in {asked.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
