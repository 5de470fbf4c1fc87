"""The way out to the client: numbered for those who opted in, held while nobody takes it, kept until acknowledged."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from parley.core.content import SAMPLE_RATE, Text
from parley.core.effects import Effect, SendDelta, SendDone, SendError, SendNotice
from parley.core.errors import ParleyError
from parley.core.invariants import Invariant
from parley.core.ledger import Ledger, Output
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import Notice, Resumed
from parley.core.outbox import NOWHERE, Interval, Outbox
from parley.core.tally import Tally
from parley.core.usage import Usage


def output_limit_bytes(limits: SessionLimits) -> int:
    """The most that may wait where the bound alone ends no session: text that is let through while the model comes to a
    halt, and the text of a turn's end, which is never dropped."""
    return 2 * limits.output_max_bytes + limits.turn_text_max_bytes


class Outlet:
    """Turns results into effects, appended to `out`. Raises ParleyError slow-client when too much is held.

    `is_open`: somebody is attached and reads. `is_numbered`: the client opted in to the session's contract. `policy` is
    what happens when more is held than may be; whatever it is, `output_limit_bytes` is never exceeded.
    """

    __slots__ = ("_ledger", "_limit_bytes", "_out", "_outbox", "is_numbered", "is_open", "policy")

    def __init__(self, limits: SessionLimits, out: list[Effect], tally: Tally | None = None) -> None:
        self._out = out
        self._outbox = Outbox(limits.output_max_bytes, int(limits.output_max_s * SAMPLE_RATE), tally)
        self._ledger = Ledger(limits.ledger_max_bytes)
        self._limit_bytes = output_limit_bytes(limits)
        self.policy = limits.output_policy
        self.is_open = True
        self.is_numbered = False

    @property
    def held_bytes(self) -> int:
        """The memory that outputs take, sent or not."""
        return self._outbox.held_bytes + self._ledger.bytes

    @property
    def unsent_bytes(self) -> int:
        """The memory of what waits for the client."""
        return self._outbox.held_bytes

    @property
    def is_blocking(self) -> bool:
        """Whether so much is held that nothing more is to be asked of the model."""
        return not self.is_open and self.policy is AtBound.BLOCK and self._outbox.is_full

    # ---- what there is to say

    def delta(self, text: Text, item: int, interval: Interval = NOWHERE) -> None:
        """A piece of a turn's transcript. `interval`, on the session's cursor, is that of the audio that it is of; it
        is of no account while somebody reads."""
        if not self.is_open:
            self._outbox.hold_delta(text, item if self.is_numbered else 0, interval)
            self._bound()
        elif self.is_numbered:
            # The one that outnumbers all others is not made twice.
            numbered = SendDelta(text, self._ledger.last + 1, item)
            self._ledger.enter(numbered)
            self._out.append(numbered)
        else:
            self._out.append(SendDelta(text))

    def done(self, text: Text, usage: Usage, item: int, text_from: int | None) -> None:
        """The end of a turn."""
        self._put(SendDone(text, usage, item=item if self.is_numbered else 0, text_from=text_from))

    def error(self, error: ParleyError) -> None:
        """An error that does not end the session. One that is not numbered belongs nowhere among the results."""
        if self.is_numbered:
            self._put(SendError(error))
        else:
            self._out.append(SendError(error))

    def notice(self, notice: Notice) -> None:
        """What became of the session or a turn: for those who opted in."""
        if self.is_numbered:
            self._put(SendNotice(notice))

    def answer(self, notice: Notice) -> None:
        """The same as an answer to what only a client that knows Parley can have asked for."""
        self._put(SendNotice(notice))

    def state(self, notice: Notice) -> bool:
        """Where things stand: not numbered, and not kept for later. Whether it goes out."""
        if self.is_open:
            self._out.append(SendNotice(notice))
        return self.is_open

    def last_number(self) -> int:
        """The number for what is said last; 0 for those who did not opt in."""
        return self._ledger.next() if self.is_numbered else 0

    # ---- who listens

    def shut(self) -> None:
        """Nobody takes anything for now."""
        self.is_open = False

    def open(self) -> None:
        """Somebody takes it again: all that was held goes out."""
        self.is_open = True
        for output in self._outbox.release():
            if self.is_numbered:
                self._number(output)
            else:
                self._out.append(output)

    def begin_numbers(self) -> None:
        """The client opted in. What was held until now belongs to the time before numbers."""
        was_open = self.is_open
        self.open()
        self.is_open = was_open
        self.is_numbered = True

    def acknowledge(self, seq: int) -> bool:
        """The client has everything up to here; False when so much was never sent."""
        if seq > self._ledger.last:
            return False
        self._ledger.acknowledge(seq)
        return True

    def can_repeat(self, seq: int) -> bool:
        """Whether everything after this number can be sent again."""
        return self._ledger.reaches(seq)

    def resume(self, resumed: Resumed, seq: int) -> None:
        """A client is back that has everything up to a number: what it missed goes out, then what waited."""
        self._out.append(SendNotice(resumed))
        self._ledger.acknowledge(seq)
        self._out.extend(self._ledger.after(seq))
        self.open()

    def clear(self) -> None:
        """Drop everything that is kept."""
        self._ledger.clear()
        self._outbox.release()

    def _put(self, output: Output) -> None:
        if not self.is_open:
            self._outbox.hold(output)
            self._bound()
        elif self.is_numbered:
            self._number(output)
        else:
            self._out.append(output)

    def _number(self, output: Output) -> None:
        numbered = replace(output, seq=self._ledger.next())
        self._ledger.enter(numbered)
        self._out.append(numbered)

    def _bound(self) -> None:
        outbox = self._outbox
        if not outbox.is_full:
            return
        if self.policy is AtBound.DROP_OLDEST:
            # Those who have not opted in can't be told; the turn's end has all of its text.
            outbox.shed(is_told=self.is_numbered)
        if self.policy is AtBound.TERMINATE or outbox.held_bytes > self._limit_bytes:
            raise ParleyError("slow-client")

    def invariants(self) -> Iterator[Invariant]:
        """What holds of what is kept and held."""
        yield from self._ledger.invariants()
        yield from self._outbox.invariants()
        yield not self.is_open or not self._outbox.held_bytes, "what can be sent is not held"

    def kept(self) -> tuple[int, list[Output], list[Output]]:
        """For a session that goes on elsewhere: the number up to which the client has everything, what it was sent
        after that, and what waits, in order."""
        waiting = self._outbox.waiting()
        return self._ledger.acknowledged, self._ledger.after(self._ledger.acknowledged), waiting

    def restore(self, acknowledged: int, sent: Iterable[Output], waiting: Iterable[Output]) -> None:
        """Go on with what another outlet kept, for a client that opted in and is not there yet.

        Raises:
            ValueError: the numbers of what was sent don't follow.
        """
        self.is_numbered, self.is_open = True, False
        self._ledger.restore(acknowledged, sent)
        self._wait(waiting)

    def _wait(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, SendDelta):
                self._outbox.hold_delta(output.text, output.item)
            else:
                self._outbox.hold(output)
