"""Connections whose first message decides which session they are for."""

import asyncio
import hashlib

import pytest

from parley.access.caller import NOBODY
from parley.core import events as ev
from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.ingress.attachment import OnFetched, SessionPort
from parley.ingress.threshold import Arrival, Threshold
from parley.ingress.websocket import SocketLimits
from tests.support.ingress import Listener, StubSession, listening
from tests.support.raw import CLOSE, PING, PONG, TEXT, RawSocket, frame, text_frame
from tests.support.seams import FakeAttachment
from tests.support.waiting import Changes, bounded

pytestmark = pytest.mark.usefixtures("log")

COMES_BACK = "/v1/realtime?resume=1"
BUSY = [
    ParleyError("at-capacity", retry_after_s=3.0),
    ParleyError("upstream-unavailable", retry_after_s=3.0),
    ParleyError("shutting-down", retry_after_s=3.0),
]
CLAIM = text_frame("session.resume", token="t0ken", seq=7)


async def waiting(listener: Listener, path: str = COMES_BACK, **headers: str) -> RawSocket:
    """A connection that has been greeted and has said nothing."""
    socket = await listener.connect()
    assert (await socket.upgrade(path, **headers)).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    return socket


async def resumed(listener: Listener) -> StubSession:
    """The session that a connection took up."""
    session = await listener.host.session()
    assert session.name.session_id == "sess-resumed"
    return session


# ---- for a session that exists


@pytest.mark.parametrize("busy", BUSY, ids=lambda error: error.code)
async def test_who_comes_back_is_let_in_although_no_session_could_begin(busy: ParleyError) -> None:
    async with listening() as listener:
        listener.host.refuses_check = listener.host.refuses_open = busy
        socket = await waiting(listener)
        socket.send(CLAIM)
        await resumed(listener)
        assert listener.host.claims == [("t0ken", 7, NOBODY)]


@pytest.mark.parametrize("busy", BUSY, ids=lambda error: error.code)
async def test_who_comes_back_and_begins_anew_is_refused_as_the_others_are(busy: ParleyError) -> None:
    async with listening() as listener:
        listener.host.refuses_check = listener.host.refuses_open = busy
        socket = await waiting(listener)
        socket.send(text_frame("session.update", model=""))
        (error,), close = await socket.until_close()
        assert error.event["parley"]["code"] == busy.code
        assert close.close_code == busy.spec.ws_close


async def test_whose_token_it_is_is_told_by_a_hash_of_the_credentials() -> None:
    async with listening() as listener:
        socket = await waiting(listener, Authorization="Bearer abc")
        socket.send(CLAIM)
        await resumed(listener)
        ((_, _, caller),) = listener.host.claims
        assert caller.principal == hashlib.sha256(b"Bearer abc").hexdigest()


async def test_whoever_signs_each_request_anew_is_known_by_their_access_key() -> None:
    principals = []
    for signature in ("0a", "0b"):
        async with listening() as listener:
            header = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu/x/aws4_request, Signature={signature}"
            socket = await waiting(listener, Authorization=header)
            socket.send(CLAIM)
            await resumed(listener)
            ((_, _, caller),) = listener.host.claims
            principals.append(caller.principal)
    assert principals == [hashlib.sha256(b"AKIDEXAMPLE").hexdigest()] * 2


async def test_a_session_begins_for_whoever_its_connection_belongs_to() -> None:
    async with listening() as listener:
        await waiting(listener, "/v1/realtime", Authorization="Bearer abc")
        anonymous = await waiting(listener, "/v1/realtime")
        begun, unnamed = (caller.principal for caller in listener.host.callers)
        assert (len(begun), unnamed) == (64, "")
        anonymous.send(CLAIM)
        await listener.host.claimed()
        assert listener.host.claims == [("t0ken", 7, NOBODY)]


