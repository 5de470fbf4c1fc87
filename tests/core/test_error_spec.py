import pytest

from parley.core.error_spec import Fault, Retry


@pytest.mark.parametrize("word", ["client", "server", "upstream"])
def test_a_fault_is_the_word_that_the_wires_carry(word: str) -> None:
    assert f"{Fault(word)}" == word


@pytest.mark.parametrize("word", ["never", "same-session", "new-session"])
def test_what_may_help_is_the_word_that_the_wires_carry(word: str) -> None:
    assert f"{Retry(word)}" == word
