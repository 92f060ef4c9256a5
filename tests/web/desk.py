"""A site with displays and a release for them, and campaigns that stand where a test wants them."""

from __future__ import annotations

from dataclasses import replace

from lamplighter.campaign import Cause, Fact
from lamplighter.campaign.status import Act
from lamplighter.kit import ImageHash, Instant
from lamplighter.kit.instant import HOUR
from lamplighter.registry import CplEntry, CplStatus, Device, Procedure, Release
from lamplighter.service.people import Person, Role
from tests.service.parties import NOW
from tests.store.campaigning import PPMIDS, TARGET, Fleet, eui, hub

PLAN = """
name = "{name}"
approvals = 1
stratify = ["hub_model"]
lasts = "60d"
[[wave]]
name = "canary"
share = "20 %"
soak = "4h"
[[wave]]
name = "everyone"
share = 1
"""
OPERATOR, REVIEWER = Person.of("operator1", [Role.OPERATOR]), Person.of("reviewer1", [Role.APPROVER])


class Desk:
    """A site with forty displays and a release for them."""

    def __init__(self, site) -> None:
        self.site = site
        registry = site.store.registry
        registry.put_devices(
            Device(eui(n), hub(n), replace(PPMIDS, hub_model="A" if n % 4 else "B")) for n in range(40)
        )
        registry.put_devices([Device(eui(99), hub(99), replace(PPMIDS, hardware=7))])
        release = Release(Procedure.ONE_STEP, 0x1234, TARGET, ImageHash(bytes(32)), 0, 3, b"image")
        self.release = registry.add_release("Display 2.0", release)
        registry.put_cpl([CplEntry(0x1234, 1, 1, TARGET, ImageHash(bytes(32)), CplStatus.ACTIVE)])
        self.fleet = Fleet.__new__(Fleet)
        self.fleet.join(site.store.database.engine.url.render_as_string(hide_password=False))

    def draft(self, name: str = "Spring", **changes: str) -> int:
        """A draft of operator1's."""
        plan = PLAN.format(name=name)
        for old, new in changes.items():
            plan = plan.replace(old, new)
        return self.site.office.create(OPERATOR, plan, self.release).id

    def running(self, name: str = "Spring") -> int:
        """One that reviewer1 approved, and operator1 started."""
        number = self.draft(name)
        self.site.office.approve(REVIEWER, number)
        self.site.office.act(OPERATOR, number, Act.START)
        return number

    def held(self, name: str = "Spring") -> int:
        """One of which hub model A is held: what was ordered of it has failed."""
        number = self.running(name)
        found = self.site.store.campaigns.find(number)
        self.fleet.tick(found, NOW)
        at = Instant(NOW + HOUR)
        self.fleet.answer(at)
        for device in sorted(self.fleet.ordered(found)):
            self.fleet.hear(found, device, Fact.REFUSED, at, Cause.ACCESS)
        self.site.clock.now = at
        self.fleet.tick(found, at)
        self.fleet.tick(found, at)
        assert any(it.held for it in self.site.office.campaign(OPERATOR, number).view.strata)
        return number
