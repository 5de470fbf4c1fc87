import pytest

from parley.cli.interruption import line_of
from parley.client import (
    ConnectionLost,
    Expiring,
    Gap,
    GoingAway,
    Lagging,
    Queued,
    Recovered,
    Recovering,
    SessionResumed,
)
from parley.client.events import Interruption


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ConnectionLost(1006), "connection lost, resuming ..."),
        (SessionResumed("resumed", (), (), 1, 1.23), "resumed after 1.2 s, nothing lost"),
        (SessionResumed("restarted", (), (), 1, 1.23), "started over after 1.2 s, nothing lost"),
        (
            SessionResumed("rehydrated", ((0, 500), (900, 1_900)), (), 1, 0.04),
            "resumed after 0.0 s, nothing lost, 1.5 s transcribed again",
        ),
        (
            SessionResumed("restarted", (), ((0, 500), (900, 1_900)), 1, 2.0),
            "resumed after 2.0 s, words may be missing at 0.0 to 0.5 s, 0.9 to 1.9 s",
        ),
        (Recovering("moved"), "the session moves to another server ..."),
        (Recovering("upstream-closed"), "model server lost (upstream-closed), recovering ..."),
        (Recovered("rehydrated", ((0, 500),), ()), "recovered, nothing lost, 0.5 s transcribed again"),
        (Recovered("restarted", (), ((0, 500),)), "recovered, words may be missing at 0.0 to 0.5 s"),
        (Queued(3, 12.4), "waiting for a model server: position 3, about 12 s ..."),
        (Queued(1, None), "waiting for a model server: position 1 ..."),
        (Queued(0, None), "model server found"),
        (Lagging(5.2), "the model is 5 s behind ..."),
        (Lagging(0.0), "the model has caught up"),
        (Expiring("idle-timeout", 30.0), "the server ends the session in 30 s (idle-timeout)"),
        (
            GoingAway("shutting-down", 55.0, moves=True),
            "the server goes away within 55 s; the session goes on at another",
        ),
        (
            GoingAway("shutting-down", 55.0, moves=False),
            "the server goes away within 55 s; what is not done by then is lost",
        ),
        (Gap((500, 900), "input-overrun"), "audio dropped at 0.5 to 0.9 s: the model did not keep up"),
        (Gap((500, 900), "slow-client"), "text of 0.5 to 0.9 s comes with the end of the turn"),
    ],
)
def test_an_interruption_and_its_end_are_a_line_each(event: Interruption, line: str) -> None:
    assert line_of(event) == line
