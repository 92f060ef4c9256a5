"""What the DSP tells Users unasked: DCC Alerts, and Devices' messages passed on.

Each function says one thing and is pure; the outbox numbers, signs and throttles it. Published are N59 to N62
and N64, and that N18 to N23, N26, N27, N46 to N48 and N49 to N52 go with their bodies. Which code of a group
says what, and every other code, is assumed: our own named reasons, and one table that maps them.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from lamplighter.kit import UsageError
from lamplighter.lab.dcc.life import RESTORATIONS, Life
from lamplighter.protocol import duis, gbcs
from lamplighter.protocol.duis import Breach, CplStatus, DeviceType, StatusChange

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion, Instant
    from lamplighter.lab.dcc.deliveries import Delivery
    from lamplighter.lab.dcc.inventory import Entry
    from lamplighter.lab.dcc.products import Product


class Failure(Enum):
    """Why an accepted image does not get to a Device, other than that the WAN could not carry it."""

    HUB_SILENT = auto()
    """The hub has not said in time that it has the image."""
    DEVICE_STATUS = auto()
    """When the image was to go out, the Device was no longer commissioned."""
    NOT_RESPONSIBLE = auto()
    """When the image was to go out, the Device had another Supplier."""
    NOT_ON_CPL = auto()
    """When the image was to go out, the CPL no longer admitted it."""
    DEVICE_MOVED = auto()
    """The Device is behind another hub than the one that the image is for."""
    DEVICE_GONE = auto()
    """The Device was taken out of service, or has left the HAN, while the image was on its way."""


class Mismatch(Enum):
    """What is strange about a version that a Device reports and the inventory does not have."""

    NOT_ACTIVE = auto()
    """It is on the CPL, and no longer active."""
    NOT_ON_CPL = auto()
    """The CPL does not have it for this model."""
    UNEXPECTED = auto()
    """Nothing but that nobody was known to have put it there."""
    GSME = auto()
    """Likewise, and it is a gas meter."""


class Event(Enum):
    """Everything that a DCC Alert may be about."""

    UPGRADE_REQUESTED = auto()
    DELIVERED = auto()
    NOT_DELIVERED = auto()
    TRANSFER = auto()
    HUB_FIRMWARE = auto()
    PPMID_ACTIVATION = auto()
    PPMID_REMOVAL = auto()
    SUPPLIER_GAINED = auto()
    SUPPLIER_LOST = auto()
    METER_COMMISSIONED = auto()
    METER_TAKEN_OUT = auto()
    ACB_CREDENTIALS = auto()


CODES: Final[dict[Event | Failure | Mismatch | Breach | StatusChange, str]] = {
    Event.UPGRADE_REQUESTED: "N59",
    Event.DELIVERED: "N60",
    Event.NOT_DELIVERED: "N61",
    Event.TRANSFER: "N62",
    Event.HUB_FIRMWARE: "N64",
    Failure.HUB_SILENT: "N18",  # assumed, as all below
    Failure.DEVICE_STATUS: "N19",
    Failure.NOT_RESPONSIBLE: "N20",
    Failure.NOT_ON_CPL: "N21",
    Failure.DEVICE_MOVED: "N22",
    Failure.DEVICE_GONE: "N23",
    Event.SUPPLIER_GAINED: "N26",
    Event.SUPPLIER_LOST: "N27",
    Event.PPMID_ACTIVATION: "N39",
    Event.PPMID_REMOVAL: "N43",
    Breach.USER_THRESHOLD: "N46",
    Breach.DCC_THRESHOLD: "N47",
    Breach.ATTRIBUTE_LIMITS: "N48",
    Mismatch.NOT_ACTIVE: "N49",
    Mismatch.NOT_ON_CPL: "N50",
    Mismatch.UNEXPECTED: "N51",
    Mismatch.GSME: "N52",
    StatusChange.CHF_DECOMMISSIONED: "N1",
    Event.METER_TAKEN_OUT: "N2",
    StatusChange.REMOVED_FROM_INVENTORY: "N6",
    StatusChange.SUSPENDED: "N8",
    StatusChange.RESTORED: "N9",
    Event.METER_COMMISSIONED: "N16",
    StatusChange.RECOVERY_COMPLETE: "N29",
    Event.ACB_CREDENTIALS: "N30",
}
"""The code of each alert."""

_METERS: Final = frozenset({DeviceType.ESME, DeviceType.GSME})
_WITH_SUPPLIER_CREDENTIALS: Final = _METERS | {DeviceType.HCALCS}
_RECOVERED: Final = (duis.CertificateType.DIGITAL_SIGNING, duis.CertificateType.KEY_AGREEMENT)
_TRANSFERS: Final = {
    gbcs.TransferResult.SUCCESS: duis.TransferResponse.FILE_TRANSFER_SUCCESS,
    gbcs.TransferResult.IMAGE_DISCARDED: duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED,
    gbcs.TransferResult.HARDWARE_VERSION_MISMATCH: duis.TransferResponse.HARDWARE_VERSION_MISMATCH,
    gbcs.TransferResult.FILE_TRANSFER_FAILURE: duis.TransferResponse.FILE_TRANSFER_FAILURE,
}


def upgrade_requested(version: FirmwareVersion, devices: tuple[Eui64, ...]) -> duis.DccAlert:
    """Tell the other responsible Supplier that an update of these PPMIDs was asked for."""
    body = duis.FirmwareUpgradeRequested(DeviceType.PPMID, version, devices)
    return duis.DccAlert(CODES[Event.UPGRADE_REQUESTED], body)


def delivery_status(delivery: Delivery, at: Instant, *, delivered: bool) -> duis.DccAlert:
    """Tell whether the image lies at the hub."""
    status = duis.TransferStatus.SUCCESS if delivered else duis.TransferStatus.FAILURE
    return duis.DccAlert(
        CODES[Event.DELIVERED if delivered else Event.NOT_DELIVERED],
        duis.CspFirmwareDeliveryStatus(
            delivery.request, delivery.hub, delivery.device, delivery.version, at, status
        ),
    )


def distribution_failed(
    request: duis.RequestId, failure: Failure, devices: tuple[Eui64, ...]
) -> duis.DccAlert:
    """Tell that an image which was accepted will not get to these Devices."""
    return duis.DccAlert(CODES[failure], duis.FirmwareDistributionFailure(request, devices))


def transfer(hub: Eui64, alert: gbcs.Ccs08Alert, request: duis.RequestId | None) -> duis.DccAlert:
    """Pass on what a hub says of its transfer to a Device."""
    return duis.DccAlert(
        CODES[Event.TRANSFER],
        duis.CommsHubAlert(
            hub,
            alert.alert,
            alert.at,
            duis.FirmwareTransferAlert(request, alert.target, alert.version, _TRANSFERS[alert.result]),
        ),
    )


def ppmid_activation(device: Eui64, alert: gbcs.Cs09Alert) -> duis.DccAlert:
    """Pass on what a PPMID says of its activation."""
    success = alert.result is gbcs.Outcome.SUCCESS
    result = duis.ActivationResult.SUCCESS if success else duis.ActivationResult.FAILURE
    return duis.DccAlert(
        CODES[Event.PPMID_ACTIVATION],
        duis.PpmidAlert(
            device,
            alert.alert,
            alert.at,
            duis.PpmidFirmwareUpgradeAlert(alert.version, result),
        ),
    )


def ppmid_removal(entry: Entry) -> duis.DccAlert:
    """Tell that a PPMID has left its HAN."""
    return duis.DccAlert(CODES[Event.PPMID_REMOVAL], duis.PpmidRemoval(entry.device, entry.hub))


def hub_firmware(hub: Eui64, version: FirmwareVersion) -> duis.DccAlert:
    """Tell that a hub runs new firmware of its own."""
    return duis.DccAlert(CODES[Event.HUB_FIRMWARE], duis.CommsHubFirmwareActivation(hub, version))


def quarantined(request: duis.RequestId, reference: str, breach: Breach) -> duis.DccAlert:
    """Tell a User that its request is held back."""
    return duis.DccAlert(CODES[breach], duis.QuarantinedRequest(request, reference, breach))


def mismatch_of(entry: Entry, product: Product | None) -> Mismatch:
    """What is strange about a version; `product` is what the CPL has for it and the Device's model."""
    if product is None:
        return Mismatch.NOT_ON_CPL
    if product.status is not CplStatus.ACTIVE:
        return Mismatch.NOT_ACTIVE
    return Mismatch.GSME if entry.type is DeviceType.GSME else Mismatch.UNEXPECTED


