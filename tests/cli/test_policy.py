"""`parley policy`: who may do what, and why."""

from pathlib import Path

import pytest

from parley.cli import main

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
                '  the rule "captions may speak" would allow it, but is not of this model',
            ],
        ),
        (
            ("jwt:https://i#me", "resume", "--tenant", "acme"),
            0,
            ["jwt:https://i#me may resume in its own tenant.", '  the rule "captions may speak" allows it'],
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
    assert run(capsys, "check", "operator", "drain", "node", "--role", "operator")[0] == 0
    assert run(capsys, "check", "operator", "read", "--role", "operator")[0] == 1


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
        (("bob", "start"), "WHO is to begin with one of aws:, key:"),
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
