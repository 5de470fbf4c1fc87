"""What the client sends: turns and their audio, counted, bounded and acknowledged."""

from collections.abc import Collection, Iterator
from typing import Protocol

from parley.core import events as ev
from parley.core.arrivals import Arrivals
from parley.core.backlog import Backlog
from parley.core.content import SAMPLE_RATE, Audio
from parley.core.effects import Effect, PauseInput, ResumeInput, SendAudio
from parley.core.errors import ParleyError
from parley.core.feed import STALL_LAG_SAMPLES
from parley.core.invariants import Invariant
from parley.core.keeping import Keeping
from parley.core.leg import LegState
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import InputAcked, InputCleared, TurnCancelled
from parley.core.outlet import Outlet
from parley.core.retention import RetentionTerms
from parley.core.supply import Supply
from parley.core.tally import Tally
from parley.core.turns import Turn, TurnQueue

_ACK_SAMPLES = SAMPLE_RATE
"""Audio after which the client is told that its input is safe."""


class TakeAudio(Protocol):
    """What `Intake.take_audio` is."""

    def __call__(self, audio: Audio, generation: int, now: float, messages: int = 1) -> bool:
        """See `Session.take_audio`; `messages` as in `AudioReceived`."""


class Intake:
    """Takes the input of one client. Effects are appended to `out`; a ParleyError that is raised ends the session.

    `generation` is the connection that is listened to, 0 for none; `is_finished` says that it brings nothing more,
    `is_paused` that it is not read for now.
    `inputs` counts messages since the client opted in, `cursor` samples since the session began; `arrivals` has when.
    `policy` is what happens when more audio waits for the model than may.
    """

    __slots__ = (
        "_acked_cursor",
        "_backlog",
        "_errors",
        "_is_starving",
        "_keeping",
        "_limits",
        "_model_named",
        "_models",
        "_out",
        "_outlet",
        "_owes_ack",
        "_supply",
        "_turns",
        "arrivals",
        "cursor",
        "generation",
        "inputs",
        "is_finished",
        "is_paused",
        "policy",
    )

    def __init__(
        self,
        limits: SessionLimits,
        models: Collection[str],
        turns: TurnQueue,
        supply: Supply,
        outlet: Outlet,
        out: list[Effect],
        tally: Tally | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        self._limits = limits
        self._backlog = Backlog(limits, turns, outlet, tally or Tally())
        self._models = models
        self._keeping = keeping or Keeping(RetentionTerms(), out)
        self._turns = turns
        self._supply = supply
        self._outlet = outlet
        self._out = out
        self._model_named = False
        self.is_paused = False
        self._is_starving = False
        self._owes_ack = False
        self._errors = 0
        self._acked_cursor = 0
        self.arrivals = Arrivals(turns)
        self.policy = limits.input_policy
        self.generation = 1
        self.inputs = 0
        self.cursor = 0
        self.is_finished = False

    def listen(self, generation: int) -> None:
        """From here on this connection is listened to; none of them has been told to pause."""
        self.generation = generation
        self.is_finished = False
        self.is_paused = False
        # Whoever comes back is told in another way.
        self._owes_ack = False

    def begin_count(self) -> None:
        """The client opted in: its messages count from here."""
        self.inputs = 0
        self._acked_cursor = self.cursor

    def acknowledge(self) -> None:
        """Tell the client what is safe, if it has opted in."""
        self._acked_cursor = self.cursor
        if self._outlet.is_numbered:
            self._owes_ack = not self._outlet.state(InputAcked(self.inputs, self.cursor))

    def reads_again(self) -> None:
        """The client reads again: it is told what it could not be told meanwhile."""
        if self._owes_ack:
            self.acknowledge()

    # ---- audio

    def take_audio(self, audio: Audio, generation: int, now: float, messages: int = 1) -> bool:
        """See `Session.take_audio`."""
        supply, turns = self._supply, self._turns
        leg = supply.legs.at_work
        if leg is None or leg.state is not LegState.RUNNING or generation != self.generation:
            return False
        turn, feed = leg.turn, supply.feed
        assert turn is not None
        journal = turn.journal
        # The turn's input is open, nothing waits before this piece, and the model keeps up.
        if turn.closed or turn.fed != journal.end or leg.fed != turn.fed or supply.legs.successor is not None:
            return False
        if leg.blocked or leg.fed - leg.consumed >= feed.window_samples:
            return False
        if turn.fed - journal.start > feed.kept_samples_max or turns.kept_bytes > feed.kept_bytes_max:
            return False
        if self.cursor + audio.samples - self._acked_cursor >= _ACK_SAMPLES:
            if self._outlet.is_numbered:
                return False
            self._acked_cursor = self.cursor
            self.arrivals.mark(self.cursor, now)
        turns.keep(turn, audio)
        leg.sent(audio.samples, STALL_LAG_SAMPLES, now)
        self.cursor += audio.samples
        self.inputs += messages
        return True

    def audio_received(self, event: ev.AudioReceived, now: float) -> None:
        """A piece of audio came."""
        audio = event.audio
        if self.take_audio(audio, self.generation, now, event.messages):
            assert self._supply.legs.at_work is not None
            self._out.append(SendAudio(self._supply.legs.at_work.id, audio))
            return
        turn = self._turns.open or self._add_turn(started=False)
        self.cursor += audio.samples
        self.inputs += event.messages
        if not turn.given_up:
            self._turns.hold(turn, audio)
            self._supply.pump(now)
        if event.messages and self.cursor - self._acked_cursor >= _ACK_SAMPLES:
            self.arrivals.mark(self.cursor, now)
            self.acknowledge()

    # ---- turns

    def _add_turn(self, *, started: bool) -> Turn:
        if len(self._turns) >= self._limits.held_turns_max:
            raise ParleyError("too-many-turns", f"{len(self._turns)} turns are waiting.")
        return self._turns.add(self.cursor, started=started)

    def turn_started(self, _event: ev.TurnStarted, now: float) -> None:
        """A transcript was asked for."""
        self.inputs += 1
        if not self._model_named:
            self._reject(ParleyError("model-not-set"))
            return
        failed = self._turns.open
        if failed is not None and failed.given_up:
            # Whether its end will come or not: this is the next turn.
            failed.closed = True
            self._supply.pump(now)
        unstarted = self._turns.unstarted()
        if unstarted:
            self.arrivals.renew(unstarted[0].begin, now)
        # With a started turn still open this is a second start: vLLM ignores it, and so do we.
        if not self._turns.start() and self._turns.open is None:
            self._add_turn(started=True)
        self._supply.pump(now)
        self.acknowledge()

    def turn_ended(self, _event: ev.TurnEnded, now: float) -> None:
        """The open turn's audio is complete."""
        self.inputs += 1
        turn = self._turns.open
        # Without one, vLLM would let this end the next turn before its first word.
        if turn is not None:
            turn.closed = True
            self.arrivals.mark(self.cursor, now)
            self._supply.pump(now)
        self.acknowledge()

    def finished(self, _event: ev.InputFinished, now: float) -> None:
        """Nothing more comes: the open turn's audio is complete, and what was never started never will be."""
        self.is_finished = True
        turn = self._turns.open
        if turn is not None:
            turn.closed = True
        for unstarted in self._turns.unstarted():
            self._turns.remove(unstarted)
        self._supply.pump(now)

    def cleared(self, _event: ev.InputCleared, now: float) -> None:
        """The open turn's audio is void."""
        self.inputs += 1
        turn = self._turns.open
        if turn is not None and (turn.has_work or turn.given_up):
            self._supply.release(turn)
            self._turns.remove(turn)
            self._turns.add(self.cursor, started=turn.started)
            self._outlet.answer(InputCleared(turn.item))
            self._supply.pump(now)
        self.acknowledge()

    def cancelled(self, event: ev.TurnCancelled, now: float) -> None:
        """A turn is given up."""
        self.inputs += 1
        turn = self._turns.find(event.item)
        if turn is None or turn.given_up:
            self._reject(ParleyError("invalid-event", "No turn of this id is waiting or at work."))
            return
        self._supply.release(turn)
        if turn.closed:
            self._turns.remove(turn)
        else:
            # What is still to come of it, up to its end, is not the beginning of another.
            self._turns.give_up(turn)
        self._outlet.answer(TurnCancelled(turn.item))
        self._supply.pump(now)
        self.acknowledge()

    # ---- the rest

    def model_named(self, event: ev.ModelNamed, _now: float) -> None:
        """The client named the model."""
        self.inputs += 1
        # Where the model server does not tell its models, the client may know them.
        if event.name and self._models and event.name not in self._models:
            self._reject(ParleyError("model-not-found"))
            return
        self._model_named = True
        self.acknowledge()

    def policies_chosen(self, event: ev.PoliciesChosen, _now: float) -> None:
        """The client said what is to happen at its bounds; with the message that named the model, so it is not counted.

        What costs only the client itself it may choose; that it is waited for is the operator's to allow.
        """
        limits = self._limits
        for name, chosen, allowed in (
            ("input_policy", event.input, limits.input_policy),
            ("output_policy", event.output, limits.output_policy),
        ):
            if chosen is AtBound.BLOCK is not allowed:
                self._reject(
                    ParleyError("invalid-event", f"`{name}` may be drop-oldest or terminate here, not {chosen}.")
                )
                return
        self.policy = event.input or self.policy
        self._outlet.policy = event.output or self._outlet.policy

    def retention_chosen(self, event: ev.RetentionChosen, _now: float) -> None:
        """The client said what is to be kept; it is not counted either."""
        try:
            self._keeping.choose(event, has_audio=self.cursor > 0)
        except ParleyError as error:
            self._reject(error)

    def rejected(self, event: ev.InputRejected, _now: float) -> None:
        """The client sent something invalid."""
        self.inputs += 1
        self._reject(event.error)

    def output_acked(self, event: ev.OutputAcked, _now: float) -> None:
        """The client has what it was sent, up to a number."""
        if not self._outlet.acknowledge(event.seq):
            self._reject(ParleyError("invalid-event", "So much was never sent: `seq` is the number of an event."))

    def _reject(self, error: ParleyError) -> None:
        self._errors += 1
        if self._errors > self._limits.client_errors_max:
            raise ParleyError("too-many-errors", f"The last was {error.code}.")
        self._outlet.error(error)
        self.acknowledge()

    def bound(self, now: float) -> None:
        """See to the bounds of what is held: drop what is too much, or stop reading from the client and feeding the
        model; and go on where that is over."""
        backlog, is_blocking = self._backlog, self.policy is AtBound.BLOCK
        backlog.note()
        if backlog.is_over and not is_blocking:
            if self.policy is AtBound.TERMINATE:
                raise ParleyError("input-overrun", f"It may hold {self._limits.held_audio_max_s:g} s.")
            backlog.shed()
            self._supply.pump(now)
        if self._is_starving is not self._outlet.is_blocking:
            self._toggle_feed(now)
        head = self._turns.head
        needs_start = head is not None and not head.started
        if is_blocking and backlog.is_over:
            if needs_start:
                # Nothing would ever free it: the start that it waits for could not be read.
                raise ParleyError("input-overflow", f"It may hold {self._limits.held_audio_max_s:g} s.")
            if not self.is_paused and self.generation:
                self.is_paused = True
                self._out.append(PauseInput())
        # A start that is not read would never come: then there is no margin to wait for.
        elif self.is_paused and (needs_start or backlog.has_margin or not is_blocking):
            self.is_paused = False
            self._out.append(ResumeInput())

    def _toggle_feed(self, now: float) -> None:
        """The model is fed no further while too many results wait for the client, or again."""
        self._is_starving = not self._is_starving
        if self._is_starving:
            self._supply.feed.stop()
        else:
            self._supply.feed.go_on()
            self._supply.pump(now)

    def invariants(self) -> Iterator[Invariant]:
        """What holds of its counts."""
        turn = self._turns.open
        takes_all = turn is not None and not turn.given_up
        ends = [each.begin + each.received_samples + each.holes.samples for each in self._turns]
        yield min(self.inputs, self.cursor, self._errors) >= 0, "counts are not below 0"
        yield max(ends, default=0) <= self.cursor, "the audio of turns is counted"
        yield not takes_all or ends[-1] == self.cursor, "all audio is in its turn or dropped from it"

    def counts(self) -> tuple[int, int, bool, int]:
        """For a session that goes on elsewhere: `inputs`, `cursor`, whether the model was named, and errors so far."""
        return self.inputs, self.cursor, self._model_named, self._errors

    def restore(self, inputs: int, cursor: int, *, model_named: bool, errors: int) -> None:
        """Go on with what another intake counted; nobody is listened to yet."""
        self.listen(0)
        self.inputs, self.cursor, self._acked_cursor = inputs, cursor, cursor
        self._model_named, self._errors = model_named, errors
