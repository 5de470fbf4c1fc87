"""What a client's session wants done: imperatives, executed in order."""

from dataclasses import dataclass, field

from parley.client.events import Event
from parley.client.failure import SessionFailed


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; answer with `connection_opened` or `connection_failed`.

    `url_has_resume`: the session is to be resumed, which `?resume=1` says to a server that is full. `place` is the
    server, by its place among those that were given.
    """

    url_has_resume: bool
    place: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text message on the connection."""

    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection, or give up making one; nothing more is wanted to be heard of it."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the user."""

    event: Event


@dataclass(frozen=True, slots=True)
class Fail:
    """Report a failure to the user; it is the last word when the machine has ended."""

    failure: SessionFailed


Action = Connect | Send | Disconnect | Emit | Fail
