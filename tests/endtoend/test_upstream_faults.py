"""What becomes of a session when its model server fails, in every way that a model server fails."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from parley.core.errors import ERRORS
from tests.support.client import Client, Event
from tests.support.fake_vllm import MODEL, FakeConnection, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import Voxtral, transcript
from tests.support.waiting import BOUND_S


@dataclass(frozen=True)
class Fault:
    """What a model server does in the middle of a turn, and the error that the client gets."""

    do: Callable[[FakeConnection], None]
    code: str


def done_unasked(leg: FakeConnection) -> None:
    leg.send(Voxtral.done_event(leg.model.generations[-1]))


FAULTS = {
    "it dies": Fault(lambda leg: leg.abort(), "upstream-closed"),
    "it closes with 1000": Fault(lambda leg: leg.close(1000), "upstream-closed"),
    "it closes with 1011": Fault(lambda leg: leg.close(1011), "upstream-closed"),
    "it closes with 1012": Fault(lambda leg: leg.close(1012), "upstream-closed"),
    "it closes without a code": Fault(lambda leg: leg.close(), "upstream-closed"),
    "it ends the turn unasked": Fault(done_unasked, "upstream-truncated"),
    "it reports an error": Fault(
        lambda leg: leg.send_event("error", error="CUDA error", code="processing_error"), "upstream-error"
    ),
    "it reports that the model is gone": Fault(
        lambda leg: leg.send_event("error", error="gone", code="model_not_found"), "upstream-error"
    ),
    "it sends garbage": Fault(lambda leg: leg.send("garbage"), "upstream-protocol"),
    "it sends text that is not UTF-8": Fault(
        lambda leg: leg.send(b'{"type":"transcription.delta","delta":"\xff"}'), "upstream-protocol"
    ),
    "it sends half a delta": Fault(
        lambda leg: leg.send('{"type":"transcription.delta","delta":" half'), "upstream-protocol"
    ),
    "it sends an unknown event": Fault(lambda leg: leg.send_event("session.updated"), "upstream-protocol"),
    "it sends a binary frame": Fault(lambda leg: leg.send_binary(b"\x00"), "upstream-protocol"),
    "it sends what is no frame": Fault(lambda leg: leg.send_raw(b"\xff" * 9), "upstream-protocol"),
    "it sends a message without end": Fault(lambda leg: leg.send("x" * 4_200_000), "upstream-protocol"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_during_a_turn_costs_no_word_and_doubles_none(
    gateway: RunningGateway, vllm: FakeVllm, log: LogWatch, fault: Fault
) -> None:
    # picows calls it an error of its own when a model server breaks WebSocket.
    log.expect_errors("picows.client")
    client = await gateway.open()
    await client.start()
    await client.say(pcm(1.0))
    leg = await vllm.session()
    await leg.until_samples(16_000)
    fault.do(leg)
    await leg.until_lost()
    await client.finish()
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[1].turns == [pcm(1.0)]
    assert any(fault.code in message for message in log.messages)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_that_cannot_be_repaired_is_told_and_never_a_clean_end(
    start_gateway: GatewayStarter, vllm: FakeVllm, log: LogWatch, fault: Fault
) -> None:
    log.expect_errors("picows.client")
    gateway = await start_gateway(session={"recovery_timeout_s": 0.2})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(1.0))
    leg = await vllm.session()
    await leg.until_samples(16_000)
    vllm.refuses_with = 500
    fault.do(leg)
    await assert_told(client, "upstream-unavailable")
    await leg.until_lost()


AFTER_THE_END = {what: fault for what, fault in FAULTS.items() if fault.code != "upstream-truncated"}
"""There a `done` is what was asked for."""


@pytest.mark.parametrize("fault", AFTER_THE_END.values(), ids=AFTER_THE_END.keys())
async def test_a_fault_between_the_end_of_a_turn_and_its_text_costs_no_word_either(
    gateway: RunningGateway, vllm: FakeVllm, log: LogWatch, fault: Fault
) -> None:
    log.expect_errors("picows.client")
    client = await gateway.open()
    vllm.runs = False
    leg = await vllm.session()
    leg.hold_model()
    await client.send_turn(pcm(1.0))
    await leg.until_received("end")
    vllm.runs = True
    fault.do(leg)
    await leg.until_lost()
    assert await client.result() == transcript(16_000)


async def assert_told(client: Client, code: str) -> None:
    ending = await client.until_closed()
    assert ending.error_code == code
    assert ending.kinds.count("error") == 1
    assert "transcription.done" not in ending.kinds
    assert ending.events[-1]["error"].endswith(ERRORS[code].fix)
    assert ending.events[-1]["parley"]["retry"] == "new-session"
    assert (ending.code, ending.reason) == (ERRORS[code].ws_close, code)


# ---- the leg's opening


async def test_the_greeting_does_not_wait_for_the_model_server(gateway: RunningGateway, vllm: FakeVllm) -> None:
    vllm.holds_handshakes = True
    client = await gateway.connect()
    leg = await vllm.session()
    assert client.session_id.startswith("sess-")
    await client.name_model()
    await client.send_turn(pcm(1.0))
    leg.answer_handshake()
    assert await client.result() == transcript(16_000)
    assert leg.turns == [pcm(1.0)]


@pytest.mark.parametrize(
    ("status", "code"), [(401, "upstream-unavailable"), (403, "upstream-unavailable"), (503, "at-capacity")]
)
async def test_a_refused_handshake_is_told(gateway: RunningGateway, vllm: FakeVllm, status: int, code: str) -> None:
    vllm.refuses_with = status
    client = await gateway.connect()
    ending = await client.until_closed()
    assert ending.error_code == code
    assert (ending.code, ending.reason) == (1013, code)


@pytest.mark.parametrize("order", ["holds_handshakes", "greets"])
async def test_a_model_server_that_does_not_answer_is_told(
    start_gateway: GatewayStarter, vllm: FakeVllm, order: str
) -> None:
    setattr(vllm, order, order == "holds_handshakes")
    gateway = await start_gateway(upstream={"connect_timeout_s": 0.1})
    client = await gateway.connect()
    ending = await client.until_closed()
    assert ending.error_code == "upstream-unavailable"
    assert "0.1 s" in ending.events[-1]["error"]
    assert ending.code == 1013
    await vllm.until_idle()


async def test_a_model_server_that_hangs_up_is_told_at_once(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    vllm.hangs_up = True
    gateway = await start_gateway(upstream={"connect_timeout_s": BOUND_S * 2})
    client = await gateway.connect()
    assert (await client.until_closed()).error_code == "upstream-unavailable"


# ---- silence


async def test_a_model_that_is_mute_from_the_start_is_given_up(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    vllm.runs = False
    gateway = await start_gateway(session={"first_delta_timeout_s": 0.2, "flush_timeout_s": 0.2})
    client = await gateway.open()
    leg = await vllm.session()
    leg.hold_model()
    vllm.runs = True
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)
    await leg.until_lost()


async def test_a_turn_on_which_all_models_are_mute_fails_alone(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    vllm.runs = False
    gateway = await start_gateway(session={"flush_timeout_s": 0.1, "recovery_timeout_s": 0.4})
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await client.error() == "turn-failed"
    vllm.runs = True
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_a_model_that_falls_mute_is_given_up(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(session={"stall_timeout_s": 0.5})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(1.0))
    heard = await client.until("transcription.delta")
    vllm.sessions[0].hold_model()
    await client.say(pcm(2.0))
    await vllm.sessions[0].until_lost()
    await client.finish()
    assert await said_once(client, heard) == transcript(48_000)


async def test_a_model_that_does_not_end_the_turn_is_given_up(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(session={"flush_timeout_s": 0.2})
    client = await gateway.open()
    leg = await vllm.session()
    await client.start()
    await client.say(pcm(1.0))
    heard = await client.until("transcription.delta")
    leg.hold_model()
    await client.finish()
    assert await said_once(client, heard) == transcript(16_000)


async def said_once(client: Client, heard: list[Event]) -> str:
    """The text of a turn of which deltas have been heard, and which all of them have to add up to."""
    *deltas, done = heard + await client.until("transcription.done")
    assert "".join(event["delta"] for event in deltas) == done["text"]
    return str(done["text"])


async def test_a_model_server_that_reads_nothing_is_given_up(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(
        session={"first_delta_timeout_s": 0.2, "pace_window_s": 600.0, "journal_max_s": 700.0}
    )
    client = await gateway.open()
    leg = await vllm.session()
    leg.stop_reading()
    await client.send_turn(pcm(300.0), 128_000)
    assert await client.result() == transcript(300 * 16_000)
    leg.read_again()


async def test_a_client_that_pauses_is_not_taken_for_a_stall(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(
        session={
            "first_delta_timeout_s": 0.4,
            "stall_timeout_s": 0.4,
            "flush_timeout_s": 0.4,
            "recovery_timeout_s": 0.1,
        }
    )
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.5))
    # Another session, whose model is mute, tells when the time is over; twice.
    vllm.runs = False
    for _ in range(2):
        mute = await gateway.open()
        await mute.send_turn(pcm(1.0))
        assert await mute.error() == "turn-failed"
    await client.say(pcm(0.5))
    await client.finish()
    assert await client.result() == transcript(16_000)


# ---- between turns


@pytest.mark.parametrize(
    "lose",
    [
        lambda leg: leg.abort(),
        lambda leg: leg.close(1000),
        lambda leg: leg.close(1012),
        lambda leg: leg.send_event("error", error="restarting", code="processing_error"),
        lambda leg: leg.send("garbage"),
        lambda leg: leg.send_event("transcription.delta", delta=" late"),
        done_unasked,
    ],
    ids=["broken off", "closed 1000", "closed 1012", "an error", "garbage", "a delta", "a done"],
)
async def test_a_leg_lost_between_turns_is_replaced_unseen(
    gateway: RunningGateway, vllm: FakeVllm, lose: Callable[[FakeConnection], None]
) -> None:
    client = await gateway.open()
    for number in range(3):
        await client.send_turn(pcm(1.0, number))
        assert await client.result() == transcript(16_000)
        leg = vllm.sessions[number]
        lose(leg)
        await leg.until_lost()
    assert [leg.turns for leg in vllm.sessions] == [[pcm(1.0, number)] for number in range(3)]


async def test_a_leg_lost_before_the_first_turn_is_replaced_unseen(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    first = await vllm.session()
    await first.until_received(f"session.update {MODEL}")
    first.abort()
    await first.until_lost()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[1].turns == [pcm(1.0)]


async def test_a_leg_lost_between_turns_that_cannot_be_replaced_is_told(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(session={"recovery_timeout_s": 0.2})
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    await client.result()
    vllm.refuses_with = 500
    vllm.sessions[0].abort()
    await vllm.sessions[0].until_lost()
    await client.send_turn(pcm(1.0))
    assert (await client.until_closed()).error_code == "upstream-unavailable"


async def test_one_sessions_fault_is_no_others_business(gateway: RunningGateway, vllm: FakeVllm) -> None:
    unlucky = await gateway.open()
    await unlucky.start()
    await unlucky.say(pcm(0.5))
    await vllm.session(0)
    lucky = await gateway.open()
    await lucky.start()
    await lucky.say(pcm(0.5))
    await (await vllm.session(1)).until_samples(8_000)
    vllm.sessions[0].abort()
    await vllm.sessions[0].until_lost()
    for each in (lucky, unlucky):
        await each.say(pcm(0.5))
        await each.finish()
        assert await each.result() == transcript(16_000)
    assert len(vllm.sessions) == 3
