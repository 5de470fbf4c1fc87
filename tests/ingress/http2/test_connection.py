"""A request and its answer over one connection, with the client's view of them."""

import pytest

from tests.support.http2 import Http2Client, echoing, listening, tls_contexts


async def test_what_a_client_sends_reaches_the_handler_and_the_answer_the_client() -> None:
    recorder = echoing()
    async with listening(recorder) as (_, port), Http2Client(port) as client:
        stream = client.open("/echo?x=1", {"x-field": "value"})
        assert await stream.head() == (200, {})
        await stream.send(b"hello", end_stream=True)
        assert await stream.read_all() == b"hello"


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_a_large_echo_over_tls_arrives_whole() -> None:
    server, trusting = tls_contexts()
    async with listening(echoing(), ssl_context=server) as (_, port), Http2Client(port, ssl_context=trusting) as client:
        stream = client.open("/")
        data = bytes(range(256)) * 16_384
        await stream.send(data, end_stream=True)
        assert await stream.read_all() == data
