"""A collector of OpenTelemetry's: takes spans as OTLP over HTTP and keeps them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What it was sent. `status` is what it answers, as soon as it may."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.spans: list[Span] = []
        self.resources: list[Mapping[str, object]] = []
        self.bodies: list[bytes] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        if self.status == 200:
            for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(values(one.resource.attributes))
                self.spans += [span for scope in one.scope_spans for span in scope.spans]
        await self.may_answer.wait()
        return web.Response(
            status=self.status,
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )

    @property
    def tree(self) -> list[str]:
        """Each span as `name < parent`, sorted."""
        names = {span.span_id: span.name.removeprefix("parley.") for span in self.spans}
        return sorted(f"{names[span.span_id]} < {names.get(span.parent_span_id, 'client')}" for span in self.spans)

    def named(self, name: str) -> list[Span]:
        """The spans of this name, in order of their beginnings."""
        found = [span for span in self.spans if span.name == f"parley.{name}"]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


def values(attributes: "list[KeyValue]") -> dict[str, object]:
    """Attributes as what they are."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a free port of loopback."""
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        collector.url = f"http://{host}:{port}"
        yield collector
    finally:
        await runner.cleanup()
