# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings: what an operator may choose, with types, ranges, defaults and what each is for.

```
Settings = server + upstream + launch + session + engine + log     one frozen dataclass per section
KEYS: every key once, by its dotted name                             what docs, hints and `check-config` are made of
```
Rooms receive their own section and never read a file or an environment variable themselves; `server/sources.py`
does that once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

DAY_S = 86_400.0
"""The longest duration that any setting may have, in seconds."""

Name = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
CountOrAuto = Annotated[int, Meta(ge=0, le=1_000_000)]
ThreadsOrAuto = Annotated[int, Meta(ge=0, le=256)]
ByteCount = Annotated[int, Meta(ge=1024, le=2**32)]
Seconds = Annotated[float, Meta(gt=0, le=DAY_S)]
SecondsOrOff = Annotated[float, Meta(ge=0, le=DAY_S)]
Names = Annotated[tuple[Name, ...], Meta(max_length=64)]
Megabytes = Annotated[int, Meta(ge=0, le=16_777_216)]
EngineKind = Literal["tiny-en", "scripted"]
ProfileName = Literal["auto", "voxtral", "embedded", "qwen3-asr"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]


def setting[T](default: T, help: str, *, unit: str = "") -> T:
    """A key of a section: its default, what it is for, and the unit that its name ends in."""
    return field(default=default, metadata={"help": help, "unit": unit})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The listener and what one node accepts."""

    host: Name = setting("127.0.0.1", "Address to listen on; 0.0.0.0 for every IPv4 interface.")
    port: Port = setting(8080, "TCP port to listen on; 0 takes a free one.")
    max_sessions: Count = setting(256, "Live sessions that this node accepts; more are refused with at-capacity.")
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
    shutdown_timeout_s: Seconds = setting(10.0, "How long open turns may take to finish on SIGTERM.", unit="s")
    body_max_bytes: ByteCount = setting(268_435_456, "Largest body taken by POST /invocations.", unit="bytes")
    retry_after_s: Seconds = setting(2.0, "When a refused client is told to come back.", unit="s")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """The model server behind this node, or several."""

    url: str = setting(
        "", "Its WebSocket URL, ws:// or wss://. Empty: the server started by launch.command, or the embedded engine."
    )
    urls: Names = setting(
        (), "The URLs of several model servers, instead of url; streams go to those that answer, the fewest first."
    )
    model: str = setting("", "Name of the model. Empty: the first one that its GET /v1/models lists.")
    profile: ProfileName = setting(
        "auto", "How the model's deltas follow its audio. auto: as known of the model's name; voxtral for others."
    )
    api_key_file: str = setting("", "File that holds the key sent to it as a bearer token. Empty: no key.")
    max_sessions: CountOrAuto = setting(
        0, "Streams to have open on each, at most vLLM's --max-num-seqs. 0: server.max_sessions alone bounds them."
    )
    connect_timeout_s: Seconds = setting(5.0, "How long opening a stream on it may take.", unit="s")
    probe_interval_s: Seconds = setting(2.0, "Time between two looks at its health.", unit="s")
    probe_timeout_s: Seconds = setting(2.0, "How long its answer to such a look may take.", unit="s")


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
    held_audio_max_s: Seconds = setting(
        120.0, "Audio that may wait for the model; at the bound the client is not read any further.", unit="s"
    )
    held_turns_max: Count = setting(32, "Turns that may wait for the one before them.")
    output_max_bytes: ByteCount = setting(
        262_144, "Results that may wait for a client that does not read; at the bound it is cut off.", unit="bytes"
    )
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
    """The embedded engine: what runs when none of upstream.url, upstream.urls and launch.command is set."""

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
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def embeds_engine(self) -> bool:
        """Whether this node runs the embedded engine: no model server is named and none is to be started."""
        return not self.upstream.url and not self.upstream.urls and not self.launch.command


SECTIONS: Mapping[str, type] = {name: cast(type, hint) for name, hint in get_type_hints(Settings).items()}
"""The sections' classes by name, in the order of the docs."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: where it lives, its type with its range, its default and its description."""

    section: str
    name: str
    type: Any
    default: object
    help: str
    unit: str

    @property
    def dotted(self) -> str:
        """Its name, as `section.key`."""
        return f"{self.section}.{self.name}"

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return f"PARLEY_{self.section}_{self.name}".upper()

    @property
    def is_text(self) -> bool:
        """Whether its values are free text, or lists of it."""
        return self.is_list or isinstance(msgspec.inspect.type_info(self.type), msgspec.inspect.StrType)

    @property
    def is_list(self) -> bool:
        """Whether its values are lists of text."""
        return isinstance(msgspec.inspect.type_info(self.type), msgspec.inspect.VarTupleType)

    @property
    def expectation(self) -> str:
        """What a value has to be, as the end of the sentence "... must be"."""
        if get_origin(self.type) is Literal:
            return f"one of {', '.join(get_args(self.type))}"
        kind = msgspec.inspect.type_info(self.type)
        if isinstance(kind, msgspec.inspect.VarTupleType):
            return f"a list of at most {kind.max_length} texts that are not empty"
        if isinstance(kind, msgspec.inspect.BoolType):
            return "true or false"
        if isinstance(kind, msgspec.inspect.IntType):
            return f"a whole number from {kind.ge} to {kind.le}"
        if isinstance(kind, msgspec.inspect.FloatType):
            lowest = f"above {kind.gt:g}" if kind.gt is not None else f"from {kind.ge:g}"
            return f"a number {lowest}, at most {kind.le:g}"
        return "text that is not empty" if getattr(kind, "min_length", None) else "text"


def _keys() -> Iterator[Key]:
    for section, cls in SECTIONS.items():
        hints = get_type_hints(cls, include_extras=True)
        for one in fields(cls):
            yield Key(section, one.name, hints[one.name], one.default, one.metadata["help"], one.metadata["unit"])


KEYS: Mapping[str, Key] = {key.dotted: key for key in _keys()}
"""Every key by its dotted name, in the order of the docs."""

PRESETS: Mapping[str, Mapping[str, object]] = {
    "laptop": {},
    "sagemaker": {
        "server.host": "0.0.0.0",  # noqa: S104 - the container's contract: the platform connects from outside it
        "server.port": 8080,
        "log.format": "json",
        "upstream.url": "ws://127.0.0.1:8000/v1/realtime",
    },
}
"""What each preset sets. Its upstream.url yields to launch.command, which brings its own address, and to
upstream.urls."""


def value_of(settings: Settings, dotted: str) -> object:
    """The value of a key, for listings; code reads `settings.section.key`."""
    section, _, name = dotted.partition(".")
    return getattr(getattr(settings, section), name)
