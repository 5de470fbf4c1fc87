"""SageMaker's endpoint of a whole gateway: that what is set arrives where it works, how it starts, how it stops."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

import pytest
import trustme

from parley.access.gate import Gate
from parley.server.http2 import Http2Endpoint
from parley.server.settings.document import EndpointSettings, Http2Settings, Settings
from parley.server.start import StartError
from parley.wire.payload_part import StreamFailure
from tests.server.doubles import Endpointless
from tests.server.http2_gateway import Http2Gateway
from tests.server.part_client import PartStream, part_client
from tests.support.client import code_of
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import Values
from tests.support.http import get, post
from tests.support.http2 import Http2Client
from tests.support.logs import LogWatch
from tests.support.signing import CREDENTIALS
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.upstream.containers import RawContainer, echoing

AUDIO = pcm(1.0)
TEXT = transcript(16_000)
OPT_IN: dict[str, object] = {"resume": True}


class Starter(Protocol):
    async def __call__(
        self,
        *,
        endpoints: Sequence[EndpointSettings] = (),
        wait_ready: bool = True,
        **sections: Values,
    ) -> Http2Gateway: ...


@pytest.fixture
async def start(vllm: FakeVllm) -> AsyncIterator[Starter]:
    """Starts gateways with the endpoint, in front of the double; they end with the test."""
    started: list[Http2Gateway] = []

    async def one(
        *, endpoints: Sequence[EndpointSettings] = (), wait_ready: bool = True, **sections: Values
    ) -> Http2Gateway:
        started.append(Http2Gateway(vllm.url, endpoints, **sections))
        await started[-1].start(wait_ready=wait_ready)
        return started[-1]

    yield one
    for gateway in started:
        await gateway.close()


@pytest.fixture
async def other(log: LogWatch) -> AsyncIterator[FakeVllm]:
    """Another model server."""
    async with FakeVllm() as server:
        yield server


def start_error(gateway_error: BaseException) -> str:
    while isinstance(gateway_error, BaseExceptionGroup):
        (gateway_error,) = gateway_error.exceptions
    assert isinstance(gateway_error, StartError)
    return str(gateway_error)


async def failing_start(gateway: Http2Gateway) -> str:
    with pytest.raises((StartError, ExceptionGroup)) as caught:
        await gateway.start()
    return start_error(caught.value)


async def until_answers(port: int, status: int) -> None:
    """Ask `/ping` over HTTP/2 until it answers so."""
    async with Http2Client(port) as client, asyncio.timeout(20):
        while (await client.open("/ping", method="GET", end_stream=True).head())[0] != status:
            pass


# ---- the way of a turn


async def test_without_endpoints_in_the_settings_there_is_one_called_parley(start: Starter, vllm: FakeVllm) -> None:
    gateway = await start()
    async with part_client(gateway.http2_port) as client:
        stream = client.invoke("parley")
        await stream.opened()
        await stream.send_turn(AUDIO)
        assert await stream.result() == TEXT
        status, headers = await stream.stream.head()
        assert (status, headers["x-amzn-invoked-production-variant"]) == (200, "AllTraffic")
        await stream.end()


async def test_another_name_is_refused(start: Starter) -> None:
    gateway = await start()
    async with part_client(gateway.http2_port) as client:
        status, name, body = await client.invoke("parlay").refusal()
    assert (status, name) == (400, "InputValidationError")
    assert "Did you mean parley?" in body["Message"]


async def test_without_a_word_of_it_nothing_listens_for_http2(vllm: FakeVllm) -> None:
    gateway = Http2Gateway(vllm.url, http2={"enabled": False})
    await gateway.start()
    assert gateway.address is None
    await gateway.close()


# ---- the certificate


async def test_on_this_machine_it_makes_its_own_certificate(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: LogWatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    gateway = await start(http2={"cleartext": False})
    path = tmp_path / "parley" / "tls" / "ca.pem"
    assert gateway.authorities_file == path
    assert gateway.http2_url == f"https://127.0.0.1:{gateway.http2_port}"
    context = ssl.create_default_context(cafile=str(path))
    context.set_alpn_protocols(["h2"])
    async with part_client(gateway.http2_port, tls=context) as client:
        stream = client.invoke()
        await stream.opened()
        await stream.send_turn(AUDIO)
        assert await stream.result() == TEXT
        await stream.end()
    assert f"SSL_CERT_FILE={path}" in log.everything
    assert f"NODE_EXTRA_CA_CERTS={path}" in log.everything


async def test_a_certificate_of_the_operators_is_used(start: Starter, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    gateway = await start(http2={"tls_certificate_file": str(certificate), "tls_key_file": str(key)})
    assert gateway.authorities_file is None
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    async with Http2Client(gateway.http2_port, ssl_context=context) as client:
        assert (await client.open("/ping", method="GET", end_stream=True).head())[0] == 200


# ---- who may come in


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )
    path.chmod(0o600)
    return path


async def test_signatures_are_verified_where_there_is_a_file_of_keys(start: Starter, keys: Path, log: LogWatch) -> None:
    gateway = await start(access={"credentials_file": str(keys)})
    async with part_client(gateway.http2_port) as client:
        status, name, _ = await client.invoke().refusal()
        assert (status, name) == (401, "MissingAuthenticationTokenException")
    async with part_client(gateway.http2_port, credentials=CREDENTIALS) as client:
        stream = client.invoke()
        await stream.opened()
        await stream.send_turn(AUDIO)
        assert await stream.result() == TEXT
        await stream.end()
    assert CREDENTIALS.secret_access_key not in log.everything


async def test_signatures_for_another_region_are_refused_where_one_is_set(start: Starter, keys: Path) -> None:
    gateway = await start(access={"credentials_file": str(keys), "region": "eu-central-1"})
    async with part_client(gateway.http2_port, credentials=CREDENTIALS) as client:
        status, _, body = await client.invoke().refusal()
    assert status == 403
    assert "not `eu-central-1`" in body["Message"]


async def test_without_one_it_says_that_nobody_is_asked(start: Starter, log: LogWatch) -> None:
    await start()
    assert "nobody is asked who they are" in log.everything


@pytest.fixture
def open_keys(keys: Path) -> Path:
    """A file of keys that others can read."""
    keys.chmod(0o644)
    return keys


async def test_a_file_of_keys_that_others_can_read_is_refused_with_the_fix(vllm: FakeVllm, open_keys: Path) -> None:
    error = await failing_start(Http2Gateway(vllm.url, access={"credentials_file": str(open_keys)}))
    assert error.startswith("credentials-unusable: ")
    assert "chmod 600" in error


@pytest.mark.parametrize(
    "http2",
    [
        Http2Settings(enabled=True, host="0.0.0.0"),
        Http2Settings(enabled=True, host="0.0.0.0", cleartext=True),
    ],
)
async def test_settings_that_let_strangers_in_are_refused_wherever_they_come_from(http2: Http2Settings) -> None:
    with pytest.raises(StartError, match=r"invalid-settings: http2\.host is 0\.0\.0\.0"):
        Http2Endpoint(Settings(http2=http2), Endpointless(), lambda: None, Gate())


# ---- its port


async def test_a_taken_port_is_an_error_that_says_what_to_do_and_leaves_nothing_open(vllm: FakeVllm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = await failing_start(Http2Gateway(vllm.url, http2={"port": port}))
    assert error == (
        f"port-in-use: Port {port} of 127.0.0.1 is in use. Stop what uses it, or choose another with --http2-port."
    )


async def test_an_address_that_is_not_this_machines_is_an_error(vllm: FakeVllm, keys: Path) -> None:
    http2 = {"host": "192.0.2.1", "cleartext_anywhere": True}
    error = await failing_start(Http2Gateway(vllm.url, http2=http2, access={"credentials_file": str(keys)}))
    assert error.startswith("address-unusable: 192.0.2.1:0 ")
    assert "--set http2.host=ADDRESS" in error


async def test_limits_that_are_set_are_in_force(start: Starter) -> None:
    gateway = await start(http2={"max_streams": 1})
    async with part_client(gateway.http2_port) as client:
        stream = client.invoke()
        await stream.opened()
        assert client.http2.protocol.remote_settings.max_concurrent_streams == 1
        await stream.end()


async def test_a_message_above_the_bound_is_refused(start: Starter) -> None:
    gateway = await start(server={"message_max_bytes": 1024})
    async with part_client(gateway.http2_port) as client:
        stream = client.invoke()
        await stream.opened()
        await stream.send_part(b" " * 2000)
        seen = [await stream.next()]
        while seen[-1] is not None:
            seen.append(await stream.next())
        failure = seen[-2]
        assert isinstance(failure, StreamFailure)
        assert (failure.kind, failure.code) == ("ModelStreamError", "message-too-large")


# ---- endpoints


async def test_an_endpoint_has_model_servers_of_its_own(start: Starter, vllm: FakeVllm, other: FakeVllm) -> None:
    other.models = b'{"data":[{"id":"whisper"},{"id":"voxtral"}]}'
    endpoints = [
        EndpointSettings(name="here"),
        EndpointSettings(name="there", variant="b", kind="vllm", urls=(other.url,), model="voxtral"),
    ]
    gateway = await start(endpoints=endpoints, upstream={"probe_interval_s": 0.02})
    async with part_client(gateway.http2_port) as client:
        stream = await until_opens(client.invoke, "there")
        await stream.send_turn(AUDIO)
        assert await stream.result() == TEXT
        assert (len(other.sessions), len(vllm.sessions)) == (1, 0)
        assert (await stream.stream.head())[1]["x-amzn-invoked-production-variant"] == "b"
        here = client.invoke("here")
        await here.opened()
        await here.send_turn(AUDIO)
        assert await here.result() == TEXT
        assert len(vllm.sessions) == 1
        await stream.end()
        await here.end()


async def test_the_key_of_an_endpoint_is_shown_to_its_model_server_alone(
    start: Starter, vllm: FakeVllm, other: FakeVllm, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("zzschluessel\n")
    endpoint = EndpointSettings(name="e", kind="vllm", urls=(other.url,), api_key_file=str(tmp_path / "key"))
    await start(endpoints=[endpoint, EndpointSettings(name="here")])
    await other.changes.until("it is asked", lambda: bool(other.requests))
    assert other.requests[0].headers["Authorization"] == "Bearer zzschluessel"
    assert {request.headers.get("Authorization") for request in vllm.requests} == {None}


async def test_a_key_file_of_an_endpoint_that_cannot_be_read_is_named(vllm: FakeVllm, tmp_path: Path) -> None:
    endpoint = EndpointSettings(name="e", kind="vllm", urls=(vllm.url,), api_key_file=str(tmp_path / "none"))
    error = await failing_start(Http2Gateway(vllm.url, [endpoint]))
    assert error == "key-unreadable: endpoints, entry 1, api_key_file can't be read: No such file or directory."


async def test_an_endpoint_that_is_full_leaves_the_others_their_places(
    start: Starter, vllm: FakeVllm, other: FakeVllm
) -> None:
    endpoints = [
        EndpointSettings(name="here"),
        EndpointSettings(name="there", kind="vllm", urls=(other.url,), max_sessions=1),
    ]
    gateway = await start(endpoints=endpoints, upstream={"probe_interval_s": 0.02})
    async with part_client(gateway.http2_port) as client:
        first = await until_opens(client.invoke, "there")
        status, name, body = await client.invoke("there").refusal()
        assert (status, name, body["ErrorCode"]) == (503, "ServiceUnavailableError", "at-capacity")
        here = client.invoke("here")
        await here.opened()
        await first.end()
        await here.end()


async def test_the_nodes_places_are_for_all_endpoints_together(start: Starter, vllm: FakeVllm, other: FakeVllm) -> None:
    endpoints = [EndpointSettings(name="here"), EndpointSettings(name="there", kind="vllm", urls=(other.url,))]
    gateway = await start(endpoints=endpoints, server={"max_sessions": 1}, upstream={"probe_interval_s": 0.02})
    async with part_client(gateway.http2_port) as client:
        first = await until_opens(client.invoke, "there")
        assert (await client.invoke("here").refusal())[2]["ErrorCode"] == "at-capacity"
        await first.end()


async def test_a_session_begun_at_one_endpoint_is_taken_up_at_another_and_keeps_its_model_server(
    start: Starter, vllm: FakeVllm, other: FakeVllm
) -> None:
    endpoints = [EndpointSettings(name="here"), EndpointSettings(name="there", kind="vllm", urls=(other.url,))]
    gateway = await start(endpoints=endpoints, upstream={"probe_interval_s": 0.02})
    query = {"x-amzn-sagemaker-model-query-string": "resume=1"}
    async with part_client(gateway.http2_port) as client:
        # Others come to the endpoint first: were arrivals counted by endpoint, the resuming one would be an early one.
        for _ in range(3):
            early = await until_opens(client.invoke, "there")
            await early.end()
        begun = await until_opens(client.invoke, "there", parley=OPT_IN)
        token = (await begun.until("session.updated"))["resume"]["token"]
        begun.stream.reset()
        back = client.invoke("here", query)
        assert (await back.receive())["type"] == "session.created"
        await back.send("session.resume", token=token, seq=0)
        assert (await back.until("session.resumed"))["outcome"] == "resumed"
        await back.send_turn(AUDIO)
        assert await back.result() == TEXT
        assert not vllm.sessions
        await back.send("session.end")
        await back.until("session.ended")


async def until_opens(invoke: Callable[[str], PartStream], endpoint: str, **session: object) -> PartStream:
    """A stream on an endpoint whose model server may not have been seen yet."""
    async with asyncio.timeout(20):
        while True:
            stream = invoke(endpoint)
            if (await stream.stream.head())[0] == 200:
                break
            await stream.stream.read_all()
    created = await stream.receive()
    assert created["type"] == "session.created"
    await stream.send("session.update", model=MODEL, **session)
    return stream


# ---- containers


async def test_an_endpoint_is_in_front_of_a_container(start: Starter) -> None:
    async with echoing() as url:
        gateway = await start(endpoints=[EndpointSettings(name="echo", kind="container", urls=(url,))])
        await until_answers(gateway.http2_port, 200)
        async with part_client(gateway.http2_port) as client:
            stream = await until_relayed(client.invoke)
            await stream.send_part(b"as it is")
            assert await stream.next() == b"as it is"
            stream.stream.reset()


async def until_relayed(invoke: Callable[[str], PartStream]) -> PartStream:
    """A stream on the container, which may not have been seen yet."""
    async with asyncio.timeout(20):
        while True:
            stream = invoke("echo")
            if (await stream.stream.head())[0] == 200:
                return stream
            await stream.stream.read_all()


async def test_streams_on_containers_have_places_among_the_sessions(start: Starter) -> None:
    async with RawContainer() as container:
        gateway = await start(
            endpoints=[
                EndpointSettings(name="echo", kind="container", urls=(container.url,)),
                EndpointSettings(name="parley"),
            ],
            server={"max_sessions": 1},
        )
        async with part_client(gateway.http2_port) as client:
            stream = await until_relayed(client.invoke)
            for endpoint in ("echo", "parley"):
                refused = client.invoke(endpoint)
                assert (await refused.stream.head())[0] == 503
                await refused.stream.read_all()
            connection = await container.stream()
            connection.close(1000)
            assert await stream.next() is None
            again = await until_relayed(client.invoke)
            again.stream.reset()


async def test_a_node_whose_endpoints_are_all_served_elsewhere_is_ready_when_one_of_them_is(log: LogWatch) -> None:
    async with RawContainer() as container:
        container.ping_status = 503
        gateway = Http2Gateway("", [EndpointSettings(name="echo", kind="container", urls=(container.url,))])
        await gateway.start(wait_ready=False)
        assert (await get(gateway, "/ping")).status == 503
        container.ping_status = 200
        await gateway.until_ready()
        assert (await get(gateway, "/ping")).status == 200
        await until_answers(gateway.http2_port, 200)
        answer = await post(gateway, "/invocations", bytes(3200), Content_Type="audio/pcm")
        assert (answer.status, answer.error["code"]) == (503, "upstream-unavailable")
        assert "no model server of its own" in answer.error["message"]
        await gateway.close()


async def test_such_a_node_refuses_websockets_that_come_for_a_new_session_and_takes_those_that_come_back(
    other: FakeVllm,
) -> None:
    gateway = Http2Gateway(
        "",
        [EndpointSettings(name="there", kind="vllm", urls=(other.url,))],
        upstream={"probe_interval_s": 0.02},
    )
    await gateway.start()
    socket = await gateway.raw()
    assert (await socket.upgrade()).status == 101
    refusal = (await socket.frame()).event
    assert code_of(refusal) == "upstream-unavailable"
    assert "no model server of its own" in refusal["error"]
    async with part_client(gateway.http2_port) as client:
        begun = await until_opens(client.invoke, "there", parley=OPT_IN)
        token = (await begun.until("session.updated"))["resume"]["token"]
        begun.stream.reset()
        back = await gateway.connect("/v1/realtime?resume=1")
        await back.send("session.resume", token=token, seq=0)
        assert (await back.receive())["outcome"] == "resumed"
        await back.send_turn(AUDIO)
        assert (await back.until("transcription.done"))[-1]["text"] == TEXT
    await gateway.close()


# ---- the end


async def test_on_a_drain_nobody_new_comes_in_and_a_turn_in_flight_is_finished(start: Starter, vllm: FakeVllm) -> None:
    gateway = await start(drain={"timeout_s": 600.0})
    async with part_client(gateway.http2_port) as client:
        stream = client.invoke()
        await stream.opened()
        leg = await vllm.session()
        leg.hold_model()
        await stream.send_turn(AUDIO)
        await leg.until_received("end")
        gateway.begin_stop()
        assert (await client.http2.until_goaway()).name == "NO_ERROR"
        assert (await get(gateway, "/ping")).status == 503
        leg.release_model()
        assert await stream.result() == TEXT
        rest = [await stream.next()]
        while rest[-1] is not None:
            rest.append(await stream.next())
        events = [json.loads(one) for one in rest if isinstance(one, bytes)]
        assert [event["parley"]["code"] for event in events if event["type"] == "error"] == ["shutting-down"]
        failure = rest[-2]
        assert isinstance(failure, StreamFailure)
    await gateway.until_stopped()


async def test_on_a_drain_a_stream_on_a_container_may_finish(start: Starter) -> None:
    async with RawContainer() as container:
        gateway = await start(
            endpoints=[EndpointSettings(name="echo", kind="container", urls=(container.url,))],
            drain={"timeout_s": 600.0},
        )
        async with part_client(gateway.http2_port) as client:
            stream = await until_relayed(client.invoke)
            connection = await container.stream()
            gateway.begin_stop()
            await client.http2.until_goaway()
            await stream.send_part(b"still")
            await connection.until_parts(1)
            connection.send(b"here")
            assert await stream.next() == b"here"
            connection.close(1000)
            assert await stream.next() is None
        await gateway.until_stopped()


async def test_a_second_signal_ends_a_stream_on_a_container_at_once(start: Starter) -> None:
    async with RawContainer() as container:
        gateway = await start(
            endpoints=[EndpointSettings(name="echo", kind="container", urls=(container.url,))],
            drain={"timeout_s": 600.0},
        )
        async with part_client(gateway.http2_port) as client:
            stream = await until_relayed(client.invoke)
            gateway.begin_stop()
            await client.http2.until_goaway()
            gateway.hurry()
            failure = await stream.next()
            assert isinstance(failure, StreamFailure)
        await gateway.until_stopped()


async def test_an_answer_to_head_is_a_head_alone(start: Starter) -> None:
    gateway = await start()
    async with Http2Client(gateway.http2_port) as client:
        stream = client.open("/ping", method="HEAD", end_stream=True)
        status, headers = await stream.head()
        # Whatever it says: here that there is no such route.
        assert (status, int(headers["content-length"]) > 0, await stream.read_all()) == (404, True, b"")
