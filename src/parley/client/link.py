"""The seam between a session and its connection, which may be a WebSocket or a stream through SageMaker."""

from collections.abc import Awaitable, Callable
from typing import Protocol


class Link(Protocol):
    """An open connection to a realtime server. Only `abort` and `close` wait.

    Whoever made it is told when there is something to look at: a message has arrived, more may be sent or no more, or
    the connection is over.
    """

    def send(self, message: bytes) -> None:
        """Send one text message. What the peer does not take is kept, so look at `can_send` before sending much; what
        is sent when the connection is over is gone."""

    def receive(self) -> bytes | None:
        """The next message, in the order of arrival; None when there is none yet, or none will come."""

    @property
    def close_code(self) -> int | None:
        """None while the connection lasts, then RFC 6455's code, or what comes nearest; messages that came before may
        still be received."""

    @property
    def can_send(self) -> bool:
        """Whether the peer takes more."""

    @property
    def renew_at(self) -> float | None:
        """When to have another connection in its place, in the event loop's time; None for never."""

    async def abort(self) -> None:
        """Drop it, as when it is lost: a session that can be resumed goes on without it."""

    async def close(self) -> None:
        """Close it properly, within a bound."""


class Dial(Protocol):
    """Makes connections."""

    def __call__(self, *, resume: bool, changed: Callable[[], None]) -> Awaitable[Link]:
        """A connection; `resume` says that it is for a session that the server has, `changed` is called as `Link` says.

        Raises:
            SessionFailed: there is none to be had.
        """
