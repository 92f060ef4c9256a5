"""Write corpus/<target>/ from our own encoders: `python -m fuzz.seeds`. The files do not vary."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
from lamplighter.kit.instant import from_iso
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis, gbcs, image, smki, zigbee

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS: Final = Path(__file__).parent / "corpus"

SUPPLIER: Final = Eui64.of(0x90B3D51F30010000)
BROKER: Final = Eui64.of(0x90B3D51F30000002)
DEVICE: Final = Eui64.of(0x00DB1234567890A4)
HUB: Final = Eui64.of(0x00DB1234567890A0)
VERSION: Final = FirmwareVersion(0x01020304)
FIRMWARE: Final = b"not really firmware"
HASH: Final = ImageHash(hashlib.sha256(FIRMWARE).digest())
AT: Final = from_iso("2030-01-15T09:00:00Z")

PKI: Final = Pki("corpus")
SUPPLIER_KEY: Final = PKI.issued(SUPPLIER, smki.Role.SUPPLIER, smki.Use.DIGITAL_SIGNATURE)
DEVICE_KEY: Final = PKI.issued(DEVICE, None, smki.Use.DIGITAL_SIGNATURE)
REQUEST_KEY: Final = PKI.issued(SUPPLIER, smki.Role.XML_SIGNING, smki.Use.DIGITAL_SIGNATURE)
RESPONSE_KEY: Final = PKI.issued(BROKER, smki.Role.ACB_XML_SIGNING, smki.Use.DIGITAL_SIGNATURE)
RING: Final = PKI.acb(BROKER, (SUPPLIER,), (DEVICE,))

# The only three messages that are signed by keys of the ring.
ALERT: Final = gbcs.sign(
    gbcs.compose(
        gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, AT, VERSION, gbcs.Outcome.SUCCESS),
        originator=DEVICE,
        recipient=BROKER,
        counter=5,
    ),
    DEVICE_KEY,
)
REQUEST: Final = duis.Request(duis.RequestId(SUPPLIER, DEVICE, 5), duis.ActivateFirmware(HASH))
RESPONSE: Final = duis.Response(None, None, "I0", AT, duis.DeviceAlert(0x8F72, ALERT))

Seed = tuple[str, bytes]


def images() -> Iterator[Seed]:
    """Both layouts, sealed and not, and files that end or lie about their size where it hurts."""
    built = image.build(
        FIRMWARE,
        manufacturer=0x1234,
        image_type=0x0084,
        file_version=VERSION,
        minimum_hardware=0x0100,
        maximum_hardware=0x01FF,
        text=b"corpus",
    )
    whole = image.encode(built)
    signed = image.encode(image.sign_supplier(built, SUPPLIER_KEY))
    yield "11.4", whole
    yield "11.1", signed
    yield "11.1-force-replace", image.encode(image.sign_supplier(built, SUPPLIER_KEY, force_replace=True))
    yield "sealed-manufacturer-image", image.seal(FIRMWARE, DEVICE_KEY)
    yield "header-only", whole[:60]
    yield "header-cut", whole[:59]
    yield "trailer-cut", signed[:-1]
    yield "size-below-header", whole[:52] + (59).to_bytes(4, "little") + whole[56:]
    yield "size-of-4-gigabytes", whole[:52] + b"\xff\xff\xff\xff" + whole[56:]
    yield "hardware-range-reversed", whole[:56] + b"\xff\x01\x00\x01" + whole[60:]
    yield "security-credential-bit", whole[:8] + b"\x05\x00" + whole[10:]
    yield "empty", b""


def gbcs_messages() -> Iterator[Seed]:
    """Every use case of an update, signed or MACed as is due, and lengths that lie."""
    payloads: dict[str, gbcs.Payload] = {
        "cs06-pre-command": gbcs.Cs06Command(HASH, 5, None),
        "cs06-pre-command-future": gbcs.Cs06Command(HASH, 5, AT),
        "cs06-pre-command-cancel": gbcs.Cs06Command(HASH, 5, gbcs.CANCELLED),
        "cs06-response": gbcs.Cs06Response(gbcs.ActivationResult.SUCCESS, VERSION),
        "cs06-response-accepted": gbcs.Cs06Accepted(),
        "outcome-alert": gbcs.OutcomeAlert(
            gbcs.AlertCode.FUTURE_DATED_SUCCESS, AT, 5, gbcs.ActivationResult.SUCCESS, VERSION
        ),
        "receipt-gbz": gbcs.ReceiptAlert(gbcs.AlertCode.IMAGE_VERIFIED, AT, HASH),
        "receipt-dlms": gbcs.ReceiptAlert(
            gbcs.AlertCode.IMAGE_REJECTED,
            gbcs.CosemDateTime(bytes.fromhex("07ee010fff0900000080 0000")),
            HASH,
            0x200007D0,
        ),
        "cs08-response": gbcs.Cs08Response(VERSION, gbcs.Outcome.SUCCESS),
        "cs09-alert": gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, AT, VERSION, gbcs.Outcome.SUCCESS),
        "ccs08-alert": gbcs.Ccs08Alert(
            gbcs.AlertCode.TRANSFER_SUCCEEDED, AT, DEVICE, VERSION, gbcs.TransferResult.SUCCESS
        ),
    }
    for name, payload in payloads.items():
        yield name, gbcs.encode_message(_unsigned(payload))
    activate = _unsigned(payloads["cs06-pre-command"])
    yield "cs06-pre-command-bare", gbcs.encode_message(activate)[:-1]
    yield "cs06-command", gbcs.mac.enclose(gbcs.sign(activate, SUPPLIER_KEY), b"twelve bytes")
    yield "cs09-alert-signed", ALERT
    read = gbcs.compose(
        gbcs.Cs08Command(),
        originator=BROKER,
        recipient=DEVICE,
        counter=7,
        supplementary=gbcs.Supplementary(SUPPLIER, 6),
    )
    yield "cs08-command", gbcs.mac.enclose(gbcs.encode_message(read), b"twelve bytes")
    yield "length-of-4-gigabytes", ALERT[:32] + b"\x84\xff\xff\xff\xff" + ALERT[33:]
    yield "length-not-minimal", ALERT[:32] + b"\x81" + ALERT[32:]
    yield "signature-cut", ALERT[:-1]
    yield "content-empty", gbcs.encode_message(activate._replace(content=b""))
    yield "content-empty-unknown-code", gbcs.encode_message(activate._replace(code=0x0304, content=b""))
    yield "wrapping-of-nothing", bytes.fromhex("dd000000000000111100000000") + bytes(12)


def _unsigned(payload: gbcs.Payload) -> gbcs.Message:
    supplier_s = isinstance(payload, gbcs.Cs06Command)
    return gbcs.compose(
        payload,
        originator=SUPPLIER if supplier_s else DEVICE,
        recipient=DEVICE if supplier_s else SUPPLIER,
        counter=5,
    )


def zigbee_frames() -> Iterator[Seed]:
    """The eight commands in every shape, and frames that say what they may not."""
    what = zigbee.ImageId(0x1234, 0x0084, VERSION)
    commands = {
        "notify-any": zigbee.ImageNotify(100),
        "notify-version": zigbee.ImageNotify(1, 0x1234, 0x0084, VERSION),
        "query": zigbee.QueryNextImageRequest(what),
        "query-hardware": zigbee.QueryNextImageRequest(what, 0x0101),
        "next-image": zigbee.NextImage(what, 750_000),
        "no-next-image": zigbee.NoNextImage(zigbee.Status.NO_IMAGE_AVAILABLE),
        "block-request": zigbee.ImageBlockRequest(what, 40, 40),
        "block-request-all": zigbee.ImageBlockRequest(what, 0xFFFFFFFF, 255, DEVICE, 500),
        "page-request": zigbee.ImagePageRequest(what, 0, 40, 400, 100, DEVICE),
        "block": zigbee.ImageBlock(what, 40, FIRMWARE),
        "wait": zigbee.WaitForData(0, 0xFFFFFFFF, 0),
        "abort": zigbee.AbortTransfer(),
        "end-request": zigbee.UpgradeEndRequest(zigbee.Status.SUCCESS, what),
        "end-response": zigbee.UpgradeEndResponse(what, 0, 0xFFFFFFFF),
    }
    for name, command in commands.items():
        yield name, zigbee.encode(zigbee.Frame(7, command))
    block = zigbee.encode(zigbee.Frame(7, commands["block"]))
    yield "block-cut", block[:-1]
    yield "block-overlong", block + b"\0"
    yield "wrong-direction", b"\x01" + block[1:]
    yield "unknown-command", b"\x09\x07\x08"


def certificates() -> Iterator[Seed]:
    """A Device's and an organisation's, and what is nearly one."""
    device, supplier = DEVICE_KEY.certificate, SUPPLIER_KEY.certificate
    yield "device.der", device.der
    yield "organisation.der", supplier.der
    yield "organisation.pem", supplier.pem
    serial = device.serial.to_bytes((device.serial.bit_length() + 7) // 8, "big")
    yield "serial-negative.der", device.der.replace(serial, b"\x80" + serial[1:])
    yield "serial-zero.der", device.der.replace(serial, bytes(len(serial)))
    yield "cut.der", device.der[:-1]
    yield "overlong.der", device.der + b"\0"
    yield "empty.pem", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    yield "not-base64.pem", supplier.pem.replace(b"M", b"*", 1)


def duis_requests() -> Iterator[Seed]:
    """Each service, a signed request, and what attacks on XML and its signature look like."""
    ota = image.encode(
        image.build(
            FIRMWARE,
            manufacturer=0x1234,
            image_type=0x0084,
            file_version=VERSION,
            minimum_hardware=0,
            maximum_hardware=1,
        )
    )
    bodies: dict[str, tuple[Eui64, duis.RequestBody]] = {
        "11.1": (BROKER, duis.UpdateFirmware(ota, VERSION, (DEVICE,))),
        "11.4": (BROKER, duis.UpdatePpmidFirmware(ota, VERSION, (DEVICE, HUB))),
        "11.3-future": (DEVICE, duis.ActivateFirmware(HASH, AT)),
        "11.3-cancel": (DEVICE, duis.ActivateFirmware(HASH, duis.CANCEL)),
        "11.3-signed-pre-command": (DEVICE, duis.SignedPreCommand(ALERT)),
        "11.2": (DEVICE, duis.ReadFirmwareVersion()),
        "8.2": (BROKER, duis.ReadInventory(DEVICE)),
    }
    for name, (target, body) in bodies.items():
        request = duis.Request(duis.RequestId(SUPPLIER, target, 5), body)
        yield f"{name}.xml", duis.encode_request(request)
    bare = duis.encode_request(REQUEST)
    signed = duis.sign(bare, REQUEST_KEY)
    yield "11.3.xml", bare
    yield "11.3-signed.xml", signed
    yield "11.3-signed-by-the-acb.xml", duis.sign(bare, RESPONSE_KEY)
    yield from _attacks(signed)


def duis_responses() -> Iterator[Seed]:
    """Every kind of response and alert, a signed one, and the same attacks."""
    asked = duis.RequestId(SUPPLIER, BROKER, 5)
    told = duis.RequestId(SUPPLIER, DEVICE, 5)
    lists = ((DEVICE,), (), (HUB, DEVICE), (), ())
    delivered = duis.CspFirmwareDeliveryStatus(asked, HUB, DEVICE, VERSION, AT, duis.TransferStatus.SUCCESS)
    fetched = duis.FirmwareTransferAlert(asked, DEVICE, VERSION, duis.TransferResponse.FILE_TRANSFER_SUCCESS)
    upgraded = duis.PpmidFirmwareUpgradeAlert(VERSION, duis.ActivationResult.SUCCESS)
    display = duis.InventoryDevice(
        DEVICE, duis.DeviceType.PPMID, duis.DeviceStatus.COMMISSIONED, "1234", "01020304"
    )
    answers: dict[str, tuple[str, duis.ResponseMessage]] = {
        "accepted": ("I99", duis.ResponseMessage("11.4", "11.4")),
        "refused": ("E110401", duis.ResponseMessage("11.4", "11.4")),
        "warning": (
            "W110401",
            duis.ResponseMessage("11.4", "11.4", duis.FirmwareWarning(*lists, ppmid=True)),
        ),
        "pre-command": ("I0", duis.ResponseMessage("11.3", "11.3", duis.PreCommand("4.1", ALERT))),
        "gbcs": ("I0", duis.ResponseMessage("11.2", "11.2", duis.GbcsPayload(ALERT))),
        "inventory": ("I0", duis.ResponseMessage("8.2", "8.2", duis.DspInventory((display,)))),
        "future-dated": (
            "I0",
            duis.ResponseMessage(
                "11.3", "11.3", duis.FutureDatedDeviceAlert(duis.FutureDatedCode.SUCCESS, ALERT, 1, 1)
            ),
        ),
    }
    for name, (code, body) in answers.items():
        response = duis.Response(told, told.swapped, code, AT, body)
        yield f"{name}.xml", duis.encode_response(response)
    alerts: dict[str, duis.DccAlertBody] = {
        "N18": duis.FirmwareDistributionFailure(asked, (DEVICE,)),
        "N26": duis.ChangeOfSupplier(asked),
        "N39": duis.PpmidAlert(DEVICE, 0x8F8B, AT, upgraded),
        "N43": duis.PpmidRemoval(DEVICE, HUB),
        "N46": duis.QuarantinedRequest(asked, "1", duis.Breach.USER_THRESHOLD),
        "N49": duis.FirmwareVersionMismatch(DEVICE, duis.DeviceType.ESME, VERSION, FirmwareVersion(1)),
        "N16": duis.DeviceStatusChangeEvent(DEVICE, duis.StatusChange.SUSPENDED),
        "N59": duis.FirmwareUpgradeRequested(duis.DeviceType.PPMID, VERSION, (DEVICE,)),
        "N60": delivered,
        "N62": duis.CommsHubAlert(HUB, 0x8F8A, None, fetched),
        "N64": duis.CommsHubFirmwareActivation(HUB, VERSION),
    }
    for code, alert in alerts.items():
        body = duis.DccAlert(code, alert, duis.Throttled(7, 1000) if code == "N39" else None)
        yield f"{code}.xml", duis.encode_response(duis.Response(None, None, "I0", AT, body))
    bare = duis.encode_response(RESPONSE)
    signed = duis.sign(bare, RESPONSE_KEY)
    yield "8f72.xml", bare
    yield "8f72-signed.xml", signed
    yield "8f72-signed-by-the-supplier.xml", duis.sign(bare, REQUEST_KEY)
    yield from _attacks(signed)


def _attacks(signed: bytes) -> Iterator[Seed]:
    head, _, rest = signed.partition(b"?>")
    body = (rest or head).lstrip()
    at = body.index(b"<ds:Signature")
    end = body.rindex(b"</ds:Signature>") + len(b"</ds:Signature>")
    signature, root_end = body[at:end], body[end:]
    first = body.index(b">") + 1
    yield "signature-twice.xml", body[:end] + signature + root_end
    yield "signature-first.xml", body[:first] + signature + body[first:at] + root_end
    yield "signature-wrapped.xml", body[:at] + b"<x>" + signature + b"</x>" + root_end
    yield "whole-wrapped.xml", b"<x>" + body + b"</x>"
    yield "content-altered.xml", body.replace(b":5<", b":6<", 1)
    yield "reference-by-id.xml", body.replace(b'URI=""', b'URI="#x"')
    yield "algorithm-sha1.xml", body.replace(b"ecdsa-sha256", b"ecdsa-sha1")
    yield "no-value.xml", body[:at] + signature.partition(b"<ds:SignatureValue>")[0] + root_end
    respelt = body.replace(b"<ds:SignedInfo>", b"<ds:SignedInfo >")  # the same, and not as `sign` writes it
    yield "signature-respelt.xml", respelt
    yield "namespace-without-scheme.xml", respelt.replace(b"http:", b"", 1)
    yield "doctype.xml", b'<!DOCTYPE x [<!ENTITY a "b">]>' + body
    yield "comment.xml", body[:at] + b"<!-- x -->" + body[at:]
    yield "deep.xml", b"<a>" * 200 + b"</a>" * 200
    yield "utf-16.xml", body.decode().encode("utf-16")
    yield "not-xml.xml", b"\0"


SEEDS: Final = {
    "image": images,
    "gbcs": gbcs_messages,
    "zigbee": zigbee_frames,
    "smki": certificates,
    "duis_request": duis_requests,
    "duis_response": duis_responses,
}


def main() -> None:
    """Write every seed; files that are already there and not ours stay."""
    for target, seeds in SEEDS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, octets in seeds():
            (folder / name).write_bytes(octets)


if __name__ == "__main__":
    main()
