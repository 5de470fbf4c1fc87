"""One run from its beginning to its verdict: safety with faults on, then all heals and must come to an end."""

import random
import traceback
from dataclasses import dataclass, field
from functools import partial

from parley.client.limits import ClientLimits
from parley.core import events as ev
from parley.simulation.device import PlainDevice
from parley.simulation.excuses import explains
from parley.simulation.invariants import InvariantBroken, require
from parley.simulation.legs import LegOpener
from parley.simulation.link import LinkQuality
from parley.simulation.model import ModelServer
from parley.simulation.network import Network
from parley.simulation.node import NodeOptions, ServerNode
from parley.simulation.options import Options
from parley.simulation.performance import LONG_MANNER, Manner, Performance, perform
from parley.simulation.resuming_device import ResumingDevice
from parley.simulation.rival import Claim, Rival
from parley.simulation.speech import Speech
from parley.simulation.transcripts import check_transcript
from parley.simulation.witness import Witness
from parley.simulation.world import LoggedEvent, World

_LEG_QUALITY = LinkQuality(latency_s=0.002)
_SLOW_READER_S = (0.5, 20.0)
_DOWN_S = (0.2, 8.0)
_JUMP_S = (0.5, 60.0)


type Device = PlainDevice | ResumingDevice


@dataclass
class Report:
    """What came of a run. `broken` is empty when everything held."""

    options: Options
    broken: str = ""
    trace: str = ""
    events: list[LoggedEvent] = field(default_factory=list)
    simulated_s: float = 0.0
    steps: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)
    words: int = 0
    losses: int = 0
    parkings: int = 0
    connections: int = 0
    generations: int = 0
    most_held_bytes: int = 0

    @property
    def is_ok(self) -> bool:
        """Whether everything held."""
        return not self.broken


def run(options: Options) -> Report:
    """Run and judge; a broken invariant and a core that raises are findings, in the report."""
    simulation = _Simulation(options)
    report = Report(options)
    try:
        simulation.play()
        simulation.judge()
    except InvariantBroken as finding:
        report.broken = str(finding)
    except Exception as error:
        report.broken = f"{type(error).__name__} was raised: {error}"
        report.trace = traceback.format_exc()
    simulation.fill(report)
    return report


