"""What a listener asks of whoever decides who may come in, and what it is told."""

from dataclasses import dataclass, field
from typing import Protocol

from parley.wire.event_stream import Message


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request's head as it was signed: `target` is the path with its query as they came, `headers` the fields in
    the order of the wire with names in lower case, `:authority` among them as such. Bytes of the wire are decoded as
    UTF-8 with `surrogateescape`, so that they can be had back."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)


class EventGuard(Protocol):
    """Verifies the events of one stream, in order."""

    def open(self, message: Message) -> bytes:
        """The payload of a signing event, its signature verified against the chain: the inner event's bytes, empty for
        the last one.

        Raises:
            ParleyError: invalid-signature or clock-skew. The stream can't be trusted from there on.
        """


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request. `principal` is empty for nobody in particular; `guard` is None where events are taken as they
    come, signed or not."""

    principal: str
    guard: EventGuard | None


class Authenticator(Protocol):
    """Says who sent a request."""

    def authenticate(self, request: SignedRequest) -> Identity:
        """Who sent it.

        Raises:
            ParleyError: not-authenticated, unknown-credentials, expired-credentials, invalid-signature, clock-skew,
                request-replayed or at-capacity.
        """
