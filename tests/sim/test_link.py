"""Connections: order, breaks at any byte, late bytes, slow readers."""

import pytest

from parley.simulation.link import End, Link, LinkQuality
from parley.simulation.world import World


class Person:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.losses: list[int | None] = []
        self.blocks: list[bool] = []

    def message_received(self, _end: End, message: bytes) -> None:
        self.messages.append(message)

    def connection_lost(self, _end: End, code: int | None) -> None:
        self.losses.append(code)

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        self.blocks.append(is_blocked)


class Pair:
    """Two people on a link."""

    def __init__(self, quality: LinkQuality | None = None, *, discovery_max_s: float = 0.0) -> None:
        self.world = World(1)
        self.link = Link(self.world, ("a", "b"), quality or LinkQuality(), discovery_max_s=discovery_max_s)
        self.a, self.b = Person(), Person()
        self.link.ends[0].attach(self.a)
        self.link.ends[1].attach(self.b)

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.link.ends[0].send(message)

    def run(self, seconds: float = 60.0) -> None:
        self.world.run(self.world.now + seconds)


MESSAGES = [b"%d" % number * (number % 7) for number in range(200)]


@pytest.mark.parametrize("split_rate", [0.0, 0.5])
def test_messages_arrive_whole_and_in_order_whatever_the_jitter(split_rate: float) -> None:
    pair = Pair(LinkQuality(0.01, jitter_s=0.5, split_rate=split_rate))
    pair.send(*MESSAGES)
    pair.link.stall(1.0)
    pair.send(*MESSAGES)
    pair.run()
    assert pair.b.messages == MESSAGES * 2


@pytest.mark.parametrize("size_bytes", range(0, 60, 7))
def test_a_message_that_is_cut_is_not_delivered_and_those_before_it_are(size_bytes: int) -> None:
    pair = Pair()
    pair.link.break_after(0, size_bytes)
    pair.send(b"x" * 10, b"y" * 10, b"z" * 10, b"-" * 30)
    pair.run()
    # Each message has four bytes of length before it.
    assert pair.b.messages == [b"x" * 10, b"y" * 10, b"z" * 10][: size_bytes // 14]
    assert pair.a.losses == pair.b.losses == [None]


def test_a_stream_that_broke_stays_broken() -> None:
    pair = Pair(discovery_max_s=5.0)
    pair.link.break_after(0, 3)
    pair.send(b"one")
    pair.link.break_after(0, 1_000)
    pair.send(b"two")
    pair.run()
    assert pair.b.messages == []


def test_a_close_comes_after_what_was_written_before_it() -> None:
    pair = Pair()
    pair.send(b"last words")
    pair.link.ends[0].close(4409)
    pair.run()
    assert pair.b.messages == [b"last words"]
    assert pair.b.losses == [4409]
    assert pair.a.losses == []
    assert not pair.link.is_open


def test_an_end_that_closes_and_listens_still_hears_what_was_on_its_way() -> None:
    pair = Pair(LinkQuality(0.1))
    pair.send(b"late")
    pair.link.ends[1].close_and_listen(4409)
    pair.run()
    assert pair.b.messages == [b"late"]
    assert pair.a.losses == [4409]
    assert pair.b.losses == [None]


def test_bytes_linger_after_their_sender_has_lost_the_connection() -> None:
    pair = Pair(LinkQuality(0.1))
    pair.send(b"on its way")
    pair.link.linger(3.0)
    assert pair.a.losses == [None]
    pair.run(2.9)
    assert pair.b.messages == []
    pair.run()
    assert pair.b.messages == [b"on its way"]
    assert pair.b.losses == [None]


def test_what_a_half_closed_end_writes_never_arrives_and_both_find_out_in_the_end() -> None:
    pair = Pair()
    pair.link.half_close(0)
    pair.send(b"into nothing")
    pair.link.ends[1].send(b"heard")
    pair.run()
    assert pair.b.messages == []
    assert pair.a.messages == [b"heard"]
    assert pair.a.losses == pair.b.losses == [None]


def test_a_writer_is_told_that_nobody_reads_and_that_somebody_does_again() -> None:
    pair = Pair()
    pair.link.ends[1].pause(True)
    pair.send(*[b"x" * 1_000] * 30)
    pair.run()
    assert pair.a.blocks == [True]
    assert pair.b.messages == []
    pair.link.ends[1].pause(False)
    assert pair.a.blocks == [True, False]
    assert len(pair.b.messages) == 30
