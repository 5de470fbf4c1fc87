"""What a client's stream may look like, and how it ends where it does not: explicitly, with what was good before."""

import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.gate import Gate
from parley.access.sigv4.authenticator import SigV4Authenticator
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from parley.ingress.http2.exchange import Request
from parley.ingress.http2.part_reader import PartReader
from parley.wire.event_stream import Timestamp, encode
from parley.wire.payload_part import PayloadPart, encode_part
from tests.ingress.http2.streams import Endpoint, Keys, Stream, make_request, open_on, open_stream, part
from tests.support.ingress import StubHost, StubSession
from tests.support.logs import LogWatch
from tests.support.signing import EventSigner, SignedHead, Style, sign_request

pytestmark = pytest.mark.usefixtures("log")

START = b'{"type":"input_audio_buffer.commit"}'
NOW_S = 1_795_428_000.0


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


class Signed:
    """A stream whose events are verified, and the signer that its client has."""

    def __init__(self, style: Style = "python", *, limits: StreamLimits | None = None) -> None:
        self.clock = Clock()
        self.host = StubHost()
        authenticator = SigV4Authenticator(Keys(), clock=self.clock)
        bidirectional = Bidirectional(Endpoint(self.host), Gate([authenticator]), limits or StreamLimits())
        head = sign_request(time_s=NOW_S, style=style)
        self.stream = open_on(bidirectional, request_of(head))
        self.exchange = self.stream.exchange
        self.signer = EventSigner(head.seed, clock=self.clock)

    @property
    def session(self) -> StubSession:
        return self.host.sessions[0]

    def sign(self, data: bytes = START) -> bytes:
        return self.signer.sign(encode_part(data))

    def broken(self, code: str) -> None:
        """The stream has ended with this error, said twice, and its session counts its client as lost."""
        broken(self.stream, self.session, code)


def request_of(head: SignedHead) -> Request:
    headers = [pair for pair in head.headers if pair[0] != "content-type"]
    return make_request(head.target, headers)


def broken(stream: Stream, session: StubSession, code: str) -> None:
    exchange = stream.exchange
    assert (exchange.failure.kind, exchange.failure.code) == ("ModelStreamError", code)
    assert exchange.events[-1]["parley"]["code"] == code
    assert isinstance(session.events[-1], ev.ClientClosed)
    told = len(session.events)
    stream.send(part(START))
    stream.handler.input_ended()
    assert len(session.events) == told, "what comes behind it is not heard"


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# ---- signed


@pytest.mark.parametrize("style", ["python", "node"])
async def test_signed_messages_reach_the_session_and_the_last_event_is_none(style: Style) -> None:
    signed = Signed(style)
    signed.stream.send(signed.sign(), signed.sign(), signed.signer.sign(b""))
    signed.stream.handler.input_ended()
    kinds = [type(event) for event in signed.session.events]
    assert kinds == [ev.TurnStarted, ev.TurnStarted, ev.InputFinished]
    assert not signed.exchange.is_finished


def truncated(signed: Signed) -> bytes:
    return flip(signed.sign(), -1)


def forged(signed: Signed) -> bytes:
    EventSigner.sign(signed.signer, b"one that never came")
    return signed.sign()


def unsigned(_signed: Signed) -> bytes:
    return part(START)


def late(signed: Signed) -> bytes:
    return signed.signer.sign(part(START), time_s=NOW_S - 301)


def behind_the_last(signed: Signed) -> bytes:
    return signed.signer.sign(b"") + signed.sign()


def last_twice(signed: Signed) -> bytes:
    return signed.signer.sign(b"") + signed.signer.sign(b"")


def with_nothing_inside(signed: Signed) -> bytes:
    return signed.signer.sign(b"no event")


def with_two_inside(signed: Signed) -> bytes:
    return signed.signer.sign(part(START) + part(START))


def with_an_exception_inside(signed: Signed) -> bytes:
    return signed.signer.sign(encode({":message-type": "exception", ":exception-type": "X"}, b""))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (truncated, "invalid-event-stream"),
        (forged, "invalid-signature"),
        (unsigned, "invalid-signature"),
        (late, "clock-skew"),
        (behind_the_last, "invalid-event-stream"),
        (last_twice, "invalid-event-stream"),
        (with_nothing_inside, "invalid-event-stream"),
        (with_two_inside, "invalid-event-stream"),
        (with_an_exception_inside, "invalid-event-stream"),
    ],
)
@pytest.mark.parametrize("is_cut", [True, False])
async def test_a_broken_event_ends_the_stream_and_what_was_good_before_is_heard(
    make: Callable[[Signed], bytes], code: str, *, is_cut: bool
) -> None:
    signed = Signed()
    good = signed.sign()
    data = good + make(signed)
    signed.stream.send(*([data[at : at + 1] for at in range(len(data))] if is_cut else [data]))
    assert isinstance(signed.session.events[0], ev.TurnStarted)
    signed.broken(code)


