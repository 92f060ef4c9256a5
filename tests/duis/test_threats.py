"""Each attack is refused by the name of the check that it fails."""

import re

import pytest

from lamplighter.kit import DecodeError, VerificationError
from lamplighter.kit.instant import DAY
from lamplighter.lab.pki import NOT_AFTER, NOT_BEFORE
from lamplighter.protocol import duis
from lamplighter.protocol.duis import reader
from lamplighter.protocol.smki import Ring

from .messages import (
    ACB,
    ACB_DS,
    ACB_KA,
    ALERT,
    DCC_XML,
    HCALCS,
    HUB,
    NOW,
    OTHER_XML,
    PPMID,
    REQUEST,
    RING,
    SIGNED_ALERT,
    SIGNED_REQUEST,
    SUPPLIER_DS,
    SUPPLIER_XML,
)

DSIG = "http://www.w3.org/2000/09/xmldsig#"
SIGNATURE = re.search(rb"<ds:Signature .*</ds:Signature>", SIGNED_ALERT)[0]
UNSIGNED = SIGNED_ALERT.replace(SIGNATURE, b"")
BODY_END = b"</sr:Body>"
CHECKS = re.findall(r"xml-[a-z-]+", duis.__doc__)


def check_of(octets, *, ring=RING, now=NOW, dcc=ACB, door=duis.open_response):
    """The name of the check that refuses."""
    with pytest.raises(VerificationError) as refusal:
        door(octets, ring, now=now, dcc=dcc) if door is duis.open_response else door(octets, ring, now=now)
    assert refusal.value.check in CHECKS
    return refusal.value.check


def swap(old, new, octets=SIGNED_ALERT):
    """The alert with one piece of it exchanged."""
    old, new = (piece.encode() if isinstance(piece, str) else piece for piece in (old, new))
    assert octets.count(old) >= 1
    return octets.replace(old, new, 1)


LAUGHS = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
READER = {
    "a DOCTYPE": ("xml-doctype", swap("<sr:Response", "<!DOCTYPE sr:Response><sr:Response")),
    "a billion laughs": ("xml-doctype", b"<!DOCTYPE a [<!ENTITY a0 'ha'>" + LAUGHS + b"]><a>&a9;</a>"),
    "a file by an entity": (
        "xml-doctype",
        b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><a>&x;</a>",
    ),
    "a DOCTYPE behind a comment": ("xml-comment", b"<!----><!DOCTYPE a><a/>"),
    "an entity that nobody declares": ("xml-entity", swap("8F8A", "&code;")),
    "17 MB": ("xml-oversize", SIGNED_ALERT + b" " * reader.MAX_OCTETS),
    "17 levels": ("xml-depth", b"<a>" * 17 + b"</a>" * 17),
    "5,000 levels": ("xml-depth", b"<a>" * 5_000),
    "a million levels": ("xml-tags", b"<a>" * 1_000_000),
    "a thousand namespaces": (
        "xml-namespaces",
        b"<a "
        + b" ".join(b'xmlns:n%d="u:%d"' % (n, n) for n in range(1000))
        + b">"
        + b"<b/>" * 1000
        + b"</a>",
    ),
    "a page of attributes": (
        "xml-attributes",
        b"<a " + b" ".join(b'a%d=""' % n for n in range(60_000)) + b"/>",
    ),
    "a million brothers": ("xml-tags", b"<a>" + b"<b/>" * 1_000_000 + b"</a>"),
    "UTF-16": ("xml-encoding", SIGNED_ALERT.decode().replace("UTF-8", "UTF-16").encode("utf-16")),
    "UTF-16 without its mark": ("xml-encoding", SIGNED_ALERT.decode().encode("utf-16-le")),
    "UTF-7": ("xml-encoding", swap("UTF-8", "UTF-7")),
    "Latin-1": ("xml-encoding", swap("UTF-8", "ISO-8859-1")),
    "XML 1.1": ("xml-encoding", swap('version="1.0"', 'version="1.1"')),
    "a comment that cuts an id": ("xml-comment", swap("90-A4", "90-A4<!-- -->")),
    "a comment before the root": ("xml-comment", swap("<sr:Response", "<!-- --><sr:Response")),
    "an instruction in the body": ("xml-instruction", swap("90-A4", "90-A4<?x?>")),
    "an instruction before the root": ("xml-instruction", swap("<sr:Response", "<?x?><sr:Response")),
    "an instruction instead of the declaration": ("xml-instruction", b"<?x?>" + UNSIGNED[55:]),
    "an instruction after the root": ("xml-instruction", SIGNED_ALERT + b"<?x?>"),
    "a CDATA section": ("xml-cdata", swap("8F8A", "<![CDATA[8F8A]]>")),
}


