"""Commands that connect over TLS: whose certificates they believe, and which one they show."""

import asyncio
from pathlib import Path

import pytest

from parley.cli import main
from parley.cli.failure import Misuse
from parley.cli.tls_options import TlsChoice
from tests.support.admin import free_port
from tests.support.certificates import Authority, Pair
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm, wav
from tests.support.voxtral import transcript

TOKEN = "0123456789abcdef-token"
TEXT = transcript(16_000).strip()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def own(authority: Authority) -> Pair:
    return authority.client("ops.example")


@pytest.fixture(autouse=True)
def _without_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARLEY_ADMIN_URL", "PARLEY_ADMIN_TOKEN_FILE", "PARLEY_API_KEY", "PARLEY_URL", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def tls(authority: Authority, *, asks: bool) -> dict[str, str]:
    """A listener's settings."""
    pair = authority.server("127.0.0.1")
    files = {"tls_certificate_file": str(pair.certificate_file), "tls_key_file": str(pair.key_file)}
    return files | ({"tls_client_ca_file": str(authority.file)} if asks else {})


def believing(authority: Authority) -> list[str]:
    return ["--tls-ca-file", str(authority.file)]


def showing(pair: Pair) -> list[str]:
    return ["--tls-certificate-file", str(pair.certificate_file), "--tls-key-file", str(pair.key_file)]


async def run(*arguments: str) -> int:
    return await asyncio.to_thread(main.run, arguments)


class Node:
    """A gateway whose listeners speak TLS, and the operator's commands to it."""

    def __init__(self, gateway: RunningGateway, port: int, folder: Path) -> None:
        self.gateway, self.port, self._folder = gateway, port, folder

    async def sessions(self, *options: str, scheme: str = "https") -> int:
        token = ["--token-file", str(self._folder / "token")]
        return await run("sessions", "--admin", f"{scheme}://127.0.0.1:{self.port}", *token, *options)

    async def transcribe(self, *options: str, scheme: str = "wss") -> int:
        (self._folder / "one.wav").write_bytes(wav(pcm(1.0)))
        url = f"{scheme}://127.0.0.1:{self.gateway.port}"
        return await run("transcribe", "-q", "--url", url, *options, str(self._folder / "one.wav"))


async def node(start: GatewayStarter, authority: Authority, folder: Path, *, asks: bool) -> Node:
    port = free_port()
    (folder / "token").write_text(TOKEN)
    listener = tls(authority, asks=asks)
    admin = {"port": port, "token_file": str(folder / "token"), **listener}
    gateway = await start(server={"port": 0, **listener}, admin=admin)
    return Node(gateway, port, folder)


@pytest.fixture
async def plain(start_gateway: GatewayStarter, authority: Authority, tmp_path: Path) -> Node:
    """One that asks for no certificate."""
    return await node(start_gateway, authority, tmp_path, asks=False)


@pytest.fixture
async def asking(start_gateway: GatewayStarter, authority: Authority, tmp_path: Path) -> Node:
    """One that asks for a certificate."""
    return await node(start_gateway, authority, tmp_path, asks=True)


# ---- the admin API


