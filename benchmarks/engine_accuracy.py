"""How well and how soon the embedded engine transcribes: word error rate, delay from a word's end to its text, CPU.

    python benchmarks/engine_accuracy.py DIRECTORY [--word-ends FILE] [--policies] [--shifts N]

DIRECTORY holds 16 kHz mono PCM16 WAV files and `manifest.json`, a list of objects with `file` and `transcript`. FILE is
JSON from a forced aligner: for each file name, the end in seconds of each word of its (normalised) transcript. Each
recording is heard with faint hiss before and after it, N times with a different lead-in: hypotheses depend on where the
decodes fall, and one pass over a few minutes of speech says little about that.
"""

import argparse
import json
import re
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from parley.engine.agreement import CommitPolicy
from parley.engine.clock import SAMPLE_RATE_HZ, samples_for_delta
from parley.engine.listener import ListenerSettings
from parley.engine.tiny import TinyEngine
from parley.engine.transcriber import transcribe
from parley.engine.weights import Weights, load_weights

LEAD_INS = (4_800, 6_577, 8_133, 5_689, 7_411)
"""Samples of hiss before the recording, by pass; no two are alike modulo a hop or a frame."""

TAIL_SAMPLES = 19_200

POLICIES = {
    "2 agree, hold 1, or 0 in a pause": CommitPolicy(2, 1, 0, doubt_below=0),
    "2 agree, hold 2 / 0": CommitPolicy(2, 2, 0, doubt_below=0),
    "2 agree, hold 2 / 1": CommitPolicy(2, 2, 1, doubt_below=0),
    "3 agree, hold 1 / 1": CommitPolicy(3, 1, 1, doubt_below=0),
    "2 agree, hold 1 / 0, 4 below 0.7": CommitPolicy(2, 1, 0, 0.7, 4),
    "2 agree, hold 1 / 0, 5 below 0.7": CommitPolicy(2, 1, 0, 0.7, 5),
    "2 agree, hold 1 / 0, 4 below 0.8": CommitPolicy(2, 1, 0, 0.8, 4),
    "2 agree, hold 1 / 0, 5 below 0.9": CommitPolicy(2, 1, 0, 0.9, 5),
}

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
_SHORT = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}


@dataclass(frozen=True)
class Recording:
    """A recording and what is said in it. `word_ends_s` is empty where unknown."""

    name: str
    words: list[str]
    pcm16: bytes
    word_ends_s: list[float]


@dataclass
class Score:
    """What came out."""

    errors: int = 0
    words: int = 0
    delays_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    audio_s: float = 0.0
    errors_by_pass: list[int] = field(default_factory=list)

    def row(self, name: str) -> str:
        """The score as a line of a Markdown table."""
        passes = " ".join(str(count) for count in self.errors_by_pass)
        delays = "- | -"
        if self.delays_s:
            median, late = np.quantile(self.delays_s, (0.5, 0.9))
            delays = f"{median:.2f} | {late:.2f}"
        rate = 100 * self.errors / self.words
        return f"| {name} | {rate:.1f} % | {passes} | {delays} | {self.cpu_s / self.audio_s:.3f} |"


HEADER = "| policy | WER | errors by pass | delay median (s) | p90 (s) | CPU s per audio s |\n|---|---|---|---|---|---|"


def normalised_words(text: str) -> list[str]:
    """Words for comparison: lower case, no punctuation, numbers and a few abbreviations in words."""
    words: list[str] = []
    for word in re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("\u2019", "'")).split():
        bare = word.strip("'")
        if match := re.fullmatch(r"(\d{1,2})(st|nd|rd|th)?", bare):
            words += _number(int(match[1]), ordinal=match[2] is not None)
        elif bare.isdigit():
            words += [part for digit in bare for part in _number(int(digit), ordinal=False)]
        elif bare:
            words.append(_SHORT.get(bare, bare))
    return words


