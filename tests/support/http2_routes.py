"""What the HTTP/2 listener serves. It has no router that could be read, so it is asked: for every path and every
invocation path that its own code names, with every method. What is not `not-found` is served."""

import ast
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from http import HTTPStatus
from types import ModuleType

from parley.ingress import http2
from parley.server import http2 as composition
from parley.wire.event_stream import CONTENT_TYPE
from tests.support.http2 import Http2Client

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OPERATION = "/endpoints/{endpoint}/invocations-bidirectional-stream"
INVOCATION_PATH = "x-amzn-sagemaker-model-invocation-path"
INVOCATION_QUERY = "x-amzn-sagemaker-model-query-string"

_GROUP = re.compile(r"\([^()]*\)")
_PATH = re.compile(r"/[!-~]{0,200}")
_INVOCATION_PATH = re.compile(r"[A-Za-z0-9\-._]{1,100}(/[A-Za-z0-9\-._]{1,100}){0,9}")


def modules() -> Iterator[ModuleType]:
    """All that the listener is made of."""
    for found in pkgutil.iter_modules(http2.__path__, f"{http2.__name__}."):
        yield __import__(found.name, fromlist=["_"])
    yield composition


def texts() -> set[str]:
    """All texts that are in their code, or the values of their names, patterns among them."""
    found: set[str] = set()
    for module in modules():
        tree = ast.parse(inspect.getsource(module))
        found |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        for name, value in vars(module).items():
            if not name.startswith("__"):
                found |= set(_within(value))
    return found


def _within(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, re.Pattern):
        yield str(value.pattern)
    elif isinstance(value, tuple | list | set | frozenset | dict):
        for one in value:
            yield from _within(one)


def candidates() -> tuple[set[str], set[str]]:
    """Paths, and invocation paths, that may be served."""
    named = texts()
    paths = {_GROUP.sub("parley", text) for text in named if text.startswith("/")}
    return {path for path in paths if _PATH.fullmatch(path)}, {
        text for text in named if _INVOCATION_PATH.fullmatch(text)
    }


async def served_over_http2(client: Http2Client, headers: dict[str, str]) -> set[tuple[str, str]]:
    """The method and path of each route, with a space and the invocation path behind the operation's.

    `headers` are somebody's who may do everything.
    """
    paths, invoked = candidates()
    found = set()
    for path in sorted(paths):
        for method in METHODS:
            if await _is_there(client, path, method, headers):
                found.add((method, path.replace("/endpoints/parley/", "/endpoints/{endpoint}/")))
    at = OPERATION.replace("{endpoint}", "parley")
    for path in sorted(invoked):
        if await _is_there(client, at, "POST", {**headers, INVOCATION_PATH: path}):
            found.add(("POST", f"{OPERATION} {path}"))
    return found


async def _is_there(client: Http2Client, path: str, method: str, headers: dict[str, str]) -> bool:
    stream = client.open(path, {"content-type": CONTENT_TYPE, **headers}, method=method)
    status, _ = await stream.head()
    if status < HTTPStatus.BAD_REQUEST:
        stream.reset()
        return True
    # An operation's answer to an invocation path that it does not know has another status.
    return bool(json.loads(await stream.read_all())["ErrorCode"] != "not-found")
