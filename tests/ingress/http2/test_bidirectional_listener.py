"""Streams of SageMaker's endpoint on a real connection: what one of them does is felt by no other."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from parley.access.gate import Gate
from parley.access.identity import RequestHead
from parley.access.sigv4.authenticator import SigV4Authenticator
from parley.core import events as ev
from parley.core.content import Text
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from parley.ingress.http2.limits import Http2Limits
from parley.wire.event_stream import Decoder
from parley.wire.payload_part import PayloadPart, StreamFailure, encode_part, parse_response
from tests.ingress.http2.streams import TARGET, Endpoint, Keys, StubContainer, part
from tests.server.http2_gateway import Http2Gateway
from tests.support.boto import signed_headers
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.http2 import ClientStream, Http2Client, listening
from tests.support.ingress import StubHost, StubSession
from tests.support.raw import UPGRADE, RawSocket, text_frame
from tests.support.signing import CREDENTIALS, EVENT_STREAM, Credentials, EventSigner, sign_request

pytestmark = pytest.mark.usefixtures("log")

HEADERS = {"content-type": EVENT_STREAM}
OTHER = Credentials("AKIDOFANOTHER", "not-a-secret-but-forty-characters-long-2")


class Responses:
    """An answer, decoded as it comes."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._received: list[PayloadPart | StreamFailure] = []

    async def next(self) -> PayloadPart | StreamFailure | None:
        while not self._received:
            data = await self._stream.read()
            if not data:
                return None
            self._received += [parse_response(message) for message in self._decoder.feed(data)]
        return self._received.pop(0)

    async def event(self) -> dict[str, object]:
        received = await self.next()
        assert isinstance(received, PayloadPart), received
        event = json.loads(received.data)
        assert isinstance(event, dict)
        return event

    async def until(self, kind: str) -> dict[str, object]:
        while (event := await self.event())["type"] != kind:
            pass
        return event


@asynccontextmanager
async def endpoint(
    host: StubHost | StubContainer, stream_limits: StreamLimits | None = None, limits: Http2Limits | None = None
) -> AsyncIterator[Http2Client]:
    """A client of a listener in front of this host."""
    bidirectional = Bidirectional(Endpoint(host), Gate(), stream_limits or StreamLimits())
    async with listening(bidirectional, limits) as (_, port), Http2Client(port) as client:
        yield client
        await bidirectional.close()


async def session_of(host: StubHost, index: int) -> StubSession:
    await host.session()
    return host.sessions[index]


async def test_a_broken_stream_ends_alone() -> None:
    host = StubHost()
    async with endpoint(host) as client:
        broken, sound = client.open(TARGET, HEADERS), client.open(TARGET, HEADERS)
        answers, other = Responses(broken), Responses(sound)
        await answers.event()
        await other.event()
        await broken.send(b"no event stream at all")
        assert (await answers.event())["type"] == "error"
        failure = await answers.next()
        assert isinstance(failure, StreamFailure)
        assert failure.code == "invalid-event-stream"
        assert await answers.next() is None
        await sound.send(part(b'{"type":"input_audio_buffer.commit"}'))
        session = await session_of(host, 1)
        await session.until(ev.TurnStarted)
        session.attachment.send_delta(Text(b'" still heard"'))
        assert (await other.event())["delta"] == " still heard"


async def test_a_paused_session_stalls_its_own_stream_alone() -> None:
    host = StubHost()
    async with endpoint(host) as client:
        paused, other = client.open(TARGET, HEADERS), client.open(TARGET, HEADERS)
        await Responses(paused).event()
        await Responses(other).event()
        session = await session_of(host, 0)
        session.attachment.pause_input()
        commit = part(b'{"type":"input_audio_buffer.commit"}')
        await paused.send(commit)
        await other.send(commit)
        await (await session_of(host, 1)).until(ev.TurnStarted)
        client.ping()
        await client.until_pong()
        assert session.events == []
        session.attachment.resume_input()
        await session.until(ev.TurnStarted)


async def test_an_error_before_the_stream_frees_a_client_that_still_sends() -> None:
    async with endpoint(StubHost()) as client:
        stream = client.open(TARGET, {"content-type": "text/plain"})
        status, headers = await stream.head()
        assert (status, headers["x-amzn-errortype"]) == (400, "InputValidationError")
        assert json.loads(await stream.read_all())["ErrorCode"] == "bad-request"
        assert await stream.until_reset() == ErrorCodes.NO_ERROR


