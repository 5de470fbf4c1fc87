from dataclasses import replace

import pytest

from parley.core.content import Text
from parley.core.effects import Effect, SendDelta, SendDone, SendError, SendNotice
from parley.core.errors import ParleyError
from parley.core.invariants import check
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import DropReason, Gap, InputAcked, Outcome, Recovering, Resumed, TurnCancelled
from parley.core.outlet import Outlet, output_limit_bytes
from parley.core.usage import Usage

WORD = Text.of(" word")
ERROR = ParleyError("invalid-json")
LOST = Recovering("upstream-closed")
GONE = TurnCancelled(1)
ACKED = InputAcked(1, 0)
BACK = Resumed(Outcome.RESUMED, 1, 0, (), ())


class Client:
    """An outlet and what came out of it."""

    def __init__(self, *, is_numbered: bool = False, limits: SessionLimits | None = None) -> None:
        self._out: list[Effect] = []
        self.outlet = Outlet(limits or SessionLimits(), self._out)
        self.outlet.is_numbered = is_numbered

    def take(self) -> list[Effect]:
        taken = self._out[:]
        self._out.clear()
        check(self.outlet.invariants())
        return taken


# ---- a client that has not opted in


def test_a_plain_client_gets_text_and_ends_without_numbers() -> None:
    client = Client()
    client.outlet.delta(WORD, 1)
    client.outlet.done(WORD, Usage(), 1, 320)
    assert client.take() == [SendDelta(WORD), SendDone(WORD, Usage(), text_from=320)]


def test_a_plain_client_is_not_told_what_became_of_its_session() -> None:
    client = Client()
    client.outlet.notice(LOST)
    assert client.take() == []


def test_a_plain_client_gets_the_answer_to_what_it_asked() -> None:
    client = Client()
    client.outlet.answer(GONE)
    assert client.take() == [SendNotice(GONE)]


def test_a_plain_client_is_told_of_an_error_at_once_even_when_it_does_not_read() -> None:
    client = Client()
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.error(ERROR)
    assert client.take() == [SendError(ERROR)]


def test_the_last_word_to_a_plain_client_has_no_number() -> None:
    assert Client().outlet.last_number() == 0


def test_what_a_plain_client_does_not_read_is_joined_and_sent_when_it_does() -> None:
    client = Client()
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.delta(WORD, 2)
    client.outlet.answer(GONE)
    assert client.take() == []
    client.outlet.open()
    assert client.take() == [SendDelta(Text.joined([WORD, WORD])), SendNotice(GONE)]


def test_nothing_is_kept_of_what_a_plain_client_was_sent() -> None:
    client = Client()
    client.outlet.delta(WORD, 1)
    assert client.outlet.held_bytes == 0


# ---- a client that has


def test_everything_but_where_things_stand_is_numbered_without_gaps() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    client.outlet.state(ACKED)
    client.outlet.notice(LOST)
    client.outlet.error(ERROR)
    client.outlet.answer(GONE)
    client.outlet.done(WORD, Usage(), 1, None)
    assert client.take() == [
        SendDelta(WORD, seq=1, item=1),
        SendNotice(ACKED),
        SendNotice(LOST, seq=2),
        SendError(ERROR, seq=3),
        SendNotice(GONE, seq=4),
        SendDone(WORD, Usage(), seq=5, item=1),
    ]
    assert client.outlet.last_number() == 6


def test_a_number_is_given_when_an_output_leaves() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.delta(WORD, 1)
    client.outlet.error(ERROR)
    client.outlet.open()
    assert client.take() == [
        SendDelta(WORD, seq=1, item=1),
        SendDelta(Text.joined([WORD, WORD]), seq=2, item=1),
        SendError(ERROR, seq=3),
    ]


def test_where_things_stand_is_not_kept_for_later() -> None:
    client = Client(is_numbered=True)
    client.outlet.shut()
    client.outlet.state(ACKED)
    client.outlet.open()
    assert client.take() == []


def test_what_was_sent_is_kept_until_it_is_acknowledged() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    client.outlet.delta(WORD, 1)
    held = client.outlet.held_bytes
    assert client.outlet.acknowledge(1)
    assert 0 < client.outlet.held_bytes < held
    assert client.outlet.acknowledge(2)
    assert client.outlet.held_bytes == 0


def test_what_was_never_sent_cannot_be_acknowledged() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    assert not client.outlet.acknowledge(2)
    assert client.outlet.can_repeat(0)


def test_what_follows_a_number_is_sent_again_as_it_was() -> None:
    client = Client(is_numbered=True)
    for _ in range(3):
        client.outlet.delta(WORD, 1)
    sent = client.take()
    assert client.outlet.can_repeat(1)
    client.outlet.resume(BACK, 1)
    assert client.take() == [SendNotice(BACK), *sent[1:]]


def test_what_waited_follows_what_was_missed() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    sent = client.take()
    client.outlet.shut()
    client.outlet.error(ERROR)
    client.outlet.resume(BACK, 0)
    assert client.take() == [SendNotice(BACK), *sent, SendError(ERROR, seq=2)]
    assert client.outlet.is_open


def test_what_a_client_says_it_has_need_not_be_sent_again() -> None:
    client = Client(is_numbered=True)
    for _ in range(3):
        client.outlet.delta(WORD, 1)
    client.outlet.resume(BACK, 2)
    assert not client.outlet.can_repeat(1)


