"""What each message of the two procedures says of a Device, and what is not believed."""

import pytest

from lamplighter.campaign import Evidence, Fact
from lamplighter.kit import DecodeError, FirmwareVersion, VerificationError
from lamplighter.protocol import duis, gbcs
from lamplighter.service.testimony import Statement, statements_in

from .parties import (
    BROKER,
    HASH,
    HCALCS,
    HUB,
    NEW,
    NOW,
    PARTIES,
    PPMID,
    STRANGER,
    SUPPLIER,
    activated,
    activation_response,
    alert,
    delivered,
    from_device,
    receipt,
    transferred,
)

OLD = FirmwareVersion(1)


def said(response):
    return statements_in(response, PARTIES, NOW)


def outcome(result, code, eui=HCALCS, beside=None):
    octets = from_device(gbcs.OutcomeAlert(code, NOW, 9, result, NEW), eui)
    body = duis.ResponseMessage(
        "11.3", "11.3", duis.FutureDatedDeviceAlert(duis.FutureDatedCode(beside or code), octets, 1, 1)
    )
    request = duis.RequestId(SUPPLIER, eui, 9)
    return duis.Response(request, request.swapped, "I0", NOW, body)


@pytest.mark.parametrize(
    ("response", "device", "evidence", "about", "counter"),
    [
        (delivered(), PPMID, Evidence(Fact.AT_HUB, NOW, "N60"), NEW, 5),
        (delivered(status=duis.TransferStatus.FAILURE), PPMID, Evidence(Fact.HUB_FAILED, NOW, "N61"), NEW, 5),
        (transferred(), PPMID, Evidence(Fact.ON_DEVICE, NOW, "N62"), NEW, None),
        *(
            (
                transferred(response=r), PPMID,
                Evidence(Fact.TRANSFER_FAILED, NOW, "N62", r.value), NEW, None,
            )
            for r in duis.TransferResponse if r is not duis.TransferResponse.FILE_TRANSFER_SUCCESS
        ),
        (transferred(at=None), PPMID, Evidence(Fact.ON_DEVICE, NOW, "N62"), NEW, None),
        (activated(), PPMID, Evidence(Fact.ACTIVATED, NOW, "N39", version=NEW), None, None),
        (
            activated(version=OLD, result=duis.ActivationResult.FAILURE), PPMID,
            Evidence(Fact.ACTIVATION_FAILED, NOW, "N39", version=OLD), None, None,
        ),
        (receipt(), HCALCS, Evidence(Fact.IMAGE_VERIFIED, NOW, "8F72"), HASH, None),
        (
            receipt(code=gbcs.AlertCode.IMAGE_REJECTED), HCALCS,
            Evidence(Fact.IMAGE_REJECTED, NOW, "8F1C"), HASH, None,
        ),
        (activation_response(), HCALCS, Evidence(Fact.ACTIVATED, NOW, "CS06", version=NEW), None, 9),
        (
            activation_response(gbcs.ActivationResult.HASH_MISMATCH, OLD), HCALCS,
            Evidence(Fact.ACTIVATION_FAILED, NOW, "CS06", "hash mismatch", OLD), None, 9,
        ),
        (
            outcome(gbcs.ActivationResult.SUCCESS, gbcs.AlertCode.FUTURE_DATED_SUCCESS), HCALCS,
            Evidence(Fact.ACTIVATED, NOW, "8F66", version=NEW), None, 9,
        ),
        (
            outcome(gbcs.ActivationResult.ACTIVATION_FAILURE, gbcs.AlertCode.FUTURE_DATED_FAILURE), HCALCS,
            Evidence(Fact.ACTIVATION_FAILED, NOW, "8F67", "activation failure", NEW), None, 9,
        ),
    ],
)  # fmt: skip
def test_a_message_says_one_thing_of_one_device(response, device, evidence, about, counter):
    """Each alert and response of SRV 11.1, 11.3 and 11.4, as evidence."""
    assert said(response) == (Statement(device, evidence, about, counter),)


def test_a_distribution_failure_speaks_of_every_device_it_lists():
    """N18: one alert, many Devices."""
    request = duis.RequestId(SUPPLIER, BROKER, 5)
    failure = alert(duis.DccAlert("N18", duis.FirmwareDistributionFailure(request, (PPMID, HCALCS))))
    evidence = Evidence(Fact.HUB_FAILED, NOW, "N18")
    assert said(failure) == (
        Statement(PPMID, evidence, request=5),
        Statement(HCALCS, evidence, request=5),
    )


@pytest.mark.parametrize(
    "body",
    [
        duis.FirmwareUpgradeRequested(duis.DeviceType.PPMID, NEW, (PPMID,)),
        duis.CommsHubFirmwareActivation(HUB, NEW),
        duis.PpmidAlert(PPMID, 0x8F8B, NOW, None),
        duis.CommsHubAlert(HUB, 0x8F8A, NOW, None),
    ],
)
def test_an_alert_of_no_concern_says_nothing(body):
    """N59, N64 and alerts without particulars are no evidence, and no error."""
    assert said(alert(duis.DccAlert("N59", body))) == ()


def test_an_alert_forged_by_another_device_is_not_believed():
    """One home's HCALCS cannot speak for another's, even through the real DSP."""
    with pytest.raises(VerificationError, match="signature"):
        said(receipt(signer=HUB))


def test_an_alert_code_that_contradicts_the_device_is_not_believed():
    """The DSP's envelope says 8F72 while the Device's own message says 8F1C."""
    lie = receipt(code=gbcs.AlertCode.IMAGE_REJECTED, beside=0x8F72)
    with pytest.raises(VerificationError, match="alert-code"):
        said(lie)
    with pytest.raises(VerificationError, match="alert-code"):
        said(outcome(gbcs.ActivationResult.SUCCESS, gbcs.AlertCode.FUTURE_DATED_SUCCESS, beside=0x8F67))


@pytest.mark.parametrize(
    "response",
    [
        transferred(code=0x8F89),
        transferred(response=duis.TransferResponse.FILE_TRANSFER_FAILURE, code=0x8F8A),
        activated(code=0x1234),
        outcome(gbcs.ActivationResult.SUCCESS, gbcs.AlertCode.FUTURE_DATED_FAILURE),
        outcome(gbcs.ActivationResult.HASH_MISMATCH, gbcs.AlertCode.FUTURE_DATED_SUCCESS),
    ],
    ids=["failed success", "succeeded failure", "stray code", "8F67 success", "8F66 failure"],
)
def test_a_message_that_contradicts_itself_is_not_believed_by_half(response):
    """A code of failure beside a result of success: neither is taken."""
    with pytest.raises(VerificationError, match="alert code"):
        said(response)


def test_a_devices_message_to_somebody_else_is_not_ours():
    """A genuine CS06 response to another Supplier, passed on to us, proves nothing."""
    with pytest.raises(VerificationError, match="gbcs-recipient"):
        said(activation_response(recipient=STRANGER))


@pytest.mark.parametrize("make", [delivered, transferred])
def test_an_alert_about_anothers_request_is_not_ours(make):
    """N60 and N62 name the request: another User's does not move our Device."""
    with pytest.raises(VerificationError, match="request-of-another"):
        said(make(request=duis.RequestId(STRANGER, BROKER, 5)))


def test_octets_that_are_no_gbcs_message_are_refused_by_field():
    """A truncated Device message inside a good envelope."""
    with pytest.raises(DecodeError):
        said(alert(duis.DeviceAlert(0x8F72, b"\xdf\x09\x03")))
