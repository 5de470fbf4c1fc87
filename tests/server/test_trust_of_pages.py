"""What pages may come with: at the clients' door, and nowhere else."""

from pathlib import Path

import pytest

from parley.access.caller import Caller
from parley.access.identity import RequestHead
from parley.core.errors import ParleyError
from parley.server.settings.document import SECTIONS, Settings
from parley.server.start import StartError
from parley.server.trust import make_trust
from tests.support.boto import head_of, presigned_target
from tests.support.signing import CREDENTIALS

NOW_S = 1_795_342_500.0
MINTER = Caller("1" * 64, "aws:somebody", "acme", method="sigv4")


@pytest.fixture
def access(tmp_path: Path) -> dict[str, object]:
    file = tmp_path / "keys.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'[[key]]\naccess_key_id = "{CREDENTIALS.access_key_id}"\n'
        f'secret_access_key = "{CREDENTIALS.secret_access_key}"\n'
    )
    return {"credentials_file": str(file), "browser_tokens": True}


def settings(access: dict[str, object]) -> Settings:
    return Settings(access=SECTIONS["access"](**access))


def test_nobody_looks_after_a_node_from_a_page(access: dict[str, object]) -> None:
    trust = make_trust(settings(access), lambda: NOW_S)
    assert trust.browser_tokens is not None
    token = trust.browser_tokens.mint(MINTER, 60).value
    bearer = RequestHead("GET", "/admin/v1/node", (("authorization", f"Bearer {token}"),))
    presigned = head_of("GET", presigned_target("/admin/v1/node", time_s=NOW_S), {})
    for request, code in ((bearer, "invalid-token"), (presigned, "credentials-missing")):
        assert trust.gate.identify(request).caller.principal
        with pytest.raises(ParleyError) as caught:
            trust.admin_gate.identify(request)
        assert caught.value.code == code


def test_without_them_no_token_is_taken(access: dict[str, object]) -> None:
    trust = make_trust(settings(access | {"browser_tokens": False}), lambda: NOW_S)
    assert trust.browser_tokens is None


def test_a_key_that_is_short_or_not_there_is_told(access: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "browser.key"
    file.write_text("short")
    for path, code in ((file, "key-unusable"), (tmp_path / "none", "key-unreadable")):
        with pytest.raises(StartError, match=f"^{code}: ") as caught:
            make_trust(settings(access | {"browser_token_key_file": str(path)}), lambda: NOW_S)
        assert "short" not in str(caught.value)


def test_the_longest_that_a_token_may_be_good_is_the_settings(access: dict[str, object]) -> None:
    tokens = make_trust(settings(access | {"browser_token_ttl_max_s": 5.0}), lambda: NOW_S).browser_tokens
    assert tokens is not None
    assert tokens.mint(MINTER, 5).expires_at_s == int(NOW_S) + 5
    with pytest.raises(ParleyError):
        tokens.mint(MINTER, 6)
