"""Credentials are looked at when a connection is made: a session goes on when they end, and is resumed with good ones.

What stands against a session that should be over: an operator ends it, its time has an end of its own, and its
connection can't be made again.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from parley.access import watched_file
from parley.access.browser_token import BrowserTokens
from parley.access.caller import Caller
from parley.access.keys.api_key import ApiKey, hash_of, make, written
from parley.access.keys.key_store import changing
from parley.access.principal import principal_of_key
from parley.cli import main
from parley.server import app
from parley.server.trust import make_trust
from tests.access.jwt.tokens import AUDIENCE, ISSUER, RSA, jwk, key_set
from tests.access.jwt.tokens import token as signed
from tests.support.admin import AdminApi, free_port
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.resuming import claim, opted_in
from tests.support.sound import pcm
from tests.support.voxtral import transcript

AUDIO = pcm(1.0)
TEXT = transcript(16_000)
BROWSER_KEY = "a key of forty characters and of some more"
HOUR_S = 3_600.0
TOKEN_S = 600.0
"""What a browser token may be good for at the most."""
OPERATOR = "0123456789abcdef-token"


class Clock:
    """Seconds since 1970, which a test may have go by."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass(frozen=True)
class Kind:
    """A credential that is good for an hour from now at the most; `made` makes another one each time."""

    name: str
    made: Callable[["Scene"], str]


def of_an_api_key(scene: "Scene") -> str:
    presented, salt = make(lambda size: bytes([len(scene.made)] * size))
    scene.made.append(presented.id)
    key = ApiKey(id=presented.id, salt=salt, hash=hash_of(salt, presented.secret), name="captions")
    with changing(scene.folder / "keys.toml", may_begin=True) as keys:
        keys[presented.id] = replace(key, expires_at_s=scene.clock() + HOUR_S)
    return written(presented)


def of_an_issuer(scene: "Scene") -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "captions", "exp": scene.clock() + HOUR_S}
    return signed(claims)


def of_a_page(scene: "Scene") -> str:
    tokens = BrowserTokens(BROWSER_KEY.encode(), clock=scene.clock)
    return tokens.mint(Caller(principal_of_key("captions"), "key:captions", method="api-key"), TOKEN_S).value


KINDS = [Kind("API key", of_an_api_key), Kind("JWT", of_an_issuer), Kind("browser token", of_a_page)]


class Scene:
    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.made: list[str] = []
        self.admin_port = free_port()

    async def start(self, start_gateway: GatewayStarter, **sections: Any) -> RunningGateway:
        of_an_api_key(self)
        (self.folder / "jwks.json").write_bytes(key_set(jwk(RSA, kid="one")))
        for name, text in (("browser.key", BROWSER_KEY), ("operator", OPERATOR)):
            (self.folder / name).touch(mode=0o600)
            (self.folder / name).write_text(text)
        access = {
            "keys_file": str(self.folder / "keys.toml"),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_keys_file": str(self.folder / "jwks.json"),
            "browser_tokens": True,
            "browser_token_key_file": str(self.folder / "browser.key"),
            "browser_token_ttl_max_s": TOKEN_S,
        }
        admin = {"port": self.admin_port, "token_file": str(self.folder / "operator")}
        audit = {"file": str(self.folder / "audit.jsonl")}
        return await start_gateway(access=access, admin=admin, audit=audit, **sections)


def bearer(value: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {value}"}}


async def refused(gateway: RunningGateway, value: str, path: str = "/v1/realtime") -> str:
    upgrade = await (await gateway.raw()).upgrade(path, Authorization=f"Bearer {value}")
    return str(upgrade.error["code"])


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    clock = Clock()
    monkeypatch.setattr(app, "make_trust", partial(make_trust, clock=clock))
    monkeypatch.setattr(watched_file, "LOOK_INTERVAL_S", 0.0)
    return Scene(tmp_path, clock)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_session_goes_on_when_its_credential_ends(
    scene: Scene, start_gateway: GatewayStarter, kind: Kind
) -> None:
    gateway = await scene.start(start_gateway)
    credential = kind.made(scene)
    session = await opted_in(gateway, **bearer(credential))
    scene.clock.ahead_s = 2 * HOUR_S
    assert await refused(gateway, credential) == "expired-credentials"
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    assert session.texts == [TEXT]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_it_is_resumed_with_a_good_one_of_the_same_holder_and_not_with_the_old_one(
    scene: Scene, start_gateway: GatewayStarter, kind: Kind
) -> None:
    gateway = await scene.start(start_gateway)
    credential = kind.made(scene)
    session = await opted_in(gateway, **bearer(credential))
    session.client.abort()
    scene.clock.ahead_s = 2 * HOUR_S
    assert await refused(gateway, credential, "/v1/realtime?resume=1") == "expired-credentials"
    await session.come_back(gateway, **bearer(kind.made(scene)))


async def test_a_key_that_is_revoked_ends_no_session_and_the_operator_does(
    scene: Scene, start_gateway: GatewayStarter, vllm: FakeVllm, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = await scene.start(start_gateway)
    key = of_an_api_key(scene)
    session = await opted_in(gateway, **bearer(key))
    assert main.run(["keys", "revoke", "--file", str(scene.folder / "keys.toml"), key.split("_")[1]]) == 0
    assert await refused(gateway, key) == "invalid-token"
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    # As the pages say: the audit log knows which sessions a key began, and whoever may end sessions ends them.
    lines = [json.loads(line) for line in (scene.folder / "audit.jsonl").read_text().splitlines()]
    (begun,) = [line["session"] for line in lines if (line["action"], line["actor"]) == ("start", "key:captions")]
    assert (await AdminApi(scene.admin_port, OPERATOR).ask("POST", f"sessions/{begun}/end")).status == 200
    ending = await session.until_closed()
    assert ending.events[-1]["reason"] == "ended-by-operator"
    assert await refused(gateway, key, "/v1/realtime?resume=1") == "invalid-token"
    session_of_another = await claim(gateway, session.token, **bearer(of_an_api_key(scene)))
    assert session_of_another.error_code == "expired"


async def test_a_session_may_have_an_end_of_its_own(scene: Scene, start_gateway: GatewayStarter) -> None:
    gateway = await scene.start(start_gateway, session={"duration_max_s": 0.5})
    session = await opted_in(gateway, **bearer(of_an_api_key(scene)))
    ending = await session.until_closed()
    assert ending.events[-1]["type"] == "session.ended"
    assert ending.events[-1]["reason"] == "duration-limit"
