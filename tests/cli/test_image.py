"""`lamplighter image`: what it shows of the published images, and the way of an image from build to proof."""

import pytest

from lamplighter.kit import FirmwareVersion
from lamplighter.protocol import image

from .conftest import HEADER

HASH = "7542f475e3f12eae887d81e32c46d313741d67076b13caec2f82e00ba5e1bb36"

ESME = f"""\
esme.ota  OTA file

offset  octets      field                     meaning
     0  1ef1ee0b    upgrade file identifier   an OTA upgrade file
     4  0001        header version            1.0
     6  3c00        header length             60 octets
     8  0400        field control             hardware versions present
    10  1d12        manufacturer code         0x121D
    12  0000        image type                0x0000
    14  dcacdcac    file version              ACDCACDC
    18  0200        Zigbee stack version      Zigbee PRO
    20  32 octets   header string             I am a GFI ESME[] firmware image
    52  69010000    total image size          361 octets
    56  1111        minimum hardware version  0x1111: version 17, revision 17
    58  1112        maximum hardware version  0x1211: version 18, revision 17
    60  235 octets  Manufacturer Image        hash 7542f475…bb36
   295  00          Force Replace             no
   296  40          signature length          64 octets
   297  64 octets   Supplier signature        ECDSA P-256/SHA-256 over the
                                              Manufacturer Image, r ‖ s

hash  {HASH}

·  layout              11.1, guessed from the end of the file
✓  size                361 octets, limit 750000
✓  Supplier signature  by 90-B3-D5-1F-30-01-00-00 role 02 ds (CN=Z1,OU=07,
                       105986833131214866166891566273223584671)
·  manufacturer seal   none inside the Manufacturer Image
"""

PPMID = f"""\
ppmid.ota  OTA file

offset  octets      field                     meaning
     0  1ef1ee0b    upgrade file identifier   an OTA upgrade file
     4  0001        header version            1.0
     6  3c00        header length             60 octets
     8  0400        field control             hardware versions present
    10  1d12        manufacturer code         0x121D
    12  8400        image type                0x0084
    14  dcacdcac    file version              ACDCACDC
    18  0200        Zigbee stack version      Zigbee PRO
    20  32 octets   header string             I am a GFI PPMID firmware image
    52  27010000    total image size          295 octets
    56  1111        minimum hardware version  0x1111: version 17, revision 17
    58  1112        maximum hardware version  0x1211: version 18, revision 17
    60  235 octets  Manufacturer Image        hash 7542f475…bb36

hash  {HASH}

·  layout              11.4, guessed from the end of the file
✓  size                295 octets, limit 750000
·  Supplier signature  none: an 11.4 image bears none
·  manufacturer seal   none inside the Manufacturer Image
"""


@pytest.fixture
def dcc_keys(tmp_path, run, keystore_json):
    directory = tmp_path / "dcc"
    assert run("keys", "import", directory, keystore_json).code == 0
    return directory


@pytest.fixture
def published(tmp_path, monkeypatch, published_images):
    monkeypatch.chdir(tmp_path)
    for name, srv in (("esme.ota", "11.1"), ("ppmid.ota", "11.4")):
        (tmp_path / name).write_bytes(published_images[srv])


@pytest.mark.npm
@pytest.mark.usefixtures("published")
def test_inspect_shows_the_published_esme_image(run, dcc_keys):
    outcome = run("image", "inspect", "esme.ota", "--keys", dcc_keys)
    assert outcome == (0, ESME, "")


@pytest.mark.npm
@pytest.mark.usefixtures("published")
def test_inspect_shows_the_published_ppmid_image(run):
    assert run("image", "inspect", "ppmid.ota") == (0, PPMID, "")


@pytest.mark.npm
@pytest.mark.usefixtures("published")
def test_inspect_as_json_is_stable(run, dcc_keys):
    facts = run("image", "inspect", "esme.ota", "--keys", dcc_keys, "--json").facts
    assert facts["header"] == {
        "manufacturer": "121D",
        "image_type": "0000",
        "file_version": "ACDCACDC",
        "stack_version": "0002",
        "text": b"I am a GFI ESME[] firmware image".hex(),
        "total_size": 361,
        "minimum_hardware": "1111",
        "maximum_hardware": "1211",
    }
    assert list(facts) == [
        *("file", "origin", "layout", "layout_guessed", "hash", "header", "manufacturer_image_octets"),
        *("signature", "force_replace", "fields", "verdicts"),
    ]
    assert facts["hash"] == HASH
    assert facts["layout"] == "11.1"
    assert [(verdict["check"], verdict["passed"]) for verdict in facts["verdicts"]] == [
        ("layout", None),
        ("size", True),
        ("Supplier signature", True),
        ("manufacturer seal", None),
    ]
    assert facts["fields"][7] == {
        "name": "Zigbee stack version",
        "offset": 18,
        "length": 2,
        "octets": "0200",
        "meaning": "Zigbee PRO",
    }


