"""An invocation of an endpoint, and what serves it: sessions of this node, or a container."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from parley.access.caller import Caller
from parley.ingress.attachment import SessionHost


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a client asked for: endpoint and variant by name, the variant empty for any; `path` (without a leading
    slash) and `query` are for the route behind it, empty for the usual one."""

    endpoint: str
    variant: str = ""
    path: str = ""
    query: str = ""


class FrameSink(Protocol):
    """What hears from a container's WebSocket. No method waits or raises."""

    def frame_received(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        """A data frame. Of a fragmented message `is_text` is that of its first frame, and `is_last` its FIN bit."""

    def container_closed(self, code: int | None, reason: str) -> None:
        """It is over: with the Close frame's code (1005 without one in it) and reason, or None when the connection was
        lost without a Close frame. Nothing follows."""

    def writing_blocked(self) -> None:
        """The container does not read."""

    def writing_unblocked(self) -> None:
        """It reads again."""


class ContainerSocket(Protocol):
    """An open WebSocket to a container. No method waits."""

    def send_frame(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        """Send a data frame: a continuation when the one before it was not the last."""

    def pause_reading(self) -> None:
        """Read nothing more."""

    def resume_reading(self) -> None:
        """Read again."""

    def close(self, code: int, reason: str = "") -> None:
        """Close it; `container_closed` is not called any more."""


class Container(Protocol):
    """A container that speaks SageMaker's contract, or several of them as one."""

    def enter(self, caller: Caller) -> Callable[[], None]:
        """Take a place for a stream of this client; what is returned gives it back, once.

        Raises:
            ParleyError: forbidden, upstream-unavailable, at-capacity or too-many-sessions.
        """

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        """Open a WebSocket for a stream; `path` and `query` as in `Invocation`. The sink hears nothing before this has
        returned.

        Raises:
            ParleyError: upstream-unavailable; container-refused, whose `original_status` is what it answered.
        """


@dataclass(frozen=True, slots=True)
class Target:
    """What serves an invocation: the variant's name, and either a host of sessions or a container."""

    variant: str
    serves: SessionHost | Container


class Endpoints(Protocol):
    """The endpoints of a node."""

    def find(self, invocation: Invocation) -> Target:
        """What serves this invocation.

        Raises:
            ParleyError: endpoint-not-found.
        """
