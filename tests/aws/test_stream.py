"""A stream through AWS's own SDK: messages both ways, every kind of end, and nothing that hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from parley.aws.address import EndpointAddress
from parley.aws.client import AwsClient
from parley.aws.failure import AwsError
from parley.aws.options import AwsOptions
from parley.aws.stream import StreamEnd
from parley.wire.payload_part import encode_part
from tests.support.sagemaker import Handler, SageMakerDouble, ServerStream
from tests.support.waiting import Changes, bounded

ADDRESS = EndpointAddress("parley")


class Heard:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.binary = 0
        self.blocks: list[bool] = []
        self.end: StreamEnd | None = None
        self.changes = Changes()

    def message_received(self, message: bytes, *, is_text: bool) -> None:
        self.messages.append(message)
        self.binary += not is_text
        self.changes.notify()

    def writing_blocked(self) -> None:
        self.blocks.append(True)
        self.changes.notify()

    def writing_unblocked(self) -> None:
        self.blocks.append(False)
        self.changes.notify()

    def stream_ended(self, end: StreamEnd) -> None:
        self.end = end
        self.changes.notify()

    async def until_messages(self, count: int) -> None:
        await self.changes.until(f"{count} messages", lambda: len(self.messages) >= count)

    async def until_end(self) -> AwsError | None:
        await self.changes.until("the end", lambda: self.end is not None)
        assert self.end is not None
        return self.end.error


@asynccontextmanager
async def serving(handler: Handler, folder: Path, **options: Any) -> AsyncIterator[tuple[SageMakerDouble, AwsClient]]:
    async with SageMakerDouble(handler, folder) as server:
        client = AwsClient(AwsOptions(endpoint_url=server.url, ca_file=str(server.ca_file), **options))
        try:
            yield server, client
        finally:
            await bounded("the client closes", client.close())


async def echo(stream: ServerStream) -> None:
    stream.open()
    while (message := await stream.receive()) is not None:
        await stream.say(message)
    stream.end()


async def mute(stream: ServerStream) -> None:
    stream.open()
    await stream.until_ended()


async def error_of(client: AwsClient, address: EndpointAddress = ADDRESS, **options: Any) -> AwsError:
    with pytest.raises(AwsError) as caught:
        await bounded("the refusal", client.open(address, Heard(), **options))
    return caught.value


async def test_messages_go_both_ways_and_the_end_is_proven(tmp_path: Path) -> None:
    heard = Heard()
    async with serving(echo, tmp_path) as (server, client):
        stream = await client.open(ADDRESS, heard)
        for number in range(100):
            stream.send(b"message %d" % number)
        await heard.until_messages(100)
        await stream.close()
    assert heard.messages == [b"message %d" % number for number in range(100)]
    assert (server.streams[0].has_ended, server.streams[0].is_proven) == (True, True)
    assert all(part.is_text and part.is_complete for part in server.streams[0].parts)


async def test_each_stream_has_a_connection_of_its_own(tmp_path: Path) -> None:
    sinks = [Heard() for _ in range(3)]
    async with serving(echo, tmp_path) as (server, client):
        streams = [await client.open(ADDRESS, sink) for sink in sinks]
        assert len(server.connections) == 3
        await streams[0].close()
        server.streams[1].connection.abort()
        streams[2].send(b"still here")
        await sinks[2].until_messages(1)
        error = await sinks[1].until_end()
        for stream in streams[1:]:
            await stream.abort()
    assert error is not None
    assert error.code == "connection-lost"


async def test_a_connection_that_is_going_away_keeps_its_stream(tmp_path: Path) -> None:
    heard = Heard()
    async with serving(echo, tmp_path) as (server, client):
        stream = await client.open(ADDRESS, heard)
        server.connections[0].go_away()
        stream.send(b"hello")
        await heard.until_messages(1)
        await stream.close()


async def test_variant_path_and_query_are_what_the_server_is_asked_for(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as (server, client):
        address = EndpointAddress("My-Endpoint", variant="blue", path="v1/realtime")
        stream = await client.open(address, Heard(), query="resume=1&empty_deltas=true")
        await stream.abort()
        (asked,) = server.streams
        assert asked.endpoint == "My-Endpoint"
        assert asked.headers["x-amzn-sagemaker-target-variant"] == "blue"
        assert asked.headers["x-amzn-sagemaker-model-invocation-path"] == "v1/realtime"
        assert asked.query == "resume=1&empty_deltas=true"
        assert "/eu-central-1/sagemaker/aws4_request" in asked.headers["authorization"]


async def test_a_message_in_parts_arrives_whole(tmp_path: Path) -> None:
    async def in_parts(stream: ServerStream) -> None:
        await stream.write(encode_part(b"one ", is_complete=False))
        await stream.write(encode_part(b"two ", is_complete=False))
        await stream.write(encode_part(b"three"))
        await stream.write(encode_part(b"\x00", is_text=False))
        stream.end()

    heard = Heard()
    async with serving(in_parts, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        assert await heard.until_end() is None
        await stream.close()
    assert heard.messages == [b"one two three", b"\x00"]
    assert heard.binary == 1


async def test_parts_beyond_what_a_message_may_have_end_the_stream(tmp_path: Path) -> None:
    async def endless(stream: ServerStream) -> None:
        for _ in range(64):
            await stream.write(encode_part(bytes(1_024), is_complete=False))

    heard = Heard()
    async with serving(endless, tmp_path, message_max_bytes=8_192) as (_, client):
        stream = await client.open(ADDRESS, heard)
        error = await heard.until_end()
        await stream.close()
    assert error is not None
    assert error.code == "connection-lost"
    assert "8192" in error.message


# ---- ends


async def test_an_end_without_a_word_is_one(tmp_path: Path) -> None:
    async def ending(stream: ServerStream) -> None:
        await stream.say(b"bye")
        stream.end()

    heard = Heard()
    async with serving(ending, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        assert await heard.until_end() is None
        assert heard.messages == [b"bye"]
        assert stream.is_over
        await stream.close()


@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_a_server_that_vanishes_is_told_from_one_that_ends(kind: str, tmp_path: Path) -> None:
    async def vanishing(stream: ServerStream) -> None:
        await stream.say(b"hello")
        await stream.receive()
        if kind == "reset":
            stream.reset()
        else:
            stream.connection.abort()

    heard = Heard()
    async with serving(vanishing, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        await heard.until_messages(1)
        stream.send(b"go")
        error = await heard.until_end()
        await bounded("the close", stream.close())
    assert error is not None
    assert (error.code, error.fault, error.retry) == ("connection-lost", "server", "new-session")


async def test_parleys_own_code_comes_back_as_it_is(tmp_path: Path) -> None:
    async def failing(stream: ServerStream) -> None:
        await stream.say(b"last words")
        await stream.fail("The session has ended.", "expired")

    heard = Heard()
    async with serving(failing, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        error = await heard.until_end()
        await stream.close()
    assert heard.messages == [b"last words"]
    assert error is not None
    assert (error.code, error.message, error.fault) == ("expired", "The session has ended.", "client")


async def test_another_exception_of_the_stream_is_named_and_its_words_stay_out_of_logs(tmp_path: Path) -> None:
    async def failing(stream: ServerStream) -> None:
        await stream.fail("what nobody else may read", "ModelInvocationTimeExceeded")

    heard = Heard()
    async with serving(failing, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        error = await heard.until_end()
        await stream.close()
    assert error is not None
    assert error.code == "container-closed"
    assert "ModelInvocationTimeExceeded" in error.message
    assert "nobody else" in error.message
    assert "nobody else" not in str(error)


async def test_a_failure_of_sagemakers_is_not_the_containers(tmp_path: Path) -> None:
    async def failing(stream: ServerStream) -> None:
        await stream.break_down("Something broke.")

    heard = Heard()
    async with serving(failing, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        error = await heard.until_end()
        await stream.close()
    assert error is not None
    assert (error.code, error.fault, error.retry) == ("container-closed", "server", "new-session")


async def test_bytes_that_are_no_events_end_the_stream(tmp_path: Path) -> None:
    async def babbling(stream: ServerStream) -> None:
        await stream.write(b"\x00" * 64)
        await stream.until_ended()

    heard = Heard()
    async with serving(babbling, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        error = await heard.until_end()
        await stream.close()
    assert error is not None
    assert error.code == "connection-lost"


# ---- what doesn't hang


async def test_nothing_hangs_when_the_server_takes_no_more(tmp_path: Path) -> None:
    async def full(stream: ServerStream) -> None:
        stream.takes_credit = False
        stream.open()
        await stream.until_ended()

    heard = Heard()
    async with serving(full, tmp_path, close_timeout_s=0.2) as (_, client):
        stream = await client.open(ADDRESS, heard)
        for _ in range(40):
            stream.send(bytes(16_384))
        assert heard.blocks == [True]
        assert stream.is_blocked
        await bounded("the close", stream.close())
    assert heard.end is None


async def test_a_server_that_takes_nothing_for_long_is_lost(tmp_path: Path) -> None:
    async def full(stream: ServerStream) -> None:
        stream.takes_credit = False
        stream.open()
        await stream.until_ended()

    heard = Heard()
    async with serving(full, tmp_path, write_stall_timeout_s=0.2, close_timeout_s=0.2) as (server, client):
        stream = await client.open(ADDRESS, heard)
        for _ in range(40):
            stream.send(bytes(16_384))
        error = await heard.until_end()
        await bounded("the close", stream.close())
        await server.streams[0].until_ended()
    assert error is not None
    assert "took nothing" in error.message
    assert server.streams[0].is_cut


async def test_a_writer_that_does_not_wait_is_cut_off(tmp_path: Path) -> None:
    heard = Heard()
    async with serving(mute, tmp_path, send_max_bytes=100_000) as (_, client):
        stream = await client.open(ADDRESS, heard)
        stream.send(bytes(60_000))
        stream.send(bytes(60_000))
        error = await heard.until_end()
        await stream.close()
    assert error is not None
    assert error.code == "connection-lost"


async def test_a_writer_is_told_when_it_may_go_on(tmp_path: Path) -> None:
    heard = Heard()
    async with serving(mute, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        for _ in range(20):
            stream.send(bytes(16_384))
        await heard.changes.until("it may go on", lambda: heard.blocks == [True, False])
        await stream.abort()


async def test_a_reader_that_pauses_stalls_the_server_within_a_window(tmp_path: Path) -> None:
    said = 0

    async def talking(stream: ServerStream) -> None:
        nonlocal said
        for number in range(200):
            await stream.say(b"%04d" % number + bytes(8_192))
            said = number + 1
        stream.end()

    heard = Heard()
    async with serving(talking, tmp_path) as (_, client):
        stream = await client.open(ADDRESS, heard)
        stream.pause_reading()
        assert not stream.is_reading
        await asyncio.sleep(0)
        seen = -1
        async with asyncio.timeout(20):
            # The windows are full when nothing more happens; nobody is told of that.
            while seen != said or said == 0:
                seen = said
                await asyncio.sleep(0.05)
        assert said < 30
        stream.resume_reading()
        assert await heard.until_end() is None
        await stream.close()
    assert [int(message[:4]) for message in heard.messages] == list(range(200))


async def test_a_stream_that_is_aborted_is_no_end_of_the_input_and_the_others_go_on(tmp_path: Path) -> None:
    first, second = Heard(), Heard()
    async with serving(echo, tmp_path) as (server, client):
        one, other = await client.open(ADDRESS, first), await client.open(ADDRESS, second)
        await one.abort()
        await server.streams[0].until_ended()
        assert (server.streams[0].is_cut, server.streams[0].has_ended) == (True, False)
        other.send(b"still here")
        await second.until_messages(1)
        await other.close()
    assert first.end is None


async def test_a_stream_that_is_dropped_is_seen_to_by_its_client(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as (server, client):
        stream = await client.open(ADDRESS, Heard())
        stream.drop()
        assert stream.is_over
        stream.send(b"nobody hears this")
        await server.streams[0].until_ended()
    assert server.streams[0].is_cut


async def test_who_stops_waiting_for_a_stream_leaves_nothing_behind(tmp_path: Path) -> None:
    async def silent(stream: ServerStream) -> None:
        await stream.until_ended()

    async with serving(silent, tmp_path) as (server, client):
        opening = asyncio.create_task(client.open(ADDRESS, Heard()))
        await server.until_streams(1)
        opening.cancel()
        await bounded("the cancellation", asyncio.wait((opening,)))
        await server.streams[0].until_ended()
        assert opening.cancelled()


# ---- refusals


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async def silent(stream: ServerStream) -> None:
        await stream.until_ended()

    async with serving(silent, tmp_path) as (server, client):
        error = await error_of(client, timeout_s=0.3)
        assert f"localhost:{server.port} did not answer in time" in error.message
    assert (error.code, error.retry) == ("connect-failed", "new-session")


@pytest.mark.parametrize(
    ("status", "name", "fields", "code", "retry"),
    [
        (
            400,
            "InputValidationError",
            {"Message": "No such.", "ErrorCode": "endpoint-not-found"},
            "endpoint-not-found",
            "never",
        ),
        (400, "ValidationException", {"message": "Endpoint x of account 1 not found."}, "endpoint-not-found", "never"),
        (400, "InputValidationError", {"Message": "Bad path."}, "bad-request", "never"),
        (424, "ModelError", {"OriginalStatusCode": 404, "OriginalMessage": "nope"}, "container-refused", "new-session"),
        (424, "ModelError", {"ErrorCode": "upstream-unavailable"}, "upstream-unavailable", "new-session"),
        (500, "InternalServerError", {"Message": "Oops."}, "connect-refused", "new-session"),
        (503, "ServiceUnavailableError", {"Message": "Later."}, "at-capacity", "new-session"),
        (429, "ThrottlingException", {"message": "Rate exceeded"}, "at-capacity", "new-session"),
        (403, "ExpiredTokenException", {"message": "Expired."}, "expired-credentials", "new-session"),
        (403, "InvalidSignatureException", {"message": "The signature does not match."}, "invalid-signature", "never"),
        (
            403,
            "InvalidSignatureException",
            {"message": "Signature expired: 1 is now earlier"},
            "clock-skew",
            "new-session",
        ),
        (403, "UnrecognizedClientException", {"message": "The token is invalid."}, "unknown-credentials", "never"),
        (403, "AccessDeniedException", {"Message": "Not you."}, "access-denied", "never"),
        (418, "TeapotException", {"Message": "Short and stout."}, "connect-refused", "never"),
    ],
)
async def test_a_refusal_keeps_its_meaning(
    status: int, name: str, fields: dict[str, object], code: str, retry: str, tmp_path: Path
) -> None:
    async def refusing(stream: ServerStream) -> None:
        stream.refuse(status, name, **fields)

    async with serving(refusing, tmp_path) as (_, client):
        error = await error_of(client)
    assert (error.code, error.retry) == (code, retry)
    assert error.original_status == fields.get("OriginalStatusCode", 0)


async def test_nobody_listening_is_said_so(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as (server, _):
        url, ca_file = server.url, str(server.ca_file)
    client = AwsClient(AwsOptions(endpoint_url=url, ca_file=ca_file))
    error = await error_of(client)
    await client.close()
    assert error.code == "connect-failed"
    assert "Nothing listens" in error.message
