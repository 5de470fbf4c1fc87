"""What an operator sees holds nothing of what was said, no token and no credential, whatever was given as one."""

import asyncio
from pathlib import Path

from tests.support.admin import AdminApi, free_port
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.sound import pcm

CANARY = "zzkanarienvogel"
TOKEN = f"{CANARY}-operators-token"


async def test_no_answer_holds_content_tokens_or_credentials(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path
) -> None:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    for name, secret in (("key", f"{CANARY}-key"), ("token", TOKEN)):
        (tmp_path / name).write_text(secret)
    port = free_port()
    gateway = await start_gateway(
        upstream={"api_key_file": str(tmp_path / "key")},
        admin={"port": port, "token_file": str(tmp_path / "token")},
    )
    admin = AdminApi(port, TOKEN)
    client = await gateway.connect(additional_headers={"Authorization": f"Bearer {CANARY}"})
    await client.name_model()
    await client.start()
    await client.say(pcm(0.8))
    await client.until("transcription.delta")
    (one,) = (await admin.get("sessions"))["sessions"]
    (member,) = (await admin.get("upstreams"))["upstreams"]
    # Clients with credentials are told apart, and that is all.
    assert one["tenant"].startswith("~")
    asked = [
        ("GET", "node"),
        ("GET", "sessions"),
        ("GET", f"sessions/{one['id']}"),
        ("GET", f"sessions/{CANARY}"),
        ("GET", f"sessions?state={CANARY}"),
        ("GET", f"sessions?after={CANARY}"),
        ("GET", f"node?{CANARY}=1"),
        ("GET", "upstreams"),
        ("POST", f"upstreams/{CANARY}/drain"),
        ("POST", f"upstreams/{member['name']}/undrain"),
        ("POST", f"sessions/{one['id']}/move"),
        ("GET", "openapi.json"),
        ("POST", f"sessions/{one['id']}/end"),
    ]
    replies = [await admin.ask(method, path) for method, path in asked]
    replies.append(await admin.ask("POST", "drain", {CANARY: 1}))
    replies.append(await admin.ask("GET", "node", Authorization=f"Bearer {CANARY}"))
    assert [reply.body for reply in replies if CANARY.encode() in reply.body] == []
    await asyncio.gather(client.until_closed())
