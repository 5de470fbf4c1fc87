"""What a turn cost, as the model server counts it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a turn. On Voxtral `completion_tokens` is the number of 80 ms steps, and `prompt_tokens` the
    constant streaming prefix, never the audio."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
