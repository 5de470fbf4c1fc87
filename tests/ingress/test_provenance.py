"""How a connection came, as far as whoever watches sessions is told."""

import pytest

from parley.access.caller import Caller
from parley.access.identity import RequestHead
from parley.ingress.attachment import Provenance
from parley.ingress.provenance import provenance_of
from tests.ingress.http2.streams import Endpoint, make_request, open_stream
from tests.ingress.test_first_event import MINTER, PATH, Scene
from tests.support.ingress import StubHost, listening
from tests.support.raw import text_frame

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CALLER = Caller("1" * 64, "key:captions", "acme", method="api-key")


def provenance(*headers: tuple[str, str]) -> Provenance:
    head = RequestHead("GET", "/v1/realtime", headers)
    return provenance_of(head, CALLER, connected_at=1.0, now=1.5)


def test_it_says_when_and_how_a_client_was_let_in() -> None:
    assert provenance() == Provenance(connected_at=1.0, authenticated_at=1.5, transport="websocket", method="api-key")


def test_a_trace_context_is_taken_over() -> None:
    found = provenance(("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2"))
    assert (found.traceparent, found.tracestate) == (TRACEPARENT, "a=1,b=2")


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACEPARENT[:-1],
        f"{TRACEPARENT}-00",
        f"{TRACEPARENT}\n",
        TRACEPARENT.upper(),
        f"ff{TRACEPARENT[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        "\u0660\u0660" + TRACEPARENT[2:],
    ],
)
def test_a_traceparent_that_is_none_is_passed_over_and_the_tracestate_with_it(traceparent: str) -> None:
    found = provenance(("traceparent", traceparent), ("tracestate", "a=1"))
    assert (found.traceparent, found.tracestate) == ("", "")


def test_of_two_traceparents_neither_is_taken() -> None:
    assert provenance(("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)).traceparent == ""


@pytest.mark.parametrize("tracestate", ["a=" + "x" * 511, "a=\x01", "a=é"])
def test_a_tracestate_that_is_too_long_or_does_not_print_is_passed_over_alone(tracestate: str) -> None:
    found = provenance(("traceparent", TRACEPARENT), ("tracestate", tracestate))
    assert (found.traceparent, found.tracestate) == (TRACEPARENT, "")


def test_a_trace_context_is_not_printed() -> None:
    assert "4bf92f" not in repr(provenance(("traceparent", TRACEPARENT)))


async def test_a_websocket_says_how_it_came() -> None:
    async with listening() as listener:
        socket = await listener.connect()
        await socket.upgrade(Traceparent=TRACEPARENT)
        await listener.host.session()
        (found,) = listener.host.provenances
    assert found is not None
    assert (found.transport, found.traceparent) == ("websocket", TRACEPARENT)
    assert found.connected_at <= found.authenticated_at


async def test_a_websocket_whose_first_event_says_who_it_is_was_let_in_by_that() -> None:
    scene = Scene()
    async with listening(gate=scene.gate) as listener:
        socket = await listener.connect()
        await socket.upgrade(PATH, Traceparent=TRACEPARENT)
        socket.send(text_frame("session.authenticate", token=scene.token()))
        await listener.host.session()
        (found,) = listener.host.provenances
    assert found is not None
    assert (found.method, found.traceparent) == (listener.host.callers[0].method, TRACEPARENT)
    assert found.method != "none"
    assert listener.host.callers[0].principal == MINTER.principal


async def test_a_stream_over_http2_says_how_it_came() -> None:
    host = StubHost()
    open_stream(Endpoint(host), make_request(headers={"traceparent": TRACEPARENT}))
    (found,) = host.provenances
    assert found is not None
    assert (found.transport, found.traceparent) == ("http2", TRACEPARENT)
