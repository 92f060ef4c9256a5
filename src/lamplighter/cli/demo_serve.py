"""`lamplighter serve --demo`: a lab, an engine and the pages in one process, with a campaign under way.

Time in the homes runs fast until a gate holds the stratum that gets bad firmware, and then slowly enough for
a person to follow. There is one account of each role; the passwords are new each time, and shown once.
"""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from lamplighter.cli import output
from lamplighter.cli.arguments import Address
from lamplighter.cli.demo_lab import (
    APPROVER,
    HOMES_MAX,
    LOOK_SECONDS,
    OPERATOR,
    SPEED,
    another_draft,
    build,
    casting,
    meeting,
    register,
)
from lamplighter.cli.output import Report
from lamplighter.cli.web import figures, listen, pages
from lamplighter.kit import Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.service.clock import wall_clock
from lamplighter.service.health import OUTBOX_AGE
from lamplighter.service.meters import METRICS_PATH
from lamplighter.service.people import People, Role
from lamplighter.service.webhooks import Courier
from lamplighter.store import Store

if TYPE_CHECKING:
    from lamplighter.cli.demo_lab import Meeting

CALM: Final = 30.0
"""Seconds in the homes for each of ours, once there is something to look at."""
HOLD_SECONDS: Final = 180.0
"""So long a gate may take to hold the bad stratum; then the demo is shown as it is."""

_WEB: Final = Address("127.0.0.1", 8000)
_PASSWORD_OCTETS: Final = 12
_NAMES: Final = {
    OPERATOR: Role.OPERATOR,
    APPROVER: Role.APPROVER,
    "viewer": Role.VIEWER,
    "administrator": Role.ADMINISTRATOR,
}


def open_demo(
    homes: int, seed: str, web: Address | None, web_url: str | None, metrics: Address | None
) -> Report:
    """All of it, running when this returns; what the report goes on with serves it until Ctrl-C."""
    if not 1 <= homes <= HOMES_MAX:
        raise UsageError(f"--homes takes 1 to {HOMES_MAX}, not {homes}")
    at = web or _WEB
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamplighter-")))
        store = Store.open(f"sqlite:///{folder / 'lamplighter.db'}")
        stack.callback(store.close)
        _say(f"building a lab of {homes} homes")
        # It began yesterday: what people do now comes after what the lab has done.
        lab = build(seed, homes, Instant(wall_clock() - DAY))
        casts = casting(lab, None)
        register(store, lab, casts)
        met = stack.enter_context(meeting(lab, store))
        # What persons do stands among what the lab does, by its time; they themselves live by the day's.
        people = People(store, met.clock, wall_clock)
        age = int(OUTBOX_AGE * SPEED)
        app = pages(store, people, met.clock, at, web_url, engine=True, parties=met.parties, outbox_age=age)
        # Bound before the lab runs, so that a port that is taken is known at once.
        listeners = [listen(app, at)]
        if metrics is not None:
            listeners.append(listen(figures(store, met.clock, engine=True, outbox_age=age), metrics))
        _say("a campaign runs, and a gate is about to hold bad firmware")
        held = _await_hold(store, met)
        met.lab.pace(CALM)
        another_draft(store, casts, met.clock())
        passwords = _accounts(people)
        stack.enter_context(Courier(store, met.clock, "demo", wall=wall_clock))
        for listener in listeners:
            stack.enter_context(listener)
        running = stack.pop_all()

    facts: dict[str, Any] = {
        "web": listeners[0].url,
        "accounts": [{"name": name, "password": said} for name, said in passwords.items()],
        "held": held,
        "receiver": met.receiver,
    }
    if metrics is not None:
        facts["metrics"] = listeners[1].url + METRICS_PATH
    rows = [("pages", facts["web"]), *((name, f"password {said}") for name, said in passwords.items())]
    rows += [("held", ", ".join(held) or "nothing"), ("time", f"{CALM:g} times as fast as the day")]
    rows += [("metrics", facts["metrics"])] if "metrics" in facts else []

    def run() -> None:
        ended = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        with running:
            while not ended.is_set():
                _pass_on(met)

    return Report(facts, output.page("demo", "sign in; Ctrl-C ends it", output.pairs(rows)), then=run)


def _await_hold(store: Store, met: Meeting) -> list[str]:
    """Wait until a gate holds a stratum; which."""
    end = time.monotonic() + HOLD_SECONDS
    while time.monotonic() < end:
        held = [
            f"{campaign.name}: {stratum.name}"
            for campaign in store.campaigns.list()
            for stratum in store.campaigns.view(campaign, met.clock()).strata
            if stratum.held is not None
        ]
        if held:
            return held
        _pass_on(met)
    return []


def _pass_on(met: Meeting) -> None:
    """Have what came in looked at, as soon as it comes."""
    if met.news.wait(LOOK_SECONDS):
        met.news.clear()
        met.worker.wake()


def _accounts(people: People) -> dict[str, str]:
    """One account of each role, with a password of its own."""
    passwords = {name: secrets.token_urlsafe(_PASSWORD_OCTETS) for name in _NAMES}
    root = people.local("demo")
    for name in sorted(_NAMES, key=lambda it: _NAMES[it] is not Role.ADMINISTRATOR):  # that one comes first
        people.create(root, name, {_NAMES[name]}, passwords[name])
    return passwords


def _say(text: str) -> None:
    """Progress, for who watches."""
    if sys.stderr.isatty():
        print(f"{text} ...", file=sys.stderr)  # noqa: T201 # a terminal's own
