"""What the audit log is told, whatever keeps it."""

from collections.abc import Mapping
from typing import Protocol

from parley.access.caller import NOBODY, Caller

Fact = str | int | float | bool


class Audit(Protocol):
    """Is told who did what. Never content, and no credential."""

    def check(self) -> None:
        """Whether it can still be written; asked before a session begins.

        Raises:
            ParleyError: audit-unavailable.
        """

    def record(
        self,
        action: str,
        caller: Caller = NOBODY,
        *,
        session_id: str = "",
        tenant: str = "",
        outcome: str = "ok",
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        """Something was done, or refused: `outcome` is `ok` or an error's code. Never waits, never raises.

        `tenant` is the target's; `facts` are few, short, and numbers or words of ours.
        """


class NoAudit:
    """An `Audit` that keeps nothing."""

    def check(self) -> None:
        """See `Audit`."""

    def record(
        self,
        action: str,
        caller: Caller = NOBODY,
        *,
        session_id: str = "",
        tenant: str = "",
        outcome: str = "ok",
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        """See `Audit`."""
