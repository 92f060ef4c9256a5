"""`lamplighter keys`, and the key directory behind it: what is trusted, and what is refused."""

import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamplighter.kit import Eui64, LamplighterError, UsageError
from lamplighter.protocol.smki import Role, Use
from lamplighter.service import keyfiles

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
ACB = Eui64.parse("90-B3-D5-1F-30-00-00-02")
DEVICE = Eui64.parse("00-DB-12-34-56-78-90-A4")


def pem(key, *, password=None):
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def private_file(directory):
    return next(path for path in sorted(directory.glob("*.pem")) if b"PRIVATE" in path.read_bytes())


def test_init_makes_what_a_rehearsal_needs(pki):
    entries = keyfiles.entries(pki)
    assert [
        (e.certificate.holder, e.certificate.role, e.certificate.use.value, e.private) for e in entries
    ] == [
        (DEVICE, None, "ds", True),
        (DEVICE, None, "ka", True),
        (ACB, Role.ACB, "ds", True),
        (ACB, Role.ACB, "ka", True),
        (ACB, Role.ACB_XML_SIGNING, "ds", True),
        (SUPPLIER, Role.SUPPLIER, "ds", True),
        (SUPPLIER, Role.SUPPLIER, "ka", True),
        (SUPPLIER, Role.XML_SIGNING, "ds", True),
    ]
    assert keyfiles.load(pki).signer(SUPPLIER, Role.SUPPLIER).certificate.holder == SUPPLIER


def test_private_keys_are_written_for_their_owner_alone(pki):
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in sorted(pki.iterdir())}
    assert modes == {".pem": 0o600, ".key": 0o600, ".pub": 0o644}
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700


def test_a_narrow_terminal_cuts_nothing_off_a_list(run, pki, monkeypatch):
    """Holder, role, use and digest are what a certificate is found by."""
    monkeypatch.setenv("COLUMNS", "30")
    rows = run("keys", "list", pki).out.splitlines()
    for entry in keyfiles.entries(pki):
        holder, role = str(entry.certificate.holder), keyfiles.role_name(entry.certificate.role)
        use, digest = entry.certificate.use.value, entry.path.stem.rpartition("-")[2]
        assert any(row.split()[:3] == [holder, role, use] and row.endswith(digest) for row in rows)


def test_init_never_adds_to_keys_that_are_there(run, pki):
    before = sorted(pki.iterdir())
    outcome = run("keys", "init", pki)
    assert outcome.code == 2
    assert "holds keys already" in outcome.err
    assert sorted(pki.iterdir()) == before


def test_two_inits_share_no_key(run, pki, tmp_path):
    other = tmp_path / "other"
    run("keys", "init", other)
    points = [
        {entry.certificate.public_key.public_numbers() for entry in keyfiles.entries(directory)}
        for directory in (pki, other)
    ]
    assert not points[0] & points[1]


def test_list_shows_holders_roles_and_private_keys_but_no_key(run, pki):
    outcome = run("keys", "list", pki)
    assert outcome.code == 0
    assert "90-B3-D5-1F-30-01-00-00  supplier         ds   yes" in outcome.out
    as_json = run("keys", "list", pki, "--json")
    assert list(as_json.facts["keys"][0]) == [
        *("file", "holder", "role", "role_name", "use", "private", "token"),
        *("issuer", "serial", "not_before", "not_after"),
    ]
    secret = private_file(pki).read_text().split("PRIVATE KEY-----")[1].split()[0]
    assert secret not in outcome.out + as_json.out


@pytest.mark.npm
def test_the_dcc_keystore_is_imported_but_for_the_two_certificates_that_are_not_der(
    run, tmp_path, keystore_json
):
    outcome = run("keys", "import", tmp_path / "dcc", keystore_json, "--json")
    assert outcome.code == 0
    assert len(outcome.facts["added"]) == 31
    assert [entry["name"] for entry in outcome.facts["rejected"]] == ["mdr-ka", "mdr-ds"]
    ring = keyfiles.load(tmp_path / "dcc")
    assert ring.signer(SUPPLIER, Role.SUPPLIER).certificate.role == Role.SUPPLIER
    assert ring.signer(ACB, Role.ACB_XML_SIGNING).certificate.role == Role.ACB_XML_SIGNING


@pytest.mark.npm
def test_importing_again_changes_nothing(run, tmp_path, keystore_json):
    directory = tmp_path / "dcc"
    run("keys", "import", directory, keystore_json)
    before = {path: path.read_bytes() for path in directory.iterdir()}
    facts = run("keys", "import", directory, keystore_json, "--json").facts
    assert (len(facts["added"]), len(facts["known"])) == (0, 31)
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_device_certificates_are_imported_without_private_keys(run, tmp_path, shared):
    certificates = sorted((shared / "vectors" / "devices").glob("*.pem"))
    outcome = run("keys", "import", tmp_path / "devices", *certificates, "--json")
    assert outcome.code == 0
    assert [entry["private"] for entry in outcome.facts["added"]] == [False] * len(certificates)
    ring = keyfiles.load(tmp_path / "devices")
    assert len(ring.certificates(Eui64.parse("00DB1234567890A0"), Use.DIGITAL_SIGNATURE)) == 1


