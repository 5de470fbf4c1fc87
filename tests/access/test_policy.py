"""Which rule decides: deny beats allow, and what no rule allows is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.action import ACTIONS, NODE_TARGET, Action, Target
from parley.access.caller import OPERATOR, Caller
from parley.access.policy import DEFAULT_POLICY, Policy, Rule, fits, labels

CALLER = Caller("1" * 64, "key:captions", "acme", frozenset({"writer"}), "api-key")
OWN = Target("acme", "speech", "voxtral")


def rule(**changes: object) -> Rule:
    return Rule(**{"name": "r", "who": ("*",), "actions": ACTIONS, **changes})  # type: ignore[arg-type]


def is_allowed(*rules: Rule, action: Action = "start", target: Target = OWN) -> bool:
    return Policy(rules).decide(CALLER, action, target).is_allowed


def test_without_a_rule_nothing_is_allowed() -> None:
    decision = Policy([]).decide(CALLER, "start", OWN)
    assert (decision.is_allowed, decision.rule) == (False, None)


def test_the_rule_that_allows_is_told() -> None:
    allowing = rule()
    assert Policy([rule(actions=()), allowing]).decide(CALLER, "start", OWN).rule is allowing


def test_one_that_denies_beats_those_before_and_behind_it() -> None:
    denying = rule(allows=False)
    decision = Policy([rule(), denying, rule()]).decide(CALLER, "start", OWN)
    assert (decision.is_allowed, decision.rule) == (False, denying)


@pytest.mark.parametrize(
    "who",
    ["key:captions", "key:cap*", "tenant:acme", "role:writer", "method:api-key", f"principal:{'1' * 64}", "*"],
)
def test_a_caller_is_named_by_any_of_its_labels(who: str) -> None:
    assert is_allowed(rule(who=("nobody", who)))


@pytest.mark.parametrize("who", ["key:other", "tenant:other", "role:reader", "captions", "KEY:captions", ""])
def test_a_rule_for_others_says_nothing(who: str) -> None:
    assert not is_allowed(rule(who=(who,)))


def test_somebody_of_no_name_and_no_tenant_has_the_labels_that_are_left() -> None:
    assert labels(Caller()) == ("method:none",)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (OWN, True),
        (Target("other", "speech", "voxtral"), False),
        (NODE_TARGET, False),
        (Target("acme", "music", "voxtral"), False),
        (Target("acme", "speech", "whisper"), False),
    ],
)
def test_a_rule_is_of_its_tenants_endpoints_and_models(target: Target, expected: bool) -> None:
    assert is_allowed(rule(endpoints=("sp*",), models=("voxtral",)), target=target) is expected


@pytest.mark.parametrize("narrowed", [{"models": ("voxtral",)}, {"endpoints": ("speech",)}])
def test_what_is_not_known_lets_nobody_begin_and_keeps_nobody_from_what_they_began(narrowed: dict[str, object]) -> None:
    unknown = Target("acme")
    allowing, denying = rule(**narrowed), rule(allows=False, **narrowed)
    assert not is_allowed(allowing, target=unknown)
    assert is_allowed(allowing, action="resume", target=unknown)
    assert not is_allowed(rule(), denying, target=unknown)
    assert is_allowed(rule(), denying, action="resume", target=unknown)


def test_any_tenant_may_be_meant_and_one_by_its_name() -> None:
    assert is_allowed(rule(tenants=("*",)), target=Target("other"))
    assert is_allowed(rule(tenants=("oth*",)), target=Target("other"))
    assert not is_allowed(rule(tenants=("oth*",)))


def test_the_own_tenant_of_a_caller_of_none_is_its_principal() -> None:
    alone = Caller("2" * 64)
    assert Policy([rule()]).decide(alone, "start", Target(alone.tenant_name)).is_allowed


@pytest.mark.parametrize("action", ACTIONS)
def test_who_says_to_be_the_node_does_not_own_it(action: Action) -> None:
    impostor = Caller("1" * 64, "jwt:https://issuer#somebody", "node")
    assert not Policy([rule()]).decide(impostor, action, NODE_TARGET).is_allowed


class TestWithoutAFile:
    @pytest.mark.parametrize("action", ACTIONS)
    def test_everybody_may_begin_and_resume_in_their_own_tenant(self, action: Action) -> None:
        assert DEFAULT_POLICY.decide(CALLER, action, OWN).is_allowed is (action in ("start", "resume"))

    @pytest.mark.parametrize("action", ACTIONS)
    def test_operators_may_do_everything_but_read(self, action: Action) -> None:
        operator = Caller("3" * 64, "operator", roles=frozenset({OPERATOR}))
        for target in (OWN, NODE_TARGET):
            assert DEFAULT_POLICY.decide(operator, action, target).is_allowed is (action != "read")

    def test_nobody_may_begin_in_anothers_tenant(self) -> None:
        assert not DEFAULT_POLICY.decide(CALLER, "start", Target("other")).is_allowed

    def test_its_rules_can_be_listed(self) -> None:
        assert [one.allows for one in DEFAULT_POLICY.rules] == [True, True]


_RULES = st.builds(
    Rule,
    name=st.just("r"),
    who=st.lists(st.sampled_from(["*", "key:captions", "tenant:other"]), max_size=2).map(tuple),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=8).map(tuple),
    allows=st.booleans(),
    tenants=st.lists(st.sampled_from(["own", "*", "other"]), max_size=2).map(tuple),
)


@given(st.lists(_RULES, max_size=6), st.sampled_from(ACTIONS), st.randoms())
def test_the_order_of_rules_decides_nothing(rules: list[Rule], action: Action, random: object) -> None:
    shuffled = sorted(rules, key=lambda _: random.random())  # type: ignore[attr-defined]
    decisions = [Policy(order).decide(CALLER, action, OWN).is_allowed for order in (rules, shuffled)]
    assert decisions[0] is decisions[1]


@pytest.mark.parametrize(
    ("name", "pattern", "is_so"),
    [
        ("certificate:spiffe://[::1]/captions", "certificate:spiffe://[::1]/captions", True),
        ("certificate:spiffe://[::1]/captions", "certificate:spiffe://[::1]/*", True),
        ("certificate:spiffe://:/captions", "certificate:spiffe://[::1]/captions", False),
        ("jwt:https://i#team[a]", "jwt:https://i#team[a]", True),
        ("jwt:https://i#teama", "jwt:https://i#team[a]", False),
        ("jwt:https://i#team[!a]", "jwt:https://i#team[!a]", True),
        ("jwt:https://i#[", "jwt:https://i#[", True),
        ("jwt:https://i#]", "jwt:https://i#?", True),
        ("key:Captions", "key:captions", False),
    ],
)
def test_a_bracket_stands_for_itself(name: str, pattern: str, is_so: bool) -> None:
    assert fits(name, pattern) is is_so
    rule = Rule(name="nobody of these", who=(pattern,), actions=("start",), allows=False, tenants=("*",))
    assert rule.applies(Caller(name=name, tenant="acme"), "start", Target("acme")) is is_so
