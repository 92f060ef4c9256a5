"""The fleet: what runs where, who is exposed, who is stranded, which alerts come in storms."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from lamplighter.kit import DecodeError, FirmwareVersion, Instant, UsageError
from lamplighter.kit.instant import DAY
from lamplighter.registry import STRANDED, CplEntry, Procedure, Verdict
from lamplighter.registry.exposure import Exposure, Hazard, Range, Risk, cured, exposures, off_cpl
from lamplighter.service.web.history import History, Model, histories
from lamplighter.service.web.page import Operator, Reader, TheOffice, go, render
from lamplighter.store.fleet import Advisory, Census, Sample
from lamplighter.store.registry import Registered

router: Final = APIRouter()

PERIODS: Final = (7, 30, 90, 365)
"""Days that the versions over time are shown for."""
_STORMS: Final = 5


class Version(NamedTuple):
    """One version of a model, now."""

    version: FirmwareVersion
    devices: int
    release: str
    """What its release is called; empty: none has it."""
    colour: str
    """Its line in the drawing."""


class ModelRow(NamedTuple):
    """One model, now and over time."""

    model: Model
    devices: int
    versions: list[Version]
    history: History | None


class Cure(NamedTuple):
    """A security release that would take Devices out of a risk."""

    registered: Registered
    devices: int
    """That bear the risk and may have it, 1 or more."""


class Exposed(NamedTuple):
    """A line of the list of exposures."""

    exposure: Exposure
    advisory: Advisory | None
    """That it comes from, and that can be closed."""
    cures: Sequence[Cure]
    """Most Devices first."""


class Stranded(NamedTuple):
    """How a release fits the fleet."""

    registered: Registered
    verdicts: Counter[Verdict]

    @property
    def eligible(self) -> int:
        """May have it."""
        return self.verdicts[Verdict.ELIGIBLE]

    @property
    def there(self) -> int:
        """Have it."""
        return self.verdicts[Verdict.ALREADY_THERE]

    @property
    def stranded(self) -> list[tuple[Verdict, int]]:
        """Will never have it, by reason."""
        return [(it, self.verdicts[it]) for it in Verdict if it in STRANDED and self.verdicts[it]]


class Refused(NamedTuple):
    """An advisory that could not be declared: why, and what was typed."""

    why: str
    manufacturer: str
    model: str
    lowest: str
    highest: str
    reason: str


@router.get("/")
def show(request: Request, office: TheOffice, person: Reader, days: int = 30) -> Response:
    """All of it at one look."""
    return _page(request, office, person, days)


def _page(
    request: Request, office: TheOffice, person: Reader, days: int = 30, refused: Refused | None = None
) -> Response:
    now, store = office.clock(), office.store
    days = days if days in PERIODS else PERIODS[1]
    census = store.fleet.count(now)
    releases = office.releases(person)
    advisories = store.fleet.advisories()
    cpl = store.registry.cpl()
    risks = [
        *(Risk(Hazard.VULNERABLE, it.range, it.who, it.reason) for it in advisories),
        *_withdrawn(releases, cpl),
        *off_cpl(cpl),
    ]
    found = _exposed(
        office,
        exposures(_once(risks), {it.cohort: it.devices for it in census.cohorts}),
        advisories,
        releases,
        census,
    )
    since = Instant(now - days * DAY)
    samples = store.fleet.history(since)
    return render(
        request,
        "fleet.html",
        HTTPStatus.OK if refused is None else HTTPStatus.BAD_REQUEST,
        refused=refused,
        census=census,
        models=_models(
            census, _names(releases, cpl), histories([*samples, *_latest(samples, census)], since, now)
        ),
        exposed=found,
        exposed_devices=_exposed_devices(census, risks),
        stranded=_stranded(office, releases, now),
        no_request=sum(it.devices for it in census.cohorts if Procedure.of(it.cohort.type) is None),
        storms=store.storms.latest(_STORMS, active=True),
        raging=store.storms.raging(),
        regions=_regions(census),
        days=days,
        periods=PERIODS,
    )


@router.post("/fleet/advisories")
def advise(
    request: Request,
    office: TheOffice,
    person: Operator,
    manufacturer: Annotated[str, Form()],
    reason: Annotated[str, Form()],
    highest: Annotated[str, Form()],
    model: Annotated[str, Form()] = "",
    lowest: Annotated[str, Form()] = "",
) -> Response:
    """Declare versions vulnerable."""
    try:
        which = Range(
            hex16("manufacturer", manufacturer),
            hex16("model", model) if model.strip() else None,
            version("first version", lowest) if lowest.strip() else FirmwareVersion(0),
            version("last version", highest),
        )
        office.store.fleet.advise(which, reason, person.name, office.clock())
    except UsageError as error:
        refused = Refused(str(error), manufacturer, model, lowest, highest, reason)
        return _page(request, office, person, refused=refused)
    return go(request, "/", "Declared vulnerable: who runs these versions is counted as exposed from now on.")


@router.post("/fleet/advisories/{number}/close")
def close(request: Request, office: TheOffice, person: Operator, number: int) -> Response:
    """Let an advisory be of no concern any more."""
    office.store.fleet.close_advisory(number, person.name, office.clock())
    return go(request, "/", "The advisory is closed.")


def hex16(name: str, text: str) -> int:
    """A manufacturer or a model, as a person writes it."""
    digits = text.strip().lower().removeprefix("0x")
    if not 1 <= len(digits) <= 4 or set(digits) - set("0123456789abcdef"):
        raise UsageError(f"{name}: expected 1 to 4 hex digits, found {text[:40]!r}")
    return int(digits, 16)


def version(name: str, text: str) -> FirmwareVersion:
    """A version, as a person writes it."""
    try:
        return FirmwareVersion.parse(text.strip().lower().removeprefix("0x"))
    except DecodeError as cause:
        raise UsageError(f"{name}: expected {cause.expected}, found {cause.found}") from cause


def _withdrawn(releases: Sequence[Registered], cpl: Sequence[CplEntry]) -> list[Risk]:
    """Releases that are withdrawn: of the models that the CPL has them for; of any where it has none."""
    return [
        Risk(
            Hazard.RELEASE_WITHDRAWN,
            Range(
                it.release.manufacturer,
                model,
                it.release.version,
                it.release.version,
                (it.release.minimum_hardware, it.release.maximum_hardware),
            ),
            it.name,
            "",
        )
        for it in releases
        if it.release.withdrawn
        for model in (*sorted(_listed(it, cpl)),) or (None,)
    ]


def _once(risks: list[Risk]) -> list[Risk]:
    """What the CPL says of several hardware versions is one risk; the rest is as it is."""
    merged: dict[Any, Risk] = {}
    for it in risks:
        key = (
            it.hazard,
            it.name,
            it.reason,
            it.range.manufacturer,
            it.range.model,
            it.range.lowest,
            it.range.highest,
        )
        before = merged.get(key)
        if before is None:
            merged[key] = it
            continue
        low, high = before.range.hardware
        hardware = (min(low, it.range.hardware[0]), max(high, it.range.hardware[1]))
        wide = Range(it.range.manufacturer, it.range.model, it.range.lowest, it.range.highest, hardware)
        merged[key] = Risk(it.hazard, wide, it.name, it.reason)
    return list(merged.values())


def _exposed(
    office: TheOffice,
    found: list[Exposure],
    advisories: list[Advisory],
    releases: Sequence[Registered],
    census: Census,
) -> list[Exposed]:
    """Each with the advisory that it comes from, and the security releases that would cure it."""
    open_ = {(it.range, it.reason, it.who): it for it in advisories}
    judged = [
        (
            it,
            [
                (counted.cohort, verdict, counted.devices)
                for counted, verdict in office.store.fleet.judged(it.release, census)
            ],
        )
        for it in releases
        if it.security is not None and not it.release.withdrawn and found
    ]
    lines = []
    for it in found:
        risk = it.risk
        own = open_.get((risk.range, risk.reason, risk.name)) if risk.hazard is Hazard.VULNERABLE else None
        cures = [Cure(release, cured(risk, release.release, cohorts)) for release, cohorts in judged]
        lines.append(Exposed(it, own, sorted((c for c in cures if c.devices), key=lambda c: -c.devices)))
    return lines


def _exposed_devices(census: Census, risks: list[Risk]) -> int:
    """Devices that bear any risk: none is counted twice."""
    return sum(it.devices for it in census.cohorts if any(risk.range.has(it.cohort) for risk in risks))


def _listed(it: Registered, cpl: Sequence[CplEntry]) -> set[int]:
    """The models that the CPL has this very image for."""
    release = it.release
    return {
        entry.model
        for entry in cpl
        if (entry.manufacturer, entry.version, entry.hash)
        == (release.manufacturer, release.version, release.hash)
    }


def _names(
    releases: Sequence[Registered], cpl: Sequence[CplEntry]
) -> Mapping[tuple[int, int, FirmwareVersion], str]:
    """What the release is called that a model runs: by the CPL's hash, for versions may be the same."""
    return {
        (it.release.manufacturer, model, it.release.version): it.name
        for it in releases
        for model in _listed(it, cpl)
    }


