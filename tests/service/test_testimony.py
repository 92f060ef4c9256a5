"""What each message of the two procedures says of a Device, and what is not believed."""

import pytest

from lamplighter.campaign import Cause, Evidence, Fact
from lamplighter.kit import DecodeError, FirmwareVersion, VerificationError
from lamplighter.protocol import duis, gbcs
from lamplighter.service.gateway import Parties
from lamplighter.service.testimony import Statement, incoming, statements_in
from lamplighter.store.inbox import COUNTER_MAX, Incoming

from .parties import (
    BROKER,
    DEVICES,
    HASH,
    HCALCS,
    HUB,
    NEW,
    NOW,
    PARTIES,
    PKI,
    PPMID,
    STRANGER,
    SUPPLIER,
    activated,
    activation_response,
    alert,
    delivered,
    from_device,
    no_answer,
    read_answer,
    receipt,
    transferred,
)

OLD = FirmwareVersion(1)


def said(response):
    return statements_in(response, PARTIES)


def status(change):
    return duis.DeviceStatusChangeEvent(HCALCS, change)


def quarantined(code, target):
    request = duis.RequestId(SUPPLIER, target, 5)
    return alert(duis.DccAlert(code, duis.QuarantinedRequest(request, "1", duis.Breach.USER_THRESHOLD)))


def upgrade_of(*devices):
    return duis.FirmwareUpgradeRequested(duis.DeviceType.PPMID, NEW, devices)


