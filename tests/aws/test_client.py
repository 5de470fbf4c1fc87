"""Where a client of SageMaker goes, with which credentials, and what it says when it can't."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from parley.aws.address import EndpointAddress
from parley.aws.client import AwsClient, _own
from parley.aws.connector import Connector
from parley.aws.diagnosis import tls_problem
from parley.aws.options import AwsOptions
from parley.aws.transport import StreamTransport
from tests.support.sagemaker import SageMakerDouble, ServerStream
from tests.support.waiting import bounded

from .test_stream import ADDRESS, Heard, echo, error_of, serving


def key_of(stream: ServerStream) -> str:
    return stream.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def write_credentials(folder: Path, number: int, *, lifetime_s: float = 3_600) -> None:
    """What a program that hands out temporary credentials says now."""
    expiration = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    said = {
        "Version": 1,
        "AccessKeyId": f"AKIDTEMPORARY{number}",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    (folder / "said.json").write_text(json.dumps(said))


async def test_the_region_of_the_address_outranks_that_of_the_environment(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as (server, client):
        stream = await client.open(EndpointAddress("x", region="us-west-2"), Heard())
        await stream.abort()
    assert "/us-west-2/sagemaker/" in server.streams[0].headers["authorization"]


async def test_region_and_credentials_come_from_awss_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text("[default]\nregion = ap-south-1\n")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    async with serving(echo, tmp_path) as (server, client):
        stream = await client.open(ADDRESS, Heard())
        await stream.abort()
    assert key_of(server.streams[0]) == "AKIDFILE"
    assert "/ap-south-1/sagemaker/" in server.streams[0].headers["authorization"]


@pytest.mark.parametrize(
    ("region", "place"),
    [
        ("eu-west-1", "runtime.sagemaker.eu-west-1.amazonaws.com:8443"),
        ("cn-north-1", "runtime.sagemaker.cn-north-1.amazonaws.com.cn:8443"),
    ],
)
async def test_without_another_address_it_goes_to_sagemakers_own_port(region: str, place: str) -> None:
    client = AwsClient()
    site, _ = await client._identify(region)
    await client.close()
    assert site.place == place


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentials come from a program, which says what was written into this folder."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'said.json'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


async def test_renewed_credentials_are_the_next_streams(program: Path) -> None:
    heard = Heard()
    async with serving(echo, program, credentials_max_age_s=0.0) as (server, client):
        write_credentials(program, 1)
        first = await client.open(ADDRESS, heard)
        write_credentials(program, 2)
        # It signs on with what it began with: the signatures are a chain.
        first.send(b"hello")
        await heard.until_messages(1)
        second = await client.open(ADDRESS, Heard())
        await first.abort()
        await second.abort()
    assert [key_of(stream) for stream in server.streams] == ["AKIDTEMPORARY1", "AKIDTEMPORARY2"]


async def test_expired_credentials_are_refused_until_there_are_others(program: Path) -> None:
    async with serving(echo, program) as (server, client):
        write_credentials(program, 1, lifetime_s=-1)
        error = await error_of(client)
        write_credentials(program, 2)
        stream = await bounded("the stream", client.open(ADDRESS, Heard()))
        await stream.abort()
    assert (error.code, error.retry) == ("expired-credentials", "new-session")
    assert [key_of(stream) for stream in server.streams] == ["AKIDTEMPORARY2"]


async def test_a_stream_outlives_its_credentials_on_our_side(program: Path) -> None:
    write_credentials(program, 1)
    client = AwsClient()
    _, identity = await client._identify("")
    config = SimpleNamespace()
    _own(StreamTransport(Connector(client.options)), identity)(config)
    kept = await config.aws_credentials_identity_resolver.get_identity(properties={})
    await client.close()
    assert identity.expiration is not None
    assert (kept.expiration, kept.access_key_id) == (None, "AKIDTEMPORARY1")


async def test_a_source_of_credentials_that_needs_another_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
    client = AwsClient()
    error = await error_of(client)
    await client.close()
    assert error.code == "aws-misconfigured"
    assert "pip install aws-credentials-sts" in error.message


async def test_credentials_that_were_refused_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def choosy(stream: ServerStream) -> None:
        if key_of(stream) == "AKIDNEW":
            await echo(stream)
        else:
            stream.refuse(403, "ExpiredTokenException", message="The security token is expired")

    async with serving(choosy, tmp_path) as (_, client):
        assert (await error_of(client)).code == "expired-credentials"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
        stream = await bounded("the stream", client.open(ADDRESS, Heard()))
        await stream.abort()


async def test_an_address_without_tls_is_refused() -> None:
    client = AwsClient(AwsOptions(endpoint_url="http://127.0.0.1:1"))
    error = await error_of(client)
    await client.close()
    assert error.code == "aws-misconfigured"
    assert "https://" in error.message


async def test_a_profile_that_does_not_exist_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    client = AwsClient()
    error = await error_of(client)
    await client.close()
    assert error.code == "aws-misconfigured"


async def test_a_certificate_that_nobody_trusts_is_said_so_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_connector: Connector, _host: str, _port: int) -> None:
        # As the library is for 10 to 30 s then.
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Connector, "connect", silent)
    async with SageMakerDouble(echo, tmp_path) as server:
        client = AwsClient(AwsOptions(endpoint_url=server.url))
        error = await error_of(client, timeout_s=0.1)
        await client.close()
        assert await tls_problem(f"localhost:{server.port}", str(server.ca_file)) is None
    assert error.code == "connect-failed"
    assert "AWS_CA_BUNDLE" in error.message
