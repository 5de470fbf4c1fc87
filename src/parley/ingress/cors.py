"""What a browser is told of plain HTTP routes, so that pages of allowed origins may ask them (Fetch, "CORS protocol").

Never that credentials of its own may come along: cookies mean nothing here.
"""

from aiohttp import web

from parley.ingress.origins import ANY_ORIGIN, Origins
from parley.ingress.request_heads import of_request

CLIENT_SECRETS_PATH = "/v1/realtime/client_secrets"
_METHODS = {"/invocations": "POST", "/v1/models": "GET", CLIENT_SECRETS_PATH: "POST"}
_REQUEST_HEADERS = "authorization, content-type, x-api-key, x-amz-content-sha256, x-amz-date, x-amz-security-token"
_ANSWER_HEADERS = "retry-after, x-amzn-errortype"
_MAX_AGE_S = 600


class Cors:
    """Checks where requests are from, answers preflights, and marks what may be read by whom."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def check(self, request: web.Request) -> web.Response | None:
        """The answer to a preflight; None for any other request that may go on.

        Raises:
            ParleyError: origin-forbidden.
        """
        origin = self._origins.check(of_request(request))
        asked = request.headers.get("Access-Control-Request-Method")
        if not origin or request.method != "OPTIONS" or asked is None or request.path not in _METHODS:
            return None
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": _METHODS[request.path],
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": str(_MAX_AGE_S),
            },
        )

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say before an answer begins that the page which asked may read it, if it was taken."""
        origin = request.headers.get("Origin", "")
        if not origin or request.path not in _METHODS or not self._origins.allows(of_request(request)):
            return
        if self._origins.allows_all:
            response.headers["Access-Control-Allow-Origin"] = ANY_ORIGIN
        else:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        response.headers["Access-Control-Expose-Headers"] = _ANSWER_HEADERS