async def test_a_replayed_and_a_reordered_event_are_forgeries() -> None:
    for order in ([0, 0], [1]):
        signed = Signed()
        events = [signed.sign(), signed.sign()]
        signed.stream.send(b"".join(events[index] for index in order))
        signed.broken("invalid-signature")


async def test_a_stream_without_its_last_event_is_taken_and_noted(log: LogWatch) -> None:
    signed = Signed()
    signed.stream.send(signed.sign())
    signed.stream.handler.input_ended()
    assert isinstance(signed.session.events[-1], ev.InputFinished)
    assert any("without the event that proves it complete" in message for message in log.messages)


async def test_a_stream_with_its_last_event_is_not_noted(log: LogWatch) -> None:
    signed = Signed()
    signed.stream.send(signed.signer.sign(b""))
    signed.stream.handler.input_ended()
    assert not any("proves" in message for message in log.messages)


# ---- not signed


def opened(limits: StreamLimits | None = None) -> tuple[Stream, StubSession]:
    host = StubHost()
    stream = open_stream(Endpoint(host), limits=limits)
    return stream, host.sessions[0]


async def test_where_nothing_is_verified_events_may_be_wrapped_or_not() -> None:
    stream, session = opened()
    wrapped = encode({":date": Timestamp(1), ":chunk-signature": b"x"}, part(START))
    stream.send(part(START), wrapped, encode({":chunk-signature": b""}, b""))
    stream.handler.input_ended()
    assert [type(event) for event in session.events] == [ev.TurnStarted, ev.TurnStarted, ev.InputFinished]


@pytest.mark.parametrize("at", range(0, len(part(START)), 7))
async def test_a_flipped_bit_anywhere_breaks_the_stream(at: int) -> None:
    stream, session = opened()
    stream.send(part(START))
    stream.send(flip(part(START), at) + bytes(64))
    broken(stream, session, "invalid-event-stream")


@pytest.mark.parametrize("keep", [1, 11, 12, 40, -1])
async def test_a_stream_that_ends_in_the_middle_of_an_event_is_broken(keep: int) -> None:
    stream, session = opened()
    stream.send(part(START)[:keep])
    stream.handler.input_ended()
    broken(stream, session, "invalid-event-stream")


async def test_a_part_of_the_limit_is_taken_and_one_byte_more_is_too_large() -> None:
    limits = StreamLimits(message_max_bytes=1_000)
    stream, session = opened(limits)
    stream.send(part(START.ljust(1_000)))
    assert isinstance(session.events[-1], ev.TurnStarted)
    stream.send(part(START.ljust(1_001)))
    broken(stream, session, "message-too-large")


async def test_a_length_beyond_the_limit_is_refused_before_it_is_waited_for() -> None:
    stream, session = opened()
    lengths = struct.pack(">II", 2**30, 0)
    stream.send(lengths + struct.pack(">I", zlib.crc32(lengths)))
    broken(stream, session, "message-too-large")


@pytest.mark.parametrize("headers", [{"DataType": "TEXT"}, {"CompletionState": "complete"}, {":event-type": "Other"}])
async def test_headers_that_mean_nothing_break_the_stream(headers: dict[str, str]) -> None:
    stream, session = opened()
    stream.send(encode({":message-type": "event", **headers}, START))
    broken(stream, session, "invalid-event-stream")


async def test_a_failure_of_ours_ends_the_stream_as_such(log: LogWatch) -> None:
    log.expect_errors("parley.ingress")
    stream, session = opened()

    def fail(event: ev.Event) -> None:
        session.receive = StubSession.receive.__get__(session)  # type: ignore[method-assign]
        raise RuntimeError

    session.receive = fail  # type: ignore[method-assign]
    stream.send(part(START))
    failure = stream.exchange.failure
    assert (failure.kind, failure.code) == ("InternalStreamFailure", "")
    assert failure.message.startswith("internal-error: ")
    assert isinstance(session.events[-1], ev.ClientClosed)


parts = st.lists(st.builds(PayloadPart, st.binary(max_size=40), st.booleans(), st.booleans()), max_size=6)


@given(parts, st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(-1, 400))
def test_parts_do_not_depend_on_how_the_bytes_are_cut(sent: list[PayloadPart], cuts: list[int], broken_at: int) -> None:
    data = b"".join(encode_part(one.data, is_text=one.is_text, is_complete=one.is_complete) for one in sent)
    if 0 <= broken_at < len(data):
        data = flip(data, broken_at)
    assert outcome([data]) == outcome(cut(data, cuts))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def outcome(pieces: list[bytes]) -> tuple[list[PayloadPart], str]:
    reader, read = PartReader(None, 1_000), list[PayloadPart]()
    try:
        for piece in pieces:
            # One by one: what was good before an error counts.
            for one in reader.feed(piece):
                read.append(one)
        reader.finish()
    except ParleyError as error:
        return read, error.code
    return read, ""