async def test_an_admin_api_of_an_authority_of_ones_own_is_asked(
    plain: Node, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await plain.sessions(*believing(authority)) == 0
    assert capsys.readouterr().out == "no sessions\n"


async def test_one_of_an_authority_that_is_not_known_is_not_believed(
    plain: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await plain.sessions() == 1
    assert "--tls-ca-file" in capsys.readouterr().err
    assert await plain.sessions(*believing(Authority(tmp_path / "another"))) == 1
    told = capsys.readouterr().err
    assert "its certificate is not accepted" in told
    assert TOKEN not in told


async def test_one_that_asks_for_a_certificate_is_shown_it(
    asking: Node, authority: Authority, own: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asking.sessions(*believing(authority), *showing(own)) == 0
    assert capsys.readouterr().out == "no sessions\n"


async def test_one_that_asks_for_a_certificate_and_gets_none_is_told_of(
    asking: Node, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asking.sessions(*believing(authority)) == 1
    told = capsys.readouterr().err
    assert told.startswith("parley: admin-unreachable: ")
    assert "--tls-certificate-file" in told


async def test_one_that_does_not_take_the_certificate_is_told_of(
    asking: Node, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = Authority(tmp_path / "another").client("ops.example")
    assert await asking.sessions(*believing(authority), *showing(strange)) == 1
    assert "--tls-certificate-file" in capsys.readouterr().err


async def test_one_that_speaks_tls_and_is_asked_in_the_clear_is_told_of(
    plain: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await plain.sessions(scheme="http") == 1
    told = capsys.readouterr().err
    assert "https://" in told
    assert TOKEN not in told


async def test_one_that_speaks_no_tls_is_told_of(
    start_gateway: GatewayStarter, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    (tmp_path / "token").write_text(TOKEN)
    gateway = await start_gateway(admin={"port": port, "token_file": str(tmp_path / "token")})
    assert await Node(gateway, port, tmp_path).sessions(*believing(authority)) == 1
    assert "http:// URL" in capsys.readouterr().err


async def test_nothing_that_listens_is_told_of_over_tls_too(
    authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    assert await run("sessions", "--admin", url, *believing(authority)) == 1
    assert f"nothing answers on {url}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sessions", "upstreams", "node", "drain"])
async def test_every_command_takes_them(asking: Node, authority: Authority, own: Pair, command: str) -> None:
    given = ["--admin", f"https://127.0.0.1:{asking.port}", "--token-file", str(asking._folder / "token")]
    assert await run(command, *given, *believing(authority), *showing(own)) == 0


# ---- a transcription


async def test_a_recording_is_transcribed_over_tls(
    asking: Node, authority: Authority, own: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    for scheme in ("wss", "https"):
        assert await asking.transcribe(*believing(authority), *showing(own), scheme=scheme) == 0
        assert capsys.readouterr().out.strip() == TEXT


async def test_a_server_that_asks_for_a_certificate_gets_nothing_without_one(
    asking: Node, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asking.transcribe(*believing(authority)) == 1
    assert "connect-failed" in capsys.readouterr().err


async def test_a_server_of_an_authority_that_is_not_known_gets_nothing(
    plain: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ([], believing(Authority(tmp_path / "another"))):
        assert await plain.transcribe(*options) == 1
        assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


async def test_the_systems_authorities_may_be_others_by_the_usual_variable(
    plain: Node, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert await plain.transcribe() == 0
    assert await plain.sessions() == 0


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tls-ca-file", "missing.pem"], "--tls-ca-file can't be read: No such file"),
        (["--tls-ca-file", "text.pem"], "--tls-ca-file has to hold certificates in PEM"),
        (["--tls-certificate-file", "own.pem"], "--tls-key-file is needed as well"),
        (["--tls-key-file", "own.key"], "--tls-certificate-file is needed as well"),
        (["--tls-certificate-file", "own.pem", "--tls-key-file", "text.pem"], "one of them does not"),
        (["--tls-certificate-file", "own.pem", "--tls-key-file", "another.key"], "--tls-key-file is not the key of"),
    ],
)
async def test_a_file_that_can_not_be_used_is_told_by_its_option(
    tmp_path: Path,
    authority: Authority,
    own: Pair,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    (tmp_path / "one.wav").write_bytes(wav(pcm(0.1)))
    for name, file in (
        ("own.pem", own.certificate_file),
        ("own.key", own.key_file),
        ("another.key", authority.client("another.example").key_file),
    ):
        (tmp_path / name).write_bytes(file.read_bytes())
    given = [one if one.startswith("--") else str(tmp_path / one) for one in options]
    for command in (
        ["sessions", "--admin", "https://127.0.0.1:1"],
        ["transcribe", "--url", "wss://127.0.0.1:1", str(tmp_path / "one.wav")],
    ):
        assert await run(*command, *given) == 2
        told = capsys.readouterr().err
        assert said in told
        assert "options." not in told


@pytest.mark.parametrize(
    "command",
    [
        ["sessions", "--admin", "http://127.0.0.1:1"],
        ["transcribe", "--url", "ws://127.0.0.1:1", "one.wav"],
        ["transcribe", "--url", "wss://127.0.0.1:1", "--url", "127.0.0.1:2", "one.wav"],
    ],
)
async def test_who_names_certificates_is_not_led_into_the_clear(
    authority: Authority, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert await run(*command, *believing(authority)) == 2
    assert "https:// URL" in capsys.readouterr().err


def test_without_any_there_is_nothing_to_choose() -> None:
    assert TlsChoice().context() is None
    with pytest.raises(Misuse):
        TlsChoice(certificate_file=Path("there/is/none"), key_file=Path("there/is/none")).context()
