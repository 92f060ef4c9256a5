"""DUIS: the XML between a Supplier and the DCC. Requests out, responses and alerts in, both signed.

    octets -> `reader` -> `signature` -> `grammar` -> values

- `reader`: the safe reader; what is refused before any meaning is looked at.
- `signature`: the XML signature, one narrow profile; signing and verifying.
- `grammar`, `simple_types`: tables that are decoder and encoder at once.
- `requests`, `responses`, `inventory`, `alerts`: the values and their tables.
- `opening`: the one door to a believed message.
- `explain`, `codes`: messages for a human.

`open_request` and `open_response` believe nothing that is not signed by whom it should be. `decode_request`
and `decode_response` read without believing, for display and tests. All of them are total: any octets give
a value, a `DecodeError`, or a `VerificationError` whose `check` names what failed:

    xml-oversize xml-tags xml-namespaces xml-attributes xml-encoding xml-doctype xml-entity xml-cdata
    xml-comment xml-instruction xml-depth
    xml-unsigned xml-signature-count xml-signature-moved xml-signature-shape
    xml-canonicalization-algorithm xml-signature-algorithm xml-digest-algorithm xml-transform xml-reference
    xml-keyinfo xml-certificate-unknown xml-certificate-use xml-certificate-role xml-certificate-expired
    xml-digest xml-signature xml-signer
"""

from lamplighter.protocol.duis.alerts import (
    ActivationResult,
    AssociatedDevice,
    Breach,
    CertificateType,
    ChangeOfSupplier,
    CommsHubAlert,
    CommsHubFirmwareActivation,
    CspFirmwareDeliveryStatus,
    DccAlertBody,
    DeviceChangeOfSupplier,
    DeviceStatusChangeEvent,
    FirmwareDistributionFailure,
    FirmwareTransferAlert,
    FirmwareUpgradeRequested,
    FirmwareVersionMismatch,
    MeterDecommissioned,
    MeterIdentity,
    MeterPoints,
    PpmidAlert,
    PpmidFirmwareUpgradeAlert,
    PpmidRemoval,
    QuarantinedRequest,
    RecoveryCompleteAcbCredentials,
    StatusChange,
    TransferResponse,
    TransferStatus,
)
from lamplighter.protocol.duis.document import SCHEMA_VERSION
from lamplighter.protocol.duis.explain import Line, explain
from lamplighter.protocol.duis.identifiers import RequestId
from lamplighter.protocol.duis.inventory import (
    Connectivity,
    CplStatus,
    CspRegion,
    DeviceStatus,
    DeviceType,
    DspInventory,
    InventoryDevice,
    PropertyFilter,
)
from lamplighter.protocol.duis.opening import Opened, open_acknowledgement, open_request, open_response
from lamplighter.protocol.duis.reader import MAX_OCTETS
from lamplighter.protocol.duis.requests import (
    CANCEL,
    ActivateFirmware,
    Header,
    Mpxn,
    Premises,
    ReadFirmwareVersion,
    ReadInventory,
    Request,
    RequestBody,
    SignedPreCommand,
    UpdateFirmware,
    UpdatePpmidFirmware,
    Uprn,
    decode_header,
    decode_request,
    encode_request,
)
from lamplighter.protocol.duis.responses import (
    DccAlert,
    DeviceAlert,
    FirmwareWarning,
    FutureDatedCode,
    FutureDatedDeviceAlert,
    GbcsPayload,
    Payload,
    PreCommand,
    Response,
    ResponseMessage,
    Throttled,
    decode_response,
    encode_response,
)
from lamplighter.protocol.duis.signature import sign, sign_request
from lamplighter.protocol.duis.simple_types import MAX_DEVICES, MAX_IMAGE_OCTETS

__all__ = [
    "CANCEL",
    "MAX_DEVICES",
    "MAX_IMAGE_OCTETS",
    "MAX_OCTETS",
    "SCHEMA_VERSION",
    "ActivateFirmware",
    "ActivationResult",
    "AssociatedDevice",
    "Breach",
    "CertificateType",
    "ChangeOfSupplier",
    "CommsHubAlert",
    "CommsHubFirmwareActivation",
    "Connectivity",
    "CplStatus",
    "CspFirmwareDeliveryStatus",
    "CspRegion",
    "DccAlert",
    "DccAlertBody",
    "DeviceAlert",
    "DeviceChangeOfSupplier",
    "DeviceStatus",
    "DeviceStatusChangeEvent",
    "DeviceType",
    "DspInventory",
    "FirmwareDistributionFailure",
    "FirmwareTransferAlert",
    "FirmwareUpgradeRequested",
    "FirmwareVersionMismatch",
    "FirmwareWarning",
    "FutureDatedCode",
    "FutureDatedDeviceAlert",
    "GbcsPayload",
    "Header",
    "InventoryDevice",
    "Line",
    "MeterDecommissioned",
    "MeterIdentity",
    "MeterPoints",
    "Mpxn",
    "Opened",
    "Payload",
    "PpmidAlert",
    "PpmidFirmwareUpgradeAlert",
    "PpmidRemoval",
    "PreCommand",
    "Premises",
    "PropertyFilter",
    "QuarantinedRequest",
    "ReadFirmwareVersion",
    "ReadInventory",
    "RecoveryCompleteAcbCredentials",
    "Request",
    "RequestBody",
    "RequestId",
    "Response",
    "ResponseMessage",
    "SignedPreCommand",
    "StatusChange",
    "Throttled",
    "TransferResponse",
    "TransferStatus",
    "UpdateFirmware",
    "UpdatePpmidFirmware",
    "Uprn",
    "decode_header",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "explain",
    "open_acknowledgement",
    "open_request",
    "open_response",
    "sign",
    "sign_request",
]
