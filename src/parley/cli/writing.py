"""Transcripts in the forms that people and programs want, to standard output or into files."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parley.cli.failure import Failure, Misuse
from parley.client.captions import cues_of, srt, vtt
from parley.client.events import Recovered, SessionResumed
from parley.client.transcription import Transcription

LINE_MAX_COLUMNS = 100
"""Columns of a line on a terminal; longer ones are hard to read."""

_SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


class Writer:
    """Writes each transcript when it is there. `form` is text, json, srt or vtt.

    Raises:
        Misuse: the output can't hold what was asked for, which is better said before an hour of audio than after.
    """

    def __init__(self, form: str, output: Path | None, inputs: Sequence[str]) -> None:
        self._form = form
        self._output = output
        self._is_one = len(inputs) == 1
        self._begun = False
        is_folder = output is not None and output.is_dir()
        if form in ("srt", "vtt") and not self._is_one and not is_folder:
            raise Misuse(f"wrong-usage: for several recordings --{form} needs a directory that exists as --output.")
        if output is not None and not is_folder and not output.parent.is_dir():
            raise Misuse(f"wrong-usage: there is no directory {output.parent} to write {output.name} into.")
        self._paths = {name: self._path(output, name) for name in inputs} if output and is_folder else {}
        if len(set(self._paths.values())) < len(self._paths):
            raise Misuse(
                "wrong-usage: two of the recordings have the same name, and would be written to the same file."
            )

    def write(self, name: str, transcript: Transcription) -> None:
        """One more transcript.

        Raises:
            Failure: it can't be written.
        """
        self._put(name, self._formatted(name, transcript))

    def write_failure(self, name: str, failure: dict[str, Any]) -> None:
        """That there is none: said in JSON, so that every recording has its object; elsewhere it is on stderr."""
        if self._form == "json":
            self._put(name, _line({"file": name, "error": failure}))

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{'stdin' if name == '-' else Path(name).stem}{_SUFFIXES[self._form]}"

    def _formatted(self, name: str, transcript: Transcription) -> str:
        match self._form:
            case "json":
                return _line(_document(name, transcript))
            case "srt":
                return srt(cues_of(transcript.deltas, transcript.duration_s))
            case "vtt":
                return vtt(cues_of(transcript.deltas, transcript.duration_s))
        text = transcript.text.strip()
        return f"{text}\n" if self._is_one or self._paths else f"{name}: {text}\n"

    def _put(self, name: str, text: str) -> None:
        path = self._paths.get(name, self._output)
        if path is None:
            sys.stdout.write(wrapped(text) if self._form == "text" and sys.stdout.isatty() else text)
            sys.stdout.flush()
            return
        try:
            # Several recordings share one file unless each has its own.
            with path.open("a" if self._begun and not self._paths else "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Failure(f"unwritable-output: {path} can't be written: {error.strerror}.") from None
        self._begun = True


def wrapped(text: str) -> str:
    """The text in lines of a width that reads well on this terminal."""
    columns = min(shutil.get_terminal_size().columns - 1, LINE_MAX_COLUMNS)
    return textwrap.fill(text, max(20, columns)) + "\n"


def _document(name: str, transcript: Transcription) -> dict[str, Any]:
    first_s = transcript.time_to_first_partial_s
    return {
        "file": name,
        "text": transcript.text.strip(),
        "duration_s": round(transcript.duration_s, 3),
        "time_to_first_partial_s": None if first_s is None else round(first_s, 3),
        "time_to_final_s": round(transcript.time_to_final_s, 3),
        "elapsed_s": round(transcript.elapsed_s, 3),
        "has_exact_times": transcript.has_exact_times,
        "deltas": [{"text": delta.text, "audio_end_s": delta.audio_end_s} for delta in transcript.deltas],
        "outcomes": [_outcome(outcome) for outcome in transcript.outcomes],
        "usage": asdict(transcript.usage),
    }


def _outcome(outcome: SessionResumed | Recovered) -> dict[str, Any]:
    """What became of a lost connection (`of` is `session`) or model server."""
    fields = asdict(outcome)
    if isinstance(outcome, SessionResumed):
        fields["downtime_s"] = round(outcome.downtime_s, 3)
    return {"of": "session" if isinstance(outcome, SessionResumed) else "model-server", **fields}


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False) + "\n"
