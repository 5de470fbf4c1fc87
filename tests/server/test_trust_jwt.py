"""JWTs at a whole gateway whose issuer is a real server: who gets in, which keys count, and what its absence does."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from tests.access.jwt.tokens import AUDIENCE, EC, ED, OTHER_RSA, RSA, jwk, key_set, raw
from tests.server.http2_gateway import Http2Gateway
from tests.server.part_client import part_client
from tests.support.admin import AdminApi, free_port
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import Answer, post
from tests.support.logs import LogWatch
from tests.support.raw import UPGRADE, request, text_frame
from tests.support.resuming import claim, opted_in
from tests.support.sound import pcm, wav
from tests.support.voxtral import transcript
from tests.support.waiting import Changes, bounded

AUDIO = pcm(1.0)
TEXT = transcript(16_000)
OFTEN_S = 0.02
RARELY_S = 3_600.0
ONE = key_set(jwk(RSA, kid="one"), jwk(EC, kid="curve"), jwk(RSA, kid="other-algorithm", alg="RS512"))
TWO = key_set(jwk(ED, kid="two"))
PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Issuer:
    """Publishes its keys, and says where, as OpenID Connect Discovery has it. `asked` counts looks at the keys."""

    def __init__(self) -> None:
        self.port = free_port()
        self.document = ONE
        self.status = 200
        self.asked = 0
        self.lured = 0
        self.signed: list[str] = []
        self._changes = Changes()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def trap(self) -> str:
        """Where nobody has a reason to look."""
        return f"{self.url}/trap"

    def access(self, interval_s: float = OFTEN_S, **more: Any) -> dict[str, Any]:
        """The settings that name it."""
        return {"jwt_issuer": self.url, "jwt_audience": AUDIENCE, "jwt_keys_interval_s": interval_s, **more}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good ones, with changes; None takes one out."""
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "somebody", "exp": time.time() + 600}
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, key: Any = RSA, algorithm: str = "RS256", kid: str | None = "one", **changes: Any) -> str:
        """A token of this key."""
        return self.forged({} if kid is None else {"kid": kid}, key, algorithm, **changes)

    def forged(self, header: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", **changes: Any) -> str:
        """A token with any header."""
        self.signed.append(jwt.encode(self.claims(**changes), key, algorithm=algorithm, headers=header))
        return self.signed[-1]

    def by_secret(self, secret: bytes) -> str:
        """A token for whose signature what is public was taken for a secret."""
        body = raw(b'{"alg":"HS256","kid":"one"}', json.dumps(self.claims()).encode()).rsplit(".", 1)[0]
        signature = urlsafe_b64encode(hmac.digest(secret, body.encode(), "sha256")).rstrip(b"=").decode()
        return f"{body}.{signature}"

    async def until_learned(self) -> None:
        """Wait until what it publishes now is what the gateway knows: keys are fetched one time after the other, so the
        second look from here on begins when the first one's answer has been taken in."""
        looks = self.asked + 2
        await self._changes.until("its keys are looked at twice more", lambda: self.asked >= looks)

    async def until_asked(self, times: int) -> None:
        await self._changes.until(f"it was asked {times} times", lambda: self.asked >= times)

    async def start(self) -> None:
        application = web.Application()
        application.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._configure),
                web.get("/keys", self._keys),
                web.get("/trap", self._lure),
            ]
        )
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _configure(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, _: web.Request) -> web.StreamResponse:
        self.asked += 1
        self._changes.notify()
        return web.Response(body=self.document, status=self.status)

    async def _lure(self, _: web.Request) -> web.StreamResponse:
        self.lured += 1
        return web.Response(body=key_set(jwk(OTHER_RSA, kid="one")))


@pytest.fixture
async def absent(log: LogWatch) -> AsyncIterator[Issuer]:
    """An issuer that has not started. No token of its may be in the log."""
    one = Issuer()
    yield one
    await one.close()
    assert [text for text in one.signed if text in log.everything or text.rsplit(".", 1)[1] in log.everything] == []


