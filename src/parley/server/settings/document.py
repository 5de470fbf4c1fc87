# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings: what an operator may choose, with types, ranges, defaults and what each is for.

```
Settings = server + http2 + upstream + launch + session + admission        one frozen dataclass per section
         + drain + admin + web + store + access + audit + retention + engine + telemetry + log
         + endpoints + tenants                                              lists of tables, from the file alone
KEYS: every key of a section once, by its dotted name       what docs, hints and `check-config` are made of
TABLES: the keys of each list of tables
```
Rooms receive their own section and never read a file or an environment variable themselves; `settings/sources.py`
does that once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast, get_type_hints

from parley.server.keys import Key as Key
from parley.server.keys import keys_of
from parley.server.settings.endpoint import EndpointSettings as EndpointSettings
from parley.server.settings.http2 import Http2Settings as Http2Settings
from parley.server.settings.telemetry import TelemetrySettings as TelemetrySettings
from parley.server.settings.tenant import TenantSettings as TenantSettings
from parley.server.settings.trust import AccessSettings as AccessSettings
from parley.server.settings.trust import AuditSettings as AuditSettings
from parley.server.settings.trust import RetentionSettings as RetentionSettings
from parley.server.settings.types import (
    ByteCount,
    Count,
    CountOrAuto,
    Megabytes,
    Name,
    Names,
    Policy,
    Port,
    ProfileName,
    Seconds,
    SecondsOrOff,
    StoreKind,
    ThreadsOrAuto,
    setting,
)
from parley.server.settings.types import EngineKind as EngineKind
from parley.server.settings.types import LogFormat as LogFormat
from parley.server.settings.types import LogLevel as LogLevel
from parley.server.settings.upstream import UpstreamEntry as UpstreamEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The listener and what one node accepts."""

    host: Name = setting("127.0.0.1", "Address to listen on; 0.0.0.0 for every IPv4 interface.")
    port: Port = setting(8080, "TCP port to listen on; 0 takes a free one.")
    tls_certificate_file: str = setting("", "Certificate with its chain, PEM: wss:// and https:// then. Empty: no TLS.")
    tls_key_file: str = setting("", "The certificate's private key, PEM, not encrypted.")
    tls_client_ca_file: str = setting(
        "", "Certificates, PEM, of whoever signs clients', who need one then. Empty: none is asked for."
    )
    cleartext_anywhere: bool = setting(
        False, "Allows credentials without TLS on other addresses than loopback, where others may read them."
    )
    allowed_origins: Names = setting(
        (), "Origins whose pages may connect, as https://captions.example, or *. Empty: this server's own."
    )
    max_sessions: Count = setting(256, "Live sessions that this node has at a time; streams on containers count.")
    message_max_bytes: ByteCount = setting(4_194_304, "Largest WebSocket message taken from a client.", unit="bytes")
    head_timeout_s: Seconds = setting(10.0, "How long a client may take to send its request's head.", unit="s")
    ping_interval_s: Seconds = setting(20.0, "Silence on a connection after which it is pinged.", unit="s")
    ping_timeout_s: Seconds = setting(20.0, "How long a ping may stay unanswered before the close.", unit="s")
    client_errors_max: Count = setting(16, "Invalid messages that a connection survives.")
    waiting_max: Count = setting(64, "Connections with ?resume=1 that may wait for their first message.")
    waiting_timeout_s: Seconds = setting(10.0, "How long each of them may take to send it.", unit="s")
    write_buffer_max_bytes: ByteCount = setting(
        1_048_576, "Bytes that may wait in a connection's transport before writing to it stops.", unit="bytes"
    )
    body_max_bytes: ByteCount = setting(268_435_456, "Largest body taken by POST /invocations.", unit="bytes")
    retry_after_s: Seconds = setting(2.0, "When a refused client is told to come back.", unit="s")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """The model server behind this node, or several."""

    url: str = setting(
        "", "Its WebSocket URL, ws:// or wss://. Empty: the server started by launch.command, or the embedded engine."
    )
    urls: Names = setting(
        (), "The URLs of several model servers, instead of url; streams go to the one with the least to do."
    )
    model: str = setting("", "Name of the model. Empty: the first one that its GET /v1/models lists.")
    profile: ProfileName = setting(
        "auto", "How the model's deltas follow its audio. auto: as known of the model's name; voxtral for others."
    )
    api_key_file: str = setting("", "File that holds the key sent to it as a bearer token. Empty: no key.")
    tls_ca_file: str = setting("", "Certificates, PEM, that its own has to follow from. Empty: the system's.")
    tls_certificate_file: str = setting("", "Certificate that this node shows it, PEM. Empty: none.")
    tls_key_file: str = setting("", "The certificate's private key, PEM, not encrypted.")
    max_sessions: CountOrAuto = setting(
        0, "Streams to have open on each, at most vLLM's --max-num-seqs. 0: server.max_sessions alone bounds them."
    )
    connect_timeout_s: Seconds = setting(5.0, "How long opening a stream on it may take.", unit="s")
    probe_interval_s: Seconds = setting(2.0, "Time between two looks at its health.", unit="s")
    probe_timeout_s: Seconds = setting(2.0, "How long its answer to such a look may take.", unit="s")
    probe_turn_interval_s: SecondsOrOff = setting(
        0.0, "Time between two short turns of real audio that it has to answer. 0: only after it failed.", unit="s"
    )
    probe_turn_timeout_s: Seconds = setting(10.0, "How long its answer to such a turn may take.", unit="s")
    spare_streams: CountOrAuto = setting(
        0, "Of max_sessions on each, streams kept for sessions that lose or change their model server."
    )
    lag_budget_s: SecondsOrOff = setting(
        0.0, "Lag, for one in twenty streams, over which no new session is begun. 0: any.", unit="s"
    )
    discover_dns: str = setting(
        "",
        "A name whose addresses are model servers, as a URL: ws://NAME:PORT/v1/realtime. Looked up again and again.",
    )
    discover_file: str = setting("", "A TOML file of [[upstreams]] that is read again when it changes.")
    discover_interval_s: Seconds = setting(5.0, "Time between two such looks.", unit="s")
    drain_timeout_s: Seconds = setting(
        60.0, "How long the streams on a model server that is drained may wait for a pause: half of it.", unit="s"
    )
    allow_old_versions: bool = setting(False, "Whether vLLM releases are used that are known to lose or hang streams.")

    @property
    def is_discovered(self) -> bool:
        """Whether there are model servers that come and go, beside those that are named."""
        return bool(self.discover_dns or self.discover_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSettings:
    """Who waits when all is in use, for how long, and who is refused."""

    queue_max: CountOrAuto = setting(0, "New sessions that may wait for a place. 0: none, they are refused at once.")
    queue_timeout_s: Seconds = setting(20.0, "How long each of them may wait.", unit="s")
    tenant_max_sessions: CountOrAuto = setting(0, "Live sessions of one client, by its credentials. 0: any number.")
    model_max_sessions: CountOrAuto = setting(0, "Live sessions on one model. 0: any number.")
    connects_per_s: CountOrAuto = setting(0, "Connections taken in a second, after a burst. 0: any number.")
    connects_burst: Count = setting(100, "Connections taken at once before connects_per_s holds the others back.")
    connects_waiting_max: Count = setting(2_000, "Connections that may be held back; more are refused.")
    opening_max: Count = setting(16, "Streams that may be being opened on model servers at the same time.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSettings:
    """What happens to live sessions when this node goes away."""

    settle_s: SecondsOrOff = setting(
        0.0, "How long the node goes on as before once it says that it is not ready, for balancers to see it.", unit="s"
    )
    timeout_s: Seconds = setting(10.0, "How long sessions may then take to finish or to move.", unit="s")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """The operator's own port: what is live, and what is to become of it."""

    host: Name = setting("127.0.0.1", "Address of the admin API; others than loopback need a token_file.")
    port: Port = setting(0, "Its TCP port. 0: no admin API.")
    token_file: str = setting(
        "", "File that holds the operator's bearer token. Empty: there is none; see access for other credentials."
    )
    tls_certificate_file: str = setting("", "Certificate with its chain, PEM. Empty: no TLS.")
    tls_key_file: str = setting("", "The certificate's private key, PEM, not encrypted.")
    tls_client_ca_file: str = setting(
        "", "Certificates, PEM, of whoever signs clients', who need one then. Empty: none is asked for."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Pages for people."""

    enabled: bool = setting(True, "Whether the server's port has the live captions page, at /. It asks nobody's leave.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where sessions are left for another node when this one goes away."""

    kind: StoreKind = setting(
        "memory", "memory: nowhere, they end with it; directory: files in a folder that is shared."
    )
    directory: str = setting("", "The folder, for kind directory. Its files are encrypted.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """The model server that this node starts, watches, restarts and ends."""

    command: str = setting(
        "", "Command line of it, split as a shell would, run without a shell; {port} becomes a free port. Empty: none."
    )
    health_timeout_s: Seconds = setting(
        480.0, "How long it may take to answer GET /health with 200 before it is started anew.", unit="s"
    )
    backoff_initial_s: Seconds = setting(0.5, "Wait before the first restart; doubles with each one.", unit="s")
    backoff_max_s: Seconds = setting(30.0, "Longest wait before a restart.", unit="s")
    stop_timeout_s: Seconds = setting(10.0, "How long it may take to end on SIGTERM before SIGKILL.", unit="s")
    rotate_memory_mb: Megabytes = setting(
        0,
        "Memory of all its processes, in MiB, over which the oldest streams on it are replaced. 0: never for that.",
        unit="MiB",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What bounds one session."""

    pace_window_s: SecondsOrOff = setting(
        3.0, "How far the audio sent may run ahead of the audio that the model has consumed. 0: no pacing.", unit="s"
    )
    held_audio_max_s: Seconds = setting(120.0, "Audio that may wait for the model; see input_policy.", unit="s")
    held_turns_max: Count = setting(32, "Turns that may wait for the one before them.")
    output_max_bytes: ByteCount = setting(
        262_144, "Results that may wait for a client that does not read; see output_policy.", unit="bytes"
    )
    output_max_s: Seconds = setting(600.0, "Audio whose results may so wait.", unit="s")
    input_policy: Policy = setting(
        "block",
        "At the bound of held audio: block stops reading the client, drop-oldest drops what the model has not had, "
        "terminate ends the session.",
    )
    output_policy: Policy = setting(
        "terminate",
        "At the bound of results: terminate cuts the client off, drop-oldest drops the oldest text, block stops the "
        "model.",
    )
    gather: bool = setting(True, "Whether pieces of audio that are smaller than the model's frame are joined to it.")
    idle_release_s: SecondsOrOff = setting(
        20.0,
        "How long a session may owe nothing before it gives its stream back until there is speech. 0: never.",
        unit="s",
    )
    preroll_s: Seconds = setting(1.0, "Audio from before the speech that such a session begins again with.", unit="s")
    input_idle_timeout_s: SecondsOrOff = setting(
        0.0, "How long a client may send nothing before its session ends. 0: any time.", unit="s"
    )
    speech_idle_timeout_s: SecondsOrOff = setting(
        0.0, "How long there may be no speech before the session ends. 0: any time.", unit="s"
    )
    duration_max_s: SecondsOrOff = setting(0.0, "How long a session may last. 0: any time.", unit="s")
    lag_notice_s: SecondsOrOff = setting(0.0, "Lag over which the client is told. 0: it is not.", unit="s")
    lag_max_s: SecondsOrOff = setting(0.0, "Lag at which the session ends. 0: any.", unit="s")
    expiry_notice_s: Seconds = setting(30.0, "How long before such an end the client is told.", unit="s")
    resume_window_s: SecondsOrOff = setting(
        30.0, "How long a session waits for its client to come back. 0: it ends with its connection.", unit="s"
    )
    ledger_max_bytes: ByteCount = setting(
        262_144, "Results kept until the client acknowledges them; at the bound the oldest go.", unit="bytes"
    )
    journal_max_s: Seconds = setting(
        30.0,
        "Audio of a turn kept for another model server; the oldest goes first. Best 5 s over pace_window_s.",
        unit="s",
    )
    turn_text_max_bytes: ByteCount = setting(
        1_048_576, "Text of one turn; at the bound the oldest leaves the final.", unit="bytes"
    )
    recovery_timeout_s: Seconds = setting(
        60.0, "How long a model server is looked for after one was lost, before the session ends.", unit="s"
    )
    rotate_after_s: Seconds = setting(
        600.0, "How long a turn may last before the stream on the model server is replaced at a pause.", unit="s"
    )
    rotate_force_s: Seconds = setting(1_200.0, "The same without waiting for a pause.", unit="s")
    forward_empty_deltas: bool = setting(
        False, "Whether deltas without text, 12.5 a second with Voxtral, are passed on to the client."
    )
    first_delta_timeout_s: Seconds = setting(
        15.0, "How long the model may leave a turn's first audio unanswered.", unit="s"
    )
    stall_timeout_s: Seconds = setting(15.0, "How long the model may fall silent within a turn.", unit="s")
    flush_timeout_s: Seconds = setting(15.0, "How long the model may take to end a turn.", unit="s")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The embedded engine: what runs when no model server is named, discovered or launched."""

    kind: EngineKind = setting("tiny-en", "Recogniser: tiny-en hears English on a CPU, scripted answers from rules.")
    model_dir: str = setting("", "Folder with the recogniser's weights. Empty: those that came with the package.")
    max_sessions: CountOrAuto = setting(0, "Streams it takes. 0: chosen from the number of cores.")
    decode_threads: ThreadsOrAuto = setting(0, "Threads that decode. 0: chosen from the number of cores.")
    port: Port = setting(0, "TCP port it listens on, on 127.0.0.1. 0: a free one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The log, on stderr."""

    level: LogLevel = setting("info", "Least severe records that are written.")
    format: LogFormat = setting("auto", "text for people, json for machines, auto: text on a terminal.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that may be set. Made by `sources.load`, or directly in tests; the defaults are a laptop's."""

    server: ServerSettings = field(default_factory=ServerSettings)
    http2: Http2Settings = field(default_factory=Http2Settings)
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    drain: DrainSettings = field(default_factory=DrainSettings)
    admin: AdminSettings = field(default_factory=AdminSettings)
    web: WebSettings = field(default_factory=WebSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    log: LogSettings = field(default_factory=LogSettings)
    endpoints: tuple[EndpointSettings, ...] = ()
    tenants: tuple[TenantSettings, ...] = ()
    upstreams: tuple[UpstreamEntry, ...] = ()

    @property
    def names_model_server(self) -> bool:
        """Whether the model server of this node's own sessions is named, or is to be started by a command."""
        upstream = self.upstream
        return bool(upstream.url or upstream.urls or self.upstreams or upstream.is_discovered or self.launch.command)

    @property
    def has_own_sessions(self) -> bool:
        """Whether this node has sessions of its own: always, unless all its endpoints are served elsewhere and nothing
        is said of a model server beside them."""
        all_elsewhere = bool(self.endpoints) and all(endpoint.kind != "parley" for endpoint in self.endpoints)
        return self.names_model_server or not (self.http2.enabled and all_elsewhere)

    @property
    def embeds_engine(self) -> bool:
        """Whether this node runs the embedded engine: no model server is named and none is to be started."""
        return self.has_own_sessions and not self.names_model_server


ENTRIES: Mapping[str, type] = {
    "endpoints": EndpointSettings,
    "tenants": TenantSettings,
    "upstreams": UpstreamEntry,
}
"""The class of an entry of each list of tables, in the order of the docs; `settings/tables.py` says how it is read."""

TABLES: Mapping[str, Mapping[str, Key]] = {
    table: {key.name: key for key in keys_of(table, cls)} for table, cls in ENTRIES.items()
}
"""The keys of each list of tables, by their names."""

SECTIONS: Mapping[str, type] = {
    name: cast(type, hint) for name, hint in get_type_hints(Settings).items() if name not in TABLES
}
"""The sections' classes by name, in the order of the docs."""

KEYS: Mapping[str, Key] = {key.dotted: key for section, cls in SECTIONS.items() for key in keys_of(section, cls)}
"""Every key of a section by its dotted name, in the order of the docs."""

PRESETS: Mapping[str, Mapping[str, object]] = {
    "laptop": {},
    "sagemaker": {
        "server.host": "0.0.0.0",  # noqa: S104 - the container's contract: the platform connects from outside it
        "server.port": 8080,
        # It has checked the caller, and nothing else reaches the container.
        "access.anonymous": True,
        "access.anonymous_anywhere": True,
        "web.enabled": False,
        "log.format": "json",
        "upstream.url": "ws://127.0.0.1:8000/v1/realtime",
    },
}
"""What each preset sets. Its upstream.url yields to launch.command, which brings its own address, to upstream.urls and
to model servers that are discovered."""


def value_of(settings: Settings, dotted: str) -> object:
    """The value of a key, for listings; code reads `settings.section.key`."""
    section, _, name = dotted.partition(".")
    return getattr(getattr(settings, section), name)
