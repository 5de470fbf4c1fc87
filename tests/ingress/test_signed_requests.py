"""Signature Version 4 on WebSockets and plain HTTP, as botocore signs, to a real gateway."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from parley.access.principal import principal_of_key
from tests.support.boto import presigned_target, signed_headers
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import Answer, get, post
from tests.support.logs import LogWatch
from tests.support.raw import UPGRADE, request
from tests.support.signing import CREDENTIALS
from tests.support.sound import pcm, wav
from tests.support.voxtral import transcript

EVENTS = "text/event-stream"
AUDIO = wav(pcm(1.0))
HASH = sha256(AUDIO).hexdigest()


@pytest.fixture
async def guarded(start_gateway: GatewayStarter, tmp_path: Path) -> RunningGateway:
    """A gateway that asks for signatures."""
    file = tmp_path / "keys.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )
    return await start_gateway(access={"credentials_file": str(file)})


def authority(gateway: RunningGateway) -> str:
    return f"127.0.0.1:{gateway.port}"


async def transcribed(gateway: RunningGateway, body: bytes, said: str | None, **more: str) -> Answer:
    """The answer to a recording whose request was signed to have this hash."""
    headers = {"Content-Type": "audio/wav", **({} if said is None else {"X-Amz-Content-SHA256": said})}
    signed = signed_headers("/invocations", method="POST", body=AUDIO, headers=headers, authority=authority(gateway))
    return await post(gateway, "/invocations", body, **signed, **more)


# ---- WebSockets


async def test_a_signed_websocket_has_a_session(guarded: RunningGateway) -> None:
    client = await guarded.connect(additional_headers=signed_headers("/v1/realtime", authority=authority(guarded)))
    await client.name_model()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_a_presigned_websocket_has_a_session(guarded: RunningGateway, log: LogWatch) -> None:
    log.include_libraries()
    target = presigned_target("/v1/realtime", authority=authority(guarded))
    for _ in range(2):
        client: Client = await guarded.connect(target)
        await client.name_model()
    signature = target.rpartition("=")[2]
    assert not [
        record for record in log.records if record.name != "websockets.client" and signature in repr(vars(record))
    ]


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (dict, 401, "credentials-missing"),
        (lambda: {"Authorization": "Bearer somebody"}, 401, "invalid-token"),
        (lambda: {"Authorization": "AWS4-HMAC-SHA256 nonsense"}, 403, "not-authenticated"),
        (lambda: signed_headers("/v1/realtime", authority="parley.test", service="s3"), 403, "invalid-signature"),
        (lambda: signed_headers("/v1/realtime", authority="another.test"), 403, "invalid-signature"),
        (lambda: signed_headers("/v1/models", authority="parley.test"), 403, "invalid-signature"),
        (lambda: signed_headers("/v1/realtime", authority="parley.test", time_s=1e9), 403, "clock-skew"),
    ],
)
async def test_any_other_upgrade_is_refused(
    guarded: RunningGateway, vllm: FakeVllm, make: Callable[[], dict[str, str]], status: int, code: str
) -> None:
    # Signed here and now: a signature is good for minutes.
    response = await (await guarded.raw()).upgrade(**make())
    assert (response.status, response.error["code"]) == (status, code)
    assert vllm.sessions == []


async def test_a_presigned_url_beside_signed_headers_is_one_too_many(guarded: RunningGateway) -> None:
    target = presigned_target("/v1/realtime", authority=UPGRADE["Host"])
    response = await (await guarded.raw()).upgrade(target, **signed_headers(target, authority=UPGRADE["Host"]))
    assert (response.status, response.error["code"]) == (400, "bad-request")


async def test_a_presigned_url_that_is_over_is_refused(guarded: RunningGateway) -> None:
    target = presigned_target("/v1/realtime", authority=UPGRADE["Host"], time_s=1e9)
    response = await (await guarded.raw()).upgrade(target)
    assert (response.status, response.error["code"]) == (403, "expired-credentials")


# ---- recordings


@pytest.mark.parametrize("said", [HASH, "UNSIGNED-PAYLOAD"])
@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_a_recording_is_transcribed(guarded: RunningGateway, said: str, accept: str) -> None:
    answer = await transcribed(guarded, AUDIO, said, Accept=accept)
    assert answer.status == 200
    if accept == EVENTS:
        events = answer.events
        assert events[-1][1]["text"] == "".join(data["delta"] for kind, data in events if kind.endswith("delta"))
    else:
        assert answer.json["text"] == transcript(16_000).strip()


@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_of_a_recording_that_was_changed_nothing_is_told(guarded: RunningGateway, accept: str) -> None:
    answer = await transcribed(guarded, AUDIO[:-2] + b"\x01\x01", HASH, Accept=accept)
    assert (answer.status, answer.code) == (403, "invalid-signature")
    assert b"text" not in answer.body


async def test_a_recording_without_its_hash_is_told_to_sign_it(guarded: RunningGateway) -> None:
    answer = await transcribed(guarded, AUDIO, None)
    assert (answer.status, answer.code) == (403, "invalid-signature")
    assert "x-amz-content-sha256" in answer.error["message"]


async def test_of_nobodys_recording_nothing_is_read(guarded: RunningGateway) -> None:
    socket = await guarded.raw()
    headers = {"Host": "parley.test", "Content-Type": "audio/wav", "Content-Length": "100000000"}
    socket.send(request("/invocations", headers, "POST"))
    response = await socket.response()
    assert (response.status, response.error["code"]) == (401, "credentials-missing")
    assert await socket.until_eof() == b""


async def test_nobody_is_told_to_go_on_with_a_recording(guarded: RunningGateway) -> None:
    socket = await guarded.raw()
    headers = {"Host": "parley.test", "Content-Length": "100000000", "Expect": "100-continue"}
    socket.send(request("/invocations", headers, "POST"))
    assert (await socket.response()).status == 401


async def test_whoever_may_is_told_to_go_on_with_a_recording(guarded: RunningGateway) -> None:
    socket = await guarded.raw()
    signed = signed_headers(
        "/invocations", method="POST", body=AUDIO, headers={"X-Amz-Content-SHA256": HASH}, authority="parley.test"
    )
    headers = {"Host": "parley.test", "Content-Length": str(len(AUDIO)), "Expect": "100-continue", **signed}
    socket.send(request("/invocations", headers, "POST"))
    assert (await socket.response()).status == 100
    socket.send(AUDIO)
    assert (await socket.response()).status == 200


async def test_another_expectation_is_not_met(gateway: RunningGateway) -> None:
    answer = await post(gateway, "/v1/realtime/client_secrets", Expect="miracles")
    assert answer.status in (404, 417)
    answer = await post(gateway, "/invocations", AUDIO, Expect="miracles")
    assert (answer.status, answer.code) == (400, "bad-request")


async def test_what_says_nothing_of_anybody_needs_no_signature(guarded: RunningGateway) -> None:
    assert [(await get(guarded, path)).status for path in ("/ping", "/health")] == [200, 200]


def test_the_principal_is_the_keys() -> None:
    assert principal_of_key(CREDENTIALS.access_key_id) == sha256(CREDENTIALS.access_key_id.encode()).hexdigest()
