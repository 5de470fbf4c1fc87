"""Every route of every listener, asked with every kind of credential in every state: who gets what.

The table is written out below. What it says is compared with what a gateway answers, and its rows with what the routers
serve: a route that is added without a row fails here.
"""

from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from parley.engine.options import EngineOptions
from parley.engine.scripted import ScriptedEngine
from parley.engine.server import EngineServer
from parley.ingress.http2 import bidirectional
from parley.server.admin.openapi import document
from tests.engine.talk import serving
from tests.support.access_stage import CUT, OK, REALTIME, Key, Stage, exchanged, served, staged
from tests.support.credentials import STATES, Asked, Credential, Issuer, Shown
from tests.support.fake_vllm import FakeVllm
from tests.support.http2_routes import METHODS, OPERATION
from tests.support.logs import LogWatch
from tests.support.raw import UPGRADE, request

Row = Mapping[str, str]
"""What each state of credentials is answered with: an error's code, or OK."""


# ---- the table


def rows(codes: str) -> Row:
    """A row as it is written below."""
    return dict(zip(STATES, codes.split(), strict=True))


MISSING, INVALID, EXPIRED = "credentials-missing", "invalid-token", "expired-credentials"
ASKED = f"{MISSING} {INVALID} {EXPIRED}"

#                        none wrong expired stranger powerless observer right operator
ANYBODY = rows("ok ok ok ok ok ok ok ok")
# Pages and what they are made of: for anybody, also for a page of elsewhere.
PAGE = rows("ok ok ok ok ok ok ok ok")
NO_SUCH_FILE = rows(" ".join(["not-found"] * 8))
TOLD_TO_UPGRADE = rows(" ".join(["bad-request"] * 8))
TOLD_OTHERWISE = rows(f"{ASKED} {' '.join(['bad-request'] * 4)} {INVALID}")
KNOWN = rows(f"{ASKED} ok ok ok ok {INVALID}")
STARTS = rows(f"{ASKED} ok forbidden forbidden ok {INVALID}")
FIRST_EVENT = rows(f"ok {INVALID} {EXPIRED} ok forbidden forbidden ok {INVALID}")

UNSEEN, UNKEPT = "session-not-found", "nothing-retained"
DESCRIBED = rows(f"{ASKED} ok ok ok ok ok")
NODE = rows(f"{ASKED} forbidden forbidden forbidden ok ok")
NO_SUCH_SERVER = rows(f"{ASKED} forbidden forbidden forbidden upstream-not-found upstream-not-found")
NO_DRAIN = rows(f"{ASKED} forbidden forbidden forbidden not-draining not-draining")
SEEN = rows(f"{ASKED} {UNSEEN} {UNSEEN} ok ok ok")
CHANGED = rows(f"{ASKED} {UNSEEN} {UNSEEN} forbidden ok ok")
READ = rows(f"{ASKED} {UNKEPT} {UNKEPT} forbidden ok forbidden")
SHREDDED = rows(f"{ASKED} {UNKEPT} {UNKEPT} forbidden ok ok")
ALL_SHREDDED = rows(f"{ASKED} forbidden forbidden forbidden ok ok")

SAGEMAKER = "/invocations-bidirectional-stream"
SECRETS = "/v1/realtime/client_secrets"

