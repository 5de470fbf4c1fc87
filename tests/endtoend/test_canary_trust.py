"""No credential comes out anywhere: not in the log, an answer, the audit log, a command's output or a crash."""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.access.keys.api_key import ApiKey, hash_of, make, written
from parley.access.keys.key_store import changing
from parley.cli import main
from parley.server.settings.document import KEYS
from parley.server.start import StartError
from tests.access.jwt.tokens import AUDIENCE, ISSUER, RSA, jwk, key_set, raw
from tests.support.admin import AdminApi, free_port
from tests.support.boto import presigned_target, signed_headers
from tests.support.canary import CANARY, forms, found_in, watched_log
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway, gateway_settings
from tests.support.logs import LogWatch
from tests.support.raw import UPGRADE, request, text_frame
from tests.support.signing import Credentials
from tests.support.waiting import bounded

OPERATOR = f"{CANARY}-of-the-operator-0123456789"
AWS = Credentials("AKIDOFATEST", f"{CANARY}-forty-characters-long-0123456789", f"{CANARY}-session-token")
FILES = {
    "access.keys_file": f'[[key]]\nid = "{CANARY}"\n',
    "access.policy_file": f'[[rule]]\nname = "{CANARY}\n',
    "access.credentials_file": f'[[key]]\nsecret_access_key = ["{CANARY}"]\n',
    "access.browser_token_key_file": CANARY,
    "admin.token_file": f"{CANARY} with a space",
}


@pytest.fixture(autouse=True)
def everything(log: LogWatch, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*(key.environment for key in KEYS.values()), "PARLEY_CONFIG", "PARLEY_PRESET"):
        monkeypatch.delenv(name, raising=False)
    with watched_log(log):
        # So that there is something in any case.
        import logging

        logging.getLogger("parley").info("a test of canaries")
        yield


class Scene:
    """A gateway whose own secrets all are canaries, and what it has answered."""

    def __init__(self, gateway: RunningGateway, admin: AdminApi, key: str, folder: Path) -> None:
        self.gateway, self.admin, self.key, self.folder = gateway, admin, key, folder
        self.answers: list[bytes] = []

    async def ask(self, data: bytes) -> bytes:
        socket = await self.gateway.raw()
        socket.send(data)
        socket.shut_down()
        answer = await socket.until_eof()
        self.answers.append(answer)
        return answer

    async def ended(self) -> list[str]:
        """What the audit log says when all is over."""
        self.gateway.begin_stop()
        self.gateway.hurry()
        await self.gateway.until_stopped()
        return (self.folder / "audit.jsonl").read_text().splitlines()


