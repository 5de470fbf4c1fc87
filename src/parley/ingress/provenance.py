"""Where a connection comes from, as its request's head tells."""

import re

from parley.access.caller import Caller
from parley.access.identity import RequestHead
from parley.ingress.attachment import Provenance

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, section 3.2.2, as far as version 00 goes."""
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


def provenance_of(
    head: RequestHead, caller: Caller, *, connected_at: float, now: float, transport: str = "websocket"
) -> Provenance:
    """How a connection came whose request has this head and was taken as the caller's `now`. A trace context that is
    none is passed over, as its specification asks."""
    parents, states = head.values("traceparent"), head.values("tracestate")
    traceparent = parents[0] if len(parents) == 1 and _TRACEPARENT.fullmatch(parents[0]) else ""
    tracestate = ",".join(states) if traceparent else ""
    return Provenance(
        connected_at=connected_at,
        authenticated_at=now,
        transport=transport,
        method=caller.method,
        traceparent=traceparent,
        tracestate=tracestate if _TRACESTATE.fullmatch(tracestate) else "",
    )
