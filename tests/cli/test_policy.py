"""`parley policy`: who may do what, and why."""

from pathlib import Path

import pytest

from parley.access.action import NODE_TARGET
from parley.access.identity import RequestHead
from parley.access.operator_token import OperatorToken
from parley.access.policy import DEFAULT_POLICY
from parley.access.principal import principal_of_key
from parley.cli import main
from parley.cli.policy import _OF_NOTHING, _OF_TENANTS, _OF_THE_NODE
from parley.server.admin.routes import ROUTES

POLICY = """
[[rule]]
name = "captions may speak"
who = ["key:captions", "tenant:acme"]
actions = ["start", "resume"]
models = ["voxtral*"]

[[rule]]
name = "leads may look"
who = ["role:lead"]
actions = ["observe", "end"]
tenants = ["*"]

[[rule]]
name = "nobody ends"
who = ["*"]
actions = ["end"]
effect = "deny"
tenants = ["*"]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main.run(["policy", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "status", "lines"),
    [
        (
            ("key:captions", "start", "model=voxtral-mini"),
            0,
            [
                "key:captions may start in its own tenant, model voxtral-mini.",
                '  the rule "captions may speak" allows it',
            ],
        ),
        (
            ("key:captions", "start", "model=whisper"),
            1,
            [
                "key:captions may not start in its own tenant, model whisper.",
                "  no rule allows it",
                '  the rule "captions may speak" would allow it, but is not of this model',
            ],
        ),
        (
            ("key:captions", "start"),
            1,
            [
                "key:captions may not start in its own tenant.",
                "  no rule allows it",
                '  the rule "captions may speak" would allow it for some models alone: give model=NAME',
            ],
        ),
        (
            ("jwt:https://i#me", "resume", "--tenant", "acme"),
            0,
            [
                "jwt:https://i#me may resume in its own tenant.",
                '  the rule "captions may speak" allows it for any model, though it names some',
            ],
        ),
        (
            ("operator", "observe", "tenant=other", "--role", "lead"),
            0,
            ["operator may observe in the tenant other.", '  the rule "leads may look" allows it'],
        ),
        (
            ("aws:AKID", "end", "tenant=other", "--role", "lead"),
            1,
            [
                "aws:AKID may not end in the tenant other.",
                '  the rule "nobody ends" denies it',
                '  the rule "leads may look" would allow it, but a rule that denies beats it',
            ],
        ),
        (("certificate:x", "drain", "node"), 1, ["certificate:x may not drain the node.", "  no rule allows it"]),
    ],
)
def test_a_decision_is_explained(
    policy: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, lines: list[str]
) -> None:
    found, out, _ = run(capsys, "check", *arguments, "--file", str(policy))
    assert (found, out.splitlines()) == (status, lines)


def test_without_a_file_what_holds_then_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "key:a", "start")[0] == 0
    assert run(capsys, "check", "key:a", "drain", "node", "--role", "operator")[0] == 0
    assert run(capsys, "check", "key:a", "read", "--role", "operator")[0] == 1
    assert run(capsys, "check", "key:a", "drain", "node")[0] == 1


def test_the_operator_has_the_role_that_its_token_gives(capsys: pytest.CaptureFixture[str]) -> None:
    identity = OperatorToken("x" * 16).authenticate(RequestHead("GET", "/", ()))
    assert DEFAULT_POLICY.decide(identity.caller, "drain", NODE_TARGET).is_allowed
    assert run(capsys, "check", "operator", "drain", "node")[0] == 0


NARROWED = """
[[rule]]
name = "some may speak"
who = ["key:*"]
actions = ["start", "end"]
endpoints = ["parley"]
models = ["small*"]

[[rule]]
name = "nobody on the large one"
who = ["*"]
actions = ["start", "end", "drain"]
effect = "deny"
tenants = ["*"]
models = ["large"]

