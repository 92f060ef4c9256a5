"""Plans: what is accepted, what is refused and in which words, and that the canonical form is one."""

import json
import tomllib
from contextlib import suppress
from dataclasses import fields
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamplighter.campaign import Cause
from lamplighter.campaign import plan as plans
from lamplighter.campaign.gates import Gate
from lamplighter.campaign.plan import EXAMPLE, Caps, Deadlines, Target, Wave, decode, encode, parse
from lamplighter.campaign.rates import Growth, Rate
from lamplighter.campaign.windows import Day, Kind, Window
from lamplighter.kit import FirmwareVersion, UsageError
from lamplighter.kit.instant import DAY, HOUR, MINUTE
from lamplighter.protocol.duis import DeviceStatus, DeviceType
from lamplighter.registry import Cohort

LEAST = 'name = "least"\n'
WAVE = '[[wave]]\nname = "all"\nshare = 1\n'

COHORT = Cohort(
    type=DeviceType.PPMID,
    manufacturer=0x121D,
    model=0x0001,
    hardware=0x1111,
    firmware=FirmwareVersion(0xACDCACDB),
    status=DeviceStatus.COMMISSIONED,
    gbcs_version="4.2",
    tag="friends",
    region="North",
    hub_model="CH-A",
    hub_firmware="01020304",
)


def plan(top="", tables=""):
    return parse(f"{LEAST}{top}\n{WAVE}{tables}")


