"""What is shown of a tenant."""

import hashlib

_PRINCIPAL_CHARS = 64
_SHOWN_CHARS = 8


def shown_tenant(name: str) -> str:
    """The name, if it is one: a principal is made of credentials, and is shown as a hash of it."""
    if len(name) < _PRINCIPAL_CHARS:
        return name
    return "~" + hashlib.sha256(name.encode()).hexdigest()[:_SHOWN_CHARS]
