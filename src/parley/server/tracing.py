"""Where traces go: a `TraceSink` and whoever takes its spans, put together from the settings.

```
marks ─► TraceSink ─► OpenTelemetry's SDK ─ a thread of its own ─► OTLP over HTTP ─► collector
```
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from opentelemetry import trace

from parley import __version__
from parley.observe.tracing.sink import TraceSink
from parley.server.settings.telemetry import TelemetrySettings
from parley.server.start import StartError

_CLOSE_TIMEOUT_S = 2.0

_log = logging.getLogger("parley.server")


class Tracing:
    """A node's traces. `sink` listens to its sessions; `shut_down` ends what takes the spans, and may take its time."""

    def __init__(self, provider: trace.TracerProvider, shut_down: Callable[[], None] | None = None) -> None:
        self.sink = TraceSink(provider, __version__)
        self._shut_down = shut_down

    async def close(self) -> None:
        """Send what is left and take no more. What a collector does not take within two seconds is lost."""
        shut_down, self._shut_down = self._shut_down, None
        if shut_down is None:
            return
        loop, is_closed = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            shut_down()
            # The loop may be gone by then.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(is_closed.set)

        # A daemon, which the process does not wait for at its end as it would for a pool's thread.
        threading.Thread(target=work, name="parley-traces-end", daemon=True).start()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await is_closed.wait()
        except TimeoutError:
            _log.warning("the last traces were not taken in time")


def make_tracing(settings: TelemetrySettings) -> Tracing:
    """Traces to the collector of the settings; without one, to whatever the process was started with.

    Raises:
        StartError: the SDK is not installed, or there is nobody to take the traces.
    """
    if not settings.otlp_endpoint:
        return Tracing(_found())
    try:
        from parley.server.otlp_traces import otlp_provider
    except ModuleNotFoundError as error:
        raise StartError(
            f"traces-unusable: telemetry.traces needs OpenTelemetry's SDK, and {error.name} is not installed; run: "
            "pip install 'parley[otlp]'"
        ) from None
    provider = otlp_provider(settings.otlp_endpoint, settings.traces_ratio)
    return Tracing(provider, provider.shutdown)


def _found() -> trace.TracerProvider:
    found = trace.get_tracer_provider()
    if isinstance(found, trace.ProxyTracerProvider):
        raise StartError(
            "traces-unusable: telemetry.traces is on and nobody takes the traces. Set telemetry.otlp_endpoint to a "
            "collector, as http://127.0.0.1:4318, or start Parley under opentelemetry-instrument."
        )
    return found
