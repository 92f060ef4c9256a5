"""A Supplier, the DCC, a hub and two Devices, with keys, for the service tests."""

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import from_iso
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.smki import Role, Use
from lamplighter.service.gateway import Parties

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
BROKER = Eui64.parse("90-B3-D5-1F-30-00-00-02")
HUB = Eui64.parse("00-DB-12-34-56-78-90-A2")
PPMID = Eui64.parse("00-DB-12-34-56-78-90-A4")
HCALCS = Eui64.parse("00-DB-12-34-56-78-90-A6")
STRANGER = Eui64.parse("00-DB-12-34-56-78-90-FF")
DEVICES = (HUB, PPMID, HCALCS)

NOW = from_iso("2026-11-23T10:00:00Z")
NEW = FirmwareVersion(0x00020000)
HASH = ImageHash(b"\x07" * 32)

PKI = Pki("service tests")
PARTIES = Parties(SUPPLIER, BROKER, PKI.supplier(SUPPLIER, BROKER, DEVICES))
DSP = PKI.acb(BROKER, [SUPPLIER], DEVICES).signer(BROKER, Role.ACB_XML_SIGNING)


def clock():
    return NOW


def alert(body, user=SUPPLIER, at=NOW, counter=1):
    """An alert as the DSP sends it, unsigned."""
    return duis.Response(None, duis.RequestId(BROKER, user, counter), "I0", at, body)


def answer(request, code, payload=None):
    """The synchronous answer to a request, unsigned."""
    srv = {
        duis.UpdateFirmware: "11.1",
        duis.UpdatePpmidFirmware: "11.4",
        duis.ActivateFirmware: "11.3",
        duis.SignedPreCommand: "11.3",
        duis.ReadFirmwareVersion: "11.2",
        duis.ReadInventory: "8.2",
    }[type(request.body)]
    return duis.Response(request.id, None, code, NOW, duis.ResponseMessage(srv, srv, payload))


def by_dsp(response):
    """The octets of a response, signed by the DSP."""
    return duis.sign(duis.encode_response(response), DSP)


def from_device(payload, eui, recipient=SUPPLIER, counter=1, signer=None):
    """A Device's own message."""
    date_time = bytes.fromhex("07DF0101FF000000008000FF") if isinstance(payload, gbcs.Cs06Response) else b""
    message = gbcs.compose(payload, originator=eui, recipient=recipient, counter=counter, date_time=date_time)
    return gbcs.sign(message, PKI.issued(signer or eui, None, Use.DIGITAL_SIGNATURE))


def read_answer(version=NEW, eui=PPMID, counter=9, outcome=gbcs.Outcome.SUCCESS, **changes):
    """The answer to SRV 11.2: from the Device to the ACB on our behalf, with a MAC that is none."""
    fields = {"originator": eui, "recipient": BROKER, "supplementary": gbcs.Supplementary(SUPPLIER, counter)}
    message = gbcs.compose(gbcs.Cs08Response(version, outcome), counter=77, **fields | changes)
    octets = gbcs.mac.wrap(gbcs.encode_message(message), b"\x05" * 32)
    request = duis.RequestId(SUPPLIER, eui, counter)
    body = duis.ResponseMessage("11.2", "11.2", duis.GbcsPayload(octets))
    return duis.Response(request, request.swapped, "I0", NOW, body)


def no_answer(srv, code, eui=HCALCS, counter=9):
    """What the DCC says where a Device did not answer."""
    request = duis.RequestId(SUPPLIER, eui, counter)
    return duis.Response(request, None, code, NOW, duis.ResponseMessage(srv, srv))


def delivered(eui=PPMID, status=duis.TransferStatus.SUCCESS, version=NEW, at=NOW, request=None):
    request = request or duis.RequestId(SUPPLIER, BROKER, 5)
    code = "N60" if status is duis.TransferStatus.SUCCESS else "N61"
    return alert(duis.DccAlert(code, duis.CspFirmwareDeliveryStatus(request, HUB, eui, version, at, status)))


def transferred(
    eui=PPMID,
    response=duis.TransferResponse.FILE_TRANSFER_SUCCESS,
    version=NEW,
    at=NOW,
    code=None,
    request=None,
):
    code = code or (0x8F8A if response is duis.TransferResponse.FILE_TRANSFER_SUCCESS else 0x8F89)
    transfer = duis.FirmwareTransferAlert(request, eui, version, response)
    return alert(duis.DccAlert("N62", duis.CommsHubAlert(HUB, code, at, transfer)))


def activated(eui=PPMID, version=NEW, result=duis.ActivationResult.SUCCESS, at=NOW, code=0x8F8B):
    upgrade = duis.PpmidFirmwareUpgradeAlert(version, result)
    return alert(duis.DccAlert("N39", duis.PpmidAlert(eui, code, at, upgrade)))


def receipt(eui=HCALCS, code=gbcs.AlertCode.IMAGE_VERIFIED, image_hash=HASH, signer=None, beside=None):
    octets = from_device(gbcs.ReceiptAlert(code, Instant(NOW), image_hash), eui, signer=signer)
    return alert(duis.DeviceAlert(beside or int(code), octets))


def accepted_for_later(eui=HCALCS, counter=9):
    """NULL: the Device has taken a command that is dated ahead, or what calls one off."""
    request = duis.RequestId(SUPPLIER, eui, counter)
    octets = from_device(gbcs.Cs06Accepted(), eui, SUPPLIER, counter)
    body = duis.ResponseMessage("11.3", "11.3", duis.GbcsPayload(octets))
    return duis.Response(request, request.swapped, "I0", NOW, body)


def outcome(command, at=NOW, version=NEW, eui=HCALCS):
    """8F66: what came of an activation that was dated ahead."""
    code, result = gbcs.AlertCode.FUTURE_DATED_SUCCESS, gbcs.ActivationResult.SUCCESS
    octets = from_device(gbcs.OutcomeAlert(code, at, command, result, version), eui, SUPPLIER, 1)
    request = duis.RequestId(SUPPLIER, eui, command)
    payload = duis.FutureDatedDeviceAlert(duis.FutureDatedCode.SUCCESS, octets, 1, 1)
    return duis.Response(request, request.swapped, "I0", NOW, duis.ResponseMessage("11.3", "11.3", payload))


def activation_response(
    result=gbcs.ActivationResult.SUCCESS, version=NEW, eui=HCALCS, counter=9, recipient=SUPPLIER
):
    request = duis.RequestId(SUPPLIER, eui, counter)
    octets = from_device(gbcs.Cs06Response(result, version), eui, recipient, counter)
    body = duis.ResponseMessage("11.3", "11.3", duis.GbcsPayload(octets))
    return duis.Response(request, request.swapped, "I0", NOW, body)
