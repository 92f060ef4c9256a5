"""The reader of a business case: strict, total, and clear about what is wrong where."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import UsageError
from lamplighter.planning import business
from lamplighter.planning.business.case import ASSUMPTION, DEVICE, INPUTS, PARTY, _Parser, outcome, parse

TEXT = business.example()
CASE = parse(TEXT)


def table(key, body, text=TEXT):
    """The example with another body for one assumption."""
    found = re.compile(rf"(?ms)^\[{re.escape(key)}\]\n.*?(?=^\[|^# ---|\Z)")
    assert found.search(text), key
    return found.sub(lambda _: f"[{key}]\n{body}\n", text, count=1)


def visit(law, unit="GBP a visit", rest='source = "assumption"'):
    """The example with another assumption about a visit."""
    return table("replace.visit", f'{law}\nunit = "{unit}"\n{rest}')


def refusal(text, campaigns=None):
    """What the reader says against it."""
    with pytest.raises(UsageError) as found:
        parse(text, campaigns)
    return str(found.value)


def test_the_example_has_every_input_with_unit_source_and_date():
    """The example shows each input once; a source that is no assumption bears a date or says it has none."""
    expected = [f"{section}.{key}" for section, inputs in INPUTS.items() for key in inputs]
    expected += [f"device.{it.name}.{key}" for it in CASE.devices for key in DEVICE]
    expected += [f"party.{name}.{key}" for name in CASE.parties for key in PARTY]
    assert expected == list(CASE.assumptions)
    for it in CASE.assumptions.values():
        assert it.unit
        assert bool(it.dated) == (it.source != ASSUMPTION), it.key


def test_every_key_that_is_left_out_is_named():
    """Nothing has a default: each assumption that is missing is an error that names it."""
    for section, inputs in INPUTS.items():
        for key in inputs:
            text = re.sub(rf"(?ms)^\[{section}\.{key}\]\n.*?(?=^\[|^# ---|\Z)", "", TEXT, count=1)
            named = f"{section}.{key}" if len(inputs) > 1 else section
            assert f"case: {named} is missing" == refusal(text)


@pytest.mark.parametrize(
    ("law", "said"),
    [
        ("value = nan", "replace.visit.value = NaN: allowed is a finite number"),
        ("value = inf", "replace.visit.value = Infinity: allowed is a finite number"),
        (f"value = {'9' * 400}", "replace.visit.value = "),
        ("value = -1", "replace.visit.value = -1: allowed is a number from 0 to 1000 bn"),
        ("value = true", "replace.visit.value = true: allowed is a number"),
        ('value = "75"', 'replace.visit.value = "75": allowed is a number'),
        ("uniform = [10]", "replace.visit.uniform = [10]: allowed is 2 numbers: least, greatest"),
        ("uniform = [10, 10]", "replace.visit.uniform = [10, 10]: allowed is the least first"),
        ("uniform = [20, 10]", "replace.visit.uniform = [20, 10]: allowed is the least first"),
        ("uniform = [-5, 10]", "replace.visit.uniform = [-5, 10]: allowed is numbers from 0"),
        ("uniform = [1, nan]", "replace.visit.uniform = NaN: allowed is a finite number"),
        ("uniform = 3", "replace.visit.uniform = 3: allowed is a list of numbers"),
        ("triangular = [1, 5, 3]", "replace.visit.triangular = [1, 5, 3]: allowed is the least first"),
        ("pert = [1, 2]", "replace.visit.pert = [1, 2]: allowed is 3 numbers: least, most likely, greatest"),
        ("pert = [3, 1, 5]", "replace.visit.pert = [3, 1, 5]: allowed is the least first"),
        ("lognormal = [0, 5]", "replace.visit.lognormal = [0, 5]: allowed is the 10th and the 90th"),
        ("lognormal = [5, 5]", "replace.visit.lognormal = [5, 5]: allowed is the 10th and the 90th"),
        ("beta = [1, 1]", "replace.visit.beta = [1, 1]: allowed is no beta distribution"),
        ("choice = [1, 2]", "replace.visit.choice = [1, 2]: allowed is a table"),
        (
            "choice = {values = [1, 2], weights = [1]}",
            "replace.visit.choice.weights = [1]: allowed is 2 numbers",
        ),
        ("choice = {values = [1, 1], weights = [1, 1]}", "allowed is each value once"),
        ("choice = {values = [1, 2], weights = [1, -1]}", "allowed is weights of more than 0"),
        ("choice = {values = [1], weights = [1]}", "allowed is 2 to 1000 values"),
        ("normal = [1, 2]", "replace.visit.normal: no such key; did you mean lognormal?"),
        ("value = 1\nuniform = [1, 2]", "replace.visit: one of value, uniform"),
        ("", "replace.visit: one of value, uniform"),
        ('campaign = "x.json"', "allowed is a campaign for over_the_air.success and hub.success only"),
        ('value = 1\nper = "event"', 'replace.visit.per = "event": allowed is "case"'),
        ("value = 1\nnote = 3", "replace.visit.note = 3: allowed is text"),
    ],
)
def test_a_law_that_makes_none_is_refused_by_key_value_and_what_is_allowed(law, said):
    """NaN, infinity, negative money, wrong parameters and wrong types are refused in the key's own name."""
    if law.startswith("campaign"):
        assert said in refusal(table("replace.visit", f'{law}\nunit = "GBP a visit"'))
    else:
        assert said in refusal(visit(law))


