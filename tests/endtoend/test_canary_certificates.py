"""What a client certificate says of its holder comes out nowhere, but for the name in the audit log that it is for."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.access_stage import Answer, exchanged
from tests.support.admin import free_port
from tests.support.canary import CANARY, found_in, watched_log
from tests.support.certificates import Authority, Pair
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.raw import UPGRADE, request

NAMED = "captions.example"


@pytest.fixture(autouse=True)
def everything(log: LogWatch) -> Iterator[None]:
    with watched_log(log):
        yield


def issued(authority: Authority, *names: str, common_name: str = "") -> Pair:
    """A certificate whose subject has the canary in its other fields as well."""
    leaf = authority._ca.issue_cert(
        *names,
        common_name=common_name or None,
        organization_name=f"{CANARY} organisation",
        organization_unit_name=f"{CANARY} unit",
    )
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return authority._written(chain, leaf.private_key_pem.bytes())


class Scene:
    """A gateway that knows its clients by their certificates, and what it has answered."""

    def __init__(self, gateway: RunningGateway, admin_port: int, authority: Authority, folder: Path) -> None:
        self.gateway, self.admin_port, self.authority, self.folder = gateway, admin_port, authority, folder
        self.answers: list[bytes] = []

    async def ask_everything(self, pair: Pair | None) -> list[int]:
        """What is answered on each route, by its status."""
        context = self.authority.trusting(pair)
        found: list[Answer] = []
        for port, target, headers in (
            (self.gateway.port, "/v1/models", {}),
            (self.gateway.port, "/v1/realtime", UPGRADE),
            (self.gateway.port, f"/{CANARY[:2]}", {}),
            (self.admin_port, "/admin/v1/node", {}),
            (self.admin_port, "/admin/v1/sessions", {}),
            (self.admin_port, "/metrics", {}),
        ):
            host = {"Host": f"127.0.0.1:{port}", "Connection": "close", **headers}
            found.append(await exchanged(port, context, request(target, host)))
        self.answers += [repr(one).encode() for one in found]
        return [one.status for one in found]

    async def talk(self, pair: Pair) -> None:
        """A session, as an operator sees it, and its end."""
        url = f"wss://127.0.0.1:{self.gateway.port}/v1/realtime"
        client = await Client.connect(url, ssl=self.authority.trusting(pair))
        await client.name_model()
        operator = self.authority.trusting(self.authority.client("operator.example"))
        for target in ("/admin/v1/sessions", f"/admin/v1/sessions/{client.session_id}/timeline", "/admin/v1/node"):
            self.answers.append(await whole(self.admin_port, operator, target))
        assert client.session_id.encode() in self.answers[-3]
        await client.close()

    async def ended(self) -> list[dict[str, Any]]:
        """What the audit log says when all is over."""
        self.gateway.begin_stop()
        self.gateway.hurry()
        await self.gateway.until_stopped()
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


async def whole(port: int, context: ssl.SSLContext, target: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(request(target, {"Host": f"127.0.0.1:{port}", "Connection": "close"}))
    answer = await reader.read()
    writer.transport.abort()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return answer


@pytest.fixture
async def scene(start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path) -> Scene:
    authority, port = Authority(tmp_path / "authority"), free_port()
    own = authority.server("127.0.0.1")
    tls = {
        "tls_certificate_file": str(own.certificate_file),
        "tls_key_file": str(own.key_file),
        "tls_client_ca_file": str(authority.file),
    }
    rules = """
        [[rule]]
        name = "own sessions"
        who = ["certificate:*"]
        actions = ["start", "resume"]

        [[rule]]
        name = "operators"
        who = ["certificate:operator.example"]
        actions = ["observe"]
        tenants = ["*"]
    """
    (tmp_path / "policy.toml").write_text(rules)
    gateway = await start_gateway(
        access={"certificates": True, "policy_file": str(tmp_path / "policy.toml")},
        server={"port": 0, **tls},
        admin={"port": port, **tls},
        audit={"file": str(tmp_path / "audit.jsonl")},
    )
    return Scene(gateway, port, authority, tmp_path)


async def test_of_a_subject_only_the_name_is_looked_at(scene: Scene) -> None:
    # Its first DNS name is what it is called; all the rest of it is nobody's business.
    pair = issued(scene.authority, NAMED, f"{CANARY}@example.org", f"{CANARY}.example", common_name=CANARY)
    assert await scene.ask_everything(pair) == [200, 101, 404, 403, 200, 403]
    await scene.talk(pair)
    lines = await scene.ended()
    assert {line["actor"] for line in lines} >= {f"certificate:{NAMED}", "certificate:operator.example"}
    assert found_in(*scene.answers, json.dumps(lines)) == []


async def test_a_name_is_in_the_audit_log_where_it_says_who_and_nowhere_else(scene: Scene) -> None:
    pair = issued(scene.authority, f"{CANARY}.example")
    await scene.ask_everything(pair)
    await scene.talk(pair)
    lines = await scene.ended()
    assert f"certificate:{CANARY}.example" in {line["actor"] for line in lines}
    rest = [{name: value for name, value in line.items() if name != "actor"} for line in lines]
    assert found_in(*scene.answers, json.dumps(rest)) == []


async def test_of_one_that_is_not_taken_nothing_is_told_at_all(scene: Scene) -> None:
    stranger = Authority(scene.folder / "stranger")
    for pair in (
        issued(stranger, f"{CANARY}.example", common_name=CANARY),
        stranger.client_of_uris(f"spiffe://{CANARY}/one", common_name=CANARY),
        scene.authority.client(f"{CANARY}.example", common_name=CANARY, is_good_for=timedelta(days=-1)),
    ):
        assert await scene.ask_everything(pair) == [0] * 6
    # It names nobody: an address of a mailbox is no name here.
    nameless = issued(scene.authority, f"{CANARY}@example.org")
    assert await scene.ask_everything(nameless) == [401, 401, 404, 401, 401, 401]
    assert found_in(*scene.answers, json.dumps(await scene.ended())) == []
