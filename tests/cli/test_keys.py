"""`parley keys`: made once, listed without secrets, replaced with an overlap, revoked, forgotten."""

import json
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parley.access.keys.api_key import parse
from parley.access.keys.key_store import changing, open_keys
from parley.access.keys.key_table import KEYS_MAX
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
        (("rotate", "ffff"), 1, "key-not-found"),
        (("revoke", "0123456789abc"), 2, "ID is to be an id"),
        (("revoke", "FFFF"), 2, "ID is to be an id"),
        (("create", "--name", "a b"), 2, "--name is to be"),
        (("create", "--name", "a", "--tenant", "-"), 2, "--tenant is to be"),
        (("create", "--name", "a", "--role", "A"), 2, "--role is to be"),
        (("create", "--name", "a", *("--role", "a") * 17), 2, "may be given 16 times"),
        (("create", "--name", "a", "--tenant", "node"), 2, "not `node`"),
        (("create",), 2, "--name"),
        (("create", "--name", "a", "--description", "x" * 257), 2, "--description is to be"),
        (("create", "--name", "a", "--description", "a\nb"), 2, "--description is to be"),
        (("create", "--name", "a", "--expires-in", "soon"), 2, "as in 90d"),
        (("create", "--name", "a", "--expires-in", "0d"), 2, "as in 90d"),
        (("create", "--name", "a", "--expires-in", "999999w"), 2, "a hundred years at most"),
        (("create", "--name", "a", "--expires-in", "36526d"), 2, "a hundred years at most"),
        (("rotate", "ffff", "--overlap", "0s"), 2, "as in 90d"),
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


def test_every_mistake_is_told_at_once(keys: Keys) -> None:
    status, _, err = keys.run("create", "--name", "a b", "--tenant", "-", "--role", "A", "--description", "a\nb")
    assert status == 2
    assert [line.split()[2] for line in err.splitlines()] == ["--name", "--tenant", "--role", "--description"]


def test_misuse_begins_no_file(keys: Keys) -> None:
    keys.run("create", "--name", "a b")
    assert list(keys.path.parent.iterdir()) == []


def test_a_key_in_place_of_its_id_is_refused_and_not_shown_again(keys: Keys) -> None:
    _, key, _ = keys.run("create", "--name", "captions")
    for command in ("revoke", "rotate"):
        status, out, err = keys.run(command, key.strip())
        assert (status, out) == (2, "")
        assert "never the key itself" in err
        assert key.strip().rpartition("_")[2] not in err


def test_a_hundred_years_are_taken(keys: Keys) -> None:
    keys.create("--expires-in", "36525d")
    assert keys.run("list")[0] == 0


def test_a_key_without_an_end_has_none(keys: Keys) -> None:
    keys.create()
    (one,) = keys.listed()
    assert (one["expires_at_s"], one["revoked_at_s"], one["state"]) == (None, None, "good")
    assert keys.run("list")[1].splitlines()[1].split()[-2:] == ["-", "-"]


def test_json_has_these_fields_and_no_other(keys: Keys) -> None:
    keys.create()
    assert set(keys.listed()[0]) == {
        *("id", "name", "tenant", "roles", "description"),
        *("created_at_s", "expires_at_s", "revoked_at_s", "state"),
    }


def test_keys_are_listed_in_the_order_in_which_they_were_made(keys: Keys) -> None:
    made = [keys.create(name=name) for name in ("one", "two", "three")]
    with changing(keys.path) as kept:
        for second, key_id in enumerate(reversed(made), 1):
            kept[key_id] = replace(kept[key_id], created_at_s=float(second))
    assert [one["id"] for one in keys.listed()] == made[::-1]


def expire(keys: Keys, key_id: str) -> None:
    with changing(keys.path) as kept:
        kept[key_id] = replace(kept[key_id], expires_at_s=1.0)


def test_a_key_that_has_expired_is_listed_so_and_forgotten_when_asked(keys: Keys) -> None:
    first, second = keys.create(), keys.create(name="other")
    for key_id in (first, second):
        expire(keys, key_id)
    assert {one["state"] for one in keys.listed()} == {"expired"}
    assert keys.run("prune")[1] == "2 keys were forgotten.\n"


def test_a_key_that_has_expired_has_no_successor(keys: Keys) -> None:
    key_id = keys.create()
    expire(keys, key_id)
    status, out, err = keys.run("rotate", key_id)
    assert (status, out) == (1, "")
    assert "is expired" in err


