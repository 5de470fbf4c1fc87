"""`POST /v1/realtime/client_secrets`: a short-lived token, which whoever has a key of their own gives to a page.

The shape is OpenAI's: `{"expires_after": {"anchor": "created_at", "seconds": 60}, "session": {...}}` for
`{"value": "pt1...", "expires_at": 1795342560, "session": {...}}`.
"""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from parley.access.action import Target
from parley.access.browser_token import BrowserTokens
from parley.access.gate import Gate
from parley.access.identity import BodyGuard
from parley.core.errors import ParleyError
from parley.ingress.answers import error_response, json_response
from parley.ingress.continuing import check_body, refuse_body, take_body
from parley.ingress.request_heads import of_request

BODY_MAX_BYTES = 8_192
TTL_S = 60

_BODY_TIMEOUT_S = 10.0


class _Expiry(msgspec.Struct, frozen=True):
    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, msgspec.Meta(ge=1)] = TTL_S


class _Asked(msgspec.Struct, frozen=True):
    """`session` goes back as it came: the page sets its session up itself."""

    expires_after: _Expiry = _Expiry()
    session: dict[str, Any] = {}


class ClientSecrets:
    """The handler. Without `tokens` there is no such route."""

    def __init__(self, gate: Gate, tokens: BrowserTokens | None) -> None:
        self._gate = gate
        self._tokens = tokens

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Mint a token for whoever asks, who may start sessions."""
        try:
            if self._tokens is None:
                raise ParleyError("not-found", "Browser tokens are off here: access.browser_tokens.")
            identity = self._gate.identify(of_request(request))
            caller = identity.caller
            self._gate.allow(caller, "start", Target(caller.tenant_name))
        except ParleyError as error:
            return refuse_body(error)
        try:
            asked = await self._read(request, identity.body)
            token = self._tokens.mint(caller, asked.expires_after.seconds)
        except ParleyError as error:
            self._gate.audit.record("mint", caller, tenant=caller.tenant_name, outcome=error.code)
            return error_response(error)
        facts: dict[str, str | int | float | bool] = {"token": token.token_id, "expires_at": token.expires_at_s}
        self._gate.audit.record("mint", caller, tenant=caller.tenant_name, facts=facts)
        body = {"value": token.value, "expires_at": token.expires_at_s, "session": asked.session}
        return json_response(body, headers={"Cache-Control": "no-store"})

    @staticmethod
    async def _read(request: web.Request, guard: BodyGuard | None) -> _Asked:
        body = bytearray()
        check_body(request)
        take_body(request)
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > BODY_MAX_BYTES:
                        raise ParleyError("message-too-large", f"The body may be {BODY_MAX_BYTES} bytes long.")
        except TimeoutError:
            raise ParleyError("bad-request", f"The body did not come within {_BODY_TIMEOUT_S:g} s.") from None
        if guard is not None:
            guard.feed(bytes(body))
            guard.finish()
        if not body:
            return _Asked()
        try:
            return msgspec.json.decode(body, type=_Asked)
        except (msgspec.DecodeError, ValueError, RecursionError):
            detail = 'The body is to be JSON as {"expires_after": {"anchor": "created_at", "seconds": 60}}.'
            raise ParleyError("bad-request", detail) from None