TABLE: Mapping[Key, Row] = {
    Key("http", "GET", "/ping"): ANYBODY,
    Key("http", "HEAD", "/ping"): ANYBODY,
    Key("http", "POST", "/ping"): ANYBODY,
    Key("http", "GET", "/health"): ANYBODY,
    Key("http", "HEAD", "/health"): ANYBODY,
    Key("http", "GET", "/"): PAGE,
    Key("http", "HEAD", "/"): PAGE,
    Key("http", "GET", "/static/captions/{file}"): NO_SUCH_FILE,
    Key("http", "HEAD", "/static/captions/{file}"): NO_SUCH_FILE,
    Key("http", "GET", "/static/shared/{file}"): NO_SUCH_FILE,
    Key("http", "HEAD", "/static/shared/{file}"): NO_SUCH_FILE,
    Key("http", "GET", "/v1/models"): KNOWN,
    Key("http", "HEAD", "/v1/models"): KNOWN,
    Key("http", "POST", "/invocations"): STARTS,
    Key("http", "POST", SECRETS): STARTS,
    Key("http", "GET", REALTIME): TOLD_TO_UPGRADE,
    Key("http", "HEAD", REALTIME): TOLD_TO_UPGRADE,
    Key("http", "GET", SAGEMAKER): TOLD_TO_UPGRADE,
    Key("http", "HEAD", SAGEMAKER): TOLD_TO_UPGRADE,
    Key("websocket", "GET", REALTIME): STARTS,
    Key("websocket", "GET", SAGEMAKER): STARTS,
    # Nothing is begun yet: a token has to come, and be the same caller's.
    Key("websocket", "GET", f"{REALTIME}?resume=1"): KNOWN,
    # Nothing is begun yet: a credential has to come.
    Key("websocket", "GET", f"{REALTIME}?auth=event"): FIRST_EVENT,
    # A page of this server's own asks whether it may ask: nobody is asked who they are, and nothing is done.
    Key("preflight", "OPTIONS", "/invocations"): ANYBODY,
    Key("preflight", "OPTIONS", "/v1/models"): ANYBODY,
    Key("preflight", "OPTIONS", SECRETS): ANYBODY,
    Key("http2", "GET", "/ping"): ANYBODY,
    Key("http2", "POST", "/ping"): ANYBODY,
    Key("http2", "POST", OPERATION): STARTS,
    Key("http2", "POST", f"{OPERATION} v1/realtime"): STARTS,
    Key("http2", "POST", f"{OPERATION} invocations-bidirectional-stream"): STARTS,
    Key("http2", "POST", f"{OPERATION} v1/realtime?resume=1"): KNOWN,
    # That it takes POST alone is for those to know who may come in.
    **{Key("http2", method, OPERATION): TOLD_OTHERWISE for method in METHODS if method != "POST"},
    Key("admin", "GET", "/admin/v1/openapi.json"): DESCRIBED,
    Key("admin", "GET", "/metrics"): NODE,
    # The page holds nothing: what it shows it asks for.
    Key("admin", "GET", "/console"): ANYBODY,
    Key("admin", "HEAD", "/console"): ANYBODY,
    Key("admin", "GET", "/static/console/{file}"): NO_SUCH_FILE,
    Key("admin", "HEAD", "/static/console/{file}"): NO_SUCH_FILE,
    Key("admin", "GET", "/static/shared/{file}"): NO_SUCH_FILE,
    Key("admin", "HEAD", "/static/shared/{file}"): NO_SUCH_FILE,
    Key("admin", "GET", "/admin/v1/me"): DESCRIBED,
    Key("admin", "GET", "/admin/v1/watch"): DESCRIBED,
    Key("admin", "GET", "/admin/v1/node"): NODE,
    Key("admin", "GET", "/admin/v1/sessions"): DESCRIBED,
    Key("admin", "GET", "/admin/v1/sessions/{id}"): SEEN,
    Key("admin", "GET", "/admin/v1/sessions/{id}/timeline"): SEEN,
    Key("admin", "GET", "/admin/v1/ended"): DESCRIBED,
    Key("admin", "POST", "/admin/v1/sessions/{id}/end"): CHANGED,
    Key("admin", "POST", "/admin/v1/sessions/{id}/move"): CHANGED,
    Key("admin", "GET", "/admin/v1/upstreams"): NODE,
    Key("admin", "POST", "/admin/v1/upstreams/{name}/drain"): NO_SUCH_SERVER,
    Key("admin", "POST", "/admin/v1/upstreams/{name}/undrain"): NO_SUCH_SERVER,
    Key("admin", "POST", "/admin/v1/drain"): NODE,
    Key("admin", "DELETE", "/admin/v1/drain"): NO_DRAIN,
    Key("admin", "GET", "/admin/v1/retained"): DESCRIBED,
    Key("admin", "GET", "/admin/v1/sessions/{id}/transcript"): READ,
    Key("admin", "GET", "/admin/v1/sessions/{id}/audio"): READ,
    Key("admin", "DELETE", "/admin/v1/sessions/{id}/retained"): SHREDDED,
    Key("admin", "DELETE", "/admin/v1/retained"): ALL_SHREDDED,
}

