"""The admin API described in OpenAPI 3.1, from the table that it is answered from."""

from collections.abc import Iterable
from typing import Any

import msgspec

from parley import __version__
from parley.core.errors import ERRORS
from parley.server.admin.asking import Raw
from parley.server.admin.routes import PREFIX, ROUTES, Route

OPENAPI_PATH = f"{PREFIX}/openapi.json"

_REF = "#/components/schemas/{name}"
_EVERYWHERE = ("bad-request", "credentials-missing", "invalid-token", "forbidden", "internal-error")
_JSON = "application/json"


class ErrorDetail(msgspec.Struct):
    """An error of docs/errors.md: whose `fault` it is, whether to `retry`, and after how long."""

    code: str
    message: str
    fault: str
    retry: str
    retry_after_s: float | None
    type: str


class ErrorBody(msgspec.Struct):
    """Every answer that is not 200."""

    error: ErrorDetail


def document(routes: Iterable[Route] = ROUTES) -> dict[str, Any]:
    """The document."""
    routes = tuple(routes)
    given: list[type[Any]] = [kind for route in routes for kind in (route.gives, route.takes) if kind is not Raw]
    kinds: list[type[Any]] = list(dict.fromkeys([*given, ErrorBody]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of: dict[type[Any], dict[str, Any]] = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley's admin API",
            "version": __version__,
            "description": "What is live on a node, and what is to become of it. It shows nothing of what is said.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # On loopback a token may not be needed.
        "security": [{"token": []}, {}],
    }


def _operation(route: Route, schema_of: dict[type[Any], dict[str, Any]], components: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {} if route.gives is Raw else {_JSON: {"schema": schema_of[route.gives]}}
    content |= {media: {"schema": {"type": "string"}} for media in route.media}
    answer = {"description": "Done.", "content": content}
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{route.path.replace('/', '-').replace('{', '').replace('}', '')}",
        "summary": route.summary,
        "responses": {"200": answer, **_failures(route, schema_of[ErrorBody])},
    }
    parameters = list(_parameters(route, components))
    if parameters:
        operation["parameters"] = parameters
    if route.has_body:
        operation["requestBody"] = {"content": {_JSON: {"schema": schema_of[route.takes]}}}
    return operation


def _parameters(route: Route, components: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if route.target:
        yield {"name": route.target, "in": "path", "required": True, "schema": {"type": "string"}}
    if not route.has_body:
        for name, schema in components[route.takes.__name__]["properties"].items():
            yield {"name": name, "in": "query", "required": False, "schema": schema}


def _failures(route: Route, schema: dict[str, Any]) -> dict[str, Any]:
    """The answers of errors, by status: each lists its codes."""
    codes = [*_EVERYWHERE, *(("message-too-large",) if route.has_body else ()), *route.fails]
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(ERRORS[code].http_status), []).append(code)
    return {
        status: {
            "description": " ".join(f"`{code}`: {ERRORS[code].summary}" for code in found),
            "content": {_JSON: {"schema": schema}},
        }
        for status, found in by_status.items()
    }
