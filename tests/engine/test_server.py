"""The engine server on a real socket, with the scripted engine."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncGenerator

import aiohttp
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from parley.engine.clock import deltas_of_turn, deltas_while_open, tokens_of
from parley.engine.options import EngineOptions, FaultPlan
from parley.engine.scripted import ScriptedEngine, ScriptedTranscriber
from parley.engine.server import serve_engine
from parley.engine.transcriber import transcribe

from .talk import WAIT_S, Client, connected, serving

OPTIONS = EngineOptions(port=0, engine="scripted", model_name="test-model", max_sessions=3, decode_threads=2)
AUDIO = np.random.default_rng(8).integers(-9_000, 9_000, 32_000).astype("<i2").tobytes()
OTHER_AUDIO = AUDIO[::-1]


def expected(audio: bytes) -> list[str]:
    return transcribe(ScriptedEngine().open(), audio)


@pytest.fixture
async def address() -> AsyncGenerator[str]:
    async with serving(OPTIONS) as running:
        yield running


@pytest.fixture
async def client(address: str) -> AsyncGenerator[Client]:
    async with connected(address) as connection:
        yield connection


async def test_the_session_is_created_at_once(address: str) -> None:
    async with connected(address, greet=False) as client:
        event = await client.event()
    assert (event["type"], event["id"][:5], len(event["id"])) == ("session.created", "sess-", 37)


async def test_a_turn_gets_its_deltas_and_then_done(client: Client) -> None:
    turn = await client.say(AUDIO)
    deltas = expected(AUDIO)
    counts = {"prompt_tokens": 39, "completion_tokens": 35, "total_tokens": 74, "prompt_tokens_details": None}
    assert turn.deltas == deltas
    assert turn.done == {"type": "transcription.done", "text": "".join(deltas), "usage": counts}


async def test_an_empty_turn_gets_empty_text_and_no_usage(client: Client) -> None:
    await client.start()
    await client.end()
    turn = await client.turn()
    assert (turn.deltas, turn.done["text"], turn.done["usage"]["total_tokens"]) == ([], "", 0)


async def test_deltas_come_while_the_turn_is_open(client: Client) -> None:
    await client.start()
    await client.append(AUDIO)
    deltas = [(await client.event())["delta"] for _ in range(deltas_while_open(32_000))]
    assert deltas == expected(AUDIO)[: len(deltas)]


async def test_audio_in_many_pieces_gives_the_same_turn(client: Client) -> None:
    await client.start()
    for start in range(0, len(AUDIO), 2_560):
        await client.append(AUDIO[start : start + 2_560])
    await client.end()
    assert (await client.turn()).deltas == expected(AUDIO)


async def test_audio_sent_before_the_start_is_kept(client: Client) -> None:
    await client.append(AUDIO)
    await client.start()
    await client.end()
    assert (await client.turn()).deltas == expected(AUDIO)


async def test_a_turn_can_be_sent_whole_and_started_last(client: Client) -> None:
    await client.append(AUDIO)
    await client.end()
    await client.start()
    assert (await client.turn()).deltas == expected(AUDIO)


async def test_a_turn_sent_before_the_last_is_done_loses_nothing(client: Client) -> None:
    for audio in (AUDIO, OTHER_AUDIO):
        await client.start()
        await client.append(audio)
        await client.end()
    assert [(await client.turn()).deltas for _ in range(2)] == [expected(AUDIO), expected(OTHER_AUDIO)]


async def test_turns_follow_each_other_on_one_connection(client: Client) -> None:
    texts = [(await client.say(audio)).done["text"] for audio in (AUDIO, OTHER_AUDIO, AUDIO)]
    assert texts == ["".join(expected(audio)) for audio in (AUDIO, OTHER_AUDIO, AUDIO)]


async def test_a_second_start_within_a_turn_is_ignored(client: Client) -> None:
    await client.start()
    await client.append(AUDIO)
    await client.start()
    await client.end()
    first = await client.turn()
    assert (first.deltas, (await client.say(OTHER_AUDIO)).deltas) == (expected(AUDIO), expected(OTHER_AUDIO))


async def test_an_end_without_a_turn_is_refused_and_the_next_turn_is_whole(client: Client) -> None:
    await client.end()
    refused = await client.event()
    assert (refused["type"], refused["code"]) == ("error", "invalid_event")
    assert (await client.say(AUDIO)).deltas == expected(AUDIO)


async def test_a_turn_needs_the_model_named(address: str) -> None:
    async with connected(address, greet=False) as client:
        await client.event()
        await client.start()
        assert (await client.event())["code"] == "model_not_validated"


async def test_an_unknown_model_is_refused(address: str) -> None:
    async with connected(address, greet=False) as client:
        await client.event()
        await client.name_model("another")
        assert (await client.event())["code"] == "model_not_found"


async def test_an_empty_model_name_means_any(address: str) -> None:
    async with connected(address, greet=False) as client:
        await client.event()
        await client.name_model("")
        assert (await client.say(AUDIO)).deltas == expected(AUDIO)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_json"),
        ('{"type":"input_audio_buffer.clear"}', "unknown_event"),
        ('{"type":"session.update"}', "invalid_event"),
        ('{"type":"input_audio_buffer.append","audio":""}', "invalid_audio"),
        ('{"type":"input_audio_buffer.append","audio":"AA=="}', "invalid_audio"),
        ('{"type":"input_audio_buffer.append","audio":"?"}', "invalid_audio"),
    ],
)
async def test_a_wrong_message_gets_its_error_and_the_session_goes_on(client: Client, message: str, code: str) -> None:
    await client.socket.send_str(message)
    assert (await client.event())["code"] == code
    assert (await client.say(AUDIO)).deltas == expected(AUDIO)


async def test_a_binary_frame_gets_an_error_and_close_1003(client: Client) -> None:
    await client.socket.send_bytes(AUDIO)
    assert (await client.event())["parley"]["code"] == "binary-frame"
    assert await client.close_code() == 1003


async def test_a_message_over_16_mib_closes_with_1009(client: Client) -> None:
    await client.socket.send_str("x" * (16 * 2**20 + 2))
    assert await client.close_code() == 1009


async def test_too_many_waiting_turns_end_the_session(client: Client) -> None:
    for _ in range(9):
        await client.append(AUDIO[:320])
        await client.end()
    assert (await client.event())["parley"]["code"] == "too-many-turns"
    assert await client.close_code() == 1008


async def test_a_session_too_many_gets_503_before_the_upgrade(address: str) -> None:
    async with connected(address), connected(address), connected(address), aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{address}/v1/realtime")
        async with http.get(f"{address}/metrics") as response:
            metrics = values(await response.text())
    assert (refused.value.status, refused.value.headers and refused.value.headers["Retry-After"]) == (503, "5")
    assert metrics['parley_engine_refusals_total{reason="capacity"}'] == 1


async def test_a_session_that_ended_makes_room(address: str) -> None:
    for _ in range(5):
        async with connected(address) as client:
            assert (await client.say(AUDIO)).done["text"]


async def test_audio_over_the_bound_before_the_start_ends_the_session() -> None:
    async with serving(dataclasses.replace(OPTIONS, buffered_audio_max_s=3.0)) as address, connected(address) as client:
        await client.append(AUDIO * 2)
        assert (await client.event())["parley"]["code"] == "input-overflow"
        assert await client.close_code() == 1009


async def test_audio_over_the_bound_in_a_turn_is_held_back_and_not_lost() -> None:
    long = AUDIO * 40
    async with serving(dataclasses.replace(OPTIONS, buffered_audio_max_s=3.0)) as address, connected(address) as client:

        async def talk() -> None:
            await client.start()
            for start in range(0, len(long), 32_000):
                await client.append(long[start : start + 32_000])
            await client.end()

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            turn = await client.turn()
    assert turn.deltas == expected(long)


async def test_an_idle_session_is_told_and_closed() -> None:
    options = dataclasses.replace(OPTIONS, idle_timeout_s=0.05)
    async with serving(options) as address, connected(address, greet=False) as client:
        await client.event()
        assert (await client.event())["type"] == "error"
        assert await client.close_code() == 1001


async def test_many_sessions_at_once_keep_their_audio_apart(address: str) -> None:
    async def one(audio: bytes) -> list[str]:
        async with connected(address) as client:
            return (await client.say(audio)).deltas

    audios = [AUDIO, OTHER_AUDIO, AUDIO[:20_000]]
    assert await asyncio.gather(*map(one, audios)) == list(map(expected, audios))


async def test_a_client_that_leaves_in_mid_turn_frees_its_place(address: str) -> None:
    async with connected(address) as client:
        await client.start()
        await client.append(AUDIO)
        await client.event()
    async with connected(address), connected(address), connected(address) as last:
        assert (await last.say(AUDIO)).deltas == expected(AUDIO)


async def test_a_failing_engine_ends_the_session_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ScriptedTranscriber, behind_s: float = 0.0) -> list[str]:
        raise RuntimeError("secret")

    async with serving(OPTIONS) as address, connected(address) as client:
        monkeypatch.setattr(ScriptedTranscriber, "step", fail)
        await client.start()
        await client.append(AUDIO)
        event = await client.event()
        assert (event["parley"]["code"], "secret" in event["error"]) == ("internal-error", False)
        assert await client.close_code() == 1011


async def test_going_away_is_said_before_close_1012() -> None:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve_engine(OPTIONS, ready.set_result))
    address = f"http://127.0.0.1:{await asyncio.wait_for(ready, WAIT_S)}"
    async with connected(address) as client:
        await client.start()
        os.kill(os.getpid(), signal.SIGTERM)
        event = await client.event()
        assert (event["parley"]["code"], await client.close_code()) == ("shutting-down", 1012)
    await asyncio.wait_for(server, WAIT_S)


def values(exposition: str) -> dict[str, float]:
    """Samples by name and labels."""
    found = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_the_routes_beside_the_protocol_answer(address: str) -> None:
    async with connected(address) as client, aiohttp.ClientSession() as http:
        await client.say(AUDIO)
        async with http.get(f"{address}/health") as health, http.get(f"{address}/v1/models") as models:
            served = (await models.json())["data"][0]["id"]
            alive = health.status
        async with http.get(f"{address}/version") as version, http.get(f"{address}/metrics") as metrics:
            engine = (await version.json())["engine"]
            counted = values(await metrics.text())
    assert (alive, served, engine) == (200, "test-model", "scripted")
    assert counted["parley_engine_sessions"] == 1
    assert counted["parley_engine_turns_total"] == 1
    assert counted["parley_engine_deltas_total"] == deltas_of_turn(32_000)
    assert counted["parley_engine_audio_seconds_total"] == pytest.approx(2.0)


async def test_plain_http_on_the_realtime_route_is_a_bad_request(address: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{address}/v1/realtime") as response:
        assert (response.status, (await response.json())["error"]["parley"]["code"]) == (400, "bad-request")


async def test_an_unsolicited_done_can_be_planned() -> None:
    plan = FaultPlan(done_after_deltas=5)
    async with serving(dataclasses.replace(OPTIONS, faults=plan)) as address, connected(address) as client:
        await client.start()
        await client.append(AUDIO)
        turn = await client.turn()
    assert (turn.deltas, turn.done["usage"]["completion_tokens"]) == (expected(AUDIO)[:5], 5)


async def test_an_error_in_mid_turn_can_be_planned_and_happens_once() -> None:
    plan = FaultPlan(error_after_deltas=5)
    async with serving(dataclasses.replace(OPTIONS, faults=plan)) as address, connected(address) as client:
        await client.start()
        await client.append(AUDIO)
        failed = await client.turn()
        again = await client.say(OTHER_AUDIO)
    assert (len(failed.deltas), failed.done["code"], again.deltas) == (5, "processing_error", expected(OTHER_AUDIO))


async def test_a_mute_stream_can_be_planned() -> None:
    plan = FaultPlan(mute_after_deltas=8)
    async with serving(dataclasses.replace(OPTIONS, faults=plan)) as address, connected(address) as client:
        turn = await client.say(AUDIO)
    assert turn.deltas == expected(AUDIO)[:8] + [""] * (deltas_of_turn(32_000) - 8)


async def test_a_stalled_stream_can_be_planned_and_stays_connected() -> None:
    plan = FaultPlan(stall_after_deltas=8)
    async with serving(dataclasses.replace(OPTIONS, faults=plan)) as address, connected(address) as client:
        await client.start()
        await client.append(AUDIO)
        deltas = [await client.event() for _ in range(8)]
        await client.socket.send_str("{")
        assert (len(deltas), (await client.event())["code"]) == (8, "invalid_json")


async def test_a_turn_over_the_models_length_ends_with_done_unasked() -> None:
    async with serving(dataclasses.replace(OPTIONS, max_model_len=64)) as address, connected(address) as client:
        await client.start()
        await client.append(AUDIO * 2)
        turn = await client.turn()
    assert (turn.deltas, turn.done["usage"]["total_tokens"]) == (expected(AUDIO * 2)[:25], 64)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"max_sessions": 0}, "max_sessions"),
        ({"decode_threads": -1}, "decode_threads"),
        ({"buffered_audio_max_s": 1.0}, "buffered_audio_max_s"),
        ({"max_model_len": 63}, "max_model_len"),
        ({"idle_timeout_s": -1.0}, "idle_timeout_s"),
    ],
)
def test_an_option_out_of_range_is_named(change: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(OPTIONS, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "listed"), [("", "scripted"), ("mine", "mine")])
async def test_a_server_lists_the_name_it_was_given_or_the_engines_own_and_its_limit(given: str, listed: str) -> None:
    options = dataclasses.replace(OPTIONS, model_name=given, max_model_len=tokens_of(100.0))
    async with serving(options) as address, aiohttp.ClientSession() as http, http.get(f"{address}/v1/models") as answer:
        (model,) = (await answer.json())["data"]
    assert (model["id"], model["max_model_len"]) == (listed, 39 + 1_250)