async def test_a_client_that_does_not_read_its_end_is_cut() -> None:
    host = StubHost()
    async with endpoint(host, StreamLimits(close_timeout_s=0.05)) as client:
        stream = client.open(TARGET, HEADERS)
        stream.holds_credit = True
        session = await host.session()
        session.attachment.send_delta(Text(b'"%b"' % (b"x" * 300_000)))
        session.attachment.end(None)
        assert await stream.until_reset() == ErrorCodes.CANCEL


async def test_a_client_that_reads_its_end_is_not_cut() -> None:
    host = StubHost()
    async with endpoint(host, StreamLimits(close_timeout_s=0.05)) as client:
        stream, other = client.open(TARGET, HEADERS), client.open(TARGET, HEADERS)
        session = await host.session()
        session.attachment.end(None)
        await stream.read_all()
        # One that does not read is cut when the same time is over.
        other.holds_credit = True
        last = await session_of(host, 1)
        last.attachment.send_delta(Text(b'"%b"' % (b"x" * 300_000)))
        last.attachment.end(None)
        await other.until_reset()
        assert stream.reset_code in (None, ErrorCodes.NO_ERROR)


async def test_a_container_hears_frames_and_is_heard_in_both_directions_at_once() -> None:
    container = StubContainer()
    async with endpoint(container) as client:
        stream = client.open(TARGET, HEADERS)
        await stream.send(encode_part(b"before the answer", is_text=False))
        socket = await container.socket()
        assert (await stream.head())[0] == 200
        responses = Responses(stream)
        for number in range(3):
            data = str(number).encode() * 100_000
            socket.sink.frame_received(data, is_text=False, is_last=False)
            assert await responses.next() == PayloadPart(data, is_text=False, is_complete=False)
            await stream.send(encode_part(data))
        socket.sink.container_closed(1011, "engine died")
        failure = await responses.next()
        assert isinstance(failure, StreamFailure)
        assert "engine died" in failure.message
        assert [len(data) for data, _, _ in socket.frames][:1] == [len(b"before the answer")]


async def test_a_session_of_a_verified_key_goes_on_over_a_websocket_with_that_key(
    vllm: FakeVllm, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
        f'[[key]]\naccess_key_id = "{OTHER.access_key_id}"\nsecret_access_key = "{OTHER.secret_access_key}"\n'
    )
    gateway = Http2Gateway(vllm.url, access={"credentials_file": str(file)})
    await gateway.start()
    head = sign_request(authority="parley.test")
    headers = {name: value for name, value in head.headers if not name.startswith(":")}
    try:
        async with Http2Client(gateway.http2_port) as client:
            stream, signer = client.open(head.target, headers), EventSigner(head.seed)
            responses = Responses(stream)
            assert (await stream.head())[0] == 200
            await responses.until("session.created")
            opt_in = json.dumps({"type": "session.update", "model": MODEL, "parley": {"resume": True}})
            await stream.send(signer.sign(encode_part(opt_in.encode())))
            updated = await responses.until("session.updated")
            stream.reset()
            token = updated["resume"]["token"]  # type: ignore[index]
            for credentials, code in ((OTHER, "wrong-principal"), (CREDENTIALS, "")):
                socket = await gateway.raw()
                resumed = await take_up(socket, token, credentials)
                assert resumed == code
    finally:
        await gateway.close()


async def take_up(socket: RawSocket, token: str, credentials: Credentials) -> str:
    """The code of the refusal, or nothing."""
    target = "/v1/realtime?resume=1"
    headers = signed_headers(target, authority=UPGRADE["Host"], credentials=credentials)
    assert (await socket.upgrade(target, **headers)).status == 101
    await socket.frame()
    socket.send(text_frame("session.resume", token=token, seq=0))
    event = (await socket.frame()).event
    return str(event["parley"]["code"]) if event["type"] == "error" else ""


def test_the_principal_of_a_verified_key_is_that_of_one_that_is_only_read() -> None:
    head = sign_request()
    request = RequestHead(head.method, head.target, head.fields, signs_events=True)
    verified = SigV4Authenticator(Keys(), clock=time.time).authenticate(request)
    assert verified.caller.principal == Gate().identify(request).caller.principal != ""
    assert CREDENTIALS.access_key_id not in verified.caller.principal
