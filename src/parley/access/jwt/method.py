"""JWTs as the gate takes them: `Authorization: Bearer HEADER.PAYLOAD.SIGNATURE` (RFC 7519, RFC 8725).

What a token says of how it is to be verified is believed in nothing. Its algorithm has to be one of the settings and
one of the key's own; its `kid` looks a key up among those that were fetched; a key or the address of one in it is
refused.
"""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from jwt.algorithms import OKPAlgorithm

from parley.access.action import TENANT
from parley.access.caller import Caller
from parley.access.identity import Identity, RequestHead
from parley.access.jwt.key_set import ED25519, KEY_ID_MAX_CHARS, VerificationKey, same_algorithm
from parley.access.principal import principal_of_key
from parley.core.errors import ParleyError

TOKEN_MAX_CHARS = 8_192
LEEWAY_S = 30.0
SUBJECT_MAX_CHARS = 256
ROLES_MAX = 32

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
_FOREIGN = ("jwk", "jku", "x5c", "x5u", "crit")
"""Of a header: keys that the token brings along or says where to find, and what has to be understood (RFC 7515
sections 4.1.2 to 4.1.6 and 4.1.11)."""


class Keys(Protocol):
    """Where the issuer's keys are found."""

    def find(self, key_id: str | None) -> tuple[VerificationKey, ...]:
        """The keys of this id; all, for None.

        Raises:
            ParleyError: keys-unavailable.
        """


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which tokens are taken: from whom, for whom, how they may be signed, and which claims name a tenant and roles;
    empty where none does."""

    issuer: str
    audience: str
    algorithms: Collection[str]
    tenant_claim: str = ""
    roles_claim: str = ""


class JwtMethod:
    """A `Method` for JWTs. `clock` gives seconds since 1970."""

    name = "JWTs"
    is_beside_others = False

    def __init__(self, expects: Expectation, keys: Keys, *, clock: Callable[[], float]) -> None:
        self._expects = expects
        self._keys = keys
        self._clock = clock
        self._signatures = jwt.PyJWS()
        # Only keys of that curve are among the issuer's.
        self._signatures.register_algorithm(ED25519, OKPAlgorithm())

    def recognises(self, request: RequestHead) -> bool:
        """Whether it brings something of a JWT's form."""
        return any(_TOKEN.fullmatch(token) for token in _bearers(request))

    def authenticate(self, request: RequestHead) -> Identity:
        """Whose the token is.

        Raises:
            ParleyError: invalid-token, expired-credentials or keys-unavailable.
        """
        tokens = _bearers(request)
        if len(tokens) != 1 or len(tokens[0]) > TOKEN_MAX_CHARS:
            raise _refused(f"One of at most {TOKEN_MAX_CHARS} characters is taken")
        token = tokens[0]
        header = _json_of(token.partition(".")[0], "header")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or same_algorithm(algorithm) not in self._expects.algorithms:
            raise _refused(f"Its algorithm is none of {', '.join(sorted(self._expects.algorithms))}")
        if foreign := [name for name in _FOREIGN if name in header]:
            raise _refused(f"Its header has a `{foreign[0]}`")
        key = self._key(header.get("kid"), same_algorithm(algorithm))
        try:
            signed = self._signatures.decode(token, key.key, algorithms=[algorithm])
        except (jwt.exceptions.PyJWTError, ValueError, TypeError):
            raise _refused("Its signature is not one of its issuer's") from None
        claims = _json_object(signed, "payload")
        self._check_claims(claims)
        return Identity(self._caller(claims))

    def _key(self, key_id: object, algorithm: str) -> VerificationKey:
        if key_id is not None and (not isinstance(key_id, str) or len(key_id) > KEY_ID_MAX_CHARS):
            raise _refused("Its `kid` is no id of a key")
        fitting = [key for key in self._keys.find(key_id) if algorithm in key.algorithms]
        if len(fitting) != 1:
            raise _refused(
                "Its issuer has no key of its `kid` for its algorithm"
                if key_id
                else "It names no key, and several would fit"
            )
        return fitting[0]

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        now_s, expects = self._clock(), self._expects
        if claims.get("iss") != expects.issuer:
            raise _refused("Its `iss` is another issuer")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if expects.audience not in audiences:
            raise _refused("Its `aud` does not name this service")
        times = {name: _number(claims, name) for name in ("exp", "nbf", "iat")}
        expires_at_s, not_before_s, issued_at_s = times["exp"], times["nbf"], times["iat"]
        if expires_at_s is None:
            raise _refused("It has no `exp`: it would never end")
        if now_s >= expires_at_s + LEEWAY_S:
            raise ParleyError("expired-credentials", "The token's `exp` has passed; have a new one made.")
        if any(at_s is not None and at_s > now_s + LEEWAY_S for at_s in (not_before_s, issued_at_s)):
            raise _refused("It is not good yet: its `nbf` or `iat` lies ahead of this server's clock")

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_MAX_CHARS or not subject.isprintable():
            raise _refused(f"Its `sub` is no text of 1 to {SUBJECT_MAX_CHARS} characters")
        name = f"jwt:{self._expects.issuer}#{subject}"
        return Caller(
            principal_of_key(name),
            name,
            self._tenant(claims),
            self._roles(claims),
            method="jwt",
            expires_at_s=_number(claims, "exp"),
        )

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        tenant = claims.get(self._expects.tenant_claim) if self._expects.tenant_claim else None
        if tenant is None:
            return ""
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise _refused("The claim that names its tenant holds no name of one")
        return tenant

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        listed = claims.get(self._expects.roles_claim) if self._expects.roles_claim else None
        if listed is None:
            return frozenset()
        # OAuth's `scope` is one text (RFC 8693 section 4.2), most others' roles are lists.
        roles = listed.split() if isinstance(listed, str) else listed
        if (
            not isinstance(roles, list)
            or len(roles) > ROLES_MAX
            or not all(isinstance(role, str) and _ROLE.fullmatch(role) for role in roles)
        ):
            raise _refused(f"The claim that lists its roles holds no list of at most {ROLES_MAX} of them")
        return frozenset(roles)


def _bearers(request: RequestHead) -> list[str]:
    values = (value.partition(" ") for value in request.values("authorization"))
    return [token.strip() for scheme, _, token in values if scheme.lower() == "bearer"]


def _json_of(part: str, what: str) -> dict[str, Any]:
    try:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise _refused(f"Its {what} is not base64url") from None
    return _json_object(decoded, what)


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object whose members have names of their own: two readers must not read two different things."""
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _refused(f"Its {what} is not JSON, or names something twice") from None
    if not isinstance(found, dict):
        raise _refused(f"Its {what} is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        raise _refused(f"Its `{name}` is no time")
    return float(value)


def _refused(why: str) -> ParleyError:
    return ParleyError("invalid-token", f"{why}.")
