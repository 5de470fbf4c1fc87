"""Connections from the server to the model server, made and broken as the plan says."""

from typing import Protocol

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.simulation.faults import FaultPlan
from parley.simulation.link import End, Link, LinkQuality
from parley.simulation.model import Fate, ModelServer
from parley.simulation.world import World
from parley.wire import vllm

MODEL = "voxtral"
_FIRST_SPARED_RATE = 0.7
_QUEUED_S = (0.05, 8.0)


class LegSink(Protocol):
    """Takes what happened on a leg."""

    def receive(self, event: ev.Event) -> None:
        """Something happened."""

    def receive_delta(self, leg_id: int, text: Text) -> None:
        """The model moved on."""


class LegOpener:
    """Makes legs; once everything has healed none has a fate."""

    def __init__(self, world: World, model: ModelServer, plan: FaultPlan, quality: LinkQuality) -> None:
        self._world = world
        self._model = model
        self._plan = plan
        self._quality = quality
        self.opened = 0
        self.fates: list[str] = []

    def open(self, leg_id: int, sink: LegSink, name: str, purpose: LegPurpose) -> "SimulatedLeg":
        """Begin to connect; the sink is told what comes of it."""
        leg = SimulatedLeg(leg_id, sink)
        self.opened += 1
        self._world.after(2 * self._quality.latency_s, lambda: self._ask(leg, name, purpose))
        return leg

    def _ask(self, leg: "SimulatedLeg", name: str, purpose: LegPurpose) -> None:
        """There is a stream at once, or after a wait, or there is none."""
        chance, plan, world = self._world.chance, self._plan, self._world
        may_fail = not world.is_healed and purpose in (LegPurpose.SUCCESSOR, LegPurpose.RECOVERY)
        if may_fail and plan.full_rate and chance.random() < plan.full_rate:
            world.log(name, "no stream is free")
            leg.failed(ParleyError("at-capacity"))
        elif purpose is LegPurpose.SUCCESSOR or world.is_healed or not plan.queue_rate:
            self._connect(leg, name)
        elif chance.random() < plan.queue_rate:
            wait_s = chance.uniform(*_QUEUED_S)
            world.log(name, "waits for a stream for {:.1f} s", wait_s)
            leg.queued(wait_s)
            world.after(wait_s, lambda: self._admit(leg, name))
        else:
            self._connect(leg, name)

    def _admit(self, leg: "SimulatedLeg", name: str) -> None:
        if leg.is_open:
            leg.admitted()
            self._connect(leg, name)

    def _connect(self, leg: "SimulatedLeg", name: str) -> None:
        chance, plan = self._world.chance, self._plan
        # A session whose very first leg fails is over: most are to live longer.
        is_spared = leg.id == 1 and chance.random() < _FIRST_SPARED_RATE
        refuses = not (self._world.is_healed or is_spared) and chance.random() < plan.refusal_rate
        if self._model.is_down or refuses:
            self._world.log(name, "connection refused")
            leg.failed(ParleyError("upstream-unavailable", "Connection refused."))
            return
        link = Link(self._world, (f"{name}<", f"{name}>"), self._quality)
        leg.connected(link.ends[0])
        self._model.accept(link.ends[1], None if is_spared else self._fate())

    def _fate(self) -> Fate | None:
        chance, plan = self._world.chance, self._plan
        if self._world.is_healed or not plan.leg_rate or chance.random() >= plan.leg_rate:
            return None
        fate = Fate(chance.choice(plan.leg_faults), chance.choice((0, 1, 5, 30, 100, 400, chance.randrange(800))))
        self.fates.append(fate.fault)
        return fate


class SimulatedLeg:
    """One connection to the model server, in vLLM's wire format."""

    def __init__(self, leg_id: int, sink: LegSink) -> None:
        self.id = leg_id
        self._sink: LegSink | None = sink
        self._end: End | None = None
        self.is_created = False

    @property
    def is_open(self) -> bool:
        """Whether something may still come of it."""
        return self._sink is not None

    def queued(self, wait_s: float) -> None:
        """It has to wait for a stream."""
        if self._sink is not None:
            self._sink.receive(ev.LegQueued(self.id, 1, wait_s))

    def admitted(self) -> None:
        """It has one."""
        if self._sink is not None:
            self._sink.receive(ev.LegAdmitted(self.id))

    def connected(self, end: End) -> None:
        """The connection is made."""
        if self._sink is None:
            # It was closed while the handshake was on its way.
            end.close()
            return
        self._end = end
        end.attach(self)

    def failed(self, error: ParleyError) -> None:
        """It is of no use any more."""
        if self._sink is not None:
            self._sink.receive(ev.LegFailed(self.id, error))

    def close(self) -> None:
        """Close it; nothing comes of it any more."""
        self._sink = None
        if self._end is not None:
            self._end.close()

    def start_turn(self) -> None:
        """`commit`."""
        self._send(vllm.COMMIT_START)

    def send_audio(self, audio: Audio) -> None:
        """`append`."""
        self._send(vllm.encode_append(audio))

    def end_turn(self) -> None:
        """`commit` with `final`."""
        self._send(vllm.COMMIT_FINAL)

    def _send(self, message: bytes) -> None:
        if self._end is not None:
            self._end.send(message)

    # ---- from the connection

    def message_received(self, end: End, message: bytes) -> None:
        """See `link.Peer`."""
        sink = self._sink
        if sink is None:
            return
        try:
            value = vllm.parse_server(message)
        except ParleyError as error:
            self.failed(error)
            return
        if type(value) is Text:
            sink.receive_delta(self.id, value)
        elif isinstance(value, vllm.Done):
            sink.receive(ev.TurnTranscribed(self.id, value.text, value.usage))
        elif isinstance(value, vllm.Created):
            if not self.is_created:
                self.is_created = True
                end.send(vllm.encode_session_update(MODEL))
                sink.receive(ev.LegOpened(self.id))
        else:
            self.failed(ParleyError("upstream-error"))

    def connection_lost(self, _end: End, code: int | None) -> None:
        """See `link.Peer`: never a clean end, whatever the code says."""
        self.failed(ParleyError("upstream-closed", f"Close code {code}."))

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        """See `link.Peer`."""
        if self._sink is not None:
            self._sink.receive(ev.LegBlocked(self.id) if is_blocked else ev.LegUnblocked(self.id))