@pytest.mark.parametrize("attack", READER)
def test_the_reader_refuses(attack):
    check, octets = READER[attack]
    assert check == check_of(octets)


@pytest.mark.parametrize(
    "attack",
    [
        *("a DOCTYPE", "a billion laughs", "an entity that nobody declares", "17 MB", "17 levels"),
        *("a million levels", "UTF-16", "UTF-7", "XML 1.1", "a CDATA section"),
    ],
)
@pytest.mark.parametrize("door", [duis.decode_response, duis.decode_request, duis.explain])
def test_what_is_only_to_be_shown_is_read_no_less_safely(attack, door):
    check, octets = READER[attack]
    with pytest.raises(VerificationError) as refusal:
        door(octets)
    assert check == refusal.value.check


@pytest.mark.parametrize("octets", [b"", b"{}", b"<a", b"<a>\n\n<b></a>", b"<a>\xff</a>", b"<a/><b/>"])
def test_what_is_not_well_formed_is_refused_with_its_line(octets):
    with pytest.raises(DecodeError) as refusal:
        duis.open_response(octets, RING, now=NOW)
    assert (octets.count(b"\n") + 1, "XML") == (refusal.value.offset, refusal.value.what)


def test_a_namespace_without_canonical_form_is_refused():
    for place in ("<ds:SignedInfo", "<sr:Body", "<ds:Signature"):
        with pytest.raises(DecodeError, match="canonical form"):
            duis.open_response(swap(place, f'{place} xmlns:x="relative"'), RING, now=NOW)


def test_a_wrong_element_is_refused_with_its_line():
    with pytest.raises(DecodeError) as refusal:
        duis.decode_response(UNSIGNED.replace(b"><", b">\n<").replace(b"AlertCode>8F8A", b"AlertCode>8F8"))
    assert ("CommsHubAlert", "AlertCode", 14) == (
        refusal.value.what,
        refusal.value.field,
        refusal.value.offset,
    )


@pytest.mark.parametrize("place", ["90-A4<!-- -->", "90-<!-- -->A4", "90-A4<?x?>"])
def test_a_comment_never_hides_half_a_text(place):
    with pytest.raises(DecodeError):
        duis.decode_response(UNSIGNED.replace(b"90-A4", place.encode()))


