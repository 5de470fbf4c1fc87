"""A client's stream in front of a container: a part is a frame, and what ends the one ends the other with a reason."""

import asyncio
import itertools

import pytest

from parley.access.gate import Gate
from parley.core.errors import ERRORS, ParleyError
from parley.ingress.http2 import container_relay
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from parley.wire.event_stream import PAYLOAD_MAX_BYTES
from parley.wire.payload_part import PayloadPart
from tests.ingress.http2.streams import (
    QUICK,
    Endpoint,
    Stream,
    StubContainer,
    StubSocket,
    make_request,
    open_on,
    open_stream,
    part,
)
from tests.support.logs import LogWatch
from tests.support.waiting import bounded

pytestmark = pytest.mark.usefixtures("log")

PATH = "X-Amzn-SageMaker-Model-Invocation-Path"
QUERY = "X-Amzn-SageMaker-Model-Query-String"
CANCEL = 8


async def opened(limits: StreamLimits | None = None) -> tuple[Stream, StubSocket]:
    """A stream that its container has taken."""
    container = StubContainer()
    stream = open_stream(Endpoint(container, variant="blue"), limits=limits)
    socket = await container.socket()
    await stream.exchange.changes.until("an answer", lambda: bool(stream.exchange.status))
    return stream, socket


# ---- opening


async def test_a_stream_is_answered_when_its_container_has_taken_it() -> None:
    container = StubContainer()
    container.may_open.clear()
    request = make_request(headers={PATH: "v1/listen", QUERY: "model=nova"})
    stream = open_stream(Endpoint(container, variant="blue"), request)
    exchange = stream.exchange
    assert stream.exchange.is_paused, "what comes meanwhile is bounded by the stream's window"
    await asyncio.sleep(0)
    assert exchange.headers == {}
    container.may_open.set()
    await exchange.changes.until("an answer", lambda: exchange.status == 200)
    assert exchange.headers["x-amzn-invoked-production-variant"] == "blue"
    assert exchange.responses == []
    assert not exchange.is_paused
    assert container.asked == [("v1/listen", "model=nova", exchange.headers["x-amzn-requestid"])]
    stream.handler.lost()


@pytest.mark.parametrize("status", [403, 404, 429, 500])
async def test_a_refusal_is_a_model_error_with_the_status_of_the_container(status: int) -> None:
    refusal = ParleyError("container-refused", "It said no.", original_status=status)
    error = await refused(StubContainer(refuses_open=refusal), "ModelError", "container-refused")
    assert (error["OriginalStatusCode"], error["OriginalMessage"]) == (status, "It said no.")


async def test_a_container_that_is_not_there_is_a_model_error() -> None:
    error = await refused(
        StubContainer(refuses_open=ParleyError("container-refused")), "ModelError", "container-refused"
    )
    assert "OriginalStatusCode" not in error


async def test_a_container_that_is_not_ready_is_not_asked() -> None:
    container = StubContainer(refuses_entry=ParleyError("upstream-unavailable"))
    await refused(container, "ServiceUnavailableError", "upstream-unavailable")
    assert container.asked == []


async def test_a_container_that_hangs_is_given_up() -> None:
    container = StubContainer()
    container.may_open.clear()
    await refused(container, "ModelError", "container-refused", QUICK)
    assert container.is_cancelled


async def test_a_failure_of_ours_is_told_as_such(log: LogWatch) -> None:
    log.expect_errors("parley.ingress")
    await refused(StubContainer(refuses_open=RuntimeError("x")), "InternalServerError", "internal-error")


async def test_a_client_that_goes_while_its_container_is_asked_leaves_nothing_behind() -> None:
    container = StubContainer()
    container.may_open.clear()
    stream = open_stream(Endpoint(container))
    await asyncio.sleep(0)
    stream.handler.lost()
    await container.changes.until("it is given up", lambda: container.is_cancelled)
    assert not stream.exchange.status


