"""What the user says and asks for, in the order and within the bounds that are allowed, as messages to the server."""

from parley.client.limits import ClientLimits
from parley.client.outgoing import Input, Kind, Outgoing
from parley.client.turns import Turns
from parley.core.content import SAMPLE_RATE, Audio
from parley.wire import contract_requests, vllm


class Dictation:
    """`has_contract` says whether the server takes `clear` and `cancel`; `is_closing` that the user is finished."""

    __slots__ = ("_limits", "has_contract", "is_closing", "outgoing", "turns")

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self.has_contract = False
        self.is_closing = False
        self.outgoing = Outgoing()
        self.turns = Turns()

    @property
    def can_take_input(self) -> bool:
        """Whether less than the bound waits or is not acknowledged."""
        outgoing, limits = self.outgoing, self._limits
        return outgoing.bytes < limits.unacked_max_bytes and outgoing.duration_s < limits.unacked_max_s

    @property
    def can_start_turn(self) -> bool:
        """Whether fewer turns than the bound are begun and not done."""
        return len(self.turns.pending) < self._limits.turns_max

    def start(self) -> None:
        """Begin a turn."""
        self._check()
        if self.turns.open:
            raise RuntimeError("A turn is going on: end it before the next one.")
        if not self.can_start_turn:
            raise RuntimeError("Too many turns are not done: wait for the end of one before the next.")
        self.turns.start()
        self.outgoing.append(Input(Kind.START, vllm.COMMIT_START))

    def audio(self, audio: Audio) -> None:
        """A piece of the open turn's audio."""
        self._check("No turn is going on: start one before sending audio.")
        self.turns.hear()
        self.outgoing.append(Input(Kind.AUDIO, vllm.encode_append(audio), audio.samples / SAMPLE_RATE))

    def end(self) -> None:
        """The open turn's audio is complete."""
        self._check("No turn is going on.")
        self.turns.end()
        self.outgoing.append(Input(Kind.END, vllm.COMMIT_FINAL))

    def clear(self) -> None:
        """Drop the open turn's audio."""
        self._check_contract("clear")
        self._check("No turn is going on.")
        self.turns.clear()
        self.outgoing.append(Input(Kind.CLEAR, contract_requests.CLEAR_INPUT))

    def cancel(self, item: int) -> None:
        """Give a turn up, 0 for the oldest."""
        self._check_contract("cancel")
        self._check()
        chosen = self.turns.cancel(item)
        if not chosen:
            raise RuntimeError("There is no such turn, or it is done or cancelled.")
        self.outgoing.append(Input(Kind.CANCEL, contract_requests.encode_cancel(chosen)))

    def close(self) -> None:
        """Finish."""
        self.is_closing = True
        if self.has_contract:
            self.outgoing.append(Input(Kind.CLOSE, contract_requests.END_SESSION))

    def _check(self, needs_turn: str = "") -> None:
        if self.is_closing:
            raise RuntimeError("The session is over.")
        if needs_turn and not self.turns.open:
            raise RuntimeError(needs_turn)
        if not self.can_take_input:
            raise RuntimeError("Too much input waits: look at can_take_input first.")

    def _check_contract(self, what: str) -> None:
        if not self.has_contract:
            raise RuntimeError(f"This session can't {what}: it takes a Parley server, and resume on; see can_resume.")
