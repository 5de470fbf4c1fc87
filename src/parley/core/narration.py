"""What the client is told of a turn's text, whichever leg says it."""

from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.core.keeping import Keeping
from parley.core.leg import Leg
from parley.core.notices import TextRevised, TurnFailed
from parley.core.outbox import NOWHERE
from parley.core.outlet import Outlet
from parley.core.profile import ModelProfile
from parley.core.rejoin import Joint
from parley.core.turns import Turn
from parley.core.usage import Usage

_EMPTY = Text(b'""')


class Narration:
    """Passes on what is new, once.

    Deltas without text are passed on only when asked for, and never twice for a frame, so that they stay a clock.
    """

    __slots__ = ("_forwards_empty", "_keeping", "_outlet", "_step_samples")

    def __init__(
        self, outlet: Outlet, profile: ModelProfile, *, forwards_empty: bool, keeping: Keeping | None = None
    ) -> None:
        self._outlet = outlet
        self._keeping = keeping
        self._step_samples = profile.frame_samples if profile.has_clock else 0
        self._forwards_empty = forwards_empty

    def hear(self, leg: Leg, turn: Turn, text: Text) -> None:
        """The leg at work moved on by a frame, saying this."""
        rejoin, position = leg.rejoin, leg.spoken
        if rejoin is None:
            if not text.is_empty:
                since = turn.transcript.last_position
                turn.transcript.add(position, text)
                self._say(turn, text, since, position)
            else:
                self._tick(turn, position)
        else:
            joint = rejoin.hear(position, text)
            if joint is None or not self.join(leg, turn, joint):
                self._tick(turn, position)
        turn.top = max(turn.top, position)

    def _tick(self, turn: Turn, position: int) -> None:
        if self._forwards_empty and position > turn.top:
            self._say(turn, _EMPTY, turn.transcript.last_position, position)

    def _say(self, turn: Turn, text: Text, since: int, position: int) -> None:
        """Pass on what was said by a position, the text before it having been said by another."""
        outlet = self._outlet
        outlet.delta(text, turn.item, NOWHERE if outlet.is_open else turn.interval(since, position))

    def join(self, leg: Leg, turn: Turn, joint: Joint) -> bool:
        """A new leg has said again what had been said; from here on it speaks for itself. Whether it said more."""
        rejoin = leg.rejoin
        assert rejoin is not None, "it was compared"
        leg.rejoin = None
        differs = joint.common is not None or rejoin.ends_otherwise
        since = turn.transcript.last_position
        is_told = bool(joint.rest) or self._outlet.is_numbered
        turn.transcript.replace_recent(rejoin.entries, ends_otherwise=differs and not is_told)
        if joint.common is not None and self._outlet.is_numbered:
            begin = leg.prefix_characters
            revised = TextRevised(
                turn.item,
                begin + joint.common,
                begin + len(rejoin.said),
                Text.of(rejoin.heard[joint.common :]),
                turn.interval(leg.base, min(leg.spoken, turn.received_samples)),
            )
            self._outlet.notice(revised)
            return False
        if joint.rest:
            self._say(turn, Text.of(joint.rest), since, max(since, leg.spoken))
        return bool(joint.rest)

    def hand_over(self, leg: Leg, turn: Turn, joint: Joint) -> None:
        """A successor takes over from the leg at work, perhaps a few frames ahead of it."""
        said_more = leg.rejoin is not None and self.join(leg, turn, joint)
        last = leg.spoken - 1 if said_more else leg.spoken
        for position in range(turn.top + self._step_samples, last + 1, self._step_samples or 1):
            self._tick(turn, position)
        turn.top = max(turn.top, leg.spoken)

    def pass_silence(self, turn: Turn, position: int) -> None:
        """No model hears the silence up to a position, and none would have said anything of it."""
        for each in range(turn.top + self._step_samples, position + 1, self._step_samples):
            self._tick(turn, each)
        turn.top = max(turn.top, position)

    def end(self, leg: Leg, turn: Turn, text: Text, usage: Usage) -> None:
        """A leg ended its turn: the final text is what was settled before the leg began, and what it said."""
        if leg.rejoin is not None:
            self.join(leg, turn, leg.rejoin.conclude())
        text_from = None
        if leg.prefix:
            if turn.transcript.from_position:
                text_from = turn.cursor(min(turn.transcript.from_position, leg.base))
            text = turn.transcript.final(leg.prefix, text)
        if leg.base and self._step_samples:
            # As many steps as a leg that had heard all of the turn would have made.
            steps = leg.base // self._step_samples
            usage = Usage(usage.prompt_tokens, usage.completion_tokens + steps, usage.total_tokens + steps)
        self._outlet.done(text, usage, turn.item, text_from)
        if self._keeping is not None:
            self._keeping.ended(turn, text, text_from)

    def end_empty(self, turn: Turn) -> None:
        """A turn without audio is over."""
        self._outlet.done(_EMPTY, Usage(), turn.item, None)

    def fail(self, turn: Turn, cause: ParleyError) -> None:
        """A turn has no end."""
        failure = ParleyError("turn-failed", f"The last cause was {cause.code}.")
        if self._outlet.is_numbered:
            self._outlet.notice(TurnFailed(turn.item, failure))
        else:
            self._outlet.error(failure)
