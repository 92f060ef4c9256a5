"""The short way through a signature that is spelt as ours, and the long way for any spelling, are one."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from lamplighter.kit import DecodeError, VerificationError
from lamplighter.protocol import duis
from lamplighter.protocol.duis import signature
from lamplighter.protocol.duis.reader import read

from .messages import ALERT, DCC_XML, NOW, RING, SIGNED_ALERT, responses

START = SIGNED_ALERT.index(b"<ds:Signature ")
END = SIGNED_ALERT.index(b"</ds:Signature>") + len("</ds:Signature>")
SIGNATURE = SIGNED_ALERT[START:END]
HEADER = SIGNED_ALERT.index(b"<sr:Header")
PIECES = [
    *(
        b"<",
        b">",
        b"</",
        b"/>",
        b'"',
        b"'",
        b"<!--",
        b"-->",
        b"<?x",
        b"?>",
        b"<![CDATA[",
        b"]]>",
        b"&#13;",
        b"&lt;",
    ),
    *(
        b"<x>",
        b"</x>",
        b'<x a="',
        b"<sr:Body>",
        b"</sr:Body>",
        b"</sr:Response>",
        b"<sr:Response>",
        b" ",
        b"\n",
    ),
    *(
        SIGNATURE,
        b"<ds:Signature ",
        b"</ds:Signature>",
        b'<ds:Signature xmlns:ds="urn:x"/>',
        b"\x00",
        b"\xff",
    ),
]


@st.composite
def rebuilt(draw):
    """The signed alert with markup put in, mostly around its signature."""
    octets = SIGNED_ALERT
    for _ in range(draw(st.integers(1, 4))):
        near = st.sampled_from([START, END, len(octets), HEADER, END + 3])
        at = draw(near | st.integers(0, len(octets)))
        gone = draw(st.sampled_from([0, 0, 1, len("</sr:Response>")]))
        octets = octets[:at] + draw(st.sampled_from(PIECES)) + octets[at + gone :]
    return octets


def _outcome(act):
    try:
        root, parts = act()
        return signature._canonical(root), parts
    except (DecodeError, VerificationError):
        return None


@settings(max_examples=1500)
@given(rebuilt())
@example(SIGNED_ALERT)
@example(SIGNED_ALERT.replace(SIGNATURE, b"<!--" + SIGNATURE + b"-->"))
@example(SIGNED_ALERT.replace(SIGNATURE, b"<![CDATA[" + SIGNATURE + b"]]>"))
@example(SIGNED_ALERT.replace(SIGNATURE, b'<x a="' + SIGNATURE))
@example(SIGNED_ALERT.replace(b"</sr:Response>", b"") + b"</sr:Response>\n")
@example(SIGNED_ALERT.replace(b"</sr:Body>", b"").replace(SIGNATURE, SIGNATURE + b"</sr:Body>"))
def test_the_short_way_sees_nothing_that_the_long_way_does_not_see(octets):
    try:
        short = signature._spliced_parts(octets)
    except (DecodeError, VerificationError):
        short = "refused"
    if short is not None:
        long = _outcome(lambda: signature._parts(read(octets)))
        assert long == (None if short == "refused" else _outcome(lambda: short))


@given(responses)
def test_the_short_way_is_taken_for_all_that_is_signed_here(response):
    signed = duis.sign(duis.encode_response(response), DCC_XML)
    assert signature._spliced_parts(signed) is not None
    assert _outcome(lambda: signature._spliced_parts(signed)) == _outcome(
        lambda: signature._parts(read(signed))
    )


@given(responses)
def test_the_signed_text_is_the_canonical_form_that_a_library_makes(response):
    signed = duis.sign(duis.encode_response(response), DCC_XML)
    signed_info = read(signed)[-1][0]
    assert (
        etree.tostring(signed_info, method="c14n", exclusive=True, with_tail=False)
        == signature._spliced_parts(signed)[1].signed_info
    )


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n \t"])
def test_white_space_after_the_document_changes_nothing(tail):
    assert ALERT == duis.open_response(SIGNED_ALERT + tail, RING, now=NOW).message


def test_the_dccs_line_break_in_the_value_changes_nothing():
    value = SIGNED_ALERT.index(b"SignatureValue>") + 60
    broken = SIGNED_ALERT[:value] + b"&#13;\n" + SIGNED_ALERT[value:]
    assert signature._spliced_parts(broken) is not None
    assert ALERT == duis.open_response(broken, RING, now=NOW).message
