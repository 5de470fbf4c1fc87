"""Who may come in, put together from the settings."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from parley.access.action import NODE
from parley.access.audit import Audit
from parley.access.browser_token import SECRET_MIN_BYTES, BrowserTokenMethod, BrowserTokens
from parley.access.caller import OPERATOR, Caller
from parley.access.certificate import CertificateMethod
from parley.access.gate import Gate, Method
from parley.access.keys.key_store import open_keys
from parley.access.keys.method import ApiKeyMethod
from parley.access.operator_token import OPERATOR_NAME, OperatorToken
from parley.access.policy import DEFAULT_POLICY, Rules
from parley.access.policy_file import PolicyFile
from parley.access.sigv4.authenticator import SigV4Authenticator
from parley.access.sigv4.credentials import CredentialsError, KeyFile
from parley.access.sigv4.presigned import PresignedQuery
from parley.access.watched_file import FileError
from parley.server.auditing import AuditLog, open_audit
from parley.server.jwt_method import Background, make_jwt_method
from parley.server.options import read_key
from parley.server.quotas import Quotas
from parley.server.settings.document import Settings
from parley.server.settings.trust import AccessSettings
from parley.server.settings.trust_problems import trust_problems
from parley.server.start import StartError
from parley.server.tenants import Tenants

_TOKEN_MIN_CHARS = 16


_ANYBODY = Caller(name=OPERATOR_NAME, roles=frozenset({OPERATOR}))
"""Whoever reaches the operator's port of a node that asks nobody: a program on its own machine."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What a node has of it: the gate of its clients' listeners, that of the operator's port, its tenants and their
    quotas, and what has to run while it does."""

    gate: Gate
    admin_gate: Gate
    tenants: Tenants
    quotas: Quotas
    background: tuple[Background, ...] = ()
    audit_log: AuditLog | None = None
    browser_tokens: BrowserTokens | None = None

    def close(self) -> None:
        """Write down what is left to be."""
        if self.audit_log is not None:
            self.audit_log.close()


def make_trust(settings: Settings, clock: Callable[[], float] = time.time) -> Trust:
    """All of it. `clock` gives seconds since 1970.

    Raises:
        StartError: a file can't be read or holds what it should not, or strangers would be let in.
    """
    # Settings may come from elsewhere than a file that was checked.
    for _, problem in trust_problems(settings):
        raise StartError(f"invalid-settings: {problem}")
    tenants = Tenants(settings.tenants, others_max=settings.admission.tenant_max_sessions)
    access_keys = _access_keys(settings.access)
    methods = _methods(settings.access, access_keys, clock)
    background: list[Background] = []
    if settings.access.jwt_issuer:
        jwt, background = make_jwt_method(settings.access, clock)
        methods.append(jwt)
    token = admin_token(read_key(settings.admin.token_file, "admin.token_file"))
    operator: list[Method] = [] if token is None else [OperatorToken(token)]
    audit_log = open_audit(settings.audit)
    policy = _policy(settings.access.policy_file, audit_log)
    browser_tokens = _browser_tokens(settings.access, clock)
    of_pages = _methods_of_pages(settings.access, access_keys, browser_tokens, clock)
    gate = Gate([*methods, *of_pages], policy=policy, tenant_of=tenants.name_of, audit=audit_log)
    admin_gate = Gate(
        [*operator, *methods], policy=policy, tenant_of=tenants.name_of, audit=audit_log, anonymous=_ANYBODY
    )
    return Trust(gate, admin_gate, tenants, Quotas(settings.tenants), tuple(background), audit_log, browser_tokens)


def _policy(path: str, audit: Audit | None) -> Rules:
    if not path:
        return DEFAULT_POLICY

    def changed() -> None:
        if audit is not None:
            audit.record("policy-change", tenant=NODE, facts={"rules": len(policy.rules)})

    try:
        policy = PolicyFile(path, on_change=changed)
        return policy
    except FileError as error:
        raise StartError("\n".join(f"policy-unusable: {problem}" for problem in error.problems)) from None


def admin_token(token: str | None) -> str | None:
    """The token that a file holds.

    Raises:
        StartError: it is too short to keep anybody out, or no token at all.
    """
    if token is None:
        return None
    if len(token) < _TOKEN_MIN_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise StartError(
            f"token-unusable: the file in admin.token_file has to hold one token of {_TOKEN_MIN_CHARS} ASCII "
            "characters or more, without spaces. `openssl rand -hex 32` makes one."
        )
    return token


def _access_keys(access: AccessSettings) -> KeyFile | None:
    if not access.credentials_file:
        return None
    try:
        return KeyFile(access.credentials_file)
    except CredentialsError as error:
        raise StartError("\n".join(f"credentials-unusable: {problem}" for problem in error.problems)) from None


def _browser_tokens(access: AccessSettings, clock: Callable[[], float]) -> BrowserTokens | None:
    if not access.browser_tokens:
        return None
    secret = read_key(access.browser_token_key_file, "access.browser_token_key_file")
    if secret is None:
        return BrowserTokens.of_this_process(clock=clock, ttl_max_s=access.browser_token_ttl_max_s)
    if len(secret.encode()) < SECRET_MIN_BYTES:
        raise StartError(
            f"key-unusable: the file in access.browser_token_key_file has to hold {SECRET_MIN_BYTES} characters or "
            "more that nobody can guess. `openssl rand -hex 32` makes them."
        )
    return BrowserTokens(secret.encode(), clock=clock, ttl_max_s=access.browser_token_ttl_max_s)


def _methods_of_pages(
    access: AccessSettings, keys: KeyFile | None, tokens: BrowserTokens | None, clock: Callable[[], float]
) -> list[Method]:
    """What a page may come with, and so nobody may look after a node with."""
    methods: list[Method] = []
    if keys is not None:
        methods.append(PresignedQuery(keys, clock=clock, region=access.region, skew_max_s=access.clock_skew_s))
    if tokens is not None:
        methods.append(BrowserTokenMethod(tokens))
    return methods


def _methods(access: AccessSettings, access_keys: KeyFile | None, clock: Callable[[], float]) -> list[Method]:
    methods: list[Method] = []
    if access.keys_file:
        try:
            methods.append(ApiKeyMethod(open_keys(access.keys_file), clock=clock))
        except FileError as error:
            raise StartError("\n".join(f"keys-unusable: {problem}" for problem in error.problems)) from None
    if access_keys is not None:
        verifier = SigV4Authenticator(access_keys, clock=clock, region=access.region, skew_max_s=access.clock_skew_s)
        methods.append(verifier)
    if access.certificates:
        methods.append(CertificateMethod(clock=clock))
    return methods
