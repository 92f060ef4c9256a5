"""Flow mode: the same network for millions of homes, as arithmetic on arrays. `world` is its exact model.

- `fleet`: the Devices as arrays; `stages`: where each of them stands, and how an update ends.
- `flow`: the network as tables, out of exact mode's own settings; `transfer`: block transfers in quantiles.
- `course`: order, activate, advance: what a campaign's policy does with it; `mischief`: scheduled faults.
- `chance`: draws that hang on seed, Device and attempt, and on no order; `ticks`: time in 32 bits;
  `weights`: octets of each message.

    regions = {region.value: link for region, link in LINKS.items()}
    fleet = Fleet.draw("rehearsal", 1_000_000, Mix(...))
    course = Flow(Settings(regions), faults, seed="rehearsal").over(fleet, start)
    course.order(first_wave, start)
    reports = course.advance(start + HOUR)

What happens to a Device depends on the seed, its number, the Devices behind its hub, and when they are
ordered: not on how work is cut into pieces, nor on how many workers share it. Flow mode is held to exact mode
by a test, stage by stage and fault by fault. It takes less than 64 octets a Device, hub included.
"""

from lamplighter.lab.flow.course import Course, Reports
from lamplighter.lab.flow.fleet import Fleet, Kind, Mix, Trait
from lamplighter.lab.flow.flow import Flow, Load, Results, Settings
from lamplighter.lab.flow.stages import ENDED, FAILS_AT, Outcome, Stage
from lamplighter.lab.flow.ticks import NEVER, TICK

__all__ = [
    "ENDED",
    "FAILS_AT",
    "NEVER",
    "TICK",
    "Course",
    "Fleet",
    "Flow",
    "Kind",
    "Load",
    "Mix",
    "Outcome",
    "Reports",
    "Results",
    "Settings",
    "Stage",
    "Trait",
]
