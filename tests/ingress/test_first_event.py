"""Connections that say with their first event who they are: nothing is begun, opened or held before it is known."""

import asyncio
import json
import tracemalloc

import pytest

from parley.access.browser_token import BrowserTokenMethod, BrowserTokens
from parley.access.caller import Caller
from parley.access.gate import Gate
from parley.ingress.first_event import FIRST_EVENT_MAX_BYTES, Narrow, asks_to_authenticate
from parley.ingress.websocket import SocketLimits
from tests.access.sigv4.scene import Clock
from tests.support.audit import AuditNotes
from tests.support.ingress import Listener, listening
from tests.support.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, text_frame

MINTER = Caller("1" * 64, "key:captions", "acme", method="api-key")
PATH = "/v1/realtime?auth=event"


class Scene:
    """A listener that takes browser tokens alone."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tokens = BrowserTokens.of_this_process(clock=self.clock)
        self.notes = AuditNotes()
        self.gate = Gate([BrowserTokenMethod(self.tokens)], audit=self.notes)

    def token(self) -> str:
        return self.tokens.mint(MINTER, 60).value


async def opened(listener: Listener, path: str = PATH) -> RawSocket:
    socket = await listener.connect()
    assert (await socket.upgrade(path)).status == 101
    return socket


async def refusal(socket: RawSocket) -> tuple[str, int | None]:
    """The code of the one error that is said, and that of the close."""
    said, close = await socket.until_close()
    (error,) = said
    return error.event["parley"]["code"], close.close_code


# ---- who is let in


async def test_a_session_begins_when_its_first_event_has_said_whose_it_is() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await opened(listener)
        assert listener.host.sessions == []
        socket.send(text_frame("session.authenticate", token=scene.token()))
        assert (await socket.frame()).event["type"] == "session.created"
        assert [caller.name for caller in listener.host.callers] == ["key:captions"]
        assert (await listener.host.session()).is_started


async def test_what_comes_right_behind_the_first_event_is_the_sessions() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await opened(listener)
        text = "x" * 100_000
        socket.send(text_frame("session.authenticate", token=scene.token()) + text_frame("unknown", text=text))
        await socket.frame()
        session = await listener.host.session()
        await session._changes.until("the event", lambda: bool(session.events))


async def test_a_session_is_taken_up_again_as_by_any_other_client() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await opened(listener, PATH + "&resume=1")
        socket.send(text_frame("session.authenticate", token=scene.token()))
        assert (await socket.frame()).event["type"] == "session.created"
        socket.send(text_frame("session.resume", token="a-token", seq=3))
        await listener.host.claimed()
        ((token, seq, caller),) = listener.host.claims
        assert (token, seq, caller.principal) == ("a-token", 3, MINTER.principal)


async def test_where_nobody_is_asked_anything_is_taken() -> None:
    async with listening() as listener:
        socket = await opened(listener)
        socket.send(text_frame("session.authenticate", token="whatever"))
        assert (await socket.frame()).event["type"] == "session.created"


async def test_credentials_in_the_head_say_it_at_once() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await listener.connect()
        await socket.upgrade(PATH, Authorization=f"Bearer {scene.token()}")
        assert (await socket.frame()).event["type"] == "session.created"


async def test_wrong_credentials_in_the_head_are_not_made_good_by_an_event() -> None:
    async with listening(gate=Scene().gate) as listener:
        response = await (await listener.connect()).upgrade(PATH, Authorization="Bearer pt1.wrong")
        assert (response.status, response.error["code"]) == (401, "invalid-token")


async def test_pings_are_answered_before_it_is_known_who_asks() -> None:
    async with listening(gate=Scene().gate) as listener:
        socket = await opened(listener)
        socket.send(frame(PONG) + frame(PING, b"there?"))
        assert (await socket.frame())[:2] == (PONG, b"there?")


# ---- who is not


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (text_frame("session.authenticate", token="pt1.forged"), "invalid-token"),
        (text_frame("session.authenticate", token="sk-something"), "invalid-token"),
        (text_frame("session.authenticate", token=""), "invalid-token"),
        (text_frame("session.authenticate", token="a b"), "invalid-token"),
        (text_frame("session.authenticate", token="a\r\nb"), "invalid-token"),
        (text_frame("session.authenticate", token="é"), "invalid-token"),
        (text_frame("session.authenticate"), "credentials-missing"),
        (text_frame("session.authenticate", token=7), "credentials-missing"),
        (text_frame("session.update", model="m"), "credentials-missing"),
        (frame(TEXT, b"no json"), "credentials-missing"),
        (frame(TEXT, b"\xff"), "credentials-missing"),
        (frame(TEXT, b"[" * 4_000), "credentials-missing"),
        (frame(BINARY, b"{}"), "credentials-missing"),
        (frame(TEXT, b"{", is_last=False), "credentials-missing"),
        (frame(CONTINUATION, b"{}"), "credentials-missing"),
    ],
    # A frame's mask is another one each time, and would be a part of the test's name.
    ids=lambda _: "",
)
async def test_anything_else_ends_the_connection_and_begins_nothing(sent: bytes, code: str) -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await opened(listener)
        socket.send(sent)
        assert await refusal(socket) == (code, 4401)
        assert (listener.host.sessions, listener.host.claims) == ([], [])


async def test_an_expired_token_is_told_so_and_the_refusal_is_noted() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket, token = await opened(listener), scene.token()
        scene.clock.now_s += 61
        socket.send(text_frame("session.authenticate", token=token))
        assert await refusal(socket) == ("expired-credentials", 1008)
        assert [note.outcome for note in scene.notes.notes] == ["expired-credentials"]


async def test_one_try_is_all_there_is() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await opened(listener)
        good = text_frame("session.authenticate", token=scene.token())
        socket.send(text_frame("session.authenticate", token="pt1.forged") + good)
        assert await refusal(socket) == ("invalid-token", 4401)
        assert listener.host.sessions == []


async def test_who_says_nothing_is_closed_after_a_while() -> None:
    async with listening(socket_limits=SocketLimits(unproven_timeout_s=0.05), gate=Scene().gate) as listener:
        assert await refusal(await opened(listener)) == ("credentials-missing", 4401)


async def test_so_many_and_no_more_may_wait() -> None:
    scene = Scene()
    async with listening(socket_limits=SocketLimits(unproven_max=2), gate=scene.gate) as listener:
        first, _second = await opened(listener), await opened(listener)
        response = await (await listener.connect()).upgrade(PATH)
        assert (response.status, response.error["code"]) == (503, "at-capacity")
        first.send(text_frame("session.authenticate", token=scene.token()))
        await first.frame()
        await opened(listener)


async def test_those_that_wait_are_told_when_the_server_stops() -> None:
    async with listening(gate=Scene().gate) as listener:
        socket = await opened(listener)
        closing = asyncio.create_task(listener.port.close())
        assert (await refusal(socket))[0] == "shutting-down"
        socket.send(frame(CLOSE))
        await closing


async def test_who_leaves_makes_room() -> None:
    limits = SocketLimits(unproven_max=1)
    async with listening(socket_limits=limits, gate=Scene().gate) as listener:
        socket = await opened(listener)
        socket.send(frame(CLOSE))
        await socket.until_eof()
        await opened(listener)


async def test_without_being_asked_for_an_event_there_are_no_credentials() -> None:
    async with listening(gate=Scene().gate) as listener:
        response = await (await listener.connect()).upgrade("/v1/realtime?auth=other")
        assert (response.status, response.error["code"]) == (401, "credentials-missing")


# ---- what it may cost


async def test_a_frame_that_goes_on_and_on_is_cut_off_after_a_few_kilobytes() -> None:
    async with listening(gate=Scene().gate) as listener:
        socket = await opened(listener)
        socket.send(frame(TEXT, b"x" * 4_000_000)[:3_000_000])
        assert await refusal(socket) == ("credentials-missing", 4401)
        assert listener.host.sessions == []


async def test_a_long_first_event_is_refused_although_it_is_whole() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await opened(listener)
        padding = "x" * FIRST_EVENT_MAX_BYTES
        socket.send(text_frame("session.authenticate", token=scene.token(), padding=padding))
        assert (await refusal(socket))[0] == "credentials-missing"


async def test_a_waiting_connection_holds_a_few_kilobytes_at_most() -> None:
    async with listening(gate=Scene().gate) as listener:
        await opened(listener)
        tracemalloc.start()
        try:
            sockets = [await opened(listener) for _ in range(20)]
            before, _ = tracemalloc.get_traced_memory()
            for socket in sockets:
                # A little less than what is let through of a frame of a megabyte.
                socket.send(frame(PING) + frame(TEXT, b"x" * 1_000_000)[: FIRST_EVENT_MAX_BYTES - 64])
                await socket.drain()
                assert (await socket.frame()).opcode == PONG
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (after - before) / len(sockets) < 3 * FIRST_EVENT_MAX_BYTES


class Doubling:
    """As picows holds what it reads: twice as much whenever it is full."""

    def __init__(self) -> None:
        self.buffer = bytearray(2_048)
        self.end = 0

    def get_buffer(self, _sizehint: int) -> memoryview:
        return memoryview(self.buffer)[self.end :]

    def buffer_updated(self, nbytes: int) -> None:
        self.end += nbytes
        if self.end * 10 >= len(self.buffer) * 9:
            self.buffer = self.buffer + bytes(len(self.buffer))


def poured(narrow: Narrow, size: int) -> None:
    """So many bytes come, as much at a time as there is room for."""
    while size:
        room = min(len(narrow.get_buffer(-1)), size)
        narrow.buffer_updated(room)
        size -= room


def test_behind_a_narrow_a_buffer_does_not_grow() -> None:
    inner, full = Doubling(), []
    narrow = Narrow().around(inner)
    narrow.narrows(FIRST_EVENT_MAX_BYTES, lambda: full.append(1))
    poured(narrow, 10_000_000)
    assert (inner.end, len(inner.buffer), full) == (FIRST_EVENT_MAX_BYTES, 2 * FIRST_EVENT_MAX_BYTES, [1])


def test_a_narrow_that_is_widened_lets_everything_through() -> None:
    inner = Doubling()
    narrow = Narrow().around(inner)
    narrow.narrows(FIRST_EVENT_MAX_BYTES, lambda: None)
    poured(narrow, 1_000)
    narrow.widen()
    poured(narrow, 1_000_000)
    assert inner.end == 1_001_000


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        (b"GET /v1/realtime?auth=event HTTP/1.1", True),
        (b"GET /v1/realtime?resume=1&%61uth=event HTTP/1.1", True),
        (b"GET /v1/realtime?auth=event&auth=no HTTP/1.1", False),
        (b"GET /v1/realtime HTTP/1.1", False),
        (b"GET /v1/realtime?" + b"a=1&" * 100 + b"auth=event HTTP/1.1", False),
    ],
)
def test_an_upgrade_asks_for_it_in_its_query(line: bytes, asks: bool) -> None:
    assert asks_to_authenticate(line + b"\r\nReferer: /?auth=event\r\n\r\n") is asks


def test_a_first_event_is_no_larger_than_what_is_let_through() -> None:
    longest = json.dumps({"type": "session.authenticate", "token": "x" * 4_096})
    assert len(longest) < FIRST_EVENT_MAX_BYTES