async def test_a_container_that_takes_a_stream_too_late_is_told_that_it_is_over() -> None:
    container = StubContainer()
    bidirectional = Bidirectional(Endpoint(container), Gate())
    stream = open_on(bidirectional)
    await asyncio.sleep(0)
    relay = next(iter(bidirectional._relays))
    socket = await container.socket()
    stream.handler.lost()
    other = StubContainer()
    late = await other.open("", "", "", socket.sink)
    relay._opened(late)
    assert late.closed_with == (1001, "")


async def refused(
    container: StubContainer, errortype: str, code: str, limits: StreamLimits | None = None
) -> dict[str, object]:
    """The error before the stream."""
    exchange = open_stream(Endpoint(container), limits=limits).exchange
    await exchange.until_finished()
    assert (exchange.headers["x-amzn-errortype"], exchange.error["ErrorCode"]) == (errortype, code)
    assert container.sockets == []
    return exchange.error


# ---- frames and parts


@pytest.mark.parametrize(("is_text", "is_complete"), list(itertools.product([True, False], repeat=2)))
async def test_a_part_is_a_frame_of_the_same_bytes(*, is_text: bool, is_complete: bool) -> None:
    stream, socket = await opened()
    for data in (b"", b"\xff\0{", b"x" * 70_000):
        stream.send(part(data, is_text=is_text, is_complete=is_complete))
        assert socket.frames[-1] == (data, is_text, is_complete)


@pytest.mark.parametrize(("is_text", "is_last"), list(itertools.product([True, False], repeat=2)))
async def test_a_frame_is_a_part_of_the_same_bytes(*, is_text: bool, is_last: bool) -> None:
    stream, socket = await opened()
    for data in (b"", b"\xff\0{", b"x" * 70_000):
        socket.sink.frame_received(data, is_text=is_text, is_last=is_last)
        assert stream.exchange.parts[-1] == PayloadPart(data, is_text=is_text, is_complete=is_last)


async def test_parts_are_neither_joined_nor_looked_into() -> None:
    stream, socket = await opened()
    stream.send(part(b"a", is_complete=False) + part(b"b", is_complete=False) + part(b"{}") + part(b"{"))
    assert [data for data, _, _ in socket.frames] == [b"a", b"b", b"{}", b"{"]


async def test_a_frame_longer_than_an_event_may_be_ends_the_stream() -> None:
    stream, socket = await opened()
    socket.sink.frame_received(bytes(PAYLOAD_MAX_BYTES + 1), is_text=False, is_last=True)
    assert stream.exchange.failure.code == "upstream-protocol"
    assert socket.closed_with == (1011, "upstream-protocol")


# ---- backpressure


async def test_a_container_that_does_not_read_stops_its_client() -> None:
    stream, socket = await opened()
    socket.sink.writing_blocked()
    assert stream.exchange.is_paused
    socket.sink.writing_unblocked()
    assert not stream.exchange.is_paused


async def test_a_client_that_does_not_read_stops_its_container() -> None:
    stream, socket = await opened()
    stream.handler.writing_blocked()
    assert socket.is_paused
    stream.handler.writing_unblocked()
    assert not socket.is_paused


async def test_what_a_paused_container_still_sends_waits_in_order() -> None:
    stream, socket = await opened()
    stream.handler.writing_blocked()
    for data in (b"1", b"2", b"3"):
        socket.sink.frame_received(data, is_text=True, is_last=True)
    assert stream.exchange.parts == []
    stream.exchange.blocks_at_bytes = 1
    stream.handler.writing_unblocked()
    assert [one.data for one in stream.exchange.parts] == [b"1"]
    assert socket.is_paused
    stream.handler.writing_unblocked()
    assert [one.data for one in stream.exchange.parts] == [b"1", b"2", b"3"]
    assert not socket.is_paused


