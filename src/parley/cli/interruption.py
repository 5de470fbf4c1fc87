"""What is said of a connection or model server that was lost, in one line."""

from parley.client.events import (
    ConnectionLost,
    Expiring,
    Gap,
    GoingAway,
    Interruption,
    Intervals,
    Lagging,
    Queued,
    Recovered,
    Recovering,
    SessionResumed,
)


def line_of(event: Interruption) -> str:
    """The line for an interruption, or for its end."""
    match event:
        case ConnectionLost():
            return "connection lost, resuming ..."
        case Recovering("moved"):
            return "the session moves to another server ..."
        case Recovering(reason):
            return f"model server lost ({reason}), recovering ..."
        case SessionResumed(outcome, replayed_ms, lost_ms, _, downtime_s):
            verb = "started over" if outcome == "restarted" and not lost_ms else "resumed"
            return f"{verb} after {downtime_s:.1f} s, {_loss(replayed_ms, lost_ms)}"
        case Recovered(_, replayed_ms, lost_ms):
            return f"recovered, {_loss(replayed_ms, lost_ms)}"
        case _:
            return _state(event)


def _state(event: Gap | Queued | Lagging | Expiring | GoingAway) -> str:
    match event:
        case Queued(0):
            return "model server found"
        case Queued(position, eta_s):
            eta = "" if eta_s is None else f", about {eta_s:.0f} s"
            return f"waiting for a model server: position {position}{eta} ..."
        case Lagging(lag_s):
            return f"the model is {lag_s:.0f} s behind ..." if lag_s else "the model has caught up"
        case Expiring(reason, in_s):
            return f"the server ends the session in {in_s:.0f} s ({reason})"
        case GoingAway(_, deadline_s, moves):
            then = "the session goes on at another" if moves else "what is not done by then is lost"
            return f"the server goes away within {deadline_s:.0f} s; {then}"
        case Gap(interval_ms, "slow-client"):
            return f"text of {places((interval_ms,))} comes with the end of the turn"
        case Gap(interval_ms):
            return f"audio dropped at {places((interval_ms,))}: the model did not keep up"


def places(intervals_ms: Intervals) -> str:
    """Intervals for people."""
    return ", ".join(f"{from_ms / 1_000:.1f} to {to_ms / 1_000:.1f} s" for from_ms, to_ms in intervals_ms)


def _loss(replayed_ms: Intervals, lost_ms: Intervals) -> str:
    if lost_ms:
        return f"words may be missing at {places(lost_ms)}"
    replayed_s = sum(to_ms - from_ms for from_ms, to_ms in replayed_ms) / 1_000
    return f"nothing lost, {replayed_s:.1f} s transcribed again" if replayed_ms else "nothing lost"
