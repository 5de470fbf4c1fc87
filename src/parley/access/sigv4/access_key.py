"""A pair of access key and secret, as somebody who signs holds it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key. Temporary ones have a session token and `expires_at_s`, in seconds since 1970.

    `principal` is whose it is, where several keys are one principal's: a name, or the id of another of them; empty when
    it stands for itself. `tenant` is the tenant that its holder is of, if the settings don't say. `description` is for
    whoever keeps the keys.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    expires_at_s: float | None = None
    principal: str = ""
    tenant: str = ""
    description: str = ""

    def __repr__(self) -> str:
        # Neither the secrets nor whose they are.
        return f"AccessKey({'temporary' if self.session_token else 'permanent'})"

    def is_expired(self, now_s: float) -> bool:
        """Whether it is no longer good at this time."""
        return self.expires_at_s is not None and now_s >= self.expires_at_s


class AccessKeys(Protocol):
    """Where access keys are found."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key with this id, or None. Does not wait."""
