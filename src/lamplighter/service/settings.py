"""What `serve` and `worker` are told: each setting once, as an option or in the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from lamplighter.kit import UsageError
from lamplighter.kit.instant import SECOND
from lamplighter.service.gateway import Tls

if TYPE_CHECKING:
    from pathlib import Path

    from lamplighter.kit import Eui64

ENVIRONMENT: Final = "LAMPLIGHTER_"
"""What the names of all environment variables begin with."""

LEASE_MIN: Final = SECOND
"""A shorter lease would fall while its holder is at work."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process is to work; `None` where nothing was said."""

    database: str
    """Where the database is: `sqlite:///FILE` or `postgresql+psycopg://...`."""
    keys: Path | None = None
    """The key directory: our private keys, and the certificates that we trust."""
    supplier: Eui64 | None = None
    """Who we are; None: the only holder of a private XML signing key in the key directory."""
    acb: Eui64 | None = None
    """The Access Control Broker; None: the only one in the key directory."""
    dcc: str | None = None
    """The base URL of the DCC's three services."""
    tls: Tls = field(default_factory=Tls)
    """How we and the DCC's server know each other."""
    timeout: float = 20.0
    """Seconds that the DCC may take for an answer."""
    lease: int = 60 * SECOND
    """Microseconds after which the work of a process that says nothing is taken over."""
    poll: float = 0.5
    """Seconds between two looks for work, where nobody gives word of any."""

    def check(self) -> Settings:
        """These settings; `UsageError` where some contradict each other."""
        if self.lease < LEASE_MIN:
            raise UsageError(f"--lease takes {LEASE_MIN / SECOND:g} s or more, not {self.lease / SECOND:g} s")
        if not 0 < self.timeout * SECOND <= self.lease * 2 / 3:
            raise UsageError(
                "--timeout takes seconds above 0, and at most two thirds of --lease, so that no lease falls "
                f"while the DCC is waited for: {self.timeout:g} s is not right for {self.lease / SECOND:g} s"
            )
        if not self.poll > 0:
            raise UsageError(f"--poll takes a number of seconds above 0, not {self.poll:g}")
        return self

    def missing(self, *names: str) -> list[str]:
        """Of these settings, those of which nothing was said, each with how to say it."""
        return [
            f"--{name} or {ENVIRONMENT}{name.upper()} ({_MEANINGS[name]})"
            for name in names
            if getattr(self, name) is None
        ]

    def require(self, *names: str) -> None:
        """Raise `UsageError` that names all that is missing of these."""
        if missing := self.missing(*names):
            raise UsageError(f"missing: {'; '.join(missing)}")


def given(value: _Value | None) -> _Value:
    """A setting that `require` has seen to."""
    assert value is not None
    return value


_MEANINGS: Final = {
    "keys": "the key directory, as `lamplighter keys` makes it",
    "dcc": "the base URL of the DCC's services, such as https://HOST/api/v1",
    "supplier": "our EUI-64",
    "acb": "the EUI-64 of the Access Control Broker",
}
