"""The business case: over the air, replace as required, or fix the hub; figures that anybody can rerun.

- `case`: a case as TOML, each assumption one entry with unit, source and date; the strict reader.
- `laws`: what an assumption says: one value, or how likely which.
- `draws`: the numbers of one block of futures, from streams that are counted, not handed on.
- `model`: what each option costs in each future of a block; `closed` their expectation, without a draw.
- `spread`: blocks worked here, in processes, or by Dask; the results are the same to the last bit.
- `results`: a case worked through: costs, odds, break-evens, swings, scenarios, parties.
- `value`: what it is worth to know an input before deciding.
- `report`: the same for people, as a page.

Nothing here does I/O but `spread`, which starts processes.
"""

from importlib import resources

from lamplighter.planning.business.case import Case, parse
from lamplighter.planning.business.results import Study, study

__all__ = ["Case", "Study", "example", "parse", "study"]


def example() -> str:
    """The commented example case, which `plan business-case --example` prints."""
    return resources.files(__name__).joinpath("examples", "ppmid.toml").read_text(encoding="utf-8")
