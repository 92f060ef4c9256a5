"""Parties, and strategies for every kind of message."""

from datetime import date

from hypothesis import strategies as st

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant
from lamplighter.kit.instant import SECOND, from_iso
from lamplighter.lab.pki import Pki
from lamplighter.protocol import duis
from lamplighter.protocol.duis import codes
from lamplighter.protocol.smki import Ring, Role, Use

SUPPLIER = Eui64.parse("90-B3-D5-1F-30-01-00-00")
OTHER_SUPPLIER = Eui64.parse("90-B3-D5-1F-30-03-00-00")
ACB = Eui64.parse("90-B3-D5-1F-30-00-00-02")
HUB = Eui64.parse("88-73-84-57-00-2F-96-1E")
PPMID = Eui64.parse("00-DB-12-34-56-78-90-A4")
HCALCS = Eui64.parse("00-DB-12-34-56-78-90-A5")
NOW = from_iso("2030-01-15T09:00:00Z")

PKI = Pki("duis tests")
SUPPLIER_XML = PKI.issued(SUPPLIER, Role.XML_SIGNING, Use.DIGITAL_SIGNATURE)
OTHER_XML = PKI.issued(OTHER_SUPPLIER, Role.XML_SIGNING, Use.DIGITAL_SIGNATURE)
SUPPLIER_DS = PKI.issued(SUPPLIER, Role.SUPPLIER, Use.DIGITAL_SIGNATURE)
DCC_XML = PKI.issued(ACB, Role.ACB_XML_SIGNING, Use.DIGITAL_SIGNATURE)
ACB_DS = PKI.issued(ACB, Role.ACB, Use.DIGITAL_SIGNATURE)
ACB_KA = PKI.issued(ACB, Role.ACB_XML_SIGNING, Use.KEY_AGREEMENT)
RING = Ring(key.certificate for key in (SUPPLIER_XML, OTHER_XML, SUPPLIER_DS, DCC_XML, ACB_DS, ACB_KA))

REQUEST = duis.Request(duis.RequestId(SUPPLIER, ACB, 1000), duis.ReadInventory(PPMID))
TRANSFERRED = duis.FirmwareTransferAlert(
    duis.RequestId(SUPPLIER, ACB, 1000),
    PPMID,
    FirmwareVersion(0xACDCACDC),
    duis.TransferResponse.FILE_TRANSFER_SUCCESS,
)
ALERT = duis.Response(
    None,
    duis.RequestId(PPMID, SUPPLIER, 7),
    "I0",
    NOW,
    duis.DccAlert("N62", duis.CommsHubAlert(HUB, 0x8F8A, NOW, TRANSFERRED)),
)
SIGNED_REQUEST = duis.sign(duis.encode_request(REQUEST), SUPPLIER_XML)
SIGNED_ALERT = duis.sign(duis.encode_response(ALERT), DCC_XML)

euis = st.binary(min_size=8, max_size=8).map(Eui64)
some_euis = st.lists(euis, min_size=1, max_size=4).map(tuple)
request_ids = st.builds(duis.RequestId, euis, euis, st.integers(0, 2**64 - 1))
versions = st.integers(0, 2**32 - 1).map(FirmwareVersion)
hashes = st.binary(min_size=32, max_size=32).map(ImageHash)
octets = st.binary(max_size=60)
alert_codes = st.integers(0, 0xFFFF)
u32 = st.integers(0, 2**32 - 1)
instants = st.integers(from_iso("0001-01-01T00:00:00Z"), from_iso("9999-12-31T23:59:59.999999Z")).map(Instant)
seconds = instants.map(lambda instant: Instant(instant - instant % SECOND))
whole_seconds = st.none() | seconds | st.just(duis.CANCEL)
schema_versions = st.sampled_from(["5.4", "5.1", "4", "12.25"])
characters = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"
) | st.sampled_from("\t\n\r&<>\"'")


def texts(least, most):
    return st.text(characters, min_size=least, max_size=most)


mpans = st.none() | texts(13, 13)
request_bodies = st.one_of(
    st.builds(duis.UpdateFirmware, octets, versions, some_euis),
    st.builds(duis.UpdatePpmidFirmware, octets, versions, some_euis),
    st.builds(duis.ActivateFirmware, hashes, whole_seconds),
    st.builds(duis.SignedPreCommand, octets, whole_seconds),
    st.builds(duis.ReadFirmwareVersion, whole_seconds),
    st.builds(
        duis.ReadInventory,
        euis
        | st.builds(duis.Mpxn, texts(1, 13))
        | st.builds(duis.Uprn, st.integers(1, 10**12 - 1).map(str))
        | st.builds(duis.PropertyFilter, texts(6, 8), texts(0, 30)),
    ),
)
requests = st.builds(duis.Request, request_ids, request_bodies, schema_versions)