def _models(
    census: Census,
    names: Mapping[tuple[int, int, FirmwareVersion], str],
    past: Mapping[Model, History],
) -> list[ModelRow]:
    counts: dict[Model, Counter[FirmwareVersion]] = defaultdict(Counter)
    for it in census.cohorts:
        cohort = it.cohort
        counts[Model(cohort.type, cohort.manufacturer, cohort.model)][cohort.firmware] += it.devices
    rows = []
    for model, versions in counts.items():
        history = past.get(model)
        rows.append(
            ModelRow(
                model,
                versions.total(),
                [
                    Version(
                        number,
                        versions[number],
                        names.get((model.manufacturer, model.model, number), ""),
                        history.colour(number) if history else "",
                    )
                    for number in sorted(versions, reverse=True)
                ],
                history,
            )
        )
    return sorted(rows, key=lambda it: -it.devices)


def _latest(samples: Sequence[Sample], census: Census) -> list[Sample]:
    """The history up to now: what runs at this moment, and none of what ran and does not any more."""
    counts: Counter[tuple[Model, FirmwareVersion]] = Counter()
    for it in census.cohorts:
        cohort = it.cohort
        counts[Model(cohort.type, cohort.manufacturer, cohort.model), cohort.firmware] += it.devices
    known = {(Model(it.type, it.manufacturer, it.model), it.firmware) for it in samples}
    models = {model for model, _ in known}
    return [
        Sample(census.at, *model, number, counts[model, number])
        for model, number in sorted(
            known | counts.keys(), key=lambda it: (it[0].type.value, it[0][1:], it[1])
        )
        if model in models  # one that was never counted before has no history yet
    ]


def _stranded(office: TheOffice, releases: Sequence[Registered], now: Instant) -> list[Stranded]:
    """Per release that can be had: who may, who has it, who never will."""
    return [
        Stranded(it, Counter(office.store.fleet.verdicts(it.release, now)))
        for it in reversed(releases)
        if not it.release.withdrawn
    ]


def _regions(census: Census) -> list[tuple[str, Counter[str]]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for it in census.cohorts:
        counts[it.cohort.region][it.cohort.type.value] += it.devices
    return sorted(counts.items(), key=lambda it: -it[1].total())
