"""A page's connection over TLS: its first event, and then everything else."""

import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.support.boto import signed_headers
from tests.support.certificates import Authority
from tests.support.gateway import GatewayStarter
from tests.support.http import post
from tests.support.signing import CREDENTIALS
from tests.support.sound import encoded, pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

SECRETS = "/v1/realtime/client_secrets"


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
@pytest.mark.parametrize("is_secure", [True, False])
async def test_a_page_says_who_it_is_and_has_its_session(
    start_gateway: GatewayStarter, tmp_path: Path, is_secure: bool
) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch(mode=0o600)
    keys.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )
    shared = tmp_path / "browser.key"
    shared.write_text("a-key-of-browser-tokens-for-all-nodes\n")
    access = {"credentials_file": str(keys), "browser_tokens": True, "browser_token_key_file": str(shared)}
    minting = await start_gateway(access=access)
    headers = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    own = f"127.0.0.1:{minting.port}"
    answer = await post(
        minting, SECRETS, b"{}", **signed_headers(SECRETS, method="POST", headers=headers, authority=own)
    )
    token = answer.json["value"]
    authority = Authority(tmp_path / "authority")
    pair = authority.server()
    tls = {"tls_certificate_file": str(pair.certificate_file), "tls_key_file": str(pair.key_file)} if is_secure else {}
    gateway = await start_gateway(access=access, server={"port": 0, **tls})
    scheme, context = ("wss", authority.trusting()) if is_secure else ("ws", None)
    url = f"{scheme}://127.0.0.1:{gateway.port}/v1/realtime?auth=event"
    async with connect(url, ssl=context, proxy=None, compression=None) as socket:
        events: list[dict[str, object]] = [
            {"type": "session.authenticate", "token": token},
            {"type": "session.update", "model": "voxtral"},
            {"type": "input_audio_buffer.commit"},
            {"type": "input_audio_buffer.append", "audio": encoded(pcm(4.0))},
            {"type": "input_audio_buffer.commit", "final": True},
        ]
        # At once, without waiting to be let in.
        for event in events:
            await socket.send(json.dumps(event))
        received = [json.loads(await bounded("an event", socket.recv()))]
        while received[-1]["type"] not in ("transcription.done", "error"):
            received.append(json.loads(await bounded("an event", socket.recv())))
    assert received[0]["type"] == "session.created"
    assert received[-1]["text"] == transcript(64_000)
