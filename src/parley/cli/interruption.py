"""What is said of a connection or model server that was lost, in one line."""

from parley.client.events import ConnectionLost, Interruption, Intervals, Recovered, Recovering, SessionResumed


def line_of(event: Interruption) -> str:
    """The line for an interruption, or for its end."""
    match event:
        case ConnectionLost():
            return "connection lost, resuming ..."
        case Recovering(reason):
            return f"model server lost ({reason}), recovering ..."
        case SessionResumed(outcome, replayed_ms, lost_ms, _, downtime_s):
            verb = "started over" if outcome == "restarted" and not lost_ms else "resumed"
            return f"{verb} after {downtime_s:.1f} s, {_loss(replayed_ms, lost_ms)}"
        case Recovered(_, replayed_ms, lost_ms):
            return f"recovered, {_loss(replayed_ms, lost_ms)}"


def places(intervals_ms: Intervals) -> str:
    """Intervals for people."""
    return ", ".join(f"{from_ms / 1_000:.1f} to {to_ms / 1_000:.1f} s" for from_ms, to_ms in intervals_ms)


def _loss(replayed_ms: Intervals, lost_ms: Intervals) -> str:
    if lost_ms:
        return f"words may be missing at {places(lost_ms)}"
    replayed_s = sum(to_ms - from_ms for from_ms, to_ms in replayed_ms) / 1_000
    return f"nothing lost, {replayed_s:.1f} s transcribed again" if replayed_ms else "nothing lost"
