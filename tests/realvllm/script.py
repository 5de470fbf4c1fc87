"""What the tiny model says: a finite-state machine over token ids, and its answer to given audio.

The machine advances one token per frame. It waits, silently, while frames are quiet; a loud frame starts the next word,
for which it takes some frames of breath and as many as the word has pieces. After a pause of `FORGETTING_FRAMES` it has
forgotten what it said, and begins with the first word again. `tiny_model` builds weights that do this inside the real
vLLM; `answer` does it here, so that a test knows the transcript without asking the server that it tests.

What it says so depends on nothing but the audio since the last pause. A word's pieces come at its end, so that the
frame after them finds a machine that listens: then one that begins anywhere in a longer pause says the same as one that
was there before it, and no test has to make allowances for the place where the gateway replays from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

SPECIAL_TOKENS = 1000
"""Ids below this one are special and have no text; the Tekken format gives the vocabulary's entries the ids above."""

STREAMING_PAD = 32
STREAMING_WORD = 33
_FIRST_FREE_SPECIAL = 100

_WORDS: tuple[tuple[bytes, ...], ...] = (
    (b" Par", b"ley"),
    (b" keeps",),
    (b" every",),
    (b" word",),
    (b" of",),
    # One character over two tokens: the server has to hold the first back.
    (b" caf\xc3", b"\xa9"),
    (b" talk",),
    (b" alive.",),
)
_BREATH_FRAMES = 2

FORGETTING_FRAMES = 8
"""Quiet frames that make a pause. The gateway takes 12 steps without text for one. Two are a word's breath, one its
start: of a run of 12 the first 9 at least are quiet."""

VOCABULARY: tuple[bytes, ...] = (
    *(bytes([value]) for value in range(256)),
    *(piece for word in _WORDS for piece in word if len(piece) > 1),
)
"""All bytes first, as the Tekken format wants it."""

# Voxtral Realtime at its default delay of 480 ms. The prompt is one start token and 38 pads. Under them lie 32 frames
# of silence and the first 7 of the audio, so the first generated token has looked at frame 6, counted from 0.
DELAY_FRAMES = 6
FRAME_S = 0.08
_SILENCE_AFTER_FINAL_FRAMES = 17


@dataclass(frozen=True)
class Script:
    """The machine. A state that listens is in both `starts` and `waits`, which say what a loud and a quiet frame make
    of it; `follows` is the way on from all others whatever the audio; `texts` holds the bytes of those that have any.
    """

    initial: int
    starts: dict[int, int]
    waits: dict[int, int]
    follows: dict[int, int]
    texts: dict[int, bytes]

    @property
    def states(self) -> list[int]:
        return sorted(self.starts.keys() | self.follows.keys())

    def after(self, state: int, *, loud: bool) -> int:
        """The state that a frame makes of a state."""
        if state in self.follows:
            return self.follows[state]
        return self.starts[state] if loud else self.waits[state]


def _write_script() -> Script:
    # The initial state and the first word's start are the tokens that stand for these in Voxtral; all others have their
    # own, because the machine's only memory is the last token.
    free = iter(range(_FIRST_FREE_SPECIAL, SPECIAL_TOKENS))
    starting = [STREAMING_WORD, *(next(free) for _ in _WORDS[1:])]
    pieces = [piece for word in _WORDS for piece in word]
    assert len(set(pieces)) == len(pieces), "a piece is a state, so none may occur twice"
    ids = {piece: SPECIAL_TOKENS + VOCABULARY.index(piece) for piece in pieces}
    starts, waits = {STREAMING_PAD: STREAMING_WORD}, {STREAMING_PAD: STREAMING_PAD}
    follows: dict[int, int] = {}
    for start, word, following in zip(starting, _WORDS, [*starting[1:], STREAMING_WORD], strict=True):
        breath = [next(free) for _ in range(_BREATH_FRAMES)]
        follows |= dict(pairwise([start, *breath, *(ids[piece] for piece in word)]))
        waiting = [ids[word[-1]]]
        if following != STREAMING_WORD:
            waiting += [next(free) for _ in range(FORGETTING_FRAMES - 1)]
        starts |= dict.fromkeys(waiting, following)
        waits |= dict(pairwise([*waiting, STREAMING_PAD]))
    return Script(
        initial=STREAMING_PAD,
        starts=starts,
        waits=waits,
        follows=follows,
        texts={token: piece for piece, token in ids.items()},
    )


SCRIPT = _write_script()


def steps(frames: int) -> int:
    """How many tokens vLLM generates for a turn of so many whole frames: `completion_tokens` of its
    `transcription.done`."""
    return frames + _SILENCE_AFTER_FINAL_FRAMES - (DELAY_FRAMES + 1) if frames else 0


def _said(loud_frames: Sequence[bool], generated: int) -> Iterator[bytes]:
    """The bytes of each step's token, most often none."""
    state = SCRIPT.initial
    for frame in range(DELAY_FRAMES, DELAY_FRAMES + generated):
        state = SCRIPT.after(state, loud=frame < len(loud_frames) and loud_frames[frame])
        yield SCRIPT.texts.get(state, b"")


def answer(loud_frames: Sequence[bool], *, is_final: bool = True) -> str:
    """The text of a turn whose whole frames of 80 ms are loud or quiet as given, at its end or up to now."""
    generated = steps(len(loud_frames)) - (0 if is_final else _SILENCE_AFTER_FINAL_FRAMES)
    # A character of which only the first byte is said is held back.
    return b"".join(_said(loud_frames, generated)).decode(errors="ignore")


def last_step_with_text(loud_frames: Sequence[bool]) -> int:
    """The number, from 1, of the last step that says anything to these frames; 0 when none does."""
    said = _said(loud_frames, steps(len(loud_frames)))
    return max((number for number, piece in enumerate(said, 1) if piece), default=0)