async def test_a_session_that_was_begun_in_vain_is_dropped() -> None:
    async with listening() as listener:
        socket, begun = await listener.open()
        socket.send(CLAIM)
        await listener.host.claimed()
        assert begun.is_abandoned
        assert begun.events == []
        taken_up = listener.host.sessions[1]
        socket.send(frame(TEXT, b'{"type":"input_audio_buffer.append","audio":"AAE="}'))
        await taken_up.until(ev.AudioReceived)
        assert begun.events == []


async def test_a_refused_claim_ends_the_connection_with_its_reason() -> None:
    async with listening() as listener:
        listener.host.refuses_resume = ParleyError("expired")
        socket = await waiting(listener)
        socket.send(CLAIM)
        (error,), close = await socket.until_close()
        assert (error.event["parley"]["code"], close.close_code, close.payload[2:]) == ("expired", 4410, b"expired")
        assert listener.host.sessions == []


async def test_what_follows_a_refused_claim_is_not_taken() -> None:
    async with listening() as listener:
        listener.host.refuses_resume = ParleyError("expired")
        socket = await waiting(listener)
        socket.send(CLAIM + text_frame("session.update", model=""))
        await socket.until_close()
        assert listener.host.sessions == []


async def test_what_the_session_says_names_the_session_that_was_taken_up() -> None:
    async with listening() as listener:
        socket = await waiting(listener)
        socket.send(CLAIM)
        session = await resumed(listener)
        session.attachment.send_token("t0ken", 30.0)
        assert (await socket.frame()).event["id"] == "sess-resumed"


async def test_a_client_that_reads_nothing_is_known_as_such_to_the_session_that_it_takes_up() -> None:
    limits = SocketLimits(write_buffer_max_bytes=1_024)
    async with listening(socket_limits=limits) as listener:
        socket, begun = await listener.open()
        while not any(isinstance(event, ev.ClientBlocked) for event in begun.events):
            begun.attachment.send_delta(Text(b'"%b"' % (b"x" * 65_536)))
        socket.send(CLAIM)
        await listener.host.claimed()
        await listener.host.sessions[1].until(ev.ClientBlocked)


# ---- before the first message


async def test_a_first_message_that_never_comes_ends_the_connection() -> None:
    async with listening(socket_limits=SocketLimits(waiting_timeout_s=0.05)) as listener:
        socket = await waiting(listener)
        (error,), close = await socket.until_close()
        assert error.event["parley"]["code"] == "bad-request"
        assert "No message came within 0.05 s." in error.event["error"]
        assert close.close_code == 1008


async def test_a_connection_that_has_its_session_does_not_wait_any_longer() -> None:
    async with listening(socket_limits=SocketLimits(waiting_timeout_s=0.05, waiting_max=1)) as listener:
        first = await waiting(listener)
        first.send(CLAIM)
        await resumed(listener)
        # The witness waits as long as the first would have.
        witness = await waiting(listener)
        await witness.until_close()
        first.send(frame(PING, b"still there"))
        assert (await first.frame()).opcode == PONG


async def test_no_more_connections_wait_than_the_bound() -> None:
    async with listening(socket_limits=SocketLimits(waiting_max=1, waiting_timeout_s=5.0)) as listener:
        first = await waiting(listener)
        second = await listener.connect()
        refusal = await second.upgrade(COMES_BACK)
        assert (refusal.status, refusal.error["code"]) == (503, "at-capacity")
        assert refusal.headers["retry-after"] == "5"
        first.send(frame(CLOSE, (1000).to_bytes(2)))
        await first.until_eof()
        await waiting(listener)


async def test_a_connection_that_goes_while_it_waits_leaves_nothing_behind() -> None:
    async with listening() as listener:
        socket = await waiting(listener)
        socket.abort()
        await bounded("the listener closes", asyncio.create_task(listener.port.close()))
        assert listener.host.sessions == []


async def test_a_ping_is_answered_and_decides_nothing() -> None:
    async with listening() as listener:
        socket = await waiting(listener)
        socket.send(frame(PING, b"hello"))
        assert (await socket.frame()).payload == b"hello"
        assert listener.host.sessions == []
        socket.send(CLAIM)
        await resumed(listener)


