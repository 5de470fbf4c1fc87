"""States as bytes: what is written is read again, by this release and by others, and garbage is told from both."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.notices import Intervals
from parley.core.snapshot import (
    JournalState,
    LifetimeState,
    OutputKind,
    OutputState,
    RecoveryState,
    SessionState,
    StoredSession,
    TranscriptState,
    TurnState,
)
from parley.wire import snapshot
from parley.wire.snapshot import VERSION, decode, encode

MAX = 1_000_000

numbers = st.integers(0, 2**40)
seconds = st.floats(0, 1e9, allow_nan=False)
names = st.text(max_size=20)
texts = st.text(max_size=20).map(Text.of)
pieces = st.builds(Audio, st.binary(max_size=40), st.integers(1, 99))
intervals: st.SearchStrategy[Intervals] = st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple)
said = st.lists(st.tuples(numbers, texts), max_size=3).map(tuple)
outputs = st.builds(
    OutputState,
    st.sampled_from(OutputKind),
    numbers,
    numbers,
    st.none() | texts,
    st.lists(numbers, max_size=4).map(tuple),
    names,
    names,
    st.none() | seconds,
    intervals,
    intervals,
)
turns = st.builds(
    TurnState,
    *(numbers, numbers, st.booleans(), st.booleans(), st.booleans()),
    *(numbers, numbers, numbers, numbers, seconds, numbers),
    st.builds(TranscriptState, said, said, numbers, numbers, numbers, st.booleans(), numbers),
    st.builds(JournalState, numbers, numbers, st.lists(pieces, max_size=3).map(tuple)),
    st.lists(st.tuples(numbers, numbers, numbers), max_size=2).map(tuple),
)
states = st.builds(
    SessionState,
    inputs=numbers,
    cursor=numbers,
    acknowledged=numbers,
    items=numbers,
    model_named=st.booleans(),
    errors=numbers,
    forward_empty_deltas=st.booleans(),
    input_policy=names,
    output_policy=names,
    sent=st.lists(outputs, max_size=3).map(tuple),
    waiting=st.lists(outputs, max_size=3).map(tuple),
    turns=st.lists(turns, max_size=2).map(tuple),
    recovery=st.none() | st.builds(RecoveryState, numbers, names, names, st.booleans(), numbers, intervals),
    restored=intervals,
    missed=intervals,
    counts_otherwise=st.sampled_from([None, False, True]),
    mutes=numbers,
    retention=names,
    lifetime=st.builds(LifetimeState, seconds),
)
sessions = st.builds(
    StoredSession,
    session_id=names,
    created_s=numbers,
    principal=names,
    model=names,
    frame_samples=numbers,
    expires_s=seconds,
    state=states,
)


@given(sessions)
def test_what_is_written_is_read_again(stored: StoredSession) -> None:
    assert decode(encode(stored, MAX), MAX) == stored


FULL = StoredSession(
    session_id="sess-1",
    created_s=1_700_000_000,
    principal="owner",
    model="voxtral",
    frame_samples=1_280,
    expires_s=1_700_000_030.5,
    state=SessionState(
        inputs=12,
        cursor=48_000,
        acknowledged=3,
        items=2,
        model_named=True,
        errors=1,
        forward_empty_deltas=True,
        input_policy="block",
        output_policy="terminate",
        sent=(
            OutputState(OutputKind.DELTA, 4, 1, Text.of(" h\u00e9")),
            OutputState(OutputKind.DONE, 5, 1, Text.of(" h\u00e9"), (39, 23, 62, 1_280)),
            OutputState(OutputKind.ERROR, 6, code="invalid-json", detail="It.", retry_after_s=2.0),
        ),
        waiting=(OutputState(OutputKind.RECOVERED, code="rehydrated", replayed=((0, 1),), lost=((1, 2),)),),
        turns=(
            TurnState(
                item=2,
                begin=16_000,
                started=True,
                closed=True,
                given_up=False,
                fed=32_000,
                replay_point=1_280,
                furthest=2_560,
                failures=1,
                short_share=0.5,
                top=2_560,
                transcript=TranscriptState(((640, Text.of(" a")),), ((2_560, Text.of(" b")),), 1, 2_560, 3, True, 2),
                journal=JournalState(7, 1_200, (Audio(b"AAAA", 1), Audio(b"AAAAAAA=", 2))),
                holes=((1, 2, 3),),
            ),
        ),
        recovery=RecoveryState(2_560, "moved", "detail", True, 1_280, ((5, 6),)),
        restored=((1, 2),),
        missed=((3, 4),),
        counts_otherwise=False,
        mutes=1,
        lifetime=LifetimeState(61.5),
    ),
)
"""A value in every field."""

GOLDEN = (
    "930101c5045887aa73657373696f6e5f6964a6736573732d31a9637265617465645f73ce6553f100a97072696e636970616c"
    "a56f776e6572a56d6f64656ca7766f787472616cad6672616d655f73616d706c6573cd0500a9657870697265735f73cb41d9"
    "54fc47a00000a57374617465de0012a6696e707574730ca6637572736f72cdbb80ac61636b6e6f776c656467656403a56974"
    "656d7302ab6d6f64656c5f6e616d6564c3a66572726f727301b4666f72776172645f656d7074795f64656c746173c3ac696e"
    "7075745f706f6c696379a5626c6f636bad6f75747075745f706f6c696379a97465726d696e617465a473656e74938aa46b69"
    "6e64a564656c7461a373657104a46974656d01a474657874c406222068c3a922a76e756d6265727390a4636f6465a0a66465"
    "7461696ca0ad72657472795f61667465725f73c0a87265706c6179656490a46c6f7374908aa46b696e64a4646f6e65a37365"
    "7105a46974656d01a474657874c406222068c3a922a76e756d626572739427173ecd0500a4636f6465a0a664657461696ca0"
    "ad72657472795f61667465725f73c0a87265706c6179656490a46c6f7374908aa46b696e64a56572726f72a373657106a469"
    "74656d00a474657874c0a76e756d6265727390a4636f6465ac696e76616c69642d6a736f6ea664657461696ca349742ead72"
    "657472795f61667465725f73cb4000000000000000a87265706c6179656490a46c6f737490a777616974696e67918aa46b69"
    "6e64a97265636f7665726564a373657100a46974656d00a474657874c0a76e756d6265727390a4636f6465aa726568796472"
    "61746564a664657461696ca0ad72657472795f61667465725f73c0a87265706c6179656491920001a46c6f737491920102a5"
    "7475726e73918ea46974656d02a5626567696ecd3e80a773746172746564c3a6636c6f736564c3a8676976656e5f7570c2a3"
    "666564cd7d00ac7265706c61795f706f696e74cd0500a86675727468657374cd0a00a86661696c7572657301ab73686f7274"
    "5f7368617265cb3fe0000000000000a3746f70cd0a00aa7472616e73637269707487a7736574746c65649192cd0280c40422"
    "206122a6726563656e749192cd0a00c40422206222a764726f7070656401ad6c6173745f706f736974696f6ecd0a00ad6672"
    "6f6d5f706f736974696f6e03ae656e64735f6f7468657277697365c3b2736574746c65645f6368617261637465727302a76a"
    "6f75726e616c83a5666972737407a57374617274cd04b0a6706965636573929201c404414141419202c40841414141414141"
    "3da5686f6c65739193010203a87265636f7665727986a8706f736974696f6ecd0a00a4636f6465a56d6f766564a664657461"
    "696ca664657461696ca76861645f6c6567c3ad7265706c617965645f66726f6dcd0500a46c6f737491920506a8726573746f"
    "72656491920102a66d697373656491920304b0636f756e74735f6f7468657277697365c2a56d7574657301a86c6966657469"
    "6d6581a56167655f73cb404ec00000000000"
)
"""What the first release wrote of it. It may never be changed: servers of all releases have to read it."""


def test_what_the_first_release_wrote_can_be_read_for_ever() -> None:
    assert decode(bytes.fromhex(GOLDEN), MAX) == FULL


# ---- other releases


def rewritten(version: int, readable_by: int, **added: object) -> bytes:
    """The same state as another release would write it."""
    _, _, body = msgspec.msgpack.decode(encode(FULL, MAX))
    fields = msgspec.msgpack.decode(body)
    fields.update(added)
    fields["state"].update(added)
    fields["state"]["turns"][0].update(added)
    fields["state"]["sent"][0].update(added)
    return msgspec.msgpack.encode([version, readable_by, msgspec.msgpack.encode(fields)])


def test_fields_of_a_newer_release_that_may_be_passed_over_are() -> None:
    assert decode(rewritten(VERSION + 1, VERSION, unheard_of=[1, 2]), MAX) == FULL


def test_fields_that_an_older_release_did_not_have_take_their_defaults() -> None:
    _, _, body = msgspec.msgpack.decode(encode(FULL, MAX))
    fields = msgspec.msgpack.decode(body)
    for name in ("lifetime", "mutes", "recovery", "input_policy"):
        del fields["state"][name]
    del fields["state"]["turns"][0]["holes"]
    data = msgspec.msgpack.encode([1, 1, msgspec.msgpack.encode(fields)])
    state = decode(data, MAX).state
    assert (state.lifetime, state.mutes, state.recovery, state.input_policy) == (LifetimeState(), 0, None, "")
    assert state.turns[0].holes == ()


def refusal(data: bytes, bytes_max: int = MAX) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        decode(data, bytes_max)
    return caught.value


def test_a_state_that_only_a_newer_release_can_read_is_told_so() -> None:
    error = refusal(rewritten(VERSION + 2, VERSION + 1))
    assert error.code == "state-unsupported"
    assert f"version {VERSION + 1}" in error.message


def test_a_body_that_is_not_to_be_read_may_be_anything() -> None:
    assert refusal(msgspec.msgpack.encode([9, 9, b"anything"])).code == "state-unsupported"


# ---- what is none


@given(st.binary(max_size=200))
def test_garbage_is_told_and_not_quoted(garbage: bytes) -> None:
    assert refusal(garbage).code == "state-unreadable"


@pytest.mark.parametrize("body", [b"", b"zzgeheimnis", b"\x80", b"\xc0"])
def test_a_body_that_is_none_is_told_and_not_quoted(body: bytes) -> None:
    error = refusal(msgspec.msgpack.encode([1, 1, body]))
    assert error.code == "state-unreadable"
    assert "zz" not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize("piece", [1, [], [1], ["x", "y", "z"], None])
def test_audio_that_is_none_is_told(piece: object) -> None:
    _, _, body = msgspec.msgpack.decode(encode(FULL, MAX))
    fields = msgspec.msgpack.decode(body)
    fields["state"]["turns"][0]["journal"]["pieces"] = [piece]
    assert refusal(msgspec.msgpack.encode([1, 1, msgspec.msgpack.encode(fields)])).code == "state-unreadable"


def test_what_is_no_part_of_a_state_is_not_written() -> None:
    with pytest.raises(NotImplementedError):
        snapshot._plain(object())


def test_a_state_is_bounded_on_both_sides() -> None:
    data = encode(FULL, MAX)
    assert encode(FULL, len(data)) == data
    assert decode(data, len(data)) == FULL
    assert refusal(data, len(data) - 1).code == "state-unreadable"
    with pytest.raises(ParleyError, match="state-unreadable"):
        encode(FULL, len(data) - 1)


def test_content_does_not_print() -> None:
    assert "owner" not in repr(FULL)
