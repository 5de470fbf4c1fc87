"""WebSocket frames as they come: cut anywhere, joined, broken, or not of the protocol at all."""

import asyncio
import json

import pytest

from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.raw import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    RawSocket,
    frame,
    request,
    text_frame,
)
from tests.support.sound import encoded, pcm, pieces
from tests.support.voxtral import transcript

UPDATE = json.dumps({"type": "session.update", "model": MODEL}).encode()
UNKNOWN = json.dumps({"type": "unknown"}).encode()


async def opened(gateway: RunningGateway, path: str = "/v1/realtime") -> RawSocket:
    """A socket whose handshake is done and whose `session.created` has come."""
    socket = await gateway.raw()
    assert (await socket.upgrade(path)).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    return socket


def turn(audio: bytes) -> list[bytes]:
    """The frames of a whole turn."""
    return [
        frame(TEXT, UPDATE),
        text_frame("input_audio_buffer.commit"),
        *(text_frame("input_audio_buffer.append", audio=encoded(piece)) for piece in pieces(audio)),
        text_frame("input_audio_buffer.commit", final=True),
    ]


async def text_of_turn(socket: RawSocket) -> str:
    while True:
        received = await socket.frame()
        if received.opcode == PING:
            # At work a peer is asked how far away it is.
            continue
        event = received.event
        if event["type"] == "transcription.done":
            return str(event["text"])
        assert event["type"] == "transcription.delta", event


async def test_the_handshake_is_answered_as_the_rfc_computes_it(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    response = await socket.upgrade()
    assert response.status == 101
    assert response.headers["sec-websocket-accept"] == ACCEPT


async def test_neither_compression_nor_a_subprotocol_is_negotiated(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    response = await socket.upgrade(
        Sec_WebSocket_Extensions="permessage-deflate", Sec_WebSocket_Protocol="realtime, other"
    )
    assert response.status == 101
    assert "sec-websocket-extensions" not in response.headers
    assert "sec-websocket-protocol" not in response.headers


async def test_a_turn_is_taken_when_all_of_it_comes_in_one_segment(gateway: RunningGateway, vllm: FakeVllm) -> None:
    socket = await gateway.raw()
    audio = pcm(1.0)
    socket.send(b"".join([request("/v1/realtime", UPGRADE), *turn(audio)]))
    assert (await socket.response()).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    assert await text_of_turn(socket) == transcript(16_000)
    assert vllm.sessions[0].turns == [audio]


async def test_a_turn_is_taken_when_it_comes_byte_by_byte(gateway: RunningGateway, vllm: FakeVllm) -> None:
    socket = await gateway.raw()
    audio = pcm(0.05)
    stream = b"".join([request("/v1/realtime", UPGRADE), *turn(audio)])
    await socket.send_apart(*(stream[at : at + 1] for at in range(len(stream))))
    assert (await socket.response()).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    assert await text_of_turn(socket) == transcript(800)
    assert vllm.sessions[0].turns == [audio]


@pytest.mark.parametrize("path", ["/v1/realtime", "/invocations-bidirectional-stream"])
async def test_a_fragmented_message_is_one_message(gateway: RunningGateway, path: str) -> None:
    socket = await opened(gateway, path)
    message = json.dumps({"type": "session.update", "model": "é" * 300}).encode()
    # Cut within a character as well.
    cuts = [message[:1], b"", message[1:40], message[40:-7], message[-7:]]
    for index, piece in enumerate(cuts):
        opcode = TEXT if index == 0 else CONTINUATION
        await socket.send_apart(frame(opcode, piece, is_last=index == len(cuts) - 1))
    assert (await socket.frame()).event["code"] == "invalid_event"


async def test_fragments_of_a_binary_message_are_taken_on_the_sagemaker_route(gateway: RunningGateway) -> None:
    socket = await opened(gateway, "/invocations-bidirectional-stream")
    socket.send(frame(BINARY, UNKNOWN[:5], is_last=False) + frame(CONTINUATION, UNKNOWN[5:]))
    assert (await socket.frame()).event["code"] == "unknown_event"


async def test_a_turn_of_fragmented_messages_loses_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    audio = pcm(1.0)
    await client.start()
    for piece in pieces(audio):
        message = json.dumps({"type": "input_audio_buffer.append", "audio": encoded(piece)})
        await client.send_raw([message[:1], message[1:60], message[60:]])
    await client.finish()
    await client.result()
    assert vllm.sessions[0].turns == [audio]


async def test_a_ping_between_fragments_is_answered_at_once(gateway: RunningGateway) -> None:
    socket = await opened(gateway)
    socket.send(frame(TEXT, UNKNOWN[:5], is_last=False) + frame(PING, b"between"))
    pong = await socket.frame()
    assert (pong.opcode, pong.payload) == (PONG, b"between")
    socket.send(frame(CONTINUATION, UNKNOWN[5:]))
    assert (await socket.frame()).event["code"] == "unknown_event"


@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 125], ids=["empty", "short", "longest"])
async def test_a_ping_is_answered_with_its_payload(gateway: RunningGateway, payload: bytes) -> None:
    socket = await opened(gateway)
    socket.send(frame(PING, payload))
    pong = await socket.frame()
    assert (pong.opcode, pong.payload) == (PONG, payload)


