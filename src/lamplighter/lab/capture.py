"""HAN frames as a packet capture: classic pcap of IEEE 802.15.4 frames, for Wireshark and its kin.

Exact: times, the ZCL frames of the OTA cluster, the GBCS messages, and who sent them to whom. Made up, since
the lab has no layers below ZCL: MAC, NWK and APS headers with PAN ids, short addresses and counters handed
out in order of appearance; the Tunneling TransferData round a GBCS message, cut into APS fragments where it
would not fit a frame. Security is left out on purpose: a real HAN encrypts at the NWK and APS layers, and a
reader of this capture needs no keys.
"""

from __future__ import annotations

import struct
from itertools import count
from typing import TYPE_CHECKING, Final

from lamplighter.kit import Eui64
from lamplighter.kit.instant import SECOND
from lamplighter.lab.wire import Cluster, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamplighter.lab.world import Traced

LINKTYPE: Final = 230  # LINKTYPE_IEEE802_15_4_NOFCS
FRAME_OCTETS_MAX: Final = 125  # aMaxPHYPacketSize 127, less the check sequence that is not captured

_MAGIC: Final = 0xA1B2C3D4  # microseconds
_MAC_CONTROL: Final = 0x8861  # data, acknowledgement asked for, one PAN id, short addresses
_NWK_CONTROL: Final = 0x1808  # data, protocol version 2, both IEEE addresses present
_RADIUS: Final = 30
_APS_DATA: Final = 0x00  # data, unicast, no security
_APS_ACKNOWLEDGEMENT: Final = 0x02
_APS_ASKS: Final = 0x40  # for an acknowledgement
_APS_EXTENDED: Final = 0x80
_FIRST_FRAGMENT, _LATER_FRAGMENT = 1, 2
_PROFILE: Final = 0x0109  # Zigbee Smart Energy
_ENDPOINT: Final = 1
_HEADERS_OCTETS: Final = 9 + 24 + 8  # MAC, NWK, APS
_FRAGMENT_OCTETS: Final = 64
_TRANSFER_TO_SERVER, _TRANSFER_TO_CLIENT = bytes.fromhex("11 00 02 0000"), bytes.fromhex("19 00 01 0000")
# Tunneling TransferData (SE D.6): frame control, transaction, command, tunnel id. Who serves is made up too.

_CLUSTERS: Final = {cluster.name: cluster for cluster in Cluster}


class Air:
    """What the made-up layers remember from one frame to the next."""

    def __init__(self) -> None:
        self._pans: dict[str, int] = {}
        self._shorts: dict[tuple[int, str], int] = {}
        self._mac, self._nwk, self._aps = count(), count(), count()
        self._asked: dict[bytes, int] = {}  # APS counters of the messages that ask for an acknowledgement

    def frames(self, traced: Traced) -> Iterator[bytes]:
        """The 802.15.4 frames that carry one HAN frame; none for what goes another way."""
        cluster = _CLUSTERS.get(traced.what)
        if cluster is None:
            return
        (device,) = traced.devices
        outbound = traced.destination == str(device)
        hub = traced.source if outbound else traced.destination
        pan = self._pans.setdefault(hub, len(self._pans) + 1)
        ends = traced.source, traced.destination
        source, destination = (self._short(pan, hub, end) for end in ends)
        octets, kind, counter = traced.octets, _APS_DATA, next(self._aps) & 0xFF
        if cluster is Cluster.TUNNELING:
            kind |= _APS_ASKS
            self._asked[digest(octets)] = counter
            octets = (_TRANSFER_TO_SERVER if outbound else _TRANSFER_TO_CLIENT) + octets
        elif cluster is Cluster.ACKNOWLEDGEMENT:
            kind, cluster = _APS_ACKNOWLEDGEMENT, Cluster.TUNNELING
            counter, octets = self._asked.get(octets, counter), b""
        for extension, part in _fragments(octets):
            mac = struct.pack("<HBHHH", _MAC_CONTROL, next(self._mac) & 0xFF, pan, destination, source)
            nwk = struct.pack("<HHHBB", _NWK_CONTROL, destination, source, _RADIUS, next(self._nwk) & 0xFF)
            ieee = b"".join(Eui64.parse(end).octets[::-1] for end in reversed(ends))
            control = kind | (_APS_EXTENDED if extension else 0)
            aps = struct.pack("<BBHHBB", control, _ENDPOINT, cluster.value, _PROFILE, _ENDPOINT, counter)
            yield mac + nwk + ieee + aps + extension + part

    def _short(self, pan: int, hub: str, end: str) -> int:
        """The coordinator is 0000, the others as they come."""
        if end == hub:
            return 0
        return self._shorts.setdefault((pan, end), len(self._shorts) + 1)


def _fragments(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    """APS extended header and payload of each part; the first header tells how many there are."""
    if len(octets) <= FRAME_OCTETS_MAX - _HEADERS_OCTETS:
        yield b"", octets
        return
    parts = [octets[at : at + _FRAGMENT_OCTETS] for at in range(0, len(octets), _FRAGMENT_OCTETS)]
    for index, part in enumerate(parts):
        extension = (_LATER_FRAGMENT, index) if index else (_FIRST_FRAGMENT, len(parts))
        yield bytes(extension), part


def pcap(trace: Iterable[Traced]) -> Iterator[bytes]:
    """The file, piece by piece: its header, and a record for each frame on the HAN."""
    yield struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, FRAME_OCTETS_MAX, LINKTYPE)
    air = Air()
    for traced in trace:
        for frame in air.frames(traced):
            seconds, microseconds = divmod(traced.at, SECOND)
            yield struct.pack("<IIII", seconds, microseconds, len(frame), len(frame)) + frame
