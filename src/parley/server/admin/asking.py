"""Who asks something of the admin API, and answers of another kind than most."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from parley.access.action import Action, Target
from parley.access.caller import Caller
from parley.access.gate import Gate


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and who knows what they may do."""

    caller: Caller
    gate: Gate

    def may(self, action: Action, target: Target) -> bool:
        """Whether they may."""
        return self.gate.may(self.caller, action, target)

    def allow(self, action: Action, target: Target) -> None:
        """See that they may.

        Raises:
            ParleyError: forbidden.
        """
        self.gate.allow(self.caller, action, target)


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is not JSON."""

    content_type: str
    body: bytes | AsyncGenerator[bytes]
