"""Metrics of a running node: over its admin port, on stdout, and to a collector."""

import asyncio
import io
import json
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from parley.observe.metrics.catalogue import CATALOGUE
from parley.server.metrics import Metrics, make_metrics
from parley.server.otlp_metrics import OtlpMetrics
from parley.server.settings.telemetry import TelemetrySettings
from tests.support.admin import free_port
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.sound import pcm
from tests.support.waiting import bounded


async def scrape(port: int, accept: str = "") -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}) as response,
    ):
        assert response.status == 200
        return await bounded("an answer", response.text())


async def test_a_node_exposes_every_metric_of_the_catalogue(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    port = free_port()
    gateway = await start_gateway(admin={"port": port})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    text = await scrape(port)
    for metric in CATALOGUE:
        assert f"# TYPE {metric.exposed} {metric.kind}" in text, metric.name
    assert 'parley_sessions{state="live"} 1.0' in text
    assert "parley_ready 1.0" in text
    assert 'parley_pool_ready{pool="own"} 1.0' in text
    assert 'parley_upstreams{pool="own",state="ready"} 1.0' in text
    assert "parley_turn_first_text_seconds_count 1.0" in text


async def test_a_node_that_counts_nothing_has_no_metrics(start_gateway: GatewayStarter) -> None:
    port = free_port()
    await start_gateway(admin={"port": port}, telemetry={"metrics": False})
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 404


async def test_sessions_that_nobody_watches_work_all_the_same(start_gateway: GatewayStarter) -> None:
    port = free_port()
    gateway = await start_gateway(admin={"port": port}, telemetry={"enabled": False})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    assert 'parley_sessions{state="live"} 0.0' not in await scrape_or_nothing(port)


async def scrape_or_nothing(port: int) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        return await response.text() if response.status == 200 else ""


async def test_lines_for_cloudwatch_go_to_stdout() -> None:
    out = io.StringIO()
    metrics = Metrics(TelemetrySettings(emf=True), stdout=out)
    metrics.sessions.forwarded("up", 0.001)
    await metrics.send()
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["parley_forwarding_seconds"] == {"Values": [0.001], "Counts": [1.0]}


async def test_without_anywhere_to_send_them_nothing_is_sent() -> None:
    out = io.StringIO()
    metrics = Metrics(TelemetrySettings(), stdout=out)
    await bounded("there is nothing to do", metrics.run())
    await metrics.close()
    assert not out.getvalue()


async def test_what_came_last_is_sent_at_the_end() -> None:
    out = io.StringIO()
    metrics = Metrics(TelemetrySettings(emf=True), stdout=out)
    running = asyncio.create_task(metrics.run())
    metrics.sessions.forwarded("up", 0.001)
    running.cancel()
    await asyncio.wait([running])
    await metrics.close()
    assert "parley_forwarding_seconds" in out.getvalue()


async def test_metrics_can_be_off() -> None:
    assert make_metrics(TelemetrySettings(metrics=False)) is None


class Exporter(MetricExporter):
    """A collector that takes, or does not."""

    def __init__(self, results: Sequence[MetricExportResult | Exception]) -> None:
        super().__init__()
        self.results = list(results)
        self.sent: list[MetricsData] = []
        self.is_closed = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: object
    ) -> MetricExportResult:
        self.sent.append(metrics_data)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self.is_closed = True


async def test_a_collector_that_takes_none_is_told_of_once_and_again_when_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    failure, success = MetricExportResult.FAILURE, MetricExportResult.SUCCESS
    exporter = Exporter([failure, OSError("zzgeheimnis"), success])
    collector = OtlpMetrics("http://127.0.0.1:4318", exporter)
    for _ in range(3):
        await collector.send([])
    collector.close()
    told = [one for one in caplog.records if one.levelname != "DEBUG"]
    assert ["are not taken" in one.message for one in told] == [True, False]
    assert "zzgeheimnis" not in caplog.text
    assert exporter.is_closed


async def test_a_collector_gets_them_over_http() -> None:
    came: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await came.put((request.path, await request.read()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/v1/metrics", take)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        metrics = make_metrics(TelemetrySettings(otlp_endpoint=f"http://127.0.0.1:{port}"))
        assert metrics is not None
        metrics.sessions.forwarded("up", 0.001)
        await bounded("they are sent", metrics.send())
        path, body = await bounded("they came", came.get())
        await metrics.close()
    finally:
        await runner.cleanup()
    assert path == "/v1/metrics"
    assert body


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "text/plain"])
async def test_a_scrape_ends_as_its_form_asks(start_gateway: GatewayStarter, accept: str) -> None:
    port = free_port()
    await start_gateway(admin={"port": port})
    text = await scrape(port, accept)
    assert text.endswith("# EOF\n") == (accept == "application/openmetrics-text")