async def test_a_pong_that_nobody_asked_for_is_ignored(gateway: RunningGateway) -> None:
    socket = await opened(gateway)
    socket.send(frame(PONG, b"unasked") + frame(TEXT, UNKNOWN))
    assert (await socket.frame()).event["code"] == "unknown_event"


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfe", b'{"type":"\xc3\x28"}', b'{"type":"input_audio_buffer.append","audio":"\xff\xff\xff\xff"}'],
    ids=["no text at all", "within JSON", "within audio"],
)
async def test_text_that_is_not_utf8_is_refused_with_the_fix(gateway: RunningGateway, payload: bytes) -> None:
    socket = await opened(gateway)
    socket.send(frame(TEXT, payload))
    event = (await socket.frame()).event
    assert event["parley"]["code"] == "invalid-json"
    assert "UTF-8" in event["error"]


BROKEN = {
    "an unmasked frame": frame(TEXT, UPDATE, is_masked=False),
    "an opcode that does not exist": frame(3, UPDATE),
    "a control frame that is too long": frame(PING, b"x" * 126),
    "a control frame in fragments": frame(PING, b"x", is_last=False),
    "a close frame of one byte": frame(CLOSE, b"x"),
    "a close code that does not exist": frame(CLOSE, (999).to_bytes(2)),
    "a length that is written too long": b"\x81\xfe\x00\x05" + b"\0\0\0\0hello",
    "HTTP after the handshake": request("/v1/realtime", UPGRADE),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_frames_that_break_the_protocol_end_the_session_with_1002(
    gateway: RunningGateway, vllm: FakeVllm, data: bytes
) -> None:
    socket = await opened(gateway)
    socket.send(data)
    _, close = await socket.until_close()
    assert close.close_code == 1002
    await socket.until_eof()
    await vllm.until_idle()


async def test_a_close_reason_that_is_not_utf8_ends_the_session_with_1007(gateway: RunningGateway) -> None:
    socket = await opened(gateway)
    socket.send(frame(CLOSE, (1000).to_bytes(2) + b"\xff"))
    _, close = await socket.until_close()
    assert close.close_code == 1007


async def test_a_frame_that_announces_too_much_is_refused_before_it_arrives(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    socket = await opened(gateway)
    socket.send(b"\x81\xff" + (2**40).to_bytes(8) + b"\0\0\0\0")
    _, close = await socket.until_close()
    assert close.close_code == 1009
    await vllm.until_idle()


async def test_fragments_that_add_up_to_too_much_end_the_session_saying_so(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    socket = await opened(gateway)
    for index in range(3):
        socket.send(frame(CONTINUATION if index else TEXT, b"x" * 30_000, is_last=False))
    before, close = await socket.until_close()
    assert before[-1].event["parley"]["code"] == "message-too-large"
    assert (close.close_code, close.payload[2:]) == (1009, b"message-too-large")


async def test_empty_fragments_without_end_end_the_session_too(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    socket = await opened(gateway)
    socket.send(frame(TEXT, b"{", is_last=False) + frame(CONTINUATION, is_last=False) * 2_000)
    before, close = await socket.until_close()
    assert before[-1].event["parley"]["code"] == "message-too-large"
    assert close.close_code == 1009


@pytest.mark.parametrize(
    "data",
    [
        frame(CONTINUATION, UNKNOWN),
        frame(TEXT, UNKNOWN[:5], is_last=False) + frame(TEXT, UNKNOWN),
        frame(TEXT, UNKNOWN[:5], is_last=False) + frame(BINARY, UNKNOWN),
    ],
    ids=["a continuation of nothing", "a message within a message", "a binary message within a text message"],
)
async def test_fragments_out_of_order_end_the_session_saying_so(
    gateway: RunningGateway, vllm: FakeVllm, data: bytes
) -> None:
    socket = await opened(gateway)
    socket.send(data)
    before, close = await socket.until_close()
    assert before[-1].event["parley"]["code"] == "bad-request"
    assert (close.close_code, close.payload[2:]) == (1008, b"bad-request")
    await vllm.until_idle()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4321])
async def test_a_close_frame_is_answered_with_its_code(gateway: RunningGateway, vllm: FakeVllm, code: int) -> None:
    socket = await opened(gateway)
    socket.send(frame(CLOSE, code.to_bytes(2) + b"done here"))
    before, close = await socket.until_close()
    assert [received for received in before if received.opcode != PING] == []
    assert close.close_code == code
    assert await socket.until_eof() == b""
    await vllm.until_idle()


async def test_a_close_frame_without_a_code_is_answered_with_1000(gateway: RunningGateway, vllm: FakeVllm) -> None:
    socket = await opened(gateway)
    socket.send(frame(CLOSE))
    _, close = await socket.until_close()
    assert close.close_code == 1000
    await socket.until_eof()
    await vllm.until_idle()


async def test_what_follows_a_close_frame_is_ignored(gateway: RunningGateway) -> None:
    socket = await opened(gateway)
    socket.send(frame(CLOSE, (1000).to_bytes(2)) + frame(TEXT, b"hello") + frame(TEXT, UPDATE))
    before, close = await socket.until_close()
    assert before == []
    assert close.close_code == 1000
    assert await socket.until_eof() == b""


async def test_a_client_that_shuts_its_sending_side_down_has_ended_the_session(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    socket = await opened(gateway)
    socket.shut_down()
    await socket.until_eof()
    await vllm.until_idle()


async def test_sessions_that_break_the_protocol_do_not_disturb_others(gateway: RunningGateway) -> None:
    client = await gateway.open()
    await client.start()
    await client.append(pcm(0.5))
    sockets = await asyncio.gather(*(opened(gateway) for _ in BROKEN))
    for socket, data in zip(sockets, BROKEN.values(), strict=True):
        socket.send(data)
        await socket.until_eof()
    await client.append(pcm(0.5))
    await client.finish()
    assert await client.result() == transcript(16_000)
