"""What bounds one stream of SageMaker's endpoint, and those that have no session yet."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Bounds of a stream.

    A part, and a message that comes in parts, may be `message_max_bytes` long. A client has `close_timeout_s` to read
    the last that is written to it, then its stream is reset. `waiting_max` streams may have come for a session that
    exists and not have named it, each for `waiting_timeout_s`. A container has `container_timeout_s` to take a stream:
    it has a bound of its own, which says more; this one is for what hangs. Who is refused because the server goes away
    is told to come back after `retry_after_s`.
    """

    message_max_bytes: int = 4_194_304
    close_timeout_s: float = 10.0
    waiting_max: int = 64
    waiting_timeout_s: float = 10.0
    container_timeout_s: float = 15.0
    retry_after_s: float = 2.0
