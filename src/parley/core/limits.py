"""What bounds a session: every queue, wait and count of the core, with its unit."""

from dataclasses import dataclass
from enum import StrEnum

from parley.core.content import SAMPLE_RATE

BYTES_PER_SAMPLE = 8 / 3
"""Bytes that a sample takes while it is held: two bytes of PCM16 as base64."""

_UNPACED_SAMPLES = 2**62


class AtBound(StrEnum):
    """What is done when more is held than a session may hold; `docs/design/many-sessions.md` says it for both
    directions."""

    BLOCK = "block"
    DROP_OLDEST = "drop-oldest"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one session, and whether empty deltas are passed on. A time of 0 is off.

    `pace_window_s` is how far the audio sent may run ahead of the audio that the model has consumed, as its deltas
    tell; 0 sends without pacing, for models whose deltas are no clock. `held_audio_max_s` bounds the audio that waits
    for the model: at the bound the client is not read any further, or, when nothing would ever free it, the session
    ends with input-overflow. `output_max_bytes` bounds the results that wait for a client that does not read,
    `output_max_s` the audio that they are of. `input_policy` and `output_policy` say what happens at these bounds.

    A session that is idle for `idle_release_s` gives its stream back, and keeps `preroll_s` of the audio that comes
    meanwhile. `input_idle_timeout_s`, `speech_idle_timeout_s`, `duration_max_s` and `lag_max_s` end it, after a notice
    `expiry_notice_s` before; a lag over `lag_notice_s` is told.
    """

    pace_window_s: float = 3.0
    held_audio_max_s: float = 120.0
    held_turns_max: int = 32
    output_max_bytes: int = 262_144
    ledger_max_bytes: int = 262_144
    journal_max_s: float = 30.0
    turn_text_max_bytes: int = 1_048_576
    resume_window_s: float = 30.0
    recovery_timeout_s: float = 60.0
    rotate_after_s: float = 600.0
    rotate_force_s: float = 1_200.0
    client_errors_max: int = 16
    forward_empty_deltas: bool = False
    connect_timeout_s: float = 5.0
    first_delta_timeout_s: float = 15.0
    stall_timeout_s: float = 15.0
    flush_timeout_s: float = 15.0
    input_policy: AtBound = AtBound.BLOCK
    output_policy: AtBound = AtBound.TERMINATE
    output_max_s: float = 600.0
    idle_release_s: float = 0.0
    preroll_s: float = 1.0
    input_idle_timeout_s: float = 0.0
    speech_idle_timeout_s: float = 0.0
    duration_max_s: float = 0.0
    lag_notice_s: float = 0.0
    lag_max_s: float = 0.0
    expiry_notice_s: float = 30.0

    @property
    def held_samples_max(self) -> int:
        """`held_audio_max_s` in samples."""
        return int(self.held_audio_max_s * SAMPLE_RATE)

    @property
    def held_bytes_max(self) -> int:
        """The most memory that held audio may take: twice its size, so that very small pieces are bounded too."""
        return int(self.held_samples_max * BYTES_PER_SAMPLE * 2)

    @property
    def journal_samples_max(self) -> int:
        """`journal_max_s` in samples."""
        return int(self.journal_max_s * SAMPLE_RATE)

    @property
    def journal_bytes_max(self) -> int:
        """The most memory that audio kept for a replay may take: twice its size, like `held_bytes_max`."""
        return int(self.journal_samples_max * BYTES_PER_SAMPLE * 2)

    @property
    def pace_window_samples(self) -> int:
        """`pace_window_s` in samples; without pacing a number that no turn reaches."""
        return int(self.pace_window_s * SAMPLE_RATE) if self.pace_window_s else _UNPACED_SAMPLES
