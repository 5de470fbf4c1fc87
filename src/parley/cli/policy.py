"""`parley policy`: what the rules let whom do, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from parley.access.action import ACTIONS, NODE, Action, Target
from parley.access.caller import OPERATOR, Caller, Method
from parley.cli.failure import Misuse

if TYPE_CHECKING:
    from parley.access.policy import Policy, Rule

_REFUSED = 1
_OF_NOTHING = frozenset({"admin"})
_OF_THE_NODE = frozenset({"drain"})
_OF_TENANTS = frozenset({"start", "resume", "read", "move"})
_WHAT_KEYS = ("tenant", "endpoint", "model")
_METHODS = {"aws": "sigv4", "key": "api-key", "jwt": "jwt", "certificate": "certificate"}
_OPERATORS_METHOD = "operator-token"

_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PARLEY_ACCESS_POLICY_FILE",
    help="The rules, access.policy_file of the server; without it, what holds where there is none.",
)


@click.group("policy")
def command() -> None:
    """Show and try out the rules of who may do what."""


@command.command("show")
@_FILE
def show(path: Path | None) -> None:
    """Show the rules, those that deny first."""
    from parley.cli.table import print_table

    rules = sorted(_policy(path).rules, key=lambda rule: rule.allows)
    header = ("EFFECT", "WHO", "ACTIONS", "TENANTS", "ENDPOINTS", "MODELS", "RULE")
    lists = [(rule.who, _actions(rule), rule.tenants, rule.endpoints, rule.models) for rule in rules]
    rows = [
        ("allow" if rule.allows else "deny", *(", ".join(each) for each in columns), rule.name)
        for rule, columns in zip(rules, lists, strict=True)
    ]
    print_table(header, rows, spare=("MODELS", "ENDPOINTS", "TENANTS"))


@command.command("check")
@click.argument("who")
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("what", nargs=-1)
@_FILE
@click.option("--tenant", default="", help="The tenant that WHO is of.")
@click.option("--role", "roles", multiple=True, help="A role of WHO. May be given again.")
def check(
    who: str, action: Action, what: tuple[str, ...], path: Path | None, tenant: str, roles: tuple[str, ...]
) -> None:
    """Explain whether WHO may do ACTION to WHAT.

    WHO is a caller as rules name it, such as key:captions, aws:AKID, jwt:ISSUER#SUBJECT or operator. WHAT is `node`, or
    any of tenant=NAME, endpoint=NAME and model=NAME; without a tenant it is WHO's own. What isn't given is not known,
    as endpoint and model are not to a server when a session is resumed: nobody starts by a rule that asks for it. Exit
    status: 0 allowed, 1 refused, 2 wrong usage or a file that is wrong.
    """
    caller = _caller(who, tenant, roles)
    target = _target(what, caller)
    policy = _policy(path)
    decision = policy.decide(caller, action, target)
    print(f"{who} {'may' if decision.is_allowed else 'may not'} {action} {_describe(target, caller)}.")
    for line in (*_reasons(policy, caller, action, target), *_never_asked(action, target)):
        print(f"  {line}")
    if not decision.is_allowed:
        raise click.exceptions.Exit(_REFUSED)


def _reasons(policy: "Policy", caller: Caller, action: Action, target: Target) -> list[str]:
    """Which rules decide, and what those that nearly would lack."""
    applying = [rule for rule in policy.rules if rule.applies(caller, action, target)]
    denying = [rule for rule in applying if not rule.allows]
    if denying:
        lines = [f'the rule "{rule.name}" denies it{_for_any(rule, action, target)}' for rule in denying]
        beaten = [
            f'the rule "{rule.name}" would allow it, but a rule that denies beats it'
            for rule in applying
            if rule.allows
        ]
        return lines + beaten
    near = [_near_miss(rule, caller, action, target, is_allowed=bool(applying)) for rule in policy.rules]
    told = [line for line in near if line]
    if applying:
        return [f'the rule "{rule.name}" allows it{_for_any(rule, action, target)}' for rule in applying] + told
    return ["no rule allows it", *told]


def _never_asked(action: Action, target: Target) -> tuple[str, ...]:
    """What to add where no server asks this, so that the answer says nothing of what can be done."""
    if action in _OF_NOTHING:
        return (f"no route asks for {action}: whoever may, may do nothing by it",)
    is_nodes = target.tenant == NODE
    if action in (_OF_TENANTS if is_nodes else _OF_THE_NODE):
        return (f"a server asks it of {'tenants alone' if is_nodes else 'the node alone: give node'}",)
    return ()


def _near_miss(rule: "Rule", caller: Caller, action: Action, target: Target, *, is_allowed: bool) -> str:
    """Why a rule that would decide otherwise does not, where it lacks but one thing; empty where it lacks more."""
    missing = rule.missing(caller, action, target)
    if not missing or rule.allows == is_allowed:
        return ""
    verb = "allow" if rule.allows else "deny"
    unknown, give = _unknown(rule, action, target)
    if give and all(what in {f"this {one}" for one in unknown} for what in missing):
        return f'the rule "{rule.name}" would {verb} it for some {_plural(unknown)} alone: {give}'
    if rule.allows and len(missing) == 1:
        return f'the rule "{rule.name}" would allow it, but is not of {missing[0]}'
    return ""


def _for_any(rule: "Rule", action: Action, target: Target) -> str:
    """What to add where a rule decides although it names some, as it isn't known which it is about."""
    unknown, give = _unknown(rule, action, target)
    if not unknown:
        return ""
    return f" for any {' and '.join(unknown)}, though it names some{give and f': {give}'}"


