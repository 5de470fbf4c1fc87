"""API keys and a policy file at a whole gateway: who gets in, who does not, and what changes while it runs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from parley.access import watched_file
from parley.access.keys.key_store import changing
from parley.cli import main
from parley.server.settings.document import EndpointSettings
from parley.server.start import StartError
from parley.server.trust import make_trust
from tests.server.http2_gateway import Http2Gateway
from tests.server.part_client import part_client
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway, gateway_settings
from tests.support.http import Answer, post
from tests.support.logs import LogWatch
from tests.support.resuming import claim, opted_in
from tests.support.sound import pcm, wav
from tests.support.voxtral import transcript

AUDIO = pcm(1.0)
TEXT = transcript(16_000)
OTHER_SECRET = "A" * 43
UNKNOWN = f"parley_{'0' * 12}_{OTHER_SECRET}"

ALLOW_ALL = '[[rule]]\nname = "all"\nwho = ["*"]\nactions = ["start", "resume"]\n'


class Keys:
    """A file of API keys, changed as an operator does it."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def run(self, *arguments: str) -> str:
        """One of `parley keys`; what it printed."""
        self._capsys.readouterr()
        status = main.run(["keys", arguments[0], "--file", str(self.path), *arguments[1:]])
        said = self._capsys.readouterr()
        assert status == 0, said.err
        return said.out.strip()

    def create(self, name: str = "captions", *options: str) -> str:
        return self.run("create", "--name", name, *options)

    def end(self, key: str) -> None:
        """Let the time of a key be over."""
        with changing(self.path) as keys:
            keys[id_of(key)] = replace(keys[id_of(key)], expires_at_s=1.0)

    @property
    def access(self) -> dict[str, str]:
        """The settings that name it."""
        return {"keys_file": str(self.path)}


