"""What a person sees while audio is streamed: how far it is, and the transcript as it grows.

It is drawn on a terminal only; elsewhere nothing is shown until there is a result, unless something went wrong.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from parley.cli.interruption import line_of
from parley.client.events import Expiring, GoingAway, Interruption, Lagging, Queued, Recovered, SessionResumed

REFRESH_INTERVAL_S = 0.08
"""The least time between two drawings: a step of the model."""

TEXT_MAX_LINES = 8
TEXT_MAX_COLUMNS = 96
BAR_MAX_COLUMNS = 40
BAR_MIN_COLUMNS = 8
TEXT_MAX_CHARACTERS = 4_096
"""Characters kept for drawing; more than any terminal shows in `TEXT_MAX_LINES`."""


class HasDuration(Protocol):
    """Something that knows how long it is, perhaps only later."""

    @property
    def duration_s(self) -> float | None:
        """Seconds in all."""
        ...


class NoDisplay:
    """Nobody looks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was drawn."""

    def audio_sent(self, duration_s: float) -> None:
        """See `parley.client.transcription.Observer`."""

    def text_received(self, text: str) -> None:
        """See `parley.client.transcription.Observer`."""

    def text_revised(self, text: str) -> None:
        """See `parley.client.transcription.Observer`."""

    def interrupted(self, event: Interruption) -> None:
        """See `parley.client.transcription.Observer`."""


class LineDisplay(NoDisplay):
    """Nothing is drawn; what goes wrong is told in lines."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def interrupted(self, event: Interruption) -> None:
        """See `parley.client.transcription.Observer`."""
        self._tell(line_of(event))


class LiveDisplay:
    """One turn on a terminal, redrawn in place, and gone at its end: the result is printed by whoever has it."""

    def __init__(
        self, console: Console, name: str, source: HasDuration, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._name = name
        self._source = source
        self._clock = clock
        self._sent_s = 0.0
        self._text = ""
        self._newest = ""
        self._event: Interruption | None = None
        self._event_at_s = 0.0
        self._began_s: float | None = None
        self._first_text_s: float | None = None
        self._drawn_s = float("-inf")
        # Last, as it draws at once.
        self._live = Live(console=console, auto_refresh=False, transient=True, get_renderable=self.render)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def audio_sent(self, duration_s: float) -> None:
        """So much audio has been sent by now."""
        if self._began_s is None:
            self._began_s = self._clock()
        self._sent_s = duration_s
        self._draw()

    def text_received(self, text: str) -> None:
        """A further piece of the transcript."""
        if self._first_text_s is None and self._began_s is not None:
            self._first_text_s = self._clock() - self._began_s
        self._text = (self._text + self._newest)[-TEXT_MAX_CHARACTERS:]
        self._newest = text
        self._draw()

    def text_revised(self, text: str) -> None:
        """The transcript so far is this."""
        self._text, self._newest = text[-TEXT_MAX_CHARACTERS:], ""
        self._draw()

    def interrupted(self, event: Interruption) -> None:
        """A connection or a model server was lost, found again or waited for, or is about to go."""
        # Whatever was drawn just now: while the connection is away nothing else draws.
        self._event, self._event_at_s = event, self._clock()
        self._drawn_s = self._event_at_s
        self._live.refresh()

    def _draw(self) -> None:
        now_s = self._clock()
        if now_s - self._drawn_s >= REFRESH_INTERVAL_S:
            self._drawn_s = now_s
            self._live.refresh()

    def render(self) -> RenderableType:
        """What is on the screen now."""
        event = None if self._event is None else _still(self._event, self._clock() - self._event_at_s)
        status = () if event is None else (_status(event),)
        return Group("", self._progress(), *status, "", Padding(self._transcript(len(status)), (0, 2)), "")

    def _progress(self) -> Table:
        line = Table.grid(padding=(0, 1))
        whole_s = self._source.duration_s
        done = Text(f"{self._sent_s:5.1f} s" if whole_s is None else f"{self._sent_s:5.1f} / {whole_s:.1f} s")
        first = "" if self._first_text_s is None else f" first words after {self._first_text_s:.1f} s"
        room = self._console.width - cell_len(self._name) - len(done) - 8
        first = first if room - len(first) >= BAR_MIN_COLUMNS else ""
        room -= len(first)
        bar = ProgressBar(
            total=whole_s,
            completed=self._sent_s,
            width=max(BAR_MIN_COLUMNS, min(BAR_MAX_COLUMNS, room)),
            pulse=whole_s is None,
            style="grey30",
            complete_style="cyan",
            finished_style="green",
            pulse_style="cyan",
        )
        line.add_row(" ", Text(self._name, style="bold", no_wrap=True), bar, done, Text(first, style="dim"))
        return line

    def _transcript(self, status_lines: int) -> Text:
        # The newest words stand out, and the cursor shows where the next ones come.
        text = Text.assemble(self._text.lstrip(), (self._newest if self._text else self._newest.lstrip(), "bold cyan"))
        text.append("▌", style="cyan")
        width = max(20, min(TEXT_MAX_COLUMNS, self._console.width - 4))
        lines = text.wrap(self._console, width)
        shown = max(1, min(TEXT_MAX_LINES, self._console.height - 6 - status_lines))
        return Text("\n").join(lines[-shown:])


def _still(event: Interruption, age_s: float) -> Interruption | None:
    """The event as it is by now. What was to come at a time that is over did not come, or the session would have ended:
    nothing tells of that."""
    match event:
        case GoingAway(_, deadline_s):
            return replace(event, deadline_s=deadline_s - age_s) if age_s < deadline_s else None
        case Expiring(_, in_s):
            return replace(event, in_s=in_s - age_s) if age_s < in_s else None
        case _:
            return event


def _status(event: Interruption) -> Text:
    is_over = isinstance(event, SessionResumed | Recovered) or event in (Queued(0), Lagging(0))
    return Text(f"  {line_of(event)}", style="green" if is_over else "yellow", no_wrap=True, overflow="ellipsis")


def is_live(console: Console) -> bool:
    """Whether the console can be redrawn in place."""
    return console.is_terminal and not console.is_dumb_terminal


def duration(time_s: float) -> str:
    """A time for people: milliseconds below a second, then seconds, then minutes."""
    if time_s < 1:
        return f"{time_s * 1_000:.0f} ms"
    if time_s < 60:
        return f"{time_s:.1f} s"
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes} min {seconds:02} s"
