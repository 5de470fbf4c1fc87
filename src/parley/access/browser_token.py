"""Short-lived tokens for browsers: what a page may hold, where a key would be anybody's who opens it.

```
pt1.BASE64URL( nonce of 12 bytes ║ AES-256-GCM( claims as JSON ) with the tag of 16 )
```
Nothing is kept of them here: any node with the key can open what another has minted.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from parley.access.caller import Caller
from parley.access.identity import Identity, RequestHead
from parley.access.sigv4.stamp import describe_time
from parley.core.errors import ParleyError

PREFIX = "pt1."
SUBPROTOCOLS = ("parley.token.", "openai-insecure-api-key.")
"""What a WebSocket subprotocol begins with that carries a token."""
TOKEN_MAX_CHARS = 4_096
SECRET_MIN_BYTES = 32

_NONCE_BYTES = 12
_AAD = PREFIX.encode()
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token as its page gets it; `expires_at_s` is in seconds since 1970."""

    value: str = field(repr=False)
    expires_at_s: int
    token_id: str


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sealed: whom it stands for, until when, and which it is."""

    principal: str
    name: str
    tenant: str
    roles: tuple[str, ...]
    expires_at_s: int
    id: str


class BrowserTokens:
    """Mints tokens and opens them. `secret` is at least 32 bytes that nobody can guess, the same on all nodes; `clock`
    gives seconds since 1970.

    Raises:
        ValueError: the secret is too short.
    """

    def __init__(self, secret: bytes, *, clock: Callable[[], float], ttl_max_s: float = 600.0) -> None:
        if len(secret) < SECRET_MIN_BYTES:
            raise ValueError(f"the key of browser tokens has to be at least {SECRET_MIN_BYTES} bytes long")
        # The file may hold any text: the key proper is derived from it, and for this alone.
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"parley browser token v1").derive(secret)
        self._cipher = AESGCM(key)
        self._clock = clock
        self.ttl_max_s = ttl_max_s

    @classmethod
    def of_this_process(cls, *, clock: Callable[[], float], ttl_max_s: float = 600.0) -> "BrowserTokens":
        """With a random key that nobody else has."""
        return cls(secrets.token_bytes(SECRET_MIN_BYTES), clock=clock, ttl_max_s=ttl_max_s)

    def __repr__(self) -> str:
        return f"BrowserTokens(ttl_max_s={self.ttl_max_s:g})"

    def mint(self, minter: Caller, ttl_s: float) -> MintedToken:
        """A token that stands for its minter, good for `ttl_s` seconds, and no longer than the minter's own credential.

        Raises:
            ParleyError: forbidden for a minter that has shown a browser token itself; bad-request when `ttl_s` is less
                than 1 or more than is allowed, or what is known of the minter is more than a token holds.
        """
        if minter.method == "browser-token":
            raise ParleyError("forbidden", "A browser token can't have another one made.")
        if not 1 <= ttl_s <= self.ttl_max_s:
            raise ParleyError("bad-request", f"A browser token may be good for 1 to {self.ttl_max_s:g} s.")
        expires_at_s = int(min(self._clock() + ttl_s, minter.expires_at_s or float("inf")))
        token_id = secrets.token_hex(8)
        claims = _Claims(
            minter.principal, minter.name, minter.tenant, tuple(sorted(minter.roles)), expires_at_s, token_id
        )
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(claims), _AAD)
        value = PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        if len(value) > TOKEN_MAX_CHARS:
            raise ParleyError("bad-request", "Its maker's name and roles are more than a browser token holds.")
        return MintedToken(value, expires_at_s, token_id)

    def open(self, token: str) -> Caller:
        """Whom a token stands for.

        Raises:
            ParleyError: invalid-token for one that was not minted with this key or was changed since;
                expired-credentials.
        """
        claims = self._unseal(token)
        now_s = self._clock()
        if now_s >= claims.expires_at_s:
            ended = f"The browser token was good until {describe_time(claims.expires_at_s)}"
            raise ParleyError("expired-credentials", f"{ended}; it is {describe_time(now_s)}. Have another one made.")
        return Caller(
            claims.principal,
            claims.name,
            claims.tenant,
            frozenset(claims.roles),
            method="browser-token",
            expires_at_s=float(claims.expires_at_s),
        )

    def _unseal(self, token: str) -> _Claims:
        if not token.startswith(PREFIX) or len(token) > TOKEN_MAX_CHARS:
            raise ParleyError("invalid-token", f"It is no browser token: one begins with `{PREFIX}`.")
        encoded = token[len(PREFIX) :]
        try:
            sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            # Base64 has several spellings of some bytes; a token has one.
            if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != encoded:
                raise binascii.Error
            opened = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _AAD)
            return msgspec.json.decode(opened, type=_Claims)
        except (ValueError, InvalidTag, msgspec.DecodeError):
            raise ParleyError(
                "invalid-token", "The browser token was not made here, or not all of it has come."
            ) from None


class BrowserTokenMethod:
    """A `Method` for browser tokens: in a WebSocket's subprotocol, or as a bearer token."""

    name = "browser tokens"
    is_beside_others = False

    def __init__(self, tokens: BrowserTokens) -> None:
        self._tokens = tokens

    def recognises(self, request: RequestHead) -> bool:
        """Whether it brings one, good or not."""
        return bool(_sent(request))

    def authenticate(self, request: RequestHead) -> Identity:
        """Whom it stands for.

        Raises:
            ParleyError: as `BrowserTokens.open` does; bad-request for more than one of them.
        """
        sent = _sent(request)
        if len(sent) != 1:
            raise ParleyError("bad-request", f"It brings {len(sent)} browser tokens; send one.")
        return Identity(self._tokens.open(sent[0]))


def offered_subprotocols(request: RequestHead) -> list[str]:
    """The subprotocols that an upgrade offers (RFC 6455 section 4.2.1), in order."""
    return [
        name
        for value in request.values("sec-websocket-protocol")
        for part in value.split(",")
        if (name := part.strip())
    ]


def carries_token(subprotocol: str) -> bool:
    """Whether a subprotocol is a credential, and so may not be repeated."""
    return subprotocol.startswith(SUBPROTOCOLS)


def _sent(request: RequestHead) -> list[str]:
    found = [value[len(_BEARER) :].strip() for value in request.values("authorization") if _is_bearer(value)]
    bearers = [token for token in found if token.startswith(PREFIX)]
    carried = [name for name in offered_subprotocols(request) if carries_token(name)]
    return bearers + [name[len(_carrier(name)) :] for name in carried]


def _carrier(subprotocol: str) -> str:
    return next(prefix for prefix in SUBPROTOCOLS if subprotocol.startswith(prefix))


def _is_bearer(value: str) -> bool:
    return value[: len(_BEARER)].lower() == _BEARER