dates = (
    st.dates(date(1, 1, 1))
    .map(date.isoformat)
    .flatmap(lambda day: st.sampled_from(["", "Z", "+01:00", "-14:00"]).map(lambda zone: day + zone))
)
inventory_devices = st.builds(
    duis.InventoryDevice,
    device=euis,
    type=st.sampled_from(duis.DeviceType),
    status=st.none() | st.sampled_from(duis.DeviceStatus),
    manufacturer=texts(0, 30),
    model=texts(0, 30),
    smets_version=st.none() | texts(1, 20),
    firmware_version=st.none() | texts(1, 8),
    firmware_status=st.none() | st.sampled_from(duis.CplStatus),
    cpl_status=st.none() | st.sampled_from(duis.CplStatus),
    commissioned=st.none() | dates,
    import_mpxn=st.none() | texts(1, 13),
    secondary_import_mpan=mpans,
    export_mpan=mpans,
    esme_variant=st.none() | st.sampled_from(sorted(codes.ESME_VARIANTS)),
    uprn=st.none() | st.integers(1, 10**12 - 1).map(str),
    property=st.none() | st.builds(duis.PropertyFilter, texts(6, 8), texts(0, 30)),
    region=st.none() | st.sampled_from(duis.CspRegion),
    gbcs_version=st.none() | texts(0, 9),
    han_variant=st.none() | texts(0, 9),
    s1sp=st.none() | texts(0, 9),
    connectivity=st.none() | st.sampled_from(duis.Connectivity),
)
any_euis = st.just(()) | some_euis
payloads = st.one_of(
    st.none(),
    st.builds(duis.DspInventory, st.lists(inventory_devices, min_size=1, max_size=3).map(tuple)),
    st.builds(duis.FirmwareWarning, any_euis, any_euis, any_euis, any_euis, any_euis, st.booleans()),
    st.builds(duis.GbcsPayload, octets),
    st.builds(duis.PreCommand, texts(0, 9), octets),
    st.builds(
        duis.FutureDatedDeviceAlert,
        st.sampled_from(duis.FutureDatedCode),
        octets,
        st.integers(0, 65535),
        st.integers(0, 65535),
    ),
)
device_types = st.sampled_from(duis.DeviceType)
points = st.builds(duis.MeterPoints, texts(1, 13), mpans, mpans)
certificate_types = st.sampled_from(duis.CertificateType)
operator_types = st.sampled_from([duis.CertificateType.DIGITAL_SIGNING, duis.CertificateType.KEY_AGREEMENT])
changes = st.one_of(
    st.sampled_from(duis.StatusChange),
    st.builds(duis.MeterIdentity, points, st.none() | st.sampled_from(sorted(codes.ESME_VARIANTS))),
    st.builds(
        duis.MeterDecommissioned,
        points,
        st.lists(st.builds(duis.AssociatedDevice, euis, device_types), max_size=7).map(tuple),
    ),
    st.builds(
        duis.RecoveryCompleteAcbCredentials,
        st.lists(certificate_types, min_size=1, max_size=3).map(tuple),
        st.lists(operator_types, max_size=2).map(tuple),
    ),
)
transfers = st.builds(
    duis.FirmwareTransferAlert,
    st.none() | request_ids,
    euis,
    versions,
    st.sampled_from(duis.TransferResponse),
)
upgrades = st.builds(duis.PpmidFirmwareUpgradeAlert, versions, st.sampled_from(duis.ActivationResult))
alert_bodies = st.one_of(
    st.builds(duis.FirmwareUpgradeRequested, device_types, versions, some_euis),
    st.builds(
        duis.CspFirmwareDeliveryStatus,
        request_ids,
        euis,
        euis,
        versions,
        instants,
        st.sampled_from(duis.TransferStatus),
    ),
    st.builds(duis.CommsHubAlert, euis, alert_codes, st.none() | instants, st.none() | transfers),
    st.builds(duis.PpmidAlert, euis, alert_codes, st.none() | instants, st.none() | upgrades),
    st.builds(duis.FirmwareDistributionFailure, request_ids, some_euis),
    st.builds(duis.PpmidRemoval, euis, euis),
    st.builds(
        duis.QuarantinedRequest,
        request_ids,
        st.text("0123456789", min_size=1, max_size=20),
        st.sampled_from(duis.Breach),
    ),
    st.builds(duis.FirmwareVersionMismatch, euis, device_types, versions, versions),
    st.builds(duis.CommsHubFirmwareActivation, euis, versions),
    st.builds(duis.ChangeOfSupplier, request_ids, st.none() | texts(3, 3)),
    st.builds(duis.DeviceChangeOfSupplier, euis, device_types, points),
    st.builds(duis.DeviceStatusChangeEvent, euis, changes),
)
throttled = st.none() | st.builds(duis.Throttled, u32, st.none() | u32)
response_bodies = st.one_of(
    st.builds(
        duis.ResponseMessage,
        st.sampled_from(sorted(codes.SERVICE_REFERENCES)),
        st.sampled_from(sorted(codes.SERVICE_REFERENCE_VARIANTS)),
        payloads,
    ),
    st.builds(duis.DeviceAlert, alert_codes, octets, throttled),
    st.builds(duis.DccAlert, st.sampled_from(sorted(codes.DCC_ALERT_CODES)), alert_bodies, throttled),
)
responses = st.builds(
    duis.Response,
    st.none() | request_ids,
    st.none() | request_ids,
    st.sampled_from(sorted(codes.RESPONSE_CODES)),
    instants,
    response_bodies,
    schema_versions,
)
