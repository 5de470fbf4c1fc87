"""An audit log that a test reads."""

from collections.abc import Mapping
from typing import NamedTuple

from parley.access.audit import Fact, NoAudit
from parley.access.caller import NOBODY, Caller


class Note(NamedTuple):
    """What it was told once."""

    action: str
    actor: str
    session_id: str
    tenant: str
    outcome: str


class AuditNotes(NoAudit):
    """An `Audit` that remembers."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

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
        self.notes.append(Note(action, caller.name, session_id, tenant, outcome))
