"""The tenants of a settings file: what is taken, and what is refused with the fix."""

from pathlib import Path

import pytest

from parley.access.principal import principal_of, principal_of_key
from parley.server.settings.document import Settings, TenantSettings
from parley.server.settings.sources import SettingsError, load

KEY = 'access_keys = ["AKIAEXAMPLE"]\n'
BEARER = principal_of("Bearer hunter2")


def entry(text: str = KEY, name: str = "callers") -> str:
    return f'[[tenants]]\nname = "{name}"\n{text}\n'


def in_file(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return load(environ={}, config=path).settings


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        in_file(tmp_path, text)
    return [problem.message for problem in raised.value.problems]


def test_without_an_entry_there_are_no_tenants() -> None:
    assert load(environ={}).settings.tenants == ()


def test_an_entry_has_any_number_of_sessions_and_the_middle_priority_unless_it_says_so(tmp_path: Path) -> None:
    assert in_file(tmp_path, entry()).tenants == (
        TenantSettings(name="callers", access_keys=("AKIAEXAMPLE",), max_sessions=0, priority=5),
    )


def test_a_tenant_is_all_the_clients_that_it_names(tmp_path: Path) -> None:
    (tenant,) = in_file(tmp_path, entry(KEY + f'principals = ["{BEARER}"]')).tenants
    assert tenant.all_principals == (principal_of_key("AKIAEXAMPLE"), BEARER)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[tenants]]\n" + KEY, "tenants, entry 1, name is missing: it is what messages and listings call it"),
        (
            entry('principals = ["Bearer hunter2"]'),
            "tenants, entry 1, principals: entry 1 must be a SHA-256: 64 digits from 0 to 9 and a to f",
        ),
        (entry(name="node"), "tenants, entry 1, name can't be node, which permissions call the node itself"),
        (entry(KEY + "priority = 10"), "tenants, entry 1, priority must be a whole number from 0 to 9, not 10"),
        (entry(KEY + "priorty = 1"), "tenants, entry 1, priorty is not a key of it; did you mean priority?"),
        (entry() + entry(), "tenants name callers 2 times; put all its clients into one entry"),
        (
            entry() + entry(name="others"),
            "tenants callers and others name the same client; a client is of one tenant",
        ),
        ("tenants = 3\n", "tenants is a list of tables: write [[tenants]], and the keys of each entry below its own"),
    ],
)
def test_an_entry_that_cannot_be_meant_so_is_refused_with_the_fix(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_an_option_cannot_set_them_and_says_what_can() -> None:
    with pytest.raises(SettingsError) as raised:
        load(environ={}, assignments=["tenants.name=x"])
    (problem,) = raised.value.problems
    assert problem.message == "tenants come from the file alone: write [[tenants]] there, and the keys below it"


def test_a_variable_cannot_either() -> None:
    with pytest.raises(SettingsError, match="env PARLEY_TENANTS_NAME: tenants come from the file alone"):
        load(environ={"PARLEY_TENANTS_NAME": "x"})
