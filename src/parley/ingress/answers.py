"""Answers of plain HTTP routes: JSON, and the errors of the table."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from parley.core.errors import ParleyError
from parley.ingress.refusal import error_body, error_headers


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def error_response(error: ParleyError) -> web.Response:
    """An error of the table as an HTTP answer."""
    return web.Response(body=error_body(error), status=error.spec.http_status, headers=error_headers(error))


def method_not_allowed(error: web.HTTPMethodNotAllowed) -> web.Response:
    """A route was asked for with a method that it does not take: those that it does are named."""
    response = error_response(ParleyError("bad-request", f"The route takes {error.headers['Allow']}."))
    response.set_status(405)
    response.headers["Allow"] = error.headers["Allow"]
    return response


async def name_server(request: web.Request, response: web.StreamResponse) -> None:
    """Before an answer goes out: which releases of which libraries made it is nobody's business."""
    response.headers["Server"] = "parley"
