"""What bounds a client's session: what is kept to be sent again, how long answers may take, how often to reconnect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of one session on the client's side.

    `unacked_max_s` of audio or `unacked_max_bytes` of messages are kept that the server has not acknowledged, or that
    wait for it; then input waits. `turns_max` turns may be begun and not done. `greeting_timeout_s` is how long a
    server may take to begin or to resume a session once it is connected, `answer_timeout_s` how long it may be silent
    while the end of a turn is awaited.

    Events are acknowledged after `ack_max_events` or `ack_max_bytes` of them, and `ack_delay_s` after the first one.

    A lost connection is made again at once, then after `retry_first_s`, doubling to `retry_max_s`, for as long as the
    server says that it keeps the session. A connection that brought something, or lasted `stable_after_s`, starts that
    over; `fruitless_max` in a row that did neither end the session.
    """

    unacked_max_s: float = 60.0
    unacked_max_bytes: int = 8_388_608
    turns_max: int = 16
    greeting_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0
    ack_max_events: int = 32
    ack_max_bytes: int = 65_536
    ack_delay_s: float = 1.0
    retry_first_s: float = 0.1
    retry_max_s: float = 5.0
    stable_after_s: float = 10.0
    fruitless_max: int = 8
