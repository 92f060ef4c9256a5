"""What a User asks of the DCC: SRV 8.2, 11.1, 11.2, 11.3, 11.4, and the signed pre-command of 11.3.

Left out on purpose: sequenced requests (FirstInSequence, PrecedingServiceRequestID).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from lamplighter.kit import Eui64, FirmwareVersion, ImageHash, Instant, UsageError
from lamplighter.kit.instant import from_iso
from lamplighter.protocol.duis.document import SCHEMA_VERSION, decode_document, encode_document
from lamplighter.protocol.duis.grammar import Choice, Leaf, Particle, Sequence, failure, local, maybe, one
from lamplighter.protocol.duis.identifiers import RequestId  # noqa: TC001 # a NamedTuple field
from lamplighter.protocol.duis.inventory import PROPERTY, PropertyFilter
from lamplighter.protocol.duis.reader import read
from lamplighter.protocol.duis.simple_types import (
    BASE64,
    EUI,
    EXECUTION_TIME,
    HASH,
    IMAGE,
    REQUEST_ID,
    SOME_EUIS,
    UPRN,
    VERSION,
    digits,
    string,
    word,
)

if TYPE_CHECKING:
    from lamplighter.protocol.duis.grammar import Node

CANCEL: Final = from_iso("3000-12-31T00:00:00Z")
"""The execution time that revokes a future-dated command (99991231235959Z in GBCS)."""


@dataclass(frozen=True, slots=True)
class UpdateFirmware:
    """SRV 11.1: distribute an image to meters and HCALCSs, which wait for SRV 11.3."""

    image: bytes
    """The OTA Upgrade Image with the Supplier's signature; at most 10,240,000 octets."""
    version: FirmwareVersion
    """The version on the CPL, which the OTA header repeats."""
    devices: tuple[Eui64, ...]
    """1 to 50,000 Devices."""


@dataclass(frozen=True, slots=True)
class UpdatePpmidFirmware:
    """SRV 11.4: distribute an image to PPMIDs, which activate it at once."""

    image: bytes
    """The OTA Upgrade Image without a Supplier's signature; at most 10,240,000 octets."""
    version: FirmwareVersion
    """The version on the CPL, which the OTA header repeats."""
    devices: tuple[Eui64, ...]
    """1 to 50,000 Devices."""


@dataclass(frozen=True, slots=True)
class ActivateFirmware:
    """SRV 11.3 as a transform: make the pre-command that activates an image. Critical."""

    hash: ImageHash
    """The Manufacturer Image Hash of the image that the Device holds."""
    execution: Instant | None = None
    """When, to the second; None: at once; `CANCEL`: revoke what was dated."""


@dataclass(frozen=True, slots=True)
class SignedPreCommand:
    """SRV 11.3 as a command: the pre-command, signed by the Supplier."""

    payload: bytes
    """The GBCS message."""
    execution: Instant | None = None
    """When the DCC is to send it, to the second; None: at once. The time of activation is in the payload."""


@dataclass(frozen=True, slots=True)
class ReadFirmwareVersion:
    """SRV 11.2: ask a Device which version it runs."""

    execution: Instant | None = None
    """When, to the second; None: at once."""


@dataclass(frozen=True, slots=True)
class Mpxn:
    """A meter point, as what premises are found by."""

    number: str
    """MPAN or MPRN, 1 to 13 characters."""

    def __str__(self) -> str:
        return self.number


@dataclass(frozen=True, slots=True)
class Uprn:
    """A Unique Property Reference Number, as what premises are found by."""

    number: str
    """At most 12 digits, not all of them 0."""

    def __str__(self) -> str:
        return self.number


Premises: TypeAlias = Eui64 | Mpxn | Uprn | PropertyFilter
"""What the inventory finds premises by: a Device, a meter point, the property's number, or its address."""


@dataclass(frozen=True, slots=True)
class ReadInventory:
    """SRV 8.2: what the inventory knows of all Devices of a premises."""

    of: Premises
    """Which premises."""


RequestBody: TypeAlias = (
    UpdateFirmware
    | UpdatePpmidFirmware
    | ActivateFirmware
    | SignedPreCommand
    | ReadFirmwareVersion
    | ReadInventory
)


@dataclass(frozen=True, slots=True)
class Request:
    """One service request."""

    id: RequestId
    """Who asks for which Device (the ACB for 8.2, 11.1 and 11.4), under which counter."""
    body: RequestBody
    """What is asked; it settles service reference and command variant."""
    schema_version: str = SCHEMA_VERSION
    """The DUIS version that the document claims."""


