"""A client without the session contract: it speaks vLLM's protocol, and its session ends with its connection."""

from collections.abc import Callable

from parley.simulation.link import End
from parley.simulation.network import Network
from parley.simulation.performance import Act, Performance, Step
from parley.simulation.transcripts import Told
from parley.simulation.user import User
from parley.simulation.world import World
from parley.wire import contract, vllm
from parley.wire.contract_reading import parse_contract

MODEL = "voxtral"


class PlainDevice:
    """Connects, performs, and closes when every turn is answered."""

    def __init__(
        self,
        name: str,
        world: World,
        network: Network,
        performance: Performance,
        on_over: Callable[[], None],
        *,
        breaks: bool,
    ) -> None:
        self._on_over = on_over
        self.name = name
        self.performance = performance
        self.told = Told(name, is_contract=False)
        self.is_over = False
        self.outcome = ""
        self.session_name = ""
        self._world = world
        self._user = User(world, performance, self._do, self._look_for_end)
        self._end: End | None = None
        self._is_blocked = False
        network.connect(name, self, self._opened, lambda: self._finish("connect-failed"), breaks=breaks)

    @property
    def is_complete(self) -> bool:
        """Whether it did everything and was answered."""
        return self.outcome == "complete"

    def _opened(self, end: End) -> None:
        self._end = end

    def _finish(self, outcome: str) -> None:
        if not self.is_over:
            self.is_over, self.outcome = True, outcome
            self._user.leave()
            self._world.log(self.name, "is finished: {}", outcome)
            self._on_over()

    # ---- from the connection

    def message_received(self, end: End, message: bytes) -> None:
        """See `link.Peer`."""
        event = parse_contract(message)
        self.told.take(event)
        if isinstance(event, contract.Created):
            self.session_name = event.session_id
            end.send(vllm.encode_session_update(MODEL))
            self._user.begin()
        self._look_for_end()

    def _look_for_end(self) -> None:
        # A turn may be answered before its end was sent: it failed.
        if self._end is not None and self._user.is_done and self.told.ended == len(self.performance.items):
            self._end.close()
            self._finish("complete")

    def connection_lost(self, _end: End, code: int | None) -> None:
        """See `link.Peer`."""
        self._finish(self.told.errors[-1] if self.told.errors else f"lost ({code or 'no close frame'})")

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        """See `link.Peer`: the server does not read; the user waits."""
        self._is_blocked = is_blocked

    def pause_reading(self, seconds: float) -> None:
        """Read nothing for a time."""
        end = self._end
        if end is not None and end.is_open:
            end.pause(True)
            self._world.after(seconds, lambda: end.pause(False))

    def check_end(self) -> None:
        """Nothing more to hold it to."""

    # ---- the user

    def _do(self, step: Step) -> bool:
        if self._is_blocked:
            return False
        assert self._end is not None
        match step.act:
            case Act.START:
                self._end.send(vllm.COMMIT_START)
            case Act.AUDIO:
                pcm = self.performance.speech.pcm(step.start, step.end)
                self._end.send(vllm.encode_append(vllm.encode_audio(pcm)))
            case Act.END:
                self._end.send(vllm.COMMIT_FINAL)
            case _:
                raise AssertionError(f"{step.act} is not of vLLM's protocol")
        return True
