"""A whole gateway that asks who comes: API keys, JWTs and rules, over WebSockets and plain HTTP."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import websockets

from parley.access.keys.api_key import ApiKey, hash_of, make, written
from parley.access.keys.key_store import changing
from parley.server.start import StartError
from tests.access.jwt.tokens import AUDIENCE, ISSUER, RSA, jwk, key_set
from tests.support.admin import AdminApi, free_port
from tests.support.boto import signed_headers
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway, gateway_settings
from tests.support.http import Answer, get
from tests.support.signing import CREDENTIALS
from tests.support.sound import pcm


class KeyFile:
    """A file of API keys, and the keys themselves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with changing(path, may_begin=True):
            pass

    def add(self, name: str = "captions", **fields: Any) -> str:
        """A new key, as its holder sends it."""
        presented, salt = make(_random)
        key = ApiKey(id=presented.id, salt=salt, hash=hash_of(salt, presented.secret), name=name, **fields)
        with changing(self.path) as keys:
            keys[key.id] = key
        return written(presented)


def _random(size: int) -> bytes:
    import secrets

    return secrets.token_bytes(size)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.toml")


@pytest.fixture(autouse=True)
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at whenever they are asked for, not once a second."""
    monkeypatch.setattr("parley.access.watched_file.LOOK_INTERVAL_S", 0.0)


async def failing_start(gateway: RunningGateway) -> str:
    """Why it does not start."""
    with pytest.raises(ExceptionGroup) as caught:
        await gateway.start()
    (error,) = caught.value.exceptions
    assert isinstance(error, StartError)
    return str(error)


@pytest.fixture
async def gateway(start_gateway: GatewayStarter, keys: KeyFile) -> RunningGateway:
    return await start_gateway(access={"keys_file": str(keys.path)})


async def connect(gateway: RunningGateway, key: str, path: str = "/v1/realtime") -> Client:
    return await gateway.connect(path, additional_headers={"Authorization": f"Bearer {key}"} if key else {})


async def refusal(gateway: RunningGateway, key: str) -> tuple[int, str]:
    """The status and the code with which a WebSocket is refused."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(gateway, key)
    response = caught.value.response
    return response.status_code, str(json.loads(response.body or b"{}")["error"]["code"])


async def test_a_probe_of_the_platform_needs_no_key(gateway: RunningGateway) -> None:
    for path in ("/ping", "/health"):
        assert (await get(gateway, path)).status == 200


class TestAPolicy:
    async def test_that_changes_is_in_the_audit_log(
        self, start_gateway: GatewayStarter, keys: KeyFile, tmp_path: Path
    ) -> None:
        policy, log = tmp_path / "policy.toml", tmp_path / "audit.jsonl"
        rule = '[[rule]]\nname = "{}"\nwho = ["*"]\nactions = ["start"]\n'
        policy.write_text(rule.format("one"))
        gateway = await start_gateway(
            access={"keys_file": str(keys.path), "policy_file": str(policy)}, audit={"file": str(log)}
        )
        policy.write_text(rule.format("one") + rule.format("two"))
        await connect(gateway, keys.add())
        gateway.begin_stop()
        await gateway.until_stopped()
        (line,) = [one for one in map(json.loads, log.read_bytes().splitlines()) if one["action"] == "policy-change"]
        assert line["facts"] == {"rules": 2}

    async def test_that_is_wrong_is_a_reason_not_to_start(self, vllm: FakeVllm, keys: KeyFile, tmp_path: Path) -> None:
        (tmp_path / "policy.toml").write_text("[[rule]]\n")
        access = {"keys_file": str(keys.path), "policy_file": str(tmp_path / "policy.toml")}
        error = await failing_start(RunningGateway(gateway_settings(vllm.url, access=access)))
        assert error.startswith("policy-unusable: ")


