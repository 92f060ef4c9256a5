"""Write docs/codes.md: what codes and alerts mean, from the tables that explain messages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lamplighter.protocol import gbcs
from lamplighter.protocol.duis.codes import MEANINGS

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "codes.md"

HEAD: Final = """\
# Codes and alerts

Written by `make docs` from the tables in the code; not edited by hand. Only codes that concern a firmware
update have a meaning here. The others of DUIS are accepted and shown as they are.
"""
TABLES: Final = {
    "Services": "ServiceReference",
    "Command variants": "CommandVariant",
    "Response codes": "ResponseCode",
    "DCC alerts": "DCCAlertCode",
    "Device alerts": "AlertCode",
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, element in TABLES.items():
        rows = [f"| {code} | {meaning} |" for code, meaning in MEANINGS[element].items()]
        parts.append("\n".join([f"## {title}\n", f"| {element} | meaning |", "|---|---|", *rows, ""]))
    kinds = [
        f"| {kind.code:04X} | {kind.name} | {'yes' if kind.signed else ''} | {'yes' if kind.maced else ''} |"
        for kind in gbcs.KINDS
    ]
    parts.append(
        "\n".join(["## GBCS messages\n", "| code | message | signature | MAC |", "|---|---|---|---|", *kinds])
    )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
