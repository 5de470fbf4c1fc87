"""What AWS's SDKs meet in tests: a gateway with SageMaker's endpoint, its certificate and its access keys."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trustme

from parley.engine.options import EngineOptions
from parley.engine.server import serve_engine
from parley.server.settings.document import EndpointSettings
from tests.server.http2_gateway import Http2Gateway
from tests.support.client import Client
from tests.support.gateway import Values
from tests.support.waiting import bounded

ENDPOINT = "parley"
REGION = "eu-central-1"
SCRIPTED = "scripted"


@dataclass(frozen=True)
class Credentials:
    """What a client signs with."""

    access_key_id: str = "AKIDPARLEYTESTS00001"
    secret: str = field(default="wJalrXUtnFEMI/K7MDENG+tests/only", repr=False)
    session_token: str | None = field(default=None, repr=False)


CREDENTIALS = Credentials()
TEMPORARY = Credentials(
    "ASIAPARLEYTESTS00002", "temporary/secret/of+the/tests+only", "a-session-token-of-the-tests-only"
)
EXPIRED = Credentials("ASIAPARLEYTESTS00003", "expired/secret/of+the/tests+only/", "another-session-token-of-the-tests")
_KEY_FILE = f"""
[[key]]
access_key_id = "{CREDENTIALS.access_key_id}"
secret_access_key = "{CREDENTIALS.secret}"

[[key]]
access_key_id = "{TEMPORARY.access_key_id}"
secret_access_key = "{TEMPORARY.secret}"
session_token = "{TEMPORARY.session_token}"
expires_at = 2126-01-01T00:00:00Z

[[key]]
access_key_id = "{EXPIRED.access_key_id}"
secret_access_key = "{EXPIRED.secret}"
session_token = "{EXPIRED.session_token}"
expires_at = 2026-01-01T00:00:00Z
"""


@dataclass(frozen=True)
class Locks:
    """What a server with SageMaker's endpoint needs in files: a certificate for loopback, and who may come in."""

    authority_file: Path
    certificate_file: Path
    key_file: Path
    credentials_file: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Anew, in this folder."""
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        locks = cls(*(folder / name for name in ("ca.pem", "certificate.pem", "key.pem", "access-keys.toml")))
        authority.cert_pem.write_to_path(locks.authority_file)
        certificate.private_key_pem.write_to_path(locks.key_file)
        locks.certificate_file.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        locks.credentials_file.write_text(_KEY_FILE)
        locks.credentials_file.chmod(0o600)
        return locks

    @property
    def settings(self) -> dict[str, str]:
        """The keys of the section `http2` for them."""
        return {
            "tls_certificate_file": str(self.certificate_file),
            "tls_key_file": str(self.key_file),
        }

    @property
    def access(self) -> dict[str, str]:
        """The keys of the section `access`."""
        return {"credentials_file": str(self.credentials_file)}


class SageMakerGateway(Http2Gateway):
    """A gateway with SageMaker's endpoint in this process. Signatures are verified."""

    def __init__(
        self, url: str, folder: Path, endpoints: Sequence[EndpointSettings] = (), /, **sections: Values
    ) -> None:
        locks = Locks.make(folder)
        http2 = {**locks.settings, **sections.get("http2", {})}
        access = {**locks.access, **sections.get("access", {})}
        super().__init__(url, endpoints, **{**sections, "http2": http2, "access": access})
        self.authority_file = locks.authority_file

    @property
    def sagemaker_url(self) -> str:
        return f"https://127.0.0.1:{self.http2_port}"


@asynccontextmanager
async def sagemaker_gateway(
    url: str,
    folder: Path,
    endpoints: Sequence[EndpointSettings] = (),
    /,
    *,
    wait_ready: bool = True,
    **sections: Values,
) -> AsyncIterator[SageMakerGateway]:
    """Such a gateway before this model server; `sections` are the settings of the test's own."""
    gateway = SageMakerGateway(url, folder, endpoints, **sections)
    try:
        await gateway.start(wait_ready=wait_ready)
        yield gateway
    finally:
        await gateway.close()


@dataclass(frozen=True)
class SpeechStage:
    """An engine that says checksums of what it hears, and a gateway in front of it."""

    engine_url: str
    gateway: SageMakerGateway

    async def straight(self, audio: bytes) -> str:
        """What the engine itself says of this audio: equal transcripts mean that it arrived whole."""
        client = await Client.connect(self.engine_url)
        await client.name_model(SCRIPTED)
        await client.send_turn(audio)
        text = await client.result()
        await client.close()
        return text


@asynccontextmanager
async def scripted_engine() -> AsyncIterator[str]:
    """Such an engine, in this process; its URL."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    options = EngineOptions(port=0, engine="scripted", model_name=SCRIPTED, max_sessions=64, behind_slack_s=3_600.0)
    engine = asyncio.create_task(serve_engine(options, port.set_result))
    try:
        yield f"ws://127.0.0.1:{await bounded('the engine is ready', port)}/v1/realtime"
    finally:
        engine.cancel()
        await asyncio.gather(engine, return_exceptions=True)


@asynccontextmanager
async def speech_stage(folder: Path, **sections: Values) -> AsyncIterator[SpeechStage]:
    """Both, from start to end."""
    async with scripted_engine() as url, sagemaker_gateway(url, folder, wait_ready=True, **sections) as gateway:
        yield SpeechStage(url, gateway)