def _unknown(rule: "Rule", action: Action, target: Target) -> tuple[tuple[str, ...], str]:
    """Which of endpoint and model a rule names some of while the question has none, and what to add to the question:
    nothing where a server doesn't know them either."""
    if target.tenant == NODE:
        return (), ""
    asked = (("endpoint", rule.endpoints, target.endpoint), ("model", rule.models, target.model))
    unknown = tuple(name for name, patterns, value in asked if not value and "*" not in patterns)
    is_asked = bool(unknown) and action != "resume"
    return unknown, f"give {' '.join(f'{name}=NAME' for name in unknown)}" if is_asked else ""


def _plural(names: tuple[str, ...]) -> str:
    return " and ".join(f"{name}s" for name in names)


def _caller(who: str, tenant: str, roles: tuple[str, ...]) -> Caller:
    """A caller of this name, as the server makes it of its credentials."""
    from parley.access.operator_token import OPERATOR_NAME
    from parley.access.principal import principal_of_key

    kind, _, name = who.partition(":")
    is_operator = who == OPERATOR_NAME
    if not is_operator and (kind not in _METHODS or not name):
        raise Misuse(
            f"invalid-usage: WHO is to be `{OPERATOR_NAME}`, or a name after one of "
            f"{', '.join(f'{one}:' for one in _METHODS)}."
        )
    shown_by = _OPERATORS_METHOD if is_operator else _METHODS[kind]
    method: Method = next(one for one in get_args(Method) if one == shown_by)
    # Of the token's holder alone the role is certain.
    all_roles = frozenset((*roles, OPERATOR) if is_operator else roles)
    return Caller(principal_of_key(name if kind == "aws" else who), who, tenant, all_roles, method)


def _target(what: tuple[str, ...], caller: Caller) -> Target:
    if what == (NODE,):
        return Target(tenant=NODE)
    values: dict[str, str] = {}
    for one in what:
        key, equals, value = one.partition("=")
        if not equals or not value or key not in _WHAT_KEYS or key in values:
            raise Misuse(
                f"invalid-usage: WHAT is `{NODE}`, or any of {', '.join(f'{k}=NAME' for k in _WHAT_KEYS)}, not {one}."
            )
        values[key] = value
    return Target(values.get("tenant", caller.tenant_name), values.get("endpoint", ""), values.get("model", ""))


def _describe(target: Target, caller: Caller) -> str:
    if target.tenant == NODE:
        return "the node"
    whose = "its own tenant" if target.tenant == caller.tenant_name else f"the tenant {target.tenant}"
    more = [f"{name} {value}" for name, value in (("endpoint", target.endpoint), ("model", target.model)) if value]
    return ", ".join((f"in {whose}", *more))


def _actions(rule: "Rule") -> tuple[str, ...]:
    return ("*",) if set(rule.actions) == set(ACTIONS) else rule.actions


def _policy(path: Path | None) -> "Policy":
    from parley.access.policy import DEFAULT_POLICY, Policy
    from parley.access.policy_file import PolicyFile
    from parley.access.watched_file import FileError

    if path is None:
        return DEFAULT_POLICY
    try:
        return Policy(PolicyFile(path).rules)
    except FileError as error:
        raise Misuse(*(f"policy-unusable: {problem}" for problem in error.problems)) from None