def scheduled():
    request = duis.RequestId(SUPPLIER, HCALCS, 9)
    octets = from_device(gbcs.Cs06Accepted(), HCALCS, SUPPLIER, 9)
    body = duis.ResponseMessage("11.3", "11.3", duis.GbcsPayload(octets))
    return duis.Response(request, request.swapped, "I0", NOW, body)


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
        (
            delivered(status=duis.TransferStatus.FAILURE), PPMID,
            Evidence(Fact.HUB_FAILED, NOW, "N61", Cause.DISTRIBUTION), NEW, 5,
        ),
        (transferred(), PPMID, Evidence(Fact.ON_DEVICE, NOW, "N62"), NEW, None),
        *(
            (
                transferred(response=response), PPMID,
                Evidence(Fact.TRANSFER_FAILED, NOW, "N62", cause, response.value), NEW, None,
            )
            for response, cause in (
                (duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED, Cause.DISCARDED),
                (duis.TransferResponse.HARDWARE_VERSION_MISMATCH, Cause.HARDWARE),
                (duis.TransferResponse.FILE_TRANSFER_FAILURE, Cause.TRANSFER),
            )
        ),
        (transferred(at=None), PPMID, Evidence(Fact.ON_DEVICE, NOW, "N62"), NEW, None),
        (activated(), PPMID, Evidence(Fact.ACTIVATED, NOW, "N39", version=NEW), None, None),
        (
            activated(version=OLD, result=duis.ActivationResult.FAILURE), PPMID,
            Evidence(Fact.ACTIVATION_FAILED, NOW, "N39", Cause.ACTIVATION, version=OLD), None, None,
        ),
        (receipt(), HCALCS, Evidence(Fact.IMAGE_VERIFIED, NOW, "8F72"), HASH, None),
        (
            receipt(code=gbcs.AlertCode.IMAGE_REJECTED), HCALCS,
            Evidence(Fact.IMAGE_REJECTED, NOW, "8F1C", Cause.SIGNATURE), HASH, None,
        ),
        (activation_response(), HCALCS, Evidence(Fact.ACTIVATED, NOW, "CS06", version=NEW), None, 9),
        *(
            (
                activation_response(result, OLD), HCALCS,
                Evidence(Fact.ACTIVATION_FAILED, NOW, "CS06", cause, detail, OLD), None, 9,
            )
            for result, cause, detail in (
                (gbcs.ActivationResult.NO_IMAGE_HELD, Cause.NO_IMAGE, "no image held"),
                (gbcs.ActivationResult.HASH_MISMATCH, Cause.HASH, "hash mismatch"),
                (gbcs.ActivationResult.ACTIVATION_FAILURE, Cause.ACTIVATION, "activation failure"),
            )
        ),
        (scheduled(), HCALCS, Evidence(Fact.ACTIVATION_SCHEDULED, NOW, "CS06"), None, 9),
        (read_answer(), PPMID, Evidence(Fact.VERSION_READ, NOW, "CS08", version=NEW), None, 9),
        (
            read_answer(outcome=gbcs.Outcome.FAILURE), PPMID,
            Evidence(Fact.READ_FAILED, NOW, "CS08", Cause.UNBELIEVABLE, "failure"), None, 9,
        ),
        *(
            (no_answer(srv, code), HCALCS, Evidence(fact, NOW, f"SRV {srv}", cause, code), None, 9)
            for srv, code, fact, cause in (
                ("11.2", "E20", Fact.READ_FAILED, Cause.UNREACHABLE),
                ("11.2", "E4", Fact.READ_FAILED, Cause.ACCESS),
                ("11.3", "E21", Fact.NO_WORD_OF_ACTIVATION, Cause.UNREACHABLE),
                ("11.3", "E30", Fact.NO_WORD_OF_ACTIVATION, Cause.UNREACHABLE),
                ("11.3", "E5", Fact.ACTIVATION_REFUSED, Cause.NOT_COMMISSIONED),
            )
        ),
        (
            quarantined("N46", PPMID), PPMID,
            Evidence(Fact.QUARANTINED, NOW, "N46", Cause.QUARANTINE, "ADUserThresholdBreach"), None, 5,
        ),
        *(
            (alert(duis.DccAlert(code, body)), HCALCS, Evidence(Fact.LEFT, NOW, code, cause), None, None)
            for code, body, cause in (
                ("N43", duis.PpmidRemoval(HCALCS, HUB), Cause.REMOVED),
                (
                    "N27",
                    duis.DeviceChangeOfSupplier(HCALCS, duis.DeviceType.HCALCS, duis.MeterPoints("1")),
                    Cause.SUPPLIER,
                ),
                ("N8", status(duis.StatusChange.SUSPENDED), Cause.SUSPENDED),
                ("N6", status(duis.StatusChange.REMOVED_FROM_INVENTORY), Cause.REMOVED),
                ("N2", status(duis.MeterDecommissioned(duis.MeterPoints("1"))), Cause.DECOMMISSIONED),
            )
        ),
        (
            outcome(gbcs.ActivationResult.SUCCESS, gbcs.AlertCode.FUTURE_DATED_SUCCESS), HCALCS,
            Evidence(Fact.ACTIVATED, NOW, "8F66", version=NEW), None, 9,
        ),
        (
            outcome(gbcs.ActivationResult.ACTIVATION_FAILURE, gbcs.AlertCode.FUTURE_DATED_FAILURE), HCALCS,
            Evidence(Fact.ACTIVATION_FAILED, NOW, "8F67", Cause.ACTIVATION, "activation failure", NEW),
            None, 9,
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
    evidence = Evidence(Fact.HUB_FAILED, NOW, "N18", Cause.DISTRIBUTION)
    assert said(failure) == (
        Statement(PPMID, evidence, request=5),
        Statement(HCALCS, evidence, request=5),
    )


@pytest.mark.parametrize(
    "body",
    [
        upgrade_of(PPMID),
        duis.CommsHubFirmwareActivation(HUB, NEW),
        duis.PpmidAlert(PPMID, 0x8F8B, NOW, None),
        duis.CommsHubAlert(HUB, 0x8F8A, NOW, None),
        duis.FirmwareVersionMismatch(PPMID, duis.DeviceType.PPMID, OLD, NEW),
        duis.ChangeOfSupplier(duis.RequestId(SUPPLIER, HCALCS, 5)),
        status(duis.StatusChange.RESTORED),
        status(duis.StatusChange.CHF_DECOMMISSIONED),
        quarantined("N46", BROKER).body.body,
    ],
)
def test_an_alert_of_no_concern_says_nothing(body):
    """No evidence, and no error.

    N59 and N64; alerts without particulars; N49, for what the DCC says that a Device runs proves nothing; our
    own gain of a Device; one that was restored; a whole hub; a request with Devices that N46 does not name.
    """
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


def test_what_goes_with_a_meter_leaves_with_it():
    """N2 names the HCALCS that hang off an ESME: one that it names twice leaves once."""
    switch = duis.AssociatedDevice(PPMID, duis.DeviceType.HCALCS)
    gone = duis.MeterDecommissioned(duis.MeterPoints("1"), (switch, switch))
    said_of = [each.device for each in said(alert(duis.DccAlert("N2", status(gone))))]
    assert [HCALCS, PPMID] == said_of


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": SUPPLIER},
        {"supplementary": gbcs.Supplementary(STRANGER, 9)},
        {"supplementary": None},
    ],
    ids=["to us", "for another", "for nobody"],
)
def test_an_answer_that_was_not_given_on_our_behalf_is_not_believed(changes):
    """A CS08 response replayed out of another User's conversation, inside a good envelope."""
    with pytest.raises((VerificationError, DecodeError)):
        said(read_answer(**changes))