class _Simulation:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.drawn = drawn = options.drawn
        self.world = World(options.seed)
        self.model = ModelServer(self.world, drawn.model)
        self.opener = LegOpener(self.world, self.model, drawn.plan, _LEG_QUALITY)
        check_every = 1_024 if options.is_long else 16
        self.node = ServerNode(self.world, NodeOptions(drawn.limits, check_every=check_every), self.opener)
        self.network = Network(self.world, self.node, drawn.plan, drawn.quality)
        self.devices: list[Device] = []
        self.rivals: list[Rival] = []
        self._unfinished = drawn.users
        for number in range(drawn.users):
            self.devices.append(self._device(number))
        if not options.is_long:
            self.model.witness = Witness([device.performance.speech for device in self.devices])

    def _device(self, number: int) -> Device:
        drawn, options = self.drawn, self.options
        chance = random.Random(f"{options.seed}/{number}")  # noqa: S311  the same each time, on purpose
        is_contract = number >= drawn.plain_users
        speech = Speech(chance, options.speech_s, drawn.talk)
        manner = LONG_MANNER if options.is_long else Manner(is_contract=is_contract, halt_rate=drawn.halt_rate)
        performance: Performance = perform(chance, speech, manner)
        if is_contract:
            limits = ClientLimits(unacked_max_s=chance.choice((5.0, 60.0)), answer_timeout_s=90.0)
            return ResumingDevice(f"user{number}", self.world, self.network, performance, limits, self._one_is_over)
        return PlainDevice(
            f"plain{number}", self.world, self.network, performance, self._one_is_over, breaks=chance.random() < 0.2
        )

    # ---- the course of things

    def play(self) -> None:
        """Let everyone go on until they are done: faults first, then none."""
        self._plan_faults()
        heals_at = self.options.speech_s
        if not self.world.run(heals_at):
            self._heal()
            until = self.world.now + self.options.grace_s
            self.world.run(until)
            unfinished = [device.name for device in self.devices if not device.is_over]
            require(not unfinished, "not live: {} unfinished {} s after everything healed", unfinished,
                    self.options.grace_s)  # fmt: skip

    def _one_is_over(self) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self.world.stop()

    def _heal(self) -> None:
        self.world.heal()
        self.network.heal()
        if self.model.is_down:
            self.model.start()

    def _plan_faults(self) -> None:
        plan, chance = self.drawn.plan, self.world.chance
        world, is_running = self.world, lambda: True
        world.sometimes(plan.crash_a_minute, is_running, self._crash)
        world.sometimes(plan.shut_down_a_minute, is_running, self._shut_down)
        world.sometimes(plan.jump_a_minute, is_running, lambda: self.node.jump(chance.uniform(*_JUMP_S)))
        world.sometimes(plan.relief_a_minute, is_running, self._relieve)
        world.sometimes(plan.end_a_minute, is_running, self._end_one)
        for device in self.devices:
            self._slow_down(device)
            if isinstance(device, ResumingDevice):
                self._let_jump(device)
                self._challenge(device)

    def _let_jump(self, device: ResumingDevice) -> None:
        chance, rate = self.world.chance, self.drawn.plan.jump_a_minute / 2
        self.world.sometimes(rate, lambda: not device.is_over, lambda: device.jump(chance.uniform(*_JUMP_S)))

    def _challenge(self, owner: ResumingDevice) -> None:
        chance, plan = self.world.chance, self.drawn.plan
        if plan.rival_rate and chance.random() < plan.rival_rate:
            claim = chance.choice(list(Claim))
            at_s = chance.uniform(0.5, self.options.speech_s)
            self.rivals.append(Rival(self.world, self.network, owner, claim, at_s=at_s, acked=self._acked))

    def _acked(self, session_name: str) -> int:
        return next((hosted.acked for hosted in self.node.sessions if hosted.name == session_name), 0)

    def _slow_down(self, device: Device) -> None:
        seconds = self.world.chance.uniform(*_SLOW_READER_S)
        rate = self.drawn.plan.slow_reader_a_minute
        self.world.sometimes(rate, lambda: not device.is_over, lambda: device.pause_reading(seconds))

    def _crash(self) -> None:
        if not self.model.is_down:
            self.model.crash()
            self._start_later()

    def _shut_down(self) -> None:
        if not self.model.is_down:
            self.model.shut_down(with_done=self.world.chance.random() < 0.5)
            self._start_later()

    def _relieve(self) -> None:
        """The model server is to be left: every session is asked, now and once more."""
        chance, node = self.world.chance, self.node
        patience_s = chance.choice((None, 0.0, chance.uniform(0.2, 5.0)))
        at_once_at = None if patience_s is None else node.now + patience_s
        self.world.log("model", "is to be left, at once in {}", patience_s)
        for hosted in node.live:
            for leg in chance.choice(([0], hosted.open_legs)):
                hosted.receive(ev.RotationAsked(leg, at_once_at))
                if chance.random() < 0.5:
                    self.world.after(
                        chance.uniform(0.1, 6.0), partial(hosted.receive, ev.RotationAsked(leg, at_once_at))
                    )

    def _end_one(self) -> None:
        if self.node.live:
            self.world.chance.choice(self.node.live).receive(ev.EndAsked())

    def _start_later(self) -> None:
        def start() -> None:
            if self.model.is_down:
                self.model.start()

        self.world.after(self.world.chance.uniform(*_DOWN_S), start)

    # ---- the verdict

    def judge(self) -> None:
        """Hold what happened against what should have."""
        self._judge_remains()
        require(not self.model.violations, "the model server was misused: {}", self.model.violations)
        for device in self.devices:
            check_transcript(
                device.told,
                device.performance,
                is_over=device.is_complete,
                diverges=self.drawn.model.diverges,
                swallowed=self.model.swallowed,
            )
            device.check_end()
        for rival in self.rivals:
            rival.check()
        self._judge_outcomes()

    def _judge_outcomes(self) -> None:
        """A session that did not come to its end did so for a reason that the faults explain."""
        by_name = {hosted.name: hosted for hosted in self.node.sessions}
        taken = {rival.name for rival in self.rivals if rival.is_master}
        for device in self.devices:
            hosted = by_name.get(device.session_name)
            is_explained = explains(self.drawn, device.outcome, hosted, is_taken=f"{device.name}-rival" in taken)
            require(is_explained, "{} ended with {}, and no fault explains it", device.name, device.outcome)

    def _judge_remains(self) -> None:
        """When everyone is gone, nothing is left."""
        window_s = self.drawn.limits.resume_window_s
        self.world.heal()
        self.world.run(self.world.now + 3 * window_s + 120)
        require(not self.node.live, "sessions are left: {}", [hosted.name for hosted in self.node.live])
        for hosted in self.node.sessions:
            left = hosted.left_behind()
            require(not left, "{} leaves behind: {}", hosted.name, left)
        require(not self.node.tokens, "{} tokens are left", self.node.tokens)
        require(not self.model.connections, "{} legs are left at the model", len(self.model.connections))
        require(not self.world.pending, "{} timers are left", self.world.pending)

    def fill(self, report: Report) -> None:
        """Everything that a report shows."""
        report.events = self.world.last_events()
        report.simulated_s = self.world.now
        report.steps = self.world.steps
        report.outcomes = {device.name: device.outcome for device in self.devices}
        report.words = sum(len(item.final.split()) for device in self.devices for item in device.told.items.values())
        report.losses = sum(hosted.losses for hosted in self.node.sessions)
        report.parkings = sum(hosted.parkings for hosted in self.node.sessions)
        report.connections = self.network.made
        report.generations = self.model.generations
        report.most_held_bytes = max((hosted.most_held_bytes for hosted in self.node.sessions), default=0)
