"""One session on the simulated server: the real core between a client's connections and its legs, watched closely."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.limits import SessionLimits
from parley.core.outlet import output_limit_bytes
from parley.core.session import Session
from parley.core.transcript import RECENT_MAX_BYTES
from parley.simulation.invariants import require
from parley.simulation.legs import SimulatedLeg
from parley.simulation.speech import speech_samples
from parley.simulation.world import Timer
from parley.wire import serving, vllm

if TYPE_CHECKING:
    from parley.simulation.node import ClientConnection, ServerNode

_MEASURE_S = 0.005
_MESSAGE_MAX_BYTES = 65_536


def held_bytes_max(limits: SessionLimits) -> int:
    """The most memory that a session may hold: its bounds together, and a message more of each kind."""
    audio = limits.held_bytes_max + limits.journal_bytes_max
    results = limits.ledger_max_bytes + output_limit_bytes(limits)
    text = limits.turn_text_max_bytes + RECENT_MAX_BYTES
    return audio + text + results + 4 * _MESSAGE_MAX_BYTES


class HostedSession:
    """A session, its connections by generation, its legs and its timer. `said` holds each numbered message, once."""

    def __init__(self, node: "ServerNode", name: str, session: Session, principal: str) -> None:
        self.name = name
        self.session = session
        self.principal = principal
        self.token = ""
        self.said: list[bytes] = []
        self.acked = 0
        self.is_over = False
        self.outcome = ""
        self.has_had_leg = False
        self.most_held_bytes = 0
        self.losses = 0
        self.parkings = 0
        self.ended_at = 0.0
        self.last_delta_at = 0.0
        self.detached_at = 0.0
        self.detached_s = 0.0
        self._node = node
        self._world = node.world
        self._bound = held_bytes_max(node.options.limits)
        self._connections: dict[int, ClientConnection] = {}
        self._attached: ClientConnection | None = None
        self._legs: dict[int, SimulatedLeg] = {}
        self._timer: Timer | None = None
        self._fires_at = 0.0
        self._pending: deque[Callable[[], list[ef.Effect]]] = deque()
        self._is_busy = False
        self._since_check = 0

    @property
    def window_s(self) -> float:
        """How long the session waits for its client."""
        return self._node.options.limits.resume_window_s

    @property
    def has_waited_in_vain(self) -> bool:
        """Whether the session ended after it had heard of no leg for as long as it looks for one."""
        waited_s = self.ended_at - self.last_delta_at
        return self.is_over and waited_s >= self._node.options.limits.recovery_timeout_s - 1e-6

    # ---- what comes in

    def begin(self, connection: "ClientConnection") -> None:
        """The session begins with its first connection."""
        self._adopt(connection)
        self._attached = connection
        self._do(lambda: self.session.open(self._node.now))

    def resume(self, connection: "ClientConnection", seq: int) -> None:
        """A connection showed the session's token."""
        generation = self._adopt(connection)
        self._world.log(self.name, "resume requested by {} from {}", connection.end.name, seq)
        self._do(lambda: self.session.handle(ev.ResumeRequested(generation, seq), self._node.now))

    def detach_unused(self) -> None:
        """Its connection came for another session; nothing was ever said in this one."""
        self.receive_from_client(ev.ClientClosed(), self.session.generation)

    def _adopt(self, connection: "ClientConnection") -> int:
        # Numbered by their arrival, as in the server: a resume that was long on its way takes nothing from a later one.
        connection.generation, connection.hosted = connection.number, self
        self._connections[connection.number] = connection
        return connection.number

    def receive_from_client(self, event: ev.ClientEvent, generation: int) -> None:
        """Something happened on a client's connection."""
        if isinstance(event, ev.OutputAcked) and generation == self.session.generation and event.seq <= len(self.said):
            self.acked = max(self.acked, event.seq)
        if isinstance(event, ev.ClientClosed):
            self._do(lambda: self._close(generation))
        else:
            self._do(lambda: self.session.handle_client(event, generation, self._node.now))

    def _close(self, generation: int) -> list[ef.Effect]:
        effects = self.session.handle_client(ev.ClientClosed(), generation, self._node.now)
        self._connections.pop(generation, None)
        if self._attached is not None and self._attached.generation == generation:
            self._attached = None
            self.detached_at = self._node.now
        return effects

    def receive_audio(self, audio: Audio, generation: int) -> None:
        """Audio came; the common path does without event and effect, as in the server."""
        leg = self._only_leg()
        if leg is not None and not self._is_busy and self.session.take_audio(audio, generation, self._node.now):
            leg.send_audio(audio)
            return
        self.receive_from_client(ev.AudioReceived(audio), generation)

    def _only_leg(self) -> SimulatedLeg | None:
        legs = [leg for leg in self._legs.values() if leg.is_open and leg.is_created]
        return legs[0] if len(legs) == 1 else None

    def receive(self, event: ev.Event) -> None:
        """Something happened on a leg, or the time came, or the operator wants something."""
        if isinstance(event, ev.LegOpened):
            self.has_had_leg = True
        if isinstance(event, ev.LegFailed):
            self.losses += 1
            self._world.log(self.name, "leg {} lost: {}", event.leg, event.error.code)
        self._do(lambda: self.session.handle(event, self._node.now))

    def receive_delta(self, leg_id: int, text: Text) -> None:
        """The model moved on; likewise."""
        self.last_delta_at = self._node.now
        is_wanted = None
        if not self.is_over and not self._is_busy:
            is_wanted = self.session.take_delta(leg_id, text, self._node.now)
        if is_wanted:
            self._send(serving.encode_delta(text), 0)
        if is_wanted is None:
            self._do(lambda: self.session.handle(ev.DeltaReceived(leg_id, text), self._node.now))

    def _do(self, handle: Callable[[], list[ef.Effect]]) -> None:
        if self._is_busy:
            self._pending.append(handle)
            return
        self._is_busy = True
        try:
            self._perform(handle())
            while self._pending:
                self._perform(self._pending.popleft()())
        finally:
            self._is_busy = False
        self._check()
        self.set_timer()

    def _perform(self, effects: list[ef.Effect]) -> None:
        for effect in effects:
            require(not self.is_over, "{}: {} after the end", self.name, type(effect).__name__)
            _PERFORM[type(effect)](self, effect)

    def _check(self) -> None:
        held = self.session.held_bytes
        if held > self.most_held_bytes:
            self.most_held_bytes = held
            require(held <= self._bound, "{} holds {} bytes, more than {}", self.name, held, self._bound)
        self._since_check += 1
        if self._since_check >= self._node.options.check_every or self.is_over:
            self._since_check = 0
            self.session.check()

    def set_timer(self, *, clock_jumped: bool = False) -> None:
        """Keep the one timer where the session wants it; as in the server, one that fires early does no harm."""
        deadline = None if self.is_over else self.session.next_deadline()
        timer = self._timer
        if timer is not None:
            if deadline is not None and timer.is_due and not clock_jumped and self._fires_at <= deadline:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None:
            self._fires_at = deadline
            self._timer = self._world.at(self._node.in_world(deadline), self._time_came)

    def _time_came(self) -> None:
        self.receive(ev.TimerFired())

    def left_behind(self) -> list[str]:
        """What an ended session still has."""
        left = [f"leg {leg.id}" for leg in self._legs.values() if leg.is_open]
        if self._timer is not None and self._timer.is_due:
            left.append("a timer")
        if self.session.held_bytes:
            left.append(f"{self.session.held_bytes} bytes")
        if self.session.next_deadline() is not None:
            left.append("a deadline")
        left += [f"connection {c.end.name}" for c in self._connections.values() if c.end.is_open]
        return left

    # ---- what goes out

    def _send(self, message: bytes, seq: int) -> None:
        if seq:
            if seq == len(self.said) + 1:
                self.said.append(message)
            else:
                require(0 < seq <= len(self.said), "{}: number {} after {}", self.name, seq, len(self.said))
                require(self.said[seq - 1] == message, "{}: number {} is another event now", self.name, seq)
        require(self._attached is not None, "{}: sends while nobody is attached", self.name)
        assert self._attached is not None
        self._attached.send(message)

    def _open_leg(self, effect: ef.OpenLeg) -> None:
        require(effect.leg not in self._legs, "{}: leg {} was opened before", self.name, effect.leg)
        require(sum(leg.is_open for leg in self._legs.values()) < 2, "{}: a third leg", self.name)
        self._legs = {number: leg for number, leg in self._legs.items() if leg.is_open}
        opener = self._node.opener
        self._legs[effect.leg] = opener.open(effect.leg, self, f"{self.name}.{effect.leg}", effect.purpose)

    @property
    def open_legs(self) -> list[int]:
        """The legs of which something may still come."""
        return [number for number, leg in self._legs.items() if leg.is_open]

    def _leg(self, leg_id: int) -> SimulatedLeg:
        leg = self._legs.get(leg_id)
        require(leg is not None and leg.is_open, "{}: leg {} is not open", self.name, leg_id)
        assert leg is not None
        return leg

    def _start_turn(self, effect: ef.StartTurn) -> None:
        self._world.log(self.name, "starts a turn on leg {}", effect.leg)
        self._leg(effect.leg).start_turn()

    def _send_audio(self, effect: ef.SendAudio) -> None:
        self._leg(effect.leg).send_audio(effect.audio)

    def _end_turn(self, effect: ef.EndTurn) -> None:
        self._leg(effect.leg).end_turn()

    def _close_leg(self, effect: ef.CloseLeg) -> None:
        self._leg(effect.leg).close()
        if self.session.is_parked:
            self.parkings += 1
            self._world.log(self.name, "parks")

    def _measure(self, effect: ef.MeasureSpeech) -> None:
        count = sum(speech_samples(vllm.pcm_of(audio)) for audio in effect.pieces)
        self._world.log(self.name, "measures {} samples of speech on leg {}", count, effect.leg)
        self._world.after(_MEASURE_S, lambda: self.receive(ev.SpeechMeasured(effect.leg, count)))

    def _send_delta(self, effect: ef.SendDelta) -> None:
        self._send(serving.encode_delta(effect.text, effect.seq, effect.item), effect.seq)

    def _send_done(self, effect: ef.SendDone) -> None:
        message = serving.encode_done(effect.text, effect.usage, effect.seq, effect.item, effect.text_from)
        self._send(message, effect.seq)

    def _send_error(self, effect: ef.SendError) -> None:
        self._world.log(self.name, "error {}", effect.error.code)
        if self._attached is not None:
            self._send(serving.encode_failure(effect.error, effect.seq), effect.seq)

    def _send_notice(self, effect: ef.SendNotice) -> None:
        self._send(serving.encode_notice(effect.notice, effect.seq, self.name), effect.seq)

    def _issue_token(self, _effect: ef.IssueToken) -> None:
        self.token = self._node.issue_token(self)
        window_s = self._node.options.limits.resume_window_s
        self._send(serving.encode_updated(self.name, self.token, window_s), 0)

    def _attach(self, effect: ef.Attach) -> None:
        self._world.log(self.name, "attaches generation {}", effect.generation)
        self._attached = self._connections[effect.generation]

    def _close_attachment(self, effect: ef.CloseAttachment) -> None:
        connection = self._connections.pop(effect.generation, None)
        if connection is not None:
            connection.refuse(effect.error)

    def _pause_input(self, _effect: ef.PauseInput) -> None:
        assert self._attached is not None
        self._attached.end.pause(True)

    def _resume_input(self, _effect: ef.ResumeInput) -> None:
        assert self._attached is not None
        self._attached.end.pause(False)

    def _end_session(self, effect: ef.EndSession) -> None:
        error, connection = effect.error, self._attached
        self.outcome = error.code if error is not None else serving.CLIENT_ENDED
        self._world.log(self.name, "ends: {}", self.outcome)
        if connection is not None and self.session.is_attached:
            if error is not None:
                self._send(serving.encode_failure(error, effect.seq), effect.seq)
            if effect.seq:
                last = effect.seq + (error is not None)
                self._send(serving.encode_ended(error, last), last)
            connection.end.close(error.spec.ws_close if error is not None else 1000)
        self.is_over = True
        self.ended_at = self._node.now
        self.detached_s = 0.0 if self._attached is not None else self._node.now - self.detached_at
        self._attached = None
        self._node.forget(self)


_PERFORM: dict[type, Callable[[HostedSession, Any], None]] = {
    ef.OpenLeg: HostedSession._open_leg,
    ef.StartTurn: HostedSession._start_turn,
    ef.SendAudio: HostedSession._send_audio,
    ef.EndTurn: HostedSession._end_turn,
    ef.CloseLeg: HostedSession._close_leg,
    ef.MeasureSpeech: HostedSession._measure,
    ef.SendDelta: HostedSession._send_delta,
    ef.SendDone: HostedSession._send_done,
    ef.SendError: HostedSession._send_error,
    ef.SendNotice: HostedSession._send_notice,
    ef.IssueToken: HostedSession._issue_token,
    ef.Attach: HostedSession._attach,
    ef.CloseAttachment: HostedSession._close_attachment,
    ef.PauseInput: HostedSession._pause_input,
    ef.ResumeInput: HostedSession._resume_input,
    ef.EndSession: HostedSession._end_session,
}