def test_a_mac_that_can_be_checked_must_be_right():
    """A key ring that holds the ACB's key, as the DCC's test keystore does, tells a forged answer."""
    knowing = Parties(SUPPLIER, BROKER, PKI.acb(BROKER, [SUPPLIER], DEVICES))
    with pytest.raises(VerificationError, match="mac"):
        statements_in(read_answer(), knowing)


def test_only_cs08_answers_a_reading():
    """SRV 11.2 answered by a message of another kind, which bears no MAC of the Device."""
    octets = from_device(gbcs.ReceiptAlert(gbcs.AlertCode.IMAGE_VERIFIED, NOW, HASH), HCALCS)
    request = duis.RequestId(SUPPLIER, HCALCS, 9)
    body = duis.ResponseMessage("11.2", "11.2", duis.GbcsPayload(octets))
    with pytest.raises(VerificationError, match="gbcs-kind"):
        said(duis.Response(request, request.swapped, "I0", NOW, body))


def test_a_counter_that_we_cannot_have_allocated_is_nobodys():
    """2**63 is a lawful counter in DUIS, and no number of the database."""
    assert said(delivered(request=duis.RequestId(SUPPLIER, BROKER, COUNTER_MAX)))
    with pytest.raises(VerificationError, match="request-counter"):
        said(delivered(request=duis.RequestId(SUPPLIER, BROKER, COUNTER_MAX + 1)))


def test_a_throttled_alert_weighs_what_it_stands_for():
    """One N39 for five, and one that says nothing of its number."""
    body = activated().body
    for throttled, weight in ((duis.Throttled(1, 5), 5), (duis.Throttled(1, None), 1), (None, 1)):
        told = alert(duis.DccAlert("N39", body.body, throttled))
        assert weight == incoming(b"octets", told, PARTIES, NOW).weight
        told = alert(duis.DeviceAlert(0x8F72, b"", throttled))
        assert weight == incoming(b"octets", told, PARTIES, NOW).weight


def test_a_device_that_cannot_be_believed_makes_a_dead_letter():
    """The DSP's envelope is good: the message is kept, with the reason instead of what it says."""
    told = incoming(b"octets", receipt(signer=HUB), PARTIES, NOW)
    assert (told.code, told.statements) == ("8F72", ())
    assert told.reason.startswith("signature: expected a signature by 00-DB-")


@pytest.mark.parametrize(
    ("response", "code", "device"),
    [
        (delivered(), "N60", PPMID),
        (transferred(), "N62", PPMID),
        (activated(), "N39", PPMID),
        (receipt(), "8F72", BROKER),
        (activation_response(), "I0", HCALCS),
        (no_answer("11.3", "E20"), "E20", HCALCS),
        (no_answer("11.4", "E20", BROKER), "E20", None),
        (alert(duis.DccAlert("N64", duis.CommsHubFirmwareActivation(HUB, NEW))), "N64", HUB),
        (alert(duis.DccAlert("N62", duis.CommsHubAlert(HUB, 0x8F8A, NOW, None))), "N62", HUB),
        (quarantined("N46", BROKER), "N46", None),
        (alert(duis.DccAlert("N43", duis.PpmidRemoval(PPMID, HUB))), "N43", PPMID),
        (alert(duis.DccAlert("N59", upgrade_of(PPMID, HCALCS))), "N59", None),
        (alert(duis.DccAlert("N59", upgrade_of(PPMID))), "N59", PPMID),
    ],
)  # fmt: skip
def test_a_message_is_filed_under_its_code_and_device(response, code, device):
    """What the inbox is searched by."""
    told = incoming(b"octets", response, PARTIES, NOW)
    assert isinstance(told, Incoming)
    assert (code, device) == (told.code, told.device)
