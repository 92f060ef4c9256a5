"""What the DCC tells without being asked: the bodies of DCC Alerts that touch a firmware campaign.

Which code goes with which body is the DCC's business; the schema does not tie them, and neither does this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from lamplighter.protocol.duis.codes import ESME_VARIANTS
from lamplighter.protocol.duis.grammar import Choice, Fork, Literal, Sequence, many, maybe, one
from lamplighter.protocol.duis.inventory import DeviceType
from lamplighter.protocol.duis.simple_types import (
    ALERT_CODE,
    EUI,
    EUIS,
    REQUEST_ID,
    TIME,
    VERSION,
    digits,
    member,
    string,
    word,
)

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion, Instant
    from lamplighter.protocol.duis.identifiers import RequestId


class TransferStatus(Enum):
    """Whether the image reached the hub."""

    SUCCESS = "Success"
    FAILURE = "Failure"


class TransferResponse(Enum):
    """How the transfer from hub to Device ended."""

    FILE_TRANSFER_SUCCESS = "FileTransferSuccess"
    FIRMWARE_IMAGE_DISCARDED = "FirmwareImageDiscarded"
    HARDWARE_VERSION_MISMATCH = "HardwareVersionMismatch"
    FILE_TRANSFER_FAILURE = "FileTransferFailure"


class ActivationResult(Enum):
    """How a PPMID's activation ended."""

    SUCCESS = "ActivationSuccess"
    FAILURE = "ActivationFailure"


class Breach(Enum):
    """Which limit of anomaly detection a request ran into."""

    USER_THRESHOLD = "ADUserThresholdBreach"
    DCC_THRESHOLD = "ADDCCThresholdBreach"
    ATTRIBUTE_LIMITS = "ADAttributeLimitsBreach"


class CertificateType(Enum):
    """Which of a party's certificates on a Device."""

    DIGITAL_SIGNING = "DigitalSigning"
    KEY_AGREEMENT = "KeyAgreement"
    KEY_AGREEMENT_TOP_UP = "KeyAgreementTopUp"


class StatusChange(Enum):
    """A change of status that is told by its name alone."""

    REMOVED_FROM_INVENTORY = "DeviceRemovedFromInventory"
    CHF_DECOMMISSIONED = "CHFDecommissioning"
    SUSPENDED = "DeviceSuspended"
    RESTORED = "DeviceRestored"
    RECOVERY_COMPLETE = "RecoveryComplete"


@dataclass(frozen=True, slots=True)
class FirmwareUpgradeRequested:
    """N59: the other responsible Supplier has asked for an update of these Devices."""

    device_type: DeviceType
    """What they are."""
    version: FirmwareVersion
    """The version that is coming."""
    devices: tuple[Eui64, ...]
    """At least one."""


@dataclass(frozen=True, slots=True)
class CspFirmwareDeliveryStatus:
    """N60 (delivered) or N61 (not): the CSP on its way from DSP to hub."""

    request: RequestId
    """The SRV 11.1 or 11.4 request."""
    hub: Eui64
    """The hub that was to have the image."""
    device: Eui64
    """The Device that it is for."""
    version: FirmwareVersion
    """The image's version."""
    at: Instant
    """When; `TimeStamp` here and in `CommsHubAlert`, `Timestamp` in `PpmidAlert`."""
    status: TransferStatus
    """Whether the hub has it."""


@dataclass(frozen=True, slots=True)
class FirmwareTransferAlert:
    """How the hub fared with one Device."""

    request: RequestId | None
    """The SRV 11.1 or 11.4 request, where the DSP knows it."""
    device: Eui64
    """The Device that was to be updated."""
    version: FirmwareVersion
    """The image's version."""
    response: TransferResponse
    """How it ended."""


@dataclass(frozen=True, slots=True)
class CommsHubAlert:
    """N62: a hub's alert (CCS08), decoded by the DSP."""

    hub: Eui64
    """The hub."""
    alert_code: int
    """8F8A transferred, 8F89 not."""
    at: Instant | None
    """When, by the hub's clock."""
    transfer: FirmwareTransferAlert | None
    """The particulars."""


@dataclass(frozen=True, slots=True)
class PpmidFirmwareUpgradeAlert:
    """What a PPMID runs after its attempt."""

    version: FirmwareVersion
    """The version that runs now."""
    result: ActivationResult
    """Whether it is the new one."""


@dataclass(frozen=True, slots=True)
class PpmidAlert:
    """N39: a PPMID's alert (CS09), decoded by the DSP."""

    device: Eui64
    """The PPMID."""
    alert_code: int
    """8F8B for a firmware activation."""
    at: Instant | None
    """When, by the PPMID's clock."""
    upgrade: PpmidFirmwareUpgradeAlert | None
    """The particulars."""