def test_clearing_drops_what_was_sent_and_what_was_not() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.clear()
    assert client.outlet.held_bytes == 0


# ---- opting in


def test_what_was_held_before_the_opt_in_goes_out_without_numbers() -> None:
    client = Client()
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.begin_numbers()
    assert client.take() == [SendDelta(WORD)]


@pytest.mark.parametrize("reads", [True, False])
def test_opting_in_does_not_make_a_client_read(reads: bool) -> None:
    client = Client()
    client.outlet.is_open = reads
    client.outlet.begin_numbers()
    client.outlet.delta(WORD, 1)
    assert bool(client.take()) is reads


# ---- the bound

TIGHT = SessionLimits(output_max_bytes=400, turn_text_max_bytes=1_000)
LONG = Text.of("x" * 400)


def slow(policy: AtBound, *, is_numbered: bool = False) -> Client:
    """A client that does not read."""
    client = Client(is_numbered=is_numbered, limits=replace(TIGHT, output_policy=policy))
    client.outlet.shut()
    return client


@pytest.mark.parametrize("is_numbered", [True, False])
def test_the_oldest_text_is_dropped_where_that_is_the_policy(is_numbered: bool) -> None:
    client = slow(AtBound.DROP_OLDEST, is_numbered=is_numbered)
    client.outlet.delta(LONG, 1, (100, 200))
    client.outlet.open()
    gap = SendNotice(Gap((100, 200), DropReason.SLOW_CLIENT), seq=1)
    assert client.take() == ([gap] if is_numbered else [])


@pytest.mark.parametrize("policy", [AtBound.DROP_OLDEST, AtBound.BLOCK])
def test_what_can_not_be_dropped_is_bounded_all_the_same(policy: AtBound) -> None:
    client = slow(policy)
    limit = output_limit_bytes(TIGHT)
    assert limit == 2 * 400 + 1_000
    for _ in range(limit // 512):
        client.outlet.answer(GONE)
    with pytest.raises(ParleyError, match="slow-client"):
        client.outlet.answer(GONE)


def test_the_model_is_to_wait_for_a_slow_client_until_it_reads_where_that_is_the_policy() -> None:
    client = slow(AtBound.BLOCK)
    seen = [client.outlet.is_blocking]
    client.outlet.delta(LONG, 1)
    seen.append(client.outlet.is_blocking)
    client.outlet.open()
    seen.append(client.outlet.is_blocking)
    assert (seen, client.take()) == ([False, True, False], [SendDelta(LONG)])


def test_seconds_of_audio_are_a_bound_as_bytes_are() -> None:
    client = Client(limits=SessionLimits(output_max_s=1.0))
    client.outlet.shut()
    client.outlet.delta(WORD, 1, (0, 16_000))
    with pytest.raises(ParleyError, match="slow-client"):
        client.outlet.delta(WORD, 1, (16_000, 16_001))


def test_what_waits_can_be_looked_at_and_kept_elsewhere() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    acknowledged, sent, waiting = client.outlet.kept()
    other = Client()
    other.outlet.restore(acknowledged, sent, waiting)
    assert (acknowledged, sent, waiting) == (0, [SendDelta(WORD, seq=1, item=1)], [SendDelta(WORD, item=1)])
    assert other.outlet.kept() == client.outlet.kept()


def test_a_delta_over_the_bound_is_too_much_for_a_client_that_does_not_read() -> None:
    client = Client(limits=TIGHT)
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    with pytest.raises(ParleyError, match="slow-client"):
        client.outlet.delta(LONG, 1)


def test_any_other_output_over_the_bound_is_too_much_as_well() -> None:
    client = Client(limits=TIGHT)
    client.outlet.shut()
    with pytest.raises(ParleyError, match="slow-client"):
        client.outlet.answer(GONE)


def test_a_check_fails_when_something_is_held_for_a_client_that_reads() -> None:
    client = Client()
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.is_open = True
    with pytest.raises(AssertionError, match="what can be sent is not held"):
        check(client.outlet.invariants())


# ---- another server


def test_another_outlet_goes_on_with_what_was_sent_and_what_waits() -> None:
    client = Client(is_numbered=True)
    client.outlet.delta(WORD, 1)
    client.outlet.acknowledge(1)
    client.outlet.delta(WORD, 1)
    client.outlet.shut()
    client.outlet.delta(WORD, 1)
    client.outlet.notice(LOST)
    acknowledged, sent, waiting = client.outlet.kept()
    assert (acknowledged, sent) == (1, [SendDelta(WORD, 2, 1)])
    assert waiting == [SendDelta(WORD, item=1), SendNotice(LOST)]
    other = Client()
    other.outlet.restore(acknowledged, sent, waiting)
    assert other.outlet.kept() == (acknowledged, sent, waiting)
    assert (other.outlet.is_numbered, other.outlet.is_open) == (True, False)
    other.outlet.resume(BACK, 1)
    assert other.take() == [
        SendNotice(BACK),
        SendDelta(WORD, 2, 1),
        SendDelta(WORD, 3, 1),
        SendNotice(LOST, 4),
    ]


def test_what_waits_for_a_client_that_does_not_read_has_a_size() -> None:
    outlet = Outlet(SessionLimits(), [])
    outlet.shut()
    outlet.delta(Text.of(" hello"), 1)
    waiting = outlet.unsent_bytes
    outlet.open()
    assert waiting > 0 == outlet.unsent_bytes