@pytest.mark.parametrize("message", [b"hello", b'{"type":"session.resume"}', b'{"type":"session.resume","seq":-1}'])
async def test_a_first_message_that_is_wrong_is_the_begun_sessions_to_answer(message: bytes) -> None:
    async with listening() as listener:
        socket = await waiting(listener)
        socket.send(frame(TEXT, message))
        session = await listener.host.session()
        await session.until(ev.InputRejected)
        socket.send(CLAIM)
        await session.until_count(ev.InputRejected, 2)
        assert listener.host.claims == []


# ---- for a session that another server may have left


async def looked_for(listener: Listener) -> tuple[RawSocket, OnFetched]:
    """A connection whose session is looked for."""
    listener.host.looks_for_sessions = True
    socket = await waiting(listener)
    socket.send(CLAIM)
    on_done = await listener.host.fetch_begun()
    assert listener.host.claims == []
    return socket, on_done


async def test_a_session_is_taken_up_when_it_was_found() -> None:
    async with listening() as listener:
        _, on_done = await looked_for(listener)
        on_done(None)
        await resumed(listener)
        assert listener.host.claims == [("t0ken", 7, NOBODY)]


async def test_what_follows_meanwhile_is_the_sessions_afterwards() -> None:
    async with listening() as listener:
        socket, on_done = await looked_for(listener)
        socket.send(text_frame("session.ack", seq=3))
        on_done(None)
        session = await resumed(listener)
        await session.until(ev.OutputAcked)


async def test_why_it_can_not_be_had_is_told() -> None:
    async with listening() as listener:
        socket, on_done = await looked_for(listener)
        on_done(ParleyError("state-unsupported"))
        (error,), close = await socket.until_close()
        assert error.event["parley"]["code"] == "state-unsupported"
        assert close.close_code == 4426


async def test_why_it_is_not_even_looked_for_is_told() -> None:
    async with listening() as listener:
        listener.host.refuses_fetch = ParleyError("moved")
        socket = await waiting(listener)
        socket.send(CLAIM)
        _, close = await socket.until_close()
        assert close.close_code == 1012


async def test_one_that_is_not_there_is_refused_as_ever() -> None:
    async with listening() as listener:
        listener.host.refuses_resume = ParleyError("unknown-session")
        socket, on_done = await looked_for(listener)
        on_done(None)
        (error,), _ = await socket.until_close()
        assert error.event["parley"]["code"] == "unknown-session"


class FakeEntrant(FakeAttachment):
    """A connection without a socket."""

    def enter(self, port: SessionPort) -> None:
        self._tell("enter")

    def refuse(self, error: ParleyError) -> None:
        self._tell(f"refuse {error.code}")


def looking(listener: Listener) -> tuple[Threshold, FakeEntrant]:
    """One whose session is being looked for, without a connection of its own."""
    entrant = FakeEntrant(Changes())
    listener.host.looks_for_sessions = True
    threshold = Threshold(listener.host, entrant, Arrival(comes_back=True))
    threshold.claim("t0ken", 7)
    return threshold, entrant


async def test_who_went_away_meanwhile_takes_nothing_up() -> None:
    async with listening() as listener:
        threshold, entrant = looking(listener)
        threshold.receive(ev.ClientClosed())
        listener.host.fetches[0](None)
        assert listener.host.claims == []
        assert entrant.told == ["pause"]


async def test_who_can_not_be_written_to_meanwhile_is_not_afterwards() -> None:
    async with listening() as listener:
        threshold, entrant = looking(listener)
        threshold.receive(ev.ClientBlocked())
        listener.host.fetches[0](None)
        assert entrant.told == ["pause", "resume", "enter"]
        assert isinstance(listener.host.sessions[0].events[0], ev.ClientBlocked)


async def test_who_says_too_much_meanwhile_is_refused() -> None:
    async with listening() as listener:
        threshold, entrant = looking(listener)
        for _ in range(70):
            threshold.receive(ev.TurnEnded())
        listener.host.fetches[0](None)
        assert entrant.told == ["pause", "refuse bad-request"]
        assert listener.host.claims == []
