"""What each GBCS message weighs on the WAN: the octets of a real one, composed and measured, not copied."""

from __future__ import annotations

from typing import Final

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash
from lamplighter.kit.instant import ZIGBEE_EPOCH
from lamplighter.protocol import gbcs
from lamplighter.protocol.smki import SIGNATURE_OCTETS

_PARTY: Final = Eui64.of(1)
_AT: Final = ZIGBEE_EPOCH
_HASH: Final = ImageHash(bytes(32))
_VERSION: Final = FirmwareVersion(0)


def _signed(payload: gbcs.Payload, date_time: bytes = b"") -> bytes:
    message = gbcs.compose(payload, originator=_PARTY, recipient=_PARTY, counter=1, date_time=date_time)
    return gbcs.encode_message(message._replace(signature=bytes(SIGNATURE_OCTETS)))


_ANSWERED: Final = gbcs.CosemDateTime.of(_AT).octets
_SUCCESS: Final = gbcs.ActivationResult.SUCCESS

TRANSFER_ALERT: Final = len(
    _signed(
        gbcs.Ccs08Alert(gbcs.AlertCode.TRANSFER_SUCCEEDED, _AT, _PARTY, _VERSION, gbcs.TransferResult.SUCCESS)
    )
)
"""CCS08."""

PPMID_ALERT: Final = len(
    _signed(gbcs.Cs09Alert(gbcs.AlertCode.PPMID_ACTIVATION, _AT, _VERSION, gbcs.Outcome.SUCCESS))
)
"""CS09."""

RECEIPT_ALERT: Final = len(_signed(gbcs.ReceiptAlert(gbcs.AlertCode.IMAGE_VERIFIED, _AT, _HASH)))
"""8F72 or 8F1C."""

COMMAND: Final = len(gbcs.mac.wrap(_signed(gbcs.Cs06Command(_HASH, 2**40, None)), bytes(32)))
"""CS06 for now, under a counter of five octets."""

COMMAND_FOR_LATER: Final = len(gbcs.mac.wrap(_signed(gbcs.Cs06Command(_HASH, 2**40, _AT)), bytes(32)))
"""CS06 for a time to come."""

ANSWER: Final = len(_signed(gbcs.Cs06Response(_SUCCESS, _VERSION), _ANSWERED))
"""The answer to CS06 after activation."""

OUTCOME_ALERT: Final = len(
    _signed(gbcs.OutcomeAlert(gbcs.AlertCode.FUTURE_DATED_SUCCESS, _AT, 2**40, _SUCCESS, _VERSION))
)
"""8F66 or 8F67."""
