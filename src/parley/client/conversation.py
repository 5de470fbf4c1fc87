"""The course of a client's session with its server, over one connection after another: `phase` draws it.

A server without the session contract gets vLLM's protocol and nothing else. Its turns run one at a time, so the start
of a turn waits until the one before is done. Between turns a lost connection is made again with the next turn.
"""

from collections.abc import Callable
from typing import Any

from parley.client.actions import Action, Connect, Disconnect, Emit, Fail, Send
from parley.client.answer import Answer
from parley.client.dictation import Dictation
from parley.client.events import ConnectionLost, Event, SessionCreated, SessionEnded, SessionResumed
from parley.client.failure import SessionFailed, reported_failure
from parley.client.limits import ClientLimits
from parley.client.loss import NORMAL_CLOSE, REFUSALS, lost, refusal_of
from parley.client.numbering import Numbering
from parley.client.phase import Phase
from parley.client.reconnection import Reconnection
from parley.client.results import Results
from parley.client.route import Route
from parley.core.errors import ERRORS, Fault, ParleyError, Retry
from parley.wire import contract, contract_requests, vllm
from parley.wire.contract_reading import parse_contract

_STATES = contract.Queued | contract.Lagging | contract.Expiring | contract.GoingAway
"""What states where things stand: only the latest matters, and none has a number."""
_MOVED_SPREAD_S = 0.1
"""What the first attempt after a move is spread over: a server that ends moves many sessions."""

CLIENT_ENDED = "client-ended"
"""The reason of SessionEnded when the client asked for it."""


