"""What fails on a disk, the audit log's, the store's and the records', is told of without a word of what was said."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.access.principal import principal_of
from parley.server.auditing import AuditLog
from parley.server.settings.document import TenantSettings
from parley.store.retention.archive import Archive
from tests.store.retention.records import key_file
from tests.support.canary import CANARY, found_in, watched_log
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.sound import pcm

KEPT = TenantSettings(
    name="kept",
    principals=(principal_of(f"Bearer {CANARY}"),),
    retention="transcript",
    retention_max="transcript",
)


@pytest.fixture(autouse=True)
def everything(log: LogWatch) -> Iterator[None]:
    with watched_log(log):
        yield


async def said(gateway: RunningGateway, vllm: FakeVllm) -> None:
    """A turn in which the model says the canary."""
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    client = await gateway.connect(additional_headers={"Authorization": f"Bearer {CANARY}"})
    await client.name_model()
    await client.send_turn(pcm(0.8))
    assert CANARY in await client.result()
    await client.close()


async def over(gateway: RunningGateway) -> None:
    gateway.begin_stop()
    await gateway.until_stopped()


async def test_an_audit_log_has_names_and_numbers_alone(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    gateway = await start_gateway(audit={"file": str(path)})
    await said(gateway, vllm)
    await over(gateway)
    lines = path.read_text().splitlines()
    assert {json.loads(line)["action"] for line in lines} >= {"start", "end"}
    assert found_in(*lines) == []


async def test_an_audit_log_that_can_not_be_written_is_told_of_without_its_lines(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.expect_errors("parley")
    path = tmp_path / "audit.jsonl"
    gateway = await start_gateway(audit={"file": str(path), "on_failure": "continue"})
    assert gateway._gateway is not None
    written = gateway._gateway._trust.audit_log
    assert isinstance(written, AuditLog)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, CANARY)

    monkeypatch.setattr(written._file, "append", fail)
    await said(gateway, vllm)
    await over(gateway)
    assert found_in(path.read_text()) == []


async def test_records_that_can_not_be_written_are_told_of_without_their_content(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.expect_errors("parley")
    failed: list[object] = []

    async def fail(*arguments: object) -> None:
        failed.append(arguments)
        raise RuntimeError(f"{CANARY} {arguments!r}")

    monkeypatch.setattr(Archive, "begin", fail)
    retention = {"directory": str(tmp_path / "kept"), "key_file": str(key_file(tmp_path))}
    gateway = await start_gateway(retention=retention, tenants=(KEPT,))
    await said(gateway, vllm)
    await over(gateway)
    assert failed


async def test_what_is_kept_is_in_no_file_in_any_form(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path
) -> None:
    retention = {"directory": str(tmp_path / "kept"), "key_file": str(key_file(tmp_path))}
    gateway = await start_gateway(retention=retention, tenants=(KEPT,))
    await said(gateway, vllm)
    await over(gateway)
    files = [path for path in (tmp_path / "kept").iterdir() if path.is_file()]
    assert files
    assert found_in(*(path.read_bytes() for path in files), *(path.name for path in files)) == []
