"""Which caller may do what: rules, of which one that denies beats all that allow, and what none allows is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from parley.access.action import ACTIONS, NODE, Action, Target
from parley.access.caller import OPERATOR, Caller

OWN = "own"
"""Among a rule's tenants: whichever the caller is of."""

ANY = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. It applies when one pattern of each list fits (`*` and `?` stand for any characters and for any one).

    `who` is compared with the caller's name, and with `principal:HASH`, `tenant:NAME`, `role:NAME` and `method:NAME`;
    `tenants` with the target's, `own` standing for the caller's. Where an endpoint or a model is not known, rules that
    name some keep a caller from starting, and from nothing else.
    """

    name: str
    who: tuple[str, ...]
    actions: tuple[Action, ...]
    allows: bool = True
    tenants: tuple[str, ...] = (OWN,)
    endpoints: tuple[str, ...] = ANY
    models: tuple[str, ...] = ANY

    def applies(self, caller: Caller, action: Action, target: Target) -> bool:
        """Whether it says anything about this."""
        return not self.missing(caller, action, target)

    def missing(self, caller: Caller, action: Action, target: Target) -> tuple[str, ...]:
        """What of this it does not name, in words; nothing when it applies."""
        fits = {
            "this caller": any(_fits_any(label, self.who) for label in labels(caller)),
            "this action": action in self.actions,
            "this tenant": self._has_tenant(caller, target.tenant),
            "this endpoint": self._has(target.endpoint, self.endpoints, action),
            "this model": self._has(target.model, self.models, action),
        }
        return tuple(what for what, is_named in fits.items() if not is_named)

    def _has(self, name: str, patterns: tuple[str, ...], action: Action) -> bool:
        if name or ANY[0] in patterns:
            return _fits_any(name, patterns)
        # What is not known lets nobody begin, and keeps nobody from what they have begun.
        return self.allows is not (action == "start")

    def _has_tenant(self, caller: Caller, tenant: str) -> bool:
        others = tuple(pattern for pattern in self.tenants if pattern != OWN)
        # A credential may name any tenant, but the node is nobody's own.
        is_own = OWN in self.tenants and tenant == caller.tenant_name != NODE
        return is_own or _fits_any(tenant, others)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says, and by which rule; None when no rule applies."""

    is_allowed: bool
    rule: Rule | None


class Rules(Protocol):
    """Whatever decides: rules that stay, or those of a file that changes."""

    def decide(self, caller: Caller, action: Action, target: Target) -> Decision:
        """Whether a caller may do this."""


class Policy:
    """Rules in an order that decides nothing: any that denies beats any that allows."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules."""
        return self._rules

    def decide(self, caller: Caller, action: Action, target: Target) -> Decision:
        """Whether a caller may do this."""
        applying = [rule for rule in self._rules if rule.applies(caller, action, target)]
        denying = next((rule for rule in applying if not rule.allows), None)
        if denying is not None:
            return Decision(False, denying)
        return Decision(bool(applying), applying[0] if applying else None)


def labels(caller: Caller) -> tuple[str, ...]:
    """All that a rule's `who` may name a caller by."""
    named = [caller.name] if caller.name else []
    if caller.principal:
        named.append(f"principal:{caller.principal}")
    if caller.tenant:
        named.append(f"tenant:{caller.tenant}")
    return (*named, *(f"role:{role}" for role in sorted(caller.roles)), f"method:{caller.method}")


def fits(text: str, pattern: str) -> bool:
    """Whether a name is one that a pattern stands for."""
    # Brackets are parts of names, as of `spiffe://[::1]/captions`, and stand for themselves.
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _fits_any(text: str, patterns: Sequence[str]) -> bool:
    return any(fits(text, pattern) for pattern in patterns)


DEFAULT_POLICY = Policy(
    (
        Rule(name="everybody: sessions of one's own", who=ANY, actions=("start", "resume")),
        Rule(
            name="operators: everything but reading",
            who=(f"role:{OPERATOR}",),
            actions=tuple(action for action in ACTIONS if action != "read"),
            tenants=ANY,
        ),
    )
)
"""What holds without a policy file."""
