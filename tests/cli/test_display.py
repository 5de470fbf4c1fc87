import io

import pytest
from rich.console import Console

from parley.cli.display import (
    TEXT_MAX_CHARACTERS,
    TEXT_MAX_LINES,
    LineDisplay,
    LiveDisplay,
    NoDisplay,
    duration,
    is_live,
)
from parley.client import ConnectionLost, Expiring, GoingAway, SessionResumed


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Recording:
    def __init__(self, duration_s: float | None) -> None:
        self.duration_s = duration_s


def terminal(height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=height, color_system=None)


def screen_of(console: Console, display: LiveDisplay) -> str:
    with console.capture() as capture:
        console.print(display.render())
    return capture.get()


@pytest.fixture
def console() -> Console:
    return terminal()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def display(console: Console, clock: Clock) -> LiveDisplay:
    return LiveDisplay(console, "some.wav", Recording(10.0), clock)


def test_the_place_in_the_audio_is_shown(console: Console, display: LiveDisplay) -> None:
    display.audio_sent(2.5)
    assert "some.wav" in screen_of(console, display)
    assert "2.5 / 10.0 s" in screen_of(console, display)


def test_audio_of_unknown_length_has_no_end(console: Console, clock: Clock) -> None:
    display = LiveDisplay(console, "standard input", Recording(None), clock)
    display.audio_sent(2.5)
    assert "2.5 s" in screen_of(console, display)
    assert "/" not in screen_of(console, display)


def test_the_words_grow_and_the_first_ones_are_timed(console: Console, display: LiveDisplay, clock: Clock) -> None:
    display.audio_sent(0.08)
    clock.now_s = 1.25
    display.text_received(" Hello,")
    display.text_received(" there")
    screen = screen_of(console, display)
    assert "  Hello, there▌" in screen
    assert "first words after 1.2 s" in screen


def test_words_before_any_audio_are_not_timed(console: Console, display: LiveDisplay) -> None:
    display.text_received(" Early")
    assert "first words" not in screen_of(console, display)


def test_a_long_transcript_shows_its_end(console: Console, display: LiveDisplay) -> None:
    for number in range(2_000):
        display.text_received(f" word{number}")
    screen = screen_of(console, display)
    assert "word1999" in screen
    assert "word0 " not in screen
    assert len(screen.splitlines()) <= TEXT_MAX_LINES + 4
    assert len(display._text) <= TEXT_MAX_CHARACTERS


def test_a_small_window_is_not_overfilled(clock: Clock) -> None:
    console = terminal(height=8)
    display = LiveDisplay(console, "some.wav", Recording(10.0), clock)
    display.text_received(" word" * 500)
    assert len(screen_of(console, display).splitlines()) <= 8


def test_a_narrow_window_shows_less(clock: Clock) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=44, color_system=None)
    display = LiveDisplay(console, "some.wav", Recording(10.0), clock)
    display.audio_sent(2.0)
    display.text_received(" Hello")
    assert "2.0 / 10.0 s" in screen_of(console, display)
    assert "first words" not in screen_of(console, display)


def test_the_screen_is_drawn_no_more_often_than_a_step(console: Console, display: LiveDisplay, clock: Clock) -> None:
    with display:
        for _ in range(100):
            clock.now_s += 0.01
            display.audio_sent(clock.now_s)
    assert isinstance(console.file, io.StringIO)
    assert 10 <= console.file.getvalue().count("some.wav") <= 16


def test_the_display_is_gone_at_its_end(console: Console, display: LiveDisplay) -> None:
    with display:
        display.text_received(" Hello")
    assert isinstance(console.file, io.StringIO)
    # The line is erased and the cursor shown again.
    assert "\x1b[2K" in console.file.getvalue()
    assert "\x1b[?25h" in console.file.getvalue()


def test_markup_in_the_transcript_is_shown_as_it_is(console: Console, display: LiveDisplay) -> None:
    display.text_received(" [bold]x[/bold]")
    assert "[bold]x[/bold]" in screen_of(console, display)


def test_without_a_terminal_nothing_is_drawn() -> None:
    with NoDisplay() as display:
        display.audio_sent(1.0)
        display.text_received("Hello")
    assert not is_live(Console(file=io.StringIO()))


def test_a_dumb_terminal_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    assert is_live(console)
    monkeypatch.setenv("TERM", "dumb")
    assert not is_live(terminal())


@pytest.mark.parametrize(
    ("time_s", "shown"), [(0.0294, "29 ms"), (0.5, "500 ms"), (1.25, "1.2 s"), (59.9, "59.9 s"), (3_671, "61 min 11 s")]
)
def test_times_are_for_people(time_s: float, shown: str) -> None:
    assert duration(time_s) == shown


def test_a_lost_connection_is_shown_until_it_is_back(console: Console, display: LiveDisplay) -> None:
    display.text_received(" Hello")
    assert "connection" not in screen_of(console, display)
    display.interrupted(ConnectionLost(1006))
    assert "connection lost, resuming ..." in screen_of(console, display)
    display.interrupted(SessionResumed("resumed", (), (), 1, 0.5))
    screen = screen_of(console, display)
    assert "resumed after 0.5 s, nothing lost" in screen
    assert "connection lost" not in screen
    assert "Hello" in screen


def test_a_servers_end_is_counted_down_and_forgotten_when_it_does_not_come(
    console: Console, display: LiveDisplay, clock: Clock
) -> None:
    display.interrupted(GoingAway("shutting-down", 20.0, moves=True))
    assert "within 20 s" in screen_of(console, display)
    clock.now_s += 15.0
    assert "within 5 s" in screen_of(console, display)
    clock.now_s += 5.0
    assert "goes away" not in screen_of(console, display)


def test_an_expiry_is_forgotten_when_it_does_not_come(console: Console, display: LiveDisplay, clock: Clock) -> None:
    display.interrupted(Expiring("idle-timeout", 20.0))
    clock.now_s += 12.0
    assert "in 8 s (idle-timeout)" in screen_of(console, display)
    clock.now_s += 8.0
    assert "idle-timeout" not in screen_of(console, display)


def test_a_status_takes_one_line_of_a_narrow_window(clock: Clock) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=44, color_system=None)
    display = LiveDisplay(console, "some.wav", Recording(10.0), clock)
    display.interrupted(GoingAway("shutting-down", 20.0, moves=True))
    told = [line for line in screen_of(console, display).splitlines() if "server" in line or "another" in line]
    assert len(told) == 1
    assert told[0].rstrip().endswith("…")


def test_a_loss_is_drawn_at_once(console: Console, display: LiveDisplay) -> None:
    with display:
        display.text_received(" Hello")
        display.interrupted(ConnectionLost(1006))
        assert isinstance(console.file, io.StringIO)
        assert "resuming" in console.file.getvalue()


def test_a_revision_replaces_the_text(console: Console, display: LiveDisplay) -> None:
    display.text_received(" Hello")
    display.text_received(" dare")
    display.text_revised(" Hello there")
    display.text_received(" you")
    assert "  Hello there you▌" in screen_of(console, display)


def test_without_a_terminal_a_loss_is_told_in_a_line() -> None:
    lines: list[str] = []
    with LineDisplay(lines.append) as display:
        display.audio_sent(1.0)
        display.text_received("Hello")
        display.text_revised("Hello")
        display.interrupted(ConnectionLost(1006))
    assert lines == ["connection lost, resuming ..."]


def test_who_wants_silence_is_told_nothing() -> None:
    with NoDisplay() as display:
        display.interrupted(ConnectionLost(1006))
