"""Signatures against strangers, in both directions: the DCC's Java tool, xmlsec and signxml."""

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from lxml import etree

from lamplighter.kit import FirmwareVersion, ImageHash, VerificationError
from lamplighter.protocol import duis
from lamplighter.protocol.smki import Role, Use
from lamplighter.service import keyfiles

from .messages import ACB, ALERT, DCC_XML, HCALCS, HUB, NOW, PKI, PPMID, REQUEST, RING, SUPPLIER, responses

DSIG = "http://www.w3.org/2000/09/xmldsig#"
HASH = ImageHash(bytes(range(32)))
REQUESTS = {
    "8.2": duis.ReadInventory(PPMID),
    "11.1": duis.UpdateFirmware(bytes(400), FirmwareVersion(1), (HCALCS, PPMID)),
    "11.2": duis.ReadFirmwareVersion(),
    "11.3": duis.ActivateFirmware(HASH),
    "11.3 revoked": duis.ActivateFirmware(HASH, duis.CANCEL),
    "11.3 signed": duis.SignedPreCommand(bytes(200)),
    "11.4": duis.UpdatePpmidFirmware(bytes(400), FirmwareVersion(1), (PPMID,)),
}
ALERTS = {
    "N59": duis.FirmwareUpgradeRequested(duis.DeviceType.PPMID, FirmwareVersion(1), (PPMID, HCALCS)),
    "N61": duis.CspFirmwareDeliveryStatus(
        REQUEST.id, HUB, PPMID, FirmwareVersion(1), NOW, duis.TransferStatus.FAILURE
    ),
    "N62": ALERT.body.body,
    "N39": duis.PpmidAlert(
        PPMID,
        0x8F8B,
        NOW,
        duis.PpmidFirmwareUpgradeAlert(FirmwareVersion(1), duis.ActivationResult.SUCCESS),
    ),
}


@pytest.fixture(scope="module")
def java_tool(npm_package):
    """Run a class of the DCC's tool on a document."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no java")
    jar = npm_package("@smartdcc/duis-sign-wrap", "0.1.2") / "dist" / "tool.jar"

    def run(name, document):
        command = [java, "-cp", jar, f"uk.co.smartdcc.boxed.xmldsig.{name}", "-"]
        return subprocess.run(command, input=document, capture_output=True, check=False)

    return run


@pytest.mark.java
@pytest.mark.npm
@pytest.mark.parametrize("kind", REQUESTS)
def test_the_dccs_tool_accepts_every_request_that_is_signed_here(java_tool, keystore, kind):
    request = duis.Request(REQUEST.id, REQUESTS[kind])
    signed = duis.sign(duis.encode_request(request), keystore.signer(SUPPLIER, Role.XML_SIGNING))
    answer = java_tool("Validate", signed)
    assert (0, True) == (answer.returncode, b"passed signature check" in answer.stderr), answer.stderr


@pytest.mark.java
@pytest.mark.npm
def test_the_dccs_tool_accepts_what_a_token_signs(java_tool, keystore, hsm, tmp_path):
    """The DCC's own test key of a Supplier, in SoftHSM."""
    held = keystore.signer(SUPPLIER, Role.XML_SIGNING)
    keyfiles.create(tmp_path / "keys")
    keyfiles.store(tmp_path / "keys", held.certificate)
    hsm.keep(tmp_path / "keys", {held.certificate: held._key})
    on_token = keyfiles.load(tmp_path / "keys").signer(SUPPLIER, Role.XML_SIGNING)
    signed = duis.sign(duis.encode_request(duis.Request(REQUEST.id, REQUESTS["11.4"])), on_token)
    answer = java_tool("Validate", signed)
    assert (0, True) == (answer.returncode, b"passed signature check" in answer.stderr), answer.stderr


@pytest.mark.java
@pytest.mark.npm
@pytest.mark.parametrize("code", ALERTS)
def test_the_dccs_tool_accepts_an_alert_that_is_signed_here_with_the_dccs_key(java_tool, keystore, code):
    response = duis.Response(None, ALERT.response_id, "I0", NOW, duis.DccAlert(code, ALERTS[code]))
    signed = duis.sign(duis.encode_response(response), keystore.signer(ACB, Role.ACB_XML_SIGNING))
    answer = java_tool("Validate", signed)
    assert (0, True) == (answer.returncode, b"passed signature check" in answer.stderr), answer.stderr


