"""The one way in: who sent a request, and whether they may do what they ask for.

```
identify(head)              which method knows the credential, and whose it is       refusals go to the audit log
allow(caller, action, of)   whether the policy lets them                             so do these
```
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from parley.access.action import Action, Target
from parley.access.audit import Audit, NoAudit
from parley.access.caller import NOBODY, Caller
from parley.access.identity import Authenticator, Identity, RequestHead
from parley.access.policy import DEFAULT_POLICY, Rules
from parley.access.principal import principal_of
from parley.core.errors import ParleyError


class Method(Authenticator, Protocol):
    """One kind of credential."""

    @property
    def name(self) -> str:
        """What it is called where what is taken is listed, as `API keys`."""

    @property
    def is_beside_others(self) -> bool:
        """Whether its credential may come beside one of another kind, which then says who it is: certificates do."""

    def recognises(self, request: RequestHead) -> bool:
        """Whether the request brings a credential of this kind, good or not."""


class Gate:
    """Says who sent a request, by the methods that the settings name, and what they may do, by the policy.

    Without any method everybody may come in as `anonymous`, told apart by what their credentials say: that is for a
    machine's own programs.
    `tenant_of` is the tenant that the settings put a caller into whose credential names none; empty for its own.
    """

    def __init__(
        self,
        methods: Sequence[Method] = (),
        *,
        policy: Rules = DEFAULT_POLICY,
        audit: Audit | None = None,
        tenant_of: Callable[[Caller], str] = lambda _: "",
        anonymous: Caller = NOBODY,
    ) -> None:
        self._anonymous = anonymous
        self._methods = tuple(methods)
        self._policy = policy
        self._tenant_of = tenant_of
        self.audit: Audit = audit or NoAudit()

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are."""
        return not self._methods

    def identify(self, request: RequestHead) -> Identity:
        """Who sent a request.

        Raises:
            ParleyError: credentials-missing, bad-request for two kinds of credentials at once, invalid-token for one of
                a kind that isn't taken here, or what the method says.
        """
        try:
            identity = self._authenticate(request)
        except ParleyError as error:
            self.audit.record("authenticate", outcome=error.code)
            raise
        caller = identity.caller
        tenant = caller.tenant or self._tenant_of(caller)
        return identity if tenant == caller.tenant else replace(identity, caller=replace(caller, tenant=tenant))

    def _authenticate(self, request: RequestHead) -> Identity:
        if not self._methods:
            principal = principal_of(next(iter(request.values("authorization")), ""))
            return Identity(replace(self._anonymous, principal=principal))
        found = [method for method in self._methods if method.recognises(request)]
        explicit = [method for method in found if not method.is_beside_others] or found
        if len(explicit) > 1:
            raise ParleyError("bad-request", "It brings credentials of more than one kind; send one.")
        if explicit:
            return explicit[0].authenticate(request)
        taken = f"Taken here: {', '.join(method.name for method in self._methods)}."
        if request.values("authorization"):
            raise ParleyError("invalid-token", f"It is none that is known. {taken}")
        raise ParleyError("credentials-missing", taken)

    def is_told(self, request: RequestHead) -> bool:
        """Whether a request says who sends it, rightly or not, beside what its connection says."""
        return bool(request.values("authorization")) or any(
            method.recognises(request) for method in self._methods if not method.is_beside_others
        )

    def allow(self, caller: Caller, action: Action, target: Target) -> None:
        """Whether a caller may do this.

        Raises:
            ParleyError: forbidden.
        """
        if not self.may(caller, action, target):
            self.audit.record(action, caller, tenant=target.tenant, outcome="forbidden")
            raise ParleyError("forbidden", f"The action is `{action}`.")

    def may(self, caller: Caller, action: Action, target: Target) -> bool:
        """Whether a caller may do this, where being refused is nothing to note."""
        return self._policy.decide(caller, action, target).is_allowed
