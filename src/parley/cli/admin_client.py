"""Asks a node's admin API, and says what to do when it does not answer."""

import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parley.cli.failure import Failure, Misuse
from parley.cli.tls_options import TlsChoice

_TIMEOUT_S = 10.0
_ANSWER_MAX_BYTES = 16_777_216
_PIECE_BYTES = 65_536
_PREFIX = "/admin/v1"
_PAGE = 1_000
_PREFIX_MIN_CHARS = 4
_AMBIGUOUS_MAX = 4
_ID_STEM = "sess-"


class Refused(Failure):
    """The node answered with an error of this `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The admin API sends nobody elsewhere, and the token is for nobody else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Nowhere."""


class AdminClient:
    """A node's admin API at this URL, with the token of that file if one is named; `tls` is for one that speaks TLS.

    Raises Misuse for a URL that is none and for a file that can't be used, Failure when the node does not do as asked.
    """

    def __init__(self, url: str, token_file: Path | None, tls: TlsChoice | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misuse("wrong-usage: --admin must be a URL such as http://127.0.0.1:9901.")
        if tls is not None and tls.is_given and parts.scheme != "https":
            # Whoever names certificates does not expect the token to go in the clear.
            raise Misuse("wrong-usage: --tls-ca-file and the like are for an admin API at an https:// URL.")
        context = None if tls is None else tls.context()
        self._url = url.rstrip("/").removesuffix(_PREFIX)
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token_file is not None:
            self._headers["Authorization"] = f"Bearer {_read(token_file)}"
        # A proxy has no business here.
        handlers = [urllib.request.ProxyHandler({}), _NoRedirects(), urllib.request.HTTPSHandler(context=context)]
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **query: object) -> Any:
        """What is there."""
        return self._ask("GET", _with_query(path, query))

    def post(self, path: str, **fields: object) -> Any:
        """Have something done; fields that are None are left to the node."""
        return self._ask("POST", path, {name: value for name, value in fields.items() if value is not None})

    def delete(self, path: str, **query: object) -> Any:
        """Take something back, or have it removed."""
        return self._ask("DELETE", _with_query(path, query))

    def download(self, path: str, file: Path) -> int:
        """What is there, into a file of this user's alone that is not there yet; how many bytes it was."""

        def save(answer: http.client.HTTPResponse) -> int:
            try:
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as error:
                raise Misuse(f"unwritable-output: {file} can't be written: {error.strerror}.") from None
            size = 0
            with open(descriptor, "wb", buffering=0) as out:
                while piece := answer.read(_PIECE_BYTES):
                    size += len(piece)
                    try:
                        out.write(piece)
                    except OSError as error:
                        raise Failure(f"unwritable-output: {file} can't be written: {error.strerror}.") from None
            return size

        return self._exchange("GET", path, None, save)

    def sessions(self, state: str = "", limit: int = _PAGE) -> tuple[list[dict[str, Any]], int, bool]:
        """So many sessions at the most, page by page; how many there are in all states; and whether more follow."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            size = min(_PAGE, limit - len(found))
            page = self.get("/sessions", state=state, limit=size, after=after)
            found += page["sessions"]
            after = page["next"]
            if not after or len(found) >= limit:
                return found, page["total"], bool(after)

    def find(self, given: str) -> str:
        """The id of the one session whose id begins so, with or without what all ids begin with."""
        stem = given if given.startswith(_ID_STEM) else _ID_STEM + given
        if len(stem) - len(_ID_STEM) < _PREFIX_MIN_CHARS:
            raise Misuse(f"wrong-usage: give {_PREFIX_MIN_CHARS} characters of the session's id at least.")
        page = self.get("/sessions", prefix=stem, limit=_AMBIGUOUS_MAX)
        found = [str(one["id"]) for one in page["sessions"]]
        if not found:
            raise Failure(
                f"session-not-found: no live session has an id that begins with {given}. `parley sessions` lists them; "
                "it may have ended, or have moved to another server."
            )
        if len(found) > 1:
            more = ", ..." if page["next"] else ""
            raise Misuse(
                f"wrong-usage: several sessions have ids that begin with {given}; give more of it: "
                f"{', '.join(found)}{more}"
            )
        return found[0]

    def find_any(self, given: str) -> tuple[str, bool]:
        """The id of the one session, live or ended lately, whose id begins so; and whether it lives."""
        try:
            return self.find(given), True
        except Failure as error:
            if "session-not-found" not in str(error):
                raise
            stem = given if given.startswith(_ID_STEM) else _ID_STEM + given
            found = [str(one["id"]) for one in self.get("/ended")["sessions"] if str(one["id"]).startswith(stem)]
            if not found:
                raise
            if len(found) > 1:
                raise Misuse(
                    f"wrong-usage: several sessions have ids that begin with {given}; give more of it: "
                    f"{', '.join(found[:_AMBIGUOUS_MAX])}"
                ) from None
            return found[0], False

    def _ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        body = None if fields is None else json.dumps(fields).encode()
        return self._exchange(method, path, body, lambda answer: json.loads(answer.read(_ANSWER_MAX_BYTES)))

    def _exchange[T](
        self, method: str, path: str, body: bytes | None, read: Callable[[http.client.HTTPResponse], T]
    ) -> T:
        request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
            self._url + _PREFIX + path, body, self._headers, method=method
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return read(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read(_ANSWER_MAX_BYTES)) from None
        except OSError as error:
            # What hangs up instead of answering is one of these as well.
            raise _unreachable(self._url, getattr(error, "reason", error)) from None
        except (ValueError, http.client.HTTPException):
            raise self._unknown("") from None

    def _refusal(self, status: int, body: bytes) -> Failure:
        try:
            error = json.loads(body)["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError, TypeError):
            return self._unknown(f"; it answered {status}")
        if code == "not-found":
            return Failure(
                f"admin-unknown: {self._url} is a Parley server, but not its admin API: most likely the port for "
                "clients. `parley serve --admin` says at its start where the admin API is, 9901 unless told otherwise."
            )
        if code in _EXPLANATIONS:
            return Refused(code, _EXPLANATIONS[code])
        return Refused(code, message)

    def _unknown(self, answer: str) -> Failure:
        return Failure(
            f"admin-unknown: what listens on {self._url} is no admin API of Parley's{answer}. "
            "--admin or PARLEY_ADMIN_URL says where it is."
        )


def _with_query(path: str, query: dict[str, object]) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urllib.parse.urlencode(given)}" if given else path


_EXPLANATIONS = {
    "credentials-missing": (
        "this admin API wants a token, and none was given. Name the file that holds it with --token-file or "
        "PARLEY_ADMIN_TOKEN_FILE; the server's is in admin.token_file. An API key or a JWT of an operator does as well."
    ),
    "invalid-token": (
        "the token that was given is not this server's. Name the file that holds it with --token-file or "
        "PARLEY_ADMIN_TOKEN_FILE: what the server's admin.token_file held when it started, or an operator's API key."
    ),
    "forbidden": (
        "whoever this token belongs to may not do this. The server's access.policy_file says who may; without one, the "
        "role `operator` does all but reading."
    ),
}
"""What to do about a refusal, from where the operator sits."""


def _unreachable(url: str, reason: object) -> Failure:
    if isinstance(reason, ssl.SSLCertVerificationError):
        why = reason.verify_message.rstrip(".")
        return Failure(
            f"admin-unreachable: {url} is not believed: its certificate is not accepted ({why}). Name the file of the "
            "authority that signed it with --tls-ca-file."
        )
    hung_up = isinstance(reason, ConnectionError) and not isinstance(reason, ConnectionRefusedError)
    if url.startswith("https:") and (hung_up or "ALERT" in str(reason)):
        return Failure(
            f"admin-unreachable: {url} hung up. If it asks for a client certificate, show one that it takes with "
            "--tls-certificate-file and --tls-key-file; the node's log may say more."
        )
    if isinstance(reason, ssl.SSLError):
        return Failure(
            f"admin-unreachable: {url} can't be asked over TLS ({reason.reason or 'no TLS'}). Without "
            "admin.tls_certificate_file the admin API speaks plain HTTP: give an http:// URL."
        )
    if hung_up:
        return Failure(
            f"admin-unreachable: {url} hung up without an answer. An admin API with admin.tls_certificate_file is at "
            "an https:// URL."
        )
    return Failure(
        f"admin-unreachable: nothing answers on {url} ({getattr(reason, 'strerror', None) or reason}). "
        "`parley serve --admin` opens the admin API there; --admin or PARLEY_ADMIN_URL says where else it is."
    )


def _read(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Misuse(f"token-unreadable: {path} can't be read: {reason}.") from None
    if not token or not token.isascii() or not token.isprintable():
        raise Misuse(f"token-unreadable: {path} holds no token: one line of ASCII characters.")
    return token