OF_THE_ENGINE: Mapping[Key, bool] = {
    Key("engine", "GET", "/health"): False,
    Key("engine", "HEAD", "/health"): False,
    Key("engine", "GET", "/version"): True,
    Key("engine", "HEAD", "/version"): True,
    Key("engine", "GET", "/metrics"): True,
    Key("engine", "HEAD", "/metrics"): True,
    Key("engine", "GET", "/v1/models"): True,
    Key("engine", "HEAD", "/v1/models"): True,
    Key("engine", "GET", "/v1/realtime"): True,
    Key("engine", "HEAD", "/v1/realtime"): True,
}
"""Whether a route wants the key that the gateway shares with its engine."""


def expected(key: Key, credential: Credential) -> str:
    """What the table says of this credential; kinds differ in how they are wrong, and in where they are taken."""
    kind, state = credential.kind, credential.state
    if kind == "certificate" and state in ("wrong", "expired"):
        return CUT
    row = TABLE[key]
    if row is FIRST_EVENT and kind == "certificate":
        # Beside a certificate a credential of another kind may come, and this is where it would.
        return OK
    if row["wrong"] != INVALID:
        return row[state]
    if kind in ("presigned", "subprotocol") and key.listener == "admin":
        return MISSING
    if kind == "browser-token" and key.listener == "admin":
        return INVALID
    if kind == "presigned" and (key.method != "GET" or key.listener == "http2"):
        return "invalid-signature"
    if kind in ("sigv4", "presigned") and state == "wrong":
        return "invalid-signature"
    if kind == "sigv4" and state == "expired":
        return "clock-skew"
    if kind in ("browser-token", "subprotocol") and key.path == SECRETS and row[state] == OK:
        return "forbidden"
    return row[state]


@pytest.fixture
async def stage(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(vllm.url, tmp_path) as stage:
        yield stage


# ---- that it is complete


async def test_every_route_that_is_served_has_a_row_and_every_row_is_served(stage: Stage) -> None:
    assert {key._replace(path=key.path.partition("?")[0]) for key in TABLE} == await stage.routes()


def test_every_route_of_the_embedded_engine_has_a_row() -> None:
    with ThreadPoolExecutor(1) as executor:
        engine = EngineServer(EngineOptions(), ScriptedEngine(), executor)
        assert served("engine", engine._app()) == set(OF_THE_ENGINE)


@pytest.mark.parametrize("listener", ["http", "admin"])
async def test_a_route_that_is_added_without_a_row_is_found(stage: Stage, listener: str) -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/secret", handler, allow_head=False)
    assert served(listener, app) - set(TABLE) == {Key(listener, "GET", "/v1/secret")}
    gateway = stage.gateway._gateway
    assert gateway is not None
    assert gateway._admin is not None
    runner = gateway._port._runner if listener == "http" else gateway._admin._runner
    monkey = runner._app
    try:
        runner._app = app
        assert Key(listener, "GET", "/v1/secret") in await stage.routes()
    finally:
        runner._app = monkey


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("_PING_PATH", "/v1/secret", Key("http2", "GET", "/v1/secret")),
        ("_SESSION_PATHS", ("", "v1/secret"), Key("http2", "POST", f"{OPERATION} v1/secret")),
    ],
)
async def test_what_http2_serves_without_a_row_is_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, place: str, value: object, expected: Key
) -> None:
    monkeypatch.setattr(bidirectional, place, value)
    assert expected in await stage.routes() - set(TABLE)


