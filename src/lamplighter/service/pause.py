"""How long to leave something alone that has failed: longer each time, and never for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamplighter.kit import Instant

if TYPE_CHECKING:
    from collections.abc import Callable


class Pause:
    """A pause that doubles with each failure, from `first` to `longest` microseconds."""

    def __init__(self, clock: Callable[[], Instant], first: int, longest: int) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._length = 0
        self._since = Instant(0)

    @property
    def left(self) -> int:
        """Microseconds that it still lasts; 0: it is over. A clock that is put back ends it."""
        passed = self._clock() - self._since
        return max(0, self._length - passed) if passed >= 0 else 0

    def lengthen(self) -> None:
        """It has failed (again): pause from now on."""
        self._length = min(max(2 * self._length, self._first), self._longest)
        self._since = self._clock()

    def end(self) -> None:
        """It has worked: no pause, and the next failure begins with the shortest one."""
        self._length = 0