def _file(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def _canary_bytes(size: int) -> bytes:
    """A key's random part in which the canary shows, base64 or not."""
    return (base64.b64decode("zzkanarienvogelx") * 8)[:size]


@pytest.fixture
async def scene(start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path) -> Scene:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    presented, salt = make(_canary_bytes)
    with changing(tmp_path / "keys.toml", may_begin=True) as keys:
        keys[presented.id] = ApiKey(id=presented.id, salt=salt, hash=hash_of(salt, presented.secret), name="captions")
    aws = (
        f'[[key]]\naccess_key_id = "{AWS.access_key_id}"\nsecret_access_key = "{AWS.secret_access_key}"\n'
        f'session_token = "{AWS.session_token}"\n'
    )
    port = free_port()
    gateway = await start_gateway(
        access={
            "keys_file": str(tmp_path / "keys.toml"),
            "credentials_file": _file(tmp_path, "aws.toml", aws),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_keys_file": _file(tmp_path, "jwks.json", key_set(jwk(RSA, kid="one"))),
            "browser_tokens": True,
            "browser_token_key_file": _file(tmp_path, "browser.key", CANARY * 3),
        },
        upstream={"api_key_file": _file(tmp_path, "upstream", f"{CANARY}-upstream")},
        admin={"port": port, "token_file": _file(tmp_path, "operator", OPERATOR)},
        audit={"file": str(tmp_path / "audit.jsonl"), "key_file": _file(tmp_path, "audit.key", CANARY * 4)},
    )
    return Scene(gateway, AdminApi(port, OPERATOR), written(presented), tmp_path)


def test_the_canary_is_found_in_every_form() -> None:
    plain = CANARY.encode()
    for said in (plain, plain.hex().encode(), plain.upper(), b"%7A" + b"".join(b"%%%02X" % byte for byte in plain[1:])):
        assert found_in(b"..." + said + b"...")
    for before in range(4):
        for after in range(4):
            assert found_in(base64.b64encode(b"-" * before + plain + b"-" * after)), (before, after)
    assert found_in("nothing of the kind") == []
    assert all(len(form) >= 15 for form in forms())


def _tokens() -> dict[str, str]:
    good: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": time.time() + 60}
    signed = {"iss": {CANARY: 1}, "aud": [CANARY], "sub": [CANARY], "tenant": {CANARY: 1}, "roles": {CANARY: CANARY}}
    made = {
        f"a claim {name}": raw(
            b'{"alg":"RS256","kid":"one"}', json.dumps({**good, name: value}).encode(), CANARY.encode() * 20
        )
        for name, value in signed.items()
    }
    made |= {f"a claim {name}, signed": _signed({**good, name: value}) for name, value in signed.items()}
    made["an expiry, signed"] = _signed({**good, "exp": CANARY})
    made["a kid"] = raw(json.dumps({"alg": "RS256", "kid": CANARY}).encode(), b"{}", b"x")
    made["an algorithm"] = raw(json.dumps({"alg": CANARY}).encode(), b"{}", b"x")
    made["a broken header"] = raw(CANARY.encode(), CANARY.encode(), CANARY.encode())
    made["an api key"] = f"parley_0123456789ab_{(CANARY * 3)[:43]}"
    made["no api key"] = f"parley_{CANARY}"
    made["a browser token"] = f"pt1.{CANARY}{CANARY}"
    made["something else"] = f"sk-{CANARY}"
    made["the operator's"] = OPERATOR
    return made


def _signed(claims: dict[str, Any]) -> str:
    # PyJWT itself refuses to make some that it would have to refuse.
    from jwt.api_jws import encode

    return encode(json.dumps(claims).encode(), RSA, "RS256", {"kid": "one"})


async def test_no_refused_credential_comes_out(scene: Scene) -> None:
    upgrade = UPGRADE | {"Host": "127.0.0.1"}
    for token in _tokens().values():
        for scheme in ("Bearer", "bearer", "Basic", "AWS4-HMAC-SHA256", ""):
            await scene.ask(request("/v1/realtime", upgrade | {"Authorization": f"{scheme} {token}"}))
        await scene.ask(request("/v1/models", {"Host": "127.0.0.1", "x-api-key": token}))
        await scene.ask(
            request("/v1/realtime", upgrade | {"Sec-WebSocket-Protocol": f"realtime, parley.token.{token}"})
        )
        await scene.ask(request(f"/v1/realtime?token={token}&api_key={token}", upgrade))
        socket = await scene.gateway.raw()
        await socket.upgrade("/v1/realtime?auth=event", Host="127.0.0.1")
        socket.send(text_frame("session.authenticate", token=token))
        scene.answers.append(repr(await socket.until_close()).encode())
        reply = await scene.admin.ask("GET", "node", Authorization=f"Bearer {token}x")
        scene.answers.append(reply.body + repr(reply.headers).encode())
    scene.answers.append("\n".join(await scene.ended()).encode())
    assert len(scene.answers) > 100
    assert found_in(*scene.answers) == []


async def test_no_part_of_a_signature_comes_out(scene: Scene) -> None:
    authority = f"127.0.0.1:{scene.gateway.port}"
    wrong = [
        Credentials(CANARY, AWS.secret_access_key),
        Credentials(AWS.access_key_id, CANARY * 3, AWS.session_token),
        Credentials(AWS.access_key_id, AWS.secret_access_key, f"{CANARY}-another"),
        Credentials(AWS.access_key_id, AWS.secret_access_key),
    ]
    for credentials in wrong:
        for target in ("/v1/realtime", f"/{CANARY}"):
            headers = signed_headers(target, authority=authority, credentials=credentials)
            await scene.ask(request(target, {**UPGRADE, "Host": authority, **headers}))
            await scene.ask(request(target, {"Host": authority, **headers}))
            for at in (None, 1_000_000_000.0):
                presigned = presigned_target(target, authority=authority, credentials=credentials, time_s=at)
                await scene.ask(request(presigned, UPGRADE | {"Host": authority}))
    malformed = (
        f"AWS4-HMAC-SHA256 Credential={CANARY}, SignedHeaders={CANARY}, Signature={CANARY}",
        f"AWS4-HMAC-SHA256 Credential={CANARY}/20260101/x/sagemaker/aws4_request, SignedHeaders=host, Signature=a",
        f"AWS4-HMAC-SHA256 {CANARY}",
    )
    for authorization in malformed:
        await scene.ask(request("/v1/models", {"Host": authority, "Authorization": authorization}))
    scene.answers.append("\n".join(await scene.ended()).encode())
    assert found_in(*scene.answers) == []


async def test_of_good_credentials_nothing_comes_out_but_a_token_to_whoever_had_it_made(scene: Scene) -> None:
    authorization = {"Authorization": f"Bearer {scene.key}"}
    client = await scene.gateway.connect(additional_headers=authorization)
    await client.send("session.update", model=MODEL, parley={"resume": True})
    token = str((await client.receive())["resume"]["token"])
    await scene.ask(request("/v1/models", {"Host": "127.0.0.1", **authorization}))
    minted = await scene.ask(
        request("/v1/realtime/client_secrets", {"Host": "127.0.0.1", "Content-Length": "0", **authorization}, "POST")
    )
    value = json.loads(minted.partition(b"\r\n\r\n")[2])["value"]
    for path in ("node", "sessions", f"sessions/{client.session_id}", "openapi.json"):
        reply = await scene.admin.ask("GET", path)
        assert reply.status == 200
        scene.answers.append(reply.body)
    lines = await scene.ended()
    assert any('"mint"' in line for line in lines)
    scene.answers.append("\n".join(lines).encode())
    assert found_in(*scene.answers) == []
    for secret in (value, token, scene.key):
        assert not [line for line in lines if secret in line]
        assert not [answer for answer in scene.answers if answer is not minted and secret.encode() in answer]


async def test_a_method_that_throws_a_credential_throws_nothing_out(scene: Scene, log: LogWatch) -> None:
    log.expect_errors("parley", "picows", "aiohttp")
    assert scene.gateway._gateway is not None
    trust = scene.gateway._gateway._trust

    class Throwing:
        name = "what throws"
        is_beside_others = False

        def recognises(self, request: object) -> bool:
            return True

        def authenticate(self, request: object) -> Any:
            raise RuntimeError(f"{CANARY} {request!r}")

    for gate in (trust.gate, trust.admin_gate):
        gate._methods = (Throwing(),)
    headers = {"Host": "127.0.0.1", "Authorization": f"Bearer {CANARY}"}
    for data in (
        request("/v1/realtime", UPGRADE | headers),
        request("/v1/models", headers),
        request("/invocations", headers | {"Content-Length": "3"}, "POST") + b"abc",
    ):
        await scene.ask(data)
    scene.answers.append((await scene.admin.ask("GET", "node", Authorization=f"Bearer {CANARY}")).body)
    assert found_in(*scene.answers) == []
    assert not any(answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")) for answer in scene.answers)


async def test_what_the_loop_reports_shows_no_credential(log: LogWatch) -> None:
    log.expect_errors("asyncio")
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "it failed", "exception": RuntimeError(CANARY), "token": CANARY})
    loop.call_soon(_throw, CANARY)
    await asyncio.sleep(0)


