"""How values are written for people: moments, spans of time, numbers, and the tone of a state.

Moments are shown in UTC, as every log and message has them; the time in London stands beside them on hover,
for windows are kept in it.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from lamplighter.campaign.state import Stage, State
from lamplighter.campaign.status import CampaignStatus
from lamplighter.kit import instant
from lamplighter.kit.instant import to_datetime, to_iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.kit import Instant

LONDON: Final = ZoneInfo("Europe/London")
_DIGEST_SHOWN: Final = 12  # characters; the whole stands on hover, and in the export
_NAMES: Final = {"srv": "SRV", "devices": "Devices:", "first_counter": "counters from", "sha256": "SHA-256"}
NONE: Final = "–"  # noqa: RUF001 # an en dash: there is nothing to say


class Tone(Enum):
    """How a word is coloured: always beside the word, never in its place."""

    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    QUIET = "quiet"


_TONES: Final[Mapping[str, Tone]] = {
    State.PROVEN.value: Tone.GOOD,
    **dict.fromkeys(
        (
            it.value
            for it in (
                State.SUBMITTED, State.ACCEPTED, State.AT_HUB, State.ON_DEVICE, State.IMAGE_VERIFIED,
                State.ACTIVATION_SENT, State.ACTIVATION_SCHEDULED, State.ACTIVATED, State.CALLING_OFF,
                State.CALLED_OFF, State.CHECKING,
            )
        ),
        Tone.BUSY,
    ),
    **dict.fromkeys(
        (
            it.value
            for it in (
                State.REFUSED, State.HUB_FAILED, State.TRANSFER_FAILED, State.IMAGE_REJECTED,
                State.ACTIVATION_FAILED, State.SILENT, State.UNCHANGED, State.LOST,
            )
        ),
        Tone.WARN,
    ),
    State.FAILED.value: Tone.BAD,
    CampaignStatus.RUNNING.value: Tone.BUSY,
    CampaignStatus.PAUSED.value: Tone.WARN,
    CampaignStatus.ABORTING.value: Tone.BAD,
    CampaignStatus.ABORTED.value: Tone.BAD,
    CampaignStatus.FINISHED.value: Tone.GOOD,
}  # fmt: skip


def tone(word: str | Enum) -> str:
    """The tone of a state: of a Device's update, or of a campaign."""
    text = word.state.value if isinstance(word, Stage) else word.value if isinstance(word, Enum) else word
    return _TONES.get(text, Tone.QUIET).value


def number(value: float | None) -> str:
    """A whole number with its thousands apart."""
    return NONE if value is None else f"{value:,.0f}"


def percent(part: float, whole: float, digits: int = 1) -> str:
    """A share; nothing of something is `0 %`, and what is not quite all is never `100 %`."""
    if not whole:
        return NONE
    share = 100 * part / whole
    said = f"{share:.{digits}f}"
    if part not in {0, whole} and said in {f"{0:.{digits}f}", f"{100:.{digits}f}"}:
        least = 10**-digits
        return f"< {least:g} %" if share < least else f"> {100 - least:.{digits}f} %"
    return f"{said} %"


def utc(at: Instant | None, *, seconds: bool = True) -> str:
    """`2030-01-15 09:00:00`."""
    if at is None:
        return NONE
    return to_iso(at)[: 19 if seconds else 16].replace("T", " ")


def moment(at: Instant | None, *, seconds: bool = True) -> str:
    """A moment in UTC, with London's time on hover."""
    if at is None:
        return NONE
    there = to_datetime(at).astimezone(LONDON)
    title = f"{utc(at)} UTC, {there:%Y-%m-%d %H:%M:%S %Z} in London"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        to_iso(at), title, utc(at, seconds=seconds)
    )


def span(microseconds: int | None) -> str:
    """A span of time as `kit.instant.span` has it."""
    return NONE if microseconds is None else instant.span(microseconds)


def ago(at: Instant | None, now: Instant) -> str:
    """How long ago a moment was, or how soon it is, with the moment itself on hover."""
    if at is None:
        return NONE
    text = f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(to_iso(at), utc(at), text)


def hex4(value: int) -> str:
    """Four hex digits: a manufacturer, a model, a hardware version; below 0: not known."""
    return "?" if value < 0 else f"{value:04X}"


def query(path: str, values: Mapping[str, object]) -> str:
    """An address with what is asked for; what is empty is left out."""
    said = urlencode({name: str(value) for name, value in values.items() if value not in (None, "")})
    return f"{path}?{said}" if said else path


def pairs(value: object) -> str:
    """Text with what may break in it after hyphens and underscores."""
    return Markup(str(escape(value)).replace("_", "_<wbr>"))  # noqa: S704 # escaped above


def told(detail: str) -> str:
    """What an entry of the audit says, for people: of JSON the values with their names, digests cut short."""
    if not detail.startswith("{"):
        return detail
    try:
        values = json.loads(detail)
    except ValueError:
        return detail
    cut = {name: f"{it[:_DIGEST_SHOWN]}…" if name == "sha256" else it for name, it in values.items()}
    return ", ".join(f"{_NAMES.get(name, name.replace('_', ' '))} {it}" for name, it in cut.items())


FILTERS: Final = {
    "ago": ago,
    "hex4": hex4,
    "moment": moment,
    "number": number,
    "pairs": pairs,
    "percent": percent,
    "span": span,
    "told": told,
    "tone": tone,
    "utc": utc,
}
