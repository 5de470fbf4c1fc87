"""Sessions of AWS's own Python SDK at the pace of speech: `.venv/bin/python -m benchmarks.sdk_sessions`.

The gateway and its model server are processes of their own; this one is the clients: the SDK as it comes, over TLS,
with signed events that the gateway verifies. Every transcript is compared with the model server's own. With `--bulk-s`
one session uploads so much audio at full speed instead, and what counts is the gateway's memory.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from aws_sdk_sagemaker_runtime_http2.client import AsyncSageMakerRuntimeHTTP2Client
from aws_sdk_sagemaker_runtime_http2.config import AsyncSageMakerRuntimeHTTP2Config
from aws_sdk_sagemaker_runtime_http2.models import (
    InvokeEndpointWithBidirectionalStreamInput,
    RequestPayloadPart,
    RequestStreamEventPayloadPart,
)
from smithy_aws_core.identity import StaticCredentialsResolver
from smithy_http.aio.crt import AWSCRTHTTPClient

from parley.client import TurnDone, connect

KEY_ID = "AKIDPARLEYBENCH00001"
SECRET = "benchmark/secret+of-nobody-in-particular"
REGION = "eu-central-1"
MODEL = "scripted"
PIECE_MS = 100
VOICES = 4
"""Different recordings; each is heard once by the model server alone, to compare."""

_BYTES_PER_MS = 32
_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LOOK_INTERVAL_S = 0.05
_PORT = re.compile(
    r"(?:engine scripted .* on port |listening on 127\.0\.0\.1:|SageMaker's endpoint .* on 127\.0\.0\.1:)(\d+)\""
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the clients do. A pace of 0 is full speed."""

    sessions: int
    seconds: float
    pace: float
    clients: int


@dataclass(slots=True)
class Talk:
    """One session as its client saw it."""

    text: str = ""
    parts_up: int = 0
    parts_down: int = 0
    first_text_s: float = 0.0
    """From the first audio to the first word."""
    end_s: float = 0.0
    """From the last part sent to the transcript."""
    late_s: float = 0.0
    """How late the client itself was at most."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run gave. CPU is that of the gateway's process."""

    sessions: int
    held: int
    wrong: int
    failures: dict[str, int]
    wall_s: float
    parts_up: int
    parts_down: int
    cpu_s: float
    cpu_share: float
    cpu_us_per_part: float
    rss_before_mb: float
    rss_peak_mb: float
    first_text_p50_s: float
    end_p50_s: float
    end_p99_s: float
    late_max_s: float