def _throw(text: str) -> None:
    raise RuntimeError(text)


@pytest.mark.parametrize("setting", FILES)
async def test_a_broken_file_is_told_of_without_its_content(vllm: FakeVllm, tmp_path: Path, setting: str) -> None:
    section, _, name = setting.partition(".")
    values: dict[str, Any] = {name: _file(tmp_path, "broken", FILES[setting])}
    values |= {"browser_tokens": True} if name.startswith("browser") else {}
    values |= {"port": free_port()} if section == "admin" else {}
    gateway = RunningGateway(gateway_settings(vllm.url, **{section: values}))
    with pytest.raises(ExceptionGroup) as caught:
        await gateway.start()
    (error,) = caught.value.exceptions
    assert isinstance(error, StartError)
    assert found_in(str(error), repr(error)) == []


@pytest.mark.parametrize("command", ["keys list --file {}", "policy check key:x start --file {}", "check-config {}"])
def test_a_commands_output_has_nothing_of_a_broken_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for setting, text in FILES.items():
        path = _file(tmp_path, "broken", text)
        given = f"--set {setting}={path}" if command.startswith("check") else path
        main.run(command.format(given).split())
        said = capsys.readouterr()
        assert said.out + said.err
        assert found_in(said.out, said.err) == []


def test_a_list_of_keys_has_no_key(scene_keys: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    path, key = scene_keys
    for options in ([], ["--json"]):
        assert main.run(["keys", "list", "--file", str(path), *options]) == 0
        said = capsys.readouterr().out
        assert "captions" in said
        assert found_in(said) == []
        assert key.rpartition("_")[2] not in said


@pytest.fixture
def scene_keys(tmp_path: Path) -> tuple[Path, str]:
    presented, salt = make(_canary_bytes)
    with changing(tmp_path / "keys.toml", may_begin=True) as keys:
        keys[presented.id] = ApiKey(id=presented.id, salt=salt, hash=hash_of(salt, presented.secret), name="captions")
    return tmp_path / "keys.toml", written(presented)


_CRASH = """
import sys, threading
from parley.observe.log import configure, guard
configure("debug", "text"); guard()
canary = sys.stdin.readline().strip()
def fail(): raise RuntimeError(canary)
thread = threading.Thread(target=fail, args=()); thread.start(); thread.join()
class Final:
    def __del__(self): raise ValueError(canary)
Final()
raise KeyError(canary)
"""


async def test_a_process_that_dies_of_an_exception_says_nothing_of_what_was_in_it() -> None:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _CRASH, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await bounded("it ends", child.communicate(CANARY.encode() + b"\n"))
    assert child.returncode == 1
    assert err.count(b"uncaught exception") == 2
    assert b"could not be raised" in err
    assert found_in(out, err) == []
