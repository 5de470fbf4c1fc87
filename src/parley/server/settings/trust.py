# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings of trust: who may come in, what is written down of it, and what is kept of what was said."""

from dataclasses import dataclass

from parley.server.settings.types import (
    ByteCount,
    Names,
    Seconds,
    SecondsOrOff,
    TokenSeconds,
    setting,
)
from parley.server.settings.types import OnAuditFailure as OnAuditFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Who may come in, on every listener alike. Without any of the files and issuers here, everybody may.

    As soon as one kind of credentials is set, a request without any is refused, on all listeners.
    """

    anonymous: bool = setting(
        False, "Whether addresses that other machines reach may be listened on although nobody is asked who they are."
    )
    anonymous_anywhere: bool = setting(
        False, "The same once more: only both together allow it. Something else has to keep strangers off."
    )
    policy_file: str = setting(
        "", "TOML file with rules of who may do what. Empty: everybody may begin sessions and resume their own."
    )
    keys_file: str = setting("", "File of API keys, which `parley keys` makes and changes. It holds only hashes.")
    credentials_file: str = setting("", "File of the AWS access keys whose signatures are taken.")
    region: str = setting("", "AWS region that signatures have to be for. Empty: any.")
    clock_skew_s: Seconds = setting(
        300.0, "How far the time in a signature may be from this machine's, either way.", unit="s"
    )
    jwt_issuer: str = setting("", "The `iss` of the JWTs that are taken. Empty: none are.")
    jwt_audience: str = setting("", "What their `aud` has to name; needed with jwt_issuer.")
    jwt_keys_url: str = setting(
        "", "Where the issuer's keys are (a JWKS), https://. Empty: what its .well-known/openid-configuration says."
    )
    jwt_keys_file: str = setting("", "File of the issuer's keys (a JWKS), instead of jwt_keys_url.")
    jwt_algorithms: Names = setting(
        ("RS256", "ES256", "EdDSA"), "How they may be signed; keys fit one of these or are not used."
    )
    jwt_keys_interval_s: Seconds = setting(300.0, "Time between two looks at the issuer's keys.", unit="s")
    jwt_keys_stale_max_s: Seconds = setting(
        3_600.0, "How long keys are used that can't be looked up any more.", unit="s"
    )
    jwt_tenant_claim: str = setting("tenant", "The claim that names the tenant. Empty: none does.")
    jwt_roles_claim: str = setting("roles", "The claim that lists roles. Empty: none does.")
    browser_tokens: bool = setting(
        False, "Whether callers may have short-lived tokens for browsers made: POST /v1/realtime/client_secrets."
    )
    browser_token_key_file: str = setting(
        "", "File with the key of these tokens, the same on all nodes. Empty: one of this process's own."
    )
    browser_token_ttl_max_s: TokenSeconds = setting(600.0, "The longest that such a token may be good.", unit="s")
    certificates: bool = setting(
        False,
        "Whether a client certificate, which a listener's tls_client_ca_file asks for, says who its client is. With "
        "other kinds of credentials beside it, clients may bring one of those instead.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """The audit log: who did what, each line bound to the one before it."""

    file: str = setting("", "Where it is written, one JSON object a line. Empty: there is none.")
    key_file: str = setting(
        "", "File with a key that the lines are bound together with. Empty: whoever may write the file may forge it."
    )
    on_failure: OnAuditFailure = setting(
        "refuse", "When it can't be written: refuse begins no further session, continue goes on without it."
    )
    file_max_bytes: ByteCount = setting(
        67_108_864, "Size at which a file is closed and the next begun; the chain goes on in it.", unit="bytes"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """What is kept of what was said, for tenants and sessions that ask for it; encrypted."""

    directory: str = setting("", "Folder that it is kept in. Empty: nothing is ever kept.")
    key_file: str = setting("", "File with the key that each session's own key is wrapped in; needed with directory.")
    transcript_ttl_s: SecondsOrOff = setting(
        86_400.0, "How long transcripts are kept; 0: until they are purged.", unit="s"
    )
    audio_ttl_s: Seconds = setting(3_600.0, "How long audio is kept.", unit="s")
    session_max_bytes: ByteCount = setting(
        268_435_456, "The most that is kept of one session; what comes after it isn't.", unit="bytes"
    )
    sweep_interval_s: Seconds = setting(60.0, "Time between two looks for what is past its time.", unit="s")
