import hashlib
import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from parley.engine import weights
from parley.engine.tiny import TinyEngine
from parley.engine.weights import DETECTOR, PACKAGED_SHA256, WeightsError, load_weights


def test_the_installed_files_are_the_ones_measured() -> None:
    assert load_weights().packaged


def test_a_model_directory_is_read_and_its_hashes_reported(tmp_path: Path) -> None:
    for name in PACKAGED_SHA256:
        (tmp_path / name).write_bytes(name.encode())
    found = load_weights(tmp_path)
    assert found.sha256 == {name: hashlib.sha256(name.encode()).hexdigest() for name in PACKAGED_SHA256}
    assert not found.packaged


def test_a_model_directory_without_a_detector_takes_the_packaged_one(tmp_path: Path) -> None:
    for name in PACKAGED_SHA256.keys() - {DETECTOR}:
        (tmp_path / name).write_bytes(b"x")
    assert load_weights(tmp_path).sha256[DETECTOR] == PACKAGED_SHA256[DETECTOR]


def test_a_missing_file_is_named_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"encoder_model\.ort does not exist.*moonshine-voice 0\.1\.0"):
        load_weights(tmp_path)


def test_a_missing_package_is_named_with_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"moonshine_voice, which is not installed.*glibc 2\.34"):
        load_weights()


def test_packaged_files_with_another_hash_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "assets" / "tiny-en"
    directory.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    for name in PACKAGED_SHA256:
        (directory / name).write_bytes(b"x")
        (tmp_path / "models" / name).write_bytes(b"x")
    spec = importlib.machinery.ModuleSpec("any", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match="not the file this release was measured with"):
        load_weights()


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "encoder_model.ort").write_bytes(b"12345")
    monkeypatch.setattr(weights, "FILE_MAX_BYTES", 4)
    with pytest.raises(WeightsError, match="larger than 4 bytes"):
        load_weights(tmp_path)


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    for name in PACKAGED_SHA256:
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="cannot be run"):
        TinyEngine(load_weights(tmp_path))
