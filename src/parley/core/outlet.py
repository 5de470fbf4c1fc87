"""The way out to the client: numbered for those who opted in, held while nobody takes it, kept until acknowledged."""

from dataclasses import replace

from parley.core.content import Text
from parley.core.effects import Effect, SendDelta, SendDone, SendError, SendNotice
from parley.core.errors import ParleyError
from parley.core.ledger import Ledger, Output
from parley.core.limits import SessionLimits
from parley.core.notices import Notice, Resumed
from parley.core.outbox import Outbox
from parley.core.usage import Usage


class Outlet:
    """Turns results into effects, appended to `out`. Raises ParleyError slow-client when too much is held.

    `is_open`: somebody is attached and reads. `is_numbered`: the client opted in to the session's contract.
    """

    __slots__ = ("_ledger", "_out", "_outbox", "is_numbered", "is_open")

    def __init__(self, limits: SessionLimits, out: list[Effect]) -> None:
        self._out = out
        self._outbox = Outbox(limits.output_max_bytes)
        self._ledger = Ledger(limits.ledger_max_bytes)
        self.is_open = True
        self.is_numbered = False

    @property
    def held_bytes(self) -> int:
        """The memory that outputs take, sent or not."""
        return self._outbox.held_bytes + self._ledger.bytes

    # ---- what there is to say

    def delta(self, text: Text, item: int) -> None:
        """A piece of a turn's transcript."""
        if not self.is_open:
            self._outbox.hold_delta(text, item if self.is_numbered else 0)
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
        if self._outbox.is_full:
            raise ParleyError("slow-client")

    def check(self) -> None:
        """Assert the invariants."""
        self._ledger.check()
        assert not self.is_open or not self._outbox.held_bytes, "what can be sent is not held"
