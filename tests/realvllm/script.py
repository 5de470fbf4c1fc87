"""What the tiny model says: a finite-state machine over token ids, and its answer to given audio.

The machine advances one token per frame. It waits, silently, while frames are quiet; a loud frame starts the next word,
which takes as many frames as it has pieces, and then some to breathe. `tiny_model` builds weights that do this inside
the real vLLM; `answer` does it here, so that a test knows the transcript without asking the server that it tests.
"""

from collections.abc import Sequence
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
    """The machine. `starts` maps a waiting state to what a loud frame makes of it; `follows` is the way on from all
    other states whatever the audio; `texts` holds the bytes of those states that have any."""

    initial: int
    starts: dict[int, int]
    follows: dict[int, int]
    texts: dict[int, bytes]

    @property
    def states(self) -> list[int]:
        return sorted(self.starts.keys() | self.follows.keys())


def _write_script() -> Script:
    count = len(_WORDS)
    # The first waiting state and the first word's start are the tokens that stand for these in Voxtral; the other words
    # have their own, because the machine's only memory is the last token.
    free = iter(range(_FIRST_FREE_SPECIAL, SPECIAL_TOKENS))
    waiting = [STREAMING_PAD, *(next(free) for _ in range(count - 1))]
    starting = [STREAMING_WORD, *(next(free) for _ in range(count - 1))]
    pieces = [piece for word in _WORDS for piece in word]
    assert len(set(pieces)) == len(pieces), "a piece is a state, so none may occur twice"
    ids = {piece: SPECIAL_TOKENS + VOCABULARY.index(piece) for piece in pieces}
    follows: dict[int, int] = {}
    for index, word in enumerate(_WORDS):
        breath = [next(free) for _ in range(_BREATH_FRAMES)]
        chain = [starting[index], *(ids[piece] for piece in word), *breath, waiting[(index + 1) % count]]
        follows.update(pairwise(chain))
    return Script(
        initial=STREAMING_PAD,
        starts=dict(zip(waiting, starting, strict=True)),
        follows=follows,
        texts={token: piece for piece, token in ids.items()},
    )


SCRIPT = _write_script()


def steps(frames: int) -> int:
    """How many tokens vLLM generates for a turn of so many whole frames: `completion_tokens` of its
    `transcription.done`."""
    return frames + _SILENCE_AFTER_FINAL_FRAMES - (DELAY_FRAMES + 1) if frames else 0


def answer(loud_frames: Sequence[bool], *, is_final: bool = True) -> str:
    """The text of a turn whose whole frames of 80 ms are loud or quiet as given, at its end or up to now."""
    state, text = SCRIPT.initial, b""
    generated = steps(len(loud_frames)) - (0 if is_final else _SILENCE_AFTER_FINAL_FRAMES)
    for step in range(generated):
        frame = step + DELAY_FRAMES
        loud = frame < len(loud_frames) and loud_frames[frame]
        state = SCRIPT.starts[state] if loud and state in SCRIPT.starts else SCRIPT.follows.get(state, state)
        text += SCRIPT.texts.get(state, b"")
    # A character of which only the first byte is said is held back.
    return text.decode(errors="ignore")
