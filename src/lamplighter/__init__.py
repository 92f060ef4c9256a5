"""Over-the-air firmware updates for the small devices in Great Britain's smart-metered homes.

The rooms, from the ground up: `kit` (values and machines), `protocol` (what is spoken), `registry` (what
is known), `campaign` (what is decided), `store` (what is remembered), `service` (what runs), `lab` (what
we rehearse against) and `cli`. Imports go downward only; `docs/architecture.md` says why.
"""

__version__ = "0.1.0"