@pytest.mark.parametrize("value", ["1.01", "-0.01", "80"])
def test_a_probability_beyond_one_is_refused(value):
    """A percentage is not mistaken for a share."""
    text = table("over_the_air.curable", f'value = {value}\nunit = "share of events"\nsource = "assumption"')
    assert "over_the_air.curable.value = " in refusal(text)
    assert "allowed is a number from 0 to 1" in refusal(text)


def test_a_unit_must_be_the_models_own():
    """A unit in other words is refused: it would be taken for another quantity."""
    said = 'case: replace.visit.unit = "GBP": allowed is "GBP a visit"'
    assert said == refusal(visit("value = 1", unit="GBP"))


def test_who_says_so_must_be_said_and_when():
    """No source, no date, or a date for a mere assumption: each is refused."""
    assert "replace.visit.source is missing" in refusal(visit("value = 1", rest=""))
    assert "replace.visit.date is missing" in refusal(visit("value = 1", rest='source = "Ofgem"'))
    dated = 'source = "assumption"\ndate = 2021-01-15'
    assert 'nothing, where the source is "assumption"' in refusal(visit("value = 1", rest=dated))
    assert "2021-13" in refusal(visit("value = 1", rest='source = "Ofgem"\ndate = "2021-13"'))
    for date in ("2021-01-15", '"2021-01"', '"2021"', '"undated"'):
        read = parse(visit("value = 1", rest=f'source = "Ofgem"\ndate = {date}'))
        assert date.strip('"') == read.assumptions["replace.visit"].dated


@pytest.mark.parametrize("years", ["0", "-1", "83333334", "1000000000", "10.0", "true", "nan"])
def test_a_horizon_of_a_thousand_million_months_is_refused(years):
    """The horizon is whole years that a Device may live."""
    text = TEXT.replace("years = 15", f"years = {years}")
    assert "case: years = " in refusal(text)
    assert "a whole number from 1 to 60" in refusal(text)


def test_more_events_than_memory_are_refused():
    """A frequency that means daily work, not must-fix events, does not fill the machine's memory."""
    text = table("events.frequency", 'value = 52\nunit = "events a year"\nsource = "assumption"')
    assert "allowed are 1000 events on average" in refusal(text.replace("years = 15", "years = 60"))


def test_what_is_there_twice_is_refused():
    """Duplicate tables, kinds, parties, scenarios, and a key under both set and times."""
    assert "not TOML" in refusal(TEXT + "\n[replace.visit]\nvalue = 1\n")
    assert 'device[2].name = "PPMID": allowed is a name that is not there already' in refusal(
        TEXT.replace('name = "HCALCS"', 'name = "PPMID"')
    )
    assert "party[2].name" in refusal(TEXT.replace('name = "Small Suppliers"', 'name = "Large Suppliers"'))
    twice = '\n[[scenario]]\nname = "x"\nobjection = "y"\nsource = "z"\n'
    both = 'set = {"replace.visit" = 1}\ntimes = {"replace.visit" = 2}\n'
    assert "each key once" in refusal(TEXT + twice + both)