def keystore_of(pki, **changes):
    """A keystore in the DCC's shape with one entry of our own PKI in it."""
    path = next(path for path in sorted(pki.glob("*-supplier-ds-*.pem")))
    text = path.read_text()
    certificate = keyfiles.entries(pki)[5].certificate
    cut = text.index("-----BEGIN PRIVATE")
    entry = {"certificate": text[:cut], "privateKey": text[cut:], "name": "ours", "role": 2}
    place = {
        "eui": certificate.holder.octets.hex(),
        "use": "digitalSignature",
        "serial": str(certificate.serial),
    }
    place |= {key: value for key, value in changes.items() if key in place}
    entry |= {key: value for key, value in changes.items() if key not in place}
    return {place["eui"]: {place["use"]: {place["serial"]: entry}}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eui": "90b3d51f30030000"}, "holder"),
        ({"use": "keyAgreement"}, "use"),
        ({"use": "everything"}, "use"),
        ({"serial": "1"}, "serial number"),
        ({"serial": "\x1b[31m1"}, "serial number"),
        ({"eui": "../../etc"}, "EUI-64"),
        ({"certificate": "junk"}, "certificate"),
        ({"certificate": "\ud800"}, "certificate"),
        ({"privateKey": "junk"}, "private key that cannot be read"),
        (
            {"privateKey": pem(ec.derive_private_key(77, ec.SECP256R1())).decode()},
            "not that of the certificate",
        ),
        ({"privateKey": pem(ec.derive_private_key(77, ec.SECP384R1())).decode()}, "not P-256"),
    ],
    ids=[
        *("holder", "use", "unknown use", "serial", "escape sequence", "path", "certificate", "surrogate"),
        *("broken key", "another's key", "wrong curve"),
    ],
)
def test_a_keystore_entry_that_contradicts_its_certificate_is_left_out_with_the_reason(
    run, pki, tmp_path, changes, reason
):
    path = tmp_path / "keystore.json"
    path.write_text(json.dumps(keystore_of(pki, **changes)))
    outcome = run("keys", "import", tmp_path / "imported", path, "--json")
    assert outcome.code == 1
    assert outcome.facts["added"] == []
    assert reason in outcome.facts["rejected"][0]["reason"]
    assert "\x1b" not in outcome.out
    assert list((tmp_path / "imported").iterdir()) == []


def test_a_file_that_holds_no_keys_of_any_kind_is_refused_in_one_short_line(run, tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("# Notes")
    outcome = run("keys", "import", tmp_path / "imported", path)
    assert (2, True) == (outcome.code, f"{path} holds neither PEM nor JSON" in outcome.err)


def test_a_broken_certificate_is_named_without_the_librarys_structures(run, pki, tmp_path):
    path = tmp_path / "keystore.json"
    broken = "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----"
    path.write_text(json.dumps(keystore_of(pki, certificate=broken)))
    outcome = run("keys", "import", tmp_path / "imported", path, "--json")
    (rejected,) = outcome.facts["rejected"]
    assert rejected["reason"] == (
        "certificate: X.509 at 0: expected a certificate in PEM or DER, found error parsing asn1 value"
    )


def test_a_good_entry_is_taken_beside_a_bad_one(run, pki, tmp_path):
    path = tmp_path / "keystore.json"
    good, bad = keystore_of(pki), keystore_of(pki, use="keyAgreement")
    path.write_text(json.dumps({holder: uses | bad[holder] for holder, uses in good.items()}))
    outcome = run("keys", "import", tmp_path / "imported", path)
    assert outcome.code == 0
    assert "1 imported, 0 known already, 1 left out" in " ".join(outcome.out.split())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=3).map(json.dumps) | st.text(max_size=30))
def test_any_text_is_imported_or_refused_by_name(tmp_path, text):
    path = tmp_path / "any"
    path.write_text(text, errors="surrogatepass")
    try:
        done = keyfiles.import_file(tmp_path / "imported", path)
    except LamplighterError:
        return
    assert not done.added


def test_a_private_key_that_others_can_read_is_refused(run, pki):
    path = private_file(pki)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        outcome = run("keys", "list", pki)
        assert outcome.code == 2
        assert f"expected mode 0600, found {mode:04o}" in outcome.err
    path.chmod(0o400)
    assert run("keys", "list", pki).code == 0


def test_a_readable_private_key_is_not_imported_from_pem(run, pki, tmp_path):
    path = private_file(pki)
    copy = tmp_path / "copy.pem"
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o644)
    outcome = run("keys", "import", tmp_path / "imported", copy)
    assert outcome.code == 2
    assert "others can read" in outcome.err


