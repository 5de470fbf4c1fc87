import pytest

from parley.cli.interruption import line_of
from parley.client import ConnectionLost, Recovered, Recovering, SessionResumed
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
        (Recovering("upstream-closed"), "model server lost (upstream-closed), recovering ..."),
        (Recovered("rehydrated", ((0, 500),), ()), "recovered, nothing lost, 0.5 s transcribed again"),
        (Recovered("restarted", (), ((0, 500),)), "recovered, words may be missing at 0.0 to 0.5 s"),
    ],
)
def test_an_interruption_and_its_end_are_a_line_each(event: Interruption, line: str) -> None:
    assert line_of(event) == line
