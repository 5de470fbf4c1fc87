"""The operator's token: one secret in a file, for whoever looks after a node."""

import hmac

from parley.access.caller import OPERATOR, Caller
from parley.access.identity import Identity, RequestHead
from parley.access.principal import principal_of_key

OPERATOR_NAME = "operator"
_CALLER = Caller(principal_of_key(OPERATOR_NAME), OPERATOR_NAME, roles=frozenset({OPERATOR}), method="operator-token")


class OperatorToken:
    """A `Method` for a bearer token that is compared with the one that the settings name."""

    name = "the operator's token"
    is_beside_others = False

    def __init__(self, token: str) -> None:
        self._expected = token.encode()

    def __repr__(self) -> str:
        return "OperatorToken()"

    def recognises(self, request: RequestHead) -> bool:
        """Whether it brings this token. Another one may be a credential of another kind."""
        return any(self._is_it(value) for value in request.values("authorization"))

    def authenticate(self, request: RequestHead) -> Identity:
        """Whoever has it is the operator."""
        return Identity(_CALLER)

    def _is_it(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        # The time that the comparison takes says nothing of where they differ.
        is_same = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._expected)
        return is_same and scheme.lower() == "bearer"