def test_a_private_key_without_its_certificate_is_refused(pki):
    orphan = pki / "orphan.pem"
    orphan.write_bytes(pem(ec.derive_private_key(77, ec.SECP256R1())))
    orphan.chmod(0o600)
    with pytest.raises(UsageError, match="belongs to no certificate"):
        keyfiles.load(pki)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "nothing in PEM"),
        (b"not PEM at all", "nothing in PEM"),
        (pem(ec.derive_private_key(77, ec.SECP256R1()), password=b"x"), "found ENCRYPTED PRIVATE KEY"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "cannot be read"),
        (pem(ec.derive_private_key(77, ec.SECP384R1())), "not P-256"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "certificate: X.509"),
        (bytes(keyfiles.MAX_PEM_OCTETS + 1), "larger than any file of keys"),
    ],
    ids=["empty", "junk", "encrypted", "broken key", "wrong curve", "broken certificate", "huge"],
)
def test_a_file_that_holds_no_usable_key_is_refused_by_name(pki, octets, reason):
    path = pki / "bad.pem"
    path.write_bytes(octets)
    path.chmod(0o600)
    with pytest.raises(UsageError, match=reason) as refusal:
        keyfiles.load(pki)
    assert "bad.pem" in str(refusal.value)


def test_certificate_and_key_may_lie_in_files_of_their_own(pki):
    path = private_file(pki)
    text = path.read_text()
    cut = text.index("-----BEGIN PRIVATE")
    path.write_text(text[:cut])
    (pki / "apart.pem").write_text(text[cut:])
    (pki / "apart.pem").chmod(0o600)
    assert all(entry.private for entry in keyfiles.entries(pki))


def test_a_seal_key_is_read_only_where_its_owner_alone_can(pki):
    private = pki / "manufacturer.key"
    key = keyfiles.load_private_key(private)
    public = keyfiles.load_public_key(pki / "manufacturer.pub")
    assert key.public_key().public_numbers() == public.public_numbers()
    private.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        keyfiles.load_private_key(private)


def test_a_public_key_is_read_from_a_certificate_too(pki):
    path = private_file(pki)
    certificate = next(entry.certificate for entry in keyfiles.entries(pki) if entry.path == path)
    assert keyfiles.load_public_key(path).public_numbers() == certificate.public_key.public_numbers()
    (pki / "junk.pub").write_bytes(b"junk")
    (pki / "junk.pub").chmod(0o644)
    with pytest.raises(UsageError, match="no public key or certificate"):
        keyfiles.load_public_key(pki / "junk.pub")


def test_a_certificate_that_lies_without_its_key_is_named_when_the_key_comes_later(run, pki, tmp_path):
    path = private_file(pki)
    text = path.read_text()
    public, whole, target = tmp_path / "public.pem", tmp_path / "whole.pem", tmp_path / "target"
    public.write_text(text[: text.index("-----BEGIN PRIVATE")])
    whole.write_text(text)
    whole.chmod(0o600)
    assert run("keys", "import", target, public).code == 0
    outcome = run("keys", "import", target, whole, "--json")
    assert outcome.code == 1
    assert "lies without the private key" in outcome.facts["rejected"][0]["reason"]


@pytest.mark.parametrize("number", [0x5A, 0x02, None])
def test_every_role_has_a_name(number):
    names = {0x5A: "role-5a", 0x02: "supplier", None: "device"}
    assert names[number] == keyfiles.role_name(number)


# Keys on a token


def test_list_shows_what_is_on_the_token_and_does_not_ask_it(run, held, hsm):
    hsm.take_away()
    outcome = run("keys", "list", held)
    assert "8 with private keys, 2 on a token" in outcome.out
    assert "90-B3-D5-1F-30-01-00-00  supplier         ds   token" in outcome.out
    tokens = [entry["token"] for entry in run("keys", "list", held, "--json").facts["keys"]]
    assert 2 == tokens.count("supplier's own")


def test_check_has_every_signing_key_sign(run, held, hsm):
    """Those in files and those on the token; JSON alone is on stdout."""
    outcome = run("keys", "check", held, "--json")
    assert (0, [None] * 5) == (outcome.code, [each["reason"] for each in outcome.facts["keys"]])
    hsm.take_away()
    outcome = run("keys", "check", held)
    assert (1, True) == (outcome.code, "5 signing keys, 2 that cannot be used" in outcome.out)


def test_a_private_key_that_the_token_holds_is_not_imported_into_a_file(run, held, tmp_path):
    """It is known already."""
    before = {path: path.read_bytes() for path in held.iterdir()}
    facts = run("keys", "import", held, *sorted((tmp_path / "moved").iterdir()), "--json").facts
    assert (0, 2, 0) == (len(facts["added"]), len(facts["known"]), len(facts["rejected"]))
    assert before == {path: path.read_bytes() for path in held.iterdir()}
