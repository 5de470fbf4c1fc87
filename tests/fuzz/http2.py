"""A client's HTTP/2 frames: the same whatever the cuts, and no answer but the protocol's to any bytes."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from hyperframe.frame import Frame, GoAwayFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame

from tests.fuzz.noise import byte_by_byte, in_pieces, mutated
from tests.ingress.http2.wireless import Wireless, parsed
from tests.support.http2 import Recorder, data_frame, headers_frame, request_fields, serialized, window_update

INTERNAL_ERROR = 2
STREAMS = (1, 3, 5)

Heard = dict[int, tuple[bytes, list[str]]]


def run(random: Random, link: type[Wireless] = Wireless) -> None:
    """One round. Raises AssertionError for a finding."""
    data = serialized([*_openings(random), *(_frame(random) for _ in range(random.randint(0, 20)))])
    if random.random() < 0.7:
        data = mutated(data, random)
    whole = _play([data], link)
    assert _play(byte_by_byte(data), link) == whole, "byte by byte it comes out otherwise"
    assert _play(in_pieces(data, random), link) == whole, "in pieces it comes out otherwise"


def _openings(random: Random) -> list[Frame]:
    return [headers_frame(stream_id) for stream_id in STREAMS if random.random() < 0.6]


def _frame(random: Random) -> Frame:
    stream_id = random.choice(STREAMS)
    size = random.choice((0, 1, 50, 1_000))
    makers: Sequence[Callable[[], Frame]] = (
        lambda: data_frame(stream_id, random.randbytes(size), end_stream=random.random() < 0.1),
        lambda: data_frame(stream_id, random.randbytes(size), pad_bytes=random.choice((0, 7))),
        lambda: headers_frame(stream_id, request_fields(headers={"content-length": str(size)})),
        lambda: headers_frame(stream_id, [("x-trailer", "x")], end_stream=True),
        lambda: RstStreamFrame(stream_id, error_code=random.randrange(16)),
        lambda: window_update(random.choice((0, stream_id)), random.choice((0, 1, 10_000, 2**31 - 1))),
        lambda: PingFrame(0, opaque_data=random.randbytes(8)),
        lambda: SettingsFrame(0, settings={4: random.choice((0, 10, 65_535, 200_000))}),
        lambda: PriorityFrame(stream_id, depends_on=0, stream_weight=3),
        lambda: GoAwayFrame(0, error_code=random.choice((0, 0, 2))),
    )
    return random.choice((*makers, makers[0], makers[0], makers[0]))()


def _play(pieces: Sequence[bytes], link_type: type[Wireless]) -> tuple[Heard, list[int]]:
    """What the handlers of the streams heard, and how the connection ended."""

    async def play() -> tuple[Heard, list[int]]:
        recorder = Recorder(lambda handler: handler.exchange.respond(200))
        link = link_type(recorder)
        link.greet()
        for piece in pieces:
            link.feed(piece)
        await link.settle()
        heard = {
            getattr(handler.exchange, "stream_id", 0): (bytes(handler.data), list(handler.events))
            for handler in recorder.handlers
        }
        ends = [frame.error_code for frame in parsed(link.pipe.take()) if isinstance(frame, GoAwayFrame)]
        link.close()
        return heard, ends

    heard, ends = asyncio.run(play())
    assert INTERNAL_ERROR not in ends, "bytes from outside were taken for a fault of this server"
    return heard, ends
