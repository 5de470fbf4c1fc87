from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest
from websockets.asyncio.server import ServerConnection

from parley.audio.wav import wav_header
from parley.client import ConnectionLost, Recovered, SessionFailed, SessionResumed, TextDelta, Usage, connect
from parley.client.events import Interruption
from parley.client.failure import SourceError
from parley.client.pacing import RealTimePace
from parley.client.source import AudioSource, open_file
from parley.client.transcription import Transcription, transcribe
from parley.core.errors import ParleyError

from .parley_server import ScriptedParley, delta, revision
from .vllm_server import ScriptedVllm, event, greet, listening


class Watch:
    def __init__(self) -> None:
        self.sent_s: list[float] = []
        self.text = ""
        self.interruptions: list[Interruption] = []

    def audio_sent(self, duration_s: float) -> None:
        self.sent_s.append(duration_s)

    def text_received(self, text: str) -> None:
        self.text += text

    def text_revised(self, text: str) -> None:
        self.text = text

    def interrupted(self, event: Interruption) -> None:
        self.interruptions.append(event)


class BrokenSource:
    duration_s = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield bytes(3_200)
        raise SourceError("unreadable-audio", "It broke.")


@pytest.fixture
def wav(tmp_path: Path) -> AudioSource:
    path = tmp_path / "some.wav"
    path.write_bytes(wav_header(16_000) + bytes(32_000))
    return open_file(path)


async def test_a_source_becomes_a_transcript_with_its_measures(wav: AudioSource) -> None:
    times = iter(range(100))
    watch = Watch()
    async with listening(ScriptedVllm()) as url, connect(url, timestamps=True) as session, wav as source:
        transcript = await transcribe(session, source, observer=watch, clock=lambda: float(next(times)))
    assert transcript.text == "Hello there."
    assert [(delta.text, delta.audio_end_s) for delta in transcript.deltas] == [(" Hello", 0.32), (" there.", 0.56)]
    assert transcript.duration_s == 1.0
    assert transcript.has_exact_times
    assert transcript.usage.completion_tokens == 29
    assert transcript.time_to_first_partial_s is not None
    assert 0 < transcript.time_to_first_partial_s < transcript.elapsed_s
    assert transcript.real_time_factor == transcript.elapsed_s
    assert watch.sent_s[-1] == 1.0
    assert watch.text == " Hello there."


async def test_silence_has_no_first_partial(wav: AudioSource) -> None:
    async with listening(ScriptedVllm(pieces={})) as url, connect(url) as session, wav as source:
        transcript = await transcribe(session, source)
    assert transcript.time_to_first_partial_s is None
    assert transcript.text == ""


async def test_the_pace_is_kept_piece_by_piece(wav: AudioSource) -> None:
    waited: list[float] = []

    async def sleep(duration_s: float) -> None:
        waited.append(round(duration_s, 2))

    pace = RealTimePace(clock=lambda: 0.0, sleep=sleep)
    async with listening(ScriptedVllm()) as url, connect(url) as session, wav as source:
        await transcribe(session, source, pace=pace)
    assert waited == [round(min(1.0, (number + 1) * 0.08), 2) for number in range(13)]


async def test_a_server_that_fails_ends_the_sending(wav: AudioSource) -> None:
    async def failing(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.send(event("error", error="no", code="processing_error"))
        await socket.close(1011)

    async with listening(failing) as url, connect(url) as session, wav as source:
        with pytest.raises(SessionFailed, match="processing_error"):
            await transcribe(session, source)


async def test_a_source_that_fails_ends_the_receiving() -> None:
    async with listening(ScriptedVllm()) as url, connect(url) as session:
        with pytest.raises(SourceError, match="It broke"):
            await transcribe(session, BrokenSource())


async def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.write_bytes(wav_header(None))
    async with listening(ScriptedVllm()) as url, connect(url) as session, open_file(path) as source:
        with pytest.raises(ParleyError, match="no samples"):
            await transcribe(session, source)


def test_a_transcript_does_not_show_what_was_said() -> None:
    transcript = Transcription("secret", (TextDelta("secret"),), 0.0, 1.0, None, 1.0, Usage(), False)
    assert "secret" not in repr(transcript)
    assert transcript.real_time_factor == 0.0


async def test_a_lost_connection_leaves_its_outcome(wav: AudioSource) -> None:
    watch = Watch()
    server = ScriptedParley(drops=1)
    async with listening(server) as url, connect(url) as session, wav as source:
        transcription = await transcribe(session, source, observer=watch)
    assert transcription.text == "Hello there."
    (outcome,) = transcription.outcomes
    assert isinstance(outcome, SessionResumed)
    assert outcome.outcome == "resumed"
    assert [type(event) for event in watch.interruptions] == [ConnectionLost, SessionResumed]
    assert transcription.lost_ms == ()
    assert server.firsts == ["session.update", "session.resume"]
    assert server.paths == ["/v1/realtime", "/v1/realtime?resume=1"]


async def test_what_may_be_missing_is_told_once(wav: AudioSource) -> None:
    lost = {"outcome": "restarted", "replayed_ms": [], "lost": [[200, 400]]}
    recovered = ("session.recovered", {**lost, "lost": [[200, 400], [0, 80]]})
    server = ScriptedParley([("session.recovering", {"reason": "upstream-closed"}), recovered], drops=1, outcome=lost)
    async with listening(server) as url, connect(url) as session, wav as source:
        transcription = await transcribe(session, source)
    assert transcription.lost_ms == ((0, 80), (200, 400))
    assert [type(outcome) for outcome in transcription.outcomes] == [SessionResumed, Recovered]


async def test_a_revision_changes_what_was_shown_and_its_pieces(wav: AudioSource) -> None:
    watch = Watch()
    script = [delta(" Hello"), delta(" dare."), revision(7, 11, "there")]
    async with listening(ScriptedParley(script)) as url, connect(url) as session, wav as source:
        transcription = await transcribe(session, source, observer=watch)
    assert watch.text == " Hello there."
    assert "".join(piece.text for piece in transcription.deltas) == " Hello there."


async def test_a_turn_that_failed_has_no_transcript(wav: AudioSource) -> None:
    error = {"code": "turn-failed", "message": "Again.", "fault": "upstream", "retry": "same-session"}
    server = ScriptedParley([("transcription.failed", {"item_id": "item_1", "error": error})], text=None)
    async with listening(server) as url, connect(url) as session, wav as source:
        with pytest.raises(SessionFailed, match="turn-failed: Again"):
            await transcribe(session, source)