def _number(value: int, *, ordinal: bool) -> list[str]:
    units, tens = _UNITS.split(), _TENS.split()
    words = [units[value]] if value < 20 else [tens[value // 10 - 2], *([units[value % 10]] if value % 10 else [])]
    if ordinal:
        last = words[-1]
        words[-1] = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last.rstrip('e')}th")
    return words


def alignment(reference: Sequence[str], heard: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """The number of word errors, and the positions (reference, heard) of the words that agree."""
    rows, columns = len(reference) + 1, len(heard) + 1
    cost = np.zeros((rows, columns), np.int64)
    cost[:, 0], cost[0] = np.arange(rows), np.arange(columns)
    for row in range(1, rows):
        for column in range(1, columns):
            replaced = cost[row - 1, column - 1] + (reference[row - 1] != heard[column - 1])
            cost[row, column] = min(cost[row - 1, column] + 1, cost[row, column - 1] + 1, replaced)
    pairs, row, column = [], rows - 1, columns - 1
    while row and column:
        same = reference[row - 1] == heard[column - 1]
        if cost[row, column] == cost[row - 1, column - 1] + (not same):
            row, column = row - 1, column - 1
            if same:
                pairs.append((row, column))
        elif cost[row, column] == cost[row - 1, column] + 1:
            row -= 1
        else:
            column -= 1
    return int(cost[-1, -1]), pairs


def read_recordings(directory: Path, word_ends: Path | None) -> list[Recording]:
    """The manifest's recordings."""
    ends = json.loads(word_ends.read_text()) if word_ends else {}
    recordings = []
    for entry in json.loads((directory / "manifest.json").read_text()):
        with wave.open(str(directory / entry["file"])) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE_HZ, 1, 2):
                raise SystemExit(f"{entry['file']} is not 16 kHz mono PCM16")
            pcm16 = file.readframes(file.getnframes())
        words = normalised_words(entry["transcript"])
        known = ends.get(entry["file"], [])
        recordings.append(Recording(entry["file"], words, pcm16, known if len(known) == len(words) else []))
    return recordings


def measure(engine: TinyEngine, recordings: list[Recording], passes: int, *, show: bool = False) -> Score:
    """Transcribe everything `passes` times."""
    score = Score()
    for number in range(passes):
        before = score.errors
        for recording in recordings:
            _measure_one(engine, recording, LEAD_INS[number], score, show=show and number == 0)
        score.errors_by_pass.append(score.errors - before)
    return score


def _measure_one(engine: TinyEngine, recording: Recording, lead_in: int, score: Score, *, show: bool) -> None:
    hiss = (np.random.default_rng(lead_in).standard_normal(lead_in + TAIL_SAMPLES) * 4).astype("<i2").tobytes()
    audio = hiss[: 2 * lead_in] + recording.pcm16 + hiss[2 * lead_in :]
    begun_s = time.process_time()
    deltas = transcribe(engine.open(), audio)
    score.cpu_s += time.process_time() - begun_s
    score.audio_s += len(audio) / 2 / SAMPLE_RATE_HZ
    heard, told_at_s = [], []
    for index, delta in enumerate(deltas):
        words = normalised_words(delta)
        heard += words
        told_at_s += [min(samples_for_delta(index), len(audio) // 2) / SAMPLE_RATE_HZ] * len(words)
    errors, pairs = alignment(recording.words, heard)
    score.errors += errors
    score.words += len(recording.words)
    if recording.word_ends_s:
        lead_in_s = lead_in / SAMPLE_RATE_HZ
        score.delays_s += [told_at_s[at] - lead_in_s - recording.word_ends_s[spoken] for spoken, at in pairs]
    if show:
        print(f"{recording.name}: {errors}/{len(recording.words)} errors:{''.join(deltas)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--word-ends", type=Path)
    parser.add_argument("--policies", action="store_true", help="compare commit policies")
    parser.add_argument("--shifts", type=int, default=1, choices=range(1, len(LEAD_INS) + 1))
    parser.add_argument("--show", action="store_true", help="print what was heard")
    options = parser.parse_args()
    weights: Weights = load_weights()
    recordings = read_recordings(options.directory, options.word_ends)
    print(HEADER)
    policies = POLICIES if options.policies else {"default": CommitPolicy()}
    for name, policy in policies.items():
        engine = TinyEngine(weights, ListenerSettings(policy=policy))
        print(measure(engine, recordings, options.shifts, show=options.show).row(name), flush=True)


if __name__ == "__main__":
    main()