async def test_an_operation_that_http2_gets_without_a_row_is_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, log: LogWatch
) -> None:
    log.expect_errors("parley.ingress")
    # Where it is named does not matter, nor what comes of it.
    monkeypatch.setattr(bidirectional, "_SECRET_PATH", "/v1/secret", raising=False)
    monkeypatch.setattr(bidirectional, "is_operation", lambda request: request.target == "/v1/secret")
    assert Key("http2", "PUT", "/v1/secret") in await stage.routes() - set(TABLE)


def test_every_route_of_the_admin_apis_description_has_a_row() -> None:
    described = {(method.upper(), path) for path, item in document()["paths"].items() for method in item}
    rest = {("GET", "/admin/v1/openapi.json"), ("GET", "/metrics")}
    of_the_api = {key for key in TABLE if key.listener == "admin" and not key.path.startswith(("/console", "/static/"))}
    assert described | rest == {(key.method, key.path) for key in of_the_api}


def test_every_kind_of_credential_comes_right_and_wrong(tmp_path: Path) -> None:
    made = {(one.kind, one.state) for one in Issuer(tmp_path).credentials}
    kinds = {kind for kind, _ in made} - {"none", "operator-token"}
    assert kinds == {"api-key", "sigv4", "presigned", "jwt", "browser-token", "subprotocol", "certificate"}
    assert {(kind, state) for kind in kinds for state in ("right", "wrong", "expired")} <= made
    assert {("api-key", state) for state in STATES} - made == {("api-key", "none"), ("api-key", "operator")}


# ---- that it holds


@pytest.mark.parametrize("listener", ["http", "websocket", "preflight", "http2", "admin"])
async def test_every_row_holds_for_every_credential(stage: Stage, listener: str) -> None:
    wrong: list[str] = []
    asked = 0
    for key in (key for key in TABLE if key.listener == listener):
        for credential in stage.issuer.credentials:
            answer = await stage.ask(key, credential)
            asked += 1
            if not answer.is_what(expected(key, credential)):
                wrong.append(f"{key.method} {key.path}, {credential}: {answer.code}, not {expected(key, credential)}")
    assert wrong == []
    assert asked >= 3 * len(STATES), "there was something to ask"


@pytest.mark.parametrize("is_key_right", [True, False])
async def test_the_engine_of_a_node_takes_its_own_key_and_nobodys_credentials(
    tmp_path: Path, is_key_right: bool
) -> None:
    engine_key = "k" * 43
    wrong: list[str] = []
    given = [
        *Issuer(tmp_path).credentials,
        Credential("engine", "right", lambda asked: Shown(asked.target, {"Authorization": f"Bearer {engine_key}"})),
    ]
    async with serving(EngineOptions(port=0, engine="scripted", api_key=engine_key)) as address:
        port = int(address.rpartition(":")[2])
        for key, wants_key in OF_THE_ENGINE.items():
            for credential in given:
                if (credential.kind == "engine") is not is_key_right:
                    continue
                upgrade = UPGRADE if key.path == REALTIME else {}
                shown = credential.show(Asked(key.method, key.path, f"127.0.0.1:{port}"))
                headers = {**upgrade, "Host": f"127.0.0.1:{port}", **shown.headers}
                is_head = key.method == "HEAD"
                answer = await exchanged(port, None, request(shown.target, headers, key.method), is_head=is_head)
                code = INVALID if "Authorization" in shown.headers else MISSING
                code = OK if is_key_right or not wants_key else code
                if not answer.is_what(code):
                    wrong.append(f"{key.method} {key.path}, {credential}: {answer}, not {code}")
    assert wrong == []
