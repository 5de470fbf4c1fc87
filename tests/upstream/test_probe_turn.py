"""A turn of speech that shows whether a model server works, and if not, what is the matter."""

import asyncio

import pytest

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.profile import QWEN3_ASR, VOXTRAL
from parley.core.usage import Usage
from parley.upstream.health.probe_turn import PROBE_LEG, ProbeTurns, Speech
from parley.upstream.leg import LegConnection, LegSink
from parley.upstream.vllm import VllmOptions, VllmUpstream
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.sound import pcm, pieces
from tests.support.waiting import bounded

SPEECH = Speech([encode_audio(piece) for piece in pieces(pcm(1.2))])
FRAMES = 15
"""Of 80 ms, in the speech."""
WORD, NOTHING = Text(b'" word"'), Text(b'""')
QUICK_S = 0.01


class Server:
    """Opens legs and answers the end of a turn with so many deltas, and `done`."""

    def __init__(self) -> None:
        self.deltas = FRAMES + 10
        self.says = WORD
        self.is_done = True
        self.hangs = False
        self.fails_with: ParleyError | None = None
        self.refuses_with: ParleyError | None = None
        self.told: list[str] = []
        self._sink: LegSink | None = None

    async def open_leg(self, sink: LegSink) -> LegConnection:
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses_with is not None:
            raise self.refuses_with
        self._sink = sink
        return self

    def start_turn(self) -> None:
        self.told.append("start")

    def send_audio(self, audio: Audio) -> None:
        self.told.append("audio")

    server_name = ""

    def round_trip_s(self) -> float | None:
        return None

    def end_turn(self) -> None:
        self.told.append("end")
        assert self._sink is not None
        for number in range(self.deltas):
            self._sink.receive_delta(PROBE_LEG, self.says if number == 0 else NOTHING)
        if self.fails_with is not None:
            self._sink.receive(ev.LegFailed(PROBE_LEG, self.fails_with))
        if self.is_done:
            self._sink.receive(ev.TurnTranscribed(PROBE_LEG, self.says, Usage()))

    def close(self) -> None:
        self.told.append("close")


async def probe(turns: ProbeTurns, server: Server) -> None:
    await bounded("the probe turn", turns.take(server.open_leg, VOXTRAL))


async def failure(server: Server, turns: ProbeTurns | None = None) -> tuple[str, str]:
    with pytest.raises(ParleyError) as caught:
        await probe(turns or ProbeTurns(SPEECH, timeout_s=QUICK_S), server)
    return caught.value.code, caught.value.detail


def patient() -> ProbeTurns:
    return ProbeTurns(SPEECH, timeout_s=10.0)


async def test_a_server_that_answers_works_and_its_leg_is_closed() -> None:
    server = Server()
    await probe(patient(), server)
    assert server.told == ["start", *["audio"] * len(SPEECH.pieces), "end", "close"]


async def test_a_real_leg_steps_into_no_trap(vllm: FakeVllm) -> None:
    upstream = VllmUpstream(VllmOptions(url=vllm.url))
    upstream.model = MODEL
    turns = patient()
    for _ in range(2):
        await bounded("a turn", turns.take(lambda sink: upstream.open_leg(PROBE_LEG, sink), VOXTRAL))
    assert [sum(map(len, one.turns)) for one in vllm.sessions] == [2 * SPEECH.samples] * 2
    await vllm.until_idle()


async def test_a_server_that_does_not_greet_is_not_available() -> None:
    server = Server()
    server.hangs = True
    assert await failure(server) == ("upstream-unavailable", "A probe turn found no stream within 0.01 s.")


async def test_a_refusal_is_passed_on() -> None:
    server = Server()
    server.refuses_with = ParleyError("at-capacity", "No room.")
    assert await failure(server) == ("at-capacity", "No room.")


async def test_a_server_without_a_delta_is_stalled_and_its_leg_is_closed() -> None:
    server = Server()
    server.deltas, server.is_done = 0, False
    assert await failure(server) == ("upstream-stalled", "A probe turn had no delta within 0.01 s.")
    assert server.told[-1] == "close"


async def test_a_server_without_an_end_is_stalled() -> None:
    server = Server()
    server.is_done = False
    assert await failure(server) == ("upstream-stalled", "A probe turn had 25 deltas and no end within 0.01 s.")


async def test_a_server_that_ends_without_a_delta_is_stalled() -> None:
    server = Server()
    server.deltas = 0
    assert await failure(server, patient()) == ("upstream-stalled", "A probe turn had an end and no delta.")


async def test_a_server_that_ends_too_early_cuts_turns_short() -> None:
    server = Server()
    server.deltas = FRAMES + 1
    error = ("upstream-truncated", "The deltas of a probe turn cover 1.28 s of 1.20 s.")
    assert await failure(server, patient()) == error


async def test_a_server_that_counts_otherwise_from_the_first_turn_on_is_believed() -> None:
    server, turns = Server(), patient()
    server.deltas = 6
    await failure(server, turns)
    await probe(turns, server)


async def test_a_server_that_once_counted_as_its_model_does_is_not_believed_otherwise() -> None:
    server, turns = Server(), patient()
    await probe(turns, server)
    server.deltas = 6
    assert [(await failure(server, turns))[0] for _ in range(3)] == ["upstream-truncated"] * 3


async def test_a_server_that_had_words_before_and_has_none_now_is_mute() -> None:
    server, turns = Server(), patient()
    await probe(turns, server)
    server.says = NOTHING
    assert await failure(server, turns) == ("upstream-mute", "A probe turn had no word; earlier ones had.")


async def test_a_server_that_never_had_a_word_for_it_is_not_mute() -> None:
    server, turns = Server(), patient()
    server.says = NOTHING
    for _ in range(2):
        await probe(turns, server)


async def test_a_server_that_fails_the_leg_says_why() -> None:
    server = Server()
    server.fails_with, server.is_done = ParleyError("upstream-closed", "Close code 1012."), False
    assert await failure(server, patient()) == ("upstream-closed", "Close code 1012.")


async def test_a_failure_behind_the_end_is_none() -> None:
    class Late(Server):
        def end_turn(self) -> None:
            super().end_turn()
            assert self._sink is not None
            self._sink.receive(ev.LegFailed(PROBE_LEG, ParleyError("upstream-closed")))

    await probe(patient(), Late())


@pytest.mark.parametrize("deltas", [0, 1])
async def test_of_a_model_without_a_clock_only_the_end_is_asked(deltas: int) -> None:
    server = Server()
    server.deltas = deltas
    await bounded("the turn", patient().take(server.open_leg, QWEN3_ASR))


async def test_a_model_without_a_clock_that_does_not_end_is_stalled() -> None:
    server = Server()
    server.deltas, server.is_done = 0, False
    with pytest.raises(ParleyError) as caught:
        await ProbeTurns(SPEECH, timeout_s=QUICK_S).take(server.open_leg, QWEN3_ASR)
    assert caught.value.detail == "A probe turn had 0 deltas and no end within 0.01 s."


def test_speech_does_not_print() -> None:
    assert repr(SPEECH) == "Speech()"


async def test_events_of_any_other_kind_are_passed_over() -> None:
    class Blocking(Server):
        def send_audio(self, audio: Audio) -> None:
            super().send_audio(audio)
            assert self._sink is not None
            self._sink.receive(ev.LegBlocked(PROBE_LEG))
            assert self._sink.delay_s(PROBE_LEG) == 0.0

        def end_turn(self) -> None:
            assert self._sink is not None
            self._sink.receive(ev.DeltaReceived(PROBE_LEG, WORD))
            super().end_turn()

    await probe(patient(), Blocking())