@dataclass(frozen=True, slots=True)
class FirmwareDistributionFailure:
    """N18 to N23: after acceptance, the image could not be distributed to these Devices."""

    request: RequestId
    """The SRV 11.1 or 11.4 request."""
    devices: tuple[Eui64, ...]
    """At least one; the element is called MeterIDs whatever they are."""


@dataclass(frozen=True, slots=True)
class PpmidRemoval:
    """N43: a PPMID left its HAN."""

    device: Eui64
    """The PPMID."""
    hub: Eui64
    """The hub it belonged to."""


@dataclass(frozen=True, slots=True)
class QuarantinedRequest:
    """N46 to N48: anomaly detection holds a request back."""

    request: RequestId
    """The request."""
    event: str
    """The DCC's reference of the event, 1 to 20 digits."""
    breach: Breach
    """Which limit."""


@dataclass(frozen=True, slots=True)
class FirmwareVersionMismatch:
    """N49 to N52: a Device runs another version than the inventory has."""

    device: Eui64
    """The Device."""
    device_type: DeviceType
    """What it is."""
    inventory_version: FirmwareVersion
    """What the inventory had."""
    device_version: FirmwareVersion
    """What the Device says."""


@dataclass(frozen=True, slots=True)
class CommsHubFirmwareActivation:
    """N64: a hub was updated itself, so that its Devices may have become updatable."""

    hub: Eui64
    """The hub."""
    version: FirmwareVersion
    """What it runs now."""


@dataclass(frozen=True, slots=True)
class MeterPoints:
    """Which meter points a meter measures."""

    import_mpxn: str
    """MPAN or MPRN, 1 to 13 characters."""
    secondary_import_mpan: str | None = None
    """13 characters."""
    export_mpan: str | None = None
    """13 characters."""


@dataclass(frozen=True, slots=True)
class ChangeOfSupplier:
    """N26, N27: how our own change-of-supplier request ended."""

    request: RequestId
    """The request."""
    error_code: str | None = None
    """3 characters, where it failed."""


@dataclass(frozen=True, slots=True)
class DeviceChangeOfSupplier:
    """N26, N27: a Device has another Supplier now."""

    device: Eui64
    """The Device."""
    device_type: DeviceType
    """What it is."""
    points: MeterPoints
    """What it measures."""


@dataclass(frozen=True, slots=True)
class MeterIdentity:
    """A meter was commissioned, or measures other points."""

    points: MeterPoints
    """What it measures."""
    esme_variant: str | None = None
    """Such as `A` or `ADE`."""


@dataclass(frozen=True, slots=True)
class AssociatedDevice:
    """A Device that goes with a meter."""

    device: Eui64
    """The Device."""
    device_type: DeviceType
    """What it is."""


@dataclass(frozen=True, slots=True)
class MeterDecommissioned:
    """A meter was decommissioned or withdrawn."""

    points: MeterPoints
    """What it measured."""
    associated: tuple[AssociatedDevice, ...] = ()
    """At most 7 Devices that go with it."""


@dataclass(frozen=True, slots=True)
class RecoveryCompleteAcbCredentials:
    """Recovery put the ACB's certificates in the place of these."""

    supplier: tuple[CertificateType, ...]
    """1 to 3 of the Supplier's."""
    network_operator: tuple[CertificateType, ...] = ()
    """At most 2 of the Network Operator's, never top-up."""


@dataclass(frozen=True, slots=True)
class DeviceStatusChangeEvent:
    """A Device's status changed: it may have to leave a campaign, or come back."""

    device: Eui64
    """The Device."""
    change: StatusChange | MeterIdentity | MeterDecommissioned | RecoveryCompleteAcbCredentials
    """What happened."""


DccAlertBody: TypeAlias = (
    FirmwareUpgradeRequested
    | CspFirmwareDeliveryStatus
    | CommsHubAlert
    | PpmidAlert
    | FirmwareDistributionFailure
    | PpmidRemoval
    | QuarantinedRequest
    | FirmwareVersionMismatch
    | CommsHubFirmwareActivation
    | ChangeOfSupplier
    | DeviceChangeOfSupplier
    | DeviceStatusChangeEvent
)

