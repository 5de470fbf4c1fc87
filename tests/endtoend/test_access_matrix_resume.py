"""Resume tokens that are not what they should be: each is refused with a code of its own, and tells nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Ending
from tests.support.credentials import Issuer
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.resuming import Returner, claim, opted_in


class Scene:
    """A gateway with API keys, and a session of the first tenant that has lost its client."""

    def __init__(self, gateway: RunningGateway, issuer: Issuer) -> None:
        self.gateway, self.issuer = gateway, issuer

    def options(self, state: str) -> dict[str, Any]:
        return {"additional_headers": {"Authorization": f"Bearer {self.issuer.keys[state]}"}}

    async def left(self) -> Returner:
        session = await opted_in(self.gateway, **self.options("right"))
        session.client.abort()
        return session

    async def claim(self, token: str, state: str = "right") -> Ending:
        return await claim(self.gateway, token, **self.options(state))


@pytest.fixture
async def scene(start_gateway: GatewayStarter, tmp_path: Path) -> Scene:
    issuer = Issuer(tmp_path)
    access = {name: issuer.access[name] for name in ("keys_file",)}
    return Scene(await start_gateway(access=access), issuer)


def flipped(token: str) -> list[str]:
    """The token with one bit of each of its characters changed."""
    return [f"{token[:at]}{chr(ord(one) ^ 1)}{token[at + 1 :]}" for at, one in enumerate(token)]


async def test_a_token_that_was_forged_cut_or_changed_is_as_unknown_as_one_that_never_was(scene: Scene) -> None:
    session = await scene.left()
    token = session.token
    never = await scene.claim(token[: token.find(".") + 1] + "A" * (len(token) - token.find(".") - 1))
    assert never.error_code == "unknown-session"
    changed = [token[:-1], token[1:], token[: len(token) // 2], token + "A", token.upper(), *flipped(token)[::4]]
    for one in changed:
        ending = await scene.claim(one)
        assert (ending.error_code, ending.code) == (never.error_code, never.code), one
        assert _shown(ending) == _shown(never)
        assert one not in str(ending)
    await session.come_back(scene.gateway, **scene.options("right"))


async def test_a_token_of_another_version_is_refused_and_the_session_is_there(scene: Scene) -> None:
    session = await scene.left()
    for prefix in ("p0.", "p2.", "p9.", ""):
        ending = await scene.claim(prefix + session.token.partition(".")[2])
        assert ending.error_code in ("unknown-session", "state-unsupported")
    await session.come_back(scene.gateway, **scene.options("right"))


@pytest.mark.parametrize("state", ["stranger", "powerless", "observer"])
async def test_a_token_in_other_hands_is_refused_and_the_session_is_there(scene: Scene, state: str) -> None:
    session = await scene.left()
    assert (await scene.claim(session.token, state)).error_code == "wrong-principal"
    await session.come_back(scene.gateway, **scene.options("right"))


async def test_a_token_does_not_come_back_when_its_session_has_ended(scene: Scene, vllm: FakeVllm) -> None:
    session = await opted_in(scene.gateway, **scene.options("right"))
    await session.client.send("session.end")
    await session.client.close()
    for _ in range(2):
        assert (await scene.claim(session.token)).error_code == "expired"
    assert (await scene.claim(session.token, "stranger")).error_code in ("wrong-principal", "expired")


def _shown(ending: Ending) -> list[dict[str, object]]:
    """What is said, without what is new in each message."""
    return [{name: value for name, value in event.items() if name != "event_id"} for event in ending.events]
