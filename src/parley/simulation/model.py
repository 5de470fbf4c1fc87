"""A model server on Voxtral's clock, as strict as vLLM is careless: what vLLM drops without a word is noted here."""

from collections.abc import Callable
from dataclasses import dataclass

from parley.core.content import Audio, Text
from parley.core.usage import Usage
from parley.simulation.hearing import Hearing
from parley.simulation.link import End
from parley.simulation.witness import Witness
from parley.simulation.world import Timer, World
from parley.wire import vllm

FIRST_DELTA_SAMPLES = 9_000
FRAME_SAMPLES = 1_280
FLUSH_STEPS = 17
"""Voxtral's clock on vLLM: the first delta after 562.5 ms, one for every further 80 ms, 17 after the end."""
PROMPT_TOKENS = 39
_SAME_SHARE = 0.04
_EMPTY_DELTA = vllm.encode_delta(Text.of(""))


def steps_of(samples: int) -> int:
    """How many deltas a turn of this length has in all."""
    if not samples:
        return 0
    return FLUSH_STEPS + (0 if samples < FIRST_DELTA_SAMPLES else 1 + (samples - FIRST_DELTA_SAMPLES) // FRAME_SAMPLES)


@dataclass(slots=True)
class Fate:
    """What a connection will suffer: the fault, and after how many deltas of it."""

    fault: str
    after_deltas: int


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How the model server behaves when nothing is wrong with it. `step_s` is the time that a frame takes it."""

    step_s: float = 0.01
    slots: int = 64
    diverges: bool = False


class ModelServer:
    """Takes connections, and transcribes on them as far as it has slots. Faults are the plan's."""

    def __init__(self, world: World, options: ModelOptions) -> None:
        self.world = world
        self.options = options
        self.connections: list[ModelConnection] = []
        self.violations: list[str] = []
        self.witness: Witness | None = None
        self.is_down = False
        self.generations = 0
        self.swallowed: set[str] = set()
        self._shortened_shares: list[float] = []
        self.deltas = 0

    def accept(self, end: End, fate: Fate | None) -> None:
        """A connection was made; vLLM speaks first, unless it never will."""
        connection = ModelConnection(self, end, fate)
        self.connections.append(connection)
        end.attach(connection)
        if fate is None or fate.fault != "silence":
            end.send(vllm.encode_created(f"sess-{len(self.connections)}", 0))

    def crash(self) -> None:
        """It is gone, with all its connections; see `start`."""
        self.world.log("model", "crashes with {} connections", len(self.connections))
        self.is_down = True
        for connection in list(self.connections):
            connection.end.abort()
            connection.stop()

    def shut_down(self, *, with_done: bool) -> None:
        """SIGTERM: what vLLM then does, with or without a `done` for the turns that it gives up."""
        self.world.log("model", "shuts down")
        self.is_down = True
        for connection in list(self.connections):
            if with_done:
                connection.give_up()
            connection.end.close(1012)
            connection.stop()

    def start(self) -> None:
        """It is there again."""
        self.world.log("model", "is up")
        self.is_down = False

    def may_run(self, connection: "ModelConnection") -> bool:
        """Whether there is a slot for its generation: above the limit vLLM just goes quiet."""
        if len(self.connections) <= self.options.slots:
            return True
        running = [each for each in self.connections if each.is_running]
        return connection in running[: self.options.slots]

    def may_shorten(self, deltas: int, due: int) -> bool:
        """Whether a turn may be ended unasked here: never at the same share of a turn again.

        From two legs that stop at the same point a session learns that a server counts otherwise (`core.coverage`), and
        nothing tells the one from the other.
        """
        share = deltas / max(1, due)
        if deltas and any(abs(share - other) < _SAME_SHARE for other in self._shortened_shares):
            return False
        self._shortened_shares.append(share)
        return True

    def violated(self, what: str) -> None:
        """A client did what vLLM would drop or misread without a word."""
        self.world.log("model", "VIOLATION: {}", what)
        self.violations.append(what)

    def pump(self) -> None:
        """A slot may be free: let everyone go on."""
        for connection in list(self.connections):
            connection.pump()


class ModelConnection:
    """One WebSocket: at most one generation at a time."""

    def __init__(self, server: ModelServer, end: End, fate: Fate | None) -> None:
        self.end = end
        self.fate = fate
        self.is_running = False
        self.is_mute = False
        self.is_stalled = False
        self._is_spoiled = False
        self._generation = 0
        self._server = server
        self._named = False
        self._ended = False
        self._hearing = Hearing()
        self._said: list[str] = []
        self._deltas = 0
        self._deltas_in_all = 0
        self._step: Timer | None = None

    # ---- the connection

    def message_received(self, _end: End, message: bytes) -> None:
        """See `link.Peer`."""
        value = vllm.parse_client(message)
        if isinstance(value, Audio):
            self._append(value)
        elif isinstance(value, vllm.SessionUpdate):
            self._named = True
        else:
            assert isinstance(value, vllm.Commit)
            self._finish() if value.final else self._start()
        self.pump()

    def connection_lost(self, _end: End, code: int | None) -> None:
        """See `link.Peer`: from 0.32 on vLLM aborts the generation."""
        self.stop()

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        """See `link.Peer`; vLLM writes on."""

    def stop(self) -> None:
        """The connection is gone, and its slot free."""
        if self in self._server.connections:
            self._server.connections.remove(self)
        if self._step is not None:
            self._step.cancel()
        if self.is_running:
            self.is_running = False
            self._server.pump()

    # ---- the protocol

    def _start(self) -> None:
        if not self._named or self.is_running:
            self._violated("a turn was started twice, or without naming the model")
            return
        server = self._server
        server.generations += 1
        self._generation = server.generations
        self.is_running, self._ended = True, False
        self._hearing = Hearing(server.generations if server.options.diverges else 0)
        self._said, self._deltas = [], 0

    def _append(self, audio: Audio) -> None:
        if not self.is_running or self._ended:
            self._violated("audio was sent outside a turn")
            return
        pcm = vllm.pcm_of(audio)
        if self._server.witness is not None:
            self._server.witness.hear(self.end.name, self._generation, pcm)
        self._hearing.hear(pcm)

    def _finish(self) -> None:
        if not self.is_running or self._ended:
            self._violated("a turn was ended that does not run")
            return
        self._ended = True
        self._hearing.finish()

    def _violated(self, what: str) -> None:
        # What follows a turn that was ended unasked can't be helped: it was on its way.
        if not self._is_spoiled:
            self._server.violated(what)

    # ---- the clock

    @property
    def _due(self) -> int:
        samples = self._hearing.samples
        heard = 0 if samples < FIRST_DELTA_SAMPLES else 1 + (samples - FIRST_DELTA_SAMPLES) // FRAME_SAMPLES
        return heard + (FLUSH_STEPS if self._ended else 0)

    @property
    def _has_work(self) -> bool:
        return self.is_running and (self._ended or self._deltas < self._due)

    def pump(self) -> None:
        """Take the next step when there is one to take."""
        step_s = self._server.options.step_s
        if not self._may_step() or (self._step is not None and self._step.is_due):
            return
        if step_s:
            self._step = self._server.world.after(step_s, self._step_and_go_on)
            return
        while self._may_step():
            self._take_step()

    def _may_step(self) -> bool:
        return self._has_work and not self.is_stalled and self._server.may_run(self)

    def _step_and_go_on(self) -> None:
        if self._may_step():
            self._take_step()
            self.pump()

    def _take_step(self) -> None:
        fate = self.fate
        if fate is not None and self._deltas_in_all >= fate.after_deltas and self._may_strike(fate):
            self.fate = None
            self._server.world.log(self.end.name, "suffers: {}", fate.fault)
            _STRIKES[fate.fault](self)
            return
        if self._deltas >= self._due:
            self._done()
            return
        self._deltas += 1
        self._deltas_in_all += 1
        self._server.deltas += 1
        said = self._hearing.said_by(self._deltas)
        if self.is_mute and said:
            self._server.swallowed.update(self._hearing.take_words())
            said = ""
        if not said:
            self.end.send(_EMPTY_DELTA)
            return
        self._said.append(said)
        self.end.send(vllm.encode_delta(Text.of(said)))

    def _may_strike(self, fate: Fate) -> bool:
        # A model that goes mute within a word takes that word's beginning with it: no replay from a pause brings it
        # back.
        if fate.fault == "mute":
            return self._hearing.is_silent
        if fate.fault in _SHORTENING:
            # Once the deltas cover the audio everything has been said, and such an end is believed.
            is_short = self._deltas * FRAME_SAMPLES < self._hearing.samples
            return is_short and self._server.may_shorten(self._deltas, self._due)
        return fate.fault in _STRIKES

    def _done(self) -> None:
        self.is_running = False
        usage = Usage(PROMPT_TOKENS, self._deltas, PROMPT_TOKENS + self._deltas)
        self.end.send(vllm.encode_done(Text.of("".join(self._said)), usage))
        self._server.pump()

    # ---- faults

    def give_up(self) -> None:
        """End the turn unasked, with what there is of it."""
        self._is_spoiled = True
        if self.is_running:
            self._done()

    def _reset(self) -> None:
        self.end.abort()
        self.stop()

    def _cut(self) -> None:
        self.end.out.break_in_bytes = self._server.world.chance.randrange(200)

    def _stall(self) -> None:
        self.is_stalled = True

    def _mute(self) -> None:
        self.is_mute = True

    def _report(self) -> None:
        self.end.send(vllm.encode_error("out of memory", "processing_error"))
        self.is_stalled = True

    def _babble(self) -> None:
        self.end.send(b'{"type":"transcription.delta","delta":')

    def _speak_out_of_turn(self) -> None:
        self.give_up()
        self.end.send(vllm.encode_delta(Text.of(" again")))


_STRIKES: dict[str, Callable[[ModelConnection], None]] = {
    "reset": ModelConnection._reset,
    "cut": ModelConnection._cut,
    "stall": ModelConnection._stall,
    "mute": ModelConnection._mute,
    "error": ModelConnection._report,
    "truncate": ModelConnection.give_up,
    "babble": ModelConnection._babble,
    "out-of-turn": ModelConnection._speak_out_of_turn,
}
_SHORTENING = ("truncate", "out-of-turn")
LEG_FAULTS = ("silence", *_STRIKES)
"""What can be wrong with one connection."""
