from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import ParleyError
from parley.wire.fragments import FragmentBuffer

OVERHEAD = 64


def test_a_new_buffer_has_no_message_open() -> None:
    assert not FragmentBuffer(1_000).is_open


@pytest.mark.parametrize("is_binary", [False, True])
def test_the_last_fragment_completes_the_message_of_the_first_ones_kind(is_binary: bool) -> None:
    buffer = FragmentBuffer(1_000)
    buffer.begin(b"one ", is_binary=is_binary)
    assert buffer.is_open
    assert buffer.append(b"two ", is_last=False) is None
    assert buffer.append(b"three", is_last=True) == (b"one two three", is_binary)
    assert not buffer.is_open


def test_nothing_of_a_message_is_left_for_the_next_one() -> None:
    buffer = FragmentBuffer(2 * (100 + OVERHEAD))
    for _ in range(20):
        buffer.begin(b"a" * 100, is_binary=True)
        assert buffer.append(b"b" * 100, is_last=True) == (b"a" * 100 + b"b" * 100, True)
    buffer.begin(b"", is_binary=False)
    assert buffer.append(b"", is_last=True) == (b"", False)


@given(st.binary(max_size=300), st.lists(st.integers(0, 299), max_size=8))
def test_a_message_is_the_same_however_it_was_cut(message: bytes, cuts: list[int]) -> None:
    edges = sorted([0, *(cut % (len(message) + 1) for cut in cuts), len(message), len(message)])
    parts = [message[a:b] for a, b in pairwise(edges)]
    buffer = FragmentBuffer(10_000)
    buffer.begin(parts[0], is_binary=False)
    middle = [buffer.append(part, is_last=False) for part in parts[1:-1]]
    assert middle == [None] * len(middle)
    assert buffer.append(parts[-1], is_last=True) == (message, False)


def refused(buffer: FragmentBuffer, *, begin: bool) -> tuple[str, str]:
    take = partial(buffer.begin, is_binary=False) if begin else partial(buffer.append, is_last=True)
    with pytest.raises(ParleyError) as caught:
        take(b"secret")
    assert "secret" not in str(caught.value)
    return caught.value.code, caught.value.detail


def test_a_message_that_begins_inside_another_is_refused() -> None:
    buffer = FragmentBuffer(1_000)
    buffer.begin(b"one", is_binary=False)
    assert refused(buffer, begin=True) == ("bad-request", "A message began before the one before it was complete.")


def test_a_continuation_of_nothing_is_refused() -> None:
    why = ("bad-request", "A continuation frame arrived without a message to continue.")
    buffer = FragmentBuffer(1_000)
    assert refused(buffer, begin=False) == why
    buffer.begin(b"one", is_binary=False)
    buffer.append(b"two", is_last=True)
    assert refused(buffer, begin=False) == why


def test_a_message_of_the_bound_is_taken_and_one_byte_more_is_not() -> None:
    buffer = FragmentBuffer(2 * OVERHEAD + 20)
    buffer.begin(b"x" * 14, is_binary=False)
    assert buffer.append(b"secret", is_last=True) is not None
    buffer.begin(b"x" * 15, is_binary=False)
    assert refused(buffer, begin=False) == ("message-too-large", "It may be 148 bytes long.")


def test_a_first_fragment_over_the_bound_is_refused() -> None:
    assert refused(FragmentBuffer(OVERHEAD + 5), begin=True) == ("message-too-large", "It may be 69 bytes long.")


def test_empty_fragments_cannot_be_sent_without_end() -> None:
    buffer = FragmentBuffer(10 * OVERHEAD)
    buffer.begin(b"", is_binary=False)
    for _ in range(9):
        assert buffer.append(b"", is_last=False) is None
    assert refused(buffer, begin=False)[0] == "message-too-large"