@dataclass(slots=True)
class Server:
    """A process of Parley's."""

    process: subprocess.Popen[bytes]
    log_file: Path
    ports: list[int] = field(default_factory=list)

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_mb(self, what: str) -> float:
        """`VmRSS` now, or `VmHWM`, the most there was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def until_listening(self, count: int) -> None:
        """Wait until its log has named so many ports."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while len(self.ports) < count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"A server did not start:\n{self.log_file.read_text()}")
            time.sleep(_LOOK_INTERVAL_S)
            self.ports = [int(port) for port in _PORT.findall(self.log_file.read_text())]

    def stop(self) -> None:
        """SIGTERM; SIGKILL when that does not help."""
        self.process.terminate()
        try:
            self.process.wait(_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@asynccontextmanager
async def servers(folder: Path, core: int | None) -> AsyncIterator[tuple[Server, Server]]:
    """A model server and the gateway before it, which has SageMaker's endpoint and one access key."""
    credentials = folder / "access-keys.toml"
    credentials.write_text(f'[[key]]\naccess_key_id = "{KEY_ID}"\nsecret_access_key = "{SECRET}"\n')
    credentials.chmod(0o600)
    engine = _start(folder, "engine", "--port", "0", "--engine", "scripted", "--max-sessions", "1000")
    try:
        engine.until_listening(1)
        sets = {
            "http2.enabled": "true",
            "http2.port": "0",
            "access.credentials_file": str(credentials),
            "server.max_sessions": "1000",
        }
        options = [option for name, value in sets.items() for option in ("--set", f"{name}={value}")]
        url = f"ws://127.0.0.1:{engine.ports[0]}/v1/realtime"
        gateway = _start(folder, "serve", "--port", "0", "--upstream", url, *options)
        try:
            gateway.until_listening(2)
            if core is not None:
                os.sched_setaffinity(gateway.process.pid, {core})
            yield engine, gateway
        finally:
            gateway.stop()
    finally:
        engine.stop()


def _start(folder: Path, command: str, *options: str) -> Server:
    log_file = folder / f"{command}.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "parley", command, *options, "--log-format", "json"],
            env={**environment, "XDG_STATE_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    return Server(process, log_file)


async def run(plan: Plan, url: str, expected: list[str], voices: list[bytes]) -> list[Talk]:
    """All sessions, their beginnings spread over one piece of audio."""
    transports = [AWSCRTHTTPClient() for _ in range(plan.clients)]
    try:
        clients = [await _client(url, transport) for transport in transports]
        talks = await asyncio.gather(
            *(
                _talk(clients[number % len(clients)], plan, voices[number % len(voices)], number / plan.sessions)
                for number in range(plan.sessions)
            )
        )
    finally:
        for transport in transports:
            await transport.close()
    # The client's library gives text without the space before its first word.
    for number, talk in enumerate(talks):
        if not talk.failure and talk.text.strip() != expected[number % len(expected)]:
            talk.failure = "another transcript"
    return talks


async def _client(url: str, transport: AWSCRTHTTPClient) -> AsyncSageMakerRuntimeHTTP2Client:
    config = await AsyncSageMakerRuntimeHTTP2Config.resolve(
        endpoint_uri=url,
        region=REGION,
        transport=transport,
        aws_credentials_identity_resolver=StaticCredentialsResolver(),
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    return AsyncSageMakerRuntimeHTTP2Client(config=config)


async def _talk(client: AsyncSageMakerRuntimeHTTP2Client, plan: Plan, audio: bytes, phase: float) -> Talk:
    talk = Talk()
    try:
        async with asyncio.timeout(_END_TIMEOUT_S + (plan.seconds / plan.pace if plan.pace else plan.seconds)):
            await _converse(client, plan, audio, phase, talk)
    # Whatever ends a session is counted by its name.
    except Exception as error:
        talk.failure = talk.failure or type(error).__name__
    return talk


async def _converse(
    client: AsyncSageMakerRuntimeHTTP2Client, plan: Plan, audio: bytes, phase: float, talk: Talk
) -> None:
    if plan.pace:
        await asyncio.sleep(phase * PIECE_MS / 1_000)
    stream = await client.invoke_endpoint_with_bidirectional_stream(
        InvokeEndpointWithBidirectionalStreamInput(endpoint_name="parley")
    )
    sending = asyncio.create_task(_send(stream, plan, audio, talk))
    try:
        _, receiver = await stream.await_output()
        began = time.monotonic()
        while (event := await receiver.receive()) is not None:
            talk.parts_down += 1
            message = json.loads(event.value.bytes_)
            if message["type"] == "transcription.delta" and not talk.first_text_s:
                talk.first_text_s = time.monotonic() - began
            elif message["type"] == "error":
                talk.failure = message["parley"]["code"]
            elif message["type"] == "transcription.done":
                talk.text = message["text"]
                talk.end_s = time.monotonic() - await sending
                await stream.input_stream.close()
        if not talk.text and not talk.failure:
            talk.failure = "the stream ended without a transcript"
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(stream: Any, plan: Plan, audio: bytes, talk: Talk) -> float:
    """Says the audio; when it was done."""

    async def send(message: dict[str, Any]) -> None:
        part = RequestPayloadPart(bytes_=json.dumps(message).encode(), data_type="UTF8")
        await stream.input_stream.send(RequestStreamEventPayloadPart(value=part))
        talk.parts_up += 1

    await send({"type": "session.update", "model": MODEL})
    await send({"type": "input_audio_buffer.commit"})
    began = time.monotonic()
    size = PIECE_MS * _BYTES_PER_MS
    for number, start in enumerate(range(0, len(audio), size)):
        if plan.pace:
            due = began + number * PIECE_MS / 1_000 / plan.pace
            await asyncio.sleep(max(due - time.monotonic(), 0))
            talk.late_s = max(talk.late_s, time.monotonic() - due)
        piece = base64.b64encode(audio[start : start + size]).decode()
        await send({"type": "input_audio_buffer.append", "audio": piece})
    await send({"type": "input_audio_buffer.commit", "final": True})
    return time.monotonic()


async def _straight(url: str, audio: bytes) -> str:
    """What the model server says of this audio without anything in between."""
    async with connect(url) as session:
        await session.start_turn()
        for start in range(0, len(audio), PIECE_MS * _BYTES_PER_MS):
            await session.send_audio(audio[start : start + PIECE_MS * _BYTES_PER_MS])
        await session.end_turn()
        async for event in session:
            if isinstance(event, TurnDone):
                return event.text
    sys.exit("The model server said nothing.")


def figures(plan: Plan, talks: list[Talk], wall_s: float, cpu_s: float, rss_mb: tuple[float, float]) -> Figures:
    """The figures of a run."""
    failures: dict[str, int] = {}
    for talk in talks:
        if talk.failure:
            failures[talk.failure] = failures.get(talk.failure, 0) + 1
    good = [talk for talk in talks if not talk.failure] or [Talk()]
    ends = [talk.end_s for talk in good]
    parts = sum(talk.parts_up + talk.parts_down for talk in talks)
    return Figures(
        sessions=plan.sessions,
        held=sum(not talk.failure for talk in talks),
        wrong=failures.get("another transcript", 0),
        failures=failures,
        wall_s=round(wall_s, 2),
        parts_up=sum(talk.parts_up for talk in talks),
        parts_down=sum(talk.parts_down for talk in talks),
        cpu_s=round(cpu_s, 2),
        cpu_share=round(cpu_s / wall_s, 3),
        cpu_us_per_part=round(cpu_s / max(parts, 1) * 1e6, 1),
        rss_before_mb=round(rss_mb[0], 1),
        rss_peak_mb=round(rss_mb[1], 1),
        first_text_p50_s=round(median(talk.first_text_s for talk in good), 3),
        end_p50_s=round(median(ends), 3),
        end_p99_s=round(quantiles(ends, n=100)[98] if len(ends) > 1 else ends[0], 3),
        late_max_s=round(max(talk.late_s for talk in good), 3),
    )


async def measure(plan: Plan, core: int | None) -> Figures:
    """Start the servers, run the plan, and end all."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with servers(folder, core) as (engine, gateway):
            # What the SDK trusts; it has no other way to be told.
            os.environ["SSL_CERT_FILE"] = str(folder / "parley" / "tls" / "ca.pem")
            source = random.Random(1)
            voices = [source.randbytes(int(plan.seconds * 1_000) * _BYTES_PER_MS) for _ in range(VOICES)]
            voices = voices[: plan.sessions]
            expected = [await _straight(f"ws://127.0.0.1:{engine.ports[0]}", voice) for voice in voices]
            before_mb, cpu_s, began = gateway.memory_mb("VmRSS"), gateway.cpu_s, time.monotonic()
            talks = await run(plan, f"https://127.0.0.1:{gateway.ports[1]}", expected, voices)
            wall_s = time.monotonic() - began
            memory_mb = (before_mb, gateway.memory_mb("VmHWM"))
            return figures(plan, talks, wall_s, gateway.cpu_s - cpu_s, memory_mb)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--clients", type=int, default=1, help="client objects, each with a connection of its own")
    parser.add_argument("--seconds", type=float, default=20.0, help="audio of each session")
    parser.add_argument("--pace", type=float, default=1.0, help="times the pace of speech; 0 is full speed")
    parser.add_argument("--bulk-s", type=float, default=0.0, help="one session with so much audio at full speed")
    parser.add_argument("--core", type=int, help="the core that the gateway has to itself")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    asked = parser.parse_args()
    plan = Plan(asked.sessions, asked.seconds, asked.pace, asked.clients)
    if asked.bulk_s:
        plan = Plan(1, asked.bulk_s, 0.0, 1)
    result = asyncio.run(measure(plan, asked.core))
    if asked.json is not None:
        asked.json.write_text(json.dumps(asdict(result), indent=2) + "\n")
    for name, value in asdict(result).items():
        print(f"{name:18} {value}")
    if result.held < result.sessions:
        sys.exit(f"{result.sessions - result.held} of {result.sessions} sessions did not hold")


if __name__ == "__main__":
    main()