[[rule]]
name = "operators drain"
who = ["role:operator"]
actions = ["drain"]
tenants = ["node"]
models = ["small"]
"""


@pytest.mark.parametrize(
    ("arguments", "status", "reasons"),
    [
        (
            ("key:a", "start", "endpoint=parley", "model=small"),
            0,
            ['the rule "some may speak" allows it'],
        ),
        (
            ("key:a", "start", "endpoint=parley"),
            1,
            [
                'the rule "nobody on the large one" denies it for any model, though it names some: give model=NAME',
            ],
        ),
        (
            ("key:a", "start", "model=small"),
            1,
            [
                "no rule allows it",
                'the rule "some may speak" would allow it for some endpoints alone: give endpoint=NAME',
            ],
        ),
        (
            ("key:a", "end"),
            0,
            [
                'the rule "some may speak" allows it for any endpoint and model, though it names some: '
                "give endpoint=NAME model=NAME",
                'the rule "nobody on the large one" would deny it for some models alone: give model=NAME',
            ],
        ),
        (("operator", "drain", "node"), 0, ['the rule "operators drain" allows it']),
    ],
)
def test_rules_that_name_what_is_not_known_are_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, reasons: list[str]
) -> None:
    (tmp_path / "policy.toml").write_text(NARROWED)
    found, out, _ = run(capsys, "check", *arguments, "--file", str(tmp_path / "policy.toml"))
    assert (found, [line.strip() for line in out.splitlines()[1:]]) == (status, reasons)


def test_rules_may_name_a_caller_by_its_principal_as_the_server_computes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    who = [f"principal:{principal_of_key(name)}" for name in ("AKID", "key:captions")]
    (tmp_path / "policy.toml").write_text(f'[[rule]]\nname = "a"\nwho = {who}\nactions = ["start"]\n')
    for name, status in (("aws:AKID", 0), ("key:captions", 0), ("key:AKID", 1)):
        assert run(capsys, "check", name, "start", "--file", str(tmp_path / "policy.toml"))[0] == status


def test_a_rule_that_lacks_two_things_is_no_near_miss(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "check", "key:captions", "start", "tenant=other", "model=whisper", "--file", str(policy))
    assert out.splitlines()[1:] == ["  no rule allows it"]


@pytest.mark.parametrize(
    ("arguments", "lacking"),
    [
        (("key:other", "start", "model=voxtral"), "this caller"),
        (("key:captions", "end", "model=voxtral"), ""),
        (("key:captions", "read", "model=voxtral"), "this action"),
        (("key:captions", "start", "model=voxtral", "tenant=other"), "this tenant"),
    ],
)
def test_a_near_miss_says_what_it_lacks(
    policy: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], lacking: str
) -> None:
    status, out, _ = run(capsys, "check", *arguments, "--file", str(policy))
    assert status == 1
    assert ("captions may speak" in out) == bool(lacking)
    assert not lacking or f"is not of {lacking}" in out


def test_the_file_may_come_from_the_environment(
    policy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_ACCESS_POLICY_FILE", str(policy))
    assert run(capsys, "check", "key:other", "start")[0] == 1


def test_rules_are_shown_those_that_deny_first(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "show", "--file", str(policy))
    assert [line.split()[0] for line in out.splitlines()] == ["EFFECT", "deny", "allow", "allow"]


def test_a_rule_of_every_action_is_shown_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.toml").write_text('[[rule]]\nname = "all"\nwho = ["*"]\nactions = ["*"]\n')
    _, out, _ = run(capsys, "show", "--file", str(tmp_path / "policy.toml"))
    assert out.splitlines()[1].split()[:3] == ["allow", "*", "*"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bob", "start"), "WHO is to be `operator`, or a name after one of aws:, key:, jwt:, certificate:"),
        (("key", "start"), "WHO is to be `operator`, or a name after one of aws:, key:"),
        (("key:", "start"), "WHO is to be `operator`, or a name after one of aws:, key:"),
        (("operator:x", "start"), "WHO is to be `operator`, or a name after one of aws:, key:"),
        (("key:a", "start", "model="), "WHAT is `node`, or any of"),
        (("key:a", "drain", "node", "model=a"), "WHAT is `node`, or any of"),
        (("key:a", "dance"), "dance"),
        (("key:a", "start", "planet=earth"), "WHAT is `node`, or any of"),
        (("key:a", "start", "model=a", "model=b"), "WHAT is `node`, or any of"),
    ],
)
def test_what_can_not_be_meant_so_is_misuse(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    status, _, err = run(capsys, "check", *arguments)
    assert status == 2
    assert said in err


@pytest.mark.parametrize("what", [("show",), ("check", "key:a", "start")])
def test_a_file_that_is_wrong_is_told_apart_from_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: tuple[str, ...]
) -> None:
    (tmp_path / "policy.toml").write_text("[[rule]]\n")
    status, _, err = run(capsys, *what, "--file", str(tmp_path / "policy.toml"))
    assert status == 2
    assert "rule 1: name is missing" in err


def test_a_file_that_is_not_there_is_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "check", "key:a", "start", "--file", str(tmp_path / "none.toml"))
    assert status == 2
    assert "No such file" in err


def test_a_key_in_place_of_a_name_is_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "check", "parley_0123456789ab_" + "c" * 43, "start")
    assert status == 2
    assert "cccc" not in out + err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("operator", "drain"), "  a server asks it of the node alone: give node"),
        (("operator", "move", "node"), "  a server asks it of tenants alone"),
        (("key:a", "start", "node"), "  a server asks it of tenants alone"),
        (("operator", "admin"), "  no route asks for admin: whoever may, may do nothing by it"),
    ],
)
def test_what_no_server_asks_is_told_so(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str
) -> None:
    assert line in run(capsys, "check", *arguments)[1].splitlines()


@pytest.mark.parametrize(
    "arguments", [("drain", "node"), ("observe", "node"), ("end", "node"), ("start",), ("read",), ("observe",)]
)
def test_what_a_server_asks_is_told_without_more(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert "asks" not in run(capsys, "check", "operator", *arguments)[1]


def test_what_servers_ask_is_what_their_routes_say() -> None:
    of_the_node = {route.action for route in ROUTES if route.scope == "node"}
    of_tenants = {route.action for route in ROUTES if route.scope in ("session", "timeline", "sessions", "record")}
    assert not of_the_node & (_OF_TENANTS | _OF_NOTHING)
    assert not of_tenants & (_OF_THE_NODE | _OF_NOTHING)