def id_of(key: str) -> str:
    return key.split("_")[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def transcribe(gateway: RunningGateway, **headers: str) -> Answer:
    return await post(gateway, "/invocations", wav(AUDIO), Content_Type="audio/wav", **headers)


async def say(client: Client) -> str:
    """A turn of a client that has named the model; its text."""
    await client.send_turn(AUDIO)
    return await client.result()


async def refused(gateway: RunningGateway, **headers: str) -> tuple[int, str]:
    """How a WebSocket and a POST are refused, which has to be in the same way: the status and what is told."""
    upgrade = await (await gateway.raw()).upgrade(**headers)
    answer = await transcribe(gateway, **headers)
    said = {(upgrade.status, told(upgrade.error)), (answer.status, told(answer.error))}
    assert len(said) == 1, said
    return said.pop()


def told(error: dict[str, object]) -> str:
    return f"{error['code']}: {error['message']}"


async def code(gateway: RunningGateway, key: str) -> str:
    """Parley's code of the refusal of a key."""
    return (await refused(gateway, **bearer(key)))[1].partition(":")[0]


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of files are found at once."""
    monkeypatch.setattr(watched_file, "LOOK_INTERVAL_S", 0.0)


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str], log: LogWatch) -> Iterator[Keys]:
    """No key that a test has made may be in the log."""
    made: list[str] = []

    class Noting(Keys):
        def run(self, *arguments: str) -> str:
            printed = super().run(*arguments)
            if printed.startswith("parley_"):
                made.append(printed[len("parley_000000000000_") :])
            return printed

    yield Noting(tmp_path / "keys.toml", capsys)
    assert [one for one in made if one in log.everything] == []


# ---- who gets in


@pytest.mark.parametrize("name", ["Authorization", "x-api-key"])
async def test_a_key_opens_a_websocket(keys: Keys, start_gateway: GatewayStarter, name: str) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    value = key if name == "x-api-key" else f"Bearer {key}"
    client = await gateway.connect(additional_headers={name: value})
    await client.name_model()
    assert await say(client) == TEXT


@pytest.mark.parametrize("name", ["Authorization", "x_api_key"])
async def test_a_key_has_a_recording_transcribed(keys: Keys, start_gateway: GatewayStarter, name: str) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    answer = await transcribe(gateway, **{name: key if name == "x_api_key" else f"Bearer {key}"})
    assert (answer.status, answer.json["text"]) == (200, TEXT.strip())


async def test_without_a_key_nobody_gets_in_and_what_is_taken_is_told(
    keys: Keys, start_gateway: GatewayStarter
) -> None:
    keys.create()
    status, why = await refused(await start_gateway(access=keys.access))
    assert status == 401
    assert why.startswith("credentials-missing: ")
    assert "Taken here: API keys." in why


async def test_a_wrong_secret_is_refused_as_a_key_that_does_not_exist_is(
    keys: Keys, start_gateway: GatewayStarter
) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    wrong = await refused(gateway, **bearer(f"parley_{id_of(key)}_{OTHER_SECRET}"))
    assert wrong[1].startswith("invalid-token: ")
    assert wrong == await refused(gateway, **bearer(UNKNOWN))


@pytest.mark.parametrize(
    "sent",
    ["parley_", "parley_short", f"{UNKNOWN}A", UNKNOWN.upper(), f"{UNKNOWN},{UNKNOWN}", "another-token", ""],
)
async def test_what_is_no_key_is_refused(keys: Keys, start_gateway: GatewayStarter, sent: str) -> None:
    keys.create()
    assert await code(await start_gateway(access=keys.access), sent) == "invalid-token"


async def test_two_keys_at_once_are_refused_though_each_is_good(keys: Keys, start_gateway: GatewayStarter) -> None:
    one, other = keys.create(), keys.create("other")
    gateway = await start_gateway(access=keys.access)
    _, why = await refused(gateway, x_api_key=other, **bearer(one))
    assert why.startswith("invalid-token: ")


async def test_nothing_upstream_is_opened_for_whoever_is_refused(
    keys: Keys, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    keys.create()
    gateway = await start_gateway(access=keys.access)
    await code(gateway, UNKNOWN)
    assert vllm.sessions == []


async def test_a_file_without_keys_lets_nobody_in(keys: Keys, start_gateway: GatewayStarter) -> None:
    key = keys.create()
    keys.run("revoke", id_of(key))
    keys.run("prune")
    assert await code(await start_gateway(access=keys.access), key) == "invalid-token"


# ---- while it runs


async def test_a_key_that_is_made_later_opens(keys: Keys, start_gateway: GatewayStarter) -> None:
    keys.create()
    gateway = await start_gateway(access=keys.access)
    later = keys.create("later")
    assert (await transcribe(gateway, **bearer(later))).status == 200


async def test_a_key_that_is_revoked_opens_no_longer(keys: Keys, start_gateway: GatewayStarter) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    assert (await transcribe(gateway, **bearer(key))).status == 200
    keys.run("revoke", id_of(key))
    assert await code(gateway, key) == "invalid-token"


async def test_a_session_is_not_resumed_with_a_revoked_key(keys: Keys, start_gateway: GatewayStarter) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    session = await opted_in(gateway, additional_headers=bearer(key))
    session.client.abort()
    keys.run("revoke", id_of(key))
    refusal = await (await gateway.raw()).upgrade("/v1/realtime?resume=1", **bearer(key))
    assert (refusal.status, refusal.error["code"]) == (401, "invalid-token")


async def test_a_key_whose_time_is_over_is_told_so(keys: Keys, start_gateway: GatewayStarter) -> None:
    key = keys.create("captions", "--expires-in", "1h")
    gateway = await start_gateway(access=keys.access)
    keys.end(key)
    assert await code(gateway, key) == "expired-credentials"


async def test_a_wrong_secret_of_a_key_whose_time_is_over_is_not_told_so(
    keys: Keys, start_gateway: GatewayStarter
) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    keys.end(key)
    assert await code(gateway, f"parley_{id_of(key)}_{OTHER_SECRET}") == "invalid-token"


async def test_a_file_that_broke_leaves_the_keys_as_they_were_and_is_reported_once(
    keys: Keys, start_gateway: GatewayStarter, log: LogWatch
) -> None:
    key = keys.create()
    gateway = await start_gateway(access=keys.access)
    keys.path.write_text("[[key]]\nid = 'broken'\n")
    for _ in range(2):
        assert (await transcribe(gateway, **bearer(key))).status == 200
    assert len([one for one in log.messages if one.startswith("the API keys stay as they were: ")]) == 1


# ---- rotation


async def test_while_two_keys_overlap_both_open(keys: Keys, start_gateway: GatewayStarter) -> None:
    old = keys.create()
    gateway = await start_gateway(access=keys.access)
    new = keys.run("rotate", id_of(old), "--overlap", "7d")
    assert [(await transcribe(gateway, **bearer(key))).status for key in (old, new)] == [200, 200]


async def test_a_session_outlives_the_key_that_began_it(keys: Keys, start_gateway: GatewayStarter) -> None:
    old = keys.create()
    gateway = await start_gateway(access=keys.access)
    client = await gateway.connect(additional_headers=bearer(old))
    await client.name_model()
    keys.run("rotate", id_of(old))
    keys.end(old)
    assert await code(gateway, old) == "expired-credentials"
    assert await say(client) == TEXT


async def test_a_session_of_the_old_key_is_resumed_with_the_new_one(keys: Keys, start_gateway: GatewayStarter) -> None:
    old = keys.create()
    gateway = await start_gateway(access=keys.access)
    session = await opted_in(gateway, additional_headers=bearer(old))
    new = keys.run("rotate", id_of(old))
    keys.end(old)
    session.client.abort()
    await session.come_back(gateway, additional_headers=bearer(new))
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    assert session.texts == [TEXT]


async def test_a_session_is_not_resumed_with_anothers_key(keys: Keys, start_gateway: GatewayStarter) -> None:
    own, other = keys.create(), keys.create("other")
    gateway = await start_gateway(access=keys.access)
    session = await opted_in(gateway, additional_headers=bearer(own))
    ending = await claim(gateway, session.token, additional_headers=bearer(other))
    assert ending.error_code == "wrong-principal"


# ---- the policy file


class PolicyText:
    """A policy file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(ALLOW_ALL)

    def write(self, text: str) -> None:
        replacement = self.path.with_suffix(".new")
        replacement.write_text(text)
        replacement.chmod(0o600)
        replacement.replace(self.path)

    def deny(self, **lists: Sequence[str]) -> None:
        """Everything is allowed, but what these lists name."""
        fields = {"who": ["key:captions"], "actions": ["start"], **lists}
        rule = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
        self.write(f'{ALLOW_ALL}[[rule]]\nname = "not these"\neffect = "deny"\n{rule}')


@pytest.fixture
def policy(tmp_path: Path) -> PolicyText:
    return PolicyText(tmp_path / "policy.toml")


async def test_a_policy_denies_one_a_model_and_another_may_have_it(
    keys: Keys, policy: PolicyText, start_gateway: GatewayStarter
) -> None:
    policy.deny(models=[MODEL])
    denied, allowed = keys.create(), keys.create("other")
    gateway = await start_gateway(access={**keys.access, "policy_file": str(policy.path)})
    assert (await refused(gateway, **bearer(denied)))[0] == 403
    assert (await transcribe(gateway, **bearer(allowed))).status == 200


async def test_a_policy_that_denies_another_model_does_not_matter(
    keys: Keys, policy: PolicyText, start_gateway: GatewayStarter
) -> None:
    policy.deny(models=["another"])
    key = keys.create()
    gateway = await start_gateway(access={**keys.access, "policy_file": str(policy.path)})
    assert (await transcribe(gateway, **bearer(key))).status == 200


async def test_a_policy_denies_one_endpoint_of_two(keys: Keys, policy: PolicyText, vllm: FakeVllm) -> None:
    policy.deny(endpoints=["billing"])
    key = keys.create()
    gateway = Http2Gateway(
        vllm.url,
        [EndpointSettings(name="billing"), EndpointSettings(name="support")],
        access={**keys.access, "policy_file": str(policy.path)},
    )
    await gateway.start()
    try:
        headers = {"authorization": f"Bearer {key}"}
        async with part_client(gateway.http2_port) as client:
            status, name, _ = await client.invoke("billing", headers).refusal()
            assert (status, name) == (403, "AccessDeniedException")
            stream = client.invoke("support", headers)
            await stream.opened()
            await stream.send_turn(AUDIO)
            assert await stream.result() == TEXT
            await stream.end()
    finally:
        await gateway.close()


async def test_a_policy_that_changes_holds_for_whoever_comes_next_and_sessions_go_on(
    keys: Keys, policy: PolicyText, start_gateway: GatewayStarter
) -> None:
    key = keys.create()
    gateway = await start_gateway(access={**keys.access, "policy_file": str(policy.path)})
    client = await gateway.connect(additional_headers=bearer(key))
    await client.name_model()
    policy.deny()
    assert await code(gateway, key) == "forbidden"
    assert await say(client) == TEXT
    policy.write(ALLOW_ALL)
    assert (await transcribe(gateway, **bearer(key))).status == 200


async def test_a_policy_that_broke_stays_as_it_was_and_is_reported_once(
    keys: Keys, policy: PolicyText, start_gateway: GatewayStarter, log: LogWatch
) -> None:
    policy.deny()
    denied, allowed = keys.create(), keys.create("other")
    gateway = await start_gateway(access={**keys.access, "policy_file": str(policy.path)})
    policy.write('[[rule]]\nname = "all"\nwho = ["*"]\nactions = ["begin"]\n')
    assert await code(gateway, denied) == "forbidden"
    assert (await transcribe(gateway, **bearer(allowed))).status == 200
    assert len([one for one in log.messages if one.startswith("the policy's rules stay as they were: ")]) == 1


async def test_a_file_takes_the_place_of_what_holds_without_one(
    keys: Keys, policy: PolicyText, start_gateway: GatewayStarter
) -> None:
    policy.write('[[rule]]\nname = "one"\nwho = ["key:other"]\nactions = ["start"]\n')
    key = keys.create()
    gateway = await start_gateway(access={**keys.access, "policy_file": str(policy.path)})
    assert await code(gateway, key) == "forbidden"


# ---- what a node does not start with


def start_error(**access: object) -> list[str]:
    with pytest.raises(StartError) as caught:
        make_trust(gateway_settings("ws://127.0.0.1:1/v1/realtime", access=access))
    return str(caught.value).splitlines()


def test_a_file_of_keys_that_others_may_read_is_refused_with_the_fix(keys: Keys) -> None:
    keys.create()
    keys.path.chmod(0o644)
    (line,) = start_error(**keys.access)
    assert line.startswith("keys-unusable: ")
    assert "chmod 600" in line


def test_a_file_of_keys_that_is_not_there_is_refused(keys: Keys) -> None:
    (line,) = start_error(**keys.access)
    assert line.startswith("keys-unusable: ")
    assert line.endswith("No such file or directory.")


def test_every_problem_of_a_policy_is_told_with_the_number_of_its_rule(policy: PolicyText) -> None:
    policy.write(
        '[[rule]]\nname = "a"\nwho = ["*"]\nactions = ["begin"]\n[[rule]]\nname = "b"\nhwo = ["*"]\nactions = ["end"]\n'
    )
    lines = start_error(policy_file=str(policy.path))
    assert all(line.startswith("policy-unusable: ") for line in lines)
    assert [line.split(": ")[2] for line in lines] == ["rule 1", "rule 2", "rule 2"]
    assert "who was meant?" in lines[1]


def test_a_policy_that_others_may_change_is_refused(policy: PolicyText) -> None:
    policy.path.chmod(0o666)
    (line,) = start_error(policy_file=str(policy.path))
    assert "Others than its owner may change" in line
