"""What an engine server is told: where to listen, what to run, its bounds, and the faults to commit for tests."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

EngineName = Literal["tiny-en", "scripted"]

MAX_MODEL_LEN_LEAST = 64
"""Least length of a turn in tokens: its prefix, the deltas of its end, and some audio."""

BUFFERED_AUDIO_LEAST_S = 2.0
"""Least buffer: the first delta alone needs 0.56 s of audio at once."""

KEY_VARIABLE = "VLLM_API_KEY"
"""The environment variable that the engine takes its API key from, as vLLM does."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults of a model server, committed on purpose so that what stands in front of it can be tested.

    `start_delay_s` passes before the server listens. The others count the deltas that the process has sent, all
    sessions together, and happen once, to the session that sends the delta of that number:

    - `die_after_deltas`: the process exits at once with status 1, as if killed.
    - `done_after_deltas`: its turn ends with a `transcription.done` nobody asked for; audio not yet consumed is lost.
    - `mute_after_deltas`: its deltas are empty from there on, whatever is said.
    - `stall_after_deltas`: it gets no further event, and the connection stays.
    - `error_after_deltas`: its turn ends with an error event; audio not yet consumed is lost, and the connection stays.
    """

    start_delay_s: float = 0.0
    die_after_deltas: int | None = None
    done_after_deltas: int | None = None
    mute_after_deltas: int | None = None
    stall_after_deltas: int | None = None
    error_after_deltas: int | None = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine server runs.

    `port` 0 takes a free one. `model_name` is the served name that `session.update` is checked against; empty: the
    engine's own, as a gateway chooses by it what to expect of the model.
    `max_sessions` connections are open at once; further ones get HTTP 503. `decode_threads` decodes run at once (0:
    one for each usable core). `model_dir` replaces the packaged weights, see `load_weights`. A session holds
    `buffered_audio_max_s` seconds of audio not yet consumed, and one message more; then its socket is not read. A
    session that sends nothing for `idle_timeout_s` is ended; 0 keeps it for ever. `max_model_len` tokens,
    39 and one for each delta, are the most of a turn, as for vLLM: it then ends with a `transcription.done` nobody
    asked for. The default is 2 h 54 min of audio. A stream that trails real time by more than `behind_slack_s` is
    decoded less often until it has caught up: the one thing that makes its text depend on more than its audio.
    With an `api_key` only who sends it as a bearer token gets an answer, but for `/health`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    engine: EngineName = "tiny-en"
    model_name: str = ""
    max_sessions: int = 16
    decode_threads: int = 0
    model_dir: Path | None = None
    buffered_audio_max_s: float = 60.0
    idle_timeout_s: float = 600.0
    max_model_len: int = 131_072
    behind_slack_s: float = 1.0
    api_key: str = field(default="", repr=False)
    faults: FaultPlan = field(default_factory=FaultPlan)

    @property
    def served_name(self) -> str:
        """The name that `GET /v1/models` lists."""
        return self.model_name or self.engine

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ValueError: one is out of range; the text names it.
        """
        checks = (
            ("max_sessions", self.max_sessions >= 1, "at least 1"),
            ("decode_threads", self.decode_threads >= 0, "0 or more"),
            ("buffered_audio_max_s", self.buffered_audio_max_s >= BUFFERED_AUDIO_LEAST_S, "at least 2"),
            ("max_model_len", self.max_model_len >= MAX_MODEL_LEN_LEAST, f"at least {MAX_MODEL_LEN_LEAST}"),
            ("idle_timeout_s", self.idle_timeout_s >= 0, "0 or more"),
        )
        for name, holds, rule in checks:
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {rule}.")
