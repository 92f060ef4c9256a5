"""Firmware images: the OTA Upgrade Image of SRV 11.1 and 11.4, its hash, and the signatures on it.

- `ota`: the file itself. Header, Manufacturer Image, and for 11.1 the Supplier's trailer; `decode`, `encode`,
  `build`, `check`, and `explain` for a human.
- `supplier`: the Supplier's signature over the Manufacturer Image, which an HCALCS and a meter demand (11.1).
- `seal`: a manufacturer's own signature, inside the Manufacturer Image or beside it: all that a PPMID has.
- `compare`: what differs between two images.

Three things may vouch for an image, and none covers the OTA header: the hash (which the CPL holds), the
Supplier's signature and the seal all speak of the Manufacturer Image alone. Who relies on the version or the
hardware range in the header relies on the DCC having compared them with the CPL.
"""

from lamplighter.protocol.image.compare import Difference, compare
from lamplighter.protocol.image.ota import (
    HEADER_OCTETS,
    MAX_IMAGE_OCTETS,
    SCHEMA_MAX_OCTETS,
    Image,
    Layout,
    OtaHeader,
    build,
    check,
    decode,
    encode,
    explain,
    guess_layout,
)
from lamplighter.protocol.image.seal import (
    SEAL_OCTETS,
    Sealer,
    SealKey,
    is_sealed,
    seal,
    seal_detached,
    verify_detached_seal,
    verify_seal,
)
from lamplighter.protocol.image.supplier import sign_supplier, verify_supplier

__all__ = [
    "HEADER_OCTETS",
    "MAX_IMAGE_OCTETS",
    "SCHEMA_MAX_OCTETS",
    "SEAL_OCTETS",
    "Difference",
    "Image",
    "Layout",
    "OtaHeader",
    "SealKey",
    "Sealer",
    "build",
    "check",
    "compare",
    "decode",
    "encode",
    "explain",
    "guess_layout",
    "is_sealed",
    "seal",
    "seal_detached",
    "sign_supplier",
    "verify_detached_seal",
    "verify_seal",
    "verify_supplier",
]
