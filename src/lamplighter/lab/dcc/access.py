"""Access control: which User may ask which service for which Device, and each request once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from lamplighter.lab.dcc.refusals import Reason, Refusal
from lamplighter.protocol import duis
from lamplighter.protocol.duis import DeviceStatus, DeviceType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamplighter.kit import Eui64
    from lamplighter.lab.dcc.inventory import Entry, Inventory


class Service(Enum):
    """The three services of the DCC User Interface; the value is the last part of the path."""

    NON_DEVICE = "serviceD"
    SEND_COMMAND = "serviceS"
    TRANSFORM = "serviceT"


class UserRole(Enum):
    """In which role a User acts, as far as firmware goes."""

    IMPORT_SUPPLIER = "IS"
    GAS_SUPPLIER = "GS"
    NETWORK_OPERATOR = "NO"
    OTHER_USER = "OU"


@dataclass(frozen=True, slots=True)
class User:
    """A party that is registered to use the DCC User Interface."""

    user: Eui64
    """Its EUI-64, which signs and originates its requests."""
    roles: frozenset[UserRole] = frozenset({UserRole.IMPORT_SUPPLIER, UserRole.GAS_SUPPLIER})
    """In which roles it may act."""
    suspended: bool = False
    """Whether the DCC takes no requests from it now."""


_SUPPLIERS: Final = frozenset({UserRole.IMPORT_SUPPLIER, UserRole.GAS_SUPPLIER})
_EVERYONE: Final = frozenset(UserRole)
_METERS_AND_SWITCHES: Final = frozenset({DeviceType.ESME, DeviceType.GSME, DeviceType.HCALCS})
_READABLE: Final = _METERS_AND_SWITCHES | {DeviceType.CHF, DeviceType.GPF, DeviceType.PPMID}
_COMMISSIONED: Final = frozenset({DeviceStatus.COMMISSIONED})
_ON_THE_WAN: Final = _COMMISSIONED | {DeviceStatus.INSTALLED_NOT_COMMISSIONED, DeviceStatus.SUSPENDED}


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may send one kind of request, where to, and for what. Its command variant is settled in `duis`."""

    srv: str
    """The service reference."""
    service: Service
    """Where it is to be posted."""
    roles: frozenset[UserRole]
    """The roles that may send it."""
    types: frozenset[DeviceType] = frozenset()
    """The Devices that it may target; none for a Non-Device service, which targets the ACB."""
    statuses: frozenset[DeviceStatus] = frozenset()
    """The statuses in which the target must be."""


RULES: Final[dict[type, Rule]] = {
    duis.UpdateFirmware: Rule("11.1", Service.NON_DEVICE, _SUPPLIERS),
    duis.UpdatePpmidFirmware: Rule("11.4", Service.NON_DEVICE, _SUPPLIERS),
    duis.ReadInventory: Rule("8.2", Service.NON_DEVICE, _EVERYONE),
    duis.ReadFirmwareVersion: Rule("11.2", Service.SEND_COMMAND, _EVERYONE, _READABLE, _ON_THE_WAN),
    duis.ActivateFirmware: Rule("11.3", Service.TRANSFORM, _SUPPLIERS, _METERS_AND_SWITCHES, _COMMISSIONED),
    duis.SignedPreCommand: Rule(
        "11.3", Service.SEND_COMMAND, _SUPPLIERS, _METERS_AND_SWITCHES, _COMMISSIONED
    ),
}
"""Every request that is served. 11.1 and 11.4 judge their Devices one by one: see `firmware`."""


def is_responsible(user: User, entry: Entry) -> bool:
    """Whether a User is, in one of its roles, the responsible Supplier of a Device."""
    return (UserRole.IMPORT_SUPPLIER in user.roles and user.user == entry.import_side) or (
        UserRole.GAS_SUPPLIER in user.roles and user.user == entry.gas_side
    )


class Access:
    """The Users, and the highest counter that each has spent."""

    __slots__ = ("_acb", "_counters", "_inventory", "_users")

    def __init__(self, acb: Eui64, users: Mapping[Eui64, User], inventory: Inventory) -> None:
        self._acb = acb
        self._users = users
        self._inventory = inventory
        self._counters: dict[Eui64, int] = {}

    def admit(self, request: duis.Request, service: Service) -> Entry | Refusal | None:
        """Admit an authentic request: the target's entry, None for a Non-Device service, or a refusal.

        The counter is spent once the User may send the request at all, whatever comes of it afterwards.
        """
        rule = RULES[type(request.body)]
        user = self._users.get(request.id.originator)
        if user is None:
            return Refusal(Reason.UNKNOWN_USER, str(request.id.originator))
        if user.suspended:
            return Refusal(Reason.USER_SUSPENDED, str(user.user))
        if rule.service is not service:
            return Refusal(Reason.WRONG_SERVICE, f"{rule.srv} belongs to {rule.service.value}")
        if not user.roles & rule.roles:
            return Refusal(Reason.ROLE_NOT_PERMITTED, f"{rule.srv} is not for {user.user}")
        # A signed pre-command bears the request id of its transform, whose counter is spent already.
        if not isinstance(request.body, duis.SignedPreCommand):
            last = self._counters.get(user.user, -1)
            if request.id.counter <= last:
                return Refusal(Reason.COUNTER_NOT_ABOVE, f"{request.id.counter} after {last}")
            self._counters[user.user] = request.id.counter
        return self.target(request)

    def target(self, request: duis.Request) -> Entry | Refusal | None:
        """The target of a request, as things stand now: as they may no longer do when it was held back."""
        rule, user, device = RULES[type(request.body)], self._users[request.id.originator], request.id.target
        if not rule.types:
            return None if device == self._acb else Refusal(Reason.WRONG_TARGET, f"{device} is not the ACB")
        entry = self._inventory.find(device)
        if entry is None:
            return Refusal(Reason.NO_SUCH_DEVICE, str(device))
        if entry.type not in rule.types:
            return Refusal(Reason.WRONG_DEVICE_TYPE, f"{rule.srv} for a {entry.type.value}")
        if entry.status not in rule.statuses:
            return Refusal(Reason.DEVICE_STATUS, f"{device} is {entry.status.value}")
        if user.roles & _SUPPLIERS and not is_responsible(user, entry):
            return Refusal(Reason.NOT_RESPONSIBLE, f"{user.user} for {device}")
        return entry