class _Header(NamedTuple):
    id: RequestId
    command_variant: str
    service: str
    variant: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a request says of itself, whether or not its body can be read."""

    id: RequestId
    """The id under which it is to be answered."""
    command_variant: str
    """One digit."""
    service: str
    """The service reference."""
    variant: str
    """The service reference variant."""
    body: str
    """The name of the element in the body; empty where there is not exactly one."""

    @property
    def suits_body(self) -> bool:
        """Whether service reference and command variant are those of the body, if that is known at all."""
        service = _BY_ELEMENT.get(self.body)
        found = _Service(self.service, self.command_variant)
        return service is None or (found == service and self.service == self.variant)


class _Service(NamedTuple):
    """The service reference and command variant that go with a body."""

    reference: str
    command_variant: str


_SERVICES: Final = {
    UpdateFirmware: _Service("11.1", "8"),
    UpdatePpmidFirmware: _Service("11.4", "8"),
    ActivateFirmware: _Service("11.3", "4"),
    SignedPreCommand: _Service("11.3", "5"),
    ReadFirmwareVersion: _Service("11.2", "1"),
    ReadInventory: _Service("8.2", "8"),
}
_REFERENCE: Final = word({service.reference for service in _SERVICES.values()}, "8.2 or 11.1 to 11.4")
_HEADER: Final = Sequence(
    _Header,
    one("RequestID", REQUEST_ID),
    one("CommandVariant", digits(1, 1)),
    one("ServiceReference", _REFERENCE),
    one("ServiceReferenceVariant", _REFERENCE),
)
_DISTRIBUTION: Final = (
    one("FirmwareImage", IMAGE),
    one("FirmwareVersion", VERSION),
    one("DeviceIDList", SOME_EUIS),
)
_PREMISES: Final[dict[str, Node]] = {
    "UPRN": Leaf(UPRN.expected, lambda text: Uprn(UPRN.read(text)), str, Uprn),
    "DeviceID": Leaf(EUI.expected, EUI.read, EUI.write, Eui64),
    "MPxN": Leaf("1 to 13 characters", lambda text: Mpxn(string(1, 13).read(text)), str, Mpxn),
    "PropertyFilter": PROPERTY,
}
_WHEN: Final = maybe("ExecutionDateTime", EXECUTION_TIME)
_BODY: Final = Choice(
    {
        "UpdateFirmware": Sequence(UpdateFirmware, *_DISTRIBUTION),
        "ReadFirmwareVersion": Sequence(ReadFirmwareVersion, _WHEN),
        "ActivateFirmware": Sequence(
            ActivateFirmware,
            _WHEN,
            one("FirmwareHash", HASH),
            build=lambda execution, image_hash: ActivateFirmware(image_hash, execution),
            parts=lambda body: (body.execution, body.hash),
        ),
        "UpdatePPMIDFirmware": Sequence(UpdatePpmidFirmware, *_DISTRIBUTION),
        "SignedPreCommand": Sequence(
            SignedPreCommand,
            _WHEN,
            one("GBCSPayload", BASE64),
            build=lambda execution, payload: SignedPreCommand(payload, execution),
            parts=lambda body: (body.execution, body.payload),
        ),
        "ReadInventory": Sequence(ReadInventory, Particle(_PREMISES)),
    }
)


_BY_ELEMENT: Final = {
    "UpdateFirmware": _SERVICES[UpdateFirmware],
    "ReadFirmwareVersion": _SERVICES[ReadFirmwareVersion],
    "ActivateFirmware": _SERVICES[ActivateFirmware],
    "UpdatePPMIDFirmware": _SERVICES[UpdatePpmidFirmware],
    "SignedPreCommand": _SERVICES[SignedPreCommand],
    "ReadInventory": _SERVICES[ReadInventory],
}


class _Name:
    """Of a body only which element it holds."""

    def decode(self, element: Any) -> str:
        names = [local(child) for child in element]
        return names[0] if len(names) == 1 else ""


def decode_header(octets: bytes) -> Header:
    """Read the header of a request without believing it, for whoever is to say that the rest is wrong."""
    header, body, _ = decode_document(read(octets, comments=True), "Request", _HEADER, _Name())
    return Header(header.id, header.command_variant, header.service, header.variant, body)


def decode_request(octets: bytes) -> Request:
    """Read a request without believing it: a signature is passed over, unread."""
    return request_in(read(octets, comments=True))


def request_in(root: Any) -> Request:
    """The request in a document; service reference and command variant must be those of its body."""
    header, body, version = decode_document(root, "Request", _HEADER, _BODY)
    service = _SERVICES[type(body)]
    expected = _Header(header.id, service.command_variant, service.reference, service.reference)
    if header != expected:
        raise failure(
            root[0], "variant {1}, service {2}, {3}".format(*expected), "{1}, {2}, {3}".format(*header)
        )
    return Request(header.id, body, version)


def encode_request(request: Request) -> bytes:
    """The request as XML, not yet signed."""
    service = _SERVICES.get(type(request.body))
    if service is None:
        raise UsageError(f"{type(request.body).__name__} is not the body of a request")
    header = _Header(request.id, service.command_variant, service.reference, service.reference)
    return encode_document(
        "Request",
        _HEADER.encode("Header", header),
        _BODY.encode("Body", request.body),
        request.schema_version,
    )