_MPAN: Final = string(13, 13)
_POINTS: Final = Sequence(
    MeterPoints,
    one("ImportMPxN", string(1, 13)),
    maybe("SecondaryImportMPAN", _MPAN),
    maybe("ExportMPAN", _MPAN),
)
_TRANSFER: Final = Sequence(
    FirmwareTransferAlert,
    maybe("UpdateFirmwareRequestID", REQUEST_ID),
    one("OtherDeviceID", EUI),
    one("FirmwareVersion", VERSION),
    one("TransferResponseCode", member(TransferResponse)),
)
_UPGRADE: Final = Sequence(
    PpmidFirmwareUpgradeAlert,
    one("FirmwareVersion", VERSION),
    one("ActivateImageResultCode", member(ActivationResult)),
)
_ASSOCIATED: Final = Sequence(AssociatedDevice, one("DeviceID", EUI), one("DeviceType", member(DeviceType)))
_OPERATOR_CERTIFICATES: Final = member((CertificateType.DIGITAL_SIGNING, CertificateType.KEY_AGREEMENT))
_STATUS_CHANGE: Final = Choice(
    {
        "MeterIdentity": Sequence(
            MeterIdentity,
            one("MeterMPxNs", _POINTS),
            maybe("ESMEVariant", word(ESME_VARIANTS, "an ESME variant such as A or ADE")),
        ),
        "MeterDecommissioningOrWithdrawal": Sequence(
            MeterDecommissioned,
            one("MeterDecommissionOrWithdrawal", _POINTS),
            many("AssociatedType1Device", _ASSOCIATED, 0, 7),
        ),
        "RecoveryCompleteACBCredentials": Sequence(
            RecoveryCompleteAcbCredentials,
            many("SupplierCertificateType", member(CertificateType), 1, 3),
            many("NetworkOperatorCertificateType", _OPERATOR_CERTIFICATES, 0, 2),
        ),
        **{change.value: Literal(change) for change in StatusChange},
    }
)
DCC_ALERT: Final = Choice(
    {
        "DeviceStatusChangeEvent": Sequence(
            DeviceStatusChangeEvent, one("DeviceID", EUI), one("DeviceStatusChange", _STATUS_CHANGE)
        ),
        "FirmwareDistributionFailure": Sequence(
            FirmwareDistributionFailure, one("UpdateFirmwareRequestID", REQUEST_ID), one("MeterIDs", EUIS)
        ),
        "ChangeOfSupplier": Fork(
            "DeviceChangeOfSupplier",
            Choice(
                {
                    "DeviceChangeOfSupplier": Sequence(
                        DeviceChangeOfSupplier,
                        one("DeviceID", EUI),
                        one("DeviceType", member(DeviceType)),
                        one("MPxNs", _POINTS),
                    )
                }
            ),
            Sequence(
                ChangeOfSupplier,
                one("ChangeOfSupplierServiceRequestID", REQUEST_ID),
                maybe("ECoSErrorCode", string(3, 3)),
            ),
        ),
        "PPMIDAlert": Sequence(
            PpmidAlert,
            one("DeviceID", EUI),
            one("DeviceAlertCode", ALERT_CODE),
            maybe("Timestamp", TIME),
            maybe("PPMIDFirmwareUpgradeAlert", _UPGRADE),
        ),
        "PPMIDRemoval": Sequence(PpmidRemoval, one("PPMIDDeviceID", EUI), one("CHFDeviceID", EUI)),
        "QuarantinedRequest": Choice(
            {
                breach.value: Sequence(
                    QuarantinedRequest,
                    one("RequestID", REQUEST_ID),
                    one("QuarantineEventRef", digits(1, 20)),
                    breach=breach,
                )
                for breach in Breach
            }
        ),
        "FirmwareVersionMismatch": Sequence(
            FirmwareVersionMismatch,
            one("DeviceID", EUI),
            one("DeviceType", member(DeviceType)),
            one("FirmwareVersionSMI", VERSION),
            one("FirmwareVersionDevice", VERSION),
        ),
        "FirmwareUpgradeRequested": Sequence(
            FirmwareUpgradeRequested,
            one("DeviceType", member(DeviceType)),
            one("FirmwareVersion", VERSION),
            one("DeviceList", EUIS),
        ),
        "CSPFirmwareDeliveryStatus": Sequence(
            CspFirmwareDeliveryStatus,
            one("UpdateFirmwareRequestID", REQUEST_ID),
            one("CommsHubDeviceID", EUI),
            one("TargetDeviceID", EUI),
            one("FirmwareVersion", VERSION),
            one("TimeStamp", TIME),
            one("CommsHubTransferStatus", member(TransferStatus)),
        ),
        "CommsHubAlert": Sequence(
            CommsHubAlert,
            one("CommsHubDeviceID", EUI),
            one("AlertCode", ALERT_CODE),
            maybe("TimeStamp", TIME),
            maybe("FirmwareTransferAlert", _TRANSFER),
        ),
        "CommsHubFirmwareActivation": Sequence(
            CommsHubFirmwareActivation, one("DeviceID", EUI), one("FirmwareVersion", VERSION)
        ),
    }
)
