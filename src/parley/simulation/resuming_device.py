"""A client with the session contract: the real state machine, over connections that come and go."""

from collections.abc import Callable

from parley.client import events as to
from parley.client.actions import Action, Connect, Disconnect, Emit, Fail, Send
from parley.client.failure import SessionFailed
from parley.client.limits import ClientLimits
from parley.client.resumption import ClientMachine
from parley.core.content import Audio
from parley.core.errors import Fault, Retry
from parley.simulation.invariants import require
from parley.simulation.link import End
from parley.simulation.network import Network
from parley.simulation.performance import Act, Performance, Step
from parley.simulation.transcripts import Told
from parley.simulation.user import User
from parley.simulation.world import CLOCK_STEP_S, Timer, World
from parley.wire import contract, vllm
from parley.wire.contract_reading import parse_contract

MODEL = "voxtral"
_NO_CLOSE_FRAME = 1006


class ResumingDevice:
    """Connects and comes back until everything is said and answered, then ends the session."""

    def __init__(
        self,
        name: str,
        world: World,
        network: Network,
        performance: Performance,
        limits: ClientLimits,
        on_over: Callable[[], None],
    ) -> None:
        self._on_over = on_over
        self.name = name
        self.performance = performance
        self.told = Told(name, is_contract=True)
        self.is_over = False
        self.outcome = ""
        self.token = ""
        self.losses = 0
        self.machine = ClientMachine(MODEL, limits=limits)
        self._emitted: dict[int, str] = {}
        self._finals: dict[int, str] = {}
        self._world = world
        self._network = network
        self._user = User(world, performance, self._do, self._look_around)
        self._end: End | None = None
        self._attempt = 0
        self._timer: Timer | None = None
        self._ahead_s = 0.0
        self._has_begun = False
        self._act(self.machine.connect(self._now))

    @property
    def is_complete(self) -> bool:
        """Whether it did everything, was answered, and ended the session."""
        return self.outcome == "complete"

    @property
    def session_name(self) -> str:
        """What the server calls its session."""
        return self.machine.session_id

    @property
    def _now(self) -> float:
        return self._world.now + self._ahead_s

    @property
    def _jitter(self) -> float:
        return self._world.chance.random()

    def jump(self, seconds: float) -> None:
        """This device's clock is suddenly so much later."""
        self._world.log(self.name, "clock jumps by {:.1f} s", seconds)
        self._ahead_s += seconds
        self._set_timer()

    # ---- what the machine wants

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect(url_has_resume):
                    self._connect(resumes=url_has_resume)
                case Send(message):
                    if self._end is not None:
                        self._end.send(message)
                case Disconnect():
                    self._attempt += 1
                    if self._end is not None:
                        self._end.close()
                        self._end = None
                case Emit(event):
                    self._emit(event)
                case Fail(failure):
                    self._failed(failure)
        self._look_around()

    def _look_around(self) -> None:
        if self.machine.has_ended:
            if not self.is_over:
                complete = self.told.reason == "client-ended" or self.outcome == "ending"
                self._finish("complete" if complete else "ended")
        elif self._is_answered and self.outcome != "ending":
            self.outcome = "ending"
            self._act(self.machine.end_session())
        self._set_timer()

    @property
    def _is_answered(self) -> bool:
        return self._has_begun and self._user.is_done and self.told.ended == len(self.performance.items)

    def _finish(self, outcome: str) -> None:
        self.is_over, self.outcome = True, outcome
        self._user.leave()
        self._world.log(self.name, "is finished: {}", outcome)
        self._on_over()

    def _failed(self, failure: SessionFailed) -> None:
        self._world.log(self.name, "fails: {}", failure.code)
        self.told.errors.append(failure.code)
        if failure.ends_session and not self.is_over:
            self._finish(failure.code)

    def _connect(self, *, resumes: bool) -> None:
        self._attempt += 1
        attempt = self._attempt

        def opened(end: End) -> None:
            if attempt != self._attempt:
                end.close()
                return
            self._end = end
            if not resumes:
                # A session of its own: what was told of another is void.
                self.told.restart()
                self._emitted.clear()
                self._finals.clear()
            self._act(self.machine.connection_opened(self._now))

        def failed() -> None:
            if attempt == self._attempt:
                failure = SessionFailed("connect-failed", "", fault=Fault.SERVER, retry=Retry.NEW_SESSION)
                self._act(self.machine.connection_failed(self._now, failure, self._jitter))

        self._network.connect(self.name, self, opened, failed, resumes=resumes)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.next_deadline()
        if deadline is not None and not self.is_over:
            self._timer = self._world.at(deadline - self._ahead_s + CLOCK_STEP_S, self._time_came)

    def _time_came(self) -> None:
        self._act(self.machine.timer_fired(self._now, self._jitter))

    def _emit(self, event: to.Event) -> None:
        match event:
            case to.TextDelta(text, item=item):
                self._emitted[item] = self._emitted.get(item, "") + text
            case to.TextRevised(item, start, end, text):
                before = self._emitted.get(item, "")
                self._emitted[item] = before[:start] + text + before[end:]
            case to.TurnDone(text, item=item):
                self._finals[item] = text
            case to.ConnectionLost():
                self.losses += 1
            case _:
                pass

    # ---- from the connection

    def message_received(self, end: End, message: bytes) -> None:
        """See `link.Peer`."""
        if end is not self._end:
            return
        event = parse_contract(message)
        self.told.take(event)
        if isinstance(event, contract.Updated):
            self.token = event.token
        self._act(self.machine.message_received(message, self._now))
        if self.machine.can_resume and not self._has_begun:
            self._has_begun = True
            self._user.begin()

    def connection_lost(self, end: End, code: int | None) -> None:
        """See `link.Peer`."""
        if end is self._end:
            self._end = None
            self._world.log(self.name, "loses its connection ({})", code)
            code = _NO_CLOSE_FRAME if code is None else code
            self._act(self.machine.connection_lost(self._now, code, self._jitter))

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        """See `link.Peer`: what waits is kept by the machine and bounded there."""

    def pause_reading(self, seconds: float) -> None:
        """Read nothing for a time."""
        end = self._end
        if end is not None and end.is_open:
            self._world.log(self.name, "does not read for {:.1f} s", seconds)
            end.pause(True)
            self._world.after(seconds, lambda: end.pause(False))

    # ---- the user

    def _do(self, step: Step) -> bool:
        machine = self.machine
        if machine.has_ended:
            return True
        if not machine.can_take_input or not machine.can_resume:
            return False
        match step.act:
            case Act.START:
                if not machine.can_start_turn:
                    return False
                actions = machine.start_turn()
            case Act.AUDIO:
                actions = machine.send_audio(self._audio(step))
            case Act.END:
                actions = machine.end_turn()
            case Act.CLEAR:
                actions = machine.clear()
            case Act.CANCEL:
                told = self.told.items.get(step.item)
                if told is not None and told.end:
                    return True
                actions = machine.cancel(step.item)
        self._act(actions)
        return True

    def _audio(self, step: Step) -> Audio:
        return vllm.encode_audio(self.performance.speech.pcm(step.start, step.end))

    # ---- the verdict

    def check_end(self) -> None:
        """What the machine told the user is what the server told the machine.

        Raises:
            InvariantBroken: it is not.
        """
        for number, item in self.told.items.items():
            said = self._emitted.get(number, "")
            require(said == item.text, "{}: the client's text of item {} is not the server's", self.name, number)
            if item.end == "done":
                same = self._finals.get(number) == item.final.removeprefix(" ")
                require(same, "{}: the client's end of item {} is not the server's", self.name, number)
