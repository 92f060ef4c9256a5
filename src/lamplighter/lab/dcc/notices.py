"""What the DSP tells Users unasked: DCC Alerts, and Devices' messages passed on.

Each function says one thing and is pure; the DSP numbers, signs and sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lamplighter.protocol import duis, gbcs

if TYPE_CHECKING:
    from lamplighter.kit import Eui64, FirmwareVersion, Instant
    from lamplighter.lab.dcc.deliveries import Delivery

UPGRADE_REQUESTED: Final = "N59"
DELIVERED: Final = "N60"
NOT_DELIVERED: Final = "N61"
TRANSFER: Final = "N62"
PPMID_ACTIVATION: Final = "N39"  # assumed
DISTRIBUTION_FAILED: Final = "N18"  # assumed: N18 to N23 are known, which is which is not

_TRANSFERS: Final = {
    gbcs.TransferResult.SUCCESS: duis.TransferResponse.FILE_TRANSFER_SUCCESS,
    gbcs.TransferResult.IMAGE_DISCARDED: duis.TransferResponse.FIRMWARE_IMAGE_DISCARDED,
    gbcs.TransferResult.HARDWARE_VERSION_MISMATCH: duis.TransferResponse.HARDWARE_VERSION_MISMATCH,
    gbcs.TransferResult.FILE_TRANSFER_FAILURE: duis.TransferResponse.FILE_TRANSFER_FAILURE,
}


def upgrade_requested(version: FirmwareVersion, devices: tuple[Eui64, ...]) -> duis.DccAlert:
    """Tell the other responsible Supplier that an update of these PPMIDs was asked for."""
    body = duis.FirmwareUpgradeRequested(duis.DeviceType.PPMID, version, devices)
    return duis.DccAlert(UPGRADE_REQUESTED, body)


def delivery_status(delivery: Delivery, at: Instant, *, delivered: bool) -> duis.DccAlert:
    """Tell the requester whether the image lies at the hub."""
    status = duis.TransferStatus.SUCCESS if delivered else duis.TransferStatus.FAILURE
    return duis.DccAlert(
        DELIVERED if delivered else NOT_DELIVERED,
        duis.CspFirmwareDeliveryStatus(
            delivery.request, delivery.hub, delivery.device, delivery.version, at, status
        ),
    )


def distribution_failed(delivery: Delivery) -> duis.DccAlert:
    """Tell the requester that the hub has not said anything in time."""
    return duis.DccAlert(
        DISTRIBUTION_FAILED, duis.FirmwareDistributionFailure(delivery.request, (delivery.device,))
    )


def transfer(hub: Eui64, alert: gbcs.Ccs08Alert, request: duis.RequestId | None) -> duis.DccAlert:
    """Pass on what a hub says of its transfer to a Device."""
    return duis.DccAlert(
        TRANSFER,
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
        PPMID_ACTIVATION,
        duis.PpmidAlert(
            device,
            alert.alert,
            alert.at,
            duis.PpmidFirmwareUpgradeAlert(alert.version, result),
        ),
    )
