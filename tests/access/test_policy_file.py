"""Rules that an operator writes: read, changed while a server runs, and refused with the fix."""

from pathlib import Path

import pytest

from parley.access.action import ACTIONS, Target
from parley.access.caller import Caller
from parley.access.policy import Rule
from parley.access.policy_file import PolicyFile, parse_policy
from parley.access.watched_file import LOOK_INTERVAL_S, FileError

CALLER = Caller("1" * 64, "key:captions", "acme")
PLAIN = 'name = "one"\nwho = ["key:*"]\nactions = ["start"]\n'


def rule(text: str = PLAIN) -> str:
    return f"[[rule]]\n{text}"


def why(document: str) -> tuple[str, ...]:
    with pytest.raises(FileError) as caught:
        parse_policy(document.encode())
    return caught.value.problems


def test_a_rule_that_says_no_more_is_of_its_callers_own_tenants() -> None:
    (found,) = parse_policy(rule().encode()).rules
    assert found == Rule(name="one", who=("key:*",), actions=("start",), tenants=("own",))


def test_a_rule_says_all_that_there_is_to_say() -> None:
    more = 'effect = "deny"\ntenants = ["*", "node"]\nendpoints = ["a"]\nmodels = ["b"]\n'
    (found,) = parse_policy(rule(PLAIN.replace('"start"', '"*"') + more).encode()).rules
    assert found == Rule(
        name="one",
        who=("key:*",),
        actions=ACTIONS,
        allows=False,
        tenants=("*", "node"),
        endpoints=("a",),
        models=("b",),
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("", "There is no rule in it; write a table [[rule]] for each."),
        (rule('name = "one"\n'), "rule 1: who is missing."),
        (rule(PLAIN.replace("start", "strat")), "rule 1: actions is to be a list of some of start, resume"),
        (rule(PLAIN + 'effect = "maybe"\n'), "rule 1: effect is to be allow or deny."),
        (rule() + rule(), "rule 2: has the name of rule 1 again."),
        (rule(PLAIN.replace("key:*", "captions")), "rule 1: names nobody by 'captions': a caller is aws:, key:"),
        (rule(PLAIN.replace("key:*", "user:captions")), "rule 1: names nobody by 'user:captions'"),
        (
            rule(PLAIN.replace("key:*", "method:api_key")),
            "rule 1: names no method by 'method:api_key': one is none, sigv4",
        ),
        (rule(PLAIN + 'tenant = "a"\n'), "rule 1: there is no field tenant; tenants was meant?."),
    ],
)
def test_what_can_not_be_meant_so_is_refused_with_the_fix(document: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in why(document))


@pytest.mark.parametrize(
    "who",
    [
        *("*", "?ey:x", "operator", "role:a", "tenant:a", "jwt:https://i#s", "certificate:x"),
        *("method:jwt", "method:*-token", "method:*"),
    ],
)
def test_everybody_that_there_is_may_be_named(who: str) -> None:
    assert parse_policy(rule(PLAIN.replace("key:*", who)).encode()).rules


class TestAFile:
    def test_decides_as_its_rules_do(self, tmp_path: Path) -> None:
        (tmp_path / "policy.toml").write_text(rule())
        policy = PolicyFile(tmp_path / "policy.toml")
        assert policy.decide(CALLER, "start", Target("acme")).is_allowed
        assert not policy.decide(CALLER, "resume", Target("acme")).is_allowed
        assert len(policy.rules) == 1

    def test_is_read_again_when_it_has_changed(self, tmp_path: Path) -> None:
        path, now_s = tmp_path / "policy.toml", 100.0
        path.write_text(rule())
        policy = PolicyFile(path, clock=lambda: now_s)
        assert policy.decide(CALLER, "start", Target("acme")).is_allowed
        path.write_text(rule(PLAIN + 'effect = "deny"\n'))
        now_s += LOOK_INTERVAL_S
        assert not policy.decide(CALLER, "start", Target("acme")).is_allowed