def test_what_is_not_known_is_refused_with_what_was_meant():
    """A key that the model does not read would be an assumption that does nothing."""
    assert "no such key; did you mean years?" in refusal("year = 3\n" + TEXT)
    assert "replace.visits: no such key; did you mean visit?" in refusal(
        TEXT.replace("[replace.visit]", "[replace.visits]")
    )
    wrong = '\n[[scenario]]\nname = "x"\nobjection = "y"\nsource = "z"\nset = {"replace.visits" = 1}\n'
    assert "did you mean replace.visit?" in refusal(TEXT + wrong)


def test_shares_must_make_a_whole():
    """Fixed shares of kinds, costs and savings add up to 1."""
    text = TEXT.replace(
        'value = 0.90\nunit = "share of the fleet"', 'value = 0.80\nunit = "share of the fleet"'
    )
    assert "= 0.9: allowed is 1 together" in refusal(text)
    text = TEXT.replace('value = 0.87\nunit = "share of costs"', 'value = 0.97\nunit = "share of costs"')
    assert "party.Large Suppliers.costs + party.Small Suppliers.costs" in refusal(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", "neither set nor times"),
        ('set = {"hub.curable" = 2}', "a number from 0 to 1"),
        ('times = {"hub.curable" = -1}', "a factor from 0 to 1000"),
        ('times = {"hub.curable" = inf}', "a finite number"),
        ('set = {"party.Small Suppliers.costs" = 1}', "the key of an assumption of the model"),
        ("set = 3", "a table, under"),
        ('set = {"device.PPMID.share" = 0.9, "device.IHD.share" = 0.2}', "allowed is at most 1 together"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(change, said):
    """A scenario changes an input of the model, within the input's range."""
    scenario = f'\n[[scenario]]\nname = "x"\nobjection = "y"\nsource = "z"\n{change}\n'
    assert said in refusal(TEXT + scenario)


@pytest.mark.parametrize("change", ['set = {"events.frequency" = 52}', 'times = {"events.frequency" = 999}'])
def test_threat_a_scenario_of_events_without_end(change):
    """All events of a block are held at once: a scenario has no more of them than a case may have."""
    scenario = f'\n[[scenario]]\nname = "x"\nobjection = "y"\nsource = "z"\n{change}\n'
    long = TEXT.replace("years = 15", "years = 60")
    assert "over 60 years: allowed are 1000 events on average" in refusal(long + scenario)


SUCCESS = 'campaign = "past.json"\nunit = "share of Devices that can be updated"\nper = "event"'


def test_success_is_taken_from_a_past_campaign():
    """A campaign of 98,000 of 100,000 says so as a beta distribution, with the file as its source."""
    asked = []

    def read(name):
        asked.append(name)
        return json.dumps({"proven": 98_000, "failed": 2_000, "at": "2029-05-01T00:00:00Z"})

    it = parse(table("over_the_air.success", SUCCESS), read).assumptions["over_the_air.success"]
    assert ["past.json"] == asked
    assert ("beta", (98_000.5, 2_000.5)) == (it.law.kind, it.law.parameters)
    assert "campaign past.json: 98,000 of 100,000 Devices proven" == it.source
    assert "2029-05-01" == it.dated


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"proven": 97, "settled": 100}, (97, 100, "")),
        ({"outcome": {"proven": 97, "failed": 3}, "start": "2030-02-01T08:00:00Z"}, (97, 100, "2030-02-01")),
        ({"total": {"proven": 97, "settled": 100, "failed": 1}, "as_of": "2030-02-01T08:00:00Z"},
         (97, 100, "2030-02-01")),
        ({"states": {"proven": 95, "failed": 3, "lost": 2, "queued": 7}, "ended": None}, (95, 100, "")),
        ({"states": {"proven": 95}, "ended": "soon"}, (95, 95, "")),
    ],
)  # fmt: skip
def test_outcomes_are_read_as_the_commands_print_them(document, expected):
    """A rehearsal, the metrics of a campaign, a campaign itself; the silent count as failures."""
    assert expected == outcome(json.dumps(document), "past.json")


