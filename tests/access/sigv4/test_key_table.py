"""The TOML of access keys: what is taken, and what each mistake is told without a secret being shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.sigv4 import key_table
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.key_table import KEYS_MAX, parse_keys
from parley.access.watched_file import FileError

SECRET = "canary-secret-of-somebody"
PLAIN = f'[[key]]\naccess_key_id = "AKIDEXAMPLE"\nsecret_access_key = "{SECRET}"\n'


def problems(document: str | bytes) -> tuple[str, ...]:
    with pytest.raises(FileError) as caught:
        parse_keys(document if isinstance(document, bytes) else document.encode())
    assert "canary" not in str(caught.value)
    # The text of what led to it would be in a traceback.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.problems


def test_a_key_needs_an_id_and_a_secret() -> None:
    assert parse_keys(PLAIN.encode()) == {"AKIDEXAMPLE": AccessKey("AKIDEXAMPLE", SECRET)}


def test_everything_of_a_key_is_read() -> None:
    more = """session_token = "token/with+signs=="
expires_at = 1970-01-01T02:00:01.5+02:00
principal = "captions"
tenant = "acme"
description = "Für die Untertitel."
"""
    expected = AccessKey("AKIDEXAMPLE", SECRET, "token/with+signs==", 1.5, "captions", "acme", "Für die Untertitel.")
    assert parse_keys((PLAIN + more).encode()) == {"AKIDEXAMPLE": expected}


def test_there_may_be_many_keys() -> None:
    document = "".join(PLAIN.replace("EXAMPLE", str(number)) for number in range(KEYS_MAX))
    assert len(parse_keys(document.encode())) == KEYS_MAX


def test_more_keys_than_the_bound_are_refused() -> None:
    document = "".join(PLAIN.replace("EXAMPLE", str(number)) for number in range(KEYS_MAX + 1))
    assert problems(document) == ("There are 1001 of [[key]] in it; 1000 are allowed.",)


@pytest.mark.parametrize("document", ["", "# nothing\n", "key = []", 'secret = "canary"'])
def test_a_file_without_a_key_is_told_how_to_write_one(document: str) -> None:
    assert problems(document) == ("There is no key in it; write a table [[key]] for each.",)


@pytest.mark.parametrize("document", ["key = 1", "key = [1]", 'key = "canary"'])
def test_a_key_that_is_no_table_is_told_how_to_write_one(document: str) -> None:
    assert problems(document) == ("key is not a list of tables; write [[key]] for each.",)


def test_a_single_bracket_is_told_to_be_two() -> None:
    assert problems(PLAIN.replace("[[key]]", "[key]")) == (
        "There is a table [key]; write [[key]], with two brackets on each side.",
    )


def test_something_else_than_keys_is_refused() -> None:
    assert problems('canary = "canary"\n' + PLAIN) == ("There is something else in it than [[key]] tables.",)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (f'[[key]]\nsecret_access_key = "{SECRET}\n', "It is not TOML (at line 2, column 47)."),
        (f"[[key]]\n{SECRET}", "It is not TOML (at end of document)."),
        (f"{SECRET} = 1\n{SECRET} = 2\n", "It is not TOML (at line 2, column 30)."),
        ("[[key]]\nexpires_at = 2026-02-30T00:00:00Z", "It is not TOML (at line 2, column 14)."),
        ("number = " + "1" * 5000, "It is not TOML."),
        ("deep = " + "[" * 5000, "It is not TOML."),
        (b'[[key]]\naccess_key_id = "canary\xff"', "It is not UTF-8."),
    ],
)
def test_what_is_not_toml_is_told_where_and_not_quoted(document: str | bytes, problem: str) -> None:
    found = problems(document)
    assert len(found) == 1
    assert found[0].split("(")[0] == problem.split("(")[0]
    assert ("line" in found[0]) == ("line" in problem)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('access_key_id = "AKIDEXAMPLE"\n', "", "access_key_id is missing"),
        (f'secret_access_key = "{SECRET}"\n', "", "secret_access_key is missing"),
        ('"AKIDEXAMPLE"', "1", "access_key_id is not a string"),
        (f'"{SECRET}"', '["canary"]', "secret_access_key is not a string"),
        ("AKIDEXAMPLE", "AKID EXAMPLE", "access_key_id is to be 1 to 128 letters, digits and _ . -"),
        ("AKIDEXAMPLE", "A" * 129, "access_key_id is to be 1 to 128 letters, digits and _ . -"),
        (SECRET, "canary", "secret_access_key is to be 16 to 128 printable ASCII characters without a space"),
        (SECRET, SECRET + " ", "secret_access_key is to be 16 to 128 printable ASCII characters without a space"),
        (SECRET, "x" * 129, "secret_access_key is to be 16 to 128 printable ASCII characters without a space"),
    ],
)
def test_a_key_that_is_wrong_is_told_what(old: str, new: str, problem: str) -> None:
    assert old in PLAIN
    assert problems(PLAIN.replace(old, new)) == (f"key 1: {problem}.",)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('session_token = ""', "session_token is to be 1 to 4096 printable ASCII characters without a space"),
        (
            f'session_token = "{"x" * 4097}"',
            "session_token is to be 1 to 4096 printable ASCII characters without a space",
        ),
        ("session_token = true", "session_token is not a string"),
        ('principal = ""', "principal is to be 1 to 128 characters"),
        ('principal = "two\\nlines"', "principal is to be 1 to 128 characters"),
        ('description = "two\\nlines"', "description is to be at most 256 characters on one line"),
        *(
            (line, "expires_at is to be a time with its offset and without quotes, as 2026-11-22T18:00:00Z")
            for line in (
                'expires_at = "2026-11-22T18:00:00Z"',
                "expires_at = 2026-11-22T18:00:00",
                "expires_at = 2026-11-22",
                "expires_at = 18:00:00",
                "expires_at = 1795370400",
            )
        ),
        ('sesion_token = "canary"', "there is no field sesion_token; session_token was meant?"),
        ("colour = 1", "there is no field colour"),
        ("Canary-in-a-name = 1", "there is an unknown field"),
    ],
)
def test_a_field_that_is_wrong_is_told_what(line: str, problem: str) -> None:
    assert problems(PLAIN + line) == (f"key 1: {problem}.",)


def test_two_keys_with_one_id_are_refused() -> None:
    assert problems(PLAIN + PLAIN.replace("EXAMPLE", "2") + PLAIN) == ("key 3: has the access_key_id of key 1 again.",)


def test_every_problem_is_told_at_once() -> None:
    wrong = PLAIN + 'expires_at = 1\n[[key]]\nsecret_access_key = "canary"\n'
    assert [problem.partition(" is ")[0] for problem in problems(wrong)] == [
        "key 1: expires_at",
        "key 2: access_key_id",
        "key 2: secret_access_key",
    ]


def test_not_more_problems_are_told_than_anybody_reads() -> None:
    found = problems("[[key]]\n" * 15)
    assert len(found) == 21
    assert found[-1] == "and 10 problems more."


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_document_is_keys_or_an_error_that_says_something(document: bytes) -> None:
    try:
        keys = parse_keys(document)
    except FileError as error:
        keys = {}
        told = str(error)
    else:
        told = ""
    assert bool(keys) != bool(told)


def test_the_modules_own_example_is_taken() -> None:
    example = (key_table.__doc__ or "").partition("```toml\n")[2].partition("```")[0]
    assert list(parse_keys(example.encode())) == ["AKIDEXAMPLE"]