def test_where_nothing_is_over_nothing_is_forgotten(keys: Keys) -> None:
    keys.create()
    assert keys.run("prune")[1] == "0 keys were forgotten.\n"
    assert len(keys.listed()) == 1


def test_a_key_is_revoked_once(keys: Keys) -> None:
    key_id = keys.create()
    keys.run("revoke", key_id[:4])
    at_s = keys.listed()[0]["revoked_at_s"]
    assert keys.run("revoke", key_id)[0] == 0
    assert keys.listed()[0]["revoked_at_s"] == at_s


def test_a_beginning_that_several_ids_have_is_refused_with_the_ids(keys: Keys) -> None:
    with changing(keys.path, may_begin=True):
        pass
    first = keys.create()
    other = first[:4] + ("0" if first[4] != "0" else "1") * 8
    with changing(keys.path) as kept:
        kept[other] = replace(kept[first], id=other)
    before = keys.path.read_bytes()
    status, _, err = keys.run("revoke", first[:4])
    assert status == 1
    assert first in err
    assert other in err
    assert keys.path.read_bytes() == before


def test_more_keys_than_a_server_takes_are_refused_with_the_fix(keys: Keys) -> None:
    one = keys.create()
    with changing(keys.path) as kept:
        kept.update((key_id, replace(kept[one], id=key_id)) for key_id in map("{:012x}".format, range(KEYS_MAX - 1)))
    for command in (("create", "--name", "a"), ("rotate", one)):
        status, out, err = keys.run(*command)
        assert (status, out) == (1, "")
        assert "`parley keys prune`" in err
    assert len(keys.listed()) == KEYS_MAX


@pytest.mark.parametrize("command", ["create", "rotate"])
def test_only_on_a_terminal_it_is_said_what_to_do_with_a_key(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    what = ("create", "--name", "captions") if command == "create" else ("rotate", keys.create())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _, out, err = keys.run(*what)
    assert KEY.fullmatch(out)
    assert "the only time" in err
    assert f"parley serve --set access.keys_file={keys.path}" in err
    assert out.strip().rpartition("_")[2][:4] not in err


@pytest.mark.parametrize("command", ["create", "rotate"])
def test_with_quiet_the_key_is_alone_on_a_terminal_too(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    what = ("create", "--name", "captions") if command == "create" else ("rotate", keys.create())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _, out, err = keys.run(*what, "--quiet")
    assert KEY.fullmatch(out)
    assert err == ""


def test_the_file_may_come_from_the_environment(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_ACCESS_KEYS_FILE", str(keys.path))
    assert main.run(["keys", "create", "--name", "captions"]) == 0
    assert len(capsys.readouterr().out.split()) == 1
    assert len(keys.listed()) == 1


def test_without_a_file_it_is_said_which_option_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PARLEY_ACCESS_KEYS_FILE", raising=False)
    assert main.run(["keys", "list"]) == 2
    assert "--file" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_said_and_not_made(keys: Keys) -> None:
    keys.path = keys.path.parent / "nowhere" / "keys.toml"
    status, out, err = keys.run("create", "--name", "captions")
    assert (status, out) == (1, "")
    assert err == f"parley: keys-unwritable: There is no folder {keys.path.parent}; make it first.\n"
    assert not keys.path.parent.exists()


def test_a_file_that_can_not_keep_its_owner_says_who_may_change_it(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "canary")

    key_id = keys.create()
    monkeypatch.setattr(os, "fchown", refuse)
    status, _, err = keys.run("revoke", key_id)
    assert status == 1
    assert (
        err
        == f"parley: keys-unwritable: {keys.path}: Operation not permitted. Run it as whoever owns it, or as root.\n"
    )
    assert keys.listed()[0]["state"] == "good"


def test_a_disk_that_is_full_is_said(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "canary")

    keys.create()
    monkeypatch.setattr(os, "fsync", fail)
    status, out, err = keys.run("create", "--name", "other")
    assert (status, out) == (1, "")
    assert err == f"parley: keys-unwritable: {keys.path}: No space left on device.\n"


def test_a_file_of_something_else_is_left_alone(keys: Keys) -> None:
    keys.path.write_text("[other]\n")
    keys.path.chmod(0o600)
    status, _, err = keys.run("create", "--name", "a")
    assert (status, "keys-unusable" in err) == (1, True)
    assert keys.path.read_text() == "[other]\n"
