"""What may be done, and to what: the words that rules, refusals and the audit log use."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Action = Literal["start", "resume", "observe", "read", "end", "move", "drain", "admin"]
"""`observe` is that a session exists, and its numbers; `read` is what was said in it."""

ACTIONS: tuple[Action, ...] = get_args(Action)

NODE = "node"
"""The tenant of what is no tenant's: the node itself, its model servers, its keys."""

TENANT = re.compile(r"(?!node\Z)(?=.{1,63}\Z)[a-zA-Z0-9](-*[a-zA-Z0-9])*")
"""The name of a tenant: 1 to 63 letters, digits and hyphens between them, and not the node's."""

TENANT_RULE = "1 to 63 letters, digits and hyphens between them, and not `node`"


@dataclass(frozen=True, slots=True)
class Target:
    """What something is done to: whose it is, and where; empty where that is not known or does not matter."""

    tenant: str = ""
    endpoint: str = ""
    model: str = ""


NODE_TARGET = Target(tenant=NODE)