@pytest.mark.java
@pytest.mark.npm
def test_the_dccs_tool_refuses_what_is_refused_here(java_tool, keystore):
    request = duis.Request(REQUEST.id, REQUESTS["11.4"])
    signed = duis.sign(duis.encode_request(request), keystore.signer(SUPPLIER, Role.XML_SIGNING))
    forged = signed.replace(str(PPMID).encode(), str(HCALCS).encode())
    assert java_tool("Validate", forged).returncode != 0
    with pytest.raises(VerificationError, match="xml-digest"):
        duis.open_request(forged, keystore, now=None)


@pytest.mark.java
@pytest.mark.npm
@pytest.mark.parametrize("kind", REQUESTS)
def test_what_the_dccs_tool_signs_is_opened_here(java_tool, keystore, kind):
    answer = java_tool("Sign", duis.encode_request(duis.Request(REQUEST.id, REQUESTS[kind])))
    opened = duis.open_request(answer.stdout, keystore, now=None)
    assert REQUESTS[kind] == opened.message.body  # the tool sets a counter of its own
    assert SUPPLIER == opened.signer.holder


@pytest.fixture(scope="module")
def pem():
    key = PKI.private_key(f"{ACB} {Role.ACB_XML_SIGNING:02X} {Use.DIGITAL_SIGNATURE.value}")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _xmlsec(pem):
    xmlsec = pytest.importorskip("xmlsec", reason="xmlsec is not installed")
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pem, xmlsec.KeyFormat.PEM)
    return context


@given(response=responses)
def test_xmlsec_accepts_every_message_that_is_signed_here(pem, response):
    root = etree.fromstring(duis.sign(duis.encode_response(response), DCC_XML))
    _xmlsec(pem).verify(root[-1])


TEMPLATE = f"""\
<{{0}}Signature xmlns{{1}}="{DSIG}">
  <{{0}}SignedInfo>
    <{{0}}CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>
    <{{0}}SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"/>
    <{{0}}Reference URI="">
      <{{0}}Transforms><{{0}}Transform Algorithm="{DSIG}enveloped-signature"/></{{0}}Transforms>
      <{{0}}DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
      <{{0}}DigestValue/>
    </{{0}}Reference>
  </{{0}}SignedInfo>
  <{{0}}SignatureValue/>
</{{0}}Signature>"""
KEY_INFO = (
    "<{0}KeyInfo><{0}X509Data><{0}X509IssuerSerial> <{0}X509IssuerName>{2}</{0}X509IssuerName>"
    "<{0}X509SerialNumber>{3}</{0}X509SerialNumber></{0}X509IssuerSerial></{0}X509Data></{0}KeyInfo>"
)


@pytest.mark.parametrize("prefix", ["ds", "", "other"])
@given(response=responses)
def test_what_xmlsec_signs_in_another_spelling_is_opened_here(pem, prefix, response):
    # Another prefix, line breaks inside the signature and around it: nothing that changes the meaning.
    spelling = (f"{prefix}:" if prefix else "", f":{prefix}" if prefix else "")
    certificate = DCC_XML.certificate
    template = TEMPLATE.format(*spelling).encode()
    root = etree.fromstring(
        duis.encode_response(response).replace(b"</sr:Response>", b"\n" + template + b"\n</sr:Response>")
    )
    _xmlsec(pem).sign(root[-1])
    key_info = KEY_INFO.format(*spelling, certificate.issuer, certificate.serial)
    end = f"</{spelling[0]}Signature>"
    signed = etree.tostring(root).decode().replace(end, key_info + end).encode()
    assert response == duis.open_response(signed, RING, now=NOW).message


def test_signxml_accepts_what_is_signed_here():
    signxml = pytest.importorskip("signxml", reason="signxml is not installed")
    signed = duis.sign(duis.encode_response(ALERT), DCC_XML)
    expected = signxml.SignatureConfiguration(require_x509=True, location="./")
    found = signxml.XMLVerifier().verify(signed, x509_cert=DCC_XML.certificate.pem, expect_config=expected)
    assert ALERT == duis.decode_response(etree.tostring(found.signed_xml))


def test_signxmls_second_transform_is_outside_the_profile(pem):
    signxml = pytest.importorskip("signxml", reason="signxml is not installed")
    signer = signxml.XMLSigner(signature_algorithm="ecdsa-sha256", digest_algorithm="sha256")
    signer.c14n_alg = signxml.CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
    root = etree.fromstring(duis.encode_response(ALERT))
    signed = etree.tostring(signer.sign(root, key=pem, cert=DCC_XML.certificate.pem.decode()))
    with pytest.raises(VerificationError) as refusal:
        duis.open_response(signed, RING, now=NOW)
    assert refusal.value.check == "xml-transform"