class Conversation:
    """One session with a server. `dictation` is what the user says; for the rest see `resumption.ClientMachine`."""

    def __init__(
        self,
        dictation: Dictation,
        opt_in: bytes,
        model: str,
        *,
        resume: bool,
        limits: ClientLimits,
        timestamps: bool,
        places: int,
    ) -> None:
        self.session_id = ""
        self.is_greeted = False
        self._model = model
        self._opt_in = opt_in
        self._route = Route(places)
        self._is_moved = False
        self._wants_contract = resume
        self._limits = limits
        self._out: list[Action] = []
        self._phase = Phase.NEW
        self._token = ""
        self._dictation = dictation
        self._outgoing = self._dictation.outgoing
        self._turns = self._dictation.turns
        self._results = Results(self._turns, timestamps=timestamps)
        self._stock = self._results.stock
        self._numbering = Numbering(self._limits)
        self._reconnection = Reconnection(self._limits)
        self._now = 0.0
        self._due_at: float | None = None
        self._answer = Answer(limits.answer_timeout_s)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, greeted or not."""
        return self._phase.is_connected

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes and nothing more is taken."""
        return self._phase is Phase.ENDED

    def next_deadline(self) -> float | None:
        """When to call `timer_fired`; None when there is nothing to wait for."""
        if self.has_ended:
            return None
        times = (
            self._due_at,
            self._numbering.due_at if self._phase is Phase.LIVE else None,
            self._answer.due_at(self._now, is_awaited=self._is_awaited),
        )
        return min((at for at in times if at is not None), default=None)

    # ---- input

    def pushed(self) -> list[Action]:
        """The user gave more input, perhaps the last."""
        if self._dictation.is_closing and not self._dictation.has_contract and not self.has_ended:
            self._end()
        elif self._phase is Phase.DORMANT and self._outgoing.head() is not None:
            self._connect()
        self._flush()
        return self._taken()

    def _flush(self) -> None:
        """Send what may be sent."""
        outgoing = self._outgoing
        if self._phase in (Phase.OPTING, Phase.LIVE):
            self._out.extend(Send(item.message) for item in outgoing.send_all())
        elif self._phase is Phase.STOCK:
            while (head := outgoing.head()) is not None and self._stock.may_send(head.kind):
                self._stock.sent(head.kind)
                self._out.append(Send(outgoing.release().message))

    # ---- the connection

    def connect(self, now: float) -> list[Action]:
        """Begin."""
        assert self._phase is Phase.NEW
        self._now = now
        self._connect()
        return self._taken()

    def connection_opened(self, now: float) -> list[Action]:
        """The connection that was asked for is there."""
        if self._phase is not Phase.CONNECTING:
            return []
        self._now = now
        self._due_at = now + self._limits.greeting_timeout_s
        if self._token:
            self._phase = Phase.RESUMING
            self._out.append(Send(contract_requests.encode_resume(self._token, self._numbering.last)))
        else:
            self._phase = Phase.GREETING
        return self._taken()

    def connection_failed(self, now: float, failure: SessionFailed, jitter: float) -> list[Action]:
        """The connection that was asked for can't be had."""
        if self._phase is not Phase.CONNECTING:
            return []
        self._now = now
        self._phase = Phase.WAITING
        is_for_good = failure.fault is Fault.CLIENT and failure.retry is Retry.NEVER
        are_all_tried = self._route.failed()
        if is_for_good or (are_all_tried and not self._reconnection.is_under_way):
            self._give_up(failure)
        elif not self._reconnection.is_under_way:
            self._connect()
        else:
            self._reconnection.refused(failure)
            self._retry_in_turn(jitter, are_all_tried=are_all_tried)
        return self._taken()

    def connection_lost(self, now: float, close_code: int, jitter: float) -> list[Action]:
        """The connection is gone; `close_code` is RFC 6455's, 1006 without a close frame."""
        if not self.is_connected:
            return []
        self._now = now
        self._due_at = None
        self._answer.forget()
        phase, self._phase = self._phase, Phase.WAITING
        if phase is Phase.STOCK:
            self._lost_stock(close_code)
        elif not self._dictation.has_contract:
            self._give_up(lost(close_code, "before the session began"))
        elif (refusal := refusal_of(close_code)) is not None and not self._may_be_elsewhere(refusal):
            self._refused(refusal)
        else:
            self._lost_contract(phase, close_code, jitter)
        return self._taken()

    def _lost_contract(self, phase: Phase, close_code: int, jitter: float) -> None:
        are_all_tried = True
        if not self._reconnection.is_under_way:
            self._reconnection.begin(self._now, close_code)
            self._out.append(Emit(ConnectionLost(close_code)))
            if self._is_moved:
                self._route.move_on()
                self._reconnection.spread(_MOVED_SPREAD_S * jitter)
        elif phase is Phase.RESUMING:
            are_all_tried = self._route.failed()
        self._is_moved = False
        if phase is Phase.OPTING:
            self._start_over()
        self._retry_in_turn(jitter, are_all_tried=are_all_tried)

    def _lost_stock(self, close_code: int) -> None:
        if self._stock.is_running:
            self._give_up(lost(close_code, "before the turn was done, so its text is not complete"))
        elif close_code == NORMAL_CLOSE:
            self._end()
        else:
            self._phase = Phase.DORMANT

    def _start_over(self) -> None:
        """Without the token that may be on its way nobody gets back what the server has; but all of it is here too."""
        assert self._outgoing.acked == self._numbering.last == 0
        self._outgoing.rewind()

    def _connect(self) -> None:
        self._phase = Phase.CONNECTING
        self._due_at = None
        if self._reconnection.is_under_way:
            self._reconnection.attempts += 1
        self._out.append(Connect(bool(self._token), self._route.place))

    def _retry_in_turn(self, jitter: float, *, are_all_tried: bool) -> None:
        if not are_all_tried:
            self._reconnection.goes_elsewhere()
        self._retry(jitter)

    def _retry(self, jitter: float) -> None:
        at = self._reconnection.next_attempt_at(self._now, jitter)
        if at is None:
            self._give_up(self._reconnection.failure(self._now, self._turns.pending))
        elif at <= self._now:
            self._connect()
        else:
            self._phase = Phase.WAITING
            self._due_at = at

    # ---- time

    def timer_fired(self, now: float, jitter: float) -> list[Action]:
        """Time has passed."""
        self._now = now
        if self.has_ended:
            return []
        if self._due_at is not None and now >= self._due_at:
            self._due_at = None
            if self._phase is Phase.WAITING:
                self._connect()
            else:
                self._not_greeted(jitter)
        if (failure := self._answer.failure(now, is_awaited=self._is_awaited)) is not None:
            self._give_up(failure)
        self._acknowledge()
        return self._taken()

    def _not_greeted(self, jitter: float) -> None:
        detail = "It accepted the connection and did not begin a session."
        failure = SessionFailed.of(ParleyError("upstream-stalled", detail))
        if not self._reconnection.is_under_way:
            self._give_up(failure)
            return
        self._out.append(Disconnect())
        self._reconnection.refused(failure)
        if self._phase is Phase.OPTING:
            self._start_over()
        self._phase = Phase.WAITING
        self._retry_in_turn(jitter, are_all_tried=self._route.failed())

    @property
    def _is_awaited(self) -> bool:
        """Whether the server has to say something."""
        if self._phase is Phase.LIVE:
            return self._results.are_awaited
        return self._phase is Phase.STOCK and self._stock.is_awaited

    # ---- the server's messages

    def message_received(self, message: bytes, now: float) -> list[Action]:
        """A text message arrived on the connection."""
        handle = _HANDLERS.get(self._phase)
        if handle is None:
            return []
        self._now = now
        try:
            handle(self, parse_contract(message), len(message))
        except ParleyError as error:
            self._give_up(SessionFailed.of(error))
        self._answer.expect(now, is_awaited=self._is_awaited)
        return self._taken()

    def _greeting(self, event: contract.ContractEvent, _size_bytes: int) -> None:
        match event:
            case contract.Created(session_id, window_s):
                self._created(session_id, window_s)
            case contract.Failed():
                self._attempt_failed(event)
            case _:
                raise ParleyError("upstream-protocol", "It did not begin with session.created.")

    def _created(self, session_id: str, window_s: float | None) -> None:
        is_first, self.is_greeted = not self.is_greeted, True
        self.session_id = session_id
        self._due_at = None
        if self._wants_contract and window_s:
            self._phase = Phase.OPTING
            self._dictation.has_contract = True
            self._reconnection.window_s = window_s
            self._due_at = self._now + self._limits.greeting_timeout_s
            self._out.append(Send(self._opt_in))
        elif self._dictation.has_contract:
            raise ParleyError("upstream-protocol", "It no longer offers to resume sessions, as it did before.")
        else:
            # For the whole session: turns are counted otherwise with the contract.
            self._wants_contract = False
            self._phase = Phase.STOCK
            self._out.append(Send(vllm.encode_session_update(self._model)))
        if is_first or self._dictation.has_contract:
            self._out.append(Emit(SessionCreated(session_id)))
        self._flush()

    def _opting(self, event: contract.ContractEvent, _size_bytes: int) -> None:
        match event:
            case contract.Updated(_, token, window_s):
                self._phase = Phase.LIVE
                self._due_at = None
                self._token = token
                self._route.arrived()
                self._reconnection.window_s = window_s
                if self._reconnection.is_under_way:
                    self._out.append(Emit(SessionResumed("restarted", (), (), *self._reconnection.resumed(self._now))))
            case contract.Failed():
                self._reported(event)
            case contract.Unknown(seq=0):
                pass
            case _:
                raise ParleyError("upstream-protocol", "It did not answer the opt-in with session.updated.")

    def _resuming(self, event: contract.ContractEvent, _size_bytes: int) -> None:
        match event:
            case contract.Resumed():
                self._resumed(event)
            case contract.Failed():
                self._attempt_failed(event)
            case contract.Created() | contract.Unknown():
                pass
            case _:
                raise ParleyError("upstream-protocol", "It did not answer session.resume with session.resumed.")

    def _resumed(self, event: contract.Resumed) -> None:
        if event.input_seq > self._outgoing.acked:
            self._reconnection.progressed()
        if not self._outgoing.rewind(event.input_seq):
            raise ParleyError("upstream-protocol", f"It says that it has {event.input_seq} inputs, which can't be.")
        self._phase = Phase.LIVE
        self._due_at = None
        self._route.arrived()
        self._numbering.told()
        attempts, downtime_s = self._reconnection.resumed(self._now)
        resumed = SessionResumed(event.outcome, event.replayed_ms, event.lost, attempts, downtime_s)
        self._out.append(Emit(resumed))
        self._flush()

    def _attempt_failed(self, event: contract.Failed) -> None:
        failure = reported_failure(event)
        if failure.code in REFUSALS and not self._may_be_elsewhere(failure):
            self._refused(failure)
        elif self._reconnection.is_under_way:
            # The server closes the connection next, and that brings the next attempt.
            self._reconnection.refused(failure)
        else:
            self._give_up(failure)

    def _may_be_elsewhere(self, failure: SessionFailed) -> bool:
        """Whether another server may have the session that this one does not know."""
        return failure.code == "unknown-session" and not self._route.lacks_session()

    def _refused(self, failure: SessionFailed) -> None:
        if self._dictation.is_closing and failure.code in ("unknown-session", "expired"):
            # It was asked to end, and did; the answer was lost with the connection.
            self._out.append(Emit(SessionEnded(CLIENT_ENDED, Retry.NEVER)))
            self._end()
        else:
            self._give_up(failure)

    def _live(self, event: contract.ContractEvent, size_bytes: int) -> None:
        if isinstance(event, contract.InputAck):
            if not self._outgoing.acknowledge(event.input_seq):
                detail = f"It acknowledged {event.input_seq} inputs, which can't be."
                raise ParleyError("upstream-protocol", detail)
            self._reconnection.progressed()
        elif isinstance(event, _STATES):
            self._emit(self._results.told(event))
        elif self._numbering.take(event, size_bytes, self._now):
            self._reconnection.progressed()
            self._tell(event)
            self._acknowledge(event)

    def _tell(self, event: contract.ContractEvent) -> None:
        match event:
            case contract.Failed(parley_code="moved"):
                # The connection is closed next, and that brings the attempt to take the session up elsewhere.
                self._is_moved = True
            case contract.Failed():
                self._reported(event)
            case contract.Ended(reason, retry):
                self._ended(reason, retry)
            case _:
                self._emit(self._results.told(event))

    def _on_stock(self, event: contract.ContractEvent, _size_bytes: int) -> None:
        self._emit(self._results.told_by_stock(event))
        if isinstance(event, contract.Failed):
            self._reported(event)
        self._flush()

    def _reported(self, event: contract.Failed) -> None:
        failure = reported_failure(event)
        if failure.ends_session:
            self._give_up(failure)
        elif failure.code != "invalid-event" or not self._turns.excuse():
            self._out.append(Fail(failure))

    def _ended(self, reason: str, retry: str) -> None:
        self._emit(SessionEnded(reason, retry))
        if reason == CLIENT_ENDED:
            self._end()
        elif reason in ERRORS:
            self._give_up(SessionFailed.of(ParleyError(reason)))
        else:
            raise ParleyError("upstream-protocol", "It ended the session for a reason that is not known here.")

    def _emit(self, event: Event | None) -> None:
        if event is not None:
            self._out.append(Emit(event))

    # ---- acknowledgements, and the end

    def _acknowledge(self, event: contract.ContractEvent | None = None) -> None:
        if self._phase is Phase.LIVE and self._numbering.is_due(event, self._now):
            self._numbering.told()
            self._out.append(Send(contract_requests.encode_ack(self._numbering.last)))

    def _give_up(self, failure: SessionFailed) -> None:
        if not self.has_ended:
            self._out.append(Fail(failure))
            self._end()

    def _end(self) -> None:
        if self.is_connected or self._phase is Phase.CONNECTING:
            self._out.append(Disconnect())
        self._phase = Phase.ENDED

    def _taken(self) -> list[Action]:
        actions = self._out[:]
        self._out.clear()
        return actions


_HANDLERS: dict[Phase, Callable[[Conversation, Any, int], None]] = {
    Phase.GREETING: Conversation._greeting,
    Phase.OPTING: Conversation._opting,
    Phase.RESUMING: Conversation._resuming,
    Phase.LIVE: Conversation._live,
    Phase.STOCK: Conversation._on_stock,
}