@pytest.mark.npm
@pytest.mark.parametrize("srv", ["11.1", "11.4"])
def test_inspect_reads_an_image_out_of_the_request_that_carries_it(run, published_requests, srv):
    facts = run("image", "inspect", published_requests[srv], "--json").facts
    assert facts["hash"] == HASH
    assert (facts["layout"], facts["layout_guessed"]) == (srv, False)
    assert facts["origin"] == (
        f"image in the {srv} request 90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1000"
    )


@pytest.mark.npm
def test_an_option_that_contradicts_the_request_is_refused(run, published_requests):
    outcome = run("image", "inspect", published_requests["11.1"], "--srv", "11.4")
    assert outcome.code == 2
    assert "SRV 11.4 contradicts the request, which is 11.1" in outcome.err


@pytest.mark.npm
def test_a_request_without_an_image_is_refused_by_name(run, templates):
    outcome = run("image", "inspect", templates / "CS06_11.3_IMMEDIATE_SUCCESS_REQUEST_DUIS.XML")
    assert outcome.code == 2
    assert "expected a request that carries an image (11.1, 11.4), found ActivateFirmware" in outcome.err


@pytest.mark.npm
def test_extract_takes_the_image_out_of_a_request(run, published_requests, published_images, tmp_path):
    out = tmp_path / "out.ota"
    assert run("image", "extract", published_requests["11.4"], "--part", "image", "-o", out).code == 0
    assert out.read_bytes() == published_images["11.4"]


@pytest.mark.npm
@pytest.mark.usefixtures("published")
def test_compare_names_the_fields_in_which_the_published_images_differ(run):
    outcome = run("image", "compare", "esme.ota", "ppmid.ota", "--json")
    assert outcome.code == 1
    assert [difference["name"] for difference in outcome.facts["differences"]] == [
        "layout",
        "image type",
        "header string",
        "total image size",
        "Supplier signature",
    ]


def test_stdin_is_read_for_a_dash(run, built):
    piped = run("image", "inspect", "-", "--json", stdin=built.read_bytes()).facts
    named = run("image", "inspect", built, "--json").facts
    assert (piped.pop("file"), named.pop("file")) == ("stdin", str(built))
    assert piped == named
    assert run("image", "inspect", "-", stdin=b"").err.startswith("lamplighter: stdin: OTA Upgrade Image:")


def test_an_image_goes_from_build_over_sign_to_verify(run, built, pki, tmp_path):
    signed = tmp_path / "signed.ota"
    assert run("image", "sign", built, "-o", signed, "--keys", pki).code == 0
    digest = run("image", "inspect", built, "--json").facts["hash"]
    outcome = run("image", "verify", signed, "--srv", "11.1", "--keys", pki, "--hash", digest)
    assert outcome.code == 0, outcome.out
    assert outcome.out.count("✓") == 4


def test_build_sets_every_header_field_that_it_was_given(built):
    header = image.decode(built.read_bytes()).header
    assert (header.manufacturer, header.image_type) == (0x121D, 0x0084)
    assert header.file_version == FirmwareVersion(2)
    assert (header.minimum_hardware, header.maximum_hardware) == (0x0100, 0x01FF)
    assert header.text == b"a display".ljust(32, b"\0")


def test_a_sealed_image_verifies_and_gives_back_its_payload(run, pki, tmp_path):
    payload, sealed, out = tmp_path / "payload", tmp_path / "sealed.ota", tmp_path / "out"
    payload.write_bytes(b"firmware")
    private, public = pki / "manufacturer.key", pki / "manufacturer.pub"
    assert run("image", "build", payload, "-o", sealed, *HEADER, "--seal-key", private).code == 0
    assert run("image", "verify", sealed, "--manufacturer-key", public).code == 0
    unsealed = run("image", "extract", sealed, "--part", "payload", "--manufacturer-key", public, "-o", out)
    assert unsealed.code == 0
    assert out.read_bytes() == b"firmware"
    unchecked = run("image", "extract", sealed, "--part", "payload", "-o", tmp_path / "other")
    assert "needs --manufacturer-key" in unchecked.err


