"""Turns as the client sends them, with the audio that waits in them for the model or is kept for its successor.

A client may run ahead: it may send the audio of later turns before the first is transcribed, or a turn's audio before
it starts the turn. Nothing of it is lost; it waits here, bounded.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

from parley.core.content import SAMPLE_RATE, Audio
from parley.core.holes import Holes
from parley.core.invariants import Invariant
from parley.core.journal import PIECE_OVERHEAD_BYTES, Journal, cost_bytes
from parley.core.snapshot import TurnState
from parley.core.survey import TurnView
from parley.core.transcript import Transcript


class Turn:
    """One utterance. `started`: a transcript was asked for. `closed`: its audio is complete. `given_up`: its failure
    was reported, and the rest of its input is dropped.

    `begin` is where it begins on the session's cursor; all other positions are samples since then, without those that
    were dropped in `holes`: they count what models hear. `fed` is how far its audio has ever been sent to a model,
    `replay_point` where another leg would begin, `top` how far the client's clock of deltas has come, `furthest` how
    far a model got, and `failures` how often legs failed without getting further.
    `short_share` is the share of its audio that the deltas of the last leg covered which ended it before its end.
    """

    __slots__ = (
        "begin",
        "closed",
        "failures",
        "fed",
        "furthest",
        "given_up",
        "holes",
        "item",
        "journal",
        "replay_point",
        "short_share",
        "started",
        "top",
        "transcript",
    )

    def __init__(self, item: int, begin: int, *, started: bool, text_max_bytes: int) -> None:
        self.item = item
        self.begin = begin
        self.started = started
        self.closed = False
        self.given_up = False
        self.journal = Journal()
        self.holes = Holes()
        self.transcript = Transcript(text_max_bytes)
        self.fed = 0
        self.replay_point = 0
        self.furthest = 0
        self.failures = 0
        self.short_share = 0.0
        self.top = 0

    @property
    def received_samples(self) -> int:
        """Its audio so far, without what was dropped."""
        return self.journal.end

    @property
    def held_samples(self) -> int:
        """Its audio that no model was sent yet."""
        return self.journal.end - self.fed

    @property
    def has_work(self) -> bool:
        """Whether there is anything in it for a model."""
        return self.journal.end > 0 and not self.given_up

    def cursor(self, position: int) -> int:
        """Where the audio from a position on begins, on the session's cursor."""
        return self.begin + self.holes.begin(position)

    def interval(self, begin: int, end: int) -> tuple[int, int]:
        """The audio between two positions on the session's cursor, with what was dropped between them."""
        first = self.cursor(begin)
        return first, max(first, self.begin + self.holes.end(end))

    def view(self) -> TurnView:
        """What may be shown of it."""
        end = self.begin + self.journal.end + self.holes.samples
        return TurnView(self.item, self.begin / SAMPLE_RATE, end / SAMPLE_RATE, self.closed, self.given_up)

    def failed_at(self, position: int) -> None:
        """A leg failed on it, having got this far."""
        if position > self.furthest:
            self.furthest = position
            self.failures = 0
        self.failures += 1

    def invariants(self) -> Iterator[Invariant]:
        """What holds of it."""
        journal = self.journal
        yield from journal.invariants()
        yield from self.transcript.invariants()
        yield from self.holes.invariants(self.fed)
        yield 0 <= journal.start <= self.fed <= journal.end, "what was not sent is kept"
        yield 0 <= self.replay_point <= self.fed, "what is replayed was sent"
        yield self.started or self.given_up or not self.fed, "a model hears what a transcript was asked for of"

    def state(self) -> TurnState:
        """All of it as data."""
        return TurnState(
            item=self.item,
            begin=self.begin,
            started=self.started,
            closed=self.closed,
            given_up=self.given_up,
            fed=self.fed,
            replay_point=self.replay_point,
            furthest=self.furthest,
            failures=self.failures,
            short_share=self.short_share,
            top=self.top,
            transcript=self.transcript.state(),
            journal=self.journal.state(),
            holes=tuple(self.holes.zones),
        )

    @classmethod
    def restored(cls, state: TurnState, *, text_max_bytes: int) -> "Turn":
        """Go on with another one."""
        turn = cls(state.item, state.begin, started=state.started, text_max_bytes=text_max_bytes)
        turn.closed, turn.given_up = state.closed, state.given_up
        turn.fed, turn.replay_point, turn.top = state.fed, state.replay_point, state.top
        turn.furthest, turn.failures, turn.short_share = state.furthest, state.failures, state.short_share
        turn.transcript.restore(state.transcript)
        turn.journal.restore(state.journal)
        turn.holes = Holes(state.holes)
        return turn


