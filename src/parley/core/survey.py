"""How a session stands, in numbers alone: nothing of what was said, by whom, or of what lets anybody in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A session at a moment.

    `is_queued`: it waits for a stream; `is_parked`: it needs none for now; `is_leaving`: its server drains or it is on
    its way to another. `recovering` is why a leg is on its way, as an error's code, or empty. `lag_s` is how far its
    model is behind, `received_s` all audio that came, `held_s` what the model has not had of it, and `dropped_s` what
    it never will; `held_bytes` all that it keeps. `turns` are those that are not over, `legs` those that it has or has
    asked for. `replayed_s` is audio that a leg after a lost one decoded again, `lost_s` that whose words may be
    missing, `unsent_bytes` results that wait for the client, and `uncommitted_s` audio that would have to be heard
    again if the leg were lost now.
    """

    is_attached: bool
    is_queued: bool
    is_parked: bool
    is_leaving: bool
    recovering: str
    generation: int
    lag_s: float
    received_s: float
    held_s: float
    held_bytes: int
    dropped_s: float
    turns: int
    legs: int
    replayed_s: float
    lost_s: float
    unsent_bytes: int
    uncommitted_s: float


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn that is not over: its ordinal, where it begins and ends on the session's cursor, in seconds, whether its
    audio is complete, and whether its failure was reported."""

    item: int
    begin_s: float
    end_s: float
    is_closed: bool
    is_given_up: bool
