"""What was kept of a session as plain text and as captions."""

from parley.client.captions import Cue, cues_of, vtt
from parley.client.events import TextDelta
from parley.server.retained_views import TranscriptView


def as_text(view: TranscriptView) -> str:
    """A line for each turn."""
    return "".join(f"{' '.join(turn.text.split())}\n" for turn in view.turns)


def as_vtt(view: TranscriptView) -> str:
    """WebVTT, on the clock of the session's audio. Within a turn words are placed by their number alone."""
    cues: list[Cue] = []
    for turn in view.turns:
        begin_s = (turn.begin_ms if turn.text_from_ms is None else turn.text_from_ms) / 1_000
        duration_s = max(0.001, turn.end_ms / 1_000 - begin_s)
        delta = TextDelta(text=turn.text, audio_end_s=duration_s)
        cues += [
            Cue(cue.text, begin_s + cue.start_s, begin_s + cue.end_s)
            for cue in (cues_of([delta], duration_s) if turn.text else [])
        ]
    return vtt(cues)
