"""What is told of what is kept."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

PAGE_MAX = 1_000
"""Sessions in one list."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose what is kept is."""

    tenant: str
    principal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedView:
    """That something is kept of a session, in `records` files of `bytes` in all; nothing of what it is. Times are Unix
    times, those of the first part that is left: with an `expires_s` of 0 it is kept until it is purged."""

    id: str
    retention: str
    tenant: str
    began_s: int
    expires_s: float
    records: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedList:
    """Of which sessions something is kept here, by when they began; `more` says that there are others."""

    retained: list[RetainedView]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """What was said in a turn, and the interval of its audio in the session's; `text_from_ms` is where the text begins
    when it is not whole."""

    item: int
    begin_ms: int
    end_ms: int
    text: str = field(repr=False)
    text_from_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptView:
    """What was said in a session. `next` is what to give as `after` for what follows, 0 at the end. `complete`: all of
    it is there, up to the session's end; `cut_off`: there was more than may be kept of one session."""

    id: str
    retention: str
    began_s: int
    expires_s: float
    turns: list[TurnView]
    next: int
    complete: bool
    cut_off: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many records were shredded."""

    records: int


@dataclass(frozen=True, slots=True)
class RetainedAudio:
    """A session's audio as a WAV (mono, 16 bit, 16 kHz): `header`, then what `chunks` gives, `size_bytes` in all;
    it begins at `begin_ms` of the session's audio."""

    begin_ms: int
    size_bytes: int
    header: bytes = field(repr=False)
    chunks: Callable[[], AsyncGenerator[bytes]] = field(repr=False)

    async def stream(self) -> AsyncGenerator[bytes]:
        """The whole file."""
        yield self.header
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
