"""Credentials of every kind and in every state, for one gateway that takes all kinds.

```
folder = Issuer(tmp_path)
gateway = ...(access=folder.access, tenants=folder.tenants, server=folder.tls, admin={**folder.tls, ...})
folder.credentials     each Credential: kind, state, and what it adds to a request
```
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import jwt

from parley.access.browser_token import BrowserTokens
from parley.access.caller import Caller
from parley.access.keys.api_key import ApiKey, hash_of, make, written
from parley.access.keys.key_store import changing
from parley.access.principal import principal_of_key
from parley.server.settings.document import TenantSettings
from tests.access.jwt.tokens import AUDIENCE, ISSUER, OTHER_RSA, RSA, jwk, key_set
from tests.support.boto import presigned_target, signed_headers
from tests.support.certificates import Authority, Pair
from tests.support.signing import Credentials, sign_request

TENANT, OTHER_TENANT = "acme", "umbrella"
STATES = ("none", "wrong", "expired", "stranger", "powerless", "observer", "right", "operator")
"""`stranger` may do everything in another tenant, `powerless` is known and may do nothing, `observer` may only see."""

POLICY = """
[[rule]]
name = "everything of one's own"
who = ["role:all", "aws:AKIDRIGHT", "certificate:right.example"]
actions = ["start", "resume", "observe", "read", "end", "move"]

[[rule]]
name = "the node"
who = ["role:warden", "aws:AKIDRIGHT", "certificate:right.example"]
actions = ["observe", "end", "drain", "admin"]
tenants = ["node"]

[[rule]]
name = "observers"
who = ["role:observer"]
actions = ["observe"]

[[rule]]
name = "operators"
who = ["operator"]
actions = ["start", "resume", "observe", "end", "move", "drain", "admin"]
tenants = ["*"]
"""
_ROLES: Mapping[str, tuple[str, ...]] = {
    "right": ("all", "warden"),
    "stranger": ("all",),
    "observer": ("observer",),
    "powerless": (),
}
_BY_AWS = Credentials("AKIDRIGHT", "not-a-secret-but-forty-characters-long-2")


@dataclass(frozen=True)
class Asked:
    """A request that is to be made: what a credential may have to sign."""

    method: str
    target: str
    authority: str
    body: bytes = b""
    is_http2: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """The request's target and headers with the credential."""

    target: str
    headers: Mapping[str, str]


def _bearer(token: str) -> Callable[[Asked], Shown]:
    return lambda asked: Shown(asked.target, {"Authorization": f"Bearer {token}"})


def _as_subprotocol(token: str) -> Callable[[Asked], Shown]:
    return lambda asked: Shown(asked.target, {"Sec-WebSocket-Protocol": f"realtime, parley.token.{token}"})


def _clock(age_s: float) -> Callable[[], float]:
    return lambda: time.time() - age_s


