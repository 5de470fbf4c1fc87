"""Model servers from a file."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from parley.upstream.discovery.discovery import DiscoveryError
from parley.upstream.discovery.file import FILE_MAX_BYTES, FileSource


class Lines:
    """A file of a server in each line, as its own format has it; `!` is what is wrong in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parsed = 0
        self.left_to_write = ""
        self.source = FileSource(path, self._parse, timeout_s=10.0, settle=self._settle)

    def write(self, text: str) -> None:
        """As one should: whole or not at all."""
        other = self.path.with_suffix(".new")
        other.write_text(text)
        other.replace(self.path)

    def _settle(self) -> None:
        left, self.left_to_write = self.left_to_write, ""
        with self.path.open("a") as file:
            file.write(left)

    def _parse(self, content: bytes) -> Sequence[str]:
        self.parsed += 1
        if b"!" in content:
            raise DiscoveryError("entry 2, weight must be a number")
        return content.decode().split()


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path / "servers")


async def test_the_servers_in_the_file_are_found(lines: Lines) -> None:
    lines.write("a b")
    assert await lines.source.look() == ["a", "b"]


async def test_a_file_that_has_not_changed_is_not_read_again(lines: Lines) -> None:
    lines.write("a b")
    assert [await lines.source.look() for _ in range(3)] == [["a", "b"]] * 3
    assert lines.parsed == 1


async def test_a_file_that_is_replaced_is_read_again_though_its_time_and_size_are_the_same(lines: Lines) -> None:
    lines.write("a")
    os.utime(lines.path, (1, 1))
    assert await lines.source.look() == ["a"]
    lines.write("b")
    os.utime(lines.path, (1, 1))
    assert await lines.source.look() == ["b"]


async def test_a_file_that_is_written_in_place_is_read_again(lines: Lines) -> None:
    lines.write("a")
    assert await lines.source.look() == ["a"]
    lines.path.write_text("a b")
    assert await lines.source.look() == ["a", "b"]


async def test_a_link_that_is_turned_to_another_file_is_followed(lines: Lines, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
    lines.path.symlink_to(tmp_path / "first")
    assert await lines.source.look() == ["first"]
    lines.path.unlink()
    lines.path.symlink_to(tmp_path / "second")
    assert await lines.source.look() == ["second"]


async def test_a_file_that_is_wrong_says_what_until_it_is_right_again(lines: Lines) -> None:
    lines.write("a b !")
    for _ in range(2):
        with pytest.raises(DiscoveryError, match=r"entry 2, weight must be a number; the last ones are kept\."):
            await lines.source.look()
    assert lines.parsed == 1
    lines.write("a b")
    assert await lines.source.look() == ["a", "b"]


async def test_a_file_that_is_not_there_says_so_and_is_read_when_it_is_back_as_it_was(lines: Lines) -> None:
    lines.write("a")
    assert await lines.source.look() == ["a"]
    away = lines.path.with_suffix(".away")
    lines.path.rename(away)
    with pytest.raises(DiscoveryError, match="No such file"):
        await lines.source.look()
    away.rename(lines.path)
    assert await lines.source.look() == ["a"]


async def test_a_file_that_is_too_large_is_not_taken(lines: Lines) -> None:
    lines.write(" " * (FILE_MAX_BYTES + 1))
    with pytest.raises(DiscoveryError, match="larger than"):
        await lines.source.look()
    assert lines.parsed == 0


async def test_a_file_that_is_still_being_written_is_left_for_the_next_look(lines: Lines) -> None:
    lines.write("a b")
    assert await lines.source.look() == ["a", "b"]
    lines.path.write_text("a")
    lines.left_to_write = " c"
    assert await lines.source.look() == ["a", "b"]
    assert await lines.source.look() == ["a", "c"]


async def test_a_file_that_can_not_be_looked_at_in_time_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = FileSource(path, lambda _: ["a"], timeout_s=0.01)
    with pytest.raises(DiscoveryError, match="can't be read within"):
        await source.look()
    # Opening a pipe waits for whoever writes it: the thread that does so is let go.
    with path.open("wb"):
        pass
    await source.close()


def test_its_place_is_its_path(lines: Lines) -> None:
    assert lines.source.place == f"the file {lines.path}"