async def test_what_a_paused_container_may_still_send_is_bounded() -> None:
    stream, socket = await opened()
    stream.handler.writing_blocked()
    sent = 0
    while not stream.exchange.is_finished:
        socket.sink.frame_received(bytes(2**20), is_text=False, is_last=True)
        sent += 1
    assert sent == container_relay._HELD_MAX_BYTES // 2**20
    assert stream.exchange.failure.code == "slow-client"
    assert socket.closed_with == (1008, "slow-client")


# ---- ends


@pytest.mark.parametrize("code", [1000, 1005])
async def test_a_container_that_closes_without_a_complaint_ends_the_stream_cleanly(code: int) -> None:
    stream, socket = await opened()
    socket.sink.frame_received(b"last", is_text=True, is_last=True)
    socket.sink.container_closed(code, "")
    assert [one.data for one in stream.exchange.parts] == [b"last"]
    assert len(stream.exchange.responses) == 1
    assert stream.exchange.is_finished
    assert socket.closed_with is None


@pytest.mark.parametrize("code", [1000, 1005])
async def test_a_close_in_the_middle_of_a_message_is_no_clean_end(code: int) -> None:
    stream, socket = await opened()
    socket.sink.frame_received(b"half", is_text=True, is_last=False)
    socket.sink.container_closed(code, "")
    assert stream.exchange.failure.code == "container-closed"
    assert "in the middle of a message" in stream.exchange.failure.message


@pytest.mark.parametrize(("code", "reason"), [(1011, "engine died"), (1001, ""), (4404, "unknown-session")])
async def test_code_and_reason_of_a_close_frame_reach_the_client(code: int, reason: str) -> None:
    stream, socket = await opened()
    socket.sink.container_closed(code, reason)
    failure = stream.exchange.failure
    assert (failure.kind, failure.code) == ("ModelStreamError", "container-closed")
    assert str(code) in failure.message
    assert reason in failure.message


@pytest.mark.parametrize("reason", ["", "Five pings were not answered."])
async def test_a_container_that_is_lost_is_told_to_the_client(reason: str) -> None:
    stream, socket = await opened()
    socket.sink.container_closed(None, reason)
    failure = stream.exchange.failure
    assert (failure.kind, failure.code) == ("ModelStreamError", "container-closed")
    assert "without a Close frame" in failure.message
    assert reason in failure.message


async def test_the_end_of_the_input_closes_the_container_and_the_stream_cleanly() -> None:
    stream, socket = await opened()
    stream.send(part(b"a"))
    stream.handler.input_ended()
    assert socket.closed_with == (1000, "")
    assert stream.exchange.responses == []
    assert stream.exchange.is_finished


async def test_an_end_in_the_middle_of_a_message_is_a_broken_stream() -> None:
    stream, socket = await opened()
    stream.send(part(b"a", is_complete=False))
    stream.handler.input_ended()
    assert stream.exchange.failure.code == "invalid-event-stream"
    assert socket.closed_with == (1002, "invalid-event-stream")


async def test_a_broken_stream_closes_the_container_with_the_reason() -> None:
    stream, socket = await opened()
    stream.send(part(b"a") + b"no event stream at all")
    assert [data for data, _, _ in socket.frames] == [b"a"]
    assert stream.exchange.failure.code == "invalid-event-stream"
    assert socket.closed_with == (ERRORS["invalid-event-stream"].ws_close, "invalid-event-stream")


async def test_a_client_that_is_gone_closes_the_container() -> None:
    stream, socket = await opened()
    stream.handler.lost()
    assert socket.closed_with == (1001, "")


async def test_nothing_follows_an_end() -> None:
    stream, socket = await opened()
    stream.handler.input_ended()
    socket.sink.frame_received(b"late", is_text=True, is_last=True)
    socket.sink.container_closed(1011, "")
    socket.sink.writing_blocked()
    stream.handler.data_received(part(b"late"))
    stream.handler.lost()
    assert stream.exchange.responses == []
    assert socket.frames == []


