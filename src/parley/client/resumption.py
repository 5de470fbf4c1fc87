"""A client's session as a pure state machine: it outlives its connection and never loses or doubles an input or event.

Rules of the package's pure part, which is this module and what it imports of it: nothing reads a clock, waits, or
knows of sockets. `now` is monotonic seconds, and `jitter` in [0, 1) is chance. Every method that does something returns
what to do, in order. Whoever drives the machine answers each Connect with `connection_opened` or `connection_failed`,
reports the loss of that connection once unless it was told to Disconnect, and calls `timer_fired` when `next_deadline`
has come; an earlier call does no harm.

`dictation` is what the user says, `conversation` what becomes of it.
"""

from parley.client.actions import Action
from parley.client.conversation import Conversation
from parley.client.dictation import Dictation
from parley.client.failure import SessionFailed
from parley.client.limits import ClientLimits
from parley.core.content import Audio
from parley.core.limits import AtBound
from parley.core.retention import Retention
from parley.wire.contract_requests import encode_opt_in


class ClientMachine:
    """One session of a client. `model` is the name to ask for, empty for whichever is served.

    With `resume` it opts in to the session contract where the server offers it. `timestamps` places deltas in the
    audio; the URL then has to ask for every delta. `places` is how many servers may be connected to: Connect says to
    which. The policies are what the session is to do with more audio or results than may wait, `retention` what is to
    be kept of it, None what the server does.
    """

    def __init__(
        self,
        model: str = "",
        *,
        resume: bool = True,
        limits: ClientLimits | None = None,
        timestamps: bool = False,
        places: int = 1,
        input_policy: AtBound | None = None,
        output_policy: AtBound | None = None,
        retention: Retention | None = None,
        consent: bool = False,
    ) -> None:
        limits = limits or ClientLimits()
        self._dictation = Dictation(limits)
        opt_in = encode_opt_in(
            model, input_policy=input_policy, output_policy=output_policy, retention=retention, consent=consent
        )
        self._conversation = Conversation(
            self._dictation, opt_in, model, resume=resume, limits=limits, timestamps=timestamps, places=places
        )

    # ---- what there is to know

    @property
    def session_id(self) -> str:
        """The server's name for the session, the latest when it was started over; empty before there is one."""
        return self._conversation.session_id

    @property
    def is_greeted(self) -> bool:
        """Whether the server has begun the session."""
        return self._conversation.is_greeted

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, greeted or not."""
        return self._conversation.is_connected

    @property
    def can_resume(self) -> bool:
        """Whether the session outlives its connection: the server offered it, and the offer was taken."""
        return self._dictation.has_contract

    @property
    def is_idle(self) -> bool:
        """Whether no turn is open, and none is awaited."""
        return not self._dictation.turns.open and not self._dictation.turns.pending

    @property
    def can_take_input(self) -> bool:
        """Whether less input than the bound waits or is not acknowledged."""
        return self._dictation.can_take_input

    @property
    def can_start_turn(self) -> bool:
        """Whether fewer turns than the bound are begun and not done."""
        return self._dictation.can_start_turn

    @property
    def unacked_inputs(self) -> int:
        """Inputs that are kept: not sent yet, or sent and not acknowledged."""
        return len(self._dictation.outgoing)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes and nothing more is taken."""
        return self._conversation.has_ended

    def next_deadline(self) -> float | None:
        """When to call `timer_fired`; None when there is nothing to wait for."""
        return self._conversation.next_deadline()

    # ---- the user's input; each raises RuntimeError when it is out of order, when too much waits, and after the end

    def start_turn(self) -> list[Action]:
        """Begin a turn; the one before has to be ended, and `can_start_turn`."""
        self._check()
        self._dictation.start()
        return self._conversation.pushed()

    def send_audio(self, audio: Audio) -> list[Action]:
        """A piece of the open turn's audio."""
        self._check()
        self._dictation.audio(audio)
        return self._conversation.pushed()

    def end_turn(self) -> list[Action]:
        """The open turn's audio is complete."""
        self._check()
        self._dictation.end()
        return self._conversation.pushed()

    def clear(self) -> list[Action]:
        """Drop the open turn's audio and text; the turn goes on as another item. Takes the session contract."""
        self._check()
        self._dictation.clear()
        return self._conversation.pushed()

    def cancel(self, item: int = 0) -> list[Action]:
        """Give up the turn of this item, 0 for the oldest one that is not done; the open one is open no more then.

        Takes the session contract.
        """
        self._check()
        self._dictation.cancel(item)
        return self._conversation.pushed()

    def end_session(self) -> list[Action]:
        """Finish; turns that are not done are given up. With the contract SessionEnded follows."""
        if not self.has_ended and not self._dictation.is_closing:
            self._dictation.close()
        return self._conversation.pushed()

    def _check(self) -> None:
        if self.has_ended:
            raise RuntimeError("The session is over.")

    # ---- the connection and time

    def connect(self, now: float) -> list[Action]:
        """Begin."""
        return self._conversation.connect(now)

    def connection_opened(self, now: float) -> list[Action]:
        """The connection that was asked for is there."""
        return self._conversation.connection_opened(now)

    def connection_failed(self, now: float, failure: SessionFailed, jitter: float) -> list[Action]:
        """The connection that was asked for can't be had."""
        return self._conversation.connection_failed(now, failure, jitter)

    def connection_lost(self, now: float, close_code: int, jitter: float) -> list[Action]:
        """The connection is gone; `close_code` is RFC 6455's, 1006 without a close frame."""
        return self._conversation.connection_lost(now, close_code, jitter)

    def message_received(self, message: bytes, now: float) -> list[Action]:
        """A text message arrived on the connection."""
        return self._conversation.message_received(message, now)

    def timer_fired(self, now: float, jitter: float) -> list[Action]:
        """Time has passed."""
        return self._conversation.timer_fired(now, jitter)
