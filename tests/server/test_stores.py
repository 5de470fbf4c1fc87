"""The stores that the settings name: of sessions, and of what is kept of them."""

from pathlib import Path

import pytest

from parley.access.audit import NoAudit
from parley.access.caller import Caller
from parley.core.retention import Retention, RetentionTerms
from parley.server.settings.contradictions import contradictions
from parley.server.settings.document import SessionSettings, Settings, StoreSettings
from parley.server.settings.tenant import TenantSettings
from parley.server.settings.trust import RetentionSettings
from parley.server.settings.trust_problems import trust_problems
from parley.server.start import StartError
from parley.server.stores import make_handover, make_keeper, make_retained, open_store
from tests.store.retention.records import key_file


def settings(folder: str, *, kind: str = "directory", resume_window_s: float = 30.0) -> Settings:
    return Settings(
        store=StoreSettings(kind=kind, directory=folder),  # type: ignore[arg-type]
        session=SessionSettings(resume_window_s=resume_window_s),
    )


def test_without_one_sessions_end_with_their_node(tmp_path: Path) -> None:
    assert open_store(settings(str(tmp_path / "none"), kind="memory")) is None
    assert not (tmp_path / "none").exists()


def test_where_nobody_comes_back_nothing_is_left(tmp_path: Path) -> None:
    assert open_store(settings(str(tmp_path / "none"), resume_window_s=0.0)) is None


def test_a_folder_is_made(tmp_path: Path) -> None:
    usual = settings(str(tmp_path / "sessions"))
    store = open_store(usual)
    assert store is not None
    assert (tmp_path / "sessions").is_dir()
    make_handover(usual, store)
    store.close()


def test_a_folder_that_can_not_be_used_is_an_error_with_the_fix(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StartError, match=r"store-unusable: .* chmod 700"):
        open_store(settings(str(tmp_path)))


def test_a_directory_that_is_not_named_is_a_contradiction() -> None:
    assert [key for key, _ in contradictions(settings(""))] == ["store.directory"]
    assert not list(contradictions(settings("/var/lib/parley")))


# ---- what is kept

KEPT = TenantSettings(name="acme", callers=("key:acme",), retention="transcript", retention_max="debug-audio")


def keeping(folder: Path, key: Path) -> Settings:
    return Settings(retention=RetentionSettings(directory=str(folder), key_file=str(key)), tenants=(KEPT,))


def test_nothing_is_kept_without_a_folder() -> None:
    assert make_keeper(Settings(), NoAudit()) is None


async def test_what_is_kept_of_a_tenant_is_what_its_entry_says(tmp_path: Path) -> None:
    keeper = make_keeper(keeping(tmp_path / "kept", key_file(tmp_path)), NoAudit())
    assert keeper is not None
    terms = keeper.terms(Caller(tenant="acme"))
    assert terms == RetentionTerms(Retention.TRANSCRIPT, Retention.DEBUG_AUDIO, is_offered=True)
    assert (await make_retained(keeper).list(lambda _: True)).retained == []
    await keeper.close()


def test_a_key_file_that_can_not_be_used_is_an_error_with_the_fix(tmp_path: Path) -> None:
    key_file(tmp_path).chmod(0o644)
    with pytest.raises(StartError, match=r"key-unreadable: retention.key_file: .*chmod 600"):
        make_keeper(keeping(tmp_path / "kept", tmp_path / "keys"), NoAudit())


def test_a_folder_for_what_is_kept_that_others_see_is_an_error_with_the_fix(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o755)
    with pytest.raises(StartError, match=r"store-unusable: .* chmod 700"):
        make_keeper(keeping(folder, key_file(tmp_path)), NoAudit())


def test_a_tenant_that_is_kept_needs_a_folder() -> None:
    found = [key for key, _ in trust_problems(Settings(tenants=(KEPT,)))]
    assert found == ["retention.directory"]
