"""API keys as the gate takes them: `Authorization: Bearer parley_...`, or `x-api-key`."""

from collections.abc import Callable, Mapping
from typing import Protocol

from parley.access.caller import Caller
from parley.access.identity import Identity, RequestHead
from parley.access.keys.api_key import PREFIX, SALT_BYTES, ApiKey, hash_of, parse
from parley.access.principal import principal_of_key
from parley.core.errors import ParleyError

_BEARER = "bearer "
_NO_SALT = bytes(SALT_BYTES)


class ApiKeys(Protocol):
    """Where API keys are found."""

    @property
    def current(self) -> Mapping[str, ApiKey]:
        """All of them, by id."""


class ApiKeyMethod:
    """A `Method` for API keys. `clock` gives seconds since 1970."""

    name = "API keys"
    is_beside_others = False

    def __init__(self, keys: ApiKeys, *, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock

    def recognises(self, request: RequestHead) -> bool:
        """Whether it brings what looks like a key of Parley's."""
        return bool(_sent(request))

    def authenticate(self, request: RequestHead) -> Identity:
        """Whose key it is.

        Raises:
            ParleyError: invalid-token, for one that isn't known, is wrong or was revoked; expired-credentials.
        """
        sent = _sent(request)
        presented = parse(sent[0]) if len(sent) == 1 else None
        if presented is None:
            raise ParleyError("invalid-token", "It is no API key: one is parley_ID_SECRET, and comes once.")
        key = self._keys.current.get(presented.id)
        if key is None:
            # As long as a look at one that is there.
            hash_of(_NO_SALT, presented.secret)
        if key is None or not key.fits(presented.secret) or key.revoked_at_s is not None:
            raise ParleyError("invalid-token", "The API key is not known here, or was revoked.")
        now_s = self._clock()
        if key.is_over(now_s):
            raise ParleyError("expired-credentials", "The API key has expired; ask the operator for its successor.")
        name = f"key:{key.name}"
        caller = Caller(
            principal_of_key(name),
            name,
            key.tenant,
            frozenset(key.roles),
            method="api-key",
            expires_at_s=key.expires_at_s,
        )
        return Identity(caller)


def _sent(request: RequestHead) -> list[str]:
    """The keys that it brings, in whichever header."""
    bearers = [value[len(_BEARER) :].strip() for value in request.values("authorization") if _is_bearer(value)]
    return [value for value in (*bearers, *request.values("x-api-key")) if value.startswith(PREFIX)]


def _is_bearer(value: str) -> bool:
    return value[: len(_BEARER)].lower() == _BEARER
