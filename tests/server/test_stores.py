"""The store that the settings name."""

from pathlib import Path

import pytest

from parley.server.settings.contradictions import contradictions
from parley.server.settings.document import SessionSettings, Settings, StoreSettings
from parley.server.start import StartError
from parley.server.stores import make_handover, open_store


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
