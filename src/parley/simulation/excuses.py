"""Which ends of a session the faults of a run explain; any other is a finding."""

from parley.simulation.hosted import HostedSession
from parley.simulation.options import Drawn

_NETWORK = (
    "reset_a_minute",
    "cut_a_minute",
    "half_close_a_minute",
    "linger_a_minute",
    "refuse_rate",
    "away_rate",
    "stall_a_minute",
    "jump_a_minute",
)
_AMPLE_BYTES = 32_768
"""Room for everything that a user of a run can be told between two acknowledgements, or while away."""
_UPSTREAM = ("crash_a_minute", "shut_down_a_minute", "refusal_rate", "leg_rate", "jump_a_minute")


def explains(drawn: Drawn, outcome: str, hosted: HostedSession | None, *, is_taken: bool) -> bool:
    """Whether a device may have come to this outcome. `is_taken`: another device came with a good token."""
    plan, limits = drawn.plan, drawn.limits
    network = any(getattr(plan, name) for name in _NETWORK)
    upstream = any(getattr(plan, name) for name in _UPSTREAM)
    ended = hosted.outcome if hosted is not None else ""
    if outcome == "complete":
        return True
    if outcome in ("superseded", "unknown-session") and is_taken:
        return True
    if outcome == "upstream-stalled" and plan.slow_reader_a_minute:
        # What it waited for was there, and it did not read.
        return True
    if outcome.startswith("lost") or outcome in ("connect-failed", "connection-lost", "upstream-stalled"):
        # A client gave up: it was not let in, or not for long enough.
        return network
    if outcome in ("expired", "unknown-session") and (is_taken or network):
        # The server gave up waiting, and had waited; or the session ended while its client was away.
        if ended == "expired":
            return network and hosted is not None and hosted.detached_s >= hosted.window_s - 1e-6
        return ended != "unknown-session" and (
            ended == "client-ended" or explains(drawn, ended, hosted, is_taken=is_taken)
        )
    if outcome == "slow-client":
        # It did not read; or, where little may be held, was away for too long.
        does_not_read = plan.slow_reader_a_minute or plan.stall_a_minute or plan.half_close_a_minute
        return bool(does_not_read) or (network and limits.output_max_bytes < _AMPLE_BYTES)
    if outcome == "gap":
        return network and limits.ledger_max_bytes < _AMPLE_BYTES
    if outcome == "ended-by-operator":
        return bool(plan.end_a_minute)
    if outcome == "at-capacity":
        return bool(plan.full_rate) and hosted is not None and hosted.has_waited_in_vain
    if outcome.startswith("upstream-"):
        # The first leg could not be had; or none could, for as long as the session looks for one.
        return upstream and hosted is not None and (not hosted.has_had_leg or hosted.has_waited_in_vain)
    return False
