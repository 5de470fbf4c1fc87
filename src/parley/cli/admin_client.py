"""Asks a node's admin API, and says what to do when it does not answer."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from parley.cli.failure import Failure, Misuse

_TIMEOUT_S = 10.0
_ANSWER_MAX_BYTES = 16_777_216
_PREFIX = "/admin/v1"
_PAGE = 1_000
_PREFIX_MIN_CHARS = 4
_ID_STEM = "sess-"


class AdminClient:
    """A node's admin API at this URL, with the token of that file if one is named.

    Raises Misuse for a URL that is none and for a file that can't be read, Failure when the node does not do as asked.
    """

    def __init__(self, url: str, token_file: Path | None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misuse("wrong-usage: --admin must be a URL such as http://127.0.0.1:9901.")
        self._url = url.rstrip("/").removesuffix(_PREFIX)
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token_file is not None:
            self._headers["Authorization"] = f"Bearer {_read(token_file)}"
        # A proxy has no business here.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, **query: object) -> Any:
        """What is there."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(given)}" if given else path)

    def post(self, path: str, **fields: object) -> Any:
        """Have something done; fields that are None are left to the node."""
        return self._ask("POST", path, {name: value for name, value in fields.items() if value is not None})

    def delete(self, path: str) -> Any:
        """Take something back."""
        return self._ask("DELETE", path)

    def sessions(self, state: str = "", limit: int = _PAGE) -> tuple[list[dict[str, Any]], int]:
        """So many sessions at the most, page by page, and how many there are in all states."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            size = min(_PAGE, limit - len(found))
            page = self.get("/sessions", state=state, limit=size, after=after)
            found += page["sessions"]
            after = page["next"]
            if not after or len(found) >= limit:
                return found, page["total"]

    def find(self, given: str) -> str:
        """The id of the one session whose id begins so, with or without what all ids begin with."""
        stem = given if given.startswith(_ID_STEM) else _ID_STEM + given
        if len(stem) - len(_ID_STEM) < _PREFIX_MIN_CHARS:
            raise Misuse(f"wrong-usage: give {_PREFIX_MIN_CHARS} characters of the session's id at least.")
        found = [one["id"] for one in self.sessions(limit=1_000_000)[0] if one["id"].startswith(stem)]
        if not found:
            raise Failure(
                f"session-not-found: no live session has an id that begins with {given}. `parley sessions` lists them; "
                "it may have ended, or have moved to another server."
            )
        if len(found) > 1:
            raise Misuse(f"wrong-usage: {len(found)} sessions have ids that begin with {given}; give more of it.")
        return str(found[0])

    def _ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        body = None if fields is None else json.dumps(fields).encode()
        request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
            self._url + _PREFIX + path, body, self._headers, method=method
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read(_ANSWER_MAX_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.read(_ANSWER_MAX_BYTES), self._url) from None
        except ValueError:
            raise Failure(f"admin-unknown: what listens on {self._url} is no admin API of Parley's.") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise Failure(
                f"admin-unreachable: nothing answers on {self._url} ({getattr(reason, 'strerror', None) or reason}). "
                "`parley serve --admin` opens the admin API there; --admin or PARLEY_ADMIN_URL says where else it is."
            ) from None


def _refusal(status: int, body: bytes, url: str) -> Failure:
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return Failure(f"admin-unknown: what listens on {url} is no admin API of Parley's; it answered {status}.")
    if code == "invalid-token":
        return Failure(
            "invalid-token: this admin API takes a token that was not given, or another one. Name the file that holds "
            "it with --token-file or PARLEY_ADMIN_TOKEN_FILE; the server's is in admin.token_file."
        )
    return Failure(f"{code}: {message}")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Misuse(f"token-unreadable: {path} can't be read: {reason}.") from None