def test_a_detached_seal_vouches_for_an_image_that_carries_none(run, built, pki, tmp_path):
    seal, public = tmp_path / "built.seal", pki / "manufacturer.pub"
    assert run("image", "seal", built, "--key", pki / "manufacturer.key", "-o", seal).code == 0
    assert len(seal.read_bytes()) == 64
    assert run("image", "verify", built, "--seal", seal, "--manufacturer-key", public).code == 0
    seal.write_bytes(bytes(64))
    assert run("image", "verify", built, "--seal", seal, "--manufacturer-key", public).code == 1
    assert run("image", "verify", built, "--manufacturer-key", public).code == 1


@pytest.mark.parametrize(
    ("options", "check"),
    [
        (("--srv", "11.4"), None),
        (("--max-octets", "100"), "size"),
        (("--hash", "00" * 32), "hash"),
        (("--keys", "keys", "--supplier", "90-B3-D5-1F-30-01-00-00"), "Supplier signature"),
    ],
)
def test_verify_fails_exactly_the_check_that_fails(run, built, pki, monkeypatch, options, check):
    monkeypatch.chdir(pki.parent)
    outcome = run("image", "verify", built, *options, "--json")
    failed = [verdict["check"] for verdict in outcome.facts["verdicts"] if verdict["passed"] is False]
    assert failed == [check] * (check is not None)
    assert outcome.code == len(failed)


def test_a_signature_by_an_unknown_supplier_fails_inspection(run, built, pki, tmp_path):
    signed, others = tmp_path / "signed.ota", tmp_path / "others"
    run("image", "sign", built, "-o", signed, "--keys", pki)
    run("keys", "init", others)
    outcome = run("image", "inspect", signed, "--keys", others)
    assert outcome.code == 1
    assert "by none of the Suppliers known: 90-B3-D5-1F-30-01-00-00" in outcome.out


@pytest.mark.parametrize("options", [(), ("--supplier", "90-B3-D5-1F-30-01-00-00")], ids=["any", "named"])
def test_a_signature_by_nobody_known_fails_and_says_what_the_keys_lack(run, built, pki, tmp_path, options):
    """Keys without a Supplier in them do not make a forged signature a matter of opinion."""
    signed, brokers = tmp_path / "signed.ota", tmp_path / "brokers"
    run("image", "sign", built, "-o", signed, "--keys", pki)
    run("keys", "import", brokers, next(pki.glob("*-device-ds-*.pem")))
    for verb in ("verify", "inspect")[: 1 if options else 2]:
        outcome = run("image", verb, signed, "--keys", brokers, *options, "--json")
        verdicts = {verdict["check"]: verdict for verdict in outcome.facts["verdicts"]}
        assert (1, False) == (outcome.code, verdicts["Supplier signature"]["passed"])
        assert "the keys hold no signing certificate of" in verdicts["Supplier signature"]["reason"]


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (("--supplier", "90-B3-D5-1F-30-01-00-00"), "--supplier needs --keys"),
        (("--seal", "built.seal"), "--seal needs --manufacturer-key"),
    ],
)
def test_an_option_that_checks_nothing_by_itself_is_refused(run, built, options, missing):
    outcome = run("image", "verify", built, *options)
    assert (2, True) == (outcome.code, missing in outcome.err)


def test_verify_that_was_asked_nothing_says_so(run, built):
    """An exit code of 0 is not to be taken for a vouched image."""
    asked = run("image", "verify", built, "--hash", run("image", "inspect", built, "--json").facts["hash"])
    assert "nothing was verified" not in asked.out
    outcome = run("image", "verify", built)
    assert outcome.code == 0
    assert "nothing was verified beyond layout and size" in " ".join(outcome.out.split())


def test_an_image_too_large_to_be_sent_is_built_and_fails(run, tmp_path):
    payload, out = tmp_path / "large", tmp_path / "large.ota"
    payload.write_bytes(bytes(750_000))
    outcome = run("image", "build", payload, "-o", out, *HEADER)
    assert outcome.code == 1
    assert "✗  size  expected at most 750000 octets, found 750060" in outcome.out
    assert 750_060 == out.stat().st_size
    allowed = run("image", "build", payload, "-o", out, *HEADER, "--force", "--max-octets", "800000")
    assert (0, True) == (allowed.code, "✓  size  750060 octets, limit 800000" in allowed.out)


