"""A client that does not read its results: held back, joined, and in the end cut off."""

from tests.support.client import code_of
from tests.support.fake_vllm import FakeConnection, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.raw import RawSocket, text_frame
from tests.support.sound import encoded, pcm

SOME_TEXT = "x" * 1_000
# Small, so that a client that does not read is felt after kilobytes instead of megabytes.
SMALL = {"write_buffer_max_bytes": 1_024}


async def talking(gateway: RunningGateway, vllm: FakeVllm) -> tuple[RawSocket, FakeConnection]:
    """A session in a turn, whose client has a small receive buffer and reads nothing from now on."""
    socket = await gateway.raw(receive_buffer_bytes=4_096)
    await socket.upgrade()
    await socket.frame()
    socket.send(text_frame("session.update", model=""))
    socket.send(text_frame("input_audio_buffer.commit"))
    socket.send(text_frame("input_audio_buffer.append", audio=encoded(pcm(1.0))))
    leg = await vllm.session()
    leg.hold_model()
    await leg.until_samples(16_000)
    return socket, leg


async def say_until_cut(leg: FakeConnection) -> None:
    """Go on talking, no faster than the gateway takes it, until it has closed the leg."""
    while not leg.is_lost:
        for _ in range(50):
            leg.send_event("transcription.delta", delta=SOME_TEXT)
        await leg.until_read()


async def test_what_a_client_did_not_read_in_time_comes_joined_and_complete(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(server=SMALL, session={"output_max_bytes": 2**24})
    vllm.speech = lambda _turn, _step: ""
    socket, leg = await talking(gateway, vllm)
    # More than the kernels hold between them.
    said = [f" {number}{SOME_TEXT}" for number in range(8_000)]
    for text in said:
        leg.send_event("transcription.delta", delta=text)
    await leg.until_read()
    got, messages = "", 0
    while not got.endswith(said[-1]):
        got += (await socket.frame()).event["delta"]
        messages += 1
    assert got == "".join(said)
    assert messages < len(said)


async def test_a_client_that_reads_again_goes_on_as_before(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server=SMALL, session={"output_max_bytes": 2**24})
    vllm.speech = lambda _turn, step: SOME_TEXT * 100
    socket, leg = await talking(gateway, vllm)
    for _ in range(200):
        leg.send_event("transcription.delta", delta=SOME_TEXT * 20)
    await leg.until_read()
    got = 0
    while got < 200 * 20_000:
        got += len((await socket.frame()).event["delta"])
    socket.send(text_frame("input_audio_buffer.append", audio=encoded(pcm(1.0))))
    await leg.until_samples(32_000)
    leg.send_event("transcription.delta", delta=" live")
    assert (await socket.frame()).event["delta"] == " live"


async def test_a_client_that_never_reads_is_cut_off_and_its_leg_closed(
    start_gateway: GatewayStarter, vllm: FakeVllm, log: LogWatch
) -> None:
    gateway = await start_gateway(server=SMALL, session={"output_max_bytes": 65_536})
    socket, leg = await talking(gateway, vllm)
    await say_until_cut(leg)
    assert any("slow-client" in message for message in log.messages)
    socket.abort()


async def test_a_client_that_reads_too_late_still_learns_why_it_was_cut_off(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(server=SMALL, session={"output_max_bytes": 65_536})
    socket, leg = await talking(gateway, vllm)
    await say_until_cut(leg)
    before, close = await socket.until_close()
    assert code_of(before[-1].event) == "slow-client"
    assert (close.close_code, close.payload[2:]) == (1008, b"slow-client")


async def test_others_are_served_while_one_does_not_read(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server=SMALL, session={"output_max_bytes": 2**24})
    socket, leg = await talking(gateway, vllm)
    for _ in range(200):
        leg.send_event("transcription.delta", delta=SOME_TEXT * 20)
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert (await client.result()).startswith(" t0w0")
    socket.abort()
