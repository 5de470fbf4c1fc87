"""Doubles for what stands behind an endpoint."""

from parley.ingress.invocation import ContainerSocket, FrameSink, Invocation, Target


class Serves:
    """A `Container` that is only looked up."""

    def check(self) -> None:
        raise AssertionError("it is only looked up")

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        raise AssertionError("it is only looked up")


class Endpointless:
    """An `Endpoints` that nobody asks."""

    def find(self, invocation: Invocation) -> Target:
        raise AssertionError("nobody comes in")
