"""A client whose answer is complete, and which has not ended its own side."""

import asyncio
from dataclasses import replace

from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

from tests.ingress.http2.test_connection_exchange import Peer, kinds, reset_codes
from tests.ingress.http2.wireless import UNHURRIED
from tests.support.http2 import RecordedExchange, data_frame

SHORT = replace(UNHURRIED, finish_grace_s=0.01)


async def finished(peer: Peer, stream_id: int = 1) -> RecordedExchange:
    """A stream whose answer has been written to its end."""
    handler = peer.request(stream_id)
    handler.exchange.finish()
    await peer.written()
    return handler


async def until_written(peer: Peer) -> list[Frame]:
    """The frames of the next tick in which there are any."""
    wrote = asyncio.Event()
    peer.pipe.on_write = wrote.set
    async with asyncio.timeout(5):
        await wrote.wait()
    return peer.pipe.frames()


def _refuse(handler: RecordedExchange) -> None:
    handler.exchange.respond(424)


async def test_a_client_that_still_sends_gets_the_end_alone_at_first() -> None:
    peer = Peer()
    peer.request().exchange.finish()
    assert kinds(await peer.written()) == ["Data END_STREAM"]
    peer.close()


async def test_a_client_that_was_refused_is_told_at_once_that_nobody_reads_it() -> None:
    peer = Peer(on_request=_refuse)
    peer.request().exchange.finish()
    frames = await peer.written()
    assert kinds(frames) == ["Data END_STREAM", "RstStream"]
    assert reset_codes(frames) == [ErrorCodes.NO_ERROR]
    peer.close()


async def test_a_client_that_never_ends_its_side_is_told_in_the_end() -> None:
    peer = Peer(SHORT)
    await finished(peer)
    frames = await until_written(peer)
    assert reset_codes(frames) == [ErrorCodes.NO_ERROR]
    peer.close()


async def test_a_client_that_ends_its_side_is_told_nothing_more() -> None:
    peer = Peer(SHORT)
    await finished(peer)
    peer.send(data_frame(1, b"", end_stream=True))
    await finished(peer, 3)
    assert [frame.stream_id for frame in await until_written(peer)] == [3]
    peer.close()


async def test_a_client_that_resets_its_stream_is_told_nothing_more() -> None:
    peer = Peer(SHORT)
    await finished(peer)
    peer.send(RstStreamFrame(1, error_code=ErrorCodes.CANCEL))
    await finished(peer, 3)
    assert [frame.stream_id for frame in await until_written(peer)] == [3]
    peer.close()


async def test_what_it_still_sends_is_thrown_away_and_its_credit_returned() -> None:
    peer = Peer()
    handler = await finished(peer)
    for _ in range(3):
        peer.send(data_frame(1, bytes(16_000)))
    frames = await peer.written()
    assert handler.events == []
    assert {frame.stream_id for frame in frames if kinds([frame]) == ["WindowUpdate"]} >= {1}
    peer.close()


async def test_the_handler_hears_nothing_more_though_the_connection_is_lost() -> None:
    peer = Peer()
    handler = await finished(peer)
    handler.exchange.reset(int(ErrorCodes.CANCEL))
    peer.close()
    assert handler.events == []


async def test_a_connection_that_its_client_is_leaving_lasts_until_the_grace_is_over() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(GoAwayFrame(0, error_code=ErrorCodes.NO_ERROR))
    handler.exchange.finish()
    await peer.settle()
    was_open = not peer.pipe.endings
    peer.send(data_frame(1, b"", end_stream=True))
    await peer.settle()
    assert (was_open, bool(peer.pipe.endings)) == (True, True)
    peer.close()


async def test_streams_in_their_grace_keep_no_new_one_out() -> None:
    peer = Peer(replace(UNHURRIED, streams_max=2))
    for stream_id in (1, 3, 5):
        await finished(peer, stream_id)
    assert len(peer.recorder.handlers) == 3
    peer.close()
