"""A page and its files, read once and served from memory, as routes of an aiohttp application.

```
static/captions/index.html      GET /                          page_routes("captions", "/")
static/captions/*               GET /static/captions/*
static/shared/*                 GET /static/shared/*           theme, icons: for every page
```
Names are looked up among the files that were read, never on a disk; any other is the application's ordinary 404. The
files hold nothing of anybody, so whoever asks gets them.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

INDEX = "index.html"
SHARED = "shared"
FILE_MAX_BYTES = 1_048_576
"""More than this is no file of a page: it would be kept in memory for nothing."""

_CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {connect}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    # Asked about at each use and answered with 304: a new release is seen at once, and never half of it.
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), screen-wake-lock=(self), fullscreen=(self), camera=(), geolocation=()",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory. `etag` is of its content: equal content has equal tags on every node."""

    name: str
    content_type: str
    content: bytes = field(repr=False)
    etag: str = ""

    @classmethod
    def read(cls, source: Traversable) -> "StaticFile":
        """Read one.

        Raises:
            ValueError: it is of a kind that pages are not made of, or too large.
        """
        suffix = source.name[source.name.rfind(".") :]
        content_type = _CONTENT_TYPES.get(suffix)
        if content_type is None:
            raise ValueError(f"{source.name} is of no kind that pages are made of: {', '.join(_CONTENT_TYPES)}.")
        content = source.read_bytes()
        if len(content) > FILE_MAX_BYTES:
            raise ValueError(f"{source.name} is over {FILE_MAX_BYTES} bytes long.")
        return cls(source.name, content_type, content, hashlib.sha256(content).hexdigest()[:32])

    async def answer(self, request: web.Request) -> web.Response:
        """The file, or 304 to somebody who has it."""
        headers = dict(_HEADERS)
        headers["Content-Security-Policy"] = _POLICY.format(connect=_connectable(request.headers.get("Host", "")))
        response: web.Response
        if _has_tag(request, self.etag):
            response = web.Response(status=304, headers=headers)
        else:
            headers["Content-Type"] = self.content_type
            response = web.Response(body=self.content, headers=headers)
        response.etag = self.etag
        return response


def files_of(folder: str) -> list[StaticFile]:
    """The files of a folder under `static`, by name.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: one of them is not to be served.
    """
    sources = resources.files("parley.web") / "static" / folder
    return sorted((StaticFile.read(source) for source in sources.iterdir()), key=lambda file: file.name)


def page_routes(folder: str, at: str) -> list[web.RouteDef]:
    """The routes of the page in `folder`: its index.html is at the path `at`, everything beside it under
    `/static/FOLDER/`, what pages share under `/static/shared/`. The page names them relative to itself, so `at` is `/`
    or `/NAME`.

    GET and HEAD are answered, the latter without the content. Raises what `files_of` does.
    """
    files = {file.name: file for file in files_of(folder)}
    return [
        web.get(at, files.pop(INDEX).answer),
        web.get(f"/static/{folder}/{{file}}", _answering(files)),
        web.get(f"/static/{SHARED}/{{file}}", _answering({file.name: file for file in files_of(SHARED)})),
    ]


def _answering(files: Mapping[str, StaticFile]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        file = files.get(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound
        return await file.answer(request)

    return answer


def _has_tag(request: web.Request, etag: str) -> bool:
    """Whether If-None-Match names this content (RFC 9110, section 13.1.2: weakly compared)."""
    try:
        tags = request.if_none_match or ()
    except ValueError:
        return False
    return any(tag.value in (etag, "*") for tag in tags)


def _connectable(host: str) -> str:
    """What a page may connect to: where it came from, and nothing else.

    Older browsers don't take 'self' for WebSockets, so the host is named as well; only if it is a plain one, as it
    becomes part of a header.
    """
    if not _HOST.fullmatch(host):
        return "'self'"
    return f"'self' ws://{host} wss://{host}"
