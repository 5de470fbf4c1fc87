"""Metrics of a running node: over its admin port, on stdout, and to a collector."""

import asyncio
import io
import json
import re
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from parley import __version__
from parley.observe.metrics.catalogue import BY_NAME, CATALOGUE
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
    assert set(re.findall(r"# TYPE (\S+)", text)) == {metric.exposed for metric in CATALOGUE}
    assert 'parley_sessions{state="live"} 1.0' in text
    assert "parley_ready 1.0" in text
    assert 'parley_pool_ready{pool="own"} 1.0' in text
    assert 'parley_upstreams{pool="own",state="ready"} 1.0' in text
    assert "parley_turn_first_text_seconds_count 1.0" in text


CANARY = "zzkanarienvogel"


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "text/plain"])
async def test_metrics_hold_no_content_no_credentials_and_nothing_that_clients_name(
    start_gateway: GatewayStarter, vllm: FakeVllm, accept: str
) -> None:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    port = free_port()
    gateway = await start_gateway(admin={"port": port})
    client = await gateway.connect(additional_headers={"Authorization": f"Bearer {CANARY}", "User-Agent": CANARY})
    await client.name_model()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}/metrics?{CANARY}=1"
        async with http.get(url, headers={"Accept": accept, "X-Request-Id": CANARY}) as response:
            text = await bounded("an answer", response.text())
    assert "parley_turn_first_text_seconds_count 1.0" in text
    assert CANARY not in text


async def test_every_label_of_a_node_at_work_is_a_word_of_the_catalogue(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    port = free_port()
    gateway = await start_gateway(admin={"port": port})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    known = {
        "pool": {"own"},
        "transport": {"websocket"},
        "code": {"at-capacity", "too-many-sessions"},
        "version": {__version__},
    }
    for family in text_string_to_metric_families(await scrape(port)):
        metric = BY_NAME[family.name]
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            assert labels.keys() == metric.labels.keys(), sample
            for label, value in labels.items():
                words = metric.words.get(label) or known.get(label) or {"ready"}
                assert value in words, sample


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
    found = json.loads(line)["parley_forwarding_seconds"]
    assert (found["Values"], found["Counts"], found["Sum"]) == ([0.001], [1.0], 0.001)


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


class Broken(Collector):
    """Metrics that can't be read, until they can."""

    def __init__(self) -> None:
        self.is_broken = True

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        if self.is_broken:
            raise RuntimeError("zzgeheimnis")
        return []


async def test_metrics_that_cannot_be_read_end_nothing_and_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics, broken = Metrics(TelemetrySettings(emf=True), stdout=io.StringIO()), Broken()
    metrics.watch(broken)
    for is_broken in (True, True, False, True):
        broken.is_broken = is_broken
        await metrics.send()
    assert [record.message for record in caplog.records] == ["metrics were not sent: RuntimeError"] * 2


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
async def test_a_stdout_that_is_gone_ends_nothing_and_is_told_of_once(
    caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise error

    metrics = Metrics(TelemetrySettings(emf=True), stdout=Gone())
    await metrics.send()
    await metrics.close()
    assert [record.message for record in caplog.records] == [f"metrics were not written to stdout: {error.__name__}"]


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
    (found,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert ("service.name", "parley") in [(one.key, one.value.string_value) for one in found.resource.attributes]
    names = {metric.name for metric in found.scope_metrics[0].metrics}
    assert {"parley.forwarding", "gen_ai.server.time_to_first_token"} <= names
    assert names <= {metric.otlp_name for metric in CATALOGUE}


async def test_a_collector_that_never_answers_is_not_waited_for() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        collector = OtlpMetrics(f"http://127.0.0.1:{port}", timeout_s=0.2)
        await bounded("it is given up", collector.send([]))
        collector.close()


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "text/plain"])
async def test_a_scrape_ends_as_its_form_asks(start_gateway: GatewayStarter, accept: str) -> None:
    port = free_port()
    await start_gateway(admin={"port": port})
    text = await scrape(port, accept)
    assert text.endswith("# EOF\n") == (accept == "application/openmetrics-text")