async def test_a_tenants_operator_sees_and_ends_its_own_sessions_alone(
    start_gateway: GatewayStarter, keys: KeyFile, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text(
        '[[rule]]\nname = "speak"\nwho = ["*"]\nactions = ["start", "resume"]\n'
        '[[rule]]\nname = "see"\nwho = ["role:lead"]\nactions = ["observe", "end"]\n'
    )
    port = free_port()
    gateway = await start_gateway(
        access={"keys_file": str(keys.path), "policy_file": str(tmp_path / "policy.toml")}, admin={"port": port}
    )
    for tenant in ("acme", "other"):
        await connect(gateway, keys.add(f"{tenant}-speaker", tenant=tenant))
    lead = AdminApi(port, keys.add("lead", tenant="acme", roles=("lead",)))
    everybody = AdminApi(port, keys.add("speaker", tenant="acme"))
    page = await lead.get("sessions")
    assert [one["tenant"] for one in page["sessions"]] == ["acme"]
    assert page["total"] == 1
    assert (await everybody.get("sessions"))["total"] == 0
    other = AdminApi(port, keys.add("other-lead", tenant="other", roles=("lead",)))
    (theirs,) = (await other.get("sessions"))["sessions"]
    for ask in (("GET", f"sessions/{theirs['id']}"), ("POST", f"sessions/{theirs['id']}/end")):
        found, missing = await lead.ask(*ask), await lead.ask(ask[0], ask[1].replace(theirs["id"], "sess-none"))
        assert (found.status, found.body) == (missing.status, missing.body) == (404, missing.body)
    assert (await lead.ask("GET", "node")).code == "forbidden"
    assert (await lead.ask("POST", f"sessions/{page['sessions'][0]['id']}/move")).code == "forbidden"
    assert (await lead.ask("POST", f"sessions/{page['sessions'][0]['id']}/end")).status == 200


class TestJwts:
    async def test_let_their_holders_in(self, start_gateway: GatewayStarter, tmp_path: Path) -> None:
        import time

        import jwt

        path = tmp_path / "jwks.json"
        path.write_bytes(key_set(jwk(RSA, kid="one")))
        path.chmod(0o644)
        access = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys_file": str(path)}
        gateway = await start_gateway(access=access)
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": time.time() + 60}
        good = jwt.encode(claims, RSA, "RS256", {"kid": "one"})
        await connect(gateway, good)
        assert await refusal(gateway, good[:-4] + "AAAA") == (401, "invalid-token")
        late = jwt.encode({**claims, "exp": 1}, RSA, "RS256", {"kid": "one"})
        assert (await refusal(gateway, late))[1] == "expired-credentials"

    async def test_wait_for_their_issuers_keys(self, start_gateway: GatewayStarter) -> None:
        access = {"jwt_issuer": "http://127.0.0.1:1", "jwt_audience": AUDIENCE}
        gateway = await start_gateway(access=access)
        import jwt

        text = jwt.encode({"sub": "x"}, RSA, "RS256", {"kid": "one"})
        assert await refusal(gateway, text) == (503, "keys-unavailable")

    async def test_need_a_file_of_keys_that_is_one(self, vllm: FakeVllm, tmp_path: Path) -> None:
        (tmp_path / "jwks.json").write_text("{}")
        access = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys_file": str(tmp_path / "jwks.json")}
        error = await failing_start(RunningGateway(gateway_settings(vllm.url, access=access)))
        assert error.startswith("keys-unusable: ")


async def test_quotas_of_connects_hold(start_gateway: GatewayStarter, keys: KeyFile) -> None:
    from parley.server.settings.document import TenantSettings

    tenants = (TenantSettings(name="acme", connects_per_minute=2),)
    gateway = await start_gateway(access={"keys_file": str(keys.path)}, tenants=tenants)
    key = keys.add(tenant="acme")
    for _ in range(2):
        await connect(gateway, key)
    client = await connect_only(gateway, key)
    assert client == "quota-exceeded"


async def connect_only(gateway: RunningGateway, key: str) -> str:
    """The code with which a session is refused, at the upgrade or right behind it."""
    try:
        client = await connect(gateway, key)
    except websockets.InvalidStatus as error:
        return str(json.loads(error.response.body or b"{}")["error"]["code"])
    except AssertionError as error:
        return "quota-exceeded" if "quota-exceeded" in str(error) else str(error)
    return (await client.until_closed()).error_code


async def test_what_is_done_is_in_the_audit_log_and_nothing_that_was_said(
    start_gateway: GatewayStarter, keys: KeyFile, tmp_path: Path, vllm: FakeVllm
) -> None:
    vllm.speech = lambda turn, step: " zzkanarienvogel"
    path = tmp_path / "audit.jsonl"
    gateway = await start_gateway(access={"keys_file": str(keys.path)}, audit={"file": str(path)})
    key = keys.add(tenant="acme")
    client = await connect(gateway, key)
    await client.name_model()
    await client.send_turn(pcm(0.8))
    await client.result()
    await client.close()
    await refusal(gateway, "parley_0123456789ab_" + "x" * 43)
    gateway.begin_stop()
    await gateway.until_stopped()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    done = [(line["action"], line["actor"], line["outcome"]) for line in lines]
    assert ("start", "key:captions", "ok") in done
    assert ("authenticate", "", "invalid-token") in done
    assert any(action == "end" and actor == "key:captions" for action, actor, _ in done)
    assert "zzkanarienvogel" not in path.read_text()
    assert key not in path.read_text()


async def test_a_signed_body_of_the_admin_api_is_the_one_that_was_signed(
    start_gateway: GatewayStarter, tmp_path: Path
) -> None:
    (tmp_path / "keys.toml").write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )
    (tmp_path / "keys.toml").chmod(0o600)
    (tmp_path / "policy.toml").write_text('[[rule]]\nname = "aws"\nwho = ["aws:*"]\nactions = ["*"]\ntenants = ["*"]\n')
    port = free_port()
    await start_gateway(
        access={"credentials_file": str(tmp_path / "keys.toml"), "policy_file": str(tmp_path / "policy.toml")},
        admin={"port": port},
    )
    body = b'{"timeout_s": 5, "settle_s": 600}'

    async def drain(sent: bytes) -> Answer:
        headers = signed_headers(
            "/admin/v1/drain",
            method="POST",
            body=body,
            authority=f"127.0.0.1:{port}",
            headers={
                "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(),
                "Content-Type": "application/json",
                "X-Once": str(len(sent)),
            },
        )
        return await AdminApi(port).ask("POST", "drain", data=sent, **headers)

    other = await drain(b"{}")
    assert (other.status, other.code) == (403, "invalid-signature")
    assert (await drain(body)).status == 200
