"""Processor time of a server: of its whole process tree, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PARENT: Final = 1  # proc(5), /proc/PID/stat: the places of the fields after the name, from 0
_TIMES: Final = slice(11, 15)  # utime, stime, and cutime, cstime: of children that have ended


def cpu_seconds(pid: int) -> float:
    """User and system time that `pid` and all its descendants, living and ended, have used, in seconds.

    The kernel counts in ticks of (mostly) 10 ms: measure a second or more. Raises ProcessLookupError where
    `pid` is gone.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # A name may hold spaces and brackets; what follows the last bracket is numbers.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile; its parent has its time
        parents[int(folder.name)] = int(fields[_PARENT])
        ticks[int(folder.name)] = sum(map(int, fields[_TIMES]))
    if pid not in ticks:
        raise ProcessLookupError(f"there is no process {pid}")
    tree = {pid}
    while found := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= found
    return sum(ticks[member] for member in tree) / _TICKS_A_SECOND
