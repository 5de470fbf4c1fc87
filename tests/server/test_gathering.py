"""Small pieces of audio go on as the model's frames, as early as alone, and counted as what they came in."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core import events as ev
from parley.core.content import Audio
from parley.core.events import ClientEvent
from parley.core.profile import VOXTRAL
from parley.server.gathering import Gathering
from parley.wire.vllm import encode_audio, pcm_of

FRAME = VOXTRAL.frame_samples
AHEAD = VOXTRAL.look_ahead_samples


def piece(samples: int, value: int = 1) -> Audio:
    return encode_audio(value.to_bytes(2, "little") * samples)


@dataclass
class Session:
    """What a session would have got."""

    taken: list[tuple[bytes, int] | ClientEvent] = field(default_factory=list)
    received: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self.gathering = Gathering(self.rest, self.taken.append, self.take)

    def rest(self) -> int:
        self.asked += 1
        return (AHEAD - self.received) % FRAME or FRAME

    def take(self, audio: Audio, messages: int) -> None:
        self.received += audio.samples
        self.taken.append((pcm_of(audio), messages))

    @property
    def samples(self) -> list[int]:
        return [len(one[0]) // 2 for one in self.taken if isinstance(one, tuple)]

    @property
    def messages(self) -> list[int]:
        return [one[1] for one in self.taken if isinstance(one, tuple)]


@pytest.fixture
def session() -> Session:
    return Session()


def test_pieces_of_20_ms_go_on_four_at_a_time(session: Session) -> None:
    for _ in range(17):
        session.gathering.receive_audio(piece(320))
    # The turn's first frame is whole with the first piece: 2.5 ms of it are the look-ahead.
    assert session.samples == [320, 1280, 1280, 1280, 1280]
    assert session.messages == [1, 4, 4, 4, 4]


def test_a_piece_that_is_a_frame_or_more_is_passed_on_as_it_is(session: Session) -> None:
    whole = piece(1600, 7)
    session.gathering.receive_audio(whole)
    assert session.taken == [(pcm_of(whole), 1)]


def test_another_event_takes_along_what_waits(session: Session) -> None:
    for size in (320, 320, 160):
        session.gathering.receive_audio(piece(size))
    end = ev.TurnEnded()
    session.gathering.receive(end)
    assert session.samples == [320, 480]
    assert session.taken[-1] is end


def test_what_is_no_input_does_not_take_it_along(session: Session) -> None:
    for event in (None, ev.OutputAcked(3), ev.ClientBlocked(), ev.ClientUnblocked()):
        if event is not None:
            session.gathering.receive(event)
        session.gathering.receive_audio(piece(320))
    assert session.samples == [320]


def test_an_event_with_nothing_waiting_goes_on_alone(session: Session) -> None:
    session.gathering.receive(ev.TurnStarted())
    assert session.taken == [ev.TurnStarted()]


def test_after_another_event_frames_are_counted_anew(session: Session) -> None:
    session.gathering.receive_audio(piece(320))
    session.gathering.receive(ev.TurnEnded())
    session.received = 0
    session.gathering.receive_audio(piece(39))
    session.gathering.receive_audio(piece(1))
    assert session.samples == [320, 40]


def test_audio_in_the_smallest_pieces_is_bounded_in_their_number(session: Session) -> None:
    session.received = AHEAD
    for _ in range(200):
        session.gathering.receive_audio(piece(1))
    assert max(session.messages) <= 65


@given(st.lists(st.one_of(st.integers(1, 2_000), st.none()), max_size=60))
def test_nothing_is_lost_doubled_or_late_whatever_the_sizes(sizes: list[int | None]) -> None:
    session = Session()
    sent, messages = b"", 0
    for number, size in enumerate(sizes):
        if size is None:
            session.gathering.receive(ev.ClientBlocked())
        else:
            audio = piece(size, number % 30_000)
            sent += pcm_of(audio)
            messages += 1
            session.gathering.receive_audio(audio)
        # Every frame that is whole has gone on.
        received = len(sent) // 2
        assert (session.received - AHEAD) // FRAME == (received - AHEAD) // FRAME
    session.gathering.receive(ev.TurnEnded())
    assert b"".join(one[0] for one in session.taken if isinstance(one, tuple)) == sent
    assert sum(session.messages) == messages