async def test_the_end_comes_behind_what_waits_for_a_slow_client() -> None:
    stream, socket = await opened(QUICK)
    stream.handler.writing_blocked()
    socket.sink.frame_received(b"last", is_text=True, is_last=True)
    socket.sink.container_closed(1011, "engine died")
    assert not stream.exchange.is_finished
    stream.handler.data_received(part(b"nobody is there any more"))
    stream.handler.writing_unblocked()
    assert [one.data for one in stream.exchange.parts] == [b"last"]
    assert "engine died" in stream.exchange.failure.message
    # The bound for those who do not read comes too late.
    written = bytes(stream.exchange.body)
    await stream.exchange.until_reset()
    assert bytes(stream.exchange.body) == written


async def test_an_ending_client_gets_what_its_container_had_said() -> None:
    stream, socket = await opened()
    stream.handler.writing_blocked()
    socket.sink.frame_received(b"last", is_text=True, is_last=True)
    stream.handler.input_ended()
    assert socket.closed_with == (1000, "")
    stream.handler.writing_unblocked()
    assert [one.data for one in stream.exchange.parts] == [b"last"]
    assert stream.exchange.is_finished


async def test_a_client_that_does_not_read_its_end_is_cut() -> None:
    stream, socket = await opened(QUICK)
    stream.handler.writing_blocked()
    socket.sink.frame_received(b"last", is_text=True, is_last=True)
    socket.sink.container_closed(1000, "")
    assert await stream.exchange.until_reset() == CANCEL
    stream.handler.writing_unblocked()
    assert stream.exchange.parts == []


# ---- the node goes away


async def test_a_drain_waits_for_open_streams_and_opens_no_more() -> None:
    container = StubContainer()
    bidirectional = Bidirectional(Endpoint(container), Gate())
    stream = open_on(bidirectional)
    socket = await container.socket()
    other = open_on(bidirectional)
    draining = asyncio.create_task(bidirectional.drain(600.0))
    await asyncio.sleep(0)
    refusal = open_on(bidirectional).exchange
    assert (refusal.error["ErrorCode"], refusal.headers["retry-after"]) == ("shutting-down", "2")
    other.handler.lost()
    assert not draining.done()
    socket.sink.container_closed(1000, "")
    await bounded("the drain ends", draining)
    assert stream.exchange.is_finished


async def test_a_stream_has_its_place_in_the_clients_name_until_it_is_over() -> None:
    container = StubContainer()
    stream = open_stream(Endpoint(container))
    socket = await container.socket()
    assert (len(container.entered), container.left) == (1, 0)
    socket.sink.container_closed(1000, "")
    assert container.left == 1
    stream.handler.lost()
    assert container.left == 1, "it is given back once"


async def test_a_stream_that_its_container_does_not_take_gives_its_place_back() -> None:
    container = StubContainer(refuses_open=ParleyError("container-refused"))
    stream = open_stream(Endpoint(container))
    await stream.exchange.changes.until("the refusal", lambda: stream.exchange.status != 0)
    assert (len(container.entered), container.left) == (1, 1)


async def test_what_a_drain_waits_for_in_vain_is_ended_with_the_reason() -> None:
    container = StubContainer()
    bidirectional = Bidirectional(Endpoint(container), Gate())
    stream = open_on(bidirectional)
    socket = await container.socket()
    await bounded("the drain ends", bidirectional.drain(0.01))
    assert stream.exchange.failure.kind == "InternalStreamFailure"
    assert stream.exchange.failure.message.startswith("shutting-down: ")
    assert socket.closed_with == (1012, "shutting-down")


async def test_a_close_waits_for_whoever_was_asking_a_container() -> None:
    container = StubContainer()
    container.may_open.clear()
    bidirectional = Bidirectional(Endpoint(container), Gate())
    stream = open_on(bidirectional)
    await asyncio.sleep(0)
    await bounded("the close", bidirectional.close())
    assert container.is_cancelled
    assert (stream.exchange.status, stream.exchange.error["ErrorCode"]) == (503, "shutting-down")
