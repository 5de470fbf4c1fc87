"""How the simulated model hears: words from samples as they come, and when it says them."""

from collections import deque
from zlib import crc32

from parley.simulation.speech import FRAME_SAMPLES, spoken

_SPEECH, _PAUSE = b"\x20", b"\x00"
_RECENT_WORDS = 16
LATE_FRAMES_MAX = 2
"""A word is said within so many frames of its end."""


class Hearing:
    """Finds words in audio piece by piece. `dialect` 0 says what `transcript_of` says; others differ in some words."""

    __slots__ = ("_crc", "_due", "_in_word", "_last_due", "_recent", "dialect", "samples", "words")

    def __init__(self, dialect: int = 0) -> None:
        self.dialect = dialect
        self.samples = 0
        self.words = 0
        self._in_word = False
        self._crc = 0
        self._last_due = 0
        self._recent: deque[str] = deque(maxlen=_RECENT_WORDS)
        self._due: deque[tuple[int, str]] = deque()

    def hear(self, pcm: bytes) -> None:
        """Take the next samples, PCM16 LE."""
        high, at = pcm[1::2], 0
        while at < len(high):
            end = high.find(_PAUSE if self._in_word else _SPEECH, at)
            if end < 0:
                end = len(high)
            if self._in_word:
                self._crc = crc32(pcm[2 * at : 2 * end], self._crc)
            if end < len(high):
                if self._in_word:
                    self._word_ended(self.samples + end)
                self._in_word = not self._in_word
                self._crc = 0
            at = end
        self.samples += len(high)

    def finish(self) -> None:
        """There is no more audio: a word that is not complete ends here."""
        if self._in_word:
            self._word_ended(self.samples)
            self._in_word = False

    def said_by(self, delta: int) -> str:
        """What delta number `delta`, from 1, says."""
        said = ""
        while self._due and self._due[0][0] <= delta:
            said += self._due.popleft()[1]
        return said

    def take_words(self) -> list[str]:
        """The words that ended lately, said or about to be."""
        return list(self._recent)

    @property
    def is_silent(self) -> bool:
        """Whether nothing that was heard is still to be said."""
        return not self._due and not self._in_word

    def _word_ended(self, at_samples: int) -> None:
        self.words += 1
        text, crc = spoken(self._crc, self.dialect), self._crc
        due = max(self._last_due, -(-at_samples // FRAME_SAMPLES) + crc % (LATE_FRAMES_MAX + 1))
        self._last_due = due
        self._recent.append(text.strip())
        if len(text) > 4 and crc % 4 == 0 and crc % (LATE_FRAMES_MAX + 1) < LATE_FRAMES_MAX:
            # As a model does whose words are of several tokens.
            self._last_due = due + 1
            self._due += [(due, text[:4]), (due + 1, text[4:])]
        elif text:
            self._due.append((due, text))