class TurnQueue:
    """The turns not yet transcribed, oldest first, and how much audio they hold in all.

    `held_*` counts audio that no model was sent yet, `kept_bytes` audio that was sent and may have to be sent again.
    """

    __slots__ = ("_count", "_text_max_bytes", "_turns", "held_bytes", "held_samples", "kept_bytes")

    def __init__(self, text_max_bytes: int = 1_048_576) -> None:
        self._turns: deque[Turn] = deque()
        self._text_max_bytes = text_max_bytes
        self._count = 0
        self.held_samples = 0
        self.held_bytes = 0
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self._turns)

    @property
    def head(self) -> Turn | None:
        """The oldest turn: the one that the leg serves once it is started."""
        return self._turns[0] if self._turns else None

    @property
    def open(self) -> Turn | None:
        """The turn that takes the client's audio, if one does."""
        if self._turns and not self._turns[-1].closed:
            return self._turns[-1]
        return None

    def settled(self, cursor: int) -> int:
        """Up to where on the session's cursor, which is here, nothing would have to be heard again."""
        head = self.head
        return cursor if head is None else min(cursor, head.cursor(head.replay_point))

    @property
    def text_bytes(self) -> int:
        """The memory that the turns' text takes."""
        return sum(turn.transcript.bytes for turn in self._turns)

    def add(self, begin: int, *, started: bool) -> Turn:
        """A new turn behind the others; it is open."""
        self._count += 1
        turn = Turn(self._count, begin, started=started, text_max_bytes=self._text_max_bytes)
        self._turns.append(turn)
        return turn

    def start(self) -> bool:
        """Start the oldest turn that is not started; False when there is none."""
        for turn in self._turns:
            if not turn.started and not turn.given_up:
                turn.started = True
                return True
        return False

    def unstarted(self) -> list[Turn]:
        """The turns of which no transcript was asked for yet."""
        return [turn for turn in self._turns if not turn.started and not turn.given_up]

    def find(self, item: int) -> Turn | None:
        """The turn of this item; 0 means the oldest."""
        if not item:
            return self.head
        return next((turn for turn in self._turns if turn.item == item), None)

    def hold(self, turn: Turn, audio: Audio) -> None:
        """Keep audio of a turn until the model can take it."""
        turn.journal.append(audio)
        self.held_samples += audio.samples
        self.held_bytes += cost_bytes(audio)

    def feed(self, turn: Turn, audio: Audio) -> None:
        """The model was sent the oldest audio held for a turn; from here on it is kept for a replay."""
        turn.fed += audio.samples
        self.held_samples -= audio.samples
        cost = cost_bytes(audio)
        self.held_bytes -= cost
        self.kept_bytes += cost

    def keep(self, turn: Turn, audio: Audio) -> None:
        """Audio of a turn that holds none came and went to the model at once."""
        turn.journal.append(audio)
        turn.fed += audio.samples
        self.kept_bytes += len(audio.payload) + PIECE_OVERHEAD_BYTES

    def settle(self, turn: Turn, position: int) -> None:
        """No replay of this turn begins before a position any more. There is always something left to replay."""
        position = min(position, turn.fed - 1)
        if position > turn.replay_point:
            turn.replay_point = position
            turn.transcript.settle(position)
            before = turn.journal.bytes
            turn.journal.trim(position)
            self.kept_bytes -= before - turn.journal.bytes

    def drop(self, turn: Turn) -> None:
        """Let the oldest audio of a turn go, which the model was sent."""
        self.kept_bytes -= cost_bytes(turn.journal.drop())

    def skip(self, turn: Turn, count: int) -> tuple[int, int]:
        """Let so many of the pieces go that were not sent, the oldest first. Returns their interval on the cursor."""
        begin = turn.cursor(turn.fed)
        index, _ = turn.journal.locate(turn.fed)
        samples, cost = turn.journal.cut(index, count)
        turn.holes.add(turn.fed, samples)
        self.held_samples -= samples
        self.held_bytes -= cost
        return begin, begin + samples

    def remove(self, turn: Turn) -> None:
        """A turn is over: transcribed, failed or given up."""
        self.void(turn)
        self._turns.remove(turn)

    def give_up(self, turn: Turn) -> None:
        """A turn is over before its end; what still comes of it is dropped."""
        self.void(turn)
        turn.given_up = True

    def void(self, turn: Turn) -> None:
        """A turn's audio is of no use any more."""
        journal = turn.journal
        held_bytes = sum(cost_bytes(audio) for audio in journal.since(turn.fed))
        self.held_samples -= turn.held_samples
        self.held_bytes -= held_bytes
        self.kept_bytes -= journal.bytes - held_bytes
        journal.trim(journal.end)
        turn.fed = journal.end

    def clear(self) -> None:
        """Drop everything."""
        self._turns.clear()
        self.held_samples = self.held_bytes = self.kept_bytes = 0

    def invariants(self) -> Iterator[Invariant]:
        """What holds of the turns, and of their totals."""
        turns = list(self._turns)
        for turn in turns:
            yield from turn.invariants()
        held = [audio for turn in turns for audio in turn.journal.since(turn.fed)]
        kept_bytes = sum(turn.journal.bytes for turn in turns) - self.held_bytes
        yield self.held_samples == sum(audio.samples for audio in held), "held audio adds up in samples"
        yield self.held_bytes == sum(map(cost_bytes, held)), "held audio adds up in bytes"
        yield self.kept_bytes == kept_bytes, "kept audio adds up in bytes"
        items = [0, *(turn.item for turn in turns), self._count + 1]
        yield all(one < next_one for one, next_one in pairwise(items)), "turns are numbered as they came"
        yield all(turn.closed for turn in turns[:-1]), "only the last turn is open"
        yield not any(turn.fed and not turn.given_up for turn in turns[1:]), "only the first is at the model"
        ends = [0, *(turn.begin + turn.journal.end + turn.holes.samples for turn in turns)]
        follow = all(end <= turn.begin for end, turn in zip(ends, turns, strict=False))
        yield follow, "turns follow each other"

    @property
    def count(self) -> int:
        """How many turns there have been."""
        return self._count

    def restore(self, states: Iterable[TurnState], count: int) -> None:
        """Go on with another queue's turns."""
        self._count = count
        for state in states:
            turn = Turn.restored(state, text_max_bytes=self._text_max_bytes)
            self._turns.append(turn)
            held = list(turn.journal.since(turn.fed))
            held_bytes = sum(map(cost_bytes, held))
            self.held_samples += turn.held_samples
            self.held_bytes += held_bytes
            self.kept_bytes += turn.journal.bytes - held_bytes

    def state(self) -> tuple[TurnState, ...]:
        """All turns as data, oldest first."""
        return tuple(turn.state() for turn in self._turns)
