"""The chain of a stream's signatures: what holds it, and all the ways to break it."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from aws_sdk_signers import AsyncEventSigner, AWSCredentialIdentity
from hypothesis import given
from hypothesis import strategies as st
from smithy_aws_event_stream.events import EventHeaderEncoder, EventMessage

from parley.access.sigv4.event_chain import EventChain
from parley.access.sigv4.signing_key import Scope, SigningKeys
from parley.wire.event_stream import Decoder, Message, Short, Timestamp, Value
from tests.access.sigv4.scene import KEY, NOW_S, Clock, message_of, outcome, why
from tests.support.signing import CREDENTIALS, Credentials, EventSigner

SEED = "5eed" * 16
SCOPE = Scope("20261122", "us-east-1", "sagemaker")
MIDNIGHT_S = 1_795_392_000.0
"""2026-11-23T00:00:00Z."""
PARTS = [b"one", b"two", b"three"]


class Stream:
    """A client that signs and a server that verifies, each with its clock."""

    def __init__(
        self,
        *,
        credentials: Credentials = CREDENTIALS,
        client_seed: str = SEED,
        region: str = "us-east-1",
        now_s: float = NOW_S,
    ) -> None:
        self.client_clock, self.server_clock = Clock(now_s), Clock(now_s)
        self.signer = EventSigner(client_seed, credentials, region=region, clock=self.client_clock)
        self.chain = EventChain(SEED, KEY, SCOPE, SigningKeys(), clock=self.server_clock, skew_max_s=300.0)

    def sign(self, *payloads: bytes) -> list[Message]:
        return [message_of(self.signer.sign(payload)) for payload in payloads]

    def open(self, *messages: Message) -> list[bytes]:
        return [self.chain.open(message) for message in messages]

    def why(self, message: Message) -> tuple[str, str]:
        return why(self.chain.open, message)

    def pass_time(self, seconds: float) -> None:
        self.client_clock.now_s += seconds
        self.server_clock.now_s += seconds


def mismatch(number: int) -> tuple[str, str]:
    detail = f"Event {number} of the stream does not carry the signature that follows from the one before it."
    return "invalid-signature", detail


# ---- what is right


def test_events_signed_one_over_the_other_are_opened() -> None:
    stream = Stream()
    assert stream.open(*stream.sign(*PARTS)) == PARTS


def test_the_empty_event_at_the_end_is_opened_as_nothing() -> None:
    stream = Stream()
    assert stream.open(*stream.sign(b"one", b"")) == [b"one", b""]


def test_a_stream_of_nothing_but_its_end_is_verified() -> None:
    stream = Stream()
    assert stream.open(*stream.sign(b"")) == [b""]


async def test_events_as_awss_signer_signs_them_are_opened() -> None:
    # It signs for the present, whatever it is told.
    identity = AWSCredentialIdentity(
        access_key_id=CREDENTIALS.access_key_id, secret_access_key=CREDENTIALS.secret_access_key
    )
    signer = AsyncEventSigner(initial_signature=SEED.encode(), event_encoder_cls=EventHeaderEncoder)
    chain = EventChain(SEED, KEY, SCOPE, SigningKeys(), clock=time.time, skew_max_s=300.0)
    properties = {"region": "us-east-1", "service": "sagemaker"}
    inner = EventMessage(headers={":event-type": "PayloadPart", "DataType": "UTF8"}, payload=b"x" * 3200)
    for _ in range(3):
        event = await signer.sign(event=inner_copy(inner), identity=identity, properties=properties)  # type: ignore[arg-type]
        assert chain.open(message_of(event.encode())) == inner.encode()
    last = await signer.sign_empty(event=EventMessage(), identity=identity, properties=properties)  # type: ignore[arg-type]
    assert chain.open(message_of(last.encode())) == b""


def inner_copy(event: EventMessage) -> EventMessage:
    return EventMessage(headers=event.headers, payload=event.payload)


def test_a_stream_goes_on_for_longer_than_a_clock_may_be_wrong() -> None:
    stream = Stream()
    for _ in range(10):
        stream.pass_time(100.7)
        assert stream.open(*stream.sign(b"one", b"two")) == [b"one", b"two"]


def test_a_stream_goes_on_past_midnight() -> None:
    stream = Stream(now_s=MIDNIGHT_S - 1.5)
    for _ in range(4):
        assert stream.open(*stream.sign(b"one")) == [b"one"]
        stream.pass_time(1.0)


def test_the_clients_clock_may_be_set_back_a_little_in_between() -> None:
    stream = Stream(now_s=MIDNIGHT_S + 0.5)
    assert stream.open(*stream.sign(b"one")) == [b"one"]
    stream.client_clock.now_s -= 60.0
    assert stream.open(*stream.sign(b"two")) == [b"two"]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(1, 200), min_size=1))
def test_how_the_bytes_are_cut_does_not_matter(payloads: list[bytes], sizes: list[int]) -> None:
    stream = Stream()
    data = b"".join(stream.signer.sign(payload) for payload in [*payloads, b""])
    decoder, opened, at, turn = Decoder(), list[bytes](), 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        opened += stream.open(*decoder.feed(data[at : at + size]))
        at, turn = at + size, turn + 1
    assert opened == [*payloads, b""]


# ---- what is not


def forge_payload(messages: Sequence[Message]) -> list[Message]:
    return [messages[0], dataclasses.replace(messages[1], payload=b"TWO"), messages[2]]


def forge_empty(messages: Sequence[Message]) -> list[Message]:
    return [messages[0], dataclasses.replace(messages[1], payload=b"")]


def leave_out(messages: Sequence[Message]) -> list[Message]:
    return [messages[0], messages[2]]


def repeat(messages: Sequence[Message]) -> list[Message]:
    return [messages[0], messages[0]]


def swap(messages: Sequence[Message]) -> list[Message]:
    return [messages[0], messages[2], messages[1]]


@pytest.mark.parametrize("tamper", [forge_payload, forge_empty, leave_out, repeat, swap])
def test_a_stream_that_was_changed_on_the_way_is_refused_where_it_was(
    tamper: Callable[[Sequence[Message]], list[Message]],
) -> None:
    stream = Stream()
    first, second, *_ = tamper(stream.sign(*PARTS))
    assert stream.open(first) == [b"one"]
    assert stream.why(second) == mismatch(2)


def test_a_stream_whose_beginning_was_cut_off_is_refused() -> None:
    stream = Stream()
    assert stream.why(stream.sign(*PARTS)[1]) == mismatch(1)


@pytest.mark.parametrize(
    "options",
    [
        {"credentials": Credentials(secret_access_key="another-secret-of-somebody-else")},
        {"client_seed": "0" * 64},
        {"region": "eu-west-1"},
    ],
    ids=["secret", "request", "region"],
)
def test_events_of_another_secret_request_or_region_are_refused(options: Mapping[str, object]) -> None:
    stream = Stream(**options)  # type: ignore[arg-type]
    assert stream.why(*stream.sign(b"one")) == mismatch(1)


def test_events_of_another_stream_of_the_same_client_are_refused() -> None:
    stream, other = Stream(), Stream(client_seed="07e4" * 16)
    assert stream.open(*stream.sign(b"one")) == [b"one"]
    assert stream.why(*other.sign(b"two")) == mismatch(2)


def with_headers(message: Message, changes: Mapping[str, Value | None]) -> Message:
    names = {"date": ":date", "signature": ":chunk-signature"}
    headers = {**message.headers, **{names.get(name, name): value for name, value in changes.items()}}
    return Message({name: value for name, value in headers.items() if value is not None}, message.payload)


@pytest.mark.parametrize(
    "changes",
    [
        {"date": None},
        {"signature": None},
        {"date": None, "signature": None, "type": "event"},
        {"date": int(NOW_S * 1000) % 2**31},
        {"date": "20261122T101500Z"},
        {"date": True},
        {"date": Short(1)},
        {"signature": "a" * 32},
        {"signature": b""},
        {"signature": b"a" * 31},
        {"signature": b"a" * 33},
    ],
)
def test_an_event_without_a_whole_signature_is_told_so(changes: dict[str, Value | None]) -> None:
    stream = Stream()
    event = with_headers(stream.sign(b"one")[0], changes)
    assert stream.why(event) == (
        "invalid-signature",
        "Event 1 of the stream is not signed: it lacks :date, :chunk-signature, or both.",
    )


def test_a_header_that_no_signature_covers_is_refused() -> None:
    stream = Stream()
    event = with_headers(stream.sign(b"one")[0], {"DataType": "UTF8"})
    assert stream.why(event) == ("invalid-signature", "Event 1 of the stream has headers that no signature covers.")


@pytest.mark.parametrize("moved_ms", [-1, 1, 1000, -60_000])
def test_a_time_that_was_changed_on_the_way_is_refused(moved_ms: int) -> None:
    stream = Stream()
    event = with_headers(stream.sign(b"one")[0], {"date": Timestamp(int(NOW_S * 1000) + moved_ms)})
    assert stream.why(event) == mismatch(1)


def test_an_event_of_another_time_is_told_how_far_the_clocks_are_apart() -> None:
    stream = Stream()
    assert stream.open(*stream.sign(b"one")) == [b"one"]
    stream.client_clock.now_s -= 301.0
    assert stream.why(*stream.sign(b"two")) == (
        "clock-skew",
        "Event 2 of the stream was signed at 2026-11-22T10:09:59Z; this server's clock says 2026-11-22T10:15:00Z: "
        "301 s later, 300 s are allowed.",
    )


@pytest.mark.parametrize("milliseconds", [-(2**63), -1, 0, 2**63 - 1])
def test_a_time_that_no_calendar_has_is_refused_for_its_distance(milliseconds: int) -> None:
    stream = Stream()
    event = with_headers(stream.sign(b"one")[0], {"date": Timestamp(milliseconds)})
    assert stream.why(event)[0] == "clock-skew"


@pytest.mark.parametrize("how", ["signature", "clock", "headers"])
def test_after_a_failure_nothing_more_is_verified(how: str) -> None:
    stream = Stream()
    first, second = stream.sign(b"one", b"two")
    if how == "clock":
        stream.server_clock.now_s += 301.0
    bad = {
        "signature": dataclasses.replace(first, payload=b"ONE"),
        "clock": first,
        "headers": with_headers(first, {"signature": None}),
    }[how]
    stream.why(bad)
    stream.server_clock.now_s = NOW_S
    expected = "Event {} of the stream came behind one that could not be verified."
    assert stream.why(first) == ("invalid-signature", expected.format(2))
    assert stream.why(second) == ("invalid-signature", expected.format(3))


def test_after_the_end_nothing_more_is_taken() -> None:
    stream = Stream()
    events = stream.sign(b"one", b"", b"two")
    assert stream.open(*events[:2]) == [b"one", b""]
    assert stream.why(events[2]) == (
        "invalid-signature",
        "Event 3 of the stream came behind the one that ended the stream.",
    )
    assert stream.why(events[2])[1].startswith("Event 4 ")


def test_a_chain_shows_no_secret() -> None:
    assert CREDENTIALS.secret_access_key not in repr(Stream().chain)


@given(st.data())
def test_any_bit_that_is_changed_is_refused(data: st.DataObject) -> None:
    stream = Stream()
    event = stream.sign(b"one", b"")[0]
    bit = data.draw(st.integers(0, 8 * (len(event.payload) + 8 + 32) - 1))
    place, flip = bit // 8, 1 << bit % 8
    signature, date = event.headers[":chunk-signature"], event.headers[":date"]
    assert isinstance(signature, bytes)
    assert isinstance(date, Timestamp)
    whole = bytearray(event.payload + date.to_bytes(8, "big") + signature)
    whole[place] ^= flip
    changed = Message(
        {":date": Timestamp(int.from_bytes(whole[3:11], "big", signed=True)), ":chunk-signature": bytes(whole[11:])},
        bytes(whole[:3]),
    )
    assert outcome(stream.chain.open, changed) in {"invalid-signature", "clock-skew"}


values = (
    st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.integers(-(2**63), 2**63 - 1).map(Timestamp)
    | st.binary(max_size=40)
    | st.binary(min_size=32, max_size=32)
    | st.text(max_size=9)
    | st.uuids()
)


@given(st.dictionaries(st.sampled_from([":date", ":chunk-signature"]) | st.text(), values), st.binary())
def test_any_event_that_nobody_signed_is_refused(headers: dict[str, Value], payload: bytes) -> None:
    assert outcome(Stream().chain.open, Message(headers, payload)) in {"invalid-signature", "clock-skew"}
