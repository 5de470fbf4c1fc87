"""The seam between an HTTP/2 connection and who handles a request on it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from parley.access.identity import CertificateNames

Headers = tuple[tuple[bytes, bytes], ...]
"""Fields in the order of the wire, names in lower case, pseudo-fields first."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. `target` is `:path` with its query; `is_loopback` says that the peer is on this machine;
    `certificate` is the client's, where TLS has asked for one."""

    method: str
    target: str
    authority: str
    headers: Headers = field(repr=False)
    is_loopback: bool = False
    certificate: CertificateNames | None = field(default=None, repr=False)


class Exchange(Protocol):
    """One request and its answer, as its handler writes it. No method waits.

    What the peer's windows do not take is kept, in order; above the high-water mark the handler is told that it is
    blocked. After the exchange is over every method does nothing.
    """

    def respond(self, status: int, headers: Headers = ()) -> None:
        """Write the answer's head; once."""

    def write(self, data: bytes) -> None:
        """Write a piece of the answer's body."""

    def finish(self) -> None:
        """End the answer behind what waits to be written. If the peer still sends then, it is told with
        RST_STREAM(NO_ERROR) that nothing more of it is read (RFC 9113 section 8.1): at once after a status of 400 and
        more, after a grace otherwise, since clients lose with it what they have not read yet."""

    def reset(self, code: int) -> None:
        """Drop the stream at once with an error code of RFC 9113 section 7."""

    def round_trip_s(self) -> float | None:
        """How long the connection's peer takes to answer a PING, in seconds; None when nobody knows. Who asks has it
        asked again."""

    def pause_reading(self) -> None:
        """Hand nothing more over; what still comes is kept within the stream's window, and no credit goes back."""

    def resume_reading(self) -> None:
        """Go on."""


class ExchangeHandler(Protocol):
    """What becomes of a request. No method waits or raises."""

    def data_received(self, data: bytes) -> None:
        """A piece of the request's body; its credit goes back when this returns."""

    def input_ended(self) -> None:
        """The peer has sent END_STREAM behind everything that was handed over."""

    def lost(self) -> None:
        """The stream was reset or the connection is gone; nothing more will be read or written. Not called after
        `finish` has been carried out."""

    def writing_blocked(self) -> None:
        """What waits to be written is above the high-water mark."""

    def writing_unblocked(self) -> None:
        """It is below the low-water mark again."""


HandlerFactory = Callable[[Request, Exchange], ExchangeHandler]
"""Makes the handler of a request that has arrived; it may answer at once."""
