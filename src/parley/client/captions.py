"""Captions from a transcript whose pieces know their places in the audio: SubRip (SRT) and WebVTT.

A model tells where it was in the audio when a piece came, not when each word began. A word's end is that place, give
or take two steps of 80 ms and the model's own delay; its beginning is estimated from its length.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from parley.client.events import TextDelta

LINE_MAX_CHARACTERS = 42
LINES_MAX = 2
CUE_MAX_S = 6.0
CUE_MIN_S = 1.0
PAUSE_S = 0.8
"""A silence that ends a cue."""

SENTENCE_MIN_CHARACTERS = 20
"""A sentence shorter than this shares its cue with the next one."""

SPEECH_CHARACTERS_A_S = 14.0
"""How fast people speak: places a word's beginning where only its end is known."""

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "\uff01", "\uff1f")


@dataclass(frozen=True, slots=True)
class Cue:
    """Some words, and when they are on the screen, in seconds from the beginning of the audio."""

    text: str = field(repr=False)
    start_s: float
    end_s: float


def cues_of(deltas: Sequence[TextDelta], duration_s: float) -> list[Cue]:
    """The cues for one turn of `duration_s`. Pieces without a place in the audio are taken to be at its end."""
    cues: list[Cue] = []
    words: list[Cue] = []
    for word in _words(deltas, duration_s):
        if words and _ends_before(words, word):
            cues.append(_joined(words))
            words = []
        words.append(word)
    if words:
        cues.append(_joined(words))
    return _settled(cues, duration_s)


def srt(cues: Sequence[Cue]) -> str:
    """SubRip: numbered cues. It has no escapes, so an arrow within the text is written as one character."""
    blocks = (
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{_wrapped(cue.text.replace('-->', '→'))}\n"
        for number, cue in enumerate(cues, 1)
    )
    return "\n".join(blocks)


def vtt(cues: Sequence[Cue]) -> str:
    """WebVTT (W3C)."""
    blocks = (
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_escaped(_wrapped(cue.text))}\n" for cue in cues
    )
    return "\n".join(("WEBVTT\n", *blocks))


def _words(deltas: Sequence[TextDelta], duration_s: float) -> Iterator[Cue]:
    """The words, each with an estimate of its beginning and end."""
    word, start_s, end_s = "", 0.0, 0.0
    for character, from_s, to_s in _characters(deltas, duration_s):
        if character.isspace() or len(word) >= LINE_MAX_CHARACTERS:
            if word:
                yield Cue(word, start_s, end_s)
            word = ""
        if not character.isspace():
            start_s = start_s if word else from_s
            word, end_s = word + character, to_s
    if word:
        yield Cue(word, start_s, end_s)


def _characters(deltas: Sequence[TextDelta], duration_s: float) -> Iterator[tuple[str, float, float]]:
    """Each character with the time it takes: a piece's characters share the time that it may have been spoken in."""
    before_s = 0.0
    for delta in deltas:
        end_s = duration_s if delta.audio_end_s is None else delta.audio_end_s
        end_s = max(end_s, before_s)
        start_s = max(before_s, end_s - len(delta.text) / SPEECH_CHARACTERS_A_S)
        share_s = (end_s - start_s) / len(delta.text)
        for place, character in enumerate(delta.text):
            yield character, start_s + place * share_s, start_s + (place + 1) * share_s
        before_s = end_s


def _ends_before(words: Sequence[Cue], word: Cue) -> bool:
    """Whether a cue of these words is complete, with this one the next."""
    text = " ".join(earlier.text for earlier in words)
    if text.endswith(_SENTENCE_ENDS) and len(text) >= SENTENCE_MIN_CHARACTERS:
        return True
    if word.start_s - words[-1].end_s >= PAUSE_S or word.end_s - words[0].start_s > CUE_MAX_S:
        return True
    return len(_lines(f"{text} {word.text}")) > LINES_MAX


def _joined(words: Sequence[Cue]) -> Cue:
    return Cue(" ".join(word.text for word in words), words[0].start_s, words[-1].end_s)


def _settled(cues: Sequence[Cue], duration_s: float) -> list[Cue]:
    """The cues, none overlapping, none too short to read where there is room, none later than the audio."""
    settled: list[Cue] = []
    for number, cue in enumerate(cues):
        earliest_s = settled[-1].end_s if settled else 0.0
        end_s = max(cue.end_s, cue.start_s + CUE_MIN_S)
        # A model finishes a turn's text after its audio: what it says then belongs to the audio's end.
        late_s = max(0.0, end_s - duration_s)
        start_s = max(earliest_s, cue.start_s - late_s)
        end_s = max(end_s - late_s, start_s + CUE_MIN_S / 4)
        if number + 1 < len(cues):
            end_s = min(end_s, max(cues[number + 1].start_s, start_s + CUE_MIN_S / 4))
        settled.append(replace(cue, start_s=start_s, end_s=end_s))
    return settled


def _lines(text: str) -> list[str]:
    return textwrap.wrap(text, LINE_MAX_CHARACTERS, break_on_hyphens=False)


def _wrapped(text: str) -> str:
    return "\n".join(_lines(text))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(time_s: float, separator: str) -> str:
    total_ms = round(time_s * 1_000)
    seconds, ms = divmod(total_ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{ms:03}"