def firmware_mismatch(entry: Entry, version: FirmwareVersion, mismatch: Mismatch) -> duis.DccAlert:
    """Tell that a Device runs another version than its entry, as it was, has."""
    body = duis.FirmwareVersionMismatch(entry.device, entry.type, entry.firmware, version)
    return duis.DccAlert(CODES[mismatch], body)


def supplier_gained(request: duis.RequestId, error_code: str | None) -> duis.DccAlert:
    """Tell a Supplier how its own change-of-supplier request has ended."""
    return duis.DccAlert(CODES[Event.SUPPLIER_GAINED], duis.ChangeOfSupplier(request, error_code))


def supplier_lost(entry: Entry) -> duis.DccAlert:
    """Tell a Supplier that a Device is no longer its own."""
    body = duis.DeviceChangeOfSupplier(entry.device, entry.type, entry.points)
    return duis.DccAlert(CODES[Event.SUPPLIER_LOST], body)


def status_change(entry: Entry, word: Life, home: tuple[Entry, ...]) -> duis.DccAlert | None:
    """Tell what has happened to a Device; None: no alert is for that.

    home  the Devices behind the same hub, of which some go with a meter
    """
    match word:
        case Life.SUSPENDED:
            return _told(entry, StatusChange.SUSPENDED)
        case word if word in RESTORATIONS.values():
            return _told(entry, StatusChange.RESTORED)
        case Life.RECOVERED if entry.type in _WITH_SUPPLIER_CREDENTIALS:
            credentials = duis.RecoveryCompleteAcbCredentials(_RECOVERED)
            return _told(entry, credentials, Event.ACB_CREDENTIALS)
        case Life.RECOVERED:
            return _told(entry, StatusChange.RECOVERY_COMPLETE)
        case Life.TAKEN_OUT if entry.type is DeviceType.CHF:
            return _told(entry, StatusChange.CHF_DECOMMISSIONED)
        case Life.TAKEN_OUT if entry.type in _METERS:
            switches = tuple(
                duis.AssociatedDevice(each.device, each.type)
                for each in home
                if entry.type is DeviceType.ESME and each.type is DeviceType.HCALCS
            )
            return _told(entry, duis.MeterDecommissioned(entry.points, switches), Event.METER_TAKEN_OUT)
        case Life.COMMISSIONED if entry.type in _METERS:
            return _told(entry, duis.MeterIdentity(entry.points), Event.METER_COMMISSIONED)
        case _:
            return None


def removed(entry: Entry) -> duis.DccAlert:
    """Tell that a Device was struck out of the inventory."""
    return _told(entry, StatusChange.REMOVED_FROM_INVENTORY)


def _told(
    entry: Entry,
    change: StatusChange
    | duis.MeterIdentity
    | duis.MeterDecommissioned
    | duis.RecoveryCompleteAcbCredentials,
    event: Event | None = None,
) -> duis.DccAlert:
    named = change if isinstance(change, StatusChange) else event
    if named is None:
        raise UsageError(f"no event stands for {change}")
    return duis.DccAlert(CODES[named], duis.DeviceStatusChangeEvent(entry.device, change))
