"""What a listener hands over to have decided who may come in, and what it is told."""

from dataclasses import dataclass, field
from typing import Protocol

from parley.access.caller import Caller
from parley.wire.event_stream import Message


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Whom a client certificate, which TLS has verified, was made out to: its URIs, its DNS names, its common name.

    `expires_at_s` is when it ends, in seconds since 1970."""

    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    common_name: str = ""
    expires_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request's head as it came: `target` is the path with its query, `headers` the fields in the order of the wire
    with names in lower case, `:authority` among them as such. Bytes of the wire are decoded as UTF-8 with
    `surrogateescape`, so that they can be had back. `certificate` is the client's, where TLS has asked for one.
    `signs_events` says that what follows is a stream of events that a signer of the head signs as well.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    certificate: CertificateNames | None = field(default=None, repr=False)
    signs_events: bool = False

    def values(self, name: str) -> list[str]:
        """What the fields of this name say, in their order."""
        return [value for other, value in self.headers if other == name]


class EventGuard(Protocol):
    """Verifies the events of one stream, in order."""

    def open(self, message: Message) -> bytes:
        """The payload of a signing event, its signature verified against the chain: the inner event's bytes, empty for
        the last one.

        Raises:
            ParleyError: invalid-signature or clock-skew. The stream can't be trusted from there on.
        """


class BodyGuard(Protocol):
    """Verifies the body of one request, whose head has said what it would be."""

    def feed(self, data: bytes) -> None:
        """The next piece of it."""

    def finish(self) -> None:
        """That was all of it.

        Raises:
            ParleyError: invalid-signature. Nothing may come of the request.
        """


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request; `guard` is None where events are taken as they come, signed or not, and `body` where a body
    is."""

    caller: Caller
    guard: EventGuard | None = None
    body: BodyGuard | None = None


class Authenticator(Protocol):
    """Says who sent a request: by all kinds of credentials, or by one."""

    def authenticate(self, request: RequestHead) -> Identity:
        """Who sent it.

        Raises:
            ParleyError: why nobody can be told; one of the errors of `core/access_errors.py`, bad-request or
                at-capacity.
        """
