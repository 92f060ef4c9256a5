"""Identifiers, versions, hashes and time: text and octets back and forth, and nonsense refused by name."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter.kit import DecodeError, Eui64, FirmwareVersion, ImageHash, Instant, UsageError, instant

EARLIEST = instant.from_datetime(datetime(1, 1, 1, tzinfo=UTC))
LATEST = instant.from_datetime(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))

instants = st.integers(EARLIEST, LATEST).map(Instant)
anything = st.text(max_size=40)


@given(st.binary(min_size=8, max_size=8))
def test_eui64_keeps_its_octets_through_text_and_number(octets):
    eui = Eui64(octets)
    assert eui == Eui64.parse(str(eui)) == Eui64.parse(octets.hex()) == Eui64.of(int(eui))


def test_eui64_is_written_as_duis_writes_it():
    assert str(Eui64.parse("00db1234567890a4")) == "00-DB-12-34-56-78-90-A4"


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_eui64s_sort_as_their_numbers_do(one, other):
    assert (Eui64(one) < Eui64(other)) == (int(Eui64(one)) < int(Eui64(other)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-DB-12-34-56-78-90",
        "00-DB-12-34-56-78-90-A4\n",
        "00:DB:12:34:56:78:90:A4",
        "0\N{ARABIC-INDIC DIGIT ZERO}" * 8,
    ],
)
def test_text_that_is_almost_an_eui64_is_refused(text):
    with pytest.raises(DecodeError, match="EUI-64: text"):
        Eui64.parse(text)


@given(st.binary(max_size=20).filter(lambda octets: len(octets) != 8))
def test_eui64_of_any_other_length_is_refused(octets):
    with pytest.raises(UsageError, match="8 octets"):
        Eui64(octets)


@given(st.integers(0, 0xFFFFFFFF))
def test_firmware_version_is_eight_hex_digits(number):
    version = FirmwareVersion(number)
    assert version == FirmwareVersion.parse(str(version)) == FirmwareVersion.parse(f"{number:x}")
    assert version.octets.hex().upper() == str(version)


@pytest.mark.parametrize("number", [-1, 1 << 32])
def test_firmware_version_has_32_bits(number):
    with pytest.raises(UsageError, match="32 bits"):
        FirmwareVersion(number)


@given(st.binary(min_size=32, max_size=32))
def test_image_hash_is_64_hex_digits(octets):
    digest = ImageHash(octets)
    assert digest == ImageHash.parse(str(digest)) == ImageHash.parse(str(digest).upper())


@given(anything)
def test_any_text_gives_a_value_or_a_decode_error(text):
    for parse in (
        Eui64.parse,
        FirmwareVersion.parse,
        ImageHash.parse,
        instant.from_iso,
        instant.from_generalized,
    ):
        try:
            parse(text)
        except DecodeError as refusal:
            assert str(refusal)  # a refusal or a value: both are right


@given(st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_in_the_shape_of_a_time_gives_an_instant_or_a_decode_error(text):
    try:
        moment = instant.from_iso(text)
    except DecodeError:
        return
    assert isinstance(moment, int)


@given(instants)
def test_an_instant_survives_datetime_and_to_the_millisecond_iso_text(moment):
    assert moment == instant.from_datetime(instant.to_datetime(moment))
    assert moment - moment % instant.MILLISECOND == instant.from_iso(instant.to_iso(moment))


@given(instants)
def test_an_instant_survives_generalized_time_to_the_second(moment):
    assert moment - moment % instant.SECOND == instant.from_generalized(instant.to_generalized(moment))


@given(st.integers(0, 0xFFFFFFFF))
def test_zigbee_time_counts_seconds_from_the_year_2000(seconds):
    assert seconds == instant.to_zigbee(instant.from_zigbee(seconds))


def test_zigbee_time_ends_in_2136():
    assert instant.to_iso(instant.from_zigbee(0)) == "2000-01-01T00:00:00.000Z"
    with pytest.raises(UsageError, match="2000 to 2136"):
        instant.to_zigbee(Instant(instant.ZIGBEE_EPOCH - 1))
    with pytest.raises(UsageError, match="2000 to 2136"):
        instant.to_zigbee(Instant(instant.from_zigbee(0xFFFFFFFF) + instant.SECOND))


@given(instants, st.integers(-14 * 60, 14 * 60))
def test_a_zone_shifts_the_text_and_not_the_instant(moment, minutes):
    shifted = Instant(moment + minutes * instant.MINUTE)
    if EARLIEST <= shifted <= LATEST:
        zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        text = instant.to_iso(shifted).replace("Z", zone)
        assert moment - moment % instant.MILLISECOND == instant.from_iso(text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-29T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:00:60Z",
        "2025-01-01T00:00:00+15:00",
        "2025-01-01T00:00:00",
        "2025-01-01 00:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_time_that_is_no_calendar_time_is_refused(text):
    with pytest.raises(DecodeError, match="time: dateTime"):
        instant.from_iso(text)


def test_a_datetime_without_a_zone_names_no_instant():
    with pytest.raises(UsageError, match="time zone"):
        instant.from_datetime(datetime(2025, 1, 1))  # noqa: DTZ001 # the point


def test_an_instant_outside_the_calendar_has_no_datetime():
    with pytest.raises(UsageError, match="years 1 to 9999"):
        instant.to_datetime(Instant(LATEST + 1))
