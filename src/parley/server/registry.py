"""Who may take up which session again: resume tokens, of which only the hash is kept."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from parley.core.errors import ParleyError

TOKEN_BYTES = 32
PREFIX = "p1."
"""What tokens begin with. Another release may make them otherwise, and leave a session for this one."""
_ENDED_MAX = 4096
"""Sessions that ended and are remembered, so that who comes late for one is told so. About 300 bytes each."""


@dataclass(slots=True)
class _Entry[S]:
    """What a token stands for; `session` is None once it has ended."""

    principal: str = field(repr=False)
    session: S | None
    forget_at: float = 0.0
    cause: str = ""


class ResumeRegistry[S]:
    """Finds the session of a token. A token is a version and 256 random bits from `random`; its SHA-256 is the key
    under which its session and the principal that began it are found, so that neither a copy of this memory nor the
    time that a look-up takes says anything about a token that would be taken.

    A session that has ended is remembered for `window_s` more, the newest 4096 of them.
    """

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        clock: Callable[[], float],
        window_s: float,
        ended_max: int = _ENDED_MAX,
    ) -> None:
        self._random = random
        self._clock = clock
        self._window_s = window_s
        self._ended_max = ended_max
        self._entries: dict[bytes, _Entry[S]] = {}
        self._keys: dict[S, bytes] = {}
        # In the order of their end, which is that of `forget_at`.
        self._ended: dict[bytes, None] = {}

    def issue(self, session: S, principal: str) -> str:
        """A new token for a session; one that it had before is good no longer."""
        token = PREFIX + urlsafe_b64encode(self._random(TOKEN_BYTES)).rstrip(b"=").decode()
        self.adopt(session, token, principal)
        return token

    def adopt(self, session: S, token: str, principal: str) -> None:
        """A session has this token, from here or from another server; one that it had before is good no longer."""
        key = _hash(token)
        self.forget(session)
        self._keys[session] = key
        self._entries[key] = _Entry(principal, session)
        self._ended.pop(key, None)

    def forget(self, session: S) -> None:
        """A session is none of this server's any more, nor is its token."""
        key = self._keys.pop(session, None)
        if key is not None:
            del self._entries[key]

    def knows(self, token: str) -> bool:
        """Whether a session here has this token, or had."""
        return _hash(token) in self._entries

    def claim(self, token: str, principal: str) -> S:
        """The session of a token.

        Raises:
            ParleyError: unknown-session, wrong-principal or expired.
        """
        self._forget()
        entry = self._entries.get(_hash(token))
        if entry is None:
            raise ParleyError("unknown-session")
        if not hmac.compare_digest(entry.principal, principal):
            raise ParleyError("wrong-principal")
        if entry.session is None:
            raise ParleyError("expired", entry.cause)
        return entry.session

    def retire(self, session: S, cause: str = "") -> None:
        """A session has ended; `cause` is a sentence for who comes back for it."""
        self._forget()
        key = self._keys.pop(session, None)
        if key is None:
            return
        entry = self._entries[key]
        entry.session = None
        entry.cause = cause
        entry.forget_at = self._clock() + self._window_s
        self._ended[key] = None
        while len(self._ended) > self._ended_max:
            self._drop(next(iter(self._ended)))

    def _forget(self) -> None:
        now = self._clock()
        while self._ended:
            oldest = next(iter(self._ended))
            if self._entries[oldest].forget_at > now:
                return
            self._drop(oldest)

    def _drop(self, key: bytes) -> None:
        del self._ended[key]
        del self._entries[key]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
