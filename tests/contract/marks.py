"""The mark that ties a test to the requirements that it checks."""

import pytest


def requirement(*ids: str) -> pytest.MarkDecorator:
    """The test checks these requirements of requirements.toml."""
    assert ids, "a test of the contract checks something that the contract says"
    return pytest.mark.requirement(*ids)
