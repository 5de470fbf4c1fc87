"""`parley keys`: made once, listed without secrets, replaced with an overlap, revoked, forgotten."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from parley.access.keys.api_key import parse
from parley.access.keys.key_store import open_keys
from parley.cli import main

KEY = re.compile(r"parley_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n")


class Keys:
    """The command, on a file of its own."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = main.run(["keys", *arguments, "--file", str(self.path)])
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def create(self, *arguments: str, name: str = "captions") -> str:
        """A key's id."""
        status, out, err = self.run("create", "--name", name, *arguments)
        assert (status, err) == (0, "")
        assert KEY.fullmatch(out)
        return out.split("_")[1]

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("list", "--json")[1])
        return found


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    return Keys(tmp_path / "keys.toml", capsys)


def test_a_key_is_printed_alone_and_only_its_hash_is_kept(keys: Keys) -> None:
    _, out, _ = keys.run("create", "--name", "captions")
    presented = parse(out.strip())
    assert presented is not None
    assert presented.secret not in keys.path.read_text()
    assert open_keys(keys.path).current[presented.id].fits(presented.secret)


def test_all_that_is_said_of_a_key_is_kept(keys: Keys) -> None:
    keys.create("--tenant", "acme", "--role", "a", "--role", "b", "--description", "For me.", "--expires-in", "2d")
    (one,) = keys.listed()
    assert (one["name"], one["tenant"], one["roles"], one["description"]) == ("captions", "acme", ["a", "b"], "For me.")
    assert one["expires_at_s"] - one["created_at_s"] == pytest.approx(172_800, abs=1)


def test_a_list_shows_whose_keys_they_are_and_no_hash(keys: Keys) -> None:
    key_id = keys.create("--tenant", "acme")
    _, out, _ = keys.run("list")
    assert [key_id, "captions", "good", "acme"] == out.splitlines()[1].split()[:4]
    kept = open_keys(keys.path).current[key_id]
    for text in (out, json.dumps(keys.listed())):
        assert kept.hash.hex() not in text
        assert kept.salt.hex() not in text


def test_a_file_without_keys_says_how_to_make_one(keys: Keys) -> None:
    keys.create("--expires-in", "1s")
    keys.run("revoke", keys.listed()[0]["id"])
    keys.run("prune")
    assert "`parley keys create` makes one" in keys.run("list")[1]


def test_a_successor_is_of_the_same_and_the_old_one_ends_after_the_overlap(keys: Keys) -> None:
    old = keys.create("--tenant", "acme", "--role", "lead")
    status, out, _ = keys.run("rotate", old[:6], "--overlap", "1h")
    assert status == 0
    assert KEY.fullmatch(out)
    first, second = sorted(keys.listed(), key=lambda one: one["id"] != old)
    assert (second["name"], second["tenant"], second["roles"]) == ("captions", "acme", ["lead"])
    assert first["expires_at_s"] == pytest.approx(time.time() + 3_600, abs=60)


def test_an_overlap_does_not_put_off_an_end_that_is_nearer(keys: Keys) -> None:
    old = keys.create("--expires-in", "10m")
    before = keys.listed()[0]["expires_at_s"]
    keys.run("rotate", old, "--overlap", "7d")
    assert next(one for one in keys.listed() if one["id"] == old)["expires_at_s"] == before


def test_a_key_that_is_over_has_no_successor(keys: Keys) -> None:
    key_id = keys.create()
    keys.run("revoke", key_id)
    status, _, err = keys.run("rotate", key_id)
    assert status == 1
    assert "is revoked" in err


def test_a_revoked_key_is_good_no_longer_and_is_forgotten_when_asked(keys: Keys) -> None:
    first, second = keys.create(), keys.create(name="other")
    assert keys.run("revoke", first)[1] == f"{first} (captions) is revoked.\n"
    assert {one["id"]: one["state"] for one in keys.listed()} == {first: "revoked", second: "good"}
    assert keys.run("prune")[1] == "1 key was forgotten.\n"
    assert [one["id"] for one in keys.listed()] == [second]


@pytest.mark.parametrize("what", [("list",), ("revoke", "0123"), ("rotate", "0123"), ("prune",)])
def test_a_file_that_is_not_there_is_said_and_not_begun(keys: Keys, what: tuple[str, ...]) -> None:
    status, _, err = keys.run(*what)
    assert status == 1
    assert str(keys.path) in err
    assert list(keys.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("revoke", "ffff"), 1, "key-not-found"),
        (("revoke", ""), 2, "ID is to be an id"),
        (("rotate", "abc"), 2, "ID is to be an id"),
        (("create", "--name", "a b"), 2, "--name is to be"),
        (("create", "--name", "a", "--tenant", "-"), 2, "--tenant is to be"),
        (("create", "--name", "a", "--role", "A"), 2, "--role is to be"),
        (("create", "--name", "a", "--description", "a\nb"), 2, "--description is to be"),
        (("create", "--name", "a", "--expires-in", "soon"), 2, "as in 90d"),
        (("create", "--name", "a", "--expires-in", "0d"), 2, "as in 90d"),
        (("create", "--name", "a", "--expires-in", "999999w"), 2, "a hundred years at most"),
    ],
)
def test_what_can_not_be_meant_so_is_refused_with_the_fix(
    keys: Keys, arguments: tuple[str, ...], status: int, said: str
) -> None:
    keys.create()
    before = keys.path.read_bytes()
    found, _, err = keys.run(*arguments)
    assert found == status
    assert said in err
    assert keys.path.read_bytes() == before


def test_a_file_of_something_else_is_left_alone(keys: Keys) -> None:
    keys.path.write_text("[other]\n")
    keys.path.chmod(0o600)
    status, _, err = keys.run("create", "--name", "a")
    assert (status, "keys-unusable" in err) == (1, True)
    assert keys.path.read_text() == "[other]\n"
