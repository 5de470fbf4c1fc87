"""The fuzzing targets run for a moment with every run of the tests; each finds a fault that is put in."""

from collections.abc import Callable
from random import Random

import pytest

from parley.access.identity import EventGuard
from parley.ingress.http2.part_reader import PartReader
from parley.wire.event_stream import Decoder, Message
from tests.fuzz import codec, http2, signatures
from tests.fuzz.__main__ import TARGETS, fuzz
from tests.ingress.http2.wireless import Wireless

ROUNDS = {"codec": 500, "signatures": 200, "http2": 60}
FINDS_WITHIN_ROUNDS = 1_000


@pytest.mark.parametrize("name", TARGETS)
def test_a_moment_of_fuzzing_finds_nothing(name: str) -> None:
    assert fuzz({name: TARGETS[name]}, 0, lambda rounds: rounds >= ROUNDS[name]) is None


class ForgetfulDecoder(Decoder):
    """Loses what is incomplete when a single byte comes."""

    def feed(self, data: bytes) -> list[Message]:
        if len(data) == 1:
            self._buffer.clear()
        return super().feed(data)


class GullibleReader(PartReader):
    """Verifies nothing."""

    def __init__(self, _guard: EventGuard | None) -> None:
        super().__init__(None, 4_096)


class LossyLink(Wireless):
    """Loses bytes that come alone."""

    def feed(self, data: bytes, piece_bytes: int | None = None) -> None:
        super().feed(data if len(data) != 1 or data > b"\x02" else b"", piece_bytes)


@pytest.mark.parametrize(
    "run",
    [
        lambda random: codec.run(random, lambda: ForgetfulDecoder(codec.MESSAGE_MAX_BYTES)),
        lambda random: signatures.run(random, GullibleReader),
        lambda random: http2.run(random, LossyLink),
    ],
    ids=["codec", "signatures", "http2"],
)
def test_a_fault_that_is_put_in_is_found(run: Callable[[Random], None]) -> None:
    finding = fuzz({"faulty": run}, 0, lambda rounds: rounds >= FINDS_WITHIN_ROUNDS)
    assert finding is not None
    assert "AssertionError" in finding
    assert "--seed" in finding