def refusal(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    return str(caught.value)


def test_the_example_parses():
    """What `campaign create --example` prints is a plan."""
    example = parse(EXAMPLE)
    assert ["canary", "tenth", "everyone"] == [wave.name for wave in example.waves]
    assert [0.01, 0.1, 1.0] == [wave.share for wave in example.waves]
    assert frozenset({DeviceType.PPMID}) == example.target.types
    assert Rate(Growth.EXPONENTIAL, 1000, 0, 2.0, DAY, 20_000) == example.rate
    assert Window(480, 1200, frozenset(list(Day)[:5]), frozenset({Kind.UPDATE})) == example.windows[0]


def test_the_example_shows_every_key():
    """Nobody has to look for a key elsewhere."""
    missing = [
        f"{home} {key}"
        for home, keys in plans._KEYS.items()
        for key in keys
        if f"\n{key} =" not in EXAMPLE and f"# {key} =" not in EXAMPLE and f"[{key}]" not in EXAMPLE
    ]
    assert [] == [key for key in missing if key != "[rate] step"]


def test_what_came_later_and_is_as_usual_leaves_approvals_as_they_are():
    """A plan that was approved before there was this key has the digest that it had."""
    assert "call_off_ahead" not in encode(plan())
    assert HOUR == decode(encode(plan())).call_off_ahead


def test_the_example_shows_the_usual_values():
    """The text says that what is left out has the value that is shown."""
    example, usual = parse(EXAMPLE), plan()
    shown = {"stratify", "gate", "deadlines", "retries", "approvals", "allow_downgrade", "batch_max", "lasts"}
    shown |= {"sweep_every", "activate_at", "call_off_ahead"}
    assert {key: getattr(usual, key) for key in shown} == {key: getattr(example, key) for key in shown}


def test_a_name_and_a_wave_are_enough():
    """All else has a usual value."""
    assert (Wave("all", 1.0),) == plan().waves
    assert (Target(), Gate(), Deadlines(), Caps(), Rate(), ()) == (
        plan().target,
        plan().gate,
        plan().deadlines,
        plan().caps,
        plan().rate,
        plan().windows,
    )


def test_every_kind_of_value_is_read():
    """Each reader gives the value that its text means."""
    read = plan(
        'activate_at = "23:30-01:00"\njitter = "1h30m"\nblackout = [2026-12-25, "2027-01-01"]',
        """
        [target]
        types = ["HCALCS"]
        manufacturers = ["121d"]
        models = ["0001"]
        hardware = "1111-1211"
        firmware = ["ACDCACDB"]
        regions = ["North"]
        [gate]
        max_failure_rate = "12.5 %"
        [deadlines]
        activation = "1d6h"
        [retries]
        final = ["transfer"]
        retryable = ["signature"]
        [rate]
        kind = "stepped"
        per_hour = 10
        step = 5
        every = "2h"
        [caps]
        in_flight = 7
        [[window]]
        from = "22:00"
        to = "24:00"
        """,
    )
    assert (23 * 60 + 30, 60) == read.activate_at
    assert 90 * MINUTE == read.jitter
    assert frozenset({date(2026, 12, 25), date(2027, 1, 1)}) == read.blackout
    assert 0.125 == read.gate.max_failure_rate
    assert 30 * HOUR == read.deadlines.activation == read.deadlines.of("activation")
    assert {Cause.TRANSFER: False, Cause.SIGNATURE: True} == read.retries.retryable
    assert Rate(Growth.STEPPED, 10, step=5, every=2 * HOUR) == read.rate
    assert Caps(in_flight=7) == read.caps
    assert (Window(22 * 60, 24 * 60),) == read.windows
    assert (
        Target(
            types=frozenset({DeviceType.HCALCS}),
            manufacturers=frozenset({0x121D}),
            models=frozenset({1}),
            hardware=(0x1111, 0x1211),
            firmware=frozenset({FirmwareVersion(0xACDCACDB)}),
            regions=frozenset({"North"}),
        )
        == read.target
    )


@pytest.mark.parametrize(
    ("filter_", "matches"),
    [
        ("", True),
        ('types = ["PPMID"]', True),
        ('types = ["HCALCS", "GSME"]', False),
        ('manufacturers = ["121D"]', True),
        ('manufacturers = ["121E"]', False),
        ('models = ["0002"]', False),
        ('hardware = "1111"', True),
        ('hardware = "1112-FFFF"', False),
        ('firmware = ["ACDCACDC"]', False),
        ('regions = ["South"]', False),
        ('regions = ["South", "North"]', True),
        ('hub_models = ["CH-B"]', False),
        ('tags = ["friends"]', True),
        ('tags = ["friends"]\nmodels = ["0002"]', False),
    ],
)
def test_a_target_is_what_fits_every_filter(filter_, matches):
    """An empty filter fits all; within one any word will do."""
    assert matches is plan(tables=f"[target]\n{filter_}").target.matches(COHORT)


def test_a_stratum_is_named_by_what_its_devices_share():
    """Nothing is left out of the name, and what is unknown shows."""
    assert "hub_model=CH-A hub_firmware=01020304 hardware=1111" == plan().stratum_of(COHORT)
    assert "all" == plan("stratify = []").stratum_of(COHORT)
    every = plan(f"stratify = {json.dumps(list(plans.STRATIFY))}").stratum_of(COHORT)
    assert len(plans.STRATIFY) == every.count("=")


RATE = "per_hour = 10\n"
REFUSALS = {
    # what is written: (all of these are in the message)
    "": ("name is missing",),
    LEAST: ("wave is missing",),
    "x = [1": ("not TOML",),
    "a = " + "9" * 5000: ("not TOML",),
    "a = " + "[" * 5000: ("not TOML",),
    'name = "a"\nname = "b"': ("not TOML",),
    f"{LEAST}wawe = 1": ("wawe = 1", "no such key", "did you mean wave?"),
    f"{LEAST}wave = []": ("wave = []", "one [[wave]]"),
    f"{LEAST}wave = 3": ("wave = 3", "[[wave]]"),
    f"{LEAST}wave = [3]": ("wave[1] = 3", "a table"),
    f"name = 7\n{WAVE}": ("name = 7", "text of 1 to 64"),
    f'name = ""\n{WAVE}': ('name = ""', "text of 1 to 64"),
    f'name = "{"n" * 65}"\n{WAVE}': ("name = ", "text of 1 to 64"),
    f'name = "a\\u001b[31m"\n{WAVE}': ("\\u001b[31m", "printable"),
    f"{LEAST}{WAVE}approvals = 2": ("wave[1].approvals = 2", "its place is the top of the file"),
    f"{LEAST}{WAVE}shares = 2": ("wave[1].shares = 2", "did you mean share?"),
    f"{LEAST}{WAVE}[caps]\nminimum_sample = 2": ("caps.minimum_sample", "its place is [gate]"),
    f"{LEAST}{WAVE}{WAVE}": ("wave[2].name", "no other wave"),
    f'{LEAST}{WAVE}[[wave]]\nname = "b"\nshare = 1': ("wave[2].share = 1.0", "more than the 1"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = 0.5': ("wave[1].share = 0.5", "1 in the last wave"),
    f'{LEAST}[[wave]]\nname = "b"': ("wave[1].share is missing",),
    f"{LEAST}[[wave]]\nshare = 1": ("wave[1].name is missing",),
    f'{LEAST}[[wave]]\nname = "b"\nshare = nan': ("wave[1].share = NaN", "at most 1"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = inf': ("wave[1].share = Infinity", "at most 1"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = -0.5': ("wave[1].share = -0.5", "more than 0"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = 0': ("wave[1].share = 0", "more than 0"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = true': ("wave[1].share = true", "more than 0"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = "all"': ('wave[1].share = "all"', "percentage"),
    f'{LEAST}[[wave]]\nname = "b"\nshare = "101 %"': ("wave[1].share", "at most 1"),
    f"{LEAST}{WAVE}minimum = -1": ("wave[1].minimum = -1", "from 0 to"),
    f"{LEAST}{WAVE}minimum = 1.5": ("wave[1].minimum = 1.5", "a whole number"),
    f"{LEAST}{WAVE}minimum = 99999999999": ("wave[1].minimum = 99999999999", "from 0 to"),
    f"{LEAST}{WAVE}soak = 24": ("wave[1].soak = 24", 'such as "90m"'),
    f'{LEAST}{WAVE}soak = "-1h"': ('wave[1].soak = "-1h"', "a duration"),
    f'{LEAST}{WAVE}soak = "1 day"': ('wave[1].soak = "1 day"', "a duration"),
    f'{LEAST}{WAVE}soak = "99999999w"': ("wave[1].soak", "to 3650d"),
    f"{LEAST}{WAVE}gate = 1": ("wave[1].gate = 1", "true or false"),
    f"{LEAST}approvals = 11\n{WAVE}": ("approvals = 11", "from 0 to 10"),
    f"{LEAST}approvals = true\n{WAVE}": ("approvals = true", "from 0 to 10"),
    f'{LEAST}allow_downgrade = "yes"\n{WAVE}': ('allow_downgrade = "yes"', "true or false"),
    f"{LEAST}batch_max = 50001\n{WAVE}": ("batch_max = 50001", "from 1 to 50000"),
    f'{LEAST}stratify = ["colour"]\n{WAVE}': ('stratify[1] = "colour"', "one of hub_model"),
    f'{LEAST}stratify = "hub_model"\n{WAVE}': ('stratify = "hub_model"', "a list"),
    f'{LEAST}stratify = ["region", "region"]\n{WAVE}': ("stratify = ", "each entry once"),
    f'{LEAST}stratify = [["region"]]\n{WAVE}': ("stratify[1] = ", "one of"),
    f"{LEAST}blackout = [2026-01-01T10:00:00Z]\n{WAVE}": ("blackout[1] = ", "a date"),
    f'{LEAST}blackout = ["2026-02-30"]\n{WAVE}': ('blackout[1] = "2026-02-30"', "a date"),
    f'{LEAST}blackout = ["20260101"]\n{WAVE}': ('blackout[1] = "20260101"', "a date"),
    f'{LEAST}jitter = "2d"\n{WAVE}': ('jitter = "2d"', "to 1d"),
    f'{LEAST}activate_at = "02:00"\n{WAVE}': ('activate_at = "02:00"', "two times"),
    f'{LEAST}activate_at = "02:00-02:00"\n{WAVE}': ("activate_at = ", "less than a day"),
    f'{LEAST}activate_at = "00:00-24:00"\n{WAVE}': ("activate_at = ", "less than a day"),
    f'{LEAST}activate_at = "02:00Z-04:00Z"\n{WAVE}': ('activate_at = "02:00Z"', "no time zone"),
    f'{LEAST}activate_at = "02:00-04:00"\n{WAVE}[deadlines]\nactivation = "29h"': (
        'deadlines.activation = "29h"',
        "30h or more",
    ),
    f'{LEAST}activate_at = "02:00-22:00"\n{WAVE}[deadlines]\nactivation = "47h"': (
        'deadlines.activation = "47h"',
        "2d or more",
    ),
    f'{LEAST}{WAVE}[target]\ntypes = ["IHD"]': ('target.types[1] = "IHD"', "PPMID"),
    f'{LEAST}{WAVE}[target]\ntypes = ["ppmid"]': ('target.types[1] = "ppmid"', "PPMID"),
    f"{LEAST}{WAVE}[target]\nmanufacturers = [4637]": ("target.manufacturers[1] = 4637", "in quotes"),
    f'{LEAST}{WAVE}[target]\nmanufacturers = ["0x12"]': ("target.manufacturers[1]", "4 hex digits"),
    f'{LEAST}{WAVE}[target]\nfirmware = ["ACDC"]': ("target.firmware[1]", "8 hex digits"),
    f'{LEAST}{WAVE}[target]\nhardware = "2000-1000"': ("target.hardware", "lower hardware version first"),
    f'{LEAST}{WAVE}[target]\nhardware = "1-2-3"': ("target.hardware", "two of them"),
    f'{LEAST}{WAVE}[target]\nregions = ["Nort"]': ("target.regions[1]", "did you mean North?"),
    f"{LEAST}{WAVE}[target]\ntags = [{'{}'}]": ("target.tags[1] = {}", "text of 1 to 64"),
    f"{LEAST}target = 1\n{WAVE}": ("target = 1", "a table with types"),
    f"{LEAST}{WAVE}[[target]]": ("target = [{}]", "a table with types"),
    f"{LEAST}{WAVE}[gate]\nmax_failure_rate = 0.01": (
        "gate.max_failure_rate = 0.01",
        "acceptable_failure_rate",
    ),
    f"{LEAST}{WAVE}[gate]\nmax_failure_rate = 1": ("gate.max_failure_rate = 1.0", "less than 1"),
    f"{LEAST}{WAVE}[gate]\nacceptable_silence_rate = 0.05": (
        "gate.acceptable_silence_rate = 0.05",
        "at most acceptable_failure_rate = 0.02",
    ),
    f"{LEAST}{WAVE}[gate]\nfalse_hold_rate = 0.9": ("gate.false_hold_rate = 0.9", "at most 0.5"),
    f"{LEAST}{WAVE}[gate]\nminimum_sample = 0": ("gate.minimum_sample = 0", "from 1"),
    f'{LEAST}{WAVE}[deadlines]\nhub = "9d"': ('deadlines.device = "4d"', "hub = 9d or more"),
    f'{LEAST}{WAVE}[deadlines]\nread = "0h"': ('deadlines.read = "0h"', "from 1m"),
    f"{LEAST}{WAVE}[retries]\nattempts_max = 16": ("retries.attempts_max = 16", "from 1 to 15"),
    f"{LEAST}{WAVE}[retries]\nbackoff_factor = 0.5": ("retries.backoff_factor = 0.5", "from 1 to 100"),
    f"{LEAST}{WAVE}[retries]\nbackoff_factor = nan": ("retries.backoff_factor = NaN", "from 1 to 100"),
    f'{LEAST}{WAVE}[retries]\nbackoff_first = "2d"': ('retries.backoff_cap = "1d"', "2d or more"),
    f'{LEAST}{WAVE}[retries]\nfinal = ["transfr"]': ("retries.final[1]", "did you mean transfer?"),
    f'{LEAST}{WAVE}[retries]\nfinal = ["none"]': ("retries.final[1]", "one of"),
    f'{LEAST}{WAVE}[retries]\nfinal = ["hash"]\nretryable = ["hash"]': ("retries.final", "not in retryable"),
    f'{LEAST}{WAVE}[[window]]\nfrom = "8:00"\nto = "20:00"': (
        'window[1].from = "8:00"',
        '"00:00" to "24:00"',
    ),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:60"\nto = "20:00"': ('window[1].from = "08:60"', "a time"),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00+01:00"\nto = "20:00"': ("window[1].from", "no time zone"),
    f"{LEAST}{WAVE}[[window]]\nfrom = 08:00:00\nto = 20:00:00": ("window[1].from", "a time"),
    f'{LEAST}{WAVE}[[window]]\nfrom = "24:00"\nto = "01:00"': ("window[1].from", '"23:59"'),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00"\nto = "08:00"': ("window[1].to", "another time than from"),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00"\nto = "00:00"': ("window[1].to", '"24:00"'),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00"': ("window[1].to is missing",),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00"\nto = "09:00"\ndays = []': (
        "window[1].days = []",
        "a list of 1",
    ),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00"\nto = "09:00"\ndays = ["Monday"]': ("window[1].days[1]", "mon"),
    f'{LEAST}{WAVE}[[window]]\nfrom = "08:00"\nto = "09:00"\norders = ["updates"]': (
        "window[1].orders[1]",
        "did you mean update?",
    ),
    LEAST + WAVE + '[[window]]\nfrom = "08:00"\nto = "09:00"\n' * 2: ("window[2] = ", "not there already"),
    f"{LEAST}{WAVE}[rate]\nkind = 'constant'": ("rate.per_hour is missing",),
    f"{LEAST}{WAVE}[rate]\nper_hour = 0": ("rate.per_hour = 0", "from 1"),
    f"{LEAST}{WAVE}[rate]\n{RATE}cap = 20": ("rate.cap = 20", "nothing, for a rate of kind constant"),
    f"{LEAST}{WAVE}[rate]\n{RATE}kind = 'linear'": ('rate.kind = "linear"', "stepped"),
    f"{LEAST}{WAVE}[rate]\n{RATE}kind = 'stepped'": ("rate.every is missing", "stepped"),
    f"{LEAST}{WAVE}[rate]\n{RATE}kind = 'exponential'\nevery = '1d'\nfactor = 1": (
        "rate.factor",
        "more than 1",
    ),
    f"{LEAST}{WAVE}[rate]\n{RATE}kind = 'exponential'\nevery = '1d'\nfactor = 2\nstep = 1": (
        "rate.step",
        "nothing",
    ),
    f"{LEAST}{WAVE}[rate]\n{RATE}kind = 'exponential'\nevery = '1d'\nfactor = 2\ncap = 9": (
        "rate.cap",
        "10 or more",
    ),
    f"{LEAST}{WAVE}[rate]\n{RATE}kind = 'exponential'\nevery = '1m'\nfactor = 2": ("rate.every", "from 1h"),
    f"{LEAST}{WAVE}[caps]\nin_flight = 0": ("caps.in_flight = 0", "from 1"),
    f'{LEAST}{WAVE}[caps]\nin_flight = "many"': ('caps.in_flight = "many"', "a whole number"),
    f"{LEAST}{WAVE}[caps]\nhome = 2": ("caps.home = 2", "no such key"),
}


@pytest.mark.parametrize("text", REFUSALS, ids=range(len(REFUSALS)))
def test_a_refusal_names_the_key_the_value_and_what_is_allowed(text):
    """Whoever wrote the plan can mend it by the message alone."""
    message = refusal(text)
    assert message.startswith("plan: ")
    assert [] == [part for part in REFUSALS[text] if part not in message], message
    assert len(message) < 700
    assert message.isprintable()


def test_a_plan_of_a_gigabyte_is_not_parsed():
    """Size is looked at before anything else."""
    assert "characters" in refusal(f"{LEAST}#{' ' * plans.PLAN_CHARACTERS_MAX}")


@pytest.mark.parametrize(
    "table", ["[[window]]\nfrom = '00:00'\nto = '00:01'\n", "[[wave]]\nname = 'w'\nshare = 1\n"]
)
def test_tables_without_end_are_refused(table):
    """Thousands of tables are a mistake, and cost no more than that."""
    text = LEAST + (WAVE if "window" in table else "") + table * 10_001
    assert "allowed is" in refusal(text)


def test_the_canonical_form_comes_back():
    """The store gives the plan that was approved."""
    for text in (EXAMPLE, LEAST + WAVE):
        read = parse(text)
        assert read == decode(encode(read))
        assert encode(read) == encode(decode(encode(read)))


def test_spelling_does_not_change_the_digest():
    """An approval binds to what a plan means."""
    one = plan('jitter = "90m"', '[gate]\nmax_failure_rate = 0.1\n[target]\ntypes = ["ESME", "GSME"]')
    same = plan('jitter = "1h30m"', '[target]\ntypes = ["GSME", "ESME"]\n[gate]\nmax_failure_rate = "10 %"')
    assert one.digest == same.digest
    assert 32 == len(one.digest)


CHANGES = [
    ("", ""),
    ('jitter = "1s"', ""),
    ("approvals = 2", ""),
    ("batch_max = 1", ""),
    ("allow_downgrade = true", ""),
    ("blackout = [2026-12-25]", ""),
    ('activate_at = "02:00-03:00"', ""),
    ('call_off_ahead = "30m"', ""),
    ('stratify = ["region"]', ""),
    ('sweep_every = "1h"', ""),
    ('lasts = "1h"', ""),
    ("", "soak = '1h'"),
    ("", "gate = false"),
    ("", "minimum = 1"),
    ("", "[gate]\nminimum_sample = 6"),
    ("", "[deadlines]\nread = '2d'"),
    ("", "[retries]\nfinal = ['hash']"),
    ("", "[retries]\nretryable = ['hash']"),
    ("", "[retries]\nchecks_max = 5"),
    ("", "[target]\nhardware = '0000'"),
    ("", "[target]\ntags = ['a']"),
    ("", "[caps]\nper_region = 1"),
    ("", "[caps]\nper_hub_model = 1"),
    ("", "[rate]\nper_hour = 1"),
    ("", "[rate]\nper_hour = 1\nkind = 'stepped'\nstep = 1\nevery = '1h'"),
    ("", "[[window]]\nfrom = '01:00'\nto = '02:00'"),
]


def test_any_change_changes_the_digest():
    """No approval survives a change of the plan."""
    assert len(CHANGES) == len({plan(*change).digest for change in CHANGES})


def test_every_field_is_in_the_canonical_form():
    """A field that `encode` forgot would be lost in the store, and changed after approval."""
    example = parse(EXAMPLE)
    text = json.loads(encode(example)) | {"activate_at": "", "board": [], "call_off_ahead": ""}
    renamed = {"waves": "wave", "windows": "window"}
    assert {renamed.get(it.name, it.name) for it in fields(example)} == set(text)
    for name, kind in {"target": Target, "gate": Gate, "deadlines": Deadlines, "caps": Caps}.items():
        assert {it.name for it in fields(kind)} == set(text[name])


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null", '{"name": "a"}', "[" * 100_000, '{"name":NaN}'])
def test_a_stored_plan_that_is_none_is_refused(text):
    """A damaged database does not run a campaign."""
    with pytest.raises(UsageError, match="plan: "):
        decode(text)


def test_no_such_deadline():
    """A word that is no deadline is a mistake of ours."""
    with pytest.raises(UsageError, match="hub, device, proof"):
        Deadlines().of("of")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.sampled_from(["24h", "02:00-04:00", "all", "PPMID", "2 %", "121D"])
)
words = st.sampled_from([*plans._TOP, *plans._WAVE, *plans._GATE, *plans._RATE, *plans._WINDOW]) | st.text(
    max_size=8
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4)
)


@settings(max_examples=300)
@given(st.dictionaries(words, values, max_size=6))
def test_any_document_gives_a_plan_or_a_refusal(document):
    """Nothing else comes out, whatever comes in."""
    whole = tomllib.loads(LEAST + WAVE) | document
    try:
        read = plans._plan(whole)
    except UsageError as refused:
        assert str(refused).isprintable()
    else:
        assert read == decode(encode(read))


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_any_text_gives_a_plan_or_a_refusal(text):
    """Neither TOML nor JSON can make the readers stumble."""
    for read in (parse, decode):
        with suppress(UsageError):
            read(text)
