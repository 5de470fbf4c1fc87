"""What a session's bounds have cost it, for those who watch it."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts since the session began, and the most that was held at once.

    `dropped_samples` is audio that no model was sent, in `dropped_intervals` runs; `dropped_deltas` and
    `dropped_text_bytes` are text that the client was not sent in deltas. `coalesced_deltas` are those that were joined
    to the one before. `held_*` are audio that waits for the model, `output_bytes_most` results that wait for the
    client.
    """

    dropped_samples: int = 0
    dropped_intervals: int = 0
    dropped_deltas: int = 0
    dropped_text_bytes: int = 0
    coalesced_deltas: int = 0
    held_samples_most: int = 0
    held_bytes_most: int = 0
    output_bytes_most: int = 0