WHOLE = UNSIGNED.partition(b"?>")[2]
ALGORITHM = {
    "exclusive": "http://www.w3.org/2001/10/xml-exc-c14n#",
    "ecdsa": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "enveloped": f"{DSIG}enveloped-signature",
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
}
ENVELOPED = f'<ds:Transform Algorithm="{ALGORITHM["enveloped"]}"/>'
REFERENCE = re.search(rb"<ds:Reference .*</ds:Reference>", SIGNATURE)[0].decode()
X509 = "<ds:X509IssuerSerial>"
SHAPE = {
    "no signature": ("xml-unsigned", UNSIGNED),
    "two signatures": ("xml-signature-count", swap(SIGNATURE, SIGNATURE * 2)),
    "a second signature in the body": ("xml-signature-count", swap(BODY_END, SIGNATURE + BODY_END)),
    "a second signature in another spelling": (
        "xml-signature-count",
        swap("<sr:Body>", f'<sr:Body><Signature xmlns="{DSIG}"/>'),
    ),
    "a signature before the body": (
        "xml-signature-moved",
        swap("<sr:Body>", SIGNATURE + b"<sr:Body>", UNSIGNED),
    ),
    "a signature in the body": ("xml-signature-moved", swap(BODY_END, SIGNATURE + BODY_END, UNSIGNED)),
    "a signature in the header": (
        "xml-signature-moved",
        swap("</sr:Header>", SIGNATURE + b"</sr:Header>", UNSIGNED),
    ),
    "a signature in a signature": (
        "xml-signature-count",
        swap("</ds:KeyInfo>", b"</ds:KeyInfo><ds:Object>" + SIGNATURE + b"</ds:Object>"),
    ),
    "the signed document wrapped in a forged one": (
        "xml-signature-moved",
        swap(BODY_END, b"</sr:Body><sr:Old>" + SIGNED_ALERT.partition(b"?>")[2] + b"</sr:Old>", UNSIGNED),
    ),
    "the signed document wrapped, its signature outside": (
        "xml-digest",
        swap(BODY_END, b"</sr:Body><sr:Old>" + WHOLE + b"</sr:Old>"),
    ),
    "the signed body beside a forged one": ("xml-digest", swap("</sr:Header>", "</sr:Header><sr:Body/>")),
    "the original in the signature's Object": (
        "xml-signature-shape",
        swap("</ds:Signature>", b"<ds:Object>" + WHOLE + b"</ds:Object></ds:Signature>"),
    ),
    "a root that is the signature": ("xml-signature-moved", SIGNATURE),
    "something after the signature": ("xml-signature-moved", swap("</ds:Signature>", "</ds:Signature><x/>")),
    "an Id on the signature": ("xml-signature-shape", swap("<ds:Signature ", '<ds:Signature Id="x" ')),
    "text in SignedInfo": ("xml-signature-shape", swap("<ds:SignedInfo>", "<ds:SignedInfo>x")),
    "text after SignedInfo": ("xml-signature-shape", swap("</ds:SignedInfo>", "</ds:SignedInfo>x")),
    "an element of another namespace": (
        "xml-signature-shape",
        swap("</ds:SignatureValue>", "</ds:SignatureValue><ds:Object/>"),
    ),
    "inclusive canonicalisation": (
        "xml-canonicalization-algorithm",
        swap(ALGORITHM["exclusive"], "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    ),
    "canonicalisation with comments": (
        "xml-canonicalization-algorithm",
        swap(ALGORITHM["exclusive"], f"{ALGORITHM['exclusive']}WithComments"),
    ),
    "an inclusive prefix list": (
        "xml-canonicalization-algorithm",
        swap(
            f'Method Algorithm="{ALGORITHM["exclusive"]}"/>',
            f'Method Algorithm="{ALGORITHM["exclusive"]}"><x PrefixList="sr"/></ds:CanonicalizationMethod>',
        ),
    ),
    "HMAC with the public key": (
        "xml-signature-algorithm",
        swap(ALGORITHM["ecdsa"], "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
    ),
    "ECDSA with SHA-1": (
        "xml-signature-algorithm",
        swap(ALGORITHM["ecdsa"], "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1"),
    ),
    "a digest by SHA-1": ("xml-digest-algorithm", swap(ALGORITHM["sha256"], f"{DSIG}sha1")),
    "an XSLT transform": (
        "xml-transform",
        swap(ALGORITHM["enveloped"], "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    ),
    "an XPath transform besides": (
        "xml-transform",
        swap(
            ENVELOPED, f'{ENVELOPED}<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/>'
        ),
    ),
    "no transform": ("xml-transform", swap(ENVELOPED, "")),
    "a reference to a part": ("xml-reference", swap('URI=""', 'URI="#part"')),
    "a reference to a file": ("xml-reference", swap('URI=""', 'URI="file:///etc/hostname"')),
    "a reference to nothing": ("xml-reference", swap(' URI=""', "")),
    "a reference of a type": ("xml-reference", swap('URI=""', 'URI="" Type="x"')),
    "two references": ("xml-signature-shape", swap(REFERENCE, REFERENCE * 2)),
    "a certificate that is brought along": (
        "xml-keyinfo",
        swap(X509, f"<ds:X509Certificate>QUJD</ds:X509Certificate>{X509}"),
    ),
    "a key that is brought along": (
        "xml-keyinfo",
        swap("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyValue/>"),
    ),
    "a serial number that is none": ("xml-keyinfo", swap("SerialNumber>", "SerialNumber>x")),
    "a serial number of a million digits": (
        "xml-keyinfo",
        swap("SerialNumber>", f"SerialNumber>{'9' * 10**6}"),
    ),
    "a certificate that nobody knows": ("xml-certificate-unknown", swap("SerialNumber>", "SerialNumber>9")),
    "an issuer that nobody knows": ("xml-certificate-unknown", swap("CN=LAB", "CN=BAL")),
    "a digest that is no base64": ("xml-signature-shape", swap("<ds:DigestValue>", "<ds:DigestValue>!")),
    "a short digest": (
        "xml-signature-shape",
        re.sub(rb"(DigestValue>)[^<]*", rb"\1QUJD", SIGNED_ALERT, count=1),
    ),
    "a digest of something else": ("xml-digest", swap("<sr:AlertCode>8F8A", "<sr:AlertCode>8F89")),
    "white space in the body": ("xml-digest", swap("<sr:Body>", "<sr:Body> ")),
    "white space after the signature": ("xml-digest", swap("</ds:Signature>", "</ds:Signature> ")),
    "another schema version": ("xml-digest", swap('schemaVersion="5.4"', 'schemaVersion="5.3"')),
    "an idle namespace": ("xml-digest", swap("<sr:Body>", '<sr:Body xmlns:x="urn:x">')),
    "a value of zeros": (
        "xml-signature",
        re.sub(rb"(SignatureValue>)[^<]*", rb"\1" + b"A" * 86 + b"==", SIGNED_ALERT, count=1),
    ),
    "a short value": (
        "xml-signature-shape",
        re.sub(rb"(SignatureValue>)[^<]*", rb"\1QUJD", SIGNED_ALERT, count=1),
    ),
}


@pytest.mark.parametrize("attack", SHAPE)
def test_the_signature_refuses(attack):
    check, octets = SHAPE[attack]
    assert check == check_of(octets)


def test_a_signature_over_a_forged_digest_is_not_believed():
    forged = duis.sign(UNSIGNED.replace(b"8F8A", b"8F89"), DCC_XML)
    digest, other = (re.search(rb"DigestValue>([^<]*)", text)[1] for text in (forged, SIGNED_ALERT))
    mixed = forged.replace(digest, digest).replace(
        re.search(rb"SignatureValue>([^<]*)", forged)[1],
        re.search(rb"SignatureValue>([^<]*)", SIGNED_ALERT)[1],
    )
    assert digest != other
    assert check_of(mixed) == "xml-signature"


def test_a_value_in_der_is_not_raw():
    value = b"MEUCIQ" + b"A" * 90
    octets = re.sub(rb"(SignatureValue>)[^<]*", rb"\1" + value, SIGNED_ALERT, count=1)
    assert check_of(octets) == "xml-signature-shape"


@pytest.mark.parametrize("key", [SUPPLIER_XML, SUPPLIER_DS, ACB_DS], ids=str)
def test_only_the_dccs_xml_key_signs_a_response(key):
    assert check_of(duis.sign(UNSIGNED, key)) == "xml-certificate-role"


@pytest.mark.parametrize("key", [DCC_XML, SUPPLIER_DS], ids=str)
def test_only_a_users_xml_key_signs_a_request(key):
    signed = duis.sign(duis.encode_request(REQUEST), key)
    assert check_of(signed, door=duis.open_request) == "xml-certificate-role"


def test_a_key_agreement_certificate_signs_nothing():
    certificate = ACB_KA.certificate
    named = swap(str(DCC_XML.certificate.serial), str(certificate.serial))
    assert check_of(named) == "xml-certificate-use"


def test_one_user_does_not_ask_in_the_name_of_another():
    signed = duis.sign(duis.encode_request(REQUEST), OTHER_XML)
    assert check_of(signed, door=duis.open_request) == "xml-signer"


def test_another_dcc_is_not_ours():
    assert check_of(SIGNED_ALERT, dcc=HUB) == "xml-signer"


@pytest.mark.parametrize("now", [NOT_BEFORE - DAY, NOT_AFTER + DAY])
def test_a_certificate_counts_only_in_its_time(now):
    assert check_of(SIGNED_ALERT, now=now) == "xml-certificate-expired"
    assert ALERT == duis.open_response(SIGNED_ALERT, RING, now=None).message


def test_a_certificate_that_is_not_trusted_is_unknown_however_good_the_signature():
    assert check_of(SIGNED_ALERT, ring=Ring()) == "xml-certificate-unknown"


def test_a_request_is_no_response():
    signed = duis.sign(duis.encode_request(REQUEST), DCC_XML)
    with pytest.raises(DecodeError, match="<Response>"):
        duis.open_response(signed, RING, now=NOW)


def test_every_spelling_of_a_sound_signature_is_opened():
    respelt = SIGNED_ALERT.replace(b"<ds:KeyInfo>", b"<ds:KeyInfo>\n ").replace(
        b"</ds:Signature>", b"\n</ds:Signature>"
    )
    assert ALERT == duis.open_response(respelt, RING, now=NOW).message


def test_every_check_on_the_list_has_its_attack():
    shown = {check for check, _ in (READER | SHAPE).values()}
    assert set(CHECKS) == shown | {
        *("xml-certificate-role", "xml-certificate-use", "xml-certificate-expired", "xml-signer")
    }


ACKNOWLEDGED = duis.Response(REQUEST.id, None, "I99", NOW, duis.ResponseMessage("11.4", "11.4"))


def acknowledged(octets):
    return duis.open_acknowledgement(octets, RING, now=NOW, dcc=ACB)


def test_a_bare_acknowledgement_may_be_unsigned_where_the_caller_says_so():
    octets = duis.encode_response(ACKNOWLEDGED)
    assert ACKNOWLEDGED == acknowledged(octets)
    assert check_of(octets) == "xml-unsigned"


def test_a_signed_acknowledgement_is_opened_like_any_response():
    octets = duis.sign(duis.encode_response(ACKNOWLEDGED), DCC_XML)
    assert duis.Opened(ACKNOWLEDGED, DCC_XML.certificate) == acknowledged(octets)
    with pytest.raises(VerificationError, match="xml-digest"):
        acknowledged(octets.replace(b"I99", b"I0"))


@pytest.mark.parametrize(
    "body",
    [
        ALERT.body,
        duis.DeviceAlert(0x8F72, b""),
        duis.ResponseMessage("11.2", "11.2", duis.GbcsPayload(b"")),
        duis.ResponseMessage("11.3", "11.3", duis.PreCommand("4.2", b"")),
    ],
    ids=["DCC Alert", "device alert", "answer", "pre-command"],
)
def test_nothing_but_a_bare_acknowledgement_may_be_unsigned(body):
    octets = duis.encode_response(duis.Response(None, None, "I0", NOW, body))
    with pytest.raises(VerificationError, match="xml-unsigned"):
        acknowledged(octets)


@pytest.mark.parametrize("command_variant", [b"1", b"5", b"9"])
def test_a_command_variant_that_is_not_the_bodys_is_refused(command_variant):
    octets = swap("CommandVariant>8", b"CommandVariant>" + command_variant, duis.encode_request(REQUEST))
    with pytest.raises(DecodeError, match="variant 8"):
        duis.decode_request(octets)


def test_a_signature_spelt_in_text_is_text():
    # &lt;ds:Signature ...&gt; in a field must stay what it is.
    text = SIGNATURE.decode()
    pre_command = duis.PreCommand(text, b"")
    response = duis.Response(None, None, "I0", NOW, duis.ResponseMessage("11.3", "11.3", pre_command))
    signed = duis.sign(duis.encode_response(response), DCC_XML)
    assert response == duis.open_response(signed, RING, now=NOW).message
    assert check_of(duis.encode_response(response)) == "xml-unsigned"


def test_a_changed_device_is_not_believed():
    assert check_of(swap(str(PPMID), str(HCALCS), SIGNED_REQUEST), door=duis.open_request) == "xml-digest"


@pytest.mark.parametrize(
    "octets",
    [
        b"<" + b"a" * 10**6 + b"/>",
        UNSIGNED.replace(b"schemaVersion", b"a" * 10**6),
        UNSIGNED.replace(b"<sr:Body>", b'<sr:Body x="">'.replace(b"x", b"x" * 10**6)),
        UNSIGNED.replace(b"8F8A", b"8" * 10**6),
        UNSIGNED.replace(b"<sr:Body>", b"<sr:B/>" * 9000 + b"<sr:Body>"),
    ],
    ids=["root", "attribute of the root", "attribute", "text", "elements"],
)
def test_a_refusal_is_short_however_long_the_nonsense(octets):
    with pytest.raises(DecodeError) as refusal:
        duis.decode_response(octets)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("command_variant", ["1", "5", "9"])
def test_a_header_that_does_not_suit_its_body_is_read_all_the_same(command_variant):
    octets = swap(
        "CommandVariant>8", f"CommandVariant>{command_variant}".encode(), duis.encode_request(REQUEST)
    )
    header = duis.decode_header(octets)
    assert (REQUEST.id, command_variant, False) == (header.id, header.command_variant, header.suits_body)


def test_a_header_is_read_over_any_body():
    octets = duis.encode_request(REQUEST)
    assert duis.decode_header(octets).suits_body
    start, end = octets.index(b"<sr:Body>"), octets.index(b"</sr:Request>")
    for body in (b"<sr:Body/>", b"<sr:Body><sr:TopUp/></sr:Body>", b"<sr:Body><sr:A/><sr:B/></sr:Body>"):
        header = duis.decode_header(octets[:start] + body + octets[end:])
        assert (REQUEST.id, True) == (header.id, header.suits_body)


def test_a_message_without_a_header_of_a_request_has_none_to_read():
    for octets in (b"", b"<a/>", duis.encode_response(ACKNOWLEDGED)):
        with pytest.raises(DecodeError):
            duis.decode_header(octets)
