"""The form of a plan: what it fills in is TOML that says the same; nothing typed breaks out."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.campaign import Cause
from lamplighter.campaign import plan as plans
from lamplighter.campaign.board import Board, Category
from lamplighter.campaign.gates import Gate
from lamplighter.campaign.next import Retries
from lamplighter.campaign.plan import Caps, Deadlines, Plan, Target, Wave
from lamplighter.campaign.rates import PER_HOUR_MAX, Growth, Rate
from lamplighter.campaign.windows import Day, Kind, Window
from lamplighter.kit import FirmwareVersion, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.protocol.duis import DeviceType
from lamplighter.service.web import plan_form

words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20).filter(
    lambda it: it.isprintable()
)
listed = words.filter(lambda it: "," not in it)
durations = st.integers(1, 10_000).map(lambda it: it * MINUTE)
shares = st.lists(st.integers(1, 999), max_size=4, unique=True).map(lambda it: [n / 1000 for n in sorted(it)])
rates_ = st.one_of(
    st.integers(1, PER_HOUR_MAX).map(lambda it: Rate(per_hour=it)),
    st.builds(
        lambda low, more, step: Rate(Growth.STEPPED, low, step=step, every=2 * HOUR, cap=low + more),
        st.integers(1, 1000),
        st.integers(0, 1000),
        st.integers(1, 50),
    ),
    st.builds(
        lambda low, factor: Rate(Growth.EXPONENTIAL, low, factor=factor, every=DAY),
        st.integers(1, 1000),
        st.floats(1.001, 50),
    ),
)
windows = st.lists(
    st.builds(
        Window,
        st.integers(0, 700),
        st.integers(701, 1440),
        st.frozensets(st.sampled_from(Day), min_size=1),
        st.frozensets(st.sampled_from(Kind), min_size=1),
    ),
    max_size=3,
    unique=True,
).map(tuple)


@st.composite
def plan_of(draw):
    """Plans of all kinds."""
    cuts = [*draw(shares), 1.0]
    return Plan(
        draw(words),
        tuple(
            Wave(f"w{number}", cut, draw(st.integers(0, 10**6)), draw(durations), draw(st.booleans()))
            for number, cut in enumerate(cuts)
        ),
        target=Target(
            types=draw(st.frozensets(st.sampled_from([DeviceType.PPMID, DeviceType.HCALCS]))),
            manufacturers=draw(st.frozensets(st.integers(0, 0xFFFF), max_size=3)),
            firmware=draw(st.frozensets(st.integers(0, 2**32 - 1).map(FirmwareVersion), max_size=3)),
            regions=draw(st.frozensets(st.sampled_from(["North", "Central"]))),
            hub_models=draw(st.frozensets(listed, max_size=3)),
            tags=draw(st.frozensets(listed, max_size=3)),
        ),
        stratify=draw(st.sampled_from([(), ("hardware",), ("tag", "hub_model")])),
        gate=draw(
            st.builds(
                lambda good, more: Gate(
                    acceptable_failure_rate=good,
                    max_failure_rate=good + more,
                    acceptable_silence_rate=good / 2,
                    max_silence_rate=good / 2 + more,
                ),
                st.floats(1e-6, 0.4),
                st.floats(1e-3, 0.5),
            )
        ),
        deadlines=Deadlines(HOUR, 2 * HOUR, draw(durations) + 2 * HOUR),
        retries=Retries(
            draw(st.integers(1, 15)), 4, HOUR, draw(st.floats(1, 9)), DAY, {Cause.TRANSFER: False}
        ),
        windows=draw(windows),
        blackout=draw(st.frozensets(st.dates(date(2024, 1, 1), date(2030, 1, 1)), max_size=3)),
        jitter=draw(st.integers(0, 60)) * MINUTE,
        rate=draw(rates_),
        caps=Caps(draw(st.none() | st.integers(1, 10**6)), None, draw(st.none() | st.integers(1, 9))),
        approvals=draw(st.integers(0, 10)),
        allow_downgrade=draw(st.booleans()),
        batch_max=draw(st.integers(1, 50_000)),
        lasts=60 * DAY,
    )


@given(plan_of())
def test_a_plan_goes_through_the_form_unchanged(plan):
    """plan -> fields -> TOML -> plan is the same plan: what an approval binds to."""
    if not plan.stratify:  # an empty list says that all is one stratum; a form without a tick says nothing
        plan = replace(plan, stratify=("region",))
    found = plans.parse(plan_form.to_toml(plan_form.fields_of(plan)))
    assert plan == found
    assert plan.digest == found.digest


@given(plan_of())
def test_what_approvers_read_is_the_plan(plan):
    """The TOML that is shown has the very digest that is bound; but for an empty list of strata."""
    plan = replace(plan, stratify=plan.stratify or ("region",))
    assert plan.digest == plans.parse(plan_form.document_of(plan)).digest


texts = st.text(max_size=30)


@given(st.dictionaries(st.sampled_from([
    "name", "approvals", "lasts", "blackout", "target.types", "target.tags", "wave.1.name", "wave.1.share",
    "wave.x.name", "wave.2.share", "window.1.from", "rate.kind", "gate.miss_rate", "caps.in_flight", "toml",
]), st.lists(texts, max_size=3)), texts)  # fmt: skip
def test_any_form_gives_toml_or_a_refusal(fields, base):
    """Whatever a browser sends: a text that TOML's own reader takes, and nothing but what was typed."""
    try:
        text = plan_form.to_toml(fields, base)
    except UsageError:
        return
    document = tomllib.loads(text)
    name = (fields.get("name") or [""])[0].strip()
    assert (name or None) == document.get("name")


def test_toml_injection():
    """A name with quotes, line feeds and keys of its own stays a name."""
    name = 'x"\napprovals = 0\n[rate]\nper_hour = 1\n#'
    document = tomllib.loads(plan_form.to_toml({"name": [name], "approvals": ["2"]}))
    assert {"name": name, "approvals": 2, "allow_downgrade": False} == document


def test_what_the_form_has_no_field_for_stays():
    """A board that was written in TOML survives the form that is laid over it."""
    board = Board((Category("Large Suppliers", ("member1", "member2")),), quorum=1)
    plan = Plan("with a board", (Wave("all", 1.0),), board=board)
    text = plan_form.to_toml(plan_form.fields_of(plan), plan_form.document_of(plan))
    assert board == plans.parse(text).board


def test_empty_rows_are_no_waves():
    """Blank rows are offered, and mean nothing; a ticked box alone neither."""
    fields = {
        "name": ["x"],
        "wave.1.name": ["all"],
        "wave.1.share": ["1"],
        "wave.2.gate": ["on"],
        "wave.3.name": [" "],
    }
    assert [{"name": "all", "share": 1, "gate": False}] == tomllib.loads(plan_form.to_toml(fields))["wave"]
    assert [1, 2, 3, 4] == plan_form.rows("wave", {"wave.1.name": ["a"], "wave.2.name": ["b"]})


def test_more_rows_than_a_form_has_are_refused():
    """A number is no way to make us count to a billion."""
    for number in ("41", "999999999999"):
        with pytest.raises(UsageError, match="up to 40 rows"):
            plan_form.to_toml({f"wave.{number}.name": ["x"]})
