"""GBCS: the messages that parties and Devices exchange end to end, as octets.

- `der`: the few strict DER types; `message`: grouping header and signature; `mac`: the wrapping with a MAC.
- `use_cases`: what each message says; `catalogue`: one table of all kinds.
- `envelope`: decode, encode, and `open_message`, the only way from octets to belief.
- `correlation`: signing a pre-command that says exactly what was asked, and no other.
- `explanation`: the same for a human.
"""

from lamplighter.protocol.gbcs import mac
from lamplighter.protocol.gbcs.catalogue import KINDS, Kind, kind_of
from lamplighter.protocol.gbcs.correlation import Activation, pre_command, sign_pre_command
from lamplighter.protocol.gbcs.envelope import Gbcs, Opened, compose, decode, encode, open_message, sign
from lamplighter.protocol.gbcs.explanation import Explanation, Line, Verdict, explain
from lamplighter.protocol.gbcs.message import Cra, Message, Supplementary
from lamplighter.protocol.gbcs.message import encode as encode_message
from lamplighter.protocol.gbcs.use_cases import (
    CANCELLED,
    ActivationResult,
    AlertCode,
    Ccs08Alert,
    CosemDateTime,
    Cs06Accepted,
    Cs06Command,
    Cs06Response,
    Cs08Command,
    Cs08Response,
    Cs09Alert,
    Form,
    Outcome,
    OutcomeAlert,
    Payload,
    ReceiptAlert,
    TransferResult,
)

__all__ = [
    "CANCELLED",
    "KINDS",
    "Activation",
    "ActivationResult",
    "AlertCode",
    "Ccs08Alert",
    "CosemDateTime",
    "Cra",
    "Cs06Accepted",
    "Cs06Command",
    "Cs06Response",
    "Cs08Command",
    "Cs08Response",
    "Cs09Alert",
    "Explanation",
    "Form",
    "Gbcs",
    "Kind",
    "Line",
    "Message",
    "Opened",
    "Outcome",
    "OutcomeAlert",
    "Payload",
    "ReceiptAlert",
    "Supplementary",
    "TransferResult",
    "Verdict",
    "compose",
    "decode",
    "encode",
    "encode_message",
    "explain",
    "kind_of",
    "mac",
    "open_message",
    "pre_command",
    "sign",
    "sign_pre_command",
]