def test_the_metrics_still_have_what_is_read():
    """The names that a case reads are those that `report metrics --json` prints."""
    from lamplighter.campaign.state import State
    from lamplighter.planning import metrics

    assert {"proven", "settled", "failed"} <= set(metrics._NUMBERS)
    assert {"proven", "failed", "lost"} <= {it.value for it in State}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "[" * 100_000, '{"proven": 3}', '{"proven": 3, "settled": 2}',
     '{"proven": true, "settled": 2}', '{"proven": -1, "settled": 2}',
     '{"proven": 0, "settled": 0}', '{"proven": NaN, "settled": 1e400}',
     '{"outcome": []}', '{"settled": 99999999999999999999, "proven": 1}'],
)  # fmt: skip
def test_a_campaign_that_tells_nothing_is_refused(text):
    """Whatever a campaign's file holds, the answer is counts or an error in the file's name."""
    with pytest.raises(UsageError, match=r"^past\.json: "):
        outcome(text, "past.json")


def test_a_campaign_where_no_file_can_be_read_is_refused():
    """A case that did not come from a place cannot name files."""
    assert "no file of a campaign here" in refusal(table("over_the_air.success", SUCCESS))


@pytest.mark.parametrize(
    ("reach", "severity", "said"),
    [
        ("value = 0.5", "value = 3", "3 on average, times events.reach of up to 0.5"),
        ("uniform = [0.1, 0.6]", "pert = [1, 2, 3]", "2 on average, times events.reach of up to 0.6"),
        ("choice = { values = [0.9, 0.1], weights = [1, 9] }", "value = 1.5", "of up to 0.9"),
        ("beta = [1, 9]", "value = 1.1", "of up to 1: allowed is 1 together"),
        ("value = 0.5", "value = 2", None),
        ("lognormal = [0.0003, 0.06]", "value = 50", None),
    ],
)
def test_events_severer_than_there_are_devices_are_refused(reach, severity, said):
    """A reach that has an end stays within the fleet at the mean severity, as the closed form says."""
    rest = 'source = "assumption"'
    text = table("events.reach", f'{reach}\nunit = "share of Devices of the kind"\n{rest}')
    text = table("events.severity", f'{severity}\nunit = "times the reach"\n{rest}', text)
    if said is None:
        assert parse(text).assumptions["events.severity"].law.mean > 1
    else:
        assert said in refusal(text)


def test_the_objection_at_the_top_of_its_range_is_at_the_top():
    """A scenario of the example that claims an end of a range is at it."""
    scenarios = {it.name: it.changes for it in CASE.scenarios}
    for key, verb, number in scenarios["Cost at the top of its range"]:
        assert ("set", CASE.assumptions[key].law.greatest) == (verb, number), key
    assert ("over_the_air.growth", "set", 3.0) in scenarios["Cost grew threefold"]
    least = {key: number for key, _, number in scenarios["Displays replaced by post alone"]}
    assert CASE.assumptions["device.PPMID.price"].law.parameters[0] == least["device.PPMID.price"]


def test_the_objections_together_are_each_of_them():
    """The scenario of all points at once changes what each does, and at least as much."""
    scenarios = {it.name: {key: change for key, *change in it.changes} for it in CASE.scenarios}
    *each, together = list(scenarios)[:6]
    assert "The five above, all at once" == together
    expected = {key: change for name in each for key, change in scenarios[name].items()}
    assert expected == scenarios[together]


@given(st.text(max_size=200))
def test_any_text_is_a_case_or_an_error(text):
    """The reader is total."""
    with pytest.raises(UsageError, match=r"^case: "):
        parse(text)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_anywhere_is_read_or_refused(data):
    """Whatever stands in place of any value of the example, the answer is a case or a `UsageError`."""
    document = tomllib.loads(TEXT)
    place = document
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(_ANY)
            break
        place = inner
    try:
        _Parser(document, lambda _: "{}").case()
    except UsageError as refused:
        assert "\n" not in str(refused)


def test_a_case_of_a_million_characters_is_not_parsed():
    """A file that nobody wrote by hand is refused before the parser sees it."""
    assert "allowed are 1000000" in refusal("#" * 1_000_001)
    assert "not TOML" in refusal("x = " + "[" * 10_000)