@dataclass(frozen=True)
class Credential:
    """One credential; `show` says what a request with it is."""

    kind: str
    state: str
    show: Callable[[Asked], Shown] = field(default=lambda asked: Shown(asked.target, {}), repr=False)
    certificate: Pair | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class Issuer:
    """Makes them all, with the files that a gateway knows them by."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self.authority = Authority(folder / "authority")
        self.operator = secrets.token_urlsafe(24)
        self.browser_key = secrets.token_urlsafe(32)
        self.keys: dict[str, str] = {}
        self.credentials = (
            Credential("none", "none"),
            *self._api_keys(),
            *self._signatures(),
            *self._jwts(),
            *self._browser_tokens(),
            *self._certificates(),
            Credential("operator-token", "wrong", _bearer(self.operator[:-1])),
            Credential("operator-token", "operator", _bearer(self.operator)),
        )

    # ---- what the gateway is told

    @property
    def access(self) -> dict[str, Any]:
        """The section of that name."""
        file = self._file
        aws = f'[[key]]\naccess_key_id = "{_BY_AWS.access_key_id}"\nsecret_access_key = "{_BY_AWS.secret_access_key}"\n'
        return {
            "keys_file": str(self._folder / "keys.toml"),
            "credentials_file": file("aws.toml", aws),
            "policy_file": file("policy.toml", POLICY),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_keys_file": file("jwks.json", key_set(jwk(RSA, kid="one")).decode()),
            "browser_tokens": True,
            "browser_token_key_file": file("browser.key", self.browser_key),
            "certificates": True,
        }

    @property
    def tenants(self) -> tuple[TenantSettings, ...]:
        """Those of callers whose credentials name none."""
        callers = ("aws:AKIDRIGHT", "certificate:right.example")
        return (TenantSettings(name=TENANT, callers=callers), TenantSettings(name=OTHER_TENANT))

    @property
    def token_file(self) -> str:
        """The operator's."""
        return self._file("operator", self.operator)

    def tls(self) -> dict[str, str]:
        """A listener's settings."""
        own = self.authority.server("127.0.0.1")
        return {
            "tls_certificate_file": str(own.certificate_file),
            "tls_key_file": str(own.key_file),
            "tls_client_ca_file": str(self.authority.file),
        }

    def _file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)

    # ---- the kinds

    def _api_keys(self) -> list[Credential]:
        self.keys = {state: self._api_key(state) for state in (*_ROLES, "expired")}
        made = [Credential("api-key", state, _bearer(key)) for state, key in self.keys.items()]
        right = self.keys["right"]
        made.append(Credential("api-key", "wrong", _bearer(right[:-4] + ("AAAA" if right[-4:] != "AAAA" else "BBBB"))))
        return made

    def _api_key(self, state: str) -> str:
        presented, salt = make(secrets.token_bytes)
        tenant = OTHER_TENANT if state == "stranger" else TENANT
        with changing(self._folder / "keys.toml", may_begin=True) as keys:
            keys[presented.id] = ApiKey(
                id=presented.id,
                salt=salt,
                hash=hash_of(salt, presented.secret),
                name=state,
                tenant=tenant,
                roles=_ROLES.get(state, ("all",)),
                expires_at_s=1.0 if state == "expired" else None,
            )
        return written(presented)

    def _signatures(self) -> list[Credential]:
        wrong = Credentials(_BY_AWS.access_key_id, "x" * 40)
        made = []
        for state, credentials, age_s in (("right", _BY_AWS, 0), ("wrong", wrong, 0), ("expired", _BY_AWS, 7_200)):
            made.append(Credential("sigv4", state, self._signing(credentials, age_s)))
            made.append(Credential("presigned", state, self._presigning(credentials, age_s)))
        return made

    def _signing(self, credentials: Credentials, age_s: int) -> Callable[[Asked], Shown]:
        def show(asked: Asked) -> Shown:
            when, once = time.time() - age_s, {"x-once": str(next(self._numbers))}
            if asked.is_http2:
                head = sign_request(
                    asked.target,
                    {name: value for name, value in asked.headers.items() if name.startswith("x-amzn-")},
                    authority=asked.authority,
                    method=asked.method,
                    credentials=credentials,
                    style="node",
                    time_s=when,
                )
                return Shown(asked.target, dict(head.headers))
            if asked.body:
                once["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
            headers = signed_headers(
                asked.target,
                method=asked.method,
                headers=once,
                authority=asked.authority,
                credentials=credentials,
                time_s=when,
            )
            return Shown(asked.target, headers)

        return show

    @staticmethod
    def _presigning(credentials: Credentials, age_s: int) -> Callable[[Asked], Shown]:
        def show(asked: Asked) -> Shown:
            when = time.time() - age_s
            target = presigned_target(asked.target, authority=asked.authority, credentials=credentials, time_s=when)
            return Shown(target, {})

        return show

    @staticmethod
    def _jwts() -> list[Credential]:
        now_s = int(time.time())

        def token(state: str, key: Any = RSA, exp: int = now_s + 3_600) -> Credential:
            claims = {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": state,
                "exp": exp,
                "tenant": OTHER_TENANT if state == "stranger" else TENANT,
                "roles": list(_ROLES.get(state, ("all",))),
            }
            return Credential("jwt", state, _bearer(jwt.encode(claims, key, "RS256", {"kid": "one"})))

        return [token("wrong", OTHER_RSA), token("expired", exp=now_s - 3_600), *(token(state) for state in _ROLES)]

    def _browser_tokens(self) -> list[Credential]:
        made = []
        ages = {**dict.fromkeys(_ROLES, 0), "expired": 3_600, "wrong": 0}
        for state, age_s in ages.items():
            secret = "another" * 8 if state == "wrong" else self.browser_key
            tokens = BrowserTokens(secret.encode(), clock=_clock(age_s))
            tenant = OTHER_TENANT if state == "stranger" else TENANT
            roles = frozenset(_ROLES.get(state, ("all",)))
            minter = Caller(principal_of_key(state), f"key:{state}", tenant, roles, method="api-key")
            value = tokens.mint(minter, 600).value
            made += [
                Credential("browser-token", state, _bearer(value)),
                Credential("subprotocol", state, _as_subprotocol(value)),
            ]
        return made

    def _certificates(self) -> list[Credential]:
        stranger = Authority(self._folder / "stranger").client("right.example")
        expired = self.authority.client("right.example", is_good_for=timedelta(days=-1))
        return [
            Credential("certificate", "right", certificate=self.authority.client("right.example")),
            Credential("certificate", "powerless", certificate=self.authority.client("powerless.example")),
            Credential("certificate", "wrong", certificate=stranger),
            Credential("certificate", "expired", certificate=expired),
        ]
