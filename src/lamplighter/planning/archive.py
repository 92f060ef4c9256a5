"""A signed archive: a ZIP file of one form, whose octets follow from its members and the key.

    manifest.json   every other member with its size and SHA-256, and the key's fingerprint
    manifest.sig    Ed25519 over "lamplighter evidence 1" LF and the manifest's octets, 64 octets
    ...             the members, by name, deflated; the first two are stored as they are

Any tool unpacks it; `verified` believes nothing of it before the signature has been checked, reads no more of
a member than the manifest says that there is, and writes nothing anywhere. It refuses what a signed archive
has no use for: names that climb, the same name twice, links, folders, encryption, anything between or after
the members. The same data can be deflated in many ways, and a decoder passes over spare bits: so the manifest
holds the hash of each member's deflated octets, too, and not one bit of the file can change. What is wrong is
named, the first thing first.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lamplighter.kit import UsageError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT: Final = "lamplighter evidence 1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"

MEMBERS_MAX: Final = 1_000
MANIFEST_OCTETS_MAX: Final = 1_000_000
MEMBER_OCTETS_MAX: Final = 4_000_000_000
"""Of one member, unpacked: ten million updates have about 1,200,000,000."""
ARCHIVE_OCTETS_MAX: Final = 4_000_000_000  # a ZIP file counts in 32 bits

_NAME: Final = re.compile(
    r"[a-z0-9][a-z0-9-]*(?:\.[a-z0-9]+)?(?:/[a-z0-9][a-z0-9-]*(?:\.[a-z0-9]+)?)?", re.ASCII
)
_NAME_MAX: Final = 100
_SIGNATURE_OCTETS: Final = 64
_AT_ONCE: Final = 1 << 20
_LEVEL: Final = 6  # of deflate
_CONTEXT: Final = FORMAT.encode() + b"\n"

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_VERSION: Final = 20  # of the format: deflate
_MADE_BY: Final = 3 << 8 | _VERSION  # Unix
_DATE: Final = 1 << 5 | 1  # 1 January 1980: the form knows no "never"
_ATTRIBUTES: Final = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was written."""

    octets: int
    """Of the archive."""
    digest: bytes
    """Its SHA-256."""
    members: dict[str, int]
    """Octets of each, unpacked."""


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key's 32 octets, in hex: what to compare by telephone."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def seal(
    file: IO[bytes],
    members: Mapping[str, bytes | Iterable[bytes]],
    key: Ed25519PrivateKey,
    about: Mapping[str, Any],
) -> Sealed:
    """Write a signed archive.

    members  octets by name, or pieces of them; about: what else the manifest says, plain JSON

    The same members, key and `about` give the same octets with the same zlib. Raises `UsageError` for a name
    that `verified` would refuse, and where it grows too large.
    """
    packed: list[tuple[str, _Packed]] = []
    for name in sorted(members):
        if not _is_name(name) or name in {MANIFEST, SIGNATURE}:
            raise UsageError(f"{name!r} is no name for a member: lower-case letters, digits, hyphens")
        packed.append((name, _pack(members[name])))
    manifest = {
        "format": FORMAT,
        "key": fingerprint(key.public_key()),
        "about": dict(about),
        "members": {
            name: {"octets": it.size, "sha256": it.digest.hex(), "deflated": it.packed_digest.hex()}
            for name, it in packed
        },
    }
    text = (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()
    if len(text) > MANIFEST_OCTETS_MAX or len(packed) + 2 > MEMBERS_MAX:
        raise UsageError(f"too many members for one archive: {len(packed)}")
    first = [(MANIFEST, _stored(text)), (SIGNATURE, _stored(key.sign(_CONTEXT + text)))]
    writer = _Writer(file)
    for name, it in (*first, *packed):
        writer.add(name, it)
    writer.finish()
    return Sealed(writer.octets, writer.digest.digest(), {name: it.size for name, it in packed})


# --- writing


@dataclass(frozen=True, slots=True)
class _Packed:
    pieces: list[bytes]
    octets: int
    size: int
    crc: int
    digest: bytes
    packed_digest: bytes


def _stored(octets: bytes) -> _Packed:
    digest = hashlib.sha256(octets).digest()
    return _Packed([octets], len(octets), len(octets), zlib.crc32(octets), digest, digest)


def _pack(member: bytes | Iterable[bytes]) -> _Packed:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    digest = hashlib.sha256()
    pieces, size, crc = [], 0, 0
    for piece in (member,) if isinstance(member, bytes) else member:
        digest.update(piece)
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        pieces.append(squeeze.compress(piece))
    pieces.append(squeeze.flush())
    if size > MEMBER_OCTETS_MAX:
        raise UsageError(f"a member of {size} octets is larger than an archive may hold")
    packed = hashlib.sha256(b"".join(pieces)).digest()
    return _Packed(pieces, sum(map(len, pieces)), size, crc, digest.digest(), packed)


def _local(name: bytes, crc: int, octets: int, size: int) -> bytes:
    head = _LOCAL.pack(b"PK\3\4", _VERSION, 0, _method(name), 0, _DATE, crc, octets, size, len(name), 0)
    return head + name


def _central(name: bytes, crc: int, octets: int, size: int, offset: int) -> bytes:
    head = _CENTRAL.pack(
        b"PK\1\2", _MADE_BY, _VERSION, 0, _method(name), 0, _DATE, crc, octets, size, len(name),
        0, 0, 0, 0, _ATTRIBUTES, offset,
    )  # fmt: skip
    return head + name


def _method(name: bytes) -> int:
    return zipfile.ZIP_STORED if name.decode() in {MANIFEST, SIGNATURE} else zipfile.ZIP_DEFLATED


def _end(members: int, octets: int, offset: int) -> bytes:
    return _END.pack(b"PK\5\6", 0, 0, members, members, octets, offset, 0)


class _Writer:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._directory: list[bytes] = []
        self.octets = 0
        self.digest = hashlib.sha256()

    def add(self, name: str, it: _Packed) -> None:
        if self.octets + it.octets > ARCHIVE_OCTETS_MAX:
            raise UsageError(f"the archive grows beyond {ARCHIVE_OCTETS_MAX} octets")
        said = name.encode(), it.crc, it.octets, it.size
        self._directory.append(_central(*said, self.octets))
        self._write(_local(*said))
        for piece in it.pieces:
            self._write(piece)

    def finish(self) -> None:
        offset, directory = self.octets, b"".join(self._directory)
        self._write(directory)
        self._write(_end(len(self._directory), len(directory), offset))

    def _write(self, octets: bytes) -> None:
        self._file.write(octets)
        self.digest.update(octets)
        self.octets += len(octets)


# --- reading


class Archive:
    """An archive whose signature, members and form have been checked."""

    def __init__(self, opened: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
        self._opened = opened
        self.about: dict[str, Any] = manifest["about"]
        """What the manifest says besides."""
        self.members: dict[str, int] = {name: it["octets"] for name, it in manifest["members"].items()}
        """Octets of each member, unpacked."""

    def pieces(self, name: str) -> Iterator[bytes]:
        """A member, some octets at a time. Raises `VerificationError` where there is none of that name."""
        if name not in self.members:
            raise VerificationError("pack-missing", f"a member {name}", "none")
        with self._opened.open(name) as member:
            while piece := member.read(_AT_ONCE):
                yield piece

    def read(self, name: str, most: int) -> bytes:
        """A member as a whole, of at most so many octets."""
        if self.members.get(name, 0) > most:
            raise VerificationError("pack-size", f"{name} of at most {most} octets", str(self.members[name]))
        return b"".join(self.pieces(name))


def verified(
    file: IO[bytes], key: Ed25519PublicKey, passed: Callable[[str, str], None] = lambda _check, _what: None
) -> Archive:
    """Check an archive against a public key; what it holds may be believed afterwards, and not before.

    file    open for reading, and stays open while the archive is read
    passed  is told of each check that went well: its name, and what it says

    Raises `VerificationError`, which names the first thing that is wrong.
    """
    size = file.seek(0, 2)
    if size > ARCHIVE_OCTETS_MAX:
        raise VerificationError("pack-size", f"at most {ARCHIVE_OCTETS_MAX} octets", str(size))
    try:
        opened = zipfile.ZipFile(file)
        infos = opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as cause:
        raise VerificationError("pack-form", "a ZIP file", str(cause)[:100]) from cause
    _check_list(infos)
    passed("names", f"{len(infos)} members, each once, none of them a link or a path that climbs")
    manifest = _manifest(opened, infos, key)
    passed("signature", f"by the key {fingerprint(key)}")
    _check_members(opened, infos, manifest["members"])
    passed("members", f"{len(manifest['members'])} with the sizes and hashes that were signed")
    _check_form(file, size, infos, manifest["members"])
    passed("form", "nothing lies before, between or behind the members")
    return Archive(opened, manifest)


def _check_list(infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MEMBERS_MAX:
        raise VerificationError("pack-size", f"at most {MEMBERS_MAX} members", str(len(infos)))
    seen: set[str] = set()
    for info in infos:
        # `orig_filename` is as it stands in the file: the other one ends at a NUL.
        name = info.orig_filename
        if not _is_name(name):
            expected = "names of lower-case letters, digits and hyphens, at most one folder deep"
            raise VerificationError("pack-name", expected, repr(name[:_NAME_MAX]))
        if name in seen:
            raise VerificationError("pack-duplicate", "each member once", f"{name} twice")
        seen.add(name)
        kind = info.external_attr >> 16
        if stat.S_IFMT(kind) not in {0, stat.S_IFREG} or info.is_dir():
            found = "a symbolic link" if stat.S_ISLNK(kind) else f"mode {kind:o}"
            raise VerificationError("pack-link", f"{name} to be a plain file", found)
        if info.flag_bits & 0x1:
            raise VerificationError("pack-form", f"{name} to be readable by anybody", "encrypted")
        if info.compress_type not in {zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED}:
            raise VerificationError("pack-form", f"{name} to be deflated", f"method {info.compress_type}")


def _manifest(opened: zipfile.ZipFile, infos: list[zipfile.ZipInfo], key: Ed25519PublicKey) -> dict[str, Any]:
    by_name = {info.filename: info for info in infos}
    for name in (MANIFEST, SIGNATURE):
        if name not in by_name:
            raise VerificationError("pack-missing", f"a member {name}", "none")
    text = b"".join(_bounded(opened, by_name[MANIFEST], MANIFEST_OCTETS_MAX))
    signature = b"".join(_bounded(opened, by_name[SIGNATURE], _SIGNATURE_OCTETS))
    try:
        key.verify(signature, _CONTEXT + text)
    except InvalidSignature:
        # Only to say more: nothing of it is believed.
        theirs = _claimed_key(text)
        if theirs is not None and theirs != fingerprint(key):
            raise VerificationError(
                "pack-key", f"a signature by the key {fingerprint(key)}", f"one that names the key {theirs}"
            ) from None
        raise VerificationError(
            "pack-signature", f"the signature of the key {fingerprint(key)} on {MANIFEST}", "another one"
        ) from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise VerificationError("pack-manifest", "JSON", str(cause)[:100]) from cause
    if not _is_manifest(found):
        raise VerificationError(
            "pack-manifest", f"a manifest of {FORMAT}", text[:100].decode(errors="replace")
        )
    return found  # type: ignore[no-any-return] # `_is_manifest` has looked at it


def _claimed_key(text: bytes) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    claimed = found.get("key") if isinstance(found, dict) else None
    return claimed if isinstance(claimed, str) and re.fullmatch(r"[0-9a-f]{64}", claimed) else None


def _is_manifest(found: Any) -> bool:
    if (
        not isinstance(found, dict)
        or found.get("format") != FORMAT
        or not isinstance(found.get("about"), dict)
    ):
        return False
    members = found.get("members")
    return isinstance(members, dict) and all(
        _is_name(name)
        and isinstance(it, dict)
        and type(it.get("octets")) is int
        and 0 <= it["octets"] <= MEMBER_OCTETS_MAX
        and isinstance(it.get("sha256"), str)
        and isinstance(it.get("deflated"), str)
        for name, it in members.items()
    )


def _check_members(opened: zipfile.ZipFile, infos: list[zipfile.ZipInfo], signed: Mapping[str, Any]) -> None:
    there = {info.filename: info for info in infos if info.filename not in {MANIFEST, SIGNATURE}}
    for name in sorted(there.keys() | signed.keys()):
        if name not in there:
            raise VerificationError("pack-missing", f"a member {name}, which was signed", "none")
        if name not in signed:
            raise VerificationError("pack-added", "no member but those that were signed", name)
        said, digest, size = signed[name], hashlib.sha256(), 0
        for piece in _bounded(opened, there[name], said["octets"]):
            digest.update(piece)
            size += len(piece)
        if size != said["octets"] or digest.hexdigest() != said["sha256"]:
            raise VerificationError(
                "pack-changed",
                f"{name} of {said['octets']} octets with SHA-256 {said['sha256']}",
                f"{size} octets with {digest.hexdigest()}",
            )


def _bounded(opened: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
    """The octets of a member, of which there must be at most so many: no more than that is unpacked."""
    if info.file_size > most:
        raise VerificationError(
            "pack-size", f"{info.filename} of at most {most} octets", f"{info.file_size} by its own header"
        )
    left = most
    try:
        with opened.open(info) as member:
            while piece := member.read(min(_AT_ONCE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise VerificationError(
                        "pack-size", f"{info.filename} of at most {most} octets", "more, when unpacked"
                    )
                yield piece
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
        ValueError,
        OverflowError,
        RuntimeError,
        struct.error,
    ) as cause:
        raise VerificationError(
            "pack-changed", f"{info.filename} as it was packed", str(cause)[:100]
        ) from cause


def _check_form(file: IO[bytes], size: int, infos: list[zipfile.ZipInfo], signed: Mapping[str, Any]) -> None:
    """Whether the file's octets are those that `seal` has written, down to the last."""
    offset = 0
    directory = []
    for info in infos:
        said = info.orig_filename.encode(), info.CRC, info.compress_size, info.file_size
        directory.append(_central(*said, offset))
        head = _local(*said)
        file.seek(offset)
        if info.header_offset != offset or file.read(len(head)) != head:
            raise VerificationError(
                "pack-form", f"{info.filename} at octet {offset}, as we write it", "other"
            )
        offset += len(head) + info.compress_size
        if info.filename in signed:
            _check_deflated(file, info, signed[info.filename]["deflated"])
    tail = b"".join(directory)
    tail += _end(len(infos), len(tail), offset)
    file.seek(offset)
    if size != offset + len(tail) or file.read(len(tail) + 1) != tail:
        raise VerificationError("pack-form", f"an end of {len(tail)} octets, as we write it", "other octets")


def _check_deflated(file: IO[bytes], info: zipfile.ZipInfo, signed: str) -> None:
    """Whether the deflated octets that come next are those that were signed."""
    digest, left = hashlib.sha256(), info.compress_size
    while piece := file.read(min(_AT_ONCE, left)):
        digest.update(piece)
        left -= len(piece)
    if left or digest.hexdigest() != signed:
        raise VerificationError(
            "pack-form",
            f"{info.filename} deflated to SHA-256 {signed}",
            f"otherwise, to {digest.hexdigest()}",
        )


def _is_name(name: str) -> bool:
    return len(name) <= _NAME_MAX and _NAME.fullmatch(name) is not None