@pytest.fixture
async def issuer(absent: Issuer) -> Issuer:
    await absent.start()
    return absent


@pytest.fixture
async def gateway(issuer: Issuer, start_gateway: GatewayStarter) -> RunningGateway:
    """One that knows the issuer's keys and looks for others all the time."""
    gateway = await start_gateway(access=issuer.access())
    await issuer.until_learned()
    return gateway


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def transcribe(gateway: RunningGateway, token: str) -> Answer:
    return await post(gateway, "/invocations", wav(AUDIO), Content_Type="audio/wav", **bearer(token))


async def say(client: Client) -> str:
    """A turn; its text."""
    await client.send_turn(AUDIO)
    return await client.result()


async def refused(gateway: RunningGateway, token: str) -> tuple[int, str]:
    """How a WebSocket and a POST are refused, which has to be in the same way: the status and the code."""
    upgrade = await (await gateway.raw()).upgrade(**bearer(token))
    answer = await transcribe(gateway, token)
    said = {(upgrade.status, str(upgrade.error["code"])), (answer.status, answer.code)}
    assert len(said) == 1, said
    return said.pop()


async def eventually(what: str, is_true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true: what a gateway fetches in the background wakes nobody here."""

    async def until() -> None:
        while not await is_true():
            pass

    await bounded(what, until())


# ---- who gets in


async def test_a_token_opens_a_websocket(issuer: Issuer, gateway: RunningGateway) -> None:
    client = await gateway.connect(additional_headers=bearer(issuer.token()))
    await client.name_model()
    assert await say(client) == TEXT


async def test_a_token_has_a_recording_transcribed(issuer: Issuer, gateway: RunningGateway) -> None:
    answer = await transcribe(gateway, issuer.token(EC, "ES256", "curve"))
    assert (answer.status, answer.json["text"]) == (200, TEXT.strip())


async def test_a_token_opens_a_stream_of_http2(issuer: Issuer, vllm: FakeVllm) -> None:
    gateway = Http2Gateway(vllm.url, access=issuer.access())
    await gateway.start()
    try:
        await issuer.until_learned()
        async with part_client(gateway.http2_port) as client:
            stream = client.invoke("parley", {"authorization": f"Bearer {issuer.token()}"})
            await stream.opened()
            await stream.send_turn(AUDIO)
            assert await stream.result() == TEXT
            await stream.end()
            status, _, _ = await client.invoke(
                "parley", {"authorization": f"Bearer {issuer.token(OTHER_RSA)}"}
            ).refusal()
            assert status == 401
    finally:
        await gateway.close()


async def test_a_token_is_taken_as_the_first_event(issuer: Issuer, gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    assert (await socket.upgrade("/v1/realtime?auth=event")).status == 101
    socket.send(text_frame("session.authenticate", token=issuer.token()))
    assert (await socket.frame()).event["type"] == "session.created"


async def test_without_a_token_nobody_gets_in_and_what_is_taken_is_told(gateway: RunningGateway) -> None:
    refusal = await (await gateway.raw()).upgrade()
    assert (refusal.status, refusal.error["code"]) == (401, "credentials-missing")
    assert "Taken here: JWTs." in str(refusal.error["message"])


async def test_one_whose_time_is_over_is_told_so(issuer: Issuer, gateway: RunningGateway) -> None:
    assert (await refused(gateway, issuer.token(exp=time.time() - 60)))[1] == "expired-credentials"


@pytest.mark.parametrize(("roles", "status"), [(["operator"], 200), ("speaker operator", 200), (["speaker"], 403)])
async def test_roles_of_a_token_count_on_the_admin_port(
    issuer: Issuer, start_gateway: GatewayStarter, roles: object, status: int
) -> None:
    port = free_port()
    await start_gateway(access=issuer.access(), admin={"port": port})
    await issuer.until_learned()
    assert (await AdminApi(port, issuer.token(roles=roles)).ask("GET", "node")).status == status


# ---- forgeries

FORGERIES: dict[str, Callable[[Issuer], str]] = {
    "no algorithm": lambda issuer: raw(b'{"alg":"none","kid":"one"}', json.dumps(issuer.claims()).encode()),
    "the public key as a secret": lambda issuer: issuer.by_secret(PUBLIC_PEM),
    "the published key as a secret": lambda issuer: issuer.by_secret(json.dumps(jwk(RSA, kid="one")).encode()),
    "the whole document as a secret": lambda issuer: issuer.by_secret(ONE),
    "another's key": lambda issuer: issuer.token(OTHER_RSA),
    "an algorithm that the settings don't name": lambda issuer: issuer.token(RSA, "PS256"),
    "a key of another type": lambda issuer: issuer.token(RSA, "RS256", "curve"),
    "a key of its own": lambda issuer: issuer.forged({"kid": "one", "jwk": jwk(OTHER_RSA)}, OTHER_RSA),
    "an address of its keys": lambda issuer: issuer.forged({"kid": "one", "jku": issuer.trap}, OTHER_RSA),
    "an address of its certificate": lambda issuer: issuer.forged({"kid": "one", "x5u": issuer.trap}, OTHER_RSA),
    "a good signature and a key of its own": lambda issuer: issuer.forged({"kid": "one", "jwk": jwk(RSA)}),
    "a good signature and an address of its keys": lambda issuer: issuer.forged({"kid": "one", "jku": issuer.trap}),
    "a good signature by a key that is for another algorithm": lambda issuer: issuer.token(kid="other-algorithm"),
    "an address as the id of its key": lambda issuer: issuer.token(OTHER_RSA, kid=issuer.trap),
    "a path as the id of its key": lambda issuer: issuer.token(OTHER_RSA, kid="../../../../dev/null"),
    "a query as the id of its key": lambda issuer: issuer.token(OTHER_RSA, kid="x' OR '1'='1"),
    "a zero in the id of its key": lambda issuer: issuer.token(OTHER_RSA, kid="one\0"),
    "a long id of its key": lambda issuer: issuer.token(OTHER_RSA, kid="x" * 4_000),
    "something to be understood": lambda issuer: issuer.forged({"kid": "one", "crit": ["exp"], "exp": 1}),
    "no signature": lambda issuer: issuer.token().rsplit(".", 1)[0] + ".",
    "half a signature": lambda issuer: issuer.token()[:-100],
    "another issuer": lambda issuer: issuer.token(iss="https://other.example"),
    "another service": lambda issuer: issuer.token(aud=["billing", "mail"]),
    "no service": lambda issuer: issuer.token(aud=None),
    "no end": lambda issuer: issuer.token(exp=None),
    "a beginning that lies ahead": lambda issuer: issuer.token(nbf=time.time() + 600),
    "nobody": lambda issuer: issuer.token(sub=None),
    "a tenant that is none": lambda issuer: issuer.token(tenant={"name": "acme"}),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_token_with_this_opens_nothing_and_leads_nowhere(
    issuer: Issuer, gateway: RunningGateway, vllm: FakeVllm, forge: Callable[[Issuer], str]
) -> None:
    assert await refused(gateway, forge(issuer)) == (401, "invalid-token")
    assert (vllm.sessions, issuer.lured) == ([], 0)


async def test_two_tokens_at_once_are_refused_though_each_is_good(issuer: Issuer, gateway: RunningGateway) -> None:
    lines = [f"Authorization: Bearer {issuer.token(sub=sub)}".encode() for sub in ("one", "other")]
    socket = await gateway.raw()
    socket.send(request("/v1/realtime", UPGRADE).removesuffix(b"\r\n") + b"\r\n".join([*lines, b"", b""]))
    answer = await socket.response()
    assert (answer.status, answer.error["code"]) == (401, "invalid-token")


# ---- keys that change


async def test_a_new_key_opens_and_the_one_it_replaced_does_not(issuer: Issuer, gateway: RunningGateway) -> None:
    issuer.document = TWO
    await issuer.until_learned()
    assert (await transcribe(gateway, issuer.token(ED, "EdDSA", "two"))).status == 200
    assert await refused(gateway, issuer.token()) == (401, "invalid-token")


async def test_a_key_that_is_not_known_is_looked_for_although_none_was_due(
    issuer: Issuer, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(access=issuer.access(RARELY_S))
    await eventually("the first key opens", lambda: _opens(gateway, issuer.token()))
    issuer.document = TWO
    await eventually("the new key opens", lambda: _opens(gateway, issuer.token(ED, "EdDSA", "two")))


async def _opens(gateway: RunningGateway, token: str) -> bool:
    return (await transcribe(gateway, token)).status == 200


async def test_a_session_goes_on_when_its_key_is_replaced(issuer: Issuer, gateway: RunningGateway) -> None:
    client = await gateway.connect(additional_headers=bearer(issuer.token()))
    await client.name_model()
    issuer.document = TWO
    await issuer.until_learned()
    assert await say(client) == TEXT


async def test_a_session_is_resumed_with_a_token_of_the_new_key(issuer: Issuer, gateway: RunningGateway) -> None:
    session = await opted_in(gateway, additional_headers=bearer(issuer.token()))
    issuer.document = TWO
    await issuer.until_learned()
    session.client.abort()
    await session.come_back(gateway, additional_headers=bearer(issuer.token(ED, "EdDSA", "two")))
    await session.client.send_turn(AUDIO)
    await session.until("transcription.done")
    assert session.texts == [TEXT]


async def test_a_session_is_not_resumed_with_a_token_of_a_key_that_was_replaced(
    issuer: Issuer, gateway: RunningGateway
) -> None:
    session = await opted_in(gateway, additional_headers=bearer(issuer.token()))
    issuer.document = TWO
    await issuer.until_learned()
    session.client.abort()
    refusal = await (await gateway.raw()).upgrade("/v1/realtime?resume=1", **bearer(issuer.token()))
    assert (refusal.status, refusal.error["code"]) == (401, "invalid-token")


async def test_a_session_is_not_resumed_with_another_subjects_token(issuer: Issuer, gateway: RunningGateway) -> None:
    session = await opted_in(gateway, additional_headers=bearer(issuer.token()))
    ending = await claim(gateway, session.token, additional_headers=bearer(issuer.token(sub="another")))
    assert ending.error_code == "wrong-principal"


# ---- an issuer that is away


async def test_while_its_keys_were_never_seen_nobody_gets_in_and_is_told_to_come_back(
    absent: Issuer, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(access=absent.access())
    assert await refused(gateway, absent.token()) == (503, "keys-unavailable")
    assert "Retry-After" in (await transcribe(gateway, absent.token())).headers
    assert vllm.sessions == []


async def test_an_issuer_that_comes_later_than_the_gateway_is_found(
    absent: Issuer, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(access=absent.access())
    assert await refused(gateway, absent.token()) == (503, "keys-unavailable")
    await absent.start()
    await absent.until_learned()
    assert (await transcribe(gateway, absent.token())).status == 200


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b'{"keys":[]}', b"{" * 60_000, b" " * 100_000])
async def test_what_is_no_set_of_keys_leaves_those_that_are_known(
    issuer: Issuer, gateway: RunningGateway, document: bytes
) -> None:
    issuer.document = document
    await issuer.until_learned()
    assert (await transcribe(gateway, issuer.token())).status == 200


async def test_while_its_issuer_is_away_known_keys_open(issuer: Issuer, gateway: RunningGateway, log: LogWatch) -> None:
    issuer.status = 503
    await issuer.until_learned()
    assert (await transcribe(gateway, issuer.token())).status == 200
    assert [one for one in log.messages if one.startswith("the token issuer's keys can't be fetched")] == [
        "the token issuer's keys can't be fetched: it answered 503"
    ]


async def test_keys_that_were_last_seen_too_long_ago_open_no_longer(
    issuer: Issuer, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(access=issuer.access(jwt_keys_stale_max_s=0.2))
    await issuer.until_learned()
    issuer.status = 503

    async def is_stale() -> bool:
        answer = await transcribe(gateway, issuer.token())
        return answer.status == 503 and answer.code == "keys-unavailable"

    await eventually("they are too old", is_stale)
