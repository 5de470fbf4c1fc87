"""An issuer that answers, with no keys or with none that can be used: as one that can't be reached, neither worse nor
better."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from parley.access import watched_file
from parley.server import jwt_method
from parley.server.start import StartError
from tests.access.jwt.tokens import AUDIENCE, ED, ISSUER, RSA, jwk, key_set, token
from tests.server.test_trust_jwt import Issuer, refused, transcribe
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway, gateway_settings
from tests.support.logs import LogWatch

WITHOUT = {
    "none": key_set(),
    "one that is for something else": key_set(jwk(RSA, kid="one", use="enc")),
    "one of a kind that nobody takes": key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "one"}),
}
SAID = "the token issuer's keys can't be fetched: None of its keys can verify a signature."


@pytest.fixture(params=[*WITHOUT.values()], ids=[*WITHOUT])
def without(request: pytest.FixtureRequest) -> bytes:
    document: bytes = request.param
    return document


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    one = Issuer()
    await one.start()
    yield one
    await one.close()


async def test_one_that_never_had_any_lets_nobody_in(
    issuer: Issuer, start_gateway: GatewayStarter, without: bytes, log: LogWatch
) -> None:
    issuer.document = without
    gateway = await start_gateway(access=issuer.access())
    await issuer.until_learned()
    assert await refused(gateway, issuer.token()) == (503, "keys-unavailable")
    assert log.messages.count(SAID) == 1


async def test_those_that_it_had_stay_for_a_while_and_then_nobody_is_let_in(
    issuer: Issuer, start_gateway: GatewayStarter, without: bytes, log: LogWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(jwt_method, "time", SimpleNamespace(monotonic=lambda: now_s))
    gateway = await start_gateway(access=issuer.access(jwt_keys_stale_max_s=600.0))
    await issuer.until_learned()
    issuer.document = without
    await issuer.until_learned()
    now_s += 599.0
    assert (await transcribe(gateway, issuer.token())).status == 200
    now_s += 2.0
    assert await refused(gateway, issuer.token()) == (503, "keys-unavailable")
    assert log.messages.count(SAID) == 1


async def test_one_key_that_is_published_instead_takes_the_place_of_all_at_once(
    issuer: Issuer, start_gateway: GatewayStarter, without: bytes
) -> None:
    gateway = await start_gateway(access=issuer.access())
    await issuer.until_learned()
    for document in (without, key_set(jwk(ED, kid="two", alg="Ed25519"))):
        issuer.document = document
        await issuer.until_learned()
    assert await refused(gateway, issuer.token()) == (401, "invalid-token")
    assert (await transcribe(gateway, issuer.token(ED, "EdDSA", "two"))).status == 200


async def test_of_a_file_they_stay_while_the_gateway_runs_and_it_does_not_start_with_such_a_file(
    start_gateway: GatewayStarter,
    vllm: FakeVllm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: LogWatch,
    without: bytes,
) -> None:
    monkeypatch.setattr(watched_file, "LOOK_INTERVAL_S", 0.0)
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(jwk(RSA, kid="one")))
    access = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys_file": str(file)}
    good = token({"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": 4_000_000_000})
    gateway = await start_gateway(access=access)
    file.write_bytes(without)
    for _ in range(2):
        assert (await transcribe(gateway, good)).status == 200
    assert len([one for one in log.messages if "None of its keys can verify a signature." in one]) == 1
    with pytest.raises(ExceptionGroup) as caught:
        await RunningGateway(gateway_settings(vllm.url, access=access)).start()
    (error,) = caught.value.exceptions
    assert isinstance(error, StartError)
    assert "None of its keys can verify a signature." in str(error)