def test_build_refuses_what_it_cannot_build_from_and_names_it(run, pki, tmp_path):
    payload, empty = tmp_path / "payload", tmp_path / "empty"
    payload.write_bytes(b"firmware")
    empty.write_bytes(b"")
    out = tmp_path / "out.ota"
    backwards = [*HEADER[:6], "--min-hardware", "01FF", "--max-hardware", "0100"]
    refusals = {
        (
            "image",
            "build",
            payload,
            "-o",
            out,
            *backwards,
        ): "--min-hardware 01FF is above --max",
        (
            "image",
            "build",
            empty,
            "-o",
            out,
            *HEADER,
        ): f"{empty} is empty: there is nothing to build",
        (
            *("image", "build", payload, "-o", out, *HEADER),
            *("--seal-key", pki / "manufacturer.pub"),
        ): f"{pki / 'manufacturer.pub'}: expected CERTIFICATE",
    }
    for command, message in refusals.items():
        outcome = run(*command)
        assert outcome.code == 2
        assert outcome.err.startswith(f"lamplighter: {message}")
    assert not out.exists()


def test_either_image_to_compare_may_be_stdin_but_not_both(run, built):
    octets = built.read_bytes()
    assert run("image", "compare", "-", built, stdin=octets).code == 0
    second = run("image", "compare", built, "-", "--json", stdin=octets)
    assert (0, "stdin") == (second.code, second.facts["second"])
    both = run("image", "compare", "-", "-", stdin=octets)
    assert (2, True) == (both.code, "stdin can be read once" in both.err)


@pytest.mark.parametrize("out", ["-", "--force"], ids=["stdout", "a name forgotten"])
def test_what_cannot_be_a_file_to_write_is_refused(run, built, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    outcome = run("image", "extract", built, "--out", out)
    assert (2, True) == (outcome.code, f"{out} is no file to write" in outcome.err)
    assert not (tmp_path / out).exists()


def test_an_output_file_is_never_replaced_unasked(run, built, pki, tmp_path):
    before = built.read_bytes()
    commands = [
        ("image", "sign", built, "--keys", pki),
        ("image", "build", built, *HEADER),
        ("image", "extract", built),
        ("image", "seal", built, "--key", pki / "manufacturer.key"),
    ]
    for command in commands:
        outcome = run(*command, "-o", built)
        assert outcome.code == 2
        assert "exists already; --force replaces it" in outcome.err
        assert built.read_bytes() == before
    assert run(*commands[0], "-o", built, "--force").code == 0
    assert image.decode(built.read_bytes()).signature is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built.ota", "keys", "payload.bin"]


def test_an_output_that_cannot_be_written_is_refused_by_name(run, built, tmp_path):
    outcome = run("image", "extract", built, "-o", tmp_path / "nowhere" / "out")
    assert (outcome.code, outcome.out) == (2, "")
    assert "cannot write" in outcome.err


def test_several_suppliers_in_one_directory_must_be_told_apart(run, built, pki, tmp_path):
    other = tmp_path / "other"
    run("keys", "init", other, "--supplier", "90-B3-D5-1F-30-03-00-00")
    for path in other.glob("*.pem"):
        (pki / path.name).write_bytes(path.read_bytes())
        (pki / path.name).chmod(0o600)
    signed = tmp_path / "signed.ota"
    outcome = run("image", "sign", built, "-o", signed, "--keys", pki)
    assert outcome.code == 2
    assert "name one with --supplier" in outcome.err
    named = ("--supplier", "90-B3-D5-1F-30-03-00-00")
    assert run("image", "sign", built, "-o", signed, "--keys", pki, *named).code == 0
    assert run("image", "verify", signed, "--keys", pki, *named).code == 0
    assert run("image", "verify", signed, "--keys", pki, "--supplier", "90-B3-D5-1F-30-01-00-00").code == 1


def test_an_image_is_signed_on_a_token(run, held, hsm, built, tmp_path):
    """For SRV 11.1; where the token does not sign, exit code 1 and no file."""
    signed, other = tmp_path / "signed.ota", tmp_path / "other.ota"
    assert 0 == run("image", "sign", built, "-o", signed, "--keys", held, "--json").code
    assert 0 == run("image", "verify", signed, "--keys", held).code
    hsm.take_away()
    outcome = run("image", "sign", built, "-o", other, "--keys", held, "--json")
    assert (1, "signing", False) == (outcome.code, outcome.error["kind"], other.exists())
