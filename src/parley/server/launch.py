"""Which model server this node starts, if any, where those behind it are, and what may be expected of them."""

import os
import sys
from collections.abc import Callable, Mapping

from parley.core.profile import EMBEDDED, QWEN3_ASR, VOXTRAL, ModelProfile, profile_of
from parley.engine.options import KEY_VARIABLE
from parley.server.settings.document import EngineSettings, LaunchSettings, Settings, UpstreamSettings
from parley.upstream.child.child import ChildOptions, ChildState, ModelServerChild
from parley.upstream.child.memory import MemoryWatch

ENGINE_CANNOT_START = 3
"""Exit status of `parley engine` when it can't start: its weights or libraries are missing, its port is taken."""


SESSIONS_PER_CORE = 4
"""Streams that the embedded engine takes for each core: people talking all the time, with partial results at their full
cadence. With twice as many, partial results come about once a second (measured)."""
_PROFILES = {"voxtral": VOXTRAL, "embedded": EMBEDDED, "qwen3-asr": QWEN3_ASR}

SCRIPTED_SESSIONS = 256
"""Streams that the scripted engine takes: it computes next to nothing."""


def engine_sessions_max(engine: EngineSettings) -> int:
    """Streams that the embedded engine takes: as set, or by the cores that this process may use."""
    if engine.max_sessions:
        return engine.max_sessions
    if engine.kind == "scripted":
        return SCRIPTED_SESSIONS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return SESSIONS_PER_CORE * cores


def engine_command(engine: EngineSettings, *, log_level: str = "info") -> tuple[str, ...]:
    """The command line of the embedded engine, with `{port}` for a port still to be chosen.

    It runs in this interpreter, and the working directory is kept off its import path (-P): a folder called "parley"
    there must not be taken for the program.
    """
    options: dict[str, object] = {
        "--engine": engine.kind,
        "--port": engine.port or "{port}",
        "--model-dir": engine.model_dir,
        "--max-sessions": engine_sessions_max(engine),
        "--decode-threads": engine.decode_threads,
        "--log-level": log_level,
        # Its lines become records of this process, which have a time.
        "--log-format": "bare",
    }
    given = [word for name, value in options.items() if value for word in (name, str(value))]
    return (sys.executable, "-P", "-m", "parley", "engine", *given)


def model_server_child(
    settings: Settings,
    *,
    jitter: Callable[[], float],
    engine_key: str = "",
    on_change: Callable[[ChildState], None] | None = None,
) -> ModelServerChild | None:
    """The model server to be run beside this node, not started yet; None when one runs elsewhere. `engine_key` is what
    the embedded engine asks of whoever comes to it: other users of this machine are none of its clients.

    Raises LaunchError for a command that can't be run.
    """
    options = _options(settings.launch)
    if settings.launch.command:
        return ModelServerChild(settings.launch.command, jitter=jitter, options=options, on_change=on_change)
    if not settings.embeds_engine:
        return None
    return ModelServerChild(
        engine_command(settings.engine, log_level=settings.log.level),
        name="the embedded engine",
        jitter=jitter,
        options=_options(
            settings.launch,
            gives_up_at=ENGINE_CANNOT_START,
            environment={KEY_VARIABLE: engine_key} if engine_key else {},
        ),
        on_change=on_change,
    )


def model_profile(upstream: UpstreamSettings, model: str) -> ModelProfile:
    """What the deltas of the model of this name are known to mean, unless upstream.profile says what they do."""
    return profile_of(model) if upstream.profile == "auto" else _PROFILES[upstream.profile]


def memory_watch(settings: Settings, child: ModelServerChild | None, relieve: Callable[[], None]) -> MemoryWatch | None:
    """Watches the launched server's memory and calls `relieve` when it is over launch.rotate_memory_mb.

    None when that is off or nothing is launched.
    """
    if child is None or not settings.launch.rotate_memory_mb:
        return None
    return MemoryWatch(lambda: child.pid, relieve, limit_bytes=settings.launch.rotate_memory_mb * 2**20)


def _options(
    launch: LaunchSettings, *, gives_up_at: int | None = None, environment: Mapping[str, str] | None = None
) -> ChildOptions:
    usual = ChildOptions().give_up_statuses
    return ChildOptions(
        health_timeout_s=launch.health_timeout_s,
        backoff_initial_s=launch.backoff_initial_s,
        backoff_max_s=launch.backoff_max_s,
        stop_timeout_s=launch.stop_timeout_s,
        give_up_statuses=usual if gives_up_at is None else usual | {gives_up_at},
        environment=environment or {},
    )
